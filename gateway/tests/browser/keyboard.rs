//! Without a mouse: everything a customer needs is reached, seen and done by keys.
//! Never sets the focus by script: it goes where the keys take it.

use serde_json::json;

use crate::browser::{Browser, Look, key};
use crate::grabbing::looks_at;
use crate::stage::Stage;

/// As many steps may lie between two controls of a page.
const STEPS_MAX: usize = 60;

/// Presses the tab key until the focus is on an element, which must show that it has it.
fn tabs_to(browser: &Browser, css: &str) {
    for _ in 0..STEPS_MAX {
        browser.presses(&[key::TAB]);
        if browser.value(&format!("document.activeElement.matches({})", json!(css))) == true {
            let outlined = "[null, '::before', '::after'].some((part) => getComputedStyle(document.activeElement, part).outlineStyle !== 'none')";
            assert_eq!(browser.value(outlined), true, "{css} does not show that it has the focus");
            let is_in_view = "((box) => box.bottom > 0 && box.top < innerHeight)(document.activeElement.getBoundingClientRect())";
            browser.waits_for(&format!("{css} is on the screen"), is_in_view);
            return;
        }
    }
    browser.fail(&format!("{STEPS_MAX} steps do not lead to {css}"));
}

fn focus_is_on(browser: &Browser, css: &str) {
    browser.waits_for(
        &format!("the focus is on {css}"),
        &format!("document.activeElement.matches({})", json!(css)),
    );
}

#[test]
fn one_grabs_pays_and_cancels_by_keys_alone() {
    let stage = Stage::empty();
    stage.flight("KEYS", 10, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    looks_at(&browser, "KEYS");
    // First comes the way past the bar.
    browser.presses(&[key::TAB]);
    focus_is_on(&browser, "a.skip");
    browser.presses(&[key::ENTER]);
    focus_is_on(&browser, "main");

    tabs_to(&browser, "[data-test=grab]");
    browser.presses(&[key::ENTER]);
    browser.sees("boarding-pass[data-status=held]");
    tabs_to(&browser, "[data-test=pay]");
    browser.presses(&[key::ENTER]);
    browser.sees("[data-test=payment]");
    browser.waits_for("the focus is in the dialog", "document.activeElement.closest('dialog')");
    // Escape leaves it, and nothing is lost.
    browser.presses(&[key::ESCAPE]);
    browser.sees_no("dialog");
    browser.waits_for("the focus is where one can go on", "document.activeElement !== document.body");
    tabs_to(&browser, "[data-test=pay]");
    browser.presses(&[key::SPACE]);
    browser.sees("[data-test=payment]");
    if browser.value("document.activeElement.matches('[data-test=payment-yes]')") == false {
        tabs_to(&browser, "[data-test=payment-yes]");
    }
    browser.presses(&[key::ENTER]);
    browser.sees("boarding-pass[data-status=confirmed]");
    tabs_to(&browser, "[data-test=cancel]");
    browser.presses(&[key::ENTER]);
    browser.sees("[data-test=cancelling]");
    tabs_to(&browser, "[data-test=cancelling-yes]");
    browser.presses(&[key::ENTER]);
    browser.sees("boarding-pass[data-status=cancelled]");
    assert_eq!(stage.orders("KEYS")[0]["status"], "cancelled");
}

#[test]
fn seats_are_chosen_on_the_map_by_keys() {
    let stage = Stage::empty();
    stage.flight("ARROWS", 10, &json!({}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    looks_at(&browser, "ARROWS");
    assert_eq!(browser.count("seat-map [data-seat][tabindex='0']"), 1, "the map is one stop of the tab key");
    let is_at = |seat: &str| focus_is_on(&browser, &format!("[data-seat='{seat}']"));
    tabs_to(&browser, "[data-seat]");
    is_at("1A");
    browser.presses(&[key::DOWN, key::DOWN, key::RIGHT]);
    is_at("3B");
    browser.presses(&[key::SPACE]);
    browser.sees("[data-seat='3B'][aria-selected=true]");
    browser.presses(&[key::END]);
    is_at("3F");
    browser.presses(&[key::ENTER]);
    browser.sees("[data-seat='3F'][aria-selected=true]");
    browser.presses(&[key::HOME]);
    is_at("3A");
    browser.presses_with(key::CONTROL, key::END);
    is_at("10F");
    let name = browser.value("document.activeElement.getAttribute('aria-label')");
    assert_eq!(name, "10F, window, free");
    // Back, as one came.
    browser.presses_with(key::SHIFT, key::TAB);
    tabs_to(&browser, "[data-seat]");
    is_at("10F");
    browser.presses_with(key::SHIFT, key::TAB);
    browser.script("document.querySelector('main').focus()", &json!([]));
    tabs_to(&browser, "[data-test=grab]");
    browser.reads("[data-test=grab]", "3B, 3F");
    browser.presses(&[key::ENTER]);
    browser.sees("boarding-pass[data-status=confirmed]");
    let orders = stage.orders("ARROWS");
    assert_eq!(
        (orders[0]["seats"][0]["seat"].clone(), orders[0]["seats"][1]["seat"].clone()),
        (json!("3B"), json!("3F"))
    );
}

#[test]
fn board_and_orders_are_used_by_keys() {
    let stage = Stage::empty();
    stage.flight("LINE", 10, &json!({}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    browser.sees("[data-test=flight]");
    tabs_to(&browser, "#origin");
    browser.writes("TPE");
    browser.presses(&[key::ENTER]);
    browser.waits_for("the filter is in the address", "location.search === '?origin=TPE'");
    tabs_to(&browser, "[data-flight=LINE] a");
    browser.presses(&[key::ENTER]);
    browser.waits_for("the flight's page", "location.pathname === '/flights/LINE'");
    browser.sees("[data-test=grab]:enabled");
    tabs_to(&browser, "[data-test=grab]");
    browser.presses(&[key::ENTER]);
    browser.sees("boarding-pass[data-status=confirmed]");

    browser.goes_to("/orders");
    browser.sees("#list li");
    tabs_to(&browser, "#list li a");
    browser.presses(&[key::ENTER]);
    browser.sees("#opened boarding-pass[data-status=confirmed]");
    tabs_to(&browser, "#opened [data-test=cancel]");
    browser.presses(&[key::ENTER]);
    tabs_to(&browser, "[data-test=cancelling-yes]");
    browser.presses(&[key::SPACE]);
    browser.sees("#opened boarding-pass[data-status=cancelled]");
}
