//! Reading events back: finds the spans they stand in, and decodes what is asked for.
//! Never trusts the index: every round's and record's checksum is checked again, and no event may be missing.

use std::sync::Arc;

use farerush_engine::flight::{FlightId, Recorded, Seq};
use farerush_engine::journal::JournalError;

use super::disk::File;
use super::index::Span;
use super::round::Round;
use super::{EmbeddedJournal, segment, unavailable, with_causes};
use crate::codec::{self, Record, RecordHead, RecordKind};

impl EmbeddedJournal {
    /// Events of a flight after `after`, by rising seq, at most `events_max`.
    pub(super) fn read_events(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        let mut spans: Vec<(Span, Arc<dyn File>)> = Vec::new();
        {
            let index = self.index.lock();
            let Some(flight) = index.flights.get(flight_id) else { return Ok(Vec::new()) };
            if after >= flight.standing.last || events_max == 0 {
                return Ok(Vec::new());
            }
            let first = flight.first().unwrap_or(flight.standing.last.next());
            if after.next() < first {
                return Err(JournalError::Trimmed { flight_id: flight_id.clone(), first });
            }
            let start = flight.spans.partition_point(|span| span.last <= after);
            for span in flight.spans.range(start..) {
                let Some(file) = index.file(span.segment) else { break };
                spans.push((*span, file));
                if span.last.0 - after.0 >= events_max as u64 {
                    break;
                }
            }
        }
        let mut events = Vec::new();
        for (span, file) in spans {
            self.read_span(flight_id, span, &*file, events_max, after, &mut events)?;
            if events.len() == events_max {
                break;
            }
            if events.last().map(|event| event.seq) != Some(span.last) {
                let what = format!("events up to {} should stand in segment {}", span.last, span.segment);
                return Err(JournalError::Damaged { flight_id: Some(flight_id.clone()), what });
            }
        }
        let in_order = events.iter().zip(after.0 + 1..).all(|(event, seq)| event.seq.0 == seq);
        if !in_order {
            let what = format!("events after {after} do not follow one another");
            return Err(JournalError::Damaged { flight_id: Some(flight_id.clone()), what });
        }
        Ok(events)
    }

    /// Reads the events after `after` that stand in `span`, and appends at most `events_max` of them.
    fn read_span(
        &self,
        flight_id: &FlightId,
        span: Span,
        file: &dyn File,
        events_max: usize,
        after: Seq,
        events: &mut Vec<Recorded>,
    ) -> Result<(), JournalError> {
        let bad = |what: String| {
            let name = segment::name_of(span.segment);
            let (place, start) = (self.disk.place(), span.start);
            let what = format!("{place}/{name}, from byte {start} on: {what}");
            JournalError::Damaged { flight_id: Some(flight_id.clone()), what }
        };
        let mut bytes = vec![0; usize::try_from(span.end - span.start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, span.start).map_err(|error| unavailable("read the journal", error))?;
        let mut at = 0;
        while at < bytes.len() {
            let round =
                Round::parse(&bytes, at).map_err(|broken| bad(format!("broken round: {broken:?}")))?;
            at = round.end;
            for record in records_of(&round) {
                let (head, bytes) = record.map_err(&bad)?;
                let is_wanted = head.kind == RecordKind::Events && head.flight_id == *flight_id;
                if !is_wanted || head.last_seq() <= after {
                    continue;
                }
                let record = codec::decode(bytes).map_err(|error| bad(with_causes(&error)))?;
                let Record::Events { events: found, .. } = record else { continue };
                let room = events_max - events.len();
                events.extend(found.into_iter().filter(|event| event.seq > after).take(room));
                if events.len() == events_max {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The records of a round, each with its head. Stops after the first that cannot be read.
pub(super) fn records_of<'a>(
    round: &Round<'a>,
) -> impl Iterator<Item = Result<(RecordHead, &'a [u8]), String>> {
    let (mut rest, mut left) = (round.records, round.head.records);
    std::iter::from_fn(move || {
        if left == 0 {
            let extra = std::mem::take(&mut rest).len();
            return (extra > 0).then(|| Err(format!("{extra} bytes follow the last record")));
        }
        left -= 1;
        match codec::peek(rest) {
            Ok(head) => {
                let (record, after) = rest.split_at(head.bytes);
                rest = after;
                Some(Ok((head, record)))
            }
            Err(error) => {
                (rest, left) = (&[], 0);
                Some(Err(with_causes(&error)))
            }
        }
    })
}
