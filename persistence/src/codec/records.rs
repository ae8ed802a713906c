//! Events, orders and snapshots inside records: mirrors of the flight's types that bincode may know.
//! Never trusts what was decoded: every value goes through the checked constructor of its type.

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::cabin::check_cabins;
use farerush_engine::flight::{
    AdminName, Cause, CustomerId, Event, Fingerprint, FlightId, FlightSnapshot, IdempotencyKey, Order,
    OrderExtras, OrderNo, OrderPlaced, OrderStatus, Reference, Sale, Seq, Timestamp,
};

use super::parts::{
    CabinRecord, DefinitionRecord, PassengersRecord, PolicyRecord, Restored, SeatsRecord, switch_from_byte,
    switch_to_byte,
};

/// Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
pub(super) enum EventRecord<'a> {
    FlightCreated(DefinitionRecord<'a>, PolicyRecord),
    SaleSwitched(u8, PolicyRecord),
    PolicyChanged(PolicyRecord),
    SeatsBlocked(SeatsRecord),
    SeatsUnblocked(SeatsRecord),
    RowsAdded(CabinRecord<'a>),
    OrderPlaced(PlacedRecord<'a>),
    OrderConfirmed {
        order: u64,
        payment_reference: Option<&'a str>,
        seats: SeatsRecord,
    },
    OrderCancelled {
        order: u64,
        freed: SeatsRecord,
    },
    OrderExpired {
        order: u64,
        freed: SeatsRecord,
    },
    OrderChanged {
        order: u64,
        seats: SeatsRecord,
        freed: SeatsRecord,
        held: bool,
        total: i64,
        passengers: Option<PassengersRecord<'a>>,
    },
    /// Not an event, but what the event behind it followed from.
    Caused(CauseRecord<'a>),
}

#[derive(Encode, BorrowDecode)]
pub(super) struct CauseRecord<'a> {
    by: Option<&'a str>,
    idempotency: Option<(&'a str, u64)>,
}

impl<'a> From<&'a Cause> for CauseRecord<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            by: cause.by.as_ref().map(AdminName::as_str),
            idempotency: cause.idempotency.as_ref().map(|(key, print)| (key.as_str(), print.0)),
        }
    }
}

impl CauseRecord<'_> {
    pub(super) fn restore(self) -> Restored<Cause> {
        Ok(Cause {
            by: self.by.map(AdminName::new).transpose()?,
            idempotency: restore_idempotency(self.idempotency)?,
        })
    }
}

impl<'a> From<&'a Event> for EventRecord<'a> {
    #[inline]
    fn from(event: &'a Event) -> Self {
        match event {
            Event::FlightCreated { definition, policy } => {
                Self::FlightCreated(DefinitionRecord::from(&**definition), PolicyRecord::from(policy))
            }
            Event::SaleSwitched { switch, policy } => {
                Self::SaleSwitched(switch_to_byte(*switch), PolicyRecord::from(policy))
            }
            Event::PolicyChanged { policy } => Self::PolicyChanged(PolicyRecord::from(policy)),
            Event::SeatsBlocked { seats } => Self::SeatsBlocked(SeatsRecord(seats.clone())),
            Event::SeatsUnblocked { seats } => Self::SeatsUnblocked(SeatsRecord(seats.clone())),
            Event::RowsAdded { cabin } => Self::RowsAdded(CabinRecord::from(&**cabin)),
            Event::OrderPlaced(placed) => Self::OrderPlaced(PlacedRecord::from(&**placed)),
            Event::OrderConfirmed { order, payment_reference, seats } => Self::OrderConfirmed {
                order: order.0,
                payment_reference: payment_reference.as_ref().map(Reference::as_str),
                seats: SeatsRecord(seats.clone()),
            },
            Event::OrderCancelled { order, freed } => {
                Self::OrderCancelled { order: order.0, freed: SeatsRecord(freed.clone()) }
            }
            Event::OrderExpired { order, freed } => {
                Self::OrderExpired { order: order.0, freed: SeatsRecord(freed.clone()) }
            }
            Event::OrderChanged { order, seats, freed, held, total, passengers } => Self::OrderChanged {
                order: order.0,
                seats: SeatsRecord(seats.clone()),
                freed: SeatsRecord(freed.clone()),
                held: *held,
                total: *total,
                passengers: passengers.as_ref().map(PassengersRecord::from),
            },
        }
    }
}

impl EventRecord<'_> {
    pub(super) fn restore(self, flight_id: &FlightId) -> Restored<Event> {
        Ok(match self {
            Self::FlightCreated(definition, policy) => Event::FlightCreated {
                definition: Box::new(definition.restore(flight_id)?),
                policy: policy.restore(),
            },
            Self::SaleSwitched(switch, policy) => {
                Event::SaleSwitched { switch: switch_from_byte(switch)?, policy: policy.restore() }
            }
            Self::PolicyChanged(policy) => Event::PolicyChanged { policy: policy.restore() },
            Self::SeatsBlocked(seats) => Event::SeatsBlocked { seats: seats.0 },
            Self::SeatsUnblocked(seats) => Event::SeatsUnblocked { seats: seats.0 },
            Self::RowsAdded(cabin) => {
                let cabin = cabin.restore()?;
                check_cabins(std::slice::from_ref(&cabin))?;
                Event::RowsAdded { cabin: Box::new(cabin) }
            }
            Self::OrderPlaced(placed) => Event::OrderPlaced(Box::new(placed.restore()?)),
            Self::OrderConfirmed { order, payment_reference, seats } => Event::OrderConfirmed {
                order: OrderNo(order),
                payment_reference: payment_reference.map(Reference::new).transpose()?,
                seats: seats.0,
            },
            Self::OrderCancelled { order, freed } => {
                Event::OrderCancelled { order: OrderNo(order), freed: freed.0 }
            }
            Self::OrderExpired { order, freed } => {
                Event::OrderExpired { order: OrderNo(order), freed: freed.0 }
            }
            Self::OrderChanged { order, seats, freed, held, total, passengers } => Event::OrderChanged {
                order: OrderNo(order),
                seats: seats.0,
                freed: freed.0,
                held,
                total,
                passengers: passengers.map(PassengersRecord::restore).transpose()?,
            },
            Self::Caused(_) => return Err("a cause without an event".into()),
        })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct PlacedRecord<'a> {
    customer: &'a str,
    seats: SeatsRecord,
    total: i64,
    hold_expires_at: Option<i64>,
    passengers: Option<PassengersRecord<'a>>,
    client_reference: Option<&'a str>,
    idempotency: Option<(&'a str, u64)>,
}

impl<'a> From<&'a OrderPlaced> for PlacedRecord<'a> {
    #[inline]
    fn from(placed: &'a OrderPlaced) -> Self {
        Self {
            customer: placed.customer.as_str(),
            seats: SeatsRecord(placed.seats.clone()),
            total: placed.total,
            hold_expires_at: placed.hold_expires_at.map(Timestamp::as_millis),
            passengers: placed.passengers.as_ref().map(PassengersRecord::from),
            client_reference: placed.client_reference.as_ref().map(Reference::as_str),
            idempotency: placed.idempotency.as_ref().map(|(key, print)| (key.as_str(), print.0)),
        }
    }
}

impl PlacedRecord<'_> {
    fn restore(self) -> Restored<OrderPlaced> {
        Ok(OrderPlaced {
            customer: CustomerId::new(self.customer)?,
            seats: self.seats.0,
            total: self.total,
            hold_expires_at: self.hold_expires_at.map(Timestamp::from_millis),
            passengers: self.passengers.map(PassengersRecord::restore).transpose()?,
            client_reference: self.client_reference.map(Reference::new).transpose()?,
            idempotency: restore_idempotency(self.idempotency)?,
        })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct OrderRecord<'a> {
    no: u64,
    customer: &'a str,
    seats: SeatsRecord,
    total: i64,
    status: u8,
    hold_expires_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    changed_by: u64,
    extras: Option<ExtrasRecord<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct ExtrasRecord<'a> {
    passengers: Option<PassengersRecord<'a>>,
    client_reference: Option<&'a str>,
    payment_reference: Option<&'a str>,
    idempotency: Option<(&'a str, u64)>,
}

impl<'a> From<&'a Order> for OrderRecord<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            no: order.no.0,
            customer: order.customer.as_str(),
            seats: SeatsRecord(order.seats.clone()),
            total: order.total,
            status: match order.status {
                OrderStatus::Held => 0,
                OrderStatus::Confirmed => 1,
                OrderStatus::Cancelled => 2,
                OrderStatus::Expired => 3,
            },
            hold_expires_at: order.hold_expires_at.map(Timestamp::as_millis),
            created_at: order.created_at.as_millis(),
            updated_at: order.updated_at.as_millis(),
            changed_by: order.changed_by.0,
            extras: order.extras.as_deref().map(|extras| ExtrasRecord {
                passengers: extras.passengers.as_ref().map(PassengersRecord::from),
                client_reference: extras.client_reference.as_ref().map(Reference::as_str),
                payment_reference: extras.payment_reference.as_ref().map(Reference::as_str),
                idempotency: extras.idempotency.as_ref().map(|(key, print)| (key.as_str(), print.0)),
            }),
        }
    }
}

impl OrderRecord<'_> {
    pub(super) fn restore(self) -> Restored<Order> {
        Ok(Order {
            no: OrderNo(self.no),
            customer: CustomerId::new(self.customer)?,
            seats: self.seats.0,
            total: self.total,
            status: match self.status {
                0 => OrderStatus::Held,
                1 => OrderStatus::Confirmed,
                2 => OrderStatus::Cancelled,
                3 => OrderStatus::Expired,
                other => return Err(format!("order status {other}").into()),
            },
            hold_expires_at: self.hold_expires_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            changed_by: Seq(self.changed_by),
            extras: self.extras.map(ExtrasRecord::restore).transpose()?.map(Box::new),
        })
    }
}

impl ExtrasRecord<'_> {
    fn restore(self) -> Restored<OrderExtras> {
        Ok(OrderExtras {
            passengers: self.passengers.map(PassengersRecord::restore).transpose()?,
            client_reference: self.client_reference.map(Reference::new).transpose()?,
            payment_reference: self.payment_reference.map(Reference::new).transpose()?,
            payment_begun_at: None,
            idempotency: restore_idempotency(self.idempotency)?,
        })
    }
}

fn restore_idempotency(stored: Option<(&str, u64)>) -> Restored<Option<(IdempotencyKey, Fingerprint)>> {
    let Some((key, fingerprint)) = stored else { return Ok(None) };
    Ok(Some((IdempotencyKey::new(key)?, Fingerprint(fingerprint))))
}

/// A snapshot without its orders, which follow it one by one.
#[derive(Encode, BorrowDecode)]
pub(super) struct SnapshotRecord<'a> {
    definition: DefinitionRecord<'a>,
    policy: PolicyRecord,
    switch: u8,
    last_at: i64,
    blocked: SeatsRecord,
}

impl<'a> From<&'a FlightSnapshot> for SnapshotRecord<'a> {
    fn from(snapshot: &'a FlightSnapshot) -> Self {
        Self {
            definition: DefinitionRecord::from(&snapshot.definition),
            policy: PolicyRecord::from(&snapshot.sale.policy),
            switch: switch_to_byte(snapshot.sale.switch),
            last_at: snapshot.last_at.as_millis(),
            blocked: SeatsRecord(snapshot.blocked.clone()),
        }
    }
}

impl SnapshotRecord<'_> {
    pub(super) fn restore(self, flight_id: &FlightId, seq: Seq) -> Restored<FlightSnapshot> {
        Ok(FlightSnapshot {
            definition: self.definition.restore(flight_id)?,
            sale: Sale { policy: self.policy.restore(), switch: switch_from_byte(self.switch)? },
            seq,
            last_at: Timestamp::from_millis(self.last_at),
            blocked: self.blocked.0,
            orders: Vec::new(),
        })
    }
}
