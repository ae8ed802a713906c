//! Whose key a request came under, and what came of it, as text of the table `requests`.
//! Never runs a statement.

use std::sync::Arc;

use farerush_engine::flight::reseat::Moved;
use farerush_engine::flight::{CustomerId, KeyOwner, OrderNo, Outcome, Reseated};
use serde::{Deserialize, Serialize};

use super::column_text::{seats_from_text, seats_text};

/// The owner of an admin's key.
const ADMINS: &str = "admins";
/// What stands in front of a customer's id, so that no customer can be called like the admins.
const CUSTOMER: &str = "customer:";

pub(super) fn owner_text(owner: &KeyOwner) -> String {
    match owner {
        KeyOwner::Customer(customer) => format!("{CUSTOMER}{}", customer.as_str()),
        KeyOwner::Admins => ADMINS.to_owned(),
        KeyOwner::Unsaid => String::new(),
    }
}

pub(super) fn owner_from_text(text: &str) -> Result<KeyOwner, String> {
    match text.strip_prefix(CUSTOMER) {
        Some(id) => CustomerId::new(id).map(KeyOwner::Customer).map_err(|error| error.to_string()),
        None if text == ADMINS => Ok(KeyOwner::Admins),
        None if text.is_empty() => Ok(KeyOwner::Unsaid),
        None => Err("neither a customer's nor the admins'".to_owned()),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeText {
    Closed { cancelled: u32 },
    Reseated(ReseatedText),
}

#[derive(Serialize, Deserialize)]
struct ReseatedText {
    capacity: u32,
    kept: u32,
    /// Order, seats it had, seats it got.
    moved: Vec<(u64, String, String)>,
    split: Vec<u64>,
    /// Order, and whether it had been confirmed.
    stranded: Vec<(u64, bool)>,
}

/// Nothing where the flight, the order or the entry shows it.
pub(super) fn text(outcome: &Outcome) -> Option<String> {
    let text = match outcome {
        Outcome::Shown => return None,
        Outcome::Closed { cancelled } => OutcomeText::Closed { cancelled: *cancelled },
        Outcome::Reseated(told) => {
            let moved = |moved: &Moved| (moved.order.0, seats_text(&moved.from), seats_text(&moved.to));
            OutcomeText::Reseated(ReseatedText {
                capacity: told.capacity,
                kept: told.kept,
                moved: told.moved.iter().map(moved).collect(),
                split: told.split.iter().map(|no| no.0).collect(),
                stranded: told.stranded.iter().map(|(no, confirmed)| (no.0, *confirmed)).collect(),
            })
        }
    };
    serde_json::to_string(&text).ok()
}

pub(super) fn from_text(text: &str) -> Result<Outcome, String> {
    Ok(match serde_json::from_str(text).map_err(|error| error.to_string())? {
        OutcomeText::Closed { cancelled } => Outcome::Closed { cancelled },
        OutcomeText::Reseated(told) => {
            let moved = |(no, from, to): (u64, String, String)| {
                Ok(Moved { order: OrderNo(no), from: seats_from_text(&from)?, to: seats_from_text(&to)? })
            };
            Outcome::Reseated(Arc::new(Reseated {
                capacity: told.capacity,
                kept: told.kept,
                moved: told.moved.into_iter().map(moved).collect::<Result<_, String>>()?,
                split: told.split.into_iter().map(OrderNo).collect(),
                stranded: told.stranded.into_iter().map(|(no, confirmed)| (OrderNo(no), confirmed)).collect(),
            }))
        }
    })
}
