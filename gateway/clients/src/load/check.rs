//! Whether the server kept its promises: from what it answered during the run, and by reading everything back.
//! Never changes anything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use farerush_engine::flight::{Seat, Seats};
use serde::Serialize;

use super::flights::{Caller, for_each};
use super::ledger::{About, Known, Ledger, Placed};
use super::record::Recorder;
use super::report::grouped;
use super::wire::{FlightBody, OrderBody, SeatMapBody, Target, code_of};
use super::worker::Run;

/// Orders that are read back; of more, a sample.
pub const ORDERS_READ_MAX: usize = 20_000;
/// Flights whose seat maps are read; of more, a sample.
pub const FLIGHTS_READ_MAX: usize = 500;
/// Differences that are shown.
const SHOWN_MAX: usize = 5;

/// One check and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether all was well.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

impl Check {
    /// Well if `wrong` is empty: says then what was looked at, else what was wrong.
    fn of(name: &'static str, wrong: &Wrong, looked_at: String) -> Self {
        let ok = wrong.count == 0;
        let detail =
            if ok { looked_at } else { format!("{} wrong: {}", wrong.count, wrong.shown.join("; ")) };
        Self { name, ok, detail }
    }

    fn complaints(name: &'static str, ledger: &Ledger, about: About, looked_at: String) -> Self {
        let mut wrong = Wrong::default();
        if let Some((count, examples)) = ledger.complaints.of(about) {
            wrong = Wrong { count, shown: vec![examples] };
        }
        Self::of(name, &wrong, looked_at)
    }
}

/// What was wrong: how often, and the first few.
#[derive(Debug, Default)]
struct Wrong {
    count: u64,
    shown: Vec<String>,
}

impl Wrong {
    fn add(&mut self, text: String) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(text);
        }
    }
}

/// Checks everything.
pub async fn all(run: &Arc<Run>, ledger: Ledger, recorder: &Recorder) -> Vec<Check> {
    let ledger = Rc::new(ledger);
    let mut checks = vec![answers(recorder, &ledger), no_seat_twice(run, &ledger.placed)];
    checks.extend(flights(run, &ledger).await);
    checks.push(orders(run, &ledger).await);
    let looked_at = match ledger.replayed {
        0 => "no key was repeated".to_owned(),
        count => format!("{} keys were repeated and gave the same order again", grouped(count)),
    };
    checks.push(Check::complaints("keys_honoured", &ledger, About::Keys, looked_at));
    checks.push(unknown_outcomes(run, &ledger));
    checks
}

fn answers(recorder: &Recorder, ledger: &Ledger) -> Check {
    const NAME: &str = "answers_as_promised";
    let unanswered: u64 =
        ["not connected", "lost", "timed out"].iter().map(|code| recorder.count_of(code)).sum();
    let answered = recorder.requests().saturating_sub(unanswered);
    if answered == 0 {
        return Check { name: NAME, ok: false, detail: "not one request was answered".to_owned() };
    }
    let looked_at = format!("{} answers are such as the contract has", grouped(answered));
    Check::complaints(NAME, ledger, About::Answers, looked_at)
}

/// Two orders may have a seat one after the other only. An order has its seats for certain from its acknowledgement
/// until somebody begins to cancel it (or its hold may have run out).
fn no_seat_twice(run: &Run, placed: &[Placed]) -> Check {
    let mut owned: Vec<(u32, u16, u64, usize)> = Vec::new();
    for (place, order) in placed.iter().enumerate() {
        owned.extend(
            order.seats.iter().map(|seat| (order.flight, seat.packed(), order.acknowledged_us, place)),
        );
    }
    owned.sort_unstable();
    let mut wrong = Wrong::default();
    let mut before: Option<(u32, u16, usize)> = None;
    for &(flight, seat, from_us, place) in &owned {
        let mut longest = place;
        if let Some((its_flight, its_seat, other)) = before
            && (its_flight, its_seat) == (flight, seat)
        {
            let until_us = placed[other].until_us;
            if until_us > from_us {
                let name =
                    Seat::from_packed(seat).map_or_else(|_| "a seat".to_owned(), |seat| seat.to_string());
                let (one, two) = (&placed[other].order_id, &placed[place].order_id);
                let id = &run.flights[flight as usize].id;
                wrong.add(format!("{name} of {id} is in {one} and {two}"));
            }
            if until_us > placed[place].until_us {
                longest = other;
            }
        }
        before = Some((flight, seat, longest));
    }
    let (seats, orders) = (grouped(owned.len() as u64), grouped(placed.len() as u64));
    let looked_at = format!("{seats} seats in {orders} acknowledged orders");
    Check::of("no_seat_twice", &wrong, looked_at)
}

/// What a flight should look like, from what was acknowledged.
#[derive(Debug, Default, Clone)]
struct Expected {
    /// Seats that are in live orders for certain.
    certain: Vec<u16>,
    /// Seats that may be in live orders besides.
    perhaps: u64,
    /// Whether seats may have come back on sale.
    gave_back: bool,
}

fn expected(run: &Run, ledger: &Ledger) -> Vec<Expected> {
    let mut by_flight = vec![Expected::default(); run.flights.len()];
    for placed in &ledger.placed {
        let flight = &mut by_flight[placed.flight as usize];
        // A hold on somebody else's flight may have run out meanwhile.
        let may_expire = !run.flights[placed.flight as usize].made && placed.known != Known::Confirmed;
        let may_expire = may_expire && run.flights[placed.flight as usize].hold_seconds > 0;
        if placed.known.is_live() && !may_expire {
            flight.certain.extend(placed.seats.iter().map(|seat| seat.packed()));
        } else {
            flight.gave_back = true;
            if placed.known != Known::Cancelled {
                flight.perhaps += placed.seats.len() as u64;
            }
        }
    }
    for unresolved in &ledger.unresolved {
        by_flight[unresolved.flight as usize].perhaps += u64::from(unresolved.party);
    }
    by_flight
}

/// Reads flights and their seat maps back: what adds up, and whether what was called sold out is.
async fn flights(run: &Arc<Run>, ledger: &Ledger) -> [Check; 2] {
    let expected = Rc::new(expected(run, ledger));
    let chosen = Rc::new(sample(run.flights.len(), FLIGHTS_READ_MAX, run.plan.seed));
    let wrong: Rc<RefCell<[Wrong; 2]>> = Rc::default();
    let sold_out = Rc::new(std::cell::Cell::new(0_u64));
    let target = Rc::new(Target::new(&run.plan.address));
    let read = {
        let (run, expected, chosen) = (run.clone(), expected.clone(), chosen.clone());
        let (wrong, sold_out) = (wrong.clone(), sold_out.clone());
        for_each(run.address, &target, None, chosen.len(), async move |caller, number| {
            let place = chosen[number];
            let seen = match Seen::read(caller, &run.flights[place].id).await {
                Ok(seen) => seen,
                Err(error) => {
                    wrong.borrow_mut()[0].add(error);
                    return Ok(());
                }
            };
            let flight = &run.flights[place];
            let expected = &expected[place];
            seen.add_up(flight, expected, &mut wrong.borrow_mut()[0]);
            if flight.made && flight.said_sold_out() && !expected.gave_back {
                sold_out.set(sold_out.get() + 1);
                if seen.taken.len() as u64 != u64::from(flight.capacity) {
                    let (id, sold, capacity) = (&flight.id, seen.taken.len(), flight.capacity);
                    wrong.borrow_mut()[1]
                        .add(format!("{id} said SOLD_OUT with {sold} of {capacity} seats sold"));
                }
            }
            Ok(())
        })
        .await
    };
    let mut wrong = wrong.take();
    if let Err(error) = read {
        wrong[0].add(error);
    }
    let of = if chosen.len() < run.flights.len() {
        format!(" (a sample of {}, seed {})", run.flights.len(), run.plan.seed)
    } else {
        String::new()
    };
    let sold: usize = expected.iter().map(|flight| flight.certain.len()).sum();
    let looked_at = format!(
        "flights looked at: {}{of}; sold, held, blocked and free seats make up their capacity, {} seats are in live \
         orders",
        chosen.len(),
        grouped(sold as u64)
    );
    let called = match sold_out.get() {
        0 => "no flight of its own was sold out for good".to_owned(),
        count => format!("{} flights said SOLD_OUT, and have sold exactly their capacity", grouped(count)),
    };
    [Check::of("seats_add_up", &wrong[0], looked_at), Check::of("sold_equals_capacity", &wrong[1], called)]
}

/// A flight as it was read back.
struct Seen {
    flight: FlightBody,
    /// Seats that are sold or held.
    taken: HashMap<u16, ()>,
    free: u64,
    blocked: u64,
}

impl Seen {
    async fn read(caller: &mut Caller, id: &str) -> Result<Self, String> {
        let get = async |caller: &mut Caller, under: &str| {
            let (status, body) = caller.call("GET", &["/v1/flights/", id, under], None).await?;
            match status {
                200 => Ok(body),
                _ => Err(format!("reading flight {id}{under} was answered {status} {}", code_of(&body))),
            }
        };
        let body = get(caller, "").await?;
        let flight: FlightBody = serde_json::from_slice(&body)
            .map_err(|error| format!("{id} was answered with no flight ({error})"))?;
        let body = get(caller, "/seats").await?;
        let map: SeatMapBody<'_> =
            serde_json::from_slice(&body).map_err(|error| format!("{id} has no seat map ({error})"))?;
        let mut seen = Self { flight, taken: HashMap::new(), free: 0, blocked: 0 };
        for place in map.cabins.iter().flat_map(|cabin| &cabin.rows).flat_map(|row| &row.seats) {
            match place.status {
                "free" => seen.free += 1,
                "blocked" => seen.blocked += 1,
                "held" | "sold" => {
                    let seat: Seat =
                        place.seat.parse().map_err(|error| format!("{id}: {} {error}", place.seat))?;
                    seen.taken.insert(seat.packed(), ());
                }
                other => return Err(format!("{id}: seat {} is {other:?}", place.seat)),
            }
        }
        Ok(seen)
    }

    fn add_up(&self, flight: &super::flights::Flight, expected: &Expected, wrong: &mut Wrong) {
        let id = &flight.id;
        let taken = self.taken.len() as u64;
        let all = taken + self.free + self.blocked;
        if all != u64::from(self.flight.capacity) {
            let capacity = self.flight.capacity;
            wrong.add(format!(
                "{id} shows {all} seats ({taken} taken, {} free), its capacity is {capacity}",
                self.free
            ));
        }
        if let Some(missing) = expected.certain.iter().find(|seat| !self.taken.contains_key(*seat)) {
            let name = Seat::from_packed(*missing).map_or_else(|_| "?".to_owned(), |seat| seat.to_string());
            wrong.add(format!("{id} shows {name} as not sold, which is in an acknowledged order"));
        }
        if !flight.made {
            return;
        }
        // Nobody else sells these.
        let available = self.flight.available;
        if u64::from(available) != self.free {
            wrong.add(format!("{id} says {available} are available, its seat map shows {} free", self.free));
        }
        let certain = expected.certain.len() as u64;
        if !(certain..=certain + expected.perhaps).contains(&taken) {
            let perhaps = expected.perhaps;
            wrong.add(format!(
                "{id} has {taken} seats taken, acknowledged are {certain} (and perhaps {perhaps} more)"
            ));
        }
    }
}

/// Reads acknowledged orders back: each must be there and be as it was acknowledged.
async fn orders(run: &Arc<Run>, ledger: &Rc<Ledger>) -> Check {
    const NAME: &str = "acknowledged_orders_readable";
    let chosen = Rc::new(sample(ledger.placed.len(), ORDERS_READ_MAX, run.plan.seed));
    let wrong: Rc<RefCell<Wrong>> = Rc::default();
    if let Some((count, examples)) = ledger.complaints.of(About::Orders) {
        *wrong.borrow_mut() = Wrong { count, shown: vec![examples] };
    }
    let target = Rc::new(Target::new(&run.plan.address));
    let read = {
        let (run, ledger, chosen, wrong) = (run.clone(), ledger.clone(), chosen.clone(), wrong.clone());
        for_each(run.address, &target, None, chosen.len(), async move |caller, number| {
            let placed = &ledger.placed[chosen[number]];
            let (status, body) = caller.call("GET", &["/v1/orders/", &placed.order_id], None).await?;
            if let Err(difference) = as_acknowledged(&run, placed, status, &body) {
                wrong.borrow_mut().add(format!("order {}: {difference}", placed.order_id));
            }
            Ok(())
        })
        .await
    };
    if let Err(error) = read {
        wrong.borrow_mut().add(error);
    }
    let (all, count) = (ledger.placed.len(), chosen.len());
    let looked_at = match all - count {
        0 => format!("all {} were read and are as acknowledged", grouped(all as u64)),
        _ => format!("{count} of {all} (a sample, seed {}) were read and are as acknowledged", run.plan.seed),
    };
    let wrong = wrong.take();
    Check::of(NAME, &wrong, looked_at)
}

fn as_acknowledged(run: &Run, placed: &Placed, status: u16, body: &[u8]) -> Result<(), String> {
    if status != 200 {
        return Err(format!("reading it was answered {status} {}", code_of(body)));
    }
    let (order, seats) = OrderBody::parse(body)?;
    let flight = &run.flights[placed.flight as usize];
    if *order.order_id != *placed.order_id || order.flight_id != flight.id {
        return Err(format!("it reads as order {} of {}", order.order_id, order.flight_id));
    }
    if order.customer_id.strip_prefix('c').and_then(|number| number.parse().ok()) != Some(placed.customer) {
        return Err(format!("it is customer {}'s now", order.customer_id));
    }
    let may_expire = flight.hold_seconds > 0;
    if !placed.known.allows(order.status, may_expire) {
        return Err(format!("it is {}, and was acknowledged as {:?}", order.status, placed.known));
    }
    let gone = matches!(order.status, "cancelled" | "expired");
    if !gone && seats != placed.seats {
        return Err(format!("it has the seats {}, not {}", names(&seats), names(&placed.seats)));
    }
    Ok(())
}

fn names(seats: &Seats) -> String {
    seats.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn unknown_outcomes(run: &Run, ledger: &Ledger) -> Check {
    let (unknown, left) = (ledger.unknown, ledger.unresolved.len());
    let open = ledger
        .placed
        .iter()
        .filter(|placed| matches!(placed.known, Known::HeldOrConfirmed | Known::PerhapsCancelled))
        .count();
    let detail = match (unknown, left + open) {
        (0, 0) => "every request had an outcome".to_owned(),
        (_, 0) => format!("{unknown} outcomes were unknown at first, and all were learnt by asking again"),
        (_, _) if !run.plan.keys => {
            format!("{unknown} outcomes were unknown; {left} grabs without a key could not be asked after")
        }
        (_, _) => format!("{unknown} outcomes were unknown, and {} still are", left + open),
    };
    Check { name: "unknown_outcomes_resolved", ok: left + open == 0 || !run.plan.keys, detail }
}

/// Places below `count`: all of them, or so many chosen by the seed.
fn sample(count: usize, max: usize, seed: u64) -> Vec<usize> {
    if count <= max {
        return (0..count).collect();
    }
    let mut chosen = fastrand::Rng::with_seed(seed).choose_multiple(0..count, max);
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str, seat: &str, acknowledged_us: u64, until_us: u64) -> Placed {
        Placed {
            order_id: id.into(),
            flight: 0,
            customer: 1,
            seats: [seat.parse().unwrap()].into_iter().collect(),
            seq: 1,
            acknowledged_us,
            until_us,
            known: Known::Confirmed,
        }
    }

    fn run() -> Run {
        let plan = super::super::arguments::LoadPlan::parse(["load"]).unwrap();
        let flight = r#"{"flight_id":"F","capacity":9,"available":9,"sale":{"state":"open"}}"#;
        let flight = super::super::flights::Flight::from_body(serde_json::from_str(flight).unwrap());
        Run::new(plan, "127.0.0.1:1".parse().unwrap(), "t".into(), vec![flight])
    }

    #[test]
    fn a_seat_may_be_in_two_orders_one_after_the_other() {
        let one_after_the_other =
            [order("a", "1A", 5, 10), order("b", "1A", 10, u64::MAX), order("c", "1B", 5, 9)];
        assert!(no_seat_twice(&run(), &one_after_the_other).ok);
        let at_once = [order("a", "1A", 5, 11), order("b", "1A", 10, u64::MAX)];
        let check = no_seat_twice(&run(), &at_once);
        assert!(!check.ok && check.detail.contains("1A of F is in a and b"), "{check:?}");
        // The first of three outlasts the second.
        let hidden = [order("a", "1A", 5, 100), order("b", "1A", 6, 7), order("c", "1A", 50, 60)];
        assert!(no_seat_twice(&run(), &hidden).detail.starts_with("2 wrong"));
    }

    #[test]
    fn a_sample_is_the_same_for_the_same_seed() {
        assert_eq!(sample(3, 5, 1), [0, 1, 2]);
        assert_eq!(sample(1_000, 10, 7), sample(1_000, 10, 7));
        assert_eq!(sample(1_000, 10, 7).len(), 10);
    }
}
