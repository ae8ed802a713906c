//! What several servers do together so that a client meets one system: limits, figures, what admins have done.
//! Never waits for a time, but where something is counted per second.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rig::{Asked, PATIENCE, Rig, send, send_file, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::process::{Gateway, TOKEN};

/// A limit, in requests a second, and so many seconds of which it is looked at.
const LIMIT: u32 = 100;
const SECONDS: u32 = 5;

/// The status of the next answer on a connection that is kept.
fn ask(stream: &mut TcpStream, request: &str) -> u16 {
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// How many requests a second pass of those that two clients send to these servers in turn: after the burst that is allowed
/// at once, on average, and at most in any one second.
fn let_through(servers: &[SocketAddr], request: &str) -> (f64, u32) {
    let seconds: Vec<AtomicU32> = (0..=SECONDS).map(|_| AtomicU32::new(0)).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..2 {
            let seconds = &seconds;
            scope.spawn(move || {
                let mut streams: Vec<TcpStream> =
                    servers.iter().map(|server| TcpStream::connect(server).unwrap()).collect();
                for stream in &streams {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                }
                let count = streams.len();
                for n in client.. {
                    let passes = ask(&mut streams[n % count], request) != 429;
                    let place = usize::try_from(began.elapsed().as_secs()).unwrap();
                    let Some(second) = seconds.get(place) else { return };
                    second.fetch_add(u32::from(passes), Ordering::Relaxed);
                    // Some four hundred a second: enough to be refused, and little enough not to be busy with that alone.
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            });
        }
    });
    let after_the_burst: Vec<u32> = seconds[1..].iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let average = f64::from(after_the_burst.iter().sum::<u32>()) / f64::from(SECONDS);
    (average, after_the_burst.into_iter().max().unwrap())
}

fn addresses(gateways: &[Gateway]) -> Vec<SocketAddr> {
    gateways.iter().map(Gateway::address).collect()
}

fn check_limit(what: &str, (average, most): (f64, u32)) {
    println!("{what}: {average:.1} a second, {most} at most in one");
    assert!((85.0..=110.0).contains(&average), "{what}: {average}");
    // Whoever was kept from asking for a moment may make up for it at once.
    assert!(most <= 2 * LIMIT, "{what}: {most}");
}

#[test]
fn a_limit_is_the_system_s_whichever_servers_are_asked() {
    let rig = Rig::new();
    let limit = LIMIT.to_string();
    let limits = [
        ("rate_limit_per_address", limit.as_str()),
        ("rate_limit_per_customer", &limit),
        ("rate_limit_per_token", &limit),
        ("trusted_proxies", "127.0.0.0/8"),
    ];
    let gateways = rig::together(&rig, &["one", "two", "three"], &limits);
    let all = addresses(&gateways);
    let nowhere =
        |address: &str| format!("GET /nowhere HTTP/1.1\r\nhost: t\r\nx-forwarded-for: {address}\r\n\r\n");
    for (n, address) in ["203.0.113.1", "203.0.113.2", "203.0.113.3"].into_iter().enumerate() {
        check_limit("an address at three servers", let_through(&all, &nowhere(address)));
        if n == 0 {
            check_limit("an address at one server", let_through(&all[..1], &nowhere("203.0.113.9")));
        }
    }
    let token = format!(
        "GET /v1/admin/servers HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 203.0.113.20\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    // The address may ask no more often.
    check_limit("an admin's token", let_through(&all, &token));
    // A burst is allowed at once, all of it at one server as well.
    let mut stream = TcpStream::connect(all[1]).unwrap();
    let passed = (0..LIMIT).filter(|_| ask(&mut stream, &nowhere("203.0.113.30")) != 429).count();
    assert_eq!(
        passed, LIMIT as usize,
        "nobody is refused before they have had what one server would let through"
    );
    rig.redis.stop();
    check_limit("an address while Redis is stopped", let_through(&all, &nowhere("203.0.113.40")));
    rig.redis.cont();
    until("the servers share flights again", || {
        gateways.iter().all(|gateway| gateway.get("/readyz").0 == 200)
    });
    // One that is asleep counts for nobody: each of the others lets its part through, until it is taken to be gone.
    gateways[2].signal(Signal::STOP);
    for address in ["203.0.113.50", "203.0.113.51", "203.0.113.52"] {
        let (average, most) = let_through(&all[..2], &nowhere(address));
        println!("while a server is asleep: {average:.1} a second, {most} at most in one");
        assert!((60.0..=110.0).contains(&average), "{average}");
    }
    gateways[2].signal(Signal::CONT);
}

fn body_of(flight: &str, departs_at: &str) -> Value {
    json!({
        "flight_id": flight, "flight_number": "FR1", "origin": "TPE", "destination": "NRT",
        "departs_at": departs_at, "aircraft": "A320", "fare": {"amount": 99900, "currency": "TWD"},
    })
}

#[test]
fn a_flight_is_created_once_whichever_server_hears_of_it_again() {
    let rig = Rig::new();
    let gateways = rig::together(&rig, &["one", "two", "three"], &[]);
    let create = |server: &Gateway, key: &str, body: &Value| {
        let headers = format!("idempotency-key: {key}\r\n");
        send(server.address(), "POST /v1/admin/flights", &headers, &body.to_string())
    };
    let body = body_of("FR1", "2030-01-01T00:00:00Z");
    let (status, created) = create(&gateways[0], "k1", &body);
    assert_eq!(status, 201, "{created}");
    let other = body_of("FR1", "2030-01-02T00:00:00Z");
    for gateway in &gateways {
        let (status, again) = create(gateway, "k1", &body);
        assert_eq!(
            (status, &again["flight_id"]),
            (200, &json!("FR1")),
            "the same request once more: {again}"
        );
        for (key, body) in [("k2", &body), ("k3", &other)] {
            let (status, refused) = create(gateway, key, body);
            assert_eq!((status, &refused["code"]), (409, &json!("FLIGHT_EXISTS")), "{key}: {refused}");
        }
        let (status, refused) = create(gateway, "k1", &other);
        assert_eq!(
            (status, &refused["code"]),
            (422, &json!("IDEMPOTENCY_KEY_REUSED")),
            "the key is another request's: {refused}"
        );
        let (status, refused) = gateway.post("/v1/admin/flights", &body.to_string());
        assert_eq!((status, &refused["code"]), (409, &json!("FLIGHT_EXISTS")), "{refused}");
    }
}

#[test]
fn a_file_that_is_sent_to_another_server_again_is_one_import() {
    let rig = Rig::new();
    let gateways = rig::together(&rig, &["one", "two", "three"], &[]);
    let import = |server: &Gateway, query: &str, key: &str, file: &str| {
        let headers = match key {
            "" => "content-type: application/x-ndjson\r\n".to_owned(),
            key => format!("content-type: application/x-ndjson\r\nidempotency-key: {key}\r\n"),
        };
        send_file(server.address(), &format!("POST /v1/admin/flights/import{query}"), &headers, file)
    };
    let lines = |flights: std::ops::Range<u32>, day: u32| {
        let line = |n| body_of(&format!("FR{n}"), &format!("2030-01-{day:02}T00:00:00Z")).to_string() + "\n";
        flights.map(line).collect::<String>()
    };
    let file = lines(0..9, 1);
    let (status, first) = import(&gateways[0], "", "k1", &file);
    assert_eq!((status, &first["created"]), (201, &json!(9)), "{first}");
    // Each has a part of them.
    for n in 0..9 {
        let to = json!({"server": server_name(&gateways[n % 3])}).to_string();
        let (status, moved) = gateways[0].post(&format!("/v1/admin/flights/FR{n}/move"), &to);
        assert_eq!(status, 200, "{moved}");
    }
    for gateway in &gateways {
        let (status, again) = import(gateway, "", "k1", &file);
        assert_eq!((status, &again), (200, &first), "it is the same import");
        let (status, refused) = import(gateway, "", "", &file);
        assert_eq!((status, &refused["further_errors"]), (400, &json!(0)), "{refused}");
        assert_eq!(refused["errors"].as_array().unwrap().len(), 9, "{refused}");
        let (status, skipped) = import(gateway, "?existing=skip", "", &file);
        assert_eq!(
            (status, &skipped["created"], &skipped["skipped"]),
            (200, &json!(0), &json!(9)),
            "{skipped}"
        );
        let (status, refused) = import(gateway, "?existing=skip", "", &lines(0..9, 2));
        assert_eq!(status, 400, "they are other flights: {refused}");
    }
    let (status, more) = import(&gateways[2], "?existing=skip", "", &lines(5..12, 1));
    assert_eq!((status, &more["created"], &more["skipped"]), (201, &json!(3), &json!(4)), "{more}");
}

/// What a server is called.
fn server_name(gateway: &Gateway) -> String {
    let (_, all) = gateway.get("/v1/admin/servers");
    let own = all["servers"].as_array().unwrap().iter().find(|server| server["is_this"] == true).unwrap();
    own["server"].as_str().unwrap().to_owned()
}

#[test]
fn the_status_and_the_samples_are_of_all_servers_and_one_that_does_not_answer_is_named() {
    let rig = Rig::new();
    let gateways = rig::together(&rig, &["one", "two", "three"], &[]);
    for n in 0..6 {
        gateways[n % 3].create(&format!("FR{n}"));
        gateways[0].grab(&format!("FR{n}"), "k");
    }
    let names: Vec<String> = (0..6).map(|n| format!("FR{n}")).collect();
    for gateway in &gateways {
        let mut status = Value::Null;
        until("each flight is told of once", || {
            status = gateway.get("/v1/admin/status").1;
            let flights = status["flights"].as_array().unwrap();
            flights
                .iter()
                .map(|flight| flight["flight_id"].as_str().unwrap())
                .eq(names.iter().map(String::as_str))
        });
        let members = status["members"].as_array().unwrap();
        assert!(
            members.iter().all(|member| member["answered"] == true && member["up_ms"].is_u64()),
            "{status:#}"
        );
        let servers =
            status["flights"].as_array().unwrap().iter().map(|flight| flight["server"].as_str().unwrap());
        assert!(servers.clone().all(|server| members.iter().any(|member| member["server"] == server)));
        assert!(status["events"].as_u64() >= Some(12), "what all have decided: {status:#}");
        let won = |cockpit: &Value| -> u64 {
            let samples = cockpit["samples"].as_array().unwrap().iter();
            samples.map(|sample| sample["grabs"]["won"].as_u64().unwrap()).sum()
        };
        until("all grabs are in the samples", || {
            let (_, cockpit) = gateway.get("/v1/admin/cockpit");
            let servers = cockpit["servers"].as_array().unwrap();
            assert!(
                servers.len() == 3 && servers.iter().all(|server| server["answered"] == true),
                "{cockpit:#}"
            );
            won(&cockpit) == 6
        });
    }
    gateways[2].signal(Signal::STOP);
    let asleep = || {
        let (status, shown) = gateways[0].get("/v1/admin/status");
        assert_eq!(status, 200, "{shown}");
        shown["members"].as_array().unwrap().iter().any(|member| member["answered"] == false)
    };
    assert!(asleep(), "it is a member still, and has said nothing");
    let (_, cockpit) = gateways[1].get("/v1/admin/cockpit");
    let silent = cockpit["servers"].as_array().unwrap().iter().filter(|server| server["answered"] == false);
    assert_eq!(silent.count(), 1, "{cockpit:#}");
    gateways[2].signal(Signal::CONT);
}

#[test]
fn a_rehearsal_is_seen_and_stopped_at_any_server() {
    let rig = Rig::new();
    let gateways = rig::together(&rig, &["one", "two", "three"], &[]);
    gateways[0].create("FR1");
    gateways[1].create("FR2");
    let plan = r#"{"customers": 1000, "over_seconds": 120}"#;
    let (status, begun) = gateways[2].post("/v1/admin/flights/FR1/rehearsals", plan);
    assert_eq!(status, 201, "{begun}");
    let id = begun["rehearsal_id"].as_str().unwrap();
    for gateway in &gateways {
        let (status, shown) = gateway.get(&format!("/v1/admin/rehearsals/{id}"));
        assert_eq!((status, &shown["state"]), (200, &json!("running")), "{shown}");
        assert_eq!(gateway.get(&format!("/v1/admin/rehearsals/{id}/seats")).0, 200);
        let (status, refused) = gateway.post("/v1/admin/flights/FR2/rehearsals", plan);
        assert_eq!((status, &refused["code"]), (409, &json!("LIMIT_EXCEEDED")), "{refused}");
        let (status, nowhere) = gateway.get("/v1/admin/rehearsals/0000000000000000");
        assert_eq!((status, &nowhere["code"]), (404, &json!("NOT_FOUND")), "{nowhere}");
    }
    let (status, stopped) = send(gateways[1].address(), &format!("DELETE /v1/admin/rehearsals/{id}"), "", "");
    assert_eq!((status, &stopped["state"]), (200, &json!("stopped")), "{stopped}");
    for gateway in &gateways {
        assert_eq!(gateway.get(&format!("/v1/admin/rehearsals/{id}")).1["state"], "stopped");
    }
}

#[test]
fn who_drained_a_server_or_moved_a_flight_is_told_at_any_server() {
    let rig = Rig::new();
    let gateways = rig::together(&rig, &["one", "two", "three"], &[]);
    gateways[0].create("FR1");
    let name = server_name(&gateways[1]);
    let made = rig.plan("one").run_with("token", &["create", "--name", "night", "--role", "operator"]);
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let as_night = |server: &Gateway, request: &str, body: &str| {
        let mut answer = (0, Value::Null);
        until("the token holds", || {
            answer =
                rig::send_as(server.address(), request, &token, "content-type: application/json\r\n", body);
            answer.0 != 401
        });
        answer
    };
    let to = json!({"server": name}).to_string();
    let (status, moved) = as_night(&gateways[2], "POST /v1/admin/flights/FR1/move", &to);
    assert_eq!(status, 200, "{moved}");
    let (status, drained) = gateways[0].post(&format!("/v1/admin/servers/{name}/drain"), "");
    assert_eq!(status, 200, "{drained}");
    let (status, resumed) = as_night(&gateways[1], &format!("POST /v1/admin/servers/{name}/resume"), "");
    assert_eq!(status, 200, "{resumed}");
    for gateway in &gateways {
        let (_, all) = gateway.get("/v1/admin/servers");
        let told: Vec<[&str; 3]> = all["actions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|action| ["by", "action", "server"].map(|key| action[key].as_str().unwrap()))
            .collect();
        let name = name.as_str();
        let by = told[1][0];
        assert_ne!(by, "night");
        assert_eq!(
            told,
            [["night", "resume", name], [by, "drain", name], ["night", "move", name]],
            "{all:#}"
        );
        assert_eq!(all["actions"][2]["flight_id"], "FR1");
        assert!(
            all["servers"].as_array().unwrap().iter().all(|server| server["version"].is_string()),
            "{all:#}"
        );
    }
}
