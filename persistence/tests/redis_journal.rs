//! What the Redis journal does beyond the contract of all journals: fencing between processes, settings that would
//! lose data, streams that vanish, trimming and snapshots.

mod journal_support;
mod servers;

use std::time::Duration;

use farerush_engine::flight::{Epoch, FlightId, Seq};
use farerush_engine::journal::{Appended, Claim, ClaimsPlace, Journal, JournalError};
use farerush_persistence::journal::{RedisJournal, RedisOptions};
use journal_support::{Rng, batch, flight_id, random_snapshot, small_events, test_seed};
use servers::RedisServer;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

fn open(server: &RedisServer) -> RedisJournal {
    let options = RedisOptions { retain_events: 0, trim_needs_snapshot: false, ..RedisOptions::default() };
    RedisJournal::open(&server.url(), options).unwrap()
}

fn append(journal: &RedisJournal, epoch: u64, first: u64, count: u64) -> Result<Appended, JournalError> {
    journal.append(&[batch(1, epoch, first, count)]).map(|appended| appended[0])
}

fn claim(epoch: u64) -> [Claim; 1] {
    [Claim { flight_id: flight_id(1), epoch: Epoch(epoch) }]
}

fn key(flight_id: &FlightId) -> String {
    format!("farerush:{{{flight_id}}}:journal")
}

fn is_damaged<T: std::fmt::Debug>(result: &Result<T, JournalError>) -> bool {
    matches!(result, Err(JournalError::Damaged { flight_id: Some(flight), .. }) if *flight == flight_id(1))
}

#[test]
fn a_server_that_is_set_up_well_is_not_complained_about() {
    let server = RedisServer::start(&[]);
    assert_eq!(open(&server).complaints(), [] as [&str; 0]);
}

#[test]
fn a_server_that_would_lose_what_it_confirms_is_complained_about() {
    let options = [
        "--appendfsync",
        "everysec",
        "--maxmemory-policy",
        "allkeys-lru",
        "--no-appendfsync-on-rewrite",
        "yes",
    ];
    let server = RedisServer::start(&options);
    let journal = open(&server);
    let complaints = journal.complaints().join("\n");
    assert_eq!(journal.complaints().len(), 3, "{complaints}");
    for setting in ["appendfsync everysec", "maxmemory-policy allkeys-lru", "no-appendfsync-on-rewrite yes"] {
        assert!(complaints.contains(setting), "{complaints}");
    }
}

/// Looks at every chance, and appends nothing that may be lost.
fn open_strictly(server: &RedisServer, check_every: Duration) -> RedisJournal {
    let options = RedisOptions { check_every, refuse_unsafe: true, ..RedisOptions::default() };
    RedisJournal::open(&server.url(), options).unwrap()
}

fn set(server: &RedisServer, setting: &str, value: &str) {
    assert_eq!(server.command(&["CONFIG", "SET", setting, value]).unwrap(), "+OK\r\n");
}

#[test]
fn a_setting_that_changes_while_it_runs_is_noticed_in_time_and_nothing_is_appended_until_it_is_mended() {
    let server = RedisServer::start(&[]);
    let journal = open_strictly(&server, Duration::ZERO);
    append(&journal, 1, 1, 1).unwrap();
    set(&server, "appendfsync", "everysec");
    let (place, _) = journal.claimed_since(&ClaimsPlace::default()).unwrap();
    assert!(journal.is_unsafe() && journal.is_refused());
    assert!(journal.complaints()[0].contains("appendfsync everysec"), "{:?}", journal.complaints());
    for refused in [append(&journal, 1, 2, 1).map(drop), journal.probe()] {
        let Err(JournalError::Unavailable { source: Some(why), .. }) = refused else { panic!("{refused:?}") };
        assert!(why.to_string().contains("appendfsync everysec"), "{why}");
    }
    assert_eq!(journal.extent(&flight_id(1)).unwrap().unwrap().last, Seq(1), "nothing was written");
    set(&server, "appendfsync", "always");
    // Whoever is refused looks again by itself.
    append(&journal, 1, 2, 1).unwrap();
    journal.claimed_since(&place).unwrap();
    assert!(!journal.is_unsafe() && journal.complaints().is_empty());
}

#[test]
fn a_new_connection_is_looked_at_before_anything_is_appended_on_it() {
    let server = RedisServer::start(&[]);
    let (strict, lenient) = (open_strictly(&server, LONG), open(&server));
    append(&strict, 1, 1, 1).unwrap();
    append(&lenient, 1, 2, 1).unwrap();
    set(&server, "maxmemory-policy", "allkeys-lru");
    append(&strict, 1, 3, 1).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    assert!(matches!(append(&strict, 1, 4, 1), Err(JournalError::Unavailable { .. })));
    assert!(strict.is_refused());
    append(&lenient, 1, 4, 1).unwrap();
    assert!(lenient.is_unsafe() && !lenient.is_refused(), "it is said, and meant");
}

#[test]
fn replicas_that_nobody_waits_for_are_warned_of() {
    let primary = RedisServer::start(&[]);
    let options = |wait_replicas| RedisOptions {
        wait_replicas,
        check_every: Duration::ZERO,
        ..RedisOptions::default()
    };
    let nobody = RedisJournal::open(&primary.url(), options(0)).unwrap();
    assert!(nobody.warnings().is_empty());
    let _replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]);
    let warned = |journal: &RedisJournal| {
        journal.claimed_since(&ClaimsPlace::default()).unwrap();
        !journal.warnings().is_empty()
    };
    assert!(servers::wait_until(Duration::from_secs(60), || warned(&nobody)));
    let warnings = nobody.warnings();
    assert!(warnings[0].contains("1 connected replicas") && warnings[0].contains("is 0"), "{warnings:?}");
    let one = RedisJournal::open(&primary.url(), options(1)).unwrap();
    assert!(!warned(&one) && nobody.complaints().is_empty());
    // Of two, the one that is promoted may be the one that nobody waited for.
    let _another = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]);
    assert!(servers::wait_until(Duration::from_secs(60), || warned(&one)));
    let warnings = RedisJournal::open(&primary.url(), options(1)).unwrap().warnings();
    assert!(warnings[0].contains("2 connected replicas") && warnings[0].contains("is 1"), "{warnings:?}");
    let both = RedisJournal::open(&primary.url(), options(2)).unwrap();
    assert!(both.warnings().is_empty(), "{:?}", both.warnings());
}

#[test]
fn a_flight_that_no_server_has_is_found_whoever_looks() {
    let server = RedisServer::start(&[]);
    let (one, other) = (open(&server), open(&server));
    let (first, second, stored) = (flight_id(1), flight_id(2), flight_id(3));
    for flight in [1, 2] {
        assert_eq!(one.append(&[batch(flight, 1, 1, 1)]).unwrap(), [Appended::Durable]);
    }
    // Listed, and never created.
    server.command(&["SADD", "farerush:flights", "NEVER"]).unwrap();
    let attend = |journal: &RedisJournal, here: &[&FlightId]| {
        let known = [first.clone(), stored.clone()];
        journal.attend(|flight_id| here.contains(&flight_id), known).unwrap()
    };
    // Nobody has said anything yet.
    assert_eq!(attend(&other, &[]), [first.clone(), second.clone(), stored.clone()]);
    assert_eq!(attend(&one, &[&first, &second]), std::slice::from_ref(&stored));
    assert_eq!(
        attend(&other, &[&stored]),
        [] as [FlightId; 0],
        "the one has two and the other has the third"
    );
    // The one does not serve it any more, and lives.
    assert_eq!(attend(&one, &[&first]), std::slice::from_ref(&second));
    assert_eq!(attend(&other, &[&stored, &second]), [] as [FlightId; 0]);
    assert_eq!(attend(&one, &[&first]), [] as [FlightId; 0]);
    // The other one has gone; its name fades by itself.
    let names = server.command(&["KEYS", "farerush:{servers}:*"]).unwrap();
    assert_eq!(names.matches("farerush:{servers}:").count(), 2, "{names}");
    for name in names.split_whitespace().filter(|word| word.starts_with("farerush:{servers}:")) {
        let left: i64 =
            server.command(&["PTTL", name]).unwrap().trim().trim_start_matches(':').parse().unwrap();
        assert!((1..=10_000).contains(&left), "{left}");
        server.command(&["DEL", name]).unwrap();
    }
    assert_eq!(attend(&one, &[&first]), [second, stored]);
    let listed = server.command(&["SCARD", "farerush:{servers}"]).unwrap();
    assert_eq!(listed.trim(), ":1", "who has gone is forgotten");
}

#[test]
fn settings_that_may_not_be_looked_at_are_complained_about() {
    let server = RedisServer::start(&["--rename-command", "CONFIG", ""]);
    let journal = open(&server);
    assert_eq!(journal.complaints().len(), 4);
    assert!(
        journal.complaints().iter().all(|text| text.starts_with("could not check")),
        "{:?}",
        journal.complaints()
    );
}

#[test]
fn a_description_tells_no_password() {
    let server = RedisServer::start(&["--requirepass", "hush-hush"]);
    let url = format!("redis://:hush-hush@127.0.0.1:{}/0", server.port());
    let journal = RedisJournal::open(&url, RedisOptions::default()).unwrap();
    assert_eq!(journal.describe(), server.url());
    let refused = RedisJournal::open(&server.url(), RedisOptions::default()).err().unwrap();
    assert!(matches!(refused, JournalError::Unavailable { .. }), "{refused:?}");
    let nonsense = RedisJournal::open("redis://:hush-hush@:no/port", RedisOptions::default()).err().unwrap();
    assert!(!format!("{nonsense:?}").contains("hush"), "{nonsense:?}");
}

#[test]
fn a_process_that_has_lost_a_flight_writes_nothing_more_to_it() {
    let server = RedisServer::start(&[]);
    let (old, new) = (open(&server), open(&server));
    assert_eq!(append(&old, 1, 1, 3).unwrap(), Appended::Durable);
    new.fence(&claim(2)).unwrap();
    assert_eq!(append(&old, 1, 4, 2).unwrap(), Appended::Fenced);
    assert_eq!(append(&new, 2, 4, 1).unwrap(), Appended::Durable);
    assert_eq!(append(&old, 1, 4, 2).unwrap(), Appended::Fenced);
    assert!(matches!(old.fence(&claim(2)), Err(JournalError::Fenced { epoch: Epoch(2), .. })));
    old.fence(&claim(3)).unwrap();
    assert_eq!(append(&new, 2, 5, 1).unwrap(), Appended::Fenced);
    assert_eq!(append(&old, 3, 5, 1).unwrap(), Appended::Durable);
    assert_eq!(new.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 5));
}

#[test]
fn of_two_claims_of_one_epoch_at_the_same_time_one_succeeds() {
    let server = RedisServer::start(&[]);
    let journals: Vec<RedisJournal> = (0..4).map(|_| open(&server)).collect();
    let writer = open(&server);
    append(&writer, 1, 1, 1).unwrap();
    for epoch in 2..40 {
        let won = std::thread::scope(|scope| {
            // The owner goes on writing meanwhile, so that the claims find the flight at different seqs.
            let writing = scope.spawn(|| append(&writer, epoch - 1, epoch, 1));
            let claims: Vec<_> = journals
                .iter()
                .map(|journal| scope.spawn(move || journal.fence(&claim(epoch)).is_ok()))
                .collect();
            writing.join().unwrap().unwrap();
            claims.into_iter().map(|won| won.join().unwrap()).collect::<Vec<bool>>()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "epoch {epoch}: {won:?}");
        let last = writer.extent(&flight_id(1)).unwrap().unwrap().last.0;
        if last < epoch {
            assert_eq!(append(&writer, epoch, last + 1, epoch - last).unwrap(), Appended::Durable);
        }
    }
    assert_eq!(writer.read(&flight_id(1), Seq(0), 100).unwrap().len(), 39);
}

#[test]
fn a_flight_that_was_flushed_away_is_not_gone_on_with() {
    let server = RedisServer::start(&[]);
    let journal = open(&server);
    append(&journal, 1, 1, 3).unwrap();
    assert!(server.command(&["FLUSHALL"]).unwrap().starts_with("+OK"));
    assert!(is_damaged(&append(&journal, 1, 4, 1)));
    assert!(is_damaged(&append(&journal, 1, 4, 1)), "and stays so");
    assert_eq!(journal.extent(&flight_id(1)).unwrap(), None);
    assert!(is_damaged(&append(&open(&server), 1, 4, 1)), "nor by a process that never knew it");
    // Taken over, it goes on behind what a store has.
    journal.fence(&claim(2)).unwrap();
    assert_eq!(append(&journal, 2, 4, 1).unwrap(), Appended::Durable);
    assert_eq!(journal.extents().unwrap().len(), 1);
}

#[test]
fn a_server_that_comes_back_with_less_is_found_out() {
    let mut server = RedisServer::start(&[]);
    let journal = open(&server);
    append(&journal, 1, 1, 3).unwrap();
    let log = server.dir().join("appendonlydir");
    let saved = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&log).unwrap().flatten() {
        std::fs::copy(file.path(), saved.path().join(file.file_name())).unwrap();
    }
    append(&journal, 1, 4, 2).unwrap();
    server.kill();
    for file in std::fs::read_dir(saved.path()).unwrap().flatten() {
        std::fs::copy(file.path(), log.join(file.file_name())).unwrap();
    }
    server.restart();
    let refused = loop {
        match append(&journal, 1, 6, 1) {
            Err(JournalError::Unavailable { .. }) => {}
            answer => break answer,
        }
    };
    assert!(is_damaged(&refused), "{refused:?}");
    assert!(format!("{refused:?}").contains("has lost events that it had confirmed"), "{refused:?}");
    assert_eq!(journal.extent(&flight_id(1)).unwrap().unwrap().last, Seq(3));
}

#[test]
fn another_batch_under_the_same_epoch_and_seqs_is_damage() {
    let server = RedisServer::start(&[]);
    let (one, other) = (open(&server), open(&server));
    append(&one, 1, 1, 2).unwrap();
    assert_eq!(append(&other, 1, 1, 2).unwrap(), Appended::Durable, "the same one is harmless");
    append(&one, 1, 3, 2).unwrap();
    let mut different = batch(1, 1, 3, 2);
    different.events[1].event = journal_support::order_event(77);
    assert!(is_damaged(&other.append(&[different])));
}

#[test]
fn a_hole_and_a_bad_record_are_found_when_read() {
    let server = RedisServer::start(&[]);
    let journal = open(&server);
    for first in [1, 3, 5, 7] {
        append(&journal, 1, first, 2).unwrap();
    }
    server.command(&["XDEL", &key(&flight_id(1)), "1-4"]).unwrap();
    assert_eq!(journal.read(&flight_id(1), Seq(0), 2).unwrap(), small_events(1, 2));
    for after in [0, 1, 2, 3] {
        assert!(is_damaged(&journal.read(&flight_id(1), Seq(after), 100)), "after {after}");
    }
    assert_eq!(journal.read(&flight_id(1), Seq(4), 100).unwrap(), small_events(5, 4));
    server.command(&["XADD", &key(&flight_id(1)), "1-9", "record", "rubbish"]).unwrap();
    assert!(is_damaged(&journal.read(&flight_id(1), Seq(4), 100)));
    append(&journal, 1, 9, 1).unwrap_err();
    assert_eq!(journal.extents().unwrap().len(), 1, "one bad flight does not hide the others");
    journal.append(&[batch(2, 1, 1, 1)]).unwrap();
    server.command(&["SET", &key(&flight_id(2)), "no stream"]).unwrap();
    let refused = journal.append(&[batch(2, 1, 2, 1)]);
    assert!(matches!(refused, Err(JournalError::Damaged { flight_id: Some(_), .. })), "{refused:?}");
    assert_eq!(journal.extents().unwrap().len(), 2);
}

#[test]
fn reading_and_trimming_find_their_place_in_any_history_of_owners() {
    let seed = test_seed();
    let mut rng = Rng(seed);
    let server = RedisServer::start(&[]);
    for flight in 0..20 {
        let (mut epoch, mut next, journal) = (1, 1, open(&server));
        for _ in 0..rng.below(60) {
            if rng.one_in(4) {
                epoch += 1 + rng.below(3);
                journal.fence(&[Claim { flight_id: flight_id(flight), epoch: Epoch(epoch) }]).unwrap();
            } else {
                let count = 1 + rng.below(5);
                journal.append(&[batch(flight, epoch, next, count)]).unwrap();
                next += count;
            }
        }
        let mut first = 1;
        while first < next {
            for after in first - 1..next {
                let events_max = 1 + rng.index(40);
                let count = (next - 1 - after).min(events_max as u64);
                let read = journal.read(&flight_id(flight), Seq(after), events_max).unwrap();
                assert_eq!(
                    read,
                    small_events(after + 1, count),
                    "seed {seed}, flight {flight}, after {after}"
                );
            }
            let stored = first + rng.below(10);
            journal.trim(&[(flight_id(flight), Seq(stored))]).unwrap();
            let extent = journal.extent(&flight_id(flight)).unwrap().unwrap();
            assert_eq!((extent.epoch.0, extent.last.0), (epoch, next - 1), "seed {seed}, flight {flight}");
            let most = (stored + 1).min(next - 1);
            assert!(
                (first..=most).contains(&extent.first.0),
                "seed {seed}, flight {flight}, {} first",
                extent.first
            );
            if extent.first.0 > 1 {
                let trimmed = journal.read(&flight_id(flight), Seq(0), 10);
                assert!(matches!(trimmed, Err(JournalError::Trimmed { first, .. }) if first == extent.first));
            }
            if stored >= next {
                break;
            }
            first = extent.first.0;
        }
    }
}

#[test]
fn no_event_that_only_the_snapshot_could_replace_is_trimmed_before_there_is_one() {
    let mut rng = Rng(test_seed());
    let server = RedisServer::start(&[]);
    let options = RedisOptions { retain_events: 0, ..RedisOptions::default() };
    let journal = RedisJournal::open(&server.url(), options).unwrap();
    for first in 1..=10 {
        append(&journal, 1, first, 1).unwrap();
    }
    let first = || journal.extent(&flight_id(1)).unwrap().unwrap().first.0;
    journal.trim(&[(flight_id(1), Seq(8))]).unwrap();
    assert_eq!(first(), 1);
    assert_eq!(journal.snapshot(&flight_id(1)).unwrap(), None);
    let mut snapshot = random_snapshot(&mut rng, &flight_id(1));
    snapshot.seq = Seq(11);
    assert!(is_damaged(&journal.put_snapshot(Epoch(1), &snapshot)), "ahead of the journal");
    snapshot.seq = Seq(5);
    journal.put_snapshot(Epoch(1), &snapshot).unwrap();
    journal.trim(&[(flight_id(1), Seq(8))]).unwrap();
    assert_eq!(first(), 6);
    let mut earlier = random_snapshot(&mut rng, &flight_id(1));
    earlier.seq = Seq(3);
    journal.put_snapshot(Epoch(1), &earlier).unwrap();
    assert_eq!(
        journal.snapshot(&flight_id(1)).unwrap().as_ref(),
        Some(&snapshot),
        "an earlier one changes nothing"
    );
    journal.fence(&claim(2)).unwrap();
    assert!(matches!(journal.put_snapshot(Epoch(1), &snapshot), Err(JournalError::Fenced { .. })));
    snapshot.seq = Seq(10);
    journal.put_snapshot(Epoch(2), &snapshot).unwrap();
    journal.trim(&[(flight_id(1), Seq(10))]).unwrap();
    assert_eq!(first(), 10, "the newest batch stays");
    assert_eq!(open(&server).snapshot(&flight_id(1)).unwrap(), Some(snapshot));
}

#[test]
fn a_round_that_too_few_replicas_have_is_not_durable() {
    let primary = RedisServer::start(&[]);
    let options = RedisOptions { wait_replicas: 1, ..RedisOptions::default() };
    let journal = RedisJournal::open(&primary.url(), options).unwrap();
    assert!(matches!(append(&journal, 1, 1, 2), Err(JournalError::Unavailable { .. })));
    let port = primary.port().to_string();
    let _replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let patience = std::time::Duration::from_secs(60);
    assert!(servers::wait_until(patience, || append(&journal, 1, 1, 2).is_ok()));
    assert!(servers::wait_until(patience, || append(&journal, 1, 3, 1).is_ok()));
    assert_eq!(journal.read(&flight_id(1), Seq(0), 100).unwrap(), small_events(1, 3));
}
