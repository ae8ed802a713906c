//! What the flight remembers of orders and requests, and when it forgets them.
//! Never forgets by a clock: the time of its own events counts.

use crate::flight::event::{Cause, Event, Recorded};
use crate::flight::flight::Flight;
use crate::flight::ids::Timestamp;
use crate::flight::key_table::OwnerRef;
use crate::flight::order::{Order, OrderStatus};
use crate::flight::requests::{Outcome, Request};
use crate::flight::retention::{ENDED_ORDER_RETENTION_MS, REQUEST_RETENTION_MS};

impl Flight {
    /// Puts an order and what is derived from it (but not its seats, nor its place among the ended) in place.
    pub(in crate::flight) fn remember(&mut self, order: Order) {
        if order.status.is_live() {
            #[expect(clippy::cast_possible_truncation, reason = "a flight has at most 10,000 seats")]
            let seats = order.seats.len() as u32;
            // Looked up first, so that a customer who is known already costs no copy of the name.
            match self.holdings.get_mut(&order.customer) {
                Some(holding) => *holding += seats,
                None => {
                    self.holdings.insert(order.customer.clone(), seats);
                }
            }
        }
        if let (OrderStatus::Held, Some(deadline)) = (order.status, order.hold_expires_at) {
            self.holds.insert((deadline, order.no));
        }
        if let Some((key, _)) = order.idempotency() {
            self.keys.insert(OwnerRef::Customer(&order.customer), key, order.no);
        }
        self.orders.insert(order.no, order);
    }

    /// Forgets orders that ended, and requests that came, long enough before the last event.
    pub(in crate::flight) fn forget_ended(&mut self) {
        let oldest = self.last_at.plus_millis(-ENDED_ORDER_RETENTION_MS);
        self.forget_requests(self.last_at.plus_millis(-REQUEST_RETENTION_MS));
        let through = self.forgotten_through;
        while let Some(entry) = self.waitlist.forget_first(oldest, through) {
            self.ledger.release(&entry.wish.customer, entry.updated_at, entry.bytes_kept());
        }
        while let Some(&(at, no)) = self.ended.front()
            && (at < oldest || self.orders.get(&no).is_none_or(|order| order.changed_by <= through))
        {
            self.ended.pop_front();
            let Some(order) = self.orders.remove(&no) else { continue };
            self.ledger.release(&order.customer, at, order.bytes_kept());
            if let Some((key, _)) = order.idempotency() {
                self.keys.remove(OwnerRef::Customer(&order.customer), key, no);
            }
        }
    }

    /// Forgets requests that came before `oldest`.
    pub(in crate::flight) fn forget_requests(&mut self, oldest: Timestamp) {
        while let Some(request) = self.requests.forget_first(oldest) {
            self.ledger.release_request(&request);
        }
    }

    /// Takes note of the key that an event came under.
    pub(in crate::flight) fn remember_request(&mut self, recorded: &Recorded) {
        let Some(cause) = &recorded.cause else { return };
        let Some((key, fingerprint)) = &cause.idempotency else { return };
        let request = Request {
            owner: self.owner_of_event(cause, &recorded.event).to_owner(),
            key: key.clone(),
            fingerprint: *fingerprint,
            seq: recorded.seq,
            at: self.last_at,
            order: recorded.event.order(),
            outcome: Outcome::of(&recorded.event),
        };
        // Those whose day is over make room for the same key.
        let oldest = self.oldest_known(self.last_at);
        self.forget_requests(oldest);
        self.ledger.charge_request(&request);
        if self.is_key_of_a_grab(request.owner.as_ref(), key, oldest) || !self.requests.insert(request) {
            self.break_with("one request a key", format!("event {} came under a used key", recorded.seq));
        }
    }

    fn owner_of_event<'a>(&'a self, cause: &Cause, event: &'a Event) -> OwnerRef<'a> {
        if cause.by.is_some() {
            return OwnerRef::Admins;
        }
        let customer = match event {
            Event::WaitlistJoined(wish) => Some(&wish.customer),
            Event::WaitlistLeft { entry, .. } | Event::NothingChanged { entry: Some(entry), .. } => {
                self.waitlisted(*entry).map(|entry| &entry.wish.customer)
            }
            event => event.order().and_then(|no| self.order(no)).map(|order| &order.customer),
        };
        customer.map_or(OwnerRef::Admins, OwnerRef::Customer)
    }
}
