//! Which journal a journal is: a name for people and an id that is made once and never again.
//! Never says whose a store is: the store does.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::files;

/// Name of the file with the id, in a journal's folder.
const FILE_NAME: &str = "identity";
/// Random bytes of an id; it has twice as many characters.
const ID_BYTES: usize = 16;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 500;

/// Which journal a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalIdentity {
    /// 32 small hexadecimal digits, drawn when the journal was made.
    pub id: String,
    /// Where it is, for people: a folder and its machine, a server, or memory.
    pub name: String,
}

impl JournalIdentity {
    /// Of a journal in memory, which is another one in each process.
    pub fn of_memory() -> io::Result<Self> {
        Ok(Self { id: random_id()?, name: MEMORY.to_owned() })
    }

    /// Whether the journal was in memory, and ended with its process.
    pub fn is_memory(&self) -> bool {
        self.name == MEMORY
    }

    pub(super) fn new(id: String, name: &str) -> Self {
        let mut end = name.len().min(NAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Self { id, name: name[..end].to_owned() }
    }

    /// Of the journal in a folder; `None` if it has none yet and none is to be made.
    pub(super) fn of_folder(folder: &Path, make: bool) -> io::Result<Option<Self>> {
        let path = folder.join(FILE_NAME);
        if make {
            files::close_up(&path)?;
        }
        let id = match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound && make => make_file(&path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !is_id(&id) {
            let what = format!("{} does not hold 32 hexadecimal digits", path.display());
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let place = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Some(Self::new(id, &format!("file:{} on {machine}", place.display()))))
    }
}

/// Gives a journal's folder that was emptied, or is gone, the id that it had: does nothing where anything is left of a
/// journal, or the folder says already which it has.
pub fn bring_back(folder: &Path, id: &str) -> io::Result<()> {
    let has_anything = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if has_anything || !is_id(id) {
        return Ok(());
    }
    files::make_folder(folder)?;
    write_file(&folder.join(FILE_NAME), id)
}

const MEMORY: &str = "memory:";

/// Whether this is what ids look like.
pub fn is_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A new id.
pub(super) fn random_id() -> io::Result<String> {
    use std::fmt::Write as _;
    let mut random = [0; ID_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    }))
}

/// The file has its whole content, on disk, before it has its name: a power cut leaves it or none.
fn make_file(path: &Path) -> io::Result<String> {
    let id = random_id()?;
    write_file(path, &id)?;
    Ok(id)
}

fn write_file(path: &Path, id: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = files::open_private(&temporary)?;
    file.set_len(0)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    files::sync_name(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_journal_is_the_same_one_for_ever_and_another_folder_s_is_another() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(JournalIdentity::of_folder(one.path(), false).unwrap(), None);
        let made = JournalIdentity::of_folder(one.path(), true).unwrap().unwrap();
        assert!(is_id(&made.id) && made.name.starts_with("file:/"), "{made:?}");
        assert_eq!(JournalIdentity::of_folder(one.path(), false).unwrap(), Some(made.clone()));
        assert_ne!(JournalIdentity::of_folder(other.path(), true).unwrap().unwrap().id, made.id);
        fs::write(one.path().join(FILE_NAME), "none").unwrap();
        assert!(JournalIdentity::of_folder(one.path(), true).is_err());
    }
}
