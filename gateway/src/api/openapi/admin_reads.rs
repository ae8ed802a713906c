//! What admins read of a flight, and the file of flights that they import.
//! Never describes what changes one flight.

use farerush_persistence::store::RefundReason;
use serde_json::json;
use utoipa::openapi::Required;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, Parameter};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};

use super::answers::{next_cursor, order_id};
use super::customers::{flight, order_filters, order_page};
use super::operation::{Answer, Operation, json as answer, key_of_change, query};
use super::requests::{a_moment, cabin_class, cursor, customer_id, flight_id, limit};
use super::shape::{
    Member, Must, Shape, boolean, count, list, moment, named, object, one_of_words, or_null, string, text,
};
use crate::api::admin::import::lines::{COLUMNS, FLIGHTS_MAX};
use crate::api::audit::Actor;
use crate::wire::csv_text::MEDIA_TYPE;
use crate::wire::problem::Code;

/// Digits, as a cursor holds them.
const SEQ_PLACE: &str = "^(3[0-9]){1,18}$";
/// The same twice.
const REFUND_PLACE: &str = "^(3[0-9]){1,18}3a(3[0-9]){1,18}$";

fn of_order() -> Vec<Member> {
    vec![
        ("order_id", Must, order_id().into(), "Its id."),
        ("record_locator", Must, string().into(), "What its traveller reads out."),
        ("customer_id", Must, customer_id().into(), "Whose it is."),
    ]
}

/// What has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    let mut seat = vec![
        ("seat", Must, string().into(), "Such as `12A`."),
        ("cabin_class", Must, or_null(cabin_class()), "Class of travel."),
        ("status", Must, one_of_words(["held", "confirmed"]).into(), "Where its order stands."),
        ("passenger", Must, or_null(string()), "Who sits there, if that is known."),
        ("fare", Must, or_null(named("Fare")), "The price of this seat."),
    ];
    seat.extend(of_order());
    let manifest = vec![
        ("flight_id", Must, flight_id().into(), "Its id."),
        ("seq", Must, count().into(), "The newest event that this shows."),
        ("at", Must, moment().into(), "When that was decided."),
        ("seats", Must, list(object("A seat that somebody has.", seat)).into(), "By row and letter."),
    ];
    let event = vec![
        ("seq", Must, count().into(), "Its place in the flight's history."),
        ("at", Must, moment().into(), "When it was decided."),
        ("kind", Must, string().into(), "What happened, such as `order_placed`."),
        ("actor", Must, one_of_words(Actor::ALL.map(Actor::as_str)).into(), "Who caused it."),
        ("by", Must, or_null(string()), "The admin's name, or the customer's id, where it is known."),
        ("idempotency_key", Must, or_null(string()), "The key that its request came under."),
        ("details", Must, object("What there is to say about such an event.", Vec::new()).into(), ""),
    ];
    let audit = vec![
        ("flight_id", Must, flight_id().into(), "Its id."),
        (
            "complete_from_seq",
            Must,
            count().into(),
            "From this event on none is missing; of those before, what the store still knows is shown.",
        ),
        ("events", Must, list(object("An event.", event)).into(), "By rising `seq`."),
        next_cursor(),
    ];
    let mut refund = of_order();
    refund.extend([
        ("seats", Must, list(string()).into(), "The seats that it lost; none where only money came."),
        ("amount", Must, count().into(), "How much goes back, in minor units."),
        ("currency", Must, string().into(), "ISO 4217."),
        (
            "payment_reference",
            Must,
            or_null(string()),
            "The payment that goes back; null where a grab was confirmed at once.",
        ),
        (
            "reason",
            Must,
            one_of_words(RefundReason::ALL.map(RefundReason::as_str)).into(),
            "`seats_lost`: a new seat plan had no place for it; `paid_too_late`, `paid_already` and `paid_cancelled`: the \
             payment came for nothing.",
        ),
        ("cancelled_at", Must, moment().into(), "When it ended, or the payment came."),
        ("seq", Must, count().into(), "The event by which that happened."),
    ]);
    let refunds = || -> Vec<Member> {
        vec![
            ("flight_id", Must, flight_id().into(), "Its id."),
            ("refunds", Must, list(named("Refund")).into(), "By rising `seq`."),
            next_cursor(),
            (
                "up_to_date",
                Must,
                boolean().into(),
                "Whether everything that was acknowledged before is in it.",
            ),
        ]
    };
    let mut closed = refunds();
    closed.push(("cancelled", Must, count().into(), "How many orders this request has cancelled."));
    let imported = vec![
        ("dry_run", Must, boolean().into(), "Whether the file was only checked."),
        ("created", Must, count().into(), "How many flights were created, by this request or under its key."),
        ("skipped", Must, count().into(), "How many were there already, with `existing=skip`."),
        ("flights", Must, list(flight_id()).into(), "Those that were created, or would be."),
    ];
    vec![
        ("Manifest", object("Who sits where, at one moment.", manifest).into()),
        ("Audit", object("A page of a flight's history.", audit).into()),
        ("Refund", object("An order that ended after it had been confirmed.", refund).into()),
        ("Refunds", object("A page of what goes back.", refunds()).into()),
        (
            "ClosedForGood",
            object("What came of cancelling all orders, and the first refunds.", closed).into(),
        ),
        ("Imported", object("What came of a file.", imported).into()),
    ]
}

fn csv(meaning: &'static str) -> Answer {
    Answer {
        status: 200,
        meaning,
        media_type: MEDIA_TYPE,
        shape: string().into(),
        example: None,
        headers: &[],
    }
}

fn format() -> Parameter {
    query("format", one_of_words(["json", "csv"]), "How it is answered; without it, as `Accept` says.")
}

fn get(path: &'static str, id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation {
        method: HttpMethod::Get,
        reads_body: false,
        parameters: vec![flight("DEMO1"), format()],
        answers: Vec::new(),
        codes: &[Code::FlightNotFound, Code::Overloaded],
        ..super::admins::post(path, id, summary, description)
    }
}

fn paged(place: &str) -> Vec<Parameter> {
    let opaque = "Where a page begins: the `next_cursor` of the one before.";
    vec![
        flight("DEMO1"),
        format(),
        query("limit", limit(), "Most entries of the page."),
        query("cursor", cursor(place), opaque),
    ]
}

fn reads() -> Vec<Operation> {
    let refund = json!({"order_id": "DEMO1-3nx034gtc5w8k2d", "record_locator": "K7M2QX", "customer_id": "mei",
                        "seats": ["12A", "12B"], "amount": 199_800, "currency": "TWD", "payment_reference": "pay-1",
                        "reason": "cancelled", "cancelled_at": "2026-12-01T08:00:00.000Z", "seq": 17});
    let refunds = json!({"flight_id": "DEMO1", "refunds": [refund], "next_cursor": null, "up_to_date": true});
    let manifest = json!({"flight_id": "DEMO1", "seq": 9, "at": "2026-12-01T08:00:00.000Z",
                          "seats": [{"seat": "12A", "cabin_class": "economy", "status": "confirmed",
                                     "order_id": "DEMO1-3nx034gtc5w8k2d", "record_locator": "K7M2QX", "customer_id": "mei",
                                     "passenger": "Lin Mei", "fare": {"amount": 99_900, "currency": "TWD"}}]});
    let event = json!({"seq": 2, "at": "2026-12-01T08:00:00.000Z", "kind": "sale_switched", "actor": "admin",
                       "by": "admin", "idempotency_key": null, "details": {"state": "open"}});
    let audit = json!({"flight_id": "DEMO1", "complete_from_seq": 1, "events": [event], "next_cursor": null});
    let csv_page = "The same as a table; `Link` leads to the next page.";
    vec![
        Operation {
            answers: vec![answer(200, "Manifest", "Who sits where.", manifest), csv("The same as a table.")],
            ..get(
                "/v1/admin/flights/{flight_id}/manifest",
                "getManifest",
                "Who sits where",
                "By the flight's own word, all of it at the event `seq` (in the header `Farerush-Seq`, too).",
            )
        },
        Operation {
            parameters: paged(SEQ_PLACE),
            answers: vec![answer(200, "Audit", "Some events, in order.", audit), csv(csv_page)],
            ..get(
                "/v1/admin/flights/{flight_id}/audit",
                "getAudit",
                "Every event of a flight, in order",
                "From the journal; before its beginning (`complete_from_seq`), what the store still knows: what admins \
                 did, how each order began and how it ended.",
            )
        },
        Operation {
            parameters: paged(REFUND_PLACE),
            answers: vec![answer(200, "Refunds", "What goes back.", refunds), csv(csv_page)],
            ..get(
                "/v1/admin/flights/{flight_id}/refunds",
                "listRefunds",
                "Orders that ended after they had been confirmed",
                "What each of them is to get back. Nothing is paid from here.",
            )
        },
        Operation {
            parameters: all_orders(),
            answers: vec![order_page(), csv(csv_page)],
            codes: &[Code::Overloaded],
            ..get("/v1/admin/orders", "listAllOrders", "All orders", "Newest first, from the store.")
        },
    ]
}

fn all_orders() -> Vec<Parameter> {
    let mut filters = order_filters(false);
    let locator = text(6, 6, "^[A-Za-z0-9]{6}$");
    filters.extend([
        query("record_locator", locator, "Only orders with it; each flight may have one."),
        query("created_from", a_moment(), "Only orders placed then or later."),
        query("created_to", a_moment(), "Only orders placed before that."),
        format(),
    ]);
    filters
}

fn a_file() -> RequestBody {
    let line = r#"{"flight_number":"FR711","origin":"TPE","destination":"FUK","departs_at":"2027-03-01T08:30:00Z","aircraft":"AT76","fare":{"amount":49900,"currency":"TWD"}}"#;
    let table = "flight_number,origin,destination,departs_at,aircraft,fare,currency,state\r\n\
                 FR712,TPE,FUK,2027-03-02T08:30:00Z,AT76,49900,TWD,open\r\n";
    let content = |meaning: String, example: &str| {
        ContentBuilder::new()
            .schema(Some(string().description(Some(meaning))))
            .example(Some(example.into()))
            .build()
    };
    let of_lines = "A flight a line, as `POST /v1/admin/flights` takes it.".to_owned();
    let of_table = format!(
        "A header line, then a line a flight; in any order, as far as needed: {}. `cabins` and `fares` hold JSON.",
        COLUMNS.join(", ")
    );
    RequestBodyBuilder::new()
        .description(Some(format!("At most {FLIGHTS_MAX} flights.")))
        .content("application/x-ndjson", content(of_lines, line))
        .content("text/csv", content(of_table, table))
        .required(Some(Required::True))
        .build()
}

fn import() -> Operation {
    let yes_or_no = || one_of_words(["true", "false"]);
    let imported = |created: u64, dry_run: bool| json!({"dry_run": dry_run, "created": created, "skipped": 0, "flights": ["FR711-20270301"]});
    let created = answer(201, "Imported", "All of them are there.", imported(1, false));
    let replayed = "It was checked only, or everything was there already.";
    Operation {
        parameters: vec![
            query("dry_run", yes_or_no(), "True: the file is checked, and nothing is created."),
            query(
                "existing",
                one_of_words(["refuse", "skip"]),
                "What a flight is that exists already: a bad line, or, if it is the same flight, nothing to do.",
            ),
            key_of_change(),
        ],
        body: Some(a_file()),
        answers: vec![created, answer(200, "Imported", replayed, imported(0, true))],
        codes: &[Code::Overloaded, Code::OutcomeUnknown],
        ..super::admins::post(
            "/v1/admin/flights/import",
            "importFlights",
            "Create many flights from a file",
            "All of them or none; every bad line is named. Under the same `Idempotency-Key` the same file can be sent \
             again.",
        )
    }
}

/// What can be asked.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = reads();
    all.push(import());
    all
}
