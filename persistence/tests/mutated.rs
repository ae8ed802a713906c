//! Records and journal files, changed at a few places by chance: the properties of the fuzz targets (see
//! `scripts/fuzz`), for as long as a test may take. `FARERUSH_TEST_CASES` tries more.

#[path = "../../fuzz/properties/codec.rs"]
mod codec;
mod journal_support;
#[path = "../../fuzz/properties/mutate.rs"]
mod mutate;
#[path = "../../fuzz/properties/segment.rs"]
mod segment;

use std::path::Path;

use farerush_engine::flight::{Epoch, Event, Seq};
use farerush_persistence::codec::{encode_events_into, encode_fence_into, encode_snapshot_into};
use journal_support::{Rng, flight_id, random_batch, random_snapshot};
use mutate::{Chance, cases};

type Property = fn(&[u8]);

/// Bytes that mean something to bincode.
const TOKENS: &[&[u8]] =
    &[b"\xfb\xff\xff", b"\xfc\xff\xff\xff\xff", b"\xfd\0\0\0\0\0\0\0\x80", b"\0", b"\xff", b"\x01\x01"];

/// Records of all kinds, the same every time.
fn records() -> Vec<Vec<u8>> {
    let mut rng = Rng(7);
    let mut records = Vec::new();
    for place in 0..24 {
        let (flight_id, mut record) = (flight_id(place), Vec::new());
        match place % 6 {
            0 => encode_fence_into(&mut record, &flight_id, Epoch(3), Seq(17)).unwrap(),
            1 => encode_snapshot_into(&mut record, Epoch(3), &random_snapshot(&mut rng, &flight_id)).unwrap(),
            _ => {
                // A whole history begins with the flight's creation.
                let mut batch = random_batch(&mut rng, &flight_id, Epoch(1), Seq(1), 1 + place as u64 % 7);
                while !matches!(batch.events[0].event, Event::FlightCreated { .. }) {
                    let first = random_batch(&mut rng, &flight_id, Epoch(1), Seq(1), 1);
                    batch.events[0] = first.events[0].clone();
                }
                encode_events_into(&mut record, &batch).unwrap()
            }
        };
        records.push(record);
    }
    records
}

/// Writes them down for the fuzz targets as well, if somebody says where.
#[test]
fn the_seeds_are_sound() {
    let edits = [[0, 200, 0, 7].to_vec(), [0, 0, 16, 0, 9, 18, 255].to_vec(), [1].to_vec()];
    let all: [(&str, Property, Vec<Vec<u8>>); 2] =
        [("record", codec::record, records()), ("segment", segment::segment, edits.to_vec())];
    for (name, property, corpus) in all {
        for (place, input) in corpus.iter().enumerate() {
            property(input);
            if let Some(folder) = std::env::var_os("FARERUSH_TEST_SEEDS") {
                let folder = Path::new(&folder).join(name);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(format!("seed-{place}")), input).unwrap();
            }
        }
    }
}

#[test]
fn what_is_read_as_a_record_can_be_written_as_one() {
    let (mut chance, corpus) = (Chance::of_this_run(), records());
    for _ in 0..cases(20_000) {
        let input = chance.mutated(&corpus, TOKENS);
        let outcome = std::panic::catch_unwind(|| codec::record(&input));
        assert!(outcome.is_ok(), "{}", input.escape_ascii());
    }
}

#[test]
fn a_changed_journal_gives_what_was_written_or_is_refused() {
    let mut chance = Chance::of_this_run();
    for _ in 0..cases(2_000) {
        let mut input = vec![0];
        for _ in 0..=chance.below(3) {
            // Mostly near the end, where there may be a torn tail.
            let [low, high, value, ..] = chance.next().to_le_bytes();
            input.extend([low, high & 31, if chance.below(2) == 0 { 0 } else { value }]);
        }
        let outcome = std::panic::catch_unwind(|| segment::segment(&input));
        assert!(outcome.is_ok(), "{}", input.escape_ascii());
    }
}
