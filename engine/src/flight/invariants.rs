//! What must always hold of one flight, stated once: used by property tests, recovery, `farerush verify` and the
//! running actor. Never mends anything: a broken one stops the flight.

use std::collections::{BTreeSet, HashMap};

use super::broken_invariant::BrokenInvariant;
use super::command::{Command, Grab, Together, Wanted};
use super::flight::Flight;
use super::ids::{CustomerId, OrderNo, Seq, Timestamp};
use super::key_table::KeyOwner;
use super::order::{Order, OrderStatus};
use super::refusal::Refusal;
use super::retention::{ENDED_ORDER_RETENTION_MS, REQUEST_RETENTION_MS};
use super::sale::SaleState;
use super::seat_map::{SeatMap, SeatStatus};
use super::waitlist::types::WaitlistStatus;

/// Whether something holds.
type Checked = Result<(), BrokenInvariant>;

fn must(holds: bool, name: &'static str, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(BrokenInvariant::new(name, detail())) }
}

impl Flight {
    /// Checks everything, in time linear in seats and orders.
    pub fn check(&self) -> Checked {
        self.check_now()?;
        self.check_seats()?;
        self.check_holdings()?;
        self.check_keys()?;
        self.check_requests()?;
        self.check_waitlist()?;
        self.check_holds()?;
        self.check_ended()?;
        self.check_ledger()?;
        self.orders.values().try_for_each(|order| self.check_order(order))
    }

    /// Liveness: whether somebody of whom the flight knows nothing would get a seat at `now`. `None` where the flight is
    /// not on sale or has no free seat; a refusal is one that must not be.
    pub fn sells_to_somebody_new(&self, now: Timestamp) -> Option<Result<(), Refusal>> {
        if self.sale_state(now) != SaleState::Open || self.map.free() == 0 {
            return None;
        }
        let mut names =
            (0_u32..).filter_map(|number| CustomerId::new(&format!("somebody-new-{number}")).ok());
        let customer = names.find(|name| !self.holdings.contains_key(name) && !self.ledger.knows(name))?;
        let grab = Grab {
            customer,
            wanted: Wanted::Quantity { quantity: 1, together: Together::Any },
            cabin_class: None,
            passengers: None,
            client_reference: None,
            idempotency_key: None,
        };
        Some(self.decide(&Command::Grab(grab), now).map(|_| ()))
    }

    /// What is cheap enough to check after every event.
    pub fn check_now(&self) -> Checked {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        must(self.map.free() <= self.map.capacity(), "no more free seats than seats", || {
            format!("{} free of {}", self.map.free(), self.map.capacity())
        })
    }

    /// No seat is in two live orders; held and sold seats are exactly those of held and confirmed orders; the
    /// indexes agree with the masks.
    fn check_seats(&self) -> Checked {
        let mut rebuilt = SeatMap::new(&self.definition.cabins);
        rebuilt.change(&self.map.seats_with(SeatStatus::Blocked), SeatStatus::Free, SeatStatus::Blocked);
        for order in self.orders.values().filter(|order| order.status.is_live()) {
            must(
                rebuilt.change(&order.seats, SeatStatus::Free, order.seat_status()),
                "one order a seat",
                || format!("order {} has a seat that another has too, or that is blocked", order.no.0),
            )?;
        }
        must(rebuilt == self.map, "seats follow from orders", || {
            format!("{} free by the orders, {} by the map", rebuilt.free(), self.map.free())
        })
    }

    fn check_order(&self, order: &Order) -> Checked {
        let name = "orders are sound";
        let no = order.no.0;
        must(no >= 1 && no <= order.changed_by.0 && order.changed_by <= self.seq, name, || {
            format!("order {no} was changed by event {} of {}", order.changed_by, self.seq)
        })?;
        must(order.created_at <= order.updated_at && order.updated_at <= self.last_at, name, || {
            format!("order {no} has times out of order")
        })?;
        must(!order.seats.is_empty(), name, || format!("order {no} has no seat"))?;
        must((order.status == OrderStatus::Held) == order.hold_expires_at.is_some(), name, || {
            format!("order {no} is {} but its deadline says otherwise", order.status.as_str())
        })?;
        // The seats of an ended order may have gone with another seat plan.
        must(!order.status.is_live() || self.total(&order.seats) == order.total, name, || {
            format!("order {no} costs {} by its seats, {} by itself", self.total(&order.seats), order.total)
        })
    }

    fn check_holdings(&self) -> Checked {
        let mut counted: HashMap<&CustomerId, u32> = HashMap::new();
        for order in self.orders.values().filter(|order| order.status.is_live()) {
            *counted.entry(&order.customer).or_default() +=
                u32::try_from(order.seats.len()).unwrap_or(u32::MAX);
        }
        let same = counted.len() == self.holdings.len()
            && counted.iter().all(|(customer, seats)| self.holdings.get(*customer) == Some(seats));
        must(same, "holdings follow from orders", || "a customer's seats are miscounted".to_owned())
    }

    fn check_keys(&self) -> Checked {
        let name = "one order a key";
        let with_key = self.orders.values().filter(|order| order.idempotency().is_some()).count();
        must(with_key == self.keys.len(), name, || {
            format!("{with_key} orders with keys, {} keys", self.keys.len())
        })?;
        let oldest = self.oldest_known(self.last_at);
        self.orders.values().try_for_each(|order| {
            let Some((key, _)) = order.idempotency() else { return Ok(()) };
            must(self.order_under(&order.customer, key, oldest) == Some(order.no), name, || {
                format!("the key of order {} does not lead to it", order.no.0)
            })
        })
    }

    /// A key belongs to one request, or to the grab of one order; and it is remembered for a day.
    fn check_requests(&self) -> Checked {
        let name = "one request a key";
        must(self.requests.is_sound(), name, || "a key does not lead to its request".to_owned())?;
        let oldest = self.last_at.plus_millis(-REQUEST_RETENTION_MS);
        self.requests.iter().try_for_each(|request| {
            let is_sound = request.seq <= self.seq
                && (oldest..=self.last_at).contains(&request.at)
                && request.owner != KeyOwner::Unsaid
                // Its order may be forgotten sooner: one that changed nothing is younger than what it found.
                && !self.is_key_of_a_grab(request.owner.as_ref(), &request.key, oldest);
            must(is_sound, name, || format!("that of event {} of {} is not sound", request.seq, self.seq))
        })
    }

    fn check_holds(&self) -> Checked {
        let held: BTreeSet<_> = self
            .orders
            .values()
            .filter(|order| order.status == OrderStatus::Held)
            .filter_map(|order| Some((order.hold_expires_at?, order.no)))
            .collect();
        must(held == self.holds, "holds follow from orders", || {
            format!("{} held orders, {} holds", held.len(), self.holds.len())
        })
    }

    fn check_ended(&self) -> Checked {
        let name = "ended orders are remembered for a day";
        let mut ended: Vec<(Seq, OrderNo)> = self
            .orders
            .values()
            .filter(|order| !order.status.is_live())
            .map(|order| (order.changed_by, order.no))
            .collect();
        ended.sort_unstable();
        let same = ended.len() == self.ended.len()
            && ended.iter().zip(&self.ended).all(|((_, no), (at, its))| {
                no == its && self.orders.get(no).is_some_and(|order| order.updated_at == *at)
            });
        must(same, name, || format!("{} ended orders, {} remembered", ended.len(), self.ended.len()))?;
        let oldest = self.last_at.plus_millis(-ENDED_ORDER_RETENTION_MS);
        must(self.ended.iter().all(|(at, _)| *at >= oldest), name, || "one is older".to_owned())
    }

    /// Each party waits once, in one place, and is counted; who no longer waits is remembered for a day.
    fn check_waitlist(&self) -> Result<(), BrokenInvariant> {
        let waitlist = &self.waitlist;
        let broken = |detail: String| Err(BrokenInvariant::new("the waitlist is sound", detail));
        if !waitlist.follows_from_its_entries(self.definition.departs_at) {
            return broken("its line, deadlines or counts do not follow from its entries".to_owned());
        }
        for (no, entry) in waitlist.entries() {
            let in_order = *no == entry.no
                && no.0 <= entry.changed_by.0
                && entry.changed_by <= self.seq
                && entry.created_at <= entry.updated_at
                && entry.updated_at <= self.last_at;
            let order_fits = match entry.status {
                WaitlistStatus::Waiting => entry.changed_by.0 == no.0,
                WaitlistStatus::Served(order) => {
                    order.0 == entry.changed_by.0
                        && self.orders.get(&order).is_none_or(|order| order.customer == entry.wish.customer)
                }
                WaitlistStatus::Left | WaitlistStatus::Expired => true,
            };
            if !in_order || !order_fits {
                return broken(format!("entry {} is not", no.0));
            }
        }
        Ok(())
    }

    /// What is charged follows from what is kept.
    fn check_ledger(&self) -> Result<(), BrokenInvariant> {
        let again = self.ledger_anew();
        if again.is_like(&self.ledger) {
            return Ok(());
        }
        let detail = format!("{} things are kept, {} are charged", again.things, self.ledger.things);
        Err(BrokenInvariant::new("what is kept is charged to whoever caused it", detail))
    }
}
