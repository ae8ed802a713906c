//! The OpenAPI document against the server: the same addresses, the same codes, examples that work, and answers that
//! are what the document says. Also the pages around it, and CORS.

#[path = "api/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the interface, which use all of it")]
mod client;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use client::{Reply, TOKEN, TestServer};
use farerush::api::openapi::{document_text, example_problem};
use farerush::base::addresses::ADDRESSES;
use farerush::wire::problem::Code;
use farerush_persistence::journal::faulty::Fault;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(document_text()).unwrap()
}

/// `/v1/flights/{flight_id}` as `ADDRESSES` has it: `/v1/flights/{}`.
fn pattern(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Answers may get more members in later versions, but here every one has to be described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_object = members.get("type") == Some(&json!("object"))
                || members.get("type") == Some(&json!(["object", "null"]));
            if is_object && members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

/// Holds answers against the document.
struct Checker {
    document: Value,
    components: Value,
    seen: BTreeSet<String>,
}

impl Checker {
    fn new() -> Self {
        let document = document();
        let mut components = document["components"].clone();
        close(&mut components["schemas"]);
        Self { document, components, seen: BTreeSet::new() }
    }

    fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        close(&mut schema);
        schema["components"] = self.components.clone();
        let validator =
            jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
    }

    /// Checks the answer to `METHOD path`, `path` as the document has it.
    #[track_caller]
    fn check(&mut self, operation: &str, reply: &Reply) {
        let (method, path) = operation.split_once(' ').unwrap();
        let operation_of = &self.document["paths"][path][method.to_lowercase()];
        assert!(operation_of.is_object(), "{operation} is not in the document");
        let response = &operation_of["responses"][reply.status.to_string()];
        assert!(response.is_object(), "{operation} does not answer {}: {reply:?}", reply.status);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let conditional = ["Idempotency-Replayed"].contains(&name.as_str());
            assert!(
                conditional || reply.header(name).is_some(),
                "{operation}: no {name} ({header}): {reply:?}"
            );
        }
        let media_type = reply.header("content-type").unwrap();
        let content = &response["content"][media_type];
        assert!(content.is_object(), "{operation} does not answer {media_type}: {reply:?}");
        if media_type.ends_with("json") {
            let errors = self.errors(&content["schema"], &reply.json());
            assert!(errors.is_empty(), "{operation} {}: {errors:#?}\n{}", reply.status, reply.text);
        }
        self.seen.insert(operation.to_owned());
    }
}

#[test]
fn document_and_routes_know_the_same_addresses_and_methods() {
    let document = document();
    let described: BTreeMap<String, BTreeSet<String>> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let mut methods: BTreeSet<_> =
                item.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
            if methods.contains("GET") {
                methods.insert("HEAD".to_owned()); // it goes wherever GET does
            }
            (pattern(path), methods)
        })
        .collect();
    let known: BTreeMap<String, BTreeSet<String>> = ADDRESSES
        .iter()
        .map(|(path, methods)| ((*path).to_owned(), methods.split(", ").map(str::to_owned).collect()))
        .collect();
    assert_eq!(described, known);
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn every_code_is_described_and_given_by_some_operation() {
    let document = document();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(document["components"]["schemas"]["ErrorCode"]["enum"], json!(codes));
    let paths = document["paths"].to_string();
    for code in Code::ALL {
        let name = code.as_str();
        assert!(document["components"]["examples"][name]["value"]["code"] == name, "{name}");
        // A method that is not described can only be refused.
        let never = *code == Code::MethodNotAllowed;
        let given = paths.contains(&format!("#/components/examples/{name}\""));
        assert_eq!(given, !never, "{name}");
    }
}

#[test]
fn every_operation_says_what_it_is_for() {
    let mut ids = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
            let is_admin = path.starts_with("/v1/admin");
            let of_customers = path.starts_with("/v1/orders")
                || path.starts_with("/v1/waitlist")
                || (path.starts_with("/v1/flights/") && method == "post");
            let asks_who = is_admin || of_customers;
            assert_eq!(operation["security"].is_array(), asks_who, "{place}");
            for status in ["401", "403"] {
                assert_eq!(operation["responses"][status].is_object(), asks_who, "{place} {status}");
            }
            let schemes: Vec<&str> = operation["security"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|scheme| scheme.as_object().unwrap().keys().map(String::as_str))
                .collect();
            if of_customers {
                assert_eq!(schemes, ["customer_token", "admin_token"], "{place}");
            }
            let is_watched = ["/livez", "/readyz", "/metrics"].contains(&path.as_str());
            assert_eq!(operation["responses"]["429"].is_object(), !is_watched, "{place}");
            for segment in path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
                let described =
                    operation["parameters"].as_array().unwrap().iter().any(|p| p["name"] == segment);
                assert!(described, "{place}: {segment}");
            }
        }
    }
}

#[test]
fn every_example_fits_its_schema() {
    let checker = Checker::new();
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let contents =
                operation["responses"].as_object().unwrap().values().chain([&operation["requestBody"]]);
            for (media_type, content) in contents.filter_map(|of| of["content"].as_object()).flatten() {
                let examples = content["examples"].as_object().into_iter().flatten().map(|(_, e)| e);
                for example in examples.map(|e| e.get("value").unwrap_or(e)).chain(content.get("example")) {
                    let name = example["$ref"].as_str().and_then(|r| r.rsplit('/').next());
                    let value =
                        name.map_or(example, |name| &document["components"]["examples"][name]["value"]);
                    let errors = checker.errors(&content["schema"], value);
                    assert!(errors.is_empty(), "{method} {path} {media_type}: {errors:#?}\n{value:#}");
                }
            }
        }
    }
}

/// The examples of an operation's body.
fn bodies(operation: &str) -> Vec<Value> {
    let (method, path) = operation.split_once(' ').unwrap();
    let body = &document()["paths"][path][method.to_lowercase()]["requestBody"];
    let examples = body["content"]["application/json"]["examples"].as_object().unwrap();
    examples.values().map(|example| example["value"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_a_request_works_on_the_demo_flights() {
    let server = TestServer::start().await;
    let mut checker = Checker::new();
    for operation in [
        "POST /v1/flights/{flight_id}/orders",
        "POST /v1/admin/flights",
        "PATCH /v1/admin/flights/{flight_id}",
        "POST /v1/admin/flights/{flight_id}/seats/block",
        "POST /v1/admin/flights/{flight_id}/seats/unblock",
        "POST /v1/admin/flights/{flight_id}/rows",
    ] {
        let flight = if operation.contains("admin") { "DEMO4" } else { "DEMO1" };
        for body in bodies(operation) {
            let reply = server.admin(&operation.replace("{flight_id}", flight), &body.to_string()).await;
            assert!((200..300).contains(&reply.status), "{operation} {body}: {reply:?}");
            checker.check(operation, &reply);
        }
    }
    let held = server.grab("DEMO2", r#"{"customer_id":"mei","quantity":1}"#).await;
    let id = held["order_id"].as_str().unwrap();
    for operation in ["PATCH /v1/orders/{order_id}", "POST /v1/orders/{order_id}/confirm"] {
        for body in bodies(operation) {
            let reply = server.admin(&operation.replace("{order_id}", id), &body.to_string()).await;
            assert_eq!(reply.status, 200, "{operation} {body}: {reply:?}");
            checker.check(operation, &reply);
        }
    }
}

/// One request each, so that every answer of every operation can be held against the document.
async fn customers(server: &TestServer, checker: &mut Checker) {
    let grab = "POST /v1/flights/{flight_id}/orders";
    let post = |flight: &str| format!("/v1/flights/{flight}/orders");
    for (flight, body) in [
        ("DEMO1", r#"{"customer_id":"u","quantity":1,"client_reference":"r","passengers":[{"name":"Lin"}]}"#),
        ("DEMO1", r#"{"customer_id":"","quantity":0}"#),
        ("DEMO1", "{"),
        ("NOPE", r#"{"customer_id":"u","quantity":1}"#),
        ("DEMO1", r#"{"customer_id":"u","quantity":9}"#),
        ("DEMO1", r#"{"customer_id":"v","seats":["1A"]}"#),
        ("DEMO1", r#"{"customer_id":"v","seats":["99A"]}"#),
        ("DEMO4", r#"{"customer_id":"v","quantity":1}"#),
    ] {
        checker.check(grab, &server.post(&post(flight), body).await);
    }
    let key = [("idempotency-key", "k1"), ("content-type", "application/json")];
    for body in [
        r#"{"customer_id":"w","quantity":1}"#,
        r#"{"customer_id":"w","quantity":1}"#,
        r#"{"customer_id":"x","quantity":1}"#,
    ] {
        checker.check(grab, &server.send(&format!("POST {}", post("DEMO2")), &key, body).await);
    }
    let text = [("content-type", "text/plain")];
    checker.check(grab, &server.send(&format!("POST {}", post("DEMO2")), &text, "x").await);
    checker.check(grab, &server.post(&post("DEMO2"), &"x".repeat(70_000)).await);
    let order = server.grab("DEMO2", r#"{"customer_id":"w","quantity":2}"#).await;
    let id = order["order_id"].as_str().unwrap();
    let one = "/v1/orders/{order_id}";
    for (operation, body) in [
        ("GET /v1/orders/{order_id}", ""),
        ("PATCH /v1/orders/{order_id}", r#"{"passengers":[{"name":"A"},null]}"#),
        ("PATCH /v1/orders/{order_id}", r#"{}"#),
        ("PATCH /v1/orders/{order_id}", r#"{"seats":["99A","99B"]}"#),
        ("POST /v1/orders/{order_id}/pay", "{}"),
        ("POST /v1/orders/{order_id}/confirm", r#"{"payment_reference":"p0","amount":1,"currency":"TWD"}"#),
        (
            "POST /v1/orders/{order_id}/confirm",
            r#"{"payment_reference":"p1","amount":159800,"currency":"TWD"}"#,
        ),
        (
            "POST /v1/orders/{order_id}/confirm",
            r#"{"payment_reference":"p2","amount":159800,"currency":"TWD"}"#,
        ),
        ("POST /v1/orders/{order_id}/cancel", ""),
        ("DELETE /v1/orders/{order_id}", ""),
        ("PATCH /v1/orders/{order_id}", r#"{"passengers":[null,null]}"#),
    ] {
        for id in [id, "DEMO2-0nonono0"] {
            checker.check(operation, &server.admin(&operation.replace("{order_id}", id), body).await);
        }
    }
    assert!(checker.document["paths"][one].is_object());
    for query in ["?customer_id=w", "?customer_id=w&limit=1", "", "?customer_id=w&colour=red"] {
        checker.check("GET /v1/orders", &server.get(&format!("/v1/orders{query}")).await);
    }
    for query in ["", "?limit=1", "?limit=0", "?origin=TPE&status=open", "?date=2026-02-31"] {
        checker.check("GET /v1/flights", &server.get(&format!("/v1/flights{query}")).await);
    }
    for flight in ["DEMO3", "NOPE"] {
        checker.check("GET /v1/flights/{flight_id}", &server.get(&format!("/v1/flights/{flight}")).await);
        checker.check(
            "GET /v1/flights/{flight_id}/seats",
            &server.get(&format!("/v1/flights/{flight}/seats")).await,
        );
    }
    checker.check("GET /v1/flights/{flight_id}/live", &server.get("/v1/flights/NOPE/live").await);
}

async fn admins(server: &TestServer, checker: &mut Checker) {
    let create = bodies("POST /v1/admin/flights").remove(0).to_string();
    for body in [create.as_str(), create.as_str(), "{}"] {
        checker.check("POST /v1/admin/flights", &server.admin("POST /v1/admin/flights", body).await);
    }
    for (operation, body) in [
        ("PATCH /v1/admin/flights/{flight_id}", r#"{"hold_seconds":5}"#),
        ("PATCH /v1/admin/flights/{flight_id}", r#"{"hold_seconds":-5}"#),
        ("POST /v1/admin/flights/{flight_id}/pause", ""),
        ("POST /v1/admin/flights/{flight_id}/close", ""),
        ("POST /v1/admin/flights/{flight_id}/open", ""),
        ("POST /v1/admin/flights/{flight_id}/seats/block", r#"{"seats":["30A"]}"#),
        ("POST /v1/admin/flights/{flight_id}/seats/block", r#"{"seats":["99A"]}"#),
        ("POST /v1/admin/flights/{flight_id}/seats/block", r#"{"seats":["1A"]}"#),
        ("POST /v1/admin/flights/{flight_id}/seats/unblock", r#"{"seats":["30A"]}"#),
        ("POST /v1/admin/flights/{flight_id}/rows", r#"{"cabin_class":"economy"}"#),
        ("GET /v1/admin/flights/{flight_id}/manifest", ""),
        ("GET /v1/admin/flights/{flight_id}/audit", ""),
        ("GET /v1/admin/flights/{flight_id}/refunds", ""),
        ("POST /v1/admin/flights/{flight_id}/close", r#"{"cancel_orders":true}"#),
        ("POST /v1/admin/flights/{flight_id}/restart", ""),
    ] {
        for flight in ["DEMO1", "NOPE"] {
            let request = operation.replace("{flight_id}", flight);
            checker.check(operation, &server.admin(&request, body).await);
            checker.check(operation, &server.send(&request, &[], body).await);
        }
    }
    for (operation, query) in
        [("GET /v1/admin/orders", ""), ("GET /v1/admin/orders", "?status=x"), ("GET /v1/admin/status", "")]
    {
        checker.check(operation, &server.admin(&format!("{operation}{query}"), "").await);
    }
    for (operation, query) in [
        ("GET /v1/admin/flights/{flight_id}/manifest", "?format=csv"),
        ("GET /v1/admin/flights/{flight_id}/audit", "?format=csv"),
        ("GET /v1/admin/flights/{flight_id}/refunds", "?format=csv"),
        ("GET /v1/admin/orders", "?format=csv"),
    ] {
        let request = format!("{}{query}", operation.replace("{flight_id}", "DEMO1"));
        checker.check(operation, &server.admin(&request, "").await);
    }
    imports(server, checker).await;
}

async fn imports(server: &TestServer, checker: &mut Checker) {
    let operation = "POST /v1/admin/flights/import";
    let content = document()["paths"]["/v1/admin/flights/import"]["post"]["requestBody"]["content"].clone();
    let authorization = format!("Bearer {TOKEN}");
    for (media_type, content) in content.as_object().unwrap() {
        let file = content["example"].as_str().unwrap();
        let headers = [("authorization", authorization.as_str()), ("content-type", media_type.as_str())];
        for (query, status) in [("?dry_run=true", 200), ("", 201), ("", 400), ("?existing=skip", 200)] {
            let reply = server.send(&format!("{operation}{query}"), &headers, file).await;
            assert_eq!(reply.status, status, "{reply:?}");
            checker.check(operation, &reply);
        }
    }
    checker.check(operation, &server.admin(operation, "{}").await);
    checker.check(operation, &server.send(operation, &[], "x").await);
}

async fn operators(server: &TestServer, checker: &mut Checker) {
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors"] {
        for query in ["", "?x=1"] {
            checker.check(&format!("GET {path}"), &server.get(&format!("{path}{query}")).await);
        }
    }
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "start.js", "nothing"] {
        checker.check("GET /docs/ui/{file}", &server.get(&format!("/docs/ui/{file}")).await);
    }
    for code in Code::ALL.iter().map(|code| code.as_str()).chain(["nothing"]) {
        checker.check("GET /docs/errors/{code}", &server.get(&format!("/docs/errors/{code}")).await);
    }
}

async fn pages(server: &TestServer, checker: &mut Checker) {
    for path in ["/", "/orders", "/admin", "/v1/time", "/v1/time?x=1"] {
        let operation = format!("GET {}", path.split('?').next().unwrap());
        checker.check(&operation, &server.get(path).await);
    }
    checker.check("GET /flights/{flight_id}", &server.get("/flights/DEMO1").await);
    for file in ["base.css", "chrome.js", "icon.svg", "nothing.js"] {
        checker.check("GET /assets/{file}", &server.get(&format!("/assets/{file}")).await);
    }
}

async fn rehearsals(server: &TestServer, checker: &mut Checker) {
    for query in ["", "?since=2026-12-24T08:30:00Z", "?since=then"] {
        let reply = server.admin(&format!("GET /v1/admin/cockpit{query}"), "").await;
        checker.check("GET /v1/admin/cockpit", &reply);
    }
    let operation = "POST /v1/admin/flights/{flight_id}/rehearsals";
    let request = operation.replace("{flight_id}", "DEMO3");
    let plan = bodies(operation).remove(0).to_string();
    let begun = server.admin(&request, &plan).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    checker.check(operation, &begun);
    checker.check(operation, &server.admin(&request, r#"{"over_seconds":121}"#).await);
    checker.check(operation, &server.admin(&request.replace("DEMO3", "NOPE"), "").await);
    checker.check(operation, &server.send(&request, &[], "").await);
    let id = begun.json()["rehearsal_id"].as_str().unwrap().to_owned();
    for operation in [
        "GET /v1/admin/rehearsals/{rehearsal_id}",
        "GET /v1/admin/rehearsals/{rehearsal_id}/seats",
        "DELETE /v1/admin/rehearsals/{rehearsal_id}",
        "GET /v1/admin/rehearsals/{rehearsal_id}",
    ] {
        for id in [id.as_str(), "0000000000000000"] {
            checker.check(operation, &server.admin(&operation.replace("{rehearsal_id}", id), "").await);
        }
    }
    // One that runs keeps out the next.
    let long = server.admin(&request, r#"{"customers":1,"over_seconds":120}"#).await;
    let busy = server.admin(&request, &plan).await;
    checker.check(operation, &busy);
    assert_eq!((long.status, busy.status), (201, 409), "{long:?} {busy:?}");
}

async fn waitlists(server: &TestServer, checker: &mut Checker) {
    let join = "POST /v1/flights/{flight_id}/waitlist";
    let mut entry = serde_json::Value::Null;
    // The first is served at once; no row has seven seats side by side, so that the second waits.
    for body in [
        r#"{"customer_id":"w","party_size":2,"accept":{"at_least":1}}"#,
        r#"{"customer_id":"x","party_size":7,"accept":"all_together","client_reference":"mine"}"#,
    ] {
        let reply = server.post("/v1/flights/DEMO1/waitlist", body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        checker.check(join, &reply);
        entry = reply.json();
    }
    for (flight, body, status) in [
        ("DEMO1", r#"{"customer_id":"w","party_size":0}"#, 400),
        ("NOPE", r#"{"customer_id":"w","party_size":1}"#, 404),
    ] {
        let reply = server.post(&format!("/v1/flights/{flight}/waitlist"), body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        checker.check(join, &reply);
    }
    let list = "/v1/admin/flights/DEMO1/waitlist";
    let reply = server.admin(&format!("GET {list}?limit=1"), "").await;
    checker.check("GET /v1/admin/flights/{flight_id}/waitlist", &reply);
    let id = entry["waitlist_id"].as_str().unwrap();
    for (id, status) in [(id, 200), ("nonsense", 404)] {
        for method in ["GET", "DELETE"] {
            let reply = server.send(&format!("{method} /v1/waitlist/{id}"), &[], "").await;
            assert_eq!(reply.status, status, "{reply:?}");
            checker.check(&format!("{method} /v1/waitlist/{{waitlist_id}}"), &reply);
        }
    }
}

async fn seat_plans(server: &TestServer, checker: &mut Checker) {
    let flight = "/v1/admin/flights/DEMO2";
    let fare = r#""fare":{"amount":1,"currency":"TWD"}"#;
    let aircraft = format!(r#"{{"aircraft":"A321",{fare}}}"#);
    for (path, body, status) in [
        ("aircraft?dry_run=true", aircraft.as_str(), 200),
        ("aircraft?dry_run=perhaps", aircraft.as_str(), 400),
        ("aircraft", r#"{"aircraft":"A1"}"#, 400),
        ("seats/withdraw", r#"{"rows":[1,1]}"#, 200),
        ("seats/withdraw", r#"{"seats":["999A"]}"#, 400),
        ("seats/withdraw", "{}", 400),
    ] {
        let reply = server.admin(&format!("POST {flight}/{path}"), body).await;
        assert_eq!(reply.status, status, "{reply:?}");
        let path = path.split('?').next().unwrap();
        checker.check(&format!("POST /v1/admin/flights/{{flight_id}}/{path}"), &reply);
    }
    // Nobody who has paid may end up at another fare.
    server.grab("DEMO2", r#"{"customer_id":"seated","quantity":1}"#).await;
    let refused = server.admin(&format!("POST {flight}/aircraft"), &aircraft).await;
    refused.is_problem(409, "ORDERS_WITHOUT_SEATS");
    checker.check("POST /v1/admin/flights/{flight_id}/aircraft", &refused);
}

/// Of a server that shares its flights with nobody; gateway/tests/any_server.rs asks some that do.
async fn placement(server: &TestServer, checker: &mut Checker) {
    let reply = server.admin("GET /v1/admin/servers", "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    checker.check("GET /v1/admin/servers", &reply);
    for (path, body) in [
        ("/v1/admin/servers/{server}/drain", ""),
        ("/v1/admin/servers/{server}/resume", ""),
        ("/v1/admin/flights/{flight_id}/move", r#"{"server":"one"}"#),
    ] {
        let address = path.replace("{server}", "one").replace("{flight_id}", "DEMO1");
        let reply = server.admin(&format!("POST {address}"), body).await;
        reply.is_problem(404, "NOT_FOUND");
        checker.check(&format!("POST {path}"), &reply);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() {
    let server = TestServer::start().await;
    let mut checker = Checker::new();
    customers(&server, &mut checker).await;
    waitlists(&server, &mut checker).await;
    seat_plans(&server, &mut checker).await;
    admins(&server, &mut checker).await;
    placement(&server, &mut checker).await;
    operators(&server, &mut checker).await;
    rehearsals(&server, &mut checker).await;
    pages(&server, &mut checker).await;
    let all: BTreeSet<String> = checker.document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert_eq!(checker.seen, all, "an operation was not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_fails_is_answered_as_the_document_says() {
    let (server, faults) = TestServer::with_faults(&[("request_timeout_ms", "100")]).await;
    let mut checker = Checker::new();
    let grab = "POST /v1/flights/{flight_id}/orders";
    let body = r#"{"customer_id":"u","quantity":1}"#;
    faults.fail_next(Fault::Stopped, 1);
    for code in ["OUTCOME_UNKNOWN", "OVERLOADED"] {
        let reply = server.post("/v1/flights/DEMO1/orders", body).await;
        reply.is_problem(503, code);
        checker.check(grab, &reply);
    }
    let reply = server.get("/readyz").await;
    assert_eq!(reply.status, 503);
    checker.check("GET /readyz", &reply);
    checker.check("GET /v1/admin/status", &server.admin("GET /v1/admin/status", "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_and_printed_alike() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/openapi.json").await.text, document_text());
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_farerush"));
    let output = command.arg("openapi").current_dir(directory.path()).env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), document_text());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it leaves nothing behind");
}

/// What a page loads or links to.
fn targets(html: &str) -> Vec<String> {
    ["src=\"", "href=\"", "url(\"", "url: \""]
        .iter()
        .flat_map(|mark| html.split(mark).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_needs_another_host_and_every_link_leads_somewhere() {
    let server = TestServer::start().await;
    let mut paths = vec!["/docs".to_owned(), "/docs/errors".to_owned()];
    paths.extend(Code::ALL.iter().map(|code| format!("/docs/errors/{}", code.as_str())));
    for path in paths {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"), "{path}");
        for target in targets(&page.text) {
            assert!(target.starts_with('/') && !target.starts_with("//"), "{path} leads away, to {target}");
            assert_eq!(server.get(&target).await.status, 200, "{path}: {target}");
        }
        assert!(!page.text.contains("https://") && !page.text.contains("@import"), "{path}");
    }
    let start = server.get("/docs/ui/start.js").await.text;
    assert!(
        start.contains(r#"url: "/openapi.json""#) && start.contains(r#"validatorUrl: "none""#),
        "{start}"
    );
    assert!(server.get("/docs/ui/swagger-ui-bundle.js").await.text.len() > 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_s_type_leads_to_its_page() {
    let server = TestServer::start().await;
    let problem = server.post("/v1/flights/NOPE/orders", "{}").await.json();
    let page = server.get(problem["type"].as_str().unwrap()).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("FLIGHT_NOT_FOUND") && page.text.contains("<h2>What to do</h2>"), "{page:?}");
}

#[test]
fn every_page_shows_a_body_as_the_server_writes_it() {
    for code in Code::ALL {
        let text = farerush::api::docs_pages::markdown(*code).unwrap();
        let shown = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let shown: Value =
            serde_json::from_str(shown).unwrap_or_else(|error| panic!("{}: {error}", code.as_str()));
        let real: Value = serde_json::from_slice(&example_problem(*code).render()).unwrap();
        assert_eq!(shown, real, "docs/errors/{}.md", code.as_str());
    }
}

const PAGE: (&str, &str) = ("origin", "https://shop.example");

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_no_page_of_another_origin_gets_in() {
    let server = TestServer::start().await;
    let reply = server.send("GET /v1/flights", &[PAGE], "").await;
    assert_eq!(reply.status, 200);
    assert!(
        !reply.head.to_lowercase().contains("access-control") && reply.header("vary").is_none(),
        "{reply:?}"
    );
    let asked = [PAGE, ("access-control-request-method", "POST")];
    server.send("OPTIONS /v1/flights/DEMO1/orders", &asked, "").await.is_problem(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_may_grab() {
    let server = TestServer::with(&[("cors_origins", "https://other.example, https://shop.example")]).await;
    let asked =
        [PAGE, ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    let reply = server.send("OPTIONS /v1/flights/DEMO1/orders", &asked, "").await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    let headers = reply.header("access-control-allow-headers").unwrap();
    for name in ["idempotency-key", "content-type", "authorization", "x-request-id", "request-timeout"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert_eq!(reply.header("access-control-max-age"), Some("7200"));
    assert!(reply.header("vary").unwrap().contains("origin") && reply.header("x-request-id").is_some());
    let headers = [PAGE, ("content-type", "application/json")];
    for (body, status) in [(r#"{"customer_id":"u","quantity":1}"#, 201), ("{}", 400)] {
        let reply = server.send("POST /v1/flights/DEMO1/orders", &headers, body).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
        let exposed = reply.header("access-control-expose-headers").unwrap();
        for name in
            ["location", "retry-after", "x-request-id", "idempotency-replayed", "link", "farerush-seq"]
        {
            assert!(exposed.contains(name), "{exposed}");
        }
        assert_eq!(reply.header("vary"), Some("origin"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_told_nothing() {
    let server = TestServer::with(&[("cors_origins", "https://shop.example")]).await;
    for origin in ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"]
    {
        let asked = [("origin", origin), ("access-control-request-method", "POST")];
        let reply = server.send("OPTIONS /v1/flights/DEMO1/orders", &asked, "").await;
        reply.is_problem(405, "METHOD_NOT_ALLOWED");
        assert!(reply.header("access-control-allow-origin").is_none(), "{reply:?}");
        let reply = server.send("GET /v1/flights", &asked[..1], "").await;
        assert_eq!(
            (reply.status, reply.header("vary")),
            (200, Some("origin")),
            "caches must tell them apart"
        );
        assert!(reply.header("access-control-allow-origin").is_none(), "{reply:?}");
    }
    // Neither a preflight nor from a page, but a caching proxy has to know.
    let reply = server.send("OPTIONS /v1/flights", &[], "").await;
    reply.is_problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
    server
        .send("OPTIONS /nowhere", &[PAGE, ("access-control-request-method", "GET")], "")
        .await
        .is_problem(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_lets_every_page_in_but_without_credentials() {
    let server = TestServer::with(&[("cors_origins", "*")]).await;
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("origin", "http://anywhere.example:81"), ("authorization", authorization.as_str())];
    let reply = server.send("GET /v1/admin/status", &headers, "").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("*")));
    assert!(reply.header("vary").is_none() && reply.header("access-control-allow-credentials").is_none());
    let asked = [headers[0], ("access-control-request-method", "PATCH")];
    let reply = server.send("OPTIONS /v1/orders/x", &asked, "").await;
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, HEAD, PATCH, DELETE"));
}
