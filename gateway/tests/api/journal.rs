//! What clients are told while the journal hangs, fails for a moment, or fails for good.

use std::time::Duration;

use farerush_persistence::journal::faulty::Fault;

use crate::client::TestServer;

const GRAB: &str = "POST /v1/flights/DEMO1/orders";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_does_not_come_is_unknown_and_the_key_finds_it_later() {
    let (server, journal) = TestServer::with_faults(&[("request_timeout_ms", "200")]).await;
    journal.hold();
    let body = r#"{"customer_id":"u","quantity":2}"#;
    let key = [("idempotency-key", "k")];
    let reply = server.send(GRAB, &key, body).await;
    reply.is_problem(503, "OUTCOME_UNKNOWN");
    assert!(reply.header("retry-after").is_some());
    // Nothing that is not durable shows anywhere, and what would depend on it waits.
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 180);
    assert!(journal.wait_until_holding(PATIENCE));
    journal.release();
    let mut reply = server.send(GRAB, &key, body).await;
    while reply.status == 503 {
        reply = server.send(GRAB, &key, body).await;
    }
    assert_eq!((reply.status, reply.header("idempotency-replayed")), (200, Some("true")), "{reply:?}");
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 178);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_permits_is_turned_away_at_once() {
    let changes = [("permits_per_flight", "1"), ("request_timeout_ms", "20000")];
    let (server, journal) = TestServer::with_faults(&changes).await;
    journal.hold();
    let body = r#"{"customer_id":"u","quantity":1}"#;
    let held = server.send(GRAB, &[], body);
    let others = async {
        while !journal.wait_until_holding(Duration::ZERO) {
            tokio::task::yield_now().await;
        }
        let reply = server.send(GRAB, &[], body).await;
        journal.release();
        reply
    };
    let (held, turned_away) = tokio::join!(held, others);
    assert_eq!(held.status, 201, "{held:?}");
    turned_away.is_problem(503, "OVERLOADED");
    assert!(turned_away.header("retry-after").is_some());
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 179);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fails_for_a_moment_costs_nobody_an_order() {
    let (server, journal) = TestServer::with_faults(&[]).await;
    journal.fail_next(Fault::UnavailableAfter, 3);
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 179);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_has_stopped_stops_the_sale_but_not_the_server() {
    let (server, journal) = TestServer::with_faults(&[("request_timeout_ms", "500")]).await;
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
    journal.fail_next(Fault::Stopped, 1);
    let body = r#"{"customer_id":"u","quantity":1}"#;
    server.send(GRAB, &[], body).await.is_problem(503, "OUTCOME_UNKNOWN");
    server.send(GRAB, &[], body).await.is_problem(503, "OVERLOADED");
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["journal"]["state"]), (503, &"stopped".into()), "{ready:?}");
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 179);
    let listed = server.get("/v1/orders?customer_id=u").await.json();
    assert_eq!(listed["orders"][0]["order_id"], order["order_id"]);
    let one = server.get(&format!("/v1/orders/{}", order["order_id"].as_str().unwrap())).await;
    assert_eq!((one.status, one.json()), (200, order));
}
