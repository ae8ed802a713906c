//! `farerush token`: makes, lists and revokes admins' tokens, beside a running server or without one.
//! Never shows a token a second time.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farerush_engine::flight::{AdminName, Timestamp};

use super::{Entry, Role, TokenFile, TokenFileError};
use crate::base::time;

/// Longest time that a token may be made for, in days.
const EXPIRES_DAYS_MAX: u64 = 3650;

/// What is to be done with the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCommand {
    /// Make one and print it.
    Create {
        /// Its name.
        name: AdminName,
        /// What it is good for.
        role: Role,
        /// After which time it is good for nothing any more.
        expires: Option<Duration>,
    },
    /// Print a table of all.
    List,
    /// Revoke one.
    Revoke {
        /// Its name.
        name: AdminName,
    },
}

/// Reads a time such as `30d`, `12h`, `90m` or `45s`, up to ten years.
pub fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("must be a time such as 30d, 12h or 90m, up to {EXPIRES_DAYS_MAX}d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let time = number.checked_mul(seconds).ok_or_else(wrong)?;
    if time == 0 || time > EXPIRES_DAYS_MAX * 86_400 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(time))
}

/// Does it, and writes what is to be shown. `now` is the system's time.
pub fn run(
    command: TokenCommand,
    data_dir: &Path,
    now: SystemTime,
    out: &mut impl Write,
) -> Result<(), TokenFileError> {
    let file = TokenFile::in_dir(data_dir);
    let now = timestamp(now);
    let shown = match command {
        TokenCommand::Create { name, role, expires } => {
            let expires_at = expires.map(|time| {
                let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_add(millis))
            });
            let token = file.create(name, role, now, expires_at)?;
            format!("{token}\n")
        }
        TokenCommand::List => table(&file.read()?, now),
        TokenCommand::Revoke { name } => {
            file.revoke(&name, now)?;
            format!("{name} is revoked; running servers know within a second\n")
        }
    };
    out.write_all(shown.as_bytes())
        .map_err(|source| TokenFileError::Unreadable { path: "the standard output".into(), source })
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn table(entries: &[Entry], now: Timestamp) -> String {
    if entries.is_empty() {
        return "no tokens; `farerush token create --name NAME --role ROLE` makes one\n".to_owned();
    }
    let state = |entry: &Entry| match (entry.revoked_at, entry.expires_at) {
        (Some(at), _) => format!("revoked at {}", time::text(at)),
        (None, Some(at)) if at <= now => format!("expired at {}", time::text(at)),
        (None, Some(at)) => format!("holds until {}", time::text(at)),
        (None, None) => "holds".to_owned(),
    };
    let width = entries.iter().map(|entry| entry.name.as_str().len()).max().unwrap_or_default().max(4);
    let mut text = format!("{:<width$}  {:<8}  {:<24}  state\n", "name", "role", "created");
    for entry in entries {
        let (name, role) = (entry.name.as_str(), entry.role.as_str());
        let created = time::text(entry.created_at);
        text.push_str(&format!("{name:<width$}  {role:<8}  {created}  {}\n", state(entry)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn done(command: TokenCommand, directory: &Path, after: Duration) -> Result<String, TokenFileError> {
        let mut out = Vec::new();
        run(command, directory, UNIX_EPOCH + NOW + after, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn create(name: &str, expires: Option<Duration>) -> TokenCommand {
        TokenCommand::Create { name: AdminName::new(name).unwrap(), role: Role::Viewer, expires }
    }

    #[test]
    fn a_token_is_printed_once_listed_without_itself_and_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let at = |command, after| done(command, directory.path(), Duration::from_secs(after));
        assert!(at(TokenCommand::List, 0).unwrap().starts_with("no tokens"));
        let token = at(create("night-shift", Some(Duration::from_secs(60))), 0).unwrap();
        assert!(token.starts_with("farerush_") && token.ends_with('\n'), "{token}");
        at(create("ci", None), 1).unwrap();
        let list = at(TokenCommand::List, 2).unwrap();
        assert!(!list.contains(token.trim()), "{list}");
        assert!(
            list.contains(
                "night-shift  viewer    2023-11-14T22:13:20.000Z  holds until 2023-11-14T22:14:20.000Z"
            ),
            "{list}"
        );
        assert!(at(TokenCommand::List, 60).unwrap().contains("expired at"), "{list}");
        let revoked = at(TokenCommand::Revoke { name: AdminName::new("ci").unwrap() }, 3).unwrap();
        assert!(revoked.starts_with("ci is revoked"), "{revoked}");
        assert!(at(TokenCommand::List, 4).unwrap().contains("revoked at 2023-11-14T22:13:23.000Z"));
        let error = at(create("ci", None), 5).unwrap_err().to_string();
        assert!(error.contains("choose another name"), "{error}");
    }

    #[test]
    fn a_lifetime_has_a_unit_and_a_bound() {
        for (text, seconds) in [("45s", 45), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "d", "0d", "30", "-1d", "3651d", "1.5h", "30 d", "99999999999999999999d", "5日"] {
            assert!(lifetime(wrong).is_err(), "{wrong:?}");
        }
    }
}
