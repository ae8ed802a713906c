//! The heads of a flight's chain as rows: those of one flush together, so that a receipt can be checked when its event is
//! long gone from the journal. Never computes one.

use farerush_engine::flight::head::HEAD_BYTES;
use farerush_engine::flight::{FlightId, Head, Seq};

use super::Store;
use super::error::StoreError;
use super::read::decoded;
use super::table::{HEADS, Statement};
use super::value::{Reader, Row, Unreadable};

/// Characters of one head in a row.
const HEAD_CHARS: usize = 2 * HEAD_BYTES;

/// Heads that follow one another.
#[derive(Default)]
pub(super) struct Heads {
    first: Seq,
    text: String,
}

impl Heads {
    /// Adds that of the event that follows, if it has one.
    pub(super) fn extend(&mut self, seq: Seq, head: Option<Head>) {
        let Some(head) = head else { return };
        if self.text.is_empty() {
            self.first = seq;
        }
        self.text.push_str(&head.to_string());
    }

    /// The row, if there are any.
    pub(super) fn row(self, flight_id: &FlightId) -> Option<Row> {
        (!self.text.is_empty())
            .then(|| vec![flight_id.as_str().into(), self.first.0.into(), self.text.into()])
    }

    fn decode(row: Row) -> Result<Self, Unreadable> {
        let mut row = Reader::new(HEADS.columns, row);
        row.text()?;
        Ok(Self { first: Seq(row.bits()?), text: row.text()? })
    }

    fn at(&self, seq: Seq) -> Option<Head> {
        let start = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?.checked_mul(HEAD_CHARS)?;
        self.text.get(start..start + HEAD_CHARS)?.parse().ok()
    }
}

impl Store {
    /// The head of a flight's chain after this event, as it was stored; `None` if the event was not, or is in no chain.
    pub async fn head_at(&self, flight_id: &FlightId, seq: Seq) -> Result<Option<Head>, StoreError> {
        let sql = format!(
            "{} WHERE flight_id = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
            HEADS.select()
        );
        let statement = Statement::new(sql, vec![flight_id.as_str().into(), seq.0.into()]);
        let rows = self.read("reading heads", statement).await?;
        let heads = decoded("flight_heads", Some(flight_id), rows, Heads::decode)?.pop();
        Ok(heads.and_then(|heads| heads.at(seq)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_of_a_row_is_found_by_its_event() {
        let head = |byte: u8| Head::from_bytes([byte; HEAD_BYTES]);
        let mut heads = Heads::default();
        heads.extend(Seq(6), None);
        for byte in 7..10 {
            heads.extend(Seq(byte.into()), Some(head(byte)));
        }
        let row = heads.row(&FlightId::new("FR1").unwrap()).unwrap();
        let heads = Heads::decode(row).unwrap();
        assert_eq!(heads.at(Seq(7)), Some(head(7)));
        assert_eq!(heads.at(Seq(9)), Some(head(9)));
        assert_eq!((heads.at(Seq(6)), heads.at(Seq(10))), (None, None));
    }
}
