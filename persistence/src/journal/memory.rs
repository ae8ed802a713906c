//! A journal that keeps events in memory: for tests, and for `journal = memory:`.
//! Never survives its process.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use farerush_engine::flight::{FlightId, Recorded, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Extent, Journal, JournalError};
use parking_lot::Mutex;

use super::standing::{Standing, Verdict, admit, judge, twice_in_a_round};

/// Events per flight, in memory. `trim` drops what the store has, which is what bounds it.
#[derive(Default)]
pub struct MemoryJournal {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    flights: HashMap<FlightId, KeptFlight>,
    /// Counts calls of `append`, to notice two batches of a flight in one.
    round: u64,
}

struct KeptFlight {
    standing: Standing,
    /// The newest events, up to `standing.last`.
    events: VecDeque<Recorded>,
    /// The call of `append` that last had a batch of this flight.
    seen_in: u64,
}

impl KeptFlight {
    fn new(standing: Standing) -> Self {
        Self { standing, events: VecDeque::new(), seen_in: 0 }
    }

    /// The events that are there under the seqs of `batch`.
    fn between(&self, batch: &Batch) -> Vec<Recorded> {
        let seqs = batch.first_seq()..=batch.last_seq();
        self.events.iter().filter(|event| seqs.contains(&event.seq)).cloned().collect()
    }

    fn first(&self) -> Seq {
        self.events.front().map_or(Seq(0), |event| event.seq)
    }
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Journal for MemoryJournal {
    fn append(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        let mut inner = self.inner.lock();
        inner.round += 1;
        let this_round = inner.round;
        // All are judged before any is kept: a refused batch leaves the whole round out.
        let mut verdicts = Vec::with_capacity(round.len());
        let mut unknown = HashSet::new();
        for batch in round {
            let kept = inner.flights.get_mut(&batch.flight_id);
            let standing = kept.as_ref().map(|kept| kept.standing);
            let there = || Ok(kept.as_ref().map_or_else(Vec::new, |kept| kept.between(batch)));
            verdicts.push(judge(standing.as_ref(), batch)?.settled(standing.as_ref(), batch, there)?);
            let twice = match kept {
                Some(kept) => std::mem::replace(&mut kept.seen_in, this_round) == this_round,
                None => !unknown.insert(&batch.flight_id),
            };
            if twice {
                return Err(twice_in_a_round(&batch.flight_id));
            }
        }
        for (batch, _) in round.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Write) {
            let (first, last) = (batch.first_seq(), batch.last_seq());
            let kept = match inner.flights.entry(batch.flight_id.clone()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    entry.insert(KeptFlight::new(Standing::begun(batch.epoch, first, last)))
                }
            };
            kept.standing.note_written(batch.epoch, first, last);
            kept.events.extend(batch.events.iter().cloned());
        }
        Ok(verdicts.into_iter().map(Verdict::answer).collect())
    }

    fn fence(&self, claims: &[Claim]) -> Result<(), JournalError> {
        let mut inner = self.inner.lock();
        admit(claims, |flight_id| inner.flights.get(flight_id).map(|kept| kept.standing))?;
        for claim in claims {
            let kept = inner.flights.entry(claim.flight_id.clone());
            kept.or_insert_with(|| KeptFlight::new(Standing::fenced(claim.epoch, Seq(0))))
                .standing
                .note_fenced(claim.epoch);
        }
        Ok(())
    }

    fn extents(&self) -> Result<Vec<Extent>, JournalError> {
        Ok(self.inner.lock().flights.iter().map(|(flight_id, kept)| extent_of(flight_id, kept)).collect())
    }

    fn extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        Ok(self.inner.lock().flights.get(flight_id).map(|kept| extent_of(flight_id, kept)))
    }

    fn read(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        let inner = self.inner.lock();
        let Some(kept) = inner.flights.get(flight_id) else { return Ok(Vec::new()) };
        if after >= kept.standing.last {
            return Ok(Vec::new());
        }
        let first = kept.events.front().map_or(kept.standing.last.next(), |event| event.seq);
        if after.next() < first {
            return Err(JournalError::Trimmed { flight_id: flight_id.clone(), first });
        }
        let skip = usize::try_from(after.0 + 1 - first.0).unwrap_or(usize::MAX);
        Ok(kept.events.iter().skip(skip).take(events_max).cloned().collect())
    }

    fn trim(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        let mut inner = self.inner.lock();
        for (flight_id, seq) in stored {
            let Some(kept) = inner.flights.get_mut(flight_id) else { continue };
            let gone = kept.events.partition_point(|event| event.seq <= *seq);
            kept.events.drain(..gone);
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "memory:".into()
    }
}

fn extent_of(flight_id: &FlightId, kept: &KeptFlight) -> Extent {
    Extent {
        flight_id: flight_id.clone(),
        epoch: kept.standing.epoch,
        first: kept.first(),
        last: kept.standing.last,
    }
}
