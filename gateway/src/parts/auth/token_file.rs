//! `<data_dir>/tokens.json`: the admins' tokens at rest, as hashes. Read whole, replaced whole.
//! Never holds a token, and never says whether one is good for anything.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farerush_engine::flight::{AdminName, Timestamp};
use farerush_persistence::files;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::Role;
use super::admin_tokens::MASTER_NAME;
use crate::base::time;

/// Most tokens in the file, revoked ones included.
pub const TOKENS_MAX: usize = 1000;
/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// What every token begins with, so that one that leaked can be told for what it is.
const TOKEN_PREFIX: &str = "farerush_";

/// Why the tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read or written.
    #[error("cannot read or write {path}", path = .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold what it should.
    #[error("{path} does not hold tokens: {why}", path = .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Others may read or change it.
    #[error(
        "{path} {why}, so that whoever that is may do what an admin may. See who it was, make new tokens where that may \
         have happened, and give the file to this user alone: chown and chmod 600",
        path = .path.display()
    )]
    Exposed {
        /// Which.
        path: PathBuf,
        /// What is wrong, such as "can be changed by others".
        why: String,
    },
    /// The name was given before.
    #[error(
        "there is, or was, a token named {0}: choose another name, because the audit tells admins apart by it"
    )]
    Taken(AdminName),
    /// The name is not in the file.
    #[error("there is no token named {0}: `farerush token list` shows those there are")]
    Unknown(AdminName),
    /// It was revoked before.
    #[error("the token named {0} was revoked before")]
    Revoked(AdminName),
    /// The file is full.
    #[error(
        "there are {TOKENS_MAX} tokens, which is as many as there may be: remove old ones from tokens.json"
    )]
    Full,
}

/// A hash of a token.
pub(super) type Hash = [u8; 32];

/// SHA-256 without salt or stretching is right here, and would be wrong for passwords: a token is 256 random bits, so
/// that nobody finds it by trying, whatever a try costs, and no two are alike. A slow hash would only let strangers
/// make the server work by sending wrong tokens.
pub(super) fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

/// One token, as far as the file knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: AdminName,
    /// What it is good for.
    pub role: Role,
    pub(super) hash: Hash,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is good for nothing, if that comes by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl Entry {
    /// Whether it is good for anything at this moment.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    tokens: Vec<Written>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    name: String,
    role: String,
    sha256: String,
    created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The one in this data directory, whether it is there or not.
    pub fn in_dir(data_dir: &Path) -> Self {
        Self { path: data_dir.join("tokens.json") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tokens; none if there is no file.
    pub fn read(&self) -> Result<Vec<Entry>, TokenFileError> {
        let length = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.unreadable(source)),
        };
        // Hashes say nothing to whoever reads them; whoever can write makes an admin of himself.
        if let Some(why) = exposed(&self.path, files::OTHERS_WRITE) {
            return Err(TokenFileError::Exposed { path: self.path.clone(), why });
        }
        if length > FILE_BYTES_MAX {
            return Err(self.malformed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(&self.path).map_err(|source| self.unreadable(source))?;
        let written: WrittenFile =
            serde_json::from_str(&text).map_err(|error| self.malformed(error.to_string()))?;
        if written.tokens.len() > TOKENS_MAX {
            return Err(self.malformed(format!("it holds more than {TOKENS_MAX} tokens")));
        }
        let entry = |written: Written| {
            let name = written.name.clone();
            understood(written).map_err(|why| self.malformed(format!("the token {name:?}: {why}")))
        };
        written.tokens.into_iter().map(entry).collect()
    }

    /// Makes a token and keeps its hash. The token itself is given back here and never again.
    pub fn create(
        &self,
        name: AdminName,
        role: Role,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<String, TokenFileError> {
        let token = random_token().map_err(|source| self.unreadable(source))?;
        let hash = hash(&token);
        self.change(|entries| {
            if name.as_str() == MASTER_NAME || entries.iter().any(|entry| entry.name == name) {
                return Err(TokenFileError::Taken(name));
            }
            if entries.len() >= TOKENS_MAX {
                return Err(TokenFileError::Full);
            }
            entries.push(Entry { name, role, hash, created_at, expires_at, revoked_at: None });
            Ok(())
        })?;
        Ok(token)
    }

    /// Revokes a token. It stays in the file, so that its name is not given again.
    pub fn revoke(&self, name: &AdminName, now: Timestamp) -> Result<(), TokenFileError> {
        self.change(|entries| {
            let found = entries.iter_mut().find(|entry| entry.name == *name);
            let entry = found.ok_or_else(|| TokenFileError::Unknown(name.clone()))?;
            if entry.revoked_at.is_some() {
                return Err(TokenFileError::Revoked(name.clone()));
            }
            entry.revoked_at = Some(now);
            Ok(())
        })
    }

    /// Reads, changes and replaces the file; others who change it wait meanwhile.
    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut Vec<Entry>) -> Result<(), TokenFileError>,
    ) -> Result<(), TokenFileError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let unreadable = |source| self.unreadable(source);
        // A file of its own: the one with the tokens is another one after each change.
        let lock = files::open_private(&self.path.with_extension("lock")).map_err(unreadable)?;
        lock.lock().map_err(unreadable)?;
        let mut entries = self.read()?;
        change(&mut entries)?;
        self.replace(directory, &entries).map_err(unreadable)
    }

    /// The new file has its whole content, on the disk, before it takes the old one's name: whoever reads sees one or
    /// the other, after a power failure, too.
    fn replace(&self, directory: &Path, entries: &[Entry]) -> std::io::Result<()> {
        let written = WrittenFile { tokens: entries.iter().map(written).collect() };
        let mut text = serde_json::to_vec_pretty(&written).map_err(std::io::Error::other)?;
        text.push(b'\n');
        let temporary = self.path.with_extension("new");
        // One that a killed process left might have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = for_the_owner_only(&temporary)?;
        out.write_all(&text)?;
        out.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(directory)?.sync_all()
    }

    fn unreadable(&self, source: std::io::Error) -> TokenFileError {
        TokenFileError::Unreadable { path: self.path.clone(), source }
    }

    fn malformed(&self, why: String) -> TokenFileError {
        TokenFileError::Malformed { path: self.path.clone(), why }
    }
}

/// A new file that only its owner may read.
pub(super) fn for_the_owner_only(path: &Path) -> std::io::Result<File> {
    let file = files::private().create_new(true).open(path)?;
    file.set_permissions(PermissionsExt::from_mode(files::FILE_MODE))?;
    Ok(file)
}

/// What makes a file no place for secrets, if anything does: somebody else's, or of a mode with any of these bits.
pub(super) fn exposed(path: &Path, bits: u32) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let (owner, mode) = (metadata.uid(), metadata.permissions().mode());
    if owner != files::own_user() && owner != 0 {
        return Some(format!("belongs to user {owner}"));
    }
    match mode & bits {
        0 => None,
        found if found & files::OTHERS_WRITE != 0 => Some("can be changed by others".to_owned()),
        _ => Some("can be read by others".to_owned()),
    }
}

fn random_token() -> std::io::Result<String> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    Ok(format!("{TOKEN_PREFIX}{}", hex(&random)))
}

/// Bytes as small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 2 * hash.len() || !text.is_ascii() {
        return None;
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(hash)
}

pub(super) fn written(entry: &Entry) -> Written {
    Written {
        name: entry.name.as_str().to_owned(),
        role: entry.role.as_str().to_owned(),
        sha256: hex(&entry.hash),
        created_at: time::text(entry.created_at),
        expires_at: entry.expires_at.map(time::text),
        revoked_at: entry.revoked_at.map(time::text),
    }
}

pub(super) fn understood(written: Written) -> Result<Entry, String> {
    let moment = |text: Option<String>| text.map(|text| time::parse(&text)).transpose();
    Ok(Entry {
        name: AdminName::new(&written.name).map_err(|error| error.to_string())?,
        role: Role::from_name(&written.role).ok_or("its role must be viewer, operator or admin")?,
        hash: unhex(&written.sha256).ok_or("its sha256 must be 64 hexadecimal digits")?,
        created_at: time::parse(&written.created_at)?,
        expires_at: moment(written.expires_at)?,
        revoked_at: moment(written.revoked_at)?,
    })
}

#[cfg(test)]
mod tests;
