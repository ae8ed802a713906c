//! For those who run it: whether the process lives, and whether it can sell.
//! Never changes anything.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::actor::Condition;
use farerush_persistence::store::{ReplicaState, ReplicaStatus};
use farerush_persistence::write_behind::StoreState;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::app::App;
use crate::json::Json;
use crate::problem::Problem;
use crate::query::Query;
use crate::render;

/// `GET /livez`: it answers, so it lives.
pub async fn livez(raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let mut json = Json::default();
    json.open().key("status").text("alive").close();
    Ok(render::response(StatusCode::OK, json))
}

/// `GET /readyz`: 200 if grabs can be acknowledged and flights be shown, else 503. A store that is away does not stop
/// sales unless every reply waits for it.
pub async fn readyz(app: Arc<App>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let (status, uncertain_for) = (app.engine.status(), app.outside.ownership().uncertain_for());
    let ready = is_ready(&app);
    let mut json = Json::default();
    let word = match (app.is_stopping(), ready) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    json.open().key("status").text(word).key("recovered").boolean(true);
    json.key("journal");
    write_journal(&mut json, &app, &status.journal);
    json.key("store");
    write_store(&mut json, &app);
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

/// Whether grabs can be acknowledged and flights be shown, and it is not stopping.
pub fn is_ready(app: &App) -> bool {
    let store_is_up = || app.write_behind.status().store == StoreState::Up;
    let needs_store = app.durability == farerush_engine::journal::Durability::Store;
    !app.is_stopping()
        && matches!(app.engine.status().journal, Condition::Writing)
        && !app.redis.as_ref().is_some_and(|redis| redis.is_refused())
        && app.outside.ownership().is_certain()
        && (!needs_store || store_is_up())
}

/// Writes the journal's state.
pub fn write_journal(json: &mut Json, app: &App, condition: &Condition) {
    json.open().key("where").text(&app.journal).key("state");
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
    if let Some(redis) = &app.redis {
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
pub fn write_store(json: &mut Json, app: &App) {
    json.open().key("where").text(&app.store.describe()).key("state");
    match app.write_behind.status().store {
        StoreState::Up => {
            json.text("up");
        }
        StoreState::Down { for_time, error } => {
            json.text("down").key("for_ms").number(millis(for_time)).key("reason").text(&error);
        }
    }
    if let Some(replica) = app.store.replica_status() {
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

/// Whole milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
