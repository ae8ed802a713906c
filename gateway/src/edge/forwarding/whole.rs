//! Requests and answers as they are handed on: whole, and without what concerns one connection alone.
//! Never sends one.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use farerush_peers::{Answered, Asked};
use futures_util::stream;
use http_body::Body as _;
use warp::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use warp::http::request::Parts;
use warp::http::{HeaderMap, HeaderValue, Method, Request};
use warp::reply::Response;

use crate::edge::collected::collected;
use crate::edge::server::RequestBody;
use crate::parts::rate::Peer;
use crate::wire::body::{self, BodyLimits};
use crate::wire::deadline::REQUEST_TIMEOUT;

/// The header of a request that may be sent twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// A body of at most so many bytes is gathered, so that its request can be sent again where its flight has gone meanwhile.
const GATHERED_BYTES_MAX: u64 = 64 * 1024;
/// What concerns one connection alone.
const HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, TRANSFER_ENCODING, TE, UPGRADE, EXPECT, HeaderName::from_static("keep-alive")];

/// A request that can be sent more than once.
pub(super) struct Whole {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    /// Whether to do it twice is as good as once.
    pub(super) is_repeatable: bool,
}

impl Whole {
    pub(super) fn new(head: Parts, body: Bytes) -> Self {
        let is_repeatable = head.method == Method::GET || head.headers.contains_key(IDEMPOTENCY_KEY);
        Self { head, body, is_repeatable }
    }

    /// As another server is asked, which may take so long.
    pub(super) fn asked(&self, left: Duration) -> Asked {
        let mut headers = self.head.headers.clone();
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        // What it says itself, less what was waited here; what says nothing sensible is refused there.
        let given =
            headers.get(REQUEST_TIMEOUT).map(|given| given.to_str().ok().and_then(|text| text.parse().ok()));
        if given.is_none_or(|given: Option<f64>| given.is_some_and(|given| given > left.as_secs_f64()))
            && let Ok(seconds) =
                HeaderValue::from_str(&format!("{}.{:03}", left.as_secs(), left.subsec_millis()))
        {
            headers.insert(REQUEST_TIMEOUT, seconds);
        }
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = headers;
        Asked { request, peer: self.head.extensions.get::<Peer>().map(|Peer(address)| *address), left }
    }
}

/// What another server has answered, as this one says it.
pub(super) fn passed_back(answer: Answered) -> Response {
    let (mut head, body) = answer.into_parts();
    for name in HOP_BY_HOP.into_iter().chain([CONTENT_LENGTH]) {
        head.headers.remove(name);
    }
    Response::from_parts(head, body.into())
}

/// Whether a request's body is at hand, or small.
pub(super) fn is_small(request: &Request<RequestBody>) -> bool {
    let length = || request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok();
    match request.body() {
        RequestBody::Whole(_) => true,
        coming => coming.is_end_stream() || length().is_some_and(|length| length <= GATHERED_BYTES_MAX),
    }
}

/// A request's body, whole.
pub(super) async fn gathered(coming: RequestBody, headers: &HeaderMap, limits: BodyLimits) -> body::Received {
    let mut coming = match coming {
        RequestBody::Whole(bytes) => return Ok(bytes.unwrap_or_default()),
        coming @ RequestBody::Coming(_) => coming,
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let pieces = stream::poll_fn(move |context| {
        loop {
            match std::task::ready!(Pin::new(&mut coming).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    });
    body::whole(length, pieces, limits).await
}

/// A whole body, whatever it is made of.
pub(in crate::edge) async fn whole_of(response: Response) -> Answered {
    let (head, body) = response.into_parts();
    // What is made here does not break off.
    Answered::from_parts(head, collected(body).await.unwrap_or_default())
}
