//! The one spelling that each address has, so that whoever stands in front of this server and lets through what it names
//! means the same by a name. Never decodes anything.

/// Pages that people type into an address bar: what they spell with a slash at the end is sent to the right one.
const PAGES: [&str; 6] = ["/flights/{}", "/orders", "/admin", "/docs", "/docs/errors", "/docs/errors/{}"];

/// Whether a path is spelled as the one address that it means: no empty and no dot segment, no slash at the end, nothing
/// percent-encoded that need not be, and what must be in capitals. Whether there is such an address, the routes say.
pub(super) fn is_canonical(path: &str) -> bool {
    match path.strip_prefix('/') {
        Some("") => true,
        Some(rest) => rest.split('/').all(is_canonical_segment),
        // `*`, and what stands for no path at all.
        None => true,
    }
}

fn is_canonical_segment(segment: &str) -> bool {
    if matches!(segment, "" | "." | "..") {
        return false;
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if !byte.is_ascii_graphic() {
            return false;
        }
        if byte != b'%' {
            continue;
        }
        match (bytes.next().and_then(digit), bytes.next().and_then(digit)) {
            (Some(high), Some(low)) if !is_unreserved(high << 4 | low) => {}
            _ => return false,
        }
    }
    true
}

/// A hexadecimal digit in the form that a canonical address has (RFC 3986, section 6.2.2.1).
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The page that somebody means who wrote a slash behind its address.
pub(super) fn meant_page(path: &str) -> Option<&str> {
    let path = path.strip_suffix('/').filter(|path| is_canonical(path) && path.starts_with('/'))?;
    let is_it = |pattern: &str| match pattern.strip_suffix("{}") {
        Some(folder) => path.strip_prefix(folder).is_some_and(|name| !name.is_empty() && !name.contains('/')),
        None => path == pattern,
    };
    PAGES.into_iter().any(is_it).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for path in [
            "/",
            "*",
            "/metrics",
            "/v1/flights/FR1-20270301/orders",
            "/v1/flights/no%20flight",
            "/v1/x/%E6%9E%97",
        ] {
            assert!(is_canonical(path), "{path}");
        }
        for path in [
            "//",
            "/metrics/",
            "//metrics",
            "/metrics//",
            "/v1//flights",
            "/./metrics",
            "/x/../metrics",
            "/metrics/.",
            "/metrics/..",
            "/%6Detrics",
            "/%6detrics",
            "/x/%2E%2E/metrics",
            "/x/%2e%2e/metrics",
            "/v1/flights/no%2fflight",
            "/v1/flights/%7E",
            "/v1/flights/%",
            "/v1/flights/%4",
            "/v1/flights/%zz",
            "/v1/flights/\u{e9}",
        ] {
            assert!(!is_canonical(path), "{path}");
        }
    }

    #[test]
    fn a_slash_behind_a_page_leads_to_the_page_and_nowhere_else() {
        for (path, page) in [
            ("/orders/", Some("/orders")),
            ("/flights/DEMO1/", Some("/flights/DEMO1")),
            ("/docs/errors/SOLD_OUT/", Some("/docs/errors/SOLD_OUT")),
            ("/docs/", Some("/docs")),
            ("/orders", None),
            ("/", None),
            ("//", None),
            ("//evil.example/", None),
            ("/metrics/", None),
            ("/v1/flights/", None),
            ("/orders//", None),
            ("/flights//", None),
            ("/flights/a/b/", None),
            ("/flights/../", None),
            ("/%6Frders/", None),
        ] {
            assert_eq!(meant_page(path), page, "{path}");
        }
    }
}
