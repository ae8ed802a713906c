//! Write-behind: what the journal has made durable goes to the store, in batches, flight by flight in order.
//! Never holds up a sale: with the store away events wait, in memory up to a bound, and beyond it in the journal.

mod backlog;
mod flush_size;
mod meters;
mod seen;
mod task;
mod trimming;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farerush_engine::flight::{Epoch, FlightId, Seq, Timestamp};
use farerush_engine::journal::{Followed, Journal, OnDurable};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::store::Store;
use backlog::Backlog;

pub use meters::MEASURES;
use seen::FollowedRequests;
pub use seen::{OnSeenFlush, SeenFlush};

/// How much longer than its deadline a drain waits for a transaction that is under way.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// Bounds and paces of the write-behind.
#[derive(Debug, Clone)]
pub struct WriteBehindOptions {
    /// Most bytes of events kept in memory, about; what is beyond is read again from the journal.
    pub backlog_bytes_max: usize,
    /// Rows after which a flush is full (eight times as many while that many events wait, and no reply for them). One event is never split, nor is a page read from the journal (at most as
    /// many events as this), so that a flush may carry more.
    pub rows_max: usize,
    /// How long to wait for more after a flush, while there is little.
    pub linger: Duration,
    /// How long at most to let a rush go first, while nobody waits for the store.
    pub rush_linger: Duration,
    /// Stored events after which the journal is trimmed, or
    pub trim_events: u64,
    /// the time after which it is, if anything was stored.
    pub trim_interval: Duration,
    /// Stored events of a flight after which, before the journal is trimmed, it gets a snapshot of the flight, so
    /// that it can bring it up alone. For journals that keep snapshots.
    pub snapshot_events: u64,
    /// Who wants to hear of flushes that carry events of traced requests.
    pub on_seen: Option<OnSeenFlush>,
}

impl Default for WriteBehindOptions {
    fn default() -> Self {
        Self {
            backlog_bytes_max: 256 << 20,
            rows_max: 2_048,
            linger: Duration::from_millis(5),
            rush_linger: Duration::from_secs(10),
            trim_events: 200_000,
            trim_interval: Duration::from_secs(10),
            snapshot_events: 20_000,
            on_seen: None,
        }
    }
}

/// Called with a flight and the seq up to which it is stored now.
pub type OnStored = Box<dyn Fn(&FlightId, Seq) + Send + Sync>;
/// Called with a flight and the epoch under which the store refused it.
pub type OnFenced = Box<dyn Fn(&FlightId, Epoch) + Send + Sync>;

/// Who wants to hear of what happens; called on the write-behind's task, must not block.
pub struct Hooks {
    /// A flight is stored further.
    pub on_stored: OnStored,
    /// The store belongs to a later owner of a flight, not to the epoch given: if that is still the epoch it runs
    /// under here, the flight must stop here.
    pub on_fenced: OnFenced,
}

/// Whether the store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreState {
    /// It did when last asked.
    Up,
    /// It has not for a while.
    Down {
        /// For how long.
        for_time: Duration,
        /// What it, or the way to it, said last.
        error: String,
    },
}

/// How the write-behind is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteBehindStatus {
    /// Events that are durable but not stored.
    pub backlog_events: u64,
    /// Bytes of them in memory, about.
    pub backlog_bytes: usize,
    /// Most of those bytes, about; the rest is in the journal alone.
    pub backlog_bytes_max: usize,
    /// Flights they belong to.
    pub flights_behind: usize,
    /// Whether the store answers.
    pub store: StoreState,
    /// What the store last failed with, even if that is over.
    pub last_error: Option<String>,
    /// Flights of which nothing more can be stored until somebody has looked, and why.
    pub stuck: Vec<(FlightId, String)>,
    /// Events that did not fit in memory (or were there before the start) and were read from the journal.
    pub reread_events: u64,
    /// Flushes that failed, since the start.
    pub failed_flushes: u64,
}

/// The write-behind; clones are handles to the same one.
#[derive(Clone)]
pub struct WriteBehind {
    shared: Arc<Shared>,
}

struct Shared {
    backlog: Mutex<Backlog>,
    /// Something was handed in, or it is time to stop.
    work: Notify,
    /// Counts flushes and whatever else may end somebody's waiting.
    turns: watch::Sender<u64>,
    stage: watch::Sender<Stage>,
    down: Mutex<Outage>,
    reread_events: AtomicU64,
    failed_flushes: AtomicU64,
    followed: Mutex<FollowedRequests>,
}

#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    last_error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// Ends when everything is stored.
    Stopping,
    /// Ends after the transaction that is under way.
    Abandoned,
    Finished,
}

impl WriteBehind {
    /// Starts the task on the current tokio runtime. The journal is only read and trimmed.
    pub fn start(store: Store, journal: Arc<dyn Journal>, options: WriteBehindOptions, hooks: Hooks) -> Self {
        let shared = Arc::new(Shared {
            backlog: Mutex::new(Backlog::new(options.backlog_bytes_max)),
            work: Notify::new(),
            turns: watch::Sender::new(0),
            stage: watch::Sender::new(Stage::Running),
            down: Mutex::default(),
            reread_events: AtomicU64::new(0),
            failed_flushes: AtomicU64::new(0),
            followed: Mutex::default(),
        });
        let task = task::Task {
            shared: Arc::clone(&shared),
            store,
            journal,
            options,
            hooks,
            last_trim: Instant::now(),
            stored_since_trim: 0,
            meters: meters::Meters::new(),
            flush_size: flush_size::FlushSize::unknown(),
        };
        tokio::spawn(task.run());
        Self { shared }
    }

    /// What the journal's writer hands durable rounds to. Never blocks for longer than it takes to queue them.
    pub fn intake(&self) -> OnDurable {
        let shared = Arc::clone(&self.shared);
        Box::new(move |round| {
            let news = {
                let mut backlog = shared.backlog.lock();
                let was_over = backlog.is_over();
                backlog.hand_in(round);
                (!was_over && backlog.is_over()).then(|| (backlog.events(), backlog.bytes_max()))
            };
            shared.work.notify_one();
            if let Some((backlog_events, bytes_max)) = news {
                tracing::warn!(
                    backlog_events,
                    bytes_max,
                    "what waits for the store has filled its memory: what follows waits in the journal alone"
                );
            }
        })
    }

    /// Follows traced requests into the store: the flush that carries their events is told of. To be called before those are
    /// handed in.
    pub fn follow(&self, followed: impl IntoIterator<Item = Followed>) {
        self.shared.followed.lock().add(followed);
    }

    /// Takes over a flight that was recovered: stored up to `stored` and durable up to `durable`, whatever lies in
    /// between is read from the journal and stored under `epoch`. Without this, only flights that are new get along.
    pub fn register(&self, flight_id: &FlightId, epoch: Epoch, stored: Seq, durable: Seq) {
        {
            let mut backlog = self.shared.backlog.lock();
            backlog.register(flight_id, epoch, stored, durable);
            backlog.note_recovered(flight_id);
        }
        self.shared.work.notify_one();
    }

    /// Says that the journal lacks the flight's first events: it gets a snapshot as soon as something was stored.
    pub fn want_snapshot(&self, flight_id: &FlightId) {
        self.shared.backlog.lock().want_snapshot(flight_id);
    }

    /// Drops a flight that this process no longer owns, and what was to be stored of it.
    pub fn forget(&self, flight_id: &FlightId) {
        self.shared.backlog.lock().forget(flight_id);
        self.shared.work.notify_one();
        self.shared.turns.send_modify(|turns| *turns += 1);
    }

    /// Waits until everything that had been handed in before this call is stored; `false` if that takes longer than
    /// `timeout`. Flights of which nothing more can be stored are not waited for. May be dropped at any time.
    pub async fn caught_up(&self, timeout: Duration) -> bool {
        let goals = self.shared.backlog.lock().goals();
        self.reached(goals, timeout).await
    }

    /// The same for one flight.
    pub async fn flight_caught_up(&self, flight_id: &FlightId, timeout: Duration) -> bool {
        let goal = self.shared.backlog.lock().goal(flight_id);
        self.reached(goal.into_iter().collect(), timeout).await
    }

    async fn reached(&self, mut goals: Vec<(FlightId, Seq)>, timeout: Duration) -> bool {
        if goals.is_empty() {
            return true;
        }
        let mut turns = self.shared.turns.subscribe();
        let reached = async {
            loop {
                {
                    let backlog = self.shared.backlog.lock();
                    goals.retain(|goal| !backlog.has_reached(goal));
                }
                if goals.is_empty() {
                    return true;
                }
                if turns.changed().await.is_err() || self.shared.is_finished() {
                    return false;
                }
            }
        };
        tokio::time::timeout(timeout, reached).await.unwrap_or(false)
    }

    /// Stores what is left, then ends the task; `false` if the deadline came first (what is left is in the journal).
    /// Nothing should be handed in any more.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let mut stage = self.shared.stage.subscribe();
        self.shared.move_to(Stage::Stopping);
        let finished = stage.wait_for(|stage| *stage == Stage::Finished);
        if tokio::time::timeout(deadline, finished).await.is_err() {
            self.shared.move_to(Stage::Abandoned);
            let finished = stage.wait_for(|stage| *stage == Stage::Finished);
            let _ = tokio::time::timeout(DRAIN_GRACE, finished).await;
        }
        self.shared.backlog.lock().flights_behind() == 0
    }

    /// What somebody else found out about the store: `None` if it answered, which counts only while nothing waits to
    /// be stored (else the next flush will tell).
    pub fn note_store(&self, error: Option<String>) {
        let Some(error) = error else {
            if self.shared.backlog.lock().flights_behind() == 0 && self.shared.store_is_up() {
                tracing::info!("the store is back");
            }
            return;
        };
        if self.shared.store_is_down(error.clone()) {
            tracing::warn!(error, "the store is away; sales go on");
        }
    }

    /// Changes whenever something was stored, or will not be.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.shared.turns.subscribe()
    }

    /// Whether nothing more of this flight can be stored until somebody has looked.
    pub fn is_stuck(&self, flight_id: &FlightId) -> bool {
        self.shared.backlog.lock().is_stuck(flight_id)
    }

    /// Whether the store answers.
    pub fn store_state(&self) -> StoreState {
        let down = self.shared.down.lock();
        let error = || down.last_error.clone().unwrap_or_default();
        down.since
            .map_or(StoreState::Up, |since| StoreState::Down { for_time: since.elapsed(), error: error() })
    }

    /// How far the store has this flight, as far as known.
    pub fn stored(&self, flight_id: &FlightId) -> Option<Seq> {
        self.shared.backlog.lock().stored(flight_id)
    }

    /// When the oldest event that is durable but not stored happened, as far as known: of what has to be read again
    /// from the journal, a time at or before it. Looks at every flight that is behind.
    pub fn oldest_unstored(&self) -> Option<Timestamp> {
        self.shared.backlog.lock().oldest()
    }

    /// How it is doing.
    pub fn status(&self) -> WriteBehindStatus {
        let (store, last_error) = (self.store_state(), self.shared.down.lock().last_error.clone());
        let backlog = self.shared.backlog.lock();
        WriteBehindStatus {
            backlog_events: backlog.events(),
            backlog_bytes: backlog.bytes(),
            backlog_bytes_max: backlog.bytes_max(),
            flights_behind: backlog.flights_behind(),
            store,
            last_error,
            stuck: backlog.stuck(),
            reread_events: self.shared.reread_events.load(Ordering::Relaxed),
            failed_flushes: self.shared.failed_flushes.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *self.stage.borrow() >= Stage::Stopping
    }

    fn is_abandoned(&self) -> bool {
        *self.stage.borrow() >= Stage::Abandoned
    }

    fn is_finished(&self) -> bool {
        *self.stage.borrow() == Stage::Finished
    }

    fn move_to(&self, next: Stage) {
        self.stage.send_if_modified(|stage| {
            let is_later = next > *stage;
            *stage = next.max(*stage);
            is_later
        });
        self.work.notify_one();
    }

    fn finish(&self) {
        self.move_to(Stage::Finished);
        self.turns.send_modify(|turns| *turns += 1);
    }

    /// Waits, but not on when the task is to be abandoned.
    async fn pause(&self, time: Duration) {
        let mut stage = self.stage.subscribe();
        let _ = tokio::time::timeout(time, stage.wait_for(|stage| *stage >= Stage::Abandoned)).await;
    }

    fn count_reread(&self, events: usize) {
        self.reread_events.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// Notes that the store answered; whether that is news.
    fn store_is_up(&self) -> bool {
        self.down.lock().since.take().is_some()
    }

    /// Notes that the store failed; whether that is news.
    fn store_is_down(&self, error: String) -> bool {
        let mut down = self.down.lock();
        down.last_error = Some(error);
        let is_news = down.since.is_none();
        down.since.get_or_insert_with(Instant::now);
        is_news
    }
}
