//! What admins import and read: files of flights, manifests, audits, refunds, lists of orders, as JSON and as CSV.

use std::collections::BTreeMap;

use farerush::start::serve;
use serde_json::{Value, json};

use crate::client::{Reply, TOKEN, TestServer, settings};

const IMPORT: &str = "POST /v1/admin/flights/import";
const COLUMNS: &str = "flight_number,origin,destination,departs_at,aircraft,fare,currency,state,hold_seconds";

async fn import(server: &TestServer, query: &str, media_type: &str, file: &str) -> Reply {
    import_under(server, query, media_type, file, None).await
}

async fn import_under(
    server: &TestServer,
    query: &str,
    media_type: &str,
    file: &str,
    key: Option<&str>,
) -> Reply {
    let authorization = format!("Bearer {TOKEN}");
    let mut headers = vec![("authorization", authorization.as_str()), ("content-type", media_type)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    server.send(&format!("{IMPORT}{query}"), &headers, file).await
}

/// A table asked for by `Accept`, as its rows by column.
async fn table(server: &TestServer, request: &str) -> (Reply, Vec<BTreeMap<String, String>>) {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("accept", "text/csv")];
    let reply = server.send(request, &headers, "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut reader = csv::Reader::from_reader(reply.text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        columns.iter().zip(row.iter()).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    });
    let rows = rows.collect();
    (reply, rows)
}

fn json_line(number: &str) -> Value {
    json!({"flight_number": number, "origin": "TPE", "destination": "NRT", "departs_at": "2030-05-06T23:30:00Z",
           "aircraft": "AT76", "fare": {"amount": 4990, "currency": "TWD"}, "sale": {"state": "open"}})
}

fn csv_line(number: &str) -> String {
    format!("{number},TPE,NRT,2030-05-06T23:30:00Z,AT76,4990,TWD,open,0\r\n")
}

async fn flights(server: &TestServer) -> usize {
    let mut found = 0;
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/flights?limit=200{cursor}")).await.json();
        found += page["flights"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_either_kind_becomes_flights_that_sell() {
    let server = TestServer::start().await;
    let before = flights(&server).await;
    let lines = format!("{}\n\n{}\n", json_line("FR701"), json_line("FR702"));
    let reply = import(&server, "", "application/x-ndjson", &lines).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(
        reply.json(),
        json!({"dry_run": false, "created": 2, "skipped": 0, "flights": ["FR701-20300507", "FR702-20300507"]})
    );
    let file = format!("{COLUMNS}\r\n{}{}", csv_line("FR703"), csv_line("FR704"));
    let dry = import(&server, "?dry_run=true", "text/csv", &file).await;
    assert_eq!((dry.status, &dry.json()["created"]), (200, &0.into()), "{dry:?}");
    assert_eq!(dry.json()["flights"].as_array().unwrap().len(), 2);
    assert_eq!(flights(&server).await, before + 2, "a dry run creates nothing");
    let reply = import(&server, "", "text/csv; charset=utf-8", &file).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(flights(&server).await, before + 4);
    let order = server.grab("FR704-20300507", r#"{"customer_id":"u","quantity":2}"#).await;
    assert_eq!(order["total"]["amount"], 9980);
    let audit = server.admin("GET /v1/admin/flights/FR704-20300507/audit", "").await.json();
    assert_eq!(audit["events"][0]["kind"], "flight_created");
    assert!(audit["events"][0]["by"].is_string(), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_line_of_any_kind_keeps_the_whole_file_out_and_each_is_named() {
    let server = TestServer::start().await;
    let before = flights(&server).await;
    let file = format!(
        "{COLUMNS}\r\n{}{}{}FR801,TPE,TPE,soon,AT76,4990,TWD,,\r\nFR802,TPE\r\n\r\n{}",
        csv_line("FR800"),
        csv_line("FR800"),
        csv_line("DEMO"),
        csv_line("fr803"),
    );
    let problem = import(&server, "", "text/csv", &file).await.is_problem(400, "INVALID_REQUEST");
    let named: Vec<(u64, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["field"].as_str().unwrap()))
        .collect();
    let wanted = [
        (3, "flight_id"),
        (4, "flight_number"),
        (5, "departs_at"),
        (5, "destination"),
        (6, ""),
        (8, "flight_number"),
    ];
    assert_eq!(named, wanted, "{problem}");
    assert_eq!(problem["further_errors"], 0);
    let lines = format!("{}\n{{\"flight_number\":\n7\n", {
        let mut exists = json_line("FR1");
        exists["flight_id"] = "DEMO1".into();
        exists
    });
    let problem = import(&server, "", "application/jsonl", &lines).await.is_problem(400, "INVALID_REQUEST");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
    assert_eq!(flights(&server).await, before, "nothing of either file is there");
    import(&server, "", "application/json", "{}").await.is_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    import(&server, "", "text/csv", "").await.is_problem(400, "INVALID_REQUEST");
    import(&server, "?existing=maybe", "text/csv", &file).await.is_problem(400, "INVALID_REQUEST");
    let many = "7\n".repeat(300);
    let problem = import(&server, "", "application/x-ndjson", &many).await.json();
    assert_eq!((problem["errors"].as_array().unwrap().len(), &problem["further_errors"]), (100, &200.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_sent_again_does_no_harm() {
    let server = TestServer::start().await;
    let lines = format!("{}\n{}\n", json_line("FR701"), json_line("FR702"));
    let ndjson = "application/x-ndjson";
    let first = import_under(&server, "", ndjson, &lines, Some("file-1")).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None), "{first:?}");
    let again = import_under(&server, "", ndjson, &lines, Some("file-1")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")), "{again:?}");
    assert_eq!(again.json(), first.json());
    import_under(&server, "", ndjson, &lines, Some("file-2")).await.is_problem(400, "INVALID_REQUEST");
    import(&server, "", ndjson, &lines).await.is_problem(400, "INVALID_REQUEST");
    let more = format!("{lines}{}\n", json_line("FR703"));
    let skipped = import(&server, "?existing=skip", ndjson, &more).await;
    assert_eq!((skipped.status, &skipped.json()["skipped"]), (201, &2.into()), "{skipped:?}");
    assert_eq!(skipped.json()["flights"], json!(["FR703-20300507"]));
    let mut other = json_line("FR701");
    other["destination"] = "KIX".into();
    import(&server, "?existing=skip", ndjson, &other.to_string()).await.is_problem(400, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_refused() {
    let server = TestServer::with(&[("import_bytes_max", "2048")]).await;
    let lines = format!("{}\n", json_line("FR701")).repeat(20);
    import(&server, "", "application/x-ndjson", &lines).await.is_problem(413, "PAYLOAD_TOO_LARGE");
}

/// Sells a few seats in all the ways there are: what becomes of them is known.
async fn sell(server: &TestServer) -> Vec<Value> {
    let mut orders = Vec::new();
    for (flight, body) in [
        (
            "DEMO2",
            json!({"customer_id": "=cmd()", "seats": ["2B", "2A"], "passengers": [{"name": "@Lin, \"Mei\""}]}),
        ),
        ("DEMO2", json!({"customer_id": "b", "quantity": 3})),
        ("DEMO2", json!({"customer_id": "c", "quantity": 1})),
        ("DEMO2", json!({"customer_id": "d", "quantity": 2})),
    ] {
        orders.push(server.grab(flight, &body.to_string()).await);
    }
    let id = |place: usize| orders[place]["order_id"].as_str().unwrap().to_owned();
    for place in [0, 1] {
        let pay =
            json!({"payment_reference": format!("pay-{place}"), "seq": orders[place]["seq"]}).to_string();
        assert_eq!(server.post(&format!("/v1/orders/{}/confirm", id(place)), &pay).await.status, 200);
    }
    for place in [1, 2] {
        assert_eq!(server.post(&format!("/v1/orders/{}/cancel", id(place)), "").await.status, 200);
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_the_seats_of_all_live_orders() {
    let server = TestServer::start().await;
    sell(&server).await;
    let reply = server.admin("GET /v1/admin/flights/DEMO2/manifest", "").await;
    let manifest = reply.json();
    assert_eq!(reply.header("farerush-seq"), Some(manifest["seq"].to_string().as_str()));
    assert_eq!(server.get("/v1/flights/DEMO2").await.json()["seq"], manifest["seq"]);
    let mut wanted: Vec<(String, String, String, Value)> = Vec::new();
    let page = server.admin("GET /v1/admin/orders?flight_id=DEMO2&limit=200", "").await.json();
    for order in page["orders"].as_array().unwrap() {
        if ["held", "confirmed"].contains(&order["status"].as_str().unwrap()) {
            for seat in order["seats"].as_array().unwrap() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let passenger = seat["passenger"]["name"].clone();
                wanted.push((
                    text(&seat["seat"]),
                    text(&order["order_id"]),
                    text(&order["status"]),
                    passenger,
                ));
            }
        }
    }
    let shown: Vec<(String, String, String, Value)> = manifest["seats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| {
            let text = |name: &str| seat[name].as_str().unwrap().to_owned();
            (text("seat"), text("order_id"), text("status"), seat["passenger"].clone())
        })
        .collect();
    let row = |seat: &str| seat.trim_end_matches(char::is_alphabetic).parse::<u16>().unwrap();
    wanted.sort_by_key(|(seat, ..)| (row(seat), seat.clone()));
    assert_eq!(shown, wanted);
    assert_eq!(shown.len(), 4);
    let (_, rows) = table(&server, "GET /v1/admin/flights/DEMO2/manifest").await;
    assert_eq!(rows.len(), 4);
    let of_b = rows.iter().find(|row| row["seat"] == "2B").unwrap();
    assert_eq!((of_b["customer_id"].as_str(), of_b["passenger"].as_str()), ("'=cmd()", "'@Lin, \"Mei\""));
    let by_query = server.admin("GET /v1/admin/flights/DEMO2/manifest?format=csv", "").await;
    assert!(by_query.text.starts_with("seat,cabin_class,status,"), "{by_query:?}");
    server.admin("GET /v1/admin/flights/NOPE/manifest", "").await.is_problem(404, "FLIGHT_NOT_FOUND");
    server
        .admin("GET /v1/admin/flights/DEMO2/manifest?format=xml", "")
        .await
        .is_problem(400, "INVALID_REQUEST");
}

/// All pages of an audit: the seqs and kinds.
async fn audit(server: &TestServer, flight: &str, limit: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let request = format!("GET /v1/admin/flights/{flight}/audit?limit={limit}{cursor}");
        let page = server.admin(&request, "").await.json();
        assert_eq!(page["complete_from_seq"], 1, "{page}");
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_tells_every_event_once_also_after_a_restart() {
    let server = TestServer::alone(&[]).await;
    let orders = sell(&server).await;
    for action in ["pause", "open"] {
        server.admin(&format!("POST /v1/admin/flights/DEMO2/{action}"), "").await;
    }
    let seq = server.get("/v1/flights/DEMO2").await.json()["seq"].as_u64().unwrap();
    let told = audit(&server, "DEMO2", 3).await;
    let seqs: Vec<u64> = told.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seq).collect::<Vec<_>>());
    let kinds: Vec<&str> = told.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let wanted = [
        "flight_created",
        "sale_switched",
        "order_placed",
        "order_placed",
        "order_placed",
        "order_placed",
        "order_confirmed",
        "order_confirmed",
        "order_cancelled",
        "order_cancelled",
        "sale_switched",
        "sale_switched",
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(told[2]["details"]["order_id"], orders[0]["order_id"]);
    assert_eq!((&told[2]["actor"], &told[2]["by"]), (&"customer".into(), &"=cmd()".into()));
    assert_eq!((&told[10]["actor"], &told[10]["details"]["state"]), (&"admin".into(), &"paused".into()));
    assert!(told[10]["by"].is_string(), "{}", told[10]);
    let (reply, rows) = table(&server, "GET /v1/admin/flights/DEMO2/audit?limit=5").await;
    assert_eq!((rows.len(), rows[2]["by"].as_str()), (5, "'=cmd()"));
    let link = reply.header("link").unwrap();
    let next = link.strip_prefix('<').and_then(|rest| rest.split_once('>')).unwrap().0;
    assert!(next.contains("limit=5"), "{link}");
    let (_, rows) = table(&server, &format!("GET {next}")).await;
    assert_eq!(rows[0]["seq"], "6");
    // The whole server, too.
    let TestServer { running, data_dir, .. } = server;
    assert!(running.stop(std::time::Duration::from_secs(9)).await);
    let running = serve::start(settings(&data_dir, &[])).await.unwrap();
    let server = TestServer::of(running, data_dir);
    assert_eq!(audit(&server, "DEMO2", 200).await, told);
    server.admin("GET /v1/admin/flights/NOPE/audit", "").await.is_problem(404, "FLIGHT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_paid_and_lost_the_order_is_on_the_list_of_refunds() {
    let server = TestServer::start().await;
    let orders = sell(&server).await;
    let refunds = server.admin("GET /v1/admin/flights/DEMO2/refunds", "").await.json();
    let [one] = refunds["refunds"].as_array().unwrap().as_slice() else { panic!("{refunds}") };
    assert_eq!(one["order_id"], orders[1]["order_id"]);
    assert_eq!((&one["amount"], &one["payment_reference"]), (&orders[1]["total"]["amount"], &"pay-1".into()));
    assert_eq!((&one["reason"], &refunds["up_to_date"]), (&"cancelled".into(), &true.into()));
    // A flight whose grabs are confirmed at once: no payment, but money all the same.
    let order = server.grab("DEMO1", r#"{"customer_id":"u","quantity":2}"#).await;
    let id = order["order_id"].as_str().unwrap();
    server.post(&format!("/v1/orders/{id}/cancel"), "").await;
    let refunds = server.admin("GET /v1/admin/flights/DEMO1/refunds", "").await.json();
    assert_eq!(refunds["refunds"][0]["amount"], order["total"]["amount"]);
    assert!(refunds["refunds"][0]["payment_reference"].is_null());
    let (_, rows) = table(&server, "GET /v1/admin/flights/DEMO1/refunds").await;
    assert_eq!((rows.len(), rows[0]["order_id"].as_str()), (1, id));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_with_all_orders_cancels_them_and_lists_what_goes_back() {
    let server = TestServer::start().await;
    let orders = sell(&server).await;
    let close = "POST /v1/admin/flights/DEMO2/close";
    server.admin(close, r#"{"cancel_orders":"yes"}"#).await.is_problem(400, "INVALID_REQUEST");
    let reply = server.admin(close, r#"{"cancel_orders":true}"#).await;
    let closed = reply.json();
    assert_eq!((reply.status, &closed["cancelled"]), (200, &2.into()), "{reply:?}");
    let back: Vec<&Value> =
        closed["refunds"].as_array().unwrap().iter().map(|refund| &refund["order_id"]).collect();
    assert_eq!(back, [&orders[1]["order_id"], &orders[0]["order_id"]], "{closed}");
    let flight = server.get("/v1/flights/DEMO2").await.json();
    assert_eq!((&flight["sale"]["state"], &flight["available"]), (&"closed".into(), &flight["capacity"]));
    let manifest = server.admin("GET /v1/admin/flights/DEMO2/manifest", "").await.json();
    assert_eq!(manifest["seats"], json!([]));
    let again = server.admin(close, r#"{"cancel_orders":true}"#).await.json();
    assert_eq!((&again["cancelled"], &again["refunds"]), (&0.into(), &closed["refunds"]));
    let first = server.admin("GET /v1/admin/flights/DEMO2/refunds?limit=1", "").await.json();
    let next = first["next_cursor"].as_str().unwrap();
    let second =
        server.admin(&format!("GET /v1/admin/flights/DEMO2/refunds?limit=1&cursor={next}"), "").await;
    assert_eq!(second.json()["refunds"][0]["order_id"], orders[0]["order_id"]);
    // Without a body it is what it always was.
    assert_eq!(server.admin(close, "").await.json()["flight_id"], "DEMO2");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_record_locator_and_by_time_and_come_as_a_table() {
    let server = TestServer::start().await;
    let orders = sell(&server).await;
    let locator = orders[1]["record_locator"].as_str().unwrap();
    let found = |query: String| {
        let server = &server;
        async move { server.admin(&format!("GET /v1/admin/orders?{query}"), "").await.json() }
    };
    let one = found(format!("record_locator={}", locator.to_lowercase())).await;
    assert_eq!(one["orders"][0]["order_id"], orders[1]["order_id"], "{one}");
    assert_eq!(one["orders"].as_array().unwrap().len(), 1);
    let at = orders[2]["created_at"].as_str().unwrap();
    let since = found(format!("flight_id=DEMO2&created_from={at}")).await;
    let before = found(format!("flight_id=DEMO2&created_to={at}")).await;
    let (since, before) =
        (since["orders"].as_array().unwrap().len(), before["orders"].as_array().unwrap().len());
    assert_eq!(since + before, 4);
    assert!(since >= 2, "{since}");
    for bad in ["record_locator=K7", "created_from=today", "format=pdf"] {
        let request = format!("GET /v1/admin/orders?{bad}");
        server.admin(&request, "").await.is_problem(400, "INVALID_REQUEST");
    }
    let (reply, rows) = table(&server, "GET /v1/admin/orders?flight_id=DEMO2&limit=3").await;
    assert_eq!((rows.len(), rows[0]["order_id"].as_str()), (3, orders[3]["order_id"].as_str().unwrap()));
    assert!(reply.header("link").is_some());
    let (reply, rows) = table(&server, "GET /v1/admin/orders?flight_id=DEMO2").await;
    assert_eq!((rows.len(), rows[3]["customer_id"].as_str()), (4, "'=cmd()"));
    assert!(reply.header("link").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_no_page_has_given_is_a_400_however_large_its_numbers_are() {
    let server = TestServer::start().await;
    sell(&server).await;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let numbers =
        ["18446744073709551615", "9223372036854775808", "99999999999999999999", "-1", "+1", "01", ""];
    for number in numbers {
        for (list, cursor) in [
            ("/v1/admin/flights/DEMO2/audit", number.to_owned()),
            ("/v1/admin/flights/DEMO2/waitlist", number.to_owned()),
            ("/v1/admin/flights/DEMO2/refunds", format!("{number}:1")),
            ("/v1/admin/flights/DEMO2/refunds", format!("1:{number}")),
            ("/v1/admin/orders", format!("1:DEMO2:{number}")),
            ("/v1/orders", format!("1:DEMO2:{number}")),
        ] {
            let who = if list == "/v1/orders" { "&customer_id=u" } else { "" };
            let request = format!("GET {list}?cursor={}{who}", hex(&cursor));
            server.admin(&request, "").await.is_problem(400, "INVALID_REQUEST");
        }
    }
    for moment in ["9223372036854775808", "+1", "01"] {
        for (list, cursor) in [("/v1/flights", "DEMO2"), ("/v1/admin/orders", "DEMO2:1")] {
            let request = format!("GET {list}?cursor={}", hex(&format!("{moment}:{cursor}")));
            server.admin(&request, "").await.is_problem(400, "INVALID_REQUEST");
        }
    }
    let last = hex("9223372036854775807");
    let page = server.admin(&format!("GET /v1/admin/flights/DEMO2/audit?cursor={last}"), "").await;
    assert_eq!((page.status, &page.json()["events"]), (200, &serde_json::json!([])), "{}", page.text);
}
