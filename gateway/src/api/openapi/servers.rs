//! What answers to operators hold: whether a server is ready, and how journal, store, members and flights are doing.
//! Never describes what customers see.

use super::answers::durability;
use super::requests::flight_id;
use super::shape::{
    May, Member, Must, Shape, boolean, count, list, moment, named, object, one_of_words, or_null, string,
};

fn journal_state() -> Shape {
    let mut fields = condition(&["writing", "stalled", "stopped"]);
    let unsafe_because = "Why what Redis confirms may be lost, as it is set up; nothing is sold meanwhile, unless \
                          redis_allow_unsafe says so.";
    fields.push(("unsafe_because", May, list(string()).into(), unsafe_because));
    fields.push(("warnings", May, list(string()).into(), "What its promises do not cover."));
    let healed = "Events that a new primary of Redis lacked though they were confirmed, and that were written again, \
                  since the start.";
    fields.push(("healed_events", May, count().into(), healed));
    fields.push((
        "healed_flights",
        May,
        count().into(),
        "The flights that they were of, once for each time.",
    ));
    let new_primaries = "How often Redis had another primary, or was started anew, since the start.";
    fields.push(("new_primaries", May, count().into(), new_primaries));
    object("", fields).into()
}

fn store_state() -> Shape {
    let mut replica = condition(&["serving", "behind", "away"]);
    replica.push(("lag_ms", Must, count().into(), "How far it is behind the primary, about."));
    let mut fields = condition(&["up", "down"]);
    let meaning = "The replica of store_read: lists come from it while it serves, else from the primary.";
    fields.push(("replica", May, object(meaning, replica).into(), ""));
    object("", fields).into()
}

fn stopped() -> Shape {
    list(object("", vec![("flight_id", Must, flight_id().into(), ""), ("reason", Must, string().into(), "")]))
        .into()
}

/// How servers are doing.
pub(super) fn schemas() -> Vec<(&'static str, Shape)> {
    let states = one_of_words(["ready", "not ready", "stopping"]);
    let ownership = object(
        "Whether it can be shown at the moment that no other server has this one's flights; while it cannot, they are \
         not shown. Always certain where the journal is this server's own.",
        vec![
            ("state", Must, one_of_words(["certain", "uncertain"]).into(), ""),
            ("for_ms", May, count().into(), "For how long it has been uncertain."),
        ],
    );
    let readiness = object(
        "Whether grabs can be acknowledged and flights be shown.",
        vec![
            ("status", Must, states.into(), ""),
            ("recovered", Must, boolean().into(), ""),
            ("journal", Must, named("JournalState"), ""),
            ("store", Must, named("StoreState"), ""),
            ("ownership", Must, named("Ownership"), ""),
            ("flights_stopped", Must, count().into(), "Flights that are stopped."),
            (
                "stopped_because",
                May,
                string().into(),
                "Why one of them is, and what it needs; the status page has all.",
            ),
        ],
    );
    let recovered = object(
        "How a flight came up; null if it was created since the start.",
        vec![
            ("from", Must, string().into(), "What it was recovered from."),
            ("seq", Must, count().into(), ""),
            ("journal_was_empty", Must, boolean().into(), "Though the store was not."),
            ("lost_events", Must, one_of_words(["none", "unknown"]).into(), ""),
            milliseconds("How long it took."),
        ],
    );
    let flight = object(
        "",
        vec![
            ("flight_id", Must, flight_id().into(), ""),
            ("seq", Must, count().into(), "Decided."),
            ("durable_seq", Must, count().into(), "Durable in the journal."),
            ("stored_seq", Must, count().into(), "In the store."),
            ("epoch", Must, count().into(), "Counted up at every recovery."),
            ("queue", Must, count().into(), "Requests that wait for their turn."),
            ("holds", Must, count().into(), "Orders that wait for their payment."),
            ("server", May, string().into(), "The server that has it, where there are several."),
            ("recovered", Must, or_null(recovered), ""),
        ],
    );
    let member = object(
        "A server that shares the journal.",
        vec![
            ("server", Must, string().into(), "Its `instance`."),
            ("life", Must, string().into(), "Its name as a member, another one after each start or lapse."),
            (
                "lease_left_ms",
                Must,
                count().into(),
                "For how long it was still counted on at this one's last beat.",
            ),
            ("is_this", Must, boolean().into(), "Whether it is the one that answers."),
            (
                "answered",
                May,
                boolean().into(),
                "Whether what it says of itself is in here; without it, nobody was asked.",
            ),
            ("version", May, string().into(), ""),
            ("up_ms", May, count().into(), ""),
            ("in_flight", May, count().into(), "Commands that it has under way."),
        ],
    );
    let write_behind = object(
        "The way from the journal to the store.",
        vec![
            ("backlog_events", Must, count().into(), ""),
            (
                "backlog_bytes",
                Must,
                count().into(),
                "What those of them take that are kept in memory, about.",
            ),
            (
                "backlog_bytes_max",
                Must,
                count().into(),
                "Most of that; what follows waits in the journal alone.",
            ),
            ("flights_behind", Must, count().into(), ""),
            ("reread_events", Must, count().into(), "Read again from the journal."),
            ("last_error", Must, or_null(string()), ""),
            ("stuck", Must, stopped(), "Flights whose events the store does not take."),
        ],
    );
    let webhooks = object(
        "How webhooks are doing; null if none are sent.",
        vec![
            ("receiver", Must, string().into(), "Its host."),
            ("state", Must, one_of_words(["delivering", "failing", "away"]).into(), ""),
            ("failing_ms", Must, count().into(), "For how long it has taken nothing."),
            ("last_error", Must, or_null(string()), ""),
            ("lag_events", Must, count().into(), "Events whose webhooks were not delivered yet."),
            ("flights_behind", Must, count().into(), "Flights they belong to."),
            ("oldest", Must, or_null(moment()), "When the oldest of them happened, about."),
            ("lost_events", Must, count().into(), "Events whose webhooks are lost."),
            (
                "deliveries",
                Must,
                object(
                    "Attempts since the start, by what came of them.",
                    vec![
                        ("delivered", Must, count().into(), ""),
                        ("refused", Must, count().into(), "Answered, but not with 2xx."),
                        ("unreachable", Must, count().into(), ""),
                        ("timed_out", Must, count().into(), ""),
                    ],
                )
                .into(),
                "",
            ),
        ],
    );
    let status = object(
        "How journal, store and every flight are doing.",
        vec![
            ("version", Must, string().into(), ""),
            ("up_ms", Must, count().into(), ""),
            ("durability", Must, durability(), ""),
            ("in_flight", Must, count().into(), "Commands under way."),
            ("rounds", Must, count().into(), "Rounds that the journal has taken."),
            ("events", Must, count().into(), "Events in them."),
            ("journal", Must, named("JournalState"), ""),
            ("store", Must, named("StoreState"), ""),
            ("write_behind", Must, write_behind.into(), ""),
            ("webhooks", Must, or_null(webhooks), ""),
            ("ownership", Must, named("Ownership"), ""),
            (
                "members",
                Must,
                list(member).into(),
                "The servers that share the journal; none where nobody can.",
            ),
            ("flights", Must, list(flight).into(), ""),
            ("flights_elsewhere", Must, count().into(), "Served by other processes."),
            (
                "flights_coming_up",
                Must,
                count().into(),
                "What the start of this server has still to bring up.",
            ),
            ("flights_unserved", Must, count().into(), "Served by no process at all, for some seconds now."),
            ("unserved_flights", Must, list(flight_id()).into(), "Their ids, the first 100 by name."),
            ("stopped_flights", Must, stopped(), "Flights that could not be recovered, and why."),
        ],
    );
    let restarted = object(
        "A flight that was recovered again.",
        vec![
            ("flight_id", Must, flight_id().into(), ""),
            ("seq", Must, count().into(), "How far it is."),
            ("epoch", Must, count().into(), "One more than before."),
            milliseconds("How long it took."),
        ],
    );
    vec![
        ("JournalState", journal_state()),
        ("Ownership", ownership.into()),
        ("StoreState", store_state()),
        ("Alive", object("", vec![("status", Must, one_of_words(["alive"]).into(), "")]).into()),
        ("Readiness", readiness.into()),
        ("Status", status.into()),
        ("Restarted", restarted.into()),
    ]
}

fn milliseconds(meaning: &'static str) -> Member {
    ("took_ms", Must, count().into(), meaning)
}

fn condition(states: &[&'static str]) -> Vec<Member> {
    vec![
        ("where", Must, string().into(), "What it is and where, without passwords."),
        ("state", Must, one_of_words(states.iter().copied()).into(), ""),
        ("for_ms", May, count().into(), "For how long it has been so."),
        ("reason", May, string().into(), "Why."),
    ]
}
