//! A timer for open loops: finer than the runtime's, which counts in milliseconds.
//! Never measures anything.

use std::io;
use std::time::{Duration, Instant};

/// Moments closer together than this come together: waking up has its price, too.
const TICK_MIN: Duration = Duration::from_micros(500);

/// A timer finer than the runtime's, which counts in milliseconds.
#[cfg(target_os = "linux")]
pub(crate) struct Timer(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Its successor is unsafe, for the sake of types whose descriptor may change; an owned one's never does.
        #[allow(deprecated, reason = "sound for OwnedFd")]
        let registered = tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
        Ok(Self(registered))
    }

    pub(crate) async fn wait_until(&self, at: Instant) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let wait = at.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            // Others must get their turn even if everything is overdue.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let wait = Timespec::try_from(wait.max(TICK_MIN)).map_err(io::Error::other)?;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: zero, it_value: wait };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        let mut expirations = [0; 8];
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?)) {
                Ok(read) => return read.map(|_| ()),
                Err(_) => continue,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn wait_until(&self, at: Instant) -> io::Result<()> {
        let soonest = Instant::now() + TICK_MIN;
        tokio::time::sleep_until(at.max(soonest).into()).await;
        Ok(())
    }
}
