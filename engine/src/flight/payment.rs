//! What somebody who confirms an order says was paid for it, and why money may come for nothing.
//! Never moves money, and never asks anybody whether it has moved.

use super::cabin::Currency;
use super::ids::Seq;

/// Most payments of one order that came for nothing and are remembered; further ones are refused and not noted.
pub const RETURNED_PAYMENTS_MAX: usize = 16;

/// For what a payment was made, as whoever confirms says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Covers {
    /// So much.
    Amount {
        /// In minor units.
        amount: i64,
        /// Of this currency.
        currency: Currency,
    },
    /// Whatever the order cost after the event that had changed it last.
    OrderAt(Seq),
}

/// Why money came for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnedBecause {
    /// The hold had run out, and the order could not be revived.
    TooLate,
    /// The order was confirmed already.
    PaidAlready,
    /// The order had been cancelled.
    Cancelled,
}
