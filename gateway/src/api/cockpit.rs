//! `GET /v1/admin/cockpit`: what the server did in each of the last seconds, for the admin's charts.
//! Never counts anything itself.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::Timestamp;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::ops::{write_journal, write_store};
use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::cockpit::{self, Cockpit, SAMPLE_EVERY_MS, Sample};
use crate::parts::health::Health;
use crate::parts::other_servers::others::Others;
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
    /// The servers that have samples, too.
    pub others: Others,
}

/// Where a server is asked for its own samples, since a moment in milliseconds; nobody but another server reaches it.
pub const SAMPLES: &str = "/peers/cockpit";
/// How long another server is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The samples that this server has taken, for another one; `None` if the question makes no sense.
pub fn own_samples(charts: &Charts, since: &[u8]) -> Option<Vec<u8>> {
    let since = match since {
        b"" => None,
        text => Some(Timestamp::from_millis(std::str::from_utf8(text).ok()?.parse().ok()?)),
    };
    let mut json = Json::with_capacity(1024);
    json.open_list();
    charts.cockpit.since(since).iter().for_each(|sample| sample.write(&mut json));
    json.close_list();
    Some(json.into_bytes())
}

/// The samples of all servers, and what each is called and whether it has said anything.
async fn of_all(charts: &Charts, since: Option<Timestamp>) -> (Vec<Sample>, Vec<(String, bool)>) {
    // A second may have begun before that moment at one of them, and is told whole.
    let from = since.map(|since| since.as_millis().div_euclid(1000) * 1000);
    let question = from.map(|from| from.to_string()).unwrap_or_default();
    let said = charts.others.ask(SAMPLES, question.into(), PATIENCE).await;
    let own = charts.cockpit.since(from.map(Timestamp::from_millis));
    let mut all: Vec<Vec<Sample>> = vec![own.iter().map(|sample| Sample::clone(sample)).collect()];
    let mut servers = vec![(charts.others.own_name(), true)];
    for other in said {
        let samples = other.answer.as_deref().and_then(cockpit::read);
        servers.push((other.server, samples.is_some()));
        all.extend(samples);
    }
    servers.sort_unstable();
    let mut samples = cockpit::together(all, charts.health.flights.now());
    samples.retain(|sample| since.is_none_or(|since| sample.at > since));
    (samples, servers)
}

/// `GET /v1/admin/cockpit`
pub async fn show(_by: Admin, charts: Arc<Charts>, raw_query: String) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let since = query.moment("since");
    query.finish()?;
    let (samples, servers) = if charts.others.are_none() {
        (charts.cockpit.since(since).iter().map(|sample| Sample::clone(sample)).collect(), Vec::new())
    } else {
        of_all(&charts, since).await
    };
    let mut json = Json::with_capacity(512 + SAMPLE_BYTES * samples.len());
    json.open().key("now").time(charts.health.flights.now()).key("interval_ms").number(SAMPLE_EVERY_MS);
    json.key("samples").open_list();
    samples.iter().for_each(|sample| sample.write(&mut json));
    json.close_list().key("servers").open_list();
    for (server, answered) in &servers {
        json.open().key("server").text(server).key("answered").boolean(*answered).close();
    }
    json.close_list().key("journal");
    write_journal(&mut json, &charts.health, &charts.health.flights.engine.status().journal);
    json.key("store");
    write_store(&mut json, &charts.health);
    json.close();
    Ok(render::passing_response(StatusCode::OK, json))
}
