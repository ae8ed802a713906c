//! The cockpit: that what happened is in the samples, once, and that they come from a moment on.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::TestServer;

const COCKPIT: &str = "GET /v1/admin/cockpit";

async fn samples(server: &TestServer, query: &str) -> Vec<Value> {
    let reply = server.admin(&format!("{COCKPIT}{query}"), "").await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{reply:?}");
    let cockpit = reply.json();
    assert_eq!(cockpit["interval_ms"], 1000);
    assert_eq!((&cockpit["journal"]["state"], &cockpit["store"]["state"]), (&"writing".into(), &"up".into()));
    cockpit["samples"].as_array().unwrap().clone()
}

fn sum(samples: &[Value], pointer: &str) -> u64 {
    samples.iter().filter_map(|sample| sample.pointer(pointer)?.as_u64()).sum()
}

/// Asks again until the samples are so.
async fn until(server: &TestServer, so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let samples = samples(server, "").await;
        if so(&samples) {
            return samples;
        }
        assert!(Instant::now() < patience, "it never came to be so: {samples:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_grab_is_in_one_sample() {
    let server = TestServer::start().await;
    until(&server, |samples| !samples.is_empty()).await;
    for number in 0..5 {
        server.grab("DEMO1", &format!(r#"{{"customer_id":"c{number}","quantity":1}}"#)).await;
    }
    let body = r#"{"customer_id":"late","seats":["1A"]}"#;
    for _ in 0..3 {
        server.post("/v1/flights/DEMO1/orders", body).await.is_problem(409, "SEAT_TAKEN");
    }
    let all = until(&server, |samples| sum(samples, "/grabs/refused/SEAT_TAKEN") >= 3).await;
    assert_eq!((sum(&all, "/grabs/won"), sum(&all, "/grabs/refused/SEAT_TAKEN")), (5, 3));
    assert_eq!(sum(&all, "/events"), 5, "nothing else has happened since the first sample: {all:#?}");
    for sample in &all {
        let grabs = sum(std::slice::from_ref(sample), "/grabs/won");
        let latency = &sample["latency_us"];
        if grabs > 0 {
            let at = |name: &str| latency[name].as_u64().unwrap();
            assert!(0 < at("p50") && at("p50") <= at("p90") && at("p90") <= at("p99"), "{sample}");
            assert!(at("p99") <= at("max") && sample["append_us"]["p50"].as_u64() > Some(0), "{sample}");
        }
        assert!(sample["memory_bytes"].as_u64() > Some(1_000_000), "{sample}");
        assert!(sample["cpu_percent"].as_f64() >= Some(0.0), "{sample}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_come_from_a_moment_on() {
    let server = TestServer::start().await;
    let all = until(&server, |samples| samples.len() >= 2).await;
    let first = all[0]["at"].as_str().unwrap();
    let later = samples(&server, &format!("?since={first}")).await;
    assert_eq!(later[0], all[1], "the one that is named is not told again");
    assert!(samples(&server, "?since=2100-01-01T00:00:00Z").await.is_empty());
    let refused = server.admin(&format!("{COCKPIT}?since=yesterday"), "").await;
    assert_eq!(refused.is_problem(400, "INVALID_REQUEST")["errors"][0]["field"], "since");
}
