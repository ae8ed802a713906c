//! Writes JSON into a buffer, byte by byte: what the hot route answers must not cost a tree of values.
//! Never reads JSON; see `fields` for that.

use crate::base::time::{self, CHARS as TIME_CHARS};
use farerush_engine::flight::Timestamp;

/// A JSON text in the making. The caller sees to it that brackets match and that keys stand in objects; commas come
/// by themselves.
#[derive(Debug, Default)]
pub struct Json {
    bytes: Vec<u8>,
}

impl From<Json> for Vec<u8> {
    fn from(json: Json) -> Self {
        json.bytes
    }
}

impl Json {
    /// An empty text with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// The text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Begins an object.
    pub fn open(&mut self) -> &mut Self {
        self.comma();
        self.bytes.push(b'{');
        self
    }

    /// Ends an object.
    pub fn close(&mut self) -> &mut Self {
        self.bytes.push(b'}');
        self
    }

    /// Begins an array.
    pub fn open_list(&mut self) -> &mut Self {
        self.comma();
        self.bytes.push(b'[');
        self
    }

    /// Ends an array.
    pub fn close_list(&mut self) -> &mut Self {
        self.bytes.push(b']');
        self
    }

    /// A member's key; it must need no escapes.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.comma();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        self
    }

    /// A string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.comma();
        self.bytes.push(b'"');
        self.escaped(text);
        self.bytes.push(b'"');
        self
    }

    /// A string from what displays itself without anything that needs escapes.
    pub fn plain(&mut self, shown: impl std::fmt::Display) -> &mut Self {
        use std::io::Write;
        self.comma();
        self.bytes.push(b'"');
        // Writing into a Vec does not fail.
        let _ = write!(self.bytes, "{shown}");
        self.bytes.push(b'"');
        self
    }

    /// A whole number.
    pub fn number(&mut self, number: impl Into<i128>) -> &mut Self {
        self.comma();
        let number: i128 = number.into();
        if number < 0 {
            self.bytes.push(b'-');
        }
        let mut digits = [0_u8; 39];
        let mut start = digits.len();
        let mut rest = number.unsigned_abs();
        // Almost all numbers fit 64 bits, where a division is much cheaper.
        while rest > u128::from(u64::MAX) {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let mut rest = u64::try_from(rest).unwrap_or(u64::MAX);
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&digits[start..]);
        self
    }

    /// JSON as it is; the caller sees to it that it is one value.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.comma();
        self.bytes.extend_from_slice(json);
        self
    }

    /// A moment, RFC 3339 in UTC.
    pub fn time(&mut self, at: Timestamp) -> &mut Self {
        self.comma();
        let mut text = [0_u8; TIME_CHARS];
        time::write(at, &mut text);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(&text);
        self.bytes.push(b'"');
        self
    }

    /// A moment, or `null`.
    pub fn time_or_null(&mut self, at: Option<Timestamp>) -> &mut Self {
        match at {
            Some(at) => self.time(at),
            None => self.null(),
        }
    }

    /// A string, or `null`.
    pub fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, yes: bool) -> &mut Self {
        self.comma();
        self.bytes.extend_from_slice(if yes { b"true" } else { b"false" });
        self
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.comma();
        self.bytes.extend_from_slice(b"null");
        self
    }

    /// A comma, if what comes next is not the first thing in its place.
    fn comma(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b'{' | b'[' | b':')) {
            self.bytes.push(b',');
        }
    }

    fn escaped(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            self.bytes.extend_from_slice(&rest[..at]);
            match rest[at] {
                b'"' => self.bytes.extend_from_slice(b"\\\""),
                b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                b'\n' => self.bytes.extend_from_slice(b"\\n"),
                b'\r' => self.bytes.extend_from_slice(b"\\r"),
                b'\t' => self.bytes.extend_from_slice(b"\\t"),
                control => self.bytes.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            }
            rest = &rest[at + 1..];
        }
        self.bytes.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_where_they_must() {
        let mut json = Json::default();
        json.open().key("a").number(1).key("b").open_list().number(-2).text("x").null().close_list();
        json.key("c").open().close().key("d").open_list().open().key("e").boolean(true).close();
        json.open().close().close_list().key("f").text_or_null(None).close();
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert_eq!(text, r#"{"a":1,"b":[-2,"x",null],"c":{},"d":[{"e":true},{}],"f":null}"#);
    }

    #[test]
    fn a_string_that_ends_in_a_bracket_is_followed_by_a_comma() {
        let mut json = Json::default();
        json.open_list().text("{").text("[").text(":").close_list();
        assert_eq!(json.into_bytes(), br#"["{","[",":"]"#);
    }

    #[test]
    fn every_string_reads_back_as_it_was() {
        for text in ["", "plain", "\"quoted\\\"", "\u{0}\u{1f}\n\r\t\u{7f}", "林小姐 ✈", "a\u{2028}b"] {
            let mut json = Json::default();
            json.text(text);
            let back: String = serde_json::from_slice(&json.into_bytes()).unwrap();
            assert_eq!(back, text);
        }
    }

    #[test]
    fn numbers_of_any_size_are_whole() {
        for number in [0, 9, 10, -1, i128::from(u64::MAX), i128::from(i64::MIN), i128::MAX, i128::MIN] {
            let mut json = Json::default();
            json.number(number);
            assert_eq!(String::from_utf8(json.into_bytes()).unwrap(), number.to_string());
        }
    }
}
