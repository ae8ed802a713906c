//! When and how a flight's seats may be grabbed.
//! Never reads a clock: the moment is an argument.

use super::ids::Timestamp;
use super::refusal::Refusal;

/// Largest limit of seats per order or per customer: a whole flight.
pub const SEATS_LIMIT_MAX: u16 = 10_000;
/// Longest hold: 30 days, in seconds.
pub const HOLD_SECONDS_MAX: u32 = 30 * 24 * 3600;
/// Longest time that a payment may stop a hold's deadline: a day, in seconds.
pub const PAYMENT_GRACE_SECONDS_MAX: u32 = 24 * 3600;
/// How long it does so where nothing else was said, in seconds.
pub const PAYMENT_GRACE_SECONDS_DEFAULT: u32 = 120;

/// The rules of a flight's sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SalePolicy {
    /// From when a scheduled sale is open; without it the sale waits to be opened.
    pub opens_at: Option<Timestamp>,
    /// From when it is closed.
    pub closes_at: Option<Timestamp>,
    /// Most seats of one order, 1 to 10,000.
    pub max_seats_per_order: u16,
    /// Most seats a customer may have in live orders of this flight, 1 to 10,000.
    pub max_seats_per_customer: u16,
    /// How long an unpaid order keeps its seats, in seconds; 0 confirms a grab at once.
    pub hold_seconds: u32,
    /// How much longer an order keeps its seats while a payment is under way, in seconds, counted from when the
    /// payment began; 0: a payment does not stop the deadline.
    pub payment_grace_seconds: u32,
}

impl Default for SalePolicy {
    fn default() -> Self {
        Self {
            opens_at: None,
            closes_at: None,
            max_seats_per_order: 9,
            max_seats_per_customer: 9,
            hold_seconds: 0,
            payment_grace_seconds: PAYMENT_GRACE_SECONDS_DEFAULT,
        }
    }
}

/// What was last said about the sale, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaleSwitch {
    /// Nobody has opened it: it opens by itself at `opens_at`, if that is set.
    Scheduled,
    /// Opened by an admin.
    Open,
    /// Stopped for the time being.
    Paused,
    /// Stopped for good, until somebody opens it again.
    Closed,
}

/// What a customer meets at a certain moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaleState {
    /// Not open yet.
    Scheduled,
    /// Seats may be grabbed.
    Open,
    /// Not for the moment.
    Paused,
    /// Over.
    Closed,
}

impl SaleState {
    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

/// A flight's sale: its rules and its switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sale {
    /// The rules.
    pub policy: SalePolicy,
    /// What was last said about it.
    pub switch: SaleSwitch,
}

impl Sale {
    /// The state at `now`.
    pub fn state_at(&self, now: Timestamp) -> SaleState {
        if self.switch == SaleSwitch::Closed || self.policy.closes_at.is_some_and(|at| at <= now) {
            return SaleState::Closed;
        }
        match self.switch {
            SaleSwitch::Paused => SaleState::Paused,
            SaleSwitch::Open => SaleState::Open,
            _ if self.policy.opens_at.is_some_and(|at| at <= now) => SaleState::Open,
            _ => SaleState::Scheduled,
        }
    }

    /// Whether a grab may be decided at `now`.
    pub fn admit(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.state_at(now) {
            SaleState::Open => Ok(()),
            SaleState::Scheduled => Err(Refusal::SaleNotOpen { opens_at: self.policy.opens_at }),
            SaleState::Paused => Err(Refusal::SalePaused),
            SaleState::Closed => Err(Refusal::SaleClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(switch: SaleSwitch, opens: Option<i64>, closes: Option<i64>) -> Sale {
        let policy = SalePolicy {
            opens_at: opens.map(Timestamp::from_millis),
            closes_at: closes.map(Timestamp::from_millis),
            ..SalePolicy::default()
        };
        Sale { policy, switch }
    }

    #[test]
    fn the_state_follows_switch_and_window() {
        use SaleState as S;
        use SaleSwitch as W;
        for (switch, opens, closes, expected) in [
            (W::Scheduled, None, None, S::Scheduled),
            (W::Scheduled, Some(100), None, S::Open),
            (W::Scheduled, Some(101), None, S::Scheduled),
            (W::Scheduled, Some(50), Some(100), S::Closed),
            (W::Open, None, None, S::Open),
            (W::Open, Some(200), None, S::Open),
            (W::Open, None, Some(101), S::Open),
            (W::Open, None, Some(100), S::Closed),
            (W::Paused, Some(50), None, S::Paused),
            (W::Closed, Some(50), None, S::Closed),
        ] {
            let state = sale(switch, opens, closes).state_at(Timestamp::from_millis(100));
            assert_eq!(state, expected, "{switch:?} {opens:?} {closes:?}");
        }
    }
}
