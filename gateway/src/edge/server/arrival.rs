//! Since when bytes that are read could have been read: a client counts from there, however late they are looked at.
//! Never costs anything on a connection that is busy.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// What was read so shortly after the last read cannot have waited for long. Beyond it the system is asked.
const UNSEEN_MAX: Duration = Duration::from_millis(100);

/// When the bytes of one connection came.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// When it was last read from; `None`: never, so that it may have waited to be accepted.
    looked: Option<Instant>,
}

impl Arrivals {
    /// When the newest of the bytes came that were read just `now`.
    pub(super) fn newest(&mut self, stream: &TcpStream, now: Instant) -> Instant {
        let looked = self.looked.replace(now);
        if looked.is_some_and(|looked| now.saturating_duration_since(looked) < UNSEEN_MAX) {
            return now;
        }
        let came = now.checked_sub(waited(stream)).unwrap_or(now);
        looked.map_or(came, |looked| came.max(looked))
    }
}

/// For how long the newest bytes that the system has received have been there.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no crate at hand reads this option in a safe way")]
fn waited(stream: &TcpStream) -> Duration {
    use std::os::fd::AsRawFd;
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let Ok(mut length) = libc::socklen_t::try_from(size_of::<libc::tcp_info>()) else {
        return Duration::ZERO;
    };
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the system writes at most `length` bytes to a
    // place that has so many.
    let failed = unsafe {
        let place = info.as_mut_ptr().cast();
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut length)
    };
    if failed != 0 {
        return Duration::ZERO;
    }
    // SAFETY: it consists of integers alone, and was zeroed before the system wrote to it.
    let info = unsafe { info.assume_init() };
    Duration::from_millis(info.tcpi_last_data_recv.into())
}

/// Not known: then it counts from when it is read.
#[cfg(not(target_os = "linux"))]
fn waited(_: &TcpStream) -> Duration {
    Duration::ZERO
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn bytes_count_from_when_they_could_have_been_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"one").await.unwrap();
        // Not accepted yet; the system has them all the same.
        let sent = Instant::now();
        let wait = 3 * UNSEEN_MAX;
        while sent.elapsed() < wait {
            tokio::task::yield_now().await;
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut arrivals, mut room) = (Arrivals::default(), [0; 16]);
        assert_eq!(stream.read(&mut room).await.unwrap(), 3);
        let now = Instant::now();
        let waited = now - arrivals.newest(&stream, now);
        assert!(waited >= wait / 2, "{waited:?}");
        // On a connection that is busy nobody asks.
        client.write_all(b"two").await.unwrap();
        assert_eq!(stream.read(&mut room).await.unwrap(), 3);
        assert_eq!(arrivals.newest(&stream, now), now);
    }
}
