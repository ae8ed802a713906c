//! Records survive the way to bytes and back, and nothing but a whole, unchanged record is ever read.

mod journal_support;

use farerush_engine::flight::{
    Epoch, Event, Fingerprint, Flight, FlightId, FlightIds, FlightSnapshot, IdempotencyKey, KeyOwner,
    OrderPlaced, OrderStatus, Outcome, PassengerName, Recorded, Request, SalePolicy, SaleSwitch, Seat, Seq,
    TimeZoneName, Timestamp,
};
use farerush_engine::journal::Batch;
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

#[test]
fn a_snapshot_that_was_written_before_anything_followed_its_orders_is_read() {
    let mut rng = Rng(3);
    for _ in 0..50 {
        let mut old = random_snapshot(&mut rng, &flight_id(1));
        old.requests.clear();
        old.waitlist.clear();
        old.forgotten_through = Seq(0);
        old.definition.origin_time_zone = None;
        old.definition.ids = FlightIds::new(old.definition.ids.salt());
        old.head = None;
        old.orders.iter_mut().for_each(|order| order.proof = None);
        let extras = old.orders.iter_mut().filter_map(|order| order.extras.as_mut());
        extras.for_each(|extras| {
            extras.payment_begun_at = None;
            extras.returned_payments.clear();
        });
        let (mut bytes, mut longer) = (Vec::new(), Vec::new());
        encode_snapshot_into(&mut bytes, Epoch(2), &old).unwrap();
        assert_eq!(
            decode(&bytes).unwrap(),
            Record::Snapshot { epoch: Epoch(2), snapshot: Box::new(old.clone()) }
        );
        // What follows the orders is only ever added: the bytes in front of it have not changed.
        let mut new = old.clone();
        new.requests = vec![Request {
            owner: KeyOwner::Unsaid,
            outcome: Outcome::Shown,
            key: IdempotencyKey::new("k").unwrap(),
            fingerprint: Fingerprint(7),
            seq: Seq(9),
            at: Timestamp::from_millis(1),
            order: None,
        }];
        encode_snapshot_into(&mut longer, Epoch(2), &new).unwrap();
        let body = 28 + flight_id(1).as_str().len()..bytes.len() - 4;
        assert!(longer[body.clone()] == bytes[body.clone()]);
        // The tag of a request, the length of its key, the key, and four small numbers.
        assert_eq!(longer[body.end..longer.len() - 4], [1, 1, b'k', 7, 9, 2, 0]);
        assert_eq!(decode(&longer).unwrap(), Record::Snapshot { epoch: Epoch(2), snapshot: Box::new(new) });
    }
}

#[test]
fn bytes_of_the_first_version_are_read() {
    // By hand: a flight of one seat with one held order, as it was written before payments and keys were known.
    let mut body = Vec::new();
    let text = |body: &mut Vec<u8>, text: &str| {
        body.push(u8::try_from(text.len()).unwrap());
        body.extend_from_slice(text.as_bytes());
    };
    ["FR1", "TPE", "NRT"].iter().for_each(|field| text(&mut body, field));
    body.extend_from_slice(&[20, 0]); // departs_at 10, no aircraft
    body.extend_from_slice(&[1, 3, 1, 1]); // one cabin: economy, rows 1 to 1
    text(&mut body, "A");
    body.push(198); // 99
    text(&mut body, "TWD");
    body.push(7); // salt
    body.extend_from_slice(&[0, 0, 9, 8, 60, 1, 40, 0]); // no window, limits, hold_seconds, open, last_at 20, none blocked
    body.push(2); // order 2
    text(&mut body, "mei");
    let seat = Seat::new(1, b'A').unwrap().packed();
    assert!(seat < 251, "a number of one byte");
    body.extend_from_slice(&[1, u8::try_from(seat).unwrap()]);
    body.extend_from_slice(&[198, 0, 1, 60, 38, 38, 2, 0]); // total, held, until 30, created and changed at 19, by 2, no extras
    let id = "FR1-20261224";
    let mut bytes = vec![0xf7, 1, 3, u8::try_from(id.len()).unwrap()];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&4_u64.to_le_bytes());
    bytes.extend_from_slice(&2_u64.to_le_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let Record::Snapshot { epoch, snapshot } = decode(&bytes).unwrap() else { panic!("not a snapshot") };
    assert_eq!((epoch, snapshot.seq, snapshot.last_at), (Epoch(4), Seq(2), Timestamp::from_millis(20)));
    assert_eq!((snapshot.sale.policy.hold_seconds, snapshot.sale.policy.payment_grace_seconds), (60, 120));
    assert_eq!((snapshot.orders.len(), snapshot.requests.len()), (1, 0));
    let order = &snapshot.orders[0];
    assert_eq!((order.customer.as_str(), order.total, order.status), ("mei", 99, OrderStatus::Held));
    assert_eq!((order.hold_expires_at, order.payment_begun_at()), (Some(Timestamp::from_millis(30)), None));
    Flight::restore(*snapshot).unwrap();
}

#[test]
fn a_policy_takes_the_bytes_it_took_before_it_could_end_a_sale_before_departure() {
    // By hand: switched to open, no window, limits 9 and 8, hold_seconds 60 and payment_grace_seconds 120 in one number.
    let policy = SalePolicy {
        max_seats_per_order: 9,
        max_seats_per_customer: 8,
        hold_seconds: 60,
        payment_grace_seconds: 120,
        ..SalePolicy::default()
    };
    let flight_id = FlightId::new("FR1").unwrap();
    let record = |policy: SalePolicy| {
        let event = Event::SaleSwitched { switch: SaleSwitch::Open, policy };
        let recorded =
            Recorded { seq: Seq(2), at: Timestamp::from_millis(0), event, cause: None, head: None };
        let batch = Batch { flight_id: flight_id.clone(), epoch: Epoch(1), events: vec![recorded] };
        let mut bytes = Vec::new();
        encode_events_into(&mut bytes, &batch).map(|_| bytes)
    };
    let bytes = record(policy).unwrap();
    let body = &bytes[28 + 3..bytes.len() - 4];
    assert_eq!(body, [0, 1, 1, 0, 0, 9, 8, 253, 60, 0, 0, 0, 121, 0, 0, 0]);
    for closes_before_minutes in [1, 30, 10_080] {
        let policy = SalePolicy { closes_before_minutes, ..policy };
        let Record::Events { events, .. } = decode(&record(policy).unwrap()).unwrap() else { panic!() };
        assert_eq!(events[0].event, Event::SaleSwitched { switch: SaleSwitch::Open, policy });
    }
    for too_long in [
        SalePolicy { closes_before_minutes: 10_081, ..policy },
        SalePolicy { payment_grace_seconds: 86_401, ..policy },
    ] {
        assert!(record(too_long).is_err(), "what cannot be read is not written");
    }
}

#[test]
fn a_flight_without_a_time_zone_takes_the_bytes_it_always_took_and_one_with_it_reads_back() {
    let mut rng = Rng(11);
    let flight_id = flight_id(0);
    let mut snapshot = random_snapshot(&mut rng, &flight_id);
    let event = |snapshot: &FlightSnapshot| {
        let definition = Box::new(snapshot.definition.clone());
        let event = Event::FlightCreated { definition, policy: snapshot.sale.policy };
        let recorded =
            Recorded { seq: Seq(1), at: Timestamp::from_millis(0), event, cause: None, head: None };
        let batch = Batch { flight_id: flight_id.clone(), epoch: Epoch(1), events: vec![recorded] };
        let mut bytes = Vec::new();
        encode_events_into(&mut bytes, &batch).unwrap();
        let Record::Events { events, .. } = decode(&bytes).unwrap() else { panic!("not events") };
        assert_eq!(events, batch.events);
        bytes
    };
    let whole = |snapshot: &FlightSnapshot| {
        let mut bytes = Vec::new();
        encode_snapshot_into(&mut bytes, Epoch(1), snapshot).unwrap();
        let Record::Snapshot { snapshot: read, .. } = decode(&bytes).unwrap() else { panic!("no snapshot") };
        assert_eq!(*read, *snapshot);
        bytes
    };
    snapshot.definition.origin_time_zone = None;
    snapshot.definition.ids = FlightIds::new(snapshot.definition.ids.salt());
    snapshot.head = None;
    snapshot.orders.iter_mut().for_each(|order| order.proof = None);
    let (event_without, whole_without) = (event(&snapshot), whole(&snapshot));
    let id_bytes = flight_id.as_str().len();
    // The kind of the event, behind the difference of moments: a flight was created.
    assert_eq!(event_without[28 + id_bytes + 1], 0);
    snapshot.definition.origin_time_zone = Some(TimeZoneName::new("Asia/Taipei").unwrap());
    let (event_with, whole_with) = (event(&snapshot), whole(&snapshot));
    // In front of what is new, nothing but the kind of the event and what counts bytes has changed.
    let new = "Asia/Taipei".len() + 1;
    assert_eq!(event_with.len(), event_without.len() + new);
    let body = 28 + id_bytes + 2;
    assert_eq!(event_with[body..event_with.len() - 4 - new], event_without[body..event_without.len() - 4]);
    assert_eq!(whole_with.len(), whole_without.len() + new + 1);
    assert_eq!(whole_with[28..whole_with.len() - 5 - new], whole_without[28..whole_without.len() - 4]);
}
