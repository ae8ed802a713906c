//! A replica that lists are read from: how far it is behind, and whether it answers.
//! Never waited for longer than a moment: what it cannot serve, the primary does.
//!
//! How far it is, the cursor rows tell. Of each flight that was stored here it is known which event the replica must show;
//! those rows are read on the very connection that the list is read on then. And once a second all cursors of the
//! primary, summed up, are compared with the replica's: so the time by which it is behind is known, whoever stored.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farerush_engine::flight::{FlightId, Seq};
use parking_lot::Mutex;
use sqlx::ConnectOptions as _;
use sqlx::mysql::MySqlPool;

use super::link::{Link, Links, within};
use super::url::ServerAddress;
use crate::store::options::{ReplicaState, ReplicaStatus};
use crate::store::table::{CURSORS, NO_LOCK, Statement};
use crate::store::value::{Row, Value};

/// How often the replica is compared with the primary.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many times longer than a look took is waited for the next one, up to the longest pause.
const COST_FACTOR: u32 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest that it may take to say how far it is.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// How long a list waits for the replica to have what was stored here.
const CATCH_UP: Duration = Duration::from_millis(250);
/// Pause before it is asked again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Flights whose cursors are compared at a time; with more of them behind, it is behind.
const FLIGHTS_A_LOOK: usize = 1_000;
/// States of the primary that are kept until the replica reaches them.
const MARKS_MAX: usize = 600;
/// Of flights that others store it is not said that a list lacks something for a lag of so long: they are as the store
/// has them, and nobody waits for them.
const UNSAID_LAG: Duration = Duration::from_secs(3);
/// All events of all flights: it only grows.
const SUM: &str = "SELECT CAST(COALESCE(SUM(seq), 0) AS SIGNED) FROM flight_cursor";

/// What is known of a replica.
pub(super) struct Replica {
    place: ServerAddress,
    links: Links,
    /// The watch's own, so that lists which take long do not look like a replica that is away.
    watch_links: Links,
    lag_max: Duration,
    state: Mutex<State>,
    fallbacks: AtomicU64,
}

/// Rows of the replica's, or none, if it cannot serve.
pub(super) enum ReplicaAnswer {
    /// These; whether they show all that was stored.
    Rows(Vec<Row>, bool),
    /// The primary has to.
    Not,
}

struct State {
    /// Flights that were stored here further than the replica is known to show.
    behind: HashMap<FlightId, Seq>,
    /// What the primary had, and when: those the replica has not reached, the oldest first.
    marks: VecDeque<(i64, Instant)>,
    /// When the primary had what the replica is known to show; `None`: it has not been compared since the start.
    had_all: Option<Instant>,
    /// Since when, and why, it does not answer.
    away: Option<(Instant, String)>,
    began: Instant,
    is_lagging: bool,
}

impl Replica {
    /// At this place; nothing is known of it yet.
    pub(super) fn new(place: ServerAddress, links: Links, watch_links: Links, lag_max: Duration) -> Self {
        let began = Instant::now();
        let (behind, marks) = (HashMap::new(), VecDeque::new());
        let state = State { behind, marks, had_all: None, away: None, began, is_lagging: false };
        Self { place, links, watch_links, lag_max, state: Mutex::new(state), fallbacks: AtomicU64::new(0) }
    }

    pub(super) const fn place(&self) -> &ServerAddress {
        &self.place
    }

    pub(super) fn pools(&self) -> [&MySqlPool; 2] {
        [&self.links.pool, &self.watch_links.pool]
    }

    /// The primary has a flight this far.
    pub(super) fn note_stored(&self, flight_id: &FlightId, seq: Seq) {
        let mut state = self.state.lock();
        match state.behind.get_mut(flight_id) {
            Some(known) => *known = seq.max(*known),
            None => drop(state.behind.insert(flight_id.clone(), seq)),
        }
    }

    /// How it is doing.
    pub(super) fn status(&self) -> ReplicaStatus {
        let state = self.state.lock();
        let lag = state.lag();
        let is = match &state.away {
            Some((since, error)) => ReplicaState::Away { for_time: since.elapsed(), error: error.clone() },
            None if state.had_all.is_none() || lag > self.lag_max => ReplicaState::Behind,
            None => ReplicaState::Serving,
        };
        let fallbacks = self.fallbacks.load(Ordering::Relaxed);
        ReplicaStatus { place: self.place.to_string(), state: is, lag, fallbacks }
    }

    fn serves(&self) -> bool {
        let state = self.state.lock();
        state.away.is_none() && state.had_all.is_some() && state.lag() <= self.lag_max
    }

    /// Reads from the replica, within this time and only while it serves. `of`: which flight must be shown as it was
    /// stored, or all. `must_be_newest`: rows that are not are not wanted.
    pub(super) async fn serve(
        &self,
        statement: Statement,
        of: Option<&FlightId>,
        must_be_newest: bool,
        limit: Duration,
    ) -> ReplicaAnswer {
        if self.serves() {
            let read = tokio::time::timeout(limit, self.read(statement, of, must_be_newest)).await;
            if let Ok(Some((rows, is_newest))) = read {
                return ReplicaAnswer::Rows(rows, is_newest);
            }
        }
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
        ReplicaAnswer::Not
    }

    async fn read(
        &self,
        statement: Statement,
        of: Option<&FlightId>,
        must_be_newest: bool,
    ) -> Option<(Vec<Row>, bool)> {
        let looked = tokio::time::timeout(LOOK_LIMIT, self.link_that_shows(of)).await;
        let read = async {
            let (mut link, is_newest) = looked.unwrap_or_else(|_| Err(silent()))?;
            if must_be_newest && !is_newest {
                return Ok(None);
            }
            Ok(Some((link.fetch(statement).await?, is_newest)))
        };
        read.await.unwrap_or_else(|error: sqlx::Error| {
            // Whether it is away, the watch tells.
            tracing::debug!(replica = %self.place, %error, "the replica failed; the primary is asked");
            None
        })
    }

    /// A connection, and whether the replica shows by it what was stored here.
    async fn link_that_shows(&self, of: Option<&FlightId>) -> Result<(Link, bool), sqlx::Error> {
        let until = Instant::now() + CATCH_UP;
        let mut link = Link::take(&self.links).await?;
        let mut pause = PAUSE_MIN;
        loop {
            let (is_behind, lag) = {
                let state = self.state.lock();
                (state.is_behind(of), state.lag())
            };
            if !is_behind {
                return Ok((link, lag <= UNSAID_LAG));
            }
            self.compare(&mut link, of).await?;
            if self.state.lock().is_behind(of) {
                if Instant::now() >= until {
                    return Ok((link, false));
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }

    /// Looks which of the flights that it was behind with it shows by now.
    async fn compare(&self, link: &mut Link, of: Option<&FlightId>) -> Result<(), sqlx::Error> {
        let wanted: Vec<FlightId> = {
            let state = self.state.lock();
            match of {
                Some(flight_id) => {
                    state.behind.contains_key(flight_id).then(|| flight_id.clone()).into_iter().collect()
                }
                None => state.behind.keys().take(FLIGHTS_A_LOOK).cloned().collect(),
            }
        };
        let keys = wanted.iter().map(|flight_id| vec![flight_id.as_str().into()]).collect();
        for statement in CURSORS.lookups(NO_LOCK, keys) {
            let rows = link.fetch(statement).await?;
            let mut state = self.state.lock();
            for (flight_id, seq) in rows.iter().filter_map(place_in) {
                if state.behind.get(&flight_id).is_some_and(|wanted| *wanted <= seq) {
                    state.behind.remove(&flight_id);
                }
            }
        }
        Ok(())
    }

    fn is_away(&self, error: &sqlx::Error) {
        let error = error.to_string();
        let mut state = self.state.lock();
        match &mut state.away {
            Some((_, known)) => *known = error,
            None => {
                let replica = &self.place;
                tracing::warn!(%replica, error, "the replica is away: lists come from the primary");
                state.away = Some((Instant::now(), error));
            }
        }
    }

    fn is_there(&self) {
        let mut state = self.state.lock();
        if state.away.take().is_some() {
            tracing::info!(replica = %self.place, "the replica answers again");
        }
        let is_lagging = state.lag() > self.lag_max;
        if is_lagging && !state.is_lagging {
            let lag_ms = state.lag().as_millis();
            tracing::warn!(replica = %self.place, lag_ms, "the replica is behind: lists come from the primary");
        } else if state.is_lagging && !is_lagging {
            tracing::info!(replica = %self.place, "the replica has caught up");
        }
        state.is_lagging = is_lagging;
    }

    /// Compares the replica with the primary again and again, for as long as somebody has it.
    pub(super) async fn watch(replica: Weak<Self>, primary: Links) {
        loop {
            let Some(replica) = replica.upgrade() else { return };
            if replica.links.pool.is_closed() {
                return;
            }
            let began = Instant::now();
            replica.look(&primary).await;
            let is_away = replica.state.lock().away.is_some();
            drop(replica);
            // Where there are so many flights that a look takes its time, there are fewer; one that did not answer took
            // its time for nothing.
            let pause = if is_away { LOOK_EVERY } else { LOOK_EVERY.max(began.elapsed() * COST_FACTOR) };
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
    }

    async fn look(&self, primary: &Links) {
        let at = Instant::now();
        let had = tokio::time::timeout(LOOK_LIMIT, sum_by(primary)).await;
        if let Ok(Ok(Some(sum))) = had {
            let mut state = self.state.lock();
            if state.marks.len() < MARKS_MAX {
                state.marks.push_back((sum, at));
            }
        }
        let asked = async {
            let shown = sum_by(&self.watch_links).await?;
            let mut link = Link::take(&self.watch_links).await?;
            self.compare(&mut link, None).await?;
            Ok(shown)
        };
        match tokio::time::timeout(LOOK_LIMIT, asked).await.unwrap_or_else(|_| Err(silent())) {
            Ok(shown) => {
                self.state.lock().shows(shown.unwrap_or(0));
                self.is_there();
            }
            // A pool that finds no connection does not say why: one more attempt of its own does.
            Err(error) => match within(LOOK_LIMIT, self.place.connect.connect()).await {
                Err(reason) => self.is_away(&reason),
                Ok(_) => self.is_away(&error),
            },
        }
    }
}

impl State {
    /// How long ago the primary had what the replica shows, about.
    fn lag(&self) -> Duration {
        match (self.had_all, self.marks.front()) {
            (Some(_), None) => Duration::ZERO,
            (had_all, _) => had_all.unwrap_or(self.began).elapsed(),
        }
    }

    fn is_behind(&self, of: Option<&FlightId>) -> bool {
        of.map_or(!self.behind.is_empty(), |flight_id| self.behind.contains_key(flight_id))
    }

    fn shows(&mut self, sum: i64) {
        while let Some((_, at)) = self.marks.pop_front_if(|(mark, _)| *mark <= sum) {
            self.had_all = Some(at);
        }
    }
}

async fn sum_by(links: &Links) -> Result<Option<i64>, sqlx::Error> {
    let rows = Link::take(links).await?.fetch(Statement::new(SUM, Vec::new())).await?;
    Ok(match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(sum)) => Some(*sum),
        _ => None,
    })
}

fn place_in(row: &Row) -> Option<(FlightId, Seq)> {
    match row.as_slice() {
        [Value::Text(id), _, Value::Int(seq), ..] => {
            Some((FlightId::new(id).ok()?, Seq(u64::try_from(*seq).ok()?)))
        }
        _ => None,
    }
}

fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("it did not say within {LOOK_LIMIT:?} how far it is"),
    ))
}

/// Starts to watch it, for as long as it is held.
pub(super) fn watched(replica: Replica, primary: &Links) -> Arc<Replica> {
    let replica = Arc::new(replica);
    tokio::spawn(Replica::watch(Arc::downgrade(&replica), primary.clone()));
    replica
}
