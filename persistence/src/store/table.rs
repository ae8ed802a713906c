//! The tables and their columns.
//! Never runs a statement.

use farerush_engine::flight::FlightId;

use super::value::Value;

/// Which words a database wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite 3.35 or newer.
    Sqlite,
    /// MySQL 8 or MariaDB.
    MySql,
}

impl Dialect {
    /// As traces name it.
    pub(super) const fn system(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::MySql => "mysql",
        }
    }
}

/// What a `SELECT` says in two places so that nobody else changes its rows before the commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hints {
    /// Behind the table's name.
    pub(super) index: &'static str,
    /// At the end.
    pub(super) end: &'static str,
}

/// Reads what others may change meanwhile.
pub(super) const NO_LOCK: Hints = Hints { index: "", end: "" };

/// A table and how rows of it are written: inserted, or, where the key exists, changed in some columns.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// All columns, in the order in which rows are built and read.
    pub(super) columns: &'static [&'static str],
    /// The primary key.
    pub(super) key: &'static [&'static str],
    /// The columns that change when the row exists already.
    pub(super) changing: &'static [&'static str],
}

/// Flights with their cabins and their sale.
pub(super) const FLIGHTS: Table = Table {
    name: "flights",
    columns: &[
        "flight_id",
        "flight_number",
        "origin",
        "destination",
        "departs_at",
        "aircraft",
        "currency",
        "cabins",
        "salt",
        "sale_switch",
        "opens_at",
        "closes_at",
        "max_seats_per_order",
        "max_seats_per_customer",
        "hold_seconds",
        "created_at",
        "payment_grace_seconds",
        "closes_before_minutes",
        "forgotten_through",
        "origin_time_zone",
        "eras",
    ],
    key: &["flight_id"],
    changing: &[
        "aircraft",
        "cabins",
        "sale_switch",
        "opens_at",
        "closes_at",
        "max_seats_per_order",
        "max_seats_per_customer",
        "hold_seconds",
        "payment_grace_seconds",
        "closes_before_minutes",
        "forgotten_through",
        "eras",
    ],
};

/// Seats, one row each.
pub(super) const TICKETS: Table = Table {
    name: "tickets",
    columns: &[
        "flight_id",
        "seat",
        "row_no",
        "letter",
        "cabin_class",
        "fare",
        "status",
        "order_no",
        "passenger",
    ],
    key: &["flight_id", "seat"],
    changing: &["status", "order_no", "passenger"],
};

/// Orders, live and ended.
pub(super) const ORDERS: Table = Table {
    name: "orders",
    columns: &[
        "flight_id",
        "order_no",
        "order_id",
        "record_locator",
        "customer_id",
        "status",
        "seats",
        "quantity",
        "total",
        "currency",
        "hold_expires_at",
        "created_at",
        "updated_at",
        "changed_by",
        "passengers",
        "client_reference",
        "payment_reference",
        "idempotency_key",
        "fingerprint",
        "payment_begun_at",
        "returned_payments",
        "proof",
    ],
    key: &["flight_id", "order_no"],
    changing: &[
        "status",
        "seats",
        "total",
        "hold_expires_at",
        "updated_at",
        "changed_by",
        "passengers",
        "payment_reference",
        "payment_begun_at",
        "returned_payments",
        "proof",
    ],
};

/// What admins did, a row for each event of theirs.
pub(super) const AUDIT: Table = Table {
    name: "admin_audit",
    columns: &["flight_id", "seq", "at", "action", "details", "admin"],
    key: &["flight_id", "seq"],
    changing: &["details"],
};

/// Keys of requests other than grabs, for as long as the flight remembers them and a little longer.
pub(super) const REQUESTS: Table = Table {
    name: "requests",
    columns: &["flight_id", "owner", "idempotency_key", "fingerprint", "seq", "at", "order_no", "outcome"],
    key: &["flight_id", "owner", "idempotency_key"],
    // A key that was forgotten may come again.
    changing: &["fingerprint", "seq", "at", "order_no", "outcome"],
};

/// Waitlists, a row for each party, also for those that wait no longer.
pub(super) const WAITLIST: Table = Table {
    name: "waitlist",
    columns: &[
        "flight_id",
        "entry_no",
        "waitlist_id",
        "customer_id",
        "party_size",
        "accept",
        "at_least",
        "cabin_class",
        "expires_at",
        "client_reference",
        "status",
        "order_no",
        "created_at",
        "updated_at",
        "changed_by",
    ],
    key: &["flight_id", "entry_no"],
    changing: &["status", "order_no", "updated_at", "changed_by"],
};

/// Money to be given back: orders that ended after they had been confirmed.
pub(super) const REFUNDS: Table = Table {
    name: "refunds",
    columns: &[
        "flight_id",
        "seq",
        "order_no",
        "order_id",
        "record_locator",
        "customer_id",
        "seats",
        "amount",
        "currency",
        "payment_reference",
        "at",
        "reason",
    ],
    key: &["flight_id", "seq", "order_no"],
    changing: &["amount"],
};

/// Owners and progress.
pub(super) const CURSORS: Table = Table {
    name: "flight_cursor",
    columns: &["flight_id", "epoch", "seq", "last_at", "head"],
    key: &["flight_id"],
    // Only a claim writes a whole cursor row; seq moves by compare-and-set alone.
    changing: &["epoch"],
};

/// The chain's heads, those of one flush in one row: by them a receipt is checked when its event is long gone.
pub(super) const HEADS: Table = Table {
    name: "flight_heads",
    columns: &["flight_id", "first_seq", "heads"],
    key: &["flight_id", "first_seq"],
    changing: &["heads"],
};

/// Which secrets the ids in the tables were made with.
pub(super) const ID_SECRETS: Table =
    Table { name: "id_secrets", columns: &["secret", "settled"], key: &["secret"], changing: &["settled"] };

/// Which journal the store belongs to.
pub(super) const OWNER: Table = Table {
    name: "journal_owner",
    columns: &["place", "journal_id", "journal", "holder", "beats"],
    key: &["place"],
    changing: &["journal_id", "journal", "holder", "beats"],
};

/// How far webhooks were delivered.
pub(super) const WEBHOOKS: Table = Table {
    name: "webhook_cursor",
    columns: &["flight_id", "seq", "free_seats"],
    key: &["flight_id"],
    changing: &["seq", "free_seats"],
};

/// A statement and its arguments.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// The text, with `?` for each argument.
    pub(super) sql: String,
    /// The arguments.
    pub(super) arguments: Vec<Value>,
}

impl Statement {
    /// A statement with these arguments.
    pub(super) fn new(sql: impl Into<String>, arguments: Vec<Value>) -> Self {
        Self { sql: sql.into(), arguments }
    }
}

impl Table {
    /// `SELECT` all columns, up to and without the condition.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.columns.join(", "), self.name)
    }
}

/// A statement on the rows of a flight, with more behind the condition.
pub(super) fn of_flight(select: &str, flight_id: &FlightId, more: &str) -> Statement {
    Statement::new(format!("{select} WHERE flight_id = ?{more}"), vec![flight_id.as_str().into()])
}
