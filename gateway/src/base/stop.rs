//! The word to stop, between those who give it and those who hear it.
//! Never stops anything itself.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The word to stop, given once and heard by all. A flag beside the wake-up, because connections look at it often.
#[derive(Debug, Default)]
pub struct Stop {
    announced: AtomicBool,
    has_begun: AtomicBool,
    heard: Notify,
}

impl Stop {
    /// Says that it is going to be given: from now on every answer asks its client for another connection, so that few
    /// are in use once it is.
    pub fn announce(&self) {
        self.announced.store(true, Ordering::Relaxed);
    }

    /// Whether it was said that it is going to be given.
    pub fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Relaxed)
    }

    /// Gives the word.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        self.heard.notify_waiters();
    }

    /// The wake-up that comes with the word.
    pub fn word(&self) -> Notified<'_> {
        self.heard.notified()
    }

    /// Whether it was given.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Waits for it.
    pub async fn begun(&self) {
        let mut heard = std::pin::pin!(self.heard.notified());
        // In the list before the flag is looked at, so that no word is missed.
        heard.as_mut().enable();
        if !self.has_begun() {
            heard.await;
        }
    }
}
