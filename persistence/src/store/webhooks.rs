//! How far webhooks were delivered: a row a flight, and one that says that webhooks were ever configured.
//! Never knows what is delivered, and never touches what a flush writes.

use std::collections::BTreeMap;

use farerush_engine::flight::{FlightId, Seq};

use super::database::Store;
use super::error::StoreError;
use super::rows::name_of;
use super::table::{NO_LOCK, Statement, WEBHOOKS};
use super::value::{Reader, Row, Unreadable, Value};

/// The row that says that webhooks were configured once: no flight is called so.
const CONFIGURED: &str = "";

/// How far webhooks of a flight were delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookCursor {
    /// The flight concerned.
    pub flight_id: FlightId,
    /// The last event of which everything was delivered; 0 if there is none.
    pub seq: Seq,
    /// Seats on sale after that event, if that is known.
    pub free: Option<u32>,
}

impl Store {
    /// Cursors of all flights; `None` if webhooks were never configured. A flight that has none was created since
    /// they were.
    pub async fn webhook_cursors(&self) -> Result<Option<Vec<WebhookCursor>>, StoreError> {
        let rows = self.read("reading how far webhooks are", all()).await?;
        decode_all(rows)
    }

    /// The cursors of these flights, as far as they have one.
    pub async fn webhook_cursors_of(&self, flights: &[FlightId]) -> Result<Vec<WebhookCursor>, StoreError> {
        let keys = flights.iter().map(|flight_id| vec![flight_id.as_str().into()]).collect();
        let mut found = Vec::new();
        for statement in WEBHOOKS.lookups(NO_LOCK, keys) {
            let rows = self.read("reading how far webhooks are", statement).await?;
            found.extend(decode_all(rows)?.unwrap_or_default());
        }
        Ok(found)
    }

    /// Webhooks are configured for the first time: each flight that is stored begins where it is, those in `here`
    /// where that says. All in one transaction; changes nothing if somebody else has done so meanwhile.
    pub async fn begin_webhooks(&self, here: &[WebhookCursor]) -> Result<(), StoreError> {
        let stored = self.cursors().await?;
        let mut rows: BTreeMap<&FlightId, Row> = BTreeMap::new();
        for cursor in &stored {
            let row =
                encode(&WebhookCursor { flight_id: cursor.flight_id.clone(), seq: cursor.seq, free: None });
            rows.insert(&cursor.flight_id, row);
        }
        rows.extend(here.iter().map(|cursor| (&cursor.flight_id, encode(cursor))));
        let mut transaction = self.begin_write().await?;
        let what = "beginning webhooks";
        if decode_all(transaction.fetch(what, all()).await?)?.is_some() {
            return Ok(());
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.push(vec![CONFIGURED.into(), 0_i64.into(), Value::Null]);
        for statement in WEBHOOKS.upserts(transaction.dialect(), rows) {
            transaction.execute(what, statement).await?;
        }
        transaction.commit(what).await
    }

    /// Moves cursors, to wherever it is said; all in one transaction.
    pub async fn save_webhook_cursors(&self, cursors: &[WebhookCursor]) -> Result<(), StoreError> {
        let what = "saving how far webhooks are";
        let mut transaction = self.begin_write().await?;
        let rows = cursors.iter().map(encode).collect();
        for statement in WEBHOOKS.upserts(transaction.dialect(), rows) {
            transaction.execute(what, statement).await?;
        }
        transaction.commit(what).await
    }
}

fn all() -> Statement {
    Statement::new(WEBHOOKS.select(), Vec::new())
}

fn encode(cursor: &WebhookCursor) -> Row {
    vec![cursor.flight_id.as_str().into(), cursor.seq.0.into(), cursor.free.map(i64::from).into()]
}

/// `None` if the row is missing that says that webhooks were configured, and all others are, too.
fn decode_all(rows: Vec<Row>) -> Result<Option<Vec<WebhookCursor>>, StoreError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let is_flight = |row: &Row| !matches!(row.first(), Some(Value::Text(name)) if name == CONFIGURED);
    let one = |row: Row| {
        let name = name_of(&row);
        decode(row).map_err(|error| StoreError::damaged(None, format!("webhook_cursor {name}: {error}")))
    };
    rows.into_iter().filter(is_flight).map(one).collect::<Result<_, _>>().map(Some)
}

fn decode(row: Row) -> Result<WebhookCursor, Unreadable> {
    let mut row = Reader::new(WEBHOOKS.columns, row);
    Ok(WebhookCursor {
        flight_id: row.parsed(FlightId::new)?,
        seq: Seq(row.bits()?),
        free: row.optional_int()?.and_then(|free| u32::try_from(free).ok()),
    })
}
