//! The table of settings: every key once, with its default and its meaning. Flags, environment variables,
//! `farerush.toml` and `--help` follow from it. Never reads any of them.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, such as `data_dir`; a dot would separate a group from its member.
    pub name: &'static str,
    /// What holds if nobody says anything, as it would be written.
    pub default: &'static str,
    /// What it means, for `--help` and the README.
    pub doc: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

const fn key(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, default, doc, secret: false }
}

impl Key {
    /// Its flag without the leading dashes: `data-dir`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// Its environment variable: `FARERUSH_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// What all environment variables of Farerush begin with.
pub const VARIABLE_PREFIX: &str = "FARERUSH_";
/// Variables with this prefix belong to the tests, unless a setting is called so.
pub const TEST_VARIABLE_PREFIX: &str = "FARERUSH_TEST_";

/// All settings.
pub const KEYS: &[Key] = &[
    key("listen", "127.0.0.1:8080", "address of the HTTP server; port 0 takes a free one"),
    key(
        "ops_listen",
        "none",
        "a second address, for /livez, /readyz and /metrics alone, served by a thread of its own",
    ),
    key(
        "instance",
        "host name and process id",
        "what this server is called among those of its kind: in traces (service.instance.id), and where it registers itself",
    ),
    key("data_dir", "./data", "where the embedded parts live"),
    Key {
        secret: true,
        ..key(
            "journal",
            "file:<data_dir>/journal",
            "where events become durable: file:<directory>, redis://[[user]:password@]host[:port][/db] (rediss:// with TLS, unix://<path> for a socket), redis+sentinel://[[user]:password@]host:port,host:port/name[/db], redis+cluster://[[user]:password@]host:port,host:port or memory:",
        )
    },
    Key {
        secret: true,
        ..key(
            "store",
            "sqlite:<data_dir>/farerush.db",
            "the SQL side: sqlite:<file> or mysql://user:password@host[:port]/database",
        )
    },
    key(
        "journal_adopt",
        "none",
        "the id of the store's old journal, which is lost, so that the store becomes this journal's; the refusal of a \
         start without it names the id",
    ),
    Key {
        secret: true,
        ..key(
            "store_read",
            "none",
            "a replica that serves the lists: mysql://user:password@host[:port]/database",
        )
    },
    key(
        "store_read_lag_max_ms",
        "10000",
        "how far the replica may be behind; while it is further, or away, the primary serves the lists",
    ),
    key(
        "store_connections",
        "4",
        "most connections that read from the store, from 2; admins' searches have at most half of them",
    ),
    key(
        "backlog_bytes_max",
        "268435456",
        "most bytes of events that wait in memory for the store; what is beyond waits in the journal alone",
    ),
    key(
        "redis_wait_replicas",
        "0",
        "replicas of Redis that must have an event before it counts as durable: all that may ever be promoted, because a \
         fail-over to one that was not waited for loses acknowledged orders; with more replicas than that, a start warns",
    ),
    key(
        "redis_allow_unsafe",
        "false",
        "start and sell although Redis may lose what it confirms as it is set up, or cannot be asked (no CONFIG); else it is refused",
    ),
    key("start_timeout_ms", "60000", "how long a start waits for Redis and MySQL"),
    key(
        "store_start_timeout_ms",
        "10000",
        "how long a start waits for MySQL before it comes up from the journal alone, if that has flights",
    ),
    Key {
        secret: true,
        ..key(
            "id_secret",
            "none",
            "what order ids are made of: 64 hexadecimal digits, the same for all servers that share flights; behind it, with \
             commas between, those that were in use before",
        )
    },
    key(
        "id_secret_file",
        "made at first start, in <data_dir>/id.secret",
        "a file with what order ids are made of, for its owner alone: a secret a line, the one in use first",
    ),
    key("durability", "journal", "when a reply may leave: memory, journal or store"),
    Key {
        secret: true,
        ..key(
            "admin_token",
            "made at first start, in <data_dir>/admin.token",
            "bearer token of /v1/admin, 16 to 256 characters",
        )
    },
    key(
        "customer_auth",
        "open",
        "open: the body names the customer, and nobody checks it; jwt: the bearer token's sub is the customer",
    ),
    key(
        "allow_open",
        "false",
        "listen on an address that others can reach although customer_auth is open; else that is an error",
    ),
    Key {
        secret: true,
        ..key("jwt_key", "none", "the secret of customers' tokens signed with HS256, 32 to 1024 bytes")
    },
    key(
        "jwt_public_key_file",
        "none",
        "the public key of customers' tokens, in PEM: RSA (they are signed with RS256) or Ed25519 (EdDSA)",
    ),
    key("jwt_audience", "none", "the aud that customers' tokens must have; without it, none may have one"),
    key("jwt_issuer", "none", "the iss that customers' tokens must have"),
    key(
        "demo",
        "true on the embedded default, else false",
        "an empty system starts with a few flights on sale",
    ),
    key(
        "test_payment",
        "true on the embedded demo, else false",
        "whether customers may confirm orders by a test payment, in which no money moves; else only an operator's token does",
    ),
    key(
        "rate_limit_per_customer",
        "none",
        "requests a second of one customer, as many at once; beyond it RATE_LIMITED",
    ),
    key(
        "rate_limit_per_address",
        "none",
        "requests a second of one address (or one IPv6 network of 64 bits), as many at once; beyond it RATE_LIMITED",
    ),
    key(
        "rate_limit_per_token",
        "none",
        "requests a second with one admin token, as many at once; beyond it RATE_LIMITED",
    ),
    key(
        "things_per_address",
        "16384",
        "where customer_auth is open: orders, idempotency keys and places on the waitlist that one address may cause on one \
         flight within a day, a number or none; beyond it QUOTA_EXCEEDED",
    ),
    key(
        "trusted_proxies",
        "none",
        "whose X-Forwarded-For is believed: addresses and networks such as 10.0.0.0/8, with commas between",
    ),
    key(
        "hosts",
        "none",
        "names that this server answers as (Host) besides the address it listens on and the loopback names, with commas \
         between, such as shop.example; * for any. Where it listens on all addresses, every address is one of its own",
    ),
    key(
        "cors_origins",
        "none",
        "whose web pages may use this server and change something here (CORS) besides its own: origins such as https://shop.example, with commas between, or *",
    ),
    key(
        "max_connections",
        "20000",
        "open connections; for a further one, the one ends that has waited for its client for longest",
    ),
    key(
        "max_connections_per_address",
        "a quarter of max_connections",
        "those of one address (or one IPv6 network of 64 bits), a number or none; for a further one its own idle one ends; \
         not for trusted_proxies, nor by default for this machine's own addresses",
    ),
    key("live_readers_max", "20000", "readers of live events at once; beyond it OVERLOADED"),
    key("log_format", "text", "text or json"),
    key("log_filter", "info", "what is logged, such as info or farerush=debug,warn"),
    key("access_log", "false", "a log line for every request"),
    Key {
        secret: true,
        ..key("webhook_url", "none", "where webhooks are posted: http://host[:port]/path or https://...")
    },
    Key {
        secret: true,
        ..key(
            "webhook_secret",
            "none",
            "what webhooks are signed with, 32 to 256 characters; needed with webhook_url",
        )
    },
    key(
        "webhook_events",
        "all",
        "which webhooks are sent: all, or some of order.held, order.confirmed, order.expired, order.cancelled, \
         order.changed, flight.sold_out, with commas between",
    ),
    key("webhook_timeout_ms", "10000", "how long the receiver of webhooks may take for one"),
    key(
        "webhook_lag_events_max",
        "5000000",
        "most events of a flight that the journal keeps for webhooks alone while their receiver is away; beyond it \
         they are lost, and the receiver is told which",
    ),
    key("otlp_endpoint", "none", "where traces go, OTLP over HTTP, such as http://127.0.0.1:4318"),
    key(
        "trace_sample_ratio",
        "0.01",
        "which share of requests is traced, 0 to 1; a `traceparent` that says so decides instead",
    ),
    key(
        "consul",
        "none",
        "a Consul agent with which this server registers itself while it is ready, such as http://127.0.0.1:8500",
    ),
    key("consul_service", "farerush", "the name of the service under which it does"),
    key(
        "consul_address",
        "none",
        "where others reach this server, a host or host:port, if that is not what it listens on; where that is all addresses, \
         the agent's own counts",
    ),
    key(
        "consul_check",
        "none",
        "what Consul asks whether this server is ready, if not http://<ops_listen or listen>/readyz",
    ),
    Key { secret: true, ..key("consul_token", "none", "the token that the Consul agent wants to see") },
    key(
        "request_timeout_ms",
        "5000",
        "how long a request may wait for its outcome before it is answered OUTCOME_UNKNOWN",
    ),
    key("header_timeout_ms", "10000", "how long a client may take for a request's headers"),
    key("idle_timeout_ms", "75000", "how long a connection may stay open without a request"),
    key("body_timeout_ms", "10000", "how long a client may take for a request's body"),
    key(
        "answer_timeout_ms",
        "10000",
        "how long an answer may stand still because its client takes nothing of it; all of it may take so long and a \
         second for every 4096 bytes",
    ),
    key("body_bytes_max", "65536", "largest request body, in bytes"),
    key("import_bytes_max", "16777216", "largest file of flights that is imported, in bytes"),
    key("header_bytes_max", "32768", "largest request line with headers, in bytes"),
    key("permits_per_flight", "16384", "commands of one flight in flight at once; beyond it OVERLOADED"),
    key("permits_overall", "32768", "commands of all flights in flight at once; beyond it OVERLOADED"),
    key("actor_threads", "cores", "threads for the flights' actors: a number, or cores"),
    key(
        "commit_pause_us",
        "200",
        "how long a journal round waits for more when many requests are under way, in microseconds",
    ),
    key(
        "lease_ms",
        "600",
        "where servers share a Redis: how long after a server was last heard of there the others take its flights over, and how \
         long it shows them without hearing from Redis itself",
    ),
    key(
        "peer_listen",
        "auto",
        "where servers share a Redis: address at which the others hand on what they are asked about this one's flights; auto: a \
         free port of the address from which Redis is reached; none: nobody hands anything on, and each server answers for its \
         own flights alone",
    ),
    key("peer_address", "auto", "where the others reach peer_listen, if that is not the address itself"),
    Key {
        secret: true,
        ..key(
            "cluster_secret",
            "made of id_secret",
            "what servers show each other before anything is handed on, the same for all that share a Redis: 32 to 256 characters",
        )
    },
    key(
        "take_over_delay_ms",
        "0",
        "how long a start that shares a Redis goes on leaving flights to those who have them, once a request for one has reached \
         it (or a minute has passed), so that balancers find it first; 0: it takes them before it is ready",
    ),
    key(
        "drain_delay_ms",
        "0",
        "how long a stop goes on serving while /readyz says 503, so that balancers move away; at most half of \
         stop_timeout_ms",
    ),
    key("stop_timeout_ms", "9000", "how long a stop may take before the rest is left to recovery"),
];

/// The key with this name.
pub(super) fn key_named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
