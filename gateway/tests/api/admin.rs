//! What admins do, and that nobody else does.

use crate::client::{Reply, TOKEN, TestServer};
use serde_json::{Value, json};

fn flight(change: impl FnOnce(&mut Value)) -> String {
    let mut flight = json!({
        "flight_number": "FR777", "origin": "TPE", "destination": "NRT", "departs_at": "2030-05-06T23:30:00Z",
        "aircraft": "A320", "fare": {"amount": 99900, "currency": "TWD"}
    });
    change(&mut flight);
    flight.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_shown_and_nothing_done() {
    let server = TestServer::start().await;
    let half = format!("Bearer {}", &TOKEN[..10]);
    let long = format!("Bearer {TOKEN}x");
    for (pattern, methods) in
        farerush::base::addresses::ADDRESSES.iter().filter(|(pattern, _)| pattern.contains("/admin/"))
    {
        let request = format!("{} {}", methods.split(", ").next().unwrap(), pattern.replace("{}", "DEMO1"));
        for shown in ["", "Bearer", "Basic YTpi", &half, &long] {
            let headers = [("authorization", shown)];
            let headers = if shown.is_empty() { &[][..] } else { &headers[..] };
            let reply = server.send(&request, headers, "{}").await;
            reply.is_problem(401, "UNAUTHORIZED");
            assert!(
                reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
                "{reply:?}"
            );
        }
    }
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["sale"]["state"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_is_created_from_a_template() {
    let server = TestServer::start().await;
    let reply = server.admin("POST /v1/admin/flights", &flight(|_| ())).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.header("location"), Some("/v1/flights/FR777-20300507"));
    let shown = reply.json();
    assert_eq!((&shown["capacity"], &shown["sale"]["state"]), (&180.into(), &"scheduled".into()));
    assert_eq!(server.get("/v1/flights/FR777-20300507").await.json(), shown);
    server.admin("POST /v1/admin/flights", &flight(|_| ())).await.is_problem(409, "FLIGHT_EXISTS");
    let by_class = flight(|flight| {
        flight["aircraft"] = "A321".into();
        flight["flight_id"] = "two-classes".into();
        flight["fares"] = json!({"business": {"amount": 500000, "currency": "TWD"}});
        flight["sale"] = json!({"state": "open", "hold_seconds": 60, "max_seats_per_customer": 2});
    });
    let shown = server.admin("POST /v1/admin/flights", &by_class).await.json();
    let fares: Vec<_> =
        shown["cabins"].as_array().unwrap().iter().map(|cabin| &cabin["fare"]["amount"]).collect();
    assert_eq!(fares, [500_000, 99_900]);
    assert_eq!((&shown["sale"]["hold_seconds"], &shown["sale"]["state"]), (&60.into(), &"open".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_flight_is_named() {
    let server = TestServer::start().await;
    type Change = fn(&mut Value);
    let cases: &[(&[&str], Change)] = &[
        (&["flight_number"], |f| f["flight_number"] = "fr".into()),
        (&["origin", "destination"], |f| {
            f["origin"] = "TAIPEI".into();
            f["destination"] = 7.into();
        }),
        (&["destination"], |f| f["destination"] = "TPE".into()),
        (&["departs_at"], |f| f["departs_at"] = "tomorrow".into()),
        (&["departs_at"], |f| f["departs_at"] = "2030-05-06T23:30:00".into()),
        (&["aircraft"], |f| f["aircraft"] = "Concorde".into()),
        (&["fare.currency"], |f| f["fare"]["currency"] = "NT$".into()),
        (&["fare.amount"], |f| f["fare"]["amount"] = (-1).into()),
        (&["flight_id"], |f| f["flight_id"] = "with space".into()),
        (&["sale.hold_seconds"], |f| f["sale"] = json!({"hold_seconds": 99_999_999})),
        (&["sale.closes_at"], |f| {
            f["sale"] = json!({"opens_at": "2030-01-02T00:00:00Z", "closes_at": "2030-01-01T00:00:00Z"});
        }),
        (&["sale.state"], |f| f["sale"] = json!({"state": "paused"})),
        (&["sale.limit"], |f| f["sale"] = json!({"limit": 1})),
        (&["seats"], |f| f["seats"] = 100.into()),
        (&["cabins"], |f| f["cabins"] = json!([])),
        (&["aircraft"], |f| {
            f.as_object_mut().unwrap().remove("aircraft");
        }),
        (&["fares.economy"], |f| {
            f.as_object_mut().unwrap().remove("fare");
        }),
    ];
    for (named, change) in cases {
        let reply = server.admin("POST /v1/admin/flights", &flight(change)).await;
        let problem = reply.is_problem(400, "INVALID_REQUEST");
        let fields: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        assert_eq!(fields, *named);
    }
    let cabin = |change: Change| {
        let mut cabin = json!({"cabin_class": "economy", "rows": [1, 30], "layout": "ABC DEF",
                               "fare": {"amount": 1, "currency": "TWD"}});
        change(&mut cabin);
        flight(|flight| {
            let flight = flight.as_object_mut().unwrap();
            flight.remove("aircraft");
            flight.remove("fare");
            flight.insert("cabins".to_owned(), json!([cabin]));
        })
    };
    let cases: &[(&str, Change)] = &[
        ("cabins[0].cabin_class", |c| c["cabin_class"] = "coach".into()),
        ("cabins[0].rows", |c| c["rows"] = json!([0, 3])),
        ("cabins[0].rows", |c| c["rows"] = json!([5, 3])),
        ("cabins[0].rows", |c| c["rows"] = json!([1, 1000])),
        ("cabins[0].layout", |c| c["layout"] = "ABI".into()),
        ("cabins[0].layout", |c| c["layout"] = "".into()),
        ("cabins[0].fare", |c| c["fare"] = Value::Null),
        ("cabins[0].seats", |c| c["seats"] = 1.into()),
        ("cabins", |c| {
            c["rows"] = json!([1, 999]);
            c["layout"] = "ABCDEFGHJKLMNOPQ".into();
        }),
    ];
    for (named, change) in cases {
        let reply = server.admin("POST /v1/admin/flights", &cabin(*change)).await;
        let problem = reply.is_problem(400, "INVALID_REQUEST");
        assert_eq!(problem["errors"][0]["field"], *named, "{problem}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_opened_paused_closed_and_changed() {
    let server = TestServer::start().await;
    for (action, state) in
        [("pause", "paused"), ("open", "open"), ("close", "closed"), ("open", "open"), ("open", "open")]
    {
        let reply = server.admin(&format!("POST /v1/admin/flights/DEMO1/{action}"), "").await;
        assert_eq!((reply.status, &reply.json()["sale"]["state"]), (200, &state.into()), "{reply:?}");
    }
    let change = r#"{"closes_at":"2030-01-01T00:00:00Z","max_seats_per_order":4,"hold_seconds":30}"#;
    let shown = server.admin("PATCH /v1/admin/flights/DEMO1", change).await.json();
    assert_eq!(shown["sale"]["closes_at"], "2030-01-01T00:00:00.000Z");
    assert_eq!(
        (&shown["sale"]["max_seats_per_order"], &shown["sale"]["max_seats_per_customer"]),
        (&4.into(), &9.into())
    );
    let shown = server.admin("PATCH /v1/admin/flights/DEMO1", r#"{"closes_at":null}"#).await.json();
    assert!(shown["sale"]["closes_at"].is_null());
    assert_eq!(shown["sale"]["hold_seconds"], 30);
    for bad in [r#"{"max_seats_per_order":0}"#, r#"{"opens_at":"x"}"#, r#"{"colour":1}"#] {
        server.admin("PATCH /v1/admin/flights/DEMO1", bad).await.is_problem(400, "INVALID_REQUEST");
    }
    server.admin("POST /v1/admin/flights/NOPE/open", "").await.is_problem(404, "FLIGHT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_blocked_unblocked_and_added() {
    let server = TestServer::start().await;
    let path = |action: &str| format!("POST /v1/admin/flights/DEMO1/{action}");
    let reply = server.admin(&path("seats/block"), r#"{"seats":["1A","1B"]}"#).await;
    assert_eq!((reply.status, &reply.json()["available"]), (200, &178.into()), "{reply:?}");
    let seats = server.get("/v1/flights/DEMO1/seats").await.json();
    assert_eq!(seats["cabins"][0]["rows"][0]["seats"][0]["status"], "blocked");
    server
        .post("/v1/flights/DEMO1/orders", r#"{"customer_id":"u","seats":["1A"]}"#)
        .await
        .is_problem(409, "SEAT_TAKEN");
    let reply = server.admin(&path("seats/unblock"), r#"{"seats":["1A"]}"#).await;
    assert_eq!(reply.json()["available"], 179);
    server.admin(&path("seats/block"), r#"{"seats":["99Z"]}"#).await.is_problem(400, "NO_SUCH_SEAT");
    server.admin(&path("seats/block"), r#"{"seats":[]}"#).await.is_problem(400, "INVALID_REQUEST");
    let rows = r#"{"cabin_class":"business","rows":[31,32],"layout":"AC DF","fare":{"amount":500,"currency":"TWD"}}"#;
    let reply = server.admin(&path("rows"), rows).await;
    assert_eq!((reply.status, &reply.json()["capacity"]), (200, &188.into()), "{reply:?}");
    server.admin(&path("rows"), rows).await.is_problem(400, "INVALID_REQUEST");
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":2,"cabin_class":"business"}"#).await;
    assert_eq!(order["seats"][0]["cabin_class"], "business");
    assert_eq!(order["total"]["amount"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_flight_goes_on_where_it_was() {
    let server = TestServer::start().await;
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":2}"#).await;
    let reply = server.admin("POST /v1/admin/flights/DEMO1/restart", "").await;
    let shown = reply.json();
    assert_eq!((reply.status, &shown["seq"], &shown["epoch"]), (200, &3.into(), &2.into()), "{reply:?}");
    assert!(shown["took_ms"].is_number());
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/orders/{id}")).await.json(), order);
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":2}"#).await;
    let orders = server.get("/v1/orders?customer_id=u").await.json();
    assert_eq!((orders["orders"].as_array().unwrap().len(), &orders["up_to_date"]), (2, &true.into()));
    server.admin("POST /v1/admin/flights/NOPE/restart", "").await.is_problem(404, "FLIGHT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_sent_again_under_its_key_restarts_nothing() {
    let server = TestServer::start().await;
    let bearer = format!("Bearer {TOKEN}");
    let under = async |key: &str| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        server.send("POST /v1/admin/flights/DEMO1/restart", &headers, "").await
    };
    let restart = || under("restart-1");
    let (one, same) = tokio::join!(restart(), restart());
    assert_eq!((one.status, same.status, one.json()), (200, 200, same.json()));
    let replayed = |reply: &Reply| reply.header("idempotency-replayed").is_some_and(|value| value == "true");
    assert_ne!(replayed(&one), replayed(&same), "one of them is the repeat");
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":2}"#).await;
    let later = restart().await;
    assert!(replayed(&later));
    assert_eq!(later.json(), one.json());
    let fresh = server.admin("POST /v1/admin/flights/DEMO1/restart", "").await;
    assert_eq!((&fresh.json()["epoch"], replayed(&fresh)), (&3.into(), false));
    under(&"k".repeat(129)).await.is_problem(400, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_all_orders_and_the_status_of_everything() {
    let server = TestServer::start().await;
    for customer in ["a", "b", "c"] {
        server.grab("DEMO1", &format!(r#"{{"customer_id":"{customer}","quantity":1}}"#)).await;
    }
    let page = server.admin("GET /v1/admin/orders?limit=2", "").await.json();
    assert_eq!(page["orders"].as_array().unwrap().len(), 2);
    assert!(page["next_cursor"].is_string());
    let of_b = server.admin("GET /v1/admin/orders?customer_id=b", "").await.json();
    assert_eq!(of_b["orders"].as_array().unwrap().len(), 1);
    let status = server.admin("GET /v1/admin/status", "").await.json();
    assert_eq!(status["flights"][0]["flight_id"], "DEMO1");
    for member in ["seq", "durable_seq", "stored_seq"] {
        assert_eq!(status["flights"][0][member], 5, "{member}");
    }
    assert_eq!((&status["journal"]["state"], &status["store"]["state"]), (&"writing".into(), &"up".into()));
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"ready".into()));
    assert_eq!(server.get("/livez").await.status, 200);
}
