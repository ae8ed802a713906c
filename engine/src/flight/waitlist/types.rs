//! Parties that wait for seats: what they ask for, what they take, and where they stand.
//! Never says who is served.

use crate::flight::cabin::CabinClass;
use crate::flight::ids::{CustomerId, OrderNo, Reference, Seq, Timestamp, WaitlistNo};

/// Most parties that wait for one flight at the same time.
pub const WAITING_MAX: usize = 10_000;
/// Most entries with which one customer waits for one flight.
pub const WAITING_PER_CUSTOMER_MAX: u16 = 9;
/// How long seats from the waitlist are held where the sale holds none, in seconds: nobody is asked before they get
/// them, so that they need time to hear of it.
pub const WAITLIST_HOLD_SECONDS_DEFAULT: u32 = 600;

/// What a party that waits takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accept {
    /// A seat for everybody, side by side in one row.
    AllTogether,
    /// A seat for everybody, wherever there are some.
    All,
    /// As many seats as there are, but at least so many (at least 1, at most the party).
    AtLeast(u16),
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitlistStatus {
    /// It waits.
    Waiting,
    /// It got seats, as this order.
    Served(OrderNo),
    /// The customer gave it up.
    Left,
    /// Its time ran out, or the flight left.
    Expired,
}

impl WaitlistStatus {
    /// The names of all statuses.
    pub const NAMES: [&'static str; 4] = ["waiting", "served", "left", "expired"];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Served(_) => "served",
            Self::Left => "left",
            Self::Expired => "expired",
        }
    }
}

/// Why somebody waits no longer, other than having got seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeftBecause {
    /// The customer gave it up.
    GivenUp,
    /// Its time ran out, or the flight left.
    Expired,
}

/// What a party asks for that wants to wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitlistWish {
    /// Who asks.
    pub customer: CustomerId,
    /// For how many seats, at least 1.
    pub party_size: u16,
    /// What it takes.
    pub accept: Accept,
    /// Only in this class.
    pub cabin_class: Option<CabinClass>,
    /// Until when it waits, at the longest until the flight leaves.
    pub expires_at: Option<Timestamp>,
    /// The client's own reference; the order gets it, too.
    pub client_reference: Option<Reference>,
}

/// A party on the waitlist, as the flight knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitlistEntry {
    /// Its number: the seq of the event that put it there.
    pub no: WaitlistNo,
    /// What it asked for.
    pub wish: WaitlistWish,
    /// Where it stands.
    pub status: WaitlistStatus,
    /// Since when it waits.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The event that last changed it.
    pub changed_by: Seq,
}

/// Where a party that waits stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitlistPlace {
    /// Parties in front of it, whatever they take.
    pub parties_ahead: u32,
    /// Seats that those want together.
    pub seats_ahead: u32,
}
