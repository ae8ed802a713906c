//! Taking flights over: a fence in each one's stream.
//! Never says that a flight is claimed before Redis has confirmed the fence.

use std::collections::HashMap;

use ::redis::{Cmd, Value};
use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::{Claim, JournalError};

use super::RedisJournal;
use super::kept::KeptEntry;
use super::link::{Link, Pipeline};
use super::members::Orphan;
use super::standings::{FLIGHTS_A_LOOK, KnownStanding, load, newest_entries};
use super::stream::{
    Entry, EntryId, Keys, damaged, entries, is_id_refused, owned_entry, refusal, with_cause,
};
use super::watch::note_claims;
use crate::codec;
use crate::journal::standing::{Standing, admit};

const CLAIM: &str = "claim flights in Redis";

/// The command that writes a claim's fence; with `from`, only if the flight still belongs to that life, under that epoch.
fn fence_command(keys: &Keys, claim: &Claim, life: &str, from: Option<&Orphan>) -> Result<Cmd, JournalError> {
    let record = fence_record(claim)?;
    Ok(owned_entry(keys, &claim.flight_id, EntryId::fence(claim.epoch), &record, life, from))
}

fn fence_record(claim: &Claim) -> Result<Vec<u8>, JournalError> {
    let mut record = Vec::new();
    codec::encode_fence_into(&mut record, &claim.flight_id, claim.epoch, Seq(0))
        .map_err(|e| damaged(&claim.flight_id, with_cause(&e)))?;
    Ok(record)
}

impl RedisJournal {
    pub(super) fn claim(&self, claims: &[Claim]) -> Result<(), JournalError> {
        if claims.is_empty() {
            return Ok(());
        }
        self.query_link.lock().attempt(|link| {
            self.see_that_it_is_met(link, claims.iter().map(|claim| &claim.flight_id))?;
            self.claim_on(link, claims)
        })
    }

    fn claim_on(&self, link: &mut Link, claims: &[Claim]) -> Result<(), JournalError> {
        let landed = self.landed_before(link, claims)?;
        let open: Vec<Claim> = claims.iter().filter(|claim| !landed.contains(claim)).cloned().collect();
        let newest = self.newest_epochs(link, &open)?;
        admit(&open, |flight_id| newest.get(flight_id).map(|epoch| Standing::fenced(*epoch, Seq(0))))?;
        self.list(link, open.iter().map(|claim| &claim.flight_id))?;
        {
            let mut unsure = self.unsure.lock();
            unsure.extend(open.iter().map(|claim| (claim.flight_id.clone(), claim.epoch)));
        }
        self.write_fences(link, &open)?;
        note_claims(link, &self.keys, claims)?;
        self.wait_for_replicas(link, claims.iter().map(|claim| &claim.flight_id))?;
        self.know_claimed(link, claims)?;
        let mut unsure = self.unsure.lock();
        for claim in claims {
            unsure.remove(&claim.flight_id);
        }
        Ok(())
    }

    /// Takes flights over whose owners are gone, or give them: each only if it still belongs to that life, under that epoch. Says which it has taken, in the same
    /// order. Whatever belongs to somebody else by now stays as it is.
    pub fn fence_orphans(&self, claims: &[(Claim, Orphan)]) -> Result<Vec<bool>, JournalError> {
        self.query_link.lock().attempt(|link| {
            self.see_that_it_is_met(link, claims.iter().map(|(claim, _)| &claim.flight_id))?;
            let mut taken = Vec::with_capacity(claims.len());
            let life = self.life();
            let commands: Result<Vec<Cmd>, JournalError> = claims
                .iter()
                .map(|(claim, gone)| fence_command(&self.keys, claim, &life, Some(gone)))
                .collect();
            for ((claim, _), answer) in claims.iter().zip(link.ask_all(CLAIM, commands?)?) {
                taken.push(match answer {
                    Value::Nil => false,
                    Value::ServerError(error) if is_id_refused(&error) => self.newest_is_ours(link, claim)?,
                    Value::ServerError(error) => return Err(refusal(&claim.flight_id, CLAIM, &error)),
                    _ => true,
                });
            }
            let ours =
                claims.iter().zip(&taken).filter(|(_, taken)| **taken).map(|((claim, _), _)| claim.clone());
            let ours: Vec<Claim> = ours.collect();
            note_claims(link, &self.keys, &ours)?;
            self.wait_for_replicas(link, ours.iter().map(|claim| &claim.flight_id))?;
            match self.know_claimed(link, &ours) {
                // One that cannot be read says so at its recovery, and must not keep the others out.
                Err(JournalError::Damaged { .. }) => self.know_those_that_can_be_read(link, &ours)?,
                known => known?,
            }
            Ok(taken)
        })
    }

    fn know_those_that_can_be_read(&self, link: &mut Link, claims: &[Claim]) -> Result<(), JournalError> {
        for claim in claims {
            match self.know_claimed(link, std::slice::from_ref(claim)) {
                Err(JournalError::Damaged { .. }) => drop(self.known.lock().remove(&claim.flight_id)),
                known => known?,
            }
        }
        Ok(())
    }

    /// Claims of this journal's own, tried before with an unknown outcome, that turn out to have landed.
    fn landed_before<'a>(
        &self,
        link: &mut Link,
        claims: &'a [Claim],
    ) -> Result<Vec<&'a Claim>, JournalError> {
        let tried: Vec<&Claim> = {
            let unsure = self.unsure.lock();
            claims.iter().filter(|claim| unsure.get(&claim.flight_id) == Some(&claim.epoch)).collect()
        };
        let mut landed = Vec::new();
        for claim in tried {
            if self.newest_is_ours(link, claim)? {
                landed.push(claim);
            }
        }
        Ok(landed)
    }

    /// Whether the newest entry is the fence of this claim, written by this journal.
    fn newest_is_ours(&self, link: &mut Link, claim: &Claim) -> Result<bool, JournalError> {
        let newest = link.ask(CLAIM, &newest_entries(&self.keys, &claim.flight_id, "+", 1))?;
        let newest = entries(&claim.flight_id, newest)?;
        let life = self.life();
        let ours = |entry: &Entry| {
            entry.id == EntryId::fence(claim.epoch) && entry.by.as_deref() == Some(life.as_bytes())
        };
        Ok(newest.first().is_some_and(ours))
    }

    fn newest_epochs(
        &self,
        link: &mut Link,
        claims: &[Claim],
    ) -> Result<HashMap<FlightId, Epoch>, JournalError> {
        let mut newest = HashMap::with_capacity(claims.len());
        for claims in claims.chunks(FLIGHTS_A_LOOK) {
            let commands = claims.iter().map(|claim| newest_entries(&self.keys, &claim.flight_id, "+", 1));
            for (claim, answer) in claims.iter().zip(link.ask_all(CLAIM, commands)?) {
                if let Some(entry) = entries(&claim.flight_id, answer)?.first() {
                    newest.insert(claim.flight_id.clone(), entry.id.epoch);
                }
            }
        }
        Ok(newest)
    }

    fn write_fences(&self, link: &mut Link, claims: &[Claim]) -> Result<(), JournalError> {
        let mut pipeline = Pipeline::default();
        let mut in_pipeline = Vec::new();
        let life = self.life();
        for (sent, claim) in claims.iter().enumerate() {
            pipeline.add(&fence_command(&self.keys, claim, &life, None)?);
            in_pipeline.push(claim);
            if !pipeline.is_full() && sent + 1 < claims.len() {
                continue;
            }
            for (claim, answer) in
                in_pipeline.drain(..).zip(link.send(CLAIM, &std::mem::take(&mut pipeline))?)
            {
                match answer {
                    Value::ServerError(error) if is_id_refused(&error) => self.fence_refused(link, claim)?,
                    Value::ServerError(error) => return Err(refusal(&claim.flight_id, CLAIM, &error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Something stands where the fence was to go: this journal's own, sent on an earlier connection and processed
    /// only now, or another owner's.
    fn fence_refused(&self, link: &mut Link, claim: &Claim) -> Result<(), JournalError> {
        if self.newest_is_ours(link, claim)? {
            return Ok(());
        }
        self.unsure.lock().remove(&claim.flight_id);
        let newest = self.newest_epochs(link, std::slice::from_ref(claim))?;
        let epoch = newest.get(&claim.flight_id).copied().unwrap_or(claim.epoch);
        Err(JournalError::Fenced { flight_id: claim.flight_id.clone(), epoch })
    }

    /// Reads how far the flights had come. Nobody writes to them any more but this process, which starts anew from
    /// what is there: what it had promised before is for recovery to compare.
    fn know_claimed(&self, link: &mut Link, claims: &[Claim]) -> Result<(), JournalError> {
        let flights: Vec<FlightId> = claims.iter().map(|claim| claim.flight_id.clone()).collect();
        let standings = load(link, &self.keys, &flights)?;
        let life = self.life();
        for (claim, standing) in claims.iter().zip(&standings) {
            // Under a later epoch it is another's by now.
            let last =
                standing.filter(|standing| standing.epoch == claim.epoch).map(|standing| standing.last);
            if let Some(last) = last {
                let fence = EntryId::fence(claim.epoch);
                let by = Some(life.clone().into_bytes());
                self.keep(&claim.flight_id, KeptEntry::new(fence, Some(last), fence_record(claim)?, by));
            }
        }
        let mut known = self.known.lock();
        for (flight_id, standing) in flights.into_iter().zip(standings) {
            let Some(standing) = standing else { continue };
            known.insert(flight_id, KnownStanding { standing, learnt_on: 0, promised: standing.last });
        }
        Ok(())
    }
}
