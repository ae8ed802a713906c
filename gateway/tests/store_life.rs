//! A store's life: connections run out, tables are locked and altered, the disk is full, the server turns read-only or
//! another one takes its place. All the while seats are sold by the real program with its own journal; nothing that was
//! acknowledged may be lost, no customer may meet an error, and the store catches up by itself.

#[path = "support/rig.rs"]
mod rig;
#[path = "../../persistence/tests/servers/mod.rs"]
mod servers;
#[path = "support/sql.rs"]
mod sql;
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rig::{Asked, send, start, until, verify};
use serde_json::Value;
use servers::{Flavour, Proxy, SqlServer};
use sql::Sql;
use support::process::{Gateway, Plan};
use tempfile::TempDir;

/// Flights on sale, of 180 seats each.
const FLIGHTS: usize = 40;
/// Pause between grabs.
const PACE: Duration = Duration::from_millis(15);
/// Grabs that must be acknowledged while the store is away.
const MEANWHILE: usize = 10;

/// Somebody who buys, one seat after the other, all the time.
struct Selling {
    bought: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    buyer: JoinHandle<()>,
}

impl Selling {
    fn start(address: SocketAddr) -> Self {
        let (bought, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (orders, stopping): (Arc<Mutex<BTreeSet<String>>>, _) = (Arc::clone(&bought), Arc::clone(&stop));
        let buyer = std::thread::spawn(move || {
            for grab in 0.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let request = format!("POST /v1/flights/FR{}/orders", grab % FLIGHTS);
                let key = format!("idempotency-key: k{grab}\r\n");
                let (status, order) = send(address, &request, &key, r#"{"customer_id":"u","quantity":1}"#);
                assert_eq!(status, 201, "a customer met an error: {order}");
                orders.lock().unwrap().insert(order["order_id"].as_str().unwrap().to_owned());
                std::thread::park_timeout(PACE);
            }
        });
        Self { bought, stop, buyer }
    }

    fn count(&self) -> usize {
        assert!(!self.buyer.is_finished(), "the buyer has met an error");
        self.bought.lock().unwrap().len()
    }

    /// Waits until some more were bought.
    fn goes_on(&self) {
        let before = self.count();
        until("seats are sold", || self.count() >= before + MEANWHILE);
    }

    fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.buyer.join().expect("the buyer has met an error");
        Arc::into_inner(self.bought).unwrap().into_inner().unwrap()
    }
}

/// A gateway with its own journal and a store on a server, that sells.
struct Shop {
    folder: TempDir,
    plan: Plan,
    gateway: Gateway,
    selling: Selling,
}

impl Shop {
    fn open(store: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = Plan::embedded(folder.path()).with("store", store).with("start_timeout_ms", "2000");
        for (key, value) in settings {
            plan = plan.with(key, value);
        }
        let migrated = plan.run("migrate");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let gateway = start(&plan);
        for flight in 0..FLIGHTS {
            gateway.create(&format!("FR{flight}"));
        }
        let selling = Selling::start(gateway.address());
        selling.goes_on();
        Self { folder, plan, gateway, selling }
    }

    fn store(&self) -> Value {
        self.gateway.get("/readyz").1["store"].clone()
    }

    /// Waits until the store is said to be away for one of these reasons, and sells meanwhile.
    fn is_away_because(&self, causes: &[&str]) {
        let mut said = Value::Null;
        until(&format!("the store is away because of one of {causes:?}"), || {
            said = self.store();
            let reason = said["reason"].as_str().unwrap_or_default();
            said["state"] == "down" && causes.iter().any(|cause| reason.contains(cause))
        });
        self.selling.goes_on();
        until(&format!("the log names one of {causes:?}"), || {
            let log = self.gateway.log_text();
            causes.iter().any(|cause| log.contains(cause))
        });
    }

    /// Waits until the store has all that was sold up to now, by itself, while more is sold.
    fn catches_up(&self) {
        let (_, status) = self.gateway.get("/v1/admin/status");
        let goals: Vec<Value> = status["flights"].as_array().unwrap().clone();
        self.selling.goes_on();
        until("the store catches up", || {
            let (_, now) = self.gateway.get("/v1/admin/status");
            let flights = now["flights"].as_array().unwrap();
            let is_there = |goal: &Value| {
                let its = flights.iter().find(|flight| flight["flight_id"] == goal["flight_id"]).unwrap();
                its["stored_seq"].as_u64() >= goal["durable_seq"].as_u64()
            };
            now["store"]["state"] == "up" && goals.iter().all(is_there)
        });
    }

    /// The list of all orders of the customer, once it is up to date, page by page.
    fn listed(&self) -> BTreeSet<String> {
        let mut orders = BTreeSet::new();
        let mut cursor = String::new();
        loop {
            let mut page = Value::Null;
            until("a page is up to date", || {
                let (status, answer) =
                    self.gateway.get(&format!("/v1/orders?customer_id=u&limit=200{cursor}"));
                page = answer;
                status == 200 && page["up_to_date"] == true
            });
            let ids = page["orders"].as_array().unwrap().iter();
            orders.extend(ids.map(|order| order["order_id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return orders,
            }
        }
    }

    /// Everything that was acknowledged is stored, and journal and store agree.
    fn close(self) {
        let listed = Self::listed;
        self.catches_up();
        let Self { folder, plan, gateway, selling } = self;
        let bought = selling.end();
        let shop = Self { folder, plan, gateway, selling: Selling::idle() };
        assert_eq!(listed(&shop), bought);
        let Self { folder, plan, gateway, .. } = shop;
        gateway.stop();
        let found = verify(&plan);
        assert!(found.contains("0 with a difference"), "{found}");
        drop(folder);
    }
}

impl Selling {
    /// Nobody.
    fn idle() -> Self {
        let (bought, stop) = (Arc::default(), Arc::new(AtomicBool::new(true)));
        Self { bought, stop, buyer: std::thread::spawn(|| ()) }
    }
}

fn as_root(server: &SqlServer) -> String {
    server.url().replace("farerush:farerush@", "root@")
}

/// A user as a gateway should have one: without the privileges that lift a server's limits.
fn plain(server: &SqlServer) -> String {
    let mut root = Sql::connect(&as_root(server));
    root.run("CREATE USER IF NOT EXISTS plain IDENTIFIED BY 'plain'");
    root.run("GRANT ALL PRIVILEGES ON farerush.* TO plain");
    server.url().replace("farerush:farerush@", "plain:plain@")
}

const PLAIN: &str = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = 'plain'";

/// Ends the gateway's connections, as a server that was restarted would.
fn end_connections(root: &mut Sql) {
    for id in root.numbers(PLAIN) {
        let _ = root.try_run(&format!("KILL {id}")); // it may have gone by itself
    }
}

fn connections_run_out(shop: &Shop, server: &SqlServer, root: &mut Sql) {
    root.run("SET GLOBAL max_connections = 12");
    let url = server.url().replace("farerush:farerush@", "other:other@");
    let mut held = Vec::new();
    until("others have all connections", || {
        end_connections(root);
        while let Ok(connection) = Sql::try_connect(&url) {
            held.push(connection);
        }
        shop.store()["state"] == "down"
    });
    shop.is_away_because(&["1040", "Too many connections"]);
    drop(held);
    root.run("SET GLOBAL max_connections = 100");
}

fn a_users_limit_is_reached(shop: &Shop, root: &mut Sql) {
    root.run("ALTER USER plain WITH MAX_QUERIES_PER_HOUR 1");
    end_connections(root);
    shop.is_away_because(&["1226", "has exceeded the"]);
    root.run("ALTER USER plain WITH MAX_QUERIES_PER_HOUR 0");
    root.run("FLUSH USER_RESOURCES");
}

fn a_table_is_locked(shop: &Shop, server: &SqlServer) {
    let mut other = Sql::connect(&server.url());
    other.run("LOCK TABLES orders WRITE, flight_cursor WRITE");
    shop.is_away_because(&["1205", "Lock wait timeout"]);
    // A list says no more than it has to, and the log says why.
    let (status, answer) = shop.gateway.get("/v1/orders?customer_id=u");
    assert_eq!(status, 503, "{answer}");
    assert!(!answer.to_string().contains("Lock wait"), "{answer}");
    other.run("UNLOCK TABLES");
}

fn a_table_is_altered_for_long(shop: &Shop, server: &SqlServer) {
    let mut reader = Sql::connect(&server.url());
    reader.run("BEGIN");
    reader.number("SELECT COUNT(*) FROM orders");
    let url = server.url();
    // It waits for the reader, and everybody else for it.
    let altering = std::thread::spawn(move || Sql::connect(&url).run("ALTER TABLE orders FORCE"));
    shop.is_away_because(&["1205", "Lock wait timeout"]);
    reader.run("COMMIT");
    altering.join().expect("the table is altered");
}

fn it_turns_read_only(shop: &Shop, server: &SqlServer, root: &mut Sql) {
    let setting = match server.flavour() {
        Flavour::MySql => "super_read_only",
        Flavour::MariaDb => "read_only",
    };
    root.run(&format!("SET GLOBAL {setting} = 1"));
    shop.is_away_because(&["1290", "1836", "read-only", "read only"]);
    until("it can still be read", || {
        let (status, list) = shop.gateway.get("/v1/orders?customer_id=u");
        status == 200 && list["up_to_date"] == false
    });
    root.run("SET GLOBAL read_only = 0");
}

fn deadlocks(server: &SqlServer, root: &mut Sql) -> i64 {
    match server.flavour() {
        Flavour::MySql => root.number(
            "SELECT CAST(COUNT AS SIGNED) FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'",
        ),
        Flavour::MariaDb => root.number(
            "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.global_status \
             WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS'",
        ),
    }
}

/// How many wait for a row just now.
fn row_waits(server: &SqlServer, root: &mut Sql) -> i64 {
    let schema = match server.flavour() {
        Flavour::MySql => "performance_schema",
        Flavour::MariaDb => "information_schema",
    };
    root.number(&format!(
        "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM {schema}.global_status \
         WHERE VARIABLE_NAME = 'Innodb_row_lock_current_waits'"
    ))
}

/// Somebody takes the same rows in another order, and has changed so much before that it is the gateway which gives way.
fn it_gives_way_in_deadlocks(server: &SqlServer, root: &mut Sql) {
    let mut other = Sql::connect(&server.url());
    other.run("CREATE TABLE heavy (id INT PRIMARY KEY, text VARCHAR(9))");
    other.run(
        "INSERT INTO heavy SELECT ROW_NUMBER() OVER (ORDER BY flight_id, seat), '' FROM tickets LIMIT 5000",
    );
    let before = deadlocks(server, root);
    let mut won = 0;
    until("the gateway gives way three times", || {
        other.run("BEGIN");
        other.run("UPDATE heavy SET text = CONCAT('r', id % 1000)");
        let mut is_done = other.try_run("UPDATE tickets SET passenger = passenger").is_ok();
        until("the gateway waits", || row_waits(server, root) > 0);
        is_done = is_done && other.try_run("UPDATE flight_cursor SET seq = seq").is_ok();
        other.run("ROLLBACK");
        won += i64::from(is_done);
        won >= 3 && deadlocks(server, root) - before >= 3
    });
}

#[test]
fn whatever_happens_to_the_store_flights_sell_and_nothing_is_lost() {
    let server = SqlServer::start(&["--max-connections=100"]);
    let store = plain(&server);
    let mut root = Sql::connect(&as_root(&server));
    root.run("CREATE USER other IDENTIFIED BY 'other'");
    root.run("GRANT SELECT ON farerush.* TO other");
    let shop = Shop::open(&store, &[]);
    let began = Instant::now();
    let done = |what: &str| {
        shop.catches_up();
        eprintln!("{what}: over after {:?}", began.elapsed());
    };
    it_gives_way_in_deadlocks(&server, &mut root);
    done("deadlocks");
    connections_run_out(&shop, &server, &mut root);
    done("connections");
    a_users_limit_is_reached(&shop, &mut root);
    done("a user's limit");
    a_table_is_locked(&shop, &server);
    done("LOCK TABLES");
    a_table_is_altered_for_long(&shop, &server);
    done("ALTER TABLE");
    it_turns_read_only(&shop, &server, &mut root);
    done("read-only");
    shop.close();
}

#[test]
fn after_an_idle_night_nobody_notices_that_all_connections_were_closed() {
    let server = SqlServer::start(&["--wait-timeout=2", "--interactive-timeout=2"]);
    let store = plain(&server);
    let mut root = Sql::connect(&as_root(&server));
    root.run("SET SESSION wait_timeout = 600");
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::embedded(folder.path()).with("store", &store);
    let gateway = start(&plan);
    gateway.create("FR1");
    for night in 0..2 {
        gateway.grab("FR1", &format!("evening-{night}"));
        assert_eq!(gateway.listed().len(), 2 * night + 1);
        are_closed(&mut root);
        let (status, list) = gateway.get("/v1/orders?customer_id=u");
        assert_eq!((status, list["orders"].as_array().map(Vec::len)), (200, Some(2 * night + 1)), "{list}");
        are_closed(&mut root);
        gateway.grab("FR1", &format!("morning-{night}"));
        assert_eq!(gateway.listed().len(), 2 * night + 2);
    }
    let (_, status) = gateway.get("/v1/admin/status");
    assert_eq!(status["write_behind"]["last_error"], Value::Null, "no flush failed");
    gateway.stop();
    verify(&plan);
}

/// Waits until the server has closed the connections there are now; on one the gateway shows from time to time that it
/// lives, which may keep it open.
fn are_closed(root: &mut Sql) {
    let open: BTreeSet<i64> = root.numbers(PLAIN).into_iter().collect();
    until("the server has closed the connections", || {
        root.numbers(PLAIN).into_iter().filter(|id| open.contains(id)).count() <= 1
    });
}

/// All tables in one file that may not grow, and somebody who fills it.
#[test]
fn a_store_whose_disk_is_full_takes_what_it_missed_when_there_is_room_again() {
    let server = SqlServer::start(&[
        "--innodb-file-per-table=0",
        "--innodb-data-file-path=ibdata1:12M:autoextend:max:48M",
    ]);
    let shop = Shop::open(&plain(&server), &[]);
    let mut root = Sql::connect(&as_root(&server));
    root.run("CREATE TABLE filler (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(8000))");
    for rows in [400, 40, 4, 1] {
        let sql = format!(
            "INSERT INTO filler (text) SELECT REPEAT('x', 8000) FROM information_schema.columns LIMIT {rows}"
        );
        until("the disk is full", || {
            root.try_run(&sql).is_err_and(|error| error.to_string().contains("full"))
        });
    }
    shop.is_away_because(&["1114", "is full"]);
    root.run("DROP TABLE filler");
    shop.catches_up();
    shop.close();
}

/// Waits until the replica has all that its primary has.
fn has_all(replica: &mut Sql, primary: &mut Sql) {
    let sum = "SELECT CAST(COALESCE(SUM(seq), 0) AS SIGNED) FROM flight_cursor";
    let goal = primary.number(sum);
    until("the replica has everything", || replica.number(sum) >= goal);
}

/// A primary and its replica, of the flavour of this run.
fn pair() -> (SqlServer, SqlServer) {
    let flavour = Flavour::of_the_run();
    let start = |id: &str| {
        let mut options = SqlServer::replication_options(flavour).to_vec();
        options.push(id);
        SqlServer::start_one(flavour, &options)
    };
    let (primary, replica) = (start("--server-id=1"), start("--server-id=2"));
    let mut following = Sql::connect(&replica.url());
    for statement in primary.follow() {
        following.run(&statement);
    }
    (primary, replica)
}

/// A name whose server changes: once told to the old one, which turns read-only, and once by nothing but the new one.
#[test]
fn a_primary_that_moves_behind_its_name_is_followed_by_those_who_write_and_those_who_read() {
    let (old, new) = pair();
    let name = Proxy::start(old.address());
    let at = |server: &SqlServer| plain(server).replace(&server.port().to_string(), &name.port().to_string());
    let shop = Shop::open(&at(&old), &[]);
    let (mut first, mut second) = (Sql::connect(&as_root(&old)), Sql::connect(&as_root(&new)));
    // Readers' connections to the old one.
    for _ in 0..4 {
        assert_eq!(shop.gateway.get("/v1/orders?customer_id=u").0, 200);
    }
    first.run("SET GLOBAL read_only = 1");
    // Until it is refused the last transaction may still be on its way.
    shop.is_away_because(&["1290", "1836", "read-only", "read only"]);
    has_all(&mut second, &mut first);
    let stop = "STOP REPLICA";
    second.run(stop);
    name.lead_to(new.address());
    shop.catches_up();
    shop.close();
    // The old one has nothing of what was sold since.
    let count = "SELECT COUNT(*) FROM orders";
    assert!(first.number(count) < second.number(count));
}

#[test]
fn a_dead_replica_is_said_and_its_lists_come_from_the_primary() {
    let (primary, mut replica) = pair();
    let shop = Shop::open(&primary.url(), &[("store_read", &replica.url())]);
    until("the replica serves", || shop.store()["replica"]["state"] == "serving");
    replica.kill();
    let (status, list) = shop.gateway.get("/v1/orders?customer_id=u");
    assert_eq!(status, 200, "{list}");
    until("it is said", || shop.store()["replica"]["state"] == "away");
    let (_, ready) = shop.gateway.get("/readyz");
    assert_eq!(ready["status"], "ready");
    let reason = ready["store"]["replica"]["reason"].as_str().unwrap();
    assert!(reason.contains("refused"), "{ready}");
    let metrics = figures(&shop.gateway);
    assert!(metrics.contains("farerush_store_replica_state{state=\"away\"} 1"), "{metrics}");
    replica.restart();
    until("it serves again", || shop.store()["replica"]["state"] == "serving");
    shop.close();
}

/// A store that hangs for long, and little memory for what waits for it: the journal alone has the rest.
#[test]
fn what_waits_for_the_store_takes_no_more_memory_than_it_may_and_all_of_it_is_stored_in_the_end() {
    const BYTES_MAX: u64 = 65_536;
    let server = SqlServer::start(&[]);
    let shop = Shop::open(&server.url(), &[("backlog_bytes_max", &BYTES_MAX.to_string())]);
    server.stop();
    let behind = || shop.gateway.get("/v1/admin/status").1["write_behind"].clone();
    let mut most = 0;
    until("more waits than fits", || {
        let now = behind();
        let bytes = now["backlog_bytes"].as_u64().unwrap();
        assert!(bytes <= BYTES_MAX && now["backlog_bytes_max"] == BYTES_MAX, "{now}");
        most = most.max(bytes);
        now["backlog_events"].as_u64().unwrap() > 400
    });
    assert!(most > BYTES_MAX / 2, "its memory was never full: {most}");
    let log = shop.gateway.log_text();
    assert!(log.contains("has filled its memory"), "{log}");
    server.cont();
    shop.catches_up();
    assert!(behind()["reread_events"].as_u64().unwrap() > 0);
    shop.close();
}

fn figures(gateway: &Gateway) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    let token = support::process::TOKEN;
    let head = format!(
        "GET /metrics HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
