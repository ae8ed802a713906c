//! What one customer, and one address, can make one flight keep: memory, journal and SQLite, measured for each kind of
//! thing, of many customers at once so that the figures stand out. Prints the tables of `docs/limits.md`; `cargo test -p
//! farerush-persistence --test kept -- --nocapture`. Never shares its process with another test, because what is asked is how
//! large the process is.

use std::sync::Arc;

use farerush_engine::flight::budget::{
    BYTES_PER_CUSTOMER, BYTES_PER_SEAT, THINGS_PER_CUSTOMER, THINGS_PER_SEAT,
};
use farerush_engine::flight::{
    Accept, Cabin, CabinClass, Cause, Command, Currency, CustomerId, Decision, Epoch, Event, Fare, Flight,
    FlightDefinition, FlightId, FlightIds, Grab, IdSecret, IdSecrets, IdempotencyKey, Layout, OrderNo,
    PassengerName, Recorded, Reference, Refusal, SalePolicy, Salt, Seq, Timestamp, Together, WaitlistId,
    WaitlistNo, WaitlistWish, Wanted,
};
use farerush_engine::journal::{Batch, Claim};
use farerush_persistence::codec::encode_events_into;
use farerush_persistence::store::{Store, StoreOptions};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SALT: Salt = Salt(7);

fn secrets() -> Arc<IdSecrets> {
    Arc::new(IdSecrets::new(IdSecret::new([7; 32]), []))
}

fn options() -> StoreOptions {
    StoreOptions { secrets: Some(secrets()), ..StoreOptions::default() }
}

/// So many do the same; few enough that together they do not fill half of what is kept.
const CUSTOMERS: usize = 100;
/// Seats that each may have, by default.
const SEATS: u16 = 9;
/// Memory may be this many times what is charged: allocators round up, maps grow by doubling, and keys stand in indexes, too
/// (3.0 times was measured, of the longest orders there can be).
const SLACK: f64 = 3.5;
/// Things that one address may cause on one flight within a day, by default (`things_per_address`), and parties among them.
const THINGS_PER_ADDRESS: usize = 16_384;
const JOINS_PER_ADDRESS: usize = 1_000;
/// Bytes of one thing that count as no further one (`gateway/src/parts/rate/shares.rs`).
const THING_BYTES: u64 = 512;
/// How many of them each customer causes that an address invents.
const THINGS_EACH: usize = 16;
/// What a flight keeps of all customers together, in bytes (`docs/limits.md`).
const FLIGHT_BYTES_MAX: u64 = 128 << 20;
/// Most events of one record.
const EVENTS_PER_RECORD: usize = 1_000;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn created() -> Recorded {
    let fare = Fare { amount: 100, currency: Currency::new("TWD").unwrap() };
    let layout = Layout::new("ABC DEF").unwrap();
    let definition = FlightDefinition {
        flight_id: FlightId::new("FR1-20261224").unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: NOW.plus_millis(1_000_000_000),
        aircraft: None,
        origin_time_zone: None,
        cabins: vec![Cabin { cabin_class: CabinClass::Economy, first_row: 1, last_row: 300, layout, fare }],
        ids: FlightIds::new(SALT),
    };
    let policy = SalePolicy { opens_at: Some(NOW), ..SalePolicy::default() };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    Recorded { seq: Seq(1), at: NOW, event, cause: None, head: None }
}

/// The longest text of so many characters: four bytes each.
fn long(name: &str, characters: usize) -> String {
    let mut text = name.to_owned();
    text.extend(std::iter::repeat_n('𝒳', characters - name.len()));
    text
}

struct Driven {
    flight: Flight,
    /// Events that are not written yet; they are dropped as they are, so that they do not count as memory.
    fresh: Vec<Recorded>,
    written: Written,
}

#[derive(Default)]
struct Written {
    journal_bytes: usize,
}

impl Driven {
    fn ask(&mut self, command: &Command, key: Option<&str>) -> Result<(), Refusal> {
        let key = key.map(|key| IdempotencyKey::new(key).unwrap());
        let print = command.fingerprint();
        let decision = match &key {
            Some(key) => self.flight.decide_under(None, key, print, command, NOW)?,
            None => self.flight.decide(command, NOW)?,
        };
        if let Decision::Record(event) = decision {
            let cause = key.map(|key| Box::new(Cause { by: None, idempotency: Some((key, print)) }));
            let recorded = Recorded { seq: self.flight.seq().next(), at: NOW, event, cause, head: None };
            self.flight.apply(&recorded);
            self.fresh.push(recorded);
        }
        Ok(())
    }

    fn seq(&self) -> u64 {
        self.flight.seq().0
    }

    async fn write(&mut self, store: &Store, all: bool) {
        if self.fresh.is_empty() || (!all && self.fresh.len() < EVENTS_PER_RECORD) {
            return;
        }
        let events = std::mem::take(&mut self.fresh);
        let flight_id = self.flight.definition().flight_id.clone();
        let batch = Batch { flight_id, epoch: Epoch(1), events };
        self.written.journal_bytes += encode_events_into(&mut Vec::new(), &batch).unwrap();
        store.flush(&[batch]).await.unwrap();
    }
}

fn grab(customer: &CustomerId, quantity: u16, key: Option<String>, is_long: bool) -> Command {
    let name = "n".repeat(200);
    let passengers = (0..quantity).map(|_| PassengerName::new(&name).ok()).collect();
    Command::Grab(Grab {
        customer: customer.clone(),
        wanted: Wanted::Quantity { quantity, together: Together::Any },
        cabin_class: None,
        passengers: is_long.then_some(passengers),
        client_reference: is_long.then(|| Reference::new(&long("r", 128)).unwrap()),
        idempotency_key: key.map(|key| IdempotencyKey::new(&key).unwrap()),
    })
}

/// Causes one thing more of a customer's.
type Cause1 = fn(&mut Driven, &CustomerId, usize) -> Result<(), Refusal>;
/// A kind of thing that a customer can make a flight keep: its name, what causes it, and whether by customers with the longest
/// ids there can be.
type Kind = (&'static str, Cause1, bool);

fn key(number: usize) -> String {
    format!("{number:0>128}")
}

fn short_orders(driven: &mut Driven, customer: &CustomerId, _: usize) -> Result<(), Refusal> {
    driven.ask(&grab(customer, 1, None, false), None)?;
    let order = driven.flight.order_id(OrderNo(driven.seq())).order;
    driven.ask(&Command::Cancel { order }, None)
}

fn long_orders(driven: &mut Driven, customer: &CustomerId, number: usize) -> Result<(), Refusal> {
    driven.ask(&grab(customer, SEATS, Some(key(number)), true), None)?;
    let order = driven.flight.order_id(OrderNo(driven.seq())).order;
    driven.ask(&Command::Cancel { order }, None)
}

fn keys(driven: &mut Driven, customer: &CustomerId, number: usize) -> Result<(), Refusal> {
    let mut orders =
        driven.flight.orders().filter(|order| order.customer == *customer && order.status.is_live());
    let no = orders.next().map(|order| order.no);
    drop(orders);
    let no = match no {
        Some(no) => no,
        None => {
            driven.ask(&grab(customer, 1, None, false), None)?;
            OrderNo(driven.seq())
        }
    };
    let passengers =
        [PassengerName::new(if number.is_multiple_of(2) { "Mei" } else { "An" }).ok()].into_iter().collect();
    let order = driven.flight.order_id(no).order;
    let command = Command::Change { order, seats: None, passengers: Some(passengers) };
    driven.ask(&command, Some(&key(number)))
}

fn waits(driven: &mut Driven, customer: &CustomerId, _: usize) -> Result<(), Refusal> {
    let wish = WaitlistWish {
        customer: customer.clone(),
        party_size: 1,
        accept: Accept::All,
        cabin_class: None,
        expires_at: None,
        client_reference: Some(Reference::new(&long("r", 128)).unwrap()),
    };
    driven.ask(&Command::JoinWaitlist(Box::new(wish)), None)?;
    let definition = driven.flight.definition().clone();
    let id = WaitlistId::of(&definition.flight_id, &definition.ids, WaitlistNo(driven.seq()));
    driven.ask(&Command::LeaveWaitlist { entry: id.entry }, None)
}

/// What was kept, and what it took.
struct Kept {
    /// Most things of one customer, and the bytes that are charged for them.
    of_one: (usize, u64),
    memory: u64,
    journal: u64,
    disk: u64,
    /// What was measured; while it is there, its memory is not given to what is measured next.
    flight: Flight,
}

/// Has so many customers cause so many things each, or as many as are let; and measures.
async fn measured((name, cause, is_long): Kind, customers: usize, things_each: usize) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("farerush.db");
    let store = Store::open(&format!("sqlite:{}", file.display()), &options()).await.unwrap();
    store.migrate().await.unwrap();
    let first = created();
    let flight_id = FlightId::new("FR1-20261224").unwrap();
    store.claim(&[Claim { flight_id, epoch: Epoch(1) }]).await.unwrap();
    let mut flight = Flight::create(&first).unwrap();
    flight.unlock(&secrets()).unwrap();
    let mut driven = Driven { flight, fresh: vec![first], written: Written::default() };
    driven.write(&store, true).await;
    let on_disk = || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    let (before, disk_before, journal_before) = (resident(), on_disk(), driven.written.journal_bytes);
    let mut of_one = (0, 0);
    for number in 0..customers {
        let id = if is_long { long(&format!("c{number}-"), 128) } else { format!("c{number}") };
        let customer = CustomerId::new(&id).unwrap();
        for thing in 0..things_each {
            if let Err(refusal) = cause(&mut driven, &customer, thing) {
                assert!(matches!(refusal, Refusal::QuotaExceeded { .. }), "{name}: {refusal}");
                break;
            }
            driven.write(&store, false).await;
        }
        let (things, bytes) = driven.flight.kept_of(&customer);
        of_one = (of_one.0.max(things), of_one.1.max(bytes));
    }
    driven.write(&store, true).await;
    assert_eq!(driven.flight.sells_to_somebody_new(NOW), Some(Ok(())), "{name}");
    let memory = resident().saturating_sub(before) as u64;
    let journal = (driven.written.journal_bytes - journal_before) as u64;
    store.close().await;
    Kept { of_one, memory, journal, disk: on_disk().saturating_sub(disk_before), flight: driven.flight }
}

#[tokio::test]
async fn what_one_customer_and_one_address_can_make_a_flight_keep_is_bounded() {
    let things_max = THINGS_PER_CUSTOMER + THINGS_PER_SEAT * u32::from(SEATS);
    let bytes_max = BYTES_PER_CUSTOMER + BYTES_PER_SEAT * u64::from(SEATS);
    let kinds: [Kind; 4] = [
        ("orders that are given up", short_orders, false),
        ("the longest orders that are given up", long_orders, true),
        ("changes under a key", keys, false),
        ("parties that leave the waitlist", waits, true),
    ];
    let (mut measured_before, mut weights) = (Vec::new(), Vec::new());
    println!("| one customer causes | things | memory | journal | SQLite |");
    for kind in kinds {
        let name = kind.0;
        let Kept { of_one: (things, charged), memory, journal, disk, flight } =
            measured(kind, CUSTOMERS, things_max as usize + 2).await;
        assert!(things <= things_max as usize, "{name}: {things} things");
        measured_before.push(flight);
        let each = charged / things as u64;
        weights.push(usize::try_from(1 + each / THING_BYTES).unwrap());
        let [memory, journal, disk] = [memory, journal, disk].map(|bytes| bytes / CUSTOMERS as u64);
        println!(
            "| {name} | {things} | {} KB ({} KB charged) | {} KB | {} KB |",
            memory / 1024,
            charged / 1024,
            journal / 1024,
            disk / 1024
        );
        // The last thing may pass the bound by its own size.
        assert!(charged <= bytes_max + 16_384, "{name}: {charged} bytes are charged");
        assert!((memory as f64) < SLACK * bytes_max as f64, "{name}: {memory} bytes in memory");
    }
    println!("| one address causes, with customers it invents | things | memory | journal | SQLite |");
    for (kind, weight) in kinds.into_iter().zip(weights) {
        let name = kind.0;
        // So few of each that none of them meets a bound of its own.
        let most = if name.starts_with("parties") { JOINS_PER_ADDRESS } else { THINGS_PER_ADDRESS / weight };
        let Kept { memory, journal, disk, flight, .. } =
            measured(kind, most / THINGS_EACH, THINGS_EACH).await;
        measured_before.push(flight);
        let [memory, journal, disk] = [memory, journal, disk].map(|bytes| bytes >> 20);
        println!("| {name} | {most} | {memory} MB | {journal} MB | {disk} MB |");
        assert!((memory as f64) < SLACK * (FLIGHT_BYTES_MAX >> 20) as f64, "{name}: {memory} MB in memory");
    }
}
