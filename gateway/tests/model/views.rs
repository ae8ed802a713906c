//! What a flight, its seat map, its manifest and a tried seat plan have to say of the model's flight.
//! Never decides when: the event that an answer names is the one it is compared with.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::judge::{Span, report};
use super::request::{Ask, read};
use super::state::{Cabin, Flight, seats_of, text};

impl Flight {
    /// The blocked seats after a withdrawal.
    pub(crate) fn withdrawn(&self, ask: &Ask) -> BTreeSet<String> {
        let Ask::Withdraw { rows, seats, .. } = ask else { return self.blocked.clone() };
        let mut blocked = self.blocked.clone();
        blocked.extend(seats.iter().cloned());
        if let Some((first, last)) = rows {
            let within = |seat: &String| {
                let row = seat.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u16>();
                row.is_ok_and(|row| (*first..=*last).contains(&row))
            };
            blocked.extend(self.cabins.iter().flat_map(Cabin::seats).flatten().filter(within));
        }
        blocked
    }

    pub(crate) fn flight_says(&self, body: &Value, span: Span) -> Result<(), String> {
        let said = body["cabins"].as_array().into_iter().flatten();
        let said: Vec<(Cabin, Value)> =
            said.map(|cabin| (Cabin::read(cabin), cabin["available"].clone())).collect();
        let open = |cabin: &Cabin| cabin.seats().flatten().filter(|seat| self.is_free(seat)).count();
        let cabins: Vec<(Cabin, Value)> =
            self.cabins.iter().map(|cabin| (cabin.clone(), json!(open(cabin)))).collect();
        let (sale, state) = (&body["sale"], text(&body["sale"]["state"]));
        let facts = [
            ("seq", body["seq"] == self.seq),
            ("available", body["available"] == self.free(None)),
            ("capacity", body["capacity"] == seats_of(&self.cabins).len()),
            ("cabins", said == cabins),
            ("sale.state", self.sale_may_be(&state, span)),
            ("sale.opens_at", read(&sale["opens_at"]) == self.sale.opens_at),
            ("sale.closes_at", read(&sale["closes_at"]) == self.sale.closes_at),
            ("sale.hold_seconds", sale["hold_seconds"] == self.sale.hold_seconds),
            ("sale.max_seats_per_order", sale["max_seats_per_order"] == self.sale.per_order),
            ("sale.max_seats_per_customer", sale["max_seats_per_customer"] == self.sale.per_customer),
        ];
        report(&facts, || format!("the flight at event {}: {:?}, {cabins:?}", self.seq, self.sale))
    }

    pub(crate) fn seats_say(&self, body: &Value) -> Result<(), String> {
        let cabins = body["cabins"].as_array().into_iter().flatten();
        let rows = cabins.flat_map(|cabin| cabin["rows"].as_array().into_iter().flatten());
        let seats = rows.flat_map(|row| row["seats"].as_array().into_iter().flatten());
        let said: Vec<(String, String)> =
            seats.map(|seat| (text(&seat["seat"]), text(&seat["status"]))).collect();
        let all = self.cabins.iter().flat_map(Cabin::seats).flatten();
        let stands = |seat: &String| match self.taken.get(seat).map(|id| self.orders[id].status) {
            Some("held") => "held",
            Some(_) => "sold",
            None if self.blocked.contains(seat) => "blocked",
            None => "free",
        };
        let model: Vec<(String, String)> = all.map(|seat| (seat.clone(), stands(&seat).to_owned())).collect();
        if said == model { Ok(()) } else { Err(format!("the seats at event {} are {model:?}", self.seq)) }
    }

    pub(crate) fn manifest_says(&self, body: &Value) -> Result<(), String> {
        let seats = body["seats"].as_array().into_iter().flatten();
        let said: BTreeSet<(String, String, String)> = seats
            .map(|seat| (text(&seat["seat"]), text(&seat["order_id"]), text(&seat["passenger"])))
            .collect();
        let mut model = BTreeSet::new();
        for (id, order) in self.orders.iter().filter(|(_, order)| order.is_live()) {
            for (seat, name) in order.seats.iter().zip(&order.names) {
                model.insert((seat.clone(), id.clone(), name.clone().unwrap_or_default()));
            }
        }
        let facts = [("at", read(&body["at"]) == Some(self.at)), ("seats", said == model)];
        report(&facts, || format!("event {} at {}: {model:?}", self.seq, self.at))
    }

    /// A plan that was only tried.
    pub(crate) fn plan_says(&self, ask: &Ask, body: &Value) -> Result<(), String> {
        let (cabins, blocked) = match ask {
            Ask::Swap { cabins, .. } => {
                let there = seats_of(cabins);
                (cabins.clone(), self.blocked.intersection(&there).cloned().collect())
            }
            _ => (self.cabins.clone(), self.withdrawn(ask)),
        };
        let said = body["stranded"].as_array().into_iter().flatten();
        let said: BTreeSet<String> = said.map(|order| text(&order["order_id"])).collect();
        let facts = [
            ("seq", body["seq"] == self.seq),
            ("capacity", body["capacity"] == seats_of(&cabins).len()),
            ("stranded", said == self.stranded(&cabins, &blocked)),
        ];
        report(&facts, || format!("the plan tried at event {}", self.seq))
    }
}
