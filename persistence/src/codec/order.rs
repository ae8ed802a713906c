//! Orders inside records: as they were placed, and as they stand.
//! Never trusts what was decoded: every value goes through the checked constructor of its type.

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::{
    CustomerId, Fingerprint, IdempotencyKey, Order, OrderExtras, OrderNo, OrderPlaced, OrderStatus,
    Reference, Seq, Timestamp,
};

use super::parts::{PassengersRecord, Restored, SeatsRecord};

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
    pub(super) fn restore(self) -> Restored<OrderPlaced> {
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
            // It stands elsewhere in the record, where there is one.
            proof: None,
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
            returned_payments: Vec::new(),
            idempotency: restore_idempotency(self.idempotency)?,
        })
    }
}

pub(super) fn restore_idempotency(
    stored: Option<(&str, u64)>,
) -> Restored<Option<(IdempotencyKey, Fingerprint)>> {
    let Some((key, fingerprint)) = stored else { return Ok(None) };
    Ok(Some((IdempotencyKey::new(key)?, Fingerprint(fingerprint))))
}
