//! Every operation that takes an idempotency key, repeated under it after the state has changed: the answer is that of a
//! replay, and nothing happens. Over HTTP, before and after a restart.

use crate::client::{Reply, TOKEN, TestServer};
use serde_json::{Value, json};

/// One operation, on a flight of its own called `{f}`; `{o}` is an order on 1A and 1B, `{w}` an entry of the waitlist.
struct Operation {
    name: &'static str,
    /// Done beforehand, by admins without a key.
    before: &'static [(&'static str, &'static str)],
    request: (&'static str, &'static str),
    /// Changes the state, so that the same request would do something again, or could not be granted any more.
    after: &'static [(&'static str, &'static str)],
    /// Whether the answer is all there is of the outcome, and has to come again as it was.
    is_same: bool,
}

const PAY: (&str, &str) = ("POST /v1/orders/{o}/pay", "{}");
const CONFIRM: (&str, &str) =
    ("POST /v1/orders/{o}/confirm", r#"{"payment_reference":"p","amount":200,"currency":"TWD"}"#);
const CANCEL: (&str, &str) = ("POST /v1/orders/{o}/cancel", "");
const OPEN: (&str, &str) = ("POST /v1/admin/flights/{f}/open", "");
const PAUSE: (&str, &str) = ("POST /v1/admin/flights/{f}/pause", "");
const CLOSE: (&str, &str) = ("POST /v1/admin/flights/{f}/close", "");
const CLOSE_ALL: (&str, &str) = ("POST /v1/admin/flights/{f}/close", r#"{"cancel_orders":true}"#);
const GRAB_MORE: (&str, &str) =
    ("POST /v1/flights/{f}/orders", r#"{"customer_id":"jo","seats":["2A","2B"]}"#);
const BLOCK: (&str, &str) = ("POST /v1/admin/flights/{f}/seats/block", r#"{"seats":["4A"]}"#);
const UNBLOCK: (&str, &str) = ("POST /v1/admin/flights/{f}/seats/unblock", r#"{"seats":["4A"]}"#);
const RULES: (&str, &str) = ("PATCH /v1/admin/flights/{f}", r#"{"hold_seconds":77}"#);
const OTHER_RULES: (&str, &str) = ("PATCH /v1/admin/flights/{f}", r#"{"hold_seconds":78}"#);
const ROWS: (&str, &str) = (
    "POST /v1/admin/flights/{f}/rows",
    r#"{"cabin_class":"economy","rows":[5,5],"layout":"ABC DEF","fare":{"amount":100,"currency":"TWD"}}"#,
);
const FOUR_ROWS: (&str, &str) = (
    "POST /v1/admin/flights/{f}/aircraft",
    r#"{"cancel_stranded":true,"cabins":[{"cabin_class":"economy","rows":[1,4],"layout":"ABC DEF","fare":{"amount":100,"currency":"TWD"}}]}"#,
);
const THREE_ROWS: (&str, &str) = (
    "POST /v1/admin/flights/{f}/aircraft",
    r#"{"cancel_stranded":true,"cabins":[{"cabin_class":"economy","rows":[2,4],"layout":"ABC DEF","fare":{"amount":100,"currency":"TWD"}}]}"#,
);
const ONLY_BUSINESS: (&str, &str) = (
    "POST /v1/admin/flights/{f}/aircraft",
    r#"{"cancel_stranded":true,"cabins":[{"cabin_class":"business","rows":[8,9],"layout":"A C","fare":{"amount":900,"currency":"TWD"}}]}"#,
);
const BY_NAME: (&str, &str) =
    ("POST /v1/admin/flights/{f}/aircraft", r#"{"aircraft":"AT76","cancel_stranded":true}"#);
const WITHDRAW_ROW: (&str, &str) =
    ("POST /v1/admin/flights/{f}/seats/withdraw", r#"{"rows":[1,1],"cancel_stranded":true}"#);
const WITHDRAW_SEATS: (&str, &str) =
    ("POST /v1/admin/flights/{f}/seats/withdraw", r#"{"seats":["1A","4F"]}"#);
const GIVE_BACK: (&str, &str) = ("POST /v1/admin/flights/{f}/seats/unblock", r#"{"seats":["1A","4F"]}"#);
const MOVE: (&str, &str) = ("PATCH /v1/orders/{o}", r#"{"seats":["3A","3B"]}"#);
const MOVE_ON: (&str, &str) = ("PATCH /v1/orders/{o}", r#"{"seats":["4A","4B"]}"#);
const STAY: (&str, &str) = ("PATCH /v1/orders/{o}", r#"{"seats":["1A","1B"]}"#);
const NAME: (&str, &str) = ("PATCH /v1/orders/{o}", r#"{"passengers":[{"name":"Mei"},{"name":"An"}]}"#);
const RENAME: (&str, &str) = ("PATCH /v1/orders/{o}", r#"{"passengers":[{"name":"Jo"},{"name":"Wu"}]}"#);
const GRAB: (&str, &str) = ("POST /v1/flights/{f}/orders", r#"{"customer_id":"an","seats":["3C"]}"#);
const JOIN: (&str, &str) =
    ("POST /v1/flights/{f}/waitlist", r#"{"customer_id":"an","party_size":9,"accept":"all_together"}"#);
const LEAVE: (&str, &str) = ("DELETE /v1/waitlist/{w}", "");

const fn plain(
    name: &'static str,
    request: (&'static str, &'static str),
    after: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { name, before: &[], request, after, is_same: false }
}

const OPERATIONS: &[Operation] = &[
    plain("pay", PAY, &[CONFIRM]),
    plain("confirm", CONFIRM, &[CANCEL]),
    plain("cancel", CANCEL, &[GRAB_MORE]),
    plain("move", MOVE, &[MOVE_ON]),
    plain("move nowhere", STAY, &[MOVE_ON]),
    plain("name", NAME, &[RENAME]),
    plain("grab", GRAB, &[PAUSE]),
    plain("join", JOIN, &[PAUSE, CLOSE]),
    plain("leave", LEAVE, &[PAUSE]),
    plain("open", OPEN, &[PAUSE]),
    Operation { before: &[PAUSE], ..plain("open a paused one", OPEN, &[CLOSE]) },
    plain("pause", PAUSE, &[OPEN]),
    Operation { before: &[PAUSE], ..plain("pause a paused one", PAUSE, &[OPEN]) },
    plain("close", CLOSE, &[OPEN]),
    Operation { is_same: true, ..plain("close for good", CLOSE_ALL, &[OPEN, GRAB_MORE]) },
    Operation {
        before: &[CLOSE_ALL],
        is_same: true,
        ..plain("close what is closed for good", CLOSE_ALL, &[OPEN, GRAB_MORE])
    },
    plain("rules", RULES, &[OTHER_RULES]),
    Operation { before: &[RULES], ..plain("rules as they are", RULES, &[OTHER_RULES]) },
    plain("block", BLOCK, &[UNBLOCK]),
    Operation { before: &[BLOCK], ..plain("unblock", UNBLOCK, &[BLOCK]) },
    plain("rows", ROWS, &[FOUR_ROWS]),
    Operation { is_same: true, ..plain("another aircraft", THREE_ROWS, &[FOUR_ROWS]) },
    plain("the same aircraft", FOUR_ROWS, &[THREE_ROWS]),
    Operation { is_same: true, ..plain("an aircraft by name, without fares", BY_NAME, &[ONLY_BUSINESS]) },
    Operation { is_same: true, ..plain("withdraw a row that goes", WITHDRAW_ROW, &[THREE_ROWS]) },
    Operation { is_same: true, ..plain("withdraw seats", WITHDRAW_SEATS, &[GIVE_BACK]) },
    Operation { is_same: true, ..plain("withdraw seats that go", WITHDRAW_SEATS, &[ONLY_BUSINESS]) },
];

async fn send(server: &TestServer, request: &str, body: &str, key: Option<&str>) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let mut headers = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    server.send(request, &headers, body).await
}

/// A flight of four rows on sale, with a held order of mei's and an entry of the waitlist that nothing fits.
async fn flight(server: &TestServer, id: &str) -> (String, String) {
    let body = json!({
        "flight_id": id, "flight_number": "FR777", "origin": "TPE", "destination": "NRT",
        "departs_at": "2030-05-06T23:30:00Z",
        "sale": {"state": "open", "hold_seconds": 600},
        "cabins": [{"cabin_class": "economy", "rows": [1, 4], "layout": "ABC DEF",
                    "fare": {"amount": 100, "currency": "TWD"}}]
    });
    assert_eq!(server.admin("POST /v1/admin/flights", &body.to_string()).await.status, 201);
    let order = server.grab(id, r#"{"customer_id":"mei","seats":["1A","1B"]}"#).await;
    let wish = r#"{"customer_id":"mei","party_size":8,"accept":"all_together"}"#;
    let entry = server.post(&format!("/v1/flights/{id}/waitlist"), wish).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&order["order_id"]), text(&entry["waitlist_id"]))
}

/// All that a flight shows.
async fn state(server: &TestServer, id: &str) -> Vec<Value> {
    let mut shown = Vec::new();
    for address in [
        "/v1/flights/{f}",
        "/v1/flights/{f}/seats",
        "/v1/admin/flights/{f}/manifest",
        "/v1/admin/flights/{f}/audit?limit=100",
    ] {
        let reply = server.admin(&format!("GET {}", address.replace("{f}", id)), "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut json = reply.json();
        json.as_object_mut().unwrap().remove("at");
        shown.push(json);
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_that_is_repeated_under_its_key_answers_as_before_and_changes_nothing() {
    let server = TestServer::start().await;
    for (place, operation) in OPERATIONS.iter().enumerate() {
        let Operation { name, before, request, after, is_same } = operation;
        let id = format!("K{place}");
        let (order, entry) = flight(&server, &id).await;
        let of_this = |text: &str| text.replace("{f}", &id).replace("{o}", &order).replace("{w}", &entry);
        for (request, body) in *before {
            let reply = send(&server, &of_this(request), body, None).await;
            assert!(reply.status < 300, "{name}, before: {reply:?}");
        }
        let (address, body) = (of_this(request.0), request.1);
        let first = send(&server, &address, body, Some("key")).await;
        assert!(first.status < 300, "{name}: {first:?}");
        assert_eq!(first.header("idempotency-replayed"), None, "{name}: {first:?}");
        for (request, body) in *after {
            let reply = send(&server, &of_this(request), body, None).await;
            assert!(reply.status < 300, "{name}, after: {reply:?}");
        }
        for round in ["at once", "after a restart"] {
            let shown = state(&server, &id).await;
            let again = send(&server, &address, body, Some("key")).await;
            assert_eq!(
                (again.status, again.header("idempotency-replayed")),
                (200, Some("true")),
                "{name}, {round}: {again:?}"
            );
            if *is_same {
                assert_eq!(again.json(), first.json(), "{name}, {round}");
            } else {
                for member in ["flight_id", "order_id", "waitlist_id"] {
                    assert_eq!(again.json()[member], first.json()[member], "{name}, {round}");
                }
            }
            assert_eq!(state(&server, &id).await, shown, "{name}, {round}: nothing has changed");
            let restarted = server.admin(&format!("POST /v1/admin/flights/{id}/restart"), "").await;
            assert_eq!(restarted.status, 200, "{restarted:?}");
        }
        // The same key with something else is another request, and refused.
        let (other, body) = if address.contains("/admin/") {
            let is_rules = request.0 == RULES.0;
            let rules = if is_rules { r#"{"hold_seconds":79}"# } else { RULES.1 };
            (format!("PATCH /v1/admin/flights/{id}"), rules)
        } else if body.contains(r#""an""#) {
            (of_this(GRAB.0), r#"{"customer_id":"an","quantity":4}"#)
        } else {
            (of_this(MOVE.0), r#"{"seats":["2E","2F"]}"#)
        };
        // Whoever confirms with a token is an admin, and a customer's same key is another one.
        if *name != "confirm" {
            send(&server, &other, body, Some("key")).await.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_close_and_one_that_cancels_are_two_requests() {
    let server = TestServer::start().await;
    flight(&server, "C").await;
    let close = "POST /v1/admin/flights/C/close";
    assert_eq!(send(&server, close, "", Some("k")).await.status, 200);
    send(&server, close, r#"{"cancel_orders":true}"#, Some("k"))
        .await
        .is_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(server.get("/v1/flights/C").await.json()["available"], 22);
    let done = send(&server, close, r#"{"cancel_orders":true}"#, Some("k2")).await.json();
    assert_eq!((&done["cancelled"], &done["refunds"]), (&1.into(), &json!([])));
    assert_eq!(server.get("/v1/flights/C").await.json()["available"], 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_customers_same_key_is_another_key() {
    let server = TestServer::start().await;
    flight(&server, "O").await;
    let mut orders = Vec::new();
    for (customer, seat) in [("an", "2A"), ("jo", "2B"), ("wu", "2C")] {
        let body = json!({"customer_id": customer, "seats": [seat]}).to_string();
        let first = send(&server, "POST /v1/flights/O/orders", &body, Some("same")).await;
        assert_eq!(first.status, 201, "{first:?}");
        let again = send(&server, "POST /v1/flights/O/orders", &body, Some("same")).await;
        assert_eq!((again.status, again.json()), (200, first.json()));
        orders.push(first.json()["order_id"].as_str().unwrap().to_owned());
    }
    for order in &orders {
        let pay = format!("POST /v1/orders/{order}/pay");
        send(&server, &pay, "{}", Some("same")).await.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
        let first = send(&server, &pay, "{}", Some("pay")).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (200, None), "{first:?}");
        assert_eq!(send(&server, &pay, "{}", Some("pay")).await.header("idempotency-replayed"), Some("true"));
    }
    for key in ["same", "pay"] {
        let pause = send(&server, "POST /v1/admin/flights/O/pause", "", Some(key)).await;
        assert_eq!((pause.status, pause.header("idempotency-replayed")), (200, None), "{pause:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_sent_again_under_its_key_is_one_import_whatever_became_of_its_flights() {
    let server = TestServer::start().await;
    flight(&server, "THERE").await;
    let line = |id: &str, number: &str| {
        json!({
            "flight_id": id, "flight_number": number, "origin": "TPE", "destination": "NRT",
            "departs_at": "2030-05-06T23:30:00Z", "sale": {"hold_seconds": 600},
            "cabins": [{"cabin_class": "economy", "rows": [1, 4], "layout": "ABC DEF",
                        "fare": {"amount": 100, "currency": "TWD"}}]
        })
    };
    let import = async |lines: &str, key: &str| {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/x-ndjson"),
            ("idempotency-key", key),
        ];
        server.send("POST /v1/admin/flights/import?existing=skip", &headers, lines).await
    };
    let file = format!("{}\n{}\n", line("THERE", "FR777"), line("NEW", "FR778"));
    let first = import(&file, "file").await;
    assert_eq!((first.status, &first.json()["skipped"]), (201, &1.into()), "{first:?}");
    for id in ["THERE", "NEW"] {
        let swap = server.admin(&THREE_ROWS.0.replace("{f}", id), THREE_ROWS.1).await;
        assert_eq!(swap.status, 200, "{swap:?}");
    }
    let again = import(&file, "file").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")), "{again:?}");
    assert_eq!(again.json(), first.json());
    // The same key with another file is another request.
    let longer = format!("{file}{}\n", line("NEWER", "FR779"));
    import(&longer, "file").await.is_problem(422, "IDEMPOTENCY_KEY_REUSED");
    server.get("/v1/flights/NEWER").await.is_problem(404, "FLIGHT_NOT_FOUND");
}
