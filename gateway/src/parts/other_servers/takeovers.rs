//! Flights whose server is gone: the members that are left share them and bring them up, with nobody's help.
//! Never takes a flight from a server that holds a lease: the fence itself asks whose it is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farerush_engine::actor::{Located, RestartError};
use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::{Claim, Journal as _, JournalError};
use farerush_persistence::journal::{Orphan, RedisJournal};
use farerush_persistence::write_behind::StoreState;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;

use crate::base::errors::in_full;
use crate::parts::other_servers::Upkeep;
use crate::parts::other_servers::arrivals::Coming;
use crate::parts::other_servers::members::Members;

/// How often it is looked for flights that were left over, beside whenever a member is gone.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The same while there are some, or while this server cannot say who is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// So many are claimed at a time, at least and at most: those that are asked for, and others; and so many of them recovered at
/// once.
const FLIGHTS_AT_A_TIME: (usize, usize) = (64, 256);
const RECOVERED_AT_ONCE: usize = 8;
/// How long a flight that was served here before waits for the store to get what is on its way there.
const CATCH_UP: Duration = Duration::from_secs(2);
/// So many looks in a row a flight is one member's turn, then another's.
const LOOKS_PER_TURN: u32 = 3;
/// After so many looks a flight of this server's that it does not have is brought up: before, it may be on its way.
const LOOKS_FOR_OWN: u32 = 15;

/// What was taken over, and is about to be.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    /// Flights that are claimed and fenced, and are to be brought up under that epoch.
    claimed: Mutex<HashMap<FlightId, Epoch>>,
    /// Flights that turned out never to have been created, only claimed.
    never_created: Mutex<HashSet<FlightId>>,
    /// Flights taken over since the start.
    count: AtomicU64,
}

impl Takeovers {
    /// The epoch under which a flight is claimed and fenced already, if it is; said once.
    pub(super) fn take_claimed(&self, flight_id: &FlightId) -> Option<Epoch> {
        self.claimed.lock().remove(flight_id)
    }

    /// How many flights were taken over since the start.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// How many looks in a row each flight has been without a server.
#[derive(Debug, Default)]
struct Looks(HashMap<FlightId, u32>);

impl Looks {
    /// Of the flights that are left alone now, those that are this server's to take.
    fn own_share(&mut self, orphans: Vec<Orphan>, members: &Members) -> Vec<Orphan> {
        let before = std::mem::take(&mut self.0);
        let mut share = Vec::new();
        for orphan in orphans {
            let seen = before.get(&orphan.flight_id).map_or(1, |seen| seen + 1);
            self.0.insert(orphan.flight_id.clone(), seen);
            let is_own = match orphan.owner == members.own {
                true => seen.is_multiple_of(LOOKS_FOR_OWN),
                false => members.is_own_turn(&orphan.flight_id, (seen - 1) / LOOKS_PER_TURN),
            };
            if is_own {
                share.push(orphan);
            }
        }
        share
    }
}

/// Looks again and again, for as long as the server runs.
pub(super) async fn watch(upkeep: Weak<Upkeep>) {
    let Some(lease) = upkeep.upgrade().and_then(|upkeep| upkeep.other_servers.lease.clone()) else { return };
    let mut looks = Looks::default();
    let mut pause = LOOK_EVERY;
    // How many looks in a row have come to nothing.
    let mut troubles = 0;
    loop {
        // Holds nothing of the journal meanwhile but the lease, which ends before the journal has to be free.
        let _ = tokio::time::timeout(pause, lease.changed()).await;
        let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
        let Some(redis) = upkeep.redis.clone() else { return };
        pause = LOOK_AGAIN;
        let Some(members) = lease.members() else { continue };
        bring_up_unserved(&upkeep, &members).await;
        match left_alone(&upkeep, &redis, &members).await {
            Ok(orphans) if orphans.is_empty() => {
                looks = Looks::default();
                pause = LOOK_EVERY;
            }
            Ok(orphans) => {
                let share = looks.own_share(orphans, &members);
                let all_went_well = take_all(&upkeep, &redis, share).await;
                troubles = if all_went_well { 0 } else { troubles + 1 };
                pause = (LOOK_AGAIN * 2_u32.saturating_pow(troubles.min(8))).min(LOOK_EVERY);
            }
            Err(error) => {
                tracing::debug!(error = in_full(&error), "whose flights are whose cannot be found out");
            }
        }
    }
}

/// Brings up what nobody serves though nobody is said to have had it: what only the store knows, or an older version fenced.
async fn bring_up_unserved(upkeep: &Arc<Upkeep>, members: &Members) {
    let other_servers = &upkeep.other_servers;
    let unserved = other_servers.unserved();
    if unserved.is_empty() || upkeep.peers.is_none() {
        return;
    }
    let Some(lease) = other_servers.lease.clone() else { return };
    let asked = unserved.clone();
    let Ok(owners) = super::blocking(move || lease.owners(&asked)).await else { return };
    let own = unserved
        .into_iter()
        .zip(owners)
        .filter(|(flight_id, owner)| owner.is_none() && members.is_own_turn(flight_id, 0))
        .map(|(flight_id, _)| flight_id);
    let fetches = own.filter(|flight_id| !upkeep.engine.has(flight_id)).map(|flight_id| {
        tracing::warn!(%flight_id, "nobody has the flight: it is brought up here");
        bring_up(upkeep.clone(), other_servers.arrivals.expect(&flight_id))
    });
    stream::iter(fetches).buffer_unordered(RECOVERED_AT_ONCE).for_each(|_| std::future::ready(())).await;
}

/// The flights whose owner is gone, and those of this server's that it does not have.
async fn left_alone(
    upkeep: &Arc<Upkeep>,
    redis: &Arc<RedisJournal>,
    members: &Members,
) -> Result<Vec<Orphan>, JournalError> {
    let (upkeep, redis) = (upkeep.clone(), redis.clone());
    let (own, mut others) = (members.own.clone(), members.lives.clone());
    others.remove(&own);
    super::blocking(move || {
        let mut orphans = redis.orphans(&others)?;
        // What a start brings up here is on its way already.
        orphans.retain(|orphan| !upkeep.other_servers.arrivals.is_coming(&orphan.flight_id));
        orphans.retain(|orphan| match upkeep.engine.find(&orphan.flight_id) {
            // It may have come up here since its owner was read.
            Located::Here(flight) => orphan.owner != own && flight.status().epoch <= orphan.epoch,
            // Its operator has to look at it.
            Located::Quarantined { .. } => false,
            Located::There | Located::Nobody => {
                let never_created = upkeep.other_servers.takeovers.never_created.lock();
                orphan.owner != own || !never_created.contains(&orphan.flight_id)
            }
        });
        Ok(orphans)
    })
    .await
}

/// Takes these flights, in parts; says whether nothing stood in the way.
async fn take_all(upkeep: &Arc<Upkeep>, redis: &Arc<RedisJournal>, orphans: Vec<Orphan>) -> bool {
    let (began, wanted) = (Instant::now(), orphans.len());
    let (mut taken, mut all_went_well) = (0, true);
    let arrivals = &upkeep.other_servers.arrivals;
    // Whoever asks for one of them waits, and is served first.
    let expect = |orphan: Orphan| (orphan.flight_id.clone(), (arrivals.expect(&orphan.flight_id), orphan));
    let mut left: BTreeMap<FlightId, (Coming, Orphan)> = orphans.into_iter().map(expect).collect();
    while !left.is_empty() && !upkeep.stopping.has_begun() {
        let part = arrivals.take_next(&mut left, FLIGHTS_AT_A_TIME);
        let (_coming, part): (Vec<Coming>, Vec<Orphan>) = part.into_iter().unzip();
        match take(upkeep, redis, &part).await {
            Ok(count) => {
                taken += count;
                upkeep.other_servers.takeovers.count.fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(why) => {
                // What was fenced all the same belongs to this server, and is brought up at a later look.
                tracing::warn!(error = why, "flights whose server is gone cannot be taken over just now");
                all_went_well = false;
            }
        }
    }
    if taken > 0 {
        tracing::info!(
            flights = taken,
            of = wanted,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "flights whose server is gone are served here now"
        );
    }
    all_went_well
}

/// Takes those of these flights whose servers are gone; gives those that nobody ever had.
pub(super) async fn take_left_alone(
    upkeep: &Arc<Upkeep>,
    redis: &Arc<RedisJournal>,
    flights: &[FlightId],
) -> Result<Vec<FlightId>, String> {
    let lease = upkeep.other_servers.lease.clone().ok_or("there is no lease")?;
    let mut others = lease.members().ok_or("it cannot be said who is gone")?.lives;
    others.remove(&lease.life());
    let (journal, asked) = (redis.clone(), flights.to_vec());
    let found = super::blocking(move || {
        let orphans = journal.orphans_among(&asked, &others)?;
        let owners = journal.owners(&asked)?;
        let nobodys = asked.into_iter().zip(owners).filter(|(_, owner)| owner.is_none());
        Ok((orphans, nobodys.map(|(flight_id, _)| flight_id).collect()))
    });
    let (orphans, nobodys) = found.await.map_err(|error| in_full(&error))?;
    if !orphans.is_empty() {
        take(upkeep, redis, &orphans).await?;
    }
    Ok(nobodys)
}

/// Claims these flights, as far as they still belong to whom they are said to, and brings them up; says how many, or what stands in the way.
pub(super) async fn take(
    upkeep: &Arc<Upkeep>,
    redis: &Arc<RedisJournal>,
    orphans: &[Orphan],
) -> Result<usize, String> {
    let other_servers = &upkeep.other_servers;
    let mut coming: HashMap<FlightId, Coming> = orphans
        .iter()
        .map(|orphan| (orphan.flight_id.clone(), other_servers.arrivals.expect(&orphan.flight_id)))
        .collect();
    let fences = claim_in_store(upkeep, &kept(upkeep, redis, orphans).await?).await?;
    let (journal, asked) = (redis.clone(), fences.clone());
    let taken =
        super::blocking(move || journal.fence_orphans(&asked)).await.map_err(|error| in_full(&error))?;
    let mut fetches = Vec::new();
    for ((claim, _), _) in fences.into_iter().zip(taken).filter(|(_, taken)| *taken) {
        other_servers.takeovers.claimed.lock().insert(claim.flight_id.clone(), claim.epoch);
        if let Some(coming) = coming.remove(&claim.flight_id) {
            fetches.push(bring_up(upkeep.clone(), coming));
        }
    }
    drop(coming);
    let count = stream::iter(fetches)
        .buffer_unordered(RECOVERED_AT_ONCE)
        .filter(|is_up| std::future::ready(*is_up))
        .count()
        .await;
    Ok(count)
}

/// Without those of which this server knows more than journal and store have: to claim them would keep the rest from the store.
async fn kept(
    upkeep: &Arc<Upkeep>,
    redis: &Arc<RedisJournal>,
    orphans: &[Orphan],
) -> Result<Vec<Orphan>, String> {
    let is_unknown = |orphan: &Orphan| matches!(upkeep.engine.find(&orphan.flight_id), Located::Nobody);
    if orphans.iter().all(is_unknown) {
        return Ok(orphans.to_vec());
    }
    let known: HashMap<FlightId, Seq> = upkeep
        .engine
        .flights()
        .into_iter()
        .map(|flight| (flight.flight_id().clone(), flight.status().durable_seq))
        .collect();
    let is_kept = orphans.iter().map(|orphan| async {
        match known.get(&orphan.flight_id) {
            Some(durable) => is_kept(upkeep, redis, &orphan.flight_id, *durable).await,
            None => Ok(true),
        }
    });
    let is_kept = futures_util::future::try_join_all(is_kept).await.map_err(|error| in_full(&error))?;
    Ok(orphans
        .iter()
        .zip(is_kept)
        .filter(|(_, is_kept)| *is_kept)
        .map(|(orphan, _)| orphan.clone())
        .collect())
}

/// Whether journal or store has a flight up to what was acknowledged of it here.
async fn is_kept(
    upkeep: &Upkeep,
    redis: &Arc<RedisJournal>,
    flight_id: &FlightId,
    durable: Seq,
) -> Result<bool, JournalError> {
    if upkeep.write_behind.flight_caught_up(flight_id, CATCH_UP).await {
        return Ok(true);
    }
    let (journal, asked) = (redis.clone(), flight_id.clone());
    let extent = super::blocking(move || journal.extent(&asked)).await?;
    let is_kept = extent.is_some_and(|extent| extent.last >= durable);
    if !is_kept {
        tracing::warn!(
            %flight_id,
            "neither journal nor store has all that was acknowledged of the flight: it waits until the store has it"
        );
    }
    Ok(is_kept)
}

/// Claims flights in the store; gives the fences to write, and whose the flights have to be for it. While the store is away the
/// journal alone decides, and the store learns of the epoch by the first flush.
async fn claim_in_store(upkeep: &Upkeep, orphans: &[Orphan]) -> Result<Vec<(Claim, Orphan)>, String> {
    let claims: Vec<Claim> = orphans
        .iter()
        .map(|orphan| Claim { flight_id: orphan.flight_id.clone(), epoch: orphan.epoch.next() })
        .collect();
    let epochs: HashMap<FlightId, Epoch> = match upkeep.other_servers.store.claim(&claims).await {
        Ok(claimed) => claimed.into_iter().map(|cursor| (cursor.flight_id, cursor.epoch)).collect(),
        Err(error) if error.is_transient() => HashMap::new(),
        Err(error) => return Err(in_full(&error)),
    };
    let fence = |(claim, orphan): (Claim, &Orphan)| {
        let epoch = epochs.get(&claim.flight_id).copied().unwrap_or(claim.epoch);
        (Claim { epoch, ..claim }, orphan.clone())
    };
    Ok(claims.into_iter().zip(orphans).map(fence).collect())
}

/// Says whether the flight is served here now.
async fn bring_up(upkeep: Arc<Upkeep>, coming: Coming) -> bool {
    let flight_id = coming.flight_id();
    let other_servers = &upkeep.other_servers;
    match upkeep.engine.restart(flight_id).await {
        Ok(_) => return true,
        // With a journal that is away it is tried again once that is back.
        Err(RestartError::Failed(why))
            if !upkeep.engine.has(flight_id) && other_servers.ownership.is_certain() =>
        {
            upkeep.engine.quarantine(flight_id.clone(), why);
        }
        Err(RestartError::NotFound)
            if !upkeep.engine.has(flight_id) && upkeep.write_behind.status().store == StoreState::Up =>
        {
            other_servers.takeovers.never_created.lock().insert(flight_id.clone());
        }
        Err(RestartError::NotFound | RestartError::Failed(_)) => {}
    }
    let _ = other_servers.takeovers.take_claimed(flight_id);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(name: &str, owner: &str) -> Orphan {
        Orphan { flight_id: FlightId::new(name).unwrap(), epoch: Epoch(1), owner: owner.to_owned() }
    }

    #[test]
    fn what_nobody_takes_is_another_ones_turn_and_ones_own_is_left_to_come_up_first() {
        let lives = ["a", "b"].map(str::to_owned);
        let of = |own: &str| Members {
            own: own.to_owned(),
            lives: lives.clone().into(),
            takers: lives.clone().into(),
            pins: Arc::default(),
        };
        let (mut one, mut other) = (Looks::default(), Looks::default());
        let mut turns = Vec::new();
        for look in 1..LOOKS_FOR_OWN {
            let orphans = vec![orphan("FR1", "gone"), orphan("FR2", "a")];
            let (mine, theirs) =
                (one.own_share(orphans.clone(), &of("a")), other.own_share(orphans, &of("b")));
            let is = |share: &[Orphan], name: &str| share.iter().any(|it| it.flight_id.as_str() == name);
            assert!(is(&mine, "FR1") != is(&theirs, "FR1"), "look {look}: it is one's turn");
            assert!(!is(&mine, "FR2"), "look {look}: it may be on its way");
            turns.push(is(&mine, "FR1"));
        }
        assert!(turns.contains(&true) && turns.contains(&false), "{turns:?}");
        assert_eq!(one.own_share(vec![orphan("FR2", "a")], &of("a")).len(), 1);
        // What was there meanwhile counts anew.
        one.own_share(Vec::new(), &of("a"));
        assert_eq!(one.own_share(vec![orphan("FR2", "a")], &of("a")).len(), 0);
    }
}
