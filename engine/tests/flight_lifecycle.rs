//! An order's life at its edges: payment before, at and after the deadline, revival, and keys of requests. Every moment
//! is an argument, so nothing here waits.

mod unlocked;

use farerush_engine::flight::payment::RETURNED_PAYMENTS_MAX;
use farerush_engine::flight::requests::fingerprint_of_creation;
use farerush_engine::flight::retention::REQUEST_RETENTION_MS;
use farerush_engine::flight::{
    Cabin, CabinClass, Cause, Command, Covers, Currency, CustomerId, Decision, EndedLongAgo, Event, Fare,
    Flight, FlightDefinition, FlightId, FlightIds, Grab, IdempotencyKey, Layout, LimitScope, OrderNo,
    OrderRef, OrderStatus, PassengerName, Passengers, Payment, PolicyChange, Recorded, Reference, Refusal,
    ReturnedBecause, SalePolicy, Salt, Seat, SeatPlan, Seats, Seq, Timestamp, Together, Wanted,
};
use unlocked::unlocked;

const START: i64 = 1_800_000_000_000;
const HOLD_MS: i64 = 60_000;
const GRACE_MS: i64 = 90_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn definition() -> FlightDefinition {
    let fare = Fare { amount: 100, currency: Currency::new("TWD").unwrap() };
    let layout = Layout::new("ABC DEF").unwrap();
    FlightDefinition {
        flight_id: FlightId::new("FR1-20261224").unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(2_000_000_000_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![Cabin { cabin_class: CabinClass::Economy, first_row: 1, last_row: 4, layout, fare }],
        ids: FlightIds::new(Salt(7)),
    }
}

fn policy() -> SalePolicy {
    SalePolicy { opens_at: Some(at(0)), hold_seconds: 60, payment_grace_seconds: 90, ..SalePolicy::default() }
}

/// A flight, driven as its actor drives it: what has run out expires first.
struct Driven {
    flight: Flight,
    history: Vec<Recorded>,
}

impl Driven {
    fn new() -> Self {
        let event = Event::FlightCreated { definition: Box::new(definition()), policy: policy() };
        let first = Recorded { seq: Seq(1), at: at(0), event, cause: None, head: None };
        Self { flight: unlocked(Flight::create(&first)), history: vec![first] }
    }

    fn record(&mut self, now: Timestamp, event: Event, cause: Option<Box<Cause>>) {
        let recorded = Recorded {
            seq: self.flight.seq().next(),
            at: now.max(self.flight.last_at()),
            event,
            cause,
            head: None,
        };
        self.flight.apply(&recorded);
        self.flight.check().unwrap();
        self.history.push(recorded);
    }

    fn expire(&mut self, now: Timestamp) -> usize {
        let mut expired = 0;
        while let Some(event) = self.flight.decide_expiry(now) {
            self.record(now, event, None);
            expired += 1;
        }
        expired
    }

    fn ask(&mut self, millis: i64, command: &Command) -> Result<Decision, Refusal> {
        let now = at(millis);
        self.expire(now);
        match self.flight.decide(&self.exact(command), now)? {
            Decision::RecordRefused(event, refusal) => {
                self.record(now, event, None);
                Err(refusal)
            }
            decision => {
                if let Decision::Record(event) = &decision {
                    self.record(now, event.clone(), None);
                }
                Ok(decision)
            }
        }
    }

    /// The command, with what the order costs where that is to be paid.
    fn exact(&self, command: &Command) -> Command {
        match command {
            Command::Confirm {
                order,
                payment: Some(Payment { reference, covers: Covers::OrderAt(Seq(0)) }),
            } => {
                let total = self.flight.find(*order).map_or(0, |order| order.total);
                told(*order, reference.as_str(), paid(total, "TWD"))
            }
            other => other.clone(),
        }
    }

    fn ask_under(&mut self, millis: i64, key: &str, command: &Command) -> Result<Decision, Refusal> {
        let (now, key, command) = (at(millis), IdempotencyKey::new(key).unwrap(), &self.exact(command));
        self.expire(now);
        let decision = self.flight.decide_under(None, &key, command.fingerprint(), command, now)?;
        if let Decision::RecordRefused(event, refusal) = decision {
            self.record(now, event, None);
            return Err(refusal);
        }
        if let Decision::Record(event) = &decision {
            let idempotency = Some((key, command.fingerprint()));
            self.record(now, event.clone(), Some(Box::new(Cause { by: None, idempotency })));
        }
        Ok(decision)
    }

    fn grab(&mut self, millis: i64, customer: &str, seats: &[&str]) -> OrderRef {
        let command = Command::Grab(grab(customer, seats));
        let Ok(Decision::Record(Event::OrderPlaced(_))) = self.ask(millis, &command) else {
            panic!("not granted");
        };
        self.flight.order_id(OrderNo(self.flight.seq().0)).order
    }

    fn status(&self, order: OrderRef) -> OrderStatus {
        self.flight.find(order).unwrap().status
    }

    fn deadline(&self, order: OrderRef) -> Option<Timestamp> {
        self.flight.find(order).unwrap().hold_expires_at
    }

    /// Whether history and snapshot give this very state.
    fn comes_back(&self) {
        let mut again = Flight::create(&self.history[0]).unwrap();
        self.history[1..].iter().for_each(|recorded| again.apply(recorded));
        assert_eq!(again.digest(), self.flight.digest(), "replay");
        assert_eq!(again.snapshot(), self.flight.snapshot());
        let restored = Flight::restore(self.flight.snapshot()).unwrap();
        assert_eq!(restored.digest(), self.flight.digest(), "snapshot");
    }
}

fn seats(names: &[&str]) -> Seats {
    names.iter().map(|name| name.parse::<Seat>().unwrap()).collect()
}

fn grab(customer: &str, names: &[&str]) -> Grab {
    Grab {
        customer: CustomerId::new(customer).unwrap(),
        wanted: Wanted::Named(seats(names)),
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: None,
    }
}

/// Paid with what the order costs when it is asked: `Driven` puts that in.
fn confirm(order: OrderRef, payment: &str) -> Command {
    told(order, payment, Covers::OrderAt(Seq(0)))
}

fn paid(amount: i64, currency: &str) -> Covers {
    Covers::Amount { amount, currency: Currency::new(currency).unwrap() }
}

fn told(order: OrderRef, payment: &str, covers: Covers) -> Command {
    let reference = Reference::new(payment).unwrap();
    Command::Confirm { order, payment: Some(Payment { reference, covers }) }
}

fn is_revival(decision: &Result<Decision, Refusal>) -> bool {
    matches!(decision, Ok(Decision::Record(Event::OrderRevived { .. })))
}

#[test]
fn a_payment_in_the_last_millisecond_is_in_time_and_one_after_is_not() {
    for (millis, in_time) in [(HOLD_MS - 1, true), (HOLD_MS, false), (HOLD_MS + 1, false)] {
        let mut driven = Driven::new();
        let order = driven.grab(0, "a", &["1A", "1B"]);
        // Somebody is there first, once the seats are free: so a late payment has nothing to revive.
        let taken = driven.ask(millis, &Command::Grab(grab("b", &["1B"])));
        assert_eq!(taken.is_err(), in_time, "{millis}");
        let paid = driven.ask(millis, &confirm(order, "pay-1"));
        if in_time {
            assert!(matches!(paid, Ok(Decision::Record(Event::OrderConfirmed { .. }))), "{paid:?}");
            assert_eq!((driven.status(order), driven.deadline(order)), (OrderStatus::Confirmed, None));
        } else {
            let instead = Box::new(Refusal::HoldExpired);
            assert_eq!(paid, Err(Refusal::PaymentReturned { instead }), "{millis}");
        }
        driven.comes_back();
    }
}

/// Whoever decides with a clock that is behind decides as of the flight's last event, not before it.
#[test]
fn a_moment_before_the_last_event_is_the_moment_of_that_event() {
    let mut driven = Driven::new();
    let closes = PolicyChange { closes_at: Some(Some(at(1_000))), ..PolicyChange::default() };
    driven.ask(10, &Command::ChangePolicy(closes)).unwrap();
    let order = driven.grab(20, "a", &["1A"]);
    driven.ask(2_000, &Command::Cancel { order }).unwrap();
    for millis in [2_000, 999, 500, 0, -1_000_000] {
        let late = driven.flight.decide(&Command::Grab(grab("b", &["1B"])), at(millis));
        assert_eq!(late, Err(Refusal::SaleClosed), "{millis}");
    }
    let held = Driven::new().grab(0, "a", &["1A"]);
    let mut driven = Driven::new();
    assert_eq!(driven.grab(0, "a", &["1A"]), held);
    driven.record(at(HOLD_MS), Event::SeatsBlocked { seats: seats(&["2A"]) }, None);
    assert_eq!(driven.expire(at(0)), 1, "by the time of its last event the hold has run out");
}

#[test]
fn a_payment_begun_in_the_last_millisecond_moves_the_deadline_and_one_after_does_not() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A"]);
    let begun = driven.ask(HOLD_MS - 1, &Command::Pay { order });
    let until = at(HOLD_MS - 1 + GRACE_MS);
    let expected = Event::PaymentBegun { order: order.no, hold_expires_at: until };
    assert_eq!(begun, Ok(Decision::Record(expected)));
    assert_eq!(driven.deadline(order), Some(until));
    assert_eq!(driven.flight.find(order).unwrap().payment_begun_at(), Some(at(HOLD_MS - 1)));
    // Once only: nobody holds seats for ever by saying again and again that they are about to pay.
    assert_eq!(driven.ask(HOLD_MS, &Command::Pay { order }), Ok(Decision::Unchanged(Some(order.no))));
    assert_eq!(driven.deadline(order), Some(until));
    assert!(driven.ask(HOLD_MS + GRACE_MS - 2, &confirm(order, "p")).is_ok());
    assert_eq!(driven.status(order), OrderStatus::Confirmed);
    assert_eq!(
        driven.ask(HOLD_MS + GRACE_MS, &Command::Pay { order }),
        Ok(Decision::Unchanged(Some(order.no)))
    );
    driven.comes_back();

    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A"]);
    assert_eq!(driven.ask(HOLD_MS, &Command::Pay { order }), Err(Refusal::HoldExpired));
    // Not even if the expiry itself is still to come.
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A"]);
    assert_eq!(driven.flight.decide(&Command::Pay { order }, at(HOLD_MS)), Err(Refusal::HoldExpired));
}

#[test]
fn a_payment_that_begins_early_shortens_no_hold() {
    let mut driven = Driven::new();
    let change = PolicyChange { payment_grace_seconds: Some(0), ..PolicyChange::default() };
    driven.ask(0, &Command::ChangePolicy(change)).unwrap();
    let order = driven.grab(0, "a", &["1A"]);
    assert!(driven.ask(1, &Command::Pay { order }).is_ok());
    assert_eq!(driven.deadline(order), Some(at(HOLD_MS)));
    assert_eq!(driven.flight.find(order).unwrap().payment_begun_at(), Some(at(1)));
    assert_eq!(driven.ask(2, &Command::Cancel { order }).map(|_| ()), Ok(()));
    let refused = driven.ask(3, &Command::Pay { order });
    assert!(matches!(refused, Err(Refusal::OrderNotChangeable { .. })), "{refused:?}");
    let unknown = OrderRef { no: OrderNo(77), tag: 1 };
    assert_eq!(driven.ask(3, &Command::Pay { order: unknown }), Err(Refusal::OrderNotFound));
    driven.comes_back();
}

#[test]
fn an_expiry_returns_its_seats_exactly_once() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A", "1B"]);
    driven.grab(1, "b", &["2A"]);
    assert_eq!(driven.flight.map().free(), 21);
    assert_eq!(driven.expire(at(HOLD_MS - 1)), 0);
    assert_eq!((driven.expire(at(HOLD_MS)), driven.flight.map().free()), (1, 23));
    assert_eq!((driven.expire(at(HOLD_MS)), driven.flight.map().free()), (0, 23));
    assert_eq!(driven.ask(HOLD_MS, &Command::Cancel { order }), Ok(Decision::Unchanged(Some(order.no))));
    assert_eq!(driven.flight.map().free(), 23);
    assert_eq!((driven.expire(at(10 * HOLD_MS)), driven.flight.map().free()), (1, 24));
    let expiries =
        driven.history.iter().filter(|recorded| matches!(recorded.event, Event::OrderExpired { .. }));
    assert_eq!(expiries.count(), 2);
    driven.comes_back();
}

#[test]
fn an_expired_order_whose_seats_are_free_is_confirmed_in_one_step() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A", "1B"]);
    let other = driven.grab(0, "a", &["1C"]);
    let revived = driven.ask(5 * HOLD_MS, &confirm(order, "late"));
    assert!(is_revival(&revived), "{revived:?}");
    assert_eq!((driven.status(order), driven.flight.map().free()), (OrderStatus::Confirmed, 22));
    assert_eq!(driven.status(other), OrderStatus::Expired);
    assert_eq!(driven.flight.find(order).unwrap().payment_reference().unwrap().as_str(), "late");
    assert_eq!(driven.ask(5 * HOLD_MS, &confirm(order, "late")), Ok(Decision::Unchanged(Some(order.no))));
    driven.comes_back();
    // It is an order like any other again: it is not forgotten, and it can be given up.
    driven.ask(30 * 3_600_000, &Command::PauseSale).unwrap();
    assert_eq!(driven.status(order), OrderStatus::Confirmed);
    assert!(driven.flight.find(other).is_none());
    assert!(driven.ask(30 * 3_600_000, &Command::Cancel { order }).is_ok());
    assert_eq!(driven.flight.map().free(), 24);
    driven.comes_back();
}

#[test]
fn an_expired_order_stays_so_where_it_cannot_be_had_again() {
    type Meanwhile = fn(&mut Driven);
    let table: [(&str, Meanwhile, Refusal); 5] = [
        ("a seat is somebody else's", |driven| _ = driven.grab(HOLD_MS, "b", &["1B"]), Refusal::HoldExpired),
        (
            "a seat is off sale",
            |driven| drop(driven.ask(HOLD_MS, &Command::Block(seats(&["1A"]))).unwrap()),
            Refusal::HoldExpired,
        ),
        (
            "the sale is closed",
            |driven| drop(driven.ask(HOLD_MS, &Command::CloseSale).unwrap()),
            Refusal::HoldExpired,
        ),
        (
            "the customer has others now",
            |driven| _ = driven.grab(HOLD_MS, "a", &["3A", "3B", "3C", "3D", "3E", "3F", "4A", "4B"]),
            Refusal::LimitExceeded { scope: LimitScope::Customer, limit: 9, holding: 8 },
        ),
        (
            "it is forgotten",
            |driven| drop(driven.ask(25 * 3_600_000, &Command::PauseSale).unwrap()),
            Refusal::OrderNotFound,
        ),
    ];
    for (name, meanwhile, refusal) in table {
        let mut driven = Driven::new();
        let order = driven.grab(0, "a", &["1A", "1B"]);
        driven.expire(at(HOLD_MS));
        meanwhile(&mut driven);
        let late = HOLD_MS.max(driven.flight.last_at().as_millis() - START);
        // What is known here has its money noted; what is forgotten has not.
        let expected = match refusal {
            Refusal::OrderNotFound => refusal,
            refusal => Refusal::PaymentReturned { instead: Box::new(refusal) },
        };
        assert_eq!(driven.ask(late, &confirm(order, "late")), Err(expected), "{name}");
        driven.comes_back();
    }
    // A pause keeps nobody from what was theirs.
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A", "1B"]);
    driven.ask(HOLD_MS, &Command::PauseSale).unwrap();
    assert!(is_revival(&driven.ask(HOLD_MS, &confirm(order, "late"))));
}

#[test]
fn a_key_is_one_request_whatever_it_asks_for() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A"]);
    let pay = Command::Pay { order };
    assert!(matches!(driven.ask_under(1, "k", &pay), Ok(Decision::Record(_))));
    let seq = driven.flight.seq();
    for _ in 0..3 {
        assert_eq!(driven.ask_under(2, "k", &pay), Ok(Decision::Replayed(Some(order.no))));
    }
    assert_eq!(driven.flight.seq(), seq, "a repeated request records nothing");
    // Paid meanwhile, it is the same order, as it is then.
    driven.ask_under(3, "k2", &confirm(order, "p")).unwrap();
    assert_eq!(driven.ask_under(4, "k", &pay), Ok(Decision::Replayed(Some(order.no))));
    for other in [confirm(order, "p"), Command::Cancel { order }] {
        assert_eq!(driven.ask_under(5, "k", &other), Err(Refusal::IdempotencyKeyReused), "{other:?}");
    }
    assert_eq!(driven.ask_under(5, "k2", &confirm(order, "q")), Err(Refusal::IdempotencyKeyReused));
    // A grab's keys and these are of one kind.
    let under = |key: &str, grab: Grab| {
        Command::Grab(Grab { idempotency_key: Some(IdempotencyKey::new(key).unwrap()), ..grab })
    };
    assert_eq!(driven.ask(6, &under("k", grab("a", &["2A"]))), Err(Refusal::IdempotencyKeyReused));
    assert!(driven.ask(6, &under("g", grab("a", &["2A"]))).is_ok());
    assert_eq!(driven.ask_under(7, "g", &Command::Cancel { order }), Err(Refusal::IdempotencyKeyReused));
    assert!(matches!(driven.ask_under(8, "s", &Command::PauseSale), Ok(Decision::Record(_))));
    assert_eq!(driven.ask_under(9, "s", &Command::PauseSale), Ok(Decision::Replayed(None)));
    driven.comes_back();
}

#[test]
fn what_changes_nothing_is_remembered_under_its_key_and_a_refusal_is_not() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A"]);
    driven.ask(1, &confirm(order, "p")).unwrap();
    assert!(driven.ask_under(2, "k", &confirm(order, "q")).is_err());
    assert_eq!(driven.flight.requests().count(), 0);
    let nothing = |decision| matches!(decision, Ok(Decision::Record(Event::NothingChanged { .. })));
    assert!(nothing(driven.ask_under(3, "k", &confirm(order, "p"))));
    assert_eq!(driven.flight.requests().count(), 1);
    driven.ask(4, &Command::OpenSale).unwrap();
    assert!(nothing(driven.ask_under(5, "open-2", &Command::OpenSale)));
    // What it would do by now, it does not do.
    driven.ask(6, &Command::PauseSale).unwrap();
    assert_eq!(driven.ask_under(7, "open-2", &Command::OpenSale), Ok(Decision::Replayed(None)));
    driven.comes_back();
}

#[test]
fn a_key_belongs_to_its_customer_and_the_admins_have_their_own() {
    let mut driven = Driven::new();
    let key = IdempotencyKey::new("k").unwrap();
    let under = |grab: Grab| Command::Grab(Grab { idempotency_key: Some(key.clone()), ..grab });
    // Two customers grab under one key, and each has a second request under another one that both use.
    let mut orders = Vec::new();
    for (customer, seat) in [("a", "1A"), ("b", "1B")] {
        let command = under(grab(customer, &[seat]));
        assert!(matches!(driven.ask(1, &command), Ok(Decision::Record(Event::OrderPlaced(_)))), "{customer}");
        let no = OrderNo(driven.flight.seq().0);
        assert_eq!(driven.ask(2, &command), Ok(Decision::Replayed(Some(no))), "{customer}");
        orders.push(driven.flight.order_id(no).order);
    }
    for order in &orders {
        let pay = Command::Pay { order: *order };
        assert!(matches!(driven.ask_under(3, "k2", &pay), Ok(Decision::Record(_))));
        assert_eq!(driven.ask_under(4, "k2", &pay), Ok(Decision::Replayed(Some(order.no))));
        assert_eq!(
            driven.ask_under(4, "k2", &Command::Cancel { order: *order }),
            Err(Refusal::IdempotencyKeyReused)
        );
    }
    for text in ["k", "k2"] {
        assert!(matches!(driven.ask_under(5, text, &Command::PauseSale), Ok(Decision::Record(_))), "{text}");
        driven.ask(6, &Command::OpenSale).unwrap();
        assert_eq!(driven.ask_under(7, text, &Command::PauseSale), Ok(Decision::Replayed(None)), "{text}");
    }
    driven.comes_back();
}

#[test]
fn a_key_is_free_again_after_a_day() {
    let mut driven = Driven::new();
    driven.ask_under(0, "k", &Command::PauseSale).unwrap();
    driven.ask(REQUEST_RETENTION_MS, &Command::OpenSale).unwrap();
    assert_eq!(
        driven.ask_under(REQUEST_RETENTION_MS, "k", &Command::PauseSale),
        Ok(Decision::Replayed(None)),
        "24 hours are not over"
    );
    driven.comes_back();
    driven.ask(REQUEST_RETENTION_MS + 1, &Command::CloseSale).unwrap();
    assert_eq!(driven.flight.requests().count(), 0);
    assert!(matches!(
        driven.ask_under(REQUEST_RETENTION_MS + 1, "k", &Command::PauseSale),
        Ok(Decision::Record(_))
    ));
    driven.comes_back();
}

#[test]
fn fingerprints_tell_requests_apart() {
    let (one, two) = (OrderRef { no: OrderNo(2), tag: 5 }, OrderRef { no: OrderNo(3), tag: 5 });
    let change = |seats: Option<Seats>, passengers: Option<Passengers>| Command::Change {
        order: one,
        seats,
        passengers,
    };
    let nobody: Passengers = [].into_iter().collect();
    let unnamed: Passengers = [None].into_iter().collect();
    let opens = |at| PolicyChange { opens_at: at, ..PolicyChange::default() };
    let cabin = definition().cabins[0].clone();
    let fare = cabin.fare;
    let plan = |plan, cancel_stranded| Command::ChangeSeatPlan { plan, cancel_stranded };
    let template = |fare, fares: &[(CabinClass, Fare)]| SeatPlan::Template {
        aircraft: "A320".into(),
        fare,
        fares: fares.to_vec(),
    };
    let commands = [
        Command::Grab(grab("a", &["1A"])),
        Command::Grab(Grab {
            wanted: Wanted::Quantity { quantity: 1, together: Together::Any },
            ..grab("a", &["1A"])
        }),
        Command::Confirm { order: one, payment: None },
        confirm(one, "p"),
        confirm(two, "p"),
        told(one, "p", paid(100, "TWD")),
        told(one, "p", paid(100, "EUR")),
        told(one, "p", paid(101, "TWD")),
        told(one, "p", Covers::OrderAt(Seq(3))),
        Command::Cancel { order: one },
        Command::Cancel { order: two },
        Command::Pay { order: one },
        change(None, Some(nobody)),
        change(None, Some(unnamed)),
        change(Some(seats(&["1A"])), None),
        change(Some(seats(&["1A", "1B"])), None),
        Command::OpenSale,
        Command::PauseSale,
        Command::CloseSale,
        Command::CloseForGood,
        plan(SeatPlan::WithoutRows { first: 1, last: 2 }, false),
        plan(SeatPlan::WithoutRows { first: 1, last: 2 }, true),
        plan(SeatPlan::Without(seats(&["1A"])), false),
        plan(SeatPlan::Aircraft { aircraft: None, cabins: vec![cabin.clone()] }, false),
        plan(template(None, &[]), false),
        plan(template(Some(fare), &[]), false),
        plan(template(None, &[(CabinClass::Economy, fare)]), false),
        Command::ChangePolicy(opens(None)),
        Command::ChangePolicy(opens(Some(None))),
        Command::ChangePolicy(opens(Some(Some(at(0))))),
        Command::ChangePolicy(PolicyChange { hold_seconds: Some(7), ..opens(None) }),
        Command::ChangePolicy(PolicyChange { payment_grace_seconds: Some(7), ..opens(None) }),
        Command::Block(seats(&["1A"])),
        Command::Unblock(seats(&["1A"])),
        Command::AddRows(cabin.clone()),
        Command::AddRows(Cabin { last_row: 5, ..cabin }),
    ];
    for (place, command) in commands.iter().enumerate() {
        assert_eq!(command.fingerprint(), command.clone().fingerprint());
        for other in &commands[..place] {
            assert_ne!(command.fingerprint(), other.fingerprint(), "{command:?} {other:?}");
        }
    }
    let created = fingerprint_of_creation(&definition(), &policy(), false);
    let salted = FlightDefinition { ids: FlightIds::new(Salt(8)), ..definition() };
    assert_eq!(created, fingerprint_of_creation(&salted, &policy(), false), "nobody asks for a salt");
    assert_ne!(created, fingerprint_of_creation(&definition(), &policy(), true));
    assert_ne!(created, fingerprint_of_creation(&definition(), &SalePolicy::default(), false));
}

fn returned(history: &[Recorded]) -> Vec<(&str, i64, ReturnedBecause)> {
    let events = history.iter().filter_map(|recorded| match &recorded.event {
        Event::PaymentReturned { payment_reference, amount, because, .. } => {
            Some((payment_reference.as_str(), *amount, *because))
        }
        _ => None,
    });
    events.collect()
}

#[test]
fn an_order_is_confirmed_only_by_what_it_costs() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A", "1B"]);
    let twd = Currency::new("TWD").unwrap();
    let mismatch = Err(Refusal::AmountMismatch { total: 200, currency: twd, seq: Seq(2) });
    for covers in [paid(199, "TWD"), paid(201, "TWD"), paid(200, "EUR"), Covers::OrderAt(Seq(1))] {
        assert_eq!(driven.ask(1, &told(order, "p", covers)), mismatch, "{covers:?}");
    }
    let nothing = driven.ask(1, &Command::Confirm { order, payment: None });
    assert_eq!(nothing, Err(Refusal::PaymentNeeded { total: 200, currency: twd }));
    assert_eq!((driven.status(order), returned(&driven.history)), (OrderStatus::Held, vec![]));
    assert!(driven.ask(2, &told(order, "p", Covers::OrderAt(Seq(2)))).is_ok());
    assert_eq!(driven.status(order), OrderStatus::Confirmed);
    driven.comes_back();
}

#[test]
fn the_price_of_an_order_does_not_change_once_its_payment_has_begun() {
    let mut driven = Driven::new();
    let dear = Cabin {
        cabin_class: CabinClass::Business,
        first_row: 10,
        last_row: 10,
        fare: Fare { amount: 900, currency: Currency::new("TWD").unwrap() },
        layout: Layout::new("AC DF").unwrap(),
    };
    driven.ask(0, &Command::AddRows(dear)).unwrap();
    let order = driven.grab(0, "a", &["1A", "1B"]);
    let moved = |names: &[&str]| Command::Change { order, seats: Some(seats(names)), passengers: None };
    driven.ask(1, &Command::Pay { order }).unwrap();
    let refused = driven.ask(2, &moved(&["10A", "10C"]));
    assert!(matches!(refused, Err(Refusal::OrderNotChangeable { .. })), "{refused:?}");
    assert!(driven.ask(2, &moved(&["2A", "2B"])).is_ok(), "seats at the same price");
    // Somebody who was shown a price before the order was moved pays that, and nothing is confirmed by it.
    let other = driven.grab(3, "b", &["3A"]);
    let dearer = Command::Change { order: other, seats: Some(seats(&["10A"])), passengers: None };
    driven.ask(4, &dearer).unwrap();
    let refused = driven.ask(5, &told(other, "q", paid(100, "TWD")));
    assert!(matches!(refused, Err(Refusal::AmountMismatch { total: 900, .. })), "{refused:?}");
    driven.comes_back();
}

#[test]
fn money_that_came_for_nothing_is_noted_once_for_each_payment() {
    let mut driven = Driven::new();
    let (twice, given_up, late) =
        (driven.grab(0, "a", &["1A"]), driven.grab(0, "b", &["1B"]), driven.grab(0, "c", &["1C", "2C"]));
    driven.ask(1, &told(twice, "p1", paid(100, "TWD"))).unwrap();
    driven.ask(2, &told(given_up, "p2", paid(100, "TWD"))).unwrap();
    driven.ask(3, &Command::Cancel { order: given_up }).unwrap();
    driven.grab(HOLD_MS, "d", &["2C"]);
    for _ in 0..3 {
        for (order, payment, amount) in [(twice, "p3", 100), (given_up, "p4", 70), (late, "p5", 200)] {
            let refused = driven.ask(HOLD_MS + 1, &told(order, payment, paid(amount, "TWD")));
            assert!(matches!(refused, Err(Refusal::PaymentReturned { .. })), "{payment}: {refused:?}");
        }
    }
    // The payment that had confirmed an order is no other one: the cancel gave it back.
    let again = driven.ask(HOLD_MS + 1, &told(given_up, "p2", paid(100, "TWD")));
    assert!(matches!(again, Err(Refusal::OrderNotChangeable { .. })), "{again:?}");
    let expected = [
        ("p3", 100, ReturnedBecause::PaidAlready),
        ("p4", 70, ReturnedBecause::Cancelled),
        ("p5", 200, ReturnedBecause::TooLate),
    ];
    assert_eq!(returned(&driven.history), expected);
    driven.comes_back();
    // What one order can have noted is bounded.
    for number in 0..2 * RETURNED_PAYMENTS_MAX {
        let refused = driven.ask(HOLD_MS + 2, &told(twice, &format!("q{number}"), paid(1, "TWD")));
        assert!(refused.is_err());
    }
    assert_eq!(driven.flight.find(twice).unwrap().returned_payments().len(), RETURNED_PAYMENTS_MAX);
    driven.comes_back();
}

#[test]
fn a_payment_for_an_order_that_is_forgotten_is_noted_once_and_changes_nothing_else() {
    const DAYS: i64 = 3 * 24 * 3_600_000;
    let mut driven = Driven::new();
    let expired = driven.grab(0, "a", &["1A"]);
    let given_up = driven.grab(0, "b", &["1B"]);
    driven.ask(2, &told(given_up, "p2", paid(100, "TWD"))).unwrap();
    driven.ask(3, &Command::Cancel { order: given_up }).unwrap();
    driven.expire(at(HOLD_MS));
    driven.ask(DAYS, &Command::Block(seats(&["4F"]))).unwrap();
    assert!(driven.flight.find(expired).is_none());
    let pay = |order: OrderRef, text: &str, status, returned: &[&str]| Command::ReturnPayment {
        order,
        payment: Payment { reference: Reference::new(text).unwrap(), covers: paid(100, "TWD") },
        ended: EndedLongAgo {
            status,
            total: 100,
            payment_reference: (order == given_up).then(|| Reference::new("p2").unwrap()),
            returned: returned.iter().map(|text| Reference::new(text).unwrap()).collect(),
        },
    };
    let noted = |instead| Err(Refusal::PaymentReturned { instead: Box::new(instead) });
    let ended = Refusal::OrderNotChangeable { reason: "it ended long ago" };
    let late = pay(expired, "late", OrderStatus::Expired, &[]);
    assert_eq!(driven.ask(DAYS, &late), noted(Refusal::HoldExpired));
    assert_eq!(driven.ask(DAYS, &pay(given_up, "p4", OrderStatus::Cancelled, &[])), noted(ended.clone()));
    let seq = driven.flight.seq();
    // What the store has noted is noted; the payment that had confirmed it went back with the order.
    let again = pay(expired, "late", OrderStatus::Expired, &["late"]);
    assert_eq!(driven.ask(DAYS, &again), noted(Refusal::HoldExpired));
    assert_eq!(driven.ask(DAYS, &pay(given_up, "p2", OrderStatus::Cancelled, &["p4"])), Err(ended));
    // One that never was, and one of another flight's making.
    let never = OrderRef { no: OrderNo(9_999), ..expired };
    assert_eq!(driven.ask(DAYS, &pay(never, "p5", OrderStatus::Expired, &[])), Err(Refusal::OrderNotFound));
    let guessed = OrderRef { tag: given_up.tag, ..expired };
    assert_eq!(driven.ask(DAYS, &pay(guessed, "p6", OrderStatus::Expired, &[])), Err(Refusal::OrderNotFound));
    assert_eq!(driven.ask(DAYS, &pay(expired, "p7", OrderStatus::Held, &[])), Err(Refusal::OrderNotFound));
    assert_eq!(driven.flight.seq(), seq);
    let expected = [("late", 100, ReturnedBecause::TooLate), ("p4", 100, ReturnedBecause::Cancelled)];
    assert_eq!(returned(&driven.history), expected);
    assert_eq!(driven.flight.map().free(), 23);
    driven.comes_back();
    // An order that the flight does know is decided on by what it knows.
    let known = driven.grab(DAYS, "c", &["1C"]);
    assert!(driven.ask(DAYS + 1, &pay(known, "p8", OrderStatus::Expired, &[])).is_ok());
    assert_eq!(driven.status(known), OrderStatus::Confirmed);
}

#[test]
fn an_order_that_costs_nothing_is_confirmed_without_a_payment() {
    let mut driven = Driven::new();
    let free = Cabin {
        cabin_class: CabinClass::Business,
        first_row: 10,
        last_row: 10,
        fare: Fare { amount: 0, currency: Currency::new("TWD").unwrap() },
        layout: Layout::new("AC DF").unwrap(),
    };
    driven.ask(0, &Command::AddRows(free)).unwrap();
    let order = driven.grab(0, "a", &["10A"]);
    let nothing = Command::Confirm { order, payment: None };
    assert!(matches!(driven.ask(1, &nothing), Ok(Decision::Record(Event::OrderConfirmed { .. }))));
    assert_eq!(driven.ask(2, &nothing), Ok(Decision::Unchanged(Some(order.no))));
    let late = driven.grab(3, "a", &["10C"]);
    assert!(is_revival(&driven.ask(5 * HOLD_MS, &Command::Confirm { order: late, payment: None })));
    driven.comes_back();
}

#[test]
fn a_list_of_passengers_names_every_seat_or_nothing_changes() {
    let mut driven = Driven::new();
    let order = driven.grab(0, "a", &["1A", "1B"]);
    let name = |text: &str| Some(PassengerName::new(text).unwrap());
    let both: Passengers = [name("Mei"), name("Tao")].into_iter().collect();
    let named = |names: Passengers| Command::Change { order, seats: None, passengers: Some(names) };
    driven.ask(1, &named(both.clone())).unwrap();
    for wrong in [vec![name("Ana")], vec![], vec![name("A"), name("B"), name("C")]] {
        let refused = driven.ask(2, &named(wrong.into_iter().collect()));
        assert!(matches!(refused, Err(Refusal::Invalid { field: "passengers", .. })), "{refused:?}");
    }
    let kept = driven.flight.find(order).unwrap().extras.as_ref().unwrap().passengers.clone();
    assert_eq!(kept, Some(both));
    assert!(driven.ask(3, &named([name("Mei"), None].into_iter().collect())).is_ok(), "a place may be empty");
}
