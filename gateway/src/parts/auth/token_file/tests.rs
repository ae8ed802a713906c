//! What the file keeps, and what it is refused for.

use super::*;

fn name(text: &str) -> AdminName {
    AdminName::new(text).unwrap()
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[test]
fn a_token_is_kept_as_a_hash_for_the_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = TokenFile::in_dir(directory.path());
    assert_eq!(file.read().unwrap(), []);
    let token = file.create(name("ci"), Role::Operator, NOW, None).unwrap();
    assert_eq!(token.len(), TOKEN_PREFIX.len() + 2 * TOKEN_BYTES);
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(!text.contains(&token[TOKEN_PREFIX.len()..]), "{text}");
    let entries = file.read().unwrap();
    assert_eq!((entries.len(), &entries[0].name, entries[0].role), (1, &name("ci"), Role::Operator));
    assert_eq!(entries[0].hash, hash(&token));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_name_is_given_once_even_after_its_token_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let file = TokenFile::in_dir(directory.path());
    file.create(name("ci"), Role::Viewer, NOW, None).unwrap();
    file.revoke(&name("ci"), NOW).unwrap();
    let again = file.create(name("ci"), Role::Viewer, NOW, None);
    assert!(matches!(again, Err(TokenFileError::Taken(_))), "{again:?}");
    let master = file.create(name("admin"), Role::Viewer, NOW, None);
    assert!(matches!(master, Err(TokenFileError::Taken(_))), "{master:?}");
    assert!(matches!(file.revoke(&name("ci"), NOW), Err(TokenFileError::Revoked(_))));
    assert!(matches!(file.revoke(&name("x"), NOW), Err(TokenFileError::Unknown(_))));
    assert_eq!(file.read().unwrap().len(), 1);
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = TokenFile::in_dir(directory.path());
    file.create(name("ci"), Role::Viewer, NOW, None).unwrap();
    for (mode, is_refused) in [(0o600, false), (0o644, false), (0o620, true), (0o602, true), (0o666, true)] {
        fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(matches!(file.read(), Err(TokenFileError::Exposed { .. })), is_refused, "{mode:o}");
    }
}

#[test]
fn tokens_made_at_once_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let file = TokenFile::in_dir(directory.path());
            scope.spawn(move || file.create(name(&format!("t{number}")), Role::Viewer, NOW, None).unwrap());
        }
    });
    assert_eq!(TokenFile::in_dir(directory.path()).read().unwrap().len(), 8);
}

#[test]
fn a_file_that_holds_something_else_is_an_error_that_says_what() {
    let directory = tempfile::tempdir().unwrap();
    let file = TokenFile::in_dir(directory.path());
    let hash = "0".repeat(64);
    for (text, why) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid"),
        (
            format!(
                r#"{{"tokens":[{{"name":"a b","role":"admin","sha256":"{hash}","created_at":"2026-01-01T00:00:00Z"}}]}}"#
            ),
            "letters",
        ),
        (
            format!(
                r#"{{"tokens":[{{"name":"a","role":"root","sha256":"{hash}","created_at":"2026-01-01T00:00:00Z"}}]}}"#
            ),
            "role",
        ),
        (
            r#"{"tokens":[{"name":"a","role":"admin","sha256":"0","created_at":"2026-01-01T00:00:00Z"}]}"#
                .to_owned(),
            "sha256",
        ),
        (
            format!(r#"{{"tokens":[{{"name":"a","role":"admin","sha256":"{hash}","created_at":"now"}}]}}"#),
            "must",
        ),
        (
            format!(
                r#"{{"tokens":[{{"name":"a","role":"admin","sha256":"{hash}","created_at":"2026-01-01T00:00:00Z","revoked":true}}]}}"#
            ),
            "revoked",
        ),
    ] {
        fs::write(file.path(), &text).unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}
