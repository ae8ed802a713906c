//! What keeps people out: axe-core looks over a page as it stands on the screen.
//! Never lets a serious or critical finding pass.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::browser::{Browser, Look};

/// axe-core, as `npm ci` puts it there.
static AXE: LazyLock<String> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{path}: {error}; `npm ci` in gateway/tests/browser brings it"))
});
/// Runs it, and gives `[rule, impact, help, first elements]` of each finding.
const RUN: &str = "return axe.run(document, {resultTypes: ['violations'], ...arguments[0]}).then(({violations}) => \
                   violations.map((one) => [one.id, one.impact, one.help, \
                   one.nodes.slice(0, 4).map((node) => node.html.slice(0, 200) + ' | ' + node.failureSummary)]));";

/// Looks at the page in light and in dark, where nothing but the colours is different; `state` says what it shows.
pub(crate) fn everybody_can_use(browser: &Browser, look: Look, state: &str) {
    let everything = (Look { is_dark: false, ..look }, json!({}));
    let colours = (look.dark(), json!({"runOnly": ["color-contrast"]}));
    for (look, options) in [everything, colours] {
        browser.show_as(look);
        let found = findings(browser, &options);
        let light = if look.is_dark { "dark" } else { "light" };
        assert!(found.is_empty(), "{state}, {light}, at {}: {found:#?}", browser.value("location.pathname"));
    }
    browser.show_as(look);
}

fn findings(browser: &Browser, options: &Value) -> Vec<Value> {
    if browser.value("!window.axe") == true {
        browser.script(&AXE, &json!([]));
    }
    let Value::Array(found) = browser.script(RUN, &json!([options])) else { panic!("axe-core gave no list") };
    found.into_iter().filter(|one| matches!(one[1].as_str(), Some("serious" | "critical"))).collect()
}
