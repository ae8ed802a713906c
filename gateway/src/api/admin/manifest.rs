//! `GET /v1/admin/flights/{flight_id}/manifest`: who sits where, at one moment, by the flight's own word.
//! Never reads the store.

use std::sync::Arc;

use farerush_engine::actor::{Answer, FlightHandle, LiveOrders};
use farerush_engine::flight::{Order, OrderId, Seat};
use warp::http::HeaderValue;
use warp::reply::Response;

use crate::base::json::Json;
use crate::parts::auth::Admin;
use crate::parts::flights::Flights;
use crate::parts::sales::Sales;
use crate::wire::csv_text::{Accepts, Format, Table, json_response};
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::query::Query;

/// The columns of the table.
const COLUMNS: [&str; 9] = [
    "seat",
    "cabin_class",
    "status",
    "order_id",
    "record_locator",
    "customer_id",
    "passenger",
    "fare",
    "currency",
];

/// `GET /v1/admin/flights/{flight_id}/manifest`
pub async fn show(
    name: FlightName,
    _by: Admin,
    sales: Arc<Sales>,
    raw_query: String,
    accepts: Option<Accepts>,
) -> Result<Response, Problem> {
    let mut query = Query::parse(&raw_query);
    let format = Format::take(&mut query, accepts);
    query.finish()?;
    let flight = sales.flights.flight(&name).await?;
    let live = live_orders(&sales.flights, &flight).await?;
    let mut seats: Vec<(Seat, usize, &Order)> = Vec::new();
    for order in &live.orders {
        seats.extend(order.seats.iter().enumerate().map(|(place, seat)| (*seat, place, order)));
    }
    seats.sort_unstable_by_key(|(seat, _, _)| (seat.row(), seat.letter()));
    let mut response = match format {
        Format::Json => as_json(&live, &seats),
        Format::Csv => as_table(&live, &seats),
    };
    response.headers_mut().insert("farerush-seq", HeaderValue::from(live.seq.0));
    Ok(response)
}

/// A flight's live orders, as it has them now; all of it is durable.
pub(crate) async fn live_orders(flights: &Flights, flight: &FlightHandle) -> Result<LiveOrders, Problem> {
    let deadline = flights.deadline(None)?;
    let pending = flight.live_orders_by(deadline.decide_by)?;
    match tokio::time::timeout_at(deadline.answer_by.into(), pending).await {
        Ok(Ok(Answer::Live(live))) => Ok(*live),
        // Reading changes nothing, so that nothing is unknown about it.
        _ => Err(Problem::overloaded("the flight did not answer in time", 1)),
    }
}

fn as_json(live: &LiveOrders, seats: &[(Seat, usize, &Order)]) -> Response {
    let definition = &live.definition;
    let mut json = Json::with_capacity(128 + 280 * seats.len());
    json.open().key("flight_id").plain(&definition.flight_id);
    json.key("seq").number(live.seq.0).key("at").time(live.at).key("seats").open_list();
    for (seat, place, order) in seats {
        let cabin = definition.cabins.iter().find(|cabin| cabin.has(*seat));
        json.open().key("seat").plain(seat);
        json.key("cabin_class").text_or_null(cabin.map(|cabin| cabin.cabin_class.as_str()));
        json.key("status").text(order.status.as_str());
        json.key("order_id").plain(OrderId::of(&definition.flight_id, &definition.ids, order.no));
        json.key("record_locator").text(definition.ids.record_locator(order.no).as_str());
        json.key("customer_id").text(order.customer.as_str());
        json.key("passenger").text_or_null(order.passenger(*place).map(|name| name.as_str()));
        json.key("fare");
        match cabin {
            Some(cabin) => json.open().key("amount").number(cabin.fare.amount),
            None => json.null(),
        };
        if let Some(cabin) = cabin {
            json.key("currency").text(cabin.fare.currency.as_str()).close();
        }
        json.close();
    }
    json.close_list().close();
    json_response(json)
}

fn as_table(live: &LiveOrders, seats: &[(Seat, usize, &Order)]) -> Response {
    let definition = &live.definition;
    let mut table = Table::new(&COLUMNS);
    for (seat, place, order) in seats {
        let cabin = definition.cabins.iter().find(|cabin| cabin.has(*seat));
        table.plain(seat).plain(cabin.map_or("", |cabin| cabin.cabin_class.as_str()));
        table.plain(order.status.as_str());
        table.plain(OrderId::of(&definition.flight_id, &definition.ids, order.no));
        table.plain(definition.ids.record_locator(order.no).as_str());
        table.text(order.customer.as_str());
        table.text_or_empty(order.passenger(*place).map(|name| name.as_str()));
        table.plain(cabin.map(|cabin| cabin.fare.amount.to_string()).unwrap_or_default());
        table.plain(cabin.map_or("", |cabin| cabin.fare.currency.as_str())).end();
    }
    table.response(&format!("manifest-{}", definition.flight_id))
}
