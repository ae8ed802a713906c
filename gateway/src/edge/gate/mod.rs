//! What stands around everything and looks at how a request is addressed and where it comes from: its host, its page's
//! origin, the spelling of its address. Also says of every answer what browsers and caches may do with it. Never reads a body.

mod hosts;
mod spelling;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::Either;
use pin_project_lite::pin_project;
use tower_service::Service;
use warp::http::header::{CACHE_CONTROL, HOST, LOCATION, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use warp::reply::Response;

pub use self::hosts::{Authority, Hosts};
use crate::parts::metrics::Metrics;
use crate::wire::cors::Origins;
use crate::wire::problem::{Code, Problem};

/// What a browser says of where a request comes from, seen from where it goes to.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may ask.
#[derive(Debug)]
pub struct Gate {
    hosts: Hosts,
    origins: Option<Arc<Origins>>,
}

impl Gate {
    /// For a server that is called so, and for pages of these origins besides its own.
    pub fn new(hosts: Hosts, origins: Option<Arc<Origins>>) -> Self {
        Self { hosts, origins }
    }

    /// Whose pages are let in besides its own.
    pub fn origins(&self) -> Option<&Arc<Origins>> {
        self.origins.as_ref()
    }

    /// Whether a request with this one `Host` is for this server. Allocates nothing.
    pub fn is_for_us(&self, host: &[u8]) -> bool {
        Authority::read(host).is_some_and(|authority| self.hosts.allow(authority.host))
    }

    /// What is answered to a request that is not let through.
    fn instead<B>(&self, request: &Request<B>) -> Option<Response> {
        let checked = self.host(request);
        let checked = checked.and_then(|host| self.check_origin(request.method(), request.headers(), host));
        if let Err(problem) = checked {
            return Some(problem.into_response());
        }
        let path = request.uri().path();
        if spelling::is_canonical(path) {
            return None;
        }
        match spelling::meant_page(path).filter(|_| request.method() == Method::GET) {
            Some(page) => Some(moved(page, request.uri().query())),
            None => Some(misspelled().into_response()),
        }
    }

    /// The host that a request is for; `None` only where HTTP/1.0 names none.
    fn host<'r, B>(&self, request: &'r Request<B>) -> Result<Option<Authority<'r>>, Problem> {
        let mut given = request.headers().get_all(HOST).iter();
        let header = match (given.next(), given.next()) {
            (Some(host), None) => Some(host.as_bytes()),
            (None, _) if request.version() < Version::HTTP_11 => None,
            (None, _) => return Err(host_is_wrong("it names no host (the header `Host`)")),
            (Some(_), Some(_)) => {
                return Err(host_is_wrong("it names more than one host (the header `Host`)"));
            }
        };
        // What stands in the request line counts (RFC 9112, section 3.2.2); but nothing that is sent is let through unread.
        let in_line = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let mut host = None;
        for text in [header, in_line].into_iter().flatten() {
            let Some(authority) = Authority::read(text) else {
                return Err(host_is_wrong("the host that it names (the header `Host`) is none"));
            };
            if !self.hosts.allow(authority.host) {
                return Err(Problem::host_not_allowed(&String::from_utf8_lossy(authority.host)));
            }
            host = Some(authority);
        }
        Ok(host)
    }

    /// Refuses what would change something and comes from a page that is neither this server's nor one of those that
    /// `cors_origins` lets in. Browsers say so, and no page can make them say something else; whoever is no browser says
    /// nothing of the kind.
    fn check_origin(
        &self,
        method: &Method,
        headers: &HeaderMap,
        host: Option<Authority<'_>>,
    ) -> Result<(), Problem> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let (origin, is_one) = (origins.next(), origins.next().is_none());
        if let (Some(origin), Some(listed), true) = (origin, &self.origins, is_one)
            && listed.allow(origin).is_some()
        {
            return Ok(());
        }
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter().map(HeaderValue::as_bytes).peekable();
        let says_own = sites.peek().is_some();
        let is_own_site = sites.all(|site| matches!(site, b"same-origin" | b"none"));
        let is_own_origin =
            origin.is_none_or(|origin| is_one && is_own(origin.as_bytes(), host, says_own && is_own_site));
        if is_own_site && is_own_origin {
            return Ok(());
        }
        Err(Problem::origin_not_allowed(origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()))))
    }
}

/// Whether an origin is the one of this host. A proxy that passes the host on without its port leaves that to the browser's
/// word.
fn is_own(origin: &[u8], host: Option<Authority<'_>>, browser_says_so: bool) -> bool {
    let (rest, usual_port) = match (origin.strip_prefix(b"http://"), origin.strip_prefix(b"https://")) {
        (Some(rest), _) => (rest, 80),
        (None, Some(rest)) => (rest, 443),
        (None, None) => return false,
    };
    let (Some(origin), Some(host)) = (Authority::read(rest), host) else { return false };
    let port = origin.port.unwrap_or(usual_port);
    let is_same_port = host.port.map_or(port == usual_port || browser_says_so, |its| its == port);
    origin.host.eq_ignore_ascii_case(host.host) && is_same_port
}

fn host_is_wrong(what: &str) -> Problem {
    let detail =
        format!("Nothing was done: {what}, and a request has to name exactly one. Send it with one `Host`.");
    Problem::new(Code::InvalidRequest, detail)
}

fn misspelled() -> Problem {
    let detail = "Nothing was done: no address is spelled so. Each has one spelling: without a slash at the end or a second \
                  one in a row, without . and .., and with nothing percent-encoded that need not be.";
    Problem::new(Code::NotFound, detail)
}

fn moved(page: &str, query: Option<&str>) -> Response {
    let mut response = Response::new("".into());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let address = query.map_or_else(|| page.to_owned(), |query| format!("{page}?{query}"));
    if let Ok(address) = HeaderValue::try_from(address) {
        response.headers_mut().insert(LOCATION, address);
    }
    response
}

/// Whether what is answered at an address is somebody's own, and nobody's to keep.
fn is_somebodys(path: &str) -> bool {
    ["/v1/orders", "/v1/waitlist", "/v1/admin"].iter().any(|prefix| path.starts_with(prefix))
        || path.starts_with("/v1/flights/") && (path.ends_with("/orders") || path.ends_with("/waitlist"))
}

/// A service with the gate around it.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Arc<Gate>,
    /// Whose requests they are, to count those that are refused.
    metrics: Option<Arc<Metrics>>,
}

impl<S> Gated<S> {
    /// Puts the gate around `inner`.
    pub fn new(inner: S, gate: Arc<Gate>, metrics: Option<Arc<Metrics>>) -> Self {
        Self { inner, gate, metrics }
    }

    fn refused<B>(&self, request: &Request<B>, mut response: Response) -> Response {
        if let Some(metrics) = &self.metrics {
            metrics.count_unmatched(response.status());
        }
        if let Some(origins) = &self.gate.origins {
            let allowed = request.headers().get(ORIGIN).and_then(|origin| origins.allow(origin));
            origins.mark(allowed, response.headers_mut());
        }
        response
    }
}

impl<S, B> Service<Request<B>> for Gated<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_somebodys = is_somebodys(request.uri().path());
        let answer = match self.gate.instead(&request) {
            None => Either::Left(self.inner.call(request)),
            Some(response) => Either::Right(ready(Ok(self.refused(&request, response)))),
        };
        Answering { answer, is_somebodys }
    }
}

pin_project! {
    /// An answer that is on its way.
    pub struct Answering<F> {
        #[pin]
        answer: Either<F, Ready<Result<Response, Infallible>>>,
        is_somebodys: bool,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(context))?;
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if *this.is_somebodys {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(hosts: &str, origins: &str) -> Gate {
        let hosts = Hosts::parse(hosts).unwrap().listening_on("127.0.0.1:1", "127.0.0.1:1".parse().unwrap());
        Gate::new(hosts, Origins::parse(origins).unwrap().map(Arc::new))
    }

    /// The status that a request is refused with; 0 if it is not.
    fn refused(gate: &Gate, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let instead = gate.instead(&request.body(()).unwrap());
        instead.map_or(0, |response| response.status().as_u16())
    }

    #[test]
    fn a_host_is_one_that_is_known_and_there_is_exactly_one() {
        let gate = gate("shop.example", "none");
        for (target, headers, status) in [
            ("/", &[("host", "localhost:1")][..], 0),
            ("/", &[("host", "shop.example")], 0),
            ("/", &[("host", "evil.example")], 421),
            ("/", &[], 400),
            ("/", &[("host", "")], 400),
            ("/", &[("host", "a b")], 400),
            ("/", &[("host", "localhost"), ("host", "localhost")], 400),
            ("http://shop.example/", &[("host", "localhost")], 0),
            ("http://evil.example/", &[("host", "localhost")], 421),
            ("http://localhost/", &[("host", "evil.example")], 421),
            ("http://me@localhost/", &[("host", "localhost")], 400),
        ] {
            assert_eq!(refused(&gate, "GET", target, headers), status, "{target} {headers:?}");
        }
        let mut old = Request::new(());
        *old.version_mut() = Version::HTTP_10;
        assert!(gate.instead(&old).is_none(), "HTTP/1.0 knows no Host");
    }

    #[test]
    fn only_own_and_listed_pages_change_something() {
        let gate = gate("shop.example", "https://friend.example");
        for (host, origin, site, status) in [
            ("localhost:1", "", "", 0),
            ("localhost:1", "http://localhost:1", "same-origin", 0),
            ("localhost:1", "http://LOCALHOST:1", "", 0),
            ("localhost:1", "", "none", 0),
            ("localhost:1", "http://localhost:2", "", 403),
            ("localhost:1", "http://localhost:2", "same-site", 403),
            ("localhost:1", "http://127.0.0.1:1", "", 403),
            ("localhost:1", "http://localhost", "", 403),
            ("localhost:1", "https://evil.example", "", 403),
            ("localhost:1", "https://evil.example", "same-origin", 403),
            ("localhost:1", "null", "", 403),
            ("localhost:1", "null", "cross-site", 403),
            ("localhost:1", "", "cross-site", 403),
            ("localhost:1", "", "same-site", 403),
            ("localhost:1", "", "something", 403),
            ("localhost:1", "http://localhost:1", "cross-site", 403),
            ("localhost:1", "https://friend.example", "cross-site", 0),
            ("localhost:1", "https://friend.example:8443", "cross-site", 403),
            ("localhost:1", "https://friend.example.evil", "", 403),
            ("shop.example", "https://shop.example", "same-origin", 0),
            ("shop.example", "https://shop.example:443", "", 0),
            ("shop.example:443", "https://shop.example", "", 0),
            ("shop.example:80", "http://shop.example", "", 0),
            ("shop.example:443", "http://shop.example", "", 403),
            // A proxy that leaves the port away.
            ("shop.example", "https://shop.example:8443", "same-origin", 0),
            ("shop.example", "https://shop.example:8443", "", 403),
            ("[::1]:1", "http://[::1]:1", "same-origin", 0),
            ("localhost:1", "file://", "", 403),
            ("localhost:1", "localhost:1", "", 403),
        ] {
            let mut headers = vec![("host", host)];
            headers.extend((!origin.is_empty()).then_some(("origin", origin)));
            headers.extend((!site.is_empty()).then_some(("sec-fetch-site", site)));
            for method in ["POST", "PATCH", "DELETE", "PUT"] {
                assert_eq!(refused(&gate, method, "/v1/orders/x", &headers), status, "{method} {headers:?}");
            }
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(refused(&gate, method, "/v1/orders/x", &headers), 0, "{method} {headers:?}");
            }
        }
        let two =
            [("host", "localhost:1"), ("origin", "http://localhost:1"), ("origin", "http://localhost:1")];
        assert_eq!(refused(&gate, "POST", "/", &two), 403);
    }

    #[test]
    fn what_is_somebody_s_own_is_told_apart_from_what_everybody_sees() {
        for path in
            ["/v1/orders", "/v1/orders/x/pay", "/v1/flights/x/orders", "/v1/waitlist/x", "/v1/admin/status"]
        {
            assert!(is_somebodys(path), "{path}");
        }
        for path in ["/v1/flights", "/v1/flights/x", "/v1/flights/x/seats", "/orders", "/docs", "/v1/time"] {
            assert!(!is_somebodys(path), "{path}");
        }
    }
}
