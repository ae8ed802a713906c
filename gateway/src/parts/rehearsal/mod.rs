//! Rehearsals: a rush of simulated customers on a shadow copy of a flight, in this process, started by an admin.
//! Never touches the real flight, its journal, the store, live readers or webhooks: a shadow has an engine and a journal of
//! its own, in memory, and all that it takes of the flight is the view that everybody may see. At most one runs at a
//! time, on threads that wait for all others (see `run`); the last few are kept in memory.

mod check;
mod crowd;
mod run;
mod shadow;
mod tally;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use farerush_engine::actor::FlightView;
use farerush_engine::flight::{Flight, FlightId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::parts::metrics::Quantiles;

pub use check::{CHECKS, Check};

use tally::Tally;

pub use tally::Interval;

/// Most customers of one rehearsal.
pub const CUSTOMERS_MAX: u32 = 1_000_000;
/// So many come unless something else is said.
pub const CUSTOMERS_DEFAULT: u32 = 10_000;
/// Longest time within which they come, in seconds.
pub const OVER_SECONDS_MAX: u32 = 120;
/// Within so many seconds they come unless something else is said.
pub const OVER_SECONDS_DEFAULT: u32 = 10;
/// So many rehearsals are kept, the one that runs among them.
pub const KEPT_MAX: usize = 8;

/// Which seats are on sale when a rehearsal begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// Those that are now: what is sold or held stays so.
    #[default]
    Now,
    /// All that are not blocked.
    Empty,
}

impl StartFrom {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Now, Self::Empty];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Empty => "empty",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|from| from.as_str() == name)
    }
}

/// What is to be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RehearsalPlan {
    /// How many customers come, from 1 to `CUSTOMERS_MAX`.
    pub customers: u32,
    /// Within how many seconds, from 1 to `OVER_SECONDS_MAX`.
    pub over_seconds: u32,
    /// From which seats on.
    pub start_from: StartFrom,
}

impl RehearsalPlan {
    fn over(self) -> Duration {
        Duration::from_secs(self.over_seconds.into())
    }
}

/// How a rehearsal is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// Everybody came and was answered.
    Done,
    /// Somebody stopped it, or the server stops.
    Stopped,
    /// It could not go on.
    Failed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Stopped, Self::Failed];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// How a rehearsal ended.
enum Ended {
    Done(Vec<Check>),
    Stopped,
    Failed(String),
}

/// How far a rehearsal has come, as it was told last.
#[derive(Debug, Clone)]
pub struct Progress {
    /// How it stands.
    pub state: State,
    /// How long it took, or has taken when it was told last.
    pub elapsed: Duration,
    /// Customers who have come.
    pub sent: u64,
    /// Those of them who have seats.
    pub won: u64,
    /// Seats they have.
    pub seats: u64,
    /// Those who were refused, by code, in the order of `Code::ALL`.
    pub refused: Vec<u64>,
    /// How long they waited.
    pub latency: Option<Quantiles>,
    /// When nothing was left, from the start.
    pub sold_out_after: Option<Duration>,
    /// What happened in each interval.
    pub timeline: Vec<Interval>,
    /// What was checked at the end, once it has come.
    pub checks: Option<Vec<Check>>,
    /// Why it could not be carried through.
    pub failure: Option<String>,
    /// The shadow, as it was told last.
    pub view: Arc<FlightView>,
}

/// One rehearsal.
#[derive(Debug)]
pub struct Rehearsal {
    /// What it is called.
    pub(crate) id: String,
    /// Of which flight it is.
    pub(crate) flight_id: FlightId,
    /// What was asked for.
    pub(crate) plan: RehearsalPlan,
    /// When it began, as the flights see time.
    pub(crate) started_at: Timestamp,
    /// The same moment, for measuring.
    pub(crate) began: Instant,
    told: Mutex<Progress>,
    stop: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl Rehearsal {
    fn new(id: String, plan: RehearsalPlan, started_at: Timestamp, view: FlightView) -> Self {
        let told = Progress {
            state: State::Running,
            elapsed: Duration::ZERO,
            sent: 0,
            won: 0,
            seats: 0,
            refused: Vec::new(),
            latency: None,
            sold_out_after: None,
            timeline: Vec::new(),
            checks: None,
            failure: None,
            view: Arc::new(view),
        };
        Self {
            id,
            flight_id: told.view.definition.flight_id.clone(),
            plan,
            started_at,
            began: Instant::now(),
            told: Mutex::new(told),
            stop: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Stops it, as soon as it looks; one that has ended stays as it is.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended and its threads are gone, no longer than `patience`.
    pub async fn ended(&self, patience: Duration) {
        let mut ended = self.ended.subscribe();
        // Whoever does not wait for it sees that it runs.
        let _ = tokio::time::timeout(patience, ended.wait_for(|ended| *ended)).await;
    }

    fn stopped(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// How far it has come, as it was told last.
    pub fn progress(&self) -> Progress {
        self.told.lock().clone()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        !*self.ended.borrow()
    }

    fn tell(&self, elapsed: Duration, tally: &Tally, view: Arc<FlightView>) {
        let (latency, timeline, refused) = (tally.latency(), tally.timeline.clone(), tally.refused.clone());
        let mut told = self.told.lock();
        *told = Progress {
            elapsed,
            sent: tally.sent,
            won: tally.won,
            seats: tally.seats,
            refused,
            latency,
            sold_out_after: tally.sold_out_after,
            timeline,
            view,
            state: told.state,
            checks: None,
            failure: None,
        };
    }

    fn end(&self, ended: Ended) {
        let (state, checks, failure) = match ended {
            Ended::Done(checks) => (State::Done, Some(checks), None),
            Ended::Stopped => (State::Stopped, None, None),
            Ended::Failed(why) => (State::Failed, None, Some(why)),
        };
        {
            let mut told = self.told.lock();
            (told.state, told.checks, told.failure) = (state, checks, failure);
            tracing::info!(
                rehearsal_id = self.id,
                flight_id = %self.flight_id,
                state = state.as_str(),
                customers = told.sent,
                won = told.won,
                "a rehearsal has ended"
            );
        }
        self.ended.send_replace(true);
    }
}

/// Ends a rehearsal whatever becomes of its thread.
struct Ending<'a>(&'a Rehearsal);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.0.is_running() {
            self.0.end(Ended::Failed("it broke off; the log says why".to_owned()));
        }
    }
}

/// Why a rehearsal was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one runs.
    #[error("another rehearsal runs")]
    Running,
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
    /// The flight cannot be copied, or there is no thread.
    #[error("{0}")]
    Broken(String),
}

#[derive(Debug, Default)]
struct Kept {
    rehearsals: VecDeque<Arc<Rehearsal>>,
    /// Of the newest one.
    thread: Option<JoinHandle<()>>,
    is_closed: bool,
}

/// The rehearsals of this process: at most one that runs, and the last ones.
#[derive(Debug, Default)]
pub struct Rehearsals {
    kept: Mutex<Kept>,
}

impl Rehearsals {
    /// Starts one on a shadow of the flight that `view` shows. `patience` is how long its customers wait for an answer.
    pub fn start(
        &self,
        view: &FlightView,
        plan: RehearsalPlan,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Arc<Rehearsal>, StartError> {
        let id = getrandom::u64().map_err(|error| StartError::Broken(error.to_string()))?;
        let began = shadow::copy(view, plan.start_from, now).map_err(StartError::Broken)?;
        let mut kept = self.kept.lock();
        if kept.is_closed {
            return Err(StartError::Stopping);
        }
        if kept.rehearsals.back().is_some_and(|last| last.is_running()) {
            return Err(StartError::Running);
        }
        let rehearsal = Rehearsal::new(format!("{id:016x}"), plan, now, FlightView::of(&began));
        let rehearsal = Arc::new(rehearsal);
        kept.thread =
            Some(thread_of(&rehearsal, began, patience).map_err(|e| StartError::Broken(e.to_string()))?);
        if kept.rehearsals.len() == KEPT_MAX {
            kept.rehearsals.pop_front();
        }
        kept.rehearsals.push_back(rehearsal.clone());
        Ok(rehearsal)
    }

    /// The one with this id, if it is still kept.
    pub fn find(&self, id: &str) -> Option<Arc<Rehearsal>> {
        self.kept.lock().rehearsals.iter().find(|rehearsal| rehearsal.id == id).cloned()
    }

    /// Whether one runs.
    pub fn is_one_running(&self) -> bool {
        self.kept.lock().rehearsals.back().is_some_and(|last| last.is_running())
    }

    /// Stops the one that runs and starts no other one. Does not wait: see [`Rehearsals::wait`].
    pub fn close(&self) {
        let mut kept = self.kept.lock();
        kept.is_closed = true;
        kept.rehearsals.iter().for_each(|rehearsal| rehearsal.stop());
    }

    /// Blocks until the thread of the last one is gone.
    pub fn wait(&self) {
        let thread = self.kept.lock().thread.take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Rehearsals {
    fn drop(&mut self) {
        self.close();
    }
}

fn thread_of(
    rehearsal: &Arc<Rehearsal>,
    began: Flight,
    patience: Duration,
) -> std::io::Result<JoinHandle<()>> {
    let rehearsal = rehearsal.clone();
    std::thread::Builder::new().name("rehearsal".to_owned()).spawn(move || {
        let _ending = Ending(&rehearsal);
        let ended = run::run(&rehearsal, began, patience);
        rehearsal.end(ended);
    })
}
