//! Tables as CSV (RFC 4180) for those who ask for it, with cells that no spreadsheet takes for a formula.
//! Never decides what a table holds.

use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;

use farerush_engine::flight::Timestamp;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, LINK, VARY};
use warp::reply::Response;

use crate::base::json::Json;
use crate::base::time;
use crate::wire::names;
use crate::wire::query::Query;
use crate::wire::render;

/// How CSV is called in headers.
pub const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

/// What an `Accept` header says about CSV; one that nobody understands says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    csv: bool,
}

impl FromStr for Accepts {
    type Err = Infallible;

    /// CSV has to be named, and JSON must not be wanted more.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let wish = |name: &str| {
            text.split(',').find_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                if !parts.next()?.eq_ignore_ascii_case(name) {
                    return None;
                }
                let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
                Some(weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0)))
            })
        };
        let csv = wish("text/csv").unwrap_or(0.0);
        Ok(Self { csv: csv > 0.0 && csv >= wish("application/json").unwrap_or(0.0) })
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As JSON.
    Json,
    /// As a table.
    Csv,
}

impl Format {
    /// As the query's `format` says; without it, as the header `Accept` does.
    pub fn take(query: &mut Query, accepts: Option<Accepts>) -> Self {
        let named = query.take("format", |name| match name {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err("must be one of json, csv"),
        });
        let accepted = if accepts.is_some_and(|accepts| accepts.csv) { Self::Csv } else { Self::Json };
        named.unwrap_or(accepted)
    }
}

/// A table in the making: a header line, then rows of as many cells.
#[derive(Debug)]
pub struct Table {
    text: String,
    is_in_row: bool,
}

impl Table {
    /// One with these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self { text: columns.join(",") + "\r\n", is_in_row: false }
    }

    /// A cell with what somebody has written: quoted if need be, and with an apostrophe in front of whatever a
    /// spreadsheet would take for a formula, also where it cuts cells at `;`, tabs or line ends.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.begin();
        let is_quoted = text.contains([',', '"', '\n', '\r']);
        if is_quoted {
            self.text.push('"');
        }
        if text.starts_with(['\t', '\r']) {
            self.text.push('\'');
        }
        for piece in text.split_inclusive([';', '\t', '\n', '\r']) {
            if is_formula(piece) {
                self.text.push('\'');
            }
            for character in piece.chars() {
                if character == '"' {
                    self.text.push('"');
                }
                self.text.push(character);
            }
        }
        if is_quoted {
            self.text.push('"');
        }
        self
    }

    /// The same; empty if there is none.
    pub fn text_or_empty(&mut self, text: Option<&str>) -> &mut Self {
        self.text(text.unwrap_or_default())
    }

    /// A cell of our own, that needs neither: a number, an id, a word.
    pub fn plain(&mut self, shown: impl Display) -> &mut Self {
        use std::fmt::Write;
        self.begin();
        // Writing into a String does not fail.
        let _ = write!(self.text, "{shown}");
        self
    }

    /// A moment, RFC 3339 in UTC; empty if there is none.
    pub fn time(&mut self, at: Option<Timestamp>) -> &mut Self {
        self.plain(at.map(time::text).unwrap_or_default())
    }

    /// Ends a row.
    pub fn end(&mut self) {
        self.text.push_str("\r\n");
        self.is_in_row = false;
    }

    fn begin(&mut self) {
        if self.is_in_row {
            self.text.push(',');
        }
        self.is_in_row = true;
    }

    /// The answer; `name` is the file's, for those who save it.
    pub fn response(self, name: &str) -> Response {
        let mut response = Response::new(self.text.into());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.csv\"")) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
        response
    }
}

/// Whether a spreadsheet could take this for a formula: its first character that is seen is one of the signs that begin
/// one, in any width. Quotes do not count as seen, for a spreadsheet may take them for its own.
fn is_formula(piece: &str) -> bool {
    let first = piece.chars().find(|character| *character != '"' && !is_unseen(*character));
    first.is_some_and(|sign| "=+-@＝＋－＠﹦﹢﹣﹫−".contains(sign))
}

/// White space, control characters, and those that nobody sees.
fn is_unseen(character: char) -> bool {
    character.is_whitespace() || character.is_control() || names::is_unseen(character)
}

/// A JSON answer where CSV could have been had.
pub fn json_response(json: Json) -> Response {
    let mut response = render::response(StatusCode::OK, json);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// Says where the next page is (`Link: <...>; rel="next"`), which a table has no place for.
pub fn link_next(response: &mut Response, path: &str, raw_query: &str, cursor: Option<&str>) {
    let Some(cursor) = cursor else { return };
    let same = raw_query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<&str> = same.collect();
    let and = if query.is_empty() { "" } else { "&" };
    let link = format!("<{path}?{}{and}cursor={cursor}>; rel=\"next\"", query.join("&"));
    if let Ok(value) = HeaderValue::try_from(link) {
        response.headers_mut().insert(LINK, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_answered_only_where_it_is_wanted_most() {
        for (header, csv) in [
            ("text/csv", true),
            ("Text/CSV; charset=utf-8", true),
            ("text/csv, */*;q=0.1", true),
            ("application/json, text/csv", true),
            ("application/json;q=0.5, text/csv;q=0.4", false),
            ("text/csv;q=0", false),
            ("*/*", false),
            ("", false),
            ("text/csvx", false),
        ] {
            assert_eq!(header.parse::<Accepts>().unwrap().csv, csv, "{header}");
        }
        let accepts = Some("text/csv".parse().unwrap());
        assert_eq!(Format::take(&mut Query::parse("format=json"), accepts), Format::Json);
        assert_eq!(Format::take(&mut Query::parse("format=csv"), None), Format::Csv);
        assert_eq!(Format::take(&mut Query::parse(""), accepts), Format::Csv);
    }

    #[test]
    fn no_cell_is_a_formula_and_every_cell_reads_back() {
        let mut table = Table::new(&["a", "b"]);
        let cells = ["=1+1", "+886", "-x", "@cmd", "\tq", "a,b", "say \"hi\"", "two\nlines", "林", "", "a=b"];
        for cell in cells {
            table.text(cell).plain(7).end();
        }
        let mut read = csv::Reader::from_reader(table.text.as_bytes());
        let back: Vec<String> = read.records().map(|record| record.unwrap()[0].to_owned()).collect();
        let wanted = ["'=1+1", "'+886", "'-x", "'@cmd", "'\tq"];
        assert_eq!(back[..5], wanted);
        assert_eq!(back[5..], cells[5..]);
    }

    #[test]
    fn a_formula_is_caught_behind_a_semicolon_behind_unseen_characters_and_in_full_width() {
        for (cell, wanted) in [
            ("a;=1+1", "a;'=1+1"),
            (";@x", ";'@x"),
            ("a; \"=1", "a;' \"=1"),
            ("two\n=1", "two\n'=1"),
            ("\u{200b}=1", "'\u{200b}=1"),
            ("\u{feff}\u{2060} -1", "'\u{feff}\u{2060} -1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠x", "'＠x"),
            ("a;b=c", "a;b=c"),
        ] {
            let mut table = Table::new(&["a"]);
            table.text(cell).end();
            let mut read = csv::Reader::from_reader(table.text.as_bytes());
            assert_eq!(&read.records().next().unwrap().unwrap()[0], wanted, "{cell:?}");
        }
    }

    #[test]
    fn the_next_page_is_the_same_query_behind_another_cursor() {
        let mut response = Response::new("".into());
        link_next(&mut response, "/v1/x", "limit=2&cursor=aa&format=csv", Some("bb"));
        assert_eq!(response.headers()[LINK], "</v1/x?limit=2&format=csv&cursor=bb>; rel=\"next\"");
    }
}
