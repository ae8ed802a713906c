//! How a start becomes a member of those who share a journal, before it claims a flight.
//! Never claims one.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use farerush_persistence::files;
use farerush_persistence::journal::RedisJournal;

use crate::parts::other_servers::about::About;
use crate::parts::other_servers::lease::Lease;
use crate::start::config::Settings;
use crate::start::storage::{StartError, wait_for};

/// The file with the name of this server's life as a member.
const LIFE: &str = "life";

/// Becomes a member of those who share the journal, if it can be shared.
pub(super) async fn begin_lease(
    settings: &Settings,
    redis: Option<&Arc<RedisJournal>>,
    peer: Option<SocketAddr>,
    until: Instant,
) -> Result<Option<Arc<Lease>>, StartError> {
    let Some(redis) = redis else { return Ok(None) };
    let about = || About { peer, ..About::named(&settings.instance) };
    let attempt = async || {
        if peer.is_some() {
            end_life_before(settings, redis).await;
        }
        let lease = Arc::new(Lease::new(redis.clone(), settings.lease, about()));
        let begins = lease.clone();
        let begun = tokio::task::spawn_blocking(move || begins.begin()).await;
        begun.map_err(|error| StartError::Thread(std::io::Error::other(error)))??;
        Ok(lease)
    };
    let lease = wait_for(settings, until, attempt).await?;
    let noted = files::open_private(&settings.data_dir.join(LIFE)).and_then(|mut file| {
        file.set_len(0)?;
        file.write_all(lease.life().as_bytes())
    });
    if let Err(error) = noted {
        tracing::debug!(%error, "the next start will wait until this one's lease is over, if it is killed");
    }
    Ok(Some(lease))
}

/// A server whose data directory this process has is gone, whatever its lease says: nobody need wait for its flights.
async fn end_life_before(settings: &Settings, redis: &Arc<RedisJournal>) {
    let Ok(life) = std::fs::read_to_string(settings.data_dir.join(LIFE)) else { return };
    let redis = redis.clone();
    // Else it ends by itself.
    let _ = tokio::task::spawn_blocking(move || redis.end_life(&life)).await;
}
