//! Which hosts this server answers as: its own addresses, the loopback names, and what the setting `hosts` adds.
//! Never resolves a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest host that is looked at, in bytes: longer than any name in the DNS.
const HOST_BYTES_MAX: usize = 255;

/// The hosts that requests may be for. A port never matters: whoever listens somewhere else is asked somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    /// In lower case; addresses as they are usually written, too, so that they need not be read.
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Where it listens on all of a machine's addresses: a browser goes to the address that stands in its address bar,
    /// so that no name of somebody else's can lead it there.
    any_address: bool,
    any: bool,
}

impl Hosts {
    /// Reads the setting: `none`, `*`, or names and addresses with commas between them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut hosts = Self::default();
        match text.trim() {
            "none" => {}
            "*" => hosts.any = true,
            list => list.split(',').try_for_each(|one| hosts.add(one.trim()))?,
        }
        Ok(hosts)
    }

    /// Every host: for a port that changes nothing.
    pub fn every() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Adds what the server is called because it listens there: `written` is the setting, `address` what it means.
    #[must_use]
    pub fn listening_on(mut self, written: &str, address: SocketAddr) -> Self {
        self.names.push("localhost".to_owned());
        self.add_address(Ipv4Addr::LOCALHOST.into());
        self.add_address(Ipv6Addr::LOCALHOST.into());
        self.any_address |= address.ip().to_canonical().is_unspecified();
        self.add_address(address.ip());
        if let Some((name, _port)) = written.rsplit_once(':')
            && is_name(name.as_bytes())
        {
            self.names.push(name.to_ascii_lowercase());
        }
        self
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = |why: &str| {
            Err(format!("{text:?} is no host: {why}; a host is such as shop.example or 10.0.0.5"))
        };
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            self.add_address(address);
            return Ok(());
        }
        match text {
            "*" => return wrong("* stands alone"),
            _ if text.contains("://") => return wrong("leave http:// or https:// away"),
            _ if text.contains(':') => return wrong("leave the port away, every port goes"),
            _ if !is_name(text.as_bytes()) => {
                return wrong("a name has letters, digits, '-', '.' and '_' (Punycode, if it is not ASCII)");
            }
            _ => self.names.push(text.to_ascii_lowercase()),
        }
        Ok(())
    }

    fn add_address(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if !self.addresses.contains(&address) {
            self.names.push(address.to_string());
            self.addresses.push(address);
        }
    }

    /// Whether this server answers as this host, which stands without a port.
    pub fn allow(&self, host: &[u8]) -> bool {
        if self.any || self.names.iter().any(|name| host.eq_ignore_ascii_case(name.as_bytes())) {
            return true;
        }
        let address = std::str::from_utf8(host).ok().and_then(|host| host.parse::<IpAddr>().ok());
        address.is_some_and(|address| self.any_address || self.addresses.contains(&address.to_canonical()))
    }
}

fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
}

/// A host and a port, as a `Host` header or an origin has them: `[::1]:8080` is `::1` and 8080.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Without the brackets of an IPv6 address.
    pub host: &'a [u8],
    /// If one is written.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes it apart; `None` if that is no host with a port.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        if text.len() > HOST_BYTES_MAX {
            return None;
        }
        let (host, rest) = match text.strip_prefix(b"[") {
            Some(rest) => {
                let end = rest.iter().position(|byte| *byte == b']')?;
                let is_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
                let host = &rest[..end];
                (host.iter().all(is_address).then_some(host)?, &rest[end + 1..])
            }
            None => {
                let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
                (is_name(&text[..end]).then(|| &text[..end])?, &text[end..])
            }
        };
        if host.is_empty() {
            return None;
        }
        let port = match rest.strip_prefix(b":") {
            None if rest.is_empty() => None,
            None => return None,
            Some(b"") => None,
            Some(digits) if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
                Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &Hosts, text: &str) -> bool {
        Authority::read(text.as_bytes()).is_some_and(|authority| hosts.allow(authority.host))
    }

    #[test]
    fn a_server_answers_as_its_address_the_loopback_names_and_what_was_added() {
        let hosts = Hosts::parse("Shop.example, 10.0.0.5,[fd00::1]").unwrap();
        let hosts = hosts.listening_on("127.0.0.1:8080", "127.0.0.1:8080".parse().unwrap());
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:9",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]:1",
            "shop.EXAMPLE:443",
            "10.0.0.5",
            "[fd00::1]:80",
            "localhost:",
        ] {
            assert!(allowed(&hosts, host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "127.0.0.2",
            "10.0.0.6",
            "shop.example.evil",
            "127.1",
            "2130706433",
            "",
            ":8080",
            "localhost:99999",
            "localhost:x",
            "user@localhost",
            "localhost/",
            "[::1",
            "[localhost]",
            "::1",
            "localhost, evil",
            "loc\u{e4}lhost",
        ] {
            assert!(!allowed(&hosts, host), "{host}");
        }
    }

    #[test]
    fn one_that_listens_everywhere_answers_as_every_address_and_as_no_other_name() {
        for listen in ["0.0.0.0:8080", "[::]:8080"] {
            let hosts = Hosts::default().listening_on(listen, listen.parse().unwrap());
            assert!(allowed(&hosts, "192.0.2.7:8080") && allowed(&hosts, "[2001:db8::7]"), "{listen}");
            assert!(allowed(&hosts, "localhost") && !allowed(&hosts, "shop.example"), "{listen}");
        }
        let named = Hosts::default().listening_on("Gate.internal:80", "10.0.0.9:80".parse().unwrap());
        assert!(allowed(&named, "gate.internal") && allowed(&named, "10.0.0.9"));
        assert!(!allowed(&named, "10.0.0.8"));
        assert!(allowed(&Hosts::parse("*").unwrap(), "anybody.example"));
    }

    #[test]
    fn what_is_no_host_is_an_error_that_says_why() {
        for (text, why) in [
            ("shop.example:443", "port"),
            ("https://shop.example", "leave http"),
            ("shop.example,*", "stands alone"),
            ("", "letters"),
            ("a.example,,b.example", "letters"),
            ("*.shop.example", "letters"),
            ("sh\u{f6}p.example", "Punycode"),
        ] {
            let error = Hosts::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
