//! A flight as everybody may see it: its state as of the last durable event, published whole.
//! Never shows what is not durable yet.

use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::flight::seat_map::RowSeats;
use crate::flight::{Cabin, Flight, FlightDefinition, Sale, SaleState, Seat, Seq, Timestamp};

/// A flight's durable state, apart from its orders.
#[derive(Debug, Clone)]
pub struct FlightView {
    /// What the flight is.
    pub definition: Arc<FlightDefinition>,
    /// Its sale.
    pub sale: Sale,
    /// The last event in this view.
    pub seq: Seq,
    /// Seats on sale.
    pub free: u32,
    /// All seats.
    pub capacity: u32,
    /// Seats on sale by cabin, in the order of the definition's cabins.
    pub free_by_cabin: SmallVec<[u32; 4]>,
    /// All rows, cabin by cabin in the order of the definition's cabins, row by row.
    pub rows: Box<[RowSeats]>,
    /// How the flight is shown in lists, once somebody has rendered it. It goes with the view, and so is never old.
    pub rendered: OnceLock<Rendered>,
}

/// A view as somebody has written it, in a state of its sale.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The state that is shown.
    pub state: SaleState,
    /// What was written.
    pub text: Box<[u8]>,
}

impl FlightView {
    /// The flight as it is now. The caller sees to it that it is durable before anybody gets to see the view.
    pub fn of(flight: &Flight) -> Self {
        let map = flight.map();
        Self {
            definition: flight.definition().clone(),
            sale: *flight.sale(),
            seq: flight.seq(),
            free: map.free(),
            capacity: map.capacity(),
            free_by_cabin: map.free_by_cabin().collect(),
            rows: map.rows().collect(),
            rendered: OnceLock::new(),
        }
    }

    /// The state of its sale at `now`.
    pub fn sale_state(&self, now: Timestamp) -> SaleState {
        self.sale.state_at(self.definition.departs_at, now)
    }

    /// When its sale ends by itself, at the latest.
    pub fn sale_ends_at(&self) -> Timestamp {
        self.sale.policy.ends_at(self.definition.departs_at)
    }

    /// The cabin of a seat, if the flight has that row.
    pub fn cabin_of(&self, seat: Seat) -> Option<&Cabin> {
        self.definition.cabins.iter().find(|cabin| (cabin.first_row..=cabin.last_row).contains(&seat.row()))
    }
}
