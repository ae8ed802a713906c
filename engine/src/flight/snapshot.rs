//! A flight at one moment, as plain data: what a store keeps and what recovery starts from.
//! Never holds anything that can be derived from the rest.

use super::cabin::Seats;
use super::event::FlightDefinition;
use super::head::Head;
use super::ids::{Seq, Timestamp};
use super::order::Order;
use super::requests::Request;
use super::sale::Sale;
use super::waitlist::types::WaitlistEntry;

/// Everything needed to rebuild a flight exactly as it was after event `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightSnapshot {
    /// What the flight is, with all cabins, added ones included, in the order they came.
    pub definition: FlightDefinition,
    /// Its sale.
    pub sale: Sale,
    /// The last event that went in.
    pub seq: Seq,
    /// When that was decided.
    pub last_at: Timestamp,
    /// The chain's head after it; none in flights that have had no event since there were chains.
    pub head: Option<Head>,
    /// Seats taken off sale, in any order.
    pub blocked: Seats,
    /// What ended by this event or before was forgotten before its day was over; 0: nothing was.
    pub forgotten_through: Seq,
    /// The orders the flight still knows, by rising number: all live ones, and ended ones for a day
    /// (`inventory::ENDED_ORDER_RETENTION_MS` before `last_at`). More than these do no harm.
    pub orders: Vec<Order>,
    /// The requests whose keys the flight remembers, in any order; too old ones do no harm.
    pub requests: Vec<Request>,
    /// The waitlist, in any order: all that wait, and those who stopped for a day; too old ones do no harm.
    pub waitlist: Vec<WaitlistEntry>,
}
