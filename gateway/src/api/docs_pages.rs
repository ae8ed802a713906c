//! The documentation for people: the OpenAPI document in Swagger UI, and a page for every error code. All of it comes
//! out of the binary; no page asks another host for anything.

use std::io::Read as _;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::read::DeflateDecoder;
use pulldown_cmark::{Event, Options, Parser, Tag, html};
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use warp::reply::Response;

use crate::api::filters::{first_of, query};
use crate::api::openapi;
use crate::wire::problem::{Code, Problem};
use crate::wire::query::Query;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path;

const HTML: &str = "text/html; charset=utf-8";
/// What a page may load: nothing of anybody else's.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A file that the page `/docs` is made of.
#[derive(Debug)]
pub struct UiFile {
    /// Its name under `/docs/ui/`.
    pub name: &'static str,
    content_type: &'static str,
    content: fn() -> Bytes,
}

/// A file of Swagger UI as `build.rs` took it out of its archive.
macro_rules! of_swagger_ui {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

static CSS: LazyLock<Bytes> = LazyLock::new(|| unpacked(of_swagger_ui!("swagger-ui.css")));
static BUNDLE: LazyLock<Bytes> = LazyLock::new(|| unpacked(of_swagger_ui!("swagger-ui-bundle.js")));
const ICON: &[u8] = of_swagger_ui!("favicon-32x32.png");

/// Unpacked when somebody asks for the first time, and kept: 1.7 MB that most servers never need.
fn unpacked(deflated: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    let read = DeflateDecoder::new(deflated).read_to_end(&mut bytes);
    debug_assert!(read.is_ok(), "build.rs takes nothing from an archive that is not sound: {read:?}");
    bytes.into()
}

/// All of them.
pub const UI_FILES: &[UiFile] = &[
    UiFile { name: "swagger-ui.css", content_type: "text/css", content: || CSS.clone() },
    UiFile { name: "swagger-ui-bundle.js", content_type: "text/javascript", content: || BUNDLE.clone() },
    UiFile { name: "favicon-32x32.png", content_type: "image/png", content: || Bytes::from_static(ICON) },
    UiFile {
        name: "start.js",
        content_type: "text/javascript",
        content: || Bytes::from_static(START.as_bytes()),
    },
];

/// No badge of a validator, which would ask another host.
const START: &str = r##"window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: "none",
  docExpansion: "list",
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0
});
"##;

const DOCS: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Farerush API</title>
<link rel="icon" href="/docs/ui/favicon-32x32.png">
<link rel="stylesheet" href="/docs/ui/swagger-ui.css">
<style>
html { color-scheme: light dark }
body { margin: 0; background: #fafafa }
nav { font: 15px/1.5 system-ui, sans-serif; padding: .7rem 1.2rem; background: #14324f; color: #fff }
nav a { color: #9fd0ff; margin-left: 1.2rem }
/* Swagger UI has no dark colours of its own. */
@media (prefers-color-scheme: dark) {
  body { background: #14171a }
  #swagger-ui { filter: invert(.9) hue-rotate(180deg) }
  #swagger-ui .microlight { filter: invert(1) hue-rotate(180deg) }
}
</style>
</head>
<body>
<nav><strong>Farerush API</strong><a href="/openapi.json">openapi.json</a><a href="/docs/errors">error codes</a></nav>
<main id="swagger-ui"></main>
<noscript><p>This page needs JavaScript; <a href="/openapi.json">the document itself</a> does not.</p></noscript>
<script src="/docs/ui/swagger-ui-bundle.js"></script>
<script src="/docs/ui/start.js"></script>
</body>
</html>
"#;

const STYLE: &str = r"
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --soft: #f2f5f8; --line: #d9e0e7; --link: #0b5cad;
        --mark: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dde5ec; --paper: #14181c; --soft: #1e252c; --line: #333d47; --link: #7db8f5; --mark: #ff8a80 }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.6 system-ui, sans-serif }
main, nav, footer { max-width: 44rem; margin: auto; padding: 0 1.2rem }
nav, footer { font-size: .9rem; padding-top: 1.2rem; padding-bottom: 1.2rem }
a { color: var(--link) }
h1 { font: 700 1.6rem/1.3 ui-monospace, monospace; overflow-wrap: anywhere; margin: 1rem 0 .3rem }
h2 { font-size: 1.1rem; margin: 1.8rem 0 .3rem }
p { margin: .5rem 0 }
.status { color: var(--mark); font-weight: 600 }
code, pre { font: .9em/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px }
code { padding: .1em .3em; overflow-wrap: anywhere }
pre { padding: .8rem 1rem; overflow-x: auto; border: 1px solid var(--line) }
pre code { padding: 0; overflow-wrap: normal }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
";

macro_rules! pages {
    ($($code:literal)*) => {
        /// The page of each code, in Markdown: `docs/errors/<CODE>.md`.
        const PAGES: &[(&str, &str)] = &[
            $(($code, include_str!(concat!("../../../docs/errors/", $code, ".md")))),*
        ];
    };
}

pages! {
    "INVALID_REQUEST" "UNAUTHORIZED" "FORBIDDEN" "ORIGIN_NOT_ALLOWED" "HOST_NOT_ALLOWED" "FLIGHT_NOT_FOUND" "ORDER_NOT_FOUND" "WAITLIST_ENTRY_NOT_FOUND" "NOT_FOUND" "METHOD_NOT_ALLOWED"
    "REQUEST_TIMEOUT" "PAYLOAD_TOO_LARGE" "URI_TOO_LONG" "UNSUPPORTED_MEDIA_TYPE" "HEADERS_TOO_LARGE" "SOLD_OUT"
    "NOT_ENOUGH_SEATS" "SEAT_TAKEN" "NO_SUCH_SEAT" "NOT_TOGETHER" "ORDERS_WITHOUT_SEATS" "SALE_NOT_OPEN" "SALE_PAUSED" "SALE_CLOSED"
    "LIMIT_EXCEEDED" "QUOTA_EXCEEDED" "RATE_LIMITED" "HOLD_EXPIRED" "AMOUNT_MISMATCH" "ORDER_NOT_CHANGEABLE" "FLIGHT_EXISTS" "IDEMPOTENCY_KEY_REUSED" "OVERLOADED" "ELSEWHERE"
    "OUTCOME_UNKNOWN" "INTERNAL"
}

/// A code's page, in Markdown.
pub fn markdown(code: Code) -> Option<&'static str> {
    PAGES.iter().find(|(its, _)| *its == code.as_str()).map(|(_, text)| *text)
}

/// `GET /docs`
pub async fn docs(raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    Ok(file_answer(HTML, DOCS.into()))
}

/// `GET /docs/ui/{file}`
pub async fn ui_file(name: String, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let file = UI_FILES.iter().find(|file| file.name == name).ok_or_else(not_here)?;
    let mut response = file_answer(file.content_type, (file.content)());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Ok(response)
}

/// `GET /docs/errors`: all codes.
pub async fn errors(raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let mut body = String::from(
        "<h1>Error codes</h1>\n<p>Every error is <code>application/problem+json</code> (RFC 9457), and its \
         <code>code</code> is one of these.</p>\n<table>\n<tr><th>code</th><th>status</th><th>title</th></tr>\n",
    );
    for code in Code::ALL {
        let (name, status, title) = (code.as_str(), code.status().as_u16(), code.title());
        body.push_str(&format!(
            "<tr><td><a href=\"/docs/errors/{name}\"><code>{name}</code></a></td><td>{status}</td><td>{title}</td></tr>\n"
        ));
    }
    body.push_str("</table>\n");
    Ok(file_answer(HTML, page("Error codes", &body).into()))
}

/// `GET /docs/errors/{code}`
pub async fn error(name: String, raw_query: String) -> Result<Response, Problem> {
    Query::parse(&raw_query).finish()?;
    let code = Code::ALL.iter().copied().find(|code| code.as_str() == name).ok_or_else(not_here)?;
    let text = markdown(code).ok_or_else(not_here)?;
    Ok(file_answer(HTML, page(code.as_str(), &to_html(text)).into()))
}

fn not_here() -> Problem {
    Problem::new(Code::NotFound, "No page is called so. GET /docs/errors lists the pages about errors.")
}

fn file_answer(content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} · Farerush</title>\n\
         <link rel=\"icon\" href=\"/docs/ui/favicon-32x32.png\">\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <nav><a href=\"/docs/errors\">All error codes</a> · <a href=\"/docs\">API</a></nav>\n\
         <main>\n{body}</main>\n<footer>Farerush {}</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
    )
}

/// Markdown as HTML; a link to another file of the folder leads to that page.
fn to_html(text: &str) -> String {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) if dest_url.ends_with(".md") => {
            let code = dest_url.trim_end_matches(".md");
            let dest_url = format!("/docs/errors/{code}").into();
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        other => other,
    });
    let mut body = String::with_capacity(2 * text.len());
    html::push_html(&mut body, events);
    body
}

/// The routes of the documentation.
pub fn routes() -> BoxedFilter<(Response,)> {
    let document = path!("openapi.json").and(warp::get()).and(query()).then(openapi::show).boxed();
    let docs = path!("docs").and(warp::get()).and(query()).then(docs).boxed();
    let file = path!("docs" / "ui" / String).and(warp::get()).and(query()).then(ui_file).boxed();
    let errors = path!("docs" / "errors").and(warp::get()).and(query()).then(errors).boxed();
    let error = path!("docs" / "errors" / String).and(warp::get()).and(query()).then(error).boxed();
    first_of([document, docs, file, errors, error])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        for code in Code::ALL {
            assert!(markdown(*code).is_some(), "docs/errors/{}.md is missing", code.as_str());
        }
        assert_eq!(PAGES.len(), Code::ALL.len());
    }

    #[test]
    fn every_page_says_what_happened_what_it_means_and_what_to_do() {
        for (name, text) in PAGES {
            let code = Code::ALL.iter().find(|code| code.as_str() == *name).unwrap();
            let heading = format!("# {name}\n\n**{}", code.status().as_u16());
            assert!(text.starts_with(&heading), "{name} does not begin with its name and status");
            let parts = ["## What happened", "## What it means for the order", "## What to do", "## Example"];
            let mut rest = *text;
            for part in parts {
                let Some(place) = rest.find(&format!("\n{part}\n\n")) else {
                    panic!("{name} lacks `{part}`")
                };
                rest = &rest[place + part.len()..];
            }
        }
    }

    #[test]
    fn every_link_between_pages_leads_somewhere() {
        for (name, text) in PAGES {
            let html = to_html(text);
            for target in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let code = target.strip_prefix("/docs/errors/");
                let is_known = code.is_some_and(|code| Code::ALL.iter().any(|known| known.as_str() == code));
                assert!(is_known, "{name} links to {target}");
            }
        }
    }
}
