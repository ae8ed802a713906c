//! The end of the log: one write and one sync a round, one round at a time.
//! Never writes again once a write or a sync has failed: what the disk holds then is anybody's guess.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use farerush_engine::journal::{AppendCost, JournalError};

use super::disk::File;
use super::segment::{DATA_START, Preparer, lacks_descriptors};
use super::{round, unavailable};

/// Where a round stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundPosition {
    pub(super) segment: u64,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Writes rounds, and knows where the next one goes.
pub(super) struct Writer {
    pub(super) preparer: Preparer,
    /// Records of the round that is being made; kept for its memory.
    pub(super) buffer: Vec<u8>,
    segment: u64,
    file: Arc<dyn File>,
    /// Where the next round goes.
    tail: u64,
    /// The file is zero up to here; a round that is larger than a segment goes beyond.
    capacity: u64,
    next_round: u64,
    stopped: Option<String>,
    /// What was written and synced since this was last set to nothing.
    pub(super) cost: AppendCost,
}

impl Writer {
    /// Goes on behind round `next_round - 1`, at `tail` in a segment whose file is `capacity` bytes long.
    pub(super) fn new(
        preparer: Preparer,
        segment: u64,
        file: Arc<dyn File>,
        tail: u64,
        capacity: u64,
        next_round: u64,
    ) -> Self {
        Self {
            preparer,
            buffer: Vec::new(),
            segment,
            file,
            tail,
            capacity,
            next_round,
            stopped: None,
            cost: AppendCost { bytes: 0, sync: None },
        }
    }

    /// The segment that is being written.
    pub(super) fn segment(&self) -> u64 {
        self.segment
    }

    /// Fails if writing has stopped.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        match &self.stopped {
            Some(why) => Err(JournalError::Stopped { what: why.clone(), source: None }),
            None => Ok(()),
        }
    }

    /// Whether a round with this many bytes of records belongs in the next segment. One that no segment can hold
    /// goes where it is if it comes first there.
    pub(super) fn is_full_for(&self, records_bytes: usize) -> bool {
        self.tail > DATA_START as u64 && self.tail + round::total_bytes(records_bytes) as u64 > self.capacity
    }

    /// Goes on in the next segment, and has the one after it made ready.
    pub(super) fn roll(&mut self) -> Result<Arc<dyn File>, JournalError> {
        let number = self.segment + 1;
        let taken = self.preparer.take(number).and_then(|file| Ok((file.len()?, file)));
        let (capacity, file) = match taken {
            Ok(taken) => taken,
            // Nothing was written, so nothing is in doubt: the same round may be tried again.
            Err(error) if lacks_descriptors(&error) => {
                let what = format!("segment {number} could not be made: there are no file descriptors left");
                return Err(unavailable(what, error));
            }
            Err(error) => return Err(self.stop(format!("segment {number} could not be made"), error)),
        };
        self.file = Arc::clone(&file);
        (self.segment, self.tail, self.capacity) = (number, DATA_START as u64, capacity);
        self.preparer.want(number + 1);
        Ok(file)
    }

    /// Completes the round in `buffer` (begun, and filled with `records` records), writes it and syncs.
    pub(super) fn write(
        &mut self,
        buffer: &mut Vec<u8>,
        records: usize,
    ) -> Result<RoundPosition, JournalError> {
        let (segment, start, number) = (self.segment, self.tail, self.next_round);
        if round::seal(buffer, start, number, records).is_none() {
            return Err(self.stop(format!("round {number} is too large"), io::ErrorKind::FileTooLarge.into()));
        }
        let end = start + buffer.len() as u64;
        let written = self.file.write_all_at(buffer, start);
        written.map_err(|error| self.stop(format!("round {number} could not be written"), error))?;
        let began = Instant::now();
        let synced = self.file.sync_data();
        self.cost.bytes += buffer.len() as u64;
        self.cost.sync = Some(self.cost.sync.unwrap_or_default() + began.elapsed());
        synced.map_err(|error| self.stop(format!("round {number} could not be synced"), error))?;
        self.tail = end;
        self.next_round += 1;
        Ok(RoundPosition { segment, start, end })
    }

    /// Stops writing for good.
    pub(super) fn stop(&mut self, what: String, error: io::Error) -> JournalError {
        tracing::error!(segment = self.segment, offset = self.tail, %error, "the journal has stopped: {what}");
        self.stopped = Some(format!("{what}: {error}"));
        JournalError::Stopped { what, source: Some(Box::new(error)) }
    }
}
