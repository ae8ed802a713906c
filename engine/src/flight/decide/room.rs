//! Whether there is room for more of what will be over one day, and what is forgotten early where there is too much.
//! Never changes the flight: `apply` does.

use crate::flight::budget::{
    BYTES_PER_CUSTOMER, BYTES_PER_SEAT, THINGS_PER_CUSTOMER_CROWDED, THINGS_PER_SEAT,
};
use crate::flight::event::Event;
use crate::flight::flight::Flight;
use crate::flight::ids::{CustomerId, Seq, Timestamp};
use crate::flight::key_table::KeyOwner;
use crate::flight::refusal::{QuotaOf, Refusal};
use crate::flight::retention::ENDED_ORDER_RETENTION_MS;

/// This part of all things that are kept is forgotten at a time, and one at the least.
const FORGOTTEN_AT_A_TIME: usize = 16;

impl Flight {
    /// Whether this customer may cause one thing more that will be kept. Whoever has caused nothing always may.
    pub(in crate::flight) fn must_have_room(
        &self,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(account) = self.ledger.accounts.get(customer) else { return Ok(()) };
        let (seats, budget) = (u32::from(self.sale.policy.max_seats_per_customer), &self.budget);
        let is_crowded =
            self.ledger.things > budget.things_kept_max / 2 || self.ledger.bytes > budget.bytes_kept_max / 2;
        let (things_max, bytes_max) = if is_crowded {
            let things = THINGS_PER_CUSTOMER_CROWDED.min(budget.things_per_customer);
            (things + seats, (BYTES_PER_CUSTOMER + BYTES_PER_SEAT * u64::from(seats)) / 4)
        } else {
            let things = budget.things_per_customer + THINGS_PER_SEAT * seats;
            (things, BYTES_PER_CUSTOMER + BYTES_PER_SEAT * u64::from(seats))
        };
        account
            .has_room(self.oldest_known(now), things_max, bytes_max)
            .map_err(|(kept, first)| self.over_quota(QuotaOf::Customer, (kept, things_max), first, now))
    }

    /// The same for a key of an admin's.
    pub(in crate::flight) fn must_have_room_for_admins(&self, now: Timestamp) -> Result<(), Refusal> {
        let limit = self.budget.admin_keys_max;
        self.ledger
            .admins
            .has_room(self.oldest_known(now), limit, u64::MAX)
            .map_err(|(kept, first)| self.over_quota(QuotaOf::Admins, (kept, limit), first, now))
    }

    fn over_quota(
        &self,
        whose: QuotaOf,
        (kept, limit): (u32, u32),
        first: Timestamp,
        now: Timestamp,
    ) -> Refusal {
        let free_at = first.plus_millis(ENDED_ORDER_RETENTION_MS);
        let wait_ms = free_at.as_millis().saturating_sub(now.max(self.last_at).as_millis());
        let wait_seconds = u32::try_from(wait_ms.max(0) / 1000 + 1).unwrap_or(u32::MAX);
        Refusal::QuotaExceeded { whose, kept, limit, wait_seconds }
    }

    /// What is to be forgotten before its day is over, as the event that does so: the oldest, where all customers together
    /// have caused more than is kept. So no grab is ever refused for what others have caused.
    pub(in crate::flight) fn decide_forgetting(&self) -> Option<Event> {
        let ledger = &self.ledger;
        if ledger.things <= self.budget.things_kept_max && ledger.bytes <= self.budget.bytes_kept_max {
            return None;
        }
        let orders =
            self.ended.iter().filter_map(|(_, no)| self.orders.get(no)).map(|order| order.changed_by);
        let requests = self.requests.iter().filter(|request| request.owner != KeyOwner::Admins);
        let requests = requests.map(|request| request.seq);
        let mut seqs: Vec<Seq> = orders.chain(requests).chain(self.waitlist.ended_by()).collect();
        if seqs.is_empty() {
            return None;
        }
        let last = (seqs.len() / FORGOTTEN_AT_A_TIME).max(1) - 1;
        let (_, through, _) = seqs.select_nth_unstable(last);
        Some(Event::Forgotten { through: *through })
    }
}
