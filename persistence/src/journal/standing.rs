//! The rules of epochs and seqs, the same for every journal that keeps its own books.
//! Never does IO: says what is to become of a batch or a claim, and notes what became of it.

use std::collections::HashMap;

use farerush_engine::flight::{Epoch, FlightId, Recorded, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, JournalError};

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it.
    Write,
    /// Its seqs were written before, under its own epoch: it is a repeat if its events are those that are there. To be
    /// settled by [`Verdict::settled`]; until then it is worth nothing.
    Supposed,
    /// It was written before, event by event.
    Already,
    /// A later epoch owns the flight.
    Fenced,
}

impl Verdict {
    /// The answer to give once what had to be written is durable.
    pub(crate) fn answer(self) -> Appended {
        match self {
            Self::Write | Self::Already => Appended::Durable,
            Self::Supposed | Self::Fenced => Appended::Fenced,
        }
    }

    /// Settles whether `batch` is the repeat that it was supposed to be; other verdicts stand. `there` reads the events
    /// that are there under its seqs (as many as it has, or fewer where they are gone). Two owners under one epoch would be
    /// worse than a flight that stops: other events are refused, however well their seqs fit.
    pub(crate) fn settled(
        self,
        standing: Option<&Standing>,
        batch: &Batch,
        there: impl FnOnce() -> Result<Vec<Recorded>, JournalError>,
    ) -> Result<Self, JournalError> {
        if self != Self::Supposed {
            return Ok(self);
        }
        let there = match there() {
            Ok(events) => events,
            // Nobody repeats what the store has had long since.
            Err(JournalError::Trimmed { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        if there == batch.events {
            return Ok(Self::Already);
        }
        if standing.is_some_and(|standing| batch.epoch < standing.epoch) {
            return Ok(Self::Fenced);
        }
        let (epoch, first) = (batch.epoch, batch.first_seq());
        let what = format!("other events than these are there under epoch {epoch} from seq {first} on");
        Err(JournalError::Damaged { flight_id: Some(batch.flight_id.clone()), what })
    }
}

/// How far a flight has come in a journal, and who owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The largest epoch that wrote or fenced.
    pub(crate) epoch: Epoch,
    /// The last event ever written, still there or not; 0 if there was none.
    pub(crate) last: Seq,
    /// Under which epoch the newest events were written, and from which seq on.
    wrote: Option<(Epoch, Seq)>,
}

impl Standing {
    /// Of a flight that was fenced when `last` was its last event, or that nothing is known of but this.
    pub(crate) fn fenced(epoch: Epoch, last: Seq) -> Self {
        Self { epoch, last, wrote: None }
    }

    /// Of a flight whose first known events these are.
    pub(crate) fn begun(epoch: Epoch, first: Seq, last: Seq) -> Self {
        Self { epoch, last, wrote: Some((epoch, first)) }
    }

    /// Notes that a batch was written.
    pub(crate) fn note_written(&mut self, epoch: Epoch, first: Seq, last: Seq) {
        if self.wrote.is_none_or(|(by, _)| by != epoch) {
            self.wrote = Some((epoch, first));
        }
        self.last = last;
    }

    /// Notes that the flight was taken over.
    pub(crate) fn note_fenced(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Whether events from `first` on follow what is there. A flight without events may begin anywhere: its
    /// earlier ones may live in a store only.
    pub(crate) fn is_followed_by(&self, first: Seq) -> bool {
        self.last == Seq(0) || first == self.last.next()
    }

    /// Whether all seqs of the batch were written before, under its own epoch. By whom, it does not say.
    fn has(&self, batch: &Batch) -> bool {
        self.wrote.is_some_and(|(by, from)| {
            by == batch.epoch && from <= batch.first_seq() && batch.last_seq() <= self.last
        })
    }
}

/// What is to become of `batch`, given what is known of its flight. Only a claim raises the epoch: a batch under
/// one that was never claimed is refused, except for the first that is heard of a flight (its creation).
pub(crate) fn judge(standing: Option<&Standing>, batch: &Batch) -> Result<Verdict, JournalError> {
    let refuse = |what: String| JournalError::Damaged { flight_id: Some(batch.flight_id.clone()), what };
    if batch.events.is_empty() || batch.first_seq() == Seq(0) {
        return Err(refuse("a batch without events, or from seq 0 on, was to be appended".into()));
    }
    let Some(standing) = standing else { return Ok(Verdict::Write) };
    if standing.has(batch) {
        return Ok(Verdict::Supposed);
    }
    if batch.epoch < standing.epoch {
        return Ok(Verdict::Fenced);
    }
    if batch.epoch > standing.epoch {
        let (batch, known) = (batch.epoch, standing.epoch);
        return Err(refuse(format!(
            "events under epoch {batch}, which was never claimed; the newest is {known}"
        )));
    }
    if !standing.is_followed_by(batch.first_seq()) {
        let (first, last) = (batch.first_seq(), standing.last);
        return Err(refuse(format!("events from seq {first} on do not follow {last}, the last one")));
    }
    Ok(Verdict::Write)
}

/// Whether all claims come in time, each flight's known standing being found by `known`.
pub(crate) fn admit(
    claims: &[Claim],
    known: impl Fn(&FlightId) -> Option<Standing>,
) -> Result<(), JournalError> {
    let mut claimed: HashMap<&FlightId, Epoch> = HashMap::with_capacity(claims.len());
    for Claim { flight_id, epoch } in claims {
        let before = claimed.get(flight_id).copied();
        let newest = before.or_else(|| known(flight_id).map(|standing| standing.epoch));
        if let Some(newest) = newest.filter(|newest| epoch <= newest) {
            return Err(JournalError::Fenced { flight_id: flight_id.clone(), epoch: newest });
        }
        claimed.insert(flight_id, *epoch);
    }
    Ok(())
}

/// The refusal of a round that has two batches of one flight.
pub(crate) fn twice_in_a_round(flight_id: &FlightId) -> JournalError {
    JournalError::Damaged {
        flight_id: Some(flight_id.clone()),
        what: "two batches of the flight in one round".into(),
    }
}
