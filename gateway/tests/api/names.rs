//! Who counts as the same customer, and what no name may hold, at every way in. Never looks inside the server.

use serde_json::json;

use crate::client::{Reply, TestServer};

/// Invisible, bidirectional and control characters, as JSON writes them, as a query does, and as the answer names them.
const REFUSED: [(char, &str); 7] = [
    ('\u{200b}', "U+200B"),
    ('\u{200d}', "U+200D"),
    ('\u{ad}', "U+00AD"),
    ('\u{202e}', "U+202E"),
    ('\u{2067}', "U+2067"),
    ('\u{e0041}', "U+E0041"),
    ('\u{85}', "U+0085"),
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[track_caller]
fn names(reply: &Reply, field: &str, code_point: &str) {
    let problem = reply.is_problem(400, "INVALID_REQUEST");
    let error = &problem["errors"][0];
    assert_eq!(error["field"], field, "{problem}");
    assert!(error["message"].as_str().unwrap().contains(code_point), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_is_refused_at_every_way_in() {
    let server = TestServer::start().await;
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
    let order = order["order_id"].as_str().unwrap();
    for (found, code_point) in REFUSED {
        let bad = format!("u{found}1");
        for (request, field, body) in [
            ("POST /v1/flights/DEMO1/orders", "customer_id", json!({"customer_id": bad, "quantity": 1})),
            (
                "POST /v1/flights/DEMO1/orders",
                "client_reference",
                json!({"customer_id": "u", "quantity": 1, "client_reference": bad}),
            ),
            (
                "POST /v1/flights/DEMO1/orders",
                "passengers[0].name",
                json!({"customer_id": "u", "quantity": 1, "passengers": [{"name": bad}]}),
            ),
            ("POST /v1/flights/DEMO1/waitlist", "customer_id", json!({"customer_id": bad, "party_size": 1})),
            (
                "POST /v1/flights/DEMO1/waitlist",
                "client_reference",
                json!({"customer_id": "u", "party_size": 1, "client_reference": bad}),
            ),
            (
                &format!("PATCH /v1/orders/{order}"),
                "passengers[0].name",
                json!({"passengers": [{"name": bad}]}),
            ),
            (
                &format!("POST /v1/orders/{order}/confirm"),
                "payment_reference",
                json!({"payment_reference": bad, "seq": 1}),
            ),
        ] {
            names(&server.send(request, &[], &body.to_string()).await, field, code_point);
        }
        let bad = encoded(&bad);
        names(&server.get(&format!("/v1/orders?customer_id={bad}")).await, "customer_id", code_point);
        names(
            &server.admin(&format!("GET /v1/admin/orders?customer_id={bad}"), "").await,
            "customer_id",
            code_point,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_is_one_however_the_name_is_composed() {
    let server = TestServer::start().await;
    let (composed, apart) = ("\u{e1}nna", "a\u{301}nna");
    for (name, quantity) in [(composed, 2), (apart, 1)] {
        let body = json!({"customer_id": name, "quantity": quantity, "client_reference": name, "passengers": [{"name": name}, null]});
        let body = if quantity == 1 {
            json!({"customer_id": name, "quantity": 1, "passengers": [{"name": name}]})
        } else {
            body
        };
        let order = server.grab("DEMO1", &body.to_string()).await;
        assert_eq!(order["customer_id"], composed);
        assert_eq!(order["seats"][0]["passenger"]["name"], composed);
    }
    for name in [composed, apart] {
        let path = format!("/v1/orders?customer_id={}", encoded(name));
        assert_eq!(server.get(&path).await.json()["orders"].as_array().unwrap().len(), 2, "{name}");
        let path = format!("GET /v1/admin/orders?customer_id={}", encoded(name));
        assert_eq!(server.admin(&path, "").await.json()["orders"].as_array().unwrap().len(), 2, "{name}");
    }
    // One limit for both: together they have what a customer may have.
    let limit =
        server.get("/v1/flights/DEMO1").await.json()["sale"]["max_seats_per_customer"].as_u64().unwrap();
    let rest = json!({"customer_id": apart, "quantity": limit - 2});
    server.post("/v1/flights/DEMO1/orders", &rest.to_string()).await.is_problem(409, "LIMIT_EXCEEDED");
    // Others, although they look alike or differ in case.
    for other in ["\u{c1}nna", "anna", "\u{e1}nna.", "\u{e1}n\u{ff4e}a"] {
        let path = format!("/v1/orders?customer_id={}", encoded(other));
        assert_eq!(server.get(&path).await.json()["orders"], json!([]), "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_are_told_in_what_they_are_counted_in() {
    let server = TestServer::start().await;
    for (body, message) in [
        (
            json!({"customer_id": "\u{6797}".repeat(129), "quantity": 1}),
            "must be at most 128 characters long",
        ),
        (
            json!({"customer_id": "u", "quantity": 1, "passengers": [{"name": "\u{6797}".repeat(67)}]}),
            "must be at most 200 bytes long in UTF-8",
        ),
    ] {
        let problem = server.post("/v1/flights/DEMO1/orders", &body.to_string()).await;
        let problem = problem.is_problem(400, "INVALID_REQUEST");
        assert_eq!(problem["errors"][0]["message"], message);
    }
    let most = json!({"customer_id": "\u{6797}".repeat(128), "quantity": 1, "passengers": [{"name": "\u{6797}".repeat(66)}]});
    server.grab("DEMO1", &most.to_string()).await;
}
