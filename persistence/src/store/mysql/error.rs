//! What a server's error numbers mean to the store, the same for MySQL 8 and MariaDB.
//! Never retries and never shows a password: servers do not send one back.

use std::io;

use sqlx::mysql::MySqlDatabaseError;

use crate::store::error::StoreError;

/// The number of a server's error.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// Whether the connection, not the statement, is what failed: on another one it may well succeed.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != io::ErrorKind::TimedOut,
        sqlx::Error::Protocol(_) => true,
        // Shutting down, killed, offline, idle for too long (MySQL says so before it closes), killed by MariaDB.
        _ => matches!(number(error), Some(1053 | 1152 | 1927 | 2006 | 2013 | 3032 | 4031)),
    }
}

/// Whether the connection may be used again after this.
pub(super) fn leaves_it_sound(error: &sqlx::Error) -> bool {
    // A server that turned read-only is not the primary any more: the next connection may lead to the new one.
    // So is one that has left its cluster (1047).
    let is_sound = !is_lost(error) && !is_read_only(error) && number(error) != Some(1047);
    matches!(error, sqlx::Error::Database(_)) && is_sound
}

/// Whether the server refuses to write.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(1290 | 1792 | 1836))
}

/// The store's error for a server's.
pub(super) fn classify(what: &'static str, error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(_) => by_number(what, error),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => StoreError::Damaged {
            flight_id: None,
            what: format!("{what} failed"),
            source: Some(error.into()),
        },
        sqlx::Error::Configuration(why) => setting(why),
        sqlx::Error::Tls(why) => setting(&format!("mysql: TLS: {why}; see ssl-mode and ssl-ca")),
        // How the TLS library says that it does not trust the server.
        sqlx::Error::Io(why) if why.kind() == io::ErrorKind::InvalidData => {
            setting(&format!("mysql: TLS: {why}; see ssl-mode and ssl-ca"))
        }
        _ => StoreError::Unavailable { what, source: Some(error.into()) },
    }
}

fn by_number(what: &'static str, error: sqlx::Error) -> StoreError {
    let source = Some(error);
    let text = || source.as_ref().map_or_else(String::new, ToString::to_string);
    match source.as_ref().and_then(number) {
        // Deadlock, lock wait, MariaDB's changed snapshot, a certification that failed in a cluster: rolled back.
        Some(1213 | 1205 | 1020 | 3101) => StoreError::Conflict { what, source: source.map(Into::into) },
        Some(1045 | 1044 | 1698 | 1251 | 1862) => setting(&format!(
            "mysql: user or password is wrong, or the user may not use the database; check the URL and the GRANTs: {}",
            text()
        )),
        Some(1049) => setting(&format!("mysql: create the database first: {}", text())),
        Some(1142 | 1143 | 1227 | 1370) => setting(&format!("mysql: the user lacks a privilege: {}", text())),
        Some(1665) => {
            setting(&format!("mysql: the server must not run with binlog_format=STATEMENT: {}", text()))
        }
        Some(1146 | 1054 | 1064 | 1136) => StoreError::Schema {
            what: format!("{what} failed; have all migrations been applied?"),
            source: source.map(Into::into),
        },
        // Duplicate, empty, too long, out of range, not of the type, a check (MySQL, MariaDB), too large a packet.
        Some(1062 | 1048 | 1364 | 1406 | 1264 | 1265 | 1366 | 3819 | 4025 | 1153) => {
            StoreError::Rejected { what, source: source.map(Into::into) }
        }
        _ => StoreError::Unavailable { what, source: source.map(Into::into) },
    }
}

fn setting(what: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Setting { what: what.to_string() }
}
