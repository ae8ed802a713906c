//! `/flights/{id}`: the seats as they are now, and the grab: side by side, one's own seats, sold out, before the opening.
//! Never trusts one map alone: it is compared with another browser's, and with the API's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::browser::{Browser, Look};
use crate::pages;
use crate::stage::{Stage, from_now};

pub(crate) const GRAB: &str = "[data-test=grab]";

/// The map as it is drawn: `12A=sold`, in the order of the map.
pub(crate) fn map(browser: &Browser) -> Vec<String> {
    let drawn = browser.value("[...document.querySelectorAll('seat-map [data-seat]')].map((one) => `${one.dataset.seat}=${one.dataset.status}`)");
    serde_json::from_value(drawn).expect("seats")
}

/// The seats that the map says are the visitor's.
fn mine(browser: &Browser) -> BTreeSet<String> {
    let drawn = browser.value("[...document.querySelectorAll('seat-map [data-seat][data-look=mine]')].map((one) => one.dataset.seat)");
    serde_json::from_value(drawn).expect("seats")
}

/// Waits until the page shows the flight, live.
pub(crate) fn looks_at(browser: &Browser, flight: &str) {
    browser.goes_to(&format!("/flights/{flight}"));
    browser.sees("[data-test=live][data-state=live]");
    browser.sees("[data-seat]");
}

/// The map of the page and the API's agree.
fn agrees(browser: &Browser, stage: &Stage, flight: &str) {
    browser.until("the map agrees with the API", || (map(browser) == stage.seats(flight)).then_some(()));
}

/// Chooses a party by the stepper's field.
fn is_party_of(browser: &Browser, size: u32) {
    browser.types("[data-test=party-size]", &format!("{size}\t"));
}

#[test]
fn two_browsers_grab_until_all_is_sold_and_their_maps_agree() {
    let stage = Stage::empty();
    stage.flight("RUSH", 5, &json!({"sale": {"state": "open", "max_seats_per_customer": 100}}));
    let browsers = Browser::open_all(&stage.site(), [Look::DESK, Look::PHONE.speaking("zh-TW")]);
    let grab_all = |browser: Browser| {
        // The other one may have been faster.
        browser.expects("status of 409");
        looks_at(&browser, "RUSH");
        browser.until("all is sold", || {
            let is_free = "((grab) => !grab.disabled && grab.ariaBusy !== 'true')(document.querySelector('[data-test=grab]'))";
            if browser.value(is_free) == true {
                browser.script("document.querySelector('[data-test=grab]').click()", &json!([]));
            }
            (browser.value("document.querySelector('[data-test=available]').textContent") == "0").then_some(())
        });
        browser
    };
    let [one, other] = std::thread::scope(|scope| {
        browsers.map(|browser| scope.spawn(|| grab_all(browser))).map(|all| all.join().expect("it sold out"))
    });
    for browser in [&one, &other] {
        agrees(browser, &stage, "RUSH");
        browser.sees("[data-test=grab]:disabled");
        browser.sees("[data-test=waitlist]");
        pages::is_translated(browser);
    }
    assert_eq!(map(&one), map(&other));
    assert!(map(&one).iter().all(|seat| seat.ends_with("=sold")), "{:?}", map(&one));
    let (ours, theirs) = (mine(&one), mine(&other));
    assert!(!ours.is_empty() && !theirs.is_empty(), "each has some: {ours:?}, {theirs:?}");
    assert!(ours.is_disjoint(&theirs), "a seat is in two hands: {ours:?}, {theirs:?}");
    assert_eq!(ours.len() + theirs.len(), 30);
    // What each sees as its own is what the API says it has.
    for (browser, seats) in [(&one, &ours), (&other, &theirs)] {
        let customer = browser.value("localStorage.getItem('farerush.customer')");
        let orders = stage.orders("RUSH").into_iter().filter(|order| order["customer_id"] == customer);
        let bought: BTreeSet<String> = orders
            .flat_map(|order| order["seats"].as_array().cloned().unwrap_or_default())
            .map(|seat| seat["seat"].as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(&bought, seats);
    }
}

#[test]
fn one_grabs_holds_pays_and_cancels_in_each_language() {
    let stage = Stage::empty();
    stage.flight("WHOLE", 10, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    for (languages, held, confirmed, cancelled) in [
        ("en", "Held", "Confirmed", "Cancelled"),
        ("zh-TW", "保留中", "已確認", "已取消"),
        ("zh-CN", "保留中", "已确认", "已取消"),
    ] {
        let browser = Browser::open(&stage.site(), Look::DESK.speaking(languages));
        looks_at(&browser, "WHOLE");
        pages::is_translated(&browser);
        is_party_of(&browser, 3);
        browser.clicks(GRAB);
        browser.reads("boarding-pass [data-test=order-status]", held);
        browser.waits_for(
            "a locator of six",
            "/^[A-Z0-9]{6}$/.test(document.querySelector('boarding-pass [data-test=locator]').innerText)",
        );
        browser.waits_for(
            "the hold is counted down",
            "/0?9:[0-5]\\d/.test(document.querySelector('[data-test=hold-left]').innerText)",
        );
        browser.waits_for(
            "three seats of one's own",
            "document.querySelectorAll('seat-map [data-seat][data-look=mine]').length === 3",
        );
        pages::is_translated(&browser);
        agrees(&browser, &stage, "WHOLE");

        browser.clicks("[data-test=pay]");
        browser.clicks("[data-test=payment-yes]");
        browser.reads("boarding-pass [data-test=order-status]", confirmed);
        agrees(&browser, &stage, "WHOLE");
        // What is paid is still there after a reload.
        looks_at(&browser, "WHOLE");
        browser.reads("boarding-pass [data-test=order-status]", confirmed);
        browser.clicks("[data-test=cancel]");
        pages::is_translated(&browser);
        browser.clicks("[data-test=cancelling-yes]");
        browser.reads("boarding-pass [data-test=order-status]", cancelled);
        browser.waits_for(
            "no seat of one's own",
            "document.querySelectorAll('seat-map [data-seat][data-look=mine]').length === 0",
        );
        agrees(&browser, &stage, "WHOLE");
    }
    let statuses: Vec<Value> = stage.orders("WHOLE").iter().map(|order| order["status"].clone()).collect();
    assert_eq!(statuses, ["cancelled"; 3]);
}

#[test]
fn a_hold_that_runs_out_gives_its_seats_back_before_ones_eyes() {
    let stage = Stage::empty();
    stage.flight("SHORT", 2, &json!({"sale": {"state": "open", "hold_seconds": 2}}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    looks_at(&browser, "SHORT");
    browser.clicks(GRAB);
    browser.sees("boarding-pass[data-status=held]");
    browser.sees("boarding-pass[data-status=expired]");
    browser.sees_no("[data-test=pay]");
    browser.waits_for(
        "all is free again",
        "document.querySelectorAll('seat-map [data-status=free]').length === 12",
    );
    agrees(&browser, &stage, "SHORT");
}

#[test]
fn a_party_that_cannot_sit_together_is_offered_what_is_possible() {
    let stage = Stage::empty();
    stage.flight("APART", 1, &json!({}));
    stage.grabs("APART", &json!({"customer_id": "tao", "seats": ["1B", "1C", "1E"]}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.expects("status of 409");
    looks_at(&browser, "APART");
    is_party_of(&browser, 2);
    browser.chooses("[data-test=together]", "required");
    browser.clicks(GRAB);
    browser.reads("[data-test=say]", "side by side");
    assert_eq!(stage.orders("APART").len(), 1, "nothing was bought");
    browser.clicks("[data-test=offer]");
    browser.sees("boarding-pass[data-status=confirmed]");
    assert_eq!(stage.orders("APART").len(), 2);
    // One is left: three are more than that.
    is_party_of(&browser, 3);
    browser.clicks(GRAB);
    browser.reads("[data-test=say]", "Only one seat is left");
    browser.clicks("[data-test=offer]");
    browser.sees("[data-test=grab]:disabled");
    browser.reads("[data-test=sale-state]", "Sold out");
    agrees(&browser, &stage, "APART");
}

#[test]
fn one_taps_ones_own_seats_and_sees_when_somebody_else_takes_one() {
    let stage = Stage::empty();
    stage.flight("OWN", 6, &json!({}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    looks_at(&browser, "OWN");
    for seat in ["3A", "3B", "4F"] {
        browser.clicks(&format!("[data-seat='{seat}']"));
        browser.sees(&format!("[data-seat='{seat}'][aria-selected=true]"));
    }
    browser.reads(GRAB, "3A, 3B, 4F");
    stage.grabs("OWN", &json!({"customer_id": "tao", "seats": ["3B"]}));
    browser.reads("[data-test=say]", "3B");
    browser.sees("[data-seat='3B'][data-status=sold][aria-selected=false]");
    browser.reads(GRAB, "3A, 4F");
    browser.clicks(GRAB);
    browser.sees("boarding-pass[data-status=confirmed]");
    assert_eq!(mine(&browser), BTreeSet::from(["3A".to_owned(), "4F".to_owned()]));
    agrees(&browser, &stage, "OWN");
}

#[test]
fn the_button_waits_for_the_opening_and_for_the_end_of_a_pause() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    stage.flight("OPENS", 3, &json!({"sale": {"opens_at": from_now(6)}}));
    looks_at(&browser, "OPENS");
    browser.sees("[data-test=grab]:disabled");
    browser.waits_for("a countdown", "/00:0\\d/.test(document.querySelector('[data-test=grab]').innerText)");
    browser.sees("[data-test=grab]:enabled");
    browser.clicks(GRAB);
    browser.sees("boarding-pass[data-status=confirmed]");
    stage.posts("/v1/admin/flights/OPENS/pause", &json!({}));
    browser.sees("[data-test=grab]:disabled");
    browser.reads("[data-test=sale-state]", "Paused");
    stage.posts("/v1/admin/flights/OPENS/open", &json!({}));
    browser.sees("[data-test=grab]:enabled");
    stage.posts("/v1/admin/flights/OPENS/close", &json!({}));
    browser.sees("[data-test=grab]:disabled");
    browser.reads("[data-test=sale-state]", "Closed");
}

#[test]
fn who_waits_for_seats_gets_those_that_come_back() {
    let stage = Stage::empty();
    stage.flight("WAIT", 1, &json!({"sale": {"state": "open", "hold_seconds": 600}}));
    let order = stage.grabs("WAIT", &json!({"customer_id": "tao", "quantity": 6}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    looks_at(&browser, "WAIT");
    browser.sees("[data-test=grab]:disabled");
    browser.clicks("[data-test=join]");
    browser.reads("[data-test=position]", "1");
    stage.posts(&format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id")), &json!({}));
    browser.sees("boarding-pass[data-status=held]");
    browser.waits_for(
        "seats of one's own",
        "document.querySelectorAll('seat-map [data-seat][data-look=mine]').length > 0",
    );
    agrees(&browser, &stage, "WAIT");
}

#[test]
fn a_flight_with_several_cabins_is_drawn_as_it_is() {
    let stage = Stage::demo();
    let browser = Browser::open(&stage.site(), Look::DESK);
    looks_at(&browser, "DEMO3");
    agrees(&browser, &stage, "DEMO3");
    browser.clicks("[data-test=cabin-business]");
    is_party_of(&browser, 1);
    browser.clicks(GRAB);
    browser.sees("boarding-pass[data-status=confirmed]");
    let order = &stage.orders("DEMO3")[0];
    assert_eq!(order["seats"][0]["cabin_class"], "business", "{order}");
    // Almost ten thousand seats are no trouble.
    looks_at(&browser, "RUSH");
    assert_eq!(browser.count("seat-map [data-seat]"), 9990);
    browser.clicks(GRAB);
    browser.sees("boarding-pass[data-status=confirmed]");
    agrees(&browser, &stage, "RUSH");
}

#[test]
fn a_flight_that_is_not_there_is_said_so() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.expects("status of 404");
    browser.goes_to_any("/flights/NOWHERE");
    browser.reads("main", "There is no such flight");
}
