//! What holds of any bytes that are read as a record: nothing panics, and what can be read can be written again, to
//! bytes that are read as the same. Never touches a file.

use farerush_engine::flight::Flight;
use farerush_engine::journal::Batch;
use farerush_persistence::codec::{
    Record, decode, encode_events_into, encode_fence_into, encode_snapshot_into, peek,
};

/// Reads the bytes as they are, and with a length and a checksum that are right: no mutation hits those by itself.
pub(crate) fn record(bytes: &[u8]) {
    read(bytes);
    if let Some(mended) = mended(bytes) {
        read(&mended);
    }
}

fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 28;
    const CHECKSUM: usize = 4;
    let id = usize::from(*bytes.get(3)?);
    let body = bytes.len().checked_sub(HEAD + id + CHECKSUM)?;
    let mut mended = bytes.to_vec();
    mended[4..8].copy_from_slice(&u32::try_from(body).ok()?.to_le_bytes());
    let content = mended.len() - CHECKSUM;
    let checksum = crc32fast::hash(&mended[..content]).to_le_bytes();
    mended[content..].copy_from_slice(&checksum);
    Some(mended)
}

/// A whole number of one byte becomes one of nine.
const POLICY_GROWTH_BYTES: usize = 8;

fn head_count(bytes: &[u8]) -> usize {
    peek(bytes).map_or(0, |head| head.count as usize)
}

fn read(bytes: &[u8]) {
    let head = peek(bytes);
    let Ok(record) = decode(bytes) else { return };
    assert_eq!(head.expect("a whole record has a head").bytes, bytes.len());
    let written = write(&record);
    // Not the same bytes: a number may have been written longer than it needs to be, and a sale's rules that were
    // written before there was a time for payments become longer by that.
    let longer = POLICY_GROWTH_BYTES * (1 + head_count(bytes));
    assert!(written.len() <= bytes.len() + longer, "{record:?} became longer");
    assert_eq!(decode(&written).expect("what was written can be read"), record);
    assert_eq!(write(&record), written);
    replay(record);
}

fn write(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    match record {
        Record::Events { flight_id, epoch, events } => {
            let (flight_id, events) = (flight_id.clone(), events.clone());
            encode_events_into(&mut out, &Batch { flight_id, epoch: *epoch, events })
        }
        Record::Fence { flight_id, epoch, last } => encode_fence_into(&mut out, flight_id, *epoch, *last),
        Record::Snapshot { epoch, snapshot } => encode_snapshot_into(&mut out, *epoch, snapshot),
    }
    .expect("what was read can be written");
    out
}

/// Applying what a damaged journal says never panics: the flight finds itself broken.
fn replay(record: Record) {
    match record {
        Record::Fence { .. } => {}
        Record::Snapshot { snapshot, .. } => {
            let Ok(flight) = Flight::restore(*snapshot) else { return };
            let again = Flight::restore(flight.snapshot()).expect("a flight's own snapshot restores it");
            assert_eq!(again.digest(), flight.digest());
        }
        Record::Events { events, .. } => {
            let Some((first, rest)) = events.split_first() else { return };
            let Ok(mut flight) = Flight::create(first) else { return };
            for event in rest {
                flight.apply(event);
                if flight.broken().is_some() {
                    return;
                }
            }
        }
    }
}
