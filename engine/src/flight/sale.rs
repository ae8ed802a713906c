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
/// Longest time before departure at which a sale ends: a week, in minutes.
pub const CLOSES_BEFORE_MINUTES_MAX: u16 = 7 * 24 * 60;
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
    /// How long before departure the sale ends by itself, in minutes; 0: when the flight leaves. No sale outlives that.
    pub closes_before_minutes: u16,
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
            closes_before_minutes: 0,
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

impl SalePolicy {
    /// From when the sale of a flight that leaves at `departs_at` is closed, whatever was said about it.
    pub fn ends_at(&self, departs_at: Timestamp) -> Timestamp {
        let before_departure = departs_at.plus_millis(-i64::from(self.closes_before_minutes) * 60_000);
        self.closes_at.map_or(before_departure, |at| at.min(before_departure))
    }
}

impl Sale {
    /// The state at `now` of the sale of a flight that leaves at `departs_at`.
    pub fn state_at(&self, departs_at: Timestamp, now: Timestamp) -> SaleState {
        if self.switch == SaleSwitch::Closed || self.policy.ends_at(departs_at) <= now {
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
    pub fn admit(&self, departs_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        match self.state_at(departs_at, now) {
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

    const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

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
            let state = sale(switch, opens, closes).state_at(NEVER, Timestamp::from_millis(100));
            assert_eq!(state, expected, "{switch:?} {opens:?} {closes:?}");
        }
    }

    #[test]
    fn no_switch_and_no_window_keeps_a_sale_open_beyond_departure() {
        let minute = 60_000;
        let at = |minutes: i64| Timestamp::from_millis(minutes * minute);
        for switch in [SaleSwitch::Scheduled, SaleSwitch::Open, SaleSwitch::Paused, SaleSwitch::Closed] {
            for (closes, before, ends) in [
                (None, 0, 1000),
                (Some(2000), 0, 1000),
                (Some(500), 0, 500),
                (None, 30, 970),
                (Some(980), 30, 970),
                (Some(960), 30, 960),
                (None, CLOSES_BEFORE_MINUTES_MAX, 1000 - i64::from(CLOSES_BEFORE_MINUTES_MAX)),
            ] {
                let mut sale = sale(switch, Some(i64::MIN), closes.map(|minutes: i64| minutes * minute));
                sale.policy.closes_before_minutes = before;
                assert_eq!(sale.policy.ends_at(at(1000)), at(ends));
                let last = at(ends).plus_millis(-1);
                let is_closed = |now| sale.state_at(at(1000), now) == SaleState::Closed;
                assert_eq!(is_closed(last), switch == SaleSwitch::Closed, "{switch:?} {closes:?} {before}");
                assert!(is_closed(at(ends)) && is_closed(at(1_000_000)), "{switch:?} {closes:?} {before}");
            }
        }
    }
}
