//! The body of an answer, whole.
//! Never copies one that comes in one piece.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use http_body::Body;

/// All of a body, without what may follow it.
pub(super) async fn collected<B: Body<Data = Bytes>>(body: B) -> Result<Bytes, B::Error> {
    let mut body = pin!(body);
    let mut whole = Vec::new();
    let mut first = Bytes::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        match frame?.into_data() {
            Ok(data) if first.is_empty() => first = data,
            Ok(data) => {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&data);
            }
            Err(_trailers) => {}
        }
    }
    Ok(if whole.is_empty() { first } else { Bytes::from(whole) })
}
