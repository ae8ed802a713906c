//! How a store is opened, who asks it, and how its replica is doing.
//! Never opens anything.

use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::IdSecrets;
use tokio::sync::Semaphore;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Most connections for reading, of which admins' searches have at most half; at least 2. Writing has its own.
    pub connections_max: u32,
    /// How far a replica may be behind to be read from.
    pub replica_lag_max: Duration,
    /// How long to wait for a lock or a connection; MySQL counts locks in whole seconds.
    pub timeout: Duration,
    /// How long a MySQL server may take for one statement before its connection is given up for dead.
    pub statement_timeout: Duration,
    /// Whether a missing SQLite file is made.
    pub create: bool,
    /// Whether opening fails if a MySQL server does not answer; else the first call finds out.
    pub must_answer: bool,
    /// What the ids in its rows are made of; without it, no order can be stored.
    pub secrets: Option<Arc<IdSecrets>>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            connections_max: 4,
            replica_lag_max: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            create: true,
            must_answer: true,
            secrets: None,
        }
    }
}

impl StoreOptions {
    /// Connections for reading.
    pub(super) fn reading_connections(&self) -> u32 {
        self.connections_max.max(2)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A customer, for what is theirs: read by an index, and soon done.
    Customer,
    /// An admin, who may search for anything: has no more than half of the connections.
    Admin,
}

/// How a replica is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Where it is, without secrets.
    pub place: String,
    /// Whether it serves.
    pub state: ReplicaState,
    /// How far it is behind, about, as of the last look.
    pub lag: Duration,
    /// Reads that the primary served instead, since the start.
    pub fallbacks: u64,
}

/// Whether a replica serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaState {
    /// Lists come from it.
    Serving,
    /// It is further behind than it may be, or nobody knows yet how far: lists come from the primary.
    Behind,
    /// It does not answer: likewise.
    Away {
        /// For how long.
        for_time: Duration,
        /// What it, or the way to it, said last.
        error: String,
    },
}

/// Half of the connections, for those who may search for anything.
pub(super) fn admins_share(options: &StoreOptions) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((options.reading_connections() / 2) as usize))
}
