//! Flights that move from one living server to another, because one has come or goes: the one that has a flight decides what it
//! has taken, says "yours from here", and the other claims it. Who asks meanwhile waits, and is answered by the new owner.
//! Never moves a flight that its owner does not give.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farerush_engine::actor::Located;
use farerush_engine::flight::{Epoch, FlightId};
use farerush_peers::Peers;
use farerush_persistence::journal::Orphan;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use warp::http::StatusCode;

use crate::base::errors::in_full;
use crate::parts::other_servers::lease::Lease;
use crate::parts::other_servers::members::Members;
use crate::parts::other_servers::others::answer_of;
use crate::parts::other_servers::{Upkeep, Whereabouts, takeovers};
use crate::wire::problem::Problem;

/// Where a server is told to take flights; nobody but another server reaches it.
pub const TAKE: &str = "/peers/take";
/// How often it is looked which flights belong to others.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So long the members have to have been the same before flights move: a server that comes back at once has its flights still.
const SETTLED: Duration = Duration::from_secs(2);
/// How long flights move before it is looked anew whose they are.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// So many flights move at a time: each is away for as long as all of them take.
const FLIGHTS_AT_A_TIME: usize = 16;
/// How long the other server may take.
const TAKING_MAX: Duration = Duration::from_secs(10);
/// How long it is asked whose a flight is, and how often.
const FOUND_MAX: Duration = Duration::from_secs(5);
const FOUND_PAUSE: Duration = Duration::from_millis(100);
/// How long it may take to say that it is there.
const PROBE_MAX: Duration = Duration::from_millis(500);
/// So long nothing is given to a server that did not take what it was given.
const REST: Duration = Duration::from_secs(10);

/// What was handed over.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    count: AtomicU64,
    /// Servers that did not take what they were given, and when.
    refused: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Handovers {
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn refused(&self, server: SocketAddr) {
        let mut refused = self.refused.lock();
        refused.retain(|_, at| at.elapsed() < REST);
        refused.entry(server).or_insert_with(Instant::now);
    }

    fn rests(&self, server: SocketAddr) -> bool {
        self.refused.lock().get(&server).is_some_and(|at| at.elapsed() < REST)
    }
}

/// Flights that are given to another server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    /// The life of the server that had them.
    from: String,
    /// Their names, and under which epoch it had them.
    flights: Vec<(String, u64)>,
}

impl Given {
    fn nothing() -> Self {
        Self { from: String::new(), flights: Vec::new() }
    }
}

/// Looks again and again, for as long as the server runs.
pub(super) async fn watch(upkeep: Weak<Upkeep>) {
    let Some(lease) = upkeep.upgrade().and_then(|upkeep| upkeep.other_servers.lease.clone()) else { return };
    let mut settled: Option<(BTreeSet<String>, Instant)> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
        let reads = lease.clone();
        let is_read = tokio::task::spawn_blocking(move || reads.read_pins()).await.is_ok();
        let Some(members) = lease.members().filter(|_| is_read) else { continue };
        let since = match &settled {
            Some((takers, since)) if *takers == members.takers => *since,
            _ => settled.insert((members.takers.clone(), Instant::now())).1,
        };
        if since.elapsed() >= SETTLED {
            give_away(&upkeep, &lease, &members, Instant::now() + ROUND_MAX).await;
        }
    }
}

/// Gives all flights to the others, as far as there are some, until that moment.
pub async fn give_all_away(upkeep: &Arc<Upkeep>, until: Instant) {
    let Some(lease) = upkeep.other_servers.lease.clone() else { return };
    let says = lease.clone();
    if tokio::task::spawn_blocking(move || says.set_leaves(true)).await.is_err() {
        return;
    }
    while Instant::now() < until
        && let Some(members) = lease.members()
    {
        if !give_away(upkeep, &lease, &members, until).await {
            break;
        }
    }
}

/// Gives the flights away that belong to others, a part of them after the other; says whether there is something left to do.
async fn give_away(upkeep: &Arc<Upkeep>, lease: &Lease, members: &Members, until: Instant) -> bool {
    let mut shares: BTreeMap<SocketAddr, Vec<FlightId>> = BTreeMap::new();
    let servers = lease.servers();
    for flight in upkeep.engine.flights() {
        let flight_id = flight.flight_id();
        let Some(whose) = members.whose(flight_id, 0).filter(|whose| **whose != members.own) else {
            continue;
        };
        let address =
            servers.iter().find(|server| server.life == *whose).and_then(|server| server.about.peer);
        if let (Some(address), Located::Here(_)) = (address, upkeep.engine.find(flight_id)) {
            shares.entry(address).or_default().push(flight_id.clone());
        }
    }
    let began = Instant::now();
    let wanted: usize = shares.values().map(Vec::len).sum();
    let given = join_all(shares.into_iter().map(|(to, share)| give_share(upkeep, to, share, until))).await;
    let given: usize = given.into_iter().sum();
    if given > 0 {
        tracing::info!(
            flights = given,
            of = wanted,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "flights are handed over to the servers that they belong to"
        );
    }
    given > 0 && given < wanted
}

async fn give_share(upkeep: &Arc<Upkeep>, to: SocketAddr, share: Vec<FlightId>, until: Instant) -> usize {
    let mut given = 0;
    for part in share.chunks(FLIGHTS_AT_A_TIME) {
        if Instant::now() >= until {
            break;
        }
        match give(upkeep, to, part).await {
            0 => break,
            count => given += count,
        }
    }
    given
}

/// Gives these flights to the server that is reached there; those that it does not take are served on. Says how many went. Goes
/// on when the caller stops waiting.
pub async fn give(upkeep: &Arc<Upkeep>, to: SocketAddr, flights: &[FlightId]) -> usize {
    let (upkeep, flights) = (upkeep.clone(), flights.to_vec());
    let give = async move { give_here(&upkeep, to, &flights).await };
    tokio::spawn(give).await.unwrap_or(0)
}

async fn give_here(upkeep: &Arc<Upkeep>, to: SocketAddr, flights: &[FlightId]) -> usize {
    let (Some(peers), Some(lease)) = (&upkeep.peers, &upkeep.other_servers.lease) else { return 0 };
    let handovers = &upkeep.other_servers.handovers;
    // A flight does not stop for a server that does not answer, nor again and again for one that takes nothing.
    if handovers.rests(to) || !tell(peers, to, &Given::nothing(), PROBE_MAX).await {
        handovers.refused(to);
        return 0;
    }
    let leaves = flights.iter().map(|flight_id| async {
        upkeep.engine.leave(flight_id).await.map(|epoch| (flight_id.clone(), epoch))
    });
    let left: Vec<(FlightId, Epoch)> = join_all(leaves).await.into_iter().flatten().collect();
    if left.is_empty() {
        // What they have taken does not become durable in time; they shall not stop for it again at once.
        handovers.refused(to);
        return 0;
    }
    let names = left.iter().map(|(flight_id, epoch)| (flight_id.as_str().to_owned(), epoch.0)).collect();
    let is_taken = tell(peers, to, &Given { from: lease.life(), flights: names }, TAKING_MAX).await;
    let mut count = 0;
    for (flight_id, _) in &left {
        // What the other one has said may be lost, or not be of all.
        let place = found(upkeep, flight_id).await;
        let is_here = matches!(place, Ok(Whereabouts::Here)) || (place.is_err() && !is_taken);
        if !is_here {
            count += 1;
            continue;
        }
        handovers.refused(to);
        tracing::warn!(%flight_id, %to, "the flight was not taken by the server that it belongs to: it is served here on");
        if let Err(error) = upkeep.engine.restart(flight_id).await {
            tracing::error!(%flight_id, error = in_full(&error), "the flight could not be recovered");
        }
    }
    handovers.count.fetch_add(count, Ordering::Relaxed);
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Where a flight is; asked for a while, because to claim one that has gone would take it from its new owner.
async fn found(upkeep: &Arc<Upkeep>, flight_id: &FlightId) -> Result<Whereabouts, Problem> {
    let until = Instant::now() + FOUND_MAX;
    loop {
        match upkeep.other_servers.whereabouts(flight_id, true).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(FOUND_PAUSE).await,
            found => return found,
        }
    }
}

/// Tells another server of flights that are given to it; says whether it has taken them.
async fn tell(peers: &Peers, to: SocketAddr, given: &Given, time: Duration) -> bool {
    let json = serde_json::to_vec(given).unwrap_or_default();
    answer_of(peers, to, TAKE, json.into(), time).await.is_some()
}

/// Takes flights that another server gives; says what came of it.
pub async fn take(upkeep: &Arc<Upkeep>, body: &[u8]) -> StatusCode {
    let Ok(given) = serde_json::from_slice::<Given>(body) else { return StatusCode::BAD_REQUEST };
    let gives_away = upkeep.other_servers.lease.as_ref().is_none_or(|lease| lease.leaves());
    let Some(redis) = upkeep.redis.clone().filter(|_| !gives_away && !upkeep.stopping.has_begun()) else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let flights = given.flights.iter().filter_map(|(name, epoch)| {
        let flight_id = FlightId::new(name).ok()?;
        Some(Orphan { flight_id, epoch: Epoch(*epoch), owner: given.from.clone() })
    });
    let flights: Vec<Orphan> = flights.collect();
    if flights.is_empty() {
        return StatusCode::OK;
    }
    match takeovers::take(upkeep, &redis, &flights).await {
        Ok(_) => StatusCode::OK,
        Err(why) => {
            tracing::warn!(why, "flights that another server gives cannot be taken just now");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
