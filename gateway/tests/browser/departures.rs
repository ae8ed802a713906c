//! `/`, the departures board: what is on sale, filters in the address, seats and sales as they change.
//! Never touches what the board does not show.

use serde_json::{Value, json};

use crate::browser::{Browser, Look};
use crate::stage::Stage;

/// Addresses of the rows on the board, in their order.
fn board(browser: &Browser) -> Vec<String> {
    let rows = browser
        .value("[...document.querySelectorAll('[data-test=flight]')].map((row) => row.dataset.flight)");
    serde_json::from_value(rows).expect("names of flights")
}

/// Three flights from two airports on different days.
fn three_flights(stage: &Stage) {
    stage.flight("BOARD1", 10, &json!({"departs_at": "2030-12-24T08:00:00Z"}));
    stage.flight("BOARD2", 20, &json!({"flight_number": "FR202", "origin": "KHH", "destination": "KIX", "departs_at": "2030-12-25T08:00:00Z",
                                      "sale": {"state": "scheduled"}}));
    stage.flight(
        "BOARD3",
        30,
        &json!({"flight_number": "FR303", "destination": "OKA", "departs_at": "2030-12-26T20:00:00Z"}),
    );
}

#[test]
fn the_board_shows_every_flight_with_its_cities_price_and_seats() {
    let stage = Stage::empty();
    three_flights(&stage);
    for (languages, city, price, closed) in [
        ("en", "Tokyo Narita", "TWD", "Not open yet"),
        ("zh-TW", "東京成田", "TWD", "尚未開賣"),
        ("zh-CN", "东京成田", "TWD", "尚未开售"),
    ] {
        let browser = Browser::open(&stage.site(), Look::DESK.speaking(languages));
        browser.goes_to("/");
        browser.waits_for("three flights", "document.querySelectorAll('[data-test=flight]').length === 3");
        assert_eq!(board(&browser), ["BOARD1", "BOARD2", "BOARD3"], "in the order of departure");
        let row = browser.text("[data-flight=BOARD1]");
        for part in [city, price, "999"] {
            assert!(row.contains(part), "{part:?} is missing: {row}");
        }
        assert_eq!(browser.value("document.querySelector('[data-flight=BOARD1]').dataset.left"), "60");
        browser.reads("[data-flight=BOARD2]", closed);
    }
}

#[test]
fn filters_land_in_the_address_and_come_back_with_it() {
    let stage = Stage::empty();
    three_flights(&stage);
    let browser = Browser::open(&stage.site(), Look::DESK);
    let shows = |flights: &[&str]| {
        let wanted: Vec<Value> = flights.iter().map(|one| json!(one)).collect();
        browser.waits_for(
            &format!("{flights:?} on the board"),
            &format!("JSON.stringify([...document.querySelectorAll('[data-test=flight]')].map((row) => row.dataset.flight)) === {}",
                     json!(Value::Array(wanted).to_string())),
        );
    };
    let query = || browser.value("location.search").as_str().unwrap_or_default().to_owned();
    browser.goes_to("/");
    shows(&["BOARD1", "BOARD2", "BOARD3"]);
    browser.types("#origin", "Taipei\n");
    shows(&["BOARD1", "BOARD3"]);
    assert_eq!(query(), "?origin=TPE");
    browser.types("#destination", "oka\n");
    shows(&["BOARD3"]);
    assert_eq!(query(), "?origin=TPE&destination=OKA");
    browser.script("history.back()", &json!([]));
    shows(&["BOARD1", "BOARD3"]);
    browser.goes_to("/?origin=KHH");
    shows(&["BOARD2"]);
    browser.clicks("#clear");
    shows(&["BOARD1", "BOARD2", "BOARD3"]);
    assert_eq!(query(), "");
    browser.chooses("#status", "scheduled");
    shows(&["BOARD2"]);
    browser.chooses("#status", "");
    // Half past four in the morning in Taipei: a day later than in UTC.
    browser.picks("#date", "2030-12-27");
    shows(&["BOARD3"]);
    browser.goes_to("/?destination=LHR");
    shows(&[]);
    browser.reads("#said", "No");
    browser.goes_to("/");
    browser.types("#origin", "nowhere\n");
    browser.sees("#wrong");
}

#[test]
fn a_departure_is_shown_by_the_clocks_of_its_origin_and_says_which() {
    let stage = Stage::empty();
    // From places that the pages have no name for, in the last hours of a day in UTC, and in the first.
    for (id, origin, departs_at) in [
        ("EAST", "KTM", "2030-12-24T18:20:00Z"),
        ("WEST", "PPG", "2030-12-25T00:10:00Z"),
        ("HOME", "TPE", "2030-12-24T22:30:00Z"),
    ] {
        stage.flight(id, 1, &json!({"origin": origin, "departs_at": departs_at}));
    }
    // Wherever the visitor is: the browser's own zone is UTC, or the machine's.
    for (languages, first_word) in [("en", "Tuesday"), ("zh-TW", "星期二"), ("zh-CN", "星期二")] {
        let browser = Browser::open(&stage.site(), Look::DESK.speaking(languages));
        browser.goes_to("/");
        for (id, time, day, offset) in [
            ("EAST", "00:05", "25", "UTC+5:45"),
            ("WEST", "13:10", "24", "UTC-11"),
            ("HOME", "06:30", "25", "UTC+8"),
        ] {
            browser.reads(&format!("[data-flight={id}] .time"), time);
            let row = browser.text(&format!("[data-flight={id}] .time"));
            assert!(row.contains(day) && row.contains(offset), "{id}: {row}");
        }
        browser.goes_to("/flights/WEST");
        browser.reads("main", "Pacific/Pago_Pago, UTC-11");
        browser.reads("main", "13:10");
        browser.reads("main", first_word);
    }
}

#[test]
fn the_board_follows_the_sale() {
    let stage = Stage::empty();
    stage.flight("FOLLOW", 1, &json!({}));
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    let says = |state: &str, left: u32| {
        let row = format!(
            "((row) => row.dataset.state === '{state}' && row.dataset.left === '{left}')(document.querySelector('[data-flight=FOLLOW]'))"
        );
        browser.waits_for(&format!("FOLLOW is {state}, {left} left"), &row);
    };
    says("open", 6);
    stage.grabs("FOLLOW", &json!({"customer_id": "mei", "quantity": 4}));
    says("open", 2);
    stage.grabs("FOLLOW", &json!({"customer_id": "tao", "quantity": 2}));
    says("sold_out", 0);
    browser.reads("[data-flight=FOLLOW]", "Sold out");
    stage.posts("/v1/admin/flights/FOLLOW/pause", &json!({}));
    says("paused", 0);
}

#[test]
fn a_sale_that_opens_by_itself_is_counted_down_to() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    stage.flight("SOON", 5, &json!({"sale": {"opens_at": crate::stage::from_now(6)}}));
    browser.waits_for(
        "a countdown",
        "/00:0[1-6]/.test(document.querySelector('[data-flight=SOON] td.sale')?.innerText)",
    );
    browser.waits_for("it is open", "document.querySelector('[data-flight=SOON]').dataset.state === 'open'");
}

#[test]
fn a_long_board_is_shown_page_by_page() {
    let stage = Stage::empty();
    for number in 0..55 {
        stage.flight(&format!("LONG{number:02}"), 1, &json!({}));
    }
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    browser.waits_for("one page", "document.querySelectorAll('[data-test=flight]').length === 50");
    browser.clicks("[data-test=more]");
    browser.waits_for("two pages", "document.querySelectorAll('[data-test=flight]').length === 55");
    browser.sees_no("[data-test=more]");
}
