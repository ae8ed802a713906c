//! What stands around the routes where servers share flights: a request about a flight that another server has is handed on to
//! it, and its answer passed back. While a flight is on its way from one server to another, whoever asks for it waits.
//! Never decides anything about a flight.

mod lists;
mod subject;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farerush_engine::actor::Located;
use farerush_engine::flight::FlightId;
use farerush_peers::{Answered, Asked, NotAnswered, Peers, Reply};
use futures_util::future::{BoxFuture, Either};
use futures_util::{FutureExt as _, stream};
use http_body::Body as _;
use tokio::sync::Semaphore;
use tower_service::Service;
use warp::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use warp::http::request::Parts;
use warp::http::{HeaderMap, HeaderValue, Method, Request};
use warp::reply::Response;

use self::lists::{LIST, Lists};
use self::subject::Subject;
use crate::edge::server::RequestBody;
use crate::observe::traces;
use crate::parts::flights::Flights;
use crate::parts::other_servers::Whereabouts;
use crate::parts::rate::Peer;
use crate::wire::body::{self, BodyLimits};
use crate::wire::deadline::REQUEST_TIMEOUT;
use crate::wire::problem::{NotNow, Problem};

/// The header of a request that may be sent twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How long to wait before it is looked again where a flight is that is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// So long after a request was handed on it is looked whether the flight has another server by now, again and again.
const LOOK_AFTER: Duration = Duration::from_millis(250);
/// Requests that may wait for flights of other servers; beyond that, who asks is told to come back.
const WAITING_MAX: usize = 16_384;
/// What concerns one connection alone.
const HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, TRANSFER_ENCODING, TE, UPGRADE, EXPECT, HeaderName::from_static("keep-alive")];

/// The ways to the flights of other servers.
pub struct Forwarder {
    flights: Arc<Flights>,
    peers: Arc<Peers>,
    body: BodyLimits,
    waiting: Arc<Semaphore>,
    count: Arc<AtomicU64>,
    lists: Lists,
}

impl Forwarder {
    /// To the servers that these peers are. `count` says how many requests were handed on.
    pub fn new(flights: Arc<Flights>, peers: Arc<Peers>, body: BodyLimits, count: Arc<AtomicU64>) -> Self {
        Self {
            flights,
            peers,
            body,
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            count,
            lists: Lists::default(),
        }
    }

    /// Where the other servers are reached that things are handed on to.
    fn others(&self) -> Vec<SocketAddr> {
        self.flights.other_servers.other_peers()
    }

    /// Where that is which a request is about.
    async fn place(&self, subject: &Subject, anew: bool) -> Result<Whereabouts, Problem> {
        match subject {
            Subject::Flight(flight_id) | Subject::Live(flight_id) => {
                self.flights.other_servers.whereabouts(flight_id, anew).await
            }
            Subject::Named(name) => Ok(self.flights.other_servers.where_server_is(name)),
            Subject::Server => Ok(Whereabouts::Here),
        }
    }

    fn is_here(&self, flight_id: &FlightId) -> bool {
        matches!(self.flights.engine.find(flight_id), Located::Here(_))
    }
}

/// The routes with this around them, where servers share flights.
#[derive(Clone)]
pub struct Forwarding<S> {
    inner: S,
    forwarder: Option<Arc<Forwarder>>,
}

impl<S> Forwarding<S> {
    /// Puts it around `inner`; without a forwarder nothing is added.
    pub fn new(inner: S, forwarder: Option<Arc<Forwarder>>) -> Self {
        Self { inner, forwarder }
    }
}

impl<S> Service<Request<RequestBody>> for Forwarding<S>
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Some(forwarder) = &self.forwarder else { return Either::Left(self.inner.call(request)) };
        let subject = Subject::of(request.uri().path());
        if let Subject::Named(name) = &subject
            && forwarder.flights.other_servers.is_other_server(name)
        {
            let wanted = Wanted { forwarder: forwarder.clone(), inner: self.inner.clone(), subject };
            return Either::Right(wanted.answer(request, false).map(Ok).boxed());
        }
        let (Subject::Flight(flight_id) | Subject::Live(flight_id)) = &subject else {
            let is_list = request.method() == Method::GET && request.uri().path() == LIST;
            if !is_list || forwarder.others().is_empty() {
                return Either::Left(self.inner.call(request));
            }
            let (forwarder, mut inner) = (forwarder.clone(), self.inner.clone());
            let target = request.uri().path_and_query().map_or(LIST, |target| target.as_str()).to_owned();
            let page = async move {
                let here = move || lists::own(inner.call(request)).boxed();
                passed_back(forwarder.lists.page(&forwarder, &target, here).await)
            };
            return Either::Right(page.map(Ok).boxed());
        };
        let is_here = forwarder.is_here(flight_id);
        if is_here && !matches!(request.body(), RequestBody::Whole(_)) {
            // It comes in pieces, and is not gathered for the case that the flight goes meanwhile.
            return Either::Left(self.inner.call(request));
        }
        if is_here && matches!(subject, Subject::Live(_)) {
            return Either::Left(self.inner.call(request));
        }
        let wanted = Wanted { forwarder: forwarder.clone(), inner: self.inner.clone(), subject };
        Either::Right(wanted.answer(request, is_here).map(Ok).boxed())
    }
}

/// A request whose flight may be another server's.
struct Wanted<S> {
    forwarder: Arc<Forwarder>,
    inner: S,
    subject: Subject,
}

/// A request that can be sent more than once.
struct Whole {
    head: Parts,
    body: Bytes,
    /// Whether to do it twice is as good as once.
    is_repeatable: bool,
}

impl<S> Wanted<S>
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible>,
{
    async fn answer(mut self, request: Request<RequestBody>, is_here: bool) -> Response {
        let until = traces::came().unwrap_or_else(Instant::now) + self.forwarder.flights.request_timeout;
        let (head, coming) = request.into_parts();
        let body = match gathered(coming, &head.headers, self.forwarder.body).await {
            Ok(body) => body,
            Err(problem) => return problem.into_response(),
        };
        let is_repeatable = head.method == Method::GET || head.headers.contains_key(IDEMPOTENCY_KEY);
        let whole = Whole { head, body, is_repeatable };
        if is_here {
            let response = self.ask_here(&whole).await;
            if response.extensions().get::<NotNow>().is_none() {
                return response;
            }
        }
        let Ok(_place) = self.forwarder.waiting.clone().try_acquire_owned() else {
            let why = "as many requests as may wait for flights of other servers do";
            return Problem::overloaded(why, 1).into_response();
        };
        let mut last = None;
        let mut anew = is_here;
        loop {
            match self.attempt(&whole, until, anew).await {
                Outcome::Answered(response) => return response,
                Outcome::NotNow(response) => last = response.or(last),
            }
            if Instant::now() + LOOK_AGAIN >= until {
                let why = "the flight is on its way from one server to another";
                return last.unwrap_or_else(|| Problem::overloaded(why, 1).into_response());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            anew = true;
        }
    }

    async fn ask_here(&mut self, whole: &Whole) -> Response {
        let request = Request::from_parts(whole.head.clone(), RequestBody::whole(whole.body.clone()));
        let Ok(response) = self.inner.call(request).await;
        response
    }

    async fn attempt(&mut self, whole: &Whole, until: Instant, anew: bool) -> Outcome {
        match self.forwarder.place(&self.subject, anew).await {
            Err(problem) => Outcome::Answered(problem.into_response()),
            Ok(Whereabouts::Between) => Outcome::NotNow(None),
            Ok(Whereabouts::Here | Whereabouts::Apart) => {
                let response = self.ask_here(whole).await;
                match response.extensions().get::<NotNow>() {
                    Some(NotNow) => Outcome::NotNow(Some(response)),
                    None => Outcome::Answered(response),
                }
            }
            Ok(Whereabouts::At(server)) if matches!(self.subject, Subject::Live(_)) => {
                self.forwarder.follow(server, whole, until).await
            }
            Ok(Whereabouts::At(server)) => self.forwarder.hand_on(server, &self.subject, whole, until).await,
        }
    }
}

impl Forwarder {
    /// Has another server answer. Looks meanwhile whether it still has the flight: one that is asleep does not say that it has
    /// it no more.
    async fn hand_on(&self, server: SocketAddr, subject: &Subject, whole: &Whole, until: Instant) -> Outcome {
        let left = until.saturating_duration_since(Instant::now());
        let asked = whole.asked(left);
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut reply = pin!(self.peers.ask(server, &asked));
        let unknown = || Outcome::Answered(Problem::outcome_unknown().into_response());
        loop {
            let replied = match tokio::time::timeout(LOOK_AFTER, &mut reply).await {
                Ok(replied) => replied,
                Err(_) if Instant::now() >= until => Err(NotAnswered::Unknown),
                Err(_) => {
                    match self.place(subject, true).await {
                        Ok(Whereabouts::At(same)) if same == server => continue,
                        // Nobody can say.
                        Err(_) => continue,
                        Ok(_) => Err(NotAnswered::Unknown),
                    }
                }
            };
            return match replied {
                Ok(Reply::Answer(answer)) => Outcome::Answered(passed_back(answer)),
                Ok(Reply::NotMine(answer)) => Outcome::NotNow(Some(passed_back(answer))),
                Err(NotAnswered::Unreached) => Outcome::NotNow(None),
                Err(NotAnswered::Full) => {
                    let why = "as many requests as may be under way to the flight's server are";
                    Outcome::Answered(Problem::overloaded(why, 1).into_response())
                }
                Err(NotAnswered::Unknown) if Instant::now() >= until && whole.head.method == Method::GET => {
                    let why = "the flight's server did not answer in time";
                    Outcome::Answered(Problem::overloaded(why, 1).into_response())
                }
                Err(NotAnswered::Unknown) if whole.is_repeatable && Instant::now() < until => {
                    Outcome::NotNow(None)
                }
                Err(NotAnswered::Unknown) => unknown(),
            };
        }
    }

    async fn follow(&self, server: SocketAddr, whole: &Whole, until: Instant) -> Outcome {
        let left = until.saturating_duration_since(Instant::now());
        self.count.fetch_add(1, Ordering::Relaxed);
        let Ok(mut followed) = self.peers.follow(server, &whole.asked(left)).await else {
            return Outcome::NotNow(None);
        };
        match followed.reply() {
            Some(Reply::Answer(answer)) => {
                let (head, first) = passed_back(answer).into_parts();
                drop(first);
                let pieces = stream::unfold(followed, |mut followed| async move {
                    let piece = followed.piece().await?;
                    Some((Ok::<_, Infallible>(piece), followed))
                });
                let (_, body) = warp::Reply::into_response(warp::reply::stream(pieces)).into_parts();
                Outcome::Answered(Response::from_parts(head, body))
            }
            Some(Reply::NotMine(answer)) => Outcome::NotNow(Some(passed_back(answer))),
            None => Outcome::NotNow(None),
        }
    }
}

/// What came of an attempt.
enum Outcome {
    /// This.
    Answered(Response),
    /// Nothing was done; what was said of it.
    NotNow(Option<Response>),
}

impl Whole {
    fn asked(&self, left: Duration) -> Asked {
        let mut headers = self.head.headers.clone();
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        if !headers.contains_key(REQUEST_TIMEOUT)
            && let Ok(seconds) =
                HeaderValue::from_str(&format!("{}.{:03}", left.as_secs(), left.subsec_millis()))
        {
            headers.insert(REQUEST_TIMEOUT, seconds);
        }
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = headers;
        Asked { request, peer: self.head.extensions.get::<Peer>().map(|Peer(address)| *address), left }
    }
}

/// What another server has answered, as this one says it.
fn passed_back(answer: Answered) -> Response {
    let (mut head, body) = answer.into_parts();
    for name in HOP_BY_HOP.into_iter().chain([CONTENT_LENGTH]) {
        head.headers.remove(name);
    }
    Response::from_parts(head, body.into())
}

async fn gathered(coming: RequestBody, headers: &HeaderMap, limits: BodyLimits) -> body::Received {
    let mut coming = match coming {
        RequestBody::Whole(bytes) => return Ok(bytes.unwrap_or_default()),
        coming @ RequestBody::Coming(_) => coming,
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let pieces = stream::poll_fn(move |context| {
        loop {
            match std::task::ready!(Pin::new(&mut coming).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    });
    body::whole(length, pieces, limits).await
}

/// A whole body, whatever it is made of.
pub(super) async fn whole_of(response: Response) -> Answered {
    let (head, body) = response.into_parts();
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    let mut first = Bytes::new();
    while let Some(Ok(frame)) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(data) = frame.into_data() {
            if first.is_empty() {
                first = data;
                continue;
            }
            if bytes.is_empty() {
                bytes.extend_from_slice(&first);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Answered::from_parts(head, if bytes.is_empty() { first } else { bytes.into() })
}
