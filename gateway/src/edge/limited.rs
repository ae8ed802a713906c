//! What stands around the routes, finds out whose address a request counts for, and counts it, before anything else of a
//! request is looked at.
//! Never counts those who watch over the server: their addresses are always answered.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use tower_service::Service;
use warp::http::Request;
use warp::reply::Response;

use crate::parts::auth::Identity;
use crate::parts::metrics::Metrics;
use crate::parts::rate::{Peer, Rates};
use crate::wire::problem::Problem;

/// Addresses that are not counted.
const EXEMPT: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The routes with this around them, where addresses matter.
#[derive(Clone)]
pub struct Limited<S> {
    inner: S,
    counting: Option<(Arc<Identity>, Arc<Metrics>)>,
}

impl<S> Limited<S> {
    /// Puts it around `inner`.
    pub fn new(inner: S, identity: &Arc<Identity>, metrics: &Arc<Metrics>) -> Self {
        let counting = identity.needs_addresses().then(|| (identity.clone(), metrics.clone()));
        Self { inner, counting }
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
        if let Some((identity, metrics)) = &self.counting
            && let Err(problem) = check(&identity.rates, &mut request)
        {
            let response = problem.into_response();
            metrics.count(request.uri().path(), request.method(), response.status());
            return Either::Right(ready(Ok(response)));
        }
        Either::Left(self.inner.call(request))
    }
}

fn check<B>(rates: &Rates, request: &mut Request<B>) -> Result<(), Problem> {
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
