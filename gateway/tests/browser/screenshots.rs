//! The pictures in `docs/screenshots`: every page, light and dark, with people on it. `scripts/screenshots` makes them.
//! Never checks anything: the other files do.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin;
use crate::browser::{Browser, Look};
use crate::grabbing::{GRAB, looks_at};
use crate::stage::{Stage, from_now};

/// Where the pictures go.
const FOLDER: &str = "FARERUSH_SCREENSHOTS";
/// A picture in a README should load at once, in bytes.
const WEIGHT_MAX: usize = 150_000;
/// Who has the orders.
const CUSTOMER: &str = "mei";
/// How long the rush goes on before the cockpit is looked at.
const RUSH: Duration = Duration::from_secs(50);
/// Customers who grab at the same time.
const CROWD: usize = 12;
const DESK: Look = Look { height: 800, ..Look::DESK };

/// Takes the window as it is.
fn takes(browser: &Browser, name: &str) {
    let folder =
        std::env::var_os(FOLDER).map(PathBuf::from).unwrap_or_else(|| panic!("{FOLDER} names no folder"));
    let picture = browser.picture(&json!({"format": "webp", "quality": 84}));
    let bytes = BASE64_STANDARD.decode(picture).expect("it is base64");
    assert!(bytes.len() < WEIGHT_MAX, "{name} has {} bytes", bytes.len());
    let path = folder.join(format!("{name}.webp"));
    std::fs::write(&path, &bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("{}: {} bytes", path.display(), bytes.len());
}

/// Takes it in light and in dark, as a visitor switches it.
fn takes_both(browser: &Browser, name: &str) {
    for light in ["light", "dark"] {
        takes(browser, &format!("{name}-{light}"));
        browser.clicks("header.bar button");
        browser.script("scrollTo(0, 0); document.activeElement.blur();", &json!([]));
    }
}

/// More flights for the board: at other times of the day, almost sold out, and sold out.
fn flies_more(stage: &Stage) {
    let flights = [
        ("FR112", "TPE", "KIX", 9, 5, 149_900, 29),
        ("FR215", "KHH", "FUK", 12, 2, 89_900, 2),
        ("FR318", "RMQ", "OKA", 15, 8, 69_900, 0),
    ];
    for (number, origin, destination, days, hours, fare, left) in flights {
        let departs_at = from_now((days * 24 + hours) * 3600);
        let fare = json!({"amount": fare, "currency": "TWD"});
        let cabin = json!({"cabin_class": "economy", "rows": [1, 30], "layout": "ABC DEF", "fare": fare});
        let sale = json!({"state": "open", "max_seats_per_order": 180, "max_seats_per_customer": 180});
        let more = json!({"flight_number": number, "origin": origin, "destination": destination, "departs_at": departs_at,
                          "cabins": [cabin], "sale": sale});
        stage.flight(number, 30, &more);
        stage.grabs(number, &json!({"customer_id": "group", "quantity": 180 - left}));
    }
}

/// Sells some of a flight's seats here and there, as a sale does that has been on for a while.
fn sells(stage: &Stage, rng: &mut fastrand::Rng, flight: &str, orders: usize) {
    let free: Vec<String> = stage
        .seats(flight)
        .into_iter()
        .filter_map(|seat| Some(seat.strip_suffix("=free")?.to_owned()))
        .collect();
    for number in 0..orders {
        let first = rng.usize(..free.len());
        let party = &free[first..(first + rng.usize(1..4)).min(free.len())];
        let body = json!({"customer_id": format!("customer{number}"), "seats": party});
        // Somebody may sit there already.
        let (_, order) = stage.asks(Method::POST, &format!("/v1/flights/{flight}/orders"), Some(&body));
        if let (Some(id), true) = (order["order_id"].as_str(), rng.u32(..3) > 0) {
            stage.asks(
                Method::POST,
                &format!("/v1/orders/{id}/confirm"),
                Some(&json!({"payment_reference": id, "seq": order["seq"]})),
            );
        }
    }
}

/// People who want seats, more and more of them, until it is over.
fn rush(stage: &Stage, over: &AtomicBool) {
    std::thread::scope(|scope| {
        for number in 0..CROWD {
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(number as u64);
                let began = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    let flight = ["RUSH", "RUSH", "RUSH", "DEMO1", "DEMO4"][rng.usize(..5)];
                    let body =
                        json!({"customer_id": format!("c{}", rng.u32(..100_000)), "quantity": rng.u32(1..3)});
                    stage.asks(Method::POST, &format!("/v1/flights/{flight}/orders"), Some(&body));
                    let waves = (began.elapsed().as_secs_f64() / 4.0).sin() + 1.2;
                    std::thread::sleep(Duration::from_secs_f64(rng.f64() * waves / 6.0));
                }
            });
        }
    });
}

fn orders_of(stage: &Stage) -> Value {
    let named = json!([{"name": "Lin Mei"}, {"name": "Lin Tao"}]);
    stage.grabs("DEMO1", &json!({"customer_id": CUSTOMER, "quantity": 2, "passengers": named}));
    let gone =
        stage.grabs("DEMO3", &json!({"customer_id": CUSTOMER, "quantity": 1, "cabin_class": "business"}));
    stage.posts(&format!("/v1/orders/{}/cancel", gone["order_id"].as_str().expect("an id")), &json!({}));
    let paid = stage.grabs("DEMO3", &json!({"customer_id": CUSTOMER, "quantity": 2, "cabin_class": "premium_economy", "passengers": named}));
    stage.grabs("DEMO2", &json!({"customer_id": CUSTOMER, "quantity": 1}));
    paid
}

#[test]
#[ignore = "makes pictures, for scripts/screenshots"]
fn every_page_with_people_on_it() {
    let stage = Stage::demo();
    let mut rng = fastrand::Rng::with_seed(7);
    for (flight, orders) in [("DEMO1", 90), ("DEMO2", 40), ("DEMO3", 150), ("RUSH", 100)] {
        sells(&stage, &mut rng, flight, orders);
    }
    flies_more(&stage);
    let paid = orders_of(&stage);
    let browser = Browser::open(&stage.site(), DESK);
    browser.expects("status of 409");

    browser.goes_to("/");
    browser.sees("[data-test=flight]");
    takes_both(&browser, "departures");

    browser.visits_as(CUSTOMER, &format!("/orders?order={}", paid["order_id"].as_str().expect("an id")));
    browser.sees("#opened boarding-pass");
    browser.sees("#list li:nth-child(4)");
    takes_both(&browser, "orders");

    browser.visits_as("tao", "/");
    looks_at(&browser, "DEMO2");
    browser.clicks(GRAB);
    browser.sees("boarding-pass[data-status=held]");
    browser.reads(GRAB, "Grab");
    browser.script("scrollTo(0, 0)", &json!([]));
    takes_both(&browser, "flight");

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| rush(&stage, &over));
        admin::signs_in(&browser);
        browser.clicks("[data-test=tab-cockpit]");
        let began = Instant::now();
        browser.picks(".spread select", "1");
        while began.elapsed() < RUSH {
            std::thread::sleep(Duration::from_millis(200));
        }
        takes_both(&browser, "admin-cockpit");
        over.store(true, Ordering::Relaxed);
    });

    browser.script("location.hash = '#flight=DEMO1&view=rehearse'", &json!([]));
    browser.types("[name=customers]", "5000");
    browser.types("[name=over_seconds]", "5");
    browser.chooses("[name=start_from]", "empty");
    browser.clicks("[data-test='rehearse.start']");
    browser.sees("[data-test=rehearse-report]");
    browser.script(
        "document.querySelector('[data-test=rehearse-report]').scrollIntoView(); scrollBy(0, -16);",
        &json!([]),
    );
    takes(&browser, "admin-rehearsal");

    drop(browser);
    let phone = Browser::open(&stage.site(), Look::PHONE.speaking("zh-TW,zh"));
    phone.devtools(
        "Emulation.setDeviceMetricsOverride",
        &json!({"width": 390, "height": 780, "deviceScaleFactor": 2, "mobile": true}),
    );
    looks_at(&phone, "DEMO3");
    takes(&phone, "flight-phone");
}
