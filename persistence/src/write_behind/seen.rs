//! What traced requests become of in the store: which of them a flush carries, and what it is told of itself.
//! Never there for a flush that nobody traces.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::actor::SpanRef;
use farerush_engine::flight::Seq;
use farerush_engine::journal::{Batch, Followed};

use crate::store::SeenStatement;

/// Most traced requests that are followed into the store at a time; beyond it the oldest is lost from sight.
const FOLLOWED_MAX: usize = 1_024;

/// A flush that carried events of traced requests.
#[derive(Debug, Clone)]
pub struct SeenFlush {
    /// What kind of database the store is.
    pub system: &'static str,
    /// When its first attempt began.
    pub began: Instant,
    /// How long it took, all attempts together.
    pub took: Duration,
    /// Attempts; more than one if the store was away meanwhile.
    pub attempts: u32,
    /// Flights whose events it carried.
    pub flights: usize,
    /// Events that it carried.
    pub events: usize,
    /// Why it did not come about, if so.
    pub error: Option<String>,
    /// Its statements, the first ones of them.
    pub statements: Vec<SeenStatement>,
    /// The traced requests whose events it carried, at least one.
    pub followed: Vec<SpanRef>,
}

/// Who wants to hear of such flushes; called on the write-behind's task, must not block.
#[derive(Clone)]
pub struct OnSeenFlush(pub Arc<dyn Fn(SeenFlush) + Send + Sync>);

impl fmt::Debug for OnSeenFlush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSeenFlush")
    }
}

/// Traced requests whose events are not stored yet, as far as known.
#[derive(Debug, Default)]
pub(super) struct FollowedRequests(VecDeque<Followed>);

impl FollowedRequests {
    pub(super) fn add(&mut self, followed: impl IntoIterator<Item = Followed>) {
        for followed in followed.into_iter().filter(|followed| followed.seq > Seq(0)) {
            if self.0.len() >= FOLLOWED_MAX {
                self.0.pop_front();
            }
            self.0.push_back(followed);
        }
    }

    /// Takes those whose events are in these batches.
    pub(super) fn take_in(&mut self, batches: &[Batch]) -> Vec<SpanRef> {
        let mut taken = Vec::new();
        if self.0.is_empty() {
            return taken;
        }
        self.0.retain(|followed| {
            let has_it = |batch: &Batch| {
                batch.flight_id == followed.flight_id
                    && (batch.first_seq()..=batch.last_seq()).contains(&followed.seq)
            };
            let is_in = batches.iter().any(has_it);
            if is_in {
                taken.push(followed.span);
            }
            !is_in
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use farerush_engine::flight::{Epoch, Event, FlightId, Recorded, SalePolicy, SaleSwitch, Timestamp};

    use super::*;

    fn followed(flight: &str, seq: u64) -> Followed {
        let span = SpanRef { trace: u128::from(seq), span: seq };
        Followed { flight_id: FlightId::new(flight).unwrap(), seq: Seq(seq), span }
    }

    fn batch(flight: &str, first: u64, last: u64) -> Batch {
        let event = |seq| Recorded {
            seq: Seq(seq),
            at: Timestamp::from_millis(0),
            event: Event::SaleSwitched { switch: SaleSwitch::Open, policy: SalePolicy::default() },
            cause: None,
            head: None,
        };
        let events = (first..=last).map(event).collect();
        Batch { flight_id: FlightId::new(flight).unwrap(), epoch: Epoch(1), events }
    }

    #[test]
    fn a_flush_has_the_requests_whose_events_it_carries_and_no_others() {
        let mut all = FollowedRequests::default();
        all.add([followed("A", 3), followed("A", 7), followed("B", 3), followed("A", 0)]);
        let spans = |taken: Vec<SpanRef>| taken.iter().map(|span| span.span).collect::<Vec<_>>();
        assert_eq!(spans(all.take_in(&[batch("A", 2, 6), batch("C", 3, 3)])), [3]);
        assert_eq!(spans(all.take_in(&[batch("A", 2, 6)])), [] as [u64; 0]);
        assert_eq!(spans(all.take_in(&[batch("A", 7, 9), batch("B", 1, 5)])), [7, 3]);
        all.add((1..=2 * FOLLOWED_MAX as u64).map(|seq| followed("A", seq)));
        assert_eq!(all.0.len(), FOLLOWED_MAX);
        assert_eq!(all.0[0].seq, Seq(FOLLOWED_MAX as u64 + 1), "the oldest are lost from sight");
    }
}
