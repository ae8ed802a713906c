//! Where other servers come in: each shows the secret before anything it says is looked at.
//! Never answers by itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::ask::{Asked, Reply};
use crate::frame::{self, Frame};
use crate::link::WRITTEN_AT_ONCE;
use crate::sealed::{End, Reader, Secret, Writer, meet};

/// Connections that may be showing the secret at a time, and of one address: a stranger keeps nobody else out.
const AT_THE_DOOR_MAX: usize = 4096;
const AT_THE_DOOR_OF_ONE_MAX: usize = 32;
/// How long it may take until the first request was heard.
const ENTERING_MAX: Duration = Duration::from_secs(3);
/// How often it is logged that strangers come, at most.
const WARNING_PAUSE: Duration = Duration::from_secs(10);
/// Requests of one connection that are answered at once; beyond that, no more are read.
const UNDER_WAY_MAX: usize = 16_384;
/// How long the loop rests after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The pieces of an answer that goes on; dropped when nobody follows any more.
pub type Pieces = mpsc::Receiver<Bytes>;

/// Who answers what other servers ask.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request whole.
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Reply>;
    /// Begins an answer that goes on; `None` in place of the pieces if it does not.
    fn follow(&self, asked: Asked) -> BoxFuture<'static, (Reply, Option<Pieces>)>;
}

/// The port for other servers.
pub struct Door {
    listener: TcpListener,
    secret: Secret,
}

impl Door {
    /// Listens there. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If that cannot be listened to.
    pub async fn open(at: SocketAddr, secret: Secret) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(at).await?, secret })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Lets other servers in, for as long as this is polled; when it is dropped, all are sent away.
    pub async fn serve(self, answers: Arc<dyn Answers>) {
        let at_the_door = Arc::new(Semaphore::new(AT_THE_DOOR_MAX));
        let (shares, warnings) = (Arc::default(), Arc::new(Warnings::default()));
        // They end with this.
        let mut inside = JoinSet::new();
        loop {
            let Ok(place) = at_the_door.clone().acquire_owned().await else { return };
            while inside.try_join_next().is_some() {}
            let (stream, from) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "accepting another server fails; trying on");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(share) = Share::take(&shares, from.ip()) else { continue };
            let (secret, answers, warnings) = (self.secret.clone(), answers.clone(), warnings.clone());
            inside.spawn(async move {
                match tokio::time::timeout(ENTERING_MAX, enter(stream, &secret)).await {
                    Ok(Ok(Some((reader, writer, first)))) => {
                        drop((place, share));
                        if let Err(error) = talk(reader, writer, first, answers).await {
                            tracing::debug!(%from, %error, "a link from another server has ended");
                        }
                    }
                    Ok(Ok(None)) => {}
                    Ok(Err(_)) | Err(_) => warnings.stranger(from),
                }
            });
        }
    }
}

/// How many connections of each address are showing the secret.
type Shares = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of them.
struct Share {
    shares: Shares,
    of: IpAddr,
}

impl Share {
    fn take(shares: &Shares, of: IpAddr) -> Option<Self> {
        // Whoever has one address of IPv6 has 2^64 of them.
        let of = match of.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        };
        let mut counts = shares.lock();
        let count = counts.entry(of).or_default();
        if *count >= AT_THE_DOOR_OF_ONE_MAX {
            return None;
        }
        *count += 1;
        Some(Self { shares: shares.clone(), of })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.lock();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

/// Shows the secret and hears the first frame: only that tells a server from somebody who says again what a server has said before
/// (the pattern's first message can be sent by whoever has heard it).
async fn enter(stream: TcpStream, secret: &Secret) -> std::io::Result<Option<(Reader, Writer, Frame)>> {
    let (mut reader, writer) = meet(stream, secret, End::Called).await?;
    let Some(first) = reader.next().await? else { return Ok(None) };
    Ok(Some((reader, writer, frame::read(first)?)))
}

/// Says now and then that strangers come.
#[derive(Default)]
struct Warnings(Mutex<Option<Instant>>);

impl Warnings {
    fn stranger(&self, from: SocketAddr) {
        let mut last = self.0.lock();
        if last.is_some_and(|at| at.elapsed() < WARNING_PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        tracing::warn!(
            %from,
            "somebody came to the port for other servers and did not show that they know the secret: a server of \
             another system, or with another cluster_secret"
        );
    }
}

async fn talk(
    reader: Reader,
    writer: Writer,
    first: Frame,
    answers: Arc<dyn Answers>,
) -> std::io::Result<()> {
    match first {
        Frame::Follow(asked) => tell(reader, writer, answers.follow(*asked).await).await,
        first @ Frame::Ask(..) => answer_all(reader, writer, answers, first).await,
        Frame::Reply(..) | Frame::Piece(_) => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

async fn answer_all(
    mut reader: Reader,
    writer: Writer,
    answers: Arc<dyn Answers>,
    first: Frame,
) -> std::io::Result<()> {
    let (to_write, written) = mpsc::unbounded_channel();
    let writing = tokio::spawn(write(writer, written));
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut next = Some(first);
    while let Some(frame) = next {
        let Frame::Ask(id, asked) = frame else { return Err(std::io::ErrorKind::InvalidData.into()) };
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let (answer, to_write) = (answers.answer(*asked), to_write.clone());
        // Goes on though the one that asked may go.
        tokio::spawn(async move {
            let reply = answer.await;
            // The link may have ended.
            let _ = to_write.send((id, reply));
            drop(place);
        });
        next = reader.next().await?.map(frame::read).transpose()?;
    }
    drop(to_write);
    // What is under way is answered, if the other end still listens.
    let _ = writing.await;
    Ok(())
}

async fn write(
    mut writer: Writer,
    mut to_write: mpsc::UnboundedReceiver<(u64, Reply)>,
) -> std::io::Result<()> {
    while let Some(first) = to_write.recv().await {
        let mut next = Some(first);
        while let Some((id, reply)) = next {
            let (head, body) = frame::reply(id, &reply);
            writer.add(&[&head, body]);
            next = if writer.waiting() < WRITTEN_AT_ONCE { to_write.try_recv().ok() } else { None };
        }
        writer.send().await?;
    }
    Ok(())
}

async fn tell(
    mut reader: Reader,
    mut writer: Writer,
    (reply, pieces): (Reply, Option<Pieces>),
) -> std::io::Result<()> {
    let (head, body) = frame::reply(0, &reply);
    writer.add(&[&head, body]);
    writer.send().await?;
    let Some(mut pieces) = pieces else { return Ok(()) };
    loop {
        tokio::select! {
            piece = pieces.recv() => {
                let Some(piece) = piece else { return Ok(()) };
                writer.add(&[&frame::piece(), &piece]);
                writer.send().await?;
            }
            // Nothing is said here any more: the other end has gone.
            _ = reader.next() => return Ok(()),
        }
    }
}
