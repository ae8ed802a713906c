//! The keys of requests that changed something, other than grabs: for a day, so that a repeated one changes nothing.
//! Never holds the key of a grab, which stands in its order, and never reads a clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{Event, Recorded};
use super::ids::{CustomerId, IdempotencyKey, OrderNo, Seq, Timestamp, WaitlistNo};
use super::key_table::{KeyOwner, KeyTable, OwnerRef};
use super::order::Fingerprint;
use super::reseat::Reseated;

pub use super::fingerprint::{fingerprint_of_creation, fingerprint_of_import};

/// Before all moments.
const FOR_EVER: Timestamp = Timestamp::from_millis(i64::MIN);

/// What came of a request, as far as a repeated one has to be told and the flight does not show it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The flight, the order or the entry shows it.
    Shown,
    /// The sale was closed for good, and so many orders were cancelled.
    Closed {
        /// Orders that were cancelled.
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

impl Request {
    /// The request that an event followed from, if it came under a key. The customers of what an event is about are looked
    /// up: those of an order, and of an entry of the waitlist.
    pub fn of<'a>(
        recorded: &'a Recorded,
        customer_of_order: impl FnOnce(OrderNo) -> Option<&'a CustomerId>,
        customer_of_entry: impl FnOnce(WaitlistNo) -> Option<&'a CustomerId>,
    ) -> Option<Self> {
        let cause = recorded.cause.as_ref()?;
        let (key, fingerprint) = cause.idempotency.as_ref()?;
        let customer = match &recorded.event {
            _ if cause.by.is_some() => None,
            Event::WaitlistJoined(wish) => Some(&wish.customer),
            Event::WaitlistLeft { entry, .. } | Event::NothingChanged { entry: Some(entry), .. } => {
                customer_of_entry(*entry)
            }
            event => event.order().and_then(customer_of_order),
        };
        Some(Self {
            owner: customer.cloned().map_or(KeyOwner::Admins, KeyOwner::Customer),
            key: key.clone(),
            fingerprint: *fingerprint,
            seq: recorded.seq,
            at: recorded.at,
            order: recorded.event.order(),
            outcome: Outcome::of(&recorded.event),
        })
    }
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
