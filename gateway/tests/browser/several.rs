//! `/admin#servers`: an admin sees which server has which flights, moves one, drains a server and resumes it.
//! Never takes the page's word: where a flight is, the API says.

use serde_json::{Value, json};

use crate::admin::signs_in;
use crate::axe;
use crate::browser::{Browser, Look};
use crate::pages;
use crate::rig::{self, Asked, Rig, until};
use crate::support::process::Gateway;

/// Where pictures of this page go, if anybody wants some.
const FOLDER: &str = "FARERUSH_SERVERS_PICTURES";

fn server_of(gateway: &Gateway, flight: &str) -> Value {
    let status = gateway.get("/v1/admin/status").1;
    let flights = status["flights"].as_array().expect("a list");
    flights.iter().find(|its| its["flight_id"] == flight).map_or(Value::Null, |its| its["server"].clone())
}

fn takes_picture(browser: &Browser, name: &str) {
    use base64::Engine as _;
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let picture = browser.picture(&json!({"format": "png"}));
    let bytes = base64::prelude::BASE64_STANDARD.decode(picture).expect("it is base64");
    std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes).expect("it is written");
}

#[test]
fn an_admin_sees_the_servers_moves_a_flight_and_drains_one() {
    let rig = Rig::new();
    let gateways = rig::together(&rig, &["one", "two"], &[]);
    for n in 0..12 {
        gateways[n % 2].create(&format!("FR{n}"));
    }
    let site = format!("http://{}", gateways[0].address());
    let (_, all) = gateways[0].get("/v1/admin/servers");
    let other = all["servers"].as_array().expect("a list").iter().find(|server| server["is_this"] == false);
    let other = other.expect("there are two")["server"].as_str().expect("a name").to_owned();
    let browser = Browser::open(&site, Look { height: 1000, ..Look::DESK });
    signs_in(&browser);
    browser.clicks("[data-test=tab-servers]");
    browser.sees(&format!("[data-server='{other}'] [data-state=takes]"));

    browser.types("[name=flight_id]", "FR0");
    browser.script(
        "const to = document.querySelector('[name=server]'); to.value = arguments[0]; \
         to.dispatchEvent(new Event('change'))",
        &json!([other]),
    );
    browser.clicks("[data-test='do.move']");
    browser.sees("main .note.good");
    until("the flight is there", || server_of(&gateways[0], "FR0") == *other);
    browser.waits_for("the page lists what was asked for", "document.body.innerText.includes('Moved')");

    browser.clicks(&format!("[data-server='{other}'] [data-test='do.drain']"));
    browser.sees(&format!("[data-server='{other}'] [data-state=drains]"));
    until("it has no flights any more", || {
        (0..12).all(|n| server_of(&gateways[0], &format!("FR{n}")) != *other)
    });
    browser.waits_for(
        "the page has seen flights move",
        "[...document.querySelectorAll('table')].at(-2).querySelectorAll('tbody tr').length > 0",
    );
    takes_picture(&browser, "servers-light");
    browser.clicks("header.bar button");
    takes_picture(&browser, "servers-dark");
    browser.clicks(&format!("[data-server='{other}'] [data-test='do.resume']"));
    browser.sees(&format!("[data-server='{other}'] [data-state=takes]"));
    axe::everybody_can_use(&browser, Look::DESK, "#servers");

    let phone = Look::PHONE.speaking("zh-TW");
    let browser = Browser::open(&site, phone);
    signs_in(&browser);
    browser.script("location.hash = '#servers'", &json!([]));
    browser.sees(&format!("[data-server='{other}'] [data-state=takes]"));
    pages::is_translated(&browser);
    pages::fits(&browser);
    takes_picture(&browser, "servers-phone");
    axe::everybody_can_use(&browser, phone, "#servers");
}
