//! Runs a history against real servers: its clients ask, repeat what they were not told the outcome of, and note
//! everything down. Never judges.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::replay::Event;
use super::request::{Answer, Ask, Call};
use super::script::{Knowledge, Shape, Step};
use super::support::process::TOKEN;
use super::witness::History;

/// For how long a request is sent again while nothing is done; a flight that serves nobody for so long is dead.
const PATIENCE: Duration = Duration::from_secs(40);
/// How much more often, of a hundred steps, a flight is restarted where that moves it.
const MOVES: u32 = 6;
/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(8);

/// Where the servers listen now; they change their ports when they are started again.
pub(crate) type Servers = Arc<RwLock<Vec<String>>>;

pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("a time of our age")
}

/// One history to be made: its seed, and the steps of each client as seeds of their own, so that some can be left out.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Vec<u64>>,
}

impl Plan {
    pub(crate) fn draw(seed: u64, clients: usize, steps: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self { seed, steps: (0..clients).map(|_| (0..steps).map(|_| rng.u64(..)).collect()).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }
}

/// What the clients of a history share.
struct Scene {
    flight: String,
    servers: Servers,
    http: reqwest::Client,
    ticks: AtomicU64,
    calls: Mutex<Vec<Call>>,
    known: Mutex<Knowledge>,
    /// Held by whoever restarts the flight, unless restarts may overlap.
    restarting: tokio::sync::Mutex<()>,
}

/// Makes a history; or says what went wrong beside the answers: a flight that nobody serves any more.
pub(crate) async fn run(
    plan: &Plan,
    flight: String,
    servers: &Servers,
    http: &reqwest::Client,
) -> Result<History, String> {
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut shape = Shape::draw(&mut rng, now_ms());
    if servers.read().expect("nobody panics").len() > 1 {
        // What is restarted on the other server goes there.
        shape.restarts += MOVES;
    }
    let shape = Arc::new(shape);
    let scene = Arc::new(Scene {
        flight,
        servers: Arc::clone(servers),
        http: http.clone(),
        ticks: AtomicU64::new(0),
        calls: Mutex::new(Vec::new()),
        known: Mutex::new(Knowledge::new(&shape)),
        restarting: tokio::sync::Mutex::new(()),
    });
    scene.create(&shape).await?;
    let mut clients = Vec::new();
    for (client, steps) in plan.steps.iter().enumerate() {
        clients.push(tokio::spawn(act(Arc::clone(&scene), Arc::clone(&shape), client, steps.clone())));
    }
    for client in clients {
        client.await.map_err(|error| format!("a client panicked: {error}"))??;
    }
    scene.look_at_everything(plan.steps.len()).await?;
    scene.history().await
}

async fn act(scene: Arc<Scene>, shape: Arc<Shape>, client: usize, steps: Vec<u64>) -> Result<(), String> {
    for seed in steps {
        let mut rng = fastrand::Rng::with_seed(seed);
        let step = scene.known.lock().expect("no client panics").draw(&mut rng, &shape, now_ms());
        match step {
            Step::Ask(ask, key) => scene.insist(client, &ask, key.as_ref(), &mut rng).await?,
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::DoubleRestart => {
                let mut second = rng.fork();
                let keys = [rng.u64(..), rng.u64(..)].map(|draw| format!("restart-{draw:x}"));
                let one = scene.insist(client, &Ask::Restart, Some(&keys[0]), &mut rng);
                let other = scene.insist(client, &Ask::Restart, Some(&keys[1]), &mut second);
                tokio::try_join!(one, other)?;
            }
        }
    }
    Ok(())
}

fn with_json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header("content-type", "application/json").body(body.to_string())
}

impl Scene {
    async fn create(&self, shape: &Shape) -> Result<(), String> {
        let began = std::time::Instant::now();
        loop {
            let server = self.server(0);
            let body = shape.creation(&self.flight);
            let sent = self.http.post(format!("{server}/v1/admin/flights")).bearer_auth(TOKEN);
            let sent = with_json(sent, &body);
            let status = sent.send().await.map(|answer| answer.status().as_u16());
            match status {
                // A lost answer may have been a success.
                Ok(201 | 409) => return Ok(()),
                Ok(503) | Err(_) if began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                other => return Err(format!("the flight cannot be created: {other:?}")),
            }
        }
    }

    fn server(&self, draw: usize) -> String {
        let servers = self.servers.read().expect("nobody panics");
        servers[draw % servers.len()].clone()
    }

    /// Asks until something is done, noting each attempt; what is unknown is repeated only under its key.
    async fn insist(
        &self,
        client: usize,
        ask: &Ask,
        key: Option<&String>,
        rng: &mut fastrand::Rng,
    ) -> Result<(), String> {
        let one_by_one = *ask == Ask::Restart && !super::restarts_overlap();
        let _alone = if one_by_one { Some(self.restarting.lock().await) } else { None };
        let began = std::time::Instant::now();
        loop {
            let (sent, from) = (self.ticks.fetch_add(1, Ordering::SeqCst), now_ms());
            let answer = self.send(&self.server(rng.usize(..64)), ask, key).await;
            let (to, got) = (now_ms(), self.ticks.fetch_add(1, Ordering::SeqCst));
            self.known.lock().expect("no client panics").learn(ask, &answer);
            let again = match &answer {
                Answer::Done { .. } | Answer::Refused { .. } => false,
                Answer::NotDone(_) => true,
                Answer::Unknown(_) => key.is_some() || ask.is_read() || *ask == Ask::Restart,
            };
            let said = format!("{answer:?}");
            let call = Call { client, ask: ask.clone(), key: key.cloned(), sent, got, from, to, answer };
            self.calls.lock().expect("no client panics").push(call);
            if !again {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("nobody serves {ask:?} within {PATIENCE:?}; at last: {said}"));
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(10..60))).await;
        }
    }

    async fn send(&self, server: &str, ask: &Ask, key: Option<&String>) -> Answer {
        let (method, path, body) = ask.http(&self.flight);
        let method = method.parse().expect("a method of HTTP");
        let mut request = self.http.request(method, format!("{server}{path}")).timeout(ANSWER);
        if path.starts_with("/v1/admin") {
            request = request.bearer_auth(TOKEN);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = with_json(request, &body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Answer::NotDone(error.to_string()),
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotency-replayed");
        let body: Value = match answer.bytes().await {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        let code = body["code"].as_str().unwrap_or_default().to_owned();
        match (status, code.as_str()) {
            (200..=299, _) => Answer::Done { status, replayed, body },
            (503, "OVERLOADED" | "ELSEWHERE") | (408, _) => Answer::NotDone(body["detail"].to_string()),
            (503, "OUTCOME_UNKNOWN") => Answer::Unknown(body["detail"].to_string()),
            _ => Answer::Refused { status, code, body },
        }
    }

    /// At the end: the flight, its seats, its manifest, each order, each party that waits.
    async fn look_at_everything(&self, client: usize) -> Result<(), String> {
        let mut rng = fastrand::Rng::new();
        // Some got an order while they waited, and nobody has asked for it yet.
        let audit = self.audit().await?;
        let (orders, entries) = {
            let known = self.known.lock().expect("no client panics");
            let told = known.orders.iter().map(|(id, ..)| id.as_str());
            let orders: BTreeSet<String> =
                told.chain(audit.iter().filter_map(Event::order)).map(str::to_owned).collect();
            (orders, known.entries.clone())
        };
        let mut asks = vec![Ask::ReadFlight, Ask::ReadSeats, Ask::ReadManifest];
        asks.extend(orders.into_iter().map(|order| Ask::ReadOrder { order }));
        asks.extend(entries.into_iter().map(|entry| Ask::ReadEntry { entry }));
        for ask in asks {
            self.insist(client, &ask, None, &mut rng).await?;
        }
        Ok(())
    }

    async fn audit(&self) -> Result<Vec<Event>, String> {
        let (mut events, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                self.get(&format!("/v1/admin/flights/{}/audit?limit=200{cursor}", self.flight)).await?;
            events.extend(page["events"].as_array().into_iter().flatten().map(Event::read));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(events),
            }
        }
    }

    async fn history(&self) -> Result<History, String> {
        let has_owners = self.servers.read().expect("nobody panics").len() > 1;
        let placed: Vec<String> = {
            let known = self.known.lock().expect("no client panics");
            known.orders.iter().map(|(id, ..)| id.clone()).collect()
        };
        let listed = self.list(&placed, has_owners).await?;
        let events = self.audit().await?;
        let mut calls = std::mem::take(&mut *self.calls.lock().expect("no client panics"));
        calls.sort_by_key(|call| call.sent);
        Ok(History { calls, events, ended: now_ms(), has_owners, listed })
    }

    /// The orders of the list, if it says that it is up to date. A server says so of its own flights only: where there are
    /// several, the list is waited for.
    async fn list(&self, placed: &[String], has_owners: bool) -> Result<Option<(i64, Vec<Value>)>, String> {
        let orders = format!("/v1/admin/orders?flight_id={}&limit=200", self.flight);
        let began = std::time::Instant::now();
        loop {
            let asked = now_ms();
            let list = self.get(&orders).await?;
            let is_whole = list["up_to_date"] == true && list["next_cursor"].is_null();
            let listed = list["orders"].as_array().cloned().unwrap_or_default();
            let has = |id: &String| listed.iter().any(|order| order["order_id"] == **id);
            if !has_owners || placed.iter().all(has) || began.elapsed() > PATIENCE {
                return Ok(is_whole.then_some((asked, listed)));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let began = std::time::Instant::now();
        let mut draw = 0;
        loop {
            let url = format!("{}{path}", self.server(draw));
            draw += 1;
            match self.http.get(url).bearer_auth(TOKEN).timeout(ANSWER).send().await {
                Ok(answer) if answer.status().is_success() => {
                    let bytes = answer.bytes().await.map_err(|error| format!("{path}: {error}"))?;
                    return serde_json::from_slice(&bytes).map_err(|error| format!("{path}: {error}"));
                }
                other if began.elapsed() > PATIENCE => {
                    return Err(format!("{path} is not answered: {other:?}"));
                }
                _ => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }
}
