//! The waitlist: parties that want seats once some come back, in the order they came, and who of them is served next.
//! Never lets anybody wait for seats that are free and fit, and never reads a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::cabin::{CabinClass, Seats};
use super::command::Together;
use super::decide::Decision;
use super::event::{Event, OrderPlaced};
use super::ids::{CustomerId, FlightId, OrderNo, Reference, Seq, Timestamp, tagged};
use super::invariants::BrokenInvariant;
use super::inventory::Flight;
use super::refusal::{LimitScope, Refusal};
use super::sale::SaleState;
use super::seating;
use super::secrets::FlightIds;

/// Most parties that wait for one flight at the same time.
pub const WAITING_MAX: usize = 10_000;
/// Most entries with which one customer waits for one flight.
pub const WAITING_PER_CUSTOMER_MAX: u16 = 9;
/// How long seats from the waitlist are held where the sale holds none, in seconds: nobody is asked before they get
/// them, so that they need time to hear of it.
pub const WAITLIST_HOLD_SECONDS_DEFAULT: u32 = 600;
/// Most wishes that are remembered as hopeless while the list is gone through.
const HOPELESS_MAX: usize = 32;

/// An entry of a flight's waitlist: the seq of the event that put it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaitlistNo(pub u64);

/// Which entry of a flight is meant, and the proof that the caller was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitlistRef {
    /// The entry's number in its flight.
    pub no: WaitlistNo,
    /// The tag from the entry's id; a wrong one finds no entry.
    pub tag: u64,
}

/// An entry's public name: `<flight_id>-W<number><tag>`, so that it leads to its flight and is no order's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitlistId {
    /// The entry's flight.
    pub flight_id: FlightId,
    /// The entry within it.
    pub entry: WaitlistRef,
}

/// The text is not the id of a waitlist's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a waitlist entry")]
pub struct NotAWaitlistId;

impl WaitlistId {
    /// The id of entry `no` of a flight whose ids are made of this.
    pub fn of(flight_id: &FlightId, ids: &FlightIds, no: WaitlistNo) -> Self {
        Self { flight_id: flight_id.clone(), entry: WaitlistRef { no, tag: ids.waitlist_tag(no) } }
    }
}

impl fmt::Display for WaitlistId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-W", self.flight_id)?;
        tagged::write(f, self.entry.no.0, self.entry.tag)
    }
}

impl FromStr for WaitlistId {
    type Err = NotAWaitlistId;

    fn from_str(text: &str) -> Result<Self, NotAWaitlistId> {
        let (flight, entry) = text.rsplit_once("-W").ok_or(NotAWaitlistId)?;
        let flight_id = FlightId::new(flight).map_err(|_| NotAWaitlistId)?;
        let (no, tag) = tagged::read(entry).ok_or(NotAWaitlistId)?;
        Ok(Self { flight_id, entry: WaitlistRef { no: WaitlistNo(no), tag } })
    }
}

/// What a party that waits takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accept {
    /// A seat for everybody, side by side in one row.
    AllTogether,
    /// A seat for everybody, wherever there are some.
    All,
    /// As many seats as there are, but at least so many (at least 1, at most the party).
    AtLeast(u16),
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitlistStatus {
    /// It waits.
    Waiting,
    /// It got seats, as this order.
    Served(OrderNo),
    /// The customer gave it up.
    Left,
    /// Its time ran out, or the flight left.
    Expired,
}

impl WaitlistStatus {
    /// The names of all statuses.
    pub const NAMES: [&'static str; 4] = ["waiting", "served", "left", "expired"];

    /// The name the outside uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Served(_) => "served",
            Self::Left => "left",
            Self::Expired => "expired",
        }
    }
}

/// Why somebody waits no longer, other than having got seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeftBecause {
    /// The customer gave it up.
    GivenUp,
    /// Its time ran out, or the flight left.
    Expired,
}

/// What a party asks for that wants to wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitlistWish {
    /// Who asks.
    pub customer: CustomerId,
    /// For how many seats, at least 1.
    pub party_size: u16,
    /// What it takes.
    pub accept: Accept,
    /// Only in this class.
    pub cabin_class: Option<CabinClass>,
    /// Until when it waits, at the longest until the flight leaves.
    pub expires_at: Option<Timestamp>,
    /// The client's own reference; the order gets it, too.
    pub client_reference: Option<Reference>,
}

/// A party on the waitlist, as the flight knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitlistEntry {
    /// Its number: the seq of the event that put it there.
    pub no: WaitlistNo,
    /// What it asked for.
    pub wish: WaitlistWish,
    /// Where it stands.
    pub status: WaitlistStatus,
    /// Since when it waits.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The event that last changed it.
    pub changed_by: Seq,
}

/// Where a party that waits stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitlistPlace {
    /// Parties in front of it, whatever they take.
    pub parties_ahead: u32,
    /// Seats that those want together.
    pub seats_ahead: u32,
}

/// What decides whether seats fit, without the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    party_size: u16,
    accept: Accept,
    cabin_class: Option<CabinClass>,
    deadline: Timestamp,
}

impl Shape {
    /// The fewest seats that it takes.
    const fn fewest(&self) -> u16 {
        match self.accept {
            Accept::AllTogether | Accept::All => self.party_size,
            Accept::AtLeast(fewest) => fewest,
        }
    }
}

/// The entries a flight remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Waitlist {
    entries: BTreeMap<WaitlistNo, WaitlistEntry>,
    /// Those that wait, in their order.
    waiting: BTreeMap<WaitlistNo, Shape>,
    deadlines: BTreeSet<(Timestamp, WaitlistNo)>,
    /// With how many entries each customer waits; nobody stands here with 0.
    customers: HashMap<CustomerId, u16, RandomState>,
    /// Those that wait no longer, in the order they stopped.
    ended: VecDeque<(Timestamp, WaitlistNo)>,
    /// From this entry on, one may fit that did not before; `None`: nothing has happened that could let one in. Only a
    /// memory of having looked: no part of the state.
    look_from: Option<WaitlistNo>,
    /// When it was last looked.
    looked_at: Timestamp,
}

impl Waitlist {
    /// Seats came free, or a limit was lifted: any party may fit now. Costs nothing where nobody waits.
    pub(super) fn may_let_in(&mut self) {
        if !self.waiting.is_empty() {
            self.look_from = Some(WaitlistNo(0));
        }
    }

    /// By rising number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &WaitlistEntry> {
        self.entries.values()
    }

    pub(super) fn hash_into(&self, hash: &mut impl Hasher) {
        self.iter().for_each(|entry| entry.hash(hash));
        self.deadlines.hash(hash);
        self.ended.hash(hash);
    }

    /// Forgets the first entry of those that wait no longer, if it stopped before `oldest`, or by event `through` or
    /// before.
    pub(super) fn forget_first(&mut self, oldest: Timestamp, through: Seq) -> Option<WaitlistEntry> {
        let &(at, no) = self.ended.front()?;
        if at >= oldest && self.entries.get(&no).is_some_and(|entry| entry.changed_by > through) {
            return None;
        }
        self.ended.pop_front();
        self.entries.remove(&no)
    }

    /// Those that wait no longer, in the order they stopped.
    pub(super) fn ended_entries(&self) -> impl Iterator<Item = &WaitlistEntry> {
        self.ended.iter().filter_map(|(_, no)| self.entries.get(no))
    }

    /// The events by which they stopped.
    pub(super) fn ended_by(&self) -> impl Iterator<Item = Seq> {
        self.ended_entries().map(|entry| entry.changed_by)
    }

    fn insert(&mut self, entry: WaitlistEntry, departs_at: Timestamp) {
        if entry.status == WaitlistStatus::Waiting {
            let (no, wish) = (entry.no, &entry.wish);
            let deadline = deadline_of(wish, departs_at);
            let shape = Shape {
                party_size: wish.party_size,
                accept: wish.accept,
                cabin_class: wish.cabin_class,
                deadline,
            };
            self.waiting.insert(no, shape);
            self.deadlines.insert((deadline, no));
            *self.customers.entry(wish.customer.clone()).or_default() += 1;
            self.look_from = Some(self.look_from.map_or(no, |from| from.min(no)));
        }
        self.entries.insert(entry.no, entry);
    }

    /// `false` if nobody waits under that number.
    fn end(&mut self, no: WaitlistNo, status: WaitlistStatus, seq: Seq, at: Timestamp) -> bool {
        let (Some(shape), Some(entry)) = (self.waiting.remove(&no), self.entries.get_mut(&no)) else {
            return false;
        };
        self.deadlines.remove(&(shape.deadline, no));
        match self.customers.get_mut(&entry.wish.customer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.customers.remove(&entry.wish.customer);
            }
        }
        entry.status = status;
        entry.updated_at = at;
        entry.changed_by = seq;
        self.ended.push_back((at, no));
        true
    }

    /// The waitlist of these entries.
    pub(super) fn restore(entries: Vec<WaitlistEntry>, departs_at: Timestamp) -> Self {
        let mut waitlist = Self::default();
        entries.into_iter().for_each(|entry| waitlist.insert(entry, departs_at));
        let mut ended: Vec<_> = waitlist
            .iter()
            .filter(|entry| entry.status != WaitlistStatus::Waiting)
            .map(|entry| (entry.changed_by, entry.updated_at, entry.no))
            .collect();
        ended.sort_unstable();
        waitlist.ended = ended.into_iter().map(|(_, at, no)| (at, no)).collect();
        waitlist
    }
}

fn deadline_of(wish: &WaitlistWish, departs_at: Timestamp) -> Timestamp {
    wish.expires_at.map_or(departs_at, |at| at.min(departs_at))
}

impl Flight {
    /// The next party that gets seats at `now`, as the event that gives them; `None` if nobody fits. To be called
    /// after every event, until it gives `None`, before anything else is decided: then no seat stays free while a party
    /// waits that it fits, and nobody is overtaken by a later party with the same wish.
    ///
    /// Changes nothing but the memory of having looked, which makes it free of cost where nothing can have changed.
    pub fn decide_waitlist(&mut self, now: Timestamp) -> Option<Event> {
        let from = self.waitlist.look_from?;
        let now = self.moment(now);
        self.waitlist.looked_at = now;
        // Not looked through yet in either case: the sale may open, and orders be forgotten, without an event of its own.
        if self.sale_state(now) != SaleState::Open {
            return None;
        }
        let found = self.first_that_fits(from, now);
        self.waitlist.look_from = found.as_ref().map(|(no, _)| *no);
        let (entry, seats) = found?;
        let wish = &self.waitlist.entries.get(&entry)?.wish;
        let hold_seconds = match self.sale.policy.hold_seconds {
            0 => WAITLIST_HOLD_SECONDS_DEFAULT,
            seconds => seconds,
        };
        let placed = Box::new(OrderPlaced {
            customer: wish.customer.clone(),
            total: self.total(&seats),
            seats,
            hold_expires_at: Some(self.hold_until(now, hold_seconds)),
            passengers: None,
            client_reference: wish.client_reference.clone(),
            idempotency: None,
        });
        Some(Event::WaitlistServed { entry, placed })
    }

    fn first_that_fits(&self, from: WaitlistNo, now: Timestamp) -> Option<(WaitlistNo, Seats)> {
        let free = self.map.free();
        if free == 0 {
            return None;
        }
        let free_in = CabinClass::ALL.map(|class| (class, self.map.free_in(class)));
        let mut hopeless: SmallVec<[(u16, Option<CabinClass>); HOPELESS_MAX]> = SmallVec::new();
        for (&no, shape) in self.waitlist.waiting.range(from..) {
            let available = shape.cabin_class.map_or(free, |class| {
                free_in.iter().find(|(its, _)| *its == class).map_or(0, |(_, free)| *free)
            });
            if available < u32::from(shape.fewest()) || shape.deadline <= now {
                continue;
            }
            let together = match shape.accept {
                Accept::AllTogether => Together::Required,
                Accept::All | Accept::AtLeast(_) => Together::Preferred,
            };
            // What does not fit once does not fit a later party of the same wish either.
            let wish = (shape.party_size, shape.cabin_class);
            if together == Together::Required && hopeless.contains(&wish) {
                continue;
            }
            let Some(quantity) = self.quantity_for(no, shape, available) else { continue };
            match seating::choose(&self.map, quantity, together, shape.cabin_class) {
                Ok(seats) => return Some((no, seats)),
                Err(_) if hopeless.len() < HOPELESS_MAX => hopeless.push(wish),
                Err(_) => {}
            }
        }
        None
    }

    /// How many seats this party gets out of so many, as far as the sale's limits allow.
    fn quantity_for(&self, no: WaitlistNo, shape: &Shape, available: u32) -> Option<u16> {
        let customer = &self.waitlist.entries.get(&no)?.wish.customer;
        let holding = self.holdings.get(customer).copied().unwrap_or(0);
        let policy = &self.sale.policy;
        let allowed = u32::from(policy.max_seats_per_customer).saturating_sub(holding);
        let most = u32::from(shape.party_size.min(policy.max_seats_per_order)).min(allowed).min(available);
        u16::try_from(most).ok().filter(|most| *most >= shape.fewest())
    }

    /// The next entry whose time has run out by `now`, as the event that ends it.
    pub(super) fn decide_waitlist_expiry(&self, now: Timestamp) -> Option<Event> {
        let &(deadline, entry) = self.waitlist.deadlines.first()?;
        (deadline <= now).then_some(Event::WaitlistLeft { entry, reason: LeftBecause::Expired })
    }

    pub(super) fn decide_join(&self, wish: &WaitlistWish, now: Timestamp) -> Result<Decision, Refusal> {
        let invalid = |field, message: String| Err(Refusal::Invalid { field, message });
        let party_size = wish.party_size;
        if party_size == 0 {
            return invalid("party_size", "must be at least 1".to_owned());
        }
        if let Accept::AtLeast(fewest) = wish.accept
            && !(1..=party_size).contains(&fewest)
        {
            return invalid("accept", format!("must ask for at least 1 and at most {party_size} seats"));
        }
        if wish.expires_at.is_some_and(|at| at <= now.max(self.last_at)) {
            return invalid("expires_at", "must be in the future".to_owned());
        }
        if let Some(class) = wish.cabin_class
            && !self.map.has_class(class)
        {
            return invalid("cabin_class", format!("this flight has no {class} cabin"));
        }
        match self.sale_state(now) {
            // Whoever could join before the sale begins would have seats before everybody else gets to ask.
            SaleState::Scheduled => return Err(Refusal::SaleNotOpen { opens_at: self.sale.policy.opens_at }),
            SaleState::Closed => return Err(Refusal::SaleClosed),
            SaleState::Open | SaleState::Paused => {}
        }
        if self.definition.departs_at <= now.max(self.last_at) {
            return Err(Refusal::SaleClosed);
        }
        let policy = &self.sale.policy;
        let holding = self.holdings.get(&wish.customer).copied().unwrap_or(0);
        for (scope, limit) in [
            (LimitScope::Order, policy.max_seats_per_order),
            (LimitScope::Customer, policy.max_seats_per_customer),
        ] {
            if party_size > limit {
                return Err(Refusal::LimitExceeded { scope, limit, holding });
            }
        }
        let waits_with = self.waitlist.customers.get(&wish.customer).copied().unwrap_or(0);
        if waits_with >= WAITING_PER_CUSTOMER_MAX {
            let (scope, limit) = (LimitScope::Waitlist, WAITING_PER_CUSTOMER_MAX);
            return Err(Refusal::LimitExceeded { scope, limit, holding: waits_with.into() });
        }
        self.must_have_room(&wish.customer, now)?;
        // Whoever waits already is refused first: so nobody fills the list with parties of their own.
        let waiting = self.waitlist.waiting.len();
        if waiting >= WAITING_MAX || (waiting >= WAITING_MAX / 2 && waits_with > 0) {
            return Err(Refusal::WaitlistFull);
        }
        Ok(Decision::Record(Event::WaitlistJoined(Box::new(wish.clone()))))
    }

    pub(super) fn decide_leave(&self, entry: WaitlistRef, now: Timestamp) -> Result<Decision, Refusal> {
        let entry = self.find_waitlisted_at(entry, now).ok_or(Refusal::WaitlistEntryNotFound)?;
        if entry.status != WaitlistStatus::Waiting {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::WaitlistLeft { entry: entry.no, reason: LeftBecause::GivenUp }))
    }

    pub(super) fn apply_joined(&mut self, wish: &WaitlistWish) {
        let entry = WaitlistEntry {
            no: WaitlistNo(self.seq.0),
            wish: wish.clone(),
            status: WaitlistStatus::Waiting,
            created_at: self.last_at,
            updated_at: self.last_at,
            changed_by: self.seq,
        };
        self.waitlist.insert(entry, self.definition.departs_at);
    }

    pub(super) fn apply_waitlist_end(&mut self, no: WaitlistNo, status: WaitlistStatus) {
        let (seq, at) = (self.seq, self.last_at);
        if !self.waitlist.end(no, status, seq, at) {
            self.break_with("only who waits is served or leaves", format!("entry {} does not wait", no.0));
            return;
        }
        if let Some(entry) = self.waitlist.entries.get(&no) {
            let (customer, bytes) = (entry.wish.customer.clone(), entry.bytes_kept());
            self.ledger.charge(&customer, at, bytes);
        }
    }

    /// All entries the flight still knows, by rising number.
    pub fn waitlist(&self) -> impl Iterator<Item = &WaitlistEntry> {
        self.waitlist.iter()
    }

    /// Number of parties that wait.
    pub fn waiting(&self) -> usize {
        self.waitlist.waiting.len()
    }

    /// The entry with this number, if the flight still knows it.
    pub fn waitlisted(&self, no: WaitlistNo) -> Option<&WaitlistEntry> {
        self.waitlist.entries.get(&no)
    }

    /// The entry somebody refers to, if the flight still knows it and the tag is right.
    pub fn find_waitlisted(&self, entry: WaitlistRef) -> Option<&WaitlistEntry> {
        let ids = &self.definition.ids;
        if !ids.is_unlocked() || ids.waitlist_tag(entry.no) != entry.tag {
            return None;
        }
        self.waitlisted(entry.no)
    }

    /// The same, unless it stopped waiting so long before `now` that it is to be forgotten.
    pub(super) fn find_waitlisted_at(&self, entry: WaitlistRef, now: Timestamp) -> Option<&WaitlistEntry> {
        let is_known = |entry: &&WaitlistEntry| {
            entry.status == WaitlistStatus::Waiting || entry.updated_at >= self.oldest_known(now)
        };
        self.find_waitlisted(entry).filter(is_known)
    }

    /// Entries behind `after`, by rising number, at most `limit`, and where those stand that wait.
    pub fn waitlist_after(
        &self,
        after: Option<WaitlistNo>,
        limit: usize,
    ) -> Vec<(WaitlistEntry, Option<WaitlistPlace>)> {
        let first = WaitlistNo(after.map_or(0, |no| no.0.saturating_add(1)));
        let mut next = None;
        let with_place = |(no, entry): (&WaitlistNo, &WaitlistEntry)| {
            let place = if self.waitlist.waiting.contains_key(no) {
                next.or_else(|| self.waitlist_place(*no))
            } else {
                None
            };
            // The line is gone through once, not once an entry.
            next = place.map_or(next, |place| {
                Some(WaitlistPlace {
                    parties_ahead: place.parties_ahead + 1,
                    seats_ahead: place.seats_ahead + u32::from(entry.wish.party_size),
                })
            });
            (entry.clone(), place)
        };
        self.waitlist.entries.range(first..).take(limit).map(with_place).collect()
    }

    /// Where this entry stands in the line; `None` if it does not wait. In time linear in those in front of it.
    pub fn waitlist_place(&self, no: WaitlistNo) -> Option<WaitlistPlace> {
        self.waitlist.waiting.get(&no)?;
        let mut place = WaitlistPlace { parties_ahead: 0, seats_ahead: 0 };
        for (_, shape) in self.waitlist.waiting.range(..no) {
            place.parties_ahead += 1;
            place.seats_ahead += u32::from(shape.party_size);
        }
        Some(place)
    }

    /// When the waitlist has to be looked at again if nothing happens before: somebody's time runs out, or the sale opens
    /// by itself.
    pub(super) fn next_waitlist_moment(&self) -> Option<Timestamp> {
        let deadline = self.waitlist.deadlines.first().map(|(at, _)| *at);
        let opening = self.sale.policy.opens_at.filter(|at| {
            self.waitlist.look_from.is_some() && *at > self.waitlist.looked_at.max(self.last_at)
        });
        deadline.into_iter().chain(opening).min()
    }

    /// Each party waits once, in one place, and is counted; who no longer waits is remembered for a day.
    pub(super) fn check_waitlist(&self) -> Result<(), BrokenInvariant> {
        let waitlist = &self.waitlist;
        let broken = |detail: String| Err(BrokenInvariant::new("the waitlist is sound", detail));
        let rebuilt = Waitlist::restore(waitlist.iter().cloned().collect(), self.definition.departs_at);
        if rebuilt.waiting != waitlist.waiting
            || rebuilt.deadlines != waitlist.deadlines
            || rebuilt.customers != waitlist.customers
            || rebuilt.ended != waitlist.ended
        {
            return broken("its line, deadlines or counts do not follow from its entries".to_owned());
        }
        for (no, entry) in &waitlist.entries {
            let in_order = *no == entry.no
                && no.0 <= entry.changed_by.0
                && entry.changed_by <= self.seq
                && entry.created_at <= entry.updated_at
                && entry.updated_at <= self.last_at;
            let order_fits = match entry.status {
                WaitlistStatus::Waiting => entry.changed_by.0 == no.0,
                WaitlistStatus::Served(order) => {
                    order.0 == entry.changed_by.0
                        && self.orders.get(&order).is_none_or(|order| order.customer == entry.wish.customer)
                }
                WaitlistStatus::Left | WaitlistStatus::Expired => true,
            };
            if !in_order || !order_fits {
                return broken(format!("entry {} is not", no.0));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
