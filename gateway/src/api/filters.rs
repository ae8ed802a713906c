//! What routes are put together from: filters that take a part of a request, and what becomes of an answer.
//! Never decides anything.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::parts::rate::Peer;
use crate::wire::csv_text::Accepts;
use crate::wire::deadline::{GivenTimeout, REQUEST_TIMEOUT};
use crate::wire::idempotency::GivenKey;
use crate::wire::problem::Problem;

/// What a handler needs.
pub fn with<T>(what: &Arc<T>) -> impl Filter<Extract = (Arc<T>,), Error = Infallible> + Clone + use<T>
where
    T: Send + Sync,
{
    let what = what.clone();
    warp::any().map(move || what.clone())
}

/// How long the client waits, if it says so.
pub fn timeout() -> impl Filter<Extract = (Option<GivenTimeout>,), Error = Rejection> + Copy {
    warp::header::optional::<GivenTimeout>(REQUEST_TIMEOUT)
}

/// The key under which a repetition changes nothing more, if there is one.
pub fn key() -> impl Filter<Extract = (Option<GivenKey>,), Error = Rejection> + Copy {
    warp::header::optional::<GivenKey>("idempotency-key")
}

/// The address that a request counts for, where that matters.
pub fn asks_from() -> impl Filter<Extract = (Option<IpAddr>,), Error = Infallible> + Copy {
    warp::ext::optional::<Peer>().map(|peer: Option<Peer>| peer.map(|Peer(address)| address))
}

/// Whether CSV is wanted.
pub fn accepts() -> impl Filter<Extract = (Option<Accepts>,), Error = Rejection> + Copy {
    warp::header::optional::<Accepts>("accept")
}

/// The raw query, empty if there is none.
pub fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// A handler's answer, or its problem as one.
fn answer(answered: Result<Response, Problem>) -> Response {
    answered.unwrap_or_else(Problem::into_response)
}

/// A route that is not hot. Boxed, because a route's type is everything that it is put together from: as one type, they took
/// the compiler longer than all else here together.
pub type Route = BoxedFilter<(Result<Response, Problem>,)>;

/// What the first of them answers that takes a request; they are asked in their order.
pub fn first_of(
    routes: impl IntoIterator<Item = Route, IntoIter: DoubleEndedIterator>,
) -> BoxedFilter<(Response,)> {
    let none = warp::any()
        .and_then(|| std::future::ready(Err::<Result<Response, Problem>, _>(warp::reject::not_found())))
        .boxed();
    routes.into_iter().rev().fold(none, |rest, route| route.or(rest).unify().boxed()).map(answer).boxed()
}
