//! The list of flights, put together of what each server has. Those who want the same page at once get it together, from one
//! question that began after the last of them came. Never shows an older one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farerush_peers::{Answered, Asked, Reply};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex as AsyncMutex;
use warp::http::{Request, StatusCode};

use crate::base::json::Json;
use crate::base::time;
use crate::parts::flights::Flights;
use crate::wire::query::{self, Query};

use super::{Forwarder, whole_of};

/// The address of the list.
pub(super) const LIST: &str = "/v1/flights";
/// How long another server is waited for: without it the list lacks its flights, and says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// A page that was put together, and when that was begun.
type Page = Option<(Instant, Answered)>;

/// Pages that somebody waits for, by address with query.
#[derive(Default)]
pub(super) struct Lists {
    pages: Mutex<HashMap<String, Arc<AsyncMutex<Page>>>>,
}

/// A page of one server.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    flights: Vec<&'a RawValue>,
    next_cursor: Option<&'a str>,
    flights_elsewhere: u64,
}

/// Where a flight stands in the list.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    departs_at: &'a str,
    flight_id: &'a str,
}

/// Somebody who wants a page; the last one who does takes it out.
struct Wants<'a> {
    lists: &'a Lists,
    target: &'a str,
    page: Option<Arc<AsyncMutex<Page>>>,
}

impl Drop for Wants<'_> {
    fn drop(&mut self) {
        let mut pages = self.lists.pages.lock();
        drop(self.page.take());
        if pages.get(self.target).is_some_and(|page| Arc::strong_count(page) == 1) {
            pages.remove(self.target);
        }
    }
}

impl Lists {
    /// The page of this address; `here` is what this server has of it, or why there is none.
    pub(super) async fn page(&self, forwarder: &Forwarder, target: &str, here: Answered) -> Answered {
        // Whatever is wrong with the question is wrong everywhere.
        if ![StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&here.status()) {
            return here;
        }
        let came = Instant::now();
        let page = self.pages.lock().entry(target.to_owned()).or_default().clone();
        let wants = Wants { lists: self, target, page: Some(page.clone()) };
        let mut page = page.lock_owned().await;
        let answer = match page.as_ref().filter(|(began, _)| *began >= came) {
            Some((_, answer)) => answer.clone(),
            None => {
                let began = Instant::now();
                let answer = together(forwarder, target, here).await;
                *page = Some((began, answer.clone()));
                answer
            }
        };
        drop(page);
        drop(wants);
        answer
    }
}

async fn together(forwarder: &Forwarder, target: &str, here: Answered) -> Answered {
    let others = forwarder.others();
    let ask = |to| async move {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = target.parse().ok()?;
        let asked = Asked { request, peer: None, left: PATIENCE };
        match tokio::time::timeout(PATIENCE, forwarder.peers.ask(to, &asked)).await {
            Ok(Ok(Reply::Answer(answer))) if answer.status() == StatusCode::OK => Some(answer),
            _ => None,
        }
    };
    let there = join_all(others.iter().map(|to| ask(*to))).await;
    let is_whole = there.iter().all(Option::is_some) && forwarder.flights.other_servers.are_all_heard();
    let is_served_here = here.status() == StatusCode::OK;
    if !is_served_here && there.iter().all(Option::is_none) {
        return here;
    }
    let limit = Query::parse(target.split_once('?').map_or("", |(_, query)| query)).limit();
    let bodies = there.iter().flatten().map(|answer| &answer.body()[..]);
    let own = is_served_here.then(|| &here.body()[..]);
    let Some(json) = merged(own.into_iter().chain(bodies), limit, is_whole, &forwarder.flights) else {
        return here;
    };
    let mut answer = Answered::new(json.into());
    *answer.status_mut() = StatusCode::OK;
    let head = if is_served_here { Some(&here) } else { there.iter().flatten().next() };
    if let Some(head) = head {
        answer.headers_mut().clone_from(head.headers());
    }
    answer
}

/// The first flights of all pages; `None` if one of them is none.
fn merged<'a>(
    bodies: impl Iterator<Item = &'a [u8]>,
    limit: usize,
    is_whole: bool,
    flights: &Flights,
) -> Option<Vec<u8>> {
    let mut rows = Vec::new();
    let (mut has_more, mut elsewhere) = (false, 0);
    for body in bodies {
        let part: Part<'_> = serde_json::from_slice(body).ok()?;
        has_more |= part.next_cursor.is_some();
        elsewhere = part.flights_elsewhere.max(elsewhere);
        for row in part.flights {
            let place: Place<'_> = serde_json::from_str(row.get()).ok()?;
            rows.push((place, row.get()));
        }
    }
    // One that moves may be on two pages.
    rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| one.0 == other.0);
    has_more |= rows.len() > limit;
    rows.truncate(limit);
    let next = match rows.last().filter(|_| has_more) {
        Some((place, _)) => {
            let departs_at = time::parse(place.departs_at).ok()?.as_millis();
            Some(query::cursor(&format!("{departs_at}:{}", place.flight_id)))
        }
        None => None,
    };
    let mut json = Json::with_capacity(rows.iter().map(|(_, row)| row.len() + 1).sum::<usize>() + 96);
    json.open().key("flights").open_list();
    for (_, row) in &rows {
        json.raw(row.as_bytes());
    }
    json.close_list();
    json.key("next_cursor").text_or_null(next.as_deref());
    let missing = if is_whole { 0 } else { elsewhere.max(flights.other_servers.others() as u64) };
    json.key("flights_elsewhere").number(missing).close();
    Some(json.into_bytes())
}

/// An answer of this server's own, whole.
pub(super) async fn own(
    answer: impl Future<Output = Result<warp::reply::Response, std::convert::Infallible>>,
) -> Answered {
    let Ok(response) = answer.await;
    whole_of(response).await
}
