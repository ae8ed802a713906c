//! An engine on a journal that can be held up, with a recovery that is watched and releases that are kept.
//! Never waits without a deadline.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use farerush_engine::actor::{
    Answer, Engine, EngineParts, FlightHandle, Limits, RecoveredFlight, WriterOptions,
};
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Currency, CustomerId, Event, Fare, Flight, FlightDefinition, FlightId,
    FlightIds, Grab, IdSecret, IdSecrets, IdempotencyKey, Layout, Order, PolicyChange, Recorded, SalePolicy,
    Salt, Seq, Timestamp, Together, Wanted,
};
use farerush_engine::journal::{Claim, Durability, Journal, OnDurable, Release};
use farerush_persistence::journal::{FaultyJournal, MemoryJournal};
use parking_lot::Mutex;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// For how long something must not happen that would happen within a millisecond.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);

/// The recoveries that were asked for.
#[derive(Default)]
pub(crate) struct Recoveries {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    at_once_max: AtomicUsize,
}

impl Recoveries {
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn at_once_max(&self) -> usize {
        self.at_once_max.load(Ordering::SeqCst)
    }
}

pub(crate) struct Rig {
    pub(crate) engine: Arc<Engine>,
    pub(crate) journal: Arc<FaultyJournal>,
    pub(crate) recoveries: Arc<Recoveries>,
    /// Under `Durability::Store`: what waits for the store, in the order in which it was handed on.
    pub(crate) releases: Arc<Mutex<Vec<Release>>>,
}

impl Rig {
    pub(crate) fn new(durability: Durability) -> Self {
        Self::on(Arc::new(FaultyJournal::new(Arc::new(MemoryJournal::new()))), durability)
    }

    /// Another engine on the same journal.
    pub(crate) fn on(journal: Arc<FaultyJournal>, durability: Durability) -> Self {
        let releases = Arc::new(Mutex::new(Vec::new()));
        let kept = releases.clone();
        let on_durable: OnDurable = Box::new(move |round| kept.lock().extend(round.releases));
        Self::with(journal, durability, on_durable, releases)
    }

    pub(crate) fn with(
        journal: Arc<FaultyJournal>,
        durability: Durability,
        on_durable: OnDurable,
        releases: Arc<Mutex<Vec<Release>>>,
    ) -> Self {
        let recoveries = Arc::new(Recoveries::default());
        let (from, watched) = (journal.clone(), recoveries.clone());
        let engine = Engine::start(EngineParts {
            journal: journal.clone(),
            on_durable,
            recover: Arc::new(move |flight_id| {
                let (from, watched) = (from.clone(), watched.clone());
                Box::pin(async move {
                    watched.begun.fetch_add(1, Ordering::SeqCst);
                    let under_way = watched.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    watched.at_once_max.fetch_max(under_way, Ordering::SeqCst);
                    let recovered = recover(&from, &flight_id).await;
                    watched.under_way.fetch_sub(1, Ordering::SeqCst);
                    recovered
                })
            }),
            durability,
            limits: Limits::default(),
            writer: WriterOptions::default(),
            arbiters: 2,
            secrets: Arc::new(IdSecrets::new(IdSecret::new([7; 32]), [])),
            runtime: tokio::runtime::Handle::current(),
        })
        .unwrap();
        Self { engine, journal, recoveries, releases }
    }

    pub(crate) async fn create(&self, id: &str, policy: SalePolicy) -> FlightHandle {
        self.engine.create(definition(id), policy, true).await.unwrap()
    }
}

/// From the journal alone. As slow as a store makes it, so that two of them overlap if they can.
async fn recover(journal: &FaultyJournal, flight_id: &FlightId) -> Result<Option<RecoveredFlight>, String> {
    let Some(extent) = journal.extent(flight_id).map_err(|e| e.to_string())? else { return Ok(None) };
    let epoch = extent.epoch.next();
    tokio::time::sleep(Duration::from_millis(2)).await;
    journal.fence(&[Claim { flight_id: flight_id.clone(), epoch }]).map_err(|e| e.to_string())?;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let events = journal.read(flight_id, Seq(0), usize::MAX).map_err(|e| e.to_string())?;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let mut flight = Flight::create(&events[0]).map_err(|e| e.to_string())?;
    events[1..].iter().for_each(|event| flight.apply(event));
    flight.check().map_err(|e| e.to_string())?;
    Ok(Some(RecoveredFlight { flight, epoch, stored: Seq(0) }))
}

pub(crate) fn flight_id(id: &str) -> FlightId {
    FlightId::new(id).unwrap()
}

/// Ten rows of six.
pub(crate) fn definition(id: &str) -> FlightDefinition {
    FlightDefinition {
        flight_id: flight_id(id),
        flight_number: "FR1".into(),
        origin: "TPE".into(),
        destination: "NRT".into(),
        departs_at: Timestamp::from_millis(4_000_000_000_000),
        aircraft: None,
        origin_time_zone: None,
        cabins: vec![Cabin {
            cabin_class: CabinClass::Economy,
            first_row: 1,
            last_row: 10,
            layout: Layout::new("ABC DEF").unwrap(),
            fare: Fare { amount: 100, currency: Currency::new("TWD").unwrap() },
        }],
        ids: FlightIds::new(Salt(7)),
    }
}

/// The events of a flight that is on sale from the start, decided at `at`.
pub(crate) fn first_events(id: &str, policy: SalePolicy, at: Timestamp) -> Vec<Recorded> {
    let policy = SalePolicy { opens_at: Some(at), ..policy };
    let event = Event::FlightCreated { definition: Box::new(definition(id)), policy };
    vec![Recorded { seq: Seq(1), at, event, cause: None, head: None }]
}

pub(crate) fn grab_with(customer: &str, quantity: u16, key: Option<&str>) -> Command {
    Command::Grab(Grab {
        customer: CustomerId::new(customer).unwrap(),
        wanted: Wanted::Quantity { quantity, together: Together::Preferred },
        cabin_class: None,
        passengers: None,
        client_reference: None,
        idempotency_key: key.map(|key| IdempotencyKey::new(key).unwrap()),
    })
}

pub(crate) fn grab(customer: &str, quantity: u16) -> Command {
    grab_with(customer, quantity, None)
}

pub(crate) fn hold_for(seconds: u32) -> PolicyChange {
    PolicyChange { hold_seconds: Some(seconds), ..PolicyChange::default() }
}

pub(crate) async fn ask(flight: &FlightHandle, command: Command) -> Answer {
    let pending = flight.submit(command).expect("a permit");
    tokio::time::timeout(PATIENCE, pending).await.expect("an answer in time").expect("an outcome")
}

pub(crate) async fn order(flight: &FlightHandle, command: Command) -> Order {
    match ask(flight, command).await {
        Answer::Order { order, .. } => order,
        other => panic!("no order but {other:?}"),
    }
}

/// Looks until it is so, or gives up.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let looking = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "it never came to be: {what}");
}

/// Looks for a while whether it stays so.
pub(crate) async fn stays(what: &str, mut so: impl FnMut() -> bool) {
    let looking = async {
        while so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(A_WHILE, looking).await.is_err(), "it did not stay: {what}");
}
