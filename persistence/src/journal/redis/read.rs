//! Reading what is there: extents, and events after a seq.
//! Never guesses: a hole, or a record that cannot be vouched for, is damage of that flight.

use ::redis::{Cmd, cmd};
use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq};
use farerush_engine::journal::{Extent, JournalError};

use super::RedisJournal;
use super::kept::KeptEntry;
use super::link::{Link, or_error, unavailable};
use super::standings::{FLIGHTS_A_LOOK, load, newest_entries};
use super::stream::{Entry, EntryId, damaged, entries};
use crate::journal::standing::Standing;

/// So many entries are read at first, then twice as many each time, as nobody knows how many events they hold.
const ENTRIES_A_READ_MIN: usize = 16;
const ENTRIES_A_READ_MAX: usize = 1024;
/// So many entries are looked at behind a fence, as there may be more of them.
const FENCES_A_LOOK: usize = 16;

/// Where in a stream the events after some seq are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StreamPosition {
    /// No batch in front of this ID has any of them; `None` if there are none.
    pub(super) start: Option<EntryId>,
    /// The newest batch.
    pub(super) newest_batch: Option<EntryId>,
    /// Whether a batch of earlier events is still there.
    pub(super) has_earlier: bool,
}

impl RedisJournal {
    pub(super) fn read_extents(&self) -> Result<Vec<Extent>, JournalError> {
        self.query_link.lock().attempt(|link| self.extents_on(link))
    }

    fn extents_on(&self, link: &mut Link) -> Result<Vec<Extent>, JournalError> {
        let what = "read the list of flights";
        let answer = or_error(what, link.ask(what, cmd("SMEMBERS").arg(self.keys.flights()))?)?;
        let mut names: Vec<String> = ::redis::from_redis_value(answer).map_err(|e| unavailable(what, e))?;
        names.sort_unstable();
        let mut flights = Vec::with_capacity(names.len());
        for name in names {
            match FlightId::new(&name) {
                Ok(flight_id) => flights.push(flight_id),
                Err(error) => {
                    tracing::error!(name, %error, "the list of flights in Redis holds something else");
                }
            }
        }
        // One bad flight must not keep the others out of sight.
        match self.extents_of(link, &flights) {
            Ok(extents) => Ok(extents.into_iter().flatten().collect()),
            Err(JournalError::Damaged { .. }) => {
                let mut extents = Vec::new();
                for flight_id in flights {
                    match self.extents_of(link, std::slice::from_ref(&flight_id)) {
                        Ok(found) => extents.extend(found.into_iter().flatten()),
                        Err(error @ JournalError::Damaged { .. }) => {
                            tracing::error!(%flight_id, %error, "a flight's journal cannot be read");
                            extents.push(Extent { flight_id, epoch: Epoch(0), first: Seq(0), last: Seq(0) });
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(extents)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn read_extent(&self, flight_id: &FlightId) -> Result<Option<Extent>, JournalError> {
        let mut link = self.query_link.lock();
        let mut extents = link.attempt(|link| {
            self.see_own_whole(link, flight_id)?;
            self.extents_of(link, std::slice::from_ref(flight_id))
        })?;
        Ok(extents.pop().flatten())
    }

    fn extents_of(&self, link: &mut Link, flights: &[FlightId]) -> Result<Vec<Option<Extent>>, JournalError> {
        let standings = load(link, &self.keys, flights)?;
        let mut extents: Vec<Option<Extent>> = flights
            .iter()
            .zip(standings)
            .map(|(flight_id, standing)| {
                let extent = |Standing { epoch, last, .. }| Extent {
                    flight_id: flight_id.clone(),
                    epoch,
                    first: Seq(0),
                    last,
                };
                standing.map(extent)
            })
            .collect();
        let with_events: Vec<usize> = (0..flights.len())
            .filter(|place| extents[*place].as_ref().is_some_and(|extent| extent.last > Seq(0)))
            .collect();
        for places in with_events.chunks(FLIGHTS_A_LOOK) {
            let commands = places.iter().map(|place| self.oldest_entries(&flights[*place], "-", 1));
            for (place, answer) in places.iter().zip(link.ask_all("read flights' first events", commands)?) {
                let oldest = entries(&flights[*place], answer)?;
                if let (Some(extent), Some(entry)) = (&mut extents[*place], oldest.first()) {
                    extent.first = self.first_seq_from(link, &flights[*place], entry)?;
                }
            }
        }
        // Of one that came up from the store, and has not sold since, there is a snapshot and nothing behind it.
        let without_events: Vec<usize> = (0..flights.len())
            .filter(|place| extents[*place].as_ref().is_some_and(|extent| extent.last == Seq(0)))
            .collect();
        let snapshots = self.snapshot_seqs(link, without_events.iter().map(|place| &flights[*place]))?;
        for (place, seq) in without_events.into_iter().zip(snapshots) {
            if let Some(extent) = &mut extents[place] {
                extent.last = seq;
            }
        }
        Ok(extents)
    }

    /// The first event that is still there, if `oldest` is the oldest entry.
    fn first_seq_from(
        &self,
        link: &mut Link,
        flight_id: &FlightId,
        oldest: &Entry,
    ) -> Result<Seq, JournalError> {
        let mut oldest = oldest.clone();
        while oldest.id.is_fence() {
            let next = self.oldest_entries(flight_id, &oldest.id.exclusive(), FENCES_A_LOOK);
            let found = entries(flight_id, link.ask("read a flight's first events", &next)?)?;
            let batch = found.iter().find(|entry| !entry.id.is_fence());
            let Some(entry) = batch.or(found.last()) else { return Ok(Seq(0)) };
            oldest = entry.clone();
        }
        Ok(oldest.first_seq())
    }

    pub(super) fn read_events(
        &self,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        if events_max == 0 {
            return Ok(Vec::new());
        }
        self.query_link.lock().attempt(|link| {
            self.see_own_whole(link, flight_id)?;
            self.read_on(link, flight_id, after, events_max)
        })
    }

    /// What this process has claimed and reads now may not be whole on a primary that is new.
    fn see_own_whole(&self, link: &mut Link, flight_id: &FlightId) -> Result<(), JournalError> {
        let is_own = self.known.lock().contains_key(flight_id);
        if is_own { self.see_that_it_is_met(link, [flight_id]) } else { Ok(()) }
    }

    pub(super) fn read_on(
        &self,
        link: &mut Link,
        flight_id: &FlightId,
        after: Seq,
        events_max: usize,
    ) -> Result<Vec<Recorded>, JournalError> {
        let keeps = self.options.heals && self.known.lock().contains_key(flight_id);
        let place = self.find(link, flight_id, after)?;
        let Some(start) = place.start else { return Ok(Vec::new()) };
        let mut from = start.to_string();
        let mut events: Vec<Recorded> = Vec::new();
        let mut expected = after.next();
        let mut count = ENTRIES_A_READ_MIN;
        while events.len() < events_max {
            let wanted = count.min(events_max - events.len() + 1);
            let command = self.oldest_entries(flight_id, &from, wanted);
            let found = entries(flight_id, link.ask("read a flight's events", &command)?)?;
            for entry in &found {
                from = entry.id.exclusive();
                if keeps {
                    self.keep(flight_id, KeptEntry::read(entry));
                }
                if entry.id.is_fence() || events.len() >= events_max {
                    continue;
                }
                let batch = entry.events(flight_id)?;
                let first = batch.first().map_or(Seq(0), |event| event.seq);
                if expected < first && events.is_empty() && !place.has_earlier {
                    return Err(JournalError::Trimmed { flight_id: flight_id.clone(), first });
                }
                // Only the batch in which reading begins may hold earlier events.
                if expected < first || (first < expected && !events.is_empty()) {
                    let what =
                        format!("seq {expected} should follow, but entry {} begins at {first}", entry.id);
                    return Err(damaged(flight_id, what));
                }
                let room = events_max - events.len();
                events.extend(batch.into_iter().filter(|event| event.seq >= expected).take(room));
                expected = events.last().map_or(expected, |event| event.seq.next());
            }
            if found.len() < wanted {
                break;
            }
            count = (count * 2).min(ENTRIES_A_READ_MAX);
        }
        Ok(events)
    }

    /// Finds where the events after `after` begin. Seqs rise through the epochs, so it goes back epoch by epoch.
    pub(super) fn find(
        &self,
        link: &mut Link,
        flight_id: &FlightId,
        after: Seq,
    ) -> Result<StreamPosition, JournalError> {
        let mut place = StreamPosition::default();
        let mut end = "+".to_owned();
        // One is often enough. Where it is a fence, there may be many: one of each start that nothing was sold after.
        let mut looked_for = 1;
        loop {
            let command = newest_entries(&self.keys, flight_id, &end, looked_for);
            let found = entries(flight_id, link.ask("read a flight's events", &command)?)?;
            let Some(Entry { id, .. }) = found.iter().find(|entry| !entry.id.is_fence()) else {
                match found.last() {
                    Some(oldest) if found.len() == looked_for => end = oldest.id.exclusive(),
                    _ => return Ok(place),
                }
                looked_for = FENCES_A_LOOK;
                continue;
            };
            let id = *id;
            looked_for = 1;
            place.newest_batch = place.newest_batch.or(Some(id));
            if id.seq <= after {
                place.has_earlier = true;
                return Ok(place);
            }
            place.start = Some(EntryId { epoch: id.epoch, seq: after.next() });
            // A batch of the same epoch that is earlier matters as much as one of another epoch.
            let inside = self.has_batch_up_to(link, flight_id, EntryId::fence(id.epoch), after)?;
            if inside {
                place.has_earlier = true;
                return Ok(place);
            }
            end = EntryId::fence(id.epoch).exclusive();
        }
    }

    /// Whether the epoch of `fence` has a batch that ends at `last` or before.
    fn has_batch_up_to(
        &self,
        link: &mut Link,
        flight_id: &FlightId,
        fence: EntryId,
        last: Seq,
    ) -> Result<bool, JournalError> {
        if last == Seq(0) {
            return Ok(false);
        }
        let end = EntryId { epoch: fence.epoch, seq: last };
        let mut command = cmd("XREVRANGE");
        command.arg(self.keys.journal(flight_id)).arg(end.to_string()).arg(fence.exclusive());
        let answer = link.ask("read a flight's events", command.arg("COUNT").arg(1))?;
        Ok(!entries(flight_id, answer)?.is_empty())
    }

    /// Asks for entries from `from` on, oldest first.
    fn oldest_entries(&self, flight_id: &FlightId, from: &str, count: usize) -> Cmd {
        let mut command = cmd("XRANGE");
        command.arg(self.keys.journal(flight_id)).arg(from).arg("+").arg("COUNT").arg(count);
        command
    }
}
