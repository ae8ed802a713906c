//! Names and numbers that identify things: checked once, at construction.
//! Never generates a random value and never reads a clock.

use std::fmt;

use compact_str::CompactString;

/// Longest flight id, in characters. An order id (flight id, number, tag) then stays within 64 up to
/// number 2^50.
pub const FLIGHT_ID_CHARS_MAX: usize = 40;
/// Longest name of an admin, in characters.
pub const ADMIN_NAME_CHARS_MAX: usize = 64;
/// Longest customer id, in characters (the store's column counts those, too).
pub const CUSTOMER_ID_CHARS_MAX: usize = 128;
/// Longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;
/// Longest payment or client reference, in characters.
pub const REFERENCE_CHARS_MAX: usize = 128;
/// Longest passenger name, in bytes of UTF-8.
pub const PASSENGER_NAME_BYTES_MAX: usize = 200;

/// The alphabet of record locators: letters and digits that are not mistaken for one another.
const LOCATOR: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Why a text cannot be the id (or name, or reference) it was offered as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than the bound.
    #[error("must be at most {max} characters long")]
    TooLong {
        /// The bound that was passed.
        max: usize,
    },
    /// Longer than the bound in UTF-8.
    #[error("must be at most {max} bytes long in UTF-8")]
    TooManyBytes {
        /// The bound that was passed.
        max: usize,
    },
    /// Holds a character that is not allowed here.
    #[error("{allowed}")]
    Character {
        /// What would have been allowed.
        allowed: &'static str,
    },
}

fn checked(
    text: &str,
    max: usize,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<CompactString, TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    // Few are as long in bytes as they may be in characters, so those are hardly ever counted.
    if text.len() > max && text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    if !text.chars().all(is_allowed) {
        return Err(TextError::Character { allowed });
    }
    Ok(CompactString::new(text))
}

const NO_CONTROL: &str = "must not hold control characters, nor start or end with a space";

fn plain_text(text: &str, max: usize) -> Result<CompactString, TextError> {
    if text.trim() != text {
        return Err(TextError::Character { allowed: NO_CONTROL });
    }
    checked(text, max, NO_CONTROL, |c| !c.is_control())
}

/// Who an admin is, for the audit: the name of a token, 1 to 64 letters, digits, `-`, `_`, `.` and `@`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdminName(CompactString);

impl AdminName {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let allowed = "may only hold letters, digits, '-', '_', '.' and '@'";
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        checked(text, ADMIN_NAME_CHARS_MAX, allowed, is_allowed).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AdminName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest name of a time zone, in characters.
pub const TIME_ZONE_CHARS_MAX: usize = 64;

/// The name of a time zone, such as `Asia/Taipei`: 1 to 64 letters, digits, `/`, `_`, `+` and `-`. Whether there is such a
/// zone, those know who compute with it: the flight never does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeZoneName(CompactString);

impl TimeZoneName {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let allowed = "may only hold letters, digits, '/', '_', '+' and '-'";
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        checked(text, TIME_ZONE_CHARS_MAX, allowed, is_allowed).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A flight on a day, such as `FR101-20261224`: 1 to 40 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlightId(CompactString);

impl FlightId {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let allowed = "may only hold letters, digits, '-' and '_'";
        checked(text, FLIGHT_ID_CHARS_MAX, allowed, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            .map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who orders: an opaque name given by the outside, up to 128 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerId(CompactString);

impl CustomerId {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        plain_text(text, CUSTOMER_ID_CHARS_MAX).map(Self)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client sends so that a repeated request gives the same order: up to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(CompactString);

impl IdempotencyKey {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let allowed = "may only hold visible ASCII characters";
        checked(text, IDEMPOTENCY_KEY_CHARS_MAX, allowed, |c| c.is_ascii_graphic()).map(Self)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A reference of somebody else's (a payment's, a client's), kept and given back as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference(CompactString);

impl Reference {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        plain_text(text, REFERENCE_CHARS_MAX).map(Self)
    }

    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who flies, as the passenger list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PassengerName(CompactString);

impl PassengerName {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, TextError> {
        // In bytes, because an order may have thousands of them and has to fit into one record.
        if text.len() > PASSENGER_NAME_BYTES_MAX {
            return Err(TextError::TooManyBytes { max: PASSENGER_NAME_BYTES_MAX });
        }
        plain_text(text, PASSENGER_NAME_BYTES_MAX).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The position of an event in its flight's history: 1, 2, 3, ... without a hole. 0 means "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The seq that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who owns a flight: counted up at every take-over, so that an old owner can be told from the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next owner.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch (negative: before it).
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `millis` milliseconds later, at most the largest there is.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// An order within its flight: the seq of the event that placed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderNo(pub u64);

/// What tells a flight from another one that is made under the same id: drawn by the shell when the flight is created and
/// kept in its first event. It goes into what ids are made of, and is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt(pub u64);

/// The six characters a traveller reads out, unique within a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordLocator([u8; 6]);

impl RecordLocator {
    /// The locator with this number, of which the 30 lower bits count.
    pub(super) fn from_number(number: u64) -> Self {
        let mut letters = [0_u8; 6];
        for (place, letter) in letters.iter_mut().rev().enumerate() {
            *letter = LOCATOR[((number >> (5 * place)) & 31) as usize];
        }
        Self(letters)
    }

    /// The locator as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??????")
    }
}

impl fmt::Display for RecordLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which order of a flight is meant, and the proof that the caller was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderRef {
    /// The order's number in its flight.
    pub no: OrderNo,
    /// The tag from the order's id; a wrong one finds no order.
    pub tag: u64,
}

/// An entry of a flight's waitlist: the seq of the event that put it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaitlistNo(pub u64);

/// Which entry of a flight is meant, and the proof that the caller was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitlistRef {
    /// The entry's number in its flight.
    pub no: WaitlistNo,
    /// The tag from the entry's id; a wrong one finds no entry.
    pub tag: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_they_must_not_hold() {
        assert_eq!(FlightId::new(""), Err(TextError::Empty));
        assert!(FlightId::new("FR 101").is_err());
        assert!(FlightId::new(&"A".repeat(41)).is_err());
        assert!(CustomerId::new("a\u{0}b").is_err());
        assert!(CustomerId::new(" a").is_err());
        assert!(CustomerId::new("林小姐").is_ok());
        assert!(IdempotencyKey::new("with space").is_err());
        assert!(IdempotencyKey::new(&"k".repeat(128)).is_ok());
        assert!(IdempotencyKey::new(&"k".repeat(129)).is_err());
    }
}
