//! Whether this server can sell and show what it sells, and what that hangs on.
//! Never writes it down: the operators' addresses do.

use std::sync::Arc;

use farerush_engine::actor::Condition;
use farerush_engine::journal::Durability;
use farerush_persistence::journal::RedisJournal;
use farerush_persistence::write_behind::StoreState;

use crate::base::stopping::Stopping;
use crate::parts::flights::Flights;
use crate::parts::lists::Lists;

/// What a server's health is made of.
pub struct Health {
    /// The flights.
    pub flights: Arc<Flights>,
    /// The store and what fills it.
    pub lists: Arc<Lists>,
    /// What the journal is and where, in words.
    pub journal: String,
    /// The journal itself, if it is in Redis: how that is set up is looked at again and again.
    pub redis: Option<Arc<RedisJournal>>,
    /// Whether the server has been told to stop.
    pub stopping: Arc<Stopping>,
}

impl Health {
    /// Whether grabs can be acknowledged and flights be shown, and it is not stopping.
    pub fn is_ready(&self) -> bool {
        let store_is_up = || self.lists.write_behind.status().store == StoreState::Up;
        let needs_store = self.flights.durability == Durability::Store;
        !self.stopping.has_begun()
            && matches!(self.flights.engine.status().journal, Condition::Writing)
            && !self.redis.as_ref().is_some_and(|redis| redis.is_refused())
            && self.flights.other_servers.ownership().is_certain()
            && (!needs_store || store_is_up())
    }
}
