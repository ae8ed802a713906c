//! Three real servers, each in a network namespace of its own, behind nginx and under a crowd: the server that has most flights is
//! cut off from Redis, from the other servers, and from the store in turn, without anybody being told, and healed. No acknowledged
//! order is lost, nobody shows a flight as it was, and flights sell again by themselves.
//!
//! `FARERUSH_TEST_ROUNDS` sets how often each is cut, `FARERUSH_TEST_RATE` the grabs a second, `FARERUSH_TEST_GAP_MS` how long a
//! flight may not have sold at most: a machine that does other things as well says nothing about it, so that it is only shown by
//! default.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rig::{Asked, PATIENCE, Rig, until};
use servers::{RedisServer, SqlServer};
use support::networks::Networks;
use support::nginx::Nginx;
use support::process::{Gateway, Plan};
use support::rush::{Rush, SEATS, body_of, name, per_mille};
use support::{rounds, setting};

const SERVERS: u8 = 3;
const FLIGHTS: usize = 30;
/// Longer than a lease, and than what was read of who has what may hold.
const AWAY: Duration = Duration::from_millis(2_500);
/// So many orders of a flight show that it sells, and not only that an answer was on its way.
const SELLS_AGAIN: usize = 4;

#[derive(Debug, Clone, Copy)]
enum From {
    Redis,
    Peers,
    Store,
}

fn served(gateway: &Gateway) -> Vec<usize> {
    let (_, status) = gateway.get("/v1/admin/status?server=this");
    let flights = status["flights"].as_array().cloned().unwrap_or_default();
    let number = |flight: &serde_json::Value| flight["flight_id"].as_str()?.strip_prefix("FR")?.parse().ok();
    flights.iter().filter_map(number).collect()
}

fn plan(rig: &Rig, networks: &Networks, server: u8) -> Plan {
    let here = networks.here();
    let at = |url: String| url.replace("127.0.0.1", &here.to_string());
    let mut plan = rig
        .plan(&format!("server-{server}"))
        .with("listen", &format!("{}:8080", networks.address(server)))
        .with("allow_open", "true")
        .with("journal", &at(rig.redis.url()))
        .with("store", &at(rig.mariadb.url()))
        .with("peer_listen", "auto")
        .with("lease_ms", "600")
        .with("things_per_address", "none");
    plan.namespace = Some(networks.namespace(server));
    plan
}

#[test]
fn a_server_that_is_cut_off_costs_no_order_and_shows_nothing_old() {
    let networks = match Networks::new(SERVERS) {
        Ok(networks) => networks,
        Err(why) => {
            println!("skipped: a_server_that_is_cut_off_costs_no_order_and_shows_nothing_old: {why}");
            return;
        }
    };
    let rig = Rig {
        redis: RedisServer::start(&["--bind", "0.0.0.0", "--protected-mode", "no"]),
        mariadb: SqlServer::start(&["--bind-address=0.0.0.0"]),
        folder: tempfile::tempdir().unwrap(),
    };
    let plans: Vec<Plan> = (0..SERVERS).map(|server| plan(&rig, &networks, server)).collect();
    let all: Vec<Gateway> = plans.iter().map(rig::start).collect();
    for flight in 0..FLIGHTS {
        let (status, made) = all[0].post("/v1/admin/flights", &body_of(flight));
        assert_eq!(status, 201, "{made}");
    }
    let addresses: Vec<SocketAddr> = all.iter().map(Gateway::address).collect();
    let nginx = Nginx::start(rig.folder.path(), &addresses);
    let rush = Rush::new(nginx.address, setting("FARERUSH_TEST_RATE", 300), FLIGHTS);
    let crowd = rush.begin(&addresses);
    for round in 0..rounds(1) {
        for from in [From::Redis, From::Peers, From::Store] {
            until("every server has its share", || {
                assert!(!crowd.has_failed(), "the crowd saw what may not be");
                all.iter().all(|server| served(server).len() > FLIGHTS / 8)
            });
            cut(&rig, &networks, &all, &rush, from, round);
            assert!(!crowd.has_failed(), "the crowd saw what may not be");
        }
    }
    crowd.end();
    println!("{} orders, {} reads", rush.nothing_is_twice(), rush.reads.load(Ordering::Relaxed));
    for (flight, orders) in rush.flights.iter().enumerate() {
        // A key that had been used twice would have sold a seat of which nobody knows.
        let sold = SEATS - usize::try_from(all[0].available(&name(flight)).as_u64().unwrap()).unwrap();
        assert_eq!(sold, orders.lock().len(), "{}: seats sold, and orders acknowledged", name(flight));
    }
    all.into_iter().for_each(|server| {
        server.stop();
    });
    let file = plans[0].data_dir.with_extension("receipts");
    std::fs::write(&file, rush.receipts()).unwrap();
    let table = rig::verify(&plans[0].clone().with("receipts", file.to_str().unwrap()));
    assert!(table.contains(&format!("{FLIGHTS} flights, 0 with a difference")), "{table}");
    let count = rush.sold();
    assert!(table.contains(&format!("{count} receipts: {count} kept, 0 gone, 0 unknown")), "{table}");
}

/// Cuts the server that has most flights off from something, until its flights have sold for a while without, and heals it.
fn cut(rig: &Rig, networks: &Networks, all: &[Gateway], rush: &Rush, from: From, round: u32) {
    let counts: Vec<Vec<usize>> = all.iter().map(served).collect();
    let victim = (0..SERVERS).max_by_key(|server| counts[usize::from(*server)].len()).unwrap();
    let (owner, flights) = (&all[usize::from(victim)], &counts[usize::from(victim)]);
    let began = Instant::now();
    match from {
        From::Redis => networks.cut_port(victim, rig.redis.address()),
        From::Peers => networks.cut_peers(victim),
        From::Store => networks.cut_port(victim, rig.mariadb.address()),
    }
    until("each of its flights sells on without", || {
        began.elapsed() > AWAY && rush.fewest_since(flights, began) >= SELLS_AGAIN
    });
    networks.heal(victim);
    let healed = Instant::now();
    until("it is well again, and all flights sell", || {
        let everything: Vec<usize> = (0..FLIGHTS).collect();
        owner.get("/readyz").0 == 200 && rush.fewest_since(&everything, healed) > 0
    });
    let mut gaps = rush.gaps(flights, began);
    gaps.sort_unstable();
    println!(
        "round {round}: server {victim} with {} flights was cut off from {from:?} for {:?}; they did not sell for: median {:?}, \
         longest {:?}; {:?}",
        flights.len(),
        healed - began,
        per_mille(&gaps, 500),
        per_mille(&gaps, 1_000),
        rush.failures.lock()
    );
    let limit = setting("FARERUSH_TEST_GAP_MS", u64::MAX);
    assert!(per_mille(&gaps, 1_000).as_millis() <= u128::from(limit), "longer than {limit} ms");
    assert!(began.elapsed() < PATIENCE);
}
