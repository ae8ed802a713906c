//! What is kept although it is over (ended orders, keys of requests, parties that wait no longer), charged to whoever
//! caused it. Never charges for seats: what is live is bounded by the sale's own limits.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::ids::{CustomerId, PassengerName, Timestamp};
use super::key_table::KeyOwner;
use super::order::Order;
use super::requests::Request;
use super::waitlist::types::WaitlistEntry;

/// What a thing takes besides what it holds: its places in indexes, and an allocation or two.
const OVERHEAD_BYTES: usize = 128;

/// What is kept of one customer, or of the admins: when each thing came to be over, and its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) things: VecDeque<(Timestamp, u32)>,
    pub(super) bytes: u64,
}

impl Account {
    fn charge(&mut self, at: Timestamp, bytes: u32) {
        // Everything comes to be over in the order of its events, so this is the end but for flights that are restored.
        let place = self.things.partition_point(|(its, _)| *its <= at);
        self.things.insert(place, (at, bytes));
        self.bytes += u64::from(bytes);
    }

    /// `false` if there was no such thing.
    fn release(&mut self, at: Timestamp, bytes: u32) -> bool {
        let first = self.things.partition_point(|(its, _)| *its < at);
        let Some(place) = self.things.range(first..).position(|thing| *thing == (at, bytes)) else {
            return false;
        };
        self.things.remove(first + place);
        self.bytes -= u64::from(bytes);
        true
    }

    /// The same things, whatever the order of those of one moment.
    fn is_like(&self, other: &Self) -> bool {
        let sorted = |account: &Self| {
            let mut things: Vec<_> = account.things.iter().copied().collect();
            things.sort_unstable();
            things
        };
        self.bytes == other.bytes && sorted(self) == sorted(other)
    }

    /// Whether there is room for one more, of things that are not to be forgotten by now; if not, how many there are and
    /// when the first of them is over.
    pub(super) fn has_room(
        &self,
        oldest: Timestamp,
        things_max: u32,
        bytes_max: u64,
    ) -> Result<(), (u32, Timestamp)> {
        if self.things.len() < things_max as usize && self.bytes < bytes_max {
            return Ok(());
        }
        let past = self.things.partition_point(|(at, _)| *at < oldest);
        let past_bytes: u64 = self.things.range(..past).map(|(_, bytes)| u64::from(*bytes)).sum();
        let left = self.things.len() - past;
        match self.things.get(past) {
            Some((at, _)) if left >= things_max as usize || self.bytes - past_bytes >= bytes_max => {
                Err((u32::try_from(left).unwrap_or(u32::MAX), *at))
            }
            _ => Ok(()),
        }
    }
}

/// Who has caused what.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// By customer; nobody stands here with nothing.
    pub(super) accounts: HashMap<CustomerId, Account, RandomState>,
    /// The keys of admins' requests.
    pub(super) admins: Account,
    /// All that stands in customers' accounts.
    pub(super) things: usize,
    /// The bytes that it takes, about.
    pub(super) bytes: u64,
}

impl Ledger {
    pub(super) fn charge(&mut self, customer: &CustomerId, at: Timestamp, bytes: u32) {
        self.things += 1;
        self.bytes += u64::from(bytes);
        match self.accounts.get_mut(customer) {
            Some(account) => account.charge(at, bytes),
            None => self.accounts.entry(customer.clone()).or_default().charge(at, bytes),
        }
    }

    pub(super) fn release(&mut self, customer: &CustomerId, at: Timestamp, bytes: u32) {
        let Some(account) = self.accounts.get_mut(customer) else { return };
        if account.release(at, bytes) {
            self.things -= 1;
            self.bytes -= u64::from(bytes);
        }
        if account.things.is_empty() {
            self.accounts.remove(customer);
        }
    }

    pub(super) fn charge_request(&mut self, request: &Request) {
        let bytes = request.bytes_kept();
        match &request.owner {
            KeyOwner::Customer(customer) => self.charge(customer, request.at, bytes),
            KeyOwner::Admins | KeyOwner::Unsaid => self.admins.charge(request.at, bytes),
        }
    }

    pub(super) fn release_request(&mut self, request: &Request) {
        let bytes = request.bytes_kept();
        match &request.owner {
            KeyOwner::Customer(customer) => self.release(customer, request.at, bytes),
            KeyOwner::Admins | KeyOwner::Unsaid => {
                self.admins.release(request.at, bytes);
            }
        }
    }

    /// Whether anything of this customer's is kept.
    pub(super) fn knows(&self, customer: &CustomerId) -> bool {
        self.accounts.contains_key(customer)
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        let alike = |(customer, account): (&CustomerId, &Account)| {
            other.accounts.get(customer).is_some_and(|its| its.is_like(account))
        };
        (self.things, self.bytes) == (other.things, other.bytes)
            && self.admins.is_like(&other.admins)
            && self.accounts.len() == other.accounts.len()
            && self.accounts.iter().all(alike)
    }
}

fn counted(bytes: usize) -> u32 {
    u32::try_from(bytes + OVERHEAD_BYTES).unwrap_or(u32::MAX)
}

impl Order {
    /// Bytes that it takes in memory, about: what it counts for in a budget.
    pub fn bytes_kept(&self) -> u32 {
        let extras = self.extras.as_ref().map_or(0, |extras| {
            let name = |name: &Option<PassengerName>| {
                size_of::<Option<PassengerName>>() + name.as_ref().map_or(0, |name| name.as_str().len())
            };
            let names = extras.passengers.iter().flat_map(|names| names.iter()).map(name);
            let client = extras.client_reference.as_ref().map_or(0, |text| text.as_str().len());
            let key = extras.idempotency.as_ref().map_or(0, |(key, _)| key.as_str().len());
            let returned = extras.returned_payments.iter();
            let returned = returned.map(|payment| size_of_val(payment) + payment.as_str().len());
            size_of_val(&**extras) + names.sum::<usize>() + client + key + returned.sum::<usize>()
        });
        counted(size_of::<Self>() + self.customer.as_str().len() + 4 * self.seats.len() + extras)
    }
}

impl Request {
    /// Bytes that it takes in memory, about.
    pub(super) fn bytes_kept(&self) -> u32 {
        let owner = match &self.owner {
            KeyOwner::Customer(customer) => customer.as_str().len(),
            KeyOwner::Admins | KeyOwner::Unsaid => 0,
        };
        counted(size_of::<Self>() + owner + self.key.as_str().len())
    }
}

impl WaitlistEntry {
    /// Bytes that it takes in memory, about: what it counts for in a budget.
    pub fn bytes_kept(&self) -> u32 {
        let reference = self.wish.client_reference.as_ref().map_or(0, |text| text.as_str().len());
        counted(size_of::<Self>() + self.wish.customer.as_str().len() + reference)
    }
}
