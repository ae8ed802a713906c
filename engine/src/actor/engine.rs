//! All flights of this process, their threads and their writer, put together.
//! Never decides anything about a flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::{Arbiter, ArbiterHandle, System};
use parking_lot::Mutex;

use super::admission::{Gauge, Limits};
use super::board::{Board, BoardPage, Sought};
use super::census::Census;
use super::clock::Clock;
use super::handle::{FlightHandle, FlightStatus};
use super::recoveries::Recoveries;
use super::registry::{Located, Registry};
use super::shared::{FlightShared, Standing};
use super::supervisor::{Recover, RecoveredFlight, Supervisor};
use super::view::FlightView;
use super::writer::{Condition, Delivery, Writer, WriterOptions, WriterState, start};
use crate::flight::{Epoch, Flight, FlightId, IdSecrets, Seq};
use crate::journal::{Durability, Journal, OnDurable, OnSeenRound};

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
    pub(super) registry: Registry,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) writer: Writer,
    pub(super) clock: Arc<Clock>,
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

    pub(super) fn share(&self, flight: &Flight, epoch: Epoch, standing: Standing) -> Arc<FlightShared> {
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
