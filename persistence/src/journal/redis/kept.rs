//! What was confirmed of late, as it was sent: a primary that takes another's place may lack it, and gets it again.
//! Never holds more of a flight than a bound, nor anything for longer than a fail-over can reach back.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use farerush_engine::flight::{FlightId, Seq};

use super::stream::{Entry, EntryId};

/// Bytes of records that are kept of a flight, the newest: more than most flights ever have.
const BYTES_MAX: usize = 256 << 10;
/// How long what the store has is kept: a replica that is further behind is not promoted by anybody sane.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How long anything is.
const KEPT_AT_MOST: Duration = Duration::from_secs(600);
/// How often it is looked what need not be kept any more.
const SWEPT_EVERY: Duration = Duration::from_secs(5);

/// An entry as it was sent.
#[derive(Debug, Clone)]
pub(super) struct KeptEntry {
    pub(super) id: EntryId,
    /// Of a batch its first event; of a fence the last event in front of it, if that is known.
    pub(super) seq: Option<Seq>,
    pub(super) record: Vec<u8>,
    /// Whose it is, if an ownership begins with it.
    pub(super) by: Option<Vec<u8>>,
    at: Instant,
}

impl KeptEntry {
    pub(super) fn new(id: EntryId, seq: Option<Seq>, record: Vec<u8>, by: Option<Vec<u8>>) -> Self {
        Self { id, seq, record, by, at: Instant::now() }
    }

    /// One that was read.
    pub(super) fn read(entry: &Entry) -> Self {
        let seq = (!entry.id.is_fence()).then(|| entry.first_seq());
        Self::new(entry.id, seq, entry.record.clone(), entry.by.clone())
    }
}

#[derive(Debug, Default)]
struct Lane {
    entries: BTreeMap<EntryId, KeptEntry>,
    bytes: usize,
    /// How far the store has the flight.
    stored: Seq,
}

/// What is kept, by flight.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lanes: HashMap<FlightId, Lane>,
    swept: Option<Instant>,
}

impl Kept {
    pub(super) fn note(&mut self, flight_id: &FlightId, entry: KeptEntry) {
        if !self.lanes.contains_key(flight_id) {
            self.lanes.insert(flight_id.clone(), Lane::default());
        }
        let Some(lane) = self.lanes.get_mut(flight_id) else { return };
        lane.bytes += entry.record.len();
        if let Some(before) = lane.entries.insert(entry.id, entry) {
            lane.bytes -= before.record.len();
        }
        while lane.bytes > BYTES_MAX && lane.entries.len() > 1 {
            let oldest = lane.entries.pop_first();
            lane.bytes -= oldest.map_or(0, |(_, entry)| entry.record.len());
        }
    }

    /// Says how far the store has a flight.
    pub(super) fn note_stored(&mut self, flight_id: &FlightId, stored: Seq) {
        if let Some(lane) = self.lanes.get_mut(flight_id) {
            lane.stored = lane.stored.max(stored);
        }
    }

    /// Lets go of what need not be kept any more, now and then.
    pub(super) fn sweep(&mut self) {
        let now = Instant::now();
        if self.swept.is_some_and(|swept| now - swept < SWEPT_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.lanes.retain(|_, lane| {
            let stored = lane.stored;
            lane.entries
                .retain(|id, entry| now - entry.at < if id.seq <= stored { KEPT_FOR } else { KEPT_AT_MOST });
            lane.bytes = lane.entries.values().map(|entry| entry.record.len()).sum();
            !lane.entries.is_empty()
        });
    }

    /// The entry under this ID, and whether there is an earlier one.
    pub(super) fn at(&self, flight_id: &FlightId, id: EntryId) -> (Option<KeptEntry>, bool) {
        let Some(lane) = self.lanes.get(flight_id) else { return (None, false) };
        (lane.entries.get(&id).cloned(), lane.entries.range(..id).next().is_some())
    }

    /// Those behind this ID, in order.
    pub(super) fn behind(&self, flight_id: &FlightId, id: Option<EntryId>) -> Vec<KeptEntry> {
        let Some(lane) = self.lanes.get(flight_id) else { return Vec::new() };
        let is_behind = |entry: &&KeptEntry| id.is_none_or(|id| entry.id > id);
        lane.entries.values().filter(is_behind).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use farerush_engine::flight::Epoch;

    use super::*;

    fn entry(seq: u64, bytes: usize) -> KeptEntry {
        let id = EntryId { epoch: Epoch(1), seq: Seq(seq) };
        KeptEntry::new(id, Some(Seq(seq)), vec![0; bytes], None)
    }

    #[test]
    fn the_newest_are_kept_up_to_the_bound_and_the_last_one_in_any_case() {
        let (mut kept, flight_id) = (Kept::default(), FlightId::new("FR1").unwrap());
        for seq in 1..=10 {
            kept.note(&flight_id, entry(seq, BYTES_MAX / 4));
        }
        let seqs = |kept: &Kept| -> Vec<u64> {
            kept.behind(&flight_id, None).iter().map(|entry| entry.id.seq.0).collect()
        };
        assert_eq!(seqs(&kept), [7, 8, 9, 10]);
        kept.note(&flight_id, entry(11, BYTES_MAX * 2));
        assert_eq!(seqs(&kept), [11]);
        let (there, has_earlier) = kept.at(&flight_id, entry(11, 0).id);
        assert!(there.is_some() && !has_earlier);
        // The same again takes no more room.
        kept.note(&flight_id, entry(11, 1));
        kept.note(&flight_id, entry(12, 1));
        assert_eq!(seqs(&kept), [11, 12]);
    }
}
