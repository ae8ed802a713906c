//! More rows, or another seat plan in the place of the present one.
//! Never decides who sits where: the event says so.

use std::sync::Arc;

use crate::flight::cabin::{Cabin, check_cabins};
use crate::flight::event::{CabinsChange, Event};
use crate::flight::flight::Flight;
use crate::flight::order::OrderStatus;
use crate::flight::seat_map::{SeatMap, SeatStatus};

impl Flight {
    pub(super) fn apply_rows(&mut self, event: &Event, cabin: &Cabin) {
        let mut definition = (*self.definition).clone();
        let followed = definition.follow(event, self.seq).map_err(|unknown| unknown.to_string());
        match followed.and_then(|()| check_cabins(&definition.cabins).map_err(|error| error.to_string())) {
            Ok(()) => {
                self.definition = Arc::new(definition);
                self.map.add(cabin.clone());
                self.waitlist.may_let_in(self.seq);
            }
            Err(why) => self.break_with("cabins", why),
        }
    }

    /// Puts the new plan in place: everybody sits where the event says, and orders without a place have ended.
    pub(super) fn apply_cabins(&mut self, event: &Event, change: &CabinsChange) {
        self.waitlist.may_let_in(self.seq);
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
        if let Err(unknown) = Arc::make_mut(&mut self.definition).follow(event, self.seq) {
            self.break_with("the secret is known", unknown.to_string());
        }
        self.map = SeatMap::new(&change.cabins);
        self.change(&change.blocked, SeatStatus::Free, SeatStatus::Blocked);
        for (no, seats) in &change.seated {
            let Some(status) = self.transition(*no, |order, by| {
                order.reseat(seats, by)?;
                Ok(order.seat_status())
            }) else {
                continue;
            };
            self.change(seats, SeatStatus::Free, status);
        }
    }
}
