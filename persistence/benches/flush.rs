//! How many rows a second reach the store: by flushes and by the write-behind, into MariaDB and SQLite, beside the same
//! rows sent as plain multi-row INSERTs by the `mariadb` client. Run it on a machine that is idle.
//!
//! `FARERUSH_BENCH_ORDERS` (default 100,000) says how many orders a round sells, `FARERUSH_BENCH_FLIGHTS` (20) on how many
//! flights, `FARERUSH_BENCH_ROUNDS` (3) how often everything is repeated, in turn; with `FARERUSH_BENCH_SQLITE_ONLY` set,
//! MariaDB is left out. `TMPDIR` decides on which disk the databases are. Beside the rate stands the processor time of
//! this process for each row, which says more than the rate on a machine that others use as well.

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
use store_support::servers::SqlServer;
use store_support::{Life, cabin, run_sql};

/// Seats side by side, so that a flight of whole rows can have as many as it is to sell.
const SEATS_PER_ROW: usize = 16;
/// Events of one flush, as the write-behind makes them up: each writes an order and a ticket.
const EVENTS_PER_FLUSH: usize = 1_024;
/// Flights created in one flush.
const FLIGHTS_PER_CREATION: usize = 10;
/// Rows of one statement that the client sends, and of one of its transactions.
const ROWS_PER_STATEMENT: usize = 1_024;
const ROWS_PER_TRANSACTION: usize = 2_048;
const LONG: Duration = Duration::from_secs(3_600);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let orders = setting("FARERUSH_BENCH_ORDERS", 100_000).max(1);
    let flights = setting("FARERUSH_BENCH_FLIGHTS", 20).clamp(1, orders);
    let per_flight = orders.div_ceil(flights);
    let rows = u16::try_from(per_flight.div_ceil(SEATS_PER_ROW)).expect("at most 999 rows a flight");
    let lives: Vec<Life> = (0..flights)
        .map(|number| {
            let cabins = vec![cabin(CabinClass::Economy, [1, rows], "ABCDEFGH JKLMNOPQ", 99_900)];
            let mut life = Life::with_cabins(&format!("FR{number}-20261224"), cabins);
            for order in number * per_flight..orders.min((number + 1) * per_flight) {
                life.grab(&customer(order), 1);
            }
            life
        })
        .collect();
    println!("{orders} orders of one seat on {flights} flights: {} rows", 2 * orders);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let is_sqlite_only = std::env::var_os("FARERUSH_BENCH_SQLITE_ONLY").is_some();
    let server = (!is_sqlite_only)
        .then(|| SqlServer::start(&["--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M"]));
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=setting("FARERUSH_BENCH_ROUNDS", 3) {
        let sqlite = |name: &str| format!("sqlite:{}/{name}{round}.db", folder.path().display());
        let say = |what: &str, cost: Cost| {
            let rows = (2 * orders) as f64;
            let rate = rows / cost.took.as_secs_f64();
            let processor = cost.processor.as_secs_f64() * 1e6 / rows;
            println!("round {round}: {what:<34} {rate:>9.0} rows/s  {processor:>6.2} us of processor a row");
        };
        runtime.block_on(async {
            if let Some(server) = &server {
                let flushed = database(server, "flushed").await;
                say("mariadb client, multi-row INSERT", client(server, &flushed, &lives).await);
                say("flush into MariaDB", flush(&flushed, &lives).await);
                say(
                    "write-behind into MariaDB",
                    write_behind(&database(server, "behind").await, &lives).await,
                );
            }
            say("flush into SQLite", flush(&sqlite("flushed"), &lives).await);
            say("write-behind into SQLite", write_behind(&sqlite("behind"), &lives).await);
            let created = Started::now();
            opened(&sqlite("created"), &lives).await.close().await;
            let Cost { took, processor } = created.cost();
            println!(
                "round {round}: {flights} flights created in SQLite: {took:.1?}, {processor:.1?} of processor"
            );
        });
    }
}

/// Customers whose names do not rise with time, as it is in life: each lands somewhere else in the index.
fn customer(number: usize) -> String {
    format!("customer-{:08x}", u32::try_from(number).unwrap_or(u32::MAX).wrapping_mul(0x9e37_79b1))
}

/// What something cost.
struct Cost {
    took: Duration,
    /// User and system time of this process, in steps of 10 ms.
    processor: Duration,
}

struct Started(Instant, Duration);

impl Started {
    fn now() -> Self {
        Self(Instant::now(), processor_time())
    }

    fn cost(self) -> Cost {
        Cost { took: self.0.elapsed(), processor: processor_time() - self.1 }
    }
}

/// User and system time of this process so far, as Linux counts it (0 elsewhere).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Counted from behind the name, which may hold spaces: user and system time are the 12th and 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn database(server: &SqlServer, name: &str) -> String {
    run_sql(&server.url(), &format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")).await;
    format!("{}/{name}", server.url().trim_end_matches("/farerush"))
}

/// A store with all flights, and nothing sold.
async fn opened(url: &str, lives: &[Life]) -> Store {
    let store = Store::open(url, &StoreOptions::default()).await.expect("a store");
    store.migrate().await.expect("tables");
    for lives in lives.chunks(FLIGHTS_PER_CREATION) {
        let batches: Vec<Batch> = lives.iter().map(|life| life.batch(1, 1..=2)).collect();
        store.flush(&batches).await.expect("flights");
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

async fn flush(url: &str, lives: &[Life]) -> Cost {
    let store = opened(url, lives).await;
    let all: Vec<Vec<Batch>> = batches(lives).collect();
    let started = Started::now();
    for batches in &all {
        store.flush(batches).await.expect("a flush");
    }
    started.cost()
}

async fn write_behind(url: &str, lives: &[Life]) -> Cost {
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
        behind.register(&life.id(), farerush_engine::flight::Epoch(1), seq, seq);
    }
    let intake = behind.intake();
    let started = Started::now();
    for batches in all {
        intake(DurableRound { batches, releases: Vec::new() });
    }
    assert!(behind.caught_up(LONG).await, "the write-behind is stuck");
    let cost = started.cost();
    assert!(behind.status().stuck.is_empty());
    assert!(behind.drain(LONG).await);
    cost
}

/// The same rows, sent by the client into empty tables of the same shape.
async fn client(server: &SqlServer, url: &str, lives: &[Life]) -> Cost {
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
    let started = Started::now();
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
    let cost = started.cost();
    assert!(status.success(), "the mariadb client failed");
    run_sql(url, &format!("DROP DATABASE {name}; CREATE DATABASE {name}")).await;
    cost
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
