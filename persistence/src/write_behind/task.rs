//! The one task that moves events from backlog (or journal) to store, turn by turn.
//! Never stops in the middle of a transaction, and never gives up because the store is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farerush_engine::flight::{Recorded, Seq};
use farerush_engine::journal::{Batch, Journal, JournalError};
use tokio::time::Instant;

use super::backlog::{Step, Taken};
use super::flush_size::FlushSize;
use super::meters::Meters;
use super::seen::{OnSeenFlush, SeenFlush};
use super::{Hooks, Shared, WriteBehindOptions};
use crate::store::{self, Flushed, Statements, Store, StoreError, rows_written};

/// First pause after a failure; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long the store may be away before it is logged again.
const STILL_DOWN_EVERY: Duration = Duration::from_secs(60);
/// How long it may be away for another reason than was logged before that is logged, too.
const DOWN_OTHERWISE_EVERY: Duration = Duration::from_secs(1);
/// More events than these waiting after a flush are not waited upon, but flushed.
const LINGER_EVENTS_MAX: u64 = 8_192;
/// So many new events between two looks are a rush.
const RUSH_EVENTS: u64 = 16;
/// Lingers between two looks, once there is a rush.
const LOOK_EVERY_SLICES: u32 = 10;

/// So many times more rows make a flush full while that many wait and nobody waits for them: pages that many rows fall
/// on are then written once for all of them.
const ROWS_FACTOR_BEHIND: usize = 8;

/// What one flush carries.
#[derive(Default)]
struct FlushLoad {
    taken: Vec<Taken>,
    /// Their batches, in the same order.
    batches: Vec<Batch>,
    /// Rows that they write, about.
    rows: usize,
}

/// What reading a hole from the journal gave.
enum RereadEvents {
    Events(Vec<Recorded>),
    NotNow,
    Never,
}

/// The task's own.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Store,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) options: WriteBehindOptions,
    pub(super) hooks: Hooks,
    pub(super) last_trim: Instant,
    pub(super) stored_since_trim: u64,
    pub(super) meters: Meters,
    pub(super) flush_size: FlushSize,
}

impl Task {
    pub(super) async fn run(mut self) {
        loop {
            let turn = self.gather().await;
            if !turn.batches.is_empty() {
                if !self.flush(turn).await {
                    break;
                }
            } else if self.shared.backlog.lock().flights_behind() == 0 {
                if self.shared.is_stopping() {
                    break;
                }
                self.wait_for_work().await;
            }
            if self.is_trim_due() {
                self.keep_snapshots().await;
                self.trim().await;
            }
            if self.shared.is_abandoned() {
                break;
            }
            self.linger().await;
        }
        self.trim().await;
        self.shared.finish();
    }

    async fn wait_for_work(&self) {
        let work = self.shared.work.notified();
        if !self.shared.backlog.lock().has_moved() {
            return work.await;
        }
        let _ = tokio::time::timeout_at(self.last_trim + self.options.trim_interval, work).await;
    }

    /// A wait after a flush lets the next one carry more, which costs less: a short one while little comes in, and
    /// a long one during a rush, whose grabs need the processor more than the store does. It ends when somebody waits
    /// for the store, when the rush is over, or when half of the backlog's bound is taken.
    async fn linger(&self) {
        let began = Instant::now();
        let mut before = self.backlog_events();
        if before == 0 || before > LINGER_EVENTS_MAX || self.options.linger.is_zero() {
            return;
        }
        // The first look comes soon, so that little work is not kept waiting; later ones further apart, so that one
        // slow fsync does not look like the end of a rush.
        let mut slices = 1;
        loop {
            for _ in 0..slices {
                if self.shared.is_stopping() || self.somebody_waits() {
                    return;
                }
                tokio::time::sleep(self.options.linger).await;
            }
            let now = self.backlog_events();
            if now < before + RUSH_EVENTS || began.elapsed() >= self.options.rush_linger {
                return;
            }
            (before, slices) = (now, LOOK_EVERY_SLICES);
        }
    }

    fn backlog_events(&self) -> u64 {
        self.shared.backlog.lock().events()
    }

    fn somebody_waits(&self) -> bool {
        let backlog = self.shared.backlog.lock();
        backlog.has_rounds()
            || backlog.bytes() >= self.options.backlog_bytes_max / 2
            || self.shared.turns.receiver_count() > 0
    }

    /// Takes work out of the backlog until there is enough for a flush; reads holes from the journal.
    async fn gather(&self) -> FlushLoad {
        let mut turn = FlushLoad::default();
        let rows_max = self.flush_size.limit(self.rows_max());
        while turn.rows < rows_max {
            let left = rows_max - turn.rows;
            let Some((taken, mut batch)) = self.shared.backlog.lock().take(left) else { break };
            if batch.events.is_empty() {
                match self.fill(&taken).await {
                    RereadEvents::Events(events) => batch.events = events,
                    RereadEvents::NotNow => break,
                    RereadEvents::Never => continue,
                }
            }
            turn.rows += batch.events.iter().map(|event| rows_written(&event.event)).sum::<usize>();
            turn.taken.push(taken);
            turn.batches.push(batch);
        }
        turn
    }

    /// Rows after which the next flush is full, if the store writes them fast enough.
    fn rows_max(&self) -> usize {
        let rows_max = self.options.rows_max.saturating_mul(ROWS_FACTOR_BEHIND);
        let backlog = self.shared.backlog.lock();
        let is_behind = usize::try_from(backlog.events()).is_ok_and(|events| events >= rows_max);
        if is_behind && !backlog.has_rounds() { rows_max } else { self.options.rows_max }
    }

    /// Reads what is missing from the journal.
    async fn fill(&self, taken: &Taken) -> RereadEvents {
        let (journal, flight_id) = (Arc::clone(&self.journal), taken.flight_id.clone());
        let (after, events_max) = (taken.after, self.options.rows_max);
        let read = tokio::task::spawn_blocking(move || journal.read(&flight_id, after, events_max)).await;
        let why = match read {
            Ok(Ok(mut events)) => {
                events.retain(|event| taken.before.is_none_or(|before| event.seq < before));
                if events.first().is_some_and(|event| event.seq == after.next()) {
                    self.shared.count_reread(events.len());
                    return RereadEvents::Events(events);
                }
                format!("the journal has no event {}", after.next())
            }
            Ok(Err(error @ (JournalError::Unavailable { .. } | JournalError::Stopped { .. }))) => {
                tracing::debug!(error = in_full(&error), "the journal cannot be read just now");
                self.shared.backlog.lock().put_back(taken);
                self.shared.pause(BACKOFF_MAX).await;
                return RereadEvents::NotNow;
            }
            Ok(Err(error)) => in_full(&error),
            Err(error) => format!("reading the journal panicked: {error}"),
        };
        let step = self.shared.backlog.lock().halt_stuck(taken, why);
        self.tell(step);
        self.settle();
        RereadEvents::Never
    }

    /// Flushes a turn, however long it takes; `false` if it was abandoned.
    async fn flush(&mut self, turn: FlushLoad) -> bool {
        let began = Instant::now();
        let Some(outcomes) = self.flush_seen(&turn.batches).await else { return false };
        self.flush_size.flushed(turn.rows, began.elapsed());
        for ((taken, batch), outcome) in turn.taken.iter().zip(&turn.batches).zip(outcomes) {
            if outcome == Flushed::Stored {
                self.stored_since_trim += batch.events.len() as u64;
            }
            let step = self.shared.backlog.lock().complete(taken, batch, outcome);
            self.tell(step);
        }
        self.settle();
        true
    }

    /// The same as `flush_batches`, and tells of it if it carries what somebody traces.
    async fn flush_seen(&self, batches: &[Batch]) -> Option<Vec<Flushed>> {
        let Some(OnSeenFlush(tell)) = &self.options.on_seen else { return self.flush_batches(batches).await };
        let followed = self.shared.followed.lock().take_in(batches);
        if followed.is_empty() {
            return self.flush_batches(batches).await;
        }
        let (statements, began) = (Arc::new(Statements::default()), std::time::Instant::now());
        let failed_before = self.shared.failed_flushes.load(Ordering::Relaxed);
        let mut flush = std::pin::pin!(self.flush_batches(batches));
        let outcomes =
            std::future::poll_fn(|context| store::seeing(Some(&statements), || flush.as_mut().poll(context)))
                .await;
        let failed = self.shared.failed_flushes.load(Ordering::Relaxed) - failed_before;
        let error = match &outcomes {
            None => Some("given up, because the process stops; the next start stores it".to_owned()),
            Some(outcomes) => outcomes.iter().find_map(not_stored),
        };
        tell(SeenFlush {
            system: self.store.system(),
            began,
            took: began.elapsed(),
            attempts: u32::try_from(failed + u64::from(outcomes.is_some())).unwrap_or(u32::MAX),
            flights: batches.len(),
            events: batches.iter().map(|batch| batch.events.len()).sum(),
            error,
            statements: statements.take(),
            followed,
        });
        outcomes
    }

    async fn flush_batches(&self, batches: &[Batch]) -> Option<Vec<Flushed>> {
        let error = match self.retry(batches).await? {
            Ok(outcomes) => return Some(outcomes),
            Err(error) => error,
        };
        if let [batch] = batches {
            let stored = Seq(batch.first_seq().0.saturating_sub(1));
            return Some(vec![Flushed::Misfit { stored, what: in_full(&error) }]);
        }
        // One flight's rows must not keep the others out: alone, it will be found.
        tracing::warn!(error = in_full(&error), "a flush was rejected; trying its flights one by one");
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            outcomes.extend(Box::pin(self.flush_batches(std::slice::from_ref(batch))).await?);
        }
        Some(outcomes)
    }

    /// Flushes until the store has answered for good; `None` if that was abandoned.
    async fn retry(&self, batches: &[Batch]) -> Option<Result<Vec<Flushed>, StoreError>> {
        let mut backoff = BACKOFF_MIN;
        let mut logged: Option<(Instant, String)> = None;
        loop {
            let began = Instant::now();
            let flushed = self.store.flush(batches).await;
            let events = || batches.iter().map(|batch| batch.events.len()).sum();
            self.meters.flushed(began.elapsed(), flushed.is_ok().then(events));
            if flushed.is_err() {
                self.shared.failed_flushes.fetch_add(1, Ordering::Relaxed);
            }
            let error = match flushed {
                Ok(outcomes) => {
                    if self.shared.store_is_up() {
                        tracing::info!(store = %self.store.describe(), "the store is back");
                    }
                    return Some(Ok(outcomes));
                }
                Err(error @ StoreError::Rejected { .. }) => return Some(Err(error)),
                Err(error) => error,
            };
            let error = in_full(&error);
            let is_news = self.shared.store_is_down(error.clone());
            let is_due = logged.as_ref().is_some_and(|(at, why)| {
                at.elapsed() > if *why == error { STILL_DOWN_EVERY } else { DOWN_OTHERWISE_EVERY }
            });
            if is_news || is_due {
                let backlog_events = self.shared.backlog.lock().events();
                let store = self.store.describe();
                tracing::warn!(store, error, backlog_events, "the store is away; sales go on, trying again");
                logged = Some((Instant::now(), error));
            }
            if self.shared.is_abandoned() {
                return None;
            }
            self.shared.pause(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn tell(&self, step: Step) {
        match step {
            Step::Stored(flight_id, seq) => (self.hooks.on_stored)(&flight_id, seq),
            Step::Fenced(flight_id, epoch) => {
                tracing::warn!(%flight_id, %epoch, "the store belongs to a later owner of the flight");
                (self.hooks.on_fenced)(&flight_id, epoch);
            }
            Step::Stuck(flight_id, why) => {
                tracing::error!(%flight_id, why, "nothing more of the flight can be stored; it sells on");
            }
            Step::Nothing => {}
        }
    }

    /// After something changed: lets replies go and wakes those who wait for the store.
    fn settle(&self) {
        let releases = self.shared.backlog.lock().releases();
        for release in releases {
            release();
        }
        self.shared.turns.send_modify(|turns| *turns += 1);
    }
}

/// Why a batch is not in the store after its flush, if so.
fn not_stored(outcome: &Flushed) -> Option<String> {
    match outcome {
        Flushed::Stored | Flushed::AlreadyStored { .. } => None,
        Flushed::Fenced { owner } => Some(format!("a later owner has the flight, under epoch {owner}")),
        Flushed::Gap { stored } => Some(format!("events behind {stored} are missing")),
        Flushed::Misfit { what, .. } => Some(what.clone()),
    }
}

/// An error with all its causes, for one line of a log.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
