//! Verify: rebuilds every flight from the journal and from the store, and compares everything with everything.
//! Never writes and never claims: it may run beside a server, or on a copy.

mod report;
mod tables;

use std::collections::HashMap;
use std::sync::Arc;

use farerush_engine::flight::{Flight, FlightId, FlightSnapshot, IdSecrets, Order, Seq, Timestamp};
use farerush_engine::journal::{Extent, Journal};
use tokio::task::{JoinSet, spawn_blocking};

use self::tables::check_tables;
use crate::recovery::{RecoveryError, blocking, replay};
use crate::store::{Cursor, Store, StoreError, StoredFlight, Waiting};

pub use self::report::{Verdict, VerifiedFlight, VerifyReport};

/// How often a flight is read again because a server moved it on while it was being read.
const TRIES_MAX: usize = 5;
/// Flights that are checked at the same time.
const FLIGHTS_AT_A_TIME: usize = 4;

/// Checks every flight that journal or store knows. Fails only if those cannot be read as a whole; whatever is wrong
/// with a flight stands in its line.
pub fn verify<'a>(
    journal: &'a Arc<dyn Journal>,
    store: &'a Store,
) -> Waiting<'a, Result<VerifyReport, RecoveryError>> {
    Box::pin(async move {
        let mut flight_ids: Vec<FlightId> =
            store.cursors().await?.into_iter().map(|cursor| cursor.flight_id).collect();
        let extents = blocking(journal, |journal| journal.extents()).await?;
        flight_ids.extend(extents.into_iter().map(|extent| extent.flight_id));
        flight_ids.sort();
        flight_ids.dedup();
        let mut report = VerifyReport::default();
        let mut under_way: JoinSet<Result<VerifiedFlight, RecoveryError>> = JoinSet::new();
        for flight_id in flight_ids {
            while under_way.len() >= FLIGHTS_AT_A_TIME {
                report.flights.extend(next_verified(&mut under_way).await?);
            }
            let (journal, store) = (Arc::clone(journal), store.clone());
            under_way.spawn(async move { verify_flight(&journal, &store, flight_id).await });
        }
        while let Some(line) = next_verified(&mut under_way).await? {
            report.flights.push(line);
        }
        report.flights.sort_by(|one, other| one.flight_id.cmp(&other.flight_id));
        Ok(report)
    })
}

async fn next_verified(
    under_way: &mut JoinSet<Result<VerifiedFlight, RecoveryError>>,
) -> Result<Option<VerifiedFlight>, RecoveryError> {
    match under_way.join_next().await {
        Some(Ok(line)) => line.map(Some),
        // What may panic is caught where it stands.
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        None => Ok(None),
    }
}

/// All that is known of a flight, read while it stood still.
struct FlightFacts {
    flight_id: FlightId,
    extent: Option<Extent>,
    cursor: Option<Cursor>,
    snapshot: Option<FlightSnapshot>,
    tables: Option<StoredFlight>,
}

async fn verify_flight(
    journal: &Arc<dyn Journal>,
    store: &Store,
    flight_id: FlightId,
) -> Result<VerifiedFlight, RecoveryError> {
    let known = match read(journal, store, &flight_id).await {
        Ok(known) => known,
        Err(RecoveryError::Store(error @ StoreError::Damaged { .. })) => {
            let mut line = VerifiedFlight::unknown(flight_id);
            line.verdict = Verdict::Difference(error.to_string());
            return Ok(line);
        }
        Err(error) => return Err(error),
    };
    let (journal, secrets) = (Arc::clone(journal), store.secrets().cloned());
    let line = spawn_blocking(move || compare(&*journal, known, secrets.as_ref())).await;
    Ok(line.unwrap_or_else(|_| {
        let mut line = VerifiedFlight::unknown(flight_id);
        line.verdict = Verdict::Difference("rebuilding it panicked".to_owned());
        line
    }))
}

async fn read(
    journal: &Arc<dyn Journal>,
    store: &Store,
    flight_id: &FlightId,
) -> Result<FlightFacts, RecoveryError> {
    let mut tries = 0;
    loop {
        let snapshot = store.snapshot(flight_id).await?;
        let tables = store.flight(flight_id).await?;
        let stands_still = snapshot.as_ref().map(|(_, cursor)| cursor.seq)
            == tables.as_ref().map(|tables| tables.cursor.seq);
        tries += 1;
        if !stands_still && tries < TRIES_MAX {
            continue;
        }
        let id = flight_id.clone();
        // After the store, which never runs ahead of the journal.
        let extent = blocking(journal, move |journal| journal.extent(&id)).await?;
        let cursor = store.cursor(flight_id).await?;
        let snapshot = snapshot.map(|(snapshot, _)| snapshot);
        return Ok(FlightFacts { flight_id: flight_id.clone(), extent, cursor, snapshot, tables });
    }
}

fn compare(journal: &dyn Journal, known: FlightFacts, secrets: Option<&Arc<IdSecrets>>) -> VerifiedFlight {
    let mut line = VerifiedFlight::unknown(known.flight_id.clone());
    let last = known.extent.as_ref().map_or(Seq(0), |extent| extent.last);
    let first = known.extent.as_ref().map_or(Seq(0), |extent| extent.first);
    let stored = known.snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
    line.journal_seq = last;
    line.stored_seq = stored;
    line.epoch = (known.extent.as_ref().map(|extent| extent.epoch).unwrap_or_default())
        .max(known.cursor.as_ref().map(|cursor| cursor.epoch).unwrap_or_default());
    if last == Seq(0) && stored == Seq(0) {
        return line; // claimed, but never created
    }
    line.verdict = match find_differences(journal, known, secrets, (first, last), &mut line) {
        Ok(true) => Verdict::Ok,
        Ok(false) => Verdict::OkFromCursor,
        Err(difference) => Verdict::Difference(difference),
    };
    line
}

/// Whether the journal reaches back to the first event; or what is wrong.
fn find_differences(
    journal: &dyn Journal,
    known: FlightFacts,
    secrets: Option<&Arc<IdSecrets>>,
    (first, last): (Seq, Seq),
    line: &mut VerifiedFlight,
) -> Result<bool, String> {
    let FlightFacts { flight_id, snapshot, tables, .. } = known;
    let stored = line.stored_seq;
    let from_store = snapshot.map(Flight::restore).transpose();
    let mut from_store = from_store.map_err(|error| format!("the store's flight, at {stored}: {error}"))?;
    if let (Some(flight), Some(secrets)) = (&mut from_store, secrets) {
        flight.unlock(secrets).map_err(|unknown| unknown.to_string())?;
    }
    if let Some(flight) = &from_store {
        line.count(flight);
    }
    let has_events = first > Seq(0) || !journal.keeps_snapshots();
    if last < stored && last > Seq(0) && has_events {
        return Err(format!("the journal ends at {last}, the store at {stored}"));
    }
    let reaches_back = first == Seq(1);
    let mut at_cursor = None;
    let from_journal = if reaches_back {
        let (flight, _) = replay(journal, &flight_id, None, last, |flight| {
            if flight.seq() == stored {
                at_cursor = Some(flight.clone());
            }
        })
        .map_err(|error| format!("from the journal: {}", in_words(&error)))?;
        line.count(&flight);
        Some(flight)
    } else {
        None
    };
    let at_cursor_store = from_store.clone();
    let brought_up = match from_store {
        Some(flight) => Some(
            replay(journal, &flight_id, Some(flight), last, |_| ())
                .map_err(|error| format!("from the store on: {}", in_words(&error)))?
                .0,
        ),
        None => None,
    };
    let newest = from_journal.as_ref().or(brought_up.as_ref());
    let Some(newest) = newest else {
        return Err(format!("the store has nothing, and the journal begins at {first}"));
    };
    newest.check().map_err(|error| error.to_string())?;
    line.count(newest);
    let sells = newest.sells_to_somebody_new(now());
    line.sells = sells.as_ref().map(Result::is_ok);
    if let Some(Err(refusal)) = sells {
        return Err(format!("it is on sale and has free seats, but refuses somebody new: {refusal}"));
    }
    if let (Some(one), Some(other)) = (&at_cursor, &at_cursor_store) {
        same(one, other, &format!("at the store's cursor, {stored}"))?;
    }
    if let (Some(one), Some(other)) = (&from_journal, &brought_up) {
        same(one, other, &format!("at the journal's end, {last}"))?;
    }
    match (&at_cursor_store, &tables) {
        (Some(flight), Some(tables)) if tables.cursor.seq == flight.seq() => check_tables(flight, tables)?,
        (Some(_), _) => return Err("its rows never stood still while they were read".to_owned()),
        (None, _) => {}
    }
    Ok(reaches_back)
}

/// The system's time: what is on sale depends on it.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn in_words(error: &RecoveryError) -> String {
    match error {
        RecoveryError::Broken { source, .. } => format!("{error}: {source}"),
        RecoveryError::Journal(source) => source.to_string(),
        other => other.to_string(),
    }
}

fn same(journal: &Flight, store: &Flight, when: &str) -> Result<(), String> {
    if journal.digest() == store.digest() {
        return Ok(());
    }
    let (one, other) = (journal.snapshot(), store.snapshot());
    let what = if one.head != other.head && one.orders == other.orders {
        "the history, though it comes to the same orders: an event of one is not in the other".to_owned()
    } else if one.definition != other.definition {
        "the flight's definition".to_owned()
    } else if one.sale != other.sale {
        "the sale".to_owned()
    } else {
        let orders: HashMap<_, &Order> = other.orders.iter().map(|order| (order.no, order)).collect();
        let differs = one.orders.iter().find(|order| orders.get(&order.no) != Some(order));
        let extra = || other.orders.iter().find(|order| journal.order(order.no).is_none());
        match differs.or_else(extra) {
            Some(order) => format!("order {}", order.no.0),
            None if one.waitlist != other.waitlist => "the waitlist".to_owned(),
            None if one.requests != other.requests => "the keys of requests".to_owned(),
            None => "the seats".to_owned(),
        }
    };
    Err(format!("journal and store differ {when}: {what}"))
}
