//! What a rehearsal is checked for at its end, from what its customers were told and what the shadow says then.
//! Never mends anything.

use std::collections::HashSet;
use std::sync::Arc;

use farerush_engine::actor::{Answer, FlightView, PendingAnswer};
use farerush_engine::flight::{OrderNo, OrderRef, Seat, Seats};

use super::shadow::Shadow;
use super::tally::Tally;
use crate::wire::problem::Code;

/// One check, and whether it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// Whether it does.
    pub ok: bool,
}

/// No seat is in two orders, or in one and taken before.
const NO_SEAT_TWICE: &str = "no seat sold twice";
/// Everybody who came was told an outcome.
const ALL_ANSWERED: &str = "every customer answered";
/// Nobody was turned away while there were seats for them.
const SOLD_OUT: &str = "sold out where demand sufficed";
/// Each order that somebody was told of is there, with its seats.
const ALL_READABLE: &str = "every order readable";
/// The journal's events lead to the seats that are shown.
const REPLAYS: &str = "the journal replays to the same seats";
/// All of them, in their order.
pub const CHECKS: [&str; 5] = [NO_SEAT_TWICE, ALL_ANSWERED, SOLD_OUT, ALL_READABLE, REPLAYS];

/// What the customers of a rehearsal were told, as far as the checks need it.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// The orders of those who won.
    pub(super) orders: Vec<(OrderNo, Seats)>,
    /// The smallest party that was told that there are not enough seats.
    pub(super) smallest_refused: Option<u16>,
}

/// Makes all checks.
pub(super) async fn all(shadow: &Shadow, tally: &Tally, told: &Outcomes) -> Vec<Check> {
    let view = shadow.flight.view();
    let mut seen: HashSet<Seat> = shadow.gone_before().collect();
    let once = told.orders.iter().flat_map(|(_, seats)| seats).all(|seat| seen.insert(*seat));
    let unknown = tally.refused[Code::OutcomeUnknown as usize];
    let answered = tally.sent == tally.won + tally.refused_in_all() && unknown == 0;
    let holds = [once, answered, sold_out(&view, told), readable(shadow, told).await, shadow.replays()];
    CHECKS.into_iter().zip(holds).map(|(name, ok)| Check { name, ok }).collect()
}

/// Seats only ever go, so whoever was too many then is too many now. Where nobody was, demand did not suffice.
fn sold_out(view: &Arc<FlightView>, told: &Outcomes) -> bool {
    told.smallest_refused.is_none_or(|party| u32::from(party) > view.free)
}

async fn readable(shadow: &Shadow, told: &Outcomes) -> bool {
    let definition = shadow.flight.view().definition.clone();
    let ask = |no: OrderNo| shadow.flight.look_up(OrderRef { no, tag: definition.ids.order_tag(no) });
    // A flight has no more orders than seats, and takes more requests than that at once.
    let asked: Vec<Option<PendingAnswer>> = told.orders.iter().map(|(no, _)| ask(*no).ok()).collect();
    let mut are_there = true;
    for ((no, seats), pending) in told.orders.iter().zip(asked) {
        let Some(pending) = pending else { return false };
        are_there &= matches!(
            pending.await,
            Ok(Answer::Order { order, .. }) if order.no == *no && order.seats == *seats && order.status.is_live()
        );
    }
    are_there
}
