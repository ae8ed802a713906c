//! The nginx that is shipped (`docker/nginx.conf`) in front of a real server: what it lets through, what it adds.
//! Never changes its settings, but for addresses and, where a limit is to be met, that limit.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Reply, TOKEN, TestServer};

const PATIENCE: Duration = Duration::from_secs(30);
const BODY: &str = r#"{"customer_id":"u","quantity":1}"#;

/// nginx in front of gateways; gone with this.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(gateway: SocketAddr) -> Self {
        Self::start_with(&[gateway], &[])
    }

    /// The same with these gateways for the three, and with these words replaced.
    fn start_with(gateways: &[SocketAddr], changes: &[(&str, &str)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let servers: String =
            gateways.iter().map(|gateway| format!("server {gateway} max_fails=0;\n")).collect();
        let mut changes = changes.to_vec();
        let listen = format!("listen {address}");
        changes.extend([
            ("server gateway1:8080 resolve max_fails=0;", servers.as_str()),
            ("server gateway2:8080 resolve max_fails=0;", ""),
            ("server gateway3:8080 resolve max_fails=0;", ""),
            ("listen 8080", &listen),
        ]);
        let conf =
            changes.iter().fold(include_str!("../../../docker/nginx.conf").to_owned(), |conf, change| {
                assert!(conf.contains(change.0), "{} stands there", change.0);
                conf.replace(change.0, change.1)
            });
        std::fs::write(folder.path().join("nginx.conf"), conf).unwrap();
        let place: &Path = folder.path();
        // If the thread that runs the test ends, whatever the reason, the kernel ends nginx.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "nginx", "-p"]).arg(place);
        command.arg("-c").arg(place.join("nginx.conf")).arg("-e").arg(place.join("error.log"));
        command.args(["-g", &format!("daemon off; pid {}/nginx.pid;", place.display())]);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        let child = command.spawn().expect("nginx (Debian package nginx-light) starts");
        let nginx = Self { child, address, _folder: folder };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        nginx
    }

    /// Sends `METHOD target`, the target as it is written, and reads until nginx closes.
    async fn send(&self, request: &str, headers: &str, body: &str) -> Reply {
        let (host, length) = (self.address, body.len());
        let text = format!(
            "{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        self.send_raw(&text).await
    }

    async fn send_raw(&self, text: &str) -> Reply {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await.unwrap();
        // A request that nginx does not read to its end may end with a reset behind the answer.
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("nginx answers and closes");
        Reply::parse(&answer)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it if it is asked; killed, it would leave them behind.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_nginx_lets_through_what_it_names_and_nothing_else() {
    let server = TestServer::start().await;
    let nginx = Nginx::start(server.address);
    let admin = format!("authorization: Bearer {TOKEN}\r\n");
    for (pattern, methods) in farerush::base::addresses::ADDRESSES {
        let path = pattern.replace("{}", "DEMO1");
        let is_inside = ["/v1/admin", "/admin", "/metrics", "/livez", "/readyz"]
            .iter()
            .any(|inside| path == *inside || path.starts_with(&format!("{inside}/")));
        if !methods.contains("GET") || path.ends_with("/live") {
            continue;
        }
        let reply = nginx.send(&format!("GET {path}"), &admin, "").await;
        // What comes from a gateway has its request's id.
        assert_eq!(reply.header("x-request-id").is_none(), is_inside, "{path}: {reply:?}");
        if is_inside {
            assert_eq!((reply.status, reply.json()["code"].as_str()), (404, Some("NOT_FOUND")), "{path}");
        }
    }
    for path in ["/metrics", "/readyz", "/livez", "/admin", "/v1/admin/status", "/v1/admin/orders"] {
        let name = &path[1..];
        let (first, rest) = name.split_at(1);
        let letter = first.as_bytes()[0];
        for other in [
            format!("{path}/"),
            format!("{path}//"),
            format!("/{path}"),
            format!("/.{path}"),
            format!("{path}/."),
            format!("{path}/.."),
            format!("{path}?x=/v1/time"),
            format!("{path}#/v1/time"),
            format!("{path};x"),
            format!("{path}%00"),
            format!("{path}%0a"),
            format!("{path}%3fx"),
            format!("{path}%23"),
            format!("/%{letter:02x}{rest}"),
            format!("/%{letter:02X}{rest}"),
            format!("/%2f{name}"),
            format!("/%2e/{name}"),
            format!("/v1/flights/..{path}"),
            format!("/v1/flights/../..{path}"),
            format!("/v1/flights/%2e%2e/%2e%2e{path}"),
            format!("/v1/flights/..%2f..{path}"),
            format!("/v1/flights/DEMO1/../../..{path}"),
            format!("{path}/../v1/time"),
            format!("{path}/..%2fv1/time"),
            format!("{path}/%2e%2e/v1/time"),
            format!("/docs/..{path}"),
            format!("/assets/..%2F{name}"),
            format!("/{}", name.to_uppercase()),
            format!("http://{}{path}", nginx.address),
            format!("http://{}/{path}", nginx.address),
        ] {
            let reply = nginx.send(&format!("GET {other}"), &admin, "").await;
            assert!(matches!(reply.status, 400 | 404), "GET {other}: {reply:?}");
        }
    }
    let closing = nginx.send("POST /v1/admin/flights/DEMO1/close", &admin, "").await;
    assert_eq!(closing.status, 404, "{closing:?}");
    assert_eq!(server.get("/v1/flights/DEMO1").await.json()["sale"]["state"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_nginx_gives_keys_to_grabs_alone_and_passes_on_who_is_asked() {
    let server = TestServer::start().await;
    let nginx = Nginx::start(server.address);
    let json = "content-type: application/json\r\n";
    let grabbed = nginx.send("POST /v1/flights/DEMO1/orders", json, BODY).await;
    assert_eq!(grabbed.status, 201, "{grabbed:?}");
    // It had a key: the same under that key is the same order, and another key's is another one.
    let key = [("idempotency-key", grabbed.header("x-request-id").unwrap())];
    let again = server.send("POST /v1/flights/DEMO1/orders", &key, BODY).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")), "{again:?}");
    let order = grabbed.json()["order_id"].as_str().unwrap().to_owned();
    let moved = nginx.send(&format!("PATCH /v1/orders/{order}"), json, r#"{"seats":["12A"]}"#).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let key = [("idempotency-key", moved.header("x-request-id").unwrap())];
    let again = server.send(&format!("PATCH /v1/orders/{order}"), &key, r#"{"seats":["12A"]}"#).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, None), "it had no key: {again:?}");
    // Pages of the host that nginx was asked for, and no others, with its port.
    let address = nginx.address;
    for (from, status) in [
        (format!("origin: http://{address}\r\nsec-fetch-site: same-origin\r\n"), 201),
        (format!("origin: http://{}\r\nsec-fetch-site: same-site\r\n", address.ip()), 403),
        ("origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n".to_owned(), 403),
    ] {
        let body = BODY.replace("\"u\"", &format!("\"u{status}\""));
        let reply = nginx.send("POST /v1/flights/DEMO2/orders", &format!("{json}{from}"), &body).await;
        assert_eq!(reply.status, status, "{from}: {reply:?}");
    }
}

/// A port that nobody listens on.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
fn assert_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    let (json, named) = (reply.json(), reply.header("retry-after"));
    assert_eq!((json["status"].as_u64(), json["code"].as_str()), (Some(status.into()), Some(code)));
    assert_eq!(json["type"].as_str(), Some(format!("/docs/errors/{code}").as_str()));
    assert!(json["title"].is_string() && json["detail"].is_string(), "{json}");
    let comes_again = matches!(status, 429 | 500 | 502 | 503 | 504);
    assert_eq!(named.is_some_and(|text| text.parse::<u32>().is_ok_and(|s| s > 0)), comes_again, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nginx_says_itself_is_a_problem_like_a_gateways() {
    let server = TestServer::start().await;
    let nginx = Nginx::start(server.address);
    let host = format!("host: {}\r\nconnection: close\r\n", nginx.address);
    let json = "content-type: application/json\r\n";
    for (request, status, code) in [
        (format!("GET /v1/time HTTP/1.1\r\n{host}\0: x\r\n\r\n"), 400, "INVALID_REQUEST"),
        (format!("GET /v1/time HTTP/1.1\r\n{host}host: other\r\n\r\n"), 400, "INVALID_REQUEST"),
        (format!("TRACE /v1/time HTTP/1.1\r\n{host}\r\n"), 405, "METHOD_NOT_ALLOWED"),
        (
            format!("POST /v1/flights/DEMO1/orders HTTP/1.1\r\n{host}{json}content-length: 65537\r\n\r\n"),
            413,
            "PAYLOAD_TOO_LARGE",
        ),
        (format!("GET /v1/flights?x={} HTTP/1.1\r\n{host}\r\n", "x".repeat(9_000)), 414, "URI_TOO_LONG"),
        (
            format!("GET /v1/time HTTP/1.1\r\n{host}x: {}\r\n\r\n", "x".repeat(9_000)),
            431,
            "HEADERS_TOO_LARGE",
        ),
        (format!("GET /metrics%00 HTTP/1.1\r\n{host}\r\n"), 400, "INVALID_REQUEST"),
        (format!("GET /.problem/502 HTTP/1.1\r\n{host}\r\n"), 404, "NOT_FOUND"),
        (format!("GET /metrics HTTP/1.1\r\n{host}\r\n"), 404, "NOT_FOUND"),
    ] {
        assert_problem(&nginx.send_raw(&request).await, status, code);
    }
    // What a gateway says goes through as it said it.
    let refused = nginx.send("POST /v1/flights/DEMO1/orders", json, "{}").await;
    assert_eq!((refused.status, refused.json()["errors"].is_array()), (400, true), "{refused:?}");
}

/// What nginx lacks (connections, files, memory), or takes for asked everywhere; at first, and when it has asked once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nginx_cannot_pass_on_is_a_problem_with_retry_after_and_never_a_page() {
    let server = TestServer::start().await;
    for (status, code) in
        [(500, "INTERNAL"), (502, "OUTCOME_UNKNOWN"), (503, "OUTCOME_UNKNOWN"), (504, "OUTCOME_UNKNOWN")]
    {
        let second = format!("location @again {{\n            return {status};");
        let nginx = Nginx::start_with(
            &[closed()],
            &[("location @again {\n            proxy_pass http://farerush;", second.as_str())],
        );
        assert_problem(&nginx.send("GET /v1/flights", "", "").await, status, code);

        let first = format!("location / {{\n            return {status};");
        let nginx = Nginx::start_with(&[server.address], &[("location / {", first.as_str())]);
        let said = nginx.send("GET /anything", "", "").await;
        // All but 500 are asked once more, and then it is the gateway that answers.
        if status == 500 {
            assert_problem(&said, 500, "INTERNAL");
        } else {
            assert_problem(&said, 404, "NOT_FOUND");
            assert!(said.header("x-request-id").is_some(), "by the gateway: {said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_gone_or_silent_is_said_to_be_so_as_a_problem_with_retry_after() {
    let nginx = Nginx::start_with(&[closed(), closed()], &[]);
    let json = "content-type: application/json\r\n";
    assert_problem(&nginx.send("GET /v1/flights", "", "").await, 502, "OUTCOME_UNKNOWN");
    let grabbed = nginx.send("POST /v1/flights/DEMO1/orders", json, BODY).await;
    assert_problem(&grabbed, 502, "OUTCOME_UNKNOWN");
    // The kernel takes its connections, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let changes = [
        ("proxy_read_timeout 7s", "proxy_read_timeout 1s"),
        ("proxy_read_timeout 8s", "proxy_read_timeout 1s"),
        ("limit_conn addresses 2000", "limit_conn addresses 1"),
    ];
    let nginx = Nginx::start_with(&[silent.local_addr().unwrap()], &changes);
    let grabbed = nginx.send("POST /v1/flights/DEMO1/orders", json, BODY).await;
    assert_problem(&grabbed, 504, "OUTCOME_UNKNOWN");
    // Of two at once from one address, one is too many. (The nginx before may still be at the end of the grab's connection.)
    let nginx = Nginx::start_with(&[silent.local_addr().unwrap()], &changes);
    let reads = (nginx.send("GET /v1/flights", "", ""), nginx.send("GET /v1/flights", "", ""));
    let (one, other) = tokio::join!(reads.0, reads.1);
    let (late, too_many) = if one.status == 429 { (other, one) } else { (one, other) };
    assert_problem(&late, 504, "OUTCOME_UNKNOWN");
    assert_problem(&too_many, 429, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_asks_every_gateway_that_there_is() {
    let server = TestServer::start().await;
    let nginx = Nginx::start_with(&[closed(), closed(), closed(), server.address], &[]);
    for _ in 0..12 {
        let reply = nginx.send("GET /v1/time", "", "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}
