//! How requests and answers are written on the link: heads as HTTP/1.1 has them, bodies as they are.
//! Never judges what is asked.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode};

use crate::ask::{Asked, Reply};

/// Most headers of a head.
const HEADERS_MAX: usize = 256;

const ASK: u8 = 1;
const FOLLOW: u8 = 2;
const ANSWER: u8 = 3;
const NOT_MINE: u8 = 4;
const PIECE: u8 = 5;

/// What comes over the link.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A request that is answered by one reply of the same number.
    Ask(u64, Box<Asked>),
    /// A request whose answer comes in pieces, on this connection alone.
    Follow(Box<Asked>),
    /// What came of it.
    Reply(u64, Reply),
    /// A piece of an answer.
    Piece(Bytes),
}

/// A frame but for its body.
pub(crate) fn ask(id: u64, asked: &Asked, is_followed: bool) -> Vec<u8> {
    let request = &asked.request;
    let mut head = Vec::with_capacity(256);
    head.push(if is_followed { FOLLOW } else { ASK });
    head.extend_from_slice(&id.to_be_bytes());
    head.extend_from_slice(&u32::try_from(asked.left.as_millis()).unwrap_or(u32::MAX).to_be_bytes());
    match asked.peer {
        None => head.push(0),
        Some(IpAddr::V4(address)) => {
            head.push(4);
            head.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            head.push(16);
            head.extend_from_slice(&address.octets());
        }
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    http_head(&mut head, &[request.method().as_str(), " ", target, " HTTP/1.1\r\n"], request.headers());
    head
}

pub(crate) fn reply(id: u64, reply: &Reply) -> (Vec<u8>, &Bytes) {
    let (kind, answer) = match reply {
        Reply::Answer(answer) => (ANSWER, answer),
        Reply::NotMine(answer) => (NOT_MINE, answer),
    };
    let mut head = Vec::with_capacity(256);
    head.push(kind);
    head.extend_from_slice(&id.to_be_bytes());
    http_head(&mut head, &["HTTP/1.1 ", answer.status().as_str(), " \r\n"], answer.headers());
    (head, answer.body())
}

pub(crate) const fn piece() -> [u8; 1] {
    [PIECE]
}

fn http_head(head: &mut Vec<u8>, first: &[&str], headers: &HeaderMap) {
    first.iter().for_each(|part| head.extend_from_slice(part.as_bytes()));
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
}

/// Understands a frame.
pub(crate) fn read(mut frame: Bytes) -> Result<Frame> {
    let kind = number(frame.try_get_u8())?;
    if kind == PIECE {
        return Ok(Frame::Piece(frame));
    }
    let id = number(frame.try_get_u64())?;
    match kind {
        ASK => Ok(Frame::Ask(id, Box::new(read_ask(frame)?))),
        FOLLOW => Ok(Frame::Follow(Box::new(read_ask(frame)?))),
        ANSWER => Ok(Frame::Reply(id, Reply::Answer(read_answer(&frame)?))),
        NOT_MINE => Ok(Frame::Reply(id, Reply::NotMine(read_answer(&frame)?))),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

fn read_ask(mut frame: Bytes) -> Result<Asked> {
    let left = Duration::from_millis(number(frame.try_get_u32())?.into());
    let peer = match number(frame.try_get_u8())? {
        0 => None,
        4 => Some(Ipv4Addr::from(number(frame.try_get_u32())?).into()),
        16 => Some(Ipv6Addr::from(number(frame.try_get_u128())?).into()),
        _ => return Err(ErrorKind::InvalidData.into()),
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(&frame).map_err(invalid)? else {
        return Err(ErrorKind::InvalidData.into());
    };
    let mut request = Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .body(frame.slice(length..))
        .map_err(invalid)?;
    *request.headers_mut() = header_map(parsed.headers)?;
    Ok(Asked { request, peer, left })
}

fn read_answer(frame: &Bytes) -> Result<Response<Bytes>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(frame).map_err(invalid)? else {
        return Err(ErrorKind::InvalidData.into());
    };
    let mut response = Response::new(frame.slice(length..));
    *response.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(invalid)?;
    *response.headers_mut() = header_map(parsed.headers)?;
    Ok(response)
}

fn header_map(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(invalid)?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(invalid)?);
    }
    Ok(headers)
}

fn number<T>(read: std::result::Result<T, bytes::TryGetError>) -> Result<T> {
    read.map_err(|_| ErrorKind::UnexpectedEof.into())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_on_the_other_side() {
        let request = Request::builder()
            .method("PATCH")
            .uri("/v1/orders/FR1-x?a=%20b")
            .header("idempotency-key", "key")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .body(Bytes::from_static(b"{\"a\":1}\r\n\r\n"))
            .unwrap();
        for peer in [None, Some("1.2.3.4".parse().unwrap()), Some("fe80::1".parse().unwrap())] {
            let asked = Asked { request: request.clone(), peer, left: Duration::from_millis(750) };
            let mut bytes = ask(7, &asked, false);
            bytes.extend_from_slice(asked.request.body());
            let Frame::Ask(7, read) = read(bytes.into()).unwrap() else { panic!("it is an ask") };
            assert_eq!((read.peer, read.left), (peer, asked.left));
            assert_eq!((read.request.method(), read.request.uri()), (request.method(), request.uri()));
            assert_eq!((read.request.headers(), read.request.body()), (request.headers(), request.body()));
        }
    }

    #[test]
    fn an_answer_is_the_same_on_the_other_side() {
        let answer =
            Response::builder().status(409).header("retry-after", "1").body(Bytes::from_static(b"no"));
        let answer = answer.unwrap();
        let said = Reply::NotMine(answer.clone());
        let (mut bytes, body) = reply(9, &said);
        bytes.extend_from_slice(body);
        let Frame::Reply(9, Reply::NotMine(read)) = read(bytes.into()).unwrap() else {
            panic!("it is a reply")
        };
        assert_eq!(
            (read.status(), read.headers(), read.body()),
            (answer.status(), answer.headers(), answer.body())
        );
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_an_error_and_never_a_panic() {
        let request =
            Request::builder().uri("/x").header("a", "b").body(Bytes::from_static(b"body")).unwrap();
        let asked = Asked { request, peer: Some("1.2.3.4".parse().unwrap()), left: Duration::ZERO };
        let whole = ask(1, &asked, true);
        for length in 0..whole.len() {
            assert!(read(Bytes::copy_from_slice(&whole[..length])).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            drop(read(changed.into()));
        }
    }
}
