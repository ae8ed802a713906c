//! What a browser complained about, and whom it asked.
//! Never overlooks anything but what a test said would come.

use serde_json::Value;

use crate::browser::Browser;

/// All complaints since the last call: errors and warnings in the console (scripts that failed, what the page's policy
/// forbids, requests that came to nothing), and requests to anybody but the site.
pub(crate) fn all(browser: &Browser, expected: &[&str]) -> Vec<String> {
    let (console, network) = match (browser.log("browser"), browser.log("performance")) {
        (Ok(console), Ok(network)) => (console, network),
        (Err(refused), _) | (_, Err(refused)) => return vec![format!("its log cannot be read: {refused:?}")],
    };
    let mut found = Vec::new();
    for entry in console {
        let message = entry["message"].as_str().unwrap_or_default();
        let is_grave = matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        if is_grave && !expected.iter().any(|part| message.contains(part)) {
            found.push(format!("{}: {message}", entry["source"].as_str().unwrap_or("?")));
        }
    }
    for address in requests(&network) {
        let is_inside = ["data:", "blob:", "about:"].iter().any(|scheme| address.starts_with(scheme));
        let is_ours = address.strip_prefix(browser.site()).is_some_and(|rest| rest.starts_with('/'));
        if !is_inside && !is_ours {
            found.push(format!("asked another host: {address}"));
        }
    }
    found
}

/// The addresses of all requests that the browser began.
pub(crate) fn requests(log: &[Value]) -> Vec<String> {
    let sent = |entry: &Value| {
        let text = entry["message"].as_str()?;
        let event: Value = serde_json::from_str(text).ok()?;
        let event = &event["message"];
        (event["method"] == "Network.requestWillBeSent")
            .then(|| event["params"]["request"]["url"].as_str().map(str::to_owned))?
    };
    log.iter().filter_map(sent).collect()
}
