//! Opens what the settings name: the data directory, the journal, the store.
//! Never reads an event or a row.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farerush_engine::journal::{Journal, JournalError};
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions, MemoryJournal};
use farerush_persistence::recovery::RecoveryError;
use farerush_persistence::store::{Store, StoreError, StoreOptions};

use crate::config::{JournalTarget, Settings, StoreTarget};

/// Why the program could not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}", path = .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process works on the data directory.
    #[error("another farerush process uses {path}: stop it first, or give this one a --data-dir of its own", path = .0.display())]
    InUse(PathBuf),
    /// The admin's token cannot be read or made.
    #[error("cannot obtain the admin token in {path}", path = .path.display())]
    AdminToken {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error("cannot open the journal")]
    Journal(#[from] JournalError),
    /// The store cannot be opened or brought up to date.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// Journal or store cannot be read.
    #[error("cannot recover")]
    Recovery(#[from] RecoveryError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The demo flights cannot be created.
    #[error("cannot create the demo flights: {0}")]
    Demo(String),
}

/// An error with all its causes, in one line.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The data directory, held by this process for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be and takes it for this process.
    pub fn take(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("farerush.lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// Opens the journal. Reads all of it: not to be called where blocking does harm.
pub fn open_journal(settings: &Settings) -> Result<Arc<dyn Journal>, JournalError> {
    Ok(match &settings.journal {
        JournalTarget::File(directory) => {
            Arc::new(EmbeddedJournal::open(directory, EmbeddedOptions::default())?)
        }
        JournalTarget::Memory => Arc::new(MemoryJournal::new()),
    })
}

/// Opens the store; its tables may still have to be made.
pub async fn open_store(settings: &Settings) -> Result<Store, StartError> {
    let StoreTarget::Sqlite(path) = &settings.store;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let failed = |source| StartError::DataDir { path: parent.to_owned(), source };
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    Ok(Store::open(&format!("sqlite:{}", path.display()), &StoreOptions::default()).await?)
}
