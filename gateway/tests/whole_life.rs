//! Everything that can happen to a flight and its orders, then kill -9: `farerush verify`, the manifest, the audit and every
//! order say afterwards what they said before.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use support::check::insist;
use support::client::{Client, Request};
use support::process::{POLL, Plan};
use support::world::START_PATIENCE;

const FLIGHT: &str = "LIFE";

/// What this test has to know to ask for everything again.
#[derive(Default)]
struct Known {
    orders: Vec<String>,
    waits: Vec<String>,
}

struct Life {
    client: Client,
    known: Known,
}

impl Life {
    async fn does(&mut self, request: &Request<'_>) -> Value {
        let done = insist(&mut self.client, request).await;
        done.unwrap_or_else(|code| panic!("{request:?}: {code}")).body
    }

    async fn posts(&mut self, path: &str, body: &Value) -> Value {
        self.does(&Request::post(path, &body.to_string())).await
    }

    async fn admin(&mut self, what: &str, body: &Value) -> Value {
        self.posts(&format!("/v1/admin/flights/{FLIGHT}/{what}"), body).await
    }

    async fn grabs(&mut self, body: Value) -> String {
        let order = self.posts(&format!("/v1/flights/{FLIGHT}/orders"), &body).await;
        let id = order["order_id"].as_str().unwrap().to_owned();
        self.known.orders.push(id.clone());
        id
    }

    async fn waits(&mut self, body: Value) -> Value {
        let entry = self.posts(&format!("/v1/flights/{FLIGHT}/waitlist"), &body).await;
        self.known.waits.push(entry["waitlist_id"].as_str().unwrap().to_owned());
        entry
    }

    async fn until(&mut self, path: &str, status: &str) {
        let deadline = Instant::now() + START_PATIENCE;
        while self.does(&Request::get(path)).await["status"] != status {
            assert!(Instant::now() < deadline, "{path} is not {status}");
            tokio::time::sleep(POLL).await;
        }
    }
}

fn economy(rows: u16) -> Value {
    json!([{"cabin_class": "economy", "rows": [1, rows], "layout": "ABC DEF", "fare": {"amount": 100, "currency": "TWD"}}])
}

/// One of everything.
async fn live(address: SocketAddr) -> Known {
    let mut life = Life { client: Client::new(address), known: Known::default() };
    let flight = json!({
        "flight_id": FLIGHT, "flight_number": "FR1", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z", "cabins": economy(6),
        "sale": {"state": "open", "hold_seconds": 600, "payment_grace_seconds": 60}
    });
    life.posts("/v1/admin/flights", &flight).await;

    let paid = life.grabs(json!({"customer_id": "u1", "seats": ["6A", "6B"]})).await;
    let begun = life.posts(&format!("/v1/orders/{paid}/pay"), &json!({})).await;
    assert!(begun["payment_begun_at"].is_string(), "{begun}");
    life.posts(
        &format!("/v1/orders/{paid}/confirm"),
        &json!({"payment_reference": "p1", "amount": 200, "currency": "TWD"}),
    )
    .await;

    let given_up = life.grabs(json!({"customer_id": "u2", "quantity": 3, "together": "required"})).await;
    let cancel = format!("/v1/orders/{given_up}/cancel");
    let under_key = Request::post(&cancel, "{}").under(Some("cancel-1"));
    life.does(&under_key).await;
    let again = insist(&mut life.client, &under_key).await.unwrap();
    assert!(again.replayed, "{again:?}");

    let changed =
        life.grabs(json!({"customer_id": "u3", "seats": ["2A"], "passengers": [{"name": "Ann"}]})).await;
    let change = json!({"seats": ["5F"], "passengers": [{"name": "Bo"}]}).to_string();
    life.does(&Request::patch(&format!("/v1/orders/{changed}"), &change)).await;

    let policy = |seconds: u32| json!({"hold_seconds": seconds}).to_string();
    let rules = format!("/v1/admin/flights/{FLIGHT}");
    life.does(&Request::patch(&rules, &policy(1))).await;
    let late = life.grabs(json!({"customer_id": "u4", "seats": ["1C"]})).await;
    life.until(&format!("/v1/orders/{late}"), "expired").await;
    let revived = life
        .posts(
            &format!("/v1/orders/{late}/confirm"),
            &json!({"payment_reference": "p4", "amount": 100, "currency": "TWD"}),
        )
        .await;
    assert_eq!(revived["status"], "confirmed");
    life.does(&Request::patch(&rules, &policy(600))).await;

    let served = life.waits(json!({"customer_id": "w1", "party_size": 2, "accept": {"at_least": 1}})).await;
    life.known.orders.push(served["order_id"].as_str().unwrap().to_owned());
    // No row is that long.
    life.waits(json!({"customer_id": "w2", "party_size": 7, "accept": "all_together"})).await;
    let leaves = life.waits(json!({"customer_id": "w3", "party_size": 8, "accept": "all_together"})).await;
    let path = format!("/v1/waitlist/{}", leaves["waitlist_id"].as_str().unwrap());
    let left = insist(&mut life.client, &Request::delete(&path)).await.unwrap().body;
    assert_eq!(left["status"], "left");

    life.admin(
        "rows",
        &json!({"cabin_class": "economy", "rows": [7, 8], "layout": "ABC DEF",
                               "fare": {"amount": 100, "currency": "TWD"}}),
    )
    .await;
    life.admin("seats/block", &json!({"seats": ["8A", "8B"]})).await;
    life.admin("seats/unblock", &json!({"seats": ["8A"]})).await;
    let withdrawn = life.admin("seats/withdraw", &json!({"rows": [6, 6]})).await;
    assert_eq!(withdrawn["moved"][0]["order_id"], paid.as_str());
    life.admin("aircraft", &json!({"cabins": economy(9)})).await;
    life.admin("pause", &json!({})).await;
    life.admin("open", &json!({})).await;
    life.known
}

/// All that can be read of the flight and the orders.
async fn seen(address: SocketAddr, known: &Known) -> Vec<Value> {
    let mut life = Life { client: Client::new(address), known: Known::default() };
    let admin = format!("/v1/admin/flights/{FLIGHT}");
    let mut seen = vec![
        life.does(&Request::get(&format!("/v1/flights/{FLIGHT}"))).await,
        life.does(&Request::get(&format!("/v1/flights/{FLIGHT}/seats"))).await,
        life.does(&Request::get(&format!("{admin}/manifest"))).await,
        life.does(&Request::get(&format!("{admin}/waitlist"))).await,
    ];
    for id in &known.orders {
        seen.push(life.does(&Request::get(&format!("/v1/orders/{id}"))).await);
    }
    for id in &known.waits {
        seen.push(life.does(&Request::get(&format!("/v1/waitlist/{id}"))).await);
    }
    let mut cursor = String::new();
    loop {
        let page = life.does(&Request::get(&format!("{admin}/audit?limit=7{cursor}"))).await;
        seen.extend(page["events"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

#[test]
fn all_of_it_survives_a_kill_and_is_in_verify_the_manifest_and_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut gateway = plan.start();
    let address = gateway.wait_ready(START_PATIENCE).unwrap();
    let known = runtime.block_on(live(address));
    let before = runtime.block_on(seen(address, &known));
    gateway.kill();

    let verified = plan.run("verify");
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && told.contains(FLIGHT), "{told}");
    for _ in 0..2 {
        let mut gateway = plan.start();
        let address = gateway.wait_ready(START_PATIENCE).unwrap();
        assert_eq!(runtime.block_on(seen(address, &known)), before);
        // The second time it comes from what a stop has flushed.
        gateway.stop();
    }

    let events: Vec<&Value> = before.iter().filter(|value| value["kind"].is_string()).collect();
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let all: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, all, "every event once, in order");
    let kinds: BTreeSet<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 17, "one of every kind: {kinds:?}");
    let by_admin = events.iter().filter(|event| event["actor"] == "admin");
    assert!(by_admin.clone().count() >= 9, "{events:?}");
    assert!(by_admin.clone().all(|event| event["by"] == "admin"), "{events:?}");
}
