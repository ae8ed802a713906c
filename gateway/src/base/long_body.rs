//! A response's body that goes on for as long as somebody reads it: how its maker and its connection know of one
//! another. Never carries any of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The mark of such a response, put into its extensions. The body keeps a clone and says with it that it was read
/// from; the connection then does not take the silence of the client for idleness, and gives up a client that reads
/// nothing for too long. The body has ended once the clone is gone.
#[derive(Debug, Clone, Default)]
pub struct LongBody(Arc<AtomicBool>);

impl LongBody {
    /// The client has taken something of the body.
    pub fn was_read(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nobody but the caller has it any more.
    pub fn has_ended(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether it was read from since this was last asked.
    pub fn take_read(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
