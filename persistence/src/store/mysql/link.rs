//! A connection on loan from the pool, and a transaction on one. Every step has a time limit, and a future may be
//! dropped at any point: whatever state a connection is in then, it never goes back to the pool in doubt.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySql, MySqlArguments, MySqlConnection, MySqlPool, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _, TypeInfo as _, ValueRef as _};

use super::behind::Behind;
use super::error::{is_lost, is_read_only, leaves_it_sound};
use crate::store::table::Statement;
use crate::store::value::{Row, Value};

/// Connections tried until one can begin: the first may have been closed by the server since it was tested.
const BEGIN_TRIES_MAX: usize = 2;

/// Reads: a snapshot that nothing changes.
pub(super) const BEGIN_READ: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
/// Writes.
pub(super) const BEGIN_WRITE: &str = "START TRANSACTION READ WRITE";

/// A connection; given up for good when dropped in the middle of a step or after one that broke it.
pub(super) struct Link {
    connection: Option<PoolConnection<MySql>>,
    is_sound: bool,
    limit: Duration,
    behind: Arc<Behind>,
}

/// Connections that lead to one place, and how long each step on one of them may take.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) pool: MySqlPool,
    pub(super) limit: Duration,
    pub(super) behind: Arc<Behind>,
}

impl Link {
    /// Takes one from the pool.
    pub(super) async fn take(links: &Links) -> Result<Self, sqlx::Error> {
        let Links { pool, limit, behind } = links;
        let connection = Some(pool.acquire().await?);
        Ok(Self { connection, is_sound: true, limit: *limit, behind: Arc::clone(behind) })
    }

    /// The same with another limit for each step.
    pub(super) const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes one step. While it runs the connection counts as broken, so that being dropped here gives it up.
    pub(super) async fn step<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let connection = self.connection.as_deref_mut().filter(|_| self.is_sound);
        let Some(connection) = connection else { return Err(given_up()) };
        self.is_sound = false;
        let result = within(self.limit, step(connection)).await;
        if let Err(error) = &result {
            self.is_sound = leaves_it_sound(error);
            if is_read_only(error) {
                self.behind.is_read_only();
            }
        } else {
            self.is_sound = true;
        }
        result
    }

    /// Runs text that has no arguments and gives no rows.
    pub(super) async fn command(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        self.step(async |connection: &mut MySqlConnection| connection.execute(sql).await.map(drop)).await
    }

    pub(super) async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        let rows = self
            .step(async |connection: &mut MySqlConnection| bound(statement).fetch_all(connection).await)
            .await?;
        rows.iter().map(values).collect()
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        let done = self
            .step(async |connection: &mut MySqlConnection| bound(statement).execute(connection).await)
            .await?;
        Ok(done.rows_affected())
    }

    /// Closes the connection instead of giving it back: with it goes whatever the server keeps for it.
    pub(super) fn give_up(mut self) {
        self.is_sound = false;
    }

    /// A connection on which nothing is open any more goes back to the pool, any other is closed.
    fn give_back(&mut self, is_open: bool) {
        let Some(connection) = self.connection.take() else { return };
        let runtime = tokio::runtime::Handle::try_current();
        match runtime {
            Ok(_) if self.is_sound && !is_open => drop(connection),
            Ok(runtime) if self.is_sound => {
                let behind = Arc::clone(&self.behind);
                let mut link =
                    Self { connection: Some(connection), is_sound: true, limit: self.limit, behind };
                runtime.spawn(async move { link.command("ROLLBACK").await });
            }
            // The server rolls back what a closed connection had open.
            _ => drop(connection.detach()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.give_back(false);
    }
}

/// An open transaction; rolled back when dropped, at any time.
pub(in crate::store) struct Transaction {
    link: Link,
    is_open: bool,
}

impl Transaction {
    pub(super) async fn begin(links: &Links, how: &'static str) -> Result<Self, sqlx::Error> {
        let mut tried = 0;
        loop {
            tried += 1;
            let mut begun = Self { link: Link::take(links).await?, is_open: true };
            match begun.link.command(how).await {
                Ok(()) => return Ok(begun),
                Err(error) if is_lost(&error) && tried < BEGIN_TRIES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        self.link.fetch(statement).await
    }

    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.link.execute(statement).await
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.link.command("COMMIT").await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.link.give_back(self.is_open);
    }
}

/// Waits so long and no longer.
pub(super) async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => {
            let text = format!("no answer within {limit:?}");
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
        }
    }
}

fn given_up() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, "the connection was given up"))
}

fn bound(statement: Statement) -> sqlx::query::Query<'static, MySql, MySqlArguments> {
    // Safe: the text is put together from constants in `table`, `flush` and `read`, everything else is an argument.
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

fn values(row: &MySqlRow) -> Result<Row, sqlx::Error> {
    (0..row.len())
        .map(|place| {
            let raw = row.try_get_raw(place)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            let is_number =
                matches!(raw.type_info().name(), "BIGINT" | "INT" | "SMALLINT" | "TINYINT" | "BOOLEAN");
            if is_number { row.try_get(place).map(Value::Int) } else { row.try_get(place).map(Value::Text) }
        })
        .collect()
}
