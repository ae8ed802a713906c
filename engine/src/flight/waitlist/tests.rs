//! The waitlist by itself: who is let in, and what a line looks like from outside.
//! Never an actor or a clock.

use super::{Accept, LookedThrough, WAITLIST_HOLD_SECONDS_DEFAULT, WaitlistWish};
use crate::flight::ids::Salt;
use crate::flight::{
    Cabin, CabinClass, Command, Currency, CustomerId, Event, Fare, Flight, FlightDefinition, FlightId,
    FlightIds, Layout, LimitScope, Recorded, Refusal, SalePolicy, Seats, Seq, Timestamp,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A flight of two rows of six, on sale, of which only the named seats are free.
fn flight(free: &str, policy: SalePolicy) -> Flight {
    let fare = Fare { amount: 100, currency: Currency::new("TWD").unwrap() };
    let layout = Layout::new("ABC DEF").unwrap();
    let cabin = Cabin { cabin_class: CabinClass::Economy, first_row: 1, last_row: 2, layout, fare };
    let definition = FlightDefinition {
        flight_id: FlightId::new("FR1").unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: at(1_000_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![cabin],
        ids: FlightIds::new(Salt(7)),
    };
    let policy = SalePolicy { opens_at: Some(at(0)), ..policy };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    let mut flight =
        Flight::create(&Recorded { seq: Seq(1), at: at(1), event, cause: None, head: None }).unwrap();
    let free: Seats = free.split_whitespace().map(|seat| seat.parse().unwrap()).collect();
    let mut seats = flight.map().seats_with(crate::flight::seat_map::SeatStatus::Free);
    seats.retain(|seat| !free.contains(seat));
    happen(&mut flight, Event::SeatsBlocked { seats });
    flight
}

fn happen(flight: &mut Flight, event: Event) {
    flight.apply(&Recorded { seq: flight.seq().next(), at: at(1), event, cause: None, head: None });
    assert_eq!(flight.broken(), None);
}

fn wish(party_size: u16, accept: Accept) -> WaitlistWish {
    let customer = CustomerId::new("mei").unwrap();
    WaitlistWish { customer, party_size, accept, cabin_class: None, expires_at: None, client_reference: None }
}

#[test]
fn a_party_gets_seats_exactly_if_what_is_free_is_what_it_accepts() {
    use Accept::{All, AllTogether, AtLeast};
    for (free, party_size, accept, expected) in [
        ("1A 1B 2F", 3, AllTogether, ""),
        ("1A 1B 2F", 3, All, "1A 1B 2F"),
        ("1A 1B 2F", 4, All, ""),
        ("1A 1B 2F", 4, AtLeast(2), "1A 1B 2F"),
        ("1A 1B 2F", 4, AtLeast(4), ""),
        ("1C 1D 2A", 2, AllTogether, ""),
        ("1C 1D 2A 2B", 2, AllTogether, "2A 2B"),
        ("1C 1D 2A", 2, AtLeast(1), "1C 1D"),
        ("", 1, AtLeast(1), ""),
    ] {
        let mut flight = flight(free, SalePolicy::default());
        happen(&mut flight, Event::WaitlistJoined(Box::new(wish(party_size, accept))));
        let served = match flight.decide_waitlist(&mut LookedThrough::default(), at(2)) {
            Some(Event::WaitlistServed { placed, .. }) => {
                assert_eq!(placed.hold_expires_at, Some(at(2 + i64::from(WAITLIST_HOLD_SECONDS_DEFAULT))));
                placed.seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            other => other.map(|event| format!("{event:?}")).unwrap_or_default(),
        };
        assert_eq!(served, expected, "{party_size} {accept:?} of {free}");
    }
}

#[test]
fn nobody_is_served_after_the_moment_until_which_they_wanted_to_wait() {
    // Waits that have run out end a number at a time, so that some are still there when seats are given away.
    let served = |now: i64| {
        let mut flight = flight("1A", SalePolicy::default());
        let patient = WaitlistWish { expires_at: Some(at(20)), ..wish(1, Accept::All) };
        let hurried = WaitlistWish { expires_at: Some(at(10)), ..wish(1, Accept::All) };
        happen(&mut flight, Event::WaitlistJoined(Box::new(hurried)));
        happen(&mut flight, Event::WaitlistJoined(Box::new(patient)));
        match flight.decide_waitlist(&mut LookedThrough::default(), at(now)) {
            Some(Event::WaitlistServed { entry, .. }) => Some(entry.0),
            other => other.map(|event| panic!("{event:?}")),
        }
    };
    assert_eq!(served(9), Some(3));
    assert_eq!(served(10), Some(4));
    assert_eq!(served(19), Some(4));
    assert_eq!(served(20), None);
}

#[test]
fn only_who_could_be_served_at_some_time_may_join() {
    let policy = SalePolicy { max_seats_per_order: 4, max_seats_per_customer: 3, ..SalePolicy::default() };
    let flight = flight("1A", policy);
    let ask = |wish: WaitlistWish| flight.decide(&Command::JoinWaitlist(Box::new(wish)), at(2));
    let too_many = |scope, limit| Err(Refusal::LimitExceeded { scope, limit, holding: 0 });
    assert_eq!(ask(wish(5, Accept::All)), too_many(LimitScope::Order, 4));
    assert_eq!(ask(wish(4, Accept::AtLeast(1))), too_many(LimitScope::Customer, 3));
    assert!(ask(wish(3, Accept::AllTogether)).is_ok());
    for bad in [wish(0, Accept::All), wish(2, Accept::AtLeast(3)), wish(2, Accept::AtLeast(0))] {
        assert!(matches!(ask(bad.clone()), Err(Refusal::Invalid { .. })), "{bad:?}");
    }
    let late = WaitlistWish { expires_at: Some(at(2)), ..wish(1, Accept::All) };
    assert!(matches!(ask(late), Err(Refusal::Invalid { field: "expires_at", .. })));
}
