//! Whether the store is this process's journal's, at the start and ever after: two journals on one store would sell the
//! same seats under the same ids. Never looks at a flight but to stop it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::actor::Engine;
use farerush_persistence::journal::{JournalIdentity, RedisJournal};
use farerush_persistence::store::{JournalOwner, Store, StoreError};

use crate::base::errors::in_full;
use crate::parts::health::Health;
use crate::start::config::{JournalTarget, Settings, StoreTarget};
use crate::start::storage::{StartError, note_journal};

/// How often a living process shows itself in the store.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long a store's journal must not have shown itself before another one takes its place.
const SILENCE: Duration = Duration::from_secs(5);
/// After how many such times it is seen to that Redis knows which journal it has.
const KEEP_EVERY_BEATS: u64 = 5;
/// How often two that claim a new store at the same time try again.
const CLAIM_TRIES: usize = 5;

/// This process's journal, as the store is to know it.
#[derive(Clone)]
pub struct Owning {
    journal: JournalIdentity,
    /// Of a journal that one process has at a time, this process; empty for one that many share.
    holder: String,
    /// Whether others may have the store, too: a SQLite file is locked.
    is_shared_store: bool,
    adopts: Option<String>,
    redis: Option<Arc<RedisJournal>>,
}

impl Owning {
    /// Nothing is claimed yet.
    pub fn new(settings: &Settings, journal: JournalIdentity, redis: Option<Arc<RedisJournal>>) -> Self {
        let is_shared = matches!(settings.journal, JournalTarget::Redis(_));
        let holder = || format!("{}-{:08x}", std::process::id(), fastrand::u32(..));
        Self {
            holder: if is_shared { String::new() } else { holder() },
            journal,
            is_shared_store: matches!(settings.store, StoreTarget::MySql(_)),
            adopts: settings.journal_adopt.clone(),
            redis,
        }
    }

    /// Makes the store this journal's, or fails if it is another's. Then this server knows its journal again, whatever
    /// becomes of what is in it.
    pub async fn claim(&self, store: &Store, settings: &Settings) -> Result<(), StartError> {
        self.claim_store(store).await?;
        note_journal(settings, &self.journal).map_err(StartError::Thread)
    }

    async fn claim_store(&self, store: &Store) -> Result<(), StartError> {
        let owner = self.claimed(store).await?;
        if owner.journal.id == self.journal.id {
            return Ok(());
        }
        // One in memory is gone with its process, and what only it had with it.
        if !owner.journal.is_memory() && self.adopts.as_ref() != Some(&owner.journal.id) {
            return Err(self.refused(store, owner));
        }
        if self.is_shared_store {
            tokio::time::sleep(SILENCE).await;
        }
        let (place, ours) = (store.describe(), self.journal.name.clone());
        if !store.replace_journal(&owner, &self.journal, &self.holder).await? {
            return Err(StartError::OwnerLives { store: place, owner: owner.journal.name, ours });
        }
        tracing::warn!(
            store = place,
            old_journal = owner.journal.name,
            old_journal_id = owner.journal.id,
            journal = ours,
            "the store belongs to this journal from now on; what only the old one had is lost"
        );
        Ok(())
    }

    async fn claimed(&self, store: &Store) -> Result<JournalOwner, StoreError> {
        let mut tries = 1;
        loop {
            match store.claim_for_journal(&self.journal, &self.holder).await {
                Err(StoreError::Conflict { .. }) if tries < CLAIM_TRIES => tries += 1,
                claimed => return claimed,
            }
        }
    }

    /// Fails if the store is another journal's; claims nothing. A store that has never been started on, or not since
    /// stores know their journals, is nobody's.
    pub async fn check(journal: &JournalIdentity, store: &Store) -> Result<(), StartError> {
        let owner = match store.journal_owner().await {
            Ok(Some(owner)) if owner.journal.id != journal.id => owner,
            Ok(_) | Err(StoreError::Schema { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        Err(refusal(store, owner, &journal.name))
    }

    fn refused(&self, store: &Store, owner: JournalOwner) -> StartError {
        refusal(store, owner, &self.journal.name)
    }

    /// Shows the store that this process lives, and stops all its flights if the store is another journal's by now, or
    /// has been all the while that it was away. Goes on for as long as the server runs.
    pub async fn watch(self, health: Weak<Health>) {
        if !self.is_shared_store {
            return;
        }
        let mut is_lost = false;
        for beat in 1_u64.. {
            tokio::time::sleep(BEAT_EVERY).await;
            if !is_lost && beat.is_multiple_of(KEEP_EVERY_BEATS) {
                self.keep_in_redis().await;
            }
            let Some(health) = health.upgrade().filter(|health| !health.stopping.has_begun()) else { return };
            if !is_lost {
                is_lost = self.has_lost(&health.lists.store).await;
            }
            if is_lost {
                // Those that are created or brought up meanwhile, too.
                stop_all(&health.flights.engine);
            }
        }
    }

    /// A Redis that was flushed has this journal all the same, as far as those who use it have it.
    async fn keep_in_redis(&self) {
        let Some(redis) = self.redis.clone() else { return };
        let id = self.journal.id.clone();
        let kept = tokio::task::spawn_blocking(move || redis.keep_identity(&id)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(error = in_full(&error), "Redis cannot be told which journal it has");
        }
    }

    async fn has_lost(&self, store: &Store) -> bool {
        match store.beat(&self.journal.id, &self.holder).await {
            Ok(false) => {}
            Ok(true) => return false,
            // Away, or not migrated yet: it is asked again.
            Err(error) => {
                tracing::debug!(
                    error = in_full(&error),
                    "the store cannot be told that its journal is in use"
                );
                return false;
            }
        }
        let owner = match store.journal_owner().await {
            // It came up while the store was away, and the store is new.
            Ok(None) => self.claimed(store).await.ok(),
            Ok(owner) => owner,
            Err(_) => None,
        };
        let Some(owner) =
            owner.filter(|owner| owner.journal.id != self.journal.id || owner.holder != self.holder)
        else {
            return false;
        };
        tracing::error!(
            store = store.describe(),
            owner = owner.journal.name,
            owner_id = owner.journal.id,
            ours = self.journal.name,
            "the store belongs to another journal, or another process has a copy of this one: nothing is sold here any \
             more. Stop this process"
        );
        true
    }
}

fn refusal(store: &Store, owner: JournalOwner, ours: &str) -> StartError {
    StartError::OtherJournal {
        store: store.describe(),
        owner: owner.journal.name,
        owner_id: owner.journal.id,
        ours: ours.to_owned(),
    }
}

fn stop_all(engine: &Engine) {
    for flight in engine.flights() {
        engine.note_fenced_under(flight.flight_id(), flight.status().epoch);
    }
}
