//! Reads a segment from its start and tells where its rounds end: cleanly, in a torn write, or in damage.
//! Never changes a byte.

use super::round::{ALIGN_BYTES, BrokenRound, HEAD_BYTES, Round, RoundHead, SECTOR_BYTES};
use super::round::{is_zero, looks_torn, trailer_is_cut};

/// How the rounds of a segment end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// In zeros, or with the file.
    Clean,
    /// In a write that never got to its end, so was never acknowledged: everything from `end` on may be cut.
    Torn(&'static str),
    /// In a round that is whole but for the last bytes of its trailer, which are to be written again.
    TrailerCut,
}

/// What a scan found.
#[derive(Debug)]
pub(super) struct Scanned {
    /// Where the last round ends.
    pub(super) end: usize,
    /// The number of the next round, if any round was found or one had been expected.
    pub(super) next_round: Option<u64>,
    pub(super) ending: Ending,
}

/// Something a torn write cannot explain.
#[derive(Debug)]
pub(super) struct Damage {
    /// Where, in bytes from the start of the segment.
    pub(super) at: usize,
    /// The round concerned, where it is known.
    pub(super) round: Option<u64>,
    pub(super) what: String,
}

/// Scans `segment` from `start` on, expecting round `expected` there (any, if `None`), and hands each whole round
/// to `visit` with its offset; what `visit` returns as an error is damage of that round.
pub(super) fn scan(
    segment: &[u8],
    start: usize,
    expected: Option<u64>,
    mut visit: impl FnMut(usize, &Round<'_>) -> Result<(), String>,
) -> Result<Scanned, Damage> {
    let mut at = start;
    let mut expected = expected;
    loop {
        let (round, ending) = match Round::parse(segment, at) {
            Ok(round) => (round, None),
            Err(broken) => match explain(segment, at, expected, &broken)? {
                Ending::TrailerCut => {
                    let round = Round::parse_content(segment, at)
                        .map_err(|broken| damage(at, expected, format!("{broken:?}")))?;
                    (round, Some(Ending::TrailerCut))
                }
                ending => return Ok(Scanned { end: at, next_round: expected, ending }),
            },
        };
        let number = round.head.number;
        if expected.is_some_and(|expected| expected != number) {
            return Err(damage(at, expected, format!("round {number} stands in its place")));
        }
        visit(at, &round).map_err(|what| damage(at, Some(number), what))?;
        (at, expected) = (round.end, Some(number + 1));
        if let Some(ending) = ending {
            return Ok(Scanned { end: at, next_round: expected, ending });
        }
    }
}

/// Whether what stands at `at` can be the end of the log.
fn explain(segment: &[u8], at: usize, expected: Option<u64>, broken: &BrokenRound) -> Result<Ending, Damage> {
    let rest = segment.get(at..).unwrap_or_default();
    if is_zero(rest) {
        return Ok(Ending::Clean);
    }
    // A round is only begun when the one before is on disk, so nothing whole can follow one that is not.
    if let Some((offset, head)) = later_head(rest) {
        let what = format!("it is broken, yet round {} follows at byte {}", head.number, at + offset);
        return Err(damage(at, expected, what));
    }
    let whole = |head: &RoundHead| at + head.total_bytes();
    let followed = |head: &RoundHead| !is_zero(&segment[whole(head)..]);
    match broken {
        BrokenRound::Head => explain_head(rest, at).map_err(|what| damage(at, expected, what.into())),
        BrokenRound::Short(_) => Ok(Ending::Torn("the file ends before the round does")),
        BrokenRound::Content(head) | BrokenRound::Trailer(head) if followed(head) => {
            Err(damage(at, expected, format!("it is broken, yet something follows at byte {}", whole(head))))
        }
        BrokenRound::Content(head) if looks_torn(segment, at, head) => {
            Ok(Ending::Torn("parts of the round never reached the disk"))
        }
        BrokenRound::Trailer(head) if trailer_is_cut(segment, whole(head)) => Ok(Ending::TrailerCut),
        BrokenRound::Content(_) => {
            Err(damage(at, expected, "its content does not match its checksum".into()))
        }
        BrokenRound::Trailer(_) => Err(damage(at, expected, "its trailer is wrong".into())),
    }
}

/// The same where there is no whole head: `rest` is not all zeros.
fn explain_head(rest: &[u8], at: usize) -> Result<Ending, &'static str> {
    let head = &rest[..rest.len().min(HEAD_BYTES)];
    if !is_zero(head) {
        // The head lies in one sector: either all of the sector was written, or the write was cut right here.
        let cut = is_zero(&rest[head.len()..]);
        return if cut {
            Ok(Ending::Torn("the write was cut inside the round's head"))
        } else {
            Err("its head is damaged")
        };
    }
    let in_sector = (at + 1).next_multiple_of(SECTOR_BYTES) - at;
    if is_zero(&rest[..in_sector.min(rest.len())]) {
        return Ok(Ending::Torn("the round's first sector never reached the disk"));
    }
    Err("its head is gone, though the sector it stood in was written")
}

/// The first whole head after the place that `rest` begins with.
fn later_head(rest: &[u8]) -> Option<(usize, RoundHead)> {
    (ALIGN_BYTES..rest.len())
        .step_by(ALIGN_BYTES)
        .find_map(|offset| RoundHead::parse(&rest[offset..]).map(|head| (offset, head)))
}

fn damage(at: usize, round: Option<u64>, what: String) -> Damage {
    Damage { at, round, what }
}
