//! Whether a grab is granted, and with which seats.
//! Never changes the flight: `apply` does.

use super::decision::Decision;
use crate::flight::command::{Grab, Wanted};
use crate::flight::event::{Event, OrderPlaced};
use crate::flight::flight::Flight;
use crate::flight::ids::{OrderNo, Timestamp};
use crate::flight::key_table::OwnerRef;
use crate::flight::order::{Fingerprint, Order};
use crate::flight::refusal::{LimitScope, Refusal};
use crate::flight::seating;

impl Flight {
    pub(super) fn decide_grab(&self, grab: &Grab, now: Timestamp) -> Result<Decision, Refusal> {
        let idempotency = match &grab.idempotency_key {
            None => None,
            Some(key) => {
                let (fingerprint, oldest) = (grab.fingerprint(), self.oldest_known(now));
                if let Some(no) = self.order_under(&grab.customer, key, oldest) {
                    return self.decide_repeated(no, fingerprint);
                }
                if self.requests.find(OwnerRef::Customer(&grab.customer), key, oldest).is_some() {
                    return Err(Refusal::IdempotencyKeyReused);
                }
                Some((key.clone(), fingerprint))
            }
        };
        self.sale.admit(self.definition.departs_at, now)?;
        self.must_have_room(&grab.customer, now)?;
        let policy = &self.sale.policy;
        let quantity = grab.wanted.quantity();
        let holding = self.holdings.get(&grab.customer).copied().unwrap_or(0);
        if quantity > usize::from(policy.max_seats_per_order) {
            let limit = policy.max_seats_per_order;
            return Err(Refusal::LimitExceeded { scope: LimitScope::Order, limit, holding });
        }
        if let Wanted::Named(seats) = &grab.wanted {
            self.must_exist(seats, |seat| {
                self.map
                    .cabin_of(seat)
                    .is_some_and(|cabin| grab.cabin_class.is_none_or(|class| class == cabin.cabin_class))
            })?;
        }
        if let Some(class) = grab.cabin_class
            && !self.map.has_class(class)
        {
            return Err(Refusal::Invalid {
                field: "cabin_class",
                message: format!("this flight has no {class} cabin"),
            });
        }
        if self.map.free() == 0 {
            return Err(Refusal::SoldOut);
        }
        if holding as usize + quantity > usize::from(policy.max_seats_per_customer) {
            let limit = policy.max_seats_per_customer;
            return Err(Refusal::LimitExceeded { scope: LimitScope::Customer, limit, holding });
        }
        let seats = match &grab.wanted {
            Wanted::Quantity { quantity, together } => {
                seating::choose(&self.map, *quantity, *together, grab.cabin_class)?
            }
            Wanted::Named(seats) => {
                self.must_be_free(seats, |_| false)?;
                seats.clone()
            }
        };
        Ok(Decision::Record(Event::OrderPlaced(Box::new(OrderPlaced {
            customer: grab.customer.clone(),
            total: self.total(&seats),
            seats,
            hold_expires_at: (policy.hold_seconds > 0).then(|| self.hold_until(now, policy.hold_seconds)),
            passengers: grab.passengers.clone(),
            client_reference: grab.client_reference.clone(),
            idempotency,
        }))))
    }

    /// Until when seats are held that somebody gets at `now`: at the longest until the flight leaves.
    pub(in crate::flight) fn hold_until(&self, now: Timestamp, seconds: u32) -> Timestamp {
        now.max(self.last_at).plus_millis(i64::from(seconds) * 1000).min(self.definition.departs_at)
    }

    pub(super) fn decide_repeated(&self, no: OrderNo, fingerprint: Fingerprint) -> Result<Decision, Refusal> {
        let before = self.orders.get(&no).and_then(Order::idempotency);
        if before.is_some_and(|(_, placed_with)| *placed_with == fingerprint) {
            Ok(Decision::Replayed(Some(no)))
        } else {
            Err(Refusal::IdempotencyKeyReused)
        }
    }
}
