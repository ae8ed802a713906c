//! The operations of admins and operators, and the pages of the documentation itself.
//! Never describes what customers do.

use serde_json::{Value, json};
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::OneOfBuilder;

use super::customers::{a_flight, flight};
use super::operation::{
    Answer, Operation, body, json as answer, key_of_change, optional_body, page, query, segment,
};
use super::shape::{named, object, one_of_words};
use crate::api::docs_pages::UI_FILES;
use crate::wire::problem::Code;

fn operation(
    method: HttpMethod,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
) -> Operation {
    let parameters = match method {
        HttpMethod::Get => vec![flight("DEMO4")],
        _ => vec![flight("DEMO4"), key_of_change()],
    };
    Operation {
        method,
        path,
        id,
        tag: "admin",
        summary,
        description,
        for_admins: true,
        reads_body: true,
        parameters,
        body: None,
        answers: vec![answer(200, "Flight", "The flight as it is now.", a_flight())],
        codes: &[Code::FlightNotFound, Code::Overloaded, Code::OutcomeUnknown],
    }
}

pub(super) fn post(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
) -> Operation {
    operation(HttpMethod::Post, path, id, summary, description)
}

fn new_flights() -> RequestBody {
    let sale = json!({"opens_at": "2027-01-01T00:00:00Z", "max_seats_per_order": 4});
    let examples = [
        (
            "template",
            "A named type of aircraft, one fare",
            json!({"flight_number": "FR707", "origin": "TPE", "destination": "FUK",
                   "departs_at": "2027-03-01T08:30:00Z", "aircraft": "AT76",
                   "fare": {"amount": 49_900, "currency": "TWD"}, "sale": sale}),
        ),
        (
            "fares",
            "A fare for each class",
            json!({"flight_id": "FR808-MARCH", "flight_number": "FR808", "origin": "TPE", "destination": "SYD",
                   "departs_at": "2027-03-02T22:15:00+08:00", "aircraft": "A321",
                   "fares": {"business": {"amount": 1_290_000, "currency": "TWD"},
                             "economy": {"amount": 249_900, "currency": "TWD"}}, "sale": {"state": "open"}}),
        ),
        (
            "cabins",
            "Cabins of its own",
            json!({"flight_number": "FR909", "origin": "KHH", "destination": "KIX",
                   "departs_at": "2027-03-03T06:00:00Z",
                   "cabins": [{"cabin_class": "economy", "rows": [1, 20], "layout": "ABC DEF",
                               "fare": {"amount": 79_900, "currency": "TWD"}}],
                   "sale": {"state": "open", "hold_seconds": 600}}),
        ),
    ];
    body("NewFlight", &examples)
}

fn flights() -> Vec<Operation> {
    let created = Answer { headers: &["Location"], ..answer(201, "Flight", "The new flight.", a_flight()) };
    let again = answer(200, "Flight", "The flight that was created before, under the same key.", a_flight());
    let rules = json!({"closes_at": "2027-02-01T00:00:00Z", "max_seats_per_customer": 4});
    vec![
        Operation {
            parameters: vec![key_of_change()],
            body: Some(new_flights()),
            answers: vec![created, again],
            codes: &[Code::FlightExists, Code::Overloaded, Code::OutcomeUnknown],
            ..post(
                "/v1/admin/flights",
                "createFlight",
                "Create a flight",
                "With the cabins of a named type of aircraft, or with cabins of its own.",
            )
        },
        Operation {
            body: Some(body("PolicyChange", &[("rules", "Close it in time; fewer seats for each", rules)])),
            ..operation(
                HttpMethod::Patch,
                "/v1/admin/flights/{flight_id}",
                "changeSale",
                "Change the rules of a sale",
                "What was sold or held before keeps to the rules of its time.",
            )
        },
        Operation {
            codes: &[Code::FlightNotFound, Code::SaleClosed, Code::Overloaded, Code::OutcomeUnknown],
            ..post(
                "/v1/admin/flights/{flight_id}/open",
                "openSale",
                "Open the sale, now",
                "Whatever its window says; but not once the flight has left, nor within `closes_before_minutes` of that.",
            )
        },
        post(
            "/v1/admin/flights/{flight_id}/pause",
            "pauseSale",
            "Pause the sale, now",
            "Until it is opened.",
        ),
        Operation {
            body: Some(optional_body(
                "Close",
                &[("all", "Cancel all orders, too", json!({"cancel_orders": true}))],
            )),
            answers: vec![Answer {
                shape: OneOfBuilder::new().item(named("Flight")).item(named("ClosedForGood")).into(),
                ..answer(200, "Flight", "The flight as it is now, or what its orders get back.", a_flight())
            }],
            ..post(
                "/v1/admin/flights/{flight_id}/close",
                "closeSale",
                "Close the sale, now",
                "Until it is opened. With `cancel_orders`, all held and confirmed orders end as well.",
            )
        },
    ]
}

fn cabins() -> Vec<Operation> {
    let some = |body_of: &str| body(body_of, &[("seats", "Two seats", json!({"seats": ["36E", "36F"]}))]);
    let rows = json!({"cabin_class": "economy", "rows": [37, 38], "layout": "ABC DEF",
                      "fare": {"amount": 129_900, "currency": "TWD"}});
    let restarted = json!({"flight_id": "DEMO4", "seq": 2, "epoch": 2, "took_ms": 3});
    vec![
        Operation {
            body: Some(some("SeatList")),
            codes: &[
                Code::NoSuchSeat,
                Code::FlightNotFound,
                Code::SeatTaken,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..post(
                "/v1/admin/flights/{flight_id}/seats/block",
                "blockSeats",
                "Take seats off sale",
                "All of them or none; they must be free, or blocked before.",
            )
        },
        Operation {
            body: Some(some("SeatList")),
            codes: &[Code::NoSuchSeat, Code::FlightNotFound, Code::Overloaded, Code::OutcomeUnknown],
            ..post(
                "/v1/admin/flights/{flight_id}/seats/unblock",
                "unblockSeats",
                "Put blocked seats back on sale",
                "Seats that are not blocked stay as they are.",
            )
        },
        Operation {
            body: Some(body("NewCabin", &[("rows", "Two more rows", rows)])),
            ..post(
                "/v1/admin/flights/{flight_id}/rows",
                "addRows",
                "Add rows, while it sells",
                "Rows that no cabin of the flight has yet.",
            )
        },
        Operation {
            answers: vec![answer(200, "Restarted", "It was recovered and is served again.", restarted)],
            codes: &[Code::FlightNotFound, Code::Overloaded],
            ..post(
                "/v1/admin/flights/{flight_id}/restart",
                "restartFlight",
                "Recover a flight again",
                "Drops the flight's actor and recovers it from journal and store, on this server. Sent again under its \
                 key, while it runs or after it, it restarts nothing and answers with what the first one came to.",
            )
        },
    ]
}

fn a_status() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "up_ms": 120_000, "durability": "journal", "in_flight": 0,
        "rounds": 12, "events": 15, "journal": {"where": "file:./data/journal", "state": "writing"},
        "store": {"where": "sqlite:./data/farerush.db", "state": "up"},
        "write_behind": {"backlog_events": 0, "backlog_bytes": 0, "backlog_bytes_max": 268_435_456, "flights_behind": 0, "reread_events": 0,
                         "last_error": null, "stuck": []},
        "webhooks": null, "ownership": {"state": "certain"}, "members": [],
        "flights": [{"flight_id": "DEMO1", "seq": 2, "durable_seq": 2, "stored_seq": 2, "epoch": 1, "queue": 0,
                     "holds": 0, "recovered": null}],
        "flights_elsewhere": 0, "flights_coming_up": 0, "flights_unserved": 0, "unserved_flights": [], "stopped_flights": []
    })
}

fn overviews() -> Vec<Operation> {
    let get = |path, id, summary, description| Operation {
        reads_body: false,
        ..operation(HttpMethod::Get, path, id, summary, description)
    };
    vec![Operation {
        parameters: vec![query(
            "server",
            one_of_words(["this"]),
            "`this`: of the server that is asked alone. Without it flights and counts are those of all servers, and journal, \
             store and webhooks as the one sees them that is asked.",
        )],
        answers: vec![answer(200, "Status", "How it is doing.", a_status())],
        codes: &[],
        ..get(
            "/v1/admin/status",
            "getStatus",
            "How journal, store and every flight are doing",
            "How far each flight is: decided, durable, stored.",
        )
    }]
}

fn operators() -> Vec<Operation> {
    let get = |path, id, summary, description| Operation {
        tag: "operators",
        for_admins: false,
        reads_body: false,
        parameters: Vec::new(),
        codes: &[],
        ..operation(HttpMethod::Get, path, id, summary, description)
    };
    let readiness = |status: &str, journal: Value| {
        json!({"status": status, "recovered": true, "journal": journal,
               "store": {"where": "sqlite:./data/farerush.db", "state": "up"},
               "ownership": {"state": "certain"}, "flights_stopped": 0})
    };
    let ready = readiness("ready", json!({"where": "file:./data/journal", "state": "writing"}));
    let stalled =
        json!({"where": "redis://localhost:6379/0", "state": "stalled", "for_ms": 800, "reason": "away"});
    let files = one_of_words(UI_FILES.iter().map(|file| file.name));
    let file = |media_type| Answer { media_type, ..page("The file.") };
    let document = Answer {
        shape: object("An OpenAPI document.", Vec::new()).into(),
        example: None,
        ..answer(200, "Alive", "This document.", Value::Null)
    };
    let code = one_of_words(Code::ALL.iter().map(|code| code.as_str()));
    vec![
        Operation {
            answers: vec![answer(200, "Alive", "It answers, so it lives.", json!({"status": "alive"}))],
            ..get("/livez", "live", "Whether the process lives", "")
        },
        Operation {
            answers: vec![
                answer(200, "Readiness", "Grabs can be acknowledged.", ready),
                answer(503, "Readiness", "They cannot, for now.", readiness("not ready", stalled)),
            ],
            ..get(
                "/readyz",
                "ready",
                "Whether it can sell",
                "A store that is away does not stop sales, unless every reply waits for it.",
            )
        },
        Operation {
            answers: vec![Answer {
                media_type: "text/plain; version=0.0.4; charset=utf-8",
                ..page("The figures.")
            }],
            ..get("/metrics", "getMetrics", "Figures for Prometheus", "In its text format.")
        },
        Operation {
            answers: vec![document],
            ..get("/openapi.json", "getDocument", "This document", "`farerush openapi` prints the same.")
        },
        Operation {
            answers: vec![page("The page.")],
            ..get("/docs", "getDocs", "This document, to read and to try", "Works without the internet.")
        },
        Operation {
            parameters: vec![segment("file", files, "Which file.", Some("swagger-ui.css".into()))],
            answers: vec![file("text/css"), file("text/javascript"), file("image/png")],
            codes: &[Code::NotFound],
            ..get("/docs/ui/{file}", "getDocsFile", "What the page `/docs` is made of", "")
        },
        Operation {
            answers: vec![page("The page.")],
            ..get("/docs/errors", "listErrors", "Every error code", "")
        },
        Operation {
            parameters: vec![segment("code", code, "Which code.", Some("SOLD_OUT".into()))],
            answers: vec![page("The page.")],
            codes: &[Code::NotFound],
            ..get(
                "/docs/errors/{code}",
                "getError",
                "What an error code means",
                "What happened, what it means for an order, what to do. The `type` of every problem leads here.",
            )
        },
    ]
}

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    [flights(), cabins(), overviews(), operators()].into_iter().flatten().collect()
}
