//! How long it takes until the last live reader knows of a change: notes what was acknowledged and what was read, and
//! brings the two together at the end. Never asks for anything.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// What one flight's live readers were told, and when. Times are microseconds since the run's start.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Changes, by the number of their event: when the first answer told of them.
    acknowledged: Mutex<Vec<(u64, u64)>>,
    /// Texts, by the number of the last event in them.
    read: Mutex<HashMap<u64, Read>>,
}

#[derive(Debug, Clone, Copy)]
struct Read {
    last_us: u64,
    readers: u32,
}

/// From a change's acknowledgement until the last reader has read the text that tells of it, for each text the longest,
/// in microseconds.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub struct LastReader {
    /// Texts that told of changes of this run.
    pub texts: u64,
    /// Readers of a text, on average.
    pub readers_mean: u64,
    /// Half of the texts took less.
    pub p50_us: u64,
    /// 99 of 100 took less.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Deliveries {
    /// An answer told of the change that event `seq` is.
    pub fn acknowledged(&self, seq: u64, at_us: u64) {
        self.acknowledged.lock().push((seq, at_us));
    }

    /// A reader has read a text that brings it up to event `seq`.
    pub fn read(&self, seq: u64, at_us: u64) {
        let mut texts = self.read.lock();
        let read = texts.entry(seq).or_insert(Read { last_us: at_us, readers: 0 });
        read.last_us = read.last_us.max(at_us);
        read.readers += 1;
    }

    /// Adds what became of the changes that were acknowledged from `from_us` on; gives how often a text was read.
    fn add(&self, from_us: u64, delays: &mut Histogram<u64>) -> u64 {
        let mut acknowledged = self.acknowledged.lock().clone();
        acknowledged.sort_unstable();
        let texts: BTreeMap<u64, Read> = self.read.lock().iter().map(|(seq, read)| (*seq, *read)).collect();
        let (mut next, mut readings) = (0, 0);
        for (seq, read) in texts {
            let its = acknowledged[next..].partition_point(|(change, _)| *change <= seq);
            let oldest = acknowledged[next..next + its].iter().map(|(_, at_us)| *at_us).min();
            next += its;
            if let Some(at_us) = oldest.filter(|at_us| *at_us >= from_us) {
                // A reader may even be faster than the one who asked. The histogram grows as it needs to.
                let _ = delays.record(read.last_us.saturating_sub(at_us));
                readings += u64::from(read.readers);
            }
        }
        readings
    }
}

/// All flights' together; `None` if no reader was told of any change.
pub fn last_reader<'a>(flights: impl Iterator<Item = &'a Deliveries>, from_us: u64) -> Option<LastReader> {
    let mut delays = Histogram::new(3).ok()?;
    let readings: u64 = flights.map(|flight| flight.add(from_us, &mut delays)).sum();
    let texts = delays.len();
    (texts > 0).then(|| LastReader {
        texts,
        readers_mean: readings / texts,
        p50_us: delays.value_at_quantile(0.5),
        p99_us: delays.value_at_quantile(0.99),
        max_us: delays.max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_s_delay_is_that_of_its_oldest_change_and_last_reader() {
        let flight = Deliveries::default();
        for (seq, at_us) in [(3, 1_200), (2, 1_000), (4, 2_000), (9, 9_000)] {
            flight.acknowledged(seq, at_us);
        }
        // Up to 3 in one text, 4 in another, 9 was never read.
        for (seq, at_us) in [(3, 1_300), (3, 1_700), (4, 2_050), (3, 1_500), (4, 1_990)] {
            flight.read(seq, at_us);
        }
        let seen = last_reader([&flight].into_iter(), 0).unwrap();
        assert_eq!((seen.texts, seen.readers_mean, seen.p50_us, seen.max_us), (2, 2, 50, 700));
        let later = last_reader([&flight].into_iter(), 1_100).unwrap();
        assert_eq!((later.texts, later.max_us), (1, 50));
        assert_eq!(last_reader([&flight].into_iter(), 5_000), None);
    }
}
