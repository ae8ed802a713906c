//! Random grabs, cancellations, expiries, joins and leaves against a waitlist and a simple mind that looks at every seat:
//! no seat stays free while a party waits that it fits, nobody is overtaken, and replay gives the same flight.
//!
//! `FARERUSH_TEST_CASES` sets how many sequences (3,000), `FARERUSH_TEST_SEED` (64 hexadecimal digits) replays a run.

mod seed;
mod unlocked;

use std::collections::BTreeMap;

use farerush_engine::flight::seat_map::SeatStatus;
use farerush_engine::flight::seating::are_side_by_side;
use farerush_engine::flight::{
    Accept, Cabin, CabinClass, Command, Covers, Currency, CustomerId, Decision, Event, Fare, Flight,
    FlightDefinition, FlightId, FlightIds, Grab, Layout, LookedThrough, OrderNo, Payment, PolicyChange,
    Recorded, Reference, SalePolicy, SaleState, Salt, Seat, Seats, Seq, Timestamp, Together, WaitlistId,
    WaitlistNo, WaitlistStatus, WaitlistWish, Wanted,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use unlocked::unlocked;

/// Something that happens; orders and entries are named by how many ago they came.
#[derive(Debug, Clone)]
enum Step {
    Grab { customer: u8, quantity: u16, together: Together },
    Cancel { ago: usize },
    Confirm { ago: usize },
    Move { ago: usize, seats: Vec<(u16, u8)> },
    Join { customer: u8, party_size: u16, accept: Accept, class: Option<CabinClass>, seconds: Option<i64> },
    Leave { ago: usize },
    Block(Vec<(u16, u8)>),
    Unblock(Vec<(u16, u8)>),
    AddRow(u16),
    Switch(u8),
    Limits { order: u16, customer: u16, hold_seconds: u32 },
    OpenLater(i64),
    CloseLater(i64),
    Wait { seconds: i64 },
}

fn seats() -> impl Strategy<Value = Vec<(u16, u8)>> {
    prop::collection::vec((1_u16..8, prop::sample::select(b"ABCDEF".to_vec())), 1..5)
}

fn accept() -> impl Strategy<Value = Accept> {
    prop_oneof![Just(Accept::AllTogether), Just(Accept::All), (1_u16..5).prop_map(Accept::AtLeast)]
}

fn step() -> impl Strategy<Value = Step> {
    let together = prop::sample::select(vec![Together::Required, Together::Preferred, Together::Any]);
    let class = prop::option::weighted(
        0.3,
        prop::sample::select(vec![CabinClass::Economy, CabinClass::Business, CabinClass::First]),
    );
    let moment = prop::option::weighted(0.3, prop::sample::select(vec![5_i64, 10, 60, 3600]));
    prop_oneof![
        10 => (0_u8..9, 1_u16..7, together)
            .prop_map(|(customer, quantity, together)| Step::Grab { customer, quantity, together }),
        10 => (0_usize..9).prop_map(|ago| Step::Cancel { ago }),
        2 => (0_usize..5).prop_map(|ago| Step::Confirm { ago }),
        2 => (0_usize..5, seats()).prop_map(|(ago, seats)| Step::Move { ago, seats }),
        12 => (0_u8..7, 1_u16..6, accept(), class, moment).prop_map(
            |(customer, party_size, accept, class, seconds)| Step::Join { customer, party_size, accept, class, seconds }
        ),
        2 => (0_usize..6).prop_map(|ago| Step::Leave { ago }),
        2 => seats().prop_map(Step::Block),
        2 => seats().prop_map(Step::Unblock),
        1 => (9_u16..12).prop_map(Step::AddRow),
        2 => (0_u8..7).prop_map(Step::Switch),
        2 => (1_u16..7, 1_u16..20, prop::sample::select(vec![0, 10, 60]))
            .prop_map(|(order, customer, hold_seconds)| Step::Limits { order, customer, hold_seconds }),
        1 => prop::sample::select(vec![1_i64, 10, 600]).prop_map(Step::OpenLater),
        1 => prop::sample::select(vec![1_i64, 10, 600]).prop_map(Step::CloseLater),
        4 => prop::sample::select(vec![1_i64, 9, 10, 60, 600, 3600, 25 * 3600]).prop_map(|seconds| Step::Wait { seconds }),
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
        departs_at: Timestamp::from_millis(3 * 24 * 3_600_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![
            cabin(CabinClass::Business, 1, 1, "AC DF", 900),
            cabin(CabinClass::Economy, 2, 3, "ABC DEF", 100),
            cabin(CabinClass::Economy, 5, 6, "AB DE", 150),
        ],
        ids: FlightIds::new(Salt(99)),
    };
    let opens_at = Some(Timestamp::from_millis(0));
    let policy = SalePolicy { opens_at, hold_seconds, ..SalePolicy::default() };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    Recorded { seq: Seq(1), at: Timestamp::from_millis(1_000), event, cause: None, head: None }
}

type Outcome = Result<(), TestCaseError>;

/// A party as a simple mind writes it down.
#[derive(Debug, Clone)]
struct Party {
    wish: WaitlistWish,
    deadline: Timestamp,
}

struct World {
    flight: Flight,
    looked: LookedThrough,
    history: Vec<Recorded>,
    /// Those that wait, in their order.
    waiting: BTreeMap<u64, Party>,
    joined: Vec<u64>,
    placed: Vec<OrderNo>,
    now: Timestamp,
    served: usize,
}

impl World {
    fn new(hold_seconds: u32) -> Self {
        let first = created(hold_seconds);
        let flight = unlocked(Flight::create(&first));
        Self {
            flight,
            looked: LookedThrough::default(),
            history: vec![first],
            waiting: BTreeMap::new(),
            joined: Vec::new(),
            placed: Vec::new(),
            now: Timestamp::from_millis(1_000),
            served: 0,
        }
    }

    fn order_ago(&self, ago: usize) -> OrderNo {
        self.placed.iter().rev().nth(ago).copied().unwrap_or(OrderNo(1))
    }

    fn record(&mut self, event: Event) -> Outcome {
        let recorded =
            Recorded { seq: self.flight.seq().next(), at: self.now, event, cause: None, head: None };
        match &recorded.event {
            Event::OrderPlaced(_) => self.placed.push(OrderNo(recorded.seq.0)),
            Event::WaitlistServed { entry, .. } => {
                self.placed.push(OrderNo(recorded.seq.0));
                self.waiting.remove(&entry.0);
                self.served += 1;
            }
            Event::WaitlistLeft { entry, .. } => {
                prop_assert!(self.waiting.remove(&entry.0).is_some(), "{} did not wait", entry.0);
            }
            Event::WaitlistJoined(wish) => {
                let departs_at = self.flight.definition().departs_at;
                let deadline = wish.expires_at.map_or(departs_at, |at| at.min(departs_at));
                self.waiting.insert(recorded.seq.0, Party { wish: (**wish).clone(), deadline });
                self.joined.push(recorded.seq.0);
            }
            _ => {}
        }
        self.flight.apply(&recorded);
        prop_assert_eq!(self.flight.broken(), None);
        self.history.push(recorded);
        Ok(())
    }

    /// What the actor does around every command.
    fn settle(&mut self) -> Outcome {
        while let Some(event) = self.flight.decide_expiry(self.now) {
            self.record(event)?;
        }
        self.serve()
    }

    fn serve(&mut self) -> Outcome {
        loop {
            let anew = self.flight.decide_waitlist(&mut LookedThrough::default(), self.now);
            let next = self.flight.decide_waitlist(&mut self.looked, self.now);
            prop_assert_eq!(&next, &anew, "what was looked at before is passed over, and nobody is");
            let Some(event) = next else { break };
            let Event::WaitlistServed { entry, placed } = &event else {
                return Err(TestCaseError::fail("only an order comes from a waitlist"));
            };
            self.check_served(*entry, &placed.seats)?;
            prop_assert!(placed.hold_expires_at.is_some_and(|at| at > self.now), "it is a hold");
            self.record(event)?;
        }
        let in_vain = self.first_that_fits(self.now);
        prop_assert_eq!(in_vain, None, "it waits though it fits");
        Ok(())
    }

    /// Nobody in front of it fits, and it gets what it accepts.
    fn check_served(&self, entry: WaitlistNo, seats: &Seats) -> Outcome {
        let first = self.first_that_fits(self.now);
        prop_assert_eq!(first, Some(entry.0), "somebody is overtaken");
        let wish = &self.waiting[&entry.0].wish;
        for seat in seats {
            prop_assert_eq!(self.flight.map().status(*seat), Some(SeatStatus::Free));
            let its = self.flight.map().cabin_of(*seat).unwrap().cabin_class;
            prop_assert!(wish.cabin_class.is_none_or(|class| class == its));
        }
        let most =
            self.allowed(wish).min(usize::from(wish.party_size)).min(self.free(wish.cabin_class).len());
        match wish.accept {
            Accept::AllTogether => prop_assert!(are_side_by_side(self.flight.map(), seats), "{:?}", seats),
            Accept::All => prop_assert_eq!(seats.len(), usize::from(wish.party_size)),
            Accept::AtLeast(_) => prop_assert_eq!(seats.len(), most, "as many as possible"),
        }
        Ok(())
    }

    fn free(&self, class: Option<CabinClass>) -> Vec<Seat> {
        let mut free = Vec::new();
        for cabin in &self.flight.definition().cabins {
            for row in cabin.first_row..=cabin.last_row {
                let seats = cabin.layout.letters().iter().map(|letter| Seat::new(row, *letter).unwrap());
                let is_free = |seat: &Seat| self.flight.map().status(*seat) == Some(SeatStatus::Free);
                if class.is_none_or(|class| class == cabin.cabin_class) {
                    free.extend(seats.filter(is_free));
                }
            }
        }
        free
    }

    fn allowed(&self, wish: &WaitlistWish) -> usize {
        let live = self.flight.orders().filter(|o| o.status.is_live() && o.customer == wish.customer);
        let holding: usize = live.map(|order| order.seats.len()).sum();
        let policy = &self.flight.sale().policy;
        let left = usize::from(policy.max_seats_per_customer).saturating_sub(holding);
        left.min(usize::from(policy.max_seats_per_order))
    }

    /// The first party that could have seats now, found seat by seat.
    fn first_that_fits(&self, now: Timestamp) -> Option<u64> {
        if self.flight.sale_state(now) != SaleState::Open {
            return None;
        }
        let fits = |party: &Party| {
            let (wish, size) = (&party.wish, usize::from(party.wish.party_size));
            let (free, allowed) = (self.free(wish.cabin_class), self.allowed(wish));
            party.deadline > now
                && match wish.accept {
                    Accept::AllTogether => allowed >= size && self.some_row_has(size, wish.cabin_class),
                    Accept::All => allowed.min(free.len()) >= size,
                    Accept::AtLeast(fewest) => allowed.min(free.len()) >= usize::from(fewest),
                }
        };
        self.waiting.iter().find(|(_, party)| fits(party)).map(|(no, _)| *no)
    }

    fn some_row_has(&self, size: usize, class: Option<CabinClass>) -> bool {
        self.flight.definition().cabins.iter().any(|cabin| {
            (cabin.first_row..=cabin.last_row).any(|row| {
                let is_free = |letter| {
                    self.flight.map().status(Seat::new(row, letter).unwrap()) == Some(SeatStatus::Free)
                };
                class.is_none_or(|class| class == cabin.cabin_class)
                    // A space in the layout is an aisle, and nobody sits side by side across one.
                    && cabin.layout.as_str().split(' ').any(|group| {
                        let mut run = 0;
                        group.bytes().any(|letter| {
                            run = if is_free(letter) { run + 1 } else { 0 };
                            run >= size
                        })
                    })
            })
        })
    }

    fn command(&self, step: &Step) -> Command {
        let later = |seconds: i64| self.now.plus_millis(seconds * 1000);
        let order = |ago: usize| self.flight.order_id(self.order_ago(ago)).order;
        match step {
            Step::Grab { customer, quantity, together } => Command::Grab(Grab {
                customer: customer_id(*customer),
                wanted: Wanted::Quantity { quantity: *quantity, together: *together },
                cabin_class: None,
                passengers: None,
                client_reference: None,
                idempotency_key: None,
            }),
            Step::Cancel { ago } => Command::Cancel { order: order(*ago) },
            Step::Confirm { ago } => {
                let known = self.flight.order(self.order_ago(*ago));
                let covers = Covers::OrderAt(known.map_or(Seq(0), |order| order.changed_by));
                let payment = Some(Payment { reference: Reference::new("p").unwrap(), covers });
                Command::Confirm { order: order(*ago), payment }
            }
            Step::Move { ago, seats } => {
                Command::Change { order: order(*ago), seats: Some(distinct(seats)), passengers: None }
            }
            Step::Join { customer, party_size, accept, class, seconds } => {
                Command::JoinWaitlist(Box::new(WaitlistWish {
                    customer: customer_id(*customer),
                    party_size: *party_size,
                    accept: *accept,
                    cabin_class: *class,
                    expires_at: seconds.map(later),
                    client_reference: None,
                }))
            }
            Step::Leave { ago } => {
                let no = WaitlistNo(self.joined.iter().rev().nth(*ago).copied().unwrap_or(1));
                let definition = self.flight.definition();
                let id = WaitlistId::of(&definition.flight_id, &definition.ids, no);
                Command::LeaveWaitlist { entry: id.entry }
            }
            Step::Block(seats) => Command::Block(distinct(seats)),
            Step::Unblock(seats) => Command::Unblock(distinct(seats)),
            Step::AddRow(row) => Command::AddRows(cabin(CabinClass::Economy, *row, *row, "ABC DEF", 100)),
            Step::Switch(0) => Command::PauseSale,
            Step::Switch(1) => Command::CloseSale,
            Step::Switch(_) | Step::Wait { .. } => Command::OpenSale,
            Step::Limits { order, customer, hold_seconds } => Command::ChangePolicy(PolicyChange {
                max_seats_per_order: Some(*order),
                max_seats_per_customer: Some(*customer),
                hold_seconds: Some(*hold_seconds),
                ..PolicyChange::default()
            }),
            Step::OpenLater(seconds) => Command::ChangePolicy(PolicyChange {
                opens_at: Some(Some(later(*seconds))),
                closes_at: Some(None),
                ..PolicyChange::default()
            }),
            Step::CloseLater(seconds) => Command::ChangePolicy(PolicyChange {
                closes_at: Some(Some(later(*seconds))),
                ..PolicyChange::default()
            }),
        }
    }

    fn take(&mut self, step: &Step) -> Outcome {
        if let Step::Wait { seconds } = step {
            return self.wait(*seconds);
        }
        let command = self.command(step);
        let before = self.flight.digest();
        let decision = self.flight.decide(&command, self.now);
        prop_assert_eq!(self.flight.digest(), before, "deciding changes nothing");
        if let Ok(Decision::Record(event) | Decision::RecordRefused(event, _)) = decision {
            self.record(event)?;
        }
        self.serve()
    }

    /// Time goes by as it does for the actor: it looks whenever the flight says that something happens by itself, and
    /// between those moments nothing does.
    fn wait(&mut self, seconds: i64) -> Outcome {
        let until = self.now.plus_millis(seconds * 1000);
        while let Some(next) = self.flight.next_expiry(self.now).filter(|next| *next <= until) {
            prop_assert!(next > self.now, "it is woken again and again for nothing");
            let just_before = next.plus_millis(-1);
            prop_assert_eq!(self.first_that_fits(just_before), None, "nobody woke up to serve it");
            self.now = next;
            self.settle()?;
        }
        prop_assert_eq!(self.first_that_fits(until), None, "nobody woke up to serve it");
        self.now = until;
        self.settle()
    }

    fn check(&self) -> Outcome {
        if let Err(broken) = self.flight.check() {
            return Err(TestCaseError::fail(broken.to_string()));
        }
        let waiting: Vec<u64> = self
            .flight
            .waitlist()
            .filter(|entry| entry.status == WaitlistStatus::Waiting)
            .map(|entry| entry.no.0)
            .collect();
        prop_assert_eq!(&waiting, &self.waiting.keys().copied().collect::<Vec<_>>());
        let mut seats_ahead = 0;
        for (place, no) in waiting.iter().enumerate() {
            let shown = self.flight.waitlist_place(WaitlistNo(*no)).unwrap();
            prop_assert_eq!((shown.parties_ahead as usize, shown.seats_ahead), (place, seats_ahead));
            seats_ahead += u32::from(self.waiting[no].wish.party_size);
        }
        for (entry, place) in self.flight.waitlist_after(None, 10_000) {
            prop_assert_eq!(place, self.flight.waitlist_place(entry.no));
        }
        Ok(())
    }

    fn check_replay(&self) -> Outcome {
        let mut replayed = Flight::create(&self.history[0]).unwrap();
        for recorded in &self.history[1..] {
            replayed.apply(recorded);
        }
        prop_assert_eq!(replayed.digest(), self.flight.digest(), "replay gives the same flight");
        let restored = Flight::restore(self.flight.snapshot());
        let restored = restored.map_err(|broken| TestCaseError::fail(broken.to_string()))?;
        prop_assert_eq!(restored.digest(), self.flight.digest(), "and so does a snapshot");
        for again in [replayed, restored] {
            prop_assert_eq!(
                again.decide_waitlist(&mut LookedThrough::default(), self.now),
                None,
                "nobody fits after a restart either"
            );
        }
        Ok(())
    }
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

#[test]
fn no_seat_is_idle_while_a_party_fits_and_nobody_is_overtaken() {
    let (mut runner, digits) = seed::runner(3_000);
    let sequences = (prop::sample::select(vec![0_u32, 10, 60]), prop::collection::vec(step(), 1..60));
    let served = std::cell::Cell::new(0);
    let outcome = runner.run(&sequences, |(hold_seconds, steps)| {
        let mut world = World::new(hold_seconds);
        // Full at first, so that parties have to wait.
        for customer in 20..29 {
            world.take(&Step::Grab { customer, quantity: 3, together: Together::Any })?;
        }
        for step in &steps {
            world.take(step)?;
            world.check()?;
        }
        served.set(served.get() + world.served);
        world.check_replay()
    });
    if let Err(error) = outcome {
        panic!("{error}\nreplay with FARERUSH_TEST_SEED={digits}");
    }
    assert!(served.get() > 0, "nobody was ever served, so nothing was tested");
}
