//! What is kept although it is over (ended orders, keys of requests, parties that wait no longer), charged to whoever
//! caused it; how much of that each may cause, and what is forgotten early where all together cause too much.
//! Never charges for seats: what is live is bounded by the sale's own limits.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::event::Event;
use super::ids::{CustomerId, Seq, Timestamp};
use super::invariants::BrokenInvariant;
use super::inventory::{ENDED_ORDER_RETENTION_MS, Flight};
use super::key_table::KeyOwner;
use super::order::Order;
use super::refusal::{QuotaOf, Refusal};
use super::requests::Request;
use super::waitlist::WaitlistEntry;

/// Things that are over and are kept of one customer, at most, on a flight that lets them have no seat; each seat that a
/// customer may have adds [`THINGS_PER_SEAT`].
pub const THINGS_PER_CUSTOMER: u32 = 512;
/// Further things for each seat that the sale lets one customer have: enough to try, pay, name and give up each.
pub const THINGS_PER_SEAT: u32 = 4;
/// The bytes that those things may take together, likewise.
pub const BYTES_PER_CUSTOMER: u64 = 256 << 10;
/// Further bytes for each seat: the names and references of several orders of it.
pub const BYTES_PER_SEAT: u64 = 4 << 10;
/// Things of one customer, at most, where all customers together have filled half of what is kept: whoever has caused
/// most is refused first, and whoever has caused nothing never is. Each seat adds one.
pub const THINGS_PER_CUSTOMER_CROWDED: u32 = 16;
/// Things that are over and are kept of all customers of a flight, about: beyond it the oldest are forgotten early.
pub const THINGS_KEPT_MAX: usize = 262_144;
/// The bytes that they may take together, about.
pub const BYTES_KEPT_MAX: u64 = 128 << 20;
/// Keys of admins' requests that are kept, at most; they are no part of what customers cause.
pub const ADMIN_KEYS_MAX: u32 = 65_536;
/// This part of all things that are kept is forgotten at a time, and one at the least.
const FORGOTTEN_AT_A_TIME: usize = 16;
/// What a thing takes besides what it holds: its places in indexes, and an allocation or two.
const OVERHEAD_BYTES: usize = 128;

/// How much may be kept. Only what is decided looks at it, so that replay never depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Things of one customer, apart from those for each seat.
    pub things_per_customer: u32,
    /// Things of all customers.
    pub things_kept_max: usize,
    /// Bytes of all customers' things.
    pub bytes_kept_max: u64,
    /// Keys of admins' requests.
    pub admin_keys_max: u32,
}

impl Budget {
    /// What every flight begins with.
    pub const STANDARD: Self = Self {
        things_per_customer: THINGS_PER_CUSTOMER,
        things_kept_max: THINGS_KEPT_MAX,
        bytes_kept_max: BYTES_KEPT_MAX,
        admin_keys_max: ADMIN_KEYS_MAX,
    };
}

/// What is kept of one customer, or of the admins: when each thing came to be over, and its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Account {
    things: VecDeque<(Timestamp, u32)>,
    bytes: u64,
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
    fn has_room(&self, oldest: Timestamp, things_max: u32, bytes_max: u64) -> Result<(), (u32, Timestamp)> {
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
    accounts: HashMap<CustomerId, Account, RandomState>,
    /// The keys of admins' requests.
    admins: Account,
    /// All that stands in customers' accounts.
    things: usize,
    /// The bytes that it takes, about.
    bytes: u64,
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

    fn is_like(&self, other: &Self) -> bool {
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
            let name = |name: &Option<super::ids::PassengerName>| {
                size_of::<Option<super::ids::PassengerName>>()
                    + name.as_ref().map_or(0, |name| name.as_str().len())
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

impl Flight {
    /// Another budget than the standard one, for tests of what happens at its bounds: replay does not depend on it.
    #[doc(hidden)]
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Things that are over and are kept of all customers.
    pub fn things_kept(&self) -> usize {
        self.ledger.things
    }

    /// Things that are over and are kept of this customer, and the bytes they take, about.
    pub fn kept_of(&self, customer: &CustomerId) -> (usize, u64) {
        self.ledger.accounts.get(customer).map_or((0, 0), |account| (account.things.len(), account.bytes))
    }

    /// Whether this customer may cause one thing more that will be kept. Whoever has caused nothing always may.
    pub(super) fn must_have_room(&self, customer: &CustomerId, now: Timestamp) -> Result<(), Refusal> {
        let Some(account) = self.ledger.accounts.get(customer) else { return Ok(()) };
        let (seats, budget) = (u32::from(self.sale.policy.max_seats_per_customer), &self.budget);
        let is_crowded =
            self.ledger.things > budget.things_kept_max / 2 || self.ledger.bytes > budget.bytes_kept_max / 2;
        let (things_max, bytes_max) = if is_crowded {
            let things = THINGS_PER_CUSTOMER_CROWDED.min(budget.things_per_customer);
            (things + seats, (BYTES_PER_CUSTOMER + BYTES_PER_SEAT * u64::from(seats)) / 4)
        } else {
            let things = budget.things_per_customer + THINGS_PER_SEAT * seats;
            (things, BYTES_PER_CUSTOMER + BYTES_PER_SEAT * u64::from(seats))
        };
        account
            .has_room(self.oldest_known(now), things_max, bytes_max)
            .map_err(|(kept, first)| self.over_quota(QuotaOf::Customer, (kept, things_max), first, now))
    }

    /// The same for a key of an admin's.
    pub(super) fn must_have_room_for_admins(&self, now: Timestamp) -> Result<(), Refusal> {
        let limit = self.budget.admin_keys_max;
        self.ledger
            .admins
            .has_room(self.oldest_known(now), limit, u64::MAX)
            .map_err(|(kept, first)| self.over_quota(QuotaOf::Admins, (kept, limit), first, now))
    }

    fn over_quota(
        &self,
        whose: QuotaOf,
        (kept, limit): (u32, u32),
        first: Timestamp,
        now: Timestamp,
    ) -> Refusal {
        let free_at = first.plus_millis(ENDED_ORDER_RETENTION_MS);
        let wait_ms = free_at.as_millis().saturating_sub(now.max(self.last_at).as_millis());
        let wait_seconds = u32::try_from(wait_ms.max(0) / 1000 + 1).unwrap_or(u32::MAX);
        Refusal::QuotaExceeded { whose, kept, limit, wait_seconds }
    }

    /// What is to be forgotten before its day is over, as the event that does so: the oldest, where all customers together
    /// have caused more than is kept. So no grab is ever refused for what others have caused.
    pub(super) fn decide_forgetting(&self) -> Option<Event> {
        let ledger = &self.ledger;
        if ledger.things <= self.budget.things_kept_max && ledger.bytes <= self.budget.bytes_kept_max {
            return None;
        }
        let orders =
            self.ended.iter().filter_map(|(_, no)| self.orders.get(no)).map(|order| order.changed_by);
        let requests = self.requests.iter().filter(|request| request.owner != KeyOwner::Admins);
        let requests = requests.map(|request| request.seq);
        let mut seqs: Vec<Seq> = orders.chain(requests).chain(self.waitlist.ended_by()).collect();
        if seqs.is_empty() {
            return None;
        }
        let last = (seqs.len() / FORGOTTEN_AT_A_TIME).max(1) - 1;
        let (_, through, _) = seqs.select_nth_unstable(last);
        Some(Event::Forgotten { through: *through })
    }

    /// What is charged follows from what is kept.
    pub(super) fn check_ledger(&self) -> Result<(), BrokenInvariant> {
        let again = self.ledger_anew();
        if again.is_like(&self.ledger) {
            return Ok(());
        }
        let detail = format!("{} things are kept, {} are charged", again.things, self.ledger.things);
        Err(BrokenInvariant::new("what is kept is charged to whoever caused it", detail))
    }

    /// All that is kept, charged from nothing.
    pub(super) fn ledger_anew(&self) -> Ledger {
        let mut ledger = Ledger::default();
        let mut over: Vec<(&CustomerId, Timestamp, u32)> = Vec::new();
        let ended = self.orders.values().filter(|order| !order.status.is_live());
        over.extend(ended.map(|order| (&order.customer, order.updated_at, order.bytes_kept())));
        let left = self.waitlist.ended_entries();
        over.extend(left.map(|entry| (&entry.wish.customer, entry.updated_at, entry.bytes_kept())));
        over.sort_unstable_by_key(|(_, at, _)| *at);
        over.into_iter().for_each(|(customer, at, bytes)| ledger.charge(customer, at, bytes));
        self.requests.iter().for_each(|request| ledger.charge_request(request));
        ledger
    }
}
