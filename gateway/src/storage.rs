//! Opens what the settings name: the data directory, the journal, the store; waits for servers that are not up yet.
//! Never reads an event or a row, and never shows a password.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::journal::{Journal, JournalError};
use farerush_persistence::journal::{
    EmbeddedJournal, EmbeddedOptions, MemoryJournal, RedisJournal, RedisOptions,
};
use farerush_persistence::recovery::RecoveryError;
use farerush_persistence::store::{Store, StoreError, StoreOptions};

use crate::auth::JwtError;
use crate::config::{JournalTarget, Settings, StoreTarget};
use crate::traces::TracesError;
use crate::webhooks::WebhookError;

/// First pause before a server is tried again; each further one is twice as long.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How often it is said what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long one attempt to reach a MySQL server takes at most.
const STORE_ATTEMPT: Duration = Duration::from_secs(5);

/// Why the program could not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}", path = .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process works on the data directory.
    #[error("another farerush process uses {path}: stop it first, or give this one a --data-dir of its own", path = .0.display())]
    InUse(PathBuf),
    /// The admin's token cannot be read or made.
    #[error("cannot obtain the admin token in {path}", path = .path.display())]
    AdminToken {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Customers' tokens cannot be checked.
    #[error("cannot check customers' tokens (customer_auth is jwt)")]
    CustomerTokens(#[source] JwtError),
    /// Everybody could order for everybody.
    #[error(
        "customer_auth is open, so whoever reaches {address} may order for anybody and see anybody's orders. Have \
         customers show who they are (--customer-auth jwt), or listen on 127.0.0.1 behind a front of your own, or say \
         that it is meant so: --allow-open"
    )]
    OpenToAll {
        /// The address that others can reach.
        address: std::net::SocketAddr,
    },
    /// Traces cannot be sent, whatever the collector says.
    #[error("cannot start traces; without `otlp_endpoint` there are none")]
    Traces(#[source] TracesError),
    /// Webhooks cannot be sent, though that is wanted.
    #[error("cannot send webhooks")]
    Webhooks(#[from] WebhookError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error("cannot open the journal")]
    Journal(#[from] JournalError),
    /// The store cannot be opened or brought up to date.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// Journal or store cannot be read.
    #[error("cannot recover")]
    Recovery(#[from] RecoveryError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The demo flights cannot be created.
    #[error("cannot create the demo flights: {0}")]
    Demo(String),
    /// Redis may lose what it confirms.
    #[error(
        "Redis is not set up to keep what it confirms, so that acknowledged orders could be lost: {}. Set \
         `appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no` and `maxmemory-policy noeviction` in its \
         configuration, or start with --redis-allow-unsafe true if that loss is acceptable",
        .0.join("; ")
    )]
    UnsafeRedis(Vec<String>),
    /// A server did not come up in time.
    #[error("gave up after waiting {} s for {what}", .waited.as_secs())]
    GaveUp {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// What the last attempt failed with.
        #[source]
        source: Box<StartError>,
    },
}

impl StartError {
    /// Whether the store is what failed.
    pub fn is_of_store(&self) -> bool {
        match self {
            Self::Store(_) | Self::Recovery(RecoveryError::Store(_)) => true,
            Self::GaveUp { source, .. } => source.is_of_store(),
            _ => false,
        }
    }

    /// Whether a server may only not be up yet.
    fn may_pass(&self, settings: &Settings) -> bool {
        match self {
            Self::Journal(error) | Self::Recovery(RecoveryError::Journal(error)) => {
                matches!(settings.journal, JournalTarget::Redis(_))
                    && matches!(error, JournalError::Unavailable { .. })
            }
            Self::Store(error) | Self::Recovery(RecoveryError::Store(error)) => {
                matches!(settings.store, StoreTarget::MySql(_)) && error.is_transient()
            }
            _ => false,
        }
    }

    fn waits_for(&self, settings: &Settings) -> String {
        match (&settings.journal, &settings.store, self.is_of_store()) {
            (_, StoreTarget::MySql(url), true) => shown(url.expose()),
            (JournalTarget::Redis(url), _, _) => shown(url.expose()),
            _ => "journal and store".to_owned(),
        }
    }
}

/// A server's URL without user, password and options.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{}", place.split('?').next().unwrap_or_default())
}

/// Makes attempts until one succeeds or fails for good, or until the time is over; says what it waits for.
pub async fn wait_for<T>(
    settings: &Settings,
    until: Instant,
    mut attempt: impl AsyncFnMut() -> Result<T, StartError>,
) -> Result<T, StartError> {
    let began = Instant::now();
    let mut pause = RETRY_MIN;
    let mut said: Option<Instant> = None;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !error.may_pass(settings) {
            return Err(error);
        }
        let what = error.waits_for(settings);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(StartError::GaveUp { what, waited: began.elapsed(), source: Box::new(error) });
        }
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            let (why, left_s) = (in_full(&error), left.as_secs());
            tracing::warn!(why, left_s, "waiting for {what}");
            said = Some(Instant::now());
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// An error with all its causes, in one line.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The data directory, held by this process for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be and takes it for this process.
    pub fn take(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("farerush.lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// A journal that was opened, and why what it confirms may not survive, if so.
pub struct OpenedJournal {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// A sentence each.
    pub complaints: Vec<String>,
}

/// Opens the journal; waits for a Redis server until `until`.
pub async fn open_journal(settings: &Settings, until: Instant) -> Result<OpenedJournal, StartError> {
    let without_complaints = |journal: Arc<dyn Journal>| OpenedJournal { journal, complaints: Vec::new() };
    match &settings.journal {
        // Reads all of it.
        JournalTarget::File(directory) => {
            let open = || EmbeddedJournal::open(directory, EmbeddedOptions::default());
            Ok(without_complaints(Arc::new(tokio::task::block_in_place(open)?)))
        }
        JournalTarget::Memory => Ok(without_complaints(Arc::new(MemoryJournal::new()))),
        JournalTarget::Redis(url) => {
            let options =
                RedisOptions { wait_replicas: settings.redis_wait_replicas, ..RedisOptions::default() };
            let open = async || {
                let (url, options) = (url.clone(), options.clone());
                let opening = tokio::task::spawn_blocking(move || RedisJournal::open(url.expose(), options));
                let journal =
                    opening.await.map_err(|error| StartError::Thread(std::io::Error::other(error)))??;
                Ok(journal)
            };
            let journal = wait_for(settings, until, open).await?;
            let complaints = journal.complaints().to_vec();
            Ok(OpenedJournal { journal: Arc::new(journal), complaints })
        }
    }
}

/// Opens the store; its tables may still have to be made. Fails at once if a MySQL server does not answer, unless it
/// need not.
pub async fn open_store(settings: &Settings, must_answer: bool) -> Result<Store, StartError> {
    let options = StoreOptions {
        connections_max: settings.store_connections,
        timeout: STORE_ATTEMPT.min(settings.start_timeout).max(Duration::from_millis(100)),
        must_answer,
        ..StoreOptions::default()
    };
    let path = match &settings.store {
        StoreTarget::Sqlite(path) => path,
        StoreTarget::MySql(url) => {
            let read_url = settings.store_read.as_ref().map(crate::config::Secret::expose);
            return Ok(Store::open_with_read(url.expose(), read_url, &options).await?);
        }
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let failed = |source| StartError::DataDir { path: parent.to_owned(), source };
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    Ok(Store::open(&format!("sqlite:{}", path.display()), &options).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, expected) in [
            ("redis://:secret@host:6379/0", "redis://host:6379/0"),
            ("redis://host", "redis://host"),
            ("mysql://user:se@cret@host:3306/db?ssl-mode=REQUIRED", "mysql://host:3306/db"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
