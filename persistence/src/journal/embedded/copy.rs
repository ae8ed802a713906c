//! Copies a journal's segments while their owner writes on: whole rounds, up to some moment after the copy began.
//! Never changes the original, and never takes damage for a write that is under way.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farerush_engine::journal::JournalError;

use super::round::{self, HEAD_BYTES, is_zero};
use super::scan::{Ending, scan};
use super::segment::{self, DATA_START, Opening, name_of, number_of};
use super::unavailable;
use crate::files;
use crate::journal::identity::{JournalIdentity, bring_back};

/// How often a segment is read again because a round at its end was being written.
const TRIES_MAX: u32 = 200;
/// Pause before it is read again.
const PAUSE: Duration = Duration::from_millis(5);

/// What a copy has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Segments with rounds.
    pub segments: u64,
    /// Bytes of rounds.
    pub bytes: u64,
}

/// The segments of a journal, held open: those that its owner removes meanwhile can still be read.
#[derive(Debug)]
pub struct HeldSegments {
    dir: PathBuf,
    segments: BTreeMap<u64, fs::File>,
}

impl HeldSegments {
    /// Holds all that is in the folder `dir` now. What the store has at this moment or later is in them or behind them.
    pub fn of(dir: &Path) -> Result<Self, JournalError> {
        let mut held = Self { dir: dir.to_owned(), segments: BTreeMap::new() };
        held.hold_more().map_err(|error| unavailable(format!("read the folder {}", dir.display()), error))?;
        if held.segments.is_empty() {
            let nothing = io::Error::new(ErrorKind::NotFound, "there is no journal in it");
            return Err(unavailable(format!("copy the folder {}", dir.display()), nothing));
        }
        Ok(held)
    }

    fn hold_more(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(number_of) else { continue };
            if self.segments.contains_key(&number) {
                continue;
            }
            match fs::File::open(self.dir.join(&name)) {
                Ok(file) => drop(self.segments.insert(number, file)),
                // Its owner was quicker; if it is missed, that is found out.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Copies all that is held, and what has followed since, into the folder `to`, which is made and must not be there.
    /// All of it is on disk when this returns. The copy has every event that was durable when this was called.
    pub fn copy_into(mut self, to: &Path) -> Result<Copied, JournalError> {
        let failed = |error| unavailable(format!("copy the journal to {}", to.display()), error);
        // One that nobody has written to may have been made anew by a start since.
        self.segments.retain(|_, file| has_begun(file).unwrap_or(true));
        self.hold_more().map_err(failed)?;
        let numbers: Vec<u64> = self.segments.keys().copied().collect();
        if let Some(place) = numbers.windows(2).position(|pair| pair[0] + 1 != pair[1]) {
            let what = "segments were removed while it was being copied, quicker than they could be opened: try again";
            return Err(self.damaged(numbers[place] + 1, what));
        }
        match JournalIdentity::of_folder(&self.dir, false).map_err(failed)? {
            Some(identity) => bring_back(to, &identity.id).map_err(failed)?,
            None => drop(files::make_folder(to).map_err(failed)?),
        }
        let mut expected = numbers.first().filter(|first| **first == 1).copied();
        let mut copied = Copied::default();
        for (place, number) in numbers.iter().enumerate() {
            // Asked before this one is read: if the next one has begun, nothing follows in this one any more.
            let next = numbers.get(place + 1).and_then(|next| self.segments.get(next));
            let is_final = next.is_some_and(|next| has_begun(next).unwrap_or(true));
            let Some(file) = self.segments.get(number) else { continue };
            let whole = self.whole(*number, file, expected, is_final)?;
            write(&to.join(name_of(*number)), &whole).map_err(failed)?;
            copied.segments += 1;
            copied.bytes += (whole.rounds.len() - DATA_START) as u64;
            expected = whole.next_round;
            if !is_final {
                break;
            }
        }
        fs::File::open(to).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(copied)
    }

    /// Reads a segment up to its last whole round. A reader that overtakes the writer may see zeros where a round is and
    /// a later round behind them: reading again tells that from damage, which stays where it is.
    fn whole(
        &self,
        number: u64,
        file: &fs::File,
        expected: Option<u64>,
        is_final: bool,
    ) -> Result<WholeRounds, JournalError> {
        let failed = |error| unavailable("read a segment of the journal", error);
        let (mut bytes, mut before) = (Vec::new(), None);
        for tried in 1.. {
            read(file, &mut bytes).map_err(failed)?;
            let length = bytes.len();
            if segment::check_header(&bytes, number) == Opening::Damaged {
                return Err(self.damaged(number, "its header is damaged"));
            }
            let is_last_try = tried >= TRIES_MAX;
            let (end, next_round) = match scan(&bytes, DATA_START, expected, |_, _| Ok(())) {
                Ok(scanned) if scanned.ending == Ending::Clean => (scanned.end, scanned.next_round),
                // What a dead process has left, or a living one is about to write.
                Ok(scanned) if is_last_try && !is_final => {
                    if scanned.ending == Ending::TrailerCut {
                        bytes[round::trailer_of(scanned.end)].copy_from_slice(&round::trailer());
                    }
                    (scanned.end, scanned.next_round)
                }
                Ok(_) if is_last_try => {
                    return Err(self.damaged(number, "its end is broken, yet a segment follows"));
                }
                Err(found) if is_last_try && (is_final || before == Some(found.at)) => {
                    return Err(self.damaged(number, &format!("at byte {}: {}", found.at, found.what)));
                }
                // It moves: somebody writes faster than this can read, and all before that place is whole.
                Err(found) if is_last_try => (found.at, None),
                Ok(scanned) => {
                    before = Some(scanned.end);
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(found) => {
                    before = Some(found.at);
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            bytes.truncate(end.max(DATA_START.min(length)));
            return Ok(WholeRounds { rounds: bytes, length: length as u64, next_round });
        }
        unreachable!("the last try returns")
    }

    fn damaged(&self, segment: u64, what: &str) -> JournalError {
        let what = format!("{}: {what}", self.dir.join(name_of(segment)).display());
        JournalError::Damaged { flight_id: None, what }
    }
}

/// A segment as far as its rounds are whole.
struct WholeRounds {
    /// Its header and its rounds.
    rounds: Vec<u8>,
    /// How long it is with the zeros behind them.
    length: u64,
    next_round: Option<u64>,
}

/// Whether a round was ever begun in a segment.
fn has_begun(file: &fs::File) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    match file.read_exact_at(&mut head, DATA_START as u64) {
        Ok(()) => Ok(!is_zero(&head)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(file: &fs::File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    bytes.resize(length, 0);
    file.read_exact_at(bytes, 0)
}

fn write(path: &Path, whole: &WholeRounds) -> io::Result<()> {
    let mut file = files::open_private(path)?;
    file.write_all(&whole.rounds)?;
    file.set_len(whole.length)?;
    file.sync_all()
}
