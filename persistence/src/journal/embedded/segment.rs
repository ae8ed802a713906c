//! Segment files: their names, their header sector, and how the next one is made ready in the background.
//! Never knows what a round is.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::disk::{Disk, File};
use super::round::{SECTOR_BYTES, is_zero};

/// Where rounds start: behind the header sector.
pub(super) const DATA_START: usize = SECTOR_BYTES;
const MAGIC: [u8; 8] = *b"\xF7FRlog\r\n";
const VERSION: u32 = 1;
/// Magic, version, four bytes of zero, number, checksum.
const HEADER_BYTES: usize = 28;
const ZEROS_AT_ONCE: usize = 1 << 20;
/// How long the thread rests before it tries again to make a segment for which there was no file descriptor.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);
/// "Too many open files", of this process and of the whole system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// The file name of a segment.
pub(super) fn name_of(number: u64) -> String {
    format!("{number:016}.segment")
}

/// The number of the segment with this file name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    let number = digits.parse().ok()?;
    (name_of(number) == name).then_some(number)
}

/// Whether something could not be opened for want of file descriptors alone, which others give back.
pub(super) fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// The sector that segment `number` begins with.
pub(super) fn header(number: u64) -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    sector[..8].copy_from_slice(&MAGIC);
    sector[8..12].copy_from_slice(&VERSION.to_le_bytes());
    sector[16..24].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&sector[..24]);
    sector[24..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    sector
}

/// What a segment's bytes say before any round is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The header is whole; rounds may follow.
    Whole,
    /// Nothing was ever written behind the header, which is not whole: making it ready was cut short.
    Unfinished,
    /// Something follows a header that is not whole: damage.
    Damaged,
}

/// Checks the header of segment `number`.
pub(super) fn check_header(segment: &[u8], number: u64) -> Opening {
    if segment.len() >= DATA_START && segment[..DATA_START] == header(number) {
        return Opening::Whole;
    }
    if segment.len() <= DATA_START || is_zero(&segment[DATA_START..]) {
        return Opening::Unfinished;
    }
    Opening::Damaged
}

/// Makes segment `number`: zeros, then the header, on disk when it returns. `stop` ends it early with an error.
pub(super) fn create(
    disk: &dyn Disk,
    number: u64,
    bytes: u64,
    stop: &AtomicBool,
) -> io::Result<Arc<dyn File>> {
    let file = disk.create(&name_of(number))?;
    let zeros = vec![0; ZEROS_AT_ONCE.min(usize::try_from(bytes).unwrap_or(ZEROS_AT_ONCE))];
    let mut offset = 0;
    while offset < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the journal is being closed"));
        }
        let length = zeros.len().min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..length], offset)?;
        // Bit by bit, so that the rounds that are synced meanwhile never queue behind all of it.
        file.sync_data()?;
        offset += length as u64;
    }
    // The header says that the zeros are on disk, so it comes after them.
    file.write_all_at(&header(number), 0)?;
    file.sync_data()?;
    disk.sync_folder()?;
    Ok(file)
}

/// Makes segments ready on a thread of its own, so that no append waits for zeros to be written.
pub(super) struct Preparer {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    next: Mutex<NextSegment>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
enum NextSegment {
    #[default]
    Nothing,
    Wanted(u64),
    InWork,
    Ready(u64, Arc<dyn File>),
}

impl Preparer {
    /// With a thread if `in_background`; without one, segments are made when they are taken.
    pub(super) fn start(disk: Arc<dyn Disk>, segment_bytes: u64, in_background: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut preparer = Self { disk, segment_bytes, shared, thread: None };
        if in_background {
            let (disk, shared) = (Arc::clone(&preparer.disk), Arc::clone(&preparer.shared));
            let work = move || run(&*disk, segment_bytes, &shared);
            preparer.thread = Some(std::thread::Builder::new().name("journal-segments".into()).spawn(work)?);
        }
        Ok(preparer)
    }

    /// Asks for segment `number` to be made ready.
    pub(super) fn want(&self, number: u64) {
        if self.thread.is_some() {
            *self.shared.next.lock() = NextSegment::Wanted(number);
            self.shared.changed.notify_all();
        }
    }

    /// Hands in segment `number`, found ready when the journal was opened.
    pub(super) fn supply(&self, number: u64, file: Arc<dyn File>) {
        *self.shared.next.lock() = NextSegment::Ready(number, file);
    }

    /// Segment `number`, made here and now unless it is ready or in work.
    pub(super) fn take(&self, number: u64) -> io::Result<Arc<dyn File>> {
        let mut next = self.shared.next.lock();
        while matches!(*next, NextSegment::Wanted(_) | NextSegment::InWork) {
            self.shared.changed.wait(&mut next);
        }
        if let NextSegment::Ready(ready, file) = mem::take(&mut *next)
            && ready == number
        {
            return Ok(file);
        }
        drop(next);
        create(&*self.disk, number, self.segment_bytes, &self.shared.stop)
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Under the lock, so that the thread cannot miss it between its check and its wait.
        drop(self.shared.next.lock());
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that makes journal segments ready has panicked");
        }
    }
}

fn run(disk: &dyn Disk, segment_bytes: u64, shared: &Shared) {
    let mut next = shared.next.lock();
    while !shared.stop.load(Ordering::Relaxed) {
        let NextSegment::Wanted(number) = *next else {
            shared.changed.wait(&mut next);
            continue;
        };
        *next = NextSegment::InWork;
        drop(next);
        let made = create(disk, number, segment_bytes, &shared.stop);
        next = shared.next.lock();
        *next = match made {
            Ok(file) => NextSegment::Ready(number, file),
            Err(error) if lacks_descriptors(&error) => {
                // Whoever needs it by now tries for itself; else there is time.
                *next = NextSegment::Nothing;
                shared.changed.notify_all();
                shared.changed.wait_for(&mut next, DESCRIPTOR_PAUSE);
                if matches!(*next, NextSegment::Nothing) && !shared.stop.load(Ordering::Relaxed) {
                    *next = NextSegment::Wanted(number);
                }
                continue;
            }
            Err(error) => {
                // The append that needs it tries again, and says so if it cannot be made.
                if !shared.stop.load(Ordering::Relaxed) {
                    tracing::warn!(segment = number, %error, "the next journal segment could not be made ready");
                }
                NextSegment::Nothing
            }
        };
        shared.changed.notify_all();
    }
}
