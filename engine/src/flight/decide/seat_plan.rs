//! Another seat plan under a running sale: an aircraft swap, or seats that are withdrawn. Who keeps their seats, who gets
//! others, and whom the new plan has no place for. Never changes the flight: `apply` does, by the event that follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;

use super::decision::Decision;
use crate::flight::aircraft::{Section, aircraft};
use crate::flight::cabin::{Cabin, CabinClass, Fare, Layout, Seat, Seats, check_cabins};
use crate::flight::command::{SeatPlan, Together};
use crate::flight::event::{CabinsChange, Event};
use crate::flight::flight::Flight;
use crate::flight::ids::OrderNo;
use crate::flight::order::{Order, OrderStatus};
use crate::flight::refusal::Refusal;
use crate::flight::reseat::{Moved, Reseated};
use crate::flight::seat_map::{SeatMap, SeatStatus};
use crate::flight::seating;

/// Seats that may stand for one another: of one class, at one fare in minor units. So a moved order costs what it did.
type ClassAndFare = (CabinClass, i64);

/// What a new seat plan means for those who have seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReseatPlan {
    /// What would happen, or has happened.
    pub change: Box<CabinsChange>,
    /// Orders that get other seats, by number.
    pub moved: Vec<Moved>,
    /// Orders that sat together and now do not, by number.
    pub split: Vec<OrderNo>,
    /// Orders the new plan has no place for, as they are before the change, by number.
    pub stranded: Vec<Order>,
}

impl ReseatPlan {
    /// What is told of it.
    pub fn told(&self) -> Reseated {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let confirmed = |order: &Order| (order.no, order.status == OrderStatus::Confirmed);
        Reseated {
            capacity: self.change.cabins.iter().map(Cabin::capacity).sum(),
            kept: count(self.change.seated.len() - self.moved.len()),
            moved: self.moved.clone(),
            split: self.split.clone(),
            stranded: self.stranded.iter().map(confirmed).collect(),
        }
    }
}

impl Flight {
    /// What a new seat plan would mean. The cabins have been checked to be sound.
    pub fn plan_seats(&self, plan: &SeatPlan) -> Result<ReseatPlan, Refusal> {
        let (aircraft, cabins, mut blocked) = match plan {
            SeatPlan::Aircraft { aircraft, cabins } => {
                check_cabins(cabins)
                    .map_err(|error| Refusal::Invalid { field: "cabins", message: error.to_string() })?;
                self.must_keep_currency(cabins)?;
                (aircraft.clone(), cabins.clone(), self.map.seats_with(SeatStatus::Blocked))
            }
            SeatPlan::Template { aircraft, fare, fares } => {
                let cabins = self.cabins_of_template(aircraft, *fare, fares)?;
                check_cabins(&cabins)
                    .map_err(|error| Refusal::Invalid { field: "aircraft", message: error.to_string() })?;
                self.must_keep_currency(&cabins)?;
                (Some(aircraft.clone()), cabins, self.map.seats_with(SeatStatus::Blocked))
            }
            SeatPlan::Without(seats) => {
                self.must_exist(seats, |seat| self.map.status(seat).is_some())?;
                self.present_without(seats)
            }
            SeatPlan::WithoutRows { first, last } => {
                let all = self.definition.cabins.iter().flat_map(Cabin::all_seats);
                let seats: Seats = all.filter(|seat| (*first..=*last).contains(&seat.row())).collect();
                if seats.is_empty() {
                    let message = "the flight has no such rows".to_owned();
                    return Err(Refusal::Invalid { field: "rows", message });
                }
                self.present_without(&seats)
            }
        };
        let mut map = SeatMap::new(&cabins);
        blocked.retain(|seat| map.status(*seat).is_some());
        map.change(&blocked, SeatStatus::Free, SeatStatus::Blocked);
        Ok(self.seat_everybody(aircraft, cabins, blocked, map))
    }

    /// The present plan, and what is blocked in it besides these seats.
    fn present_without(&self, seats: &Seats) -> (Option<CompactString>, Vec<Cabin>, Seats) {
        let mut blocked = self.map.seats_with(SeatStatus::Blocked);
        let is_blocked = |seat: &Seat| self.map.status(*seat) == Some(SeatStatus::Blocked);
        blocked.extend(seats.iter().copied().filter(|seat| !is_blocked(seat)));
        (self.definition.aircraft.clone(), self.definition.cabins.clone(), blocked)
    }

    /// The cabins of an aircraft that is named: at the fare of their class, or else at that for all, or else at the
    /// lowest that the class costs now.
    fn cabins_of_template(
        &self,
        name: &str,
        for_all: Option<Fare>,
        fares: &[(CabinClass, Fare)],
    ) -> Result<Vec<Cabin>, Refusal> {
        let invalid = |field, message: &str| Refusal::Invalid { field, message: message.to_owned() };
        let template = aircraft(name).ok_or_else(|| invalid("aircraft", "there is no such template"))?;
        let now = |class| {
            let cabins = self.definition.cabins.iter().filter(|cabin| cabin.cabin_class == class);
            cabins.map(|cabin| cabin.fare).min_by_key(|fare| fare.amount)
        };
        let section = |&(cabin_class, first_row, last_row, layout): &Section| {
            let own = fares.iter().find(|(class, _)| *class == cabin_class).map(|(_, fare)| *fare);
            let fare = own
                .or(for_all)
                .or_else(|| now(cabin_class))
                .ok_or_else(|| invalid(fare_field(cabin_class), "must be given, or fare for all cabins"))?;
            let layout = Layout::new(layout).map_err(|_| invalid("aircraft", "the template is of no use"))?;
            Ok(Cabin { cabin_class, first_row, last_row, layout, fare })
        };
        template.sections.iter().map(section).collect()
    }

    /// Decides a new seat plan; `cancel_stranded`: orders without a place in it are cancelled, instead of the whole
    /// change being refused.
    pub(in crate::flight) fn decide_seat_plan(
        &self,
        plan: &SeatPlan,
        cancel_stranded: bool,
    ) -> Result<Decision, Refusal> {
        let planned = self.plan_seats(plan)?;
        if !planned.stranded.is_empty() && !cancel_stranded {
            return Err(Refusal::OrdersWithoutSeats { orders: planned.stranded.len() });
        }
        let told = Arc::new(planned.told());
        let mut change = planned.change;
        let is_same = change.aircraft == self.definition.aircraft
            && change.cabins == self.definition.cabins
            && change.blocked.len() == self.map.seats_with(SeatStatus::Blocked).len();
        if is_same {
            return Ok(Decision::Unchanged(None));
        }
        change.told = Some(told);
        Ok(Decision::Record(Event::CabinsChanged(change)))
    }

    fn must_keep_currency(&self, cabins: &[Cabin]) -> Result<(), Refusal> {
        let currency = |cabins: &[Cabin]| cabins.first().map(|cabin| cabin.fare.currency);
        if currency(cabins) == currency(&self.definition.cabins) {
            return Ok(());
        }
        let message = "must be in the currency of the flight".to_owned();
        Err(Refusal::Invalid { field: "cabins", message })
    }

    fn seat_everybody(
        &self,
        aircraft: Option<CompactString>,
        cabins: Vec<Cabin>,
        blocked: Seats,
        mut map: SeatMap,
    ) -> ReseatPlan {
        let (staying, mut stranded) = self.who_stays(&map);
        // Whoever can keep their seats does, so that as few as possible are bothered.
        let (mut seated, mut moving) = (Vec::with_capacity(staying.len()), Vec::new());
        for order in staying {
            if order.seats.iter().all(|&seat| self.is_as_before(&map, seat)) {
                map.change(&order.seats, SeatStatus::Free, order.seat_status());
                seated.push((order.no, order.seats.clone()));
            } else {
                moving.push(order);
            }
        }
        // Large parties first: they need the long runs.
        moving.sort_by_key(|order| (std::cmp::Reverse(order.seats.len()), order.no));
        let (mut moved, mut split) = (Vec::new(), Vec::new());
        for order in moving {
            let Some(to) = self.other_seats(&map, order) else {
                // Cannot be: `who_stays` has counted. Nobody loses a seat silently even so.
                stranded.push(order.clone());
                continue;
            };
            map.change(&to, SeatStatus::Free, order.seat_status());
            let sat_together = seating::are_side_by_side(&self.map, &order.seats);
            if sat_together && !seating::are_side_by_side(&map, &to) {
                split.push(order.no);
            }
            seated.push((order.no, to.clone()));
            moved.push(Moved { order: order.no, from: order.seats.clone(), to });
        }
        seated.sort_by_key(|(no, _)| *no);
        moved.sort_by_key(|moved: &Moved| moved.order);
        split.sort_unstable();
        stranded.sort_by_key(|order| order.no);
        let cancelled = stranded.iter().map(|order| order.no).collect();
        let change = Box::new(CabinsChange { aircraft, cabins, blocked, seated, cancelled, told: None });
        ReseatPlan { change, moved, split, stranded }
    }

    /// Who has a place in the new map, counted by class and fare: confirmed orders before held ones, earlier before
    /// later ones.
    fn who_stays(&self, map: &SeatMap) -> (Vec<&Order>, Vec<Order>) {
        let mut room: BTreeMap<ClassAndFare, usize> = BTreeMap::new();
        for seat in map.seats_with(SeatStatus::Free) {
            if let Some(group) = group_of(map, seat) {
                *room.entry(group).or_default() += 1;
            }
        }
        let mut live: Vec<&Order> = self.orders.values().filter(|order| order.status.is_live()).collect();
        live.sort_by_key(|order| (order.status == OrderStatus::Held, order.no));
        let (mut staying, mut stranded) = (Vec::with_capacity(live.len()), Vec::new());
        for order in live {
            let needs = self.needs_of(order);
            let fits = needs.iter().all(|(group, seats)| room.get(group).is_some_and(|left| left >= seats));
            if !fits {
                stranded.push(order.clone());
                continue;
            }
            for (group, seats) in needs {
                if let Some(left) = room.get_mut(&group) {
                    *left -= seats;
                }
            }
            staying.push(order);
        }
        (staying, stranded)
    }

    fn needs_of(&self, order: &Order) -> BTreeMap<ClassAndFare, usize> {
        let mut needs = BTreeMap::new();
        for group in order.seats.iter().filter_map(|&seat| group_of(&self.map, seat)) {
            *needs.entry(group).or_default() += 1;
        }
        needs
    }

    fn is_as_before(&self, map: &SeatMap, seat: Seat) -> bool {
        map.status(seat) == Some(SeatStatus::Free) && group_of(map, seat) == group_of(&self.map, seat)
    }

    /// Seats of the same classes and fares for all of an order's, by place.
    fn other_seats(&self, map: &SeatMap, order: &Order) -> Option<Seats> {
        let mut chosen: BTreeMap<ClassAndFare, <Seats as IntoIterator>::IntoIter> = BTreeMap::new();
        for ((class, fare), quantity) in self.needs_of(order) {
            let quantity = u16::try_from(quantity).ok()?;
            let seats = seating::choose_at_fare(map, quantity, Together::Preferred, class, fare)?;
            chosen.insert((class, fare), seats.into_iter());
        }
        order.seats.iter().map(|&seat| chosen.get_mut(&group_of(&self.map, seat)?)?.next()).collect()
    }
}

const fn fare_field(class: CabinClass) -> &'static str {
    match class {
        CabinClass::First => "fares.first",
        CabinClass::Business => "fares.business",
        CabinClass::PremiumEconomy => "fares.premium_economy",
        CabinClass::Economy => "fares.economy",
    }
}

fn group_of(map: &SeatMap, seat: Seat) -> Option<ClassAndFare> {
    map.cabin_of(seat).map(|cabin| (cabin.cabin_class, cabin.fare.amount))
}
