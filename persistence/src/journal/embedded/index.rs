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

/// A span of a flight's events reaches over at most this much of the log, once it holds `SPAN_OWN_BYTES`.
const SPAN_BYTES: u64 = 256 << 10;
/// As long as it holds less than this of the flight's own, a span reaches over up to `SPAN_BYTES_MAX`.
const SPAN_OWN_BYTES: u64 = 16 << 10;
/// A span never reaches over more of the log than this, and one round.
const SPAN_BYTES_MAX: u64 = 4 << 20;

/// A part of one segment, from round to round, that holds all events of a flight from `first` to `last`. An
/// index entry for each batch would take more memory than the batches of a busy log are worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) segment: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    own_bytes: u64,
}

/// Where a round stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What is known of a flight.
pub(super) struct FlightEntry {
    pub(super) standing: Standing,
    pub(super) spans: VecDeque<Span>,
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

    fn note_span(&mut self, place: Place, first: Seq, last: Seq, own_bytes: u64) {
        if let Some(span) = self.spans.back_mut().filter(|span| span.segment == place.segment) {
            let reach = place.end - span.start;
            if reach <= SPAN_BYTES || (span.own_bytes < SPAN_OWN_BYTES && reach <= SPAN_BYTES_MAX) {
                span.last = last;
                span.end = place.end;
                span.own_bytes += own_bytes;
                return;
            }
        }
        let Place { segment, start, end } = place;
        self.spans.push_back(Span { first, last, segment, start, end, own_bytes });
    }
}

/// A segment that holds rounds.
pub(super) struct SegmentEntry {
    pub(super) number: u64,
    pub(super) file: Arc<dyn File>,
    pub(super) bytes: u64,
    /// Whether it begins with the owners of all flights that were known then, so that those before may go.
    pub(super) carries_owners: bool,
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
    /// Notes a record that was found, or has become durable, in the round at `place`. Fails if it does not follow
    /// what is known.
    pub(super) fn note(&mut self, head: RecordHead, place: Place) -> Result<(), String> {
        let last = head.last_seq();
        match (head.kind, self.flights.entry(head.flight_id)) {
            (RecordKind::Events, Entry::Vacant(entry)) => {
                let standing = Standing::begun(head.epoch, head.seq, last);
                entry.insert(FlightEntry::new(standing)).note_span(place, head.seq, last, head.bytes as u64);
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
                flight.note_span(place, head.seq, last, head.bytes as u64);
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

    /// The file of a segment.
    pub(super) fn file(&self, segment: u64) -> Option<Arc<dyn File>> {
        let first = self.segments.front()?.number;
        let place = usize::try_from(segment.checked_sub(first)?).ok()?;
        self.segments.get(place).map(|entry| Arc::clone(&entry.file))
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
