//! Several real processes on one Redis and one store, under a crowd that asks whichever it reaches: servers come, go in an orderly
//! way, and come back. Each flight has one owner at any time, and no request fails for it. Never waits for a time, only for what
//! is to come about.
//!
//! `FARERUSH_TEST_ROUNDS` sets how often each server is replaced, `FARERUSH_TEST_FLIGHTS` the flights, `FARERUSH_TEST_WAIT_MS` how
//! long a request may have waited at most: a machine that does other things as well says nothing about it, so that it is only
//! shown by default.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rig::{Asked, PATIENCE, Rig, start, until, verify};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::process::{Gateway, Plan, TOKEN};

const SERVERS: usize = 3;
const BUYERS: usize = 6;

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn name(flight: usize) -> String {
    format!("FR{flight}")
}

/// The crowd, and what it was told.
struct Crowd {
    /// Where a balancer would send it.
    addresses: Mutex<Vec<SocketAddr>>,
    flights: usize,
    orders: Mutex<BTreeMap<String, (usize, Vec<String>)>>,
    waits: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
    asked: AtomicUsize,
    is_over: AtomicBool,
}

/// One request on a connection of its own; an error if there is no connection, which a balancer makes good.
fn ask(address: SocketAddr, request: &str, key: &str, body: &str) -> Result<(u16, Value), String> {
    let mut stream =
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(|_| String::new())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let sent = write!(
        stream,
        "{request} HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut answer = String::new();
    sent.and_then(|()| stream.read_to_string(&mut answer)).map_err(|error| format!("no answer: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(format!("half an answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).map_err(|error| format!("{error}: {answer}"))?;
    Ok((status.ok_or("no status")?, body))
}

impl Crowd {
    fn new(flights: usize) -> Self {
        Self {
            addresses: Mutex::default(),
            flights,
            orders: Mutex::default(),
            waits: Mutex::default(),
            failures: Mutex::default(),
            asked: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn buy(&self, buyer: usize) {
        let mut rng = fastrand::Rng::with_seed(buyer as u64);
        let mut number = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            number += 1;
            let flight = rng.usize(..self.flights);
            let (key, began) = (format!("{buyer}-{number}"), Instant::now());
            let body = json!({"customer_id": key, "quantity": 1}).to_string();
            let request = format!("POST /v1/flights/{}/orders", name(flight));
            let answer = loop {
                let address = {
                    let addresses = self.addresses.lock();
                    addresses[rng.usize(..addresses.len())]
                };
                match ask(address, &request, &key, &body) {
                    // Nobody listens there any more: nothing was sent.
                    Err(nothing) if nothing.is_empty() => {}
                    answer => break answer,
                }
            };
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.waits.lock().push(began.elapsed());
            match answer {
                Ok((201, order)) => {
                    let seats = order["seats"].as_array().unwrap();
                    let seats = seats.iter().map(|seat| seat["seat"].as_str().unwrap().to_owned()).collect();
                    let id = order["order_id"].as_str().unwrap().to_owned();
                    self.orders.lock().insert(id, (flight, seats));
                }
                Ok((409, problem)) if problem["code"] == "SOLD_OUT" => {}
                other => self.failures.lock().push(format!("{key} for {}: {other:?}", name(flight))),
            }
        }
    }

    fn fine(&self) {
        let failures = self.failures.lock();
        assert!(
            failures.is_empty(),
            "{} of {}: {failures:#?}",
            failures.len(),
            self.asked.load(Ordering::SeqCst)
        );
    }
}

fn plan(rig: &Rig, name: &str) -> Plan {
    rig.plan(name).with("peer_listen", "auto").with("lease_ms", "2000")
}

/// The flights that a server serves.
fn served(gateway: &Gateway) -> BTreeSet<String> {
    let (_, status) = gateway.get("/v1/admin/status?server=this");
    let flights = status["flights"].as_array().unwrap();
    flights.iter().map(|flight| flight["flight_id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until each flight has one of these servers, and each of them has some.
fn spread(gateways: &[Option<Gateway>], flights: usize) {
    until("the flights are spread over the servers", || {
        let shares: Vec<BTreeSet<String>> = gateways.iter().flatten().map(served).collect();
        let all: BTreeSet<&String> = shares.iter().flatten().collect();
        let count: usize = shares.iter().map(BTreeSet::len).sum();
        all.len() == flights && count == flights && shares.iter().all(|share| share.len() * 12 > flights)
    });
}

#[test]
fn servers_come_and_go_and_no_request_fails() {
    let rig = Rig::new();
    let flights = setting("FARERUSH_TEST_FLIGHTS").unwrap_or(60);
    let rounds = setting("FARERUSH_TEST_ROUNDS").unwrap_or(1);
    let mut gateways: Vec<Option<Gateway>> = vec![Some(start(&plan(&rig, "0")))];
    for flight in 0..flights {
        gateways[0].as_ref().unwrap().create(&name(flight));
    }
    let crowd = Crowd::new(flights);
    let tell = |gateways: &[Option<Gateway>]| {
        *crowd.addresses.lock() = gateways.iter().flatten().map(Gateway::address).collect();
    };
    tell(&gateways);
    std::thread::scope(|scope| {
        for buyer in 0..BUYERS {
            let crowd = &crowd;
            scope.spawn(move || crowd.buy(buyer));
        }
        let ends = Ends(&crowd);
        for server in 1..SERVERS {
            gateways.push(Some(start(&plan(&rig, &server.to_string()))));
            tell(&gateways);
            spread(&gateways, flights);
            crowd.fine();
        }
        for round in 0..rounds * SERVERS {
            let server = round % SERVERS;
            let mut leaving = gateways[server].take().unwrap();
            tell(&gateways);
            leaving.signal(Signal::TERM);
            let status = leaving.wait_exit(PATIENCE).expect("it stops");
            assert!(status.success(), "{status}");
            crowd.fine();
            gateways[server] = Some(start(&plan(&rig, &server.to_string())));
            tell(&gateways);
            spread(&gateways, flights);
            crowd.fine();
        }
        drop(ends);
    });
    crowd.fine();
    let mut waits = crowd.waits.into_inner();
    waits.sort_unstable();
    let part = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    let (p99, longest) = (part(99), part(100));
    println!(
        "{} requests, {} orders; waited: median {:?}, p99 {p99:?}, longest {longest:?}",
        waits.len(),
        crowd.orders.lock().len(),
        part(50)
    );
    if let Some(most) = setting("FARERUSH_TEST_WAIT_MS") {
        assert!(longest <= Duration::from_millis(most as u64), "{longest:?}");
    }
    let mut seats = BTreeSet::new();
    for (n, (id, (flight, taken))) in crowd.orders.lock().iter().enumerate() {
        for seat in taken {
            assert!(seats.insert((*flight, seat.clone())), "{seat} of {} is sold twice", name(*flight));
        }
        let gateway = gateways[n % SERVERS].as_ref().unwrap();
        let (status, order) = gateway.get(&format!("/v1/orders/{id}"));
        assert_eq!(status, 200, "{id}: {order}");
    }
    for gateway in gateways.into_iter().flatten() {
        gateway.kill();
    }
    verify(&plan(&rig, "0"));
}

/// Ends the crowd, whatever ends the test.
struct Ends<'a>(&'a Crowd);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}
