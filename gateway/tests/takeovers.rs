//! Several real processes on one Redis and one store, while a crowd buys and reads: one is killed, put to sleep, or cut off from
//! Redis, again and again. Its flights sell again by themselves, nothing acknowledged is lost, and nobody shows a flight as it was.
//! Never waits for a time, only for what is to come about.
//!
//! `FARERUSH_TEST_ROUNDS` sets the rounds, `FARERUSH_TEST_GAP_MS` how long a flight may not have sold at most: a machine that does
//! other things as well says nothing about it, so that it is only shown by default.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rig::{Asked, PATIENCE, Rig, start, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use servers::Proxy;
use support::process::{Gateway, Plan, TOKEN};

const SERVERS: usize = 3;
const FLIGHTS: usize = 60;
const SEATS: usize = 180;
const BUYERS: usize = 6;
/// Longer than a lease by far: whoever was away for so long has lost its flights.
const AWAY: Duration = Duration::from_millis(1_500);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// What happened on one flight.
#[derive(Debug, Default)]
struct Sold {
    /// Order, seats, and when it was acknowledged.
    orders: Vec<(String, Vec<String>, Instant)>,
    /// Seats that somebody has surely got.
    seats: usize,
    is_sold_out: bool,
}

/// The crowd, and what it was told.
struct Crowd {
    addresses: Mutex<Vec<Option<SocketAddr>>>,
    flights: Vec<Mutex<Sold>>,
    /// Where each flight was served last.
    seen_at: Vec<AtomicUsize>,
    reads: AtomicUsize,
    is_over: AtomicBool,
}

fn name(flight: usize) -> String {
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
    fn new() -> Self {
        Self {
            addresses: Mutex::new(vec![None; SERVERS]),
            flights: (0..FLIGHTS).map(|_| Mutex::default()).collect(),
            seen_at: (0..FLIGHTS).map(|_| AtomicUsize::new(0)).collect(),
            reads: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
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
                Some((503 | 504, _)) | None => server = (server + 1) % SERVERS,
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

    fn run(&self, buyer: usize) {
        let mut count = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let flight = (buyer + count * BUYERS) % FLIGHTS;
            if !self.flights[flight].lock().is_sold_out {
                self.buy(flight, &format!("b{buyer}-{count}"));
            }
            self.read((flight + count) % FLIGHTS, count % SERVERS);
            count += 1;
        }
    }

    /// How long it took from `since` until each of these flights sold again.
    fn gaps(&self, flights: &[usize], since: Instant) -> Vec<Duration> {
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
fn served(gateway: &Gateway) -> Vec<usize> {
    let (_, status) = gateway.get("/v1/admin/status");
    let flights = status["flights"].as_array().cloned().unwrap_or_default();
    let number = |flight: &Value| flight["flight_id"].as_str()?.strip_prefix("FR")?.parse().ok();
    flights.iter().filter_map(number).collect()
}

/// One of the servers, with a way to Redis that can be cut.
struct Server {
    plan: Plan,
    proxy: Proxy,
    gateway: Option<Gateway>,
}

impl Server {
    fn new(rig: &Rig, number: usize, peer_listen: &str) -> Self {
        let proxy = Proxy::start(rig.redis.address());
        let journal = format!("redis://{}/0", proxy.address());
        // It leaves flights where they are; what is nobody's comes to it all the same.
        let plan = rig.plan(&format!("server-{number}")).with("journal", &journal);
        let plan = plan.with("take_over_delay_ms", "600000").with("lease_ms", "600");
        let plan = plan.with("peer_listen", peer_listen);
        Self { plan, proxy, gateway: None }
    }

    fn start(&mut self) -> SocketAddr {
        let gateway = start(&self.plan);
        let address = gateway.address();
        self.gateway = Some(gateway);
        address
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }
}

/// Of sorted times, the one below which so many of a thousand are.
fn per_mille(sorted: &[Duration], part: usize) -> Duration {
    let place = (sorted.len() * part / 1_000).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

#[test]
fn flights_of_a_server_that_is_gone_sell_again_by_themselves() {
    servers_go("none");
}

/// Whoever asks any server waits until there is an owner again; servers that come back are given their share meanwhile.
#[test]
fn they_do_so_where_any_server_is_asked() {
    servers_go("auto");
}

fn servers_go(peer_listen: &str) {
    let rounds = setting("FARERUSH_TEST_ROUNDS").unwrap_or(6);
    let rig = Rig::new();
    let mut all: Vec<Server> = (0..SERVERS).map(|number| Server::new(&rig, number, peer_listen)).collect();
    let crowd = Crowd::new();
    for (number, server) in all.iter_mut().enumerate() {
        crowd.addresses.lock()[number] = Some(server.start());
    }
    (0..FLIGHTS).for_each(|flight| all[0].gateway().create(&name(flight)));
    let mut killed_gaps = Vec::new();
    std::thread::scope(|scope| {
        let crowd = &crowd;
        let _over = Over(&crowd.is_over);
        for buyer in 0..BUYERS {
            scope.spawn(move || {
                let _over = Over(&crowd.is_over);
                crowd.run(buyer);
            });
        }
        for round in 0..rounds {
            // Whoever has most of them.
            let counts: Vec<Vec<usize>> = all.iter().map(|server| served(server.gateway())).collect();
            let victim = (0..SERVERS).max_by_key(|server| counts[*server].len()).unwrap();
            let flights = counts[victim].clone();
            assert!(!crowd.is_over.load(Ordering::Relaxed), "the crowd has given up");
            let began = Instant::now();
            let what = match round % 3 {
                0 => {
                    all[victim].gateway.take().unwrap().kill();
                    let gaps = crowd.gaps(&flights, began);
                    killed_gaps.extend(gaps.iter().copied());
                    crowd.addresses.lock()[victim] = None;
                    crowd.addresses.lock()[victim] = Some(all[victim].start());
                    "killed"
                }
                1 => {
                    // Nobody asks one that does not answer; from when it wakes on, everybody does.
                    let address = crowd.addresses.lock()[victim].take();
                    all[victim].gateway().signal(Signal::STOP);
                    until("it has slept", || began.elapsed() > AWAY);
                    crowd.gaps(&flights, began);
                    crowd.addresses.lock()[victim] = address;
                    all[victim].gateway().signal(Signal::CONT);
                    "asleep"
                }
                _ => {
                    all[victim].proxy.refuse(true);
                    all[victim].proxy.cut_all();
                    until("it was cut off", || began.elapsed() > AWAY);
                    crowd.gaps(&flights, began);
                    all[victim].proxy.heal();
                    "cut off"
                }
            };
            println!(
                "round {round}: server {victim} with {} flights was {what}; all sell again {:?} later",
                flights.len(),
                began.elapsed()
            );
            until("it serves again", || all[victim].gateway().get("/readyz").0 == 200);
        }
    });
    killed_gaps.sort_unstable();
    println!(
        "{} flights of killed servers did not sell for: median {:?}, p99 {:?}, longest {:?}; {} reads",
        killed_gaps.len(),
        per_mille(&killed_gaps, 500),
        per_mille(&killed_gaps, 990),
        per_mille(&killed_gaps, 1_000),
        crowd.reads.load(Ordering::Relaxed)
    );
    if let Some(limit) = setting("FARERUSH_TEST_GAP_MS") {
        assert!(per_mille(&killed_gaps, 1_000) <= Duration::from_millis(limit), "longer than {limit} ms");
    }
    every_order_is_there(&all, &crowd);
    for server in &mut all {
        server.gateway.take().unwrap().stop();
    }
    let table = rig::verify(&rig.plan("server-0"));
    assert!(table.contains(&format!("{FLIGHTS} flights, 0 with a difference")), "{table}");
}

/// Ends the crowd whatever happens, so that a test that fails does not go on for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn every_order_is_there(all: &[Server], crowd: &Crowd) {
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
                    let (status, order) = server.gateway().get(&path);
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
