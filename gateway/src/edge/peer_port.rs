//! What other servers hand on, answered by the same routes as this server's own requests.
//! Never hands anything on again.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};

use farerush_engine::flight::FlightId;
use farerush_peers::{Answered, Answers, Asked, Pieces, Reply};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body::Body as _;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tower_service::Service;
use warp::http::{Request, StatusCode};
use warp::reply::Response;

use crate::api::admin::import::others::{self, KNOWN};
use crate::api::admin::status;
use crate::api::admin::together::STATUS;
use crate::api::cockpit::{self, Charts, SAMPLES};
use crate::api::rehearsals::{self, KNOWN as REHEARSALS};
use crate::edge::forwarding::whole_of;
use crate::edge::server::RequestBody;
use crate::parts::auth::Identity;
use crate::parts::figures::Figures;
use crate::parts::flights::Flights;
use crate::parts::lists::{Lists, STORED};
use crate::parts::other_servers::Upkeep;
use crate::parts::other_servers::handovers::{self, TAKE};
use crate::parts::rate::{self, Peer};
use crate::parts::rehearsal::Rehearsals;
use crate::wire::problem::NotNow;

/// Pieces of an answer that wait to be sent.
const PIECES_WAITING: usize = 16;

/// What other servers are told of this one.
pub struct Shown {
    /// How it is doing.
    pub figures: Arc<Figures>,
    /// What it has counted.
    pub charts: Arc<Charts>,
    /// The rehearsals that it has.
    pub rehearsals: Arc<Rehearsals>,
    /// The flights that it has.
    pub flights: Arc<Flights>,
    /// What it has stored.
    pub lists: Arc<Lists>,
    /// Whose requests it counts.
    pub identity: Arc<Identity>,
}

/// The routes, for other servers.
pub struct PeerPort<S> {
    /// It is never kept for long: a call only makes the answer's future.
    routes: Mutex<S>,
    upkeep: Weak<Upkeep>,
    shown: Shown,
}

/// An answer that is a status alone.
fn bare(status: impl Future<Output = StatusCode> + Send + 'static) -> BoxFuture<'static, Reply> {
    let answer = status.map(|status| {
        let mut answer = Answered::default();
        *answer.status_mut() = status;
        Reply::Answer(answer)
    });
    answer.boxed()
}

/// Requests that the other server is about to let through.
fn counted(identity: &Identity, asked: &Asked) -> Answered {
    let wanted = serde_json::from_slice(asked.request.body()).ok();
    let counted = wanted.and_then(|wanted| identity.rates.count_for_other(&wanted));
    json(counted.and_then(|counted| serde_json::to_vec(&counted).ok()))
}

/// This as an answer, or that the question makes no sense.
fn json(said: Option<Vec<u8>>) -> Answered {
    let mut answer = Answered::default();
    match said {
        Some(json) => *answer.body_mut() = json.into(),
        None => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    answer
}

async fn stored(lists: &Lists, asked: &Asked) -> StatusCode {
    let name = asked.request.body();
    let flight = match name.is_empty() {
        true => None,
        false => match std::str::from_utf8(name).ok().and_then(|name| FlightId::new(name).ok()) {
            Some(flight_id) => Some(flight_id),
            None => return StatusCode::BAD_REQUEST,
        },
    };
    match lists.caught_up_here(flight.as_ref(), asked.left).await {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl<S> PeerPort<S>
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    /// These routes, what is tended meanwhile, and what the others are told.
    pub fn new(routes: S, upkeep: Weak<Upkeep>, shown: Shown) -> Arc<Self> {
        Arc::new(Self { routes: Mutex::new(routes), upkeep, shown })
    }

    fn ask(&self, asked: Asked) -> S::Future {
        let mut request = asked.request.map(RequestBody::whole);
        if let Some(address) = asked.peer {
            request.extensions_mut().insert(Peer(address));
        }
        self.routes.lock().call(request)
    }
}

impl<S> Answers for PeerPort<S>
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Reply> {
        match asked.request.uri().path() {
            TAKE => {
                let upkeep = self.upkeep.upgrade();
                return bare(async move {
                    match upkeep {
                        Some(upkeep) => handovers::take(&upkeep, asked.request.body()).await,
                        None => StatusCode::SERVICE_UNAVAILABLE,
                    }
                });
            }
            rate::COUNT => {
                let answer = counted(&self.shown.identity, &asked);
                return std::future::ready(Reply::Answer(answer)).boxed();
            }
            KNOWN => {
                let flights = self.shown.flights.clone();
                return async move { Reply::Answer(json(others::answer(&flights, asked.request.body()).await)) }
                    .boxed();
            }
            STATUS => {
                let status = status::of_this_server(&self.shown.figures);
                return std::future::ready(Reply::Answer(json(Some(status)))).boxed();
            }
            SAMPLES => {
                let samples = cockpit::own_samples(&self.shown.charts, asked.request.body());
                return std::future::ready(Reply::Answer(json(samples))).boxed();
            }
            REHEARSALS => {
                let id = std::str::from_utf8(asked.request.body()).unwrap_or_default();
                let is_known = rehearsals::is_known(&self.shown.rehearsals, id);
                let said = if is_known { rehearsals::YES } else { b"" };
                return std::future::ready(Reply::Answer(json(Some(said.to_vec())))).boxed();
            }
            STORED => {
                let lists = self.shown.lists.clone();
                return bare(async move { stored(&lists, &asked).await });
            }
            _ => {}
        }
        let answer = self.ask(asked);
        async move {
            let Ok(response) = answer.await;
            let is_not_now = response.extensions().get::<NotNow>().is_some();
            let answer = whole_of(response).await;
            if is_not_now { Reply::NotMine(answer) } else { Reply::Answer(answer) }
        }
        .boxed()
    }

    fn follow(&self, asked: Asked) -> BoxFuture<'static, (Reply, Option<Pieces>)> {
        let answer = self.ask(asked);
        async move {
            let Ok(response) = answer.await;
            if response.extensions().get::<NotNow>().is_some() {
                return (Reply::NotMine(whole_of(response).await), None);
            }
            if !response.status().is_success() {
                return (Reply::Answer(whole_of(response).await), None);
            }
            let (head, body) = response.into_parts();
            let (tell, pieces) = mpsc::channel(PIECES_WAITING);
            tokio::spawn(async move {
                let mut body = pin!(body);
                while let Some(Ok(frame)) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
                    if let Ok(data) = frame.into_data()
                        && tell.send(data).await.is_err()
                    {
                        break;
                    }
                }
            });
            (Reply::Answer(Answered::from_parts(head, bytes::Bytes::new())), Some(pieces))
        }
        .boxed()
    }
}
