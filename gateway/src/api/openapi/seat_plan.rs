//! Another seat plan while a flight sells: an aircraft swap and withdrawn seats, what they take and what they answer.
//! Never describes anything else.

use farerush_engine::flight::cabin::ROW_MAX;
use serde_json::json;
use utoipa::openapi::schema::{Object, OneOfBuilder, Type};

use super::answers::order_id;
use super::operation::{Answer, Operation, body, json as answer, key_of_change, query};
use super::requests::{customer_id, flight_id, of_aircraft, of_cabins};
use super::shape::{
    May, Member, Must, Shape, count, list, named, object, one_of_words, or_null, strict, text, whole,
};
use crate::wire::problem::Code;

const STRANDED: &str =
    "Whether orders without a place are cancelled; if not, and there are any, nothing changes.";

fn yes_or_no() -> Object {
    Object::with_type(Type::Boolean)
}

fn cancel_stranded() -> Member {
    ("cancel_stranded", May, or_null(yes_or_no()), STRANDED)
}

fn seat_names() -> Shape {
    list(text(2, 4, "^[1-9][0-9]{0,2}[A-HJ-Z]$")).into()
}

/// All that has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    let with = |mut members: Vec<Member>, description: &str| {
        members.push(cancel_stranded());
        strict(description, members)
    };
    let rows = list(whole(1, ROW_MAX.into())).min_items(Some(2)).max_items(Some(2));
    let by_seats = vec![("seats", Must, super::requests::seats(), "Each such as `12A`.")];
    let by_rows = vec![("rows", Must, rows.into(), "First and last row.")];
    let moved = object(
        "An order that gets other seats.",
        vec![
            ("order_id", Must, order_id().into(), ""),
            ("from", Must, seat_names(), "The seats it had."),
            ("to", Must, seat_names(), "Those it gets, passenger by passenger."),
            (
                "kept_together",
                Must,
                yes_or_no().into(),
                "False: the party sat side by side, and now does not.",
            ),
        ],
    );
    let stranded = object(
        "An order that the new plan has no place for.",
        vec![
            ("order_id", Must, order_id().into(), ""),
            ("record_locator", Must, text(6, 6, "^[A-HJ-NP-Z2-9]{6}$").into(), ""),
            ("customer_id", Must, customer_id().into(), ""),
            ("status", Must, one_of_words(["held", "confirmed"]).into(), "As it is before the change."),
            (
                "payment_reference",
                Must,
                or_null(super::requests::reference()),
                "What there may be to pay back.",
            ),
            ("seats", Must, seat_names(), "The seats it has before the change."),
        ],
    );
    let plan = object(
        "What a new seat plan means for those who have seats.",
        vec![
            ("flight_id", Must, flight_id().into(), ""),
            ("dry_run", Must, yes_or_no().into(), "True: nothing was changed."),
            ("seq", Must, count().into(), "The flight's last event."),
            ("capacity", Must, count().into(), "Seats of the new plan."),
            ("kept", Must, count().into(), "Orders that keep their seats."),
            ("moved", Must, list(moved).into(), ""),
            (
                "stranded",
                Must,
                list(stranded).into(),
                "Paid orders stay before held ones, earlier before later ones.",
            ),
        ],
    );
    let fares = "Fares by class; a class that neither names costs what it does now.";
    vec![
        (
            "NewAircraft",
            OneOfBuilder::new()
                .item(with(of_aircraft(fares), "A named type of aircraft."))
                .item(with(of_cabins(), "Cabins of its own."))
                .into(),
        ),
        (
            "SeatsToWithdraw",
            OneOfBuilder::new()
                .item(with(by_seats, "Some seats."))
                .item(with(by_rows, "All seats of some rows."))
                .into(),
        ),
        ("SeatPlan", plan.into()),
    ]
}

fn changed() -> Vec<Answer> {
    let plan = json!({
        "flight_id": "DEMO4", "dry_run": true, "seq": 40, "capacity": 180, "kept": 11,
        "moved": [{"order_id": "DEMO4-3nx034gtc5w8k2d", "from": ["31A", "31B"], "to": ["12A", "12B"], "kept_together": true}],
        "stranded": []
    });
    vec![Answer {
        // Under a key that was used before, the flight as it is now.
        shape: OneOfBuilder::new().item(named("SeatPlan")).item(named("Flight")).into(),
        ..answer(
            200,
            "SeatPlan",
            "Who moves, and who has no place; under a used key, the flight as it is now.",
            plan,
        )
    }]
}

/// What can be asked.
pub(super) fn operations() -> Vec<Operation> {
    let dry_run =
        || query("dry_run", yes_or_no(), "True: nothing is changed, the answer says what would be.");
    let swap = json!({"aircraft": "A321", "cancel_stranded": false});
    let rows = json!({"rows": [30, 31]});
    let common = |operation: Operation| Operation {
        parameters: vec![super::customers::flight("DEMO4"), dry_run(), key_of_change()],
        answers: changed(),
        ..operation
    };
    vec![
        Operation {
            body: Some(body(
                "NewAircraft",
                &[("aircraft", "A larger aircraft, at the fares there are", swap)],
            )),
            codes: &[
                Code::FlightNotFound,
                Code::OrdersWithoutSeats,
                Code::IdempotencyKeyReused,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..common(super::admins::post(
                "/v1/admin/flights/{flight_id}/aircraft",
                "changeAircraft",
                "Swap the aircraft, while it sells",
                "Everybody keeps their seats or gets others of the same class and fare, parties side by side where that \
                 can be. Ask with `dry_run=true` first.",
            ))
        },
        Operation {
            body: Some(body("SeatsToWithdraw", &[("rows", "Two rows", rows)])),
            codes: &[
                Code::NoSuchSeat,
                Code::FlightNotFound,
                Code::OrdersWithoutSeats,
                Code::IdempotencyKeyReused,
                Code::Overloaded,
                Code::OutcomeUnknown,
            ],
            ..common(super::admins::post(
                "/v1/admin/flights/{flight_id}/seats/withdraw",
                "withdrawSeats",
                "Withdraw seats, sold or not, while it sells",
                "They are blocked, and whoever has them gets others of the same class and fare. Ask with `dry_run=true` \
                 first; `seats/unblock` brings them back.",
            ))
        },
    ]
}
