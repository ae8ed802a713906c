//! The table of contents: which address leads to which handler. The hot route stands first and unboxed.
//! Never does anything itself but to say "not here" and "not so".

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection, path};

use crate::api::admin;
use crate::api::audit;
use crate::api::cockpit;
use crate::api::cockpit::Charts;
use crate::api::docs_pages;
use crate::api::door::{self, Denied, Door};
use crate::api::flights;
use crate::api::grab::Grabs;
use crate::api::grab::{self, GivenKey};
use crate::api::live;
use crate::api::openapi;
use crate::api::ops;
use crate::api::orders;
use crate::api::orders::Orders;
use crate::api::pages;
use crate::api::pages::Page;
use crate::api::pages::ShownClock;
use crate::api::rehearsals;
use crate::api::rehearsals::Asked;
use crate::api::waitlist;
use crate::api::waitlist::WaitlistName;
use crate::api::waitlist::Waitlists;
use crate::base::addresses;
use crate::observe::traces;
use crate::parts::auth::{Deed, Role};
use crate::parts::figures::Figures;
use crate::parts::live::LastEventId;
use crate::parts::metrics::Metrics;
use crate::parts::rate::Peer;
use crate::parts::sales::Sales;
use crate::wire::body::{BodyLimits, Received, received};
use crate::wire::csv_text::Accepts;
use crate::wire::deadline::{GivenTimeout, REQUEST_TIMEOUT, too_late};
use crate::wire::names::{FlightName, OrderName};
use crate::wire::problem::{Code, Problem};

/// What all routes together are made of: for each resource what it needs.
#[derive(Clone)]
pub struct Api {
    /// Who may come in.
    pub door: Arc<Door>,
    /// Grabs.
    pub grabs: Arc<Grabs>,
    /// Flights, and what an admin does with them.
    pub sales: Arc<Sales>,
    /// Orders of customers.
    pub orders: Arc<Orders>,
    /// Those who wait for a seat.
    pub waitlists: Arc<Waitlists>,
    /// Flights followed live.
    pub streams: Arc<live::Streams>,
    /// Files of flights.
    pub imports: Arc<admin::import::Imports>,
    /// The admin's charts.
    pub charts: Arc<Charts>,
    /// Rehearsals.
    pub asked: Arc<Asked>,
    /// What operators look at.
    pub figures: Arc<Figures>,
    /// What the pages count down by.
    pub clock: Arc<ShownClock>,
    /// What counts requests.
    pub metrics: Arc<Metrics>,
    /// The limits of bodies.
    pub body: BodyLimits,
}

type Answered = Result<Response, Problem>;

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
    let limit = api.sales.flights.request_timeout;
    let check = move |path: FullPath| {
        let is_late = traces::came().is_some_and(|came| came.elapsed() >= limit)
            && !["/livez", "/readyz", "/metrics"].contains(&path.as_str());
        std::future::ready(if is_late { Err(warp::reject::custom(Denied(too_late()))) } else { Ok(()) })
    };
    warp::path::full().and_then(check).untuple_one()
}

fn cold(api: &Api) -> BoxedFilter<(Response,)> {
    let groups = [
        about_flights(api),
        about_orders(api),
        about_waitlists(api),
        for_admins(api),
        admin_actions(api),
        admin_reads(api),
        about_rehearsals(api),
        for_operators(api),
        for_readers(),
        for_visitors(api),
    ];
    let count = |path: FullPath, method: Method, metrics: Arc<Metrics>, response: Response| {
        metrics.count(path.as_str(), &method, response.status());
        response
    };
    let answered =
        first_of(groups.into_iter().map(first_of).collect()).map(answer).or(wrong_method()).unify().boxed();
    warp::path::full().and(warp::method()).and(with(&api.metrics)).and(answered).map(count).boxed()
}

/// A route that is not hot. Boxed, because a route's type is everything that it is put together from: as one type, they
/// took the compiler longer than all else here together.
type Route = BoxedFilter<(Answered,)>;

/// What the first of them says that takes a request; they are asked in their order.
fn first_of(routes: Vec<Route>) -> Route {
    let none = warp::any().and_then(|| std::future::ready(Err::<Answered, _>(warp::reject::not_found())));
    let none = none.boxed();
    routes.into_iter().rev().reduce(|rest, route| route.or(rest).unify().boxed()).unwrap_or(none)
}

fn about_flights(api: &Api) -> Vec<Route> {
    let reading = || warp::get().and(with(&api.sales)).and(query()).boxed();
    let list = path!("v1" / "flights").and(reading()).then(flights::list).boxed();
    let one = path!("v1" / "flights" / FlightName).and(reading()).then(flights::one).boxed();
    let seats = path!("v1" / "flights" / FlightName / "seats").and(reading()).then(flights::seats).boxed();
    let live = path!("v1" / "flights" / FlightName / "live")
        .and(warp::get())
        .and(with(&api.streams))
        .and(query())
        .and(warp::header::optional::<LastEventId>("last-event-id"))
        .then(live::stream)
        .boxed();
    vec![list, one, seats, live]
}

/// What comes with a request that changes something: its key, where it asks from, how long it waits, its body.
fn change(api: &Api) -> BoxedFilter<(Option<GivenKey>, Option<IpAddr>, Option<GivenTimeout>, Received)> {
    key().and(asks_from()).and(timeout()).and(received(api.body)).boxed()
}

fn about_orders(api: &Api) -> Vec<Route> {
    let reads = || door::caller(&api.door, Deed::Reads).and(with(&api.orders)).and(query()).boxed();
    let changes = || door::caller(&api.door, Deed::Changes).and(with(&api.orders)).and(change(api)).boxed();
    let of_customer = path!("v1" / "orders").and(warp::get()).and(reads()).then(orders::of_customer).boxed();
    let one = path!("v1" / "orders" / OrderName)
        .and(warp::get())
        .and(reads())
        .and(timeout())
        .then(orders::one)
        .boxed();
    let order = || path!("v1" / "orders" / OrderName);
    let changed = order().and(warp::patch()).and(changes()).then(orders::change).boxed();
    let pay = path!("v1" / "orders" / OrderName / "pay");
    let pay = pay.and(warp::post()).and(changes()).then(orders::pay).boxed();
    let confirm = path!("v1" / "orders" / OrderName / "confirm")
        .and(warp::post())
        .and(door::payer(&api.door))
        .and(with(&api.orders))
        .and(change(api))
        .then(orders::confirm)
        .boxed();
    let cancel = path!("v1" / "orders" / OrderName / "cancel").and(warp::post());
    let delete = order().and(warp::delete());
    let cancel = cancel.or(delete).unify().and(changes()).then(orders::cancel).boxed();
    vec![of_customer, one, changed, pay, confirm, cancel]
}

fn about_waitlists(api: &Api) -> Vec<Route> {
    let changes =
        || door::caller(&api.door, Deed::Changes).and(with(&api.waitlists)).and(change(api)).boxed();
    let join = path!("v1" / "flights" / FlightName / "waitlist");
    let join = join.and(warp::post()).and(changes()).then(waitlist::join).boxed();
    let one = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::get())
        .and(door::caller(&api.door, Deed::Reads))
        .and(with(&api.waitlists))
        .and(query())
        .and(timeout())
        .then(waitlist::one)
        .boxed();
    let leave = path!("v1" / "waitlist" / WaitlistName);
    let leave = leave.and(warp::delete()).and(changes()).then(waitlist::leave).boxed();
    let list = path!("v1" / "admin" / "flights" / FlightName / "waitlist")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.waitlists))
        .and(query())
        .then(waitlist::list)
        .boxed();
    vec![join, one, leave, list]
}

fn for_admins(api: &Api) -> Vec<Route> {
    let create = path!("v1" / "admin" / "flights")
        .and(warp::post())
        .and(door::admin(&api.door, Role::Admin))
        .and(with(&api.sales))
        .and(key())
        .and(received(api.body))
        .then(admin::flights::create)
        .boxed();
    let change = path!("v1" / "admin" / "flights" / FlightName)
        .and(warp::patch())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.sales))
        .and(key())
        .and(received(api.body))
        .then(admin::flights::change_policy)
        .boxed();
    let list = path!("v1" / "admin" / "orders")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.sales))
        .and(query())
        .and(accepts())
        .then(admin::orders::list)
        .boxed();
    let status = path!("v1" / "admin" / "status")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.figures))
        .and(query())
        .then(admin::status::show)
        .boxed();
    let cockpit = path!("v1" / "admin" / "cockpit")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.charts))
        .and(query())
        .then(cockpit::show)
        .boxed();
    vec![create, change, list, status, cockpit]
}

/// What is told about one flight, and the way in for many.
fn admin_reads(api: &Api) -> Vec<Route> {
    let import = path!("v1" / "admin" / "flights" / "import")
        .and(warp::post())
        .and(door::admin(&api.door, Role::Admin))
        .and(with(&api.imports))
        .and(key())
        .and(query())
        .and(admin::import::file(&api.imports))
        .then(admin::import::import)
        .boxed();
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..).boxed();
    let reading = || {
        warp::get()
            .and(door::admin(&api.door, Role::Viewer))
            .and(with(&api.sales))
            .and(query())
            .and(accepts())
            .boxed()
    };
    let manifest = flight().and(path!("manifest")).and(reading()).then(admin::manifest::show).boxed();
    let audit = flight().and(path!("audit")).and(reading()).then(audit::show).boxed();
    let refunds = flight().and(path!("refunds")).and(reading()).then(admin::refunds::list).boxed();
    vec![import, manifest, audit, refunds]
}

/// The addresses under one flight that take a POST.
fn admin_actions(api: &Api) -> Vec<Route> {
    use admin::flights::{block, close, open, pause, restart, rows, unblock};
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..).boxed();
    let acting = || {
        warp::post()
            .and(door::admin(&api.door, Role::Operator))
            .and(with(&api.sales))
            .and(key())
            .and(received(api.body))
            .boxed()
    };
    let open = flight().and(path!("open")).and(acting()).then(open).boxed();
    let pause = flight().and(path!("pause")).and(acting()).then(pause).boxed();
    let close = flight().and(path!("close")).and(acting()).then(close).boxed();
    let block = flight().and(path!("seats" / "block")).and(acting()).then(block).boxed();
    let unblock = flight().and(path!("seats" / "unblock")).and(acting()).then(unblock).boxed();
    let rows = flight().and(path!("rows")).and(acting()).then(rows).boxed();
    let restart = flight().and(path!("restart")).and(acting()).then(restart).boxed();
    let planning = || {
        let admin = warp::post().and(door::admin(&api.door, Role::Operator));
        admin.and(with(&api.sales.flights)).and(key()).and(query()).and(received(api.body)).boxed()
    };
    let swap = flight().and(path!("aircraft")).and(planning()).then(admin::seat_plan::swap).boxed();
    let withdraw = flight().and(path!("seats" / "withdraw"));
    let withdraw = withdraw.and(planning()).then(admin::seat_plan::withdraw).boxed();
    vec![open, pause, close, block, unblock, rows, swap, withdraw, restart]
}

/// A rush on a shadow of a flight.
fn about_rehearsals(api: &Api) -> Vec<Route> {
    let one = || path!("v1" / "admin" / "rehearsals" / String).boxed();
    let start = path!("v1" / "admin" / "flights" / FlightName / "rehearsals")
        .and(warp::post())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.asked))
        .and(received(api.body))
        .then(rehearsals::start)
        .boxed();
    let reading =
        || warp::get().and(door::admin(&api.door, Role::Viewer)).and(with(&api.asked)).and(query()).boxed();
    let show = one().and(reading()).then(rehearsals::show).boxed();
    let seats = path!("v1" / "admin" / "rehearsals" / String / "seats");
    let seats = seats.and(reading()).then(rehearsals::seats).boxed();
    let stop = one()
        .and(warp::delete())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.asked))
        .and(query())
        .then(rehearsals::stop)
        .boxed();
    vec![start, show, seats, stop]
}

fn for_operators(api: &Api) -> Vec<Route> {
    let read = || warp::get().and(query()).boxed();
    let livez = path!("livez").and(read()).then(ops::livez).boxed();
    let readyz = path!("readyz").and(warp::get()).and(with(&api.figures.health)).and(query());
    let metrics = path!("metrics").and(warp::get()).and(with(&api.figures)).and(query());
    vec![livez, readyz.then(ops::readyz).boxed(), metrics.then(ops::metrics).boxed()]
}

/// The documentation.
fn for_readers() -> Vec<Route> {
    let read = || warp::get().and(query()).boxed();
    let document = path!("openapi.json").and(read()).then(openapi::show).boxed();
    let docs = path!("docs").and(read()).then(docs_pages::docs).boxed();
    let file = path!("docs" / "ui" / String).and(read()).then(docs_pages::ui_file).boxed();
    let errors = path!("docs" / "errors").and(read()).then(docs_pages::errors).boxed();
    let error = path!("docs" / "errors" / String).and(read()).then(docs_pages::error).boxed();
    vec![document, docs, file, errors, error]
}

/// The pages, and the clock that they count down by.
fn for_visitors(api: &Api) -> Vec<Route> {
    let shown = |which: Page| move |headers: HeaderMap| pages::page(which, headers);
    let read = || warp::get().and(warp::header::headers_cloned()).boxed();
    let departures = warp::path::end().and(read()).then(shown(Page::Departures)).boxed();
    let flight = path!("flights" / String).and(read());
    let flight = flight.then(|_, headers| pages::page(Page::Flight, headers)).boxed();
    let orders = path!("orders").and(read()).then(shown(Page::Orders)).boxed();
    let admin = path!("admin").and(read()).then(shown(Page::Admin)).boxed();
    let asset = path!("assets" / String).and(read()).then(pages::asset).boxed();
    let time = path!("v1" / "time").and(warp::get()).and(with(&api.clock)).and(query());
    vec![departures, flight, orders, admin, asset, time.then(pages::time).boxed()]
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

fn with<T>(what: &Arc<T>) -> impl Filter<Extract = (Arc<T>,), Error = Infallible> + Clone + use<T>
where
    T: Send + Sync,
{
    let what = what.clone();
    warp::any().map(move || what.clone())
}

/// How long the client waits, if it says so.
fn timeout() -> impl Filter<Extract = (Option<GivenTimeout>,), Error = Rejection> + Copy {
    warp::header::optional::<GivenTimeout>(REQUEST_TIMEOUT)
}

/// The key under which a repetition changes nothing more, if there is one.
fn key() -> impl Filter<Extract = (Option<GivenKey>,), Error = Rejection> + Copy {
    warp::header::optional::<GivenKey>("idempotency-key")
}

/// The address that a request counts for, where that matters.
fn asks_from() -> impl Filter<Extract = (Option<IpAddr>,), Error = Infallible> + Copy {
    warp::ext::optional::<Peer>().map(|peer: Option<Peer>| peer.map(|Peer(address)| address))
}

/// Whether CSV is wanted.
fn accepts() -> impl Filter<Extract = (Option<Accepts>,), Error = Rejection> + Copy {
    warp::header::optional::<Accepts>("accept")
}

/// The raw query, empty if there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn answer(answered: Answered) -> Response {
    answered.unwrap_or_else(Problem::into_response)
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
        Problem::invalid_field(name, grab::KEY_RULE)
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
