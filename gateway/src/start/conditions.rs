//! What a server must not be started with unless it is meant: an open door, a Redis that may lose what it confirms.
//! Never changes a setting.

use crate::start::config::{CustomerAuth, Settings};
use crate::start::storage::StartError;

/// A server that believes everybody is for this machine alone, unless that is meant otherwise.
pub(super) fn refuse_open(settings: &Settings) -> Result<(), StartError> {
    if settings.customer_auth != CustomerAuth::Open {
        return Ok(());
    }
    if !settings.listen.ip().to_canonical().is_loopback() && !settings.allow_open {
        return Err(StartError::OpenToAll { address: settings.listen });
    }
    tracing::warn!(
        "customer_auth is open: whoever reaches {} may order for anybody and see anybody's orders. Set customer_auth \
         to jwt before customers can.",
        settings.listen
    );
    Ok(())
}

/// A Redis that may lose what it confirms is no journal to sell on, unless that is meant.
pub(super) fn refuse_unsafe(settings: &Settings, complaints: Vec<String>) -> Result<(), StartError> {
    if complaints.is_empty() {
        return Ok(());
    }
    if !settings.may_lose_what_redis_loses() {
        return Err(StartError::UnsafeRedis(complaints));
    }
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    Ok(())
}
