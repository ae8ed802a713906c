//! What travels to a flight's actor and back: requests, answers, and the promise of an answer.
//! Never holds up the sender: handing over is done when `submit` returns.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use super::admission::Permit;
use super::stamps::{Stamps, Step};
use crate::flight::{
    AdminName, Command, Fingerprint, FlightDefinition, IdempotencyKey, Order, OrderRef, Refusal, Reseated,
    SeatPlan, Seq, Timestamp, WaitlistEntry, WaitlistNo, WaitlistPlace, WaitlistRef,
};

/// What a flight answers. Everything it says is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The order, as it is after the command.
    Order {
        /// The order.
        order: Order,
        /// What the flight was when this was decided: it may have another seat plan by the time that somebody reads it.
        definition: Arc<FlightDefinition>,
        /// Whether the same was granted before, under the same idempotency key.
        replayed: bool,
    },
    /// It is done; the flight's last event.
    Flight {
        /// Seq of that event.
        seq: Seq,
        /// Whether the same was granted before, under the same idempotency key.
        replayed: bool,
    },
    /// All orders that have seats.
    Live(Box<LiveOrders>),
    /// The flight has another seat plan, or would have.
    Reseated {
        /// Seq of the event by which it got it; of its last event, if it only would have.
        seq: Seq,
        /// What that means for those with seats.
        told: Arc<Reseated>,
        /// The orders without a place, as they are now, by number.
        stranded: Vec<Order>,
        /// Whether the same was granted before, under the same idempotency key.
        replayed: bool,
    },
    /// The sale is over, and nobody has seats any more.
    Closed {
        /// Seq of the event by which that came about, or of the flight's last one, if it was so already.
        seq: Seq,
        /// How many orders were cancelled.
        cancelled: u32,
        /// Whether the same was granted before, under the same idempotency key.
        replayed: bool,
    },
    /// An entry of the waitlist, as it is after the command.
    Waitlisted {
        /// The entry.
        entry: Box<WaitlistEntry>,
        /// Where it stands, if it waits.
        place: Option<WaitlistPlace>,
        /// Whether the same was granted before, under the same idempotency key.
        replayed: bool,
    },
    /// A page of the waitlist, by rising number; with each entry where it stands, if it waits.
    Waitlist(Vec<(WaitlistEntry, Option<WaitlistPlace>)>),
    /// It is not granted.
    Refused(Refusal),
    /// Its deadline had passed before it was its turn: it was put aside, and nothing was done.
    TooLate,
    /// Another server has the flight by now: it was put aside, and nothing was done.
    Moved,
}

/// A flight's live orders at one moment; as many as it has seats, at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOrders {
    /// What the flight is.
    pub definition: Arc<FlightDefinition>,
    /// The last event that they show.
    pub seq: Seq,
    /// When that was decided.
    pub at: Timestamp,
    /// The orders, in no certain order.
    pub orders: Vec<Order>,
}

/// Nobody knows what became of the request: it may have been done, or not. Repeated with the same idempotency
/// key, it is done at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the outcome is unknown")]
pub struct OutcomeUnknown;

/// The answer to come. Dropping it changes nothing: the request has been handed over.
#[derive(Debug)]
pub struct PendingAnswer(pub(crate) oneshot::Receiver<Answer>);

impl Future for PendingAnswer {
    type Output = Result<Answer, OutcomeUnknown>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| received.map_err(|_| OutcomeUnknown))
    }
}

/// What is asked of the actor.
#[derive(Debug)]
pub(crate) enum Ask {
    Command(Command),
    /// Apart from the above, so that a grab carries nothing of it.
    CommandAs(Box<AskedAs>),
    /// Whether the flight's creation came under this key.
    WasCreatedUnder(IdempotencyKey, Fingerprint),
    LookUp(OrderRef),
    LookUpWaitlisted(WaitlistRef),
    /// Entries of the waitlist behind this one, at most so many.
    Waitlist(Option<WaitlistNo>, usize),
    LiveOrders,
    /// What a new seat plan would mean; nothing changes.
    PlanSeats(Box<SeatPlan>),
    #[cfg(any(test, feature = "sabotage"))]
    Panic,
}

/// A command, and what has to be remembered of whoever asks.
#[derive(Debug)]
pub(crate) struct AskedAs {
    pub(crate) command: Command,
    pub(crate) by: Option<AdminName>,
    pub(crate) key: Option<IdempotencyKey>,
}

/// A request on its way to the actor.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    /// After this moment nobody waits for it any more, and it is put aside instead of being decided.
    pub(crate) deadline: Option<Instant>,
    pub(crate) reply: oneshot::Sender<Answer>,
    pub(crate) permit: Permit,
    pub(crate) stamps: Option<Arc<Stamps>>,
}

/// An answer that waits until what it says is durable.
#[derive(Debug)]
pub(crate) struct PendingReply {
    pub(crate) answer: Answer,
    pub(crate) reply: oneshot::Sender<Answer>,
    /// `None` for one of many answers to one request, of which another one has the permit.
    pub(crate) permit: Option<Permit>,
    pub(crate) stamps: Option<Arc<Stamps>>,
}

impl PendingReply {
    /// Sends the answer; a client that has hung up does not matter.
    pub(crate) fn send(self) {
        drop(self.permit);
        if let Some(stamps) = self.stamps {
            stamps.mark(Step::Sent);
        }
        let _ = self.reply.send(self.answer);
    }
}

/// What an actor is sent by way of its mailbox. At most one `Drain` is under way to each, so a mailbox never grows.
pub(crate) enum Signal {
    /// Its queue holds requests, or a hold may have run out.
    Drain,
    /// It ends. What is queued stays queued, for the actor that follows.
    Retire,
}

impl actix::Message for Signal {
    type Result = ();
}
