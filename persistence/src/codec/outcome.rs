//! What a repeated request is told, inside records: mirrors that bincode may know.
//! Never decides what is told.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};
use farerush_engine::flight::reseat::Moved;
use farerush_engine::flight::{OrderNo, Outcome, Reseated};

use super::parts::SeatsRecord;

/// Variants are numbered by their place: add at the end only.
#[derive(Encode, BorrowDecode)]
pub(super) enum OutcomeRecord {
    Shown,
    Closed { cancelled: u32 },
    Reseated(ReseatedRecord),
}

#[derive(Encode, BorrowDecode)]
pub(super) struct ReseatedRecord {
    capacity: u32,
    kept: u32,
    moved: Vec<(u64, SeatsRecord, SeatsRecord)>,
    split: Vec<u64>,
    stranded: Vec<(u64, bool)>,
}

impl From<&Outcome> for OutcomeRecord {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Shown => Self::Shown,
            Outcome::Closed { cancelled } => Self::Closed { cancelled: *cancelled },
            Outcome::Reseated(told) => Self::Reseated(ReseatedRecord::from(&**told)),
        }
    }
}

impl OutcomeRecord {
    pub(super) fn restore(self) -> Outcome {
        match self {
            Self::Shown => Outcome::Shown,
            Self::Closed { cancelled } => Outcome::Closed { cancelled },
            Self::Reseated(told) => Outcome::Reseated(Arc::new(told.restore())),
        }
    }
}

impl From<&Reseated> for ReseatedRecord {
    fn from(told: &Reseated) -> Self {
        let moved =
            |moved: &Moved| (moved.order.0, SeatsRecord(moved.from.clone()), SeatsRecord(moved.to.clone()));
        Self {
            capacity: told.capacity,
            kept: told.kept,
            moved: told.moved.iter().map(moved).collect(),
            split: told.split.iter().map(|no| no.0).collect(),
            stranded: told.stranded.iter().map(|(no, confirmed)| (no.0, *confirmed)).collect(),
        }
    }
}

impl ReseatedRecord {
    pub(super) fn restore(self) -> Reseated {
        let moved = |(no, from, to): (u64, SeatsRecord, SeatsRecord)| Moved {
            order: OrderNo(no),
            from: from.0,
            to: to.0,
        };
        Reseated {
            capacity: self.capacity,
            kept: self.kept,
            moved: self.moved.into_iter().map(moved).collect(),
            split: self.split.into_iter().map(OrderNo).collect(),
            stranded: self.stranded.into_iter().map(|(no, confirmed)| (OrderNo(no), confirmed)).collect(),
        }
    }
}
