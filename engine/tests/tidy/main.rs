//! The rules of the house that a compiler does not check: imports point one way, the flight stays pure, every file
//! says what it owns.

mod modules;
mod ranks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use modules::Crate;
use ranks::{HOUSES, House};

/// Longest file that is still read in one go, tests included.
const LINES_MAX: usize = 700;
/// Longest file that has one job; those that are longer are named in `ranks`.
const LINES_TYPICAL_MAX: usize = 400;

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
    for under in ["gateway/src", "gateway/wire/src", "gateway/clients/src", "gateway/peers/src"] {
        assert_never(under, &["sqlx", "redis::", "bincode"], "the gateway knows ports, not drivers");
    }
    let clients = "the clients know base, and a server by its HTTP";
    assert_never("gateway/clients/src", &["farerush::", "farerush_persistence", "warp"], clients);
    let peers = "the link between servers knows HTTP's words, and no flight";
    assert_never(
        "gateway/peers/src",
        &["farerush::", "farerush_engine", "farerush_persistence", "warp"],
        peers,
    );
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
    for under in [
        "engine/src",
        "engine/protocol/src",
        "persistence/src",
        "gateway/src",
        "gateway/wire/src",
        "gateway/clients/src",
        "gateway/peers/src",
    ] {
        for (name, text) in sources(under) {
            assert!(text.starts_with("//! "), "{name} does not begin with what it owns");
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{name} has {lines} lines: it has two jobs");
        }
    }
}

#[test]
fn the_image_is_built_with_every_package() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dockerfile = fs::read_to_string(root().join("docker/Dockerfile")).unwrap();
    let members =
        manifest.lines().find_map(|line| line.strip_prefix("members = [")).expect("there are members");
    let prepared = dockerfile.lines().find_map(|line| line.strip_prefix("RUN for crate in "));
    let prepared = prepared.expect("the packages are prepared").split(';').next().unwrap_or_default();
    for member in members.split('"').skip(1).step_by(2) {
        let copied = format!("COPY {member}/Cargo.toml {member}/");
        assert!(dockerfile.contains(&copied), "docker/Dockerfile lacks `{copied}`");
        assert!(prepared.split(' ').any(|name| name == member), "docker/Dockerfile prepares no {member}");
    }
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    for under in [
        "engine",
        "persistence/src",
        "gateway/src",
        "gateway/wire/src",
        "gateway/clients/src",
        "gateway/peers/src",
    ] {
        for (name, text) in sources(under).into_iter().filter(|(name, _)| !name.contains("tests/tidy/")) {
            for (number, line) in text.lines().enumerate() {
                for word in ["TODO", "FIXME", "XXX", "#[ignore"] {
                    assert!(!line.contains(word), "{name}:{}: {word}", number + 1);
                }
            }
        }
    }
}

/// The rank of each module that the table names, and the room that it is.
fn rooms(house: &House) -> BTreeMap<Vec<String>, (usize, &'static str)> {
    let mut rooms = BTreeMap::new();
    for (rank, row) in house.ranks.iter().enumerate() {
        for room in *row {
            for module in room.split(' ') {
                let path = module.split('/').map(str::to_owned).collect();
                assert!(
                    rooms.insert(path, (rank, *room)).is_none(),
                    "{}: {module} has two rooms",
                    house.folder
                );
            }
        }
    }
    rooms
}

#[test]
fn imports_go_down_from_room_to_room() {
    for house in HOUSES {
        let (rooms, found) = (rooms(house), Crate::read(house.folder));
        let room_of =
            |path: &[String]| (1..=path.len()).rev().find_map(|length| rooms.get(&path[..length]).copied());
        let mut wrong = Vec::new();
        for (path, file, imports) in found.imports().filter(|(path, ..)| !path.is_empty()) {
            let Some((rank, room)) = room_of(path) else {
                wrong.push(format!("{file} has no room"));
                continue;
            };
            for target in &imports {
                let points_down = match room_of(target) {
                    Some((its_rank, its_room)) => its_room == room || its_rank < rank,
                    None => target.is_empty(), // an item of the crate's root, if it has any
                };
                if !points_down {
                    wrong.push(format!(
                        "{file} ({room}) imports from {}, which is no lower",
                        target.join("/")
                    ));
                }
            }
        }
        for module in rooms.keys() {
            let path = module.join("/");
            let there = [format!("{path}.rs"), format!("{path}/mod.rs")];
            if !there.iter().any(|file| root().join(house.folder).join(file).is_file()) {
                wrong.push(format!("{}: there is no {path}", house.folder));
            }
        }
        assert!(wrong.is_empty(), "rooms by rank are in engine/tests/tidy/ranks.rs:\n{}", wrong.join("\n"));
    }
}

/// Largest circle of imports within a room, in files.
const CIRCLE_MAX: usize = 5;

#[test]
fn circles_within_a_room_are_small() {
    for house in HOUSES {
        let found = Crate::read(house.folder);
        let imports: BTreeMap<_, _> =
            found.imports().map(|(path, _, imports)| (path.clone(), imports)).collect();
        let reached_from = |start: &modules::Path| {
            let (mut reached, mut waiting) = (std::collections::BTreeSet::new(), vec![start]);
            while let Some(path) = waiting.pop() {
                let new = imports.get(path).into_iter().flatten().filter(|target| !target.is_empty());
                waiting.extend(new.filter(|target| reached.insert((*target).clone())));
            }
            reached
        };
        let reached: BTreeMap<_, _> = imports.keys().map(|path| (path, reached_from(path))).collect();
        for (path, targets) in &reached {
            let circle: Vec<_> = targets
                .iter()
                .filter(|target| reached.get(target).is_some_and(|back| back.contains(*path)))
                .map(|target| target.join("/"))
                .collect();
            assert!(
                circle.len() <= CIRCLE_MAX,
                "{}: {} go round in a circle",
                house.folder,
                circle.join(", ")
            );
        }
    }
}

#[test]
fn every_file_is_a_part_of_its_crate() {
    for house in HOUSES {
        let found = Crate::read(house.folder);
        assert_eq!(found.dead_files(), Vec::<&str>::new(), "no mod leads to these");
    }
}

#[test]
fn long_files_are_named_and_only_get_shorter() {
    for house in HOUSES {
        let mut wrong = Vec::new();
        let mut known: BTreeMap<&str, usize> = house.long.iter().copied().collect();
        for (name, text) in sources(house.folder) {
            let lines = text.lines().count();
            match known.remove(name.as_str()) {
                None if lines > LINES_TYPICAL_MAX => {
                    wrong.push(format!("{name} has {lines} lines: two jobs"));
                }
                Some(before) if lines > before => {
                    wrong.push(format!("{name} has grown to {lines} lines"));
                }
                Some(before) if lines < before => {
                    wrong.push(format!(
                        "{name} has {lines} lines now: say so, or leave it out below {LINES_TYPICAL_MAX}"
                    ));
                }
                _ => {}
            }
        }
        wrong.extend(known.keys().map(|name| format!("{name} is not there")));
        assert!(wrong.is_empty(), "long files are in engine/tests/tidy/ranks.rs:\n{}", wrong.join("\n"));
    }
}
