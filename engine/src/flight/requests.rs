//! The keys of requests that changed something, other than grabs: for a day, so that a repeated one changes nothing.
//! Never holds the key of a grab, which stands in its order, and never reads a clock.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use xxhash_rust::xxh3::Xxh3Default;

use super::cabin::{Cabin, CabinClass};
use super::command::{Command, PolicyChange, SeatPlan};
use super::decide::Decision;
use super::event::{Event, FlightDefinition, Recorded};
use super::ids::{IdempotencyKey, OrderNo, OrderRef, Reference, Seq, Timestamp};
use super::inventory::{ENDED_ORDER_RETENTION_MS, Flight};
use super::order::Fingerprint;
use super::refusal::Refusal;
use super::sale::SalePolicy;
use super::waitlist::{Accept, WaitlistWish};

/// How long a flight remembers a request's key: 24 hours, in milliseconds, counted in the time of its own events. As
/// long as an ended order, so that the order of a request that is remembered is remembered, too.
pub const REQUEST_RETENTION_MS: i64 = ENDED_ORDER_RETENTION_MS;

/// Most requests whose keys a flight keeps in memory; one more that would change something is refused.
pub const REQUESTS_KEPT_MAX: usize = 65_536;

/// A request that changed something, and the key it came under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// The key.
    pub key: IdempotencyKey,
    /// Of what was asked for.
    pub fingerprint: Fingerprint,
    /// The event that followed from it.
    pub seq: Seq,
    /// When that was decided.
    pub at: Timestamp,
    /// The order it was about, if it was about one.
    pub order: Option<OrderNo>,
}

/// The requests a flight remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// By event, and thereby by time.
    by_seq: BTreeMap<Seq, Request>,
    by_key: HashMap<IdempotencyKey, Seq, RandomState>,
}

impl Requests {
    pub(super) fn find(&self, key: &IdempotencyKey) -> Option<&Request> {
        self.by_seq.get(self.by_key.get(key)?)
    }

    pub(super) fn is_full(&self) -> bool {
        self.by_key.len() >= REQUESTS_KEPT_MAX
    }

    /// By rising seq.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.by_seq.values()
    }

    /// `false` if the key, or the event, is one of another request.
    pub(super) fn insert(&mut self, request: Request) -> bool {
        let (key, seq) = (request.key.clone(), request.seq);
        self.by_key.insert(key, seq).is_none() & self.by_seq.insert(seq, request).is_none()
    }

    pub(super) fn forget_before(&mut self, oldest: Timestamp) {
        while let Some(first) = self.by_seq.first_entry()
            && first.get().at < oldest
        {
            self.by_key.remove(&first.remove().key);
        }
    }

    /// Whether each key leads to its request.
    pub(super) fn is_sound(&self) -> bool {
        self.by_key.len() == self.by_seq.len()
            && self
                .by_seq
                .iter()
                .all(|(seq, request)| *seq == request.seq && self.by_key.get(&request.key) == Some(seq))
    }
}

impl Flight {
    /// Decides a command that came under a key: granted before under the same one, it is
    /// [replayed](Decision::Replayed). What it records belongs to the key and to the command's
    /// [fingerprint](Command::fingerprint), which the event's cause has to say. A grab has its key within itself.
    pub fn decide_under(
        &self,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        if let Command::Grab(_) = command {
            return self.decide(command, now);
        }
        if let Some(recalled) = self.recall(key, fingerprint) {
            return recalled;
        }
        let decision = self.decide(command, now)?;
        if matches!(decision, Decision::Record(_)) && self.requests.is_full() {
            return Err(Refusal::TooManyRequests);
        }
        Ok(decision)
    }

    /// What became of an earlier request under this key; `None` if there was none that changed something.
    pub fn recall(
        &self,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Option<Result<Decision, Refusal>> {
        if let Some(request) = self.requests.find(key) {
            let is_same = request.fingerprint == fingerprint;
            return Some(if is_same {
                Ok(Decision::Replayed(request.order))
            } else {
                Err(Refusal::IdempotencyKeyReused)
            });
        }
        self.keys.contains_key(key).then_some(Err(Refusal::IdempotencyKeyReused))
    }

    /// The requests the flight remembers, by rising seq.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// Takes note of the key that an event came under.
    pub(super) fn remember_request(&mut self, recorded: &Recorded) {
        let Some((key, fingerprint)) = recorded.cause.as_ref().and_then(|cause| cause.idempotency.as_ref())
        else {
            return;
        };
        let request = Request {
            key: key.clone(),
            fingerprint: *fingerprint,
            seq: recorded.seq,
            at: self.last_at,
            order: recorded.event.order(),
        };
        if self.keys.contains_key(key) || !self.requests.insert(request) {
            self.break_with("one request a key", format!("event {} came under a used key", recorded.seq));
        }
    }
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
            | Self::OrderRevived { order, .. } => Some(*order),
            _ => None,
        }
    }
}

/// Gathers what a request says in a fixed form: each field with a tag and its length.
struct Print(Xxh3Default);

impl Print {
    fn of(kind: u8) -> Self {
        let mut print = Self(Xxh3Default::new());
        // No grab begins like this: its first field is tagged 1.
        print.field(0, &[kind]);
        print
    }

    fn field(&mut self, tag: u8, bytes: &[u8]) -> &mut Self {
        self.0.update(&[tag]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn order(&mut self, order: OrderRef) -> &mut Self {
        self.field(1, &order.no.0.to_le_bytes()).field(2, &order.tag.to_le_bytes())
    }

    fn seats(&mut self, seats: &[super::cabin::Seat]) -> &mut Self {
        for seat in seats {
            self.field(3, &seat.packed().to_le_bytes());
        }
        self
    }

    fn moment(&mut self, tag: u8, at: Option<Timestamp>) -> &mut Self {
        match at {
            Some(at) => self.field(tag, &at.as_millis().to_le_bytes()),
            None => self.field(tag, &[]),
        }
    }

    fn number(&mut self, tag: u8, number: Option<u32>) -> &mut Self {
        if let Some(number) = number {
            self.field(tag, &number.to_le_bytes());
        }
        self
    }

    fn cabin(&mut self, cabin: &Cabin) -> &mut Self {
        self.field(20, cabin.cabin_class.as_str().as_bytes());
        self.field(21, &cabin.first_row.to_le_bytes()).field(22, &cabin.last_row.to_le_bytes());
        self.field(23, cabin.layout.as_str().as_bytes());
        self.field(24, &cabin.fare.amount.to_le_bytes()).field(25, cabin.fare.currency.as_str().as_bytes())
    }

    fn policy(&mut self, change: &PolicyChange) -> &mut Self {
        if let Some(at) = change.opens_at {
            self.moment(10, at);
        }
        if let Some(at) = change.closes_at {
            self.moment(11, at);
        }
        self.number(12, change.max_seats_per_order.map(u32::from));
        self.number(13, change.max_seats_per_customer.map(u32::from));
        self.number(14, change.hold_seconds).number(15, change.payment_grace_seconds);
        self.number(16, change.closes_before_minutes.map(u32::from))
    }

    fn wish(&mut self, wish: &WaitlistWish) -> &mut Self {
        let fewest = match wish.accept {
            Accept::AllTogether => 0_u32,
            Accept::All => u32::MAX,
            Accept::AtLeast(fewest) => fewest.into(),
        };
        self.field(40, wish.customer.as_str().as_bytes()).field(41, &wish.party_size.to_le_bytes());
        self.number(42, Some(fewest)).moment(43, wish.expires_at);
        self.field(44, wish.cabin_class.map_or("", CabinClass::as_str).as_bytes());
        self.field(45, wish.client_reference.as_ref().map_or("", Reference::as_str).as_bytes())
    }

    fn end(&self) -> Fingerprint {
        Fingerprint(self.0.digest())
    }
}

impl Command {
    /// The hash (XXH3, 64 bits) of what is asked for and of which order, in a fixed form; a key is not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Grab(grab) => grab.fingerprint(),
            Self::Confirm { order, payment_reference } => {
                let mut print = Print::of(1);
                print.order(*order);
                if let Some(reference) = payment_reference {
                    print.field(4, reference.as_str().as_bytes());
                }
                print.end()
            }
            Self::Cancel { order } => Print::of(2).order(*order).end(),
            Self::Change { order, seats, passengers } => {
                let mut print = Print::of(3);
                print.order(*order);
                if let Some(seats) = seats {
                    print.seats(seats);
                }
                for passenger in passengers.iter().flat_map(|passengers| passengers.iter()) {
                    match passenger {
                        Some(name) => print.field(5, name.as_str().as_bytes()),
                        None => print.field(6, &[]),
                    };
                }
                // To name nobody is not the same as to leave the names as they are.
                print.number(7, passengers.as_ref().map(|_| 0)).end()
            }
            Self::Pay { order } => Print::of(4).order(*order).end(),
            Self::OpenSale => Print::of(5).end(),
            Self::PauseSale => Print::of(6).end(),
            Self::CloseSale => Print::of(7).end(),
            Self::ChangePolicy(change) => Print::of(8).policy(change).end(),
            Self::Block(seats) => Print::of(9).seats(seats).end(),
            Self::Unblock(seats) => Print::of(10).seats(seats).end(),
            Self::AddRows(cabin) => Print::of(11).cabin(cabin).end(),
            Self::ChangeSeatPlan { plan, cancel_stranded } => {
                let mut print = Print::of(31);
                match plan {
                    SeatPlan::Aircraft { aircraft, cabins } => {
                        print.field(1, aircraft.as_deref().unwrap_or_default().as_bytes());
                        for cabin in cabins {
                            print.cabin(cabin);
                        }
                    }
                    SeatPlan::Without(seats) => {
                        print.seats(seats);
                    }
                }
                print.field(2, &[u8::from(*cancel_stranded)]).end()
            }
            Self::JoinWaitlist(wish) => Print::of(21).wish(wish).end(),
            Self::LeaveWaitlist { entry } => {
                Print::of(22).field(1, &entry.no.0.to_le_bytes()).field(2, &entry.tag.to_le_bytes()).end()
            }
        }
    }
}

/// The same of a request to create a flight; the secret of its order ids, which nobody asked for, is not part of it.
pub fn fingerprint_of_creation(
    definition: &FlightDefinition,
    policy: &SalePolicy,
    open: bool,
) -> Fingerprint {
    let mut print = Print::of(12);
    print.field(30, definition.flight_id.as_str().as_bytes());
    print.field(31, definition.flight_number.as_bytes());
    print.field(32, definition.origin.as_bytes()).field(33, definition.destination.as_bytes());
    print.moment(34, Some(definition.departs_at));
    print.field(35, definition.aircraft.as_deref().unwrap_or_default().as_bytes());
    for cabin in &definition.cabins {
        print.cabin(cabin);
    }
    print.policy(&PolicyChange {
        opens_at: Some(policy.opens_at),
        closes_at: Some(policy.closes_at),
        max_seats_per_order: Some(policy.max_seats_per_order),
        max_seats_per_customer: Some(policy.max_seats_per_customer),
        hold_seconds: Some(policy.hold_seconds),
        payment_grace_seconds: Some(policy.payment_grace_seconds),
        // Left out where it is not used, so that a request of before there was such a thing has the fingerprint it had.
        closes_before_minutes: Some(policy.closes_before_minutes).filter(|minutes| *minutes > 0),
    });
    print.field(36, &[u8::from(open)]).end()
}
