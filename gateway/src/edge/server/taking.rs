//! An answer that its client does not take: how long it may stand still, and how slowly it may go.
//! Never costs anything where a write goes out at once.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::places::Guest;

/// The least rate at which an answer has to be taken once its client has had the whole time for standing still, in bytes
/// a second. A modem of 1996 is faster.
pub(super) const RATE_MIN: u64 = 4096;
/// How often it is looked at least whether a blocked answer moves.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(2);

/// Watches one connection's writes.
pub(super) struct Taking {
    patience: Duration,
    blocked: Option<Box<Blocked>>,
}

/// A write that could not go on at once, until all of it has gone.
struct Blocked {
    since: Instant,
    /// Bytes handed to the system and not taken yet, when it began; and those handed over since.
    handed: u64,
    /// Those that the client's side has taken since.
    taken: u64,
    /// When that last changed.
    moved: Instant,
    look: Pin<Box<Sleep>>,
}

impl Taking {
    /// An answer may stand still for so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, blocked: None }
    }

    /// A write waits for the client, with `left` bytes to go; ready with the error that ends the connection. An answer that
    /// `goes_on` for as long as it is read may be taken at any rate.
    pub(super) fn poll_blocked(
        &mut self,
        context: &mut Context<'_>,
        stream: &TcpStream,
        guest: &Guest,
        (left, goes_on): (usize, bool),
    ) -> Poll<io::Error> {
        let every = (self.patience / 4).clamp(Duration::from_millis(10), LOOK_EVERY_MAX);
        let blocked = self.blocked.get_or_insert_with(|| {
            let now = Instant::now();
            // Whatever ends the connection now must not leave the rest of the answer to the system.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            Box::new(Blocked {
                since: now,
                handed: untaken(stream),
                taken: 0,
                moved: now,
                look: Box::pin(tokio::time::sleep(every)),
            })
        });
        guest.keeps(left);
        while blocked.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let taken = blocked.handed.saturating_sub(untaken(stream));
            if taken > blocked.taken {
                (blocked.taken, blocked.moved) = (taken, now);
                guest.moves(now.into_std());
            }
            let due = self.patience + Duration::from_millis(taken.saturating_mul(1000) / RATE_MIN);
            if now - blocked.moved >= self.patience || (!goes_on && now - blocked.since >= due) {
                return Poll::Ready(ErrorKind::TimedOut.into());
            }
            blocked.look.as_mut().reset(now + every);
        }
        Poll::Pending
    }

    /// So many bytes were handed to the system.
    pub(super) fn went(&mut self, bytes: usize) {
        if let Some(blocked) = &mut self.blocked {
            blocked.handed += bytes as u64;
        }
    }

    /// Everything was handed to the system.
    pub(super) fn all_went(&mut self, stream: &TcpStream, guest: &Guest) {
        if self.blocked.take().is_some() {
            let _ = SockRef::from(stream).set_linger(None);
            guest.keeps(0);
        }
    }

    /// Whether a write waits.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }
}

/// Bytes that the system has to send and that the other side has not confirmed yet.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no crate at hand asks for this in a safe way")]
fn untaken(stream: &TcpStream) -> u64 {
    use std::os::fd::AsRawFd;
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the system writes one integer.
    let failed = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if failed != 0 { 0 } else { u64::try_from(bytes).unwrap_or(0) }
}

/// Not known: then only what can be handed over counts as taken.
#[cfg(not(target_os = "linux"))]
fn untaken(_: &TcpStream) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::ready;

    use tokio::io::{AsyncReadExt, AsyncWrite};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Sends an answer to a client with a small window, who takes it as `read` does; says how it ended.
    async fn sent(bytes: usize, patience: Duration, read: impl AsyncFnOnce(TcpStream)) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        SockRef::from(&stream).set_send_buffer_size(16 << 10).unwrap();
        let (answer, mut sent) = (vec![0; bytes], 0);
        let (mut taking, guest) = (Taking::new(patience), Guest::default());
        let sending = poll_fn(|context| {
            while sent < answer.len() {
                match Pin::new(&mut stream).poll_write(context, &answer[sent..]) {
                    Poll::Ready(written) => {
                        let written = written?;
                        taking.went(written);
                        sent += written;
                    }
                    Poll::Pending => {
                        let left = (answer.len() - sent, false);
                        let error = ready!(taking.poll_blocked(context, &stream, &guest, left));
                        return Poll::Ready(Err(error));
                    }
                }
            }
            taking.all_went(&stream, &guest);
            Poll::Ready(Ok(()))
        });
        tokio::select! {
            ended = sending => ended,
            () = read(client) => unreachable!("the client stays"),
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_given_up() {
        let began = Instant::now();
        let patience = Duration::from_millis(200);
        let ended = sent(4 << 20, patience, async |_client| std::future::pending().await).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= patience && began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn an_answer_that_is_taken_in_small_bites_is_not() {
        let patience = Duration::from_millis(600);
        let ended = sent(256 << 10, patience, async |mut client: TcpStream| {
            let mut bite = [0; 4096];
            let mut every = tokio::time::interval(Duration::from_millis(20));
            // Longer than its patience in all, and never still for as long.
            while client.read(&mut bite).await.is_ok() {
                every.tick().await;
            }
            std::future::pending::<()>().await;
        });
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_taken_at_less_than_the_least_rate_is_given_up() {
        let began = Instant::now();
        let patience = Duration::from_millis(400);
        let ended = sent(256 << 10, patience, async |mut client: TcpStream| {
            let mut bite = [0; 64];
            let mut every = tokio::time::interval(Duration::from_millis(100));
            loop {
                every.tick().await;
                let _ = client.read(&mut bite).await;
            }
        });
        assert_eq!(ended.await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
