//! The embedded journal: a checksummed, segmented log in a folder, synced once a round.
//! Never writes after a failure, and never drops anything a torn write cannot explain.

mod copy;
pub mod disk;
mod index;
mod open;
mod read;
mod round;
mod scan;
mod segment;
mod writer;

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq};
use farerush_engine::journal::{AppendCost, Appended, Batch, Claim, Extent, Journal, JournalError};
use parking_lot::Mutex;

pub use self::copy::{Copied, HeldSegments};
use self::disk::{Disk, Folder};
use self::index::{Index, SegmentEntry, extent_of};
use self::writer::Writer;
use super::identity::JournalIdentity;
use super::standing::{Standing, Verdict, admit, judge, twice_in_a_round};
use crate::codec::{self, CodecError, RecordHead, RecordKind};

/// Smallest segment: a header and something behind it.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest segment.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Records of one round take at most this, or one record; what is more goes into further rounds.
pub const ROUND_RECORDS_BYTES_MAX: usize = 16 << 20;

/// How an embedded journal uses its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Bytes of a segment, made of zeros in advance (4 KiB to 1 GiB, rounded up to whole sectors).
    pub segment_bytes: u64,
    /// Old segments that the store has all of are kept as long as the segments take no more than this together.
    pub retain_bytes: u64,
    /// Whether a thread makes the next segment ready; otherwise the append that needs it does.
    pub prepare_in_background: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, retain_bytes: 1 << 30, prepare_in_background: true }
    }
}

/// A journal of files in a folder. Reads go on while a round is being synced.
pub struct EmbeddedJournal {
    disk: Arc<dyn Disk>,
    retain_bytes: u64,
    /// Taken before `index` where both are.
    writer: Mutex<Writer>,
    /// Never held during IO.
    index: Mutex<Index>,
    /// Held while segments are removed, oldest first.
    trimming: Mutex<()>,
    /// Which journal it is, if it is in a folder and that says.
    identity: Option<JournalIdentity>,
}

impl EmbeddedJournal {
    /// Opens or makes the journal in the folder `dir`, which this process has to itself until the journal is
    /// dropped. Reads all of it: about a second a gigabyte.
    pub fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self, JournalError> {
        let folder = Folder::open(dir).map_err(|error| cannot_use(dir, error))?;
        let mut journal = Self::open_on(Arc::new(folder), options)?;
        let identity = JournalIdentity::of_folder(dir, true);
        journal.identity = identity.map_err(|error| cannot_use(dir, error))?;
        Ok(journal)
    }

    /// The same for those who only look: fails where there is no journal, instead of making one.
    pub fn open_existing(dir: &Path, options: EmbeddedOptions) -> Result<Self, JournalError> {
        let folder = Folder::open_existing(dir).map_err(|error| cannot_use(dir, error))?;
        let names = folder.list().map_err(|error| cannot_use(dir, error))?;
        if !names.iter().any(|name| segment::number_of(name).is_some()) {
            return Err(cannot_use(
                dir,
                io::Error::new(io::ErrorKind::NotFound, "there is no journal in it"),
            ));
        }
        let mut journal = Self::open_on(Arc::new(folder), options)?;
        let identity = JournalIdentity::of_folder(dir, false);
        journal.identity = identity.map_err(|error| cannot_use(dir, error))?;
        Ok(journal)
    }

    /// Which journal it is; `None` if nobody has written there since journals say so.
    pub fn identity(&self) -> Option<&JournalIdentity> {
        self.identity.as_ref()
    }

    /// The same on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, options: EmbeddedOptions) -> Result<Self, JournalError> {
        let segment_bytes = options.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let segment_bytes = segment_bytes.next_multiple_of(round::SECTOR_BYTES as u64);
        let options = EmbeddedOptions { segment_bytes, ..options };
        let (index, writer) = open::open(&disk, &options)?;
        Ok(Self {
            disk,
            retain_bytes: options.retain_bytes,
            writer: Mutex::new(writer),
            index: Mutex::new(index),
            trimming: Mutex::new(()),
            identity: None,
        })
    }

    /// Says what is to become of each batch; all are judged before anything is written.
    fn judge_round(&self, round: &[Batch]) -> Result<Vec<Verdict>, JournalError> {
        let judged = self.judge_by_index(round)?;
        let settle = |(batch, (verdict, standing)): (&Batch, (Verdict, Option<Standing>))| {
            let after = Seq(batch.first_seq().0.saturating_sub(1));
            let there = || self.read_events(&batch.flight_id, after, batch.events.len());
            verdict.settled(standing.as_ref(), batch, there)
        };
        round.iter().zip(judged).map(settle).collect()
    }

    fn judge_by_index(&self, round: &[Batch]) -> Result<Vec<(Verdict, Option<Standing>)>, JournalError> {
        let mut index = self.index.lock();
        index.appends += 1;
        let this_append = index.appends;
        let mut verdicts = Vec::with_capacity(round.len());
        let mut unknown = HashSet::new();
        for batch in round {
            let flight = index.flights.get_mut(&batch.flight_id);
            let standing = flight.as_ref().map(|flight| flight.standing);
            verdicts.push((judge(standing.as_ref(), batch)?, standing));
            let twice = match flight {
                Some(flight) => std::mem::replace(&mut flight.seen_in, this_append) == this_append,
                None => !unknown.insert(&batch.flight_id),
            };
            if twice {
                return Err(twice_in_a_round(&batch.flight_id));
            }
        }
        Ok(verdicts)
    }

    /// Writes the records in `buffer`, begun as a round, whose heads these are: as one round if they are not too
    /// many, otherwise as several, each on disk before the next is begun.
    fn write_records(
        &self,
        writer: &mut Writer,
        buffer: &mut Vec<u8>,
        heads: Vec<RecordHead>,
    ) -> Result<(), JournalError> {
        if buffer.len() - round::HEAD_BYTES <= ROUND_RECORDS_BYTES_MAX {
            return self.write_round(writer, buffer, &heads);
        }
        let mut part = Vec::new();
        let mut part_heads = Vec::new();
        round::begin(&mut part);
        let mut offset = round::HEAD_BYTES;
        for head in heads {
            let bytes = head.bytes;
            if !part_heads.is_empty() && part.len() - round::HEAD_BYTES + bytes > ROUND_RECORDS_BYTES_MAX {
                self.write_round(writer, &mut part, &part_heads)?;
                part_heads.clear();
                round::begin(&mut part);
            }
            part.extend_from_slice(&buffer[offset..offset + bytes]);
            part_heads.push(head);
            offset += bytes;
        }
        self.write_round(writer, &mut part, &part_heads)
    }

    fn write_round(
        &self,
        writer: &mut Writer,
        buffer: &mut Vec<u8>,
        heads: &[RecordHead],
    ) -> Result<(), JournalError> {
        if writer.is_full_for(buffer.len() - round::HEAD_BYTES) {
            self.roll(writer)?;
        }
        let place = writer.write(buffer, heads.len())?;
        let mut index = self.index.lock();
        if let Some(segment) = index.segments.back_mut() {
            segment.bytes = segment.bytes.max(place.end);
        }
        let mut offset = place.start + round::HEAD_BYTES as u64;
        for head in heads {
            if let Err(what) = index.note(head, place.segment, offset) {
                return Err(
                    writer.stop("the index does not agree with the log".into(), io::Error::other(what))
                );
            }
            offset += head.bytes as u64;
        }
        Ok(())
    }

    /// Goes on in the next segment. It begins with who owns each flight, so that fences outlive the segments they
    /// were first written to.
    fn roll(&self, writer: &mut Writer) -> Result<(), JournalError> {
        let file = writer.roll()?;
        let bytes = file.len().map_err(|error| writer.stop("a new segment has no length".into(), error))?;
        let owners: Vec<(FlightId, Epoch, Seq)> = {
            let mut index = self.index.lock();
            index.push_segment(SegmentEntry::new(writer.segment(), file, bytes, false));
            let owners = index.flights.iter();
            owners.map(|(id, flight)| (id.clone(), flight.standing.epoch, flight.standing.last)).collect()
        };
        let mut buffer = Vec::new();
        let mut records = 0;
        round::begin(&mut buffer);
        for (place, (flight_id, epoch, last)) in owners.iter().enumerate() {
            codec::encode_fence_into(&mut buffer, flight_id, *epoch, *last)
                .map_err(|error| writer.stop("an owner cannot be written".into(), io::Error::other(error)))?;
            records += 1;
            if place + 1 == owners.len() || buffer.len() > ROUND_RECORDS_BYTES_MAX {
                writer.write(&mut buffer, records)?;
                round::begin(&mut buffer);
                records = 0;
            }
        }
        if let Some(segment) = self.index.lock().segments.back_mut() {
            segment.carries_owners = true;
        }
        Ok(())
    }
}

impl Journal for EmbeddedJournal {
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        let mut writer = self.writer.lock();
        writer.check()?;
        writer.cost = AppendCost { bytes: 0, sync: None };
        let verdicts = self.judge_round(round)?;
        let mut heads = Vec::with_capacity(round.len());
        let mut buffer = std::mem::take(&mut writer.buffer);
        round::begin(&mut buffer);
        for (batch, _) in round.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Write) {
            let bytes =
                codec::encode_events_into(&mut buffer, batch).map_err(|error| unencodable(batch, &error))?;
            heads.push(RecordHead {
                kind: RecordKind::Events,
                flight_id: batch.flight_id.clone(),
                epoch: batch.epoch,
                seq: batch.first_seq(),
                count: u32::try_from(batch.events.len()).unwrap_or(u32::MAX),
                bytes,
            });
        }
        if !heads.is_empty() {
            self.write_records(&mut writer, &mut buffer, heads)?;
        }
        if buffer.capacity() <= ROUND_RECORDS_BYTES_MAX {
            writer.buffer = buffer; // a giant round's memory is given back
        }
        Ok(verdicts.into_iter().map(Verdict::answer).collect())
    }

    fn append_cost(&self) -> Option<AppendCost> {
        Some(self.writer.lock().cost)
    }

    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError> {
        let mut writer = self.writer.lock();
        writer.check()?;
        let mut buffer = Vec::new();
        round::begin(&mut buffer);
        let mut heads = Vec::with_capacity(claims.len());
        {
            let index = self.index.lock();
            admit(claims, |flight_id| index.flights.get(flight_id).map(|flight| flight.standing))?;
            for Claim { flight_id, epoch } in claims {
                let seq = index.flights.get(flight_id).map_or(Seq(0), |flight| flight.standing.last);
                let bytes =
                    codec::encode_fence_into(&mut buffer, flight_id, *epoch, seq).map_err(|error| {
                        JournalError::Damaged {
                            flight_id: Some(flight_id.clone()),
                            what: with_causes(&error),
                        }
                    })?;
                let flight_id = flight_id.clone();
                heads.push(RecordHead {
                    kind: RecordKind::Fence,
                    flight_id,
                    epoch: *epoch,
                    seq,
                    count: 0,
                    bytes,
                });
            }
        }
        if heads.is_empty() {
            return Ok(());
        }
        self.write_records(&mut writer, &mut buffer, heads)
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        let index = self.index.lock();
        Ok(index.flights.iter().map(|(flight_id, flight)| extent_of(flight_id, flight)).collect())
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        Ok(self.index.lock().flights.get(flight_id).map(|flight| extent_of(flight_id, flight)))
    }

    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        self.read_events(flight_id, after, events_max)
    }

    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        {
            let mut index = self.index.lock();
            for (flight_id, seq) in stored {
                if let Some(flight) = index.flights.get_mut(flight_id) {
                    flight.stored = flight.stored.max(*seq);
                }
            }
        }
        let _one_at_a_time = self.trimming.lock();
        loop {
            let Some(oldest) = self.index.lock().oldest_unneeded(self.retain_bytes) else { return Ok(()) };
            // One by one, each durably: a hole in the middle of the log would be damage.
            let removed = match self.disk.remove(&segment::name_of(oldest)) {
                // Removed by a call before this one, whose sync of the folder failed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
            let removed = removed.and_then(|()| self.disk.sync_folder());
            removed.map_err(|error| unavailable("remove an old segment of the journal", error))?;
            self.index.lock().forget_oldest();
            tracing::debug!(segment = oldest, "removed an old journal segment, stored long since");
        }
    }

    fn describe(&self) -> String {
        format!("file:{}", self.disk.place())
    }
}

fn cannot_use(dir: &Path, error: io::Error) -> JournalError {
    let what = match error.kind() {
        io::ErrorKind::WouldBlock => {
            format!("another process uses the journal in {}: stop it first", dir.display())
        }
        _ => format!("open the folder {}", dir.display()),
    };
    unavailable(what, error)
}

fn unencodable(batch: &Batch, error: &CodecError) -> JournalError {
    JournalError::Damaged { flight_id: Some(batch.flight_id.clone()), what: with_causes(error) }
}

fn unavailable(what: impl Into<String>, error: io::Error) -> JournalError {
    JournalError::Unavailable { what: what.into(), source: Some(Box::new(error)) }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
