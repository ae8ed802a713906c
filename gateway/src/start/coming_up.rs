//! Flights that a start leaves for later because there are many: they come up while the server sells, those first that somebody
//! asks for. Never takes a flight from another server, and never fails: what does not come up is stopped, with its reason.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use farerush_engine::flight::FlightId;
use farerush_persistence::recovery::{KnownFlight, recover_these};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;

use crate::base::errors::in_full;
use crate::parts::other_servers::arrivals::{self, Coming};
use crate::parts::other_servers::{OtherServers, Upkeep};
use crate::start::recovering::RecoveryContext;

/// So many flights come up at a time: of those that somebody asks for, which are not kept waiting by the others, and of others.
const ASKED_FOR: (usize, usize) = (0, 64);
const OTHERS: (usize, usize) = (64, 64);
/// How long to wait at most for somebody to ask for one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long to wait where a part cannot be brought up, and how often; those that are left then are taken over like those of a
/// server that is gone.
const PAUSE: Duration = Duration::from_millis(50);
const TROUBLES_MAX: u32 = 200;
/// So many that are brought up one by one are at the same time.
const ONE_BY_ONE_AT_ONCE: usize = 8;

/// Flights to be brought up; whoever asks for one waits.
pub struct Left(BTreeMap<FlightId, (KnownFlight, Coming)>);

impl Left {
    /// From now on they are on their way.
    pub(super) fn expected(flights: Vec<KnownFlight>, other_servers: &OtherServers) -> Self {
        let arrivals = other_servers.arrivals();
        arrivals.are_left_of_start(flights.len());
        let expect = |flight: KnownFlight| {
            let coming = arrivals.expect(&flight.flight_id);
            (flight.flight_id.clone(), (flight, coming))
        };
        Self(flights.into_iter().map(expect).collect())
    }
}

/// Brings them up, part by part, and beside these those that are asked for.
pub(super) async fn bring_up(left: Left, upkeep: Weak<Upkeep>, context: Weak<RecoveryContext>) {
    let Left(left) = left;
    let (began, all) = (Instant::now(), left.len());
    let left = Mutex::new(left);
    tokio::join!(lane(&left, ASKED_FOR, &upkeep, &context), lane(&left, OTHERS, &upkeep, &context));
    if all > 0 && left.lock().is_empty() {
        tracing::info!(
            flights = all,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "all flights have come up"
        );
    }
}

/// Brings up so many at a time, at least and at most, until none are left.
async fn lane(
    left: &Mutex<BTreeMap<FlightId, (KnownFlight, Coming)>>,
    at_a_time: (usize, usize),
    upkeep: &Weak<Upkeep>,
    context: &Weak<RecoveryContext>,
) {
    // How often in a row it came to nothing.
    let mut troubles = 0;
    while !left.lock().is_empty() {
        let (Some(upkeep), Some(context)) = (upkeep.upgrade(), context.upgrade()) else { return };
        if upkeep.stopping.has_begun() {
            return;
        }
        let arrivals = upkeep.other_servers.arrivals().clone();
        let part = match can_take(&upkeep) {
            true => arrivals.take_next(&mut left.lock(), at_a_time),
            false => Vec::new(),
        };
        if part.is_empty() {
            // Holds nothing of the journal meanwhile.
            drop((upkeep, context));
            arrivals.somebody_asks(LOOK_AGAIN).await;
            continue;
        }
        let took = part.len();
        let not_now = bring_up_part(part, &upkeep, &context).await;
        troubles = if not_now.is_empty() { 0 } else { troubles + 1 };
        if troubles > 0 && troubles <= TROUBLES_MAX {
            left.lock().extend(not_now.into_iter().map(|part| (part.0.flight_id.clone(), part)));
            drop((upkeep, context));
            tokio::time::sleep(PAUSE).await;
        } else {
            drop(not_now);
            arrivals.came_of_start(took);
        }
    }
}

/// Whether it can be said whose servers are gone: not right after the start, where others might have the flights.
fn can_take(upkeep: &Upkeep) -> bool {
    upkeep.peers.is_none() || upkeep.other_servers.lease().is_none_or(|lease| lease.can_judge())
}

/// Gives those back that cannot be brought up just now.
async fn bring_up_part(
    mut part: Vec<(KnownFlight, Coming)>,
    upkeep: &Arc<Upkeep>,
    context: &Arc<RecoveryContext>,
) -> Vec<(KnownFlight, Coming)> {
    part.retain(|(flight, _)| !upkeep.engine.has(&flight.flight_id));
    if let (Some(redis), Some(_)) = (&upkeep.redis, &upkeep.peers) {
        // Others may have come meanwhile, and have their share by now.
        let names: Vec<FlightId> = part.iter().map(|(flight, _)| flight.flight_id.clone()).collect();
        match OtherServers::take_left_alone(upkeep, redis, &names).await {
            Ok(nobodys) => {
                let coming = part.into_iter().map(|(_, coming)| coming);
                let coming = coming.filter(|coming| nobodys.contains(coming.flight_id()));
                one_by_one(upkeep, coming.collect()).await;
                return Vec::new();
            }
            Err(why) => {
                tracing::debug!(why, "flights could not be brought up just now");
                return part;
            }
        }
    }
    let (flights, coming): (Vec<KnownFlight>, Vec<Coming>) = part.into_iter().unzip();
    match recover_these(&context.journal, &context.store, &flights).await {
        Ok(recovered) => context.adopt_all(&upkeep.engine, recovered),
        // One after the other they find out whether journal or store are away, and do with one of them.
        Err(error) => {
            tracing::warn!(error = in_full(&error), "flights are brought up one by one");
            one_by_one(upkeep, coming).await;
        }
    }
    Vec::new()
}

async fn one_by_one(upkeep: &Arc<Upkeep>, coming: Vec<Coming>) {
    let fetches = coming.into_iter().map(|coming| arrivals::fetch(upkeep.clone(), coming));
    stream::iter(fetches).buffer_unordered(ONE_BY_ONE_AT_ONCE).for_each(|()| std::future::ready(())).await;
}
