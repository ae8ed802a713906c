//! The numbered migrations, embedded in the binary.
//! Never changes one that was released: a new one is added.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::table::Dialect;

/// A migration: number, name, text.
type Source = (i64, &'static str, &'static str);

const SQLITE: &[Source] = &[
    (1, "initial", include_str!("../../../migrations/sqlite/0001_initial.sql")),
    (2, "no index by order id", include_str!("../../../migrations/sqlite/0002_no_index_by_order_id.sql")),
    (3, "life of an order", include_str!("../../../migrations/sqlite/0003_life_of_an_order.sql")),
    (5, "journal owner", include_str!("../../../migrations/sqlite/0005_journal_owner.sql")),
    (6, "keys have owners", include_str!("../../../migrations/sqlite/0006_keys_have_owners.sql")),
    (7, "departures", include_str!("../../../migrations/sqlite/0007_departures.sql")),
    (8, "payments for nothing", include_str!("../../../migrations/sqlite/0008_payments_for_nothing.sql")),
    (9, "unguessable ids", include_str!("../../../migrations/sqlite/0009_unguessable_ids.sql")),
    (10, "orders by locator", include_str!("../../../migrations/sqlite/0010_orders_by_locator.sql")),
];

const MYSQL: &[Source] = &[
    (1, "initial", include_str!("../../../migrations/mysql/0001_initial.sql")),
    (2, "no index by order id", include_str!("../../../migrations/mysql/0002_no_index_by_order_id.sql")),
    (3, "life of an order", include_str!("../../../migrations/mysql/0003_life_of_an_order.sql")),
    (5, "journal owner", include_str!("../../../migrations/mysql/0005_journal_owner.sql")),
    (6, "keys have owners", include_str!("../../../migrations/mysql/0006_keys_have_owners.sql")),
    (7, "departures", include_str!("../../../migrations/mysql/0007_departures.sql")),
    (8, "payments for nothing", include_str!("../../../migrations/mysql/0008_payments_for_nothing.sql")),
    (9, "unguessable ids", include_str!("../../../migrations/mysql/0009_unguessable_ids.sql")),
    (10, "orders by locator", include_str!("../../../migrations/mysql/0010_orders_by_locator.sql")),
];

/// Of these MySQL migrations every statement may be run again: needed, because one that was cut off half-way cannot
/// be rolled back there. All others stop at such a point for somebody to look.
pub(super) const MYSQL_REPEATABLE: &[i64] = &[1, 2, 3, 5, 6, 7, 8, 9, 10];

/// A migration and whether this store has had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// Whether it was applied.
    pub applied: bool,
}

fn sources(dialect: Dialect) -> &'static [Source] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::MySql => MYSQL,
    }
}

pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let migrations = sources(dialect).iter().map(|&(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

pub(super) fn status(dialect: Dialect, applied: &[i64]) -> Vec<MigrationStatus> {
    sources(dialect)
        .iter()
        .map(|&(version, name, _)| MigrationStatus { version, name, applied: applied.contains(&version) })
        .collect()
}
