//! Times and days as people write them: RFC 3339 and nothing else.

use serde_json::{Value, json};

use crate::client::{Reply, TOKEN, TestServer};

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
