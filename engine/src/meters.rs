//! What this crate measures of itself: a few histograms, recorded once a turn and once a round.
//! Never costs a look-up by name (handles are made once), and nothing is kept without a recorder.

use std::time::{Duration, Instant};

use metrics::Histogram;

/// A histogram as it is announced.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What its buckets have to span.
    pub scale: Scale,
}

/// What a histogram's buckets have to span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Seconds, from a microsecond on: work in memory.
    Work,
    /// Seconds, from 50 microseconds on: whatever waits for others or for a disk.
    Wait,
    /// A number of things, without a unit.
    Count,
}

const QUEUE_WAIT: Measure = Measure {
    name: "farerush_queue_wait_seconds",
    help: "How long the oldest request of an actor's turn waited in its flight's queue until the turn began.",
    scale: Scale::Work,
};
const TURN: Measure = Measure {
    name: "farerush_turn_seconds",
    help: "How long an actor took to decide all that had queued, its view included.",
    scale: Scale::Work,
};
const TURN_REQUESTS: Measure = Measure {
    name: "farerush_turn_requests",
    help: "Requests decided in one turn of an actor.",
    scale: Scale::Count,
};
const COMMIT_WAIT: Measure = Measure {
    name: "farerush_journal_commit_wait_seconds",
    help: "How long the oldest decision of a round waited until it was durable.",
    scale: Scale::Wait,
};
const APPEND: Measure = Measure {
    name: "farerush_journal_append_seconds",
    help: "How long the journal took to append a round, the fsync included; failed attempts count too.",
    scale: Scale::Wait,
};
const ROUND_EVENTS: Measure =
    Measure { name: "farerush_journal_round_events", help: "Events in one round.", scale: Scale::Count };
const ROUND_REPLIES: Measure = Measure {
    name: "farerush_journal_round_replies",
    help: "Replies that waited for one round.",
    scale: Scale::Count,
};

/// All histograms of this crate.
pub const MEASURES: &[Measure] =
    &[QUEUE_WAIT, TURN, TURN_REQUESTS, COMMIT_WAIT, APPEND, ROUND_EVENTS, ROUND_REPLIES];

/// The handles. They belong to the recorder that is in force where they are made.
#[derive(Debug)]
pub(crate) struct Meters {
    began: Instant,
    queue_wait: Histogram,
    turn: Histogram,
    turn_requests: Histogram,
    commit_wait: Histogram,
    append: Histogram,
    round_events: Histogram,
    round_replies: Histogram,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            queue_wait: metrics::histogram!(QUEUE_WAIT.name),
            turn: metrics::histogram!(TURN.name),
            turn_requests: metrics::histogram!(TURN_REQUESTS.name),
            commit_wait: metrics::histogram!(COMMIT_WAIT.name),
            append: metrics::histogram!(APPEND.name),
            round_events: metrics::histogram!(ROUND_EVENTS.name),
            round_replies: metrics::histogram!(ROUND_REPLIES.name),
        }
    }

    /// Nanoseconds since the handles were made, never 0.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// A turn that decided so many requests has ended. `woken` is when the first of them was queued, by `nanos`; 0 if
    /// nobody noted it.
    pub(crate) fn turn(&self, began: Instant, woken: u64, requests: usize) {
        // Turns that only expire holds would make the others look short.
        if requests == 0 {
            return;
        }
        if woken > 0 {
            let waited = self.nanos(began).saturating_sub(woken);
            self.queue_wait.record(Duration::from_nanos(waited));
        }
        self.turn.record(began.elapsed());
        self.turn_requests.record(count(requests));
    }

    /// An attempt to append a round has ended.
    pub(crate) fn appended(&self, began: Instant) {
        self.append.record(began.elapsed());
    }

    /// A round is durable, the oldest decision in which is from `decided`.
    pub(crate) fn round(&self, decided: Instant, events: usize, replies: usize) {
        self.commit_wait.record(decided.elapsed());
        self.round_events.record(count(events));
        self.round_replies.record(count(replies));
    }
}

/// Exact up to 2^32, and no round or turn is that large.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
