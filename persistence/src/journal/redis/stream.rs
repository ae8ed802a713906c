//! How a flight lies in Redis: its keys, its entries and their IDs.
//! Never talks to a server.
//!
//! An entry's ID is `<epoch>-<last seq>` for a batch and `<epoch>-0` for a fence. Events count from 1, so a fence
//! stands in front of everything its owner writes, two claims of one epoch always collide, and Redis, which takes
//! no ID that is not larger than the newest, refuses the second of them and all that an earlier owner sends.

use std::fmt;

use ::redis::{Cmd, ServerError, Value, cmd};
use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq};
use farerush_engine::journal::JournalError;

use super::link::{error_text, unavailable};
use super::members::Orphan;
use crate::codec::{self, Record};

/// Field of an entry that holds the record.
pub(super) const RECORD_FIELD: &[u8] = b"record";
/// Field of a fence that tells whose it is.
pub(super) const BY_FIELD: &[u8] = b"by";

/// The names of keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The set of all flights. Written before a flight's first entry, so it may name some that have none.
    pub(super) fn flights(&self) -> String {
        format!("{}:flights", self.prefix)
    }

    /// A flight's entries. The braces keep all of a flight in one slot of a cluster.
    pub(super) fn journal(&self, flight_id: &FlightId) -> String {
        format!("{}:{{{flight_id}}}:journal", self.prefix)
    }

    /// Whose a flight is: its epoch, and the life of the member that wrote the fence.
    pub(super) fn owner(&self, flight_id: &FlightId) -> String {
        format!("{}:{{{flight_id}}}:owner", self.prefix)
    }

    /// The members by the end of their leases, in milliseconds of Redis' time. Tagged, so that all keys of members are in one slot.
    pub(super) fn members(&self) -> String {
        format!("{}:{{members}}", self.prefix)
    }

    /// What members say of themselves, by life.
    pub(super) fn about_members(&self) -> String {
        format!("{}:{{members}}:about", self.prefix)
    }

    /// Lives that were seen to be over, by when.
    pub(super) fn gone_members(&self) -> String {
        format!("{}:{{members}}:gone", self.prefix)
    }

    /// The servers that flights are to be at: a hash of names.
    pub(super) fn pins(&self) -> String {
        format!("{}:{{members}}:pins", self.prefix)
    }

    /// What admins have had servers do: a list, the newest first.
    pub(super) fn actions(&self) -> String {
        format!("{}:{{members}}:actions", self.prefix)
    }

    /// Admins' tokens: a hash of what is told of each, by name.
    pub(super) fn tokens(&self) -> String {
        format!("{}:{{members}}:tokens", self.prefix)
    }

    /// A flight's snapshot: a hash of `epoch`, `seq` and `record`.
    pub(super) fn snapshot(&self, flight_id: &FlightId) -> String {
        format!("{}:{{{flight_id}}}:snapshot", self.prefix)
    }

    /// Which flights were claimed of late, so that whoever had them learns of it without asking about each.
    pub(super) fn claims(&self) -> String {
        format!("{}:claims", self.prefix)
    }

    /// The names of the servers that were there of late.
    pub(super) fn servers(&self) -> String {
        format!("{}:{{servers}}", self.prefix)
    }

    /// There for as long as that server is.
    pub(super) fn server(&self, name: &str) -> String {
        format!("{}:{{servers}}:{name}", self.prefix)
    }

    /// Which server said last that it serves a flight: a hash by flight. Says nothing about who owns it.
    pub(super) fn served(&self) -> String {
        format!("{}:served", self.prefix)
    }

    /// The id of the journal, written once.
    pub(super) fn identity(&self) -> String {
        format!("{}:identity", self.prefix)
    }

    /// Written only so that there is something to wait for, at the node where what is tagged so lies.
    pub(super) fn waited(&self, tag: &str) -> String {
        format!("{}:{{{tag}}}:waited", self.prefix)
    }
}

/// Writes an entry by which an ownership begins, and whose it is, in one go: who the newest one belongs to is never in doubt.
/// With the life of an owner that is gone behind the other arguments, only if the flight is still that one's.
const OWNED_ENTRY: &str = "\
if ARGV[4] then \
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] \
  if redis.call('GET', KEYS[2]) ~= ARGV[4] or not newest then return false end \
  if string.match(newest[1], '^%d+') ~= string.match(ARGV[4], '^%d+') then return false end \
end \
local written = redis.pcall('XADD', KEYS[1], ARGV[1], 'record', ARGV[2], 'by', ARGV[3]) \
if type(written) == 'table' and written.err then return written end \
redis.call('SET', KEYS[2], string.match(ARGV[1], '^%d+') .. ' ' .. ARGV[3]) \
return written";

/// The command that writes the first entry of an ownership, and notes whose it is.
pub(super) fn owned_entry(
    keys: &Keys,
    flight_id: &FlightId,
    id: EntryId,
    record: &[u8],
    life: &str,
    from: Option<&Orphan>,
) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(OWNED_ENTRY).arg(2).arg(keys.journal(flight_id)).arg(keys.owner(flight_id));
    command.arg(id.to_string()).arg(record).arg(life);
    command.arg(from.map(|orphan| format!("{} {}", orphan.epoch, orphan.owner)));
    command
}

/// The ID of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId {
    pub(super) epoch: Epoch,
    /// Seq of the batch's last event; 0 for a fence.
    pub(super) seq: Seq,
}

impl EntryId {
    pub(super) fn is_fence(self) -> bool {
        self.seq == Seq(0)
    }

    /// The fence under `epoch`, which is the smallest ID that the epoch can have.
    pub(super) fn fence(epoch: Epoch) -> Self {
        Self { epoch, seq: Seq(0) }
    }

    /// As an end of a range that leaves this entry out.
    pub(super) fn exclusive(self) -> String {
        format!("({self}")
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (epoch, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { epoch: Epoch(epoch.parse().ok()?), seq: Seq(seq.parse().ok()?) })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.seq.0)
    }
}

/// An entry as it came from Redis.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) record: Vec<u8>,
    pub(super) by: Option<Vec<u8>>,
}

impl Entry {
    /// Seq of its first event, as far as can be told without checking it; of its last one, if not at all.
    pub(super) fn first_seq(&self) -> Seq {
        codec::peek(&self.record).map_or(self.id.seq, |head| head.seq)
    }

    /// Its events, checked.
    pub(super) fn events(&self, flight_id: &FlightId) -> Result<Vec<Recorded>, JournalError> {
        let bad = |what: String| damaged(flight_id, format!("entry {}: {what}", self.id));
        match codec::decode(&self.record).map_err(|e| bad(with_cause(&e)))? {
            Record::Events { flight_id: whose, epoch, events } => {
                let last = events.last().map_or(Seq(0), |event| event.seq);
                if whose != *flight_id || (EntryId { epoch, seq: last }) != self.id {
                    return Err(bad(format!("holds events of {whose} up to {last} under epoch {epoch}")));
                }
                Ok(events)
            }
            Record::Fence { .. } | Record::Snapshot { .. } => Err(bad("holds no events".into())),
        }
    }
}

/// Reads the answer to XRANGE or XREVRANGE.
pub(super) fn entries(flight_id: &FlightId, answer: Value) -> Result<Vec<Entry>, JournalError> {
    if let Value::ServerError(error) = &answer {
        return Err(refusal(flight_id, "read a flight's events", error));
    }
    let bad = || damaged(flight_id, "its stream holds something that is no entry of a journal".into());
    let Value::Array(items) = answer else { return Err(bad()) };
    items.into_iter().map(|item| entry(item).ok_or_else(bad)).collect()
}

fn entry(item: Value) -> Option<Entry> {
    let Value::Array(parts) = item else { return None };
    let [Value::BulkString(id), Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let mut entry = Entry { id: EntryId::parse(&id)?, record: Vec::new(), by: None };
    let mut fields = fields.into_iter();
    while let (Some(Value::BulkString(field)), Some(Value::BulkString(value))) =
        (fields.next(), fields.next())
    {
        match field.as_slice() {
            RECORD_FIELD => entry.record = value,
            BY_FIELD => entry.by = Some(value),
            _ => {}
        }
    }
    Some(entry)
}

/// What an error of the server's means for a flight: damage if its key holds something else, otherwise "not now".
pub(super) fn refusal(flight_id: &FlightId, what: &str, error: &ServerError) -> JournalError {
    let text = error_text(error);
    match text.starts_with("WRONGTYPE") {
        true => damaged(flight_id, format!("its key in Redis holds something else: {text}")),
        false => unavailable(what, text),
    }
}

/// Whether the server refused an ID because it has one that is not smaller.
pub(super) fn is_id_refused(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    details.contains("equal or smaller than the target stream top item")
        || details.contains("must be greater than 0-0")
}

pub(super) fn damaged(flight_id: &FlightId, what: String) -> JournalError {
    JournalError::Damaged { flight_id: Some(flight_id.clone()), what }
}

pub(super) fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
