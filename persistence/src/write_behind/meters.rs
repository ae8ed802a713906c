//! What the write-behind measures of itself: its flushes.
//! Never costs a look-up by name (handles are made once), and nothing is kept without a recorder.

use std::time::Duration;

use farerush_engine::meters::{Measure, Scale};
use metrics::Histogram;

const FLUSH: Measure = Measure {
    name: "farerush_store_flush_seconds",
    help: "How long the store took to commit a flush; failed attempts count too.",
    scale: Scale::Wait,
};
const FLUSH_EVENTS: Measure = Measure {
    name: "farerush_store_flush_events",
    help: "Events in one flush that was committed.",
    scale: Scale::Count,
};

/// All histograms of this crate.
pub const MEASURES: &[Measure] = &[FLUSH, FLUSH_EVENTS];

/// The handles. They belong to the recorder that is in force where they are made.
pub(super) struct Meters {
    flush: Histogram,
    flush_events: Histogram,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self { flush: metrics::histogram!(FLUSH.name), flush_events: metrics::histogram!(FLUSH_EVENTS.name) }
    }

    /// A flush was tried; `events` if it was committed.
    pub(super) fn flushed(&self, took: Duration, events: Option<usize>) {
        self.flush.record(took);
        if let Some(events) = events {
            self.flush_events.record(f64::from(u32::try_from(events).unwrap_or(u32::MAX)));
        }
    }
}
