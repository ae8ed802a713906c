//! A SQLite store's copy of one moment, made while its owner writes on; and flights that are taken out of such a copy.
//! Never changes the original.

use std::path::Path;
use std::time::Duration;

use farerush_engine::flight::FlightId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::database::Store;
use super::error::StoreError;
use super::sqlite;
use super::sqlite::classify;
use super::table::{
    AUDIT, CURSORS, FLIGHTS, HEADS, ORDERS, REFUNDS, REQUESTS, Statement, TICKETS, Table, WAITLIST, WEBHOOKS,
};
use crate::files;

/// How long another process may hold the file up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Every table that has rows of flights.
const OF_FLIGHTS: [&Table; 10] =
    [&FLIGHTS, &TICKETS, &ORDERS, &AUDIT, &REQUESTS, &WAITLIST, &REFUNDS, &HEADS, &WEBHOOKS, &CURSORS];

/// Copies the SQLite store in the file `from` to the file `to`, which must not be there: all transactions that were
/// committed at one moment, and none half. On disk, and its owner's alone, when this returns.
pub async fn copy_sqlite(from: &Path, to: &Path) -> Result<(), StoreError> {
    let what = "copying the SQLite file";
    let failed = |error: std::io::Error| StoreError::Unavailable { what, source: Some(Box::new(error)) };
    let target = to.to_str().ok_or_else(|| {
        failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8"))
    })?;
    // SQLite fills a file that is empty, and would make one that others may read.
    files::private().create_new(true).open(to).map_err(failed)?;
    let options = SqliteConnectOptions::new().filename(from).create_if_missing(false).busy_timeout(PATIENCE);
    let mut connection = options.connect().await.map_err(|error| classify(what, error))?;
    let statement = Statement::new("VACUUM INTO ?", vec![target.into()]);
    let copied = sqlite::execute(&mut connection, statement).await;
    let closed = connection.close().await;
    copied.and(closed).map_err(|error| classify(what, error))?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(failed)?;
    files::sync_name(to).map_err(failed)
}

impl Store {
    /// Takes out all that is stored of a flight, as if it had never been. For copies that nobody sells from.
    pub async fn forget(&self, flight_id: &FlightId) -> Result<(), StoreError> {
        let what = "forgetting a flight";
        let mut transaction = self.begin_write().await?;
        for table in OF_FLIGHTS {
            let sql = format!("DELETE FROM {} WHERE flight_id = ?", table.name);
            transaction.execute(what, Statement::new(sql, vec![flight_id.as_str().into()])).await?;
        }
        transaction.commit(what).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Dialect;

    #[tokio::test]
    async fn every_table_with_a_column_for_the_flight_is_one_that_forgetting_knows() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        let store = Store::open(&url, &crate::store::StoreOptions::default()).await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.dialect(), Dialect::Sqlite);
        let sql = "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'flight_id'";
        let rows = store.read("reading the tables", Statement::new(sql, Vec::new())).await.unwrap();
        let mut found: Vec<String> = rows.iter().map(|row| format!("{:?}", row[0])).collect();
        let mut known: Vec<String> = OF_FLIGHTS
            .iter()
            .map(|table| format!("{:?}", crate::store::value::Value::from(table.name)))
            .collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}
