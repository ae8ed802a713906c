//! Another seat plan under a running sale: tables for what people expect of an aircraft swap, and random flights against a
//! count of the seats there are.
//!
//! `FARERUSH_TEST_CASES` sets how many random flights (2,000), `FARERUSH_TEST_SEED` (64 hexadecimal digits) replays a run.

mod seed;
mod unlocked;

use std::collections::{BTreeMap, BTreeSet};

use farerush_engine::flight::seat_map::SeatStatus;
use farerush_engine::flight::seating::are_side_by_side;
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Covers, Currency, CustomerId, Decision, Event, Fare, Flight,
    FlightDefinition, FlightId, FlightIds, Grab, Layout, Order, OrderNo, OrderStatus, Payment, Recorded,
    Reference, Refusal, SalePolicy, Salt, Seat, SeatPlan, Seats, Seq, Timestamp, Together, Wanted,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use unlocked::unlocked;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn cabin(cabin_class: CabinClass, rows: (u16, u16), layout: &str, amount: i64) -> Cabin {
    let fare = Fare { amount, currency: Currency::new("TWD").unwrap() };
    let layout = Layout::new(layout).unwrap();
    Cabin { cabin_class, first_row: rows.0, last_row: rows.1, layout, fare }
}

fn economy(rows: (u16, u16), layout: &str) -> Cabin {
    cabin(CabinClass::Economy, rows, layout, 100)
}

struct World {
    flight: Flight,
    history: Vec<Recorded>,
}

impl World {
    fn new(cabins: Vec<Cabin>, hold_seconds: u32) -> Self {
        let definition = FlightDefinition {
            flight_id: FlightId::new("FR1-20261224").unwrap(),
            flight_number: "FR1".into(),
            origin: "TPE".into(),
            destination: "NRT".into(),
            departs_at: Timestamp::from_millis(2_000_000_000_000),
            origin_time_zone: None,
            aircraft: Some("A320".into()),
            cabins,
            ids: FlightIds::new(Salt(99)),
        };
        let opens_at = Some(Timestamp::from_millis(0));
        let limits = (10_000, 10_000);
        let policy = SalePolicy {
            opens_at,
            hold_seconds,
            max_seats_per_order: limits.0,
            max_seats_per_customer: limits.1,
            ..SalePolicy::default()
        };
        let event = Event::FlightCreated { definition: Box::new(definition), policy };
        let first = Recorded { seq: Seq(1), at: NOW, event, cause: None, head: None };
        Self { flight: unlocked(Flight::create(&first)), history: vec![first] }
    }

    /// The payment of what an order costs.
    fn payment(&self, no: OrderNo) -> Command {
        let covers = Covers::OrderAt(self.flight.order(no).unwrap().changed_by);
        let payment = Some(Payment { reference: Reference::new("p").unwrap(), covers });
        Command::Confirm { order: self.flight.order_id(no).order, payment }
    }

    fn does(&mut self, command: &Command) -> Result<Decision, Refusal> {
        let decision = self.flight.decide(command, NOW)?;
        if let Decision::Record(event) = &decision {
            let seq = self.flight.seq().next();
            let recorded = Recorded { seq, at: NOW, event: event.clone(), cause: None, head: None };
            self.flight.apply(&recorded);
            self.flight.check().unwrap();
            self.history.push(recorded);
        }
        Ok(decision)
    }

    fn grabs(&mut self, wanted: Wanted) -> Option<OrderNo> {
        let grab = Grab {
            customer: CustomerId::new("u1").unwrap(),
            wanted,
            cabin_class: None,
            passengers: None,
            client_reference: None,
            idempotency_key: None,
        };
        self.does(&Command::Grab(grab)).ok().map(|_| OrderNo(self.flight.seq().0))
    }

    fn named(&mut self, text: &str) -> OrderNo {
        self.grabs(Wanted::Named(seats(text))).unwrap()
    }

    fn swaps(&mut self, cabins: Vec<Cabin>, cancel_stranded: bool) -> Result<Decision, Refusal> {
        let plan = SeatPlan::Aircraft { aircraft: Some("A321".into()), cabins };
        self.does(&Command::ChangeSeatPlan { plan, cancel_stranded })
    }

    fn seats_of(&self, no: OrderNo) -> String {
        let order = self.flight.order(no).unwrap();
        order.seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// What was stored gives the same flight again, by its events and by its snapshot.
    fn comes_back(&self) {
        let mut replayed = Flight::create(&self.history[0]).unwrap();
        self.history[1..].iter().for_each(|recorded| replayed.apply(recorded));
        assert_eq!(replayed.digest(), self.flight.digest());
        assert_eq!(Flight::restore(self.flight.snapshot()).unwrap().digest(), self.flight.digest());
    }
}

fn seats(text: &str) -> Seats {
    text.split(' ').map(|seat| seat.parse::<Seat>().unwrap()).collect()
}

#[test]
fn whoever_can_keep_their_seats_keeps_them() {
    let mut world = World::new(vec![economy((1, 4), "ABC DEF")], 0);
    let (first, second) = (world.named("1A 1B"), world.named("4E 4F"));
    world.swaps(vec![economy((1, 3), "ABC DEF")], false).unwrap();
    assert_eq!(world.seats_of(first), "1A 1B");
    let moved = world.flight.order(second).unwrap();
    assert!(are_side_by_side(world.flight.map(), &moved.seats), "{}", world.seats_of(second));
    assert_eq!(moved.changed_by, world.flight.seq());
    assert_eq!(world.flight.map().capacity(), 18);
    assert_eq!(world.flight.map().free(), 14);
    assert_eq!(world.flight.definition().aircraft.as_deref(), Some("A321"));
    world.comes_back();
}

#[test]
fn a_swap_that_would_strand_somebody_is_refused_unless_that_is_meant() {
    let mut world = World::new(vec![economy((1, 2), "ABC DEF")], 60);
    let orders: Vec<OrderNo> = (0..4).filter_map(|_| world.grabs(three())).collect();
    let payment = world.payment(orders[3]);
    world.does(&payment).unwrap();
    let smaller = || vec![economy((1, 1), "ABC DEF")];
    let before = world.flight.digest();
    assert_eq!(world.swaps(smaller(), false), Err(Refusal::OrdersWithoutSeats { orders: 2 }));
    assert_eq!(world.flight.digest(), before);

    world.swaps(smaller(), true).unwrap();
    let status = |no: OrderNo| world.flight.order(no).unwrap().status;
    // The one that is paid stays, though it came last; then the earliest.
    assert_eq!(status(orders[3]), OrderStatus::Confirmed);
    assert_eq!(status(orders[0]), OrderStatus::Held);
    assert_eq!([status(orders[1]), status(orders[2])], [OrderStatus::Cancelled; 2]);
    assert_eq!(world.flight.map().free(), 0);
    world.comes_back();
}

fn three() -> Wanted {
    Wanted::Quantity { quantity: 3, together: Together::Preferred }
}

#[test]
fn nobody_is_put_into_another_class_or_fare() {
    let business = |rows, amount| cabin(CabinClass::Business, rows, "AC DF", amount);
    let mut world = World::new(vec![business((1, 2), 900), economy((3, 4), "ABC DEF")], 0);
    let order = world.named("1A 3A");
    let cheaper = vec![business((1, 2), 800), economy((3, 4), "ABC DEF")];
    assert_eq!(world.swaps(cheaper, false), Err(Refusal::OrdersWithoutSeats { orders: 1 }));
    let elsewhere = vec![economy((1, 2), "ABC DEF"), business((5, 5), 900)];
    world.swaps(elsewhere, false).unwrap();
    assert_eq!(world.flight.order(order).unwrap().total, 1_000);
    assert!(world.seats_of(order).starts_with('5'), "{}", world.seats_of(order));
    world.comes_back();
}

#[test]
fn another_currency_is_no_seat_plan() {
    let mut world = World::new(vec![economy((1, 2), "ABC DEF")], 0);
    let fare = Fare { amount: 100, currency: Currency::new("EUR").unwrap() };
    let cabins = vec![Cabin { fare, ..economy((1, 2), "ABC DEF") }];
    assert!(matches!(world.swaps(cabins, true), Err(Refusal::Invalid { field: "cabins", .. })));
}

#[test]
fn withdrawn_seats_are_off_sale_and_their_passengers_sit_elsewhere() {
    let mut world = World::new(vec![economy((1, 3), "ABC DEF")], 0);
    let (stays, goes) = (world.named("1A"), world.named("3A 3B 3C"));
    let plan = SeatPlan::Without(seats("3A 3B 3C 3D 3E 3F"));
    world.does(&Command::ChangeSeatPlan { plan: plan.clone(), cancel_stranded: false }).unwrap();
    assert_eq!(world.seats_of(stays), "1A");
    assert!(are_side_by_side(world.flight.map(), &world.flight.order(goes).unwrap().seats));
    assert_eq!(world.flight.map().seats_with(SeatStatus::Blocked), seats("3A 3B 3C 3D 3E 3F"));
    assert_eq!(world.flight.map().free(), 12 - 4);
    let again = world.does(&Command::ChangeSeatPlan { plan, cancel_stranded: false });
    assert_eq!(again, Ok(Decision::Unchanged(None)));
    world.does(&Command::Unblock(seats("3A"))).unwrap();
    assert_eq!(world.flight.map().free(), 9);
    world.comes_back();
}

#[test]
fn an_order_that_ended_on_a_seat_that_is_gone_does_no_harm() {
    let mut world = World::new(vec![economy((1, 2), "ABC DEF")], 0);
    let no = world.named("2A");
    world.does(&Command::Cancel { order: world.flight.order_id(no).order }).unwrap();
    world.swaps(vec![economy((1, 1), "ABC DEF")], false).unwrap();
    world.flight.check().unwrap();
    world.comes_back();
}

type Group = (CabinClass, i64);

fn groups_of(cabins: &[Cabin], order: &Order) -> BTreeMap<Group, usize> {
    let mut groups = BTreeMap::new();
    for seat in &order.seats {
        let cabin = cabins.iter().find(|cabin| cabin.has(*seat)).unwrap();
        *groups.entry((cabin.cabin_class, cabin.fare.amount)).or_default() += 1;
    }
    groups
}

fn plans() -> impl Strategy<Value = Vec<Cabin>> {
    let class = prop::sample::select(vec![CabinClass::Economy, CabinClass::Business]);
    let layout = prop::sample::select(vec!["ABC DEF", "AB DE", "A CD F", "ABCDEFG"]);
    let amount = prop::sample::select(vec![100_i64, 150]);
    prop::collection::vec((class, 1_u16..5, layout, amount), 1..4).prop_map(|sections| {
        let mut row = 1;
        let section = |(class, rows, layout, amount)| {
            let cabin = cabin(class, (row, row + rows - 1), layout, amount);
            row += rows;
            cabin
        };
        sections.into_iter().map(section).collect()
    })
}

type Case = (Vec<Cabin>, Vec<(u16, bool)>, Vec<Cabin>, BTreeSet<usize>, bool);

fn swap_is_fair((cabins, parties, plan, withdrawn, cancels): Case) -> Result<(), TestCaseError> {
    let mut world = World::new(cabins.clone(), 60);
    for (quantity, is_paid) in parties {
        let wanted = Wanted::Quantity { quantity, together: Together::Any };
        if let Some(no) = world.grabs(wanted)
            && is_paid
        {
            world.does(&world.payment(no)).unwrap();
        }
    }
    let all: Vec<Seat> = world.flight.map().seats_with(SeatStatus::Free).to_vec();
    let withdrawn: Seats = withdrawn.iter().filter_map(|&place| all.get(place).copied()).collect();
    if !withdrawn.is_empty() {
        let plan = SeatPlan::Without(withdrawn);
        world.does(&Command::ChangeSeatPlan { plan, cancel_stranded: false }).unwrap();
    }
    let before: BTreeMap<OrderNo, Order> = world.flight.orders().map(|o| (o.no, o.clone())).collect();
    let blocked: Seats = world.flight.map().seats_with(SeatStatus::Blocked);
    let outcome = world.swaps(plan.clone(), cancels);

    let mut room: BTreeMap<Group, usize> = BTreeMap::new();
    for cabin in &plan {
        let off_sale = blocked.iter().filter(|seat| cabin.has(**seat)).count();
        let seats = cabin.capacity() as usize - off_sale;
        *room.entry((cabin.cabin_class, cabin.fare.amount)).or_default() += seats;
    }
    let mut lost = 0;
    for (no, order) in &before {
        let after = world.flight.order(*no).unwrap();
        if after.status != order.status {
            prop_assert!(cancels && after.status == OrderStatus::Cancelled);
            lost += 1;
            continue;
        }
        if outcome.is_err() {
            prop_assert_eq!(after, order);
            continue;
        }
        prop_assert_eq!(after.total, order.total);
        let needs = groups_of(&cabins, order);
        prop_assert_eq!(&groups_of(&plan, after), &needs);
        for (group, seats) in needs {
            *room.get_mut(&group).unwrap() -= seats;
        }
    }
    // Nobody is sent away for whom there would have been room beside all who stay.
    let would_fit = |order: &&Order| {
        groups_of(&cabins, order)
            .iter()
            .all(|(group, seats)| room.get(group).is_some_and(|left| left >= seats))
    };
    let left = before.values().filter(|order| world.flight.order(order.no).unwrap().status != order.status);
    prop_assert_eq!(left.filter(would_fit).count(), 0);
    if let Err(refusal) = outcome {
        let is_meant = matches!(refusal, Refusal::OrdersWithoutSeats { .. }) && !cancels && lost == 0;
        prop_assert!(is_meant, "{}", refusal);
    }
    world.comes_back();
    Ok(())
}

#[test]
fn everybody_for_whom_there_is_room_gets_a_seat_of_their_class_and_fare() {
    let (mut runner, seed) = seed::runner(2_000);
    let parties = prop::collection::vec((1_u16..7, any::<bool>()), 0..12);
    let withdrawn = prop::collection::btree_set(0_usize..20, 0..4);
    let case = (plans(), parties, plans(), withdrawn, any::<bool>());
    if let Err(error) = runner.run(&case, swap_is_fair) {
        panic!("{error}\nreplay with FARERUSH_TEST_SEED={seed}");
    }
}
