//! Several real processes on one Redis and one store, while a crowd buys and reads: one is killed, put to sleep, or cut off from
//! Redis, again and again. Its flights sell again by themselves, nothing acknowledged is lost, and nobody shows a flight as it was.
//! Never waits for a time, only for what is to come about.
//!
//! `FARERUSH_TEST_ROUNDS` sets the rounds, `FARERUSH_TEST_GAP_MS` how long a flight may not have sold at most: a machine that does
//! other things as well says nothing about it, so that it is only shown by default.

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crowd::{Crowd, Over, every_order_is_there, name, per_mille, served};
use rig::{Asked, Rig, start, until};
use rustix::process::Signal;
use servers::Proxy;
use support::process::{Gateway, Plan};

const SERVERS: usize = 3;
const FLIGHTS: usize = 60;
const BUYERS: usize = 6;
/// Longer than a lease by far: whoever was away for so long has lost its flights.
const AWAY: Duration = Duration::from_millis(1_500);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// One of the servers, with a way to Redis that can be cut.
struct Server {
    plan: Plan,
    proxy: Proxy,
    gateway: Option<Gateway>,
}

impl Server {
    fn new(rig: &Rig, number: usize, peer_listen: &str) -> Self {
        let proxy = Proxy::start(rig.redis.address());
        let journal = format!("redis://{}/0", proxy.address());
        // It leaves flights where they are; what is nobody's comes to it all the same.
        let plan = rig.plan(&format!("server-{number}")).with("journal", &journal);
        let plan = plan.with("take_over_delay_ms", "600000").with("lease_ms", "600");
        let plan = plan.with("peer_listen", peer_listen);
        Self { plan, proxy, gateway: None }
    }

    fn start(&mut self) -> SocketAddr {
        let gateway = start(&self.plan);
        let address = gateway.address();
        self.gateway = Some(gateway);
        address
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }
}

#[test]
fn flights_of_a_server_that_is_gone_sell_again_by_themselves() {
    servers_go("none");
}

/// Whoever asks any server waits until there is an owner again; servers that come back are given their share meanwhile.
#[test]
fn they_do_so_where_any_server_is_asked() {
    servers_go("auto");
}

fn servers_go(peer_listen: &str) {
    let rounds = setting("FARERUSH_TEST_ROUNDS").unwrap_or(6);
    let rig = Rig::new();
    let mut all: Vec<Server> = (0..SERVERS).map(|number| Server::new(&rig, number, peer_listen)).collect();
    let crowd = Crowd::new(SERVERS, FLIGHTS, BUYERS);
    for (number, server) in all.iter_mut().enumerate() {
        crowd.addresses.lock()[number] = Some(server.start());
    }
    (0..FLIGHTS).for_each(|flight| all[0].gateway().create(&name(flight)));
    let mut killed_gaps = Vec::new();
    std::thread::scope(|scope| {
        let crowd = &crowd;
        let _over = Over(&crowd.is_over);
        for buyer in 0..BUYERS {
            scope.spawn(move || {
                let _over = Over(&crowd.is_over);
                crowd.run(buyer);
            });
        }
        for round in 0..rounds {
            // Whoever has most of them.
            let counts: Vec<Vec<usize>> = all.iter().map(|server| served(server.gateway())).collect();
            let victim = (0..SERVERS).max_by_key(|server| counts[*server].len()).unwrap();
            let flights = counts[victim].clone();
            assert!(!crowd.is_over.load(Ordering::Relaxed), "the crowd has given up");
            let began = Instant::now();
            let what = match round % 3 {
                0 => {
                    all[victim].gateway.take().unwrap().kill();
                    let gaps = crowd.gaps(&flights, began);
                    killed_gaps.extend(gaps.iter().copied());
                    crowd.addresses.lock()[victim] = None;
                    crowd.addresses.lock()[victim] = Some(all[victim].start());
                    "killed"
                }
                1 => {
                    // Nobody asks one that does not answer; from when it wakes on, everybody does.
                    let address = crowd.addresses.lock()[victim].take();
                    all[victim].gateway().signal(Signal::STOP);
                    until("it has slept", || began.elapsed() > AWAY);
                    crowd.gaps(&flights, began);
                    crowd.addresses.lock()[victim] = address;
                    all[victim].gateway().signal(Signal::CONT);
                    "asleep"
                }
                _ => {
                    all[victim].proxy.refuse(true);
                    all[victim].proxy.cut_all();
                    until("it was cut off", || began.elapsed() > AWAY);
                    crowd.gaps(&flights, began);
                    all[victim].proxy.heal();
                    "cut off"
                }
            };
            println!(
                "round {round}: server {victim} with {} flights was {what}; all sell again {:?} later",
                flights.len(),
                began.elapsed()
            );
            until("it serves again", || all[victim].gateway().get("/readyz").0 == 200);
        }
    });
    killed_gaps.sort_unstable();
    println!(
        "{} flights of killed servers did not sell for: median {:?}, p99 {:?}, longest {:?}; {} reads",
        killed_gaps.len(),
        per_mille(&killed_gaps, 500),
        per_mille(&killed_gaps, 990),
        per_mille(&killed_gaps, 1_000),
        crowd.reads.load(Ordering::Relaxed)
    );
    if let Some(limit) = setting("FARERUSH_TEST_GAP_MS") {
        assert!(per_mille(&killed_gaps, 1_000) <= Duration::from_millis(limit), "longer than {limit} ms");
    }
    every_order_is_there(&all.iter().map(Server::gateway).collect::<Vec<_>>(), &crowd);
    for server in &mut all {
        server.gateway.take().unwrap().stop();
    }
    let table = rig::verify(&rig.plan("server-0"));
    assert!(table.contains(&format!("{FLIGHTS} flights, 0 with a difference")), "{table}");
}
