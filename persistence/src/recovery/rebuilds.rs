//! Flights that are being rebuilt side by side: each ends with a flight or with a reason, whatever becomes of its task.
//! Never rebuilds anything itself.

use std::collections::HashMap;

use farerush_engine::flight::FlightId;
use tokio::task::{Id, JoinSet};

use super::outcome::{Recovered, RecoveryError};

type RebuildResult = Result<Recovered, RecoveryError>;

/// The tasks that are on their way.
#[derive(Default)]
pub(super) struct Rebuilds {
    tasks: JoinSet<RebuildResult>,
    /// A task that panicked says so by its id alone, and its flight must not be missing for that.
    flights: HashMap<Id, FlightId>,
}

impl Rebuilds {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Starts one.
    pub(super) fn start(
        &mut self,
        flight_id: FlightId,
        rebuild: impl Future<Output = RebuildResult> + Send + 'static,
    ) {
        let task = self.tasks.spawn(rebuild);
        self.flights.insert(task.id(), flight_id);
    }

    /// What became of the next one that ends; `None` if there is none.
    pub(super) async fn next(&mut self) -> Option<(FlightId, RebuildResult)> {
        let (task, result) = match self.tasks.join_next_with_id().await? {
            Ok((task, result)) => (task, Some(result)),
            Err(error) => (error.id(), None),
        };
        let flight_id = self.flights.remove(&task)?;
        let panicked = || Err(RecoveryError::Panicked { flight_id: flight_id.clone() });
        let result = result.unwrap_or_else(panicked);
        Some((flight_id, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rebuild_that_panics_is_told_with_its_flight() {
        let id = |name: &str| FlightId::new(name).unwrap();
        let mut rebuilds = Rebuilds::default();
        let not_found = id("B");
        rebuilds.start(id("A"), async { panic!("on purpose") });
        rebuilds.start(id("B"), async { Err(RecoveryError::NotFound { flight_id: not_found }) });
        let mut ended = Vec::new();
        while let Some((flight_id, result)) = rebuilds.next().await {
            ended.push((flight_id.to_string(), matches!(result, Err(RecoveryError::Panicked { .. }))));
        }
        ended.sort();
        assert_eq!(ended, [("A".to_owned(), true), ("B".to_owned(), false)]);
    }
}
