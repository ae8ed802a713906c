//! What whoever asked for a new seat plan was told of it.
//! Never says how it came about: `decide/seat_plan` does.

use super::cabin::Seats;
use super::ids::OrderNo;

/// An order that gets other seats.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moved {
    /// Number of the order.
    pub order: OrderNo,
    /// The seats it had.
    pub from: Seats,
    /// The seats it gets, by place: who sat on the first of `from` sits on the first of these.
    pub to: Seats,
}

/// What whoever asked for a new seat plan was told. With a flight's orders it is all of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reseated {
    /// Seats of the new plan, blocked ones included.
    pub capacity: u32,
    /// Orders that kept their seats.
    pub kept: u32,
    /// Orders that got other seats, by number.
    pub moved: Vec<Moved>,
    /// Orders that sat together and now do not, by number.
    pub split: Vec<OrderNo>,
    /// Orders the new plan had no place for, by number, and whether they had been confirmed.
    pub stranded: Vec<(OrderNo, bool)>,
}
