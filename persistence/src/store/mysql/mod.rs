//! The MySQL dialect (MySQL 8, MariaDB): pools that outlive a server's idle limits, sessions that are all alike.
//! Never knows what the tables are for, and never leaves a caller waiting for a server that is gone.

mod behind;
mod error;
mod link;
mod nodelay;
mod replica;
mod session;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{FlightId, IdSecrets, Seq};
use sqlx::ConnectOptions as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::mysql::MySqlConnection;
use tokio::sync::Semaphore;

use self::behind::Behind;
use self::error::{classify, is_lost, number};
pub(super) use self::link::Transaction;
use self::link::{BEGIN_READ, BEGIN_WRITE, Link, Links, within};
use self::replica::{Replica, ReplicaAnswer};
use self::session::Role;
use self::url::ServerAddress;
use super::error::StoreError;
use super::table::{Hints, Statement, Table};
use super::value::{Row, Value};
use crate::store::options::{ReplicaStatus, StoreOptions, admins_share};

/// What a `SELECT` says to keep its rows from being changed by others. Without the index named, a small table may be
/// read (and locked) from end to end, and two processes with different flights would wait for one another.
pub(super) const FOR_UPDATE: Hints = Hints { index: " FORCE INDEX (PRIMARY)", end: " FOR UPDATE" };

/// Connections a single statement is tried on when the connection is what failed.
const READ_TRIES_MAX: usize = 2;
/// How long one attempt to get the lock that keeps two processes from migrating at once waits, in seconds, and how
/// many there are.
const MIGRATION_LOCK_SECONDS: i64 = 5;
const MIGRATION_LOCK_TRIES: usize = 24;
/// Longest that all migrations together may take.
const MIGRATION_LIMIT: Duration = Duration::from_secs(3_600);
/// How long to look why there is no connection.
const DIAGNOSE_LIMIT: Duration = Duration::from_secs(1);
/// Longest that closing waits for connections in use.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// "The table does not exist".
const NO_SUCH_TABLE: u16 = 1146;
/// "You need the RELOAD privilege".
const ACCESS_DENIED: u16 = 1227;

/// A store in a MySQL or MariaDB database; optionally with a replica for lists.
pub struct MySqlStore {
    place: ServerAddress,
    /// Claims and flushes.
    writers: Links,
    /// Reads that must see all that was committed.
    readers: Links,
    /// For lists, if there is one.
    replica: Option<Arc<Replica>>,
    pub(super) admins: Arc<Semaphore>,
    pub(super) timeout: Duration,
    pub(super) secrets: Option<Arc<IdSecrets>>,
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySqlStore({})", self.describe())
    }
}

impl MySqlStore {
    pub(super) async fn open(
        url: &str,
        read_url: Option<&str>,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let place = ServerAddress::parse(url)?;
        let read_place = read_url.map(ServerAddress::parse).transpose()?;
        if options.must_answer {
            session::check(&place, options.timeout).await.map_err(|error| classify("connecting", error))?;
        }
        let links = |place: &ServerAddress, role, behind: &Arc<Behind>| Links {
            pool: session::pool(place, role, options, behind),
            limit: options.statement_timeout,
            behind: Arc::clone(behind),
        };
        let behind = Arc::default();
        let readers = links(&place, Role::Reader, &behind);
        let replica = read_place.map(|place| {
            let behind = Arc::default();
            let (lists, watch) = (links(&place, Role::Reader, &behind), links(&place, Role::Watch, &behind));
            replica::watched(Replica::new(place, lists, watch, options.replica_lag_max), &readers)
        });
        Ok(Self {
            writers: links(&place, Role::Writer, &behind),
            readers,
            replica,
            admins: admins_share(options),
            timeout: options.timeout,
            secrets: options.secrets.clone(),
            place,
        })
    }

    pub(super) fn describe(&self) -> String {
        match &self.replica {
            Some(replica) => format!("{}, lists from {}", self.place, replica.place()),
            None => self.place.to_string(),
        }
    }

    pub(super) fn replica_status(&self) -> Option<ReplicaStatus> {
        self.replica.as_ref().map(|replica| replica.status())
    }

    /// The tables have a flight this far.
    pub(super) fn note_stored(&self, flight_id: &FlightId, seq: Seq) {
        if let Some(replica) = &self.replica {
            replica.note_stored(flight_id, seq);
        }
    }

    pub(super) async fn begin_write(&self) -> Result<Transaction, StoreError> {
        self.begin("beginning to write", &self.writers, BEGIN_WRITE).await
    }

    pub(super) async fn begin_read(&self) -> Result<Transaction, StoreError> {
        self.begin("beginning to read", &self.readers, BEGIN_READ).await
    }

    async fn begin(
        &self,
        what: &'static str,
        links: &Links,
        how: &'static str,
    ) -> Result<Transaction, StoreError> {
        match Transaction::begin(links, how).await {
            Ok(transaction) => Ok(transaction),
            Err(error) => Err(classify(what, diagnosed(&self.place, error).await)),
        }
    }

    /// Reads from the primary, by a single statement.
    pub(super) async fn read(
        &self,
        what: &'static str,
        statement: Statement,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.fetch(&self.readers, statement).await;
        match rows {
            Ok(rows) => Ok(rows),
            Err(error) => Err(classify(what, diagnosed(&self.place, error).await)),
        }
    }

    /// Reads from the replica as long as it serves, by a single statement; and says whether what is read is the newest
    /// that was stored here (of one flight, or of all). What the replica cannot say within half of `patience`, the
    /// primary does. `must_be_newest`: rows that are not are read from the primary.
    pub(super) async fn query(
        &self,
        what: &'static str,
        statement: Statement,
        of: Option<&FlightId>,
        must_be_newest: bool,
        patience: Duration,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        if let Some(replica) = &self.replica {
            let served = replica.serve(statement.clone(), of, must_be_newest, patience / 2).await;
            if let ReplicaAnswer::Rows(rows, is_newest) = served {
                return Ok((rows, is_newest));
            }
        }
        Ok((self.read(what, statement).await?, true))
    }

    async fn fetch(&self, links: &Links, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        let mut tried = 0;
        loop {
            tried += 1;
            let mut link = Link::take(links).await?;
            match link.fetch(statement.clone()).await {
                Err(error) if is_lost(&error) && tried < READ_TRIES_MAX => {}
                done => return done,
            }
        }
    }

    /// A commit is on the server's disk when it is answered, unless the server was told otherwise: then its log is
    /// flushed here, before the journal lets go of what the log holds.
    pub(super) async fn sync(&self) -> Result<bool, StoreError> {
        let what = "flushing the server's log";
        let sql = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)";
        let rows = self.read(what, Statement::new(sql, Vec::new())).await?;
        if rows.first().and_then(|row| row.first()) == Some(&Value::Int(1)) {
            return Ok(true);
        }
        let mut link = Link::take(&self.writers).await.map_err(|error| classify(what, error))?;
        match link.command("FLUSH LOCAL ENGINE LOGS").await {
            // Whoever set it so has been warned; never trimming would fill the journal's disk instead.
            Err(error) if number(&error) == Some(ACCESS_DENIED) => Ok(true),
            done => done.map(|()| true).map_err(|error| classify(what, error)),
        }
    }

    /// Applies what is missing, in this process alone. `repeatable` are migrations that may be run again after one
    /// was cut off half-way.
    pub(super) async fn migrate(&self, mut migrator: Migrator, repeatable: &[i64]) -> Result<(), StoreError> {
        let what = "migrating";
        let taken = Link::take(&self.writers).await.map(|link| link.within(MIGRATION_LIMIT));
        let mut link = match taken {
            Ok(link) => link,
            Err(error) => return Err(classify(what, diagnosed(&self.place, error).await)),
        };
        migrator.set_locking(false); // the library's own lock does not wait on MariaDB
        let done = migrate_alone(&mut link, &migrator, repeatable).await;
        link.give_up(); // and with the connection, the lock
        done
    }

    pub(super) async fn close(&self) {
        let replicas = self.replica.iter().flat_map(|replica| replica.pools());
        for pool in [&self.readers.pool, &self.writers.pool].into_iter().chain(replicas) {
            let _ = tokio::time::timeout(CLOSE_LIMIT, pool.close()).await;
        }
    }
}

async fn migrate_alone(link: &mut Link, migrator: &Migrator, repeatable: &[i64]) -> Result<(), StoreError> {
    let what = "migrating";
    lock_migrations(link).await?;
    for version in repeatable {
        let sql = "DELETE FROM _sqlx_migrations WHERE success = 0 AND version = ?";
        match link.fetch(Statement::new(sql, vec![(*version).into()])).await {
            Ok(_) => {}
            Err(error) if number(&error) == Some(NO_SUCH_TABLE) => break,
            Err(error) => return Err(classify(what, error)),
        }
    }
    let run = async |connection: &mut MySqlConnection| Ok(migrator.run_direct(None, connection, false).await);
    match link.step(run).await.map_err(|error| classify(what, error))? {
        Ok(()) => Ok(()),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(classify(what, error))
        }
        Err(error) => Err(StoreError::unapplied(error)),
    }
}

async fn lock_migrations(link: &mut Link) -> Result<(), StoreError> {
    let what = "waiting for another process that migrates";
    let named = link.fetch(Statement::new("SELECT DATABASE()", Vec::new())).await;
    let named = named.map_err(|error| classify(what, error))?;
    let Some(Value::Text(database)) = named.into_iter().next().and_then(|row| row.into_iter().next()) else {
        return Err(StoreError::Unavailable { what, source: None });
    };
    // A lock's name has at most 64 characters and is the whole server's. Hashed here: what a server can hash with
    // differs between them.
    let lock = format!("farerush:{:016x}", xxhash_rust::xxh3::xxh3_64(database.as_bytes()));
    for _ in 0..MIGRATION_LOCK_TRIES {
        let sql = "SELECT CAST(GET_LOCK(?, ?) AS SIGNED)";
        let asked = Statement::new(sql, vec![lock.clone().into(), MIGRATION_LOCK_SECONDS.into()]);
        let rows = link.fetch(asked).await.map_err(|error| classify(what, error))?;
        if rows.first().and_then(|row| row.first()) == Some(&Value::Int(1)) {
            return Ok(());
        }
    }
    Err(StoreError::Unavailable { what, source: None })
}

/// A pool that found no connection in time does not say why: one more attempt of its own does.
async fn diagnosed(place: &ServerAddress, error: sqlx::Error) -> sqlx::Error {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return error;
    }
    match within(DIAGNOSE_LIMIT, place.connect.connect()).await {
        Ok(_) => error,
        Err(reason) => reason,
    }
}

pub(super) fn upsert_suffix(table: &Table) -> String {
    let sets: Vec<String> =
        table.changing.iter().map(|column| format!("{column} = VALUES({column})")).collect();
    format!(" ON DUPLICATE KEY UPDATE {}", sets.join(", "))
}

pub(super) async fn fetch(
    transaction: &mut Transaction,
    what: &'static str,
    statement: Statement,
) -> Result<Vec<Row>, StoreError> {
    transaction.fetch(statement).await.map_err(|error| classify(what, error))
}

pub(super) async fn execute(
    transaction: &mut Transaction,
    what: &'static str,
    statement: Statement,
) -> Result<u64, StoreError> {
    transaction.execute(statement).await.map_err(|error| classify(what, error))
}

pub(super) async fn commit(transaction: Transaction, what: &'static str) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| classify(what, error))
}
