//! Times as people write them (RFC 3339 and nothing else), and the end that departure puts to a sale.

use std::time::{Duration, Instant};

use farerush::base::time;
use farerush::start::serve;
use farerush_engine::actor::Located;
use farerush_engine::flight::{FlightDefinition, FlightId, SalePolicy};
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
    time::text(server.running.system.flights.now().plus_millis(millis))
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
    let server = TestServer::alone(&[]).await;
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
    let server = is_over(TestServer::of(running, data_dir)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn half_past_six_on_the_first_of_march_in_taipei_is_a_flight_of_the_first_of_march() {
    let server = TestServer::start().await;
    let early = described("FR711", &json!({"departs_at": "2027-03-01T06:30:00+08:00"}));
    let flight = create(&server, &early).await;
    assert_eq!(flight.status, 201, "{flight:?}");
    let flight = flight.json();
    assert_eq!(
        (&flight["flight_id"], &flight["service_date"], &flight["origin_time_zone"]),
        (&"FR711-20270301".into(), &"2027-03-01".into(), &"Asia/Taipei".into())
    );
    assert_eq!(
        (&flight["departs_at"], &flight["departs_at_local"]),
        (&"2027-02-28T22:30:00.000Z".into(), &"2027-03-01T06:30:00.000+08:00".into())
    );
    // The next day's, two hours later in UTC's day of the first, stands beside it; so does the day before's.
    for (departs_at, id) in
        [("2027-03-02T08:30:00+08:00", "FR711-20270302"), ("2027-02-28T06:30:00+08:00", "FR711-20270228")]
    {
        let other = create(&server, &described("FR711", &json!({"departs_at": departs_at}))).await;
        assert_eq!((other.status, &other.json()["flight_id"]), (201, &id.into()), "{other:?}");
    }
    create(&server, &early).await.is_problem(409, "FLIGHT_EXISTS");
    assert_eq!(server.get("/v1/flights/FR711-20270301").await.json()["service_date"], "2027-03-01");
}

/// The ids of the flights of a service day.
async fn of_day(server: &TestServer, day: &str) -> Vec<String> {
    let list = server.get(&format!("/v1/flights?date={day}&limit=200")).await.json();
    let flights = list["flights"].as_array().unwrap_or_else(|| panic!("{list}"));
    flights.iter().map(|flight| flight["flight_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_is_the_day_at_the_origin_from_its_first_to_its_last_moment_wherever_that_is() {
    let server = TestServer::alone(&[]).await;
    // (origin, its offset): the furthest east, the furthest west, and two whose clocks are turned.
    for (number, origin, first, last) in [
        ("FR1", "CXI", "2031-05-05T00:00:00.000+14:00", "2031-05-05T23:59:59.999+14:00"),
        ("FR2", "PPG", "2031-06-05T00:00:00.000-11:00", "2031-06-05T23:59:59.999-11:00"),
        ("FR3", "JFK", "2031-03-09T00:00:00.000-05:00", "2031-03-09T23:59:59.999-04:00"),
        ("FR4", "LHR", "2031-10-26T00:00:00.000+01:00", "2031-10-26T23:59:59.999Z"),
    ] {
        let at = |id: &str, departs_at: String| {
            let change = json!({"flight_id": id, "origin": origin, "departs_at": departs_at});
            described(number, &change)
        };
        let (first, last) = (time::parse(first).unwrap(), time::parse(last).unwrap());
        let day = [
            ("before", first.plus_millis(-1)),
            ("first", first),
            ("last", last),
            ("after", last.plus_millis(1)),
        ];
        let mut dates = Vec::new();
        for (name, departs_at) in day {
            let created = create(&server, &at(&format!("{number}-{name}"), time::text(departs_at))).await;
            assert_eq!(created.status, 201, "{created:?}");
            let flight = created.json();
            dates.push(flight["service_date"].as_str().unwrap().to_owned());
            let local = flight["departs_at_local"].as_str().unwrap();
            assert_eq!((&local[..10], time::parse(local)), (dates.last().unwrap().as_str(), Ok(departs_at)));
        }
        assert!(dates[0] < dates[1] && dates[1] == dates[2] && dates[2] < dates[3], "{origin}: {dates:?}");
        assert_eq!(of_day(&server, &dates[0]).await, [format!("{number}-before")]);
        assert_eq!(of_day(&server, &dates[1]).await, [format!("{number}-first"), format!("{number}-last")]);
        assert_eq!(of_day(&server, &dates[3]).await, [format!("{number}-after")]);
        // The next origin has days of its own.
        for name in ["before", "first", "last", "after"] {
            let id = FlightId::new(&format!("{number}-{name}")).unwrap();
            assert!(matches!(server.running.system.flights.engine.find(&id), Located::Here(_)), "{id}");
        }
    }
    for bad in ["2031-05-5", "20310505", "2031-05-05T00:00:00Z", "2031-02-29", "today", ""] {
        let problem = server.get(&format!("/v1/flights?date={bad}")).await.is_problem(400, "INVALID_REQUEST");
        assert_eq!(problem["errors"][0]["field"], "date", "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_airport_that_nobody_knows_needs_its_time_zone_said() {
    let server = TestServer::start().await;
    let from = |change: &Value| {
        let mut flight = described("FR5", &json!({"origin": "QQQ", "departs_at": "2031-03-01T00:30:00Z"}));
        flight.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        flight
    };
    for (change, says) in [
        (json!({}), "no time zone is known for the airport QQQ"),
        (json!({"origin_time_zone": null}), "no time zone is known for the airport QQQ"),
        (json!({"origin_time_zone": "Mars/Olympus_Mons"}), "IANA"),
        (json!({"origin_time_zone": "+08:00"}), "IANA"),
        (json!({"origin_time_zone": 8}), ""),
        (json!({"origin": "TPE", "origin_time_zone": "Mars/Olympus_Mons"}), "IANA"),
    ] {
        let problem = create(&server, &from(&change)).await.is_problem(400, "INVALID_REQUEST");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[0]["field"]), (1, &"origin_time_zone".into()), "{problem}");
        assert!(errors[0]["message"].as_str().unwrap().contains(says), "{problem}");
    }
    let created = create(&server, &from(&json!({"origin_time_zone": "america/new_york"}))).await;
    let flight = created.json();
    assert_eq!(
        (created.status, &flight["flight_id"], &flight["origin_time_zone"]),
        (201, &"FR5-20310228".into(), &"America/New_York".into()),
        "{created:?}"
    );
    // What is said outweighs what is known.
    let said = json!({"origin": "TPE", "origin_time_zone": "Pacific/Kiritimati", "departs_at": "2031-03-01T12:00:00Z"});
    let flight = create(&server, &from(&said)).await.json();
    assert_eq!(flight["departs_at_local"], "2031-03-02T02:00:00.000+14:00", "{flight}");
    // Files of flights have it, too.
    let file = "flight_number,origin,destination,departs_at,origin_time_zone,aircraft,fare,currency\n\
                FR6,QQQ,NRT,2031-01-01T00:00:00Z,Asia/Tokyo,AT76,1,TWD\n\
                FR7,QQQ,NRT,2031-01-01T00:00:00Z,,AT76,1,TWD\n";
    let problem = import(&server, "text/csv", file).await.is_problem(400, "INVALID_REQUEST");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["line"]), (1, &3.into()), "{problem}");
    assert_eq!(errors[0]["field"], "origin_time_zone", "{problem}");
    // A day that has no four digits for its year anywhere near is none.
    let late = create(&server, &described("FR8", &json!({"departs_at": "9999-12-31T23:00:00Z"}))).await;
    assert_eq!(late.is_problem(400, "INVALID_REQUEST")["errors"][0]["field"], "departs_at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_of_before_there_were_time_zones_keeps_its_id_and_has_its_airports() {
    let server = TestServer::alone(&[]).await;
    let known = server.running.system.flights.engine.find(&FlightId::new("DEMO1").unwrap());
    let Located::Here(known) = known else { panic!("no demo flight") };
    let departs_at = time::parse("2031-02-28T22:30:00Z").unwrap();
    for (id, origin, zone, local) in [
        ("FR1-20310228", "TPE", "Asia/Taipei", "2031-03-01T06:30:00.000+08:00"),
        ("FR2-20310228", "QQQ", "UTC", "2031-02-28T22:30:00.000+00:00"),
    ] {
        let definition = FlightDefinition {
            flight_id: FlightId::new(id).unwrap(),
            origin: origin.into(),
            origin_time_zone: None,
            departs_at,
            ..(*known.view().definition).clone()
        };
        server.running.system.flights.engine.create(definition, SalePolicy::default(), true).await.unwrap();
        let flight = server.get(&format!("/v1/flights/{id}")).await.json();
        assert_eq!(
            (&flight["flight_id"], &flight["origin_time_zone"], &flight["departs_at_local"]),
            (&id.into(), &zone.into(), &local.into())
        );
        assert!(of_day(&server, &local[..10]).await.contains(&id.to_owned()));
    }
    // The same file as ever finds its flight, though it says no zone either.
    let line = json!({
        "flight_id": "FR1-20310228", "flight_number": "FR101", "origin": "TPE", "destination": "NRT",
        "departs_at": "2031-02-28T22:30:00Z", "aircraft": "A320", "fare": {"amount": 99900, "currency": "TWD"}});
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
    let again = server.send("POST /v1/admin/flights/import?existing=skip", &headers, &line.to_string()).await;
    assert_eq!((again.status, &again.json()["skipped"]), (200, &1.into()), "{again:?}");
    let TestServer { running, data_dir, .. } = server;
    assert!(running.stop(Duration::from_secs(9)).await);
    let running = serve::start(settings(&data_dir, &[])).await.unwrap();
    let server = TestServer::of(running, data_dir);
    let flight = server.get("/v1/flights/FR1-20310228").await.json();
    assert_eq!(
        (&flight["origin_time_zone"], &flight["service_date"]),
        (&"Asia/Taipei".into(), &"2031-03-01".into())
    );
}
