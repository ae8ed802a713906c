//! Appending a round: one entry a batch, one pipeline a round.
//! Never answers `Durable` for anything that Redis has not confirmed, on this connection or on an earlier one.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use ::redis::{Cmd, Value, cmd};
use farerush_engine::flight::{FlightId, Recorded, Seq};
use farerush_engine::journal::{Appended, Batch, JournalError};

use super::RedisJournal;
use super::kept::KeptEntry;
use super::link::{Link, Pipeline, or_error, unavailable};
use super::standings::{KnownStanding, load, lost};
use super::stream::{EntryId, RECORD_FIELD, damaged, is_id_refused, owned_entry, refusal, with_cause};
use crate::codec;
use crate::journal::standing::{Standing, Verdict, judge, twice_in_a_round};

const APPEND: &str = "append a round to Redis";

/// What became of one XADD.
enum AddOutcome {
    Yes,
    /// Something with an ID that is not smaller is there already.
    Refused,
    /// The stream that had to exist does not.
    Lost,
    /// Not now.
    Failed(JournalError),
}

impl RedisJournal {
    pub(super) fn append_round(&self, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        self.last_bytes.store(0, Ordering::Relaxed);
        let mut seen = HashSet::with_capacity(round.len());
        if let Some(batch) = round.iter().find(|batch| !seen.insert(&batch.flight_id)) {
            return Err(twice_in_a_round(&batch.flight_id));
        }
        self.append_link.lock().attempt(|link| {
            self.see_that_it_is_met(link, round.iter().map(|batch| &batch.flight_id))?;
            self.see_that_it_keeps(link)?;
            self.append_on(link, round)
        })
    }

    fn append_on(&self, link: &mut Link, round: &[Batch]) -> Result<Vec<Appended>, JournalError> {
        let standings = self.standings_for(link, round)?;
        // All are judged before any is sent: a refused batch leaves the whole round out.
        let mut answers = Vec::with_capacity(round.len());
        for (batch, standing) in round.iter().zip(&standings) {
            if self.healing.is_deposed(&batch.flight_id, batch.epoch) {
                answers.push(Some(Appended::Fenced));
                continue;
            }
            let verdict = self.judge_with_content(link, standing.as_ref(), batch)?;
            if standing.is_none() && batch.first_seq() > Seq(1) {
                return Err(lost(&batch.flight_id));
            }
            answers.push((verdict != Verdict::Write).then(|| verdict.answer()));
        }
        self.write(link, round, &standings, &mut answers)?;
        let answers: Vec<Appended> = answers.into_iter().map(|a| a.unwrap_or(Appended::Durable)).collect();
        let durable = |(batch, answer)| (answer == &Appended::Durable).then_some(batch);
        let durable: Vec<&FlightId> =
            round.iter().zip(&answers).filter_map(durable).map(|batch: &Batch| &batch.flight_id).collect();
        if !durable.is_empty() {
            self.wait_for_replicas(link, durable)?;
        }
        self.note_promised(round, &answers);
        Ok(answers)
    }

    /// What is known of the round's flights on this connection; asks Redis about those of which nothing is.
    fn standings_for(&self, link: &mut Link, round: &[Batch]) -> Result<Vec<Option<Standing>>, JournalError> {
        let mut standpoints = Vec::with_capacity(round.len());
        for batch in round {
            standpoints.push(self.standpoint(link, &batch.flight_id)?);
        }
        let mut standings = vec![None; round.len()];
        let mut unknown = Vec::new();
        {
            let known = self.known.lock();
            for (place, batch) in round.iter().enumerate() {
                let generation = standpoints[place].generation;
                let known = known.get(&batch.flight_id).filter(|known| known.learnt_on == generation);
                // Nothing is refused on hearsay: another journal may have claimed the flight meanwhile.
                match known.map(|known| known.standing).filter(|known| judge(Some(known), batch).is_ok()) {
                    Some(standing) => standings[place] = Some(standing),
                    None => unknown.push(place),
                }
            }
        }
        for (place, standing) in unknown.iter().zip(self.learn(link, round, &unknown)?) {
            standings[*place] = standing;
        }
        Ok(standings)
    }

    /// Asks Redis about the flights of these batches of the round, checks that it still has what it had confirmed,
    /// and notes what it says.
    fn learn(
        &self,
        link: &mut Link,
        round: &[Batch],
        places: &[usize],
    ) -> Result<Vec<Option<Standing>>, JournalError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let flights: Vec<FlightId> = places.iter().map(|place| round[*place].flight_id.clone()).collect();
        let before: Vec<Option<KnownStanding>> = {
            let known = self.known.lock();
            flights.iter().map(|flight_id| known.get(flight_id).copied()).collect()
        };
        let standings = load(link, &self.keys, &flights)?;
        for ((place, before), standing) in places.iter().zip(before).zip(&standings) {
            let batch = &round[*place];
            if let Some(before) = before {
                before.check_kept(&batch.flight_id, standing.as_ref())?;
            }
            let Some(standing) = standing else { continue };
            let learnt_on = self.standpoint(link, &batch.flight_id)?.generation;
            let mut known = self.known.lock();
            match known.get_mut(&batch.flight_id) {
                // A claim made meanwhile knows better.
                Some(known) if known.standing.epoch > standing.epoch => {}
                Some(known) => (known.standing, known.learnt_on) = (*standing, learnt_on),
                None => {
                    let new = KnownStanding { standing: *standing, learnt_on, promised: Seq(0) };
                    known.insert(batch.flight_id.clone(), new);
                }
            }
        }
        Ok(standings)
    }

    /// A supposed repeat is looked at event by event; that costs a look at Redis, which only a lost answer causes.
    fn judge_with_content(
        &self,
        link: &mut Link,
        standing: Option<&Standing>,
        batch: &Batch,
    ) -> Result<Verdict, JournalError> {
        judge(standing, batch)?.settled(standing, batch, || self.there(link, batch))
    }

    /// The events that are there under the seqs of the batch; fewer where there are no more.
    fn there(&self, link: &mut Link, batch: &Batch) -> Result<Vec<Recorded>, JournalError> {
        let mut there = Vec::with_capacity(batch.events.len());
        while there.len() < batch.events.len() {
            let after = Seq(batch.first_seq().0 - 1 + there.len() as u64);
            let more = self.read_on(link, &batch.flight_id, after, batch.events.len() - there.len())?;
            if more.is_empty() {
                break;
            }
            there.extend(more);
        }
        Ok(there)
    }

    /// Sends the batches that have no answer yet, and finds one for those that Redis refuses.
    fn write(
        &self,
        link: &mut Link,
        round: &[Batch],
        standings: &[Option<Standing>],
        answers: &mut [Option<Appended>],
    ) -> Result<(), JournalError> {
        let to_write: Vec<usize> = (0..round.len()).filter(|place| answers[*place].is_none()).collect();
        if to_write.is_empty() {
            return Ok(());
        }
        let new = to_write.iter().filter(|place| standings[**place].is_none());
        self.list(link, new.map(|place| &round[*place].flight_id))?;
        let mut pipeline = Pipeline::default();
        let mut in_pipeline = Vec::with_capacity(to_write.len());
        let mut refused = Vec::new();
        let mut failed = None;
        for (sent, place) in to_write.iter().enumerate() {
            let kept = self.add_entry(&mut pipeline, &round[*place], standings[*place].is_some())?;
            let learnt_on = self.standpoint(link, &round[*place].flight_id)?.generation;
            in_pipeline.push((*place, kept, learnt_on));
            if !pipeline.is_full() && sent + 1 < to_write.len() {
                continue;
            }
            let replies = link.send(APPEND, &std::mem::take(&mut pipeline))?;
            for ((place, kept, learnt_on), reply) in in_pipeline.drain(..).zip(replies) {
                let batch = &round[place];
                match written(batch, reply) {
                    AddOutcome::Yes => {
                        self.note_written(batch, learnt_on);
                        self.keep(&batch.flight_id, kept);
                    }
                    AddOutcome::Refused => refused.push(place),
                    // What says that a flight is damaged goes before what can be tried again.
                    AddOutcome::Lost => failed = Some(lost(&batch.flight_id)),
                    AddOutcome::Failed(error) => failed = failed.or(Some(error)),
                }
            }
            if failed.is_some() {
                break;
            }
        }
        match failed {
            Some(error) => Err(error),
            None => self.resolve(link, round, &refused, answers),
        }
    }

    fn add_entry(
        &self,
        pipeline: &mut Pipeline,
        batch: &Batch,
        must_exist: bool,
    ) -> Result<KeptEntry, JournalError> {
        let mut record = Vec::new();
        codec::encode_events_into(&mut record, batch)
            .map_err(|e| damaged(&batch.flight_id, with_cause(&e)))?;
        self.last_bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
        let id = EntryId { epoch: batch.epoch, seq: batch.last_seq() };
        let first = Some(batch.first_seq());
        if !must_exist {
            let life = self.life();
            pipeline.add(&owned_entry(&self.keys, &batch.flight_id, id, &record, &life, None));
            return Ok(KeptEntry::new(id, first, record, Some(life.into_bytes())));
        }
        let mut command = cmd("XADD");
        // A stream that has gone must not begin anew in the middle.
        command.arg(self.keys.journal(&batch.flight_id)).arg("NOMKSTREAM");
        pipeline.add(command.arg(id.to_string()).arg(RECORD_FIELD).arg(&record));
        Ok(KeptEntry::new(id, first, record, None))
    }

    /// Finds out what stands where these batches were to go: they themselves, or a new owner's fence.
    fn resolve(
        &self,
        link: &mut Link,
        round: &[Batch],
        refused: &[usize],
        answers: &mut [Option<Appended>],
    ) -> Result<(), JournalError> {
        for (place, standing) in refused.iter().zip(self.learn(link, round, refused)?) {
            let batch = &round[*place];
            let verdict = self.judge_with_content(link, standing.as_ref(), batch)?;
            if verdict == Verdict::Write {
                let what =
                    "Redis refuses its next ID, though no entry stands in the way (were entries deleted?)";
                return Err(damaged(&batch.flight_id, what.into()));
            }
            answers[*place] = Some(verdict.answer());
        }
        Ok(())
    }

    /// Writes a key that nobody reads to each primary, and waits for replicas as an append does.
    pub(super) fn probe_on(&self, link: &mut Link) -> Result<(), JournalError> {
        let what = "see whether Redis takes writes";
        let mut refused = None;
        link.at_all(
            what,
            |tag| vec![self.write_waited(tag)],
            |answers| {
                for answer in answers {
                    refused = refused.take().or(or_error(what, answer).err());
                }
            },
        )?;
        if let Some(error) = refused {
            // Who is no primary any more is not asked again.
            link.forget();
            return Err(error);
        }
        if self.options.wait_replicas == 0 { Ok(()) } else { self.wait_at(link, true) }
    }

    fn write_waited(&self, tag: &str) -> Cmd {
        let mut command = cmd("SET");
        command.arg(self.keys.waited(tag)).arg(1);
        command
    }

    /// Puts flights into the set of all, before their first entries: a crash in between leaves a name too many,
    /// never one too few.
    pub(super) fn list<'a>(
        &self,
        link: &mut Link,
        flights: impl Iterator<Item = &'a FlightId>,
    ) -> Result<(), JournalError> {
        let key = self.keys.flights();
        let commands = flights.map(|flight_id| {
            let mut command = cmd("SADD");
            command.arg(&key).arg(flight_id.as_str());
            command
        });
        let what = "list flights in Redis";
        link.ask_all(what, commands)?.into_iter().try_for_each(|answer| or_error(what, answer).map(drop))
    }

    /// Waits until enough replicas have all that was written so far, and what these flights have: at each primary concerned.
    pub(super) fn wait_for_replicas<'a>(
        &self,
        link: &mut Link,
        flights: impl IntoIterator<Item = &'a FlightId>,
    ) -> Result<(), JournalError> {
        if self.options.wait_replicas == 0 {
            return Ok(());
        }
        for flight_id in flights {
            link.touch(&self.keys.journal(flight_id))?;
        }
        self.wait_at(link, false)
    }

    fn wait_at(&self, link: &mut Link, everywhere: bool) -> Result<(), JournalError> {
        let what = "wait for replicas of Redis";
        let wanted = self.options.wait_replicas;
        let timeout_ms = u64::try_from(self.options.wait_timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let commands = |tag: &str| {
            let mut wait = cmd("WAIT");
            wait.arg(wanted).arg(timeout_ms);
            // WAIT is about what this connection wrote, which may be nothing if all had landed before: so it writes.
            vec![self.write_waited(tag), wait]
        };
        let enough = |answers: Vec<Value>| {
            let mut replicas = 0;
            for answer in answers {
                if let Value::Int(count) = or_error(what, answer)? {
                    replicas = count;
                }
            }
            if replicas < i64::from(wanted) {
                return Err(unavailable(what, format!("{replicas} of {wanted} have it")));
            }
            Ok(())
        };
        link.at_written(what, everywhere, commands, enough)
    }

    fn note_written(&self, batch: &Batch, generation: u64) {
        let (first, last) = (batch.first_seq(), batch.last_seq());
        let mut known = self.known.lock();
        match known.get_mut(&batch.flight_id) {
            // A claim made meanwhile knows better.
            Some(known) if known.standing.epoch > batch.epoch => {}
            Some(known) => known.standing.note_written(batch.epoch, first, last),
            None => {
                let standing = Standing::begun(batch.epoch, first, last);
                let new = KnownStanding { standing, learnt_on: generation, promised: Seq(0) };
                known.insert(batch.flight_id.clone(), new);
            }
        }
    }

    fn note_promised(&self, round: &[Batch], answers: &[Appended]) {
        let mut known = self.known.lock();
        for (batch, _) in round.iter().zip(answers).filter(|(_, answer)| **answer == Appended::Durable) {
            if let Some(known) = known.get_mut(&batch.flight_id) {
                known.promised = known.promised.max(batch.last_seq());
            }
        }
    }
}

fn written(batch: &Batch, reply: Value) -> AddOutcome {
    match reply {
        Value::BulkString(_) | Value::SimpleString(_) => AddOutcome::Yes,
        Value::Nil => AddOutcome::Lost,
        Value::ServerError(error) if is_id_refused(&error) => AddOutcome::Refused,
        Value::ServerError(error) => AddOutcome::Failed(refusal(&batch.flight_id, APPEND, &error)),
        other => AddOutcome::Failed(unavailable(APPEND, format!("an answer of an unknown kind: {other:?}"))),
    }
}
