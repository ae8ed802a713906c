//! What other servers hand on, answered by the same routes as this server's own requests.
//! Never hands anything on again.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};

use farerush_peers::{Answered, Answers, Asked, Pieces, Reply};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body::Body as _;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tower_service::Service;
use warp::http::{Request, StatusCode};
use warp::reply::Response;

use crate::edge::forwarding::whole_of;
use crate::edge::server::RequestBody;
use crate::parts::other_servers::Upkeep;
use crate::parts::other_servers::handovers::{self, TAKE};
use crate::parts::rate::Peer;
use crate::wire::problem::NotNow;

/// Pieces of an answer that wait to be sent.
const PIECES_WAITING: usize = 16;

/// The routes, for other servers.
pub struct PeerPort<S> {
    /// It is never kept for long: a call only makes the answer's future.
    routes: Mutex<S>,
    upkeep: Weak<Upkeep>,
}

impl<S> PeerPort<S>
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    /// These routes, and what is tended meanwhile.
    pub fn new(routes: S, upkeep: Weak<Upkeep>) -> Arc<Self> {
        Arc::new(Self { routes: Mutex::new(routes), upkeep })
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
        if asked.request.uri().path() == TAKE {
            let upkeep = self.upkeep.upgrade();
            return async move {
                let status = match upkeep {
                    Some(upkeep) => handovers::take(&upkeep, asked.request.body()).await,
                    None => StatusCode::SERVICE_UNAVAILABLE,
                };
                let mut answer = Answered::default();
                *answer.status_mut() = status;
                Reply::Answer(answer)
            }
            .boxed();
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
