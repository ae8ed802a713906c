//! What a record is: its kind, its head, its content, and why bytes are none.
//! Never reads or writes a byte of one.

use farerush_engine::flight::{Epoch, FlightId, FlightSnapshot, Recorded, Seq};

/// The version of records that this is.
pub(super) const VERSION: u8 = 1;

/// What kind of record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Events of one flight.
    Events,
    /// Who owns a flight, and how far it had come.
    Fence,
    /// A whole flight at one moment.
    Snapshot,
}

impl RecordKind {
    pub(super) const fn as_byte(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Fence => 2,
            Self::Snapshot => 3,
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Events),
            2 => Some(Self::Fence),
            3 => Some(Self::Snapshot),
            _ => None,
        }
    }
}

/// What a record says about itself before its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead {
    /// What kind of record it is.
    pub kind: RecordKind,
    /// The flight concerned.
    pub flight_id: FlightId,
    /// Under which ownership it was written.
    pub epoch: Epoch,
    /// Of the first event of a batch; of the last known event of a fence; of a snapshot.
    pub seq: Seq,
    /// Events of a batch, orders of a snapshot, 0 for a fence.
    pub count: u32,
    /// Bytes of the whole record, checksum included.
    pub bytes: usize,
}

impl RecordHead {
    /// Seq of the last event the record covers.
    pub fn last_seq(&self) -> Seq {
        match self.kind {
            RecordKind::Events => Seq(self.seq.0 + u64::from(self.count) - 1),
            RecordKind::Fence | RecordKind::Snapshot => self.seq,
        }
    }
}

/// A record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Events of one flight, by rising seq, without a hole, at least one.
    Events {
        /// The flight concerned.
        flight_id: FlightId,
        /// Under which ownership.
        epoch: Epoch,
        /// What happened.
        events: Vec<Recorded>,
    },
    /// A flight has been taken over.
    Fence {
        /// The flight concerned.
        flight_id: FlightId,
        /// Under which ownership from now on.
        epoch: Epoch,
        /// Its last event at that time; 0 if none was known.
        last: Seq,
    },
    /// A whole flight.
    Snapshot {
        /// Under which ownership it was written.
        epoch: Epoch,
        /// The flight.
        snapshot: Box<FlightSnapshot>,
    },
}

/// Why something cannot become a record, or bytes are none.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the record does.
    #[error("record cut short: {have} bytes of {need}")]
    Short {
        /// Bytes that are there.
        have: usize,
        /// Bytes that ought to be there, as far as is known.
        need: usize,
    },
    /// Bytes follow the record.
    #[error("{extra} bytes too many after the record")]
    Trailing {
        /// Bytes behind the record's end.
        extra: usize,
    },
    /// Not a record of a version this program knows.
    #[error("not a record of version {VERSION}: {what}")]
    Head {
        /// What is wrong with the head.
        what: String,
    },
    /// The checksum does not match.
    #[error("record of {bytes} bytes has a wrong checksum")]
    Checksum {
        /// Bytes of the record.
        bytes: usize,
    },
    /// The checksum is right, but a value is not one that this program could have written.
    #[error("value {index} of the record cannot be read")]
    Value {
        /// Place of the event or order in the record, from 0.
        index: usize,
        /// What bincode or a checked constructor said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was to be encoded does not fit a record.
    #[error("cannot be encoded: {what}")]
    Unencodable {
        /// What is wrong with it.
        what: String,
    },
}
