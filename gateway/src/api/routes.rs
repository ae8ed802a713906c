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
use crate::wire::body::BodyLimits;
use crate::wire::body::received;
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
    let answered = about_flights(api)
        .or(about_orders(api))
        .unify()
        .or(about_waitlists(api))
        .unify()
        .or(for_admins(api))
        .unify()
        .or(about_rehearsals(api))
        .unify()
        .or(for_operators(api))
        .unify()
        .or(for_readers())
        .unify()
        .or(for_visitors(api))
        .unify()
        .or(wrong_method())
        .unify()
        .boxed();
    let count = |path: FullPath, method: Method, metrics: Arc<Metrics>, response: Response| {
        metrics.count(path.as_str(), &method, response.status());
        response
    };
    warp::path::full().and(warp::method()).and(with(&api.metrics)).and(answered).map(count).boxed()
}

fn about_flights(api: &Api) -> BoxedFilter<(Response,)> {
    let list =
        path!("v1" / "flights").and(warp::get()).and(with(&api.sales)).and(query()).then(flights::list);
    let one = path!("v1" / "flights" / FlightName)
        .and(warp::get())
        .and(with(&api.sales))
        .and(query())
        .then(flights::one);
    let seats = path!("v1" / "flights" / FlightName / "seats")
        .and(warp::get())
        .and(with(&api.sales))
        .and(query())
        .then(flights::seats);
    let live = path!("v1" / "flights" / FlightName / "live")
        .and(warp::get())
        .and(with(&api.streams))
        .and(query())
        .and(warp::header::optional::<LastEventId>("last-event-id"))
        .then(live::stream);
    list.or(one).unify().or(seats).unify().or(live).unify().map(answer).boxed()
}

fn about_orders(api: &Api) -> BoxedFilter<(Response,)> {
    let reads = || door::caller(&api.door, Deed::Reads);
    let changes = || door::caller(&api.door, Deed::Changes);
    let of_customer = path!("v1" / "orders")
        .and(warp::get())
        .and(reads())
        .and(with(&api.orders))
        .and(query())
        .then(orders::of_customer);
    let one = path!("v1" / "orders" / OrderName)
        .and(warp::get())
        .and(reads())
        .and(with(&api.orders))
        .and(query())
        .and(timeout())
        .then(orders::one);
    let change = path!("v1" / "orders" / OrderName)
        .and(warp::patch())
        .and(changes())
        .and(with(&api.orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(orders::change);
    let pay = path!("v1" / "orders" / OrderName / "pay")
        .and(warp::post())
        .and(changes())
        .and(with(&api.orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(orders::pay);
    let confirm = path!("v1" / "orders" / OrderName / "confirm")
        .and(warp::post())
        .and(door::payer(&api.door))
        .and(with(&api.orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(orders::confirm);
    let cancel = path!("v1" / "orders" / OrderName / "cancel").and(warp::post());
    let delete = path!("v1" / "orders" / OrderName).and(warp::delete());
    let cancel = cancel
        .or(delete)
        .unify()
        .and(changes())
        .and(with(&api.orders))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(orders::cancel);
    let changing = change.or(pay).unify().or(confirm).unify().or(cancel).unify();
    of_customer.or(one).unify().or(changing).unify().map(answer).boxed()
}

fn about_waitlists(api: &Api) -> BoxedFilter<(Response,)> {
    let join = path!("v1" / "flights" / FlightName / "waitlist")
        .and(warp::post())
        .and(door::caller(&api.door, Deed::Changes))
        .and(with(&api.waitlists))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(waitlist::join);
    let one = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::get())
        .and(door::caller(&api.door, Deed::Reads))
        .and(with(&api.waitlists))
        .and(query())
        .and(timeout())
        .then(waitlist::one);
    let leave = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::delete())
        .and(door::caller(&api.door, Deed::Changes))
        .and(with(&api.waitlists))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(api.body))
        .then(waitlist::leave);
    let list = path!("v1" / "admin" / "flights" / FlightName / "waitlist")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.waitlists))
        .and(query())
        .then(waitlist::list);
    join.or(one).unify().or(leave).unify().or(list).unify().map(answer).boxed()
}

fn for_admins(api: &Api) -> BoxedFilter<(Response,)> {
    let create = path!("v1" / "admin" / "flights")
        .and(warp::post())
        .and(door::admin(&api.door, Role::Admin))
        .and(with(&api.sales))
        .and(key())
        .and(received(api.body))
        .then(admin::flights::create);
    let change = path!("v1" / "admin" / "flights" / FlightName)
        .and(warp::patch())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.sales))
        .and(key())
        .and(received(api.body))
        .then(admin::flights::change_policy);
    let list = path!("v1" / "admin" / "orders")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.sales))
        .and(query())
        .and(accepts())
        .then(admin::orders::list);
    let status = path!("v1" / "admin" / "status")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.figures))
        .and(query())
        .then(admin::status::show);
    let cockpit = path!("v1" / "admin" / "cockpit")
        .and(warp::get())
        .and(door::admin(&api.door, Role::Viewer))
        .and(with(&api.charts))
        .and(query())
        .then(cockpit::show);
    let one_flight = create.or(change).unify().or(list).unify().or(status).unify().or(cockpit).unify();
    one_flight.map(answer).or(admin_actions(api)).unify().or(admin_reads(api)).unify().boxed()
}

/// What is told about one flight, and the way in for many.
fn admin_reads(api: &Api) -> BoxedFilter<(Response,)> {
    let import = path!("v1" / "admin" / "flights" / "import")
        .and(warp::post())
        .and(door::admin(&api.door, Role::Admin))
        .and(with(&api.imports))
        .and(key())
        .and(query())
        .and(admin::import::file(&api.imports))
        .then(admin::import::import);
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..);
    let reading = || {
        warp::get()
            .and(door::admin(&api.door, Role::Viewer))
            .and(with(&api.sales))
            .and(query())
            .and(accepts())
    };
    let manifest = flight().and(path!("manifest")).and(reading()).then(admin::manifest::show);
    let audit = flight().and(path!("audit")).and(reading()).then(audit::show);
    let refunds = flight().and(path!("refunds")).and(reading()).then(admin::refunds::list);
    import.or(manifest).unify().or(audit).unify().or(refunds).unify().map(answer).boxed()
}

/// The addresses under one flight that take a POST.
fn admin_actions(api: &Api) -> BoxedFilter<(Response,)> {
    use admin::flights::{block, close, open, pause, restart as restart_it, rows, unblock};
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..);
    let acting = || {
        warp::post()
            .and(door::admin(&api.door, Role::Operator))
            .and(with(&api.sales))
            .and(key())
            .and(received(api.body))
    };
    let open = flight().and(path!("open")).and(acting()).then(open);
    let pause = flight().and(path!("pause")).and(acting()).then(pause);
    let close = flight().and(path!("close")).and(acting()).then(close);
    let block = flight().and(path!("seats" / "block")).and(acting()).then(block);
    let unblock = flight().and(path!("seats" / "unblock")).and(acting()).then(unblock);
    let rows = flight().and(path!("rows")).and(acting()).then(rows);
    let planning = || {
        let admin = warp::post().and(door::admin(&api.door, Role::Operator));
        admin.and(with(&api.sales.flights)).and(key()).and(query()).and(received(api.body))
    };
    let swap = flight().and(path!("aircraft")).and(planning()).then(admin::seat_plan::swap);
    let withdraw = flight().and(path!("seats" / "withdraw")).and(planning()).then(admin::seat_plan::withdraw);
    let plans = swap.or(withdraw).unify();
    let restart = flight().and(path!("restart"));
    let restart = restart
        .and(warp::post())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.sales))
        .and(key())
        .and(received(api.body))
        .then(restart_it);
    let sale = open.or(pause).unify().or(close).unify();
    let seats = block.or(unblock).unify().or(rows).unify();
    sale.or(seats).unify().or(plans).unify().or(restart).unify().map(answer).boxed()
}

/// A rush on a shadow of a flight.
fn about_rehearsals(api: &Api) -> BoxedFilter<(Response,)> {
    let one = || path!("v1" / "admin" / "rehearsals" / String);
    let start = path!("v1" / "admin" / "flights" / FlightName / "rehearsals")
        .and(warp::post())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.asked))
        .and(received(api.body))
        .then(rehearsals::start);
    let reading = || warp::get().and(door::admin(&api.door, Role::Viewer)).and(with(&api.asked)).and(query());
    let show = one().and(reading()).then(rehearsals::show);
    let seats = path!("v1" / "admin" / "rehearsals" / String / "seats");
    let seats = seats.and(reading()).then(rehearsals::seats);
    let stop = one()
        .and(warp::delete())
        .and(door::admin(&api.door, Role::Operator))
        .and(with(&api.asked))
        .and(query())
        .then(rehearsals::stop);
    start.or(show).unify().or(seats).unify().or(stop).unify().map(answer).boxed()
}

fn for_operators(api: &Api) -> BoxedFilter<(Response,)> {
    let livez = path!("livez").and(warp::get()).and(query()).then(ops::livez);
    let readyz =
        path!("readyz").and(warp::get()).and(with(&api.figures.health)).and(query()).then(ops::readyz);
    let metrics = path!("metrics").and(warp::get()).and(with(&api.figures)).and(query()).then(ops::metrics);
    livez.or(readyz).unify().or(metrics).unify().map(answer).boxed()
}

/// The documentation.
fn for_readers() -> BoxedFilter<(Response,)> {
    let document = path!("openapi.json").and(warp::get()).and(query()).then(openapi::show);
    let docs = path!("docs").and(warp::get()).and(query()).then(docs_pages::docs);
    let file = path!("docs" / "ui" / String).and(warp::get()).and(query()).then(docs_pages::ui_file);
    let errors = path!("docs" / "errors").and(warp::get()).and(query()).then(docs_pages::errors);
    let error = path!("docs" / "errors" / String).and(warp::get()).and(query()).then(docs_pages::error);
    let pages = docs.or(file).unify().or(errors).unify().or(error).unify();
    document.or(pages).unify().map(answer).boxed()
}

/// The pages, and the clock that they count down by.
fn for_visitors(api: &Api) -> BoxedFilter<(Response,)> {
    let shown = |which: Page| move |headers: HeaderMap| async move { pages::page(which, headers).await };
    let read = || warp::get().and(warp::header::headers_cloned());
    let departures = warp::path::end().and(read()).then(shown(Page::Departures));
    let flight = path!("flights" / String).and(read()).then(|_, headers| pages::page(Page::Flight, headers));
    let orders = path!("orders").and(read()).then(shown(Page::Orders));
    let admin = path!("admin").and(read()).then(shown(Page::Admin));
    let asset = path!("assets" / String).and(read()).then(pages::asset);
    let time = path!("v1" / "time").and(warp::get()).and(with(&api.clock)).and(query()).then(pages::time);
    let customers = departures.or(flight).unify().or(orders).unify();
    customers.or(admin).unify().or(asset).unify().or(time).unify().map(answer).boxed()
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
