//! What stands around the routes, finds out whose address a request counts for, and counts it, before anything else of a
//! request is looked at.
//! Never counts those who watch over the server: their addresses are always answered.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either};
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
    S: Service<Request<B>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        Either<S::Future, Ready<Result<Response, Infallible>>>,
        BoxFuture<'static, Result<Response, Infallible>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some((identity, metrics)) = &self.counting
            && let Some(address) = counted(&identity.rates, &mut request)
        {
            match identity.rates.address_now(address) {
                Some(Ok(())) => {}
                Some(Err(problem)) => {
                    return Either::Left(Either::Right(ready(Ok(turned_away(metrics, &request, problem)))));
                }
                // Another server counts this address.
                None => {
                    let (identity, metrics) = (identity.clone(), metrics.clone());
                    let mut inner = self.inner.clone();
                    let answer = async move {
                        match identity.rates.address(address).await {
                            Ok(()) => inner.call(request).await,
                            Err(problem) => Ok(turned_away(&metrics, &request, problem)),
                        }
                    };
                    return Either::Right(answer.boxed());
                }
            }
        }
        Either::Left(Either::Left(self.inner.call(request)))
    }
}

fn turned_away<B>(metrics: &Metrics, request: &Request<B>, problem: Problem) -> Response {
    let response = problem.into_response();
    metrics.count(request.uri().path(), request.method(), response.status());
    response
}

/// The address that the request counts for, if it does.
fn counted<B>(rates: &Rates, request: &mut Request<B>) -> Option<IpAddr> {
    // Without one, its connection is gone already.
    let Peer(peer) = request.extensions().get::<Peer>().copied()?;
    let address = rates.counted(peer, request.headers());
    if let Some(peer) = request.extensions_mut().get_mut::<Peer>() {
        *peer = Peer(address);
    }
    (!EXEMPT.contains(&request.uri().path())).then_some(address)
}
