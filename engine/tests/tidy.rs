//! The rules of the house that a compiler does not check: imports point one way, the flight stays pure, every file
//! says what it owns.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file that is still read in one go, tests included.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(under: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(under)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no sources under {under}");
    found
}

/// Code without comments, with line numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

fn assert_never(under: &str, words: &[&str], why: &str) {
    let mut found = Vec::new();
    for (name, text) in sources(under) {
        for (number, line) in code(&text) {
            found
                .extend(words.iter().filter(|w| line.contains(**w)).map(|w| format!("{name}:{number}: {w}")));
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn the_flight_is_pure() {
    let words = [
        "crate::actor",
        "crate::journal",
        "actix",
        "tokio",
        "std::time",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "SystemTime",
        "Instant",
        "rand::",
        "getrandom",
        "parking_lot",
        "Mutex",
        "async ",
        "tracing",
        "println!",
        "unsafe",
    ];
    assert_never("engine/src/flight", &words, "the flight never knows a clock, chance, IO or a runtime");
}

#[test]
fn imports_point_one_way() {
    let why = "gateway -> persistence -> engine, and inside the engine actor -> flight";
    assert_never(
        "engine/src",
        &["farerush_persistence", "farerush::", "sqlx", "redis::", "warp", "hyper"],
        why,
    );
    assert_never("persistence/src", &["farerush::", "warp", "hyper", "actix"], why);
    assert_never("gateway/src", &["sqlx", "redis::", "bincode"], "the gateway knows ports, not drivers");
}

#[test]
fn only_the_codec_knows_bincode() {
    for (name, text) in sources("persistence/src") {
        let is_codec = name.starts_with("persistence/src/codec");
        let knows = code(&text).any(|(_, line)| line.contains("bincode"));
        assert!(is_codec || !knows, "{name} knows bincode");
    }
}

#[test]
fn every_file_says_what_it_owns_and_none_is_endless() {
    for under in ["engine/src", "persistence/src", "gateway/src"] {
        for (name, text) in sources(under) {
            assert!(text.starts_with("//! "), "{name} does not begin with what it owns");
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{name} has {lines} lines: it has two jobs");
        }
    }
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    for under in ["engine", "persistence/src", "gateway/src"] {
        for (name, text) in sources(under).into_iter().filter(|(name, _)| !name.ends_with("tidy.rs")) {
            for (number, line) in text.lines().enumerate() {
                for word in ["TODO", "FIXME", "XXX", "#[ignore"] {
                    assert!(!line.contains(word), "{name}:{}: {word}", number + 1);
                }
            }
        }
    }
}
