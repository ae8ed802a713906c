//! Which flight a request is about, as its address says.
//! Never asks anybody.

use farerush_engine::flight::{FlightId, OrderId, WaitlistId};

use crate::wire::names::{FlightName, OrderName};
use crate::wire::query::percent_decoded;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// This flight.
    Flight(FlightId),
    /// This flight, as it changes.
    Live(FlightId),
    /// The server of this name.
    Named(String),
    /// The rehearsal of this id.
    Rehearsal(String),
    /// Whatever the server itself is asked for.
    Server,
}

impl Subject {
    pub(super) fn of(path: &str) -> Self {
        let flight = match path.strip_prefix("/v1/") {
            Some(rest) => Self::flight(rest),
            None => None,
        };
        flight.unwrap_or(Self::Server)
    }

    fn flight(rest: &str) -> Option<Self> {
        let mut segments = rest.split('/');
        let (kind, name) = match (segments.next()?, segments.next()?) {
            ("admin", "flights") => ("admin", segments.next()?),
            ("admin", "servers") => ("servers", segments.next()?),
            ("admin", "rehearsals") => return Some(Self::Rehearsal(percent_decoded(segments.next()?))),
            ("admin", _) => return None,
            (kind, name) => (kind, name),
        };
        let (further, more) = (segments.next(), segments.next());
        let flight = |name: &str| name.parse::<FlightName>().ok()?.0;
        match kind {
            // A flight may be called so; the address is another one all the same.
            "admin" if further.is_none() && name == "import" => None,
            "admin" => flight(name).map(Self::Flight),
            "servers" if further.is_some() => Some(Self::Named(percent_decoded(name))),
            "flights" if further == Some("live") && more.is_none() => flight(name).map(Self::Live),
            "flights" => flight(name).map(Self::Flight),
            "orders" => {
                let id: OrderId = name.parse::<OrderName>().ok()?.0?;
                Some(Self::Flight(id.flight_id))
            }
            "waitlist" => {
                let id: WaitlistId = percent_decoded(name).parse().ok()?;
                Some(Self::Flight(id.flight_id))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_about_its_flight() {
        let id = |text: &str| FlightId::new(text).unwrap();
        for (path, subject) in [
            ("/v1/flights/FR1", Subject::Flight(id("FR1"))),
            ("/v1/flights/FR%31/seats", Subject::Flight(id("FR1"))),
            ("/v1/flights/FR1/orders", Subject::Flight(id("FR1"))),
            ("/v1/flights/FR1/waitlist", Subject::Flight(id("FR1"))),
            ("/v1/flights/FR1/live", Subject::Live(id("FR1"))),
            ("/v1/flights/live", Subject::Flight(id("live"))),
            ("/v1/admin/flights/FR1", Subject::Flight(id("FR1"))),
            ("/v1/admin/flights/FR1/seats/block", Subject::Flight(id("FR1"))),
            ("/v1/admin/flights/import", Subject::Server),
            ("/v1/admin/flights/import/open", Subject::Flight(id("import"))),
            ("/v1/admin/flights", Subject::Server),
            ("/v1/flights", Subject::Server),
            ("/v1/flights/", Subject::Server),
            ("/v1/orders", Subject::Server),
            ("/v1/orders/x", Subject::Server),
            ("/v1/admin/orders", Subject::Server),
            ("/v1/admin/orders/open", Subject::Server),
            ("/v1/admin/servers", Subject::Server),
            ("/v1/admin/servers/one%2D1/drain", Subject::Named("one-1".to_owned())),
            ("/v1/admin/rehearsals/9f86/seats", Subject::Rehearsal("9f86".to_owned())),
            ("/flights/FR1", Subject::Server),
            ("/", Subject::Server),
            ("*", Subject::Server),
        ] {
            assert_eq!(Subject::of(path), subject, "{path}");
        }
        for path in ["/v1/orders/FR1-305cpfm4081e9y/pay", "/v1/waitlist/FR1-W4874zvzyh697xe"] {
            assert_eq!(Subject::of(path), Subject::Flight(id("FR1")), "{path}");
        }
    }
}
