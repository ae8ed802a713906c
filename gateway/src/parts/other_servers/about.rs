//! What a server says of itself to the others, beside its lease.
//! Never believes more of it than it says: another version may say less.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What others may know of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What it is called.
    pub server: String,
    /// Where it takes what others hand on to it; `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// Whether it gives its flights away and takes none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
    /// How many flights it serves.
    #[serde(default)]
    pub flights: usize,
    /// How many requests its flights have under way.
    #[serde(default)]
    pub under_way: u32,
    /// Its version; empty if it does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

impl About {
    /// A server of which only its name is known.
    pub fn named(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            peer: None,
            leaves: false,
            flights: 0,
            under_way: 0,
            version: String::new(),
        }
    }

    /// As it stands beside the lease.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| self.server.clone())
    }

    /// What another one has written.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::named(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_itself_is_read_as_it_was_meant_and_from_older_ones_as_their_name() {
        let about = About {
            server: "one".to_owned(),
            peer: Some("[::1]:70".parse().unwrap()),
            leaves: true,
            flights: 7,
            under_way: 3,
            version: "1.2.3".to_owned(),
        };
        assert_eq!(About::read(&about.write()), about);
        assert_eq!(About::read("host-17"), About::named("host-17"));
        assert_eq!(About::read("{\"server\":\"a\",\"later\":1}"), About::named("a"));
    }
}
