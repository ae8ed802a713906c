//! What can be looked up in a flight's waitlist.
//! Never changes it.

use super::types::{WaitlistEntry, WaitlistPlace, WaitlistStatus};
use crate::flight::flight::Flight;
use crate::flight::ids::{Timestamp, WaitlistNo, WaitlistRef};

impl Flight {
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
    pub(in crate::flight) fn find_waitlisted_at(
        &self,
        entry: WaitlistRef,
        now: Timestamp,
    ) -> Option<&WaitlistEntry> {
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
}
