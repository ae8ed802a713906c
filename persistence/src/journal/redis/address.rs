//! Where the Redis servers are, as their URL says: one, those that sentinels name, or a cluster; with the files that TLS wants.
//! Never shows a password: what the crate says about a bad URL may hold one, and is not passed on.

use std::fs;

use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    TlsCertificates,
};
use farerush_engine::journal::JournalError;

/// What may follow the `?` of a URL over TLS, as with MySQL.
const TLS_KEYS: [&str; 3] = ["ssl-ca", "ssl-cert", "ssl-key"];
/// And of one that names several servers.
const TLS: &str = "tls";
const PROTOCOL: &str = "protocol";
const SENTINEL_USER: &str = "sentinel-user";
const SENTINEL_PASSWORD: &str = "sentinel-password";

/// A server's host and port.
pub(super) type Address = (String, u16);

/// How the servers are found.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// It is this one, or whoever stands behind its name.
    One(ConnectionInfo),
    /// Sentinels say which it is.
    Sentinel {
        /// How sentinels are connected to, but for the address.
        ask: Box<ConnectionInfo>,
        /// Where they are.
        sentinels: Vec<Address>,
        /// What they call it.
        name: String,
        /// How the primary is connected to, but for the address.
        info: ConnectionInfo,
    },
    /// A cluster, each of whose nodes says where the others are.
    Cluster {
        /// How a node is connected to, but for the address.
        info: ConnectionInfo,
        /// Nodes that are asked first.
        seeds: Vec<Address>,
    },
}

/// What a URL says behind its `?`.
#[derive(Default)]
struct Options {
    files: [Option<Vec<u8>>; 3],
    has_tls: bool,
    protocol: Option<String>,
    sentinel_user: String,
    sentinel_password: String,
}

/// Reads `redis://`, `rediss://`, `unix://`, `redis+sentinel://` and `redis+cluster://` URLs, and the last two as `rediss+`.
/// `Stopped` if one makes no sense or a file of its cannot be read.
pub(super) fn parse(url: &str) -> Result<Place, JournalError> {
    match url.split_once("://") {
        Some((scheme @ ("redis+sentinel" | "rediss+sentinel"), rest)) => {
            of_sentinels(rest, scheme.starts_with("rediss"))
        }
        Some((scheme @ ("redis+cluster" | "rediss+cluster"), rest)) => {
            of_cluster(rest, scheme.starts_with("rediss"))
        }
        _ => one(url).map(Place::One),
    }
}

fn one(url: &str) -> Result<ConnectionInfo, JournalError> {
    let Some((start, rest)) = url.split_once('?').filter(|_| url.starts_with("rediss:")) else {
        return url.into_connection_info().map_err(|_| nonsense());
    };
    let options = options(rest, &[&TLS_KEYS[..], &[PROTOCOL]].concat())?;
    let end = options.protocol.as_ref().map_or(String::new(), |protocol| format!("?protocol={protocol}"));
    let info = format!("{start}{end}").into_connection_info().map_err(|_| nonsense())?;
    with_files(info, options.files)
}

/// `[user:password@]host:port,host:port/name[/db][?...]`
fn of_sentinels(rest: &str, has_tls: bool) -> Result<Place, JournalError> {
    let known = [&TLS_KEYS[..], &[TLS, PROTOCOL, SENTINEL_USER, SENTINEL_PASSWORD]].concat();
    let (rest, options) = without_options(rest, &known, has_tls)?;
    let (authority, path) = rest.split_once('/').ok_or_else(nonsense)?;
    let (name, db) = path.split_once('/').unwrap_or((path, "0"));
    if name.is_empty() || db.parse::<u32>().is_err() {
        return Err(stopped(
            "the URL of Redis names no primary behind its sentinels, as host:port/name".into(),
        ));
    }
    let (user, sentinels) = hosts(authority, 26_379)?;
    let sentinel_user = match (&options.sentinel_user, &options.sentinel_password) {
        (user, password) if user.is_empty() && password.is_empty() => String::new(),
        (user, password) => format!("{user}:{password}@"),
    };
    let info = template(user, db, &options)?;
    let ask = template(&sentinel_user, "0", &options)?;
    Ok(Place::Sentinel { ask: Box::new(ask), sentinels, name: name.to_owned(), info })
}

/// `[user:password@]host:port,host:port[/0][?...]`
fn of_cluster(rest: &str, has_tls: bool) -> Result<Place, JournalError> {
    let (rest, options) = without_options(rest, &[&TLS_KEYS[..], &[TLS, PROTOCOL]].concat(), has_tls)?;
    let (authority, db) = rest.split_once('/').unwrap_or((rest, "0"));
    if !matches!(db, "" | "0") {
        return Err(stopped("the URL of Redis names a database, of which a cluster has only 0".into()));
    }
    let (user, seeds) = hosts(authority, 6_379)?;
    Ok(Place::Cluster { info: template(user, "0", &options)?, seeds })
}

fn without_options<'a>(
    rest: &'a str,
    known: &[&str],
    has_tls: bool,
) -> Result<(&'a str, Options), JournalError> {
    let (rest, mut found) = match rest.split_once('?') {
        Some((rest, found)) => (rest, options(found, known)?),
        None => (rest, Options::default()),
    };
    found.has_tls |= has_tls;
    if !found.has_tls && found.files.iter().any(Option::is_some) {
        return Err(stopped(
            "the URL of Redis has files for TLS and no TLS: write rediss+, or tls=true".into(),
        ));
    }
    Ok((rest, found))
}

/// User and password with their `@`, and the addresses.
fn hosts(authority: &str, port: u16) -> Result<(&str, Vec<Address>), JournalError> {
    let (user, places) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    let addresses: Option<Vec<Address>> = places.split(',').map(|place| address(place, port)).collect();
    addresses.map(|addresses| (user, addresses)).ok_or_else(nonsense)
}

fn address(place: &str, port: u16) -> Option<Address> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, number)) if !number.ends_with(']') => (host, number.parse().ok()?),
        _ => (place, port),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// How to connect, but for the address.
fn template(user: &str, db: &str, options: &Options) -> Result<ConnectionInfo, JournalError> {
    let scheme = if options.has_tls { "rediss" } else { "redis" };
    let end = options.protocol.as_ref().map_or(String::new(), |protocol| format!("?protocol={protocol}"));
    let info =
        format!("{scheme}://{user}server:1/{db}{end}").into_connection_info().map_err(|_| nonsense())?;
    with_files(info, options.files.clone())
}

fn options(text: &str, known: &[&str]) -> Result<Options, JournalError> {
    let mut options = Options::default();
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&key) {
            // A mistyped ssl-ca must not mean "any that the system trusts".
            let known = known.join(", ");
            return Err(stopped(format!("the URL of Redis has {key:?} after its ?, which knows {known}")));
        }
        match key {
            TLS => match value {
                "true" => options.has_tls = true,
                "false" => {}
                _ => return Err(stopped("tls of Redis is neither true nor false".to_owned())),
            },
            PROTOCOL => options.protocol = Some(value.to_owned()),
            SENTINEL_USER => value.clone_into(&mut options.sentinel_user),
            SENTINEL_PASSWORD => value.clone_into(&mut options.sentinel_password),
            key => {
                if let Some(place) = TLS_KEYS.iter().position(|known| *known == key) {
                    options.files[place] = Some(file(key, value)?);
                }
            }
        }
    }
    Ok(options)
}

fn with_files(info: ConnectionInfo, files: [Option<Vec<u8>>; 3]) -> Result<ConnectionInfo, JournalError> {
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

/// How to connect to this server, as the template says.
pub(super) fn at(template: &ConnectionInfo, (host, port): &Address) -> ConnectionInfo {
    let (host, port) = (host.clone(), *port);
    let addr = match template.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    template.clone().set_addr(addr)
}

impl Place {
    /// The same with what every connection has.
    pub(super) fn prepared(self) -> Self {
        let prepare = |info: ConnectionInfo| {
            let tcp = info.tcp_settings().clone().set_nodelay(true);
            let redis = info.redis_settings().clone().set_skip_set_lib_name();
            info.set_tcp_settings(tcp).set_redis_settings(redis)
        };
        match self {
            Self::One(info) => Self::One(prepare(info)),
            Self::Sentinel { ask, sentinels, name, info } => {
                // The oldest of the protocols, which every sentinel speaks.
                let ask = prepare(*ask);
                let settings = ask.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
                let ask = Box::new(ask.set_redis_settings(settings));
                Self::Sentinel { ask, sentinels, name, info: prepare(info) }
            }
            Self::Cluster { info, seeds } => Self::Cluster { info: prepare(info), seeds },
        }
    }

    /// Where it is, without secrets.
    pub(super) fn describe(&self) -> String {
        let all = |addresses: &[Address]| {
            let shown: Vec<String> =
                addresses.iter().map(|(host, port)| format!("{}:{port}", bracketed(host))).collect();
            shown.join(",")
        };
        let s = |info: &ConnectionInfo| match info.addr() {
            ConnectionAddr::TcpTls { .. } => "s",
            _ => "",
        };
        match self {
            Self::One(info) => describe(info.addr(), info.redis_settings().db()),
            Self::Sentinel { sentinels, name, info, .. } => {
                let db = info.redis_settings().db();
                format!("redis{}+sentinel://{}/{name}/{db}", s(info), all(sentinels))
            }
            Self::Cluster { info, seeds } => format!("redis{}+cluster://{}", s(info), all(seeds)),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn nonsense() -> JournalError {
    stopped("the URL of Redis makes no sense".to_owned())
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
fn describe(addr: &ConnectionAddr, db: i64) -> String {
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
            (
                "redis+sentinel://user:secret@one,[::1]:2/sale/3?sentinel-password=secret",
                "redis+sentinel://one:26379,[::1]:2/sale/3",
            ),
            ("redis+sentinel://one:1/sale?tls=true", "rediss+sentinel://one:1/sale/0"),
            ("rediss+cluster://:secret@one:1,two", "rediss+cluster://one:1,two:6379"),
        ] {
            assert_eq!(parse(url).unwrap().describe(), expected);
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
            ("redis+sentinel://:secret@host:1", "makes no sense"),
            ("redis+sentinel://:secret@host:1/", "names no primary"),
            ("redis+sentinel://:secret@host:port/sale", "makes no sense"),
            ("redis+sentinel://:secret@host:1/sale?tls=secre", "neither true nor false"),
            ("redis+sentinel://:secret@host:1/sale?sentinel=x", "sentinel-password"),
            ("redis+cluster://:secret@host:1/2", "has only 0"),
            ("redis+cluster://:secret@host:1?sentinel-user=x", "sentinel-user"),
        ] {
            let error = format!("{:?}", parse(url).unwrap_err());
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
