//! One HTTP/1.1 connection, driven by the task that asks: write a request, read its answer, with nothing in between.
//! Never decides what an answer means and never sends anything twice.
//!
//! A general client would hand each request to a task of its own and build a map of headers for each answer; here the
//! tool shares its machine with what it measures, so it does neither.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most headers of an answer.
const HEADERS_MAX: usize = 64;
/// Largest answer, in bytes; a seat map of 10,000 seats has half a megabyte.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A buffer that grew beyond this for one answer is let go again.
const BUFFER_BYTES_KEPT: usize = 1 << 20;
/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nothing was sent: nobody took the connection.
    NotConnected(io::Error),
    /// The request may have been taken in.
    Lost(io::Error),
}

/// What matters of an answer; its body lies in the connection's buffer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether `Idempotency-Replayed: true` came with it.
    pub replayed: bool,
    body: Range<usize>,
}

/// A connection that is made when it is needed.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    decoded: Vec<u8>,
    patience: Duration,
}

impl Connection {
    /// A connection to `address` that waits up to `patience` for each answer.
    pub fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, stream: None, buffer: Vec::new(), decoded: Vec::new(), patience }
    }

    /// Connects, unless it is connected.
    pub async fn connect(&mut self) -> Result<(), NoAnswer> {
        if self.stream.is_some() {
            return Ok(());
        }
        let connecting = timeout(CONNECT_PATIENCE, TcpStream::connect(self.address)).await;
        let stream = connecting
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(NoAnswer::NotConnected)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Sends a whole request and reads its answer. After `Lost` the next call makes a new connection.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, NoAnswer> {
        self.connect().await?;
        let patience = self.patience;
        let answered = timeout(patience, self.send_and_read(request)).await;
        match answered.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.stream = None;
                Err(NoAnswer::Lost(error))
            }
        }
    }

    /// The body of the answer that came last.
    pub fn body(&self, answer: &Answer) -> &[u8] {
        let from = if self.decoded.is_empty() { &self.buffer } else { &self.decoded };
        &from[answer.body.clone()]
    }

    async fn send_and_read(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.buffer.clear();
        self.decoded.clear();
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer.shrink_to(4096);
        }
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        let head = loop {
            read_more(stream, &mut self.buffer).await?;
            match Head::parse(&self.buffer)? {
                // Nothing that was asked for: the answer is still to come.
                Some(head) if head.status < 200 => {
                    self.buffer.drain(..head.bytes);
                }
                Some(head) => break head,
                None => {}
            }
        };
        let mut closes = head.closes;
        let body = match head.length {
            Length::Known(length) => {
                let end = head.bytes + length;
                self.buffer.reserve(end.saturating_sub(self.buffer.len()));
                while self.buffer.len() < end {
                    read_more(stream, &mut self.buffer).await?;
                }
                head.bytes..end
            }
            Length::Chunked => {
                loop {
                    match unchunk(&self.buffer[head.bytes..], &mut self.decoded)? {
                        true => break,
                        false => read_more(stream, &mut self.buffer).await?,
                    }
                }
                0..self.decoded.len()
            }
            Length::UntilClosed => {
                closes = true;
                while stream.read_buf(&mut self.buffer).await? > 0 {
                    must_fit(&self.buffer)?;
                }
                head.bytes..self.buffer.len()
            }
        };
        if closes {
            self.stream = None;
        }
        Ok(Answer { status: head.status, replayed: head.replayed, body })
    }
}

fn must_fit(buffer: &[u8]) -> io::Result<()> {
    if buffer.len() > ANSWER_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "the answer is too large"));
    }
    Ok(())
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    must_fit(buffer)?;
    buffer.reserve(2048);
    match stream.read_buf(buffer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    UntilClosed,
}

#[derive(Debug)]
struct Head {
    status: u16,
    bytes: usize,
    length: Length,
    replayed: bool,
    closes: bool,
}

impl Head {
    /// `None` if the head is not whole yet.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let odd = |what: String| io::Error::new(ErrorKind::InvalidData, what);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let bytes = match response.parse(bytes).map_err(|error| odd(format!("this is no HTTP: {error}")))? {
            httparse::Status::Complete(bytes) => bytes,
            httparse::Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or(0);
        let mut head = Self {
            status,
            bytes,
            length: if status < 200 || status == 204 || status == 304 {
                Length::Known(0)
            } else {
                Length::UntilClosed
            },
            replayed: false,
            closes: response.version == Some(0),
        };
        for header in response.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
                let length = length.ok_or_else(|| odd("content-length is no number".into()))?;
                if head.length != Length::Chunked {
                    head.length = Length::Known(length);
                }
            } else if is("transfer-encoding") {
                head.length = Length::Chunked;
            } else if is("connection") {
                head.closes |= header.value.eq_ignore_ascii_case(b"close");
            } else if is("idempotency-replayed") {
                head.replayed = header.value.eq_ignore_ascii_case(b"true");
            }
        }
        Ok(Some(head))
    }
}

/// Puts the chunks of `bytes` together; whether the last one was there. Starts over each time it is asked, which only
/// costs where bodies are chunked.
fn unchunk(mut bytes: &[u8], decoded: &mut Vec<u8>) -> io::Result<bool> {
    decoded.clear();
    loop {
        let parsed = httparse::parse_chunk_size(bytes)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "this is no chunked body"))?;
        let httparse::Status::Complete((start, length)) = parsed else { return Ok(false) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let rest = &bytes[start..];
        if length == 0 {
            // Trailers end with an empty line, too.
            return Ok(rest.starts_with(b"\r\n") || rest.windows(4).any(|end| end == b"\r\n\r\n"));
        }
        if rest.len() < length.saturating_add(2) {
            return Ok(false);
        }
        decoded.extend_from_slice(&rest[..length]);
        bytes = &rest[length + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let head =
            Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nIdempotency-Replayed: true\r\n\r\nhello");
        let head = head.unwrap().unwrap();
        assert_eq!((head.status, &head.length, head.replayed), (200, &Length::Known(5), true));
        assert!(!head.closes);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap().is_none());
        assert!(Head::parse(b"SSH-2.0-x\r\n\r\n").is_err());
        let closing = Head::parse(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").unwrap().unwrap();
        assert!(closing.closes && closing.length == Length::UntilClosed);
        let none = Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!(none.length, Length::Known(0));
    }

    #[test]
    fn chunks_are_put_together_once_all_are_there() {
        let whole = b"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n";
        let mut decoded = Vec::new();
        for end in 0..whole.len() {
            assert!(!unchunk(&whole[..end], &mut decoded).unwrap(), "{end}");
        }
        assert!(unchunk(whole, &mut decoded).unwrap());
        assert_eq!(decoded, b"Wikipedia");
        assert!(unchunk(b"zz\r\n", &mut decoded).is_err());
    }
}
