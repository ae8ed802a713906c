//! What the clients of a history ask, drawn from a seed: everything that customers and admins can do to one flight.
//! Never knows how a flight works; it only remembers what it was told of.

use serde_json::{Map, Value, json};

use super::request::{Accept, Answer, Ask, Wanted, written};
use super::state::{Cabin, text};

/// What the clients of a history know together.
#[derive(Debug, Clone)]
pub(crate) struct Knowledge {
    pub(crate) cabins: Vec<Cabin>,
    /// Orders: id, customer, total, seats.
    pub(crate) orders: Vec<(String, i64, usize)>,
    pub(crate) entries: Vec<String>,
    /// Requests that were made under a key.
    pub(crate) keyed: Vec<(Ask, String)>,
    pub(crate) rows_made: u16,
    pub(crate) keys_made: u32,
}

/// What a history is like: everything follows from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) cabins: Vec<Cabin>,
    pub(crate) sale: Value,
    pub(crate) hold_seconds: u64,
    /// How often, of a hundred, an admin acts.
    pub(crate) admin: u32,
    pub(crate) restarts: u32,
}

/// One step of a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Ask(Ask, Option<String>),
    /// Two restarts at once.
    DoubleRestart,
    /// Time passes, in milliseconds.
    Wait(u64),
}

fn cabin(class: &str, rows: (u16, u16), layout: &str, fare: i64) -> Cabin {
    Cabin { class: class.to_owned(), rows, layout: layout.to_owned(), fare }
}

impl Shape {
    pub(crate) fn draw(rng: &mut fastrand::Rng, now: i64) -> Self {
        let business = cabin("business", (1, rng.u16(1..3)), "A C", 200);
        let layout = *rng.choice(&["AB C", "ABC DEF", "A BC"]).expect("layouts");
        let economy = cabin("economy", (5, 5 + rng.u16(0..3)), layout, 100);
        let cabins = if rng.u32(..3) == 0 { vec![economy] } else { vec![business, economy] };
        let hold_seconds = *rng.choice(&[0, 0, 600, 600, 1, 2]).expect("holds");
        let mut sale = json!({"hold_seconds": hold_seconds});
        match rng.u32(..10) {
            0 => sale["opens_at"] = json!(written(now + rng.i64(0..400))),
            1 => {}
            _ => sale["state"] = json!("open"),
        }
        if rng.u32(..3) == 0 {
            sale["max_seats_per_order"] = json!(rng.u32(2..6));
            sale["max_seats_per_customer"] = json!(rng.u32(3..9));
        }
        if rng.bool() {
            sale["payment_grace_seconds"] = json!(rng.u32(0..3));
        }
        Self { cabins, sale, hold_seconds, admin: rng.u32(5..30), restarts: rng.u32(0..4) }
    }

    pub(crate) fn creation(&self, id: &str) -> Value {
        json!({
            "flight_id": id, "flight_number": "FR101", "origin": "TPE", "destination": "NRT",
            "departs_at": "2030-12-24T08:00:00Z", "sale": self.sale,
            "cabins": self.cabins.iter().map(Cabin::json).collect::<Vec<_>>(),
        })
    }
}

impl Knowledge {
    pub(crate) fn new(shape: &Shape) -> Self {
        let cabins = shape.cabins.clone();
        Self {
            cabins,
            orders: Vec::new(),
            entries: Vec::new(),
            keyed: Vec::new(),
            rows_made: 0,
            keys_made: 0,
        }
    }

    /// Remembers what an answer told.
    pub(crate) fn learn(&mut self, ask: &Ask, answer: &Answer) {
        let Answer::Done { body, .. } = answer else { return };
        match ask {
            Ask::Grab { .. } => {
                let (id, total) = (text(&body["order_id"]), body["total"]["amount"].as_i64().unwrap_or(0));
                if !self.orders.iter().any(|(other, ..)| *other == id) {
                    self.orders.push((id, total, body["seats"].as_array().map_or(0, Vec::len)));
                }
            }
            Ask::Change { order, .. } => {
                let total = body["total"]["amount"].as_i64().unwrap_or(0);
                if let Some(known) = self.orders.iter_mut().find(|(id, ..)| id == order) {
                    known.1 = total;
                }
            }
            Ask::Join { .. } | Ask::ReadEntry { .. } => {
                let id = text(&body["waitlist_id"]);
                if !self.entries.contains(&id) {
                    self.entries.push(id);
                }
                let order = text(&body["order_id"]);
                if !order.is_empty() && !self.orders.iter().any(|(other, ..)| *other == order) {
                    // What it costs is learnt when it is read.
                    self.orders.push((order, -1, 0));
                }
            }
            Ask::ReadOrder { order } => {
                if let Some(known) = self.orders.iter_mut().find(|(id, ..)| id == order) {
                    known.1 = body["total"]["amount"].as_i64().unwrap_or(0);
                    known.2 = body["seats"].as_array().map_or(0, Vec::len);
                }
            }
            Ask::Rows { cabin } => self.cabins.push(cabin.clone()),
            Ask::Swap { cabins, dry_run: false, .. } => self.cabins.clone_from(cabins),
            _ => {}
        }
    }

    fn seats(&self, rng: &mut fastrand::Rng, most: usize) -> Vec<String> {
        let all: Vec<String> = self.cabins.iter().flat_map(Cabin::seats).flatten().collect();
        let count = rng.usize(1..=most);
        let mut seats = rng.choose_multiple(all, count);
        if rng.u32(..30) == 0 {
            seats.push("99A".to_owned());
        }
        seats
    }

    fn class(rng: &mut fastrand::Rng) -> Option<String> {
        let class = *rng.choice(&["economy", "economy", "business"]).expect("classes");
        (rng.u32(..3) == 0).then(|| class.to_owned())
    }

    /// The next step of a client.
    pub(crate) fn draw(&mut self, rng: &mut fastrand::Rng, shape: &Shape, now: i64) -> Step {
        let doubles = super::restarts_overlap();
        if rng.u32(..100) < shape.restarts {
            // Under a key, since one that is not answered in time is sent again, and would be one more each time.
            let key = Some(format!("restart-{:x}", rng.u64(..)));
            return if doubles && rng.bool() { Step::DoubleRestart } else { Step::Ask(Ask::Restart, key) };
        }
        if (1..5).contains(&shape.hold_seconds) && rng.u32(..25) == 0 {
            return Step::Wait(rng.u64(300..1300));
        }
        if !self.keyed.is_empty() && rng.u32(..14) == 0 {
            let (ask, key) = self.keyed[rng.usize(..self.keyed.len())].clone();
            let other = if rng.u32(..4) == 0 { self.ask(rng, shape, now) } else { ask };
            return Step::Ask(other.clone(), (!other.is_read()).then_some(key));
        }
        let ask = self.ask(rng, shape, now);
        let key = (!ask.is_read() && rng.u32(..10) < 8).then(|| {
            self.keys_made += 1;
            format!("key-{}", self.keys_made)
        });
        if let Some(key) = &key {
            self.keyed.push((ask.clone(), key.clone()));
        }
        Step::Ask(ask, key)
    }

    fn ask(&mut self, rng: &mut fastrand::Rng, shape: &Shape, now: i64) -> Ask {
        let customer = format!("u{}", rng.u32(..4));
        if rng.u32(..100) < shape.admin {
            return self.admin_ask(rng, now);
        }
        match rng.u32(..100) {
            0..36 => self.grab(rng, customer),
            36..44 => self.join(rng, customer, now),
            44..48 if !self.entries.is_empty() => {
                let entry = self.entries[rng.usize(..self.entries.len())].clone();
                if rng.bool() { Ask::Leave { entry } } else { Ask::ReadEntry { entry } }
            }
            48..84 if !self.orders.is_empty() => self.order_ask(rng),
            84..89 => Ask::ReadFlight,
            89..93 => Ask::ReadSeats,
            93..95 => Ask::ReadManifest,
            _ => self.grab(rng, customer),
        }
    }

    fn grab(&self, rng: &mut fastrand::Rng, customer: String) -> Ask {
        let wanted =
            if rng.u32(..4) == 0 { Wanted::Named(self.seats(rng, 3)) } else { Wanted::Any(rng.usize(1..5)) };
        let together = *rng.choice(&["preferred", "required", "any"]).expect("ways to sit");
        let names = if rng.u32(..3) == 0 { vec![format!("P{}", rng.u32(..9))] } else { Vec::new() };
        Ask::Grab { customer, wanted, class: Self::class(rng), together, names }
    }

    fn join(&self, rng: &mut fastrand::Rng, customer: String, now: i64) -> Ask {
        let size = rng.usize(1..5);
        let accept = match rng.u32(..3) {
            0 => Accept::All,
            1 => Accept::Together,
            _ => Accept::AtLeast(rng.usize(1..=size)),
        };
        let until = (rng.u32(..5) == 0).then(|| now + rng.i64(200..1500));
        Ask::Join { customer, size, accept, class: Self::class(rng), until }
    }

    fn order_ask(&self, rng: &mut fastrand::Rng) -> Ask {
        let (order, total, size) = self.orders[rng.usize(..self.orders.len())].clone();
        match rng.u32(..10) {
            _ if total < 0 => Ask::ReadOrder { order },
            0 | 1 => Ask::Confirm { order, payment: format!("pay-{}", rng.u32(..3)), amount: total },
            2 => Ask::Pay { order },
            3..6 => Ask::Cancel { order, by_delete: rng.bool() },
            6 | 7 => {
                let all: Vec<String> = self.cabins.iter().flat_map(Cabin::seats).flatten().collect();
                let count = if rng.u32(..8) == 0 { 1 } else { size.min(all.len()) };
                let seats = (rng.u32(..3) > 0).then(|| rng.choose_multiple(all, count));
                let named = seats.is_none() || rng.bool();
                let mut names = vec![None; if rng.u32(..8) == 0 { 1 } else { size }];
                if let Some(first) = names.first_mut() {
                    *first = Some(format!("N{}", rng.u32(..9)));
                }
                Ask::Change { order, seats, names: named.then_some(names) }
            }
            _ => Ask::ReadOrder { order },
        }
    }

    fn admin_ask(&mut self, rng: &mut fastrand::Rng, now: i64) -> Ask {
        match rng.u32(..20) {
            0..4 => Ask::Switch { to: "open" },
            4 => Ask::Switch { to: "pause" },
            5 => Ask::Switch { to: "close" },
            6 if rng.u32(..3) == 0 => Ask::CallOff,
            6..9 => Ask::Policy { changes: Self::rules(rng, now) },
            9..12 => Ask::Block { seats: self.seats(rng, 2) },
            12..15 => Ask::Unblock { seats: self.seats(rng, 6) },
            15 if self.rows_made < 3 => {
                self.rows_made += 1;
                let row = 20 + self.rows_made;
                Ask::Rows { cabin: cabin("economy", (row, row), "AB C", 100) }
            }
            15..18 => {
                let by_row = rng.bool();
                let row = 5 + rng.u16(..2);
                let seats = if by_row { Vec::new() } else { self.seats(rng, 3) };
                let rows = by_row.then_some((row, row));
                Ask::Withdraw { rows, seats, cancel_stranded: rng.u32(..3) == 0, dry_run: rng.u32(..3) == 0 }
            }
            _ => {
                let cabins = vec![
                    cabin("business", (1, rng.u16(1..3)), "A C", 200),
                    cabin("economy", (5, 5 + rng.u16(0..3)), "ABC DEF", 100),
                ];
                Ask::Swap { cabins, cancel_stranded: rng.u32(..3) == 0, dry_run: rng.u32(..3) == 0 }
            }
        }
    }

    fn rules(rng: &mut fastrand::Rng, now: i64) -> Map<String, Value> {
        let mut changes = Map::new();
        let mut set = |name: &str, value: Value| changes.insert(name.to_owned(), value);
        match rng.u32(..6) {
            0 => set("hold_seconds", json!(rng.u32(0..3))),
            1 => set("max_seats_per_order", json!(rng.u32(1..6))),
            2 => set("max_seats_per_customer", json!(rng.u32(2..10))),
            3 => set("payment_grace_seconds", json!(rng.u32(0..3))),
            4 => set("closes_at", json!(written(now + rng.i64(100..1500)))),
            _ => set("closes_at", Value::Null),
        };
        changes
    }
}
