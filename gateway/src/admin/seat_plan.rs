//! `/v1/admin/flights/{flight_id}/aircraft` and `/seats/withdraw`: another seat plan while it sells, tried or done.
//! Never decides who sits where: the flight does.

use std::sync::Arc;

use farerush_engine::actor::{Answer, FlightHandle};
use farerush_engine::flight::reseat::ReseatPlan;
use farerush_engine::flight::{
    Cabin, CabinClass, Command, Fare, FlightDefinition, OrderId, OrderNo, SeatPlan, Seats, Seq,
};
use warp::http::StatusCode;
use warp::reply::Response;

use super::flights::{cabins, template};
use crate::app::{App, FlightName};
use crate::auth::Admin;
use crate::body::Received;
use crate::fields::{self, Errors, Fields, boolean};
use crate::grab::{self, GivenKey};
use crate::json::Json;
use crate::problem::Problem;
use crate::query::Query;
use crate::{input, render};

/// `POST /v1/admin/flights/{flight_id}/aircraft`
pub async fn swap(
    name: FlightName,
    admin: Admin,
    app: Arc<App>,
    key: Option<GivenKey>,
    raw_query: String,
    body: Received,
) -> Result<Response, Problem> {
    let dry_run = is_dry_run(&raw_query)?;
    let value = fields::parse(&body?, false)?;
    let flight = app.flight(&name).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let template = fields.optional("aircraft", &mut errors, template);
    let cabins = cabins(&mut fields, template, &fares_of(&flight.view().definition), &mut errors);
    let cancel_stranded = fields.optional("cancel_stranded", &mut errors, boolean).unwrap_or(false);
    fields.finish(&mut errors);
    errors.check()?;
    let plan = SeatPlan::Aircraft { aircraft: template.map(|template| template.name.into()), cabins };
    change(&app, &flight, (admin, key), plan, (dry_run, cancel_stranded)).await
}

/// `POST /v1/admin/flights/{flight_id}/seats/withdraw`
pub async fn withdraw(
    name: FlightName,
    admin: Admin,
    app: Arc<App>,
    key: Option<GivenKey>,
    raw_query: String,
    body: Received,
) -> Result<Response, Problem> {
    let dry_run = is_dry_run(&raw_query)?;
    let value = fields::parse(&body?, false)?;
    let flight = app.flight(&name).await?;
    let mut errors = Errors::default();
    let mut fields = Fields::of(&value);
    let seats = fields.optional("seats", &mut errors, input::seats);
    let rows = fields.optional("rows", &mut errors, input::rows);
    let cancel_stranded = fields.optional("cancel_stranded", &mut errors, boolean).unwrap_or(false);
    fields.finish(&mut errors);
    errors.check()?;
    let seats = match (seats, rows) {
        (Some(seats), None) => seats,
        (None, Some((first, last))) => seats_of_rows(&flight.view().definition, first, last)?,
        _ => return Err(Problem::invalid_field("seats", "must be given, or rows, and not both")),
    };
    change(&app, &flight, (admin, key), SeatPlan::Without(seats), (dry_run, cancel_stranded)).await
}

fn is_dry_run(raw_query: &str) -> Result<bool, Problem> {
    let mut query = Query::parse(raw_query);
    let dry_run = query.take("dry_run", |text| text.parse::<bool>().map_err(|_| "must be true or false"));
    query.finish()?;
    Ok(dry_run.unwrap_or(false))
}

/// What each class costs now: the cheapest of its cabins.
fn fares_of(definition: &FlightDefinition) -> Vec<(CabinClass, Fare)> {
    let mut fares: Vec<_> = definition.cabins.iter().map(|cabin| (cabin.cabin_class, cabin.fare)).collect();
    fares.sort_by_key(|(_, fare)| fare.amount);
    fares
}

fn seats_of_rows(definition: &FlightDefinition, first: u16, last: u16) -> Result<Seats, Problem> {
    let seats: Seats = definition
        .cabins
        .iter()
        .flat_map(Cabin::all_seats)
        .filter(|seat| (first..=last).contains(&seat.row()))
        .collect();
    if seats.is_empty() {
        return Err(Problem::invalid_field("rows", "the flight has no such rows"));
    }
    Ok(seats)
}

async fn change(
    app: &App,
    flight: &FlightHandle,
    (admin, key): (Admin, Option<GivenKey>),
    plan: SeatPlan,
    (dry_run, cancel_stranded): (bool, bool),
) -> Result<Response, Problem> {
    let key = GivenKey::checked(key)?;
    let deadline = app.deadline(None)?;
    // Orders are told by the ids they had, which a swap does not change; their seats' classes by the old cabins.
    let before = flight.view().definition.clone();
    let answer = if dry_run {
        app.outcome(flight.plan_seats_by(plan, deadline.decide_by), deadline).await?
    } else {
        let command = Command::ChangeSeatPlan { plan, cancel_stranded };
        app.command_as(flight, command, Some(admin.name), key, deadline).await?
    };
    match answer {
        Answer::Reseated { seq, plan } => {
            Ok(render::response(StatusCode::OK, write_plan(&before, &plan, seq, dry_run)))
        }
        // Repeated under its key, or nothing to change: the flight as it is.
        Answer::Flight { replayed, .. } => {
            Ok(grab::marked(render::flight(StatusCode::OK, &flight.view(), app.now()), replayed))
        }
        _ => Err(Problem::outcome_unknown()),
    }
}

fn write_plan(before: &FlightDefinition, plan: &ReseatPlan, seq: Seq, dry_run: bool) -> Json {
    let id_of = |no: OrderNo| OrderId::of(&before.flight_id, before.salt, no).to_string();
    let write_seats = |json: &mut Json, seats: &Seats| {
        json.open_list();
        seats.iter().for_each(|seat| {
            json.plain(seat);
        });
        json.close_list();
    };
    let mut json = Json::with_capacity(256 + 160 * (plan.moved.len() + plan.stranded.len()));
    json.open().key("flight_id").text(before.flight_id.as_str());
    json.key("dry_run").boolean(dry_run).key("seq").number(seq.0);
    json.key("capacity")
        .number(plan.change.cabins.iter().map(|cabin| u64::from(cabin.capacity())).sum::<u64>());
    json.key("kept").number((plan.change.seated.len() - plan.moved.len()) as u64);
    json.key("moved").open_list();
    for moved in &plan.moved {
        json.open().key("order_id").text(&id_of(moved.order));
        json.key("from");
        write_seats(&mut json, &moved.from);
        json.key("to");
        write_seats(&mut json, &moved.to);
        json.key("kept_together").boolean(plan.split.binary_search(&moved.order).is_err()).close();
    }
    json.close_list().key("stranded").open_list();
    for order in &plan.stranded {
        json.open().key("order_id").text(&id_of(order.no));
        json.key("record_locator").text(before.salt.record_locator(order.no).as_str());
        json.key("customer_id").text(order.customer.as_str());
        json.key("status").text(order.status.as_str());
        json.key("payment_reference").text_or_null(order.payment_reference().map(|text| text.as_str()));
        json.key("seats");
        write_seats(&mut json, &order.seats);
        json.close();
    }
    json.close_list().close();
    json
}
