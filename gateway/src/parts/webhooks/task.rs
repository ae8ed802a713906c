//! The one task that hands flights their turns, learns from the store how far they are and tells it how far they got.
//! Never delivers anything itself, and never gives up because receiver or store are away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::actor::{Engine, Located};
use farerush_engine::flight::{FlightId, Seq};
use farerush_persistence::store::{Store, StoreError, WebhookCursor};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::backoff::backoff;
use super::lanes::{DeliveryCursor, Noted};
use super::turn::{Trouble, Turn, Ways};
use super::{Shared, Stage};
use crate::base::errors::in_full;

/// Flights that are delivered for at the same time, each one delivery after the other.
const TURNS_MAX: usize = 32;
/// After so many failures in a row, whosever they were, the receiver counts as away: one flight at a time tries.
const AWAY_FAILURES: u32 = 8;
/// How often it is said that the receiver does not take what is sent.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// How often all flights are looked at, for what nobody has told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the store is told how far deliveries are, at most: about so much is repeated after a crash,
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// or so many deliveries, if that is sooner.
const SAVE_DELIVERIES: u64 = 1_000;
/// Flights that the store is told of (or asked for) at once.
const CHORE_FLIGHTS_MAX: usize = 4_096;
/// How long to wait after something here was not ready, or the store did not answer.
const HERE_PAUSE: Duration = Duration::from_secs(1);
/// What a stop leaves for telling the store, of the time it has.
const SAVE_SHARE: u32 = 2;

/// Something to be asked of the store.
enum Chore {
    /// All cursors; and where there are none, that webhooks begin now, from these places.
    Open(Vec<WebhookCursor>),
    /// The cursors of these flights.
    Load(Vec<FlightId>),
    /// These cursors are to be saved.
    Save(Vec<WebhookCursor>),
}

/// What it has answered.
enum Done {
    /// These flights have cursors; of those asked for, the others have none and begin with their first event.
    Loaded {
        asked: Option<Vec<FlightId>>,
        found: Vec<WebhookCursor>,
    },
    Saved(Vec<WebhookCursor>),
    Failed(StoreError),
}

/// The task's own.
pub(super) struct Task {
    shared: Arc<Shared>,
    ways: Arc<Ways>,
    /// Flights that were to come up yet when this began, and their last events.
    ends: Vec<(FlightId, Seq)>,
    turns: JoinSet<Turn>,
    chores: JoinSet<Done>,
    /// Whether the store was asked for all cursors.
    is_open: bool,
    next_look: Instant,
    /// Not before this.
    next_chore: Instant,
    last_save: Instant,
    delivered_since_save: u64,
    /// Failures in a row of all flights together.
    failures: u32,
    paused_until: Option<Instant>,
    said_at: Option<Instant>,
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>, ways: Ways, ends: Vec<(FlightId, Seq)>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            ways: Arc::new(ways),
            ends,
            turns: JoinSet::new(),
            chores: JoinSet::new(),
            is_open: false,
            next_look: now,
            next_chore: now,
            last_save: now,
            delivered_since_save: 0,
            failures: 0,
            paused_until: None,
            said_at: None,
        }
    }

    /// Asks the store once how far everything is, so that whatever happens from now on is delivered. If it does not
    /// answer, the task goes on asking.
    pub(super) async fn open(&mut self) {
        let Some(engine) = self.ways.engine.upgrade() else { return };
        self.look(&engine);
        let done = Chore::Open(self.places(&engine)).run(&self.ways.store).await;
        self.book_chore(done);
    }

    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        let mut stage = shared.stage.subscribe();
        loop {
            self.shared.absorb();
            if Instant::now() >= self.next_look {
                let Some(engine) = self.ways.engine.upgrade() else { break };
                self.look(&engine);
            }
            self.begin_chore();
            self.begin_turns();
            let wake = self.next_wake();
            tokio::select! {
                Some(turn) = self.turns.join_next() => self.book(turn),
                Some(done) = self.chores.join_next() => self.book_joined(done),
                () = shared.work.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
                _ = stage.wait_for(|stage| *stage != Stage::Running) => break,
            }
        }
        self.end().await;
    }

    /// Looks at all flights: what is durable, and whether they are still here. Whatever the writer has told is found
    /// here, too; it is only sooner.
    fn look(&mut self, engine: &Engine) {
        self.next_look = Instant::now() + LOOK_EVERY;
        for flight in engine.flights() {
            let (flight_id, durable) = (flight.flight_id(), flight.status().durable_seq);
            let mut lanes = self.shared.lanes.lock();
            match engine.find(flight_id) {
                Located::Here(_) => {
                    lanes.note(flight_id, Noted { last: durable, at: None, is_new: false });
                }
                Located::There | Located::Nobody => lanes.forget(flight_id),
                Located::Quarantined { .. } => {}
            }
        }
    }

    fn begin_chore(&mut self) {
        let now = Instant::now();
        if !self.chores.is_empty() || now < self.next_chore {
            return;
        }
        let Some(chore) = self.next_chore(now) else { return };
        let store = self.ways.store.clone();
        self.chores.spawn(async move { chore.run(&store).await });
    }

    fn next_chore(&mut self, now: Instant) -> Option<Chore> {
        if !self.is_open {
            let engine = self.ways.engine.upgrade()?;
            return Some(Chore::Open(self.places(&engine)));
        }
        let lanes = self.shared.lanes.lock();
        let mut unplaced = lanes.unplaced();
        if !unplaced.is_empty() {
            unplaced.truncate(CHORE_FLIGHTS_MAX);
            return Some(Chore::Load(unplaced));
        }
        if now < self.last_save + SAVE_EVERY && self.delivered_since_save < SAVE_DELIVERIES {
            return None;
        }
        let unsaved = lanes.unsaved(CHORE_FLIGHTS_MAX);
        self.last_save = now;
        self.delivered_since_save = 0;
        (!unsaved.is_empty()).then_some(Chore::Save(unsaved))
    }

    /// Where each flight here would begin if webhooks were configured for the first time.
    fn places(&self, engine: &Engine) -> Vec<WebhookCursor> {
        let lanes = self.shared.lanes.lock();
        let begin = |(flight_id, place): (&FlightId, Option<DeliveryCursor>)| {
            let place = match (place, engine.find(flight_id)) {
                (Some(place), _) => place,
                (None, Located::Here(flight)) => {
                    let view = flight.view();
                    DeliveryCursor { seq: view.seq, free: Some(view.free), within: 0 }
                }
                (None, _) => return None,
            };
            Some(WebhookCursor { flight_id: flight_id.clone(), seq: place.seq, free: place.free })
        };
        let mut places: Vec<WebhookCursor> = lanes.places().filter_map(begin).collect();
        let known: HashSet<FlightId> = places.iter().map(|place| place.flight_id.clone()).collect();
        let to_come = self.ends.iter().filter(|(flight_id, _)| !known.contains(flight_id));
        places.extend(to_come.map(|(flight_id, seq)| WebhookCursor {
            flight_id: flight_id.clone(),
            seq: *seq,
            free: None,
        }));
        places
    }

    fn book_joined(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(done) => self.book_chore(done),
            Err(error) => {
                tracing::error!(%error, "asking the store about webhooks panicked");
                self.next_chore = Instant::now() + HERE_PAUSE;
            }
        }
    }

    fn book_chore(&mut self, done: Done) {
        let mut lanes = self.shared.lanes.lock();
        match done {
            Done::Loaded { asked, found } => {
                for cursor in found {
                    lanes.put(
                        &cursor.flight_id,
                        DeliveryCursor { seq: cursor.seq, free: cursor.free, within: 0 },
                        true,
                    );
                }
                let others = asked.unwrap_or_else(|| {
                    self.is_open = true;
                    lanes.unplaced()
                });
                others.iter().for_each(|flight_id| lanes.put(flight_id, DeliveryCursor::START, false));
            }
            Done::Saved(cursors) => lanes.saved(&cursors),
            Done::Failed(error) => {
                tracing::debug!(error = in_full(&error), "the store does not answer about webhooks");
                self.next_chore = Instant::now() + HERE_PAUSE;
            }
        }
    }

    fn begin_turns(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let turns_max = if self.failures >= AWAY_FAILURES { 1 } else { TURNS_MAX };
        while self.turns.len() < turns_max {
            let Some(taken) = self.shared.lanes.lock().take(now) else { return };
            self.turns.spawn(self.ways.clone().run(taken));
        }
    }

    fn book(&mut self, turn: Result<Turn, JoinError>) {
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) if error.is_cancelled() => return,
            // Its flight stays taken: nothing more of it is delivered before a restart, and nothing is lost.
            Err(error) => return tracing::error!(%error, "delivering webhooks panicked"),
        };
        self.delivered_since_save += turn.delivered;
        if turn.delivered > 0 && self.failures > 0 {
            self.receiver_is_back();
        }
        let (mut has_failed, mut asked_for, mut pause_here) = (false, Duration::ZERO, None);
        match &turn.trouble {
            Some(Trouble::Receiver(failure)) => {
                has_failed = true;
                asked_for = failure.retry_after.unwrap_or_default();
                self.receiver_fails(&failure.what, asked_for);
            }
            Some(Trouble::Here(what)) => {
                tracing::debug!(flight_id = %turn.taken.flight_id, what, "webhooks wait");
                pause_here = Some(HERE_PAUSE);
            }
            Some(Trouble::Stopping) | None => {}
        }
        self.shared.lanes.lock().arrived(&turn.taken, turn.place, turn.at, has_failed, |failures| {
            let pause = if has_failed { Some(backoff(failures).max(asked_for)) } else { pause_here };
            pause.map(|pause| Instant::now() + pause)
        });
    }

    fn receiver_fails(&mut self, what: &str, asked_for: Duration) {
        self.failures = self.failures.saturating_add(1);
        let now = Instant::now();
        let away = self.failures.checked_sub(AWAY_FAILURES).map(|more| backoff(more + 1));
        let pause = away.unwrap_or_default().max(asked_for);
        if !pause.is_zero() {
            self.paused_until = self.paused_until.max(Some(now + pause));
        }
        self.shared.note_failure(what, self.failures >= AWAY_FAILURES);
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said_at = Some(now);
            let lag_events = self.shared.lanes.lock().lag_events();
            tracing::warn!(
                what,
                lag_events,
                "the webhooks' receiver does not take deliveries; they are tried again"
            );
        }
    }

    fn receiver_is_back(&mut self) {
        if self.failures >= AWAY_FAILURES {
            tracing::info!("the webhooks' receiver takes deliveries again");
            self.shared.lanes.lock().wake_all();
            self.said_at = None;
        }
        (self.failures, self.paused_until) = (0, None);
        self.shared.note_success();
    }

    /// When there is something to do, though nobody says so.
    fn next_wake(&self) -> Instant {
        let mut wake = self.next_look;
        let lanes = self.shared.lanes.lock();
        let turn = if lanes.has_ready() { self.paused_until } else { lanes.next_wait() };
        if let Some(turn) = turn {
            // With all turns taken, the end of one of them wakes.
            wake = wake.min(turn.max(self.paused_until.unwrap_or(turn)));
        }
        wake.max(Instant::now() + Duration::from_millis(1))
    }

    /// Lets what is under way end, and tells the store how far it got.
    async fn end(mut self) {
        let until = self.shared.until();
        let left = until.saturating_duration_since(Instant::now());
        let turns_until = Instant::now() + left / SAVE_SHARE;
        while let Ok(Some(turn)) = tokio::time::timeout_at(turns_until, self.turns.join_next()).await {
            self.book(turn);
        }
        self.turns.abort_all();
        let saved = async {
            while let Some(done) = self.chores.join_next().await {
                self.book_joined(done);
            }
            loop {
                let unsaved = self.shared.lanes.lock().unsaved(CHORE_FLIGHTS_MAX);
                if unsaved.is_empty() {
                    return;
                }
                let done = Chore::Save(unsaved).run(&self.ways.store).await;
                let has_failed = matches!(done, Done::Failed(_));
                self.book_chore(done);
                if has_failed {
                    return;
                }
            }
        };
        if tokio::time::timeout_at(until, saved).await.is_err() {
            tracing::debug!("not all is saved of how far webhooks are: some are repeated");
        }
        self.shared.stage.send_replace(Stage::Ended);
    }
}

impl Chore {
    async fn run(self, store: &Store) -> Done {
        let done = match self {
            Self::Open(places) => open(store, &places).await,
            Self::Load(flights) => {
                let found = store.webhook_cursors_of(&flights).await;
                found.map(|found| Done::Loaded { asked: Some(flights), found })
            }
            Self::Save(cursors) => {
                let saved = store.save_webhook_cursors(&cursors).await;
                saved.map(|()| Done::Saved(cursors))
            }
        };
        done.unwrap_or_else(Done::Failed)
    }
}

async fn open(store: &Store, places: &[WebhookCursor]) -> Result<Done, StoreError> {
    if let Some(found) = store.webhook_cursors().await? {
        return Ok(Done::Loaded { asked: None, found });
    }
    store.begin_webhooks(places).await?;
    let found = store.webhook_cursors().await?.unwrap_or_default();
    tracing::info!(
        flights = found.len(),
        "webhooks begin: each flight that is there from its present event on"
    );
    Ok(Done::Loaded { asked: None, found })
}
