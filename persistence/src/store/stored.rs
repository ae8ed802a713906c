//! What the tables hold, as the rest of the process sees it: cursors, orders, seats, flights.
//! Never knows a column.

use farerush_engine::flight::{
    CabinClass, Currency, CustomerId, Epoch, FlightId, Head, Order, OrderId, OrderNo, OrderStatus,
    PassengerName, Seat, Seq, Timestamp,
};

use super::waitlist::StoredWaitlistEntry;

/// How far a flight's rows have come, and who may write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The last event whose rows are stored; 0 if there is none.
    pub seq: Seq,
    /// When that event was decided.
    pub last_at: Timestamp,
    /// The chain's head after that event; none where no event was in a chain yet.
    pub head: Option<Head>,
}

/// What became of one batch of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flushed {
    /// It is stored now.
    Stored,
    /// All of it had been stored before.
    AlreadyStored {
        /// Where the flight's cursor is.
        stored: Seq,
    },
    /// A later epoch owns the flight: nothing of the batch was written, nor ever will be.
    Fenced {
        /// The epoch that owns the flight.
        owner: Epoch,
    },
    /// Events between the cursor and the batch (or within the batch) are missing: nothing of it was written.
    Gap {
        /// Where the flight's cursor is: what follows it is wanted first.
        stored: Seq,
    },
    /// Its events cannot have happened to the flight as it is stored: nothing of it was written. Somebody must look.
    Misfit {
        /// Where the flight's cursor is.
        stored: Seq,
        /// Which event does not fit, and why.
        what: String,
    },
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// Its public id.
    pub order_id: OrderId,
    /// What the traveller reads out.
    pub record_locator: String,
    /// The currency of its total.
    pub currency: Currency,
    /// The order itself.
    pub order: Order,
}

/// How a seat stands in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketStatus {
    /// On sale.
    Free,
    /// An unpaid order has it.
    Held,
    /// A confirmed order has it.
    Sold,
    /// Taken off sale.
    Blocked,
}

/// A seat as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which seat.
    pub seat: Seat,
    /// The class of its cabin.
    pub cabin_class: CabinClass,
    /// Its fare, in minor units of the flight's currency.
    pub fare: i64,
    /// How it stands.
    pub status: TicketStatus,
    /// The order that has it.
    pub order: Option<OrderNo>,
    /// Who sits there, if that is known.
    pub passenger: Option<PassengerName>,
}

/// Everything the tables hold of a flight.
#[derive(Debug, Clone)]
pub struct StoredFlight {
    /// How far they have come.
    pub cursor: Cursor,
    /// All orders, ended ones too, by rising number.
    pub orders: Vec<StoredOrder>,
    /// All seats, by row and letter.
    pub tickets: Vec<Ticket>,
    /// All entries of the waitlist, those that wait no longer, too, by rising number.
    pub waitlist: Vec<StoredWaitlistEntry>,
}

/// Which orders are wanted; everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this flight.
    pub flight_id: Option<FlightId>,
    /// In this status.
    pub status: Option<OrderStatus>,
    /// With this record locator; within a flight it is unique, elsewhere several orders may have it.
    pub record_locator: Option<String>,
    /// Placed at this moment or later.
    pub created_from: Option<Timestamp>,
    /// Placed before this moment.
    pub created_to: Option<Timestamp>,
}

/// A place in the list of orders, newest first: the order after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPlace {
    /// When the order was placed.
    pub created_at: Timestamp,
    /// Its flight.
    pub flight_id: FlightId,
    /// Its number.
    pub order: OrderNo,
}

/// Orders of one page, and what they show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The orders, newest first.
    pub orders: Vec<StoredOrder>,
    /// Whether they are as this store last wrote them; a replica may not have all of that yet.
    pub is_newest: bool,
}

impl Cursor {
    /// The cursor of a flight of which nothing is stored and which nobody owns.
    pub fn new(flight_id: &FlightId) -> Self {
        Self {
            flight_id: flight_id.clone(),
            epoch: Epoch(0),
            seq: Seq(0),
            last_at: Timestamp::from_millis(0),
            head: None,
        }
    }
}

impl StoredOrder {
    /// Where this order stands in the list of orders.
    pub fn place(&self) -> OrderPlace {
        OrderPlace {
            created_at: self.order.created_at,
            flight_id: self.order_id.flight_id.clone(),
            order: self.order.no,
        }
    }
}

impl TicketStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Free, Self::Held, Self::Sold, Self::Blocked];

    /// The name the tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Sold => "sold",
            Self::Blocked => "blocked",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// How the seats of an order in this status stand.
    pub(super) const fn of(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Held => Self::Held,
            OrderStatus::Confirmed => Self::Sold,
            OrderStatus::Cancelled | OrderStatus::Expired => Self::Free,
        }
    }
}

impl Ticket {
    /// The ticket of a seat that nobody has.
    pub fn is_unsold(&self) -> bool {
        self.order.is_none()
    }
}
