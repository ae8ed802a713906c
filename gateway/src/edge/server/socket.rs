//! The socket as hyper sees it: turns hyper's own bare errors into problems, and closes so that the last answer
//! arrives. Never touches what the service answers.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use warp::http::HeaderMap;

use super::arrival::Arrivals;
use super::connection::Vitals;
use super::front::RequestIds;
use super::page_seen::PageSeen;
use super::taking::Taking;
use crate::wire::cors::Origins;
use crate::wire::problem::{Code, Problem};

/// How long a closing connection reads on, so that a client that is still sending gets to read the answer.
const LINGER: Duration = Duration::from_secs(2);
/// How much it reads and throws away meanwhile, in bytes.
const LINGER_BYTES_MAX: usize = 64 << 20;

pub(super) struct Socket {
    stream: TcpStream,
    /// What was read before, and how much of it has been passed on.
    begun: (Vec<u8>, usize),
    vitals: Arc<Vitals>,
    ids: Arc<RequestIds>,
    /// What is written in place of what hyper wrote, and how much of it has gone out.
    instead: Option<(Vec<u8>, usize)>,
    lingering: Option<Lingering>,
    arrivals: Arrivals,
    /// The page that asks, where pages of other origins may.
    page: Option<PageSeen>,
    taking: Taking,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Socket {
    /// A socket from which `begun` was read already.
    pub(super) fn new(
        stream: TcpStream,
        begun: Vec<u8>,
        vitals: Arc<Vitals>,
        ids: Arc<RequestIds>,
        (arrivals, taking): (Arrivals, Taking),
    ) -> Self {
        Self {
            stream,
            begun: (begun, 0),
            vitals,
            ids,
            instead: None,
            lingering: None,
            arrivals,
            page: None,
            taking,
        }
    }

    /// The same where pages of these origins may read answers.
    pub(super) fn readable_for(mut self, origins: Option<Arc<Origins>>) -> Self {
        self.page = origins.map(|origins| PageSeen::new(origins, &self.begun.0));
        self
    }

    /// An answer of the socket's own.
    fn answer(&self, problem: &Problem) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        headers.extend(problem.headers());
        if let Some(page) = &self.page {
            page.mark(&mut headers);
        }
        whole_response(problem, &headers, &self.ids.next())
    }

    /// Writes as much as goes; a client that takes nothing for too long, or too little, is an error.
    fn poll_write_on(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(written) => {
                self.taking.went(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => {
                let goes_on = self.vitals.long_body.lock().is_some();
                let left = (bytes.len(), goes_on);
                self.taking.poll_blocked(context, &self.stream, &self.vitals.guest, left).map(Err)
            }
        }
    }

    /// Writes what is to go out instead, if there is something.
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, mut written)) = self.instead.take() {
            if written == bytes.len() {
                break;
            }
            let result = self.poll_write_on(context, &bytes[written..]);
            if let Poll::Ready(Ok(count)) = result {
                written += count;
            }
            self.instead = Some((bytes, written));
            if ready!(result)? == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Lingering { until: Box::pin(tokio::time::sleep(LINGER)), bytes: 0 });
        let mut thrown_away = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        loop {
            if lingering.until.as_mut().poll(context).is_ready() || lingering.bytes > LINGER_BYTES_MAX {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::uninit(&mut thrown_away);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => lingering.bytes += buffer.filled().len(),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.vitals.too_slow.load(Ordering::Relaxed) {
            let detail = "Nothing was done: the request's headers took too long to arrive.";
            let answer = self.answer(&Problem::new(Code::RequestTimeout, detail));
            // One attempt: whoever dawdles so has no claim to more.
            let _ = Pin::new(&mut self.stream).poll_write(context, &answer);
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        let (begun, passed_on) = &mut self.begun;
        if *passed_on < begun.len() {
            let count = buffer.remaining().min(begun.len() - *passed_on);
            buffer.put_slice(&begun[*passed_on..*passed_on + count]);
            *passed_on += count;
            if *passed_on == begun.len() {
                self.begun = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.vitals.heard.store(true, Ordering::Relaxed);
            let this = &mut *self;
            this.vitals.note_came(this.arrivals.newest(&this.stream, Instant::now()));
            if let Some(page) = &mut this.page {
                page.look_at(&buffer.filled()[before..]);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_some() {
            ready!(self.poll_instead(context))?;
        }
        // Nothing of ours is due, and an error goes out: hyper could not make a request of what it read.
        if !self.vitals.answered.swap(false, Ordering::Relaxed)
            && let Some(problem) = hypers_own_error(bytes)
        {
            self.vitals.linger.store(true, Ordering::Relaxed);
            let answer = self.answer(&problem);
            self.instead = Some((answer, 0));
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_write_on(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        // hyper asks for this once it has nothing more to write.
        let this = &mut *self;
        this.taking.all_went(&this.stream, &this.vitals.guest);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.vitals.linger.load(Ordering::Relaxed) {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

/// The problem that tells more than hyper's bare status line, if that is what these bytes are.
fn hypers_own_error(bytes: &[u8]) -> Option<Problem> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (code, detail) = match status {
        b"400" => (Code::InvalidRequest, "Nothing was done: what came is not an HTTP/1.1 request."),
        b"414" => (Code::UriTooLong, "Nothing was done: the request's address is too long."),
        b"431" => {
            (Code::HeadersTooLarge, "Nothing was done: the request's headers are too large or too many.")
        }
        _ => return None,
    };
    Some(Problem::new(code, detail))
}

pub(super) fn whole_response(problem: &Problem, headers: &HeaderMap, id: &[u8]) -> Vec<u8> {
    let body = problem.render();
    let status = problem.code().status();
    let mut response = format!(
        "HTTP/1.1 {} {}\r\ncontent-length: {}\r\nconnection: close\r\nx-content-type-options: nosniff\r\n\
         x-request-id: {}\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        String::from_utf8_lossy(id),
    )
    .into_bytes();
    for (name, value) in headers {
        response.extend_from_slice(name.as_str().as_bytes());
        response.extend_from_slice(b": ");
        response.extend_from_slice(value.as_bytes());
        response.extend_from_slice(b"\r\n");
    }
    response.extend_from_slice(b"\r\n");
    response.extend_from_slice(&body);
    response
}
