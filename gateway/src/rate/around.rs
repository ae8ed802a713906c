//! What stands around the routes and counts addresses, before anything of a request is looked at.
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

use crate::app::App;
use crate::problem::Problem;

/// Addresses that are not counted.
const EXEMPT: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Who is at the other end of a request's connection; it travels with the request where addresses are limited.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The routes with a limit for each address around them, if there is one.
#[derive(Clone)]
pub struct Limited<S> {
    inner: S,
    app: Option<Arc<App>>,
}

impl<S> Limited<S> {
    /// Puts it around `inner`.
    pub fn new(inner: S, app: &Arc<App>) -> Self {
        Self { inner, app: app.identity.rates.know_addresses().then(|| app.clone()) }
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(app) = &self.app
            && let Err(problem) = check(app, &request)
        {
            let response = problem.into_response();
            app.metrics.count(request.uri().path(), request.method(), response.status());
            return Either::Right(ready(Ok(response)));
        }
        Either::Left(self.inner.call(request))
    }
}

fn check<B>(app: &App, request: &Request<B>) -> Result<(), Problem> {
    if EXEMPT.contains(&request.uri().path()) {
        return Ok(());
    }
    match request.extensions().get::<Peer>() {
        Some(Peer(peer)) => app.identity.rates.address(*peer, request.headers()),
        // Its connection is gone already.
        None => Ok(()),
    }
}
