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
    let about =
        || About { peer, version: env!("CARGO_PKG_VERSION").to_owned(), ..About::named(&settings.instance) };
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
        write!(file, "{} {}", this_boot(), lease.life())
    });
    if let Err(error) = noted {
        tracing::debug!(%error, "the next start will wait until this one's lease is over, if it is killed");
    }
    Ok(Some(lease))
}

/// A server whose data directory this process has is gone, whatever its lease says: nobody need wait for its flights.
async fn end_life_before(settings: &Settings, redis: &Arc<RedisJournal>) {
    let Ok(noted) = std::fs::read_to_string(settings.data_dir.join(LIFE)) else { return };
    // A copy of the directory at another machine says nothing of the server that it was copied from.
    let Some((_, life)) = noted.split_once(' ').filter(|(boot, _)| *boot == this_boot()) else { return };
    let (redis, life) = (redis.clone(), life.to_owned());
    // Else it ends by itself.
    let _ = tokio::task::spawn_blocking(move || redis.end_life(&life)).await;
}

/// What tells this machine's last start from all others.
fn this_boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { "unknown".to_owned() } else { id.to_owned() }
}
