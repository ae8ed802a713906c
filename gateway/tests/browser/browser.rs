//! A browser of one visitor: pages, clicks, keys, what is on the screen, and what went wrong behind it.
//! Never sleeps to wait: it looks again until a deadline. At its end it fails the test that let the browser complain.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::driver::{Driver, Places, Refused};
use crate::trouble;

/// How long a page may take for what it is to show, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How often a page is looked at while waiting.
const POLL: Duration = Duration::from_millis(30);
/// The protocol's name of an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// A click is tried again for these: the page was being painted.
const NOT_YET: [&str; 4] =
    ["no such element", "stale element reference", "element click intercepted", "element not interactable"];
/// How much of a page's text a failing test shows.
const SHOWN_CHARS: usize = 1500;

/// Keys that have no letter, as the protocol writes them.
pub(crate) mod key {
    /// Lets go of all that are held down.
    pub(crate) const NONE: &str = "\u{e000}";
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const SHIFT: &str = "\u{e008}";
    pub(crate) const CONTROL: &str = "\u{e009}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const SPACE: &str = " ";
    pub(crate) const END: &str = "\u{e010}";
    pub(crate) const HOME: &str = "\u{e011}";
    pub(crate) const RIGHT: &str = "\u{e014}";
    pub(crate) const DOWN: &str = "\u{e015}";
}

/// What a visitor sits in front of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// What the browser asks for, such as `zh-TW,zh`.
    pub(crate) languages: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_phone: bool,
    pub(crate) is_dark: bool,
}

impl Look {
    pub(crate) const DESK: Self =
        Self { languages: "en-US,en", width: 1280, height: 900, is_phone: false, is_dark: false };
    pub(crate) const PHONE: Self = Self { width: 360, height: 740, is_phone: true, ..Self::DESK };

    pub(crate) const fn dark(self) -> Self {
        Self { is_dark: true, ..self }
    }

    pub(crate) const fn speaking(self, languages: &'static str) -> Self {
        Self { languages, ..self }
    }
}

/// A browser with a fresh profile.
pub(crate) struct Browser {
    driver: Arc<Driver>,
    session: String,
    /// `http://127.0.0.1:1234`: nothing else is asked for anything.
    site: String,
    expected: RefCell<Vec<&'static str>>,
    _places: Arc<Places>,
}

impl Browser {
    /// One in front of the site.
    pub(crate) fn open(site: &str, look: Look) -> Self {
        let [one] = Self::open_all(site, [look]);
        one
    }

    /// Several at once.
    pub(crate) fn open_all<const N: usize>(site: &str, looks: [Look; N]) -> [Self; N] {
        let places = Arc::new(Places::take(N));
        let driver = Driver::shared();
        looks.map(|look| {
            let answer = driver.command(Method::POST, "/session", Some(&capabilities(look)));
            let answer = answer.unwrap_or_else(|refused| panic!("no browser: {}", refused.message));
            let session = answer["sessionId"].as_str().expect("a session has an id").to_owned();
            let browser = Self {
                driver: Arc::clone(&driver),
                session,
                site: site.to_owned(),
                expected: RefCell::default(),
                _places: Arc::clone(&places),
            };
            browser.show_as(look);
            browser
        })
    }

    /// Gives the window its size, and the page its light.
    pub(crate) fn show_as(&self, look: Look) {
        let metrics = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.is_phone});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if look.is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Something that the browser may complain about in this test: a part of its message.
    pub(crate) fn expects(&self, message: &'static str) {
        self.expected.borrow_mut().push(message);
    }

    fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        self.driver.command(method, &format!("/session/{}{path}", self.session), body)
    }

    fn does(&self, path: &str, body: &Value) -> Value {
        self.command(Method::POST, path, Some(body))
            .unwrap_or_else(|refused| self.fail(&format!("{path}: {}", refused.message)))
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.does("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Goes to a page of the site, and waits until its bar and its heading are there.
    pub(crate) fn goes_to(&self, path: &str) {
        self.goes_to_any(path);
        self.sees("header.bar");
        self.sees("h1");
    }

    /// Goes to an address, whatever is there.
    pub(crate) fn goes_to_any(&self, path: &str) {
        self.does("/url", &json!({"url": format!("{}{path}", self.site)}));
    }

    /// Goes to a page as this customer, as if it had been there before.
    pub(crate) fn visits_as(&self, customer: &str, path: &str) {
        self.goes_to("/orders");
        self.script("localStorage.setItem('farerush.customer', arguments[0])", &json!([customer]));
        self.goes_to(path);
    }

    /// Runs a script in the page: a function's body, with `arguments`. What it promises is waited for.
    pub(crate) fn script(&self, body: &str, arguments: &Value) -> Value {
        let body = json!({"script": body, "args": arguments});
        self.does("/execute/sync", &body)
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.script(&format!("return ({expression});"), &json!([]))
    }

    /// Waits until an expression in the page is true, and gives its value. One that fails is not true yet.
    pub(crate) fn waits_for(&self, what: &str, expression: &str) -> Value {
        let body = json!({"script": format!("return ({expression});"), "args": []});
        self.until(what, || match self.command(Method::POST, "/execute/sync", Some(&body)) {
            Ok(Value::Null | Value::Bool(false)) => None,
            Ok(value) if value == "" || value == 0 => None,
            Ok(value) => Some(value),
            Err(refused) if refused.error == "javascript error" => None,
            Err(refused) => self.fail(&refused.message),
        })
    }

    /// Looks again and again until there is something.
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if Instant::now() > deadline {
                self.fail(&format!("not within {PATIENCE:?}: {what}"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until an element is there and can be seen.
    pub(crate) fn sees(&self, css: &str) {
        let is_seen =
            format!("[...document.querySelectorAll({})].some((one) => one.checkVisibility())", json!(css));
        self.waits_for(&format!("{css} is seen"), &is_seen);
    }

    /// Waits until no such element can be seen.
    pub(crate) fn sees_no(&self, css: &str) {
        let is_gone =
            format!("![...document.querySelectorAll({})].some((one) => one.checkVisibility())", json!(css));
        self.waits_for(&format!("{css} is gone"), &is_gone);
    }

    /// Waits until an element's text has this in it.
    pub(crate) fn reads(&self, css: &str, text: &str) {
        let has = format!(
            "[...document.querySelectorAll({})].some((one) => one.checkVisibility() && one.innerText.includes({}))",
            json!(css),
            json!(text)
        );
        self.waits_for(&format!("{css} says {text:?}"), &has);
    }

    /// The text of an element, as it can be read.
    pub(crate) fn text(&self, css: &str) -> String {
        self.sees(css);
        let text = self.value(&format!("document.querySelector({}).innerText", json!(css)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements there are.
    pub(crate) fn count(&self, css: &str) -> u64 {
        self.value(&format!("document.querySelectorAll({}).length", json!(css))).as_u64().expect("a number")
    }

    fn element(&self, css: &str) -> Result<String, Refused> {
        let found =
            self.command(Method::POST, "/element", Some(&json!({"using": "css selector", "value": css})))?;
        Ok(found[ELEMENT].as_str().expect("an element has an id").to_owned())
    }

    /// Scrolls to it and clicks as a mouse does: what is covered, hidden or disabled is not clicked.
    pub(crate) fn clicks(&self, css: &str) {
        self.tries(css, |id| {
            let element =
                json!({"script": "arguments[0].scrollIntoView({block: 'center'})", "args": [{ELEMENT: id}]});
            self.command(Method::POST, "/execute/sync", Some(&element))?;
            let enabled = self.command(Method::GET, &format!("/element/{id}/enabled"), None)?;
            if enabled == false {
                return Err(Refused::new(NOT_YET[3], &"it is disabled"));
            }
            self.command(Method::POST, &format!("/element/{id}/click"), Some(&json!({})))
        });
    }

    /// Types into a field, in the place of what is there: all of it is selected first.
    pub(crate) fn types(&self, css: &str, text: &str) {
        self.adds(css, &format!("{}a{}{text}", key::CONTROL, key::NONE));
    }

    /// Types into a field, behind what is there.
    pub(crate) fn adds(&self, css: &str, text: &str) {
        self.tries(css, |id| {
            self.command(Method::POST, &format!("/element/{id}/value"), Some(&json!({"text": text})))
        });
    }

    /// Chooses from a list, by the option's value.
    pub(crate) fn chooses(&self, css: &str, value: &str) {
        self.clicks(&format!("{css} option[value={}]", json!(value)));
    }

    /// Sets a field that has a picker of its own (dates, times), as if it had been picked.
    pub(crate) fn picks(&self, css: &str, value: &str) {
        self.sees(css);
        let pick = "const field = document.querySelector(arguments[0]); field.value = arguments[1]; \
                    for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {bubbles: true}));";
        self.script(pick, &json!([css, value]));
    }

    fn tries(&self, css: &str, deed: impl Fn(&str) -> Result<Value, Refused>) {
        let last = RefCell::new(String::new());
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.element(css).and_then(|id| deed(&id)) {
                Ok(_) => return,
                Err(refused) if NOT_YET.contains(&refused.error.as_str()) => last.replace(refused.message),
                Err(refused) => self.fail(&format!("{css}: {}", refused.message)),
            };
            if Instant::now() > deadline {
                self.fail(&format!("{css}, for {PATIENCE:?}: {}", last.borrow()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) fn presses(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.does("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}));
    }

    /// Presses a key while another one is held down.
    pub(crate) fn presses_with(&self, held: &str, key: &str) {
        let stroke = |kind: &str, key: &str| json!({"type": kind, "value": key});
        let strokes =
            [stroke("keyDown", held), stroke("keyDown", key), stroke("keyUp", key), stroke("keyUp", held)];
        self.does("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}));
    }

    /// Types text, wherever the focus is.
    pub(crate) fn writes(&self, text: &str) {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        self.presses(&letters.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The window as a picture, in base64.
    pub(crate) fn picture(&self, format: &Value) -> String {
        let taken = self.devtools("Page.captureScreenshot", format);
        taken["data"].as_str().expect("a picture").to_owned()
    }

    /// What the browser has logged since it was asked last: `browser` (its console) or `performance` (its network).
    pub(crate) fn log(&self, kind: &str) -> Result<Vec<Value>, Refused> {
        match self.command(Method::POST, "/se/log", Some(&json!({"type": kind})))? {
            Value::Array(entries) => Ok(entries),
            other => Err(Refused::new("no log", &other)),
        }
    }

    /// The site.
    pub(crate) fn site(&self) -> &str {
        &self.site
    }

    /// Ends the test, and says what was on the screen.
    pub(crate) fn fail(&self, why: &str) -> ! {
        let ask = json!({"script": "return [location.href, document.body.innerText];", "args": []});
        let page = self.command(Method::POST, "/execute/sync", Some(&ask)).unwrap_or_default();
        let text: String = page[1].as_str().unwrap_or_default().chars().take(SHOWN_CHARS).collect();
        panic!("{why}\nat {}:\n{text}\n", page[0]);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let troubles = trouble::all(self, &self.expected.borrow());
        let _ = self.driver.command(Method::DELETE, &format!("/session/{}", self.session), None);
        if std::thread::panicking() {
            println!("the browser complained: {troubles:#?}");
        } else {
            assert!(troubles.is_empty(), "the browser complained: {troubles:#?}");
        }
    }
}

fn capabilities(look: Look) -> Value {
    let mut arguments = vec![
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
        // A window without an address bar starts in half the time: the bar's popups are pages of their own.
        "--app=data:,",
        // Nobody but this machine can be reached, should somebody be asked.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        // The browser ends when the pipe to chromedriver does.
        "--remote-debugging-pipe",
    ];
    if rustix::process::geteuid().is_root() {
        arguments.push("--no-sandbox");
    }
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "timeouts": {"script": 30_000, "pageLoad": 60_000},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "goog:chromeOptions": {
            "args": arguments,
            "prefs": {"intl": {"accept_languages": look.languages}},
            "perfLoggingPrefs": {"enableNetwork": true, "enablePage": false},
        },
    }}})
}
