//! Records: how a batch of events, a fence or a snapshot becomes bytes, and how bytes become that again.
//! Never does IO, and never lets bytes it cannot vouch for become a flight's events.
//!
//! A record stands for itself. All numbers of its head are little-endian:
//!
//! ```text
//!  0  u8   magic 0xF7 (never valid UTF-8, so no text of a customer's can look like a head)
//!  1  u8   version 1
//!  2  u8   kind: 1 events, 2 fence, 3 snapshot
//!  3  u8   length of the flight id
//!  4  u32  length of the body
//!  8  u32  count: events of a batch, orders of a snapshot
//! 12  u64  epoch
//! 20  u64  seq: of the first event of a batch, of the last known event of a fence, of a snapshot
//! 28  ..   flight id
//!     ..   body: values encoded by bincode one after another, each decoded under a limit of its own
//!     u32  CRC-32 of everything in front of it
//! ```
//!
//! bincode's configuration is fixed for version 1: `standard()`, that is little-endian with variable-length
//! integers. Enum tags count variants from 0, so variants are only ever added at the end. Another library, or an
//! incompatible change, is version 2.

mod event;
mod order;
mod outcome;
mod parts;
mod record;
mod snapshot;
mod waitlist;

use self::event::{CauseRecord, EventRecord, TailRecord};
use self::order::OrderRecord;
use self::snapshot::{RestRecord, SnapshotRecord};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use farerush_engine::flight::cabin::check_cabins;
use farerush_engine::flight::{
    Epoch, Event, FlightDefinition, FlightId, FlightSnapshot, Head, Recorded, Seq, Timestamp,
};
use farerush_engine::journal::Batch;

use self::record::VERSION;
pub use self::record::{CodecError, Record, RecordHead, RecordKind};

const MAGIC: u8 = 0xF7;
/// Bytes in front of the flight id.
const FIXED_HEAD_BYTES: usize = 28;
const CRC_BYTES: usize = 4;
/// Fewer bytes than this are no record.
pub const RECORD_BYTES_MIN: usize = FIXED_HEAD_BYTES + 1 + CRC_BYTES;
/// Most bytes of one record.
pub const RECORD_BYTES_MAX: usize = 256 << 20;
/// Most bytes of one encoded event, order or snapshot head: an order of 10,000 named passengers takes half.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// What bincode may claim while it decodes one value. It counts integers at their full size, up to nine times
/// what they took when encoded; nothing larger than this is ever allocated at once.
const DECODE_LIMIT_BYTES: usize = 9 * VALUE_BYTES_MAX;
/// Every event and order takes at least this, which bounds what a count may make us reserve.
const VALUE_BYTES_MIN: usize = 3;

const ENCODING: bincode::config::Configuration = bincode::config::standard();

/// Appends the record of a batch to `out`; its length in bytes is returned. On failure `out` is as it was.
pub fn encode_events_into(out: &mut Vec<u8>, batch: &Batch) -> Result<usize, CodecError> {
    if batch.events.is_empty() {
        return Err(unencodable("a batch without events"));
    }
    let count = batch.events.len();
    encode(out, RecordKind::Events, &batch.flight_id, batch.epoch, batch.first_seq(), count, |out| {
        let mut expected = batch.first_seq();
        let mut before = 0_i64;
        for recorded in &batch.events {
            if recorded.seq != expected || expected.0 == u64::MAX {
                return Err(unencodable(format!("seq {} where {expected} belongs", recorded.seq)));
            }
            if let Event::FlightCreated { definition, .. } = &recorded.event {
                check_definition(definition, &batch.flight_id)?;
            }
            // Moments as differences: they are small, so most take one to three bytes.
            let at = recorded.at.as_millis();
            let later = at.wrapping_sub(before);
            match &recorded.cause {
                None => put(out, (later, EventRecord::from(&recorded.event)))?,
                // A value of its own in front of the event's, so that those without a cause have not changed.
                Some(cause) => {
                    put(out, (later, EventRecord::Caused(CauseRecord::from(&**cause))))?;
                    put(out, EventRecord::from(&recorded.event))?;
                }
            }
            before = at;
            expected = expected.next();
        }
        for (place, recorded) in (0..).zip(&batch.events) {
            if let Some(head) = &recorded.head {
                put(out, TailRecord::Head { place, head: *head.as_bytes() })?;
            }
        }
        Ok(())
    })
}

/// Appends a fence record to `out`; its length in bytes is returned.
pub fn encode_fence_into(
    out: &mut Vec<u8>,
    flight_id: &FlightId,
    epoch: Epoch,
    last: Seq,
) -> Result<usize, CodecError> {
    encode(out, RecordKind::Fence, flight_id, epoch, last, 0, |_| Ok(()))
}

/// Appends the record of a snapshot to `out`; its length in bytes is returned. On failure `out` is as it was.
pub fn encode_snapshot_into(
    out: &mut Vec<u8>,
    epoch: Epoch,
    snapshot: &FlightSnapshot,
) -> Result<usize, CodecError> {
    let flight_id = &snapshot.definition.flight_id;
    let count = snapshot.orders.len();
    encode(out, RecordKind::Snapshot, flight_id, epoch, snapshot.seq, count, |out| {
        check_definition(&snapshot.definition, flight_id)?;
        put(out, SnapshotRecord::from(snapshot))?;
        for order in &snapshot.orders {
            put(out, OrderRecord::from(order))?;
        }
        RestRecord::all_of(snapshot).try_for_each(|rest| put(out, rest))
    })
}

/// Reads the head of the record that `bytes` begin with; more may follow it. Nothing of it has been checked
/// against the checksum.
pub fn peek(bytes: &[u8]) -> Result<RecordHead, CodecError> {
    if bytes.len() < RECORD_BYTES_MIN {
        return Err(CodecError::Short { have: bytes.len(), need: RECORD_BYTES_MIN });
    }
    if bytes[0] != MAGIC || bytes[1] != VERSION {
        return Err(bad_head(format!("begins with {:02x} {:02x}", bytes[0], bytes[1])));
    }
    let kind = RecordKind::from_byte(bytes[2]).ok_or_else(|| bad_head(format!("kind {}", bytes[2])))?;
    let id_end = FIXED_HEAD_BYTES + usize::from(bytes[3]);
    let length = id_end + u32_at(bytes, 4) as usize + CRC_BYTES;
    if length > RECORD_BYTES_MAX {
        return Err(bad_head(format!("{length} bytes are more than {RECORD_BYTES_MAX}")));
    }
    if length > bytes.len() {
        return Err(CodecError::Short { have: bytes.len(), need: length });
    }
    let text = std::str::from_utf8(&bytes[FIXED_HEAD_BYTES..id_end]).map_err(|e| bad_head(e.to_string()))?;
    let flight_id = FlightId::new(text).map_err(|e| bad_head(format!("flight id {e}")))?;
    let head = RecordHead {
        kind,
        flight_id,
        epoch: Epoch(u64_at(bytes, 12)),
        seq: Seq(u64_at(bytes, 20)),
        count: u32_at(bytes, 8),
        bytes: length,
    };
    if head.kind == RecordKind::Events && (head.count == 0 || head.seq.0 > u64::MAX - u64::from(head.count)) {
        return Err(bad_head(format!("{} events from seq {}", head.count, head.seq)));
    }
    Ok(head)
}

/// Decodes exactly one record; anything before or after it is an error.
pub fn decode(bytes: &[u8]) -> Result<Record, CodecError> {
    let head = peek(bytes)?;
    if head.bytes < bytes.len() {
        return Err(CodecError::Trailing { extra: bytes.len() - head.bytes });
    }
    let (content, crc) = bytes.split_at(head.bytes - CRC_BYTES);
    if crc32fast::hash(content) != u32_at(crc, 0) {
        return Err(CodecError::Checksum { bytes: head.bytes });
    }
    let mut body = &content[FIXED_HEAD_BYTES + head.flight_id.as_str().len()..];
    let capacity = (head.count as usize).min(body.len() / VALUE_BYTES_MIN + 1);
    let record = match head.kind {
        RecordKind::Fence => Record::Fence { flight_id: head.flight_id, epoch: head.epoch, last: head.seq },
        RecordKind::Events => {
            let events = decode_events(&head, &mut body, capacity)?;
            Record::Events { flight_id: head.flight_id, epoch: head.epoch, events }
        }
        RecordKind::Snapshot => {
            let record: SnapshotRecord<'_> = take(&mut body, 0)?;
            let mut snapshot = record.restore(&head.flight_id, head.seq).map_err(|e| bad_value(0, e))?;
            snapshot.orders.reserve(capacity);
            for index in 0..head.count as usize {
                let order: OrderRecord<'_> = take(&mut body, index)?;
                snapshot.orders.push(order.restore().map_err(|e| bad_value(index, e))?);
            }
            for index in head.count as usize.. {
                if body.is_empty() {
                    break;
                }
                let rest: RestRecord<'_> = take(&mut body, index)?;
                rest.restore_into(&mut snapshot).map_err(|e| bad_value(index, e))?;
            }
            Record::Snapshot { epoch: head.epoch, snapshot: Box::new(snapshot) }
        }
    };
    if !body.is_empty() {
        return Err(CodecError::Trailing { extra: body.len() });
    }
    Ok(record)
}

fn decode_events(head: &RecordHead, body: &mut &[u8], capacity: usize) -> Result<Vec<Recorded>, CodecError> {
    let mut events = Vec::with_capacity(capacity);
    let mut at = 0_i64;
    let mut seq = head.seq;
    for index in 0..head.count as usize {
        let (later, record): (i64, EventRecord<'_>) = take(body, index)?;
        at = at.wrapping_add(later);
        let (record, cause) = match record {
            EventRecord::Caused(cause) => {
                let cause = cause.restore().map_err(|e| bad_value(index, e))?;
                (take(body, index)?, Some(Box::new(cause)))
            }
            record => (record, None),
        };
        let event = record.restore(&head.flight_id).map_err(|e| bad_value(index, e))?;
        events.push(Recorded { seq, at: Timestamp::from_millis(at), event, cause, head: None });
        seq = seq.next();
    }
    for index in head.count as usize.. {
        if body.is_empty() {
            break;
        }
        let TailRecord::Head { place, head } = take(body, index)?;
        let event = events.get_mut(place as usize).filter(|event| event.head.is_none());
        let event = event.ok_or_else(|| bad_value(index, "the head of no event".into()))?;
        event.head = Some(Head::from_bytes(head));
    }
    Ok(events)
}

/// Writes head, body and checksum; leaves `out` as it was when the body fails or is too long.
fn encode(
    out: &mut Vec<u8>,
    kind: RecordKind,
    flight_id: &FlightId,
    epoch: Epoch,
    seq: Seq,
    count: usize,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<usize, CodecError> {
    let start = out.len();
    let result = (|| {
        let id = flight_id.as_str().as_bytes();
        let id_bytes = u8::try_from(id.len()).map_err(|_| unencodable("flight id too long"))?;
        let count = u32::try_from(count).map_err(|_| unencodable("too many events or orders"))?;
        out.extend_from_slice(&[MAGIC, VERSION, kind.as_byte(), id_bytes, 0, 0, 0, 0]);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&epoch.0.to_le_bytes());
        out.extend_from_slice(&seq.0.to_le_bytes());
        out.extend_from_slice(id);
        let body_start = out.len();
        body(out)?;
        let body_bytes = out.len() - body_start;
        if out.len() - start + CRC_BYTES > RECORD_BYTES_MAX {
            return Err(unencodable(format!("{body_bytes} bytes are too many for a record")));
        }
        let body_bytes = u32::try_from(body_bytes).map_err(|_| unencodable("body too long"))?;
        out[start + 4..start + 8].copy_from_slice(&body_bytes.to_le_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(out.len() - start)
    })();
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// What `restore` would refuse must not be written: nobody could read it again.
fn check_definition(definition: &FlightDefinition, flight_id: &FlightId) -> Result<(), CodecError> {
    if definition.flight_id != *flight_id {
        return Err(unencodable(format!("{} defined in a record of {flight_id}", definition.flight_id)));
    }
    check_cabins(&definition.cabins).map_err(|e| unencodable(e.to_string()))
}

struct Out<'a>(&'a mut Vec<u8>);

impl Writer for Out<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, value: impl bincode::Encode) -> Result<(), CodecError> {
    let start = out.len();
    bincode::encode_into_writer(value, Out(out), ENCODING).map_err(|e| unencodable(e.to_string()))?;
    if out.len() - start > VALUE_BYTES_MAX {
        return Err(unencodable(format!("one value takes {} bytes", out.len() - start)));
    }
    Ok(())
}

fn take<'a, T: bincode::BorrowDecode<'a, ()>>(body: &mut &'a [u8], index: usize) -> Result<T, CodecError> {
    let limited = ENCODING.with_limit::<DECODE_LIMIT_BYTES>();
    let (value, used) =
        bincode::borrow_decode_from_slice(body, limited).map_err(|e| bad_value(index, Box::new(e)))?;
    *body = &body[used..];
    Ok(value)
}

fn bad_value(index: usize, source: Box<dyn std::error::Error + Send + Sync>) -> CodecError {
    CodecError::Value { index, source }
}

fn bad_head(what: String) -> CodecError {
    CodecError::Head { what }
}

fn unencodable(what: impl Into<String>) -> CodecError {
    CodecError::Unencodable { what: what.into() }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
