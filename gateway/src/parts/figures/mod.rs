//! The figures that are there anyway, read when somebody asks: engine, journal, store, write-behind, live readers.
//! Never has a series for each flight: a process may serve a hundred thousand, and the status page names them.

mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Census, Condition, EngineStatus};
use farerush_persistence::store::ReplicaState;
use farerush_persistence::write_behind::{StoreState, WriteBehindStatus};

use crate::parts::health::Health;
use crate::parts::live::Live;
use crate::parts::metrics::Metrics;
use crate::parts::metrics::text::{Kind, MetricsPage};
use crate::parts::recoveries::Recoveries;
use crate::parts::webhooks::Webhooks;

/// Everything that is looked at by those who watch over the server.
pub struct Figures {
    /// Whether it can sell.
    pub health: Arc<Health>,
    /// What was counted and measured of requests.
    pub metrics: Arc<Metrics>,
    /// Those who follow flights live.
    pub live: Arc<Live>,
    /// How flights came up.
    pub recoveries: Arc<Recoveries>,
    /// What is posted to others, if anything is.
    pub webhooks: Option<Arc<Webhooks>>,
    /// Whether Consul has this server, as far as known; false where it is not asked to.
    pub is_registered: Arc<AtomicBool>,
    /// When the server started.
    pub started: Instant,
}

impl Figures {
    /// The page that Prometheus reads. Looks at every flight once, which takes milliseconds where there are very many.
    pub fn page(&self) -> String {
        let mut page = MetricsPage::default();
        self.metrics.write_counted(&mut page);
        write(&mut page, self);
        self.metrics.write_measured(&mut page);
        page.finish()
    }
}

/// Writes all of them.
fn write(page: &mut MetricsPage, figures: &Figures) {
    let health = &figures.health;
    let engine = &health.flights.engine;
    let (status, census, behind) = (engine.status(), engine.census(), health.lists.write_behind.status());
    page.family(Kind::Gauge, "farerush_build_info", "What runs here; always 1.").sample(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }),
            ("durability", health.flights.durability.as_str()),
        ],
        1,
    );
    page.gauge(
        "farerush_stopping",
        "1 once this process has been told to stop, else 0.",
        u8::from(health.stopping.has_begun()),
    );
    page.gauge(
        "farerush_registered",
        "1 while Consul has this server, as far as known; 0 where it is not to register itself.",
        u8::from(figures.is_registered.load(Ordering::Relaxed)),
    );
    write_requests(page, &census);
    write_flights(page, figures, &census);
    write_journal(page, &status, &census);
    page.gauge(
        "farerush_journal_unsafe",
        "1 while Redis is set up so that it may lose what it confirms, or cannot be asked; else 0.",
        u8::from(health.redis.as_ref().is_some_and(|redis| redis.is_unsafe())),
    );
    let (events, _, primaries) = health.redis.as_ref().map_or((0, 0, 0), |redis| redis.healed());
    page.counter(
        "farerush_journal_healed_events_total",
        "Events that a new primary of Redis lacked though they were confirmed, and that were written again.",
        events,
    );
    page.counter(
        "farerush_journal_new_primaries_total",
        "How often Redis had another primary, or was started anew.",
        primaries,
    );
    write_store(page, figures, &behind);
    write_recoveries(page, figures);
    webhooks::write(page, figures);
    page.gauge("farerush_live_readers", "Clients that follow a flight live.", figures.live.readers());
    page.gauge("farerush_live_flights", "Flights that are followed live.", figures.live.flights());
    page.counter(
        "farerush_live_skipped_total",
        "Live readers that were too slow and were given the whole state anew instead of each change.",
        figures.live.skipped(),
    );
}

fn write_requests(page: &mut MetricsPage, census: &Census) {
    page.family(
        Kind::Gauge,
        "farerush_permits_used",
        "Commands under way: of all flights, and of the flight that has most.",
    );
    page.sample(&[("scope", "overall")], census.under_way);
    page.sample(&[("scope", "busiest_flight")], census.under_way_max);
    page.family(
        Kind::Gauge,
        "farerush_permits_limit",
        "Most commands under way, beyond which the answer is OVERLOADED.",
    );
    page.sample(&[("scope", "overall")], census.limits.permits_overall);
    page.sample(&[("scope", "busiest_flight")], census.limits.permits_per_flight);
    page.family(
        Kind::Gauge,
        "farerush_queued_requests",
        "Requests in flights' queues that are not decided yet: of all flights, and of the flight that has most.",
    );
    page.sample(&[("scope", "overall")], census.queued);
    page.sample(&[("scope", "busiest_flight")], census.queued_max);
}

fn write_flights(page: &mut MetricsPage, figures: &Figures, census: &Census) {
    page.family(Kind::Gauge, "farerush_flights", "Flights that this process knows, by where they stand.");
    for (state, count) in [
        ("serving", census.serving),
        ("creating", census.creating),
        ("recovering", census.recovering),
        ("fenced", census.fenced),
        ("quarantined", census.quarantined),
    ] {
        page.sample(&[("state", state)], count);
    }
    page.gauge(
        "farerush_flights_elsewhere",
        "Flights that other processes serve, as far as this one has looked.",
        figures.health.flights.other_servers.flights_elsewhere(&figures.health.flights.engine),
    );
    page.gauge(
        "farerush_flights_coming_up",
        "Flights that the last start has still to bring up; who asks for one waits for it.",
        figures.health.flights.other_servers.arrivals().left_of_start(),
    );
    page.gauge(
        "farerush_flights_unserved",
        "Flights that journal or store have and nobody serves, here or in any other process.",
        figures.health.flights.other_servers.flights_unserved(),
    );
    let other_servers = &figures.health.flights.other_servers;
    page.gauge(
        "farerush_members",
        "Servers that share the journal, this one among them; 0 where nobody can.",
        other_servers.lease().map_or(0, |lease| lease.count()),
    );
    page.family(
        Kind::Counter,
        "farerush_takeovers_total",
        "Flights taken over here from servers that were gone.",
    );
    page.sample(&[], other_servers.flights_taken_over());
    page.family(
        Kind::Counter,
        "farerush_handovers_total",
        "Flights that this process has handed over to servers that were there.",
    );
    page.sample(&[], other_servers.flights_handed_over());
    page.family(
        Kind::Counter,
        "farerush_forwarded_total",
        "Requests that came here and were handed on to the servers that have their flights.",
    );
    page.sample(&[], other_servers.forwarded().load(Ordering::Relaxed));
    page.family(Kind::Gauge, "farerush_seats", "Seats of the flights here: all, and those still on sale.");
    page.sample(&[("kind", "all")], census.capacity).sample(&[("kind", "free")], census.free);
    page.gauge("farerush_holds", "Held orders of the flights here.", census.holds);
    page.family(
        Kind::Gauge,
        "farerush_flights_seq",
        "The last events of all flights here, summed up: decided, durable (journal) and stored (SQL).",
    );
    page.sample(&[("stage", "decided")], census.seq);
    page.sample(&[("stage", "durable")], census.durable_seq);
    page.sample(&[("stage", "stored")], census.stored_seq);
    page.family(
        Kind::Gauge,
        "farerush_flight_lag_events",
        "How many events the flight that is furthest behind has decided but not durable, or durable but not stored.",
    );
    page.sample(&[("stage", "durable")], census.undurable_max);
    page.sample(&[("stage", "stored")], census.unstored_max);
}

fn write_journal(page: &mut MetricsPage, status: &EngineStatus, census: &Census) {
    let (state, stalled_for) = match &status.journal {
        Condition::Writing => ("writing", Duration::ZERO),
        Condition::Stalled { since, .. } => ("stalled", *since),
        Condition::Stopped { .. } => ("stopped", Duration::ZERO),
    };
    page.family(
        Kind::Gauge,
        "farerush_journal_state",
        "1 for how the journal is, else 0: writing, stalled (nothing is sold until it is back), stopped (nothing is \
         sold until a restart).",
    );
    states(page, &["writing", "stalled", "stopped"], state);
    page.gauge(
        "farerush_journal_stalled_seconds",
        "For how long the journal has been stalled; 0 while it is not.",
        stalled_for.as_secs_f64(),
    );
    page.counter("farerush_journal_stalls_total", "How often the journal began to stall.", status.stalls);
    page.counter("farerush_journal_rounds_total", "Rounds made durable.", status.rounds);
    page.counter("farerush_journal_events_total", "Events made durable.", status.events);
    page.gauge(
        "farerush_journal_queue_turns",
        "Turns of actors that wait for the journal's writer.",
        census.writer_queue,
    );
}

fn write_store(page: &mut MetricsPage, figures: &Figures, behind: &WriteBehindStatus) {
    let (state, down_for) = match &behind.store {
        StoreState::Up => ("up", Duration::ZERO),
        StoreState::Down { for_time, .. } => ("down", *for_time),
    };
    page.family(Kind::Gauge, "farerush_store_state", "1 for how the store is, else 0: up or down.");
    states(page, &["up", "down"], state);
    page.gauge(
        "farerush_store_down_seconds",
        "For how long the store has been away; 0 while it is there.",
        down_for.as_secs_f64(),
    );
    write_replica(page, figures);
    page.counter(
        "farerush_store_flush_failures_total",
        "Flushes that the store did not commit; they are tried again.",
        behind.failed_flushes,
    );
    page.gauge(
        "farerush_backlog_events",
        "Events that are durable but not in the store yet.",
        behind.backlog_events,
    );
    page.gauge(
        "farerush_backlog_bytes",
        "Bytes of them that are kept in memory, about; the rest is read again from the journal.",
        behind.backlog_bytes,
    );
    page.gauge(
        "farerush_backlog_bytes_limit",
        "Most of those bytes; what follows waits in the journal alone.",
        behind.backlog_bytes_max,
    );
    let age = figures
        .health
        .lists
        .write_behind
        .oldest_unstored()
        .map_or(0, |at| (figures.health.flights.now().as_millis() - at.as_millis()).max(0));
    page.gauge(
        "farerush_backlog_age_seconds",
        "How long ago the oldest of them happened, or a little more; 0 if there is none.",
        Duration::from_millis(age.unsigned_abs()).as_secs_f64(),
    );
    page.gauge("farerush_backlog_flights", "Flights they belong to.", behind.flights_behind);
    page.gauge(
        "farerush_backlog_stuck_flights",
        "Flights of which nothing more can be stored until somebody has looked; they sell on.",
        behind.stuck.len(),
    );
    page.counter(
        "farerush_backlog_reread_events_total",
        "Events that were read again from the journal on their way to the store.",
        behind.reread_events,
    );
}

fn write_replica(page: &mut MetricsPage, figures: &Figures) {
    let replica = figures.health.lists.store.replica_status();
    let state = replica.as_ref().map_or("none", |replica| match replica.state {
        ReplicaState::Serving => "serving",
        ReplicaState::Behind => "behind",
        ReplicaState::Away { .. } => "away",
    });
    page.family(
        Kind::Gauge,
        "farerush_store_replica_state",
        "1 for how the replica of store_read is, else 0: serving, behind or away (the primary serves), none.",
    );
    states(page, &["serving", "behind", "away", "none"], state);
    page.gauge(
        "farerush_store_replica_lag_seconds",
        "How far the replica is behind the primary, about; 0 if there is none.",
        replica.as_ref().map_or(Duration::ZERO, |replica| replica.lag).as_secs_f64(),
    );
    page.counter(
        "farerush_store_replica_fallbacks_total",
        "Reads that the primary served because the replica could not.",
        replica.map_or(0, |replica| replica.fallbacks),
    );
}

fn write_recoveries(page: &mut MetricsPage, figures: &Figures) {
    page.family(
        Kind::Counter,
        "farerush_recoveries_total",
        "Flights that came up from what is durable, at the start or later, by what they came up from.",
    );
    for (basis, count) in figures.recoveries.counts() {
        page.sample(&[("basis", basis)], count);
    }
    page.counter(
        "farerush_recoveries_journal_empty_total",
        "Those of them of which the journal knew nothing, so that acknowledged orders may be missing.",
        figures.recoveries.with_empty_journal(),
    );
}

/// One sample a state, 1 for the one that is.
fn states(page: &mut MetricsPage, states: &[&str], now: &str) {
    for state in states {
        page.sample(&[("state", state)], u8::from(*state == now));
    }
}
