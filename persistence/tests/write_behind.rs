//! The write-behind between a journal in memory and a real store: order, outages, bounds, replies, a graceful stop.

mod store_support;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, Event, Flight, FlightId, SalePolicy, Seq};
use farerush_engine::journal::{Batch, Claim, DurableRound, Journal, OnDurable, Release};
use farerush_persistence::journal::MemoryJournal;
use farerush_persistence::store::{Store, StoreOptions};
use farerush_persistence::write_behind::{Hooks, StoreState, WriteBehind, WriteBehindOptions};
use store_support::{Life, TestStore, id, life_of, options as store_options, stores};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

/// A write-behind with everything around it.
struct Rig {
    test: TestStore,
    journal: Arc<MemoryJournal>,
    write_behind: WriteBehind,
    intake: OnDurable,
    stored: mpsc::Receiver<(FlightId, Seq)>,
    fenced: mpsc::Receiver<(FlightId, Epoch)>,
}

impl Rig {
    /// One on each kind of store.
    async fn all(options: WriteBehindOptions) -> Vec<Self> {
        let mut rigs = Vec::new();
        for test in stores().await {
            rigs.push(Self::on(test, options.clone()).await);
        }
        rigs
    }

    async fn on(test: TestStore, options: WriteBehindOptions) -> Self {
        let journal = Arc::new(MemoryJournal::new());
        let (stored_in, stored) = mpsc::channel();
        let (fenced_in, fenced) = mpsc::channel();
        let hooks = Hooks {
            on_stored: Box::new(move |flight_id, seq| drop(stored_in.send((flight_id.clone(), seq)))),
            on_fenced: Box::new(move |flight_id, epoch| drop(fenced_in.send((flight_id.clone(), epoch)))),
        };
        // A locked file is noticed soon; a server needs a moment for each connection.
        let timeout = Duration::from_millis(if test.name == "sqlite" { 300 } else { 2_000 });
        let with_secrets = StoreOptions { timeout, ..store_options() };
        let store = Store::open(&test.url, &with_secrets).await.unwrap();
        let write_behind = WriteBehind::start(store, journal.clone(), options, hooks);
        let intake = write_behind.intake();
        Self { test, journal, write_behind, intake, stored, fenced }
    }

    /// Makes events durable and hands them on, as the journal's writer does.
    fn hand_in(&self, batches: Vec<Batch>) {
        self.journal.append(&batches).unwrap();
        (self.intake)(DurableRound { batches, releases: Vec::new() });
    }

    /// Waits until the store counts as away; returns what it is said to have failed with.
    async fn until_down(&self) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            if let StoreState::Down { error, .. } = self.write_behind.status().store {
                return error;
            }
            assert!(Instant::now() < deadline, "the store never counts as away");
            assert!(!self.write_behind.caught_up(SHORT).await);
        }
    }

    async fn stored_flight(&self, flight_id: &FlightId) -> Flight {
        let (snapshot, _) = self.test.store.snapshot(flight_id).await.unwrap().unwrap();
        Flight::restore(snapshot).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_handed_in_is_stored_flight_by_flight_in_order() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let lives: Vec<Life> = (0..5).map(|number| life_of(&format!("FR{number}"), 300)).collect();
        let longest = lives.iter().map(|life| life.events.len() as u64).max().unwrap();
        for from in (1..=longest).step_by(3) {
            let batches = lives.iter().map(|life| life.batch(1, from..=from + 2));
            rig.hand_in(batches.filter(|batch| !batch.events.is_empty()).collect());
        }
        assert!(rig.write_behind.caught_up(LONG).await);
        for life in &lives {
            assert_eq!(rig.stored_flight(&life.id()).await.digest(), life.flight.digest());
            assert_eq!(rig.write_behind.stored(&life.id()), Some(life.flight.seq()));
        }
        let status = rig.write_behind.status();
        assert_eq!((status.backlog_events, status.backlog_bytes, status.flights_behind), (0, 0, 0));
        assert_eq!((status.store, status.stuck.len()), (StoreState::Up, 0));
        let told: Vec<_> = rig.stored.try_iter().filter(|(flight_id, _)| *flight_id == id("FR0")).collect();
        assert!(told.windows(2).all(|pair| pair[0].1 < pair[1].1), "{told:?}");
    }
}

/// What waits for the store waits for its own flight, and leaves in that flight's order: also what has no events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_leave_in_the_order_of_their_flight_whatever_another_one_waits_for() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let lives = [life_of("FR1", 60), life_of("FR2", 60)];
        let (sender, mut released) = tokio::sync::mpsc::unbounded_channel();
        let wait_for = |flight: usize, seq: u64, what: &'static str| {
            let (sender, flight_id) = (sender.clone(), lives[flight].id());
            Release { flight_id, seq: Seq(seq), run: Box::new(move || sender.send(what).unwrap()) }
        };
        let lock = rig.test.lock().await;
        let batches = vec![lives[0].batch(1, 1..=10), lives[1].batch(1, 1..=10)];
        rig.journal.append(&batches).unwrap();
        let releases = vec![wait_for(0, 10, "events of FR1"), wait_for(1, 10, "events of FR2")];
        (rig.intake)(DurableRound { batches, releases });
        // A later round with nothing but an answer that was decided on top of those events.
        let releases = vec![wait_for(0, 10, "answer of FR1")];
        (rig.intake)(DurableRound { batches: Vec::new(), releases });
        assert!(!rig.write_behind.caught_up(SHORT).await);
        assert!(released.try_recv().is_err(), "the store has none of it");
        drop(lock);
        let mut of_first = Vec::new();
        for _ in 0..3 {
            let what = tokio::time::timeout(LONG, released.recv()).await.unwrap().unwrap();
            of_first.extend(what.ends_with("FR1").then_some(what));
        }
        assert_eq!(of_first, ["events of FR1", "answer of FR1"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_store_away_events_wait_and_go_in_when_it_is_back() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let life = life_of("FR1", 200);
        rig.hand_in(vec![life.batch(1, 1..=2)]);
        assert!(rig.write_behind.caught_up(LONG).await);
        let lock = rig.test.lock().await;
        rig.hand_in(vec![life.batch(1, 3..=50)]);
        assert!(!rig.write_behind.caught_up(SHORT).await);
        rig.hand_in(vec![life.batch(1, 51..=u64::MAX)]);
        let error = rig.until_down().await;
        assert!(error.to_lowercase().contains("lock"), "{error}");
        assert_eq!(rig.write_behind.status().backlog_events, life.flight.seq().0 - 2);
        drop(lock);
        assert!(rig.write_behind.caught_up(LONG).await);
        assert_eq!(rig.write_behind.status().store, StoreState::Up);
        assert_eq!(rig.stored_flight(&life.id()).await.digest(), life.flight.digest());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_events_leave_memory_and_are_read_again_from_the_journal() {
    let bytes_max = 20_000;
    let options = WriteBehindOptions { backlog_bytes_max: bytes_max, rows_max: 64, ..Default::default() };
    for rig in Rig::all(options).await {
        let lives = [life_of("FR1", 2_000), life_of("FR2", 500)];
        let lock = rig.test.lock().await;
        for life in &lives {
            for from in (1..=life.flight.seq().0).step_by(10) {
                rig.hand_in(vec![life.batch(1, from..=from + 9)]);
                assert!(rig.write_behind.status().backlog_bytes <= bytes_max);
            }
        }
        assert!(!rig.write_behind.caught_up(SHORT).await);
        drop(lock);
        assert!(rig.write_behind.caught_up(LONG).await);
        let status = rig.write_behind.status();
        assert!(status.reread_events > 0 && status.stuck.is_empty(), "{status:?}");
        assert_eq!((status.backlog_events, status.backlog_bytes), (0, 0));
        for life in &lives {
            assert_eq!(rig.stored_flight(&life.id()).await.digest(), life.flight.digest());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_wait_for_the_store_leave_after_its_commit() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let mut life = Life::new("FR1");
        for _ in 0..20 {
            life.grab("u", 1);
        }
        let (sender, mut released) = tokio::sync::mpsc::unbounded_channel();
        for seq in 1..=life.flight.seq().0 {
            let (batches, sender) = (vec![life.batch(1, seq..=seq)], sender.clone());
            rig.journal.append(&batches).unwrap();
            let release = Box::new(move || sender.send(seq).unwrap());
            let releases = vec![Release { flight_id: life.id(), seq: Seq(seq), run: release }];
            (rig.intake)(DurableRound { batches, releases });
        }
        for expected in 1..=life.flight.seq().0 {
            assert_eq!(released.recv().await, Some(expected));
            let cursor = rig.test.store.cursor(&life.id()).await.unwrap().unwrap();
            assert!(cursor.seq.0 >= expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_the_store_gave_to_a_later_owner_is_dropped_and_the_others_go_on() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let (lost, kept) = (life_of("LOST", 50), life_of("KEPT", 50));
        rig.hand_in(vec![lost.batch(1, 1..=10), kept.batch(1, 1..=10)]);
        assert!(rig.write_behind.caught_up(LONG).await);
        rig.test.store.claim(&[Claim { flight_id: lost.id(), epoch: Epoch(2) }]).await.unwrap();
        rig.hand_in(vec![lost.batch(1, 11..=20), kept.batch(1, 11..=20)]);
        rig.hand_in(vec![lost.batch(1, 21..=30), kept.batch(1, 21..=30)]);
        assert!(rig.write_behind.caught_up(LONG).await);
        assert_eq!(rig.fenced.try_iter().collect::<Vec<_>>(), [(lost.id(), Epoch(1))]);
        assert_eq!(rig.stored_flight(&lost.id()).await.digest(), lost.flight_at(10).digest());
        assert_eq!(rig.stored_flight(&kept.id()).await.digest(), kept.flight_at(30).digest());
        // It comes back under a new epoch, with what the journal has.
        rig.write_behind.register(&lost.id(), Epoch(3), Seq(10), Seq(30));
        assert!(rig.write_behind.caught_up(LONG).await);
        assert_eq!(rig.stored_flight(&lost.id()).await.digest(), lost.flight_at(30).digest());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovered_flight_catches_up_from_the_journal_while_new_events_come() {
    for rig in Rig::all(WriteBehindOptions { rows_max: 32, ..Default::default() }).await {
        let life = life_of("FR1", 600);
        rig.test.store.flush(&[life.batch(1, 1..=7)]).await.unwrap();
        rig.journal.append(&[life.batch(1, 1..=200)]).unwrap();
        rig.write_behind.register(&life.id(), Epoch(1), Seq(7), Seq(200));
        for from in (201..=life.flight.seq().0).step_by(5) {
            rig.hand_in(vec![life.batch(1, from..=from + 4)]);
        }
        assert!(rig.write_behind.caught_up(LONG).await);
        assert_eq!(rig.stored_flight(&life.id()).await.digest(), life.flight.digest());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_do_not_fit_stop_only_their_own_flight_and_are_reported() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let (odd, good) = (Life::new("ODD"), life_of("GOOD", 50));
        let mut batch = odd.all(1);
        batch.events.truncate(1);
        batch.events[0].event = Event::PolicyChanged { policy: SalePolicy::default() };
        rig.hand_in(vec![batch, good.batch(1, 1..=20)]);
        rig.hand_in(vec![good.batch(1, 21..=u64::MAX)]);
        assert!(rig.write_behind.caught_up(LONG).await, "what is stuck is not waited for");
        let stuck = rig.write_behind.status().stuck;
        assert!(stuck.len() == 1 && stuck[0].0 == odd.id() && stuck[0].1.contains("no row"), "{stuck:?}");
        assert_eq!(rig.stored_flight(&good.id()).await.digest(), good.flight.digest());
        rig.write_behind.forget(&odd.id());
        assert!(rig.write_behind.status().stuck.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_stores_what_is_left_and_lets_the_journal_go() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let life = life_of("FR1", 1_000);
        rig.hand_in(vec![life.all(1)]);
        assert!(rig.write_behind.drain(LONG).await);
        assert_eq!(rig.stored_flight(&life.id()).await.digest(), life.flight.digest());
        let extent = rig.journal.extent(&life.id()).unwrap().unwrap();
        assert_eq!((extent.first, extent.last), (Seq(0), life.flight.seq()), "trimmed");
        assert!(rig.write_behind.drain(LONG).await, "draining again is harmless");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_with_the_store_away_gives_up_at_its_deadline() {
    for rig in Rig::all(WriteBehindOptions::default()).await {
        let life = life_of("FR1", 10);
        let _lock = rig.test.lock().await;
        rig.hand_in(vec![life.all(1)]);
        assert!(!rig.write_behind.drain(SHORT).await);
        let extent = rig.journal.extent(&life.id()).unwrap().unwrap();
        assert_eq!(extent.first, Seq(1), "nothing was trimmed");
    }
}
