//! What the settings say about registration with Consul, checked.
//! Never shows a token in a message.

use std::net::SocketAddr;

use reqwest::Url;
use serde_json::json;

use crate::base::settings::{ConfigError, Secret, Values};

/// Longest name of a service: it is one part of a name in DNS.
const SERVICE_CHARS_MAX: usize = 63;
/// How often Consul is to ask whether this server is ready.
const ASKED_EVERY: &str = "2s";
/// How long it is to wait for the answer.
const ASKED_FOR: &str = "1s";
/// After so long without a good answer Consul forgets the server. Longer than what a server comes back from: one that is
/// there and was forgotten registers itself again.
const FORGOTTEN_AFTER: &str = "10m";

/// What is said about Consul in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulSettings {
    /// The agent, without a slash at the end.
    pub url: String,
    /// The name of the service that this server is one of.
    pub service: String,
    /// Where others reach this server, if that is not what it listens on: host, and port.
    pub address: Option<(String, Option<u16>)>,
    /// What Consul is to ask; `None`: /readyz of the operators' port, or of the main one.
    pub check: Option<String>,
    /// The token that the agent wants to see.
    pub token: Option<Secret>,
    /// What this server is called, if it was said.
    pub instance: Option<String>,
}

impl ConsulSettings {
    /// Checks the settings that begin with `consul`; `None` if this server is not to register itself.
    pub fn from_values(values: &Values) -> Result<Option<Self>, ConfigError> {
        let url = values.parse("consul", |text| match text {
            "none" => Ok(None),
            _ => agent(text).map(Some),
        })?;
        let service = values.parse("consul_service", service)?;
        let given = |name: &str| values.text(name).is_some_and(|text| text != "none");
        let address = match given("consul_address") {
            true => Some(values.parse("consul_address", reached_at)?),
            false => None,
        };
        let check = match given("consul_check") {
            true => Some(values.parse("consul_check", check)?),
            false => None,
        };
        let token = match given("consul_token") {
            true => Some(values.parse("consul_token", token)?),
            false => None,
        };
        let instance = values.text("instance").map(str::to_owned);
        Ok(url.map(|url| Self { url, service, address, check, token, instance }))
    }
}

/// What this server tells Consul of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// One of its kind among those of an agent.
    pub(super) id: String,
    pub(super) service: String,
    /// Empty: the agent's own.
    pub(super) address: String,
    pub(super) port: u16,
    check: String,
    instance: String,
}

impl Entry {
    /// What is told by a server that listens there.
    pub(super) fn of(
        settings: &ConsulSettings,
        instance: &str,
        listens: SocketAddr,
        ops: Option<SocketAddr>,
    ) -> Self {
        let own = |address: SocketAddr| (!address.ip().is_unspecified()).then(|| address.ip().to_string());
        let said = settings.address.as_ref();
        let address = said.map(|(host, _)| host.clone()).or_else(|| own(listens)).unwrap_or_default();
        let port = said.and_then(|(_, port)| *port).unwrap_or(listens.port());
        let asked = ops.unwrap_or(listens);
        let asked_at = own(asked).unwrap_or_else(|| match address.as_str() {
            // The agent is on this machine, as agents are.
            "" => "127.0.0.1".to_owned(),
            address => address.to_owned(),
        });
        let check = settings.check.clone().unwrap_or_else(|| {
            let host = if asked_at.contains(':') { format!("[{asked_at}]") } else { asked_at };
            format!("http://{host}:{}/readyz", asked.port())
        });
        // The same after a restart, so that it takes its own place.
        let named = settings.instance.clone().unwrap_or_else(|| {
            let place = if address.is_empty() { instance } else { address.as_str() };
            format!("{}-{port}", place.replace(':', "-"))
        });
        Self {
            id: format!("{}-{named}", settings.service),
            service: settings.service.clone(),
            address,
            port,
            check,
            instance: instance.to_owned(),
        }
    }

    /// As Consul's API wants it.
    pub(super) fn body(&self) -> String {
        json!({
            "ID": self.id,
            "Name": self.service,
            "Address": self.address,
            "Port": self.port,
            "Meta": {"version": env!("CARGO_PKG_VERSION"), "instance": self.instance},
            "Check": {
                "Name": "ready",
                "HTTP": self.check,
                "Method": "GET",
                "Interval": ASKED_EVERY,
                "Timeout": ASKED_FOR,
                "DeregisterCriticalServiceAfter": FORGOTTEN_AFTER,
            },
        })
        .to_string()
    }

    /// Whether that is how an agent has it, by its own answer.
    pub(super) fn is_as_in(&self, answer: &[u8]) -> bool {
        let Ok(known) = serde_json::from_slice::<serde_json::Value>(answer) else { return false };
        known["Service"] == self.service.as_str()
            && known["Port"] == self.port
            && known["Address"].as_str().unwrap_or_default() == self.address
            && known["Meta"]["instance"] == self.instance.as_str()
    }
}

fn agent(text: &str) -> Result<String, String> {
    const MESSAGE: &str = "must be the address of a Consul agent, such as http://127.0.0.1:8500";
    let url = Url::parse(text).map_err(|_| MESSAGE.to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
        return Err(MESSAGE.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a password: give the agent's token as consul_token".to_owned());
    }
    if url.fragment().is_some() {
        return Err(MESSAGE.to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn service(text: &str) -> Result<String, String> {
    let fits = (1..=SERVICE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    match fits {
        true => Ok(text.to_owned()),
        false => Err("must be 1 to 63 letters, digits and hyphens, as a name in DNS".to_owned()),
    }
}

/// `host` or `host:port`; an IPv6 address with a port in brackets.
fn reached_at(text: &str) -> Result<(String, Option<u16>), String> {
    let message =
        || "must be an address or a name, with :port if it is another one, such as 10.0.0.5:8080".to_owned();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), Some(address.port())));
    }
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok((address.to_string(), None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| message())?)),
        None => (text, None),
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if is_name { Ok((host.to_owned(), port)) } else { Err(message()) }
}

fn check(text: &str) -> Result<String, String> {
    let message = || "must be a URL that Consul can ask, such as http://10.0.0.5:9101/readyz".to_owned();
    let url = Url::parse(text).map_err(|_| message())?;
    let is_one = matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    if is_one { Ok(text.to_owned()) } else { Err(message()) }
}

fn token(text: &str) -> Result<Secret, String> {
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(Secret::new(text)) } else { Err("must be visible characters without spaces".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(changes: &[(&'static str, &str)]) -> Result<Option<ConsulSettings>, String> {
        let mut values = Values::default();
        for (name, value) in changes {
            values.set(name, *value);
        }
        ConsulSettings::from_values(&values).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_agent_service_or_address_is_refused_without_a_secret() {
        assert_eq!(settings(&[]).unwrap(), None);
        for (name, value, why) in [
            ("consul", "127.0.0.1:8500", "must be the address of a Consul agent"),
            ("consul", "unix:///run/consul.sock", "must be the address of a Consul agent"),
            ("consul", "http://u:hush@h:8500", "consul_token"),
            ("consul", "http://h:8500/?token=hush", "must be the address of a Consul agent"),
            ("consul_service", "fare rush", "letters, digits and hyphens"),
            ("consul_service", "", "letters, digits and hyphens"),
            ("consul_address", "10.0.0.5:port", "must be an address or a name"),
            ("consul_address", "a/b", "must be an address or a name"),
            ("consul_check", "/readyz", "must be a URL"),
            ("consul_token", "hush hush", "visible characters"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{name} {value}: {error}");
        }
    }

    fn entry(changes: &[(&'static str, &str)], listens: &str, ops: Option<&str>) -> Entry {
        let all = [&[("consul", "http://127.0.0.1:8500/")], changes].concat();
        let settings = settings(&all).unwrap().unwrap();
        assert_eq!(settings.url, "http://127.0.0.1:8500");
        let address = |text: &str| text.parse().unwrap();
        Entry::of(&settings, "host-17", address(listens), ops.map(address))
    }

    #[test]
    fn a_server_is_registered_where_others_reach_it_and_asked_where_consul_does() {
        let shown = |entry: Entry| (entry.id, entry.address, entry.port, entry.check);
        let text = str::to_owned;
        for (changes, listens, ops, (id, address, port, check)) in [
            (&[][..], "10.0.0.5:8080", None, ("farerush-10.0.0.5-8080", "10.0.0.5", 8080, "10.0.0.5:8080")),
            (
                &[],
                "10.0.0.5:80",
                Some("127.0.0.1:9"),
                ("farerush-10.0.0.5-80", "10.0.0.5", 80, "127.0.0.1:9"),
            ),
            (&[], "0.0.0.0:80", Some("0.0.0.0:9"), ("farerush-host-17-80", "", 80, "127.0.0.1:9")),
            (&[], "[::1]:80", None, ("farerush---1-80", "::1", 80, "[::1]:80")),
            (
                &[("consul_address", "shop.internal:443"), ("consul_service", "seats"), ("instance", "a")],
                "0.0.0.0:80",
                Some("0.0.0.0:9"),
                ("seats-a", "shop.internal", 443, "shop.internal:9"),
            ),
        ] {
            let expected = (text(id), text(address), port, format!("http://{check}/readyz"));
            assert_eq!(shown(entry(changes, listens, ops)), expected);
        }
        let asked = entry(&[("consul_check", "http://x/ready")], "0.0.0.0:80", None).check;
        assert_eq!(asked, "http://x/ready");
    }

    #[test]
    fn what_an_agent_knows_is_compared_with_what_it_was_told() {
        let entry = entry(&[], "10.0.0.5:8080", None);
        let known = |port: u16, instance: &str| {
            json!({"ID": entry.id, "Service": "farerush", "Address": "10.0.0.5", "Port": port,
                   "Meta": {"instance": instance}, "ContentHash": "4ecd29c7bc647ca8"})
            .to_string()
            .into_bytes()
        };
        assert!(entry.is_as_in(&known(8080, "host-17")));
        assert!(!entry.is_as_in(&known(8081, "host-17")));
        assert!(!entry.is_as_in(&known(8080, "host-16")), "that was another process");
        assert!(!entry.is_as_in(b"null") && !entry.is_as_in(b"<html>"));
    }
}
