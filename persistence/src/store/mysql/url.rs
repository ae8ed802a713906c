//! What a `mysql://` setting says, checked to the last word: a mistyped `ssl-mode` must not mean "no TLS".
//! Never shows a password: messages and descriptions are made of other parts.

use std::fmt;

use sqlx::mysql::MySqlConnectOptions;

use crate::store::error::StoreError;

/// What may follow the `?`.
const KEYS: [&str; 6] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket", "statement-cache-capacity"];

/// A server and a database on it.
#[derive(Clone)]
pub(super) struct ServerAddress {
    pub(super) connect: MySqlConnectOptions,
    shown: String,
}

impl ServerAddress {
    /// Reads `mysql://user:password@host:port/database?ssl-mode=...`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        if let Some((_, keys)) = url.split_once('?') {
            for pair in keys.split('&') {
                let key = pair.split_once('=').map_or(pair, |(key, _)| key);
                if !KEYS.contains(&key) {
                    return Err(setting(&format!("mysql: knows no {key:?}, only {}", KEYS.join(", "))));
                }
            }
        }
        let connect: MySqlConnectOptions = url.parse().map_err(|error: sqlx::Error| {
            let why = match &error {
                sqlx::Error::Configuration(why) => why.to_string(),
                _ => "cannot be read".to_owned(),
            };
            setting(&format!(
                "must be mysql://user:password@host:port/database, with special characters as %xx: {why}"
            ))
        })?;
        let Some(database) = connect.get_database() else {
            return Err(setting("mysql: names no database: mysql://user:password@host:port/database"));
        };
        let shown = match connect.get_socket() {
            Some(socket) => format!("mysql:{}/{database}", socket.display()),
            None => format!("mysql://{}:{}/{database}", connect.get_host(), connect.get_port()),
        };
        Ok(Self { connect, shown })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn setting(what: &str) -> StoreError {
    StoreError::Setting { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_user_and_password() {
        let place =
            ServerAddress::parse("mysql://sales:s%40cret@db.example:3307/fare?ssl-mode=REQUIRED").unwrap();
        assert_eq!((place.to_string(), format!("{place:?}")), {
            let shown = "mysql://db.example:3307/fare".to_owned();
            (shown.clone(), shown)
        });
        assert_eq!(ServerAddress::parse("mysql://u@[::1]/db").unwrap().to_string(), "mysql://[::1]:3306/db");
    }

    #[test]
    fn a_bad_setting_says_what_is_wrong_with_it_and_keeps_the_secret() {
        for (url, expected) in [
            ("mysql://u:secret@host", "names no database"),
            ("mysql://u:secret@host:port/db", "port"),
            ("mysql://u:sec/ret@host/db", "%xx"),
            ("mysql://u:secret@host/db?sslmode=DISABLED", "knows no \"sslmode\""),
            ("mysql://u:secret@host/db?ssl-mode=SOME", "SOME"),
            ("mysql://", "mysql://user:password@host"),
        ] {
            let error = ServerAddress::parse(url).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("sec"), "{url}: {error}");
        }
    }
}
