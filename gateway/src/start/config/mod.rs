//! The settings: where each value came from, and what it means once it is checked.
//! Never opens, starts or creates anything.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farerush_engine::journal::Durability;

pub use self::peers::{PeerListen, PeerSettings};
pub use self::targets::{JournalTarget, StoreTarget};
use self::targets::{journal_target, mysql_url, store_target};
use crate::base::settings::{expand, whole};
use crate::edge::gate::Hosts;
use crate::parts::auth::settings as auth_settings;
use crate::parts::rate::{Proxies, RateLimits};
use crate::parts::webhooks::WebhookSettings;
use crate::start::consul::ConsulSettings;
use crate::start::id_secrets::IdSecretsSource;
use crate::wire::cors::Origins;

pub use crate::base::settings::{
    ConfigError, KEYS, Key, Origin, Secret, Sources, TEST_VARIABLE_PREFIX, VARIABLE_PREFIX, Value, Values,
};
pub use crate::parts::auth::settings::{CustomerAuth, JwtKey, JwtSettings};

/// How many connections one address may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionsPerAddress {
    /// A quarter of all, unless it is one of this machine.
    AQuarter,
    /// So many, whoever it is.
    Most(u32),
    /// As many as there are.
    All,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Address of the operators' own port.
    pub ops_listen: Option<SocketAddr>,
    /// What this server is called.
    pub instance: String,
    /// Registration with Consul, if it is wanted.
    pub consul: Option<ConsulSettings>,
    /// Where the embedded parts live.
    pub data_dir: PathBuf,
    /// Where events become durable.
    pub journal: JournalTarget,
    /// The id of a journal that is lost, whose store this one's becomes.
    pub journal_adopt: Option<String>,
    /// Where that stands of which ids are made.
    pub id_secrets: IdSecretsSource,
    /// The SQL side.
    pub store: StoreTarget,
    /// A replica of the store for the lists.
    pub store_read: Option<Secret>,
    /// Most connections that read from the store.
    pub store_connections: u32,
    /// How far that replica may be behind to serve lists.
    pub store_read_lag_max: Duration,
    /// Most bytes of events that wait for the store in memory, about.
    pub backlog_bytes_max: u32,
    /// Replicas of Redis that must have an event.
    pub redis_wait_replicas: u32,
    /// Whether a Redis that may lose what it confirms will do.
    pub redis_allow_unsafe: bool,
    /// How long a start waits for servers.
    pub start_timeout: Duration,
    /// How long a start waits for the store, if the journal alone would do.
    pub store_start_timeout: Duration,
    /// When a reply may leave.
    pub durability: Durability,
    /// The admin's token; `None`: the one in `<data_dir>/admin.token`.
    pub admin_token: Option<Secret>,
    /// How customers show who they are.
    pub customer_auth: CustomerAuth,
    /// Whether others may reach a server that believes everybody.
    pub allow_open: bool,
    /// How often anybody may ask.
    pub rate_limits: RateLimits,
    /// Whether an empty system starts with a few flights on sale.
    pub demo: bool,
    /// Whether customers may confirm orders by a payment that is only a test.
    pub test_payment: bool,
    /// What this server is called.
    pub hosts: Hosts,
    /// Whose web pages may use this server, if any.
    pub cors_origins: Option<Arc<Origins>>,
    /// Most open connections.
    pub max_connections: u32,
    /// Most of one address.
    pub connections_per_address_max: ConnectionsPerAddress,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged (the syntax of `tracing_subscriber::EnvFilter`).
    pub log_filter: String,
    /// Whether every request gets a log line.
    pub access_log: bool,
    /// Where spans are sent.
    pub otlp_endpoint: Option<String>,
    /// Which share of requests is traced, 0 to 1.
    pub trace_sample_ratio: f64,
    /// Webhooks, if any are wanted.
    pub webhooks: Option<WebhookSettings>,
    /// How long a request may wait for its outcome.
    pub request_timeout: Duration,
    /// How long a client may take for the headers.
    pub header_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// How long a client may take for the body.
    pub body_timeout: Duration,
    /// How long an answer may stand still because its client takes nothing of it.
    pub answer_timeout: Duration,
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// Largest file of flights that is imported, in bytes.
    pub import_bytes_max: usize,
    /// Largest request head, in bytes.
    pub header_bytes_max: usize,
    /// Most commands of one flight in flight.
    pub permits_per_flight: u32,
    /// Most commands in flight overall.
    pub permits_overall: u32,
    /// Threads for the flights' actors; `None`: as many as cores.
    pub actor_threads: Option<usize>,
    /// How long a journal round waits for more under pressure.
    pub commit_pause: Duration,
    /// Most live readers.
    pub live_readers_max: u32,
    /// The port for other servers.
    pub peering: PeerSettings,
    /// How long this server's flights are its own after it was last heard of, where others share the journal.
    pub lease: Duration,
    /// How long a start leaves flights to those who have them once it is asked; zero: it takes them before it serves.
    pub take_over_delay: Duration,
    /// How long a stop goes on serving before it begins.
    pub drain_delay: Duration,
    /// How long a stop may take.
    pub stop_timeout: Duration,
}

impl Settings {
    /// Reads all sources and checks what they say.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::from_values(&sources.resolve()?)
    }

    /// Checks values, one a key.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let data_dir = PathBuf::from(values.text("data_dir").unwrap_or("./data"));
        let journal = values.parse("journal", |text| journal_target(text, &data_dir))?;
        let store = values.parse("store", |text| store_target(text, &data_dir))?;
        let on_mysql = matches!(store, Some(StoreTarget::MySql(_)));
        let stop_timeout = values.parse("stop_timeout_ms", millis)?;
        let embedded = values.is_default("journal") && values.is_default("store");
        let demo = match values.text("demo") {
            None => embedded,
            Some(_) => values.parse("demo", yes_or_no)?,
        };
        let customer_auth = auth_settings::customer_auth(values, &data_dir)?;
        let (listen, (written, listens_on)) = values
            .parse("listen", |text| address(text).map(|address| (address, (text.to_owned(), address))))?;
        Ok(Self {
            listen,
            hosts: values.parse("hosts", Hosts::parse)?.listening_on(&written, listens_on),
            ops_listen: values.parse("ops_listen", |text| match text {
                "none" => Ok(None),
                _ => address(text).map(Some),
            })?,
            instance: match values.text("instance") {
                None => instance::default_instance(),
                Some(_) => values.parse("instance", instance::instance)?,
            },
            consul: ConsulSettings::from_values(values)?,
            journal: journal.unwrap_or_else(|| JournalTarget::File(data_dir.join("journal"))),
            store: store.unwrap_or_else(|| StoreTarget::Sqlite(data_dir.join("farerush.db"))),
            store_read: values.parse("store_read", |text| match text {
                "none" => Ok(None),
                _ if !on_mysql => Err("only a mysql:// store can have a replica".to_owned()),
                _ => mysql_url(text).map(Some),
            })?,
            journal_adopt: values.parse("journal_adopt", |text| match text {
                "none" => Ok(None),
                _ if farerush_persistence::journal::identity::is_id(text) => Ok(Some(text.to_owned())),
                _ => Err("must be 32 hexadecimal digits, as the refusal names them, or none".to_owned()),
            })?,
            id_secrets: id_secrets(values, &data_dir)?,
            store_read_lag_max: values.parse("store_read_lag_max_ms", millis)?,
            store_connections: values.parse("store_connections", |text| whole(text, 1, 1_000))?,
            backlog_bytes_max: values.parse("backlog_bytes_max", |text| whole(text, 65_536, u32::MAX))?,
            redis_wait_replicas: values.parse("redis_wait_replicas", |text| whole(text, 0, 100))?,
            redis_allow_unsafe: values.parse("redis_allow_unsafe", yes_or_no)?,
            start_timeout: values.parse("start_timeout_ms", millis)?,
            store_start_timeout: values.parse("store_start_timeout_ms", millis)?,
            durability: values.parse("durability", |text| match text {
                "memory" => Ok(Durability::Memory),
                "journal" => Ok(Durability::Journal),
                "store" => Ok(Durability::Store),
                _ => Err("must be memory, journal or store".to_owned()),
            })?,
            admin_token: match values.text("admin_token") {
                None => None,
                Some(_) => Some(values.parse("admin_token", admin_token)?),
            },
            test_payment: match values.text("test_payment") {
                None => demo && embedded && matches!(customer_auth, CustomerAuth::Open),
                Some(_) => values.parse("test_payment", yes_or_no)?,
            },
            customer_auth,
            allow_open: values.parse("allow_open", yes_or_no)?,
            rate_limits: RateLimits {
                per_customer: values.parse("rate_limit_per_customer", auth_settings::rate)?,
                per_address: values.parse("rate_limit_per_address", auth_settings::rate)?,
                per_token: values.parse("rate_limit_per_token", auth_settings::rate)?,
                things_per_address: values.parse("things_per_address", |text| match text {
                    "none" => Ok(None),
                    _ => whole(text, 1, 10_000_000).map(NonZeroU32::new),
                })?,
                trusted_proxies: values.parse("trusted_proxies", Proxies::parse)?,
            },
            demo,
            cors_origins: values.parse("cors_origins", Origins::parse)?.map(Arc::new),
            max_connections: values.parse("max_connections", |text| whole(text, 1, 1_000_000))?,
            connections_per_address_max: match values.text("max_connections_per_address") {
                None => ConnectionsPerAddress::AQuarter,
                Some(_) => values.parse("max_connections_per_address", |text| match text {
                    "none" => Ok(ConnectionsPerAddress::All),
                    _ => whole(text, 1, 1_000_000).map(ConnectionsPerAddress::Most),
                })?,
            },
            log_format: values.parse("log_format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("must be text or json".to_owned()),
            })?,
            log_filter: values.parse("log_filter", |text| {
                tracing_subscriber::EnvFilter::try_new(text).map_err(|error| error.to_string())?;
                Ok(text.to_owned())
            })?,
            access_log: values.parse("access_log", yes_or_no)?,
            otlp_endpoint: values.parse("otlp_endpoint", |text| match text {
                "none" => Ok(None),
                _ => crate::observe::traces::endpoint(text).map(Some),
            })?,
            trace_sample_ratio: values.parse("trace_sample_ratio", ratio)?,
            webhooks: WebhookSettings::from_values(values)?,
            request_timeout: values.parse("request_timeout_ms", millis)?,
            header_timeout: values.parse("header_timeout_ms", millis)?,
            idle_timeout: values.parse("idle_timeout_ms", millis)?,
            body_timeout: values.parse("body_timeout_ms", millis)?,
            answer_timeout: values.parse("answer_timeout_ms", millis)?,
            body_bytes_max: values.parse("body_bytes_max", |text| whole(text, 1024, 64 << 20))? as usize,
            import_bytes_max: values.parse("import_bytes_max", |text| whole(text, 1024, 256 << 20))? as usize,
            header_bytes_max: values.parse("header_bytes_max", |text| whole(text, 8192, 1 << 20))? as usize,
            permits_per_flight: values.parse("permits_per_flight", |text| whole(text, 1, 1_000_000))?,
            permits_overall: values.parse("permits_overall", |text| whole(text, 1, 1_000_000))?,
            actor_threads: values.parse("actor_threads", |text| match text {
                "cores" => Ok(None),
                _ => whole(text, 1, 256).map(|threads: u32| Some(threads as usize)),
            })?,
            commit_pause: values.parse("commit_pause_us", |text| {
                whole(text, 0, 1_000_000).map(|micros: u32| Duration::from_micros(u64::from(micros)))
            })?,
            live_readers_max: values.parse("live_readers_max", |text| whole(text, 0, 1_000_000))?,
            lease: values.parse("lease_ms", |text| {
                whole(text, 200, 60_000).map(|ms: u32| Duration::from_millis(u64::from(ms)))
            })?,
            peering: PeerSettings::of(values)?,
            take_over_delay: values.parse("take_over_delay_ms", |text| {
                whole(text, 0, 600_000).map(|ms: u32| Duration::from_millis(u64::from(ms)))
            })?,
            drain_delay: values.parse("drain_delay_ms", |text| {
                let delay = Duration::from_millis(whole(text, 0, 86_400_000)?.into());
                // The rest of the time belongs to what is in flight and to the store.
                if delay > stop_timeout / 2 {
                    return Err("must be at most half of stop_timeout_ms".to_owned());
                }
                Ok(delay)
            })?,
            stop_timeout,
            data_dir,
        })
    }
}

impl Settings {
    /// What an answer may promise: in a journal that is nothing but memory, nothing is kept, whatever is waited for.
    pub fn durability_kept(&self) -> Durability {
        match (&self.journal, self.durability) {
            (JournalTarget::Memory, Durability::Journal) => Durability::Memory,
            (_, durability) => durability,
        }
    }

    /// Whether it is meant that what Redis has confirmed may be lost with it: else a Redis that is not set up to keep it is
    /// refused.
    pub fn may_lose_what_redis_loses(&self) -> bool {
        self.redis_allow_unsafe || self.durability == Durability::Memory
    }
}

/// `None` says: the default.
fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn id_secrets(values: &Values, data_dir: &Path) -> Result<IdSecretsSource, ConfigError> {
    let given = values.text("id_secret").is_some_and(|text| text != "none");
    if given {
        let secret = values.parse("id_secret", |text| {
            if !values.is_default("id_secret_file") {
                return Err("must not be given together with id_secret_file".to_owned());
            }
            crate::start::id_secrets::parse(text).map(|_| Secret::new(text))
        })?;
        return Ok(IdSecretsSource::Given(secret));
    }
    let made = values.is_default("id_secret_file");
    let path = match values.text("id_secret_file") {
        None => data_dir.join("id.secret"),
        Some(text) => expand(text, data_dir),
    };
    Ok(IdSecretsSource::File { path, made })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let message = || "must be an address with a port, such as 127.0.0.1:8080".to_owned();
    text.to_socket_addrs().map_err(|_| message())?.next().ok_or_else(message)
}

fn admin_token(text: &str) -> Result<Secret, String> {
    if !(16..=256).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be 16 to 256 visible characters without spaces".to_owned());
    }
    Ok(Secret::new(text))
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 1, such as 0.01".to_owned()),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    whole(text, 1, 86_400_000).map(|number| Duration::from_millis(u64::from(number)))
}

mod instance;
mod peers;
mod targets;

#[cfg(test)]
mod tests;
