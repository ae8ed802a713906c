//! How much memory flights of 200 seats take, on sale and sold out: 10,000 of them are to stay under 500 MB.
//! Never shares its process with another test, because what is asked is how large the process is.
//!
//! Checks a tenth of that by default; `FARERUSH_TEST_FLIGHTS=10000` in a release build checks all of it.

use std::sync::Arc;

use farerush_engine::actor::FlightView;
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Currency, CustomerId, Decision, Event, Fare, Flight, FlightDefinition,
    FlightId, FlightIds, Grab, Layout, Recorded, SalePolicy, Salt, Seq, Timestamp, Together, Wanted,
};

/// What the product runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BYTES_PER_FLIGHT_MAX: usize = 50_000;
const SEATS: usize = 200;
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// Bytes of this process in memory, as Linux counts them (pages of 4 KiB; 0 elsewhere).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn flight(number: usize) -> Flight {
    let fare = |amount| Fare { amount, currency: Currency::new("TWD").unwrap() };
    let cabin = |cabin_class, rows: [u16; 2], layout: &str, amount| Cabin {
        cabin_class,
        first_row: rows[0],
        last_row: rows[1],
        layout: Layout::new(layout).unwrap(),
        fare: fare(amount),
    };
    let definition = FlightDefinition {
        flight_id: FlightId::new(&format!("FR{number}-20261224")).unwrap(),
        flight_number: format!("FR{number}").into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(1_800_000_000_000),
        origin_time_zone: None,
        aircraft: Some("A321".into()),
        cabins: vec![
            cabin(CabinClass::Business, [1, 5], "AC DF", 900_000),
            cabin(CabinClass::Economy, [10, 39], "ABC DEF", 99_900),
        ],
        ids: FlightIds::new(Salt(number as u64)),
    };
    let policy = SalePolicy { opens_at: Some(NOW), ..SalePolicy::default() };
    let event = Event::FlightCreated { definition: Box::new(definition), policy };
    Flight::create(&Recorded { seq: Seq(1), at: NOW, event, cause: None, head: None }).unwrap()
}

/// Sells every seat, two an order; the number of orders.
fn sell_out(flight: &mut Flight, customers: &mut usize) -> usize {
    let mut orders = 0;
    while flight.map().free() > 0 {
        *customers += 1;
        let command = Command::Grab(Grab {
            customer: CustomerId::new(&format!("customer-{customers:08}")).unwrap(),
            wanted: Wanted::Quantity { quantity: 2, together: Together::Preferred },
            cabin_class: None,
            passengers: None,
            client_reference: None,
            idempotency_key: None,
        });
        let Ok(Decision::Record(event)) = flight.decide(&command, NOW) else { panic!("refused") };
        flight.apply(&Recorded { seq: flight.seq().next(), at: NOW, event, cause: None, head: None });
        orders += 1;
    }
    orders
}

#[test]
fn two_million_seats_take_less_than_half_a_gigabyte_empty_and_sold_out() {
    let wanted = std::env::var("FARERUSH_TEST_FLIGHTS").ok().and_then(|text| text.parse().ok());
    let count: usize = wanted.unwrap_or(1_000);
    let before = resident();
    let taken = || resident().saturating_sub(before);
    let say = |what: &str, bytes: usize, count: usize| {
        eprintln!("{what}: {:.1} MB, {} bytes each", bytes as f64 / 1e6, bytes / count);
    };
    let mut flights: Vec<(Flight, Arc<FlightView>)> = Vec::with_capacity(count);
    for number in 0..count {
        let flight = flight(number);
        assert_eq!(flight.map().capacity() as usize, SEATS);
        let view = Arc::new(FlightView::of(&flight));
        flights.push((flight, view));
    }
    let empty = taken();
    say(&format!("{count} flights and their views"), empty, count);
    let (mut customers, mut orders) = (0, 0);
    for (flight, view) in &mut flights {
        orders += sell_out(flight, &mut customers);
        *view = Arc::new(FlightView::of(flight));
    }
    let sold_out = taken();
    say(&format!("{orders} orders of two seats"), sold_out.saturating_sub(empty), orders);
    say("all together", sold_out, count);
    assert_eq!(orders, count * SEATS / 2);
    assert!(sold_out < count * BYTES_PER_FLIGHT_MAX, "{sold_out} bytes");
}
