//! What a grab costs in process: deciding and applying it alone, and through a flight's actor with a journal in
//! memory and many requests under way. Run with `MIMALLOC_PURGE_DELAY=-1 cargo bench -p farerush-engine`: without the
//! variable the allocator gives each round's memory back, and two thirds of what is measured through the actor is
//! the kernel clearing the pages of the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use farerush_engine::actor::{Answer, Engine, EngineParts, FlightHandle, Limits, WriterOptions};
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Currency, CustomerId, Decision, Event, Fare, Flight, FlightDefinition,
    FlightId, FlightIds, Grab, Head, IdSecret, IdSecrets, IdempotencyKey, Layout, OrderNo, Recorded,
    SalePolicy, Salt, Seq, Timestamp, Together, Wanted,
};
use farerush_engine::journal::{Durability, Journal};
use farerush_persistence::journal::memory::MemoryJournal;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(unsafe_code, reason = "the allocator has no other way to be told")]
fn main() {
    // As the server has it; see `gateway/src/start/allocator.rs`.
    // SAFETY: it only sets a number that the allocator reads at its next collection.
    unsafe { libmimalloc_sys::mi_option_set(15, 2_000) };
    divan::main();
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// A flight with `rows` rows of ten seats.
fn definition(id: &str, rows: u16) -> FlightDefinition {
    FlightDefinition {
        flight_id: FlightId::new(id).unwrap(),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(2_000_000_000_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![Cabin {
            cabin_class: CabinClass::Economy,
            first_row: 1,
            last_row: rows,
            layout: Layout::new("ABC DEFG HJK").unwrap(),
            fare: Fare { amount: 100, currency: Currency::new("TWD").unwrap() },
        }],
        ids: FlightIds::new(Salt(7)),
    }
}

fn flight(rows: u16) -> Flight {
    let policy = SalePolicy { opens_at: Some(Timestamp::from_millis(0)), ..SalePolicy::default() };
    let event = Event::FlightCreated { definition: Box::new(definition("BENCH", rows)), policy };
    Flight::create(&Recorded { seq: Seq(1), at: NOW, event, cause: None, head: None }).unwrap()
}

fn grab(customer: u64, quantity: u16, with_key: bool) -> Command {
    Command::Grab(Grab {
        customer: CustomerId::new(&format!("customer-{customer}")).unwrap(),
        wanted: Wanted::Quantity { quantity, together: Together::Preferred },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: with_key.then(|| IdempotencyKey::new(&format!("key-{customer}")).unwrap()),
    })
}

/// Sells a flight out: `decide` and `apply` for each grab, nothing else.
#[divan::bench(args = [(4, 1), (40, 1), (999, 1), (999, 2)])]
fn decide_and_apply(bencher: Bencher<'_, '_>, (rows, quantity): (u16, u16)) {
    let commands: Vec<Command> =
        (0..u64::from(rows) * 10 / u64::from(quantity)).map(|c| grab(c, quantity, false)).collect();
    bencher.counter(ItemsCount::new(commands.len())).with_inputs(|| flight(rows)).bench_local_values(
        |mut flight| {
            for command in &commands {
                if let Ok(Decision::Record(event)) = flight.decide(command, NOW) {
                    flight.apply(&Recorded {
                        seq: flight.seq().next(),
                        at: NOW,
                        event,
                        cause: None,
                        head: None,
                    });
                }
            }
            black_box(flight)
        },
    );
}

/// What a grab on a sold-out flight costs.
#[divan::bench]
fn decide_sold_out(bencher: Bencher<'_, '_>) {
    let mut full = flight(1);
    for customer in 0..10 {
        if let Ok(Decision::Record(event)) = full.decide(&grab(customer, 1, false), NOW) {
            full.apply(&Recorded { seq: full.seq().next(), at: NOW, event, cause: None, head: None });
        }
    }
    let command = grab(99, 1, false);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| full.decide(black_box(&command), NOW));
}

/// What the chain adds to each event, and a tag to each order that is shown.
#[divan::bench]
fn chain_head(bencher: Bencher<'_, '_>) {
    let flight = flight(1);
    let Ok(Decision::Record(event)) = flight.decide(&grab(1, 1, true), NOW) else { return };
    let placed = Recorded { seq: flight.seq().next(), at: NOW, event, cause: None, head: None };
    let start = Head::start(&flight.definition().flight_id, Salt(7), 1);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| black_box(start).next(black_box(&placed)));
}

#[divan::bench]
fn order_tag(bencher: Bencher<'_, '_>) {
    let mut flight = flight(1);
    let secrets = Arc::new(IdSecrets::new(IdSecret::new([7; 32]), []));
    if flight.unlock(&secrets).is_err() {
        return;
    }
    let ids = flight.definition().ids.clone();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| ids.order_tag(black_box(OrderNo(7))));
}

fn engine(runtime: &tokio::runtime::Runtime, journal: Arc<MemoryJournal>) -> Arc<Engine> {
    Engine::start(EngineParts {
        journal,
        on_durable: Box::new(drop),
        recover: Arc::new(|_| Box::pin(async { Ok(None) })),
        durability: Durability::Journal,
        limits: Limits::default(),
        writer: WriterOptions::default(),
        arbiters: 1,
        secrets: Arc::new(IdSecrets::new(IdSecret::new([7; 32]), [])),
        runtime: runtime.handle().clone(),
    })
    .unwrap()
}

/// Sells one flight of 9,990 seats out through its actor, with every request under way at once, and waits for
/// every answer.
async fn sell_out(flight: &FlightHandle, commands: Vec<Command>) -> usize {
    let pending: Vec<_> = commands.into_iter().filter_map(|command| flight.submit(command).ok()).collect();
    let mut sold = 0;
    // The last one first: answers come in order, so the waiting thread is woken once and not for each of them.
    for answer in pending.into_iter().rev() {
        sold += usize::from(matches!(answer.await, Ok(Answer::Order { .. })));
    }
    sold
}

#[divan::bench(sample_count = 40, sample_size = 1)]
fn through_the_actor(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let journal = Arc::new(MemoryJournal::new());
    let engine = engine(&runtime, journal.clone());
    let policy = SalePolicy { opens_at: Some(Timestamp::from_millis(0)), ..SalePolicy::default() };
    let next = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(9_990_usize))
        .with_inputs(|| {
            // As the store would have it: without this, what is measured is the kernel clearing fresh pages.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let stored = FlightId::new(&format!("BENCH{}", number.saturating_sub(1))).unwrap();
            journal.trim(&[(stored, Seq(u64::MAX))]).unwrap();
            let id = format!("BENCH{number}");
            let flight = runtime.block_on(engine.create(definition(&id, 999), policy, true)).unwrap();
            (flight, (0..9_990).map(|customer| grab(customer, 1, false)).collect::<Vec<_>>())
        })
        .bench_local_values(|(flight, commands)| {
            let sold = runtime.block_on(sell_out(&flight, commands));
            assert_eq!(sold, 9_990);
        });
    engine.stop();
}
