//! A small HTTP/1.1 client that keeps its connection, and tells apart what was done, refused, not done and unknown.
//! Never retries: what an answer means is for the caller to say.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::TOKEN;

/// How long a client waits for an answer; longer than any gateway here lets a request wait.
const PATIENCE: Duration = Duration::from_secs(8);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    method: &'a str,
    path: &'a str,
    key: Option<&'a str>,
    body: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: "GET", path, key: None, body: None }
    }

    pub(crate) fn post(path: &'a str, body: &'a str) -> Self {
        Self { method: "POST", path, key: None, body: Some(body) }
    }

    pub(crate) fn delete(path: &'a str) -> Self {
        Self { method: "DELETE", path, key: None, body: None }
    }

    pub(crate) fn patch(path: &'a str, body: &'a str) -> Self {
        Self { method: "PATCH", path, key: None, body: Some(body) }
    }

    /// The same under an `Idempotency-Key`.
    pub(crate) fn under(self, key: Option<&'a str>) -> Self {
        Self { key, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: farerush.test\r\n", self.method, self.path);
        if let Some(key) = self.key {
            text.push_str(&format!("idempotency-key: {key}\r\n"));
        }
        if self.path.starts_with("/v1/admin") {
            text.push_str(&format!("authorization: Bearer {TOKEN}\r\n"));
        }
        if let Some(body) = self.body {
            text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(self.body.unwrap_or_default());
        text.into_bytes()
    }
}

/// A response with a JSON body.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Whether `Idempotency-Replayed: true` came with it.
    pub(crate) replayed: bool,
    retry_after: bool,
    pub(crate) body: Value,
}

/// What a request came to.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It was done (2xx).
    Done(Response),
    /// It was refused (4xx), with this code.
    Refused(String),
    /// Nothing was done: OVERLOADED, ELSEWHERE, or nobody listens.
    NotDone(String),
    /// It may have been done: OUTCOME_UNKNOWN.
    Unknown,
    /// It may have been done: the connection broke, or no answer came in time.
    Lost(String),
}

/// One client with one connection, made when needed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: Vec::new() }
    }

    /// Sends a request and says what it came to. An answer that no contract allows is a panic.
    pub(crate) async fn call(&mut self, request: &Request<'_>) -> Outcome {
        if self.stream.is_none() {
            match TcpStream::connect(self.address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).expect("TCP_NODELAY is set");
                    self.stream = Some(stream);
                }
                Err(error) => return Outcome::NotDone(format!("connecting failed: {error}")),
            }
        }
        match timeout(PATIENCE, self.exchange(request)).await {
            Ok(Ok(response)) => judge(request, response),
            Ok(Err(error)) => {
                self.stream = None;
                Outcome::Lost(error.to_string())
            }
            Err(_) => {
                self.stream = None;
                Outcome::Lost(format!("no answer within {PATIENCE:?}"))
            }
        }
    }

    async fn exchange(&mut self, request: &Request<'_>) -> io::Result<Response> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        stream.write_all(&request.bytes()).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            read_more(stream, &mut self.buffer).await?;
        };
        let head = Head::parse(&self.buffer[..head_end]);
        while self.buffer.len() < head_end + head.length {
            read_more(stream, &mut self.buffer).await?;
        }
        let body = &self.buffer[head_end..head_end + head.length];
        let body = serde_json::from_slice(body).unwrap_or_else(|error| {
            panic!("{request:?} was answered {} with what is no JSON ({error}): {body:?}", head.status)
        });
        if head.closes {
            self.stream = None;
        }
        Ok(Response { status: head.status, replayed: head.replayed, retry_after: head.retry_after, body })
    }
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    if buffer.len() > ANSWER_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "the answer is too large"));
    }
    match stream.read_buf(buffer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// What matters of a response's head.
struct Head {
    status: u16,
    length: usize,
    replayed: bool,
    retry_after: bool,
    closes: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let status =
            lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("this is no HTTP: {text}"));
        let mut head =
            Self { status, length: usize::MAX, replayed: false, retry_after: false, closes: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().expect("content-length is a number"),
                "idempotency-replayed" => head.replayed = value == "true",
                "retry-after" => head.retry_after = true,
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        assert_ne!(head.length, usize::MAX, "a response without content-length: {text}");
        head
    }
}

fn judge(request: &Request<'_>, response: Response) -> Outcome {
    let code = response.body["code"].as_str().unwrap_or_default();
    match (response.status, code) {
        (200..=299, _) => Outcome::Done(response),
        (503, "OVERLOADED" | "ELSEWHERE") if response.retry_after => {
            Outcome::NotDone(response.body["detail"].to_string())
        }
        (503, "OUTCOME_UNKNOWN") if response.retry_after => Outcome::Unknown,
        // `/readyz` has no code.
        (503, "") if !request.path.starts_with("/v1/") => Outcome::NotDone(response.body.to_string()),
        (400..=499, code) if !code.is_empty() => Outcome::Refused(code.to_owned()),
        (status, _) => panic!("{request:?} was answered {status}: {}", response.body),
    }
}
