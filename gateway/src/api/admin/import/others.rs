//! What other servers know of flights that a file names: whether the same file created them, and what they are.
//! Never creates a flight, and never says that one is not there: only who has it speaks of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use farerush_engine::actor::{Answer, FlightHandle, Located};
use farerush_engine::flight::requests::fingerprint_of_creation;
use farerush_engine::flight::{
    Fingerprint, FlightDefinition, FlightId, IdempotencyKey, Refusal, SalePolicy, TimeZoneName,
};
use serde::{Deserialize, Serialize};

use crate::base::zones;
use crate::parts::flights::Flights;
use crate::parts::other_servers::others::Others;
use crate::wire::problem::{Code, Problem};

/// Where a server is asked what it knows of flights; nobody but another server reaches it.
pub const KNOWN: &str = "/peers/flights";
/// How long one question may take: of ten thousand flights each is asked.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// How long a flight that nobody has is waited for: it is on its way from one server to another.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(5);
/// How soon it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A key, and what the whole request says that came under it.
pub type Under = (IdempotencyKey, Fingerprint);

/// What another server is asked.
#[derive(Serialize, Deserialize)]
struct Question {
    /// The key, and the fingerprint of what came under it.
    under: Option<(String, u64)>,
    /// Flights, and with how many cabins each is described.
    flights: Vec<(String, usize)>,
}

/// What is known of a flight.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    flight_id: String,
    /// Whether the same request created it, under the same key.
    pub(super) is_of_request: bool,
    /// Whether another request came under that key before.
    #[serde(default)]
    is_of_other_request: bool,
    /// What it is: see `print`.
    pub(super) print: Option<u64>,
}

/// What those say that have these flights; `ELSEWHERE` if one of them has nobody who speaks of it.
pub(super) async fn ask(
    others: &Others,
    flights: &Flights,
    wanted: &[(FlightId, usize)],
    under: Option<&Under>,
) -> Result<HashMap<FlightId, Known>, Problem> {
    let mut known = HashMap::with_capacity(wanted.len());
    let until = Instant::now() + ON_ITS_WAY_MAX;
    loop {
        let missing = wanted.iter().filter(|(flight_id, _)| !known.contains_key(flight_id));
        let missing: Vec<_> = missing.map(|(id, cabins)| (id.as_str().to_owned(), *cabins)).collect();
        if known.values().any(|known: &Known| known.is_of_other_request) {
            return Err(Refusal::IdempotencyKeyReused.into());
        }
        if missing.is_empty() {
            return Ok(known);
        }
        let question = Question {
            under: under.map(|(key, fingerprint)| (key.as_str().to_owned(), fingerprint.0)),
            flights: missing,
        };
        let json = serde_json::to_vec(&question).unwrap_or_default();
        // One may have come here meanwhile.
        let mut said = answered(flights, &question).await.unwrap_or_default();
        for other in others.ask(KNOWN, json.into(), QUESTION_MAX).await {
            let of_it = other.answer.and_then(|json| serde_json::from_slice::<Vec<Known>>(&json).ok());
            said.extend(of_it.unwrap_or_default());
        }
        let named = said.into_iter().filter_map(|one| Some((FlightId::new(&one.flight_id).ok()?, one)));
        known.extend(named);
        if known.len() < wanted.len() {
            if Instant::now() + AGAIN_AFTER >= until {
                return Err(Problem::elsewhere("some flights of the file are served"));
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// What this server says of the flights that it has, to another one; `None` if the question makes no sense.
pub async fn answer(flights: &Flights, question: &[u8]) -> Option<Vec<u8>> {
    let question: Question = serde_json::from_slice(question).ok()?;
    serde_json::to_vec(&answered(flights, &question).await?).ok()
}

async fn answered(flights: &Flights, question: &Question) -> Option<Vec<Known>> {
    let under = match &question.under {
        Some((key, print)) => Some((IdempotencyKey::new(key).ok()?, Fingerprint(*print))),
        None => None,
    };
    let mut known = Vec::new();
    for (name, cabins) in &question.flights {
        let Located::Here(flight) = flights.engine.find(&FlightId::new(name).ok()?) else { continue };
        let (is_of_request, is_of_other_request) =
            match was_created_by(flights, &flight, under.as_ref()).await {
                Ok(is_of_request) => (is_of_request, false),
                Err(problem) if problem.code() == Code::IdempotencyKeyReused => (false, true),
                // Who cannot say it now says nothing: it is asked again.
                Err(_) => continue,
            };
        let print = print(&flight.view().definition, *cabins);
        known.push(Known { flight_id: name.clone(), is_of_request, is_of_other_request, print });
    }
    Some(known)
}

/// Whether the flight was created by this very request, under the same key.
pub(super) async fn was_created_by(
    flights: &Flights,
    flight: &FlightHandle,
    under: Option<&Under>,
) -> Result<bool, Problem> {
    let Some((key, fingerprint)) = under else { return Ok(false) };
    let deadline = flights.deadline(None)?;
    let pending = flight.was_created_under(key.clone(), *fingerprint, deadline.decide_by);
    let answer = flights.outcome(pending, deadline).await?;
    Ok(matches!(answer, Answer::Flight { replayed: true, .. }))
}

/// What a flight is, with so many cabins: rows that were added since do not matter, nor whether its zone was said or is that of the
/// airport, nor the rules of its sale.
pub(super) fn print(definition: &FlightDefinition, cabins: usize) -> Option<u64> {
    let cabins = definition.cabins.get(..cabins)?.to_vec();
    let origin_time_zone = TimeZoneName::new(zones::of_flight(definition)).ok();
    let described = FlightDefinition { cabins, origin_time_zone, ..definition.clone() };
    Some(fingerprint_of_creation(&described, &SalePolicy::default(), false).0)
}
