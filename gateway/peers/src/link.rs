//! One connection to another server, on which many requests are under way.
//! Never decides whom to ask.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::ask::{Asked, Reply};
use crate::frame::{self, Frame};
use crate::sealed::{End, Reader, Secret, Writer, meet};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Requests that may be under way on one connection.
const UNDER_WAY_MAX: usize = 16_384;
/// So much is written at once, in bytes, though more may wait.
pub(crate) const WRITTEN_AT_ONCE: usize = 256 * 1024;

/// Connects, and shows the secret.
pub(crate) async fn connect(to: SocketAddr, secret: &Secret) -> std::io::Result<(Reader, Writer)> {
    let connect = async { meet(TcpStream::connect(to).await?, secret, End::Caller).await };
    tokio::time::timeout(CONNECT_MAX, connect)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// A request that waits for its reply.
struct Waiting {
    reply: oneshot::Sender<Result<Reply, Broken>>,
    /// Whether any of it may have left.
    has_left: bool,
}

/// What is under way; `None` once the connection has ended.
type UnderWay = Mutex<Option<HashMap<u64, Waiting>>>;

/// A connection.
pub(crate) struct Link {
    next: AtomicU64,
    under_way: Arc<UnderWay>,
    to_write: mpsc::UnboundedSender<(u64, Vec<u8>, Bytes)>,
    /// When the last frame was heard, in milliseconds since `began`.
    heard: Arc<AtomicU64>,
    began: Instant,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing of it left.
    Unsent,
    /// It may have been heard.
    Sent,
    /// So many are under way that this one was not sent.
    Full,
}

impl Link {
    pub(crate) fn new(reader: Reader, writer: Writer) -> Arc<Self> {
        let (to_write, written) = mpsc::unbounded_channel();
        let link = Arc::new(Self {
            next: AtomicU64::new(0),
            under_way: Arc::new(Mutex::new(Some(HashMap::new()))),
            to_write,
            heard: Arc::default(),
            began: Instant::now(),
        });
        // They end with the connection, and the writer with the link.
        let (under_way, heard, began) = (link.under_way.clone(), link.heard.clone(), link.began);
        let reading = tokio::spawn(async move {
            let end = read(reader, &under_way, &heard, began).await;
            tracing::debug!(?end, "a link to another server has ended");
            end_all(&under_way);
        });
        let under_way = link.under_way.clone();
        tokio::spawn(async move {
            if let Err(error) = write(writer, written, &under_way).await {
                tracing::debug!(%error, "a link to another server cannot be written to");
            }
            end_all(&under_way);
            reading.abort();
        });
        link
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.under_way.lock().is_none()
    }

    /// How long nothing has been heard, if something is waited for.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        let waits = self.under_way.lock().as_ref().is_some_and(|waiting| !waiting.is_empty());
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        waits.then(|| self.began.elapsed().saturating_sub(heard))
    }

    /// Asks, and waits for the reply. Whoever stops waiting has asked all the same.
    pub(crate) async fn ask(&self, asked: &Asked) -> Result<Reply, Broken> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, replied) = oneshot::channel();
        match self.under_way.lock().as_mut() {
            None => return Err(Broken::Unsent),
            Some(waiting) if waiting.len() >= UNDER_WAY_MAX => return Err(Broken::Full),
            Some(waiting) => {
                if waiting.is_empty() {
                    self.heard.store(millis(self.began), Ordering::Relaxed);
                }
                waiting.insert(id, Waiting { reply, has_left: false });
            }
        }
        let _mine = Mine { under_way: &self.under_way, id };
        let head = frame::ask(id, asked, false);
        if self.to_write.send((id, head, asked.request.body().clone())).is_err() {
            return Err(Broken::Unsent);
        }
        replied.await.unwrap_or(Err(Broken::Sent))
    }
}

/// Tells all who wait that nothing comes any more.
fn end_all(under_way: &UnderWay) {
    for waiting in under_way.lock().take().into_iter().flat_map(HashMap::into_values) {
        let _ = waiting.reply.send(Err(if waiting.has_left { Broken::Sent } else { Broken::Unsent }));
    }
}

/// Takes a request out that nobody waits for any more.
struct Mine<'a> {
    under_way: &'a UnderWay,
    id: u64,
}

impl Drop for Mine<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.under_way.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn read(
    mut reader: Reader,
    under_way: &UnderWay,
    heard: &AtomicU64,
    began: Instant,
) -> std::io::Result<()> {
    while let Some(frame) = reader.next().await? {
        heard.store(millis(began), Ordering::Relaxed);
        let Frame::Reply(id, reply) = frame::read(frame)? else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        let waiting = under_way.lock().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(waiting) = waiting {
            // Whoever asked may have gone.
            let _ = waiting.reply.send(Ok(reply));
        }
    }
    Ok(())
}

async fn write(
    mut writer: Writer,
    mut to_write: mpsc::UnboundedReceiver<(u64, Vec<u8>, Bytes)>,
    under_way: &UnderWay,
) -> std::io::Result<()> {
    while let Some(first) = to_write.recv().await {
        let mut next = Some(first);
        {
            let mut under_way = under_way.lock();
            let Some(waiting) = under_way.as_mut() else { return Ok(()) };
            while let Some((id, head, body)) = next {
                // Of those that nobody waits for any more, nothing leaves.
                if let Some(waiting) = waiting.get_mut(&id) {
                    waiting.has_left = true;
                    writer.add(&[&head, &body]);
                }
                next = if writer.waiting() < WRITTEN_AT_ONCE { to_write.try_recv().ok() } else { None };
            }
        }
        writer.send().await?;
    }
    Ok(())
}
