//! What one address makes a flight keep where nobody shows who they are: customers can be invented, addresses hardly.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Reply, TestServer};
use crate::tokens::{JWT, customer};

const MOST: usize = 6;

/// A grab of somebody nobody has heard of, on a connection that goes on: the short way.
async fn grab(stream: &mut TcpStream, flight: &str, number: usize, more: &str) -> u16 {
    let body = format!(r#"{{"customer_id":"invented-{number}","quantity":1}}"#);
    let request = format!(
        "POST /v1/flights/{flight}/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 << 10];
    let count = stream.read(&mut answer).await.unwrap();
    Reply::parse(&answer[..count]).status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_invents_customers_comes_to_the_end_of_its_share_and_of_this_flight_s_alone() {
    let server = TestServer::with(&[("things_per_address", "6")]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for number in 0..MOST {
        assert_eq!(grab(&mut stream, "DEMO1", number, "").await, 201);
    }
    assert_eq!(grab(&mut stream, "DEMO1", 99, "").await, 429, "on the short way");
    let refused = server.post("/v1/flights/DEMO1/orders", r#"{"customer_id":"another","quantity":1}"#).await;
    let said = refused.is_problem(429, "QUOTA_EXCEEDED");
    assert!(said["detail"].as_str().unwrap().contains("this address"), "{said}");
    assert!(refused.header("retry-after").is_some());
    let join = server.post("/v1/flights/DEMO1/waitlist", r#"{"customer_id":"w","party_size":1}"#).await;
    join.is_problem(429, "QUOTA_EXCEEDED");
    assert_eq!(grab(&mut stream, "DEMO2", 99, "").await, 201, "another flight's share is another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_count_and_what_is_repeated_or_has_none_does_not() {
    let server = TestServer::with(&[("things_per_address", "6")]).await;
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":1}"#).await;
    let id = order["order_id"].as_str().unwrap();
    let change = async |name: &str, key: Option<&str>| {
        let body = format!(r#"{{"passengers":[{{"name":"{name}"}}]}}"#);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        server.send(&format!("PATCH /v1/orders/{id}"), &headers, &body).await.status
    };
    for number in 1..MOST {
        let key = format!("key-{number}");
        for _ in 0..3 {
            assert_eq!(change(&format!("Name {number}"), Some(&key)).await, 200, "{number}");
        }
    }
    assert_eq!(change("One Too Many", Some("another-key")).await, 429);
    assert_eq!(change("Without A Key", None).await, 200);
    let cancelled = server.post(&format!("/v1/orders/{id}/cancel"), "").await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_has_its_own_share() {
    let server = TestServer::with(&[("things_per_address", "6"), ("trusted_proxies", "127.0.0.0/8")]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for client in 1..4 {
        let header = format!("x-forwarded-for: 203.0.113.{client}\r\n");
        for number in 0..MOST {
            assert_eq!(grab(&mut stream, "DEMO1", client * 100 + number, &header).await, 201);
        }
        assert_eq!(grab(&mut stream, "DEMO1", 999, &header).await, 429, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_who_show_who_they_are_pay_for_themselves() {
    let settings = [JWT, &[("things_per_address", "1")]].concat();
    let server = TestServer::with(&settings).await;
    for name in ["a", "b", "c"] {
        let authorization = format!("Bearer {}", customer(name, 3600));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let reply = server.send("POST /v1/flights/DEMO1/orders", &headers, r#"{"quantity":1}"#).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
}
