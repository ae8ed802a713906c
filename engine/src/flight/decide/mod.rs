//! Whether a command is granted, and as which event.
//! Never changes the flight: `apply` does, and only by events.

pub(super) mod decision;
mod grab;
mod order;
mod payment;
mod room;
mod sale;
mod seat_plan;
mod seats;
mod under_key;

pub use decision::Decision;
pub use sale::{DEPARTED, check_departure, check_policy};
pub use seat_plan::ReseatPlan;

use crate::flight::command::Command;
use crate::flight::event::Event;
use crate::flight::flight::Flight;
use crate::flight::ids::Timestamp;
use crate::flight::refusal::Refusal;
use crate::flight::sale::{SaleState, SaleSwitch};

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
    pub(in crate::flight) fn moment(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_at)
    }
}
