//! The queue in front of the writer: what actors hand over after their turns, in the order in which they do.
//! Never looks into what waits in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::delivery::Delivery;
use super::round::Round;
use super::state::WriterState;
use crate::actor::message::PendingReply;
use crate::actor::shared::FlightShared;
use crate::actor::stamps::Traced;
use crate::actor::view::FlightView;
use crate::flight::{Epoch, Recorded, Seq};

/// What an actor hands over after a turn.
pub(crate) struct Submission {
    pub(crate) flight: Arc<FlightShared>,
    /// Under which the events and the answers were decided.
    pub(crate) epoch: Epoch,
    /// What the turn recorded, by rising seq; may be none.
    pub(crate) events: Vec<Recorded>,
    /// The flight's last event by then, of these or of earlier ones: what the answers were decided on top of.
    pub(crate) after: Seq,
    /// Answers that wait for these events, or for earlier ones.
    pub(crate) replies: Vec<PendingReply>,
    /// The flight after these events.
    pub(crate) view: Option<Arc<FlightView>>,
    /// Those of the requests behind the answers that are traced.
    pub(crate) traced: Traced,
}

pub(super) enum Item {
    /// With the time at which it was decided.
    Submission(Submission, Instant),
    /// Several that must be in one round.
    Together(Vec<Submission>, Instant),
    Barrier(oneshot::Sender<()>),
    Stop,
}

impl Item {
    /// Whether it can be in this round.
    pub(super) fn fits(&self, round: &Round) -> bool {
        match self {
            Self::Submission(submission, _) => round.takes(submission),
            Self::Together(submissions, _) => submissions.iter().all(|submission| round.takes(submission)),
            Self::Barrier(_) | Self::Stop => true,
        }
    }
}

/// What waits for a round.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) items: Mutex<VecDeque<Item>>,
    pub(super) filled: Condvar,
    /// How many items the writer waits for; read and written under the lock of `items`.
    pub(super) enough: AtomicUsize,
}

/// The way to the writer; cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) delivery: Delivery,
    pub(super) state: Arc<WriterState>,
}

impl Writer {
    pub(crate) fn submit(&self, submission: Submission) {
        self.push(Item::Submission(submission, Instant::now()));
    }

    /// Submits what must be in one round, so that a journal which takes a round as a whole keeps all of it or none.
    pub(crate) fn submit_together(&self, submissions: Vec<Submission>) {
        self.push(Item::Together(submissions, Instant::now()));
    }

    /// Sends replies that wait for nothing.
    pub(crate) fn deliver(&self, replies: Vec<PendingReply>) {
        self.delivery.deliver(replies);
    }

    /// Waits until everything submitted before is durable (or never will be).
    pub(crate) async fn barrier(&self) {
        let (done, passed) = oneshot::channel();
        self.push(Item::Barrier(done));
        let _ = passed.await;
    }

    /// Turns that wait for a round.
    pub(crate) fn queued(&self) -> usize {
        self.queue.items.lock().len()
    }

    /// Ends the thread after everything submitted before.
    pub(crate) fn stop(&self) {
        self.push(Item::Stop);
    }

    pub(crate) fn state(&self) -> &Arc<WriterState> {
        &self.state
    }

    fn push(&self, item: Item) {
        let mut items = self.queue.items.lock();
        items.push_back(item);
        let enough = self.queue.enough.load(Ordering::Relaxed);
        if items.len() == 1 || items.len() == enough {
            self.queue.filled.notify_one();
        }
    }
}
