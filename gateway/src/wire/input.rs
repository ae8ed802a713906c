//! Parts of bodies that more than one resource takes: seats, passengers, cabins, the rules of a sale.
//! Never answers a request.

use std::collections::HashSet;

use farerush_engine::flight::cabin::{FARE_AMOUNT_MAX, ROW_MAX};
use farerush_engine::flight::sale::{
    CLOSES_BEFORE_MINUTES_MAX, HOLD_SECONDS_MAX, PAYMENT_GRACE_SECONDS_MAX, SEATS_LIMIT_MAX,
};
use farerush_engine::flight::{
    Cabin, CabinClass, Currency, Fare, Layout, Passengers, PolicyChange, Seat, Seats, Timestamp,
};

use crate::base::time;
use crate::wire::fields::{Errors, Fields, Value, one_of, text, whole};
use crate::wire::names;

/// Most passengers that one body names.
const PASSENGERS_MAX: usize = 10_000;

/// At least one seat, none twice.
pub fn check_seats(seats: &Seats) -> Result<(), String> {
    if seats.is_empty() {
        return Err("must name at least one seat".to_owned());
    }
    let twice = |seat: &Seat| Err(format!("must not name {seat} twice"));
    if seats.len() <= 16 {
        for (place, seat) in seats.iter().enumerate() {
            if seats[..place].contains(seat) {
                return twice(seat);
            }
        }
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(seats.len());
    match seats.iter().find(|seat| !seen.insert(**seat)) {
        Some(seat) => twice(seat),
        None => Ok(()),
    }
}

/// A list of seats such as `["12A","12B"]`.
pub fn seats(value: &Value) -> Result<Seats, String> {
    let message = || "must be a list of seats such as [\"12A\",\"12B\"]".to_owned();
    let Value::List(list) = value else { return Err(message()) };
    let mut seats = Seats::with_capacity(list.len().min(SEATS_LIMIT_MAX.into()));
    for value in list {
        let Value::Text(name) = value else { return Err(message()) };
        let seat: Seat = name.parse().map_err(|error| {
            let shown: String = name.chars().take(12).collect();
            format!("{shown:?} is no seat: it {error}")
        })?;
        seats.push(seat);
    }
    check_seats(&seats)?;
    Ok(seats)
}

/// The field `passengers`: a list of `{"name":"..."}`, `null` where nobody is named yet.
pub fn passengers(fields: &mut Fields<'_>, errors: &mut Errors) -> Option<Passengers> {
    let list = match fields.take("passengers", errors)? {
        Value::Null => return None,
        Value::List(list) if list.len() <= PASSENGERS_MAX => list,
        _ => {
            errors.add("passengers", "must be a list such as [{\"name\":\"Mei Lin\"}]");
            return None;
        }
    };
    let mut names = Vec::with_capacity(list.len());
    for (place, value) in list.iter().enumerate() {
        match value {
            Value::Null => names.push(None),
            Value::Object(_) => {
                let mut fields = Fields::nested(value, format!("passengers[{place}]."));
                names.push(fields.optional("name", errors, text(names::passenger)));
                fields.finish(errors);
            }
            _ => errors.add(format!("passengers[{place}]"), "must be an object with a name"),
        }
    }
    Some(names.into())
}

/// `true` or `false`.
pub fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(yes) => Ok(*yes),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A moment.
pub fn moment(value: &Value) -> Result<Timestamp, String> {
    text(time::parse)(value)
}

/// A fare: `{"amount":99900,"currency":"TWD"}`.
pub fn fare(fields: &mut Fields<'_>, name: &str, errors: &mut Errors) -> Option<Fare> {
    money(fields.object(name, errors)?, errors)
}

fn money(mut fare: Fields<'_>, errors: &mut Errors) -> Option<Fare> {
    let amount = fare.required("amount", errors, whole::<i64>(0, FARE_AMOUNT_MAX.into()));
    let currency = fare.required("currency", errors, text(Currency::new));
    fare.finish(errors);
    Some(Fare { amount: amount?, currency: currency? })
}

/// The names of all cabin classes, for messages.
pub const CLASSES: &str = "first, business, premium_economy, economy";

/// One cabin's fields.
pub fn cabin(mut fields: Fields<'_>, errors: &mut Errors) -> Option<Cabin> {
    let cabin_class = fields.required("cabin_class", errors, one_of(CLASSES, CabinClass::from_name));
    let rows = fields.required("rows", errors, rows);
    let layout = fields.required("layout", errors, text(Layout::new));
    let fare = fields.required_object("fare", errors).and_then(|fare| money(fare, errors));
    fields.finish(errors);
    let (first_row, last_row) = rows?;
    Some(Cabin { cabin_class: cabin_class?, first_row, last_row, layout: layout?, fare: fare? })
}

/// Rows: `[first, last]`.
pub fn rows(value: &Value) -> Result<(u16, u16), String> {
    let message = || format!("must be [first, last] with 1 <= first <= last <= {ROW_MAX}");
    let Value::List(list) = value else { return Err(message()) };
    let [Value::Whole(first), Value::Whole(last)] = list.as_slice() else { return Err(message()) };
    match (u16::try_from(*first), u16::try_from(*last)) {
        (Ok(first), Ok(last)) if first >= 1 && first <= last && last <= ROW_MAX => Ok((first, last)),
        _ => Err(message()),
    }
}

/// The rules of a sale, as far as they are given.
pub fn policy(fields: &mut Fields<'_>, errors: &mut Errors) -> PolicyChange {
    let limit = || whole::<u16>(1, SEATS_LIMIT_MAX.into());
    PolicyChange {
        opens_at: fields.clearable("opens_at", errors, moment),
        closes_at: fields.clearable("closes_at", errors, moment),
        max_seats_per_order: fields.optional("max_seats_per_order", errors, limit()),
        max_seats_per_customer: fields.optional("max_seats_per_customer", errors, limit()),
        hold_seconds: fields.optional("hold_seconds", errors, whole::<u32>(0, HOLD_SECONDS_MAX.into())),
        payment_grace_seconds: fields.optional(
            "payment_grace_seconds",
            errors,
            whole::<u32>(0, PAYMENT_GRACE_SECONDS_MAX.into()),
        ),
        closes_before_minutes: fields.optional(
            "closes_before_minutes",
            errors,
            whole::<u16>(0, CLOSES_BEFORE_MINUTES_MAX.into()),
        ),
    }
}

/// An airport's IATA code, in upper case as it is kept.
pub fn airport(text: &str) -> Result<String, String> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(text.to_ascii_uppercase());
    }
    Err("must be the three letters of an IATA airport code, such as TPE".to_owned())
}

/// A flight number: an airline's two characters (IATA) or three letters (ICAO), one to four digits, perhaps a letter.
pub fn flight_number(text: &str) -> Result<String, String> {
    let message = || "must be an airline's code and a number, such as FR101".to_owned();
    let is_number = |rest: &str| {
        let digits = rest.strip_suffix(|last: char| last.is_ascii_uppercase()).unwrap_or(rest);
        (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let upper_or_digit = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if !text.is_ascii() {
        return Err(message());
    }
    let two = text.get(..2).is_some_and(|code| {
        code.bytes().all(upper_or_digit) && code.bytes().any(|byte| byte.is_ascii_uppercase())
    });
    let three = text.get(..3).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_uppercase()));
    if (two && text.get(2..).is_some_and(is_number)) || (three && text.get(3..).is_some_and(is_number)) {
        return Ok(text.to_owned());
    }
    Err(message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flight_numbers_are_told_from_nonsense() {
        for good in ["FR1", "FR101", "FR9999", "FR101A", "5J12", "U21", "EZY123"] {
            assert!(flight_number(good).is_ok(), "{good}");
        }
        for bad in ["", "FR", "F1", "fr101", "FR12345", "FR101AB", "12345", "FR 101", "FR-1", "ÉR101"] {
            assert!(flight_number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn airports_are_three_letters() {
        assert_eq!(airport("tpe").unwrap(), "TPE");
        for bad in ["", "TP", "TPEX", "T1E", "台北市"] {
            assert!(airport(bad).is_err(), "{bad}");
        }
    }
}
