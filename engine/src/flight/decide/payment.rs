//! What becomes of an order and of money by the word of whoever confirms.
//! Never moves money, and never asks anybody whether it has moved.

use super::decision::Decision;
use crate::flight::cabin::{Currency, Seat};
use crate::flight::command::{EndedLongAgo, Payment};
use crate::flight::event::Event;
use crate::flight::flight::Flight;
use crate::flight::ids::{OrderNo, OrderRef, Reference, Timestamp};
use crate::flight::order::{Order, OrderStatus};
use crate::flight::payment::{Covers, RETURNED_PAYMENTS_MAX, ReturnedBecause};
use crate::flight::refusal::{LimitScope, Refusal};
use crate::flight::sale::SaleState;
use crate::flight::seat_map::SeatStatus;

/// What counts of an order for money that came for nothing.
struct Ended<'a> {
    no: OrderNo,
    /// In minor units.
    total: i64,
    /// What had confirmed it.
    payment_reference: Option<&'a Reference>,
    /// What is noted already.
    returned: &'a [Reference],
}

impl<'a> From<&'a Order> for Ended<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            no: order.no,
            total: order.total,
            payment_reference: order.payment_reference(),
            returned: order.returned_payments(),
        }
    }
}

impl Flight {
    pub(in crate::flight) fn decide_confirm(
        &self,
        order: OrderRef,
        payment: Option<&Payment>,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let order = self.find_at(order, now).ok_or(Refusal::OrderNotFound)?;
        if payment.is_none() && order.total != 0 {
            return Err(Refusal::PaymentNeeded { total: order.total, currency: self.currency() });
        }
        let reference = payment.map(|payment| &payment.reference);
        match order.status {
            OrderStatus::Held => {
                self.must_cover(order, payment)?;
                Ok(Decision::Record(Event::OrderConfirmed {
                    order: order.no,
                    payment_reference: reference.cloned(),
                    seats: order.seats.clone(),
                }))
            }
            OrderStatus::Confirmed if order.payment_reference() == reference => {
                Ok(Decision::Unchanged(Some(order.no)))
            }
            OrderStatus::Confirmed => {
                let refusal = Refusal::OrderNotChangeable {
                    reason: "it is confirmed already, by another payment or by none",
                };
                self.return_payment(&order.into(), payment, ReturnedBecause::PaidAlready, refusal)
            }
            OrderStatus::Cancelled => {
                let refusal = Refusal::OrderNotChangeable { reason: "it is cancelled" };
                self.return_payment(&order.into(), payment, ReturnedBecause::Cancelled, refusal)
            }
            OrderStatus::Expired => match self.must_be_revivable(order, payment, now) {
                Ok(()) => Ok(Decision::Record(Event::OrderRevived {
                    order: order.no,
                    seats: order.seats.clone(),
                    payment_reference: reference.cloned(),
                })),
                Err(refusal) => {
                    self.return_payment(&order.into(), payment, ReturnedBecause::TooLate, refusal)
                }
            },
        }
    }

    /// Whether what was paid is what the order costs.
    fn must_cover(&self, order: &Order, payment: Option<&Payment>) -> Result<(), Refusal> {
        let covers = match payment.map(|payment| payment.covers) {
            None => order.total == 0,
            Some(Covers::Amount { amount, currency }) => amount == order.total && currency == self.currency(),
            Some(Covers::OrderAt(seq)) => seq == order.changed_by,
        };
        if covers {
            return Ok(());
        }
        Err(Refusal::AmountMismatch { total: order.total, currency: self.currency(), seq: order.changed_by })
    }

    /// Paid too late: granted all the same, if nobody has got any of its seats, they cost what was paid, and the sale is
    /// not over.
    fn must_be_revivable(
        &self,
        order: &Order,
        payment: Option<&Payment>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is_free = |seat: &Seat| self.map.status(*seat) == Some(SeatStatus::Free);
        let policy = &self.sale.policy;
        if self.sale_state(now) == SaleState::Closed
            || !order.seats.iter().all(is_free)
            || self.total(&order.seats) != order.total
        {
            return Err(Refusal::HoldExpired);
        }
        // By its last event it expired, which cost nothing: nobody can have seen a price after that.
        self.must_cover(order, payment)?;
        let limit = policy.max_seats_per_customer;
        let holding = self.holdings.get(&order.customer).copied().unwrap_or(0);
        if holding as usize + order.seats.len() > usize::from(limit) {
            return Err(Refusal::LimitExceeded { scope: LimitScope::Customer, limit, holding });
        }
        Ok(())
    }

    /// Decides about a payment for an order that the flight has forgotten, by what the store knows of it.
    pub(in crate::flight) fn decide_return_payment(
        &self,
        order: OrderRef,
        payment: &Payment,
        ended: &EndedLongAgo,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        if self.find_at(order, now).is_some() {
            return self.decide_confirm(order, Some(payment), now);
        }
        let ids = &self.definition.ids;
        if !ids.is_unlocked() || ids.order_tag(order.no) != order.tag || order.no.0 > self.seq.0 {
            return Err(Refusal::OrderNotFound);
        }
        let (because, refusal) = match ended.status {
            OrderStatus::Expired => (ReturnedBecause::TooLate, Refusal::HoldExpired),
            OrderStatus::Cancelled => {
                (ReturnedBecause::Cancelled, Refusal::OrderNotChangeable { reason: "it ended long ago" })
            }
            // What is live is not forgotten: whoever says so knows another flight.
            OrderStatus::Held | OrderStatus::Confirmed => return Err(Refusal::OrderNotFound),
        };
        // To be forgotten is not yet forgotten: its own memory is the newer one.
        let remembered = self.orders.get(&order.no).map_or(&[][..], Order::returned_payments);
        let known = if remembered.len() > ended.returned.len() { remembered } else { &ended.returned };
        let what = Ended {
            no: order.no,
            total: ended.total,
            payment_reference: ended.payment_reference.as_ref(),
            returned: known,
        };
        self.return_payment(&what, Some(payment), because, refusal)
    }

    /// Refuses, and notes (once for each payment) that its money came for nothing.
    fn return_payment(
        &self,
        order: &Ended<'_>,
        payment: Option<&Payment>,
        because: ReturnedBecause,
        refusal: Refusal,
    ) -> Result<Decision, Refusal> {
        let Some(payment) = payment else { return Err(refusal) };
        // The very payment that had confirmed it goes back for the event that ended the order.
        if order.payment_reference == Some(&payment.reference) {
            return Err(refusal);
        }
        let returned = order.returned;
        if returned.contains(&payment.reference) {
            return Err(Refusal::PaymentReturned { instead: Box::new(refusal) });
        }
        if returned.len() >= RETURNED_PAYMENTS_MAX {
            return Err(refusal);
        }
        let (amount, currency) = match payment.covers {
            Covers::Amount { amount, currency } => (amount, currency),
            Covers::OrderAt(_) => (order.total, self.currency()),
        };
        let event = Event::PaymentReturned {
            order: order.no,
            payment_reference: payment.reference.clone(),
            amount,
            currency,
            because,
        };
        Ok(Decision::RecordRefused(event, Refusal::PaymentReturned { instead: Box::new(refusal) }))
    }

    pub(in crate::flight) fn decide_pay(&self, order: OrderRef, now: Timestamp) -> Result<Decision, Refusal> {
        let order = self.find_at(order, now).ok_or(Refusal::OrderNotFound)?;
        let deadline = match (order.status, order.hold_expires_at) {
            (OrderStatus::Held, Some(deadline)) if deadline > now => deadline,
            (OrderStatus::Held | OrderStatus::Expired, _) => return Err(Refusal::HoldExpired),
            (OrderStatus::Confirmed, _) => return Ok(Decision::Unchanged(Some(order.no))),
            (OrderStatus::Cancelled, _) => {
                return Err(Refusal::OrderNotChangeable { reason: "it is cancelled" });
            }
        };
        if order.payment_begun_at().is_some() {
            return Ok(Decision::Unchanged(Some(order.no)));
        }
        let hold_expires_at = deadline.max(self.hold_until(now, self.sale.policy.payment_grace_seconds));
        Ok(Decision::Record(Event::PaymentBegun { order: order.no, hold_expires_at }))
    }

    /// The currency of all its fares.
    fn currency(&self) -> Currency {
        // A flight has at least one cabin, and all of them the same currency: `check_cabins`.
        self.definition.cabins[0].fare.currency
    }
}
