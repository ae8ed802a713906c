//! What was said about settings, and where: the keys that there are, their sources, and why a value cannot be had.
//! Never decides what a value means: whoever needs it does.

mod keys;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

pub use keys::{KEYS, Key, TEST_VARIABLE_PREFIX, VARIABLE_PREFIX};
pub use sources::{Sources, Value, Values};

/// Why the settings cannot be used. Every one names the key and where it came from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody knows this key.
    #[error("unknown setting `{key}` ({origin}){hint}")]
    Unknown {
        /// The key as it was written.
        key: String,
        /// Where.
        origin: Origin,
        /// A guess at what was meant.
        hint: String,
    },
    /// The value is not one that the key can have.
    #[error("setting `{key}` ({origin}): {message}")]
    Bad {
        /// The key.
        key: String,
        /// Where its value came from.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
    /// A file of settings is somebody else's, or everybody's.
    #[error(
        "{what} in this directory is not believed: {why}. Start somewhere else, or give it to this user alone (chown, \
         chmod go-w)"
    )]
    NotOurs {
        /// Which file.
        what: String,
        /// Whose it is.
        why: String,
    },
    /// A source cannot be read.
    #[error("cannot read {what}")]
    Unreadable {
        /// Which source.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where a value came from, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A line of the `.env` file.
    DotEnv(String),
    /// `farerush.toml`.
    Toml(String),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "from the flag {name}"),
            Self::Variable(name) => write!(f, "from the environment variable {name}"),
            Self::DotEnv(name) => write!(f, "from {name} in .env"),
            Self::Toml(name) => write!(f, "from {name} in farerush.toml"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// A secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A path as it is written in a setting, where `<data_dir>/` may stand at its beginning.
pub fn expand(path: &str, data_dir: &Path) -> PathBuf {
    match path.strip_prefix("<data_dir>/") {
        Some(rest) => data_dir.join(rest),
        None => PathBuf::from(path),
    }
}

/// A whole number within bounds; the error says which they are.
pub fn whole(text: &str, min: u32, max: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}
