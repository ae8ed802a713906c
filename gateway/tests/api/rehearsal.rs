//! Rehearsals: what they come to, that nothing real changes by them, and that they have bounds and an end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use farerush::parts::rehearsal::KEPT_MAX;
use farerush_engine::flight::FlightId;
use serde_json::{Value, json};

use crate::client::{Reply, TestServer};

async fn start(server: &TestServer, flight: &str, plan: &Value) -> Reply {
    server.admin(&format!("POST /v1/admin/flights/{flight}/rehearsals"), &plan.to_string()).await
}

/// Starts one; gives its id.
async fn started(server: &TestServer, flight: &str, plan: &Value) -> String {
    let reply = start(server, flight, plan).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let id = reply.json()["rehearsal_id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/v1/admin/rehearsals/{id}").as_str()));
    id
}

async fn look(server: &TestServer, id: &str) -> Value {
    let reply = server.admin(&format!("GET /v1/admin/rehearsals/{id}"), "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

async fn stop(server: &TestServer, id: &str) -> Value {
    let reply = server.admin(&format!("DELETE /v1/admin/rehearsals/{id}"), "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// The report, once there is one.
async fn report(server: &TestServer, id: &str) -> Value {
    let patience = Instant::now() + Duration::from_secs(90);
    loop {
        let rehearsal = look(server, id).await;
        if rehearsal["state"] != "running" {
            return rehearsal;
        }
        assert!(Instant::now() < patience, "it never ended: {rehearsal}");
    }
}

/// Seats by how they stand.
fn by_status(map: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let cabins = map["cabins"].as_array().unwrap().iter();
    let rows = cabins.flat_map(|cabin| cabin["rows"].as_array().unwrap());
    for seat in rows.flat_map(|row| row["seats"].as_array().unwrap()) {
        let text = |name: &str| seat[name].as_str().unwrap().to_owned();
        found.entry(text("status")).or_default().insert(text("seat"));
    }
    found
}

async fn shadow_map(server: &TestServer, id: &str) -> Value {
    let reply = server.admin(&format!("GET /v1/admin/rehearsals/{id}/seats"), "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn assert_sound(report: &Value) {
    assert_eq!((&report["state"], &report["failure"]), (&"done".into(), &Value::Null), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 3 && checks.iter().all(|check| check["ok"] == true), "{report:#}");
    let count = |value: &Value| value.as_u64().unwrap();
    let refused: u64 = report["refused"].as_object().unwrap().values().map(count).sum();
    assert_eq!(count(&report["sent"]), count(&report["customers"]));
    assert_eq!(count(&report["won"]) + refused, count(&report["sent"]), "{report:#}");
    assert_eq!(report["orders"], report["won"]);
    let timeline = report["timeline"].as_array().unwrap();
    let sum = |name: &str| timeline.iter().map(|interval| count(&interval[name])).sum::<u64>();
    assert_eq!(
        (sum("sent"), sum("won"), sum("refused")),
        (count(&report["sent"]), count(&report["won"]), refused)
    );
    let latency = |name: &str| count(&report["latency_us"][name]);
    assert!(latency("p50") <= latency("p90") && latency("p90") <= latency("p99"), "{report:#}");
    assert!(latency("p99") <= latency("max") && latency("max") > 0, "{report:#}");
}

/// All that anybody can know of a real flight, once the store has it.
async fn all_of(server: &TestServer, flight: &str) -> Vec<Value> {
    let mut known = Vec::new();
    for request in [
        format!("GET /v1/flights/{flight}"),
        format!("GET /v1/flights/{flight}/seats"),
        format!("GET /v1/admin/orders?flight_id={flight}"),
        format!("GET /v1/admin/flights/{flight}/manifest"),
        format!("GET /v1/admin/flights/{flight}/audit?limit=200"),
        format!("GET /v1/admin/flights/{flight}/refunds"),
        format!("GET /v1/admin/flights/{flight}/waitlist"),
    ] {
        let reply = server.admin(&request, "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        known.push(reply.json());
    }
    let engine = &server.running.system.flights.engine;
    let status = engine.status();
    known.push(json!([status.rounds, status.events, engine.flights().len()]));
    let id = FlightId::new(flight).unwrap();
    let one = engine.flights().into_iter().find(|its| *its.flight_id() == id).unwrap().status();
    known.push(json!([one.seq.0, one.durable_seq.0, one.epoch.0, one.holds]));
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_sells_the_shadow_out_and_leaves_the_real_flight_as_it_was() {
    let server = TestServer::alone(&[]).await;
    // Sold, held and blocked seats, and a sale that is closed for everybody else.
    server.grab("DEMO2", r#"{"customer_id":"held","seats":["5A","5B"]}"#).await;
    let order = server.grab("DEMO2", r#"{"customer_id":"paid","seats":["7C"]}"#).await;
    let id = order["order_id"].as_str().unwrap();
    let paid = server
        .post(
            &format!("/v1/orders/{id}/confirm"),
            r#"{"payment_reference":"p","amount":79900,"currency":"TWD"}"#,
        )
        .await;
    assert_eq!(paid.status, 200, "{paid:?}");
    for (action, body) in [("seats/block", r#"{"seats":["30A","30B"]}"#), ("close", "")] {
        let reply = server.admin(&format!("POST /v1/admin/flights/DEMO2/{action}"), body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let before = all_of(&server, "DEMO2").await;
    let plan = json!({"customers": 3000, "over_seconds": 1});
    let rehearsal = started(&server, "DEMO2", &plan).await;
    let report = report(&server, &rehearsal).await;
    assert_sound(&report);
    assert_eq!((&report["flight_id"], &report["start_from"]), (&"DEMO2".into(), &"now".into()));
    assert_eq!(
        (&report["capacity"], &report["seats_sold"], &report["available"]),
        (&180.into(), &175.into(), &0.into()),
        "{report:#}"
    );
    assert!(report["sold_out_after_ms"].is_u64() && report["refused"]["SOLD_OUT"].as_u64() > Some(2000));
    let map = shadow_map(&server, &rehearsal).await;
    assert_eq!(map["flight_id"], "DEMO2");
    let seats = by_status(&map);
    assert_eq!(seats["blocked"], BTreeSet::from(["30A", "30B"].map(str::to_owned)));
    assert_eq!(
        seats["sold"],
        BTreeSet::from(["7C".to_owned()]),
        "the others hold their seats, as the sale's rules say"
    );
    assert!(seats["held"].contains("5A") && seats["held"].len() == 177 && !seats.contains_key("free"));
    assert_eq!(all_of(&server, "DEMO2").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_may_begin_with_every_seat_on_sale() {
    let server = TestServer::start().await;
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":9}"#).await;
    let reply = server.admin("POST /v1/admin/flights/DEMO1/seats/block", r#"{"seats":["30A"]}"#).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let plan = json!({"customers": 20, "over_seconds": 1, "start_from": "empty"});
    let rehearsal = started(&server, "DEMO1", &plan).await;
    let report = report(&server, &rehearsal).await;
    assert_sound(&report);
    // There is room for all of them.
    assert_eq!((&report["won"], &report["sold_out_after_ms"]), (&20.into(), &Value::Null), "{report:#}");
    let sold = report["seats_sold"].as_u64().unwrap();
    assert_eq!(report["available"].as_u64().unwrap(), 179 - sold, "{report:#}");
    let seats = by_status(&shadow_map(&server, &rehearsal).await);
    assert_eq!((seats["sold"].len() as u64, seats["blocked"].len()), (sold, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runs_at_a_time_until_it_is_stopped() {
    let server = TestServer::start().await;
    let long = json!({"customers": 1000, "over_seconds": 120});
    let first = started(&server, "DEMO1", &long).await;
    let refused = start(&server, "DEMO3", &long).await;
    let problem = refused.is_problem(409, "LIMIT_EXCEEDED");
    assert!(problem["detail"].as_str().unwrap().contains("one runs at a time"), "{problem}");
    assert_eq!(problem["limit"], 1);
    assert_eq!(look(&server, &first).await["state"], "running");
    let stopped = stop(&server, &first).await;
    assert_eq!((&stopped["state"], &stopped["checks"]), (&"stopped".into(), &Value::Null), "{stopped:#}");
    assert_eq!(stop(&server, &first).await, stopped, "to repeat it changes nothing");
    let second = started(&server, "DEMO3", &json!({})).await;
    let begun = look(&server, &second).await;
    assert_eq!((&begun["customers"], &begun["over_seconds"]), (&10_000.into(), &10.into()));
    stop(&server, &second).await;
    assert_eq!(look(&server, &first).await, stopped, "the last ones are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_few_are_kept() {
    let server = TestServer::alone(&[]).await;
    let mut ids = Vec::new();
    for _ in 0..=KEPT_MAX {
        let id = started(&server, "DEMO1", &json!({"customers": 1})).await;
        stop(&server, &id).await;
        ids.push(id);
    }
    for request in ["GET /v1/admin/rehearsals/", "DELETE /v1/admin/rehearsals/"] {
        server.admin(&format!("{request}{}", ids[0]), "").await.is_problem(404, "NOT_FOUND");
        assert_eq!(server.admin(&format!("{request}{}", ids[1]), "").await.status, 200);
    }
    server.admin("GET /v1/admin/rehearsals/none/seats", "").await.is_problem(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_plan_is_named() {
    let server = TestServer::start().await;
    let bad = json!({"customers": 1_000_001, "over_seconds": 0, "start_from": "later", "speed": 9});
    let problem = start(&server, "DEMO1", &bad).await.is_problem(400, "INVALID_REQUEST");
    let fields: BTreeSet<&str> =
        problem["errors"].as_array().unwrap().iter().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, BTreeSet::from(["customers", "over_seconds", "speed", "start_from"]));
    start(&server, "NOPE", &json!({})).await.is_problem(404, "FLIGHT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_ends_with_the_server() {
    let server = TestServer::start().await;
    started(&server, "RUSH", &json!({"customers": 1_000_000, "over_seconds": 120})).await;
    let TestServer { running, data_dir, .. } = server;
    let rehearsals = running.system.api.rehearsing.rehearsals.clone();
    let began = Instant::now();
    assert!(running.stop(Duration::from_secs(9)).await, "the stop left something behind");
    assert!(began.elapsed() < Duration::from_secs(9));
    // Its thread is gone, and there will be no other.
    rehearsals.wait();
    drop(data_dir);
}
