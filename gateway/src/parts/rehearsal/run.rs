//! Runs a rehearsal: the crowd comes when it is due, whatever the flight does, and asks it as the gateway does.
//! Everything runs on threads that the system lets wait for all others: the one that calls `run`, which becomes as nice as
//! can be, and those of the shadow's engine, which inherit that. So the real sale keeps the processor it needs, and a
//! rehearsal beside a rush is slow instead. Never holds the application.

use std::iter::Peekable;
use std::time::{Duration, Instant};

use farerush_engine::actor::{Answer, OutcomeUnknown, PendingAnswer};
use farerush_engine::flight::{Command, CustomerId, Flight, Grab, Together, Wanted};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;

use super::check::{self, Outcomes};
use super::crowd::{Arrival, Crowd};
use super::shadow::Shadow;
use super::tally::{Outcome, Tally};
use super::{Ended, Rehearsal};
use crate::base::timer::Timer;
use crate::wire::deadline::Deadline;
use crate::wire::problem::{Code, Problem};

/// How much less important the threads of a rehearsal are: as little as there is.
const NICER: i32 = 19;
/// How often its progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How much longer it may take than the crowd takes to come, before it is given up.
const LATE_MAX: Duration = Duration::from_secs(60);
/// So many customers who are late are sent off before anybody's answer is looked at.
const BURST_MAX: usize = 64;
/// For so long its thread goes on before it offers the core to whoever else wants it. Nobody has to wait for a nice thread's
/// whole slice then, which the kernel would let it finish, and which is several milliseconds.
const GO_ON_MAX: Duration = Duration::from_micros(100);

/// Runs a rehearsal to its end, on the thread that calls this. `patience` is how long a customer waits for an answer.
pub(super) fn run(rehearsal: &Rehearsal, began: Flight, patience: Duration) -> Ended {
    // Of this thread alone, and of those that it starts.
    let _ = rustix::process::nice(NICER);
    let failed = |error: std::io::Error| Ended::Failed(format!("it could not be started: {error}"));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let shadow = match Shadow::start(began, runtime.handle().clone()) {
        Ok(shadow) => shadow,
        Err(error) => return failed(error),
    };
    let ended = runtime.block_on(Rush::new(rehearsal, &shadow, patience).run());
    shadow.end();
    ended
}

struct Rush<'a> {
    rehearsal: &'a Rehearsal,
    shadow: &'a Shadow,
    patience: Duration,
    crowd: Peekable<Crowd>,
    start: Instant,
    tally: Tally,
    told: Outcomes,
}

async fn answer(arrival: Arrival, pending: PendingAnswer) -> (Arrival, Result<Answer, OutcomeUnknown>) {
    (arrival, pending.await)
}

impl<'a> Rush<'a> {
    fn new(rehearsal: &'a Rehearsal, shadow: &'a Shadow, patience: Duration) -> Self {
        let view = shadow.flight.view();
        let policy = &view.sale.policy;
        let party_max = policy.max_seats_per_order.min(policy.max_seats_per_customer);
        let over = rehearsal.plan.over();
        Self {
            rehearsal,
            shadow,
            patience,
            crowd: Crowd::new(rehearsal.plan.customers, over, party_max).peekable(),
            start: Instant::now(),
            tally: Tally::new(over, u64::from(view.free)),
            told: Outcomes::default(),
        }
    }

    async fn run(mut self) -> Ended {
        let rushed = self.rush().await;
        self.tally.pass(self.start.elapsed());
        self.tally.end();
        self.tell();
        match rushed {
            Ok(()) => Ended::Done(check::all(self.shadow, &self.tally, &self.told).await),
            Err(ended) => ended,
        }
    }

    /// Until everybody came and was answered, or else how it ended before.
    async fn rush(&mut self) -> Result<(), Ended> {
        let without_timer = |error: std::io::Error| Ended::Failed(format!("its timer failed: {error}"));
        let timer = Timer::new().map_err(without_timer)?;
        let mut stopped = self.rehearsal.stopped();
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let late_after = self.rehearsal.plan.over() + LATE_MAX;
        let mut pending = FuturesUnordered::new();
        let mut offered = Instant::now();
        loop {
            if offered.elapsed() > GO_ON_MAX {
                std::thread::yield_now();
                offered = Instant::now();
            }
            for _ in 0..BURST_MAX {
                let now = self.start.elapsed();
                let Some(arrival) = self.crowd.next_if(|arrival| arrival.due <= now) else { break };
                if let Some(answer_to_come) = self.send(arrival, now) {
                    pending.push(answer(arrival, answer_to_come));
                }
            }
            let next = self.crowd.peek().map(|arrival| self.start + arrival.due);
            if next.is_none() && pending.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return Err(Ended::Stopped),
                _ = ticks.tick() => {
                    if self.start.elapsed() > late_after {
                        let why = "this machine did not get through the crowd in time";
                        return Err(Ended::Failed(why.to_owned()));
                    }
                    self.tally.pass(self.start.elapsed());
                    self.tell();
                }
                Some((arrival, answer)) = pending.next() => self.answered(arrival, answer),
                waited = timer.wait_until(next.unwrap_or(self.start)), if next.is_some() => {
                    waited.map_err(without_timer)?;
                }
            }
        }
    }

    /// Sends a customer off; what the published view refuses already, or there is no permit for, is answered at once.
    fn send(&mut self, arrival: Arrival, now: Duration) -> Option<PendingAnswer> {
        self.tally.sent(now);
        if self.shadow.flight.view().free == 0 {
            self.refused(arrival, Problem::sold_out().code());
            return None;
        }
        let quantity = arrival.party;
        let name = format!("customer {}", arrival.number);
        let grab = Grab {
            customer: CustomerId::new(&name).expect("this is a name"),
            wanted: Wanted::Quantity { quantity, together: Together::default() },
            cabin_class: None,
            passengers: None,
            client_reference: None,
            idempotency_key: None,
        };
        let deadline = Deadline::after(Instant::now(), self.patience);
        match self.shadow.flight.submit_by(Command::Grab(grab), deadline.decide_by, None) {
            Ok(pending) => Some(pending),
            Err(overloaded) => {
                self.refused(arrival, Problem::from(overloaded).code());
                None
            }
        }
    }

    fn answered(&mut self, arrival: Arrival, answer: Result<Answer, OutcomeUnknown>) {
        match answer {
            Ok(Answer::Order { order, .. }) => {
                let seats = u32::try_from(order.seats.len()).unwrap_or(u32::MAX);
                self.tally.answered(arrival.due, self.start.elapsed(), Outcome::Won(seats));
                self.told.orders.push((order.no, order.seats));
            }
            Ok(Answer::Refused(refusal)) => self.refused(arrival, Problem::from(refusal).code()),
            Ok(Answer::TooLate | Answer::Moved) => self.refused(arrival, Code::Overloaded),
            Ok(_) | Err(_) => self.refused(arrival, Code::OutcomeUnknown),
        }
    }

    fn refused(&mut self, arrival: Arrival, code: Code) {
        if matches!(code, Code::SoldOut | Code::NotEnoughSeats) {
            let smallest = self.told.smallest_refused.unwrap_or(u16::MAX);
            self.told.smallest_refused = Some(smallest.min(arrival.party));
        }
        self.tally.answered(arrival.due, self.start.elapsed(), Outcome::Refused(code));
    }

    fn tell(&self) {
        self.rehearsal.tell(self.start.elapsed(), &self.tally, self.shadow.flight.view());
    }
}
