//! Live readers: connections that read a flight's changes as they come (`GET /v1/flights/{id}/live`).
//! Never asks for anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::Target;
use super::worker::Run;

/// Pause before a reader that was cut off connects again.
const AGAIN_PAUSE: Duration = Duration::from_millis(200);
/// What begins the line that names an event, and the one that numbers it.
const EVENT: &[u8] = b"event:";
const ID: &[u8] = b"id:";
/// How much of a line is looked at, in bytes: longer ones are data.
const LINE_BYTES_MAX: usize = 64;
/// How much is read at once, in bytes; there may be 10,000 readers.
const READ_BYTES: usize = 4 << 10;

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
        let status = follow(&run, place, &request).await.unwrap_or(0);
        if run.is_over(Instant::now()) {
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

async fn follow(run: &Run, place: usize, request: &[u8]) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(run.address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    let mut bytes = Vec::with_capacity(READ_BYTES);
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
    let mut lines = Lines::default();
    loop {
        let heard = lines.hear(&bytes);
        run.live.events.fetch_add(heard.events, Ordering::Relaxed);
        if let Some(seq) = heard.seq {
            run.flights[place].deliveries.read(seq, run.micros(Instant::now()));
        }
        bytes.clear();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(status);
        }
    }
}

/// Reads lines however they are cut; keeps no more of one than is needed to know it.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// The number in the id of the event that is being read.
    seq: Option<u64>,
}

/// What a piece of text told.
#[derive(Debug, Default, PartialEq, Eq)]
struct EventsRead {
    events: u64,
    /// The number of the last event that is whole.
    seq: Option<u64>,
}

impl Lines {
    fn hear(&mut self, bytes: &[u8]) -> EventsRead {
        let mut heard = EventsRead::default();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES_MAX - self.begun.len();
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if !is_whole {
                break;
            }
            if self.begun.starts_with(EVENT) {
                heard.events += 1;
            } else if let Some(id) = self.begun.strip_prefix(ID) {
                // `<epoch>-<seq>`
                let seq =
                    id.rsplit(|byte| *byte == b'-').next().and_then(|seq| std::str::from_utf8(seq).ok());
                self.seq = seq.and_then(|seq| seq.trim().parse().ok());
            } else if self.begun.is_empty() {
                heard.seq = self.seq.take().or(heard.seq);
            }
            self.begun.clear();
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_heard_however_they_are_cut() {
        let text = b"retry: 1000\n\nevent: sale\ndata: {}\n\nevent: seats\nid: 2-17\ndata: {\"seq\":17}\n\nevent: seats\nid: 2-18\ndata: {";
        let whole = Lines::default().hear(text);
        assert_eq!(whole, EventsRead { events: 3, seq: Some(17) });
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let (first, rest) = (lines.hear(&text[..cut]), lines.hear(&text[cut..]));
            assert_eq!(first.events + rest.events, 3, "cut at {cut}");
            assert_eq!(rest.seq.or(first.seq), Some(17), "cut at {cut}");
            assert_eq!(lines.hear(b"}\n\n").seq, Some(18), "cut at {cut}");
        }
        assert_eq!(Lines::default().hear(&[b'x'; 100_000]), EventsRead::default());
    }
}
