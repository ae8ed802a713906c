//! What a web page of somebody else's, a name of somebody else's and another spelling of an address can do: nothing; and
//! what browsers and caches are told. Never asks with a browser: requests are written as browsers write them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Reply, TOKEN, TestServer};

/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(30);

const GRAB: &str = "POST /v1/flights/DEMO1/orders";
const BODY: &str = r#"{"customer_id":"u","quantity":1}"#;

/// How a request is brought to the server: as whole bytes with nothing behind them, which the short way takes, or so that
/// hyper has to read it.
const WAYS: [&str; 2] = ["", "te: trailers\r\n"];

/// Sends a request as it is written (its first line, its headers, its body) and reads one answer.
async fn raw(server: &TestServer, line: &str, headers: &str, body: &str, way: &str) -> Reply {
    let length = body.len();
    one_answer(
        server.address,
        &format!("{line} HTTP/1.1\r\n{headers}{way}content-length: {length}\r\n\r\n{body}"),
    )
    .await
}

/// Sends bytes as they are and reads one answer, after which the connection may stay open.
async fn one_answer(address: SocketAddr, text: &str) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let reply = Reply::parse(&bytes);
                let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
                if text.starts_with("HEAD") || bytes.len() >= head + 4 + length {
                    return reply;
                }
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "no whole answer to {text:?}");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server did not answer")
}

async fn free_seats(server: &TestServer) -> serde_json::Value {
    server.get("/v1/flights/DEMO1").await.json()["available"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_any_page_could_send_is_not_read() {
    let server = TestServer::start().await;
    let before = free_seats(&server).await;
    for way in WAYS {
        for kind in [
            "",
            "content-type: text/plain\r\n",
            "content-type: text/plain; application/json\r\n",
            "content-type: application/x-www-form-urlencoded\r\n",
            "content-type: multipart/form-data; boundary=x\r\n",
            "content-type: \u{e9}\r\n",
            "content-type: \r\n",
        ] {
            let reply = raw(&server, GRAB, &format!("host: localhost\r\n{kind}"), BODY, way).await;
            reply.is_problem(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    let chunked = format!(
        "{GRAB} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n20\r\n{BODY}\r\n0\r\n\r\n"
    );
    Reply::parse(&server.exchange(chunked.as_bytes()).await).is_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    for (method, path) in [
        ("POST", "/v1/flights/DEMO1/waitlist"),
        ("PATCH", "/v1/orders/DEMO1-300000000"),
        ("POST", "/v1/orders/DEMO1-300000000/cancel"),
        ("POST", "/v1/orders/DEMO1-300000000/confirm"),
        ("POST", "/v1/admin/flights"),
        ("POST", "/v1/admin/flights/import"),
        ("POST", "/v1/admin/flights/DEMO1/close"),
        ("POST", "/v1/admin/flights/DEMO1/rehearsals"),
    ] {
        let headers = format!("host: localhost\r\nauthorization: Bearer {TOKEN}\r\n");
        let reply = raw(&server, &format!("{method} {path}"), &headers, "{}", "").await;
        reply.is_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    assert_eq!(free_seats(&server).await, before);
    for way in WAYS {
        let json = "host: localhost\r\ncontent-type: application/json\r\n";
        assert_eq!(raw(&server, GRAB, json, BODY, way).await.status, 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_this_server_s_leads_nowhere() {
    let server = TestServer::with(&[("hosts", "shop.example")]).await;
    let before = free_seats(&server).await;
    let json = "content-type: application/json\r\n";
    for way in WAYS {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "192.0.2.1", "127.0.0.2"]
        {
            let headers = format!("host: {host}\r\n{json}");
            let problem = raw(&server, GRAB, &headers, BODY, way).await.is_problem(421, "HOST_NOT_ALLOWED");
            let detail = problem["detail"].as_str().unwrap();
            let name = host.trim_end_matches(":8080");
            assert!(detail.contains(name) && detail.contains("setting hosts"), "{detail}");
            for path in
                ["/", "/v1/flights", "/v1/orders?customer_id=u", "/metrics", "/readyz", "/docs", "/nowhere"]
            {
                let reply = raw(&server, &format!("GET {path}"), &headers, "", way).await;
                reply.is_problem(421, "HOST_NOT_ALLOWED");
            }
        }
        for headers in [
            "",
            "host: localhost\r\nhost: localhost\r\n",
            "host: \r\n",
            "host: a b\r\n",
            "host: u@localhost\r\n",
        ] {
            let reply = raw(&server, GRAB, &format!("{headers}{json}"), BODY, way).await;
            reply.is_problem(400, "INVALID_REQUEST");
        }
        let line = format!("POST http://evil.example{}", &GRAB[5..]);
        let reply = raw(&server, &line, &format!("host: localhost\r\n{json}"), BODY, way).await;
        reply.is_problem(421, "HOST_NOT_ALLOWED");
    }
    assert_eq!(free_seats(&server).await, before);
    for way in WAYS {
        let own = server.address.to_string();
        for host in
            ["localhost", "LOCALHOST:80", "[::1]:8080", "127.0.0.1", "shop.example:8443", own.as_str()]
        {
            let reply = raw(&server, GRAB, &format!("host: {host}\r\n{json}"), BODY, way).await;
            assert!(matches!(reply.status, 201 | 409), "{host}: {reply:?}");
        }
    }
    let old = server.exchange(b"GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(Reply::parse(&old).status, 200, "HTTP/1.0 has no Host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_somebody_else_s_changes_nothing() {
    let server = TestServer::with(&[("cors_origins", "https://friend.example")]).await;
    let closed = TestServer::start().await;
    let order = server.grab("DEMO1", BODY).await;
    let order = order["order_id"].as_str().unwrap();
    let before = free_seats(&server).await;
    let foreign = [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://localhost:1\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
        "origin: https://evil.example\r\nsec-fetch-site: same-origin\r\n",
        "origin: https://evil.example\r\norigin: https://friend.example\r\n",
    ];
    for server in [&server, &closed] {
        let host = format!("host: {}\r\nauthorization: Bearer {TOKEN}\r\n", server.address);
        for from in foreign {
            let headers = format!("{host}content-type: application/json\r\n{from}");
            for way in WAYS {
                let reply = raw(server, GRAB, &headers, BODY, way).await;
                reply.is_problem(403, "ORIGIN_NOT_ALLOWED");
                assert_eq!(reply.header("access-control-allow-origin"), None, "{reply:?}");
                // Without a body, and with an admin's token.
                for line in [
                    &format!("POST /v1/orders/{order}/cancel"),
                    &format!("DELETE /v1/orders/{order}"),
                    "POST /v1/admin/flights/DEMO1/close",
                ] {
                    raw(server, line, &headers, "", way).await.is_problem(403, "ORIGIN_NOT_ALLOWED");
                }
                assert_eq!(raw(server, "GET /v1/flights", &headers, "", way).await.status, 200);
            }
        }
        let own = format!("origin: http://{}\r\nsec-fetch-site: same-origin\r\n", server.address);
        for from in ["", own.as_str(), "sec-fetch-site: none\r\n"] {
            let headers = format!("{host}content-type: application/json\r\n{from}");
            assert_eq!(raw(server, "POST /v1/admin/flights/DEMO2/pause", &headers, "", "").await.status, 200);
        }
    }
    assert_eq!(free_seats(&server).await, before);
    let friend = "host: localhost\r\ncontent-type: application/json\r\norigin: https://friend.example\r\nsec-fetch-site: cross-site\r\n";
    let body = r#"{"customer_id":"friend","quantity":1}"#;
    assert_eq!(raw(&server, GRAB, friend, body, "").await.status, 201);
    raw(&closed, GRAB, friend, body, "").await.is_problem(403, "ORIGIN_NOT_ALLOWED");
}

/// Every address, with `DEMO1` for what varies.
fn addresses() -> impl Iterator<Item = String> {
    farerush::base::addresses::ADDRESSES.iter().map(|(pattern, _)| pattern.replace("{}", "DEMO1"))
}

/// Other spellings of a path.
fn misspelled(path: &str) -> Vec<String> {
    let last = path.len() - 1;
    let encoded = |case: fn(u8) -> String| {
        let (head, tail) = path.split_at(last);
        format!("{head}%{}", case(tail.as_bytes()[0]))
    };
    let mut all = vec![
        format!("/{path}"),
        format!("{path}//"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/%2e{path}"),
        format!("/x/%2E%2E{path}"),
    ];
    if path.len() > 1 {
        all.push(format!("{path}/"));
        all.push(format!("{path}/."));
        all.push(encoded(|byte| format!("{byte:02X}")));
        all.push(encoded(|byte| format!("{byte:02x}")));
    }
    if path.matches('/').count() > 1 {
        let second = path[1..].find('/').unwrap() + 1;
        all.push(format!("{}/{}", &path[..second], &path[second..]));
        all.push(format!("{}%2F{}", &path[..second], &path[second + 1..]));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_address_has_one_spelling() {
    let server = TestServer::start().await;
    let pages = ["/flights/DEMO1", "/orders", "/admin", "/docs", "/docs/errors", "/docs/errors/DEMO1"];
    for path in addresses() {
        for other in misspelled(&path) {
            for method in ["GET", "POST"] {
                let request = format!("{method} {other}");
                let reply = server.send(&request, &[("authorization", &format!("Bearer {TOKEN}"))], "").await;
                let is_page = other.strip_suffix('/').is_some_and(|page| pages.contains(&page));
                if is_page && method == "GET" {
                    assert_eq!(
                        (reply.status, reply.header("location")),
                        (308, Some(path.as_str())),
                        "{request}"
                    );
                } else {
                    reply.is_problem(404, "NOT_FOUND");
                }
            }
        }
    }
    let reply = server.get("/orders/?customer=u&x=//evil.example").await;
    assert_eq!(reply.header("location"), Some("/orders?customer=u&x=//evil.example"));
    server.get("//evil.example/").await.is_problem(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_port_has_one_spelling_of_each_address_too() {
    let server = TestServer::with(&[("ops_listen", "127.0.0.1:0")]).await;
    let address = server.running.ops.as_ref().unwrap().address();
    let ask = async |request: String| one_answer(address, &request).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: gateway1.internal\r\nconnection: close\r\n\r\n")
        };
        assert_eq!(ask(get(path)).await.status, 200, "{path}");
        for other in misspelled(path) {
            ask(get(&other)).await.is_problem(404, "NOT_FOUND");
        }
    }
    ask("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned())
        .await
        .is_problem(400, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_socket_itself_answers_can_be_read_by_listed_pages() {
    let limits = [("header_timeout_ms", "200"), ("body_timeout_ms", "200")];
    let large = format!("x: {}\r\n", "x".repeat(100_000));
    let cases = [
        ("GET / HTTP/1.1\r\nhost: localhost\r\n{o}", 408),
        (
            "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: localhost\r\n{o}content-type: application/json\r\ncontent-length: 50\r\n\r\n{",
            408,
        ),
        (
            "POST /v1/flights/DEMO1/orders HTTP/1.1\r\nhost: localhost\r\n{o}content-type: application/json\r\ncontent-length: 99999999\r\n\r\n{",
            413,
        ),
        ("GET / HTTP/1.1\r\nhost: localhost\r\n{o}{large}\r\n", 431),
        ("POST / HTTP/1.1\r\nhost: localhost\r\n{o}content-length: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n{o}\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: evil.example\r\n{o}\r\n", 421),
        ("GET //x HTTP/1.1\r\nhost: localhost\r\n{o}connection: close\r\n\r\n", 404),
    ];
    for (origins, origin, allowed) in [
        ("https://shop.example", "https://shop.example", Some("https://shop.example")),
        ("https://shop.example", "https://evil.example", None),
        ("*", "https://evil.example", Some("*")),
    ] {
        let server = TestServer::with(&[("cors_origins", origins), limits[0], limits[1]]).await;
        for (text, status) in cases {
            let text = text.replace("{o}", &format!("Origin: {origin}\r\n")).replace("{large}", &large);
            let reply = one_answer(server.address, &text).await;
            // What would change something is not even waited for.
            let status = if allowed.is_none() && text.starts_with("POST /v1/") { 403 } else { status };
            assert_eq!(reply.status, status, "{text:.200} {reply:?}");
            assert_eq!(reply.header("access-control-allow-origin"), allowed, "{status} {reply:?}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{status}");
            assert_eq!(reply.header("vary"), (origins != "*").then_some("origin"), "{status}");
            if allowed.is_some() {
                let exposed = reply.header("access-control-expose-headers").unwrap();
                for name in ["link", "retry-after", "farerush-seq"] {
                    assert!(exposed.contains(name), "{exposed}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_modified_has_no_length() {
    let server = TestServer::start().await;
    for path in ["/", "/orders", "/assets/base.css"] {
        let tag = server.get(path).await.header("etag").unwrap().to_owned();
        for way in WAYS {
            for method in ["GET", "HEAD"] {
                let headers = format!("host: localhost\r\nif-none-match: {tag}\r\n");
                let request = format!("{method} {path} HTTP/1.1\r\n{headers}{way}\r\n");
                let reply = one_answer(server.address, &request).await;
                assert_eq!((reply.status, reply.text.as_str()), (304, ""), "{method} {path} {reply:?}");
                assert_eq!(reply.header("content-length"), None, "{method} {path} {reply:?}");
                assert_eq!(reply.header("etag"), Some(tag.as_str()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_guesses_types_and_nobody_keeps_what_is_somebody_s() {
    let server = TestServer::start().await;
    let order = server.grab("DEMO1", BODY).await;
    let order = format!("/v1/orders/{}", order["order_id"].as_str().unwrap());
    let admin = format!("authorization: Bearer {TOKEN}\r\n");
    let json = "content-type: application/json\r\n";
    for way in WAYS {
        for (line, body, is_somebodys) in [
            (GRAB, BODY, true),
            (GRAB, "{}", true),
            (GRAB, "{", true),
            ("POST /v1/flights/NOPE/orders", BODY, true),
            ("POST /v1/flights/DEMO1/waitlist", "{}", true),
            (&format!("GET {order}"), "", true),
            (&format!("PATCH {order}"), "{}", true),
            (&format!("POST {order}/cancel"), "", true),
            ("GET /v1/orders?customer_id=u", "", true),
            ("GET /v1/orders/DEMO1-300000000", "", true),
            ("GET /v1/waitlist/DEMO1-300000000", "", true),
            ("PUT /v1/orders", "", true),
            ("GET /v1/admin/status", "", true),
            ("GET /v1/admin/orders", "", true),
            ("GET /v1/admin/flights/DEMO1/manifest?format=csv", "", true),
            ("GET /v1/admin/flights/DEMO1/audit", "", true),
            ("GET /v1/flights", "", false),
            ("GET /v1/flights/DEMO1", "", false),
            ("GET /v1/flights/DEMO1/seats", "", false),
            ("GET /v1/flights/NOPE", "", false),
            ("GET /nowhere", "", false),
            ("GET /openapi.json", "", false),
            ("GET /livez", "", false),
            ("GET /readyz", "", false),
            ("GET /metrics", "", false),
            ("GET /", "", false),
            ("GET /docs", "", false),
        ] {
            let reply = raw(&server, line, &format!("host: localhost\r\n{admin}{json}"), body, way).await;
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{line} {body} {reply:?}");
            assert_eq!(reply.head.matches("x-content-type-options").count(), 1, "{line}");
            if is_somebodys {
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{line} {body} {reply:?}");
                assert_eq!(reply.head.matches("cache-control").count(), 1, "{line}");
            }
        }
    }
    let unknown = raw(&server, "GET /v1/admin/orders", "host: localhost\r\n", "", "").await;
    assert_eq!((unknown.status, unknown.header("cache-control")), (401, Some("no-store")));
}
