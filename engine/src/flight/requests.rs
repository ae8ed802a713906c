//! The keys of requests that changed something, other than grabs: for a day, so that a repeated one changes nothing.
//! Never holds the key of a grab, which stands in its order, and never reads a clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::cabin::{Cabin, CabinClass, Fare};
use super::command::{Command, Payment, PolicyChange, SeatPlan};
use super::decide::Decision;
use super::event::{Cause, Event, FlightDefinition, Recorded};
use super::ids::{AdminName, IdempotencyKey, OrderNo, OrderRef, Reference, Seq, Timestamp};
use super::inventory::{ENDED_ORDER_RETENTION_MS, Flight};
use super::key_table::{KeyOwner, KeyTable, OwnerRef};
use super::order::Fingerprint;
use super::payment::Covers;
use super::refusal::Refusal;
use super::reseat::Reseated;
use super::sale::SalePolicy;
use super::waitlist::{Accept, WaitlistEntry, WaitlistWish};

/// How long a flight remembers a request's key: 24 hours, in milliseconds, counted in the time of its own events. As
/// long as an ended order, so that the order of a request that is remembered is remembered, too.
pub const REQUEST_RETENTION_MS: i64 = ENDED_ORDER_RETENTION_MS;

/// Before all moments.
const FOR_EVER: Timestamp = Timestamp::from_millis(i64::MIN);

/// What came of a request, as far as a repeated one has to be told and the flight does not show it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The flight, the order or the entry shows it.
    Shown,
    /// The sale was closed for good, and so many orders were cancelled.
    Closed {
        /// How many.
        cancelled: u32,
    },
    /// Everybody was seated anew.
    Reseated(Arc<Reseated>),
}

impl Outcome {
    /// What whoever asked for this event was told.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::ClosedForGood(closed) => {
                Self::Closed { cancelled: u32::try_from(closed.cancelled.len()).unwrap_or(u32::MAX) }
            }
            Event::CabinsChanged(change) => change.told.clone().map_or(Self::Shown, Self::Reseated),
            _ => Self::Shown,
        }
    }
}

/// A request that was granted, and the key it came under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// Whose key it is.
    pub owner: KeyOwner,
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
    /// What came of it.
    pub outcome: Outcome,
}

/// The requests a flight remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// By event, and thereby by time.
    by_seq: BTreeMap<Seq, Request>,
    by_key: KeyTable<Seq>,
}

impl Requests {
    /// The one that came under this key at `oldest` or later.
    pub(super) fn find(
        &self,
        owner: OwnerRef<'_>,
        key: &IdempotencyKey,
        oldest: Timestamp,
    ) -> Option<&Request> {
        let is_it = |seq| {
            self.by_seq.get(&seq).is_some_and(|request| {
                request.key == *key && request.owner.as_ref() == owner && request.at >= oldest
            })
        };
        self.by_seq.get(&self.by_key.find(owner, key, is_it)?)
    }

    /// By rising seq.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.by_seq.values()
    }

    /// `false` if the key, or the event, is one of another request.
    pub(super) fn insert(&mut self, request: Request) -> bool {
        if self.find(request.owner.as_ref(), &request.key, FOR_EVER).is_some() {
            return false;
        }
        self.by_key.insert(request.owner.as_ref(), &request.key, request.seq);
        self.by_seq.insert(request.seq, request).is_none()
    }

    /// Forgets the first request, if it came before `oldest`.
    pub(super) fn forget_first(&mut self, oldest: Timestamp) -> Option<Request> {
        let first = self.by_seq.first_entry().filter(|first| first.get().at < oldest)?;
        let request = first.remove();
        self.by_key.remove(request.owner.as_ref(), &request.key, request.seq);
        Some(request)
    }

    /// Forgets customers' requests up to that of event `through`.
    pub(super) fn forget_through(&mut self, through: Seq) -> Vec<Request> {
        let customers = |request: &&Request| request.owner != KeyOwner::Admins;
        let old = self.by_seq.range(..=through).map(|(_, request)| request).filter(customers);
        let old: Vec<Seq> = old.map(|request| request.seq).collect();
        let old: Vec<Request> = old.iter().filter_map(|seq| self.by_seq.remove(seq)).collect();
        for request in &old {
            self.by_key.remove(request.owner.as_ref(), &request.key, request.seq);
        }
        old
    }

    /// Whether each key leads to its request.
    pub(super) fn is_sound(&self) -> bool {
        self.by_key.len() == self.by_seq.len()
            && self.by_seq.iter().all(|(seq, request)| {
                *seq == request.seq
                    && self
                        .find(request.owner.as_ref(), &request.key, FOR_EVER)
                        .is_some_and(|its| its.seq == *seq)
            })
    }
}

impl Flight {
    /// Decides a command that came under a key, from an admin (`by`) or else from the customer whom it is about: granted
    /// before under the same key, it is [replayed](Decision::Replayed). What it records belongs to the key and to the
    /// command's [fingerprint](Command::fingerprint), which the event's cause has to say; that is so even where nothing
    /// changes, or the same request would do something later. A grab has its key within itself.
    pub fn decide_under(
        &self,
        by: Option<&AdminName>,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        if let Command::Grab(_) = command {
            return self.decide(command, now);
        }
        // What is about an order that is not there is refused.
        let Some(owner) = self.owner_of(by, command, now) else { return self.decide(command, now) };
        if let Some(recalled) = self.recall_of(owner, key, fingerprint, now) {
            return recalled;
        }
        let decision = self.decide(command, now)?;
        match owner {
            OwnerRef::Customer(customer) => self.must_have_room(customer, now)?,
            OwnerRef::Admins => self.must_have_room_for_admins(now)?,
        }
        Ok(match decision {
            Decision::Unchanged(order) => {
                let entry = match command {
                    Command::LeaveWaitlist { entry } => Some(entry.no),
                    _ => None,
                };
                Decision::Record(Event::NothingChanged { order, entry })
            }
            decision => decision,
        })
    }

    /// Whose key a command comes under: the admin's who asks, or else that of the customer whom it is about.
    fn owner_of<'a>(
        &'a self,
        by: Option<&AdminName>,
        command: &'a Command,
        now: Timestamp,
    ) -> Option<OwnerRef<'a>> {
        if by.is_some() {
            return Some(OwnerRef::Admins);
        }
        match command {
            Command::Confirm { order, .. }
            | Command::ReturnPayment { order, .. }
            | Command::Pay { order }
            | Command::Cancel { order }
            | Command::Change { order, .. } => {
                self.find_at(*order, now).map(|order| OwnerRef::Customer(&order.customer))
            }
            Command::LeaveWaitlist { entry } => {
                self.find_waitlisted_at(*entry, now).map(|entry| OwnerRef::Customer(&entry.wish.customer))
            }
            Command::JoinWaitlist(wish) => Some(OwnerRef::Customer(&wish.customer)),
            _ => Some(OwnerRef::Admins),
        }
    }

    /// What became of an earlier request under this key; `None` if there was none that was granted.
    pub fn recall(
        &self,
        owner: &KeyOwner,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Option<Result<Decision, Refusal>> {
        self.recall_of(owner.as_ref(), key, fingerprint, now)
    }

    fn recall_of(
        &self,
        owner: OwnerRef<'_>,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Option<Result<Decision, Refusal>> {
        let oldest = self.oldest_known(now);
        if let Some(request) = self.requests.find(owner, key, oldest) {
            let is_same = request.fingerprint == fingerprint;
            return Some(if is_same {
                Ok(Decision::Replayed(request.order))
            } else {
                Err(Refusal::IdempotencyKeyReused)
            });
        }
        self.is_key_of_a_grab(owner, key, oldest).then_some(Err(Refusal::IdempotencyKeyReused))
    }

    pub(super) fn is_key_of_a_grab(
        &self,
        owner: OwnerRef<'_>,
        key: &IdempotencyKey,
        oldest: Timestamp,
    ) -> bool {
        matches!(owner, OwnerRef::Customer(customer) if self.order_under(customer, key, oldest).is_some())
    }

    /// The request that this command repeats, if it came under this key before.
    pub fn request_under(
        &self,
        by: Option<&AdminName>,
        key: &IdempotencyKey,
        command: &Command,
        now: Timestamp,
    ) -> Option<&Request> {
        self.requests.find(self.owner_of(by, command, now)?, key, self.oldest_known(now))
    }

    /// The requests the flight remembers, by rising seq.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// Forgets requests that came before `oldest`.
    pub(super) fn forget_requests(&mut self, oldest: Timestamp) {
        while let Some(request) = self.requests.forget_first(oldest) {
            self.ledger.release_request(&request);
        }
    }

    /// Takes note of the key that an event came under.
    pub(super) fn remember_request(&mut self, recorded: &Recorded) {
        let Some(cause) = &recorded.cause else { return };
        let Some((key, fingerprint)) = &cause.idempotency else { return };
        let request = Request {
            owner: self.owner_of_event(cause, &recorded.event).to_owner(),
            key: key.clone(),
            fingerprint: *fingerprint,
            seq: recorded.seq,
            at: self.last_at,
            order: recorded.event.order(),
            outcome: Outcome::of(&recorded.event),
        };
        // Those whose day is over make room for the same key.
        let oldest = self.oldest_known(self.last_at);
        self.forget_requests(oldest);
        self.ledger.charge_request(&request);
        if self.is_key_of_a_grab(request.owner.as_ref(), key, oldest) || !self.requests.insert(request) {
            self.break_with("one request a key", format!("event {} came under a used key", recorded.seq));
        }
    }

    fn owner_of_event<'a>(&'a self, cause: &Cause, event: &'a Event) -> OwnerRef<'a> {
        if cause.by.is_some() {
            return OwnerRef::Admins;
        }
        let customer = match event {
            Event::WaitlistJoined(wish) => Some(&wish.customer),
            Event::WaitlistLeft { entry, .. } | Event::NothingChanged { entry: Some(entry), .. } => {
                self.waitlisted(*entry).map(|entry| &entry.wish.customer)
            }
            event => event.order().and_then(|no| self.order(no)).map(|order| &order.customer),
        };
        customer.map_or(OwnerRef::Admins, OwnerRef::Customer)
    }

    /// Whose key it must have been, of a request that was written before that was.
    pub(super) fn owner_by_state(&self, request: &Request, waitlist: &[WaitlistEntry]) -> KeyOwner {
        let of_order = request.order.and_then(|no| self.order(no)).map(|order| &order.customer);
        let of_entry = || {
            let mut entries = waitlist.iter();
            entries
                .find(|entry| entry.no.0 == request.seq.0 || entry.changed_by == request.seq)
                .map(|entry| &entry.wish.customer)
        };
        of_order.or_else(of_entry).map_or(KeyOwner::Admins, |customer| KeyOwner::Customer(customer.clone()))
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
            | Self::PaymentReturned { order, .. }
            | Self::OrderRevived { order, .. } => Some(*order),
            Self::NothingChanged { order, .. } => *order,
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
        self.fare(&cabin.fare)
    }

    fn fare(&mut self, fare: &Fare) -> &mut Self {
        self.field(24, &fare.amount.to_le_bytes()).field(25, fare.currency.as_str().as_bytes())
    }

    fn plan(&mut self, plan: &SeatPlan) -> &mut Self {
        match plan {
            SeatPlan::Aircraft { aircraft, cabins } => {
                self.field(1, aircraft.as_deref().unwrap_or_default().as_bytes());
                cabins.iter().fold(self, |print, cabin| print.cabin(cabin))
            }
            SeatPlan::Without(seats) => self.seats(seats),
            SeatPlan::Template { aircraft, fare, fares } => {
                self.field(60, aircraft.as_bytes());
                if let Some(fare) = fare {
                    self.fare(fare);
                }
                fares
                    .iter()
                    .fold(self, |print, (class, fare)| print.field(61, class.as_str().as_bytes()).fare(fare))
            }
            SeatPlan::WithoutRows { first, last } => {
                self.field(62, &first.to_le_bytes()).field(63, &last.to_le_bytes())
            }
        }
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

fn print_of_payment(order: OrderRef, payment: Option<&Payment>) -> Fingerprint {
    let mut print = Print::of(1);
    print.order(order);
    if let Some(Payment { reference, covers }) = payment {
        print.field(4, reference.as_str().as_bytes());
        match covers {
            Covers::Amount { amount, currency } => {
                print.field(5, &amount.to_le_bytes()).field(6, currency.as_str().as_bytes())
            }
            Covers::OrderAt(seq) => print.field(7, &seq.0.to_le_bytes()),
        };
    }
    print.end()
}

impl Command {
    /// The hash (XXH3, 64 bits) of what is asked for and of which order, in a fixed form; a key is not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Grab(grab) => grab.fingerprint(),
            Self::Confirm { order, payment } => print_of_payment(*order, payment.as_ref()),
            // It is the same request to whoever makes it.
            Self::ReturnPayment { order, payment, .. } => print_of_payment(*order, Some(payment)),
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
            Self::CloseForGood => Print::of(32).end(),
            Self::ChangePolicy(change) => Print::of(8).policy(change).end(),
            Self::Block(seats) => Print::of(9).seats(seats).end(),
            Self::Unblock(seats) => Print::of(10).seats(seats).end(),
            Self::AddRows(cabin) => Print::of(11).cabin(cabin).end(),
            Self::ChangeSeatPlan { plan, cancel_stranded } => {
                Print::of(31).plan(plan).field(2, &[u8::from(*cancel_stranded)]).end()
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
    if let Some(zone) = &definition.origin_time_zone {
        print.field(37, zone.as_str().as_bytes());
    }
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

/// The same of a file of flights, of each of which this is the fingerprint; `skip` says whether those that are there
/// already are passed over.
pub fn fingerprint_of_import(flights: &[Fingerprint], skip: bool) -> Fingerprint {
    let mut print = Print::of(33);
    for flight in flights {
        print.field(1, &flight.0.to_le_bytes());
    }
    print.field(2, &[u8::from(skip)]).end()
}
