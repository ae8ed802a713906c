//! How orders, entries of the waitlist, sales and definitions change by what happened: once, for the flight and for the
//! rows of the store.
//! Never decides whether it may happen, and knows nothing of seats or of what is derived from orders.

use super::cabin::Seats;
use super::event::{Event, FlightDefinition, OrderPlaced};
use super::head::Head;
use super::ids::{OrderNo, Reference, Seq, Timestamp, WaitlistNo};
use super::order::{Order, OrderExtras, OrderStatus, Passengers};
use super::sale::{Sale, SaleSwitch};
use super::secrets::{Era, UnknownSecret};
use super::waitlist::types::{WaitlistEntry, WaitlistStatus, WaitlistWish};

/// The event by which something changes.
#[derive(Debug, Clone, Copy)]
pub struct ChangedBy {
    /// Its place in the flight's history.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// The chain's head after it; none where no event was in a chain yet.
    pub head: Option<Head>,
}

/// What was to happen to an order, or to an entry of the waitlist, cannot happen to it as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule}, and this one is {status}")]
pub struct CannotHappen {
    /// The rule that says so.
    pub rule: &'static str,
    /// The name of the status that it has.
    pub status: &'static str,
}

impl Order {
    /// The order that this event placed; its number is the event's seq.
    pub fn placed(placed: &OrderPlaced, by: &ChangedBy) -> Self {
        let extras = OrderExtras {
            passengers: placed.passengers.clone(),
            client_reference: placed.client_reference.clone(),
            payment_reference: None,
            payment_begun_at: None,
            returned_payments: Vec::new(),
            idempotency: placed.idempotency.clone(),
        };
        Self {
            no: OrderNo(by.seq.0),
            customer: placed.customer.clone(),
            seats: placed.seats.clone(),
            total: placed.total,
            status: if placed.hold_expires_at.is_some() { OrderStatus::Held } else { OrderStatus::Confirmed },
            hold_expires_at: placed.hold_expires_at,
            created_at: by.at,
            updated_at: by.at,
            changed_by: by.seq,
            proof: by.head,
            extras: extras.boxed(),
        }
    }

    /// A held order was paid, or costs nothing.
    pub fn confirm(&mut self, payment: Option<&Reference>, by: &ChangedBy) -> Result<(), CannotHappen> {
        self.must(self.status == OrderStatus::Held, "only a held order is confirmed")?;
        self.pay(payment, by);
        self.hold_expires_at = None;
        Ok(())
    }

    /// The payment of a held order began, which moves its deadline.
    pub fn begin_payment(&mut self, hold_expires_at: Timestamp, by: &ChangedBy) -> Result<(), CannotHappen> {
        self.must(self.status == OrderStatus::Held, "only a held order is about to be paid")?;
        self.mark(by);
        self.hold_expires_at = Some(hold_expires_at);
        self.extras.get_or_insert_default().payment_begun_at = Some(by.at);
        Ok(())
    }

    /// An expired order was paid after all.
    pub fn revive(&mut self, payment: Option<&Reference>, by: &ChangedBy) -> Result<(), CannotHappen> {
        self.must(self.status == OrderStatus::Expired, "only an expired order is revived")?;
        self.pay(payment, by);
        Ok(())
    }

    /// A payment came for nothing; `false` if it is noted already. The order itself stays as it is: when it changed last, and
    /// by which event, is told apart from this.
    pub fn return_payment(&mut self, payment: &Reference) -> bool {
        if self.returned_payments().contains(payment) {
            return false;
        }
        self.extras.get_or_insert_default().returned_payments.push(payment.clone());
        true
    }

    /// A live order was cancelled, or expired. It keeps the names of its seats.
    pub fn end(&mut self, status: OrderStatus, by: &ChangedBy) -> Result<(), CannotHappen> {
        self.must(self.status.is_live(), "only a live order ends")?;
        self.mark(by);
        self.status = status;
        self.hold_expires_at = None;
        Ok(())
    }

    /// The seats, and with them the price in minor units, or the passengers of a live order changed.
    pub fn change(
        &mut self,
        seats: &Seats,
        total: i64,
        passengers: Option<&Passengers>,
        by: &ChangedBy,
    ) -> Result<(), CannotHappen> {
        self.must(self.status.is_live(), "only a live order changes")?;
        self.mark(by);
        self.seats.clone_from(seats);
        self.total = total;
        if passengers.is_some() || self.extras.is_some() {
            self.extras.get_or_insert_default().passengers = passengers.cloned();
        }
        Ok(())
    }

    /// A live order has these seats in a new seat plan: one that keeps its seats does not change.
    pub fn reseat(&mut self, seats: &Seats, by: &ChangedBy) -> Result<(), CannotHappen> {
        self.must(self.status.is_live(), "only a live order is seated")?;
        if self.seats != *seats {
            self.mark(by);
            self.seats.clone_from(seats);
        }
        Ok(())
    }

    fn pay(&mut self, payment: Option<&Reference>, by: &ChangedBy) {
        self.mark(by);
        self.status = OrderStatus::Confirmed;
        if let Some(payment) = payment {
            self.extras.get_or_insert_default().payment_reference = Some(payment.clone());
        }
    }

    fn mark(&mut self, by: &ChangedBy) {
        self.updated_at = by.at;
        self.changed_by = by.seq;
        self.proof = by.head;
    }

    fn must(&self, holds: bool, rule: &'static str) -> Result<(), CannotHappen> {
        if holds { Ok(()) } else { Err(CannotHappen { rule, status: self.status.as_str() }) }
    }
}

impl WaitlistEntry {
    /// The entry of a party that waits from this event on; its number is the event's seq.
    pub fn joined(wish: &WaitlistWish, by: &ChangedBy) -> Self {
        Self {
            no: WaitlistNo(by.seq.0),
            wish: wish.clone(),
            status: WaitlistStatus::Waiting,
            created_at: by.at,
            updated_at: by.at,
            changed_by: by.seq,
        }
    }

    /// It waits no longer.
    pub fn end(&mut self, status: WaitlistStatus, by: &ChangedBy) -> Result<(), CannotHappen> {
        if self.status != WaitlistStatus::Waiting {
            let rule = "only who waits is served or leaves";
            return Err(CannotHappen { rule, status: self.status.as_str() });
        }
        self.status = status;
        self.updated_at = by.at;
        self.changed_by = by.seq;
        Ok(())
    }
}

impl Sale {
    /// The sale after an event, if the event is about it.
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::SaleSwitched { switch, policy } => *self = Self { policy: *policy, switch: *switch },
            Event::PolicyChanged { policy } => self.policy = *policy,
            Event::ClosedForGood(closed) => {
                *self = Self { policy: closed.policy, switch: SaleSwitch::Closed };
            }
            _ => {}
        }
    }
}

impl FlightDefinition {
    /// What the flight is after event `seq`, if the event is about that.
    pub fn follow(&mut self, event: &Event, seq: Seq) -> Result<(), UnknownSecret> {
        match event {
            Event::RowsAdded { cabin } => self.cabins.push((**cabin).clone()),
            Event::CabinsChanged(change) => {
                self.aircraft.clone_from(&change.aircraft);
                self.cabins.clone_from(&change.cabins);
            }
            Event::TakenOver { epoch, secret, nonce } => {
                return self.ids.begin(Era { from: seq, epoch: *epoch, secret: *secret, nonce: *nonce });
            }
            _ => {}
        }
        Ok(())
    }
}
