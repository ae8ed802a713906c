//! What admins watch and try out: the cockpit and rehearsals.
//! Never describes what changes a flight: nothing here does.

use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, Parameter};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};

use super::customers::{a_seat_map, flight};
use super::operation::{Answer, Operation, json as answer, optional_body, query, segment};
use super::requests::{a_moment, flight_id};
use super::shape::{
    May, Must, Shape, boolean, count, list, moment, named, object, one_of_words, or_null, strict, string,
    text, whole,
};
use crate::parts::rehearsal::{CHECKS, CUSTOMERS_MAX, OVER_SECONDS_MAX, StartFrom, State};
use crate::wire::problem::Code;

/// What a rehearsal's id looks like.
const REHEARSAL_ID: &str = "^[0-9a-f]{16}$";
/// How long it is, in characters.
const REHEARSAL_ID_CHARS: usize = 16;

fn rehearsal_id() -> ObjectBuilder {
    text(REHEARSAL_ID_CHARS, REHEARSAL_ID_CHARS, REHEARSAL_ID)
}

/// How many by code; codes that were not given are left out.
fn by_code() -> ObjectBuilder {
    let codes = one_of_words(Code::ALL.iter().map(|code| code.as_str()));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(codes))
        .additional_properties(Some(AdditionalProperties::RefOr(count().into())))
}

fn percent() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0))
}

fn cockpit() -> Vec<(&'static str, Shape)> {
    let quantiles = vec![
        ("p50", Must, count().into(), "The median."),
        ("p90", Must, count().into(), ""),
        ("p99", Must, count().into(), ""),
        ("max", Must, count().into(), "The longest, or no less than that."),
    ];
    let grabs = vec![
        ("won", Must, count().into(), "Those that got seats."),
        ("replayed", Must, count().into(), "Those that had them already, under the same key."),
        ("refused", Must, by_code().into(), "All others, by code."),
    ];
    let sample = vec![
        ("at", Must, moment().into(), "When the second ended."),
        ("grabs", Must, object("", grabs).into(), "Grabs answered in it."),
        ("latency_us", Must, or_null(named("Quantiles")), "How long they took; null if there was none."),
        ("rounds", Must, count().into(), "Rounds that the journal has taken in it."),
        ("events", Must, count().into(), "Events in them."),
        (
            "append_us",
            Must,
            or_null(named("Quantiles")),
            "How long the journal took for a round; null if it took none.",
        ),
        ("backlog_events", Must, count().into(), "Events that are durable, but not in the store yet."),
        ("backlog_bytes", Must, count().into(), "What those of them take that are kept in memory."),
        ("backlog_ms", Must, count().into(), "How long ago the oldest of them happened."),
        ("queued", Must, count().into(), "Requests of all flights that were under way."),
        ("live_readers", Must, count().into(), "Clients that followed a flight live."),
        ("connections", Must, count().into(), "Connections that were open."),
        ("cpu_percent", Must, percent().into(), "Processor time of the process in it; 100 is one core."),
        ("memory_bytes", Must, count().into(), "Memory of the process."),
    ];
    let cockpit = vec![
        ("now", Must, moment().into(), "The server's time."),
        ("interval_ms", Must, count().into(), "How far apart samples are."),
        ("samples", Must, list(object("A second.", sample)).into(), "By rising time."),
        (
            "servers",
            Must,
            list(object(
                "A server that shares flights.",
                vec![
                    ("server", Must, string().into(), "Its name."),
                    ("answered", Must, boolean().into(), "Whether the samples hold what it counted."),
                ],
            ))
            .into(),
            "Those whose figures the samples add up; none where there is one server. Of times the longest is told.",
        ),
        ("journal", Must, named("JournalState"), "How the journal is now."),
        ("store", Must, named("StoreState"), "How the store is now."),
    ];
    let about = "Microseconds. In the cockpit they are as fine as the buckets of the histograms behind them.";
    vec![
        ("Quantiles", object(about, quantiles).into()),
        ("Cockpit", object("What the server did in each of the last seconds.", cockpit).into()),
    ]
}

fn rehearsals() -> Vec<(&'static str, Shape)> {
    let wanted = vec![
        ("customers", May, or_null(whole(1, CUSTOMERS_MAX.into())), "How many come; 10,000 without it."),
        (
            "over_seconds",
            May,
            or_null(whole(1, OVER_SECONDS_MAX.into())),
            "Within how many seconds; 10 without it.",
        ),
        (
            "start_from",
            May,
            or_null(one_of_words(StartFrom::ALL.map(StartFrom::as_str))),
            "`now`: with the seats sold and held that are now (without it, too). `empty`: with all on sale that are not \
             blocked.",
        ),
    ];
    let interval = vec![
        ("ms", Must, count().into(), "When it ended, from the start."),
        ("sent", Must, count().into(), "Customers who came in it."),
        ("won", Must, count().into(), "Customers who were told in it that they have seats."),
        ("refused", Must, count().into(), "Customers who were told in it that they have none."),
        (
            "p99_us",
            Must,
            or_null(count()),
            "99 of 100 of those answered had waited for less, in microseconds.",
        ),
    ];
    let check = vec![
        ("name", Must, one_of_words(CHECKS).into(), "What must hold."),
        ("ok", Must, boolean().into(), "Whether it does."),
    ];
    let rehearsal = vec![
        ("rehearsal_id", Must, rehearsal_id().into(), "Its id."),
        ("flight_id", Must, flight_id().into(), "The flight whose shadow it is about."),
        ("state", Must, one_of_words(State::ALL.map(State::as_str)).into(), ""),
        ("customers", Must, count().into(), "How many come."),
        ("over_seconds", Must, count().into(), "Within how many seconds."),
        ("start_from", Must, one_of_words(StartFrom::ALL.map(StartFrom::as_str)).into(), ""),
        ("started_at", Must, moment().into(), ""),
        ("elapsed_ms", Must, count().into(), "How long it has run, or ran."),
        ("sent", Must, count().into(), "Customers who came so far."),
        ("won", Must, count().into(), "Those of them who have seats."),
        ("orders", Must, count().into(), "Their orders."),
        ("seats_sold", Must, count().into(), "Seats that they have."),
        ("capacity", Must, count().into(), "All seats of the shadow."),
        ("available", Must, count().into(), "Those still on sale."),
        ("refused", Must, by_code().into(), "Customers who have none, by code."),
        (
            "latency_us",
            Must,
            or_null(named("Quantiles")),
            "How long customers waited for their answer, from when they came; null while nobody has one.",
        ),
        ("sold_out_after_ms", Must, or_null(count()), "When the last seat went."),
        ("timeline", Must, list(object("An interval.", interval)).into(), "What happened when."),
        (
            "checks",
            Must,
            or_null(list(object("A check.", check))),
            "Made at the end; null before, and if it never came.",
        ),
        ("failure", Must, or_null(string()), "Why it could not go on, if it has `failed`."),
    ];
    vec![
        ("RehearsalPlan", strict("A rush to rehearse.", wanted).into()),
        ("Rehearsal", object("A rush of simulated customers on a flight's shadow.", rehearsal).into()),
    ]
}

/// What has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    [cockpit(), rehearsals()].concat()
}

fn a_cockpit() -> Value {
    json!({
        "now": "2026-12-24T08:30:01.200Z", "interval_ms": 1000,
        "samples": [{
            "at": "2026-12-24T08:30:01.000Z", "grabs": {"won": 180, "replayed": 0, "refused": {"SOLD_OUT": 9_200}},
            "latency_us": {"p50": 640, "p90": 1_300, "p99": 2_900, "max": 5_000},
            "rounds": 7, "events": 180, "append_us": {"p50": 410, "p90": 700, "p99": 980, "max": 1_000},
            "backlog_events": 180, "backlog_bytes": 41_000, "backlog_ms": 900, "queued": 12, "live_readers": 3,
            "connections": 260, "cpu_percent": 87.5, "memory_bytes": 61_000_000
        }],
        "journal": {"where": "file:./data/journal", "state": "writing"},
        "servers": [], "store": {"where": "sqlite:./data/farerush.db", "state": "up"}
    })
}

fn a_rehearsal(state: &str) -> Value {
    let checks = CHECKS.map(|name| json!({"name": name, "ok": true}));
    json!({
        "rehearsal_id": "9f86d081884c7d65", "flight_id": "DEMO3", "state": state, "customers": 10_000,
        "over_seconds": 10, "start_from": "now", "started_at": "2026-12-24T08:30:00.000Z", "elapsed_ms": 10_012,
        "sent": 10_000, "won": 96, "orders": 96, "seats_sold": 180, "capacity": 180, "available": 0,
        "refused": {"SOLD_OUT": 9_900, "NOT_ENOUGH_SEATS": 4},
        "latency_us": {"p50": 12, "p90": 90, "p99": 1_400, "max": 2_100}, "sold_out_after_ms": 31,
        "timeline": [{"ms": 200, "sent": 790, "won": 96, "refused": 694, "p99_us": 1_900}],
        "checks": checks, "failure": null
    })
}

fn get(path: &'static str, id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation {
        method: HttpMethod::Get,
        reads_body: false,
        parameters: vec![the_rehearsal()],
        answers: vec![answer(200, "Rehearsal", "How it is doing.", a_rehearsal("done"))],
        codes: &[Code::NotFound],
        ..super::admins::post(path, id, summary, description)
    }
}

fn the_rehearsal() -> Parameter {
    segment("rehearsal_id", rehearsal_id(), "The rehearsal's id, as it was given when it began.", None)
}

/// What can be asked.
pub(super) fn operations() -> Vec<Operation> {
    let one = "/v1/admin/rehearsals/{rehearsal_id}";
    let rush = json!({"customers": 2_000, "over_seconds": 1, "start_from": "empty"});
    let begun = answer(201, "Rehearsal", "It has begun.", a_rehearsal("running"));
    vec![
        Operation {
            parameters: vec![query("since", a_moment(), "Only samples taken after that.")],
            answers: vec![answer(200, "Cockpit", "The last seconds.", a_cockpit())],
            codes: &[],
            ..get(
                "/v1/admin/cockpit",
                "getCockpit",
                "What the server did in each of the last seconds",
                "A sample a second, for ten minutes. Ask with `since`, the `at` of the newest sample you have, for what \
                 has come.",
            )
        },
        Operation {
            parameters: vec![flight("DEMO3")],
            body: Some(optional_body("RehearsalPlan", &[("rush", "Two thousand in a second", rush)])),
            answers: vec![Answer { headers: &["Location"], ..begun }],
            codes: &[Code::FlightNotFound, Code::LimitExceeded, Code::Overloaded],
            ..super::admins::post(
                "/v1/admin/flights/{flight_id}/rehearsals",
                "rehearse",
                "Rehearse a rush on a shadow of a flight",
                "Simulated customers, in parties of one to four, most of them early, ask a copy of the flight that is on \
                 sale. The flight itself does not change. One rehearsal runs at a time.",
            )
        },
        get(
            one,
            "getRehearsal",
            "A rehearsal's progress, and its report",
            "The last few are kept in memory.",
        ),
        Operation {
            method: HttpMethod::Delete,
            ..get(one, "stopRehearsal", "Stop a rehearsal", "To repeat it is harmless.")
        },
        Operation {
            answers: vec![answer(200, "SeatMap", "Every seat of the shadow.", a_seat_map())],
            ..get(
                "/v1/admin/rehearsals/{rehearsal_id}/seats",
                "getRehearsalSeats",
                "The seat map of a rehearsal's shadow",
                "As a flight's, a tenth of a second old at most.",
            )
        },
    ]
}
