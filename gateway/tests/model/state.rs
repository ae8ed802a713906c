//! A flight as `docs/api.md` and the pages of the error codes describe it: who has which seat, who waits, what the
//! sale allows. Written from those pages, never from the engine.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::request::{Accept, Ask, read};

/// A cabin; `layout` has a space for each aisle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cabin {
    pub(crate) class: String,
    pub(crate) rows: (u16, u16),
    pub(crate) layout: String,
    pub(crate) fare: i64,
}

impl Cabin {
    pub(crate) fn json(&self) -> Value {
        json!({
            "cabin_class": self.class, "rows": [self.rows.0, self.rows.1], "layout": self.layout,
            "fare": {"amount": self.fare, "currency": "TWD"},
        })
    }

    pub(crate) fn read(value: &Value) -> Self {
        let row = |place: usize| {
            u16::try_from(value["rows"][place].as_u64().unwrap_or_default()).expect("a row up to 999")
        };
        Self {
            class: text(&value["cabin_class"]),
            rows: (row(0), row(1)),
            layout: text(&value["layout"]),
            fare: value["fare"]["amount"].as_i64().unwrap_or_default(),
        }
    }

    /// Its seats, side by side with no aisle between, from left to right.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        (self.rows.0..=self.rows.1).flat_map(|row| {
            let block = move |letters: &str| letters.chars().map(|letter| format!("{row}{letter}")).collect();
            self.layout.split(' ').map(block).collect::<Vec<Vec<String>>>()
        })
    }

    /// Its rows, each with its seats from left to right.
    pub(crate) fn seats(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        (self.rows.0..=self.rows.1).map(|row| {
            self.layout
                .chars()
                .filter(|letter| *letter != ' ')
                .map(|letter| format!("{row}{letter}"))
                .collect()
        })
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) customer: String,
    pub(crate) status: &'static str,
    pub(crate) seats: Vec<String>,
    /// Class and fare of each seat, as it was sold.
    pub(crate) fares: Vec<(String, i64)>,
    pub(crate) names: Vec<Option<String>>,
    pub(crate) hold_until: Option<i64>,
    pub(crate) payment_begun: Option<i64>,
    pub(crate) payment: Option<String>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) seq: u64,
    /// The event that placed it.
    pub(crate) placed: u64,
}

impl Order {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.status, "held" | "confirmed")
    }

    pub(crate) fn total(&self) -> i64 {
        self.fares.iter().map(|(_, fare)| fare).sum()
    }
}

/// A party on the waitlist.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) size: usize,
    pub(crate) accept: Accept,
    pub(crate) class: Option<String>,
    pub(crate) until: Option<i64>,
    pub(crate) status: &'static str,
    pub(crate) order: Option<String>,
    pub(crate) seq: u64,
    pub(crate) updated: i64,
}

/// Whether free seats fit a party. `Perhaps`: the pages leave it open (a customer's limit stands in the way).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fit {
    Yes,
    No,
    Perhaps,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sale {
    /// What an admin last switched it to.
    pub(crate) switch: String,
    pub(crate) opens_at: Option<i64>,
    pub(crate) closes_at: Option<i64>,
    pub(crate) per_order: usize,
    pub(crate) per_customer: usize,
    pub(crate) hold_seconds: i64,
    pub(crate) grace_seconds: i64,
}

impl Sale {
    pub(crate) fn read(details: &Value, switch: &str) -> Self {
        let number = |name: &str| details[name].as_i64().unwrap_or(-1);
        let limit = |name: &str| usize::try_from(number(name)).unwrap_or(0);
        Self {
            switch: details["state"].as_str().unwrap_or(switch).to_owned(),
            opens_at: read(&details["opens_at"]),
            closes_at: read(&details["closes_at"]),
            per_order: limit("max_seats_per_order"),
            per_customer: limit("max_seats_per_customer"),
            hold_seconds: number("hold_seconds"),
            grace_seconds: number("payment_grace_seconds"),
        }
    }

    /// What a customer meets at a moment: the window counts for as long as nobody has switched by hand.
    pub(crate) fn state(&self, at: i64) -> &str {
        if self.closes_at.is_some_and(|closes| closes <= at) {
            return "closed";
        }
        match self.switch.as_str() {
            "scheduled" if self.opens_at.is_some_and(|opens| opens <= at) => "open",
            other => other,
        }
    }
}

/// A flight after some event.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) cabins: Vec<Cabin>,
    pub(crate) blocked: BTreeSet<String>,
    pub(crate) taken: BTreeMap<String, String>,
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) line: Vec<Entry>,
    pub(crate) sale: Sale,
    /// Requests that were granted, and the event of each, by whose key it is and the key.
    pub(crate) keys: BTreeMap<(String, String), (Ask, u64)>,
}

impl Flight {
    /// Whose keys a request comes under: its customer's, or the admins'.
    pub(crate) fn owner(&self, ask: &Ask) -> String {
        let of_order = |id: &str| self.orders.get(id).map(|order| order.customer.clone());
        let of_entry =
            |id: &String| self.line.iter().find(|entry| entry.id == *id).map(|e| e.customer.clone());
        match ask {
            Ask::Grab { customer, .. } | Ask::Join { customer, .. } => Some(customer.clone()),
            Ask::Leave { entry } => of_entry(entry),
            _ => ask.order().and_then(of_order),
        }
        .unwrap_or_else(|| "(admins)".to_owned())
    }

    /// The cabin of a seat that there is.
    pub(crate) fn cabin(&self, seat: &str) -> Option<&Cabin> {
        self.cabins.iter().find(|cabin| cabin.seats().any(|row| row.iter().any(|other| other == seat)))
    }

    pub(crate) fn is_free(&self, seat: &str) -> bool {
        !self.taken.contains_key(seat) && !self.blocked.contains(seat) && self.cabin(seat).is_some()
    }

    pub(crate) fn has_class(&self, class: Option<&str>) -> bool {
        class.is_none_or(|class| self.cabins.iter().any(|cabin| cabin.class == class))
    }

    /// Cabins of a class, or all.
    pub(crate) fn of_class(&self, class: Option<&str>) -> impl Iterator<Item = &Cabin> {
        let class = class.map(str::to_owned);
        self.cabins.iter().filter(move |cabin| class.as_ref().is_none_or(|class| *class == cabin.class))
    }

    fn open_seat(&self, seat: &str) -> bool {
        !self.taken.contains_key(seat) && !self.blocked.contains(seat)
    }

    /// How many seats of a class, or of all, are free.
    pub(crate) fn free(&self, class: Option<&str>) -> usize {
        self.of_class(class).flat_map(Cabin::seats).flatten().filter(|seat| self.open_seat(seat)).count()
    }

    /// Most free seats side by side: in one row, no aisle between them.
    pub(crate) fn widest(&self, class: Option<&str>) -> usize {
        let widest = |block: Vec<String>| {
            let (mut run, mut most) = (0, 0);
            for seat in block {
                run = if self.open_seat(&seat) { run + 1 } else { 0 };
                most = most.max(run);
            }
            most
        };
        self.of_class(class).flat_map(Cabin::blocks).map(widest).max().unwrap_or(0)
    }

    /// Whether seats are neighbours: in one row, no aisle between them.
    pub(crate) fn side_by_side(&self, seats: &[String]) -> bool {
        self.cabins.iter().flat_map(Cabin::blocks).any(|row| {
            let mut places: Vec<usize> =
                seats.iter().filter_map(|seat| row.iter().position(|other| other == seat)).collect();
            places.sort_unstable();
            places.len() == seats.len() && places.windows(2).all(|pair| pair[1] == pair[0] + 1)
        })
    }

    /// Seats that a customer has in live orders.
    pub(crate) fn holding(&self, customer: &str) -> usize {
        let mine = self.orders.values().filter(|order| order.is_live() && order.customer == customer);
        mine.map(|order| order.seats.len()).sum()
    }

    /// Whether the seats that are free now fit a party.
    pub(crate) fn fit(&self, entry: &Entry) -> Fit {
        let class = entry.class.as_deref();
        let free = self.free(class);
        let (least, fits) = match entry.accept {
            Accept::All => (entry.size, free >= entry.size),
            Accept::Together => (entry.size, self.widest(class) >= entry.size),
            Accept::AtLeast(least) => (least, free >= least),
        };
        let allowed =
            self.sale.per_order.min(self.sale.per_customer.saturating_sub(self.holding(&entry.customer)));
        match (fits, least <= allowed) {
            (false, _) => Fit::No,
            (true, true) => Fit::Yes,
            (true, false) => Fit::Perhaps,
        }
    }

    /// The first party that should have had seats before anybody asks, if there is one.
    pub(crate) fn owed(&self, at: i64) -> Option<&Entry> {
        if self.sale.state(at) != "open" {
            return None;
        }
        let waits = |entry: &&Entry| entry.status == "waiting" && entry.until.is_none_or(|until| until > at);
        self.line.iter().filter(waits).find(|entry| self.fit(entry) == Fit::Yes)
    }

    /// Which live orders a new plan has no place for: the paid before the held, the earlier before the later, each
    /// as long as seats of its classes and fares are left.
    pub(crate) fn stranded(&self, cabins: &[Cabin], blocked: &BTreeSet<String>) -> BTreeSet<String> {
        let mut left: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for cabin in cabins {
            let open = cabin.seats().flatten().filter(|seat| !blocked.contains(seat)).count();
            *left.entry((cabin.class.clone(), cabin.fare)).or_default() += open;
        }
        let mut live: Vec<(&String, &Order)> =
            self.orders.iter().filter(|(_, order)| order.is_live()).collect();
        live.sort_by_key(|(_, order)| (order.status != "confirmed", order.placed));
        let mut stranded = BTreeSet::new();
        for (id, order) in live {
            let mut rest = left.clone();
            let fits = order.fares.iter().all(|fare| match rest.get_mut(fare) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            });
            if fits {
                left = rest;
            } else {
                stranded.insert(id.clone());
            }
        }
        stranded
    }
}

/// All seats of some cabins.
pub(crate) fn seats_of(cabins: &[Cabin]) -> BTreeSet<String> {
    cabins.iter().flat_map(Cabin::seats).flatten().collect()
}
