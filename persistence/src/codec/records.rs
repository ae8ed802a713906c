//! Events, orders and snapshots inside records: mirrors of the flight's types that bincode may know.
//! Never trusts what was decoded: every value goes through the checked constructor of its type.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::cabin::check_cabins;
use farerush_engine::flight::head::HEAD_BYTES;
use farerush_engine::flight::{
    AdminName, CabinsChange, Cause, ClosedForGood, Currency, CustomerId, Epoch, EraNonce, Event, Fingerprint,
    FlightId, FlightIds, FlightSnapshot, Head, IdempotencyKey, KeyOwner, Order, OrderExtras, OrderNo,
    OrderPlaced, OrderStatus, Outcome, Reference, Request, ReturnedBecause, Sale, SecretId, Seq,
    TimeZoneName, Timestamp, WaitlistNo,
};

use super::outcome::{OutcomeRecord, ReseatedRecord};
use super::parts::{
    CabinRecord, DefinitionRecord, EraRecord, PassengersRecord, PolicyRecord, Restored, SeatsRecord,
    switch_from_byte, switch_to_byte,
};
use super::waitlist::{WaitlistRecord, WishRecord, reason_from_byte, reason_to_byte};

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

/// What stands in a batch behind its events, until the body ends. Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
pub(super) enum TailRecord {
    /// The chain's head after the event at this place, from 0; by rising place.
    Head { place: u32, head: [u8; HEAD_BYTES] },
}

/// What stands in a snapshot behind its orders, a value for each thing, until the body ends; those written before there
/// was such a thing end with their orders. Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
pub(super) enum RestRecord<'a> {
    /// A payment of an order that stands in front of it.
    PaymentBegun { order: u64, at: i64 },
    /// A request whose key is remembered.
    Request { key: &'a str, fingerprint: u64, seq: u64, at: i64, order: Option<u64> },
    /// An entry of the waitlist.
    Waiting(WaitlistRecord<'a>),
    /// A request whose key is remembered, whose key it is (a customer's; an admin's, where none is named), and what came
    /// of it.
    RequestOf {
        customer: Option<&'a str>,
        key: &'a str,
        fingerprint: u64,
        seq: u64,
        at: i64,
        order: Option<u64>,
        outcome: OutcomeRecord,
    },
    /// Up to which event things that are over were forgotten early.
    Forgotten { through: u64 },
    /// The time zone of the flight's origin.
    TimeZone(&'a str),
    /// A payment, of an order that stands in front of it, that came for nothing.
    PaymentReturned { order: u64, payment_reference: &'a str },
    /// An owner of the flight; they stand by rising event.
    Era(EraRecord),
    /// The chain's head after the snapshot's last event.
    Head([u8; HEAD_BYTES]),
    /// The chain's head after the event that last changed an order that stands in front of it.
    Proof { order: u64, head: [u8; HEAD_BYTES] },
}

impl<'a> RestRecord<'a> {
    /// All that follows a snapshot's orders.
    pub(super) fn all_of(snapshot: &'a FlightSnapshot) -> impl Iterator<Item = Self> {
        let payments = snapshot.orders.iter().filter_map(|order| {
            let at = order.payment_begun_at()?.as_millis();
            Some(Self::PaymentBegun { order: order.no.0, at })
        });
        let requests = snapshot.requests.iter().map(Self::of_request);
        let waitlist = snapshot.waitlist.iter().map(|entry| Self::Waiting(WaitlistRecord::from(entry)));
        let returned = snapshot.orders.iter().flat_map(|order| {
            let returned = order.returned_payments().iter();
            returned.map(|payment| Self::PaymentReturned {
                order: order.no.0,
                payment_reference: payment.as_str(),
            })
        });
        let forgotten = Some(snapshot.forgotten_through.0).filter(|through| *through > 0);
        let forgotten = forgotten.map(|through| Self::Forgotten { through });
        let zone = snapshot.definition.origin_time_zone.iter().map(|zone| Self::TimeZone(zone.as_str()));
        let eras = snapshot.definition.ids.eras().iter().map(|era| Self::Era(EraRecord::of(era)));
        let head = snapshot.head.iter().map(|head| Self::Head(*head.as_bytes()));
        let proofs = snapshot.orders.iter().filter_map(|order| {
            let head = *order.proof?.as_bytes();
            Some(Self::Proof { order: order.no.0, head })
        });
        payments
            .chain(requests)
            .chain(waitlist)
            .chain(returned)
            .chain(forgotten)
            .chain(zone)
            .chain(eras)
            .chain(head)
            .chain(proofs)
    }

    fn of_request(request: &'a Request) -> Self {
        let (key, fingerprint, seq) = (request.key.as_str(), request.fingerprint.0, request.seq.0);
        let (at, order) = (request.at.as_millis(), request.order.map(|order| order.0));
        let customer = match &request.owner {
            KeyOwner::Customer(customer) => Some(customer.as_str()),
            KeyOwner::Admins => None,
            KeyOwner::Unsaid => return Self::Request { key, fingerprint, seq, at, order },
        };
        let outcome = OutcomeRecord::from(&request.outcome);
        Self::RequestOf { customer, key, fingerprint, seq, at, order, outcome }
    }

    /// Puts it where it belongs.
    pub(super) fn restore_into(self, snapshot: &mut FlightSnapshot) -> Restored<()> {
        match self {
            Self::PaymentBegun { order, at } => {
                extras_of(snapshot, order)?.payment_begun_at = Some(Timestamp::from_millis(at));
            }
            Self::PaymentReturned { order, payment_reference } => {
                let payment = Reference::new(payment_reference)?;
                extras_of(snapshot, order)?.returned_payments.push(payment);
            }
            Self::RequestOf { customer, key, fingerprint, seq, at, order, outcome } => {
                let customer = customer.map(CustomerId::new).transpose()?;
                snapshot.requests.push(Request {
                    owner: customer.map_or(KeyOwner::Admins, KeyOwner::Customer),
                    key: IdempotencyKey::new(key)?,
                    fingerprint: Fingerprint(fingerprint),
                    seq: Seq(seq),
                    at: Timestamp::from_millis(at),
                    order: order.map(OrderNo),
                    outcome: outcome.restore(),
                });
            }
            Self::Forgotten { through } => snapshot.forgotten_through = Seq(through),
            Self::Request { key, fingerprint, seq, at, order } => snapshot.requests.push(Request {
                owner: KeyOwner::Unsaid,
                outcome: Outcome::Shown,
                key: IdempotencyKey::new(key)?,
                fingerprint: Fingerprint(fingerprint),
                seq: Seq(seq),
                at: Timestamp::from_millis(at),
                order: order.map(OrderNo),
            }),
            Self::Waiting(entry) => snapshot.waitlist.push(entry.restore()?),
            Self::TimeZone(zone) => snapshot.definition.origin_time_zone = Some(TimeZoneName::new(zone)?),
            Self::Era(era) => {
                let ids = &mut snapshot.definition.ids;
                let era = era.restore();
                if !ids.newest().is_none_or(|newest| era.follows(newest)) {
                    return Err("owners that do not follow one another".into());
                }
                let eras = ids.eras().iter().copied().chain([era]);
                *ids = FlightIds::with_eras(ids.salt(), eras.collect());
            }
            Self::Head(head) => snapshot.head = Some(Head::from_bytes(head)),
            Self::Proof { order, head } => {
                order_of(snapshot, order)?.proof = Some(Head::from_bytes(head));
            }
        }
        Ok(())
    }
}

/// What only some orders have, of an order of a snapshot that a payment belongs to.
fn extras_of(snapshot: &mut FlightSnapshot, order: u64) -> Restored<&mut OrderExtras> {
    Ok(order_of(snapshot, order)?.extras.get_or_insert_default())
}

/// An order of a snapshot that what follows belongs to.
fn order_of(snapshot: &mut FlightSnapshot, order: u64) -> Restored<&mut Order> {
    let orders = &mut snapshot.orders;
    // Orders stand by rising number; a snapshot whose orders do not is looked through.
    let place = orders
        .binary_search_by_key(&order, |known| known.no.0)
        .ok()
        .or_else(|| orders.iter().position(|known| known.no.0 == order))
        .ok_or_else(|| format!("something of order {order}, which is not there"))?;
    Ok(&mut orders[place])
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
            head: None,
            forgotten_through: Seq(0),
            blocked: self.blocked.0,
            orders: Vec::new(),
            requests: Vec::new(),
            waitlist: Vec::new(),
        })
    }
}
