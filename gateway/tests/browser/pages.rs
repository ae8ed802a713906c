//! What holds for every page: it speaks the visitor's language, can be used by everybody, fits a phone, and asks nobody else
//! for anything. Never does what a visitor comes for: that is in the other files.

use serde_json::{Value, json};

use crate::axe;
use crate::browser::{Browser, Look};
use crate::stage::Stage;

/// A page: its address, and what tells that it shows what it has.
const PAGES: [(&str, &str); 4] = [
    ("/", "[data-test=flight]"),
    ("/flights/DEMO3", "[data-seat][data-status=free]"),
    ("/orders", "h1"),
    ("/admin", "[data-test='sign.in']"),
];

/// Texts that are seen, spoken or hinted, and look like the key of a text that is not there (one is a file's name).
const UNTRANSLATED: &str = r"
    const texts = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walk.currentNode; node; node = walk.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) {
        if (!node.parentElement.closest('script, style, noscript')) texts.push(node.data);
      } else for (const name of ['aria-label', 'placeholder', 'title', 'alt']) texts.push(node.getAttribute(name) ?? '');
    }
    texts.push(document.title);
    return texts.flatMap((text) => text.split(/[\s,;:()·→]+/)).filter((word) => /^[a-z]+(\.[A-Za-z_]+)+$/.test(word))
      .filter((word) => word !== 'admin.token');";

/// Every place where more is shown than fits across, outside of what is made to be scrolled.
const TOO_WIDE: &str = r"
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    const isHeld = (one) => {
      for (let up = one.parentElement; up; up = up.parentElement) {
        if (/auto|scroll|hidden|clip/.test(getComputedStyle(up).overflowX)) return true;
      }
      return false;
    };
    const over = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > wide + 1);
    const free = over.filter((one) => !isHeld(one));
    return (free.length ? free : over).slice(0, 5).map((one) => one.outerHTML.slice(0, 150)).concat([`${document.documentElement.scrollWidth} > ${wide}`]);";

/// Controls that a finger would miss: WCAG 2.2 asks for 24 by 24.
const TOO_SMALL: &str = r"
    return [...document.querySelectorAll('main button, main select, main input')].filter((one) => one.checkVisibility()).filter((one) => {
      const box = (one.closest('label') ?? one).getBoundingClientRect();
      return box.width < 24 || box.height < 24;
    }).map((one) => one.outerHTML.slice(0, 150));";

/// What of a page may not be so: nothing is left when all is well.
pub(crate) fn nothing_found(browser: &Browser, script: &str, what: &str) {
    let found = browser.script(script, &json!([]));
    assert_eq!(found, json!([]), "{what} at {}", browser.value("location.href"));
}

pub(crate) fn is_translated(browser: &Browser) {
    nothing_found(browser, UNTRANSLATED, "untranslated");
}

pub(crate) fn fits(browser: &Browser) {
    nothing_found(browser, TOO_WIDE, "wider than the screen");
    nothing_found(browser, TOO_SMALL, "too small for a finger");
}

/// What the browser asks for, the language that comes of it, and words of the bar in it.
const SPEAKERS: [(&str, &str, &str); 4] = [
    ("en-GB,en", "en", "My orders"),
    ("zh-TW,zh,en", "zh-TW", "我的訂單"),
    ("zh-CN,zh,en", "zh-CN", "我的订单"),
    ("fr-FR,fr,zh-HK", "zh-TW", "我的訂單"),
];

#[test]
fn every_page_speaks_the_language_that_the_browser_asks_for_and_fits_a_phone() {
    let stage = Stage::demo();
    for (languages, tag, orders) in SPEAKERS {
        let browser = Browser::open(&stage.site(), Look::PHONE.speaking(languages));
        let mut titles: Vec<Value> = Vec::new();
        for (path, shows) in PAGES {
            browser.goes_to(path);
            browser.sees(shows);
            assert_eq!(browser.value("document.documentElement.lang"), tag, "{path} for {languages}");
            browser.reads("header.bar nav", orders);
            is_translated(&browser);
            fits(&browser);
            let title = browser.value("document.title");
            assert!(!titles.contains(&title), "two pages are called {title}");
            titles.push(title);
        }
    }
}

#[test]
fn a_visitor_switches_the_language_and_the_light_and_both_stay() {
    let stage = Stage::demo();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    let paper = |browser: &Browser| browser.value("getComputedStyle(document.body).backgroundColor");
    let in_light = paper(&browser);
    for (tag, word) in [("zh-TW", "航班"), ("zh-CN", "我的订单"), ("en", "My orders")] {
        browser.chooses("header.bar select", tag);
        browser
            .waits_for("the page starts anew", &format!("document.documentElement.lang === {}", json!(tag)));
        browser.reads("header.bar", word);
    }
    browser.chooses("header.bar select", "zh-TW");
    browser.reads("header.bar", "我的訂單");
    browser.clicks("header.bar button");
    assert_ne!(paper(&browser), in_light, "the page is dark now");
    for (path, shows) in PAGES {
        browser.goes_to(path);
        browser.sees(shows);
        assert_eq!(browser.value("document.documentElement.lang"), "zh-TW", "{path}");
        assert_ne!(paper(&browser), in_light, "{path} is dark, too");
    }
}

#[test]
fn no_page_keeps_anybody_out() {
    let stage = Stage::demo();
    let [desk, phone] = Browser::open_all(&stage.site(), [Look::DESK, Look::PHONE]);
    for (path, shows) in PAGES {
        for (browser, look) in [(&desk, Look::DESK), (&phone, Look::PHONE)] {
            browser.goes_to(path);
            browser.sees(shows);
            axe::everybody_can_use(browser, look, "as it opens");
            assert_eq!(browser.count("h1"), 1, "{path} has one heading of all");
            assert_eq!(browser.count("main"), 1, "{path} has one main part");
        }
    }
}

#[test]
fn a_page_that_asked_another_host_or_ran_what_it_may_not_would_be_noticed() {
    let stage = Stage::empty();
    let browser = Browser::open(&stage.site(), Look::DESK);
    browser.goes_to("/");
    let tempt = "fetch('http://elsewhere.test/').catch(() => {}); \
                 const script = document.createElement('script'); \
                 try { script.textContent = 'document.title = 1'; document.body.append(script); } catch { console.error('held back'); } \
                 document.body.append(Object.assign(new Image(), {src: 'http://elsewhere.test/pixel.png'}));";
    browser.script(tempt, &json!([]));
    let found = browser.until("complaints", || {
        let found = crate::trouble::all(&browser, &[]).join("\n");
        found.contains("Content Security Policy").then_some(found)
    });
    assert!(found.contains("elsewhere.test"), "{found}");
    browser.expects("Content Security Policy");
    browser.expects("held back");
    browser.expects("elsewhere.test");
    browser.expects("TrustedScript");
}
