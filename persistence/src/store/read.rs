//! What is read from a store: snapshots to recover from, orders to show.
//! Never writes.

use std::time::Duration;

use farerush_engine::flight::retention::{ENDED_ORDER_RETENTION_MS, REQUEST_RETENTION_MS};
use farerush_engine::flight::{
    CustomerId, FlightDefinition, FlightId, FlightSnapshot, OrderId, OrderNo, OrderStatus, Seats, Timestamp,
};

use super::error::StoreError;
use super::flush::order_key;
use super::rows::{FlightRow, decode_cursor, decode_order, decode_request, decode_ticket, name_of};
use super::table::{CURSORS, Dialect, FLIGHTS, NO_LOCK, ORDERS, REQUESTS, Statement, TICKETS, WAITLIST};
use super::value::{Row, Unreadable, Value};
use super::waitlist::decode_waitlisted;
use super::{Asker, Cursor, Store, StoredFlight, StoredOrder, Ticket, TicketStatus, Transaction};

/// How long a list may take where nobody says.
const LIST_PATIENCE: Duration = Duration::from_secs(30);

/// Most orders of one page.
pub const PAGE_ORDERS_MAX: usize = 1_000;

/// Which orders are wanted; everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this flight.
    pub flight_id: Option<FlightId>,
    /// In this status.
    pub status: Option<OrderStatus>,
    /// With this record locator; within a flight it is unique, elsewhere several orders may have it.
    pub record_locator: Option<String>,
    /// Placed at this moment or later.
    pub created_from: Option<Timestamp>,
    /// Placed before this moment.
    pub created_to: Option<Timestamp>,
}

/// A place in the list of orders, newest first: the order after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPlace {
    /// When the order was placed.
    pub created_at: Timestamp,
    /// Its flight.
    pub flight_id: FlightId,
    /// Its number.
    pub order: OrderNo,
}

/// Orders of one page, and what they show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The orders, newest first.
    pub orders: Vec<StoredOrder>,
    /// Whether they are as this store last wrote them; a replica may not have all of that yet.
    pub is_newest: bool,
}

impl StoredOrder {
    /// Where this order stands in the list of orders.
    pub fn place(&self) -> OrderPlace {
        OrderPlace {
            created_at: self.order.created_at,
            flight_id: self.order_id.flight_id.clone(),
            order: self.order.no,
        }
    }
}

impl Store {
    /// Cursors of all flights, by id.
    pub async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        let statement = Statement::new(CURSORS.select() + " ORDER BY flight_id", Vec::new());
        let rows = self.read("reading cursors", statement).await?;
        decoded("flight_cursor", None, rows, decode_cursor)
    }

    /// The cursor of a flight; `None` if nobody ever claimed it.
    pub async fn cursor(&self, flight_id: &FlightId) -> Result<Option<Cursor>, StoreError> {
        let statement = of_flight(&CURSORS.select(), flight_id, "");
        let rows = self.read("reading a cursor", statement).await?;
        Ok(decoded("flight_cursor", Some(flight_id), rows, decode_cursor)?.pop())
    }

    /// A flight exactly as it was after the event at its cursor, as `Flight::restore` wants it; `None` if nothing of
    /// it is stored. Reads in one transaction: not to be called where the future may be dropped half-way.
    pub async fn snapshot(
        &self,
        flight_id: &FlightId,
    ) -> Result<Option<(FlightSnapshot, Cursor)>, StoreError> {
        let mut transaction = self.begin_read().await?;
        let Some((flight, cursor)) = flight_at_cursor(&mut transaction, flight_id).await? else {
            return Ok(None);
        };
        let oldest = cursor.last_at.plus_millis(-ENDED_ORDER_RETENTION_MS);
        let mut orders = of_flight(
            &ORDERS.select(),
            flight_id,
            " AND (status IN ('held', 'confirmed') OR updated_at >= ?) ORDER BY order_no",
        );
        orders.arguments.push(oldest.as_millis().into());
        let orders = transaction.fetch("reading orders", orders).await?;
        let blocked = of_flight(&TICKETS.select(), flight_id, " AND status = 'blocked'");
        let blocked = transaction.fetch("reading tickets", blocked).await?;
        let mut requests = of_flight(&REQUESTS.select(), flight_id, " AND at >= ? ORDER BY seq");
        requests.arguments.push(cursor.last_at.plus_millis(-REQUEST_RETENTION_MS).as_millis().into());
        let requests = transaction.fetch("reading requests", requests).await?;
        let mut waitlist = of_flight(
            &WAITLIST.select(),
            flight_id,
            " AND (status = 'waiting' OR updated_at >= ?) ORDER BY entry_no",
        );
        waitlist.arguments.push(oldest.as_millis().into());
        let waitlist = transaction.fetch("reading a waitlist", waitlist).await?;
        drop(transaction);
        let orders = decoded("orders", Some(flight_id), orders, decode_order)?;
        let blocked: Seats = decoded("tickets", Some(flight_id), blocked, decode_ticket)?
            .iter()
            .map(|ticket| ticket.seat)
            .collect();
        let FlightRow { definition, sale, forgotten_through, .. } = flight;
        let snapshot = FlightSnapshot {
            definition,
            sale,
            seq: cursor.seq,
            last_at: cursor.last_at,
            head: cursor.head,
            forgotten_through,
            blocked,
            orders: orders.into_iter().map(|stored| stored.order).collect(),
            requests: decoded("requests", Some(flight_id), requests, decode_request)?,
            waitlist: decoded("waitlist", Some(flight_id), waitlist, decode_waitlisted)?
                .into_iter()
                .map(|stored| stored.entry)
                .collect(),
        };
        Ok(Some((snapshot, cursor)))
    }

    /// What a flight is, as it is stored; `None` if nothing of it is. One statement: the future may be dropped at any
    /// time. From the replica, if there is one.
    pub async fn definition(&self, flight_id: &FlightId) -> Result<Option<FlightDefinition>, StoreError> {
        let statement = of_flight(&FLIGHTS.select(), flight_id, "");
        let rows = self.query_newest("reading a flight", statement, flight_id).await?;
        let flight = decoded("flights", Some(flight_id), rows, FlightRow::decode)?.pop();
        Ok(flight.map(|flight| flight.definition))
    }

    /// Everything the tables hold of a flight, at its cursor: all its orders and a ticket for each of its seats.
    /// Reads in one transaction: not to be called where the future may be dropped half-way.
    pub async fn flight(&self, flight_id: &FlightId) -> Result<Option<StoredFlight>, StoreError> {
        let mut transaction = self.begin_read().await?;
        let Some((_, cursor)) = flight_at_cursor(&mut transaction, flight_id).await? else {
            return Ok(None);
        };
        let orders = of_flight(&ORDERS.select(), flight_id, " ORDER BY order_no");
        let orders = transaction.fetch("reading orders", orders).await?;
        let tickets = of_flight(&TICKETS.select(), flight_id, " ORDER BY row_no, letter");
        let tickets = transaction.fetch("reading tickets", tickets).await?;
        let waitlist = of_flight(&WAITLIST.select(), flight_id, " ORDER BY entry_no");
        let waitlist = transaction.fetch("reading a waitlist", waitlist).await?;
        drop(transaction);
        Ok(Some(StoredFlight {
            cursor,
            orders: decoded("orders", Some(flight_id), orders, decode_order)?,
            tickets: decoded("tickets", Some(flight_id), tickets, decode_ticket)?,
            waitlist: decoded("waitlist", Some(flight_id), waitlist, decode_waitlisted)?,
        }))
    }

    /// One order; `None` if there is none of this id (a wrong tag is a wrong id). From the replica, if there is one.
    pub async fn order(&self, id: &OrderId) -> Result<Option<StoredOrder>, StoreError> {
        let keys = vec![order_key(&id.flight_id, id.order.no)];
        let Some(statement) = ORDERS.lookups(NO_LOCK, keys).pop() else { return Ok(None) };
        let what = "reading an order";
        let mut rows = self.query_newest(what, statement.clone(), &id.flight_id).await?;
        if rows.is_empty() && self.replica_status().is_some() {
            // That there is none, only the primary knows: another process may have stored it a moment ago.
            rows = self.read(what, statement).await?;
        }
        let order = decoded("orders", Some(&id.flight_id), rows, decode_order)?.pop();
        Ok(order.filter(|order| order.order_id == *id))
    }

    /// The orders of [`list_orders`](Self::list_orders), for a customer who has all the time there is.
    pub async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        let listed = self.list_orders(filter, after, limit, Asker::Customer, LIST_PATIENCE).await?;
        Ok(listed.orders)
    }

    /// Orders, newest first (by time, then flight, then number, all falling): those behind `after`, at most `limit`
    /// and never more than [`PAGE_ORDERS_MAX`]. One statement: the future may be dropped at any time. From the
    /// replica, if there is one that is not too far behind and answers within half of `patience`; else from the primary.
    pub async fn list_orders(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: usize,
        asker: Asker,
        patience: Duration,
    ) -> Result<Listed, StoreError> {
        let _turn = self.turn_of(asker).await?;
        let statement = list(filter, after, limit.clamp(1, PAGE_ORDERS_MAX));
        let (rows, is_newest) =
            self.query("listing orders", statement, filter.flight_id.as_ref(), patience).await?;
        Ok(Listed { orders: decoded("orders", None, rows, decode_order)?, is_newest })
    }

    /// How the database would read such a list, in its own words: for whoever wants to know why one is slow.
    pub async fn plan_of_orders(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: usize,
    ) -> Result<String, StoreError> {
        let mut statement = list(filter, after, limit.clamp(1, PAGE_ORDERS_MAX));
        let explain = match self.dialect() {
            Dialect::Sqlite => "EXPLAIN QUERY PLAN ",
            Dialect::MySql => "EXPLAIN FORMAT=JSON ",
        };
        statement.sql.insert_str(0, explain);
        let rows = self.read("asking how orders are listed", statement).await?;
        let texts = rows.into_iter().flatten().filter_map(|value| match value {
            Value::Text(text) => Some(text),
            Value::Int(_) | Value::Null => None,
        });
        Ok(texts.collect::<Vec<_>>().join("\n"))
    }
}

fn list(filter: &OrderFilter, after: Option<&OrderPlace>, limit: usize) -> Statement {
    let mut conditions: Vec<&str> = Vec::new();
    let mut arguments: Vec<Value> = Vec::new();
    // The narrowest filter is the one whose index is read. SQLite cannot tell which that is, and a plus keeps it from using
    // the others'; MySQL counts for itself, and reads the plus as nothing.
    let mut has_narrower = false;
    let mut narrow = |by_index: &'static str, beside: &'static str, value: &str| {
        conditions.push(if has_narrower { beside } else { by_index });
        has_narrower = true;
        arguments.push(value.into());
    };
    if let Some(locator) = &filter.record_locator {
        narrow("record_locator = ?", "+record_locator = ?", locator);
    }
    if let Some(customer) = &filter.customer {
        narrow("customer_id = ?", "+customer_id = ?", customer.as_str());
    }
    if let Some(flight_id) = &filter.flight_id {
        narrow("flight_id = ?", "+flight_id = ?", flight_id.as_str());
    }
    if let Some(status) = filter.status {
        narrow("status = ?", "+status = ?", status.as_str());
    }
    if let Some(from) = filter.created_from {
        conditions.push("created_at >= ?");
        arguments.push(from.as_millis().into());
    }
    if let Some(to) = filter.created_to {
        conditions.push("created_at < ?");
        arguments.push(to.as_millis().into());
    }
    // Within a flight the numbers rise with time, so that the primary key gives the order by itself.
    let by_number =
        filter.flight_id.is_some() && filter.customer.is_none() && filter.record_locator.is_none();
    match after {
        Some(after) if by_number => {
            conditions.push("order_no < ?");
            arguments.push(after.order.0.into());
        }
        Some(after) => {
            // Spelt out, because MySQL does not use an index for a comparison of tuples.
            conditions.push(
                "created_at <= ? AND (created_at < ? OR flight_id < ? OR (flight_id = ? AND order_no < ?))",
            );
            let (at, flight) = (after.created_at.as_millis(), after.flight_id.as_str());
            arguments.extend([at.into(), at.into(), flight.into(), flight.into(), after.order.0.into()]);
        }
        None => {}
    }
    let condition = if conditions.is_empty() { String::new() } else { conditions.join(" AND ") };
    let start = if condition.is_empty() { "" } else { " WHERE " };
    let sort = if by_number { "order_no DESC" } else { "created_at DESC, flight_id DESC, order_no DESC" };
    arguments.push((limit as u64).into());
    Statement::new(format!("{}{start}{condition} ORDER BY {sort} LIMIT ?", ORDERS.select()), arguments)
}

pub(super) async fn flight_at_cursor(
    transaction: &mut Transaction,
    flight_id: &FlightId,
) -> Result<Option<(FlightRow, Cursor)>, StoreError> {
    let rows = transaction.fetch("reading a cursor", of_flight(&CURSORS.select(), flight_id, "")).await?;
    let cursor = decoded("flight_cursor", Some(flight_id), rows, decode_cursor)?.pop();
    let Some(cursor) = cursor.filter(|cursor| cursor.seq.0 > 0) else { return Ok(None) };
    let rows = transaction.fetch("reading a flight", of_flight(&FLIGHTS.select(), flight_id, "")).await?;
    let flight = decoded("flights", Some(flight_id), rows, FlightRow::decode)?.pop();
    let Some(flight) = flight else {
        let what = format!("the cursor is at {}, but there is no row of the flight", cursor.seq);
        return Err(StoreError::damaged(Some(flight_id), what));
    };
    Ok(Some((flight, cursor)))
}

pub(super) fn of_flight(select: &str, flight_id: &FlightId, more: &str) -> Statement {
    Statement::new(format!("{select} WHERE flight_id = ?{more}"), vec![flight_id.as_str().into()])
}

pub(super) fn decoded<T>(
    table: &str,
    flight_id: Option<&FlightId>,
    rows: Vec<Row>,
    decode: impl Fn(Row) -> Result<T, Unreadable>,
) -> Result<Vec<T>, StoreError> {
    let one = |row: Row| {
        let name = name_of(&row);
        decode(row).map_err(|error| StoreError::damaged(flight_id, format!("{table} {name}: {error}")))
    };
    rows.into_iter().map(one).collect()
}

impl TicketStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Free, Self::Held, Self::Sold, Self::Blocked];

    /// The name the tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Sold => "sold",
            Self::Blocked => "blocked",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Ticket {
    /// The ticket of a seat that nobody has.
    pub fn is_unsold(&self) -> bool {
        self.order.is_none()
    }
}
