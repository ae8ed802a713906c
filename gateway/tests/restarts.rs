//! The real program, and flights of it that are restarted twice at once again and again while a crowd buys: nothing that
//! was acknowledged may be lost, no flight may be dead. `FARERUSH_TEST_SEED` replays, `FARERUSH_TEST_ROUNDS` goes longer
//! (ten double restarts a round; 20 rounds are 200).

#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use servers::RedisServer;
use support::check::{insist, status};
use support::client::{Client, Request};
use support::flight::Flight;
use support::load::Until;
use support::world::World;

/// Double restarts in each round.
const RESTARTS_PER_ROUND: usize = 10;
/// How long the next sale may take after a restart.
const NEXT_SALE: Duration = Duration::from_secs(10);
/// Clients of each load.
const CLIENTS: u32 = 24;
/// For how long each of them thinks between two requests, at most: some sixteen hundred requests a second are under way while
/// flights restart, and what twenty rounds sell does not outgrow the store.
const THINKS: Duration = Duration::from_millis(30);

#[test]
fn overlapping_restarts_lose_nothing_and_leave_no_flight_dead() {
    restart_twice_at_once(World::embedded("restarts"));
}

#[test]
fn overlapping_restarts_lose_nothing_with_redis_as_the_journal() {
    let redis = RedisServer::start(&[]);
    let mut world = World::embedded("restartsredis");
    world.plan = world.plan.clone().with("journal", &redis.url());
    restart_twice_at_once(world);
}

fn restart_twice_at_once(mut world: World) {
    let rounds = support::rounds(2);
    let began = Instant::now();
    world.clients_think = THINKS;
    world.start();
    let mut epochs = HashMap::new();
    let mut doubles = 0;
    for round in 1..=rounds {
        // Short holds: their actors have timers all the time.
        for _ in 0..2 {
            let id = world.next_flight_id();
            world.create(Flight::economy(&id, 1, 40));
        }
        world.fill_the_board();
        let load = world.load(CLIENTS, Until::Told);
        load.wait_sold_more_than(0, NEXT_SALE);
        let flights: Vec<_> = world.on_sale().iter().map(|flight| flight.id.to_string()).collect();
        for _ in 0..RESTARTS_PER_ROUND {
            // The newest flights are the ones with short holds and seats left.
            let place = flights.len() - 1 - world.rng.usize(..flights.len().min(5));
            let both = restart_both(&world, &flights[place]);
            doubles += 1;
            for epoch in both {
                let before = epochs.insert(flights[place].clone(), epoch);
                assert!(before < Some(epoch), "{}: epoch {epoch} after {before:?}", flights[place]);
            }
        }
        load.wait_sold_more_than(load.sold(), NEXT_SALE);
        let (sold, (not_done, unknown)) = (load.sold(), load.troubled());
        world.check(load);
        all_serve(&world);
        println!("round {round}: {sold} orders, {not_done} not done, {unknown} unknown");
    }
    println!("{doubles} double restarts in {:.1?}", began.elapsed());
    world.check_all();
    world.stop();
    world.verify();
    world.start();
    world.check_all();
}

/// Two restarts of one flight at the same time; their epochs, the smaller one first.
fn restart_both(world: &World, flight_id: &str) -> [u64; 2] {
    let path = format!("/v1/admin/flights/{flight_id}/restart");
    let address = world.address();
    let restart = async || {
        let answer = insist(&mut Client::new(address), &Request::post(&path, "{}")).await;
        let answer = answer.unwrap_or_else(|code| panic!("{path}: {code}")).body;
        answer["epoch"].as_u64().unwrap_or_else(|| panic!("no epoch: {answer}"))
    };
    let (one, other) = world.runtime.block_on(async { tokio::join!(restart(), restart()) });
    [one.min(other), one.max(other)]
}

/// Every flight there ever was is served, by this server.
fn all_serve(world: &World) {
    let shown = world.runtime.block_on(status(&mut Client::new(world.address())));
    assert_eq!(shown["stopped_flights"], Value::Array(Vec::new()), "{shown}");
    assert_eq!(shown["flights_elsewhere"], 0, "{shown}");
    let served = shown["flights"].as_array().expect("a list of flights").len();
    assert!(served >= world.flights().count(), "{served} flights are served");
}
