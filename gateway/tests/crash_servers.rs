//! The real program with Redis as its journal and MariaDB as its store, each of them killed, stopped or cut off at any
//! moment: nothing acknowledged may be lost, no seat sold twice, no flight written by two owners.
//! `FARERUSH_TEST_SEED` replays, `FARERUSH_TEST_ROUNDS` goes longer, `FARERUSH_TEST_OUTAGE_SECONDS` sets how long a
//! server is away (5; 60 in the long run).

#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use servers::{Proxy, RedisServer, SqlServer};
use support::check::insist;
use support::client::{Client, Request};
use support::load::{Kind, Load, Until};
use support::world::{START_PATIENCE, World};

/// How long the first grab after a start or an outage may take.
const FIRST_GRAB: Duration = Duration::from_secs(10);
/// How long a request may wait for its outcome here.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// What a crowded machine may add to a promised time.
const SLACK: Duration = Duration::from_secs(2);
/// Replies that were on their way when a server died are counted for so long.
const ON_THEIR_WAY: Duration = Duration::from_millis(300);

/// The two servers, and a world on them.
struct Stage {
    world: World,
    redis: RedisServer,
    mariadb: SqlServer,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Victims {
    gateway: bool,
    redis: bool,
    mariadb: bool,
}

/// How a server is away.
#[derive(Debug, Clone, Copy)]
enum Away {
    /// Dead: connections break.
    Killed,
    /// Stopped: connections hang.
    Stopped,
}

const GATEWAY: Victims = Victims { gateway: true, redis: false, mariadb: false };
const REDIS: Victims = Victims { gateway: false, redis: true, mariadb: false };
const MARIADB: Victims = Victims { gateway: false, redis: false, mariadb: true };
const REDIS_AND_GATEWAY: Victims = Victims { gateway: true, redis: true, mariadb: false };
const ALL: Victims = Victims { gateway: true, redis: true, mariadb: true };

impl Stage {
    fn new(name: &str) -> Self {
        let (redis, mariadb) = (RedisServer::start(&[]), SqlServer::start(&[]));
        let mut world = World::on_servers(name, &redis.url(), &mariadb.url());
        world.plan = world.plan.clone().with("request_timeout_ms", &REQUEST_TIMEOUT.as_millis().to_string());
        Self { world, redis, mariadb }
    }

    fn kill_rounds(name: &str, victims: Victims) {
        let mut stage = Self::new(name);
        stage.world.start();
        for round in 1..=support::rounds(16) {
            stage.world.fill_the_board();
            let until = if victims.gateway { Until::Lost } else { Until::Told };
            let load = stage.world.load(32, until);
            load.wait_sold_more_than(0, FIRST_GRAB);
            std::thread::sleep(Duration::from_millis(stage.world.rng.u64(5..400)));
            stage.kill(victims);
            let began = Instant::now();
            stage.come_back(victims, &load);
            let back = began.elapsed();
            let (sold, (not_done, unknown)) = (load.sold(), load.troubled());
            stage.world.check(load);
            let checked = began.elapsed() - back;
            println!(
                "{name} {round}: {sold} orders, {not_done} not done, {unknown} unknown; back in {back:.1?}, \
                 checked in {checked:.1?}"
            );
        }
        stage.end();
    }

    /// Kills the victims, one right after the other, in any order.
    fn kill(&mut self, victims: Victims) {
        let mut order = [0, 1, 2];
        self.world.rng.shuffle(&mut order);
        for victim in order {
            match victim {
                0 if victims.gateway => self.world.kill(),
                1 if victims.redis => self.redis.kill(),
                2 if victims.mariadb => self.mariadb.kill(),
                _ => {}
            }
        }
    }

    /// Starts again what was killed, the gateway before or after its servers.
    fn come_back(&mut self, victims: Victims, load: &Load) {
        if !victims.gateway && victims.mariadb {
            // Sales go on without the store.
            load.wait_sold_more_than(load.sold() + 20, FIRST_GRAB);
        }
        if !victims.gateway && victims.redis {
            self.world.rng.bool().then(|| std::thread::sleep(ON_THEIR_WAY));
        }
        let Self { world, redis, mariadb } = self;
        let gateway_first = victims.gateway && world.rng.bool();
        let mut servers = || {
            if victims.redis {
                redis.restart();
            }
            if victims.mariadb {
                mariadb.restart();
            }
        };
        match (victims.gateway, gateway_first) {
            (true, true) => world.start_while(servers),
            (true, false) => {
                servers();
                world.start();
            }
            (false, _) => {
                servers();
                load.wait_sold_more_than(load.sold() + 20, FIRST_GRAB);
            }
        }
    }

    /// Everything once more, then a clean stop, and everything after the next start.
    fn end(mut self) {
        self.world.check_all();
        self.world.stop();
        self.world.verify();
        self.world.start();
        self.world.check_all();
    }
}

#[test]
fn nothing_is_lost_when_the_gateway_is_killed() {
    Stage::kill_rounds("gatewaykill", GATEWAY);
}

#[test]
fn nothing_is_lost_when_redis_is_killed() {
    Stage::kill_rounds("rediskill", REDIS);
}

#[test]
fn nothing_is_lost_when_mariadb_is_killed() {
    Stage::kill_rounds("mariadbkill", MARIADB);
}

#[test]
fn nothing_is_lost_when_redis_and_the_gateway_are_killed() {
    Stage::kill_rounds("bothkill", REDIS_AND_GATEWAY);
}

#[test]
fn nothing_is_lost_when_all_three_are_killed() {
    Stage::kill_rounds("allkill", ALL);
}

#[test]
fn an_owner_that_slept_through_a_take_over_acknowledges_nothing_more() {
    const SLEEPERS: u32 = 24;
    let mut stage = Stage::new("takeover");
    let world = &mut stage.world;
    world.start();
    // Started on the same journal and store, the second one takes over everything.
    let mut other = world.plan.second().start();
    other.wait_ready(START_PATIENCE).unwrap();
    world.change_places(&mut other);
    let mut epochs = HashMap::new();
    // What the first owner sells before it sleeps leaves something to the second one, however fast it is; in later rounds
    // the board sees to that.
    let large = world.next_flight_id();
    world.create(support::flight::Flight::economy(&large, 0, 999));
    for round in 1..=support::rounds(12) {
        world.fill_the_board();
        let plan = world.load_plan(SLEEPERS, Until::Told);
        let load_of_old = Load::start(world.runtime.handle(), &plan);
        load_of_old.wait_sold_more_than(0, FIRST_GRAB);
        std::thread::sleep(Duration::from_millis(world.rng.u64(5..200)));
        world.gateway().signal(Signal::STOP);
        let sold_before = load_of_old.sold();
        world.change_places(&mut other);

        let began = Instant::now();
        take_over_all(world, &mut epochs);
        let took = began.elapsed();
        let plan = world.load_plan(8, Until::Told);
        let load_of_new = Load::start(world.runtime.handle(), &plan);
        load_of_new.wait_sold_more_than(5, FIRST_GRAB);
        other.signal(Signal::CONT);
        std::thread::sleep(Duration::from_millis(world.rng.u64(100..400)));
        let woken = load_of_old.sold() - sold_before;
        let (not_done, unknown) = load_of_old.troubled();
        // Whatever the old owner acknowledged, before and after, has to be what the new one knows.
        let mut grabs = load_of_old.finish(world.runtime.handle());
        grabs.extend(load_of_new.finish(world.runtime.handle()));
        world.check_grabs(grabs);
        println!(
            "takeover {round}: {} flights in {took:.1?}; the old owner, woken: {woken} orders that were durable \
             before, {not_done} not done, {unknown} unknown",
            epochs.len()
        );
        // One request a client was on its way at most.
        assert!(woken <= u64::from(SLEEPERS), "the old owner went on selling");
    }
    drop(other);
    stage.end();
}

/// Tells the gateway that is asked to take over every flight there ever was.
fn take_over_all(world: &World, epochs: &mut HashMap<String, u64>) {
    let mut client = Client::new(world.address());
    for flight in world.flights() {
        let path = format!("/v1/admin/flights/{}/restart", flight.id);
        let answer = world.runtime.block_on(insist(&mut client, &Request::post(&path, "{}")));
        let answer = answer.unwrap_or_else(|code| panic!("{path}: {code}")).body;
        let epoch = answer["epoch"].as_u64().unwrap_or_else(|| panic!("no epoch: {answer}"));
        let before = epochs.insert(path, epoch);
        assert!(before < Some(epoch), "epoch {epoch} after {before:?}: {answer}");
    }
}

#[test]
fn sales_go_on_while_mariadb_is_away() {
    let mut stage = Stage::new("mariadbaway");
    let outage = Duration::from_secs(support::setting("FARERUSH_TEST_OUTAGE_SECONDS", 5));
    stage.world.start();
    for away in [Away::Killed, Away::Stopped] {
        let load = stage.start_long_load();
        load.wait_sold_more_than(20, FIRST_GRAB);
        let resident = stage.world.gateway().resident_bytes();
        match away {
            Away::Killed => stage.mariadb.kill(),
            Away::Stopped => stage.mariadb.stop(),
        }
        let began = Instant::now();
        let sold_before = load.sold();
        let mut sold = sold_before;
        while began.elapsed() < outage {
            std::thread::sleep(outage / 5);
            assert!(load.sold() > sold, "sales stopped while MariaDB was away");
            sold = load.sold();
        }
        let grown = stage.world.gateway().resident_bytes().saturating_sub(resident) >> 20;
        match away {
            Away::Killed => stage.mariadb.restart(),
            Away::Stopped => stage.mariadb.cont(),
        }
        load.wait_sold_more_than(load.sold() + 20, FIRST_GRAB);
        println!(
            "MariaDB away ({away:?}) for {outage:?}: {} orders meanwhile, memory grew by {grown} MiB",
            sold - sold_before
        );
        assert!(grown < 400, "memory grew by {grown} MiB");
        stage.world.check(load);
    }
    stage.end();
}

#[test]
fn nothing_is_acknowledged_while_redis_is_away() {
    let mut stage = Stage::new("redisaway");
    let outage = Duration::from_secs(support::setting("FARERUSH_TEST_OUTAGE_SECONDS", 5));
    stage.world.start();
    for away in [Away::Killed, Away::Stopped] {
        let load = stage.start_long_load();
        load.wait_sold_more_than(20, FIRST_GRAB);
        match away {
            Away::Killed => stage.redis.kill(),
            Away::Stopped => stage.redis.stop(),
        }
        std::thread::sleep(ON_THEIR_WAY);
        let sold = load.sold();
        std::thread::sleep(outage);
        assert_eq!(load.sold(), sold, "grabs were acknowledged while Redis was away");
        let slowest = load.slowest();
        assert!(slowest < REQUEST_TIMEOUT + SLACK, "an answer took {slowest:?}");
        let (not_done, unknown) = load.troubled();
        match away {
            Away::Killed => stage.redis.restart(),
            Away::Stopped => stage.redis.cont(),
        }
        let returned = Instant::now();
        load.wait_sold_more_than(sold, FIRST_GRAB);
        let selling = returned.elapsed();
        println!(
            "Redis away ({away:?}) for {outage:?}: {not_done} not done, {unknown} unknown, slowest answer {slowest:?}, selling \
             again {selling:?} after its return"
        );
        assert!(selling < Duration::from_secs(2), "it took {selling:?} to sell again");
        stage.world.check(load);
    }
    stage.end();
}

#[test]
fn replies_of_redis_that_are_cut_delayed_or_lost_lose_nothing() {
    let (redis, mariadb) = (RedisServer::start(&[]), SqlServer::start(&[]));
    let proxy = Proxy::start(redis.address());
    let journal = format!("redis://{}/0", proxy.address());
    let mut world = World::on_servers("proxy", &journal, &mariadb.url());
    world.plan = world.plan.clone().with("request_timeout_ms", &REQUEST_TIMEOUT.as_millis().to_string());
    world.start();
    for round in 1..=support::rounds(10) {
        world.fill_the_board();
        let load = world.load(24, Until::Told);
        load.wait_sold_more_than(10, FIRST_GRAB);
        for _ in 0..4 {
            match world.rng.u32(..6) {
                0 => proxy.cut_requests_after(world.rng.usize(1..4000)),
                1 => proxy.cut_replies_after(world.rng.usize(1..200)),
                2 => proxy.cut_all(),
                3 => proxy.delay_replies(Some(Duration::from_millis(world.rng.u64(1..300)))),
                4 => proxy.drop_replies(true),
                _ => proxy.refuse(true),
            }
            std::thread::sleep(Duration::from_millis(world.rng.u64(20..250)));
            if world.rng.bool() {
                proxy.cut_all();
            }
            proxy.heal();
            load.wait_sold_more_than(load.sold() + 3, FIRST_GRAB);
        }
        let (sold, (not_done, unknown)) = (load.sold(), load.troubled());
        world.check(load);
        println!(
            "proxy {round}: {sold} orders, {not_done} not done, {unknown} unknown, {} cuts",
            proxy.cuts()
        );
    }
    world.check_all();
    world.stop();
    world.verify();
}

impl Stage {
    /// A load that does not sell out before an outage has passed.
    fn start_long_load(&mut self) -> Load {
        for _ in 0..3 {
            let id = self.world.next_flight_id();
            self.world.create(support::flight::Flight::economy(&id, 0, 999));
        }
        let flights = self.world.on_sale().to_vec();
        let mut plan = self.world.load_plan(32, Until::Told);
        plan.flights = flights.into_iter().rev().take(3).collect();
        plan.kind = Kind::GiveBack;
        Load::start(self.world.runtime.handle(), &plan)
    }
}
