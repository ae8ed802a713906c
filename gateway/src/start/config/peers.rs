//! The port for other servers, and what they show there.
//! Never opens it.

use std::net::SocketAddr;

use super::address;
use crate::base::settings::{ConfigError, Secret, Values};

/// Where other servers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerListen {
    /// Nowhere.
    Nowhere,
    /// At a free port of the address from which Redis is reached.
    Auto,
    /// There.
    At(SocketAddr),
}

/// All that is said about it.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// Where other servers come in.
    pub listen: PeerListen,
    /// Where they reach that, if not there.
    pub address: Option<SocketAddr>,
    /// What they show; `None`: what is made of the secret of ids.
    pub secret: Option<Secret>,
}

impl PeerSettings {
    pub(super) fn of(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            listen: values.parse("peer_listen", |text| match text {
                "auto" => Ok(PeerListen::Auto),
                "none" => Ok(PeerListen::Nowhere),
                _ => address(text).map(PeerListen::At),
            })?,
            address: values.parse("peer_address", |text| match text {
                "auto" => Ok(None),
                _ => address(text).map(Some),
            })?,
            secret: match values.is_default("cluster_secret") {
                true => None,
                false => Some(values.parse("cluster_secret", cluster_secret)?),
            },
        })
    }
}

fn cluster_secret(text: &str) -> Result<Secret, String> {
    if !(32..=256).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be 32 to 256 visible characters without spaces".to_owned());
    }
    Ok(Secret::new(text))
}
