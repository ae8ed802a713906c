//! A flight's seats and its sale as server-sent events, for a crowd. One encoder a
//! flight writes each change once, all readers get the same bytes. Never asks an actor, and never waits for a reader.

mod encode;
mod encoder;
mod hub;

use std::collections::HashMap;
use std::convert::Infallible;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use farerush_engine::actor::{Engine, FlightHandle};
use farerush_engine::flight::{Epoch, FlightId, Seq, Timestamp};
use parking_lot::Mutex;

use crate::base::long_body::LongBody;
use crate::base::stop::Stop;
use crate::parts::other_servers::Ownership;
use encoder::Encoder;
use hub::{Hub, Taken};

/// Shortest time between two texts of one flight: what changes meanwhile is merged.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// How much that time grows for each reader of this process: 40,000 writes a second at most, so that readers leave
/// the processor to the grabs. From 2,000 readers on it counts.
const PAUSE_PER_READER: Duration = Duration::from_micros(25);

/// The state of a flight that a reader has seen: the `id` of an event, written `<epoch>-<seq>`. With the epoch, because
/// under `durability = memory` a crash may take back events, and their numbers are given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPosition {
    epoch: Epoch,
    seq: Seq,
}

/// A `Last-Event-ID` as it came; one that is not ours says nothing.
#[derive(Debug, Clone, Copy)]
pub struct LastEventId(Option<StreamPosition>);

impl FromStr for LastEventId {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let place = text.split_once('-').and_then(|(epoch, seq)| {
            Some(StreamPosition { epoch: Epoch(epoch.parse().ok()?), seq: Seq(seq.parse().ok()?) })
        });
        Ok(Self(place))
    }
}

/// All live readers of this process, and what they read from.
pub struct Live {
    hubs: Mutex<HashMap<FlightId, Arc<Hub>>>,
    readers: AtomicU64,
    readers_max: u64,
    skipped: AtomicU64,
    stop: Arc<Stop>,
    /// What is shown ends when it cannot be shown any more that the flight is here.
    ownership: Arc<Ownership>,
    /// For its clock; not held, because after a stop the journal must be free for the next owner.
    engine: Weak<Engine>,
}

impl Live {
    /// Nobody reads yet.
    pub fn new(
        engine: &Arc<Engine>,
        readers_max: u32,
        stop: Arc<Stop>,
        ownership: Arc<Ownership>,
    ) -> Arc<Self> {
        Arc::new(Self {
            hubs: Mutex::default(),
            readers: AtomicU64::new(0),
            readers_max: u64::from(readers_max),
            skipped: AtomicU64::new(0),
            stop,
            ownership,
            engine: Arc::downgrade(engine),
        })
    }

    /// Live readers at the moment.
    pub fn readers(&self) -> u64 {
        self.readers.load(Ordering::Relaxed)
    }

    /// How often a reader was too slow and got the whole state instead of what it had missed, since the start.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Flights that are encoded at the moment.
    pub fn flights(&self) -> usize {
        self.hubs.lock().len()
    }

    fn now(&self) -> Option<Timestamp> {
        self.engine.upgrade().map(|engine| engine.clock().now())
    }

    /// How long to gather changes before the next text.
    fn pause(&self) -> Duration {
        let readers = u32::try_from(self.readers()).unwrap_or(u32::MAX);
        PAUSE_MIN.max(PAUSE_PER_READER.saturating_mul(readers))
    }

    /// A new reader; `None` if there are as many as may be. Must be called within a tokio runtime.
    pub fn join(self: &Arc<Self>, flight: &FlightHandle, last: Option<LastEventId>) -> Option<Reader> {
        if self.readers.fetch_add(1, Ordering::Relaxed) >= self.readers_max {
            self.readers.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (hub, group) = {
            let mut hubs = self.hubs.lock();
            let hub = match hubs.get(flight.flight_id()) {
                Some(hub) => hub.clone(),
                None => {
                    let now = self.now().unwrap_or(Timestamp::from_millis(0));
                    let hub = Arc::new(Hub::new(flight.clone(), now));
                    hubs.insert(flight.flight_id().clone(), hub.clone());
                    tokio::spawn(Encoder::new(self.clone(), hub.clone()).run());
                    hub
                }
            };
            // Counted under the lock, under which an encoder without readers leaves.
            let group = hub.join();
            (hub, group)
        };
        let (first, next) = hub.first(last.and_then(|LastEventId(place)| place));
        let beats = hub.beats();
        let mark = LongBody::default();
        Some(Reader { live: self.clone(), hub, group, first: Some(first), next, beats, mark })
    }

    /// Lets go of a hub if nobody reads from it; says whether.
    fn leave_unread(&self, hub: &Arc<Hub>) -> bool {
        let mut hubs = self.hubs.lock();
        let unread = hub.readers() == 0;
        if unread {
            hubs.remove(hub.flight().flight_id());
        }
        unread
    }

    /// Ends a hub and with it the streams of its readers.
    fn end(&self, hub: &Arc<Hub>) {
        let mut hubs = self.hubs.lock();
        let id = hub.flight().flight_id();
        if hubs.get(id).is_some_and(|entered| Arc::ptr_eq(entered, hub)) {
            hubs.remove(id);
        }
        drop(hubs);
        hub.end();
    }
}

/// One who reads. It keeps a number and no text, so that a slow one costs nothing more.
pub struct Reader {
    live: Arc<Live>,
    hub: Arc<Hub>,
    /// Whom it is woken with.
    group: usize,
    first: Option<Bytes>,
    /// The number of the text to read next.
    next: u64,
    /// Heartbeats so far.
    beats: u64,
    mark: LongBody,
}

impl Reader {
    /// The mark that the response has to carry.
    pub fn mark(&self) -> LongBody {
        self.mark.clone()
    }

    /// What to send next; `None` at the end.
    pub async fn read(&mut self) -> Option<Bytes> {
        self.mark.was_read();
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            // Listens before it looks, so that it misses nothing.
            let woken = self.hub.woken(self.group);
            match self.hub.take(&mut self.next, &mut self.beats) {
                Taken::Text(text) => return Some(text),
                Taken::Skipped(text) => {
                    self.live.skipped.fetch_add(1, Ordering::Relaxed);
                    return Some(text);
                }
                Taken::End => return None,
                Taken::Nothing => {}
            }
            woken.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.hub.leave();
        self.live.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_not_ours_says_nothing() {
        let read = |text: &str| text.parse::<LastEventId>().unwrap().0;
        assert_eq!(read("3-17"), Some(StreamPosition { epoch: Epoch(3), seq: Seq(17) }));
        for text in ["", "17", "a-b", "1-", "-1", "1-2-3", "1-99999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
