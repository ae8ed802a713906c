//! What stands between hyper and warp: gives every request its id, lets HEAD be answered as GET, and keeps count.
//! Never answers by itself.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;
use warp::http::header::{CONNECTION, HeaderName};
use warp::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use warp::hyper::body::Incoming;

use super::connection::Vitals;
use crate::base::long_body::LongBody;
use crate::base::stop::Stop;
use crate::observe::traces::{Observer, Scope};
use crate::parts::rate::Peer;

/// The header that carries a request's id, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const REQUEST_ID_CHARS_MAX: usize = 128;
/// Statuses of answers that may leave before the request's body has come.
const LEFT_UNREAD: [StatusCode; 5] = [
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::FORBIDDEN,
];
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Makes ids of requests: a random part for the process, and a number.
#[derive(Debug)]
pub struct RequestIds {
    prefix: [u8; 8],
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestIds {
    /// Draws the process's part.
    pub fn new() -> Self {
        // Without randomness the ids still differ within the process, which is what they are for.
        let random = getrandom::u32().unwrap_or_else(|_| std::process::id());
        let mut prefix = [0; 8];
        hex(u64::from(random), &mut prefix);
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// A new id, such as `9f86d081-00000000002a`.
    pub fn next(&self) -> [u8; 21] {
        let mut id = [b'-'; 21];
        id[..8].copy_from_slice(&self.prefix);
        hex(self.next.fetch_add(1, Ordering::Relaxed), &mut id[9..]);
        id
    }

    /// Writes the client's own id, if it can be used, else a new one, over what `id` holds.
    pub(super) fn write(&self, given: Option<&[u8]>, id: &mut Vec<u8>) {
        id.clear();
        match given {
            Some(given) if is_sane(given) => id.extend_from_slice(given),
            _ => id.extend_from_slice(&self.next()),
        }
    }

    /// The client's own id, if it can be used, else a new one.
    fn of(&self, given: Option<&HeaderValue>) -> HeaderValue {
        if let Some(given) = given
            && is_sane(given.as_bytes())
        {
            return given.clone();
        }
        HeaderValue::from_bytes(&self.next()).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn hex(mut number: u64, text: &mut [u8]) {
    for digit in text.iter_mut().rev() {
        *digit = HEX[(number & 15) as usize];
        number >>= 4;
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte))
}

/// A request's body: as hyper receives it, or whole.
pub enum RequestBody {
    /// It comes in pieces.
    Coming(Coming),
    /// It has come; `None` once it was taken.
    Whole(Option<Bytes>),
}

/// A body that comes in pieces, and the connection on which it does.
pub struct Coming {
    body: Incoming,
    vitals: Arc<Vitals>,
}

impl RequestBody {
    /// A body that has come whole.
    pub(super) fn copied(bytes: &[u8]) -> Self {
        Self::whole(Bytes::copy_from_slice(bytes))
    }

    /// The same of bytes that are at hand.
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = warp::hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Coming(Coming { body, vitals }) => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(context));
                let is_whole = frame.is_none() || (matches!(frame, Some(Ok(_))) && body.is_end_stream());
                // A connection that has to end has nothing decided any more: its task ends with this.
                if is_whole && !vitals.guest.decides() { Poll::Pending } else { Poll::Ready(frame) }
            }
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Coming(coming) => coming.body.is_end_stream(),
            Self::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Coming(coming) => coming.body.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

/// A service with ids and counts around it, for one connection.
pub(super) struct Front<S> {
    /// hyper calls with `&self`, warp's service wants `&mut self` and never keeps it: no clone for each request.
    inner: RefCell<S>,
    vitals: Arc<Vitals>,
    ids: Arc<RequestIds>,
    observer: Option<Arc<Observer>>,
    stop: Arc<Stop>,
    peer: Option<Peer>,
}

impl<S> Front<S> {
    pub(super) fn new(
        inner: S,
        vitals: Arc<Vitals>,
        ids: Arc<RequestIds>,
        observer: Option<Arc<Observer>>,
        stop: Arc<Stop>,
        peer: Option<Peer>,
    ) -> Self {
        Self { inner: RefCell::new(inner), vitals, ids, observer, stop, peer }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Front<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = FrontFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let vitals = self.vitals.clone();
        self.ask(request.map(|body| RequestBody::Coming(Coming { body, vitals })))
    }
}

impl<S> Front<S> {
    /// Says when the newest bytes came of the request that is asked next.
    pub(super) fn note_came(&self, came: Instant) {
        self.vitals.note_came(came);
    }

    /// Has a request answered.
    pub(super) fn ask<B>(&self, mut request: Request<RequestBody>) -> FrontFuture<S::Future>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    {
        if request.uri().path_and_query().is_none() {
            // `CONNECT host:port`, or a host in place of a path: nothing is there, and warp's filters panic without one.
            *request.uri_mut() = Uri::from_static("*");
        }
        let id = self.ids.of(request.headers().get(REQUEST_ID));
        let watched = self.observer.as_ref().and_then(|observer| observer.watch(&request, &id));
        if request.method() == Method::HEAD {
            // hyper remembers what was asked and leaves the body away.
            *request.method_mut() = Method::GET;
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        self.vitals.requests.fetch_add(1, Ordering::Relaxed);
        self.vitals.unanswered.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self.vitals.clone());
        let scope = Some(Scope::new(id, watched));
        let is_last = self.stop.is_announced();
        // What is still to come is up to the client.
        let is_whole = !matches!(request.body(), RequestBody::Coming(_)) || request.body().is_end_stream();
        let has_to_end = is_whole && !self.vitals.guest.decides();
        let inner = (!has_to_end).then(|| self.inner.borrow_mut().call(request));
        FrontFuture { inner, scope, under_way, is_last }
    }
}

/// Counts a request as unanswered until it is dropped.
struct UnderWay(Arc<Vitals>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.heard.store(false, Ordering::Relaxed);
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    pub(super) struct FrontFuture<F> {
        // None: the connection has to end, and its task ends with this.
        #[pin]
        inner: Option<F>,
        scope: Option<Scope>,
        under_way: UnderWay,
        is_last: bool,
    }
}

impl<F, B> Future for FrontFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Pending };
        if let Some(scope) = this.scope.as_mut() {
            // Its body may have come meanwhile.
            scope.note_came(this.under_way.0.came());
        }
        let mut response = ready!(Scope::within(this.scope, || inner.poll(context)))?;
        if let Some(scope) = this.scope.take() {
            scope.end(REQUEST_ID, &mut response);
        }
        if *this.is_last {
            // hyper closes the connection for it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let vitals = &this.under_way.0;
        vitals.answered.store(true, Ordering::Relaxed);
        match response.extensions_mut().remove::<LongBody>() {
            Some(body) => {
                *vitals.long_body.lock() = Some(body);
                vitals.guest.is_read(Instant::now());
            }
            // To take it is up to the client.
            None => vitals.guest.waits(Instant::now()),
        }
        if LEFT_UNREAD.contains(&response.status()) {
            vitals.linger.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_sane_themselves() {
        let ids = RequestIds::new();
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert!(is_sane(&first) && is_sane(&second));
    }

    #[test]
    fn a_client_s_id_is_kept_if_it_is_sane() {
        let ids = RequestIds::new();
        assert_eq!(ids.of(Some(&HeaderValue::from_static("abc-1"))), "abc-1");
        for bad in ["", "with space", "<script>", "\"quoted\""] {
            assert_ne!(ids.of(Some(&HeaderValue::from_static(bad))), bad);
        }
        assert_ne!(ids.of(Some(&HeaderValue::from_str(&"x".repeat(129)).unwrap())).len(), 129);
    }
}
