//! What follows from an event. Live traffic and recovery go through the same code.
//! Never fails and never decides: an event that cannot have happened marks the flight as broken.

mod cabins;
mod head;
mod memory;
mod orders;

use std::sync::Arc;

use crate::flight::cabin::Seats;
use crate::flight::event::{ClosedForGood, Event, Recorded};
use crate::flight::flight::Flight;
use crate::flight::ids::{Epoch, OrderNo};
use crate::flight::order::OrderStatus;
use crate::flight::seat_map::SeatStatus;
use crate::flight::transitions::ChangedBy;
use crate::flight::waitlist::types::{LeftBecause, WaitlistStatus};

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
            event @ (Event::SaleSwitched { .. } | Event::PolicyChanged { .. }) => {
                self.sale.follow(event);
                self.waitlist.may_let_in(self.seq);
            }
            Event::SeatsBlocked { seats } => self.change(seats, SeatStatus::Free, SeatStatus::Blocked),
            Event::SeatsUnblocked { seats } => self.change(seats, SeatStatus::Blocked, SeatStatus::Free),
            event @ Event::RowsAdded { cabin } => self.apply_rows(event, cabin),
            event @ Event::CabinsChanged(change) => self.apply_cabins(event, change),
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
            event @ Event::ClosedForGood(closed) => self.apply_closed_for_good(event, closed),
            // What counts is its time: the flight's own does not go back.
            Event::SaleEnded | Event::NothingChanged { .. } => {}
            event @ Event::TakenOver { epoch, .. } => self.apply_taken_over(event, *epoch),
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

    /// The last event, as what it changes notes it.
    pub(in crate::flight) fn changed_by(&self) -> ChangedBy {
        ChangedBy { seq: self.seq, at: self.last_at, head: self.head }
    }

    pub(in crate::flight) fn change(&mut self, seats: &Seats, from: SeatStatus, to: SeatStatus) {
        if !self.map.change(seats, from, to) {
            let seats = seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            self.break_with("one order a seat", format!("not all of {seats} were {}", from.as_str()));
        }
        if to == SeatStatus::Free {
            self.waitlist.may_let_in(self.seq);
        }
    }

    fn apply_taken_over(&mut self, event: &Event, epoch: Epoch) {
        if self.definition.ids.newest().is_some_and(|newest| !newest.is_followed_by(self.seq, epoch)) {
            self.break_with("epochs rise", format!("epoch {epoch} begins after a later one"));
            return;
        }
        if let Err(unknown) = Arc::make_mut(&mut self.definition).follow(event, self.seq) {
            self.break_with("the secret is known", unknown.to_string());
        }
    }

    fn apply_closed_for_good(&mut self, event: &Event, closed: &ClosedForGood) {
        self.sale.follow(event);
        for (no, _) in &closed.cancelled {
            self.apply_ended(*no, OrderStatus::Cancelled);
        }
        if !self.holdings.is_empty() {
            self.break_with("nobody has seats of a flight closed for good", "somebody has");
        }
    }
}
