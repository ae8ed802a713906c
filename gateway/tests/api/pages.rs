//! The pages and their files as a browser gets them. What they do there, the tests in a browser say.

use std::collections::BTreeSet;

use crate::client::{Reply, TestServer};

const PAGES: [&str; 6] =
    ["/", "/?origin=TPE", "/flights/DEMO1", "/flights/NOBODY-KNOWS-IT", "/orders", "/admin"];

fn is_guarded(reply: &Reply) {
    let policy =
        reply.header("content-security-policy").unwrap_or_else(|| panic!("no policy: {}", reply.head));
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.split("; ").any(|its| its == rule), "{rule} is missing in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-cache"),
        ("vary", "accept-encoding"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{}", reply.head);
    }
}

/// The files of `/assets` that a text names: in markup by their address, in modules beside themselves.
fn named(text: &str) -> BTreeSet<String> {
    let after = |mark: &'static str| text.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    let file = |name: &str| name.ends_with(".js") || name.ends_with(".css") || name.ends_with(".svg");
    after("\"/assets/").chain(after("\"./")).filter(|name| file(name)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_comes_with_a_policy_that_lets_nothing_strange_in() {
    let server = TestServer::start().await;
    for path in PAGES {
        let page = server.get(path).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(page.text.starts_with("<!doctype html>"), "{path}: {}", page.text);
        is_guarded(&page);
        assert!(
            !page.text.contains("<style") && !page.text.contains("style="),
            "{path} has styles of its own"
        );
        let scripts = page.text.matches("<script").count();
        assert_eq!(page.text.matches("src=\"/assets/").count(), scripts, "{path} has a script of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_that_a_page_or_a_script_names_is_there_as_what_it_is() {
    let server = TestServer::start().await;
    let mut to_see = BTreeSet::new();
    for path in PAGES {
        to_see.append(&mut named(&server.get(path).await.text));
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = to_see.pop_first() {
        let file = server.get(&format!("/assets/{name}")).await;
        let kind = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!((file.status, file.header("content-type")), (200, Some(kind)), "{name}");
        is_guarded(&file);
        seen.insert(name);
        to_see.extend(named(&file.text).into_iter().filter(|name| !seen.contains(name)));
    }
    assert!(seen.len() > 10, "only {seen:?}: is this still how they are named?");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_has_is_not_sent_again() {
    let server = TestServer::start().await;
    for path in ["/", "/assets/base.css"] {
        let first = server.get(path).await;
        let tag = first.header("etag").unwrap();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let again = server.send(&format!("GET {path}"), &[("if-none-match", &known)], "").await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path} {known}");
            assert_eq!(again.header("etag"), Some(tag));
            is_guarded(&again);
        }
        let other = server.send(&format!("GET {path}"), &[("if-none-match", "\"other\"")], "").await;
        assert_eq!((other.status, other.text), (200, first.text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_gzip_gets_it() {
    let server = TestServer::start().await;
    let plain = server.get("/assets/base.css").await;
    assert_eq!(plain.header("content-encoding"), None);
    let takes = [("accept-encoding", "br, gzip")];
    let packed = server.send("GET /assets/base.css", &takes, "").await;
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    let length = |reply: &Reply| reply.header("content-length").unwrap().parse::<usize>().unwrap();
    assert!(length(&packed) < length(&plain));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_what_get_would_without_the_page() {
    let server = TestServer::start().await;
    for path in ["/", "/flights/DEMO1", "/orders", "/admin", "/assets/base.css"] {
        let (get, head) = (server.get(path).await, server.send(&format!("HEAD {path}"), &[], "").await);
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        for name in ["content-type", "etag", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_there_but_those_of_the_pages() {
    let server = TestServer::start().await;
    for name in
        ["nothing.js", "..", "%2e%2e", "..%2fadmin.html", "%2e%2e%2fadmin.html", "base.css%00", "BASE.CSS"]
    {
        server.get(&format!("/assets/{name}")).await.is_problem(404, "NOT_FOUND");
    }
    for path in ["/assets", "/assets/", "/assets/../admin.html", "/departures.html", "/flights", "/orders/x"]
    {
        server.get(path).await.is_problem(404, "NOT_FOUND");
    }
    for path in ["/", "/orders", "/assets/base.css"] {
        server.post(path, "{}").await.is_problem(405, "METHOD_NOT_ALLOWED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_its_time() {
    let server = TestServer::start().await;
    let reply = server.get("/v1/time").await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    let now = farerush::base::time::parse(reply.json()["now"].as_str().unwrap()).unwrap();
    assert!((now.as_millis() - crate::tokens::now() * 1000).abs() < 10_000, "{reply:?}");
    server.get("/v1/time?zone=here").await.is_problem(400, "INVALID_REQUEST");
}
