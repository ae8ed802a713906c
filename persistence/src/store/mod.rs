//! The store: flights, seats and orders in SQL tables, for queries and for recovery.
//! Never acknowledges anything: the journal does, and the store follows it.
//!
//! What a table's row means, what a flush does and what is read stands in dialect-free files (`plan`, `flush`,
//! `read`, `rows`, `table`); a dialect's file opens connections, runs statements, and knows its own words.

mod copy;
mod error;
mod flush;
mod heads;
mod ids;
mod migrations;
mod mysql;
mod outcome;
mod owner;
mod plan;
mod read;
mod refunds;
mod rows;
mod seen;
mod sqlite;
mod table;
mod value;
mod waitlist;
mod webhooks;
mod weights;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::flight::{
    CabinClass, Currency, Epoch, FlightId, Head, IdSecrets, Order, OrderId, OrderNo, PassengerName, Seat,
    Seq, Timestamp,
};

pub use copy::copy_sqlite;
pub use error::{Cause, StoreError};
pub use flush::FLIGHTS_PER_CALL_MAX;
pub use migrations::MigrationStatus;
pub use mysql::MySqlStore;
pub use owner::JournalOwner;
pub(crate) use plan::passenger_on;
pub use read::{Listed, OrderFilter, OrderPlace, PAGE_ORDERS_MAX};
pub use refunds::{AuditRow, Refund, RefundReason, StoredChange};
pub use seen::{STATEMENTS_MAX, SeenStatement, Statements, seeing};
pub use sqlite::SqliteStore;
use table::{Dialect, Hints, NO_LOCK, Statement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use value::Row;
pub use waitlist::StoredWaitlistEntry;
pub use webhooks::WebhookCursor;
pub(crate) use weights::{bytes_held, rows_written};

/// For how long what is looked up by its key is waited for at most, of which a replica has half.
const REPLICA_PATIENCE: Duration = Duration::from_secs(2);

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
    fn reading_connections(&self) -> u32 {
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
fn admins_share(options: &StoreOptions) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((options.reading_connections() / 2) as usize))
}

/// A store; clones share its connections.
#[derive(Debug, Clone)]
pub enum Store {
    /// In a SQLite file.
    Sqlite(SqliteStore),
    /// In a MySQL or MariaDB database.
    MySql(Arc<MySqlStore>),
}

/// How far a flight's rows have come, and who may write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which flight.
    pub flight_id: FlightId,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The last event whose rows are stored; 0 if there is none.
    pub seq: Seq,
    /// When that event was decided.
    pub last_at: Timestamp,
    /// The chain's head after that event; none where no event was in a chain yet.
    pub head: Option<Head>,
}

/// What became of one batch of a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flushed {
    /// It is stored now.
    Stored,
    /// All of it had been stored before.
    AlreadyStored {
        /// Where the flight's cursor is.
        stored: Seq,
    },
    /// A later epoch owns the flight: nothing of the batch was written, nor ever will be.
    Fenced {
        /// The epoch that owns the flight.
        owner: Epoch,
    },
    /// Events between the cursor and the batch (or within the batch) are missing: nothing of it was written.
    Gap {
        /// Where the flight's cursor is: what follows it is wanted first.
        stored: Seq,
    },
    /// Its events cannot have happened to the flight as it is stored: nothing of it was written. Somebody must look.
    Misfit {
        /// Where the flight's cursor is.
        stored: Seq,
        /// Which event does not fit, and why.
        what: String,
    },
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// Its public id.
    pub order_id: OrderId,
    /// What the traveller reads out.
    pub record_locator: String,
    /// The currency of its total.
    pub currency: Currency,
    /// The order itself.
    pub order: Order,
}

/// How a seat stands in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketStatus {
    /// On sale.
    Free,
    /// An unpaid order has it.
    Held,
    /// A confirmed order has it.
    Sold,
    /// Taken off sale.
    Blocked,
}

/// A seat as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which seat.
    pub seat: Seat,
    /// The class of its cabin.
    pub cabin_class: CabinClass,
    /// Its fare, in minor units of the flight's currency.
    pub fare: i64,
    /// How it stands.
    pub status: TicketStatus,
    /// The order that has it.
    pub order: Option<OrderNo>,
    /// Who sits there, if that is known.
    pub passenger: Option<PassengerName>,
}

/// Everything the tables hold of a flight.
#[derive(Debug, Clone)]
pub struct StoredFlight {
    /// How far they have come.
    pub cursor: Cursor,
    /// All orders, ended ones too, by rising number.
    pub orders: Vec<StoredOrder>,
    /// All seats, by row and letter.
    pub tickets: Vec<Ticket>,
    /// All entries of the waitlist, those that wait no longer, too, by rising number.
    pub waitlist: Vec<StoredWaitlistEntry>,
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
                Some(value::Value::Int(version)) => Some(*version),
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
    async fn turn_of(&self, asker: Asker) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
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

    fn dialect(&self) -> Dialect {
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

    fn begin_write(&self) -> Waiting<'_, Result<Transaction, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin("beginning to write", self.system(), "BEGIN");
            let begun = match self {
                Self::Sqlite(store) => store.begin_write().await.map(Transaction::Sqlite),
                Self::MySql(store) => store.begin_write().await.map(Transaction::MySql),
            };
            seen::end(mark, begun, |_| None)
        })
    }

    fn begin_read(&self) -> Waiting<'_, Result<Transaction, StoreError>> {
        Box::pin(async move {
            let mark = seen::begin("beginning to read", self.system(), "BEGIN");
            let begun = match self {
                Self::Sqlite(store) => store.begin_read().await.map(Transaction::Sqlite),
                Self::MySql(store) => store.begin_read().await.map(Transaction::MySql),
            };
            seen::end(mark, begun, |_| None)
        })
    }

    fn read(&self, what: &'static str, statement: Statement) -> Waiting<'_, Result<Vec<Row>, StoreError>> {
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
    fn query<'a>(
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
    fn query_newest<'a>(
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
    fn note_stored(&self, flight_id: &FlightId, seq: Seq) {
        if let Self::MySql(store) = self {
            store.note_stored(flight_id, seq);
        }
    }
}

/// An open transaction of any dialect; rolled back when dropped.
enum Transaction {
    Sqlite(sqlite::Transaction),
    MySql(mysql::Transaction),
}

impl Transaction {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::MySql(_) => Dialect::MySql,
        }
    }

    /// What a `SELECT` must say so that nobody else changes its rows before the commit.
    fn lock(&self) -> Hints {
        match self {
            Self::Sqlite(_) => NO_LOCK, // there is only one writer at a time
            Self::MySql(_) => mysql::FOR_UPDATE,
        }
    }

    fn fetch(
        &mut self,
        what: &'static str,
        statement: Statement,
    ) -> Waiting<'_, Result<Vec<Row>, StoreError>> {
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

    fn execute(&mut self, what: &'static str, statement: Statement) -> Waiting<'_, Result<u64, StoreError>> {
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

    fn commit(self, what: &'static str) -> Waiting<'static, Result<(), StoreError>> {
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
