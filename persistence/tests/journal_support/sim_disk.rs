//! A disk in memory that keeps apart what was written from what was synced, and can fail and lose its power.
//! Never knows what is written to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use farerush_persistence::journal::embedded::disk::{Disk, File};

use super::Rng;

const SECTOR: usize = 512;

/// What the disk does wrong.
#[derive(Default)]
pub(crate) struct Faults {
    /// Operations until the power goes: after that everything fails, the one it happens in half-done.
    pub(crate) power_for: Option<u64>,
    /// Bytes that can still be written before the disk is full.
    pub(crate) room: Option<u64>,
    /// The next sync fails; as on Linux, what it should have synced is then taken for clean: it can still be seen, but
    /// no later sync brings it to the disk, unless it is written again.
    pub(crate) fail_next_sync: bool,
    /// One in so many syncs fails like that.
    pub(crate) fail_one_sync_in: Option<u64>,
    /// The next sync of the folder fails.
    pub(crate) fail_next_folder_sync: bool,
    /// So many files cannot be opened or made, because there are no file descriptors left.
    pub(crate) without_descriptors: u64,
    /// Writes and reads do only a part of what they were asked to, now and then.
    pub(crate) short: bool,
}

struct State {
    names: BTreeMap<String, Arc<Mutex<Content>>>,
    synced_names: BTreeMap<String, Arc<Mutex<Content>>>,
    faults: Faults,
    rng: Rng,
    operations: u64,
    syncs: u64,
}

#[derive(Default)]
struct Content {
    visible: Vec<u8>,
    synced: Vec<u8>,
    /// Sectors in which the two may differ.
    dirty: BTreeSet<usize>,
}

impl Content {
    /// Brings some or all of the sectors that are not dirty to the disk.
    fn write_out(&mut self, sectors: impl Iterator<Item = usize>) {
        self.synced.resize(self.visible.len(), 0);
        for sector in sectors {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.visible.len());
            self.synced[start..end].copy_from_slice(&self.visible[start..end]);
        }
    }

    /// Forgets some of what is taken for clean and never reached the disk.
    fn evict(&mut self, rng: &mut Rng) {
        let odds = *rng.pick(&[0, 0, 5, 10]);
        for sector in 0..self.visible.len().div_ceil(SECTOR) {
            if self.dirty.contains(&sector) || rng.below(10) >= odds {
                continue;
            }
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.visible.len());
            for place in start..end {
                self.visible[place] = self.synced.get(place).copied().unwrap_or(0);
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_names(BTreeMap::new(), Rng(seed))
    }

    fn with_names(names: BTreeMap<String, Arc<Mutex<Content>>>, rng: Rng) -> Self {
        let synced_names = names.clone();
        let faults = Faults::default();
        Self(Arc::new(Mutex::new(State { names, synced_names, faults, rng, operations: 0, syncs: 0 })))
    }

    /// Changes what goes wrong.
    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().unwrap().faults);
    }

    /// How many operations there were that change something or make it durable.
    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// How many syncs of files there were.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// The disk after a power cut: what was synced, and any of the sectors and names that were not.
    pub(crate) fn after_power_cut(&self) -> Self {
        let mut state = self.0.lock().unwrap();
        let mut rng = Rng(state.rng.next());
        let mut names = BTreeMap::new();
        let all: BTreeSet<String> = state.names.keys().chain(state.synced_names.keys()).cloned().collect();
        for name in all {
            let side = if rng.one_in(2) { &state.names } else { &state.synced_names };
            let Some(content) = side.get(&name) else { continue };
            let content = content.lock().unwrap();
            let bytes = survivors(&content, &mut rng);
            let survived = Content { visible: bytes.clone(), synced: bytes, dirty: BTreeSet::new() };
            names.insert(name, Arc::new(Mutex::new(survived)));
        }
        Self::with_names(names, rng)
    }

    /// The same files, as the next process finds them when only the last one died. Of what a failed sync has left
    /// behind, some may have been forgotten: pages that count as clean are dropped when memory is short.
    pub(crate) fn after_kill(&self) -> Self {
        let mut state = self.0.lock().unwrap();
        let mut rng = Rng(state.rng.next());
        for content in state.names.values() {
            content.lock().unwrap().evict(&mut rng);
        }
        let disk = Self::with_names(state.names.clone(), rng);
        disk.0.lock().unwrap().synced_names = state.synced_names.clone();
        disk
    }

    /// A copy that shares nothing with this one, all of it synced.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.lock().unwrap();
        let copied = state.names.iter().map(|(name, content)| {
            let bytes = content.lock().unwrap().visible.clone();
            let content = Content { visible: bytes.clone(), synced: bytes, dirty: BTreeSet::new() };
            (name.clone(), Arc::new(Mutex::new(content)))
        });
        Self::with_names(copied.collect(), state.rng.clone())
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap().names[name].lock().unwrap().visible.clone()
    }

    /// Puts other bytes into a file, behind the back of whoever uses it.
    pub(crate) fn replace(&self, name: &str, bytes: Vec<u8>) {
        let state = self.0.lock().unwrap();
        let mut content = state.names[name].lock().unwrap();
        content.synced.clone_from(&bytes);
        content.visible = bytes;
        content.dirty.clear();
    }

    fn take_descriptor(&self) -> io::Result<()> {
        const EMFILE: i32 = 24;
        let mut state = self.0.lock().unwrap();
        match state.faults.without_descriptors.checked_sub(1) {
            Some(left) => {
                state.faults.without_descriptors = left;
                Err(io::Error::from_raw_os_error(EMFILE))
            }
            None => Ok(()),
        }
    }

    /// Takes the power for one operation; an error once it is gone.
    fn operate(&self) -> io::Result<Power> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        match &mut state.faults.power_for {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(1) => {
                state.faults.power_for = Some(0);
                Ok(Power::Going)
            }
            Some(left) => {
                *left -= 1;
                Ok(Power::On)
            }
            None => Ok(Power::On),
        }
    }
}

#[derive(PartialEq)]
enum Power {
    On,
    /// It goes during this operation, which may or may not take effect.
    Going,
}

fn survivors(content: &Content, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = content.synced.clone();
    // Mostly a few sectors are missing or a few have made it; sometimes it is all or nothing.
    let odds = *rng.pick(&[0, 1, 2, 8, 9, 10]);
    for &sector in &content.dirty {
        if rng.below(10) >= odds {
            continue;
        }
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(content.visible.len());
        if start >= end {
            continue;
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(&content.visible[start..end]);
    }
    bytes
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.take_descriptor()?;
        let content = self.0.lock().unwrap().names.get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.take_descriptor()?;
        self.operate()?;
        let content = Arc::<Mutex<Content>>::default();
        self.0.lock().unwrap().names.insert(name.to_owned(), Arc::clone(&content));
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operate()?;
        self.0.lock().unwrap().names.remove(name).map(|_| ()).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let power = self.operate()?;
        let mut state = self.0.lock().unwrap();
        if std::mem::take(&mut state.faults.fail_next_folder_sync) {
            return Err(io::Error::other("the disk says no"));
        }
        if power == Power::On || state.rng.one_in(2) {
            state.synced_names = state.names.clone();
        }
        if power == Power::Going { Err(io::Error::other("the power went")) } else { Ok(()) }
    }

    fn place(&self) -> String {
        "sim".into()
    }
}

struct SimFile {
    disk: SimDisk,
    content: Arc<Mutex<Content>>,
}

impl SimFile {
    /// How much of `wanted` is done when things go wrong a little.
    fn shortened(&self, wanted: usize) -> usize {
        let mut state = self.disk.0.lock().unwrap();
        if state.faults.short && wanted > 1 && state.rng.one_in(2) {
            return 1 + state.rng.index(wanted - 1);
        }
        wanted
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().visible.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let wanted = self.shortened(buffer.len());
        let content = self.content.lock().unwrap();
        let start = usize::try_from(offset).unwrap().min(content.visible.len());
        let length = wanted.min(content.visible.len() - start);
        buffer[..length].copy_from_slice(&content.visible[start..start + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let power = self.disk.operate()?;
        let mut length = self.shortened(bytes.len());
        {
            let mut state = self.disk.0.lock().unwrap();
            if power == Power::Going {
                length = state.rng.index(length + 1);
            }
            if let Some(room) = &mut state.faults.room {
                length = length.min(usize::try_from(*room).unwrap());
                *room -= length as u64;
                if length == 0 {
                    return Err(ErrorKind::StorageFull.into());
                }
            }
        }
        let mut content = self.content.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = start + length;
        if content.visible.len() < end {
            content.visible.resize(end, 0);
        }
        content.visible[start..end].copy_from_slice(&bytes[..length]);
        if length > 0 {
            content.dirty.extend(start / SECTOR..=(end - 1) / SECTOR);
        }
        if power == Power::Going { Err(io::Error::other("the power went")) } else { Ok(length) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let power = self.disk.operate()?;
        let mut state = self.disk.0.lock().unwrap();
        state.syncs += 1;
        let mut fails = std::mem::take(&mut state.faults.fail_next_sync);
        if let Some(times) = state.faults.fail_one_sync_in {
            fails |= state.rng.one_in(times);
        }
        let mut content = self.content.lock().unwrap();
        if fails {
            // Some of it may have got there all the same.
            let odds = *state.rng.pick(&[0, 0, 3, 9]);
            let dirty = std::mem::take(&mut content.dirty);
            content.write_out(dirty.into_iter().filter(|_| state.rng.below(10) < odds));
            return Err(io::Error::other("the disk says no"));
        }
        if power == Power::On || state.rng.one_in(2) {
            let dirty = std::mem::take(&mut content.dirty);
            content.write_out(dirty.into_iter());
        }
        if power == Power::Going { Err(io::Error::other("the power went")) } else { Ok(()) }
    }
}
