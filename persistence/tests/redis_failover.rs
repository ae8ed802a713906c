//! The Redis journal behind sentinels and on a cluster: what was confirmed outlives a primary whose replica lacked it, as long
//! as whoever confirmed it lives; and nobody writes who may have been followed.
//! Never waits for a time, only for what is to come about.

mod journal_support;
mod servers;

use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, Seq};
use farerush_engine::journal::{Appended, Claim, Journal, JournalError};
use farerush_persistence::journal::{Met, RedisJournal, RedisOptions};
use journal_support::{batch, flight_id, small_events};
use servers::{Cluster, RedisServer, Replicated};

const PATIENCE: Duration = Duration::from_secs(30);

/// One that has everybody met.
fn open(url: &str) -> RedisJournal {
    let options = RedisOptions { heals: true, ..RedisOptions::default() };
    let journal = RedisJournal::open(url, options).unwrap_or_else(|error| panic!("{url}: {error:?}"));
    journal.want_met();
    journal
}

/// Does it until Redis takes it.
fn insist<T>(what: impl Fn() -> Result<T, JournalError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match what() {
            Ok(done) => return done,
            Err(JournalError::Unavailable { .. }) if Instant::now() < deadline => {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn append(journal: &RedisJournal, flight: usize, epoch: u64, first: u64, count: u64) -> Appended {
    insist(|| journal.append(&[batch(flight, epoch, first, count)]))[0]
}

fn fence(journal: &RedisJournal, flight: usize, epoch: u64) {
    let claim = Claim { flight_id: flight_id(flight), epoch: Epoch(epoch) };
    insist(|| journal.fence(std::slice::from_ref(&claim)));
}

/// Waits until there is a new primary, and meets it.
fn meet(journal: &RedisJournal, goes_on: bool) -> Met {
    insist(|| {
        journal.probe()?;
        if journal.has_new_primary() {
            journal.meet(|_, _| goes_on, true)
        } else {
            Err(JournalError::Unavailable { what: "there is none yet".to_owned(), source: None })
        }
    })
}

#[test]
fn what_a_promoted_replica_lacks_is_written_again_in_order_fences_and_new_flights_too() {
    let mut redis = Replicated::start(1, false);
    let journal = open(&redis.url());
    append(&journal, 1, 1, 1, 3);
    append(&journal, 2, 1, 1, 3);
    redis.cut_off_replicas();
    append(&journal, 1, 1, 4, 2);
    fence(&journal, 2, 2);
    append(&journal, 2, 2, 4, 1);
    append(&journal, 2, 2, 5, 4);
    append(&journal, 3, 1, 1, 2);
    redis.kill_primary();
    // Before it is met, nothing is written to it, and nothing of one's own is read from it.
    let unmet = insist(|| match journal.append(&[batch(1, 1, 6, 1)]) {
        Err(error) if journal.has_new_primary() => Ok(error),
        Err(error) => Err(error),
        Ok(_) => panic!("it was written to"),
    });
    assert!(format!("{unmet:?}").contains("compared"), "{unmet:?}");
    assert!(journal.read(&flight_id(1), Seq(0), 10).is_err());
    let met = meet(&journal, true);
    assert_eq!((met.events, met.healed.len(), met.lacking.len()), (9, 3, 0), "{met:?}");
    assert_eq!(journal.healed(), (9, 3, 1));
    append(&journal, 1, 1, 6, 1);
    append(&journal, 2, 2, 9, 1);
    append(&journal, 3, 1, 3, 1);
    for (flight, epoch, last) in [(1, 1, 6), (2, 2, 9), (3, 1, 3)] {
        let extent = journal.extent(&flight_id(flight)).unwrap().unwrap();
        assert_eq!((extent.epoch, extent.last), (Epoch(epoch), Seq(last)));
        assert_eq!(journal.read(&flight_id(flight), Seq(0), 100).unwrap(), small_events(1, last));
    }
    let life = Some(journal.life());
    assert_eq!(
        journal.owners(&[flight_id(1), flight_id(2), flight_id(3)]).unwrap(),
        [(); 3].map(|()| life.clone())
    );
    // Another look finds nothing to do.
    assert!(!journal.has_new_primary());
}

#[test]
fn whoever_may_have_been_followed_gives_back_what_it_knows_and_writes_nothing_more() {
    let mut redis = Replicated::start(1, false);
    let (one, other) = (open(&redis.url()), open(&redis.url()));
    append(&one, 1, 1, 1, 3);
    redis.cut_off_replicas();
    append(&one, 1, 1, 4, 2);
    // Another one follows, and sells; of all that the new primary knows nothing.
    fence(&other, 1, 2);
    assert_eq!(other.read(&flight_id(1), Seq(3), 10).unwrap(), small_events(4, 2));
    append(&other, 1, 2, 6, 2);
    redis.kill_primary();
    let met = meet(&one, false);
    assert_eq!((met.events, met.healed.len()), (2, 1), "{met:?}");
    assert_eq!(insist(|| one.append(&[batch(1, 1, 6, 1)])), [Appended::Fenced]);
    let met = meet(&other, true);
    assert_eq!((met.events, met.lacking.len()), (2, 0), "{met:?}");
    append(&other, 1, 2, 8, 1);
    assert_eq!(other.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 8));
    // Whoever comes late finds that it was followed.
    let extent = one.extent(&flight_id(1)).unwrap().unwrap();
    assert_eq!((extent.epoch, extent.last), (Epoch(2), Seq(8)));
}

#[test]
fn what_somebody_else_has_written_meanwhile_stays_and_the_owner_of_before_is_told() {
    let mut redis = Replicated::start(1, false);
    let (one, other) = (open(&redis.url()), open(&redis.url()));
    append(&one, 1, 1, 1, 3);
    redis.cut_off_replicas();
    append(&one, 1, 1, 4, 2);
    redis.kill_primary();
    meet(&other, true);
    fence(&other, 1, 2);
    append(&other, 1, 2, 4, 1);
    let met = meet(&one, true);
    assert_eq!((met.events, met.taken), (0, vec![flight_id(1)]));
    assert_eq!(insist(|| one.append(&[batch(1, 1, 6, 1)])), [Appended::Fenced]);
    assert_eq!(other.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 4));
}

#[test]
fn a_primary_that_is_gone_and_a_sentinel_too_are_no_more_than_a_pause() {
    let mut redis = Replicated::start(1, false);
    let journal = open(&redis.url());
    append(&journal, 1, 1, 1, 3);
    redis.kill_sentinel(0);
    // The journal goes on, and a new connection finds its way by another sentinel.
    let second = open(&redis.url());
    assert_eq!(second.read(&flight_id(1), Seq(0), 10).unwrap(), small_events(1, 3));
    append(&journal, 1, 1, 4, 1);
}

#[test]
fn a_primary_that_slept_through_its_replacement_is_not_written_to_nor_read_any_more() {
    let mut redis = Replicated::start(1, false);
    let journal = open(&redis.url());
    append(&journal, 1, 1, 1, 3);
    // All its connections lead there.
    fence(&journal, 1, 2);
    journal.epochs(&[flight_id(1)]).unwrap();
    redis.replace_sleeping_primary();
    // What finds out first, by a connection that is new, speaks for all of them.
    let second = open(&redis.url());
    assert!(second.extent(&flight_id(1)).unwrap().is_some());
    meet(&journal, true);
    append(&journal, 1, 2, 4, 2);
    assert_eq!(journal.epochs(&[flight_id(1)]).unwrap(), [Some(Epoch(2))]);
    let extent = second.extent(&flight_id(1)).unwrap().unwrap();
    assert_eq!((extent.epoch, extent.last), (Epoch(2), Seq(5)), "it is where the others look");
}

#[test]
fn a_server_that_comes_back_with_less_gets_it_again_from_whoever_confirmed_it() {
    let mut redis = RedisServer::start(&["--appendfsync", "no", "--appendonly", "no"]);
    let journal = open(&redis.url());
    append(&journal, 1, 1, 1, 3);
    fence(&journal, 1, 2);
    append(&journal, 1, 2, 4, 3);
    redis.restart();
    let met = meet(&journal, true);
    assert_eq!((met.events, met.lacking.len()), (6, 0), "{met:?}");
    append(&journal, 1, 2, 7, 1);
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 7));
}

#[test]
fn a_cluster_that_loses_a_primary_gets_again_what_its_replica_lacked() {
    let mut cluster = Cluster::start(false);
    let journal = open(&cluster.url());
    let flights = 1..=12;
    for flight in flights.clone() {
        append(&journal, flight, 1, 1, 2);
    }
    let hit = cluster.primary_of(&format!("farerush:{{{}}}:journal", flight_id(1)));
    cluster.cut_off_replicas_of(hit);
    let round: Vec<_> = flights.clone().map(|flight| batch(flight, 1, 3, 2)).collect();
    assert_eq!(insist(|| journal.append(&round)), vec![Appended::Durable; 12]);
    cluster.kill_primary(hit);
    let met = meet(&journal, true);
    println!("{} events of {} flights were written again", met.events, met.healed.len());
    assert!(met.events >= 2 && met.lacking.is_empty() && met.healed.contains(&flight_id(1)), "{met:?}");
    assert!(met.healed.len() < 12, "other primaries have lost nothing");
    for flight in flights {
        append(&journal, flight, 1, 5, 1);
        assert_eq!(journal.read(&flight_id(flight), Seq(0), 100).unwrap(), small_events(1, 5));
    }
}
