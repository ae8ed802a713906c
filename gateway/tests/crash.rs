//! The real program with everything embedded, killed at any moment: nothing that was acknowledged may be lost, no seat
//! sold twice, no key answered with a second order. `FARERUSH_TEST_SEED` replays, `FARERUSH_TEST_ROUNDS` goes longer.

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::flight::Flight;
use support::ledger::Grab;
use support::load::{Kind, Load, Until};
use support::world::{START_PATIENCE, World};

/// How long the first grab after a start may take.
const FIRST_GRAB: Duration = Duration::from_secs(10);

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_at_any_moment() {
    let mut world = World::embedded("kill9");
    let rounds = support::rounds(20);
    let began = Instant::now();
    world.start();
    for round in 1..=rounds {
        world.fill_the_board();
        let load = world.load(32, Until::Lost);
        load.wait_sold_more_than(0, FIRST_GRAB);
        let delay = Duration::from_millis(world.rng.u64(5..400));
        std::thread::sleep(delay);
        world.kill();
        let sold = load.sold();
        world.kill_while_starting();
        let starting = Instant::now();
        world.start();
        let start = starting.elapsed();
        world.check(load);
        let check = starting.elapsed() - start;
        println!(
            "round {round}: killed {delay:?} after the first of {sold} orders; start {start:.1?}, check {check:.1?}"
        );
    }
    println!("{rounds} rounds in {:.1?}", began.elapsed());
    world.check_all();
    world.stop();
    world.verify();
    world.start();
    world.check_all();
}

#[test]
fn a_sold_out_flight_stays_sold_out_after_kill_9() {
    let mut world = World::embedded("soldout");
    world.start();
    for rows in [1, 30, 150] {
        let id = world.next_flight_id();
        let flight = world.create(Flight::economy(&id, 0, rows));
        let mut plan = world.load_plan(64, Until::Lost);
        plan.kind = Kind::OnlyGrab;
        plan.flights = vec![flight.clone()];
        let load = Load::start(world.runtime.handle(), &plan);
        // Whoever is told "sold out" must be able to rely on it: all orders that it follows from are durable.
        load.wait_sold_out(Duration::from_secs(60));
        world.kill();
        world.start();
        let found = world.check(load);
        let found =
            found.iter().find(|(checked, _)| checked.id == flight.id).expect("the flight was checked");
        assert_eq!(found.1.live_seats, flight.capacity(), "not exactly the capacity was sold");
    }
    world.stop();
    world.verify();
}

#[test]
fn sigterm_under_load_loses_nothing_and_ends_with_0() {
    let mut world = World::embedded("sigterm");
    world.start();
    for _ in 0..3 {
        world.fill_the_board();
        let load = world.load(32, Until::Lost);
        load.wait_sold_more_than(50, FIRST_GRAB);
        std::thread::sleep(Duration::from_millis(world.rng.u64(..200)));
        let took = world.stop();
        println!("stopped in {took:.1?}");
        world.verify();
        world.start();
        world.check(load);
    }
    world.check_all();
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let mut world = World::embedded("second");
    world.start();
    world.fill_the_board();
    let began = Instant::now();
    let mut second = world.plan.start();
    let status = second.wait_exit(START_PATIENCE).unwrap();
    let said = second.log_text();
    assert!(!status.success(), "it ended with {status}:\n{said}");
    assert!(said.contains("another farerush process"), "it does not say why:\n{said}");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?} to say so", began.elapsed());
    // The first one is not disturbed.
    let load = world.load(4, Until::Told);
    load.wait_sold_more_than(20, FIRST_GRAB);
    world.check(load);
}

#[test]
fn a_torn_journal_tail_is_cut_and_said() {
    let mut world = World::embedded("torntail");
    world.start();
    world.fill_the_board();
    let load = world.load(8, Until::Lost);
    load.wait_sold_more_than(50, FIRST_GRAB);
    world.kill();
    // A round whose write was cut: whole at its start, zeros where its last sectors never arrived. It takes the place
    // of the next one, which nobody was told of.
    let grabs = load.finish(world.runtime.handle());
    let segment = newest_segment(&world.plan.data_dir);
    let bytes = fs::read(&segment).unwrap();
    let end = end_of_rounds(&bytes);
    let torn = [0xA5; 40];
    OpenOptions::new().write(true).open(&segment).unwrap().write_all_at(&torn[..20], end).unwrap();
    world.start();
    let said = world.gateway().log_text();
    assert!(said.contains("torn tail"), "it does not say that it cut the tail:\n{said}");
    world.check_grabs(grabs);
    world.stop();
    world.verify();
}

#[test]
fn a_flipped_byte_in_the_journal_stops_the_start() {
    let mut world = World::embedded("flipped");
    world.start();
    world.fill_the_board();
    let load = world.load(8, Until::Lost);
    load.wait_sold_more_than(50, FIRST_GRAB);
    world.kill();
    let grabs: Vec<Grab> = load.finish(world.runtime.handle());
    let segment = newest_segment(&world.plan.data_dir);
    let mut bytes = fs::read(&segment).unwrap();
    let place = usize::try_from(end_of_rounds(&bytes)).unwrap() / 2;
    let whole = bytes[place];
    bytes[place] ^= 0x10;
    fs::write(&segment, &bytes).unwrap();

    let mut gateway = world.plan.start();
    let status = gateway.wait_exit(START_PATIENCE).unwrap();
    let said = gateway.log_text();
    assert!(!status.success(), "it ended with {status}:\n{said}");
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name), "it does not say which file is damaged:\n{said}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "it changed a damaged segment");
    assert!(!world.plan.run("verify").status.success(), "verify finds nothing wrong");

    // Nothing was thrown away: with the byte as it was, all is there.
    bytes[place] = whole;
    fs::write(&segment, &bytes).unwrap();
    world.start();
    world.check_grabs(grabs);
}

/// The newest segment of the embedded journal that has anything in it.
fn newest_segment(data_dir: &Path) -> PathBuf {
    let files = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    segments.sort_unstable();
    let used = segments.into_iter().rev().find(|path| end_of_rounds(&fs::read(path).unwrap()) > 4096);
    used.expect("a segment with more than a few rounds")
}

/// Where the zeros begin that a segment ends in, up to the next place where a round can begin.
fn end_of_rounds(segment: &[u8]) -> u64 {
    let used = segment.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
    used.next_multiple_of(32) as u64
}
