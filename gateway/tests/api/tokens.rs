//! Tokens for the tests: customers' signed ones, admins' of each role. Never the server's own code where it signs.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use farerush::parts::auth::{Role, TokenFile};
use farerush_engine::flight::{AdminName, Timestamp};
use ring::hmac;

/// The secret of the test servers with `customer_auth = jwt`.
pub(crate) const JWT_KEY: &str = "the-issuer-s-secret-of-32-bytes-and-more";
/// Settings under which customers show tokens.
pub(crate) const JWT: &[(&str, &str)] = &[("customer_auth", "jwt"), ("jwt_key", JWT_KEY)];

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..=three.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize].into());
        }
    }
    text
}

/// A customer's token that holds for so many seconds, signed with HS256.
pub(crate) fn customer(sub: &str, seconds: i64) -> String {
    let claims = serde_json::json!({"sub": sub, "exp": now() + seconds}).to_string();
    let message = format!("{}.{}", url(br#"{"alg":"HS256"}"#), url(claims.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, JWT_KEY.as_bytes());
    format!("{message}.{}", url(hmac::sign(&key, message.as_bytes()).as_ref()))
}

/// Admins' tokens.
pub(crate) struct AdminTokens {
    pub(crate) viewer: String,
    pub(crate) operator: String,
    pub(crate) admin: String,
    pub(crate) expired: String,
    pub(crate) revoked: String,
}

impl AdminTokens {
    /// Makes them in a data directory.
    pub(crate) fn make(data_dir: &Path) -> Self {
        let file = TokenFile::in_dir(data_dir);
        let at = |seconds: i64| Timestamp::from_millis((now() + seconds) * 1000);
        let make = |name: &str, role, expires_at| {
            file.create(AdminName::new(name).unwrap(), role, at(-7200), expires_at).unwrap()
        };
        let made = Self {
            viewer: make("a-viewer", Role::Viewer, None),
            operator: make("an-operator", Role::Operator, Some(at(3600))),
            admin: make("an-admin", Role::Admin, None),
            expired: make("expired", Role::Admin, Some(at(-3600))),
            revoked: make("revoked", Role::Admin, None),
        };
        file.revoke(&AdminName::new("revoked").unwrap(), at(-60)).unwrap();
        made
    }
}
