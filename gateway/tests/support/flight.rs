//! The flights that the crash tests sell, as the tests know them without asking.
//! Never talks to a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

/// One cabin.
#[derive(Debug, Clone)]
pub(crate) struct Cabin {
    pub(crate) class: &'static str,
    pub(crate) rows: (u16, u16),
    pub(crate) layout: &'static str,
    pub(crate) fare: i64,
}

/// A flight to be sold.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) id: Arc<str>,
    pub(crate) hold_seconds: u32,
    /// Fare of every seat by its name.
    pub(crate) fares: BTreeMap<String, i64>,
    cabins: Vec<Cabin>,
}

impl Flight {
    /// A flight with these cabins.
    pub(crate) fn new(id: &str, hold_seconds: u32, cabins: Vec<Cabin>) -> Self {
        let mut fares = BTreeMap::new();
        for cabin in &cabins {
            for row in cabin.rows.0..=cabin.rows.1 {
                for letter in cabin.layout.chars().filter(|letter| *letter != ' ') {
                    fares.insert(format!("{row}{letter}"), cabin.fare);
                }
            }
        }
        Self { id: id.into(), hold_seconds, fares, cabins }
    }

    /// A flight with so many rows of six economy seats.
    pub(crate) fn economy(id: &str, hold_seconds: u32, rows: u16) -> Self {
        let cabin = Cabin { class: "economy", rows: (1, rows), layout: "ABC DEF", fare: 99_900 };
        Self::new(id, hold_seconds, vec![cabin])
    }

    /// A flight with 20 seats in business and so many rows of six in economy.
    pub(crate) fn two_cabins(id: &str, rows: u16) -> Self {
        let business = Cabin { class: "business", rows: (1, 5), layout: "AC DF", fare: 480_000 };
        let economy = Cabin { class: "economy", rows: (10, 9 + rows), layout: "ABC DEF", fare: 77_700 };
        Self::new(id, 0, vec![business, economy])
    }

    /// How many seats it has.
    pub(crate) fn capacity(&self) -> usize {
        self.fares.len()
    }

    /// Whether its holds run out while a test is on.
    pub(crate) fn expires(&self) -> bool {
        (1..60).contains(&self.hold_seconds)
    }

    /// The body that creates it, on sale.
    pub(crate) fn creation(&self) -> String {
        let cabins: Vec<Value> = self
            .cabins
            .iter()
            .map(|cabin| {
                json!({
                    "cabin_class": cabin.class, "rows": [cabin.rows.0, cabin.rows.1], "layout": cabin.layout,
                    "fare": {"amount": cabin.fare, "currency": "TWD"},
                })
            })
            .collect();
        json!({
            "flight_id": *self.id, "flight_number": "FR101", "origin": "TPE", "destination": "NRT",
            "departs_at": "2030-12-24T08:00:00Z", "cabins": cabins,
            "sale": {"state": "open", "hold_seconds": self.hold_seconds},
        })
        .to_string()
    }

    /// A seat's name, chosen at random.
    pub(crate) fn any_seat(&self, rng: &mut fastrand::Rng) -> String {
        self.fares.keys().nth(rng.usize(..self.fares.len())).expect("a flight has seats").clone()
    }

    /// One of its classes, chosen at random.
    pub(crate) fn any_class(&self, rng: &mut fastrand::Rng) -> &'static str {
        self.cabins[rng.usize(..self.cabins.len())].class
    }
}
