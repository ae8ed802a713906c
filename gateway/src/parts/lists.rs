//! Lists and single rows from the store: whether it can be read, how much of the server that may take, and how what is on
//! its way there is waited for. Never asks a flight's actor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farerush_engine::actor::{Engine, Located};
use farerush_engine::flight::FlightId;
use farerush_persistence::store::{self, Store, StoreError};
use farerush_persistence::write_behind::WriteBehind;

use crate::base::errors::in_full;
use crate::observe::traces;
use crate::parts::catching_up::{self, CatchingUp};
use crate::parts::other_servers::arrivals::Arrivals;
use crate::parts::other_servers::others::Others;
use crate::parts::reads::{Reads, Turn};
use crate::wire::deadline::Deadline;
use crate::wire::problem::Problem;

/// How long a store that takes nothing that is to be stored is waited for where it is read.
const DOUBTFUL_READ: Duration = Duration::from_secs(1);

/// The store, as requests read it.
pub struct Lists {
    /// All flights, for how far each is stored.
    pub engine: Arc<Engine>,
    /// The SQL side.
    pub store: Store,
    /// What fills it.
    pub write_behind: WriteBehind,
    /// Those who wait for it.
    pub catching_up: CatchingUp,
    /// Flights that are on their way here, whose orders may be on their way to the store.
    pub arrivals: Arc<Arrivals>,
    /// How much lists may take.
    pub reads: Reads,
    /// Whether lists come from a replica of the store.
    pub has_replica: bool,
    /// The other servers that store what lists show, where there may be some.
    pub others: Option<Others>,
}

/// Where another server is asked to wait until it has stored what was acknowledged; nobody but another server reaches it.
pub const STORED: &str = "/peers/stored";

/// Whether the other servers have stored what they had acknowledged; of those that cannot be asked nobody can say.
async fn have_stored(others: &Others, flight: Option<&FlightId>, patience: Duration) -> bool {
    let name = flight.map(|flight_id| Bytes::copy_from_slice(flight_id.as_str().as_bytes()));
    let said = others.ask(STORED, name.unwrap_or_default(), patience).await;
    said.iter().filter(|said| said.peer.is_some()).all(|said| said.answer.is_some())
}

impl Lists {
    /// Waits for a turn to write a list of what is in memory; `OVERLOADED` where that would take too long.
    pub async fn turn(&self) -> Result<Turn<'_>, Problem> {
        self.reads.turn(self.engine.under_way() > 0).await
    }

    /// Whether lists can be read, from the store or its replica.
    pub fn can_be_read(&self) -> Result<(), Problem> {
        let is_worth_it = !self.store_is_down() || self.has_replica || self.reads.may_try_store();
        if is_worth_it { Ok(()) } else { Err(store_is_away()) }
    }

    /// What the store says, if it says it while whoever asked still waits: for a connection, for the statement, for both
    /// once more. `read` is dropped if it takes longer, so that it has to be a single statement.
    pub async fn from_store<T>(
        &self,
        deadline: Deadline,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        let statements = traces::statements();
        let mut read = std::pin::pin!(read);
        let read = std::future::poll_fn(|context| {
            store::seeing(statements.as_ref(), || read.as_mut().poll(context))
        });
        // Of a store that takes nothing it is known soon enough whether it can be read.
        let is_doubtful = self.store_is_down() && !self.has_replica;
        let by = if is_doubtful {
            deadline.decide_by.min(Instant::now() + DOUBTFUL_READ)
        } else {
            deadline.decide_by
        };
        let read = tokio::time::timeout_at(by.into(), read).await;
        self.reads.note_store(matches!(read, Ok(Ok(_))));
        match read {
            Ok(read) => read.map_err(|error| store_away(&error)),
            Err(_) => {
                tracing::warn!(store = self.store.describe(), "the store did not answer a list in time");
                let what = "the store, from which lists and old orders are read, did not answer in time; flights sell on";
                Err(Problem::overloaded(what, 2))
            }
        }
    }

    /// Waits until the store has everything that was acknowledged before this call (of one flight, or of all), here and at
    /// the other servers; `false` if that takes longer than `patience`.
    pub async fn caught_up(&self, flight: Option<&FlightId>, patience: Duration) -> bool {
        let is_here = flight.is_some_and(|it| matches!(self.engine.find(it), Located::Here(_)));
        let Some(others) = self.others.as_ref().filter(|_| !is_here) else {
            return self.caught_up_here(flight, patience).await;
        };
        let (here, there) =
            tokio::join!(self.caught_up_here(flight, patience), have_stored(others, flight, patience));
        here && there
    }

    /// The same of this server's flights alone.
    pub async fn caught_up_here(&self, flight: Option<&FlightId>, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let has_come = match flight {
            None => self.arrivals.all_come(patience).await,
            Some(flight_id) => self.arrivals.has_come(flight_id, patience).await,
        };
        if !has_come {
            return false;
        }
        let patience = until.saturating_duration_since(Instant::now());
        match flight {
            None => self.catching_up.all(patience).await,
            Some(flight_id) => match self.engine.find(flight_id) {
                Located::Here(flight) => self.catching_up.one(flight, patience).await,
                // What another process owns by now, that process stores.
                _ => true,
            },
        }
    }

    fn store_is_down(&self) -> bool {
        catching_up::is_away(&self.write_behind)
    }
}

/// A store that cannot be read.
pub fn store_away(error: &StoreError) -> Problem {
    tracing::warn!(error = in_full(error), "reading the store failed");
    store_is_away()
}

fn store_is_away() -> Problem {
    Problem::overloaded("the store, from which lists and old orders are read, is away; flights sell on", 2)
}
