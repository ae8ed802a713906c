//! A connection that breaks in the middle of a grab, or of looking: one order, and a map that catches up.
//! Never lets a page off with "try again and see": how often the server was asked and what it has is counted.

use serde_json::json;

use crate::browser::{Browser, Look};
use crate::cutter::Cutter;
use crate::grabbing::{GRAB, looks_at, map};
use crate::pages;
use crate::stage::Stage;

/// Failures that Chromium tells in its console when a connection breaks.
const BROKEN: &str = "net::ERR_";
/// A browser sends a request again by itself, up to twice, where a connection breaks that it had used before; so many are
/// lost that the page must, too.
const LOST: usize = 6;

/// A server, a flight of 12 seats, and what loses connections in front of it.
fn behind_a_cutter(flight: &str) -> (Stage, Cutter) {
    let stage = Stage::empty();
    stage.flight(flight, 2, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    let cutter = Cutter::before(stage.gateway().address());
    (stage, cutter)
}

/// There is one order of two seats, and the page has it.
fn has_one_order(stage: &Stage, flight: &str, browser: &Browser) {
    browser.sees("boarding-pass[data-status=held]");
    browser.until("the map agrees", || (map(browser) == stage.seats(flight)).then_some(()));
    let orders = stage.orders(flight);
    assert_eq!(orders.len(), 1, "{orders:#?}");
    assert_eq!(browser.count("boarding-pass"), 1);
    assert_eq!(
        browser.text("boarding-pass [data-test=locator]"),
        orders[0]["record_locator"].as_str().unwrap_or_default()
    );
    assert_eq!(stage.seats(flight).iter().filter(|seat| !seat.ends_with("=free")).count(), 2);
}

#[test]
fn a_reply_that_is_lost_in_the_middle_of_a_grab_ends_with_one_order() {
    for languages in ["en", "zh-TW", "zh-CN"] {
        let (stage, cutter) = behind_a_cutter("LOST");
        let browser = Browser::open(&cutter.site(), Look::DESK.speaking(languages));
        browser.expects(BROKEN);
        looks_at(&browser, "LOST");
        cutter.loses_replies(LOST);
        browser.clicks(GRAB);
        browser.sees("[data-test=say].warn");
        pages::is_translated(&browser);
        has_one_order(&stage, "LOST", &browser);
        assert!(cutter.grabs() > LOST, "the server was asked {} times", cutter.grabs());
    }
}

#[test]
fn a_request_that_is_lost_in_the_middle_of_a_grab_ends_with_one_order() {
    let (stage, cutter) = behind_a_cutter("GONE");
    let browser = Browser::open(&cutter.site(), Look::DESK);
    browser.expects(BROKEN);
    looks_at(&browser, "GONE");
    cutter.loses_requests(LOST);
    browser.clicks(GRAB);
    has_one_order(&stage, "GONE", &browser);
    assert_eq!(cutter.grabs(), 1, "the lost ones never came");
}

#[test]
fn a_page_that_is_loaded_anew_in_the_middle_of_a_grab_ends_with_one_order() {
    let (stage, cutter) = behind_a_cutter("ANEW");
    let browser = Browser::open(&cutter.site(), Look::DESK);
    browser.expects(BROKEN);
    looks_at(&browser, "ANEW");
    cutter.loses_replies(usize::MAX);
    browser.clicks(GRAB);
    browser.sees("[data-test=say].warn");
    cutter.loses_replies(0);
    browser.script("location.reload()", &json!([]));
    has_one_order(&stage, "ANEW", &browser);
}

#[test]
fn an_order_of_the_orders_page_whose_reply_is_lost_is_one_order() {
    let (stage, cutter) = behind_a_cutter("LISTED");
    let browser = Browser::open(&cutter.site(), Look::DESK);
    browser.expects(BROKEN);
    browser.goes_to("/orders");
    browser.waits_for("a flight to choose", "document.querySelector('#flight option')");
    cutter.loses_replies(LOST);
    browser.clicks("#grab [data-test=grab]");
    browser.sees("#opened boarding-pass[data-status=held]");
    assert_eq!(stage.orders("LISTED").len(), 1);
    assert!(cutter.grabs() > LOST, "the server was asked {} times", cutter.grabs());
}

#[test]
fn a_map_catches_up_with_what_happened_while_the_connection_was_gone() {
    let (stage, cutter) = behind_a_cutter("CATCHUP");
    let browser = Browser::open(&cutter.site(), Look::DESK);
    browser.expects(BROKEN);
    looks_at(&browser, "CATCHUP");
    cutter.is_away(true);
    browser.sees("[data-test=live][data-state=waiting]");
    stage.grabs("CATCHUP", &json!({"customer_id": "tao", "seats": ["1A", "2F"]}));
    stage.posts("/v1/admin/flights/CATCHUP/seats/block", &json!({"seats": ["2A"]}));
    cutter.is_away(false);
    browser.sees("[data-test=live][data-state=live]");
    browser.until("the map has caught up", || (map(&browser) == stage.seats("CATCHUP")).then_some(()));
}
