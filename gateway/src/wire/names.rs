//! What people write of themselves and others, brought into one form where it comes in: customers, passengers, references.
//! Two that look alike to everybody are one; nothing is in them that nobody sees. Never judges how long they are.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use farerush_engine::flight::{CustomerId, FlightId, OrderId, PassengerName, Reference};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::wire::query::percent_decoded;

/// Who a customer is.
pub fn customer(text: &str) -> Result<CustomerId, String> {
    written(text, CustomerId::new)
}

/// A payment's or a client's reference.
pub fn reference(text: &str) -> Result<Reference, String> {
    written(text, Reference::new)
}

/// Who flies.
pub fn passenger(text: &str) -> Result<PassengerName, String> {
    written(text, PassengerName::new)
}

/// Allocates only where a text is not in the form that nearly all come in.
fn written<T, E: fmt::Display>(text: &str, wrap: impl Fn(&str) -> Result<T, E>) -> Result<T, String> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return wrap(text).map_err(|error| error.to_string());
    }
    if let Some(found) = text.chars().find(|character| character.is_control() || is_unseen(*character)) {
        let what = match found {
            _ if found.is_control() => "a control character",
            _ if turns_direction(found) => "which turns the direction of writing",
            _ => "which nobody sees",
        };
        return Err(format!("must not hold U+{:04X}, {what}", u32::from(found)));
    }
    let wrapped = if is_nfc(text) { wrap(text) } else { wrap(&text.nfc().collect::<String>()) };
    wrapped.map_err(|error| error.to_string())
}

/// Unicode's bidirectional controls.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that take no room or that show nothing: those of the category Cf (format), the default ignorable code points,
/// the separators of lines and paragraphs, and the empty pattern of Braille. White space is not among them.
pub fn is_unseen(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A flight's id as it stands in a path; `None` if no flight can be called so.
#[derive(Debug, Clone)]
pub struct FlightName(pub Option<FlightId>);

impl FromStr for FlightName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if text.contains('%') {
            return Ok(Self(FlightId::new(&percent_decoded(text)).ok()));
        }
        Ok(Self(FlightId::new(text).ok()))
    }
}

/// An order's id as it stands in a path; `None` if no order can be called so.
#[derive(Debug, Clone)]
pub struct OrderName(pub Option<OrderId>);

impl FromStr for OrderName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(percent_decoded(text).parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_refused_by_its_code_point() {
        for (found, message) in [
            ('\u{7}', "must not hold U+0007, a control character"),
            ('\u{85}', "must not hold U+0085, a control character"),
            ('\u{ad}', "must not hold U+00AD, which nobody sees"),
            ('\u{200b}', "must not hold U+200B, which nobody sees"),
            ('\u{200d}', "must not hold U+200D, which nobody sees"),
            ('\u{2060}', "must not hold U+2060, which nobody sees"),
            ('\u{3164}', "must not hold U+3164, which nobody sees"),
            ('\u{feff}', "must not hold U+FEFF, which nobody sees"),
            ('\u{e0041}', "must not hold U+E0041, which nobody sees"),
            ('\u{202e}', "must not hold U+202E, which turns the direction of writing"),
            ('\u{2066}', "must not hold U+2066, which turns the direction of writing"),
            ('\u{200f}', "must not hold U+200F, which turns the direction of writing"),
        ] {
            for text in
                [format!("a{found}b"), format!("{found}ab"), format!("ab{found}"), format!("林{found}é")]
            {
                assert_eq!(customer(&text).unwrap_err(), message, "{text:?}");
                assert_eq!(reference(&text).unwrap_err(), message, "{text:?}");
                assert_eq!(passenger(&text).unwrap_err(), message, "{text:?}");
            }
        }
    }

    #[test]
    fn one_name_has_one_form() {
        for (written, kept) in [
            ("u 1", "u 1"),
            ("a\u{301}", "\u{e1}"),
            ("\u{e1}", "\u{e1}"),
            ("\u{212b}ngstro\u{308}m", "\u{c5}ngstr\u{f6}m"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("旅客 ✈ 🧳", "旅客 ✈ 🧳"),
            // Only looks like another: two customers.
            ("\u{430}", "\u{430}"),
            ("\u{ff21}", "\u{ff21}"),
            ("A", "A"),
        ] {
            assert_eq!(customer(written).unwrap().as_str(), kept);
            assert_eq!(reference(written).unwrap().as_str(), kept);
            assert_eq!(passenger(written).unwrap().as_str(), kept);
        }
        for text in ["", " a", "a ", "\u{a0}a", "a\u{3000}"] {
            assert!(customer(text).is_err(), "{text:?}");
        }
        // Its length is that of the form that is kept.
        assert!(customer(&"a\u{301}".repeat(128)).is_ok() && customer(&"\u{e1}".repeat(129)).is_err());
    }

    #[test]
    fn lengths_are_told_in_what_they_are_counted_in() {
        assert_eq!(customer(&"林".repeat(129)).unwrap_err(), "must be at most 128 characters long");
        assert_eq!(reference(&"r".repeat(129)).unwrap_err(), "must be at most 128 characters long");
        assert_eq!(passenger(&"林".repeat(67)).unwrap_err(), "must be at most 200 bytes long in UTF-8");
    }
}
