//! Posts one delivery to the receiver and says what became of it.
//! Never follows a redirect, never reads more of an answer than a bound, and never shows the receiver's whole address.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::signature::Signer;

/// How long the receiver may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an unused connection to it stays open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read, so that its connection can be used again; a longer one costs a new one.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What happened, without the receiver's address.
    pub(super) what: String,
    pub(super) kind: FailureKind,
    /// How long the receiver wants to be left alone, if it said so.
    pub(super) retry_after: Option<Duration>,
}

/// In what way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It answered, but not with 2xx.
    Refused,
    /// It could not be reached, or broke off.
    Unreachable,
    /// It took too long.
    TimedOut,
}

/// The way to the receiver.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
    url: Url,
    signer: Signer,
}

impl Post {
    /// Fails if the client cannot be made (no root certificates, say).
    pub(super) fn new(url: Url, secret: &str, timeout: Duration) -> Result<Self, reqwest::Error> {
        // Whoever installed another one first is just as welcome.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(Policy::none())
            .build()?;
        Ok(Self { client, url, signer: Signer::new(secret) })
    }

    /// Delivers; `id` is the same at every attempt.
    pub(super) async fn deliver(&self, id: &str, body: &[u8]) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("farerush/", env!("CARGO_PKG_VERSION")))
            .header("farerush-signature", self.signer.sign(now, body))
            .header("farerush-delivery", id)
            .body(body.to_vec());
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        skim(response).await;
        if status.is_success() {
            return Ok(());
        }
        let what = format!("it answered {}", status.as_u16());
        Err(Failure { what, kind: FailureKind::Refused, retry_after })
    }
}

fn failed(error: reqwest::Error) -> Failure {
    let kind = if error.is_timeout() { FailureKind::TimedOut } else { FailureKind::Unreachable };
    // The path may hold a secret.
    let what = crate::base::errors::in_full(&error.without_url());
    Failure { what, kind, retry_after: None }
}

/// A number of seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Its status is the answer; what is said besides does not matter.
async fn skim(mut response: Response) {
    let mut bytes = 0;
    while bytes < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_believed_up_to_a_bound() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("Sat, 21 Oct 2090 07:28:00 GMT"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
