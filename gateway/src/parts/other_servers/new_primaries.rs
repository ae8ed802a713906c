//! A new primary of Redis is met before anything is written to it: what it lacks of what was confirmed is written again, and
//! flights that somebody else may have had meanwhile are given up here.
//! Never goes on with a flight on the word of the new primary alone: it may have lost that the flight was claimed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::flight::{Epoch, FlightId};
use farerush_persistence::journal::{Met, Ours, RedisJournal};

use super::{Upkeep, blocking};
use crate::base::errors::in_full;

/// How often it is looked whether there is one, beside when one is found.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How soon a meeting that came to nothing is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often, and how far apart, others are given time to write again what is not known here.
const OTHERS_TRIES: u32 = 3;
const OTHERS_AFTER: Duration = Duration::from_millis(200);

/// Meets whoever comes, for as long as the server runs.
pub(super) async fn watch(upkeep: Weak<Upkeep>) {
    let Some(redis) = upkeep.upgrade().and_then(|upkeep| upkeep.redis.clone()) else { return };
    let redis = Arc::downgrade(&redis);
    let mut tries = 0;
    loop {
        {
            let Some(redis) = redis.upgrade() else { return };
            // Whoever is found meanwhile is looked at then.
            let _ = tokio::time::timeout(LOOK_EVERY, redis.new_primary()).await;
        }
        loop {
            // After a stop the journal must be free for the next owner.
            let Some(upkeep) = upkeep.upgrade().filter(|upkeep| !upkeep.stopping.has_begun()) else { return };
            let Some(redis) = upkeep.redis.clone().filter(|redis| redis.has_new_primary()) else { break };
            let pause = match meet(&upkeep, &redis, tries >= OTHERS_TRIES).await {
                Ok(true) => {
                    tries = 0;
                    continue;
                }
                Ok(false) => {
                    tries += 1;
                    OTHERS_AFTER
                }
                Err(why) => {
                    tracing::debug!(error = why, "the new primary of Redis cannot be compared just now");
                    AGAIN_AFTER
                }
            };
            drop((upkeep, redis));
            tokio::time::sleep(pause).await;
        }
    }
}

/// Says whether the primary is met.
async fn meet(upkeep: &Arc<Upkeep>, redis: &Arc<RedisJournal>, insists: bool) -> Result<bool, String> {
    let served: HashMap<FlightId, Epoch> = upkeep
        .engine
        .flights()
        .into_iter()
        .map(|flight| (flight.flight_id().clone(), flight.status().epoch))
        .collect();
    let lease = upkeep.other_servers.lease.clone();
    let claims = claims(upkeep).await;
    let goes_on = {
        let served = served.clone();
        move |flight_id: &FlightId, ours: Ours| {
            served.get(flight_id) == Some(&ours.epoch)
                && claims.as_ref().is_none_or(|claims| {
                    claims.as_ref().is_some_and(|claims| {
                        claims.get(flight_id).is_none_or(|claimed| *claimed <= ours.epoch)
                    })
                })
        }
    };
    let alone = lease.as_ref().is_none_or(|lease| lease.count() < 2);
    let (journal, judge) = (redis.clone(), goes_on.clone());
    let met =
        blocking(move || journal.meet(judge, insists || alone)).await.map_err(|error| in_full(&error))?;
    tell(&met);
    if !met.is_done {
        return Ok(false);
    }
    for (flight_id, epoch) in served {
        if met.taken.contains(&flight_id) || !goes_on(&flight_id, Ours { epoch }) {
            upkeep.engine.note_fenced_under(&flight_id, epoch);
        }
    }
    if let Some(lease) = lease {
        // The lease that was held back counts from now on.
        let _ = blocking(move || lease.renew()).await;
    }
    Ok(true)
}

/// The newest claims, as the store knows them: `None` if this server need not ask, because nobody can have followed it, and
/// `Some(None)` if it cannot be told.
async fn claims(upkeep: &Upkeep) -> Option<Option<HashMap<FlightId, Epoch>>> {
    // Others judge only after they have waited for longer than a lease of before can hold.
    let lease = upkeep.other_servers.lease.as_ref()?;
    if lease.holds() {
        return None;
    }
    match upkeep.other_servers.store.cursors().await {
        Ok(cursors) => {
            Some(Some(cursors.into_iter().map(|cursor| (cursor.flight_id, cursor.epoch)).collect()))
        }
        // Alone, it is its own.
        Err(_) if lease.count() < 2 => None,
        Err(error) => {
            tracing::warn!(
                error = in_full(&error),
                "Redis has a new primary and the store does not say who has claimed the flights: they are claimed anew"
            );
            Some(None)
        }
    }
}

fn tell(met: &Met) {
    for (flight_id, why) in &met.lacking {
        tracing::error!(%flight_id, why, "a new primary of Redis lacks events that were confirmed, and they are not known here");
    }
    if met.events > 0 || !met.healed.is_empty() {
        tracing::warn!(
            events = met.events,
            flights = met.healed.len(),
            "a new primary of Redis lacked events that were confirmed: they were written again"
        );
    } else if met.is_done {
        tracing::info!("Redis has another primary, or was started anew: it has all that was confirmed");
    }
}
