//! Opening a log: reads every segment, cuts a torn tail, refuses damage, and makes the index.
//! Never guesses: what a torn write cannot explain is an error that says what to do.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use farerush_engine::journal::JournalError;

use super::EmbeddedOptions;
use super::disk::{Disk, File};
use super::index::{Index, SegmentEntry};
use super::read::records_of;
use super::round::{self, Round, is_zero};
use super::scan::{Damage, Ending, scan};
use super::segment::{self, DATA_START, Opening, Preparer, name_of, number_of};
use super::unavailable;
use super::writer::Writer;
use crate::codec::RecordKind;

/// A segment larger than this was not made by this program. One round goes beyond a segment's end at most.
const SEGMENT_FILE_BYTES_MAX: u64 = 2 << 30;
/// Zeros written at a time.
const ZEROS_AT_ONCE: usize = 1 << 20;

/// What opening has found so far.
struct Opened<'a> {
    disk: &'a dyn Disk,
    index: Index,
    /// Number of the next round; `None` as long as no segment has said.
    next_round: Option<u64>,
    /// The segment to go on with.
    active: Option<ActiveSegment>,
    /// Segments behind it, without rounds.
    unused: Vec<UnusedSegment>,
}

struct ActiveSegment {
    number: u64,
    file: Arc<dyn File>,
    bytes: u64,
    tail: u64,
    ending: Ending,
    /// Where its last round starts, and the round as it belongs there; empty if there is none.
    last_round: (u64, Vec<u8>),
}

struct UnusedSegment {
    number: u64,
    file: Arc<dyn File>,
    /// Whether it is whole, so that rounds may be written to it.
    ready_bytes: Option<u64>,
}

/// Reads the whole log, repairs its tail and gives what is needed to go on.
pub(super) fn open(disk: &Arc<dyn Disk>, options: &EmbeddedOptions) -> Result<(Index, Writer), JournalError> {
    let io = |what: &'static str| move |error| unavailable(what, error);
    let names = disk.list().map_err(io("list the journal's folder"))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let begins_at_1 = numbers.first().is_none_or(|number| *number == 1);
    let mut opened = Opened {
        disk: &**disk,
        index: Index::default(),
        next_round: begins_at_1.then_some(1),
        active: None,
        unused: Vec::new(),
    };
    let mut bytes = Vec::new();
    for (place, number) in numbers.iter().enumerate() {
        if place > 0 && numbers[place - 1] + 1 != *number {
            return Err(damaged(&**disk, *number, "the segment before it is missing"));
        }
        opened.load(*number, &mut bytes)?;
    }
    let preparer = Preparer::start(Arc::clone(disk), options.segment_bytes, options.prepare_in_background)
        .map_err(io("start a thread"))?;
    opened.finish(preparer, options)
}

impl Opened<'_> {
    fn load(&mut self, number: u64, bytes: &mut Vec<u8>) -> Result<(), JournalError> {
        let failed = |error| unavailable("read a segment of the journal", error);
        let file = self.disk.open(&name_of(number)).map_err(failed)?;
        let length = file.len().map_err(failed)?;
        if length > SEGMENT_FILE_BYTES_MAX {
            return Err(damaged(
                self.disk,
                number,
                &format!("{length} bytes are more than a segment can have"),
            ));
        }
        bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        file.read_exact_at(bytes, 0).map_err(failed)?;
        let is_empty = bytes.len() <= DATA_START || is_zero(&bytes[DATA_START..]);
        let opening = segment::check_header(bytes, number);
        match opening {
            Opening::Damaged => return Err(damaged(self.disk, number, "its header is damaged")),
            Opening::Unfinished | Opening::Whole if is_empty => {
                let ready_bytes = (opening == Opening::Whole).then_some(length);
                self.unused.push(UnusedSegment { number, file, ready_bytes });
                return Ok(());
            }
            _ => {}
        }
        // A segment is only begun when the last round of the one before is on disk.
        if let Some(active) = self.active.take().filter(|active| active.ending != Ending::Clean) {
            let what = format!("its end at byte {} is broken, yet segment {number} follows", active.tail);
            return Err(damaged(self.disk, active.number, &what));
        }
        if let Some(empty) = self.unused.first() {
            let what = format!("it is empty, yet segment {number} follows");
            return Err(damaged(self.disk, empty.number, &what));
        }
        self.read_rounds(number, file, bytes)
    }

    fn read_rounds(&mut self, number: u64, file: Arc<dyn File>, bytes: &[u8]) -> Result<(), JournalError> {
        let index = &mut self.index;
        let flights_before = index.flights.len();
        let mut carry = CarriedOwners { goes_on: true, known: 0 };
        let mut last = (0, 0);
        let mut visit = |start: usize, round: &Round<'_>| {
            last = (start, round.end);
            let mut offset = (start + round::HEAD_BYTES) as u64;
            for record in records_of(round) {
                let head = record?;
                carry.note(index, &head);
                index.note(&head, number, offset)?;
                offset += head.bytes as u64;
            }
            Ok(())
        };
        let scanned = scan(bytes, DATA_START, self.next_round, &mut visit);
        let scanned = scanned.map_err(|found| self.report(number, &found))?;
        let carries_owners = !self.index.segments.is_empty() && carry.known == flights_before;
        self.next_round = scanned.next_round;
        let length = bytes.len() as u64;
        self.index.push_segment(SegmentEntry::new(number, Arc::clone(&file), length, carries_owners));
        let tail = scanned.end as u64;
        let last_round = (last.0 as u64, whole_round(&bytes[last.0..last.1]));
        self.active =
            Some(ActiveSegment { number, file, bytes: length, tail, ending: scanned.ending, last_round });
        Ok(())
    }

    fn finish(
        mut self,
        preparer: Preparer,
        options: &EmbeddedOptions,
    ) -> Result<(Index, Writer), JournalError> {
        let failed = |error| unavailable("make the journal's end ready", error);
        let Some(next_round) = self.next_round else {
            let number = self.unused.first().map_or(1, |unused| unused.number);
            return Err(damaged(self.disk, number, "no round is left, and the segments before it are gone"));
        };
        if self.active.is_none() {
            self.active = Some(self.first_segment(options)?);
        }
        let Some(active) = self.active.take() else {
            return Err(damaged(self.disk, 1, "there is no segment to go on with"));
        };
        repair(&active).map_err(failed)?;
        // The last process may have died between making a segment and making its name durable.
        self.disk.sync_folder().map_err(failed)?;
        let next = active.number + 1;
        let mut ready = None;
        // From the back: a hole between segments must not survive a power cut in here.
        for unused in self.unused.into_iter().rev() {
            let usable = unused.ready_bytes.is_some_and(|bytes| bytes >= options.segment_bytes);
            if unused.number == next && usable {
                // Its zeros were on disk before there was a header, which may have been seen without being there.
                unused.file.write_all_at(&segment::header(next), 0).map_err(failed)?;
                unused.file.sync_data().map_err(failed)?;
                ready = Some(unused.file);
                continue;
            }
            self.disk.remove(&name_of(unused.number)).map_err(failed)?;
            self.disk.sync_folder().map_err(failed)?;
        }
        match ready {
            Some(file) => preparer.supply(next, file),
            None => preparer.want(next),
        }
        let ActiveSegment { number, file, bytes, tail, .. } = active;
        Ok((self.index, Writer::new(preparer, number, file, tail, bytes, next_round)))
    }

    /// The first segment of a log without rounds.
    fn first_segment(&mut self, options: &EmbeddedOptions) -> Result<ActiveSegment, JournalError> {
        let failed = |error| unavailable("make the journal's first segment", error);
        let found = self.unused.iter().position(|unused| unused.number == 1);
        let found = found.map(|place| self.unused.remove(place));
        let whole = found.and_then(|found| Some((found.ready_bytes?, found.file)));
        let (bytes, file) = match whole {
            Some((bytes, file)) if bytes >= options.segment_bytes => (bytes, file),
            _ => {
                let never = AtomicBool::new(false);
                let file = segment::create(self.disk, 1, options.segment_bytes, &never).map_err(failed)?;
                (options.segment_bytes, file)
            }
        };
        self.index.push_segment(SegmentEntry::new(1, Arc::clone(&file), bytes, false));
        let tail = DATA_START as u64;
        Ok(ActiveSegment {
            number: 1,
            file,
            bytes,
            tail,
            ending: Ending::Clean,
            last_round: (tail, Vec::new()),
        })
    }

    fn report(&self, segment: u64, found: &Damage) -> JournalError {
        let round = found.round.map_or_else(String::new, |round| format!("round {round}: "));
        damaged(self.disk, segment, &format!("at byte {}, {round}{}", found.at, found.what))
    }
}

/// Counts the owners that a segment begins with.
struct CarriedOwners {
    goes_on: bool,
    known: usize,
}

impl CarriedOwners {
    fn note(&mut self, index: &Index, head: &crate::codec::RecordHead) {
        let known = index.flights.get(&head.flight_id).map(|flight| flight.standing.epoch);
        // An owner that is carried over has the epoch that is known; a claim has a larger one.
        self.goes_on &= head.kind == RecordKind::Fence && known.is_none_or(|epoch| epoch == head.epoch);
        self.known += usize::from(self.goes_on && known.is_some());
    }
}

/// A round as it is written: with all of its trailer, of which the disk may have the beginning only.
fn whole_round(found: &[u8]) -> Vec<u8> {
    let mut round = found.to_vec();
    let trailer = round::trailer();
    if let Some(place) = round.len().checked_sub(trailer.len()) {
        round[place..].copy_from_slice(&trailer);
    }
    round
}

/// Makes what was read the truth on the disk, too. What can be seen need not be there: a round may have been written but
/// not yet synced when the process died, or its sync may have failed, after which the kernel takes its pages for clean
/// and no later sync brings them to the disk. So whatever the last sync may have missed is written once more before it
/// is built upon: the header, the last round, and the zeros behind it, under which there may be a torn round that an
/// earlier opening has cut.
fn repair(active: &ActiveSegment) -> std::io::Result<()> {
    let (segment, offset, file) = (active.number, active.tail, &active.file);
    match &active.ending {
        Ending::Clean => {}
        Ending::TrailerCut => tracing::warn!(segment, offset, "completed a journal round's trailer"),
        Ending::Torn(what) => {
            tracing::warn!(segment, offset, "cut a torn tail off the journal, never acknowledged: {what}");
        }
    }
    file.write_all_at(&segment::header(segment), 0)?;
    let (start, round) = &active.last_round;
    file.write_all_at(round, *start)?;
    // The head of a torn round goes last: cut short itself, this too must leave what a torn write can explain.
    let head_end = active.tail + round::HEAD_BYTES as u64;
    let length = file.len()?;
    let zeros = vec![0; ZEROS_AT_ONCE];
    let mut at = head_end;
    while at < length {
        let part = usize::try_from(length - at).map_or(ZEROS_AT_ONCE, |left| left.min(ZEROS_AT_ONCE));
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    file.sync_data()?;
    if active.tail < length {
        let head_bytes = usize::try_from(length - active.tail).unwrap_or(usize::MAX).min(round::HEAD_BYTES);
        file.write_all_at(&zeros[..head_bytes], active.tail)?;
    }
    file.sync_data()
}

fn damaged(disk: &dyn Disk, segment: u64, what: &str) -> JournalError {
    let what = format!(
        "{}/{}: {what}. Nothing was changed. Acknowledged events may be missing from it: restore the folder from \
         a copy, or move it away to go on from the store alone",
        disk.place(),
        name_of(segment)
    );
    JournalError::Damaged { flight_id: None, what }
}
