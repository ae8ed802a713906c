//! What the settings say about webhooks, checked.
//! Never shows a secret in a message.

use std::time::Duration;

use reqwest::Url;

use super::Kinds;
use crate::base::settings::{ConfigError, Secret, Values};

/// Shortest secret, in characters.
pub const SECRET_CHARS_MIN: usize = 32;
/// Longest.
pub const SECRET_CHARS_MAX: usize = 256;

/// What is said about webhooks in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The receiver. Its path may hold a secret.
    pub url: Secret,
    /// What deliveries are signed with.
    pub secret: Secret,
    /// Which are wanted.
    pub kinds: Kinds,
    /// How long the receiver may take for one.
    pub timeout: Duration,
    /// Most events of a flight that the journal keeps for webhooks alone.
    pub lag_events_max: u64,
}

impl WebhookSettings {
    /// Checks the settings that begin with `webhook_`; `None` if no webhooks are wanted.
    pub fn from_values(values: &Values) -> Result<Option<Self>, ConfigError> {
        let url = values.parse("webhook_url", |text| match text {
            "none" => Ok(None),
            _ => receiver(text).map(Some),
        })?;
        let kinds = values.parse("webhook_events", Kinds::parse)?;
        let timeout = values.parse("webhook_timeout_ms", |text| whole(text, 1, 600_000))?;
        let lag_events_max =
            values.parse("webhook_lag_events_max", |text| whole(text, 1, 1_000_000_000_000))?;
        let has_receiver = url.is_some();
        let secret = values.parse("webhook_secret", |text| match text {
            "none" if has_receiver => {
                Err("must be set where webhook_url is: deliveries are signed with it".into())
            }
            "none" => Ok(None),
            _ => signing_secret(text).map(Some),
        })?;
        let (Some(url), Some(secret)) = (url, secret) else { return Ok(None) };
        Ok(Some(Self { url, secret, kinds, timeout: Duration::from_millis(timeout), lag_events_max }))
    }
}

/// The receiver's address.
fn receiver(text: &str) -> Result<Secret, String> {
    const MESSAGE: &str = "must be http://host[:port]/path or https://host[:port]/path";
    let url = Url::parse(text).map_err(|_| MESSAGE.to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(MESSAGE.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a password: deliveries are signed (webhook_secret)".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (#...)".to_owned());
    }
    Ok(Secret::new(text))
}

fn signing_secret(text: &str) -> Result<Secret, String> {
    let fits = (SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&text.len());
    if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "must be {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} visible characters without spaces, such as the output of \
             `openssl rand -hex 32`"
        ));
    }
    Ok(Secret::new(text))
}

fn whole(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_an_address_without_a_password() {
        for good in ["http://127.0.0.1:9000/hooks", "https://shop.example/farerush?key=1", "http://[::1]:1/"]
        {
            assert_eq!(receiver(good).unwrap().expose(), good);
        }
        for (bad, why) in [
            ("shop.example", "must be http://"),
            ("ftp://shop.example", "must be http://"),
            ("http://", "must be http://"),
            ("https://u:secret@shop.example/", "password"),
            ("https://shop.example/#x", "fragment"),
        ] {
            let message = receiver(bad).unwrap_err();
            assert!(message.contains(why) && !message.contains("secret@"), "{bad}: {message}");
        }
    }

    #[test]
    fn a_secret_is_long_and_visible_and_there_where_a_receiver_is() {
        assert!(signing_secret(&"x".repeat(32)).is_ok());
        for bad in [&"x".repeat(31), &"x".repeat(257), &format!("{}\n", "x".repeat(40))] {
            assert!(signing_secret(bad).unwrap_err().contains("32 to 256"));
        }
        let mut values = Values::default();
        assert_eq!(WebhookSettings::from_values(&values).unwrap(), None);
        values.set("webhook_url", "http://127.0.0.1:1/very-secret-path");
        let error = WebhookSettings::from_values(&values).unwrap_err().to_string();
        assert!(error.contains("`webhook_secret`") && error.contains("where webhook_url is"), "{error}");
        values.set("webhook_secret", "very-secret-very-secret-very-secret");
        let settings = WebhookSettings::from_values(&values).unwrap().unwrap();
        assert!(!format!("{settings:?}").contains("very-secret"));
        assert_eq!(settings.lag_events_max, 5_000_000);
        values.set("webhook_events", "order.paid");
        assert!(WebhookSettings::from_values(&values).unwrap_err().to_string().contains("order.held"));
    }
}
