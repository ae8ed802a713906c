//! `/v1/flights`: the list, one flight, its seat map. All from the published views, the list from the board.
//! Never asks a flight's actor.

use std::sync::Arc;

use farerush_engine::actor::{FlightHandle, FlightView, Sought};
use farerush_engine::flight::{FlightDefinition, FlightId, SaleState, Timestamp};
use warp::http::StatusCode;
use warp::reply::Response;

use crate::api::filters::{first_of, query, with};
use crate::base::json::Json;
use crate::base::time::{self, DAY_MS, Day};
use crate::base::zones::LocalTime;
use crate::parts::sales::Sales;
use crate::wire::input;
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::query::{self, Query};
use crate::wire::render;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path;

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
    let (from, until) = around(day);
    (from..until).contains(&definition.departs_at.as_millis())
        && LocalTime::of_departure(definition).day() == day
}

/// Between which moments it is this day somewhere: no place is further than a day from UTC, so that only few flights are
/// looked at more closely.
fn around(day: Day) -> (i64, i64) {
    (day.start().plus_millis(-DAY_MS).as_millis(), day.start().plus_millis(2 * DAY_MS).as_millis())
}

/// `GET /v1/flights`
pub async fn list(sales: Arc<Sales>, raw_query: String) -> Result<Response, Problem> {
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
    sales.flights.all_have_come().await?;
    sales.flights.other_servers.ownership().certain().await?;
    let mut turn = sales.lists.turn().await?;
    let now = sales.flights.now();
    let sought = Sought {
        origin: wanted.origin.clone(),
        destination: wanted.destination.clone(),
        state: wanted.status,
    };
    let between = wanted.date.map_or((i64::MIN, i64::MAX), around);
    let holds = |flight: &FlightHandle| wanted.holds(&flight.view(), now);
    let page = sales.flights.flights_here(&sought, after.as_ref(), between, limit, holds)?;
    let more = page.more;
    let found: Vec<Arc<FlightView>> = page.flights.iter().map(FlightHandle::view).collect();
    let mut json = Json::with_capacity(640 * (found.len() + 1));
    json.open().key("flights").open_list();
    found.iter().for_each(|view| render::write_listed_flight(&mut json, view, now));
    json.close_list();
    let next = found.last().filter(|_| more).map(|view| {
        let (departs_at, id) = place(view);
        query::cursor(&format!("{departs_at}:{id}"))
    });
    json.key("next_cursor").text_or_null(next.as_deref());
    json.key("flights_elsewhere").number(sales.flights.other_servers.others() as u64).close();
    let bytes = json.into_bytes();
    turn.wrote(bytes.len());
    Ok(render::response(StatusCode::OK, bytes))
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
pub async fn one(name: FlightName, sales: Arc<Sales>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    Ok(render::flight(StatusCode::OK, &sales.flights.flight(&name).await?.view(), sales.flights.now()))
}

/// `GET /v1/flights/{flight_id}/seats`
pub async fn seats(name: FlightName, sales: Arc<Sales>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let view = sales.flights.flight(&name).await?.view();
    let mut turn = sales.lists.turn().await?;
    let mut json = Json::with_capacity(256 + 34 * view.capacity as usize);
    render::write_seat_map(&mut json, &view);
    let bytes = json.into_bytes();
    turn.wrote(bytes.len());
    Ok(render::response(StatusCode::OK, bytes))
}

/// The routes of flights.
pub fn routes(sales: &Arc<Sales>) -> BoxedFilter<(Response,)> {
    let list = path!("v1" / "flights").and(warp::get()).and(with(sales)).and(query()).then(list).boxed();
    let one =
        path!("v1" / "flights" / FlightName).and(warp::get()).and(with(sales)).and(query()).then(one).boxed();
    let seats = path!("v1" / "flights" / FlightName / "seats")
        .and(warp::get())
        .and(with(sales))
        .and(query())
        .then(seats)
        .boxed();
    first_of([list, one, seats])
}
