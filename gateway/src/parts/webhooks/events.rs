//! Which deliveries follow from an event, and what it does to the number of seats on sale.
//! Never looks at a flight or an order: the event alone decides, so that a repeat after a crash is the same.

use farerush_engine::flight::{Cabin, Event, OrderNo, Recorded};

/// What is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An order holds seats and is to be paid.
    OrderHeld,
    /// An order is paid (or needed no payment), and its seats are sold.
    OrderConfirmed,
    /// An order was not paid in time.
    OrderExpired,
    /// An order was given up.
    OrderCancelled,
    /// An order's seats, passengers or deadline changed.
    OrderChanged,
    /// The last free seat of a flight is gone.
    FlightSoldOut,
    /// Events were lost on their way here. Not to be chosen: it is always sent.
    Gap,
}

impl Kind {
    /// Those that may be chosen.
    pub const CHOICES: [Self; 6] = [
        Self::OrderHeld,
        Self::OrderConfirmed,
        Self::OrderExpired,
        Self::OrderCancelled,
        Self::OrderChanged,
        Self::FlightSoldOut,
    ];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderHeld => "order.held",
            Self::OrderConfirmed => "order.confirmed",
            Self::OrderExpired => "order.expired",
            Self::OrderCancelled => "order.cancelled",
            Self::OrderChanged => "order.changed",
            Self::FlightSoldOut => "flight.sold_out",
            Self::Gap => "webhooks.gap",
        }
    }
}

/// Which kinds somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    /// Reads `all`, or names with commas between.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(Kind::CHOICES.to_vec()));
        }
        let named = |name: &str| {
            let kind = Kind::CHOICES.into_iter().find(|kind| kind.as_str() == name.trim());
            kind.ok_or_else(|| {
                let known = Kind::CHOICES.map(Kind::as_str).join(", ");
                format!("must be all, or some of {known}, with commas between")
            })
        };
        text.split(',').map(named).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this one is wanted.
    pub fn has(&self, kind: Kind) -> bool {
        kind == Kind::Gap || self.0.contains(&kind)
    }
}

/// What an event does to the seats on sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Free {
    Same,
    More(usize),
    Fewer(usize),
    /// So many from now on: the flight is new.
    All(usize),
}

impl Free {
    /// The number after the event; `None` if it was not known before.
    pub(super) fn after(self, before: Option<u32>) -> Option<u32> {
        let number = |seats: usize| u32::try_from(seats).unwrap_or(u32::MAX);
        match self {
            Self::All(seats) => Some(number(seats)),
            Self::Same => before,
            Self::More(seats) => before.map(|before| before.saturating_add(number(seats))),
            Self::Fewer(seats) => before.map(|before| before.saturating_sub(number(seats))),
        }
    }
}

/// What an event means to those outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The orders it is about, and what is told of each, always in the same order.
    pub(super) orders: Vec<(OrderNo, Kind)>,
    pub(super) free: Free,
}

/// What an event means. Every event has to say so here.
pub(super) fn meaning_of(recorded: &Recorded) -> Meaning {
    let told = |order: OrderNo, kind, free| Meaning { orders: vec![(order, kind)], free };
    let silent = |free| Meaning { orders: Vec::new(), free };
    match &recorded.event {
        Event::FlightCreated { definition, .. } => silent(Free::All(seats_of(&definition.cabins))),
        Event::SaleSwitched { .. } | Event::PolicyChanged { .. } => silent(Free::Same),
        Event::SeatsBlocked { seats } => silent(Free::Fewer(seats.len())),
        Event::SeatsUnblocked { seats } => silent(Free::More(seats.len())),
        Event::RowsAdded { cabin } => silent(Free::More(cabin.capacity() as usize)),
        Event::CabinsChanged(change) => {
            let cancelled = change.cancelled.iter().map(|order| (*order, Kind::OrderCancelled));
            // Those who kept their seats are left out later: the event does not say who they are.
            let seated = change.seated.iter().map(|(order, _)| (*order, Kind::OrderChanged));
            let taken =
                change.blocked.len() + change.seated.iter().map(|(_, seats)| seats.len()).sum::<usize>();
            let free = Free::All(seats_of(&change.cabins).saturating_sub(taken));
            Meaning { orders: cancelled.chain(seated).collect(), free }
        }
        Event::WaitlistJoined(_)
        | Event::WaitlistLeft { .. }
        | Event::NothingChanged { .. }
        | Event::PaymentReturned { .. }
        | Event::TakenOver { .. }
        | Event::SaleEnded
        | Event::Forgotten { .. } => silent(Free::Same),
        Event::ClosedForGood(closed) => {
            let cancelled = closed.cancelled.iter().map(|(order, _)| (*order, Kind::OrderCancelled));
            let freed = closed.cancelled.iter().map(|(_, seats)| seats.len()).sum();
            Meaning { orders: cancelled.collect(), free: Free::More(freed) }
        }
        // Whoever is served from the waitlist has an order exactly as by a grab.
        Event::OrderPlaced(placed) | Event::WaitlistServed { placed, .. } => {
            // Where nothing is held for payment, a grab is confirmed at once.
            let is_held = placed.hold_expires_at.is_some();
            let kind = if is_held { Kind::OrderHeld } else { Kind::OrderConfirmed };
            told(OrderNo(recorded.seq.0), kind, Free::Fewer(placed.seats.len()))
        }
        Event::OrderConfirmed { order, .. } => told(*order, Kind::OrderConfirmed, Free::Same),
        Event::OrderCancelled { order, freed } => told(*order, Kind::OrderCancelled, Free::More(freed.len())),
        Event::OrderExpired { order, freed } => told(*order, Kind::OrderExpired, Free::More(freed.len())),
        // It has as many seats as before.
        Event::OrderChanged { order, .. } => told(*order, Kind::OrderChanged, Free::Same),
        Event::PaymentBegun { order, .. } => told(*order, Kind::OrderChanged, Free::Same),
        Event::OrderRevived { order, seats, .. } => {
            told(*order, Kind::OrderConfirmed, Free::Fewer(seats.len()))
        }
    }
}

fn seats_of(cabins: &[Cabin]) -> usize {
    cabins.iter().map(|cabin| cabin.capacity() as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_chosen_by_their_names() {
        let all = Kinds::parse("all").unwrap();
        assert!(Kind::CHOICES.iter().all(|kind| all.has(*kind)) && all.has(Kind::Gap));
        let two = Kinds::parse("order.held, flight.sold_out").unwrap();
        assert!(two.has(Kind::OrderHeld) && two.has(Kind::FlightSoldOut) && two.has(Kind::Gap));
        assert!(!two.has(Kind::OrderConfirmed));
        for bad in ["", "order.paid", "order.held,", "webhooks.gap", "none"] {
            assert!(Kinds::parse(bad).unwrap_err().contains("order.held, order.confirmed"), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_stays_so_until_a_flight_is_new() {
        assert_eq!(Free::Fewer(2).after(None), None);
        assert_eq!(Free::All(6).after(None), Some(6));
        assert_eq!(Free::Fewer(7).after(Some(6)), Some(0));
        assert_eq!(Free::More(2).after(Some(6)), Some(8));
    }
}
