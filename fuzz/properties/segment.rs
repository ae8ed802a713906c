//! What holds of a journal whose files were changed: opening it refuses or gives what was written, up to some point.
//! Never touches a real disk.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, OnceLock};

use farerush_engine::flight::{
    CustomerId, Epoch, Event, FlightId, OrderPlaced, Recorded, Seat, Seq, Timestamp,
};
use farerush_engine::journal::{Batch, Claim, Journal};
use farerush_persistence::journal::embedded::disk::{Disk, File};
use farerush_persistence::journal::embedded::{EmbeddedJournal, EmbeddedOptions};

const OPTIONS: EmbeddedOptions =
    EmbeddedOptions { segment_bytes: 4 << 10, retain_bytes: 1 << 20, prepare_in_background: false };
const FLIGHTS: usize = 3;

type Content = Arc<Mutex<Vec<u8>>>;

/// Files in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Content>>);

struct Opened(Content);

impl File for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let rest = content.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.0.lock().unwrap();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let until = from + bytes.len();
        if content.len() < until {
            content.resize(until, 0);
        }
        content[from..until].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.0.lock().unwrap().get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(Opened(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = Content::default();
        self.0.lock().unwrap().insert(name.to_owned(), file.clone());
        Ok(Arc::new(Opened(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// A journal of a few segments, and what it holds of each flight.
struct Written {
    files: BTreeMap<String, Vec<u8>>,
    events: Vec<(FlightId, Vec<Recorded>)>,
}

fn written() -> &'static Written {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let disk = Arc::new(Memory::default());
        let journal = EmbeddedJournal::open_on(disk.clone(), OPTIONS).expect("an empty folder is a journal");
        let mut events: Vec<(FlightId, Vec<Recorded>)> =
            (0..FLIGHTS).map(|no| (FlightId::new(&format!("FR{no}")).unwrap(), Vec::new())).collect();
        for (flight_id, _) in &events {
            let claim = Claim { flight_id: flight_id.clone(), epoch: Epoch(1) };
            journal.fence(&[claim]).expect("memory takes it");
        }
        for round in 0..40_u64 {
            let (flight_id, so_far) = &mut events[usize::try_from(round).unwrap() % FLIGHTS];
            let new: Vec<_> = (0..1 + round % 4).map(|no| event(so_far.len() as u64 + 1 + no)).collect();
            so_far.extend(new.clone());
            let batch = Batch { flight_id: flight_id.clone(), epoch: Epoch(1), events: new };
            let _ = journal.append(&[batch]).expect("memory takes it");
        }
        drop(journal);
        let files = disk.0.lock().unwrap();
        let files = files.iter().map(|(name, file)| (name.clone(), file.lock().unwrap().clone())).collect();
        Written { files, events }
    })
}

fn event(seq: u64) -> Recorded {
    let order = OrderPlaced {
        customer: CustomerId::new(&format!("customer-{seq}")).unwrap(),
        seats: [Seat::new(12, b'A').unwrap()].into_iter().collect(),
        total: 99_900,
        hold_expires_at: None,
        passengers: None,
        client_reference: None,
        idempotency: None,
    };
    Recorded {
        seq: Seq(seq),
        at: Timestamp::from_millis(0),
        event: Event::OrderPlaced(Box::new(order)),
        cause: None,
        head: None,
    }
}

/// Changes the newest two segments as `input` says and opens the journal: three bytes an edit, place and value. With
/// an odd first byte the last segment is `input` itself.
pub(crate) fn segment(input: &[u8]) {
    let Some((&way, input)) = input.split_first() else { return };
    let written = written();
    let mut files = written.files.clone();
    let mut changed = 0;
    if way % 2 == 1 {
        if let Some(last) = files.values_mut().next_back() {
            *last = input.to_vec();
        }
        changed = usize::MAX;
    } else {
        for edit in input.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
            // Two segments of 4 KiB.
            if let Some(file) = files.values_mut().nth_back(place >> 12 & 1)
                && let Some(byte) = file.get_mut(place & 0xfff)
            {
                changed += usize::from(*byte != edit[2]);
                *byte = edit[2];
            }
        }
    }
    let disk = Memory(Mutex::new(
        files.into_iter().map(|(name, file)| (name, Arc::new(Mutex::new(file)))).collect(),
    ));
    let Ok(journal) = EmbeddedJournal::open_on(Arc::new(disk), OPTIONS) else { return };
    for (flight_id, events) in &written.events {
        let Ok(read) = journal.read(flight_id, Seq(0), usize::MAX >> 1) else { continue };
        // More bytes could be a new checksum for other content.
        if changed <= 3 {
            assert!(events.starts_with(&read), "{flight_id}: {read:?}");
        }
    }
}
