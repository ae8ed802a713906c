//! Which servers there are: each holds a lease that it renews in Redis' own time, and a lease that has run out and was seen to
//! by another member is never renewed again. Never decides who owns a flight: fences do.
//!
//! So an owner whose lease holds by its own clock, counted from before it asked, knows that nobody takes its flights: others
//! do only once they have seen the lease over in Redis' time, which is later.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ::redis::{Value, cmd};
use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::JournalError;

use super::RedisJournal;
use super::link::{Link, or_error, unavailable};

const BEAT: &str = "renew the lease in Redis";
const ORPHANS: &str = "look whose flights are in Redis";

/// Renews a lease, or begins one; takes those out that have run out, if the caller may judge; says who is left. A Redis that
/// knows no member at all has lost them: nobody can have been seen to be gone there.
const RENEW: &str = "\
local time = redis.call('TIME') \
local now = time[1] * 1000 + math.floor(time[2] / 1000) \
local is_there = redis.call('ZSCORE', KEYS[1], ARGV[1]) \
local renewed = 0 \
if is_there or ARGV[3] == '1' or redis.call('ZCARD', KEYS[1]) == 0 then \
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1]) \
  if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[5] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[5]) end \
  renewed = 1 \
end \
if ARGV[4] == '1' then \
  for _, life in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do \
    redis.call('ZREM', KEYS[1], life) \
    redis.call('HDEL', KEYS[2], life) \
  end \
end \
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') \
local answer = {renewed} \
for at = 1, #members, 2 do \
  answer[#answer + 1] = members[at] \
  answer[#answer + 1] = math.floor(members[at + 1] - now) \
  answer[#answer + 1] = redis.call('HGET', KEYS[2], members[at]) or '' \
end \
return answer";

/// One life of a server as a member.
#[derive(Debug)]
pub(super) struct Life {
    name: String,
    /// Whether a beat under this name has been confirmed.
    has_joined: bool,
}

impl Life {
    pub(super) fn new() -> Self {
        let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Self { name, has_joined: false }
    }
}

/// What a server says when it renews its lease.
#[derive(Debug, Clone, Copy)]
pub struct Beat<'a> {
    /// For how long, from when Redis hears it.
    pub lease: Duration,
    /// Whether it takes out those whose leases are over. Only who has held its own without a break for as long as a lease
    /// may: after a stall of Redis all have run out, and each shall come to renew its own first.
    pub judges: bool,
    /// What others may know of it.
    pub about: &'a str,
}

/// A server that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its life as a member, by name.
    pub life: String,
    /// What it says of itself.
    pub about: String,
    /// How long its lease holds yet in Redis' time; zero if it is over and nobody has judged that.
    pub lease_left: Duration,
}

/// What came of a beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Whether the lease was renewed. If not, another member has seen it over: this life is past, and its flights may have new
    /// owners.
    pub is_renewed: bool,
    /// Everybody who is there, by the end of their leases.
    pub members: Vec<Member>,
}

/// A flight whose owner is no member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// Its newest epoch.
    pub epoch: Epoch,
    /// The life of the member that it belonged to.
    pub owner: String,
}

impl RedisJournal {
    /// The name of this life as a member; all fences are written under it.
    pub fn life(&self) -> String {
        self.life.lock().name.clone()
    }

    /// Begins another life: what was claimed in the one before belongs to somebody who is gone.
    pub fn begin_life(&self) {
        *self.life.lock() = Life::new();
    }

    /// Renews this life's lease, or begins it. Blocks; on a connection of its own.
    pub fn beat(&self, beat: &Beat<'_>) -> Result<Membership, JournalError> {
        let (life, joins) = {
            let life = self.life.lock();
            (life.name.clone(), !life.has_joined)
        };
        let flag = |is_so: bool| if is_so { "1" } else { "0" };
        let mut command = cmd("EVAL");
        command.arg(RENEW).arg(2).arg(self.keys.members()).arg(self.keys.about_members());
        command.arg(&life).arg(u64::try_from(beat.lease.as_millis()).unwrap_or(u64::MAX));
        command.arg(flag(joins)).arg(flag(beat.judges)).arg(beat.about);
        let answer = self.members_link.lock().attempt(|link| link.ask(BEAT, &command))?;
        let membership = membership(or_error(BEAT, answer)?)?;
        let mut life_now = self.life.lock();
        if membership.is_renewed && life_now.name == life {
            life_now.has_joined = true;
        }
        Ok(membership)
    }

    /// Says that this server is gone: others need not wait for its lease to end.
    pub fn leave(&self) -> Result<(), JournalError> {
        let what = "give the lease in Redis up";
        let life = self.life();
        let (mut member, mut about) = (cmd("ZREM"), cmd("HDEL"));
        member.arg(self.keys.members()).arg(&life);
        about.arg(self.keys.about_members()).arg(&life);
        let answers =
            self.members_link.lock().attempt(|link| link.ask_all(what, [member.clone(), about.clone()]))?;
        answers.into_iter().try_for_each(|answer| or_error(what, answer).map(drop))
    }

    /// The flights that belong to none of these lives, page by page. Those of which is not noted who wrote their newest fence (an
    /// older version did) are not among them. Blocks.
    pub fn orphans(&self, members: &HashSet<String>) -> Result<Vec<Orphan>, JournalError> {
        let mut orphans = Vec::new();
        let mut place = "0".to_owned();
        loop {
            let (next, names) = self.watch_link.lock().attempt(|link| self.listed_from(link, &place))?;
            if !names.is_empty() {
                let owners = self.watch_link.lock().attempt(|link| self.owners_of(link, &names))?;
                let candidates: Vec<Orphan> = names
                    .into_iter()
                    .zip(owners)
                    .filter_map(|(flight_id, owner)| {
                        owner.map(|(epoch, owner)| Orphan { flight_id, epoch, owner })
                    })
                    .filter(|orphan| !members.contains(&orphan.owner))
                    .collect();
                let flights: Vec<FlightId> =
                    candidates.iter().map(|orphan| orphan.flight_id.clone()).collect();
                let newest = self.read_epochs(&flights)?;
                let of_now = candidates
                    .into_iter()
                    .zip(newest)
                    .filter(|(orphan, newest)| *newest == Some(orphan.epoch));
                orphans.extend(of_now.map(|(orphan, _)| orphan));
            }
            if next == "0" {
                break;
            }
            place = next;
        }
        // A page may have been seen twice.
        orphans.sort_unstable_by(|one, other| one.flight_id.cmp(&other.flight_id));
        orphans.dedup();
        Ok(orphans)
    }

    fn owners_of(
        &self,
        link: &mut Link,
        flights: &[FlightId],
    ) -> Result<Vec<Option<(Epoch, String)>>, JournalError> {
        let get = |flight_id| {
            let mut command = cmd("GET");
            command.arg(self.keys.owner(flight_id));
            command
        };
        let answers = link.ask_all(ORPHANS, flights.iter().map(get))?;
        answers.into_iter().map(|answer| Ok(owner(or_error(ORPHANS, answer)?))).collect()
    }
}

fn owner(answer: Value) -> Option<(Epoch, String)> {
    let Value::BulkString(text) = answer else { return None };
    let (epoch, life) = std::str::from_utf8(&text).ok()?.split_once(' ')?;
    Some((Epoch(epoch.parse().ok()?), life.to_owned()))
}

fn membership(answer: Value) -> Result<Membership, JournalError> {
    let nonsense = || unavailable(BEAT, "Redis answers something else");
    let Value::Array(items) = answer else { return Err(nonsense()) };
    let mut items = items.into_iter();
    let Some(Value::Int(renewed)) = items.next() else { return Err(nonsense()) };
    let mut members = Vec::new();
    while let Some(life) = items.next() {
        let (Value::BulkString(life), Some(Value::Int(left)), Some(Value::BulkString(about))) =
            (life, items.next(), items.next())
        else {
            return Err(nonsense());
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| nonsense());
        let lease_left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        members.push(Member { life: text(life)?, about: text(about)?, lease_left });
    }
    Ok(Membership { is_renewed: renewed == 1, members })
}
