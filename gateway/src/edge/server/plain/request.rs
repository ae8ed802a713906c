//! Reads a request whose framing leaves no doubt: HTTP/1.1, its body (if any) of a given length, all of it here and
//! nothing behind it. Never guesses: whatever is framed in another way is hyper's.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use warp::http::{HeaderName, HeaderValue, Method, Request, Uri};

use crate::edge::server::front::RequestBody;

/// Most headers of a plain request.
const HEADERS_MAX: usize = 32;

/// What a buffer holds.
pub(super) enum Read<'b, 'h> {
    /// One whole plain request and nothing else.
    Whole(Plain<'b, 'h>),
    /// What may become one.
    Part,
    /// Something else.
    Other,
}

/// A plain request.
pub(super) struct Plain<'b, 'h> {
    pub(super) method: &'b str,
    /// Path and query.
    pub(super) target: &'b str,
    pub(super) headers: &'h [Header<'b>],
    pub(super) body: &'b [u8],
    /// Headers that the hot route does not know how to honour.
    pub(super) asks_for_more: bool,
    pub(super) host: Option<&'b [u8]>,
    /// It says that it is passed on for somebody else.
    pub(super) is_forwarded: bool,
    pub(super) request_id: Option<&'b [u8]>,
    pub(super) content_type: Option<&'b [u8]>,
    pub(super) idempotency_key: Option<&'b [u8]>,
}

/// Room for the headers of one request.
pub(super) type Room<'b> = [MaybeUninit<Header<'b>>; HEADERS_MAX];

/// Such room, empty.
pub(super) const fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; HEADERS_MAX]
}

/// Looks at what has come so far.
pub(super) fn read<'b, 'h>(bytes: &'b [u8], room: &'h mut Room<'b>) -> Read<'b, 'h> {
    let mut head = httparse::Request::new(&mut []);
    let head_bytes = match head.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(count)) => count,
        Ok(Status::Partial) => return Read::Part,
        Err(_) => return Read::Other,
    };
    let (Some(method @ ("GET" | "POST" | "PATCH" | "DELETE")), Some(target), Some(1)) =
        (head.method, head.path, head.version)
    else {
        return Read::Other;
    };
    let mut plain = Plain {
        method,
        target,
        headers: head.headers,
        body: &[],
        asks_for_more: false,
        host: None,
        is_forwarded: false,
        request_id: None,
        content_type: None,
        idempotency_key: None,
    };
    let Some(body_bytes) = plain.look_at_headers() else { return Read::Other };
    match bytes.len() - head_bytes {
        come if come < body_bytes => Read::Part,
        come if come > body_bytes => Read::Other,
        _ => {
            plain.body = &bytes[head_bytes..];
            Read::Whole(plain)
        }
    }
}

impl Plain<'_, '_> {
    /// The request as everybody else knows it; `None` where hyper should have a look.
    pub(super) fn into_request(self) -> Option<Request<RequestBody>> {
        // Its answer goes on for as long as the client listens.
        if self.target.contains("/live") {
            return None;
        }
        let mut request = Request::new(RequestBody::copied(self.body));
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::try_from(self.target).ok()?;
        let headers = request.headers_mut();
        for Header { name, value } in self.headers {
            headers
                .append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
        Some(request)
    }

    /// Length of the body; `None` if the headers ask for more than a plain exchange.
    fn look_at_headers(&mut self) -> Option<usize> {
        let mut body_bytes = None;
        for Header { name, value } in self.headers {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            match name.len() {
                2 if is("te") => return None,
                4 if is("host") && self.host.replace(value).is_some() => return None,
                6 if is("expect") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                17 if is("transfer-encoding") => return None,
                10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
                14 if is("content-length") && body_bytes.replace(length(value)?).is_some() => return None,
                12 if is("content-type") && self.content_type.replace(value).is_some() => return None,
                12 if is("x-request-id") && self.request_id.replace(value).is_some() => return None,
                15 if is("idempotency-key") && self.idempotency_key.replace(value).is_some() => return None,
                6 if is("origin") => self.asks_for_more = true,
                14 if is("sec-fetch-site") => self.asks_for_more = true,
                11 if is("traceparent") => self.asks_for_more = true,
                15 if is("request-timeout") => self.asks_for_more = true,
                15 if is("x-forwarded-for") => self.is_forwarded = true,
                _ => {}
            }
        }
        Some(body_bytes.unwrap_or(0))
    }
}

/// Digits and nothing else, few enough that they fit.
fn length(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let mut room = room();
        let shown = match read(text.as_bytes(), &mut room) {
            Read::Whole(plain) => {
                format!("{} {} {}", plain.method, plain.target, String::from_utf8_lossy(plain.body))
            }
            Read::Part => "part".to_owned(),
            Read::Other => "other".to_owned(),
        };
        assert_eq!(shown.trim_end(), expect, "{text:?}");
    }

    #[test]
    fn a_whole_request_is_read() {
        check("GET /x?y=1 HTTP/1.1\r\nhost: t\r\n\r\n", "GET /x?y=1");
        check("POST /x HTTP/1.1\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\n{}", "POST /x {}");
    }

    #[test]
    fn what_has_not_come_whole_is_waited_for() {
        let whole = "POST /x HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        for end in 0..whole.len() {
            check(&whole[..end], "part");
        }
    }

    #[test]
    fn any_doubt_is_left_to_others() {
        for headers in [
            "transfer-encoding: chunked",
            "content-length: 2\r\ntransfer-encoding: chunked",
            "content-length: 2\r\ncontent-length: 2",
            "content-length: +2",
            "content-length: 2, 2",
            "content-length: 0x2",
            "content-length: -2",
            "content-length:",
            "content-length: 99999999999999999999",
            "expect: 100-continue\r\ncontent-length: 2",
            "upgrade: websocket\r\ncontent-length: 2",
            "connection: close\r\ncontent-length: 2",
            "connection: upgrade\r\ncontent-length: 2",
            "te: trailers\r\ncontent-length: 2",
            "trailer: x\r\ncontent-length: 2",
            "x-request-id: a\r\nx-request-id: b\r\ncontent-length: 2",
            "idempotency-key: a\r\nIdempotency-Key: b\r\ncontent-length: 2",
            " folded: x\r\ncontent-length: 2",
            "content-length : 2",
        ] {
            check(&format!("POST /x HTTP/1.1\r\n{headers}\r\n\r\n{{}}"), "other");
        }
        check("GET /x HTTP/1.0\r\n\r\n", "other");
        check("HEAD /x HTTP/1.1\r\n\r\n", "other");
        check("GET /x HTTP/1.1\r\n\r\nGET /y HTTP/1.1\r\n\r\n", "other");
        check("NONSENSE\r\n\r\n", "other");
    }
}
