//! The text of multi-row statements on the tables.
//! Never runs one.

use farerush_engine::flight::{Cabin, FlightId};

use super::table::{Dialect, FLIGHTS, Hints, ORDERS, Statement, Table};
use super::value::{Row, Value};
use super::{mysql, sqlite};

/// Rows (or keys) of one statement. Any number is made up of these, so that a connection prepares each table's
/// statement five times at most and finds it in its cache ever after.
const CHUNK_ROWS: [usize; 5] = [512, 128, 32, 8, 1];

/// The smallest limit of placeholders a statement meets: SQLite's (MySQL has 65,535).
const PLACEHOLDERS_MAX: usize = 32_766;
const _: () = assert!(CHUNK_ROWS[0] * ORDERS.columns.len() <= PLACEHOLDERS_MAX);
const _: () = assert!(CHUNK_ROWS[0] * FLIGHTS.columns.len() <= PLACEHOLDERS_MAX);

/// Text in the rows of one statement, in bytes; more only where a single row has more. MySQL refuses a statement that
/// is larger than its `max_allowed_packet`, 16 MiB or more by default.
const STATEMENT_BYTES_MAX: usize = 2 << 20;

/// Largest number of keys looked up by one statement: long chains of OR cost more than they save.
const LOOKUP_KEYS_MAX: usize = 128;

impl Table {
    /// Statements that write these rows: new ones are inserted, others changed.
    pub(super) fn upserts(&self, dialect: Dialect, rows: Vec<Row>) -> Vec<Statement> {
        self.inserts_with(&self.upsert_suffix(dialect), rows)
    }

    fn upsert_suffix(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Sqlite => sqlite::upsert_suffix(self),
            Dialect::MySql => mysql::upsert_suffix(self),
        }
    }

    /// Statements that insert these rows; one whose key exists already is an error.
    pub(super) fn inserts(&self, rows: Vec<Row>) -> Vec<Statement> {
        self.inserts_with("", rows)
    }

    fn inserts_with(&self, suffix: &str, rows: Vec<Row>) -> Vec<Statement> {
        let tuple = format!("({})", placeholders("?", self.columns.len(), ", "));
        let start = format!("INSERT INTO {} ({}) VALUES ", self.name, self.columns.join(", "));
        chunks(rows, CHUNK_ROWS[0])
            .map(|rows| {
                let tuples = placeholders(&tuple, rows.len(), ", ");
                Statement::new(format!("{start}{tuples}{suffix}"), rows.into_iter().flatten().collect())
            })
            .collect()
    }

    /// A statement that gives every seat of a cabin a row that says free. The database makes the rows up by itself: a
    /// new flight has hundreds of them, and moving each of their values there costs ten times as much.
    pub(super) fn free_seats(&self, dialect: Dialect, flight_id: &FlightId, cabin: &Cabin) -> Statement {
        let suffix = self.upsert_suffix(dialect);
        let letters: Vec<String> = cabin
            .layout
            .letters()
            .iter()
            .map(|&letter| format!("SELECT '{}' AS letter", char::from(letter)))
            .collect();
        // The condition tells SQLite's parser that the ON behind it does not belong to the join.
        let sql = format!(
            "INSERT INTO {} ({}) WITH RECURSIVE numbers (row_no) AS (SELECT CAST(? AS SIGNED) UNION ALL SELECT row_no + 1 \
             FROM numbers WHERE row_no < ?) SELECT ?, CONCAT(row_no, letter), row_no, letter, ?, ?, 'free', NULL, NULL \
             FROM numbers CROSS JOIN ({}) letters WHERE 1 = 1{suffix}",
            self.name,
            self.columns.join(", "),
            letters.join(" UNION ALL ")
        );
        let arguments = vec![
            i64::from(cabin.first_row).into(),
            i64::from(cabin.last_row).into(),
            flight_id.as_str().into(),
            cabin.cabin_class.as_str().into(),
            cabin.fare.amount.into(),
        ];
        Statement::new(sql, arguments)
    }

    /// Statements that read the rows with these keys.
    pub(super) fn lookups(&self, lock: Hints, keys: Vec<Row>) -> Vec<Statement> {
        let one = self.key.iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(" AND ");
        let start = self.select();
        chunks(keys, LOOKUP_KEYS_MAX)
            .map(|keys| {
                // A key of one column reads best as a list, one of several as a chain of ORs.
                let condition = match self.key {
                    [column] => format!("{column} IN ({})", placeholders("?", keys.len(), ", ")),
                    _ => placeholders(&format!("({one})"), keys.len(), " OR "),
                };
                let sql = format!("{start}{} WHERE {condition}{}", lock.index, lock.end);
                Statement::new(sql, keys.into_iter().flatten().collect())
            })
            .collect()
    }
}

fn placeholders(one: &str, count: usize, between: &str) -> String {
    let mut text = String::with_capacity(count * (one.len() + between.len()));
    for place in 0..count {
        if place > 0 {
            text.push_str(between);
        }
        text.push_str(one);
    }
    text
}

fn chunks(rows: Vec<Row>, rows_max: usize) -> impl Iterator<Item = Vec<Row>> {
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let left = rows.len();
        let fits = |size: usize| {
            size <= left
                && size <= rows_max
                && (size == 1 || bytes(&rows.as_slice()[..size]) <= STATEMENT_BYTES_MAX)
        };
        let size = CHUNK_ROWS.into_iter().find(|&size| fits(size))?;
        Some(rows.by_ref().take(size).collect())
    })
}

fn bytes(rows: &[Row]) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Null | Value::Int(_) => size_of::<i64>(),
    };
    rows.iter().flatten().map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::NO_LOCK;

    #[test]
    fn any_number_of_rows_is_made_up_of_five_sizes() {
        for count in [0, 1, 7, 8, 511, 512, 1_000, 5_000] {
            let rows: Vec<Row> = (0..count).map(|number| vec![Value::Int(number)]).collect();
            let chunks: Vec<Vec<Row>> = chunks(rows.clone(), CHUNK_ROWS[0]).collect();
            assert!(chunks.iter().all(|chunk| CHUNK_ROWS.contains(&chunk.len())));
            assert_eq!(chunks.into_iter().flatten().collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn rows_with_much_text_go_in_smaller_statements() {
        let row = |bytes: usize| vec![Value::Int(1), Value::Text("x".repeat(bytes))];
        let sizes = |rows: Vec<Row>| chunks(rows, CHUNK_ROWS[0]).map(|chunk| chunk.len()).collect::<Vec<_>>();
        assert_eq!(sizes(vec![row(100_000); 20]), [8, 8, 1, 1, 1, 1]);
        assert_eq!(sizes(vec![row(STATEMENT_BYTES_MAX + 1); 2]), [1, 1]);
        assert_eq!(sizes(vec![row(1_000); 600]), [512, 32, 32, 8, 8, 8]);
    }

    #[test]
    fn statements_have_as_many_placeholders_as_arguments() {
        let row = vec![Value::Null; ORDERS.columns.len()];
        let key = vec![Value::Null; ORDERS.key.len()];
        let statements = ORDERS
            .upserts(Dialect::Sqlite, vec![row.clone(); 700])
            .into_iter()
            .chain(ORDERS.upserts(Dialect::MySql, vec![row; 700]))
            .chain(ORDERS.lookups(NO_LOCK, vec![key; 700]))
            .chain(FLIGHTS.lookups(mysql::FOR_UPDATE, vec![vec![Value::Null]; 9]));
        for statement in statements {
            assert_eq!(statement.sql.matches('?').count(), statement.arguments.len());
            assert!(statement.arguments.len() <= PLACEHOLDERS_MAX);
        }
    }
}
