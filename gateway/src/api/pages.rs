//! The pages for customers and admins: the files of `web/`, out of the binary (in debug builds out of the folder), sent
//! without their comments and indentation, and compressed to whoever takes that. No page asks another host for anything.
//! Never decides anything: a page is a client of the API like any other.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{EmbeddedFile, RustEmbed};
use warp::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    REFERRER_POLICY, VARY,
};
use warp::http::{HeaderMap, StatusCode};
use warp::reply::Response;

use crate::api::filters::{first_of, query, with};
use crate::base::json::Json;
use crate::parts::flights::Flights;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use crate::wire::render;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path;

/// What a page may load and do: nothing of anybody else's, no script or style in the page itself, no text that becomes
/// markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
/// Bytes of a file's digest that its entity tag shows.
const TAG_BYTES: usize = 12;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// A page, by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`: flights on sale.
    Departures,
    /// `/flights/{flight_id}`: the seat map and the grab. Whether there is such a flight, the page finds out.
    Flight,
    /// `/orders`: a customer's orders.
    Orders,
    /// `/admin`: the admin's day.
    Admin,
}

impl Page {
    const fn file(self) -> &'static str {
        match self {
            Self::Departures => "departures.html",
            Self::Flight => "flight.html",
            Self::Orders => "orders.html",
            Self::Admin => "admin.html",
        }
    }
}

/// A page. Its query belongs to its script: filters are kept in the address.
pub async fn page(page: Page, headers: HeaderMap) -> Result<Response, Problem> {
    file(page.file(), &headers)
}

/// `GET /assets/{file}`: scripts, styles and the icon.
pub async fn asset(name: String, headers: HeaderMap) -> Result<Response, Problem> {
    file(&format!("assets/{name}"), &headers)
}

/// What pages are told beside what they ask for.
pub struct ShownClock {
    /// By whose time sales open.
    pub flights: Arc<Flights>,
    /// Whether customers may confirm orders by a payment that is only a test.
    pub test_payment: bool,
}

/// `GET /v1/time`: the clock that sales open and holds end by, and whether payments here are only a test.
pub async fn time(clock: Arc<ShownClock>, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let mut json = Json::default();
    json.open().key("now").time(clock.flights.now()).key("test_payment").boolean(clock.test_payment).close();
    Ok(render::passing_response(StatusCode::OK, json))
}

/// A file as it is sent.
#[derive(Debug, Clone)]
struct Sent {
    plain: Bytes,
    gzip: Bytes,
    tag: String,
}

/// All files, made ready once. Debug builds read the folder each time instead, so that an edit shows at once.
static READY: LazyLock<HashMap<String, Sent>> =
    LazyLock::new(|| Files::iter().filter_map(|name| Some((name.to_string(), sent(&name)?))).collect());

fn sent(name: &str) -> Option<Sent> {
    let file = Files::get(name)?;
    let plain = lean(std::str::from_utf8(&file.data).ok()?);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(plain.as_bytes()).ok()?;
    Some(Sent { plain: plain.into(), gzip: gzip.finish().ok()?.into(), tag: tag(&file) })
}

/// A text without indentation, empty lines and the lines that are comments. The files of `web/` are written so that nothing
/// else depends on them: no text of several lines has a line that begins like a comment.
fn lean(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines().map(str::trim) {
        let begins = !in_comment && line.starts_with("/*");
        if begins || in_comment {
            in_comment = !line.ends_with("*/");
        } else if !line.is_empty() && !line.starts_with("//") {
            short.push_str(line);
            short.push('\n');
        }
    }
    short
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let found = if cfg!(debug_assertions) { sent(name) } else { READY.get(name).cloned() };
    let Sent { plain, gzip, tag } =
        found.ok_or_else(|| Problem::new(Code::NotFound, "There is no such file."))?;
    let says = |header: &str, yes: &dyn Fn(&str) -> bool| {
        let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| yes(word.trim()))
    };
    let is_known = says("if-none-match", &|known| known.trim_start_matches("W/") == tag);
    // One that is refused outright (`q=0`) has a parameter, as nobody else's has.
    let takes_gzip = says("accept-encoding", &|coding| coding == "gzip");
    let mut response = match (is_known, takes_gzip) {
        (true, _) => Response::new(Bytes::new().into()),
        (false, true) => Response::new(gzip.into()),
        (false, false) => Response::new(plain.into()),
    };
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let set = response.headers_mut();
    if takes_gzip && !is_known {
        set.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    set.insert(VARY, HeaderValue::from_static("accept-encoding"));
    set.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    set.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    set.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    set.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    set.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Asked for again each time, sent again only if it changed: a new binary brings new pages at once.
    set.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        set.insert(ETAG, tag);
    }
    Ok(response)
}

fn tag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("\"");
    for byte in file.metadata.sha256_hash().iter().take(TAG_BYTES) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The routes of the pages, and of the clock that they count down by.
pub fn routes(clock: &Arc<ShownClock>) -> BoxedFilter<(Response,)> {
    let shown = |which: Page| move |headers: HeaderMap| async move { page(which, headers).await };
    let read = || warp::get().and(warp::header::headers_cloned());
    let departures = warp::path::end().and(read()).then(shown(Page::Departures)).boxed();
    let flight = path!("flights" / String).and(read()).then(|_, headers| page(Page::Flight, headers)).boxed();
    let orders = path!("orders").and(read()).then(shown(Page::Orders)).boxed();
    let admin = path!("admin").and(read()).then(shown(Page::Admin)).boxed();
    let asset = path!("assets" / String).and(read()).then(asset).boxed();
    let time = path!("v1" / "time").and(warp::get()).and(with(clock)).and(query()).then(time).boxed();
    first_of([departures, flight, orders, admin, asset, time])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What all pages may weigh together on their way to a browser (all of which take gzip), in bytes.
    const WEIGHT_MAX: usize = 100_000;

    #[test]
    fn every_file_has_a_type_and_all_together_are_light() {
        let mut weight = 0;
        for name in Files::iter() {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
            weight += sent(&name).unwrap().gzip.len();
        }
        assert!(weight < WEIGHT_MAX, "the pages weigh {weight} bytes");
    }

    #[test]
    fn what_is_left_out_says_nothing() {
        let text = "// A comment.\n\n/** Another,\n * longer one. */\nconst a = 1; // kept\n  if (a) {\n    /* short */\n    b();\n  }\n";
        assert_eq!(lean(text), "const a = 1; // kept\nif (a) {\nb();\n}\n");
    }

    #[test]
    fn whoever_takes_gzip_gets_the_same_in_less() {
        let mut headers = HeaderMap::new();
        assert!(file("departures.html", &headers).unwrap().headers().get(CONTENT_ENCODING).is_none());
        headers.insert("accept-encoding", HeaderValue::from_static("br, gzip"));
        assert_eq!(file("departures.html", &headers).unwrap().headers()[CONTENT_ENCODING], "gzip");
        headers.insert("accept-encoding", HeaderValue::from_static("gzip;q=0"));
        assert!(file("departures.html", &headers).unwrap().headers().get(CONTENT_ENCODING).is_none());
        let Sent { plain, gzip, .. } = sent("assets/api.js").unwrap();
        let mut read = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut read).unwrap();
        assert_eq!(read.as_bytes(), plain);
        assert!(gzip.len() * 2 < plain.len());
    }

    #[test]
    fn the_preview_of_a_template_is_what_the_template_gives() {
        use farerush_engine::flight::aircraft::AIRCRAFT;
        let file = Files::get("assets/admin-new.js").unwrap();
        let script = std::str::from_utf8(&file.data).unwrap();
        let templates = &script[script.find("const TEMPLATES = {").unwrap()..];
        let templates = &templates[..templates.find("};").unwrap()];
        assert_eq!(templates.matches(": \"").count(), AIRCRAFT.len());
        for aircraft in AIRCRAFT {
            let section =
                |(class, first, last, layout): &(farerush_engine::flight::CabinClass, u16, u16, &str)| {
                    let letter = class.as_str()[..1].to_uppercase();
                    format!("{letter}{first}-{last} {layout}")
                };
            let sections: Vec<String> = aircraft.sections.iter().map(section).collect();
            let line = format!("  {}: \"{}\",", aircraft.name, sections.join(","));
            assert!(templates.contains(&line), "{line}");
        }
    }

    #[test]
    fn no_file_names_another_host() {
        for name in Files::iter() {
            let file = Files::get(&name).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            for (place, _) in text.match_indices("://") {
                let line = text[..place].rsplit('\n').next().unwrap_or_default();
                // The name of SVG's namespace is no address.
                assert!(text[place..].starts_with("://www.w3.org/"), "{name}: {line}://");
            }
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let first = file("departures.html", &HeaderMap::new()).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert("if-none-match", first.headers()[ETAG].clone());
        assert_eq!(file("departures.html", &headers).unwrap().status(), StatusCode::NOT_MODIFIED);
        headers.insert("if-none-match", HeaderValue::from_static("\"other\""));
        assert_eq!(file("departures.html", &headers).unwrap().status(), StatusCode::OK);
        assert!(file("../Cargo.toml", &headers).is_err());
    }
}
