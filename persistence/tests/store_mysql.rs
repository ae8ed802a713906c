//! The MySQL store on servers that go away, hang, refuse and forget: nothing lost, nothing twice, nobody kept waiting.

mod store_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Batch, Claim, Journal};
use farerush_persistence::journal::MemoryJournal;
use farerush_persistence::recovery::RecoveryError;
use farerush_persistence::store::{Flushed, OrderFilter, ReplicaState, Store, StoreError, StoreOptions};
use farerush_persistence::verify::verify;
use store_support::servers::{Flavour, Proxy, SqlServer};
use store_support::{Chance, Life, database, id, life_of, options, run_sql};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(30);

fn impatient() -> StoreOptions {
    StoreOptions {
        timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_millis(500),
        ..options()
    }
}

async fn migrated(url: &str, options: &StoreOptions) -> Store {
    let store = Store::open(url, options).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Asks again and again until the answer, a number, is 0.
async fn until_zero(url: &str, sql: &'static str) {
    use sqlx::ConnectOptions as _;
    let options: sqlx::mysql::MySqlConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        if count == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "still {count}: {sql}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asks until the store has time: a limit that is short on purpose is reached by a busy machine, too.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error:?}"),
        }
    }
}

/// The same address for the server's own administrator, who may hand out privileges.
fn as_root(url: &str) -> String {
    url.replace("farerush:farerush@", "root@")
}

const OTHERS: &str =
    "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'farerush' AND id <> CONNECTION_ID()";

/// Everything of these flights is stored, and rows, cursors and events agree.
async fn assert_whole(store: &Store, lives: &[Life]) {
    let memory = MemoryJournal::new();
    let all: Vec<Batch> = lives.iter().map(|life| life.all(1)).collect();
    memory.append(&all).unwrap();
    let journal: Arc<dyn Journal> = Arc::new(memory);
    let report = patiently(async || match verify(&journal, store).await {
        Err(RecoveryError::Store(error)) => Err(error),
        report => Ok(report.unwrap()),
    });
    let report = report.await;
    for life in lives {
        let line = report.flights.iter().find(|line| line.flight_id == life.id()).unwrap();
        let stored = patiently(async || store.cursor(&life.id()).await).await.map(|cursor| cursor.seq);
        assert_eq!(stored, Some(life.flight.seq()));
        assert_eq!(line.verdict, farerush_persistence::verify::Verdict::Ok, "{report}");
    }
}

/// Stores what follows, a few events of each flight at a time, and says how far the answers have come.
struct Flushing {
    store: Store,
    lives: Vec<Life>,
    acknowledged: u64,
    attempted: u64,
}

impl Flushing {
    fn new(store: Store, name: &str, flights: u64, steps: u16) -> Self {
        let lives = (0..flights).map(|number| life_of(&format!("{name}-{number}"), steps)).collect();
        Self { store, lives, acknowledged: 0, attempted: 0 }
    }

    fn is_done(&self) -> bool {
        self.lives.iter().all(|life| life.flight.seq().0 <= self.acknowledged)
    }

    async fn flush(&mut self, events: u64) -> Result<(), StoreError> {
        let to = self.acknowledged + events;
        self.attempted = self.attempted.max(to);
        let batches = self.lives.iter().map(|life| life.batch(1, self.acknowledged + 1..=to));
        let batches: Vec<Batch> = batches.filter(|batch| !batch.events.is_empty()).collect();
        for outcome in self.store.flush(&batches).await? {
            assert!(matches!(outcome, Flushed::Stored | Flushed::AlreadyStored { .. }), "{outcome:?}");
        }
        self.acknowledged = to;
        Ok(())
    }

    async fn until_error(&mut self, events: u64) -> Option<StoreError> {
        while !self.is_done() {
            if let Err(error) = self.flush(events).await {
                return Some(error);
            }
        }
        None
    }

    async fn finish(&mut self) {
        let deadline = Instant::now() + LONG;
        while let Some(error) = self.until_error(50).await {
            assert!(error.is_transient(), "{error:?}");
            assert!(Instant::now() < deadline, "{error:?}");
        }
        assert_whole(&self.store, &self.lives).await;
    }

    /// What was answered for is stored, and nothing that was never sent.
    async fn check_cursors(&self) {
        for life in &self.lives {
            let found = patiently(async || self.store.snapshot(&life.id()).await).await;
            let Some((snapshot, cursor)) = found else {
                assert_eq!(self.acknowledged, 0, "{} is gone", life.id());
                continue;
            };
            let last = life.flight.seq().0;
            let (from, to) = (self.acknowledged.min(last), self.attempted.min(last));
            assert!((from..=to).contains(&cursor.seq.0), "{from} <= {} <= {to}", cursor.seq);
            let flight = farerush_engine::flight::Flight::restore(snapshot).unwrap();
            assert_eq!(flight.digest(), life.flight_at(cursor.seq.0).digest(), "{}", life.id());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_closed_for_idleness_are_never_noticed() {
    let server = SqlServer::start(&["--wait_timeout=2"]);
    let store = migrated(&server.url(), &options()).await;
    let mut life = Life::new("FR1");
    let mut stored = 0;
    for _ in 0..2 {
        life.grab("u", 1);
        let last = life.flight.seq().0;
        assert_eq!(store.flush(&[life.batch(1, stored + 1..=last)]).await.unwrap(), [Flushed::Stored]);
        stored = last;
        // As many at once as the pool has connections.
        let filter = OrderFilter::default();
        let lists = (0..4).map(|_| {
            let (store, filter) = (store.clone(), filter.clone());
            tokio::spawn(async move { store.orders(&filter, None, 10).await })
        });
        for list in lists.collect::<Vec<_>>() {
            assert_eq!(list.await.unwrap().unwrap().len() as u64, stored - 2);
        }
        assert!(store.snapshot(&life.id()).await.unwrap().is_some());
        until_zero(&server.url(), OTHERS).await;
    }
    life.grab("u", 1);
    assert_eq!(store.flush(&[life.batch(1, stored + 1..=stored + 1)]).await.unwrap(), [Flushed::Stored]);
    assert_eq!(store.orders(&OrderFilter::default(), None, 10).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_of_flushes_has_all_or_nothing_of_each() {
    let rounds = std::env::var("FARERUSH_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut chance = Chance::new();
    let mut server = SqlServer::start(&[]);
    let store = migrated(&server.url(), &impatient()).await;
    let mut interrupted = 0;
    for round in 0..rounds {
        let mut flushing = Flushing::new(store.clone(), &format!("R{round}"), 3, 400);
        let events = 1 + chance.below(6);
        let worker = tokio::spawn(async move {
            let error = flushing.until_error(events).await;
            (flushing, error)
        });
        tokio::time::sleep(Duration::from_micros(chance.below(100_000))).await;
        server.kill();
        let (mut flushing, error) = worker.await.unwrap();
        if let Some(error) = error {
            assert!(error.is_transient(), "{error:?}");
            interrupted += u32::from(flushing.acknowledged > 0);
        }
        server.restart();
        flushing.check_cursors().await;
        flushing.finish().await;
    }
    assert!(rounds < 12 || interrupted > 2, "only {interrupted} of {rounds} kills came in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_the_connection_each_event_is_stored_once() {
    let mut chance = Chance::new();
    let (server, url) = database().await;
    let proxy = Proxy::start(server.address());
    let store =
        migrated(&url.replace(&server.port().to_string(), &proxy.port().to_string()), &impatient()).await;
    let mut cut = 0;
    for round in 0..25 {
        let mut flushing = Flushing::new(store.clone(), &format!("R{round}"), 2, 60);
        match chance.below(5) {
            0 => proxy.cut_requests_after(usize::try_from(chance.below(60_000)).unwrap()),
            1 => proxy.drop_replies(true),
            2 => proxy.refuse(true),
            _ => proxy.cut_replies_after(usize::try_from(chance.below(2_000)).unwrap()),
        }
        if chance.below(4) == 0 {
            proxy.cut_all();
        }
        if let Some(error) = flushing.until_error(1 + chance.below(20)).await {
            assert!(error.is_transient(), "{error:?}");
            cut += 1;
        }
        proxy.heal();
        flushing.check_cursors().await;
        flushing.finish().await;
    }
    assert!(cut > 5, "only {cut} of 25 faults were felt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_in_time_and_used_again_when_it_answers() {
    let server = SqlServer::start(&[]);
    let store = migrated(&server.url(), &impatient()).await;
    let mut flushing = Flushing::new(store.clone(), "FR1", 1, 100);
    flushing.flush(5).await.unwrap();
    server.stop();
    for _ in 0..3 {
        let started = Instant::now();
        let error = flushing.flush(5).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert!(store.ping().await.unwrap_err().is_transient());
        assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    }
    server.cont();
    flushing.finish().await;
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_half_way_leave_no_transaction_open_and_no_connection_in_doubt() {
    let mut chance = Chance::new();
    let (_server, url) = database().await;
    let store = migrated(&url, &StoreOptions { connections_max: 2, ..options() }).await;
    let mut flushing = Flushing::new(store.clone(), "FR", 3, 300);
    let claims: Vec<Claim> =
        (0..9).map(|number| Claim { flight_id: id(&format!("C{number}")), epoch: Epoch(0) }).collect();
    let mut dropped = 0;
    for _ in 0..150 {
        let limit = Duration::from_micros(chance.below(6_000));
        let was_dropped = match chance.below(4) {
            0 => tokio::time::timeout(limit, store.snapshot(&flushing.lives[0].id())).await.is_err(),
            1 => tokio::time::timeout(limit, store.claim(&claims)).await.is_err(),
            _ => tokio::time::timeout(limit, flushing.flush(1)).await.is_err(),
        };
        dropped += u32::from(was_dropped);
    }
    assert!(dropped > 10, "only {dropped} of 150 calls were dropped");
    flushing.check_cursors().await;
    flushing.finish().await;
    let open = "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist \
                ON trx_mysql_thread_id = id WHERE db = DATABASE()";
    until_zero(&url, open).await;
    let epochs = store.claim(&claims).await.unwrap();
    assert!(epochs.windows(2).all(|pair| pair[0].epoch == pair[1].epoch), "{epochs:?}");
}

#[tokio::test]
async fn a_primary_that_turned_read_only_is_away_until_it_is_one_again() {
    let server = SqlServer::start(&[]);
    let url = server.url();
    run_sql(&as_root(&url), "CREATE USER plain IDENTIFIED BY 'plain'").await;
    run_sql(&as_root(&url), "GRANT ALL PRIVILEGES ON farerush.* TO plain").await;
    let plain = url.replace("farerush:farerush@", "plain:plain@");
    let mut flushing = Flushing::new(migrated(&plain, &impatient()).await, "FR1", 1, 50);
    flushing.flush(3).await.unwrap();
    run_sql(&url, "SET GLOBAL read_only = 1").await;
    let error = flushing.flush(3).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(flushing.store.orders(&OrderFilter::default(), None, 9).await.is_ok(), "it can still be read");
    run_sql(&url, "SET GLOBAL read_only = 0").await;
    flushing.finish().await;
}

#[tokio::test]
async fn whoever_cannot_get_in_is_told_why_without_the_password() {
    // MySQL has TLS from the start, with a certificate that it made itself; MariaDB does not.
    let without_tls: &[&str] = match Flavour::of_the_run() {
        Flavour::MySql => &["--tls-version="],
        Flavour::MariaDb => &[],
    };
    let server = SqlServer::start(without_tls);
    let (url, port) = (server.url(), server.port());
    let gone = store_support::servers::free_port();
    for (url, expected) in [
        (format!("mysql://farerush:s3cret@127.0.0.1:{port}/farerush"), "Access denied"),
        (format!("mysql://nobody:s3cret@127.0.0.1:{port}/farerush"), "Access denied"),
        (format!("mysql://farerush:farerush@127.0.0.1:{port}/nowhere"), "create the database first"),
        (format!("{url}?ssl-mode=REQUIRED"), "TLS"),
        (format!("{url}?ssl-mode=VERIFY_CA&ssl-ca=/nowhere/ca.pem"), "TLS"),
    ] {
        let error = Store::open(&url, &impatient()).await.unwrap_err();
        assert!(matches!(error, StoreError::Setting { .. }), "{url}: {error:?}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
    }
    let url = format!("mysql://farerush:s3cret@127.0.0.1:{gone}/farerush");
    let error = Store::open(&url, &impatient()).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(error.is_transient() && text.contains("refused") && !text.contains("s3cret"), "{text}");
    // Opened all the same, it works as soon as the server does; until then each call says what is wrong.
    let store = Store::open(&url, &StoreOptions { must_answer: false, ..impatient() }).await.unwrap();
    let text = format!("{:?} {store:?} {}", store.cursors().await.unwrap_err(), store.describe());
    assert!(text.contains("refused") && !text.contains("s3cret"), "{text}");
}

/// `caching_sha2_password`: the server asks for the whole password (sent over TLS, else sealed with the server's RSA key)
/// until it has seen it once, and for a proof that it is known from then on.
#[tokio::test]
async fn mysqls_own_authentication_works_with_tls_and_without_with_a_password_it_has_seen_and_one_it_has_not()
{
    let server = SqlServer::start_one(Flavour::MySql, &[]);
    run_sql(&server.url(), "CREATE USER sales IDENTIFIED WITH caching_sha2_password BY 's3cret'").await;
    run_sql(&as_root(&server.url()), "GRANT ALL PRIVILEGES ON farerush.* TO sales").await;
    let url = server.url().replace("farerush:farerush@", "sales:s3cret@");
    for mode in ["DISABLED", "REQUIRED", "PREFERRED"] {
        run_sql(&server.url(), "FLUSH PRIVILEGES").await; // forgets the passwords it has seen
        for known in [false, true] {
            let store = Store::open(&format!("{url}?ssl-mode={mode}"), &impatient()).await;
            let store = store.unwrap_or_else(|error| panic!("{mode}, known: {known}: {error:?}"));
            store.migrate().await.unwrap();
            store.ping().await.unwrap();
            store.close().await;
        }
    }
    let wrong = url.replace("s3cret", "wrong");
    for mode in ["DISABLED", "REQUIRED"] {
        let error = Store::open(&format!("{wrong}?ssl-mode={mode}"), &impatient()).await.unwrap_err();
        assert!(matches!(error, StoreError::Setting { .. }), "{mode}: {error:?}");
    }
}

#[tokio::test]
async fn tls_is_used_and_a_certificate_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let make = |script: &str| {
        let mut command = std::process::Command::new("sh");
        let output = command.current_dir(folder.path()).args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    };
    make(
        "printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > server.ext
        for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -keyout $ca.key -out $ca.pem -days 2 -subj /CN=$ca; done
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext \
            -days 2 -out server.pem",
    );
    let at = folder.path().display();
    let server = SqlServer::start(&[
        &format!("--ssl-cert={at}/server.pem"),
        &format!("--ssl-key={at}/server.key"),
        &format!("--ssl-ca={at}/ca.pem"),
    ]);
    let url = server.url();
    run_sql(&as_root(&url), "CREATE USER secure IDENTIFIED BY 'secure' REQUIRE SSL").await;
    run_sql(&as_root(&url), "GRANT ALL PRIVILEGES ON farerush.* TO secure").await;
    let secure = url.replace("farerush:farerush@", "secure:secure@");
    for mode in ["", "?ssl-mode=REQUIRED", &format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={at}/ca.pem")] {
        let mut flushing = Flushing::new(
            migrated(&format!("{secure}{mode}"), &impatient()).await,
            &format!("FR{}", mode.len()),
            1,
            20,
        );
        flushing.finish().await;
    }
    for mode in ["?ssl-mode=DISABLED", &format!("?ssl-mode=VERIFY_CA&ssl-ca={at}/other.pem")] {
        let error = Store::open(&format!("{secure}{mode}"), &impatient()).await.unwrap_err();
        assert!(matches!(error, StoreError::Setting { .. }), "{mode}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_with_no_connection_left_is_away() {
    let server = SqlServer::start(&["--max-connections=10"]);
    let store = migrated(&server.url(), &impatient()).await;
    store.close().await;
    let mut held = Vec::new();
    let options: sqlx::mysql::MySqlConnectOptions = server.url().parse().unwrap();
    let error = loop {
        use sqlx::ConnectOptions as _;
        match options.connect().await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
        assert!(held.len() < 20);
    };
    assert!(error.to_string().contains("1040"), "{error}");
    let error = Store::open(&server.url(), &impatient()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_migrate_at_the_same_time_wait_for_one_another() {
    for _ in 0..3 {
        let (_server, url) = database().await;
        let migrations = (0..6).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { migrated(&url, &options()).await.migration_status().await })
        });
        for migration in migrations.collect::<Vec<_>>() {
            assert!(migration.await.unwrap().unwrap().iter().all(|migration| migration.applied));
        }
    }
}

#[tokio::test]
async fn a_migration_that_was_cut_off_half_way_is_finished() {
    let (_server, url) = database().await;
    let store = migrated(&url, &options()).await;
    run_sql(&url, "DROP TABLE flight_cursor").await;
    run_sql(&url, "UPDATE _sqlx_migrations SET success = 0").await;
    assert!(store.migration_status().await.unwrap().iter().all(|migration| !migration.applied));
    store.migrate().await.unwrap();
    assert!(store.migration_status().await.unwrap().iter().all(|migration| migration.applied));
    assert_eq!(store.cursors().await.unwrap(), []);
}

#[tokio::test]
async fn a_user_who_may_only_read_and_write_rows_can_run_on_tables_that_are_there() {
    let (_server, url) = database().await;
    migrated(&url, &options()).await.close().await;
    let (_, name) = url.rsplit_once('/').unwrap();
    run_sql(&as_root(&url), &format!("CREATE USER u_{name} IDENTIFIED BY 'plain'")).await;
    run_sql(&as_root(&url), &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO u_{name}")).await;
    let plain = url.replace("farerush:farerush@", &format!("u_{name}:plain@"));
    let mut flushing = Flushing::new(migrated(&plain, &options()).await, "FR1", 1, 50);
    flushing.finish().await;
    assert!(flushing.store.sync().await.unwrap());
    run_sql(&url, "DELETE FROM _sqlx_migrations").await;
    let error = flushing.store.migrate().await.unwrap_err();
    assert!(matches!(&error, StoreError::Setting { what } if what.contains("privilege")), "{error:?}");
}

#[tokio::test]
async fn lists_come_from_the_replica_and_everything_else_from_the_primary() {
    let ((_server, primary), (_same, replica)) = (database().await, database().await);
    let behind = migrated(&replica, &options()).await;
    let both = Store::open_with_read(&primary, Some(&replica), &options()).await.unwrap();
    both.migrate().await.unwrap();
    let mut life = Life::new("FR1");
    let first = life.grab("u1", 1);
    behind.flush(&[life.all(1)]).await.unwrap();
    // It is asked once it was found to have what the primary has: nothing yet.
    let deadline = Instant::now() + LONG;
    while both.replica_status().unwrap().state != ReplicaState::Serving {
        assert!(Instant::now() < deadline, "{:?}", both.replica_status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = life.grab("u2", 1);
    both.flush(&[life.all(1)]).await.unwrap();
    let listed = both.orders(&OrderFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|stored| stored.order.no).collect::<Vec<_>>(), [first]);
    let tables = both.flight(&life.id()).await.unwrap().unwrap();
    assert_eq!(tables.orders.len(), 2);
    assert!(both.order(&tables.orders[1].order_id).await.unwrap().is_some(), "{second:?} is there already");
    assert_eq!(both.cursor(&life.id()).await.unwrap().unwrap().seq, Seq(4));
    assert!(both.describe().contains(&replica[replica.len() - 5..]), "{}", both.describe());
    let wrong = Store::open_with_read("sqlite:/tmp/x.db", Some(&replica), &options()).await;
    assert!(matches!(wrong, Err(StoreError::Setting { .. })));
}

#[tokio::test]
async fn a_lax_server_does_not_cut_values_silently() {
    let server = SqlServer::start(&["--sql-mode=", "--innodb-flush-log-at-trx-commit=2"]);
    let store = migrated(&server.url(), &options()).await;
    let (mut odd, good) = (Life::new("ODD"), Life::new("GOOD"));
    let mut batch = odd.all(1);
    if let farerush_engine::flight::Event::FlightCreated { definition, .. } = &mut batch.events[0].event {
        definition.flight_number = "F".repeat(65).into();
    }
    batch.events.iter_mut().for_each(|event| event.head = None);
    let error = store.flush(&[batch]).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert_eq!(store.cursors().await.unwrap(), []);
    odd.grab("u", 1);
    assert_eq!(store.flush(&[odd.all(1), good.all(1)]).await.unwrap(), [Flushed::Stored, Flushed::Stored]);
    assert!(store.sync().await.unwrap(), "the log is flushed on demand");
}

#[tokio::test]
async fn a_server_on_the_same_machine_is_spoken_to_through_its_socket() {
    let server = SqlServer::start(&[]);
    let socket = server.dir().join("sql.sock");
    // The user is everybody's, from wherever they come; the host's name is not looked at.
    let url = format!("mysql://farerush:farerush@nowhere.invalid/farerush?socket={}", socket.display());
    let mut flushing = Flushing::new(migrated(&url, &impatient()).await, "FR1", 1, 20);
    flushing.finish().await;
    assert!(flushing.store.describe().contains("sql.sock"), "{}", flushing.store.describe());
}
