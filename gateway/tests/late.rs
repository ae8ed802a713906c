//! Customers who have left are not sold to: what a server could not look at in time, because it was starting or held up, is
//! refused and not decided. The real program, asked over plain sockets whose answers may come late.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rig::{Asked, PATIENCE, send, start, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use servers::{RedisServer, free_port};
use support::process::Plan;

/// How long a request may take here.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(800);
/// Soon, for an answer that waits for nothing.
const SOON: Duration = Duration::from_secs(1);

/// A connection whose requests are sent and whose answers are read at different times.
struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// A grab for one seat; more headers send it the long way.
    fn send_grab(&mut self, customer: &str, headers: &str) {
        let body = format!(r#"{{"customer_id":"{customer}","quantity":1}}"#);
        let request = format!(
            "POST /v1/flights/FR1/orders HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n{headers}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).unwrap();
    }

    /// Status and head of the next answer.
    fn answer(&mut self) -> (u16, String) {
        let mut answer = Vec::new();
        let mut room = [0; 4096];
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = self.0.read(&mut room).unwrap();
            assert!(count > 0, "it ended after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&room[..count]);
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        (text[9..12].parse().unwrap(), text)
    }
}

fn orders_of(gateway: &impl Asked, customer: &str) -> usize {
    let mut orders = 0;
    until("the list is up to date", || {
        let (status, list) = gateway.get(&format!("/v1/orders?customer_id={customer}"));
        orders = list["orders"].as_array().map_or(0, Vec::len);
        status == 200 && list["up_to_date"] == true
    });
    orders
}

#[test]
fn a_server_that_starts_says_so_at_once_and_sells_nothing_to_those_who_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let plan =
        Plan::embedded(folder.path()).with("journal", &redis.url()).with("listen", &address.to_string());
    let plan = plan.with("cors_origins", "https://shop.example");
    let gateway = start(&plan);
    gateway.create("FR1");
    gateway.stop();
    // It comes up only once its journal is there.
    redis.kill();
    let mut starting = plan.start();
    until("it listens", || TcpStream::connect(address).is_ok());
    let mut left = Client::new(address);
    left.send_grab("left", "");
    let mut patient = Client::new(address);
    let began = Instant::now();
    patient.send_grab("patient", "idempotency-key: p\r\n");
    let (status, head) = patient.answer();
    assert!(status == 503 && head.contains("retry-after: "), "{head}");
    // The pages of a shop elsewhere are told so, too, on either way.
    for more in ["", "te: trailers\r\n"] {
        let mut page = Client::new(address);
        page.send_grab("page", &format!("origin: https://shop.example\r\n{more}"));
        let (status, head) = page.answer();
        let allowed = head.contains("access-control-allow-origin: https://shop.example\r\n");
        assert!(status == 503 && allowed && head.contains("access-control-expose-headers: "), "{head}");
    }
    let (status, problem) = send(address, "GET /v1/flights", "", "");
    assert_eq!((status, &problem["code"]), (503, &json!("OVERLOADED")), "{problem}");
    assert_eq!(send(address, "GET /livez", "", ""), (200, json!({"status": "alive"})));
    let (status, ready) = send(address, "GET /readyz", "", "");
    assert_eq!((status, &ready["status"]), (503, &json!("recovering")), "{ready}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(left);
    redis.restart();
    starting.wait_ready(PATIENCE).unwrap();
    assert_eq!((orders_of(&starting, "left"), orders_of(&starting, "patient")), (0, 0));
    assert_eq!(starting.available("FR1"), 180);
    assert_eq!(starting.grab("FR1", "k")["status"], "confirmed");
    starting.stop();
}

#[test]
fn what_was_not_looked_at_within_its_time_is_never_decided() {
    let folder = tempfile::tempdir().unwrap();
    let timeout = REQUEST_TIMEOUT.as_millis().to_string();
    let gateway = start(&Plan::embedded(folder.path()).with("request_timeout_ms", &timeout));
    gateway.create("FR1");
    let address = gateway.address();
    // One that has been served before, on either way, and one that is not even accepted yet.
    let mut known = Client::new(address);
    known.send_grab("before", "");
    assert_eq!(known.answer().0, 201);
    let mut by_hyper = Client::new(address);
    by_hyper.send_grab("before", "te: trailers\r\n");
    assert_eq!(by_hyper.answer().0, 201);
    gateway.signal(Signal::STOP);
    let asleep = Instant::now();
    let mut new = Client::new(address);
    let mut new_by_hyper = Client::new(address);
    known.send_grab("known", "");
    by_hyper.send_grab("by_hyper", "te: trailers\r\n");
    new.send_grab("new", "");
    new_by_hyper.send_grab("new_by_hyper", "te: trailers\r\n");
    let mut impatient = Client::new(address);
    until("their time is over", || asleep.elapsed() > REQUEST_TIMEOUT + REQUEST_TIMEOUT / 4);
    // These have come in time, but for the one whose client waits for a moment only.
    let mut in_time = Client::new(address);
    in_time.send_grab("in_time", "");
    impatient.send_grab("impatient", "request-timeout: 0.2\r\n");
    let sent = Instant::now();
    until("the impatient one has left", || sent.elapsed() > Duration::from_millis(300));
    gateway.signal(Signal::CONT);
    for (client, name) in [
        (&mut known, "known"),
        (&mut by_hyper, "by_hyper"),
        (&mut new, "new"),
        (&mut new_by_hyper, "new_by_hyper"),
        (&mut impatient, "impatient"),
    ] {
        let (status, head) = client.answer();
        assert_eq!(status, 503, "{name}: {head}");
        assert_eq!(orders_of(&gateway, name), 0, "{name}");
    }
    assert_eq!(in_time.answer().0, 201);
    assert_eq!(orders_of(&gateway, "in_time"), 1);
    assert_eq!(gateway.available("FR1"), Value::from(177));
    gateway.stop();
}
