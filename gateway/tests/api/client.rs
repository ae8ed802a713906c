//! A server to test, and a client of a few lines. Never interprets what it gets beyond HTTP's framing.

#[path = "../../../persistence/tests/servers/mod.rs"]
mod servers;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use farerush::start::config::{Settings, Values};
use farerush::start::serve::{self, Running};
use farerush_engine::journal::Journal;
use farerush_persistence::journal::FaultyJournal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use servers::{RedisServer, SqlServer};

/// The token of every test server.
pub(crate) const TOKEN: &str = "a-token-for-tests-only";
/// What tests call their servers, besides localhost.
const HOSTS: &str = "t, test";
/// Longer than anything should take; only there so that a hanging server fails instead of hanging the tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a list that is behind is asked for again.
const BEHIND_MAX: u32 = 20;

/// A running server and its data.
pub(crate) struct TestServer {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) data_dir: tempfile::TempDir,
    beside: Beside,
}

/// Other servers of the same system, where there are to be some.
#[derive(Default)]
struct Beside {
    running: Vec<(Running, tempfile::TempDir)>,
    next: AtomicUsize,
    /// Kept for as long as they run.
    _behind: Option<(RedisServer, SqlServer)>,
}

/// Settings of a test server, with some of them changed.
pub(crate) fn settings(data_dir: &tempfile::TempDir, changes: &[(&'static str, &str)]) -> Settings {
    let mut values = Values::default();
    values.set("listen", "127.0.0.1:0");
    values.set("data_dir", data_dir.path().to_str().unwrap());
    values.set("admin_token", TOKEN);
    values.set("hosts", HOSTS);
    for (name, value) in changes {
        values.set(name, *value);
    }
    Settings::from_values(&values).unwrap()
}

impl TestServer {
    /// Starts one with the demo flights.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// One that was started by itself.
    pub(crate) fn of(running: Running, data_dir: tempfile::TempDir) -> Self {
        Self { address: running.address, running, data_dir, beside: Beside::default() }
    }

    /// Starts one that has no others beside it in any case, with settings of its own: for tests that look into the process,
    /// stop it, or are about a bound that each server has for itself.
    pub(crate) async fn alone(changes: &[(&'static str, &str)]) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let running = serve::start(settings(&data_dir, changes)).await.unwrap();
        Self::of(running, data_dir)
    }

    /// Starts one with settings of its own.
    pub(crate) async fn with(changes: &[(&'static str, &str)]) -> Self {
        let servers = std::env::var("FARERUSH_TEST_SERVERS").map_or(1, |count| count.parse().unwrap());
        if servers > 1 && changes.iter().all(|(name, _)| !["journal", "store"].contains(name)) {
            return Self::several(changes, servers).await;
        }
        Self::alone(changes).await
    }

    /// So many, each of which is asked in turn.
    async fn several(changes: &[(&'static str, &str)], servers: usize) -> Self {
        let behind = (RedisServer::start(&[]), SqlServer::start(&[]));
        let (redis, store) = (behind.0.url(), behind.1.url());
        let secret = "3f0a51cc94d2b7e6183f0a51cc94d2b7e6183f0a51cc94d2b7e6183f0a51cc94";
        // As by themselves on one server: the demo, and payments by anybody where nobody shows who they are.
        let is_demo = !changes.contains(&("demo", "false"));
        let test_payment = is_demo && !changes.contains(&("customer_auth", "jwt"));
        let shared = [
            ("demo", if is_demo { "true" } else { "false" }),
            ("test_payment", if test_payment { "true" } else { "false" }),
            ("lease_ms", "2000"),
            ("id_secret", secret),
            ("journal", &redis),
            ("store", &store),
        ];
        let all: Vec<(&'static str, &str)> = shared.into_iter().chain(changes.iter().copied()).collect();
        let mut running = Vec::new();
        for _ in 0..servers {
            let data_dir = tempfile::tempdir().unwrap();
            running.push((serve::start(settings(&data_dir, &all)).await.unwrap(), data_dir));
        }
        let (first, data_dir) = running.remove(0);
        let beside = Beside { running, next: AtomicUsize::new(0), _behind: Some(behind) };
        let this = Self { address: first.address, running: first, data_dir, beside };
        let know_all = async {
            while this
                .running
                .system
                .upkeep
                .other_servers
                .lease()
                .is_some_and(|lease| lease.count() < servers)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, know_all).await.expect("they know of each other");
        this
    }

    /// Whoever is to be asked next.
    fn turn(&self) -> SocketAddr {
        let next = self.beside.next.fetch_add(1, Ordering::Relaxed) % (self.beside.running.len() + 1);
        next.checked_sub(1).map_or(self.address, |place| self.beside.running[place].0.address)
    }

    /// Starts one on a data directory that something was put into before.
    pub(crate) async fn prepared(changes: &[(&'static str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        prepare(data_dir.path());
        let running = serve::start(settings(&data_dir, changes)).await.unwrap();
        Self::of(running, data_dir)
    }

    /// Starts one whose journal can be told to fail.
    pub(crate) async fn with_faults(changes: &[(&'static str, &str)]) -> (Self, Arc<FaultyJournal>) {
        let data_dir = tempfile::tempdir().unwrap();
        let mut faults = None;
        let in_front = |journal| {
            let journal = Arc::new(FaultyJournal::new(journal));
            faults = Some(journal.clone());
            journal as Arc<dyn Journal>
        };
        let running = serve::start_with(settings(&data_dir, changes), in_front).await.unwrap();
        (Self::of(running, data_dir), faults.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.send(&format!("POST {path}"), &[("content-type", "application/json")], body).await
    }

    /// Grabs on a flight; the answer must be an order.
    pub(crate) async fn grab(&self, flight: &str, body: &str) -> Value {
        let reply = self.post(&format!("/v1/flights/{flight}/orders"), body).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        reply.json()
    }

    /// With the admin's token.
    pub(crate) async fn admin(&self, request: &str, body: &str) -> Reply {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.send(request, &headers, body).await
    }

    /// Sends `METHOD path` with these headers and this body, on a connection of its own.
    pub(crate) async fn send(&self, request: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.send_bytes(request, headers, body.as_bytes()).await
    }

    pub(crate) async fn send_bytes(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut text = format!("{request} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n").into_bytes();
        for (name, value) in headers {
            text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() && headers.iter().all(|(name, _)| *name != "content-type") {
            text.extend_from_slice(b"content-type: application/json\r\n");
        }
        if !body.is_empty() || request.starts_with("POST") {
            text.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(body);
        let mut reply = Reply::parse(&self.exchange(&text).await);
        // A list says when the store is behind, as it may be on a busy machine: asked again, it waits again.
        for _ in 0..BEHIND_MAX {
            if !request.starts_with("GET") || !reply.text.contains(r#""up_to_date":false"#) {
                break;
            }
            reply = Reply::parse(&self.exchange(&text).await);
        }
        reply
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.turn()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }
}

/// Reads until the other side closes.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("the server did not answer and close").unwrap();
    answer
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), text: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (its, value) = line.split_once(':')?;
            its.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a whole problem with that status and code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body["type"], format!("/docs/errors/{code}"), "{self:?}");
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        body
    }
}
