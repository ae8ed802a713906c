//! `/v1/admin/flights/{flight_id}/aircraft` and `/seats/withdraw`: another seat plan while it sells, tried or done.
//! Never decides who sits where: the flight does.

use std::sync::Arc;

use farerush_engine::actor::{Answer, FlightHandle};
use farerush_engine::flight::{
    Command, FlightDefinition, Order, OrderId, OrderNo, OrderStatus, Reseated, SeatPlan, Seats, Seq,
};
use warp::http::StatusCode;
use warp::reply::Response;

use super::flights::{cabins, fares, template};
use crate::api::grab;
use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::flights::Flights;
use crate::wire::body::Received;
use crate::wire::fields::{self, Errors, Fields, Value, boolean};
use crate::wire::idempotency::GivenKey;
use crate::wire::input;
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::query::Query;
use crate::wire::render;

/// `POST /v1/admin/flights/{flight_id}/aircraft`
pub async fn swap(
    name: FlightName,
    admin: Admin,
    flights: Arc<Flights>,
    key: Option<GivenKey>,
    raw_query: String,
    body: Received,
) -> Result<Response, Problem> {
    let dry_run = is_dry_run(&raw_query)?;
    let value = fields::parse(&body?, false)?;
    let flight = flights.flight(&name).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let plan = aircraft(&mut fields, &mut errors);
    let cancel_stranded = fields.optional("cancel_stranded", &mut errors, boolean).unwrap_or(false);
    fields.finish(&mut errors);
    errors.check()?;
    change(&flights, &flight, (admin, key), plan, (dry_run, cancel_stranded)).await
}

/// `POST /v1/admin/flights/{flight_id}/seats/withdraw`
pub async fn withdraw(
    name: FlightName,
    admin: Admin,
    flights: Arc<Flights>,
    key: Option<GivenKey>,
    raw_query: String,
    body: Received,
) -> Result<Response, Problem> {
    let dry_run = is_dry_run(&raw_query)?;
    let value = fields::parse(&body?, false)?;
    let flight = flights.flight(&name).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let seats = fields.optional("seats", &mut errors, input::seats);
    let rows = fields.optional("rows", &mut errors, input::rows);
    let cancel_stranded = fields.optional("cancel_stranded", &mut errors, boolean).unwrap_or(false);
    fields.finish(&mut errors);
    errors.check()?;
    let plan = match (seats, rows) {
        (Some(seats), None) => SeatPlan::Without(seats),
        (None, Some((first, last))) => SeatPlan::WithoutRows { first, last },
        _ => return Err(Problem::invalid_field("seats", "must be given, or rows, and not both")),
    };
    change(&flights, &flight, (admin, key), plan, (dry_run, cancel_stranded)).await
}

fn is_dry_run(raw_query: &str) -> Result<bool, Problem> {
    let mut query = Query::parse(raw_query);
    let dry_run = query.take("dry_run", |text| text.parse::<bool>().map_err(|_| "must be true or false"));
    query.finish()?;
    Ok(dry_run.unwrap_or(false))
}

/// The plan as it was asked for: what the flight's present plan adds to it, the flight finds out when it decides, so that
/// the same request stays the same.
fn aircraft(fields: &mut Fields<'_>, errors: &mut Errors) -> SeatPlan {
    let Some(template) = fields.optional("aircraft", errors, template) else {
        return SeatPlan::Aircraft { aircraft: None, cabins: cabins(fields, None, errors) };
    };
    if fields.take("cabins", errors).is_some_and(|value| *value != Value::Null) {
        errors.add("cabins", "must not be given together with aircraft");
    }
    let fare = input::fare(fields, "fare", errors);
    SeatPlan::Template { aircraft: template.name.into(), fare, fares: fares(fields, errors) }
}

async fn change(
    flights: &Flights,
    flight: &FlightHandle,
    (admin, key): (Admin, Option<GivenKey>),
    plan: SeatPlan,
    (dry_run, cancel_stranded): (bool, bool),
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    let deadline = flights.deadline(None)?;
    let answer = if dry_run {
        flights.outcome(flight.plan_seats_by(plan, deadline.decide_by), deadline).await?
    } else {
        let command = Command::ChangeSeatPlan { plan, cancel_stranded };
        flights.command_as(flight, command, Some(admin.name), key, deadline).await?
    };
    match answer {
        Answer::Reseated { seq, told, stranded, replayed } => {
            // As the flight is by then: it knows every owner that placed one of these orders.
            let json = write_plan(&flight.view().definition, (&told, &stranded), seq, dry_run);
            Ok(grab::marked(render::response(StatusCode::OK, json), replayed))
        }
        // Nothing to change: the flight as it is.
        Answer::Flight { replayed, .. } => {
            Ok(grab::marked(render::flight(StatusCode::OK, &flight.view(), flights.now()), replayed))
        }
        _ => Err(Problem::outcome_unknown()),
    }
}

fn write_plan(
    definition: &FlightDefinition,
    (told, stranded): (&Reseated, &[Order]),
    seq: Seq,
    dry_run: bool,
) -> Json {
    let id_of = |no: OrderNo| OrderId::of(&definition.flight_id, &definition.ids, no).to_string();
    let write_seats = |json: &mut Json, seats: &Seats| {
        json.open_list();
        seats.iter().for_each(|seat| {
            json.plain(seat);
        });
        json.close_list();
    };
    let mut json = Json::with_capacity(256 + 160 * (told.moved.len() + stranded.len()));
    json.open().key("flight_id").text(definition.flight_id.as_str());
    json.key("dry_run").boolean(dry_run).key("seq").number(seq.0);
    json.key("capacity").number(told.capacity).key("kept").number(told.kept);
    json.key("moved").open_list();
    for moved in &told.moved {
        json.open().key("order_id").text(&id_of(moved.order));
        json.key("from");
        write_seats(&mut json, &moved.from);
        json.key("to");
        write_seats(&mut json, &moved.to);
        json.key("kept_together").boolean(told.split.binary_search(&moved.order).is_err()).close();
    }
    json.close_list().key("stranded").open_list();
    for order in stranded {
        json.open().key("order_id").text(&id_of(order.no));
        json.key("record_locator").text(definition.ids.record_locator(order.no).as_str());
        json.key("customer_id").text(order.customer.as_str());
        let place = told.stranded.binary_search_by_key(&order.no, |(no, _)| *no).ok();
        let was_confirmed = place.is_some_and(|place| told.stranded[place].1);
        let status = if was_confirmed { OrderStatus::Confirmed } else { OrderStatus::Held };
        json.key("status").text(status.as_str());
        json.key("payment_reference").text_or_null(order.payment_reference().map(|text| text.as_str()));
        json.key("seats");
        write_seats(&mut json, &order.seats);
        json.close();
    }
    json.close_list().close();
    json
}
