//! What can be asked of a flight. A command is well-formed by its types; whether it is granted, the flight decides.
//! Never checks a rule of the sale.

use compact_str::CompactString;
use xxhash_rust::xxh3::Xxh3Default;

use super::cabin::{Cabin, CabinClass, Fare, Seats};
use super::ids::{CustomerId, IdempotencyKey, OrderRef, Reference, Timestamp, WaitlistRef};
use super::order::{Fingerprint, OrderStatus, Passengers};
use super::payment::Covers;
use super::waitlist::types::WaitlistWish;

/// How much a party wants to sit side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Together {
    /// In one row, or not at all.
    Required,
    /// In one row if possible, else near each other.
    #[default]
    Preferred,
    /// Wherever there are seats.
    Any,
}

impl Together {
    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Preferred => "preferred",
            Self::Any => "any",
        }
    }

    /// The wish with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Required, Self::Preferred, Self::Any].into_iter().find(|wish| wish.as_str() == name)
    }
}

/// Which seats a grab asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// So many seats, at least 1; the flight chooses.
    Quantity {
        /// Seats that are wanted, at least 1.
        quantity: u16,
        /// How they should stand to one another.
        together: Together,
    },
    /// Exactly these, all or none; at least one, none twice.
    Named(Seats),
}

impl Wanted {
    /// How many seats are asked for.
    pub fn quantity(&self) -> usize {
        match self {
            Self::Quantity { quantity, .. } => usize::from(*quantity),
            Self::Named(seats) => seats.len(),
        }
    }
}

/// A customer's request for seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grab {
    /// Who asks.
    pub customer: CustomerId,
    /// For which seats.
    pub wanted: Wanted,
    /// Only in this class.
    pub cabin_class: Option<CabinClass>,
    /// Who will fly, as many as seats or fewer.
    pub passengers: Option<Passengers>,
    /// The client's own reference.
    pub client_reference: Option<Reference>,
    /// The key under which a repetition gives the same order.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Grab {
    /// The hash (XXH3, 64 bits) of everything the body says, in a fixed form; the key is not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Xxh3Default::new();
        let mut field = |tag: u8, bytes: &[u8]| {
            hash.update(&[tag]);
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        field(1, self.customer.as_str().as_bytes());
        match &self.wanted {
            Wanted::Quantity { quantity, together } => {
                field(2, &quantity.to_le_bytes());
                field(3, together.as_str().as_bytes());
            }
            Wanted::Named(seats) => seats.iter().for_each(|seat| field(4, &seat.packed().to_le_bytes())),
        }
        if let Some(class) = self.cabin_class {
            field(5, class.as_str().as_bytes());
        }
        for passenger in self.passengers.iter().flat_map(|passengers| passengers.iter()) {
            match passenger {
                Some(name) => field(6, name.as_str().as_bytes()),
                None => field(7, &[]),
            }
        }
        if let Some(reference) = &self.client_reference {
            field(8, reference.as_str().as_bytes());
        }
        Fingerprint(hash.digest())
    }
}

/// Changes to a sale's rules; `None` leaves a rule as it is, `Some(None)` takes a moment away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyChange {
    /// New opening moment.
    pub opens_at: Option<Option<Timestamp>>,
    /// New closing moment.
    pub closes_at: Option<Option<Timestamp>>,
    /// New limit per order.
    pub max_seats_per_order: Option<u16>,
    /// New limit per customer.
    pub max_seats_per_customer: Option<u16>,
    /// New time for unpaid orders.
    pub hold_seconds: Option<u32>,
    /// New time that a payment stops a hold's deadline.
    pub payment_grace_seconds: Option<u32>,
    /// New time before departure at which the sale ends.
    pub closes_before_minutes: Option<u16>,
}

/// Another seat plan for a flight whose seats are being sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeatPlan {
    /// Another aircraft.
    Aircraft {
        /// Name of its template, if it was made from one.
        aircraft: Option<CompactString>,
        /// All its cabins.
        cabins: Vec<Cabin>,
    },
    /// The present one without these seats: they are blocked, and whoever has them gets others.
    Without(Seats),
    /// An aircraft that is named, at these fares; whatever class neither of them says anything of costs what it does now.
    Template {
        /// The template's name.
        aircraft: CompactString,
        /// For all classes that have none of their own.
        fare: Option<Fare>,
        /// By class.
        fares: Vec<(CabinClass, Fare)>,
    },
    /// The present one without these rows, the last one included.
    WithoutRows {
        /// The first row.
        first: u16,
        /// The last row.
        last: u16,
    },
}

/// A payment for an order, as whoever confirms the order tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its name at whoever took the money.
    pub reference: Reference,
    /// For what it was made.
    pub covers: Covers,
}

/// What the store knows of an order that its flight has forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLongAgo {
    /// How it ended.
    pub status: OrderStatus,
    /// What it cost, in minor units.
    pub total: i64,
    /// The payment that had confirmed it, if one had.
    pub payment_reference: Option<Reference>,
    /// Payments of it that came for nothing and are noted already.
    pub returned: Vec<Reference>,
}

/// What is asked of a flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Seats for a customer.
    Grab(Grab),
    /// A held order is paid.
    Confirm {
        /// The order.
        order: OrderRef,
        /// The payment; only an order that costs nothing needs none.
        payment: Option<Payment>,
    },
    /// A payment for an order that ended so long ago that the flight has forgotten it: refused, and noted.
    ReturnPayment {
        /// The order.
        order: OrderRef,
        /// The payment.
        payment: Payment,
        /// What is still known of the order.
        ended: EndedLongAgo,
    },
    /// A held order is about to be paid: its deadline waits for that, once and for a bounded time.
    Pay {
        /// The order.
        order: OrderRef,
    },
    /// An order is given up.
    Cancel {
        /// The order.
        order: OrderRef,
    },
    /// An order's seats or passengers are changed, all or nothing.
    Change {
        /// The order.
        order: OrderRef,
        /// The seats it shall have instead, as many as it has.
        seats: Option<Seats>,
        /// Its passengers from now on.
        passengers: Option<Passengers>,
    },
    /// The sale opens now.
    OpenSale,
    /// The sale stops for the time being.
    PauseSale,
    /// The sale is over.
    CloseSale,
    /// The sale is over, and all orders that have seats are given up.
    CloseForGood,
    /// The sale's rules change.
    ChangePolicy(PolicyChange),
    /// Free seats are taken off sale.
    Block(Seats),
    /// Blocked seats come back on sale.
    Unblock(Seats),
    /// The flight gets more rows.
    AddRows(Cabin),
    /// A party wants to wait until seats come back.
    JoinWaitlist(Box<WaitlistWish>),
    /// A party no longer wants to wait.
    LeaveWaitlist {
        /// Its entry.
        entry: WaitlistRef,
    },
    /// The flight gets another seat plan: everybody keeps their seats or gets others of the same class and fare.
    ChangeSeatPlan {
        /// The seat plan that it shall have.
        plan: SeatPlan,
        /// Whether orders without a place in it are cancelled; else the change is refused where there are any.
        cancel_stranded: bool,
    },
}
