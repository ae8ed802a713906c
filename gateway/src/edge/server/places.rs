//! Who holds the connections: how many there may be, how many of one address, and whose ends for a newcomer.
//! Never touches a socket, and never ends a connection while its request is being decided.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::parts::rate::{Proxies, counted};

/// Connections that were told to end and have not ended yet, beyond those there may be. They end in a moment; so many
/// more descriptors are open meanwhile.
const LEAVING_MAX: usize = 64;
/// An address that holds more than one in so many of all connections gives way before those that do not.
const FAIR_SHARE: usize = 8;
/// Of those that may have to leave, one in so many is chosen with one look at all of them.
const CHOSEN_AT_ONCE: usize = 16;
/// How long to wait before looking again whether somebody may leave, where everybody's request is being decided.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Most bytes of answers that are kept because their clients do not take them, of all connections. Beyond it those that
/// have stood still for longest end.
pub(super) const UNTAKEN_BYTES_MAX: usize = 64 << 20;

/// A request is being decided: nobody ends this connection.
const DECIDING: u64 = 0;
/// It has to end.
const LEAVING: u64 = u64::MAX;

/// How many connections one address may hold.
#[derive(Debug, Clone, Default)]
pub struct PerAddress {
    /// The number; `None`: as many as there are.
    pub max: Option<u32>,
    /// Whether this machine's own addresses may hold as many as there are: a proxy or a measurement runs here.
    pub loopback_is_free: bool,
    /// Those who ask for many others, and may hold as many as there are.
    pub proxies: Proxies,
}

impl PerAddress {
    fn of(&self, peer: IpAddr) -> Option<usize> {
        let peer = peer.to_canonical();
        let is_free = (self.loopback_is_free && peer.is_loopback()) || self.proxies.trusts(peer);
        self.max.filter(|_| !is_free).map(|max| max as usize)
    }
}

/// One connection, as the others see it.
struct Slot {
    address: IpAddr,
    /// Its place in its address's list.
    index: AtomicUsize,
    /// `DECIDING`, `LEAVING`, or since when it waits for its client, in microseconds, twice; one more if what it sends
    /// goes on for as long as it is read.
    state: AtomicU64,
    /// Bytes of an answer that its client does not take.
    untaken: AtomicUsize,
    end: OnceLock<AbortHandle>,
}

impl Slot {
    /// Ends the connection, if it still is as it was seen.
    fn leave(&self, seen: u64) -> bool {
        let leaves = self.state.compare_exchange(seen, LEAVING, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if leaves && let Some(end) = self.end.get() {
            end.abort();
        }
        leaves
    }

    /// As it is, if it may be ended.
    fn may_leave(&self) -> Option<u64> {
        Some(self.state.load(Ordering::Acquire)).filter(|state| ![DECIDING, LEAVING].contains(state))
    }

    /// Changes the state, unless the connection has to end.
    fn set(&self, state: u64) -> bool {
        let change = |now: u64| (now != LEAVING).then_some(state);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }
}

/// Somebody who may have to leave, and as what he was seen.
type Candidate = (Weak<Slot>, u64);

/// Who leaves first: whether he holds no more than his share, whether he reads what goes on, and since when he waits.
type Rank = (bool, bool, u64);

/// The connections of one address.
#[derive(Default)]
struct Neighbours {
    places: Vec<Arc<Slot>>,
    leaving: usize,
    /// The next ones to leave, the first of them last.
    next: Vec<Candidate>,
}

#[derive(Default)]
struct Held {
    addresses: HashMap<IpAddr, Neighbours>,
    open: usize,
    leaving: usize,
    /// The next ones to leave, the first of them last.
    next: Vec<Candidate>,
}

/// All connections of one listener.
pub(super) struct Places {
    connections_max: usize,
    per_address: PerAddress,
    began: Instant,
    held: Mutex<Held>,
    freed: Notify,
    untaken: AtomicUsize,
}

/// What a newcomer gets.
pub(super) enum Admission {
    /// A place.
    In(Guest),
    /// None: all that its address may hold are at work.
    AddressIsFull,
    /// None just now: all are at work.
    Full,
}

impl Places {
    pub(super) fn new(connections_max: u32, per_address: PerAddress) -> Arc<Self> {
        Arc::new(Self {
            connections_max: connections_max as usize,
            per_address,
            began: Instant::now(),
            held: Mutex::default(),
            freed: Notify::new(),
            untaken: AtomicUsize::new(0),
        })
    }

    /// Finds a place for a newcomer; if there is none, the connection ends that has waited for its client for longest: of
    /// the same address if that has as many as it may hold, else of one that holds more than its share, else of anybody.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Admission {
        let address = counted(peer);
        let mut held = self.held.lock();
        if held.leaving >= LEAVING_MAX {
            return Admission::Full;
        }
        let of_address = held.addresses.get(&address).map_or(0, |there| there.places.len() - there.leaving);
        if self.per_address.of(peer).is_some_and(|max| of_address >= max) {
            if !held.end_one_of(address) {
                return Admission::AddressIsFull;
            }
        } else if held.open - held.leaving >= self.connections_max
            && !held.end_one(self.connections_max / FAIR_SHARE)
        {
            return Admission::Full;
        }
        let there = held.addresses.entry(address).or_default();
        let place = Arc::new(Slot {
            address,
            index: AtomicUsize::new(there.places.len()),
            state: AtomicU64::new(self.waiting_since(Instant::now())),
            untaken: AtomicUsize::new(0),
            end: OnceLock::new(),
        });
        there.places.push(place.clone());
        held.open += 1;
        Admission::In(Guest(Some((self.clone(), place))))
    }

    /// Ends a connection, because descriptors are scarce.
    pub(super) fn make_room(&self) {
        let mut held = self.held.lock();
        if held.leaving == 0 {
            held.end_one(self.connections_max / FAIR_SHARE);
        }
    }

    /// Completes when it is worth a look whether there is a place.
    pub(super) async fn room(&self) {
        let _ = tokio::time::timeout(LOOK_PAUSE, self.freed.notified()).await;
    }

    /// Completes once nobody is connected any more.
    pub(super) async fn all_gone(&self) {
        while self.held.lock().open > 0 {
            self.freed.notified().await;
        }
    }

    fn waiting_since(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        // Never 0, which would be `DECIDING`.
        (since.as_secs() * 1_000_000 + u64::from(since.subsec_micros()) + 1) << 1
    }

    fn remove(&self, place: &Arc<Slot>) {
        self.untaken.fetch_sub(place.untaken.swap(0, Ordering::AcqRel), Ordering::AcqRel);
        let mut held = self.held.lock();
        let has_left = usize::from(place.state.load(Ordering::Acquire) == LEAVING);
        held.open -= 1;
        held.leaving -= has_left;
        if let Some(there) = held.addresses.get_mut(&place.address) {
            let index = place.index.load(Ordering::Relaxed);
            there.places.swap_remove(index);
            if let Some(moved) = there.places.get(index) {
                moved.index.store(index, Ordering::Relaxed);
            }
            there.leaving -= has_left;
            if there.places.is_empty() {
                held.addresses.remove(&place.address);
            }
        }
        drop(held);
        self.freed.notify_one();
    }

    /// Ends those whose clients have taken nothing for longest, until what is kept for them is within its bound.
    fn keep_less(&self) {
        let mut held = self.held.lock();
        let all = held.addresses.values().flat_map(|there| &there.places);
        let mut keeping: Vec<(u64, Arc<Slot>)> = all
            .filter(|place| place.untaken.load(Ordering::Acquire) > 0)
            .filter_map(|place| Some((place.may_leave()?, place.clone())))
            .collect();
        keeping.sort_unstable_by_key(|(state, _)| *state >> 1);
        let mut kept: usize = keeping.iter().map(|(_, place)| place.untaken.load(Ordering::Acquire)).sum();
        for (state, place) in keeping {
            if kept <= UNTAKEN_BYTES_MAX * 3 / 4 {
                return;
            }
            if place.leave(state) {
                kept -= place.untaken.load(Ordering::Acquire).min(kept);
                held.note_leaving(place.address);
            }
        }
    }
}

impl Held {
    fn note_leaving(&mut self, address: IpAddr) {
        self.leaving += 1;
        if let Some(there) = self.addresses.get_mut(&address) {
            there.leaving += 1;
        }
    }

    fn end_one_of(&mut self, address: IpAddr) -> bool {
        let Some(there) = self.addresses.get_mut(&address) else { return false };
        let Neighbours { places, next, .. } = there;
        let ended = end_first(next, || choose(places.iter().map(|place| (false, place))));
        if ended.is_some() {
            self.note_leaving(address);
        }
        ended.is_some()
    }

    fn end_one(&mut self, fair_share: usize) -> bool {
        let Self { addresses, next, .. } = self;
        let ended = end_first(next, || {
            choose(addresses.values().flat_map(|there| {
                let is_fair = there.places.len() <= fair_share.max(1);
                there.places.iter().map(move |place| (is_fair, place))
            }))
        });
        if let Some(address) = ended {
            self.note_leaving(address);
        }
        ended.is_some()
    }
}

/// Ends the first of those chosen who still is as he was; gives his address. Chooses anew once nobody is left.
fn end_first(next: &mut Vec<Candidate>, choose: impl FnOnce() -> Vec<Candidate>) -> Option<IpAddr> {
    fn first(next: &mut Vec<Candidate>) -> Option<IpAddr> {
        while let Some((place, seen)) = next.pop() {
            if let Some(place) = place.upgrade()
                && place.leave(seen)
            {
                return Some(place.address);
            }
        }
        None
    }
    first(next).or_else(|| {
        *next = choose();
        first(next)
    })
}

/// Those who are to leave first, the first of them last: who holds more than his share before others, who waits for a client
/// before who sends to one that reads, and then who does so for longest.
fn choose<'p>(places: impl Iterator<Item = (bool, &'p Arc<Slot>)>) -> Vec<Candidate> {
    let mut all: Vec<(Rank, &Arc<Slot>)> = places
        .filter_map(|(is_fair, place)| {
            let state = place.may_leave()?;
            Some(((is_fair, state & 1 == 1, state >> 1), place))
        })
        .collect();
    let chosen = all.len().div_ceil(CHOSEN_AT_ONCE);
    if chosen < all.len() {
        all.select_nth_unstable_by_key(chosen, |(rank, _)| *rank);
        all.truncate(chosen);
    }
    all.sort_unstable_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    all.into_iter()
        .map(|((_, is_read, since), place)| (Arc::downgrade(place), since << 1 | u64::from(is_read)))
        .collect()
}

/// A connection's place, held until this is dropped. One that holds none may stay for ever.
#[derive(Default)]
pub(super) struct Guest(Option<(Arc<Places>, Arc<Slot>)>);

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Guest").field(&self.0.as_ref().map(|(_, place)| place.address)).finish()
    }
}

/// How the task of a connection is ended.
pub(super) struct End(Option<Arc<Slot>>);

impl End {
    /// By this.
    pub(super) fn is(self, handle: AbortHandle) {
        let Some(place) = self.0 else { return };
        let handle = place.end.get_or_init(|| handle);
        // It may have had to leave before there was anything to end.
        if place.state.load(Ordering::Acquire) == LEAVING {
            handle.abort();
        }
    }
}

impl Guest {
    pub(super) fn end(&self) -> End {
        End(self.0.as_ref().map(|(_, place)| place.clone()))
    }

    /// A request has come whole: from now on it is decided, and nobody ends the connection. `false` if somebody has: then
    /// nothing may be decided any more.
    pub(super) fn decides(&self) -> bool {
        self.0.as_ref().is_none_or(|(_, place)| place.set(DECIDING))
    }

    /// Whatever comes next is up to the client, since now.
    pub(super) fn waits(&self, now: Instant) {
        if let Some((places, place)) = &self.0 {
            place.set(places.waiting_since(now));
        }
    }

    /// What is sent goes on for as long as the client reads it.
    pub(super) fn is_read(&self, now: Instant) {
        if let Some((places, place)) = &self.0 {
            place.set(places.waiting_since(now) | 1);
        }
    }

    /// The client has done something, of which it is known that it was up to it.
    pub(super) fn moves(&self, now: Instant) {
        if let Some((places, place)) = &self.0
            && let Some(seen) = place.may_leave()
        {
            let state = places.waiting_since(now) | (seen & 1);
            let _ = place.state.compare_exchange(seen, state, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// So many bytes of an answer are kept because its client does not take them.
    pub(super) fn keeps(&self, bytes: usize) {
        let Some((places, place)) = &self.0 else { return };
        let before = place.untaken.swap(bytes, Ordering::AcqRel);
        if bytes <= before {
            places.untaken.fetch_sub(before - bytes, Ordering::AcqRel);
        } else if places.untaken.fetch_add(bytes - before, Ordering::AcqRel) + bytes - before
            > UNTAKEN_BYTES_MAX
        {
            places.keep_less();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some((places, place)) = self.0.take() {
            places.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn taken(places: &Arc<Places>, last: u8) -> Guest {
        match places.admit(address(last)) {
            Admission::In(guest) => guest,
            Admission::AddressIsFull => panic!("the address is full"),
            Admission::Full => panic!("full"),
        }
    }

    fn places(connections_max: u32, per_address: Option<u32>) -> Arc<Places> {
        Places::new(connections_max, PerAddress { max: per_address, ..PerAddress::default() })
    }

    /// Since so many milliseconds after the start.
    fn since(places: &Places, millis: u64) -> Instant {
        places.began + Duration::from_millis(millis)
    }

    fn leaves(guest: &Guest) -> bool {
        !guest.decides()
    }

    #[test]
    fn the_one_that_has_waited_for_longest_leaves_for_a_newcomer() {
        let places = places(3, None);
        let guests: Vec<Guest> = (1..=3).map(|last| taken(&places, last)).collect();
        for (guest, millis) in guests.iter().zip([30, 10, 20]) {
            guest.waits(since(&places, millis));
        }
        let _newcomer = taken(&places, 4);
        assert_eq!(guests.iter().map(leaves).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn nobody_leaves_whose_request_is_being_decided() {
        let places = places(2, None);
        let guests = [taken(&places, 1), taken(&places, 2)];
        assert!(guests.iter().all(Guest::decides));
        assert!(matches!(places.admit(address(3)), Admission::Full));
        guests[0].waits(Instant::now());
        let _newcomer = taken(&places, 3);
        assert!(leaves(&guests[0]) && !leaves(&guests[1]));
    }

    #[test]
    fn an_address_with_more_than_its_share_gives_way_first() {
        let places = places(16, None);
        let shy = taken(&places, 1);
        shy.waits(since(&places, 1));
        let greedy: Vec<Guest> = (0..15).map(|_| taken(&places, 2)).collect();
        greedy.iter().zip(100..).for_each(|(guest, millis)| guest.waits(since(&places, millis)));
        let _newcomers: Vec<Guest> = (3..8).map(|last| taken(&places, last)).collect();
        assert!(!leaves(&shy), "it has waited for longest, but holds one connection alone");
        assert_eq!(greedy.iter().filter(|guest| leaves(guest)).count(), 5);
    }

    #[test]
    fn who_reads_leaves_after_those_who_do_nothing() {
        let places = places(2, None);
        let (reader, idle) = (taken(&places, 1), taken(&places, 2));
        reader.is_read(since(&places, 1));
        idle.waits(since(&places, 500));
        let first = taken(&places, 3);
        first.decides();
        assert!(leaves(&idle));
        let _second = taken(&places, 4);
        assert!(leaves(&reader), "where nobody idles, a newcomer goes before one who only looks on");
    }

    #[test]
    fn an_address_at_its_bound_loses_its_own_and_nobody_elses() {
        let places = places(100, Some(2));
        let other = taken(&places, 9);
        other.waits(since(&places, 1));
        let (first, second) = (taken(&places, 1), taken(&places, 1));
        first.waits(since(&places, 50));
        second.waits(since(&places, 40));
        let third = taken(&places, 1);
        assert!(leaves(&second) && !leaves(&first) && !leaves(&other));
        assert!(third.decides());
        assert!(matches!(places.admit(address(1)), Admission::AddressIsFull));
        drop(third);
        let _fourth = taken(&places, 1);
    }

    #[test]
    fn proxies_and_this_machine_hold_what_they_need() {
        let proxies = Proxies::parse("10.0.0.7").unwrap();
        let per_address = PerAddress { max: Some(1), loopback_is_free: true, proxies };
        assert_eq!(per_address.of(address(7)), None);
        assert_eq!(per_address.of(address(8)), Some(1));
        assert_eq!(per_address.of("::ffff:127.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn what_is_kept_for_those_who_do_not_read_has_a_bound() {
        let places = places(100, None);
        let each = UNTAKEN_BYTES_MAX / 8;
        let guests: Vec<Guest> = (1..=9).map(|last| taken(&places, last)).collect();
        for (guest, millis) in guests.iter().zip(100..) {
            guest.waits(since(&places, millis));
            guest.keeps(each);
        }
        let left: Vec<bool> = guests.iter().map(leaves).collect();
        assert_eq!(left, [true, true, true, false, false, false, false, false, false]);
        drop(guests);
        assert_eq!(places.untaken.load(Ordering::Acquire), 0);
        assert_eq!(places.held.lock().open, 0);
    }

    #[test]
    fn many_come_and_go_and_the_count_is_right() {
        let places = places(50, Some(20));
        let mut guests: Vec<Guest> = Vec::new();
        for round in 0..5000_u32 {
            if fastrand::bool() || guests.is_empty() {
                if let Admission::In(guest) = places.admit(address((round % 5) as u8)) {
                    guests.push(guest);
                }
            } else {
                guests.swap_remove(fastrand::usize(..guests.len()));
            }
            // Those who have to leave do so.
            guests.retain(|guest| {
                guest.decides() && {
                    guest.waits(Instant::now());
                    true
                }
            });
            let held = places.held.lock();
            assert_eq!((held.open, held.leaving), (guests.len(), 0));
            assert!(held.open <= 50);
            assert_eq!(held.addresses.values().map(|there| there.places.len()).sum::<usize>(), guests.len());
        }
    }
}
