//! What answers hold: flights, seat maps, orders, lists, the state of the server.
//! Never describes a request or a problem.

use farerush_engine::flight::seat_map::SeatStatus;
use farerush_engine::flight::{OrderStatus, SaleState};
use farerush_engine::journal::Durability;

use super::requests::{cabin_class, customer_id, day, flight_id};
use super::shape::{
    May, Member, Must, Shape, boolean, count, list, moment, named, object, one_of_words, or_null, string,
    text, whole,
};
use farerush_engine::flight::cabin::ROW_MAX;

/// What an order's id looks like.
const ORDER_ID: &str = "^[A-Za-z0-9_-]{1,40}-[0-9a-hjkmnp-tv-z]{9,21}$";

/// An order's id.
pub(super) fn order_id() -> utoipa::openapi::schema::ObjectBuilder {
    text(11, 64, ORDER_ID)
}

/// The names of all states of a sale.
pub(super) fn sale_states() -> [&'static str; 4] {
    [SaleState::Scheduled, SaleState::Open, SaleState::Paused, SaleState::Closed].map(SaleState::as_str)
}

/// The names of all states of an order.
pub(super) fn order_states() -> [&'static str; 4] {
    [OrderStatus::Held, OrderStatus::Confirmed, OrderStatus::Cancelled, OrderStatus::Expired]
        .map(OrderStatus::as_str)
}

pub(super) fn durability() -> Shape {
    one_of_words([Durability::Memory, Durability::Journal, Durability::Store].map(Durability::as_str)).into()
}

fn row_numbers() -> Shape {
    list(whole(1, ROW_MAX.into())).min_items(Some(2)).max_items(Some(2)).into()
}

pub(super) fn next_cursor() -> Member {
    ("next_cursor", Must, or_null(string()), "The `cursor` of the next page; null on the last one.")
}

fn flights() -> Vec<(&'static str, Shape)> {
    let sale = object(
        "When and how the seats may be grabbed.",
        vec![
            ("state", Must, one_of_words(sale_states()).into(), "What a customer meets now."),
            ("opens_at", Must, or_null(moment()), "From when a scheduled sale is open."),
            ("closes_at", Must, or_null(moment()), "From when it is closed."),
            ("max_seats_per_order", Must, count().into(), ""),
            ("max_seats_per_customer", Must, count().into(), "In live orders of this flight."),
            ("hold_seconds", Must, count().into(), "0: a grab is confirmed at once."),
            (
                "payment_grace_seconds",
                Must,
                count().into(),
                "How long a payment that is under way stops a hold's deadline.",
            ),
            (
                "closes_before_minutes",
                Must,
                count().into(),
                "How long before departure the sale closes by itself; 0: when the flight leaves.",
            ),
        ],
    );
    let cabin = object(
        "A section of rows.",
        vec![
            ("cabin_class", Must, cabin_class().into(), "Class of travel."),
            ("rows", Must, row_numbers(), "First and last row."),
            ("layout", Must, string().into(), "Letters from left to right, a space for each aisle."),
            ("fare", Must, named("Fare"), "The price of a seat here."),
            ("capacity", Must, count().into(), "Seats, sold or not."),
            ("available", Must, count().into(), "Free seats."),
        ],
    );
    let flight = object(
        "A flight.",
        vec![
            ("flight_id", Must, flight_id().into(), "Its id."),
            ("flight_number", Must, string().into(), "An airline's code and a number."),
            ("origin", Must, string().into(), "IATA code."),
            ("destination", Must, string().into(), "IATA code."),
            ("departs_at", Must, moment().into(), "In UTC."),
            (
                "departs_at_local",
                Must,
                moment().into(),
                "The same moment, by the clocks of its origin and with their offset.",
            ),
            (
                "service_date",
                Must,
                day().into(),
                "The day that the calendar of its origin shows when it leaves.",
            ),
            ("origin_time_zone", Must, string().into(), "The time zone of its origin, an IANA name."),
            ("aircraft", Must, or_null(string()), "The type it was created from, if it was."),
            ("cabins", Must, list(named("Cabin")).into(), ""),
            ("capacity", Must, count().into(), "Seats, sold or not."),
            ("available", Must, count().into(), "Free seats."),
            ("seq", Must, count().into(), "The newest event that this shows."),
            ("sale", Must, named("Sale"), ""),
        ],
    );
    let page = vec![
        ("flights", Must, list(named("Flight")).into(), "Those that this server has, by departure."),
        next_cursor(),
        (
            "flights_elsewhere",
            Must,
            count().into(),
            "How many flights there are besides, which this server does not have, as of the last second.",
        ),
    ];
    let status = [SeatStatus::Free, SeatStatus::Held, SeatStatus::Sold, SeatStatus::Blocked];
    let seat = object(
        "",
        vec![
            ("seat", Must, string().into(), "Such as `12A`."),
            ("status", Must, one_of_words(status.map(SeatStatus::as_str)).into(), ""),
        ],
    );
    let row = object(
        "",
        vec![("row", Must, whole(1, ROW_MAX.into()).into(), ""), ("seats", Must, list(seat).into(), "")],
    );
    let map_cabin = object(
        "",
        vec![
            ("cabin_class", Must, cabin_class().into(), ""),
            ("layout", Must, string().into(), ""),
            ("fare", Must, named("Fare"), ""),
            ("rows", Must, list(row).into(), ""),
        ],
    );
    let seat_map = object(
        "Every seat of a flight.",
        vec![
            ("flight_id", Must, flight_id().into(), ""),
            ("seq", Must, count().into(), "The newest event that this shows."),
            ("cabins", Must, list(map_cabin).into(), ""),
        ],
    );
    let event = object(
        "One server-sent event, field by field.",
        vec![
            ("event", Must, one_of_words(["sale", "seats"]).into(), "What it is about."),
            (
                "data",
                Must,
                string().content_media_type("application/json").into(),
                "`sale`: as in a flight. `seats`: how many are left, and the seats that changed; with `reset` all of \
                 them, a letter for each seat of a row (`f`ree, `h`eld, `s`old, `b`locked).",
            ),
            ("id", May, string().into(), "What to come back with, as `Last-Event-ID`."),
            ("retry", May, count().into(), "Milliseconds to wait before coming back."),
        ],
    );
    vec![
        ("LiveEvent", event.into()),
        ("Sale", sale.into()),
        ("Cabin", cabin.into()),
        ("Flight", flight.into()),
        ("FlightPage", object("A page of flights.", page).into()),
        ("SeatMap", seat_map.into()),
    ]
}

fn orders() -> Vec<(&'static str, Shape)> {
    let passenger = object("", vec![("name", Must, string().into(), "")]);
    let seat = object(
        "One ticket.",
        vec![
            ("seat", Must, string().into(), "Such as `12A`."),
            ("cabin_class", Must, or_null(cabin_class()), "Null if the flight's cabins are not at hand."),
            ("fare", Must, or_null(named("Fare")), "Null if the flight's cabins are not at hand."),
            ("passenger", Must, or_null(passenger), "Null while nobody is named."),
        ],
    );
    let order = object(
        "An order: some seats of one flight for one customer.",
        vec![
            ("order_id", Must, order_id().into(), "Its id, which leads to its flight."),
            ("record_locator", Must, text(6, 6, "^[A-HJ-NP-Z2-9]{6}$").into(), "What a traveller reads out."),
            ("flight_id", Must, flight_id().into(), "Its flight."),
            ("customer_id", Must, customer_id().into(), "Who ordered."),
            (
                "status",
                Must,
                one_of_words(order_states()).into(),
                "`held` until `hold_expires_at`, or confirmed, cancelled, expired.",
            ),
            ("seats", Must, list(named("Ticket")).into(), ""),
            ("total", Must, named("Fare"), "What all seats cost together."),
            ("hold_expires_at", Must, or_null(moment()), "Until when it must be confirmed, if it is held."),
            ("payment_begun_at", Must, or_null(moment()), "When its payment began, if it was said so."),
            ("created_at", Must, moment().into(), ""),
            ("updated_at", Must, moment().into(), ""),
            ("client_reference", May, string().into(), "The client's own reference, if it gave one."),
            ("payment_reference", May, string().into(), "What it was paid with, if it was confirmed."),
            ("seq", Must, count().into(), "The event that last changed it."),
            (
                "proof",
                May,
                string().into(),
                "What stands for the flight's history up to that event, 32 hexadecimal digits: with `order_id` and `seq` a \
                 receipt, which `farerush verify --receipts` checks. Orders of before there were proofs have none.",
            ),
            ("durability", Must, durability(), "Where what this says was durable before the answer left."),
        ],
    );
    let page = object(
        "A page of orders, newest first.",
        vec![
            ("orders", Must, list(named("Order")).into(), ""),
            next_cursor(),
            (
                "up_to_date",
                Must,
                boolean().into(),
                "Whether it shows all that was acknowledged before it was asked for.",
            ),
        ],
    );
    vec![("Ticket", seat.into()), ("Order", order.into()), ("OrderPage", page.into())]
}

/// All that has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    [flights(), orders(), super::servers::schemas(), super::placement::shapes()].concat()
}
