//! The way of replies back to those who wait for them.
//! Never holds one back: whoever hands it over knows that it may leave.

use tokio::sync::mpsc;

use crate::actor::message::PendingReply;

/// Hands replies to a task of the runtime on which they are waited for: one wake-up from outside for all of them.
#[derive(Clone)]
pub(crate) struct Delivery(pub(super) mpsc::UnboundedSender<Vec<PendingReply>>);

impl Delivery {
    /// Delivery by a task on `runtime`. What waits in its channel is bounded by the permits the replies hold.
    pub(crate) fn on(runtime: &tokio::runtime::Handle) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<PendingReply>>();
        runtime.spawn(async move {
            while let Some(replies) = receiver.recv().await {
                replies.into_iter().for_each(PendingReply::send);
            }
        });
        Self(sender)
    }

    pub(super) fn deliver(&self, replies: Vec<PendingReply>) {
        if !replies.is_empty() {
            // Without a runtime nobody waits any more.
            let _ = self.0.send(replies);
        }
    }
}
