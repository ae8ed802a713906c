//! Records survive the way to bytes and back, and nothing but a whole, unchanged record is ever read.

mod journal_support;

use farerush_engine::flight::{Epoch, Event, OrderPlaced, PassengerName, Seat, Seq};
use farerush_persistence::codec::{
    CodecError, Record, decode, encode_events_into, encode_fence_into, encode_snapshot_into, peek,
};
use journal_support::{Rng, batch, flight_id, order_event, random_batch, random_snapshot};
use proptest::prelude::*;

fn record_of(rng: &mut Rng, bytes: &mut Vec<u8>) -> Record {
    let flight_id = flight_id(rng.index(1000));
    let epoch = Epoch(rng.next() >> rng.below(64));
    let seq = Seq((rng.next() >> (1 + rng.below(62))) + 1);
    match rng.below(4) {
        0 => {
            encode_fence_into(bytes, &flight_id, epoch, seq).unwrap();
            Record::Fence { flight_id, epoch, last: seq }
        }
        1 => {
            let snapshot = random_snapshot(rng, &flight_id);
            encode_snapshot_into(bytes, epoch, &snapshot).unwrap();
            Record::Snapshot { epoch, snapshot: Box::new(snapshot) }
        }
        _ => {
            let count = 1 + rng.below(9);
            let batch = random_batch(rng, &flight_id, epoch, seq, count);
            encode_events_into(bytes, &batch).unwrap();
            Record::Events { flight_id, epoch, events: batch.events }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_reads_as_it_was_written(seed in any::<u64>()) {
        let mut bytes = vec![1, 2, 3];
        let record = record_of(&mut Rng(seed), &mut bytes);
        prop_assert_eq!(peek(&bytes[3..]).unwrap().bytes, bytes.len() - 3);
        prop_assert_eq!(decode(&bytes[3..]).unwrap(), record);
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn hostile_bytes_under_a_right_checksum_are_refused_or_read(seed in any::<u64>()) {
        let mut rng = Rng(seed);
        let mut bytes = Vec::new();
        record_of(&mut rng, &mut bytes);
        for _ in 0..=rng.below(4) {
            let place = rng.index(bytes.len());
            bytes[place] = *rng.pick(&[0, 1, 0x7f, 0xff, 251, 252, 253]);
        }
        let content = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..content]).to_le_bytes();
        bytes[content..].copy_from_slice(&crc);
        // Whatever it says, it neither panics nor allocates without a bound.
        let _outcome = decode(&bytes);
    }
}

#[test]
fn a_record_cut_anywhere_or_followed_by_anything_is_refused() {
    let mut bytes = Vec::new();
    encode_events_into(&mut bytes, &batch(1, 3, 7, 3)).unwrap();
    for end in 0..bytes.len() {
        assert!(matches!(decode(&bytes[..end]), Err(CodecError::Short { .. })), "{end}");
    }
    bytes.push(0);
    assert!(matches!(decode(&bytes), Err(CodecError::Trailing { extra: 1 })));
}

#[test]
fn a_record_with_any_bit_of_any_byte_flipped_is_refused() {
    let mut rng = Rng(5);
    let mut bytes = Vec::new();
    encode_events_into(&mut bytes, &random_batch(&mut rng, &flight_id(1), Epoch(3), Seq(7), 4)).unwrap();
    for place in 0..bytes.len() {
        for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            bytes[place] ^= flip;
            assert!(decode(&bytes).is_err(), "byte {place} ^ {flip}");
            bytes[place] ^= flip;
        }
    }
    assert!(decode(&bytes).is_ok());
}

#[test]
fn a_refused_batch_leaves_the_buffer_as_it_was() {
    let mut holed = batch(1, 1, 1, 3);
    holed.events[2].seq = Seq(4);
    let mut empty = batch(1, 1, 1, 1);
    empty.events.clear();
    let mut bytes = vec![9];
    assert!(matches!(encode_events_into(&mut bytes, &holed), Err(CodecError::Unencodable { .. })));
    assert!(matches!(encode_events_into(&mut bytes, &empty), Err(CodecError::Unencodable { .. })));
    assert_eq!(bytes, [9]);
}

#[test]
fn the_largest_order_there_can_be_fits_a_record() {
    let Event::OrderPlaced(small) = order_event(1) else { unreachable!() };
    let name = PassengerName::new(&"x".repeat(200)).unwrap();
    let mut largest = batch(1, 1, 1, 1);
    largest.events[0].event = Event::OrderPlaced(Box::new(OrderPlaced {
        seats: (0..10_000).map(|_| Seat::new(999, b'Z').unwrap()).collect(),
        passengers: Some((0..10_000).map(|_| Some(name.clone())).collect()),
        ..*small
    }));
    let mut bytes = Vec::new();
    encode_events_into(&mut bytes, &largest).unwrap();
    let Record::Events { events, .. } = decode(&bytes).unwrap() else { panic!("not events") };
    assert_eq!(events, largest.events);
}

#[test]
fn a_flight_cannot_be_defined_in_another_flights_record() {
    let mut rng = Rng(11);
    let snapshot = random_snapshot(&mut rng, &flight_id(1));
    let mut wrong = batch(2, 1, 1, 1);
    wrong.events[0].event =
        Event::FlightCreated { definition: Box::new(snapshot.definition), policy: snapshot.sale.policy };
    assert!(encode_events_into(&mut Vec::new(), &wrong).is_err());
}
