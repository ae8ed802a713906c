//! Whether a Redis server is set up so that what it confirms survives it.
//! Never changes a setting of the server's.

use ::redis::{Value, cmd};
use farerush_engine::journal::JournalError;

use super::link::{Link, error_text};

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

/// What was found at a look, a sentence each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Why what the server confirms may not survive it, or why that could not be told.
    pub(super) complaints: Vec<String>,
    /// What it does not survive though the server does.
    pub(super) warnings: Vec<String>,
}

/// Asks each primary how it is set up, and who follows it.
pub(super) fn look(link: &mut Link, wait_replicas: u32) -> Result<Findings, JournalError> {
    let questions = |_: &str| {
        // One at a time: before version 7, CONFIG GET takes no more.
        let setting = |(setting, _, _): &(&str, &str, &str)| {
            let mut command = cmd("CONFIG");
            command.arg("GET").arg(*setting);
            command
        };
        let info = |section| {
            let mut command = cmd("INFO");
            command.arg(section);
            command
        };
        WANTED.iter().map(setting).chain(["server", "replication"].map(info)).collect()
    };
    let mut findings = Findings::default();
    link.at_all("read the settings of Redis", questions, |answers| {
        let found = found(answers, wait_replicas);
        for (all, new) in
            [(&mut findings.complaints, found.complaints), (&mut findings.warnings, found.warnings)]
        {
            // Of several that are alike it is said once.
            for sentence in new {
                if !all.contains(&sentence) {
                    all.push(sentence);
                }
            }
        }
    })?;
    Ok(findings)
}

fn found(mut answers: Vec<Value>, wait_replicas: u32) -> Findings {
    let replication = answers.pop().unwrap_or(Value::Nil);
    let info = answers.pop().unwrap_or(Value::Nil);
    let mut complaints: Vec<String> = WANTED
        .iter()
        .zip(answers)
        .filter_map(|((setting, wanted, otherwise), answer)| complaint(setting, wanted, otherwise, answer))
        .collect();
    complaints.extend(version_complaint(&info));
    let warnings = replicas_warning(&replication, wait_replicas).into_iter().collect();
    Findings { complaints, warnings }
}

/// Whoever promotes a replica cannot tell which of them has everything.
fn replicas_warning(info: &Value, wait_replicas: u32) -> Option<String> {
    let text = info_text(info)?;
    let replicas: u32 =
        text.lines().find_map(|line| line.strip_prefix("connected_slaves:"))?.trim().parse().ok()?;
    (wait_replicas < replicas).then(|| {
        format!(
            "Redis has {replicas} connected replicas and redis_wait_replicas is {wait_replicas}: acknowledged orders do not \
             survive a fail-over to a replica that does not have them yet"
        )
    })
}

fn info_text(info: &Value) -> Option<String> {
    match info {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        _ => None,
    }
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
    let Some(text) = info_text(info) else {
        return Some(format!("could not check that Redis is of version {major}.{minor} or newer"));
    };
    let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"))?.trim();
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next()?, numbers.next().unwrap_or(0));
    (found < VERSION_MIN).then(|| format!("Redis {version} is too old: {major}.{minor} or newer is needed"))
}
