//! Events inside records: mirrors of the flight's own that bincode may know.
//! Never trusts what was decoded: every value goes through the checked constructor of its type.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::cabin::check_cabins;
use farerush_engine::flight::head::HEAD_BYTES;
use farerush_engine::flight::{
    AdminName, CabinsChange, Cause, ClosedForGood, Currency, Epoch, EraNonce, Event, FlightId, OrderNo,
    Reference, ReturnedBecause, SecretId, Seq, TimeZoneName, Timestamp, WaitlistNo,
};

use super::order::{PlacedRecord, restore_idempotency};
use super::outcome::ReseatedRecord;
use super::parts::{
    CabinRecord, DefinitionRecord, EraRecord, PassengersRecord, PolicyRecord, Restored, SeatsRecord,
    switch_from_byte, switch_to_byte,
};
use super::waitlist::{WishRecord, reason_from_byte, reason_to_byte};

/// What stands in a batch behind its events, until the body ends. Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
pub(super) enum TailRecord {
    /// The chain's head after the event at this place, from 0; by rising place.
    Head { place: u32, head: [u8; HEAD_BYTES] },
}

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
    PaymentBegun {
        order: u64,
        hold_expires_at: i64,
    },
    OrderRevived {
        order: u64,
        seats: SeatsRecord,
        payment_reference: Option<&'a str>,
    },
    CabinsChanged(CabinsChangeRecord<'a>),
    WaitlistJoined(WishRecord<'a>),
    WaitlistLeft {
        entry: u64,
        reason: u8,
    },
    WaitlistServed {
        entry: u64,
        placed: PlacedRecord<'a>,
    },
    /// Another seat plan, and what whoever asked for it was told.
    CabinsChangedTold(CabinsChangeRecord<'a>, ReseatedRecord),
    ClosedForGood {
        policy: PolicyRecord,
        cancelled: Vec<(u64, SeatsRecord)>,
    },
    NothingChanged {
        order: Option<u64>,
        entry: Option<u64>,
    },
    Forgotten {
        through: u64,
    },
    /// `FlightCreated` with the time zone of the origin.
    FlightCreatedIn(DefinitionRecord<'a>, PolicyRecord, &'a str),
    PaymentReturned {
        order: u64,
        payment_reference: &'a str,
        amount: i64,
        currency: &'a str,
        because: u8,
    },
    /// `FlightCreated` with its first owner, and the time zone of the origin, if it has one.
    FlightCreatedBy(DefinitionRecord<'a>, PolicyRecord, Option<&'a str>, Vec<EraRecord>),
    TakenOver {
        epoch: u64,
        secret: u64,
        nonce: u64,
    },
    SaleEnded,
}

const fn because_to_byte(because: ReturnedBecause) -> u8 {
    match because {
        ReturnedBecause::TooLate => 0,
        ReturnedBecause::PaidAlready => 1,
        ReturnedBecause::Cancelled => 2,
    }
}

fn because_from_byte(byte: u8) -> Restored<ReturnedBecause> {
    match byte {
        0 => Ok(ReturnedBecause::TooLate),
        1 => Ok(ReturnedBecause::PaidAlready),
        2 => Ok(ReturnedBecause::Cancelled),
        _ => Err(format!("{byte} is no reason for which a payment goes back").into()),
    }
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
                let (what, rules) = (DefinitionRecord::from(&**definition), PolicyRecord::from(policy));
                let eras: Vec<EraRecord> = definition.ids.eras().iter().map(EraRecord::of).collect();
                match &definition.origin_time_zone {
                    zone if !eras.is_empty() => {
                        Self::FlightCreatedBy(what, rules, zone.as_ref().map(TimeZoneName::as_str), eras)
                    }
                    None => Self::FlightCreated(what, rules),
                    Some(zone) => Self::FlightCreatedIn(what, rules, zone.as_str()),
                }
            }
            Event::SaleSwitched { switch, policy } => {
                Self::SaleSwitched(switch_to_byte(*switch), PolicyRecord::from(policy))
            }
            Event::PolicyChanged { policy } => Self::PolicyChanged(PolicyRecord::from(policy)),
            Event::SeatsBlocked { seats } => Self::SeatsBlocked(SeatsRecord(seats.clone())),
            Event::SeatsUnblocked { seats } => Self::SeatsUnblocked(SeatsRecord(seats.clone())),
            Event::RowsAdded { cabin } => Self::RowsAdded(CabinRecord::from(&**cabin)),
            Event::CabinsChanged(change) => {
                let record = CabinsChangeRecord::from(&**change);
                match &change.told {
                    None => Self::CabinsChanged(record),
                    Some(told) => Self::CabinsChangedTold(record, ReseatedRecord::from(&**told)),
                }
            }
            Event::ClosedForGood(closed) => Self::ClosedForGood {
                policy: PolicyRecord::from(&closed.policy),
                cancelled: closed.cancelled.iter().map(|(no, s)| (no.0, SeatsRecord(s.clone()))).collect(),
            },
            Event::NothingChanged { order, entry } => {
                Self::NothingChanged { order: order.map(|no| no.0), entry: entry.map(|no| no.0) }
            }
            Event::Forgotten { through } => Self::Forgotten { through: through.0 },
            Event::SaleEnded => Self::SaleEnded,
            Event::TakenOver { epoch, secret, nonce } => {
                Self::TakenOver { epoch: epoch.0, secret: secret.0, nonce: nonce.0 }
            }
            Event::OrderPlaced(placed) => Self::OrderPlaced(PlacedRecord::from(&**placed)),
            Event::WaitlistJoined(wish) => Self::WaitlistJoined(WishRecord::from(&**wish)),
            Event::WaitlistLeft { entry, reason } => {
                Self::WaitlistLeft { entry: entry.0, reason: reason_to_byte(*reason) }
            }
            Event::WaitlistServed { entry, placed } => {
                Self::WaitlistServed { entry: entry.0, placed: PlacedRecord::from(&**placed) }
            }
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
            Event::PaymentBegun { order, hold_expires_at } => {
                Self::PaymentBegun { order: order.0, hold_expires_at: hold_expires_at.as_millis() }
            }
            Event::OrderRevived { order, seats, payment_reference } => Self::OrderRevived {
                order: order.0,
                seats: SeatsRecord(seats.clone()),
                payment_reference: payment_reference.as_ref().map(Reference::as_str),
            },
            Event::PaymentReturned { order, payment_reference, amount, currency, because } => {
                Self::PaymentReturned {
                    order: order.0,
                    payment_reference: payment_reference.as_str(),
                    amount: *amount,
                    currency: currency.as_str(),
                    because: because_to_byte(*because),
                }
            }
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
            Self::FlightCreatedIn(definition, policy, zone) => {
                let mut definition = Box::new(definition.restore(flight_id)?);
                definition.origin_time_zone = Some(TimeZoneName::new(zone)?);
                Event::FlightCreated { definition, policy: policy.restore() }
            }
            Self::FlightCreatedBy(definition, policy, zone, eras) => {
                let mut definition = Box::new(definition.restore(flight_id)?);
                definition.origin_time_zone = zone.map(TimeZoneName::new).transpose()?;
                definition.ids = EraRecord::restore_all(&eras, definition.ids.salt())?;
                Event::FlightCreated { definition, policy: policy.restore() }
            }
            Self::SaleEnded => Event::SaleEnded,
            Self::TakenOver { epoch, secret, nonce } => {
                let (secret, nonce) = (SecretId(secret), EraNonce(nonce));
                Event::TakenOver { epoch: Epoch(epoch), secret, nonce }
            }
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
            Self::CabinsChanged(change) => Event::CabinsChanged(Box::new(change.restore()?)),
            Self::CabinsChangedTold(change, told) => {
                let told = Some(Arc::new(told.restore()));
                Event::CabinsChanged(Box::new(CabinsChange { told, ..change.restore()? }))
            }
            Self::ClosedForGood { policy, cancelled } => Event::ClosedForGood(Box::new(ClosedForGood {
                policy: policy.restore(),
                cancelled: cancelled.into_iter().map(|(no, seats)| (OrderNo(no), seats.0)).collect(),
            })),
            Self::NothingChanged { order, entry } => {
                Event::NothingChanged { order: order.map(OrderNo), entry: entry.map(WaitlistNo) }
            }
            Self::Forgotten { through } => Event::Forgotten { through: Seq(through) },
            Self::OrderPlaced(placed) => Event::OrderPlaced(Box::new(placed.restore()?)),
            Self::WaitlistJoined(wish) => Event::WaitlistJoined(Box::new(wish.restore()?)),
            Self::WaitlistLeft { entry, reason } => {
                Event::WaitlistLeft { entry: WaitlistNo(entry), reason: reason_from_byte(reason)? }
            }
            Self::WaitlistServed { entry, placed } => {
                Event::WaitlistServed { entry: WaitlistNo(entry), placed: Box::new(placed.restore()?) }
            }
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
            Self::PaymentBegun { order, hold_expires_at } => Event::PaymentBegun {
                order: OrderNo(order),
                hold_expires_at: Timestamp::from_millis(hold_expires_at),
            },
            Self::OrderRevived { order, seats, payment_reference } => Event::OrderRevived {
                order: OrderNo(order),
                seats: seats.0,
                payment_reference: payment_reference.map(Reference::new).transpose()?,
            },
            Self::PaymentReturned { order, payment_reference, amount, currency, because } => {
                Event::PaymentReturned {
                    order: OrderNo(order),
                    payment_reference: Reference::new(payment_reference)?,
                    amount,
                    currency: Currency::new(currency)?,
                    because: because_from_byte(because)?,
                }
            }
            Self::Caused(_) => return Err("a cause without an event".into()),
        })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct CabinsChangeRecord<'a> {
    aircraft: Option<&'a str>,
    cabins: Vec<CabinRecord<'a>>,
    blocked: SeatsRecord,
    seated: Vec<(u64, SeatsRecord)>,
    cancelled: Vec<u64>,
}

impl<'a> From<&'a CabinsChange> for CabinsChangeRecord<'a> {
    fn from(change: &'a CabinsChange) -> Self {
        Self {
            aircraft: change.aircraft.as_deref(),
            cabins: change.cabins.iter().map(CabinRecord::from).collect(),
            blocked: SeatsRecord(change.blocked.clone()),
            seated: change.seated.iter().map(|(no, seats)| (no.0, SeatsRecord(seats.clone()))).collect(),
            cancelled: change.cancelled.iter().map(|no| no.0).collect(),
        }
    }
}

impl CabinsChangeRecord<'_> {
    fn restore(self) -> Restored<CabinsChange> {
        let cabins = self.cabins.into_iter().map(CabinRecord::restore).collect::<Restored<Vec<_>>>()?;
        check_cabins(&cabins)?;
        Ok(CabinsChange {
            aircraft: self.aircraft.map(Into::into),
            cabins,
            blocked: self.blocked.0,
            seated: self.seated.into_iter().map(|(no, seats)| (OrderNo(no), seats.0)).collect(),
            cancelled: self.cancelled.into_iter().map(OrderNo).collect(),
            told: None,
        })
    }
}
