//! The one place where all is wired: settings become a running server, and a stop becomes an orderly end.
//! Never answers a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, EngineParts, Limits, Recover, RecoveredFlight};
use farerush_engine::flight::FlightId;
use farerush_engine::journal::{Journal, WriterOptions};
use farerush_persistence::recovery::{Recovered, RecoveryError, recover, recover_all};
use farerush_persistence::store::Store;
use farerush_persistence::write_behind::{Hooks, WriteBehind, WriteBehindOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::auth::AdminToken;
use crate::body::BodyLimits;
use crate::config::{JournalTarget, Settings};
use crate::server::Stop;
use crate::storage::{DataDir, StartError, in_full, open_journal, open_store};
use crate::{demo, routes, server};

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its handlers use.
    pub app: Arc<App>,
    stop: Arc<Stop>,
    connections: JoinHandle<()>,
    _data_dir: DataDir,
}

/// Opens everything, recovers every flight, and starts to listen. Must be called within a tokio runtime of several
/// threads.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    start_with(settings, |journal| journal).await
}

/// The same with something in front of the journal, as tests need it.
pub async fn start_with(
    settings: Settings,
    in_front: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>,
) -> Result<Running, StartError> {
    let data_dir = DataDir::take(&settings.data_dir)?;
    server::allow_open_files(settings.max_connections);
    let admin_token = AdminToken::obtain(settings.admin_token.as_ref(), &settings.data_dir)
        .map_err(|source| StartError::AdminToken { path: settings.data_dir.join("admin.token"), source })?;
    let listen_failed = |source| StartError::Listen { address: settings.listen, source };
    let listener = server::listen(settings.listen).map_err(listen_failed)?;
    let address = listener.local_addr().map_err(listen_failed)?;
    let journal = in_front(tokio::task::block_in_place(|| open_journal(&settings))?);
    let store = open_store(&settings).await?;
    store.migrate().await?;
    let (engine, write_behind) = start_engine(&settings, &journal, &store).await?;
    if settings.demo {
        let created = demo::create(&engine).await.map_err(StartError::Demo)?;
        if created > 0 {
            tracing::info!(flights = created, "the system was empty: demo flights are on sale");
        }
    }
    if let Some(file) = &admin_token.file {
        tracing::info!(file = %file.display(), "the admin token is in this file");
    }
    let app = Arc::new(App {
        engine,
        store,
        write_behind,
        journal: journal.describe(),
        durability: settings.durability,
        admin_token,
        request_timeout: settings.request_timeout,
        body: BodyLimits { bytes_max: settings.body_bytes_max, timeout: settings.body_timeout },
        started: Instant::now(),
        stopping: AtomicBool::new(false),
    });
    let stop = Arc::new(Stop::default());
    let connections = tokio::spawn(accept(listener, &app, &settings, stop.clone()));
    Ok(Running { address, app, stop, connections, _data_dir: data_dir })
}

fn accept(
    listener: TcpListener,
    app: &Arc<App>,
    settings: &Settings,
    stop: Arc<Stop>,
) -> impl Future<Output = ()> + Send + use<> {
    let limits = server::Limits {
        connections_max: settings.max_connections,
        header_timeout: settings.header_timeout,
        idle_timeout: settings.idle_timeout,
        header_bytes_max: settings.header_bytes_max,
    };
    server::serve(listener, warp::service(routes::all(app)), limits, stop)
}

/// Recovers all flights and starts the engine and the write-behind around them.
async fn start_engine(
    settings: &Settings,
    journal: &Arc<dyn Journal>,
    store: &Store,
) -> Result<(Arc<Engine>, WriteBehind), StartError> {
    let began = Instant::now();
    let recovered = recover_all(journal, store).await?;
    // The write-behind tells the engine how far the store is, and the engine hands it what is durable.
    let engine_place: Arc<OnceLock<Weak<Engine>>> = Arc::default();
    let hooks = hooks(&engine_place);
    let write_behind =
        WriteBehind::start(store.clone(), journal.clone(), WriteBehindOptions::default(), hooks);
    let engine = Engine::start(EngineParts {
        journal: journal.clone(),
        on_durable: write_behind.intake(),
        recover: recovery(journal.clone(), store.clone(), write_behind.clone()),
        durability: settings.durability,
        limits: Limits {
            permits_overall: settings.permits_overall,
            permits_per_flight: settings.permits_per_flight,
        },
        writer: WriterOptions::default(),
        arbiters: std::thread::available_parallelism().map_or(1, usize::from),
        runtime: tokio::runtime::Handle::current(),
    })
    .map_err(StartError::Thread)?;
    // Nobody else has set it.
    let _ = engine_place.set(Arc::downgrade(&engine));
    let may_be_empty = settings.journal == JournalTarget::Memory;
    let mut replayed = 0;
    let flights = recovered.len();
    for (flight_id, result) in recovered {
        match result {
            Ok(flight) => {
                replayed += flight.replayed;
                adopt(&engine, &write_behind, &flight_id, flight, may_be_empty);
            }
            // Claimed once, but never created.
            Err(RecoveryError::NotFound { .. }) => {}
            Err(error) => engine.quarantine(flight_id, in_full(&error)),
        }
    }
    tracing::info!(
        flights,
        replayed_events = replayed,
        took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        journal = journal.describe(),
        store = store.describe(),
        durability = settings.durability.as_str(),
        "recovered"
    );
    Ok((engine, write_behind))
}

fn adopt(
    engine: &Engine,
    write_behind: &WriteBehind,
    flight_id: &FlightId,
    recovered: Recovered,
    may_be_empty: bool,
) {
    if recovered.journal_was_empty && !may_be_empty {
        tracing::warn!(
            %flight_id,
            stored_seq = recovered.stored.0,
            "the journal knew nothing of the flight: it comes up as the store has it, and what was acknowledged \
             after that event is lost"
        );
    }
    let flight = recovered.flight;
    write_behind.register(
        flight_id,
        flight.definition().salt,
        recovered.epoch,
        recovered.stored,
        flight.seq(),
    );
    engine.adopt(RecoveredFlight { flight, epoch: recovered.epoch, stored: recovered.stored });
}

fn hooks(engine: &Arc<OnceLock<Weak<Engine>>>) -> Hooks {
    let (stored, fenced) = (engine.clone(), engine.clone());
    let reach = |place: &OnceLock<Weak<Engine>>| place.get().and_then(Weak::upgrade);
    Hooks {
        on_stored: Box::new(move |flight_id, seq| {
            if let Some(engine) = reach(&stored) {
                engine.note_stored(flight_id, seq);
            }
        }),
        on_fenced: Box::new(move |flight_id, _epoch| {
            if let Some(engine) = reach(&fenced) {
                engine.note_fenced(flight_id);
            }
        }),
    }
}

/// How the engine brings one flight up again.
fn recovery(journal: Arc<dyn Journal>, store: Store, write_behind: WriteBehind) -> Recover {
    Arc::new(move |flight_id| {
        let (journal, store, write_behind) = (journal.clone(), store.clone(), write_behind.clone());
        Box::pin(async move {
            match recover(&journal, &store, &flight_id).await {
                Ok(Recovered { flight, epoch, stored, .. }) => {
                    write_behind.register(&flight_id, flight.definition().salt, epoch, stored, flight.seq());
                    Ok(Some(RecoveredFlight { flight, epoch, stored }))
                }
                Err(RecoveryError::NotFound { .. }) => Ok(None),
                Err(error) => Err(in_full(&error)),
            }
        })
    })
}

impl Running {
    /// Stops: no new connections, what is in flight is finished, the store gets what it does not have yet. Whatever
    /// is not done within `deadline` is left to the next start's recovery; says whether everything was done.
    pub async fn stop(self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let left = || until.saturating_duration_since(Instant::now());
        self.app.stopping.store(true, Ordering::Relaxed);
        self.stop.begin();
        // Clients get half of the time; the rest belongs to what was acknowledged.
        let connections_ended = tokio::time::timeout(left() / 2, self.connections).await.is_ok();
        let engine = self.app.engine.clone();
        let engine_stopped = tokio::task::spawn_blocking(move || engine.stop());
        let engine_stopped = tokio::time::timeout(left() / 2, engine_stopped).await.is_ok();
        let stored = self.app.write_behind.drain(left()).await;
        if tokio::time::timeout(Duration::from_secs(1), self.app.store.close()).await.is_err() {
            tracing::debug!("the store's connections did not close in time");
        }
        tracing::info!(connections_ended, engine_stopped, stored, "stopped");
        connections_ended && engine_stopped && stored
    }
}
