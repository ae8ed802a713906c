//! What is asked again and again, on a connection of its own: who owns flights now, and which of these names are flights.
//! Never waits behind a long read, and never changes anything but the list of claims.

use ::redis::{Cmd, Value, cmd};
use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::{Claim, Claimed, ClaimsPlace, JournalError};

use super::RedisJournal;
use super::link::{Link, or_error, unavailable};
use super::standings::{FLIGHTS_A_LOOK, load, newest_entries};
use super::stream::{Keys, entries};

/// Claims that are told one by one; of more at once it is only said that there were many.
const CLAIMS_NAMED_MAX: usize = 256;
/// Entries of the list of claims that are kept, about. Whoever has missed more looks at all flights.
const CLAIMS_KEPT: usize = 4_096;
/// Entries of it that are read at a time; whoever is further behind looks at all flights.
const CLAIMS_A_LOOK: usize = 512;
/// Field of a claim's entry that names its flight.
const FLIGHT_FIELD: &[u8] = b"flight";
/// Field of an entry that stands for many claims.
const MANY_FIELD: &[u8] = b"many";
/// The place of a reader for whom the list was empty.
const EMPTY: &str = "-";

/// Notes claims whose fences are written, for those who owned the flights before.
pub(super) fn note_claims(link: &mut Link, keys: &Keys, claims: &[Claim]) -> Result<(), JournalError> {
    let what = "note claims in Redis";
    let add = |field: &[u8], value: &str| {
        let mut command = cmd("XADD");
        command.arg(keys.claims()).arg("MAXLEN").arg("~").arg(CLAIMS_KEPT).arg("*").arg(field).arg(value);
        command
    };
    let commands: Vec<Cmd> = if claims.len() > CLAIMS_NAMED_MAX {
        vec![add(MANY_FIELD, "1")]
    } else {
        claims.iter().map(|claim| add(FLIGHT_FIELD, claim.flight_id.as_str())).collect()
    };
    link.ask_all(what, commands)?.into_iter().try_for_each(|answer| or_error(what, answer).map(drop))
}

impl RedisJournal {
    pub(super) fn read_claims(&self, place: &ClaimsPlace) -> Result<(ClaimsPlace, Claimed), JournalError> {
        self.watch_link.lock().attempt(|link| {
            self.look_now_and_then(link)?;
            self.claims_on(link, place)
        })
    }

    fn claims_on(
        &self,
        link: &mut Link,
        place: &ClaimsPlace,
    ) -> Result<(ClaimsPlace, Claimed), JournalError> {
        let what = "read the list of claims";
        let key = self.keys.claims();
        let from = if place.0.is_empty() { EMPTY } else { &place.0 };
        let mut after = cmd("XRANGE");
        // With the last one seen, which so shows that nothing behind it has been trimmed.
        after.arg(&key).arg(from).arg("+").arg("COUNT").arg(CLAIMS_A_LOOK);
        let mut newest = cmd("XREVRANGE");
        newest.arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        // The newest first: what comes between the two is seen again.
        let mut answers = link.ask_all(what, [newest, after])?.into_iter();
        let mut next = || answers.next().map_or(Ok(Vec::new()), |answer| claims_in(what, answer));
        let (newest, after) = (next()?, next()?);
        let newest =
            ClaimsPlace(newest.into_iter().next().map_or_else(|| EMPTY.to_owned(), |claim| claim.id));
        let follows = from == EMPTY || after.first().is_some_and(|claim| claim.id == from);
        if place.0.is_empty() || !follows || after.len() == CLAIMS_A_LOOK {
            return Ok((newest, Claimed::Any));
        }
        let last = after.last().map_or_else(|| from.to_owned(), |claim| claim.id.clone());
        let mut flights = Vec::new();
        for claim in after.into_iter().filter(|claim| claim.id != from) {
            match claim.flight_id {
                Some(flight_id) => flights.push(flight_id),
                None => return Ok((ClaimsPlace(last), Claimed::Any)),
            }
        }
        Ok((ClaimsPlace(last), Claimed::Flights(flights)))
    }

    pub(super) fn read_epochs(&self, flights: &[FlightId]) -> Result<Vec<Option<Epoch>>, JournalError> {
        let mut link = self.watch_link.lock();
        let mut epochs = Vec::with_capacity(flights.len());
        for flights in flights.chunks(FLIGHTS_A_LOOK) {
            epochs.extend(link.attempt(|link| self.epochs_of(link, flights))?);
        }
        Ok(epochs)
    }

    fn epochs_of(&self, link: &mut Link, flights: &[FlightId]) -> Result<Vec<Option<Epoch>>, JournalError> {
        let commands = flights.iter().map(|flight_id| newest_entries(&self.keys, flight_id, "+", 1));
        let answers = link.ask_all("read who owns flights", commands)?;
        let epoch = |(flight_id, answer)| match entries(flight_id, answer) {
            Ok(found) => Ok(found.first().map(|entry| entry.id.epoch)),
            // Whoever writes to it next finds out; it must not hide the others.
            Err(JournalError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        flights.iter().zip(answers).map(epoch).collect()
    }

    pub(super) fn read_which_have_events(&self, flights: &[FlightId]) -> Result<Vec<bool>, JournalError> {
        self.watch_link.lock().attempt(|link| self.which_have_events(link, flights))
    }

    /// Names that nobody knows cost one command for all of them; only of those that are listed more is asked.
    pub(super) fn which_have_events(
        &self,
        link: &mut Link,
        flights: &[FlightId],
    ) -> Result<Vec<bool>, JournalError> {
        if flights.is_empty() {
            return Ok(Vec::new());
        }
        let what = "look for flights in Redis";
        let mut command = cmd("SMISMEMBER");
        command.arg(self.keys.flights());
        for flight_id in flights {
            command.arg(flight_id.as_str());
        }
        let answer = or_error(what, link.ask(what, &command)?)?;
        let mut found: Vec<bool> = ::redis::from_redis_value(answer).map_err(|e| unavailable(what, e))?;
        found.resize(flights.len(), false);
        for (flight_id, found) in flights.iter().zip(&mut found).filter(|(_, found)| **found) {
            // Listed before its first entry, and perhaps never created.
            *found = match load(link, &self.keys, std::slice::from_ref(flight_id)) {
                Ok(standing) => match standing.first().copied().flatten() {
                    // One that came up from the store has a snapshot until it sells.
                    Some(standing) if standing.last == Seq(0) => self.snapshot_seq(link, flight_id)? > Seq(0),
                    standing => standing.is_some(),
                },
                Err(JournalError::Damaged { .. }) => true,
                Err(error) => return Err(error),
            };
        }
        Ok(found)
    }
}

/// An entry of the list of claims.
struct NotedClaim {
    id: String,
    /// `None`: many at once, or something that this version does not know.
    flight_id: Option<FlightId>,
}

fn claims_in(what: &str, answer: Value) -> Result<Vec<NotedClaim>, JournalError> {
    let nonsense = || unavailable(what, "the list of claims holds something else");
    let Value::Array(items) = or_error(what, answer)? else { return Err(nonsense()) };
    items.into_iter().map(|item| claim_in(item).ok_or_else(nonsense)).collect()
}

fn claim_in(item: Value) -> Option<NotedClaim> {
    let Value::Array(parts) = item else { return None };
    let [Value::BulkString(id), Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let flight_id = match <[Value; 2]>::try_from(fields) {
        Ok([Value::BulkString(field), Value::BulkString(name)]) if field == FLIGHT_FIELD => {
            std::str::from_utf8(&name).ok().and_then(|name| FlightId::new(name).ok())
        }
        _ => None,
    };
    Some(NotedClaim { id: String::from_utf8(id).ok()?, flight_id })
}
