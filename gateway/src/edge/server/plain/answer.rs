//! Writes a whole response, head and body, into one buffer that goes out in one write.
//! Never touches a socket.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use warp::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const DATE_CHARS: usize = 29;

thread_local! {
    /// The second last shown, and how it is written.
    static SHOWN: Cell<(u64, [u8; DATE_CHARS])> = const { Cell::new((0, [b' '; DATE_CHARS])) };
}

/// Begins a response: the status line, and the headers that every response has.
pub(super) fn begin(out: &mut Vec<u8>, status: StatusCode, body_bytes: usize) {
    match status.as_u16() {
        201 => out.extend_from_slice(b"HTTP/1.1 201 Created"),
        409 => out.extend_from_slice(b"HTTP/1.1 409 Conflict"),
        _ => {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        }
    }
    // These have no body, and a length of 0 would be that of what they stand for (RFC 9110, section 8.6).
    if !matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
        out.extend_from_slice(b"\r\ncontent-length: ");
        number(out, body_bytes);
    }
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(&date());
    out.extend_from_slice(b"\r\n");
}

/// One header; the value comes from a checked place and holds no line break.
pub(super) fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What browsers and caches must not do with an answer that is somebody's own.
pub(super) fn own(out: &mut Vec<u8>) {
    out.extend_from_slice(b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n");
}

/// The headers of a finished response, apart from those that say how it is framed.
pub(super) fn headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    let is_framing = |name: &HeaderName| [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, DATE].contains(name);
    for (name, value) in headers.iter().filter(|(name, _)| !is_framing(name)) {
        header(out, name.as_str(), HeaderValue::as_bytes(value));
    }
}

/// Ends the head and adds the body.
pub(super) fn end(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

#[expect(clippy::cast_possible_truncation, reason = "a digit fits")]
fn number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The time, as HTTP writes it; made anew once a second and thread.
fn date() -> [u8; DATE_CHARS] {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (shown, text) = SHOWN.get();
    if shown == second {
        return text;
    }
    let mut text = [b' '; DATE_CHARS];
    let fresh = httpdate::fmt_http_date(now);
    text[..fresh.len().min(DATE_CHARS)].copy_from_slice(&fresh.as_bytes()[..fresh.len().min(DATE_CHARS)]);
    SHOWN.set((second, text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_has_its_length_and_its_date() {
        let mut out = Vec::new();
        begin(&mut out, StatusCode::OK, 1234);
        header(&mut out, "a", b"b");
        end(&mut out, b"body");
        let text = String::from_utf8(out).unwrap();
        let date = text.lines().find_map(|line| line.strip_prefix("date: ")).unwrap().to_owned();
        assert!(httpdate::parse_http_date(&date).is_ok(), "{date}");
        assert_eq!(
            text.replace(&date, "D"),
            "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\ndate: D\r\na: b\r\n\r\nbody"
        );
    }

    #[test]
    fn lengths_of_any_size_are_written() {
        for length in [0, 9, 10, 640, usize::MAX] {
            let mut out = Vec::new();
            number(&mut out, length);
            assert_eq!(String::from_utf8(out).unwrap(), length.to_string());
        }
    }
}
