//! `/v1/admin/flights/{flight_id}/rehearsals` and `/v1/admin/rehearsals/{rehearsal_id}`: starting a rehearsal, its progress
//! and report, its seat map, stopping it. Never decides what a rehearsal is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, LOCATION};
use warp::reply::Response;

use crate::api::door::{self, Door};
use crate::api::filters::{first_of, query, with};
use crate::base::json::Json;
use crate::base::time::millis;
use crate::parts::auth::Admin;
use crate::parts::auth::Role;
use crate::parts::cockpit::write_quantiles;
use crate::parts::flights::Flights;
use crate::parts::other_servers::others::{Others, Said};
use crate::parts::rehearsal::{
    CUSTOMERS_DEFAULT, CUSTOMERS_MAX, OVER_SECONDS_DEFAULT, OVER_SECONDS_MAX, Progress, Rehearsal,
    RehearsalPlan, Rehearsals, StartError, StartFrom, State,
};
use crate::wire::body::Received;
use crate::wire::body::{BodyLimits, received};
use crate::wire::fields::{self, Errors, Fields, one_of, whole};
use crate::wire::names::FlightName;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use crate::wire::render;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path;

/// How long stopping one may take before it is answered that it still runs.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// After how many seconds it is worth while to try again where another one runs.
const RETRY_AFTER_SECONDS: u32 = 10;

/// What rehearsals are asked for with.
pub struct Rehearsing {
    /// Of which flight.
    pub flights: Arc<Flights>,
    /// Those that there are.
    pub rehearsals: Arc<Rehearsals>,
    /// The servers that may run others.
    pub others: Others,
}

/// Where a server is asked whether it has the rehearsal of an id, or, without one, whether one runs; nobody but another server
/// reaches it.
pub const KNOWN: &str = "/peers/rehearsals";
/// How long another server is waited for.
const OTHERS_MAX: Duration = Duration::from_secs(1);

/// Whether this server has the rehearsal of this id; without one, whether one runs.
pub fn is_known(rehearsals: &Rehearsals, id: &str) -> bool {
    if id.is_empty() { rehearsals.is_one_running() } else { rehearsals.find(id).is_some() }
}

/// Which other server has a rehearsal; `OVERLOADED` if none says so and one did not answer.
pub async fn server_of(others: &Others, id: &str) -> Result<Option<SocketAddr>, Problem> {
    let said = others.ask(KNOWN, Bytes::copy_from_slice(id.as_bytes()), OTHERS_MAX).await;
    let has_it = |said: &Said| said.answer.as_deref() == Some(YES);
    if let Some(server) = said.iter().find(|said| has_it(said)) {
        return Ok(server.peer);
    }
    match said.iter().find(|said| said.answer.is_none()) {
        Some(silent) => {
            tracing::debug!(server = silent.server, "a server does not say whether it has a rehearsal");
            Err(Problem::overloaded("a server that may have the rehearsal does not answer", 1))
        }
        None => Ok(None),
    }
}

/// What says that it is so.
pub const YES: &[u8] = b"yes";

/// `POST /v1/admin/flights/{flight_id}/rehearsals`
pub async fn start(
    name: FlightName,
    by: Admin,
    asked: Arc<Rehearsing>,
    body: Received,
) -> Result<Response, Problem> {
    let plan = plan(&body?)?;
    let view = asked.flights.flight(&name).await?.view();
    let others = asked.others.ask(KNOWN, Bytes::new(), OTHERS_MAX).await;
    if others.iter().any(|other| other.answer.as_deref() == Some(YES)) {
        return Err(one_runs());
    }
    let started = asked.rehearsals.start(&view, plan, asked.flights.now(), asked.flights.request_timeout);
    let rehearsal = started.map_err(|error| match error {
        StartError::Stopping => Problem::overloaded("the server is stopping", RETRY_AFTER_SECONDS),
        StartError::Running => one_runs(),
        StartError::Broken(reason) => {
            tracing::error!(flight_id = %view.definition.flight_id, reason, "a rehearsal could not be started");
            Problem::new(Code::Internal, "The rehearsal could not be started, and the log says why.")
        }
    })?;
    tracing::info!(
        rehearsal_id = rehearsal.id(),
        flight_id = %view.definition.flight_id,
        by = by.name.as_str(),
        customers = plan.customers,
        over_seconds = plan.over_seconds,
        start_from = plan.start_from.as_str(),
        "a rehearsal has begun"
    );
    let mut response = respond(StatusCode::CREATED, &rehearsal);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/admin/rehearsals/{}", rehearsal.id())) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/admin/rehearsals/{rehearsal_id}`
pub async fn show(
    id: String,
    _by: Admin,
    asked: Arc<Rehearsing>,
    raw_query: String,
) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    Ok(respond(StatusCode::OK, &*find(&asked, &id)?))
}

/// `GET /v1/admin/rehearsals/{rehearsal_id}/seats`
pub async fn seats(
    id: String,
    _by: Admin,
    asked: Arc<Rehearsing>,
    raw_query: String,
) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let view = find(&asked, &id)?.progress().view;
    let mut json = Json::with_capacity(256 + 34 * view.capacity as usize);
    render::write_seat_map(&mut json, &view);
    Ok(render::passing_response(StatusCode::OK, json))
}

/// `DELETE /v1/admin/rehearsals/{rehearsal_id}`
pub async fn stop(
    id: String,
    by: Admin,
    asked: Arc<Rehearsing>,
    raw_query: String,
) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let rehearsal = find(&asked, &id)?;
    if rehearsal.is_running() {
        tracing::info!(rehearsal_id = id, by = by.name.as_str(), "a rehearsal is being stopped");
        rehearsal.stop();
        rehearsal.ended(STOP_PATIENCE).await;
    }
    Ok(respond(StatusCode::OK, &rehearsal))
}

fn one_runs() -> Problem {
    Problem::limit_exceeded(
        "No rehearsal was started: another one runs, and one runs at a time. Wait for its end, or stop it.",
        1,
        1,
    )
}

fn find(asked: &Rehearsing, id: &str) -> Result<Arc<Rehearsal>, Problem> {
    let detail = "There is no rehearsal of this id. The last few are kept, until the server stops.";
    asked.rehearsals.find(id).ok_or_else(|| Problem::new(Code::NotFound, detail))
}

fn plan(body: &[u8]) -> Result<RehearsalPlan, Problem> {
    let value = fields::parse(body, true)?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let customers = fields.optional("customers", &mut errors, whole(1, CUSTOMERS_MAX.into()));
    let over_seconds = fields.optional("over_seconds", &mut errors, whole(1, OVER_SECONDS_MAX.into()));
    let start_from = one_of("now, empty", StartFrom::from_name);
    let start_from = fields.optional("start_from", &mut errors, start_from);
    fields.finish(&mut errors);
    errors.check()?;
    Ok(RehearsalPlan {
        customers: customers.unwrap_or(CUSTOMERS_DEFAULT),
        over_seconds: over_seconds.unwrap_or(OVER_SECONDS_DEFAULT),
        start_from: start_from.unwrap_or_default(),
    })
}

fn respond(status: StatusCode, rehearsal: &Rehearsal) -> Response {
    let told = rehearsal.progress();
    let mut json = Json::with_capacity(1024 + 64 * told.timeline.len());
    write(&mut json, rehearsal, &told);
    render::passing_response(status, json)
}

fn write(json: &mut Json, rehearsal: &Rehearsal, told: &Progress) {
    let Rehearsal { id, flight_id, plan, started_at, began, .. } = rehearsal;
    let elapsed = if told.state == State::Running { began.elapsed() } else { told.elapsed };
    json.open().key("rehearsal_id").text(id).key("flight_id").text(flight_id.as_str());
    json.key("state").text(told.state.as_str());
    json.key("customers").number(plan.customers).key("over_seconds").number(plan.over_seconds);
    json.key("start_from").text(plan.start_from.as_str());
    json.key("started_at").time(*started_at).key("elapsed_ms").number(millis(elapsed));
    // Each customer asks once, so that each who won has one order.
    json.key("sent").number(told.sent).key("won").number(told.won).key("orders").number(told.won);
    json.key("seats_sold").number(told.seats).key("capacity").number(told.view.capacity);
    json.key("available").number(told.view.free).key("refused").open();
    for (code, count) in Code::ALL.iter().zip(&told.refused).filter(|(_, count)| **count > 0) {
        json.key(code.as_str()).number(*count);
    }
    json.close().key("latency_us");
    write_quantiles(json, told.latency);
    json.key("sold_out_after_ms");
    number_or_null(json, told.sold_out_after.map(millis));
    json.key("timeline").open_list();
    for interval in &told.timeline {
        json.open().key("ms").number(interval.ms).key("sent").number(interval.sent);
        json.key("won").number(interval.won).key("refused").number(interval.refused).key("p99_us");
        number_or_null(json, interval.p99_us);
        json.close();
    }
    json.close_list().key("checks");
    match &told.checks {
        None => {
            json.null();
        }
        Some(checks) => {
            json.open_list();
            for check in checks {
                json.open().key("name").text(check.name).key("ok").boolean(check.ok).close();
            }
            json.close_list();
        }
    }
    json.key("failure").text_or_null(told.failure.as_deref()).close();
}

fn number_or_null(json: &mut Json, number: Option<u64>) {
    match number {
        Some(number) => json.number(number),
        None => json.null(),
    };
}

/// The routes of rehearsals.
pub fn routes(asked: &Arc<Rehearsing>, door: &Arc<Door>, body: BodyLimits) -> BoxedFilter<(Response,)> {
    let one = || path!("v1" / "admin" / "rehearsals" / String);
    let start = path!("v1" / "admin" / "flights" / FlightName / "rehearsals")
        .and(warp::post())
        .and(door::admin(door, Role::Operator))
        .and(with(asked))
        .and(received(body))
        .then(start)
        .boxed();
    let reading = || warp::get().and(door::admin(door, Role::Viewer)).and(with(asked)).and(query());
    let show = one().and(reading()).then(show).boxed();
    let map = path!("v1" / "admin" / "rehearsals" / String / "seats");
    let map = map.and(reading()).then(seats).boxed();
    let stop = one()
        .and(warp::delete())
        .and(door::admin(door, Role::Operator))
        .and(with(asked))
        .and(query())
        .then(stop)
        .boxed();
    first_of([start, show, map, stop])
}
