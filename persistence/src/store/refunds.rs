//! What admins ask of the store besides orders: money to be given back, and what it knows of events that the journal
//! no longer has. Never writes.

use std::collections::HashMap;

use farerush_engine::flight::{FlightId, OrderNo, Seq, Timestamp, WaitlistNo};

use super::database::Store;
use super::error::StoreError;
use super::money::{Refund, decode_refund};
use super::options::Asker;
use super::read::PAGE_ORDERS_MAX;
use super::rows::{decode_order, decoded};
use super::stored::StoredOrder;
use super::table::{AUDIT, ORDERS, REFUNDS, of_flight};
use super::value::{Reader, Row, Unreadable};

/// A row of the audit of what admins did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The event.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// What was done, such as `open` or `add_rows`.
    pub action: String,
    /// JSON: what was asked for.
    pub details: String,
    /// By whom, where that was noted.
    pub admin: Option<String>,
}

impl AuditRow {
    /// The order that an admin changed in its customer's place; `None` if it was something else.
    pub fn order_no(&self) -> Option<OrderNo> {
        let details: serde_json::Value = serde_json::from_str(&self.details).ok()?;
        details.get("order_no")?.as_u64().map(OrderNo)
    }
}

/// What the store knows of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredChange {
    /// An admin caused it.
    Admin(AuditRow),
    /// It placed this order, for somebody who waited if the entry is named; what the order looks like now may be the
    /// work of later events.
    Placed(Box<StoredOrder>, Option<WaitlistNo>),
    /// It was the last one so far that changed this order.
    Changed(Box<StoredOrder>),
}

impl StoredChange {
    /// The event.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Admin(row) => row.seq,
            Self::Placed(order, _) => Seq(order.order.no.0),
            Self::Changed(order) => order.order.changed_by,
        }
    }
}

impl Store {
    /// What is to be given back on a flight, by rising seq and order: behind `after`, at most `limit` and never more
    /// than [`PAGE_ORDERS_MAX`]. One statement: the future may be dropped at any time.
    pub async fn refunds(
        &self,
        flight_id: &FlightId,
        after: Option<(Seq, OrderNo)>,
        limit: usize,
    ) -> Result<Vec<Refund>, StoreError> {
        let _turn = self.turn_of(Asker::Admin).await?;
        let (seq, order) = after.unwrap_or((Seq(0), OrderNo(0)));
        let more = " AND (seq > ? OR (seq = ? AND order_no > ?)) ORDER BY seq, order_no LIMIT ?";
        let mut statement = of_flight(&REFUNDS.select(), flight_id, more);
        let limit = limit.clamp(1, PAGE_ORDERS_MAX) as u64;
        statement.arguments.extend([seq.0.into(), seq.0.into(), order.0.into(), limit.into()]);
        let rows = self.read("listing refunds", statement).await?;
        decoded("refunds", Some(flight_id), rows, decode_refund)
    }

    /// What the store knows of the events behind `after` and in front of `before`, by rising seq, at most `limit`:
    /// what admins did, and of each order how it began and what happened to it last. What lay between is gone.
    pub async fn changes(
        &self,
        flight_id: &FlightId,
        after: Seq,
        before: Seq,
        limit: usize,
    ) -> Result<Vec<StoredChange>, StoreError> {
        let _turn = self.turn_of(Asker::Admin).await?;
        let limit = limit.clamp(1, PAGE_ORDERS_MAX);
        let between = |select: &str, column: &str, more: &str| {
            let rest = format!(" AND {column} > ? AND {column} < ?{more} ORDER BY {column} LIMIT ?");
            let mut statement = of_flight(select, flight_id, &rest);
            statement.arguments.extend([after.0.into(), before.0.into(), (limit as u64).into()]);
            statement
        };
        let rows = self.read("reading the audit", between(&AUDIT.select(), "seq", "")).await?;
        let mut found: Vec<StoredChange> = decoded("admin_audit", Some(flight_id), rows, decode_audit)?
            .into_iter()
            .map(StoredChange::Admin)
            .collect();
        let rows = self.read("reading orders", between(&ORDERS.select(), "order_no", "")).await?;
        let placed = decoded("orders", Some(flight_id), rows, decode_order)?.into_iter();
        let served = self.served_between(flight_id, after, before).await?;
        found.extend(placed.map(|order| {
            let entry = served.get(&order.order.no).copied();
            StoredChange::Placed(Box::new(order), entry)
        }));
        // An event of an admin's may change many orders, and is told as one.
        let others = " AND changed_by <> order_no AND changed_by NOT IN (SELECT seq FROM admin_audit WHERE flight_id = ?)";
        let mut changed = between(&ORDERS.select(), "changed_by", others);
        let limit_at = changed.arguments.len() - 1;
        changed.arguments.insert(limit_at, flight_id.as_str().into());
        let rows = self.read("reading orders", changed).await?;
        let changed = decoded("orders", Some(flight_id), rows, decode_order)?.into_iter();
        found.extend(changed.map(|order| StoredChange::Changed(Box::new(order))));
        found.sort_by_key(StoredChange::seq);
        found.truncate(limit);
        Ok(found)
    }
}

impl Store {
    /// Entries of the waitlist that got an order placed behind `after` and in front of `before`, by order.
    async fn served_between(
        &self,
        flight_id: &FlightId,
        after: Seq,
        before: Seq,
    ) -> Result<HashMap<OrderNo, WaitlistNo>, StoreError> {
        let select = "SELECT order_no, entry_no FROM waitlist";
        let mut statement = of_flight(select, flight_id, " AND order_no > ? AND order_no < ?");
        statement.arguments.extend([after.0.into(), before.0.into()]);
        let rows = self.read("reading the waitlist", statement).await?;
        decoded("waitlist", Some(flight_id), rows, |row| {
            let mut row = Reader::new(&["order_no", "entry_no"], row);
            Ok((OrderNo(row.bits()?), WaitlistNo(row.bits()?)))
        })
        .map(|served| served.into_iter().collect())
    }
}

fn decode_audit(row: Row) -> Result<AuditRow, Unreadable> {
    let mut row = Reader::new(AUDIT.columns, row);
    row.text()?;
    Ok(AuditRow {
        seq: Seq(row.bits()?),
        at: Timestamp::from_millis(row.int()?),
        action: row.text()?,
        details: row.text()?,
        admin: row.optional_text()?,
    })
}
