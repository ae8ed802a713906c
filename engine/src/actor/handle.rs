//! A flight as the rest of the process reaches it: a handle that is cheap to clone and hides the channels.
//! Never touches a seat: the actor does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;

use tokio::sync::oneshot;

use super::admission::{FLIGHT_IS_FULL, MOVED, Overloaded, Permit, RECOVERED, SERVER_IS_FULL};
use super::message::{Ask, AskedAs, PendingAnswer, Request};
use super::shared::{FlightShared, Standing};
use super::stamps::{Stamps, Step};
use super::view::FlightView;
use crate::flight::{
    AdminName, Command, Epoch, Fingerprint, FlightId, IdempotencyKey, OrderRef, SeatPlan, Seq, WaitlistNo,
    WaitlistRef,
};

/// Where a flight stands, for the status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightStatus {
    /// Last event decided.
    pub seq: Seq,
    /// Last event that is durable.
    pub durable_seq: Seq,
    /// Last event in the store.
    pub stored_seq: Seq,
    /// Under which ownership it is served.
    pub epoch: Epoch,
    /// Requests under way.
    pub queued: u32,
    /// Held orders.
    pub holds: u64,
}

/// A flight that is served here.
#[derive(Clone)]
pub struct FlightHandle(pub(crate) Arc<FlightShared>);

impl FlightHandle {
    /// The flight's id.
    pub fn flight_id(&self) -> &FlightId {
        &self.0.flight_id
    }

    /// The flight's durable state.
    pub fn view(&self) -> Arc<FlightView> {
        self.0.view.load_full()
    }

    /// Completes once a view is published, or the flight comes or goes, after this call (not after the first poll): who
    /// looks at the view after calling this misses nothing.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + Sync {
        self.0.changed.notified()
    }

    /// Whether this process serves the flight, or is just recovering it. Once it does not, the view stands still.
    pub fn is_here(&self) -> bool {
        matches!(self.0.standing(), Standing::Serving | Standing::Recovering | Standing::Leaving)
    }

    /// Hands a command over. It is decided whatever becomes of the answer to come.
    pub fn submit(&self, command: Command) -> Result<PendingAnswer, Overloaded> {
        self.submit_traced(command, None)
    }

    /// The same; if there are stamps, every step on the way is marked in them.
    pub fn submit_traced(
        &self,
        command: Command,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Command(command), None, stamps)
    }

    /// The same, unless its turn comes only after `deadline`: then the answer is [`Answer::TooLate`](super::Answer::TooLate).
    pub fn submit_by(
        &self,
        command: Command,
        deadline: Instant,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Command(command), Some(deadline), stamps)
    }

    /// The same; what follows from it is recorded as caused `by` an admin, if one asked, and under a `key`, if there is
    /// one: repeated under the same key, it changes nothing more. A grab has its key within itself.
    pub fn submit_as(
        &self,
        command: Command,
        by: Option<AdminName>,
        key: Option<IdempotencyKey>,
        deadline: Option<Instant>,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        let ask = if by.is_none() && key.is_none() {
            Ask::Command(command)
        } else {
            Ask::CommandAs(Box::new(AskedAs { command, by, key }))
        };
        self.ask(ask, deadline, stamps)
    }

    /// Asks whether the flight was created by a request with this key and fingerprint: then it answers as to a replayed
    /// one. A key that belongs to something else is refused as reused.
    pub fn was_created_under(
        &self,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        deadline: Instant,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::WasCreatedUnder(key, fingerprint), Some(deadline), None)
    }

    /// Asks for an order. The answer waits until everything it shows is durable.
    pub fn look_up(&self, order: OrderRef) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LookUp(order), None, None)
    }

    /// The same, unless its turn comes only after `deadline`.
    pub fn look_up_by(&self, order: OrderRef, deadline: Instant) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LookUp(order), Some(deadline), None)
    }

    /// Asks what a new seat plan would mean; nothing changes.
    pub fn plan_seats_by(&self, plan: SeatPlan, deadline: Instant) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::PlanSeats(Box::new(plan)), Some(deadline), None)
    }

    /// Asks for all orders that have seats, unless its turn comes only after `deadline`. The answer waits until
    /// everything it shows is durable.
    pub fn live_orders_by(&self, deadline: Instant) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LiveOrders, Some(deadline), None)
    }

    /// Asks for an entry of the waitlist, unless its turn comes only after `deadline`.
    pub fn look_up_waitlisted(
        &self,
        entry: WaitlistRef,
        deadline: Instant,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LookUpWaitlisted(entry), Some(deadline), None)
    }

    /// Asks for the entries of the waitlist behind `after`, at most `limit`, unless its turn comes only after `deadline`.
    pub fn waitlist(
        &self,
        after: Option<WaitlistNo>,
        limit: usize,
        deadline: Instant,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Waitlist(after, limit), Some(deadline), None)
    }

    /// Whether a request would be taken just now, so that one that would not be need not even be read. Promises
    /// nothing: the next moment may be different.
    pub fn admits(&self) -> Result<(), Overloaded> {
        let shared = &self.0;
        if shared.overall.is_full() {
            return Err(shared.overall.turn_away(SERVER_IS_FULL));
        }
        if shared.gauge.is_full() {
            return Err(shared.gauge.turn_away(FLIGHT_IS_FULL));
        }
        Ok(())
    }

    /// Makes the actor panic, to show what happens then.
    #[cfg(any(test, feature = "sabotage"))]
    pub fn make_it_panic(&self) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Panic, None, None)
    }

    /// Where the flight stands.
    pub fn status(&self) -> FlightStatus {
        let read = |value: &AtomicU64| value.load(Ordering::Acquire);
        FlightStatus {
            seq: Seq(read(&self.0.seq)),
            durable_seq: Seq(read(&self.0.durable_seq)),
            stored_seq: Seq(read(&self.0.stored_seq)),
            epoch: self.0.epoch(),
            queued: self.0.gauge.under_way(),
            holds: read(&self.0.holds),
        }
    }

    fn ask(
        &self,
        ask: Ask,
        deadline: Option<Instant>,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        let shared = &self.0;
        shared.writer.admit()?;
        match shared.standing() {
            Standing::Serving => {}
            Standing::Creating | Standing::Recovering => {
                return Err(Overloaded { retry_after_seconds: 1, reason: RECOVERED });
            }
            Standing::Fenced | Standing::Leaving => {
                return Err(Overloaded { retry_after_seconds: 1, reason: MOVED });
            }
            Standing::Quarantined => {
                return Err(Overloaded {
                    retry_after_seconds: 60,
                    reason: "the flight is stopped because its data is damaged; its operator has to see to it",
                });
            }
        }
        let permit = Permit::take(&shared.overall, &shared.gauge)?;
        let (reply, answer) = oneshot::channel();
        if let Some(stamps) = &stamps {
            stamps.mark(Step::Queued);
        }
        shared.queue.push(Request { ask, deadline, reply, permit, stamps });
        fence(Ordering::SeqCst);
        match shared.standing() {
            // It ended between the look above and the push: nobody comes to this queue any more.
            Standing::Fenced => shared.send_away(),
            Standing::Quarantined => shared.discard_queue(),
            _ => {}
        }
        shared.wake();
        Ok(PendingAnswer(answer))
    }
}
