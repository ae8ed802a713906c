//! What stands around the routes, finds out whose address a request counts for, and counts it, before anything else of a
//! request is looked at.
//! Never counts those who watch over the server: their addresses are always answered.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use tower_service::Service;
use warp::http::Request;
use warp::reply::Response;

use crate::parts::app::App;
use crate::wire::problem::Problem;

/// Addresses that are not counted.
const EXEMPT: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Whose address a request counts for, where addresses matter: the other end's of its connection, until a trusted proxy has
/// said for whom it asks.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The routes with this around them, where addresses matter.
#[derive(Clone)]
pub struct Limited<S> {
    inner: S,
    app: Option<Arc<App>>,
}

impl<S> Limited<S> {
    /// Puts it around `inner`.
    pub fn new(inner: S, app: &Arc<App>) -> Self {
        Self { inner, app: app.identity.needs_addresses().then(|| app.clone()) }
    }
}

impl<S, B> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(app) = &self.app
            && let Err(problem) = check(app, &mut request)
        {
            let response = problem.into_response();
            app.metrics.count(request.uri().path(), request.method(), response.status());
            return Either::Right(ready(Ok(response)));
        }
        Either::Left(self.inner.call(request))
    }
}

fn check<B>(app: &App, request: &mut Request<B>) -> Result<(), Problem> {
    let rates = &app.identity.rates;
    // Without one, its connection is gone already.
    let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() else { return Ok(()) };
    let address = rates.counted(peer, request.headers());
    if let Some(peer) = request.extensions_mut().get_mut::<Peer>() {
        *peer = Peer(address);
    }
    if EXEMPT.contains(&request.uri().path()) {
        return Ok(());
    }
    rates.address(address)
}
