//! How many rows a second reach the store: by flushes and by the write-behind, into MariaDB and SQLite, beside the same
//! rows sent as plain multi-row INSERTs by the `mariadb` client. Run it on a machine that is idle.
//!
//! `FARERUSH_BENCH_ORDERS` (default 100,000) says how many orders a round sells, `FARERUSH_BENCH_ROUNDS` (3) how often
//! everything is repeated, in turn; `TMPDIR` decides on which disk the databases are.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "of the tests' support it uses a part")]

#[path = "../tests/store_support/mod.rs"]
mod store_support;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::CabinClass;
use farerush_engine::journal::{Batch, DurableRound, Journal as _};
use farerush_persistence::journal::MemoryJournal;
use farerush_persistence::store::{Store, StoreOptions};
use farerush_persistence::write_behind::{Hooks, WriteBehind, WriteBehindOptions};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use store_support::servers::MariaDbServer;
use store_support::{Life, cabin, run_sql};

/// Orders of one seat that one flight sells.
const ORDERS_PER_FLIGHT: usize = 5_000;
/// Events of one flush, as the write-behind makes them up: each writes an order and a ticket.
const EVENTS_PER_FLUSH: usize = 1_024;
/// Rows of one statement that the client sends, and of one of its transactions.
const ROWS_PER_STATEMENT: usize = 1_024;
const ROWS_PER_TRANSACTION: usize = 2_048;
const LONG: Duration = Duration::from_secs(3_600);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let orders = setting("FARERUSH_BENCH_ORDERS", 100_000).max(1);
    let flights = orders.div_ceil(ORDERS_PER_FLIGHT);
    let lives: Vec<Life> = (0..flights)
        .map(|number| {
            let cabins = vec![cabin(CabinClass::Economy, [1, 320], "ABCDEFGH JKLMNOPQ", 99_900)];
            let mut life = Life::with_cabins(&format!("FR{number}-20261224"), cabins);
            let count = ORDERS_PER_FLIGHT.min(orders - number * ORDERS_PER_FLIGHT);
            for order in 0..count {
                life.grab(&format!("customer-{order:07}"), 1);
            }
            life
        })
        .collect();
    println!("{orders} orders of one seat on {flights} flights: {} rows", 2 * orders);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = MariaDbServer::start(&["--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M"]);
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=setting("FARERUSH_BENCH_ROUNDS", 3) {
        runtime.block_on(async {
            let sqlite = |name: &str| format!("sqlite:{}/{name}{round}.db", folder.path().display());
            let flushed = database(&server, "flushed").await;
            let rate = |what: &str, took: Duration| {
                println!(
                    "round {round}: {what:<34} {:>9.0} rows/s",
                    (2 * orders) as f64 / took.as_secs_f64()
                );
            };
            rate("mariadb client, multi-row INSERT", client(&server, &flushed, &lives).await);
            rate("flush into MariaDB", flush(&flushed, &lives).await);
            rate("write-behind into MariaDB", write_behind(&database(&server, "behind").await, &lives).await);
            rate("flush into SQLite", flush(&sqlite("flushed"), &lives).await);
            rate("write-behind into SQLite", write_behind(&sqlite("behind"), &lives).await);
        });
    }
}

async fn database(server: &MariaDbServer, name: &str) -> String {
    run_sql(&server.url(), &format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")).await;
    format!("{}/{name}", server.url().trim_end_matches("/farerush"))
}

/// A store with all flights, and nothing sold.
async fn opened(url: &str, lives: &[Life]) -> Store {
    let store = Store::open(url, &StoreOptions::default()).await.expect("a store");
    store.migrate().await.expect("tables");
    for life in lives {
        store.flush(&[life.batch(1, 1..=2)]).await.expect("a flight");
    }
    store
}

/// What is sold, in batches as the write-behind would flush them.
fn batches(lives: &[Life]) -> impl Iterator<Item = Vec<Batch>> {
    let longest = lives.iter().map(|life| life.events.len()).max().unwrap_or(0);
    let events = EVENTS_PER_FLUSH.div_ceil(lives.len());
    (3..=longest as u64).step_by(events).map(move |from| {
        let to = from + events as u64 - 1;
        lives.iter().map(|life| life.batch(1, from..=to)).filter(|batch| !batch.events.is_empty()).collect()
    })
}

async fn flush(url: &str, lives: &[Life]) -> Duration {
    let store = opened(url, lives).await;
    let all: Vec<Vec<Batch>> = batches(lives).collect();
    let started = Instant::now();
    for batches in &all {
        store.flush(batches).await.expect("a flush");
    }
    started.elapsed()
}

async fn write_behind(url: &str, lives: &[Life]) -> Duration {
    let store = opened(url, lives).await;
    let journal = Arc::new(MemoryJournal::new());
    for life in lives {
        journal.append(&[life.batch(1, 1..=2)]).expect("an append");
    }
    let hooks = Hooks { on_stored: Box::new(|_, _| {}), on_fenced: Box::new(|_, _| {}) };
    let options = WriteBehindOptions { backlog_bytes_max: 1 << 30, ..WriteBehindOptions::default() };
    let all: Vec<Vec<Batch>> = batches(lives).collect();
    all.iter().for_each(|batches| drop(journal.append(batches).expect("an append")));
    let behind = WriteBehind::start(store, journal, options, hooks);
    for life in lives {
        let seq = farerush_engine::flight::Seq(2);
        behind.register(&life.id(), store_support::SALT, farerush_engine::flight::Epoch(1), seq, seq);
    }
    let intake = behind.intake();
    let started = Instant::now();
    for batches in all {
        intake(DurableRound { batches, release: None });
    }
    assert!(behind.caught_up(LONG).await, "the write-behind is stuck");
    let took = started.elapsed();
    assert!(behind.status().stuck.is_empty());
    assert!(behind.drain(LONG).await);
    took
}

/// The same rows, sent by the client into empty tables of the same shape.
async fn client(server: &MariaDbServer, url: &str, lives: &[Life]) -> Duration {
    flush(url, lives).await;
    let mut script = String::new();
    let orders = rows(url, "orders", "TRUE").await;
    let tickets = rows(url, "tickets", "order_no IS NOT NULL").await;
    assert_eq!(orders.len(), tickets.len());
    // An order and its ticket go together, as they do in a flush.
    let pairs = orders.chunks(ROWS_PER_TRANSACTION / 2).zip(tickets.chunks(ROWS_PER_TRANSACTION / 2));
    for (orders, tickets) in pairs {
        script.push_str("BEGIN;\n");
        for (table, rows) in [("orders", orders), ("tickets", tickets)] {
            for rows in rows.chunks(ROWS_PER_STATEMENT) {
                writeln!(script, "INSERT INTO {table} VALUES {};", rows.join(",")).expect("text");
            }
        }
        script.push_str("COMMIT;\n");
    }
    let file = server.dir().join("rows.sql");
    std::fs::write(&file, script).expect("a file");
    run_sql(url, "TRUNCATE orders; TRUNCATE tickets").await;
    let (_, name) = url.rsplit_once('/').expect("a database");
    let started = Instant::now();
    let status = Command::new("mariadb")
        .args([
            "--no-defaults",
            "--protocol=tcp",
            "--host=127.0.0.1",
            "--user=farerush",
            "--password=farerush",
        ])
        .args([&format!("--port={}", server.port()), "--max-allowed-packet=64M", name])
        .stdin(Stdio::from(std::fs::File::open(&file).expect("a file")))
        .status()
        .expect("the mariadb client (apt-get install mariadb-client)");
    let took = started.elapsed();
    assert!(status.success(), "the mariadb client failed");
    run_sql(url, &format!("DROP DATABASE {name}; CREATE DATABASE {name}")).await;
    took
}

/// All rows of a table that meet the condition, as they stand in an INSERT.
async fn rows(url: &str, table: &str, condition: &str) -> Vec<String> {
    let options: MySqlConnectOptions = url.parse().expect("an address");
    let mut connection = options.connect().await.expect("a connection");
    let sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? \
               ORDER BY ordinal_position";
    let columns: Vec<String> =
        sqlx::query_scalar(sql).bind(table).fetch_all(&mut connection).await.expect("columns");
    let quoted: Vec<String> = columns.iter().map(|column| format!("QUOTE({column})")).collect();
    let sql = format!(
        "SELECT CONCAT('(', CONCAT_WS(',', {}), ')') FROM {table} WHERE {condition} ORDER BY order_no, flight_id",
        quoted.join(", ")
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("rows")
}
