//! Every address of the server, for those who speak of requests without answering them.
//! Never says what stands behind one: the routes do.

/// Every address and the methods it knows, `{}` for one segment. HEAD goes wherever GET does.
pub const ADDRESSES: &[(&str, &str)] = &[
    ("/v1/flights", "GET, HEAD"),
    ("/v1/flights/{}", "GET, HEAD"),
    ("/v1/flights/{}/seats", "GET, HEAD"),
    ("/v1/flights/{}/live", "GET, HEAD"),
    ("/v1/flights/{}/orders", "POST"),
    ("/v1/flights/{}/waitlist", "POST"),
    ("/v1/waitlist/{}", "GET, HEAD, DELETE"),
    ("/v1/orders", "GET, HEAD"),
    ("/v1/orders/{}", "GET, HEAD, PATCH, DELETE"),
    ("/v1/orders/{}/pay", "POST"),
    ("/v1/orders/{}/confirm", "POST"),
    ("/v1/orders/{}/cancel", "POST"),
    ("/v1/admin/flights", "POST"),
    ("/v1/admin/flights/import", "POST"),
    ("/v1/admin/flights/{}", "PATCH"),
    ("/v1/admin/flights/{}/manifest", "GET, HEAD"),
    ("/v1/admin/flights/{}/audit", "GET, HEAD"),
    ("/v1/admin/flights/{}/refunds", "GET, HEAD"),
    ("/v1/admin/flights/{}/open", "POST"),
    ("/v1/admin/flights/{}/pause", "POST"),
    ("/v1/admin/flights/{}/close", "POST"),
    ("/v1/admin/flights/{}/seats/block", "POST"),
    ("/v1/admin/flights/{}/seats/unblock", "POST"),
    ("/v1/admin/flights/{}/seats/withdraw", "POST"),
    ("/v1/admin/flights/{}/aircraft", "POST"),
    ("/v1/admin/flights/{}/rows", "POST"),
    ("/v1/admin/flights/{}/restart", "POST"),
    ("/v1/admin/flights/{}/move", "POST"),
    ("/v1/admin/flights/{}/waitlist", "GET, HEAD"),
    ("/v1/admin/servers", "GET, HEAD"),
    ("/v1/admin/servers/{}/drain", "POST"),
    ("/v1/admin/servers/{}/resume", "POST"),
    ("/v1/admin/orders", "GET, HEAD"),
    ("/v1/admin/status", "GET, HEAD"),
    ("/v1/admin/cockpit", "GET, HEAD"),
    ("/v1/admin/flights/{}/rehearsals", "POST"),
    ("/v1/admin/rehearsals/{}", "GET, HEAD, DELETE"),
    ("/v1/admin/rehearsals/{}/seats", "GET, HEAD"),
    ("/livez", "GET, HEAD"),
    ("/readyz", "GET, HEAD"),
    ("/openapi.json", "GET, HEAD"),
    ("/docs", "GET, HEAD"),
    ("/docs/ui/{}", "GET, HEAD"),
    ("/docs/errors", "GET, HEAD"),
    ("/docs/errors/{}", "GET, HEAD"),
    ("/metrics", "GET, HEAD"),
    ("/v1/time", "GET, HEAD"),
    ("/", "GET, HEAD"),
    ("/flights/{}", "GET, HEAD"),
    ("/orders", "GET, HEAD"),
    ("/admin", "GET, HEAD"),
    ("/assets/{}", "GET, HEAD"),
];

/// The entry of `ADDRESSES` that a path belongs to.
pub fn address(path: &str) -> Option<&'static (&'static str, &'static str)> {
    let matches = |pattern: &str| {
        if pattern == "/" || path == "/" {
            return pattern == path;
        }
        let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some("{}"), Some(segment)) if !segment.is_empty() => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    };
    ADDRESSES.iter().find(|(pattern, _)| matches(pattern))
}
