//! Why a command was not granted: an answer, not a fault.
//! Never holds an HTTP status: the gateway maps refusals in one place.

use super::cabin::{Currency, Seats};
use super::ids::{Seq, Timestamp};

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitScope {
    /// Seats of one order.
    Order,
    /// Seats a customer has in live orders of the flight.
    Customer,
    /// Entries with which a customer waits for the flight; what the customer has are entries, too.
    Waitlist,
}

/// Whose share of what is kept is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    /// The customer's who asks.
    Customer,
    /// That of the admins together.
    Admins,
}

/// Why a command was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No seat is left (in the cabin asked for).
    #[error("no seat is left")]
    SoldOut,
    /// Fewer seats are left than asked for.
    #[error("only {available} seats are left")]
    NotEnoughSeats {
        /// How many are left.
        available: u32,
    },
    /// Named seats are not free.
    #[error("seats are not free: {}", list(.seats))]
    SeatTaken {
        /// Those that are not.
        seats: Seats,
    },
    /// Named seats do not exist (in the cabin asked for).
    #[error("no such seats: {}", list(.seats))]
    NoSuchSeat {
        /// Those that do not.
        seats: Seats,
    },
    /// No row has enough neighbouring seats.
    #[error("no row has enough free seats side by side")]
    NotTogether,
    /// The sale has not begun.
    #[error("the sale is not open yet")]
    SaleNotOpen {
        /// When it will, if that is known.
        opens_at: Option<Timestamp>,
    },
    /// The sale is stopped for the time being.
    #[error("the sale is paused")]
    SalePaused,
    /// The sale is over.
    #[error("the sale is closed")]
    SaleClosed,
    /// The flight has left, or leaves so soon that by the rules its sale is over: it cannot be opened.
    #[error("it is too late to open the sale")]
    TooLateToOpen {
        /// When it leaves.
        departs_at: Timestamp,
        /// How long before that its sale is over, in minutes.
        closes_before_minutes: u16,
    },
    /// More seats than one order, or one customer, may have.
    #[error("limit of {limit} seats exceeded")]
    LimitExceeded {
        /// Which limit.
        scope: LimitScope,
        /// The limit.
        limit: u16,
        /// How many seats the customer has already.
        holding: u32,
    },
    /// The order ran past its deadline.
    #[error("the hold has expired")]
    HoldExpired,
    /// The order is not in a state in which this can be done.
    #[error("the order cannot be changed: {reason}")]
    OrderNotChangeable {
        /// Why, as a sentence.
        reason: &'static str,
    },
    /// What was paid is not what the order costs.
    #[error("the order costs {total} {}, not what was paid", .currency.as_str())]
    AmountMismatch {
        /// What it costs, in minor units.
        total: i64,
        /// Of this currency.
        currency: Currency,
        /// The event that changed it last.
        seq: Seq,
    },
    /// The order costs something, and no payment was told of.
    #[error("the order costs {total} {}, and no payment was named", .currency.as_str())]
    PaymentNeeded {
        /// What it costs, in minor units.
        total: i64,
        /// Of this currency.
        currency: Currency,
    },
    /// A payment came for nothing, and it is noted that its money goes back.
    #[error("the payment came for nothing: {instead}")]
    PaymentReturned {
        /// Why the order could not be confirmed.
        instead: Box<Self>,
    },
    /// The flight knows no such order.
    #[error("no such order")]
    OrderNotFound,
    /// The key was used with another body.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// A new seat plan has no place for some orders.
    #[error("{orders} orders would lose their seats")]
    OrdersWithoutSeats {
        /// Orders that would lose them.
        orders: usize,
    },
    /// Whoever asks has caused as much of what is kept as anybody may: ended orders, keys, parties that wait no longer.
    /// Each leaves a day after it was over.
    #[error("{kept} things are kept already, of at most {limit}")]
    QuotaExceeded {
        /// Whose share it is.
        whose: QuotaOf,
        /// How many things are kept.
        kept: u32,
        /// How many may be.
        limit: u32,
        /// After how many seconds the first of them leaves.
        wait_seconds: u32,
    },
    /// The flight knows no such entry of its waitlist.
    #[error("no such waitlist entry")]
    WaitlistEntryNotFound,
    /// As many parties wait as may.
    #[error("as many parties wait as may")]
    WaitlistFull,
    /// The command makes no sense for this flight.
    #[error("{field}: {message}")]
    Invalid {
        /// The field of the request that is wrong.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

fn list(seats: &Seats) -> String {
    seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
