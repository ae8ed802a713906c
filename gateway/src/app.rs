//! What every handler may use, and the ways to ask a flight.
//! Never renders anything.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Answer, Engine, FlightHandle, FlightView, Located, Overloaded, PendingAnswer};
use farerush_engine::flight::{Command, FlightId, OrderId, Refusal, Seq, Timestamp};
use farerush_engine::journal::Durability;
use farerush_persistence::store::{Store, StoreError};
use farerush_persistence::write_behind::WriteBehind;

use crate::auth::AdminToken;
use crate::body::BodyLimits;
use crate::problem::Problem;
use crate::query::percent_decoded;

/// How long to wait before looking again how far the store is.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(1);

/// What every handler may use.
pub struct App {
    /// All flights.
    pub engine: Arc<Engine>,
    /// The SQL side.
    pub store: Store,
    /// What fills it.
    pub write_behind: WriteBehind,
    /// What the journal is and where, for the status page.
    pub journal: String,
    /// When a reply leaves.
    pub durability: Durability,
    /// What an admin must show.
    pub admin_token: AdminToken,
    /// How long a request waits for its outcome.
    pub request_timeout: Duration,
    /// The limits of bodies.
    pub body: BodyLimits,
    /// When the server started.
    pub started: Instant,
    /// Set once the server stops.
    pub stopping: AtomicBool,
}

/// A flight's id as it stands in a path; `None` if no flight can be called so.
#[derive(Debug, Clone)]
pub struct FlightName(pub Option<FlightId>);

impl FromStr for FlightName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if text.contains('%') {
            return Ok(Self(FlightId::new(&percent_decoded(text)).ok()));
        }
        Ok(Self(FlightId::new(text).ok()))
    }
}

/// An order's id as it stands in a path; `None` if no order can be called so.
#[derive(Debug, Clone)]
pub struct OrderName(pub Option<OrderId>);

impl FromStr for OrderName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(percent_decoded(text).parse().ok()))
    }
}

impl App {
    /// The time, as the flights see it.
    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    /// Whether the server is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The flight of this name, if it is served here.
    pub fn flight(&self, name: &FlightName) -> Result<FlightHandle, Problem> {
        let Some(id) = &name.0 else { return Err(Problem::flight_not_found()) };
        self.locate(id)?.ok_or_else(Problem::flight_not_found)
    }

    /// The flight with this id, if it is served here; `None` if there is none at all.
    pub fn locate(&self, id: &FlightId) -> Result<Option<FlightHandle>, Problem> {
        match self.engine.find(id) {
            Located::Here(flight) => Ok(Some(flight)),
            Located::There => {
                Err(Problem::overloaded("the flight is being recovered, or has moved to another server", 1))
            }
            Located::Quarantined { reason } => {
                tracing::debug!(%id, reason, "asked for a flight that is stopped");
                Err(Problem::overloaded("the flight is stopped until its operator has seen to it", 60))
            }
            Located::Nobody => Ok(None),
        }
    }

    /// The view of a flight, wherever it stands, if this process has one.
    pub fn view(&self, id: &FlightId) -> Option<Arc<FlightView>> {
        match self.engine.find(id) {
            Located::Here(flight) => Some(flight.view()),
            _ => None,
        }
    }

    /// Waits until the store has everything that was acknowledged before this call; `false` if that takes longer than
    /// `patience`.
    pub async fn store_caught_up(&self, patience: Duration) -> bool {
        let behind = |flight: &FlightHandle| {
            let status = flight.status();
            (status.stored_seq < status.durable_seq).then_some(status.durable_seq)
        };
        let mut goals: Vec<(FlightHandle, Seq)> = self
            .engine
            .flights()
            .into_iter()
            .filter_map(|flight| Some((flight.clone(), behind(&flight)?)))
            .collect();
        let until = Instant::now() + patience;
        // A reply may leave a moment before its events are handed to the write-behind, which then knows of nothing to
        // wait for: so the goals are the flights' own, and its word only ends the waiting sooner.
        while !goals.is_empty() && Instant::now() < until {
            self.write_behind.caught_up(until.saturating_duration_since(Instant::now())).await;
            goals.retain(|(flight, seq)| flight.status().stored_seq < *seq);
            if !goals.is_empty() {
                tokio::time::sleep(CATCH_UP_PAUSE).await;
            }
        }
        goals.is_empty()
    }

    /// Hands a command over and waits for its outcome, up to the request's time limit.
    pub async fn ask(&self, flight: &FlightHandle, command: Command) -> Result<Answer, Problem> {
        self.outcome(flight.submit(command)).await
    }

    /// Waits for the outcome of what was handed over.
    pub async fn outcome(&self, pending: Result<PendingAnswer, Overloaded>) -> Result<Answer, Problem> {
        match tokio::time::timeout(self.request_timeout, pending?).await {
            Ok(Ok(Answer::Refused(refusal))) => Err(refusal.into()),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Problem::outcome_unknown()),
        }
    }

    /// Asks a flight for an order; `None` if it does not know it (any more).
    pub async fn look_up(&self, flight: &FlightHandle, id: &OrderId) -> Result<Option<Answer>, Problem> {
        match tokio::time::timeout(self.request_timeout, flight.look_up(id.order)?).await {
            Ok(Ok(Answer::Refused(Refusal::OrderNotFound))) => Ok(None),
            Ok(Ok(Answer::Refused(refusal))) => Err(refusal.into()),
            Ok(Ok(answer)) => Ok(Some(answer)),
            // Reading changes nothing, so that nothing is unknown about it.
            Ok(Err(_)) | Err(_) => Err(Problem::overloaded("the flight did not answer in time", 1)),
        }
    }
}

/// A store that cannot be read.
pub fn store_away(error: &StoreError) -> Problem {
    tracing::warn!(%error, "reading the store failed");
    Problem::overloaded("the store cannot be read at the moment", 2)
}
