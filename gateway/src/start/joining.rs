//! How a start becomes a member of those who share a journal, before it claims a flight.
//! Never claims one.

use std::sync::Arc;
use std::time::Instant;

use farerush_persistence::journal::RedisJournal;

use crate::parts::other_servers::lease::Lease;
use crate::start::config::Settings;
use crate::start::storage::{StartError, wait_for};

/// Becomes a member of those who share the journal, if it can be shared.
pub(super) async fn begin_lease(
    settings: &Settings,
    redis: Option<&Arc<RedisJournal>>,
    until: Instant,
) -> Result<Option<Arc<Lease>>, StartError> {
    let Some(redis) = redis else { return Ok(None) };
    let attempt = async || {
        let lease = Arc::new(Lease::new(redis.clone(), settings.lease, settings.instance.clone()));
        let begins = lease.clone();
        let begun = tokio::task::spawn_blocking(move || begins.begin()).await;
        begun.map_err(|error| StartError::Thread(std::io::Error::other(error)))??;
        Ok(lease)
    };
    wait_for(settings, until, attempt).await.map(Some)
}
