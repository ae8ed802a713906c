//! Flights and orders as the outside sees them, in JSON.
//! Never decides what may be seen.

use farerush_engine::actor::{FlightView, Rendered};
use farerush_engine::flight::{Cabin, Fare, FlightDefinition, Order, OrderId, Sale, SaleState, Timestamp};
use farerush_engine::journal::Durability;
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use crate::base::json::Json;
use crate::base::zones::{self, LocalTime};

/// Bytes that an order usually takes.
const ORDER_BYTES: usize = 640;

/// A response with a JSON body.
pub fn response(status: StatusCode, json: impl Into<Vec<u8>>) -> Response {
    let mut response = Response::new(json.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response with a JSON body that is old as soon as it is sent: nobody is to keep it.
pub fn passing_response(status: StatusCode, json: impl Into<Vec<u8>>) -> Response {
    let mut response = response(status, json);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A buffer that an order usually fits in.
pub fn order_buffer() -> Json {
    Json::with_capacity(ORDER_BYTES)
}

/// What an order is shown with.
#[derive(Debug, Clone, Copy)]
pub struct OrderFrame<'a> {
    /// Its id, as text.
    pub order_id: &'a str,
    /// Its record locator.
    pub record_locator: &'a str,
    /// Its flight's id.
    pub flight_id: &'a str,
    /// The currency of its total.
    pub currency: &'a str,
    /// The flight's cabins, for class and fare of each seat; empty if the flight is not at hand.
    pub cabins: &'a [Cabin],
    /// When its reply left.
    pub durability: Durability,
}

/// An order of a flight that is at hand: writes it and gives its id.
pub fn order_of(
    json: &mut Json,
    order: &Order,
    definition: &FlightDefinition,
    durability: Durability,
) -> String {
    let order_id = OrderId::of(&definition.flight_id, &definition.ids, order.no).to_string();
    let locator = definition.ids.record_locator(order.no);
    let frame = OrderFrame {
        order_id: &order_id,
        record_locator: locator.as_str(),
        flight_id: definition.flight_id.as_str(),
        currency: definition.cabins.first().map_or("", |cabin| cabin.fare.currency.as_str()),
        cabins: &definition.cabins,
        durability,
    };
    write_order(json, order, &frame);
    order_id
}

/// Writes an order.
pub fn write_order(json: &mut Json, order: &Order, frame: &OrderFrame<'_>) {
    json.open();
    json.key("order_id").text(frame.order_id);
    json.key("record_locator").text(frame.record_locator);
    json.key("flight_id").text(frame.flight_id);
    json.key("customer_id").text(order.customer.as_str());
    json.key("status").text(order.status.as_str());
    json.key("seats").open_list();
    for (place, seat) in order.seats.iter().enumerate() {
        let cabin = frame.cabins.iter().find(|cabin| cabin.has(*seat));
        json.open().key("seat").plain(seat);
        json.key("cabin_class").text_or_null(cabin.map(|cabin| cabin.cabin_class.as_str()));
        json.key("fare");
        match cabin {
            Some(cabin) => write_money(json, cabin.fare.amount, cabin.fare.currency.as_str()),
            None => json.null(),
        };
        json.key("passenger");
        match order.passenger(place) {
            Some(name) => json.open().key("name").text(name.as_str()).close(),
            None => json.null(),
        };
        json.close();
    }
    json.close_list();
    json.key("total");
    write_money(json, order.total, frame.currency);
    json.key("hold_expires_at").time_or_null(order.hold_expires_at);
    json.key("payment_begun_at").time_or_null(order.payment_begun_at());
    json.key("created_at").time(order.created_at);
    json.key("updated_at").time(order.updated_at);
    if let Some(reference) = order.client_reference() {
        json.key("client_reference").text(reference.as_str());
    }
    if let Some(reference) = order.payment_reference() {
        json.key("payment_reference").text(reference.as_str());
    }
    json.key("seq").number(order.changed_by.0);
    if let Some(proof) = order.proof {
        json.key("proof").plain(proof);
    }
    json.key("durability").text(frame.durability.as_str());
    json.close();
}

fn write_money<'j>(json: &'j mut Json, amount: i64, currency: &str) -> &'j mut Json {
    json.open().key("amount").number(amount).key("currency").text(currency).close()
}

fn write_fare(json: &mut Json, fare: Fare) {
    write_money(json, fare.amount, fare.currency.as_str());
}

/// Writes a flight as it is at `now`.
pub fn write_flight(json: &mut Json, view: &FlightView, now: Timestamp) {
    let definition = &view.definition;
    json.open();
    json.key("flight_id").text(definition.flight_id.as_str());
    json.key("flight_number").text(&definition.flight_number);
    json.key("origin").text(&definition.origin);
    json.key("destination").text(&definition.destination);
    write_departure(json, definition);
    json.key("aircraft").text_or_null(definition.aircraft.as_deref());
    json.key("cabins").open_list();
    for (cabin, free) in definition.cabins.iter().zip(&view.free_by_cabin) {
        json.open().key("cabin_class").text(cabin.cabin_class.as_str());
        json.key("rows").open_list().number(cabin.first_row).number(cabin.last_row).close_list();
        json.key("layout").text(cabin.layout.as_str());
        json.key("fare");
        write_fare(json, cabin.fare);
        json.key("capacity").number(cabin.capacity()).key("available").number(*free).close();
    }
    json.close_list();
    json.key("capacity").number(view.capacity).key("available").number(view.free);
    json.key("seq").number(view.seq.0);
    json.key("sale");
    write_sale(json, &view.sale, view.sale_state(now));
    json.close();
}

/// Writes a flight as it is at `now`, as a part of a list: what was written before is not written again while the flight
/// stays as it is.
pub fn write_listed_flight(json: &mut Json, view: &FlightView, now: Timestamp) {
    let state = view.sale_state(now);
    let rendered = view.rendered.get_or_init(|| {
        let mut one = Json::with_capacity(768);
        write_flight(&mut one, view, now);
        Rendered { state, text: one.into_bytes().into_boxed_slice() }
    });
    // Its sale may have opened or closed by itself since.
    if rendered.state == state {
        json.raw(&rendered.text);
    } else {
        write_flight(json, view, now);
    }
}

/// Writes when a flight leaves: the moment, and what clocks and calendar at its origin show then.
pub fn write_departure(json: &mut Json, definition: &FlightDefinition) {
    let local = LocalTime::of_departure(definition);
    json.key("departs_at").time(definition.departs_at);
    json.key("departs_at_local").text(&local.text());
    json.key("service_date").plain(local.day());
    json.key("origin_time_zone").text(zones::of_flight(definition));
}

/// Writes a sale that is in this state.
pub fn write_sale(json: &mut Json, sale: &Sale, state: SaleState) {
    let policy = &sale.policy;
    json.open().key("state").text(state.as_str());
    json.key("opens_at").time_or_null(policy.opens_at).key("closes_at").time_or_null(policy.closes_at);
    json.key("max_seats_per_order").number(policy.max_seats_per_order);
    json.key("max_seats_per_customer").number(policy.max_seats_per_customer);
    json.key("hold_seconds").number(policy.hold_seconds);
    json.key("payment_grace_seconds").number(policy.payment_grace_seconds);
    json.key("closes_before_minutes").number(policy.closes_before_minutes).close();
}

/// A flight as a response.
pub fn flight(status: StatusCode, view: &FlightView, now: Timestamp) -> Response {
    let mut json = Json::with_capacity(1024);
    write_flight(&mut json, view, now);
    response(status, json)
}

/// Writes a flight's seat map.
pub fn write_seat_map(json: &mut Json, view: &FlightView) {
    json.open().key("flight_id").text(view.definition.flight_id.as_str()).key("seq").number(view.seq.0);
    json.key("cabins").open_list();
    let mut rows = view.rows.iter();
    for cabin in &view.definition.cabins {
        json.open().key("cabin_class").text(cabin.cabin_class.as_str());
        json.key("layout").text(cabin.layout.as_str()).key("fare");
        write_fare(json, cabin.fare);
        json.key("rows").open_list();
        for (row, seats) in (cabin.first_row..=cabin.last_row).zip(rows.by_ref()) {
            json.open().key("row").number(row).key("seats").open_list();
            for (position, letter) in cabin.layout.letters().iter().enumerate() {
                json.open().key("seat").plain(format_args!("{row}{}", char::from(*letter)));
                json.key("status").text(seats.status(position).as_str()).close();
            }
            json.close_list().close();
        }
        json.close_list().close();
    }
    json.close_list().close();
}
