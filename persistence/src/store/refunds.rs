//! What admins ask of the store besides orders: money to be given back, and what it knows of events that the journal
//! no longer has. Never writes.

use farerush_engine::flight::{
    Currency, CustomerId, FlightId, OrderId, OrderNo, Reference, Seats, Seq, Timestamp,
};

use super::error::StoreError;
use super::read::{PAGE_ORDERS_MAX, decoded, of_flight};
use super::rows::{decode_order, decode_refund};
use super::table::{AUDIT, ORDERS, REFUNDS};
use super::value::{Reader, Row, Unreadable};
use super::{Store, StoredOrder};

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundReason {
    /// Somebody cancelled the order after it had been confirmed.
    Cancelled,
    /// It ended because a new seat plan had no place for it.
    SeatsLost,
}

impl RefundReason {
    /// All reasons.
    pub const ALL: [Self; 2] = [Self::Cancelled, Self::SeatsLost];

    /// The name the tables use, and the outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::SeatsLost => "seats_lost",
        }
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Money to be given back for what one event took from a confirmed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The event.
    pub seq: Seq,
    /// The order.
    pub order_id: OrderId,
    /// What its traveller reads out.
    pub record_locator: String,
    /// Whose it is.
    pub customer: CustomerId,
    /// The seats that it lost.
    pub seats: Seats,
    /// How much goes back, in minor units.
    pub amount: i64,
    /// Of this currency.
    pub currency: Currency,
    /// The payment that had confirmed it; none where grabs were confirmed at once.
    pub payment_reference: Option<Reference>,
    /// When that was.
    pub at: Timestamp,
    /// Why.
    pub reason: RefundReason,
}

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

/// What the store knows of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredChange {
    /// An admin caused it.
    Admin(AuditRow),
    /// It placed this order; what the order looks like now may be the work of later events.
    Placed(Box<StoredOrder>),
    /// It was the last one so far that changed this order.
    Changed(Box<StoredOrder>),
}

impl StoredChange {
    /// The event.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Admin(row) => row.seq,
            Self::Placed(order) => Seq(order.order.no.0),
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
        found.extend(placed.map(|order| StoredChange::Placed(Box::new(order))));
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
