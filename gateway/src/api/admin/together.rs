//! The status of all servers that share flights, put together from what each says of itself.
//! Never leaves a server out because it does not answer: it is named.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::parts::other_servers::others::{Others, Said};

/// Where a server is asked for its own status; nobody but another server reaches it.
pub const STATUS: &str = "/peers/status";
/// How long another server is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// What adds up.
const SUMS: [&str; 4] = ["in_flight", "rounds", "events", "flights_coming_up"];
/// The same of the way to a journal that may fail over.
const HEALED: [&str; 2] = ["healed_events", "healed_flights"];
/// The same of the way to the store.
const BEHIND_SUMS: [&str; 4] = ["backlog_events", "backlog_bytes", "flights_behind", "reread_events"];
/// What is told of each member.
const OF_MEMBERS: [&str; 3] = ["version", "up_ms", "in_flight"];

/// This server's status with what the others say put in; `None` if it is not what it should be.
pub(super) async fn status(own: &[u8], name: &str, others: &Others) -> Option<Vec<u8>> {
    let mut all: Map<String, Value> = serde_json::from_slice(own).ok()?;
    let said = others.ask(STATUS, Bytes::new(), PATIENCE).await;
    merge(&mut all, name, &said);
    serde_json::to_vec(&all).ok()
}

fn merge(all: &mut Map<String, Value>, name: &str, said: &[Said]) {
    let own: Map<String, Value> = of_member(all);
    let mut flights = BTreeMap::new();
    add_flights(&mut flights, all, name);
    let mut stopped = list_of(all.get("stopped_flights"));
    let mut stuck = list_of(all["write_behind"].get("stuck"));
    let mut elsewhere = number(all.get("flights_elsewhere"));
    let mut members = BTreeMap::new();
    for said in said {
        let status = said.answer.as_deref().and_then(|json| serde_json::from_slice(json).ok());
        let status: Map<String, Value> = match status {
            Some(status) => status,
            None => continue,
        };
        elsewhere = elsewhere.saturating_sub(list_of(status.get("flights")).len() as u64);
        add_flights(&mut flights, &status, &said.server);
        for key in SUMS {
            all[key] = (number(all.get(key)) + number(status.get(key))).into();
        }
        let journal = status.get("journal").cloned().unwrap_or_default();
        for key in HEALED.into_iter().filter(|key| journal.get(key).is_some()) {
            all["journal"][key] = (number(all["journal"].get(key)) + number(journal.get(key))).into();
        }
        let behind = status.get("write_behind").cloned().unwrap_or_default();
        for key in BEHIND_SUMS {
            all["write_behind"][key] =
                (number(all["write_behind"].get(key)) + number(behind.get(key))).into();
        }
        stopped.extend(list_of(status.get("stopped_flights")));
        stuck.extend(list_of(behind.get("stuck")));
        members.insert(said.life.as_str(), of_member(&status));
    }
    for member in all.get_mut("members").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_this = member["is_this"] == true;
        let life = member["life"].as_str().unwrap_or_default();
        let status = if is_this { Some(own.clone()) } else { members.remove(life) };
        if let Some(member) = member.as_object_mut() {
            member.insert("answered".to_owned(), status.is_some().into());
            member.extend(status.unwrap_or_default());
        }
    }
    all["flights"] = flights.into_values().collect();
    all["flights_elsewhere"] = elsewhere.into();
    all["write_behind"]["stuck"] = stuck.into();
    all["stopped_flights"] = stopped.into();
}

fn of_member(status: &Map<String, Value>) -> Map<String, Value> {
    OF_MEMBERS.iter().filter_map(|key| Some(((*key).to_owned(), status.get(*key)?.clone()))).collect()
}

/// One that moves may be told of twice: the later owner knows more of it.
fn add_flights(flights: &mut BTreeMap<String, Value>, status: &Map<String, Value>, server: &str) {
    for mut flight in list_of(status.get("flights")) {
        let Some(flight_id) = flight["flight_id"].as_str().map(str::to_owned) else { continue };
        let is_older = |known: &Value| number(known.get("epoch")) > number(flight.get("epoch"));
        if !flights.get(&flight_id).is_some_and(is_older) {
            flight["server"] = server.into();
            flights.insert(flight_id, flight);
        }
    }
}

fn list_of(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_servers_say_is_put_together_and_one_that_says_nothing_is_named() {
        let status = |flights: Value| {
            json!({
                "version": "1", "up_ms": 7, "in_flight": 1, "rounds": 10, "events": 20, "flights": flights,
                "flights_elsewhere": 2, "flights_coming_up": 3, "stopped_flights": [], "members": [],
                "write_behind": {"backlog_events": 3, "backlog_bytes": 5, "flights_behind": 1, "reread_events": 0,
                                 "stuck": []},
            })
        };
        let flight = |name: &str, epoch: u64| json!({"flight_id": name, "epoch": epoch});
        let mut all = status(json!([flight("B", 1), flight("M", 4)])).as_object().unwrap().clone();
        let member = |life: &str| json!({"server": life, "life": life, "is_this": life == "one"});
        all["members"] = json!([member("one"), member("two"), member("three")]);
        let said = |life: &str, answer: Option<Value>| Said {
            life: life.to_owned(),
            server: life.to_owned(),
            peer: None,
            answer: answer.map(|answer| answer.to_string().into()),
        };
        let two = status(json!([flight("A", 1), flight("M", 5)]));
        merge(&mut all, "one", &[said("two", Some(two)), said("three", None)]);
        let servers: Vec<_> =
            all["flights"].as_array().unwrap().iter().map(|flight| &flight["server"]).collect();
        assert_eq!(servers, ["two", "one", "two"], "{all:#?}");
        assert_eq!((&all["events"], &all["write_behind"]["backlog_bytes"]), (&json!(40), &json!(10)));
        let answered: Vec<_> =
            all["members"].as_array().unwrap().iter().map(|one| &one["answered"]).collect();
        assert_eq!(answered, [true, true, false]);
        assert_eq!(all["members"][1]["up_ms"], 7);
        assert_eq!(all["flights_elsewhere"], 0);
    }
}
