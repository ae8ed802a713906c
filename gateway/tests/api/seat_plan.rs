//! Another aircraft, or fewer seats, while a flight sells: nobody loses a seat silently, and nobody gets one twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::client::TestServer;

async fn flight_on_sale(server: &TestServer, id: &str, rows: u16) {
    let body = json!({
        "flight_id": id, "flight_number": "FR777", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z",
        "cabins": [{"cabin_class": "economy", "rows": [1, rows], "layout": "ABC DEF",
                    "fare": {"amount": 100, "currency": "TWD"}}],
        "sale": {"state": "open", "max_seats_per_customer": 9}
    });
    let reply = server.admin("POST /v1/admin/flights", &body.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

fn economy(rows: u16) -> Value {
    json!([{"cabin_class": "economy", "rows": [1, rows], "layout": "ABC DEF",
            "fare": {"amount": 100, "currency": "TWD"}}])
}

async fn seats_of(server: &TestServer, order_id: &str) -> Vec<String> {
    let order = server.get(&format!("/v1/orders/{order_id}")).await.json();
    assert_eq!(order["status"], "confirmed", "{order}");
    let seats = order["seats"].as_array().unwrap().iter();
    seats.map(|seat| seat["seat"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_is_tried_first_and_then_done() {
    let server = TestServer::start().await;
    flight_on_sale(&server, "SWAP", 4).await;
    let stays = server.grab("SWAP", r#"{"customer_id":"u1","seats":["1A"]}"#).await;
    let goes = server.grab("SWAP", r#"{"customer_id":"u2","seats":["4E","4F"]}"#).await;
    let goes_id = goes["order_id"].as_str().unwrap();
    let body = json!({"cabins": economy(3)}).to_string();

    let tried = server.admin("POST /v1/admin/flights/SWAP/aircraft?dry_run=true", &body).await.json();
    assert_eq!(
        (&tried["dry_run"], &tried["kept"], &tried["capacity"]),
        (&true.into(), &1.into(), &18.into())
    );
    assert_eq!(tried["moved"][0]["order_id"], goes_id);
    assert_eq!(tried["moved"][0]["from"], json!(["4E", "4F"]));
    assert_eq!(tried["moved"][0]["kept_together"], true);
    assert_eq!(tried["stranded"], json!([]));
    assert_eq!(server.get("/v1/flights/SWAP").await.json()["capacity"], 24);

    let done = server.admin("POST /v1/admin/flights/SWAP/aircraft", &body).await.json();
    assert_eq!(done["moved"], tried["moved"]);
    assert_eq!(done["dry_run"], false);
    let to: Vec<String> = serde_json::from_value(done["moved"][0]["to"].clone()).unwrap();
    assert_eq!(seats_of(&server, goes_id).await, to);
    assert_eq!(seats_of(&server, stays["order_id"].as_str().unwrap()).await, ["1A"]);
    let flight = server.get("/v1/flights/SWAP").await.json();
    assert_eq!((&flight["capacity"], &flight["available"]), (&18.into(), &15.into()));

    // All of it comes back.
    let restarted = server.admin("POST /v1/admin/flights/SWAP/restart", "").await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(server.get("/v1/flights/SWAP").await.json()["available"], 15);
    assert_eq!(seats_of(&server, goes_id).await, to);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_swap_has_no_place_for_is_named_before_anything_happens() {
    let server = TestServer::start().await;
    flight_on_sale(&server, "SMALL", 2).await;
    let mut orders = Vec::new();
    for customer in ["u1", "u2", "u3"] {
        let body = json!({"customer_id": customer, "quantity": 3});
        orders.push(server.grab("SMALL", &body.to_string()).await);
    }
    let mut body = json!({"cabins": economy(1)});
    let address = "POST /v1/admin/flights/SMALL/aircraft";
    let refused = server.admin(address, &body.to_string()).await;
    refused.is_problem(409, "ORDERS_WITHOUT_SEATS");
    let tried = server.admin(&format!("{address}?dry_run=true"), &body.to_string()).await.json();
    assert_eq!(tried["stranded"][0]["order_id"], orders[2]["order_id"]);
    assert_eq!(tried["stranded"][0]["customer_id"], "u3");

    body["cancel_stranded"] = true.into();
    let done = server.admin(address, &body.to_string()).await.json();
    assert_eq!(done["stranded"], tried["stranded"]);
    let last = server.get(&format!("/v1/orders/{}", orders[2]["order_id"].as_str().unwrap())).await.json();
    assert_eq!(last["status"], "cancelled");
    assert_eq!(server.get("/v1/flights/SMALL").await.json()["available"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_withdrawn_and_the_body_is_checked() {
    let server = TestServer::start().await;
    flight_on_sale(&server, "ROWS", 4).await;
    let order = server.grab("ROWS", r#"{"customer_id":"u1","seats":["4A","4B"]}"#).await;
    let address = "POST /v1/admin/flights/ROWS/seats/withdraw";
    for (body, field) in [
        (json!({}), "seats"),
        (json!({"seats": ["4A"], "rows": [4, 4]}), "seats"),
        (json!({"rows": [4]}), "rows"),
        (json!({"rows": [90, 91]}), "rows"),
        (json!({"rows": [4, 4], "cancel_stranded": "no"}), "cancel_stranded"),
        (json!({"rows": [4, 4], "row": 4}), "row"),
    ] {
        let problem = server.admin(address, &body.to_string()).await.is_problem(400, "INVALID_REQUEST");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    server.admin(address, r#"{"seats":["9A"]}"#).await.is_problem(400, "NO_SUCH_SEAT");
    let done = server.admin(address, r#"{"rows":[4,4]}"#).await.json();
    assert_eq!(done["moved"][0]["order_id"], order["order_id"]);
    assert_eq!(done["moved"][0]["kept_together"], true);
    let flight = server.get("/v1/flights/ROWS").await.json();
    assert_eq!((&flight["capacity"], &flight["available"]), (&24.into(), &16.into()));
    server.grab("ROWS", r#"{"customer_id":"u2","seats":["1F"]}"#).await;
    let taken = server.post("/v1/flights/ROWS/orders", r#"{"customer_id":"u2","seats":["4F"]}"#).await;
    taken.is_problem(409, "SEAT_TAKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_and_withdrawn_rows_under_load_lose_nobody_and_seat_nobody_twice() {
    const CUSTOMERS: usize = 240;
    let server = TestServer::start().await;
    flight_on_sale(&server, "LOAD", 60).await;
    let grabbing = async {
        let mut orders: BTreeMap<String, usize> = BTreeMap::new();
        for customer in 0..CUSTOMERS {
            let body = json!({"customer_id": format!("u{customer}"), "quantity": 1 + customer % 3});
            let reply = server.post("/v1/flights/LOAD/orders", &body.to_string()).await;
            if reply.status == 201 {
                orders.insert(reply.json()["order_id"].as_str().unwrap().to_owned(), 1 + customer % 3);
            } else {
                assert!(["SOLD_OUT", "NOT_ENOUGH_SEATS"].contains(&reply.json()["code"].as_str().unwrap()));
            }
        }
        orders
    };
    let swapping = async {
        let mut changes = 0;
        for rows in [58, 60, 56, 62, 54, 60] {
            let body = json!({"cabins": economy(rows)}).to_string();
            let reply = server.admin("POST /v1/admin/flights/LOAD/aircraft", &body).await;
            changes += u32::from(reply.status == 200);
            let withdrawn = json!({"rows": [rows - 1, rows]}).to_string();
            let reply = server.admin("POST /v1/admin/flights/LOAD/seats/withdraw", &withdrawn).await;
            changes += u32::from(reply.status == 200);
        }
        changes
    };
    let (orders, changes) = tokio::join!(grabbing, swapping);
    assert!(changes >= 2, "{changes} changes of the seat plan went through");

    let mut taken = BTreeSet::new();
    for (order_id, quantity) in &orders {
        let seats = seats_of(&server, order_id).await;
        assert_eq!(seats.len(), *quantity);
        for seat in seats {
            assert!(taken.insert(seat.clone()), "{seat} is sold twice");
        }
    }
    let sold = |map: &Value| {
        let cabins = map["cabins"].as_array().unwrap().iter();
        let rows = cabins.flat_map(|cabin| cabin["rows"].as_array().unwrap());
        rows.flat_map(|row| row["seats"].as_array().unwrap())
            .filter(|seat| seat["status"] == "sold")
            .map(|seat| seat["seat"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let shown = server.get("/v1/flights/LOAD/seats").await.json();
    assert_eq!(sold(&shown), taken);
    let restarted = server.admin("POST /v1/admin/flights/LOAD/restart", "").await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(sold(&server.get("/v1/flights/LOAD/seats").await.json()), taken);
}
