//! The port for other servers, opened before any of them is told of it.
//! Never answers anything itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

use farerush_engine::flight::IdSecrets;
use farerush_peers::{Door, Peers, Secret};

use crate::start::config::{JournalTarget, PeerListen, Settings};
use crate::start::storage::StartError;

const SECRET_CONTEXT: &str = "farerush 2026-11 what servers show each other";

/// The way to other servers, and the door for them.
pub(super) struct Peering {
    pub(super) door: Door,
    pub(super) peers: Arc<Peers>,
    /// Where the others reach the door.
    pub(super) address: SocketAddr,
}

/// Opens the door, where servers can share flights and that is wanted.
pub(super) async fn open(settings: &Settings, secrets: &IdSecrets) -> Result<Option<Peering>, StartError> {
    let JournalTarget::Redis(url) = &settings.journal else { return Ok(None) };
    let at = match settings.peering.listen {
        PeerListen::Nowhere => return Ok(None),
        PeerListen::At(address) => address,
        PeerListen::Auto => SocketAddr::new(own_address(url.expose()), 0),
    };
    let secret = match &settings.peering.secret {
        Some(secret) => Secret::derive(secret.expose().as_bytes()),
        None => Secret::derive(&secrets.key_for(SECRET_CONTEXT)),
    };
    let failed = |source| StartError::Listen { address: at, source };
    let door = Door::open(at, secret.clone()).await.map_err(failed)?;
    let mut address = door.address().map_err(failed)?;
    if address.ip().is_unspecified() {
        address.set_ip(own_address(url.expose()));
    }
    let address = settings.peering.address.unwrap_or(address);
    tracing::info!(%address, "other servers hand on what they are asked about this one's flights");
    Ok(Some(Peering { door, peers: Arc::new(Peers::new(secret)), address }))
}

/// The address from which this machine reaches Redis, as its routes say; nothing is sent.
fn own_address(url: &str) -> IpAddr {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(to) = host_of(url).and_then(|host| host.to_socket_addrs().ok()?.next()) else { return here };
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let found = UdpSocket::bind(from).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    found.map_or(here, |address| address.ip())
}

/// Host and port of a URL of Redis; `None` for a socket's path.
fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.strip_prefix("redis").map(|rest| rest.trim_start_matches('s'))?.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':') || name.ends_with(']'));
    Some(if has_port { host.to_owned() } else { format!("{host}:6379") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_found_in_its_url() {
        for (url, host) in [
            ("redis://127.0.0.1:6390/1", Some("127.0.0.1:6390")),
            ("redis://user:p:w@redis", Some("redis:6379")),
            ("rediss://:pw@[::1]:7000/0?x=1", Some("[::1]:7000")),
            ("redis://[::1]", Some("[::1]:6379")),
            ("unix:///run/redis.sock", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
        assert_eq!(own_address("redis://127.0.0.1:1"), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(own_address("unix:///run/redis.sock"), IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
}
