//! Receipts: whether what a customer was told once is still in a flight's history.
//! Never looks at how an order stands today: it may have changed since, as long as its history still has the event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farerush_engine::flight::{Flight, FlightId, Head, OrderId, Seq};
use farerush_engine::journal::Journal;
use tokio::task::spawn_blocking;

use crate::recovery::{RecoveryError, blocking, replay};
use crate::store::Store;

/// What an answer with an order says of its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The order (`order_id`).
    pub order_id: OrderId,
    /// The event that had changed it last by then (`seq`).
    pub seq: Seq,
    /// The chain's head after that event (`proof`).
    pub proof: Head,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptVerdict {
    /// The event is in the history, and all in front of it are those that were there.
    Kept,
    /// An acknowledged event is gone.
    Gone(String),
    /// Nothing is known by which it could be told.
    Unknown(String),
}

/// Looks each of them up, in the given order. Fails only if journal or store cannot be read as a whole.
pub async fn check_receipts(
    journal: &Arc<dyn Journal>,
    store: &Store,
    receipts: &[Receipt],
) -> Result<Vec<ReceiptVerdict>, RecoveryError> {
    let mut wanted: BTreeMap<FlightId, BTreeSet<Seq>> = BTreeMap::new();
    for receipt in receipts {
        wanted.entry(receipt.order_id.flight_id.clone()).or_default().insert(receipt.seq);
    }
    let mut known: BTreeMap<FlightId, KnownHistory> = BTreeMap::new();
    for (flight_id, seqs) in wanted {
        let found = heads_of(journal, store, &flight_id, seqs).await?;
        known.insert(flight_id, found);
    }
    let verdict = |receipt: &Receipt| {
        let known = &known[&receipt.order_id.flight_id];
        known.verdict(receipt)
    };
    Ok(receipts.iter().map(verdict).collect())
}

/// What is known of a flight's history.
#[derive(Default)]
struct KnownHistory {
    last: Seq,
    heads: BTreeMap<Seq, Head>,
    trouble: Option<String>,
}

impl KnownHistory {
    fn verdict(&self, receipt: &Receipt) -> ReceiptVerdict {
        match self.heads.get(&receipt.seq) {
            Some(head) if *head == receipt.proof => ReceiptVerdict::Kept,
            Some(_) => ReceiptVerdict::Gone(format!(
                "event {} of the flight is another one now, or follows others than it did",
                receipt.seq
            )),
            None if self.trouble.is_some() => {
                ReceiptVerdict::Unknown(self.trouble.clone().unwrap_or_default())
            }
            None if self.last == Seq(0) => ReceiptVerdict::Gone("the flight is not known".to_owned()),
            None if receipt.seq > self.last => ReceiptVerdict::Gone(format!(
                "the flight's history ends at event {}, before event {}",
                self.last, receipt.seq
            )),
            None => {
                ReceiptVerdict::Unknown(format!("event {} is from before there were proofs", receipt.seq))
            }
        }
    }
}

async fn heads_of(
    journal: &Arc<dyn Journal>,
    store: &Store,
    flight_id: &FlightId,
    seqs: BTreeSet<Seq>,
) -> Result<KnownHistory, RecoveryError> {
    let snapshot = store.snapshot(flight_id).await?.map(|(snapshot, _)| snapshot);
    let stored = snapshot.as_ref().map_or(Seq(0), |snapshot| snapshot.seq);
    let id = flight_id.clone();
    // After the store, which never runs ahead of the journal.
    let extent = blocking(journal, move |journal| journal.extent(&id)).await?;
    let (first, last) = extent.map_or((Seq(0), Seq(0)), |extent| (extent.first, extent.last));
    let mut known = KnownHistory { last: last.max(stored), ..KnownHistory::default() };
    let start = if first == Seq(1) {
        None // the journal has all of it
    } else {
        for &seq in seqs.iter().filter(|seq| **seq <= stored) {
            if let Some(head) = store.head_at(flight_id, seq).await? {
                known.heads.insert(seq, head);
            }
        }
        match snapshot.map(Flight::restore).transpose() {
            Ok(start) => start,
            Err(broken) => {
                known.trouble = Some(broken.to_string());
                return Ok(known);
            }
        }
    };
    if last <= start.as_ref().map_or(Seq(0), Flight::seq) {
        return Ok(known);
    }
    let (journal, id) = (Arc::clone(journal), flight_id.clone());
    let replayed = spawn_blocking(move || {
        let mut heads = BTreeMap::new();
        let replayed = replay(&*journal, &id, start, last, |flight| {
            if seqs.contains(&flight.seq()) {
                heads.extend(flight.head().map(|head| (flight.seq(), head)));
            }
        });
        (heads, replayed.err().map(|error| error.to_string()))
    });
    match replayed.await {
        Ok((heads, trouble)) => {
            known.heads.extend(heads);
            known.trouble = trouble;
        }
        Err(_) => known.trouble = Some("rebuilding it panicked".to_owned()),
    }
    Ok(known)
}
