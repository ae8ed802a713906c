//! What the journals' tests share: random events, a seed that can be replayed, and a disk that can lose its power.
//! Never asserts anything.
#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod sim_disk;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use farerush_engine::flight::reseat::Moved;
use farerush_engine::flight::sale::SaleSwitch;
use farerush_engine::flight::{
    Accept, AdminName, Cabin, CabinClass, CabinsChange, Cause, ClosedForGood, Currency, CustomerId, Epoch,
    Era, EraNonce, Event, Fare, Fingerprint, FlightDefinition, FlightId, FlightIds, FlightSnapshot, Head,
    IdempotencyKey, KeyOwner, Layout, LeftBecause, Order, OrderExtras, OrderNo, OrderPlaced, OrderStatus,
    Outcome, PassengerName, Passengers, Recorded, Reference, Request, Reseated, ReturnedBecause, Sale,
    SalePolicy, Salt, Seat, Seats, SecretId, Seq, TimeZoneName, Timestamp, WaitlistEntry, WaitlistNo,
    WaitlistStatus, WaitlistWish,
};
use farerush_engine::journal::Batch;

/// The seed of this run: `FARERUSH_TEST_SEED`, or a new one; printed, so that a failure can be replayed.
pub(crate) fn test_seed() -> u64 {
    let given = std::env::var("FARERUSH_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one("seed"));
    println!("FARERUSH_TEST_SEED={seed}");
    seed
}

/// SplitMix64: small, and good enough to wander about with.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(2).then(|| make(self))
    }

    /// Numbers of all sizes, the ends included.
    fn number(&mut self) -> i64 {
        let bits = self.below(64);
        (self.next().cast_signed() >> bits).wrapping_add(i64::from(self.one_in(2)))
    }
}

pub(crate) fn flight_id(number: usize) -> FlightId {
    FlightId::new(&format!("FR{number}-20261224")).unwrap()
}

/// A small event, such as most are.
pub(crate) fn order_event(number: u64) -> Event {
    Event::OrderPlaced(Box::new(OrderPlaced {
        customer: CustomerId::new(&format!("customer-{number}")).unwrap(),
        seats: [Seat::new(12, b'A').unwrap(), Seat::new(12, b'B').unwrap()].into_iter().collect(),
        total: 199_800,
        hold_expires_at: None,
        passengers: None,
        client_reference: None,
        idempotency: Some((IdempotencyKey::new(&format!("key-{number}")).unwrap(), Fingerprint(number))),
    }))
}

pub(crate) fn small_events(first: u64, count: u64) -> Vec<Recorded> {
    (first..first + count)
        .map(|seq| Recorded {
            seq: Seq(seq),
            at: Timestamp::from_millis(1_800_000_000_000 + seq.cast_signed()),
            event: order_event(seq),
            cause: None,
            head: None,
        })
        .collect()
}

pub(crate) fn batch(flight: usize, epoch: u64, first: u64, count: u64) -> Batch {
    Batch { flight_id: flight_id(flight), epoch: Epoch(epoch), events: small_events(first, count) }
}

pub(crate) fn random_batch(
    rng: &mut Rng,
    flight_id: &FlightId,
    epoch: Epoch,
    first: Seq,
    count: u64,
) -> Batch {
    let events = (first.0..first.0 + count)
        .map(|seq| Recorded {
            seq: Seq(seq),
            at: Timestamp::from_millis(rng.number()),
            event: random_event(rng, flight_id),
            cause: rng.one_in(3).then(|| Box::new(random_cause(rng))),
            head: rng.maybe(random_head),
        })
        .collect();
    Batch { flight_id: flight_id.clone(), epoch, events }
}

pub(crate) fn random_event(rng: &mut Rng, flight_id: &FlightId) -> Event {
    let order = OrderNo(rng.next() >> rng.below(64));
    match rng.below(28) {
        27 => Event::SaleEnded,
        0 => Event::FlightCreated {
            definition: Box::new(random_definition(rng, flight_id)),
            policy: random_policy(rng),
        },
        1 => Event::SaleSwitched { switch: random_switch(rng), policy: random_policy(rng) },
        26 => Event::TakenOver {
            epoch: Epoch(rng.next()),
            secret: SecretId(rng.next()),
            nonce: EraNonce(rng.next()),
        },
        2 => Event::PolicyChanged { policy: random_policy(rng) },
        3 => Event::SeatsBlocked { seats: random_seats(rng) },
        4 => Event::SeatsUnblocked { seats: random_seats(rng) },
        5 => Event::RowsAdded { cabin: Box::new(random_cabin(rng, 1, 9)) },
        6 => Event::OrderConfirmed {
            order,
            payment_reference: rng.maybe(random_reference),
            seats: random_seats(rng),
        },
        7 => Event::OrderCancelled { order, freed: random_seats(rng) },
        8 => Event::OrderExpired { order, freed: random_seats(rng) },
        9 => Event::OrderChanged {
            order,
            seats: random_seats(rng),
            freed: random_seats(rng),
            held: rng.one_in(2),
            total: rng.number(),
            passengers: rng.maybe(random_passengers),
        },
        13 => Event::CabinsChanged(Box::new(CabinsChange {
            aircraft: rng.maybe(|_| "A321".into()),
            cabins: vec![random_cabin(rng, 1, 9)],
            blocked: random_seats(rng),
            seated: (0..rng.below(4)).map(|no| (OrderNo(no), random_seats(rng))).collect(),
            cancelled: (0..rng.below(4)).map(OrderNo).collect(),
            told: rng.maybe(random_reseated).map(Arc::new),
        })),
        21 => Event::ClosedForGood(Box::new(ClosedForGood {
            policy: random_policy(rng),
            cancelled: (0..rng.below(4)).map(|no| (OrderNo(no), random_seats(rng))).collect(),
        })),
        22 => Event::NothingChanged {
            order: rng.maybe(|rng| OrderNo(rng.next())),
            entry: rng.maybe(|rng| WaitlistNo(rng.next())),
        },
        23 => Event::Forgotten { through: Seq(rng.next()) },
        14 => Event::PaymentBegun { order, hold_expires_at: random_moment(rng) },
        24 => Event::PaymentReturned {
            order,
            payment_reference: random_reference(rng),
            amount: rng.number(),
            currency: Currency::new("TWD").unwrap(),
            because: *rng.pick(&[
                ReturnedBecause::TooLate,
                ReturnedBecause::PaidAlready,
                ReturnedBecause::Cancelled,
            ]),
        },
        15 => Event::OrderRevived {
            order,
            seats: random_seats(rng),
            payment_reference: rng.maybe(random_reference),
        },
        18 => Event::WaitlistJoined(Box::new(random_wish(rng))),
        19 => Event::WaitlistLeft {
            entry: WaitlistNo(rng.next()),
            reason: *rng.pick(&[LeftBecause::GivenUp, LeftBecause::Expired]),
        },
        20 => Event::WaitlistServed { entry: WaitlistNo(rng.next()), placed: Box::new(random_placed(rng)) },
        _ => Event::OrderPlaced(Box::new(random_placed(rng))),
    }
}

fn random_placed(rng: &mut Rng) -> OrderPlaced {
    OrderPlaced {
        customer: CustomerId::new(&random_text(rng, 128)).unwrap(),
        seats: random_seats(rng),
        total: rng.number(),
        hold_expires_at: rng.maybe(random_moment),
        passengers: rng.maybe(random_passengers),
        client_reference: rng.maybe(random_reference),
        idempotency: rng.maybe(random_idempotency),
    }
}

fn random_wish(rng: &mut Rng) -> WaitlistWish {
    let fewest = u16::try_from(rng.below(1 << 16)).unwrap();
    WaitlistWish {
        customer: CustomerId::new(&random_text(rng, 128)).unwrap(),
        party_size: u16::try_from(rng.below(1 << 16)).unwrap(),
        accept: *rng.pick(&[Accept::AllTogether, Accept::All, Accept::AtLeast(fewest)]),
        cabin_class: rng.maybe(|rng| *rng.pick(&CabinClass::ALL)),
        expires_at: rng.maybe(random_moment),
        client_reference: rng.maybe(random_reference),
    }
}

fn random_waitlisted(rng: &mut Rng) -> WaitlistEntry {
    let served = WaitlistStatus::Served(OrderNo(rng.next()));
    WaitlistEntry {
        no: WaitlistNo(rng.next()),
        wish: random_wish(rng),
        status: *rng.pick(&[WaitlistStatus::Waiting, served, WaitlistStatus::Left, WaitlistStatus::Expired]),
        created_at: random_moment(rng),
        updated_at: random_moment(rng),
        changed_by: Seq(rng.next()),
    }
}

pub(crate) fn random_snapshot(rng: &mut Rng, flight_id: &FlightId) -> FlightSnapshot {
    let orders = rng.below(20);
    FlightSnapshot {
        definition: random_definition(rng, flight_id),
        sale: Sale { policy: random_policy(rng), switch: random_switch(rng) },
        seq: Seq(rng.next() >> rng.below(64)),
        last_at: random_moment(rng),
        head: rng.maybe(random_head),
        forgotten_through: Seq(if rng.one_in(2) { 0 } else { rng.next() }),
        blocked: random_seats(rng),
        orders: (0..orders).map(|_| random_order(rng)).collect(),
        requests: (0..rng.below(5)).map(|_| random_request(rng)).collect(),
        waitlist: (0..rng.below(5)).map(|_| random_waitlisted(rng)).collect(),
    }
}

fn random_order(rng: &mut Rng) -> Order {
    Order {
        no: OrderNo(rng.next()),
        customer: CustomerId::new(&random_text(rng, 128)).unwrap(),
        seats: random_seats(rng),
        total: rng.number(),
        status: *rng.pick(&OrderStatus::ALL),
        hold_expires_at: rng.maybe(random_moment),
        created_at: random_moment(rng),
        updated_at: random_moment(rng),
        changed_by: Seq(rng.next()),
        proof: rng.maybe(random_head),
        extras: rng.maybe(|rng| {
            Box::new(OrderExtras {
                payment_begun_at: rng.maybe(random_moment),
                passengers: rng.maybe(random_passengers),
                client_reference: rng.maybe(random_reference),
                payment_reference: rng.maybe(random_reference),
                returned_payments: (0..rng.below(3)).map(|_| random_reference(rng)).collect(),
                idempotency: rng.maybe(random_idempotency),
            })
        }),
    }
}

pub(crate) fn random_head(rng: &mut Rng) -> Head {
    Head::from_bytes(std::array::from_fn(|_| u8::try_from(rng.below(256)).unwrap()))
}

fn random_ids(rng: &mut Rng) -> FlightIds {
    let (mut from, mut epoch) = (0, 0);
    let eras = (0..rng.below(4)).map(|_| {
        let era = Era {
            from: Seq(from),
            epoch: Epoch(epoch),
            secret: SecretId(rng.next()),
            nonce: EraNonce(rng.next()),
        };
        from += 1 + rng.below(1_000);
        epoch += 1 + rng.below(3);
        era
    });
    let eras = eras.collect();
    FlightIds::with_eras(Salt(rng.next()), eras)
}

fn random_definition(rng: &mut Rng, flight_id: &FlightId) -> FlightDefinition {
    let cabins =
        (0..=u16::try_from(rng.below(4)).unwrap()).map(|n| random_cabin(rng, 1 + n * 20, 1 + n * 20));
    FlightDefinition {
        flight_id: flight_id.clone(),
        cabins: cabins.collect(),
        flight_number: "FR101".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: random_moment(rng),
        origin_time_zone: rng.maybe(|_| TimeZoneName::new("Asia/Taipei").unwrap()),
        aircraft: rng.maybe(|_| "A320".into()),
        ids: random_ids(rng),
    }
}

fn random_cabin(rng: &mut Rng, first_row: u16, last_row: u16) -> Cabin {
    Cabin {
        cabin_class: *rng.pick(&CabinClass::ALL),
        first_row,
        last_row: last_row + u16::try_from(rng.below(20)).unwrap(),
        layout: Layout::new(rng.pick::<&str>(&["ABC DEF", "A", "A DG K", "ABC DEFG HJK"])).unwrap(),
        fare: Fare {
            amount: i64::try_from(rng.below(1_000_000_000_001)).unwrap(),
            currency: Currency::new("TWD").unwrap(),
        },
    }
}

fn random_policy(rng: &mut Rng) -> SalePolicy {
    SalePolicy {
        opens_at: rng.maybe(random_moment),
        closes_at: rng.maybe(random_moment),
        max_seats_per_order: u16::try_from(rng.below(10_000)).unwrap() + 1,
        max_seats_per_customer: u16::try_from(rng.below(10_000)).unwrap() + 1,
        hold_seconds: u32::try_from(rng.below(1 << 20)).unwrap(),
        payment_grace_seconds: u32::try_from(rng.below(86_401)).unwrap(),
        closes_before_minutes: u16::try_from(rng.below(10_081)).unwrap(),
    }
}

fn random_switch(rng: &mut Rng) -> SaleSwitch {
    *rng.pick(&[SaleSwitch::Scheduled, SaleSwitch::Open, SaleSwitch::Paused, SaleSwitch::Closed])
}

fn random_moment(rng: &mut Rng) -> Timestamp {
    Timestamp::from_millis(rng.number())
}

fn random_seats(rng: &mut Rng) -> Seats {
    let count = if rng.one_in(20) { rng.below(400) } else { rng.below(10) };
    (0..count).map(|_| Seat::new(u16::try_from(rng.below(999)).unwrap() + 1, b'A').unwrap()).collect()
}

/// Often nobody is named, which makes long runs of zeros in a record.
fn random_passengers(rng: &mut Rng) -> Passengers {
    let count = if rng.one_in(4) { rng.below(3_000) } else { rng.below(9) };
    let one_named_in = 1 + rng.below(5_000);
    (0..count)
        .map(|_| rng.one_in(one_named_in).then(|| PassengerName::new(&random_text(rng, 60)).unwrap()))
        .collect()
}

fn random_reference(rng: &mut Rng) -> Reference {
    Reference::new(&random_text(rng, 128)).unwrap()
}

fn random_idempotency(rng: &mut Rng) -> (IdempotencyKey, Fingerprint) {
    let key: String = (0..=rng.below(127)).map(|_| char::from(b'!' + rng.byte() % 94)).collect();
    (IdempotencyKey::new(&key).unwrap(), Fingerprint(rng.next()))
}

fn random_cause(rng: &mut Rng) -> Cause {
    let name = |rng: &mut Rng| AdminName::new(rng.pick::<&str>(&["ann", "ops@example.com", "x"])).unwrap();
    Cause { by: rng.maybe(name), idempotency: rng.maybe(random_idempotency) }
}

fn random_request(rng: &mut Rng) -> Request {
    let (key, fingerprint) = random_idempotency(rng);
    let customer = |rng: &mut Rng| KeyOwner::Customer(CustomerId::new(&random_text(rng, 128)).unwrap());
    Request {
        owner: rng.maybe(customer).unwrap_or(KeyOwner::Admins),
        key,
        fingerprint,
        seq: Seq(rng.next() >> rng.below(64)),
        at: random_moment(rng),
        order: rng.maybe(|rng| OrderNo(rng.next())),
        outcome: match rng.below(3) {
            0 => Outcome::Shown,
            1 => Outcome::Closed { cancelled: u32::try_from(rng.below(1 << 32)).unwrap() },
            _ => Outcome::Reseated(Arc::new(random_reseated(rng))),
        },
    }
}

fn random_reseated(rng: &mut Rng) -> Reseated {
    let moved =
        |rng: &mut Rng| Moved { order: OrderNo(rng.next()), from: random_seats(rng), to: random_seats(rng) };
    Reseated {
        capacity: u32::try_from(rng.below(1 << 32)).unwrap(),
        kept: u32::try_from(rng.below(1 << 32)).unwrap(),
        moved: (0..rng.below(4)).map(|_| moved(rng)).collect(),
        split: (0..rng.below(4)).map(|_| OrderNo(rng.next())).collect(),
        stranded: (0..rng.below(4)).map(|_| (OrderNo(rng.next()), rng.one_in(2))).collect(),
    }
}

fn random_text(rng: &mut Rng, bytes_max: u64) -> String {
    let bytes = 1 + rng.index(usize::try_from(bytes_max).unwrap());
    let mut text = String::new();
    while text.len() < bytes {
        let next = *rng.pick(&['a', 'Z', '7', '-', '林', 'é', 'ø']);
        if text.len() + next.len_utf8() > usize::try_from(bytes_max).unwrap() {
            break;
        }
        text.push(next);
    }
    text
}
