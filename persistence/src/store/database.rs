//! The store itself, in either dialect: opened, asked, changed, closed.
//! Never knows what a row means.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{FlightId, IdSecrets, Seq};
use tokio::sync::OwnedSemaphorePermit;

use super::error::StoreError;
use super::migrations::MigrationStatus;
use super::mysql::MySqlStore;
use super::options::{Asker, ReplicaStatus, StoreOptions};
use super::sqlite::SqliteStore;
use super::table::{Dialect, Hints, NO_LOCK, Statement};
use super::value::{Row, Value};
use super::{migrations, mysql, seen, sqlite};

/// For how long what is looked up by its key is waited for at most, of which a replica has half.
const REPLICA_PATIENCE: Duration = Duration::from_secs(2);

/// A store; clones share its connections.
#[derive(Debug, Clone)]
pub enum Store {
    /// In a SQLite file.
    Sqlite(SqliteStore),
    /// In a MySQL or MariaDB database.
    MySql(Arc<MySqlStore>),
}

/// What waits for the store, behind a pointer. An `async fn` is compiled in every crate and program that awaits it, with all
/// that it awaits: SQL for two dialects, in dozens of copies. What is boxed in a plain function is compiled here, once.
pub(crate) type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Store {
    /// Opens the store that `url` names: `sqlite:<path>` or `mysql://user:password@host:port/database`. Its tables
    /// may still have to be made by [`migrate`](Self::migrate). Must be called within a tokio runtime, as everything
    /// else here.
    pub async fn open(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        Self::open_with_read(url, None, options).await
    }

    /// The same, with a replica at `read_url` that serves [`order`](Self::order) and [`orders`](Self::orders); it may
    /// be behind. Everything else is read from, and written to, the primary at `url`.
    pub fn open_with_read<'a>(
        url: &'a str,
        read_url: Option<&'a str>,
        options: &'a StoreOptions,
    ) -> Waiting<'a, Result<Self, StoreError>> {
        Box::pin(async move {
            if url.starts_with("mysql:") {
                return MySqlStore::open(url, read_url, options)
                    .await
                    .map(|store| Self::MySql(Arc::new(store)));
            }
            if read_url.is_some() {
                let what = "only a mysql: store can have a second address to read from".to_owned();
                return Err(StoreError::Setting { what });
            }
            let Some(path) = url.strip_prefix("sqlite:") else {
                // Not the whole text: a password may stand in it.
                let scheme = url.split_once(':').map_or("?", |(scheme, _)| scheme);
                let what = format!(
                    "must be sqlite:<path> or mysql://user:password@host:port/database, but begins with {scheme:?}"
                );
                return Err(StoreError::Setting { what });
            };
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(":memory:") {
                return Err(StoreError::Setting { what: "sqlite: wants the path of a file".to_owned() });
            }
            SqliteStore::open(Path::new(path), options).await.map(Self::Sqlite)
        })
    }

    /// Applies all migrations that are missing; several processes may do so at the same time. On MySQL it changes
    /// nothing, and needs no privilege to, where none is missing.
    pub fn migrate(&self) -> Waiting<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let migrator = migrations::migrator(self.dialect());
            match self {
                Self::Sqlite(store) => store.migrate(&migrator).await,
                Self::MySql(store) => {
                    if self.migration_status().await?.iter().all(|migration| migration.applied) {
                        return Ok(());
                    }
                    store.migrate(migrator, migrations::MYSQL_REPEATABLE).await
                }
            }
        })
    }

    /// All migrations this version knows, and which of them were applied.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        let sql = "SELECT version FROM _sqlx_migrations WHERE success = 1 ORDER BY version";
        let rows = match self.read("reading the migrations", Statement::new(sql, Vec::new())).await {
            Ok(rows) => rows,
            Err(StoreError::Schema { .. }) => Vec::new(), // none was ever applied
            Err(error) => return Err(error),
        };
        let applied: Vec<i64> = rows
            .iter()
            .filter_map(|row| match row.first() {
                Some(Value::Int(version)) => Some(*version),
                _ => None,
            })
            .collect();
        Ok(migrations::status(self.dialect(), &applied))
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read("pinging", Statement::new("SELECT 1", Vec::new())).await.map(|_| ())
    }

    /// Sees to it that everything committed so far survives a power failure; `false` if it could not be done just
    /// now. To be called before the journal is trimmed.
    pub fn sync(&self) -> Waiting<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            match self {
                Self::Sqlite(store) => store.sync().await,
                Self::MySql(store) => store.sync().await,
            }
        })
    }

    /// What it is and where, for logs and status pages, without secrets.
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(store) => store.describe(),
            Self::MySql(store) => store.describe(),
        }
    }

    /// How the replica is doing; `None` if there is none.
    pub fn replica_status(&self) -> Option<ReplicaStatus> {
        match self {
            Self::Sqlite(_) => None,
            Self::MySql(store) => store.replica_status(),
        }
    }

    /// Waits for a turn to read on behalf of an admin: so many at a time leave connections to everybody else. Nobody
    /// else waits for one.
    pub(super) async fn turn_of(&self, asker: Asker) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        if asker == Asker::Customer {
            return Ok(None);
        }
        let (admins, timeout) = match self {
            Self::Sqlite(store) => (&store.admins, store.timeout),
            Self::MySql(store) => (&store.admins, store.timeout),
        };
        let turn = tokio::time::timeout(timeout, Arc::clone(admins).acquire_owned()).await;
        let what = "waiting for one of the connections that admins' searches may use";
        match turn {
            Ok(Ok(turn)) => Ok(Some(turn)),
            _ => Err(StoreError::Unavailable { what, source: None }),
        }
    }

    /// Closes all connections, when those in use have come back.
    pub fn close(&self) -> Waiting<'_, ()> {
        Box::pin(async move {
            match self {
                Self::Sqlite(store) => store.close().await,
                Self::MySql(store) => store.close().await,
            }
        })
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::MySql(_) => Dialect::MySql,
        }
    }

    /// What the ids in its rows are made of, if it was opened with that.
    pub fn secrets(&self) -> Option<&Arc<IdSecrets>> {
        match self {
            Self::Sqlite(store) => store.secrets.as_ref(),
            Self::MySql(store) => store.secrets.as_ref(),
        }
    }

    /// What kind of database it is, as traces name it.
    pub fn system(&self) -> &'static str {
        self.dialect().system()
    }

    pub(super) fn begin_write(&self) -> Waiting<'_, Result<Transaction, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin("beginning to write", self.system(), "BEGIN");
            let begun = match self {
                Self::Sqlite(store) => store.begin_write().await.map(Transaction::Sqlite),
                Self::MySql(store) => store.begin_write().await.map(Transaction::MySql),
            };
            seen::end(mark, begun, |_| None)
        })
    }

    pub(super) fn begin_read(&self) -> Waiting<'_, Result<Transaction, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin("beginning to read", self.system(), "BEGIN");
            let begun = match self {
                Self::Sqlite(store) => store.begin_read().await.map(Transaction::Sqlite),
                Self::MySql(store) => store.begin_read().await.map(Transaction::MySql),
            };
            seen::end(mark, begun, |_| None)
        })
    }

    pub(super) fn read<'a>(
        &'a self,
        what: &'static str,
        statement: Statement,
    ) -> Waiting<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin(what, self.system(), &statement.sql);
            let rows = match self {
                Self::Sqlite(store) => store.read(what, statement).await,
                Self::MySql(store) => store.read(what, statement).await,
            };
            seen::end(mark, rows, count)
        })
    }

    /// As `read`, from the replica as long as it serves, and whether that is the newest that was stored here, of one
    /// flight or of all. The replica has half of `patience`.
    pub(super) fn query<'a>(
        &'a self,
        what: &'static str,
        statement: Statement,
        of: Option<&'a FlightId>,
        patience: Duration,
    ) -> Waiting<'a, Result<(Vec<Row>, bool), StoreError>> {
        Box::pin(async move {
            let mark = seen::begin(what, self.system(), &statement.sql);
            let rows = match self {
                Self::Sqlite(store) => store.read(what, statement).await.map(|rows| (rows, true)),
                Self::MySql(store) => store.query(what, statement, of, false, patience).await,
            };
            seen::end(mark, rows, |(rows, _)| count(rows))
        })
    }

    /// As `read`, from the replica where that shows the newest that was stored of the flight.
    pub(super) fn query_newest<'a>(
        &'a self,
        what: &'static str,
        statement: Statement,
        of: &'a FlightId,
    ) -> Waiting<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin(what, self.system(), &statement.sql);
            let rows = match self {
                Self::Sqlite(store) => store.read(what, statement).await,
                Self::MySql(store) => {
                    store.query(what, statement, Some(of), true, REPLICA_PATIENCE).await.map(|(rows, _)| rows)
                }
            };
            seen::end(mark, rows, count)
        })
    }

    /// The tables have a flight this far.
    pub(super) fn note_stored(&self, flight_id: &FlightId, seq: Seq) {
        if let Self::MySql(store) = self {
            store.note_stored(flight_id, seq);
        }
    }
}

/// An open transaction of any dialect; rolled back when dropped.
pub(super) enum Transaction {
    Sqlite(sqlite::Transaction),
    MySql(mysql::Transaction),
}

impl Transaction {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::MySql(_) => Dialect::MySql,
        }
    }

    /// What a `SELECT` must say so that nobody else changes its rows before the commit.
    pub(super) fn lock(&self) -> Hints {
        match self {
            Self::Sqlite(_) => NO_LOCK, // there is only one writer at a time
            Self::MySql(_) => mysql::FOR_UPDATE,
        }
    }

    pub(super) fn fetch<'a>(
        &'a mut self,
        what: &'static str,
        statement: Statement,
    ) -> Waiting<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin(what, self.dialect().system(), &statement.sql);
            let rows = match self {
                Self::Sqlite(transaction) => {
                    sqlite::fetch(transaction, statement).await.map_err(|error| sqlite::classify(what, error))
                }
                Self::MySql(transaction) => mysql::fetch(transaction, what, statement).await,
            };
            seen::end(mark, rows, count)
        })
    }

    pub(super) fn execute<'a>(
        &'a mut self,
        what: &'static str,
        statement: Statement,
    ) -> Waiting<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin(what, self.dialect().system(), &statement.sql);
            let changed = match self {
                Self::Sqlite(transaction) => sqlite::execute(transaction, statement)
                    .await
                    .map_err(|error| sqlite::classify(what, error)),
                Self::MySql(transaction) => mysql::execute(transaction, what, statement).await,
            };
            seen::end(mark, changed, |changed| Some(*changed))
        })
    }

    pub(super) fn commit(self, what: &'static str) -> Waiting<'static, Result<(), StoreError>> {
        Box::pin(async move {
            let mark = seen::begin(what, self.dialect().system(), "COMMIT");
            let committed = match self {
                Self::Sqlite(transaction) => {
                    transaction.commit().await.map_err(|error| sqlite::classify(what, error))
                }
                Self::MySql(transaction) => mysql::commit(transaction, what).await,
            };
            seen::end(mark, committed, |()| None)
        })
    }
}

/// How many rows these are.
#[expect(clippy::ptr_arg, reason = "it is given what a read gives")]
fn count(rows: &Vec<Row>) -> Option<u64> {
    Some(rows.len() as u64)
}
