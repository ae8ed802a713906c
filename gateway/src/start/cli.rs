//! The command line: which command, and which flags, one a setting.
//! Never says what a setting means, and starts nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgMatches};
use farerush_engine::flight::{AdminName, Timestamp};

use crate::base::time;
use crate::parts::auth::{self, Role, TokenCommand};
use crate::start::config::KEYS;

/// What the program is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve,
    /// Bring the store's tables up to date.
    Migrate,
    /// Compare journal and store and check every invariant.
    Verify {
        /// A file with answers that named orders, which must still be in their flights' histories.
        receipts: Option<PathBuf>,
    },
    /// Copy the embedded journal and store while they are in use.
    Backup {
        /// The folder of the copy, which must not be there or be empty.
        target: PathBuf,
    },
    /// Make journal and store of such a copy.
    Restore {
        /// The folder of the copy.
        from: PathBuf,
        /// The moment to go back to; all that the copy has, if none is given.
        until: Option<Timestamp>,
    },
    /// Print the OpenAPI document.
    OpenApi,
    /// Make, list or revoke admins' tokens.
    Token(TokenCommand),
}

/// A parsed command line: the command, and the flags by the name of their key.
pub type Parsed = (Command, Vec<(&'static str, String)>);

/// Parses the command line; on `--help`, `--version` or a mistake, clap's answer.
pub fn parse<I, T>(arguments: I) -> Result<Parsed, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = grammar().try_get_matches_from(with_values(arguments))?;
    let (command, inner) = match matches.subcommand() {
        Some(("migrate", inner)) => (Command::Migrate, inner),
        Some(("verify", inner)) => {
            (Command::Verify { receipts: inner.get_one::<PathBuf>("receipts").cloned() }, inner)
        }
        Some(("backup", inner)) => (Command::Backup { target: folder(inner)? }, inner),
        Some(("restore", inner)) => {
            let until = inner.get_one::<Timestamp>("until").copied();
            (Command::Restore { from: folder(inner)?, until }, inner)
        }
        Some(("openapi", inner)) => (Command::OpenApi, inner),
        Some(("token", inner)) => match inner.subcommand() {
            Some((what, inner)) => (Command::Token(token_command(what, inner)?), inner),
            None => {
                return Err(grammar().error(clap::error::ErrorKind::MissingSubcommand, "what about tokens?"));
            }
        },
        Some(("load", _)) => {
            let message =
                "load is a client and takes no settings: write it first, as in `farerush load --help`";
            return Err(grammar().error(clap::error::ErrorKind::ArgumentConflict, message));
        }
        Some(("import", _)) => {
            let message =
                "import is a client and takes no settings: write it first, as in `farerush import --help`";
            return Err(grammar().error(clap::error::ErrorKind::ArgumentConflict, message));
        }
        Some((_, inner)) => (Command::Serve, inner),
        None => (Command::Serve, &matches),
    };
    Ok((command, flags(inner)))
}

/// `--allow-open` may stand alone: it says all by its name.
fn with_values<I, T>(arguments: I) -> Vec<OsString>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString>,
{
    let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    for place in 0..arguments.len() {
        let has_value = arguments.get(place + 1).is_some_and(|next| next == "true" || next == "false");
        if arguments[place] == "--allow-open" && !has_value {
            arguments[place] = "--allow-open=true".into();
        }
    }
    arguments
}

fn folder(matches: &ArgMatches) -> Result<PathBuf, clap::Error> {
    let missing =
        || grammar().error(clap::error::ErrorKind::MissingRequiredArgument, "a folder must be given");
    matches.get_one::<PathBuf>("folder").cloned().ok_or_else(missing)
}

fn backup_grammar() -> [clap::Command; 2] {
    let folder = |help: &'static str| {
        let parser = clap::value_parser!(PathBuf);
        Arg::new("folder").value_name("FOLDER").required(true).help(help).value_parser(parser)
    };
    let until = Arg::new("until")
        .long("until")
        .value_name("TIME")
        .help("Leave out what came after this moment, such as 2026-12-24T08:30:00Z [default: nothing is left out]")
        .value_parser(time::parse);
    [
        clap::Command::new("backup")
            .about("Copy the embedded journal and store to a folder, while a server sells or not, and verify the copy")
            .arg(folder("Where the copy goes: a folder that is not there yet, or empty")),
        clap::Command::new("restore")
            .about("Make journal and store of a backup, where there are none, and verify them")
            .arg(folder("The folder that `farerush backup` has made"))
            .arg(until),
    ]
}

fn token_command(what: &str, matches: &ArgMatches) -> Result<TokenCommand, clap::Error> {
    let missing = || grammar().error(clap::error::ErrorKind::MissingRequiredArgument, "--name must be given");
    let name = || matches.get_one::<AdminName>("name").cloned().ok_or_else(missing);
    match what {
        "create" => Ok(TokenCommand::Create {
            name: name()?,
            role: matches.get_one::<Role>("role").copied().ok_or_else(missing)?,
            expires: matches.get_one::<Duration>("expires").copied(),
        }),
        "revoke" => Ok(TokenCommand::Revoke { name: name()? }),
        _ => Ok(TokenCommand::List),
    }
}

fn token_grammar() -> clap::Command {
    let name = || {
        Arg::new("name")
            .long("name")
            .value_name("NAME")
            .required(true)
            .help("Who it is for, as the audit shows it: 1 to 64 letters, digits, '-', '_', '.' and '@'")
            .value_parser(|text: &str| AdminName::new(text).map_err(|error| error.to_string()))
    };
    let role = Arg::new("role")
        .long("role")
        .value_name("ROLE")
        .required(true)
        .help("viewer (reads), operator (runs the sale) or admin (everything)")
        .value_parser(|text: &str| Role::from_name(text).ok_or("must be viewer, operator or admin"));
    let expires = Arg::new("expires")
        .long("expires")
        .value_name("TIME")
        .help("After which time it holds no longer, such as 30d, 12h or 90m [default: never]")
        .value_parser(auth::lifetime);
    clap::Command::new("token")
        .about(
            "Make, list and revoke admins' tokens; running servers on the same data_dir know within a second",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            clap::Command::new("create")
                .about("Make a token and print it, once: only its hash is kept")
                .args([name(), role, expires]),
        )
        .subcommand(clap::Command::new("list").about("List all tokens: name, role, and whether they hold"))
        .subcommand(clap::Command::new("revoke").about("Revoke a token").arg(name()))
}

/// What `farerush load` is called with, itself first; `None` if something else is asked for.
pub fn load_arguments<T: AsRef<std::ffi::OsStr>>(mut arguments: impl Iterator<Item = T>) -> Option<Vec<T>> {
    arguments.next()?;
    let first = arguments.next().filter(|first| first.as_ref() == "load")?;
    Some(std::iter::once(first).chain(arguments).collect())
}

/// What `farerush import` is called with, itself first; `None` if something else is asked for.
pub fn import_arguments<T: AsRef<std::ffi::OsStr>>(mut arguments: impl Iterator<Item = T>) -> Option<Vec<T>> {
    arguments.next()?;
    let first = arguments.next().filter(|first| first.as_ref() == "import")?;
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
        .subcommand(
            clap::Command::new("verify")
                .about(
                    "Rebuild every flight from journal and store, compare, check every invariant; exits 1 on any difference",
                )
                .arg(
                    Arg::new("receipts")
                        .long("receipts")
                        .value_name("FILE")
                        .help("Also check that these orders, kept as the API answered them, are still in the history")
                        .value_parser(clap::value_parser!(PathBuf)),
                ),
        )
        .subcommands(backup_grammar())
        // Only listed here: it has a command line of its own.
        .subcommand(
            clap::Command::new("load").about("Put load on a server and check its answers; see `farerush load --help`"),
        )
        .subcommand(token_grammar())
        .subcommand(
            clap::Command::new("import").about("Create flights from files; see `farerush import --help`"),
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
        assert_eq!(parsed("farerush verify").0, Command::Verify { receipts: None });
        let target = "to/here".into();
        assert_eq!(parsed("farerush backup to/here --data-dir d").0, Command::Backup { target });
        let (from, until) = ("to/here".into(), Some(Timestamp::from_millis(1_000)));
        let restored = parsed("farerush restore to/here --until 1970-01-01T00:00:01Z").0;
        assert_eq!(restored, Command::Restore { from, until });
        let receipts = Some(PathBuf::from("orders.json"));
        assert_eq!(parsed("farerush verify --receipts orders.json").0, Command::Verify { receipts });
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
    fn a_token_needs_a_name_and_a_role() {
        let name = AdminName::new("ci").unwrap();
        let (command, flags) =
            parsed("farerush token create --name ci --role operator --expires 2h --data-dir x");
        let expires = Some(Duration::from_secs(7200));
        let create = TokenCommand::Create { name: name.clone(), role: Role::Operator, expires };
        assert_eq!((command, flags), (Command::Token(create), vec![("data_dir", "x".to_owned())]));
        assert_eq!(parsed("farerush token list").0, Command::Token(TokenCommand::List));
        let revoke = TokenCommand::Revoke { name };
        assert_eq!(parsed("farerush token revoke --name ci").0, Command::Token(revoke));
        for (line, named) in [
            ("farerush token create --name ci", "--role"),
            ("farerush token create --role admin", "--name"),
            ("farerush token create --name ci --role root", "viewer, operator or admin"),
            ("farerush token create --name c/i --role viewer", "letters"),
            ("farerush token create --name ci --role viewer --expires soon", "30d"),
            ("farerush token revoke", "--name"),
            ("farerush token burn", "burn"),
            ("farerush backup", "FOLDER"),
            ("farerush restore here --until soon", "--until"),
        ] {
            let error = parse(line.split(' ')).unwrap_err();
            assert!(error.to_string().contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn allow_open_may_stand_alone() {
        let yes = vec![("allow_open", "true".to_owned())];
        for line in
            ["farerush --allow-open", "farerush --allow-open serve", "farerush serve --allow-open true"]
        {
            assert_eq!(parsed(line), (Command::Serve, yes.clone()), "{line}");
        }
        assert_eq!(parsed("farerush --allow-open false").1, [("allow_open", "false".to_owned())]);
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }
}
