//! One request with a large body over a connection of its own, and its answer.
//! Never sends anything twice.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clients::load::address::Address;

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing may move; the server checks and creates a whole file before it answers.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes sent at a time, so that a bar has something to show.
const PIECE_BYTES: usize = 64 << 10;
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Most headers of an answer.
const HEADERS_MAX: usize = 64;

/// A server, and the right to ask it.
pub(super) struct Exchange {
    address: SocketAddr,
    shown: String,
    authority: String,
    base: String,
    token: String,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Exchange {
    pub(super) fn new(address: &Address, token: String) -> Result<Self, String> {
        let found = address.resolve().map_err(|error| format!("cannot find {address}: {error}"))?;
        Ok(Self {
            address: found,
            shown: address.to_string(),
            authority: address.authority().to_owned(),
            base: address.base().to_owned(),
            token,
        })
    }

    /// Posts a file; `sent` hears how many of its bytes have gone.
    pub(super) fn post(
        &self,
        path: &str,
        media_type: &str,
        body: &[u8],
        mut sent: impl FnMut(usize),
    ) -> Result<Reply, String> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT_PATIENCE).map_err(|error| {
            format!(
                "nobody answers at {} ({error}); start a server there, or name another address",
                self.shown
            )
        })?;
        let lost = |error: io::Error| {
            format!(
                "the connection to {} was lost ({error}): the flights may have been created; the same file with \
                 --skip-existing creates those that are not there",
                self.shown
            )
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
        let head = format!(
            "POST {}{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: {media_type}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            self.base,
            self.authority,
            self.token,
            body.len()
        );
        let mut sending = stream.write_all(head.as_bytes());
        let mut gone = 0;
        for piece in body.chunks(PIECE_BYTES) {
            sending = sending.and_then(|()| stream.write_all(piece));
            if sending.is_err() {
                break; // it may have answered already why it does not want more
            }
            gone += piece.len();
            sent(gone);
        }
        let mut answer = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        match parse(&answer) {
            Some(reply) => Ok(reply),
            None => Err(lost(
                sending
                    .and(read.map(drop))
                    .err()
                    .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it gave no HTTP answer")),
            )),
        }
    }
}

/// A whole answer; `None` if these bytes are none.
fn parse(bytes: &[u8]) -> Option<Reply> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).ok()? else { return None };
    let status = response.code?;
    if status == 100 {
        return parse(&bytes[head..]);
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = &bytes[head..];
    let body = match length.map(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok())
    {
        Some(length) => body.get(..length?)?,
        None => body,
    };
    Some(Reply { status, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_when_it_is_whole() {
        let whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(whole), Some(Reply { status: 201, body: b"{}".to_vec() }));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
    }
}
