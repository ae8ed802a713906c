//! An order: what a grab gives, and what becomes of it.
//! Never decides anything: the flight does.

use std::sync::Arc;

use super::cabin::Seats;
use super::head::Head;
use super::ids::{CustomerId, IdempotencyKey, OrderNo, PassengerName, Reference, Seq, Timestamp};
use super::seat_map::SeatStatus;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// Unpaid, with a deadline; its seats are held.
    Held,
    /// Its seats are sold.
    Confirmed,
    /// Given up by somebody; its seats went back on sale.
    Cancelled,
    /// Ran past its deadline; its seats went back on sale.
    Expired,
}

impl OrderStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Held, Self::Confirmed, Self::Cancelled, Self::Expired];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether an order in this status has seats.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Confirmed)
    }
}

/// The names of those who fly, by place in the order's seats; `None` where nobody was named yet.
pub type Passengers = Arc<[Option<PassengerName>]>;

/// A hash of everything a grab's body says, to tell a repeated request from another one under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

/// What only some orders have; kept apart so that the others stay small.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct OrderExtras {
    /// The passengers, if any were named.
    pub passengers: Option<Passengers>,
    /// The client's own reference.
    pub client_reference: Option<Reference>,
    /// The payment that confirmed it.
    pub payment_reference: Option<Reference>,
    /// When its payment began, which moved its deadline once.
    pub payment_begun_at: Option<Timestamp>,
    /// Payments that came for nothing, at most `RETURNED_PAYMENTS_MAX`, in the order they came.
    pub returned_payments: Vec<Reference>,
    /// The key it was placed under, and the fingerprint of the body that came with it.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

/// An order as the flight knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// Its number: the seq of the event that placed it.
    pub no: OrderNo,
    /// Who ordered.
    pub customer: CustomerId,
    /// Its seats; those of an ended order are the ones it had last.
    pub seats: Seats,
    /// What the seats cost together, in minor units of the flight's currency.
    pub total: i64,
    /// Where it stands.
    pub status: OrderStatus,
    /// Until when it is held; only while it is.
    pub hold_expires_at: Option<Timestamp>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The event that last changed it.
    pub changed_by: Seq,
    /// The chain's head after that event: a receipt by which it can be shown later that the event was there. None in orders
    /// that last changed before there were chains.
    pub proof: Option<Head>,
    /// What only some orders have.
    pub extras: Option<Box<OrderExtras>>,
}

impl Order {
    /// The name of the passenger on the seat at `place` of this order's seats.
    pub fn passenger(&self, place: usize) -> Option<&PassengerName> {
        self.extras.as_ref()?.passengers.as_ref()?.get(place)?.as_ref()
    }

    /// The key the order was placed under, and the fingerprint of its body.
    pub fn idempotency(&self) -> Option<&(IdempotencyKey, Fingerprint)> {
        self.extras.as_ref()?.idempotency.as_ref()
    }

    /// The payment that confirmed it.
    pub fn payment_reference(&self) -> Option<&Reference> {
        self.extras.as_ref()?.payment_reference.as_ref()
    }

    /// When its payment began.
    pub fn payment_begun_at(&self) -> Option<Timestamp> {
        self.extras.as_ref()?.payment_begun_at
    }

    /// Payments that came for nothing.
    pub fn returned_payments(&self) -> &[Reference] {
        self.extras.as_ref().map_or(&[], |extras| &extras.returned_payments)
    }

    /// The client's own reference.
    pub fn client_reference(&self) -> Option<&Reference> {
        self.extras.as_ref()?.client_reference.as_ref()
    }

    /// Whether it is live, or ended no sooner than at `oldest`.
    pub(super) fn is_known_since(&self, oldest: Timestamp) -> bool {
        self.status.is_live() || self.updated_at >= oldest
    }

    /// How the seats of this order stand while it is live.
    pub(super) fn seat_status(&self) -> SeatStatus {
        if self.status == OrderStatus::Held { SeatStatus::Held } else { SeatStatus::Sold }
    }
}
