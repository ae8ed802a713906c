//! The other servers, where all of them are asked the same thing at once.
//! Never hides that one has not answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farerush_peers::{Asked, Peers, Reply};
use futures_util::future::join_all;
use warp::http::{Request, StatusCode, Uri};

use super::OtherServers;

/// The other servers, and the ways to them.
#[derive(Clone)]
pub struct Others {
    /// `None` where there are none.
    peers: Option<Arc<Peers>>,
    other_servers: Arc<OtherServers>,
}

/// What another server says.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its life.
    pub life: String,
    /// Its name.
    pub server: String,
    /// Where it is asked.
    pub peer: Option<SocketAddr>,
    /// Its answer; `None` if it did not give one in time.
    pub answer: Option<Bytes>,
}

/// What the server that is reached there says to this; `None` if it does not say it within `patience`, or will not.
pub(crate) async fn answer_of(
    peers: &Peers,
    to: SocketAddr,
    path: &'static str,
    body: Bytes,
    patience: Duration,
) -> Option<Bytes> {
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::from_static(path);
    let asked = Asked { request, peer: None, left: patience };
    match tokio::time::timeout(patience, peers.ask(to, &asked)).await {
        Ok(Ok(Reply::Answer(answer))) if answer.status() == StatusCode::OK => Some(answer.into_body()),
        _ => None,
    }
}

impl Others {
    /// Those that these know, on these ways.
    pub fn new(peers: Option<Arc<Peers>>, other_servers: Arc<OtherServers>) -> Self {
        Self { peers, other_servers }
    }

    /// Whether there is nobody but this server.
    pub fn are_none(&self) -> bool {
        self.other_servers.lease().is_none_or(|lease| lease.count() <= 1)
    }

    /// What this server is called.
    pub fn own_name(&self) -> String {
        self.other_servers.lease().map(|lease| lease.name()).unwrap_or_default()
    }

    /// What all of them say, by name; one that does not within `patience` has said nothing.
    pub async fn ask(&self, path: &'static str, body: Bytes, patience: Duration) -> Vec<Said> {
        let Some(lease) = self.other_servers.lease() else { return Vec::new() };
        let (own, servers) = (lease.life(), lease.servers());
        let others = servers.iter().filter(|server| server.life != own);
        let asks = others.map(|server| {
            let (body, peer) = (body.clone(), server.about.peer);
            async move {
                let answer = match (&self.peers, peer) {
                    (Some(peers), Some(to)) => answer_of(peers, to, path, body, patience).await,
                    _ => None,
                };
                Said { life: server.life.clone(), server: server.about.server.clone(), peer, answer }
            }
        });
        let mut said = join_all(asks).await;
        said.sort_unstable_by(|one, other| (&one.server, &one.life).cmp(&(&other.server, &other.life)));
        said
    }
}
