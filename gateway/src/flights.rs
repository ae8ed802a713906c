//! `/v1/flights`: the list, one flight, its seat map. All from the published views.
//! Never asks a flight's actor.

use std::sync::Arc;

use farerush_engine::actor::FlightView;
use farerush_engine::flight::{FlightDefinition, FlightId, SaleState, Timestamp};
use warp::http::StatusCode;
use warp::reply::Response;

use crate::app::{App, FlightName};
use crate::json::Json;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::time::{self, DAY_MS, Day};
use crate::zones::LocalTime;
use crate::{input, render};

/// What flights are wanted.
#[derive(Debug, Default)]
struct Wanted {
    origin: Option<String>,
    destination: Option<String>,
    /// The service day: that of the origin.
    date: Option<Day>,
    status: Option<SaleState>,
}

impl Wanted {
    fn holds(&self, view: &FlightView, now: Timestamp) -> bool {
        let definition = &view.definition;
        self.origin.as_deref().is_none_or(|code| code == definition.origin)
            && self.destination.as_deref().is_none_or(|code| code == definition.destination)
            && self.date.is_none_or(|day| leaves_on(day, definition))
            && self.status.is_none_or(|state| state == view.sale_state(now))
    }
}

/// Whether the calendar at the origin shows this day when the flight leaves.
fn leaves_on(day: Day, definition: &FlightDefinition) -> bool {
    // No place is further than that from UTC, so that only few flights are looked at more closely.
    let around = day.start().plus_millis(-DAY_MS)..day.start().plus_millis(2 * DAY_MS);
    around.contains(&definition.departs_at) && LocalTime::of_departure(definition).day() == day
}

/// `GET /v1/flights`
pub async fn list(app: Arc<App>, raw_query: String) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let wanted = Wanted {
        origin: query.take("origin", input::airport),
        destination: query.take("destination", input::airport),
        date: query.take("date", time::parse_day),
        status: query.take("status", sale_state),
    };
    let limit = query.limit();
    let after = query.cursor(|text| {
        let (departs_at, id) = text.split_once(':')?;
        Some((query::cursor_millis(departs_at)?, FlightId::new(id).ok()?))
    });
    query.finish()?;
    let now = app.now();
    let mut found: Vec<Arc<FlightView>> = app
        .flights_here()
        .await?
        .iter()
        .map(|flight| flight.view())
        .filter(|view| wanted.holds(view, now))
        .filter(|view| after.as_ref().is_none_or(|after| place(view) > (after.0, &after.1)))
        .collect();
    found.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
    let more = found.len() > limit;
    found.truncate(limit);
    let mut json = Json::with_capacity(512 * (found.len() + 1));
    json.open().key("flights").open_list();
    found.iter().for_each(|view| render::write_flight(&mut json, view, now));
    json.close_list();
    let next = found.last().filter(|_| more).map(|view| {
        let (departs_at, id) = place(view);
        query::cursor(&format!("{departs_at}:{id}"))
    });
    json.key("next_cursor").text_or_null(next.as_deref()).close();
    Ok(render::response(StatusCode::OK, json))
}

/// Where a flight stands in the list.
fn place(view: &FlightView) -> (i64, &FlightId) {
    (view.definition.departs_at.as_millis(), &view.definition.flight_id)
}

fn sale_state(name: &str) -> Result<SaleState, &'static str> {
    [SaleState::Scheduled, SaleState::Open, SaleState::Paused, SaleState::Closed]
        .into_iter()
        .find(|state| state.as_str() == name)
        .ok_or("must be one of scheduled, open, paused, closed")
}

/// `GET /v1/flights/{flight_id}`
pub async fn one(name: FlightName, app: Arc<App>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    Ok(render::flight(StatusCode::OK, &app.flight(&name).await?.view(), app.now()))
}

/// `GET /v1/flights/{flight_id}/seats`
pub async fn seats(name: FlightName, app: Arc<App>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let view = app.flight(&name).await?.view();
    let mut json = Json::with_capacity(256 + 34 * view.capacity as usize);
    render::write_seat_map(&mut json, &view);
    Ok(render::response(StatusCode::OK, json))
}
