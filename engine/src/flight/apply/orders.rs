//! What becomes of orders, and of all that is derived from them.
//! Never decides whether it may.

use crate::flight::cabin::Seats;
use crate::flight::event::OrderPlaced;
use crate::flight::flight::Flight;
use crate::flight::ids::{OrderNo, Reference, Timestamp};
use crate::flight::order::{Order, OrderExtras, OrderStatus, Passengers};
use crate::flight::payment::RETURNED_PAYMENTS_MAX;
use crate::flight::seat_map::SeatStatus;

impl Flight {
    pub(super) fn apply_placed(&mut self, placed: &OrderPlaced) {
        let has_extras =
            placed.passengers.is_some() || placed.client_reference.is_some() || placed.idempotency.is_some();
        let order = Order {
            no: OrderNo(self.seq.0),
            customer: placed.customer.clone(),
            seats: placed.seats.clone(),
            total: placed.total,
            status: if placed.hold_expires_at.is_some() { OrderStatus::Held } else { OrderStatus::Confirmed },
            hold_expires_at: placed.hold_expires_at,
            created_at: self.last_at,
            updated_at: self.last_at,
            changed_by: self.seq,
            proof: self.head,
            extras: has_extras.then(|| {
                Box::new(OrderExtras {
                    passengers: placed.passengers.clone(),
                    client_reference: placed.client_reference.clone(),
                    payment_reference: None,
                    payment_begun_at: None,
                    returned_payments: Vec::new(),
                    idempotency: placed.idempotency.clone(),
                })
            }),
        };
        self.change(&placed.seats, SeatStatus::Free, order.seat_status());
        self.remember(order);
    }

    pub(super) fn apply_confirmed(&mut self, no: OrderNo, payment: Option<&Reference>) {
        let (seq, at, proof) = (self.seq, self.last_at, self.head);
        let Some(order) = self.orders.get_mut(&no).filter(|order| order.status == OrderStatus::Held) else {
            self.break_with("only a held order is confirmed", format!("order {} is not held", no.0));
            return;
        };
        order.status = OrderStatus::Confirmed;
        order.updated_at = at;
        order.changed_by = seq;
        order.proof = proof;
        if let Some(deadline) = order.hold_expires_at.take() {
            self.holds.remove(&(deadline, no));
        }
        if let Some(payment) = payment {
            order.extras.get_or_insert_default().payment_reference = Some(payment.clone());
        }
        let seats = order.seats.clone();
        self.change(&seats, SeatStatus::Held, SeatStatus::Sold);
    }

    pub(super) fn apply_payment_begun(&mut self, no: OrderNo, hold_expires_at: Timestamp) {
        let (seq, at, proof) = (self.seq, self.last_at, self.head);
        let Some(order) = self.orders.get_mut(&no).filter(|order| order.status == OrderStatus::Held) else {
            self.break_with("only a held order is about to be paid", format!("order {} is not held", no.0));
            return;
        };
        order.updated_at = at;
        order.changed_by = seq;
        order.proof = proof;
        order.extras.get_or_insert_default().payment_begun_at = Some(at);
        if let Some(before) = order.hold_expires_at.replace(hold_expires_at) {
            self.holds.remove(&(before, no));
        }
        self.holds.insert((hold_expires_at, no));
    }

    pub(super) fn apply_revived(&mut self, no: OrderNo, payment: Option<&Reference>) {
        let (seq, at, proof) = (self.seq, self.last_at, self.head);
        let Some(order) = self.orders.get_mut(&no).filter(|order| order.status == OrderStatus::Expired)
        else {
            self.break_with("only an expired order is revived", format!("order {} is not expired", no.0));
            return;
        };
        let ended = (order.updated_at, no);
        let (bytes, owner) = (order.bytes_kept(), order.customer.clone());
        order.status = OrderStatus::Confirmed;
        order.updated_at = at;
        order.changed_by = seq;
        order.proof = proof;
        if let Some(payment) = payment {
            order.extras.get_or_insert_default().payment_reference = Some(payment.clone());
        }
        let (customer, seats) = (order.customer.clone(), order.seats.clone());
        // The ended stand by time, so only those of the same millisecond are looked through.
        let first = self.ended.partition_point(|(at, _)| *at < ended.0);
        if let Some(place) = self.ended.range(first..).position(|other| *other == ended) {
            self.ended.remove(first + place);
        }
        self.ledger.release(&owner, ended.0, bytes);
        #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 10,000 seats")]
        let taken = seats.len() as u32;
        *self.holdings.entry(customer).or_default() += taken;
        self.change(&seats, SeatStatus::Free, SeatStatus::Sold);
    }

    /// The order itself stays as it is: when it changed last, and by which event, is told apart from this.
    pub(super) fn apply_payment_returned(&mut self, no: OrderNo, payment: &Reference) {
        let Some(order) = self.orders.get_mut(&no) else {
            // One that is forgotten; the store notes it.
            if no.0 >= self.seq.0 {
                self.break_with("a payment is for an order", format!("there was no order {}", no.0));
            }
            return;
        };
        let returned = order.returned_payments();
        if returned.len() >= RETURNED_PAYMENTS_MAX || returned.contains(payment) {
            self.break_with("a payment goes back once", format!("one of order {} does not", no.0));
            return;
        }
        let (customer, at, before) = (order.customer.clone(), order.updated_at, order.bytes_kept());
        order.extras.get_or_insert_default().returned_payments.push(payment.clone());
        if !order.status.is_live() {
            let after = order.bytes_kept();
            self.ledger.release(&customer, at, before);
            self.ledger.charge(&customer, at, after);
        }
    }

    pub(in crate::flight) fn apply_ended(&mut self, no: OrderNo, status: OrderStatus) {
        let (seq, at, proof) = (self.seq, self.last_at, self.head);
        let Some(order) = self.orders.get_mut(&no).filter(|order| order.status.is_live()) else {
            self.break_with("only a live order ends", format!("order {} is not live", no.0));
            return;
        };
        let seat_status = order.seat_status();
        order.status = status;
        order.updated_at = at;
        order.changed_by = seq;
        order.proof = proof;
        if let Some(deadline) = order.hold_expires_at.take() {
            self.holds.remove(&(deadline, no));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 10,000 seats")]
        let returned = order.seats.len() as u32;
        let (seats, bytes, customer) = (order.seats.clone(), order.bytes_kept(), order.customer.clone());
        match self.holdings.get_mut(&order.customer) {
            Some(holding) if *holding > returned => *holding -= returned,
            _ => {
                self.holdings.remove(&order.customer);
            }
        }
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
        let (seq, at, proof) = (self.seq, self.last_at, self.head);
        let Some(order) = self.orders.get_mut(&no).filter(|order| order.status.is_live()) else {
            self.break_with("only a live order changes", format!("order {} is not live", no.0));
            return;
        };
        let status = order.seat_status();
        let old_seats = std::mem::replace(&mut order.seats, seats.clone());
        order.total = total;
        order.updated_at = at;
        order.changed_by = seq;
        order.proof = proof;
        if passengers.is_some() || order.extras.is_some() {
            order.extras.get_or_insert_default().passengers = passengers.cloned();
        }
        self.change(&old_seats, status, SeatStatus::Free);
        self.change(seats, SeatStatus::Free, status);
    }
}
