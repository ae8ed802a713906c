//! One flight's turn: reads its next events from the journal and delivers what follows from them, one after the other.
//! Never skips an event, and never goes on behind one that was not delivered.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::actor::{Answer, Engine, FlightHandle, FlightView, Located};
use farerush_engine::flight::{
    Event, FlightDefinition, FlightId, Order, OrderId, OrderNo, OrderRef, Recorded, Refusal, Seq, Timestamp,
};
use farerush_engine::journal::{Durability, Journal, JournalError};
use farerush_persistence::store::Store;
use tokio::time::Instant;

use super::Shared;
use super::body::{self, Envelope};
use super::events::{Kind, Kinds, meaning_of};
use super::lanes::{DeliveryCursor, Taken};
use super::post::{Failure, FailureKind, Post};
use crate::base::errors::in_full;

/// Events of one turn, at most: then it is somebody else's.
const TURN_EVENTS_MAX: usize = 256;
/// How long a turn goes on beginning deliveries.
const TURN_TIME_MAX: Duration = Duration::from_secs(1);
/// How long a flight may take to say what an order is like.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// What a turn needs.
pub(super) struct Ways {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Weak<Engine>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) store: Store,
    pub(super) post: Arc<Post>,
    pub(super) kinds: Kinds,
    pub(super) durability: Durability,
}

/// What came of a turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) taken: Taken,
    /// Where it got to.
    pub(super) place: DeliveryCursor,
    /// When the last event up to there happened.
    pub(super) at: Option<Timestamp>,
    pub(super) delivered: u64,
    pub(super) trouble: Option<Trouble>,
}

/// Why a turn ended before its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The receiver did not take a delivery.
    Receiver(Failure),
    /// Something here is not ready: the journal, the store, or the flight.
    Here(String),
    /// It is time to stop.
    Stopping,
}

impl Turn {
    /// A turn that has not begun.
    pub(super) fn of(taken: Taken) -> Self {
        Self { place: taken.from, taken, at: None, delivered: 0, trouble: None }
    }
}

impl Ways {
    /// Delivers for a while.
    pub(super) async fn run(self: Arc<Self>, taken: Taken) -> Turn {
        let mut turn = Turn::of(taken);
        turn.trouble = self.deliver_some(&mut turn).await.err();
        turn
    }

    async fn deliver_some(&self, turn: &mut Turn) -> Result<(), Trouble> {
        let began = Instant::now();
        let flight_id = turn.taken.flight_id.clone();
        let flight = self.flight(&flight_id)?;
        let events = match self.read(&flight_id, turn.place.seq).await? {
            Found::Events(events) => events,
            Found::Lost { last } => return self.tell_gap(turn, last).await,
        };
        for recorded in &events {
            if self.shared.is_stopping() {
                return Err(Trouble::Stopping);
            }
            let free = self.deliver_event(turn, &flight, recorded).await?;
            turn.place = DeliveryCursor { seq: recorded.seq, free, within: 0 };
            turn.at = Some(recorded.at);
            if began.elapsed() >= TURN_TIME_MAX {
                break;
            }
        }
        // Where both are at the same event, the flight knows better.
        let view = flight.view();
        if view.seq == turn.place.seq && turn.place.free != Some(view.free) {
            if let Some(counted) = turn.place.free {
                tracing::warn!(%flight_id, seq = view.seq.0, counted, free = view.free, "free seats were miscounted");
            }
            turn.place.free = Some(view.free);
        }
        Ok(())
    }

    fn flight(&self, flight_id: &FlightId) -> Result<FlightHandle, Trouble> {
        let engine = self.engine.upgrade().ok_or(Trouble::Stopping)?;
        match engine.find(flight_id) {
            Located::Here(flight) => Ok(flight),
            Located::There | Located::Nobody => {
                Err(Trouble::Here("the flight is not served here".to_owned()))
            }
            Located::Quarantined { reason } => Err(Trouble::Here(format!("the flight is stopped: {reason}"))),
        }
    }

    /// The next events; at least one, or what is lost.
    async fn read(&self, flight_id: &FlightId, after: Seq) -> Result<Found, Trouble> {
        let (journal, id) = (self.journal.clone(), flight_id.clone());
        let read = tokio::task::spawn_blocking(move || {
            match journal.read(&id, after, TURN_EVENTS_MAX) {
                // Either nothing is missing, or the journal knows nothing of it.
                Ok(events) if events.is_empty() => Ok(Found::Lost { last: Seq(0) }),
                Ok(events) => Ok(Found::Events(events)),
                Err(JournalError::Trimmed { first, .. }) => Ok(Found::Lost { last: Seq(first.0 - 1) }),
                Err(error) => Err(error),
            }
        });
        match read.await {
            Ok(Ok(Found::Lost { last: Seq(0) })) => {
                // Said to be durable by the flight itself, and not in the journal.
                let durable = self.flight(flight_id)?.status().durable_seq;
                if durable <= after {
                    return Err(Trouble::Here("the flight is not as far as was thought".to_owned()));
                }
                Ok(Found::Lost { last: durable })
            }
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Trouble::Here(in_full(&error))),
            Err(error) => Err(Trouble::Here(format!("reading the journal panicked: {error}"))),
        }
    }

    /// Delivers what follows from an event; gives the seats that are free after it. What was delivered of it before,
    /// when something else of it was not, is left out.
    async fn deliver_event(
        &self,
        turn: &mut Turn,
        flight: &FlightHandle,
        recorded: &Recorded,
    ) -> Result<Option<u32>, Trouble> {
        let meaning = meaning_of(recorded);
        let done = turn.place.within;
        for (place, (no, kind)) in meaning.orders.iter().enumerate().skip(done) {
            if self.kinds.has(*kind) {
                self.deliver_order(turn, flight, recorded, (*no, *kind), place).await?;
            }
            turn.place.within = place + 1;
            if place > done && self.shared.is_stopping() {
                return Err(Trouble::Stopping);
            }
        }
        let (before, after) = (turn.place.free, meaning.free.after(turn.place.free));
        let is_sold_out = before.is_some_and(|free| free > 0) && after == Some(0);
        if is_sold_out && self.kinds.has(Kind::FlightSoldOut) {
            let view = flight.view();
            let id = id_of(&view, recorded.seq, meaning.orders.len().max(1))?;
            let body = envelope(&id, Kind::FlightSoldOut, flight.flight_id(), recorded)
                .body(|json| body::write_sold_out(json, &view));
            self.post(turn, &id, &body).await?;
        }
        Ok(after)
    }

    async fn deliver_order(
        &self,
        turn: &mut Turn,
        flight: &FlightHandle,
        recorded: &Recorded,
        (no, kind): (OrderNo, Kind),
        place: usize,
    ) -> Result<(), Trouble> {
        let view = flight.view();
        let definition = &view.definition;
        let order = match body::placed(recorded) {
            Some(order) => Some(order),
            None => self.find_order(flight, definition, no).await?,
        };
        let is_older = order.as_ref().is_some_and(|order| order.changed_by < recorded.seq);
        if is_older && matches!(recorded.event, Event::CabinsChanged(_)) {
            return Ok(()); // another aircraft, the same seats
        }
        let id = id_of(&view, recorded.seq, place)?;
        let body = envelope(&id, kind, flight.flight_id(), recorded).body(|json| match order {
            Some(order) => {
                let order = body::as_of(recorded, order, definition);
                body::write_order(json, &order, definition, self.durability);
            }
            None => body::write_unknown_order(json, recorded, no, definition),
        });
        self.post(turn, &id, &body).await
    }

    /// The order as it is now, from its flight or, once that has forgotten it, from the store; `None` if neither
    /// knows it.
    async fn find_order(
        &self,
        flight: &FlightHandle,
        definition: &FlightDefinition,
        no: OrderNo,
    ) -> Result<Option<Order>, Trouble> {
        let here = |what: String| Trouble::Here(what);
        let order = OrderRef { no, tag: definition.ids.order_tag(no) };
        let deadline = std::time::Instant::now() + LOOK_UP_TIMEOUT;
        let pending = flight.look_up_by(order, deadline).map_err(|busy| here(busy.reason.to_owned()))?;
        match tokio::time::timeout_at(deadline.into(), pending).await {
            Ok(Ok(Answer::Order { order, .. })) => return Ok(Some(order)),
            Ok(Ok(Answer::Refused(Refusal::OrderNotFound))) => {}
            _ => return Err(here("the flight did not answer in time".to_owned())),
        }
        let id = OrderId::of(&definition.flight_id, &definition.ids, no);
        match self.store.order(&id).await {
            Ok(stored) => Ok(stored.map(|stored| stored.order)),
            Err(error) => Err(here(in_full(&error))),
        }
    }

    /// The journal has lost events: says so, loudly, here and to the receiver, and goes on behind them.
    async fn tell_gap(&self, turn: &mut Turn, last: Seq) -> Result<(), Trouble> {
        let first = turn.place.seq.next();
        let flight_id = turn.taken.flight_id.clone();
        let id = format!("{}-gap", id_of(&self.flight(&flight_id)?.view(), last, 0)?);
        let at = self.engine.upgrade().ok_or(Trouble::Stopping)?.clock().now();
        let envelope = Envelope { id: &id, kind: Kind::Gap, at, flight_id: &flight_id, seq: last };
        let body = envelope.body(|json| body::write_gap(json, first, last));
        self.post(turn, &id, &body).await?;
        let events = (last.0 + 1).saturating_sub(first.0);
        tracing::error!(
            %flight_id,
            first_seq = first.0,
            last_seq = last.0,
            events,
            "webhooks of these events are lost: the journal no longer has them. The receiver was told (webhooks.gap); \
             what the orders are like now, it can read"
        );
        self.shared.counts.lost_events.fetch_add(events, Ordering::Relaxed);
        turn.place = DeliveryCursor { seq: last, free: None, within: 0 };
        Ok(())
    }

    async fn post(&self, turn: &mut Turn, id: &str, body: &[u8]) -> Result<(), Trouble> {
        let counts = &self.shared.counts;
        let posted = self.post.deliver(id, body).await;
        let outcome = match &posted {
            Ok(()) => &counts.delivered,
            Err(failure) => match failure.kind {
                FailureKind::Refused => &counts.refused,
                FailureKind::Unreachable => &counts.unreachable,
                FailureKind::TimedOut => &counts.timed_out,
            },
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        turn.delivered += u64::from(posted.is_ok());
        posted.map_err(Trouble::Receiver)
    }
}

/// The id of one of the deliveries that follow from an event: the same at every attempt, in every process. What tells the
/// owner that decided the event is in it, so that an event that takes the number of one that was lost is not taken for that.
fn id_of(view: &FlightView, seq: Seq, place: usize) -> Result<String, Trouble> {
    if view.seq < seq {
        return Err(Trouble::Here("the flight does not show the event yet".to_owned()));
    }
    let owner = view.definition.ids.era_at(seq).map_or(0, |era| era.nonce.0 >> 32);
    let flight_id = &view.definition.flight_id;
    Ok(match place {
        0 => format!("{flight_id}-{owner:08x}.{seq}"),
        _ => format!("{flight_id}-{owner:08x}.{seq}-{}", place + 1),
    })
}

fn envelope<'a>(id: &'a str, kind: Kind, flight_id: &'a FlightId, recorded: &Recorded) -> Envelope<'a> {
    Envelope { id, kind, at: recorded.at, flight_id, seq: recorded.seq }
}

/// What the journal has behind an event.
enum Found {
    Events(Vec<Recorded>),
    /// Nothing up to this one.
    Lost {
        last: Seq,
    },
}
