//! `/admin`: the admin's day, from signing in to closing the sale, with customers who buy meanwhile.
//! Never takes the page's word: every deed is looked up by the API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::axe;
use crate::browser::{Browser, Look};
use crate::pages;
use crate::stage::Stage;
use crate::support::process::TOKEN;

const SIGN_IN: &str = "[data-test='sign.in']";

/// Signs in, and waits for the list of flights.
pub(crate) fn signs_in(browser: &Browser) {
    browser.goes_to("/admin");
    browser.types("[name=token]", TOKEN);
    browser.clicks(SIGN_IN);
    browser.sees("[data-test=tab-flights]");
}

/// Opens one of a flight's views.
fn opens(browser: &Browser, view: &str) {
    browser.clicks(&format!("[data-test=view-{view}]"));
    browser.sees(&format!("[data-test=view-{view}][aria-current=page]"));
}

fn sale(stage: &Stage, flight: &str) -> Value {
    stage.gets(&format!("/v1/flights/{flight}"))["sale"]["state"].clone()
}

fn says_done(browser: &Browser) {
    browser.sees("main .note.good");
}

/// What a refused grab is told.
fn refused(stage: &Stage, flight: &str) -> Value {
    let grab = json!({"customer_id": "late", "quantity": 1});
    let (status, problem) = stage.asks(Method::POST, &format!("/v1/flights/{flight}/orders"), Some(&grab));
    assert_eq!(status, 409, "{problem}");
    problem["code"].clone()
}

#[test]
fn the_admins_day() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);

    // A wrong token, then the right one.
    browser.expects("status of 401");
    browser.goes_to("/admin");
    browser.types("[name=token]", "not-the-token-at-all");
    browser.clicks(SIGN_IN);
    browser.sees(".sign-in .note.bad");
    browser.types("[name=token]", TOKEN);
    browser.clicks(SIGN_IN);
    browser.sees("[data-test=tab-flights]");

    creates_from_a_template(&stage, &browser);
    blocks_seats_on_the_map(&stage, &browser);
    opens_and_sells(&stage, &browser);
    sees_it_in_the_cockpit(&stage, &browser);
    pauses_and_adds_rows(&stage, &browser);
    reads_the_books(&stage, &browser);
    rehearses(&stage, &browser);
    closes(&stage, &browser);

    browser.clicks("[data-test='sign.out']");
    browser.sees(SIGN_IN);
}

const DAY: &str = "FR707-20301224";

fn creates_from_a_template(stage: &Stage, browser: &Browser) {
    browser.clicks("[data-test=tab-new]");
    browser.types("[name=flight_number]", "FR707");
    browser.types("[name=origin]", "TPE");
    browser.types("[name=destination]", "FUK");
    browser.chooses("[name=aircraft]", "AT76");
    browser.waits_for(
        "a preview with 72 seats",
        "document.querySelectorAll('seat-map [data-seat]').length === 72",
    );
    browser.types("[name='fares.economy']", "499");
    browser.types("[name='sale.max_seats_per_customer']", "100");
    browser.types("[name='sale.hold_seconds']", "0");
    // Without a date it cannot be: the field says so, and nothing else is lost.
    browser.expects("status of 400");
    browser.clicks("[data-test=create]");
    browser.sees("[name=departs_at][aria-invalid=true]");
    browser.picks("[name=departs_at]", "2030-12-24T08:30");
    browser.clicks("[data-test=create]");
    browser.reads("h1", "FR707");
    browser.waits_for("the flight is in the address", &format!("location.hash.includes('{DAY}')"));
    let flight = stage.gets(&format!("/v1/flights/{DAY}"));
    assert_eq!(flight["capacity"], 72);
    assert_eq!(flight["aircraft"], "AT76");
    assert_eq!(flight["cabins"][0]["fare"], json!({"amount": 49_900, "currency": "TWD"}));
    assert_eq!(flight["sale"]["state"], "scheduled");
}

fn blocks_seats_on_the_map(stage: &Stage, browser: &Browser) {
    browser.sees("[data-seat='1A'][data-status=free]");
    for seat in ["1A", "1C"] {
        browser.clicks(&format!("[data-seat='{seat}']"));
    }
    browser.clicks("[data-test='seats.block']");
    says_done(browser);
    browser.sees("[data-seat='1A'][data-status=blocked]");
    browser.sees("[data-seat='1C'][data-status=blocked]");
    let blocked = |stage: &Stage| stage.seats(DAY).iter().filter(|seat| seat.ends_with("=blocked")).count();
    assert_eq!(blocked(stage), 2);
    browser.clicks("[data-seat='1C']");
    browser.clicks("[data-test='seats.unblock']");
    browser.sees("[data-seat='1C'][data-status=free]");
    assert_eq!(blocked(stage), 1);
}

fn opens_and_sells(stage: &Stage, browser: &Browser) {
    assert_eq!(refused(stage, DAY), "SALE_NOT_OPEN");
    browser.clicks("[data-test='do.open']");
    browser.sees("[data-state=open]");
    assert_eq!(sale(stage, DAY), "open");
    for customer in ["mei", "tao", "lin"] {
        let passenger =
            json!([{"name": format!("{customer} the first")}, {"name": format!("{customer} the second")}]);
        stage.grabs(DAY, &json!({"customer_id": customer, "quantity": 2, "passengers": passenger}));
    }
    // The map is live.
    browser.waits_for(
        "six seats are sold on the map",
        "document.querySelectorAll('seat-map [data-status=sold]').length === 6",
    );
}

fn sees_it_in_the_cockpit(stage: &Stage, browser: &Browser) {
    browser.clicks("[data-test=tab-cockpit]");
    browser.sees("[data-tile='tile.journal'].good");
    browser.sees("[data-tile='tile.store'].good");
    browser.until("a grab in the cockpit", || {
        stage.grabs(DAY, &json!({"customer_id": "watched", "quantity": 1}));
        let won =
            browser.value("parseFloat(document.querySelector(\"[data-tile='line.won'] dd\")?.innerText)");
        won.as_f64().filter(|won| *won > 0.0)
    });
    assert_eq!(browser.count(".charts figure"), 9, "nine charts are drawn");
    let drawn = "[...document.querySelectorAll('.charts svg path')].some((path) => path.getBoundingClientRect().width > 0)";
    browser.waits_for("a line in a chart", drawn);
}

fn pauses_and_adds_rows(stage: &Stage, browser: &Browser) {
    browser.clicks("[data-test=tab-flights]");
    browser.clicks(&format!("[data-flight='{DAY}'] [data-test='do.pause']"));
    browser.sees(&format!("[data-flight='{DAY}'] [data-state=paused]"));
    assert_eq!(refused(stage, DAY), "SALE_PAUSED");
    browser.clicks(&format!("[data-flight='{DAY}'] a"));
    browser.clicks("details:has([data-test='rows.add']) > summary");
    browser.types("label:nth-of-type(2) > [name=rows]", "19");
    browser.types("label:nth-of-type(3) > [name=rows]", "20");
    browser.clicks("[data-test='rows.add']");
    browser.waits_for("the map has grown", "document.querySelectorAll('seat-map [data-seat]').length === 80");
    assert_eq!(stage.gets(&format!("/v1/flights/{DAY}"))["capacity"], 80);
    browser.clicks("[data-test='do.open']");
    browser.sees("[data-state=open]");
}

fn reads_the_books(stage: &Stage, browser: &Browser) {
    opens(browser, "manifest");
    browser.reads("table", "mei the first");
    let manifest = stage.gets(&format!("/v1/admin/flights/{DAY}/manifest"));
    let seated = manifest["seats"].as_array().map(Vec::len);
    assert_eq!(
        browser.count("tbody tr"),
        seated.unwrap_or_default() as u64,
        "a line for every seat that is taken"
    );
    opens(browser, "audit");
    browser.waits_for("all that happened", "document.querySelectorAll('tbody tr').length >= 8");
    pages::is_translated(browser);
    opens(browser, "waitlist");
    opens(browser, "refunds");
    opens(browser, "rules");
    browser.types("[name=max_seats_per_order]", "4");
    browser.clicks("[data-test=save]");
    says_done(browser);
    assert_eq!(stage.gets(&format!("/v1/flights/{DAY}"))["sale"]["max_seats_per_order"], 4);
    browser.clicks("[data-test=tab-orders]");
    browser.waits_for("orders of all customers", "document.querySelectorAll('tbody tr').length >= 4");
    browser.types("[name=customer_id]", "tao");
    browser.clicks("[data-test=search]");
    browser.waits_for("tao's only", "document.querySelectorAll('tbody tr').length === 1");
}

fn rehearses(stage: &Stage, browser: &Browser) {
    let before = (stage.gets(&format!("/v1/flights/{DAY}")), stage.seats(DAY), stage.orders(DAY).len());
    browser.clicks("[data-test=tab-flights]");
    browser.clicks(&format!("[data-flight='{DAY}'] a"));
    opens(browser, "rehearse");
    browser.types("[name=customers]", "300");
    browser.types("[name=over_seconds]", "2");
    browser.clicks("[data-test='rehearse.start']");
    browser.sees("[data-test=rehearse-state][data-state=running]");
    browser.waits_for(
        "the map fills up",
        "document.querySelectorAll('seat-map [data-status=sold]').length > 20",
    );
    browser.sees("[data-test=rehearse-state][data-state=done]");
    browser.sees("[data-test=rehearse-report]");
    browser.sees(".checks .good");
    assert_eq!(browser.count(".checks .bad"), 0, "every check holds");
    browser.waits_for(
        "sold out, but for the blocked seat",
        "document.querySelectorAll('seat-map [data-status=free], seat-map [data-status=held]').length === 0",
    );
    let after = (stage.gets(&format!("/v1/flights/{DAY}")), stage.seats(DAY), stage.orders(DAY).len());
    assert_eq!(before, after, "the real flight was touched");
}

fn closes(stage: &Stage, browser: &Browser) {
    browser.clicks("[data-test='do.close']");
    browser.clicks("dialog [data-test=no]");
    assert_eq!(sale(stage, DAY), "open");
    browser.clicks("[data-test='do.close']");
    browser.clicks("dialog [data-test=yes]");
    browser.sees("[data-state=closed]");
    assert_eq!(sale(stage, DAY), "closed");
    assert_eq!(refused(stage, DAY), "SALE_CLOSED");
    let live = stage.orders(DAY).iter().filter(|order| order["status"] == "confirmed").count();
    assert!(live >= 4, "orders stay when a sale closes");
}

#[test]
fn every_view_of_the_admin_can_be_used_by_everybody_in_each_language() {
    let stage = Stage::empty();
    stage.flight("VIEWS", 6, &json!({}));
    let order = stage.grabs("VIEWS", &json!({"customer_id": "mei", "quantity": 2}));
    stage.posts(&format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id")), &json!({}));
    for (languages, look) in [("en", Look::DESK), ("zh-TW", Look::PHONE), ("zh-CN", Look::DESK)] {
        let look = look.speaking(languages);
        let browser = Browser::open(&stage.site(), look);
        signs_in(&browser);
        let views = ["map", "rules", "aircraft", "rehearse", "manifest", "waitlist", "refunds", "audit"];
        let tabs = ["cockpit", "flights", "servers", "new", "import", "orders"]
            .map(|tab| (format!("#{tab}"), format!("tab-{tab}")));
        let parts = views.map(|view| (format!("#flight=VIEWS&view={view}"), format!("view-{view}")));
        for (hash, mark) in tabs.into_iter().chain(parts) {
            browser.script("location.hash = arguments[0]", &json!([hash]));
            browser.sees(&format!("[data-test={mark}][aria-current=page]"));
            browser.waits_for("nothing is being loaded", "!document.querySelector('[aria-busy=true]')");
            pages::is_translated(&browser);
            if look.is_phone {
                pages::fits(&browser);
            }
            if languages != "zh-CN" {
                axe::everybody_can_use(&browser, look, &hash);
            }
        }
    }
}

#[test]
fn flights_are_imported_from_a_file_and_its_mistakes_are_shown_by_line() {
    let stage = Stage::empty();
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.jsonl");
    let line = |number: u32| {
        json!({"flight_number": format!("FR{number}"), "origin": "TPE", "destination": "OKA", "departs_at": "2030-06-01T08:00:00Z",
               "aircraft": "AT76", "fare": {"amount": 49_900, "currency": "TWD"}})
        .to_string()
    };
    std::fs::write(&good, [line(801), line(802)].join("\n")).expect("a file");
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, [line(803), line(804).replace("TPE", "nowhere")].join("\n")).expect("a file");
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.expects("status of 400");
    signs_in(&browser);
    browser.clicks("[data-test=tab-import]");
    browser.adds("[data-test='import.file']", bad.to_str().expect("a path"));
    browser.reads("table", "origin");
    browser.adds("[data-test='import.file']", good.to_str().expect("a path"));
    browser.reads(".ids", "FR801-20300601");
    assert_eq!(stage.gets("/v1/flights")["flights"], json!([]), "it was only tried");
    browser.clicks("[data-test='import.go']");
    browser.sees(".ids a");
    assert_eq!(stage.gets("/v1/flights")["flights"].as_array().map(Vec::len), Some(2));
}
