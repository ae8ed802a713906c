//! Webhooks from the other_servers: the real program, and a receiver of our own that takes, refuses, hangs or is not there.
//! Signatures are checked by what the page says, run by Python. `FARERUSH_TEST_SEED` replays.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use support::client::{Client, Outcome, Request};
use support::process::{Gateway, Plan};

const SECRET: &str = "whsec-of-the-tests-0123456789abcdef";
/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer to a grab, whatever the receiver does; far beyond what one takes.
const GRAB_PATIENCE: Duration = Duration::from_secs(5);

/// What the receiver does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Take,
    /// Answers with this status.
    Refuse(u16),
    /// Reads it and never answers.
    Hang,
}

/// A delivery as it came.
#[derive(Debug, Clone)]
struct Delivery {
    /// The header `farerush-delivery`.
    id: String,
    signature: String,
    body: Vec<u8>,
    json: Value,
}

impl Delivery {
    fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap()
    }

    fn flight(&self) -> &str {
        self.json["flight_id"].as_str().unwrap()
    }

    fn seq(&self) -> u64 {
        self.json["seq"].as_u64().unwrap()
    }

    fn order(&self) -> &str {
        self.json["data"]["order_id"].as_str().unwrap_or_default()
    }
}

struct State {
    mode: Mode,
    taken: Vec<Delivery>,
    /// All that came, taken or not.
    attempts: u64,
}

/// Takes deliveries on threads of its own, until it is dropped.
struct Receiver {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
    is_open: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let state = State { mode: Mode::Take, taken: Vec::new(), attempts: 0 };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut receiver =
            Self { address, state: Arc::new((Mutex::new(state), Condvar::new())), is_open: Arc::default() };
        receiver.listen(listener);
        receiver
    }

    fn listen(&mut self, listener: TcpListener) {
        self.is_open = Arc::new(AtomicBool::new(true));
        let (state, is_open) = (self.state.clone(), self.is_open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::SeqCst) {
                    return;
                }
                let (state, is_open) = (state.clone(), is_open.clone());
                std::thread::spawn(move || drop(serve(stream, &state, &is_open)));
            }
        });
    }

    /// Nobody listens any more, and connections that are open are closed at their next delivery.
    fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the listener, which ends
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < until, "the receiver does not close");
        }
    }

    fn reopen(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.listen(listener);
    }

    fn set(&self, mode: Mode) {
        self.state.0.lock().mode = mode;
    }

    fn attempts(&self) -> u64 {
        self.state.0.lock().attempts
    }

    fn taken(&self) -> Vec<Delivery> {
        self.state.0.lock().taken.clone()
    }

    /// Waits until what it has fits.
    #[track_caller]
    fn wait(&self, what: &str, fits: impl Fn(&State) -> bool) -> Vec<Delivery> {
        let until = Instant::now() + PATIENCE;
        let (state, changed) = &*self.state;
        let mut state = state.lock();
        while !fits(&state) {
            let timed_out = changed.wait_until(&mut state, until).timed_out();
            assert!(!timed_out, "{what}: after {PATIENCE:?} the receiver has {:#?}", summary(&state.taken));
        }
        state.taken.clone()
    }

    #[track_caller]
    fn wait_ids(&self, ids: usize) -> Vec<Delivery> {
        self.wait(&format!("{ids} deliveries"), |state| {
            state.taken.iter().map(|delivery| &delivery.id).collect::<BTreeSet<_>>().len() >= ids
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_open.store(false, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn summary(taken: &[Delivery]) -> Vec<String> {
    taken.iter().map(|delivery| format!("{} {}", delivery.id, delivery.kind())).collect()
}

fn serve(stream: TcpStream, state: &(Mutex<State>, Condvar), is_open: &AtomicBool) -> std::io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let (mut first, mut headers) = (String::new(), BTreeMap::new());
        if requests.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            requests.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        requests.read_exact(&mut body)?;
        if !is_open.load(Ordering::SeqCst) {
            return Ok(());
        }
        assert_eq!(first, "POST /hooks/farerush HTTP/1.1\r\n");
        assert_eq!(headers["content-type"], "application/json");
        let mode = {
            let mut state = state.0.lock();
            state.attempts += 1;
            if state.mode == Mode::Take {
                let json = serde_json::from_slice(&body).unwrap();
                let id = headers["farerush-delivery"].clone();
                state.taken.push(Delivery {
                    id,
                    signature: headers["farerush-signature"].clone(),
                    body,
                    json,
                });
            }
            state.mode
        };
        state.1.notify_all();
        let status = match mode {
            Mode::Take => 200,
            Mode::Refuse(status) => status,
            Mode::Hang => {
                let mut rest = Vec::new();
                return requests.read_to_end(&mut rest).map(drop);
            }
        };
        let location = "location: http://127.0.0.1:1/elsewhere\r\n";
        answers
            .write_all(format!("HTTP/1.1 {status} X\r\n{location}content-length: 0\r\n\r\n").as_bytes())?;
    }
}

/// The program with webhooks, and a client.
struct World {
    // Dropped in this order.
    gateway: Option<Gateway>,
    client: Client,
    runtime: tokio::runtime::Runtime,
    plan: Plan,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(receiver: &Receiver) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = with_webhooks(&Plan::embedded(folder.path()), receiver);
        Self::of(plan, folder)
    }

    fn of(plan: Plan, folder: tempfile::TempDir) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut world = Self { gateway: None, client, runtime, plan, _folder: folder };
        world.start();
        world
    }

    fn start(&mut self) {
        let mut gateway = self.plan.start();
        let address = gateway.wait_ready(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        self.client = Client::new(address);
        self.gateway = Some(gateway);
    }

    fn address(&self) -> SocketAddr {
        self.gateway.as_ref().unwrap().address()
    }

    fn kill(&mut self) {
        self.gateway.take().unwrap().kill();
    }

    fn stop(&mut self) {
        self.gateway.take().unwrap().stop();
    }

    fn log(&self) -> String {
        self.gateway.as_ref().unwrap().log_text()
    }

    #[track_caller]
    fn ask(&mut self, request: &Request<'_>) -> Value {
        match self.runtime.block_on(self.client.call(request)) {
            Outcome::Done(response) => response.body,
            other => panic!("{request:?} came to {other:?}"),
        }
    }

    #[track_caller]
    fn create(&mut self, id: &str, rows: u16, hold_seconds: u32) {
        let flight = support::flight::Flight::economy(id, hold_seconds, rows);
        self.ask(&Request::post("/v1/admin/flights", &flight.creation()));
    }

    /// Grabs seats and gives the order.
    #[track_caller]
    fn grab(&mut self, flight: &str, customer: &str, quantity: u32) -> Value {
        let body = json!({"customer_id": customer, "quantity": quantity}).to_string();
        let began = Instant::now();
        let order = self.ask(&Request::post(&format!("/v1/flights/{flight}/orders"), &body));
        assert!(began.elapsed() < GRAB_PATIENCE, "a grab took {:?}", began.elapsed());
        order
    }

    fn webhooks(&mut self) -> Value {
        self.ask(&Request::get("/v1/admin/status"))["webhooks"].clone()
    }

    #[track_caller]
    fn wait_status(&mut self, what: &str, fits: impl Fn(&Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.webhooks();
            if fits(&status) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {status:#}");
            std::thread::sleep(support::process::POLL);
        }
    }
}

fn with_webhooks(plan: &Plan, receiver: &Receiver) -> Plan {
    plan.clone()
        .with("webhook_url", &format!("http://{}/hooks/farerush", receiver.address))
        .with("webhook_secret", SECRET)
        .with("webhook_timeout_ms", "400")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Each flight's events must come by rising seq; what is repeated must be the same delivery. Gives the seqs that came.
#[track_caller]
fn check_order(taken: &[Delivery]) -> BTreeMap<String, BTreeSet<u64>> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_id: BTreeMap<String, (Value, Value, u64)> = BTreeMap::new();
    let mut seqs: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for delivery in taken {
        assert_eq!(delivery.json["id"], delivery.id.as_str());
        // The flight, eight digits of its owner, and the event.
        let named = delivery.id.strip_prefix(&format!("{}-", delivery.flight())).unwrap_or_default();
        let (owner, event) = named.split_once('.').unwrap_or_default();
        assert!(owner.len() == 8 && owner.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", delivery.id);
        assert_eq!(event.split('-').next(), Some(delivery.seq().to_string().as_str()), "{}", delivery.id);
        let what = (delivery.json["type"].clone(), delivery.json["created_at"].clone(), delivery.seq());
        let known = by_id.entry(delivery.id.clone()).or_insert_with(|| what.clone());
        assert_eq!(*known, what, "{} came as two different things", delivery.id);
        let all = seqs.entry(delivery.flight().to_owned()).or_default();
        if all.insert(delivery.seq()) {
            let before = newest.insert(delivery.flight().to_owned(), delivery.seq());
            assert!(before < Some(delivery.seq()), "{} came after {before:?}", delivery.id);
        }
    }
    seqs
}

/// What the page tells people to do, done by Python to each of these: (secret, header, body, seconds from now).
fn python_says(cases: &[(&str, &str, &[u8], i64)]) -> Vec<bool> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/webhooks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let code = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let program = format!(
        "{code}\nimport json, sys\nreal = time.time\nfor line in sys.stdin:\n    case = json.loads(line)\n    \
         time.time = lambda: real() + case['later']\n    \
         print(is_from_farerush(case['secret'], case['header'], bytes(case['body'])))\n"
    );
    let mut python = Command::new("python3")
        .args(["-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 (Debian package python3) starts");
    let mut input = python.stdin.take().unwrap();
    for (secret, header, body, later) in cases {
        let case = json!({"secret": secret, "header": header, "body": body, "later": later});
        writeln!(input, "{case}").unwrap();
    }
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line == "True").collect()
}

#[test]
fn an_order_s_whole_life_is_delivered_signed_and_in_order() {
    let receiver = Receiver::start();
    let mut world = World::new(&receiver);
    world.create("WH1", 1, 600);
    world.create("WH2", 1, 1);
    let paid = world.grab("WH1", "ann", 2);
    let paid_id = text(&paid["order_id"]).to_owned();
    let confirm = format!("/v1/orders/{paid_id}/confirm");
    let payment = json!({"payment_reference": "p-1", "seq": paid["seq"]}).to_string();
    let confirmed = world.ask(&Request::post(&confirm, &payment));
    let given_up = world.grab("WH1", "bob", 4);
    let given_up_id = text(&given_up["order_id"]).to_owned();
    let cancelled = world.ask(&Request::post(&format!("/v1/orders/{given_up_id}/cancel"), "{}"));
    let late = world.grab("WH2", "cat", 1);
    let late_id = text(&late["order_id"]).to_owned();
    // Two orders with two and two, the last seats of WH1, and one that expires.
    let taken = receiver.wait_ids(7);
    check_order(&taken);
    let of = |flight: &str| -> Vec<&Delivery> {
        taken.iter().filter(|delivery| delivery.flight() == flight).collect()
    };
    let told: Vec<(&str, &str)> =
        of("WH1").iter().map(|delivery| (delivery.kind(), delivery.order())).collect();
    assert_eq!(
        told,
        [
            ("order.held", &*paid_id),
            ("order.confirmed", &paid_id),
            ("order.held", &given_up_id),
            ("flight.sold_out", ""),
            ("order.cancelled", &given_up_id),
        ]
    );
    let told: Vec<(&str, &str)> =
        of("WH2").iter().map(|delivery| (delivery.kind(), delivery.order())).collect();
    assert_eq!(told, [("order.held", &*late_id), ("order.expired", &late_id)]);
    // The order as it was at the event, though it has gone on since.
    let same = |delivery: &Delivery, order: &Value| {
        for member in
            ["order_id", "status", "seats", "total", "customer_id", "seq", "hold_expires_at", "updated_at"]
        {
            assert_eq!(delivery.json["data"][member], order[member], "{member} of {}", delivery.json);
        }
    };
    for (place, order) in [(0, &paid), (1, &confirmed), (2, &given_up), (4, &cancelled)] {
        same(of("WH1")[place], order);
    }
    let sold_out = of("WH1")[3];
    assert_eq!(
        (&sold_out.json["data"]["available"], &sold_out.json["data"]["capacity"]),
        (&json!(0), &json!(6))
    );
    assert_eq!(sold_out.id, format!("{}-2", of("WH1")[2].id));

    // What Python makes of the signatures: theirs, and with everything about them changed.
    let signature = |delivery: &Delivery| delivery.signature.clone();
    let all: Vec<_> =
        taken.iter().map(|delivery| (SECRET, delivery.signature.as_str(), &delivery.body[..], 0)).collect();
    assert!(python_says(&all).into_iter().all(|agrees| agrees), "Python does not agree with a signature");
    let one = &taken[0];
    let header = signature(one);
    let mut other_body = one.body.clone();
    *other_body.last_mut().unwrap() = b' ';
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (_, mac) = header.split_once(',').unwrap();
    let younger = format!("t={},{mac}", now + 200);
    let cases = [
        (SECRET, header.as_str(), &one.body[..], 0, true),
        ("another-secret-0123456789-0123456789", &header, &one.body, 0, false),
        (SECRET, &header, &other_body, 0, false),
        // Recorded, and sent again by somebody else, after five minutes: as it was, and with a newer time.
        (SECRET, &header, &one.body, 400, false),
        (SECRET, &younger, &one.body, 400, false),
        (SECRET, "", &one.body, 0, false),
        (SECRET, "t=x,v1=", &one.body, 0, false),
    ];
    let asked: Vec<_> = cases.iter().map(|case| (case.0, case.1, case.2, case.3)).collect();
    let expected: Vec<bool> = cases.iter().map(|case| case.4).collect();
    assert_eq!(python_says(&asked), expected);
    let log = world.log();
    assert!(!log.contains(SECRET) && !log.contains("hooks/farerush"), "{log}");
}

#[test]
fn a_receiver_that_is_away_loses_nothing_and_no_grab_waits_for_it() {
    let mut receiver = Receiver::start();
    let mut world = World::new(&receiver);
    let flights = ["WH1", "WH2", "WH3"];
    for flight in flights {
        world.create(flight, 20, 0);
    }
    let mut orders = BTreeSet::new();
    let mut sell = |world: &mut World, rounds: u32| {
        for round in 0..rounds {
            for flight in flights {
                let order = world.grab(flight, &format!("c{round}-{}", orders.len()), 1);
                orders.insert(text(&order["order_id"]).to_owned());
            }
        }
        orders.len()
    };
    let sold = sell(&mut world, 3);
    receiver.wait_ids(sold);
    let wait_attempts = |receiver: &Receiver, more: u64| {
        let goal = receiver.attempts() + more;
        receiver.wait("further attempts", |state| state.attempts >= goal);
    };
    receiver.set(Mode::Hang);
    sell(&mut world, 10);
    wait_attempts(&receiver, 2);
    world.wait_status("it takes nothing", |status| status["state"] != "delivering");
    // A redirect is a failure, too, and is not followed.
    for refusal in [500, 302] {
        receiver.set(Mode::Refuse(refusal));
        sell(&mut world, 5);
        wait_attempts(&receiver, 2);
        world.wait_status("it says why", |status| status["last_error"] == format!("it answered {refusal}"));
    }
    receiver.set(Mode::Take);
    receiver.close();
    let already = receiver.taken().len();
    let sold = sell(&mut world, 10);
    world.wait_status("it is not there", |status| {
        status["deliveries"]["unreachable"].as_u64() > Some(0) && status["lag_events"].as_u64() >= Some(30)
    });
    let status = world.webhooks();
    assert_eq!(status["receiver"], receiver.address.to_string());
    assert!(status["deliveries"]["timed_out"].as_u64() >= Some(1), "{status}");
    assert_ne!(status["oldest"], Value::Null);
    receiver.reopen();
    let taken = receiver.wait_ids(sold);
    assert!(taken.len() > already);
    let seqs = check_order(&taken);
    for flight in flights {
        let (first, last) = (seqs[flight].first().unwrap(), seqs[flight].last().unwrap());
        assert_eq!(last - first + 1, seqs[flight].len() as u64, "{flight} has a hole");
    }
    let delivered: BTreeSet<String> = taken.iter().map(|delivery| delivery.order().to_owned()).collect();
    assert_eq!(delivered, orders);
    world.wait_status("all is well again", |status| {
        status["state"] == "delivering" && status["lag_events"] == 0 && status["oldest"] == Value::Null
    });
    assert_eq!(world.webhooks()["lost_events"], 0);
    // After an orderly stop nothing is repeated.
    let before = receiver.taken().len();
    world.stop();
    world.start();
    let order = world.grab("WH1", "last", 1);
    let taken = receiver.wait("the last order", |state| {
        state.taken.iter().any(|delivery| delivery.order() == text(&order["order_id"]))
    });
    assert_eq!(taken.len(), before + 1, "{:#?}", summary(&taken[before..]));
}

/// Grabs single seats until the connection breaks; the numbers of what was acknowledged go up meanwhile.
async fn grab_on(address: SocketAddr, flight: String, number: usize, sold: Arc<AtomicU64>) -> Vec<String> {
    let (mut client, mut orders) = (Client::new(address), Vec::new());
    let path = format!("/v1/flights/{flight}/orders");
    for round in 0.. {
        let body = format!(r#"{{"customer_id":"c{number}-{round}","quantity":1}}"#);
        match client.call(&Request::post(&path, &body)).await {
            Outcome::Done(response) => {
                orders.push(text(&response.body["order_id"]).to_owned());
                sold.fetch_add(1, Ordering::SeqCst);
            }
            // Sold out, or killed.
            _ => break,
        }
    }
    orders
}

#[test]
fn after_kill_9_every_acknowledged_order_is_delivered_in_order() {
    let seed = support::seed();
    println!("webhooks: FARERUSH_TEST_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut receiver = Receiver::start();
    let mut world = World::new(&receiver);
    let mut orders: BTreeSet<String> = BTreeSet::new();
    for round in 0..support::rounds(5) {
        // New ones each time: killed before anything was saved of them, they must still begin with their first event.
        let flights = [format!("K{round}A"), format!("K{round}B")];
        for flight in &flights {
            world.create(flight, 150, 0);
        }
        let sold = Arc::new(AtomicU64::new(0));
        let loads: Vec<_> = (0..8)
            .map(|number| {
                let flight = flights[number % 2].clone();
                world.runtime.spawn(grab_on(world.address(), flight, number, sold.clone()))
            })
            .collect();
        let until = Instant::now() + PATIENCE;
        while sold.load(Ordering::SeqCst) < rng.u64(20..150) {
            assert!(Instant::now() < until, "nothing is sold");
            std::thread::yield_now();
        }
        if round % 2 == 1 {
            receiver.set(Mode::Refuse(503));
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..1_500)));
        world.kill();
        for load in loads {
            orders.extend(world.runtime.block_on(load).unwrap());
        }
        if rng.bool() {
            receiver.close();
            receiver.reopen();
        }
        receiver.set(Mode::Take);
        world.start();
    }
    let taken = receiver.wait("every acknowledged order", |state| {
        let delivered: BTreeSet<&str> = state.taken.iter().map(Delivery::order).collect();
        orders.iter().all(|order| delivered.contains(order.as_str()))
    });
    world.wait_status("all is delivered", |status| status["lag_events"] == 0);
    assert!(receiver.taken().len() >= taken.len());
    let taken = receiver.taken();
    let seqs = check_order(&taken);
    for (flight, seqs) in &seqs {
        // Created, opened, then nothing but orders: none is missing, acknowledged or not.
        assert_eq!(seqs.first(), Some(&3), "{flight}");
        assert_eq!(seqs.last().unwrap() - 2, seqs.len() as u64, "{flight} has a hole");
    }
    let ids: BTreeSet<&str> = taken.iter().map(|delivery| delivery.id.as_str()).collect();
    println!(
        "{} orders, {} deliveries, {} of them repeats",
        orders.len(),
        taken.len(),
        taken.len() - ids.len()
    );
    assert_eq!(world.webhooks()["lost_events"], 0);
}

#[test]
fn webhooks_begin_where_flights_are_and_say_what_a_lost_journal_has_taken() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::of(Plan::embedded(folder.path()), folder);
    world.create("WH1", 10, 0);
    world.grab("WH1", "before", 1);
    world.stop();
    world.plan = with_webhooks(&world.plan, &receiver).with("webhook_events", "order.confirmed");
    world.start();
    let first = world.grab("WH1", "after", 1);
    let taken = receiver.wait_ids(1);
    assert_eq!(taken[0].order(), text(&first["order_id"]), "it was there before webhooks were");
    // Nobody takes any more, and the journal is lost; what the store has, sells on.
    receiver.set(Mode::Refuse(500));
    world.grab("WH1", "lost-1", 1);
    world.grab("WH1", "lost-2", 1);
    world.stop();
    std::fs::remove_dir_all(world.plan.data_dir.join("journal")).unwrap();
    receiver.set(Mode::Take);
    world.start();
    let next = world.grab("WH1", "next", 1);
    let taken = receiver.wait_ids(3);
    assert_eq!(taken[1].kind(), "webhooks.gap");
    assert_eq!(taken[1].json["data"], json!({"first_seq": 6, "last_seq": 7, "events": 2}));
    assert_eq!(taken[2].order(), text(&next["order_id"]));
    assert_eq!(world.webhooks()["lost_events"], 2);
    assert!(world.log().contains("webhooks of these events are lost"));
    // Sold out is not among what is wanted.
    world.grab("WH1", "crowd", 9);
    let all = receiver.wait_ids(4);
    assert!(all.iter().all(|delivery| delivery.kind() != "flight.sold_out"));
}
