//! What tests of stores, write-behind and recovery share: stores to run on, and flights with a random life.
//! Never used outside tests.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]

#[path = "../servers/mod.rs"]
pub(crate) mod servers;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use farerush_engine::flight::{
    Accept, AdminName, Cabin, CabinClass, Cause, Command, Covers, Currency, CustomerId, Decision, Epoch, Era,
    EraNonce, Event, Fare, Flight, FlightDefinition, FlightId, FlightIds, Grab, IdSecret, IdSecrets,
    IdempotencyKey, Layout, LookedThrough, Order, OrderNo, OrderRef, PassengerName, Payment, PolicyChange,
    Recorded, Reference, Refusal, SalePolicy, Salt, Seat, SeatPlan, Seats, Seq, TimeZoneName, Timestamp,
    Together, WaitlistId, WaitlistNo, WaitlistWish, Wanted,
};
use farerush_engine::journal::Batch;
use farerush_persistence::store::{Store, StoreOptions};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use servers::SqlServer;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tempfile::TempDir;

/// A runner of random cases that says its seed. `FARERUSH_TEST_SEED` repeats a run, `FARERUSH_TEST_CASES` makes it longer.
pub fn runner(cases: u32) -> TestRunner {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("FARERUSH_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let cases = number("FARERUSH_TEST_CASES").map_or(cases, |cases| cases.try_into().unwrap_or(u32::MAX));
    eprintln!("FARERUSH_TEST_SEED={seed}, {cases} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// A number from the environment, or one of chance, which is printed.
pub fn seed() -> u64 {
    let given = std::env::var("FARERUSH_TEST_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("FARERUSH_TEST_SEED={seed}");
    seed
}

/// Numbers of chance that a seed repeats.
pub struct Chance(u64);

impl Chance {
    pub fn new() -> Self {
        Self(seed())
    }

    /// One below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A store of its own, gone when dropped.
pub struct TestStore {
    pub name: &'static str,
    pub store: Store,
    pub url: String,
    _home: Home,
}

/// What a store lives in.
enum Home {
    Folder(#[allow(dead_code, reason = "held")] TempDir),
    Server(#[allow(dead_code, reason = "held")] Arc<SqlServer>),
}

/// A connection beside the store's own.
pub enum Beside {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
}

/// One fresh, migrated store of each kind.
pub async fn stores() -> Vec<TestStore> {
    vec![sqlite().await, mysql().await]
}

pub async fn sqlite() -> TestStore {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("deep/down/farerush.db").display());
    TestStore::migrated("sqlite", url, Home::Folder(folder)).await
}

/// A store in a database of its own, on a server that is there as long as some test wants one.
pub async fn mysql() -> TestStore {
    let (server, url) = database().await;
    TestStore::migrated("mysql", url, Home::Server(server)).await
}

/// An empty database of its own on the server that tests share.
pub async fn database() -> (Arc<SqlServer>, String) {
    static SHARED: Mutex<Weak<SqlServer>> = Mutex::new(Weak::new());
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(SqlServer::start(&["--max-connections=500"]));
            *shared = Arc::downgrade(&server);
            server
        })
    };
    let name = format!("farerush_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    run_sql(&server.url(), &format!("CREATE DATABASE {name}")).await;
    let url = format!("{}/{name}", server.url().trim_end_matches("/farerush"));
    (server, url)
}

/// Runs statements that need no arguments on a MySQL server; returns the rows affected.
pub async fn run_sql(url: &str, sql: &str) -> u64 {
    let mut connection = url.parse::<MySqlConnectOptions>().unwrap().connect().await.unwrap();
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap().rows_affected()
}

impl TestStore {
    async fn migrated(name: &'static str, url: String, home: Home) -> Self {
        let store = Store::open(&url, &options()).await.unwrap();
        store.migrate().await.unwrap();
        Self { name, store, url, _home: home }
    }

    /// A connection of the test's own.
    pub async fn beside(&self) -> Beside {
        match self.name {
            "sqlite" => {
                let options = SqliteConnectOptions::new().filename(self.url.trim_start_matches("sqlite:"));
                Beside::Sqlite(options.connect().await.unwrap())
            }
            _ => Beside::MySql(self.url.parse::<MySqlConnectOptions>().unwrap().connect().await.unwrap()),
        }
    }

    /// Keeps every other connection from writing until what is returned is dropped.
    pub async fn lock(&self) -> Beside {
        let mut beside = self.beside().await;
        let locking = match &beside {
            Beside::Sqlite(_) => "BEGIN IMMEDIATE",
            Beside::MySql(_) => "LOCK TABLES flight_cursor READ, flights READ, orders READ, tickets READ",
        };
        beside.run(locking).await;
        beside
    }
}

impl Beside {
    /// Runs a statement; returns the rows affected.
    pub async fn run(&mut self, sql: &'static str) -> u64 {
        self.run_text(sql).await
    }

    /// The same with a text that was put together.
    pub async fn run_text(&mut self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.unwrap().rows_affected(),
            Self::MySql(connection) => connection.execute(sql).await.unwrap().rows_affected(),
        }
    }
}

/// A flight and everything that happened to it.
pub struct Life {
    pub flight: Flight,
    pub events: Vec<Recorded>,
    now: i64,
    looked: LookedThrough,
}

pub const SALT: Salt = Salt(0xfedc_ba98_7654_3210);
/// What ids are made of.
pub fn secrets() -> Arc<IdSecrets> {
    Arc::new(IdSecrets::new(IdSecret::new([7; 32]), []))
}

/// How a test opens a store.
pub fn options() -> StoreOptions {
    StoreOptions { secrets: Some(secrets()), ..StoreOptions::default() }
}

const DAY_ONE: i64 = 1_790_000_000_000;

pub fn id(text: &str) -> FlightId {
    FlightId::new(text).unwrap()
}

pub fn cabin(cabin_class: CabinClass, rows: [u16; 2], layout: &str, amount: i64) -> Cabin {
    Cabin {
        cabin_class,
        first_row: rows[0],
        last_row: rows[1],
        layout: Layout::new(layout).unwrap(),
        fare: Fare { amount, currency: Currency::new("TWD").unwrap() },
    }
}

/// Another aircraft with more or fewer rows and seats abreast, or some seats withdrawn.
fn another_seat_plan(a: u16, b: u16) -> Command {
    let plan = if a.is_multiple_of(3) {
        let row = 10 + b % 6;
        SeatPlan::Without([b'A', b'D'].iter().filter_map(|&letter| Seat::new(row, letter).ok()).collect())
    } else {
        let cabins = vec![
            cabin(CabinClass::Business, [1, 1 + b % 3], "AC DF", 300_000),
            cabin(
                CabinClass::Economy,
                [10, 14 + a % 8],
                if b.is_multiple_of(2) { "ABC DEF" } else { "AB DE" },
                99_900,
            ),
        ];
        SeatPlan::Aircraft { aircraft: a.is_multiple_of(2).then(|| "A321".into()), cabins }
    };
    Command::ChangeSeatPlan { plan, cancel_stranded: !b.is_multiple_of(4) }
}

pub fn definition(flight_id: &str, cabins: Vec<Cabin>) -> FlightDefinition {
    FlightDefinition {
        flight_id: id(flight_id),
        flight_number: "FR101".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(DAY_ONE + 40 * 86_400_000),
        origin_time_zone: Some(TimeZoneName::new("Asia/Taipei").unwrap()),
        aircraft: Some("A320".into()),
        cabins,
        ids: FlightIds::with_eras(
            SALT,
            vec![Era { from: Seq(0), epoch: Epoch(1), secret: secrets().current(), nonce: EraNonce(7) }],
        ),
    }
}

impl Life {
    /// A flight on sale with two cabins, 8 + 60 seats: events 1 and 2.
    pub fn new(flight_id: &str) -> Self {
        let cabins = vec![
            cabin(CabinClass::Business, [1, 2], "AC DF", 300_000),
            cabin(CabinClass::Economy, [10, 19], "ABC DEF", 99_900),
        ];
        Self::with_cabins(flight_id, cabins)
    }

    pub fn with_cabins(flight_id: &str, cabins: Vec<Cabin>) -> Self {
        let policy = SalePolicy {
            max_seats_per_customer: 10_000,
            max_seats_per_order: 10_000,
            ..SalePolicy::default()
        };
        let created = Recorded {
            seq: Seq(1),
            at: Timestamp::from_millis(DAY_ONE),
            event: Event::FlightCreated { definition: Box::new(definition(flight_id, cabins)), policy },
            cause: None,
            head: None,
        };
        let mut flight = Flight::create(&created).unwrap();
        flight.unlock(&secrets()).unwrap();
        let mut life = Self { flight, events: vec![created], now: DAY_ONE, looked: LookedThrough::default() };
        life.command(&Command::OpenSale);
        life
    }

    pub fn id(&self) -> FlightId {
        self.flight.definition().flight_id.clone()
    }

    pub fn record(&mut self, event: Event) -> Seq {
        self.record_under(event, None)
    }

    pub fn record_under(&mut self, event: Event, cause: Option<Box<Cause>>) -> Seq {
        let mut recorded = Recorded {
            seq: self.flight.seq().next(),
            at: Timestamp::from_millis(self.now),
            event,
            cause,
            head: None,
        };
        self.flight.apply(&recorded);
        assert_eq!(self.flight.broken(), None, "{recorded:?}");
        recorded.head = self.flight.head();
        self.events.push(recorded);
        self.flight.seq()
    }

    /// Whether the command was granted and something happened.
    pub fn command(&mut self, command: &Command) -> bool {
        while let Some(expired) = self.flight.decide_expiry(Timestamp::from_millis(self.now)) {
            self.record(expired);
        }
        match self.flight.decide(command, Timestamp::from_millis(self.now)) {
            Ok(Decision::Record(event) | Decision::RecordRefused(event, _)) => {
                self.record(event);
                self.serve();
                true
            }
            _ => false,
        }
    }

    /// The same for a command that is no grab, under a key.
    pub fn command_under(&mut self, key: &str, command: &Command) -> Result<Decision, Refusal> {
        let (now, key) = (Timestamp::from_millis(self.now), IdempotencyKey::new(key).unwrap());
        while let Some(expired) = self.flight.decide_expiry(now) {
            self.record(expired);
        }
        let by = AdminName::new("ann").ok();
        let decision = self.flight.decide_under(by.as_ref(), &key, command.fingerprint(), command, now);
        if let Ok(Decision::Record(event)) = &decision {
            let cause = Cause { by, idempotency: Some((key, command.fingerprint())) };
            self.record_under(event.clone(), Some(Box::new(cause)));
            self.serve();
        }
        decision
    }

    /// Whoever waits and fits gets seats.
    pub fn serve(&mut self) {
        while let Some(served) =
            self.flight.decide_waitlist(&mut self.looked, Timestamp::from_millis(self.now))
        {
            self.record(served);
        }
    }

    /// A party that waits; it may be served at once.
    pub fn join(&mut self, customer: &str, party_size: u16, accept: Accept) -> WaitlistNo {
        let no = WaitlistNo(self.flight.seq().next().0);
        let wish = WaitlistWish {
            customer: CustomerId::new(customer).unwrap(),
            party_size,
            accept,
            cabin_class: None,
            expires_at: None,
            client_reference: None,
        };
        assert!(self.command(&Command::JoinWaitlist(Box::new(wish))), "a party of {party_size} joins");
        no
    }

    /// Something that may happen to a waitlist.
    fn waitlist_step(&self, a: u16, b: u16) -> Command {
        let known = self.flight.waitlist().nth(usize::from(a % 5));
        if b.is_multiple_of(4)
            && let Some(known) = known
        {
            return Command::LeaveWaitlist {
                entry: WaitlistId::of(&self.id(), &self.flight.definition().ids, known.no).entry,
            };
        }
        let party_size = 1 + b % 70;
        Command::JoinWaitlist(Box::new(WaitlistWish {
            customer: CustomerId::new(&format!("顧客-{}", a % 6)).unwrap(),
            party_size,
            accept: match a % 3 {
                0 => Accept::AllTogether,
                1 => Accept::All,
                _ => Accept::AtLeast(1 + party_size / 2),
            },
            cabin_class: a.is_multiple_of(5).then_some(CabinClass::Economy),
            expires_at: b
                .is_multiple_of(3)
                .then(|| Timestamp::from_millis(self.now + 1 + i64::from(a) * 100)),
            client_reference: a.is_multiple_of(4).then(|| Reference::new("their \"own\"").unwrap()),
        }))
    }

    pub fn grab(&mut self, customer: &str, quantity: u16) -> OrderNo {
        let wanted = Wanted::Quantity { quantity, together: Together::Any };
        assert!(self.command(&Command::Grab(grab(customer, wanted))), "grab of {quantity}");
        OrderNo(self.flight.seq().0)
    }

    /// What an order costs.
    pub fn price(&self, order: &Order) -> Covers {
        let currency = self.flight.definition().cabins[0].fare.currency;
        Covers::Amount { amount: order.total, currency }
    }

    /// The payment of what an order costs.
    pub fn payment(&self, no: OrderNo, reference: &str) -> Command {
        let covers = self.price(self.flight.order(no).unwrap());
        let payment = Some(Payment { reference: Reference::new(reference).unwrap(), covers });
        Command::Confirm { order: self.order_ref(no), payment }
    }

    pub fn order_ref(&self, no: OrderNo) -> OrderRef {
        self.flight.order_id(no).order
    }

    pub fn wait(&mut self, millis: i64) {
        self.now += millis;
    }

    pub fn batch(&self, epoch: u64, seqs: std::ops::RangeInclusive<u64>) -> Batch {
        let events = self.events.iter().filter(|event| seqs.contains(&event.seq.0)).cloned().collect();
        Batch { flight_id: self.id(), epoch: Epoch(epoch), events }
    }

    pub fn all(&self, epoch: u64) -> Batch {
        self.batch(epoch, 1..=u64::MAX)
    }

    /// The flight as it was after event `seq`.
    pub fn flight_at(&self, seq: u64) -> Flight {
        let mut flight = Flight::create(&self.events[0]).unwrap();
        for recorded in &self.events[1..] {
            if recorded.seq.0 <= seq {
                flight.apply(recorded);
            }
        }
        flight
    }

    fn some_order(&self, pick: u16) -> Option<&Order> {
        let mut orders: Vec<&Order> = self.flight.orders().collect();
        orders.sort_by_key(|order| order.no);
        (!orders.is_empty()).then(|| orders[usize::from(pick) % orders.len()])
    }

    /// Something that may happen to a flight, whichever the numbers say; most of the time it does.
    pub fn step(&mut self, kind: u8, a: u16, b: u16) {
        self.wait(i64::from(b) * if a.is_multiple_of(11) { 7_200 } else { 3 });
        let order = self.some_order(a).cloned();
        let order_ref = order.as_ref().map(|order| self.order_ref(order.no));
        let seat =
            |number: u16| Seat::new(10 + number % 10, b"ABCDEF"[usize::from(number / 10 % 6)]).unwrap();
        let command = match kind % 16 {
            _ if kind >= 220 => Some(self.waitlist_step(a, b)),
            _ if kind >= 212 => Some(another_seat_plan(a, b)),
            0..=4 => {
                let wanted = Wanted::Quantity { quantity: 1 + b % 4, together: Together::Preferred };
                let mut grab = grab(&format!("顧客-{}", a % 6), wanted);
                if a.is_multiple_of(2) {
                    grab.passengers = Some(names(1 + b % 4, a));
                }
                if a.is_multiple_of(3) {
                    grab.idempotency_key = Some(IdempotencyKey::new(&format!("key-{}", a % 9)).unwrap());
                }
                if a.is_multiple_of(5) {
                    grab.client_reference = Some(Reference::new("their \"own\", 'odd' reference").unwrap());
                }
                Some(Command::Grab(grab))
            }
            5 => {
                let seats: Seats = [seat(a), seat(a.wrapping_add(1))].into_iter().collect();
                Some(Command::Grab(grab("named", Wanted::Named(seats))))
            }
            6 | 7 => order.map(|known| Command::Confirm {
                order: self.order_ref(known.no),
                payment: Some(Payment {
                    reference: Reference::new(&format!("pay-{b}")).unwrap(),
                    covers: if b.is_multiple_of(2) {
                        Covers::OrderAt(known.changed_by)
                    } else {
                        self.price(&known)
                    },
                }),
            }),
            9 if b.is_multiple_of(2) => order_ref.map(|order| Command::Pay { order }),
            8 | 9 => order_ref.map(|order| Command::Cancel { order }),
            10 | 11 => order.map(|order| {
                let count = u16::try_from(order.seats.len()).unwrap();
                Command::Change {
                    order: self.order_ref(order.no),
                    // More than there are here would name one twice, which no checked request does.
                    seats: (!b.is_multiple_of(3) && count <= 60)
                        .then(|| (0..count).map(|place| seat(b.wrapping_add(place))).collect()),
                    passengers: (b.is_multiple_of(2) || b.is_multiple_of(3)).then(|| names(count, b)),
                }
            }),
            12 => Some(Command::Block([seat(a)].into_iter().collect())),
            13 => Some(Command::Unblock([seat(a)].into_iter().collect())),
            14 => Some(Command::ChangePolicy(PolicyChange {
                hold_seconds: Some(if a.is_multiple_of(3) { 0 } else { u32::from(b % 600) }),
                closes_at: Some(
                    (a.is_multiple_of(4)).then(|| Timestamp::from_millis(self.now + 1_000_000_000_000)),
                ),
                ..PolicyChange::default()
            })),
            _ if a.is_multiple_of(4) => {
                Some(Command::AddRows(cabin(CabinClass::Economy, [30 + a % 40, 30 + a % 40], "A C", 1)))
            }
            _ => Some(if a.is_multiple_of(2) { Command::PauseSale } else { Command::OpenSale }),
        };
        match command {
            Some(Command::Grab(grab)) => drop(self.command(&Command::Grab(grab))),
            Some(command) if b.is_multiple_of(3) => {
                drop(self.command_under(&format!("key-{}", b % 31), &command));
            }
            Some(command) => drop(self.command(&command)),
            None => {}
        }
    }
}

/// A flight with this many steps behind it, always the same ones.
pub fn life_of(flight_id: &str, steps: u16) -> Life {
    let mut life = Life::new(flight_id);
    for step in 0..steps {
        life.step((step % 251) as u8, step.wrapping_mul(31), step.wrapping_mul(7));
    }
    life
}

pub fn grab(customer: &str, wanted: Wanted) -> Grab {
    Grab {
        customer: CustomerId::new(customer).unwrap(),
        wanted,
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: None,
    }
}

fn names(count: u16, seed: u16) -> Arc<[Option<PassengerName>]> {
    let name = |place| !u16::wrapping_add(place, seed).is_multiple_of(3);
    (0..count)
        .map(|place| {
            name(place).then(|| PassengerName::new(&format!("O'Neil \"{seed}\" 林 {place}")).unwrap())
        })
        .collect()
}
