//! The admin's token: where it comes from, and whether a request shows it.
//! Never logs it.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use crate::config::Secret;
use crate::problem::Problem;

/// Random bytes of a token that is made here; it has twice as many characters.
const TOKEN_BYTES: usize = 32;

/// What an admin must show.
#[derive(Debug, Clone)]
pub struct AdminToken {
    token: Secret,
    /// In which file it is, if it is in one.
    pub file: Option<PathBuf>,
}

impl AdminToken {
    /// The token of the settings, or the one in `<data_dir>/admin.token`, which is made if it is not there.
    pub fn obtain(given: Option<&Secret>, data_dir: &Path) -> std::io::Result<Self> {
        if let Some(token) = given {
            return Ok(Self { token: token.clone(), file: None });
        }
        let file = data_dir.join("admin.token");
        let token = match std::fs::read_to_string(&file) {
            Ok(text) if text.trim().len() >= 16 => text.trim().to_owned(),
            Ok(_) => return Err(std::io::Error::other("it holds no token of 16 characters or more")),
            Err(error) if error.kind() == ErrorKind::NotFound => make(&file)?,
            Err(error) => return Err(error),
        };
        Ok(Self { token: Secret::new(token), file: Some(file) })
    }

    /// Whether this `Authorization` header shows the token; takes the same time for every wrong one of its length.
    pub fn check(&self, authorization: Option<&str>) -> Result<(), Problem> {
        let shown = authorization
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match shown {
            Some(token) if bool::from(token.as_bytes().ct_eq(self.token.expose().as_bytes())) => Ok(()),
            _ => Err(Problem::unauthorized()),
        }
    }
}

fn make(file: &Path) -> std::io::Result<String> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(std::io::Error::other)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file)?;
    writeln!(out, "{token}")?;
    out.sync_all()?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_for_the_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = AdminToken::obtain(None, directory.path()).unwrap();
        let second = AdminToken::obtain(None, directory.path()).unwrap();
        assert_eq!(first.token.expose(), second.token.expose());
        assert_eq!(first.token.expose().len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(first.file.unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = Secret::new("0123456789abcdef");
        let token = AdminToken::obtain(Some(&token), Path::new("/nowhere")).unwrap();
        assert!(token.check(Some("Bearer 0123456789abcdef")).is_ok());
        assert!(token.check(Some("bearer  0123456789abcdef")).is_ok());
        for wrong in
            [None, Some(""), Some("Bearer"), Some("Bearer 0123456789abcde"), Some("Basic 0123456789abcdef")]
        {
            assert!(token.check(wrong).is_err(), "{wrong:?}");
        }
    }
}
