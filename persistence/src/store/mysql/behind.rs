//! Which server stands behind a name. A primary moves: the name leads to another one, and connections that were made
//! before lead to the old one still, which can be read and is not told of what happens. Never connects by itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What connections have found behind a name; shared by the pools that lead there.
#[derive(Debug, Default)]
pub(super) struct Behind(Mutex<ServerFound>);

#[derive(Debug, Default)]
struct ServerFound {
    /// What the newest connection that writes was told; empty if the server does not say.
    server: Option<String>,
    /// Connections made before this are given up.
    moved: Option<Instant>,
}

impl Behind {
    /// A new connection that is to write leads to this server.
    pub(super) fn leads_to(&self, server: String) {
        let mut found = self.0.lock();
        if found.server.as_ref().is_some_and(|known| *known != server) {
            found.moved = Some(Instant::now());
            tracing::warn!(server, was = found.server, "another server stands behind the store's name now");
        }
        found.server = Some(server);
    }

    /// A server refused to write: it may not be the primary any more.
    pub(super) fn is_read_only(&self) {
        self.0.lock().moved = Some(Instant::now());
    }

    /// Whether a connection of this age may lead to a server that is not the primary any more.
    pub(super) fn is_outdated(&self, age: Duration) -> bool {
        self.0.lock().moved.is_some_and(|moved| moved.elapsed() < age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(3_600);

    #[test]
    fn what_was_connected_before_the_server_changed_is_given_up_and_nothing_else() {
        let behind = Behind::default();
        behind.leads_to("a:3306".to_owned());
        behind.leads_to("a:3306".to_owned());
        assert!(!behind.is_outdated(AGE));
        behind.leads_to("b:3306".to_owned());
        assert!(behind.is_outdated(AGE) && !behind.is_outdated(Duration::ZERO));
    }

    #[test]
    fn a_server_that_does_not_write_is_looked_for_anew() {
        let behind = Behind::default();
        behind.is_read_only();
        assert!(behind.is_outdated(AGE) && !behind.is_outdated(Duration::ZERO));
    }
}
