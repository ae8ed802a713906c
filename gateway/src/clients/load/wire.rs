//! Requests as bytes, and the few members of answers that matter.
//! Never sends anything.

use std::io::Write;

use farerush_engine::flight::{Seat, Seats};
use serde::Deserialize;

use super::address::Address;

/// Where requests go, in the pieces they are written from.
#[derive(Debug)]
pub struct Target {
    base: String,
    after_path: String,
}

impl Target {
    /// For the server at this address.
    pub fn new(address: &Address) -> Self {
        let after_path = format!(" HTTP/1.1\r\nhost: {}\r\n", address.authority());
        Self { base: address.base().to_owned(), after_path }
    }

    /// Writes a request over what is in `request`. The parts of the path are put together as they are.
    pub fn write(
        &self,
        request: &mut Vec<u8>,
        method: &str,
        path: &[&str],
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) {
        request.clear();
        let mut push = |text: &str| request.extend_from_slice(text.as_bytes());
        push(method);
        push(" ");
        push(&self.base);
        path.iter().for_each(|part| push(part));
        push(&self.after_path);
        for (name, value) in headers {
            push(name);
            push(": ");
            push(value);
            push("\r\n");
        }
        match body {
            None => request.extend_from_slice(b"\r\n"),
            Some(body) => {
                // Writing to memory cannot fail.
                let _ = write!(
                    request,
                    "content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                request.extend_from_slice(body);
            }
        }
    }
}

/// What an answer says of an order.
#[derive(Debug, Deserialize)]
pub struct OrderBody<'a> {
    /// Its id.
    #[serde(borrow)]
    pub order_id: &'a str,
    /// Its flight.
    pub flight_id: &'a str,
    /// Whose it is.
    pub customer_id: &'a str,
    /// `held`, `confirmed`, `cancelled` or `expired`.
    pub status: &'a str,
    /// Its seats.
    pub seats: Vec<SeatBody<'a>>,
    /// The number of the event that changed it last.
    #[serde(default)]
    pub seq: u64,
}

/// A seat of an order.
#[derive(Debug, Deserialize)]
pub struct SeatBody<'a> {
    /// Such as `12A`.
    pub seat: &'a str,
}

impl<'a> OrderBody<'a> {
    /// Understands an order; the error says what is odd.
    pub fn parse(body: &'a [u8]) -> Result<(Self, Seats), String> {
        let order: Self =
            serde_json::from_slice(body).map_err(|error| format!("this is no order ({error})"))?;
        let seats: Result<Seats, _> = order.seats.iter().map(|seat| seat.seat.parse::<Seat>()).collect();
        let mut seats =
            seats.map_err(|error| format!("order {} has an odd seat: it {error}", order.order_id))?;
        seats.sort_unstable_by_key(|seat| seat.packed());
        Ok((order, seats))
    }
}

/// What an answer says of a flight.
#[derive(Debug, Clone, Deserialize)]
pub struct FlightBody {
    /// Its id.
    pub flight_id: String,
    /// Seats it has.
    pub capacity: u32,
    /// Seats that are free.
    pub available: u32,
    /// The rules of its sale.
    pub sale: SaleBody,
}

/// What an answer says of a sale.
#[derive(Debug, Clone, Deserialize)]
pub struct SaleBody {
    /// `scheduled`, `open`, `paused` or `closed`.
    pub state: String,
    /// How long a grab is held; 0 confirms it at once.
    #[serde(default)]
    pub hold_seconds: u32,
    /// Most seats of one order.
    #[serde(default)]
    pub max_seats_per_order: Option<u32>,
}

/// A seat map.
#[derive(Debug, Deserialize)]
pub struct SeatMapBody<'a> {
    /// Its cabins.
    #[serde(borrow)]
    pub cabins: Vec<CabinBody<'a>>,
}

/// A cabin of a seat map.
#[derive(Debug, Deserialize)]
pub struct CabinBody<'a> {
    /// Its rows.
    #[serde(borrow)]
    pub rows: Vec<RowBody<'a>>,
}

/// A row of a seat map.
#[derive(Debug, Deserialize)]
pub struct RowBody<'a> {
    /// Its seats.
    #[serde(borrow)]
    pub seats: Vec<PlaceBody<'a>>,
}

/// A seat of a seat map.
#[derive(Debug, Deserialize)]
pub struct PlaceBody<'a> {
    /// Such as `12A`.
    pub seat: &'a str,
    /// `free`, `held`, `sold` or `blocked`.
    pub status: &'a str,
}

/// The code of a problem; empty if the body is none.
pub fn code_of(body: &[u8]) -> &str {
    #[derive(Deserialize)]
    struct Problem<'a> {
        code: &'a str,
    }
    serde_json::from_slice::<Problem<'_>>(body).map_or("", |problem| problem.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_over_the_last_one() {
        let target = Target::new(&Address::parse("http://h:1/air").unwrap());
        let mut request = b"old".to_vec();
        target.write(&mut request, "GET", &["/v1/flights/", "A"], &[], None);
        assert_eq!(request, b"GET /air/v1/flights/A HTTP/1.1\r\nhost: h:1\r\n\r\n");
        target.write(&mut request, "POST", &["/x"], &[("idempotency-key", "k")], Some(b"{}"));
        let expected = "POST /air/x HTTP/1.1\r\nhost: h:1\r\nidempotency-key: k\r\ncontent-type: application/json\r\n\
                        content-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }

    #[test]
    fn a_code_is_found_and_the_lack_of_one_is_no_fault() {
        assert_eq!(
            code_of(br#"{"type":"/docs/errors/SOLD_OUT","status":409,"code":"SOLD_OUT"}"#),
            "SOLD_OUT"
        );
        assert_eq!(code_of(b"<html>502 Bad Gateway</html>"), "");
    }
}
