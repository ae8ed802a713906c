//! One round: the batches that are appended together, and what becomes visible once they are durable.
//! Never puts two owners of a flight, or a hole, into one batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::delivery::Delivery;
use super::queue::Submission;
use crate::actor::message::PendingReply;
use crate::actor::shared::FlightShared;
use crate::actor::stamps::Traced;
use crate::actor::view::FlightView;
use crate::flight::{Epoch, FlightId, Seq};
use crate::journal::Batch;

/// What becomes visible once a batch is durable.
pub(super) struct Waiting {
    pub(super) flight: Arc<FlightShared>,
    pub(super) epoch: Epoch,
    pub(super) after: Seq,
    pub(super) view: Option<Arc<FlightView>>,
    pub(super) replies: Vec<PendingReply>,
}

impl Waiting {
    pub(super) fn publish(self, delivery: &Delivery) {
        let replies = self.publish_view();
        delivery.deliver(replies);
    }

    /// Gives back the replies, to be sent now.
    pub(super) fn publish_view(self) -> Vec<PendingReply> {
        if let Some(view) = self.view {
            self.flight.publish(view, self.epoch);
        }
        self.replies
    }
}

/// One round: the batches, and beside each what waits for it. A flight without new events has replies only: they wait for
/// batches of earlier rounds, whose fate they share.
#[derive(Default)]
pub(super) struct Round {
    pub(super) batches: Vec<Batch>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) replies_only: Vec<Waiting>,
    places: HashMap<FlightId, usize, foldhash::fast::RandomState>,
    pub(super) barriers: Vec<oneshot::Sender<()>>,
    /// Those that are traced: of which flight, and up to which event; hardly ever any.
    pub(super) traced: Vec<(FlightId, Seq, Traced)>,
    /// How often it was sent to the journal.
    pub(super) attempts: u32,
    /// When the oldest of what is in it was decided.
    pub(super) decided: Option<Instant>,
    pub(super) events: usize,
    pub(super) stop: bool,
}

impl Round {
    /// Whether it can be in this round: of one flight, that is what goes on under the same epoch, without a hole.
    pub(super) fn takes(&self, submission: &Submission) -> bool {
        let Some(batch) = self.places.get(&submission.flight.flight_id).map(|place| &self.batches[*place])
        else {
            return true;
        };
        let follows = submission.events.first().is_none_or(|first| first.seq == batch.last_seq().next());
        batch.epoch == submission.epoch && follows
    }

    /// The caller knows that the round takes it.
    pub(super) fn add(&mut self, submission: Submission) {
        let Submission { flight, epoch, events, after, replies, view, traced } = submission;
        if !traced.is_empty() {
            let seq = if events.is_empty() { Seq(0) } else { after };
            self.traced.push((flight.flight_id.clone(), seq, traced));
        }
        let place = self.places.get(&flight.flight_id).copied();
        if let Some(place) = place {
            self.events += events.len();
            self.batches[place].events.extend(events);
            let waiting = &mut self.waiting[place];
            waiting.replies.extend(replies);
            waiting.after = after;
            if view.is_some() {
                waiting.view = view;
            }
            return;
        }
        if events.is_empty() {
            self.replies_only.push(Waiting { flight, epoch, after, view, replies });
            return;
        }
        self.events += events.len();
        self.places.insert(flight.flight_id.clone(), self.batches.len());
        self.batches.push(Batch { flight_id: flight.flight_id.clone(), epoch, events });
        self.waiting.push(Waiting { flight, epoch, after, view, replies });
    }

    pub(super) fn replies(&self) -> usize {
        self.replies_only.iter().chain(&self.waiting).map(|waiting| waiting.replies.len()).sum()
    }

    /// Takes a flight's batch and what waits for it out of the round.
    pub(super) fn leave_out(&mut self, flight_id: &FlightId) -> Option<Waiting> {
        let place = self.batches.iter().position(|batch| batch.flight_id == *flight_id)?;
        self.events -= self.batches.remove(place).events.len();
        Some(self.waiting.remove(place))
    }
}
