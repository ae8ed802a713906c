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
    let to = hosts_of(url).into_iter().find_map(|host| host.to_socket_addrs().ok()?.next());
    let Some(to) = to else { return here };
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

/// Hosts and ports of a URL of Redis; none of a socket's path. A way to a sentinel is one to its Redis, too.
fn hosts_of(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("redis")) else {
        return Vec::new();
    };
    if scheme.ends_with("+unix") {
        return Vec::new();
    }
    let hosts = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    let with_port = |host: &str| {
        let has_port =
            host.rsplit_once(':').is_some_and(|(name, _)| !name.contains(':') || name.ends_with(']'));
        if has_port { host.to_owned() } else { format!("{host}:6379") }
    };
    hosts.split(',').map(with_port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_found_in_its_url() {
        for (url, host) in [
            ("redis://127.0.0.1:6390/1", &["127.0.0.1:6390"][..]),
            ("redis://user:p:w@redis", &["redis:6379"]),
            ("rediss://:pw@[::1]:7000/0?x=1", &["[::1]:7000"]),
            ("redis://[::1]", &["[::1]:6379"]),
            ("rediss+sentinel://:pw@a:26379,[::1]:26379/sale/0?tls=true", &["a:26379", "[::1]:26379"]),
            ("redis+cluster://a,b:7", &["a:6379", "b:7"]),
            ("unix:///run/redis.sock", &[]),
            ("redis+unix:///run/redis.sock", &[]),
        ] {
            assert_eq!(hosts_of(url), host, "{url}");
        }
        assert_eq!(own_address("redis://127.0.0.1:1"), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(own_address("unix:///run/redis.sock"), IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
}
