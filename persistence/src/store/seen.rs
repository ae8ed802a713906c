//! What statements a piece of work made of the store, for those who trace it: which, how long, how many rows.
//! Never there for anybody else: without a list to write into, a statement costs one look for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::StoreError;

/// Most statements of one piece of work that are kept; of a flush these are many thousand rows.
pub const STATEMENTS_MAX: usize = 64;

tokio::task_local! {
    static SEEN: Arc<Statements>;
}

/// A statement, or the beginning or the end of a transaction, with whatever it waited for: a connection, a lock, the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenStatement {
    /// What kind of database the store is.
    pub system: &'static str,
    /// What it was for.
    pub what: &'static str,
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `BEGIN` or `COMMIT`; else `OTHER`.
    pub operation: &'static str,
    /// The table that it names first.
    pub table: Option<String>,
    /// When it began.
    pub began: Instant,
    /// How long it took; `None` if nobody waited for its end.
    pub took: Option<Duration>,
    /// Rows that it gave or changed, if it ended well.
    pub rows: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

/// The statements of one piece of work, as they are made.
#[derive(Debug, Default)]
pub struct Statements(Mutex<Vec<SeenStatement>>);

impl Statements {
    /// Those that have begun so far, at most [`STATEMENTS_MAX`].
    pub fn take(&self) -> Vec<SeenStatement> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Polls a piece of work, or does it, and writes down the statements that begin meanwhile: for all of it, each of its polls
/// has to be done so.
pub fn seeing<T>(statements: Option<&Arc<Statements>>, work: impl FnOnce() -> T) -> T {
    match statements {
        Some(statements) => SEEN.sync_scope(statements.clone(), work),
        None => work(),
    }
}

/// A statement that somebody wants to see, from its beginning to its end.
pub(super) struct StatementMark {
    statements: Arc<Statements>,
    place: usize,
    began: Instant,
}

/// A statement begins; `None` if nobody wants to see it.
pub(super) fn begin(what: &'static str, system: &'static str, sql: &str) -> Option<StatementMark> {
    let statements = SEEN.try_with(Arc::clone).ok()?;
    let began = Instant::now();
    let place = {
        let mut seen = statements.0.lock();
        if seen.len() >= STATEMENTS_MAX {
            return None;
        }
        let (operation, table) = parts(sql);
        let (took, rows, error) = (None, None, None);
        seen.push(SeenStatement { system, what, operation, table, began, took, rows, error });
        seen.len() - 1
    };
    Some(StatementMark { statements, place, began })
}

/// It has ended. `rows` counts what it gave or changed, if that can be counted.
pub(super) fn end<T>(
    mark: Option<StatementMark>,
    done: Result<T, StoreError>,
    rows: impl FnOnce(&T) -> Option<u64>,
) -> Result<T, StoreError> {
    let Some(StatementMark { statements, place, began }) = mark else { return done };
    // It may have been taken meanwhile, by whoever did not wait any longer.
    if let Some(seen) = statements.0.lock().get_mut(place).filter(|seen| seen.began == began) {
        seen.took = Some(began.elapsed());
        match &done {
            Ok(found) => seen.rows = rows(found),
            Err(error) => seen.error = Some(error.to_string()),
        }
    }
    done
}

/// What a statement does, and to which table.
fn parts(sql: &str) -> (&'static str, Option<String>) {
    const KNOWN: [&str; 7] = ["SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "REPLACE"];
    let mut words = sql.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let operation = KNOWN.into_iter().find(|known| *known == first).unwrap_or("OTHER");
    let named =
        if operation == "UPDATE" { Some(first) } else { words.find(|word| ["FROM", "INTO"].contains(word)) };
    // A statement may be very long, but its table stands near its beginning.
    let table = named.and_then(|_| words.next());
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let table = table.map(|table| table.chars().take_while(|letter| is_name(*letter)).collect::<String>());
    (operation, table.filter(|table| !table.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_what_it_does_and_to_which_table() {
        for (sql, expected) in [
            ("SELECT a, b FROM orders WHERE x = ?", ("SELECT", Some("orders"))),
            ("INSERT INTO tickets (a, b) VALUES (?, ?)", ("INSERT", Some("tickets"))),
            ("INSERT INTO tickets(a)", ("INSERT", Some("tickets"))),
            ("UPDATE flight_cursor SET epoch = ?", ("UPDATE", Some("flight_cursor"))),
            ("DELETE FROM requests WHERE a", ("DELETE", Some("requests"))),
            ("BEGIN", ("BEGIN", None)),
            ("COMMIT", ("COMMIT", None)),
            ("SELECT 1", ("SELECT", None)),
            ("EXPLAIN SELECT 1", ("OTHER", None)),
            ("", ("OTHER", None)),
        ] {
            let (operation, table) = parts(sql);
            assert_eq!((operation, table.as_deref()), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_seen_is_what_was_done_within() {
        let rows = |found: &u64| Some(*found);
        let statements = Arc::new(Statements::default());
        seeing(Some(&statements), || {
            let mark = begin("one", "sqlite", "SELECT 1 FROM a");
            end(mark, Ok(3), rows).unwrap();
            let gone = StoreError::Unavailable { what: "two", source: None };
            end(begin("two", "sqlite", "COMMIT"), Err(gone), rows).unwrap_err();
            assert!(begin("three", "sqlite", "BEGIN").is_some(), "it never ends");
        });
        assert!(begin("nobody's", "sqlite", "BEGIN").is_none());
        seeing(None, || assert!(begin("nobody's", "sqlite", "BEGIN").is_none()));
        let found = statements.take();
        let shown: Vec<_> = found.iter().map(|one| (one.what, one.rows, one.took.is_some())).collect();
        assert_eq!(shown, [("one", Some(3), true), ("two", None, true), ("three", None, false)]);
        assert_eq!(found[1].error.as_deref(), Some("store unavailable: two"));
        seeing(Some(&statements), || {
            for _ in 0..2 * STATEMENTS_MAX {
                end(begin("many", "sqlite", "BEGIN"), Ok(1), rows).unwrap();
            }
        });
        assert_eq!(statements.take().len(), STATEMENTS_MAX);
    }
}
