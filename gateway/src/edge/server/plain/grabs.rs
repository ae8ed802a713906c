//! Which plain requests are grabs that can be decided here at once, and whose share they count in.
//! Never decides one.

use std::net::IpAddr;
use std::sync::Arc;

use farerush_engine::actor::{FlightHandle, Located};
use farerush_engine::flight::FlightId;

use super::Express;
use super::request::Plain;
use crate::api::grab::Grabs;
use crate::parts::rate::{Share, counted};

/// Whom a connection's grabs count for, where customers show nothing: its address.
pub(super) struct Pays {
    address: IpAddr,
    /// Whether it may say that it asks for somebody else.
    pub(super) is_proxy: bool,
    /// Its share on the flight that was grabbed last.
    last: Option<(FlightId, Arc<Share>)>,
}

impl Pays {
    pub(super) fn new(grabs: &Grabs, peer: IpAddr) -> Self {
        Self { address: counted(peer), is_proxy: grabs.identity.rates.trusts(peer), last: None }
    }

    /// Its share on this flight; looked for once, and then at hand.
    pub(super) fn share(
        &mut self,
        grabs: &Grabs,
        flight: &FlightHandle,
        now: std::time::Instant,
    ) -> Arc<Share> {
        let shares = &grabs.identity.rates.shares;
        match &self.last {
            Some((flight_id, share)) if flight_id == flight.flight_id() && shares.is_current(share, now) => {
                share.clone()
            }
            _ => {
                let share = shares.of(flight.flight_id(), self.address, now);
                self.last = Some((flight.flight_id().clone(), share.clone()));
                share
            }
        }
    }
}

/// The flight of a grab that needs nothing but what this way knows.
pub(super) fn grabbed_flight<'e>(
    plain: &Plain<'_, '_>,
    express: &'e Express,
) -> Option<(&'e Arc<Grabs>, FlightHandle)> {
    let way = express.short_way.as_ref()?;
    let name = plain.target.strip_prefix("/v1/flights/")?.strip_suffix("/orders")?;
    let is_json = plain.content_type.is_some_and(|name| name.eq_ignore_ascii_case(b"application/json"));
    if plain.method != "POST" || plain.asks_for_more || !is_json || plain.body.len() > way.body.bytes_max {
        return None;
    }
    // What is not for this server is refused on the long way.
    if !plain.host.is_some_and(|host| way.gate.is_for_us(host)) {
        return None;
    }
    match way.grabs.flights.engine.find(&FlightId::new(name).ok()?) {
        // Whose flights they are is waited for on the long way.
        Located::Here(flight) if way.grabs.flights.other_servers.ownership().is_certain() => {
            Some((&way.grabs, flight))
        }
        _ => None,
    }
}
