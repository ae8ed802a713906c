//! Receipts: answers with orders that somebody kept, held against what journal and store have of those orders' flights.
//! Never contacts a server: `farerush verify` reads what is on disk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farerush_engine::flight::{OrderId, Seq};
use farerush_engine::journal::Journal;
use farerush_persistence::receipts::{Receipt, ReceiptVerdict, check_receipts};
use farerush_persistence::recovery::RecoveryError;
use farerush_persistence::store::Store;
use serde_json::Value;

/// Why receipts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    /// The file cannot be read.
    #[error("cannot read the receipts in {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not hold answers with orders.
    #[error(
        "{path}: {what}. Receipts are orders as the API answers them, one after another or in lists",
        path = .path.display()
    )]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
}

/// What is to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipts {
    receipts: Vec<Receipt>,
    /// Orders without a proof: from before there were any.
    without_proof: Vec<OrderId>,
}

/// Reads a file of orders as the API answers them: JSON values one after another, each an order or a list of them, also
/// the `orders` of a page.
pub fn read(path: &Path) -> Result<Receipts, ReceiptsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ReceiptsError::File { path: path.to_owned(), source })?;
    parse(&text).map_err(|what| ReceiptsError::Content { path: path.to_owned(), what })
}

fn parse(text: &str) -> Result<Receipts, String> {
    let mut found = Receipts { receipts: Vec::new(), without_proof: Vec::new() };
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        found.add(&value.map_err(|error| error.to_string())?)?;
    }
    if found.receipts.is_empty() && found.without_proof.is_empty() {
        return Err("there is no order in it".to_owned());
    }
    Ok(found)
}

impl Receipts {
    fn add(&mut self, value: &Value) -> Result<(), String> {
        if let Some(list) = value.as_array().or_else(|| value.get("orders").and_then(Value::as_array)) {
            return list.iter().try_for_each(|value| self.add(value));
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let id = text("order_id").ok_or_else(|| format!("no order_id in {}", shortened(value)))?;
        let order_id: OrderId = id.parse().map_err(|_| format!("{id} is no order id"))?;
        let seq = value.get("seq").and_then(Value::as_u64);
        let (Some(seq), Some(proof)) = (seq, text("proof")) else {
            self.without_proof.push(order_id);
            return Ok(());
        };
        let proof = proof.parse().map_err(|error| format!("proof of {id} {error}"))?;
        self.receipts.push(Receipt { order_id, seq: Seq(seq), proof });
        Ok(())
    }

    /// Holds them against what there is.
    pub async fn check(self, journal: &Arc<dyn Journal>, store: &Store) -> Result<Checked, RecoveryError> {
        let verdicts = check_receipts(journal, store, &self.receipts).await?;
        Ok(Checked { receipts: self, verdicts })
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    receipts: Receipts,
    verdicts: Vec<ReceiptVerdict>,
}

impl Checked {
    /// Whether nothing that somebody was told of is gone.
    pub fn all_kept(&self) -> bool {
        !self.verdicts.iter().any(|verdict| matches!(verdict, ReceiptVerdict::Gone(_)))
    }
}

/// Whatever is not kept, a line each, and a sum.
impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut kept, mut gone) = (0, 0);
        let mut unknown = self.receipts.without_proof.len();
        for (receipt, verdict) in self.receipts.receipts.iter().zip(&self.verdicts) {
            let Receipt { order_id, seq, .. } = receipt;
            match verdict {
                ReceiptVerdict::Kept => kept += 1,
                ReceiptVerdict::Gone(why) => {
                    gone += 1;
                    writeln!(f, "GONE: {order_id} as it was acknowledged at event {seq}: {why}")?;
                }
                ReceiptVerdict::Unknown(why) => {
                    unknown += 1;
                    writeln!(f, "unknown: {order_id} at event {seq}: {why}")?;
                }
            }
        }
        for order_id in &self.receipts.without_proof {
            writeln!(f, "unknown: {order_id}: the answer has no proof")?;
        }
        writeln!(f, "{} receipts: {kept} kept, {gone} gone, {unknown} unknown", kept + gone + unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_found_in_whatever_the_api_answered() {
        let order = |number: &str| {
            let id = format!("FR1-{number}0000000000000");
            format!(r#"{{"order_id":"{id}","seq":3,"proof":"000102030405060708090a0b0c0d0e0f"}}"#)
        };
        let (one, two) = (order("4"), order("5"));
        for text in [
            format!("{one}\n{two}\n"),
            format!("{one}{two}"),
            format!("[{one},{two}]"),
            format!(r#"{{"orders":[{one},{two}],"next":null}}"#),
        ] {
            assert_eq!(parse(&text).unwrap().receipts.len(), 2, "{text}");
        }
        for text in ["", "{}", "{", r#"{"order_id":"x"}"#, "[]"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
