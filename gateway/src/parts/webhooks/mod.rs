//! Outgoing webhooks: what happened to orders is posted to a receiver, signed, at least once and in order per flight,
//! from the journal's position. Never holds up a sale, and never loses an event because the receiver is away.

mod backoff;
mod body;
mod events;
mod keep;
mod lanes;
mod post;
mod settings;
mod signature;
mod task;
mod turn;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farerush_engine::actor::Engine;
use farerush_engine::flight::{FlightId, Seq, Timestamp};
use farerush_engine::journal::{Batch, Durability, Journal, OnDurable};
use farerush_persistence::store::Store;
use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use keep::Kept;
use lanes::{Lanes, Noted};
use post::Post;
use task::Task;
use turn::Ways;

pub use events::{Kind, Kinds};
pub use settings::{SECRET_CHARS_MAX, SECRET_CHARS_MIN, WebhookSettings};

/// Webhooks cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the client that sends webhooks")]
pub struct WebhookError(#[source] reqwest::Error);

/// How webhooks are doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookStatus {
    /// The receiver's host.
    pub host: String,
    /// Events that were not looked at yet.
    pub lag_events: u64,
    /// Flights they belong to.
    pub flights_behind: usize,
    /// When the oldest of them happened, or a moment at or before that, as far as known.
    pub oldest: Option<Timestamp>,
    /// Since when the receiver has taken nothing; `None` if it took the last delivery.
    pub failing_for: Option<Duration>,
    /// Whether that has happened so often in a row that it counts as away.
    pub is_away: bool,
    /// What it failed with last, even if that is over.
    pub last_error: Option<String>,
    /// Deliveries since the start, by outcome: the name, and how many.
    pub deliveries: [(&'static str, u64); 4],
    /// Events whose deliveries are lost, since the start.
    pub lost_events: u64,
}

/// The webhooks of a server.
pub struct Webhooks {
    shared: Arc<Shared>,
    post: Arc<Post>,
    settings: WebhookSettings,
    host: String,
}

/// What the parts share.
struct Shared {
    /// What was told and not looked at yet: at most an entry a flight.
    intake: Mutex<HashMap<FlightId, Noted>>,
    lanes: Mutex<Lanes>,
    /// Something was told.
    work: Notify,
    stage: watch::Sender<Stage>,
    counts: Counts,
    trouble: Mutex<TroubleSoFar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Ends until then.
    Stopping(Instant),
    Ended,
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    refused: AtomicU64,
    unreachable: AtomicU64,
    timed_out: AtomicU64,
    lost_events: AtomicU64,
}

#[derive(Debug, Default)]
struct TroubleSoFar {
    failing_since: Option<Instant>,
    is_away: bool,
    last_error: Option<String>,
}

impl Webhooks {
    /// Webhooks that do not run yet.
    pub fn new(settings: &WebhookSettings) -> Result<Self, WebhookError> {
        // It was parsed before; if that is not so, nothing is sent anywhere.
        let url = Url::parse(settings.url.expose()).or_else(|_| Url::parse("http://invalid.invalid/"));
        let Ok(url) = url else { unreachable!("the address above can be read") };
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let post = Post::new(url, settings.secret.expose(), settings.timeout).map_err(WebhookError)?;
        let shared = Shared::new();
        Ok(Self { shared: Arc::new(shared), post: Arc::new(post), settings: settings.clone(), host })
    }

    /// The journal for whoever trims it: what was not delivered stays.
    pub fn kept(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        Arc::new(Kept::new(journal, self.shared.clone(), self.settings.lag_events_max))
    }

    /// What durable rounds go to, so that webhooks hear of them beside somebody else. Only seqs are noted here: the
    /// events themselves are read from the journal.
    pub fn beside(&self, other: OnDurable) -> OnDurable {
        let shared = self.shared.clone();
        Box::new(move |round| {
            shared.hear(&round.batches);
            other(round);
        })
    }

    /// Begins to deliver. What becomes durable after this call is delivered, and what was before, if it was not yet. `ends`
    /// are flights that are still to come up, and their last events.
    pub async fn start(
        &self,
        engine: &Arc<Engine>,
        ends: Vec<(FlightId, Seq)>,
        journal: Arc<dyn Journal>,
        store: Store,
        durability: Durability,
    ) {
        let ways = Ways {
            shared: self.shared.clone(),
            engine: Arc::downgrade(engine),
            journal,
            store,
            post: self.post.clone(),
            kinds: self.settings.kinds.clone(),
            durability,
        };
        let mut task = Task::new(self.shared.clone(), ways, ends);
        task.open().await;
        tracing::info!(host = self.host, "webhooks are sent");
        tokio::spawn(task.run());
    }

    /// Ends within `patience`; says whether everything that is durable was delivered. The rest is at the next start.
    pub async fn stop(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut stage = self.shared.stage.subscribe();
        self.shared.stage.send_if_modified(|stage| {
            let runs = *stage == Stage::Running;
            if runs {
                *stage = Stage::Stopping(until);
            }
            runs
        });
        let _ = tokio::time::timeout_at(until, stage.wait_for(|stage| *stage == Stage::Ended)).await;
        self.shared.absorb();
        self.shared.lanes.lock().flights_behind() == 0
    }

    /// How they are doing.
    pub fn status(&self) -> WebhookStatus {
        self.shared.absorb();
        let counts = &self.shared.counts;
        let (lag_events, flights_behind, oldest) = {
            let lanes = self.shared.lanes.lock();
            (lanes.lag_events(), lanes.flights_behind(), lanes.oldest())
        };
        let trouble = self.shared.trouble.lock();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WebhookStatus {
            host: self.host.clone(),
            lag_events,
            flights_behind,
            oldest,
            failing_for: trouble.failing_since.map(|since| since.elapsed()),
            is_away: trouble.is_away,
            last_error: trouble.last_error.clone(),
            deliveries: [
                ("delivered", count(&counts.delivered)),
                ("refused", count(&counts.refused)),
                ("unreachable", count(&counts.unreachable)),
                ("timed_out", count(&counts.timed_out)),
            ],
            lost_events: count(&counts.lost_events),
        }
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            intake: Mutex::default(),
            lanes: Mutex::default(),
            work: Notify::new(),
            stage: watch::Sender::new(Stage::Running),
            counts: Counts::default(),
            trouble: Mutex::default(),
        }
    }

    /// Called by the journal's writer: notes how far flights are durable, and nothing else.
    fn hear(&self, batches: &[Batch]) {
        if batches.is_empty() {
            return;
        }
        let mut intake = self.intake.lock();
        for batch in batches {
            let Some(first) = batch.events.first() else { continue };
            let noted = Noted { last: batch.last_seq(), at: Some(first.at), is_new: first.seq == Seq(1) };
            match intake.entry(batch.flight_id.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(noted)),
                Entry::Occupied(mut entry) => entry.get_mut().last = noted.last.max(entry.get().last),
            }
        }
        drop(intake);
        self.work.notify_one();
    }

    /// Takes over what was noted.
    fn absorb(&self) {
        let intake = std::mem::take(&mut *self.intake.lock());
        if intake.is_empty() {
            return;
        }
        let mut lanes = self.lanes.lock();
        for (flight_id, noted) in intake {
            lanes.note(&flight_id, noted);
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stage.borrow() != Stage::Running
    }

    /// Until when a stop has to be over.
    fn until(&self) -> Instant {
        match *self.stage.borrow() {
            Stage::Stopping(until) => until,
            Stage::Running | Stage::Ended => Instant::now(),
        }
    }

    fn note_failure(&self, what: &str, is_away: bool) {
        let mut trouble = self.trouble.lock();
        trouble.failing_since.get_or_insert_with(Instant::now);
        trouble.is_away = is_away;
        trouble.last_error = Some(what.to_owned());
    }

    fn note_success(&self) {
        let mut trouble = self.trouble.lock();
        (trouble.failing_since, trouble.is_away) = (None, false);
    }
}
