//! Which primaries there are, as all connections of a journal have found them: each with a number, and whether it was met.
//! Never connects: links do. A primary that is new may lack what the one before it had confirmed, until somebody has compared.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::address::Place;

/// Primaries of a cluster that are remembered; fail-overs beyond that are met anew.
const PRIMARIES_MAX: usize = 4_096;

/// Replaced ones that are remembered.
const REPLACED_MAX: usize = 64;

/// What all links of a journal share.
#[derive(Debug)]
pub(super) struct Primaries {
    pub(super) place: Place,
    known: Mutex<Known>,
    /// Counts connections, of all links.
    connections: AtomicU64,
    /// Connections before this one lead to a primary of before, or may.
    oldest: AtomicU64,
    /// Counts changes of a cluster's slots.
    maps: AtomicU64,
    /// Whether a primary that is new has to be met before anything is written to it.
    are_met: AtomicBool,
    /// Woken when there is one.
    pub(super) is_new: Notify,
    /// The sentinel that answered last.
    pub(super) sentinel: AtomicU64,
    /// When sentinels were asked last though nothing was wrong.
    pub(super) asked_at: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Known {
    /// By who they are: which process, and since which fail-over.
    numbers: HashMap<String, u64>,
    /// Those that sentinels have replaced. Who is promoted again is somebody else then.
    replaced: VecDeque<String>,
    last: u64,
    met: HashSet<u64>,
}

impl Primaries {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            known: Mutex::default(),
            connections: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            maps: AtomicU64::new(0),
            are_met: AtomicBool::new(false),
            is_new: Notify::new(),
            sentinel: AtomicU64::new(0),
            asked_at: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster { .. })
    }

    /// Notes a connection to a primary: gives its number, and the primary's. Where there is one primary at a time, all
    /// connections to the one before it are past. `None` for one that sentinels have replaced: it may not know yet.
    pub(super) fn connected(&self, who: &str) -> Option<(u64, u64)> {
        let connection = self.connections.fetch_add(1, Ordering::AcqRel) + 1;
        let mut known = self.known.lock();
        if let Some(primary) = known.numbers.get(who) {
            return Some((connection, *primary));
        }
        if known.replaced.iter().any(|replaced| replaced == who) {
            return None;
        }
        known.last += 1;
        let primary = known.last;
        if self.is_cluster() {
            if known.numbers.len() >= PRIMARIES_MAX {
                known.numbers.clear();
                known.met.clear();
            }
            self.maps.fetch_add(1, Ordering::AcqRel);
        } else {
            let before: Vec<String> = known.numbers.drain().map(|(who, _)| who).collect();
            if matches!(self.place, Place::Sentinel { .. }) {
                known.replaced.extend(before);
                while known.replaced.len() > REPLACED_MAX {
                    known.replaced.pop_front();
                }
            }
            known.met.clear();
            self.oldest.store(connection, Ordering::Release);
        }
        known.numbers.insert(who.to_owned(), primary);
        if self.are_met.load(Ordering::Acquire) {
            self.is_new.notify_one();
        } else {
            known.met.insert(primary);
        }
        Some((connection, primary))
    }

    /// Whether a connection leads to a primary that nobody has found to be replaced.
    pub(super) fn is_of_now(&self, connection: u64) -> bool {
        connection >= self.oldest.load(Ordering::Acquire)
    }

    /// A cluster's slots are elsewhere than they were.
    pub(super) fn slots_have_moved(&self) {
        self.maps.fetch_add(1, Ordering::AcqRel);
    }

    /// Which state of a cluster's slots it is, as far as anybody has noticed.
    pub(super) fn map(&self) -> u64 {
        self.maps.load(Ordering::Acquire)
    }

    /// From now on a primary that is new has to be met.
    pub(super) fn want_met(&self) {
        self.are_met.store(true, Ordering::Release);
    }

    pub(super) fn is_met(&self, primary: u64) -> bool {
        self.known.lock().met.contains(&primary)
    }

    /// These are all the primaries there are, and nothing is missing there any more that could be written again.
    pub(super) fn note_met(&self, primaries: &[u64]) {
        let mut known = self.known.lock();
        known.met.extend(primaries);
        // Those that came up meanwhile are to be met yet.
        let newest = primaries.iter().copied().max().unwrap_or(0);
        known.numbers.retain(|_, primary| primaries.contains(primary) || *primary > newest);
    }

    /// Whether a primary is known that was not met.
    pub(super) fn has_unmet(&self) -> bool {
        let known = self.known.lock();
        known.numbers.values().any(|primary| !known.met.contains(primary))
    }
}
