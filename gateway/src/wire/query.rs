//! Query parameters and pages: every parameter by name, unknown ones refused, cursors that only this file can read.
//! Never looks anything up.

use std::fmt;

use farerush_engine::flight::Timestamp;

use crate::base::time;
use crate::wire::fields::Errors;
use crate::wire::problem::Problem;

/// Entries of a page, if nobody says how many.
pub const PAGE_DEFAULT: usize = 50;
/// Most entries of a page.
pub const PAGE_MAX: usize = 200;
/// Longest cursor, in characters.
pub const CURSOR_CHARS_MAX: usize = 512;

/// The parameters of a query, taken one by one.
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Errors,
}

impl Query {
    /// Splits and decodes a raw query (`a=1&b=x%20y`).
    pub fn parse(raw: &str) -> Self {
        let decode = |text: &str| percent_decoded(&text.replace('+', " "));
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self { pairs: pairs.collect(), errors: Errors::default() }
    }

    /// Takes a parameter that `check` understands; a mistake is noted, and there is none then.
    pub fn take<T, E: fmt::Display>(
        &mut self,
        name: &str,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let place = self.pairs.iter().position(|(its, _)| its == name)?;
        let (_, value) = self.pairs.swap_remove(place);
        if self.pairs.iter().any(|(its, _)| its == name) {
            self.pairs.retain(|(its, _)| its != name);
            self.errors.add(name, "must not be given twice");
        }
        check(&value).map_err(|error| self.errors.add(name, error.to_string())).ok()
    }

    /// Takes a moment.
    pub fn moment(&mut self, name: &str) -> Option<Timestamp> {
        self.take(name, |text| {
            time::parse(text).map_err(|message| match text.contains(' ') {
                true => format!("{message}; within an address, + is written %2B"),
                false => message,
            })
        })
    }

    /// Notes that a parameter is missing.
    pub fn missing(&mut self, name: &str) {
        if self.errors.is_empty() {
            self.errors.add(name, "must be given");
        }
    }

    /// Takes `limit`.
    pub fn limit(&mut self) -> usize {
        let check = |text: &str| match text.parse() {
            Ok(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
            _ => Err(format!("must be a whole number from 1 to {PAGE_MAX}")),
        };
        self.take("limit", check).unwrap_or(PAGE_DEFAULT)
    }

    /// Takes `cursor`, as `read` understands what [`cursor`] was made from.
    pub fn cursor<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let check = |text: &str| {
            from_hex(text).as_deref().and_then(read).ok_or("must be the next_cursor of an earlier page")
        };
        self.take("cursor", check)
    }

    /// Names every mistake and every parameter that nobody took.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in &self.pairs {
            self.errors.add(name.chars().take(64).collect::<String>(), "is not known here");
        }
        self.errors.check()
    }
}

/// Largest number in a cursor: what the store can count to.
const CURSOR_NUMBER_MAX: u64 = i64::MAX as u64;

/// A number of a cursor, written as this program writes it, and no larger than any can be.
pub fn cursor_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number <= CURSOR_NUMBER_MAX && number.to_string() == text).then_some(number)
}

/// A moment of a cursor, in milliseconds, likewise.
pub fn cursor_millis(text: &str) -> Option<i64> {
    let millis: i64 = text.parse().ok()?;
    (millis.to_string() == text).then_some(millis)
}

/// A place in a list, opaque to others.
pub fn cursor(place: &str) -> String {
    place.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > CURSOR_CHARS_MAX || !text.len().is_multiple_of(2) {
        return None;
    }
    // As it was written: in lower case.
    let digit = |byte: u8| (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

/// A text with its `%41`s decoded; what is no escape, or not UTF-8 then, stands as it was.
pub fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let escape = bytes.get(place + 1..place + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match escape.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[place] == b'%' => {
                decoded.push(byte);
                place += 3;
            }
            _ => {
                decoded.push(bytes[place]);
                place += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded() {
        let mut query = Query::parse("a=x%20y+z&b=%E6%9E%97&c&d=100%");
        let take = |query: &mut Query, name: &str| query.take(name, |text| Ok::<_, String>(text.to_owned()));
        assert_eq!(take(&mut query, "a").unwrap(), "x y z");
        assert_eq!(take(&mut query, "b").unwrap(), "林");
        assert_eq!(take(&mut query, "c").unwrap(), "");
        assert_eq!(take(&mut query, "d").unwrap(), "100%");
        assert!(query.finish().is_ok());
    }

    #[test]
    fn unknown_and_repeated_parameters_are_named() {
        let mut query = Query::parse("limit=1&limit=2&colour=red");
        query.limit();
        let text = String::from_utf8(query.finish().unwrap_err().render()).unwrap();
        assert!(text.contains(r#""field":"limit""#) && text.contains(r#""field":"colour""#), "{text}");
    }

    #[test]
    fn a_cursor_s_number_is_one_that_this_program_may_have_written() {
        for good in ["0", "7", "9223372036854775807"] {
            assert_eq!(cursor_number(good).unwrap().to_string(), good);
        }
        for bad in ["", "-1", "+1", "01", "1 ", "9223372036854775808", "18446744073709551615", "1e3", "٣"] {
            assert_eq!(cursor_number(bad), None, "{bad}");
        }
        assert_eq!((cursor_millis("-5"), cursor_millis("+5"), cursor_millis("05")), (Some(-5), None, None));
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_does_not() {
        let place = cursor("17:FR101-20261224");
        let mut query = Query::parse(&format!("cursor={place}"));
        assert_eq!(query.cursor(|text| Some(text.to_owned())).unwrap(), "17:FR101-20261224");
        for bad in ["zz", "abc", "", "ff", "é€"] {
            let mut query = Query::parse(&format!("cursor={bad}"));
            assert_eq!(query.cursor(|text| Some(text.to_owned())), None, "{bad}");
            assert!(query.finish().is_err(), "{bad}");
        }
    }
}
