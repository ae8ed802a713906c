//! A flight as the rest of the process reaches it: a handle that is cheap to clone and hides the channels.
//! Never touches a seat: the actor does.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use actix::Addr;
use arc_swap::ArcSwap;
use crossbeam_queue::SegQueue;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use super::admission::{FLIGHT_IS_FULL, Gauge, MOVED, Overloaded, Permit, SERVER_IS_FULL};
use super::board::Board;
use super::flight_actor::FlightActor;
use super::message::{Ask, AskedAs, Drain, PendingAnswer, Request};
use super::stamps::{Stamps, Step};
use super::view::FlightView;
use crate::flight::{
    AdminName, Command, Epoch, Fingerprint, FlightId, IdempotencyKey, OrderRef, SeatPlan, Seq, WaitlistNo,
    WaitlistRef,
};
use crate::journal::WriterState;

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
}

impl Standing {
    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Serving,
            1 => Self::Creating,
            2 => Self::Recovering,
            3 => Self::Fenced,
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
    changed: Notify,
    pub(crate) queue: SegQueue<Request>,
    /// A `Drain` is on its way to the actor.
    pub(crate) drain_sent: AtomicBool,
    /// When that was, by the meters' clock; 0 once a turn has taken note of it.
    pub(crate) woken: AtomicU64,
    pub(crate) address: RwLock<Option<Addr<FlightActor>>>,
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
            self.discard_queue();
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
    pub(crate) fn wake(self: &Arc<Self>) {
        if self.drain_sent.swap(true, Ordering::AcqRel) {
            return;
        }
        self.woken.store(self.writer.meters().nanos(Instant::now()), Ordering::Relaxed);
        if !self.writer.wakes_later(self) {
            self.send_drain();
        }
    }

    /// Wakes the actor; `drain_sent` has been set for it.
    pub(crate) fn send_drain(&self) {
        match &*self.address.read() {
            Some(address) => address.do_send(Drain),
            None => self.drain_sent.store(false, Ordering::Release),
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
            drain_sent: AtomicBool::new(false),
            woken: AtomicU64::new(0),
            address: RwLock::new(None),
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

/// Where a flight stands, for the status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightStatus {
    /// Last event decided.
    pub seq: Seq,
    /// Last event that is durable.
    pub durable_seq: Seq,
    /// Last event in the store.
    pub stored_seq: Seq,
    /// Under which ownership it is served.
    pub epoch: Epoch,
    /// Requests under way.
    pub queued: u32,
    /// Held orders.
    pub holds: u64,
}

/// A flight that is served here.
#[derive(Clone)]
pub struct FlightHandle(pub(crate) Arc<FlightShared>);

impl FlightHandle {
    /// The flight's id.
    pub fn flight_id(&self) -> &FlightId {
        &self.0.flight_id
    }

    /// The flight's durable state.
    pub fn view(&self) -> Arc<FlightView> {
        self.0.view.load_full()
    }

    /// Completes once a view is published, or the flight comes or goes, after this call (not after the first poll): who
    /// looks at the view after calling this misses nothing.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + Sync {
        self.0.changed.notified()
    }

    /// Whether this process serves the flight, or is just recovering it. Once it does not, the view stands still.
    pub fn is_here(&self) -> bool {
        matches!(self.0.standing(), Standing::Serving | Standing::Recovering)
    }

    /// Hands a command over. It is decided whatever becomes of the answer to come.
    pub fn submit(&self, command: Command) -> Result<PendingAnswer, Overloaded> {
        self.submit_traced(command, None)
    }

    /// The same; if there are stamps, every step on the way is marked in them.
    pub fn submit_traced(
        &self,
        command: Command,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Command(command), None, stamps)
    }

    /// The same, unless its turn comes only after `deadline`: then the answer is [`Answer::TooLate`](super::Answer::TooLate).
    pub fn submit_by(
        &self,
        command: Command,
        deadline: Instant,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Command(command), Some(deadline), stamps)
    }

    /// The same; what follows from it is recorded as caused `by` an admin, if one asked, and under a `key`, if there is
    /// one: repeated under the same key, it changes nothing more. A grab has its key within itself.
    pub fn submit_as(
        &self,
        command: Command,
        by: Option<AdminName>,
        key: Option<IdempotencyKey>,
        deadline: Option<Instant>,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        let ask = if by.is_none() && key.is_none() {
            Ask::Command(command)
        } else {
            Ask::CommandAs(Box::new(AskedAs { command, by, key }))
        };
        self.ask(ask, deadline, stamps)
    }

    /// Asks whether the flight was created by a request with this key and fingerprint: then it answers as to a replayed
    /// one. A key that belongs to something else is refused as reused.
    pub fn was_created_under(
        &self,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        deadline: Instant,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::WasCreatedUnder(key, fingerprint), Some(deadline), None)
    }

    /// Asks for an order. The answer waits until everything it shows is durable.
    pub fn look_up(&self, order: OrderRef) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LookUp(order), None, None)
    }

    /// The same, unless its turn comes only after `deadline`.
    pub fn look_up_by(&self, order: OrderRef, deadline: Instant) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LookUp(order), Some(deadline), None)
    }

    /// Asks what a new seat plan would mean; nothing changes.
    pub fn plan_seats_by(&self, plan: SeatPlan, deadline: Instant) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::PlanSeats(Box::new(plan)), Some(deadline), None)
    }

    /// Asks for all orders that have seats, unless its turn comes only after `deadline`. The answer waits until
    /// everything it shows is durable.
    pub fn live_orders_by(&self, deadline: Instant) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LiveOrders, Some(deadline), None)
    }

    /// Asks for an entry of the waitlist, unless its turn comes only after `deadline`.
    pub fn look_up_waitlisted(
        &self,
        entry: WaitlistRef,
        deadline: Instant,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::LookUpWaitlisted(entry), Some(deadline), None)
    }

    /// Asks for the entries of the waitlist behind `after`, at most `limit`, unless its turn comes only after `deadline`.
    pub fn waitlist(
        &self,
        after: Option<WaitlistNo>,
        limit: usize,
        deadline: Instant,
    ) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Waitlist(after, limit), Some(deadline), None)
    }

    /// Whether a request would be taken just now, so that one that would not be need not even be read. Promises
    /// nothing: the next moment may be different.
    pub fn admits(&self) -> Result<(), Overloaded> {
        let shared = &self.0;
        if shared.overall.is_full() {
            return Err(shared.overall.turn_away(SERVER_IS_FULL));
        }
        if shared.gauge.is_full() {
            return Err(shared.gauge.turn_away(FLIGHT_IS_FULL));
        }
        Ok(())
    }

    /// Makes the actor panic, to show what happens then.
    #[cfg(any(test, feature = "sabotage"))]
    pub fn make_it_panic(&self) -> Result<PendingAnswer, Overloaded> {
        self.ask(Ask::Panic, None, None)
    }

    /// Where the flight stands.
    pub fn status(&self) -> FlightStatus {
        let read = |value: &AtomicU64| value.load(Ordering::Acquire);
        FlightStatus {
            seq: Seq(read(&self.0.seq)),
            durable_seq: Seq(read(&self.0.durable_seq)),
            stored_seq: Seq(read(&self.0.stored_seq)),
            epoch: self.0.epoch(),
            queued: self.0.gauge.under_way(),
            holds: read(&self.0.holds),
        }
    }

    fn ask(
        &self,
        ask: Ask,
        deadline: Option<Instant>,
        stamps: Option<Arc<Stamps>>,
    ) -> Result<PendingAnswer, Overloaded> {
        let shared = &self.0;
        shared.writer.admit()?;
        match shared.standing() {
            Standing::Serving => {}
            Standing::Creating | Standing::Recovering => {
                return Err(Overloaded { retry_after_seconds: 1, reason: "the flight is being recovered" });
            }
            Standing::Fenced => {
                return Err(Overloaded { retry_after_seconds: 1, reason: MOVED });
            }
            Standing::Quarantined => {
                return Err(Overloaded {
                    retry_after_seconds: 60,
                    reason: "the flight is stopped because its data is damaged; its operator has to see to it",
                });
            }
        }
        let permit = Permit::take(&shared.overall, &shared.gauge)?;
        let (reply, answer) = oneshot::channel();
        if let Some(stamps) = &stamps {
            stamps.mark(Step::Queued);
        }
        shared.queue.push(Request { ask, deadline, reply, permit, stamps });
        fence(Ordering::SeqCst);
        if matches!(shared.standing(), Standing::Fenced | Standing::Quarantined) {
            // It ended between the look above and the push: nobody comes to this queue any more.
            shared.discard_queue();
        }
        shared.wake();
        Ok(PendingAnswer(answer))
    }
}
