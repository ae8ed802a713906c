//! How a Redis journal connects, waits and keeps.
//! Never holds the address: that comes as a URL, which may hold a secret.

use std::time::Duration;

/// How a Redis journal connects, waits and keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// First part of every key: `<prefix>:{<flight_id>}:journal`. No braces in it.
    pub prefix: String,
    /// How long a new connection may take until its first answer. Short, so that a server that has come back is
    /// found at once.
    pub connect_timeout: Duration,
    /// How long to wait for an answer before the connection is given up and the outcome counts as unknown. May be
    /// shorter than a stall of the server's disk: what had landed is found out when it is sent again.
    pub response_timeout: Duration,
    /// How many replicas must have a round before it is durable; 0: the primary alone decides.
    pub wait_replicas: u32,
    /// How long to wait for them.
    pub wait_timeout: Duration,
    /// So many of a flight's newest events stay, though the store has them.
    pub retain_events: u64,
    /// Whether events that no snapshot covers stay, though the store has them, so that a flight can come up from
    /// Redis alone. Without anybody who calls `put_snapshot`, nothing is ever trimmed then.
    pub trim_needs_snapshot: bool,
    /// How often it is looked at how the server is set up, beside every new connection. By whoever asks for claims.
    pub check_every: Duration,
    /// Whether nothing is appended as long as the server is not set up to keep it.
    pub refuse_unsafe: bool,
    /// Whether what was confirmed of late is kept in memory, so that a new primary that lacks it gets it again.
    pub heals: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "farerush".into(),
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_secs(2),
            wait_replicas: 0,
            wait_timeout: Duration::from_millis(500),
            retain_events: 10_000,
            trim_needs_snapshot: true,
            check_every: Duration::from_secs(60),
            refuse_unsafe: false,
            heals: false,
        }
    }
}
