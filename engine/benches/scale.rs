//! Whether a grab costs the same however many flights there are: a look-up by id in a sharded map as the registry's, then
//! deciding and applying, over 100 and over 100,000 flights. Run with `cargo bench -p farerush-engine --bench scale`.
//!
//! What differs is due to the processor's caches: a hundred flights lie in them, a hundred thousand (with round-robin
//! access, the worst there is) lie in memory, and each grab meets a few dozen lines of it for the first time. `hot` grabs
//! where sales are skewed: nine of ten go to a hundredth of them (to fifty at least).

use std::hint::black_box;

use dashmap::DashMap;
use divan::Bencher;
use divan::counter::ItemsCount;
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Currency, CustomerId, Decision, Event, Fare, Flight, FlightDefinition,
    FlightId, FlightIds, Grab, Layout, Recorded, SalePolicy, Salt, Seq, Timestamp, Together, Wanted,
};
use foldhash::quality::RandomState;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::from_millis(1_000);
/// Grabs of one sample: each of the flights of the largest bench gets two.
const GRABS: usize = 200_000;
/// Grabs each flight has behind it beforehand: the first ones of its life make room for orders, which is not what is
/// asked here.
const GRABS_BEFORE: usize = 16;
/// Seats a flight has at least; few flights have as many more as they are to sell.
const SEATS_MIN: usize = 180;

type Flights = DashMap<FlightId, Box<Flight>, RandomState>;

fn id(number: usize) -> FlightId {
    FlightId::new(&format!("FR{number}-20261224")).unwrap()
}

fn flight(number: usize, seats: usize) -> Flight {
    let definition = FlightDefinition {
        flight_id: id(number),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(2_000_000_000_000),
        origin_time_zone: None,
        aircraft: None,
        cabins: vec![Cabin {
            cabin_class: CabinClass::Economy,
            first_row: 1,
            last_row: u16::try_from(seats.div_ceil(6)).unwrap(),
            layout: Layout::new("ABC DEF").unwrap(),
            fare: Fare { amount: 100, currency: Currency::new("TWD").unwrap() },
        }],
        ids: FlightIds::new(Salt(7)),
    };
    let policy = SalePolicy { opens_at: Some(Timestamp::from_millis(0)), ..SalePolicy::default() };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    Flight::create(&Recorded { seq: Seq(1), at: NOW, event, cause: None, head: None }).unwrap()
}

fn grab(customer: usize) -> Command {
    Command::Grab(Grab {
        customer: CustomerId::new(&format!("customer-{customer}")).unwrap(),
        wanted: Wanted::Quantity { quantity: 1, together: Together::Preferred },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: None,
    })
}

fn sell(flight: &mut Flight, command: &Command) {
    let Ok(Decision::Record(event)) = flight.decide(command, NOW) else { panic!("refused") };
    flight.apply(&Recorded { seq: flight.seq().next(), at: NOW, event, cause: None, head: None });
}

/// Which flight the `number`th grab goes to, in an order that no prefetcher foresees.
fn scattered(number: usize, flights: usize) -> usize {
    // Odd and so coprime to 100 and 100,000 unless it ends in 5: each flight comes once a round.
    number.wrapping_mul(61_803) % flights
}

fn hot(number: usize, flights: usize) -> usize {
    let few = (flights / 100).max(50);
    match number % 10 {
        0 => scattered(number / 10, flights),
        _ => scattered(number, few),
    }
}

fn run(bencher: Bencher<'_, '_>, count: usize, which: fn(usize, usize) -> usize) {
    let targets: Vec<FlightId> = (0..GRABS).map(|number| id(which(number, count))).collect();
    let mut sold = vec![0_usize; count];
    (0..GRABS).for_each(|number| sold[which(number, count)] += 1);
    let commands: Vec<Command> = (0..GRABS).map(grab).collect();
    bencher
        .counter(ItemsCount::new(GRABS))
        .with_inputs(|| -> Flights {
            let one = |number: usize| {
                let mut flight = flight(number, SEATS_MIN.max(sold[number] + GRABS_BEFORE));
                (0..GRABS_BEFORE).for_each(|before| sell(&mut flight, &grab(GRABS + before)));
                (id(number), Box::new(flight))
            };
            (0..count).map(one).collect()
        })
        .bench_local_values(|flights| {
            for (target, command) in targets.iter().zip(&commands) {
                sell(&mut flights.get_mut(target).unwrap(), command);
            }
            black_box(flights)
        });
}

#[divan::bench(args = [100, 100_000], sample_count = 5, sample_size = 1)]
fn round_robin(bencher: Bencher<'_, '_>, flights: usize) {
    run(bencher, flights, scattered);
}

#[divan::bench(args = [100, 100_000], sample_count = 5, sample_size = 1)]
fn skewed(bencher: Bencher<'_, '_>, flights: usize) {
    run(bencher, flights, hot);
}
