//! The real program with flights on sale, and its API to see whether what the pages show is so.
//! Never goes around the API: what a test prepares, an admin could have done.

use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::{Gateway, POLL, Plan, TOKEN};
use crate::support::world::START_PATIENCE;

/// How long the API may take to say what a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Stage {
    gateway: Gateway,
    http: Client,
    _folder: TempDir,
}

impl Stage {
    /// One without flights.
    pub(crate) fn empty() -> Self {
        Self::with(&[])
    }

    /// One with the demo flights.
    pub(crate) fn demo() -> Self {
        Self::with(&[("demo", "true")])
    }

    /// One with settings of its own.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder is made");
        let plan =
            settings.iter().fold(Plan::embedded(folder.path()), |plan, (key, value)| plan.with(key, value));
        let mut gateway = plan.start();
        gateway.wait_ready(START_PATIENCE).unwrap_or_else(|error| panic!("the start failed: {error}"));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client");
        Self { gateway, http, _folder: folder }
    }

    /// Where it is, such as `http://127.0.0.1:1234`.
    pub(crate) fn site(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// The server itself.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Asks the API; gives the status and the body, `null` if it is no JSON.
    pub(crate) fn asks(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.site()));
        if path.starts_with("/v1/admin") {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = response.status().as_u16();
        let text = response.text().unwrap_or_else(|error| panic!("{path}: {error}"));
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Reads something that is there.
    pub(crate) fn gets(&self, path: &str) -> Value {
        let (status, body) = self.asks(Method::GET, path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Does something that can be done.
    pub(crate) fn posts(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.asks(Method::POST, path, Some(body));
        assert!(matches!(status, 200 | 201), "{path} was answered {status}: {answer}");
        answer
    }

    /// Creates a flight from Taipei to Tokyo that is on sale, with so many rows of six seats, `more` changed.
    pub(crate) fn flight(&self, id: &str, rows: u32, more: &Value) {
        let cabin = json!({"cabin_class": "economy", "rows": [1, rows], "layout": "ABC DEF",
                           "fare": {"amount": 99_900, "currency": "TWD"}});
        let mut body = json!({"flight_id": id, "flight_number": "FR101", "origin": "TPE", "destination": "NRT",
                              "departs_at": "2030-12-24T08:00:00Z", "cabins": [cabin], "sale": {"state": "open"}});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.posts("/v1/admin/flights", &body);
    }

    /// Grabs for a customer.
    pub(crate) fn grabs(&self, flight: &str, body: &Value) -> Value {
        self.posts(&format!("/v1/flights/{flight}/orders"), body)
    }

    /// A flight's seats and what they are, in the order of the map: `12A=sold`.
    pub(crate) fn seats(&self, flight: &str) -> Vec<String> {
        let map = self.gets(&format!("/v1/flights/{flight}/seats"));
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let rows = list(&map["cabins"]).into_iter().flat_map(|cabin| list(&cabin["rows"]));
        let seats = rows.flat_map(|row| list(&row["seats"]));
        let text = |seat: &Value, name: &str| seat[name].as_str().expect("a seat has it").to_owned();
        seats.map(|seat| format!("{}={}", text(&seat, "seat"), text(&seat, "status"))).collect()
    }

    /// All orders of a flight.
    pub(crate) fn orders(&self, flight: &str) -> Vec<Value> {
        let list = self.gets(&format!("/v1/admin/orders?flight_id={flight}&limit=200"));
        assert_eq!(list["up_to_date"], true, "the list is behind: {list}");
        list["orders"].as_array().expect("a list of orders").clone()
    }

    /// Waits until the API says so.
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            std::thread::sleep(POLL);
        }
    }
}

/// A moment so many seconds from now, as the API writes it.
pub(crate) fn from_now(seconds: i64) -> String {
    let now = jiff::Timestamp::now();
    (now + jiff::SignedDuration::from_secs(seconds)).to_string()
}
