//! Limits on how often somebody may ask, over HTTP. How they count is tested in `rate/`, with a clock that stands.

use crate::client::{Reply, TOKEN, TestServer};
use crate::tokens::{JWT, customer};

/// So many requests are more than one in a second on any machine, unless each takes that long.
const MANY: usize = 200;

fn check_refusal(reply: &Reply) {
    reply.is_problem(429, "RATE_LIMITED");
    assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1, "{reply:?}");
}

/// Asks until it is one too many.
async fn until_refused(ask: impl AsyncFn() -> Reply) {
    for _ in 0..MANY {
        let reply = ask().await;
        if reply.status == 429 {
            return check_refusal(&reply);
        }
    }
    panic!("nobody was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_not_ask_too_often_but_those_who_watch_may() {
    let server = TestServer::with(&[("rate_limit_per_address", "1")]).await;
    let refused_at = async |path: &str| until_refused(async || server.get(path).await).await;
    refused_at("/v1/flights").await;
    refused_at("/nowhere").await;
    until_refused(async || server.post("/v1/flights/DEMO1/orders", "{}").await).await;
    // Nobody here is a proxy whose word counts.
    let spoofed = async || {
        let address = format!("10.0.0.{}", server.address.port() % 250);
        server.send("GET /v1/flights", &[("x-forwarded-for", &address), ("x-real-ip", &address)], "").await
    };
    until_refused(spoofed).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        for _ in 0..20 {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_counts_by_itself() {
    let server =
        TestServer::with(&[("rate_limit_per_address", "1"), ("trusted_proxies", "127.0.0.0/8")]).await;
    let from =
        async |address: &str| server.send("GET /v1/flights", &[("x-forwarded-for", address)], "").await;
    until_refused(async || from("203.0.113.1").await).await;
    for other in 2..30 {
        assert_eq!(from(&format!("203.0.113.{other}")).await.status, 200);
    }
    // What the client itself wrote stands further to the left.
    until_refused(async || from("198.51.100.7, 203.0.113.1").await).await;
    for network in 1..30 {
        assert_eq!(from(&format!("2001:db8:0:{network:x}::1")).await.status, 200);
    }
    until_refused(async || from("2001:db8:0:1::2").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_may_not_ask_too_often_whether_known_or_named() {
    let server = TestServer::with(&[("rate_limit_per_customer", "1")]).await;
    let named = async |name: &str| {
        let body = format!(r#"{{"customer_id":"{name}","quantity":1}}"#);
        server.post("/v1/flights/DEMO1/orders", &body).await
    };
    until_refused(async || named("one").await).await;
    assert_eq!(named("another").await.status, 201);
    until_refused(async || server.get("/v1/orders?customer_id=one").await).await;

    let server = TestServer::with(&[JWT, &[("rate_limit_per_customer", "1")]].concat()).await;
    let known = async |name: &str| {
        let authorization = format!("Bearer {}", customer(name, 3600));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        server.send("POST /v1/flights/DEMO1/orders", &headers, r#"{"quantity":1}"#).await
    };
    until_refused(async || known("one").await).await;
    assert_eq!(known("another").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_not_be_used_too_often() {
    let server = TestServer::with(&[("rate_limit_per_token", "1")]).await;
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str())];
    until_refused(async || server.send("GET /v1/admin/status", &headers, "").await).await;
    assert_eq!(server.get("/v1/flights").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_believes_everybody_is_not_for_others_unless_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let with = |changes: &[(&'static str, &str)]| crate::client::settings(&directory, changes);
    let refused = farerush::start::serve::start(with(&[("listen", "0.0.0.0:0")])).await;
    let Err(error) = refused else { panic!("it listens") };
    assert!(error.to_string().contains("--allow-open"), "{error}");
    for changes in [
        &[("listen", "[::ffff:127.0.0.1]:0")][..],
        &[("listen", "0.0.0.0:0"), ("allow_open", "true")],
        &[&[("listen", "0.0.0.0:0")], JWT].concat(),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let running = farerush::start::serve::start(crate::client::settings(&directory, changes)).await;
        let running = running.unwrap_or_else(|error| panic!("{changes:?}: {error}"));
        running.stop(std::time::Duration::from_secs(5)).await;
    }
}
