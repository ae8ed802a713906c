//! `farerush load` as people start it: against the real server it finds nothing wrong; against servers that lie, its
//! checks say what the lie is. Never measures how fast anything is.

#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farerush::api::admin::flights::new_flight as understood;
use farerush::clients::load::arguments::LoadPlan;
use farerush::clients::load::flights::new_flight;
use farerush::wire::fields;
use farerush_engine::flight::{Salt, Timestamp};
use serde_json::{Value, json};

use servers::{RedisServer, SqlServer};
use support::process::{Gateway, Plan, TOKEN};

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn load(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farerush"));
    command.current_dir(folder).env_clear().arg("load").args(arguments);
    command.output().expect("farerush starts")
}

/// Runs a load against `address` and gives its exit code and its report.
fn report(folder: &Path, address: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut all = vec![address, "--admin-token", TOKEN, "--json", "report.json", "--seed", "11", "--quiet"];
    all.extend(arguments);
    let output = load(folder, &all);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read(folder.join("report.json")).unwrap_or_default();
    let report = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("no report ({error}): {said}"));
    (output.status.code(), report, said)
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {checks:?}"))
}

struct Served {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Plan::embedded(folder.path()).start();
        gateway.wait_ready(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        Self { gateway, folder }
    }

    fn load(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        report(self.folder.path(), &format!("http://{}", self.gateway.address()), arguments)
    }
}

#[test]
fn every_scenario_finds_nothing_wrong_with_the_real_server() {
    let served = Served::start();
    for scenario in ["rush", "steady", "browse", "mixed"] {
        let arguments = [
            "--scenario",
            scenario,
            "--flights",
            "3",
            "--seats",
            "120",
            "--duration",
            "1s",
            "--replays",
            "0.2",
        ];
        let (code, report, said) = served.load(&[&arguments[..], &["--connections", "16"]].concat());
        assert_eq!(code, Some(0), "{scenario}: {said}");
        assert_eq!(report["scenario"], scenario);
        assert!(report["requests"].as_u64().unwrap() > 50, "{scenario}: {said}");
        assert!(report["outcomes"]["201"].as_u64().unwrap() > 0, "{scenario}: {said}");
        assert!(report["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{said}");
        let counted: u64 = report["outcomes"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(report["requests"], counted, "{scenario}: {said}");
        let by_second = report["timeline"].as_array().unwrap().iter();
        let by_second: u64 = by_second.filter_map(|second| second["requests"].as_u64()).sum();
        assert_eq!(report["requests"], by_second, "{scenario}: {said}");
    }
}

#[test]
fn every_check_holds_with_the_journal_in_redis_and_the_store_in_mysql() {
    let (redis, mysql) = (RedisServer::start(&[]), SqlServer::start(&[]));
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path()).with("journal", &redis.url()).with("store", &mysql.url());
    let mut gateway = plan.start();
    let address = gateway.wait_ready(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    let address = format!("http://{address}");
    let mut acknowledged = 0;
    for arguments in [
        &["--flights", "6", "--seats", "153", "--until-sold-out", "--replays", "0.5", "--skew", "1.1"][..],
        &["--scenario", "mixed", "--flights", "3", "--seats", "300", "--duration", "3s", "--replays", "0.2"],
    ] {
        let (code, report, said) = report(folder.path(), &address, arguments);
        assert_eq!(code, Some(0), "{said}");
        assert!(report["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{said}");
        acknowledged += report["outcomes"]["201"].as_u64().unwrap();
    }
    assert!(acknowledged > 6 * 153, "{acknowledged}");
    let verified = plan.run("verify");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    println!("load: {acknowledged} acknowledged orders checked, 0 lost");
    gateway.stop();
}

#[test]
fn a_rush_until_sold_out_sells_every_seat_once() {
    let served = Served::start();
    let arguments =
        ["--flights", "5", "--seats", "53", "--until-sold-out", "--replays", "0.5", "--skew", "1.1"];
    let (code, report, said) = served.load(&arguments);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(report["outcomes"]["201"], 5 * 53, "{said}");
    assert!(report["outcomes"]["200 replayed"].as_u64().unwrap() > 50, "{said}");
    let detail = check(&report, "sold_equals_capacity")["detail"].as_str().unwrap();
    assert!(detail.starts_with("5 flights said SOLD_OUT"), "{detail}");
    assert!(report["seconds"].as_f64().unwrap() < 60.0, "{said}");
}

#[test]
fn the_open_loop_sends_what_was_asked_for() {
    let served = Served::start();
    let html = served.folder.path().join("report.html");
    let arguments = ["--scenario", "steady", "--rate", "200", "--duration", "2s", "--warmup", "500ms"];
    let (code, report, said) = served.load(&[&arguments[..], &["--html", html.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{said}");
    // Replays come on top of the arrivals.
    let replays = report["operations"]["replay"]["requests"].as_u64().unwrap_or(0);
    let sent = report["requests"].as_u64().unwrap() + report["not_sent"].as_u64().unwrap() - replays;
    assert!((398..=402).contains(&sent), "{sent}: {said}");
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<svg") && page.contains("All 7 checks passed"), "{said}");
    assert!(
        !page.contains("http-equiv") && !page.contains("<script") && !page.contains("src="),
        "self-contained"
    );
}

#[test]
fn flights_that_are_there_need_no_token() {
    let served = Served::start();
    let (code, ..) = served.load(&["--flights", "1", "--seats", "40", "--duration", "200ms"]);
    assert_eq!(code, Some(0));
    let address = format!("http://{}", served.gateway.address());
    let output = load(served.folder.path(), &[&address, "--flight", "NO-SUCH-1"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("NO-SUCH-1"), "{output:?}");
    let output = load(served.folder.path(), &[&address, "--admin-token", "wrong-wrong-wrong-wrong"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--admin-token"), "{output:?}");
}

#[test]
fn bad_usage_and_an_address_that_does_not_answer_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    // Free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}");
    for (arguments, word) in [
        (&["--scenario", "crush"][..], "crush"),
        (&["https://example.org"], "https"),
        (&["--duration", "soon"], "--duration"),
        (&["--colour"], "--colour"),
        (&["--json", "no/such/folder/x.json"], "no/such/folder"),
        (&[nobody.as_str()], "nobody answers"),
    ] {
        let output = load(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

/// How a server lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// Gives the first seat to the second order, too.
    SellsASeatTwice,
    /// Forgets every tenth order.
    LosesAnOrder,
    /// Places another order when a key is repeated.
    ForgetsKeys,
    /// Says SOLD_OUT with seats left.
    GivesUpEarly,
    /// Answers 500 now and then.
    Breaks,
    /// Drops the connection after placing an order, now and then; that is no lie, if the key is honoured.
    HangsUp,
}

/// A flight sold by a server of a few lines.
#[derive(Default)]
struct Sold {
    capacity: usize,
    id: String,
    orders: HashMap<String, Value>,
    keys: HashMap<String, String>,
    placed: usize,
    hung_up: bool,
}

impl Sold {
    fn seat(place: usize) -> String {
        format!("{}{}", place / 6 + 1, char::from(b"ABCDEF"[place % 6]))
    }

    fn flight(&self, lie: Lie) -> Value {
        let sold = self.placed.min(self.limit(lie));
        json!({"flight_id": self.id, "capacity": self.capacity, "available": self.capacity - sold,
               "sale": {"state": "open", "hold_seconds": 0}})
    }

    fn limit(&self, lie: Lie) -> usize {
        if lie == Lie::GivesUpEarly { self.capacity - 2 } else { self.capacity }
    }

    fn seats(&self) -> Value {
        let status = |place| if place < self.placed { "sold" } else { "free" };
        let seats: Vec<_> = (0..self.capacity)
            .map(|place| json!({"seat": Self::seat(place), "status": status(place)}))
            .collect();
        json!({"cabins": [{"rows": [{"row": 1, "seats": seats}]}]})
    }

    /// Status, whether it is a replay, body; `None` hangs up.
    fn grab(&mut self, lie: Lie, key: &str, customer: &str) -> Option<(u16, bool, Value)> {
        if let Some(order) = self.keys.get(key).filter(|_| lie != Lie::ForgetsKeys) {
            return Some((200, true, self.orders[order].clone()));
        }
        if self.placed >= self.limit(lie) {
            return Some((409, false, json!({"code": "SOLD_OUT", "status": 409})));
        }
        let place = if lie == Lie::SellsASeatTwice && self.placed == 1 { 0 } else { self.placed };
        let order_id = format!("{}-{}", self.id, self.placed);
        self.placed += 1;
        let order = json!({"order_id": order_id, "flight_id": self.id, "customer_id": customer,
                           "status": "confirmed", "seats": [{"seat": Self::seat(place)}]});
        self.orders.insert(order_id.clone(), order.clone());
        let replayed = lie == Lie::ForgetsKeys && self.keys.contains_key(key);
        self.keys.insert(key.to_owned(), order_id);
        if lie == Lie::HangsUp && self.placed % 10 == 3 {
            self.hung_up = true;
            return None;
        }
        Some((if replayed { 200 } else { 201 }, replayed, order))
    }

    fn answer(&mut self, lie: Lie, request: &str, key: &str, body: &str) -> Option<(u16, bool, Value)> {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let (method, path) = request.split_once(' ').unwrap_or_default();
        let parts: Vec<_> = path.split(['/', '?']).collect();
        let done = |value| Some((200, false, value));
        match (method, &parts[1..]) {
            ("POST", ["v1", "admin", "flights"]) => {
                self.id = body["flight_id"].as_str().unwrap_or_default().to_owned();
                Some((201, false, self.flight(lie)))
            }
            ("POST", ["v1", "flights", _, "orders"]) => {
                if lie == Lie::Breaks && self.placed == 5 {
                    self.placed += 1;
                    return Some((500, false, json!({"code": "INTERNAL"})));
                }
                self.grab(lie, key, body["customer_id"].as_str().unwrap_or_default())
            }
            ("GET", ["v1", "flights", _, "seats"]) => done(self.seats()),
            ("GET", ["v1", "flights", "limit=1"]) => done(json!({"flights": []})),
            ("GET", ["v1", "flights", _]) => done(self.flight(lie)),
            ("GET", ["v1", "orders", id]) => match self.orders.get(*id) {
                Some(order) if lie != Lie::LosesAnOrder || !id.ends_with('7') => done(order.clone()),
                _ => Some((404, false, json!({"code": "ORDER_NOT_FOUND"}))),
            },
            _ => Some((404, false, json!({"code": "NOT_FOUND"}))),
        }
    }
}

/// Serves one connection until either side has had enough.
fn serve(stream: TcpStream, lie: Lie, sold: &Mutex<Sold>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let (mut key, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim().split_once(": ") {
                Some(("idempotency-key", value)) => value.clone_into(&mut key),
                Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = request.trim().trim_end_matches(" HTTP/1.1");
        let body = String::from_utf8_lossy(&body).into_owned();
        let Some((status, replayed, answer)) = sold.lock().unwrap().answer(lie, request, &key, &body) else {
            return Ok(());
        };
        let (answer, replayed) =
            (answer.to_string(), if replayed { "Idempotency-Replayed: true\r\n" } else { "" });
        let length = answer.len();
        writer.write_all(
            format!("HTTP/1.1 {status} X\r\n{replayed}Content-Length: {length}\r\n\r\n{answer}").as_bytes(),
        )?;
    }
}

/// What a load finds on a server with this lie: its exit code, and the checks that failed.
fn found(lie: Lie) -> (Option<i32>, Vec<String>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sold = Arc::new(Mutex::new(Sold { capacity: 60, ..Sold::default() }));
    let shared = sold.clone();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sold = shared.clone();
            std::thread::spawn(move || serve(stream, lie, &sold));
        }
    });
    let arguments =
        ["--seats", "60", "--connections", "4", "--until-sold-out", "--duration", "20s", "--replays", "0.3"];
    let (code, report, said) = report(folder.path(), &address, &arguments);
    assert_eq!(lie == Lie::HangsUp, sold.lock().unwrap().hung_up);
    let checks = report["checks"].as_array().unwrap_or_else(|| panic!("{said}"));
    let failed = checks.iter().filter(|check| check["ok"] == false);
    let failed = failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
    (code, failed, report)
}

#[test]
fn an_honest_small_server_passes() {
    let (code, failed, report) = found(Lie::None);
    assert_eq!((code, failed), (Some(0), vec![]), "{report}");
    assert_eq!(report["outcomes"]["201"], 60);
}

#[test]
fn a_seat_sold_twice_is_found() {
    let (code, failed, report) = found(Lie::SellsASeatTwice);
    assert_eq!(code, Some(1), "{report}");
    assert!(failed.contains(&"no_seat_twice".to_owned()), "{report}");
    assert!(check(&report, "no_seat_twice")["detail"].as_str().unwrap().contains("1A of LOAD-"), "{report}");
}

#[test]
fn a_lost_order_is_found() {
    let (code, failed, report) = found(Lie::LosesAnOrder);
    assert_eq!((code, failed), (Some(1), vec!["acknowledged_orders_readable".to_owned()]), "{report}");
}

#[test]
fn a_key_that_gives_another_order_is_found() {
    let (code, failed, report) = found(Lie::ForgetsKeys);
    assert_eq!(code, Some(1), "{report}");
    assert!(failed.contains(&"keys_honoured".to_owned()), "{report}");
}

#[test]
fn sold_out_with_seats_left_is_found() {
    let (code, failed, report) = found(Lie::GivesUpEarly);
    assert_eq!((code, failed), (Some(1), vec!["sold_equals_capacity".to_owned()]), "{report}");
}

#[test]
fn an_answer_that_no_contract_has_is_found() {
    let (code, failed, report) = found(Lie::Breaks);
    assert_eq!(code, Some(1), "{report}");
    assert!(failed.contains(&"answers_as_promised".to_owned()), "{report}");
}

#[test]
fn a_lost_answer_is_asked_after_and_accounted_for() {
    let (code, failed, report) = found(Lie::HangsUp);
    assert_eq!((code, failed), (Some(0), vec![]), "{report}");
    assert!(report["outcomes"]["lost"].as_u64().unwrap() > 0, "{report}");
    let detail = check(&report, "unknown_outcomes_resolved")["detail"].as_str().unwrap();
    assert!(detail.contains("learnt by asking again"), "{detail}");
}

#[test]
fn a_flight_of_the_load_tool_has_exactly_the_seats_that_were_asked_for() {
    let plan = LoadPlan::parse(["load"]).unwrap();
    for seats in [1, 5, 6, 7, 1_000, 5_994, 5_995, 9_990, 9_991, 10_000] {
        let body = new_flight("LOAD-x-1", 0, seats, &plan);
        let value = fields::parse(&body, false).unwrap_or_else(|_| panic!("{seats}"));
        let Ok(flight) = understood(&value, Salt(1), Timestamp::from_millis(0)) else { panic!("{seats}") };
        let capacity: u32 = flight.definition.cabins.iter().map(|cabin| cabin.capacity()).sum();
        assert_eq!(capacity, u32::from(seats));
        assert!(flight.open);
    }
}
