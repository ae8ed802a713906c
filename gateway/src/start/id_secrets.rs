//! The secrets that ids are made of: from the settings, or from a file that the first start makes.
//! Never logs or shows one, and never makes one where an old one ought to be.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farerush_engine::flight::secrets::{SECRET_BYTES, SECRETS_MAX};
use farerush_engine::flight::{IdSecret, IdSecrets};
use farerush_persistence::files;

use crate::start::config::{Secret, Settings};

/// Where the secrets stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdSecretsSource {
    /// In the settings.
    Given(Secret),
    /// In this file; with `made`, the first start makes it.
    File {
        /// Which.
        path: PathBuf,
        /// Whether it is the default one.
        made: bool,
    },
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum IdSecretsError {
    /// The file cannot be read or made.
    #[error("cannot obtain the id secret in {path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not hold secrets.
    #[error("{path} holds no id secrets: {what}", path = .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// What the ids of this server are made of. With `make`, a file that is missing and whose place is the default one is
/// made; `None` if it is missing otherwise and need not be there.
pub fn obtain(settings: &Settings, make: bool) -> Result<Option<Arc<IdSecrets>>, IdSecretsError> {
    let (path, made) = match &settings.id_secrets {
        IdSecretsSource::Given(text) => {
            // They have been looked at when the settings were read.
            return Ok(parse(text.expose()).ok().map(Arc::new));
        }
        IdSecretsSource::File { path, made } => (path, *made),
    };
    let failed = |source| IdSecretsError::File { path: path.clone(), source };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && made => {
            return if make { made_at(path).map(Some).map_err(failed) } else { Ok(None) };
        }
        Err(error) => return Err(failed(error)),
    };
    if files::is_open_to_others(path) {
        tracing::warn!(
            file = %path.display(),
            "others than its owner could read the secret that order ids are made of, and work out every id: if somebody may \
             have, put a new secret in front of it (docs/running.md, \"Secrets of ids\")"
        );
        if made && make {
            files::close_up(path).map_err(failed)?;
        }
    }
    let content = |what| IdSecretsError::Content { path: path.clone(), what };
    parse(&text).map(Arc::new).map(Some).map_err(content)
}

/// Secrets as they are written: 64 hexadecimal digits each, the one in use first, with commas, spaces or line ends between;
/// what follows a `#` up to the end of its line is a remark.
pub fn parse(text: &str) -> Result<IdSecrets, String> {
    let words = text.lines().flat_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split([',', ' ', '\t', '\r']).filter(|word| !word.is_empty())
    });
    let mut secrets = words.map(secret).collect::<Result<Vec<_>, _>>()?.into_iter();
    if secrets.len() > SECRETS_MAX {
        return Err(format!("there are {} secrets, and at most {SECRETS_MAX} may be", secrets.len()));
    }
    let current = secrets.next().ok_or("there is no secret, which is 64 hexadecimal digits")?;
    Ok(IdSecrets::new(current, secrets))
}

fn secret(text: &str) -> Result<IdSecret, String> {
    let wrong = || "a secret is 64 hexadecimal digits, as `openssl rand -hex 32` makes them".to_owned();
    if text.len() != 2 * SECRET_BYTES || !text.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0; SECRET_BYTES];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
    }
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(
            "a secret of one byte repeated is none: draw one, as `openssl rand -hex 32` does".to_owned()
        );
    }
    Ok(IdSecret::new(bytes))
}

/// Draws a secret and writes it down; on disk, with its name, before any id is made of it. Of two that do so at once, one
/// wins, and both use that one's.
fn made_at(path: &Path) -> io::Result<Arc<IdSecrets>> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    files::make_folder(folder)?;
    let draft = folder.join(format!(".id.secret.{}", std::process::id()));
    let mut file = files::open_private(&draft)?;
    file.set_len(0)?;
    writeln!(
        file,
        "# What order ids are made of. Whoever has it can work out every id; without it, none is known again."
    )?;
    writeln!(file, "{digits}")?;
    file.sync_all()?;
    // Unlike a rename, a link does not replace what another process has put there.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::File::open(folder)?.sync_all()?;
    parse(&std::fs::read_to_string(path)?).map(Arc::new).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(path: &Path, made: bool) -> Settings {
        let values = crate::start::config::Values::default();
        let mut settings = Settings::from_values(&values).unwrap();
        settings.id_secrets = IdSecretsSource::File { path: path.to_owned(), made };
        settings
    }

    #[test]
    fn the_first_start_makes_a_secret_for_its_owner_alone_and_the_next_one_has_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.secret");
        assert_eq!(obtain(&settings(&path, true), false).unwrap(), None);
        let first = obtain(&settings(&path, true), true).unwrap().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(obtain(&settings(&path, true), true).unwrap().unwrap(), first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_closed_up_and_one_that_was_named_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.secret");
        assert!(matches!(obtain(&settings(&path, false), true), Err(IdSecretsError::File { .. })));
        obtain(&settings(&path, true), true).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        obtain(&settings(&path, true), true).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn secrets_are_read_the_one_in_use_first() {
        let (one, two) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4));
        let both = parse(&format!("# new\n{two} # since May\n\n{one}\n")).unwrap();
        assert_eq!(both, parse(&format!("{two},{one}")).unwrap());
        assert_eq!(both.current(), parse(&two).unwrap().current());
        for wrong in ["", "# nothing", "xyz", &one[1..], &"g".repeat(64), &"0".repeat(64)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
