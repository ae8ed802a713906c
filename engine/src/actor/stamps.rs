//! When a request reached each step of its way, for those few requests that are traced.
//! Never there for the others: they carry `None`, and pay for one look at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::journal::SpanRef;

/// A step of a request's way through the actor and the journal, in the order in which they are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Step {
    /// It is in its flight's queue.
    Queued,
    /// The actor has taken it.
    Taken,
    /// The flight has decided.
    Decided,
    /// The round that its answer waits for begins to be appended.
    AppendBegan,
    /// That round is durable.
    AppendEnded,
    /// Its answer is on its way to whoever waits.
    Sent,
}

const STEPS: usize = Step::Sent as usize + 1;

/// One request's times. Written by the threads it passes through, read by whoever made it, at any time.
#[derive(Debug)]
pub struct Stamps {
    origin: Instant,
    /// Nanoseconds since `origin`, plus one; 0: not reached.
    marks: [AtomicU64; STEPS],
    round_events: AtomicU32,
    span: SpanRef,
}

impl Stamps {
    /// No step is reached yet; times count from `origin`. `span` is the request's own.
    pub fn new(origin: Instant, span: SpanRef) -> Self {
        Self { origin, marks: Default::default(), round_events: AtomicU32::new(0), span }
    }

    /// The request's own span.
    pub fn span(&self) -> SpanRef {
        self.span
    }

    /// How long after `origin` the step was reached; `None` if it was not.
    pub fn at(&self, step: Step) -> Option<Duration> {
        let nanos = self.marks[step as usize].load(Ordering::Acquire).checked_sub(1)?;
        Some(Duration::from_nanos(nanos))
    }

    /// How many events the round had that the answer waited for; 0 if it waited for none.
    pub fn round_events(&self) -> u32 {
        self.round_events.load(Ordering::Acquire)
    }

    pub(crate) fn mark(&self, step: Step) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.marks[step as usize].store(nanos + 1, Ordering::Release);
    }
}

/// The traced requests that wait for the same round; hardly ever any.
#[derive(Debug, Default)]
pub(crate) struct Traced(Vec<Arc<Stamps>>);

impl Traced {
    pub(crate) fn add(&mut self, stamps: &Arc<Stamps>) {
        self.0.push(stamps.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = SpanRef> + '_ {
        self.0.iter().map(|stamps| stamps.span)
    }

    pub(crate) fn append_began(&self) {
        self.0.iter().for_each(|stamps| stamps.mark(Step::AppendBegan));
    }

    pub(crate) fn append_ended(&self, round_events: usize) {
        let round_events = u32::try_from(round_events).unwrap_or(u32::MAX);
        for stamps in &self.0 {
            stamps.round_events.store(round_events, Ordering::Release);
            stamps.mark(Step::AppendEnded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_a_time_once_it_is_reached() {
        let span = SpanRef { trace: 1, span: 2 };
        let stamps = Arc::new(Stamps::new(Instant::now(), span));
        assert_eq!(stamps.at(Step::Queued), None);
        stamps.mark(Step::Queued);
        let mut traced = Traced::default();
        traced.add(&stamps);
        traced.append_began();
        traced.append_ended(7);
        let times = [Step::Queued, Step::AppendBegan, Step::AppendEnded].map(|step| stamps.at(step));
        assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{times:?}");
        assert_eq!((stamps.at(Step::Sent), stamps.round_events()), (None, 7));
    }
}
