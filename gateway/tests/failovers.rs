//! Real processes under load while Redis fails over: sentinels promote a replica that lacks what was confirmed, or a cluster's node
//! does. Nothing acknowledged is lost while its owner lives, and it sells again as soon as there is a primary.
//! Never waits for a time, only for what is to come about.
//!
//! `FARERUSH_TEST_ROUNDS` sets the rounds.

#[path = "support/crowd.rs"]
mod crowd;
#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crowd::{Crowd, Over, every_order_is_there, name, served};
use rig::{Asked, start, until};
use servers::{Cluster, Replicated, SqlServer};
use support::process::{Gateway, Plan};
use support::rounds;

const SERVERS: usize = 2;
const FLIGHTS: usize = 16;
const BUYERS: usize = 4;
/// So many are sold while the replica gets nothing.
const SOLD_UNSEEN: usize = 20;
/// How long after there is a primary again it may not sell.
const SELLS_AFTER: Duration = Duration::from_secs(1);

struct World {
    mariadb: SqlServer,
    folder: tempfile::TempDir,
    journal: String,
    replicas: &'static str,
    gateways: Vec<Option<Gateway>>,
    crowd: Arc<Crowd>,
}

impl World {
    fn new(journal: &str, replicas: &'static str) -> Self {
        let mut world = Self {
            mariadb: SqlServer::start(&[]),
            folder: tempfile::tempdir().unwrap(),
            journal: journal.to_owned(),
            replicas,
            gateways: Vec::new(),
            crowd: Arc::new(Crowd::new(SERVERS, FLIGHTS, BUYERS)),
        };
        for number in 0..SERVERS {
            world.gateways.push(None);
            world.start(number);
        }
        (0..FLIGHTS).for_each(|flight| world.gateway(0).create(&name(flight)));
        world
    }

    fn plan(&self, number: usize) -> Plan {
        let folder = self.folder.path().join(format!("server-{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        Plan::embedded(&folder)
            .with("journal", &self.journal)
            .with("store", &self.mariadb.url())
            .with("redis_wait_replicas", self.replicas)
            .with("peer_listen", "auto")
            .with("lease_ms", "600")
    }

    fn start(&mut self, number: usize) {
        let gateway = start(&self.plan(number));
        self.crowd.addresses.lock()[number] = Some(gateway.address());
        self.gateways[number] = Some(gateway);
    }

    fn gateway(&self, number: usize) -> &Gateway {
        self.gateways[number].as_ref().unwrap()
    }

    fn alive(&self) -> Vec<&Gateway> {
        self.gateways.iter().flatten().collect()
    }

    /// Events that the servers have written again.
    fn healed(&self) -> u64 {
        let of = |gateway: &&Gateway| {
            gateway.get("/v1/admin/status?server=this").1["journal"]["healed_events"].as_u64()
        };
        self.alive().iter().map(|gateway| of(gateway).unwrap()).sum()
    }

    fn stopped(&self) -> Vec<String> {
        let of =
            |gateway: &Gateway| gateway.get("/v1/admin/status?server=this").1["stopped_flights"].to_string();
        self.alive().into_iter().map(of).filter(|stopped| stopped != "[]").collect()
    }

    fn sold_more_than(&self, count: usize) {
        until("the crowd has bought more", || {
            assert!(!self.crowd.is_over.load(Ordering::Relaxed), "the crowd has given up");
            self.crowd.orders() > count
        });
    }

    /// Waits until every flight has sold since, and says how long after there was a primary the last one did.
    fn sells_again(&self, since: Instant, fail_over: Duration) -> Duration {
        let gaps = self.crowd.gaps(&(0..FLIGHTS).collect::<Vec<_>>(), since + fail_over);
        let first = gaps.iter().min().copied().unwrap_or_default();
        let last = gaps.iter().max().copied().unwrap_or_default();
        println!(
            "the fail-over took {fail_over:.1?}; the first order came {first:.1?} after it, the last flight's {last:.1?}"
        );
        first
    }

    fn check(&mut self) {
        let deadline = "no flight is stopped";
        until(deadline, || self.stopped().is_empty());
        every_order_is_there(&self.alive(), &self.crowd);
        for gateway in self.gateways.iter_mut().filter_map(Option::take) {
            gateway.stop();
        }
        let table = rig::verify(&self.plan(0));
        assert!(table.contains(&format!("{FLIGHTS} flights, 0 with a difference")), "{table}");
    }
}

/// Has the crowd buy while `breaks` goes on.
fn under_load(world: &mut World, breaks: impl FnOnce(&mut World)) {
    let crowd = world.crowd.clone();
    let buyer = |buyer| {
        let crowd = crowd.clone();
        std::thread::spawn(move || {
            let _over = Over(&crowd.is_over);
            crowd.run(buyer);
        })
    };
    let buyers: Vec<_> = (0..BUYERS).map(buyer).collect();
    {
        let _over = Over(&crowd.is_over);
        breaks(world);
    }
    for buyer in buyers {
        buyer.join().expect("a buyer was told something wrong");
    }
}

#[test]
fn nothing_is_lost_when_sentinels_promote_a_replica_that_lacks_what_was_confirmed() {
    let mut redis = Replicated::start(1, true);
    let mut world = World::new(&redis.url(), "0");
    under_load(&mut world, |world| {
        for round in 0..rounds(1) {
            world.sold_more_than(world.crowd.orders() + SOLD_UNSEEN);
            let healed = world.healed();
            redis.cut_off_replicas();
            world.sold_more_than(world.crowd.orders() + SOLD_UNSEEN);
            let began = Instant::now();
            let fail_over = redis.kill_primary();
            let first = world.sells_again(began, fail_over);
            let healed = world.healed() - healed;
            println!("round {round}: {healed} events were written again");
            assert!(healed >= SOLD_UNSEEN as u64 / 2, "the replica lacked more than {healed} events");
            assert!(first <= SELLS_AFTER, "sold only {first:?} after there was a primary");
            redis.restore();
        }
    });
    world.check();
}

#[test]
fn nothing_is_lost_when_primary_and_owner_die_together_and_a_replica_was_waited_for() {
    let mut redis = Replicated::start(2, false);
    let mut world = World::new(&redis.url(), "1");
    under_load(&mut world, |world| {
        for round in 0..rounds(1) {
            world.sold_more_than(world.crowd.orders() + SOLD_UNSEEN);
            let victim = (0..SERVERS).max_by_key(|number| served(world.gateway(*number)).len()).unwrap();
            let flights = served(world.gateway(victim)).len();
            let owner = world.gateways[victim].take().unwrap();
            let began = Instant::now();
            let fail_over = redis.kill_primary_and(|| owner.kill());
            world.sells_again(began, fail_over);
            println!("round {round}: primary and the owner of {flights} flights were killed together");
            world.crowd.addresses.lock()[victim] = None;
            world.start(victim);
            redis.restore();
        }
    });
    world.check();
}

#[test]
fn nothing_is_lost_when_a_primary_of_a_cluster_dies_whose_replica_lacks_what_was_confirmed() {
    let mut redis = Cluster::start(false);
    let mut world = World::new(&redis.url(), "0");
    under_load(&mut world, |world| {
        for round in 0..rounds(1) {
            world.sold_more_than(world.crowd.orders() + SOLD_UNSEEN);
            let healed = world.healed();
            // Where a flight is in the first round, then where the members are.
            let key = if round % 2 == 0 { "farerush:{FR1}:journal" } else { "farerush:{members}" };
            let hit = redis.primary_of(key);
            redis.cut_off_replicas_of(hit);
            world.sold_more_than(world.crowd.orders() + SOLD_UNSEEN * 3);
            let began = Instant::now();
            let fail_over = redis.kill_primary(hit);
            let first = world.sells_again(began, fail_over);
            let healed = world.healed() - healed;
            println!("round {round}: {healed} events were written again");
            assert!(healed > 0, "the replica lacked something");
            assert!(first <= SELLS_AFTER, "sold only {first:?} after there was a primary");
            redis.restore();
        }
    });
    world.check();
}
