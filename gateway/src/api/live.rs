//! `GET /v1/flights/{flight_id}/live`: a flight followed as it changes.
//! Never asks an actor, and never waits for a reader.

use std::convert::Infallible;
use std::sync::Arc;

use warp::Reply;
use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use warp::reply::Response;

use crate::api::filters::{first_of, query, with};
use crate::parts::flights::Flights;
use crate::parts::live::{LastEventId, Live};
use crate::wire::names::FlightName;
use crate::wire::problem::Problem;
use crate::wire::query::Query;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path;

/// Tells nginx not to gather the events.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What streams are made of.
pub struct Streams {
    /// Which flight is asked for.
    pub flights: Arc<Flights>,
    /// Those who read already.
    pub live: Arc<Live>,
}

/// `GET /v1/flights/{flight_id}/live`
pub async fn stream(
    name: FlightName,
    streams: Arc<Streams>,
    raw_query: String,
    last: Option<LastEventId>,
) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let flight = streams.flights.flight(&name).await?;
    let Some(reader) = streams.live.join(&flight, last) else {
        return Err(Problem::overloaded("as many live readers as this server takes are reading already", 5));
    };
    let mark = reader.mark();
    let texts = futures_util::stream::unfold(reader, |mut reader| async move {
        let text = reader.read().await?;
        Some((Ok::<_, Infallible>(text), reader))
    });
    let mut response = warp::reply::stream(texts).into_response();
    response.extensions_mut().insert(mark);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// The route of streams.
pub fn routes(streams: &Arc<Streams>) -> BoxedFilter<(Response,)> {
    let live = path!("v1" / "flights" / FlightName / "live")
        .and(warp::get())
        .and(with(streams))
        .and(query())
        .and(warp::header::optional::<LastEventId>("last-event-id"))
        .then(stream)
        .boxed();
    first_of([live])
}
