//! Leases of servers that share a Redis, and flights whose owners are gone, on a real server. Waits for leases to end in Redis'
//! own time, and for nothing else.

mod journal_support;
mod servers;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use farerush_engine::flight::{Epoch, FlightId};
use farerush_engine::journal::{Batch, Claim, Journal, JournalError};
use farerush_persistence::journal::{Beat, Membership, Orphan, RedisJournal, RedisOptions};
use journal_support::small_events;
use servers::RedisServer;

/// A lease that outlasts any test, and one that is over at once.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

fn open(redis: &RedisServer) -> RedisJournal {
    let patient = Duration::from_secs(10);
    let options =
        RedisOptions { connect_timeout: patient, response_timeout: patient, ..RedisOptions::default() };
    RedisJournal::open(&redis.url(), options).unwrap()
}

fn beat(journal: &RedisJournal, lease: Duration, judges: bool) -> Membership {
    journal.beat(&Beat { lease, judges, about: "here" }).unwrap()
}

fn lives(membership: &Membership) -> HashSet<String> {
    membership.members.iter().map(|member| member.life.clone()).collect()
}

/// Until a lease that is over at once is over in Redis' time as well, as somebody sees it who does not judge.
fn until_over(watcher: &RedisJournal, life: &str) {
    let deadline = Instant::now() + PATIENCE;
    let is_over = || {
        let membership = beat(watcher, LONG, false);
        membership.members.iter().any(|member| member.life == life && member.lease_left.is_zero())
    };
    while !is_over() {
        assert!(Instant::now() < deadline, "the lease does not end");
    }
}

fn flight(name: &str) -> FlightId {
    FlightId::new(name).unwrap()
}

fn claim(name: &str, epoch: u64) -> Claim {
    Claim { flight_id: flight(name), epoch: Epoch(epoch) }
}

#[test]
fn a_lease_that_was_seen_to_be_over_is_never_renewed_and_one_that_was_not_is() {
    let redis = RedisServer::start(&[]);
    let (one, other) = (open(&redis), open(&redis));
    assert!(beat(&one, SHORT, false).is_renewed);
    assert!(beat(&other, LONG, false).is_renewed);
    let first_life = one.life();
    // Over, but nobody has judged that.
    beat(&one, SHORT, false);
    until_over(&other, &first_life);
    let again = beat(&one, SHORT, false);
    assert!(again.is_renewed);
    assert_eq!(lives(&again), HashSet::from([one.life(), other.life()]));
    until_over(&other, &first_life);
    // Who may itself have been away judges nobody.
    let watcher = open(&redis);
    assert!(lives(&beat(&watcher, LONG, true)).contains(&first_life), "it has only just come");
    watcher.leave().unwrap();
    // Judged.
    assert_eq!(lives(&beat(&other, LONG, true)), HashSet::from([other.life()]));
    let refused = beat(&one, LONG, true);
    assert!(!refused.is_renewed, "{refused:?}");
    assert!(!beat(&one, LONG, true).is_renewed, "it stays so");
    one.begin_life();
    assert_ne!(one.life(), first_life);
    let joined = beat(&one, LONG, false);
    assert!(joined.is_renewed);
    assert_eq!(lives(&joined), HashSet::from([one.life(), other.life()]));
    assert!(joined.members.iter().all(|member| member.about == "here"), "{joined:?}");
    // One that leaves need not be waited for.
    one.leave().unwrap();
    assert_eq!(lives(&beat(&other, LONG, false)), HashSet::from([other.life()]));
    assert!(!beat(&one, LONG, false).is_renewed, "and does not come back by a beat that was late");
}

#[test]
fn a_redis_that_has_lost_all_members_knows_of_nobody_that_is_gone() {
    let redis = RedisServer::start(&[]);
    let (one, other) = (open(&redis), open(&redis));
    assert!(beat(&one, LONG, true).is_renewed && beat(&other, LONG, true).is_renewed);
    redis.command(&["FLUSHALL"]).unwrap();
    assert!(
        beat(&one, LONG, true).is_renewed && beat(&other, LONG, true).is_renewed,
        "both go on as they were"
    );
}

#[test]
fn of_several_that_take_a_flight_over_one_has_it_and_nobody_deposes_a_living_owner() {
    let redis = RedisServer::start(&[]);
    let (gone, one, other) = (open(&redis), open(&redis), open(&redis));
    for journal in [&gone, &one, &other] {
        beat(journal, LONG, true);
    }
    gone.fence(&[claim("FR1", 1), claim("FR2", 1), claim("FR3", 1)]).unwrap();
    one.fence(&[claim("FR4", 1)]).unwrap();
    gone.leave().unwrap();
    let members = lives(&beat(&one, LONG, true));
    // One that came after it was asked who is a member is none that is gone.
    let late = open(&redis);
    beat(&late, LONG, true);
    late.fence(&[claim("FR5", 1)]).unwrap();
    let orphans = one.orphans(&members).unwrap();
    let names: Vec<&str> = orphans.iter().map(|orphan| orphan.flight_id.as_str()).collect();
    assert_eq!(names, ["FR1", "FR2", "FR3"]);
    assert!(orphans.iter().all(|orphan| orphan.owner == gone.life() && orphan.epoch == Epoch(1)));
    // Both try all of them, under whatever epoch the store gave each.
    let of = |name: &str, epoch: u64, owner: String| Orphan {
        flight_id: flight(name),
        epoch: Epoch(epoch),
        owner,
    };
    let claims =
        |epoch: u64| ["FR1", "FR2", "FR3"].map(|name| (claim(name, epoch), of(name, 1, gone.life())));
    assert_eq!(one.fence_orphans(&claims(2)).unwrap(), [true; 3]);
    assert_eq!(other.fence_orphans(&claims(3)).unwrap(), [false; 3], "they belong to a member by now");
    assert!(other.orphans(&members).unwrap().is_empty());
    // Whoever asks by hand may, as always, and is the owner from then on.
    other.fence(&[claim("FR1", 4)]).unwrap();
    assert_eq!(one.fence_orphans(&[(claim("FR1", 5), of("FR1", 2, one.life()))]).unwrap(), [false]);
    assert_eq!(other.epochs(&[flight("FR1"), flight("FR2")]).unwrap(), [Some(Epoch(4)), Some(Epoch(2))]);
    // Nor does it count under another epoch: its owner has claimed it anew.
    assert_eq!(one.fence_orphans(&[(claim("FR1", 5), of("FR1", 3, other.life()))]).unwrap(), [false]);
    // A fence of a version that notes no owner counts for more than what was noted before it.
    redis.command(&["XADD", "farerush:{FR2}:journal", "9-0", "record", "x"]).unwrap();
    assert_eq!(other.fence_orphans(&[(claim("FR2", 10), of("FR2", 2, one.life()))]).unwrap(), [false]);
    let nobody = HashSet::new();
    assert!(one.orphans(&nobody).unwrap().iter().all(|orphan| orphan.flight_id != flight("FR2")));
    // One that comes too late with its epoch is told so, as by any fence.
    assert!(matches!(gone.fence(&[claim("FR3", 2)]), Err(JournalError::Fenced { .. })));
}

#[test]
fn the_first_events_of_a_flight_say_whose_it_is() {
    let redis = RedisServer::start(&[]);
    let journal = open(&redis);
    beat(&journal, LONG, true);
    let batch = Batch { flight_id: flight("FR1"), epoch: Epoch(1), events: small_events(1, 1) };
    journal.append(&[batch]).unwrap();
    // Whoever looks is shown its own as well.
    let orphans = journal.orphans(&HashSet::new()).unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!((orphans[0].owner.clone(), orphans[0].epoch), (journal.life(), Epoch(1)));
}
