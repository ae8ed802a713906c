//! The names under which the outside knows orders and waitlist entries: they lead to their flight without a look-up.
//! Never says whether there is such an order, and never makes a tag by itself.

use std::fmt;
use std::str::FromStr;

use super::flight_ids::FlightIds;
use super::ids::{FlightId, OrderNo, OrderRef, WaitlistNo, WaitlistRef};

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so that ids survive being read aloud.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 65 bits, of which a tag has 64.
const TAG_CHARS: usize = 13;

/// An order's public name: `<flight_id>-<number><tag>`, the number and the 13-character tag in base 32. It leads
/// to its flight without a look-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderId {
    /// The order's flight.
    pub flight_id: FlightId,
    /// The order within it.
    pub order: OrderRef,
}

/// The text is not an order id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an order id")]
pub struct NotAnOrderId;

impl OrderId {
    /// The id of order `no` of a flight whose ids are made of this.
    pub fn of(flight_id: &FlightId, ids: &FlightIds, no: OrderNo) -> Self {
        Self { flight_id: flight_id.clone(), order: OrderRef { no, tag: ids.order_tag(no) } }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flight_id.as_str())?;
        f.write_str("-")?;
        tagged::write(f, self.order.no.0, self.order.tag)
    }
}

impl FromStr for OrderId {
    type Err = NotAnOrderId;

    fn from_str(text: &str) -> Result<Self, NotAnOrderId> {
        let (flight, order) = text.rsplit_once('-').ok_or(NotAnOrderId)?;
        let (no, tag) = tagged::read(order).ok_or(NotAnOrderId)?;
        let flight_id = FlightId::new(flight).map_err(|_| NotAnOrderId)?;
        Ok(Self { flight_id, order: OrderRef { no: OrderNo(no), tag } })
    }
}

/// An entry's public name: `<flight_id>-W<number><tag>`, so that it leads to its flight and is no order's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitlistId {
    /// The entry's flight.
    pub flight_id: FlightId,
    /// The entry within it.
    pub entry: WaitlistRef,
}

/// The text is not the id of a waitlist's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a waitlist entry")]
pub struct NotAWaitlistId;

impl WaitlistId {
    /// The id of entry `no` of a flight whose ids are made of this.
    pub fn of(flight_id: &FlightId, ids: &FlightIds, no: WaitlistNo) -> Self {
        Self { flight_id: flight_id.clone(), entry: WaitlistRef { no, tag: ids.waitlist_tag(no) } }
    }
}

impl fmt::Display for WaitlistId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-W", self.flight_id)?;
        tagged::write(f, self.entry.no.0, self.entry.tag)
    }
}

impl FromStr for WaitlistId {
    type Err = NotAWaitlistId;

    fn from_str(text: &str) -> Result<Self, NotAWaitlistId> {
        let (flight, entry) = text.rsplit_once("-W").ok_or(NotAWaitlistId)?;
        let flight_id = FlightId::new(flight).map_err(|_| NotAWaitlistId)?;
        let (no, tag) = tagged::read(entry).ok_or(NotAWaitlistId)?;
        Ok(Self { flight_id, entry: WaitlistRef { no: WaitlistNo(no), tag } })
    }
}

/// A number and its tag as text, both in base 32: what stands behind the flight in ids.
mod tagged {
    use std::fmt;

    use super::{BASE32, TAG_CHARS};

    pub(super) fn write(f: &mut fmt::Formatter<'_>, mut number: u64, tag: u64) -> fmt::Result {
        // 13 characters hold the number's 64 bits, as many more the tag.
        let mut text = [0_u8; 13 + TAG_CHARS];
        let mut start = 13;
        loop {
            start -= 1;
            text[start] = BASE32[(number & 31) as usize];
            number >>= 5;
            if number == 0 || start == 0 {
                break;
            }
        }
        for (place, character) in text[13..].iter_mut().rev().enumerate() {
            *character = BASE32[((tag >> (5 * place)) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text[start..]).map_err(|_| fmt::Error)?)
    }

    pub(super) fn read(text: &str) -> Option<(u64, u64)> {
        if !text.is_ascii() || text.len() <= TAG_CHARS || text.len() > 13 + TAG_CHARS {
            return None;
        }
        let (number, tag) = text.split_at(text.len() - TAG_CHARS);
        if number.len() > 1 && number.starts_with('0') {
            return None; // one number, one text
        }
        Some((base32_value(number)?, base32_value(tag)?))
    }

    fn base32_value(text: &str) -> Option<u64> {
        text.bytes().try_fold(0_u64, |value, byte| {
            let digit = BASE32.iter().position(|&b| b == byte)? as u64;
            value.checked_mul(32)?.checked_add(digit)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flight::ids::{FLIGHT_ID_CHARS_MAX, Salt};
    use crate::flight::secrets::{IdSecret, IdSecrets};

    fn ids(flight_id: &FlightId) -> FlightIds {
        let mut ids = FlightIds::new(Salt(7));
        ids.unlock(flight_id, &Arc::new(IdSecrets::new(IdSecret::new([7; 32]), []))).unwrap();
        ids
    }

    #[test]
    fn an_order_id_leads_back_to_its_flight_and_number() {
        let flight_id = FlightId::new("FR101-20261224").unwrap();
        for no in [1, 31, 32, 33, 1 << 20, u64::MAX] {
            let id = OrderId::of(&flight_id, &ids(&flight_id), OrderNo(no));
            assert_eq!(id.to_string().parse::<OrderId>(), Ok(id.clone()), "{id}");
            assert!(id.to_string().len() <= 64);
        }
    }

    #[test]
    fn the_longest_order_id_has_at_most_64_characters() {
        let flight_id = FlightId::new(&"X".repeat(FLIGHT_ID_CHARS_MAX)).unwrap();
        let ids = ids(&flight_id);
        assert!(OrderId::of(&flight_id, &ids, OrderNo((1 << 50) - 1)).to_string().len() <= 64);
    }

    #[test]
    fn nonsense_is_no_order_id() {
        for text in [
            "",
            "-",
            "x",
            "FR-1",
            "FR-1abcdefgh",
            "FR-00000000000000000",
            "FR-1i0000000000000",
            "FR-é000000000000",
        ] {
            assert_eq!(text.parse::<OrderId>(), Err(NotAnOrderId), "{text}");
        }
        // One tag, one text: 65 bits have room for two.
        assert!("FR-1f000000000000".parse::<OrderId>().is_ok());
        assert!("FR-1g000000000000".parse::<OrderId>().is_err());
    }

    #[test]
    fn an_entry_id_leads_back_to_its_flight_and_is_no_orders_id() {
        let flight_id = FlightId::new("FR101-W20261224").unwrap();
        let ids = ids(&flight_id);
        for no in [1, 31, 32, 1 << 40, u64::MAX] {
            let id = WaitlistId::of(&flight_id, &ids, WaitlistNo(no));
            assert_eq!(id.to_string().parse::<WaitlistId>(), Ok(id.clone()), "{id}");
            assert!(id.to_string().parse::<OrderId>().is_err(), "{id}");
            assert_ne!(id.entry.tag, ids.order_tag(OrderNo(no)));
        }
        for text in [
            "",
            "FR1-1abcdefghjkmnp",
            "FR1-W",
            "FR1-Wabcdefghjkmnp",
            "-W1abcdefghjkmnp",
            "FR1-W1zzzzzzzzzzzzz",
        ] {
            assert_eq!(text.parse::<WaitlistId>(), Err(NotAWaitlistId), "{text}");
        }
    }
}
