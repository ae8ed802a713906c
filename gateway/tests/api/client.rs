//! A server to test, and a client of a few lines. Never interprets what it gets beyond HTTP's framing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farerush::start::config::{Settings, Values};
use farerush::start::serve::{self, Running};
use farerush_engine::journal::Journal;
use farerush_persistence::journal::FaultyJournal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

    /// Starts one with settings of its own.
    pub(crate) async fn with(changes: &[(&'static str, &str)]) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let running = serve::start(settings(&data_dir, changes)).await.unwrap();
        Self { address: running.address, running, data_dir }
    }

    /// Starts one on a data directory that something was put into before.
    pub(crate) async fn prepared(changes: &[(&'static str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        prepare(data_dir.path());
        let running = serve::start(settings(&data_dir, changes)).await.unwrap();
        Self { address: running.address, running, data_dir }
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
        (Self { address: running.address, running, data_dir }, faults.unwrap())
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
        let mut stream = TcpStream::connect(self.address).await.unwrap();
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
