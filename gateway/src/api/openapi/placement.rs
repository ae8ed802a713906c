//! Which server has which flights: the operations of that, and what they answer.
//! Never describes what customers do.

use serde_json::{Value, json};
use utoipa::openapi::path::HttpMethod;

use super::admins::post;
use super::operation::{Answer, Operation, body, json as answer, segment};
use super::requests::flight_id;
use super::shape::{
    Must, Shape, boolean, count, list, moment, named, object, one_of_words, or_null, strict, string,
};
use crate::parts::other_servers::actions::Deed;
use crate::wire::problem::Code;

fn servers() -> Value {
    json!({"servers": [{
        "server": "gateway1", "life": "9f86d081884c7d65", "is_this": true, "lease_left_ms": 512, "takes_flights": true,
        "peer_address": "10.0.0.3:41733", "flights": 120, "under_way": 3, "version": env!("CARGO_PKG_VERSION"),
    }], "actions": [{
        "at": "2026-12-24T12:00:00.000Z", "by": "night", "action": "move", "server": "gateway1", "flight_id": "DEMO4",
    }]})
}

fn all(meaning: &'static str) -> Vec<Answer> {
    vec![answer(200, "Servers", meaning, servers())]
}

pub(super) fn operations() -> Vec<Operation> {
    let server =
        || vec![segment("server", string(), "Its name: the setting `instance`.", Some(json!("gateway1")))];
    let moved = json!({"flight_id": "DEMO4", "server": "gateway2"});
    vec![
        Operation {
            method: HttpMethod::Get,
            reads_body: false,
            parameters: Vec::new(),
            answers: all("Those that there are; none where nobody can share flights."),
            codes: &[],
            ..post(
                "/v1/admin/servers",
                "listServers",
                "The servers that share flights",
                "As this one has heard of them last, a quarter of a lease ago at most.",
            )
        },
        Operation {
            parameters: server(),
            answers: all("It gives its flights away; those that are left go one after the other."),
            codes: &[Code::NotFound, Code::Overloaded],
            ..post(
                "/v1/admin/servers/{server}/drain",
                "drainServer",
                "Have a server give its flights away and take none",
                "It still answers whatever it is asked. Lasts until it is resumed, or started again. To be sent to any server, any \
                 number of times.",
            )
        },
        Operation {
            parameters: server(),
            answers: all("It takes flights again: within some seconds it is given its share."),
            codes: &[Code::NotFound, Code::Overloaded],
            ..post(
                "/v1/admin/servers/{server}/resume",
                "resumeServer",
                "Have a server take flights again",
                "Undoes drain.",
            )
        },
        Operation {
            parameters: vec![super::customers::flight("DEMO4")],
            body: Some(body(
                "FlightPlace",
                &[
                    ("move", "To a server", json!({"server": "gateway2"})),
                    ("anywhere", "To none in particular", json!({"server": null})),
                ],
            )),
            answers: vec![answer(200, "FlightPlaced", "It is there.", moved)],
            codes: &[Code::NotFound, Code::FlightNotFound, Code::Overloaded],
            ..post(
                "/v1/admin/flights/{flight_id}/move",
                "moveFlight",
                "Have a flight be at a server",
                "It moves there at once and stays there whoever comes or goes, for as long as that server is there; while it is not, \
                 the flight is where it would be anyway. No request fails for it. `null` undoes that. Any number of times.",
            )
        },
    ]
}

pub(super) fn shapes() -> Vec<(&'static str, Shape)> {
    let server = object(
        "A server.",
        vec![
            ("server", Must, string().into(), "Its name."),
            ("life", Must, string().into(), "One span of its being there."),
            ("is_this", Must, boolean().into(), "Whether it is the one that answers."),
            ("lease_left_ms", Must, count().into(), "For how long it is counted on without being heard of."),
            ("takes_flights", Must, boolean().into(), "Whether it has not been drained, and does not stop."),
            (
                "peer_address",
                Must,
                or_null(string()),
                "Where others hand on what is asked about its flights.",
            ),
            ("flights", Must, count().into(), "How many it serves."),
            (
                "under_way",
                Must,
                count().into(),
                "Requests about its flights that were under way at its last beat.",
            ),
            ("version", Must, or_null(string()), "Its version, if it says so."),
        ],
    );
    let action = object(
        "What an admin has asked for.",
        vec![
            ("at", Must, moment().into(), "When."),
            ("by", Must, string().into(), "The name of the admin's token."),
            ("action", Must, one_of_words(Deed::ALL.map(Deed::as_str)).into(), "What."),
            ("server", Must, or_null(string()), "The server; of a move, null for none in particular."),
            ("flight_id", Must, or_null(flight_id()), "The flight that was moved."),
        ],
    );
    let all = vec![
        ("servers", Must, list(named("Server")).into(), "By name."),
        (
            "actions",
            Must,
            or_null(list(action)),
            "What admins have asked for here, the newest first, at most 50; null while Redis does not say it.",
        ),
    ];
    let place = strict(
        "Where a flight is to be.",
        vec![("server", Must, or_null(string()), "The name of a server, or null: at none in particular.")],
    );
    let placed = object(
        "Where a flight is to be.",
        vec![
            ("flight_id", Must, flight_id().into(), ""),
            ("server", Must, or_null(string()), "Null: at none in particular."),
        ],
    );
    vec![
        ("Server", server.into()),
        ("Servers", object("", all).into()),
        ("FlightPlace", place.into()),
        ("FlightPlaced", placed.into()),
    ]
}
