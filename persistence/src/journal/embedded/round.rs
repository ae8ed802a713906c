//! A round as bytes: head, records, padding, trailer.
//! Never does IO, and never decides what a broken round means: `scan` does.
//!
//! ```text
//!  0  u32  magic
//!  4  u32  bytes of the records
//!  8  u64  number: 1, 2, 3, ... over the whole log
//! 16  u32  CRC-32 of records and padding
//! 20  u32  how many records
//! 24  u32  how many whole 512-byte sectors of this round hold nothing but zeros
//! 28  u32  CRC-32 of the 28 bytes in front
//! 32  ..   records, then zeros, so that the round's length is a multiple of 32
//!     8 B  trailer
//! ```
//!
//! Rounds follow one another at multiples of 32 bytes, so a head never lies across two sectors. The segment was
//! zero before: a sector of the round that never reached the disk is found as one zero sector too many, or as
//! zeros where the trailer belongs. That tells a torn write from damage.

use std::ops::Range;

/// What a disk writes as a whole.
pub(super) const SECTOR_BYTES: usize = 512;
/// Rounds start at multiples of this.
pub(super) const ALIGN_BYTES: usize = 32;
pub(super) const HEAD_BYTES: usize = 32;
const TRAILER: [u8; 8] = *b"\xFErnd\xF7end";
const MAGIC: [u8; 4] = *b"\xF7FR\xFE";

/// What a round says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoundHead {
    pub(super) number: u64,
    pub(super) records: u32,
    records_bytes: u32,
    content_crc: u32,
    zero_sectors: u32,
}

impl RoundHead {
    /// The head these bytes begin with, if it is whole.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEAD_BYTES)?;
        if bytes[..4] != MAGIC || crc32fast::hash(&bytes[..28]) != u32_at(bytes, 28) {
            return None;
        }
        Some(Self {
            number: u64::from(u32_at(bytes, 8)) | u64::from(u32_at(bytes, 12)) << 32,
            records: u32_at(bytes, 20),
            records_bytes: u32_at(bytes, 4),
            content_crc: u32_at(bytes, 16),
            zero_sectors: u32_at(bytes, 24),
        })
    }

    /// Bytes of the whole round.
    pub(super) fn total_bytes(&self) -> usize {
        total_bytes(self.records_bytes as usize)
    }
}

/// A whole round.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pub(super) head: RoundHead,
    /// Its records, one after another.
    pub(super) records: &'a [u8],
    /// Where it ends, which is where the next one starts.
    pub(super) end: usize,
}

/// What is wrong where a round was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokenRound {
    /// There is no whole head.
    Head,
    /// The bytes end before the round does.
    Short(RoundHead),
    /// Records or padding do not match their checksum.
    Content(RoundHead),
    /// The records are right, the trailer is not.
    Trailer(RoundHead),
}

impl<'a> Round<'a> {
    /// The round at `at`.
    pub(super) fn parse(segment: &'a [u8], at: usize) -> Result<Self, BrokenRound> {
        let round = Self::parse_content(segment, at)?;
        if segment[trailer_of(round.end)] != TRAILER {
            return Err(BrokenRound::Trailer(round.head));
        }
        Ok(round)
    }

    /// The round at `at`, whatever its trailer is.
    pub(super) fn parse_content(segment: &'a [u8], at: usize) -> Result<Self, BrokenRound> {
        let head = segment.get(at..).and_then(RoundHead::parse).ok_or(BrokenRound::Head)?;
        let end = at + head.total_bytes();
        if end > segment.len() {
            return Err(BrokenRound::Short(head));
        }
        let content = &segment[at + HEAD_BYTES..end - TRAILER.len()];
        if crc32fast::hash(content) != head.content_crc {
            return Err(BrokenRound::Content(head));
        }
        Ok(Self { head, records: &content[..head.records_bytes as usize], end })
    }
}

/// Whether the write of the broken round at `at` can have stopped half-way: a sector is missing, or all from some
/// byte on. A round written to its end has its own zero sectors and no more, and does not end in a zero.
pub(super) fn looks_torn(segment: &[u8], at: usize, head: &RoundHead) -> bool {
    let end = at + head.total_bytes();
    segment[end - 1] == 0 || zero_sectors(&segment[at..end], at) > head.zero_sectors
}

/// Whether the trailer of the round that ends at `end` was cut: its own bytes, then zeros.
pub(super) fn trailer_is_cut(segment: &[u8], end: usize) -> bool {
    let trailer = &segment[trailer_of(end)];
    let whole = trailer.iter().zip(TRAILER).take_while(|(found, own)| **found == *own).count();
    trailer[whole..].iter().all(|byte| *byte == 0)
}

/// The bytes that belong at `trailer_of(end)`.
pub(super) const fn trailer() -> [u8; 8] {
    TRAILER
}

/// Where the trailer of a round stands that ends at `end`.
pub(super) fn trailer_of(end: usize) -> Range<usize> {
    end - TRAILER.len()..end
}

/// Bytes of a round whose records take `records_bytes`.
pub(super) fn total_bytes(records_bytes: usize) -> usize {
    (HEAD_BYTES + records_bytes + TRAILER.len()).next_multiple_of(ALIGN_BYTES)
}

/// Makes room for the head; records are then appended to `buffer`.
pub(super) fn begin(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(HEAD_BYTES, 0);
}

/// Completes a round whose records have been appended since `begin`, to be written at `at` in a segment. Fails if
/// the records take more than 32 bits can count.
pub(super) fn seal(buffer: &mut Vec<u8>, at: u64, number: u64, records: usize) -> Option<()> {
    let records_bytes = buffer.len() - HEAD_BYTES;
    buffer.resize(total_bytes(records_bytes) - TRAILER.len(), 0);
    let content_crc = crc32fast::hash(&buffer[HEAD_BYTES..]);
    buffer.extend_from_slice(&TRAILER);
    buffer[..4].copy_from_slice(&MAGIC);
    buffer[4..8].copy_from_slice(&u32::try_from(records_bytes).ok()?.to_le_bytes());
    buffer[8..16].copy_from_slice(&number.to_le_bytes());
    buffer[16..20].copy_from_slice(&content_crc.to_le_bytes());
    buffer[20..24].copy_from_slice(&u32::try_from(records).ok()?.to_le_bytes());
    let offset_in_sector = usize::try_from(at % SECTOR_BYTES as u64).ok()?;
    let zeros = zero_sectors(buffer, offset_in_sector);
    buffer[24..28].copy_from_slice(&zeros.to_le_bytes());
    let head_crc = crc32fast::hash(&buffer[..28]);
    buffer[28..32].copy_from_slice(&head_crc.to_le_bytes());
    Some(())
}

/// How many whole sectors of `round`, which starts at `at`, hold nothing but zeros.
fn zero_sectors(round: &[u8], at: usize) -> u32 {
    let to_sector = at.next_multiple_of(SECTOR_BYTES) - at;
    let Some(whole) = round.get(to_sector..) else { return 0 };
    let zeros = whole.chunks_exact(SECTOR_BYTES).filter(|sector| is_zero(sector)).count();
    u32::try_from(zeros).unwrap_or(u32::MAX)
}

/// Whether there is nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let mut chunks = bytes.chunks_exact(64);
    // Whole chunks are folded, not searched, which compiles to vector instructions.
    chunks.all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && bytes.chunks_exact(64).remainder().iter().all(|byte| *byte == 0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}
