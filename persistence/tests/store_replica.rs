//! Lists from a real replica, asynchronous and semi-synchronous: what it lacks is never said to be all, and what it cannot
//! serve, the primary does.

mod store_support;

use std::time::{Duration, Instant};

use farerush_engine::flight::{OrderNo, Seq};
use farerush_persistence::store::{
    Asker, Flushed, Listed, OrderFilter, ReplicaState, ReplicaStatus, Store, StoreOptions,
};
use store_support::servers::{Flavour, SqlServer};
use store_support::{Life, options, run_sql};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(60);
/// What a list may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far the replica may be behind here.
const LAG_MAX: Duration = Duration::from_secs(4);

/// A primary and a replica that follows it.
struct Pair {
    primary: SqlServer,
    replica: SqlServer,
    store: Store,
    life: Life,
    stored: u64,
}

impl Pair {
    async fn start(more: &[&str]) -> Self {
        let flavour = Flavour::of_the_run();
        let start = |id: &str| {
            let mut options = SqlServer::replication_options(flavour).to_vec();
            options.push(id);
            options.extend_from_slice(more);
            SqlServer::start_one(flavour, &options)
        };
        let (primary, replica) = (start("--server-id=1"), start("--server-id=2"));
        for statement in primary.follow() {
            run_sql(&replica.url(), &statement).await;
        }
        let options = StoreOptions { replica_lag_max: LAG_MAX, ..options() };
        let store = Store::open_with_read(&primary.url(), Some(&replica.url()), &options).await.unwrap();
        store.migrate().await.unwrap();
        Self { primary, replica, store, life: Life::new("FR1"), stored: 0 }
    }

    /// Sells one more seat, and stores that.
    async fn sell(&mut self) -> OrderNo {
        let order = self.life.grab("u", 1);
        let last = self.life.flight.seq().0;
        let batch = self.life.batch(1, self.stored + 1..=last);
        assert_eq!(self.store.flush(&[batch]).await.unwrap(), [Flushed::Stored]);
        self.stored = last;
        order
    }

    async fn listed(&self, filter: &OrderFilter) -> Listed {
        let began = Instant::now();
        let listed = self.store.list_orders(filter, None, 100, Asker::Customer, PATIENCE).await.unwrap();
        assert!(began.elapsed() < PATIENCE, "a list took {:?}", began.elapsed());
        listed
    }

    /// A list, which is all there is exactly if it says so.
    async fn honest(&self) -> bool {
        let all = self.life.flight.seq().0 - 2;
        let of_flight = OrderFilter { flight_id: Some(self.life.id()), ..OrderFilter::default() };
        for filter in [OrderFilter::default(), of_flight] {
            let listed = self.listed(&filter).await;
            assert!(!listed.is_newest || listed.orders.len() as u64 == all, "{listed:?} of {all}");
            if !listed.is_newest {
                return false;
            }
        }
        true
    }

    fn status(&self) -> ReplicaStatus {
        self.store.replica_status().unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        let deadline = Instant::now() + LONG;
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "in vain: {what}: {status:?}");
            self.honest().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_serving(&self) {
        self.until("the replica serves", |status| status.state == ReplicaState::Serving).await;
        let deadline = Instant::now() + LONG;
        while !self.honest().await {
            assert!(Instant::now() < deadline, "the replica does not catch up: {:?}", self.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn lists_are_honest(more: &[&str]) {
    let mut pair = Pair::start(more).await;
    for _ in 0..3 {
        pair.sell().await;
    }
    pair.until_serving().await;
    let before = pair.status().fallbacks;
    assert!(pair.honest().await);
    assert_eq!(pair.status().fallbacks, before, "the replica served");

    // It stands still: what was stored since is missing, or comes from the primary.
    run_sql(&pair.replica.url(), "STOP REPLICA SQL_THREAD").await;
    let order = pair.sell().await;
    let listed = pair.listed(&OrderFilter::default()).await;
    assert!(!listed.is_newest && listed.orders.len() == 3, "{listed:?}");
    let id = pair.store.flight(&pair.life.id()).await.unwrap().unwrap().orders[3].order_id.clone();
    assert_eq!(id.order.no, order);
    assert!(pair.store.order(&id).await.unwrap().is_some(), "one that the replica has not got is found");
    let status = pair.until("it is behind", |status| status.state == ReplicaState::Behind).await;
    assert!(status.lag > LAG_MAX, "{status:?}");
    assert!(pair.honest().await, "the primary serves");
    run_sql(&pair.replica.url(), "START REPLICA SQL_THREAD").await;
    pair.until_serving().await;

    // It hangs, and is dead.
    pair.replica.stop();
    pair.sell().await;
    assert!(pair.honest().await);
    pair.until("it is away", |status| matches!(status.state, ReplicaState::Away { .. })).await;
    assert!(pair.honest().await);
    pair.replica.cont();
    pair.until_serving().await;
    pair.replica.kill();
    pair.sell().await;
    assert!(pair.honest().await);
    let status = pair
        .until(
            "it is refused",
            |status| matches!(&status.state, ReplicaState::Away { error, .. } if error.contains("refused")),
        )
        .await;
    assert!(status.fallbacks > before, "{status:?}");
    pair.replica.restart();
    pair.until_serving().await;
    assert_eq!(pair.store.cursor(&pair.life.id()).await.unwrap().unwrap().seq, Seq(pair.stored));
    drop(pair.primary);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_follows_at_its_own_pace_is_never_taken_for_more_than_it_has() {
    lists_are_honest(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_that_the_primary_waits_for() {
    let semi_synchronous: &[&str] = match Flavour::of_the_run() {
        Flavour::MySql => &[
            "--plugin-load-add=semisync_source.so;semisync_replica.so",
            "--rpl-semi-sync-source-enabled=1",
            "--rpl-semi-sync-source-timeout=500",
            "--rpl-semi-sync-replica-enabled=1",
        ],
        Flavour::MariaDb => &[
            "--rpl-semi-sync-master-enabled=1",
            "--rpl-semi-sync-master-timeout=500",
            "--rpl-semi-sync-slave-enabled=1",
        ],
    };
    lists_are_honest(semi_synchronous).await;
}

/// Nothing is known of a replica at the start; one that stood still before says so too late to be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stood_still_before_the_start_serves_nothing() {
    let mut pair = Pair::start(&[]).await;
    pair.sell().await;
    pair.until_serving().await;
    run_sql(&pair.replica.url(), "STOP REPLICA").await;
    pair.sell().await;
    let (primary, replica) = (pair.primary.url(), pair.replica.url());
    pair.store = Store::open_with_read(&primary, Some(&replica), &options()).await.unwrap();
    for _ in 0..100 {
        assert!(pair.honest().await, "the primary serves");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pair.status().state, ReplicaState::Behind);
}
