//! Where a Redis server is, as its URL says: over TCP, TLS or a socket, with the files that TLS wants.
//! Never shows a password: what the crate says about a bad URL may hold one, and is not passed on.

use std::fs;

use ::redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use farerush_engine::journal::JournalError;

/// What may follow the `?` of a `rediss:` URL, as with MySQL.
const TLS_KEYS: [&str; 3] = ["ssl-ca", "ssl-cert", "ssl-key"];

/// Reads `redis://`, `rediss://` and `unix://` URLs. `Stopped` if one makes no sense or a file of its cannot be read.
pub(super) fn parse(url: &str) -> Result<ConnectionInfo, JournalError> {
    let nonsense = || stopped("the URL of Redis makes no sense".to_owned());
    let Some((start, rest)) = url.split_once('?').filter(|_| url.starts_with("rediss:")) else {
        return url.into_connection_info().map_err(|_| nonsense());
    };
    let (mut files, mut others) = ([None, None, None], Vec::new());
    for pair in rest.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match TLS_KEYS.iter().position(|known| *known == key) {
            Some(place) => files[place] = Some(file(key, value)?),
            None if key == "protocol" => others.push(pair),
            // A mistyped ssl-ca must not mean "any that the system trusts".
            None => {
                let known = TLS_KEYS.join(", ");
                return Err(stopped(format!(
                    "the URL of Redis has {key:?} after its ?, which knows {known}"
                )));
            }
        }
    }
    let end = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    let info = format!("{start}{end}").into_connection_info().map_err(|_| nonsense())?;
    let [root_cert, client_cert, client_key] = files;
    let client_tls = match (client_cert, client_key) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        _ => return Err(stopped("the URL of Redis has one of ssl-cert and ssl-key and not both".to_owned())),
    };
    if root_cert.is_none() && client_tls.is_none() {
        return Ok(info);
    }
    let client = Client::build_with_tls(info, TlsCertificates { client_tls, root_cert });
    let client =
        client.map_err(|error| stopped(format!("the files of Redis' TLS are of no use: {error}")))?;
    Ok(client.get_connection_info().clone())
}

fn file(key: &str, path: &str) -> Result<Vec<u8>, JournalError> {
    let text = fs::read(path).map_err(|error| stopped(format!("{key} of Redis, {path}: {error}")))?;
    if text.windows(10).any(|part| part == b"-----BEGIN") {
        return Ok(text);
    }
    Err(stopped(format!("{key} of Redis, {path}: holds no certificate or key in PEM")))
}

fn stopped(what: String) -> JournalError {
    JournalError::Stopped { what, source: None }
}

/// Where it is, without secrets.
pub(super) fn describe(addr: &ConnectionAddr, db: i64) -> String {
    match addr {
        ConnectionAddr::Tcp(host, port) => format!("redis://{host}:{port}/{db}"),
        ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{host}:{port}/{db}"),
        ConnectionAddr::Unix(path) => format!("unix:{}?db={db}", path.display()),
        _ => "redis:".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, expected) in [
            ("redis://:secret@host:7/2", "redis://host:7/2"),
            ("rediss://user:secret@host", "rediss://host:6379/0"),
            ("unix:///run/redis.sock?db=3&user=u&pass=secret", "unix:/run/redis.sock?db=3"),
            ("redis+unix:///run/redis.sock", "unix:/run/redis.sock?db=0"),
        ] {
            let info = parse(url).unwrap();
            assert_eq!(describe(info.addr(), info.redis_settings().db()), expected);
        }
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_with_it_and_keeps_the_secret() {
        for (url, expected) in [
            ("redis://:secret@host:port", "makes no sense"),
            ("rediss://:secret@host/0?sslca=/x", "sslca"),
            ("rediss://:secret@host/0?ssl-ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("rediss://:secret@host/0?ssl-ca=/proc/self/status", "PEM"),
            ("rediss://:secret@host/0?ssl-cert=/proc/self/status", "PEM"),
        ] {
            let error = format!("{:?}", parse(url).unwrap_err());
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
