//! What the server promised: every acknowledged order, what is not known to have been done, and what it said that it
//! must not say. Never asks the server anything.

use std::collections::BTreeMap;

use farerush_engine::flight::Seats;

/// Examples of one complaint that are kept.
const EXAMPLES_MAX: usize = 5;

/// What of an order has been acknowledged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is held.
    Held,
    /// It is confirmed.
    Confirmed,
    /// It is cancelled.
    Cancelled,
    /// It was held; whether it was confirmed is not known.
    HeldOrConfirmed,
    /// It was live; whether it was cancelled is not known.
    PerhapsCancelled,
}

impl Known {
    /// Whether the order has its seats for certain, unless its hold ran out.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Confirmed | Self::HeldOrConfirmed)
    }

    /// Whether reading the order may show this status; `may_expire` if holds may have run out.
    pub fn allows(self, status: &str, may_expire: bool) -> bool {
        match status {
            "held" => matches!(self, Self::Held | Self::HeldOrConfirmed | Self::PerhapsCancelled),
            "confirmed" => matches!(self, Self::Confirmed | Self::HeldOrConfirmed | Self::PerhapsCancelled),
            "cancelled" => matches!(self, Self::Cancelled | Self::PerhapsCancelled),
            "expired" => may_expire && self != Self::Confirmed && self != Self::Cancelled,
            _ => false,
        }
    }
}

/// An order that was acknowledged. Times are microseconds of the run.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its id.
    pub order_id: Box<str>,
    /// Place of its flight in the run.
    pub flight: u32,
    /// Number of its customer.
    pub customer: u32,
    /// Its seats, sorted.
    pub seats: Seats,
    /// The event that it was acknowledged with: what a payment is for.
    pub seq: u64,
    /// When it had been acknowledged.
    pub acknowledged_us: u64,
    /// From when on it may be without its seats: when a cancel was sent or its hold may have run out.
    pub until_us: u64,
    /// What is known of it.
    pub known: Known,
}

/// A grab of which nobody said whether it was done.
#[derive(Debug, Clone, Copy)]
pub struct Unresolved {
    /// Place of its flight in the run.
    pub flight: u32,
    /// Seats it asked for.
    pub party: u16,
}

/// What a promise broken is about. Each is one check of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// An answer that the contract does not allow.
    Answers,
    /// A key that was not honoured.
    Keys,
    /// An order that cannot be read, or is not as acknowledged.
    Orders,
}

/// Broken promises: how many, and the first few.
#[derive(Debug, Default, Clone)]
pub struct Complaints(BTreeMap<About, (u64, Vec<String>)>);

impl Complaints {
    /// Notes one; `text` is only made if it is kept.
    pub fn add(&mut self, about: About, text: impl FnOnce() -> String) {
        let (count, examples) = self.0.entry(about).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(text());
        }
    }

    /// How many there are, and the first ones; `None` if there are none.
    pub fn of(&self, about: About) -> Option<(u64, String)> {
        self.0.get(&about).map(|(count, examples)| (*count, examples.join("; ")))
    }

    fn merge(&mut self, other: Self) {
        for (about, (count, examples)) in other.0 {
            let own = self.0.entry(about).or_default();
            own.0 += count;
            let room = EXAMPLES_MAX - own.1.len();
            own.1.extend(examples.into_iter().take(room));
        }
    }
}

/// What one worker, or all of them, were promised.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Acknowledged orders.
    pub placed: Vec<Placed>,
    /// Grabs without an outcome.
    pub unresolved: Vec<Unresolved>,
    /// Unknown outcomes there were, resolved or not.
    pub unknown: u64,
    /// Grabs that were answered again under their key.
    pub replayed: u64,
    /// Broken promises.
    pub complaints: Complaints,
}

impl Ledger {
    /// Takes what another one has.
    pub fn merge(&mut self, other: Self) {
        if self.placed.is_empty() {
            self.placed = other.placed;
        } else {
            self.placed.extend(other.placed);
        }
        self.unresolved.extend(other.unresolved);
        self.unknown += other.unknown;
        self.replayed += other.replayed;
        self.complaints.merge(other.complaints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_says_what_may_be_read() {
        assert!(Known::Held.allows("held", false) && !Known::Held.allows("confirmed", false));
        assert!(Known::Held.allows("expired", true) && !Known::Held.allows("expired", false));
        assert!(!Known::Confirmed.allows("expired", true));
        for status in ["held", "confirmed", "cancelled"] {
            assert!(Known::PerhapsCancelled.allows(status, false), "{status}");
        }
        assert!(!Known::Cancelled.allows("confirmed", true) && !Known::Cancelled.allows("", true));
    }

    #[test]
    fn complaints_are_counted_and_the_first_few_kept() {
        let mut complaints = Complaints::default();
        (0..9).for_each(|number| complaints.add(About::Keys, || number.to_string()));
        let mut all = Complaints::default();
        all.merge(complaints.clone());
        all.merge(complaints);
        assert_eq!(all.of(About::Keys), Some((18, "0; 1; 2; 3; 4".to_owned())));
        assert_eq!(all.of(About::Answers), None);
    }
}
