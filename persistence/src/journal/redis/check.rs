//! Whether a Redis server is set up so that what it confirms survives it.
//! Never changes a setting of the server's.

use ::redis::{Value, cmd};
use farerush_engine::journal::JournalError;

use super::link::{Link, Pipeline, error_text};

/// The oldest version that has NOMKSTREAM, XTRIM MINID and exclusive ranges.
const VERSION_MIN: (u32, u32) = (6, 2);

/// Setting, the only value that will do, and what happens otherwise.
const WANTED: [(&str, &str, &str); 4] = [
    ("appendonly", "yes", "what it confirms is lost when it stops"),
    ("appendfsync", "always", "about a second of what it confirms is lost when it is killed"),
    (
        "no-appendfsync-on-rewrite",
        "no",
        "what it confirms while it rewrites its log is lost when it is killed",
    ),
    ("maxmemory-policy", "noeviction", "flights are thrown away when its memory is full"),
];

/// What is wrong with the server, a sentence each.
pub(super) fn complaints(link: &mut Link) -> Result<Vec<String>, JournalError> {
    let mut pipeline = Pipeline::default();
    for (setting, _, _) in WANTED {
        // One at a time: before version 7, CONFIG GET takes no more.
        pipeline.add(cmd("CONFIG").arg("GET").arg(setting));
    }
    pipeline.add(cmd("INFO").arg("server"));
    let mut answers = link.send("read the settings of Redis", &pipeline)?;
    let info = answers.pop().unwrap_or(Value::Nil);
    let mut complaints: Vec<String> = WANTED
        .iter()
        .zip(answers)
        .filter_map(|((setting, wanted, otherwise), answer)| complaint(setting, wanted, otherwise, answer))
        .collect();
    complaints.extend(version_complaint(&info));
    Ok(complaints)
}

fn complaint(setting: &str, wanted: &str, otherwise: &str, answer: Value) -> Option<String> {
    let unchecked = |why: &str| {
        Some(format!(
            "could not check that Redis runs with {setting} {wanted} ({why}); without it {otherwise}"
        ))
    };
    let answer = match answer {
        Value::ServerError(error) => return unchecked(error_text(&error).trim()),
        answer => answer,
    };
    let Ok(pair) = ::redis::from_redis_value::<Vec<String>>(answer) else {
        return unchecked("an answer of an unknown kind");
    };
    match pair.get(1) {
        None => unchecked("it does not know this setting"),
        Some(found) if found == wanted => None,
        Some(found) => Some(format!("Redis runs with {setting} {found} instead of {wanted}: {otherwise}")),
    }
}

fn version_complaint(info: &Value) -> Option<String> {
    let (major, minor) = VERSION_MIN;
    let text = match info {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        _ => return Some(format!("could not check that Redis is of version {major}.{minor} or newer")),
    };
    let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"))?.trim();
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next()?, numbers.next().unwrap_or(0));
    (found < VERSION_MIN).then(|| format!("Redis {version} is too old: {major}.{minor} or newer is needed"))
}
