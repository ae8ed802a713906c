//! Whole flights inside records: the head of a snapshot, and what stands behind its orders.
//! Never trusts what was decoded: every value goes through the checked constructor of its type.

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::head::HEAD_BYTES;
use farerush_engine::flight::{
    CustomerId, Fingerprint, FlightId, FlightIds, FlightSnapshot, Head, IdempotencyKey, KeyOwner, Order,
    OrderExtras, OrderNo, Outcome, Reference, Request, Sale, Seq, TimeZoneName, Timestamp,
};

use super::outcome::OutcomeRecord;
use super::parts::{
    DefinitionRecord, EraRecord, PolicyRecord, Restored, SeatsRecord, switch_from_byte, switch_to_byte,
};
use super::waitlist::WaitlistRecord;

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
                if !ids.newest().is_none_or(|newest| newest.is_followed_by(era.from, era.epoch)) {
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
