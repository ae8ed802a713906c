//! How many parties one address puts on one flight's waitlist where nobody has to show who they are: customers can be
//! invented there, addresses hardly. Never knows a customer, and is forgotten with the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use farerush_engine::flight::FlightId;
use parking_lot::Mutex;

/// Parties that one address may put on the waitlist of one flight within a day: a tenth of those that may wait.
pub const JOINS_PER_ADDRESS_MAX: u32 = 1_000;
/// After so long an address begins anew.
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Most addresses and flights that are counted at the same time. Beyond that, those that joined least are forgotten.
const COUNTED_MAX: usize = 65_536;

#[derive(Debug)]
struct Share {
    since: Instant,
    joins: u32,
}

/// Which address has put how many parties on which waitlist.
#[derive(Debug, Default)]
pub struct Shares(Mutex<HashMap<(FlightId, IpAddr), Share>>);

impl Shares {
    /// Whether the address has used up its share of the flight's waitlist; if so, after how long it begins anew.
    pub fn check(&self, flight: &FlightId, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let shares = self.0.lock();
        match shares.get(&(flight.clone(), address)) {
            Some(share) if share.joins >= JOINS_PER_ADDRESS_MAX => {
                let left = WINDOW.saturating_sub(now.saturating_duration_since(share.since));
                if left.is_zero() { Ok(()) } else { Err(left) }
            }
            _ => Ok(()),
        }
    }

    /// Counts a party that joined.
    pub fn count(&self, flight: &FlightId, address: IpAddr, now: Instant) {
        let mut shares = self.0.lock();
        let is_past = |share: &Share| now.saturating_duration_since(share.since) >= WINDOW;
        if shares.len() >= COUNTED_MAX && !shares.contains_key(&(flight.clone(), address)) {
            shares.retain(|_, share| !is_past(share));
            let mut least = 1;
            while shares.len() >= COUNTED_MAX {
                shares.retain(|_, share| share.joins > least);
                least *= 2;
            }
        }
        let share = shares.entry((flight.clone(), address)).or_insert(Share { since: now, joins: 0 });
        if is_past(share) {
            *share = Share { since: now, joins: 0 };
        }
        share.joins += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_of_each_flight_every_day() {
        let (shares, now) = (Shares::default(), Instant::now());
        let (flight, other) = (FlightId::new("A").unwrap(), FlightId::new("B").unwrap());
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..JOINS_PER_ADDRESS_MAX {
            assert!(shares.check(&flight, one, now).is_ok());
            shares.count(&flight, one, now);
        }
        assert_eq!(shares.check(&flight, one, now), Err(WINDOW));
        assert!(shares.check(&flight, two, now).is_ok() && shares.check(&other, one, now).is_ok());
        assert!(shares.check(&flight, one, now + WINDOW).is_ok());
        shares.count(&flight, one, now + WINDOW);
        assert!(shares.check(&flight, one, now + WINDOW).is_ok());
    }

    #[test]
    fn as_many_are_counted_as_may_and_those_with_most_stay() {
        let (shares, now, flight) = (Shares::default(), Instant::now(), FlightId::new("A").unwrap());
        let greedy = IpAddr::from([9, 9, 9, 9]);
        (0..JOINS_PER_ADDRESS_MAX).for_each(|_| shares.count(&flight, greedy, now));
        for number in 0..=u32::try_from(COUNTED_MAX).unwrap() {
            shares.count(&flight, IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(shares.0.lock().len() <= COUNTED_MAX);
        assert!(shares.check(&flight, greedy, now).is_err());
    }
}
