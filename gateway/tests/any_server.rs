//! Several real processes on one Redis and one store, and clients that ask whichever they reach: each answers for all flights.
//! Never waits for a time, only for what is to come about.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use rig::{Asked, PATIENCE, Rig, send, until};
use serde_json::{Value, json};
use support::process::Gateway;

/// Gateways of one system that hand requests on to one another; the flights are the first one's.
fn three(rig: &Rig) -> Vec<Gateway> {
    rig::together(rig, &["one", "two", "three"], &[])
}

#[test]
fn any_server_takes_any_request_about_any_flight() {
    let rig = Rig::new();
    let gateways = three(&rig);
    gateways[0].create("FR1");
    for (n, gateway) in gateways.iter().enumerate() {
        let address = gateway.address();
        let other = gateways[(n + 1) % 3].address();
        let key = format!("idempotency-key: k{n}\r\n");
        let body = json!({"customer_id": format!("c{n}"), "quantity": 2}).to_string();
        let (status, order) = send(address, "POST /v1/flights/FR1/orders", &key, &body);
        assert_eq!(status, 201, "{order}");
        let (status, again) = send(other, "POST /v1/flights/FR1/orders", &key, &body);
        assert_eq!((status, &again["order_id"]), (200, &order["order_id"]), "the key is known everywhere");
        let id = order["order_id"].as_str().unwrap();
        let change = json!({"passengers": [{"name": "Lin"}, {"name": "Wu"}]}).to_string();
        let (status, changed) = send(address, &format!("PATCH /v1/orders/{id}"), "", &change);
        assert_eq!(status, 200, "{changed}");
        let (status, seen) = send(other, &format!("GET /v1/orders/{id}"), "", "");
        assert_eq!((status, &seen["seats"]), (200, &changed["seats"]), "{seen}");
        let (status, seats) = send(address, "GET /v1/flights/FR1/seats", "", "");
        assert_eq!(status, 200, "{seats}");
        let (status, flight) = send(address, "GET /v1/flights/FR1", "", "");
        assert_eq!((status, &flight["available"]), (200, &json!(178)), "{flight}");
        for path in ["manifest", "audit", "waitlist", "refunds"] {
            let (status, answer) = send(address, &format!("GET /v1/admin/flights/FR1/{path}"), "", "");
            assert_eq!(status, 200, "{path}: {answer}");
        }
        let (status, answer) = send(address, "POST /v1/admin/flights/FR1/pause", "", "");
        assert_eq!(status, 200, "{answer}");
        let (status, refused) = send(other, "POST /v1/flights/FR1/orders", "", &body);
        assert_eq!((status, &refused["code"]), (409, &json!("SALE_PAUSED")), "{refused}");
        let (status, answer) = send(other, "POST /v1/admin/flights/FR1/open", "", "");
        assert_eq!(status, 200, "{answer}");
        let (status, cancelled) = send(other, &format!("DELETE /v1/orders/{id}"), "", "");
        assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")), "{cancelled}");
        let (status, nowhere) = send(address, "GET /v1/flights/NONE", "", "");
        assert_eq!((status, &nowhere["code"]), (404, &json!("FLIGHT_NOT_FOUND")), "{nowhere}");
    }
}

#[test]
fn every_server_lists_all_flights_in_pages() {
    let rig = Rig::new();
    let gateways = three(&rig);
    for n in 0..9 {
        gateways[n % 3].create(&format!("FR{n}"));
    }
    let names = |page: &Value| -> Vec<String> {
        let flights = page["flights"].as_array().unwrap().iter();
        flights.map(|flight| flight["flight_id"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<String> = (0..9).map(|n| format!("FR{n}")).collect();
    for gateway in &gateways {
        let (status, page) = gateway.get("/v1/flights");
        assert_eq!((status, names(&page)), (200, all.clone()), "{page}");
        assert_eq!((&page["flights_elsewhere"], &page["next_cursor"]), (&json!(0), &Value::Null));
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for (page_no, size) in [4, 4, 1].into_iter().enumerate() {
            // Each page from another server.
            let (_, page) = gateways[page_no].get(&format!("/v1/flights?limit=4{cursor}"));
            assert_eq!(names(&page).len(), size, "{page}");
            seen.extend(names(&page));
            cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        assert_eq!((seen, cursor), (all.clone(), String::new()));
        let (status, problem) = gateway.get("/v1/flights?limit=0");
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_REQUEST")));
    }
}

#[test]
fn an_admin_says_at_any_server_which_one_has_which_flights() {
    let rig = Rig::new();
    let gateways = three(&rig);
    for n in 0..12 {
        gateways[0].create(&format!("FR{n}"));
    }
    let servers =
        |gateway: &Gateway| gateway.get("/v1/admin/servers").1["servers"].as_array().unwrap().clone();
    let names: Vec<String> = gateways
        .iter()
        .map(|gateway| {
            let own = servers(gateway).into_iter().find(|server| server["is_this"] == true).unwrap();
            own["server"].as_str().unwrap().to_owned()
        })
        .collect();
    let owner = |flight: &str| {
        let has = |gateway: &Gateway| gateway.status_of(flight)["flight_id"] == flight;
        gateways.iter().position(has)
    };
    for to in [1, 2, 0] {
        // Whoever is asked.
        let body = json!({"server": names[to]}).to_string();
        let (status, placed) = gateways[2].post("/v1/admin/flights/FR3/move", &body);
        assert_eq!((status, &placed["server"]), (200, &json!(names[to])), "{placed}");
        assert_eq!(owner("FR3"), Some(to));
        assert_eq!(gateways[1].get("/v1/flights/FR3").0, 200);
    }
    let (status, problem) = gateways[2].post("/v1/admin/flights/FR3/move", r#"{"server":"nobody"}"#);
    assert_eq!((status, &problem["code"]), (404, &json!("NOT_FOUND")), "{problem}");
    let (status, problem) = gateways[2].post("/v1/admin/flights/NONE/move", r#"{"server":null}"#);
    assert_eq!((status, &problem["code"]), (404, &json!("FLIGHT_NOT_FOUND")), "{problem}");
    let (status, answer) = gateways[1].post(&format!("/v1/admin/servers/{}/drain", names[0]), "");
    assert_eq!(status, 200, "{answer}");
    until("all flights have left the server, the one that is to be there as well", || {
        let has_none = |server: &Value| {
            server["server"] == *names[0] && server["takes_flights"] == false && server["flights"] == 0
        };
        servers(&gateways[1]).iter().any(has_none)
            && (0..12).all(|n| owner(&format!("FR{n}")).is_some_and(|owner| owner != 0))
    });
    let (status, answer) = gateways[2].post(&format!("/v1/admin/servers/{}/resume", names[0]), "");
    assert_eq!(status, 200, "{answer}");
    until("it has flights again, and the one that is to be there", || owner("FR3") == Some(0));
    let (status, answer) = gateways[1].post("/v1/admin/flights/FR3/move", r#"{"server":null}"#);
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_token_is_made_and_revoked_at_one_server_for_all() {
    let rig = Rig::new();
    let gateways = three(&rig);
    let status = |gateway: &Gateway, token: &str| {
        let headers = format!("authorization: Bearer {token}\r\n");
        send_as(gateway.address(), "GET /v1/admin/status", &headers)
    };
    let plan = |name: &str| rig.plan(name);
    let made = plan("one").run_with("token", &["create", "--name", "night", "--role", "viewer"]);
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(token.starts_with("farerush_"), "{made:?}");
    until("the token holds at each server", || gateways.iter().all(|gateway| status(gateway, &token) == 200));
    let revoked = plan("three").run_with("token", &["revoke", "--name", "night"]);
    assert!(revoked.status.success(), "{revoked:?}");
    let since = Instant::now();
    until("it holds at none", || gateways.iter().all(|gateway| status(gateway, &token) == 401));
    println!("revoked everywhere after {:?}", since.elapsed());
    let again = plan("two").run_with("token", &["create", "--name", "night", "--role", "viewer"]);
    assert!(!again.status.success(), "its name is not given again: {again:?}");
}

/// The status of an answer to somebody who shows what these headers say.
fn send_as(address: std::net::SocketAddr, request: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The next event of a stream, as JSON.
fn event(stream: &mut impl BufRead) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ends");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[test]
fn a_flight_is_followed_at_any_server() {
    let rig = Rig::new();
    let gateways = three(&rig);
    gateways[0].create("FR1");
    let mut streams: Vec<_> = gateways
        .iter()
        .map(|gateway| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            write!(stream, "GET /v1/flights/FR1/live HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
            BufReader::new(stream)
        })
        .collect();
    for stream in &mut streams {
        event(stream);
    }
    gateways[1].grab("FR1", "k");
    for stream in &mut streams {
        while event(stream)["available"] != 179 {}
    }
}
