//! What has to stay: trimming behind the store, and snapshots.
//! Never removes a flight's newest batch or anything behind it, nor what no snapshot covers where one is needed.

use ::redis::{Value, cmd};
use farerush_engine::flight::{Epoch, FlightId, FlightSnapshot, Seq};
use farerush_engine::journal::JournalError;

use super::RedisJournal;
use super::link::{Link, or_error, unavailable};
use super::standings::load;
use super::stream::{damaged, with_cause};
use crate::codec::{self, Record};

/// Writes a snapshot, unless one is there that is as new.
const NEWER_SNAPSHOT: &str = "\
local there = redis.call('HGET', KEYS[1], 'seq') \
if there and tonumber(there) >= tonumber(ARGV[1]) then return 0 end \
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'seq', ARGV[1], 'record', ARGV[3]) \
return 1";

impl RedisJournal {
    pub(super) fn trim_stored(&self, stored: &[(FlightId, Seq)]) -> Result<(), JournalError> {
        // Not for every event: a step is an eighth of what stays anyway.
        let step = 1 + self.options.retain_events / 8;
        {
            let mut kept = self.kept.lock();
            stored.iter().for_each(|(flight_id, seq)| kept.note_stored(flight_id, *seq));
        }
        for (flight_id, seq) in stored {
            let mut up_to = Seq(seq.0.saturating_sub(self.options.retain_events));
            let trimmed = self.trimmed.lock().get(flight_id).copied().unwrap_or(Seq(0));
            if up_to.0 < trimmed.0 + step {
                continue;
            }
            if self.options.trim_needs_snapshot {
                let covered = self.query_link.lock().attempt(|link| self.snapshot_seq(link, flight_id))?;
                up_to = up_to.min(covered);
                if up_to.0 < trimmed.0 + step {
                    continue;
                }
            }
            self.query_link.lock().attempt(|link| self.trim_flight(link, flight_id, up_to))?;
            self.trimmed.lock().insert(flight_id.clone(), up_to);
        }
        Ok(())
    }

    fn trim_flight(&self, link: &mut Link, flight_id: &FlightId, up_to: Seq) -> Result<(), JournalError> {
        let place = self.find(link, flight_id, up_to)?;
        // The newest batch tells how far the flight had come, and keeps Redis refusing what is older.
        let Some(keep_from) = place.start.or(place.newest_batch) else { return Ok(()) };
        let mut command = cmd("XTRIM");
        command.arg(self.keys.journal(flight_id)).arg("MINID").arg("=").arg(keep_from.to_string());
        let what = "trim a flight's events";
        or_error(what, link.ask(what, &command)?).map(drop)
    }

    /// The last event that the flight's snapshot has in it; 0 without one.
    pub(super) fn snapshot_seq(&self, link: &mut Link, flight_id: &FlightId) -> Result<Seq, JournalError> {
        let seqs = self.snapshot_seqs(link, [flight_id])?;
        Ok(seqs.first().copied().unwrap_or_default())
    }

    /// The same of several, in the same order.
    pub(super) fn snapshot_seqs<'a>(
        &self,
        link: &mut Link,
        flights: impl IntoIterator<Item = &'a FlightId>,
    ) -> Result<Vec<Seq>, JournalError> {
        let what = "read how far a snapshot goes";
        let commands = flights.into_iter().map(|flight_id| {
            let mut command = cmd("HGET");
            command.arg(self.keys.snapshot(flight_id)).arg("seq");
            command
        });
        let seq = |answer| -> Result<Seq, JournalError> {
            let seq: Option<u64> =
                ::redis::from_redis_value(or_error(what, answer)?).map_err(|e| unavailable(what, e))?;
            Ok(Seq(seq.unwrap_or(0)))
        };
        link.ask_all(what, commands.collect::<Vec<_>>())?.into_iter().map(seq).collect()
    }

    /// Writes the snapshot unless one is there that is as new.
    pub(super) fn keep_snapshot(&self, epoch: Epoch, snapshot: &FlightSnapshot) -> Result<(), JournalError> {
        let flight_id = &snapshot.definition.flight_id;
        let mut record = Vec::new();
        codec::encode_snapshot_into(&mut record, epoch, snapshot)
            .map_err(|e| damaged(flight_id, with_cause(&e)))?;
        self.query_link.lock().attempt(|link| {
            self.see_that_it_is_met(link, [flight_id])?;
            self.check_snapshot(link, epoch, snapshot)?;
            self.write_snapshot(link, epoch, snapshot, &record)
        })
    }

    /// A snapshot may hold nothing that is not durable, and comes from the flight's owner.
    fn check_snapshot(
        &self,
        link: &mut Link,
        epoch: Epoch,
        snapshot: &FlightSnapshot,
    ) -> Result<(), JournalError> {
        let flight_id = &snapshot.definition.flight_id;
        let standing = load(link, &self.keys, std::slice::from_ref(flight_id))?.pop().flatten();
        match standing {
            Some(standing) if standing.epoch > epoch => {
                Err(JournalError::Fenced { flight_id: flight_id.clone(), epoch: standing.epoch })
            }
            // One without events begins behind the snapshot, whose events only the store has.
            Some(standing) if standing.last == Seq(0) || snapshot.seq <= standing.last => Ok(()),
            _ => {
                let what = format!("a snapshot up to {} is ahead of its journal", snapshot.seq);
                Err(damaged(flight_id, what))
            }
        }
    }

    fn write_snapshot(
        &self,
        link: &mut Link,
        epoch: Epoch,
        snapshot: &FlightSnapshot,
        record: &[u8],
    ) -> Result<(), JournalError> {
        let what = "write a flight's snapshot";
        let mut write = cmd("EVAL");
        write.arg(NEWER_SNAPSHOT).arg(1).arg(self.keys.snapshot(&snapshot.definition.flight_id));
        write.arg(snapshot.seq.0).arg(epoch.0).arg(record);
        or_error(what, link.ask(what, &write)?).map(drop)
    }

    pub(super) fn read_snapshot(&self, flight_id: &FlightId) -> Result<Option<FlightSnapshot>, JournalError> {
        let what = "read a flight's snapshot";
        let mut command = cmd("HGET");
        command.arg(self.keys.snapshot(flight_id)).arg("record");
        let answer = self.query_link.lock().attempt(|link| link.ask(what, &command))?;
        let answer = or_error(what, answer)?;
        let record = match answer {
            Value::Nil => return Ok(None),
            Value::BulkString(record) => record,
            _ => return Err(damaged(flight_id, "its snapshot is no record".into())),
        };
        let bad = |what: String| damaged(flight_id, format!("its snapshot: {what}"));
        match codec::decode(&record).map_err(|e| bad(with_cause(&e)))? {
            Record::Snapshot { snapshot, .. } if snapshot.definition.flight_id == *flight_id => {
                Ok(Some(*snapshot))
            }
            _ => Err(bad("the record is another one".into())),
        }
    }
}
