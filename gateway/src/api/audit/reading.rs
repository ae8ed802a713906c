//! A flight's events as the audit reads them: from the journal, and from the store where the journal has them no more.
//! Never shows what another owner has named otherwise.

use std::time::{Duration, Instant};

use farerush_engine::actor::FlightHandle;
use farerush_engine::flight::{Recorded, Seq};
use farerush_engine::journal::JournalError;

use super::{AuditEntry, Naming, told, told_of_rows};
use crate::base::errors::in_full;
use crate::parts::sales::Sales;
use crate::wire::problem::Problem;

/// The journal may be trimmed between two looks at it, hardly twice.
const READ_TRIES: usize = 3;
/// How long a flight may take to show what its journal has, and how often it is looked.
const VIEW_PATIENCE: Duration = Duration::from_secs(1);
const VIEW_PAUSE: Duration = Duration::from_millis(20);

/// The same events with the names that the flight's owners gave: what ids are made of comes with an owner's first event, so that
/// whoever knows less of the flight than the journal would name its orders otherwise.
pub(super) async fn named_page(
    sales: &Sales,
    flight: &FlightHandle,
    after: Seq,
    events_max: usize,
) -> Result<(Seq, Vec<AuditEntry>), Problem> {
    let until = Instant::now() + VIEW_PATIENCE;
    loop {
        let (owned, changed) = (sales.flights.owned(flight), flight.changed());
        let ids = flight.view().definition.ids.clone();
        let page =
            page(sales, Naming { flight_id: flight.flight_id(), ids: &ids }, after, events_max).await?;
        owned.still().await?;
        let view = flight.view();
        if page.1.last().is_none_or(|last| last.seq <= view.seq) && view.definition.ids == ids {
            return Ok(page);
        }
        if Instant::now() >= until {
            return Err(Problem::overloaded("the flight does not show its newest events just now", 1));
        }
        // Events are in the journal a moment before the flight shows them.
        let _ = tokio::time::timeout(VIEW_PAUSE, changed).await;
    }
}

/// Events behind `after`, at most `events_max`, and from which event on none is missing.
async fn page(
    sales: &Sales,
    naming: Naming<'_>,
    after: Seq,
    events_max: usize,
) -> Result<(Seq, Vec<AuditEntry>), Problem> {
    let deadline = sales.flights.deadline(None)?;
    for _ in 0..READ_TRIES {
        let (journal, flight_id) = (sales.flights.other_servers.journal().clone(), naming.flight_id.clone());
        let read = move || -> Result<(Seq, Vec<Recorded>), JournalError> {
            let Some(extent) = journal.extent(&flight_id)? else { return Ok((Seq(1), Vec::new())) };
            // Where it has nothing, what comes next will be the first.
            let first = if extent.first == Seq(0) { extent.last.next() } else { extent.first };
            if after.next() < first {
                return Ok((first, Vec::new()));
            }
            journal.read(&flight_id, after, events_max).map(|events| (first, events))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (first, events) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(JournalError::Trimmed { .. })) => continue,
            Ok(Err(error)) => return Err(journal_away(&error)),
            Err(error) => return Err(journal_away(&error)),
        };
        if after.next() >= first {
            return Ok((first, events.iter().map(|recorded| told(recorded, naming)).collect()));
        }
        let stored = sales
            .lists
            .from_store(deadline, sales.lists.store.changes(naming.flight_id, after, first, events_max))
            .await?;
        let mut told: Vec<AuditEntry> =
            stored.into_iter().map(|change| told_of_rows(change, naming)).collect();
        if told.len() < events_max {
            // The page goes on in the journal.
            let (journal, flight_id) =
                (sales.flights.other_servers.journal().clone(), naming.flight_id.clone());
            let (before, left) = (Seq(first.0 - 1), events_max - told.len());
            let read = tokio::task::spawn_blocking(move || journal.read(&flight_id, before, left)).await;
            match read {
                Ok(Ok(events)) => told.extend(events.iter().map(|recorded| self::told(recorded, naming))),
                Ok(Err(JournalError::Trimmed { .. })) => continue,
                Ok(Err(error)) => return Err(journal_away(&error)),
                Err(error) => return Err(journal_away(&error)),
            }
        }
        return Ok((first, told));
    }
    Err(Problem::overloaded("the journal is being trimmed", 1))
}

fn journal_away(error: &dyn std::error::Error) -> Problem {
    tracing::warn!(error = in_full(error), "reading the journal for the audit failed");
    Problem::overloaded("the journal, from which the audit is read, cannot be read just now", 2)
}
