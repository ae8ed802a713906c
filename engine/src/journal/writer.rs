//! The group-commit writer: one thread that makes whatever has queued durable in one round, then publishes views
//! and sends replies. Never lets a reply or a view out before the journal has said that it is durable.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};

use super::Durability;
use super::port::{Appended, Batch, DurableRound, Journal, JournalError, OnDurable, Release};
use super::seen::{Followed, OnSeenRound, SeenRound};
use crate::actor::{FlightShared, FlightView, Overloaded, PendingReply, Traced};
use crate::flight::{Epoch, FlightId, Recorded, Seq};
use crate::meters::Meters;

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

/// What an actor hands over after a turn.
pub(crate) struct Submission {
    pub(crate) flight: Arc<FlightShared>,
    pub(crate) epoch: Epoch,
    pub(crate) events: Vec<Recorded>,
    /// The flight's last event by then, of these or of earlier ones: what the answers were decided on top of.
    pub(crate) after: Seq,
    /// Answers that wait for these events, or for earlier ones.
    pub(crate) replies: Vec<PendingReply>,
    /// The flight after these events.
    pub(crate) view: Option<Arc<FlightView>>,
    /// Those of the requests behind the answers that are traced.
    pub(crate) traced: Traced,
}

enum Item {
    /// With the time at which it was decided.
    Submission(Submission, Instant),
    /// Several that must be in one round.
    Together(Vec<Submission>, Instant),
    Barrier(oneshot::Sender<()>),
    Stop,
}

impl Item {
    /// Whether it can be in this round.
    fn fits(&self, round: &Round) -> bool {
        match self {
            Self::Submission(submission, _) => round.takes(submission),
            Self::Together(submissions, _) => submissions.iter().all(|submission| round.takes(submission)),
            Self::Barrier(_) | Self::Stop => true,
        }
    }
}

/// Whether the journal can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It can.
    Writing,
    /// Not at the moment; the writer keeps trying.
    Stalled {
        /// What the journal said.
        reason: String,
        /// For how long.
        since: Duration,
    },
    /// Not any more, until the process is restarted.
    Stopped {
        /// What the journal said.
        reason: String,
    },
}

const WRITING: u8 = 0;
const STALLED: u8 = 1;
const STOPPED: u8 = 2;

/// What everybody may know of the writer.
pub struct WriterState {
    condition: AtomicU8,
    reason: RwLock<(String, Instant)>,
    rounds: AtomicU64,
    events: AtomicU64,
    gate: Mutex<Gate>,
    stalls: AtomicU64,
    meters: Meters,
    /// Who wants to hear of rounds that traced requests wait for.
    on_seen: OnceLock<OnSeenRound>,
}

/// Between the rounds' beginnings, actors need not run: whatever they decide waits for the next round anyway. While
/// the gate is closed, flights whose queue has filled are noted here and woken together, once, for the next round.
#[derive(Default)]
struct Gate {
    is_closed: bool,
    waiting: Vec<Arc<FlightShared>>,
}

impl Default for WriterState {
    fn default() -> Self {
        Self {
            condition: AtomicU8::new(WRITING),
            reason: RwLock::new((String::new(), Instant::now())),
            rounds: AtomicU64::new(0),
            events: AtomicU64::new(0),
            gate: Mutex::default(),
            stalls: AtomicU64::new(0),
            meters: Meters::new(),
            on_seen: OnceLock::new(),
        }
    }
}

impl WriterState {
    /// Whether new work makes sense.
    pub(crate) fn admit(&self) -> Result<(), Overloaded> {
        match self.condition.load(Ordering::Acquire) {
            WRITING => Ok(()),
            STALLED => Err(Overloaded {
                retry_after_seconds: 1,
                reason: "the journal cannot be written at the moment, so nothing can be promised",
            }),
            _ => Err(Overloaded {
                retry_after_seconds: 30,
                reason: "the journal has failed and this server has stopped selling",
            }),
        }
    }

    /// Notes a flight that has work for its actor; `false` if the actor may as well be woken now.
    pub(crate) fn wakes_later(&self, flight: &Arc<FlightShared>) -> bool {
        let mut gate = self.gate.lock();
        if gate.is_closed {
            gate.waiting.push(flight.clone());
        }
        gate.is_closed
    }

    fn close_gate(&self) {
        self.gate.lock().is_closed = true;
    }

    /// Wakes the actors of the flights that were noted; says how many.
    fn open_gate(&self) -> usize {
        let waiting = {
            let mut gate = self.gate.lock();
            gate.is_closed = false;
            std::mem::take(&mut gate.waiting)
        };
        waiting.iter().for_each(|flight| flight.send_drain());
        waiting.len()
    }

    /// Whether the journal can be written.
    pub fn condition(&self) -> Condition {
        let condition = self.condition.load(Ordering::Acquire);
        let (reason, since) = self.reason.read().clone();
        match condition {
            WRITING => Condition::Writing,
            STALLED => Condition::Stalled { reason, since: since.elapsed() },
            _ => Condition::Stopped { reason },
        }
    }

    /// Rounds made durable since the start, and the events in them.
    pub fn written(&self) -> (u64, u64) {
        (self.rounds.load(Ordering::Relaxed), self.events.load(Ordering::Relaxed))
    }

    /// How often the journal could not be written for a while, since the start.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// Tells of rounds that traced requests wait for from now on; whoever came first hears of them.
    pub(crate) fn watch(&self, on_seen: OnSeenRound) {
        let _ = self.on_seen.set(on_seen);
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    fn set(&self, condition: u8, reason: &str) {
        if self.condition.load(Ordering::Acquire) == condition {
            return;
        }
        if condition == STALLED {
            self.stalls.fetch_add(1, Ordering::Relaxed);
        }
        match condition {
            WRITING => tracing::info!("the journal can be written again"),
            STALLED => tracing::error!(reason, "the journal cannot be written: nothing is sold until it can"),
            _ => tracing::error!(reason, "the journal has failed: nothing is sold until a restart"),
        }
        *self.reason.write() = (reason.to_owned(), Instant::now());
        self.condition.store(condition, Ordering::Release);
    }
}

/// Hands replies to a task of the runtime on which they are waited for: one wake-up from outside for all of them.
#[derive(Clone)]
pub(crate) struct Delivery(mpsc::UnboundedSender<Vec<PendingReply>>);

impl Delivery {
    /// Delivery by a task on `runtime`. What waits in its channel is bounded by the permits the replies hold.
    pub(crate) fn on(runtime: &tokio::runtime::Handle) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<PendingReply>>();
        runtime.spawn(async move {
            while let Some(replies) = receiver.recv().await {
                replies.into_iter().for_each(PendingReply::send);
            }
        });
        Self(sender)
    }

    fn deliver(&self, replies: Vec<PendingReply>) {
        if !replies.is_empty() {
            // Without a runtime nobody waits any more.
            let _ = self.0.send(replies);
        }
    }
}

#[derive(Default)]
struct Queue {
    items: Mutex<VecDeque<Item>>,
    filled: Condvar,
    /// How many items the writer waits for; read and written under the lock of `items`.
    enough: AtomicUsize,
}

/// The way to the writer; cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    delivery: Delivery,
    state: Arc<WriterState>,
}

impl Writer {
    pub(crate) fn submit(&self, submission: Submission) {
        self.push(Item::Submission(submission, Instant::now()));
    }

    /// Submits what must be in one round, so that a journal which takes a round as a whole keeps all of it or none.
    pub(crate) fn submit_together(&self, submissions: Vec<Submission>) {
        self.push(Item::Together(submissions, Instant::now()));
    }

    /// Sends replies that wait for nothing.
    pub(crate) fn deliver(&self, replies: Vec<PendingReply>) {
        self.delivery.deliver(replies);
    }

    /// Waits until everything submitted before is durable (or never will be).
    pub(crate) async fn barrier(&self) {
        let (done, passed) = oneshot::channel();
        self.push(Item::Barrier(done));
        let _ = passed.await;
    }

    /// Turns that wait for a round.
    pub(crate) fn queued(&self) -> usize {
        self.queue.items.lock().len()
    }

    /// Ends the thread after everything submitted before.
    pub(crate) fn stop(&self) {
        self.push(Item::Stop);
    }

    pub(crate) fn state(&self) -> &Arc<WriterState> {
        &self.state
    }

    fn push(&self, item: Item) {
        let mut items = self.queue.items.lock();
        items.push_back(item);
        let enough = self.queue.enough.load(Ordering::Relaxed);
        if items.len() == 1 || items.len() == enough {
            self.queue.filled.notify_one();
        }
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

struct WriterThread {
    writer: Writer,
    journal: Arc<dyn Journal>,
    on_durable: OnDurable,
    durability: Durability,
    options: WriterOptions,
}

/// What becomes visible once a batch is durable.
struct Waiting {
    flight: Arc<FlightShared>,
    epoch: Epoch,
    after: Seq,
    view: Option<Arc<FlightView>>,
    replies: Vec<PendingReply>,
}

impl Waiting {
    fn publish(self, delivery: &Delivery) {
        let replies = self.publish_view();
        delivery.deliver(replies);
    }

    /// Gives back the replies, to be sent now.
    fn publish_view(self) -> Vec<PendingReply> {
        if let Some(view) = self.view {
            self.flight.publish(view, self.epoch);
        }
        self.replies
    }
}

/// One round: the batches, and beside each what waits for it. A flight without new events has replies only: they wait for
/// batches of earlier rounds, whose fate they share.
#[derive(Default)]
struct Round {
    batches: Vec<Batch>,
    waiting: Vec<Waiting>,
    replies_only: Vec<Waiting>,
    places: HashMap<FlightId, usize, foldhash::fast::RandomState>,
    barriers: Vec<oneshot::Sender<()>>,
    /// Those that are traced: of which flight, and up to which event; hardly ever any.
    traced: Vec<(FlightId, Seq, Traced)>,
    /// How often it was sent to the journal.
    attempts: u32,
    /// When the oldest of what is in it was decided.
    decided: Option<Instant>,
    events: usize,
    stop: bool,
}

impl Round {
    /// Whether it can be in this round: of one flight, that is what goes on under the same epoch, without a hole.
    fn takes(&self, submission: &Submission) -> bool {
        let Some(batch) = self.places.get(&submission.flight.flight_id).map(|place| &self.batches[*place])
        else {
            return true;
        };
        let follows = submission.events.first().is_none_or(|first| first.seq == batch.last_seq().next());
        batch.epoch == submission.epoch && follows
    }

    /// The caller knows that the round takes it.
    fn add(&mut self, submission: Submission) {
        let Submission { flight, epoch, events, after, replies, view, traced } = submission;
        if !traced.is_empty() {
            let seq = if events.is_empty() { Seq(0) } else { after };
            self.traced.push((flight.flight_id.clone(), seq, traced));
        }
        let place = self.places.get(&flight.flight_id).copied();
        if let Some(place) = place {
            self.events += events.len();
            self.batches[place].events.extend(events);
            let waiting = &mut self.waiting[place];
            waiting.replies.extend(replies);
            waiting.after = after;
            if view.is_some() {
                waiting.view = view;
            }
            return;
        }
        if events.is_empty() {
            self.replies_only.push(Waiting { flight, epoch, after, view, replies });
            return;
        }
        self.events += events.len();
        self.places.insert(flight.flight_id.clone(), self.batches.len());
        self.batches.push(Batch { flight_id: flight.flight_id.clone(), epoch, events });
        self.waiting.push(Waiting { flight, epoch, after, view, replies });
    }

    fn replies(&self) -> usize {
        self.replies_only.iter().chain(&self.waiting).map(|waiting| waiting.replies.len()).sum()
    }

    /// Takes a flight's batch and what waits for it out of the round.
    fn leave_out(&mut self, flight_id: &FlightId) -> Option<Waiting> {
        let place = self.batches.iter().position(|batch| batch.flight_id == *flight_id)?;
        self.events -= self.batches.remove(place).events.len();
        Some(self.waiting.remove(place))
    }
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
    fn collect(&self, round: &mut Round, woken: usize) {
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

#[cfg(test)]
mod tests;
