//! The one place where all is wired: settings become a running server, and a stop becomes an orderly end.
//! Never answers a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, EngineParts, Limits, WriterOptions};
use farerush_engine::flight::IdSecrets;
use farerush_engine::journal::Journal;
use farerush_persistence::write_behind::{OnSeenFlush, WriteBehind, WriteBehindOptions};
use tokio::task::JoinHandle;

use crate::base::stop::Stop;
use crate::edge::gate::Gate;
use crate::edge::ops_server::OpsServer;
use crate::edge::server;
use crate::edge::starting::Starting;
use crate::observe::traces::{Observer, Wanted};
use crate::parts::auth::{Identity, SharedTokens};
use crate::parts::metrics::Metrics;
use crate::parts::other_servers::lease::Lease;
use crate::parts::other_servers::{OtherServers, handovers};
use crate::parts::recoveries::Recoveries;
use crate::parts::webhooks::Webhooks;
use crate::start::accepting::{accept, limits, peer_port};
use crate::start::coming_up::Left;
use crate::start::conditions::{refuse_open, refuse_unsafe};
use crate::start::config::{JournalTarget, Settings, StoreTarget};
use crate::start::consul::Registration;
use crate::start::demo;
use crate::start::id_secrets;
use crate::start::joining::begin_lease;
use crate::start::owning::Owning;
use crate::start::peering;
use crate::start::recovering;
use crate::start::recovering::{BroughtUp, EnginePlace, RecoveryContext};
use crate::start::storage::{DataDir, StartError, StoreLock, open_journal};
use crate::start::system::{StartedParts, System};

/// How long a stop waits at most for Consul to take note.
const DEREGISTRATION_MAX: Duration = Duration::from_secs(2);

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is made of.
    pub system: System,
    /// What watches requests, if anybody wants to know of them.
    pub observer: Option<Arc<Observer>>,
    /// The operators' own port.
    pub ops: Option<OpsServer>,
    registration: Option<Registration>,
    drain_delay: Duration,
    stop: Arc<Stop>,
    connections: JoinHandle<()>,
    peer_port: Option<JoinHandle<()>>,
    _data_dir: DataDir,
    _store_lock: StoreLock,
}

/// Opens everything, recovers every flight, and starts to listen. Must be called within a tokio runtime of several
/// threads.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    start_with(settings, |journal| journal).await
}

/// The same with something in front of the journal, as tests need it.
pub async fn start_with(
    mut settings: Settings,
    in_front: impl FnOnce(Arc<dyn Journal>) -> Arc<dyn Journal>,
) -> Result<Running, StartError> {
    refuse_open(&settings)?;
    let data_dir = DataDir::take(&settings.data_dir)?;
    let store_lock = StoreLock::take(&settings)?;
    let observer = Observer::start(&traces_of(&settings)).map_err(StartError::Traces)?;
    settings.max_connections = server::allow_open_files(settings.max_connections);
    if settings.journal == JournalTarget::Memory {
        tracing::warn!(
            "the journal is memory: and nothing else, so that whatever is not in the store yet is lost when this process \
             ends, acknowledged or not; answers say `\"durability\":\"{}\"`",
            settings.durability_kept().as_str()
        );
    }
    let identity = Identity::open(
        settings.admin_token.as_ref(),
        &settings.data_dir,
        &settings.customer_auth,
        &settings.rate_limits,
    )?;
    let listen_failed = |source| StartError::Listen { address: settings.listen, source };
    let listener = server::listen(settings.listen).map_err(listen_failed)?;
    let address = listener.local_addr().map_err(listen_failed)?;
    // Whoever comes before the flights are there hears so at once, and is not kept for later.
    let gate = Arc::new(Gate::new(settings.hosts.clone(), settings.cors_origins.clone()));
    let starting = Starting::serve(&listener, limits(&settings), gate.clone()).map_err(listen_failed)?;
    // Before recovery, which may take its time: the server is alive all the while.
    let ops = start_ops(&settings)?;
    let secrets = id_secrets::obtain(&settings, true)?.ok_or_else(|| StartError::Missing {
        what: "id secret",
        path: settings.data_dir.join("id.secret"),
    })?;
    let until = Instant::now() + settings.start_timeout;
    let opened = open_journal(&settings, until).await?;
    refuse_unsafe(&settings, opened.complaints)?;
    let redis = opened.redis.clone();
    let owning = opened.identity.map(|identity| Owning::new(&settings, identity, opened.redis));
    let journal = in_front(opened.journal);
    // Before the first flight is claimed: whose owner is no member is taken to be gone.
    let peering = peering::open(&settings, &secrets).await?;
    let peer = peering.as_ref().map(|peering| peering.address);
    let lease = begin_lease(&settings, redis.as_ref(), peer, until).await?;
    let began = Instant::now();
    let is_alone = peering.is_none() || lease.as_ref().is_none_or(|lease| lease.count() <= 1);
    // Of several that start at once on empty servers, one makes the demo flights.
    let lease_is_first = lease.as_ref().is_some_and(|lease| lease.is_first());
    // Webhooks that are sent for the first time begin where each flight stands, which has to be asked.
    let by_lease = redis.as_ref().filter(|_| peering.is_some() && settings.webhooks.is_none());
    let mut brought_up =
        recovering::bring_up(&settings, &journal, until, owning.as_ref(), &secrets, is_alone, by_lease)
            .await?;
    let later = std::mem::take(&mut brought_up.later);
    let left = std::mem::take(&mut brought_up.left);
    let flights = brought_up.flights.len();
    let replayed: u64 = brought_up.flights.iter().flat_map(|(_, result)| result).map(|up| up.replayed).sum();
    let metrics = Metrics::new(observer.clone());
    let shared_tokens =
        redis.as_ref().filter(|_| peering.is_some()).map(|redis| SharedTokens::new(redis.clone(), &secrets));
    let webhooks = settings.webhooks.as_ref().map(Webhooks::new).transpose()?.map(Arc::new);
    let webhooks_too = webhooks.as_deref();
    let (engine, around) = metrics.within(|| {
        start_engine(&settings, &journal, brought_up, webhooks_too, lease, secrets, observer.as_ref())
    })?;
    tracing::info!(
        flights,
        left_to_others = later.len(),
        left_for_later = left.len(),
        replayed_events = replayed,
        took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        journal = journal.describe(),
        store = around.store.describe(),
        durability = settings.durability_kept().as_str(),
        "recovered"
    );
    if let Some(webhooks) = &webhooks {
        let ends = left.iter().map(|flight| (flight.flight_id.clone(), flight.last)).collect();
        let durability = settings.durability_kept();
        webhooks.start(&engine, ends, journal.clone(), around.store.clone(), durability).await;
    }
    if settings.demo && later.is_empty() && left.is_empty() && (is_alone || lease_is_first) {
        let created = demo::create(&engine, &around.other_servers).await.map_err(StartError::Demo)?;
        if created > 0 {
            tracing::info!(flights = created, "the system was empty: demo flights are on sale");
        }
    }
    if settings.test_payment {
        tracing::warn!(
            "test_payment is on: whoever names an order confirms it, and no money moves; never sell like this \
             (test_payment=false)"
        );
    }
    if let Some(file) = identity.admins.master_file() {
        tracing::info!(file = %file.display(), "the admin token is in this file");
    }
    let left = Left::expected(left, &around.other_servers);
    let stop = Arc::new(Stop::default());
    let (door, peers) = peering.map(|peering| (peering.door, peering.peers)).unzip();
    around.other_servers.read_ownership(&engine).await;
    let known = StartedParts {
        engine,
        around,
        identity,
        metrics,
        webhooks,
        redis,
        journal: journal.describe(),
        peers,
    };
    let system = System::new(&settings, known, stop.clone());
    if let Some(shared_tokens) = shared_tokens {
        tokio::spawn(shared_tokens.keep(Arc::downgrade(&system.identity)));
    }
    system.tend(&settings, later, left, owning).map_err(StartError::Thread)?;
    if let Some(ops) = &ops {
        ops.serve(&system.figures);
        tracing::info!(address = %ops.address(), "the operators' port is served");
    }
    let drain_delay = settings.drain_delay;
    let peer_port = door.map(|door| tokio::spawn(door.serve(peer_port(&system))));
    starting.end().await;
    let connections =
        tokio::spawn(accept(listener, &system, &settings, gate, (stop.clone(), observer.clone())));
    let ops_address = ops.as_ref().map(OpsServer::address);
    let registration = settings
        .consul
        .as_ref()
        .map(|consul| {
            let figures = Arc::downgrade(&system.figures);
            Registration::start(consul, &settings.instance, address, ops_address, figures)
        })
        .transpose()
        .map_err(StartError::Consul)?;
    Ok(Running {
        registration,
        address,
        system,
        observer,
        ops,
        drain_delay,
        stop,
        connections,
        peer_port,
        _data_dir: data_dir,
        _store_lock: store_lock,
    })
}

fn traces_of(settings: &Settings) -> Wanted<'_> {
    Wanted {
        endpoint: settings.otlp_endpoint.as_deref(),
        instance: &settings.instance,
        sample_ratio: settings.trace_sample_ratio,
        access_log: settings.access_log,
    }
}

fn start_ops(settings: &Settings) -> Result<Option<OpsServer>, StartError> {
    let Some(address) = settings.ops_listen else { return Ok(None) };
    OpsServer::start(address).map(Some).map_err(|source| StartError::Listen { address, source })
}

/// Starts the engine and the write-behind around what was recovered.
fn start_engine(
    settings: &Settings,
    journal: &Arc<dyn Journal>,
    brought_up: BroughtUp,
    webhooks: Option<&Webhooks>,
    lease: Option<Arc<Lease>>,
    secrets: Arc<IdSecrets>,
    observer: Option<&Arc<Observer>>,
) -> Result<(Arc<Engine>, RecoveryContext), StartError> {
    let BroughtUp { store, flights, without_store, .. } = brought_up;
    // The write-behind tells the engine how far the store is, and the engine hands it what is durable.
    let engine_place = EnginePlace::default();
    let other_servers = Arc::new(OtherServers::new(
        matches!(settings.journal, JournalTarget::Redis(_)),
        matches!(settings.store, StoreTarget::MySql(_)),
        journal.clone(),
        store.clone(),
        lease.clone(),
    ));
    let hooks = recovering::hooks(&engine_place, &other_servers);
    // What webhooks have not delivered is not trimmed; and they hear of what is durable, too.
    let trimmed = webhooks.map_or_else(|| journal.clone(), |webhooks| webhooks.kept(journal.clone()));
    let observer = observer.filter(|observer| observer.traces());
    let on_seen = observer.cloned().map(|observer| OnSeenFlush(Arc::new(move |flush| observer.flush(flush))));
    let options = WriteBehindOptions {
        backlog_bytes_max: settings.backlog_bytes_max as usize,
        on_seen,
        ..WriteBehindOptions::default()
    };
    let write_behind = WriteBehind::start(store.clone(), trimmed, options, hooks);
    let intake = write_behind.intake();
    let on_durable = match webhooks {
        Some(webhooks) => webhooks.beside(intake),
        None => intake,
    };
    let around = RecoveryContext {
        journal: journal.clone(),
        store,
        write_behind,
        other_servers,
        recoveries: Arc::new(Recoveries::new(settings.journal == JournalTarget::Memory)),
    };
    if let Some(why) = without_store {
        around.write_behind.note_store(Some(why));
        around.other_servers.store_is_missing();
    }
    let engine = Engine::start(EngineParts {
        journal: journal.clone(),
        on_durable,
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
        secrets,
        runtime: tokio::runtime::Handle::current(),
    })
    .map_err(StartError::Thread)?;
    if let Some(observer) = observer.cloned() {
        let (place, behind) = (journal.describe(), around.write_behind.clone());
        engine.watch_rounds(Box::new(move |round| {
            // Before it is handed to the write-behind.
            behind.follow(round.followed.iter().cloned());
            observer.round(&place, &round);
        }));
    }
    // Nobody else has set it.
    let _ = engine_place.set(Arc::downgrade(&engine));
    around.adopt_all(&engine, flights);
    if let Some(lease) = lease {
        lease.serves(&engine);
    }
    Ok((engine, around))
}

impl Running {
    /// Stops: says that it will and goes on serving for the drain's delay; then no new connections, what is in flight is
    /// finished, the store gets what it does not have yet. The operators' port answers to the end. Whatever
    /// is not done within `deadline` is left to the next start's recovery; says whether everything was done.
    pub async fn stop(self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let left = || until.saturating_duration_since(Instant::now());
        let system = self.system;
        system.upkeep.stopping.begin();
        self.stop.announce();
        // Nobody needs to know how a rehearsal would have ended.
        system.api.rehearsing.rehearsals.close();
        // Balancers see it at /readyz, or hear it from Consul, and move away, while everybody who still comes is served.
        let deregistered = async {
            if let Some(registration) = self.registration {
                registration.end(DEREGISTRATION_MAX.min(deadline / 4)).await;
            }
        };
        // Whoever still comes is answered by those who have the flights from then on.
        let until = Instant::now() + deadline / 2;
        let given_away = handovers::give_all_away(&system.upkeep, until);
        // A part that is on its way goes on.
        let given_away = async { drop(tokio::time::timeout_at(until.into(), given_away).await) };
        tokio::join!(tokio::time::sleep(self.drain_delay.min(deadline / 2)), deregistered, given_away);
        self.stop.begin();
        // Clients get half of the time; the rest belongs to what was acknowledged.
        let connections_ended = tokio::time::timeout(left() / 2, self.connections).await.is_ok();
        // Nobody asks any more, so that these are the last traces, but for what the store is told yet. They leave beside the
        // rest if that takes its time.
        let (drained, was_drained) = tokio::sync::oneshot::channel::<()>();
        let (for_the_store, patience) = (left() / 4, left() / 2);
        let traces_sent = self.observer.map(|observer| {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(for_the_store, was_drained).await;
                tokio::task::spawn_blocking(move || observer.stop(patience)).await
            })
        });
        let engine = system.upkeep.engine.clone();
        let engine_stopped = tokio::task::spawn_blocking(move || engine.stop());
        let engine_stopped = tokio::time::timeout(left() / 2, engine_stopped).await.is_ok();
        if let Some(peer_port) = self.peer_port {
            peer_port.abort();
        }
        // Nothing is decided here any more: others need not wait until the lease ends.
        if let Some(lease) = system.upkeep.other_servers.lease().cloned() {
            let left_behind = tokio::task::spawn_blocking(move || lease.leave());
            let _ = tokio::time::timeout(left() / 4, left_behind).await;
        }
        // They share the store with it, and need little; what they do not deliver now, the next start does.
        let patience = left() / 4;
        let webhooks = system.figures.webhooks.clone();
        let webhooks = tokio::spawn(async move {
            let Some(webhooks) = webhooks else { return true };
            webhooks.stop(patience).await
        });
        let rehearsals = system.api.rehearsing.rehearsals.clone();
        let rehearsals_ended = tokio::task::spawn_blocking(move || rehearsals.wait());
        let stored = system.upkeep.write_behind.drain(left()).await;
        drop(drained);
        if tokio::time::timeout(left() / 2, rehearsals_ended).await.is_err() {
            tracing::debug!("a rehearsal did not end in time");
        }
        let webhooks_delivered = webhooks.await.unwrap_or(false);
        if let Some(traces_sent) = traces_sent {
            let _ = tokio::time::timeout(left(), traces_sent).await;
        }
        if tokio::time::timeout(Duration::from_secs(1), system.lists.store.close()).await.is_err() {
            tracing::debug!("the store's connections did not close in time");
        }
        if let Some(ops) = self.ops {
            let _ = tokio::task::spawn_blocking(move || ops.end()).await;
        }
        tracing::info!(connections_ended, engine_stopped, stored, webhooks_delivered, "stopped");
        connections_ended && engine_stopped && stored
    }
}
