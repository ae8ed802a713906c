//! Lists that wait for the store to have what the journal has: all that wait at the same time look together, and only at
//! flights that the store is behind with. Never looks without a pause that grows, or a word from the write-behind.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Engine, FlightHandle};
use farerush_engine::flight::Seq;
use farerush_persistence::write_behind::{StoreState, WriteBehind};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How long to wait before looking again how far the store is; doubled with each look, up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long those that wait together are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// A store that has not answered for so long is away; a shorter while is waited for.
const AWAY_AFTER: Duration = Duration::from_secs(1);

/// Whether the store is away.
pub fn is_away(write_behind: &WriteBehind) -> bool {
    matches!(write_behind.store_state(), StoreState::Down { for_time, .. } if for_time >= AWAY_AFTER)
}

/// A flight, and up to where the store is to have it.
type Goal = (FlightHandle, Seq);

#[derive(Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<bool>>,
    /// Whether somebody is looking for them.
    is_looked: bool,
}

/// Those who wait; clones are handles to the same ones.
#[derive(Clone)]
pub struct CatchingUp {
    /// Not held, because after a stop the journal must be free for the next owner.
    engine: Weak<Engine>,
    write_behind: WriteBehind,
    queue: Arc<Mutex<Queue>>,
}

impl CatchingUp {
    /// Nobody waits yet.
    pub fn new(engine: &Arc<Engine>, write_behind: &WriteBehind) -> Self {
        Self { engine: Arc::downgrade(engine), write_behind: write_behind.clone(), queue: Arc::default() }
    }

    /// Waits until the store has all that is durable of this flight now; `false` if that takes longer than `patience`, or
    /// cannot come to be.
    pub async fn one(&self, flight: FlightHandle, patience: Duration) -> bool {
        let goal = flight.status().durable_seq;
        self.reached(vec![(flight, goal)], patience).await
    }

    /// The same for all flights. Those who come while others are looked for wait for the next look, so that however many
    /// there are, there is one at a time.
    pub async fn all(&self, patience: Duration) -> bool {
        if self.engine.upgrade().is_none_or(|engine| !engine.is_behind()) {
            return true;
        }
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut queue = self.queue.lock();
            queue.waiting.push(answer);
            !std::mem::replace(&mut queue.is_looked, true)
        };
        if begins {
            tokio::spawn(self.clone().look_for_all());
        }
        matches!(tokio::time::timeout(patience, answered).await, Ok(Ok(true)))
    }

    async fn look_for_all(self) {
        while let Some(waiting) = self.next() {
            let goals = self.engine.upgrade().map_or_else(Vec::new, |engine| engine.behind());
            let caught_up = self.reached(goals, PATIENCE).await;
            for answer in waiting {
                // Whoever asked may have gone.
                let _ = answer.send(caught_up);
            }
        }
    }

    fn next(&self) -> Option<Vec<oneshot::Sender<bool>>> {
        let mut queue = self.queue.lock();
        queue.waiting.retain(|answer| !answer.is_closed());
        if queue.waiting.is_empty() {
            queue.is_looked = false;
            return None;
        }
        Some(std::mem::take(&mut queue.waiting))
    }

    /// A reply may leave a moment before its events are handed to the write-behind, which then knows of nothing to wait for:
    /// so the goals are the flights' own, and its word only ends the waiting sooner.
    async fn reached(&self, mut goals: Vec<Goal>, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut turns = self.write_behind.turns();
        let mut pause = PAUSE_MIN;
        loop {
            // What another process owns by now, that process stores.
            goals.retain(|(flight, seq)| flight.status().stored_seq < *seq && flight.is_here());
            if goals.is_empty() {
                return true;
            }
            let now = Instant::now();
            let cannot_be = || goals.iter().all(|(flight, _)| self.write_behind.is_stuck(flight.flight_id()));
            if now >= until || is_away(&self.write_behind) || cannot_be() {
                return false;
            }
            // However it ends, it is looked again.
            let _ = tokio::time::timeout_at((now + pause).min(until).into(), turns.changed()).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
