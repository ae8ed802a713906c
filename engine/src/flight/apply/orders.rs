//! What becomes of orders, and of all that is derived from them.
//! Never decides whether it may, and never changes an order but by its transitions.

use crate::flight::cabin::Seats;
use crate::flight::event::OrderPlaced;
use crate::flight::flight::Flight;
use crate::flight::ids::{CustomerId, OrderNo, Reference, Timestamp};
use crate::flight::order::{Order, OrderStatus, Passengers};
use crate::flight::payment::RETURNED_PAYMENTS_MAX;
use crate::flight::seat_map::SeatStatus;
use crate::flight::transitions::{CannotHappen, ChangedBy};

impl Flight {
    /// What a transition of an order gives; `None` if it cannot happen: then the flight is broken.
    pub(super) fn transition<T>(
        &mut self,
        no: OrderNo,
        transition: impl FnOnce(&mut Order, &ChangedBy) -> Result<T, CannotHappen>,
    ) -> Option<T> {
        let by = self.changed_by();
        let Some(order) = self.orders.get_mut(&no) else {
            self.break_with(
                "an event is about an order that is there",
                format!("there is no order {}", no.0),
            );
            return None;
        };
        match transition(order, &by) {
            Ok(given) => Some(given),
            Err(CannotHappen { rule, status }) => {
                self.break_with(rule, format!("order {} is {status}", no.0));
                None
            }
        }
    }

    pub(super) fn apply_placed(&mut self, placed: &OrderPlaced) {
        let order = Order::placed(placed, &self.changed_by());
        self.change(&placed.seats, SeatStatus::Free, order.seat_status());
        self.remember(order);
    }

    pub(super) fn apply_confirmed(&mut self, no: OrderNo, payment: Option<&Reference>) {
        let Some((deadline, seats)) = self.transition(no, |order, by| {
            let deadline = order.hold_expires_at;
            order.confirm(payment, by)?;
            Ok((deadline, order.seats.clone()))
        }) else {
            return;
        };
        self.forget_deadline(no, deadline);
        self.change(&seats, SeatStatus::Held, SeatStatus::Sold);
    }

    pub(super) fn apply_payment_begun(&mut self, no: OrderNo, hold_expires_at: Timestamp) {
        let Some(before) = self.transition(no, |order, by| {
            let before = order.hold_expires_at;
            order.begin_payment(hold_expires_at, by)?;
            Ok(before)
        }) else {
            return;
        };
        self.forget_deadline(no, before);
        self.holds.insert((hold_expires_at, no));
    }

    pub(super) fn apply_revived(&mut self, no: OrderNo, payment: Option<&Reference>) {
        let Some((ended_at, bytes, customer, seats)) = self.transition(no, |order, by| {
            let (ended_at, bytes) = (order.updated_at, order.bytes_kept());
            order.revive(payment, by)?;
            Ok((ended_at, bytes, order.customer.clone(), order.seats.clone()))
        }) else {
            return;
        };
        // The ended stand by time, so only those of the same millisecond are looked through.
        let first = self.ended.partition_point(|(at, _)| *at < ended_at);
        if let Some(place) = self.ended.range(first..).position(|other| *other == (ended_at, no)) {
            self.ended.remove(first + place);
        }
        self.ledger.release(&customer, ended_at, bytes);
        *self.holdings.entry(customer).or_default() += count(&seats);
        self.change(&seats, SeatStatus::Free, SeatStatus::Sold);
    }

    pub(super) fn apply_payment_returned(&mut self, no: OrderNo, payment: &Reference) {
        let Some(order) = self.orders.get_mut(&no) else {
            // One that is forgotten; the store notes it.
            if no.0 >= self.seq.0 {
                self.break_with("a payment is for an order", format!("there was no order {}", no.0));
            }
            return;
        };
        let (customer, at, before) = (order.customer.clone(), order.updated_at, order.bytes_kept());
        if order.returned_payments().len() >= RETURNED_PAYMENTS_MAX || !order.return_payment(payment) {
            self.break_with("a payment goes back once", format!("one of order {} does not", no.0));
            return;
        }
        if !order.status.is_live() {
            let after = order.bytes_kept();
            self.ledger.release(&customer, at, before);
            self.ledger.charge(&customer, at, after);
        }
    }

    pub(in crate::flight) fn apply_ended(&mut self, no: OrderNo, status: OrderStatus) {
        let at = self.last_at;
        let Some((seat_status, deadline, seats, bytes, customer)) = self.transition(no, |order, by| {
            let (seat_status, deadline) = (order.seat_status(), order.hold_expires_at);
            order.end(status, by)?;
            let (seats, customer) = (order.seats.clone(), order.customer.clone());
            Ok((seat_status, deadline, seats, order.bytes_kept(), customer))
        }) else {
            return;
        };
        self.forget_deadline(no, deadline);
        self.give_back(&customer, count(&seats));
        self.ended.push_back((at, no));
        self.ledger.charge(&customer, at, bytes);
        self.change(&seats, seat_status, SeatStatus::Free);
    }

    pub(super) fn apply_changed(
        &mut self,
        no: OrderNo,
        seats: &Seats,
        total: i64,
        passengers: Option<&Passengers>,
    ) {
        let Some((status, old_seats)) = self.transition(no, |order, by| {
            let (status, old_seats) = (order.seat_status(), order.seats.clone());
            order.change(seats, total, passengers, by)?;
            Ok((status, old_seats))
        }) else {
            return;
        };
        self.change(&old_seats, status, SeatStatus::Free);
        self.change(seats, SeatStatus::Free, status);
    }

    fn forget_deadline(&mut self, no: OrderNo, deadline: Option<Timestamp>) {
        if let Some(deadline) = deadline {
            self.holds.remove(&(deadline, no));
        }
    }

    /// The customer has so many seats less.
    fn give_back(&mut self, customer: &CustomerId, seats: u32) {
        match self.holdings.get_mut(customer) {
            Some(holding) if *holding > seats => *holding -= seats,
            _ => {
                self.holdings.remove(customer);
            }
        }
    }
}

fn count(seats: &Seats) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 10,000 seats")]
    let count = seats.len() as u32;
    count
}
