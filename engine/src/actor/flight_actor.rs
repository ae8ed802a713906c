//! The actor that owns a flight: decides every request in turn and hands events and answers to the writer.
//! Never waits for anything while it does so, and never answers by itself what is not durable.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle};

use super::clock::Clock;
use super::handle::{FlightShared, Standing};
use super::message::{Answer, Ask, Drain, PendingReply, Request, Retire};
use super::stamps::{Step, Traced};
use super::supervisor::Supervisor;
use super::view::FlightView;
use crate::flight::{BrokenInvariant, Command, Decision, Epoch, Event, Flight, Recorded, Refusal, Timestamp};
use crate::journal::{Durability, Submission, Writer};

/// Most requests decided in one go, so that the flights of one thread take turns.
const REQUESTS_PER_TURN_MAX: usize = 2048;
/// Most holds expired in one go.
const EXPIRIES_PER_TURN_MAX: usize = 1024;

/// What an actor needs besides its flight.
#[derive(Clone)]
pub(crate) struct ActorParts {
    pub(crate) writer: Writer,
    pub(crate) clock: Arc<Clock>,
    pub(crate) durability: Durability,
    pub(crate) supervisor: Arc<Supervisor>,
}

/// One flight's actor.
pub(crate) struct FlightActor {
    flight: Flight,
    epoch: Epoch,
    shared: Arc<FlightShared>,
    parts: ActorParts,
    timer: Option<(Timestamp, SpawnHandle)>,
}

/// What one turn brought forth.
#[derive(Default)]
struct Turn {
    events: Vec<Recorded>,
    replies: Vec<PendingReply>,
    /// Answers to those whose time had run out; they say nothing of the flight and wait for nothing.
    too_late: Vec<PendingReply>,
    traced: Traced,
}

impl FlightActor {
    pub(crate) fn new(flight: Flight, epoch: Epoch, shared: Arc<FlightShared>, parts: ActorParts) -> Self {
        Self { flight, epoch, shared, parts, timer: None }
    }

    /// Decides what is queued and hands it on, all or (when something breaks) nothing of it.
    fn turn(&mut self) -> Result<(), BrokenInvariant> {
        // Cleared before the queue is read: a request pushed from now on sends another `Drain`.
        self.shared.drain_sent.store(false, Ordering::Release);
        let (began, woken) = (Instant::now(), self.shared.woken.swap(0, Ordering::Relaxed));
        let now = self.parts.clock.now();
        let mut turn = Turn::default();
        let outcome = self.fill(&mut turn, now, began);
        if outcome.is_ok() {
            let requests = turn.replies.len();
            self.hand_on(turn);
            self.shared.writer.meters().turn(began, woken, requests);
        }
        if !self.shared.queue.is_empty() {
            self.shared.wake();
        }
        outcome
    }

    /// `began` is looked at for all deadlines: a turn is short against any of them.
    fn fill(&mut self, turn: &mut Turn, now: Timestamp, began: Instant) -> Result<(), BrokenInvariant> {
        for _ in 0..EXPIRIES_PER_TURN_MAX {
            let Some(event) = self.flight.decide_expiry(now) else { break };
            self.record(turn, event, now)?;
        }
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let Some(Request { ask, deadline, reply, permit, stamps }) = self.shared.queue.pop() else {
                break;
            };
            if deadline.is_some_and(|deadline| deadline <= began) {
                turn.too_late.push(PendingReply { answer: Answer::TooLate, reply, permit, stamps });
                continue;
            }
            if let Some(stamps) = &stamps {
                stamps.mark(Step::Taken);
            }
            let answer = match ask {
                Ask::Command(command) => self.decide(turn, &command, now)?,
                Ask::LookUp(order) => match self.flight.find(order) {
                    Some(order) => Answer::Order { order: order.clone(), replayed: false },
                    None => Answer::Refused(Refusal::OrderNotFound),
                },
                #[cfg(any(test, feature = "sabotage"))]
                Ask::Panic => panic!("asked to panic"),
            };
            if let Some(stamps) = &stamps {
                stamps.mark(Step::Decided);
                turn.traced.add(stamps);
            }
            turn.replies.push(PendingReply { answer, reply, permit, stamps });
        }
        Ok(())
    }

    fn decide(
        &mut self,
        turn: &mut Turn,
        command: &Command,
        now: Timestamp,
    ) -> Result<Answer, BrokenInvariant> {
        let (no, replayed) = match self.flight.decide(command, now) {
            Err(refusal) => return Ok(Answer::Refused(refusal)),
            Ok(Decision::Replayed(no)) => (Some(no), true),
            Ok(Decision::Unchanged(no)) => (no, false),
            Ok(Decision::Record(event)) => {
                let no = match &event {
                    Event::OrderPlaced(_) => Some(crate::flight::OrderNo(self.flight.seq().next().0)),
                    Event::OrderConfirmed { order, .. }
                    | Event::OrderCancelled { order, .. }
                    | Event::OrderChanged { order, .. } => Some(*order),
                    _ => None,
                };
                self.record(turn, event, now)?;
                (no, false)
            }
        };
        Ok(match no.and_then(|no| self.flight.order(no)) {
            Some(order) => Answer::Order { order: order.clone(), replayed },
            None => Answer::Flight { seq: self.flight.seq() },
        })
    }

    fn record(&mut self, turn: &mut Turn, event: Event, now: Timestamp) -> Result<(), BrokenInvariant> {
        let recorded = Recorded {
            seq: self.flight.seq().next(),
            at: now.max(self.flight.last_at()),
            event,
            cause: None,
        };
        self.flight.apply(&recorded);
        self.flight.check_now()?;
        turn.events.push(recorded);
        Ok(())
    }

    fn hand_on(&mut self, turn: Turn) {
        let Turn { events, replies, too_late, traced } = turn;
        self.parts.writer.deliver(too_late);
        let shared = &self.shared;
        shared.seq.store(self.flight.seq().0, Ordering::Release);
        shared.holds.store(self.flight.holds() as u64, Ordering::Relaxed);
        // The published view moves only behind the gate: when it has come as far as the flight, nothing waits.
        let nothing_to_wait_for = events.is_empty() && shared.view.load().seq == self.flight.seq();
        let view = (!events.is_empty()).then(|| Arc::new(FlightView::of(&self.flight)));
        if nothing_to_wait_for || self.parts.durability == Durability::Memory {
            if let Some(view) = &view {
                shared.publish(view.clone());
            }
            self.parts.writer.deliver(replies);
            if !events.is_empty() {
                self.submit(events, Vec::new(), view, Traced::default());
            }
            return;
        }
        self.submit(events, replies, view, traced);
    }

    fn submit(
        &self,
        events: Vec<Recorded>,
        replies: Vec<PendingReply>,
        view: Option<Arc<FlightView>>,
        traced: Traced,
    ) {
        let flight = self.shared.clone();
        self.parts.writer.submit(Submission { flight, epoch: self.epoch, events, replies, view, traced });
    }

    /// Keeps one timer set to the next hold that runs out.
    fn set_timer(&mut self, context: &mut Context<Self>) {
        let next = self.flight.next_expiry();
        if self.timer.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            context.cancel_future(timer);
        }
        if let Some(at) = next {
            let wait = at.as_millis().saturating_sub(self.parts.clock.now().as_millis()).max(0);
            let wait = Duration::from_millis(wait.unsigned_abs());
            let timer = context.run_later(wait, |actor, context| {
                actor.timer = None;
                actor.drain(context);
            });
            self.timer = Some((at, timer));
        }
    }

    fn drain(&mut self, context: &mut Context<Self>) {
        if self.shared.standing() != Standing::Serving {
            context.stop();
            return;
        }
        // The state may be half changed after a panic: the actor ends, and the flight is recovered from what is
        // durable. What this turn had decided was handed to nobody.
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.turn())) {
            Ok(Ok(())) => self.set_timer(context),
            Ok(Err(broken)) => {
                self.shared.quarantine(broken.to_string());
                self.shared.discard_queue();
                context.stop();
            }
            Err(_) => {
                self.parts.supervisor.actor_panicked(&self.shared);
                context.stop();
            }
        }
    }
}

impl Actor for FlightActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.drain(context);
    }
}

impl Handler<Drain> for FlightActor {
    type Result = ();

    fn handle(&mut self, _: Drain, context: &mut Self::Context) {
        self.drain(context);
    }
}

impl Handler<Retire> for FlightActor {
    type Result = ();

    fn handle(&mut self, _: Retire, context: &mut Self::Context) {
        context.stop();
    }
}
