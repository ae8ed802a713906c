//! The nginx that is shipped (`docker/nginx.conf`) in front of a real server: what it lets through, what it adds.
//! Never changes its settings, but for addresses.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Reply, TOKEN, TestServer};

const PATIENCE: Duration = Duration::from_secs(30);
const BODY: &str = r#"{"customer_id":"u","quantity":1}"#;

/// nginx in front of one gateway; gone with this.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(gateway: SocketAddr) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let conf = include_str!("../../../docker/nginx.conf")
            .replace("gateway1:8080", &gateway.to_string())
            .replace("gateway2:8080", &gateway.to_string())
            .replace("listen 8080", &format!("listen {address}"));
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
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await.unwrap();
        Reply::parse(&crate::client::read_to_end(&mut stream).await)
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
    for (pattern, methods) in farerush::routes::ADDRESSES {
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
