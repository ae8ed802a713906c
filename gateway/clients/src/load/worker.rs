//! The threads that put the load on: each has its own runtime, its own connections and its own records, and shares
//! nothing with the others that is written to often. Never chooses what is asked: see `client`.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::LocalSet;

use super::arguments::LoadPlan;
use super::client::Client;
use super::flights::{self, Flight};
use super::ledger::Ledger;
use super::live;
use super::record::Recorder;
use super::schedule::{Pacer, Schedule};
use super::skew::Skew;
use super::wire::Target;

/// How long an answer is waited for.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long clients may take at the end to learn what became of their last requests.
const WIND_UP: Duration = Duration::from_secs(60);

/// What all workers know.
#[derive(Debug)]
pub struct Run {
    /// What was asked for.
    pub plan: LoadPlan,
    /// Where the server is.
    pub address: SocketAddr,
    /// In front of everything this run names, so that no two runs meet.
    pub name: String,
    /// The `Authorization` header of whoever tells of payments, where a token is at hand.
    pub authorization: Option<String>,
    /// The flights.
    pub flights: Vec<Flight>,
    /// Which of them is asked for.
    pub skew: Skew,
    /// When the first request is sent.
    pub start: Instant,
    /// From when on requests count.
    pub counted_from: Instant,
    /// When the last request is sent.
    pub end: Instant,
    not_refused: AtomicU32,
    ended_after_us: AtomicU64,
    /// What live readers saw.
    pub live: live::Seen,
}

impl Run {
    /// A run that starts now.
    pub fn new(plan: LoadPlan, address: SocketAddr, name: String, flights: Vec<Flight>) -> Self {
        let start = Instant::now();
        let counted_from = start + plan.warmup;
        Self {
            authorization: flights::admin_token(&plan).ok().map(|token| format!("Bearer {token}")),
            skew: Skew::new(flights.len(), plan.skew),
            not_refused: AtomicU32::new(u32::try_from(flights.len()).unwrap_or(u32::MAX)),
            ended_after_us: AtomicU64::new(u64::MAX),
            end: counted_from + plan.duration,
            live: live::Seen::default(),
            plan,
            address,
            name,
            flights,
            start,
            counted_from,
        }
    }

    /// Microseconds since the start.
    pub fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that a flight had too few seats left for a grab; the last one to say so may end the run.
    pub fn note_refused(&self, flight: &Flight, sold_out: bool) {
        let is_news = flight.note_refused();
        if sold_out {
            flight.note_sold_out();
        }
        if is_news && self.not_refused.fetch_sub(1, Ordering::Relaxed) == 1 && self.plan.until_sold_out {
            self.ended_after_us.store(self.micros(Instant::now()), Ordering::Relaxed);
        }
    }

    /// Whether no more requests are to be sent.
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.end || self.ended_after_us.load(Ordering::Relaxed) != u64::MAX
    }

    /// How long it counted.
    pub fn counted(&self) -> Duration {
        let ended = match self.ended_after_us.load(Ordering::Relaxed) {
            u64::MAX => self.end,
            micros => self.start + Duration::from_micros(micros),
        };
        ended.saturating_duration_since(self.counted_from).max(Duration::from_millis(1))
    }
}

/// One thread's part, shared by its clients.
#[derive(Debug)]
pub struct Worker {
    /// What all know.
    pub run: Arc<Run>,
    /// Where requests go.
    pub target: Target,
    /// What is measured.
    pub recorder: Arc<Mutex<Recorder>>,
    /// What was promised.
    pub ledger: RefCell<Ledger>,
    /// Places in the ledger of live orders that nobody is busy with.
    pub idle_orders: RefCell<Vec<u32>>,
    /// How many live orders this worker keeps before it cancels some.
    pub orders_max: usize,
    /// The open loop's arrivals.
    pub pacer: Option<Pacer>,
    number: u32,
    keys: Cell<u64>,
    clients: Cell<u32>,
    clients_max: u32,
}

impl Worker {
    /// Writes a new key over what is in `key`: no two grabs of any two runs have the same one.
    pub fn write_key(&self, key: &mut String) {
        use std::fmt::Write;
        let number = self.keys.get();
        self.keys.set(number + 1);
        key.clear();
        // Writing to memory cannot fail.
        let _ = write!(key, "{}-{}-{number}", self.run.name, self.number);
    }
}

/// How many threads a run has: not more than connections.
pub fn workers_for(plan: &LoadPlan) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX).min(plan.connections).max(1)
}

/// Puts the load on from a thread of its own until the run is over; gives what was promised.
pub fn work(
    run: &Arc<Run>,
    recorder: Arc<Mutex<Recorder>>,
    number: u32,
    workers: u32,
) -> std::io::Result<Ledger> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = &run.plan;
    let share = |all: u32| all / workers + u32::from(number < all % workers);
    let pacer = plan.rate.map(|rate| {
        Pacer::new(Schedule::new(run.start, rate, plan.warmup + plan.duration, number.into(), workers.into()))
    });
    let seats: u64 = run.flights.iter().map(|flight| u64::from(flight.capacity)).sum();
    let orders_max = seats * 7 / 10 / (u64::from(plan.party) * u64::from(workers));
    let worker = Rc::new(Worker {
        target: Target::new(&plan.address),
        ledger: RefCell::default(),
        idle_orders: RefCell::default(),
        orders_max: usize::try_from(orders_max.max(1)).unwrap_or(usize::MAX),
        clients_max: share(plan.connections),
        pacer,
        recorder,
        number,
        keys: Cell::new(0),
        clients: Cell::new(0),
        run: run.clone(),
    });
    let tasks = LocalSet::new();
    let readers = share(plan.live);
    for reader in 0..readers {
        let place = (number + reader * workers) as usize % run.flights.len();
        tasks.spawn_local(live::read(run.clone(), place));
    }
    tasks.block_on(&runtime, put_on(worker.clone()))?;
    drop(tasks);
    Ok(worker.ledger.take())
}

async fn put_on(worker: Rc<Worker>) -> std::io::Result<()> {
    let ends = Rc::new(RefCell::new(Vec::new()));
    let start_one = {
        let (worker, ends) = (worker.clone(), ends.clone());
        move || {
            let number = worker.clients.get();
            if number < worker.clients_max {
                worker.clients.set(number + 1);
                ends.borrow_mut().push(tokio::task::spawn_local(Client::new(&worker, number).run()));
            }
        }
    };
    match &worker.pacer {
        None => (0..worker.clients_max).for_each(|_| start_one()),
        Some(pacer) => pacer.run(worker.run.end, start_one).await?,
    }
    let until = worker.run.end + ANSWER_PATIENCE + WIND_UP;
    loop {
        let Some(end) = ends.borrow_mut().pop() else { break };
        let ended = tokio::time::timeout_at(until.into(), end).await;
        if let Ok(Err(error)) = ended {
            return Err(std::io::Error::other(error));
        }
    }
    if let Some(pacer) = &worker.pacer {
        let mut recorder = worker.recorder.lock();
        pacer.left_over().for_each(|due| recorder.not_sent(due, worker.run.end));
    }
    Ok(())
}

impl Client {
    fn new(worker: &Rc<Worker>, number: u32) -> Self {
        let stream = u64::from(worker.number) << 32 | u64::from(number);
        // Neighbouring seeds give unlike streams only after a good stir.
        let seed = worker.run.plan.seed ^ (stream + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self::seeded(worker.clone(), seed)
    }
}
