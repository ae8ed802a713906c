//! The routes of admins: which address leads to which handler.
//! Never does anything itself.

use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, path};

use crate::api::cockpit::{self, Charts};
use crate::api::door::{self, Door};
use crate::api::filters::{accepts, first_of, key, query, with};
use crate::api::{admin, audit};
use crate::parts::auth::Role;
use crate::parts::figures::Figures;
use crate::parts::other_servers::Upkeep;
use crate::parts::other_servers::others::Others;
use crate::parts::sales::Sales;
use crate::wire::body::{BodyLimits, received};
use crate::wire::names::FlightName;

/// What they need.
pub struct Admins {
    /// Flights and lists.
    pub sales: Arc<Sales>,
    /// What they look at.
    pub figures: Arc<Figures>,
    /// What the charts show.
    pub charts: Arc<Charts>,
    /// The servers that share flights.
    pub upkeep: Arc<Upkeep>,
    /// The same, where all of them are asked something.
    pub others: Others,
    /// Files of flights.
    pub imports: Arc<admin::import::Imports>,
    /// Who may come in.
    pub door: Arc<Door>,
    /// The limits of bodies.
    pub body: BodyLimits,
}

fn with_others(
    others: &Others,
) -> impl Filter<Extract = (Others,), Error = std::convert::Infallible> + Clone + use<> {
    let others = others.clone();
    warp::any().map(move || others.clone())
}

/// All of them.
pub fn routes(admins: &Admins) -> BoxedFilter<(Response,)> {
    let create = path!("v1" / "admin" / "flights")
        .and(warp::post())
        .and(door::admin(&admins.door, Role::Admin))
        .and(with(&admins.sales))
        .and(key())
        .and(received(admins.body))
        .then(admin::flights::create)
        .boxed();
    let change = path!("v1" / "admin" / "flights" / FlightName)
        .and(warp::patch())
        .and(door::admin(&admins.door, Role::Operator))
        .and(with(&admins.sales))
        .and(key())
        .and(received(admins.body))
        .then(admin::flights::change_policy)
        .boxed();
    let list = path!("v1" / "admin" / "orders")
        .and(warp::get())
        .and(door::admin(&admins.door, Role::Viewer))
        .and(with(&admins.sales))
        .and(query())
        .and(accepts())
        .then(admin::orders::list)
        .boxed();
    let status = path!("v1" / "admin" / "status")
        .and(warp::get())
        .and(door::admin(&admins.door, Role::Viewer))
        .and(with(&admins.figures))
        .and(with_others(&admins.others))
        .and(query())
        .then(admin::status::show)
        .boxed();
    let cockpit = path!("v1" / "admin" / "cockpit")
        .and(warp::get())
        .and(door::admin(&admins.door, Role::Viewer))
        .and(with(&admins.charts))
        .and(query())
        .then(cockpit::show)
        .boxed();
    first_of([create, change, list, status, cockpit])
        .or(actions(admins))
        .unify()
        .or(reads(admins))
        .unify()
        .or(placement(admins))
        .unify()
        .boxed()
}

/// Which server has which flights.
fn placement(admins: &Admins) -> BoxedFilter<(Response,)> {
    let list = path!("v1" / "admin" / "servers")
        .and(warp::get())
        .and(door::admin(&admins.door, Role::Viewer))
        .and(with(&admins.upkeep))
        .and(query())
        .then(admin::servers::list)
        .boxed();
    let acting = || {
        warp::post()
            .and(door::admin(&admins.door, Role::Operator))
            .and(with(&admins.upkeep))
            .and(received(admins.body))
    };
    let server = || path!("v1" / "admin" / "servers" / String / ..);
    let drain = server().and(path!("drain")).and(acting()).then(admin::servers::drain).boxed();
    let resume = server().and(path!("resume")).and(acting()).then(admin::servers::resume).boxed();
    let flight = path!("v1" / "admin" / "flights" / FlightName / "move");
    let move_it = flight.and(acting()).and(with(&admins.sales)).then(admin::servers::move_flight).boxed();
    first_of([list, drain, resume, move_it])
}

/// What is told about one flight, and the way in for many.
fn reads(admins: &Admins) -> BoxedFilter<(Response,)> {
    let import = path!("v1" / "admin" / "flights" / "import")
        .and(warp::post())
        .and(door::admin(&admins.door, Role::Admin))
        .and(with(&admins.imports))
        .and(key())
        .and(query())
        .and(admin::import::file(&admins.imports))
        .then(admin::import::import)
        .boxed();
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..);
    let reading = || {
        warp::get()
            .and(door::admin(&admins.door, Role::Viewer))
            .and(with(&admins.sales))
            .and(query())
            .and(accepts())
    };
    let manifest = flight().and(path!("manifest")).and(reading()).then(admin::manifest::show).boxed();
    let audit = flight().and(path!("audit")).and(reading()).then(audit::show).boxed();
    let refunds = flight().and(path!("refunds")).and(reading()).then(admin::refunds::list).boxed();
    first_of([import, manifest, audit, refunds])
}

/// The addresses under one flight that take a POST.
fn actions(admins: &Admins) -> BoxedFilter<(Response,)> {
    use admin::flights::{block, close, open, pause, restart as restart_it, rows, unblock};
    let flight = || path!("v1" / "admin" / "flights" / FlightName / ..);
    let acting = || {
        warp::post()
            .and(door::admin(&admins.door, Role::Operator))
            .and(with(&admins.sales))
            .and(key())
            .and(received(admins.body))
    };
    let open = flight().and(path!("open")).and(acting()).then(open).boxed();
    let pause = flight().and(path!("pause")).and(acting()).then(pause).boxed();
    let close = flight().and(path!("close")).and(acting()).then(close).boxed();
    let block = flight().and(path!("seats" / "block")).and(acting()).then(block).boxed();
    let unblock = flight().and(path!("seats" / "unblock")).and(acting()).then(unblock).boxed();
    let rows = flight().and(path!("rows")).and(acting()).then(rows).boxed();
    let planning = || {
        let admin = warp::post().and(door::admin(&admins.door, Role::Operator));
        admin.and(with(&admins.sales.flights)).and(key()).and(query()).and(received(admins.body))
    };
    let swap = flight().and(path!("aircraft")).and(planning()).then(admin::seat_plan::swap).boxed();
    let withdraw =
        flight().and(path!("seats" / "withdraw")).and(planning()).then(admin::seat_plan::withdraw).boxed();
    let restart = flight().and(path!("restart"));
    let restart = restart
        .and(warp::post())
        .and(door::admin(&admins.door, Role::Operator))
        .and(with(&admins.sales))
        .and(key())
        .and(received(admins.body))
        .then(restart_it)
        .boxed();
    first_of([open, pause, close, block, unblock, rows, swap, withdraw, restart])
}
