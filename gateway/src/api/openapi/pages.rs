//! The pages for customers and admins, what they are made of, and the clock that they count down by.
//! Never describes what the pages ask for: that is the rest of the document.

use serde_json::json;
use utoipa::openapi::path::HttpMethod;

use super::operation::{Answer, Operation, json as answer, page, segment};
use super::shape::{Must, Shape, boolean, moment, object, string, text};
use crate::wire::problem::Code;

/// What a file of the pages is called.
const FILE: &str = "^[a-z0-9-]+\\.(js|css|svg)$";
/// Longest such name, in characters.
const FILE_CHARS_MAX: usize = 64;

/// What has a name.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    let clock = vec![
        ("now", Must, moment().into(), "The time by which sales open and holds end."),
        (
            "test_payment",
            Must,
            boolean().into(),
            "Whether customers may confirm orders themselves: a test, in which no money moves.",
        ),
    ];
    vec![("Clock", object("What time it is here.", clock).into())]
}

fn get(path: &'static str, id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation {
        method: HttpMethod::Get,
        tag: "pages",
        for_admins: false,
        reads_body: false,
        parameters: Vec::new(),
        answers: vec![page("The page.")],
        codes: &[],
        ..super::admins::post(path, id, summary, description)
    }
}

/// What can be asked.
pub(super) fn operations() -> Vec<Operation> {
    let filters = "Its query holds the filters; the server does not look at it.";
    let any = string().min_length(Some(1));
    let files = text(4, FILE_CHARS_MAX, FILE);
    let file = |media_type| Answer { media_type, ..page("The file.") };
    vec![
        Operation {
            tag: "flights",
            answers: vec![answer(
                200,
                "Clock",
                "The time.",
                json!({"now": "2026-12-24T08:30:00.000Z", "test_payment": false}),
            )],
            ..get(
                "/v1/time",
                "getTime",
                "What time it is here",
                "For countdowns: the clock of whoever looks may be wrong.",
            )
        },
        get("/", "showDepartures", "The flights on sale, as a page", filters),
        Operation {
            parameters: vec![segment("flight_id", any, "The flight's id.", Some("DEMO1".into()))],
            ..get(
                "/flights/{flight_id}",
                "showFlight",
                "A flight's seat map and the grab, as a page",
                "Whether there is such a flight, the page finds out.",
            )
        },
        get("/orders", "showOrders", "A customer's orders, as a page", filters),
        get(
            "/admin",
            "showAdmin",
            "The admin's page",
            "It asks for a token, and sends it with what it asks for.",
        ),
        Operation {
            parameters: vec![segment("file", files, "Which file.", Some("base.css".into()))],
            answers: vec![
                file("text/css; charset=utf-8"),
                file("text/javascript; charset=utf-8"),
                file("image/svg+xml"),
            ],
            codes: &[Code::NotFound],
            ..get(
                "/assets/{file}",
                "getAsset",
                "What the pages are made of",
                "With an `ETag`; who has the file already and says so (`If-None-Match`) is told that it is unchanged.",
            )
        },
    ]
}
