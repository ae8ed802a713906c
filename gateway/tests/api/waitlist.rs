//! The waitlist from the other_servers: who waits, why they stand where they stand, and that seats find them.

use crate::client::{Reply, TestServer};
use serde_json::{Value, json};

/// A flight of one cabin with `rows` rows of six seats, on sale; grabs are confirmed at once.
async fn flight(server: &TestServer, id: &str, rows: u16) {
    let flight = json!({
        "flight_id": id, "flight_number": "FR7", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z",
        "cabins": [{"cabin_class": "economy", "rows": [1, rows], "layout": "ABC DEF",
                    "fare": {"amount": 100, "currency": "TWD"}}],
        "sale": {"state": "open", "max_seats_per_order": 9, "max_seats_per_customer": 9}
    });
    let reply = server.admin("POST /v1/admin/flights", &flight.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

async fn join(server: &TestServer, flight: &str, body: Value) -> Value {
    let reply = server.post(&format!("/v1/flights/{flight}/waitlist"), &body.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let entry = reply.json();
    let address = format!("/v1/waitlist/{}", entry["waitlist_id"].as_str().unwrap());
    assert_eq!(reply.header("location"), Some(address.as_str()));
    entry
}

async fn look(server: &TestServer, entry: &Value) -> Value {
    let reply = server.get(&format!("/v1/waitlist/{}", entry["waitlist_id"].as_str().unwrap())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

async fn cancel(server: &TestServer, order: &Value) -> Reply {
    server.send(&format!("DELETE /v1/orders/{}", order["order_id"].as_str().unwrap()), &[], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_sees_where_and_gets_a_hold_when_seats_come_back() {
    let server = TestServer::start().await;
    flight(&server, "W1", 1).await;
    let order = server.grab("W1", r#"{"customer_id":"first","quantity":6}"#).await;
    let one = join(&server, "W1", json!({"customer_id":"a","party_size":3,"accept":"all_together"})).await;
    let two = join(
        &server,
        "W1",
        json!({"customer_id":"b","party_size":4,"accept":{"at_least":2},"client_reference":"mine"}),
    )
    .await;
    let three = join(&server, "W1", json!({"customer_id":"c","party_size":1})).await;
    assert_eq!(
        (&one["status"], &one["position"], &one["order_id"]),
        (&"waiting".into(), &1.into(), &Value::Null)
    );
    assert_eq!((&three["position"], &three["accept"]), (&3.into(), &"all".into()));
    assert_eq!(three["explained"], json!({"parties_ahead": 2, "seats_ahead": 7}));
    assert_eq!(look(&server, &three).await, three);
    assert_eq!(cancel(&server, &order).await.status, 200);
    let (one, two, three) =
        (look(&server, &one).await, look(&server, &two).await, look(&server, &three).await);
    for served in [&one, &two] {
        assert_eq!((&served["status"], &served["position"]), (&"served".into(), &Value::Null));
    }
    assert_eq!((&three["status"], &three["position"]), (&"waiting".into(), &1.into()));
    let order = server.get(&format!("/v1/orders/{}", two["order_id"].as_str().unwrap())).await.json();
    assert_eq!((&order["status"], &order["customer_id"]), (&"held".into(), &"b".into()));
    assert_eq!((&order["client_reference"], &order["seq"]), (&"mine".into(), &two["seq"]));
    assert_eq!(order["seats"].as_array().unwrap().len(), 3, "as many as there were");
    assert_eq!(server.get("/v1/flights/W1").await.json()["available"], 0);
    // A hold from the waitlist ends like any other, and what it gives back goes to the next one.
    assert_eq!(cancel(&server, &order).await.status, 200);
    assert_eq!(look(&server, &three).await["status"], "served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_fits_already_is_served_at_once_and_one_that_leaves_gets_nothing() {
    let server = TestServer::start().await;
    flight(&server, "W2", 1).await;
    let served = join(&server, "W2", json!({"customer_id":"a","party_size":6,"accept":"all"})).await;
    assert_eq!(served["status"], "served");
    let leaving = join(&server, "W2", json!({"customer_id":"b","party_size":1})).await;
    let id = leaving["waitlist_id"].as_str().unwrap();
    for _ in 0..2 {
        let left = server.send(&format!("DELETE /v1/waitlist/{id}"), &[], "").await;
        assert_eq!((left.status, &left.json()["status"]), (200, &"left".into()), "{left:?}");
    }
    let order = server.get(&format!("/v1/orders/{}", served["order_id"].as_str().unwrap())).await.json();
    cancel(&server, &order).await;
    assert_eq!(server.get("/v1/flights/W2").await.json()["available"], 6);
    let other = if id.ends_with('0') { '1' } else { '0' };
    let gone = format!("{}{other}", &id[..id.len() - 1]);
    for id in [gone.as_str(), "nonsense", "W2-1abcdefgh", "NOPE-W1abcdefgh"] {
        server.get(&format!("/v1/waitlist/{id}")).await.is_problem(404, "WAITLIST_ENTRY_NOT_FOUND");
        let reply = server.send(&format!("DELETE /v1/waitlist/{id}"), &[], "").await;
        reply.is_problem(404, "WAITLIST_ENTRY_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_join_under_one_key_is_one_entry() {
    let server = TestServer::start().await;
    flight(&server, "W3", 1).await;
    server.grab("W3", r#"{"customer_id":"first","quantity":6}"#).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "join-1")];
    let address = "POST /v1/flights/W3/waitlist";
    let first = server.send(address, &headers, r#"{"customer_id":"a","party_size":2}"#).await;
    let again = server.send(address, &headers, r#"{"customer_id":"a","party_size":2}"#).await;
    assert_eq!((first.status, again.status), (201, 200), "{again:?}");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.json(), again.json());
    let other = server.send(address, &headers, r#"{"customer_id":"a","party_size":3}"#).await;
    other.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_wait_is_told_why() {
    let server = TestServer::start().await;
    flight(&server, "W4", 1).await;
    server.grab("W4", r#"{"customer_id":"first","quantity":6}"#).await;
    let address = "/v1/flights/W4/waitlist";
    for (body, field) in [
        (json!({"customer_id":"a","party_size":0}), "party_size"),
        (json!({"party_size":1}), "customer_id"),
        (json!({"customer_id":"a","party_size":1,"accept":"some"}), "accept"),
        (json!({"customer_id":"a","party_size":1,"accept":{"at_least":2}}), "accept.at_least"),
        (json!({"customer_id":"a","party_size":1,"cabin_class":"first"}), "cabin_class"),
        (json!({"customer_id":"a","party_size":1,"expires_at":"2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"customer_id":"a","party_size":1,"vip":true}), "vip"),
    ] {
        let problem = server.post(address, &body.to_string()).await.is_problem(400, "INVALID_REQUEST");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let large = server.post(address, r#"{"customer_id":"a","party_size":10}"#).await;
    assert_eq!(large.is_problem(409, "LIMIT_EXCEEDED")["limit"], 9);
    for _ in 0..9 {
        join(&server, "W4", json!({"customer_id":"b","party_size":1})).await;
    }
    let tenth = server.post(address, r#"{"customer_id":"b","party_size":1}"#).await;
    let detail = tenth.is_problem(409, "LIMIT_EXCEEDED")["detail"].to_string();
    assert!(detail.contains("waitlist"), "{detail}");
    server
        .post("/v1/flights/NOPE/waitlist", r#"{"customer_id":"a","party_size":1}"#)
        .await
        .is_problem(404, "FLIGHT_NOT_FOUND");
    server.admin("POST /v1/admin/flights/W4/close", "").await;
    server.post(address, r#"{"customer_id":"a","party_size":1}"#).await.is_problem(409, "SALE_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_reads_the_whole_line_page_by_page() {
    let server = TestServer::start().await;
    flight(&server, "W5", 1).await;
    server.grab("W5", r#"{"customer_id":"first","quantity":6}"#).await;
    let mut ids = Vec::new();
    for number in 0..7 {
        let entry = join(&server, "W5", json!({"customer_id": format!("c{number}"), "party_size": 2})).await;
        ids.push(entry["waitlist_id"].clone());
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            server.admin(&format!("GET /v1/admin/flights/W5/waitlist?limit=3{cursor}"), "").await.json();
        seen.extend(page["waitlist"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.iter().map(|entry| entry["waitlist_id"].clone()).collect::<Vec<_>>(), ids);
    for (place, entry) in seen.iter().enumerate() {
        assert_eq!(entry["position"], place + 1);
        assert_eq!(entry["explained"]["seats_ahead"], 2 * place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancellations_serves_the_line_in_order_across_a_restart_of_the_flight() {
    let server = TestServer::start().await;
    flight(&server, "W6", 20).await;
    let mut orders = Vec::new();
    for number in 0..40 {
        orders.push(server.grab("W6", &format!(r#"{{"customer_id":"o{number}","quantity":3}}"#)).await);
    }
    assert_eq!(server.get("/v1/flights/W6").await.json()["available"], 0);
    let mut entries = Vec::new();
    for number in 0..60 {
        let body = match number % 3 {
            0 => json!({"customer_id": format!("w{number}"), "party_size": 3, "accept": "all"}),
            1 => json!({"customer_id": format!("w{number}"), "party_size": 2, "accept": "all"}),
            // Somebody who takes a single seat, so that none is ever left over.
            _ => json!({"customer_id": format!("w{number}"), "party_size": 4, "accept": {"at_least": 1}}),
        };
        entries.push(join(&server, "W6", body).await);
    }
    let grabber = r#"{"customer_id":"late","quantity":1}"#;
    let storm = |range: std::ops::Range<usize>| {
        let (server, orders) = (&server, &orders);
        async move {
            let cancelling = orders[range].iter().map(|order| async move {
                assert_eq!(cancel(server, order).await.status, 200);
                // Nobody who comes later finds a seat while somebody waits for one.
                server.post("/v1/flights/W6/orders", grabber).await.is_problem(409, "SOLD_OUT");
            });
            futures_util::future::join_all(cancelling).await;
        }
    };
    storm(0..15).await;
    let restarted = server.admin("POST /v1/admin/flights/W6/restart", "").await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    let mut served_before = Vec::new();
    for entry in &entries {
        served_before.push(look(&server, entry).await);
    }
    storm(15..30).await;
    let mut seats = 0;
    let mut waiting = [0; 3];
    for (number, entry) in entries.iter().enumerate() {
        let (before, now) = (&served_before[number], look(&server, entry).await);
        if before["status"] == "served" {
            assert_eq!(*before, now, "who was served stays served");
        }
        if now["status"] == "waiting" {
            waiting[number % 3] += 1;
            continue;
        }
        assert_eq!(waiting[number % 3], 0, "entry {number} overtook one with the same wish");
        let order = server.get(&format!("/v1/orders/{}", now["order_id"].as_str().unwrap())).await.json();
        assert_eq!(order["status"], "held");
        seats += order["seats"].as_array().unwrap().len();
    }
    assert_eq!(seats, 90, "every seat that came back has found a party");
    let flight = server.get("/v1/flights/W6").await.json();
    assert_eq!(flight["available"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_invents_customers_does_not_close_the_waitlist_for_others() {
    let server = TestServer::alone(&[("trusted_proxies", "127.0.0.1")]).await;
    flight(&server, "W9", 1).await;
    server.grab("W9", r#"{"customer_id":"first","quantity":6}"#).await;
    let join = async |number: u32, from: &str| {
        let body = json!({"customer_id": format!("u{number}"), "party_size": 6}).to_string();
        let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
        server.send("POST /v1/flights/W9/waitlist", &headers, &body).await
    };
    let mut joined = 0;
    let refused = loop {
        let reply = join(joined, "9.9.9.9").await;
        if reply.status != 201 {
            break reply;
        }
        joined += 1;
        assert!(joined <= 1_000, "it is never refused");
    };
    assert_eq!(joined, 1_000);
    refused.is_problem(429, "QUOTA_EXCEEDED");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let honest = join(joined, "8.8.8.8").await;
    assert_eq!(honest.status, 201, "{honest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_over_its_share_is_told_so_and_others_go_on() {
    let server = TestServer::start().await;
    flight(&server, "Q", 2).await;
    let grab = async |customer: &str| {
        let body = json!({"customer_id": customer, "quantity": 1}).to_string();
        server.post("/v1/flights/Q/orders", &body).await
    };
    let mut given_up = 0;
    let refused = loop {
        let reply = grab("eve").await;
        if reply.status != 201 {
            break reply;
        }
        assert_eq!(cancel(&server, &reply.json()).await.status, 200);
        given_up += 1;
        assert!(given_up < 1_000, "she is never refused");
    };
    refused.is_problem(429, "QUOTA_EXCEEDED");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((86_000..=86_401).contains(&wait), "{wait}");
    assert_eq!(grab("mei").await.status, 201);
    let restarted = server.admin("POST /v1/admin/flights/Q/restart", "").await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    grab("eve").await.is_problem(429, "QUOTA_EXCEEDED");
    assert_eq!(grab("an").await.status, 201);
}
