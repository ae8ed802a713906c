//! The head of a flight's chain of events: 16 bytes that stand for everything up to an event.
//! Never says what goes into one: `chain` does.

use std::fmt;
use std::str::FromStr;

/// Bytes of a head.
pub const HEAD_BYTES: usize = 16;

/// What stands for a flight's history up to one event: the first 128 bits of the BLAKE3 hash of the head before it and of
/// the event. Two histories that differ anywhere have different heads from there on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Head([u8; HEAD_BYTES]);

/// The text is not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 hexadecimal digits in lower case")]
pub struct NotAHead;

impl Head {
    /// The head as bytes.
    pub const fn as_bytes(&self) -> &[u8; HEAD_BYTES] {
        &self.0
    }

    /// The head that these bytes are.
    pub const fn from_bytes(bytes: [u8; HEAD_BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 2 * HEAD_BYTES];
        for (byte, digits) in self.0.iter().zip(text.chunks_exact_mut(2)) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotAHead),
        };
        let text = text.as_bytes();
        if text.len() != 2 * HEAD_BYTES {
            return Err(NotAHead);
        }
        let mut bytes = [0_u8; HEAD_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let head = Head::from_bytes(*b"0123456789abcdef");
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(head.to_string(), "30313233343536373839616263646566");
        for text in ["", "00", "0000000000000000000000000000000G", "0000000000000000000000000000000A"] {
            assert_eq!(text.parse::<Head>(), Err(NotAHead), "{text}");
        }
    }
}
