//! Another seat plan in the place of the present one.
//! Never decides who sits where: the event says so.

use std::sync::Arc;

use crate::flight::cabin::check_cabins;
use crate::flight::event::CabinsChange;
use crate::flight::flight::Flight;
use crate::flight::ids::Timestamp;
use crate::flight::order::OrderStatus;
use crate::flight::seat_map::{SeatMap, SeatStatus};

impl Flight {
    /// Puts the new plan in place: everybody sits where the event says, and orders without a place have ended.
    pub(super) fn apply_cabins(&mut self, change: &CabinsChange, at: Timestamp) {
        if let Err(error) = check_cabins(&change.cabins) {
            self.break_with("cabins", error.to_string());
            return;
        }
        for &no in &change.cancelled {
            self.apply_ended(no, OrderStatus::Cancelled);
        }
        let live = self.orders.values().filter(|order| order.status.is_live()).count();
        if live != change.seated.len() {
            self.break_with(
                "one order a seat",
                format!("{live} live orders, {} seated", change.seated.len()),
            );
        }
        let definition = Arc::make_mut(&mut self.definition);
        definition.aircraft.clone_from(&change.aircraft);
        definition.cabins.clone_from(&change.cabins);
        self.map = SeatMap::new(&change.cabins);
        self.waitlist.may_let_in(self.seq);
        self.change(&change.blocked, SeatStatus::Free, SeatStatus::Blocked);
        let (seq, proof) = (self.seq, self.head);
        for (no, seats) in &change.seated {
            let Some(order) = self.orders.get_mut(no).filter(|order| order.status.is_live()) else {
                self.break_with("only a live order is seated", format!("order {} is not live", no.0));
                continue;
            };
            if order.seats != *seats {
                order.seats = seats.clone();
                order.updated_at = at;
                order.changed_by = seq;
                order.proof = proof;
            }
            let status = order.seat_status();
            self.change(seats, SeatStatus::Free, status);
        }
    }
}
