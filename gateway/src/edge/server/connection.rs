//! One connection from its first byte to its last: drives hyper, watches the clock, and lets a drain end it.
//! Never holds a timer for each request: one slow tick for the connection does.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;
use warp::http::{Request, Response};

use super::Limits;
use super::arrival::Arrivals;
use super::front::{Front, RequestBody};
use super::places::Guest;
use super::plain::{self, Express, PlainEnd};
use super::socket::Socket;
use super::taking::Taking;
use crate::base::long_body::LongBody;
use crate::base::stop::Stop;
use crate::parts::rate::Peer;

/// What the parts of a connection tell one another.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    /// Requests whose headers are complete, so far (wraps around).
    pub(super) requests: AtomicU32,
    /// Requests that are not answered yet.
    pub(super) unanswered: AtomicU32,
    /// Bytes have come since the last request ended.
    pub(super) heard: AtomicBool,
    /// A response of ours is on its way to the socket: what is written next is not hyper's own.
    pub(super) answered: AtomicBool,
    /// The client may still be sending what nobody will read: closing must not cut off the answer.
    pub(super) linger: AtomicBool,
    /// A body that is being answered with and goes on for as long as it is read. Looked at once a tick.
    pub(super) long_body: Mutex<Option<LongBody>>,
    /// The headers took too long.
    pub(super) too_slow: AtomicBool,
    /// The connection's place among the others.
    pub(super) guest: Guest,
    /// When the newest bytes came that were read.
    came: Mutex<Option<std::time::Instant>>,
}

impl Vitals {
    pub(super) fn note_came(&self, came: std::time::Instant) {
        *self.came.lock() = Some(came);
    }

    pub(super) fn came(&self) -> Option<std::time::Instant> {
        *self.came.lock()
    }
}

pub(super) fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // No `pipeline_flush`: with it, hyper 1.12 never sends its answer to a request it cannot parse.
    builder.keep_alive(true).max_buf_size(limits.header_bytes_max);
    // Head and body are one small write; gathering them costs more than copying.
    builder.writev(false);
    builder
}

pub(super) struct Connection<S> {
    service: S,
    express: Express,
    times: Times,
    stop: Arc<Stop>,
}

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    header_timeout: Duration,
    idle_timeout: Duration,
    answer_timeout: Duration,
    plain: plain::Limits,
}

impl Times {
    pub(super) fn of(limits: &Limits) -> Self {
        let Limits { header_timeout, idle_timeout, answer_timeout, .. } = *limits;
        Self { header_timeout, idle_timeout, answer_timeout, plain: plain::Limits::of(limits) }
    }
}

/// How long a client may take nothing of a long body, which has something for it every few seconds.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// Limits, in ticks.
#[derive(Clone, Copy)]
struct TicksMax {
    idle: f64,
    unread: f64,
}

/// How long the connection has been waiting, in ticks.
#[derive(Debug, Default)]
struct Patience {
    requests: u32,
    head_ticks: u32,
    idle_ticks: u32,
    unread_ticks: u32,
}

enum Verdict {
    GoOn,
    HeadTooSlow,
    IdleTooLong,
}

impl<S, B> Connection<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(service: S, express: Express, times: Times, stop: Arc<Stop>) -> Self {
        Self { service, express, times, stop }
    }

    pub(super) async fn run(self, mut stream: TcpStream, guest: Guest, builder: &http1::Builder) {
        let Self { service, express, times, stop } = self;
        let vitals = Arc::new(Vitals { heard: AtomicBool::new(true), guest, ..Vitals::default() });
        let (ids, observer) = (express.ids.clone(), express.observer.clone());
        let peer = if express.names_peers { stream.peer_addr().ok() } else { None };
        let peer = peer.map(|address| Peer(address.ip()));
        let mut front = Front::new(service, vitals.clone(), ids, observer, stop.clone(), peer);
        let around = (&express, &*stop, &vitals.guest);
        let plain = plain::serve(&mut stream, &mut front, around, peer, times.plain).await;
        let PlainEnd::Other(bytes) = plain else { return };
        vitals.heard.store(true, Ordering::Relaxed);
        vitals.answered.store(false, Ordering::Relaxed);
        let mut arrivals = Arrivals::default();
        vitals.note_came(arrivals.newest(&stream, std::time::Instant::now()));
        let socket = Socket::new(
            stream,
            bytes,
            vitals.clone(),
            express.ids.clone(),
            (arrivals, Taking::new(times.answer_timeout)),
        );
        let socket = socket.readable_for(express.origins.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), front));
        // Two ticks make a header time-out, which so ends after 1 to 1.5 times its length.
        let tick = (times.header_timeout / 2).max(Duration::from_millis(10));
        let ticks = |time: Duration| time.div_duration_f64(tick).ceil();
        let ticks_max = TicksMax { idle: ticks(times.idle_timeout), unread: ticks(UNREAD_MAX) };
        let mut patience = Patience::default();
        let mut timer = pin!(tokio::time::sleep(tick));
        let mut stopped = pin!(stop.begun());
        // The task's waker never changes, so that a timer or a stop that was asked once wakes it by itself. Only a
        // flag is looked at from then on: this is polled several times for each request.
        let (mut timer_is_set, mut stop_is_awaited, mut stopping) = (false, false, false);
        std::future::poll_fn(|context| {
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended with an error");
                    }
                    return Poll::Ready(());
                }
                if !stop_is_awaited {
                    stop_is_awaited = true;
                    // Asked for its waker; the flag says the rest.
                    let _ = stopped.as_mut().poll(context);
                }
                if stop.has_begun() && !stopping {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                if !timer_is_set {
                    timer_is_set = timer.as_mut().poll(context).is_pending();
                }
                if !timer.is_elapsed() {
                    return Poll::Pending;
                }
                match patience.after_a_tick(&vitals, ticks_max) {
                    Verdict::GoOn => {}
                    // The next read, which follows at once, says so to the client.
                    Verdict::HeadTooSlow => vitals.too_slow.store(true, Ordering::Relaxed),
                    Verdict::IdleTooLong => return Poll::Ready(()),
                }
                timer.as_mut().reset(Instant::now() + tick);
                timer_is_set = false;
            }
        })
        .await;
    }
}

impl Patience {
    fn after_a_tick(&mut self, vitals: &Vitals, ticks_max: TicksMax) -> Verdict {
        if let Some(verdict) = self.of_long_body(vitals, ticks_max) {
            return verdict;
        }
        let requests = vitals.requests.load(Ordering::Relaxed);
        if requests != self.requests || vitals.unanswered.load(Ordering::Relaxed) > 0 {
            *self = Self { requests, ..Self::default() };
            return Verdict::GoOn;
        }
        if vitals.heard.load(Ordering::Relaxed) {
            self.head_ticks += 1;
        }
        self.idle_ticks += 1;
        if self.head_ticks > 2 || (self.head_ticks == 2 && requests == 0) {
            return Verdict::HeadTooSlow;
        }
        if f64::from(self.idle_ticks) > ticks_max.idle { Verdict::IdleTooLong } else { Verdict::GoOn }
    }

    /// What to do while a long body is on its way; `None` if there is none.
    fn of_long_body(&mut self, vitals: &Vitals, ticks_max: TicksMax) -> Option<Verdict> {
        let mut place = vitals.long_body.lock();
        let body = place.as_ref()?;
        if body.has_ended() {
            *place = None;
            *self = Self { requests: vitals.requests.load(Ordering::Relaxed), ..Self::default() };
            return None;
        }
        self.unread_ticks = if body.take_read() { 0 } else { self.unread_ticks + 1 };
        let unread_too_long = f64::from(self.unread_ticks) > ticks_max.unread;
        Some(if unread_too_long { Verdict::IdleTooLong } else { Verdict::GoOn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: TicksMax = TicksMax { idle: 10.0, unread: 20.0 };

    #[test]
    fn a_head_that_does_not_come_is_given_up_before_an_idle_connection() {
        let vitals = Vitals { heard: AtomicBool::new(true), ..Vitals::default() };
        let mut patience = Patience::default();
        assert!(matches!(patience.after_a_tick(&vitals, MAX), Verdict::GoOn));
        assert!(matches!(patience.after_a_tick(&vitals, MAX), Verdict::HeadTooSlow));
    }

    #[test]
    fn an_idle_connection_is_kept_for_its_time() {
        let vitals = Vitals::default();
        vitals.requests.store(1, Ordering::Relaxed);
        let mut patience = Patience::default();
        let mut ticks = 0;
        while matches!(patience.after_a_tick(&vitals, MAX), Verdict::GoOn) {
            ticks += 1;
        }
        assert_eq!(ticks, 11);
    }

    #[test]
    fn a_request_under_way_is_never_given_up_here() {
        let vitals = Vitals::default();
        vitals.unanswered.store(1, Ordering::Relaxed);
        vitals.heard.store(true, Ordering::Relaxed);
        let mut patience = Patience::default();
        assert!((0..1000).all(|_| matches!(patience.after_a_tick(&vitals, MAX), Verdict::GoOn)));
    }

    #[test]
    fn a_long_body_is_kept_as_long_as_it_is_read() {
        let vitals = Vitals { heard: AtomicBool::new(true), ..Vitals::default() };
        let body = LongBody::default();
        *vitals.long_body.lock() = Some(body.clone());
        let mut patience = Patience::default();
        for _ in 0..1000 {
            body.was_read();
            assert!((0..4).all(|_| matches!(patience.after_a_tick(&vitals, MAX), Verdict::GoOn)));
        }
        let mut ticks = 0;
        while matches!(patience.after_a_tick(&vitals, MAX), Verdict::GoOn) {
            ticks += 1;
        }
        // The last reading was some ticks ago.
        assert_eq!(ticks, 17);
        drop(body);
        vitals.heard.store(false, Ordering::Relaxed);
        assert!((0..10).all(|_| matches!(patience.after_a_tick(&vitals, MAX), Verdict::GoOn)));
        assert!(matches!(patience.after_a_tick(&vitals, MAX), Verdict::IdleTooLong));
    }
}
