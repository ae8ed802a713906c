//! Live readers: connections that read a flight's changes as they come (`GET /v1/flights/{id}/live`).
//! Never asks for anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::Target;
use super::worker::Run;

/// Pause before a reader that was cut off connects again.
const AGAIN_PAUSE: Duration = Duration::from_millis(200);
/// What begins the line that names an event.
const EVENT: &[u8] = b"event:";

/// What the live readers saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Events.
    pub events: AtomicU64,
    /// Times a reader was connected and answered 200.
    pub connected: AtomicU64,
    /// Times a reader could not connect, or was cut off before the end.
    pub cut_off: AtomicU64,
    /// The status of an answer that was not 200; 0 if there was none.
    pub refused: AtomicU64,
}

/// Reads one flight's events until the run is over, or the server says that it has none.
pub async fn read(run: Arc<Run>, place: usize) {
    let mut request = Vec::new();
    let path = ["/v1/flights/", &run.flights[place].id, "/live"];
    Target::new(&run.plan.address).write(
        &mut request,
        "GET",
        &path,
        &[("accept", "text/event-stream")],
        None,
    );
    loop {
        let status = follow(&run, &request).await.unwrap_or(0);
        if run.is_over(std::time::Instant::now()) {
            return;
        }
        run.live.cut_off.fetch_add(1, Ordering::Relaxed);
        if status >= 400 {
            run.live.refused.store(status.into(), Ordering::Relaxed);
            return;
        }
        tokio::time::sleep(AGAIN_PAUSE).await;
    }
}

async fn follow(run: &Run, request: &[u8]) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(run.address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    let mut bytes = Vec::with_capacity(16 << 10);
    let status = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(0);
        }
        if let Some(line) = bytes.split(|byte| *byte == b'\n').next().filter(|line| line.len() < bytes.len())
        {
            let status =
                line.split(|byte| *byte == b' ').nth(1).and_then(|text| std::str::from_utf8(text).ok());
            break status.and_then(|text| text.parse().ok()).unwrap_or(0);
        }
    };
    if status != 200 {
        return Ok(status);
    }
    run.live.connected.fetch_add(1, Ordering::Relaxed);
    loop {
        let found = bytes.windows(EVENT.len()).filter(|window| *window == EVENT).count();
        run.live.events.fetch_add(found as u64, Ordering::Relaxed);
        // A word may be cut in two.
        let kept = bytes.len().saturating_sub(EVENT.len() - 1);
        bytes.drain(..kept);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(status);
        }
    }
}
