//! Whether a command is granted, and as which event.
//! Never changes the flight: `apply` does, and only by events.

use super::cabin::{Cabin, Seat, Seats, check_cabins};
use super::command::{Command, Grab, PolicyChange, Wanted};
use super::event::{ClosedForGood, Event, OrderPlaced};
use super::ids::{OrderNo, OrderRef, Timestamp};
use super::inventory::Flight;
use super::key_table::OwnerRef;
use super::order::{Order, OrderStatus, Passengers};
use super::refusal::{LimitScope, Refusal};
use super::sale::{
    CLOSES_BEFORE_MINUTES_MAX, HOLD_SECONDS_MAX, PAYMENT_GRACE_SECONDS_MAX, SEATS_LIMIT_MAX, SalePolicy,
    SaleState, SaleSwitch,
};
use super::seat_map::SeatStatus;
use super::seating;

/// What is said of a flight that is to be created after its departure.
pub const DEPARTED: &str = "must be in the future: nobody can buy a seat on a flight that has left";

/// What follows from a command that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Something happens: the event has to be applied and made durable.
    Record(Event),
    /// It is refused, and something happens all the same: the event has to be applied and made durable before anybody is
    /// told of the refusal.
    RecordRefused(Event, Refusal),
    /// It was granted before, under the same key: nothing happens. The order, if it was about one.
    Replayed(Option<OrderNo>),
    /// What is asked for is so already: nothing happens. The order, if it was about one.
    Unchanged(Option<OrderNo>),
}

impl Flight {
    /// What happens at `now` because the sale is over by its own rules and the flight's last event is from before that: what
    /// is refused for it from now on must not be sold by a later owner whose clock is behind.
    pub fn decide_sale_end(&self, now: Timestamp) -> Option<Event> {
        let is_over = |at| self.sale_state(at) == SaleState::Closed;
        (is_over(now) && !is_over(self.last_at)).then_some(Event::SaleEnded)
    }

    /// Decides a command at `now`. Holds that have run out by then must have been expired before
    /// (see [`Flight::decide_expiry`]).
    pub fn decide(&self, command: &Command, now: Timestamp) -> Result<Decision, Refusal> {
        let now = self.moment(now);
        match command {
            Command::Grab(grab) => self.decide_grab(grab, now),
            Command::Confirm { order, payment } => self.decide_confirm(*order, payment.as_ref(), now),
            Command::ReturnPayment { order, payment, ended } => {
                self.decide_return_payment(*order, payment, ended, now)
            }
            Command::Pay { order } => self.decide_pay(*order, now),
            Command::Cancel { order } => self.decide_cancel(*order, now),
            Command::Change { order, seats, passengers } => {
                self.decide_change(*order, seats.as_ref(), passengers.as_ref(), now)
            }
            Command::OpenSale => self.decide_open(now),
            Command::PauseSale => Ok(self.decide_switch(SaleSwitch::Paused)),
            Command::CloseSale => Ok(self.decide_switch(SaleSwitch::Closed)),
            Command::CloseForGood => Ok(self.decide_close_for_good()),
            Command::ChangePolicy(change) => self.decide_policy(change),
            Command::Block(seats) => self.decide_block(seats),
            Command::Unblock(seats) => self.decide_unblock(seats),
            Command::AddRows(cabin) => self.decide_rows(cabin),
            Command::JoinWaitlist(wish) => self.decide_join(wish, now),
            Command::LeaveWaitlist { entry } => self.decide_leave(*entry, now),
            Command::ChangeSeatPlan { plan, cancel_stranded } => {
                self.decide_seat_plan(plan, *cancel_stranded)
            }
        }
    }

    /// The next hold, or wait on the waitlist, that has run out by `now`, as the event that ends it. To be called until it
    /// gives `None`. Waits end first, so that nobody gets seats after the moment until which they wanted to wait; last, what
    /// is over is forgotten early, where more is kept than may be.
    pub fn decide_expiry(&self, now: Timestamp) -> Option<Event> {
        let now = self.moment(now);
        if let Some(event) = self.decide_waitlist_expiry(now) {
            return Some(event);
        }
        let due = self.holds.first().filter(|(deadline, _)| *deadline <= now);
        if let Some((_, order)) = due {
            let freed = self.orders.get(order)?.seats.clone();
            return Some(Event::OrderExpired { order: *order, freed });
        }
        self.decide_forgetting()
    }

    /// The flight's own time goes on from its last event: whoever decides with a clock that is behind that decides as of
    /// that event.
    pub(super) fn moment(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_at)
    }

    fn decide_grab(&self, grab: &Grab, now: Timestamp) -> Result<Decision, Refusal> {
        let idempotency = match &grab.idempotency_key {
            None => None,
            Some(key) => {
                let (fingerprint, oldest) = (grab.fingerprint(), self.oldest_known(now));
                if let Some(no) = self.order_under(&grab.customer, key, oldest) {
                    return self.decide_repeated(no, fingerprint);
                }
                if self.requests.find(OwnerRef::Customer(&grab.customer), key, oldest).is_some() {
                    return Err(Refusal::IdempotencyKeyReused);
                }
                Some((key.clone(), fingerprint))
            }
        };
        self.sale.admit(self.definition.departs_at, now)?;
        self.must_have_room(&grab.customer, now)?;
        let policy = &self.sale.policy;
        let quantity = grab.wanted.quantity();
        let holding = self.holdings.get(&grab.customer).copied().unwrap_or(0);
        if quantity > usize::from(policy.max_seats_per_order) {
            let limit = policy.max_seats_per_order;
            return Err(Refusal::LimitExceeded { scope: LimitScope::Order, limit, holding });
        }
        if let Wanted::Named(seats) = &grab.wanted {
            self.must_exist(seats, |seat| {
                self.map
                    .cabin_of(seat)
                    .is_some_and(|cabin| grab.cabin_class.is_none_or(|class| class == cabin.cabin_class))
            })?;
        }
        if let Some(class) = grab.cabin_class
            && !self.map.has_class(class)
        {
            return Err(Refusal::Invalid {
                field: "cabin_class",
                message: format!("this flight has no {class} cabin"),
            });
        }
        if self.map.free() == 0 {
            return Err(Refusal::SoldOut);
        }
        if holding as usize + quantity > usize::from(policy.max_seats_per_customer) {
            let limit = policy.max_seats_per_customer;
            return Err(Refusal::LimitExceeded { scope: LimitScope::Customer, limit, holding });
        }
        let seats = match &grab.wanted {
            Wanted::Quantity { quantity, together } => {
                seating::choose(&self.map, *quantity, *together, grab.cabin_class)?
            }
            Wanted::Named(seats) => {
                self.must_be_free(seats, |_| false)?;
                seats.clone()
            }
        };
        Ok(Decision::Record(Event::OrderPlaced(Box::new(OrderPlaced {
            customer: grab.customer.clone(),
            total: self.total(&seats),
            seats,
            hold_expires_at: (policy.hold_seconds > 0).then(|| self.hold_until(now, policy.hold_seconds)),
            passengers: grab.passengers.clone(),
            client_reference: grab.client_reference.clone(),
            idempotency,
        }))))
    }

    /// Until when seats are held that somebody gets at `now`: at the longest until the flight leaves.
    pub(super) fn hold_until(&self, now: Timestamp, seconds: u32) -> Timestamp {
        now.max(self.last_at).plus_millis(i64::from(seconds) * 1000).min(self.definition.departs_at)
    }

    fn decide_repeated(
        &self,
        no: OrderNo,
        fingerprint: super::order::Fingerprint,
    ) -> Result<Decision, Refusal> {
        let before = self.orders.get(&no).and_then(Order::idempotency);
        if before.is_some_and(|(_, placed_with)| *placed_with == fingerprint) {
            Ok(Decision::Replayed(Some(no)))
        } else {
            Err(Refusal::IdempotencyKeyReused)
        }
    }

    fn decide_cancel(&self, order: OrderRef, now: Timestamp) -> Result<Decision, Refusal> {
        let order = self.find_at(order, now).ok_or(Refusal::OrderNotFound)?;
        if !order.status.is_live() {
            return Ok(Decision::Unchanged(Some(order.no)));
        }
        Ok(Decision::Record(Event::OrderCancelled { order: order.no, freed: order.seats.clone() }))
    }

    fn decide_change(
        &self,
        order: OrderRef,
        seats: Option<&Seats>,
        passengers: Option<&Passengers>,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let order = self.find_at(order, now).ok_or(Refusal::OrderNotFound)?;
        match order.status {
            OrderStatus::Held | OrderStatus::Confirmed => {}
            OrderStatus::Cancelled => {
                return Err(Refusal::OrderNotChangeable { reason: "it is cancelled" });
            }
            OrderStatus::Expired => return Err(Refusal::HoldExpired),
        }
        let new_seats = seats.unwrap_or(&order.seats);
        if new_seats.len() != order.seats.len() {
            return Err(Refusal::Invalid {
                field: "seats",
                message: format!("must name as many seats as the order has ({})", order.seats.len()),
            });
        }
        // A shorter list would take names away without a word.
        if passengers.is_some_and(|names| names.len() != order.seats.len()) {
            return Err(Refusal::Invalid {
                field: "passengers",
                message: format!(
                    "must be as many as the order has seats ({}), null where nobody is named",
                    order.seats.len()
                ),
            });
        }
        self.must_exist(new_seats, |seat| self.map.status(seat).is_some())?;
        self.must_be_free(new_seats, |seat| order.seats.contains(&seat))?;
        let total = self.total(new_seats);
        if order.status == OrderStatus::Confirmed && total != order.total {
            return Err(Refusal::OrderNotChangeable {
                reason: "it is confirmed, and the new seats cost something else than the old ones",
            });
        }
        if order.payment_begun_at().is_some() && total != order.total {
            return Err(Refusal::OrderNotChangeable {
                reason: "its payment has begun, and the new seats cost something else than the old ones",
            });
        }
        let old_passengers = order.extras.as_ref().and_then(|extras| extras.passengers.as_ref());
        let new_passengers = passengers.or(old_passengers);
        if *new_seats == order.seats && new_passengers == old_passengers {
            return Ok(Decision::Unchanged(Some(order.no)));
        }
        Ok(Decision::Record(Event::OrderChanged {
            order: order.no,
            seats: new_seats.clone(),
            freed: order.seats.iter().copied().filter(|seat| !new_seats.contains(seat)).collect(),
            held: order.status == OrderStatus::Held,
            total,
            passengers: new_passengers.cloned(),
        }))
    }

    fn decide_open(&self, now: Timestamp) -> Result<Decision, Refusal> {
        let mut policy = self.sale.policy;
        // "Open, now" outweighs a window that says otherwise.
        if policy.opens_at.is_some_and(|at| at > now) {
            policy.opens_at = Some(now);
        }
        if policy.closes_at.is_some_and(|at| at <= now) {
            policy.closes_at = None;
        }
        // But not departure, nor the rule that counts from it.
        let departs_at = self.definition.departs_at;
        if policy.ends_at(departs_at) <= now {
            let closes_before_minutes = policy.closes_before_minutes;
            return Err(Refusal::TooLateToOpen { departs_at, closes_before_minutes });
        }
        if self.sale.switch == SaleSwitch::Open && policy == self.sale.policy {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::SaleSwitched { switch: SaleSwitch::Open, policy }))
    }

    fn decide_switch(&self, switch: SaleSwitch) -> Decision {
        if self.sale.switch == switch {
            return Decision::Unchanged(None);
        }
        Decision::Record(Event::SaleSwitched { switch, policy: self.sale.policy })
    }

    fn decide_close_for_good(&self) -> Decision {
        let live = self.orders.values().filter(|order| order.status.is_live());
        let mut cancelled: Vec<_> = live.map(|order| (order.no, order.seats.clone())).collect();
        if cancelled.is_empty() {
            return self.decide_switch(SaleSwitch::Closed);
        }
        cancelled.sort_unstable_by_key(|(no, _)| *no);
        let closed = ClosedForGood { policy: self.sale.policy, cancelled };
        Decision::Record(Event::ClosedForGood(Box::new(closed)))
    }

    fn decide_policy(&self, change: &PolicyChange) -> Result<Decision, Refusal> {
        let now = self.sale.policy;
        let policy = SalePolicy {
            opens_at: change.opens_at.unwrap_or(now.opens_at),
            closes_at: change.closes_at.unwrap_or(now.closes_at),
            max_seats_per_order: change.max_seats_per_order.unwrap_or(now.max_seats_per_order),
            max_seats_per_customer: change.max_seats_per_customer.unwrap_or(now.max_seats_per_customer),
            hold_seconds: change.hold_seconds.unwrap_or(now.hold_seconds),
            payment_grace_seconds: change.payment_grace_seconds.unwrap_or(now.payment_grace_seconds),
            closes_before_minutes: change.closes_before_minutes.unwrap_or(now.closes_before_minutes),
        };
        check_policy(&policy)?;
        if policy == now {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::PolicyChanged { policy }))
    }

    fn decide_block(&self, seats: &Seats) -> Result<Decision, Refusal> {
        self.must_exist(seats, |seat| self.map.status(seat).is_some())?;
        let is_blocked = |seat: Seat| self.map.status(seat) == Some(SeatStatus::Blocked);
        self.must_be_free(seats, is_blocked)?;
        let seats: Seats = seats.iter().copied().filter(|seat| !is_blocked(*seat)).collect();
        if seats.is_empty() {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::SeatsBlocked { seats }))
    }

    fn decide_unblock(&self, seats: &Seats) -> Result<Decision, Refusal> {
        self.must_exist(seats, |seat| self.map.status(seat).is_some())?;
        let blocked = |seat: &Seat| self.map.status(*seat) == Some(SeatStatus::Blocked);
        let seats: Seats = seats.iter().copied().filter(blocked).collect();
        if seats.is_empty() {
            return Ok(Decision::Unchanged(None));
        }
        Ok(Decision::Record(Event::SeatsUnblocked { seats }))
    }

    fn decide_rows(&self, cabin: &Cabin) -> Result<Decision, Refusal> {
        let mut cabins = self.definition.cabins.clone();
        cabins.push(cabin.clone());
        match check_cabins(&cabins) {
            Ok(()) => Ok(Decision::Record(Event::RowsAdded { cabin: Box::new(cabin.clone()) })),
            Err(error) => Err(Refusal::Invalid { field: "rows", message: error.to_string() }),
        }
    }

    pub(super) fn must_exist(&self, seats: &Seats, exists: impl Fn(Seat) -> bool) -> Result<(), Refusal> {
        let missing: Seats = seats.iter().copied().filter(|seat| !exists(*seat)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::NoSuchSeat { seats: missing }) }
    }

    fn must_be_free(&self, seats: &Seats, allowed: impl Fn(Seat) -> bool) -> Result<(), Refusal> {
        let taken: Seats = seats
            .iter()
            .copied()
            .filter(|seat| self.map.status(*seat) != Some(SeatStatus::Free) && !allowed(*seat))
            .collect();
        if taken.is_empty() { Ok(()) } else { Err(Refusal::SeatTaken { seats: taken }) }
    }

    /// What these seats cost together, in minor units.
    pub(super) fn total(&self, seats: &Seats) -> i64 {
        seats.iter().filter_map(|seat| self.map.cabin_of(*seat)).map(|cabin| cabin.fare.amount).sum()
    }
}

/// Checks that a flight that is to be created at `now` has not left.
pub fn check_departure(departs_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if departs_at > now {
        return Ok(());
    }
    Err(Refusal::Invalid { field: "departs_at", message: DEPARTED.to_owned() })
}

/// Checks a sale's rules on their own; names the field that is out of its range.
pub fn check_policy(policy: &SalePolicy) -> Result<(), Refusal> {
    let out_of = |field: &'static str, message: String| Err(Refusal::Invalid { field, message });
    for (field, limit) in [
        ("max_seats_per_order", policy.max_seats_per_order),
        ("max_seats_per_customer", policy.max_seats_per_customer),
    ] {
        if !(1..=SEATS_LIMIT_MAX).contains(&limit) {
            return out_of(field, format!("must be from 1 to {SEATS_LIMIT_MAX}"));
        }
    }
    if policy.hold_seconds > HOLD_SECONDS_MAX {
        return out_of("hold_seconds", format!("must be from 0 to {HOLD_SECONDS_MAX}"));
    }
    if policy.payment_grace_seconds > PAYMENT_GRACE_SECONDS_MAX {
        let message = format!("must be from 0 to {PAYMENT_GRACE_SECONDS_MAX}");
        return out_of("payment_grace_seconds", message);
    }
    if policy.closes_before_minutes > CLOSES_BEFORE_MINUTES_MAX {
        let message = format!("must be from 0 to {CLOSES_BEFORE_MINUTES_MAX}");
        return out_of("closes_before_minutes", message);
    }
    if let (Some(opens), Some(closes)) = (policy.opens_at, policy.closes_at)
        && opens >= closes
    {
        return out_of("closes_at", "must be after opens_at".to_owned());
    }
    Ok(())
}
