//! The writer's thread: collects a round, appends it however long that takes, and hands on what is durable.
//! Never lets a reply or a view out before the journal has said that it is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::queue::{Item, Queue, Writer};
use super::round::{Round, Waiting};
use super::state::{STALLED, STOPPED, WRITING, WriterState};
use crate::actor::stamps::Traced;
use crate::flight::{FlightId, Seq};
use crate::journal::{
    Appended, Batch, Durability, DurableRound, Followed, Journal, JournalError, OnDurable, Release, SeenRound,
};

/// Shortest and longest wait before a round that could not be appended is sent again.
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(250);

/// How the writer forms its rounds.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Most events of one round.
    pub round_events_max: usize,
    /// How long to wait for more before a round, when the last one was a large one. An fsync costs processor time
    /// too: fewer, larger rounds leave more of it to everything else.
    pub pause: Duration,
    /// From so many replies in the last round on it counts as large.
    pub pause_from_replies: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { round_events_max: 16_384, pause: Duration::from_micros(200), pause_from_replies: 24 }
    }
}

/// Starts the writer's thread.
pub(crate) fn start(
    journal: Arc<dyn Journal>,
    on_durable: OnDurable,
    durability: Durability,
    delivery: Delivery,
    options: WriterOptions,
) -> (Writer, std::thread::JoinHandle<()>) {
    let state = Arc::new(WriterState::default());
    let writer = Writer { queue: Arc::new(Queue::default()), delivery, state };
    let thread = WriterThread { writer: writer.clone(), journal, on_durable, durability, options };
    let handle = std::thread::Builder::new().name("journal-writer".to_owned()).spawn(move || thread.run());
    match handle {
        Ok(handle) => (writer, handle),
        Err(error) => panic!("cannot start the journal writer's thread: {error}"),
    }
}

pub(super) struct WriterThread {
    pub(super) writer: Writer,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) on_durable: OnDurable,
    pub(super) durability: Durability,
    pub(super) options: WriterOptions,
}

impl WriterThread {
    fn run(self) {
        let state = self.writer.state.clone();
        let gates_actors = self.durability != Durability::Memory;
        let mut is_large = false;
        loop {
            if is_large {
                std::thread::sleep(self.options.pause);
            }
            let woken = state.open_gate();
            let mut round = Round::default();
            self.collect(&mut round, woken);
            is_large = round.replies() >= self.options.pause_from_replies && !round.stop;
            let (stop, barriers) = (round.stop, std::mem::take(&mut round.barriers));
            if gates_actors && !stop {
                state.close_gate();
            }
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.write(round))).is_err() {
                // Nobody knows who has been told what. Without this thread nothing would ever be answered again, and
                // nothing would say so.
                state.set(STOPPED, "the writer panicked while it handed a round on");
            }
            // Whoever waited for the barrier may have given up.
            for barrier in barriers {
                let _ = barrier.send(());
            }
            if stop {
                state.open_gate();
                return;
            }
        }
    }

    /// Takes what has queued, waiting for something to come; and where several flights were woken, for a moment
    /// until they have all come.
    pub(super) fn collect(&self, round: &mut Round, woken: usize) {
        let queue = &self.writer.queue;
        let mut items = queue.items.lock();
        while items.is_empty() {
            queue.filled.wait(&mut items);
        }
        if items.len() < woken {
            queue.enough.store(woken, Ordering::Relaxed);
            queue.filled.wait_for(&mut items, self.options.pause);
            queue.enough.store(0, Ordering::Relaxed);
        }
        while round.events < self.options.round_events_max && !round.stop {
            match items.pop_front() {
                Some(item) if !item.fits(round) => {
                    items.push_front(item);
                    return;
                }
                Some(Item::Submission(submission, decided)) => {
                    round.decided.get_or_insert(decided);
                    round.add(submission);
                }
                Some(Item::Together(submissions, decided)) => {
                    round.decided.get_or_insert(decided);
                    submissions.into_iter().for_each(|submission| round.add(submission));
                }
                Some(Item::Barrier(done)) => round.barriers.push(done),
                Some(Item::Stop) => round.stop = true,
                None => return,
            }
        }
    }

    fn write(&self, mut round: Round) {
        let traced = std::mem::take(&mut round.traced);
        let began = (!traced.is_empty()).then(Instant::now);
        traced.iter().for_each(|(_, _, traced)| traced.append_began());
        let replies = round.replies();
        let Some(appended) = self.append(&mut round) else { return };
        if let Some(began) = began {
            self.tell(&round, traced, began);
        }
        let state = &self.writer.state;
        if let Some(decided) = round.decided {
            state.meters.round(decided, round.events, replies);
        }
        state.rounds.fetch_add(1, Ordering::Relaxed);
        state.events.fetch_add(round.events as u64, Ordering::Relaxed);
        let mut durable = Vec::with_capacity(round.batches.len());
        let mut visible = Vec::with_capacity(round.waiting.len());
        for ((batch, waiting), appended) in round.batches.into_iter().zip(round.waiting).zip(appended) {
            match appended {
                Appended::Durable => {
                    waiting.flight.note_durable(batch.epoch, batch.last_seq());
                    durable.push(batch);
                    visible.push(waiting);
                }
                // What waits is dropped: those who asked learn that the outcome is unknown, never success.
                Appended::Fenced => waiting.flight.was_fenced(batch.epoch),
            }
        }
        // Answers that were decided on top of an earlier batch: where that came to nothing, so do they.
        let lasts = |waiting: &Waiting| waiting.flight.has(waiting.epoch, waiting.after);
        visible.extend(round.replies_only.into_iter().filter(lasts));
        self.hand_on(durable, visible);
    }

    /// Says how a round was appended that traced requests waited for.
    fn tell(&self, round: &Round, traced: Vec<(FlightId, Seq, Traced)>, began: Instant) {
        let took = began.elapsed();
        traced.iter().for_each(|(_, _, traced)| traced.append_ended(round.events));
        let Some(on_seen) = self.writer.state.on_seen.get().filter(|_| round.attempts > 0) else { return };
        let follow = |(flight_id, seq, traced): (FlightId, Seq, Traced)| {
            let spans: Vec<_> = traced.spans().collect();
            spans.into_iter().map(move |span| Followed { flight_id: flight_id.clone(), seq, span })
        };
        on_seen(SeenRound {
            began,
            took,
            flights: round.batches.len(),
            events: round.events,
            attempts: round.attempts,
            cost: self.journal.append_cost(),
            followed: traced.into_iter().flat_map(follow).collect(),
        });
    }

    /// Handed on to the store before the replies leave, so that whoever has one can wait for it to have caught up.
    fn hand_on(&self, batches: Vec<Batch>, visible: Vec<Waiting>) {
        let delivery = &self.writer.delivery;
        if self.durability == Durability::Store {
            let release = |waiting: Waiting| {
                let (flight_id, seq) = (waiting.flight.flight_id.clone(), waiting.after);
                let delivery = delivery.clone();
                Release { flight_id, seq, run: Box::new(move || waiting.publish(&delivery)) }
            };
            let releases: Vec<_> = visible.into_iter().map(release).collect();
            if !batches.is_empty() || !releases.is_empty() {
                (self.on_durable)(DurableRound { batches, releases });
            }
            return;
        }
        if !batches.is_empty() {
            (self.on_durable)(DurableRound { batches, releases: Vec::new() });
        }
        let mut replies = Vec::new();
        for waiting in visible {
            replies.append(&mut waiting.publish_view());
        }
        delivery.deliver(replies);
    }

    /// Appends the round, however long it takes; `None` when the journal has failed for good. Whichever way it ends, it is
    /// known whether the journal can be written: a round of which nothing is left still finds that out, because nobody
    /// hands anything over as long as it is said that it cannot.
    fn append(&self, round: &mut Round) -> Option<Vec<Appended>> {
        let state = &self.writer.state;
        let mut retry = RETRY_MIN;
        loop {
            if state.condition.load(Ordering::Acquire) == STOPPED {
                return None;
            }
            if round.batches.is_empty() && state.condition.load(Ordering::Acquire) == WRITING {
                return Some(Vec::new());
            }
            let asked = match round.batches.is_empty() {
                true => self.ask(|| self.journal.probe().map(|()| Vec::new())),
                false => {
                    round.attempts += 1;
                    self.append_once(&round.batches)
                }
            };
            match asked {
                Ok(appended) => {
                    state.set(WRITING, "");
                    return Some(appended);
                }
                // The outcome is unknown, and the same round is sent again as it was.
                Err(error @ JournalError::Unavailable { .. }) => {
                    state.set(STALLED, &with_causes(&error));
                    if self.is_stopping() {
                        return None;
                    }
                    std::thread::sleep(retry);
                    retry = (retry * 2).min(RETRY_MAX);
                }
                Err(JournalError::Damaged { flight_id: Some(flight_id), what })
                    if round.batches.iter().any(|batch| batch.flight_id == flight_id) =>
                {
                    if let Some(waiting) = round.leave_out(&flight_id) {
                        let reason = format!("the journal refused its events: {what}");
                        waiting.flight.was_refused(waiting.epoch, reason);
                    }
                }
                Err(error) => {
                    state.set(STOPPED, &with_causes(&error));
                    return None;
                }
            }
        }
    }

    fn append_once(&self, batches: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        let began = Instant::now();
        let appended = self.ask(|| self.journal.append(batches));
        self.writer.state.meters.appended(began);
        appended
    }

    /// A journal that panics has failed for good: nobody knows what it wrote.
    fn ask<T>(&self, journal: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(journal)).unwrap_or_else(|_| {
            Err(JournalError::Stopped {
                what: "it panicked in the middle of an append".to_owned(),
                source: None,
            })
        })
    }

    fn is_stopping(&self) -> bool {
        self.writer.queue.items.lock().iter().any(|item| matches!(item, Item::Stop))
    }
}

fn with_causes(error: &JournalError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
