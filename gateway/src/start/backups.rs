//! `farerush backup` and `farerush restore`: a copy of the embedded parts while they sell, and a data directory made of one.
//! Never changes what it copies, never writes over anything, and puts a name to nothing that it has not verified.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use farerush_engine::flight::{IdSecrets, Timestamp};
use farerush_engine::journal::Journal;
use farerush_persistence::backup::{self, BackupError, TakenBack};
use farerush_persistence::files;
use farerush_persistence::journal::embedded::Copied;
use farerush_persistence::journal::{EmbeddedJournal, EmbeddedOptions, identity};
use farerush_persistence::store::{Store, StoreOptions};
use farerush_persistence::verify::{VerifyReport, verify};
use serde::{Deserialize, Serialize};

use crate::base::time;
use crate::start::config::{JournalTarget, Settings, StoreTarget};
use crate::start::id_secrets;
use crate::start::storage::{DataDir, StartError};

/// What a backup says of itself, written last: a folder without it is none.
const LABEL: &str = "backup.json";
/// Version of that file.
const FORMAT: u32 = 1;
const JOURNAL: &str = "journal";
const STORE: &str = "farerush.db";
/// Hashes of admins' tokens, which go with the data.
const TOKENS: &str = "tokens.json";
/// How far a backup stands back behind the server that it runs beside.
const NICE: i32 = 10;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupsError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {path}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Journal or store are servers.
    #[error(
        "backup and restore are for the embedded journal and the SQLite store; here `journal` or `store` is a server. For \
         Redis and MySQL there are scripts/backup-servers and scripts/restore-servers (docs/running.md, \"Backups\")"
    )]
    NotEmbedded,
    /// Something is where something was to be made.
    #[error(
        "{path} is there already, and nothing was written over it: name another place, or move it away first",
        path = .0.display()
    )]
    AlreadyThere(PathBuf),
    /// There is no backup.
    #[error("{path} is no finished backup: {LABEL} {what}", path = .path.display())]
    NotABackup {
        /// Where.
        path: PathBuf,
        /// What is wrong with that file.
        what: String,
    },
    /// The backup ends before that moment.
    #[error(
        "the backup was begun at {made_at} and does not know what was there at {until}: take a younger one, or no --until"
    )]
    Later {
        /// When the backup was begun.
        made_at: String,
        /// What was asked for.
        until: String,
    },
    /// Rows cannot be made anew.
    #[error(
        "--until makes orders' rows anew, which takes the secret that their ids are made of: give it as id_secret or \
         id_secret_file (a server that ran on the data has it in id.secret of its data_dir)"
    )]
    NoSecret,
    /// What was copied does not agree.
    #[error("the copy has differences (above), and is not to be used")]
    Differs,
    /// Copying or taking back failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Label {
    format: u32,
    farerush: String,
    /// When it was begun: all that was acknowledged before is in it.
    made_at: String,
}

/// A backup or a restore that is done.
pub struct Done {
    said: String,
    report: VerifyReport,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.report, self.said)
    }
}

/// Lets everybody else's threads go before those that this one starts from now on: whoever sells needs the processor
/// more. Where that is not to be had, nothing is lost.
pub fn stand_back() {
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Copies journal and store, whether or not a server uses them, to the folder `target`, and verifies the copy.
pub async fn make(settings: &Settings, target: &Path) -> Result<Done, StartError> {
    let (journal, store) = embedded(settings)?;
    for (what, path) in [("journal", journal), ("store", store)] {
        if !path.exists() {
            return Err(StartError::Missing { what, path: path.to_owned() });
        }
    }
    let secrets = id_secrets::obtain(settings, false)?;
    make_empty(target)?;
    let made_at = now();
    let (to_journal, to_store) = (target.join(JOURNAL), target.join(STORE));
    let copied =
        backup::copy((journal, store), (&to_journal, &to_store)).await.map_err(BackupsError::from)?;
    copy_tokens(&settings.data_dir, target)?;
    let report = verified(&to_journal, &to_store, secrets.as_ref()).await?;
    let label = Label {
        format: FORMAT,
        farerush: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: time::text(made_at),
    };
    write_label(target, &label)?;
    let Copied { segments, bytes } = copied;
    let said = format!(
        "backed up to {}: all that was acknowledged before {}, {segments} segments with {bytes} bytes of events\n\
         not in it: id.secret, without which no flight comes up, and admin.token; keep them apart\n",
        target.display(),
        label.made_at
    );
    Ok(Done { said, report })
}

/// Makes journal and store where the settings say, of the backup in `from`: as it is, or as it was at `until`.
pub async fn restore(settings: &Settings, from: &Path, until: Option<Timestamp>) -> Result<Done, StartError> {
    let label = read_label(from)?;
    let (journal, store) = embedded(settings)?;
    let secrets = id_secrets::obtain(settings, false)?;
    if let Some(until) = until {
        check_until(&label, until)?;
        if secrets.is_none() {
            return Err(BackupsError::NoSecret.into());
        }
    }
    let _taken = DataDir::take(&settings.data_dir)?;
    let making = Making::beside(journal, store)?;
    let (report, said) = match fill(&making, from, until, secrets.as_ref()).await {
        Ok(filled) => filled,
        Err(error) => {
            making.remove();
            return Err(error);
        }
    };
    making.finish(journal, store)?;
    if !settings.data_dir.join(TOKENS).exists() {
        copy_tokens(from, &settings.data_dir)?;
    }
    let said = said
        + "the server needs the id secret of before: id.secret in data_dir, id_secret or id_secret_file\n";
    Ok(Done { said, report })
}

/// Makes what is to be, and verifies it; says what was done.
async fn fill(
    making: &Making,
    from: &Path,
    until: Option<Timestamp>,
    secrets: Option<&Arc<IdSecrets>>,
) -> Result<(VerifyReport, String), StartError> {
    let copy_of_journal = if until.is_some() { &making.whole_journal } else { &making.journal };
    backup::copy((&from.join(JOURNAL), &from.join(STORE)), (copy_of_journal, &making.store))
        .await
        .map_err(BackupsError::from)?;
    let said = match until {
        Some(until) => {
            let done = take_back(making, secrets, until).await?;
            format!(
                "restored as of {}: {} flights with {} events; left out what came later: {} flights, {} events in all\n",
                time::text(until),
                done.flights,
                done.events,
                done.flights_left_out,
                done.left_out
            )
        }
        None => "restored all that the backup has\n".to_owned(),
    };
    let report = verified(&making.journal, &making.store, secrets).await?;
    Ok((report, said))
}

/// Where a restore makes what is to be, until it is verified.
struct Making {
    journal: PathBuf,
    /// All of the backup's journal, where only a part of it is wanted.
    whole_journal: PathBuf,
    store: PathBuf,
}

impl Making {
    fn beside(journal: &Path, store: &Path) -> Result<Self, BackupsError> {
        let beside = |path: &Path, what: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(what);
            PathBuf::from(name)
        };
        let making = Self {
            journal: beside(journal, ".restoring"),
            whole_journal: beside(journal, ".restoring-whole"),
            store: beside(store, ".restoring"),
        };
        for path in [journal, store, &making.journal, &making.whole_journal, &making.store] {
            if path.exists() {
                return Err(BackupsError::AlreadyThere(path.to_owned()));
            }
        }
        for path in [journal, store] {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                files::make_folder(folder).map_err(io_error("make", folder))?;
            }
        }
        Ok(making)
    }

    /// Takes away what was begun: none of it was there before.
    fn remove(&self) {
        for folder in [&self.journal, &self.whole_journal] {
            let _ = std::fs::remove_dir_all(folder);
        }
        for beside in ["", "-wal", "-shm"] {
            let mut name = self.store.as_os_str().to_owned();
            name.push(beside);
            let _ = std::fs::remove_file(Path::new(&name));
        }
    }

    /// The store goes last: a journal without its store comes up by itself, a store without its journal does not.
    fn finish(&self, journal: &Path, store: &Path) -> Result<(), BackupsError> {
        for (from, to) in [(&self.journal, journal), (&self.store, store)] {
            let renamed = std::fs::rename(from, to).and_then(|()| files::sync_name(to));
            renamed.map_err(io_error("rename", from))?;
        }
        if self.whole_journal.exists() {
            std::fs::remove_dir_all(&self.whole_journal).map_err(io_error("remove", &self.whole_journal))?;
        }
        Ok(())
    }
}

async fn take_back(
    making: &Making,
    secrets: Option<&Arc<IdSecrets>>,
    until: Timestamp,
) -> Result<TakenBack, StartError> {
    let opened = tokio::task::block_in_place(|| {
        let from = EmbeddedJournal::open_existing(&making.whole_journal, options())?;
        if let Some(identity) = from.identity() {
            // The store is this journal's, and would be no other's.
            let brought = identity::bring_back(&making.journal, &identity.id);
            brought.map_err(io_error("make", &making.journal))?;
        }
        let to = EmbeddedJournal::open(&making.journal, options())?;
        Ok::<_, StartError>((from, to))
    });
    let (from, to) = opened?;
    let (from, to): (Arc<dyn Journal>, Arc<dyn Journal>) = (Arc::new(from), Arc::new(to));
    let store = open_copy(&making.store, secrets).await?;
    store.migrate().await?;
    let done = backup::take_back(&from, &to, &store, until).await.map_err(BackupsError::from)?;
    store.close().await;
    Ok(done)
}

async fn verified(
    journal: &Path,
    store: &Path,
    secrets: Option<&Arc<IdSecrets>>,
) -> Result<VerifyReport, StartError> {
    let opened = tokio::task::block_in_place(|| EmbeddedJournal::open_existing(journal, options()))?;
    let opened: Arc<dyn Journal> = Arc::new(opened);
    let store = open_copy(store, secrets).await?;
    let report = verify(&opened, &store).await?;
    store.close().await;
    if report.is_ok() {
        return Ok(report);
    }
    print!("{report}");
    Err(BackupsError::Differs.into())
}

async fn open_copy(path: &Path, secrets: Option<&Arc<IdSecrets>>) -> Result<Store, StartError> {
    let options = StoreOptions { create: false, secrets: secrets.cloned(), ..StoreOptions::default() };
    Ok(Store::open(&format!("sqlite:{}", path.display()), &options).await?)
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions { prepare_in_background: false, ..EmbeddedOptions::default() }
}

fn embedded(settings: &Settings) -> Result<(&Path, &Path), BackupsError> {
    match (&settings.journal, &settings.store) {
        (JournalTarget::File(journal), StoreTarget::Sqlite(store)) => Ok((journal, store)),
        _ => Err(BackupsError::NotEmbedded),
    }
}

/// Makes a folder for its owner alone; one that is there must be empty, and is closed up.
fn make_empty(path: &Path) -> Result<(), BackupsError> {
    let failed = || io_error("make", path);
    if !files::make_folder(path).map_err(failed())? {
        if std::fs::read_dir(path).map_err(failed())?.next().is_some() {
            return Err(BackupsError::AlreadyThere(path.to_owned()));
        }
        files::close_up(path).map_err(failed())?;
    }
    Ok(())
}

fn copy_tokens(from: &Path, to: &Path) -> Result<(), BackupsError> {
    let (from, to) = (from.join(TOKENS), to.join(TOKENS));
    let text = match std::fs::read(&from) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("read", &from)(error)),
    };
    write_private(&to, &text).map_err(io_error("write", &to))
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = files::private().create_new(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()?;
    files::sync_name(path)
}

fn write_label(target: &Path, label: &Label) -> Result<(), BackupsError> {
    let path = target.join(LABEL);
    let written = serde_json::to_vec_pretty(label).map_err(io::Error::from);
    written.and_then(|text| write_private(&path, &text)).map_err(io_error("write", &path))
}

fn read_label(from: &Path) -> Result<Label, BackupsError> {
    let not = |what: String| BackupsError::NotABackup { path: from.to_owned(), what };
    let text = std::fs::read(from.join(LABEL)).map_err(|error| not(format!("cannot be read ({error})")))?;
    let label: Label =
        serde_json::from_slice(&text).map_err(|error| not(format!("says nothing ({error})")))?;
    if label.format != FORMAT {
        return Err(not(format!("has format {}, of another version ({})", label.format, label.farerush)));
    }
    Ok(label)
}

fn check_until(label: &Label, until: Timestamp) -> Result<(), BackupsError> {
    let made_at = time::parse(&label.made_at).unwrap_or(Timestamp::from_millis(0));
    if until > made_at {
        return Err(BackupsError::Later { made_at: label.made_at.clone(), until: time::text(until) });
    }
    Ok(())
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupsError {
    let path = path.to_owned();
    move |source| BackupsError::Io { what, path, source }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
