//! The check of the promises after a crash: every acknowledged order, every key, every seat, every list.
//! Never passes over a difference: the first one is a panic that says what was promised and what is there.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use super::client::{Client, Outcome, Request, Response};
use super::flight::Flight;
use super::ledger::{Grab, Seen, State, Status};
use super::load::ask_change;

/// How long a system that is whole again may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to rest before asking again.
const REST: Duration = Duration::from_millis(5);
/// How many clients check at once.
const CLIENTS: usize = 16;

/// Finds out what became of every grab and every change that nobody knows of, and that everything acknowledged is
/// there, under its id and under its key.
pub(crate) async fn settle(address: SocketAddr, grabs: Vec<Grab>) -> Vec<Grab> {
    let mut shares: Vec<Vec<Grab>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (place, grab) in grabs.into_iter().enumerate() {
        shares[place % CLIENTS].push(grab);
    }
    let mut tasks = JoinSet::new();
    for mut share in shares {
        tasks.spawn(async move {
            let mut client = Client::new(address);
            for grab in &mut share {
                settle_one(&mut client, grab).await;
            }
            share
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn settle_one(client: &mut Client, grab: &mut Grab) {
    let path = grab.path();
    if let (State::Unknown, Some(key)) = (&grab.state, grab.key.clone()) {
        match insist(client, &Request::post(&path, &grab.body).under(Some(&key))).await {
            Ok(response) => grab.acknowledged(&response),
            Err(code) => grab.state = State::Nothing(code),
        }
    }
    let flight = grab.flight.clone();
    let Some(order) = grab.order_mut() else { return };
    let order_path = format!("/v1/orders/{}", order.seen.id);
    let found = insist(client, &Request::get(&order_path)).await;
    let found = found.unwrap_or_else(|code| panic!("acknowledged, and now {code}: {order:?}"));
    order.observe(Seen::parse(&found.body, &flight));
    if let Some(change) = order.pending.clone() {
        let deadline = Instant::now() + PATIENCE;
        let outcome = loop {
            let outcome = ask_change(client, &order.seen.id, &change).await;
            if !again(&outcome, deadline, &order_path).await {
                break outcome;
            }
        };
        match outcome {
            Outcome::Done(response) => order.changed(&change, Seen::parse(&response.body, &flight)),
            Outcome::Refused(code) => order.refused(&change, &code, &flight),
            _ => unreachable!("asked until it was known"),
        }
    }
    if let Some(key) = grab.key.clone() {
        let replayed = insist(client, &Request::post(&path, &grab.body).under(Some(&key))).await;
        let replayed =
            replayed.unwrap_or_else(|code| panic!("{grab:?} was repeated and refused with {code}"));
        grab.acknowledged(&replayed);
    }
}

/// Sends a request until it is done or refused; it must be one that may be repeated.
pub(crate) async fn insist(client: &mut Client, request: &Request<'_>) -> Result<Response, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.call(request).await {
            Outcome::Done(response) => return Ok(response),
            Outcome::Refused(code) => return Err(code),
            outcome => again(&outcome, deadline, request).await,
        };
    }
}

async fn again(outcome: &Outcome, deadline: Instant, what: impl std::fmt::Debug) -> bool {
    if matches!(outcome, Outcome::Done(_) | Outcome::Refused(_)) {
        return false;
    }
    assert!(Instant::now() < deadline, "still {outcome:?} after {PATIENCE:?}: {what:?}");
    tokio::time::sleep(REST).await;
    true
}

/// What a check of a flight found.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) free: usize,
    pub(crate) live_seats: usize,
    pub(crate) orders: usize,
}

/// Checks that the flight has exactly the orders that its ledger says, that no seat is in two of them, and that the
/// seat map shows exactly their seats. `grabs` are all that were ever sent to it, and nothing of them is on its way.
pub(crate) async fn check_flight(address: SocketAddr, flight: &Flight, grabs: &mut [Grab]) -> Found {
    let mut client = Client::new(address);
    let map = seat_map(&mut client, flight).await;
    let listed = listed_orders(&mut client, flight).await;
    let mut by_id = HashMap::new();
    let mut by_customer = HashMap::new();
    for (place, grab) in grabs.iter().enumerate() {
        by_customer.insert(grab.customer.clone(), place);
        if let Some(order) = grab.order() {
            let before = by_id.insert(order.seen.id.clone(), place);
            assert!(before.is_none(), "two grabs were given one order: {grab:?}");
        }
    }
    let orders = listed.len();
    for seen in listed {
        if let Some(place) = by_id.remove(&seen.id) {
            grabs[place].takes(seen, true);
            continue;
        }
        let place = by_customer.get(&seen.customer).unwrap_or_else(|| panic!("nobody's order: {seen:?}"));
        let grab = &mut grabs[*place];
        let may_be = matches!(grab.state, State::Unknown);
        assert!(may_be, "an order that was denied, or a second one for its grab: {seen:?}, but {grab:?}");
        grab.takes(seen, true);
    }
    if let Some(place) = by_id.values().next() {
        panic!("acknowledged, but in no list: {:?}", grabs[*place]);
    }
    for grab in grabs.iter_mut().filter(|grab| matches!(grab.state, State::Unknown)) {
        grab.state = State::Nothing("it was lost on its way".to_owned());
    }
    let live_seats = compare_seats(&map, grabs);
    let shown = insist(&mut client, &Request::get(&format!("/v1/flights/{}", flight.id))).await;
    let shown = shown.unwrap_or_else(|code| panic!("{}: {code}", flight.id)).body;
    let free = flight.capacity() - live_seats;
    assert_eq!(shown["capacity"].as_u64(), Some(flight.capacity() as u64), "{shown}");
    assert_eq!(shown["available"].as_u64(), Some(free as u64), "{live_seats} seats are sold: {shown}");
    Found { free, live_seats, orders }
}

/// Compares the seat map with the seats of all live orders; says how many there are.
fn compare_seats(map: &BTreeMap<String, String>, grabs: &[Grab]) -> usize {
    let mut owners: BTreeMap<&str, &Seen> = BTreeMap::new();
    for seen in grabs.iter().filter_map(Grab::order).map(|order| &order.seen) {
        for seat in seen.seats.iter().filter(|_| seen.status.is_live()) {
            if let Some(other) = owners.insert(seat, seen) {
                panic!("seat {seat} is in two live orders: {other:?} and {seen:?}");
            }
        }
    }
    for (seat, status) in map {
        let expected = match owners.get(seat.as_str()) {
            None => "free",
            Some(seen) if seen.status == Status::Held => "held",
            Some(_) => "sold",
        };
        assert_eq!(status, expected, "seat {seat} on the map; its order: {:?}", owners.get(seat.as_str()));
    }
    owners.len()
}

/// Every seat with its status; of a flight whose holds run out, once none is left.
async fn seat_map(client: &mut Client, flight: &Flight) -> BTreeMap<String, String> {
    let path = format!("/v1/flights/{}/seats", flight.id);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown =
            insist(client, &Request::get(&path)).await.unwrap_or_else(|code| panic!("{path}: {code}"));
        let list = |value: &Value, field: &str| value[field].as_array().expect("a list").clone();
        let mut map = BTreeMap::new();
        for cabin in list(&shown.body, "cabins") {
            for seat in list(&cabin, "rows").iter().flat_map(|row| list(row, "seats")) {
                let text = |field: &str| seat[field].as_str().expect("a text").to_owned();
                let before = map.insert(text("seat"), text("status"));
                assert!(before.is_none(), "a seat twice on the map of {}: {seat}", flight.id);
            }
        }
        let held = map.values().any(|status| status == "held");
        if flight.expires() && held {
            assert!(Instant::now() < deadline, "holds of {} do not run out", flight.id);
            tokio::time::sleep(REST).await;
            continue;
        }
        assert!(map.keys().eq(flight.fares.keys()), "the map of {} has other seats", flight.id);
        return map;
    }
}

/// All orders of a flight, from the store, once it has caught up.
async fn listed_orders(client: &mut Client, flight: &Flight) -> Vec<Seen> {
    let deadline = Instant::now() + PATIENCE;
    let mut orders = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/admin/orders?flight_id={}&limit=200{cursor}", flight.id);
        let page = insist(client, &Request::get(&path)).await.unwrap_or_else(|code| panic!("{path}: {code}"));
        if page.body["up_to_date"] != true {
            assert!(Instant::now() < deadline, "the store does not catch up: {}", status(client).await);
            continue;
        }
        let listed = page.body["orders"].as_array().expect("a list of orders");
        orders.extend(listed.iter().map(|order| Seen::parse(order, flight)));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return orders,
        }
    }
}

/// The status page.
pub(crate) async fn status(client: &mut Client) -> Value {
    let shown = insist(client, &Request::get("/v1/admin/status")).await;
    shown.unwrap_or_else(|code| panic!("/v1/admin/status: {code}")).body
}
