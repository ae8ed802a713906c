//! Reading events back: finds the records they stand in, and decodes what is asked for.
//! Never trusts the index: every record's checksum is checked again, and no event may be missing.

use std::io::ErrorKind;
use std::sync::Arc;

use farerush_engine::flight::{FlightId, Recorded, Seq};
use farerush_engine::journal::JournalError;

use super::disk::File;
use super::index::Wanted;
use super::round::Round;
use super::{EmbeddedJournal, segment, unavailable, with_causes};
use crate::codec::{self, Record, RecordHead};

/// Records with at most this much of others' between them are read at once.
const GAP_BYTES_MAX: u64 = 8 << 10;
/// Nothing is added to a read that is this long already.
const READ_BYTES: u64 = 1 << 20;

/// Records of one segment that are read at once.
struct RecordStretch {
    segment: u64,
    /// `None`: it has to be opened.
    file: Option<Arc<dyn File>>,
    start: u64,
    end: u64,
    records: Vec<Wanted>,
}

impl EmbeddedJournal {
    /// Events of a flight after `after`, by rising seq, at most `events_max`.
    pub(super) fn read_events(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        let mut stretches: Vec<RecordStretch> = Vec::new();
        let last = {
            let index = self.index.lock();
            let Some(flight) = index.flights.get(flight_id) else { return Ok(Vec::new()) };
            let last = flight.standing.last;
            if after >= last || events_max == 0 {
                return Ok(Vec::new());
            }
            let first = flight.first().unwrap_or(last.next());
            if after.next() < first {
                return Err(JournalError::Trimmed { flight_id: flight_id.clone(), first });
            }
            for record in flight.wanted(after, events_max) {
                if stretches.last_mut().is_none_or(|stretch| !stretch.takes(record)) {
                    let (segment, file) = (record.segment, index.file(record.segment));
                    let (start, end) = (record.offset, record.offset + record.bytes);
                    stretches.push(RecordStretch { segment, file, start, end, records: vec![record] });
                }
            }
            last
        };
        let mut events = Vec::new();
        for stretch in &stretches {
            self.read_stretch(flight_id, stretch, after, &mut events)?;
        }
        events.truncate(events_max);
        let in_order = events.iter().zip(after.0 + 1..).all(|(event, seq)| event.seq.0 == seq);
        if !in_order || (events.len() as u64) < (last.0 - after.0).min(events_max as u64) {
            let what = format!("the events after {after} do not follow one another up to {last}");
            return Err(JournalError::Damaged { flight_id: Some(flight_id.clone()), what });
        }
        Ok(events)
    }

    /// Opens a segment that is not kept open; it may have been removed meanwhile.
    fn open_old(&self, flight_id: &FlightId, number: u64) -> Result<Arc<dyn File>, JournalError> {
        let error = match self.disk.open(&segment::name_of(number)) {
            Ok(file) => return Ok(file),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::NotFound {
            let index = self.index.lock();
            let flight = index.flights.get(flight_id);
            let is_oldest = index.segments.front().is_none_or(|oldest| oldest.number >= number);
            if let Some(flight) = flight.filter(|_| is_oldest) {
                let first = flight.first().unwrap_or(flight.standing.last.next());
                return Err(JournalError::Trimmed { flight_id: flight_id.clone(), first });
            }
        }
        Err(unavailable("open an old segment of the journal", error))
    }

    fn read_stretch(
        &self,
        flight_id: &FlightId,
        stretch: &RecordStretch,
        after: Seq,
        events: &mut Vec<Recorded>,
    ) -> Result<(), JournalError> {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size(stretch.end - stretch.start)];
        let file = match &stretch.file {
            Some(file) => Arc::clone(file),
            None => self.open_old(flight_id, stretch.segment)?,
        };
        let read = file.read_exact_at(&mut bytes, stretch.start);
        read.map_err(|error| unavailable("read the journal", error))?;
        for record in &stretch.records {
            let start = size(record.offset - stretch.start);
            let bad = |what: String| {
                let (place, name) = (self.disk.place(), segment::name_of(record.segment));
                let what = format!("{place}/{name}: at byte {}: {what}", record.offset);
                JournalError::Damaged { flight_id: Some(flight_id.clone()), what }
            };
            match codec::decode(&bytes[start..start + size(record.bytes)]) {
                Ok(Record::Events { flight_id: found, events: more, .. }) if found == *flight_id => {
                    events.extend(more.into_iter().filter(|event| event.seq > after));
                }
                Ok(_) => return Err(bad("another record stands in its place".into())),
                Err(error) => return Err(bad(with_causes(&error))),
            }
        }
        Ok(())
    }
}

impl RecordStretch {
    /// Adds the record, if it is near enough.
    fn takes(&mut self, record: Wanted) -> bool {
        let is_near = self.records.last().is_some_and(|last| last.segment == record.segment)
            && record.offset - self.end <= GAP_BYTES_MAX
            && self.end - self.start < READ_BYTES;
        if is_near {
            self.end = record.offset + record.bytes;
            self.records.push(record);
        }
        is_near
    }
}

/// The heads of a round's records. Stops after the first that cannot be read.
pub(super) fn records_of(round: &Round<'_>) -> impl Iterator<Item = Result<RecordHead, String>> {
    let (mut rest, mut left) = (round.records, round.head.records);
    std::iter::from_fn(move || {
        if left == 0 {
            let extra = std::mem::take(&mut rest).len();
            return (extra > 0).then(|| Err(format!("{extra} bytes follow the last record")));
        }
        left -= 1;
        match codec::peek(rest) {
            Ok(head) => {
                rest = &rest[head.bytes..];
                Some(Ok(head))
            }
            Err(error) => {
                (rest, left) = (&[], 0);
                Some(Err(with_causes(&error)))
            }
        }
    })
}
