//! Reads a request's body: JSON only, up to a bound, within a time limit.
//! Never parses it.

use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use warp::{Filter, Rejection};

use crate::wire::problem::{Code, Problem};

/// A body, or why there is none.
pub type Received = Result<Bytes, Problem>;

/// The limits of bodies.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Largest body, in bytes.
    pub bytes_max: usize,
    /// How long it may take to arrive.
    pub timeout: Duration,
}

/// What a Content-Type says, as far as it matters.
enum MediaType {
    Json,
    Other,
}

impl FromStr for MediaType {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let name = text.split(';').next().unwrap_or_default().trim();
        Ok(if name.eq_ignore_ascii_case("application/json") { Self::Json } else { Self::Other })
    }
}

/// Takes the request's body.
pub fn received(limits: BodyLimits) -> impl Filter<Extract = (Received,), Error = Rejection> + Copy {
    warp::header::optional::<MediaType>("content-type")
        .and(warp::header::optional::<u64>("content-length"))
        .and(warp::body::stream())
        .then(move |media_type, length, stream| read(media_type, length, stream, limits))
}

async fn read<B: Buf>(
    media_type: Option<MediaType>,
    length: Option<u64>,
    stream: impl Stream<Item = Result<B, warp::Error>>,
    limits: BodyLimits,
) -> Received {
    if length.is_some_and(|length| length > limits.bytes_max as u64) {
        return Err(too_large(limits.bytes_max));
    }
    // What may be sent without saying that it is JSON, any page of the web can have a browser send.
    let is_json = matches!(media_type, Some(MediaType::Json));
    if !is_json && length.is_some_and(|length| length > 0) {
        return Err(Problem::not_json());
    }
    let body = whole(length, stream, limits).await?;
    // An empty body is of no type; whoever sends one to a route that wants none need not say so.
    if is_json || body.is_empty() { Ok(body) } else { Err(Problem::not_json()) }
}

/// Takes a body of any type as a whole.
pub async fn whole<B: Buf, E: Display>(
    length: Option<u64>,
    stream: impl Stream<Item = Result<B, E>>,
    limits: BodyLimits,
) -> Received {
    if length.is_some_and(|length| length > limits.bytes_max as u64) {
        return Err(too_large(limits.bytes_max));
    }
    match tokio::time::timeout(limits.timeout, collect(stream, limits.bytes_max)).await {
        Ok(body) => body,
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            "Nothing was done: the request's body took too long to arrive.",
        )),
    }
}

async fn collect<B: Buf, E: Display>(stream: impl Stream<Item = Result<B, E>>, bytes_max: usize) -> Received {
    let mut stream = pin!(stream);
    // Nearly every body comes in one piece, which is passed on as it is.
    let mut first = Bytes::new();
    let mut whole: Option<BytesMut> = None;
    while let Some(piece) = stream.next().await {
        let mut piece = piece.map_err(|error| {
            tracing::debug!(%error, "reading a body failed");
            Problem::new(
                Code::InvalidRequest,
                "Nothing was done: the request's body ended before it was whole.",
            )
        })?;
        let so_far = whole.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + piece.remaining() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if so_far == 0 {
            first = piece.copy_to_bytes(piece.remaining());
            continue;
        }
        whole.get_or_insert_with(|| BytesMut::from(&first[..])).put(piece);
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        Code::PayloadTooLarge,
        format!("Nothing was done: a body may have at most {bytes_max} bytes."),
    )
}
