//! What becomes of entries of the waitlist.
//! Never decides who is served.

use super::types::{WaitlistEntry, WaitlistStatus, WaitlistWish};
use crate::flight::flight::Flight;
use crate::flight::ids::WaitlistNo;

impl Flight {
    pub(in crate::flight) fn apply_joined(&mut self, wish: &WaitlistWish) {
        let entry = WaitlistEntry::joined(wish, &self.changed_by());
        self.waitlist.insert(entry, self.definition.departs_at);
    }

    pub(in crate::flight) fn apply_waitlist_end(&mut self, no: WaitlistNo, status: WaitlistStatus) {
        let by = self.changed_by();
        match self.waitlist.end(no, status, &by) {
            Some(entry) => self.ledger.charge(&entry.wish.customer, by.at, entry.bytes_kept()),
            None => {
                self.break_with(
                    "only who waits is served or leaves",
                    format!("entry {} does not wait", no.0),
                );
            }
        }
    }
}
