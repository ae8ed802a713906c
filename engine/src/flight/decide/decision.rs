//! What follows from a command that is granted.
//! Never says why one is not: a refusal does.

use crate::flight::event::Event;
use crate::flight::ids::OrderNo;
use crate::flight::refusal::Refusal;

/// What follows from a command that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Something happens: the event has to be applied and made durable.
    Record(Event),
    /// It is refused, and something happens all the same: the event has to be applied and made durable before anybody is
    /// told of the refusal.
    RecordRefused(Event, Refusal),
    /// It was granted before, under the same key: nothing happens. The order, if it was about one.
    Replayed(Option<OrderNo>),
    /// What is asked for is so already: nothing happens. The order, if it was about one.
    Unchanged(Option<OrderNo>),
}
