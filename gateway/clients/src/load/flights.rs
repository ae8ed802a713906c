//! The flights of a run: made through the admin API, or looked up. Never changes a flight that was there before.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::arguments::{Flights, LoadPlan};
use super::connection::{Connection, NoAnswer};
use super::deliveries::Deliveries;
use super::wire::{FlightBody, Target, code_of};

/// How long a call outside the load waits for its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a call is tried again while the server says that it is busy or gone.
const BUSY_PATIENCE: Duration = Duration::from_secs(20);
/// Wait before trying again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// Calls outside the load that are under way at once.
pub const CALLS_AT_ONCE: usize = 32;
/// Most seats of a customer on a flight that is made: the load's customers are not to meet this limit.
const SEATS_PER_CUSTOMER: u16 = 10_000;

/// A flight of the run.
#[derive(Debug)]
pub struct Flight {
    /// Its id.
    pub id: String,
    /// Its capacity.
    pub capacity: u32,
    /// How long a grab is held, in seconds; 0 confirms it at once.
    pub hold_seconds: u32,
    /// Whether it was made for this run, so that nobody else sells it.
    pub made: bool,
    /// What its live readers are told.
    pub deliveries: Deliveries,
    sold_out: AtomicBool,
    party_refused: AtomicBool,
}

impl Flight {
    /// A flight that was there before.
    pub fn from_body(body: FlightBody) -> Self {
        Self::new(body, false)
    }

    fn new(body: FlightBody, made: bool) -> Self {
        Self {
            id: body.flight_id,
            capacity: body.capacity,
            hold_seconds: body.sale.hold_seconds,
            made,
            deliveries: Deliveries::default(),
            sold_out: AtomicBool::new(false),
            party_refused: AtomicBool::new(false),
        }
    }

    /// Notes that it said SOLD_OUT. Read first: with many threads a line that nobody writes is free.
    pub fn note_sold_out(&self) {
        self.note_refused();
        if !self.sold_out.load(Ordering::Relaxed) {
            self.sold_out.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that it had too few seats for a grab; whether that is news.
    pub fn note_refused(&self) -> bool {
        !self.party_refused.load(Ordering::Relaxed) && !self.party_refused.swap(true, Ordering::Relaxed)
    }

    /// Whether it has said SOLD_OUT.
    pub fn said_sold_out(&self) -> bool {
        self.sold_out.load(Ordering::Relaxed)
    }

    /// Whether it had too few seats for a grab.
    pub fn has_refused(&self) -> bool {
        self.party_refused.load(Ordering::Relaxed)
    }
}

/// Calls outside the load: each is tried again while the server is busy.
#[derive(Debug)]
pub struct Caller {
    connection: Connection,
    target: Rc<Target>,
    token: Option<Rc<str>>,
    request: Vec<u8>,
}

impl Caller {
    /// One with a connection of its own; `token` goes with every call.
    pub fn new(address: SocketAddr, target: Rc<Target>, token: Option<Rc<str>>) -> Self {
        Self { connection: Connection::new(address, PATIENCE), target, token, request: Vec::new() }
    }

    /// Calls, and gives status and body; the error says that there was no answer. Only what may be repeated is sent.
    pub async fn call(
        &mut self,
        method: &str,
        path: &[&str],
        body: Option<&[u8]>,
    ) -> Result<(u16, Vec<u8>), String> {
        let authorization = self.token.as_deref().map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let until = Instant::now() + BUSY_PATIENCE;
        loop {
            self.target.write(&mut self.request, method, path, &headers, body);
            let answered = self.connection.exchange(&self.request).await;
            let late = Instant::now() > until;
            match answered {
                Ok(answer) if late || !matches!(answer.status, 429 | 502..=504) => {
                    return Ok((answer.status, self.connection.body(&answer).to_vec()));
                }
                Err(NoAnswer::NotConnected(error) | NoAnswer::Lost(error)) if late => {
                    return Err(format!("no answer to {method} {}: {error}", path.concat()));
                }
                Ok(_) | Err(_) => tokio::time::sleep(BUSY_PAUSE).await,
            }
        }
    }
}

/// Calls `work` once for each number below `count`, several at a time; the first error ends it.
pub async fn for_each<W>(
    address: SocketAddr,
    target: &Rc<Target>,
    token: Option<Rc<str>>,
    count: usize,
    work: W,
) -> Result<(), String>
where
    W: AsyncFn(&mut Caller, usize) -> Result<(), String> + 'static,
{
    let (next, work) = (Rc::new(Cell::new(0)), Rc::new(work));
    let tasks = LocalSet::new();
    let mut ends = Vec::new();
    for _ in 0..CALLS_AT_ONCE.min(count) {
        let mut caller = Caller::new(address, target.clone(), token.clone());
        let (next, work) = (next.clone(), work.clone());
        ends.push(tasks.spawn_local(async move {
            loop {
                let number = next.get();
                if number >= count {
                    return Ok(());
                }
                next.set(number + 1);
                if let Err(error) = work(&mut caller, number).await {
                    next.set(count);
                    return Err(error);
                }
            }
        }));
    }
    tasks
        .run_until(async {
            for end in ends {
                end.await.map_err(|error| error.to_string())??;
            }
            Ok(())
        })
        .await
}

/// Makes or finds the flights of the run, in order.
pub async fn prepare(plan: &LoadPlan, address: SocketAddr, run: &str) -> Result<Vec<Flight>, String> {
    let target = Rc::new(Target::new(&plan.address));
    let (count, token) = match &plan.flights {
        Flights::Named(ids) => (ids.len(), None),
        Flights::Made { count, .. } => (*count as usize, Some(Rc::from(admin_token(plan)?))),
    };
    let found: Rc<std::cell::RefCell<Vec<Option<Flight>>>> = Rc::default();
    found.borrow_mut().resize_with(count, || None);
    let (into, plan, run) = (found.clone(), plan.clone(), run.to_owned());
    for_each(address, &target, token, count, async move |caller, number| {
        let flight = match &plan.flights {
            Flights::Named(ids) => look_up(caller, &ids[number]).await?,
            Flights::Made { seats, .. } => make(caller, &plan, *seats, &run, number).await?,
        };
        into.borrow_mut()[number] = Some(flight);
        Ok(())
    })
    .await?;
    Ok(found.take().into_iter().flatten().collect())
}

/// Closes the sales of the flights that were made for the run, so that nobody is offered them any longer.
pub async fn close(plan: &LoadPlan, address: SocketAddr, flights: &[Flight]) -> Result<(), String> {
    let made: Vec<String> =
        flights.iter().filter(|flight| flight.made).map(|flight| flight.id.clone()).collect();
    if made.is_empty() {
        return Ok(());
    }
    let (target, token) = (Rc::new(Target::new(&plan.address)), Some(Rc::from(admin_token(plan)?)));
    for_each(address, &target, token, made.len(), async move |caller, number| {
        let id = &made[number];
        let path = ["/v1/admin/flights/", id.as_str(), "/close"];
        match caller.call("POST", &path, None).await? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("closing flight {id} was answered {status} {}", code_of(&body))),
        }
    })
    .await
}

async fn look_up(caller: &mut Caller, id: &str) -> Result<Flight, String> {
    let (status, body) = caller.call("GET", &["/v1/flights/", id], None).await?;
    match status {
        200 => Ok(Flight::from_body(flight_in(&body)?)),
        404 => Err(format!("the server has no flight {id} (--flight)")),
        _ => Err(format!("reading flight {id} was answered {status} {}", code_of(&body))),
    }
}

async fn make(
    caller: &mut Caller,
    plan: &LoadPlan,
    seats: u16,
    run: &str,
    number: usize,
) -> Result<Flight, String> {
    let id = format!("{}-{run}-{}", plan.prefix, number + 1);
    let body = new_flight(&id, number, seats, plan);
    let (status, answer) = caller.call("POST", &["/v1/admin/flights"], Some(&body)).await?;
    match (status, code_of(&answer)) {
        (201, _) => Ok(Flight::new(flight_in(&answer)?, true)),
        // An earlier try was taken in without an answer.
        (409, "FLIGHT_EXISTS") => look_up(caller, &id).await.map(|flight| Flight { made: true, ..flight }),
        (401 | 403, _) => Err(
            "the server does not take the admin token, so that no flight can be made; give the right one with \
             --admin-token or --admin-token-file, or use flights that are there with --flight"
                .to_owned(),
        ),
        (status, code) => {
            let text = String::from_utf8_lossy(&answer);
            Err(format!("making flight {id} was answered {status} {code}: {text}"))
        }
    }
}

fn flight_in(body: &[u8]) -> Result<FlightBody, String> {
    let flight: FlightBody = serde_json::from_slice(body)
        .map_err(|error| format!("the server answered with what is no flight ({error})"))?;
    if flight.sale.state != "open" {
        let FlightBody { flight_id, sale, .. } = flight;
        return Err(format!("the sale of flight {flight_id} is {}; open it first", sale.state));
    }
    Ok(flight)
}

/// The token: what was given, else the environment, else the file of a server started in this folder.
pub fn admin_token(plan: &LoadPlan) -> Result<String, String> {
    let from_file = |path: &std::path::Path| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    if let Some(token) = &plan.admin_token {
        return Ok(token.clone());
    }
    if let Some(path) = &plan.admin_token_file {
        return from_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    }
    if let Ok(token) = std::env::var("FARERUSH_ADMIN_TOKEN") {
        return Ok(token);
    }
    from_file(std::path::Path::new("data/admin.token")).map_err(|_| {
        "making flights needs the admin token: give it with --admin-token, --admin-token-file or \
         FARERUSH_ADMIN_TOKEN, or use flights that are there with --flight"
            .to_owned()
    })
}

/// The body that makes a flight of exactly so many seats.
pub fn new_flight(id: &str, number: usize, seats: u16, plan: &LoadPlan) -> Vec<u8> {
    let (layout, width) = match seats {
        0..=5_994 => ("ABC DEF", 6),
        5_995..=9_990 => ("ABC DEFG HJK", 10),
        _ => ("ABCDE FGHJKL MNOPQ", 16),
    };
    let fare = serde_json::json!({"amount": 99_900, "currency": "TWD"});
    let cabin = |rows: [u16; 2], layout: &str| serde_json::json!({"cabin_class": "economy", "rows": rows, "layout": layout, "fare": fare});
    let (rows, rest) = (seats / width, seats % width);
    let mut cabins = Vec::new();
    if rows > 0 {
        cabins.push(cabin([1, rows], layout));
    }
    if rest > 0 {
        let letters: String = layout.chars().filter(|letter| *letter != ' ').take(rest.into()).collect();
        cabins.push(cabin([rows + 1, rows + 1], &letters));
    }
    serde_json::json!({
        "flight_id": id,
        "flight_number": format!("LD{}", number % 9_999 + 1),
        "origin": "TPE",
        "destination": "NRT",
        "departs_at": "2035-01-01T08:00:00Z",
        "cabins": cabins,
        "sale": {
            "state": "open",
            "max_seats_per_order": plan.party.max(9),
            "max_seats_per_customer": SEATS_PER_CUSTOMER,
            "hold_seconds": plan.scenario.hold_seconds(),
        },
    })
    .to_string()
    .into_bytes()
}
