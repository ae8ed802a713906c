//! The command line: which command, and which flags, one a setting.
//! Never says what a setting means, and starts nothing.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgMatches};

use crate::config::KEYS;

/// What the program is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve,
    /// Bring the store's tables up to date.
    Migrate,
    /// Compare journal and store and check every invariant.
    Verify,
    /// Print the OpenAPI document.
    OpenApi,
}

/// A parsed command line: the command, and the flags by the name of their key.
pub type Parsed = (Command, Vec<(&'static str, String)>);

/// Parses the command line; on `--help`, `--version` or a mistake, clap's answer.
pub fn parse<I, T>(arguments: I) -> Result<Parsed, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = grammar().try_get_matches_from(arguments)?;
    let (command, inner) = match matches.subcommand() {
        Some(("migrate", inner)) => (Command::Migrate, inner),
        Some(("verify", inner)) => (Command::Verify, inner),
        Some(("openapi", inner)) => (Command::OpenApi, inner),
        Some(("load", _)) => {
            let message =
                "load is a client and takes no settings: write it first, as in `farerush load --help`";
            return Err(grammar().error(clap::error::ErrorKind::ArgumentConflict, message));
        }
        Some((_, inner)) => (Command::Serve, inner),
        None => (Command::Serve, &matches),
    };
    Ok((command, flags(inner)))
}

/// What `farerush load` is called with, itself first; `None` if something else is asked for.
pub fn load_arguments<T: AsRef<std::ffi::OsStr>>(mut arguments: impl Iterator<Item = T>) -> Option<Vec<T>> {
    arguments.next()?;
    let first = arguments.next().filter(|first| first.as_ref() == "load")?;
    Some(std::iter::once(first).chain(arguments).collect())
}

fn flags(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    KEYS.iter().filter_map(|key| Some((key.name, matches.get_one::<String>(key.name)?.clone()))).collect()
}

fn grammar() -> clap::Command {
    let settings = KEYS.iter().map(|key| {
        Arg::new(key.name)
            .long(key.flag())
            .value_name("VALUE")
            .value_parser(NonEmptyStringValueParser::new())
            .global(true)
            .help(format!("{} [default: {}] [env: {}]", key.doc, key.default, key.variable()))
    });
    clap::Command::new("farerush")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Sells a limited number of cheap flight seats to a crowd that wants them all in the same second")
        .after_help(
            "Without a command it serves. A setting comes from its flag, else its environment variable, else .env, \
             else farerush.toml, else its default.",
        )
        .args(settings)
        .subcommand(clap::Command::new("serve").about("Run the server"))
        .subcommand(clap::Command::new("migrate").about("Bring the store's tables up to date and say what was done"))
        .subcommand(clap::Command::new("verify").about(
            "Rebuild every flight from journal and store, compare, check every invariant; exits 1 on any difference",
        ))
        // Only listed here: it has a command line of its own.
        .subcommand(
            clap::Command::new("load").about("Put load on a server and check its answers; see `farerush load --help`"),
        )
        .subcommand(clap::Command::new("openapi").about("Print the OpenAPI document, as GET /openapi.json answers it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        parse(line.split(' ')).unwrap()
    }

    #[test]
    fn without_a_command_it_serves() {
        assert_eq!(parsed("farerush"), (Command::Serve, vec![]));
        assert_eq!(parsed("farerush serve").0, Command::Serve);
        assert_eq!(parsed("farerush verify").0, Command::Verify);
    }

    #[test]
    fn a_flag_may_stand_on_either_side_of_the_command() {
        for line in ["farerush --data-dir x migrate", "farerush migrate --data-dir=x"] {
            assert_eq!(parsed(line), (Command::Migrate, vec![("data_dir", "x".to_owned())]), "{line}");
        }
    }

    #[test]
    fn an_unknown_flag_is_named() {
        let error = parse(["farerush", "--data-dri", "x"]).unwrap_err().to_string();
        assert!(error.contains("--data-dri") && error.contains("--data-dir"), "{error}");
    }

    #[test]
    fn load_has_a_command_line_of_its_own() {
        let load = |line: &str| load_arguments(line.split(' ').map(str::to_owned));
        assert_eq!(load("farerush load --rate 5").unwrap(), ["load", "--rate", "5"]);
        assert_eq!(load("farerush"), None);
        assert_eq!(load("farerush serve load"), None);
        let error = parse(["farerush", "--data-dir", "x", "load"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("write it first"), "{error}");
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }
}
