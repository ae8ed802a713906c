//! What `/metrics` gives, from the outside, and everything that is built on it: alert rules, dashboard, docs.

#[path = "../api/client.rs"]
#[allow(dead_code, reason = "made for the tests of the interface, which need all of it")]
mod client;
mod files;
mod page;

use std::time::{Duration, Instant};

use farerush::wire::problem::Code;
use farerush_persistence::journal::faulty::Fault;

use client::TestServer;
use page::{Page, scrape};

const ORDERS: &str = "/v1/flights/DEMO1/orders";
const GRABS: &str = "farerush_grabs_total";
/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Scrapes until the page is as it should be.
async fn scrape_until(server: &TestServer, what: &str, is_so: impl Fn(&Page) -> bool) -> Page {
    let until = Instant::now() + PATIENCE;
    loop {
        let page = scrape(server).await;
        if is_so(&page) {
            return page;
        }
        assert!(Instant::now() < until, "never came: {what}\n{}", page.text);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grab_moves_the_figures_of_every_step() {
    let server = TestServer::start().await;
    let before = scrape(&server).await;
    assert_eq!(before.value("farerush_grab_seconds_count", &[]), 0.0);
    let key = [("idempotency-key", "k")];
    let body = r#"{"customer_id":"u","quantity":2}"#;
    for status in [201, 200] {
        assert_eq!(server.send(&format!("POST {ORDERS}"), &key, body).await.status, status);
    }
    server.grab("DEMO2", r#"{"customer_id":"u","quantity":1}"#).await;
    let after = scrape_until(&server, "everything is stored", |page| {
        page.value("farerush_backlog_events", &[]) == 0.0
            && page.value("farerush_flights_seq", &[("stage", "stored")])
                == page.value("farerush_flights_seq", &[("stage", "decided")])
    })
    .await;
    let moved = |name: &str, labels: &[(&str, &str)]| after.value(name, labels) - before.value(name, labels);
    assert_eq!(moved(GRABS, &[("outcome", "won")]), 2.0);
    assert_eq!(moved(GRABS, &[("outcome", "replayed")]), 1.0);
    let route = [("route", "/v1/flights/{}/orders"), ("method", "POST"), ("status", "2xx")];
    assert_eq!(moved("farerush_http_requests_total", &route), 3.0);
    assert_eq!(moved("farerush_seats", &[("kind", "free")]), -3.0);
    assert_eq!(moved("farerush_holds", &[]), 1.0);
    assert_eq!(moved("farerush_journal_events_total", &[]), 2.0);
    assert_eq!(moved("farerush_flights_seq", &[("stage", "durable")]), 2.0);
    assert_eq!(after.value("farerush_flights", &[("state", "serving")]), 5.0);
    assert_eq!(after.value("farerush_grab_seconds_count", &[]), 3.0);
    assert_eq!(after.value("farerush_queue_wait_seconds_count", &[]), 3.0);
    assert_eq!(after.value("farerush_turn_requests_sum", &[]), 3.0);
    assert_eq!(moved("farerush_journal_round_events_sum", &[]), 2.0);
    assert!(moved("farerush_journal_append_seconds_count", &[]) >= 2.0);
    assert!(moved("farerush_journal_commit_wait_seconds_count", &[]) >= 2.0);
    assert!(moved("farerush_store_flush_events_sum", &[]) >= 2.0);
    for step in ["grab", "turn", "journal_append", "journal_commit_wait", "store_flush"] {
        let took = after.value(&format!("farerush_{step}_seconds_sum"), &[]);
        assert!(took > 0.0 && took < PATIENCE.as_secs_f64(), "{step}: {took}");
    }
    assert_eq!(after.value("farerush_backlog_age_seconds", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_a_figure_and_each_moves_its_own() {
    let server = TestServer::start().await;
    let first = scrape(&server).await;
    for code in Code::ALL {
        assert_eq!(first.value(GRABS, &[("outcome", code.as_str())]), 0.0, "{}", code.as_str());
    }
    let named = r#"{"customer_id":"a","seats":["1A"]}"#;
    server.grab("DEMO1", named).await;
    for (flight, body, code) in [
        ("DEMO1", r#"{"customer_id":"b","seats":["1A"]}"#, Code::SeatTaken),
        ("DEMO1", r#"{"customer_id":"b","seats":["999A"]}"#, Code::NoSuchSeat),
        ("DEMO1", r#"{"customer_id":"b","quantity":10}"#, Code::LimitExceeded),
        ("DEMO1", r#"{"customer_id":"b"}"#, Code::InvalidRequest),
        ("DEMO4", r#"{"customer_id":"b","quantity":1}"#, Code::SaleNotOpen),
        ("NONE", r#"{"customer_id":"b","quantity":1}"#, Code::FlightNotFound),
    ] {
        server
            .post(&format!("/v1/flights/{flight}/orders"), body)
            .await
            .is_problem(code.status().as_u16(), code.as_str());
        let page = scrape(&server).await;
        assert_eq!(page.value(GRABS, &[("outcome", code.as_str())]), 1.0, "{}", code.as_str());
    }
    let page = scrape(&server).await;
    assert_eq!(page.sum(GRABS), 7.0, "{}", page.text);
    assert_eq!(page.value("farerush_grab_seconds_count", &[]), 7.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_count_by_address_and_nothing_that_is_sent_becomes_a_label() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/v1/flights/DEMO1").await.status, 200);
    assert_eq!(server.get("/v1/flights/SECRET").await.status, 404);
    assert_eq!(server.get("/secret").await.status, 404);
    assert_eq!(server.get("/v1/admin/status").await.status, 401);
    assert_eq!(server.send("PUT /v1/flights", &[], "").await.status, 405);
    let page = scrape(&server).await;
    let requests = |route, method, status| {
        page.value(
            "farerush_http_requests_total",
            &[("route", route), ("method", method), ("status", status)],
        )
    };
    assert_eq!(requests("/v1/flights/{}", "GET", "2xx"), 1.0);
    assert_eq!(requests("/v1/flights/{}", "GET", "4xx"), 1.0);
    assert_eq!(requests("unmatched", "other", "4xx"), 2.0);
    assert_eq!(requests("/v1/flights", "other", "4xx"), 1.0);
    assert!(!page.text.contains("SECRET") && !page.text.contains("secret"));
    assert!(page.value("farerush_connections_accepted_total", &[]) >= 6.0);
    assert!(page.value("farerush_connections_open", &[]) >= 1.0, "at least the one that asks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_stalls_and_stops_shows() {
    let (server, journal) = TestServer::with_faults(&[("request_timeout_ms", "100")]).await;
    let state = |page: &Page, state| page.value("farerush_journal_state", &[("state", state)]);
    assert_eq!(state(&scrape(&server).await, "writing"), 1.0);
    journal.fail_next(Fault::UnavailableBefore, 1_000_000);
    let body = r#"{"customer_id":"u","quantity":1}"#;
    assert_eq!(server.post(ORDERS, body).await.status, 503);
    let page = scrape_until(&server, "stalled", |page| state(page, "stalled") == 1.0).await;
    assert_eq!(page.value(GRABS, &[("outcome", "OUTCOME_UNKNOWN")]), 1.0);
    assert_eq!(page.value("farerush_journal_stalls_total", &[]), 1.0);
    assert_eq!(page.value("farerush_flight_lag_events", &[("stage", "durable")]), 1.0);
    assert_eq!(server.post(ORDERS, body).await.status, 503);
    let page =
        scrape_until(&server, "its age", |page| page.value("farerush_journal_stalled_seconds", &[]) > 0.0)
            .await;
    assert_eq!(page.value(GRABS, &[("outcome", "OVERLOADED")]), 1.0);
    journal.heal();
    scrape_until(&server, "writing again", |page| state(page, "writing") == 1.0).await;
    journal.fail_next(Fault::Stopped, 1);
    assert_eq!(server.post(ORDERS, body).await.status, 503);
    scrape_until(&server, "stopped", |page| state(page, "stopped") == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_counts_as_abandoned() {
    let (server, journal) = TestServer::with_faults(&[]).await;
    journal.hold();
    let body = r#"{"customer_id":"u","quantity":1}"#;
    let grab = server.post(ORDERS, body);
    let waiting = scrape_until(&server, "a grab that waits", |page| {
        page.value("farerush_permits_used", &[("scope", "busiest_flight")]) == 1.0
    });
    // Whichever ends first; the grab cannot, and is dropped with its connection.
    tokio::select! {
        reply = grab => panic!("{reply:?}"),
        _ = waiting => {}
    }
    let abandoned = |page: &Page| page.value(GRABS, &[("outcome", "abandoned")]) == 1.0;
    scrape_until(&server, "abandoned", abandoned).await;
    journal.release();
    scrape_until(&server, "decided all the same", |page| {
        page.value("farerush_permits_used", &[("scope", "overall")]) == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_of_one_process_keep_their_figures_apart() {
    let (one, other) = tokio::join!(TestServer::start(), TestServer::start());
    for _ in 0..3 {
        one.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
    }
    for (server, count) in [(&one, 3.0), (&other, 0.0)] {
        let page = scrape(server).await;
        assert_eq!(page.value(GRABS, &[("outcome", "won")]), count);
        assert_eq!(page.value("farerush_grab_seconds_count", &[]), count);
        assert_eq!(page.value("farerush_turn_requests_sum", &[]), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_that_comes_up_again_is_counted() {
    let server = TestServer::start().await;
    assert_eq!(scrape(&server).await.sum("farerush_recoveries_total"), 0.0);
    let restarted = server.admin("POST /v1/admin/flights/DEMO1/restart", "").await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    let page = scrape(&server).await;
    assert_eq!(page.sum("farerush_recoveries_total"), 1.0);
    assert_eq!(page.value("farerush_recoveries_journal_empty_total", &[]), 0.0);
}
