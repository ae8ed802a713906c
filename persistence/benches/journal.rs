//! How many events a second become durable, and what encoding one costs. Run it on a machine that is idle.
//! The embedded journal writes to the folder `FARERUSH_BENCH_DIR`, else to a temporary one: mind that it is a disk.

use std::path::PathBuf;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use farerush_engine::flight::{
    CustomerId, Epoch, Event, FlightId, OrderPlaced, Recorded, Seat, Seq, Timestamp,
};
use farerush_engine::journal::{Batch, Journal};
use farerush_persistence::codec::{decode, encode_events_into};
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions, MemoryJournal};

fn main() {
    divan::main();
}

fn batch(events: usize) -> Batch {
    let event = Event::OrderPlaced(Box::new(OrderPlaced {
        customer: CustomerId::new("customer-1234567").expect("a name"),
        seats: [12, 13].map(|row| Seat::new(row, b'A').expect("a seat")).into_iter().collect(),
        total: 199_800,
        hold_expires_at: Some(Timestamp::from_millis(1_800_000_900_000)),
        passengers: None,
        client_reference: None,
        idempotency: None,
    }));
    let events = (1..=events as u64).map(|seq| Recorded {
        cause: None,
        head: None,
        seq: Seq(seq),
        at: Timestamp::from_millis(1_800_000_000_000),
        event: event.clone(),
    });
    let flight_id = FlightId::new("FR101-20261224").expect("an id");
    Batch { flight_id, epoch: Epoch(1), events: events.collect() }
}

/// Makes the batch the one that follows itself.
fn advance(batch: &mut Batch) {
    let count = batch.events.len() as u64;
    for event in &mut batch.events {
        event.seq.0 += count;
    }
}

fn append_on(bencher: Bencher<'_, '_>, journal: &dyn Journal, events: usize) {
    let mut batch = batch(events);
    let mut appended = 0;
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        journal.append(std::slice::from_ref(&batch)).expect("an append");
        advance(&mut batch);
        appended += 1;
        if appended % 1024 == 0 {
            journal.trim(&[(batch.flight_id.clone(), Seq(batch.first_seq().0 - 1))]).expect("a trim");
        }
    });
}

#[divan::bench(args = [1, 64, 1024], min_time = 3, sample_size = 8)]
fn embedded_append(bencher: Bencher<'_, '_>, events: usize) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = std::env::var("FARERUSH_BENCH_DIR").map_or(temporary.path().join("journal"), PathBuf::from);
    let options = EmbeddedOptions { retain_bytes: 128 << 20, ..EmbeddedOptions::default() };
    let journal = EmbeddedJournal::open(&folder.join(events.to_string()), options).expect("a journal");
    append_on(bencher, &journal, events);
}

#[divan::bench(args = [1, 64, 1024])]
fn memory_append(bencher: Bencher<'_, '_>, events: usize) {
    append_on(bencher, &MemoryJournal::new(), events);
}

#[divan::bench(args = [1, 64, 1024])]
fn encode(bencher: Bencher<'_, '_>, events: usize) {
    let batch = batch(events);
    let mut bytes = Vec::new();
    bencher.counter(ItemsCount::new(events)).bench_local(|| {
        bytes.clear();
        encode_events_into(&mut bytes, black_box(&batch)).expect("a record")
    });
}

#[divan::bench(args = [1, 64, 1024])]
fn decode_whole(bencher: Bencher<'_, '_>, events: usize) {
    let mut bytes = Vec::new();
    encode_events_into(&mut bytes, &batch(events)).expect("a record");
    bencher.counter(ItemsCount::new(events)).bench_local(|| decode(black_box(&bytes)).expect("events"));
}
