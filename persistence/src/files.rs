//! Folders and files for their owner alone, whatever the umask, whose names survive a power cut.
//! Never makes anything that others may read, and never closes up a folder that it did not make.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What the owner may do with a folder, and nobody else.
pub const FOLDER_MODE: u32 = 0o700;
/// What the owner may do with a file, and nobody else.
pub const FILE_MODE: u32 = 0o600;
/// What a mode gives to anybody but the owner.
pub const OTHERS: u32 = 0o077;
/// What lets anybody but the owner change something.
pub const OTHERS_WRITE: u32 = 0o022;

/// Makes a folder and those above it that are missing, each for the owner alone and with its name on disk when this
/// returns; says whether it was missing. One that is there stays as it is, but for its name: whoever made it may have
/// died before that was on disk.
pub fn make_folder(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        // Where the folder above cannot be read, somebody else has seen to it.
        let _ = sync_name(path);
        return Ok(false);
    }
    if let Some(parent) = parent(path).filter(|parent| !parent.is_dir()) {
        make_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(false),
        Err(error) => return Err(error),
    }
    // The umask can only have taken bits away, but it may have taken the owner's.
    fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE))?;
    sync_name(path)?;
    Ok(true)
}

/// Opens a file for reading and writing, and makes it for the owner alone if it is missing. One that is there loses
/// what others may do with it.
pub fn open_private(path: &Path) -> io::Result<File> {
    let file = private().open(path)?;
    if file.metadata()?.permissions().mode() & 0o7777 != FILE_MODE {
        // Another owner's file may be usable all the same.
        match file.set_permissions(fs::Permissions::from_mode(FILE_MODE)) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(file)
}

/// How a file is opened that is made for the owner alone if it is missing.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options
}

/// Takes from everybody but the owner what they may do with something that is there and ours; says whether there was
/// anything to take.
pub fn close_up(path: &Path) -> io::Result<bool> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mode = metadata.permissions().mode();
    if mode & OTHERS == 0 || metadata.uid() != own_user() {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777 & !OTHERS))?;
    Ok(true)
}

/// Whether anybody but the owner may do anything with it.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
}

/// The user this process acts for.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes the name of a file or folder durable.
pub fn sync_name(path: &Path) -> io::Result<()> {
    File::open(parent(path).unwrap_or(Path::new(".")))?.sync_all()
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn folders_and_files_are_the_owners_alone() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b");
        assert!(make_folder(&folder).unwrap());
        assert!(!make_folder(&folder).unwrap());
        assert_eq!((mode(&base.path().join("a")), mode(&folder)), (FOLDER_MODE, FOLDER_MODE));
        let file = folder.join("f");
        open_private(&file).unwrap();
        assert_eq!(mode(&file), FILE_MODE);
        for loose in [0o644, 0o666, 0o777, 0o400] {
            fs::set_permissions(&file, fs::Permissions::from_mode(loose)).unwrap();
            if loose != 0o400 || own_user() == 0 {
                open_private(&file).unwrap();
                assert_eq!(mode(&file), FILE_MODE, "{loose:o}");
            }
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_open_to_others(&folder));
        assert!(close_up(&folder).unwrap() && !close_up(&folder).unwrap());
        assert_eq!(mode(&folder), FOLDER_MODE);
        assert!(!close_up(&folder.join("nothing")).unwrap());
    }
}
