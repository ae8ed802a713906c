//! The Redis journal while its server is killed and stopped, and while the way to it cuts, delays and drops:
//! nothing confirmed is lost, and nothing is there twice.

mod journal_support;
mod servers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Appended, Batch, Claim, Journal, JournalError};
use farerush_persistence::journal::{RedisJournal, RedisOptions};
use journal_support::{Rng, batch, flight_id, small_events, test_seed};
use servers::{Proxy, RedisServer, wait_until};

const FLIGHTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something goes wrong in one test: `FARERUSH_TEST_ROUNDS`, or this many times.
fn rounds(default: u64) -> u64 {
    std::env::var("FARERUSH_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A journal that loses patience quickly, so that many things can go wrong in a short time.
fn open(port: u16) -> RedisJournal {
    let options = RedisOptions {
        connect_timeout: Duration::from_millis(200),
        response_timeout: Duration::from_millis(100),
        retain_events: 0,
        trim_needs_snapshot: false,
        ..RedisOptions::default()
    };
    let opened = || RedisJournal::open(&format!("redis://127.0.0.1:{port}/0"), options.clone());
    let mut journal = None;
    assert!(wait_until(PATIENCE, || {
        journal = opened().ok();
        journal.is_some()
    }));
    journal.unwrap()
}

/// Sends a round again, as it was, for as long as the outcome is unknown; counts how often it was.
fn append_counted(journal: &RedisJournal, round: &[Batch], unknown: &AtomicU64) -> Vec<Appended> {
    let mut answers = None;
    assert!(
        wait_until(PATIENCE, || match journal.append(round) {
            Ok(appended) => {
                answers = Some(appended);
                true
            }
            Err(JournalError::Unavailable { .. }) => {
                unknown.fetch_add(1, Ordering::Relaxed);
                false
            }
            Err(error) => panic!("{error:?}"),
        }),
        "the outcome stays unknown"
    );
    answers.unwrap()
}

fn append_for_sure(journal: &RedisJournal, round: &[Batch]) -> Vec<Appended> {
    append_counted(journal, round, &AtomicU64::new(0))
}

/// Appends to all flights, without an end, and keeps count of what was confirmed.
struct Load {
    confirmed: [AtomicU64; FLIGHTS],
    batches: AtomicU64,
    unknown: AtomicU64,
    stop: AtomicBool,
}

/// Ends the load when the test is done with it, or fails.
struct StopWhenDropped<'a>(&'a Load);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

impl Load {
    fn new() -> Self {
        let confirmed = [const { AtomicU64::new(0) }; FLIGHTS];
        Self {
            confirmed,
            batches: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn run(&self, journal: &RedisJournal, rng: &mut Rng) {
        let mut next = [1; FLIGHTS];
        while !self.stop.load(Ordering::Acquire) {
            let mut round = Vec::new();
            for (flight, next) in next.iter().enumerate() {
                if !rng.one_in(3) {
                    round.push(batch(flight, 1, *next, 1 + rng.below(20)));
                }
            }
            let answers = append_counted(journal, &round, &self.unknown);
            assert!(answers.iter().all(|answer| *answer == Appended::Durable), "{answers:?}");
            self.batches.fetch_add(round.len() as u64, Ordering::Release);
            for batch in round {
                let flight = (0..FLIGHTS).find(|flight| flight_id(*flight) == batch.flight_id).unwrap();
                next[flight] = batch.last_seq().0 + 1;
                self.confirmed[flight].store(batch.last_seq().0, Ordering::Release);
            }
        }
    }

    fn wait_for_batches(&self, more: u64) {
        let goal = self.batches.load(Ordering::Acquire) + more;
        assert!(wait_until(PATIENCE, || self.batches.load(Ordering::Acquire) >= goal), "nothing is appended");
    }

    /// Everything confirmed before this call is there, as it was appended.
    fn check(&self, journal: &RedisJournal, seed: u64) {
        for flight in 0..FLIGHTS {
            let confirmed = self.confirmed[flight].load(Ordering::Acquire);
            let last = journal.extent(&flight_id(flight)).unwrap().map_or(0, |extent| extent.last.0);
            assert!(confirmed <= last, "seed {seed}: {confirmed} confirmed in flight {flight}, {last} there");
        }
    }

    /// Everything is there once.
    fn check_all(&self, server: &RedisServer, journal: &RedisJournal, seed: u64) {
        let mut entries = 0;
        for flight in 0..FLIGHTS {
            let confirmed = self.confirmed[flight].load(Ordering::Acquire);
            let count = usize::try_from(confirmed).unwrap() + 1;
            let events = journal.read(&flight_id(flight), Seq(0), count).unwrap();
            assert_eq!(events, small_events(1, confirmed), "seed {seed}, flight {flight}");
            let key = format!("farerush:{{{}}}:journal", flight_id(flight));
            let length = server.command(&["XLEN", &key]).unwrap();
            entries += length.trim_start_matches(':').trim().parse::<u64>().unwrap();
        }
        assert_eq!(entries, self.batches.load(Ordering::Acquire), "seed {seed}: an entry for each batch");
    }
}

#[test]
fn nothing_confirmed_is_lost_or_there_twice_when_redis_is_killed_again_and_again() {
    let seed = test_seed();
    let mut rng = Rng(seed);
    let mut server = RedisServer::start(&[]);
    let (journal, load) = (open(server.port()), Load::new());
    let mut load_rng = Rng(rng.next());
    std::thread::scope(|scope| {
        let _stop = StopWhenDropped(&load);
        scope.spawn(|| load.run(&journal, &mut load_rng));
        for _ in 0..rounds(20) {
            load.wait_for_batches(1 + rng.below(60));
            server.kill();
            server.restart();
            load.check(&open(server.port()), seed);
        }
        load.wait_for_batches(10);
    });
    load.check_all(&server, &open(server.port()), seed);
    assert!(load.unknown.load(Ordering::Relaxed) > 0, "no append was ever interrupted");
}

#[test]
fn every_append_with_an_unknown_outcome_is_resolved_and_none_is_applied_twice() {
    let seed = test_seed();
    let mut rng = Rng(seed);
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.address());
    let (journal, load) = (open(proxy.port()), Load::new());
    let mut load_rng = Rng(rng.next());
    std::thread::scope(|scope| {
        let _stop = StopWhenDropped(&load);
        scope.spawn(|| load.run(&journal, &mut load_rng));
        for _ in 0..rounds(60) {
            load.wait_for_batches(rng.below(20));
            go_wrong(&proxy, &load, &mut rng);
            proxy.heal();
            load.wait_for_batches(1);
        }
    });
    load.check_all(&server, &open(server.port()), seed);
    println!("{} cuts, {} unknown outcomes", proxy.cuts(), load.unknown.load(Ordering::Relaxed));
    // A few rounds may happen to have none.
    assert!(rounds(60) < 20 || (proxy.cuts() > 0 && load.unknown.load(Ordering::Relaxed) > 0));
}

/// One thing, until it has had its effect.
fn go_wrong(proxy: &Proxy, load: &Load, rng: &mut Rng) {
    let (cuts, unknown) = (proxy.cuts(), load.unknown.load(Ordering::Relaxed));
    let was_cut = || proxy.cuts() > cuts;
    let was_unknown = || load.unknown.load(Ordering::Relaxed) > unknown;
    let done = match rng.below(6) {
        0 => {
            proxy.cut_requests_after(rng.index(6_000));
            wait_until(PATIENCE, was_cut)
        }
        1 => {
            proxy.cut_replies_after(rng.index(600));
            wait_until(PATIENCE, was_cut)
        }
        2 => {
            proxy.drop_replies(true);
            wait_until(PATIENCE, was_unknown)
        }
        3 => {
            proxy.delay_replies(Some(Duration::from_millis(5 + rng.below(200))));
            load.wait_for_batches(0);
            proxy.cut_replies_after(rng.index(200));
            wait_until(PATIENCE, || was_cut() || was_unknown())
        }
        4 => {
            proxy.cut_all();
            true
        }
        _ => {
            proxy.refuse(true);
            proxy.cut_all();
            wait_until(PATIENCE, was_unknown)
        }
    };
    assert!(done, "nothing went wrong");
}

#[test]
fn a_round_cut_at_any_byte_lands_once() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.address());
    let journal = open(proxy.port());
    let mut next = 1;
    let mut append = |flights: usize| {
        let round: Vec<Batch> = (0..flights).map(|flight| batch(flight, 1, next, 2)).collect();
        next += 2;
        append_for_sure(&journal, &round)
    };
    append(FLIGHTS);
    let (requests_before, replies_before) = proxy.bytes();
    append(FLIGHTS);
    let (requests, replies) = proxy.bytes();
    let (requests, replies) = (requests - requests_before, replies - replies_before);
    for at in (0..requests).step_by(13) {
        proxy.cut_requests_after(usize::try_from(at).unwrap());
        assert_eq!(append(FLIGHTS), [Appended::Durable; FLIGHTS], "request cut at byte {at}");
    }
    for at in 0..replies {
        proxy.cut_replies_after(usize::try_from(at).unwrap());
        assert_eq!(append(FLIGHTS), [Appended::Durable; FLIGHTS], "reply cut at byte {at}");
    }
    let cuts = requests.div_ceil(13) + replies;
    assert!(proxy.cuts() + 1 >= cuts, "{} of {cuts} cuts", proxy.cuts());
    for flight in 0..FLIGHTS {
        assert_eq!(journal.read(&flight_id(flight), Seq(0), 100_000).unwrap(), small_events(1, next - 1));
    }
}

#[test]
fn a_claim_with_an_unknown_outcome_can_be_made_again_and_no_one_else_gets_it() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.address());
    let (journal, other) = (open(proxy.port()), open(server.port()));
    other.append(&[batch(1, 1, 1, 1)]).unwrap();
    let mut unknown = 0;
    for epoch in 2..120 {
        let claim = [Claim { flight_id: flight_id(1), epoch: Epoch(epoch) }];
        // Bytes of the answers to a claim: every one of them is the last one some time.
        proxy.cut_replies_after(usize::try_from(epoch).unwrap() * 5);
        if epoch % 4 == 0 {
            proxy.drop_replies(true);
            assert!(journal.fence(&claim).is_err());
            unknown += 1;
            proxy.drop_replies(false);
        }
        assert!(wait_until(PATIENCE, || match journal.fence(&claim) {
            Ok(()) => true,
            Err(JournalError::Unavailable { .. }) => {
                unknown += 1;
                false
            }
            Err(error) => panic!("epoch {epoch}: {error:?}"),
        }));
        for journal in [&journal, &other] {
            let late = journal.fence(&claim);
            let late = late.or_else(|_| journal.fence(&claim));
            assert!(
                matches!(late, Err(JournalError::Fenced { epoch: Epoch(newest), .. }) if newest == epoch)
            );
        }
    }
    assert!(unknown > 0);
}

#[test]
fn a_server_that_stands_still_confirms_nothing_and_is_back_at_once() {
    let server = RedisServer::start(&[]);
    let journal = open(server.port());
    journal.append(&[batch(1, 1, 1, 1)]).unwrap();
    server.stop();
    for _ in 0..4 {
        let answer = journal.append(&[batch(1, 1, 2, 3)]);
        assert!(matches!(answer, Err(JournalError::Unavailable { .. })), "{answer:?}");
    }
    let back = Instant::now();
    server.cont();
    let answers = append_for_sure(&journal, &[batch(1, 1, 2, 3)]);
    assert_eq!(answers, [Appended::Durable]);
    assert!(back.elapsed() < Duration::from_secs(2), "it took {:?}", back.elapsed());
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 4));
}

#[test]
fn an_owner_whose_commands_arrive_late_is_refused_by_redis() {
    let server = RedisServer::start(&[]);
    let (old, new) = (open(server.port()), open(server.port()));
    for round in 0..10 {
        let (epoch, first) = (1 + 2 * round, 1 + 2 * round);
        assert_eq!(append_for_sure(&old, &[batch(1, epoch, first, 1)]), [Appended::Durable]);
        // The batch waits in a socket while the flight is taken over.
        server.stop();
        assert!(old.append(&[batch(1, epoch, first + 1, 1)]).is_err());
        server.cont();
        let claim = |epoch| [Claim { flight_id: flight_id(1), epoch: Epoch(epoch) }];
        assert!(wait_until(PATIENCE, || new.fence(&claim(epoch + 1)).is_ok()));
        let last = new.extent(&flight_id(1)).unwrap().unwrap().last.0;
        let answers = append_for_sure(&old, &[batch(1, epoch, first + 1, 1)]);
        let expected = if last == first { Appended::Fenced } else { Appended::Durable };
        assert_eq!(answers, [expected]);
        if last == first {
            assert_eq!(append_for_sure(&new, &[batch(1, epoch + 1, first + 1, 1)]), [Appended::Durable]);
        }
        assert!(wait_until(PATIENCE, || old.fence(&claim(epoch + 2)).is_ok()));
    }
    assert_eq!(new.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 20));
}
