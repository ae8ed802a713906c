//! A crowd that buys one seat after another at whichever server sells it, and reads at all of them; what it was told is checked
//! at the end. For test files that have `rig`, `servers` and `support`.
//! Never looks inside the program.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::rig::{Asked, PATIENCE, until};
use crate::support::process::{Gateway, TOKEN};

const SEATS: usize = 180;

/// What happened on one flight.
#[derive(Debug, Default)]
pub(crate) struct Sold {
    /// Order, seats, and when it was acknowledged.
    pub(crate) orders: Vec<(String, Vec<String>, Instant)>,
    /// Seats that somebody has surely got.
    pub(crate) seats: usize,
    pub(crate) is_sold_out: bool,
}

/// The crowd, and what it was told.
pub(crate) struct Crowd {
    buyers: usize,
    pub(crate) addresses: Mutex<Vec<Option<SocketAddr>>>,
    pub(crate) flights: Vec<Mutex<Sold>>,
    /// Where each flight was served last.
    pub(crate) seen_at: Vec<AtomicUsize>,
    pub(crate) reads: AtomicUsize,
    pub(crate) is_over: AtomicBool,
}

pub(crate) fn name(flight: usize) -> String {
    format!("FR{flight}")
}

fn seats_of(order: &Value) -> Vec<String> {
    let name = |seat: &Value| seat["seat"].as_str().unwrap().to_owned();
    order["seats"].as_array().unwrap().iter().map(name).collect()
}

/// Sends one request; `None` if there is no whole answer.
fn ask(address: SocketAddr, request: &str, key: Option<&str>, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n{key}content-type: \
         application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

impl Crowd {
    /// For so many servers, none of which is there yet, so many flights, and so many buyers.
    pub(crate) fn new(servers: usize, flights: usize, buyers: usize) -> Self {
        Self {
            buyers,
            addresses: Mutex::new(vec![None; servers]),
            flights: (0..flights).map(|_| Mutex::default()).collect(),
            seen_at: (0..flights).map(|_| AtomicUsize::new(0)).collect(),
            reads: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn seen_servers(&self) -> usize {
        self.addresses.lock().len()
    }

    /// How many orders were acknowledged so far.
    pub(crate) fn orders(&self) -> usize {
        self.flights.iter().map(|sold| sold.lock().orders.len()).sum()
    }

    /// Buys one seat, at whichever server sells it, with one key for as long as it takes.
    fn buy(&self, flight: usize, key: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut server = self.seen_at[flight].load(Ordering::Relaxed);
        while !self.is_over.load(Ordering::Relaxed) {
            assert!(Instant::now() < deadline, "{} does not sell: {key}", name(flight));
            let address = self.addresses.lock()[server];
            let request = format!("POST /v1/flights/{}/orders", name(flight));
            let body = json!({"customer_id": key, "quantity": 1}).to_string();
            match address.and_then(|address| ask(address, &request, Some(key), &body)) {
                Some((201 | 200, order)) => {
                    let id = order["order_id"].as_str().unwrap().to_owned();
                    let seats = seats_of(&order);
                    let mut sold = self.flights[flight].lock();
                    sold.seats += seats.len();
                    sold.orders.push((id, seats, Instant::now()));
                    self.seen_at[flight].store(server, Ordering::Relaxed);
                    return;
                }
                Some((409, problem)) => {
                    assert_eq!(problem["code"], "SOLD_OUT", "{problem}");
                    let mut sold = self.flights[flight].lock();
                    sold.is_sold_out = true;
                    return;
                }
                Some((503 | 504, _)) | None => server = (server + 1) % self.seen_servers(),
                Some(answer) => panic!("{}: {answer:?}", name(flight)),
            }
        }
    }

    /// Whoever shows a flight knows of everything that was acknowledged before it was asked.
    fn read(&self, flight: usize, server: usize) {
        let sold = self.flights[flight].lock().seats;
        let Some(address) = self.addresses.lock()[server] else { return };
        let asked = ask(address, &format!("GET /v1/flights/{}", name(flight)), None, "");
        if let Some((200, shown)) = asked {
            let free = usize::try_from(shown["available"].as_u64().unwrap()).unwrap();
            assert!(
                free + sold <= SEATS,
                "server {server} shows {} with {free} free seats, though {sold} were sold before: {shown}",
                name(flight)
            );
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn run(&self, buyer: usize) {
        let mut count = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let flight = (buyer + count * self.buyers) % self.flights.len();
            if !self.flights[flight].lock().is_sold_out {
                self.buy(flight, &format!("b{buyer}-{count}"));
            }
            self.read((flight + count) % self.flights.len(), count % self.seen_servers());
            count += 1;
        }
    }

    /// How long it took from `since` until each of these flights sold again.
    pub(crate) fn gaps(&self, flights: &[usize], since: Instant) -> Vec<Duration> {
        let first = |flight: &usize| {
            let sold = self.flights[*flight].lock();
            let later = sold.orders.iter().map(|(_, _, at)| *at).find(|at| *at > since);
            later.map(|at| at - since)
        };
        let mut gaps = Vec::new();
        until("each of the flights sells again", || {
            gaps = flights.iter().filter_map(first).collect();
            let sold_out = flights.iter().filter(|flight| first(flight).is_none());
            sold_out.clone().all(|flight| self.flights[*flight].lock().is_sold_out)
        });
        gaps
    }
}

/// Which flights a server says it serves.
pub(crate) fn served(gateway: &Gateway) -> Vec<usize> {
    let (_, status) = gateway.get("/v1/admin/status?server=this");
    let flights = status["flights"].as_array().cloned().unwrap_or_default();
    let number = |flight: &Value| flight["flight_id"].as_str()?.strip_prefix("FR")?.parse().ok();
    flights.iter().filter_map(number).collect()
}

/// Of sorted times, the one below which so many of a thousand are.
pub(crate) fn per_mille(sorted: &[Duration], part: usize) -> Duration {
    let place = (sorted.len() * part / 1_000).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

/// Ends the crowd whatever happens, so that a test that fails does not go on for ever.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn every_order_is_there(all: &[&Gateway], crowd: &Crowd) {
    let (mut orders, mut ids) = (0, HashSet::new());
    for (flight, sold) in crowd.flights.iter().enumerate() {
        let sold = sold.lock();
        let mut by_seat: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, seats, _) in &sold.orders {
            assert!(ids.insert(id.clone()), "{id} was given twice");
            for seat in seats {
                let other = by_seat.insert(seat, id);
                assert_eq!(other, None, "{} {seat} was sold twice", name(flight));
            }
            let path = format!("/v1/orders/{id}");
            let mut found = Value::Null;
            until("somebody shows the order", || {
                all.iter().any(|server| {
                    let (status, order) = server.get(&path);
                    assert_ne!(status, 404, "{id} is lost: {order}");
                    if status == 200 {
                        found = order;
                    }
                    status == 200
                })
            });
            assert_eq!(&seats_of(&found), seats, "{found}");
            orders += 1;
        }
    }
    println!("{orders} orders, all of them there");
    assert!(orders > 0);
}
