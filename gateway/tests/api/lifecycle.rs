//! The whole life of an order, over HTTP: payment under way, payment too late, keys on everything that changes something,
//! and races that must have one outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Reply, TOKEN, TestServer};
use farerush_engine::actor::{Answer, Located};
use farerush_engine::flight::{Command, CustomerId, FlightId, Grab, LimitScope, Refusal, Together, Wanted};
use serde_json::{Value, json};

/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A flight of 24 seats on sale, with these rules.
async fn flight(server: &TestServer, id: &str, rules: &Value) {
    let mut sale = json!({"state": "open", "max_seats_per_customer": 24});
    sale.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    let body = json!({
        "flight_id": id, "flight_number": "FR777", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z", "sale": sale,
        "cabins": [{"cabin_class": "economy", "rows": [1, 4], "layout": "ABC DEF",
                    "fare": {"amount": 99900, "currency": "TWD"}}]
    });
    let reply = server.admin("POST /v1/admin/flights", &body.to_string()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

/// What one seat costs, paid; and two.
const PAYS_ONE: &str = r#"{"payment_reference":"p","amount":99900,"currency":"TWD"}"#;
const PAYS_TWO: &str = r#"{"payment_reference":"p","amount":199800,"currency":"TWD"}"#;

fn pays(reference: &str, seats: i64) -> String {
    json!({"payment_reference": reference, "amount": 99_900 * seats, "currency": "TWD"}).to_string()
}

async fn grab(server: &TestServer, flight: &str, seats: &[&str]) -> String {
    let body = json!({"customer_id": "mei", "seats": seats}).to_string();
    server.grab(flight, &body).await["order_id"].as_str().unwrap().to_owned()
}

async fn under(server: &TestServer, key: &str, request: &str, body: &str) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    server.send(request, &headers, body).await
}

#[track_caller]
fn is_ok(reply: &Reply, replayed: bool) {
    let expected = (200, replayed.then_some("true"));
    assert_eq!((reply.status, reply.header("idempotency-replayed")), expected, "{reply:?}");
}

async fn available(server: &TestServer, flight: &str) -> u64 {
    server.get(&format!("/v1/flights/{flight}")).await.json()["available"].as_u64().unwrap()
}

/// Looks until the order is so.
async fn until(server: &TestServer, order: &str, status: &str) {
    let began = Instant::now();
    while server.get(&format!("/v1/orders/{order}")).await.json()["status"] != status {
        assert!(began.elapsed() < PATIENCE, "the order never became {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_under_way_keeps_an_order_once() {
    let server = TestServer::start().await;
    flight(&server, "P", &json!({"hold_seconds": 60, "payment_grace_seconds": 600})).await;
    let order = grab(&server, "P", &["1A"]).await;
    let held = server.get(&format!("/v1/orders/{order}")).await.json();
    assert!(held["payment_begun_at"].is_null() && held["hold_expires_at"].is_string(), "{held}");
    let pay = format!("/v1/orders/{order}/pay");
    let begun = server.send(&format!("POST {pay}"), &[], "").await;
    is_ok(&begun, false);
    let begun = begun.json();
    let time = |order: &Value, member: &str| {
        order[member].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    assert_eq!(time(&begun, "payment_begun_at") + 600_000, time(&begun, "hold_expires_at"), "{begun}");
    assert_eq!(begun["payment_begun_at"], begun["updated_at"]);
    assert_eq!(begun["status"], "held");
    let again = server.post(&pay, "{}").await;
    is_ok(&again, false);
    assert_eq!(again.json(), begun);
    server.post(&pay, r#"{"payment_reference":"p"}"#).await.is_problem(400, "INVALID_REQUEST");
    let confirm = format!("/v1/orders/{order}/confirm");
    let paid = server.post(&confirm, &pays("p", 1)).await.json();
    assert_eq!(
        (&paid["status"], &paid["payment_begun_at"]),
        (&"confirmed".into(), &begun["payment_begun_at"])
    );
    assert_eq!(server.post(&pay, "{}").await.json(), paid);
    server.post(&format!("/v1/orders/{order}/cancel"), "").await;
    server.post(&pay, "{}").await.is_problem(409, "ORDER_NOT_CHANGEABLE");
    server.post("/v1/orders/P-2xxxxxxxx/pay", "{}").await.is_problem(404, "ORDER_NOT_FOUND");
    // The list, which comes from the store, shows the same.
    let list = server.get("/v1/orders?customer_id=mei").await.json();
    assert_eq!(list["orders"][0]["payment_begun_at"], begun["payment_begun_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_paid_too_late_is_confirmed_if_its_seats_are_free() {
    let server = TestServer::start().await;
    flight(&server, "L", &json!({"hold_seconds": 1, "payment_grace_seconds": 0})).await;
    let (lucky, unlucky) = (grab(&server, "L", &["1A", "1B"]).await, grab(&server, "L", &["2A"]).await);
    until(&server, &unlucky, "expired").await;
    until(&server, &lucky, "expired").await;
    assert_eq!(available(&server, "L").await, 24);
    let other = grab(&server, "L", &["2A", "2B"]).await;
    let confirm = |order: &str| format!("/v1/orders/{order}/confirm");
    let (body, unlucky_body) = (&pays("late", 2), pays("late", 1));
    server.post(&confirm(&unlucky), &unlucky_body).await.is_problem(409, "HOLD_EXPIRED");
    server.post(&format!("/v1/orders/{unlucky}/pay"), "{}").await.is_problem(409, "HOLD_EXPIRED");
    let revived = server.post(&confirm(&lucky), body).await.json();
    assert_eq!((&revived["status"], &revived["payment_reference"]), (&"confirmed".into(), &"late".into()));
    assert!(revived["hold_expires_at"].is_null(), "{revived}");
    assert_eq!(server.post(&confirm(&other), body).await.json()["status"], "confirmed");
    let restarted = server.admin("POST /v1/admin/flights/L/restart", "").await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(server.get(&format!("/v1/orders/{lucky}")).await.json(), revived);
    assert_eq!(available(&server, "L").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_an_order_is_done_once_under_a_key_through_a_restart() {
    let server = TestServer::start().await;
    flight(&server, "K", &json!({"hold_seconds": 600})).await;
    let order = grab(&server, "K", &["1A"]).await;
    let one = format!("/v1/orders/{order}");
    let steps = [
        ("pay", format!("POST {one}/pay"), "{}", "held"),
        ("move", format!("PATCH {one}"), r#"{"seats":["2A"]}"#, "held"),
        ("confirm", format!("POST {one}/confirm"), PAYS_ONE, "confirmed"),
        ("name", format!("PATCH {one}"), r#"{"passengers":[{"name":"Lin Mei"}]}"#, "confirmed"),
        ("cancel", format!("POST {one}/cancel"), "", "cancelled"),
    ];
    for (key, request, body, status) in &steps {
        let first = under(&server, key, request, body).await;
        is_ok(&first, false);
        assert_eq!(first.json()["status"], *status, "{key}");
        let again = under(&server, key, request, body).await;
        is_ok(&again, true);
        assert_eq!(again.json(), first.json());
    }
    server.admin("POST /v1/admin/flights/K/restart", "").await;
    let now = server.get(&one).await.json();
    assert_eq!((&now["status"], &now["seats"][0]["seat"]), (&"cancelled".into(), &"2A".into()));
    for (key, request, body, _) in &steps {
        let again = under(&server, key, request, body).await;
        is_ok(&again, true);
        assert_eq!(again.json(), now, "the order as it is now");
    }
    let delete = format!("DELETE {one}");
    for (key, request, body) in [
        ("pay", &steps[1].1, r#"{"seats":["2B"]}"#),
        ("move", &steps[1].1, r#"{"seats":["2B"]}"#),
        ("confirm", &steps[2].1, &pays("q", 1)),
        ("move", &delete, ""),
        ("cancel", &"POST /v1/flights/K/orders".to_owned(), r#"{"customer_id":"mei","quantity":1}"#),
    ] {
        under(&server, key, request, body).await.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
    }
    // DELETE and `cancel` are the same request.
    is_ok(&under(&server, "cancel", &delete, "").await, true);
    let bad = under(&server, &"x".repeat(129), &delete, "").await.is_problem(400, "INVALID_REQUEST");
    assert_eq!(bad["errors"][0]["field"], "Idempotency-Key");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_admin_does_is_done_once_under_a_key_through_a_restart() {
    let server = TestServer::start().await;
    let created = json!({
        "flight_id": "A", "flight_number": "FR777", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z", "aircraft": "AT76", "fare": {"amount": 1, "currency": "TWD"}
    });
    let other = created.to_string().replace("TPE", "KHH");
    let create = "POST /v1/admin/flights";
    let first = under(&server, "create", create, &created.to_string()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None), "{first:?}");
    let rows = json!({"cabin_class": "economy", "rows": [60, 61], "layout": "A C",
                      "fare": {"amount": 5, "currency": "TWD"}});
    let steps = [
        ("open", "POST /v1/admin/flights/A/open", String::new()),
        ("pause", "POST /v1/admin/flights/A/pause", String::new()),
        ("block", "POST /v1/admin/flights/A/seats/block", r#"{"seats":["2A"]}"#.to_owned()),
        ("unblock", "POST /v1/admin/flights/A/seats/unblock", r#"{"seats":["2A"]}"#.to_owned()),
        ("rows", "POST /v1/admin/flights/A/rows", rows.to_string()),
        ("rules", "PATCH /v1/admin/flights/A", r#"{"hold_seconds":77}"#.to_owned()),
        ("close", "POST /v1/admin/flights/A/close", String::new()),
    ];
    for (key, request, body) in &steps {
        is_ok(&under(&server, key, request, body).await, false);
    }
    let now = server.get("/v1/flights/A").await.json();
    for round in 0..2 {
        for (key, request, body) in &steps {
            let again = under(&server, key, request, body).await;
            is_ok(&again, true);
            assert_eq!(again.json(), now, "{key}: the flight as it is now");
        }
        is_ok(&under(&server, "create", create, &created.to_string()).await, true);
        under(&server, "create", create, &other).await.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
        under(&server, "new", create, &created.to_string()).await.is_problem(409, "FLIGHT_EXISTS");
        under(&server, "open", "POST /v1/admin/flights/A/close", "")
            .await
            .is_problem(422, "IDEMPOTENCY_KEY_REUSED");
        if round == 0 {
            server.admin("POST /v1/admin/flights/A/restart", "").await;
        }
    }
    server.admin(create, &created.to_string()).await.is_problem(409, "FLIGHT_EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_grabs_of_one_customer_get_the_two_seats_they_may_have() {
    const TASKS: usize = 200;
    const GRABS_OF_EACH: usize = 50;
    let server = TestServer::start().await;
    flight(&server, "M", &json!({"max_seats_per_customer": 2})).await;
    let Located::Here(handle) = server.running.system.flights.engine.find(&FlightId::new("M").unwrap())
    else {
        panic!("the flight is not here");
    };
    let command = Command::Grab(Grab {
        customer: CustomerId::new("mei").unwrap(),
        wanted: Wanted::Quantity { quantity: 1, together: Together::Preferred },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: None,
    });
    let one_of_many = |_| {
        let (handle, command) = (handle.clone(), command.clone());
        tokio::spawn(async move {
            // All of them queue before the first is answered.
            let pending: Vec<_> =
                (0..GRABS_OF_EACH).map(|_| handle.submit(command.clone()).expect("a permit")).collect();
            let (mut placed, mut refused) = (0, 0);
            for answer in pending {
                match answer.await.expect("an outcome") {
                    Answer::Order { .. } => placed += 1,
                    Answer::Refused(Refusal::LimitExceeded {
                        scope: LimitScope::Customer, limit: 2, ..
                    }) => {
                        refused += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            (placed, refused)
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(one_of_many).collect();
    let (mut placed, mut refused) = (0, 0);
    for task in tasks {
        let (its_placed, its_refused) = task.await.unwrap();
        placed += its_placed;
        refused += its_refused;
    }
    assert_eq!((placed, refused), (2, TASKS * GRABS_OF_EACH - 2));
    assert_eq!(available(&server, "M").await, 22);
    let list = server.get("/v1/orders?customer_id=mei").await.json();
    assert_eq!(list["orders"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_sent_a_hundred_times_at_once_is_one_request() {
    const TIMES: usize = 100;
    let server = Arc::new(TestServer::start().await);
    flight(&server, "H", &json!({"hold_seconds": 600})).await;
    let at_once = |key: &'static str, request: String, body: &'static str| {
        let tasks: Vec<_> = (0..TIMES)
            .map(|_| {
                let (server, request) = (server.clone(), request.clone());
                tokio::spawn(async move { under(&server, key, &request, body).await })
            })
            .collect();
        async move {
            let mut replies = Vec::new();
            for task in tasks {
                replies.push(task.await.unwrap());
            }
            replies
        }
    };
    let request = "POST /v1/flights/H/orders".to_owned();
    let replies = at_once("grab", request, r#"{"customer_id":"mei","quantity":2}"#).await;
    let placed: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(placed.len(), 1);
    let order = placed[0].json();
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        is_ok(reply, true);
        assert_eq!(reply.json(), order);
    }
    assert_eq!(available(&server, "H").await, 22);
    let confirm = format!("POST /v1/orders/{}/confirm", order["order_id"].as_str().unwrap());
    let replies = at_once("confirm", confirm, PAYS_TWO).await;
    let first: Vec<_> = replies.iter().filter(|r| r.header("idempotency-replayed").is_none()).collect();
    assert_eq!(first.len(), 1);
    let paid = first[0].json();
    assert_eq!((&paid["status"], paid["seq"].as_u64()), (&"confirmed".into(), Some(4)));
    for reply in &replies {
        assert_eq!((reply.status, reply.json()), (200, paid.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_races_a_confirm_has_one_outcome() {
    const ROUNDS: usize = 60;
    let server = TestServer::start().await;
    flight(&server, "R", &json!({"hold_seconds": 600})).await;
    let mut confirmed_first = 0;
    for round in 0..ROUNDS {
        let order = grab(&server, "R", &["1A", "1B"]).await;
        let (cancel, confirm) = (format!("/v1/orders/{order}/cancel"), format!("/v1/orders/{order}/confirm"));
        let body = PAYS_TWO;
        let (cancelled, confirmed) = if round % 2 == 0 {
            tokio::join!(server.post(&cancel, ""), server.post(&confirm, body))
        } else {
            let (confirmed, cancelled) = tokio::join!(server.post(&confirm, body), server.post(&cancel, ""));
            (cancelled, confirmed)
        };
        // A confirmed order can be cancelled, a cancelled one cannot be confirmed: whoever was first, it ends cancelled.
        is_ok(&cancelled, false);
        assert_eq!(cancelled.json()["status"], "cancelled");
        match confirmed.status {
            200 => {
                confirmed_first += 1;
                assert_eq!(confirmed.json()["status"], "confirmed", "it is shown as it was decided");
                assert!(confirmed.json()["seq"].as_u64() < cancelled.json()["seq"].as_u64());
            }
            _ => drop(confirmed.is_problem(409, "ORDER_NOT_CHANGEABLE")),
        }
        assert_eq!(server.get(&format!("/v1/orders/{order}")).await.json()["status"], "cancelled");
        assert_eq!(available(&server, "R").await, 24, "round {round}");
        let map = server.get("/v1/flights/R/seats").await.json();
        assert_eq!(map["cabins"][0]["rows"][0]["seats"][0]["status"], "free");
    }
    println!("{confirmed_first} of {ROUNDS} were confirmed first");
    server.admin("POST /v1/admin/flights/R/restart", "").await;
    assert_eq!(available(&server, "R").await, 24);
}
