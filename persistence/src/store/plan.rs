//! What a flight's events change in the tables: the rows a flush has to write, each row once.
//! Never runs a statement; it is told what the tables hold and says what they shall hold.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use farerush_engine::flight::retention::REQUEST_RETENTION_MS;
use farerush_engine::flight::{
    AdminName, Cabin, CabinsChange, Cause, Currency, Era, Event, FlightId, Head, IdSecrets, IdempotencyKey,
    KeyOwner, LeftBecause, Order, OrderExtras, OrderNo, OrderPlaced, OrderStatus, Outcome, Recorded,
    Reference, Request, ReturnedBecause, Sale, SalePolicy, SaleSwitch, Seat, Seats, Seq, Timestamp,
    WaitlistEntry, WaitlistNo, WaitlistStatus, WaitlistWish,
};
use serde_json::json;

use super::heads::Heads;
use super::refunds::RefundReason;
use super::rows::{FlightRow, boxed, encode_order, encode_refund, encode_request, encode_ticket};
use super::value::Row;
use super::waitlist::encode_waitlisted;
use super::{Cursor, Ticket, TicketStatus};

/// Money that goes back because of an event, and the order it is about (as it was before it).
pub(super) struct Lost {
    pub(super) order: Order,
    /// The seats that a confirmed order lost.
    pub(super) seats: Seats,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    pub(super) payment_reference: Option<Reference>,
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) reason: RefundReason,
}

/// Rows of one flush, by table.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) flights: Vec<Row>,
    /// Cabins that are new: each seat of them gets a ticket that says free, before any other ticket is written.
    pub(super) new_cabins: Vec<(FlightId, Cabin)>,
    /// Flights whose tickets go, before those of new cabins come.
    pub(super) old_tickets: Vec<FlightId>,
    pub(super) orders: Vec<Row>,
    pub(super) tickets: Vec<Row>,
    pub(super) audit: Vec<Row>,
    pub(super) requests: Vec<Row>,
    pub(super) waitlist: Vec<Row>,
    pub(super) refunds: Vec<Row>,
    pub(super) heads: Vec<Row>,
    /// Flights whose requests older than this moment may go.
    pub(super) old_requests: Vec<(FlightId, Timestamp)>,
}

/// A flight's part of a flush: what is known of it, and what changed.
pub(super) struct Plan {
    flight_id: FlightId,
    flight: Option<FlightRow>,
    flight_changed: bool,
    orders: BTreeMap<OrderNo, Order>,
    changed_orders: BTreeSet<OrderNo>,
    new_cabins: Vec<Cabin>,
    are_tickets_old: bool,
    seats: BTreeMap<Seat, SeatChange>,
    audit: Vec<Row>,
    requests: BTreeMap<(KeyOwner, IdempotencyKey), Row>,
    waitlist: BTreeMap<WaitlistNo, WaitlistEntry>,
    changed_waitlist: BTreeSet<WaitlistNo>,
    /// Money that goes back; the row needs what the flight's ids are made of, known in the end.
    refunds: Vec<Lost>,
    /// The chain's head after the last event that went in, and those of all that did, if they are in a chain.
    head: Option<Head>,
    heads: Heads,
    /// Requests up to this moment were, or may be, forgotten by the flight.
    old_requests: Option<Timestamp>,
}

/// Old requests leave the store each time a flight has come this many events further.
const REQUESTS_SWEPT_EVERY: u64 = 256;

/// What a seat's ticket shall say.
type SeatChange = (TicketStatus, Option<OrderNo>);

/// An event that does not fit what the store holds.
pub(super) type Misfit = String;

/// Orders that these events change but do not place: their rows must be known beforehand.
pub(super) fn orders_needed<'a>(events: impl Iterator<Item = &'a Recorded>) -> BTreeSet<OrderNo> {
    let mut placed = HashSet::new();
    let mut needed = BTreeSet::new();
    for recorded in events {
        match &recorded.event {
            // Who is served from the waitlist gets an order exactly as by a grab.
            Event::OrderPlaced(_) | Event::WaitlistServed { .. } => {
                placed.insert(recorded.seq.0);
            }
            Event::ClosedForGood(closed) => {
                let orders = closed.cancelled.iter().map(|(no, _)| *no);
                needed.extend(orders.filter(|no| !placed.contains(&no.0)));
            }
            Event::CabinsChanged(change) => {
                let seated = change.seated.iter().map(|(no, _)| no);
                let orders = seated.chain(&change.cancelled).filter(|no| !placed.contains(&no.0));
                needed.extend(orders.copied());
            }
            event => needed.extend(event.order().filter(|order| !placed.contains(&order.0))),
        }
    }
    needed
}

/// Entries of the waitlist that these events change but do not make: their rows must be known beforehand.
pub(super) fn waitlist_needed<'a>(events: impl Iterator<Item = &'a Recorded>) -> BTreeSet<WaitlistNo> {
    let mut joined = HashSet::new();
    let mut needed = BTreeSet::new();
    for recorded in events {
        match &recorded.event {
            Event::WaitlistJoined(_) => {
                joined.insert(recorded.seq.0);
            }
            Event::WaitlistLeft { entry, .. }
            | Event::WaitlistServed { entry, .. }
            | Event::NothingChanged { entry: Some(entry), .. }
                if !joined.contains(&entry.0) =>
            {
                needed.insert(*entry);
            }
            _ => {}
        }
    }
    needed
}

impl Plan {
    /// A plan for a flight whose cursor is there, of which the store holds this row and, of those needed, these orders and entries of the
    /// waitlist.
    pub(super) fn new(
        cursor: &Cursor,
        flight: Option<FlightRow>,
        orders: impl IntoIterator<Item = Order>,
        waitlist: impl IntoIterator<Item = WaitlistEntry>,
    ) -> Self {
        Self {
            flight_id: cursor.flight_id.clone(),
            flight,
            flight_changed: false,
            orders: orders.into_iter().map(|order| (order.no, order)).collect(),
            changed_orders: BTreeSet::new(),
            new_cabins: Vec::new(),
            are_tickets_old: false,
            seats: BTreeMap::new(),
            audit: Vec::new(),
            requests: BTreeMap::new(),
            waitlist: waitlist.into_iter().map(|entry| (entry.no, entry)).collect(),
            changed_waitlist: BTreeSet::new(),
            refunds: Vec::new(),
            head: cursor.head,
            heads: Heads::default(),
            old_requests: None,
        }
    }

    /// Takes in an event: what is written last for a row is what the row will hold.
    pub(super) fn apply(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        self.move_head(recorded)?;
        self.audit.extend(audit_row(&self.flight_id, recorded));
        self.remember_request(recorded);
        if recorded.seq.0.is_multiple_of(REQUESTS_SWEPT_EVERY) {
            self.old_requests = Some(recorded.at.plus_millis(-REQUEST_RETENTION_MS));
        }
        if let Event::FlightCreated { definition, policy } = &recorded.event {
            if self.flight.is_some() {
                return Err("the flight exists already".to_owned());
            }
            let sale = Sale { policy: *policy, switch: SaleSwitch::Scheduled };
            let definition = (**definition).clone();
            self.new_cabins.extend(definition.cabins.iter().cloned());
            self.flight =
                Some(FlightRow { definition, sale, created_at: recorded.at, forgotten_through: Seq(0) });
            self.flight_changed = true;
            return Ok(());
        }
        let flight = self.flight.as_mut().ok_or("there is no row of the flight")?;
        match &recorded.event {
            Event::FlightCreated { .. } => {}
            Event::SaleSwitched { switch, policy } => {
                flight.sale = Sale { policy: *policy, switch: *switch };
                self.flight_changed = true;
            }
            Event::PolicyChanged { policy } => {
                flight.sale.policy = *policy;
                self.flight_changed = true;
            }
            Event::RowsAdded { cabin } => {
                flight.definition.cabins.push((**cabin).clone());
                self.flight_changed = true;
                self.new_cabins.push((**cabin).clone());
            }
            Event::CabinsChanged(change) => {
                flight.definition.aircraft.clone_from(&change.aircraft);
                flight.definition.cabins.clone_from(&change.cabins);
                self.flight_changed = true;
                self.seat_anew(change, recorded)?;
            }
            Event::ClosedForGood(closed) => {
                flight.sale = Sale { policy: closed.policy, switch: SaleSwitch::Closed };
                self.flight_changed = true;
                for (no, freed) in &closed.cancelled {
                    self.end(*no, OrderStatus::Cancelled, freed, recorded)?;
                }
            }
            Event::SaleEnded | Event::NothingChanged { .. } => {}
            Event::TakenOver { epoch, secret, nonce } => {
                let era = Era { from: recorded.seq, epoch: *epoch, secret: *secret, nonce: *nonce };
                flight.definition.ids.begin(era).map_err(|unknown| unknown.to_string())?;
                self.flight_changed = true;
            }
            Event::Forgotten { through } => {
                flight.forgotten_through = flight.forgotten_through.max(*through);
                self.flight_changed = true;
            }
            Event::SeatsBlocked { seats } => self.set_seats(seats, (TicketStatus::Blocked, None)),
            Event::SeatsUnblocked { seats } => self.set_seats(seats, (TicketStatus::Free, None)),
            Event::OrderPlaced(placed) => self.place(recorded, placed),
            Event::WaitlistJoined(wish) => self.join(recorded, wish),
            Event::WaitlistLeft { entry, reason } => {
                let status = match reason {
                    LeftBecause::GivenUp => WaitlistStatus::Left,
                    LeftBecause::Expired => WaitlistStatus::Expired,
                };
                self.end_waiting(*entry, status, recorded)?;
            }
            Event::WaitlistServed { entry, placed } => {
                let order = OrderNo(recorded.seq.0);
                self.end_waiting(*entry, WaitlistStatus::Served(order), recorded)?;
                self.place(recorded, placed);
            }
            Event::OrderConfirmed { order, payment_reference, .. } => {
                let (no, order) = (*order, self.change(*order, recorded)?);
                order.status = OrderStatus::Confirmed;
                order.hold_expires_at = None;
                if let Some(payment) = payment_reference {
                    order.extras.get_or_insert_default().payment_reference = Some(payment.clone());
                }
                let seats = order.seats.clone();
                self.set_seats(&seats, (TicketStatus::Sold, Some(no)));
            }
            Event::OrderCancelled { order, freed } => {
                self.end(*order, OrderStatus::Cancelled, freed, recorded)?;
            }
            Event::OrderExpired { order, freed } => {
                self.end(*order, OrderStatus::Expired, freed, recorded)?;
            }
            Event::PaymentBegun { order, hold_expires_at } => {
                let order = self.change(*order, recorded)?;
                order.hold_expires_at = Some(*hold_expires_at);
                order.extras.get_or_insert_default().payment_begun_at = Some(recorded.at);
            }
            Event::PaymentReturned { order: no, payment_reference, amount, currency, because } => {
                let missing = || format!("there is no row of order {}", no.0);
                // It may have ended long since, and stays as it is otherwise.
                let order = self.orders.get_mut(no).ok_or_else(missing)?;
                // Of an order that the flight has forgotten it may have heard twice; the money goes back once.
                if order.returned_payments().contains(payment_reference) {
                    return Ok(());
                }
                self.refunds.push(Lost {
                    order: order.clone(),
                    seats: Seats::new(),
                    amount: *amount,
                    currency: *currency,
                    payment_reference: Some(payment_reference.clone()),
                    seq: recorded.seq,
                    at: recorded.at,
                    reason: match because {
                        ReturnedBecause::TooLate => RefundReason::PaidTooLate,
                        ReturnedBecause::PaidAlready => RefundReason::PaidAlready,
                        ReturnedBecause::Cancelled => RefundReason::PaidCancelled,
                    },
                });
                let extras = order.extras.get_or_insert_default();
                extras.returned_payments.push(payment_reference.clone());
                self.changed_orders.insert(*no);
            }
            Event::OrderRevived { order, seats, payment_reference } => {
                self.revive(*order, seats, payment_reference.as_ref(), recorded)?;
            }
            Event::OrderChanged { order: no, seats, freed, held, total, passengers } => {
                let order = self.change(*no, recorded)?;
                order.seats = seats.clone();
                order.total = *total;
                let mut extras = order.extras.take().map(|extras| *extras).unwrap_or_default();
                extras.passengers.clone_from(passengers);
                order.extras = boxed(extras);
                let status = if *held { TicketStatus::Held } else { TicketStatus::Sold };
                self.set_seats(freed, (TicketStatus::Free, None));
                self.set_seats(seats, (status, Some(*no)));
            }
        }
        Ok(())
    }

    /// The chain is computed here, too: what was decided on top of another history is not stored.
    fn move_head(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        let salt = match (&recorded.event, &self.flight) {
            (Event::FlightCreated { definition, .. }, _) => definition.ids.salt(),
            (_, Some(flight)) => flight.definition.ids.salt(),
            (_, None) => return Ok(()), // which is a misfit of its own
        };
        self.head = Head::follow(self.head, &self.flight_id, salt, recorded);
        if recorded.head.is_some_and(|head| self.head != Some(head)) {
            return Err("it was decided on top of another history than the one that is stored".to_owned());
        }
        self.heads.extend(recorded.seq, self.head);
        Ok(())
    }

    /// The chain's head after the last event that went in.
    pub(super) fn head(&self) -> Option<Head> {
        self.head
    }

    fn remember_request(&mut self, recorded: &Recorded) {
        let Some(cause) = &recorded.cause else { return };
        let Some((key, fingerprint)) = &cause.idempotency else { return };
        let request = Request {
            owner: self.owner_of(cause, &recorded.event),
            key: key.clone(),
            fingerprint: *fingerprint,
            seq: recorded.seq,
            at: recorded.at,
            order: recorded.event.order(),
            outcome: Outcome::of(&recorded.event),
        };
        let row = encode_request(&self.flight_id, &request);
        self.requests.insert((request.owner, request.key), row);
    }

    /// Whose key it was, as the flight finds it out; the rows of what an event is about are known beforehand.
    fn owner_of(&self, cause: &Cause, event: &Event) -> KeyOwner {
        if cause.by.is_some() {
            return KeyOwner::Admins;
        }
        let customer = match event {
            Event::WaitlistJoined(wish) => Some(&wish.customer),
            Event::WaitlistLeft { entry, .. } | Event::NothingChanged { entry: Some(entry), .. } => {
                self.waitlist.get(entry).map(|entry| &entry.wish.customer)
            }
            event => event.order().and_then(|no| self.orders.get(&no)).map(|order| &order.customer),
        };
        customer.cloned().map_or(KeyOwner::Admins, KeyOwner::Customer)
    }

    fn place(&mut self, recorded: &Recorded, placed: &OrderPlaced) {
        let no = OrderNo(recorded.seq.0);
        let held = placed.hold_expires_at.is_some();
        let order = Order {
            no,
            customer: placed.customer.clone(),
            seats: placed.seats.clone(),
            total: placed.total,
            status: if held { OrderStatus::Held } else { OrderStatus::Confirmed },
            hold_expires_at: placed.hold_expires_at,
            created_at: recorded.at,
            updated_at: recorded.at,
            changed_by: recorded.seq,
            proof: self.head,
            extras: boxed(OrderExtras {
                passengers: placed.passengers.clone(),
                client_reference: placed.client_reference.clone(),
                payment_reference: None,
                payment_begun_at: None,
                returned_payments: Vec::new(),
                idempotency: placed.idempotency.clone(),
            }),
        };
        self.orders.insert(no, order);
        self.changed_orders.insert(no);
        let status = if held { TicketStatus::Held } else { TicketStatus::Sold };
        self.set_seats(&placed.seats, (status, Some(no)));
    }

    fn change(&mut self, no: OrderNo, recorded: &Recorded) -> Result<&mut Order, Misfit> {
        let proof = self.head;
        let order = self.orders.get_mut(&no).ok_or_else(|| format!("there is no row of order {}", no.0))?;
        if !order.status.is_live() {
            return Err(format!("order {} is {} already", no.0, order.status.as_str()));
        }
        order.updated_at = recorded.at;
        order.changed_by = recorded.seq;
        order.proof = proof;
        self.changed_orders.insert(no);
        Ok(order)
    }

    fn end(
        &mut self,
        no: OrderNo,
        status: OrderStatus,
        freed: &Seats,
        recorded: &Recorded,
    ) -> Result<(), Misfit> {
        let currency = self.currency()?;
        let order = self.change(no, recorded)?;
        let lost = (order.status == OrderStatus::Confirmed).then(|| Lost {
            order: order.clone(),
            seats: order.seats.clone(),
            amount: order.total,
            currency,
            payment_reference: order.payment_reference().cloned(),
            seq: recorded.seq,
            at: recorded.at,
            reason: match &recorded.event {
                Event::CabinsChanged(_) => RefundReason::SeatsLost,
                _ => RefundReason::Cancelled,
            },
        });
        order.status = status;
        order.hold_expires_at = None;
        self.refunds.extend(lost);
        self.set_seats(freed, (TicketStatus::Free, None));
        Ok(())
    }

    fn revive(
        &mut self,
        no: OrderNo,
        seats: &Seats,
        payment: Option<&Reference>,
        recorded: &Recorded,
    ) -> Result<(), Misfit> {
        let proof = self.head;
        let order = self.orders.get_mut(&no).filter(|order| order.status == OrderStatus::Expired);
        let order = order.ok_or_else(|| format!("there is no row of order {}, expired", no.0))?;
        order.status = OrderStatus::Confirmed;
        order.updated_at = recorded.at;
        order.changed_by = recorded.seq;
        order.proof = proof;
        if let Some(payment) = payment {
            order.extras.get_or_insert_default().payment_reference = Some(payment.clone());
        }
        self.changed_orders.insert(no);
        self.set_seats(seats, (TicketStatus::Sold, Some(no)));
        Ok(())
    }

    /// All tickets are written anew: the old ones may be of seats that are gone.
    fn seat_anew(&mut self, change: &CabinsChange, recorded: &Recorded) -> Result<(), Misfit> {
        for no in &change.cancelled {
            self.end(*no, OrderStatus::Cancelled, &Seats::new(), recorded)?;
        }
        self.are_tickets_old = true;
        self.new_cabins.clone_from(&change.cabins);
        self.seats.clear();
        self.set_seats(&change.blocked, (TicketStatus::Blocked, None));
        for (no, seats) in &change.seated {
            let order = self.orders.get(no).ok_or_else(|| format!("there is no row of order {}", no.0))?;
            let held = order.status == OrderStatus::Held;
            if order.seats != *seats {
                self.change(*no, recorded)?.seats = seats.clone();
            }
            let status = if held { TicketStatus::Held } else { TicketStatus::Sold };
            self.set_seats(seats, (status, Some(*no)));
        }
        Ok(())
    }

    fn join(&mut self, recorded: &Recorded, wish: &WaitlistWish) {
        let no = WaitlistNo(recorded.seq.0);
        let entry = WaitlistEntry {
            no,
            wish: wish.clone(),
            status: WaitlistStatus::Waiting,
            created_at: recorded.at,
            updated_at: recorded.at,
            changed_by: recorded.seq,
        };
        self.waitlist.insert(no, entry);
        self.changed_waitlist.insert(no);
    }

    fn end_waiting(
        &mut self,
        no: WaitlistNo,
        status: WaitlistStatus,
        recorded: &Recorded,
    ) -> Result<(), Misfit> {
        let entry = self.waitlist.get_mut(&no).filter(|entry| entry.status == WaitlistStatus::Waiting);
        let entry = entry.ok_or_else(|| format!("there is no row of waitlist entry {}, waiting", no.0))?;
        entry.status = status;
        entry.updated_at = recorded.at;
        entry.changed_by = recorded.seq;
        self.changed_waitlist.insert(no);
        Ok(())
    }

    fn set_seats(&mut self, seats: &Seats, change: SeatChange) {
        self.seats.extend(seats.iter().map(|&seat| (seat, change)));
    }

    fn currency(&self) -> Result<Currency, Misfit> {
        let currency = self.flight.as_ref().and_then(FlightRow::currency);
        currency.ok_or_else(|| "the flight has no cabin".to_owned())
    }

    /// The rows to write, once all events are in.
    pub(super) fn finish(self, secrets: Option<&Arc<IdSecrets>>, rows: &mut Rows) -> Result<(), Misfit> {
        let Some(flight) = &self.flight else { return Ok(()) };
        let currency = self.currency()?;
        let secrets = secrets.ok_or("the store was opened without the secrets that ids are made of")?;
        let mut ids = flight.definition.ids.clone();
        ids.unlock(&self.flight_id, secrets).map_err(|unknown| unknown.to_string())?;
        let ids = &ids;
        let mut tickets = Vec::with_capacity(self.seats.len());
        for (&seat, &(status, order)) in &self.seats {
            let cabins = &flight.definition.cabins;
            let cabin = cabins
                .iter()
                .find(|cabin| cabin.has(seat))
                .ok_or_else(|| format!("there is no seat {seat}"))?;
            tickets.push(encode_ticket(
                &self.flight_id,
                &Ticket {
                    seat,
                    cabin_class: cabin.cabin_class,
                    fare: cabin.fare.amount,
                    status,
                    order,
                    passenger: order
                        .and_then(|no| self.orders.get(&no))
                        .and_then(|order| passenger_on(order, seat)),
                },
            ));
        }
        rows.old_tickets.extend(self.are_tickets_old.then(|| self.flight_id.clone()));
        rows.new_cabins.extend(self.new_cabins.into_iter().map(|cabin| (self.flight_id.clone(), cabin)));
        rows.tickets.append(&mut tickets);
        rows.audit.extend(self.audit);
        rows.requests.extend(self.requests.into_values());
        let waitlist = self.changed_waitlist.iter().filter_map(|no| self.waitlist.get(no));
        rows.waitlist.extend(waitlist.map(|entry| encode_waitlisted(&self.flight_id, ids, entry)));
        let refunds = self.refunds.iter();
        rows.refunds.extend(refunds.map(|lost| encode_refund(&self.flight_id, ids, lost)));
        rows.old_requests.extend(self.old_requests.map(|before| (self.flight_id.clone(), before)));
        let changed = self.changed_orders.iter().filter_map(|no| self.orders.get(no));
        rows.orders.extend(changed.map(|order| encode_order(&self.flight_id, ids, currency, order)));
        rows.heads.extend(self.heads.row(&self.flight_id));
        if self.flight_changed {
            rows.flights.push(flight.encode());
        }
        Ok(())
    }
}

/// The audit's row of an event that an admin caused.
fn audit_row(flight_id: &FlightId, recorded: &Recorded) -> Option<Row> {
    let list = |seats: &Seats| seats.iter().map(ToString::to_string).collect::<Vec<_>>();
    let policy = |policy: &SalePolicy| {
        json!({
            "opens_at": policy.opens_at.map(Timestamp::as_millis),
            "closes_at": policy.closes_at.map(Timestamp::as_millis),
            "max_seats_per_order": policy.max_seats_per_order,
            "max_seats_per_customer": policy.max_seats_per_customer,
            "hold_seconds": policy.hold_seconds,
            "payment_grace_seconds": policy.payment_grace_seconds,
            "closes_before_minutes": policy.closes_before_minutes,
        })
    };
    let (action, details) = match &recorded.event {
        Event::FlightCreated { policy: rules, .. } => ("create", policy(rules)),
        Event::SaleSwitched { switch: SaleSwitch::Open, policy: rules } => ("open", policy(rules)),
        Event::SaleSwitched { switch: SaleSwitch::Paused, .. } => ("pause", json!({})),
        Event::SaleSwitched { switch: SaleSwitch::Closed, .. } => ("close", json!({})),
        Event::PolicyChanged { policy: rules } => ("change_policy", policy(rules)),
        Event::ClosedForGood(closed) => (
            "close",
            json!({ "cancelled_orders": closed.cancelled.iter().map(|(no, _)| no.0).collect::<Vec<_>>() }),
        ),
        Event::SeatsBlocked { seats } => ("block", json!({ "seats": list(seats) })),
        Event::SeatsUnblocked { seats } => ("unblock", json!({ "seats": list(seats) })),
        Event::CabinsChanged(change) => (
            "change_seat_plan",
            json!({
                "aircraft": change.aircraft.as_deref(),
                "blocked": list(&change.blocked),
                "cancelled_orders": change.cancelled.iter().map(|no| no.0).collect::<Vec<_>>(),
            }),
        ),
        Event::RowsAdded { cabin } => (
            "add_rows",
            json!({ "rows": [cabin.first_row, cabin.last_row], "layout": cabin.layout.as_str() }),
        ),
        event => {
            // What customers may do as well is in the audit where an admin did it.
            recorded.cause.as_ref().and_then(|cause| cause.by.as_ref())?;
            (action_for_a_customer(event)?, json!({ "order_no": event.order().map(|order| order.0) }))
        }
    };
    Some(vec![
        flight_id.as_str().into(),
        recorded.seq.0.into(),
        recorded.at.as_millis().into(),
        action.into(),
        details.to_string().into(),
        recorded.cause.as_ref().and_then(|cause| cause.by.as_ref()).map(AdminName::as_str).into(),
    ])
}

/// What an admin did in a customer's place.
fn action_for_a_customer(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::OrderConfirmed { .. } => "confirm_order",
        Event::OrderRevived { .. } => "revive_order",
        Event::OrderCancelled { .. } => "cancel_order",
        Event::OrderChanged { .. } => "change_order",
        Event::PaymentBegun { .. } => "begin_payment",
        Event::PaymentReturned { .. } => "return_payment",
        Event::WaitlistJoined(_) => "join_waitlist",
        Event::WaitlistLeft { .. } => "leave_waitlist",
        _ => return None,
    })
}

/// Who sits on this seat of an order.
pub(crate) fn passenger_on(order: &Order, seat: Seat) -> Option<farerush_engine::flight::PassengerName> {
    let place = order.seats.iter().position(|&other| other == seat)?;
    order.passenger(place).cloned()
}
