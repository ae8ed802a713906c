//! Who of those that wait is served next, who may join, and whose wait is over.
//! Never lets anybody wait for seats that are free and fit, and never changes the flight: `apply` does.

use smallvec::SmallVec;

use super::line::Shape;
use super::types::{
    Accept, LeftBecause, WAITING_MAX, WAITING_PER_CUSTOMER_MAX, WAITLIST_HOLD_SECONDS_DEFAULT,
    WaitlistStatus, WaitlistWish,
};
use crate::flight::cabin::{CabinClass, Seats};
use crate::flight::command::Together;
use crate::flight::decide::decision::Decision;
use crate::flight::event::{Event, OrderPlaced};
use crate::flight::flight::Flight;
use crate::flight::ids::{Seq, Timestamp, WaitlistNo, WaitlistRef};
use crate::flight::refusal::{LimitScope, Refusal};
use crate::flight::sale::SaleState;
use crate::flight::seating;

/// Most wishes that are remembered as hopeless while the list is gone through.
const HOPELESS_MAX: usize = 32;

/// How far somebody has looked through a flight's waitlist for parties that fit: a cache that saves looking again. Losing it
/// costs time and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct LookedThrough {
    /// The flight's last event when it was looked.
    seq: Seq,
    /// Nobody in front of this entry fitted then.
    next: WaitlistNo,
}

impl Default for LookedThrough {
    /// Nobody has looked.
    fn default() -> Self {
        Self { seq: Seq(0), next: WaitlistNo(0) }
    }
}

impl LookedThrough {
    /// The first entry that may fit; `None` if none can.
    fn first_to_look_at(&self, flight: &Flight) -> Option<WaitlistNo> {
        let (last, _) = flight.waitlist.waiting.last_key_value()?;
        let is_still_so = self.seq <= flight.seq && flight.waitlist.opened_by <= self.seq;
        let next = if is_still_so { self.next } else { WaitlistNo(0) };
        (next <= *last).then_some(next)
    }
}

impl Flight {
    /// The next party that gets seats at `now`, as the event that gives them; `None` if nobody fits. To be called
    /// after every event, until it gives `None`, before anything else is decided: then no seat stays free while a party
    /// waits that it fits, and nobody is overtaken by a later party with the same wish.
    ///
    /// `looked` says what whoever asks found when they asked before, which makes it free of cost where nothing can have
    /// changed.
    pub fn decide_waitlist(&self, looked: &mut LookedThrough, now: Timestamp) -> Option<Event> {
        let from = looked.first_to_look_at(self)?;
        let now = self.moment(now);
        // Not looked through yet in either case: the sale may open, and orders be forgotten, without an event of its own.
        if self.sale_state(now) != SaleState::Open {
            return None;
        }
        let found = self.first_that_fits(from, now);
        let next = found.as_ref().map_or(WaitlistNo(self.seq.0 + 1), |(no, _)| *no);
        *looked = LookedThrough { seq: self.seq, next };
        let (entry, seats) = found?;
        let wish = &self.waitlist.entries.get(&entry)?.wish;
        let hold_seconds = match self.sale.policy.hold_seconds {
            0 => WAITLIST_HOLD_SECONDS_DEFAULT,
            seconds => seconds,
        };
        let placed = Box::new(OrderPlaced {
            customer: wish.customer.clone(),
            total: self.total(&seats),
            seats,
            hold_expires_at: Some(self.hold_until(now, hold_seconds)),
            passengers: None,
            client_reference: wish.client_reference.clone(),
            idempotency: None,
        });
        Some(Event::WaitlistServed { entry, placed })
    }

    fn first_that_fits(&self, from: WaitlistNo, now: Timestamp) -> Option<(WaitlistNo, Seats)> {
        let free = self.map.free();
        if free == 0 {
            return None;
        }
        let free_in = CabinClass::ALL.map(|class| (class, self.map.free_in(class)));
        let mut hopeless: SmallVec<[(u16, Option<CabinClass>); HOPELESS_MAX]> = SmallVec::new();
        for (&no, shape) in self.waitlist.waiting.range(from..) {
            let available = shape.cabin_class.map_or(free, |class| {
                free_in.iter().find(|(its, _)| *its == class).map_or(0, |(_, free)| *free)
            });
            if available < u32::from(shape.fewest()) || shape.deadline <= now {
                continue;
            }
            let together = match shape.accept {
                Accept::AllTogether => Together::Required,
                Accept::All | Accept::AtLeast(_) => Together::Preferred,
            };
            // What does not fit once does not fit a later party of the same wish either.
            let wish = (shape.party_size, shape.cabin_class);
            if together == Together::Required && hopeless.contains(&wish) {
                continue;
            }
            let Some(quantity) = self.quantity_for(no, shape, available) else { continue };
            match seating::choose(&self.map, quantity, together, shape.cabin_class) {
                Ok(seats) => return Some((no, seats)),
                Err(_) if hopeless.len() < HOPELESS_MAX => hopeless.push(wish),
                Err(_) => {}
            }
        }
        None
    }

    /// How many seats this party gets out of so many, as far as the sale's limits allow.
    fn quantity_for(&self, no: WaitlistNo, shape: &Shape, available: u32) -> Option<u16> {
        let customer = &self.waitlist.entries.get(&no)?.wish.customer;
        let holding = self.holdings.get(customer).copied().unwrap_or(0);
        let policy = &self.sale.policy;
        let allowed = u32::from(policy.max_seats_per_customer).saturating_sub(holding);
        let most = u32::from(shape.party_size.min(policy.max_seats_per_order)).min(allowed).min(available);
        u16::try_from(most).ok().filter(|most| *most >= shape.fewest())
    }

    /// The next entry whose time has run out by `now`, as the event that ends it.
    pub(in crate::flight) fn decide_waitlist_expiry(&self, now: Timestamp) -> Option<Event> {
        let &(deadline, entry) = self.waitlist.deadlines.first()?;
        (deadline <= now).then_some(Event::WaitlistLeft { entry, reason: LeftBecause::Expired })
    }

    pub(in crate::flight) fn decide_join(
        &self,
        wish: &WaitlistWish,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let invalid = |field, message: String| Err(Refusal::Invalid { field, message });
        let party_size = wish.party_size;
        if party_size == 0 {
            return invalid("party_size", "must be at least 1".to_owned());
        }
        if let Accept::AtLeast(fewest) = wish.accept
            && !(1..=party_size).contains(&fewest)
        {
            return invalid("accept", format!("must ask for at least 1 and at most {party_size} seats"));
        }
        if wish.expires_at.is_some_and(|at| at <= now.max(self.last_at)) {
            return invalid("expires_at", "must be in the future".to_owned());
        }
        if let Some(class) = wish.cabin_class
            && !self.map.has_class(class)
        {
            return invalid("cabin_class", format!("this flight has no {class} cabin"));
        }
        match self.sale_state(now) {
            // Whoever could join before the sale begins would have seats before everybody else gets to ask.
            SaleState::Scheduled => return Err(Refusal::SaleNotOpen { opens_at: self.sale.policy.opens_at }),
            SaleState::Closed => return Err(Refusal::SaleClosed),
            SaleState::Open | SaleState::Paused => {}
        }
        if self.definition.departs_at <= now.max(self.last_at) {
            return Err(Refusal::SaleClosed);
        }
        let policy = &self.sale.policy;
        let holding = self.holdings.get(&wish.customer).copied().unwrap_or(0);
        for (scope, limit) in [
            (LimitScope::Order, policy.max_seats_per_order),
            (LimitScope::Customer, policy.max_seats_per_customer),
        ] {
            if party_size > limit {
                return Err(Refusal::LimitExceeded { scope, limit, holding });
            }
        }
        let waits_with = self.waitlist.customers.get(&wish.customer).copied().unwrap_or(0);
        if waits_with >= WAITING_PER_CUSTOMER_MAX {
            let (scope, limit) = (LimitScope::Waitlist, WAITING_PER_CUSTOMER_MAX);
            return Err(Refusal::LimitExceeded { scope, limit, holding: waits_with.into() });
        }
        self.must_have_room(&wish.customer, now)?;
        // Whoever waits already is refused first: so nobody fills the list with parties of their own.
        let waiting = self.waitlist.waiting.len();
        if waiting >= WAITING_MAX || (waiting >= WAITING_MAX / 2 && waits_with > 0) {
            return Err(Refusal::WaitlistFull);
        }
        Ok(Decision::Record(Event::WaitlistJoined(Box::new(wish.clone()))))
    }

    pub(in crate::flight) fn decide_leave(
        &self,
        entry: WaitlistRef,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let entry = self.find_waitlisted_at(entry, now).ok_or(Refusal::WaitlistEntryNotFound)?;
        if entry.status != WaitlistStatus::Waiting {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::WaitlistLeft { entry: entry.no, reason: LeftBecause::GivenUp }))
    }

    /// When the waitlist has to be looked at again after `now` if nothing happens before: somebody's time runs out, or the
    /// sale opens by itself.
    pub(in crate::flight) fn next_waitlist_moment(&self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.waitlist.deadlines.first().map(|(at, _)| *at);
        let will_open = self.waiting() > 0 && self.sale_state(self.moment(now)) == SaleState::Scheduled;
        let opening = self.sale.policy.opens_at.filter(|_| will_open);
        deadline.into_iter().chain(opening).min()
    }
}
