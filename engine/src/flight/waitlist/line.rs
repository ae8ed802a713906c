//! The line: who waits in which order and until when, with how many entries each customer, and who stopped waiting.
//! Never looks at seats.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;

use super::types::{Accept, WaitlistEntry, WaitlistStatus, WaitlistWish};
use crate::flight::cabin::CabinClass;
use crate::flight::ids::{CustomerId, Seq, Timestamp, WaitlistNo};

/// What decides whether seats fit, without the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) party_size: u16,
    pub(super) accept: Accept,
    pub(super) cabin_class: Option<CabinClass>,
    pub(super) deadline: Timestamp,
}

impl Shape {
    /// The fewest seats that it takes.
    pub(super) const fn fewest(&self) -> u16 {
        match self.accept {
            Accept::AllTogether | Accept::All => self.party_size,
            Accept::AtLeast(fewest) => fewest,
        }
    }
}

/// The entries a flight remembers.
#[derive(Debug, Clone, Default)]
pub(in crate::flight) struct Waitlist {
    pub(super) entries: BTreeMap<WaitlistNo, WaitlistEntry>,
    /// Those that wait, in their order.
    pub(super) waiting: BTreeMap<WaitlistNo, Shape>,
    pub(super) deadlines: BTreeSet<(Timestamp, WaitlistNo)>,
    /// With how many entries each customer waits; nobody stands here with 0.
    pub(super) customers: HashMap<CustomerId, u16, RandomState>,
    /// Those that wait no longer, in the order they stopped.
    ended: VecDeque<(Timestamp, WaitlistNo)>,
    /// The last event that may have let a party in that waited already: by it seats came free, or a limit was lifted.
    pub(super) opened_by: Seq,
}

impl Waitlist {
    /// By this event seats came free, or a limit was lifted: any party may fit now.
    pub(in crate::flight) fn may_let_in(&mut self, seq: Seq) {
        self.opened_by = seq;
    }

    /// By rising number.
    pub(in crate::flight) fn iter(&self) -> impl Iterator<Item = &WaitlistEntry> {
        self.entries.values()
    }

    pub(in crate::flight) fn hash_into(&self, hash: &mut impl Hasher) {
        self.iter().for_each(|entry| entry.hash(hash));
        self.deadlines.hash(hash);
        self.ended.hash(hash);
    }

    /// Forgets the first entry of those that wait no longer, if it stopped before `oldest`, or by event `through` or
    /// before.
    pub(in crate::flight) fn forget_first(
        &mut self,
        oldest: Timestamp,
        through: Seq,
    ) -> Option<WaitlistEntry> {
        let &(at, no) = self.ended.front()?;
        if at >= oldest && self.entries.get(&no).is_some_and(|entry| entry.changed_by > through) {
            return None;
        }
        self.ended.pop_front();
        self.entries.remove(&no)
    }

    /// Those that wait no longer, in the order they stopped.
    pub(in crate::flight) fn ended_entries(&self) -> impl Iterator<Item = &WaitlistEntry> {
        self.ended.iter().filter_map(|(_, no)| self.entries.get(no))
    }

    /// The events by which they stopped.
    pub(in crate::flight) fn ended_by(&self) -> impl Iterator<Item = Seq> {
        self.ended_entries().map(|entry| entry.changed_by)
    }

    pub(super) fn insert(&mut self, entry: WaitlistEntry, departs_at: Timestamp) {
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
        }
        self.entries.insert(entry.no, entry);
    }

    /// `false` if nobody waits under that number.
    pub(super) fn end(&mut self, no: WaitlistNo, status: WaitlistStatus, seq: Seq, at: Timestamp) -> bool {
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

    /// The entries by number.
    pub(in crate::flight) fn entries(&self) -> &BTreeMap<WaitlistNo, WaitlistEntry> {
        &self.entries
    }

    /// Whether the line, the deadlines and the counts are those of the entries.
    pub(in crate::flight) fn follows_from_its_entries(&self, departs_at: Timestamp) -> bool {
        let rebuilt = Self::restore(self.iter().cloned().collect(), departs_at, self.opened_by);
        rebuilt.waiting == self.waiting
            && rebuilt.deadlines == self.deadlines
            && rebuilt.customers == self.customers
            && rebuilt.ended == self.ended
    }

    /// The waitlist of these entries after event `seq`, of which nobody knows who of them fits.
    pub(in crate::flight) fn restore(entries: Vec<WaitlistEntry>, departs_at: Timestamp, seq: Seq) -> Self {
        let mut waitlist = Self { opened_by: seq, ..Self::default() };
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
