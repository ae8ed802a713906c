//! Times as people write them (RFC 3339 and nothing else), and the end that departure puts to a sale.

use std::time::{Duration, Instant};

use farerush::{serve, time};
use serde_json::{Value, json};

use crate::client::{Reply, TOKEN, TestServer, settings};

/// What only resembles RFC 3339, and is taken by many a parser all the same.
const NOT_RFC_3339: [&str; 9] = [
    "2030-03-01 08:30:00Z",
    "2030-03-01T08:30:00+08:00[Europe/Paris]",
    "2030-03-01T08:30:00Z[UTC]",
    "20300301T083000Z",
    "2030-03-01T08:30Z",
    "2030-03-01T08:30:00",
    "2030-03-01T08:30:00+08",
    "2030-03-01T08:30:00+0800",
    "2030-03-01T23:59:60Z",
];

/// A flight whose sale is open, changed by `change`.
fn described(number: &str, change: &Value) -> Value {
    let mut flight = json!({
        "flight_number": number, "origin": "TPE", "destination": "NRT", "departs_at": "2030-05-06T23:30:00Z",
        "aircraft": "AT76", "fare": {"amount": 4990, "currency": "TWD"}, "sale": {"state": "open"}});
    flight.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    flight
}

async fn create(server: &TestServer, flight: &Value) -> Reply {
    server.admin("POST /v1/admin/flights", &flight.to_string()).await
}

async fn import(server: &TestServer, media_type: &str, file: &str) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", media_type)];
    server.send("POST /v1/admin/flights/import", &headers, file).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_that_takes_a_time_names_its_field_when_it_is_not_rfc_3339() {
    let server = TestServer::start().await;
    let encoded = |text: &str| text.replace('+', "%2B").replace(' ', "%20");
    for text in NOT_RFC_3339 {
        let flight = |change: Value| described("FR1", &change);
        let csv = format!(
            "flight_number,origin,destination,departs_at,aircraft,fare,currency,opens_at,closes_at\n\
             FR1,TPE,NRT,{text},AT76,1,TWD,{text},{text}\n"
        );
        let replies = [
            (create(&server, &flight(json!({"departs_at": text}))).await, vec!["departs_at"]),
            (
                create(&server, &flight(json!({"sale": {"opens_at": text, "closes_at": text}}))).await,
                vec!["sale.opens_at", "sale.closes_at"],
            ),
            (
                server.admin("PATCH /v1/admin/flights/DEMO1", &json!({"closes_at": text}).to_string()).await,
                vec!["closes_at"],
            ),
            (
                server
                    .post(
                        "/v1/flights/DEMO1/waitlist",
                        &json!({"customer_id": "u1", "party_size": 1, "expires_at": text}).to_string(),
                    )
                    .await,
                vec!["expires_at"],
            ),
            (import(&server, "text/csv", &csv).await, vec!["departs_at", "opens_at", "closes_at"]),
            (
                import(
                    &server,
                    "application/x-ndjson",
                    &flight(json!({"departs_at": text, "sale": {"opens_at": text}})).to_string(),
                )
                .await,
                vec!["departs_at", "sale.opens_at"],
            ),
            (
                server
                    .admin(
                        &format!(
                            "GET /v1/admin/orders?created_from={}&created_to={}",
                            encoded(text),
                            encoded(text)
                        ),
                        "",
                    )
                    .await,
                vec!["created_from", "created_to"],
            ),
            (
                server.admin(&format!("GET /v1/admin/cockpit?since={}", encoded(text)), "").await,
                vec!["since"],
            ),
        ];
        for (reply, fields) in replies {
            let problem = reply.is_problem(400, "INVALID_REQUEST");
            let errors = problem["errors"].as_array().unwrap();
            let named: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
            assert_eq!(named, fields, "{text}: {problem}");
            for error in errors {
                let message = error["message"].as_str().unwrap();
                let says_how = message.contains("2026-12-24T08:30:00Z") || message.contains("leap second");
                assert!(says_how, "{text}: {problem}");
            }
        }
    }
    let plus = server.admin("GET /v1/admin/orders?created_from=2026-12-24T08:30:00+08:00", "").await;
    let problem = plus.is_problem(400, "INVALID_REQUEST");
    assert!(problem["errors"][0]["message"].as_str().unwrap().contains("%2B"), "{problem}");
}

/// When a flight leaves that leaves so many milliseconds from now.
fn leaves_in(server: &TestServer, millis: i64) -> String {
    time::text(server.running.app.now().plus_millis(millis))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_that_has_left_is_neither_created_nor_imported() {
    let server = TestServer::start().await;
    let names_departure = |reply: &Reply| {
        let problem = reply.is_problem(400, "INVALID_REQUEST");
        let error = &problem["errors"][0];
        assert_eq!(error["field"], "departs_at", "{problem}");
        assert!(error["message"].as_str().unwrap().contains("in the future"), "{problem}");
        problem
    };
    for departs_at in ["2020-01-01T00:00:00Z", &leaves_in(&server, -1), "1970-01-01T00:00:00Z"] {
        let flight = described("FR1", &json!({"departs_at": departs_at}));
        names_departure(&create(&server, &flight).await);
        let import = import(&server, "application/x-ndjson", &flight.to_string()).await;
        assert_eq!(names_departure(&import)["errors"][0]["line"], 1);
    }
    // Together with everything else that is wrong.
    let flight = described("fr", &json!({"departs_at": "2020-01-01T00:00:00Z"}));
    let problem = create(&server, &flight).await.is_problem(400, "INVALID_REQUEST");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    let file = "flight_number,origin,destination,departs_at,aircraft,fare,currency,closes_before_minutes\n\
                FR1,TPE,NRT,2031-01-01T00:00:00Z,AT76,1,TWD,90\n\
                FR2,TPE,NRT,2021-01-01T00:00:00Z,AT76,1,TWD,\n\
                FR3,TPE,NRT,2031-01-01T00:00:00Z,AT76,1,TWD,10081\n";
    let problem = import(&server, "text/csv", file).await.is_problem(400, "INVALID_REQUEST");
    let named: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["field"].as_str().unwrap()))
        .collect();
    assert!(named.contains(&(3, "departs_at")) && named.contains(&(4, "closes_before_minutes")), "{problem}");
    assert_eq!(named.len(), 2, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_flight_leaves_its_sale_is_closed_for_everybody_and_stays_so_through_a_restart() {
    let server = TestServer::start().await;
    let flight = described("FR1", &json!({"flight_id": "LEAVES", "departs_at": leaves_in(&server, 5000)}));
    let key = [
        ("authorization", format!("Bearer {TOKEN}")),
        ("content-type", "application/json".to_owned()),
        ("idempotency-key", "once".to_owned()),
    ];
    let key: Vec<(&str, &str)> = key.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let created = server.send("POST /v1/admin/flights", &key, &flight.to_string()).await;
    assert_eq!((created.status, &created.json()["sale"]["state"]), (201, &"open".into()), "{created:?}");
    server.grab("LEAVES", r#"{"customer_id":"in-time","quantity":1}"#).await;
    let began = Instant::now();
    while server.get("/v1/flights/LEAVES").await.json()["sale"]["state"] != "closed" {
        assert!(began.elapsed() < Duration::from_secs(30), "its sale never closed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let grab = r#"{"customer_id":"late","quantity":1}"#;
    let is_over = |server: TestServer| async move {
        server.post("/v1/flights/LEAVES/orders", grab).await.is_problem(409, "SALE_CLOSED");
        let wait = r#"{"customer_id":"late","party_size":1}"#;
        server.post("/v1/flights/LEAVES/waitlist", wait).await.is_problem(409, "SALE_CLOSED");
        let problem =
            server.admin("POST /v1/admin/flights/LEAVES/open", "").await.is_problem(409, "SALE_CLOSED");
        assert!(problem["detail"].as_str().unwrap().contains("The flight left at"), "{problem}");
        let listed = async |status: &str| {
            let list = server.get(&format!("/v1/flights?status={status}&limit=200")).await.json();
            list["flights"].as_array().unwrap().iter().any(|flight| flight["flight_id"] == "LEAVES")
        };
        assert!(listed("closed").await && !listed("open").await);
        server
    };
    let server = is_over(server).await;
    // The same request as then finds what it made, and another one is told that it comes too late.
    let again = server.send("POST /v1/admin/flights", &key, &flight.to_string()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")), "{again:?}");
    create(&server, &flight).await.is_problem(409, "FLIGHT_EXISTS");
    let TestServer { running, data_dir, .. } = server;
    assert!(running.stop(Duration::from_secs(9)).await);
    let running = serve::start(settings(&data_dir, &[])).await.unwrap();
    let server = is_over(TestServer { address: running.address, running, data_dir }).await;
    assert_eq!(server.get("/v1/flights/LEAVES").await.json()["sale"]["state"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_closes_as_many_minutes_before_departure_as_was_said() {
    let server = TestServer::start().await;
    let rules = json!({"state": "open", "closes_before_minutes": 120});
    let in_an_hour = leaves_in(&server, 3_600_000);
    let flight = described("FR1", &json!({"flight_id": "SOON", "departs_at": in_an_hour, "sale": rules}));
    let created = create(&server, &flight).await;
    assert_eq!(created.status, 201, "{created:?}");
    let sale = &created.json()["sale"];
    assert_eq!((&sale["state"], &sale["closes_before_minutes"]), (&"closed".into(), &120.into()));
    let grab = r#"{"customer_id":"u1","quantity":1}"#;
    server.post("/v1/flights/SOON/orders", grab).await.is_problem(409, "SALE_CLOSED");
    let change = async |minutes: &str| {
        let body = format!(r#"{{"closes_before_minutes":{minutes}}}"#);
        server.admin("PATCH /v1/admin/flights/SOON", &body).await
    };
    for bad in ["10081", "-1", "1.5", "\"30\""] {
        let problem = change(bad).await.is_problem(400, "INVALID_REQUEST");
        assert_eq!(problem["errors"][0]["field"], "closes_before_minutes", "{problem}");
    }
    assert_eq!(change("30").await.json()["sale"]["state"], "open");
    server.grab("SOON", grab).await;
}
