//! Which journal and which store are meant.
//! Never opens one.

use std::path::{Path, PathBuf};

use crate::base::settings::{Secret, expand};

/// Where events become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalTarget {
    /// Segments in this directory.
    File(PathBuf),
    /// Redis servers that this URL names, which may hold a password.
    Redis(Secret),
    /// Nowhere: gone with the process.
    Memory,
}

/// The SQL side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreTarget {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A MySQL (or MariaDB) server at this URL, which holds a password.
    MySql(Secret),
}

pub(super) fn journal_target(text: &str, data_dir: &Path) -> Result<Option<JournalTarget>, String> {
    match text.split_once(':') {
        _ if text == "file:<data_dir>/journal" => Ok(None),
        Some(("file", path)) if !path.is_empty() => Ok(Some(JournalTarget::File(expand(path, data_dir)))),
        Some(("memory", "")) => Ok(Some(JournalTarget::Memory)),
        Some((
            "redis" | "rediss" | "unix" | "redis+unix" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster"
            | "rediss+cluster",
            rest,
        ))
            if rest.strip_prefix("//").is_some_and(|rest| !rest.is_empty()) =>
        {
            Ok(Some(JournalTarget::Redis(Secret::new(text))))
        }
        _ => {
            Err("must be file:<directory>, redis://[[user]:password@]host[:port][/db] (rediss:// with TLS, \
                 unix://<path> for a socket), redis+sentinel://[[user]:password@]host:port,host:port/name[/db], \
                 redis+cluster://[[user]:password@]host:port,host:port or memory:"
                .to_owned())
        }
    }
}

pub(super) fn store_target(text: &str, data_dir: &Path) -> Result<Option<StoreTarget>, String> {
    match text.split_once(':') {
        _ if text == "sqlite:<data_dir>/farerush.db" => Ok(None),
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Some(StoreTarget::Sqlite(expand(path.strip_prefix("//").unwrap_or(path), data_dir))))
        }
        Some(("mysql", _)) => mysql_url(text).map(|url| Some(StoreTarget::MySql(url))),
        Some(("mariadb", _)) => Err("MariaDB is written mysql://, too".to_owned()),
        _ => Err(format!("must be sqlite:<file> or {MYSQL_URL}")),
    }
}

const MYSQL_URL: &str = "mysql://user:password@host[:port]/database";

pub(super) fn mysql_url(text: &str) -> Result<Secret, String> {
    // The rest is checked by whoever connects; nothing of it may show in a message.
    match text.strip_prefix("mysql://") {
        Some(rest) if !rest.is_empty() => Ok(Secret::new(text)),
        _ => Err(format!("must be {MYSQL_URL}")),
    }
}
