//! The actor that owns a flight: decides every request in turn and hands events and answers to the writer.
//! Never waits for anything while it does so, and never answers by itself what is not durable.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle};

use super::clock::Clock;
use super::message::{Answer, Ask, AskedAs, PendingReply, Request as Asked, Signal};
use super::shared::{FlightShared, Standing};
use super::stamps::{Step, Traced};
use super::supervisor::Supervisor;
use super::view::FlightView;
use super::writer::{Submission, Writer};
use crate::flight::{
    BrokenInvariant, Cause, Command, Decision, Epoch, EraNonce, Event, Flight, LookedThrough, Outcome,
    Recorded, Refusal, Timestamp,
};
use crate::journal::Durability;

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
    pub(super) flight: Flight,
    epoch: Epoch,
    /// Which of the flight's actors this is.
    generation: u64,
    shared: Arc<FlightShared>,
    parts: ActorParts,
    timer: Option<(Timestamp, SpawnHandle)>,
    /// The moment of the newest turn: what was refused because it was too late stays too late.
    decided_at: Timestamp,
    /// How far its waitlist has been looked through.
    looked: LookedThrough,
}

/// What one turn brought forth.
#[derive(Default)]
struct TurnOutput {
    events: Vec<Recorded>,
    replies: Vec<PendingReply>,
    /// Answers to those whose time had run out; they say nothing of the flight and wait for nothing.
    too_late: Vec<PendingReply>,
    traced: Traced,
}

impl FlightActor {
    pub(crate) fn new(
        flight: Flight,
        epoch: Epoch,
        generation: u64,
        shared: Arc<FlightShared>,
        parts: ActorParts,
    ) -> Self {
        let decided_at = Timestamp::from_millis(0);
        Self {
            flight,
            epoch,
            generation,
            shared,
            parts,
            timer: None,
            decided_at,
            looked: LookedThrough::default(),
        }
    }

    /// Decides what is queued and hands it on, all or (when something breaks) nothing of it.
    fn turn(&mut self) -> Result<(), BrokenInvariant> {
        // Cleared before the queue is read: a request pushed from now on sends another wake-up.
        self.shared.actor.begin_turn();
        let (began, woken_at) = (Instant::now(), self.shared.actor.take_woken_at());
        let now = self.parts.clock.now().max(self.decided_at);
        self.decided_at = now;
        let mut turn = TurnOutput::default();
        let outcome = self.fill(&mut turn, now, began);
        if outcome.is_ok() {
            let requests = turn.replies.len();
            self.hand_on(turn);
            self.shared.writer.meters().turn(began, woken_at, requests);
        }
        if !self.shared.queue.is_empty() {
            self.shared.wake();
        }
        outcome
    }

    /// `began` is looked at for all deadlines: a turn is short against any of them.
    fn fill(&mut self, turn: &mut TurnOutput, now: Timestamp, began: Instant) -> Result<(), BrokenInvariant> {
        for _ in 0..EXPIRIES_PER_TURN_MAX {
            let Some(event) = self.flight.decide_expiry(now) else { break };
            self.record(turn, event, None, now)?;
        }
        if !self.shared.queue.is_empty()
            && let Some(event) = self.flight.decide_sale_end(now)
        {
            self.record(turn, event, None, now)?;
        }
        self.serve_waitlist(turn, now)?;
        for _ in 0..REQUESTS_PER_TURN_MAX {
            let Some(Asked { ask, deadline, reply, permit, stamps }) = self.shared.queue.pop() else {
                break;
            };
            let permit = Some(permit);
            if deadline.is_some_and(|deadline| deadline <= began) {
                turn.too_late.push(PendingReply { answer: Answer::TooLate, reply, permit, stamps });
                continue;
            }
            if let Some(stamps) = &stamps {
                stamps.mark(Step::Taken);
            }
            let answer = match ask {
                Ask::Command(command) => {
                    let decision = self.flight.decide(&command, now);
                    self.carry_out_and_answer(turn, &command, decision, None, now)?
                }
                Ask::CommandAs(asked) => self.decide_as(turn, *asked, now)?,
                Ask::WasCreatedUnder(key, fingerprint) => self.created_under(&key, fingerprint, now),
                Ask::LookUp(order) => match self.flight.find(order) {
                    Some(order) => self.shown(order, false),
                    None => Answer::Refused(Refusal::OrderNotFound),
                },
                Ask::LookUpWaitlisted(entry) => self.waitlisted(self.flight.find_waitlisted(entry), false),
                Ask::Waitlist(after, limit) => Answer::Waitlist(self.flight.waitlist_after(after, limit)),
                Ask::PlanSeats(plan) => match self.flight.plan_seats(&plan) {
                    Ok(plan) => Answer::Reseated {
                        seq: self.flight.seq(),
                        told: Arc::new(plan.told()),
                        stranded: plan.stranded,
                        replayed: false,
                    },
                    Err(refusal) => Answer::Refused(refusal),
                },
                Ask::LiveOrders => Answer::Live(Box::new(self.live_orders())),
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

    fn decide_as(
        &mut self,
        turn: &mut TurnOutput,
        asked: AskedAs,
        now: Timestamp,
    ) -> Result<Answer, BrokenInvariant> {
        let AskedAs { command, by, key } = asked;
        let idempotency = match (key, &command) {
            (None, _) | (_, Command::Grab(_)) => None,
            (Some(key), command) => Some((key, command.fingerprint())),
        };
        let decision = match &idempotency {
            Some((key, fingerprint)) => {
                self.flight.decide_under(by.as_ref(), key, *fingerprint, &command, now)
            }
            None => self.flight.decide(&command, now),
        };
        if let (Ok(Decision::Replayed(_)), Some((key, _))) = (&decision, &idempotency)
            && let Some(request) = self.flight.request_under(by.as_ref(), key, &command, now)
        {
            return Ok(self.repeated(&command, request));
        }
        let cause = Cause { by, idempotency };
        let cause = (cause != Cause::default()).then(|| Box::new(cause));
        self.carry_out_and_answer(turn, &command, decision, cause, now)
    }

    /// Carries out what was decided, and tells what came of it.
    fn carry_out_and_answer(
        &mut self,
        turn: &mut TurnOutput,
        command: &Command,
        decision: Result<Decision, Refusal>,
        cause: Option<Box<Cause>>,
        now: Timestamp,
    ) -> Result<Answer, BrokenInvariant> {
        if matches!(decision, Ok(Decision::Record(_) | Decision::RecordRefused(..))) {
            self.own(turn, now)?; // before anything is numbered
        }
        let next = self.flight.seq().next();
        let outcome = match &decision {
            Ok(Decision::Record(event)) => Outcome::of(event),
            _ => Outcome::Shown,
        };
        let answer = self.carry_out(turn, decision, cause, now)?;
        Ok(match answer {
            Answer::Flight { .. } => self.with_outcome(command, &outcome, next, false).unwrap_or(answer),
            answer => answer,
        })
    }

    /// Whoever fits into seats that came free gets them before anything else is decided. There are no more such events
    /// than free seats.
    fn serve_waitlist(&mut self, turn: &mut TurnOutput, now: Timestamp) -> Result<(), BrokenInvariant> {
        while let Some(event) = self.flight.decide_waitlist(&mut self.looked, now) {
            self.record(turn, event, None, now)?;
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        turn: &mut TurnOutput,
        decision: Result<Decision, Refusal>,
        cause: Option<Box<Cause>>,
        now: Timestamp,
    ) -> Result<Answer, BrokenInvariant> {
        let (no, replayed) = match decision {
            Err(refusal) => return Ok(Answer::Refused(refusal)),
            Ok(Decision::RecordRefused(event, refusal)) => {
                // A refusal is not remembered under its key: asked again, it is refused again.
                let by = cause.and_then(|cause| cause.by);
                let cause = by.map(|by| Box::new(Cause { by: Some(by), idempotency: None }));
                self.record(turn, event, cause, now)?;
                return Ok(Answer::Refused(refusal));
            }
            Ok(Decision::Replayed(no)) => (no, true),
            Ok(Decision::Unchanged(no)) => (no, false),
            Ok(Decision::Record(event)) => {
                let no = match &event {
                    Event::OrderPlaced(_) => Some(crate::flight::OrderNo(self.flight.seq().next().0)),
                    event => event.order(),
                };
                self.record(turn, event, cause, now)?;
                self.serve_waitlist(turn, now)?;
                (no, false)
            }
        };
        Ok(match no.and_then(|no| self.flight.order(no)) {
            Some(order) => self.shown(order, replayed),
            None => Answer::Flight { seq: self.flight.seq(), replayed },
        })
    }

    fn record(
        &mut self,
        turn: &mut TurnOutput,
        event: Event,
        cause: Option<Box<Cause>>,
        now: Timestamp,
    ) -> Result<(), BrokenInvariant> {
        self.own(turn, now)?;
        self.push(turn, event, cause, now)
    }

    /// The first event under an epoch says whose it is from then on, and what ids are made of.
    fn own(&mut self, turn: &mut TurnOutput, now: Timestamp) -> Result<(), BrokenInvariant> {
        let epoch = self.epoch;
        if self.flight.definition().ids.newest().is_some_and(|newest| newest.epoch == epoch) {
            return Ok(());
        }
        let secret = self.parts.supervisor.secrets.current();
        let nonce =
            fresh_nonce().map_err(|error| BrokenInvariant::new("owners differ", error.to_string()))?;
        self.push(turn, Event::TakenOver { epoch, secret, nonce }, None, now)
    }

    fn push(
        &mut self,
        turn: &mut TurnOutput,
        event: Event,
        cause: Option<Box<Cause>>,
        now: Timestamp,
    ) -> Result<(), BrokenInvariant> {
        let (seq, at) = (self.flight.seq().next(), now.max(self.flight.last_at()));
        let recorded = Recorded { seq, at, event, cause, head: None };
        self.flight.apply(&recorded);
        self.flight.check_now()?;
        turn.events.push(recorded);
        Ok(())
    }

    fn hand_on(&mut self, turn: TurnOutput) {
        let TurnOutput { mut events, replies, too_late, traced } = turn;
        if let Some(last) = events.last_mut() {
            last.head = self.flight.head();
        }
        self.parts.writer.deliver(too_late);
        let shared = &self.shared;
        shared.seq.store(self.flight.seq().0, Ordering::Release);
        shared.holds.store(self.flight.holds() as u64, Ordering::Relaxed);
        if events.is_empty() && replies.is_empty() {
            return;
        }
        // The published view moves only behind the gate: when it has come as far as the flight, nothing waits.
        let nothing_to_wait_for = events.is_empty() && shared.view.load().seq == self.flight.seq();
        let view = (!events.is_empty()).then(|| Arc::new(FlightView::of(&self.flight)));
        if nothing_to_wait_for || self.parts.durability == Durability::Memory {
            if let Some(view) = view {
                shared.publish(view, self.epoch);
            }
            self.parts.writer.deliver(replies);
            if !events.is_empty() {
                self.submit(events, Vec::new(), None, Traced::default());
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
        let (flight, epoch, after) = (self.shared.clone(), self.epoch, self.flight.seq());
        self.parts.writer.submit(Submission { flight, epoch, events, after, replies, view, traced });
    }

    /// Keeps one timer set to the next hold that runs out.
    fn set_timer(&mut self, context: &mut Context<Self>) {
        let next = self.flight.next_expiry(self.decided_at);
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
        // A timer may wake an actor that was replaced: the queue belongs to the one that came after it.
        let decides = matches!(self.shared.standing(), Standing::Serving | Standing::Leaving);
        if !decides || !self.shared.is_current(self.generation) {
            context.stop();
            return;
        }
        // The state may be half changed after a panic: the actor ends, and the flight is recovered from what is
        // durable. What this turn had decided was handed to nobody.
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.turn())) {
            Ok(Ok(())) => self.set_timer(context),
            Ok(Err(broken)) => {
                self.shared.quarantine(broken.to_string());
                context.stop();
            }
            Err(_) => {
                self.parts.supervisor.actor_panicked(&self.shared, self.generation);
                context.stop();
            }
        }
    }
}

/// What no other owner has.
pub(crate) fn fresh_nonce() -> Result<EraNonce, getrandom::Error> {
    getrandom::u64().map(EraNonce)
}

impl Actor for FlightActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.drain(context);
    }
}

impl Handler<Signal> for FlightActor {
    type Result = ();

    fn handle(&mut self, signal: Signal, context: &mut Self::Context) {
        match signal {
            Signal::Drain => self.drain(context),
            Signal::Retire => context.stop(),
        }
    }
}
