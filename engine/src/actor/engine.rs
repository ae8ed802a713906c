//! All flights of this process, their threads and their writer, put together.
//! Never decides anything about a flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::{Arbiter, ArbiterHandle, System};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::admission::{Gauge, Limits, Overloaded, Permit};
use super::board::{Board, BoardPage, Sought};
use super::census::Census;
use super::clock::Clock;
use super::flight_actor::fresh_nonce;
use super::handle::{FlightHandle, FlightShared, FlightStatus, Standing};
use super::message::{Answer, PendingReply};
use super::recoveries::{Recoveries, Turn};
use super::registry::{Located, Registry};
use super::stamps::Traced;
use super::supervisor::{Recover, RecoveredFlight, Supervisor};
use super::view::FlightView;
use crate::flight::decide::{check_departure, check_policy};
use crate::flight::{
    Cause, Decision, Epoch, Era, Event, Flight, FlightDefinition, FlightId, FlightIds, IdSecrets,
    IdempotencyKey, Recorded, Refusal, SalePolicy, SaleSwitch, Seq,
};
use crate::journal::{
    Condition, Delivery, Durability, Journal, OnDurable, OnSeenRound, Submission, Writer, WriterOptions,
    WriterState, start,
};

/// So many flights are made without letting other tasks of the thread have their turn.
const CREATED_WITHOUT_YIELD: usize = 16;
/// Of whoever creates a flight.
const FIRST_EPOCH: Epoch = Epoch(1);

/// What an engine is made of.
pub struct EngineParts {
    /// Where events become durable.
    pub journal: Arc<dyn Journal>,
    /// Who takes durable rounds over.
    pub on_durable: OnDurable,
    /// How one flight is recovered.
    pub recover: Recover,
    /// When a reply may leave.
    pub durability: Durability,
    /// How many requests may be under way.
    pub limits: Limits,
    /// How rounds are formed.
    pub writer: WriterOptions,
    /// Threads for actors, at least 1.
    pub arbiters: usize,
    /// What ids are made of.
    pub secrets: Arc<IdSecrets>,
    /// The runtime on which answers are waited for.
    pub runtime: tokio::runtime::Handle,
}

/// Why a flight was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one of this id already.
    #[error("the flight exists already")]
    Exists,
    /// It cannot be, as it is described.
    #[error(transparent)]
    Refused(Refusal),
    /// Nothing was done.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The journal has not said whether it is there.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
}

/// Why many flights were not created together.
#[derive(Debug, thiserror::Error)]
pub enum CreateAllError {
    /// One of them cannot be, so that none was.
    #[error("flight {place} of them cannot be created: {source}")]
    Flight {
        /// Which, counted from 0.
        place: usize,
        /// Why.
        #[source]
        source: CreateError,
    },
    /// Nothing was done.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The journal has not said whether they are there, or took only some because another process has the others.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
}

/// Why a flight was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// There is no such flight.
    #[error("no such flight")]
    NotFound,
    /// It could not be recovered and is stopped now.
    #[error("{0}")]
    Failed(String),
}

/// A flight that was restarted.
#[derive(Debug, Clone, Copy)]
pub struct Restarted {
    /// Its last event.
    pub seq: Seq,
    /// Under which ownership it is served now.
    pub epoch: Epoch,
    /// How long it took.
    pub took: Duration,
    /// Whether this is what an earlier one came to, under the same idempotency key.
    pub replayed: bool,
}

/// How the engine is doing.
#[derive(Debug, Clone)]
pub struct EngineStatus {
    /// Whether the journal can be written.
    pub journal: Condition,
    /// Requests under way.
    pub in_flight: u32,
    /// Rounds made durable since the start.
    pub rounds: u64,
    /// Events in them.
    pub events: u64,
    /// How often the journal could not be written for a while, since the start.
    pub stalls: u64,
    /// Flights that are stopped, with the reasons.
    pub quarantined: Vec<(FlightId, String)>,
}

/// All flights of this process.
pub struct Engine {
    registry: Registry,
    supervisor: Arc<Supervisor>,
    writer: Writer,
    clock: Arc<Clock>,
    overall: Arc<Gauge>,
    limits: Limits,
    threads: Mutex<Threads>,
}

struct Threads {
    writer: Option<JoinHandle<()>>,
    system: Option<(System, JoinHandle<()>)>,
}

impl Engine {
    /// Starts the threads; the flights come by [`Engine::adopt`] and [`Engine::create`].
    pub fn start(parts: EngineParts) -> std::io::Result<Arc<Self>> {
        let EngineParts {
            journal,
            on_durable,
            recover,
            durability,
            limits,
            writer,
            arbiters,
            secrets,
            runtime,
        } = parts;
        let (system, arbiters, system_thread) = start_system(arbiters.max(1))?;
        let delivery = Delivery::on(&runtime);
        let (writer, writer_thread) = start(journal, on_durable, durability, delivery, writer);
        let clock = Arc::new(Clock::new());
        let board = Arc::new(Board::new(clock.clone()));
        let supervisor = Arc::new(Supervisor {
            arbiters,
            next_arbiter: AtomicUsize::new(0),
            runtime,
            recover,
            writer: writer.clone(),
            clock: clock.clone(),
            durability,
            recoveries: Recoveries::default(),
            secrets,
            panics: Mutex::new(Vec::new()),
        });
        Ok(Arc::new(Self {
            registry: Registry::new(board),
            supervisor,
            writer,
            clock,
            overall: Arc::new(Gauge::new(limits.permits_overall)),
            limits,
            threads: Mutex::new(Threads {
                writer: Some(writer_thread),
                system: Some((system, system_thread)),
            }),
        }))
    }

    /// Serves a flight that was recovered, unless it is served here under a newer epoch by now.
    pub fn adopt(&self, recovered: RecoveredFlight) -> FlightHandle {
        let RecoveredFlight { mut flight, epoch, stored } = recovered;
        let unlocked = flight.unlock(&self.supervisor.secrets);
        let shared = self.share(&flight, epoch, Standing::Recovering);
        shared.stored_seq.store(stored.0, Ordering::Release);
        match self.registry.enter_newer(&shared) {
            Err(newer) => return FlightHandle(newer),
            Ok(None) => {}
            Ok(Some(older)) => {
                older.retire_actor();
                older.was_fenced(older.epoch());
            }
        }
        shared.note_if_behind();
        match unlocked {
            Ok(()) => self.supervisor.start_actor(flight, epoch, &shared),
            Err(unknown) => shared.quarantine(unknown.to_string()),
        }
        FlightHandle(shared)
    }

    /// Notes a flight that could not be recovered: it is there, but stopped.
    pub fn quarantine(&self, flight_id: FlightId, reason: String) {
        tracing::error!(%flight_id, reason, "the flight could not be recovered and is not served");
        self.registry.enter_lost(flight_id, reason);
    }

    /// Where a flight is served.
    pub fn find(&self, flight_id: &FlightId) -> Located {
        self.registry.find(flight_id)
    }

    /// Whether this process has a flight: it serves it, or is creating or recovering it; or it has stopped it.
    pub fn has(&self, flight_id: &FlightId) -> bool {
        self.registry.has(flight_id)
    }

    /// Tells of rounds that traced requests wait for, from now on.
    pub fn watch_rounds(&self, on_seen: OnSeenRound) {
        self.writer.state().watch(on_seen);
    }

    /// All flights served here, in no certain order.
    pub fn flights(&self) -> Vec<FlightHandle> {
        self.registry.handles()
    }

    /// A page of the flights that are shown: those sought, in the order in which they leave, behind `after` (a moment in
    /// milliseconds and an id), leaving at or after the first and before the second of these moments, of which `holds`
    /// says so. Costs as much as it shows, and as much as `holds` turns down.
    pub fn page(
        &self,
        sought: &Sought,
        after: Option<&(i64, FlightId)>,
        between: (i64, i64),
        limit: usize,
        holds: impl FnMut(&FlightHandle) -> bool,
    ) -> BoardPage {
        self.registry.board().page(sought, after, between, limit, holds)
    }

    /// How many flights are shown here, and how many are not because another process has them by now.
    pub fn shown_and_moved(&self) -> (usize, usize) {
        self.registry.board().counts()
    }

    /// The flights served here of which the store lacks durable events, and up to which event.
    pub fn behind(&self) -> Vec<(FlightHandle, Seq)> {
        let here = |flight_id: &FlightId| match self.find(flight_id) {
            Located::Here(flight) => {
                let status = flight.status();
                (status.stored_seq < status.durable_seq).then_some((flight, status.durable_seq))
            }
            _ => None,
        };
        self.registry.board().behind().iter().filter_map(here).collect()
    }

    /// Whether the store lacks durable events of any flight that was served here.
    pub fn is_behind(&self) -> bool {
        self.registry.board().is_behind()
    }

    /// Requests under way, of all flights.
    pub fn under_way(&self) -> u32 {
        self.overall.under_way()
    }

    /// Creates a flight; it is there when this returns. With `open`, its sale is open from the start. A caller
    /// who stops waiting changes nothing: the flight is created all the same.
    pub async fn create(
        self: &Arc<Self>,
        definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
    ) -> Result<FlightHandle, CreateError> {
        self.create_as(definition, policy, open, Cause::default()).await
    }

    /// The same; it is recorded who asked, and under which key with which fingerprint (`fingerprint_of_creation`).
    pub async fn create_as(
        self: &Arc<Self>,
        definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
        cause: Cause,
    ) -> Result<FlightHandle, CreateError> {
        let engine = self.clone();
        let creation = async move { engine.create_here(definition, policy, open, cause).await };
        self.supervisor.runtime.spawn(creation).await.unwrap_or(Err(CreateError::OutcomeUnknown))
    }

    async fn create_here(
        &self,
        definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
        cause: Cause,
    ) -> Result<FlightHandle, CreateError> {
        self.writer.state().admit()?;
        check_policy(&policy).map_err(CreateError::Refused)?;
        self.check_departure(&definition)?;
        let (flight, events) = self.first_events(definition, policy, open, &cause)?;
        let epoch = FIRST_EPOCH;
        let shared = self.share(&flight, epoch, Standing::Creating);
        let permit = Permit::take(&shared.overall, &shared.gauge)?;
        if !self.registry.enter(shared.clone()) {
            return Err(CreateError::Exists);
        }
        let (reply, answered) = oneshot::channel();
        let answer = Answer::Flight { seq: flight.seq(), replayed: false };
        self.writer.submit(Submission {
            flight: shared.clone(),
            epoch,
            events,
            after: flight.seq(),
            replies: vec![PendingReply { answer, reply, permit: Some(permit), stamps: None }],
            view: None,
            traced: Traced::default(),
        });
        if answered.await.is_err() {
            let fenced = shared.standing() == Standing::Fenced;
            self.registry.remove(&shared);
            return Err(if fenced { CreateError::Exists } else { CreateError::OutcomeUnknown });
        }
        Ok(self.serve_created(flight, epoch, shared))
    }

    /// A flight that was created is served, unless it was taken over meanwhile, by this process itself.
    fn serve_created(&self, flight: Flight, epoch: Epoch, shared: Arc<FlightShared>) -> FlightHandle {
        match self.registry.shared(&shared.flight_id) {
            Some(newer) if !Arc::ptr_eq(&newer, &shared) => FlightHandle(newer),
            _ => {
                self.supervisor.start_actor(flight, epoch, &shared);
                FlightHandle(shared)
            }
        }
    }

    /// Creates flights, all in one round of the journal: whoever is told that they are there can rely on all of
    /// them, and a journal that keeps rounds whole (the embedded one) has all or none of them after a crash. A
    /// caller who stops waiting changes nothing.
    pub async fn create_all(
        self: &Arc<Self>,
        wanted: Vec<(FlightDefinition, SalePolicy, bool, Cause)>,
    ) -> Result<Vec<FlightHandle>, CreateAllError> {
        let engine = self.clone();
        let creation = async move {
            let mut entered = Vec::with_capacity(wanted.len());
            let created = engine.create_all_here(wanted, &mut entered).await;
            if created.is_err() {
                let gone = entered.iter().filter(|shared| shared.standing() != Standing::Serving);
                gone.for_each(|shared| engine.registry.remove(shared));
            }
            created
        };
        let creation = self.supervisor.runtime.spawn(creation);
        creation.await.unwrap_or(Err(CreateAllError::OutcomeUnknown))
    }

    /// Notes in `entered` what it entered into the registry.
    async fn create_all_here(
        &self,
        wanted: Vec<(FlightDefinition, SalePolicy, bool, Cause)>,
        entered: &mut Vec<Arc<FlightShared>>,
    ) -> Result<Vec<FlightHandle>, CreateAllError> {
        self.writer.state().admit()?;
        let epoch = FIRST_EPOCH;
        let mut flights = Vec::with_capacity(wanted.len());
        let mut submissions = Vec::with_capacity(wanted.len());
        for (place, (definition, policy, open, cause)) in wanted.into_iter().enumerate() {
            let failed = |source| CreateAllError::Flight { place, source };
            check_policy(&policy).map_err(|refusal| failed(CreateError::Refused(refusal)))?;
            self.check_departure(&definition).map_err(failed)?;
            let (flight, events) = self.first_events(definition, policy, open, &cause).map_err(failed)?;
            let shared = self.share(&flight, epoch, Standing::Creating);
            if !self.registry.enter(shared.clone()) {
                return Err(failed(CreateError::Exists));
            }
            entered.push(shared.clone());
            let (reply, answered) = oneshot::channel();
            let answer = Answer::Flight { seq: flight.seq(), replayed: false };
            submissions.push(Submission {
                flight: shared.clone(),
                epoch,
                events,
                after: flight.seq(),
                replies: vec![PendingReply { answer, reply, permit: None, stamps: None }],
                view: None,
                traced: Traced::default(),
            });
            flights.push((flight, shared, answered));
            if place % CREATED_WITHOUT_YIELD == 0 {
                tokio::task::yield_now().await;
            }
        }
        // One permit for all.
        let Some(last) = submissions.last_mut() else { return Ok(Vec::new()) };
        let permit = Permit::take(&last.flight.overall, &last.flight.gauge)?;
        if let Some(reply) = last.replies.last_mut() {
            reply.permit = Some(permit);
        }
        self.writer.submit_together(submissions);
        let (mut handles, all) = (Vec::with_capacity(flights.len()), flights.len());
        for (flight, shared, answered) in flights {
            if answered.await.is_ok() {
                handles.push(self.serve_created(flight, epoch, shared));
            }
        }
        if handles.len() < all { Err(CreateAllError::OutcomeUnknown) } else { Ok(handles) }
    }

    /// A flight that has left is not created. One that is there already is so still: who asks again is told so.
    fn check_departure(&self, definition: &FlightDefinition) -> Result<(), CreateError> {
        check_departure(definition.departs_at, self.clock.now()).map_err(|refusal| {
            match self.find(&definition.flight_id) {
                Located::Nobody => CreateError::Refused(refusal),
                _ => CreateError::Exists,
            }
        })
    }

    fn first_events(
        &self,
        mut definition: FlightDefinition,
        policy: SalePolicy,
        open: bool,
        cause: &Cause,
    ) -> Result<(Flight, Vec<Recorded>), CreateError> {
        let at = self.clock.now();
        let by = Cause { by: cause.by.clone(), idempotency: None };
        let caused = |cause: &Cause| (*cause != Cause::default()).then(|| Box::new(cause.clone()));
        let secrets = &self.supervisor.secrets;
        let no_randomness =
            |_| Overloaded { retry_after_seconds: 1, reason: "there is no randomness to make ids of" };
        let nonce = fresh_nonce().map_err(no_randomness)?;
        let era = Era { from: Seq(0), epoch: FIRST_EPOCH, secret: secrets.current(), nonce };
        definition.ids = FlightIds::with_eras(definition.ids.salt(), vec![era]);
        let event = Event::FlightCreated { definition: Box::new(definition), policy };
        let mut events = vec![Recorded { seq: Seq(1), at, event, cause: caused(cause), head: None }];
        let mut flight = Flight::create(&events[0]).map_err(|broken| {
            CreateError::Refused(Refusal::Invalid { field: "cabins", message: broken.detail })
        })?;
        flight.unlock(secrets).map_err(|_| CreateError::OutcomeUnknown)?; // they know their own
        if open {
            let event = match flight.decide(&crate::flight::Command::OpenSale, at) {
                Ok(Decision::Record(event)) => event,
                // By its rules it is over already, which they may be changed about.
                _ => Event::SaleSwitched { switch: SaleSwitch::Open, policy },
            };
            let opened = Recorded { seq: Seq(2), at, event, cause: caused(&by), head: None };
            flight.apply(&opened);
            events.push(opened);
        }
        if let Some(last) = events.last_mut() {
            last.head = flight.head();
        }
        Ok((flight, events))
    }

    /// Drops a flight's actor and recovers the flight from journal and store; goes on when the caller stops
    /// waiting. A flight that this process does not serve is taken over. Of several restarts of one flight, each begins
    /// when the one before it is over.
    pub async fn restart(self: &Arc<Self>, flight_id: &FlightId) -> Result<Restarted, RestartError> {
        self.restart_under(flight_id, None).await
    }

    /// The same under a key: repeated while the first one runs or after it, it answers with what that one came to, and
    /// restarts nothing. One that failed is not remembered. Of each flight the last few are, by this process.
    pub async fn restart_under(
        self: &Arc<Self>,
        flight_id: &FlightId,
        key: Option<IdempotencyKey>,
    ) -> Result<Restarted, RestartError> {
        let (engine, flight_id) = (self.clone(), flight_id.clone());
        let restart = async move { engine.restart_here(&flight_id, key).await };
        self.supervisor
            .runtime
            .spawn(restart)
            .await
            .unwrap_or_else(|e| Err(RestartError::Failed(e.to_string())))
    }

    async fn restart_here(
        &self,
        flight_id: &FlightId,
        key: Option<IdempotencyKey>,
    ) -> Result<Restarted, RestartError> {
        let began = Instant::now();
        let mut turn = self.supervisor.recoveries.turn(flight_id).await;
        if let Some(restarted) = key.as_ref().and_then(|key| turn.recall(key)) {
            return Ok(Restarted { replayed: true, ..restarted });
        }
        // Looked for in its turn: whoever recovered it before may have put another one in its place.
        let (seq, epoch) = match self.registry.shared(flight_id) {
            None => self.take_over(flight_id, &turn).await?,
            Some(shared) if shared.standing() == Standing::Creating => return Err(RestartError::NotFound),
            Some(shared) => self.supervisor.recover(&shared, &turn).await.map_err(RestartError::Failed)?,
        };
        let restarted = Restarted { seq, epoch, took: began.elapsed(), replayed: false };
        if let Some(key) = key {
            turn.remember(key, restarted);
        }
        Ok(restarted)
    }

    async fn take_over(&self, flight_id: &FlightId, _turn: &Turn<'_>) -> Result<(Seq, Epoch), RestartError> {
        let recovered = (self.supervisor.recover)(flight_id.clone()).await.map_err(RestartError::Failed)?;
        let recovered = recovered.ok_or(RestartError::NotFound)?;
        let (seq, epoch) = (recovered.flight.seq(), recovered.epoch);
        self.adopt(recovered);
        Ok((seq, epoch))
    }

    /// Notes how far the store has come with a flight.
    pub fn note_stored(&self, flight_id: &FlightId, seq: Seq) {
        if let Some(shared) = self.registry.shared(flight_id) {
            shared.stored_seq.fetch_max(seq.0, Ordering::SeqCst);
            self.registry.board().note_stored(&shared);
        }
    }

    /// The same, if the flight still runs under `epoch` (or an earlier one) here.
    pub fn note_fenced_under(&self, flight_id: &FlightId, epoch: Epoch) {
        if let Some(shared) = self.registry.shared(flight_id) {
            shared.was_fenced(epoch);
        }
    }

    /// Flights that are stopped because the journal refused their events, and how far they had come under which epoch.
    pub fn refused(&self) -> Vec<(FlightId, FlightStatus)> {
        let refused = self.registry.refused();
        refused.iter().map(|flight| (flight.flight_id().clone(), flight.status())).collect()
    }

    /// How the engine is doing.
    pub fn status(&self) -> EngineStatus {
        let state: &WriterState = self.writer.state();
        let (rounds, events) = state.written();
        EngineStatus {
            journal: state.condition(),
            in_flight: self.overall.under_way(),
            rounds,
            events,
            stalls: state.stalls(),
            quarantined: self.registry.quarantined(),
        }
    }

    /// All flights of this process in a few sums.
    pub fn census(&self) -> Census {
        Census::of(&self.registry, self.overall.under_way(), self.writer.queued(), self.limits)
    }

    /// The engine's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Ends the threads after everything handed over is finished. Blocks; requests that come later are never
    /// answered.
    pub fn stop(&self) {
        let (writer, system) = {
            let mut threads = self.threads.lock();
            (threads.writer.take(), threads.system.take())
        };
        if let Some((system, thread)) = system {
            self.wait_for_turns();
            system.stop();
            let _ = thread.join();
        }
        if let Some(thread) = writer {
            self.writer.stop();
            let _ = thread.join();
        }
    }

    /// Waits until no request is queued at any actor: at most as long as a turn takes.
    fn wait_for_turns(&self) {
        let handles = self.registry.handles();
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && handles.iter().any(|flight| !flight.0.queue.is_empty()) {
            std::thread::yield_now();
        }
    }

    fn share(&self, flight: &Flight, epoch: Epoch, standing: Standing) -> Arc<FlightShared> {
        let gauges = (self.overall.clone(), Arc::new(Gauge::new(self.limits.permits_per_flight)));
        let view = FlightView::of(flight);
        Arc::new(FlightShared::new(view, epoch, standing, gauges, self.writer.state().clone()))
    }
}

/// The actix system on a thread of its own, with so many arbiters.
fn start_system(arbiters: usize) -> std::io::Result<(System, Vec<ArbiterHandle>, JoinHandle<()>)> {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("actix-system".to_owned()).spawn(move || {
        let runner = System::new();
        let handles = (0..arbiters).map(|_| Arbiter::new().handle()).collect::<Vec<_>>();
        // The engine waits for this; it is only gone if the process ends.
        let _ = send.send((System::current(), handles));
        if let Err(error) = runner.run() {
            tracing::error!(%error, "the actors' threads ended with an error");
        }
    })?;
    let (system, handles) = receive.recv().map_err(std::io::Error::other)?;
    Ok((system, handles, thread))
}
