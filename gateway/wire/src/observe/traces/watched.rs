//! One request that somebody wants to know about: its trace, its line in the access log, or both.
//! Never looks at a query, a body or a header that could say who the customer is.

use std::sync::Arc;
use std::time::Instant;

use farerush_engine::actor::Stamps;
use farerush_persistence::store::Statements;
use opentelemetry::KeyValue;
use warp::http::header::LOCATION;
use warp::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use super::Observer;
use super::spans::{Root, Trace};
use crate::base::addresses;

/// Longest path that is written down, in bytes.
const PATH_BYTES_MAX: usize = 256;
/// What stands before an order's id in `Location`.
const ORDERS: &str = "/v1/orders/";

/// A request that is watched, from its headers to its answer.
#[derive(Debug)]
pub struct Watched {
    observer: Arc<Observer>,
    id: HeaderValue,
    method: Method,
    path: String,
    began: Instant,
    code: Option<&'static str>,
    trace: Option<Trace>,
    /// What it asks of the store, if it is traced.
    statements: Option<Arc<Statements>>,
    ended: bool,
}

impl Watched {
    pub(super) fn new<B>(
        observer: Arc<Observer>,
        request: &Request<B>,
        id: HeaderValue,
        trace: Option<Trace>,
    ) -> Self {
        let path = request.uri().path();
        // A path is ASCII, so that it can be cut anywhere.
        let path = path.get(..PATH_BYTES_MAX).unwrap_or(path).to_owned();
        let began = trace.as_ref().map_or_else(Instant::now, |trace| trace.began);
        Self {
            observer,
            id,
            method: request.method().clone(),
            path,
            began,
            code: None,
            trace,
            statements: None,
            ended: false,
        }
    }

    pub(super) fn stamps(&self) -> Option<Arc<Stamps>> {
        self.trace.as_ref().map(|trace| trace.stamps.clone())
    }

    /// Where its statements are written down; `None` if it is not traced.
    pub(super) fn statements(&mut self) -> Option<Arc<Statements>> {
        self.trace.as_ref()?;
        Some(self.statements.get_or_insert_default().clone())
    }

    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().map(|trace| trace.text.as_str())
    }

    pub(super) fn note_code(&mut self, code: &'static str) {
        self.code = Some(code);
    }

    /// The response is ready.
    pub(super) fn answered(mut self: Box<Self>, status: StatusCode, headers: &HeaderMap) {
        let order_id = headers.get(LOCATION).and_then(|place| place.to_str().ok()?.strip_prefix(ORDERS));
        self.end(Some(status), order_id);
    }

    /// `status` is none if the client went away before there was an answer.
    fn end(&mut self, status: Option<StatusCode>, order_id: Option<&str>) {
        self.ended = true;
        let took = self.began.elapsed();
        let place = MatchedRoute::of(&self.path);
        if self.observer.access_log {
            tracing::info!(
                target: "farerush::access",
                request_id = self.id.to_str().unwrap_or_default(),
                method = self.method.as_str(),
                route = place.route.as_deref(),
                path = self.path.as_str(),
                status = status.map(|status| status.as_u16()),
                code = self.code,
                duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                trace_id = self.trace_id(),
                "{}",
                if status.is_some() { "answered" } else { "the client went away" }
            );
        }
        let (Some(trace), Some(traces)) = (self.trace.take(), &self.observer.traces) else { return };
        let method = known_method(&self.method);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.path", self.path.clone()),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("x-request-id", self.id.to_str().unwrap_or_default().to_owned()),
        ];
        let mut add = |name: &'static str, text: Option<String>| {
            attributes.extend(text.map(|text| KeyValue::new(name, text)));
        };
        add("http.route", place.route.clone());
        add("farerush.flight_id", place.flight_id);
        add("farerush.order_id", order_id.map(str::to_owned).or(place.order_id));
        add("farerush.code", self.code.map(str::to_owned));
        let name = match place.route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        let failed = match status {
            Some(status) => {
                attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
                status.is_server_error()
            }
            None => {
                attributes.push(KeyValue::new("farerush.client_gone", true));
                false
            }
        };
        let error = failed.then(|| self.code.unwrap_or("the server failed"));
        let statements = self.statements.take().map(|statements| statements.take()).unwrap_or_default();
        traces.exporter.export(&trace, Root { name, took, attributes, statements, error });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended {
            self.end(None, None);
        }
    }
}

/// A method that a client made up must not become a name of its own.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// Which address a path belongs to, and what it names.
#[derive(Debug, Default, PartialEq)]
struct MatchedRoute {
    route: Option<String>,
    flight_id: Option<String>,
    order_id: Option<String>,
}

impl MatchedRoute {
    fn of(path: &str) -> Self {
        let Some((pattern, _)) = addresses::address(path) else { return Self::default() };
        let (mut place, mut route, mut last) = (Self::default(), String::with_capacity(64), "");
        for (wanted, given) in pattern.split('/').zip(path.split('/')).skip(1) {
            route.push('/');
            match (wanted, last) {
                ("{}", "flights") => {
                    place.flight_id = Some(given.to_owned());
                    route.push_str("{flight_id}");
                }
                ("{}", "orders") => {
                    place.order_id = Some(given.to_owned());
                    route.push_str("{order_id}");
                }
                ("{}", _) => route.push_str("{name}"),
                _ => route.push_str(wanted),
            }
            last = wanted;
        }
        place.route = Some(route);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_route_of_its_address() {
        let place = MatchedRoute::of("/v1/flights/FR101/orders");
        assert_eq!(place.route.as_deref(), Some("/v1/flights/{flight_id}/orders"));
        assert_eq!((place.flight_id.as_deref(), place.order_id), (Some("FR101"), None));
        let place = MatchedRoute::of("/v1/orders/FR101-7abc/cancel");
        assert_eq!(place.route.as_deref(), Some("/v1/orders/{order_id}/cancel"));
        assert_eq!(place.order_id.as_deref(), Some("FR101-7abc"));
        assert_eq!(MatchedRoute::of("/v1/admin/flights/X/open").flight_id.as_deref(), Some("X"));
        assert_eq!(MatchedRoute::of("/wp-login.php"), MatchedRoute::default());
    }

    #[test]
    fn a_made_up_method_has_no_name() {
        assert_eq!(known_method(&Method::POST), "POST");
        assert_eq!(known_method(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
    }
}
