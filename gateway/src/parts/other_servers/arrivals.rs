//! Flights that are on their way here from another server: whoever asks for one meanwhile is kept until it is there, since the
//! other one has it no more. Never keeps anybody for longer than a moment, nor more than so many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::actor::{Engine, RestartError, Restarted};
use farerush_engine::flight::{FlightId, IdempotencyKey};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::watch;

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

/// The flights that are on their way, and how many are fetching each.
pub struct Arrivals {
    coming: Mutex<HashMap<FlightId, usize>>,
    /// Counts those that are on their way no more.
    ended: watch::Sender<u64>,
    kept: AtomicUsize,
    /// Whether anybody has asked here for a flight that is not here: a balancer has found this server.
    asked: watch::Sender<bool>,
}

impl Default for Arrivals {
    fn default() -> Self {
        let (ended, asked) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { coming: Mutex::default(), ended, kept: AtomicUsize::new(0), asked }
    }
}

/// A flight that is on its way for as long as this is there.
pub(super) struct Coming {
    arrivals: Arc<Arrivals>,
    flight_id: FlightId,
}

impl Coming {
    /// The flight concerned.
    pub(super) fn flight_id(&self) -> &FlightId {
        &self.flight_id
    }
}

/// Somebody who is kept.
struct Kept<'a>(&'a AtomicUsize);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        {
            let mut coming = self.arrivals.coming.lock();
            if let Some(fetching) = coming.get_mut(&self.flight_id) {
                *fetching -= 1;
                if *fetching == 0 {
                    coming.remove(&self.flight_id);
                }
            }
        }
        self.arrivals.ended.send_modify(|ended| *ended += 1);
    }
}

impl Arrivals {
    /// Says that a flight is on its way here, for as long as what is given lasts.
    pub(super) fn expect(self: &Arc<Self>, flight_id: &FlightId) -> Coming {
        *self.coming.lock().entry(flight_id.clone()).or_default() += 1;
        Coming { arrivals: self.clone(), flight_id: flight_id.clone() }
    }

    fn is_coming(&self, flight_id: &FlightId) -> bool {
        self.coming.lock().contains_key(flight_id)
    }

    /// Waits until a flight that is on its way has come, or will not come; `false` if it is not, or takes too long.
    pub async fn come(&self, flight_id: &FlightId) -> bool {
        self.note_asked();
        self.come_within(flight_id, KEPT_MAX).await
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
        let mut ended = self.ended.subscribe();
        if !self.is_coming(flight_id) {
            return false;
        }
        let kept = Kept(&self.kept);
        if kept.0.fetch_add(1, Ordering::Relaxed) >= KEPT_AT_ONCE_MAX {
            return false;
        }
        let come = async { while self.is_coming(flight_id) && ended.changed().await.is_ok() {} };
        tokio::time::timeout(limit, come).await.is_ok()
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

async fn fetch(upkeep: Arc<Upkeep>, coming: Coming) {
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
        assert_eq!((arrivals.kept(), arrivals.coming.lock().len()), (0, 0), "nothing is left behind");
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
