//! Cross-origin requests (the Fetch standard's CORS protocol): which origins' pages may use this server, and how their
//! browsers are told. Stands around the routes only if the setting `cors_origins` says so; never refuses anything.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use warp::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use warp::reply::Response;

use crate::base::addresses;

/// What a page may send besides what every page may.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, last-event-id, request-timeout, traceparent, x-request-id",
);
/// What a page may read besides what every page may.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "farerush-seq, idempotency-replayed, link, location, retry-after, www-authenticate, x-request-id",
);
/// How long a browser may remember a preflight's answer, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// Whose pages may use this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of these origins, as browsers write them.
    Listed(Vec<HeaderValue>),
}

impl Origins {
    /// Reads the setting: `none`, `*`, or origins with commas between them.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        match text.trim() {
            "none" => Ok(None),
            "*" => Ok(Some(Self::Any)),
            list => list
                .split(',')
                .map(|one| origin(one.trim()))
                .collect::<Result<_, _>>()
                .map(|all| Some(Self::Listed(all))),
        }
    }

    /// What a page of this origin is told; `None` if it may not read anything.
    pub fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => origins.contains(origin).then(|| origin.clone()),
        }
    }

    /// Says in an answer that the page may read it which is `allowed` to, and to caches that others may not.
    pub fn mark(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) {
        if *self != Self::Any {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }
}

/// One origin: `https://shop.example`, exactly as a browser sends it, or it would never be met.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong =
        |why: &str| Err(format!("{text:?} is no origin: {why}; an origin is such as https://shop.example"));
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        _ if text == "*" => return wrong("* stands alone"),
        _ => return wrong("it must begin with http:// or https://"),
    };
    let bracketed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, port.strip_prefix(':').or(Some("x"))),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let is_host = |byte: u8| match bracketed {
        Some(_) => byte.is_ascii_hexdigit() || byte == b':',
        None => byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte),
    };
    if rest.contains(['/', '?', '#']) {
        return wrong("it has no path, not even a slash at the end");
    }
    if host.is_empty() || !host.bytes().all(is_host) {
        return wrong(
            "its host must be a name in lower case (in Punycode, if it is not ASCII) or an address",
        );
    }
    match (scheme, port.map(str::parse::<u16>)) {
        ("http", Some(Ok(80))) | ("https", Some(Ok(443))) => {
            return wrong("browsers leave the usual port away, so leave it away here, too");
        }
        (_, Some(Err(_) | Ok(0))) => return wrong("its port must be a number from 1 to 65535"),
        _ => {}
    }
    HeaderValue::try_from(text).or_else(|_| wrong("it holds characters that an origin cannot have"))
}

/// The routes with CORS around them.
#[derive(Debug, Clone)]
pub struct Cors<S> {
    inner: S,
    origins: Arc<Origins>,
}

impl<S> Cors<S> {
    /// Puts it around `inner`.
    pub fn new(inner: S, origins: Arc<Origins>) -> Self {
        Self { inner, origins }
    }
}

impl<S, B> Service<Request<B>> for Cors<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let allowed = request.headers().get(ORIGIN).and_then(|origin| self.origins.allow(origin));
        if let Some(response) =
            preflight(request.method(), request.uri().path(), request.headers(), allowed.as_ref())
        {
            return Box::pin(std::future::ready(Ok(response)));
        }
        let origins = self.origins.clone();
        let answering = self.inner.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            origins.mark(allowed, response.headers_mut());
            Ok(response)
        })
    }
}

/// What a browser is told that asks, before the request itself, whether a page may send it. An address that is not
/// there, and an origin that may not, get the routes' own answers.
fn preflight(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    allowed: Option<&HeaderValue>,
) -> Option<Response> {
    if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let (_, methods) = addresses::address(path)?;
    let mut response = Response::new(Vec::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed?.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(VARY, PREFLIGHT_VARY);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        assert_eq!(Origins::parse("none").unwrap(), None);
        assert_eq!(Origins::parse("*").unwrap(), Some(Origins::Any));
        let text = "https://shop.example, http://localhost:3000,http://127.0.0.1:8080,http://[::1]:3000,https://[fe80::1]";
        let Some(Origins::Listed(origins)) = Origins::parse(text).unwrap() else { panic!("not a list") };
        assert_eq!(origins.len(), 5);
        assert_eq!(origins[1], "http://localhost:3000");
    }

    #[test]
    fn a_page_may_read_where_the_next_page_is_and_how_far_a_view_has_come() {
        let exposed = EXPOSED_HEADERS;
        let exposed: Vec<&str> = exposed.to_str().unwrap().split(", ").collect();
        for name in ["link", "retry-after", "farerush-seq"] {
            assert!(exposed.contains(&name), "{name}");
        }
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_an_error_that_says_why() {
        for (text, why) in [
            ("shop.example", "http:// or https://"),
            ("ftp://shop.example", "http:// or https://"),
            ("null", "http:// or https://"),
            ("", "http:// or https://"),
            ("https://shop.example/", "no path"),
            ("https://shop.example/a", "no path"),
            ("https://Shop.example", "lower case"),
            ("https://", "host"),
            ("https://*.shop.example", "host"),
            ("https://shop.example:443", "usual port"),
            ("http://shop.example:80", "usual port"),
            ("http://shop.example:0", "port"),
            ("http://shop.example:x", "port"),
            ("http://[::1]3000", "port"),
            ("https://shop.example,*", "stands alone"),
            ("https://a.example,,https://b.example", "http:// or https://"),
        ] {
            let error = Origins::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
