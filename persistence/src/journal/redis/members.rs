//! Which servers there are: each holds a lease that it renews in Redis' own time, and a lease that has run out and was seen to
//! by another member is never renewed again. Never decides who owns a flight: fences do.
//!
//! So an owner whose lease holds by its own clock, counted from before it asked, knows that nobody takes its flights: others
//! do only once they have seen the lease over in Redis' time, which is later.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ::redis::{Cmd, Value, cmd};
use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::JournalError;

use super::RedisJournal;
use super::link::{Link, or_error, unavailable};

const BEAT: &str = "renew the lease in Redis";
const ORPHANS: &str = "look whose flights are in Redis";

/// No lease is longer, in milliseconds: one that ends later was granted by a primary whose clock was ahead.
const LEASE_MAX_MS: u64 = 60_000;

/// How long it is remembered who was seen to be gone, in milliseconds: longer than anybody is cut off and comes back.
const GONE_KEPT_MS: u64 = 86_400_000;

/// Renews a lease, or begins one, unless its life was seen to be over; takes those out that have run out, if the caller may
/// judge and was not away itself (its own lease has half of its length left, as Redis sees it); says who is left.
const RENEW: &str = "\
local time = redis.call('TIME') \
local now = time[1] * 1000 + math.floor(time[2] / 1000) \
local own = redis.call('ZSCORE', KEYS[1], ARGV[1]) \
local renewed = 0 \
for _, life in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + ARGV[6]), '+inf')) do \
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[6]), life) \
end \
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then \
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1]) \
  if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[4] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[4]) end \
  renewed = 1 \
end \
if ARGV[3] == '1' and own and own - now >= ARGV[2] / 2 then \
  for _, life in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))) do \
    redis.call('ZADD', KEYS[3], string.format('%.0f', now), life) \
    redis.call('ZREM', KEYS[1], life) \
    redis.call('HDEL', KEYS[2], life) \
  end \
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now - ARGV[5])) \
end \
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') \
local answer = {renewed} \
for at = 1, #members, 2 do \
  answer[#answer + 1] = members[at] \
  answer[#answer + 1] = math.floor(members[at + 1] - now) \
  answer[#answer + 1] = redis.call('HGET', KEYS[2], members[at]) or '' \
end \
return answer";

/// Ends a life for good.
const LEAVE: &str = "\
local time = redis.call('TIME') \
redis.call('ZADD', KEYS[3], string.format('%.0f', time[1] * 1000), ARGV[1]) \
redis.call('ZREM', KEYS[1], ARGV[1]) \
redis.call('HDEL', KEYS[2], ARGV[1]) \
return 1";

/// Actions of admins that are kept.
const ACTIONS_KEPT: usize = 1_000;

/// Keeps an action, and only so many.
const NOTE_ACTION: &str = "\
redis.call('LPUSH', KEYS[1], ARGV[1]) \
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1) \
return 1";

/// One life of a server as a member.
#[derive(Debug)]
pub(super) struct Life {
    name: String,
}

impl Life {
    pub(super) fn new() -> Self {
        let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Self { name }
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
    /// The primary that said so, by number: another one knows of leases only what reached it, and by a clock of its own.
    pub primary: u64,
    /// Whether it was met.
    pub is_met: bool,
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
        let mut command = self.on_members(RENEW, &self.life());
        command.arg(u64::try_from(beat.lease.as_millis()).unwrap_or(u64::MAX));
        command.arg(if beat.judges { "1" } else { "0" }).arg(beat.about).arg(GONE_KEPT_MS);
        command.arg(LEASE_MAX_MS.max(u64::try_from(beat.lease.as_millis()).unwrap_or(u64::MAX)));
        let (answer, primary) = self.members_link.lock().attempt(|link| {
            let answer = link.ask(BEAT, &command)?;
            Ok((answer, link.standpoint(|| self.keys.members())?.primary))
        })?;
        // Here, and not when the store has taken something: it may be away for long.
        self.kept.lock().sweep();
        let (is_renewed, members) = membership(or_error(BEAT, answer)?)?;
        Ok(Membership { is_renewed, members, primary, is_met: self.primaries.is_met(primary) })
    }

    /// Says that this life is over: others need not wait for its lease to end.
    pub fn leave(&self) -> Result<(), JournalError> {
        self.end_life(&self.life())
    }

    /// Says that a life is over that was this server's.
    pub fn end_life(&self, life: &str) -> Result<(), JournalError> {
        let what = "give the lease in Redis up";
        let command = self.on_members(LEAVE, life);
        or_error(what, self.members_link.lock().attempt(|link| link.ask(what, &command))?).map(drop)
    }

    /// A script about this life among the members.
    fn on_members(&self, script: &str, life: &str) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script).arg(3).arg(self.keys.members()).arg(self.keys.about_members());
        command.arg(self.keys.gone_members()).arg(life);
        command
    }

    /// The names of all flights that Redis knows, those among them that were claimed and never created. Blocks.
    pub fn listed_flights(&self) -> Result<Vec<FlightId>, JournalError> {
        let mut listed = BTreeSet::new();
        self.each_page(|names| {
            listed.extend(names);
            Ok(())
        })?;
        Ok(listed.into_iter().collect())
    }

    /// All flights that are listed, a page after the other; a page may be seen twice.
    pub(super) fn each_page(
        &self,
        mut each: impl FnMut(Vec<FlightId>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut place = "0".to_owned();
        loop {
            let (next, names) = self.watch_link.lock().attempt(|link| self.listed_from(link, &place))?;
            each(names)?;
            if next == "0" {
                return Ok(());
            }
            place = next;
        }
    }

    /// The flights that belong to none of these lives, page by page. Those of which is not noted who wrote their newest fence (an
    /// older version did) are not among them. Blocks.
    pub fn orphans(&self, members: &HashSet<String>) -> Result<Vec<Orphan>, JournalError> {
        let mut orphans = Vec::new();
        self.each_page(|names| {
            orphans.extend(self.belong_to_none(&names, members)?);
            Ok(())
        })?;
        // A page may have been seen twice.
        orphans.sort_unstable_by(|one, other| one.flight_id.cmp(&other.flight_id));
        orphans.dedup();
        self.leave_out_members(&mut orphans)?;
        Ok(orphans)
    }

    /// The same of these flights alone. Blocks.
    pub fn orphans_among(
        &self,
        flights: &[FlightId],
        members: &HashSet<String>,
    ) -> Result<Vec<Orphan>, JournalError> {
        let mut orphans = self.belong_to_none(flights, members)?;
        self.leave_out_members(&mut orphans)?;
        Ok(orphans)
    }

    fn belong_to_none(
        &self,
        flights: &[FlightId],
        members: &HashSet<String>,
    ) -> Result<Vec<Orphan>, JournalError> {
        if flights.is_empty() {
            return Ok(Vec::new());
        }
        let owners = self.watch_link.lock().attempt(|link| self.owners_of(link, flights))?;
        let candidates: Vec<Orphan> = flights
            .iter()
            .zip(owners)
            .filter_map(|(flight_id, owner)| {
                owner.map(|(epoch, owner)| Orphan { flight_id: flight_id.clone(), epoch, owner })
            })
            .filter(|orphan| !members.contains(&orphan.owner))
            .collect();
        let named: Vec<FlightId> = candidates.iter().map(|orphan| orphan.flight_id.clone()).collect();
        let newest = self.read_epochs(&named)?;
        let of_now = candidates.into_iter().zip(newest);
        Ok(of_now
            .filter(|(orphan, newest)| *newest == Some(orphan.epoch))
            .map(|(orphan, _)| orphan)
            .collect())
    }

    /// Leaves those out whose owners have joined since it was asked who is a member. Whoever fences a flight joined before, and
    /// a life never comes back: so who is none now, after its fence was read, is gone.
    fn leave_out_members(&self, orphans: &mut Vec<Orphan>) -> Result<(), JournalError> {
        let owners: BTreeSet<String> = orphans.iter().map(|orphan| orphan.owner.clone()).collect();
        if owners.is_empty() {
            return Ok(());
        }
        let mut ask = cmd("ZMSCORE");
        ask.arg(self.keys.members());
        for owner in &owners {
            ask.arg(owner);
        }
        let answer = or_error(ORPHANS, self.watch_link.lock().attempt(|link| link.ask(ORPHANS, &ask))?)?;
        let scores: Vec<Option<f64>> =
            ::redis::from_redis_value(answer).map_err(|error| unavailable(ORPHANS, error))?;
        let there: HashSet<&String> =
            owners.iter().zip(scores).filter(|(_, score)| score.is_some()).map(|(owner, _)| owner).collect();
        let own = self.life();
        orphans.retain(|orphan| orphan.owner == own || !there.contains(&orphan.owner));
        Ok(())
    }

    /// What servers tell one another of admins' tokens, by name. Blocks.
    pub fn told_tokens(&self) -> Result<HashMap<String, String>, JournalError> {
        self.hash("read the admins' tokens in Redis", &self.keys.tokens())
    }

    /// Tells the other servers of admins' tokens. Blocks.
    pub fn tell_tokens(&self, tokens: &[(String, String)]) -> Result<(), JournalError> {
        let what = "write the admins' tokens to Redis";
        let mut ask = cmd("HSET");
        ask.arg(self.keys.tokens());
        for (name, told) in tokens {
            ask.arg(name).arg(told);
        }
        or_error(what, self.watch_link.lock().attempt(|link| link.ask(what, &ask))?).map(drop)
    }

    /// Keeps what an admin has had servers do; the oldest goes where there are `ACTIONS_KEPT`. Blocks.
    pub fn note_action(&self, action: &str) -> Result<(), JournalError> {
        let what = "note an admin's action in Redis";
        let mut ask = cmd("EVAL");
        ask.arg(NOTE_ACTION).arg(1).arg(self.keys.actions()).arg(action).arg(ACTIONS_KEPT);
        or_error(what, self.watch_link.lock().attempt(|link| link.ask(what, &ask))?).map(drop)
    }

    /// What admins have had servers do, the newest first, so many at most. Blocks.
    pub fn actions(&self, count: usize) -> Result<Vec<String>, JournalError> {
        let what = "read the admins' actions in Redis";
        let mut ask = cmd("LRANGE");
        ask.arg(self.keys.actions()).arg(0).arg(i64::try_from(count).unwrap_or(i64::MAX) - 1);
        let answer = or_error(what, self.watch_link.lock().attempt(|link| link.ask(what, &ask))?)?;
        ::redis::from_redis_value(answer).map_err(|error| unavailable(what, error))
    }

    fn hash(&self, what: &'static str, key: &str) -> Result<HashMap<String, String>, JournalError> {
        let mut ask = cmd("HGETALL");
        ask.arg(key);
        let answer = or_error(what, self.watch_link.lock().attempt(|link| link.ask(what, &ask))?)?;
        ::redis::from_redis_value(answer).map_err(|error| unavailable(what, error))
    }

    /// The servers that flights are to be at, by name, whatever else says where they belong. Blocks.
    pub fn pins(&self) -> Result<HashMap<String, String>, JournalError> {
        self.hash("read the flights' pins in Redis", &self.keys.pins())
    }

    /// Has a flight be at the server of this name, as long as there is one; `None`: at no certain one. Blocks.
    pub fn pin(&self, flight_id: &FlightId, server: Option<&str>) -> Result<(), JournalError> {
        let what = "pin a flight in Redis";
        let mut ask = cmd(if server.is_some() { "HSET" } else { "HDEL" });
        ask.arg(self.keys.pins()).arg(flight_id.as_str()).arg(server);
        or_error(what, self.watch_link.lock().attempt(|link| link.ask(what, &ask))?).map(drop)
    }

    /// The life that each of these flights belongs to, as of now; `None` where nobody has noted it. Blocks.
    pub fn owners(&self, flights: &[FlightId]) -> Result<Vec<Option<String>>, JournalError> {
        let owners = self.watch_link.lock().attempt(|link| self.owners_of(link, flights))?;
        Ok(owners.into_iter().map(|owner| owner.map(|(_, life)| life)).collect())
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

fn membership(answer: Value) -> Result<(bool, Vec<Member>), JournalError> {
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
    Ok((renewed == 1, members))
}
