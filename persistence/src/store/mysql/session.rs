//! Pools, what each connection is told first, and what a server's settings mean for what was committed.
//! Never leaves to the server what the store relies on: strict mode, isolation and limits are set on every connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::behind::Behind;
use super::link::within;
use super::nodelay;
use super::url::ServerAddress;
use crate::store::options::StoreOptions;

/// Most connections that write. One flush runs at a time; the others are for claims, and for when one has hung.
const WRITERS_MAX: u32 = 4;
/// A connection is replaced at this age, so that a fail-over behind a name is found in the end.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 60);
/// One that was not used for so long is closed here, before the server does it.
const IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// And the server closes what is idle for so long (or for its own `wait_timeout`, if that is less).
const READER_IDLE_SECONDS_MAX: u64 = 600;
/// The same for a connection that writes: a process that sleeps or has vanished in the middle of a transaction holds
/// the locks on its flights' cursors no longer than this, and a new owner waits no longer for them. Between the
/// statements of one transaction there is never that much time; a connection that was closed meanwhile is noticed
/// by the ping before it is used.
const WRITER_IDLE_SECONDS_MAX: u64 = 2;
/// How long a connection may take to show that it is alive before it is used.
const PING_LIMIT: Duration = Duration::from_secs(1);

/// What a pool's connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Claims and flushes: each statement sees what was last committed; rows that matter are locked.
    Writer,
    /// Reads: a transaction sees one moment.
    Reader,
    /// The same, for what is asked beside all others: one connection.
    Watch,
}

/// A pool of connections to this place; none is made yet.
pub(super) fn pool(
    place: &ServerAddress,
    role: Role,
    options: &StoreOptions,
    behind: &Arc<Behind>,
) -> MySqlPool {
    let session = Session { role, timeout: options.timeout };
    let ping_limit = PING_LIMIT.min(options.timeout);
    let connect = place
        .connect
        .clone()
        .pipes_as_concat(false) // the whole sql_mode is set below
        .no_engine_substitution(false)
        .disable_statement_logging(); // statements of 512 rows
    let connections_max = match role {
        Role::Writer => WRITERS_MAX,
        Role::Reader => options.reading_connections(),
        Role::Watch => 1,
    };
    let (asked, found) = (Arc::clone(behind), Arc::clone(behind));
    // None where it is a file in the file system.
    let port = connect.get_socket().is_none().then(|| connect.get_port());
    MySqlPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(options.timeout)
        .max_lifetime(LIFETIME_MAX)
        .idle_timeout(IDLE_MAX)
        // Tested below instead, with a limit: a peer that is gone must not use up all the time there is.
        .test_before_acquire(false)
        .before_acquire(move |connection, its| {
            let is_outdated = asked.is_outdated(its.age);
            Box::pin(async move { Ok(!is_outdated && within(ping_limit, connection.ping()).await.is_ok()) })
        })
        .after_connect(move |connection, _| {
            let found = Arc::clone(&found);
            Box::pin(async move {
                if let Some(port) = port {
                    // What becomes of it is no reason not to use the connection.
                    let _ = tokio::task::spawn_blocking(move || nodelay::send_at_once(port)).await;
                }
                session.prepare(connection).await?;
                if role == Role::Writer {
                    found.leads_to(name_of_server(connection).await?);
                }
                Ok(())
            })
        })
        .connect_lazy_with(connect)
}

/// What every connection of a role is told first.
#[derive(Clone, Copy)]
struct Session {
    role: Role,
    timeout: Duration,
}

impl Session {
    /// `idle_seconds` is what the server allows an idle connection by itself.
    fn commands(self, idle_seconds: u64) -> [String; 2] {
        let (isolation, idle_max) = match self.role {
            Role::Writer => ("READ COMMITTED", WRITER_IDLE_SECONDS_MAX),
            Role::Reader | Role::Watch => ("REPEATABLE READ", READER_IDLE_SECONDS_MAX),
        };
        let idle_seconds = idle_seconds.clamp(1, idle_max);
        // Whole seconds, at least one. Rows that are locked, then tables that somebody is altering.
        let seconds = (self.timeout.as_secs() + u64::from(self.timeout.subsec_nanos() > 0)).max(1);
        [
            format!(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
                 SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}, \
                 SESSION wait_timeout = {idle_seconds}"
            ),
            format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}"),
        ]
    }

    async fn prepare(self, connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        // Asked for and compared here: what an expression over a variable may be differs between servers.
        let allowed: i64 = sqlx::query("SELECT CAST(@@SESSION.wait_timeout AS SIGNED)")
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        for command in self.commands(u64::try_from(allowed).unwrap_or(READER_IDLE_SECONDS_MAX)) {
            // Safe: made of constants and numbers.
            connection.execute(AssertSqlSafe(command)).await?;
        }
        Ok(())
    }
}

/// What tells a server from others, in words that all of them know; empty if it does not say.
async fn name_of_server(connection: &mut MySqlConnection) -> Result<String, sqlx::Error> {
    let sql = "SELECT CAST(CONCAT(@@hostname, ':', @@port, ' (', @@server_id, ')') AS CHAR)";
    match sqlx::query(sql).fetch_one(connection).await {
        Ok(row) => Ok(row.try_get(0).unwrap_or_default()),
        Err(sqlx::Error::Database(_)) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Connects once, says what is wrong, and warns of settings that weaken what the store promises.
pub(super) async fn check(place: &ServerAddress, timeout: Duration) -> Result<(), sqlx::Error> {
    let mut connection = within(timeout, place.connect.connect()).await?;
    let looked = async {
        Session { role: Role::Writer, timeout }.prepare(&mut connection).await?;
        // Listed, not selected: one that a server does not have (MySQL is about to drop `binlog_format`) is left out
        // then, and the others are looked at all the same.
        let sql = "SHOW VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', \
                   'read_only', 'sql_mode', 'binlog_format')";
        let mut settings = HashMap::new();
        for row in sqlx::query(sql).fetch_all(&mut connection).await? {
            settings.insert(row.try_get::<String, _>(0)?.to_lowercase(), row.try_get::<String, _>(1)?);
        }
        Ok(ServerSettings(settings))
    };
    match within(timeout, looked).await {
        Ok(settings) => {
            for warning in settings.warnings() {
                tracing::warn!(store = %place, warning, "a setting of the server");
            }
        }
        // Not every server that speaks the protocol has these settings.
        Err(error @ sqlx::Error::Database(_)) => {
            tracing::warn!(store = %place, %error, "the server's settings cannot be read");
        }
        Err(error) => return Err(error),
    }
    let _ = within(PING_LIMIT, connection.close()).await;
    Ok(())
}

/// What a server says of itself, as far as it does.
struct ServerSettings(HashMap<String, String>);

impl ServerSettings {
    /// Whether it says so, and it is none of these.
    fn is_not(&self, name: &str, fine: &[&str]) -> bool {
        self.0.get(name).is_some_and(|value| !fine.iter().any(|fine| value.eq_ignore_ascii_case(fine)))
    }

    fn warnings(&self) -> Vec<&'static str> {
        const OFF: [&str; 2] = ["OFF", "0"];
        let binlog = self.is_not("log_bin", &OFF);
        let all = [
            (
                self.is_not("innodb_flush_log_at_trx_commit", &["1"]),
                "innodb_flush_log_at_trx_commit is not 1: a power failure may take commits back; the log is flushed \
                 (as far as the user may) before the journal is trimmed",
            ),
            (
                binlog && self.is_not("sync_binlog", &["1"]),
                "sync_binlog is not 1: a power failure may take commits back that the journal has let go of",
            ),
            (self.is_not("read_only", &OFF), "read_only is on: is this a replica? nothing may be stored"),
            (
                self.0.get("sql_mode").is_some_and(|mode| !mode.contains("STRICT_ALL_TABLES")),
                "sql_mode is not strict although it was set so: does a proxy keep it? values may be cut silently",
            ),
            (
                binlog && self.0.get("binlog_format").is_some_and(|format| format == "STATEMENT"),
                "binlog_format is STATEMENT: the store cannot write; use MIXED or ROW",
            ),
        ];
        all.into_iter().filter_map(|(is_so, warning)| is_so.then_some(warning)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server as it should be, but for these.
    fn settings(but: &[(&str, &str)]) -> ServerSettings {
        let mut all: HashMap<String, String> = [
            ("innodb_flush_log_at_trx_commit", "1"),
            ("log_bin", "ON"),
            ("sync_binlog", "1"),
            ("read_only", "OFF"),
            ("sql_mode", "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"),
            ("binlog_format", "ROW"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.extend(but.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        ServerSettings(all)
    }

    #[test]
    fn a_server_as_it_should_be_is_not_warned_of() {
        assert_eq!(settings(&[]).warnings(), [""; 0]);
        let without_binlog = [("log_bin", "OFF"), ("sync_binlog", "0"), ("binlog_format", "STATEMENT")];
        assert_eq!(settings(&without_binlog).warnings(), [""; 0]);
    }

    #[test]
    fn each_setting_that_weakens_the_store_is_named() {
        for (name, value) in [
            ("innodb_flush_log_at_trx_commit", "2"),
            ("sync_binlog", "0"),
            ("read_only", "ON"),
            ("sql_mode", ""),
            ("binlog_format", "STATEMENT"),
        ] {
            let warnings = settings(&[(name, value)]).warnings();
            assert!(warnings.len() == 1 && warnings[0].starts_with(name), "{name}: {warnings:?}");
        }
    }

    #[test]
    fn a_setting_that_a_server_does_not_have_hides_no_other() {
        let mut weak = settings(&[("sync_binlog", "0")]);
        weak.0.remove("binlog_format");
        assert!(weak.warnings().len() == 1 && weak.warnings()[0].starts_with("sync_binlog"));
    }

    #[test]
    fn locks_are_waited_for_in_whole_seconds() {
        let session = Session { role: Role::Writer, timeout: Duration::from_millis(10) };
        let [first, second] = session.commands(28_800);
        assert!(first.contains("innodb_lock_wait_timeout = 1,"), "{first}");
        assert!(second.ends_with("READ COMMITTED"));
    }

    #[test]
    fn a_connection_is_closed_for_idleness_when_the_server_or_its_role_says_so_whichever_is_sooner() {
        for (role, allowed, expected) in [
            (Role::Writer, 28_800, 2),
            (Role::Writer, 1, 1),
            (Role::Reader, 28_800, 600),
            (Role::Reader, 30, 30),
        ] {
            let [first, _] = Session { role, timeout: Duration::from_secs(1) }.commands(allowed);
            assert!(first.ends_with(&format!("wait_timeout = {expected}")), "{first}");
        }
    }
}
