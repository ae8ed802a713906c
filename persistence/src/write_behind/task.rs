//! The one task that moves events from backlog (or journal) to store, turn by turn.
//! Never stops in the middle of a transaction, and never gives up because the store is away.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{Recorded, Seq};
use farerush_engine::journal::{Batch, Journal, JournalError};
use tokio::time::Instant;

use super::backlog::{Step, Taken};
use super::{Hooks, Shared, WriteBehindOptions};
use crate::store::{Flushed, Store, StoreError, rows_written};

/// First pause after a failure; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long the store may be away before it is logged again.
const STILL_DOWN_EVERY: Duration = Duration::from_secs(60);
/// Fewer events than these are worth a short wait for more, right after a flush.
const LINGER_EVENTS: u64 = 256;

/// What one flush carries.
#[derive(Default)]
struct Turn {
    taken: Vec<Taken>,
    /// Their batches, in the same order.
    batches: Vec<Batch>,
}

/// What reading a hole from the journal gave.
enum Fill {
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
        if self.stored_since_trim == 0 {
            return work.await;
        }
        let _ = tokio::time::timeout_at(self.last_trim + self.options.trim_interval, work).await;
    }

    /// A short wait after a flush lets the next one carry more, which costs less; not where replies wait for it.
    async fn linger(&self) {
        let is_worth_it = {
            let backlog = self.shared.backlog.lock();
            (1..LINGER_EVENTS).contains(&backlog.events()) && !backlog.has_rounds()
        };
        if is_worth_it && !self.shared.is_stopping() && !self.options.linger.is_zero() {
            tokio::time::sleep(self.options.linger).await;
        }
    }

    /// Takes work out of the backlog until there is enough for a flush; reads holes from the journal.
    async fn gather(&self) -> Turn {
        let mut turn = Turn::default();
        let mut rows = 0;
        while rows < self.options.rows_max {
            let left = self.options.rows_max - rows;
            let Some((taken, mut batch)) = self.shared.backlog.lock().take(left) else { break };
            if batch.events.is_empty() {
                match self.fill(&taken).await {
                    Fill::Events(events) => batch.events = events,
                    Fill::NotNow => break,
                    Fill::Never => continue,
                }
            }
            rows += batch.events.iter().map(|event| rows_written(&event.event)).sum::<usize>();
            turn.taken.push(taken);
            turn.batches.push(batch);
        }
        turn
    }

    /// Reads what is missing from the journal.
    async fn fill(&self, taken: &Taken) -> Fill {
        let (journal, flight_id) = (Arc::clone(&self.journal), taken.flight_id.clone());
        let (after, events_max) = (taken.after, self.options.rows_max);
        let read = tokio::task::spawn_blocking(move || journal.read(&flight_id, after, events_max)).await;
        let why = match read {
            Ok(Ok(mut events)) => {
                events.retain(|event| taken.before.is_none_or(|before| event.seq < before));
                if events.first().is_some_and(|event| event.seq == after.next()) {
                    self.shared.count_reread(events.len());
                    return Fill::Events(events);
                }
                format!("the journal has no event {}", after.next())
            }
            Ok(Err(error @ (JournalError::Unavailable { .. } | JournalError::Stopped { .. }))) => {
                tracing::debug!(error = in_full(&error), "the journal cannot be read just now");
                self.shared.backlog.lock().put_back(taken);
                self.shared.pause(BACKOFF_MAX).await;
                return Fill::NotNow;
            }
            Ok(Err(error)) => in_full(&error),
            Err(error) => format!("reading the journal panicked: {error}"),
        };
        let step = self.shared.backlog.lock().halt_stuck(taken, why);
        self.tell(step);
        self.settle();
        Fill::Never
    }

    /// Flushes a turn, however long it takes; `false` if it was abandoned.
    async fn flush(&mut self, turn: Turn) -> bool {
        let Some(outcomes) = self.flush_batches(&turn.batches).await else { return false };
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
        let mut logged_at: Option<Instant> = None;
        loop {
            let error = match self.store.flush(batches).await {
                Ok(outcomes) => {
                    if self.shared.store_is_up() {
                        tracing::info!(store = %self.store.describe(), "the store is back");
                    }
                    return Some(Ok(outcomes));
                }
                Err(error @ StoreError::Rejected { .. }) => return Some(Err(error)),
                Err(error) => error,
            };
            let is_news = self.shared.store_is_down(in_full(&error));
            if is_news || logged_at.is_some_and(|at| at.elapsed() > STILL_DOWN_EVERY) {
                let backlog_events = self.shared.backlog.lock().events();
                let (store, error) = (self.store.describe(), in_full(&error));
                tracing::warn!(store, error, backlog_events, "the store is away; sales go on, trying again");
                logged_at = Some(Instant::now());
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

    fn is_trim_due(&self) -> bool {
        self.stored_since_trim >= self.options.trim_events
            || (self.stored_since_trim > 0 && self.last_trim.elapsed() >= self.options.trim_interval)
    }

    /// Tells the journal what it need not keep: only what the store would still have after a power failure.
    async fn trim(&mut self) {
        self.last_trim = Instant::now();
        let moved = self.shared.backlog.lock().take_moved();
        if moved.is_empty() {
            self.stored_since_trim = 0;
            return;
        }
        match self.store.sync().await {
            Ok(true) => {}
            Ok(false) => return self.shared.backlog.lock().put_back_moved(moved),
            Err(error) => {
                tracing::debug!(error = in_full(&error), "the journal is not trimmed for now");
                return self.shared.backlog.lock().put_back_moved(moved);
            }
        }
        self.stored_since_trim = 0;
        let journal = Arc::clone(&self.journal);
        let trimmed =
            tokio::task::spawn_blocking(move || journal.trim(&moved).map_err(|error| (error, moved)));
        match trimmed.await {
            Ok(Ok(())) => {}
            Ok(Err((error, moved))) => {
                tracing::warn!(%error, "the journal could not be trimmed");
                self.shared.backlog.lock().put_back_moved(moved);
            }
            Err(error) => tracing::error!(%error, "trimming the journal panicked"),
        }
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
