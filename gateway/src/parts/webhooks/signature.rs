//! Signs what is delivered: HMAC-SHA256 over time and body, in the form that Stripe documents for its webhooks.
//! Never shows the secret.

use std::fmt;

use ring::hmac;

/// What signs.
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub(super) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The header's value: `t=<unix seconds>,v1=<hex of HMAC-SHA256(secret, "<t>.<body>")>`.
    pub(super) fn sign(&self, unix_seconds: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(unix_seconds.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        let mut header = format!("t={unix_seconds},v1=");
        for byte in context.sign().as_ref() {
            header.push(char::from_digit((byte >> 4).into(), 16).unwrap_or('0'));
            header.push(char::from_digit((byte & 15).into(), 16).unwrap_or('0'));
        }
        header
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_time_and_body() {
        let signer = Signer::new("whsec_0123456789abcdef0123456789abcdef");
        // From Python: hmac.new(secret, b"1700000000.{}", "sha256").hexdigest()
        let signed = signer.sign(1_700_000_000, b"{}");
        assert_eq!(signed.len(), "t=1700000000,v1=".len() + 64);
        assert!(signed.starts_with("t=1700000000,v1=") && signed.ends_with(PYTHON_SAYS), "{signed}");
        assert_ne!(signed[16..], signer.sign(1_700_000_001, b"{}")[16..]);
        assert_ne!(signed[16..], signer.sign(1_700_000_000, b"[]")[16..]);
        assert_eq!(format!("{signer:?}"), "<secret>");
    }

    const PYTHON_SAYS: &str = "0fca9f08dbc39196bdaeab06f9dfd51d4ec8ff78891eaa65e01177bbec862b61";
}
