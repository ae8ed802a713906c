//! Opens what the settings name: the data directory, the journal, the store; waits for servers that are not up yet.
//! Never reads an event or a row, and never shows a password.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{IdSecrets, SecretId};
use farerush_engine::journal::{Journal, JournalError};
use farerush_persistence::files;
use farerush_persistence::journal::identity;
use farerush_persistence::journal::{
    EmbeddedJournal, EmbeddedOptions, JournalIdentity, MemoryJournal, RedisJournal, RedisOptions,
};
use farerush_persistence::recovery::RecoveryError;
use farerush_persistence::store::{Store, StoreError, StoreOptions};

use crate::base::errors::in_full;
use crate::observe::traces::TracesError;
use crate::parts::auth::AuthError;
use crate::parts::receipts::ReceiptsError;
use crate::parts::webhooks::WebhookError;
use crate::start::backups::BackupsError;
use crate::start::config::{JournalTarget, Settings, StoreTarget};
use crate::start::id_secrets::IdSecretsError;

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
    /// Something is not where a command looks for it that must not make it.
    #[error(
        "there is no {what} at {path}, and nothing was made: look at `data_dir`, `journal` and `store`, or start the \
         server once, which makes what is missing",
        path = .path.display()
    )]
    Missing {
        /// What.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Another process works on the data directory.
    #[error("another farerush process uses {path}: stop it first, or give this one a --data-dir of its own", path = .0.display())]
    InUse(PathBuf),
    /// Another process works on the store.
    #[error(
        "another farerush process uses the store {path}: stop it first, or give this one a --store of its own",
        path = .0.display()
    )]
    StoreInUse(PathBuf),
    /// The store belongs to another journal.
    #[error(
        "the store {store} belongs to another journal, {owner} ({owner_id}), and not to {ours}: with both in use the same \
         seats would be sold twice. Look at `journal` and `store`. Only if that journal is lost, and with it what it had \
         acknowledged and the store had not got yet, start once with --journal-adopt {owner_id}"
    )]
    OtherJournal {
        /// Which store.
        store: String,
        /// Where its journal is.
        owner: String,
        /// Which journal that is.
        owner_id: String,
        /// Where this one is.
        ours: String,
    },
    /// The store's journal is in use.
    #[error(
        "the store {store} belongs to the journal {owner}, which is in use: stop every process that has it before its \
         store is given to {ours}"
    )]
    OwnerLives {
        /// Which store.
        store: String,
        /// Where its journal is.
        owner: String,
        /// Where this one is.
        ours: String,
    },
    /// There is nothing of which ids could be made.
    #[error(transparent)]
    IdSecrets(#[from] IdSecretsError),
    /// The store's ids were made with a secret that is not known here.
    #[error(
        "ids in the store {store} were made with the secret {secret}, which this server does not have: it would make other \
         ids for the same orders. Give all servers of a store the same id_secret or id_secret_file (a server that runs has \
         it in id.secret of its data_dir); if that secret is lost, read docs/running.md, \"Secrets of ids\""
    )]
    OtherIdSecret {
        /// Which store.
        store: String,
        /// What the secret is called.
        secret: SecretId,
    },
    /// There are no receipts to check.
    #[error(transparent)]
    Receipts(#[from] ReceiptsError),
    /// There is no backup, or nothing was restored.
    #[error(transparent)]
    Backups(#[from] BackupsError),
    /// Nobody could be recognised.
    #[error(transparent)]
    Auth(#[from] AuthError),
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
    /// Consul cannot be asked at all, though that is wanted. An agent that is away is no such reason.
    #[error("cannot make the client that asks Consul; without `consul` none is needed")]
    Consul(#[source] reqwest::Error),
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

/// Name of the file that is locked in the data directory.
const DATA_LOCK: &str = "farerush.lock";

/// Takes from others what they may do in a data directory that an earlier start has used, or that is empty. Any other one
/// may be somebody's home: that is left as it is, and said.
fn close_up(path: &Path) -> std::io::Result<()> {
    let is_ours = path.join(DATA_LOCK).exists() || std::fs::read_dir(path)?.next().is_none();
    if is_ours && files::close_up(path)? {
        tracing::info!(data_dir = %path.display(), "others could look into the data directory; they cannot any more");
    }
    if files::is_open_to_others(path) {
        tracing::warn!(
            data_dir = %path.display(),
            "others can look into the data directory, where orders, tokens and secrets are: chmod 700 it"
        );
    }
    Ok(())
}

/// The data directory, held by this process for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, for its owner alone, and takes it for this process.
    pub fn take(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        files::make_folder(path).map_err(failed)?;
        close_up(path).map_err(failed)?;
        let lock = files::open_private(&path.join(DATA_LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// A SQLite store, held by this process for as long as this lives; other kinds of stores are shared.
#[derive(Debug)]
pub struct StoreLock {
    _lock: Option<File>,
}

impl StoreLock {
    /// Takes the store for this process, by a file beside the store's: on that one SQLite has locks of its own.
    pub fn take(settings: &Settings) -> Result<Self, StartError> {
        let StoreTarget::Sqlite(path) = &settings.store else { return Ok(Self { _lock: None }) };
        let failed = |source| StartError::DataDir { path: path.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::make_folder(folder).map_err(failed)?;
        }
        // By its real name, so that a link leads to the same lock.
        let mut name = path.canonicalize().unwrap_or_else(|_| path.clone()).into_os_string();
        name.push(".lock");
        let lock = files::open_private(Path::new(&name)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(StartError::StoreInUse(path.clone())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// A journal that was opened, and why what it confirms may not survive, if so.
pub struct OpenedJournal {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Which it is, if it says.
    pub identity: Option<JournalIdentity>,
    /// The same journal, if it is in Redis.
    pub redis: Option<Arc<RedisJournal>>,
    /// A sentence each.
    pub complaints: Vec<String>,
}

/// Opens the journal; waits for a Redis server until `until`.
pub async fn open_journal(settings: &Settings, until: Instant) -> Result<OpenedJournal, StartError> {
    open(settings, until, true).await
}

/// Which journal this server last had where it has its journal now.
///
/// A Redis that was emptied, or a folder that was, is the same journal to the server that had it: it lost what was in it,
/// which the start says, and goes on from the store. To a server that never had it, it is another one.
fn known_id(settings: &Settings) -> Option<String> {
    let text = std::fs::read_to_string(settings.data_dir.join(KNOWN_JOURNAL)).ok()?;
    let (place, id) = text.trim().rsplit_once(' ')?;
    (place == place_of(settings) && identity::is_id(id)).then(|| id.to_owned())
}

/// Notes which journal this server has, once the store is known to be that journal's.
pub fn note_journal(settings: &Settings, journal: &JournalIdentity) -> std::io::Result<()> {
    let path = settings.data_dir.join(KNOWN_JOURNAL);
    files::close_up(&path)?;
    if journal.is_memory() || known_id(settings).as_deref() == Some(journal.id.as_str()) {
        return Ok(());
    }
    let mut file = files::open_private(&path)?;
    file.set_len(0)?;
    writeln!(file, "{} {}", place_of(settings), journal.id)?;
    file.sync_all()
}

/// Where the journal is, without a password.
fn place_of(settings: &Settings) -> String {
    match &settings.journal {
        JournalTarget::File(directory) => format!("file:{}", directory.display()),
        JournalTarget::Memory => "memory:".to_owned(),
        JournalTarget::Redis(url) => redis_place(url.expose()),
    }
}

/// The same URL without user, password and files; of what follows the `?`, only a socket's database tells places apart.
fn redis_place(url: &str) -> String {
    let (scheme, rest) = url.split_once("//").unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    if scheme == "redis:" {
        return format!("{scheme}//{rest}");
    }
    let (place, keys) = rest.split_once('?').unwrap_or((rest, ""));
    let db =
        keys.split('&').find(|key| key.starts_with("db=")).map_or_else(String::new, |db| format!("?{db}"));
    format!("{scheme}//{place}{db}")
}

/// Name of the file in the data directory that says which journal this server has.
const KNOWN_JOURNAL: &str = "journal.known";

/// `make`: whether a journal that does not say which it is gets an id.
async fn open(settings: &Settings, until: Instant, make: bool) -> Result<OpenedJournal, StartError> {
    match &settings.journal {
        // Reads all of it.
        JournalTarget::File(directory) => {
            let open = || {
                if let Some(id) = known_id(settings) {
                    // It is the same journal, though it has lost what was in it.
                    let _ = identity::bring_back(directory, &id);
                }
                EmbeddedJournal::open(directory, EmbeddedOptions::default())
            };
            let journal = tokio::task::block_in_place(open)?;
            let identity = journal.identity().cloned();
            Ok(OpenedJournal { journal: Arc::new(journal), identity, redis: None, complaints: Vec::new() })
        }
        JournalTarget::Memory => {
            let identity = Some(JournalIdentity::of_memory().map_err(StartError::Thread)?);
            Ok(OpenedJournal {
                journal: Arc::new(MemoryJournal::new()),
                identity,
                redis: None,
                complaints: Vec::new(),
            })
        }
        JournalTarget::Redis(url) => {
            let options = RedisOptions {
                wait_replicas: settings.redis_wait_replicas,
                refuse_unsafe: !settings.may_lose_what_redis_loses(),
                heals: make,
                ..RedisOptions::default()
            };
            let known = known_id(settings).filter(|_| make);
            let open = async || {
                let (url, options, known) = (url.clone(), options.clone(), known.clone());
                let opening = tokio::task::spawn_blocking(move || {
                    let journal = RedisJournal::open(url.expose(), options)?;
                    if let Some(id) = known {
                        journal.keep_identity(&id)?;
                    }
                    let identity = journal.identity(make)?;
                    Ok::<_, JournalError>((journal, identity))
                });
                Ok(opening.await.map_err(|error| StartError::Thread(std::io::Error::other(error)))??)
            };
            let (journal, identity) = wait_for(settings, until, open).await?;
            let (complaints, journal) = (journal.complaints(), Arc::new(journal));
            Ok(OpenedJournal { journal: journal.clone(), identity, redis: Some(journal), complaints })
        }
    }
}

/// Opens a journal that is there, for those who only look; makes nothing.
pub async fn look_into_journal(settings: &Settings, until: Instant) -> Result<OpenedJournal, StartError> {
    let JournalTarget::File(directory) = &settings.journal else {
        return self::open(settings, until, false).await;
    };
    if !directory.is_dir() {
        return Err(StartError::Missing { what: "journal", path: directory.clone() });
    }
    let options = EmbeddedOptions { prepare_in_background: false, ..EmbeddedOptions::default() };
    let open = || EmbeddedJournal::open_existing(directory, options);
    let journal = tokio::task::block_in_place(open)?;
    let identity = journal.identity().cloned();
    Ok(OpenedJournal { journal: Arc::new(journal), identity, redis: None, complaints: Vec::new() })
}

/// Opens a store that is there, for those who only look; makes nothing.
pub async fn look_into_store(
    settings: &Settings,
    secrets: Option<&Arc<IdSecrets>>,
) -> Result<Store, StartError> {
    let StoreTarget::Sqlite(path) = &settings.store else { return open_store(settings, secrets, true).await };
    if !path.is_file() {
        return Err(StartError::Missing { what: "store", path: path.clone() });
    }
    let options = StoreOptions { create: false, ..store_options(settings, secrets, true) };
    Ok(Store::open(&format!("sqlite:{}", path.display()), &options).await?)
}

/// Fails where there is no data directory, for commands that work on one and must not make it.
pub fn existing_data_dir(path: &Path) -> Result<(), StartError> {
    if path.is_dir() {
        Ok(())
    } else {
        Err(StartError::Missing { what: "data directory", path: path.to_owned() })
    }
}

/// Opens the store; its tables may still have to be made. Fails at once if a MySQL server does not answer, unless it
/// need not.
pub async fn open_store(
    settings: &Settings,
    secrets: Option<&Arc<IdSecrets>>,
    must_answer: bool,
) -> Result<Store, StartError> {
    let options = store_options(settings, secrets, must_answer);
    let path = match &settings.store {
        StoreTarget::Sqlite(path) => path,
        StoreTarget::MySql(url) => {
            let read_url = settings.store_read.as_ref().map(crate::start::config::Secret::expose);
            return Ok(Store::open_with_read(url.expose(), read_url, &options).await?);
        }
    };
    Ok(Store::open(&format!("sqlite:{}", path.display()), &options).await?)
}

fn store_options(settings: &Settings, secrets: Option<&Arc<IdSecrets>>, must_answer: bool) -> StoreOptions {
    StoreOptions {
        connections_max: settings.store_connections,
        replica_lag_max: settings.store_read_lag_max,
        timeout: STORE_ATTEMPT.min(settings.start_timeout).max(Duration::from_millis(100)),
        must_answer,
        secrets: secrets.cloned(),
        ..StoreOptions::default()
    }
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
        for (url, expected) in [
            ("redis://:secret@host:6379/0", "redis://host:6379/0"),
            ("rediss+sentinel://u:secret@a:1,b:2/s/1?ssl-ca=/ca.pem", "rediss+sentinel://a:1,b:2/s/1"),
            ("unix:///run/redis.sock?db=2&user=u&pass=secret", "unix:///run/redis.sock?db=2"),
        ] {
            assert_eq!(redis_place(url), expected);
        }
    }
}
