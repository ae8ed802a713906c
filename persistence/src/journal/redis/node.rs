//! One connection to one Redis server: made, looked at, and used for as long as every answer comes in time.
//! Never reads on after an answer is overdue: a late one could be taken for another's.

use std::time::Duration;

use ::redis::{Client, Connection, ConnectionInfo, RedisResult, Value, cmd};
use farerush_engine::journal::JournalError;

use super::address::{Address, Place, at};
use super::link::{or_error, unavailable};
use super::primaries::Primaries;

const CONNECT: &str = "connect to Redis";
/// How long a sentinel may take, at most: another one may know as well.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection to a primary.
pub(super) struct Node {
    /// Where it is; empty where there is only one.
    pub(super) address: Address,
    connection: Connection,
    /// Which connection it is.
    pub(super) generation: u64,
    /// Which primary it leads to.
    pub(super) primary: u64,
    /// Whether something was written on it that no replica was waited for.
    pub(super) has_written: bool,
}

impl Node {
    pub(super) fn send(&mut self, bytes: &[u8]) -> RedisResult<()> {
        self.connection.send_packed_command(bytes)
    }

    pub(super) fn answer(&mut self) -> RedisResult<Value> {
        self.connection.recv_response()
    }
}

/// What a server says of itself.
struct Said {
    /// Which process it is, and since which fail-over.
    who: String,
    is_master: bool,
}

/// Connects to the one primary there is, as it is found now.
pub(super) fn find(
    primaries: &Primaries,
    connect: Duration,
    response: Duration,
) -> Result<Node, JournalError> {
    match &primaries.place {
        // A replica is good enough for those who only read.
        Place::One(info) => {
            let (connection, said) = open(info, connect, response)?;
            node(primaries, (String::new(), 0), connection, &said.who)
        }
        Place::Sentinel { info, .. } => {
            let mut failed = None;
            for address in named(primaries, connect) {
                let found = address.and_then(|address| primary(&at(info, &address), connect, response));
                match found
                    .and_then(|(connection, who)| node(primaries, (String::new(), 0), connection, &who))
                {
                    Ok(node) => return Ok(node),
                    Err(error) => failed = Some(error),
                }
            }
            Err(failed.unwrap_or_else(|| unavailable(CONNECT, "no sentinel is named")))
        }
        Place::Cluster { .. } => Err(unavailable(CONNECT, "a cluster has no single primary")),
    }
}

/// Connects to a cluster's node, which has to be a primary.
pub(super) fn node_at(
    primaries: &Primaries,
    address: &Address,
    connect: Duration,
    response: Duration,
) -> Result<Node, JournalError> {
    let Place::Cluster { info, .. } = &primaries.place else {
        return Err(unavailable(CONNECT, "there is no cluster"));
    };
    let (connection, who) = primary(&at(info, address), connect, response)?;
    node(primaries, address.clone(), connection, &who)
}

fn node(
    primaries: &Primaries,
    address: Address,
    connection: Connection,
    who: &str,
) -> Result<Node, JournalError> {
    let (generation, primary) = primaries
        .connected(who)
        .ok_or_else(|| unavailable(CONNECT, "who is named as the primary was replaced, and does not know"))?;
    Ok(Node { address, connection, generation, primary, has_written: false })
}

fn primary(
    info: &ConnectionInfo,
    connect: Duration,
    response: Duration,
) -> Result<(Connection, String), JournalError> {
    let (connection, said) = open(info, connect, response)?;
    if !said.is_master {
        return Err(unavailable(
            CONNECT,
            "who is named as the primary is a replica (a fail-over is under way)",
        ));
    }
    Ok((connection, said.who))
}

/// Where sentinels say that the primary is, one after another, each asked only when its turn comes.
fn named(primaries: &Primaries, connect: Duration) -> impl Iterator<Item = Result<Address, JournalError>> {
    use std::sync::atomic::Ordering;
    let (count, first) = match &primaries.place {
        Place::Sentinel { sentinels, .. } => (sentinels.len(), primaries.sentinel.load(Ordering::Relaxed)),
        _ => (0, 0),
    };
    (0..count).map(move |turn| {
        let place = (usize::try_from(first).unwrap_or(0) + turn) % count;
        let address = ask_sentinel(primaries, place, connect)?;
        primaries.sentinel.store(place as u64, Ordering::Relaxed);
        Ok(address)
    })
}

fn ask_sentinel(primaries: &Primaries, place: usize, connect: Duration) -> Result<Address, JournalError> {
    let what = "ask a sentinel which Redis is the primary";
    let Place::Sentinel { ask, sentinels, name, .. } = &primaries.place else {
        return Err(unavailable(what, "there are none"));
    };
    let mut connection = connected(&at(ask, &sentinels[place]), connect.min(SENTINEL_TIMEOUT), what)?;
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer = said(&mut connection, &command.get_packed_command(), what)?;
    let (host, port) = &sentinels[place];
    match ::redis::from_redis_value::<Option<(String, u16)>>(or_error(what, answer)?) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(unavailable(what, format!("the sentinel at {host}:{port} knows no {name:?}"))),
        Err(error) => Err(unavailable(what, error)),
    }
}

/// Whether a sentinel says that the primary is elsewhere than it was thought to be. Who cannot be asked says nothing.
pub(super) fn has_moved(primaries: &Primaries, node: &Node, connect: Duration) -> bool {
    let peer = |address: &Address| {
        let Place::Sentinel { info, .. } = &primaries.place else { return None };
        primary(&at(info, address), connect, connect).ok()
    };
    let named = named(primaries, connect).find_map(Result::ok);
    // By who it is, not by where: a name may stand for another server by now.
    let found = named.and_then(|address| peer(&address)).and_then(|(_, who)| primaries.connected(&who));
    found.is_some_and(|(_, primary)| primary != node.primary)
}

/// Which node of a cluster has which slots, as this one says.
pub(super) fn slots(
    info: &ConnectionInfo,
    address: &Address,
    connect: Duration,
) -> Result<Value, JournalError> {
    let what = "ask a node of the Redis cluster for its slots";
    let mut connection = connected(&at(info, address), connect, what)?;
    let packed = cmd("CLUSTER").arg("SLOTS").get_packed_command();
    or_error(what, said(&mut connection, &packed, what)?)
}

fn connected(info: &ConnectionInfo, timeout: Duration, what: &str) -> Result<Connection, JournalError> {
    let client = Client::open(info.clone()).map_err(|e| unavailable(what, e))?;
    let connection = client.get_connection_with_timeout(timeout).map_err(|e| unavailable(what, e))?;
    set_timeouts(&connection, timeout).map_err(|e| unavailable(what, e))?;
    Ok(connection)
}

fn said(connection: &mut Connection, packed: &[u8], what: &str) -> Result<Value, JournalError> {
    connection.send_packed_command(packed).map_err(|e| unavailable(what, e))?;
    connection.recv_response().map_err(|e| unavailable(what, e))
}

fn set_timeouts(connection: &Connection, timeout: Duration) -> RedisResult<()> {
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))
}

fn open(
    info: &ConnectionInfo,
    connect: Duration,
    response: Duration,
) -> Result<(Connection, Said), JournalError> {
    let mut connection = connected(info, connect, CONNECT)?;
    // A stopped process still accepts connections, and one that is loading its data answers nothing but this.
    or_error(CONNECT, said(&mut connection, &cmd("PING").get_packed_command(), CONNECT)?)?;
    let mut packed = cmd("INFO").arg("server").get_packed_command();
    packed.extend(cmd("INFO").arg("replication").get_packed_command());
    connection.send_packed_command(&packed).map_err(|e| unavailable(CONNECT, e))?;
    let mut text = String::new();
    for _ in 0..2 {
        match connection.recv_response().map_err(|e| unavailable(CONNECT, e))? {
            Value::BulkString(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Value::VerbatimString { text: said, .. } => text.push_str(&said),
            // Who may not ask takes every connection for one to the same server.
            _ => {}
        }
        text.push('\n');
    }
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim).unwrap_or_default().to_owned()
    };
    set_timeouts(&connection, response).map_err(|e| unavailable(CONNECT, e))?;
    let who = format!("{} {}", field("run_id"), field("master_replid"));
    Ok((connection, Said { who, is_master: field("role") == "master" }))
}
