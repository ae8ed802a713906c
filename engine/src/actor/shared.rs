//! What the handle, the actor and the writer share of a flight: its queue, its view, how far it has come, and whether it
//! takes requests. Never touches a seat: the actor does.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::address::ActorAddress;
use super::admission::Gauge;
use super::board::Board;
use super::message::{Answer, Request};
use super::view::FlightView;
use super::writer::state::WriterState;
use crate::flight::{Epoch, FlightId, Seq};

/// Whether a flight takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// It does.
    Serving = 0,
    /// Its creation is not durable yet.
    Creating = 1,
    /// Its actor is being recovered.
    Recovering = 2,
    /// Another process owns it.
    Fenced = 3,
    /// It is stopped, because something that must hold did not, or because it could not be recovered.
    Quarantined = 4,
    /// It takes no more, decides what it has taken, and is another process's after that.
    Leaving = 5,
}

impl Standing {
    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Serving,
            1 => Self::Creating,
            2 => Self::Recovering,
            3 => Self::Fenced,
            5 => Self::Leaving,
            _ => Self::Quarantined,
        }
    }
}

/// What the handle, the actor and the writer share of a flight.
pub(crate) struct FlightShared {
    pub(crate) flight_id: FlightId,
    pub(crate) view: ArcSwap<FlightView>,
    /// Under which epoch the view was decided, and up to which event.
    published: Mutex<(Epoch, Seq)>,
    /// Wakes whoever follows the view, or waits for the flight to leave. Costs next to nothing while nobody does.
    pub(super) changed: Notify,
    pub(crate) queue: SegQueue<Request>,
    /// Where its actor is woken.
    pub(crate) actor: Arc<ActorAddress>,
    /// Counts the actors the flight has had. An actor that is not the newest decides nothing, whatever wakes it.
    generation: AtomicU64,
    standing: AtomicU8,
    /// Held while standing and epoch change together: who ends an older owner must not end a newer one.
    changing: Mutex<()>,
    pub(crate) quarantine_reason: RwLock<String>,
    pub(crate) seq: AtomicU64,
    pub(crate) durable_seq: AtomicU64,
    pub(crate) stored_seq: AtomicU64,
    /// Whether it is noted that the store lacks events that are durable.
    pub(crate) noted_behind: AtomicBool,
    /// The board that it stands on.
    pub(crate) board: OnceLock<Weak<Board>>,
    epoch: AtomicU64,
    /// The newest epoch of which a batch was not taken by the journal: what was decided on top of that never happened.
    lost_epoch: AtomicU64,
    /// The epoch under which the journal refused the flight's events, so that it was stopped; 0: it never did.
    refused_epoch: AtomicU64,
    pub(crate) holds: AtomicU64,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) overall: Arc<Gauge>,
    pub(crate) writer: Arc<WriterState>,
}

impl FlightShared {
    pub(crate) fn standing(&self) -> Standing {
        Standing::from_u8(self.standing.load(Ordering::Acquire))
    }

    pub(crate) fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Release);
        self.changed.notify_waiters();
        self.note_on_board();
    }

    /// Shows a view to everybody; the caller knows that it is durable. One that is older than what is shown changes
    /// nothing. A newer epoch goes before a larger seq: what it starts from is what there is.
    pub(crate) fn publish(&self, view: Arc<FlightView>, epoch: Epoch) {
        let listed_otherwise;
        {
            let mut published = self.published.lock();
            if (epoch, view.seq) <= *published {
                return;
            }
            *published = (epoch, view.seq);
            let before = self.view.load();
            listed_otherwise = before.sale != view.sale || !Arc::ptr_eq(&before.definition, &view.definition);
            drop(before);
            self.view.store(view);
        }
        self.changed.notify_waiters();
        if listed_otherwise {
            self.note_on_board();
        }
    }

    fn note_on_board(&self) {
        if let Some(board) = self.board.get().and_then(Weak::upgrade) {
            board.note(self);
        }
    }

    /// Whether the store lacks events that are durable.
    pub(crate) fn is_behind(&self) -> bool {
        self.stored_seq.load(Ordering::SeqCst) < self.durable_seq.load(Ordering::SeqCst)
    }

    /// Notes that the store lacks events that are durable, if it does.
    pub(crate) fn note_if_behind(&self) {
        if self.is_behind()
            && let Some(board) = self.board.get().and_then(Weak::upgrade)
        {
            board.note_behind(self);
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Whether the actor of this generation is the flight's newest.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// From now on no actor of before decides anything; one that is in the middle of a turn ends it.
    pub(crate) fn retire_actor(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets requests in, to be decided under `epoch` by an actor of the generation that is given back.
    pub(crate) fn serve_under(&self, epoch: Epoch, seq: Seq) -> u64 {
        let _one_at_a_time = self.changing.lock();
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.epoch.store(epoch.0, Ordering::Release);
        self.seq.store(seq.0, Ordering::Release);
        self.set_standing(Standing::Serving);
        generation
    }

    pub(crate) fn quarantine(&self, reason: String) {
        tracing::error!(flight_id = %self.flight_id, reason, "the flight is stopped, the others go on");
        *self.quarantine_reason.write() = reason;
        self.set_standing(Standing::Quarantined);
        self.discard_queue();
    }

    /// The journal refuses what was decided under `epoch`. A flight that was recovered here meanwhile under a newer one
    /// goes on.
    pub(crate) fn was_refused(&self, epoch: Epoch, reason: String) {
        let _one_at_a_time = self.changing.lock();
        self.lost_epoch.fetch_max(epoch.0, Ordering::AcqRel);
        if self.epoch() <= epoch {
            self.refused_epoch.store(self.epoch().0, Ordering::Release);
            self.quarantine(reason);
        }
    }

    /// Whether the flight is stopped because the journal refused its events, and not served again since.
    pub(crate) fn is_refused(&self) -> bool {
        self.standing() == Standing::Quarantined
            && self.refused_epoch.load(Ordering::Acquire) == self.epoch().0
    }

    /// A later owner has taken over, so nothing decided under `epoch` counts any more. A flight that was
    /// recovered here meanwhile under a newer epoch goes on.
    pub(crate) fn was_fenced(&self, epoch: Epoch) {
        let _one_at_a_time = self.changing.lock();
        self.lost_epoch.fetch_max(epoch.0, Ordering::AcqRel);
        if self.epoch() <= epoch {
            tracing::warn!(flight_id = %self.flight_id, %epoch, "another process owns the flight now");
            self.set_standing(Standing::Fenced);
            self.send_away();
        }
    }

    /// Takes no more requests; says whether it took any before.
    pub(crate) fn begin_to_leave(&self) -> bool {
        let _one_at_a_time = self.changing.lock();
        let is_served = self.standing() == Standing::Serving;
        if is_served {
            self.set_standing(Standing::Leaving);
            // Who takes a permit from now on sees that, or is seen by whoever counts permits after this.
            fence(Ordering::SeqCst);
        }
        is_served
    }

    /// Takes requests again, if it was about to leave.
    pub(crate) fn stay(&self) {
        let _one_at_a_time = self.changing.lock();
        if self.standing() == Standing::Leaving {
            self.set_standing(Standing::Serving);
        }
    }

    /// All that was decided is durable, and nothing more is: another process may have it. Says whether it was about to leave.
    pub(crate) fn leave(&self) -> bool {
        let _one_at_a_time = self.changing.lock();
        let leaves = self.standing() == Standing::Leaving;
        if leaves {
            self.set_standing(Standing::Fenced);
            self.send_away();
        }
        leaves
    }

    /// Tells all who are queued that the flight is another process's: of what they asked, nothing was done.
    pub(crate) fn send_away(&self) {
        // As where a queue is discarded.
        fence(Ordering::SeqCst);
        while let Some(request) = self.queue.pop() {
            // Whoever asked may have gone.
            let _ = request.reply.send(Answer::Moved);
        }
    }

    /// Notes how far the journal has the flight.
    pub(crate) fn note_durable(&self, epoch: Epoch, seq: Seq) {
        if self.epoch() == epoch {
            self.durable_seq.store(seq.0, Ordering::SeqCst);
            if !self.noted_behind.load(Ordering::SeqCst) {
                self.note_if_behind();
            }
        }
    }

    /// Whether all that was decided under `epoch`, up to and with this event, is durable.
    pub(crate) fn has(&self, epoch: Epoch, seq: Seq) -> bool {
        self.epoch() == epoch
            && self.lost_epoch.load(Ordering::Acquire) < epoch.0
            && self.durable_seq.load(Ordering::Acquire) >= seq.0
    }

    /// Throws away what is queued; those who asked learn that the outcome is unknown.
    pub(crate) fn discard_queue(&self) {
        // The standing was changed before: who pushes from now on sees that (`ask` does it the other way round).
        fence(Ordering::SeqCst);
        while self.queue.pop().is_some() {}
    }

    /// Sees to it that the actor looks at its queue: now, or as soon as what it decides can go into a round.
    pub(crate) fn wake(&self) {
        let actor = &self.actor;
        if actor.needs_drain(|| self.writer.meters().nanos(Instant::now())) && !self.writer.wakes_later(actor)
        {
            actor.send_drain();
        }
    }

    pub(crate) fn new(
        view: FlightView,
        epoch: Epoch,
        standing: Standing,
        gauges: (Arc<Gauge>, Arc<Gauge>),
        writer: Arc<WriterState>,
    ) -> Self {
        let seq = view.seq.0;
        let published = Mutex::new((epoch, view.seq));
        let (overall, gauge) = gauges;
        Self {
            flight_id: view.definition.flight_id.clone(),
            view: ArcSwap::from_pointee(view),
            published,
            changed: Notify::new(),
            queue: SegQueue::new(),
            actor: Arc::default(),
            generation: AtomicU64::new(0),
            standing: AtomicU8::new(standing as u8),
            changing: Mutex::new(()),
            quarantine_reason: RwLock::new(String::new()),
            seq: AtomicU64::new(seq),
            durable_seq: AtomicU64::new(seq),
            stored_seq: AtomicU64::new(0),
            noted_behind: AtomicBool::new(false),
            board: OnceLock::new(),
            epoch: AtomicU64::new(epoch.0),
            lost_epoch: AtomicU64::new(0),
            refused_epoch: AtomicU64::new(0),
            holds: AtomicU64::new(0),
            gauge,
            overall,
            writer,
        }
    }
}
