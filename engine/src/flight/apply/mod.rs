//! What follows from an event. Live traffic and recovery go through the same code.
//! Never fails and never decides: an event that cannot have happened marks the flight as broken.

mod cabins;
mod head;
mod memory;
mod orders;

use std::sync::Arc;

use crate::flight::cabin::{Seats, check_cabins};
use crate::flight::event::{ClosedForGood, Event, Recorded};
use crate::flight::flight::Flight;
use crate::flight::ids::OrderNo;
use crate::flight::order::OrderStatus;
use crate::flight::sale::{Sale, SaleSwitch};
use crate::flight::seat_map::SeatStatus;
use crate::flight::secrets::Era;
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
            Event::SaleSwitched { switch, policy } => {
                self.sale.switch = *switch;
                self.sale.policy = *policy;
                self.waitlist.may_let_in(self.seq);
            }
            Event::PolicyChanged { policy } => {
                self.sale.policy = *policy;
                self.waitlist.may_let_in(self.seq);
            }
            Event::SeatsBlocked { seats } => self.change(seats, SeatStatus::Free, SeatStatus::Blocked),
            Event::SeatsUnblocked { seats } => self.change(seats, SeatStatus::Blocked, SeatStatus::Free),
            Event::RowsAdded { cabin } => {
                let definition = Arc::make_mut(&mut self.definition);
                definition.cabins.push((**cabin).clone());
                match check_cabins(&definition.cabins) {
                    Ok(()) => {
                        self.map.add((**cabin).clone());
                        self.waitlist.may_let_in(self.seq);
                    }
                    Err(error) => {
                        definition.cabins.pop();
                        self.break_with("cabins", error.to_string());
                    }
                }
            }
            Event::CabinsChanged(change) => {
                self.apply_cabins(change, self.last_at);
                self.waitlist.may_let_in(self.seq);
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

    pub(in crate::flight) fn change(&mut self, seats: &Seats, from: SeatStatus, to: SeatStatus) {
        if !self.map.change(seats, from, to) {
            let seats = seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            self.break_with("one order a seat", format!("not all of {seats} were {}", from.as_str()));
        }
        if to == SeatStatus::Free {
            self.waitlist.may_let_in(self.seq);
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

    fn apply_closed_for_good(&mut self, closed: &ClosedForGood) {
        self.sale = Sale { policy: closed.policy, switch: SaleSwitch::Closed };
        for (no, _) in &closed.cancelled {
            self.apply_ended(*no, OrderStatus::Cancelled);
        }
        if !self.holdings.is_empty() {
            self.break_with("nobody has seats of a flight closed for good", "somebody has");
        }
    }
}
