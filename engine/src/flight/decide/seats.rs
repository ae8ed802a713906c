//! Whether seats are taken off sale or come back, and whether the flight gets more of them.
//! Never changes the flight: `apply` does.

use super::decision::Decision;
use crate::flight::cabin::{Cabin, Seat, Seats, check_cabins};
use crate::flight::event::Event;
use crate::flight::flight::Flight;
use crate::flight::refusal::Refusal;
use crate::flight::seat_map::SeatStatus;

impl Flight {
    pub(super) fn decide_block(&self, seats: &Seats) -> Result<Decision, Refusal> {
        self.must_exist(seats, |seat| self.map.status(seat).is_some())?;
        let is_blocked = |seat: Seat| self.map.status(seat) == Some(SeatStatus::Blocked);
        self.must_be_free(seats, is_blocked)?;
        let seats: Seats = seats.iter().copied().filter(|seat| !is_blocked(*seat)).collect();
        if seats.is_empty() {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::SeatsBlocked { seats }))
    }

    pub(super) fn decide_unblock(&self, seats: &Seats) -> Result<Decision, Refusal> {
        self.must_exist(seats, |seat| self.map.status(seat).is_some())?;
        let blocked = |seat: &Seat| self.map.status(*seat) == Some(SeatStatus::Blocked);
        let seats: Seats = seats.iter().copied().filter(blocked).collect();
        if seats.is_empty() {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::SeatsUnblocked { seats }))
    }

    pub(super) fn decide_rows(&self, cabin: &Cabin) -> Result<Decision, Refusal> {
        let mut cabins = self.definition.cabins.clone();
        cabins.push(cabin.clone());
        match check_cabins(&cabins) {
            Ok(()) => Ok(Decision::Record(Event::RowsAdded { cabin: Box::new(cabin.clone()) })),
            Err(error) => Err(Refusal::Invalid { field: "rows", message: error.to_string() }),
        }
    }

    pub(in crate::flight) fn must_exist(
        &self,
        seats: &Seats,
        exists: impl Fn(Seat) -> bool,
    ) -> Result<(), Refusal> {
        let missing: Seats = seats.iter().copied().filter(|seat| !exists(*seat)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::NoSuchSeat { seats: missing }) }
    }

    pub(super) fn must_be_free(&self, seats: &Seats, allowed: impl Fn(Seat) -> bool) -> Result<(), Refusal> {
        let taken: Seats = seats
            .iter()
            .copied()
            .filter(|seat| self.map.status(*seat) != Some(SeatStatus::Free) && !allowed(*seat))
            .collect();
        if taken.is_empty() { Ok(()) } else { Err(Refusal::SeatTaken { seats: taken }) }
    }

    /// What these seats cost together, in minor units.
    pub(in crate::flight) fn total(&self, seats: &Seats) -> i64 {
        seats.iter().filter_map(|seat| self.map.cabin_of(*seat)).map(|cabin| cabin.fare.amount).sum()
    }
}
