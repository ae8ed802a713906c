//! A system under test with its ledger over many rounds: starts it, loads it, breaks it, and has everything checked.
//! Never starts afresh between rounds: what round 1 was promised must still hold in round 20.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::check::{self, Found};
use super::client::{Client, Outcome, Request};
use super::flight::Flight;
use super::ledger::{Grab, Order};
use super::load::{Kind, Load, LoadPlan, Until};
use super::process::{Gateway, Plan};

/// How long a start may take, recovery included.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(30);
/// Seats that are free at the start of a round, at least.
const FREE_SEATS_MIN: usize = 2400;
/// Lines of the log that a failing test shows.
const LOG_LINES_SHOWN: usize = 60;
/// Orders of earlier rounds that each round looks at again.
const OLD_ORDERS_CHECKED: usize = 60;
/// A flight whose holds run out can be compared once they have, which takes a second: not in every round.
const HOLDS_AWAITED_EVERY: u32 = 4;

/// A flight and all that was ever sent to it.
struct Book {
    flight: Arc<Flight>,
    grabs: Vec<Grab>,
}

/// The system under test.
pub(crate) struct World {
    name: String,
    seed: u64,
    pub(crate) rng: fastrand::Rng,
    /// Kept when the test fails.
    folder: Option<TempDir>,
    pub(crate) plan: Plan,
    gateway: Option<Gateway>,
    /// Whether `farerush verify` may run, and does, beside the gateway after each check.
    verifies: bool,
    pub(crate) runtime: Runtime,
    books: BTreeMap<Arc<str>, Book>,
    /// Flights with seats left.
    on_sale: Vec<Arc<Flight>>,
    /// Their free seats, as they were last counted.
    free: HashMap<Arc<str>, usize>,
    /// Most seats that one load has bought.
    bought_max: usize,
    /// For how long the clients of its loads think between two requests, at most.
    pub(crate) clients_think: Duration,
    /// A flight that is being created under load.
    creating: Option<(Flight, JoinHandle<Outcome>)>,
    flights_made: u32,
    loads_made: u32,
    checks_made: u32,
    grabs_total: usize,
}

impl World {
    /// A world with everything embedded, not started yet. `name` is the test's.
    pub(crate) fn embedded(name: &str) -> Self {
        Self::new(name, false, Plan::embedded)
    }

    /// A world whose journal and store are servers, with `farerush verify` after each check.
    pub(crate) fn on_servers(name: &str, journal: &str, store: &str) -> Self {
        let plan = |folder: &Path| Plan::embedded(folder).with("journal", journal).with("store", store);
        Self::new(name, true, plan)
    }

    fn new(name: &str, verifies: bool, plan: impl FnOnce(&Path) -> Plan) -> Self {
        let seed = super::seed();
        println!("{name}: FARERUSH_TEST_SEED={seed}");
        let folder = TempDir::new().expect("a temporary folder is made");
        let plan = plan(folder.path());
        // One thread beside the test's own: the machine belongs to the system under test.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self {
            name: name.to_owned(),
            seed,
            rng: fastrand::Rng::with_seed(seed),
            folder: Some(folder),
            plan,
            gateway: None,
            verifies,
            runtime: runtime.expect("a runtime is made"),
            books: BTreeMap::new(),
            on_sale: Vec::new(),
            free: HashMap::new(),
            bought_max: 0,
            clients_think: Duration::ZERO,
            creating: None,
            flights_made: 0,
            loads_made: 0,
            checks_made: 0,
            grabs_total: 0,
        }
    }

    /// Starts the gateway and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.start_while(|| {});
    }

    /// Starts a gateway and lets `meanwhile` happen before it is waited for.
    pub(crate) fn start_while(&mut self, meanwhile: impl FnOnce()) {
        let mut gateway = self.plan.start();
        meanwhile();
        if let Err(error) = gateway.wait_ready(START_PATIENCE) {
            panic!("the start failed: {error}");
        }
        self.gateway = Some(gateway);
    }

    /// Puts another gateway of the same system in the place of the one that is loaded and asked.
    pub(crate) fn change_places(&mut self, other: &mut Gateway) {
        std::mem::swap(self.gateway(), other);
    }

    /// Kills the gateway.
    pub(crate) fn kill(&mut self) {
        self.take_gateway().kill();
    }

    /// Starts and kills the gateway a few times, at any moment of its start and its recovery.
    pub(crate) fn kill_while_starting(&mut self) {
        while self.rng.u32(..3) == 0 {
            let gateway = self.plan.start();
            std::thread::sleep(Duration::from_millis(self.rng.u64(..250)));
            gateway.kill();
        }
    }

    /// Stops the gateway with SIGTERM; it must end well within its time.
    pub(crate) fn stop(&mut self) -> Duration {
        self.take_gateway().stop()
    }

    /// The running gateway.
    pub(crate) fn gateway(&mut self) -> &mut Gateway {
        self.gateway.as_mut().expect("the gateway runs")
    }

    /// The running gateway, for the caller to end.
    pub(crate) fn take_gateway(&mut self) -> Gateway {
        self.gateway.take().expect("the gateway runs")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.as_ref().expect("the gateway runs").address()
    }

    /// `farerush verify` on what is left; it must find nothing.
    pub(crate) fn verify(&self) {
        let output = self.plan.run("verify");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "verify ended with {}:\n{out}\n{err}", output.status);
    }

    /// The next flight's name.
    pub(crate) fn next_flight_id(&mut self) -> String {
        self.flights_made += 1;
        format!(
            "{}-{}",
            self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "").to_uppercase(),
            self.flights_made
        )
    }

    /// Creates a flight and puts it on sale. It may be there already, from an attempt whose answer was lost.
    pub(crate) fn create(&mut self, flight: Flight) -> Arc<Flight> {
        let flight = Arc::new(flight);
        let address = self.address();
        let created = self.runtime.block_on(async {
            let mut client = Client::new(address);
            check::insist(&mut client, &Request::post("/v1/admin/flights", &flight.creation())).await
        });
        match created {
            Ok(_) => {}
            Err(code) => assert_eq!(code, "FLIGHT_EXISTS", "creating {}", flight.id),
        }
        self.books.insert(flight.id.clone(), Book { flight: Arc::clone(&flight), grabs: Vec::new() });
        self.free.insert(flight.id.clone(), flight.capacity());
        self.on_sale.push(Arc::clone(&flight));
        flight
    }

    /// Sees to it that there are flights of all kinds on sale, with more seats than a load can buy.
    pub(crate) fn fill_the_board(&mut self) {
        let wanted = FREE_SEATS_MIN.max(2 * self.bought_max);
        while self.on_sale.len() < 5 || self.free.values().sum::<usize>() < wanted {
            let id = self.next_flight_id();
            // A hold that runs out while `verify` reads journal and store would look like a difference.
            let fleeting = u32::from(!self.verifies);
            let flight = match self.flights_made % (4 + fleeting) {
                0 => Flight::economy(&id, 0, 10),
                1 => Flight::two_cabins(&id, 35),
                2 => Flight::economy(&id, 1800, 60),
                3 => Flight::economy(&id, 0, 100),
                _ => Flight::economy(&id, 1, 20),
            };
            self.create(flight);
        }
    }

    /// Starts a load on all flights on sale; now and then a flight is created meanwhile.
    pub(crate) fn load(&mut self, clients: u32, until: Until) -> Load {
        let plan = self.load_plan(clients, until);
        if self.creating.is_none() && self.rng.u32(..4) == 0 {
            let flight = Flight::economy(&self.next_flight_id(), 0, 20);
            let (body, address) = (flight.creation(), self.address());
            let delay = Duration::from_millis(self.rng.u64(..200));
            let task = self.runtime.spawn(async move {
                tokio::time::sleep(delay).await;
                Client::new(address).call(&Request::post("/v1/admin/flights", &body)).await
            });
            self.creating = Some((flight, task));
        }
        Load::start(self.runtime.handle(), &plan)
    }

    /// A flight whose creation was acknowledged under load must be there; else it is created now.
    fn finish_creating(&mut self) {
        let Some((flight, task)) = self.creating.take() else { return };
        let outcome = self.runtime.block_on(task).expect("creating a flight does not panic");
        if matches!(outcome, Outcome::Done(_)) {
            let (path, address) = (format!("/v1/flights/{}", flight.id), self.address());
            let asked = async { check::insist(&mut Client::new(address), &Request::get(&path)).await };
            let found = self.runtime.block_on(asked);
            assert!(found.is_ok(), "{} was created, and now: {found:?}", flight.id);
        }
        self.create(flight);
    }

    /// A load on all flights on sale, to be started.
    pub(crate) fn load_plan(&mut self, clients: u32, until: Until) -> LoadPlan {
        self.loads_made += 1;
        LoadPlan {
            address: self.address(),
            name: self.loads_made.to_string(),
            seed: self.rng.u64(..),
            clients,
            flights: self.on_sale.clone(),
            until,
            kind: Kind::All,
            thinks: self.clients_think,
        }
    }

    /// Ends a load and checks all it was promised, a few older promises, and every flight on sale in whole.
    pub(crate) fn check(&mut self, load: Load) -> Vec<(Arc<Flight>, Found)> {
        let grabs = load.finish(self.runtime.handle());
        self.check_grabs(grabs)
    }

    /// The same for grabs that a load has left.
    pub(crate) fn check_grabs(&mut self, grabs: Vec<Grab>) -> Vec<(Arc<Flight>, Found)> {
        self.finish_creating();
        let address = self.address();
        self.grabs_total += grabs.len();
        let settled = self.runtime.block_on(check::settle(address, grabs));
        let bought = settled.iter().filter_map(Grab::order).map(|order| order.seen.seats.len()).sum();
        self.bought_max = self.bought_max.max(bought);
        self.file(settled);
        self.check_some_old_orders();
        self.checks_made += 1;
        let holds_too = self.checks_made.is_multiple_of(HOLDS_AWAITED_EVERY);
        let mut results = Vec::new();
        for flight in self.on_sale.clone().into_iter().filter(|flight| holds_too || !flight.expires()) {
            let found = self.check_flight(&flight);
            results.push((flight, found));
        }
        for (flight, found) in &results {
            self.free.insert(flight.id.clone(), found.free);
        }
        self.free.retain(|_, free| *free > 0);
        self.on_sale.retain(|flight| self.free.contains_key(&flight.id));
        if self.verifies {
            self.verify();
        }
        results
    }

    /// Flights with seats left.
    pub(crate) fn on_sale(&self) -> &[Arc<Flight>] {
        &self.on_sale
    }

    /// All flights there ever were.
    pub(crate) fn flights(&self) -> impl Iterator<Item = &Arc<Flight>> {
        self.books.values().map(|book| &book.flight)
    }

    /// Checks everything that was ever promised.
    pub(crate) fn check_all(&mut self) {
        let address = self.address();
        let mut all = Vec::new();
        for book in self.books.values_mut() {
            all.append(&mut book.grabs);
        }
        let settled = self.runtime.block_on(check::settle(address, all));
        self.file(settled);
        let flights: Vec<_> = self.books.values().map(|book| Arc::clone(&book.flight)).collect();
        let (mut orders, mut seats) = (0, 0);
        for flight in &flights {
            let found = self.check_flight(flight);
            orders += found.orders;
            seats += found.live_seats;
        }
        let (name, grabs) = (&self.name, self.grabs_total);
        println!("{name}: {grabs} grabs, {orders} orders, {seats} seats on {} flights", flights.len());
    }

    fn check_flight(&mut self, flight: &Arc<Flight>) -> Found {
        let address = self.address();
        let book = self.books.get_mut(&flight.id).expect("every flight has its book");
        self.runtime.block_on(check::check_flight(address, flight, &mut book.grabs))
    }

    fn check_some_old_orders(&mut self) {
        let mut drawn = Vec::new();
        for book in self.books.values_mut() {
            for _ in 0..(OLD_ORDERS_CHECKED / 10).min(book.grabs.len()) {
                let place = self.rng.usize(..book.grabs.len());
                drawn.push(book.grabs.swap_remove(place));
            }
        }
        self.rng.shuffle(&mut drawn);
        let rest = drawn.split_off(drawn.len().min(OLD_ORDERS_CHECKED));
        let address = self.address();
        let settled = self.runtime.block_on(check::settle(address, drawn));
        self.file(settled);
        self.file(rest);
    }

    fn file(&mut self, grabs: Vec<Grab>) {
        for grab in grabs {
            let book = self.books.get_mut(&grab.flight.id).expect("every flight has its book");
            book.grabs.push(grab);
        }
    }

    /// How many orders were ever acknowledged, or were found to have been made.
    pub(crate) fn acknowledged(&self) -> usize {
        let orders =
            |book: &Book| book.grabs.iter().filter_map(Grab::order).map(|_: &Order| 1).sum::<usize>();
        self.books.values().map(orders).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What `scripts/matrix` adds up. Everything in the books was asked for again at least once.
            println!("{}: {} acknowledged orders checked, 0 lost", self.name, self.acknowledged());
            return;
        }
        for log in [&self.plan.log, &self.plan.second().log] {
            let Ok(text) = std::fs::read_to_string(log) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
            println!("{}: the last lines of {}:\n{shown}", self.name, log.display());
        }
        let folder = self.folder.take().map(TempDir::keep).unwrap_or_default();
        println!(
            "{}: failed with FARERUSH_TEST_SEED={}; data left in {}",
            self.name,
            self.seed,
            folder.display()
        );
    }
}
