//! The load: clients that grab, confirm, cancel, move, repeat and look, each with its own orders, and that write down
//! what they were told. Never sees another client's orders, so that what each one must be told is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::client::{Client, Outcome, Request};
use super::flight::Flight;
use super::ledger::{Change, Grab, Order, Seen, State, Status};

/// How long a client rests after "nothing was done".
const REST: Duration = Duration::from_millis(5);

/// When the clients stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// As soon as their connection breaks.
    Lost,
    /// When they are told to.
    Told,
}

/// What the clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything, grabs most of all.
    All,
    /// Grabs by number.
    OnlyGrab,
    /// Grabs, nearly all of them cancelled at once, so that nothing sells out.
    GiveBack,
}

/// What the clients share.
#[derive(Debug, Default)]
struct Pulse {
    stop: AtomicBool,
    /// Acknowledged grabs.
    sold: AtomicU64,
    /// Answers that a flight is sold out.
    sold_out: AtomicU64,
    /// Answers that said that nothing was done.
    not_done: AtomicU64,
    /// Answers that said that nobody knows.
    unknown: AtomicU64,
    /// The longest that any answer took, in milliseconds.
    slowest_ms: AtomicU64,
}

/// What a load does.
#[derive(Debug, Clone)]
pub(crate) struct LoadPlan {
    pub(crate) address: std::net::SocketAddr,
    /// What all names in it begin with; no two loads of a test have the same.
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) clients: u32,
    pub(crate) flights: Vec<Arc<Flight>>,
    pub(crate) until: Until,
    pub(crate) kind: Kind,
    /// For how long a client thinks before it asks for something else, at most: it keeps a long test from growing with the
    /// speed of the machine.
    pub(crate) thinks: Duration,
}

/// A running load.
pub(crate) struct Load {
    clients: Vec<JoinHandle<Vec<Grab>>>,
    pulse: Arc<Pulse>,
}

impl Load {
    /// Starts all clients.
    pub(crate) fn start(runtime: &Handle, plan: &LoadPlan) -> Self {
        let pulse = Arc::new(Pulse::default());
        let clients = (0..plan.clients).map(|number| {
            let worker = Worker {
                client: Client::new(plan.address),
                rng: fastrand::Rng::with_seed(plan.seed ^ (u64::from(number) << 32)),
                name: format!("{}-{number}", plan.name),
                plan: plan.clone(),
                pulse: Arc::clone(&pulse),
                grabs: Vec::new(),
            };
            runtime.spawn(worker.run())
        });
        Self { clients: clients.collect(), pulse }
    }

    /// Grabs acknowledged so far.
    pub(crate) fn sold(&self) -> u64 {
        self.pulse.sold.load(Ordering::Relaxed)
    }

    /// Answers so far that nothing was done, and that nobody knows what was.
    pub(crate) fn troubled(&self) -> (u64, u64) {
        (self.pulse.not_done.load(Ordering::Relaxed), self.pulse.unknown.load(Ordering::Relaxed))
    }

    /// The longest that any answer took so far.
    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_millis(self.pulse.slowest_ms.load(Ordering::Relaxed))
    }

    /// Waits until more than `count` grabs were acknowledged, or every client has ended.
    pub(crate) fn wait_sold_more_than(&self, count: u64, patience: Duration) {
        self.wait("too few grabs were acknowledged", patience, || self.sold() > count);
    }

    /// Waits until somebody was told that a flight is sold out.
    pub(crate) fn wait_sold_out(&self, patience: Duration) {
        self.wait("nothing was sold out", patience, || self.pulse.sold_out.load(Ordering::Relaxed) > 0);
    }

    fn wait(&self, what: &str, patience: Duration, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + patience;
        while !is_so() && !self.clients.iter().all(JoinHandle::is_finished) {
            assert!(Instant::now() < deadline, "{what} within {patience:?}; {} were, so far", self.sold());
            std::thread::sleep(super::process::POLL);
        }
    }

    /// Tells the clients to stop, waits for them and gives what they wrote down.
    pub(crate) fn finish(self, runtime: &Handle) -> Vec<Grab> {
        self.pulse.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            match runtime.block_on(client) {
                Ok(grabs) => all.extend(grabs),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        all
    }
}

/// One client.
struct Worker {
    client: Client,
    rng: fastrand::Rng,
    name: String,
    plan: LoadPlan,
    pulse: Arc<Pulse>,
    grabs: Vec<Grab>,
}

impl Worker {
    async fn run(mut self) -> Vec<Grab> {
        let mut goes_on = true;
        while goes_on && !self.pulse.stop.load(Ordering::Relaxed) {
            if !self.plan.thinks.is_zero() {
                tokio::time::sleep(self.plan.thinks.mul_f64(self.rng.f64())).await;
            }
            let chance = self.rng.u32(..100);
            let chosen = self.choose_order();
            goes_on = match (chance, chosen) {
                _ if self.plan.kind == Kind::OnlyGrab => self.grab().await,
                (0..97, Some(place)) if self.plan.kind == Kind::GiveBack => {
                    self.change(place, Change::Cancel).await
                }
                (0..8, Some(place)) => self.change(place, Change::Cancel).await,
                (8..20, Some(place)) => self.confirm(place).await,
                (20..30, Some(place)) => self.move_seats(place).await,
                (30..36, Some(place)) => self.repeat(place).await,
                (36..42, Some(place)) => self.look(place).await,
                _ => self.grab().await,
            };
        }
        self.grabs
    }

    /// One of the own live orders of which all is known.
    fn choose_order(&mut self) -> Option<usize> {
        if self.grabs.is_empty() {
            return None;
        }
        let newest = self.grabs.len() - 1;
        let place = if self.plan.kind == Kind::GiveBack { newest } else { self.rng.usize(..=newest) };
        let order = self.grabs[place].order()?;
        (order.seen.status.is_live() && order.pending.is_none()).then_some(place)
    }

    async fn grab(&mut self) -> bool {
        let mut grab = self.new_grab();
        let request_path = grab.path();
        let began = Instant::now();
        let outcome =
            self.client.call(&Request::post(&request_path, &grab.body).under(grab.key.as_deref())).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.pulse.slowest_ms.fetch_max(took_ms, Ordering::Relaxed);
        let goes_on = self.goes_on(&outcome).await;
        match outcome {
            Outcome::Done(response) => {
                assert!(!response.replayed, "a new key was answered with an old order: {response:?}");
                grab.acknowledged(&response);
                self.pulse.sold.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused(code) => {
                let expected = ["SOLD_OUT", "NOT_ENOUGH_SEATS", "NOT_TOGETHER", "SEAT_TAKEN"];
                assert!(expected.contains(&code.as_str()), "{} was refused with {code}", grab.body);
                self.pulse.sold_out.fetch_add(u64::from(code == "SOLD_OUT"), Ordering::Relaxed);
                grab.state = State::Nothing(code);
            }
            Outcome::NotDone(why) => grab.state = State::Nothing(why),
            Outcome::Unknown | Outcome::Lost(_) => grab.state = State::Unknown,
        }
        self.grabs.push(grab);
        goes_on
    }

    fn new_grab(&mut self) -> Grab {
        let rng = &mut self.rng;
        let customer = format!("c-{}-{}", self.name, self.grabs.len());
        // Without a key the order can still be told by its customer.
        let key = (rng.u32(..10) > 0).then(|| format!("k-{}-{}", self.name, self.grabs.len()));
        let flight = Arc::clone(&self.plan.flights[rng.usize(..self.plan.flights.len())]);
        let mut body = json!({ "customer_id": customer });
        let mut quantity = rng.usize(1..=4);
        let mut named = None;
        let all_kinds = self.plan.kind == Kind::All;
        if all_kinds && rng.u32(..8) == 0 {
            let mut seats: Vec<String> = (0..quantity).map(|_| flight.any_seat(rng)).collect();
            seats.sort_unstable();
            seats.dedup();
            quantity = seats.len();
            body["seats"] = json!(seats);
            named = Some(seats);
        } else {
            body["quantity"] = json!(quantity);
            body["together"] = json!(rng.choice(["required", "preferred", "any"]));
            if all_kinds && rng.u32(..4) == 0 {
                body["cabin_class"] = json!(flight.any_class(rng));
            }
        }
        if rng.u32(..10) == 0 {
            body["passengers"] = json!([{ "name": format!("Lin {}", rng.u16(..)) }]);
        }
        Grab { flight, key, customer, body: body.to_string(), quantity, named, state: State::Unknown }
    }

    async fn confirm(&mut self, place: usize) -> bool {
        if self.seen(place).status != Status::Held {
            return self.look(place).await;
        }
        let payment = format!("p-{}", self.rng.u32(..));
        let flight = &self.grabs[place].flight;
        let amount = self.seen(place).seats.iter().map(|seat| flight.fares[seat]).sum();
        self.change(place, Change::Confirm { payment, amount }).await
    }

    async fn move_seats(&mut self, place: usize) -> bool {
        let wanted = self.seen(place).seats.len();
        let flight = Arc::clone(&self.grabs[place].flight);
        let mut seats: Vec<String> = (0..wanted).map(|_| flight.any_seat(&mut self.rng)).collect();
        seats.sort_unstable();
        seats.dedup();
        if seats.len() != wanted || seats == self.seen(place).seats {
            return self.look(place).await;
        }
        self.change(place, Change::Move { seats }).await
    }

    async fn change(&mut self, place: usize, change: Change) -> bool {
        let order_id = self.seen(place).id.clone();
        let outcome = ask_change(&mut self.client, &order_id, &change).await;
        let goes_on = self.goes_on(&outcome).await;
        let flight = Arc::clone(&self.grabs[place].flight);
        let order = self.order(place);
        match outcome {
            Outcome::Done(response) => order.changed(&change, Seen::parse(&response.body, &flight)),
            Outcome::Refused(code) => order.refused(&change, &code, &flight),
            Outcome::NotDone(_) => {}
            Outcome::Unknown | Outcome::Lost(_) => order.pending = Some(change),
        }
        goes_on
    }

    /// Sends an acknowledged grab again.
    async fn repeat(&mut self, place: usize) -> bool {
        let grab = &mut self.grabs[place];
        let (path, Some(key)) = (grab.path(), &grab.key) else { return self.look(place).await };
        let outcome = self.client.call(&Request::post(&path, &grab.body).under(Some(key))).await;
        match &outcome {
            Outcome::Done(response) => grab.acknowledged(response),
            Outcome::Refused(code) => panic!("{} was acknowledged, and refused again with {code}", grab.body),
            _ => {}
        }
        self.goes_on(&outcome).await
    }

    async fn look(&mut self, place: usize) -> bool {
        let path = format!("/v1/orders/{}", self.seen(place).id);
        let outcome = self.client.call(&Request::get(&path)).await;
        let flight = Arc::clone(&self.grabs[place].flight);
        match &outcome {
            Outcome::Done(response) => self.order(place).observe(Seen::parse(&response.body, &flight)),
            Outcome::Refused(code) => panic!("{path} was acknowledged, and then {code}"),
            _ => {}
        }
        self.goes_on(&outcome).await
    }

    async fn goes_on(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Done(_) | Outcome::Refused(_) => true,
            Outcome::Unknown => {
                self.pulse.unknown.fetch_add(1, Ordering::Relaxed);
                true
            }
            Outcome::NotDone(why) if self.plan.until == Until::Lost && why.starts_with("connecting") => false,
            Outcome::NotDone(_) => {
                self.pulse.not_done.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REST).await;
                true
            }
            Outcome::Lost(_) => self.plan.until == Until::Told,
        }
    }

    fn seen(&self, place: usize) -> &Seen {
        &self.grabs[place].order().expect("an order was chosen").seen
    }

    fn order(&mut self, place: usize) -> &mut Order {
        self.grabs[place].order_mut().expect("an order was chosen")
    }
}

/// Asks for a change of an order.
pub(crate) async fn ask_change(client: &mut Client, order_id: &str, change: &Change) -> Outcome {
    match change {
        Change::Confirm { payment, amount } => {
            let body = json!({"payment_reference": payment, "amount": amount, "currency": "TWD"}).to_string();
            client.call(&Request::post(&format!("/v1/orders/{order_id}/confirm"), &body)).await
        }
        Change::Cancel => client.call(&Request::post(&format!("/v1/orders/{order_id}/cancel"), "{}")).await,
        Change::Move { seats } => {
            let body = json!({ "seats": seats }).to_string();
            client.call(&Request::patch(&format!("/v1/orders/{order_id}"), &body)).await
        }
    }
}
