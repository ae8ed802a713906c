//! Where the server is: an `http://` URL, taken apart and looked up.
//! Never opens a connection.

use std::net::{SocketAddr, ToSocketAddrs};

/// The address of a server, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    authority: String,
    base: String,
    port_given: bool,
}

impl Address {
    /// Understands `http://host[:port][/path]`; the path stands in front of all others.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(format!(
                    "{url}: https is not spoken here; use http:// on the server's own port, behind whatever ends TLS"
                ));
            }
            _ => return Err(format!("{url}: must be an address such as http://127.0.0.1:8080")),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let odd = |byte: char| "?#@".contains(byte);
        if authority.is_empty() || !visible(rest) || rest.contains(odd) {
            return Err(format!("{url}: must be http://host[:port], without user, query or fragment"));
        }
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
        let port_given = match after_host.rsplit_once(':') {
            None => false,
            Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => true,
            Some((_, port)) => return Err(format!("{url}: {port:?} is no port")),
        };
        Ok(Self { authority: authority.to_owned(), base: path.trim_end_matches('/').to_owned(), port_given })
    }

    /// `host[:port]`, as the `Host` header has it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands in front of all paths; empty, or `/prefix`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Looks it up.
    pub fn resolve(&self) -> std::io::Result<SocketAddr> {
        let found = if self.port_given {
            self.authority.to_socket_addrs()
        } else {
            format!("{}:80", self.authority).to_socket_addrs()
        };
        found?.next().ok_or_else(|| std::io::Error::other("the name has no address"))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address = Address::parse("http://localhost:81/air/").unwrap();
        assert_eq!((address.authority(), address.base()), ("localhost:81", "/air"));
        assert_eq!(address.to_string(), "http://localhost:81/air");
        assert_eq!(Address::parse("http://127.0.0.1").unwrap().resolve().unwrap().port(), 80);
        assert_eq!(Address::parse("http://[::1]:9").unwrap().resolve().unwrap().port(), 9);
        assert_eq!(Address::parse("http://[::1]").unwrap().resolve().unwrap().port(), 80);
        for bad in ["", "localhost:80", "http://", "http://h:port", "http://u@h", "http://h?x", "http://h:0"]
        {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
