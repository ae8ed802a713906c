//! Values as they go into and come out of a database: all that the tables need, and the same for every dialect.
//! Never knows a dialect.

/// One value of a row or one argument of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// No value.
    Null,
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// Numbers of 64 bits are kept bit by bit: seqs and epochs never reach the sign, hashes may.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(number.cast_signed())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row's values, in the order of the columns asked for.
pub(super) type Row = Vec<Value>;

/// Why a row could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column}: {problem}")]
pub(super) struct Unreadable {
    /// The column concerned.
    pub(super) column: &'static str,
    /// What is wrong with its value.
    pub(super) problem: String,
}

/// Takes a row apart, column by column.
pub(super) struct Reader {
    columns: std::slice::Iter<'static, &'static str>,
    values: std::vec::IntoIter<Value>,
}

impl Reader {
    /// A reader of a row that was asked for with these columns.
    pub(super) fn new(columns: &'static [&'static str], row: Row) -> Self {
        Self { columns: columns.iter(), values: row.into_iter() }
    }

    fn next(&mut self) -> (&'static str, Value) {
        let column = self.columns.next().copied().unwrap_or("?");
        (column, self.values.next().unwrap_or(Value::Null))
    }

    /// The next value, a number.
    pub(super) fn int(&mut self) -> Result<i64, Unreadable> {
        match self.next() {
            (_, Value::Int(number)) => Ok(number),
            (column, value) => Err(wrong(column, "a number", &value)),
        }
    }

    /// The next value, a number of 64 bits without a sign.
    pub(super) fn bits(&mut self) -> Result<u64, Unreadable> {
        self.int().map(i64::cast_unsigned)
    }

    /// The next value, a number that fits the type.
    pub(super) fn small<T: TryFrom<i64>>(&mut self) -> Result<T, Unreadable> {
        match self.next() {
            (column, Value::Int(number)) => T::try_from(number)
                .map_err(|_| Unreadable { column, problem: format!("{number} is out of range") }),
            (column, value) => Err(wrong(column, "a number", &value)),
        }
    }

    /// The next value, a number or nothing.
    pub(super) fn optional_int(&mut self) -> Result<Option<i64>, Unreadable> {
        match self.next() {
            (_, Value::Null) => Ok(None),
            (_, Value::Int(number)) => Ok(Some(number)),
            (column, value) => Err(wrong(column, "a number", &value)),
        }
    }

    /// The next value, text.
    pub(super) fn text(&mut self) -> Result<String, Unreadable> {
        match self.next() {
            (_, Value::Text(text)) => Ok(text),
            (column, value) => Err(wrong(column, "text", &value)),
        }
    }

    /// The next value, text or nothing.
    pub(super) fn optional_text(&mut self) -> Result<Option<String>, Unreadable> {
        match self.next() {
            (_, Value::Null) => Ok(None),
            (_, Value::Text(text)) => Ok(Some(text)),
            (column, value) => Err(wrong(column, "text", &value)),
        }
    }

    /// The next value, text that `parse` understands.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Unreadable> {
        match self.next() {
            (column, Value::Text(text)) => {
                parse(&text).map_err(|error| Unreadable { column, problem: format!("{text:?}: {error}") })
            }
            (column, value) => Err(wrong(column, "text", &value)),
        }
    }

    /// The next value, text that `parse` understands, or nothing.
    pub(super) fn optional_parsed<T, E: std::fmt::Display>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Unreadable> {
        match self.next() {
            (_, Value::Null) => Ok(None),
            (column, Value::Text(text)) => parse(&text)
                .map(Some)
                .map_err(|error| Unreadable { column, problem: format!("{text:?}: {error}") }),
            (column, value) => Err(wrong(column, "text", &value)),
        }
    }
}

fn wrong(column: &'static str, expected: &str, value: &Value) -> Unreadable {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
    };
    Unreadable { column, problem: format!("expected {expected}, found {found}") }
}
