//! What the log holds, in memory: how far each flight has come, and where its events stand.
//! Never does IO.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use farerush_engine::flight::{FlightId, Seq};
use farerush_engine::journal::Extent;

use super::disk::File;
use crate::codec::{RecordHead, RecordKind};
use crate::journal::standing::Standing;

/// A span of a flight's events is closed once it holds this much of the flight's own.
const SPAN_OWN_BYTES: u64 = 64 << 10;

/// Records of one flight in one segment, by rising seq. A list of all records would take more memory than small
/// batches are worth, so what a span knows of each is packed into about five bytes.
#[derive(Debug)]
struct Span {
    first: Seq,
    last: Seq,
    segment: u64,
    /// Where the first record starts.
    start: u64,
    /// Where the last record ends.
    end: u64,
    own_bytes: u64,
    /// For each record: bytes between it and the one before, its own bytes, its events; each with seven bits a
    /// byte, the highest bit saying that more follow.
    packed: Vec<u8>,
}

impl Span {
    fn push(&mut self, head: &RecordHead, offset: u64) {
        pack(&mut self.packed, offset - self.end);
        pack(&mut self.packed, head.bytes as u64);
        pack(&mut self.packed, u64::from(head.count));
        self.last = head.last_seq();
        self.end = offset + head.bytes as u64;
        self.own_bytes += head.bytes as u64;
    }

    /// Its records, each with the seq of its last event.
    fn records(&self) -> impl Iterator<Item = (Seq, Wanted)> {
        let mut packed = self.packed.as_slice();
        let (mut end, mut next) = (self.start, self.first.0);
        std::iter::from_fn(move || {
            let offset = end + unpack(&mut packed)?;
            let bytes = unpack(&mut packed)?;
            let events = unpack(&mut packed)?;
            (end, next) = (offset + bytes, next + events);
            Some((Seq(next - 1), Wanted { segment: self.segment, offset, bytes }))
        })
    }
}

fn pack(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    packed.push((number & 0x7f) as u8);
}

fn unpack(packed: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = packed.split_first()?;
        *packed = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    Some(number)
}

/// A record that is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// What is known of a flight.
pub(super) struct FlightEntry {
    pub(super) standing: Standing,
    spans: VecDeque<Span>,
    /// The last event that the store has said to have.
    pub(super) stored: Seq,
    /// The call of `append` that last had a batch of this flight.
    pub(super) seen_in: u64,
}

impl FlightEntry {
    fn new(standing: Standing) -> Self {
        Self { standing, spans: VecDeque::new(), stored: Seq(0), seen_in: 0 }
    }

    /// The first event that is still there.
    pub(super) fn first(&self) -> Option<Seq> {
        self.spans.front().map(|span| span.first)
    }

    /// The records that hold the events after `after`, as many as make `events_max` events.
    pub(super) fn wanted(&self, after: Seq, events_max: usize) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let start = self.spans.partition_point(|span| span.last <= after);
        let records = self.spans.range(start..).flat_map(Span::records);
        for (last, record) in records.skip_while(|(last, _)| *last <= after) {
            wanted.push(record);
            if last.0 - after.0 >= events_max as u64 {
                break;
            }
        }
        wanted
    }

    fn note_record(&mut self, head: &RecordHead, segment: u64, offset: u64) {
        let open = self.spans.back_mut().filter(|span| span.segment == segment);
        match open.filter(|span| span.own_bytes < SPAN_OWN_BYTES) {
            Some(span) => span.push(head, offset),
            None => {
                if let Some(closed) = self.spans.back_mut() {
                    closed.packed.shrink_to_fit();
                }
                let (first, last) = (head.seq, head.seq);
                let mut span = Span {
                    first,
                    last,
                    segment,
                    start: offset,
                    end: offset,
                    own_bytes: 0,
                    packed: Vec::new(),
                };
                span.push(head, offset);
                self.spans.push_back(span);
            }
        }
    }
}

/// Segments that are kept open for reading; older ones are opened when they are read. While the store is away there
/// may be any number, and file descriptors are what connections need, too.
const OPEN_SEGMENTS_MAX: usize = 64;

/// A segment that holds rounds.
pub(super) struct SegmentEntry {
    pub(super) number: u64,
    /// `None` for an old one.
    file: Option<Arc<dyn File>>,
    pub(super) bytes: u64,
    /// Whether it begins with the owners of all flights that were known then, so that those before may go.
    pub(super) carries_owners: bool,
}

impl SegmentEntry {
    pub(super) fn new(number: u64, file: Arc<dyn File>, bytes: u64, carries_owners: bool) -> Self {
        Self { number, file: Some(file), bytes, carries_owners }
    }
}

#[derive(Default)]
pub(super) struct Index {
    pub(super) flights: HashMap<FlightId, FlightEntry>,
    /// By rising number, without a hole; the last one is being written.
    pub(super) segments: VecDeque<SegmentEntry>,
    /// Counts calls of `append`, to notice two batches of a flight in one.
    pub(super) appends: u64,
}

impl Index {
    /// Notes a record that was found, or has become durable, at `offset` in `segment`. Fails if it does not follow
    /// what is known.
    pub(super) fn note(&mut self, head: &RecordHead, segment: u64, offset: u64) -> Result<(), String> {
        let last = head.last_seq();
        match (head.kind, self.flights.entry(head.flight_id.clone())) {
            (RecordKind::Events, Entry::Vacant(entry)) => {
                let standing = Standing::begun(head.epoch, head.seq, last);
                entry.insert(FlightEntry::new(standing)).note_record(head, segment, offset);
            }
            (RecordKind::Events, Entry::Occupied(mut entry)) => {
                let known = entry.get().standing;
                if head.epoch != known.epoch || !known.is_followed_by(head.seq) {
                    return Err(format!(
                        "events of {} from seq {} on under epoch {} do not follow seq {} under epoch {}",
                        entry.key(),
                        head.seq,
                        head.epoch,
                        known.last,
                        known.epoch
                    ));
                }
                let flight = entry.get_mut();
                flight.standing.note_written(head.epoch, head.seq, last);
                flight.note_record(head, segment, offset);
            }
            (RecordKind::Fence, Entry::Vacant(entry)) => {
                entry.insert(FlightEntry::new(Standing::fenced(head.epoch, last)));
            }
            (RecordKind::Fence, Entry::Occupied(mut entry)) => {
                let known = entry.get().standing;
                if head.epoch < known.epoch || last != known.last {
                    return Err(format!(
                        "{} is said to be at seq {last} under epoch {}, but was at seq {} under epoch {}",
                        entry.key(),
                        head.epoch,
                        known.last,
                        known.epoch
                    ));
                }
                entry.get_mut().standing.note_fenced(head.epoch);
            }
            (RecordKind::Snapshot, _) => return Err("a snapshot, which has no place here".into()),
        }
        Ok(())
    }

    /// Notes a segment that follows the others.
    pub(super) fn push_segment(&mut self, segment: SegmentEntry) {
        self.segments.push_back(segment);
        if let Some(place) = self.segments.len().checked_sub(OPEN_SEGMENTS_MAX + 1) {
            self.segments[place].file = None;
        }
    }

    /// The oldest segment, if it is no longer needed: a later one carries the owners, and the store has all events
    /// that stand in it.
    pub(super) fn oldest_unneeded(&self, retain_bytes: u64) -> Option<u64> {
        let oldest = self.segments.front()?;
        let bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        if bytes <= retain_bytes || !self.segments.iter().skip(1).any(|later| later.carries_owners) {
            return None;
        }
        let needed = |flight: &FlightEntry| {
            let mut here = flight.spans.iter().take_while(|span| span.segment == oldest.number);
            here.any(|span| span.last > flight.stored)
        };
        (!self.flights.values().any(needed)).then_some(oldest.number)
    }

    /// Forgets the oldest segment and where events stood in it.
    pub(super) fn forget_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        for flight in self.flights.values_mut() {
            while flight.spans.front().is_some_and(|span| span.segment == oldest.number) {
                flight.spans.pop_front();
            }
        }
    }

    /// The file of a segment, if it is open.
    pub(super) fn file(&self, segment: u64) -> Option<Arc<dyn File>> {
        let first = self.segments.front()?.number;
        let place = usize::try_from(segment.checked_sub(first)?).ok()?;
        self.segments.get(place)?.file.clone()
    }
}

/// What the log has of one flight.
pub(super) fn extent_of(flight_id: &FlightId, flight: &FlightEntry) -> Extent {
    Extent {
        flight_id: flight_id.clone(),
        epoch: flight.standing.epoch,
        first: flight.first().unwrap_or(Seq(0)),
        last: flight.standing.last,
    }
}
