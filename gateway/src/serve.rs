//! The one place where all is wired: settings become a running server, and a stop becomes an orderly end.
//! Never answers a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, EngineParts, Limits};
use farerush_engine::journal::{Durability, Journal, WriterOptions};
use farerush_persistence::write_behind::{WriteBehind, WriteBehindOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::auth::AdminToken;
use crate::body::BodyLimits;
use crate::config::Settings;
use crate::outside::Outside;
use crate::recovering::{BroughtUp, EnginePlace, Recoveries, Surroundings};
use crate::server::Stop;
use crate::storage::{DataDir, StartError, open_journal};
use crate::{demo, recovering, routes, server};

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
    let until = Instant::now() + settings.start_timeout;
    let opened = open_journal(&settings, until).await?;
    refuse_unsafe(&settings, opened.complaints)?;
    let journal = in_front(opened.journal);
    let began = Instant::now();
    let brought_up = recovering::bring_up(&settings, &journal, until).await?;
    let flights = brought_up.flights.len();
    let replayed: u64 = brought_up.flights.iter().flat_map(|(_, result)| result).map(|up| up.replayed).sum();
    let (engine, around) = start_engine(&settings, &journal, brought_up)?;
    tracing::info!(
        flights,
        replayed_events = replayed,
        took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        journal = journal.describe(),
        store = around.store.describe(),
        durability = settings.durability.as_str(),
        "recovered"
    );
    if settings.demo {
        let created = demo::create(&engine, &around.outside).await.map_err(StartError::Demo)?;
        if created > 0 {
            tracing::info!(flights = created, "the system was empty: demo flights are on sale");
        }
    }
    if let Some(file) = &admin_token.file {
        tracing::info!(file = %file.display(), "the admin token is in this file");
    }
    let app = Arc::new(App {
        engine,
        store: around.store,
        write_behind: around.write_behind,
        outside: around.outside,
        recoveries: around.recoveries,
        has_replica: settings.store_read.is_some(),
        journal: journal.describe(),
        durability: settings.durability,
        admin_token,
        request_timeout: settings.request_timeout,
        body: BodyLimits { bytes_max: settings.body_bytes_max, timeout: settings.body_timeout },
        started: Instant::now(),
        stopping: AtomicBool::new(false),
    });
    tokio::spawn(Outside::watch(Arc::downgrade(&app)));
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

/// Starts the engine and the write-behind around what was recovered.
fn start_engine(
    settings: &Settings,
    journal: &Arc<dyn Journal>,
    brought_up: BroughtUp,
) -> Result<(Arc<Engine>, Surroundings), StartError> {
    let BroughtUp { store, flights, without_store } = brought_up;
    // The write-behind tells the engine how far the store is, and the engine hands it what is durable.
    let engine_place = EnginePlace::default();
    let outside = Arc::new(Outside::new(settings, journal.clone(), store.clone()));
    let hooks = recovering::hooks(&engine_place, &outside);
    let write_behind =
        WriteBehind::start(store.clone(), journal.clone(), WriteBehindOptions::default(), hooks);
    let around = Surroundings {
        journal: journal.clone(),
        store,
        write_behind,
        outside,
        recoveries: Arc::new(Recoveries::new(settings)),
    };
    if let Some(why) = without_store {
        around.write_behind.note_store(Some(why));
        around.outside.store_is_missing();
    }
    let engine = Engine::start(EngineParts {
        journal: journal.clone(),
        on_durable: around.write_behind.intake(),
        recover: around.clone().recovery(),
        durability: settings.durability,
        limits: Limits {
            permits_overall: settings.permits_overall,
            permits_per_flight: settings.permits_per_flight,
        },
        writer: WriterOptions { pause: settings.commit_pause, ..WriterOptions::default() },
        arbiters: settings
            .actor_threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        runtime: tokio::runtime::Handle::current(),
    })
    .map_err(StartError::Thread)?;
    // Nobody else has set it.
    let _ = engine_place.set(Arc::downgrade(&engine));
    around.adopt_all(&engine, flights);
    Ok((engine, around))
}

/// A Redis that may lose what it confirms is no journal to sell on, unless that is meant.
fn refuse_unsafe(settings: &Settings, complaints: Vec<String>) -> Result<(), StartError> {
    if complaints.is_empty() {
        return Ok(());
    }
    if settings.durability != Durability::Memory && !settings.redis_allow_unsafe {
        return Err(StartError::UnsafeRedis(complaints));
    }
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    Ok(())
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
