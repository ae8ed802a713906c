//! Where settings come from, and which source outweighs which: flag, environment, `.env`, `farerush.toml`, default.
//! Never decides what a value means.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farerush_persistence::files;

use super::keys::{KEYS, Key, TEST_VARIABLE_PREFIX, VARIABLE_PREFIX, key_named};
use super::{ConfigError, Origin};

/// The bit of a mode that lets everybody write.
const WRITABLE_BY_ALL: u32 = 0o002;
/// What a setting's environment variable ends with when it names a file with the value.
const FILE_SUFFIX: &str = "_FILE";
/// Largest such file, in bytes.
const VALUE_FILE_BYTES_MAX: u64 = 64 << 10;

/// The sources, as plain data: `main` fills it from the process, tests as they like.
#[derive(Debug, Default)]
pub struct Sources {
    /// Flags, by the name of their key.
    pub flags: Vec<(&'static str, String)>,
    /// Environment variables; those without the prefix are ignored.
    pub variables: Vec<(String, String)>,
    /// Where `.env` and `farerush.toml` are looked for.
    pub directory: PathBuf,
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub struct Value {
    /// As it was written.
    pub text: String,
    /// By whom.
    pub origin: Origin,
}

/// What was said about each key; a key nobody spoke about is not there.
#[derive(Debug, Default)]
pub struct Values(HashMap<&'static str, Value>);

impl Values {
    /// What was said about a key.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.text.as_str())
    }

    /// Whether nobody spoke about the key.
    pub fn is_default(&self, name: &str) -> bool {
        !self.0.contains_key(name)
    }

    /// The key's value (or its default), as `parse` understands it.
    pub fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let default = key_named(name).map_or("", |key| key.default);
        let (text, origin) = match self.0.get(name) {
            Some(value) => (value.text.as_str(), value.origin.clone()),
            None => (default, Origin::Default),
        };
        parse(text).map_err(|message| ConfigError::Bad { key: name.to_owned(), origin, message })
    }

    /// Says something about a key, for tests.
    pub fn set(&mut self, name: &'static str, text: impl Into<String>) {
        self.0.insert(name, Value { text: text.into(), origin: Origin::Flag(format!("--{name}")) });
    }
}

impl Sources {
    /// What the process was started with, with flags that were parsed already.
    pub fn of_process(flags: Vec<(&'static str, String)>) -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        Self { flags, variables: variables.collect(), directory: PathBuf::from(".") }
    }

    /// Reads `.env` and `farerush.toml` and merges all sources. An unknown key anywhere is an error.
    pub fn resolve(&self) -> Result<Values, ConfigError> {
        let mut values = Values::default();
        // From weak to strong: a later one replaces an earlier one.
        self.read_toml(&mut values)?;
        self.read_dot_env(&mut values)?;
        for (name, text) in &self.variables {
            match key_of_file_variable(name) {
                Some(key) => self.read_value_file(&mut values, key, name, text)?,
                None => read_variable(&mut values, name, text, Origin::Variable)?,
            }
        }
        for (name, text) in &self.flags {
            let Some(key) = key_named(name) else { continue };
            let origin = Origin::Flag(format!("--{}", key.flag()));
            values.0.insert(key.name, Value { text: text.clone(), origin });
        }
        Ok(values)
    }

    /// A value from a file, as engines of containers hand secrets over. Both at once is an error, for whoever changes one of
    /// them would believe that it counts.
    fn read_value_file(
        &self,
        values: &mut Values,
        key: &'static Key,
        name: &str,
        path: &str,
    ) -> Result<(), ConfigError> {
        let (plain, origin) = (key.variable(), Origin::Variable(name.to_owned()));
        if self.variables.iter().any(|(other, _)| *other == plain) {
            let message =
                format!("must not be given together with {plain}: one of them alone says what holds");
            return Err(ConfigError::Bad { key: key.name.to_owned(), origin, message });
        }
        let text = value_in_file(Path::new(path)).map_err(|error| ConfigError::Unreadable {
            what: format!("{path}, which the environment variable {name} names"),
            source: Box::new(error),
        })?;
        values.0.insert(key.name, Value { text, origin });
        Ok(())
    }

    fn read_dot_env(&self, values: &mut Values) -> Result<(), ConfigError> {
        let path = self.directory.join(".env");
        if !path.exists() {
            return Ok(());
        }
        check_owner(&path, ".env")?;
        let unreadable = |source: dotenvy::Error| ConfigError::Unreadable {
            what: ".env".to_owned(),
            source: Box::new(source),
        };
        for line in dotenvy::from_path_iter(&path).map_err(unreadable)? {
            let (name, text) = line.map_err(unreadable)?;
            read_variable(values, &name, &text, Origin::DotEnv)?;
        }
        Ok(())
    }

    fn read_toml(&self, values: &mut Values) -> Result<(), ConfigError> {
        let path = self.directory.join("farerush.toml");
        check_owner(&path, "farerush.toml")?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(ConfigError::Unreadable {
                    what: "farerush.toml".to_owned(),
                    source: Box::new(error),
                });
            }
        };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Unreadable {
            what: "farerush.toml".to_owned(),
            source: Box::new(error),
        })?;
        read_table(values, "", &table)
    }
}

/// Whoever can write a file of settings says where orders and secrets go: it must be this user's or root's, and nobody
/// else's to change. (A group's may be, as many systems give each user a group of his own.)
fn check_owner(path: &Path, name: &str) -> Result<(), ConfigError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let owner = metadata.uid();
    let why = if owner != 0 && owner != files::own_user() {
        format!("it belongs to user {owner}, and this program runs as user {}", files::own_user())
    } else if metadata.permissions().mode() & WRITABLE_BY_ALL != 0 {
        "everybody on this machine can change it".to_owned()
    } else {
        return Ok(());
    };
    Err(ConfigError::NotOurs { what: name.to_owned(), why })
}

fn read_table(values: &mut Values, prefix: &str, table: &toml::Table) -> Result<(), ConfigError> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        let text = match value {
            toml::Value::Table(inner) => {
                read_table(values, &format!("{name}."), inner)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            _ => {
                return Err(ConfigError::Bad {
                    origin: Origin::Toml(name.clone()),
                    key: name,
                    message: "must be a text, a number or true or false".to_owned(),
                });
            }
        };
        let origin = Origin::Toml(name.clone());
        let Some(key) = key_named(&name) else { return Err(unknown(&name, origin)) };
        values.0.insert(key.name, Value { text, origin });
    }
    Ok(())
}

fn read_variable(
    values: &mut Values,
    name: &str,
    text: &str,
    origin: impl FnOnce(String) -> Origin,
) -> Result<(), ConfigError> {
    let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
        if !name.starts_with(VARIABLE_PREFIX) || name.starts_with(TEST_VARIABLE_PREFIX) {
            return Ok(());
        }
        return Err(unknown(name, origin(name.to_owned())));
    };
    values.0.insert(key.name, Value { text: text.to_owned(), origin: origin(name.to_owned()) });
    Ok(())
}

/// The setting whose value is in the file that this variable names: `FARERUSH_STORE_FILE`. What is a setting's own variable
/// (`FARERUSH_ID_SECRET_FILE`) stays that.
fn key_of_file_variable(name: &str) -> Option<&'static Key> {
    let plain = name.strip_suffix(FILE_SUFFIX)?;
    let named = |variable: &str| KEYS.iter().find(|key| key.variable() == variable);
    if named(name).is_some() { None } else { named(plain) }
}

/// What a file holds, without the end of its last line, which editors and `echo` put there.
fn value_in_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(VALUE_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > VALUE_FILE_BYTES_MAX {
        let message = format!("it has more than {VALUE_FILE_BYTES_MAX} bytes, which no setting has");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn unknown(name: &str, origin: Origin) -> ConfigError {
    let bare = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_lowercase();
    let hint = closest(&bare).map_or_else(String::new, |key| format!("; did you mean `{}`?", key.name));
    ConfigError::Unknown { key: name.to_owned(), origin, hint }
}

/// The key that shares the longest beginning with `name`, if that is long enough to be a likely slip; of several, the one that
/// is about as long.
fn closest(name: &str) -> Option<&'static Key> {
    let shared = |key: &Key| key.name.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let likeness = |key: &&Key| (shared(key), std::cmp::Reverse(key.name.len().abs_diff(name.len())));
    KEYS.iter().max_by_key(likeness).filter(|key| shared(key) >= 4)
}
