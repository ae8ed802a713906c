//! The table of contents: which address leads to which handler. The hot route stands first and unboxed.
//! Never does anything itself but to say "not here" and "not so".

use std::convert::Infallible;
use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection, path};

use crate::api::admin::routes::Admins;
use crate::api::door::{self, Denied, Door};
use crate::api::filters::{asks_from, key, timeout, with};
use crate::api::grab::{self, Grabs};
use crate::api::live::Streams;
use crate::api::orders::Orders;
use crate::api::pages::ShownClock;
use crate::api::rehearsals::Rehearsing;
use crate::api::waitlist::Waitlists;
use crate::api::{admin, docs_pages, flights, live, ops, orders, pages, rehearsals, waitlist};
use crate::base::addresses;
use crate::observe::traces;
use crate::parts::metrics::Metrics;
use crate::wire::body::{BodyLimits, received};
use crate::wire::deadline::{REQUEST_TIMEOUT, too_late};
use crate::wire::idempotency;
use crate::wire::names::FlightName;
use crate::wire::problem::{Code, Problem};

/// What all routes together are made of: for each resource what it needs.
#[derive(Clone)]
pub struct Api {
    /// Who may come in.
    pub door: Arc<Door>,
    /// What admins and operators do and see.
    pub admins: Arc<Admins>,
    /// Grabs.
    pub grabs: Arc<Grabs>,
    /// Orders of customers.
    pub orders: Arc<Orders>,
    /// Those who wait for a seat.
    pub waitlists: Arc<Waitlists>,
    /// Flights followed live.
    pub streams: Arc<Streams>,
    /// Rehearsals.
    pub rehearsing: Arc<Rehearsing>,
    /// What the pages count down by.
    pub clock: Arc<ShownClock>,
    /// What counts requests.
    pub metrics: Arc<Metrics>,
    /// The limits of bodies.
    pub body: BodyLimits,
}

/// All routes; every request gets an answer.
pub fn all(api: &Api) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let hot = path!("v1" / "flights" / FlightName / "orders")
        .and(warp::post())
        .and(door::authorization())
        .and(with(&api.grabs))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(grab::place);
    let metrics = api.metrics.clone();
    let rejected = move |rejection| std::future::ready(Ok(rejected(&metrics, &rejection)));
    on_time(api).and(hot.or(cold(api)).unify()).recover(rejected).unify()
}

/// Lets nothing through that has waited unread for longer than a request may take: its client has gone, and must not be
/// sold to. Those who watch over the server are always answered.
fn on_time(api: &Api) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let limit = api.grabs.flights.request_timeout;
    let check = move |path: FullPath| {
        let is_late = traces::came().is_some_and(|came| came.elapsed() >= limit)
            && !["/livez", "/readyz", "/metrics"].contains(&path.as_str());
        std::future::ready(if is_late { Err(warp::reject::custom(Denied(too_late()))) } else { Ok(()) })
    };
    warp::path::full().and_then(check).untuple_one()
}

fn cold(api: &Api) -> BoxedFilter<(Response,)> {
    let groups = [
        flights::routes(&api.admins.sales),
        live::routes(&api.streams),
        orders::routes(&api.orders, &api.door, api.body),
        waitlist::routes(&api.waitlists, &api.door, api.body),
        admin::routes::routes(&api.admins),
        rehearsals::routes(&api.rehearsing, &api.door, api.body),
        ops::routes(&api.admins.figures),
        docs_pages::routes(),
        pages::routes(&api.clock),
    ];
    let answered =
        groups.into_iter().rev().fold(wrong_method(), |rest, group| group.or(rest).unify().boxed());
    let count = |path: FullPath, method: Method, metrics: Arc<Metrics>, response: Response| {
        metrics.count(path.as_str(), &method, response.status());
        response
    };
    warp::path::full().and(warp::method()).and(with(&api.metrics)).and(answered).map(count).boxed()
}

/// A known address with a method it does not know.
fn wrong_method() -> BoxedFilter<(Response,)> {
    let check = |path: FullPath, method: Method| async move {
        match allowed(path.as_str()) {
            Some(methods) if methods.split(", ").all(|name| name != method.as_str()) => {
                Ok(Problem::method_not_allowed(methods).into_response())
            }
            _ => Err(warp::reject::not_found()),
        }
    };
    warp::path::full().and(warp::method()).and_then(check).boxed()
}

/// The methods that an address knows; `None` if there is nothing there.
fn allowed(path: &str) -> Option<&'static str> {
    addresses::address(path).map(|(_, methods)| *methods)
}

/// What no route took, and what warp itself refused.
fn rejected(metrics: &Metrics, rejection: &Rejection) -> Response {
    let problem = if let Some(Denied(problem)) = rejection.find() {
        problem.clone()
    } else if let Some(header) = rejection.find::<warp::reject::InvalidHeader>() {
        let name = match header.name() {
            // It holds what is not ASCII, so that it is no type that anybody takes.
            "content-type" => return refused(metrics, Problem::not_json()),
            "idempotency-key" => "Idempotency-Key",
            REQUEST_TIMEOUT => "Request-Timeout",
            name => name,
        };
        Problem::invalid_field(name, idempotency::KEY_RULE)
    } else if rejection.is_not_found() || rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        // A method that is wrong for a known address has been answered before.
        Problem::new(
            Code::NotFound,
            "No address of this server is called so. GET /v1/flights is one that is.",
        )
    } else {
        tracing::error!(?rejection, "a request was refused for a reason that nobody foresaw");
        Problem::new(Code::Internal, "Something unforeseen happened here, and its log says more.")
    };
    refused(metrics, problem)
}

fn refused(metrics: &Metrics, problem: Problem) -> Response {
    let response = problem.into_response();
    metrics.count_unmatched(response.status());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_with_all_its_segments_only() {
        assert_eq!(allowed("/v1/flights/FR101/orders"), Some("POST"));
        assert_eq!(allowed("/v1/orders/x"), Some("GET, HEAD, PATCH, DELETE"));
        assert_eq!(allowed("/"), Some("GET, HEAD"));
        for path in ["//", "/v1/flights//", "/v1/flights/x/orders/", "/v1/flights//orders", "/v2/flights", ""]
        {
            assert_eq!(allowed(path), None, "{path}");
        }
    }
}
