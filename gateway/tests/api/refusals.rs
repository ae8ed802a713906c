//! Everything that is not a success: the right status, the right code, every bad field named, and the server goes on.

use crate::client::{Reply, TestServer};

const GRAB: &str = "POST /v1/flights/DEMO1/orders";
const JSON: (&str, &str) = ("content-type", "application/json");

fn fields(problem: &serde_json::Value) -> Vec<&str> {
    problem["errors"]
        .as_array()
        .map_or(Vec::new(), |list| list.iter().filter_map(|e| e["field"].as_str()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_body_of_a_grab_is_named_for_what_it_is() {
    let server = TestServer::start().await;
    let deep = format!("{{\"customer_id\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let cases: &[(&str, &str, &[&str])] = &[
        ("", "INVALID_REQUEST", &[]),
        ("{", "INVALID_REQUEST", &[]),
        ("nonsense", "INVALID_REQUEST", &[]),
        ("[]", "INVALID_REQUEST", &[]),
        ("null", "INVALID_REQUEST", &[]),
        ("\u{feff}{}", "INVALID_REQUEST", &[]),
        (&deep, "INVALID_REQUEST", &[]),
        (r#"{"customer_id":"\ud800","quantity":1}"#, "INVALID_REQUEST", &[]),
        (r#"{"customer_id":"u1","quantity":1}{}"#, "INVALID_REQUEST", &[]),
        (r#"{"customer_id":"u1","quantity":1,}"#, "INVALID_REQUEST", &[]),
        ("{}", "INVALID_REQUEST", &["customer_id", "quantity"]),
        (r#"{"customer_id":"u1","quantity":0}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":-1}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":1000000000}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":1e9}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":99999999999999999999999}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":"2"}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":true}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","quantity":1.5}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":7,"quantity":1}"#, "INVALID_REQUEST", &["customer_id"]),
        (r#"{"customer_id":"a\u0000b","quantity":1}"#, "INVALID_REQUEST", &["customer_id"]),
        (r#"{"customer_id":"a\nb","quantity":1}"#, "INVALID_REQUEST", &["customer_id"]),
        (r#"{"customer_id":"u1","quantity":1,"seat":"1A"}"#, "INVALID_REQUEST", &["seat"]),
        (r#"{"customer_id":"u1","quantity":1,"quantity":2}"#, "INVALID_REQUEST", &["quantity"]),
        (r#"{"customer_id":"u1","seats":["1A"],"quantity":1}"#, "INVALID_REQUEST", &["seats"]),
        (r#"{"customer_id":"u1","seats":["1A","1A"]}"#, "INVALID_REQUEST", &["seats"]),
        (r#"{"customer_id":"u1","seats":["A1"]}"#, "INVALID_REQUEST", &["seats"]),
        (r#"{"customer_id":"u1","seats":["1000A"]}"#, "INVALID_REQUEST", &["seats"]),
        (r#"{"customer_id":"u1","quantity":1,"cabin_class":"first"}"#, "INVALID_REQUEST", &["cabin_class"]),
        (r#"{"customer_id":"u1","seats":["99A"]}"#, "NO_SUCH_SEAT", &[]),
    ];
    for (body, code, named) in cases {
        let reply = server.send(GRAB, &[JSON], body).await;
        let problem = reply.is_problem(400, code);
        let shown: String = body.chars().take(80).collect();
        assert_eq!(fields(&problem), *named, "{shown}");
    }
    let reply = server.send_bytes(GRAB, &[JSON], b"{\"customer_id\":\"\xff\xfe\",\"quantity\":1}").await;
    reply.is_problem(400, "INVALID_REQUEST");
    server.grab("DEMO1", r#"{"customer_id":"u1","quantity":1}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_json_is_said_with_its_place() {
    let server = TestServer::start().await;
    let reply = server.send(GRAB, &[JSON], "{\"customer_id\":\n  \"u1\" \"quantity\":1}").await;
    let problem = reply.is_problem(400, "INVALID_REQUEST");
    assert!(problem["detail"].as_str().unwrap().contains("line 2, column"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_checked_by_name() {
    let server = TestServer::start().await;
    let body = r#"{"customer_id":"u1","quantity":1}"#;
    for key in ["", "with space", &"k".repeat(129), &"k".repeat(10_000), "schlüssel"] {
        let reply = server.send(GRAB, &[JSON, ("idempotency-key", key)], body).await;
        let problem = reply.is_problem(400, "INVALID_REQUEST");
        assert_eq!(fields(&problem), ["Idempotency-Key"], "{}", key.len());
    }
    let reply = server.send(GRAB, &[JSON, ("idempotency-key", &"k".repeat(128))], body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_so() {
    let server = TestServer::start().await;
    for (request, code) in [
        ("GET //", "NOT_FOUND"),
        ("GET /v1", "NOT_FOUND"),
        ("GET /v1/flights//", "NOT_FOUND"),
        ("GET /v1/flights//seats", "NOT_FOUND"),
        ("GET /v1/flights/DEMO1/seats/1A", "NOT_FOUND"),
        ("POST /v1/flights/DEMO1/orders/x", "NOT_FOUND"),
        ("GET /v1/admin/nothing", "NOT_FOUND"),
        ("GET /v1/flights/NOPE", "FLIGHT_NOT_FOUND"),
        ("GET /v1/flights/no%20flight", "FLIGHT_NOT_FOUND"),
        ("GET /v1/flights/%44EMO1", "NOT_FOUND"),
        ("GET /v1/flights/NOPE/seats", "FLIGHT_NOT_FOUND"),
        ("POST /v1/flights/NOPE/orders", "FLIGHT_NOT_FOUND"),
        ("GET /v1/orders/nonsense", "ORDER_NOT_FOUND"),
        ("GET /v1/orders/DEMO1-300000000", "ORDER_NOT_FOUND"),
        ("GET /v1/orders/NOPE-300000000", "ORDER_NOT_FOUND"),
        ("DELETE /v1/orders/DEMO1-300000000", "ORDER_NOT_FOUND"),
    ] {
        server.send(request, &[], "").await.is_problem(404, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_says_which_methods_it_knows() {
    let server = TestServer::start().await;
    for (pattern, methods) in farerush::base::addresses::ADDRESSES {
        let path = pattern.replace("{}", "X");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let reply = server.send(&format!("{method} {path}"), &[], "").await;
            if methods.split(", ").any(|known| known == method) {
                assert_ne!(reply.status, 405, "{method} {path}");
                let is_nothing = reply.status == 404 && reply.text.contains("No address of this server");
                assert!(!is_nothing, "{method} {path} leads nowhere: {reply:?}");
            } else {
                assert_eq!(reply.status, 405, "{method} {path}");
                if method != "HEAD" {
                    reply.is_problem(405, "METHOD_NOT_ALLOWED");
                }
                assert_eq!(reply.header("allow"), Some(*methods), "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_say_that_it_is_json() {
    let server = TestServer::start().await;
    let body = r#"{"customer_id":"u1","quantity":1}"#;
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x"] {
        let reply = server.send(GRAB, &[("content-type", other)], body).await;
        reply.is_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    for json in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(server.send(GRAB, &[("content-type", json)], body).await.status, 201, "{json}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_ten_megabytes_is_refused_whichever_way_it_comes() {
    let server = TestServer::start().await;
    let body = vec![b'x'; 10_000_000];
    server.send_bytes(GRAB, &[JSON], &body).await.is_problem(413, "PAYLOAD_TOO_LARGE");
    let mut chunked = format!(
        "{GRAB} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in body.chunks(50_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    Reply::parse(&server.exchange(&chunked).await).is_problem(413, "PAYLOAD_TOO_LARGE");
    server.grab("DEMO1", r#"{"customer_id":"u1","quantity":1}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_query_parameters_are_named() {
    let server = TestServer::start().await;
    for (path, named) in [
        ("/v1/flights?colour=red", "colour"),
        ("/v1/flights?limit=0", "limit"),
        ("/v1/flights?limit=201", "limit"),
        ("/v1/flights?limit=x", "limit"),
        ("/v1/flights?limit=1&limit=2", "limit"),
        ("/v1/flights?cursor=zzz", "cursor"),
        ("/v1/flights?cursor=6869", "cursor"),
        ("/v1/flights?origin=TAIPEI", "origin"),
        ("/v1/flights?date=tomorrow", "date"),
        ("/v1/flights?status=selling", "status"),
        ("/v1/flights/DEMO1?x=1", "x"),
        ("/v1/flights/DEMO1/seats?x=1", "x"),
        ("/v1/orders", "customer_id"),
        ("/v1/orders?customer_id=", "customer_id"),
        ("/v1/orders?customer_id=u1&status=paid", "status"),
        ("/v1/orders?customer_id=u1&flight_id=a%20b", "flight_id"),
        ("/livez?x=1", "x"),
    ] {
        let problem = server.get(path).await.is_problem(400, "INVALID_REQUEST");
        assert_eq!(fields(&problem), [named], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_refuses_says_why() {
    let server = TestServer::start().await;
    let grab = |flight: &str, body: &str| {
        let (path, body) = (format!("/v1/flights/{flight}/orders"), body.to_owned());
        let server = &server;
        async move { server.post(&path, &body).await }
    };
    let problem =
        grab("DEMO4", r#"{"customer_id":"u1","quantity":1}"#).await.is_problem(409, "SALE_NOT_OPEN");
    assert!(problem["opens_at"].is_string());
    let problem =
        grab("DEMO1", r#"{"customer_id":"u1","quantity":10}"#).await.is_problem(409, "LIMIT_EXCEEDED");
    assert_eq!((&problem["limit"], &problem["holding"]), (&9.into(), &0.into()));
    server.grab("DEMO1", r#"{"customer_id":"u1","quantity":8}"#).await;
    let problem =
        grab("DEMO1", r#"{"customer_id":"u1","quantity":2}"#).await.is_problem(409, "LIMIT_EXCEEDED");
    assert_eq!((&problem["limit"], &problem["holding"]), (&9.into(), &8.into()));
    server.grab("DEMO1", r#"{"customer_id":"u2","seats":["30A"]}"#).await;
    let problem =
        grab("DEMO1", r#"{"customer_id":"u3","seats":["30A","30B"]}"#).await.is_problem(409, "SEAT_TAKEN");
    assert_eq!(problem["seats"], serde_json::json!(["30A"]));
    let problem = grab("DEMO1", r#"{"customer_id":"u3","quantity":9,"together":"required"}"#).await;
    problem.is_problem(409, "NOT_TOGETHER");
    server.admin("POST /v1/admin/flights/DEMO1/pause", "").await;
    grab("DEMO1", r#"{"customer_id":"u4","quantity":1}"#).await.is_problem(409, "SALE_PAUSED");
    server.admin("POST /v1/admin/flights/DEMO1/close", "").await;
    grab("DEMO1", r#"{"customer_id":"u4","quantity":1}"#).await.is_problem(409, "SALE_CLOSED");
}
