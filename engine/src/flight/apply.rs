//! What follows from an event. Live traffic and recovery go through the same code.
//! Never fails and never decides: an event that cannot have happened marks the flight as broken.

use std::sync::Arc;

use super::cabin::{Seats, check_cabins};
use super::chain::Head;
use super::event::{ClosedForGood, Event, FlightDefinition, OrderPlaced, Recorded};
use super::ids::{OrderNo, Reference, Timestamp};
use super::invariants::BrokenInvariant;
use super::inventory::Flight;
use super::order::{Order, OrderExtras, OrderStatus, Passengers};
use super::payment::RETURNED_PAYMENTS_MAX;
use super::sale::{Sale, SaleSwitch};
use super::seat_map::SeatStatus;
use super::secrets::Era;
use super::waitlist::{LeftBecause, WaitlistStatus};

impl Flight {
    /// Brings the flight to the state after `recorded`. An event out of turn, or one that cannot have happened to
    /// this flight, leaves it [broken](Flight::broken).
    pub fn apply(&mut self, recorded: &Recorded) {
        if recorded.seq != self.seq.next() {
            self.break_with("seq without a hole", format!("event {} follows {}", recorded.seq, self.seq));
            return;
        }
        if recorded.at < self.last_at {
            self.break_with(
                "time does not go back",
                format!("event {} is older than {}", recorded.seq, self.seq),
            );
        }
        self.seq = recorded.seq;
        self.last_at = recorded.at.max(self.last_at);
        self.move_head(recorded);
        match &recorded.event {
            Event::FlightCreated { .. } => self.break_with("first event", "a flight is created only once"),
            Event::SaleSwitched { switch, policy } => {
                self.sale.switch = *switch;
                self.sale.policy = *policy;
                self.waitlist.may_let_in();
            }
            Event::PolicyChanged { policy } => {
                self.sale.policy = *policy;
                self.waitlist.may_let_in();
            }
            Event::SeatsBlocked { seats } => self.change(seats, SeatStatus::Free, SeatStatus::Blocked),
            Event::SeatsUnblocked { seats } => self.change(seats, SeatStatus::Blocked, SeatStatus::Free),
            Event::RowsAdded { cabin } => {
                let definition = Arc::make_mut(&mut self.definition);
                definition.cabins.push((**cabin).clone());
                match check_cabins(&definition.cabins) {
                    Ok(()) => {
                        self.map.add((**cabin).clone());
                        self.waitlist.may_let_in();
                    }
                    Err(error) => {
                        definition.cabins.pop();
                        self.break_with("cabins", error.to_string());
                    }
                }
            }
            Event::CabinsChanged(change) => {
                self.apply_cabins(change, self.last_at);
                self.waitlist.may_let_in();
            }
            Event::OrderPlaced(placed) => self.apply_placed(placed),
            Event::OrderConfirmed { order, payment_reference, .. } => {
                self.apply_confirmed(*order, payment_reference.as_ref());
            }
            Event::OrderCancelled { order, .. } => self.apply_ended(*order, OrderStatus::Cancelled),
            Event::OrderExpired { order, .. } => self.apply_ended(*order, OrderStatus::Expired),
            Event::OrderChanged { order, seats, total, passengers, .. } => {
                self.apply_changed(*order, seats, *total, passengers.as_ref());
            }
            Event::PaymentBegun { order, hold_expires_at } => {
                self.apply_payment_begun(*order, *hold_expires_at);
            }
            Event::PaymentReturned { order, payment_reference, .. } => {
                self.apply_payment_returned(*order, payment_reference);
            }
            Event::OrderRevived { order, payment_reference, .. } => {
                self.apply_revived(*order, payment_reference.as_ref());
            }
            Event::WaitlistJoined(wish) => self.apply_joined(wish),
            Event::WaitlistLeft { entry, reason: LeftBecause::GivenUp } => {
                self.apply_waitlist_end(*entry, WaitlistStatus::Left);
            }
            Event::WaitlistLeft { entry, reason: LeftBecause::Expired } => {
                self.apply_waitlist_end(*entry, WaitlistStatus::Expired);
            }
            Event::WaitlistServed { entry, placed } => {
                self.apply_waitlist_end(*entry, WaitlistStatus::Served(OrderNo(self.seq.0)));
                self.apply_placed(placed);
            }
            Event::ClosedForGood(closed) => self.apply_closed_for_good(closed),
            // What counts is its time: the flight's own does not go back.
            Event::SaleEnded | Event::NothingChanged { .. } => {}
            Event::TakenOver { epoch, secret, nonce } => {
                let era = Era { from: self.seq, epoch: *epoch, secret: *secret, nonce: *nonce };
                self.apply_taken_over(era);
            }
            Event::Forgotten { through } => {
                self.forgotten_through = self.forgotten_through.max(*through);
                for request in self.requests.forget_through(*through) {
                    self.ledger.release_request(&request);
                }
            }
        }
        self.remember_request(recorded);
        self.forget_ended();
        self.check_head(recorded);
    }

    /// Before anything else of an event, so that whatever it changes can note the head.
    pub(super) fn move_head(&mut self, recorded: &Recorded) {
        let FlightDefinition { flight_id, ids, .. } = &*self.definition;
        self.head = Head::follow(self.head, flight_id, ids.salt(), recorded);
    }

    /// Whoever recorded the event and this flight must have the same history.
    pub(super) fn check_head(&mut self, recorded: &Recorded) {
        if let Some(head) = recorded.head
            && self.head != Some(head)
        {
            let here = self.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
            self.break_with(
                "one history",
                format!(
                    "event {} was decided on top of another history: its head is {head}, not {here}, so that events in \
                     front of it, or it itself, are not what they were when somebody was told of them",
                    recorded.seq
                ),
            );
        }
    }

    fn apply_taken_over(&mut self, era: Era) {
        if self.definition.ids.newest().is_some_and(|newest| !era.follows(newest)) {
            self.break_with("epochs rise", format!("epoch {} begins after a later one", era.epoch));
            return;
        }
        let definition = Arc::make_mut(&mut self.definition);
        if let Err(error) = definition.ids.begin(era) {
            self.break_with("the secret is known", error.to_string());
        }
    }

    /// What `apply` found impossible, if anything: such a flight must not go on.
    pub fn broken(&self) -> Option<&BrokenInvariant> {
        self.broken.as_ref()
    }

    fn apply_closed_for_good(&mut self, closed: &ClosedForGood) {
        self.sale = Sale { policy: closed.policy, switch: SaleSwitch::Closed };
        for (no, _) in &closed.cancelled {
            self.apply_ended(*no, OrderStatus::Cancelled);
        }
        if !self.holdings.is_empty() {
            self.break_with("nobody has seats of a flight closed for good", "somebody has");
        }
    }

    fn apply_placed(&mut self, placed: &OrderPlaced) {
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

    fn apply_confirmed(&mut self, no: OrderNo, payment: Option<&Reference>) {
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

    fn apply_payment_begun(&mut self, no: OrderNo, hold_expires_at: Timestamp) {
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

    fn apply_revived(&mut self, no: OrderNo, payment: Option<&Reference>) {
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
    fn apply_payment_returned(&mut self, no: OrderNo, payment: &Reference) {
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

    pub(super) fn apply_ended(&mut self, no: OrderNo, status: OrderStatus) {
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

    fn apply_changed(&mut self, no: OrderNo, seats: &Seats, total: i64, passengers: Option<&Passengers>) {
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

    pub(super) fn change(&mut self, seats: &Seats, from: SeatStatus, to: SeatStatus) {
        if !self.map.change(seats, from, to) {
            let seats = seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            self.break_with("one order a seat", format!("not all of {seats} were {}", from.as_str()));
        }
        if to == SeatStatus::Free {
            self.waitlist.may_let_in();
        }
    }

    pub(super) fn break_with(&mut self, name: &'static str, detail: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(BrokenInvariant::new(name, detail));
        }
    }
}
