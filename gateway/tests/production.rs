//! The real program on a real Redis and a real MariaDB: what survives which of them, who owns a flight, and what is said
//! about it. Never looks inside the program: everything goes through HTTP, signals, its log and its exit code.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rig::{Asked, PATIENCE, Rig, start, until, verify};
use serde_json::{Value, json};
use servers::RedisServer;
use support::process::{Gateway, Plan};

#[test]
fn it_sells_and_after_a_kill_everything_is_there() {
    let mut rig = Rig::new();
    rig.redis = RedisServer::start(&["--requirepass", "hush-hush"]);
    let journal = rig.redis.url().replace("redis://", "redis://:hush-hush@");
    let plan = rig.plan("one").with("journal", &journal).with("demo", "true");
    let migrated = plan.run("migrate");
    assert!(String::from_utf8_lossy(&migrated.stdout).contains("applied now"), "{migrated:?}");
    let gateway = start(&plan);
    let orders: Vec<Value> = (0..9).map(|number| gateway.grab("DEMO1", &format!("k{number}"))).collect();
    let listed = gateway.listed();
    assert_eq!(listed.len(), 9);
    assert!(verify(&plan).contains("5 flights, 0 with a difference"), "beside the server");
    let (_, ready) = gateway.get("/readyz");
    let (_, status) = gateway.get("/v1/admin/status");
    let place = rig.redis.url();
    assert_eq!((&ready["journal"]["where"], &ready["store"]["state"]), (&json!(place), &json!("up")));
    for text in [gateway.log_text(), ready.to_string(), status.to_string()] {
        assert!(!text.contains("hush-hush") && !text.contains("farerush@"), "a secret shows: {text}");
    }
    gateway.kill();
    assert!(verify(&plan).contains("5 flights, 0 with a difference"));
    let gateway = start(&plan);
    assert_eq!(gateway.available("DEMO1"), 171);
    for order in &orders {
        assert_eq!(&gateway.get(&format!("/v1/orders/{}", order["order_id"].as_str().unwrap())).1, order);
    }
    assert_eq!(gateway.try_grab("DEMO1", "k7"), (200, orders[7].clone()), "a key finds its order");
    assert_eq!(gateway.listed(), listed);
    // Which of them depends on whether the write-behind had the stream trimmed meanwhile.
    let from = gateway.status_of("DEMO1")["recovered"]["from"].clone();
    assert!(["journal", "store and journal"].iter().any(|known| from == *known), "{from}");
    gateway.stop();
}

#[test]
fn with_redis_flushed_flights_come_up_as_the_store_has_them_and_say_so() {
    let rig = Rig::new();
    let plan = rig.plan("one");
    let gateway = start(&plan);
    gateway.create("FR1");
    let order = gateway.grab("FR1", "k");
    // While it runs: the flight stops rather than to begin anew in the middle, and comes back when told to, with what
    // had not been stored yet.
    rig.redis.command(&["FLUSHALL"]).unwrap();
    let (status, problem) = gateway.try_grab("FR1", "lost");
    assert_eq!((status, &problem["code"]), (503, &json!("OUTCOME_UNKNOWN")));
    assert_eq!(gateway.get("/v1/flights/FR1").0, 503);
    let (status, restarted) = gateway.post("/v1/admin/flights/FR1/restart", "");
    assert_eq!(status, 200, "{restarted}");
    assert_eq!(gateway.available("FR1"), 179);
    gateway.grab("FR1", "k2");
    assert_eq!(gateway.listed().len(), 2);
    gateway.kill();
    // And while it does not: it is the same Redis to whoever had it, and nobody else's.
    rig.redis.command(&["FLUSHALL"]).unwrap();
    let stranger = rig.plan("stranger");
    assert!(stranger.adopting(PATIENCE).settings.iter().any(|(key, _)| key == "journal_adopt"));
    rig.redis.command(&["FLUSHALL"]).unwrap();
    let gateway = start(&plan);
    assert!(gateway.log_text().contains("the journal knew nothing of the flight"), "{}", gateway.log_text());
    let recovered = &gateway.status_of("FR1")["recovered"];
    assert_eq!((&recovered["from"], &recovered["journal_was_empty"]), (&json!("store"), &json!(true)));
    assert_eq!(recovered["lost_events"], "unknown");
    assert_eq!(gateway.available("FR1"), 178);
    assert_eq!(gateway.try_grab("FR1", "k"), (200, order));
    gateway.grab("FR1", "k3");
    assert_eq!(gateway.listed().len(), 3);
    verify(&plan);
}

#[test]
fn what_came_up_on_an_emptied_redis_comes_up_again_with_mysql_away_whether_or_not_it_has_sold() {
    let mut rig = Rig::new();
    let plan = rig.plan("one").with("store_start_timeout_ms", "300");
    let gateway = start(&plan);
    for flight in ["FR1", "FR2"] {
        gateway.create(flight);
    }
    let order = gateway.grab("FR1", "k1");
    assert_eq!(gateway.listed().len(), 1);
    until("all is stored", || {
        ["FR1", "FR2"].iter().all(|flight| {
            let shown = gateway.status_of(flight);
            shown["stored_seq"] == shown["durable_seq"]
        })
    });
    gateway.kill();
    rig.redis.command(&["FLUSHALL"]).unwrap();
    let gateway = start(&plan);
    assert_eq!(gateway.status_of("FR1")["recovered"]["from"], "store");
    // One sells while MySQL is away, and never reaches it; the other does not.
    rig.mariadb.stop();
    gateway.grab("FR1", "k2");
    gateway.kill();
    rig.mariadb.kill();

    let gateway = start(&plan);
    assert_eq!(gateway.get("/readyz").1["flights_stopped"], 0);
    assert_eq!(gateway.try_grab("FR1", "k1"), (200, order));
    assert_eq!((gateway.available("FR1"), gateway.available("FR2")), (json!(178), json!(180)));
    gateway.grab("FR1", "k3");
    gateway.grab("FR2", "k4");
    rig.mariadb.restart();
    until("the store has caught up", || {
        let caught_up = |flight: &Value| flight["stored_seq"] == flight["durable_seq"];
        caught_up(&gateway.status_of("FR1")) && caught_up(&gateway.status_of("FR2"))
    });
    assert_eq!(gateway.listed().len(), 4);
    gateway.stop();
    verify(&plan);
}

#[test]
fn with_mysql_down_at_the_start_flights_come_up_from_redis_alone() {
    let mut rig = Rig::new();
    let plan = rig.plan("one").with("store_start_timeout_ms", "300");
    let gateway = start(&plan);
    gateway.create("FR1");
    gateway.create("FR2");
    gateway.grab("FR1", "k1");
    assert_eq!(gateway.listed().len(), 1);
    // These two never reach the store before everything but Redis is gone.
    rig.mariadb.stop();
    let order = gateway.grab("FR1", "k2");
    gateway.grab("FR2", "k3");
    gateway.kill();
    rig.mariadb.kill();

    let gateway = start(&plan);
    assert!(gateway.log_text().contains("from the journal alone"), "{}", gateway.log_text());
    let (status, ready) = gateway.get("/readyz");
    assert_eq!((status, &ready["status"], &ready["store"]["state"]), (200, &json!("ready"), &json!("down")));
    assert_eq!(gateway.status_of("FR1")["recovered"]["from"], "journal");
    assert_eq!(gateway.try_grab("FR1", "k2"), (200, order));
    gateway.grab("FR1", "k4");
    until("lists say that the store is away", || {
        let began = Instant::now();
        let (status, problem) = gateway.get("/v1/orders?customer_id=u");
        let is_soon = began.elapsed() < Duration::from_secs(3);
        status == 503 && is_soon && problem["detail"].as_str().unwrap().contains("store")
    });

    rig.mariadb.restart();
    until("the store has caught up", || {
        let caught_up = |flight: &Value| flight["stored_seq"] == flight["durable_seq"];
        caught_up(&gateway.status_of("FR1")) && caught_up(&gateway.status_of("FR2"))
    });
    assert_eq!(gateway.listed().len(), 4);
    assert_eq!(gateway.get("/readyz").1["store"]["state"], "up");
    gateway.stop();
    verify(&plan);
    // On an empty Redis nothing can come up without the store, and an empty system would be a lie.
    rig.redis.command(&["FLUSHALL"]).unwrap();
    rig.mariadb.kill();
    let mut gateway = plan.with("start_timeout_ms", "600").start();
    assert_eq!(gateway.wait_exit(PATIENCE).unwrap().code(), Some(1));
    assert!(gateway.log_text().contains("gave up after waiting"), "{}", gateway.log_text());
}

#[test]
fn what_is_read_from_a_store_that_hangs_keeps_the_time_that_the_request_has() {
    const TIME: Duration = Duration::from_millis(1_500);
    const TAG_CHARS: usize = 13;
    let rig = Rig::new();
    let gateway = start(&rig.plan("one").with("request_timeout_ms", "1500"));
    gateway.create("FR1");
    let order = gateway.grab("FR1", "k1")["order_id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.listed().len(), 1);
    // One that its flight may have forgotten, so that the store is asked.
    let forgotten = format!("/v1/orders/FR1-99{}", &order[order.len() - TAG_CHARS..]);
    assert_eq!(gateway.get(&forgotten).0, 404);
    let paths = [
        "/v1/orders?customer_id=u",
        "/v1/admin/orders?record_locator=ABCDEF",
        "/v1/admin/flights/FR1/refunds",
        &forgotten,
    ];
    rig.mariadb.stop();
    for path in paths {
        // What the store has not got yet is waited for, too.
        gateway.grab("FR1", path);
        let began = Instant::now();
        let (status, problem) = gateway.get(path);
        let took = began.elapsed();
        assert!(took < TIME + Duration::from_millis(400), "{path} took {took:?}: {problem}");
        assert_eq!((status, &problem["code"]), (503, &json!("OVERLOADED")), "{path}: {problem}");
    }
    rig.mariadb.cont();
    until("the list is there again", || gateway.get(paths[0]).0 == 200);
    assert_eq!(gateway.listed().len(), 5);
    gateway.stop();
}

#[test]
fn a_start_waits_for_its_servers_and_says_so_but_not_for_ever() {
    let mut rig = Rig::new();
    rig.redis.kill();
    rig.mariadb.kill();
    let plan = rig.plan("one");
    let mut gateway = plan.start();
    let places = [rig.redis.url(), format!("mysql://127.0.0.1:{}/farerush", rig.mariadb.port())];
    until("it says that it waits for Redis", || {
        gateway.log_text().contains(&format!("waiting for {}", places[0]))
    });
    rig.redis.restart();
    until("it says that it waits for MySQL", || {
        gateway.log_text().contains(&format!("waiting for {}", places[1]))
    });
    rig.mariadb.restart();
    gateway.wait_ready(PATIENCE).unwrap();
    gateway.create("FR1");
    gateway.stop();

    rig.redis.kill();
    for command in ["serve", "verify"] {
        let output = plan.clone().with("start_timeout_ms", "200").run(command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("s for {}", places[0])) && said.contains("gave up"), "{said}");
        assert!(!said.contains("farerush:farerush"), "{said}");
    }
}

#[test]
fn a_redis_that_may_lose_what_it_confirms_is_refused_unless_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&["--appendfsync", "everysec", "--maxmemory-policy", "allkeys-lru"]);
    let plan = Plan::embedded(folder.path()).with("journal", &redis.url());
    let output = plan.run("serve");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in ["appendfsync everysec", "maxmemory-policy allkeys-lru", "--redis-allow-unsafe"] {
        assert!(said.contains(expected), "{said}");
    }
    for changed in [plan.clone().with("redis_allow_unsafe", "true"), plan.with("durability", "memory")] {
        let gateway = start(&changed);
        assert!(gateway.log_text().contains("appendfsync everysec"), "{}", gateway.log_text());
        gateway.stop();
    }
}

#[test]
fn a_redis_that_does_not_let_itself_be_asked_is_refused_unless_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&["--rename-command", "CONFIG", ""]);
    redis.command(&["ACL", "SETUSER", "app", "on", ">hush-hush", "~*", "+@all", "-config"]).unwrap();
    let with_acl = redis.url().replace("redis://", "redis://app:hush-hush@");
    for url in [redis.url(), with_acl] {
        let plan = Plan::embedded(folder.path()).with("journal", &url);
        let output = plan.run("serve");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for expected in ["could not check that Redis runs with appendfsync always", "--redis-allow-unsafe"] {
            assert!(said.contains(expected), "{said}");
        }
        let gateway = start(&plan.with("redis_allow_unsafe", "true"));
        assert!(gateway.log_text().contains("could not check"), "{}", gateway.log_text());
        let (status, ready) = gateway.get("/readyz");
        assert_eq!(
            (status, ready["journal"]["unsafe_because"].as_array().unwrap().len()),
            (200, 4),
            "{ready}"
        );
        gateway.stop();
    }
}

/// What /metrics says of a figure without labels.
fn figure(gateway: &Gateway, name: &str) -> f64 {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {page}")).parse().unwrap()
}

#[test]
fn a_redis_that_is_set_up_badly_while_it_runs_is_shown_and_nothing_is_acknowledged_until_it_is_mended() {
    let rig = Rig::new();
    let gateway = start(&rig.plan("one").with("request_timeout_ms", "500"));
    gateway.create("FR1");
    gateway.grab("FR1", "k1");
    let is_unsafe = || figure(&gateway, "farerush_journal_unsafe");
    assert_eq!(is_unsafe(), 0.0);
    rig.redis.command(&["CONFIG", "SET", "appendfsync", "everysec"]).unwrap();
    // A new connection is looked at; without one it takes a minute.
    rig.redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    until("it is not ready", || gateway.get("/readyz").0 == 503);
    let (_, ready) = gateway.get("/readyz");
    let why = ready["journal"]["unsafe_because"][0].as_str().unwrap_or_default();
    assert!(why.contains("appendfsync everysec"), "{ready}");
    assert_eq!(gateway.get("/v1/admin/status").1["journal"]["unsafe_because"][0], why);
    assert_eq!(is_unsafe(), 1.0);
    assert!(gateway.log_text().contains("Redis may lose what it confirms"), "{}", gateway.log_text());
    assert!(is_refused(&gateway.try_grab("FR1", "k2")));
    until("nothing more is let in", || gateway.try_grab("FR1", "k3").1["code"] == "OVERLOADED");
    rig.redis.command(&["CONFIG", "SET", "appendfsync", "always"]).unwrap();
    until("it sells again", || gateway.try_grab("FR1", "k4").0 == 201);
    until("it is ready", || gateway.get("/readyz").0 == 200);
    assert!([200, 201].contains(&gateway.try_grab("FR1", "k2").0), "what was taken is found, or done now");
    assert!(gateway.get("/readyz").1["journal"]["unsafe_because"].is_null());
    assert_eq!(is_unsafe(), 0.0);
    gateway.stop();
}

fn is_refused(answer: &(u16, Value)) -> bool {
    let code = answer.1["code"].as_str().unwrap_or_default();
    answer.0 == 503 && ["OVERLOADED", "ELSEWHERE", "OUTCOME_UNKNOWN"].contains(&code)
}

#[test]
fn a_second_process_takes_flights_over_and_the_first_one_acknowledges_nothing_more() {
    let rig = Rig::new();
    let (plan, other) = (rig.plan("one"), rig.plan("two"));
    let first = start(&plan);
    first.create("FR1");
    let order = first.grab("FR1", "k1");
    // The one that starts last has all there is.
    let second = start(&other);
    let lost = first.try_grab("FR1", "k2");
    assert!(is_refused(&lost), "{lost:?}");
    assert!(is_refused(&first.try_grab("FR1", "k3")));
    assert_eq!(second.try_grab("FR1", "k1"), (200, order.clone()));
    second.grab("FR1", "k2");
    assert_eq!(second.available("FR1"), 178);
    // A list comes from the store, whole, whoever is asked.
    until("the list has both", || first.get("/v1/orders?customer_id=u").1["orders"][1].is_object());
    assert_eq!(first.get("/v1/orders?customer_id=u").1["orders"][1], order);
    // What has moved is not shown as it was, one by one or in the list.
    assert_eq!(first.get("/v1/flights/FR1").0, 503);
    assert_eq!(first.get("/v1/flights").0, 503);
    assert_eq!(first.get("/v1/flights/NONE").0, 404);

    // A flight that the second one has never heard of.
    first.create("FR2");
    first.grab("FR2", "k4");
    let (status, problem) = second.get("/v1/flights/FR2");
    assert_eq!((status, &problem["code"]), (503, &json!("ELSEWHERE")), "it is somewhere else, not nowhere");
    let (status, problem) = second.try_create("FR2");
    assert_eq!((status, &problem["code"]), (409, &json!("FLIGHT_EXISTS")));
    let (status, taken) = second.post("/v1/admin/flights/FR2/restart", "");
    assert_eq!((status, &taken["seq"]), (200, &json!(3)), "{taken}");
    second.grab("FR2", "k5");
    // Without a single request the first one notices, too.
    until("the first one does not show FR2 any more", || first.get("/v1/flights/FR2").0 == 503);
    assert!(is_refused(&first.try_grab("FR2", "k6")));

    // And back again, one that the first one had and lost.
    let (status, taken) = first.post("/v1/admin/flights/FR1/restart", "");
    // Created, on sale, k1, the second one's era, k2.
    assert_eq!((status, &taken["seq"]), (200, &json!(5)), "{taken}");
    first.grab("FR1", "k7");
    assert!(is_refused(&second.try_grab("FR1", "k8")));
    assert_eq!(first.post("/v1/admin/flights/NONE/restart", "").0, 404);
    first.stop();
    second.stop();
    assert!(verify(&plan).contains("2 flights, 0 with a difference"));
}

/// Asks like a balancer: one, and the other where that one says that it cannot.
fn ask(one: &Gateway, other: &Gateway, key: &str) -> u16 {
    match one.try_grab("FR1", key).0 {
        503 => other.try_grab("FR1", key).0,
        status => status,
    }
}

#[test]
fn a_start_that_is_told_to_wait_is_ready_at_once_and_then_takes_flights_over_while_nobody_is_refused() {
    let rig = Rig::new();
    let (plan, other) = (rig.plan("one"), rig.plan("two"));
    let first = start(&plan);
    first.create("FR1");
    first.grab("FR1", "k1");
    let second = start(&other.with("take_over_delay_ms", "600000").with("demo", "true"));
    let (status, problem) = second.get("/v1/flights/FR1");
    assert_eq!((status, &problem["code"]), (503, &json!("ELSEWHERE")));
    assert_eq!(second.get("/v1/flights/DEMO1").0, 404, "the system was not empty");
    assert_eq!(first.try_grab("FR1", "k1").0, 200, "it is left to its owner");
    // By hand, too, whoever asks both is served by one of them all the while.
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| second.post("/v1/admin/flights/FR1/restart", ""));
        until("the second one serves it", || {
            assert_eq!(ask(&first, &second, "k1"), 200);
            taken.is_finished()
        });
        assert_eq!(taken.join().unwrap().0, 200);
    });
    assert_eq!(second.try_grab("FR1", "k1").0, 200);
    first.stop();
    let first = start(&plan.with("take_over_delay_ms", "100"));
    until("the first one has taken it", || {
        assert_eq!(ask(&second, &first, "k1"), 200);
        first.get("/v1/flights/FR1").0 == 200
    });
    assert!(is_refused(&second.try_grab("FR1", "k2")));
    first.grab("FR1", "k2");
    assert_eq!(first.available("FR1"), 178);
    first.stop();
    second.stop();
}

#[test]
fn two_that_start_at_the_same_time_make_the_demo_flights_once() {
    let rig = Rig::new();
    let plans = [rig.plan("one").with("demo", "true"), rig.plan("two").with("demo", "true")];
    let mut gateways = plans.clone().map(|plan| plan.start());
    for gateway in &mut gateways {
        gateway.wait_ready(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    }
    let here = |gateway: &Gateway| {
        gateway.get("/v1/admin/status?server=this").1["flights"].as_array().unwrap().len()
    };
    until("each flight is served by one of them", || here(&gateways[0]) + here(&gateways[1]) >= 5);
    assert!(verify(&plans[0]).contains("5 flights, 0 with a difference"));
}

#[test]
fn a_reply_leaves_when_the_durability_asked_for_is_reached() {
    let rig = Rig::new();
    let plan = rig.plan("one").with("request_timeout_ms", "500");
    for durability in ["memory", "journal", "store"] {
        let plan = plan.clone().with("durability", durability);
        let gateway = start(&plan);
        let flight = format!("FR-{durability}");
        gateway.create(&flight);
        assert_eq!(gateway.grab(&flight, "k1")["durability"], durability);
        // With the store stopped, only those who wait for it notice; with the journal stopped, those who wait at all.
        rig.mariadb.stop();
        let without_store = gateway.try_grab(&flight, "k2");
        rig.mariadb.cont();
        rig.redis.stop();
        let without_journal = gateway.try_grab(&flight, "k3");
        rig.redis.cont();
        let expected = match durability {
            "memory" => (201, 201),
            "journal" => (201, 503),
            _ => (503, 503),
        };
        assert_eq!((without_store.0, without_journal.0), expected, "{without_store:?} {without_journal:?}");
        for (key, answer) in [("k2", without_store), ("k3", without_journal)] {
            if answer.0 == 503 {
                assert!(is_refused(&answer), "{answer:?}");
                until("the outcome is known", || gateway.try_grab(&flight, key).0 != 503);
            }
            assert_eq!(gateway.try_grab(&flight, key).0, 200, "the key finds its order");
        }
        assert_eq!(gateway.available(&flight), 177);
        gateway.stop();
        verify(&plan);
    }
}

/// The IDs of a flight's entries, oldest first.
fn entry_ids(redis: &RedisServer, flight: &str) -> Vec<String> {
    let answer = redis.command(&["XRANGE", &format!("farerush:{{{flight}}}:journal"), "-", "+"]).unwrap();
    let is_id = |line: &&str| {
        line.split_once('-').is_some_and(|(a, b)| a.parse::<u64>().is_ok() && b.parse::<u64>().is_ok())
    };
    answer.lines().filter(is_id).map(str::to_owned).collect()
}

#[test]
fn a_flight_whose_journal_is_damaged_stops_and_the_others_sell() {
    let rig = Rig::new();
    let plan = rig.plan("one");
    let gateway = start(&plan);
    for flight in ["GARBAGE", "HOLE", "OLD", "SOUND"] {
        gateway.create(flight);
        gateway.grab(flight, "k0");
    }
    assert_eq!(gateway.listed().len(), 4);
    // What follows is in the journal only, but for OLD.
    gateway.grab("OLD", "k1");
    assert_eq!(gateway.listed().len(), 5);
    rig.mariadb.stop();
    for flight in ["GARBAGE", "HOLE", "SOUND"] {
        (1..4).for_each(|number| drop(gateway.grab(flight, &format!("k{number}"))));
    }
    gateway.kill();
    rig.mariadb.cont();
    let key = |flight: &str| format!("farerush:{{{flight}}}:journal");
    let next = rig.redis.command(&["XADD", &key("GARBAGE"), "1-900", "record", "not a record"]).unwrap();
    assert!(next.contains("1-900"), "{next}");
    let ids = entry_ids(&rig.redis, "HOLE");
    assert_eq!(rig.redis.command(&["XDEL", &key("HOLE"), &ids[ids.len() - 2]]).unwrap(), ":1\r\n");
    let ids = entry_ids(&rig.redis, "OLD");
    assert_eq!(rig.redis.command(&["XDEL", &key("OLD"), &ids[ids.len() - 1]]).unwrap(), ":1\r\n");

    let gateway = start(&plan);
    gateway.grab("SOUND", "k4");
    assert_eq!(gateway.available("SOUND"), 175);
    let (_, status) = gateway.get("/v1/admin/status");
    let stopped = status["stopped_flights"].as_array().unwrap();
    let reasons: Vec<(&str, &str)> = stopped
        .iter()
        .map(|flight| (flight["flight_id"].as_str().unwrap(), flight["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(reasons.len(), 3, "{status}");
    for (place, flight, expected) in [
        (0, "GARBAGE", "entry 1-900"),
        (1, "HOLE", "should follow, but entry"),
        (2, "OLD", "the journal is an old copy"),
    ] {
        assert!(reasons[place].0 == flight && reasons[place].1.contains(expected), "{:?}", reasons[place]);
        assert_eq!(gateway.get(&format!("/v1/flights/{flight}")).0, 503);
        assert!(is_refused(&gateway.try_grab(flight, "k9")));
    }
    // The way out that the message names.
    rig.redis.command(&["DEL", &key("OLD")]).unwrap();
    let (code, restarted) = gateway.post("/v1/admin/flights/OLD/restart", "");
    assert_eq!(code, 200, "{restarted}");
    assert_eq!(gateway.try_grab("OLD", "k1").0, 200, "the store had it");
    gateway.grab("OLD", "k2");
    let output = plan.run("verify");
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("4 flights, 2 with a difference"), "{table}");
}

#[test]
fn two_gateways_with_a_journal_each_on_one_store_are_never_both_let_in() {
    let rig = Rig::new();
    let on_its_own = |name: &str| {
        let folder = rig.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Plan::embedded(&folder).with("store", &rig.mariadb.url())
    };
    let (one, other) = (on_its_own("one"), on_its_own("other"));
    // At the same moment, on a store that is nobody's: one of them.
    let mut both = [one.start(), other.start()];
    let came: Vec<bool> = both.iter_mut().map(|gateway| gateway.wait_ready(PATIENCE).is_ok()).collect();
    assert_eq!(came.iter().filter(|came| **came).count(), 1, "{came:?}");
    let (winner, loser) = if came[0] { (&one, &other) } else { (&other, &one) };
    let [first, second] = both;
    let (gateway, refused) = if came[0] { (first, second) } else { (second, first) };
    let log = refused.log_text();
    for named in ["belongs to another journal", "one/data/journal", "other/data/journal", "--journal-adopt"] {
        assert!(log.contains(named), "{named}: {log}");
    }
    gateway.create("FR1");
    let order = gateway.grab("FR1", "k");
    until("it is stored", || gateway.listed().len() == 1);
    // Not even by somebody who says that the other one is lost: it lives.
    let adopting = loser.adopting(PATIENCE);
    let mut refused = adopting.start();
    assert!(!refused.wait_exit(PATIENCE).unwrap().success());
    assert!(refused.log_text().contains("which is in use"), "{}", refused.log_text());
    gateway.grab("FR1", "k2");
    until("it is stored", || gateway.listed().len() == 2);
    gateway.kill();
    let refused = loser.run("serve");
    assert!(!refused.status.success(), "it may come back with what only it has");
    let gateway = start(&adopting);
    assert_eq!(gateway.available("FR1"), 178);
    assert_eq!(gateway.try_grab("FR1", "k"), (200, order));
    gateway.grab("FR1", "k3");
    gateway.kill();
    // It is said once: from now on the store is this journal's, and the other one is refused.
    start(&adopting).kill();
    start(loser).kill();
    assert!(!winner.run("serve").status.success());
    let verified = loser.run("verify");
    assert!(verified.status.success(), "{verified:?}");
    let verified = winner.run("verify");
    let text = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!verified.status.success() && text.contains("belongs to another journal"), "{text}");
}

#[test]
fn an_owner_that_was_cut_off_while_its_store_was_given_away_sells_no_more() {
    let rig = Rig::new();
    let plan = |name: &str| {
        let folder = rig.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Plan::embedded(&folder).with("store", &rig.mariadb.url())
    };
    let gateway = start(&plan("one"));
    gateway.create("FR1");
    gateway.grab("FR1", "k");
    until("it is stored", || gateway.listed().len() == 1);
    gateway.signal(rustix::process::Signal::STOP);
    let adopting = plan("other").adopting(PATIENCE);
    let heir = start(&adopting);
    gateway.signal(rustix::process::Signal::CONT);
    until("it has noticed", || is_refused(&gateway.try_grab("FR1", "late")));
    until("and said so", || gateway.log_text().contains("nothing is sold here any more"));
    assert_eq!(gateway.try_create("FR2").0 / 100, 2, "who creates one here");
    until("sells none of it either", || is_refused(&gateway.try_grab("FR2", "late")));
    heir.grab("FR1", "k2");
}

#[test]
fn a_sqlite_file_has_one_gateway_at_a_time_and_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("shared.db").display());
    let plan = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Plan::embedded(&folder).with("store", &store)
    };
    let gateway = start(&plan("one"));
    gateway.create("FR1");
    gateway.grab("FR1", "k");
    let refused = plan("other").run("serve");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("uses the store"), "{text}");
    until("it is stored", || gateway.listed().len() == 1);
    gateway.kill();
    let gateway = start(&plan("other").adopting(PATIENCE));
    assert_eq!(gateway.available("FR1"), 179);
}
