//! A sale ends when its flight leaves, or as long before as its rules say: for grabs, the waitlist, late payments and
//! whoever would open it again. Every moment is an argument, so nothing here waits.

mod unlocked;

use farerush_engine::flight::decide::{check_departure, check_policy};
use farerush_engine::flight::sale::CLOSES_BEFORE_MINUTES_MAX;
use farerush_engine::flight::{
    Accept, Cabin, CabinClass, Command, Covers, Currency, CustomerId, Decision, Event, Fare, Flight,
    FlightDefinition, FlightId, FlightIds, Grab, Layout, LookedThrough, OrderNo, OrderStatus, Payment,
    PolicyChange, Recorded, Reference, Refusal, SalePolicy, SaleState, Salt, Seq, Timestamp, Together,
    WaitlistNo, WaitlistWish, Wanted,
};
use unlocked::unlocked;

const MINUTE_MS: i64 = 60_000;
const DEPARTS_MIN: i64 = 100_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(minutes * MINUTE_MS)
}

/// A flight of six seats whose sale was opened by an admin an hour before it leaves.
fn flight(policy: SalePolicy) -> Flight {
    let fare = Fare { amount: 100, currency: Currency::new("TWD").unwrap() };
    let layout = Layout::new("ABC DEF").unwrap();
    let definition = FlightDefinition {
        flight_id: FlightId::new("FR1-20261224").unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: at(DEPARTS_MIN),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![Cabin { cabin_class: CabinClass::Economy, first_row: 1, last_row: 1, layout, fare }],
        ids: FlightIds::new(Salt(7)),
    };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    let first = Recorded { seq: Seq(1), at: at(DEPARTS_MIN - 60), event, cause: None, head: None };
    let mut flight = unlocked(Flight::create(&first));
    decided(&mut flight, &Command::OpenSale, at(DEPARTS_MIN - 60)).unwrap();
    flight
}

fn happen(flight: &mut Flight, event: Event, now: Timestamp) {
    flight.apply(&Recorded { seq: flight.seq().next(), at: now, event, cause: None, head: None });
    assert_eq!(flight.broken(), None);
    flight.check().unwrap();
}

/// Decides a command, and does what follows from it.
fn decided(flight: &mut Flight, command: &Command, now: Timestamp) -> Result<Decision, Refusal> {
    let decision = flight.decide(command, now)?;
    if let Decision::Record(event) = &decision {
        happen(flight, event.clone(), now);
    }
    Ok(decision)
}

fn grab(customer: &str, quantity: u16) -> Command {
    Command::Grab(Grab {
        customer: CustomerId::new(customer).unwrap(),
        wanted: Wanted::Quantity { quantity, together: Together::Any },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: None,
    })
}

fn wait(customer: &str) -> Command {
    Command::JoinWaitlist(Box::new(WaitlistWish {
        customer: CustomerId::new(customer).unwrap(),
        party_size: 1,
        accept: Accept::All,
        cabin_class: None,
        expires_at: None,
        client_reference: None,
    }))
}

fn last_order(flight: &Flight) -> &farerush_engine::flight::Order {
    flight.order(OrderNo(flight.seq().0)).unwrap()
}

#[test]
fn a_flight_that_has_left_sells_nothing_and_nobody_waits_for_it() {
    let mut flight = flight(SalePolicy::default());
    let left = at(DEPARTS_MIN);
    let just_before = left.plus_millis(-1);
    assert_eq!(flight.sale_state(just_before), SaleState::Open);
    assert!(decided(&mut flight, &grab("in-time", 1), just_before).is_ok());
    for now in [left, left.plus_millis(1), at(10 * DEPARTS_MIN)] {
        assert_eq!(flight.sale_state(now), SaleState::Closed);
        assert_eq!(flight.decide(&grab("late", 1), now), Err(Refusal::SaleClosed));
        assert_eq!(flight.decide(&wait("late"), now), Err(Refusal::SaleClosed));
    }
}

#[test]
fn a_sale_ends_so_long_before_departure_as_its_rules_say_whatever_closes_at_says() {
    let policy = SalePolicy {
        closes_before_minutes: 30,
        closes_at: Some(at(DEPARTS_MIN + 1)),
        ..SalePolicy::default()
    };
    let mut flight = flight(policy);
    let ends = at(DEPARTS_MIN - 30);
    assert!(decided(&mut flight, &grab("in-time", 1), ends.plus_millis(-1)).is_ok());
    assert_eq!(flight.decide(&grab("late", 1), ends), Err(Refusal::SaleClosed));
    // Fewer minutes open it again, as long as it has not left.
    let fewer = PolicyChange { closes_before_minutes: Some(10), ..PolicyChange::default() };
    decided(&mut flight, &Command::ChangePolicy(fewer), ends).unwrap();
    assert!(decided(&mut flight, &grab("late", 1), ends).is_ok());
    assert_eq!(flight.decide(&grab("later", 1), at(DEPARTS_MIN - 10)), Err(Refusal::SaleClosed));
}

#[test]
fn opening_a_sale_outweighs_its_window_but_neither_departure_nor_what_counts_from_it() {
    let policy = SalePolicy {
        closes_before_minutes: 30,
        closes_at: Some(at(DEPARTS_MIN - 40)),
        ..SalePolicy::default()
    };
    let mut flight = flight(policy);
    let late = at(DEPARTS_MIN - 35);
    assert_eq!(flight.sale_state(late), SaleState::Closed);
    decided(&mut flight, &Command::OpenSale, late).unwrap();
    assert_eq!((flight.sale_state(late), flight.sale().policy.closes_at), (SaleState::Open, None));
    let departs_at = at(DEPARTS_MIN);
    for now in [at(DEPARTS_MIN - 30), departs_at, at(2 * DEPARTS_MIN)] {
        for command in [Command::PauseSale, Command::CloseSale] {
            decided(&mut flight, &command, now).unwrap();
            let refused = flight.decide(&Command::OpenSale, now);
            assert_eq!(refused, Err(Refusal::TooLateToOpen { departs_at, closes_before_minutes: 30 }));
            assert_eq!(flight.sale_state(now), SaleState::Closed);
        }
    }
}

#[test]
fn no_hold_outlasts_its_flight() {
    let policy = SalePolicy { hold_seconds: 3600, payment_grace_seconds: 7200, ..SalePolicy::default() };
    let mut flight = flight(policy);
    let now = at(DEPARTS_MIN - 5);
    decided(&mut flight, &grab("mei", 6), now).unwrap();
    let order = last_order(&flight).no;
    assert_eq!(last_order(&flight).hold_expires_at, Some(at(DEPARTS_MIN)));
    let order_ref = flight.order_id(order).order;
    decided(&mut flight, &Command::Pay { order: order_ref }, now).unwrap();
    assert_eq!(flight.order(order).unwrap().hold_expires_at, Some(at(DEPARTS_MIN)));
    decided(&mut flight, &wait("jun"), now).unwrap();
    decided(&mut flight, &Command::Cancel { order: order_ref }, now).unwrap();
    let served = flight.decide_waitlist(&mut LookedThrough::default(), now).expect("seats came back");
    happen(&mut flight, served, now);
    assert_eq!(last_order(&flight).hold_expires_at, Some(at(DEPARTS_MIN)));
    // And at departure everything that was held is over.
    let expired = flight.decide_expiry(at(DEPARTS_MIN)).expect("the hold ends");
    happen(&mut flight, expired, at(DEPARTS_MIN));
    assert_eq!(flight.holds(), 0);
}

#[test]
fn a_payment_that_comes_after_the_sale_ended_revives_nothing() {
    for before in [0_u16, 30] {
        let policy = SalePolicy { hold_seconds: 60, closes_before_minutes: before, ..SalePolicy::default() };
        let mut flight = flight(policy);
        let now = at(DEPARTS_MIN - 40);
        decided(&mut flight, &grab("mei", 1), now).unwrap();
        let order = last_order(&flight).no;
        let expired = flight.decide_expiry(now.plus_millis(60_000)).expect("the hold ends");
        happen(&mut flight, expired, now.plus_millis(60_000));
        let amount = flight.order(order).unwrap().total;
        let currency = flight.definition().cabins[0].fare.currency;
        let payment = Some(Payment {
            reference: Reference::new("late").unwrap(),
            covers: Covers::Amount { amount, currency },
        });
        let confirm = Command::Confirm { order: flight.order_id(order).order, payment };
        let ends = at(DEPARTS_MIN - i64::from(before));
        assert!(matches!(flight.decide(&confirm, ends.plus_millis(-1)), Ok(Decision::Record(_))), "{before}");
        let Ok(Decision::RecordRefused(Event::PaymentReturned { .. }, refusal)) =
            flight.decide(&confirm, ends)
        else {
            panic!("{before}: its money is not noted");
        };
        assert_eq!(refusal, Refusal::PaymentReturned { instead: Box::new(Refusal::HoldExpired) });
        assert_eq!(flight.order(order).unwrap().status, OrderStatus::Expired);
    }
}

#[test]
fn nobody_is_served_from_the_waitlist_once_the_sale_has_ended() {
    for before in [0_u16, 30] {
        let policy = SalePolicy { closes_before_minutes: before, ..SalePolicy::default() };
        let mut flight = flight(policy);
        let now = at(DEPARTS_MIN - 40);
        decided(&mut flight, &grab("mei", 6), now).unwrap();
        let order = last_order(&flight).no;
        decided(&mut flight, &wait("jun"), now).unwrap();
        let ends = at(DEPARTS_MIN - i64::from(before));
        let cancel = Command::Cancel { order: flight.order_id(order).order };
        decided(&mut flight, &cancel, ends.plus_millis(-1)).unwrap();
        let in_time = flight.clone();
        assert!(
            in_time.decide_waitlist(&mut LookedThrough::default(), ends.plus_millis(-1)).is_some(),
            "{before}"
        );
        assert_eq!(flight.decide_waitlist(&mut LookedThrough::default(), ends), None, "{before}");
    }
}

#[test]
fn nobody_gets_seats_after_the_moment_until_which_they_wanted_to_wait() {
    let mut flight = flight(SalePolicy::default());
    let now = at(DEPARTS_MIN - 40);
    let until = now.plus_millis(1_000);
    decided(&mut flight, &grab("mei", 6), now).unwrap();
    let order = last_order(&flight).no;
    let Command::JoinWaitlist(wish) = wait("jun") else { panic!("it is a wish") };
    let wish = WaitlistWish { expires_at: Some(until), ..*wish };
    decided(&mut flight, &Command::JoinWaitlist(Box::new(wish)), now).unwrap();
    let first = WaitlistNo(flight.seq().0);
    decided(&mut flight, &wait("lin"), now).unwrap();
    let second = WaitlistNo(flight.seq().0);
    let cancel = Command::Cancel { order: flight.order_id(order).order };
    decided(&mut flight, &cancel, until.plus_millis(-1)).unwrap();
    let served = |flight: &mut Flight, now| match flight.decide_waitlist(&mut LookedThrough::default(), now) {
        Some(Event::WaitlistServed { entry, .. }) => Some(entry),
        other => panic!("nobody is served: {other:?}"),
    };
    assert_eq!(served(&mut flight.clone(), until.plus_millis(-1)), Some(first));
    // Whether or not it has been noted already that the wait is over: of many that end at once, only so many are in a turn.
    assert_eq!(served(&mut flight.clone(), until), Some(second));
    assert!(matches!(flight.decide_expiry(until), Some(Event::WaitlistLeft { entry, .. }) if entry == first));
}

#[test]
fn a_flight_is_created_before_it_leaves_and_its_rules_have_a_bound() {
    assert_eq!(check_departure(at(10), at(9)), Ok(()));
    for now in [at(10), at(11)] {
        let refused = check_departure(at(10), now);
        assert!(matches!(refused, Err(Refusal::Invalid { field: "departs_at", .. })), "{refused:?}");
    }
    let rules = |closes_before_minutes| SalePolicy { closes_before_minutes, ..SalePolicy::default() };
    assert_eq!(check_policy(&rules(CLOSES_BEFORE_MINUTES_MAX)), Ok(()));
    let refused = check_policy(&rules(CLOSES_BEFORE_MINUTES_MAX + 1));
    assert!(matches!(refused, Err(Refusal::Invalid { field: "closes_before_minutes", .. })), "{refused:?}");
}
