//! What a flight's events change in the tables: the rows a flush has to write, each row once.
//! Never runs a statement; it is told what the tables hold and says what they shall hold.

mod audit;
mod needed;
mod rows;

pub(super) use needed::{orders_needed, waitlist_needed};
pub(super) use rows::FlushRows;

use std::collections::{BTreeMap, BTreeSet};

use farerush_engine::flight::retention::REQUEST_RETENTION_MS;
use farerush_engine::flight::{
    Cabin, CabinsChange, CannotHappen, ChangedBy, Currency, Event, FlightId, Head, IdempotencyKey, KeyOwner,
    LeftBecause, Order, OrderNo, OrderPlaced, OrderStatus, Recorded, Reference, Request, ReturnedBecause,
    Sale, SaleSwitch, Seat, Seats, Seq, Timestamp, WaitlistEntry, WaitlistNo, WaitlistStatus,
};

use self::audit::audit_row;
use super::heads::Heads;
use super::rows::{FlightRow, encode_request};
use super::value::Row;
use crate::store::money::{Lost, RefundReason};
use crate::store::stored::{Cursor, TicketStatus};

/// What the events of one flight change in its rows: what is known of those, and what is to be written.
pub(in crate::store) struct FlightChanges {
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
type Misfit = String;

impl FlightChanges {
    /// Nothing changed yet of a flight whose cursor is there, of which the store holds this row and, of those needed, these
    /// orders and entries of the waitlist.
    pub(in crate::store) fn new(
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
    pub(in crate::store) fn apply(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        self.move_head(recorded)?;
        self.audit.extend(audit_row(&self.flight_id, recorded));
        self.remember_request(recorded);
        if recorded.seq.0.is_multiple_of(REQUESTS_SWEPT_EVERY) {
            self.old_requests = Some(recorded.at.plus_millis(-REQUEST_RETENTION_MS));
        }
        self.apply_to_flight(recorded)?;
        self.apply_to_seats(recorded)?;
        self.apply_to_waitlist(recorded)?;
        self.apply_to_orders(recorded)
    }

    /// What the flight is, and its sale.
    fn apply_to_flight(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
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
            event @ (Event::SaleSwitched { .. } | Event::PolicyChanged { .. } | Event::ClosedForGood(_)) => {
                flight.sale.follow(event);
            }
            event @ (Event::RowsAdded { .. } | Event::CabinsChanged(_) | Event::TakenOver { .. }) => {
                flight.definition.follow(event, recorded.seq).map_err(|unknown| unknown.to_string())?;
            }
            Event::Forgotten { through } => {
                flight.forgotten_through = flight.forgotten_through.max(*through);
            }
            _ => return Ok(()),
        }
        self.flight_changed = true;
        Ok(())
    }

    /// Seats that come, go, or are off sale; those of orders go with their orders.
    fn apply_to_seats(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        match &recorded.event {
            Event::RowsAdded { cabin } => self.new_cabins.push((**cabin).clone()),
            Event::SeatsBlocked { seats } => self.set_seats(seats, (TicketStatus::Blocked, None)),
            Event::SeatsUnblocked { seats } => self.set_seats(seats, (TicketStatus::Free, None)),
            Event::CabinsChanged(change) => self.seat_anew(change, recorded)?,
            _ => {}
        }
        Ok(())
    }

    fn apply_to_waitlist(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        let (no, status) = match &recorded.event {
            Event::WaitlistJoined(wish) => {
                let entry = WaitlistEntry::joined(wish, &self.changed_by(recorded));
                self.changed_waitlist.insert(entry.no);
                self.waitlist.insert(entry.no, entry);
                return Ok(());
            }
            Event::WaitlistLeft { entry, reason: LeftBecause::GivenUp } => (*entry, WaitlistStatus::Left),
            Event::WaitlistLeft { entry, reason: LeftBecause::Expired } => (*entry, WaitlistStatus::Expired),
            Event::WaitlistServed { entry, .. } => (*entry, WaitlistStatus::Served(OrderNo(recorded.seq.0))),
            _ => return Ok(()),
        };
        let by = self.changed_by(recorded);
        let entry = self.waitlist.get_mut(&no);
        let entry = entry.ok_or_else(|| format!("there is no row of waitlist entry {}", no.0))?;
        entry.end(status, &by).map_err(|why| format!("waitlist entry {}: {why}", no.0))?;
        self.changed_waitlist.insert(no);
        Ok(())
    }

    fn apply_to_orders(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        match &recorded.event {
            Event::OrderPlaced(placed) | Event::WaitlistServed { placed, .. } => self.place(recorded, placed),
            Event::OrderConfirmed { order: no, payment_reference, .. } => {
                let order = self
                    .transition(*no, recorded, |order, by| order.confirm(payment_reference.as_ref(), by))?;
                let seats = order.seats.clone();
                self.set_seats(&seats, (TicketStatus::Sold, Some(*no)));
            }
            Event::OrderCancelled { order, freed } => {
                self.end(*order, OrderStatus::Cancelled, freed, recorded)?;
            }
            Event::OrderExpired { order, freed } => {
                self.end(*order, OrderStatus::Expired, freed, recorded)?;
            }
            Event::ClosedForGood(closed) => {
                for (no, freed) in &closed.cancelled {
                    self.end(*no, OrderStatus::Cancelled, freed, recorded)?;
                }
            }
            Event::PaymentBegun { order: no, hold_expires_at } => {
                self.transition(*no, recorded, |order, by| order.begin_payment(*hold_expires_at, by))?;
            }
            Event::PaymentReturned { order: no, payment_reference, amount, currency, because } => {
                let paid = (payment_reference, *amount, *currency);
                self.return_payment(*no, paid, *because, recorded)?;
            }
            Event::OrderRevived { order: no, seats, payment_reference } => {
                self.transition(*no, recorded, |order, by| order.revive(payment_reference.as_ref(), by))?;
                self.set_seats(seats, (TicketStatus::Sold, Some(*no)));
            }
            Event::OrderChanged { order: no, seats, freed, total, passengers, .. } => {
                let order = self.transition(*no, recorded, |order, by| {
                    order.change(seats, *total, passengers.as_ref(), by)
                })?;
                let status = TicketStatus::of(order.status);
                self.set_seats(freed, (TicketStatus::Free, None));
                self.set_seats(seats, (status, Some(*no)));
            }
            _ => {}
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
    pub(in crate::store) fn head(&self) -> Option<Head> {
        self.head
    }

    /// The event that is taken in, as what it changes notes it.
    fn changed_by(&self, recorded: &Recorded) -> ChangedBy {
        ChangedBy { seq: recorded.seq, at: recorded.at, head: self.head }
    }

    fn remember_request(&mut self, recorded: &Recorded) {
        // The rows of what an event is about are known beforehand.
        let customer_of_order = |no| self.orders.get(&no).map(|order| &order.customer);
        let customer_of_entry = |no| self.waitlist.get(&no).map(|entry| &entry.wish.customer);
        let Some(request) = Request::of(recorded, customer_of_order, customer_of_entry) else { return };
        let row = encode_request(&self.flight_id, &request);
        self.requests.insert((request.owner, request.key), row);
    }

    fn place(&mut self, recorded: &Recorded, placed: &OrderPlaced) {
        let order = Order::placed(placed, &self.changed_by(recorded));
        self.set_seats(&placed.seats, (TicketStatus::of(order.status), Some(order.no)));
        self.changed_orders.insert(order.no);
        self.orders.insert(order.no, order);
    }

    /// The order, after it has changed.
    fn transition(
        &mut self,
        no: OrderNo,
        recorded: &Recorded,
        transition: impl FnOnce(&mut Order, &ChangedBy) -> Result<(), CannotHappen>,
    ) -> Result<&mut Order, Misfit> {
        let by = self.changed_by(recorded);
        let order = self.orders.get_mut(&no).ok_or_else(|| no_row_of(no))?;
        transition(order, &by).map_err(|why| format!("order {}: {why}", no.0))?;
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
        let was_confirmed = self.orders.get(&no).is_some_and(|order| order.status == OrderStatus::Confirmed);
        let order = self.transition(no, recorded, |order, by| order.end(status, by))?;
        let lost = was_confirmed.then(|| Lost {
            order: no,
            customer: order.customer.clone(),
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
        self.refunds.extend(lost);
        self.set_seats(freed, (TicketStatus::Free, None));
        Ok(())
    }

    /// The order may have ended long since. Where the flight has forgotten it, it may have heard of the payment twice; the
    /// money goes back once.
    fn return_payment(
        &mut self,
        no: OrderNo,
        (payment, amount, currency): (&Reference, i64, Currency),
        because: ReturnedBecause,
        recorded: &Recorded,
    ) -> Result<(), Misfit> {
        let order = self.orders.get_mut(&no).ok_or_else(|| no_row_of(no))?;
        if !order.return_payment(payment) {
            return Ok(());
        }
        self.changed_orders.insert(no);
        self.refunds.push(Lost {
            order: no,
            customer: order.customer.clone(),
            seats: Seats::new(),
            amount,
            currency,
            payment_reference: Some(payment.clone()),
            seq: recorded.seq,
            at: recorded.at,
            reason: match because {
                ReturnedBecause::TooLate => RefundReason::PaidTooLate,
                ReturnedBecause::PaidAlready => RefundReason::PaidAlready,
                ReturnedBecause::Cancelled => RefundReason::PaidCancelled,
            },
        });
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
            let by = self.changed_by(recorded);
            let order = self.orders.get_mut(no).ok_or_else(|| no_row_of(*no))?;
            order.reseat(seats, &by).map_err(|why| format!("order {}: {why}", no.0))?;
            if order.changed_by == recorded.seq {
                self.changed_orders.insert(*no);
            }
            let status = TicketStatus::of(order.status);
            self.set_seats(seats, (status, Some(*no)));
        }
        Ok(())
    }

    fn set_seats(&mut self, seats: &Seats, change: SeatChange) {
        self.seats.extend(seats.iter().map(|&seat| (seat, change)));
    }

    fn currency(&self) -> Result<Currency, Misfit> {
        let currency = self.flight.as_ref().and_then(FlightRow::currency);
        currency.ok_or_else(|| "the flight has no cabin".to_owned())
    }
}

fn no_row_of(no: OrderNo) -> Misfit {
    format!("there is no row of order {}", no.0)
}
