//! What Redis knows of flights' epochs and seqs, and what this process has learnt and promised.
//! Never decides what becomes of a batch: `Standing` and `judge` do.

use ::redis::{Cmd, cmd};
use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::JournalError;

use super::link::Link;
use super::stream::{Entry, EntryId, Keys, damaged, entries};
use crate::journal::standing::Standing;

/// So many flights are asked about at a time: with each comes its newest batch.
pub(super) const FLIGHTS_A_LOOK: usize = 128;
/// So many entries are looked at, at a time, for the newest batch behind fences.
const FENCES_A_LOOK: usize = 100;

/// What is known of a flight here.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownStanding {
    pub(super) standing: Standing,
    /// On which connection that was learnt (0: must be asked again). On the same one nobody but this process can
    /// have changed it, except under a larger epoch, which Redis itself then holds against us.
    pub(super) learnt_on: u64,
    /// Up to where this process has said `Durable`, or found the events when it claimed the flight.
    pub(super) promised: Seq,
}

impl KnownStanding {
    /// Whether `now` lacks events that were promised. Under a larger epoch that is the new owner's concern.
    pub(super) fn check_kept(
        &self,
        flight_id: &FlightId,
        now: Option<&Standing>,
    ) -> Result<(), JournalError> {
        match now {
            None => Err(lost(flight_id)),
            Some(now) if now.epoch <= self.standing.epoch && now.last < self.promised => {
                let (last, promised) = (now.last, self.promised);
                let what = format!(
                    "Redis has lost events that it had confirmed: {last} is the last, not {promised}"
                );
                Err(damaged(flight_id, what))
            }
            Some(_) => Ok(()),
        }
    }
}

/// The refusal to go on with a flight whose stream has gone.
pub(super) fn lost(flight_id: &FlightId) -> JournalError {
    damaged(
        flight_id,
        "Redis has lost its journal (was it flushed, or did an empty replica take over?)".into(),
    )
}

/// What Redis has of these flights; `None` where it has nothing.
pub(super) fn load(
    link: &mut Link,
    keys: &Keys,
    flights: &[FlightId],
) -> Result<Vec<Option<Standing>>, JournalError> {
    let mut standings = Vec::with_capacity(flights.len());
    for flights in flights.chunks(FLIGHTS_A_LOOK) {
        standings.extend(load_some(link, keys, flights)?);
    }
    Ok(standings)
}

fn load_some(
    link: &mut Link,
    keys: &Keys,
    flights: &[FlightId],
) -> Result<Vec<Option<Standing>>, JournalError> {
    let what = "read how far flights have come";
    let newest = link.ask_all(what, flights.iter().map(|id| newest_entries(keys, id, "+", 2)))?;
    let mut standings = Vec::with_capacity(flights.len());
    let mut batches = Vec::with_capacity(flights.len());
    for (flight_id, answer) in flights.iter().zip(newest) {
        let found = entries(flight_id, answer)?;
        let Some(newest) = found.first() else {
            standings.push(None);
            batches.push(None);
            continue;
        };
        standings.push(Some(Standing::fenced(newest.id.epoch, Seq(0))));
        batches.push(newest_batch(link, keys, flight_id, &found)?);
    }
    // From where on the newest writer wrote.
    let written: Vec<(usize, EntryId)> =
        batches.iter().enumerate().filter_map(|(place, id)| id.map(|id| (place, id))).collect();
    let firsts = written.iter().map(|(place, id)| first_batch_of(keys, &flights[*place], id.epoch));
    let firsts = link.ask_all(what, firsts)?;
    for ((place, newest), answer) in written.iter().zip(firsts) {
        let first = entries(&flights[*place], answer)?.first().map_or(newest.seq, Entry::first_seq);
        let epoch = standings[*place].map_or(newest.epoch, |standing| standing.epoch);
        let mut standing = Standing::begun(newest.epoch, first, newest.seq);
        standing.note_fenced(epoch);
        standings[*place] = Some(standing);
    }
    Ok(standings)
}

/// The ID of the newest batch, which may stand behind many fences.
fn newest_batch(
    link: &mut Link,
    keys: &Keys,
    flight_id: &FlightId,
    newest: &[Entry],
) -> Result<Option<EntryId>, JournalError> {
    let mut found = newest.to_vec();
    let mut looked_for = 2;
    loop {
        if let Some(batch) = found.iter().find(|entry| !entry.id.is_fence()) {
            return Ok(Some(batch.id));
        }
        let Some(oldest) = found.last().filter(|_| found.len() == looked_for) else { return Ok(None) };
        looked_for = FENCES_A_LOOK;
        let command = newest_entries(keys, flight_id, &oldest.id.exclusive(), looked_for);
        found = entries(flight_id, link.ask("read a flight's newest events", &command)?)?;
    }
}

/// Asks for the newest entries up to `end`, newest first.
pub(super) fn newest_entries(keys: &Keys, flight_id: &FlightId, end: &str, count: usize) -> Cmd {
    let mut command = cmd("XREVRANGE");
    command.arg(keys.journal(flight_id)).arg(end).arg("-").arg("COUNT").arg(count);
    command
}

fn first_batch_of(keys: &Keys, flight_id: &FlightId, epoch: Epoch) -> Cmd {
    let mut command = cmd("XRANGE");
    command.arg(keys.journal(flight_id)).arg(EntryId::fence(epoch).exclusive()).arg("+").arg("COUNT").arg(1);
    command
}
