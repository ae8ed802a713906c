//! Serves plain requests on a connection without the machinery that only other requests need; the grab has a way of
//! its own. Never serves what is framed in any other way: the connection, with all that has come, is hyper's then.

mod answer;
mod grabs;
mod request;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep};
use tower_service::Service;
use warp::http::{Request, Response};

use self::grabs::{Pays, grabbed_flight};
use self::request::Read;
use super::arrival::Arrivals;
use super::front::{Front, RequestBody, RequestIds};
use super::places::Guest;
use super::taking::Taking;
use crate::api::grab::{self, Grabs, Granted, UnderWay};
use crate::base::stop::Stop;
use crate::edge::collected::collected;
use crate::edge::gate::Gate;
use crate::observe::traces::Observer;
use crate::parts::rate::Peer;
use crate::wire::body::BodyLimits;
use crate::wire::cors::Origins;
use crate::wire::deadline::{self, Deadline};
use crate::wire::problem::{Code, Problem};

/// Largest plain request, in bytes; a larger one is hyper's.
const REQUEST_BYTES_MAX: usize = 4096;
/// How long the rest of a request is waited for here; hyper's time limits hold from then on.
const PATIENCE: Duration = Duration::from_secs(1);
/// A body that is larger than this goes out as it is, and is not copied behind its head, in bytes.
const BODY_BYTES_COPIED_MAX: usize = 16 * 1024;
/// A reply buffer that has grown beyond this is given back after the reply, in bytes.
const REPLY_BYTES_KEPT: usize = 8 * 1024;

/// How the plain part of a connection's life ended.
pub(super) enum PlainEnd {
    /// With the connection.
    Ended,
    /// With something else than a plain request: this has come so far.
    Other(Vec<u8>),
}

/// What plain grabs need to be answered without the routes.
#[derive(Clone)]
pub struct ShortWay {
    /// What all grabs need.
    pub grabs: Arc<Grabs>,
    /// Which requests are let in at all.
    pub gate: Arc<Gate>,
    /// The limits of bodies.
    pub body: BodyLimits,
}

/// What the way of the grab needs.
#[derive(Clone)]
pub struct Express {
    short_way: Option<ShortWay>,
    pub(super) ids: Arc<RequestIds>,
    pub(super) observer: Option<Arc<Observer>>,
    /// Whether requests are to say who their connection's peer is.
    pub(super) names_peers: bool,
    /// Whose pages may read what the socket itself answers.
    pub(super) origins: Option<Arc<Origins>>,
}

impl Express {
    /// The short way to the flights; without one, all requests go the long way, with their peer if `names_peers`.
    pub fn new(short_way: Option<ShortWay>, observer: Option<Arc<Observer>>, names_peers: bool) -> Self {
        Self { short_way, ids: Arc::new(RequestIds::new()), observer, names_peers, origins: None }
    }

    /// The same where pages of these origins may read answers.
    #[must_use]
    pub fn readable_for(self, origins: Option<Arc<Origins>>) -> Self {
        Self { origins, ..self }
    }
}

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long the rest of a request is waited for here.
    patience: Duration,
    /// How long a connection may stay open without a request.
    idle_timeout: Duration,
    /// How long an answer may stand still.
    answer_timeout: Duration,
}

impl Limits {
    pub(super) fn of(limits: &super::Limits) -> Self {
        Self {
            patience: PATIENCE.min(limits.header_timeout / 2),
            idle_timeout: limits.idle_timeout,
            answer_timeout: limits.answer_timeout,
        }
    }
}

/// How long a stop waits for the first word of somebody who has connected just before it: a request that has been sent is
/// answered, and not broken off.
const FIRST_WORD: Duration = Duration::from_millis(200);

/// A connection while its requests are plain.
struct Connection<'c, 's> {
    stream: &'c mut TcpStream,
    express: &'c Express,
    stop: &'c Stop,
    limits: Limits,
    bytes: Vec<u8>,
    come: usize,
    out: Vec<u8>,
    /// What goes out after it.
    tail: Bytes,
    /// How much of both has gone.
    sent: usize,
    taking: Taking,
    guest: &'c Guest,
    /// Whose share grabs count in, where they count in one.
    pays: Option<Pays>,
    /// The id of the request that is being served.
    id: Vec<u8>,
    timer: Pin<&'c mut Sleep>,
    timer_is_set: bool,
    /// When the connection was accepted, and whether nothing was heard on it since.
    accepted: Instant,
    is_new: bool,
    /// Whether the client was told that no further request is answered here.
    is_told: bool,
    /// When it was begun to serve the request that is being served.
    began: Instant,
    /// When the request came that is being served: its time counts from then.
    came: Instant,
    arrivals: Arrivals,
    /// When what is waited for has taken too long.
    until: Instant,
    stopped: Pin<&'c mut Notified<'s>>,
    stop_is_awaited: bool,
}

/// What waiting for bytes ends with.
enum ReadEnd {
    Bytes,
    /// The client is gone.
    Gone,
    /// The client is silent for too long.
    Silence,
    /// The server stops, and the client has not begun a request.
    Stop,
}

/// How a request goes on that has come whole.
enum Step {
    /// Its answer is written.
    Answered,
    /// A flight decides it.
    Grab(Arc<Grabs>, UnderWay),
    /// The service answers it.
    Ask(Box<Request<RequestBody>>),
    /// It is none of ours after all.
    Other,
    /// More of it has to come.
    Part,
    /// Nothing may be decided here any more: the connection has to end for another one.
    End,
}

/// Serves plain requests for as long as they come.
pub(super) async fn serve<S, B>(
    stream: &mut TcpStream,
    front: &mut Front<S>,
    (express, stop, guest): (&Express, &Stop, &Guest),
    peer: Option<Peer>,
    limits: Limits,
) -> PlainEnd
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let timer = pin!(tokio::time::sleep(limits.patience));
    let stopped = pin!(stop.word());
    let mut connection = Connection {
        stream,
        express,
        stop,
        limits,
        bytes: vec![0; REQUEST_BYTES_MAX],
        come: 0,
        out: Vec::with_capacity(1024),
        tail: Bytes::new(),
        sent: 0,
        taking: Taking::new(limits.answer_timeout),
        guest,
        pays: express.short_way.as_ref().zip(peer).map(|(way, Peer(peer))| Pays::new(&way.grabs, peer)),
        id: Vec::with_capacity(24),
        accepted: Instant::now(),
        is_new: true,
        is_told: false,
        began: Instant::now(),
        came: Instant::now(),
        arrivals: Arrivals::default(),
        until: timer.deadline(),
        timer,
        timer_is_set: false,
        stopped,
        stop_is_awaited: false,
    };
    connection.run(front).await
}

impl Connection<'_, '_> {
    async fn run<S, B>(&mut self, front: &mut Front<S>) -> PlainEnd
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = Bytes>,
    {
        let mut is_first = true;
        let mut whole_by: Option<Instant> = None;
        loop {
            match poll_fn(|context| self.poll_hear(context)).await {
                ReadEnd::Bytes => {}
                ReadEnd::Silence if is_first || self.come > 0 => return self.other(),
                ReadEnd::Gone | ReadEnd::Silence | ReadEnd::Stop => return PlainEnd::Ended,
            }
            match self.begin() {
                Step::Answered => {}
                Step::Grab(grabs, under_way) => {
                    if !self.grab(&grabs, under_way).await && self.ask_instead(front).await.is_err() {
                        return PlainEnd::Ended;
                    }
                }
                Step::Ask(request) => {
                    front.note_came(self.came.into_std());
                    let Ok(response) = front.ask(*request).await;
                    if self.write_response(response).await.is_err() {
                        return PlainEnd::Ended;
                    }
                }
                Step::Part => {
                    // From the first part on, not from the last: a trickle must not keep the connection here.
                    let now = Instant::now();
                    let until = *whole_by.get_or_insert(now + self.limits.patience);
                    if now >= until {
                        return self.other();
                    }
                    self.wait_until(until);
                    continue;
                }
                Step::Other => return self.other(),
                Step::End => return PlainEnd::Ended,
            }
            (is_first, whole_by) = (false, None);
            self.come = 0;
            if poll_fn(|context| self.poll_send(context)).await.is_err() || self.is_told {
                return PlainEnd::Ended;
            }
            // As of the request: it is as good, and no further look at the clock.
            self.guest.waits(self.began.into_std());
        }
    }

    /// Takes what has come as far as it goes without waiting.
    fn begin(&mut self) -> Step {
        let now = Instant::now();
        // Until the client's next request, unless something shorter is waited for in between.
        self.until = now + self.limits.idle_timeout;
        let mut room = request::room();
        let plain = match request::read(&self.bytes[..self.come], &mut room) {
            Read::Whole(plain) => plain,
            Read::Part if self.come < REQUEST_BYTES_MAX => return Step::Part,
            Read::Part | Read::Other => return Step::Other,
        };
        if !self.guest.decides() {
            return Step::End;
        }
        self.began = now;
        self.came = self.arrivals.newest(self.stream, now.into_std()).into();
        let is_for_another = plain.is_forwarded && self.pays.as_ref().is_some_and(|pays| pays.is_proxy);
        let grabbed = if is_for_another { None } else { grabbed_flight(&plain, self.express) };
        let Some((grabs, flight)) = grabbed else {
            return plain.into_request().map_or(Step::Other, |request| Step::Ask(Box::new(request)));
        };
        self.express.ids.write(plain.request_id, &mut self.id);
        let deadline = Deadline::after(self.came.into_std(), grabs.flights.request_timeout);
        // Only where nobody is asked who they are.
        let key = plain.idempotency_key.map(Into::into);
        let begun = if deadline.decide_by > now.into_std() {
            let share = self.pays.as_mut().map(|pays| pays.share(grabs, &flight, now.into_std()));
            grab::begin(grabs, &flight, (key, share), deadline, plain.body)
        } else {
            Err(deadline::too_late())
        };
        match begun {
            Ok(under_way) => {
                self.wait_until(deadline.answer_by.into());
                Step::Grab(grabs.clone(), under_way)
            }
            // It has just gone: the long way knows where.
            Err(problem) if problem.code() == Code::Elsewhere => {
                plain.into_request().map_or(Step::Other, |request| Step::Ask(Box::new(request)))
            }
            Err(problem) => {
                grabs.metrics.grab_ended(now.into_std(), grab::outcome(Err(&problem)));
                self.write_problem(&problem);
                Step::Answered
            }
        }
    }

    /// Has the service answer a request whose flight went before it decided.
    async fn ask_instead<S, B>(&mut self, front: &mut Front<S>) -> Result<(), B::Error>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = Bytes>,
    {
        let mut room = request::room();
        if let Read::Whole(plain) = request::read(&self.bytes[..self.come], &mut room)
            && let Some(request) = plain.into_request()
        {
            let Ok(response) = front.ask(request).await;
            self.write_response(response).await?;
        }
        Ok(())
    }

    /// Waits for what the flight says, and writes it; says whether it has said something.
    async fn grab(&mut self, grabs: &Grabs, mut under_way: UnderWay) -> bool {
        let outcome = poll_fn(|context| match Pin::new(&mut under_way.pending).poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.ok()),
            Poll::Pending => self.poll_too_late(context).map(|()| None),
        })
        .await;
        self.until = self.began + self.limits.idle_timeout;
        let answered = grab::granted(grabs, &under_way, outcome);
        if answered.as_ref().is_err_and(|problem| problem.code() == Code::Elsewhere) {
            return false;
        }
        grabs.metrics.grab_ended(self.began.into_std(), grab::outcome(answered.as_ref()));
        match answered {
            Ok(granted) => self.write_granted(&granted),
            Err(problem) => self.write_problem(&problem),
        }
        true
    }

    fn write_granted(&mut self, granted: &Granted) {
        let out = &mut self.out;
        answer::begin(out, granted.status(), granted.json.len());
        answer::header(out, "content-type", b"application/json");
        answer::own(out);
        answer::header(out, "location", granted.location.as_bytes());
        if granted.replayed {
            answer::header(out, "idempotency-replayed", b"true");
        }
        self.end(&granted.json);
    }

    fn write_problem(&mut self, problem: &Problem) {
        let body = problem.body();
        answer::begin(&mut self.out, problem.code().status(), body.len());
        for (name, value) in problem.headers() {
            answer::header(&mut self.out, name.as_str(), value.as_bytes());
        }
        answer::own(&mut self.out);
        self.end(&body);
    }

    /// The last headers and the body.
    fn end(&mut self, body: &[u8]) {
        answer::header(&mut self.out, "x-request-id", &self.id);
        self.tell_if_last();
        answer::end(&mut self.out, body);
    }

    /// Writes what the service answered. A body that comes in pieces is collected first.
    async fn write_response<B: Body<Data = Bytes>>(&mut self, response: Response<B>) -> Result<(), B::Error> {
        let (head, body) = response.into_parts();
        let bytes = collected(body).await?;
        answer::begin(&mut self.out, head.status, bytes.len());
        answer::headers(&mut self.out, &head.headers);
        self.tell_if_last();
        if bytes.len() > BODY_BYTES_COPIED_MAX {
            answer::end(&mut self.out, &[]);
            self.tail = bytes;
        } else {
            answer::end(&mut self.out, &bytes);
        }
        Ok(())
    }

    /// Says in the answer that is being written that it is this connection's last, if it is. That is decided once: a stop
    /// that is announced a moment later must not close what its client was told stays open.
    fn tell_if_last(&mut self) {
        self.is_told = self.stop.is_announced() || self.stop.has_begun();
        if self.is_told {
            answer::header(&mut self.out, "connection", b"close");
        }
    }

    fn other(&mut self) -> PlainEnd {
        self.guest.waits(self.began.into_std());
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.come);
        PlainEnd::Other(bytes)
    }

    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<ReadEnd> {
        let mut room = ReadBuf::new(&mut self.bytes[self.come..]);
        match Pin::new(&mut *self.stream).poll_read(context, &mut room) {
            Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                self.come += room.filled().len();
                self.is_new = false;
                return Poll::Ready(ReadEnd::Bytes);
            }
            Poll::Ready(_) => return Poll::Ready(ReadEnd::Gone),
            Poll::Pending => {}
        }
        if !self.stop_is_awaited {
            self.stop_is_awaited = true;
            // Asked for its waker; the flag says the rest.
            let _ = self.stopped.as_mut().poll(context);
        }
        if self.stop.has_begun() && self.come == 0 {
            // The first request of somebody who has only just connected is on its way.
            let first_word = self.accepted + FIRST_WORD;
            if !self.is_new || Instant::now() >= first_word {
                return Poll::Ready(ReadEnd::Stop);
            }
            self.wait_until(first_word);
        }
        self.poll_too_late(context).map(|()| ReadEnd::Silence)
    }

    /// Ready once `until` has come. The timer is set anew only where it is off: it may fire early, and never late.
    fn poll_too_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.timer_is_set {
                self.timer_is_set = self.timer.as_mut().poll(context).is_pending();
            }
            if !self.timer.is_elapsed() {
                return Poll::Pending;
            }
            if Instant::now() >= self.until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.until);
            self.timer_is_set = false;
        }
    }

    fn wait_until(&mut self, until: Instant) {
        self.until = until;
        if self.timer.deadline() > until {
            self.timer.as_mut().reset(until);
            self.timer_is_set = false;
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let all = self.out.len() + self.tail.len();
        while self.sent < all {
            let rest = match self.out.get(self.sent..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => &self.tail[self.sent - self.out.len()..],
            };
            match Pin::new(&mut *self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => {
                    let written = written?;
                    self.taking.went(written);
                    self.sent += written;
                }
                Poll::Pending => {
                    if !self.taking.is_blocked() {
                        self.guest.waits(std::time::Instant::now());
                    }
                    let left = (all - self.sent, false);
                    return self.taking.poll_blocked(context, self.stream, self.guest, left).map(Err);
                }
            }
        }
        if self.taking.is_blocked() {
            self.taking.all_went(self.stream, self.guest);
            self.began = Instant::now();
            self.until = self.began + self.limits.idle_timeout;
        }
        self.sent = 0;
        self.tail = Bytes::new();
        self.out.clear();
        self.out.shrink_to(REPLY_BYTES_KEPT);
        Poll::Ready(Ok(()))
    }
}
