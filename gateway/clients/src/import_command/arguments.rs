//! The command line of `farerush import`.
//! Never connects to anything, and never shows a token.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, value_parser};

use crate::load::address::Address;

/// Where a server that runs here leaves its token.
const TOKEN_FILE: &str = "data/admin.token";
/// The variable that holds a token.
const TOKEN_VARIABLE: &str = "FARERUSH_ADMIN_TOKEN";

/// What was asked for.
#[derive(Debug)]
pub(super) struct ImportPlan {
    pub(super) files: Vec<PathBuf>,
    pub(super) address: Address,
    pub(super) dry_run: bool,
    skip_existing: bool,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

/// A file, and how it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Input {
    /// As it was named.
    pub(super) name: String,
    pub(super) media_type: &'static str,
}

impl Input {
    /// By the file's extension.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
        let media_type = match extension.as_str() {
            "csv" => "text/csv",
            "jsonl" | "ndjson" => "application/x-ndjson",
            _ => {
                return Err(format!(
                    "{}: its name must end in .csv, .jsonl or .ndjson, which says how it is written",
                    path.display()
                ));
            }
        };
        Ok(Self { name: path.display().to_string(), media_type })
    }
}

impl ImportPlan {
    /// Understands the command line; on `--help` or a mistake, clap's answer.
    pub(super) fn parse(
        arguments: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, clap::Error> {
        let mut matches = grammar().try_get_matches_from(arguments)?;
        let url: String = matches.remove_one("url").unwrap_or_default();
        let address = Address::parse(&url)
            .map_err(|error| grammar().error(clap::error::ErrorKind::ValueValidation, error))?;
        Ok(Self {
            files: matches.remove_many("file").into_iter().flatten().collect(),
            address,
            dry_run: matches.get_flag("dry-run"),
            skip_existing: matches.get_flag("skip-existing"),
            token: matches.remove_one("token"),
            token_file: matches.remove_one("token-file"),
        })
    }

    /// The query of the request.
    pub(super) fn query(&self, dry_run: bool) -> String {
        let existing = if self.skip_existing { "skip" } else { "refuse" };
        format!("?dry_run={dry_run}&existing={existing}")
    }

    /// The token: from its flag, the file that a flag names, the environment, or the file of a server that was
    /// started in this folder.
    pub(super) fn token(&self) -> Result<String, String> {
        let from = |path: &Path| -> Result<String, String> {
            let read = std::fs::read_to_string(path);
            let text =
                read.map_err(|error| format!("cannot read the admin token in {}: {error}", path.display()))?;
            Ok(text.trim().to_owned())
        };
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => from(path)?,
            (None, None) => match std::env::var(TOKEN_VARIABLE) {
                Ok(token) if !token.is_empty() => token,
                _ => from(Path::new(TOKEN_FILE)).map_err(|error| {
                    format!("{error}; give it with --token, --token-file or {TOKEN_VARIABLE}")
                })?,
            },
        };
        let is_visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_visible {
            Ok(token)
        } else {
            Err("the admin token may only have visible characters".to_owned())
        }
    }
}

fn grammar() -> clap::Command {
    clap::Command::new("import")
        .bin_name("farerush import")
        .about("Creates flights from files of JSON lines (.jsonl, .ndjson) or CSV (.csv): of a file, all or none")
        .after_help(
            "Every bad line is named with its file and line; then nothing is created, and it ends with 1. Of several \
             files, all are checked before the first is imported.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("A file of flights"),
        )
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .default_value("http://127.0.0.1:8080")
                .value_parser(NonEmptyStringValueParser::new())
                .help("Where the server is"),
        )
        .arg(
            Arg::new("token")
                .long("token")
                .value_name("TOKEN")
                .value_parser(NonEmptyStringValueParser::new())
                .help(format!("The admin token; others can see it in the list of processes [env: {TOKEN_VARIABLE}]")),
        )
        .arg(
            Arg::new("token-file")
                .long("token-file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(format!("The file that holds it [default: {TOKEN_FILE}]")),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Only check the files, create nothing"),
        )
        .arg(
            Arg::new("skip-existing")
                .long("skip-existing")
                .action(ArgAction::SetTrue)
                .help("Leave flights as they are that exist and are the same, instead of refusing the file"),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<ImportPlan, clap::Error> {
        ImportPlan::parse(line.split(' ').map(Into::into))
    }

    #[test]
    fn files_are_told_apart_by_their_extension() {
        assert_eq!(Input::of(Path::new("a/b.CSV")).unwrap().media_type, "text/csv");
        assert_eq!(Input::of(Path::new("b.jsonl")).unwrap().media_type, "application/x-ndjson");
        for odd in ["b", "b.json", "b.xlsx", ".csv"] {
            assert!(Input::of(Path::new(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_line_says_what_to_do() {
        let found = plan("import a.csv b.csv --dry-run --skip-existing --token t").unwrap();
        assert_eq!((found.files.len(), found.dry_run), (2, true));
        assert_eq!(found.query(false), "?dry_run=false&existing=skip");
        assert_eq!(found.token().unwrap(), "t");
        assert!(plan("import").is_err());
        assert!(plan("import a.csv --url https://x").is_err());
        assert!(
            plan("import a.csv --token-file /nowhere").unwrap().token().unwrap_err().contains("/nowhere")
        );
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }
}
