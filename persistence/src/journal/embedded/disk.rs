//! What the log needs of a folder of files, and the real one.
//! Never knows what the bytes mean.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files;

/// An open file. Calls may come from several threads at once.
pub trait File: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buffer.len()` bytes from `offset` on; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset`, making the file longer where needed; says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Returns when all that was written, and the length, would survive a power cut.
    fn sync_data(&self) -> io::Result<()>;

    /// Reads exactly `buffer.len()` bytes.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`. On failure any part of them may have been written.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A folder of files. What is created or removed survives a power cut after `sync_folder` only.
pub trait Disk: Send + Sync + 'static {
    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes an empty file, in place of one that may be there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Removes a file; those who have it open can still read it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns when the names of all files would survive a power cut.
    fn sync_folder(&self) -> io::Result<()>;

    /// Where it is, for people.
    fn place(&self) -> String;
}

/// A real folder, locked for this process as long as this value lives.
pub struct Folder {
    path: PathBuf,
    handle: fs::File,
    /// Held, never read: the lock goes when it is closed.
    _lock: fs::File,
}

/// Name of the file that is locked.
const LOCK_NAME: &str = "lock";

impl Folder {
    /// Opens or makes the folder at `path` and locks it. Fails with `WouldBlock` if another process has it. The folder
    /// and all that is in it are their owner's alone.
    pub fn open(path: &Path) -> io::Result<Self> {
        files::make_folder(path)?;
        // A journal's folder holds a journal and nothing else, so it may be closed up.
        files::close_up(path)?;
        let lock = files::open_private(&path.join(LOCK_NAME))?;
        Self::lock(path, lock)
    }

    /// The same for a folder that is there, without making anything: `NotFound` if it is not.
    pub fn open_existing(path: &Path) -> io::Result<Self> {
        let lock = match fs::File::open(path.join(LOCK_NAME)) {
            // A copy may lack the file: then the folder itself is what others would lock as well.
            Err(error) if error.kind() == ErrorKind::NotFound => fs::File::open(path)?,
            opened => opened?,
        };
        Self::lock(path, lock)
    }

    fn lock(path: &Path, lock: fs::File) -> io::Result<Self> {
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(ErrorKind::WouldBlock, format!("{} is locked", path.display()))
            }
            TryLockError::Error(error) => error,
        })?;
        Ok(Self { path: path.to_owned(), handle: fs::File::open(path)?, _lock: lock })
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        files::close_up(&path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = files::open_private(&self.path.join(name))?;
        file.set_len(0)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
