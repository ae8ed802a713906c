//! The other servers as this one asks them: one connection to each, made when it is needed.
//! Never decides whom to ask.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Mutex as AsyncMutex;

use crate::ask::{Asked, Reply};
use crate::frame::{self, Frame};
use crate::link::{Broken, Link, connect};
use crate::sealed::{Reader, Secret, Writer};

/// So soon after a connection came to nothing none is tried again.
const REST: Duration = Duration::from_millis(100);
/// A server that says nothing for so long, though it is asked, is asked on another connection.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAnswered {
    /// It was not reached: nothing was done.
    #[error("the other server cannot be reached")]
    Unreached,
    /// So much is under way to it that nothing was sent.
    #[error("too many requests are under way to the other server")]
    Full,
    /// It may have been done.
    #[error("the connection to the other server ended before its answer")]
    Unknown,
}

#[derive(Default)]
struct Slot {
    link: Option<Arc<Link>>,
    failed_at: Option<Instant>,
}

/// The other servers.
pub struct Peers {
    secret: Secret,
    slots: Mutex<HashMap<SocketAddr, Arc<AsyncMutex<Slot>>>>,
    /// The connections that are there, so that nobody waits for who makes one.
    links: Mutex<HashMap<SocketAddr, Arc<Link>>>,
}

impl Peers {
    /// Those that know this secret; nobody is connected to yet.
    pub fn new(secret: Secret) -> Self {
        Self { secret, slots: Mutex::default(), links: Mutex::default() }
    }

    /// Asks a server. Whoever stops waiting has asked all the same.
    ///
    /// # Errors
    ///
    /// If there is no answer; that says whether something may have been done.
    pub async fn ask(&self, to: SocketAddr, asked: &Asked) -> Result<Reply, NotAnswered> {
        let link = self.link(to).await.ok_or(NotAnswered::Unreached)?;
        link.ask(asked).await.map_err(|broken| match broken {
            Broken::Unsent => NotAnswered::Unreached,
            Broken::Full => NotAnswered::Full,
            Broken::Sent => NotAnswered::Unknown,
        })
    }

    /// Asks for an answer that goes on, on a connection of its own.
    ///
    /// # Errors
    ///
    /// If it does not begin.
    pub async fn follow(&self, to: SocketAddr, asked: &Asked) -> Result<Followed, NotAnswered> {
        let (reader, mut writer) = connect(to, &self.secret).await.map_err(|_| NotAnswered::Unreached)?;
        writer.add(&[&frame::ask(0, asked, true), asked.request.body()]);
        writer.send().await.map_err(|_| NotAnswered::Unreached)?;
        let mut followed = Followed { reply: None, reader, _writer: writer };
        match followed.frame().await {
            Some(Frame::Reply(_, reply)) => followed.reply = Some(reply),
            _ => return Err(NotAnswered::Unknown),
        }
        Ok(followed)
    }

    /// Ends the connections to all but these.
    pub fn keep_only(&self, there: &[SocketAddr]) {
        self.slots.lock().retain(|address, _| there.contains(address));
        self.links.lock().retain(|address, _| there.contains(address));
    }

    async fn link(&self, to: SocketAddr) -> Option<Arc<Link>> {
        let known = self.links.lock().get(&to).cloned();
        if let Some(link) = known.filter(|link| is_well(link)) {
            return Some(link);
        }
        let slot = self.slots.lock().entry(to).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(link) = slot.link.as_ref().filter(|link| is_well(link)) {
            return Some(link.clone());
        }
        slot.link = None;
        self.links.lock().remove(&to);
        if slot.failed_at.is_some_and(|at| at.elapsed() < REST) {
            return None;
        }
        match connect(to, &self.secret).await {
            Ok((reader, writer)) => {
                let link = Link::new(reader, writer);
                slot.link = Some(link.clone());
                self.links.lock().insert(to, link.clone());
                Some(link)
            }
            Err(error) => {
                tracing::debug!(%to, %error, "another server cannot be connected to");
                slot.failed_at = Some(Instant::now());
                None
            }
        }
    }
}

fn is_well(link: &Link) -> bool {
    !link.is_broken() && link.silent_for().is_none_or(|time| time < SILENCE_MAX)
}

/// An answer that goes on.
pub struct Followed {
    reply: Option<Reply>,
    reader: Reader,
    /// The other end sees by it that nobody follows any more.
    _writer: Writer,
}

impl Followed {
    /// What was said first, its body being what comes after it; once.
    pub fn reply(&mut self) -> Option<Reply> {
        self.reply.take()
    }

    /// The next piece; `None` at the end.
    pub async fn piece(&mut self) -> Option<Bytes> {
        match self.frame().await? {
            Frame::Piece(piece) => Some(piece),
            _ => None,
        }
    }

    async fn frame(&mut self) -> Option<Frame> {
        frame::read(self.reader.next().await.ok()??).ok()
    }
}
