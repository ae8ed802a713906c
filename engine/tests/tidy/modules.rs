//! The modules of a crate as its files say them: which are declared, and which import which.
//! Never compiles anything: paths that begin with `crate`, `super` or `self` are followed, and re-exports to where they lead.

use std::collections::{BTreeMap, BTreeSet};

use super::{root, sources};

/// A module's path within its crate, as files have it: `flight/waitlist/line`; the crate itself is empty.
pub(crate) type Path = Vec<String>;

/// What a `use` brings in, or a path in the code names.
struct Import {
    path: Path,
    /// Under which name; a path in the code has none.
    name: Option<String>,
}

/// A file of a crate.
struct Module {
    file: String,
    imports: Vec<Import>,
    /// Modules that it declares.
    declares: Vec<String>,
}

/// A crate's files.
pub(crate) struct Crate {
    modules: BTreeMap<Path, Module>,
}

impl Crate {
    /// The crate whose sources are in this folder, such as `engine/src`.
    pub(crate) fn read(folder: &str) -> Self {
        let inside = format!("{folder}/");
        let module = |(file, text): (String, String)| {
            let stem = file.trim_start_matches(&inside).trim_end_matches(".rs");
            let mut path: Path = stem.split('/').map(str::to_owned).collect();
            // A program stands beside its library, under its own name.
            if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
                path.pop();
            }
            let code = code_of(&text);
            let module = Module { imports: imports_of(&code), declares: declared_in(&code, &text), file };
            (path, module)
        };
        assert!(root().join(folder).is_dir(), "there is no {folder}");
        Self { modules: sources(folder).into_iter().map(module).collect() }
    }

    /// Files that no `mod` leads to.
    pub(crate) fn dead_files(&self) -> Vec<&str> {
        let mut reached = BTreeSet::from([Path::new(), vec!["main".to_owned()]]);
        let mut waiting = vec![Path::new()];
        while let Some(path) = waiting.pop() {
            let declared = self.modules.get(&path).map_or(&[][..], |module| &module.declares);
            for name in declared {
                let child: Path = path.iter().chain([name]).cloned().collect();
                if self.modules.contains_key(&child) && reached.insert(child.clone()) {
                    waiting.push(child);
                }
            }
        }
        let dead = self.modules.iter().filter(|(path, _)| !reached.contains(*path));
        dead.map(|(_, module)| module.file.as_str()).collect()
    }

    /// Each file's path and name, and the modules it imports from. Tests may import what they like.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (&Path, &str, BTreeSet<Path>)> {
        let of_a_test = |path: &Path| path.last().is_some_and(|last| last == "tests");
        self.modules.iter().filter(move |(path, _)| !of_a_test(path)).map(|(path, module)| {
            let found = module.imports.iter().filter_map(|import| self.resolve(path, &import.path, 0));
            // What a module declares and passes on stands below it.
            let others = found.filter(|target| target != path && !target.starts_with(path));
            (path, module.file.as_str(), others.collect())
        })
    }

    /// The module in which what is imported stands; `None` for other crates.
    fn resolve(&self, from: &Path, path: &[String], depth: usize) -> Option<Path> {
        let mut base = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Path::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child: Path = from.iter().cloned().chain([first.to_owned()]).collect();
                self.modules.get(&child)?;
            }
        }
        let full: Path = base.into_iter().chain(rest.iter().cloned()).collect();
        let length = (0..=full.len()).rev().find(|length| self.modules.contains_key(&full[..*length]))?;
        let (module, rest) = (full[..length].to_vec(), &full[length..]);
        let passed_on = rest.first().filter(|_| depth < 8).and_then(|item| {
            let imports = &self.modules[&module].imports;
            let import = imports.iter().find(|import| import.name.as_ref() == Some(item))?;
            self.resolve(&module, &import.path, depth + 1)
        });
        Some(passed_on.unwrap_or(module))
    }
}

/// The code without comments and without the module of its tests.
fn code_of(text: &str) -> String {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

/// Names of modules in files of their own, also of those that are there for tests only.
fn declared_in(code: &str, text: &str) -> Vec<String> {
    let of = |code: &str| -> Vec<String> {
        let declared = code.lines().filter_map(|line| {
            let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
            (before.is_empty() || before.starts_with("pub")).then(|| name.to_owned())
        });
        declared.collect()
    };
    let mut all = of(code);
    all.extend(of(text));
    all
}

fn imports_of(code: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let is_use = start.starts_with("use ") || start.starts_with("pub") && start.contains(" use ");
        if !is_use {
            rest.push_str(line);
            rest.push('\n');
            continue;
        }
        let mut statement = start.split_once("use ").map_or("", |(_, tree)| tree).to_owned();
        while !statement.contains(';') {
            statement.push_str(lines.next().expect("a use ends with a semicolon"));
        }
        expand(&[], statement.trim_end().trim_end_matches(';'), &mut imports);
    }
    for (at, start) in rest.match_indices("crate::").chain(rest.match_indices("super::")) {
        let is_start = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            && !rest[..at].ends_with("(in "); // who may see something is no import
        let path: String = rest[at + start.len()..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
            .collect();
        if is_start {
            let path = [start.trim_end_matches(':')].into_iter().chain(path.split("::"));
            imports.push(Import {
                path: path.filter(|part| !part.is_empty()).map(str::to_owned).collect(),
                name: None,
            });
        }
    }
    imports
}

/// One import for each leaf of a tree such as `a::{b, c::{d, e as f}}`.
fn expand(before: &[String], tree: &str, into: &mut Vec<Import>) {
    let (head, inside) = match tree.split_once('{') {
        Some((head, inside)) => (head, Some(inside.trim_end().trim_end_matches('}').trim_end())),
        None => (tree, None),
    };
    let (head, alias) =
        head.split_once(" as ").map_or((head, None), |(head, alias)| (head, Some(alias.trim())));
    let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let path: Path = before.iter().cloned().chain(parts).collect();
    let Some(inside) = inside else {
        let name = alias.map(str::to_owned).or_else(|| path.last().cloned());
        into.push(Import { path, name });
        return;
    };
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in inside.char_indices().chain([(inside.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let one = inside[start..at].trim();
                if !one.is_empty() {
                    expand(&path, one, into);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}
