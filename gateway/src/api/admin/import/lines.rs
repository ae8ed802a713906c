//! A file of flights, as JSON lines or as CSV, understood line by line; every bad line is named.
//! Never looks at flights that are there already, and creates none.

use farerush_engine::flight::{Salt, Timestamp};

use crate::api::admin::flights::{NewFlight, new_flight};
use crate::wire::fields::Value;
use crate::wire::problem::{Code, LineError, Problem};

/// Most flights of one file.
pub const FLIGHTS_MAX: usize = 10_000;
/// Most bad lines' mistakes that one answer names; the others are counted.
pub const ERRORS_MAX: usize = 100;

/// Longest line of a file, in bytes, quotes left aside: as long as the body that describes one flight may be.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Cells of a line that there is room for; a line with more is a mistake.
const CELLS_MAX: usize = 64;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One JSON object a line, as `POST /v1/admin/flights` takes it.
    JsonLines,
    /// A header line with names of columns, then a line a flight.
    Csv,
}

/// A flight and where it stands.
#[derive(Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// What is to be created.
    pub flight: NewFlight,
}

/// Everything that is wrong with a file.
#[derive(Debug, Default)]
pub struct Mistakes {
    named: Vec<LineError>,
    further: u64,
}

impl Mistakes {
    /// Adds one.
    pub fn add(&mut self, line: u64, field: impl Into<String>, message: impl Into<String>) {
        if self.named.len() < ERRORS_MAX {
            self.named.push(LineError { line, field: field.into(), message: message.into() });
        } else {
            self.further += 1;
        }
    }

    /// The answer that names them, if there are any.
    pub fn check(&mut self) -> Result<(), Problem> {
        if self.named.is_empty() {
            return Ok(());
        }
        self.named.sort_by_key(|error| error.line);
        Err(Problem::bad_lines(std::mem::take(&mut self.named), self.further))
    }
}

/// Understands a file; what is wrong goes to `mistakes`. Fails if there is no flight in it, or too many.
pub fn read(kind: Kind, file: &[u8], now: Timestamp, mistakes: &mut Mistakes) -> Result<Vec<Line>, Problem> {
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file); // spreadsheets put a mark in front
    let mut lines = Lines { found: Vec::new(), seen: 0, now, mistakes };
    match kind {
        Kind::JsonLines => json_lines(file, &mut lines)?,
        Kind::Csv => csv_lines(file, &mut lines)?,
    }
    if lines.seen == 0 && lines.mistakes.named.is_empty() {
        return Err(Problem::new(Code::InvalidRequest, "Nothing was done: the file has no flight in it."));
    }
    Ok(lines.found)
}

struct Lines<'m> {
    found: Vec<Line>,
    seen: usize,
    now: Timestamp,
    mistakes: &'m mut Mistakes,
}

impl Lines<'_> {
    /// One more line with something in it.
    fn count(&mut self) -> Result<(), Problem> {
        self.seen += 1;
        if self.seen > FLIGHTS_MAX {
            let detail = format!(
                "Nothing was done: a file may have at most {FLIGHTS_MAX} flights. Split it, and send the parts one \
                 after another."
            );
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(())
    }

    /// Takes a line's flight; `name` gives a field the name that it has in the file.
    fn take(&mut self, number: u64, value: &Value, name: impl Fn(&str) -> String) -> Result<(), Problem> {
        let salt = getrandom::u64().map_err(|_| Problem::overloaded("there is no randomness", 1))?;
        match new_flight(value, Salt(salt), self.now) {
            Ok(flight) => self.found.push(Line { number, flight }),
            Err(problem) if problem.field_errors().is_empty() => {
                self.mistakes.add(number, "", problem.detail());
            }
            Err(problem) => {
                for error in problem.field_errors() {
                    self.mistakes.add(number, name(&error.field), error.message.as_str());
                }
            }
        }
        Ok(())
    }
}

fn json_lines(file: &[u8], lines: &mut Lines<'_>) -> Result<(), Problem> {
    for (number, line) in (1..).zip(file.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        lines.count()?;
        if line.len() > LINE_BYTES_MAX {
            lines.mistakes.add(number, "", too_long());
            continue;
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(value @ Value::Object(_)) => lines.take(number, &value, str::to_owned)?,
            Ok(_) => lines.mistakes.add(number, "", "must be a JSON object, {...}"),
            Err(error) => lines.mistakes.add(number, "", format!("is not JSON: {}", in_short(&error))),
        }
    }
    Ok(())
}

/// Without the place within a text of one line, but for the column.
fn in_short(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    format!("{message} at column {}", error.column())
}

/// What a column's cells hold, and where that belongs.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Text,
    Json,
    FareAmount,
    FareCurrency,
    SaleText,
    SaleNumber,
}

/// All columns that a CSV file may have.
pub const COLUMNS: [&str; 20] = [
    "flight_id",
    "flight_number",
    "origin",
    "destination",
    "departs_at",
    "origin_time_zone",
    "aircraft",
    "cabins",
    "fare",
    "currency",
    "fares",
    "opens_at",
    "closes_at",
    "max_seats_per_order",
    "max_seats_per_customer",
    "hold_seconds",
    "payment_grace_seconds",
    "closes_before_minutes",
    "state",
    "comment",
];

/// What a column holds; `None`: nothing that matters here.
fn cell(column: &str) -> Option<Cell> {
    Some(match column {
        "cabins" | "fares" => Cell::Json,
        "fare" => Cell::FareAmount,
        "currency" => Cell::FareCurrency,
        "opens_at" | "closes_at" | "state" => Cell::SaleText,
        "max_seats_per_order"
        | "max_seats_per_customer"
        | "hold_seconds"
        | "payment_grace_seconds"
        | "closes_before_minutes" => Cell::SaleNumber,
        "comment" => return None,
        _ => Cell::Text,
    })
}

/// The column in which a field of a flight's description stands.
fn column_of(field: &str) -> String {
    match field {
        "fare.amount" => "fare".to_owned(),
        "fare.currency" => "currency".to_owned(),
        _ => field.strip_prefix("sale.").unwrap_or(field).to_owned(),
    }
}

fn csv_lines(file: &[u8], lines: &mut Lines<'_>) -> Result<(), Problem> {
    let mut records = Records::of(file);
    let mut header: Option<Vec<String>> = None;
    let mut places = Places { file, byte: 0, line: 1 };
    while let Some(start) = records.next() {
        let number = places.line_of(start as u64);
        let record = match records.cells() {
            Ok(record) => record,
            Err(message) => {
                lines.mistakes.add(number, "", message);
                lines.count()?;
                if header.is_none() {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(columns) = &header else {
            header = Some(checked_header(number, &record, lines.mistakes));
            // With columns that nobody knows, every line would be wrong in the same way.
            if !lines.mistakes.named.is_empty() {
                return Ok(());
            }
            continue;
        };
        if record.iter().all(|cell| cell.is_empty()) {
            continue;
        }
        lines.count()?;
        if record.len() != columns.len() {
            let message = format!("has {} cells, and the header line has {}", record.len(), columns.len());
            lines.mistakes.add(number, "", message);
            continue;
        }
        if let Some(value) = described(number, columns, &record, lines.mistakes) {
            lines.take(number, &value, column_of)?;
        }
    }
    Ok(())
}

/// A file's records, one at a time, in memory that does not grow with the file: a line that is longer than any flight's,
/// or has more cells than there are columns, is passed over.
struct Records<'f> {
    reader: csv_core::Reader,
    file: &'f [u8],
    /// What was read so far.
    at: usize,
    /// The cells of the last record, one after another,
    text: Vec<u8>,
    /// and where each ends.
    ends: [usize; CELLS_MAX],
    /// How many it has, more than there is room for included.
    count: usize,
    is_too_long: bool,
}

impl<'f> Records<'f> {
    fn of(file: &'f [u8]) -> Self {
        let (text, ends) = (vec![0; LINE_BYTES_MAX], [0; CELLS_MAX]);
        Self { reader: csv_core::Reader::new(), file, at: 0, text, ends, count: 0, is_too_long: false }
    }

    /// Goes on to the next record and says where it begins.
    fn next(&mut self) -> Option<usize> {
        use csv_core::ReadRecordResult;
        let start = self.at;
        (self.count, self.is_too_long) = (0, false);
        let (mut written, mut ended) = (0, 0);
        loop {
            let (text, ends) = (&mut self.text[written..], &mut self.ends[ended..]);
            let (result, read, wrote, cells) = self.reader.read_record(&self.file[self.at..], text, ends);
            self.at += read;
            self.count += cells;
            (written, ended) = (written + wrote, ended + cells);
            match result {
                // What is left is the end, which is asked for with nothing.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => (written, self.is_too_long) = (0, true),
                ReadRecordResult::OutputEndsFull => ended = 0,
                ReadRecordResult::Record => return Some(start),
                ReadRecordResult::End => return None,
            }
        }
    }

    /// The cells of the record, without the spaces around them.
    fn cells(&self) -> Result<Vec<&str>, String> {
        if self.is_too_long {
            return Err(too_long());
        }
        if self.count > CELLS_MAX {
            return Err(format!("has {} cells, and there are only {} columns", self.count, COLUMNS.len()));
        }
        let mut begin = 0;
        let mut cells = Vec::with_capacity(self.count);
        for &end in &self.ends[..self.count] {
            let cell = std::str::from_utf8(&self.text[begin..end]).map_err(|_| "is not UTF-8".to_owned())?;
            cells.push(cell.trim());
            begin = end;
        }
        Ok(cells)
    }
}

fn too_long() -> String {
    format!("is longer than {LINE_BYTES_MAX} bytes, and no flight is")
}

/// Counts lines as people do: the reader's own count is behind by one where lines end with two characters.
struct Places<'f> {
    file: &'f [u8],
    byte: usize,
    line: u64,
}

impl Places<'_> {
    /// The line of the first thing at or behind this byte; asked for with rising places.
    fn line_of(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.byte, self.file.len());
        let ends = self.file[byte..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = &self.file[self.byte..byte + ends];
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.byte = byte + ends;
        self.line
    }
}

fn checked_header(number: u64, record: &[&str], mistakes: &mut Mistakes) -> Vec<String> {
    let columns: Vec<String> = record.iter().map(|name| name.to_ascii_lowercase()).collect();
    for (place, column) in columns.iter().enumerate() {
        let shown: String = column.chars().take(64).collect();
        if !COLUMNS.contains(&column.as_str()) {
            mistakes.add(number, shown, format!("is no column; there are {}", COLUMNS.join(", ")));
        } else if columns[..place].contains(column) {
            mistakes.add(number, shown, "must not be given twice");
        }
    }
    columns
}

/// A line's cells as `POST /v1/admin/flights` has them; empty ones are not there.
fn described(number: u64, columns: &[String], record: &[&str], mistakes: &mut Mistakes) -> Option<Value> {
    let (mut flight, mut fare, mut sale) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_good = true;
    for (column, &text) in columns.iter().zip(record) {
        let (Some(cell), false) = (cell(column), text.is_empty()) else { continue };
        let whole = |text: &str| {
            text.parse::<i64>()
                .map_or_else(|_| Value::Text(text.to_owned()), |number| Value::Whole(number.into()))
        };
        let named = |value: Value| (column.clone(), value);
        match cell {
            Cell::Text => flight.push(named(Value::Text(text.to_owned()))),
            Cell::FareAmount => fare.push(("amount".to_owned(), whole(text))),
            Cell::FareCurrency => fare.push(("currency".to_owned(), Value::Text(text.to_owned()))),
            Cell::SaleText => sale.push(named(Value::Text(text.to_owned()))),
            Cell::SaleNumber => sale.push(named(whole(text))),
            Cell::Json => match serde_json::from_str::<Value>(text) {
                Ok(value) => flight.push(named(value)),
                Err(error) => {
                    mistakes.add(number, column.as_str(), format!("is not JSON: {}", in_short(&error)));
                    is_good = false;
                }
            },
        }
    }
    // A currency for all lines does no harm where cabins have their own fares.
    if fare.iter().any(|(name, _)| name == "amount") || !flight.iter().any(|(name, _)| name == "cabins") {
        flight.extend((!fare.is_empty()).then(|| ("fare".to_owned(), Value::Object(fare))));
    }
    flight.extend((!sale.is_empty()).then(|| ("sale".to_owned(), Value::Object(sale))));
    is_good.then_some(Value::Object(flight))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn mistakes_of(kind: Kind, file: &str) -> Vec<(u64, String)> {
        let mut mistakes = Mistakes::default();
        read(kind, file.as_bytes(), NOW, &mut mistakes).unwrap();
        mistakes.named.into_iter().map(|error| (error.line, error.field)).collect()
    }

    const HEADER: &str =
        "flight_number,origin,destination,departs_at,aircraft,fare,currency,hold_seconds,state";

    #[test]
    fn a_csv_line_is_a_flight() {
        let file = format!(
            "\u{feff}{HEADER},comment\r\nFR1,tpe,NRT,2030-01-01T00:00:00Z,A320,100,TWD,600,open,=odd\r\n\r\n,,,,,,,,,\r\n"
        );
        let mut mistakes = Mistakes::default();
        let lines = read(Kind::Csv, file.as_bytes(), NOW, &mut mistakes).unwrap();
        assert!(mistakes.named.is_empty(), "{mistakes:?}");
        let [Line { number: 2, flight }] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(flight.definition.flight_id.as_str(), "FR1-20300101");
        assert_eq!((flight.policy.hold_seconds, flight.open), (600, true));
        assert_eq!(flight.definition.cabins[0].fare.amount, 100);
    }

    #[test]
    fn cells_with_json_hold_cabins() {
        let file = "flight_number,origin,destination,departs_at,currency,cabins\n\
                    FR1,TPE,NRT,2030-01-01T00:00:00Z,TWD,\"[{\"\"cabin_class\"\":\"\"economy\"\",\"\"rows\"\":[1,2],\
                    \"\"layout\"\":\"\"AB CD\"\",\"\"fare\"\":{\"\"amount\"\":5,\"\"currency\"\":\"\"TWD\"\"}}]\"\n\
                    FR2,TPE,NRT,2030-01-01T00:00:00Z,TWD,[oops\n";
        assert_eq!(mistakes_of(Kind::Csv, file), [(3, "cabins".to_owned())]);
    }

    #[test]
    fn every_mistake_is_named_with_line_and_column() {
        let good = "FR1,TPE,NRT,2030-01-01T00:00:00Z,A320,100,TWD,,";
        let file = format!(
            "{HEADER}\n{good}\nfr2,TPE,TPE,soon,A320,x,TWD,-1,shut\nFR3,TPE\n\"FR4\",TPE,NRT,2030-01-01T00:00:00Z,A320,1,,,\n"
        );
        let wanted = [
            (3, "flight_number"),
            (3, "departs_at"),
            (3, "destination"),
            (3, "fare"),
            (3, "state"),
            (3, "hold_seconds"),
            (4, ""),
            (5, "currency"),
        ];
        assert_eq!(mistakes_of(Kind::Csv, &file), wanted.map(|(line, field)| (line, field.to_owned())));
        assert_eq!(mistakes_of(Kind::Csv, "flight_id,price,flight_id\n1,2,3\n").len(), 2);
    }

    #[test]
    fn lines_that_no_flight_can_have_are_named_and_passed_over() {
        let good = "FR1,TPE,NRT,2030-01-01T00:00:00Z,A320,100,TWD,,";
        let commas = ",".repeat(1 << 20);
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let file = format!("{HEADER}\n{good}\n{commas}\nFR2,\"{long}\n\",1\n{long}\n{good}2\n");
        let mut mistakes = Mistakes::default();
        let lines = read(Kind::Csv, file.as_bytes(), NOW, &mut mistakes).unwrap();
        let named: Vec<(u64, &str)> =
            mistakes.named.iter().map(|error| (error.line, error.message.as_str())).collect();
        assert_eq!(lines.len(), 1, "{named:?}");
        assert_eq!((named[0].0, named[1].0, named[2].0), (3, 4, 6), "{named:?}");
        assert!(named[0].1.contains("1048577 cells") && named[1].1.contains("is longer"), "{named:?}");
        assert_eq!(mistakes_of(Kind::Csv, &commas), [(1, String::new())]);
        let json = format!("[{}1]\n", "1,".repeat(LINE_BYTES_MAX));
        assert_eq!(mistakes_of(Kind::JsonLines, &json), [(1, String::new())]);
    }

    #[test]
    fn json_lines_are_counted_with_the_empty_ones() {
        let good = r#"{"flight_number":"FR1","origin":"TPE","destination":"NRT","departs_at":"2030-01-01T00:00:00Z","aircraft":"A320","fare":{"amount":1,"currency":"TWD"}}"#;
        let file = format!("{good}\n\n  \r\n[1]\n{{\"flight_number\":\n{{\"colour\":1}}\n");
        let found = mistakes_of(Kind::JsonLines, &file);
        assert_eq!(found[..2], [(4, String::new()), (5, String::new())]);
        assert!(found[2..].iter().all(|(line, _)| *line == 6), "{found:?}");
        assert!(found.contains(&(6, "colour".to_owned())), "{found:?}");
    }

    #[test]
    fn a_file_has_a_flight_and_not_too_many_and_mistakes_beyond_a_bound_are_counted() {
        let mut mistakes = Mistakes::default();
        for (kind, empty) in [(Kind::JsonLines, "\n\n"), (Kind::Csv, ""), (Kind::Csv, "flight_id\n")] {
            assert!(read(kind, empty.as_bytes(), NOW, &mut mistakes).is_err());
        }
        let many = "{}\n".repeat(FLIGHTS_MAX + 1);
        assert!(read(Kind::JsonLines, many.as_bytes(), NOW, &mut mistakes).is_err());
        let mut mistakes = Mistakes::default();
        read(Kind::JsonLines, "7\n".repeat(ERRORS_MAX + 3).as_bytes(), NOW, &mut mistakes).unwrap();
        assert_eq!((mistakes.named.len(), mistakes.further), (ERRORS_MAX, 3));
    }
}
