//! Several real processes on one Redis and one MariaDB: owners that are cut off or asleep, claimants that die half-way, and
//! what those say who are asked for flights that others serve. Never waits for a time, only for what is to come about.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::Claim;
use farerush_persistence::store::{Store, StoreOptions};
use rig::{Asked, PATIENCE, Rig, send, start, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use servers::Proxy;
use support::process::Gateway;

/// For how long a flight that has moved may still be shown by the process that had it: a second, and what the machine adds.
const SHOWN_MAX: Duration = Duration::from_millis(1_500);
/// The same for an answer that was on its way.
const ANSWER_MAX: Duration = Duration::from_secs(2);

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

fn epoch(gateway: &Gateway, flight: &str) -> u64 {
    gateway.status_of(flight)["epoch"].as_u64().unwrap_or(0)
}

/// What a claimant does in the store before it comes to the journal.
fn claim_in_store(rig: &Rig, flights: &[&str]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&rig.mariadb.url(), &StoreOptions::default()).await.unwrap();
        let claim = |id: &&str| Claim { flight_id: FlightId::new(id).unwrap(), epoch: Epoch(1) };
        let claims: Vec<Claim> = flights.iter().map(claim).collect();
        assert_eq!(store.claim(&claims).await.unwrap().len(), flights.len());
        store.close().await;
    });
}

/// Sells until the flight has a later epoch than `before`, and what was sold is stored.
fn goes_on_past(gateway: &Gateway, flight: &str, before: u64) {
    let mut sold = 0;
    until("the owner has claimed the flight anew", || {
        let answer = gateway.try_grab(flight, &format!("{flight}-{sold}"));
        match code(&answer) {
            (201 | 200, _) => sold += 1,
            // It takes a moment to come up again.
            (503, "OVERLOADED" | "ELSEWHERE" | "OUTCOME_UNKNOWN") => {}
            _ => panic!("{answer:?}"),
        }
        sold > 0 && epoch(gateway, flight) > before
    });
    gateway.grab(flight, &format!("{flight}-last"));
    until("everything is stored", || {
        let status = gateway.status_of(flight);
        status["stored_seq"] == status["durable_seq"]
    });
}

#[test]
fn a_claimant_that_died_before_the_fence_stops_no_flight() {
    let rig = Rig::new();
    let gateway = start(&rig.plan("one"));
    for flight in ["BUSY", "IDLE"] {
        gateway.create(flight);
        gateway.grab(flight, "first");
    }
    until("both are stored", || {
        ["BUSY", "IDLE"].iter().all(|flight| {
            let status = gateway.status_of(flight);
            status["stored_seq"] == status["durable_seq"] && status["stored_seq"] != 0
        })
    });
    claim_in_store(&rig, &["BUSY", "IDLE"]);
    goes_on_past(&gateway, "BUSY", 1);
    // Nobody asks anything of this one, and it is claimed anew all the same.
    until("the idle one is claimed anew", || epoch(&gateway, "IDLE") > 1);
    assert_eq!(gateway.get("/v1/flights/IDLE").1["available"], 179);
    goes_on_past(&gateway, "IDLE", 1);
    gateway.stop();
    assert!(rig::verify(&rig.plan("one")).contains("2 flights, 0 with a difference"));
}

#[test]
fn a_process_that_dies_at_its_start_between_store_and_journal_stops_no_flight() {
    let rig = Rig::new();
    let gateway = start(&rig.plan("one"));
    for flight in ["FR1", "FR2", "FR3"] {
        gateway.create(flight);
        gateway.grab(flight, "first");
    }
    assert_eq!(gateway.listed().len(), 3);
    // Every answer of Redis takes its time, so that there is some between the claim and the fence.
    let proxy = Proxy::start(rig.redis.address());
    proxy.delay_replies(Some(Duration::from_millis(300)));
    let journal = format!("redis://{}/0", proxy.address());
    let starting = rig.plan("two").with("journal", &journal).start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = runtime.block_on(Store::open(&rig.mariadb.url(), &StoreOptions::default())).unwrap();
    until("it has claimed the flights in the store", || {
        let cursors = runtime.block_on(store.cursors()).unwrap();
        cursors.iter().all(|cursor| cursor.epoch > Epoch(1))
    });
    starting.kill();
    drop(proxy);
    for flight in ["FR1", "FR2", "FR3"] {
        goes_on_past(&gateway, flight, 1);
    }
    gateway.stop();
}

/// Asks the old owner again and again until it does not show the flight as it was; never later than it may.
fn stops_showing(old: &Gateway, flight: &str, stale: &Value, moved: Instant) {
    loop {
        let asked = moved.elapsed();
        let answer = old.get(&format!("/v1/flights/{flight}"));
        if answer.0 == 503 {
            return;
        }
        assert_eq!((answer.0, &answer.1["available"]), (200, stale), "neither as it was nor refused");
        assert!(asked < SHOWN_MAX, "a flight that moved {asked:?} ago is shown as it was");
    }
}

/// A stream of what happens to the flight; `None` if it is refused.
fn follow(gateway: &Gateway, flight: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/flights/{flight}/live HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    (&head[9..12] == b"200").then_some(stream)
}

#[test]
fn an_owner_that_is_cut_off_shows_flights_for_a_second_and_is_not_ready() {
    for hangs in [false, true] {
        let rig = Rig::new();
        let proxy = Proxy::start(rig.redis.address());
        let journal = format!("redis://{}/0", proxy.address());
        let old = start(&rig.plan("old").with("journal", &journal));
        old.create("FR1");
        let order = old.grab("FR1", "k1")["order_id"].as_str().unwrap().to_owned();
        assert_eq!(old.listed().len(), 1);
        let order = format!("/v1/orders/{order}");
        let mut followed = follow(&old, "FR1").expect("it is served");
        assert_eq!((old.get("/readyz").0, old.get(&order).0), (200, 200));
        // Silent, or broken off.
        if hangs {
            proxy.drop_replies(true);
        } else {
            proxy.refuse(true);
            proxy.cut_all();
        }
        let cut = Instant::now();
        let new = start(&rig.plan("new"));
        let moved = Instant::now();
        new.grab("FR1", "k2");
        stops_showing(&old, "FR1", &json!(179), moved);
        for path in ["/v1/flights/FR1", "/v1/flights/FR1/seats", "/v1/flights", &order] {
            let began = Instant::now();
            let answer = old.get(path);
            assert_eq!(code(&answer), (503, "OVERLOADED"), "{path}: {answer:?}");
            assert!(began.elapsed() < ANSWER_MAX, "{path} took {:?}", began.elapsed());
        }
        let (status, ready) = old.get("/readyz");
        assert_eq!((status, &ready["ownership"]["state"]), (503, &json!("uncertain")), "{ready}");
        let refused = old.try_grab("FR1", "k3");
        assert_eq!(refused.0, 503, "{refused:?}");
        // Whoever followed it there is sent away, instead of seeing nothing happen for ever.
        let mut rest = Vec::new();
        followed.read_to_end(&mut rest).unwrap();
        assert!(follow(&old, "FR1").is_none(), "cut for {:?}", cut.elapsed());
        // Back again it is ready, and knows that the flight is not its own any more.
        proxy.heal();
        until("it is ready again", || old.get("/readyz").0 == 200);
        assert_eq!(old.get("/v1/flights/FR1").0, 503);
        assert_eq!(new.available("FR1"), 178);
    }
}

#[test]
fn an_owner_that_slept_shows_nothing_old_when_it_wakes() {
    let rig = Rig::new();
    let (plan, other) = (rig.plan("one"), rig.plan("two"));
    let sleeper = start(&plan);
    let mut owner = start(&other);
    owner.create("FR1");
    let order = owner.grab("FR1", "k0")["order_id"].as_str().unwrap().to_owned();
    let order = format!("/v1/orders/{order}");
    let mut asleep = sleeper;
    for round in 1..=3 {
        // Whoever has it falls asleep, the other one takes it, changes it and wakes the sleeper.
        std::mem::swap(&mut owner, &mut asleep);
        asleep.signal(Signal::STOP);
        let (status, taken) = owner.post("/v1/admin/flights/FR1/restart", "");
        assert_eq!(status, 200, "{taken}");
        let before = owner.available("FR1");
        owner.grab("FR1", &format!("k{round}"));
        let sleeping = Instant::now();
        until("it has slept for longer than anything holds", || sleeping.elapsed() > ANSWER_MAX);
        asleep.signal(Signal::CONT);
        for path in ["/v1/flights/FR1", "/v1/flights", &order, "/v1/flights/FR1", "/v1/flights"] {
            let answer = asleep.get(path);
            assert_eq!(answer.0, 503, "round {round}, {path}, {before} were free: {answer:?}");
        }
    }
}

/// Asks for all of these at the same time, on a connection each.
fn ask_at_once(gateway: &Gateway, paths: &[String]) -> Vec<(u16, Value)> {
    let (address, barrier) = (gateway.address(), Barrier::new(paths.len()));
    std::thread::scope(|scope| {
        let ask = |path| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                send(address, &format!("GET {path}"), "", "")
            })
        };
        let asking: Vec<_> = paths.iter().map(ask).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

#[test]
fn what_others_serve_is_never_denied_however_many_ask() {
    const FLIGHTS: usize = 50;
    let rig = Rig::new();
    let first = start(&rig.plan("one"));
    let second = start(&rig.plan("two"));
    let mut paths = Vec::new();
    let mut denied = Vec::new();
    for number in 0..FLIGHTS {
        let flight = format!("FR{number}");
        // Denied a moment ago, and rightly.
        assert_eq!(code(&second.get(&format!("/v1/flights/{flight}"))), (404, "FLIGHT_NOT_FOUND"));
        first.create(&flight);
        let answer = second.get(&format!("/v1/flights/{flight}"));
        assert_eq!(code(&answer), (503, "ELSEWHERE"), "{flight} is somewhere else, not nowhere");
        let order = first.grab(&flight, "k")["order_id"].as_str().unwrap().to_owned();
        paths.push(format!("/v1/flights/{flight}"));
        paths.push(format!("/v1/orders/{order}"));
        // Between them, what nobody has ever heard of.
        paths.push(format!("/v1/flights/NONE{number}"));
        paths.push(format!("/v1/orders/NONE{number}-{}", order.rsplit('-').next().unwrap()));
        denied.extend([false, false, true, true]);
    }
    for _ in 0..3 {
        for ((path, answer), denied) in paths.iter().zip(ask_at_once(&second, &paths)).zip(&denied) {
            match (answer.0, *denied) {
                (503, false) | (404, true) => {}
                _ => panic!("{path}: {answer:?}"),
            }
        }
    }
    // With the journal away nobody knows, and nobody claims to.
    rig.redis.stop();
    let paths: Vec<String> = (0..20).map(|number| format!("/v1/flights/NONE{number}")).collect();
    for (path, answer) in paths.iter().zip(ask_at_once(&second, &paths)) {
        assert_eq!(code(&answer), (503, "OVERLOADED"), "{path}: {answer:?}");
    }
    rig.redis.cont();
}

/// Grabs that a server has answered with this code.
fn grabs_answered(gateway: &Gateway, outcome: &str) -> f64 {
    let sample = format!("farerush_grabs_total{{outcome=\"{outcome}\"}} ");
    let page = page_of(gateway.address(), "/metrics");
    let count = page.lines().find_map(|line| line.strip_prefix(sample.as_str())?.parse().ok());
    count.unwrap_or(0.0)
}

fn page_of(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn a_flight_that_another_server_has_is_no_overload() {
    let rig = Rig::new();
    let first = start(&rig.plan("one"));
    let second = start(&rig.plan("two"));
    for flight in ["NEVER", "MOVED"] {
        first.create(flight);
    }
    // The one has never been here, the other has, and is not any more.
    for server in [&second, &first] {
        assert_eq!(code(&server.post("/v1/admin/flights/MOVED/restart", "{}")).0, 200);
    }
    for flight in ["NEVER", "MOVED"] {
        until("it is said where it is not", || code(&second.try_grab(flight, "k")) == (503, "ELSEWHERE"));
        let (_, problem) = second.try_grab(flight, "k");
        assert!(problem["detail"].as_str().unwrap().contains("another server"), "{problem}");
        assert_eq!(code(&second.get(&format!("/v1/flights/{flight}"))), (503, "ELSEWHERE"));
        assert_eq!(code(&first.try_grab(flight, "k")).0, 201, "nothing was done there");
    }
    assert_eq!(code(&second.get("/v1/flights")), (503, "ELSEWHERE"));
    assert!(grabs_answered(&second, "ELSEWHERE") >= 4.0);
    assert_eq!(grabs_answered(&second, "OVERLOADED"), 0.0);
}

/// Flights that nobody serves, as a server counts them.
fn unserved(gateway: &Gateway) -> u64 {
    let page = page_of(gateway.address(), "/metrics");
    let count = page.lines().find_map(|line| line.strip_prefix("farerush_flights_unserved ")?.parse().ok());
    count.unwrap_or_else(|| panic!("nobody counts them: {page}"))
}

fn status_names(gateway: &Gateway, list: &str) -> Vec<String> {
    let (_, status) = gateway.get("/v1/admin/status?server=this");
    let name = |flight: &Value| flight["flight_id"].as_str().or(flight.as_str()).unwrap().to_owned();
    let mut names: Vec<String> = status[list].as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

/// What this server has taken over by itself, as it counts.
fn taken_over(gateway: &Gateway) -> u64 {
    let page = page_of(gateway.address(), "/metrics");
    let count = page.lines().find_map(|line| line.strip_prefix("farerush_takeovers_total ")?.parse().ok());
    count.unwrap_or_else(|| panic!("nobody counts them: {page}"))
}

#[test]
fn flights_whose_server_is_gone_are_served_by_the_one_that_is_left() {
    const FLIGHTS: usize = 8;
    let rig = Rig::new();
    let leased = |name: &str| rig.plan(name).with("lease_ms", "600");
    let first = start(&leased("one"));
    let second = start(&leased("two"));
    let names: Vec<String> = (0..FLIGHTS).map(|number| format!("FR{number}")).collect();
    names.iter().for_each(|flight| first.create(flight));
    assert_eq!(second.post("/v1/admin/flights/FR0/restart", "{}").0, 200);
    // Whoever lists flights says that there are others, and no longer has those that another one took.
    until("the list says what it lacks", || {
        let shown = |server: &Gateway| {
            let (_, list) = server.get("/v1/flights");
            (list["flights"].as_array().map_or(0, Vec::len), list["flights_elsewhere"].as_u64().unwrap_or(0))
        };
        shown(&first) == (FLIGHTS - 1, 1) && shown(&second) == (1, FLIGHTS as u64 - 1)
    });
    assert_eq!(status_names(&first, "flights"), names[1..]);
    assert_eq!((unserved(&first), unserved(&second)), (0, 0));
    let members =
        |server: &Gateway| server.get("/v1/admin/status").1["members"].as_array().map_or(0, Vec::len);
    until("each knows both", || members(&first) == 2 && members(&second) == 2);
    // One that dies.
    first.kill();
    until_late("the one that is left has them all", || status_names(&second, "flights") == names);
    assert!(taken_over(&second) >= FLIGHTS as u64 - 1);
    assert_eq!(members(&second), 1);
    names.iter().for_each(|flight| drop(second.grab(flight, "after")));
    // One that goes in order need not be waited for, and one that comes while nobody is there has all of them.
    let third = start(&leased("three").with("take_over_delay_ms", "600000"));
    assert_eq!(status_names(&third, "flights"), [""; 0]);
    second.stop();
    until_late("the one that is left has them all", || status_names(&third, "flights") == names);
    assert_eq!(unserved(&third), 0);
    names.iter().for_each(|flight| drop(third.grab(flight, "last")));
    third.stop();
    assert!(rig::verify(&rig.plan("one")).contains("8 flights, 0 with a difference"));
}

#[test]
fn a_redis_that_comes_back_empty_takes_no_server_its_flights() {
    let rig = Rig::new();
    let leased = |name: &str| rig.plan(name).with("lease_ms", "600");
    let servers = [start(&leased("one")), start(&leased("two"))];
    let mut sold = [0, 0];
    for (number, server) in servers.iter().enumerate() {
        server.create(&format!("FR{number}"));
        server.grab(&format!("FR{number}"), "before");
        sold[number] += 1;
    }
    rig.redis.command(&["FLUSHALL"]).unwrap();
    for (number, server) in servers.iter().enumerate() {
        let flight = format!("FR{number}");
        until_late("the flight sells again where it was", || {
            let key = format!("after-{}", sold[number]);
            match code(&server.try_grab(&flight, &key)) {
                (201 | 200, _) => true,
                (503, _) => false,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(server.available(&flight), 178);
    }
    for server in servers {
        server.stop();
    }
    assert!(rig::verify(&rig.plan("one")).contains("2 flights, 0 with a difference"));
}

/// For what comes about only once a server that died has faded.
fn until_late(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + 4 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

#[test]
fn what_a_new_owner_took_is_never_denied_by_the_one_before() {
    let rig = Rig::new();
    let first = start(&rig.plan("one"));
    let second = start(&rig.plan("two"));
    let mut told = 0;
    for number in 0..12 {
        let flight = format!("FR{number}");
        first.create(&flight);
        let id = |answer: &Value, name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let old = id(&first.grab(&flight, "old"), "order_id");
        let path = format!("/v1/admin/flights/{flight}/restart");
        assert_eq!(code(&second.post(&path, "{}")).0, 200);
        let new = id(&second.grab(&flight, "new"), "order_id");
        let wish = r#"{"customer_id":"u","party_size":9}"#;
        let (_, waits) = second.post(&format!("/v1/flights/{flight}/waitlist"), wish);
        let waits = id(&waits, "waitlist_id");
        // The one before may not have noticed yet. It shows what it knows, and of the rest it says that it does not know.
        told += usize::from(code(&first.get(&format!("/v1/orders/{old}"))).0 == 200);
        let block = format!("/v1/admin/flights/{flight}/seats/block");
        assert_eq!(second.post(&block, r#"{"seats":["30F"]}"#).0, 200);
        let mut asked = [
            (format!("GET /v1/orders/{new}"), ""),
            (format!("POST /v1/orders/{new}/cancel"), ""),
            (format!("PATCH /v1/orders/{new}"), r#"{"passengers":[null]}"#),
            (format!("GET /v1/waitlist/{waits}"), ""),
            (format!("DELETE /v1/waitlist/{waits}"), ""),
            // To the one before, none is blocked, so that there is nothing to do.
            (format!("POST /v1/admin/flights/{flight}/seats/unblock"), r#"{"seats":["30F"]}"#),
        ];
        // With the first one it has noticed.
        let count = asked.len();
        asked.rotate_left(number % count);
        for (path, body) in asked {
            let answer = send(first.address(), &path, "", body);
            // Once it has noticed, it may show what the store has of it by then, which is what the owner shows.
            if let Some(order) = path.strip_prefix("GET /v1/orders/")
                && answer.0 == 200
            {
                assert_eq!(answer.1["proof"], second.get(&format!("/v1/orders/{order}")).1["proof"]);
                continue;
            }
            assert!(matches!(code(&answer), (503, "ELSEWHERE" | "OUTCOME_UNKNOWN")), "{path}: {answer:?}");
        }
        assert_eq!(second.get(&format!("/v1/orders/{new}")).1["status"], "confirmed");
        assert_eq!(second.get(&format!("/v1/waitlist/{waits}")).1["status"], "served");
    }
    println!("{told} of 12 old orders were shown by the owner before");
    // What never was is denied by whoever has the flight.
    let unknown = "/v1/orders/FR0-99zzzzzzzzz";
    until("the owner denies it", || code(&second.get(unknown)) == (404, "ORDER_NOT_FOUND"));
}

#[test]
fn a_flood_of_invented_names_does_not_slow_down_the_sale() {
    const FLOOD: usize = 8;
    let rig = Rig::new();
    let gateway = start(&rig.plan("one"));
    gateway.create("FR1");
    let address = gateway.address();
    let over = std::sync::atomic::AtomicBool::new(false);
    let invented = std::thread::scope(|scope| {
        let flood = |client: usize| {
            let over = &over;
            scope.spawn(move || {
                let mut asked = 0_usize;
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let request = format!("GET /v1/flights/X{client}-{asked}");
                    let answer = send(address, &request, "", "");
                    assert_eq!(answer.0, 404, "{answer:?}");
                    asked += 1;
                }
                asked
            })
        };
        let floods: Vec<_> = (0..FLOOD).map(flood).collect();
        for number in 0..100 {
            let began = Instant::now();
            gateway.grab("FR1", &format!("k{number}"));
            assert!(began.elapsed() < ANSWER_MAX, "a grab took {:?}", began.elapsed());
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        floods.into_iter().map(|flood| flood.join().unwrap()).sum::<usize>()
    });
    println!("{invented} invented names meanwhile");
    assert!(invented > 0);
}
