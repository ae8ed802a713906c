//! The real program with more flights than it brings up before it sells: who asks for one that is still on its way gets it,
//! lists are whole or say that they are not, and everything is as it was. `FARERUSH_TEST_FLIGHTS` takes more flights.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rig::{Asked as _, Rig, send_file, start, until, verify};
use serde_json::{Value, json};
use support::process::{Gateway, Plan};

/// So many flights in the normal run: more than come up before anything is sold, over Redis.
const FLIGHTS: usize = 600;
const JSON_LINES: &str = "content-type: application/x-ndjson\r\n";
/// How long the first sale after a start may take: two seconds where nothing is built beside it.
const FIRST_SALE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });

fn flights() -> usize {
    let given = std::env::var("FARERUSH_TEST_FLIGHTS").ok();
    given.map_or(FLIGHTS, |text| text.parse().expect("FARERUSH_TEST_FLIGHTS is a number"))
}

fn name(number: usize) -> String {
    format!("MANY{number:05}")
}

fn import(gateway: &Gateway, count: usize) {
    for first in (0..count).step_by(1_000) {
        let mut lines = String::new();
        for number in first..count.min(first + 1_000) {
            let flight = json!({
                "flight_id": name(number), "flight_number": "FR1", "origin": "TPE", "destination": "NRT",
                "departs_at": "2027-06-01T00:00:00Z", "aircraft": "A320",
                "fare": {"amount": 100, "currency": "TWD"}, "sale": {"state": "open"}
            });
            writeln!(lines, "{flight}").unwrap();
        }
        let (status, answer) =
            send_file(gateway.address(), "POST /v1/admin/flights/import", JSON_LINES, &lines);
        assert_eq!(status, 201, "{answer}");
    }
}

fn listed(gateway: &Gateway, count: usize) -> bool {
    let mut found = 0;
    let mut cursor = String::new();
    loop {
        let (status, page) = gateway.get(&format!("/v1/flights?limit=200{cursor}"));
        if status == 503 {
            assert!(page["detail"].as_str().unwrap().contains("not all flights are there yet"), "{page}");
            return false;
        }
        assert_eq!(status, 200, "{page}");
        found += page["flights"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, count, "a list that says nothing of it is not whole");
    true
}

fn sell_again_after_kills(plan: &Plan) {
    let count = flights();
    let mut gateway = start(plan);
    import(&gateway, count);
    let mut orders: Vec<Value> =
        (0..count).step_by(97).map(|number| gateway.grab(&name(number), &format!("c{number}"))).collect();
    for round in 0..3 {
        if round == 1 {
            gateway.stop();
        } else {
            gateway.kill();
        }
        let began = Instant::now();
        gateway = start(plan);
        // The last one by name comes up last, if nobody asks for it.
        let last = name(count - 1 - round);
        orders.push(gateway.grab(&last, &format!("again{round}")));
        let took = began.elapsed();
        let (_, status) = gateway.get("/v1/admin/status");
        println!("first sale {took:.1?} after the start; still to come: {}", status["flights_coming_up"]);
        assert!(took < FIRST_SALE, "{took:?}");
        // What is on its way exists, and what is stored of it is listed.
        let (status, answer) = gateway.try_create(&name(count - 10 - round));
        assert_eq!((status, answer["code"].as_str()), (409, Some("FLIGHT_EXISTS")), "{answer}");
        until("all flights are listed", || listed(&gateway, count));
        assert_eq!(gateway.listed().len(), orders.len(), "all of one customer's");
        let (_, status) = gateway.get("/v1/admin/status");
        assert_eq!((&status["flights_coming_up"], &status["stopped_flights"]), (&json!(0), &json!([])));
        for known in &orders {
            let (status, order) = gateway.get(&format!("/v1/orders/{}", known["order_id"].as_str().unwrap()));
            assert_eq!((status, &order), (200, known));
        }
    }
    gateway.stop();
    verify(plan);
}

#[test]
fn a_start_with_many_flights_sells_those_first_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    sell_again_after_kills(&Plan::embedded(folder.path()));
}

#[test]
fn a_start_with_many_flights_over_redis_and_mysql_does_too() {
    let rig = Rig::new();
    sell_again_after_kills(&rig.plan("many").with("peer_listen", "auto").with("lease_ms", "1500"));
}
