//! The ids in the tables: with which secrets they were made, and new ones for rows whose old ids count as known to
//! strangers. Never holds a secret: the tables know them by name only.

use std::collections::BTreeSet;
use std::sync::Arc;

use farerush_engine::flight::{
    FlightId, FlightIds, IdSecrets, OrderId, OrderNo, SecretId, WaitlistId, WaitlistNo,
};

use super::database::Store;
use super::error::StoreError;
use super::rows::{FlightRow, decoded};
use super::table::{FLIGHTS, ID_SECRETS, Statement};
use super::value::{Reader, Row, Unreadable, Value};

/// Rows that get their ids in one transaction.
const REISSUED_AT_ONCE: u64 = 500;

/// What the store says of the secrets.
enum SecretsState {
    /// Ids were made with another one.
    Unknown(SecretId),
    /// All rows have ids.
    Settled,
    /// Some rows may have none.
    Unsettled,
}

impl Store {
    /// Notes with which secret ids are made from now on, and gives new ids to all rows whose old ones were taken away (by
    /// migration 9: they could be worked out from one another). The secrets that the store's ids were made with must be
    /// among `secrets`: else gives the first one that is not, and changes nothing. May be cut off at any time: the next
    /// call goes on.
    pub async fn settle_ids(&self, secrets: &Arc<IdSecrets>) -> Result<Option<SecretId>, StoreError> {
        let noted = loop {
            match self.note_secrets(secrets).await {
                Err(StoreError::Conflict { .. }) => {} // somebody else did so at the same moment
                noted => break noted?,
            }
        };
        match noted {
            SecretsState::Unknown(secret) => return Ok(Some(secret)),
            SecretsState::Settled => return Ok(None),
            SecretsState::Unsettled => {}
        }
        let mut reissued = 0;
        for (table, number) in [("orders", "order_no"), ("waitlist", "entry_no"), ("refunds", "order_no")] {
            reissued += self.reissue_all(secrets, table, number).await?;
        }
        if reissued > 0 {
            tracing::warn!(
                rows = reissued,
                "ids that could be worked out by strangers are void: rows have new ones"
            );
        }
        let what = "noting that all rows have their ids";
        let mut transaction = self.begin_write().await?;
        let statement = Statement::new("UPDATE id_secrets SET settled = 1", Vec::new());
        transaction.execute(what, statement).await?;
        transaction.commit(what).await?;
        Ok(None)
    }

    async fn note_secrets(&self, secrets: &IdSecrets) -> Result<SecretsState, StoreError> {
        let what = "noting the name of a secret";
        let mut transaction = self.begin_write().await?;
        let lock = transaction.lock();
        let select = format!("{}{}{}", ID_SECRETS.select(), lock.index, lock.end);
        let rows = transaction.fetch(what, Statement::new(select, Vec::new())).await?;
        let noted = decoded("id_secrets", None, rows, decode_secret)?;
        let known: BTreeSet<SecretId> = secrets.known().collect();
        if let Some((unknown, _)) = noted.iter().find(|(secret, _)| !known.contains(secret)) {
            return Ok(SecretsState::Unknown(*unknown));
        }
        let settled = noted.iter().any(|(_, settled)| *settled);
        if !noted.iter().any(|(secret, _)| *secret == secrets.current()) {
            let row = vec![secrets.current().to_string().into(), i64::from(settled).into()];
            for statement in ID_SECRETS.inserts(vec![row]) {
                let inserted = transaction.execute(what, statement).await;
                inserted.map_err(|error| match error {
                    StoreError::Rejected { source, .. } => StoreError::Conflict { what, source },
                    error => error,
                })?;
            }
            transaction.commit(what).await?;
        }
        Ok(if settled { SecretsState::Settled } else { SecretsState::Unsettled })
    }

    async fn reissue_all(
        &self,
        secrets: &Arc<IdSecrets>,
        table: &str,
        number: &str,
    ) -> Result<u64, StoreError> {
        let id = if table == "waitlist" { "waitlist_id" } else { "order_id" };
        let (mut reissued, mut behind) = (0, (String::new(), 0_u64));
        loop {
            let sql = format!(
                "SELECT flight_id, {number} FROM {table} WHERE {id} = '' AND (flight_id > ? OR (flight_id = ? AND \
                 {number} > ?)) ORDER BY flight_id, {number} LIMIT ?"
            );
            let (flight, no) = (behind.0.as_str(), behind.1);
            let arguments = vec![flight.into(), flight.into(), no.into(), REISSUED_AT_ONCE.into()];
            let rows = self.read("looking for rows without an id", Statement::new(sql, arguments)).await?;
            let found = decoded(table, None, rows, decode_place)?;
            let Some((flight_id, no)) = found.last() else { return Ok(reissued) };
            behind = (flight_id.to_string(), *no);
            reissued += found.len() as u64;
            self.reissue(secrets, table, &found).await?;
        }
    }

    async fn reissue(
        &self,
        secrets: &Arc<IdSecrets>,
        table: &str,
        found: &[(FlightId, u64)],
    ) -> Result<(), StoreError> {
        let what = "giving rows new ids";
        let mut flights: Vec<(&FlightId, FlightIds)> = Vec::new();
        let mut transaction = self.begin_write().await?;
        for (flight_id, no) in found {
            if flights.last().is_none_or(|(known, _)| known != &flight_id) {
                let select = FLIGHTS.select() + " WHERE flight_id = ?";
                let statement = Statement::new(select, vec![flight_id.as_str().into()]);
                let rows = transaction.fetch("reading a flight", statement).await?;
                let row = decoded("flights", Some(flight_id), rows, FlightRow::decode)?.pop();
                let gone = || StoreError::damaged(Some(flight_id), format!("{table} has rows of no flight"));
                let mut ids = row.ok_or_else(gone)?.definition.ids;
                ids.unlock(flight_id, secrets)
                    .map_err(|unknown| StoreError::damaged(Some(flight_id), unknown.to_string()))?;
                flights.push((flight_id, ids));
            }
            let Some((_, ids)) = flights.last() else { continue };
            let key = [Value::from(flight_id.as_str()), (*no).into()];
            let statement = if table == "waitlist" {
                let id = WaitlistId::of(flight_id, ids, WaitlistNo(*no)).to_string();
                let sql = "UPDATE waitlist SET waitlist_id = ? WHERE flight_id = ? AND entry_no = ?";
                Statement::new(sql, [id.into()].into_iter().chain(key).collect())
            } else {
                let id = OrderId::of(flight_id, ids, OrderNo(*no)).to_string();
                let locator = ids.record_locator(OrderNo(*no));
                let sql = format!(
                    "UPDATE {table} SET order_id = ?, record_locator = ? WHERE flight_id = ? AND order_no = ?"
                );
                let names = [id.into(), locator.as_str().into()];
                Statement::new(sql, names.into_iter().chain(key).collect())
            };
            transaction.execute(what, statement).await?;
        }
        transaction.commit(what).await
    }
}

/// A secret's name, and whether all rows had their ids when it was noted, or have since.
fn decode_secret(row: Row) -> Result<(SecretId, bool), Unreadable> {
    let mut row = Reader::new(ID_SECRETS.columns, row);
    Ok((row.parsed(|text| u64::from_str_radix(text, 16)).map(SecretId)?, row.int()? == 1))
}

fn decode_place(row: Row) -> Result<(FlightId, u64), Unreadable> {
    let mut row = Reader::new(&["flight_id", "no"], row);
    Ok((row.parsed(FlightId::new)?, row.bits()?))
}
