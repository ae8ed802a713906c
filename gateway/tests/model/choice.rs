//! Which seats a grab may be given: the pages leave a choice, and the model follows it if it is one of those.
//! Never chooses.

use std::collections::{BTreeMap, BTreeSet};

use super::request::Wanted;
use super::state::{Cabin, Flight};

/// Whether these seats are an answer to such a grab. That they are free is seen when they are taken.
pub(crate) fn allowed(
    flight: &Flight,
    wanted: &Wanted,
    class: Option<&str>,
    together: &str,
    seats: &[String],
) -> Result<(), String> {
    let distinct: BTreeSet<&String> = seats.iter().collect();
    if distinct.len() != seats.len() {
        return Err("it has a seat twice".to_owned());
    }
    let classes: Vec<&str> =
        seats.iter().filter_map(|seat| flight.cabin(seat)).map(|cabin| cabin.class.as_str()).collect();
    if class.is_some_and(|class| classes.iter().any(|other| *other != class)) {
        return Err("it sits in another class".to_owned());
    }
    match wanted {
        Wanted::Named(named) if named == seats => return Ok(()),
        Wanted::Named(_) => return Err("it has other seats than named".to_owned()),
        Wanted::Any(quantity) if *quantity == seats.len() => {}
        Wanted::Any(_) => return Err("it has more or fewer seats than asked for".to_owned()),
    }
    let beside = flight.side_by_side(seats);
    if together == "required" {
        return if beside { Ok(()) } else { Err("it sits apart".to_owned()) };
    }
    // The cheapest class that has room; classes of one price are a choice.
    let mut prices: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for Cabin { class, fare, .. } in &flight.cabins {
        let (least, most) = prices.entry(class).or_insert((*fare, *fare));
        (*least, *most) = ((*least).min(*fare), (*most).max(*fare));
    }
    let has_room = |class: &&str| flight.free(Some(class)) >= seats.len();
    let in_one = classes.windows(2).all(|pair| pair[0] == pair[1]);
    let given = classes.first().copied().unwrap_or_default();
    if class.is_none() {
        let cheaper = |other: &&str| !in_one || prices[*other].1 < prices[given].0;
        if let Some(other) = prices.keys().copied().filter(has_room).find(cheaper) {
            return Err(format!("{other} is cheaper and has room"));
        }
    }
    if together == "preferred" && in_one && !beside && flight.widest(Some(given)) >= seats.len() {
        return Err("it sits apart, though there were neighbours".to_owned());
    }
    Ok(())
}
