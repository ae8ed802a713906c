//! The real program under load while its Redis comes back empty, or as it was some time ago: it ends in a definite state,
//! sells again by itself where that costs nobody an order, and else says exactly what it needs.
//! `FARERUSH_TEST_SEED` replays.

#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use servers::{RedisServer, SqlServer};
use support::check::status;
use support::client::{Client, Outcome, Request};
use support::flight::Flight;
use support::load::Until;
use support::world::World;

/// How long the first sale may take after a loss: a look or two, and what the store still has to get.
const SELLS_AGAIN: Duration = Duration::from_secs(20);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(30);
const CLIENTS: u32 = 16;

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn shown(world: &World) -> Value {
    world.runtime.block_on(status(&mut Client::new(world.address())))
}

/// The reasons of the flights that are stopped.
fn stopped(world: &World) -> Vec<String> {
    let shown = shown(world);
    let stopped = shown["stopped_flights"].as_array().cloned().unwrap_or_default();
    stopped.iter().map(|flight| flight["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_stored(world: &World) -> bool {
    let shown = shown(world);
    let flights = shown["flights"].as_array().expect("a list of flights").clone();
    flights.iter().all(|flight| flight["stored_seq"] == flight["durable_seq"])
}

fn readyz(world: &World) -> Value {
    match world.runtime.block_on(Client::new(world.address()).call(&Request::get("/readyz"))) {
        Outcome::Done(answer) => answer.body,
        other => panic!("/readyz: {other:?}"),
    }
}

fn world(name: &str, redis: &RedisServer, mariadb: &SqlServer) -> World {
    let mut world = World::on_servers(name, &redis.url(), &mariadb.url());
    world.plan = world.plan.clone().with("request_timeout_ms", "1500");
    world.start();
    for _ in 0..3 {
        let id = world.next_flight_id();
        world.create(Flight::economy(&id, 1, 60));
    }
    world
}

#[test]
fn a_redis_that_comes_back_empty_loses_no_order_and_is_sold_on_by_itself() {
    let (mut redis, mariadb) = (RedisServer::start(&[]), SqlServer::start(&[]));
    let mut world = world("flushed", &redis, &mariadb);
    for is_flushed in [true, false] {
        world.fill_the_board();
        let load = world.load(CLIENTS, Until::Told);
        load.wait_sold_more_than(50, PATIENCE);
        if is_flushed {
            redis.command(&["FLUSHALL"]).expect("Redis is there");
        } else {
            // An empty volume.
            redis.kill();
            std::fs::remove_dir_all(redis.dir().join("appendonlydir")).expect("it wrote there");
            redis.restart();
        }
        let (lost, sold) = (Instant::now(), load.sold());
        load.wait_sold_more_than(sold + 50, SELLS_AGAIN);
        println!("flushed: {is_flushed}; {sold} orders before, sold on after {:.1?}", lost.elapsed());
        world.check(load);
        until("no flight is stopped", || stopped(&world).is_empty());
        assert_eq!(readyz(&world)["stopped_because"], Value::Null);
    }
    world.check_all();
    world.stop();
    world.start();
    world.check_all();
}

/// Puts what Redis wrote elsewhere, as long as it is not running.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_redis_that_was_put_back_from_a_copy_gets_again_what_its_living_owner_knows() {
    let (mut redis, mariadb) = (RedisServer::start(&[]), SqlServer::start(&[]));
    let mut world = world("putback", &redis, &mariadb);
    let load = world.load(CLIENTS, Until::Told);
    load.wait_sold_more_than(50, PATIENCE);
    let (files, old) = (redis.dir().join("appendonlydir"), redis.dir().join("old"));
    redis.kill();
    copy(&files, &old);
    redis.restart();
    load.wait_sold_more_than(load.sold() + 50, PATIENCE);
    redis.kill();
    std::fs::remove_dir_all(&files).unwrap();
    copy(&old, &files);
    redis.restart();
    let (put_back, sold) = (Instant::now(), load.sold());
    load.wait_sold_more_than(sold + 50, SELLS_AGAIN);
    let healed = shown(&world)["journal"]["healed_events"].as_u64().unwrap();
    println!("put back: {healed} events were written again; sold on after {:.1?}", put_back.elapsed());
    assert!(healed >= 50, "{healed}");
    world.check(load);
    assert!(stopped(&world).is_empty(), "{:?}", stopped(&world));
    world.check_all();
    world.stop();
    world.start();
    world.check_all();
}

#[test]
fn a_redis_that_was_put_back_from_a_copy_while_nobody_knew_more_says_what_it_needs_and_sells_on() {
    let (mut redis, mariadb) = (RedisServer::start(&[]), SqlServer::start(&[]));
    let mut world = world("rolledback", &redis, &mariadb);
    let load = world.load(CLIENTS, Until::Told);
    load.wait_sold_more_than(50, PATIENCE);
    world.check(load);
    let (files, old) = (redis.dir().join("appendonlydir"), redis.dir().join("old"));
    redis.kill();
    copy(&files, &old);
    redis.restart();
    let load = world.load(CLIENTS, Until::Told);
    load.wait_sold_more_than(50, PATIENCE);
    world.check(load);
    // Whoever could write again what is lost is gone.
    world.stop();
    redis.kill();
    std::fs::remove_dir_all(&files).unwrap();
    copy(&old, &files);
    redis.restart();
    world.start();
    // What was acknowledged is in the store; of each flight it is said what to do.
    until("a flight says what it needs", || {
        stopped(&world).iter().any(|reason| reason.contains("DEL farerush:{"))
    });
    let ready = readyz(&world);
    assert!(ready["flights_stopped"].as_u64() > Some(0), "{ready}");
    assert!(ready["stopped_because"].as_str().is_some_and(|why| why.contains("DEL farerush:{")), "{ready}");
    until("everything is stored", || is_stored(&world));
    for flight in world.flights() {
        let key = format!("farerush:{{{}}}:journal", flight.id);
        let said = redis.command(&["DEL", &key]).expect("Redis is there");
        assert!(said.starts_with(':'), "{said}");
    }
    let mended = Instant::now();
    for flight in world.flights() {
        let path = format!("/v1/admin/flights/{}/restart", flight.id);
        let restarted =
            world.runtime.block_on(Client::new(world.address()).call(&Request::post(&path, "{}")));
        assert!(matches!(restarted, Outcome::Done(_)), "{restarted:?}");
    }
    let load = world.load(CLIENTS, Until::Told);
    load.wait_sold_more_than(50, PATIENCE);
    println!("rolled back: sold on {:.1?} after what was asked for", mended.elapsed());
    world.check(load);
    until("no flight is stopped", || stopped(&world).is_empty());
    world.check_all();
    world.stop();
    world.start();
    world.check_all();
}
