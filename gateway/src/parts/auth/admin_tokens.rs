//! The admins' tokens as a running server knows them: the one of the settings, and those of the file, which it looks
//! at again and again. Never changes the file.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use farerush_engine::flight::{AdminName, Timestamp};
use farerush_persistence::files;
use parking_lot::{Mutex, RwLock};
use subtle::ConstantTimeEq;

use super::token_file::{Entry, Hash, TokenFile, TokenFileError, exposed, for_the_owner_only, hash, hex};
use super::{Admin, Role};
use crate::base::errors::in_full;
use crate::base::settings::Secret;

/// The name of the setting's token, in the audit as well.
pub(super) const MASTER_NAME: &str = "admin";
/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Random bytes of a token that is made here; it has twice as many characters.
const TOKEN_BYTES: usize = 32;
/// Fewest characters of the token in `admin.token`.
const TOKEN_CHARS_MIN: usize = 16;

/// What tells one content of the file from another: it is replaced whole, so that each has a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    number: u64,
}

#[derive(Debug)]
struct Looked {
    at: Instant,
    stamp: Option<Stamp>,
    has_failed: bool,
}

/// What admins may show.
#[derive(Debug)]
pub struct AdminTokens {
    master: Hash,
    master_file: Option<PathBuf>,
    file: TokenFile,
    looked: Mutex<Looked>,
    entries: RwLock<Arc<[Entry]>>,
}

impl AdminTokens {
    /// The token of the settings, or the one in `<data_dir>/admin.token`, which is made if it is not there; and those in
    /// `<data_dir>/tokens.json`.
    pub fn open(given: Option<&Secret>, data_dir: &Path) -> Result<Self, TokenFileError> {
        let (token, master_file) = match given {
            Some(token) => (token.clone(), None),
            None => {
                let path = data_dir.join("admin.token");
                if let Some(why) = exposed(&path, files::OTHERS) {
                    return Err(TokenFileError::Exposed { path, why });
                }
                let token = obtain(&path)
                    .map_err(|source| TokenFileError::Unreadable { path: path.clone(), source })?;
                (token, Some(path))
            }
        };
        let file = TokenFile::in_dir(data_dir);
        let stamp = stamp(&file);
        let entries = file.read()?;
        // Hashes are nobody's business either; that others could read them is no reason not to start.
        files::close_up(file.path())
            .map_err(|source| TokenFileError::Unreadable { path: file.path().to_owned(), source })?;
        Ok(Self {
            master: hash(token.expose()),
            master_file,
            file,
            looked: Mutex::new(Looked { at: Instant::now(), stamp, has_failed: false }),
            entries: RwLock::new(entries.into()),
        })
    }

    /// In which file the token of the role admin is, if it is in one.
    pub fn master_file(&self) -> Option<&Path> {
        self.master_file.as_deref()
    }

    /// The admin whose token this is, if it is one that holds at this moment.
    pub fn check(&self, token: &str, now: Timestamp) -> Option<Admin> {
        self.look_if_due(Instant::now());
        let shown = hash(token);
        let is = |hash: &Hash| bool::from(hash.as_slice().ct_eq(shown.as_slice()));
        if is(&self.master) {
            let name = AdminName::new(MASTER_NAME).ok()?;
            return Some(Admin { name, role: Role::Admin });
        }
        let entries = self.entries.read().clone();
        let found = entries.iter().find(|entry| is(&entry.hash))?;
        found.holds_at(now).then(|| Admin { name: found.name.clone(), role: found.role })
    }

    /// The file that the tokens are in.
    pub(super) fn file(&self) -> &TokenFile {
        &self.file
    }

    /// Looks at the file the next time that anybody shows a token.
    pub(super) fn look_soon(&self) {
        let mut looked = self.looked.lock();
        if let Some(long_ago) = looked.at.checked_sub(LOOK_EVERY) {
            looked.at = long_ago;
        }
    }

    fn look_if_due(&self, now: Instant) {
        // Whoever comes while another one looks goes on with what was known.
        let Some(mut looked) = self.looked.try_lock() else { return };
        if now.saturating_duration_since(looked.at) < LOOK_EVERY {
            return;
        }
        looked.at = now;
        let stamp = stamp(&self.file);
        if stamp == looked.stamp {
            return;
        }
        let entries = match self.file.read() {
            Ok(entries) => {
                looked.stamp = stamp;
                entries
            }
            Err(error) => {
                // It may be that one was revoked: better nobody is let in than somebody who must not be.
                if !looked.has_failed {
                    tracing::error!(
                        error = in_full(&error),
                        "the admins' tokens cannot be read: until they can, only the admin token holds"
                    );
                }
                // And looked at again, changed or not: it may be for want of a file descriptor.
                (looked.stamp, looked.has_failed) = (None, true);
                *self.entries.write() = Vec::new().into();
                return;
            }
        };
        looked.has_failed = false;
        tracing::info!(tokens = entries.len(), "the admins' tokens were read again");
        *self.entries.write() = entries.into();
    }
}

fn stamp(file: &TokenFile) -> Option<Stamp> {
    let metadata = fs::metadata(file.path()).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Some(Stamp { modified: metadata.modified().ok()?, length: metadata.len(), number })
}

fn obtain(path: &Path) -> std::io::Result<Secret> {
    let token = match fs::read_to_string(path) {
        Ok(text) if text.trim().chars().count() >= TOKEN_CHARS_MIN => text.trim().to_owned(),
        Ok(_) => return Err(std::io::Error::other("it holds no token of 16 characters or more")),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(error),
    };
    Ok(Secret::new(token))
}

fn make(path: &Path) -> std::io::Result<String> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    let token = hex(&random);
    let mut out = for_the_owner_only(path)?;
    writeln!(out, "{token}")?;
    out.sync_all()?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LATER: Timestamp = Timestamp::from_millis(1_700_000_060_000);

    /// Has it look again, as if the time for it had come.
    fn due(tokens: &AdminTokens) {
        let again_at = tokens.looked.lock().at + LOOK_EVERY;
        tokens.look_if_due(again_at);
    }

    #[test]
    fn the_token_is_made_once_and_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = AdminTokens::open(None, directory.path()).unwrap();
        let second = AdminTokens::open(None, directory.path()).unwrap();
        assert_eq!(first.master, second.master);
        let token = fs::read_to_string(first.master_file().unwrap()).unwrap();
        assert_eq!(token.trim().len(), 64);
        let admin = first.check(token.trim(), NOW).unwrap();
        assert_eq!((admin.name.as_str(), admin.role), (MASTER_NAME, Role::Admin));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(first.master_file().unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_token_that_others_can_read_or_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = AdminTokens::open(None, directory.path()).unwrap().master_file().unwrap().to_owned();
        for (mode, why) in [(0o640, "read"), (0o604, "read"), (0o620, "changed"), (0o666, "changed")] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = AdminTokens::open(None, directory.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("can be {why} by others")) && error.contains("600"), "{error}");
        }
        if files::own_user() == 0 {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
            let error = AdminTokens::open(None, directory.path()).unwrap_err().to_string();
            assert!(error.contains("belongs to user 12345"), "{error}");
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = AdminTokens::open(Some(&Secret::new("0123456789abcdef")), directory.path()).unwrap();
        assert!(tokens.check("0123456789abcdef", NOW).is_some());
        for wrong in ["", "0123456789abcde", "0123456789abcdefg", "0123456789abcdeF"] {
            assert!(tokens.check(wrong, NOW).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_running_server_learns_of_new_and_of_revoked_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = AdminTokens::open(Some(&Secret::new("0123456789abcdef")), directory.path()).unwrap();
        let file = TokenFile::in_dir(directory.path());
        let name = AdminName::new("night-shift").unwrap();
        let token = file.create(name.clone(), Role::Operator, NOW, Some(LATER)).unwrap();
        due(&tokens);
        let admin = tokens.check(&token, NOW).unwrap();
        assert_eq!((&admin.name, admin.role), (&name, Role::Operator));
        assert!(tokens.check(&token, LATER).is_none(), "it has expired");
        file.revoke(&name, NOW).unwrap();
        due(&tokens);
        assert!(tokens.check(&token, NOW).is_none(), "it was revoked");
        assert!(tokens.check("0123456789abcdef", NOW).is_some());
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(directory.path());
        let token = file.create(AdminName::new("a").unwrap(), Role::Viewer, NOW, None).unwrap();
        let tokens = AdminTokens::open(Some(&Secret::new("0123456789abcdef")), directory.path()).unwrap();
        assert!(tokens.check(&token, NOW).is_some());
        fs::write(file.path(), "{").unwrap();
        due(&tokens);
        assert!(tokens.check(&token, NOW).is_none());
        assert!(tokens.check("0123456789abcdef", NOW).is_some());
        assert!(AdminTokens::open(None, directory.path()).is_err(), "a start says so");
    }
}
