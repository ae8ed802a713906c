//! Three real servers on one Redis and one store behind the nginx that is shipped, and a crowd that comes to it at a stated rate:
//! one server is killed in each round. No acknowledged order is lost, no seat and no key is used twice, and the time is told for
//! which each of its flights did not sell. Never waits for a time, only for what is to come about.
//!
//! `FARERUSH_TEST_RATE` sets the grabs a second (and then 30 rounds over 200 flights), `FARERUSH_TEST_ROUNDS` the rounds,
//! `FARERUSH_TEST_FLIGHTS` the flights, `FARERUSH_TEST_GAP_MS` how long a flight may not have sold at most, and
//! `FARERUSH_TEST_PROGRAM` the program, which for figures is a release build.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rig::{Asked, Rig, start, until};
use support::nginx::Nginx;
use support::process::{Gateway, Plan};
use support::rush::{Rush, SEATS, body_of, name, per_mille};
use support::setting;

const SERVERS: usize = 3;
/// Once so many of a hundred seats are sold, the rounds go on over new flights, on new servers.
const SOLD_PERCENT_MAX: usize = 60;
/// So many orders of a flight show that it sells again, and not only that an answer was on its way.
const SELLS_AGAIN: usize = 4;

/// What became of it, over all rounds.
#[derive(Default)]
struct Told {
    gaps: Vec<Duration>,
    orders: usize,
    reads: usize,
    seconds: f64,
}

#[test]
fn behind_nginx_flights_of_a_killed_server_sell_again_and_nothing_is_lost() {
    let is_stated = std::env::var_os("FARERUSH_TEST_RATE").is_some();
    let rate = setting("FARERUSH_TEST_RATE", 200);
    let flights = setting("FARERUSH_TEST_FLIGHTS", if is_stated { 200 } else { 30 });
    let mut rounds = setting("FARERUSH_TEST_ROUNDS", if is_stated { 30 } else { 3 });
    let mut told = Told::default();
    while rounds > 0 {
        rounds -= kill(rate, usize::try_from(flights).unwrap(), rounds, &mut told);
    }
    told.gaps.sort_unstable();
    println!(
        "{} orders at {:.0} a second ({rate} asked for), 0 lost, no seat and no key twice, {} reads; {} flights of killed servers \
         did not sell for: median {:?}, p99 {:?}, longest {:?}",
        told.orders,
        told.orders as f64 / told.seconds,
        told.reads,
        told.gaps.len(),
        per_mille(&told.gaps, 500),
        per_mille(&told.gaps, 990),
        per_mille(&told.gaps, 1_000)
    );
    let limit = setting("FARERUSH_TEST_GAP_MS", u64::MAX);
    assert!(per_mille(&told.gaps, 1_000).as_millis() <= u128::from(limit), "longer than {limit} ms");
}

/// Which flights a server says it serves.
fn served(gateway: &Gateway) -> Vec<usize> {
    let (_, status) = gateway.get("/v1/admin/status?server=this");
    let flights = status["flights"].as_array().cloned().unwrap_or_default();
    let number = |flight: &serde_json::Value| flight["flight_id"].as_str()?.strip_prefix("FR")?.parse().ok();
    flights.iter().filter_map(number).collect()
}

fn plans(rig: &Rig) -> (Vec<Plan>, Vec<SocketAddr>) {
    let made = (0..SERVERS).map(|number| {
        // nginx finds it there again.
        let listen = SocketAddr::from(([127, 0, 0, 1], servers::free_port()));
        let plan = rig.plan(&format!("server-{number}")).with("listen", &listen.to_string());
        let plan =
            plan.with("peer_listen", "auto").with("lease_ms", "600").with("things_per_address", "none");
        (plan, listen)
    });
    made.unzip()
}

/// At most so many rounds; how many there were.
fn kill(rate: u64, flights: usize, rounds: u64, told: &mut Told) -> u64 {
    let rig = Rig::new();
    let (plans, addresses) = plans(&rig);
    let mut all: Vec<Option<Gateway>> = plans.iter().map(|plan| Some(start(plan))).collect();
    for flight in 0..flights {
        let (status, made) =
            all[flight % SERVERS].as_ref().unwrap().post("/v1/admin/flights", &body_of(flight));
        assert_eq!(status, 201, "{made}");
    }
    let nginx = Nginx::start(rig.folder.path(), &addresses);
    let rush = Rush::new(nginx.address, rate, flights);
    let (began, crowd) = (Instant::now(), rush.begin(&addresses));
    let everything: Vec<usize> = (0..flights).collect();
    let mut round = 0;
    while round < rounds && rush.sold() * 100 < SEATS * flights * SOLD_PERCENT_MAX {
        let since = Instant::now();
        until("every flight sells and every server has its share", || {
            assert!(!crowd.has_failed(), "the crowd saw what may not be");
            let mut counts = all.iter().flatten().map(|server| served(server).len());
            rush.fewest_since(&everything, since) > 0 && counts.all(|count| count >= flights / (2 * SERVERS))
        });
        let counts: Vec<Vec<usize>> = all.iter().flatten().map(served).collect();
        let victim = (0..SERVERS).max_by_key(|server| counts[*server].len()).unwrap();
        let killed = Instant::now();
        all[victim].take().unwrap().kill();
        until("each of its flights sells again", || {
            assert!(!crowd.has_failed(), "the crowd saw what may not be");
            rush.fewest_since(&counts[victim], killed) >= SELLS_AGAIN
        });
        let mut gaps = rush.gaps(&counts[victim], killed);
        gaps.sort_unstable();
        println!(
            "round {round}: server {victim} with {} flights was killed; they did not sell for: median {:?}, longest {:?}; {} orders \
             so far, {:?}",
            gaps.len(),
            per_mille(&gaps, 500),
            per_mille(&gaps, 1_000),
            rush.sold(),
            rush.failures.lock()
        );
        told.gaps.extend(gaps);
        all[victim] = Some(start(&plans[victim]));
        round += 1;
    }
    crowd.end();
    told.seconds += began.elapsed().as_secs_f64();
    told.orders += rush.nothing_is_twice();
    told.reads += rush.reads.load(std::sync::atomic::Ordering::Relaxed);
    let first = all[0].as_ref().unwrap();
    for (flight, orders) in rush.flights.iter().enumerate() {
        // A key that had been used twice would have sold a seat of which nobody knows.
        let sold = SEATS - usize::try_from(first.available(&name(flight)).as_u64().unwrap()).unwrap();
        assert_eq!(sold, orders.lock().len(), "{}: seats sold, and orders acknowledged", name(flight));
    }
    all.into_iter().flatten().for_each(|server| {
        server.stop();
    });
    every_receipt_is_kept(&plans[0], &rush);
    round
}

fn every_receipt_is_kept(plan: &Plan, rush: &Rush) {
    let file = plan.data_dir.with_extension("receipts");
    std::fs::write(&file, rush.receipts()).unwrap();
    let table = rig::verify(&plan.clone().with("receipts", file.to_str().unwrap()));
    assert!(table.contains(&format!("{} flights, 0 with a difference", rush.flights.len())), "{table}");
    let count = rush.sold();
    assert!(table.contains(&format!("{count} receipts: {count} kept, 0 gone, 0 unknown")), "{table}");
}
