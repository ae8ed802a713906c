//! Remembers which page asks on a connection, for what is answered before hyper has made a request of what came.
//! Never reads anything else of it.

use std::sync::Arc;

use warp::http::{HeaderMap, HeaderValue};

use crate::wire::cors::Origins;

/// Longest line that is looked at, in bytes; an origin is shorter.
const LINE_BYTES_MAX: usize = 300;
const NAME: &[u8] = b"origin:";

/// The newest `Origin` line among the bytes that came. One that stands in a body counts as well: that tells a page that is
/// let in anyway no more than that its request was no request.
#[derive(Debug)]
pub(super) struct PageSeen {
    origins: Arc<Origins>,
    line: Vec<u8>,
    is_too_long: bool,
    allowed: Option<HeaderValue>,
}

impl PageSeen {
    /// Begins with what has come already.
    pub(super) fn new(origins: Arc<Origins>, come: &[u8]) -> Self {
        let mut seen = Self { origins, line: Vec::new(), is_too_long: false, allowed: None };
        seen.look_at(come);
        seen
    }

    /// Looks at what has come since.
    pub(super) fn look_at(&mut self, come: &[u8]) {
        for piece in come.split_inclusive(|byte| *byte == b'\n') {
            self.is_too_long |= self.line.len() + piece.len() > LINE_BYTES_MAX;
            if !self.is_too_long {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let is_origin = self.line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
        if is_origin && !self.is_too_long {
            let value = HeaderValue::from_bytes(self.line[NAME.len()..].trim_ascii()).ok();
            self.allowed = value.and_then(|origin| self.origins.allow(&origin));
        }
        self.line.clear();
        self.is_too_long = false;
    }

    /// Says in an answer who may read it.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        self.origins.mark(self.allowed.clone(), headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_origin_counts_in_whatever_pieces_it_comes() {
        let origins = Arc::new(Origins::parse("https://shop.example").unwrap().unwrap());
        for (text, is_allowed) in [
            ("GET / HTTP/1.1\r\nOrigin: https://shop.example\r\nx: y", true),
            ("GET / HTTP/1.1\r\nORIGIN:https://shop.example \nx", true),
            ("GET / HTTP/1.1\r\nOrigin: https://evil.example\r\n", false),
            ("GET / HTTP/1.1\r\nx-origin: https://shop.example\r\n", false),
            ("GET / HTTP/1.1\r\nOrigin: https://shop.exam", false),
            ("a\norigin: https://shop.example\r\n\r\nb\norigin: https://evil.example\n", false),
        ] {
            for size in [1, 2, 7, 1000] {
                let mut seen = PageSeen::new(origins.clone(), b"");
                text.as_bytes().chunks(size).for_each(|piece| seen.look_at(piece));
                assert_eq!(seen.allowed.is_some(), is_allowed, "{text:?} in pieces of {size}");
            }
        }
        let long = format!("x: {}\norigin: https://shop.example\n", "y".repeat(10_000));
        assert!(PageSeen::new(origins, long.as_bytes()).allowed.is_some());
    }
}
