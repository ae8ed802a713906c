//! What the readers of one flight share: the state that was last written, and the latest texts, in a ring with bounds.
//! Never sends anything: readers take it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farerush_engine::actor::{FlightHandle, FlightView};
use farerush_engine::flight::{Epoch, Sale, SaleState, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{StreamPosition, encode};

/// Most texts that are kept for readers that are behind.
const RING_TEXTS_MAX: usize = 256;
/// Most bytes of them.
const RING_BYTES_MAX: usize = 256 << 10;
/// Groups that a crowd of readers is woken in.
const GROUPS: u32 = 32;
/// What a quiet stream says.
const HEARTBEAT: &[u8] = b":\n\n";

/// What a reader gets.
pub(super) enum Taken {
    /// The next text.
    Text(Bytes),
    /// The whole state, because the next text is gone.
    Skipped(Bytes),
    /// Not yet.
    Nothing,
    /// No more.
    End,
}

pub(super) struct Hub {
    flight: FlightHandle,
    readers: AtomicU64,
    /// Readers so far, for the next one's group.
    joined: AtomicUsize,
    woken: [Notify; GROUPS as usize],
    shown: Mutex<Shown>,
}

/// A text, and the state that a reader has seen after it.
struct Kept {
    text: Bytes,
    after: StreamPosition,
}

struct Shown {
    view: Arc<FlightView>,
    epoch: Epoch,
    sale: (Sale, SaleState),
    /// The number of the next text.
    next: u64,
    /// The texts before it.
    ring: VecDeque<Kept>,
    ring_bytes: usize,
    /// What a reader has seen that needs the whole ring.
    before_ring: Option<StreamPosition>,
    /// What a reader has seen that has read everything.
    at: StreamPosition,
    /// The whole state as of now, once somebody has wanted it.
    whole: Option<Bytes>,
    beats: u64,
    has_ended: bool,
}

impl Hub {
    pub(super) fn new(flight: FlightHandle, now: Timestamp) -> Self {
        let epoch = flight.status().epoch;
        let view = flight.view();
        let at = StreamPosition { epoch, seq: view.seq };
        let shown = Shown {
            sale: (view.sale, view.sale_state(now)),
            view,
            epoch,
            next: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            before_ring: Some(at),
            at,
            whole: None,
            beats: 0,
            has_ended: false,
        };
        let woken = std::array::from_fn(|_| Notify::new());
        Self {
            flight,
            readers: AtomicU64::new(0),
            joined: AtomicUsize::new(0),
            woken,
            shown: Mutex::new(shown),
        }
    }

    pub(super) fn flight(&self) -> &FlightHandle {
        &self.flight
    }

    /// Counts a reader; gives the group that it is woken with.
    pub(super) fn join(&self) -> usize {
        self.readers.fetch_add(1, Ordering::AcqRel);
        self.joined.fetch_add(1, Ordering::Relaxed) % GROUPS as usize
    }

    pub(super) fn leave(&self) {
        self.readers.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn readers(&self) -> u64 {
        self.readers.load(Ordering::Acquire)
    }

    pub(super) fn beats(&self) -> u64 {
        self.shown.lock().beats
    }

    /// Completes when there may be something to take that was not there at this call.
    pub(super) fn woken(&self, group: usize) -> impl Future<Output = ()> + Send + Sync {
        self.woken[group % GROUPS as usize].notified()
    }

    /// Has all readers look.
    pub(super) fn wake_all(&self) {
        self.woken.iter().for_each(Notify::notify_waiters);
    }

    /// Has all readers look, one group after the other within `time`. A crowd that is woken at once would be written to
    /// before anything else gets its turn, grabs among them.
    pub(super) async fn wake_within(&self, time: Duration) {
        for group in &self.woken {
            group.notify_waiters();
            tokio::time::sleep(time / GROUPS).await;
        }
    }

    /// Writes what has changed since the last look; says whether anything has. Wakes nobody.
    pub(super) fn look(&self, now: Timestamp) -> bool {
        // The epoch first: a recovery publishes its view before it moves the epoch on.
        let epoch = self.flight.status().epoch;
        self.shown.lock().look(epoch, self.flight.view(), now)
    }

    /// When the sale next opens or closes by itself.
    pub(super) fn next_sale_change(&self, now: Timestamp) -> Option<Timestamp> {
        let shown = self.shown.lock();
        let (opens_at, ends_at) = (shown.view.sale.policy.opens_at, shown.view.sale_ends_at());
        opens_at.into_iter().chain([ends_at]).filter(|at| *at > now).min()
    }

    /// Tells everybody that the stream lives.
    pub(super) fn beat(&self) {
        self.shown.lock().beats += 1;
        self.wake_all();
    }

    /// Ends the stream of every reader, after what there is to take.
    pub(super) fn end(&self) {
        self.shown.lock().has_ended = true;
        self.wake_all();
    }

    /// What a new reader gets first, and the number of its next text.
    pub(super) fn first(&self, last: Option<StreamPosition>) -> (Bytes, u64) {
        let mut shown = self.shown.lock();
        let text = match last.and_then(|last| shown.missed_since(last)) {
            Some(text) => text,
            None => shown.whole(),
        };
        (text, shown.next)
    }

    /// Takes what comes next for a reader.
    pub(super) fn take(&self, next: &mut u64, beats: &mut u64) -> Taken {
        let mut shown = self.shown.lock();
        let behind = usize::try_from(shown.next - *next).unwrap_or(usize::MAX);
        if behind > shown.ring.len() {
            (*next, *beats) = (shown.next, shown.beats);
            return Taken::Skipped(shown.whole());
        }
        if behind > 0 {
            *next += 1;
            *beats = shown.beats;
            return Taken::Text(shown.ring[shown.ring.len() - behind].text.clone());
        }
        if shown.has_ended {
            return Taken::End;
        }
        if *beats != shown.beats {
            *beats = shown.beats;
            return Taken::Text(Bytes::from_static(HEARTBEAT));
        }
        Taken::Nothing
    }
}

impl Shown {
    fn look(&mut self, epoch: Epoch, view: Arc<FlightView>, now: Timestamp) -> bool {
        let sale = (view.sale, view.sale_state(now));
        let mut text = Vec::new();
        if sale != self.sale {
            encode::sale(&mut text, &sale.0, sale.1);
        }
        let recovered = epoch != self.epoch;
        let seats_changed = if recovered {
            encode::all_seats(&mut text, &view, StreamPosition { epoch, seq: view.seq });
            true
        } else {
            encode::changed_seats(&mut text, &self.view, &view, epoch)
        };
        if seats_changed {
            self.at = StreamPosition { epoch, seq: view.seq };
        }
        (self.view, self.epoch, self.sale) = (view, epoch, sale);
        if text.is_empty() {
            return false;
        }
        if recovered {
            // What the earlier owner said may not be true any more.
            self.ring.clear();
            (self.ring_bytes, self.before_ring) = (0, None);
        }
        self.keep(Bytes::from(text));
        true
    }

    fn keep(&mut self, text: Bytes) {
        self.whole = None;
        self.next += 1;
        self.ring_bytes += text.len();
        self.ring.push_back(Kept { text, after: self.at });
        while self.ring.len() > RING_TEXTS_MAX || (self.ring_bytes > RING_BYTES_MAX && self.ring.len() > 1) {
            let Some(gone) = self.ring.pop_front() else { return };
            self.ring_bytes -= gone.text.len();
            self.before_ring = Some(gone.after);
        }
    }

    /// The whole state, written at most once between two changes, however many want it.
    fn whole(&mut self) -> Bytes {
        let Self { whole, view, sale, at, .. } = self;
        whole.get_or_insert_with(|| encode::everything(view, &sale.0, sale.1, *at)).clone()
    }

    /// Everything since that place and the sale as it is; `None` if the ring does not reach back so far.
    fn missed_since(&self, last: StreamPosition) -> Option<Bytes> {
        // The sale may have changed after the last event with an id, so what stands behind that place comes again.
        let known = match self.ring.iter().rposition(|kept| kept.after == last) {
            Some(place) => place + 1,
            None if self.before_ring == Some(last) => 0,
            None => return None,
        };
        Some(encode::missed(self.ring.iter().skip(known).map(|kept| &kept.text), &self.sale.0, self.sale.1))
    }
}
