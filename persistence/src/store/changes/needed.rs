//! Which rows have to be known before events are taken in.
//! Never reads one.

use std::collections::{BTreeSet, HashSet};

use farerush_engine::flight::{Event, OrderNo, Recorded, WaitlistNo};

/// Orders that these events change but do not place: their rows must be known beforehand.
pub(in crate::store) fn orders_needed<'a>(events: impl Iterator<Item = &'a Recorded>) -> BTreeSet<OrderNo> {
    let mut placed = HashSet::new();
    let mut needed = BTreeSet::new();
    for recorded in events {
        match &recorded.event {
            // Who is served from the waitlist gets an order exactly as by a grab.
            Event::OrderPlaced(_) | Event::WaitlistServed { .. } => {
                placed.insert(recorded.seq.0);
            }
            Event::ClosedForGood(closed) => {
                let orders = closed.cancelled.iter().map(|(no, _)| *no);
                needed.extend(orders.filter(|no| !placed.contains(&no.0)));
            }
            Event::CabinsChanged(change) => {
                let seated = change.seated.iter().map(|(no, _)| no);
                let orders = seated.chain(&change.cancelled).filter(|no| !placed.contains(&no.0));
                needed.extend(orders.copied());
            }
            event => needed.extend(event.order().filter(|order| !placed.contains(&order.0))),
        }
    }
    needed
}

/// Entries of the waitlist that these events change but do not make: their rows must be known beforehand.
pub(in crate::store) fn waitlist_needed<'a>(
    events: impl Iterator<Item = &'a Recorded>,
) -> BTreeSet<WaitlistNo> {
    let mut joined = HashSet::new();
    let mut needed = BTreeSet::new();
    for recorded in events {
        match &recorded.event {
            Event::WaitlistJoined(_) => {
                joined.insert(recorded.seq.0);
            }
            Event::WaitlistLeft { entry, .. }
            | Event::WaitlistServed { entry, .. }
            | Event::NothingChanged { entry: Some(entry), .. }
                if !joined.contains(&entry.0) =>
            {
                needed.insert(*entry);
            }
            _ => {}
        }
    }
    needed
}
