//! The store: flights, seats and orders in SQL tables, for queries and for recovery.
//! Never acknowledges anything: the journal does, and the store follows it.
//!
//! What a table's row means, what a flush does and what is read stands in dialect-free files (`changes`, `flush`,
//! `read`, `rows`, `table`); a dialect's file opens connections, runs statements, and knows its own words.

mod changes;
mod column_text;
mod copy;
mod database;
mod error;
mod flush;
mod heads;
mod ids;
mod migrations;
mod money;
mod mysql;
mod options;
mod outcome;
mod owner;
mod read;
mod refunds;
mod rows;
mod seen;
mod sqlite;
mod state_rows;
mod statements;
mod stored;
mod table;
mod value;
mod waitlist;
mod webhooks;
mod weights;

pub use copy::copy_sqlite;
pub use database::Store;
pub(crate) use database::Waiting;
pub use error::{Cause, StoreError};
pub use flush::FLIGHTS_PER_CALL_MAX;
pub use migrations::MigrationStatus;
pub use money::{Refund, RefundReason};
pub use mysql::MySqlStore;
pub use options::{Asker, ReplicaState, ReplicaStatus, StoreOptions};
pub use owner::JournalOwner;
pub use read::PAGE_ORDERS_MAX;
pub use refunds::{AuditRow, StoredChange};
pub use seen::{STATEMENTS_MAX, SeenStatement, Statements, seeing};
pub use sqlite::SqliteStore;
#[doc(hidden)]
pub use state_rows::TableRows;
pub use stored::{
    Cursor, Flushed, Listed, OrderFilter, OrderPlace, StoredFlight, StoredOrder, Ticket, TicketStatus,
};
pub use waitlist::StoredWaitlistEntry;
pub use webhooks::WebhookCursor;
pub(crate) use weights::{bytes_held, rows_written};
