//! What pages look like in the middle of things: an order on the screen, a question asked, all sold; for everybody, on a
//! phone, too. Never tests what the things do: that is in the other files.

use serde_json::json;

use crate::axe;
use crate::browser::{Browser, Look};
use crate::grabbing::{GRAB, looks_at};
use crate::pages;
use crate::stage::Stage;

#[test]
fn the_flight_page_can_be_used_by_everybody_whatever_it_shows() {
    let stage = Stage::empty();
    stage.flight("STATES", 3, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    stage.flight("LATER", 3, &json!({"sale": {"state": "scheduled"}}));
    stage.posts("/v1/admin/flights/STATES/seats/block", &json!({"seats": ["3F"]}));
    for look in [Look::DESK, Look::PHONE.speaking("zh-TW")] {
        let browser = Browser::open(&stage.site(), look);
        browser.expects("status of 409");
        let is_fine = |state: &str| {
            if look.is_phone {
                pages::fits(&browser);
            }
            pages::is_translated(&browser);
            axe::everybody_can_use(&browser, look, state);
        };
        looks_at(&browser, "STATES");
        for seat in ["2A", "2B"] {
            browser.clicks(&format!("[data-seat='{seat}']"));
        }
        is_fine("two seats chosen");
        browser.clicks(GRAB);
        browser.sees("boarding-pass[data-status=held]");
        is_fine("an order that is held");
        browser.clicks("[data-test=pay]");
        browser.sees("[data-test=payment]");
        is_fine("the payment");
        browser.clicks("[data-test=payment-yes]");
        browser.sees("boarding-pass[data-status=confirmed]");
        is_fine("an order that is confirmed");
        browser.clicks("[data-test=cancel]");
        browser.sees("[data-test=cancelling]");
        is_fine("the question whether to cancel");
        browser.clicks("[data-test=cancelling-yes]");
        browser.sees("boarding-pass[data-status=cancelled]");
        is_fine("an order that is cancelled");
        let rest = stage.grabs("STATES", &json!({"customer_id": "tao", "quantity": 9}));
        let last = stage.grabs("STATES", &json!({"customer_id": "lin", "quantity": 8}));
        browser.sees("[data-test=grab]:disabled");
        is_fine("sold out");
        browser.clicks("[data-test=join]");
        browser.sees("[data-test=position]");
        is_fine("waiting for seats");
        looks_at(&browser, "LATER");
        is_fine("not open yet");
        looks_at(&browser, "STATES");
        browser.clicks("[data-test=leave]");
        browser.sees_no("[data-test=position]");
        for order in [rest, last] {
            stage.posts(
                &format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id")),
                &json!({}),
            );
        }
    }
}

#[test]
fn the_orders_page_can_be_used_by_everybody_whatever_it_shows() {
    let stage = Stage::empty();
    stage.flight("STATES", 6, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    for number in 0..3 {
        let order = stage.grabs("STATES", &json!({"customer_id": "mei", "quantity": 2}));
        if number == 1 {
            stage.posts(
                &format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id")),
                &json!({}),
            );
        }
    }
    for look in [Look::DESK, Look::PHONE.speaking("zh-CN")] {
        let browser = Browser::open(&stage.site(), look);
        let is_fine = |state: &str| {
            if look.is_phone {
                pages::fits(&browser);
            }
            pages::is_translated(&browser);
            axe::everybody_can_use(&browser, look, state);
        };
        browser.visits_as("mei", "/orders");
        browser.sees("#list li[data-status=held]");
        is_fine("a list of orders");
        browser.clicks("#list li[data-status=held] a");
        browser.sees("#opened boarding-pass[data-status=held]");
        is_fine("an order that is open");
        for part in ["names", "seats"] {
            browser.clicks(&format!("[data-test={part}] summary"));
        }
        browser.sees("[data-test=seats] [data-seat]");
        is_fine("an order that is being changed");
        browser.clicks("[data-test=pay]");
        browser.sees("[data-test=payment]");
        is_fine("the payment");
        browser.clicks("[data-test=payment-no]");
    }
}
