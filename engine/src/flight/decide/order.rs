//! Whether an order is given up or changed.
//! Never changes the flight: `apply` does.

use super::decision::Decision;
use crate::flight::cabin::Seats;
use crate::flight::event::Event;
use crate::flight::flight::Flight;
use crate::flight::ids::{OrderRef, Timestamp};
use crate::flight::order::{OrderStatus, Passengers};
use crate::flight::refusal::Refusal;

impl Flight {
    pub(super) fn decide_cancel(&self, order: OrderRef, now: Timestamp) -> Result<Decision, Refusal> {
        let order = self.find_at(order, now).ok_or(Refusal::OrderNotFound)?;
        if !order.status.is_live() {
            return Ok(Decision::Unchanged(Some(order.no)));
        }
        Ok(Decision::Record(Event::OrderCancelled { order: order.no, freed: order.seats.clone() }))
    }

    pub(super) fn decide_change(
        &self,
        order: OrderRef,
        seats: Option<&Seats>,
        passengers: Option<&Passengers>,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let order = self.find_at(order, now).ok_or(Refusal::OrderNotFound)?;
        match order.status {
            OrderStatus::Held | OrderStatus::Confirmed => {}
            OrderStatus::Cancelled => {
                return Err(Refusal::OrderNotChangeable { reason: "it is cancelled" });
            }
            OrderStatus::Expired => return Err(Refusal::HoldExpired),
        }
        let new_seats = seats.unwrap_or(&order.seats);
        if new_seats.len() != order.seats.len() {
            return Err(Refusal::Invalid {
                field: "seats",
                message: format!("must name as many seats as the order has ({})", order.seats.len()),
            });
        }
        // A shorter list would take names away without a word.
        if passengers.is_some_and(|names| names.len() != order.seats.len()) {
            return Err(Refusal::Invalid {
                field: "passengers",
                message: format!(
                    "must be as many as the order has seats ({}), null where nobody is named",
                    order.seats.len()
                ),
            });
        }
        self.must_exist(new_seats, |seat| self.map.status(seat).is_some())?;
        self.must_be_free(new_seats, |seat| order.seats.contains(&seat))?;
        let total = self.total(new_seats);
        if order.status == OrderStatus::Confirmed && total != order.total {
            return Err(Refusal::OrderNotChangeable {
                reason: "it is confirmed, and the new seats cost something else than the old ones",
            });
        }
        if order.payment_begun_at().is_some() && total != order.total {
            return Err(Refusal::OrderNotChangeable {
                reason: "its payment has begun, and the new seats cost something else than the old ones",
            });
        }
        let old_passengers = order.extras.as_ref().and_then(|extras| extras.passengers.as_ref());
        let new_passengers = passengers.or(old_passengers);
        if *new_seats == order.seats && new_passengers == old_passengers {
            return Ok(Decision::Unchanged(Some(order.no)));
        }
        Ok(Decision::Record(Event::OrderChanged {
            order: order.no,
            seats: new_seats.clone(),
            freed: order.seats.iter().copied().filter(|seat| !new_seats.contains(seat)).collect(),
            held: order.status == OrderStatus::Held,
            total,
            passengers: new_passengers.cloned(),
        }))
    }
}
