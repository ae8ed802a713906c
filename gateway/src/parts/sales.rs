//! What is sold: the flights as they are now, and what the store has of them.
//! Never more than the two together, for those who need both.

use std::sync::Arc;

use crate::parts::flights::Flights;
use crate::parts::lists::Lists;

/// Flights and lists.
pub struct Sales {
    /// The flights that are served here.
    pub flights: Arc<Flights>,
    /// What the store has.
    pub lists: Arc<Lists>,
}
