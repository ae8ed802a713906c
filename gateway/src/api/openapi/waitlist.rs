//! The waitlist: its operations, for customers and for admins, what they take and what they answer.
//! Never describes anything else.

use farerush_engine::flight::WaitlistStatus;
use farerush_engine::flight::sale::SEATS_LIMIT_MAX;
use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, Parameter};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder};

use super::answers::{durability, next_cursor, order_id};
use super::customers::{flight, timeout};
use super::operation::{Answer, Operation, body, json as answer, key_of_change, query, segment};
use super::requests::{a_moment, cabin_class, cursor, customer_id, flight_id, limit, reference};
use super::shape::{
    May, Must, Shape, count, list, moment, named, object, one_of_words, or_null, strict, text, whole,
};
use crate::wire::problem::Code;

/// What an entry's id looks like.
const WAITLIST_ID: &str = "^[A-Za-z0-9_-]{1,40}-W[0-9a-hjkmnp-tv-z]{9,21}$";
/// An entry's number, in hexadecimal.
const ENTRY_PLACE: &str = "^(3[0-9]){1,15}$";

fn waitlist_id() -> ObjectBuilder {
    text(12, 64, WAITLIST_ID)
}

fn entry() -> Parameter {
    segment("waitlist_id", waitlist_id(), "The entry's id, as it was given when the party joined.", None)
}

fn accept() -> OneOfBuilder {
    let fewest = whole(1, SEATS_LIMIT_MAX.into());
    let at_least = strict(
        "As many seats as there are, but at least so many.",
        vec![("at_least", Must, fewest.into(), "Not more than `party_size`.")],
    );
    OneOfBuilder::new().item(one_of_words(["all_together", "all"])).item(at_least)
}

/// All that has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    let join = strict(
        "A party that wants to wait for seats.",
        vec![
            ("customer_id", Must, customer_id().into(), "Who waits."),
            ("party_size", Must, whole(1, SEATS_LIMIT_MAX.into()).into(), "For how many seats."),
            (
                "accept",
                May,
                or_null(accept()),
                "What the party takes: `all_together` (side by side in one row), `all` (if nothing is said), or fewer \
                 seats: `{\"at_least\":2}`.",
            ),
            (
                "cabin_class",
                May,
                or_null(cabin_class()),
                "Only seats of this class, which the flight must have.",
            ),
            (
                "expires_at",
                May,
                or_null(a_moment()),
                "Until when the party waits; until the flight leaves, if nothing is said.",
            ),
            (
                "client_reference",
                May,
                or_null(reference()),
                "The client's own reference; the order gets it, too.",
            ),
        ],
    );
    let explained = object(
        "Why it stands there.",
        vec![
            ("parties_ahead", Must, count().into(), "Parties that came before and still wait."),
            ("seats_ahead", Must, count().into(), "Seats that those want together."),
        ],
    );
    let entry = object(
        "A party on a flight's waitlist.",
        vec![
            ("waitlist_id", Must, waitlist_id().into(), "Its id, which leads to its flight."),
            ("flight_id", Must, flight_id().into(), "Its flight."),
            ("customer_id", Must, customer_id().into(), "Who waits."),
            ("party_size", Must, count().into(), "For how many seats."),
            ("accept", Must, accept().into(), "What the party takes."),
            ("cabin_class", Must, or_null(cabin_class()), "Only in this class."),
            (
                "status",
                Must,
                one_of_words(WaitlistStatus::NAMES).into(),
                "`waiting`; `served`: see `order_id`; `left`: given up; `expired`: its time ran out, or the flight left.",
            ),
            ("position", Must, or_null(count()), "1: the next one. Null if it does not wait."),
            ("explained", Must, or_null(explained), "Null if it does not wait."),
            ("order_id", Must, or_null(order_id()), "The order with its seats, once it was served: a hold."),
            ("created_at", Must, moment().into(), "Since when it waits."),
            ("updated_at", Must, moment().into(), ""),
            ("expires_at", Must, or_null(moment()), "Until when it waits; null: until the flight leaves."),
            (
                "client_reference",
                May,
                super::shape::string().into(),
                "The client's own reference, if it gave one.",
            ),
            ("seq", Must, count().into(), "The event that last changed it."),
            ("durability", Must, durability(), "Where what this says was durable before the answer left."),
        ],
    );
    let page = object(
        "A page of a flight's waitlist, in the line's order.",
        vec![("waitlist", Must, list(named("WaitlistEntry")).into(), ""), next_cursor()],
    );
    vec![("JoinWaitlist", join.into()), ("WaitlistEntry", entry.into()), ("WaitlistPage", page.into())]
}

fn an_entry(status: &str) -> Value {
    let waits = status == "waiting";
    json!({
        "waitlist_id": "DEMO1-W37sq5y1a9", "flight_id": "DEMO1", "customer_id": "mei", "party_size": 3,
        "accept": {"at_least": 2}, "cabin_class": null, "status": status,
        "position": waits.then_some(2), "explained": waits.then(|| json!({"parties_ahead": 1, "seats_ahead": 4})),
        "order_id": null, "created_at": "2026-12-03T08:00:00.000Z", "updated_at": "2026-12-03T08:00:00.000Z",
        "expires_at": null, "seq": 3, "durability": "journal"
    })
}

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    let operation = |method, path, id, summary, description| Operation {
        method,
        path,
        id,
        tag: "waitlist",
        summary,
        description,
        for_admins: false,
        reads_body: true,
        parameters: vec![entry(), key_of_change(), timeout()],
        body: None,
        answers: vec![answer(200, "WaitlistEntry", "The entry as it is now.", an_entry("left"))],
        codes: &[Code::WaitlistEntryNotFound, Code::Overloaded, Code::OutcomeUnknown],
    };
    let joined = Answer {
        headers: &["Location"],
        ..answer(
            201,
            "WaitlistEntry",
            "The entry; `served` already, if seats were free that fit.",
            an_entry("waiting"),
        )
    };
    let again = answer(
        200,
        "WaitlistEntry",
        "The entry that was made before, under the same key.",
        an_entry("waiting"),
    );
    let bodies = [
        (
            "together",
            "Three seats side by side",
            json!({"customer_id": "mei", "party_size": 3, "accept": "all_together"}),
        ),
        (
            "fewer",
            "Two seats or more",
            json!({"customer_id": "mei", "party_size": 4, "accept": {"at_least": 2}}),
        ),
    ];
    let one = "/v1/waitlist/{waitlist_id}";
    vec![
        Operation {
            parameters: vec![flight("DEMO1"), key_of_change(), timeout()],
            body: Some(body("JoinWaitlist", &bodies)),
            answers: vec![joined, again],
            codes: &[
                Code::FlightNotFound,
                Code::SaleNotOpen,
                Code::SaleClosed,
                Code::LimitExceeded,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..operation(
                HttpMethod::Post,
                "/v1/flights/{flight_id}/waitlist",
                "joinWaitlist",
                "Wait for seats",
                "As soon as seats come back, the first party in the line that they fit gets a held order of its own, before \
                 anybody else can grab them. Needs a sale that has begun and is not over.",
            )
        },
        Operation {
            reads_body: false,
            parameters: vec![entry(), timeout()],
            answers: vec![answer(200, "WaitlistEntry", "The entry.", an_entry("waiting"))],
            codes: &[Code::WaitlistEntryNotFound, Code::Overloaded],
            ..operation(
                HttpMethod::Get,
                one,
                "getWaitlistEntry",
                "Where a party stands in the line",
                "An entry is known for a day after it stopped waiting.",
            )
        },
        operation(
            HttpMethod::Delete,
            one,
            "leaveWaitlist",
            "Wait no longer",
            "Repeating it is harmless. Who was served keeps the order: cancel that.",
        ),
        Operation {
            tag: "admin",
            for_admins: true,
            reads_body: false,
            parameters: vec![
                flight("DEMO1"),
                query("limit", limit(), "Most entries of the page."),
                query(
                    "cursor",
                    cursor(ENTRY_PLACE),
                    "The `next_cursor` of the page before; not to be made up.",
                ),
            ],
            answers: vec![answer(
                200,
                "WaitlistPage",
                "The entries.",
                json!({"waitlist": [an_entry("waiting")], "next_cursor": null}),
            )],
            codes: &[Code::FlightNotFound, Code::Overloaded],
            ..operation(
                HttpMethod::Get,
                "/v1/admin/flights/{flight_id}/waitlist",
                "listWaitlist",
                "A flight's waitlist",
                "In the line's order, with those that stopped waiting within a day.",
            )
        },
    ]
}
