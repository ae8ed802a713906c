//! Below the requests: slow clients, broken ones, request ids, the limit on connections, and the stop.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Reply, TestServer, read_to_end, settings};

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_an_id_and_a_client_s_own_is_kept() {
    let server = TestServer::start().await;
    for request in ["GET /v1/flights", "GET /nope", "PUT /livez", "POST /v1/flights/DEMO1/orders"] {
        let reply = server.send(request, &[("x-request-id", "my-id.7")], "").await;
        assert_eq!(reply.header("x-request-id"), Some("my-id.7"), "{request}");
        let reply = server.send(request, &[("x-request-id", "not sane")], "").await;
        assert!(
            reply.header("x-request-id").is_some_and(|id| id != "not sane" && id.len() == 21),
            "{request}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_a_problem_too() {
    let server = TestServer::start().await;
    let large = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n", "a: b\r\n".repeat(500));
    for (bytes, status, code) in [
        ("NONSENSE\r\n\r\n", 400, "INVALID_REQUEST"),
        ("GET / HTTP/9.9\r\n\r\n", 400, "INVALID_REQUEST"),
        ("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: x\r\n\r\n", 400, "INVALID_REQUEST"),
        (large.as_str(), 431, "HEADERS_TOO_LARGE"),
        (many.as_str(), 431, "HEADERS_TOO_LARGE"),
        ("CONNECT elsewhere:80 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 404, "NOT_FOUND"),
        ("GET elsewhere:80 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 404, "NOT_FOUND"),
        ("OPTIONS * HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 404, "NOT_FOUND"),
    ] {
        Reply::parse(&server.exchange(bytes.as_bytes()).await).is_problem(status, code);
    }
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_and_slow_bodies_are_given_up() {
    let server = TestServer::with(&[("header_timeout_ms", "200"), ("body_timeout_ms", "200")]).await;
    for start in ["", "GET /v1/flights HTT", "GET /v1/flights HTTP/1.1\r\nhost: t\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        Reply::parse(&read_to_end(&mut stream).await).is_problem(408, "REQUEST_TIMEOUT");
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let start = "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"customer_id\"";
    stream.write_all(start.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_of_headers_does_not_keep_a_connection() {
    let server = TestServer::with(&[("header_timeout_ms", "300")]).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        for byte in b"GET /v1/flights HTTP/1.1\r\nx: ".iter().copied().chain(std::iter::repeat(b'x')) {
            every.tick().await;
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), read.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the server kept listening");
    trickle.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_requests_pipelined_too() {
    let server = TestServer::start().await;
    let one = "GET /livez HTTP/1.1\r\nhost: t\r\n\r\n";
    let last = "GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let answer = server.exchange(format!("{}{last}", one.repeat(9)).as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 10, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_connection_beyond_the_limit_the_one_ends_that_has_idled_for_longest() {
    let server = TestServer::with(&[("max_connections", "2")]).await;
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
        // So small an answer comes at once.
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
    };
    let mut first = TcpStream::connect(server.address).await.unwrap();
    ask(&mut first).await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    ask(&mut second).await;
    ask(&mut first).await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    ask(&mut third).await;
    ended(second).await;
    ask(&mut first).await;
    ask(&mut third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_holds_so_many_connections_and_loses_its_own_first() {
    let server = TestServer::with(&[("max_connections_per_address", "2")]).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"G").await.unwrap();
    let _other = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/livez").await.status, 200);
    ended(idle).await;
}

/// Waits until the server has ended a connection, politely or not, without a word.
async fn ended(mut stream: TcpStream) {
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 16])).await;
    assert!(matches!(read.expect("it is kept all the same"), Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_whose_connections_are_all_at_work_is_told_so() {
    let (server, journal) = TestServer::with_faults(&[("max_connections_per_address", "2")]).await;
    journal.hold();
    let body = r#"{"customer_id":"u","quantity":1}"#;
    let grab = format!(
        "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut grabs = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(grab.as_bytes()).await.unwrap();
        grabs.push(stream);
    }
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while server.running.system.flights.engine.status().in_flight < 2 {
        assert!(std::time::Instant::now() < until, "the grabs do not get under way");
        tokio::task::yield_now().await;
    }
    let refused = server.get("/v1/flights/DEMO1").await;
    refused.is_problem(503, "OVERLOADED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    journal.release();
    for mut stream in grabs {
        assert_eq!(
            Reply::parse(&read_to_end(&mut stream).await).status,
            201,
            "who is at work is not cut off"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_changes_nothing() {
    let server = TestServer::start().await;
    let body = r#"{"customer_id":"u","quantity":1}"#;
    let request = format!(
        "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\nidempotency-key: gone\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    // Whether the first one was read before the hang-up or not: there is one order in the end.
    let key = [("idempotency-key", "gone")];
    let reply = server.send("POST /v1/flights/DEMO1/orders", &key, body).await;
    assert!(matches!(reply.status, 200 | 201), "{reply:?}");
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 179);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_idle_connections_and_the_next_start_carries_on() {
    let server = TestServer::alone(&[]).await;
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":3}"#).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let TestServer { running, data_dir, .. } = server;
    assert!(running.stop(Duration::from_secs(9)).await, "the stop left something behind");
    read_to_end(&mut idle).await;
    let running = farerush::start::serve::start(settings(&data_dir, &[])).await.unwrap();
    let server = TestServer::of(running, data_dir);
    let id = order["order_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/orders/{id}")).await.json(), order);
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 177);
}

/// Requests of every kind of framing, one after the other on one connection; the last one ends it.
const CONVERSATION: &[&str] = &[
    "GET /livez HTTP/1.1\r\nhost: t\r\n\r\n",
    "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\nidempotency-key: a\r\ncontent-type: application/json\r\ncontent-length: 32\r\n\r\n{\"customer_id\":\"u\",\"quantity\":1}",
    "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\nidempotency-key: a\r\ncontent-type: application/json\r\ncontent-length: 32\r\n\r\n{\"customer_id\":\"u\",\"quantity\":1}",
    "POST /v1/flights/NOPE/orders HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}",
    "DELETE /v1/flights/DEMO1 HTTP/1.1\r\nhost: t\r\n\r\n",
    "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: t\r\nidempotency-key: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"customer_id\":\"\r\n10\r\nu\",\"quantity\":1}\r\n0\r\n\r\n",
    "GET /nope HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn however_the_bytes_are_cut_the_answers_are_the_same() {
    let server = TestServer::start().await;
    let seed = match std::env::var("FARERUSH_TEST_SEED") {
        Ok(text) => text.parse().expect("FARERUSH_TEST_SEED must be a whole number"),
        Err(_) => fastrand::u64(..),
    };
    println!("FARERUSH_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let bytes = CONVERSATION.concat().into_bytes();
    for round in 0..60 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut read, mut write) = stream.split();
        let mut rest = &bytes[..];
        let answers = tokio::join!(
            async {
                let mut answer = Vec::new();
                read.read_to_end(&mut answer).await.unwrap();
                String::from_utf8_lossy(&answer).into_owned()
            },
            async {
                while !rest.is_empty() {
                    // Sometimes a whole request, sometimes a few bytes, sometimes several requests at once.
                    let most = if random.bool() { 40 } else { 600 };
                    let count = random.usize(1..=most).min(rest.len());
                    write.write_all(&rest[..count]).await.unwrap();
                    rest = &rest[count..];
                    tokio::task::yield_now().await;
                }
            }
        )
        .0;
        let statuses: Vec<&str> =
            answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
        let first = if round == 0 { "201" } else { "200" };
        assert_eq!(statuses, ["200", first, "200", "404", "405", "200", "404"], "seed {seed}: {answers}");
        assert_eq!(answers.matches("x-request-id: ").count(), CONVERSATION.len(), "{answers}");
    }
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["available"], 179);
}
