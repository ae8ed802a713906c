//! For those who run it: whether the process lives, and whether it can sell.
//! Never changes anything.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::actor::Condition;
use farerush_persistence::store::{ReplicaState, ReplicaStatus};
use farerush_persistence::write_behind::StoreState;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use crate::api::filters::{first_of, query, with};
use crate::base::json::Json;
use crate::base::time::millis;
use crate::parts::figures::Figures;
use crate::parts::health::Health;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use crate::wire::render;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path;

/// `GET /livez`: it answers, so it lives.
pub async fn livez(raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let mut json = Json::default();
    json.open().key("status").text("alive").close();
    Ok(render::response(StatusCode::OK, json))
}

/// `GET /readyz`: 200 if grabs can be acknowledged and flights be shown, else 503. A store that is away does not stop
/// sales unless every reply waits for it.
pub async fn readyz(health: Arc<Health>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let flights = &health.flights;
    let (status, uncertain_for) =
        (flights.engine.status(), flights.other_servers.ownership().uncertain_for());
    let ready = health.is_ready();
    let mut json = Json::default();
    let word = match (health.stopping.has_begun(), ready) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    json.open().key("status").text(word).key("recovered").boolean(true);
    json.key("journal");
    write_journal(&mut json, &health, &status.journal);
    json.key("store");
    write_store(&mut json, &health);
    json.key("ownership");
    write_ownership(&mut json, uncertain_for);
    json.key("flights_stopped").number(status.quarantined.len() as u64);
    if let Some((_, reason)) = status.quarantined.first() {
        json.key("stopped_because").text(reason);
    }
    json.close();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(render::response(code, json))
}

/// Writes the journal's state.
pub fn write_journal(json: &mut Json, health: &Health, condition: &Condition) {
    json.open().key("where").text(&health.journal).key("state");
    match condition {
        Condition::Writing => {
            json.text("writing");
        }
        Condition::Stalled { since, reason } => {
            json.text("stalled").key("for_ms").number(millis(*since)).key("reason").text(reason);
        }
        Condition::Stopped { reason } => {
            json.text("stopped").key("reason").text(reason);
        }
    }
    if let Some(redis) = &health.redis {
        let (events, flights, primaries) = redis.healed();
        json.key("healed_events").number(events).key("healed_flights").number(flights);
        json.key("new_primaries").number(primaries);
        for (key, sentences) in [("unsafe_because", redis.complaints()), ("warnings", redis.warnings())] {
            if sentences.is_empty() {
                continue;
            }
            json.key(key).open_list();
            for sentence in &sentences {
                json.text(sentence);
            }
            json.close_list();
        }
    }
    json.close();
}

/// Writes whether it can be shown that this process's flights are its own, and for how long it could not be.
pub fn write_ownership(json: &mut Json, uncertain_for: Option<Duration>) {
    json.open().key("state");
    match uncertain_for {
        None => json.text("certain"),
        Some(time) => json.text("uncertain").key("for_ms").number(millis(time)),
    };
    json.close();
}

/// Writes the store's state.
pub fn write_store(json: &mut Json, health: &Health) {
    json.open().key("where").text(&health.lists.store.describe()).key("state");
    match health.lists.write_behind.status().store {
        StoreState::Up => {
            json.text("up");
        }
        StoreState::Down { for_time, error } => {
            json.text("down").key("for_ms").number(millis(for_time)).key("reason").text(&error);
        }
    }
    if let Some(replica) = health.lists.store.replica_status() {
        json.key("replica");
        write_replica(json, &replica);
    }
    json.close();
}

/// Writes the state of the replica that lists are read from.
fn write_replica(json: &mut Json, replica: &ReplicaStatus) {
    json.open().key("where").text(&replica.place).key("state");
    match &replica.state {
        ReplicaState::Serving => json.text("serving"),
        ReplicaState::Behind => json.text("behind"),
        ReplicaState::Away { for_time, error } => {
            json.text("away").key("for_ms").number(millis(*for_time)).key("reason").text(error)
        }
    };
    json.key("lag_ms").number(millis(replica.lag)).close();
}

/// The format of the page.
const CONTENT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `GET /metrics`
pub async fn metrics(figures: Arc<Figures>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    // Off the threads that answer grabs.
    let Ok(page) = tokio::task::spawn_blocking(move || figures.page()).await else {
        return Err(Problem::new(Code::Internal, "The figures could not be gathered; the log says why."));
    };
    let mut response = Response::new(page.into());
    response.headers_mut().insert(CONTENT_TYPE, CONTENT);
    Ok(response)
}

/// The routes of those who run it.
pub fn routes(figures: &Arc<Figures>) -> BoxedFilter<(Response,)> {
    let livez = path!("livez").and(warp::get()).and(query()).then(livez).boxed();
    let readyz =
        path!("readyz").and(warp::get()).and(with(&figures.health)).and(query()).then(readyz).boxed();
    let page = path!("metrics").and(warp::get()).and(with(figures)).and(query()).then(metrics).boxed();
    first_of([livez, readyz, page])
}
