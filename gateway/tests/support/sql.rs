//! A connection to a MySQL or MariaDB server for tests that are not async, beside the gateway's own.
//! Never used outside tests.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use tokio::runtime::{Builder, Runtime};

/// A connection that is open until it is dropped.
pub(crate) struct Sql {
    connection: MySqlConnection,
    runtime: Runtime,
}

impl Sql {
    pub(crate) fn try_connect(url: &str) -> Result<Self, sqlx::Error> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let options: MySqlConnectOptions = url.parse()?;
        let connection = runtime.block_on(options.connect())?;
        Ok(Self { connection, runtime })
    }

    pub(crate) fn connect(url: &str) -> Self {
        Self::try_connect(url).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let run = self.connection.execute(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(run).map(|done| done.rows_affected())
    }

    pub(crate) fn run(&mut self, sql: &str) -> u64 {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The numbers in the first column.
    pub(crate) fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let read = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.connection);
        self.runtime.block_on(read).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        self.numbers(sql).first().copied().unwrap_or(0)
    }
}
