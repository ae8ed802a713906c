//! The task that follows one flight and writes what changes, once for all readers.
//! Never knows who reads.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::Timestamp;
use tokio::time::Instant;

use super::Live;
use super::hub::Hub;

/// How often a quiet stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a flight is followed on after its last reader left, who may come back and want what it missed.
const UNREAD_MAX: Duration = Duration::from_secs(30);

/// How often a quiet stream looks whether the flight is still known to be here, where others may claim it.
const OWNERSHIP_LOOK: Duration = Duration::from_millis(250);

/// So many readers are woken at once; more of them group by group.
const AT_ONCE_MAX: u64 = 500;

pub(super) struct Encoder {
    live: Arc<Live>,
    hub: Arc<Hub>,
}

impl Encoder {
    pub(super) fn new(live: Arc<Live>, hub: Arc<Hub>) -> Self {
        Self { live, hub }
    }

    /// Follows the flight until it is not served here any more, nobody reads, or the server stops.
    pub(super) async fn run(self) {
        let (live, hub) = (&self.live, &self.hub);
        let (mut last_sent, mut last_read) = (Instant::now(), Instant::now());
        loop {
            // Listens before it looks, so that it misses nothing.
            let changed = pin!(hub.flight().changed());
            let stopping = pin!(live.stop.begun());
            if live.stop.has_begun() || !hub.flight().is_here() || !live.ownership.is_certain() {
                return;
            }
            let Some(now) = live.now() else { return };
            if hub.look(now) {
                last_sent = Instant::now();
                if hub.readers() <= AT_ONCE_MAX {
                    hub.wake_all();
                    tokio::select! {
                        () = tokio::time::sleep(live.pause()) => {}
                        () = stopping => {}
                    }
                } else {
                    tokio::select! {
                        () = hub.wake_within(live.pause()) => {}
                        () = stopping => hub.wake_all(),
                    }
                }
                continue;
            }
            if last_sent.elapsed() >= HEARTBEAT {
                last_sent = Instant::now();
                hub.beat();
            }
            if hub.readers() > 0 {
                last_read = Instant::now();
            } else if last_read.elapsed() >= UNREAD_MAX && live.leave_unread(hub) {
                return;
            }
            let mut wake_at = last_sent + HEARTBEAT;
            if live.ownership.is_shared() {
                wake_at = wake_at.min(Instant::now() + OWNERSHIP_LOOK);
            }
            let wake_at =
                hub.next_sale_change(now).map_or(wake_at, |at| wake_at.min(Instant::now() + until(at, now)));
            tokio::select! {
                () = changed => {}
                () = stopping => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }
}

/// However the task ends, by a panic too, its readers must not wait for ever.
impl Drop for Encoder {
    fn drop(&mut self) {
        self.live.end(&self.hub);
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    let millis = at.as_millis().saturating_sub(now.as_millis()).max(1);
    Duration::from_millis(millis.unsigned_abs())
}
