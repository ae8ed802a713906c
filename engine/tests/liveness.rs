//! Liveness: an open flight with a free seat sells it to somebody new, whatever others have done before. The kill switches
//! one by one, and random histories with hostile customers.
//!
//! `FARERUSH_TEST_CASES` sets how many histories (2,000), `FARERUSH_TEST_SEED` (64 hexadecimal digits) replays a run.

mod seed;
mod unlocked;

use farerush_engine::flight::budget::{THINGS_PER_CUSTOMER, THINGS_PER_SEAT};
use farerush_engine::flight::waitlist::WAITING_MAX;
use farerush_engine::flight::{
    Accept, AdminName, Budget, Cabin, CabinClass, Cause, Command, Covers, Currency, CustomerId, Decision,
    Event, Fare, Flight, FlightDefinition, FlightId, FlightIds, Grab, IdempotencyKey, Layout, LookedThrough,
    OrderNo, OrderRef, PassengerName, Payment, PolicyChange, QuotaOf, Recorded, Reference, Refusal,
    SalePolicy, Salt, Seq, Timestamp, Together, WaitlistId, WaitlistNo, WaitlistRef, WaitlistWish, Wanted,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use unlocked::unlocked;

const START: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 24 * 3600 * 1000;
const ROWS: u16 = 4;

/// A flight, driven as its actor drives it.
struct Driven {
    flight: Flight,
    looked: LookedThrough,
    history: Vec<Recorded>,
    now: Timestamp,
}

impl Driven {
    fn new(policy: SalePolicy) -> Self {
        let fare = Fare { amount: 100, currency: Currency::new("TWD").unwrap() };
        let layout = Layout::new("ABC DEF").unwrap();
        let definition = FlightDefinition {
            flight_id: FlightId::new("FR1-20261224").unwrap(),
            flight_number: "FR1".into(),
            origin: "TPE".into(),
            destination: "NRT".into(),
            departs_at: Timestamp::from_millis(START + 1000 * DAY_MS),
            aircraft: None,
            origin_time_zone: None,
            cabins: vec![Cabin {
                cabin_class: CabinClass::Economy,
                first_row: 1,
                last_row: ROWS,
                layout,
                fare,
            }],
            ids: FlightIds::new(Salt(7)),
        };
        let now = Timestamp::from_millis(START);
        let policy = SalePolicy { opens_at: Some(now), ..policy };
        let event = Event::FlightCreated { definition: Box::new(definition), policy };
        let first = Recorded { seq: Seq(1), at: now, event, cause: None, head: None };
        Self {
            flight: unlocked(Flight::create(&first)),
            looked: LookedThrough::default(),
            history: vec![first],
            now,
        }
    }

    fn record(&mut self, event: Event, cause: Option<Box<Cause>>) {
        let at = self.now.max(self.flight.last_at());
        let recorded = Recorded { seq: self.flight.seq().next(), at, event, cause, head: None };
        self.flight.apply(&recorded);
        self.flight.check_now().unwrap();
        self.history.push(recorded);
    }

    fn settle(&mut self) {
        while let Some(event) = self.flight.decide_expiry(self.now) {
            self.record(event, None);
        }
        while let Some(event) = self.flight.decide_waitlist(&mut self.looked, self.now) {
            self.record(event, None);
        }
    }

    /// The payment of what an order costs, and of nothing where it is not known.
    fn paid(&self, order: OrderRef) -> Command {
        let covers = Covers::OrderAt(self.flight.find(order).map_or(Seq(0), |order| order.changed_by));
        Command::Confirm { order, payment: Some(Payment { reference: Reference::new("p").unwrap(), covers }) }
    }

    fn ask(&mut self, command: &Command) -> Result<Decision, Refusal> {
        self.settle();
        let decision = self.flight.decide(command, self.now)?;
        if let Decision::RecordRefused(event, refusal) = decision {
            self.record(event, None);
            self.settle();
            return Err(refusal);
        }
        if let Decision::Record(event) = &decision {
            self.record(event.clone(), None);
        }
        self.settle();
        Ok(decision)
    }

    fn ask_under(&mut self, by: Option<&str>, key: &str, command: &Command) -> Result<Decision, Refusal> {
        self.settle();
        let (by, key) = (by.map(|name| AdminName::new(name).unwrap()), IdempotencyKey::new(key).unwrap());
        let print = command.fingerprint();
        let decision = self.flight.decide_under(by.as_ref(), &key, print, command, self.now)?;
        if let Decision::RecordRefused(event, refusal) = decision {
            self.record(event, None);
            self.settle();
            return Err(refusal);
        }
        if let Decision::Record(event) = &decision {
            self.record(event.clone(), Some(Box::new(Cause { by, idempotency: Some((key, print)) })));
        }
        self.settle();
        Ok(decision)
    }

    fn last_order(&self) -> OrderRef {
        self.flight.order_id(OrderNo(self.flight.seq().0)).order
    }

    fn last_entry(&self) -> WaitlistRef {
        let definition = self.flight.definition();
        WaitlistId::of(&definition.flight_id, &definition.ids, WaitlistNo(self.flight.seq().0)).entry
    }

    /// Grabs a seat and gives it up.
    fn grab_and_cancel(&mut self, customer: &str) -> Result<(), Refusal> {
        self.ask(&grab(customer, 1, None))?;
        let order = self.last_order();
        self.ask(&Command::Cancel { order })?;
        Ok(())
    }

    fn sells(&mut self) {
        self.settle();
        assert_eq!(self.flight.sells_to_somebody_new(self.now), Some(Ok(())));
        let name = format!("honest-{}", self.flight.seq());
        assert!(matches!(self.ask(&grab(&name, 1, Some("her-key"))), Ok(Decision::Record(_))));
        let order = self.last_order();
        self.ask(&Command::Cancel { order }).unwrap();
    }

    /// Whether history and snapshot give this very state.
    fn comes_back(&self) {
        self.flight.check().unwrap();
        let mut again = Flight::create(&self.history[0]).unwrap();
        self.history[1..].iter().for_each(|recorded| again.apply(recorded));
        assert_eq!(again.digest(), self.flight.digest(), "replay");
        let restored = Flight::restore(self.flight.snapshot()).unwrap();
        assert_eq!(restored.digest(), self.flight.digest(), "snapshot");
        assert_eq!(restored.things_kept(), self.flight.things_kept());
    }
}

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).unwrap()
}

fn grab(name: &str, quantity: u16, key: Option<&str>) -> Command {
    Command::Grab(Grab {
        customer: customer(name),
        wanted: Wanted::Quantity { quantity, together: Together::Any },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: key.map(|key| IdempotencyKey::new(key).unwrap()),
    })
}

fn join(name: &str, party_size: u16) -> Command {
    Command::JoinWaitlist(Box::new(WaitlistWish {
        customer: customer(name),
        party_size,
        accept: Accept::AllTogether,
        cabin_class: None,
        expires_at: None,
        client_reference: None,
    }))
}

fn name_it(order: OrderRef, name: &str) -> Command {
    let passengers = [Some(PassengerName::new(name).unwrap())].into_iter().collect();
    Command::Change { order, seats: None, passengers: Some(passengers) }
}

/// The share of one customer of a flight with the default limit of nine seats.
fn share() -> usize {
    (THINGS_PER_CUSTOMER + 9 * THINGS_PER_SEAT) as usize
}

fn is_over_quota<T: std::fmt::Debug>(result: Result<T, Refusal>, of: QuotaOf) -> u32 {
    match result {
        Err(Refusal::QuotaExceeded { whose, wait_seconds, .. }) if whose == of => wait_seconds,
        other => panic!("{other:?}"),
    }
}

#[test]
fn customers_who_grab_and_give_up_are_refused_and_the_flight_sells_on() {
    let mut driven = Driven::new(SalePolicy::default());
    for hostile in ["eve", "mallory", "trudy"] {
        let mut done = 0;
        while driven.grab_and_cancel(hostile).is_ok() {
            done += 1;
            assert!(done <= share(), "{hostile} is never refused");
        }
        assert_eq!(done, share());
        let wait = is_over_quota(driven.grab_and_cancel(hostile), QuotaOf::Customer);
        assert_eq!(i64::from(wait), DAY_MS / 1000 + 1);
        driven.sells();
    }
    assert!(driven.flight.orders_kept() <= 3 * share() + 3);
    driven.comes_back();
    // A day later it is forgotten before it is decided, though nothing has happened since.
    driven.now = driven.now.plus_millis(DAY_MS + 1);
    driven.grab_and_cancel("eve").unwrap();
    assert!(driven.flight.orders_kept() <= 2, "{}", driven.flight.orders_kept());
    driven.comes_back();
}

#[test]
fn keyed_changes_of_one_customer_leave_keys_to_everybody_else() {
    let mut driven = Driven::new(SalePolicy { hold_seconds: 600, ..SalePolicy::default() });
    driven.ask(&grab("eve", 1, None)).unwrap();
    let hers = driven.last_order();
    driven.ask(&grab("mei", 1, Some("k-0"))).unwrap();
    let order = driven.last_order();
    let mut done = 0;
    let refused = loop {
        let command = name_it(hers, if done % 2 == 0 { "Eve" } else { "Eva" });
        match driven.ask_under(None, &format!("k-{done}"), &command) {
            Ok(_) => done += 1,
            refused => break refused,
        }
        assert!(done <= share(), "she is never refused");
    };
    is_over_quota(refused, QuotaOf::Customer);
    assert_eq!(done, share());
    // Without a key she still may do with her order what she likes, and everybody else with a key.
    driven.ask(&Command::Pay { order: hers }).unwrap();
    driven.ask(&Command::Cancel { order: hers }).unwrap();
    let paid = driven.paid(order);
    driven.ask_under(None, "k-1", &paid).unwrap();
    driven.ask_under(None, "k-2", &Command::Cancel { order }).unwrap();
    driven.ask_under(Some("ann"), "k-1", &Command::PauseSale).unwrap();
    driven.ask_under(Some("ann"), "k-2", &Command::OpenSale).unwrap();
    driven.sells();
    driven.comes_back();
}

#[test]
fn joining_and_leaving_does_not_close_the_waitlist() {
    let mut driven = Driven::new(SalePolicy::default());
    driven.ask(&grab("first", 9, None)).unwrap();
    driven.ask(&grab("second", 9, None)).unwrap();
    let mut done = 0;
    let refused = loop {
        if let refused @ Err(_) = driven.ask(&join("eve", 9)) {
            break refused;
        }
        let entry = driven.last_entry();
        driven.ask(&Command::LeaveWaitlist { entry }).unwrap();
        done += 1;
        assert!(done <= share(), "she is never refused");
    };
    is_over_quota(refused, QuotaOf::Customer);
    assert!(driven.ask(&join("mei", 9)).is_ok());
    driven.comes_back();
}

#[test]
fn whoever_waits_already_is_refused_first_where_many_wait() {
    let mut driven = Driven::new(SalePolicy::default());
    driven.ask(&grab("first", 9, None)).unwrap();
    driven.ask(&grab("second", 9, None)).unwrap();
    for number in 0..WAITING_MAX / 2 {
        driven.ask(&join(&format!("u{number}"), 9)).unwrap();
    }
    assert_eq!(driven.ask(&join("u7", 9)), Err(Refusal::WaitlistFull));
    assert!(driven.ask(&join("mei", 9)).is_ok());
}

#[test]
fn invented_customers_make_a_flight_forget_sooner_and_refuse_nobody() {
    const KEPT_MAX: usize = 2_000;
    let mut driven = Driven::new(SalePolicy::default());
    driven.flight.set_budget(Budget { things_kept_max: KEPT_MAX, ..Budget::STANDARD });
    for number in 0..3 * KEPT_MAX {
        driven.grab_and_cancel(&format!("invented-{number}")).unwrap();
        assert!(driven.flight.things_kept() <= KEPT_MAX + 2);
    }
    assert!(driven.flight.orders_kept() <= KEPT_MAX + 2);
    driven.sells();
    driven.comes_back();
    // Where they have filled half, whoever has caused most is refused first.
    let mut done = 0;
    while driven.grab_and_cancel("eve").is_ok() {
        done += 1;
        assert!(done < 100, "she is never refused");
    }
    driven.sells();
    driven.comes_back();
}

#[test]
fn what_is_too_large_together_is_forgotten_sooner() {
    let bytes_kept_max = 200_000;
    let mut driven = Driven::new(SalePolicy::default());
    driven.flight.set_budget(Budget { bytes_kept_max, ..Budget::STANDARD });
    let long = "x".repeat(128);
    for number in 0..2_000 {
        driven.ask(&grab(&format!("{number}-{}", &long[..100]), 1, Some(&long))).unwrap();
        let order = driven.last_order();
        driven.ask(&Command::Cancel { order }).unwrap();
    }
    assert!(driven.flight.things_kept() < 500, "{}", driven.flight.things_kept());
    driven.sells();
    driven.comes_back();
}

#[test]
fn admins_have_a_share_of_their_own() {
    let mut driven = Driven::new(SalePolicy::default());
    driven.flight.set_budget(Budget { admin_keys_max: 10, ..Budget::STANDARD });
    for number in 0..10 {
        let command = if number % 2 == 0 { Command::PauseSale } else { Command::OpenSale };
        driven.ask_under(Some("ann"), &format!("k{number}"), &command).unwrap();
    }
    is_over_quota(driven.ask_under(Some("bob"), "k10", &Command::PauseSale), QuotaOf::Admins);
    driven.ask(&Command::PauseSale).unwrap();
    driven.ask(&Command::OpenSale).unwrap();
    driven.sells();
    driven.now = driven.now.plus_millis(DAY_MS + 1);
    driven.ask_under(Some("bob"), "k10", &Command::PauseSale).unwrap();
    driven.comes_back();
}

/// What a hostile customer does; those with a number above a few are invented.
#[derive(Debug, Clone)]
enum Step {
    Grab {
        customer: u16,
        quantity: u16,
        key: Option<u8>,
    },
    Cancel {
        ago: usize,
        key: Option<u8>,
    },
    Pay {
        ago: usize,
        key: Option<u8>,
    },
    Confirm {
        ago: usize,
        key: Option<u8>,
    },
    Name {
        ago: usize,
        name: u8,
        key: Option<u8>,
    },
    Join {
        customer: u16,
        party_size: u16,
        key: Option<u8>,
    },
    Leave {
        ago: usize,
        key: Option<u8>,
    },
    Switch {
        pause: bool,
        key: Option<u8>,
    },
    Rules {
        hold_seconds: u32,
        seats: u16,
    },
    Wait {
        seconds: i64,
    },
    /// Grabs and gives up, so many times.
    Churn {
        customer: u16,
        times: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::option::weighted(0.5, 0_u8..200);
    let who = || prop_oneof![3 => 0_u16..3, 2 => 0_u16..10_000];
    prop_oneof![
        8 => (who(), 1_u16..4, key()).prop_map(|(customer, quantity, key)| Step::Grab { customer, quantity, key }),
        6 => (0_usize..6, key()).prop_map(|(ago, key)| Step::Cancel { ago, key }),
        2 => (0_usize..6, key()).prop_map(|(ago, key)| Step::Pay { ago, key }),
        3 => (0_usize..6, key()).prop_map(|(ago, key)| Step::Confirm { ago, key }),
        4 => (0_usize..4, 0_u8..3, key()).prop_map(|(ago, name, key)| Step::Name { ago, name, key }),
        4 => (who(), 1_u16..4, key()).prop_map(|(customer, party_size, key)| Step::Join { customer, party_size, key }),
        3 => (0_usize..4, key()).prop_map(|(ago, key)| Step::Leave { ago, key }),
        1 => (any::<bool>(), key()).prop_map(|(pause, key)| Step::Switch { pause, key }),
        1 => (prop::sample::select(vec![0, 10, 60]), 1_u16..5)
            .prop_map(|(hold_seconds, seats)| Step::Rules { hold_seconds, seats }),
        2 => prop::sample::select(vec![1, 30, 3_600, 12 * 3_600, 24 * 3_600, 25 * 3_600])
            .prop_map(|seconds| Step::Wait { seconds }),
        4 => (who(), 1_u8..20).prop_map(|(customer, times)| Step::Churn { customer, times }),
    ]
}

impl Driven {
    fn order_ago(&self, ago: usize) -> OrderRef {
        let mut numbers: Vec<OrderNo> = self.flight.orders().map(|order| order.no).collect();
        numbers.sort_unstable();
        let no = numbers.iter().rev().nth(ago).copied().unwrap_or(OrderNo(1));
        self.flight.order_id(no).order
    }

    fn entry_ago(&self, ago: usize) -> WaitlistRef {
        let numbers: Vec<WaitlistNo> = self.flight.waitlist().map(|entry| entry.no).collect();
        let no = numbers.iter().rev().nth(ago).copied().unwrap_or(WaitlistNo(1));
        let definition = self.flight.definition();
        WaitlistId::of(&definition.flight_id, &definition.ids, no).entry
    }

    fn take(&mut self, step: &Step) {
        let text = |key: Option<u8>| key.map(|key| format!("k{key}"));
        let who = |customer: u16| format!("c{customer}");
        let (command, key, by) = match step {
            Step::Grab { customer, quantity, key } => {
                (grab(&who(*customer), *quantity, text(*key).as_deref()), None, None)
            }
            Step::Cancel { ago, key } => (Command::Cancel { order: self.order_ago(*ago) }, text(*key), None),
            Step::Pay { ago, key } => (Command::Pay { order: self.order_ago(*ago) }, text(*key), None),
            Step::Confirm { ago, key } => (self.paid(self.order_ago(*ago)), text(*key), None),
            Step::Name { ago, name, key } => {
                (name_it(self.order_ago(*ago), &format!("n{name}")), text(*key), None)
            }
            Step::Join { customer, party_size, key } => {
                (join(&who(*customer), *party_size), text(*key), None)
            }
            Step::Leave { ago, key } => {
                (Command::LeaveWaitlist { entry: self.entry_ago(*ago) }, text(*key), None)
            }
            Step::Switch { pause, key } => {
                let command = if *pause { Command::PauseSale } else { Command::OpenSale };
                (command, text(*key), Some("ann"))
            }
            Step::Rules { hold_seconds, seats } => {
                let change = PolicyChange {
                    hold_seconds: Some(*hold_seconds),
                    max_seats_per_customer: Some(*seats),
                    ..PolicyChange::default()
                };
                (Command::ChangePolicy(change), None, Some("ann"))
            }
            Step::Wait { seconds } => {
                self.now = self.now.plus_millis(seconds * 1000);
                return;
            }
            Step::Churn { customer, times } => {
                for _ in 0..*times {
                    let _ = self.grab_and_cancel(&who(*customer));
                }
                return;
            }
        };
        let _ = match key {
            Some(key) => self.ask_under(by, &key, &command),
            None => self.ask(&command),
        };
    }
}

fn outlives(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut driven = Driven::new(SalePolicy { max_seats_per_customer: 2, ..SalePolicy::default() });
    let budget =
        Budget { things_per_customer: 6, things_kept_max: 24, bytes_kept_max: 16_000, admin_keys_max: 8 };
    driven.flight.set_budget(budget);
    for step in steps {
        driven.take(step);
        // Before anything else happens, and whatever the time is by now.
        let sells = driven.flight.sells_to_somebody_new(driven.now);
        prop_assert!(sells.is_none_or(|sells| sells.is_ok()), "after {:?}", step);
        driven.settle();
        // Parties that were served have stopped waiting since it was last looked at.
        prop_assert!(driven.flight.things_kept() <= budget.things_kept_max + usize::from(6 * ROWS));
        prop_assert!(driven.flight.broken().is_none());
    }
    driven.comes_back();
    Ok(())
}

#[test]
fn an_open_flight_with_a_free_seat_sells_it_to_somebody_new_whatever_others_did_before() {
    let (mut runner, digits) = seed::runner(2_000);
    let histories = prop::collection::vec(step(), 1..60);
    if let Err(error) = runner.run(&histories, |steps| outlives(&steps)) {
        panic!("{error}\nreplay with FARERUSH_TEST_SEED={digits}");
    }
}
