//! The secret that ids are made of in tests.
#![allow(dead_code, unreachable_pub, reason = "not every test needs all of it")]

use std::sync::Arc;

use farerush_engine::flight::{BrokenInvariant, Flight, FlightId, FlightIds, IdSecret, IdSecrets, Salt};

/// The secret.
pub fn secrets() -> Arc<IdSecrets> {
    Arc::new(IdSecrets::new(IdSecret::new([7; 32]), []))
}

/// A flight whose ids open something.
pub fn unlocked(flight: Result<Flight, BrokenInvariant>) -> Flight {
    let mut flight = flight.unwrap();
    flight.unlock(&secrets()).unwrap();
    flight
}

/// What ids of a flight are made of that nobody has owned yet.
pub fn ids_of(flight_id: &FlightId, salt: Salt) -> FlightIds {
    let mut ids = FlightIds::new(salt);
    ids.unlock(flight_id, &secrets()).unwrap();
    ids
}
