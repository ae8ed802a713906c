//! What customers do: look, grab, look again, change, pay, cancel.

use crate::client::{Reply, TestServer};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_flights_are_on_sale_and_paged_by_departure() {
    let server = TestServer::start().await;
    let all = server.get("/v1/flights").await.json();
    let ids: Vec<_> =
        all["flights"].as_array().unwrap().iter().map(|f| f["flight_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["DEMO1", "DEMO2", "DEMO3", "DEMO4", "RUSH"]);
    assert!(all["next_cursor"].is_null());
    let mut paged = Vec::new();
    let mut path = "/v1/flights?limit=2".to_owned();
    loop {
        let page = server.get(&path).await.json();
        paged.extend(
            page["flights"].as_array().unwrap().iter().map(|f| f["flight_id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/flights?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, ids);
    for (query, expected) in [
        ("origin=tpe", &["DEMO1", "DEMO3", "RUSH"][..]),
        ("origin=TPE&destination=SIN", &["DEMO3"]),
        ("status=scheduled", &["DEMO4"]),
        ("status=closed", &[]),
        ("date=1999-01-01", &[]),
    ] {
        let found = server.get(&format!("/v1/flights?{query}")).await.json();
        let ids: Vec<_> =
            found["flights"].as_array().unwrap().iter().map(|f| f["flight_id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_shows_all_its_members() {
    let server = TestServer::start().await;
    let flight = server.get("/v1/flights/DEMO1").await.json();
    let day = flight["departs_at_local"].as_str().unwrap()[..10].to_owned();
    assert_eq!(
        flight,
        json!({
            "flight_id": "DEMO1", "flight_number": "FR101", "origin": "TPE", "destination": "NRT",
            "departs_at": flight["departs_at"], "departs_at_local": flight["departs_at_local"],
            "service_date": day, "origin_time_zone": "Asia/Taipei", "aircraft": "A320",
            "cabins": [{
                "cabin_class": "economy", "rows": [1, 30], "layout": "ABC DEF",
                "fare": {"amount": 99900, "currency": "TWD"}, "capacity": 180, "available": 180
            }],
            "capacity": 180, "available": 180, "seq": 2,
            "sale": {
                "state": "open", "opens_at": null, "closes_at": null, "max_seats_per_order": 9,
                "max_seats_per_customer": 9, "hold_seconds": 0, "payment_grace_seconds": 120,
                "closes_before_minutes": 0
            }
        })
    );
    let found = server.get(&format!("/v1/flights?date={day}")).await.json();
    assert_eq!(found["flights"][0]["flight_id"], "DEMO1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grab_gives_an_order_that_can_be_read_and_listed() {
    let server = TestServer::start().await;
    let body = r#"{"customer_id":"u1","quantity":2,"passengers":[{"name":"Mei \"May\" Lin"},null],
                   "client_reference":"cart-7"}"#;
    let reply = server.post("/v1/flights/DEMO1/orders", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let order = reply.json();
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert!(
        id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
        "{id}"
    );
    assert_eq!(order["record_locator"].as_str().unwrap().len(), 6);
    assert_eq!(order["proof"].as_str().unwrap().len(), 32);
    assert_eq!(
        order,
        json!({
            "order_id": id, "record_locator": order["record_locator"], "flight_id": "DEMO1", "customer_id": "u1",
            "status": "confirmed",
            "seats": [
                {"seat": "1A", "cabin_class": "economy", "fare": {"amount": 99900, "currency": "TWD"},
                 "passenger": {"name": "Mei \"May\" Lin"}},
                {"seat": "1B", "cabin_class": "economy", "fare": {"amount": 99900, "currency": "TWD"},
                 "passenger": null},
            ],
            "total": {"amount": 199800, "currency": "TWD"}, "hold_expires_at": null, "payment_begun_at": null,
            "created_at": order["created_at"], "updated_at": order["created_at"],
            "client_reference": "cart-7", "seq": 3, "proof": order["proof"], "durability": "journal"
        })
    );
    assert_eq!(server.get(&format!("/v1/orders/{id}")).await.json(), order);
    let list = server.get("/v1/orders?customer_id=u1").await.json();
    assert_eq!(list, json!({"orders": [order], "next_cursor": null, "up_to_date": true}));
    let seats = server.get("/v1/flights/DEMO1/seats").await.json();
    assert_eq!((&seats["flight_id"], &seats["seq"]), (&"DEMO1".into(), &3.into()));
    let row = &seats["cabins"][0]["rows"][0];
    assert_eq!(row["seats"][0], json!({"seat": "1A", "status": "sold"}));
    assert_eq!(row["seats"][2], json!({"seat": "1C", "status": "free"}));
    assert_eq!(seats["cabins"][0]["rows"].as_array().unwrap().len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_gives_the_same_order_again() {
    let server = TestServer::start().await;
    let path = "POST /v1/flights/DEMO1/orders";
    let body = r#"{"customer_id":"u1","quantity":2}"#;
    let key = [("idempotency-key", "key-1")];
    let first = server.send(path, &key, body).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    // The same content, written differently, is the same request.
    let again = server.send(path, &key, r#"{ "quantity": 2, "customer_id": "u1" }"#).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(first.json(), again.json());
    let other = server.send(path, &key, r#"{"customer_id":"u1","quantity":1}"#).await;
    other.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 178);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_order_is_paid_or_given_up() {
    let server = TestServer::start().await;
    let order = server.grab("DEMO2", r#"{"customer_id":"u1","quantity":1}"#).await;
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(order["status"], "held");
    assert!(order["hold_expires_at"].is_string());
    let seats = server.get("/v1/flights/DEMO2/seats").await.json();
    assert_eq!(seats["cabins"][0]["rows"][0]["seats"][0]["status"], "held");
    server.post(&format!("/v1/orders/{id}/confirm"), "{}").await.is_problem(400, "INVALID_REQUEST");
    let confirm = format!("/v1/orders/{id}/confirm");
    let pays =
        |reference: &str| format!(r#"{{"payment_reference":"{reference}","amount":79900,"currency":"TWD"}}"#);
    for _ in 0..2 {
        let paid = server.post(&confirm, &pays("pay-1")).await;
        assert_eq!(paid.status, 200, "{paid:?}");
        assert_eq!(
            (&paid.json()["status"], &paid.json()["payment_reference"]),
            (&"confirmed".into(), &"pay-1".into())
        );
        assert!(paid.json()["hold_expires_at"].is_null());
    }
    let other = server.post(&confirm, &pays("pay-2")).await;
    other.is_problem(409, "ORDER_NOT_CHANGEABLE");
    for request in ["POST /v1/orders/ID/cancel", "DELETE /v1/orders/ID", "POST /v1/orders/ID/cancel"] {
        let cancelled = server.send(&request.replace("ID", id), &[], "").await;
        assert_eq!(
            (cancelled.status, &cancelled.json()["status"]),
            (200, &"cancelled".into()),
            "{cancelled:?}"
        );
    }
    let late = server.post(&confirm, &pays("pay-1")).await;
    late.is_problem(409, "ORDER_NOT_CHANGEABLE");
    assert_eq!(server.get("/v1/flights/DEMO2").await.json()["available"], 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_moves_to_other_seats_all_or_nothing() {
    let server = TestServer::start().await;
    let order = server.grab("DEMO1", r#"{"customer_id":"u1","seats":["5A","5B"]}"#).await;
    server.grab("DEMO1", r#"{"customer_id":"u2","seats":["6B"]}"#).await;
    let id = order["order_id"].as_str().unwrap();
    let patch = |body: &str| {
        let (request, body) = (format!("PATCH /v1/orders/{id}"), body.to_owned());
        let server = &server;
        async move { server.send(&request, &[("content-type", "application/json")], &body).await }
    };
    let seats = |reply: &Reply| -> Vec<String> {
        reply.json()["seats"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["seat"].as_str().unwrap().to_owned())
            .collect()
    };
    let moved = patch(r#"{"seats":["5B","6A"]}"#).await;
    assert_eq!((moved.status, seats(&moved)), (200, vec!["5B".to_owned(), "6A".to_owned()]));
    patch(r#"{"seats":["6A","6B"]}"#).await.is_problem(409, "SEAT_TAKEN");
    patch(r#"{"seats":["6A","99A"]}"#).await.is_problem(400, "NO_SUCH_SEAT");
    patch(r#"{"seats":["6A"]}"#).await.is_problem(400, "INVALID_REQUEST");
    patch("{}").await.is_problem(400, "INVALID_REQUEST");
    patch(r#"{"status":"held"}"#).await.is_problem(400, "INVALID_REQUEST");
    let named = patch(r#"{"passengers":[{"name":"Lin"},null]}"#).await;
    assert_eq!((named.status, seats(&named)), (200, vec!["5B".to_owned(), "6A".to_owned()]));
    assert_eq!(named.json()["seats"][0]["passenger"], json!({"name": "Lin"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_out_flight_says_so_until_a_seat_comes_back() {
    let server = TestServer::start().await;
    let flight = json!({
        "flight_id": "TINY", "flight_number": "FR1", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-01-01T00:00:00Z", "sale": {"state": "open"},
        "cabins": [{"cabin_class": "economy", "rows": [1, 1], "layout": "ABC",
                    "fare": {"amount": 1, "currency": "TWD"}}]
    });
    assert_eq!(server.admin("POST /v1/admin/flights", &flight.to_string()).await.status, 201);
    let order = server.grab("TINY", r#"{"customer_id":"u1","quantity":2}"#).await;
    let orders = "/v1/flights/TINY/orders";
    let fewer = server.post(orders, r#"{"customer_id":"u2","quantity":2}"#).await;
    assert_eq!(fewer.is_problem(409, "NOT_ENOUGH_SEATS")["available"], 1);
    server.grab("TINY", r#"{"customer_id":"u2","quantity":1}"#).await;
    server.post(orders, r#"{"customer_id":"u3","quantity":1}"#).await.is_problem(409, "SOLD_OUT");
    // By whichever way the flight is asked.
    let key = [("idempotency-key", "k")];
    server
        .send(&format!("POST {orders}"), &key, r#"{"customer_id":"u3","quantity":1}"#)
        .await
        .is_problem(409, "SOLD_OUT");
    server.post(orders, r#"{"customer_id":"u3","seats":["1A"]}"#).await.is_problem(409, "SOLD_OUT");
    server.post(orders, r#"{"customer_id":"u3","quantity":10}"#).await.is_problem(409, "LIMIT_EXCEEDED");
    let other_class = r#"{"customer_id":"u3","quantity":1,"cabin_class":"first"}"#;
    server.post(orders, other_class).await.is_problem(400, "INVALID_REQUEST");
    server.send(&format!("DELETE /v1/orders/{}", order["order_id"].as_str().unwrap()), &[], "").await;
    server.grab("TINY", r#"{"customer_id":"u3","quantity":2}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_s_orders_are_paged_newest_first() {
    let server = TestServer::start().await;
    let mut placed = Vec::new();
    for flight in ["DEMO1", "DEMO3", "DEMO1", "DEMO2", "DEMO1"] {
        let order = server.grab(flight, r#"{"customer_id":"u 1","quantity":1}"#).await;
        placed.push(order["order_id"].as_str().unwrap().to_owned());
    }
    server.grab("DEMO1", r#"{"customer_id":"other","quantity":1}"#).await;
    let ids = |page: &Value| -> Vec<String> {
        page["orders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["order_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut paged = Vec::new();
    let mut path = "/v1/orders?customer_id=u%201&limit=2".to_owned();
    loop {
        let page = server.get(&path).await.json();
        paged.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/orders?customer_id=u+1&limit=2&cursor={cursor}");
    }
    let mut sorted = (paged.clone(), placed.clone());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    let times = server.get("/v1/orders?customer_id=u%201").await.json();
    let times: Vec<_> = times["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["created_at"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let held = server.get("/v1/orders?customer_id=u%201&status=held").await.json();
    assert_eq!(ids(&held), [placed[3].clone()]);
    let on_one = server.get("/v1/orders?customer_id=u%201&flight_id=DEMO1").await.json();
    assert_eq!(ids(&on_one).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_as_get_without_a_body() {
    let server = TestServer::start().await;
    for path in ["/v1/flights", "/v1/flights/DEMO1/seats", "/livez", "/nope"] {
        let (head, get) = (server.send(&format!("HEAD {path}"), &[], "").await, server.get(path).await);
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.text, "", "{path}");
    }
}
