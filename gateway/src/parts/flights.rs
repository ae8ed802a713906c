//! The ways to ask a flight, for whoever answers requests: that it is here, that this can be shown, and until when.
//! Never renders anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::actor::{
    Answer, BoardPage, Engine, FlightHandle, Located, Overloaded, PendingAnswer, Sought,
};
use farerush_engine::flight::{
    AdminName, Command, Epoch, FlightDefinition, FlightId, IdempotencyKey, OrderId, Refusal, Seq, Timestamp,
};
use farerush_engine::journal::Durability;
use farerush_persistence::store::StoredOrder;

use crate::observe::traces;
use crate::parts::other_servers::OtherServers;
use crate::wire::deadline::{self, Deadline, GivenTimeout};
use crate::wire::names::FlightName;
use crate::wire::problem::{Code, Problem};

/// The flights that are served here, as requests ask them.
pub struct Flights {
    /// All of them.
    pub engine: Arc<Engine>,
    /// What is known of those that are served elsewhere.
    pub other_servers: Arc<OtherServers>,
    /// How long a request waits for its outcome, unless it says so itself.
    pub request_timeout: Duration,
    /// When a reply leaves, as answers say it.
    pub durability: Durability,
}

/// Marks an answer that says that another server has this flight, where the request's address does not name it.
#[derive(Debug, Clone)]
pub struct AboutFlight(pub FlightId);

impl AboutFlight {
    /// The problem as an answer that says which flight it is about.
    pub fn mark(problem: Problem, flight_id: &FlightId) -> warp::reply::Response {
        let mut response = problem.into_response();
        response.extensions_mut().insert(Self(flight_id.clone()));
        response
    }
}

impl Flights {
    /// The time, as the flights see it.
    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    /// The flight of this name, if it is served here.
    pub async fn flight(&self, name: &FlightName) -> Result<FlightHandle, Problem> {
        let Some(id) = &name.0 else { return Err(Problem::flight_not_found()) };
        self.locate(id).await?.ok_or_else(Problem::flight_not_found)
    }

    /// The flight with this id, if it is served here; `None` if there is none at all. Waits only if nobody here knows
    /// it, or it is on its way here, or it cannot be shown at the moment that nobody else has it.
    pub async fn locate(&self, id: &FlightId) -> Result<Option<FlightHandle>, Problem> {
        if self.other_servers.is_shared() {
            self.other_servers.ownership().certain().await?;
        }
        let mut found = self.engine.find(id);
        if matches!(found, Located::There | Located::Nobody) && self.other_servers.arrivals().come(id).await {
            found = self.engine.find(id);
        }
        match found {
            Located::Here(flight) => Ok(Some(flight)),
            // Being created or recovered; else it is another one's.
            Located::There if self.engine.has(id) => {
                Err(Problem::overloaded("the flight is being recovered", 1).for_a_moment())
            }
            Located::There => Err(Problem::flight_elsewhere()),
            Located::Quarantined { reason } => {
                tracing::debug!(%id, reason, "asked for a flight that is stopped");
                Err(Problem::overloaded("the flight is stopped until its operator has seen to it", 60))
            }
            Located::Nobody if self.other_servers.has(id).await? => Err(Problem::flight_elsewhere()),
            Located::Nobody => Ok(None),
        }
    }

    /// Whether there is such a flight, though not here. Waits for one that is on its way here.
    pub async fn is_elsewhere(&self, flight_id: &FlightId) -> Result<bool, Problem> {
        if !self.other_servers.arrivals().has_come(flight_id, self.request_timeout).await {
            return Err(Problem::overloaded("the flight is being recovered", 1));
        }
        let is_nobodys = matches!(self.engine.find(flight_id), Located::Nobody);
        Ok(is_nobodys && self.other_servers.has(flight_id).await?)
    }

    /// Waits until a start has brought all flights up, where it has left some for later; not for longer than a request may take.
    pub async fn all_have_come(&self) -> Result<(), Problem> {
        let patience = self.deadline(None)?.decide_by.saturating_duration_since(Instant::now());
        if self.other_servers.arrivals().all_come(patience).await {
            return Ok(());
        }
        let why = "the server has just started and not all flights are there yet, so that a list of them would not be \
                   whole; each can be asked for by its id";
        Err(Problem::overloaded(why, 2))
    }

    /// A page of the flights that are served here, and whether there are more. A process that serves none of those there are
    /// says so instead of "none".
    pub fn flights_here(
        &self,
        sought: &Sought,
        after: Option<&(i64, FlightId)>,
        between: (i64, i64),
        limit: usize,
        mut holds: impl FnMut(&FlightHandle) -> bool,
    ) -> Result<BoardPage, Problem> {
        self.other_servers.ownership().still_certain()?;
        let is_shared = self.other_servers.is_shared();
        // One that has moved must not be shown as it was.
        let is_here = |flight: &FlightHandle| {
            !is_shared || !matches!(self.engine.find(flight.flight_id()), Located::There)
        };
        let page = self.engine.page(sought, after, between, limit, |flight| holds(flight) && is_here(flight));
        if is_shared && page.flights.is_empty() {
            let (shown, moved) = self.engine.shown_and_moved();
            let had_some = shown + moved > 0 || self.other_servers.flights_elsewhere(&self.engine) > 0;
            let all = (i64::MIN, i64::MAX);
            let serves_none =
                || self.engine.page(&Sought::default(), None, all, 1, is_here).flights.is_empty();
            if had_some && serves_none() {
                return Err(Problem::elsewhere("all flights are served"));
            }
        }
        Ok(page)
    }

    /// What an order's flight is, wherever that is served; `None` if it cannot be found out.
    pub async fn definition_for(&self, stored: &StoredOrder) -> Option<Arc<FlightDefinition>> {
        match self.engine.find(&stored.order_id.flight_id) {
            Located::Here(flight) => Some(flight.view().definition.clone()),
            _ => self.other_servers.definition_for(stored).await,
        }
    }

    /// Hands a command over and waits for its outcome, up to the request's time limit.
    pub async fn ask(&self, flight: &FlightHandle, command: Command) -> Result<Answer, Problem> {
        self.ask_by(flight, command, self.deadline(None)?).await
    }

    /// The same with a deadline of the request's own.
    pub async fn ask_by(
        &self,
        flight: &FlightHandle,
        command: Command,
        deadline: Deadline,
    ) -> Result<Answer, Problem> {
        self.outcome(flight.submit_by(command, deadline.decide_by, traces::stamps()), deadline).await
    }

    /// The same; what follows is recorded as caused `by` this admin, if one asked, and under this key, if there is one:
    /// asked again under it, nothing more happens, and the answer says that it was replayed.
    pub async fn command_as(
        &self,
        flight: &FlightHandle,
        command: Command,
        by: Option<AdminName>,
        key: Option<IdempotencyKey>,
        deadline: Deadline,
    ) -> Result<Answer, Problem> {
        let owned = self.owned(flight);
        // Under a key it can be asked again at once, by whoever hands requests on: twice is as good as once.
        let has_key = key.is_some();
        let unknown = || match has_key {
            true => Problem::outcome_unknown().for_a_moment(),
            false => Problem::outcome_unknown(),
        };
        // What came for nothing is noted, so that its refusal may be an event.
        let may_be_noted = matches!(command, Command::Confirm { .. } | Command::ReturnPayment { .. });
        let pending = flight.submit_as(command, by, key, Some(deadline.decide_by), traces::stamps());
        let outcome = self.outcome(pending, deadline).await;
        match outcome {
            Err(refused) if refused.code().status().is_client_error() => match owned.still().await {
                Err(_) if may_be_noted && refused.code() != Code::OrderNotFound => Err(unknown()),
                still => Err(still.err().unwrap_or(refused)),
            },
            // What changed something since it was asked is durable under this ownership; what changed nothing is only as
            // good as that.
            // Under a key, even that has been noted.
            Ok(answer) if shows(&answer) <= owned.seq => match owned.still().await {
                Ok(()) => Ok(answer),
                Err(_) => Err(unknown()),
            },
            outcome => outcome,
        }
    }

    /// That this process has the flight now: to be taken before the flight is asked for something that may be denied.
    pub fn owned<'a>(&'a self, flight: &'a FlightHandle) -> Owned<'a> {
        let status = flight.status();
        Owned { flights: self, flight, epoch: status.epoch, seq: status.seq }
    }

    /// Until when a request may take that comes to be handed over now.
    pub fn deadline(&self, given: Option<GivenTimeout>) -> Result<Deadline, Problem> {
        Deadline::of(given, self.request_timeout)
    }

    /// Waits for the outcome of what was handed over.
    pub async fn outcome(
        &self,
        pending: Result<PendingAnswer, Overloaded>,
        deadline: Deadline,
    ) -> Result<Answer, Problem> {
        match tokio::time::timeout_at(deadline.answer_by.into(), pending?).await {
            // What is refused needs no journal: it is as good as the flight's state, and that as the ownership.
            Ok(Ok(Answer::Refused(refusal))) => Err(self.refused(refusal)),
            Ok(Ok(Answer::TooLate)) => Err(deadline::too_late()),
            Ok(Ok(Answer::Moved)) => Err(Problem::flight_elsewhere()),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Problem::outcome_unknown()),
        }
    }

    /// What is to be answered to a request that its flight refused.
    pub fn refused(&self, refusal: Refusal) -> Problem {
        match self.other_servers.ownership().still_certain() {
            Ok(()) => refusal.into(),
            Err(problem) => problem,
        }
    }

    /// Asks a flight for an order; `None` if it does not know it (any more), and nobody else had the flight meanwhile.
    pub async fn look_up(
        &self,
        flight: &FlightHandle,
        id: &OrderId,
        deadline: Deadline,
    ) -> Result<Option<Answer>, Problem> {
        let owned = self.owned(flight);
        let pending = flight.look_up_by(id.order, deadline.decide_by)?;
        let answered = tokio::time::timeout_at(deadline.answer_by.into(), pending).await;
        self.other_servers.ownership().still_certain()?;
        match answered {
            Ok(Ok(Answer::TooLate)) => Err(deadline::too_late()),
            Ok(Ok(Answer::Moved)) => Err(Problem::flight_elsewhere()),
            Ok(Ok(Answer::Refused(Refusal::OrderNotFound))) => {
                owned.still().await?;
                Ok(None)
            }
            Ok(Ok(Answer::Refused(refusal))) => Err(refusal.into()),
            Ok(Ok(answer)) => Ok(Some(answer)),
            // Reading changes nothing, so that nothing is unknown about it.
            Ok(Err(_)) | Err(_) => Err(Problem::overloaded("the flight did not answer in time", 1)),
        }
    }
}

/// That this process had a flight when this was taken.
pub struct Owned<'a> {
    flights: &'a Flights,
    flight: &'a FlightHandle,
    epoch: Epoch,
    /// The flight's last event by then.
    seq: Seq,
}

impl Owned<'_> {
    /// Whether it has had it ever since, as the journal says now: only then is "no" more than what it was for the owner
    /// before. Costs nothing where nobody else can have it.
    pub async fn still(&self) -> Result<(), Problem> {
        let has_moved =
            self.flights.other_servers.has_moved_since(self.flight.flight_id(), self.epoch).await?;
        if !has_moved {
            return Ok(());
        }
        self.flights.engine.note_fenced_under(self.flight.flight_id(), self.epoch);
        Err(Problem::flight_elsewhere())
    }
}

/// The newest event that an answer shows.
fn shows(answer: &Answer) -> Seq {
    match answer {
        Answer::Order { order, .. } => order.changed_by,
        Answer::Flight { seq, .. } | Answer::Reseated { seq, .. } | Answer::Closed { seq, .. } => *seq,
        Answer::Waitlisted { entry, .. } => entry.changed_by,
        Answer::Live(_) | Answer::Waitlist(_) | Answer::Refused(_) | Answer::TooLate | Answer::Moved => {
            Seq(0)
        }
    }
}
