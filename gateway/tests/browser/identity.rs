//! A server that wants to know who asks (`customer_auth = jwt`): the pages ask for a token where one is needed, and go on.
//! Never signs anybody in behind the page's back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL;
use ring::hmac;
use serde_json::json;

use crate::axe;
use crate::browser::{Browser, Look};
use crate::grabbing::{GRAB, looks_at};
use crate::pages;
use crate::stage::Stage;

const KEY: &str = "thirty-two-bytes-or-more-of-secret";
/// How long a token holds.
const HOLDS_FOR: Duration = Duration::from_secs(3600);

/// A customer's token, as somebody's own sign-in would make it.
fn token(customer: &str) -> String {
    let until = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970") + HOLDS_FOR;
    let claims = json!({"sub": customer, "exp": until.as_secs()});
    let message = format!("{}.{}", URL.encode(r#"{"alg":"HS256"}"#), URL.encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    format!("{message}.{}", URL.encode(hmac::sign(&key, message.as_bytes())))
}

#[test]
fn who_grabs_without_a_token_is_asked_for_one_and_gets_the_seats() {
    let stage = Stage::with(&[("customer_auth", "jwt"), ("jwt_key", KEY)]);
    stage.flight("SIGNED", 5, &json!({}));
    let browser = Browser::open(&stage.site(), Look::DESK.speaking("zh-CN"));
    browser.expects("status of 401");
    looks_at(&browser, "SIGNED");
    browser.clicks(GRAB);
    browser.sees("[data-test=token]");
    pages::is_translated(&browser);
    axe::everybody_can_use(&browser, Look::DESK, "asked for a token");
    browser.types("[data-test=token]", &token("mei"));
    browser.clicks("[data-test=sign-in]");
    browser.sees("boarding-pass[data-status=confirmed]");
    let orders = stage.orders("SIGNED");
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0]["customer_id"], "mei", "the token says who it is");
    // The other page knows the token, and shows nobody else's orders.
    browser.goes_to("/orders");
    browser.waits_for("one order", "document.querySelectorAll('#list li').length === 1");
    browser.reads("#me", "mei");
    browser.clicks("#who summary");
    browser.types("#sign [data-test=token]", &token("tao"));
    browser.clicks("#sign [data-test=sign-in]");
    browser.reads("#me", "tao");
    browser.waits_for("no order", "document.querySelectorAll('#list li').length === 0");
}
