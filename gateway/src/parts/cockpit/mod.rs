//! The cockpit: what the server did in each of the last seconds, for the admin's charts.
//! Never counts anything itself: once a second it reads what is counted anyway and keeps the difference.

mod sample;
mod together;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::flight::Timestamp;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::parts::figures::Figures;

use sample::Look;
pub use sample::Sample;
pub(crate) use sample::write_quantiles;
pub use together::{read, together};

/// How often a sample is taken, in milliseconds.
pub const SAMPLE_EVERY_MS: u64 = 1000;
/// Samples that are kept: those of ten minutes.
pub const SAMPLES_MAX: usize = 600;

/// The samples of the last minutes.
#[derive(Debug, Default)]
pub struct Cockpit {
    samples: Mutex<VecDeque<Arc<Sample>>>,
}

impl Cockpit {
    /// Takes a sample of the figures a second until they are gone, off the threads that answer grabs.
    pub async fn watch(self: Arc<Self>, figures: Weak<Figures>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(SAMPLE_EVERY_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last: Option<Look> = None;
        loop {
            ticks.tick().await;
            let Some(figures) = figures.upgrade() else { return };
            let cockpit = self.clone();
            let looking = tokio::task::spawn_blocking(move || {
                let look = Look::at(&figures);
                if let Some(last) = last {
                    cockpit.keep(look.since(&last));
                }
                look
            });
            // A look that failed is a gap in the charts, and nothing else.
            last = looking.await.ok();
        }
    }

    /// The samples taken after `since`, by rising time.
    pub fn since(&self, since: Option<Timestamp>) -> Vec<Arc<Sample>> {
        let samples = self.samples.lock();
        let first = since.map_or(0, |since| samples.partition_point(|sample| sample.at <= since));
        samples.iter().skip(first).cloned().collect()
    }

    fn keep(&self, sample: Sample) {
        let mut samples = self.samples.lock();
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Arc::new(sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_last_samples_are_kept_and_told_from_a_moment_on() {
        let cockpit = Cockpit::default();
        let count = i64::try_from(SAMPLES_MAX).unwrap() + 10;
        for second in 1..=count {
            cockpit.keep(Sample { at: at(second), ..Sample::default() });
        }
        let all = cockpit.since(None);
        assert_eq!((all.len(), all[0].at), (SAMPLES_MAX, at(11)));
        let newest: Vec<_> = cockpit.since(Some(at(count - 2))).iter().map(|sample| sample.at).collect();
        assert_eq!(newest, [at(count - 1), at(count)]);
        assert!(cockpit.since(Some(at(count))).is_empty());
        assert_eq!(cockpit.since(Some(at(0))).len(), SAMPLES_MAX);
    }
}
