//! What happened to a flight: the only thing that is stored. Replaying a flight's events gives the flight.
//! Never holds anything that a later version could compute differently.

use std::sync::Arc;

use compact_str::CompactString;

use super::cabin::{Cabin, Currency, Seats};
use super::flight_ids::FlightIds;
use super::head::Head;
use super::ids::{
    AdminName, CustomerId, Epoch, FlightId, IdempotencyKey, OrderNo, Reference, Seq, TimeZoneName, Timestamp,
    WaitlistNo,
};
use super::order::{Fingerprint, Passengers};
use super::payment::ReturnedBecause;
use super::reseat::Reseated;
use super::sale::{SalePolicy, SaleSwitch};
use super::secrets::{EraNonce, SecretId};
use super::waitlist::types::{LeftBecause, WaitlistWish};

/// What a flight is, apart from its sale.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlightDefinition {
    /// The flight's id.
    pub flight_id: FlightId,
    /// The airline's flight number, such as `FR101`.
    pub flight_number: CompactString,
    /// IATA code of the airport it leaves.
    pub origin: CompactString,
    /// IATA code of the airport it goes to.
    pub destination: CompactString,
    /// When it leaves.
    pub departs_at: Timestamp,
    /// The time zone of the origin, by which its day is told; none in flights of before there was one.
    pub origin_time_zone: Option<TimeZoneName>,
    /// Name of the aircraft template, if it was made from one.
    pub aircraft: Option<CompactString>,
    /// Its cabins; checked by `check_cabins`.
    pub cabins: Vec<Cabin>,
    /// What its ids are made of, and whom it has belonged to.
    pub ids: FlightIds,
}

/// An order was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPlaced {
    /// The customer who ordered.
    pub customer: CustomerId,
    /// On which seats.
    pub seats: Seats,
    /// What they cost together, in minor units.
    pub total: i64,
    /// Until when they are held; `None`: confirmed at once.
    pub hold_expires_at: Option<Timestamp>,
    /// Who flies.
    pub passengers: Option<Passengers>,
    /// The client's own reference.
    pub client_reference: Option<Reference>,
    /// Under which key, with which body.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

/// The flight got another seat plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CabinsChange {
    /// Name of the aircraft's template from now on.
    pub aircraft: Option<CompactString>,
    /// All cabins from now on.
    pub cabins: Vec<Cabin>,
    /// All seats that are off sale from now on.
    pub blocked: Seats,
    /// All live orders and their seats from now on, by number, moved or not: at most as many as there are seats.
    pub seated: Vec<(OrderNo, Seats)>,
    /// Orders without a place, which end as cancelled, by number.
    pub cancelled: Vec<OrderNo>,
    /// What whoever asked for it was told; events of earlier versions do not say.
    pub told: Option<Arc<Reseated>>,
}

/// The sale is over, and nobody has seats any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedForGood {
    /// The sale's rules.
    pub policy: SalePolicy,
    /// All orders that had seats, by number, with the seats that are free again.
    pub cancelled: Vec<(OrderNo, Seats)>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The flight exists from now on: always the first event, and only that.
    FlightCreated {
        /// What it is.
        definition: Box<FlightDefinition>,
        /// The sale's rules at first.
        policy: SalePolicy,
    },
    /// Somebody opened, paused or closed the sale.
    SaleSwitched {
        /// What the switch was set to.
        switch: SaleSwitch,
        /// The rules from now on (opening a sale before `opens_at` or after `closes_at` changes these).
        policy: SalePolicy,
    },
    /// The sale's rules changed.
    PolicyChanged {
        /// All of them, as they are now.
        policy: SalePolicy,
    },
    /// Free seats were taken off sale.
    SeatsBlocked {
        /// The seats concerned, each once.
        seats: Seats,
    },
    /// Blocked seats came back on sale.
    SeatsUnblocked {
        /// The seats concerned, each once.
        seats: Seats,
    },
    /// Rows were added.
    RowsAdded {
        /// As a cabin of their own.
        cabin: Box<Cabin>,
    },
    /// A customer got seats; the event's seq is the order's number.
    OrderPlaced(Box<OrderPlaced>),
    /// A held order was paid.
    OrderConfirmed {
        /// Number of the order.
        order: OrderNo,
        /// By which payment.
        payment_reference: Option<Reference>,
        /// The seats that are sold now.
        seats: Seats,
    },
    /// An order was given up; its seats are free again.
    OrderCancelled {
        /// Number of the order.
        order: OrderNo,
        /// The seats that are free again.
        freed: Seats,
    },
    /// An order ran past its deadline; its seats are free again.
    OrderExpired {
        /// Number of the order.
        order: OrderNo,
        /// The seats that are free again.
        freed: Seats,
    },
    /// An order's seats or passengers changed.
    OrderChanged {
        /// Number of the order.
        order: OrderNo,
        /// Its seats from now on (the same ones, if only passengers changed).
        seats: Seats,
        /// Seats it had and gave back.
        freed: Seats,
        /// Whether its seats are held or sold.
        held: bool,
        /// What they cost together, in minor units.
        total: i64,
        /// Its passengers from now on, by place in `seats` (the same ones, if only seats changed).
        passengers: Option<Passengers>,
    },
    /// The payment of a held order began.
    PaymentBegun {
        /// Number of the order.
        order: OrderNo,
        /// Until when it is held from now on; never sooner than before.
        hold_expires_at: Timestamp,
    },
    /// An expired order was paid after all, and its very seats were still free.
    OrderRevived {
        /// Number of the order.
        order: OrderNo,
        /// The seats that are sold now.
        seats: Seats,
        /// By which payment.
        payment_reference: Option<Reference>,
    },
    /// A payment of an order came for nothing, and its money has to go back.
    PaymentReturned {
        /// For which order.
        order: OrderNo,
        /// Which payment.
        payment_reference: Reference,
        /// How much, in minor units.
        amount: i64,
        /// Of this currency.
        currency: Currency,
        /// Why it came for nothing.
        because: ReturnedBecause,
    },
    /// The flight got another seat plan, and everybody with seats a place in it, or their order ended.
    CabinsChanged(Box<CabinsChange>),
    /// A party waits from now on; the event's seq is its entry's number.
    WaitlistJoined(Box<WaitlistWish>),
    /// A party no longer waits, and got nothing.
    WaitlistLeft {
        /// Its entry.
        entry: WaitlistNo,
        /// Why it came about.
        reason: LeftBecause,
    },
    /// A party that waited got seats; the event's seq is the number of its order, as with `OrderPlaced`.
    WaitlistServed {
        /// Its entry.
        entry: WaitlistNo,
        /// Its order.
        placed: Box<OrderPlaced>,
    },
    /// The flight keeps too much that is over: what ended by this event or before is only in the store from now on.
    Forgotten {
        /// The last event of those.
        through: Seq,
    },
    /// The sale was closed, and with it all orders that had seats ended.
    ClosedForGood(Box<ClosedForGood>),
    /// What was asked for under a key was so already. Only the key is remembered, so that the request stays without
    /// effect when it is repeated later.
    NothingChanged {
        /// The order it was about, if it was about one.
        order: Option<OrderNo>,
        /// The entry of the waitlist it was about, if it was about one.
        entry: Option<WaitlistNo>,
    },
    /// The sale was over by its own rules before this, and somebody may have been told so: it stays over for whoever comes,
    /// whatever their clock says.
    SaleEnded,
    /// A new owner begins: the first event under its epoch, in front of whatever else it decides.
    TakenOver {
        /// Its epoch.
        epoch: Epoch,
        /// With which secret it makes ids.
        secret: SecretId,
        /// What tells it from any other owner.
        nonce: EraNonce,
    },
}

/// An event with its place in the flight's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place: 1, 2, 3, ...
    pub seq: Seq,
    /// When it was decided; never before the event in front of it.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// Who asked for it, if that has to be remembered: mostly nobody, and then this takes eight bytes.
    pub cause: Option<Box<Cause>>,
    /// The chain's head after it, where whoever recorded it said so: the last event of each turn has one.
    pub head: Option<Head>,
}

/// What is remembered of the request that an event followed from. A grab's key stands in [`OrderPlaced`] instead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// The admin who asked; `None`: a customer, or the flight itself.
    pub by: Option<AdminName>,
    /// The key the request came under, and the fingerprint of what it asked for.
    pub idempotency: Option<(IdempotencyKey, Fingerprint)>,
}

impl Event {
    /// The order that this event changed; not that which it placed, whose number is the event's own seq.
    pub fn order(&self) -> Option<OrderNo> {
        match self {
            Self::OrderConfirmed { order, .. }
            | Self::OrderCancelled { order, .. }
            | Self::OrderExpired { order, .. }
            | Self::OrderChanged { order, .. }
            | Self::PaymentBegun { order, .. }
            | Self::PaymentReturned { order, .. }
            | Self::OrderRevived { order, .. } => Some(*order),
            Self::NothingChanged { order, .. } => *order,
            _ => None,
        }
    }
}
