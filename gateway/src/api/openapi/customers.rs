//! The operations of customers: flights, seat maps, grabs, orders.
//! Never describes what only an admin may do.

use serde_json::{Value, json};
use utoipa::openapi::Required;
use utoipa::openapi::path::{HttpMethod, Parameter, ParameterIn};

use super::answers::{order_id, order_states, sale_states};
use super::operation::{
    Answer, KEY, Operation, body, json as answer, key_of_change, page, parameter, query, segment,
};
use super::requests::{
    airport, cursor, customer_id, day, flight_id, idempotency_key, limit, request_timeout,
};
use super::shape::{named, one_of_words, string};
use crate::wire::problem::Code;

/// In hexadecimal: a moment in milliseconds, a colon, a flight's id.
const FLIGHT_PLACE: &str = "^(3[0-9]){1,15}3a(2d|3[0-9]|4[1-9a-f]|5[0-9a]|5f|6[1-9a-f]|7[0-9a]){1,40}$";
/// The same, a colon and an order's number.
const ORDER_PLACE: &str =
    "^(3[0-9]){1,15}3a(2d|3[0-9]|4[1-9a-f]|5[0-9a]|5f|6[1-9a-f]|7[0-9a]){1,40}3a(3[0-9]){1,15}$";
const OPAQUE: &str = "The `next_cursor` of the page before; not to be made up.";

/// The segment that names a flight.
pub(super) fn flight(example: &str) -> Parameter {
    segment("flight_id", flight_id(), "The flight's id.", Some(example.into()))
}

pub(super) fn timeout() -> Parameter {
    let meaning = "After how many seconds the client does not wait any more, such as `2` or `0.75`. A request whose \
                   turn comes later is put aside: nothing is done, and the answer is OVERLOADED.";
    parameter("Request-Timeout", ParameterIn::Header, Required::False, request_timeout(), meaning, None)
}

fn order() -> Parameter {
    segment("order_id", order_id(), "The order's id, as it was given when it was placed.", None)
}

/// A flight as it is shown.
pub(super) fn a_flight() -> Value {
    json!({
        "flight_id": "DEMO1", "flight_number": "FR101", "origin": "TPE", "destination": "NRT",
        "departs_at": "2026-12-24T08:00:00.000Z", "departs_at_local": "2026-12-24T16:00:00.000+08:00",
        "service_date": "2026-12-24", "origin_time_zone": "Asia/Taipei", "aircraft": "A320",
        "cabins": [{"cabin_class": "economy", "rows": [1, 30], "layout": "ABC DEF",
                    "fare": {"amount": 99_900, "currency": "TWD"}, "capacity": 180, "available": 178}],
        "capacity": 180, "available": 178, "seq": 2,
        "sale": {"state": "open", "opens_at": null, "closes_at": null, "max_seats_per_order": 9,
                 "max_seats_per_customer": 9, "hold_seconds": 0, "payment_grace_seconds": 120,
                 "closes_before_minutes": 0}
    })
}

/// A seat map as it is shown.
pub(super) fn a_seat_map() -> Value {
    json!({
        "flight_id": "DEMO1", "seq": 2,
        "cabins": [{"cabin_class": "economy", "layout": "ABC DEF", "fare": {"amount": 99_900, "currency": "TWD"},
                    "rows": [{"row": 1, "seats": [{"seat": "1A", "status": "sold"},
                                                  {"seat": "1B", "status": "free"}]}]}]
    })
}

fn an_order(status: &str) -> Value {
    json!({
        "order_id": "DEMO1-27sq5y1a9k4m0v", "record_locator": "K7XW3M", "flight_id": "DEMO1", "customer_id": "mei",
        "status": status,
        "seats": [{"seat": "1A", "cabin_class": "economy", "fare": {"amount": 99_900, "currency": "TWD"},
                   "passenger": {"name": "Lin Mei"}},
                  {"seat": "1B", "cabin_class": "economy", "fare": {"amount": 99_900, "currency": "TWD"},
                   "passenger": null}],
        "total": {"amount": 79_900, "currency": "TWD"}, "hold_expires_at": null, "payment_begun_at": null,
        "created_at": "2026-12-03T08:00:00.000Z", "updated_at": "2026-12-03T08:00:00.000Z", "seq": 2,
        "proof": "c76c377d4371def0ceccf9d156a75e1f", "durability": "journal"
    })
}

fn a_held_order() -> Value {
    let mut order = an_order("held");
    order["hold_expires_at"] = "2026-12-03T08:02:30.000Z".into();
    order["payment_begun_at"] = "2026-12-03T08:00:30.000Z".into();
    order
}

fn flights() -> Vec<Operation> {
    let get = |path, id, summary, description| Operation {
        method: HttpMethod::Get,
        path,
        id,
        tag: "flights",
        summary,
        description,
        for_admins: false,
        reads_body: false,
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        codes: &[Code::FlightNotFound, Code::Overloaded],
    };
    let list = "By departure. What it shows is durable, and a moment old at most.";
    vec![
        Operation {
            parameters: vec![
                query("origin", airport(), "Only flights from this airport."),
                query("destination", airport(), "Only flights to this airport."),
                query(
                    "date",
                    day(),
                    "Only flights that depart on this service day, by the calendar of their origin.",
                ),
                query("status", one_of_words(sale_states()), "Only flights whose sale is in this state."),
                query("limit", limit(), "Most flights of the page."),
                query("cursor", cursor(FLIGHT_PLACE), OPAQUE),
            ],
            answers: vec![answer(
                200,
                "FlightPage",
                "The flights.",
                json!({"flights": [a_flight()], "next_cursor": null, "flights_elsewhere": 0}),
            )],
            codes: &[Code::Overloaded],
            ..get("/v1/flights", "listFlights", "Which flights there are", list)
        },
        Operation {
            parameters: vec![flight("DEMO1")],
            answers: vec![answer(200, "Flight", "The flight.", a_flight())],
            ..get("/v1/flights/{flight_id}", "getFlight", "One flight, and how many seats are left", "")
        },
        Operation {
            parameters: vec![flight("DEMO1")],
            answers: vec![answer(200, "SeatMap", "Every seat.", a_seat_map())],
            ..get("/v1/flights/{flight_id}/seats", "getSeatMap", "The seat map", "Each seat and its state.")
        },
        Operation {
            // No example: whoever tries every operation would wait for the end of what has none.
            parameters: vec![segment("flight_id", flight_id(), "The flight's id.", None), last_event_id()],
            answers: vec![Answer {
                media_type: "text/event-stream",
                shape: named("LiveEvent"),
                ..page("The events, each as described, until either side ends.")
            }],
            ..get(
                "/v1/flights/{flight_id}/live",
                "followFlight",
                "What changes, as it happens",
                "Server-sent events: `sale` (its state and rules) and `seats` (those that changed, and how many are \
                 left). A reader that comes back with the id of the last event it saw goes on from there.",
            )
        },
    ]
}

fn last_event_id() -> Parameter {
    let meaning = "The id of the last event that was seen; browsers send it by themselves. One that is not known begins \
                   anew.";
    parameter("Last-Event-ID", ParameterIn::Header, Required::False, string(), meaning, None)
}

fn grab() -> Operation {
    let key = parameter(
        KEY,
        ParameterIn::Header,
        Required::False,
        idempotency_key(),
        "Made up by the client, for this one order. Sent again with the same body, it gives the same order and \
         never a second one; with another body it is refused. Remembered until 24 hours after the order has ended.",
        None,
    );
    let examples = [
        ("quantity", "Two seats side by side", json!({"customer_id": "mei", "quantity": 2})),
        (
            "seats",
            "Certain seats, with names",
            json!({"customer_id": "tao", "seats": ["12A", "12B"],
                   "passengers": [{"name": "Lin Mei"}, {"name": "Lin Tao"}]}),
        ),
        (
            "together",
            "Three seats in economy, only if they are side by side",
            json!({"customer_id": "ana", "quantity": 3, "cabin_class": "economy", "together": "required",
                   "client_reference": "basket-17"}),
        ),
    ];
    let placed = |status, meaning, headers| Answer {
        headers,
        ..answer(status, "Order", meaning, an_order("confirmed"))
    };
    Operation {
        method: HttpMethod::Post,
        path: "/v1/flights/{flight_id}/orders",
        id: "grab",
        tag: "orders",
        summary: "Grab seats",
        description: "All seats asked for, or none. The order is durable before the answer leaves. Where the \
                      flight's `hold_seconds` is 0 it is confirmed at once, else it is held until \
                      `hold_expires_at` and has to be confirmed.",
        for_admins: false,
        reads_body: true,
        parameters: vec![flight("DEMO1"), key, timeout()],
        body: Some(body("Grab", &examples)),
        answers: vec![
            placed(201, "The order that was placed.", &["Location"]),
            placed(200, "The order that was placed before, under the same Idempotency-Key.", &["Location"]),
        ],
        codes: &[
            Code::NoSuchSeat,
            Code::FlightNotFound,
            Code::SoldOut,
            Code::NotEnoughSeats,
            Code::SeatTaken,
            Code::NotTogether,
            Code::SaleNotOpen,
            Code::SalePaused,
            Code::SaleClosed,
            Code::LimitExceeded,
            Code::Overloaded,
            Code::OutcomeUnknown,
        ],
    }
}

/// The parameters of a list of orders; a customer must say who they are.
pub(super) fn order_filters(must_name_customer: bool) -> Vec<Parameter> {
    let required = if must_name_customer { Required::True } else { Required::False };
    let who = "Whose orders.";
    vec![
        parameter("customer_id", ParameterIn::Query, required, customer_id(), who, Some("mei".into())),
        query("flight_id", flight_id(), "Only orders of this flight."),
        query("status", one_of_words(order_states()), "Only orders in this state."),
        query("limit", limit(), "Most orders of the page."),
        query("cursor", cursor(ORDER_PLACE), OPAQUE),
    ]
}

/// A page of orders.
pub(super) fn order_page() -> Answer {
    let page = json!({"orders": [an_order("confirmed")], "next_cursor": null, "up_to_date": true});
    answer(200, "OrderPage", "The orders.", page)
}

fn orders() -> Vec<Operation> {
    let about = |method, path, id, summary, description| Operation {
        method,
        path,
        id,
        tag: "orders",
        summary,
        description,
        for_admins: false,
        reads_body: true,
        parameters: vec![order(), key_of_change(), timeout()],
        body: None,
        answers: vec![answer(200, "Order", "The order as it is now.", an_order("confirmed"))],
        codes: &[Code::OrderNotFound, Code::Overloaded, Code::OutcomeUnknown],
    };
    let one = "/v1/orders/{order_id}";
    let changing = [
        ("passengers", "Name the passengers", json!({"passengers": [{"name": "Lin Mei"}]})),
        ("seats", "Move to another seat", json!({"seats": ["20C"]})),
    ];
    let paying = [(
        "payment",
        "What it was paid with",
        json!({"payment_reference": "pay-1", "amount": 79_900, "currency": "TWD"}),
    )];
    let cancelled = || vec![answer(200, "Order", "The order as it is now.", an_order("cancelled"))];
    let harmless = "Its seats go back on sale. Repeating it is harmless.";
    vec![
        Operation {
            parameters: order_filters(true),
            reads_body: false,
            answers: vec![order_page()],
            codes: &[Code::Overloaded],
            ..about(
                HttpMethod::Get,
                "/v1/orders",
                "listOrders",
                "A customer's orders",
                "Newest first, from the store: a few milliseconds behind, as `up_to_date` says.",
            )
        },
        Operation {
            reads_body: false,
            parameters: vec![order(), timeout()],
            codes: &[Code::OrderNotFound, Code::Overloaded],
            ..about(HttpMethod::Get, one, "getOrder", "One order", "As its flight has it now.")
        },
        Operation {
            body: Some(body("ChangeOrder", &changing)),
            codes: &[
                Code::NoSuchSeat,
                Code::OrderNotFound,
                Code::SeatTaken,
                Code::HoldExpired,
                Code::OrderNotChangeable,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..about(
                HttpMethod::Patch,
                one,
                "changeOrder",
                "Move to other seats, name the passengers",
                "All of it or nothing. A confirmed order moves only to seats that cost the same.",
            )
        },
        Operation {
            answers: cancelled(),
            ..about(
                HttpMethod::Delete,
                one,
                "deleteOrder",
                "Cancel an order (the same as `/cancel`)",
                harmless,
            )
        },
        Operation {
            body: Some(body("Confirm", &paying)),
            codes: &[
                Code::Unauthorized,
                Code::Forbidden,
                Code::OrderNotFound,
                Code::HoldExpired,
                Code::AmountMismatch,
                Code::LimitExceeded,
                Code::OrderNotChangeable,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..about(
                HttpMethod::Post,
                "/v1/orders/{order_id}/confirm",
                "confirmOrder",
                "Confirm a held order",
                "For whoever took the money: an operator's token, or anybody where `test_payment` is on. What was paid \
                 has to be what the order costs; an order that costs nothing takes `{}`. Repeating it with the same payment \
                 is harmless. An order that has expired is confirmed all the same, as long as all of its seats are still \
                 free and the sale is not closed. A payment that comes for nothing (too late, a second one, for a cancelled \
                 order) is refused and stands among the flight's refunds, once.",
            )
        },
        Operation {
            answers: vec![answer(200, "Order", "The order as it is now.", a_held_order())],
            codes: &[
                Code::OrderNotFound,
                Code::HoldExpired,
                Code::OrderNotChangeable,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..about(
                HttpMethod::Post,
                "/v1/orders/{order_id}/pay",
                "beginPayment",
                "Keep a held order while it is being paid",
                "Its deadline becomes the flight's `payment_grace_seconds` from now, unless it is later than that \
                 already. Only once: repeating it changes nothing.",
            )
        },
        Operation {
            answers: cancelled(),
            ..about(
                HttpMethod::Post,
                "/v1/orders/{order_id}/cancel",
                "cancelOrder",
                "Cancel an order",
                harmless,
            )
        },
    ]
}

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = flights();
    all.push(grab());
    all.extend(orders());
    all
}

/// The parameter that every operation takes.
pub(super) fn request_id() -> Parameter {
    let meaning = "An id of the client's own for this request: up to 128 letters, digits and `-_.:/+=@`. Any other is \
                   replaced.";
    parameter("x-request-id", ParameterIn::Header, Required::False, string(), meaning, None)
}
