//! `GET /v1/admin/cockpit`: what the server did in each of the last seconds, for the admin's charts.
//! Never counts anything itself.

use std::sync::Arc;

use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::ops::{write_journal, write_store};
use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::cockpit::{Cockpit, SAMPLE_EVERY_MS};
use crate::parts::health::Health;
use crate::wire::problem::Problem;
use crate::wire::query::Query;
use crate::wire::render;

/// About how long a sample is as JSON, in bytes.
const SAMPLE_BYTES: usize = 400;

/// What the charts show.
pub struct Charts {
    /// The samples.
    pub cockpit: Arc<Cockpit>,
    /// How journal and store are doing.
    pub health: Arc<Health>,
}

/// `GET /v1/admin/cockpit`
pub async fn show(_by: Admin, charts: Arc<Charts>, raw_query: String) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let since = query.moment("since");
    query.finish()?;
    let samples = charts.cockpit.since(since);
    let mut json = Json::with_capacity(512 + SAMPLE_BYTES * samples.len());
    json.open().key("now").time(charts.health.flights.now()).key("interval_ms").number(SAMPLE_EVERY_MS);
    json.key("samples").open_list();
    samples.iter().for_each(|sample| sample.write(&mut json));
    json.close_list().key("journal");
    write_journal(&mut json, &charts.health, &charts.health.flights.engine.status().journal);
    json.key("store");
    write_store(&mut json, &charts.health);
    json.close();
    Ok(render::passing_response(StatusCode::OK, json))
}
