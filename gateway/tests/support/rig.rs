//! A Redis, a MariaDB and gateways on them, as they are asked over HTTP. For test files that have `servers` and `support`.
//! Never looks inside the program.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{RedisServer, SqlServer};
use crate::support::process::{Gateway, Plan, TOKEN};

/// Longer than anything should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A Redis, a MariaDB, and a folder for gateways.
pub(crate) struct Rig {
    pub(crate) redis: RedisServer,
    pub(crate) mariadb: SqlServer,
    pub(crate) folder: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { redis: RedisServer::start(&[]), mariadb: SqlServer::start(&[]), folder }
    }

    /// How the gateway of this name is started.
    pub(crate) fn plan(&self, name: &str) -> Plan {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Plan::embedded(&folder).with("journal", &self.redis.url()).with("store", &self.mariadb.url())
    }
}

pub(crate) fn start(plan: &Plan) -> Gateway {
    let mut gateway = plan.start();
    gateway.wait_ready(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    gateway
}

/// Gateways of one system, as many as there are names, that hand requests on to one another.
pub(crate) fn together(rig: &Rig, names: &[&str], settings: &[(&str, &str)]) -> Vec<Gateway> {
    let plan = |name: &&str| {
        let plan = rig.plan(name).with("peer_listen", "auto").with("lease_ms", "3000");
        settings.iter().fold(plan, |plan, (key, value)| plan.with(key, value))
    };
    let gateways: Vec<Gateway> = names.iter().map(|name| start(&plan(name))).collect();
    until("each knows of the others", || {
        let members =
            |gateway: &Gateway| gateway.get("/v1/admin/servers").1["servers"].as_array().map(Vec::len);
        gateways.iter().all(|gateway| members(gateway) == Some(names.len()))
    });
    gateways
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Sends one request on a connection of its own.
pub(crate) fn send(address: SocketAddr, request: &str, headers: &str, body: &str) -> (u16, Value) {
    send_file(address, request, &format!("content-type: application/json\r\n{headers}"), body)
}

/// The same with a body of the type that the headers name.
pub(crate) fn send_file(address: SocketAddr, request: &str, headers: &str, body: &str) -> (u16, Value) {
    send_as(address, request, TOKEN, headers, body)
}

/// The same with another admin's token.
pub(crate) fn send_as(
    address: SocketAddr,
    request: &str,
    token: &str,
    headers: &str,
    body: &str,
) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// What a gateway is asked in these tests.
pub(crate) trait Asked {
    fn get(&self, path: &str) -> (u16, Value);
    fn post(&self, path: &str, body: &str) -> (u16, Value);
    fn try_grab(&self, flight: &str, key: &str) -> (u16, Value);

    fn grab(&self, flight: &str, key: &str) -> Value {
        let (status, order) = self.try_grab(flight, key);
        assert_eq!(status, 201, "{order}");
        order
    }

    fn create(&self, flight: &str) {
        let (status, created) = self.try_create(flight);
        assert_eq!(status, 201, "{created}");
    }

    fn try_create(&self, flight: &str) -> (u16, Value) {
        let body = json!({
            "flight_id": flight, "flight_number": "FR1", "origin": "TPE", "destination": "NRT",
            "departs_at": "2030-01-01T00:00:00Z", "aircraft": "A320",
            "fare": {"amount": 99900, "currency": "TWD"},
            "sale": {"state": "open", "max_seats_per_customer": 180},
        });
        self.post("/v1/admin/flights", &body.to_string())
    }

    fn available(&self, flight: &str) -> Value {
        self.get(&format!("/v1/flights/{flight}")).1["available"].clone()
    }

    /// Order ids of customer `u`, once the list is up to date.
    fn listed(&self) -> Vec<Value> {
        let mut orders = Value::Null;
        until("the list is up to date", || {
            let (status, list) = self.get("/v1/orders?customer_id=u&limit=100");
            orders = list["orders"].clone();
            status == 200 && list["up_to_date"] == true
        });
        orders.as_array().unwrap().iter().map(|order| order["order_id"].clone()).collect()
    }

    fn status_of(&self, flight: &str) -> Value {
        let (_, status) = self.get("/v1/admin/status?server=this");
        let flights = status["flights"].as_array().unwrap();
        flights.iter().find(|its| its["flight_id"] == flight).cloned().unwrap_or_default()
    }
}

impl Asked for Gateway {
    fn get(&self, path: &str) -> (u16, Value) {
        send(self.address(), &format!("GET {path}"), "", "")
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        send(self.address(), &format!("POST {path}"), "", body)
    }

    fn try_grab(&self, flight: &str, key: &str) -> (u16, Value) {
        let headers = format!("idempotency-key: {key}\r\n");
        let request = format!("POST /v1/flights/{flight}/orders");
        send(self.address(), &request, &headers, r#"{"customer_id":"u","quantity":1}"#)
    }
}

/// What `farerush verify` shows, which must find nothing.
pub(crate) fn verify(plan: &Plan) -> String {
    let output = plan.run("verify");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{table}{said}");
    table
}
