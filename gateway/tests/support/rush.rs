//! A crowd that comes at a stated rate to one address, buys one seat after the other on many flights, and remembers all that was
//! acknowledged and when. Asks again under the same key until it knows. Never decides what is well: it tells what it saw.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::process::TOKEN;

/// How long one answer may take; longer than nginx and any gateway take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long somebody tries to learn what became of an order.
const ORDER_PATIENCE: Duration = Duration::from_secs(60);
/// Before somebody asks again who was told to.
const PAUSE: Duration = Duration::from_millis(20);
/// Requests under way at once; nginx lets one address have 2,000.
const CUSTOMERS_MAX: u64 = 1_900;
/// Rows of ten seats that each flight has.
pub(crate) const ROWS: usize = 199;
pub(crate) const SEATS: usize = ROWS * 10;

/// An order as it was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Bought {
    pub(crate) order: String,
    seat: String,
    /// What `farerush verify --receipts` wants of it.
    receipt: String,
    pub(crate) at: Instant,
}

/// The crowd.
#[derive(Debug)]
pub(crate) struct Rush {
    /// Where it asks.
    shop: SocketAddr,
    rate: u64,
    pub(crate) flights: Vec<Mutex<Vec<Bought>>>,
    /// Answers that were neither an order nor a refusal, by what they were.
    pub(crate) failures: Mutex<std::collections::BTreeMap<String, u64>>,
    next: AtomicU64,
    pub(crate) reads: AtomicUsize,
    is_over: AtomicBool,
}

pub(crate) fn name(flight: usize) -> String {
    format!("FR{flight}")
}

/// What makes a flight of `SEATS` seats.
pub(crate) fn body_of(flight: usize) -> String {
    format!(
        r#"{{"flight_id":"{}","flight_number":"FR1","origin":"TPE","destination":"NRT","departs_at":"2099-01-01T00:00:00Z","cabins":[{{"cabin_class":"economy","rows":[1,{ROWS}],"layout":"ABC DEFG HJK","fare":{{"amount":99900,"currency":"TWD"}}}}],"sale":{{"state":"open"}}}}"#,
        name(flight)
    )
}

/// One kept connection, made again when it breaks.
struct Line {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Line {
    fn new(to: SocketAddr) -> Self {
        Self { to, stream: None, buffer: Vec::with_capacity(4_096) }
    }

    /// Status and body; an error where there is no whole answer.
    async fn ask(&mut self, request: &[u8]) -> Result<(u16, &str), String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                TcpStream::connect(self.to).await.map_err(|error| format!("connecting: {}", error.kind()))?
            }
        };
        let buffer = &mut self.buffer;
        buffer.clear();
        let exchange = async {
            stream.write_all(request).await?;
            loop {
                if let Some(end) = whole(buffer) {
                    return Ok(end);
                }
                if stream.read_buf(buffer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        let told: Result<_, std::io::Error> =
            timeout(ANSWER_PATIENCE, exchange).await.map_err(|_| "no answer in time".to_owned())?;
        let (body, closes) = told.map_err(|error| format!("broken off: {}", error.kind()))?;
        let text = std::str::from_utf8(buffer).map_err(|error| error.to_string())?;
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or("no status")?;
        if !closes {
            self.stream = Some(stream);
        }
        Ok((status, &text[body..]))
    }
}

/// Where the body of a whole answer begins, and whether its connection ends.
fn whole(bytes: &[u8]) -> Option<(usize, bool)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let value = |name: &str| {
        let lines = head.split("\r\n").skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let length: usize = value("content-length")?.parse().ok()?;
    let body = head.len() + 4;
    (bytes.len() >= body + length).then(|| (body, value("connection") == Some("close")))
}

/// The text behind `"field":"`.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

impl Rush {
    /// A crowd of `rate` a second, which has not begun yet.
    pub(crate) fn new(shop: SocketAddr, rate: u64, flights: usize) -> Arc<Self> {
        Arc::new(Self {
            shop,
            rate,
            flights: (0..flights).map(|_| Mutex::default()).collect(),
            failures: Mutex::default(),
            next: AtomicU64::new(0),
            reads: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        })
    }

    /// Lets it loose, on two threads; ends with `end`. `readers` are servers that are asked how many seats are left, too.
    pub(crate) fn begin(self: &Arc<Self>, readers: &[SocketAddr]) -> Running {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let began = Instant::now();
        // As many as may have to wait while a request takes as long as one may.
        let customers = (self.rate * 6).clamp(64, CUSTOMERS_MAX);
        let mut tasks: Vec<_> =
            (0..customers).map(|_| runtime.spawn(customer(self.clone(), began))).collect();
        tasks.extend(readers.iter().map(|server| runtime.spawn(reader(self.clone(), *server))));
        Running { rush: self.clone(), runtime, tasks }
    }

    fn fail(&self, what: &str) {
        *self.failures.lock().entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn sold(&self) -> usize {
        self.flights.iter().map(|flight| flight.lock().len()).sum()
    }

    /// How many of these were acknowledged after `since`, on the flight where they are fewest.
    pub(crate) fn fewest_since(&self, flights: &[usize], since: Instant) -> usize {
        let later = |flight: &usize| {
            self.flights[*flight].lock().iter().rev().take_while(|order| order.at > since).count()
        };
        flights.iter().map(later).min().unwrap_or(usize::MAX)
    }

    /// The longest time between two acknowledged orders of each of these flights, of those times that go on after `since`.
    pub(crate) fn gaps(&self, flights: &[usize], since: Instant) -> Vec<Duration> {
        let gap = |flight: &usize| {
            let orders = self.flights[*flight].lock();
            let mut times: Vec<Instant> = orders.iter().map(|order| order.at).collect();
            times.sort_unstable();
            let pairs = times.windows(2).filter(|pair| pair[1] > since);
            pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
        };
        flights.iter().map(gap).collect()
    }

    /// Nobody got the id or the seat of another one; how many orders that was looked at for.
    pub(crate) fn nothing_is_twice(&self) -> usize {
        let mut ids = HashSet::new();
        for (flight, orders) in self.flights.iter().enumerate() {
            let mut seats = HashSet::new();
            for order in orders.lock().iter() {
                assert!(ids.insert(order.order.clone()), "{} was given twice", order.order);
                assert!(seats.insert(order.seat.clone()), "{} {} was sold twice", name(flight), order.seat);
            }
        }
        ids.len()
    }

    /// All that was acknowledged, as `farerush verify --receipts` reads it.
    pub(crate) fn receipts(&self) -> String {
        let mut text = String::new();
        for flight in &self.flights {
            for order in flight.lock().iter() {
                writeln!(text, "{}", order.receipt).unwrap();
            }
        }
        text
    }
}

/// A crowd that is on its way; one that is dropped ends.
pub(crate) struct Running {
    rush: Arc<Rush>,
    runtime: tokio::runtime::Runtime,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Lets everybody learn what became of the last order; whoever saw what may not be fails the test.
    pub(crate) fn end(mut self) {
        self.rush.is_over.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut self.tasks) {
            self.runtime.block_on(task).expect("nobody in the crowd saw what may not be");
        }
    }

    /// Whether somebody has ended already, which nobody does by himself.
    pub(crate) fn has_failed(&self) -> bool {
        self.tasks.iter().any(tokio::task::JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.rush.is_over.store(true, Ordering::Relaxed);
    }
}

/// Takes the next place in the line whenever it is free, and asks when that is due.
async fn customer(rush: Arc<Rush>, began: Instant) {
    let mut line = Line::new(rush.shop);
    while !rush.is_over.load(Ordering::Relaxed) {
        let number = rush.next.fetch_add(1, Ordering::Relaxed);
        let due = began + Duration::from_secs_f64(number as f64 / rush.rate as f64);
        sleep_until(due.into()).await;
        let (turn, flights) = (usize::try_from(number).unwrap(), rush.flights.len());
        // Each in turn, shifted with each round, or a balancer that asks its servers in turn would ask the same one for it always.
        let flight = (turn + turn / flights) % flights;
        buy(&rush, &mut line, flight, number).await;
    }
}

async fn buy(rush: &Rush, line: &mut Line, flight: usize, number: u64) {
    let body = format!(r#"{{"customer_id":"c{number}","quantity":1}}"#);
    let request = format!(
        "POST /v1/flights/{}/orders HTTP/1.1\r\nhost: farerush.test\r\nidempotency-key: k{number}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        name(flight),
        body.len()
    );
    let deadline = Instant::now() + ORDER_PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{} does not sell: k{number}", name(flight));
        match line.ask(request.as_bytes()).await {
            Ok((200 | 201, order)) => {
                let text = |name| field(order, name).unwrap_or_else(|| panic!("no {name} in {order}"));
                let (id, proof) = (text("order_id"), text("proof"));
                let (_, rest) = order.split_once("\"seq\":").expect("an order has a seq");
                let seq: String = rest.chars().take_while(char::is_ascii_digit).collect();
                let receipt = format!(r#"{{"order_id":"{id}","seq":{seq},"proof":"{proof}"}}"#);
                let (order, seat) = (id.to_owned(), text("seat").to_owned());
                rush.flights[flight].lock().push(Bought { order, seat, receipt, at: Instant::now() });
                return;
            }
            Ok((status @ (429 | 500..), problem)) => {
                rush.fail(&format!("{status} {}", field(problem, "code").unwrap_or("?")));
            }
            Ok((status, problem)) => panic!("{}: {status} {problem}", name(flight)),
            Err(why) => rush.fail(&why),
        }
        sleep_until((Instant::now() + PAUSE).into()).await;
    }
}

/// Whoever shows a flight knows of everything that was acknowledged before it was asked.
async fn reader(rush: Arc<Rush>, server: SocketAddr) {
    let mut line = Line::new(server);
    let mut count = 0;
    while !rush.is_over.load(Ordering::Relaxed) {
        count += 1;
        let flight = count % rush.flights.len();
        let sold = rush.flights[flight].lock().len();
        let request = format!(
            "GET /v1/flights/{} HTTP/1.1\r\nhost: farerush.test\r\nauthorization: Bearer {TOKEN}\r\n\r\n",
            name(flight)
        );
        if let Ok((200, shown)) = line.ask(request.as_bytes()).await {
            let (_, rest) = shown.split_once("\"available\":").expect("a flight has available seats");
            let free: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let free: usize = free.parse().unwrap();
            assert!(
                free + sold <= SEATS,
                "{server} shows {} with {free} free seats, though {sold} were sold before",
                name(flight)
            );
            rush.reads.fetch_add(1, Ordering::Relaxed);
        }
        sleep_until((Instant::now() + PAUSE).into()).await;
    }
}

/// Of sorted times, the one below which so many of a thousand are.
pub(crate) fn per_mille(sorted: &[Duration], part: usize) -> Duration {
    let place = (sorted.len() * part / 1_000).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
