//! The documents against the code: the page of settings is what the code says, links lead somewhere, quoted log lines
//! and figures exist. Never judges what a sentence means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use farerush::start::config::KEYS;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares a generated page with the file; writes it instead where the environment has UPDATE=1.
#[track_caller]
fn check(name: &str, generated: &str) {
    let path = root().join(name);
    if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
        return fs::write(&path, generated).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (is, must))) = found
        .lines()
        .chain([""])
        .zip(generated.lines().chain([""]))
        .enumerate()
        .find(|(_, (is, must))| is != must)
    {
        panic!(
            "{name} is not what the code says, first in line {}:\n  is   {is}\n  must {must}\n\
             run `UPDATE=1 cargo test -p farerush --test docs` and look at what changed",
            number + 1
        );
    }
    assert_eq!(found, generated, "{name}: run `UPDATE=1 cargo test -p farerush --test docs`");
}

const SETTINGS_HEAD: &str = "\
# Settings

<!-- Generated from gateway/src/start/config/keys.rs by `UPDATE=1 cargo test -p farerush --test docs`. Do not edit. -->

A setting comes from its flag, else its environment variable, else `.env`, else `farerush.toml`, else its default. `.env` and
`farerush.toml` are looked for in the directory that the program is started in. In `farerush.toml` a key stands as it is named
here (`data_dir = \"./data\"`), in `.env` as its environment variable. An unknown key, an unknown variable that begins with
`FARERUSH_`, or a bad value is an error that names it, and the program exits with 2 before it does anything.

Any of them can stand in a file, as engines of containers hand secrets over: `FARERUSH_STORE_FILE=/run/secrets/store` is as
strong as `FARERUSH_STORE`, which must not be given beside it. An end of line at its end does not count. (`FARERUSH_ID_SECRET_FILE`
and `FARERUSH_JWT_PUBLIC_KEY_FILE` are settings of their own.) This goes for environment variables only, not for `.env`.

`serve`, `migrate`, `verify`, `backup` and `restore` take the same settings; `farerush load` is a client and takes none of
them ([load](load.md)). `farerush --help` prints this page's contents. What is best set how is in [running](running.md).

";

fn settings_page() -> String {
    let mut page = SETTINGS_HEAD.to_owned();
    page.push_str("| key | flag | environment variable | default |\n|---|---|---|---|\n");
    for key in KEYS {
        let (name, flag, variable) = (key.name, key.flag(), key.variable());
        page.push_str(&format!(
            "| [`{name}`](#{name}) | `--{flag}` | `{variable}` | {} |\n",
            default_of(key.default)
        ));
    }
    for key in KEYS {
        page.push_str(&format!("\n## {}\n\n{}.", key.name, sentence(key.doc)));
        page.push_str(&format!(" Default: {}.\n", default_of(key.default)));
        if key.secret {
            let variable = key.variable();
            page.push_str(&format!(
                "\nMay hold a password: better given as `{variable}` than as a flag, which everybody on the machine can \
                 read. It is never logged.\n"
            ));
        }
    }
    page
}

/// A value in code type, words as they are.
fn default_of(default: &str) -> String {
    match default.contains(' ') {
        true => escaped(default),
        false => format!("`{default}`"),
    }
}

fn sentence(doc: &str) -> String {
    let mut letters = doc.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    // The values of a setting stand first in some: they keep their case.
    match doc.split_once(' ') {
        Some((word, _)) if word.ends_with(':') => escaped(doc),
        _ => escaped(&format!("{first}{}", letters.as_str())),
    }
}

/// Without HTML, which `<data_dir>` would be.
fn escaped(text: &str) -> String {
    text.replace('<', "\\<").replace('>', "\\>").replace('*', "\\*").replace('[', "\\[").replace(']', "\\]")
}

#[test]
fn the_page_of_settings_is_what_the_code_says() {
    check("docs/settings.md", &settings_page());
}

/// All documents: those at the root and everything under `docs/`, as paths from the root.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    let at_root = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    found.extend(at_root.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut names: Vec<_> =
        found.iter().map(|path| path.strip_prefix(root()).unwrap().display().to_string()).collect();
    names.sort();
    names
}

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES)
}

/// What a document's links lead to, as they are written.
fn links(text: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            Some(dest_url.into_string())
        }
        _ => None,
    };
    parser(text).filter_map(link).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let name = slug(&heading.take().unwrap_or_default());
                let count = seen.entry(name.clone()).or_insert(0);
                anchors.insert(if *count == 0 { name } else { format!("{name}-{count}") });
                *count += 1;
            }
            _ => {}
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let letter = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ => None,
    };
    heading.trim().to_lowercase().chars().filter_map(letter).collect()
}

/// `docs/errors/../running.md` without the detour; `None` if it leaves the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !plain.pop() => return None,
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    Some(plain)
}

/// What is wrong with a link of the document `name`; `None` if nothing is, or if it leads out of here.
fn broken(name: &str, link: &str, all: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    if link.starts_with('/') {
        return Some("begins at the root, which is another one on every site".to_owned());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let target = match path {
        "" => PathBuf::from(name),
        _ => match plain(&folder.join(path)) {
            Some(target) => target,
            None => return Some("leaves the repository".to_owned()),
        },
    };
    if !root().join(&target).exists() {
        return Some(format!("{} is not there", target.display()));
    }
    let anchor = anchor?;
    match all.get(&target.display().to_string()) {
        None => Some("only documents have headings".to_owned()),
        Some(anchors) if anchors.contains(anchor) => None,
        Some(_) => Some(format!("{} has no heading #{anchor}", target.display())),
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let texts: Vec<(String, String)> =
        documents().into_iter().map(|name| (name.clone(), read(&name))).collect();
    let all = texts.iter().map(|(name, text)| (name.clone(), anchors(text))).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, text) in &texts {
        for link in links(text) {
            count += 1;
            wrong.extend(broken(name, &link, &all).map(|why| format!("{name}: ({link}) {why}")));
        }
    }
    assert!(count > 20, "only {count} links were found: is this still how they look?");
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let text = "# A page\n\n[a](b.md#two-words) `[no](link.md)`\n\n## Two `words`!\n\n## Two words\n";
    assert_eq!(links(text), ["b.md#two-words"]);
    let expected = ["a-page", "two-words", "two-words-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
    let all = BTreeMap::from([("README.md".to_owned(), anchors(text))]);
    for link in ["README.md", "#a-page", "README.md#two-words-1", "docs", "https://example.org/x#y"] {
        assert_eq!(broken("README.md", link, &all), None, "{link}");
    }
    for link in ["REDME.md", "#b-page", "../x.md", "/docs", "Cargo.toml#x", "README.md#Two-words"] {
        assert!(broken("README.md", link, &all).is_some(), "{link}");
    }
    assert_eq!(broken("docs/errors/X.md", "../../README.md#a-page", &all), None);
}

#[test]
fn the_table_of_contents_names_every_document() {
    let name = "docs/README.md";
    let linked: BTreeSet<String> = links(&read(name)).into_iter().collect();
    for document in documents() {
        let Some(rest) = document.strip_prefix("docs/") else { continue };
        let wanted = if rest.starts_with("errors/") { "errors/" } else { rest };
        assert!(rest == "README.md" || linked.contains(wanted), "{name} does not link to {wanted}");
    }
}

#[test]
fn what_a_rate_takes_is_what_the_script_reckons() {
    let output = std::process::Command::new("python3").arg(root().join("scripts/sizing")).output();
    let output = output.expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (name, begin, end) =
        ("docs/running.md", "<!-- begin: scripts/sizing -->\n", "<!-- end: scripts/sizing -->");
    let page = read(name);
    let (before, rest) = page.split_once(begin).expect("the tables begin");
    let (_, after) = rest.split_once(end).expect("the tables end");
    check(name, &format!("{before}{begin}{}{end}{after}", String::from_utf8_lossy(&output.stdout)));
}

/// The code blocks of a document that have this word behind the fence.
fn blocks(text: &str, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for event in parser(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => is_inside = &*info == word,
            Event::Text(text) if is_inside => found.push(text.into_string()),
            Event::End(TagEnd::CodeBlock) => is_inside = false,
            _ => {}
        }
    }
    found
}

/// All of the product's sources in one text, without line breaks inside literals.
fn sources() -> String {
    let mut text = String::new();
    let rooms = ["gateway/src", "gateway/wire/src", "gateway/clients/src", "gateway/peers/src"];
    let folders = ["engine/src", "persistence/src"].into_iter().chain(rooms);
    let mut folders: Vec<_> = folders.map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => text.push_str(&fs::read_to_string(path).unwrap_or_default()),
            }
        }
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(place) = rest.find("\\\n") {
        joined.push_str(&rest[..place]);
        rest = rest[place + 2..].trim_start();
    }
    joined.push_str(rest);
    joined
}

#[test]
fn every_quoted_log_line_is_one_that_the_code_writes() {
    let sources = sources();
    let mut count = 0;
    for document in documents() {
        let text = read(&document);
        for line in blocks(&text, "log").iter().flat_map(|block| block.lines()) {
            count += 1;
            // `ERROR the message, with … where the code puts something in: and fields behind it`
            let (level, message) = line.split_once(' ').unwrap_or((line, ""));
            let words = ["ERROR", "WARN", "INFO", "farerush:"];
            assert!(words.contains(&level), "{document}: a quoted log line begins with its level: {line}");
            for part in message.split('…').map(str::trim).filter(|part| !part.is_empty()) {
                assert!(sources.contains(part), "{document}: nothing in the code writes {part:?}");
            }
        }
    }
    assert!(count > 5, "only {count} quoted log lines were found: is this still how they look?");
}

#[test]
fn every_figure_that_is_named_is_described() {
    let described = read("docs/metrics.md");
    for document in documents() {
        let text = read(&document);
        let is_of_name =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        for (place, _) in text.match_indices("farerush_") {
            let name: String = text[place..].chars().take_while(|letter| is_of_name(*letter)).collect();
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            assert!(
                base == "farerush_" || described.contains(&format!("`{base}")),
                "{document} names {name}, which docs/metrics.md does not describe"
            );
        }
    }
}
