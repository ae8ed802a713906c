//! The SQLite dialect: opening the file, transactions, and moving values in and out.
//! Never knows what the tables are for.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::IdSecrets;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, TypeInfo as _, ValueRef as _};
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::options::{StoreOptions, admins_share};
use super::table::{Statement, Table};
use super::value::{Row, Value};
use crate::files;

/// Pages of 4 KiB in the write-ahead log before a commit copies them into the file: 64 MiB. Customers' names fall
/// everywhere in their index, so its pages are written again and again: the longer the log, the fewer copies.
const WAL_CHECKPOINT_PAGES: &str = "16000";
/// The writer's page cache, in KiB (negative, as SQLite wants it).
const WRITER_CACHE_KIB: &str = "-65536";
/// How far the writer's thread stands back: about a tenth of the processor while others want all of it.
#[cfg(target_os = "linux")]
const WRITER_NICE: i32 = 10;

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const CONSTRAINT: i32 = 19;
const NOT_A_DATABASE: i32 = 26;
/// A statement that does not fit the tables.
const GENERIC: i32 = 1;

/// A store in one SQLite file: one writing connection, some reading ones.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    pub(super) admins: Arc<Semaphore>,
    pub(super) timeout: Duration,
    pub(super) secrets: Option<Arc<IdSecrets>>,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        if options.create {
            make_private(path).map_err(|error| StoreError::Unavailable {
                what: "making the SQLite file",
                source: Some(Box::new(error)),
            })?;
        }
        // NORMAL does not fsync at each commit: a power failure may take the newest commits back, rows and cursor
        // together, never half of one. The journal still has those events, because it is trimmed only after `sync`.
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(options.create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(options.timeout)
            .pragma("wal_autocheckpoint", WAL_CHECKPOINT_PAGES)
            .thread_name(|id| format!("sqlite-{id}"));
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(options.timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false); // a file does not go away as a server does
        let writer = pool
            .clone()
            .max_connections(1)
            .after_connect(|connection, _| Box::pin(stand_back(connection)))
            .before_acquire(|connection, _| Box::pin(is_between_transactions(connection)))
            .connect_with(connect.clone().pragma("cache_size", WRITER_CACHE_KIB))
            .await
            .map_err(|error| classify("opening the SQLite file", error))?;
        let readers = pool
            .max_connections(options.reading_connections())
            .connect_lazy_with(connect.create_if_missing(false).pragma("query_only", "on"));
        let (admins, timeout) = (admins_share(options), options.timeout);
        Ok(Self { path: path.to_owned(), writer, readers, admins, timeout, secrets: options.secrets.clone() })
    }

    pub(super) fn describe(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    pub(super) async fn begin_write(&self) -> Result<Transaction, StoreError> {
        // IMMEDIATE takes the write lock at once, so that what is read inside cannot be changed by another process.
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| classify("beginning to write", error))
    }

    pub(super) async fn begin_read(&self) -> Result<Transaction, StoreError> {
        self.readers.begin().await.map_err(|error| classify("beginning to read", error))
    }

    /// Reads by a single statement, which needs no transaction and may be dropped half-way.
    pub(super) async fn read(
        &self,
        what: &'static str,
        statement: Statement,
    ) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(|error| classify(what, error))?;
        fetch(&mut connection, statement).await.map_err(|error| classify(what, error))
    }

    pub(super) async fn sync(&self) -> Result<bool, StoreError> {
        let what = "writing the log into the file";
        let mut connection = self.writer.acquire().await.map_err(|error| classify(what, error))?;
        let statement = Statement::new("PRAGMA wal_checkpoint(PASSIVE)", Vec::new());
        let rows = fetch(&mut connection, statement).await.map_err(|error| classify(what, error))?;
        // busy, pages in the log, pages that are in the (synced) file by now. A reader may hold some back.
        Ok(matches!(rows.first().map(Vec::as_slice), Some([Value::Int(0), all, copied]) if all == copied))
    }

    pub(super) async fn migrate(&self, migrator: &Migrator) -> Result<(), StoreError> {
        migrator.run(&self.writer).await.map_err(StoreError::unapplied)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Makes the file for its owner alone, or takes from others what they may do with it; SQLite makes those beside it
/// alike. One that is there is never opened here: closing it would take SQLite's own locks away from this process.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        files::make_folder(folder)?;
    }
    match files::private().create_new(true).open(path) {
        Ok(file) => file.set_permissions(std::fs::Permissions::from_mode(files::FILE_MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            for beside in ["", "-wal", "-shm"] {
                let mut name = path.as_os_str().to_owned();
                name.push(beside);
                files::close_up(Path::new(&name))?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Lets everybody else's threads go before the one of this connection: a grab waits for the processor, the store can
/// wait. Where that is not to be had, nothing is lost.
async fn stand_back(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    // Each connection has a thread of its own, and a handler that runs on it is the way to get there.
    connection.lock_handle().await?.set_progress_handler(1, || {
        #[cfg(target_os = "linux")] // elsewhere it would be the whole process
        let _ = rustix::process::setpriority_process(None, WRITER_NICE);
        true
    });
    let ran = bound(Statement::new("SELECT 1", Vec::new())).execute(&mut *connection).await;
    connection.lock_handle().await?.remove_progress_handler();
    ran.map(|_| ())
}

/// Whether a connection that has been used can begin a transaction. After a full disk it cannot: SQLite has rolled back
/// by itself, the rollback that followed failed, and sqlx still counts a transaction. Then a new connection is made.
async fn is_between_transactions(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback that nobody waited for has run once this is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// An open transaction; rolled back when dropped.
pub(super) type Transaction = sqlx::Transaction<'static, Sqlite>;

pub(super) async fn fetch(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = bound(statement).fetch_all(connection).await?;
    rows.iter().map(values).collect()
}

pub(super) async fn execute(
    connection: &mut SqliteConnection,
    statement: Statement,
) -> Result<u64, sqlx::Error> {
    Ok(bound(statement).execute(connection).await?.rows_affected())
}

fn bound(statement: Statement) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
    // Safe: the text is put together from constants in `table` and `read`, everything else is an argument.
    let mut query = sqlx::query(AssertSqlSafe(statement.sql));
    for argument in statement.arguments {
        query = match argument {
            Value::Null => query.bind(None::<i64>),
            Value::Int(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        };
    }
    query
}

fn values(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    (0..row.len())
        .map(|place| {
            let raw = row.try_get_raw(place)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            let is_number = raw.type_info().name() == "INTEGER";
            if is_number { row.try_get(place).map(Value::Int) } else { row.try_get(place).map(Value::Text) }
        })
        .collect()
}

pub(super) fn upsert_suffix(table: &Table) -> String {
    let sets: Vec<String> =
        table.changing.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(" ON CONFLICT ({}) DO UPDATE SET {}", table.key.join(", "), sets.join(", "))
}

pub(super) fn classify(what: &'static str, error: sqlx::Error) -> StoreError {
    let code = match &error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Some(CORRUPT),
        _ => None,
    };
    let source = Some(error.into());
    match code.map(|code| code & 0xff) {
        Some(BUSY | LOCKED) => StoreError::Unavailable { what, source },
        Some(CORRUPT | NOT_A_DATABASE) => {
            StoreError::Damaged { flight_id: None, what: format!("{what} failed"), source }
        }
        Some(CONSTRAINT) => StoreError::Rejected { what, source },
        Some(GENERIC) => {
            StoreError::Schema { what: format!("{what} failed; have all migrations been applied?"), source }
        }
        _ => StoreError::Unavailable { what, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_writes_again_once_a_full_disk_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { create: true, ..StoreOptions::default() };
        let store = SqliteStore::open(&folder.path().join("full.db"), &options).await.unwrap();
        let run = async |sql: &str| {
            let mut transaction = store.begin_write().await?;
            let ran = execute(&mut transaction, Statement::new(sql, Vec::new())).await;
            ran.map_err(|error| classify("writing", error))?;
            transaction.commit().await.map_err(|error| classify("committing", error))
        };
        run("CREATE TABLE t (text TEXT NOT NULL)").await.unwrap();
        {
            let mut connection = store.writer.acquire().await.unwrap();
            let limit = Statement::new("PRAGMA max_page_count = 20", Vec::new());
            fetch(&mut connection, limit).await.unwrap();
        }
        let much = "INSERT INTO t (text) VALUES (hex(randomblob(200000)))";
        let failed = run(much).await.unwrap_err();
        assert!(matches!(failed, StoreError::Unavailable { .. }), "{failed:?}");
        // The limit was the old connection's alone, as room that somebody has made would be.
        run(much).await.unwrap();
    }
}
