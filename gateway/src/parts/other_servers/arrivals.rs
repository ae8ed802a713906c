//! Flights that are on their way here, from another server or after a start: whoever asks for one meanwhile is kept until it is
//! there, since nobody else has it. Never keeps anybody for longer than a moment, nor more than so many.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::actor::{Engine, RestartError, Restarted};
use farerush_engine::flight::{FlightId, IdempotencyKey};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use crate::parts::other_servers::{OtherServers, Upkeep};

/// So long before a flight is claimed, whoever asks for it here is kept: a balancer that was told "elsewhere" just before
/// has asked its owner by then, and one that its owner sends away finds somebody here who waits with it.
const NOTICE: Duration = Duration::from_millis(200);
/// How long a start waits until somebody asks for a flight here: a balancer that cannot find this server yet still finds the
/// flights' owners, and where nobody asks for anything nobody misses it.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// How long somebody is kept: less than a request may take.
const KEPT_MAX: Duration = Duration::from_secs(4);
/// How many are kept; beyond that, who asks is told to come back.
const KEPT_AT_ONCE_MAX: usize = 8_192;
/// So many flights of a start are given notice of at a time, and so many of them recovered at once.
const FLIGHTS_PER_NOTICE: usize = 256;
const RECOVERED_AT_ONCE: usize = 8;

/// A flight that is on its way.
struct Expected {
    /// How many are fetching it.
    fetching: usize,
    /// Whether somebody has asked for it.
    is_asked_for: bool,
    /// Closed when it is on its way no more.
    ended: Arc<Semaphore>,
}

/// The flights that are on their way.
#[derive(Default)]
struct OnTheirWay {
    flights: HashMap<FlightId, Expected>,
    /// Those that were asked for, in the order in which that was; and some that have come meanwhile.
    asked_for: Vec<FlightId>,
}

/// The flights that are on their way, and those who wait for them.
pub struct Arrivals {
    coming: Mutex<OnTheirWay>,
    /// How many flights are, so that whoever asks for another one need not look.
    count: AtomicUsize,
    /// How many a start has still to bring up.
    left_of_start: watch::Sender<usize>,
    kept: AtomicUsize,
    /// Told when somebody asks for a flight that is on its way and that nobody has asked for.
    asks: Notify,
    /// Whether anybody has asked here for a flight that is not here: a balancer has found this server.
    asked: watch::Sender<bool>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            coming: Mutex::default(),
            count: AtomicUsize::new(0),
            left_of_start: watch::Sender::new(0),
            kept: AtomicUsize::new(0),
            asks: Notify::new(),
            asked: watch::Sender::new(false),
        }
    }
}

/// A flight that is on its way for as long as this is there.
pub struct Coming {
    arrivals: Arc<Arrivals>,
    flight_id: FlightId,
}

impl Coming {
    /// The flight concerned.
    pub fn flight_id(&self) -> &FlightId {
        &self.flight_id
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut coming = self.arrivals.coming.lock();
        let Some(expected) = coming.flights.get_mut(&self.flight_id) else { return };
        expected.fetching -= 1;
        if expected.fetching == 0
            && let Some(expected) = coming.flights.remove(&self.flight_id)
        {
            self.arrivals.count.store(coming.flights.len(), Ordering::Release);
            expected.ended.close();
        }
    }
}

/// Somebody who is kept.
struct Kept<'a>(&'a AtomicUsize);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Arrivals {
    /// Says that a flight is on its way here, for as long as what is given lasts.
    pub fn expect(self: &Arc<Self>, flight_id: &FlightId) -> Coming {
        let mut coming = self.coming.lock();
        let expected = coming.flights.entry(flight_id.clone()).or_insert_with(|| Expected {
            fetching: 0,
            is_asked_for: false,
            ended: Arc::new(Semaphore::new(0)),
        });
        expected.fetching += 1;
        self.count.store(coming.flights.len(), Ordering::Release);
        Coming { arrivals: self.clone(), flight_id: flight_id.clone() }
    }

    /// Whether a flight is on its way here. Costs next to nothing where none is.
    pub fn is_coming(&self, flight_id: &FlightId) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.coming.lock().flights.contains_key(flight_id)
    }

    /// Waits until a flight that is on its way has come, or will not come; `false` if it is not, or takes too long.
    pub async fn come(&self, flight_id: &FlightId) -> bool {
        self.note_asked();
        self.come_within(flight_id, KEPT_MAX).await
    }

    /// Waits for a flight if it is on its way; `false` if it still is after so long.
    pub async fn has_come(&self, flight_id: &FlightId, patience: Duration) -> bool {
        !self.is_coming(flight_id) || self.come_within(flight_id, patience.min(KEPT_MAX)).await
    }

    /// Of those that are to be brought up, the next ones: those that somebody asks for, the first one first; and others, if
    /// these are fewer than `at_least`.
    pub fn take_next<T>(
        &self,
        left: &mut BTreeMap<FlightId, T>,
        (at_least, at_most): (usize, usize),
    ) -> Vec<T> {
        let mut next = Vec::new();
        let mut coming = self.coming.lock();
        let OnTheirWay { flights, asked_for } = &mut *coming;
        asked_for.retain(|flight_id| {
            if next.len() < at_most
                && let Some(found) = left.remove(flight_id)
            {
                next.push(found);
            }
            // What comes to nothing is asked for still.
            flights.contains_key(flight_id)
        });
        drop(coming);
        while next.len() < at_least
            && let Some((_, other)) = left.pop_first()
        {
            next.push(other);
        }
        next
    }

    /// Says how many flights a start has still to bring up.
    pub fn are_left_of_start(&self, count: usize) {
        self.left_of_start.send_replace(count);
    }

    /// Says that so many of them have come, or will not come.
    pub fn came_of_start(&self, count: usize) {
        self.left_of_start.send_modify(|left| *left = left.saturating_sub(count));
    }

    /// How many flights a start has still to bring up.
    pub fn left_of_start(&self) -> usize {
        *self.left_of_start.borrow()
    }

    /// Waits until a start has brought up all flights; `false` if that takes longer.
    pub async fn all_come(&self, patience: Duration) -> bool {
        let mut left = self.left_of_start.subscribe();
        // Nobody drops the sender while this borrows it.
        tokio::time::timeout(patience, left.wait_for(|left| *left == 0)).await.is_ok()
    }

    /// Waits until somebody asks for a flight that is on its way, or for so long.
    pub async fn somebody_asks(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.asks.notified()).await;
    }

    fn note_asked(&self) {
        if !*self.asked.borrow() {
            self.asked.send_replace(true);
        }
    }

    /// Waits until somebody has asked for a flight that was not here, or for so long.
    async fn found(&self, limit: Duration) {
        let mut asked = self.asked.subscribe();
        // Nobody drops the sender while this borrows it.
        let _ = tokio::time::timeout(limit, asked.wait_for(|asked| *asked)).await;
    }

    async fn come_within(&self, flight_id: &FlightId, limit: Duration) -> bool {
        let Some(ended) = self.ask_for(flight_id) else { return false };
        let kept = Kept(&self.kept);
        if kept.0.fetch_add(1, Ordering::Relaxed) >= KEPT_AT_ONCE_MAX {
            return false;
        }
        tokio::time::timeout(limit, ended.acquire()).await.is_ok()
    }

    /// What ends when a flight is on its way no more, if it is.
    fn ask_for(&self, flight_id: &FlightId) -> Option<Arc<Semaphore>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut coming = self.coming.lock();
        let OnTheirWay { flights, asked_for } = &mut *coming;
        let expected = flights.get_mut(flight_id)?;
        if !std::mem::replace(&mut expected.is_asked_for, true) {
            asked_for.push(flight_id.clone());
            self.asks.notify_one();
        }
        Some(expected.ended.clone())
    }

    /// How many are kept.
    #[cfg(test)]
    fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }
}

/// Restarts a flight, which takes it over if another server has it; goes on when the caller stops waiting.
pub async fn restart(
    (other_servers, engine): (&Arc<OtherServers>, &Arc<Engine>),
    flight_id: &FlightId,
    key: Option<IdempotencyKey>,
) -> Result<Restarted, RestartError> {
    let (other_servers, engine, flight_id) = (other_servers.clone(), engine.clone(), flight_id.clone());
    let restart = async move {
        // What a start is about to bring up would be claimed twice.
        if !engine.has(&flight_id) {
            other_servers.arrivals.has_come(&flight_id, KEPT_MAX).await;
        }
        let _coming = other_servers.arrivals.expect(&flight_id);
        if other_servers.is_shared() && !engine.has(&flight_id) {
            tokio::time::sleep(NOTICE).await;
        }
        engine.restart_under(&flight_id, key).await
    };
    tokio::spawn(restart).await.unwrap_or_else(|error| Err(RestartError::Failed(error.to_string())))
}

/// Takes over what a start has left to its owners: so long after a balancer has found this server.
pub async fn take_over(upkeep: Weak<Upkeep>, flights: Vec<FlightId>, delay: Duration) {
    let Some(arrivals) = upkeep.upgrade().map(|upkeep| upkeep.other_servers.arrivals.clone()) else { return };
    arrivals.found(FOUND_WITHIN).await;
    tokio::time::sleep(delay).await;
    tracing::info!(flights = flights.len(), "taking the flights over");
    for part in flights.chunks(FLIGHTS_PER_NOTICE) {
        let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
        let coming: Vec<Coming> = part.iter().map(|id| upkeep.other_servers.arrivals.expect(id)).collect();
        tokio::time::sleep(NOTICE).await;
        let fetches = coming.into_iter().map(|coming| fetch(upkeep.clone(), coming));
        stream::iter(fetches).buffer_unordered(RECOVERED_AT_ONCE).for_each(|()| std::future::ready(())).await;
    }
    tracing::info!("all flights are taken over");
}

/// Brings up a flight that is on its way, unless it is here by now.
pub async fn fetch(upkeep: Arc<Upkeep>, coming: Coming) {
    let (engine, flight_id) = (&upkeep.engine, &coming.flight_id);
    // It may have been created or restarted here meanwhile.
    if upkeep.stopping.has_begun() || engine.has(flight_id) {
        return;
    }
    match engine.restart(flight_id).await {
        Err(RestartError::Failed(why)) if !engine.has(flight_id) => engine.quarantine(flight_id.clone(), why),
        // Claimed once, but never created; or the engine has noted what is wrong.
        Ok(_) | Err(RestartError::NotFound | RestartError::Failed(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FlightId {
        FlightId::new(text).unwrap()
    }

    #[tokio::test]
    async fn who_asks_for_a_flight_is_kept_while_it_is_on_its_way_and_only_then() {
        let arrivals = Arc::new(Arrivals::default());
        let (flight_id, other) = (id("FR1"), id("FR2"));
        assert!(!arrivals.come(&flight_id).await, "nobody fetches it");
        let (first, second) = (arrivals.expect(&flight_id), arrivals.expect(&flight_id));
        assert!(!arrivals.come(&other).await, "it is another one's");
        let mut kept = Box::pin(arrivals.come(&flight_id));
        assert!(tokio::time::timeout(Duration::ZERO, &mut kept).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(Duration::ZERO, &mut kept).await.is_err(), "the other one fetches it");
        assert_eq!(arrivals.kept(), 1);
        drop(second);
        assert!(kept.await);
        assert_eq!(
            (arrivals.kept(), arrivals.count.load(Ordering::Acquire)),
            (0, 0),
            "nothing is left behind"
        );
    }

    #[tokio::test]
    async fn what_is_asked_for_comes_first() {
        let arrivals = Arc::new(Arrivals::default());
        let names = ["FR1", "FR2", "FR3", "FR4", "FR5"];
        let coming: Vec<Coming> = names.iter().map(|name| arrivals.expect(&id(name))).collect();
        let mut left: BTreeMap<FlightId, &str> = names.iter().map(|name| (id(name), *name)).collect();
        for name in ["FR4", "FR3", "FR4", "FR9"] {
            assert!(!arrivals.come_within(&id(name), Duration::ZERO).await);
        }
        assert_eq!(arrivals.take_next(&mut left, (1, 1)), ["FR4"]);
        assert_eq!(arrivals.take_next(&mut left, (2, 9)), ["FR3", "FR1"]);
        assert!(!arrivals.come_within(&id("FR5"), Duration::ZERO).await);
        assert!(!arrivals.come_within(&id("FR2"), Duration::ZERO).await);
        assert_eq!(arrivals.take_next(&mut left, (0, 9)), ["FR5", "FR2"]);
        assert!(left.is_empty() && arrivals.take_next(&mut left, (9, 9)).is_empty());
        drop(coming);
        arrivals.take_next(&mut left, (0, 9));
        assert!(arrivals.coming.lock().asked_for.is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_start_is_over_when_the_last_part_has_come_though_nothing_waits_to_be_taken() {
        let arrivals = Arrivals::default();
        arrivals.are_left_of_start(3);
        arrivals.came_of_start(2);
        assert_eq!(arrivals.left_of_start(), 1);
        assert!(!arrivals.all_come(Duration::ZERO).await);
        arrivals.came_of_start(1);
        assert!(arrivals.all_come(Duration::ZERO).await);
    }

    #[tokio::test]
    async fn a_start_has_been_found_once_somebody_asks_for_a_flight_that_is_not_here() {
        let arrivals = Arc::new(Arrivals::default());
        let no_end = Duration::from_secs(3_600);
        let mut found = Box::pin(arrivals.found(no_end));
        assert!(tokio::time::timeout(Duration::ZERO, &mut found).await.is_err(), "nobody has asked");
        assert!(!arrivals.come(&id("FR1")).await);
        found.await;
        arrivals.found(no_end).await;
        Arrivals::default().found(Duration::from_millis(10)).await;
    }

    #[tokio::test]
    async fn nobody_is_kept_for_long_and_no_more_than_so_many() {
        let arrivals = Arc::new(Arrivals::default());
        let flight_id = id("FR1");
        let _coming = arrivals.expect(&flight_id);
        assert!(!arrivals.come_within(&flight_id, Duration::from_millis(10)).await, "it does not come");
        arrivals.kept.store(KEPT_AT_ONCE_MAX, Ordering::Relaxed);
        let no_end = Duration::from_secs(3_600);
        assert!(!arrivals.come_within(&flight_id, no_end).await, "one too many is not kept at all");
        assert_eq!(arrivals.kept(), KEPT_AT_ONCE_MAX);
    }
}
