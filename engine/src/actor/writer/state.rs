//! What everybody may know of the writer: whether the journal can be written, what it has written; and the gate behind which
//! actors wait for the next round. Never writes anything itself.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::actor::address::ActorAddress;
use crate::actor::admission::Overloaded;
use crate::journal::OnSeenRound;
use crate::meters::Meters;

/// Whether the journal can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It can.
    Writing,
    /// Not at the moment; the writer keeps trying.
    Stalled {
        /// What the journal said.
        reason: String,
        /// For how long.
        since: Duration,
    },
    /// Not any more, until the process is restarted.
    Stopped {
        /// What the journal said.
        reason: String,
    },
}

pub(super) const WRITING: u8 = 0;
pub(super) const STALLED: u8 = 1;
pub(super) const STOPPED: u8 = 2;

/// What everybody may know of the writer.
pub struct WriterState {
    pub(super) condition: AtomicU8,
    reason: RwLock<(String, Instant)>,
    pub(super) rounds: AtomicU64,
    pub(super) events: AtomicU64,
    gate: Mutex<Gate>,
    stalls: AtomicU64,
    pub(super) meters: Meters,
    /// Who wants to hear of rounds that traced requests wait for.
    pub(super) on_seen: OnceLock<OnSeenRound>,
}

/// Between the rounds' beginnings, actors need not run: whatever they decide waits for the next round anyway. While
/// the gate is closed, the actors of flights whose queue has filled are noted here and woken together, once, for the next round.
#[derive(Default)]
struct Gate {
    is_closed: bool,
    waiting: Vec<Arc<ActorAddress>>,
}

impl Default for WriterState {
    fn default() -> Self {
        Self {
            condition: AtomicU8::new(WRITING),
            reason: RwLock::new((String::new(), Instant::now())),
            rounds: AtomicU64::new(0),
            events: AtomicU64::new(0),
            gate: Mutex::default(),
            stalls: AtomicU64::new(0),
            meters: Meters::new(),
            on_seen: OnceLock::new(),
        }
    }
}

impl WriterState {
    /// Whether new work makes sense.
    pub(crate) fn admit(&self) -> Result<(), Overloaded> {
        match self.condition.load(Ordering::Acquire) {
            WRITING => Ok(()),
            STALLED => Err(Overloaded {
                retry_after_seconds: 1,
                reason: "the journal cannot be written at the moment, so nothing can be promised",
            }),
            _ => Err(Overloaded {
                retry_after_seconds: 30,
                reason: "the journal has failed and this server has stopped selling",
            }),
        }
    }

    /// Notes an actor that has work; `false` if it may as well be woken now.
    pub(crate) fn wakes_later(&self, actor: &Arc<ActorAddress>) -> bool {
        let mut gate = self.gate.lock();
        if gate.is_closed {
            gate.waiting.push(actor.clone());
        }
        gate.is_closed
    }

    pub(super) fn close_gate(&self) {
        self.gate.lock().is_closed = true;
    }

    /// Wakes the actors that were noted; says how many.
    pub(super) fn open_gate(&self) -> usize {
        let waiting = {
            let mut gate = self.gate.lock();
            gate.is_closed = false;
            std::mem::take(&mut gate.waiting)
        };
        waiting.iter().for_each(|actor| actor.send_drain());
        waiting.len()
    }

    /// Whether the journal can be written.
    pub fn condition(&self) -> Condition {
        let condition = self.condition.load(Ordering::Acquire);
        let (reason, since) = self.reason.read().clone();
        match condition {
            WRITING => Condition::Writing,
            STALLED => Condition::Stalled { reason, since: since.elapsed() },
            _ => Condition::Stopped { reason },
        }
    }

    /// Rounds made durable since the start, and the events in them.
    pub fn written(&self) -> (u64, u64) {
        (self.rounds.load(Ordering::Relaxed), self.events.load(Ordering::Relaxed))
    }

    /// How often the journal could not be written for a while, since the start.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// Tells of rounds that traced requests wait for from now on; whoever came first hears of them.
    pub(crate) fn watch(&self, on_seen: OnSeenRound) {
        let _ = self.on_seen.set(on_seen);
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    pub(super) fn set(&self, condition: u8, reason: &str) {
        if self.condition.load(Ordering::Acquire) == condition {
            return;
        }
        if condition == STALLED {
            self.stalls.fetch_add(1, Ordering::Relaxed);
        }
        match condition {
            WRITING => tracing::info!("the journal can be written again"),
            STALLED => tracing::error!(reason, "the journal cannot be written: nothing is sold until it can"),
            _ => tracing::error!(reason, "the journal has failed: nothing is sold until a restart"),
        }
        *self.reason.write() = (reason.to_owned(), Instant::now());
        self.condition.store(condition, Ordering::Release);
    }
}
