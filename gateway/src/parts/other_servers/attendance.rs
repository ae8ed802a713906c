//! Which flights nobody serves: of all that journal and store have, those that neither this process has nor any other one
//! that is there. Never brings one up: whose it is to be is its operator's to say.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::actor::{Engine, Located};
use farerush_engine::flight::{FlightId, Seq};
use farerush_engine::journal::{Journal, JournalError};
use parking_lot::Mutex;

use crate::base::errors::in_full;
use crate::parts::other_servers::Upkeep;

/// How often it is looked; a server that is not there any more has faded after a few times.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Unserved when it was looked last, perhaps only because they were moving.
    suspects: HashSet<FlightId>,
    /// Unserved at that look and at the one before, by name.
    unserved: Vec<FlightId>,
}

impl Attendance {
    /// The flights that nobody serves, by name.
    pub(super) fn unserved(&self) -> Vec<FlightId> {
        self.found.lock().unserved.clone()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.found.lock().unserved.len()
    }

    fn note(&self, seen: Vec<FlightId>) {
        let mut found = self.found.lock();
        let before = std::mem::take(&mut found.suspects);
        found.suspects = seen.iter().cloned().collect();
        let unserved: Vec<FlightId> =
            seen.into_iter().filter(|flight_id| before.contains(flight_id)).collect();
        if found.unserved.is_empty() != unserved.is_empty() {
            match unserved.first() {
                Some(first) => tracing::warn!(
                    flights = unserved.len(),
                    %first,
                    "flights are served by nobody; restarting one (POST /v1/admin/flights/{{id}}/restart) brings it up where \
                     that is asked"
                ),
                None => tracing::info!("every flight is served by somebody again"),
            }
        }
        found.unserved = unserved;
    }
}

/// Looks again and again, for as long as the server runs.
pub(super) async fn watch(upkeep: Weak<Upkeep>) {
    loop {
        // Holds nothing meanwhile: after a stop, the journal must be free for the next owner.
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
        let looked = tokio::task::spawn_blocking(move || look(&upkeep)).await;
        if let Ok(Err(error)) = looked {
            tracing::debug!(error = in_full(&error), "who serves which flight cannot be found out");
        }
    }
}

fn look(upkeep: &Upkeep) -> Result<(), JournalError> {
    let other_servers = &upkeep.other_servers;
    let arrivals = other_servers.arrivals();
    let is_here = |flight_id: &FlightId| matches!(upkeep.engine.find(flight_id), Located::Here(_));
    let seen = match &upkeep.redis {
        Some(redis) => {
            let known: Vec<FlightId> = other_servers.elsewhere.read().iter().cloned().collect();
            redis.attend(|flight_id| is_here(flight_id) || arrivals.is_coming(flight_id), known)?
        }
        None => here_alone(&other_servers.journal, &upkeep.engine)?
            .into_iter()
            .filter(|flight_id| !arrivals.is_coming(flight_id))
            .collect(),
    };
    other_servers.attendance.note(seen);
    Ok(())
}

/// Where nobody else can have them.
fn here_alone(journal: &Arc<dyn Journal>, engine: &Engine) -> Result<Vec<FlightId>, JournalError> {
    let mut names: Vec<FlightId> = journal
        .extents()?
        .into_iter()
        .filter(|extent| extent.last > Seq(0))
        .map(|extent| extent.flight_id)
        .filter(|flight_id| !matches!(engine.find(flight_id), Located::Here(_)))
        .collect();
    // What could not be recovered may be the store's alone.
    names.extend(engine.status().quarantined.into_iter().map(|(flight_id, _)| flight_id));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<FlightId> {
        names.iter().map(|name| FlightId::new(name).unwrap()).collect()
    }

    #[test]
    fn a_flight_that_only_moves_is_not_unserved() {
        let attendance = Attendance::default();
        attendance.note(named(&["FR1", "FR2"]));
        assert_eq!(attendance.count(), 0);
        attendance.note(named(&["FR2", "FR3"]));
        assert_eq!(attendance.unserved(), named(&["FR2"]));
        attendance.note(named(&["FR3"]));
        assert_eq!(attendance.unserved(), named(&["FR3"]));
        attendance.note(Vec::new());
        assert_eq!(attendance.count(), 0);
    }
}
