//! What can go wrong with a store, sorted by what helps: waiting, trying again at once, or a person.
//! Never retries anything itself.

use std::error::Error;

use farerush_engine::flight::FlightId;

/// The cause of a store's error.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is locked or full, or did not answer in time. The same call may be made again; a
    /// flush that had committed after all is then found to be stored already.
    #[error("store unavailable: {what}")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// Another writer came in between; nothing was changed. The same call may be made again at once.
    #[error("store conflict: {what}")]
    Conflict {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// A rule of the tables forbids these rows; nothing was changed, and trying again will not help.
    #[error("store rejected rows: {what}")]
    Rejected {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// It holds something that cannot be read.
    #[error("store damaged: {what}")]
    Damaged {
        /// The flight concerned, if it is only one.
        flight_id: Option<FlightId>,
        /// Which row of which table, and what is wrong with it.
        what: String,
        /// Why it cannot be read.
        #[source]
        source: Option<Cause>,
    },
    /// Its tables are not the ones this version works with.
    #[error("store schema: {what}")]
    Schema {
        /// What is wrong.
        what: String,
        /// Why it failed.
        #[source]
        source: Option<Cause>,
    },
    /// The setting does not name a store.
    #[error("store setting: {what}")]
    Setting {
        /// What is wrong with it, without secrets.
        what: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Conflict { .. })
    }

    pub(super) fn unapplied(error: sqlx::migrate::MigrateError) -> Self {
        Self::Schema { what: "applying migrations failed".to_owned(), source: Some(Box::new(error)) }
    }

    pub(super) fn damaged(flight_id: Option<&FlightId>, what: impl Into<String>) -> Self {
        Self::Damaged { flight_id: flight_id.cloned(), what: what.into(), source: None }
    }
}
