//! Random command sequences against a flight and a simple oracle: no seat twice, limits kept, cancelling returns
//! stock, keys honoured, replay and snapshot give the same state.
//!
//! `FARERUSH_TEST_CASES` sets how many sequences (10,000), `FARERUSH_TEST_SEED` (64 hexadecimal digits) replays a run.

mod seed;
mod unlocked;

use std::collections::{BTreeMap, HashMap};

use farerush_engine::flight::seat_map::SeatStatus;
use farerush_engine::flight::seating::are_side_by_side;
use farerush_engine::flight::{
    Cabin, CabinClass, Cause, Command, Covers, Currency, CustomerId, Decision, Event, Fare, Flight,
    FlightDefinition, FlightId, FlightIds, Grab, IdempotencyKey, Layout, OrderNo, OrderRef, OrderStatus,
    Payment, PolicyChange, Recorded, Reference, Refusal, SalePolicy, SaleSwitch, Salt, Seat, Seats, Seq,
    Timestamp, Together, Wanted,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use unlocked::unlocked;

/// Whose keys are nobody's who orders.
const ADMINS: u8 = u8::MAX;

/// A command in terms that make sense for any flight; orders are named by how many orders ago they were placed.
#[derive(Debug, Clone)]
enum Step {
    Grab {
        customer: u8,
        quantity: u16,
        together: Together,
        class: Option<CabinClass>,
        key: Option<u8>,
    },
    GrabNamed {
        customer: u8,
        seats: Vec<(u16, u8)>,
    },
    Confirm {
        ago: usize,
        payment: u8,
    },
    Cancel {
        ago: usize,
    },
    Move {
        ago: usize,
        seats: Vec<(u16, u8)>,
    },
    Switch(u8),
    Pay {
        ago: usize,
    },
    /// A step that is no grab, under a key; grabs have keys of the same names.
    Under {
        key: u8,
        step: Box<Step>,
    },
    Limits {
        order: u16,
        customer: u16,
        hold_seconds: u32,
        grace_seconds: u32,
    },
    Block(Vec<(u16, u8)>),
    Unblock(Vec<(u16, u8)>),
    AddRow(u16),
    Wait {
        seconds: i64,
    },
}

fn seats() -> impl Strategy<Value = Vec<(u16, u8)>> {
    prop::collection::vec((1_u16..9, prop::sample::select(b"ABCDEFZ".to_vec())), 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    let no_grab =
        |step: &Step| !matches!(step, Step::Grab { .. } | Step::GrabNamed { .. } | Step::Wait { .. });
    let under = (0_u8..6, plain_step().prop_filter("a grab has its key within itself", no_grab));
    prop_oneof![
        4 => plain_step(),
        1 => under.prop_map(|(key, step)| Step::Under { key, step: Box::new(step) }),
    ]
}

fn plain_step() -> impl Strategy<Value = Step> {
    let together = prop::sample::select(vec![Together::Required, Together::Preferred, Together::Any]);
    let class = prop::option::weighted(
        0.3,
        prop::sample::select(vec![CabinClass::Economy, CabinClass::Business, CabinClass::First]),
    );
    prop_oneof![
        12 => (0_u8..6, 1_u16..8, together, class, prop::option::weighted(0.3, 0_u8..6)).prop_map(
            |(customer, quantity, together, class, key)| Step::Grab { customer, quantity, together, class, key }
        ),
        4 => (0_u8..6, seats()).prop_map(|(customer, seats)| Step::GrabNamed { customer, seats }),
        4 => (0_usize..6, 0_u8..2).prop_map(|(ago, payment)| Step::Confirm { ago, payment }),
        6 => (0_usize..8).prop_map(|ago| Step::Cancel { ago }),
        3 => (0_usize..4, seats()).prop_map(|(ago, seats)| Step::Move { ago, seats }),
        2 => (0_u8..6).prop_map(Step::Switch),
        3 => (0_usize..6).prop_map(|ago| Step::Pay { ago }),
        1 => (1_u16..9, 1_u16..20, prop::sample::select(vec![0, 10, 60]), prop::sample::select(vec![0, 20, 120]))
            .prop_map(|(order, customer, hold_seconds, grace_seconds)| {
                Step::Limits { order, customer, hold_seconds, grace_seconds }
            }),
        2 => seats().prop_map(Step::Block),
        1 => seats().prop_map(Step::Unblock),
        1 => (9_u16..12).prop_map(Step::AddRow),
        3 => prop::sample::select(vec![1, 9, 10, 30, 60, 3600, 25 * 3600]).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn cabin(class: CabinClass, first_row: u16, last_row: u16, layout: &str, amount: i64) -> Cabin {
    let fare = Fare { amount, currency: Currency::new("TWD").unwrap() };
    Cabin { cabin_class: class, first_row, last_row, layout: Layout::new(layout).unwrap(), fare }
}

fn created(hold_seconds: u32) -> Recorded {
    let definition = FlightDefinition {
        flight_id: FlightId::new("FR1-20261224").unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(2_000_000_000_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![
            cabin(CabinClass::Business, 1, 1, "AC DF", 900),
            cabin(CabinClass::Economy, 2, 4, "ABC DEF", 100),
            cabin(CabinClass::Economy, 6, 7, "AB DE", 150),
        ],
        ids: FlightIds::new(Salt(99)),
    };
    let policy =
        SalePolicy { opens_at: Some(Timestamp::from_millis(0)), hold_seconds, ..SalePolicy::default() };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    Recorded { seq: Seq(1), at: Timestamp::from_millis(1_000), event, cause: None, head: None }
}

/// What a simple mind would write down: who has which seat, seat by seat.
#[derive(Default)]
struct Oracle {
    taken: BTreeMap<Seat, OrderNo>,
    blocked: std::collections::BTreeSet<Seat>,
    orders: BTreeMap<OrderNo, (u8, OrderStatus)>,
    /// By customer and key.
    keys: HashMap<(u8, u8), (OrderNo, String)>,
    /// What came under whose key, when, and about which order; kept for a day.
    requests: HashMap<(u8, u8), (String, Timestamp, Option<OrderNo>)>,
    paying: std::collections::BTreeSet<OrderNo>,
}

impl Oracle {
    fn holding(&self, customer: u8) -> usize {
        self.taken.values().filter(|no| self.orders[no].0 == customer).count()
    }
}

struct World {
    flight: Flight,
    history: Vec<Recorded>,
    oracle: Oracle,
    now: Timestamp,
}

type Outcome = Result<(), TestCaseError>;

impl World {
    fn new(hold_seconds: u32) -> Self {
        let first = created(hold_seconds);
        let flight = unlocked(Flight::create(&first));
        Self { flight, history: vec![first], oracle: Oracle::default(), now: Timestamp::from_millis(1_000) }
    }

    fn order_ago(&self, ago: usize) -> OrderRef {
        let no = self.oracle.orders.keys().rev().nth(ago).copied().unwrap_or(OrderNo(1));
        self.flight.order_id(no).order
    }

    fn record(&mut self, event: Event, key: Option<(u8, &Command)>) {
        let cause = key.map(|(key, command)| {
            let idempotency = Some((idempotency_key(key), command.fingerprint()));
            Box::new(Cause { by: None, idempotency })
        });
        if let Some((key, command)) = key {
            let owner = self.owner(command).unwrap();
            self.oracle.requests.insert((owner, key), (format!("{command:?}"), self.now, event.order()));
        }
        let recorded = Recorded { seq: self.flight.seq().next(), at: self.now, event, cause, head: None };
        self.flight.apply(&recorded);
        self.history.push(recorded);
        let oldest = self.now.plus_millis(-24 * 3600 * 1000);
        self.oracle.requests.retain(|_, (_, at, _)| *at >= oldest);
    }

    fn expire(&mut self) -> Outcome {
        while let Some(event) = self.flight.decide_expiry(self.now) {
            let Event::OrderExpired { order, .. } = &event else {
                return Err(TestCaseError::fail("not an expiry"));
            };
            prop_assert_eq!(self.oracle.orders[order].1, OrderStatus::Held);
            self.oracle.orders.get_mut(order).unwrap().1 = OrderStatus::Expired;
            let order = *order;
            self.oracle.taken.retain(|_, no| *no != order);
            self.record(event, None);
        }
        Ok(())
    }

    /// Whose keys a command's are: a customer's, or those of the admins; `None` if the order is not there.
    fn owner(&self, command: &Command) -> Option<u8> {
        match command {
            Command::Confirm { order, .. }
            | Command::Cancel { order }
            | Command::Pay { order }
            | Command::Change { order, .. } => {
                self.flight.find(*order).map(|order| self.oracle.orders[&order.no].0)
            }
            _ => Some(ADMINS),
        }
    }

    /// What the order costs now.
    fn price(&self, order: OrderRef) -> Covers {
        let amount = self.flight.order(order.no).map_or(0, |order| order.total);
        Covers::Amount { amount, currency: Currency::new("TWD").unwrap() }
    }

    fn command(&self, step: &Step) -> Option<Command> {
        Some(match step {
            Step::Grab { customer, quantity, together, class, key } => Command::Grab(Grab {
                customer: customer_id(*customer),
                wanted: Wanted::Quantity { quantity: *quantity, together: *together },
                cabin_class: *class,
                passengers: None,
                client_reference: None,
                idempotency_key: key.map(idempotency_key),
            }),
            Step::GrabNamed { customer, seats } => Command::Grab(Grab {
                customer: customer_id(*customer),
                wanted: Wanted::Named(distinct(seats)),
                cabin_class: None,
                passengers: None,
                client_reference: None,
                idempotency_key: None,
            }),
            Step::Confirm { ago, payment } => Command::Confirm {
                order: self.order_ago(*ago),
                payment: Some(Payment {
                    reference: Reference::new(&format!("pay-{payment}")).unwrap(),
                    covers: self.price(self.order_ago(*ago)),
                }),
            },
            Step::Cancel { ago } => Command::Cancel { order: self.order_ago(*ago) },
            Step::Move { ago, seats } => Command::Change {
                order: self.order_ago(*ago),
                seats: Some(distinct(seats)),
                passengers: None,
            },
            Step::Switch(0) => Command::PauseSale,
            Step::Switch(1) => Command::CloseSale,
            Step::Switch(_) => Command::OpenSale,
            Step::Pay { ago } => Command::Pay { order: self.order_ago(*ago) },
            Step::Under { step, .. } => return self.command(step),
            Step::Limits { order, customer, hold_seconds, grace_seconds } => {
                Command::ChangePolicy(PolicyChange {
                    payment_grace_seconds: Some(*grace_seconds),
                    max_seats_per_order: Some(*order),
                    max_seats_per_customer: Some(*customer),
                    hold_seconds: Some(*hold_seconds),
                    ..PolicyChange::default()
                })
            }
            Step::Block(seats) => Command::Block(distinct(seats)),
            Step::Unblock(seats) => Command::Unblock(distinct(seats)),
            Step::AddRow(row) => Command::AddRows(cabin(CabinClass::Economy, *row, *row, "ABC DEF", 100)),
            Step::Wait { .. } => return None,
        })
    }

    fn take(&mut self, step: &Step) -> Outcome {
        if let Step::Wait { seconds } = step {
            self.now = self.now.plus_millis(seconds * 1000);
            return Ok(());
        }
        self.expire()?;
        let Some(command) = self.command(step) else { return Ok(()) };
        let before = self.flight.digest();
        let (key, step) = match step {
            Step::Under { key, step } => (Some(*key), &**step),
            step => (None, step),
        };
        let decision = match key {
            Some(key) => {
                let key = idempotency_key(key);
                self.flight.decide_under(None, &key, command.fingerprint(), &command, self.now)
            }
            None => self.flight.decide(&command, self.now),
        };
        prop_assert_eq!(self.flight.digest(), before, "deciding changes nothing");
        if let Some(key) = key
            && let Some(owner) = self.owner(&command)
            && let Some((asked, _, order)) = self.oracle.requests.get(&(owner, key))
            && self.oracle.requests[&(owner, key)].1 >= self.now.plus_millis(-24 * 3600 * 1000)
        {
            let is_same = *asked == format!("{command:?}");
            let expected =
                if is_same { Ok(Decision::Replayed(*order)) } else { Err(Refusal::IdempotencyKeyReused) };
            prop_assert_eq!(decision, expected, "a key is one request");
            return Ok(());
        }
        match decision {
            Err(Refusal::IdempotencyKeyReused) if key.is_some() => {
                let owner = self.owner(&command).unwrap();
                prop_assert!(self.oracle.keys.contains_key(&(owner, key.unwrap())), "no grab had the key");
                Ok(())
            }
            Err(refusal) => self.check_refusal(&command, step, &refusal),
            Ok(Decision::Replayed(no)) => {
                let Step::Grab { key: Some(key), customer, .. } = step else {
                    return Err(TestCaseError::fail("only a grab with a key is replayed"));
                };
                let (placed, asked) = &self.oracle.keys[&(*customer, *key)];
                prop_assert_eq!((Some(*placed), asked), (no, &format!("{:?}", without_key(step))));
                Ok(())
            }
            Ok(Decision::RecordRefused(event, refusal)) => {
                let Event::PaymentReturned { order, .. } = event else {
                    return Err(TestCaseError::fail("only payments are refused and noted"));
                };
                let Refusal::PaymentReturned { instead } = &refusal else {
                    return Err(TestCaseError::fail("it is told that the payment goes back"));
                };
                self.check_refusal(&command, step, instead)?;
                self.record(event, None);
                let before = self.flight.digest();
                let again = self.flight.decide(&command, self.now);
                // By that very event a day may have gone by since the order ended.
                let is_known = self.flight.order(order).is_some();
                let expected = if is_known { refusal } else { Refusal::OrderNotFound };
                prop_assert_eq!(again, Err(expected), "a payment goes back once");
                prop_assert_eq!(self.flight.digest(), before);
                Ok(())
            }
            Ok(Decision::Unchanged(_)) => Ok(()),
            Ok(Decision::Record(event)) => self.happened(step, event, key.map(|key| (key, &command))),
        }
    }

    fn happened(&mut self, step: &Step, event: Event, key: Option<(u8, &Command)>) -> Outcome {
        let no = OrderNo(self.flight.seq().next().0);
        match &event {
            Event::OrderPlaced(placed) => {
                self.check_placed(step, &placed.seats)?;
                let customer = match step {
                    Step::Grab { customer, .. } | Step::GrabNamed { customer, .. } => *customer,
                    _ => return Err(TestCaseError::fail("only a grab places an order")),
                };
                for seat in &placed.seats {
                    prop_assert!(!self.oracle.blocked.contains(seat), "{} is blocked", seat);
                    prop_assert_eq!(self.oracle.taken.insert(*seat, no), None, "{} is sold twice", seat);
                }
                let status =
                    if placed.hold_expires_at.is_some() { OrderStatus::Held } else { OrderStatus::Confirmed };
                self.oracle.orders.insert(no, (customer, status));
                if let Step::Grab { key: Some(key), .. } = step {
                    self.oracle.keys.insert((customer, *key), (no, format!("{:?}", without_key(step))));
                }
            }
            Event::OrderConfirmed { order, .. } => {
                let status = &mut self.oracle.orders.get_mut(order).unwrap().1;
                prop_assert_eq!(std::mem::replace(status, OrderStatus::Confirmed), OrderStatus::Held);
            }
            Event::OrderCancelled { order, freed } => {
                let status = &mut self.oracle.orders.get_mut(order).unwrap().1;
                prop_assert!(std::mem::replace(status, OrderStatus::Cancelled).is_live());
                for seat in freed {
                    prop_assert_eq!(self.oracle.taken.remove(seat), Some(*order));
                }
                prop_assert!(!self.oracle.taken.values().any(|no| no == order), "all its stock came back");
            }
            Event::OrderChanged { order, seats, .. } => {
                self.oracle.taken.retain(|_, no| no != order);
                for seat in seats {
                    prop_assert_eq!(self.oracle.taken.insert(*seat, *order), None);
                }
            }
            Event::SeatsBlocked { seats } => {
                for seat in seats {
                    prop_assert!(!self.oracle.taken.contains_key(seat));
                    self.oracle.blocked.insert(*seat);
                }
            }
            Event::SeatsUnblocked { seats } => {
                seats.iter().for_each(|seat| assert!(self.oracle.blocked.remove(seat)));
            }
            Event::PaymentBegun { order, hold_expires_at } => {
                prop_assert!(self.oracle.paying.insert(*order), "once for an order");
                let before = self.flight.order(*order).and_then(|order| order.hold_expires_at).unwrap();
                let grace_ms = i64::from(self.flight.sale().policy.payment_grace_seconds) * 1000;
                prop_assert!(before > self.now && self.oracle.orders[order].1 == OrderStatus::Held);
                prop_assert_eq!(*hold_expires_at, before.max(self.now.plus_millis(grace_ms)));
            }
            Event::OrderRevived { order, seats, .. } => {
                let (customer, status) = self.oracle.orders[order];
                prop_assert_eq!(status, OrderStatus::Expired);
                prop_assert_ne!(self.flight.sale().switch, SaleSwitch::Closed);
                let limit = usize::from(self.flight.sale().policy.max_seats_per_customer);
                prop_assert!(self.oracle.holding(customer) + seats.len() <= limit, "limit kept");
                for seat in seats {
                    prop_assert!(!self.oracle.blocked.contains(seat), "{} is blocked", seat);
                    prop_assert_eq!(self.oracle.taken.insert(*seat, *order), None, "{} is sold twice", seat);
                }
                self.oracle.orders.get_mut(order).unwrap().1 = OrderStatus::Confirmed;
            }
            _ => {}
        }
        self.record(event, key);
        Ok(())
    }

    fn check_placed(&self, step: &Step, seats: &Seats) -> Outcome {
        let sale = self.flight.sale();
        match step {
            Step::Grab { customer, quantity, together, class, .. } => {
                prop_assert_eq!(seats.len(), usize::from(*quantity));
                let limit = usize::from(sale.policy.max_seats_per_customer);
                prop_assert!(self.oracle.holding(*customer) + seats.len() <= limit, "limit kept");
                prop_assert!(seats.len() <= usize::from(sale.policy.max_seats_per_order));
                for seat in seats {
                    let its = self.flight.map().cabin_of(*seat).unwrap();
                    prop_assert!(class.is_none_or(|class| class == its.cabin_class));
                }
                let together_now = are_side_by_side(self.flight.map(), seats);
                if *together == Together::Required {
                    prop_assert!(together_now, "{:?} do not sit together", seats);
                }
            }
            Step::GrabNamed { seats: named, .. } => prop_assert_eq!(seats, &distinct(named)),
            _ => {}
        }
        Ok(())
    }

    fn check_refusal(&self, command: &Command, step: &Step, refusal: &Refusal) -> Outcome {
        let free = self.flight.map().free() as usize;
        match (refusal, step) {
            (Refusal::SoldOut, Step::Grab { class: None, .. }) => prop_assert_eq!(free, 0),
            (Refusal::NotEnoughSeats { available }, Step::Grab { quantity, class, .. }) => {
                let free = class.map_or(self.flight.map().free(), |class| self.flight.map().free_in(class));
                prop_assert_eq!(*available, free);
                prop_assert!(*available < u32::from(*quantity));
            }
            (Refusal::NotTogether, Step::Grab { quantity, class, .. }) => {
                prop_assert!(!self.some_row_has(*quantity, *class), "a row has {} side by side", quantity);
            }
            (Refusal::SeatTaken { seats }, _) => {
                for seat in seats {
                    let owned = self.oracle.taken.contains_key(seat) || self.oracle.blocked.contains(seat);
                    prop_assert!(owned, "{} is free", seat);
                }
            }
            (Refusal::IdempotencyKeyReused, Step::Grab { key: Some(key), customer, .. }) => {
                let key = &(*customer, *key);
                let had_other = self
                    .oracle
                    .keys
                    .get(key)
                    .is_some_and(|(_, asked)| *asked != format!("{:?}", without_key(step)));
                prop_assert!(had_other || self.oracle.requests.contains_key(key), "it had no other request");
            }
            (Refusal::HoldExpired, Step::Confirm { .. }) => {
                let Command::Confirm { order, .. } = command else { unreachable!("a step to confirm") };
                let is_free = |seat| self.flight.map().status(seat) == Some(SeatStatus::Free);
                let order = self.flight.order(order.no).unwrap();
                let could_be = order.seats.iter().all(|seat| is_free(*seat));
                prop_assert!(!could_be || self.flight.sale().switch == SaleSwitch::Closed, "it was free");
            }
            (Refusal::OrderNotFound, _) => {
                let (Command::Confirm { order, .. }
                | Command::Cancel { order }
                | Command::Pay { order }
                | Command::Change { order, .. }) = command
                else {
                    return Err(TestCaseError::fail("no order was asked for"));
                };
                let known = self.oracle.orders.get(&order.no);
                prop_assert!(known.is_none_or(|(_, status)| !status.is_live()), "a live order is not found");
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether any row has so many free neighbours, aisles not counting: looked up seat by seat.
    fn some_row_has(&self, quantity: u16, class: Option<CabinClass>) -> bool {
        let map = self.flight.map();
        self.flight
            .definition()
            .cabins
            .iter()
            .filter(|c| class.is_none_or(|class| class == c.cabin_class))
            .any(|cabin| {
                (cabin.first_row..=cabin.last_row).any(|row| {
                    // A space in the layout is an aisle, and nobody sits side by side across one.
                    cabin.layout.as_str().split(' ').any(|group| {
                        let mut run = 0;
                        group.bytes().any(|letter| {
                            let status = map.status(Seat::new(row, letter).unwrap());
                            run = if status == Some(SeatStatus::Free) { run + 1 } else { 0 };
                            run >= quantity
                        })
                    })
                })
            })
    }

    fn check(&self) -> Outcome {
        self.flight.check().map_err(|broken| TestCaseError::fail(broken.to_string()))?;
        let capacity = self.flight.map().capacity() as usize;
        let gone = self.oracle.taken.len() + self.oracle.blocked.len();
        prop_assert_eq!(self.flight.map().free() as usize, capacity - gone);
        for (no, (_, status)) in &self.oracle.orders {
            if let Some(order) = self.flight.order(*no) {
                prop_assert_eq!(order.status, *status);
            } else {
                prop_assert!(!status.is_live(), "a live order was forgotten");
            }
        }
        Ok(())
    }

    fn check_replay(&self) -> Outcome {
        let mut again = Flight::create(&self.history[0]).unwrap();
        self.history[1..].iter().for_each(|recorded| again.apply(recorded));
        prop_assert_eq!(again.digest(), self.flight.digest(), "replay gives the same state");
        let restored = Flight::restore(self.flight.snapshot())
            .map_err(|broken| TestCaseError::fail(format!("restore: {broken}")))?;
        prop_assert_eq!(restored.digest(), self.flight.digest(), "a snapshot gives the same state");
        Ok(())
    }
}

fn idempotency_key(key: u8) -> IdempotencyKey {
    IdempotencyKey::new(&format!("key-{key}")).unwrap()
}

fn customer_id(customer: u8) -> CustomerId {
    CustomerId::new(&format!("customer-{customer}")).unwrap()
}

fn distinct(seats: &[(u16, u8)]) -> Seats {
    let mut distinct = Seats::new();
    for (row, letter) in seats {
        let seat = Seat::new(*row, *letter).unwrap();
        if !distinct.contains(&seat) {
            distinct.push(seat);
        }
    }
    distinct
}

fn without_key(step: &Step) -> Step {
    match step.clone() {
        Step::Grab { customer, quantity, together, class, .. } => {
            Step::Grab { customer, quantity, together, class, key: None }
        }
        other => other,
    }
}

#[test]
fn a_flight_agrees_with_a_simple_oracle_whatever_is_asked_of_it() {
    let (mut runner, digits) = seed::runner(10_000);
    let sequences = (prop::sample::select(vec![0_u32, 10, 60]), prop::collection::vec(step(), 1..40));
    let outcome = runner.run(&sequences, |(hold_seconds, steps)| {
        let mut world = World::new(hold_seconds);
        for step in &steps {
            world.take(step)?;
        }
        world.check()?;
        world.check_replay()
    });
    if let Err(error) = outcome {
        panic!("{error}\nreplay with FARERUSH_TEST_SEED={digits}");
    }
}
