//! What is told of a round that traced requests wait for: how it was appended, and whose events are in it.
//! Never there for a round that nobody traces.

use std::time::{Duration, Instant};

use crate::flight::{FlightId, Seq};

/// What it cost a journal to append its last round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendCost {
    /// Bytes that were written.
    pub bytes: u64,
    /// How long the disk took to make them durable; `None` where that is another server's disk, which does not say.
    pub sync: Option<Duration>,
}

/// Which trace a request belongs to, and its span there: numbers, whose meaning is their maker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanRef {
    /// The trace.
    pub trace: u128,
    /// The span of the whole request in it.
    pub span: u64,
}

/// A traced request whose answer waited for a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The flight that it was for.
    pub flight_id: FlightId,
    /// The last event of the turn in which it was decided; 0 if that turn had none.
    pub seq: Seq,
    /// The request's own span.
    pub span: SpanRef,
}

/// A round that is durable and that traced requests waited for.
#[derive(Debug, Clone)]
pub struct SeenRound {
    /// When its append began.
    pub began: Instant,
    /// How long it took, all attempts together.
    pub took: Duration,
    /// Flights whose events it had.
    pub flights: usize,
    /// Events that it had.
    pub events: usize,
    /// How often it was sent to the journal; more than once if that was away meanwhile.
    pub attempts: u32,
    /// What the last attempt cost, if the journal says.
    pub cost: Option<AppendCost>,
    /// The traced requests, at least one.
    pub followed: Vec<Followed>,
}

/// Called on the writer's thread, before the round is handed on: must not block.
pub type OnSeenRound = Box<dyn Fn(SeenRound) + Send + Sync>;
