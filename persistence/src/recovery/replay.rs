//! A flight from what journal and store hold of it, up to an event: from its start, from rows, or from a snapshot.
//! Never claims a flight, and never waits: it is called where blocking does no harm.

use farerush_engine::flight::{BrokenInvariant, Flight, FlightId, FlightSnapshot, Seq};
use farerush_engine::journal::{Journal, JournalError};

use super::outcome::{Basis, RecoveryError};
use crate::store::Cursor;

/// Events read from the journal at a time.
const PAGE_EVENTS: usize = 4_096;

/// From the journal, with the store's rows left unread: replaying is many times faster. `None` where the journal does
/// not reach back far enough, where its history is not the one that the store's cursor is from, or where it does not
/// make a sound flight: then the rows are asked, and whatever is wrong comes out there.
pub(super) fn beside_rows(
    journal: &dyn Journal,
    cursor: &Cursor,
    first: Seq,
    last: Seq,
) -> Result<Option<RebuiltFlight>, RecoveryError> {
    let flight_id = &cursor.flight_id;
    let tried = match from_start(journal, cursor, first, last) {
        Ok(Some(rebuilt)) => {
            rebuilt.0.check().map_err(|source| broken(flight_id, last, source)).map(|()| Some(rebuilt))
        }
        tried => tried,
    };
    match tried {
        Err(error @ RecoveryError::Journal(JournalError::Unavailable { .. })) => Err(error),
        Err(error) if cursor.seq > Seq(0) => {
            tracing::warn!(%flight_id, %error, "the journal alone does not bring the flight up; trying the store's rows");
            Ok(None)
        }
        tried => tried,
    }
}

fn from_start(
    journal: &dyn Journal,
    cursor: &Cursor,
    first: Seq,
    last: Seq,
) -> Result<Option<RebuiltFlight>, RecoveryError> {
    let flight_id = &cursor.flight_id;
    let start = match first {
        Seq(0) => return Ok(None),
        Seq(1) => None,
        // A snapshot beyond the cursor says that the store lost something: not to be passed over.
        _ => match journal.snapshot(flight_id)?.filter(|snapshot| snapshot.seq <= cursor.seq) {
            None => return Ok(None),
            Some(snapshot) => {
                let seq = snapshot.seq;
                Some(Flight::restore(snapshot).map_err(|source| broken(flight_id, seq, source))?)
            }
        },
    };
    let basis = if start.is_some() { Basis::JournalSnapshot } else { Basis::Journal };
    let at_cursor = |flight: &Flight| (flight.seq() == cursor.seq).then(|| (flight.last_at(), flight.head()));
    let mut cursor_at = start.as_ref().and_then(at_cursor);
    let (flight, replayed) = replay(journal, flight_id, start, last, |flight| {
        cursor_at = cursor_at.or_else(|| at_cursor(flight));
    })?;
    if cursor.seq > Seq(0) && cursor_at != Some((cursor.last_at, cursor.head)) {
        tracing::warn!(%flight_id, stored_seq = cursor.seq.0, "the store's cursor is not from the journal's history");
        return Ok(None);
    }
    Ok(Some((flight, replayed, basis)))
}

/// From the store's rows and what the journal has after them.
pub(super) fn from_rows(
    journal: &dyn Journal,
    flight_id: &FlightId,
    rows: Option<FlightSnapshot>,
    has_events: bool,
    last: Seq,
) -> Result<RebuiltFlight, RecoveryError> {
    let stored = rows.as_ref().map_or(Seq(0), |rows| rows.seq);
    let restored =
        rows.map(Flight::restore).transpose().map_err(|source| broken(flight_id, stored, source))?;
    let basis = if has_events { Basis::StoreAndJournal } else { Basis::Store };
    let (flight, replayed, basis) = match replay(journal, flight_id, restored, last, |_| ()) {
        Ok((flight, replayed)) => (flight, replayed, basis),
        // A store that lost what the journal has let go of; the journal's snapshot may bridge that.
        Err(hole @ RecoveryError::Hole { .. }) => from_snapshot(journal, flight_id, last)?.ok_or(hole)?,
        Err(error) => return Err(error),
    };
    flight.check().map_err(|source| broken(flight_id, flight.seq(), source))?;
    Ok((flight, replayed, basis))
}

pub(super) type RebuiltFlight = (Flight, u64, Basis);

/// From the journal alone.
pub(super) fn from_journal(
    journal: &dyn Journal,
    flight_id: &FlightId,
    last: Seq,
) -> Result<RebuiltFlight, RecoveryError> {
    let rebuilt = from_journal_unchecked(journal, flight_id, last)?;
    rebuilt.0.check().map_err(|source| broken(flight_id, last, source))?;
    Ok(rebuilt)
}

/// Its snapshot is the shorter way, its first event the longer one.
fn from_journal_unchecked(
    journal: &dyn Journal,
    flight_id: &FlightId,
    last: Seq,
) -> Result<RebuiltFlight, RecoveryError> {
    match from_snapshot(journal, flight_id, last) {
        Ok(Some(rebuilt)) => return Ok(rebuilt),
        Ok(None) => {}
        Err(error @ RecoveryError::Journal(JournalError::Unavailable { .. })) => return Err(error),
        Err(error) => tracing::warn!(%flight_id, %error, "the journal's snapshot is of no use"),
    }
    let (flight, replayed) = replay(journal, flight_id, None, last, |_| ())?;
    Ok((flight, replayed, Basis::Journal))
}

/// From the journal's snapshot, if there is one, and what follows it.
fn from_snapshot(
    journal: &dyn Journal,
    flight_id: &FlightId,
    last: Seq,
) -> Result<Option<RebuiltFlight>, RecoveryError> {
    let Some(snapshot) = journal.snapshot(flight_id)? else { return Ok(None) };
    let seq = snapshot.seq;
    if seq > last {
        return Ok(None);
    }
    let flight = Flight::restore(snapshot).map_err(|source| broken(flight_id, seq, source))?;
    let (flight, replayed) = replay(journal, flight_id, Some(flight), last, |_| ())?;
    Ok(Some((flight, replayed, Basis::JournalSnapshot)))
}

/// Brings a flight (none: from its creation on) up to event `until` by what the journal has; says also how many
/// events that took. `watch` sees the flight after each event.
pub(crate) fn replay(
    journal: &dyn Journal,
    flight_id: &FlightId,
    mut flight: Option<Flight>,
    until: Seq,
    mut watch: impl FnMut(&Flight),
) -> Result<(Flight, u64), RecoveryError> {
    let mut replayed = 0;
    loop {
        let after = flight.as_ref().map_or(Seq(0), Flight::seq);
        if let Some(flight) = flight.take_if(|flight| flight.seq() >= until) {
            return Ok((flight, replayed));
        }
        let page = match journal.read(flight_id, after, PAGE_EVENTS) {
            Ok(page) => page,
            Err(JournalError::Trimmed { first, .. }) => {
                return Err(RecoveryError::Hole { flight_id: flight_id.clone(), stored: after, first });
            }
            Err(error) => return Err(error.into()),
        };
        let first = page.first().map_or(Seq(0), |event| event.seq);
        if first != after.next() {
            return Err(RecoveryError::Hole { flight_id: flight_id.clone(), stored: after, first });
        }
        for recorded in page.iter().filter(|recorded| recorded.seq <= until) {
            let flight = match &mut flight {
                Some(flight) => {
                    flight.apply(recorded);
                    flight
                }
                None => {
                    let created = Flight::create(recorded);
                    flight.insert(created.map_err(|source| broken(flight_id, recorded.seq, source))?)
                }
            };
            if let Some(source) = flight.broken() {
                return Err(broken(flight_id, recorded.seq, source.clone()));
            }
            replayed += 1;
            watch(flight);
        }
    }
}

pub(super) fn broken(flight_id: &FlightId, seq: Seq, source: BrokenInvariant) -> RecoveryError {
    RecoveryError::Broken { flight_id: flight_id.clone(), seq, source }
}
