//! What becomes of entries of the waitlist.
//! Never decides who is served.

use super::types::{WaitlistEntry, WaitlistStatus, WaitlistWish};
use crate::flight::flight::Flight;
use crate::flight::ids::WaitlistNo;

impl Flight {
    pub(in crate::flight) fn apply_joined(&mut self, wish: &WaitlistWish) {
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

    pub(in crate::flight) fn apply_waitlist_end(&mut self, no: WaitlistNo, status: WaitlistStatus) {
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
}
