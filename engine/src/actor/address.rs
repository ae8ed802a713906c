//! Where a flight's actor is woken: its address, and whether a wake-up is on its way already.
//! Never holds what the actor is woken for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::Recipient;
use parking_lot::RwLock;

use super::message::Signal;

/// The address of a flight's newest actor; there is none while the flight has no actor.
#[derive(Default)]
pub(crate) struct ActorAddress {
    /// A `Drain` is on its way to the actor.
    drain_sent: AtomicBool,
    /// When that was, by the meters' clock in nanoseconds; 0 once a turn has taken note of it.
    woken_at: AtomicU64,
    recipient: RwLock<Option<Recipient<Signal>>>,
}

impl ActorAddress {
    /// From now on an actor is reached here.
    pub(crate) fn set(&self, recipient: Recipient<Signal>) {
        *self.recipient.write() = Some(recipient);
    }

    /// Takes the actor's address away, so that nobody reaches it any more.
    pub(crate) fn take(&self) -> Option<Recipient<Signal>> {
        self.recipient.write().take()
    }

    /// Notes that the actor has to be woken, at the moment that `now` gives; `false` if a wake-up is on its way already.
    pub(crate) fn needs_drain(&self, now: impl FnOnce() -> u64) -> bool {
        if self.drain_sent.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.woken_at.store(now(), Ordering::Relaxed);
        true
    }

    /// Wakes the actor; `needs_drain` has been asked for it.
    pub(crate) fn send_drain(&self) {
        match &*self.recipient.read() {
            Some(recipient) => recipient.do_send(Signal::Drain),
            None => self.drain_sent.store(false, Ordering::Release),
        }
    }

    /// A turn begins: whoever has something for the actor from now on wakes it again.
    pub(crate) fn begin_turn(&self) {
        self.drain_sent.store(false, Ordering::Release);
    }

    /// When the actor was woken for the turn that begins, by the meters' clock in nanoseconds; 0 if it was not.
    pub(crate) fn take_woken_at(&self) -> u64 {
        self.woken_at.swap(0, Ordering::Relaxed)
    }
}
