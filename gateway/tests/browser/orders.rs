//! `/orders`: a customer's orders from the first to the last: added, listed, found, paid, changed, cancelled, run out.
//! Never trusts the page alone: how an order stands is asked of the API as well.

use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::{Browser, Look};
use crate::pages;
use crate::stage::Stage;

/// An order that is open on the page, with this status.
fn opened(status: &str) -> String {
    format!("#opened boarding-pass[data-status={status}]")
}

/// Waits until the API says the same of an order.
fn becomes(stage: &Stage, order: &str, status: &str) -> Value {
    stage.until(&format!("{order} is {status}"), |stage| {
        let order = stage.gets(&format!("/v1/orders/{order}"));
        (order["status"] == status).then_some(order)
    })
}

fn id(order: &Value) -> &str {
    order["order_id"].as_str().expect("an order has an id")
}

fn locator(order: &Value) -> &str {
    order["record_locator"].as_str().expect("an order has a locator")
}

fn seats(order: &Value) -> Vec<&str> {
    order["seats"]
        .as_array()
        .expect("seats")
        .iter()
        .map(|seat| seat["seat"].as_str().expect("a name"))
        .collect()
}

#[test]
fn an_order_is_added_held_and_paid_in_each_language() {
    let stage = Stage::empty();
    stage.flight("PAY", 20, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    for (languages, held, confirmed) in
        [("en", "Held", "Confirmed"), ("zh-TW", "保留中", "已確認"), ("zh-CN", "保留中", "已确认")]
    {
        let browser = Browser::open(&stage.site(), Look::DESK.speaking(languages));
        browser.goes_to("/orders");
        browser.waits_for("a flight to choose", "document.querySelector('#flight option')");
        browser.types("#grab [data-test=party-size]", "2");
        browser.clicks("#grab [data-test=grab]");
        browser.sees(&opened("held"));
        browser.reads("#opened [data-test=order-status]", held);
        browser.waits_for(
            "the hold is counted down",
            "/0?9:[0-5]\\d/.test(document.querySelector('[data-test=hold-left]').innerText)",
        );
        pages::is_translated(&browser);
        let order = browser.value("document.querySelector('#opened boarding-pass').dataset.order");
        let order = order.as_str().expect("an id");

        browser.clicks("[data-test=pay]");
        browser.sees("[data-test=payment]");
        pages::is_translated(&browser);
        let begun = becomes(&stage, order, "held");
        assert!(
            begun["payment_begun_at"].is_string(),
            "the hold does not run out while somebody pays: {begun}"
        );
        browser.clicks("[data-test=payment-no]");
        browser.sees_no("[data-test=payment]");
        browser.clicks("[data-test=pay]");
        browser.clicks("[data-test=payment-yes]");
        browser.sees(&opened("confirmed"));
        browser.reads("#opened [data-test=order-status]", confirmed);
        becomes(&stage, order, "confirmed");
        browser.reads("#list li[data-status=confirmed]", confirmed);
        pages::is_translated(&browser);
    }
    assert_eq!(stage.orders("PAY").len(), 3);
}

#[test]
fn a_hold_that_nobody_pays_runs_out_before_ones_eyes() {
    let stage = Stage::empty();
    stage.flight("LATE", 1, &json!({"sale": {"state": "open", "hold_seconds": 3}}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.visits_as("mei", "/orders");
    browser.waits_for("a flight to choose", "document.querySelector('#flight option')");
    browser.clicks("#grab [data-test=grab]");
    browser.sees(&opened("held"));
    browser.sees(&opened("expired"));
    browser.reads("#opened", "Nothing was charged");
    browser.sees_no("[data-test=pay]");
    browser.sees("#list li[data-status=expired]");
    assert!(stage.seats("LATE").iter().all(|seat| seat.ends_with("=free")), "its seat is on sale again");
}

#[test]
fn cancelling_asks_first_and_gives_the_seats_back() {
    let stage = Stage::empty();
    stage.flight("BACK", 1, &json!({}));
    let order = stage.grabs("BACK", &json!({"customer_id": "mei", "seats": ["1A", "1B"]}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.visits_as("mei", "/orders");
    browser.clicks(&format!("[data-order={}] a", json!(id(&order))));
    browser.clicks("[data-test=cancel]");
    browser.reads("[data-test=cancelling]", "1A, 1B");
    browser.clicks("[data-test=cancelling-no]");
    browser.sees_no("dialog");
    becomes(&stage, id(&order), "confirmed");
    browser.clicks("[data-test=cancel]");
    browser.clicks("[data-test=cancelling-yes]");
    browser.sees(&opened("cancelled"));
    becomes(&stage, id(&order), "cancelled");
    assert!(stage.seats("BACK").iter().all(|seat| seat.ends_with("=free")));
    // It is found again, from its address, and can no longer be cancelled.
    browser.script("location.reload()", &json!([]));
    browser.sees(&opened("cancelled"));
    browser.sees_no("[data-test=cancel]");
}

#[test]
fn orders_are_listed_sorted_filtered_and_paged() {
    let stage = Stage::empty();
    stage.flight("SECOND", 20, &json!({"departs_at": "2030-12-25T08:00:00Z", "sale": {"state": "open", "max_seats_per_customer": 100}}));
    stage.flight("FIRST", 20, &json!({"departs_at": "2030-12-24T08:00:00Z", "sale": {"state": "open", "hold_seconds": 600, "max_seats_per_customer": 100}}));
    for number in 0..24 {
        let flight = if number % 3 == 0 { "FIRST" } else { "SECOND" };
        let order = stage.grabs(flight, &json!({"customer_id": "mei", "quantity": 1}));
        if number % 8 == 1 {
            stage.posts(&format!("/v1/orders/{}/cancel", id(&order)), &json!({}));
        }
    }
    stage.grabs("SECOND", &json!({"customer_id": "tao", "quantity": 1}));
    let list = stage.gets("/v1/orders?customer_id=mei&limit=200");
    let newest: Vec<String> =
        list["orders"].as_array().expect("orders").iter().map(|order| locator(order).to_owned()).collect();
    let browser = Browser::open(&stage.site(), Look::DESK);
    let listed = || -> Vec<String> {
        let list =
            browser.value("[...document.querySelectorAll('#list .locator')].map((one) => one.innerText)");
        serde_json::from_value(list).expect("locators")
    };
    let lists = |count: usize| {
        browser.waits_for(
            &format!("{count} orders"),
            &format!("document.querySelectorAll('#list li').length === {count} && document.querySelector('#list').ariaBusy !== 'true'"),
        );
    };
    browser.visits_as("mei", "/orders");
    lists(20);
    assert_eq!(listed(), newest[..20]);
    browser.clicks("#mine [data-test=more]");
    lists(24);
    assert_eq!(listed(), newest);
    browser.sees_no("#mine [data-test=more]");

    browser.chooses("#status", "cancelled");
    lists(3);
    browser.chooses("#status", "held");
    lists(7);
    browser.chooses("#status", "");
    browser.chooses("#of", "FIRST");
    lists(8);
    browser.chooses("#of", "");
    lists(20);
    browser.chooses("#sort", "departure");
    let first = "location.search.includes('sort=departure') && [...document.querySelectorAll('#list li')].slice(0, 8).every((one) => one.dataset.order.startsWith('FIRST'))";
    browser.waits_for("those of the first flight come first", first);
    assert!(listed().iter().all(|one| newest.contains(one)), "nobody else's orders are here");
}

#[test]
fn an_order_is_found_by_its_locator() {
    let stage = Stage::empty();
    stage.flight("FIND", 20, &json!({}));
    let order = stage.grabs("FIND", &json!({"customer_id": "mei", "quantity": 2}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.visits_as("mei", "/orders");
    browser.types("[data-test=find-locator]", &locator(&order).to_lowercase());
    browser.clicks("[data-test=find]");
    browser.reads("#opened boarding-pass [data-test=locator]", locator(&order));
    browser.types("[data-test=find-locator]", "ZZZZZZ");
    browser.clicks("[data-test=find]");
    browser.reads("#said", "ZZZZZZ");
    // Also by its number, whoever has it: an order's id cannot be guessed.
    browser.visits_as("tao", "/orders");
    browser.types("[data-test=find-locator]", id(&order));
    browser.clicks("[data-test=find]");
    browser.reads("#opened boarding-pass [data-test=locator]", locator(&order));
}

#[test]
fn seats_and_passengers_are_changed() {
    let stage = Stage::empty();
    stage.flight("MOVE", 5, &json!({}));
    let order = stage.grabs("MOVE", &json!({"customer_id": "mei", "seats": ["1A", "1B"], "passengers": [{"name": "Lin Mei"}, {"name": "Lin Tao"}]}));
    stage.grabs("MOVE", &json!({"customer_id": "tao", "seats": ["2C"]}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.visits_as("mei", &format!("/orders?order={}", id(&order)));
    browser.clicks("[data-test=names] summary");
    browser.types("[data-test=names] label:nth-of-type(2) input", "Lin Tao-Tao");
    browser.clicks("[data-test=names] button.primary");
    browser.reads("#opened boarding-pass", "Lin Tao-Tao");

    browser.clicks("[data-test=seats] summary");
    browser.sees("[data-test=seats] [data-seat='2C'][data-status=sold]");
    browser.clicks("[data-test=seats] [data-seat='2C']");
    assert_eq!(
        browser.count("[data-test=seats] [data-seat='2C'][aria-selected=true]"),
        0,
        "what is sold cannot be chosen"
    );
    browser.clicks("[data-test=seats] [data-seat='1B']");
    browser.clicks("[data-test=seats] [data-seat='3F']");
    browser.clicks("[data-test=move]");
    browser.reads("#opened boarding-pass ol", "3F");
    let order = stage.gets(&format!("/v1/orders/{}", id(&order)));
    assert_eq!(seats(&order), ["1A", "3F"]);
    assert_eq!(order["seats"][1]["passenger"]["name"], "Lin Tao-Tao", "who moves keeps the name: {order}");

    // Somebody takes the seat that is chosen, before one's eyes.
    browser.clicks("[data-test=seats] summary");
    browser.clicks("[data-test=seats] [data-seat='3F']");
    browser.clicks("[data-test=seats] [data-seat='4A']");
    browser.sees("[data-test=seats] [data-seat='4A'][aria-selected=true]");
    stage.grabs("MOVE", &json!({"customer_id": "tao", "seats": ["4A"]}));
    browser.sees("[data-test=seats] [data-seat='4A'][data-status=sold][aria-selected=false]");
    browser.sees("[data-test=move]:disabled");
    let (status, _) = stage.asks(Method::GET, &format!("/v1/orders/{}", id(&order)), None);
    assert_eq!(status, 200);
}
