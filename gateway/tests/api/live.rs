//! Live events: what a reader gets first, what then, after coming back, after dawdling, and when it ends.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use farerush::parts::live::LastEventId;
use farerush_engine::flight::FlightId;
use http_body::Body;
use serde_json::{Value, json};
use warp::reply::Response;

use crate::client::TestServer;

/// Longer than anything should take; only there so that a silent stream fails instead of hanging the tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// One event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

/// A reader inside the process: it gets what a connection would, and only as much as it asks for.
struct Reader {
    body: Pin<Box<dyn Body<Data = bytes::Bytes, Error = warp::Error> + Send>>,
    /// Everything read so far.
    bytes: Vec<u8>,
    /// How much of it has been given out as events.
    given: usize,
}

impl Reader {
    async fn open(server: &TestServer, flight: &str, last: Option<&str>) -> Self {
        let last: Option<LastEventId> = last.map(|id| id.parse().unwrap());
        let name = flight.parse().unwrap();
        let response: Response =
            farerush::api::live::stream(name, server.running.system.api.streams.clone(), String::new(), last)
                .await
                .unwrap();
        Self { body: Box::pin(response.into_body()), bytes: Vec::new(), given: 0 }
    }

    /// Takes one piece; `false` at the end.
    async fn read(&mut self) -> bool {
        let piece = std::future::poll_fn(|context| self.body.as_mut().poll_frame(context));
        let piece = tokio::time::timeout(PATIENCE, piece).await.expect("the stream was silent for too long");
        let Some(piece) = piece else { return false };
        self.bytes.extend_from_slice(&piece.unwrap().into_data().unwrap());
        true
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let rest = std::str::from_utf8(&self.bytes[self.given..]).unwrap();
            let Some((block, _)) = rest.split_once("\n\n") else {
                if self.read().await {
                    continue;
                }
                return None;
            };
            self.given += block.len() + 2;
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            if let Some(data) = field("data") {
                let data = serde_json::from_str(&data).unwrap();
                return Some(Event { name: field("event").unwrap(), id: field("id"), data });
            }
        }
    }

    async fn next_seats(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the stream has ended");
            if event.name == "seats" {
                return event;
            }
        }
    }
}

/// The seats as a reader that takes every event would show them.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    seats: BTreeMap<String, String>,
    available: u64,
}

impl Shown {
    fn take(&mut self, event: &Event) {
        assert_eq!(event.name, "seats");
        self.available = event.data["available"].as_u64().unwrap();
        if event.data["reset"] == true {
            self.seats = whole(&event.data["cabins"]);
        }
        for change in event.data["seats"].as_array().into_iter().flatten() {
            let (seat, status) = (change["seat"].as_str().unwrap(), change["status"].as_str().unwrap());
            let before = self.seats.insert(seat.to_owned(), status.to_owned());
            assert!(before.is_some_and(|before| before != status), "{event:?}");
        }
    }

    /// Reads on until this is what the flight is.
    async fn catch_up(&mut self, reader: &mut Reader, server: &TestServer, flight: &str) {
        let goal = Self::now(server, flight).await;
        while *self != goal {
            self.take(&reader.next_seats().await);
        }
    }

    /// The seats as `GET .../seats` shows them.
    async fn now(server: &TestServer, flight: &str) -> Self {
        let map = server.get(&format!("/v1/flights/{flight}/seats")).await.json();
        let rows =
            map["cabins"].as_array().unwrap().iter().flat_map(|cabin| cabin["rows"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let seats: BTreeMap<_, _> = rows
            .flat_map(|row| row["seats"].as_array().unwrap())
            .map(|seat| (text(&seat["seat"]), text(&seat["status"])))
            .collect();
        let available = seats.values().filter(|status| *status == "free").count() as u64;
        Self { seats, available }
    }
}

/// The seats of an event that has them all.
fn whole(cabins: &Value) -> BTreeMap<String, String> {
    let mut seats = BTreeMap::new();
    for cabin in cabins.as_array().unwrap() {
        let first = cabin["rows"][0].as_u64().unwrap();
        let layout = cabin["layout"].as_str().unwrap().replace(' ', "");
        for (row, statuses) in (first..).zip(cabin["seats"].as_array().unwrap()) {
            for (letter, status) in layout.chars().zip(statuses.as_str().unwrap().chars()) {
                let status = match status {
                    'f' => "free",
                    'h' => "held",
                    's' => "sold",
                    'b' => "blocked",
                    other => panic!("unknown status {other}"),
                };
                seats.insert(format!("{row}{letter}"), status.to_owned());
            }
        }
    }
    seats
}

async fn grab(server: &TestServer, seat: &str) {
    server.grab("DEMO1", &json!({"customer_id": seat, "seats": [seat]}).to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_the_whole_and_then_what_changes() {
    let server = TestServer::start().await;
    grab(&server, "12A").await;
    let mut reader = Reader::open(&server, "DEMO1", None).await;
    let sale = reader.next().await.unwrap();
    assert_eq!((sale.name.as_str(), sale.id), ("sale", None));
    assert_eq!(sale.data, server.get("/v1/flights/DEMO1").await.json()["sale"]);
    let first = reader.next().await.unwrap();
    assert_eq!(first.data["reset"], true);
    let mut shown = Shown::default();
    shown.take(&first);
    assert_eq!(shown, Shown::now(&server, "DEMO1").await);
    grab(&server, "14C").await;
    let change = reader.next().await.unwrap();
    let seats = json!([{"seat": "14C", "status": "sold"}]);
    let seq = server.get("/v1/flights/DEMO1").await.json()["seq"].clone();
    assert_eq!(change.data, json!({"seq": seq, "available": 178, "seats": seats}));
    let order = server.grab("DEMO1", r#"{"customer_id":"u","seats":["20A","20B"]}"#).await;
    server.post(&format!("/v1/orders/{}/cancel", order["order_id"].as_str().unwrap()), "").await;
    let body = r#"{"seats":["30F"]}"#;
    assert_eq!(server.admin("POST /v1/admin/flights/DEMO1/seats/block", body).await.status, 200);
    shown.take(&change);
    shown.catch_up(&mut reader, &server, "DEMO1").await;
    assert_eq!(shown.seats["30F"], "blocked");
    server.admin("POST /v1/admin/flights/DEMO1/pause", "").await;
    while reader.next().await.unwrap().data["state"] != "paused" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_get_the_same_bytes() {
    let server = TestServer::start().await;
    let mut readers =
        [Reader::open(&server, "DEMO1", None).await, Reader::open(&server, "DEMO1", None).await];
    for row in 10..20 {
        grab(&server, &format!("{row}A")).await;
    }
    for reader in &mut readers {
        Shown::default().catch_up(reader, &server, "DEMO1").await;
    }
    let [one, other] = &readers;
    assert_eq!(one.bytes, other.bytes);
    assert_eq!(server.running.system.figures.live.readers(), 2);
    drop(readers);
    assert_eq!(server.running.system.figures.live.readers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_back_gets_what_it_missed() {
    let server = TestServer::start().await;
    let mut stays = Reader::open(&server, "DEMO1", None).await;
    let mut shown = Shown::default();
    let mut id = None;
    for row in 10..16 {
        let mut reader = Reader::open(&server, "DEMO1", id.as_deref()).await;
        if let Some(id) = &id {
            // Nothing that was seen comes again, not even the whole state.
            assert_eq!(reader.next().await.unwrap().data["state"], "open", "{id}");
        } else {
            shown.take(&reader.next_seats().await);
        }
        grab(&server, &format!("{row}A")).await;
        let event = reader.next_seats().await;
        assert_ne!(event.data["reset"], true);
        shown.take(&event);
        id = event.id;
        drop(reader);
        // Missed, and seen by the one that stays, so that it is in the ring.
        grab(&server, &format!("{row}B")).await;
        let mut others = Shown::default();
        others.catch_up(&mut stays, &server, "DEMO1").await;
        stays = Reader::open(&server, "DEMO1", None).await;
        let mut reader = Reader::open(&server, "DEMO1", id.as_deref()).await;
        let event = reader.next_seats().await;
        assert_ne!(event.data["reset"], true);
        shown.take(&event);
        id = event.id;
        assert_eq!(shown, others);
    }
    for strange in ["1-999999", "7-3", "nonsense"] {
        let mut reader = Reader::open(&server, "DEMO1", Some(strange)).await;
        assert_eq!(reader.next_seats().await.data["reset"], true, "{strange}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_is_skipped_ahead() {
    let server = TestServer::start().await;
    let mut slow = Reader::open(&server, "RUSH", None).await;
    let mut fast = Reader::open(&server, "RUSH", None).await;
    let mut shown = Shown::default();
    shown.take(&slow.next_seats().await);
    fast.next_seats().await;
    let seats: Vec<&String> = shown.seats.keys().take(4000).collect();
    let half = json!({ "seats": seats }).to_string();
    for _ in 0..12 {
        for way in ["block", "unblock"] {
            let reply = server.admin(&format!("POST /v1/admin/flights/RUSH/seats/{way}"), &half).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            // So many changes are shorter as a whole.
            assert_eq!(fast.next_seats().await.data["reset"], true);
        }
    }
    server.grab("RUSH", r#"{"customer_id":"u","seats":["1A"]}"#).await;
    let before = slow.bytes.len();
    let event = slow.next_seats().await;
    assert_eq!((server.running.system.figures.live.skipped(), &event.data["reset"]), (1, &true.into()));
    assert!(slow.bytes.len() - before < 64 << 10, "it got what it had missed");
    let mut shown = Shown::default();
    shown.take(&event);
    shown.catch_up(&mut slow, &server, "RUSH").await;
    assert_eq!(shown.available, 9989);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_opens_and_closes_by_itself_says_so() {
    let server = TestServer::start().await;
    let in_a_moment = |millis: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(millis);
        format!("{at:.3}")
    };
    let sale = json!({"opens_at": in_a_moment(1500), "closes_at": in_a_moment(1800)});
    let flight = json!({
        "flight_number": "FR1", "flight_id": "TIMED", "origin": "TPE", "destination": "FUK",
        "departs_at": "2030-03-01T08:30:00Z", "aircraft": "AT76",
        "fare": {"amount": 100, "currency": "TWD"}, "sale": sale,
    });
    let created = server.admin("POST /v1/admin/flights", &flight.to_string()).await;
    assert_eq!(created.status, 201, "{created:?}");
    let mut reader = Reader::open(&server, "TIMED", None).await;
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "closed") {
        let event = reader.next().await.unwrap();
        if event.name == "sale" {
            states.push(event.data["state"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(states, ["scheduled", "open", "closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_ends_before_departure_says_so_when_it_does() {
    let server = TestServer::alone(&[]).await;
    // Nobody says anything in between: the stream itself knows when.
    let departs_at = server.running.system.flights.now().plus_millis(30 * 60_000 + 3000);
    let flight = json!({
        "flight_number": "FR1", "flight_id": "LEAVES", "origin": "TPE", "destination": "FUK",
        "departs_at": farerush::base::time::text(departs_at), "aircraft": "AT76",
        "fare": {"amount": 100, "currency": "TWD"}, "sale": {"state": "open", "closes_before_minutes": 30},
    });
    let created = server.admin("POST /v1/admin/flights", &flight.to_string()).await;
    assert_eq!(created.status, 201, "{created:?}");
    let mut reader = Reader::open(&server, "LEAVES", None).await;
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "closed") {
        let event = reader.next().await.unwrap();
        if event.name == "sale" {
            assert_eq!(event.data["closes_before_minutes"], 30);
            states.push(event.data["state"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(states, ["open", "closed"]);
    assert!(server.running.system.flights.now() >= departs_at.plus_millis(-30 * 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_that_is_restarted_begins_anew_and_one_that_is_lost_ends() {
    let server = TestServer::alone(&[]).await;
    let mut reader = Reader::open(&server, "DEMO1", None).await;
    let id = reader.next_seats().await.id.unwrap();
    assert_eq!(server.admin("POST /v1/admin/flights/DEMO1/restart", "").await.status, 200);
    let event = reader.next_seats().await;
    assert_eq!(event.data["reset"], true);
    assert_ne!(event.id.as_ref(), Some(&id));
    let mut back = Reader::open(&server, "DEMO1", Some(&id)).await;
    assert_eq!(back.next_seats().await.data["reset"], true);
    let engine = &server.running.system.flights.engine;
    let flight_id = FlightId::new("DEMO1").unwrap();
    let epoch = engine.flights().iter().find(|f| *f.flight_id() == flight_id).unwrap().status().epoch;
    engine.note_fenced_under(&flight_id, epoch);
    assert_eq!((reader.next().await, back.next().await), (None, None));
    assert_eq!(server.get("/v1/flights/DEMO1/live").await.status, 503);
}

/// Reads a response's head and what comes with it, until the text holds `end`.
async fn read_until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    use tokio::io::AsyncReadExt;
    let mut text = Vec::new();
    loop {
        let count = tokio::time::timeout(PATIENCE, stream.read_buf(&mut text)).await.unwrap().unwrap();
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if so_far.contains(end) {
            return so_far;
        }
        assert!(count > 0, "closed after {so_far:?}");
    }
}

async fn connect(server: &TestServer) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /v1/flights/DEMO1/live HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_neither_idle_nor_kept_by_a_stop() {
    let server = TestServer::with(&[("idle_timeout_ms", "20"), ("header_timeout_ms", "20")]).await;
    let mut stream = connect(&server).await;
    let head = read_until(&mut stream, "\"reset\":true").await;
    for line in ["HTTP/1.1 200", "content-type: text/event-stream", "cache-control: no-store"] {
        assert!(head.contains(line), "{head}");
    }
    assert!(head.contains("x-accel-buffering: no") && head.contains("retry: 1000"), "{head}");
    for row in 10..20 {
        let seat = format!("{row}A");
        grab(&server, &seat).await;
        read_until(&mut stream, &seat).await;
    }
    let began = Instant::now();
    assert!(server.running.stop(PATIENCE).await);
    assert!(began.elapsed() < PATIENCE / 3);
    let rest = crate::client::read_to_end(&mut stream).await;
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_live_is_refused() {
    let server = TestServer::alone(&[("live_readers_max", "1")]).await;
    server.get("/v1/flights/NOPE/live").await.is_problem(404, "FLIGHT_NOT_FOUND");
    server.get("/v1/flights/DEMO1/live?x=1").await.is_problem(400, "INVALID_REQUEST");
    server.post("/v1/flights/DEMO1/live", "").await.is_problem(405, "METHOD_NOT_ALLOWED");
    let head = server.send("HEAD /v1/flights/DEMO1/live", &[], "").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{head:?}");
    assert_eq!(head.text, "");
    let reader = Reader::open(&server, "DEMO1", None).await;
    let refused = server.get("/v1/flights/DEMO1/live").await;
    refused.is_problem(503, "OVERLOADED");
    assert!(refused.header("retry-after").is_some());
    drop(reader);
    let mut stream = connect(&server).await;
    read_until(&mut stream, "\"reset\":true").await;
}
