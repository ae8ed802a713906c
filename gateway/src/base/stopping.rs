//! Whether the server has been told to stop, for everybody who goes on until then.
//! Never stops anything itself.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, when the server stops.
#[derive(Debug, Default)]
pub struct Stopping(AtomicBool);

impl Stopping {
    /// Says that the server stops.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
