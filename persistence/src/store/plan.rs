//! What a flight's events change in the tables: the rows a flush has to write, each row once.
//! Never runs a statement; it is told what the tables hold and says what they shall hold.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use farerush_engine::flight::{
    AdminName, Cabin, Event, FlightId, Order, OrderExtras, OrderNo, OrderPlaced, OrderStatus, Passengers,
    Recorded, Sale, SalePolicy, SaleSwitch, Seat, Seats, Timestamp,
};
use serde_json::json;

use super::rows::{FlightRow, boxed, encode_order, encode_ticket};
use super::value::Row;
use super::{Ticket, TicketStatus};

/// Rows of one flush, by table.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) flights: Vec<Row>,
    /// Cabins that are new: each seat of them gets a ticket that says free, before any other ticket is written.
    pub(super) new_cabins: Vec<(FlightId, Cabin)>,
    pub(super) orders: Vec<Row>,
    pub(super) tickets: Vec<Row>,
    pub(super) audit: Vec<Row>,
}

/// A flight's part of a flush: what is known of it, and what changed.
pub(super) struct Plan {
    flight_id: FlightId,
    flight: Option<FlightRow>,
    flight_changed: bool,
    orders: BTreeMap<OrderNo, Order>,
    changed_orders: BTreeSet<OrderNo>,
    new_cabins: Vec<Cabin>,
    seats: BTreeMap<Seat, SeatChange>,
    audit: Vec<Row>,
}

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
            Event::OrderPlaced(_) => {
                placed.insert(recorded.seq.0);
            }
            Event::OrderConfirmed { order, .. }
            | Event::OrderCancelled { order, .. }
            | Event::OrderExpired { order, .. }
            | Event::OrderChanged { order, .. }
                if !placed.contains(&order.0) =>
            {
                needed.insert(*order);
            }
            _ => {}
        }
    }
    needed
}

impl Plan {
    /// A plan for a flight of which the store holds this row and, of those needed, these orders.
    pub(super) fn new(
        flight_id: FlightId,
        flight: Option<FlightRow>,
        orders: impl IntoIterator<Item = Order>,
    ) -> Self {
        Self {
            flight_id,
            flight,
            flight_changed: false,
            orders: orders.into_iter().map(|order| (order.no, order)).collect(),
            changed_orders: BTreeSet::new(),
            new_cabins: Vec::new(),
            seats: BTreeMap::new(),
            audit: Vec::new(),
        }
    }

    /// Takes in an event: what is written last for a row is what the row will hold.
    pub(super) fn apply(&mut self, recorded: &Recorded) -> Result<(), Misfit> {
        self.audit.extend(audit_row(&self.flight_id, recorded));
        if let Event::FlightCreated { definition, policy } = &recorded.event {
            if self.flight.is_some() {
                return Err("the flight exists already".to_owned());
            }
            let sale = Sale { policy: *policy, switch: SaleSwitch::Scheduled };
            let definition = (**definition).clone();
            self.new_cabins.extend(definition.cabins.iter().cloned());
            self.flight = Some(FlightRow { definition, sale, created_at: recorded.at });
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
            Event::SeatsBlocked { seats } => self.set_seats(seats, (TicketStatus::Blocked, None)),
            Event::SeatsUnblocked { seats } => self.set_seats(seats, (TicketStatus::Free, None)),
            Event::OrderPlaced(placed) => self.place(recorded, placed),
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
            extras: boxed(OrderExtras {
                passengers: placed.passengers.clone(),
                client_reference: placed.client_reference.clone(),
                payment_reference: None,
                payment_begun_at: None,
                idempotency: placed.idempotency.clone(),
            }),
        };
        self.orders.insert(no, order);
        self.changed_orders.insert(no);
        let status = if held { TicketStatus::Held } else { TicketStatus::Sold };
        self.set_seats(&placed.seats, (status, Some(no)));
    }

    fn change(&mut self, no: OrderNo, recorded: &Recorded) -> Result<&mut Order, Misfit> {
        let order = self.orders.get_mut(&no).ok_or_else(|| format!("there is no row of order {}", no.0))?;
        if !order.status.is_live() {
            return Err(format!("order {} is {} already", no.0, order.status.as_str()));
        }
        order.updated_at = recorded.at;
        order.changed_by = recorded.seq;
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
        let order = self.change(no, recorded)?;
        order.status = status;
        order.hold_expires_at = None;
        self.set_seats(freed, (TicketStatus::Free, None));
        Ok(())
    }

    fn set_seats(&mut self, seats: &Seats, change: SeatChange) {
        self.seats.extend(seats.iter().map(|&seat| (seat, change)));
    }

    /// The rows to write, once all events are in.
    pub(super) fn finish(self, rows: &mut Rows) -> Result<(), Misfit> {
        let Some(flight) = &self.flight else { return Ok(()) };
        let currency = flight.currency().ok_or("the flight has no cabin")?;
        let salt = flight.definition.salt;
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
        rows.new_cabins.extend(self.new_cabins.into_iter().map(|cabin| (self.flight_id.clone(), cabin)));
        rows.tickets.append(&mut tickets);
        rows.audit.extend(self.audit);
        let changed = self.changed_orders.iter().filter_map(|no| self.orders.get(no));
        rows.orders.extend(changed.map(|order| encode_order(&self.flight_id, salt, currency, order)));
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
        })
    };
    let (action, details) = match &recorded.event {
        Event::FlightCreated { policy: rules, .. } => ("create", policy(rules)),
        Event::SaleSwitched { switch: SaleSwitch::Open, policy: rules } => ("open", policy(rules)),
        Event::SaleSwitched { switch: SaleSwitch::Paused, .. } => ("pause", json!({})),
        Event::SaleSwitched { switch: SaleSwitch::Closed, .. } => ("close", json!({})),
        Event::PolicyChanged { policy: rules } => ("change_policy", policy(rules)),
        Event::SeatsBlocked { seats } => ("block", json!({ "seats": list(seats) })),
        Event::SeatsUnblocked { seats } => ("unblock", json!({ "seats": list(seats) })),
        Event::RowsAdded { cabin } => (
            "add_rows",
            json!({ "rows": [cabin.first_row, cabin.last_row], "layout": cabin.layout.as_str() }),
        ),
        _ => return None,
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

/// All seats of a cabin, row by row.
pub(crate) fn seats_of(cabin: &Cabin) -> impl Iterator<Item = Seat> {
    (cabin.first_row..=cabin.last_row)
        .flat_map(|row| cabin.layout.letters().iter().filter_map(move |&letter| Seat::new(row, letter).ok()))
}

/// Who sits on this seat of an order.
pub(crate) fn passenger_on(order: &Order, seat: Seat) -> Option<farerush_engine::flight::PassengerName> {
    let place = order.seats.iter().position(|&other| other == seat)?;
    order.passenger(place).cloned()
}

/// Rows that this event writes, at most: what a flush is measured by.
pub(crate) fn rows_written(event: &Event) -> usize {
    match event {
        Event::FlightCreated { definition, .. } => {
            1 + definition.cabins.iter().map(|cabin| cabin.capacity() as usize).sum::<usize>()
        }
        Event::SaleSwitched { .. } | Event::PolicyChanged { .. } => 1,
        Event::SeatsBlocked { seats } | Event::SeatsUnblocked { seats } => seats.len(),
        Event::RowsAdded { cabin } => 1 + cabin.capacity() as usize,
        Event::OrderPlaced(placed) => 1 + placed.seats.len(),
        Event::OrderConfirmed { seats, .. } => 1 + seats.len(),
        Event::OrderCancelled { freed, .. } | Event::OrderExpired { freed, .. } => 1 + freed.len(),
        Event::OrderChanged { seats, freed, .. } => 1 + seats.len() + freed.len(),
    }
}

/// Bytes that this event takes in memory, about: what a backlog is measured by.
pub(crate) fn bytes_held(recorded: &Recorded) -> usize {
    /// A `SmallVec` of seats, a `CompactString` or a box beyond what lies inside the event itself.
    const SMALL: usize = 64;
    let names = |passengers: &Option<Passengers>| {
        let names = passengers.iter().flat_map(|passengers| passengers.iter());
        names.map(|name| SMALL + name.as_ref().map_or(0, |name| name.as_str().len())).sum::<usize>()
    };
    let seats = |seats: &Seats| seats.len() * size_of::<Seat>();
    size_of::<Recorded>()
        + match &recorded.event {
            Event::FlightCreated { definition, .. } => 512 + definition.cabins.len() * 256,
            Event::SaleSwitched { .. } | Event::PolicyChanged { .. } => 0,
            Event::SeatsBlocked { seats: s } | Event::SeatsUnblocked { seats: s } => seats(s),
            Event::RowsAdded { .. } => 256,
            Event::OrderPlaced(placed) => {
                let reference = placed.client_reference.as_ref().map_or(0, |text| text.as_str().len());
                let key = placed.idempotency.as_ref().map_or(0, |(key, _)| key.as_str().len());
                size_of::<OrderPlaced>()
                    + seats(&placed.seats)
                    + names(&placed.passengers)
                    + placed.customer.as_str().len()
                    + reference
                    + key
            }
            Event::OrderConfirmed { seats: s, .. } => SMALL + seats(s),
            Event::OrderCancelled { freed, .. } | Event::OrderExpired { freed, .. } => seats(freed),
            Event::OrderChanged { seats: s, freed, passengers, .. } => {
                seats(s) + seats(freed) + names(passengers)
            }
        }
}
