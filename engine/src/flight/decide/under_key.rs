//! What becomes of a command that came under a key: the first one is decided, a repeated one changes nothing.
//! Never remembers a key: `apply` does.

use super::decision::Decision;
use crate::flight::command::Command;
use crate::flight::event::Event;
use crate::flight::flight::Flight;
use crate::flight::ids::{AdminName, IdempotencyKey, Timestamp};
use crate::flight::key_table::{KeyOwner, OwnerRef};
use crate::flight::order::Fingerprint;
use crate::flight::refusal::Refusal;
use crate::flight::requests::Request;

impl Flight {
    /// Decides a command that came under a key, from an admin (`by`) or else from the customer whom it is about: granted
    /// before under the same key, it is [replayed](Decision::Replayed). What it records belongs to the key and to the
    /// command's [fingerprint](Command::fingerprint), which the event's cause has to say; that is so even where nothing
    /// changes, or the same request would do something later. A grab has its key within itself.
    pub fn decide_under(
        &self,
        by: Option<&AdminName>,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        if let Command::Grab(_) = command {
            return self.decide(command, now);
        }
        // What is about an order that is not there is refused.
        let Some(owner) = self.owner_of(by, command, now) else { return self.decide(command, now) };
        if let Some(recalled) = self.recall_of(owner, key, fingerprint, now) {
            return recalled;
        }
        let decision = self.decide(command, now)?;
        match owner {
            OwnerRef::Customer(customer) => self.must_have_room(customer, now)?,
            OwnerRef::Admins => self.must_have_room_for_admins(now)?,
        }
        Ok(match decision {
            Decision::Unchanged(order) => {
                let entry = match command {
                    Command::LeaveWaitlist { entry } => Some(entry.no),
                    _ => None,
                };
                Decision::Record(Event::NothingChanged { order, entry })
            }
            decision => decision,
        })
    }

    /// Whose key a command comes under: the admin's who asks, or else that of the customer whom it is about.
    fn owner_of<'a>(
        &'a self,
        by: Option<&AdminName>,
        command: &'a Command,
        now: Timestamp,
    ) -> Option<OwnerRef<'a>> {
        if by.is_some() {
            return Some(OwnerRef::Admins);
        }
        match command {
            Command::Confirm { order, .. }
            | Command::ReturnPayment { order, .. }
            | Command::Pay { order }
            | Command::Cancel { order }
            | Command::Change { order, .. } => {
                self.find_at(*order, now).map(|order| OwnerRef::Customer(&order.customer))
            }
            Command::LeaveWaitlist { entry } => {
                self.find_waitlisted_at(*entry, now).map(|entry| OwnerRef::Customer(&entry.wish.customer))
            }
            Command::JoinWaitlist(wish) => Some(OwnerRef::Customer(&wish.customer)),
            _ => Some(OwnerRef::Admins),
        }
    }

    /// What became of an earlier request under this key; `None` if there was none that was granted.
    pub fn recall(
        &self,
        owner: &KeyOwner,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Option<Result<Decision, Refusal>> {
        self.recall_of(owner.as_ref(), key, fingerprint, now)
    }

    fn recall_of(
        &self,
        owner: OwnerRef<'_>,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Option<Result<Decision, Refusal>> {
        let oldest = self.oldest_known(now);
        if let Some(request) = self.requests.find(owner, key, oldest) {
            let is_same = request.fingerprint == fingerprint;
            return Some(if is_same {
                Ok(Decision::Replayed(request.order))
            } else {
                Err(Refusal::IdempotencyKeyReused)
            });
        }
        self.is_key_of_a_grab(owner, key, oldest).then_some(Err(Refusal::IdempotencyKeyReused))
    }

    pub(in crate::flight) fn is_key_of_a_grab(
        &self,
        owner: OwnerRef<'_>,
        key: &IdempotencyKey,
        oldest: Timestamp,
    ) -> bool {
        matches!(owner, OwnerRef::Customer(customer) if self.order_under(customer, key, oldest).is_some())
    }

    /// The request that this command repeats, if it came under this key before.
    pub fn request_under(
        &self,
        by: Option<&AdminName>,
        key: &IdempotencyKey,
        command: &Command,
        now: Timestamp,
    ) -> Option<&Request> {
        self.requests.find(self.owner_of(by, command, now)?, key, self.oldest_known(now))
    }
}
