//! What stands around the routes where servers share flights: a request about a flight that another server has is handed on to
//! it, and its answer passed back. While a flight is on its way from one server to another, whoever asks for it waits.
//! Never decides anything about a flight.

mod lists;
mod subject;
mod whole;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use farerush_engine::actor::Located;
use farerush_engine::flight::FlightId;
use farerush_peers::{NotAnswered, Peers, Reply};
use futures_util::future::{BoxFuture, Either};
use futures_util::{FutureExt as _, stream};
use tokio::sync::Semaphore;
use tower_service::Service;
use warp::http::{Method, Request};
use warp::reply::Response;

use self::lists::{LIST, Lists};
use self::subject::Subject;
pub(super) use self::whole::whole_of;
use self::whole::{Whole, gathered, is_small, passed_back};
use crate::api::rehearsals::{self, Rehearsing};
use crate::base::long_body::LongBody;
use crate::edge::server::RequestBody;
use crate::observe::traces;
use crate::parts::flights::{AboutFlight, Flights};
use crate::parts::other_servers::Whereabouts;
use crate::wire::body::BodyLimits;
use crate::wire::problem::{NotNow, Problem};

/// Where flights are created: which one it is, the body says.
const FLIGHTS: &str = "/v1/admin/flights";
/// How long to wait before it is looked again where a flight is that is on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// So long after a request was handed on it is looked whether the flight has another server by now, again and again.
const LOOK_AFTER: Duration = Duration::from_millis(250);
/// How long an answer that was on its way is waited for once the flight has another server.
const GRACE: Duration = Duration::from_millis(100);
/// How long somebody waits because Redis does not say whose a flight is.
const DOUBT_MAX: Duration = Duration::from_millis(500);
/// A live stream of which nothing came for so long has ended: something comes every 15 s.
const STREAM_SILENCE_MAX: Duration = Duration::from_secs(35);
/// Requests that may wait for flights of other servers; beyond that, who asks is told to come back.
const WAITING_MAX: usize = 8_192;

/// The ways to the flights of other servers.
pub struct Forwarder {
    flights: Arc<Flights>,
    peers: Arc<Peers>,
    body: BodyLimits,
    waiting: Arc<Semaphore>,
    count: Arc<AtomicU64>,
    rehearsing: Arc<Rehearsing>,
    lists: Lists,
}

impl Forwarder {
    /// To the servers that these peers are. `count` says how many requests were handed on; `rehearsing` which rehearsals are here.
    pub fn new(
        flights: Arc<Flights>,
        peers: Arc<Peers>,
        body: BodyLimits,
        count: Arc<AtomicU64>,
        rehearsing: Arc<Rehearsing>,
    ) -> Self {
        Self {
            rehearsing,
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
            Subject::Rehearsal(id) => self.place_of_rehearsal(id).await,
            Subject::Server => Ok(Whereabouts::Here),
        }
    }

    async fn place_of_rehearsal(&self, id: &str) -> Result<Whereabouts, Problem> {
        if rehearsals::is_known(&self.rehearsing.rehearsals, id) {
            return Ok(Whereabouts::Here);
        }
        let server = rehearsals::server_of(&self.rehearsing.others, id).await?;
        Ok(server.map_or(Whereabouts::Here, Whereabouts::At))
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
        let is_elsewhere = match &subject {
            Subject::Named(name) => forwarder.flights.other_servers.is_other_server(name),
            Subject::Rehearsal(id) => {
                !rehearsals::is_known(&forwarder.rehearsing.rehearsals, id) && !forwarder.others().is_empty()
            }
            _ => false,
        };
        if is_elsewhere {
            let wanted = Wanted {
                forwarder: forwarder.clone(),
                inner: self.inner.clone(),
                subject,
                in_doubt_since: None,
            };
            return Either::Right(wanted.answer(request, false).map(Ok).boxed());
        }
        let (Subject::Flight(flight_id) | Subject::Live(flight_id)) = &subject else {
            if request.method() == Method::POST && request.uri().path() == FLIGHTS && is_small(&request) {
                let (forwarder, inner) = (forwarder.clone(), self.inner.clone());
                let wanted = Wanted { forwarder, inner, subject, in_doubt_since: None };
                return Either::Right(wanted.answer(request, true).map(Ok).boxed());
            }
            let is_list = request.method() == Method::GET && request.uri().path() == LIST;
            if !is_list || forwarder.others().is_empty() {
                return Either::Left(self.inner.call(request));
            }
            let (forwarder, mut inner) = (forwarder.clone(), self.inner.clone());
            let target = request.uri().path_and_query().map_or(LIST, |target| target.as_str()).to_owned();
            let page = async move {
                let here = lists::own(inner.call(request)).await;
                passed_back(forwarder.lists.page(&forwarder, &target, here).await)
            };
            return Either::Right(page.map(Ok).boxed());
        };
        let is_here = forwarder.is_here(flight_id);
        if is_here && !is_small(&request) {
            return Either::Left(self.inner.call(request));
        }
        if is_here && matches!(subject, Subject::Live(_)) {
            return Either::Left(self.inner.call(request));
        }
        let wanted =
            Wanted { forwarder: forwarder.clone(), inner: self.inner.clone(), subject, in_doubt_since: None };
        Either::Right(wanted.answer(request, is_here).map(Ok).boxed())
    }
}

/// A request whose flight may be another server's.
struct Wanted<S> {
    forwarder: Arc<Forwarder>,
    inner: S,
    subject: Subject,
    /// Since when it cannot be found out whose the flight is.
    in_doubt_since: Option<Instant>,
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
        let whole = Whole::new(head, body);
        if is_here {
            let response = self.ask_here(&whole).await;
            if response.extensions().get::<NotNow>().is_none() {
                return response;
            }
            match response.extensions().get::<AboutFlight>() {
                Some(AboutFlight(flight_id)) => self.subject = Subject::Flight(flight_id.clone()),
                None if self.subject == Subject::Server => return response,
                None => {}
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
            if Instant::now() + LOOK_AGAIN + GRACE >= until {
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
            // Redis may answer in a moment; a server that is cut off from it sends whoever asks to another one.
            Err(problem) => {
                let is_brief = self.in_doubt_since.get_or_insert_with(Instant::now).elapsed() < DOUBT_MAX;
                let response = problem.into_response();
                if is_brief { Outcome::NotNow(Some(response)) } else { Outcome::Answered(response) }
            }
            Ok(Whereabouts::Between) => Outcome::NotNow(None),
            // Nothing changes by waiting; a balancer asks that one.
            Ok(Whereabouts::Apart) => Outcome::Answered(self.ask_here(whole).await),
            Ok(Whereabouts::Here) => {
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
        if left <= GRACE {
            // To find out whose it is took all the time there was: nothing was sent, and nothing is.
            return Outcome::NotNow(None);
        }
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
                        // Whoever gives a flight away has answered before.
                        Ok(_) => match tokio::time::timeout(GRACE, &mut reply).await {
                            Ok(replied) => replied,
                            Err(_) => Err(NotAnswered::Unknown),
                        },
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
        if left <= GRACE {
            return Outcome::NotNow(None);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let asked = whole.asked(left);
        let follow = tokio::time::timeout_at(until.into(), self.peers.follow(server, &asked));
        let Ok(Ok(mut followed)) = follow.await else { return Outcome::NotNow(None) };
        match followed.reply() {
            Some(Reply::Answer(answer)) => {
                let (head, _) = passed_back(answer).into_parts();
                let mark = LongBody::default();
                let read = mark.clone();
                let pieces = stream::unfold((followed, read), |(mut followed, read)| async move {
                    read.was_read();
                    let piece = tokio::time::timeout(STREAM_SILENCE_MAX, followed.piece()).await.ok()??;
                    Some((Ok::<_, Infallible>(piece), (followed, read)))
                });
                let (_, body) = warp::Reply::into_response(warp::reply::stream(pieces)).into_parts();
                let mut response = Response::from_parts(head, body);
                response.extensions_mut().insert(mark);
                Outcome::Answered(response)
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
