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
use crate::api::docs_pages;
use crate::api::flights;
use crate::api::grab::{self, GivenKey};
use crate::api::openapi;
use crate::api::ops;
use crate::api::orders;
use crate::api::pages;
use crate::api::pages::Page;
use crate::api::waitlist;
use crate::api::waitlist::WaitlistName;
use crate::base::addresses;
use crate::observe::traces;
use crate::parts::app::{App, FlightName, OrderName};
use crate::parts::auth::{self, Deed, Denied, Role};
use crate::parts::cockpit;
use crate::parts::live;
use crate::parts::metrics;
use crate::parts::rate::Peer;
use crate::parts::rehearsal;
use crate::wire::body::received;
use crate::wire::csv_text::Accepts;
use crate::wire::deadline::{GivenTimeout, REQUEST_TIMEOUT, too_late};
use crate::wire::problem::{Code, Problem};

type Answered = Result<Response, Problem>;

/// All routes; every request gets an answer.
pub fn all(app: &Arc<App>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
    let hot = path!("v1" / "flights" / FlightName / "orders")
        .and(warp::post())
        .and(auth::authorization())
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(grab::place);
    let app_of_rejected = app.clone();
    let rejected = move |rejection| std::future::ready(Ok(rejected(&app_of_rejected, &rejection)));
    on_time(app).and(hot.or(cold(app)).unify()).recover(rejected).unify()
}

/// Lets nothing through that has waited unread for longer than a request may take: its client has gone, and must not be
/// sold to. Those who watch over the server are always answered.
fn on_time(app: &Arc<App>) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    let limit = app.request_timeout;
    let check = move |path: FullPath| {
        let is_late = traces::came().is_some_and(|came| came.elapsed() >= limit)
            && !["/livez", "/readyz", "/metrics"].contains(&path.as_str());
        std::future::ready(if is_late { Err(warp::reject::custom(Denied(too_late()))) } else { Ok(()) })
    };
    warp::path::full().and_then(check).untuple_one()
}

fn cold(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let answered = about_flights(app)
        .or(about_orders(app))
        .unify()
        .or(about_waitlists(app))
        .unify()
        .or(for_admins(app))
        .unify()
        .or(about_rehearsals(app))
        .unify()
        .or(for_operators(app))
        .unify()
        .or(for_readers())
        .unify()
        .or(for_visitors(app))
        .unify()
        .or(wrong_method())
        .unify()
        .boxed();
    let count = |path: FullPath, method: Method, app: Arc<App>, response: Response| {
        app.metrics.count(path.as_str(), &method, response.status());
        response
    };
    warp::path::full().and(warp::method()).and(with(app)).and(answered).map(count).boxed()
}

fn about_flights(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let list = path!("v1" / "flights").and(warp::get()).and(with(app)).and(query()).then(flights::list);
    let one =
        path!("v1" / "flights" / FlightName).and(warp::get()).and(with(app)).and(query()).then(flights::one);
    let seats = path!("v1" / "flights" / FlightName / "seats")
        .and(warp::get())
        .and(with(app))
        .and(query())
        .then(flights::seats);
    let live = path!("v1" / "flights" / FlightName / "live")
        .and(warp::get())
        .and(with(app))
        .and(query())
        .and(warp::header::optional::<live::LastEventId>("last-event-id"))
        .then(live::stream);
    list.or(one).unify().or(seats).unify().or(live).unify().map(answer).boxed()
}

fn about_orders(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let reads = || auth::caller(app, Deed::Reads);
    let changes = || auth::caller(app, Deed::Changes);
    let of_customer = path!("v1" / "orders")
        .and(warp::get())
        .and(reads())
        .and(with(app))
        .and(query())
        .then(orders::of_customer);
    let one = path!("v1" / "orders" / OrderName)
        .and(warp::get())
        .and(reads())
        .and(with(app))
        .and(query())
        .and(timeout())
        .then(orders::one);
    let change = path!("v1" / "orders" / OrderName)
        .and(warp::patch())
        .and(changes())
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(orders::change);
    let pay = path!("v1" / "orders" / OrderName / "pay")
        .and(warp::post())
        .and(changes())
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(orders::pay);
    let confirm = path!("v1" / "orders" / OrderName / "confirm")
        .and(warp::post())
        .and(auth::payer(app))
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(orders::confirm);
    let cancel = path!("v1" / "orders" / OrderName / "cancel").and(warp::post());
    let delete = path!("v1" / "orders" / OrderName).and(warp::delete());
    let cancel = cancel
        .or(delete)
        .unify()
        .and(changes())
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(orders::cancel);
    let changing = change.or(pay).unify().or(confirm).unify().or(cancel).unify();
    of_customer.or(one).unify().or(changing).unify().map(answer).boxed()
}

fn about_waitlists(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let join = path!("v1" / "flights" / FlightName / "waitlist")
        .and(warp::post())
        .and(auth::caller(app, Deed::Changes))
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(waitlist::join);
    let one = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::get())
        .and(auth::caller(app, Deed::Reads))
        .and(with(app))
        .and(query())
        .and(timeout())
        .then(waitlist::one);
    let leave = path!("v1" / "waitlist" / WaitlistName)
        .and(warp::delete())
        .and(auth::caller(app, Deed::Changes))
        .and(with(app))
        .and(key())
        .and(asks_from())
        .and(timeout())
        .and(received(app.body))
        .then(waitlist::leave);
    let list = path!("v1" / "admin" / "flights" / FlightName / "waitlist")
        .and(warp::get())
        .and(auth::admin(app, Role::Viewer))
        .and(with(app))
        .and(query())
        .then(waitlist::list);
    join.or(one).unify().or(leave).unify().or(list).unify().map(answer).boxed()
}

fn for_admins(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let create = path!("v1" / "admin" / "flights")
        .and(warp::post())
        .and(auth::admin(app, Role::Admin))
        .and(with(app))
        .and(key())
        .and(received(app.body))
        .then(admin::flights::create);
    let change = path!("v1" / "admin" / "flights" / FlightName)
        .and(warp::patch())
        .and(auth::admin(app, Role::Operator))
        .and(with(app))
        .and(key())
        .and(received(app.body))
        .then(admin::flights::change_policy);
    let list = path!("v1" / "admin" / "orders")
        .and(warp::get())
        .and(auth::admin(app, Role::Viewer))
        .and(with(app))
        .and(query())
        .and(accepts())
        .then(admin::orders::list);
    let status = path!("v1" / "admin" / "status")
        .and(warp::get())
        .and(auth::admin(app, Role::Viewer))
        .and(with(app))
        .and(query())
        .then(admin::status::show);
    let cockpit = path!("v1" / "admin" / "cockpit")
        .and(warp::get())
        .and(auth::admin(app, Role::Viewer))
        .and(with(app))
        .and(query())
        .then(cockpit::show);
    let one_flight = create.or(change).unify().or(list).unify().or(status).unify().or(cockpit).unify();
    one_flight.map(answer).or(admin_actions(app)).unify().or(admin_reads(app)).unify().boxed()
}

/// What is told about one flight, and the way in for many.
fn admin_reads(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let import = path!("v1" / "admin" / "flights" / "import")
        .and(warp::post())
        .and(auth::admin(app, Role::Admin))
        .and(with(app))
        .and(key())
        .and(query())
        .and(admin::import::file(app))
        .then(admin::import::import);
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..);
    let reading =
        || warp::get().and(auth::admin(app, Role::Viewer)).and(with(app)).and(query()).and(accepts());
    let manifest = flight().and(path!("manifest")).and(reading()).then(admin::manifest::show);
    let audit = flight().and(path!("audit")).and(reading()).then(audit::show);
    let refunds = flight().and(path!("refunds")).and(reading()).then(admin::refunds::list);
    import.or(manifest).unify().or(audit).unify().or(refunds).unify().map(answer).boxed()
}

/// The addresses under one flight that take a POST.
fn admin_actions(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    use admin::flights::{block, close, open, pause, restart as restart_it, rows, unblock};
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..);
    let acting = || {
        warp::post().and(auth::admin(app, Role::Operator)).and(with(app)).and(key()).and(received(app.body))
    };
    let open = flight().and(path!("open")).and(acting()).then(open);
    let pause = flight().and(path!("pause")).and(acting()).then(pause);
    let close = flight().and(path!("close")).and(acting()).then(close);
    let block = flight().and(path!("seats" / "block")).and(acting()).then(block);
    let unblock = flight().and(path!("seats" / "unblock")).and(acting()).then(unblock);
    let rows = flight().and(path!("rows")).and(acting()).then(rows);
    let planning = || {
        let admin = warp::post().and(auth::admin(app, Role::Operator));
        admin.and(with(app)).and(key()).and(query()).and(received(app.body))
    };
    let swap = flight().and(path!("aircraft")).and(planning()).then(admin::seat_plan::swap);
    let withdraw = flight().and(path!("seats" / "withdraw")).and(planning()).then(admin::seat_plan::withdraw);
    let plans = swap.or(withdraw).unify();
    let restart = flight().and(path!("restart"));
    let restart = restart
        .and(warp::post())
        .and(auth::admin(app, Role::Operator))
        .and(with(app))
        .and(key())
        .and(received(app.body))
        .then(restart_it);
    let sale = open.or(pause).unify().or(close).unify();
    let seats = block.or(unblock).unify().or(rows).unify();
    sale.or(seats).unify().or(plans).unify().or(restart).unify().map(answer).boxed()
}

/// A rush on a shadow of a flight.
fn about_rehearsals(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let one = || path!("v1" / "admin" / "rehearsals" / String);
    let start = path!("v1" / "admin" / "flights" / FlightName / "rehearsals")
        .and(warp::post())
        .and(auth::admin(app, Role::Operator))
        .and(with(app))
        .and(received(app.body))
        .then(rehearsal::http::start);
    let reading = || warp::get().and(auth::admin(app, Role::Viewer)).and(with(app)).and(query());
    let show = one().and(reading()).then(rehearsal::http::show);
    let seats = path!("v1" / "admin" / "rehearsals" / String / "seats");
    let seats = seats.and(reading()).then(rehearsal::http::seats);
    let stop = one()
        .and(warp::delete())
        .and(auth::admin(app, Role::Operator))
        .and(with(app))
        .and(query())
        .then(rehearsal::http::stop);
    start.or(show).unify().or(seats).unify().or(stop).unify().map(answer).boxed()
}

fn for_operators(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let livez = path!("livez").and(warp::get()).and(query()).then(ops::livez);
    let readyz = path!("readyz").and(warp::get()).and(with(app)).and(query()).then(ops::readyz);
    let metrics = path!("metrics").and(warp::get()).and(with(app)).and(query()).then(metrics::show);
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
fn for_visitors(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let shown = |which: Page| move |headers: HeaderMap| async move { pages::page(which, headers).await };
    let read = || warp::get().and(warp::header::headers_cloned());
    let departures = warp::path::end().and(read()).then(shown(Page::Departures));
    let flight = path!("flights" / String).and(read()).then(|_, headers| pages::page(Page::Flight, headers));
    let orders = path!("orders").and(read()).then(shown(Page::Orders));
    let admin = path!("admin").and(read()).then(shown(Page::Admin));
    let asset = path!("assets" / String).and(read()).then(pages::asset);
    let time = path!("v1" / "time").and(warp::get()).and(with(app)).and(query()).then(pages::time);
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

fn with(app: &Arc<App>) -> impl Filter<Extract = (Arc<App>,), Error = Infallible> + Clone + use<> {
    let app = app.clone();
    warp::any().map(move || app.clone())
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
fn rejected(app: &App, rejection: &Rejection) -> Response {
    let problem = if let Some(Denied(problem)) = rejection.find() {
        problem.clone()
    } else if let Some(header) = rejection.find::<warp::reject::InvalidHeader>() {
        let name = match header.name() {
            // It holds what is not ASCII, so that it is no type that anybody takes.
            "content-type" => return refused(app, Problem::not_json()),
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
    refused(app, problem)
}

fn refused(app: &App, problem: Problem) -> Response {
    let response = problem.into_response();
    app.metrics.count_unmatched(response.status());
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
