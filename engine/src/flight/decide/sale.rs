//! Whether a sale opens, stops, ends, or gets other rules.
//! Never changes the flight: `apply` does.

use super::decision::Decision;
use crate::flight::command::PolicyChange;
use crate::flight::event::{ClosedForGood, Event};
use crate::flight::flight::Flight;
use crate::flight::ids::Timestamp;
use crate::flight::refusal::Refusal;
use crate::flight::sale::{
    CLOSES_BEFORE_MINUTES_MAX, HOLD_SECONDS_MAX, PAYMENT_GRACE_SECONDS_MAX, SEATS_LIMIT_MAX, SalePolicy,
    SaleSwitch,
};

/// What is said of a flight that is to be created after its departure.
pub const DEPARTED: &str = "must be in the future: nobody can buy a seat on a flight that has left";

impl Flight {
    pub(super) fn decide_open(&self, now: Timestamp) -> Result<Decision, Refusal> {
        let mut policy = self.sale.policy;
        // "Open, now" outweighs a window that says otherwise.
        if policy.opens_at.is_some_and(|at| at > now) {
            policy.opens_at = Some(now);
        }
        if policy.closes_at.is_some_and(|at| at <= now) {
            policy.closes_at = None;
        }
        // But not departure, nor the rule that counts from it.
        let departs_at = self.definition.departs_at;
        if policy.ends_at(departs_at) <= now {
            let closes_before_minutes = policy.closes_before_minutes;
            return Err(Refusal::TooLateToOpen { departs_at, closes_before_minutes });
        }
        if self.sale.switch == SaleSwitch::Open && policy == self.sale.policy {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::SaleSwitched { switch: SaleSwitch::Open, policy }))
    }

    pub(super) fn decide_switch(&self, switch: SaleSwitch) -> Decision {
        if self.sale.switch == switch {
            return Decision::Unchanged(None);
        }
        Decision::Record(Event::SaleSwitched { switch, policy: self.sale.policy })
    }

    pub(super) fn decide_close_for_good(&self) -> Decision {
        let live = self.orders.values().filter(|order| order.status.is_live());
        let mut cancelled: Vec<_> = live.map(|order| (order.no, order.seats.clone())).collect();
        if cancelled.is_empty() {
            return self.decide_switch(SaleSwitch::Closed);
        }
        cancelled.sort_unstable_by_key(|(no, _)| *no);
        let closed = ClosedForGood { policy: self.sale.policy, cancelled };
        Decision::Record(Event::ClosedForGood(Box::new(closed)))
    }

    pub(super) fn decide_policy(&self, change: &PolicyChange) -> Result<Decision, Refusal> {
        let now = self.sale.policy;
        let policy = SalePolicy {
            opens_at: change.opens_at.unwrap_or(now.opens_at),
            closes_at: change.closes_at.unwrap_or(now.closes_at),
            max_seats_per_order: change.max_seats_per_order.unwrap_or(now.max_seats_per_order),
            max_seats_per_customer: change.max_seats_per_customer.unwrap_or(now.max_seats_per_customer),
            hold_seconds: change.hold_seconds.unwrap_or(now.hold_seconds),
            payment_grace_seconds: change.payment_grace_seconds.unwrap_or(now.payment_grace_seconds),
            closes_before_minutes: change.closes_before_minutes.unwrap_or(now.closes_before_minutes),
        };
        check_policy(&policy)?;
        if policy == now {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::PolicyChanged { policy }))
    }
}

/// Checks that a flight that is to be created at `now` has not left.
pub fn check_departure(departs_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if departs_at > now {
        return Ok(());
    }
    Err(Refusal::Invalid { field: "departs_at", message: DEPARTED.to_owned() })
}

/// Checks a sale's rules on their own; names the field that is out of its range.
pub fn check_policy(policy: &SalePolicy) -> Result<(), Refusal> {
    let out_of = |field: &'static str, message: String| Err(Refusal::Invalid { field, message });
    for (field, limit) in [
        ("max_seats_per_order", policy.max_seats_per_order),
        ("max_seats_per_customer", policy.max_seats_per_customer),
    ] {
        if !(1..=SEATS_LIMIT_MAX).contains(&limit) {
            return out_of(field, format!("must be from 1 to {SEATS_LIMIT_MAX}"));
        }
    }
    if policy.hold_seconds > HOLD_SECONDS_MAX {
        return out_of("hold_seconds", format!("must be from 0 to {HOLD_SECONDS_MAX}"));
    }
    if policy.payment_grace_seconds > PAYMENT_GRACE_SECONDS_MAX {
        let message = format!("must be from 0 to {PAYMENT_GRACE_SECONDS_MAX}");
        return out_of("payment_grace_seconds", message);
    }
    if policy.closes_before_minutes > CLOSES_BEFORE_MINUTES_MAX {
        let message = format!("must be from 0 to {CLOSES_BEFORE_MINUTES_MAX}");
        return out_of("closes_before_minutes", message);
    }
    if let (Some(opens), Some(closes)) = (policy.opens_at, policy.closes_at)
        && opens >= closes
    {
        return out_of("closes_at", "must be after opens_at".to_owned());
    }
    Ok(())
}
