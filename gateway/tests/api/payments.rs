//! Whose word confirms an order, for how much, and where money goes that came for nothing.
//! Never moves any.

use serde_json::{Value, json};

use crate::client::{Reply, TOKEN, TestServer};
use crate::tokens::{JWT, customer};

/// A flight with two cabins, of 999.00 and 9,990.00, and one that costs nothing; orders are held for ten minutes.
async fn flight(server: &TestServer, id: &str, hold_seconds: u32) {
    let cabin = |class: &str, rows: [u16; 2], amount: i64| json!({"cabin_class": class, "rows": rows, "layout": "ABC DEF", "fare": {"amount": amount, "currency": "TWD"}});
    let body = json!({
        "flight_id": id, "flight_number": "FR1", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z",
        "cabins": [cabin("business", [1, 1], 999_000), cabin("economy", [10, 12], 99_900), cabin("first", [20, 20], 0)],
        "sale": {"state": "open", "hold_seconds": hold_seconds, "payment_grace_seconds": 0}
    });
    let reply = server.admin("POST /v1/admin/flights", &body.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

async fn with(server: &TestServer, authorization: Option<&str>, request: &str, body: &Value) -> Reply {
    let shown = authorization.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(shown.as_deref().map(|shown| ("authorization", shown)));
    server.send(request, &headers, &body.to_string()).await
}

/// An order of customer `owner` on these seats.
async fn grab(server: &TestServer, flight: &str, seats: &[&str]) -> Value {
    let body = json!({"customer_id": "owner", "seats": seats});
    let reply = with(server, Some(TOKEN), &format!("POST /v1/flights/{flight}/orders"), &body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()
}

fn confirm(order: &Value) -> String {
    format!("POST /v1/orders/{}/confirm", order["order_id"].as_str().unwrap())
}

fn paid(reference: &str, amount: i64) -> Value {
    json!({"payment_reference": reference, "amount": amount, "currency": "TWD"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_cannot_say_that_they_have_paid() {
    let server = TestServer::with(JWT).await;
    flight(&server, "W", 600).await;
    let (order, own) = (grab(&server, "W", &["10A"]).await, customer("owner", 3600));
    let refused = with(&server, Some(&own), &confirm(&order), &paid("any words", 99_900)).await;
    refused.is_problem(403, "FORBIDDEN");
    with(&server, Some(&own), &confirm(&order), &json!({})).await.is_problem(403, "FORBIDDEN");
    let look = confirm(&order).replace("POST", "GET").replace("/confirm", "");
    assert_eq!(with(&server, Some(&own), &look, &json!({})).await.json()["status"], "held");
    let done = with(&server, Some(TOKEN), &confirm(&order), &paid("p", 99_900)).await;
    assert_eq!((done.status, &done.json()["status"]), (200, &"confirmed".into()), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_shows_who_they_are_a_payment_still_needs_an_operators_token_or_the_test() {
    let server = TestServer::with(&[("test_payment", "false")]).await;
    flight(&server, "O", 600).await;
    let order = grab(&server, "O", &["10A"]).await;
    for token in [None, Some("no such token at all")] {
        with(&server, token, &confirm(&order), &paid("p", 99_900)).await.is_problem(401, "UNAUTHORIZED");
    }
    assert_eq!(server.get("/v1/time").await.json()["test_payment"], false);
    assert_eq!(with(&server, Some(TOKEN), &confirm(&order), &paid("p", 99_900)).await.status, 200);
    // By itself it is on for the demo alone, where anybody may try.
    let demo = TestServer::start().await;
    assert_eq!(demo.get("/v1/time").await.json()["test_payment"], true);
    for settings in [&[("demo", "false")][..], JWT] {
        let server = TestServer::with(settings).await;
        assert_eq!(server.get("/v1/time").await.json()["test_payment"], false, "{settings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_of_what_the_order_costs_or_it_confirms_nothing() {
    let server = TestServer::start().await;
    flight(&server, "A", 600).await;
    let order = grab(&server, "A", &["10A"]).await;
    let one = format!("/v1/orders/{}", order["order_id"].as_str().unwrap());
    // Economy is held and paid for; business is what is to be confirmed.
    let patch = format!("PATCH {one}");
    let moved = server.send(&patch, &[("content-type", "application/json")], r#"{"seats":["1A"]}"#).await;
    assert_eq!(moved.json()["total"]["amount"], 999_000);
    for body in [
        paid("p", 99_900),
        json!({"payment_reference": "p", "amount": 999_000, "currency": "JPY"}),
        json!({"payment_reference": "p", "seq": order["seq"]}),
    ] {
        let refused = with(&server, None, &confirm(&order), &body).await;
        let told = refused.json();
        refused.is_problem(409, "AMOUNT_MISMATCH");
        assert_eq!(told["total"], json!({"amount": 999_000, "currency": "TWD"}), "{told}");
    }
    for (body, field) in [
        (json!({"payment_reference": "p"}), "amount"),
        (json!({"payment_reference": "p", "amount": 999_000}), "currency"),
        (json!({"payment_reference": "p", "currency": "TWD"}), "amount"),
        (json!({"amount": 999_000, "currency": "TWD"}), "payment_reference"),
        (json!({"payment_reference": "p", "amount": 1, "currency": "TWD", "seq": 3}), "seq"),
        (json!({}), "payment_reference"),
    ] {
        let refused = with(&server, None, &confirm(&order), &body).await;
        assert_eq!(refused.json()["errors"][0]["field"], field, "{body}: {refused:?}");
        refused.is_problem(400, "INVALID_REQUEST");
    }
    // Once the payment has begun, its price stays.
    assert_eq!(server.post(&format!("{one}/pay"), "{}").await.status, 200);
    let cheaper = server.send(&patch, &[("content-type", "application/json")], r#"{"seats":["10B"]}"#).await;
    cheaper.is_problem(409, "ORDER_NOT_CHANGEABLE");
    let done = with(&server, None, &confirm(&order), &paid("p", 999_000)).await;
    assert_eq!((done.status, &done.json()["status"]), (200, &"confirmed".into()), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_came_for_nothing_stands_in_the_refunds_once_also_after_a_restart() {
    let server = TestServer::start().await;
    flight(&server, "N", 1).await;
    let late = grab(&server, "N", &["10A"]).await;
    let look = format!("/v1/orders/{}", late["order_id"].as_str().unwrap());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while server.get(&look).await.json()["status"] != "expired" {
        assert!(std::time::Instant::now() < deadline, "it does not expire");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.admin("PATCH /v1/admin/flights/N", r#"{"hold_seconds":600}"#).await;
    let (twice, given_up) = (grab(&server, "N", &["10A"]).await, grab(&server, "N", &["10C"]).await);
    assert_eq!(with(&server, None, &confirm(&twice), &paid("first", 99_900)).await.status, 200);
    let cancel = confirm(&given_up).replace("/confirm", "/cancel");
    assert_eq!(with(&server, None, &cancel, &json!({})).await.status, 200);
    let all = [
        (&late, "p-late", 99_900, "HOLD_EXPIRED", "paid_too_late"),
        (&twice, "p-second", 99_900, "ORDER_NOT_CHANGEABLE", "paid_already"),
        (&given_up, "p-after", 50_000, "ORDER_NOT_CHANGEABLE", "paid_cancelled"),
    ];
    for round in 0..3 {
        for (order, reference, amount, code, _) in all {
            let refused = with(&server, None, &confirm(order), &paid(reference, amount)).await;
            assert!(refused.json()["detail"].as_str().unwrap().contains("refunds"), "{refused:?}");
            refused.is_problem(409, code);
        }
        if round == 1 {
            assert_eq!(server.admin("POST /v1/admin/flights/N/restart", "").await.status, 200);
        }
    }
    let refunds = server.admin("GET /v1/admin/flights/N/refunds", "").await.json();
    assert!(refunds["refunds"].is_array(), "{refunds}");
    let shown: Vec<_> = refunds["refunds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |member: &str| one[member].as_str().unwrap_or_default().to_owned();
            (text("order_id"), text("payment_reference"), one["amount"].as_i64().unwrap(), text("reason"))
        })
        .collect();
    let expected: Vec<_> = all
        .iter()
        .map(|(order, reference, amount, _, reason)| {
            (
                order["order_id"].as_str().unwrap().to_owned(),
                (*reference).to_owned(),
                *amount,
                (*reason).to_owned(),
            )
        })
        .collect();
    assert_eq!(shown, expected, "{refunds}");
    let audit = server.admin("GET /v1/admin/flights/N/audit?limit=100", "").await.json();
    let noted =
        audit["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "payment_returned");
    assert_eq!(noted.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_costs_nothing_needs_no_payment_and_its_customer_may_confirm_it() {
    let server = TestServer::with(JWT).await;
    flight(&server, "Z", 600).await;
    let (order, own) = (grab(&server, "Z", &["20A"]).await, customer("owner", 3600));
    assert_eq!(order["total"]["amount"], 0);
    with(&server, Some(&customer("other", 3600)), &confirm(&order), &json!({}))
        .await
        .is_problem(404, "ORDER_NOT_FOUND");
    let done = with(&server, Some(&own), &confirm(&order), &json!({})).await;
    let shown = done.json();
    assert_eq!((done.status, &shown["status"]), (200, &"confirmed".into()), "{done:?}");
    assert!(shown["payment_reference"].is_null(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_passengers_that_is_too_short_takes_no_name_away() {
    let server = TestServer::start().await;
    flight(&server, "P", 600).await;
    let order = grab(&server, "P", &["10A", "10B"]).await;
    let one = format!("/v1/orders/{}", order["order_id"].as_str().unwrap());
    let patch = async |names: Value| {
        let body = json!({"passengers": names}).to_string();
        server.send(&format!("PATCH {one}"), &[("content-type", "application/json")], &body).await
    };
    assert_eq!(patch(json!([{"name": "Mei"}, {"name": "Tao"}])).await.status, 200);
    for wrong in [json!([{"name": "Ana"}]), json!([])] {
        let refused = patch(wrong).await;
        assert_eq!(refused.json()["errors"][0]["field"], "passengers");
        refused.is_problem(400, "INVALID_REQUEST");
    }
    let names: Vec<_> = server.get(&one).await.json()["seats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| seat["passenger"]["name"].clone())
        .collect();
    assert_eq!(names, ["Mei", "Tao"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn side_by_side_means_without_an_aisle_between() {
    let server = TestServer::start().await;
    flight(&server, "S", 600).await;
    let body = r#"{"customer_id":"a","quantity":4,"cabin_class":"economy","together":"required"}"#;
    server.post("/v1/flights/S/orders", body).await.is_problem(409, "NOT_TOGETHER");
    let body = body.replace("required", "preferred");
    let seats = server.post("/v1/flights/S/orders", &body).await.json()["seats"].clone();
    assert_eq!(seats.as_array().unwrap().len(), 4, "{seats}");
}
