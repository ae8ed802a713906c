//! Meeting a new primary: what it lacks of what was confirmed is written again, in order, before anything else is.
//! Never writes over what somebody else has written meanwhile, and never under a claim that is not this process's.
//!
//! Replication is asynchronous, so whoever is promoted may lack the newest entries, fences among them. They are history: whoever
//! knows them may write them again. But going on is only for an owner whom nobody can have followed: that is for the caller to
//! say, who knows the lease and the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{Cmd, Value, cmd};
use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::JournalError;
use parking_lot::Mutex;

use super::RedisJournal;
use super::kept::KeptEntry;
use super::link::{Link, Standpoint, or_error, unavailable};
use super::standings::{FLIGHTS_A_LOOK, KnownStanding, load, newest_entries};
use super::stream::{Entry, entries};
use crate::journal::standing::Standing;

const HEAL: &str = "write again what a new primary of Redis lacks";

/// Writes entries behind the one that was the newest, if it still is, and whose the flight is by them.
const APPEND_BEHIND: &str = "\
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] \
if (newest and newest[1] or '') ~= ARGV[1] then return 0 end \
for at = 2, #ARGV, 3 do \
  if ARGV[at + 2] == '' then \
    redis.call('XADD', KEYS[1], ARGV[at], 'record', ARGV[at + 1]) \
  else \
    redis.call('XADD', KEYS[1], ARGV[at], 'record', ARGV[at + 1], 'by', ARGV[at + 2]) \
    redis.call('SET', KEYS[2], string.match(ARGV[at], '^%d+') .. ' ' .. ARGV[at + 2]) \
  end \
end \
return 1";

/// What became of flights when a primary was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met {
    /// Events that were written again.
    pub events: u64,
    /// Flights that they, or fences, were of.
    pub healed: Vec<FlightId>,
    /// Flights that lack what was confirmed and nobody here knows any more, and why.
    pub lacking: Vec<(FlightId, String)>,
    /// Flights that a later owner has.
    pub taken: Vec<FlightId>,
    /// Whether the primary is met: now it may be written to.
    pub is_done: bool,
}

/// What this process knows of a flight of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ours {
    /// Under which it was owned last.
    pub epoch: Epoch,
}

/// What was healed, and what is not to be gone on with.
#[derive(Debug, Default)]
pub(super) struct Healing {
    events: AtomicU64,
    flights: AtomicU64,
    primaries: AtomicU64,
    /// Up to which epoch a flight must not be written to: somebody may have followed. Never held during IO.
    deposed: Mutex<HashMap<FlightId, Epoch>>,
}

impl Healing {
    pub(super) fn is_deposed(&self, flight_id: &FlightId, epoch: Epoch) -> bool {
        self.deposed.lock().get(flight_id).is_some_and(|deposed| epoch <= *deposed)
    }
}

impl RedisJournal {
    /// From now on nothing is written to a primary that is new until [`meet`](Self::meet) has met it.
    pub fn want_met(&self) {
        self.primaries.want_met();
    }

    /// Whether there is a primary that was not met yet.
    pub fn has_new_primary(&self) -> bool {
        self.primaries.has_unmet()
    }

    /// Waits until there may be one.
    pub async fn new_primary(&self) {
        self.primaries.is_new.notified().await;
    }

    /// Events that were written again, flights that they or fences were of, and new primaries that were met, since the start.
    pub fn healed(&self) -> (u64, u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.healing.events), of(&self.healing.flights), of(&self.healing.primaries))
    }

    /// Compares what new primaries have of the flights that this process has owned with what was confirmed, and writes again
    /// what is missing. Flights of which `goes_on` says no are not written to any more under what they were owned under.
    /// Where something is missing that is not known here, and `insists`, the primary counts as met all the same. Blocks.
    pub fn meet(
        &self,
        goes_on: impl Fn(&FlightId, Ours) -> bool,
        insists: bool,
    ) -> Result<Met, JournalError> {
        let mut link = self.append_link.lock();
        link.renew();
        let primaries = link.primaries()?;
        let flights: Vec<FlightId> = self.known.lock().keys().cloned().collect();
        let mut met = Met::default();
        for page in flights.chunks(FLIGHTS_A_LOOK) {
            let mut new = Vec::new();
            for flight_id in page {
                if !self.primaries.is_met(self.standpoint(&mut link, flight_id)?.primary) {
                    new.push(flight_id.clone());
                }
            }
            if !new.is_empty() {
                self.heal_page(&mut link, &new, &mut met)?;
            }
            for flight_id in new {
                let Some(known) = self.known.lock().get(&flight_id).copied() else { continue };
                let epoch = known.standing.epoch;
                if !met.taken.contains(&flight_id) && !goes_on(&flight_id, Ours { epoch }) {
                    self.healing.deposed.lock().insert(flight_id, epoch);
                }
            }
        }
        self.wait_for_replicas(&mut link, &met.healed)?;
        self.healing.events.fetch_add(met.events, Ordering::Relaxed);
        self.healing.flights.fetch_add(met.healed.len() as u64, Ordering::Relaxed);
        met.is_done = insists || met.lacking.is_empty();
        if met.is_done {
            self.primaries.note_met(&primaries);
            self.healing.primaries.fetch_add(1, Ordering::Relaxed);
        }
        Ok(met)
    }

    fn heal_page(&self, link: &mut Link, flights: &[FlightId], met: &mut Met) -> Result<(), JournalError> {
        // Whoever looks for flights begins there.
        self.list(link, flights.iter())?;
        let newest = link.ask_all(HEAL, flights.iter().map(|id| newest_entries(&self.keys, id, "+", 1)))?;
        let standings = load(link, &self.keys, flights)?;
        let (mut commands, mut under_way) = (Vec::new(), Vec::new());
        for ((flight_id, answer), standing) in flights.iter().zip(newest).zip(standings) {
            let newest = entries(flight_id, answer)?.into_iter().next();
            let Some(known) = self.known.lock().get(flight_id).copied() else { continue };
            if newest.as_ref().is_some_and(|newest| newest.id.epoch > known.standing.epoch) {
                met.taken.push(flight_id.clone());
                continue;
            }
            match self.missing(link, flight_id, newest.as_ref(), standing, &known)? {
                Ok(missing) if missing.is_empty() => {}
                Ok(missing) => {
                    commands.push(self.append_behind(flight_id, newest.as_ref(), &missing));
                    under_way.push((flight_id, missing));
                }
                Err(why) => met.lacking.push((flight_id.clone(), why)),
            }
        }
        for ((flight_id, missing), answer) in under_way.into_iter().zip(link.ask_all(HEAL, commands)?) {
            if let Value::Int(1) = or_error(HEAL, answer)? {
                met.events += missing.iter().map(events_in).sum::<u64>();
                met.healed.push(flight_id.clone());
            } else {
                // It is looked at again.
                return Err(unavailable(HEAL, "somebody writes to the flight at the same time"));
            }
        }
        Ok(())
    }

    /// What has to be written behind what is there; or why that is not known.
    fn missing(
        &self,
        link: &mut Link,
        flight_id: &FlightId,
        newest: Option<&Entry>,
        standing: Option<Standing>,
        known: &KnownStanding,
    ) -> Result<Result<Vec<KeptEntry>, String>, JournalError> {
        let last = standing.map_or(Seq(0), |standing| standing.last);
        let (there, missing) = {
            let kept = self.kept.lock();
            let there = newest.map(|newest| kept.at(flight_id, newest.id));
            (there, kept.behind(flight_id, newest.map(|newest| newest.id)))
        };
        if let (Some(newest), Some((ours, has_earlier))) = (newest, there) {
            let is_others = match ours {
                Some(ours) => ours.record != newest.record,
                None => has_earlier && !missing.is_empty(),
            };
            if is_others {
                return Ok(Err(format!(
                    "the new primary has another entry {} than was confirmed",
                    newest.id
                )));
            }
        }
        let mut reached = last;
        for entry in &missing {
            match (entry.id.is_fence(), entry.seq) {
                (true, Some(seq)) if seq != reached => {
                    return Ok(Err(format!(
                        "the new primary has events up to {reached}, and not up to {seq}"
                    )));
                }
                (true, _) => {}
                (false, first) => {
                    let first = first.unwrap_or_default();
                    let follows = first == reached.next()
                        || (reached == Seq(0) && self.snapshot_seq(link, flight_id)?.next() >= first);
                    if !follows {
                        let what = format!(
                            "the new primary has events up to {reached}, and of those behind only those from {first} on \
                             are known here"
                        );
                        return Ok(Err(what));
                    }
                    reached = entry.id.seq;
                }
            }
        }
        if reached < known.promised {
            let promised = known.promised;
            return Ok(Err(format!(
                "the new primary has events up to {reached}, and {promised} was confirmed"
            )));
        }
        Ok(Ok(missing))
    }

    fn append_behind(&self, flight_id: &FlightId, newest: Option<&Entry>, missing: &[KeptEntry]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(APPEND_BEHIND).arg(2).arg(self.keys.journal(flight_id)).arg(self.keys.owner(flight_id));
        command.arg(newest.map(|newest| newest.id.to_string()).unwrap_or_default());
        for entry in missing {
            command.arg(entry.id.to_string()).arg(&entry.record).arg(entry.by.as_deref().unwrap_or_default());
        }
        command
    }

    pub(super) fn standpoint(
        &self,
        link: &mut Link,
        flight_id: &FlightId,
    ) -> Result<Standpoint, JournalError> {
        link.standpoint(|| self.keys.journal(flight_id))
    }

    /// Before anything is written or taken for the whole truth: a primary that is new may lack what was confirmed.
    pub(super) fn see_that_it_is_met<'a>(
        &self,
        link: &mut Link,
        flights: impl IntoIterator<Item = &'a FlightId>,
    ) -> Result<(), JournalError> {
        // Connects first: that shows who is there.
        link.primaries()?;
        if !self.primaries.has_unmet() {
            return Ok(());
        }
        for flight_id in flights {
            if !self.primaries.is_met(self.standpoint(link, flight_id)?.primary) {
                return Err(unavailable(
                    "write to a new primary of Redis",
                    "it is compared with what was confirmed first",
                ));
            }
        }
        Ok(())
    }

    /// Keeps an entry that was confirmed, or read from a flight of this process's, for a primary that may lack it.
    pub(super) fn keep(&self, flight_id: &FlightId, entry: KeptEntry) {
        if self.options.heals {
            self.kept.lock().note(flight_id, entry);
        }
    }
}

fn events_in(entry: &KeptEntry) -> u64 {
    match entry.seq {
        Some(first) if !entry.id.is_fence() => entry.id.seq.0 + 1 - first.0,
        _ => 0,
    }
}
