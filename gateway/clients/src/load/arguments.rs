//! The command line of `farerush load`: what was asked for, checked, with the defaults of each scenario.
//! Never connects to anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::address::Address;

/// Most flights of one run.
pub const FLIGHTS_MAX: u32 = 200_000;
/// Most connections of one run.
pub const CONNECTIONS_MAX: u32 = 60_000;
/// How long a rush until sold out may take, if nobody says.
const SOLD_OUT_PATIENCE: Duration = Duration::from_secs(600);

/// What kind of load it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Many customers, few seats: ends in refusals.
    Rush,
    /// Grabs that nearly all win, with some order reads and cancels.
    Steady,
    /// Lists, flights, seat maps and live readers, with few grabs.
    Browse,
    /// Holds, confirms, cancels and reads of all kinds.
    Mixed,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rush, Self::Steady, Self::Browse, Self::Mixed];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rush => "rush",
            Self::Steady => "steady",
            Self::Browse => "browse",
            Self::Mixed => "mixed",
        }
    }

    /// How long a grab of a flight made for it is held, in seconds; 0 confirms it at once.
    pub const fn hold_seconds(self) -> u32 {
        match self {
            // Longer than any run should be, so that nothing expires while it is looked at.
            Self::Mixed => 86_400,
            _ => 0,
        }
    }
}

/// Which flights take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flights {
    /// So many new ones, of so many seats each.
    Made {
        /// How many.
        count: u32,
        /// Seats of each.
        seats: u16,
    },
    /// These, which are there.
    Named(Vec<String>),
}

/// Longest prefix of new flights' ids.
const PREFIX_CHARS_MAX: usize = 16;

/// What was asked for.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where the server is.
    pub address: Address,
    /// What kind of load.
    pub scenario: Scenario,
    /// Arrivals a second; `None` is the closed loop.
    pub rate: Option<f64>,
    /// Connections: so many in the closed loop, at most so many in the open one.
    pub connections: u32,
    /// How long it is counted.
    pub duration: Duration,
    /// How long before that it is not.
    pub warmup: Duration,
    /// Which flights.
    pub flights: Flights,
    /// Exponent of the Zipf distribution over the flights.
    pub skew: f64,
    /// Seats a grab asks for.
    pub party: u16,
    /// Customers there are.
    pub customers: u32,
    /// Share of grabs that are sent again under their key.
    pub replays: f64,
    /// Whether grabs carry an idempotency key.
    pub keys: bool,
    /// Live readers.
    pub live: u32,
    /// What the ids of new flights begin with.
    pub prefix: String,
    /// The admin's token as given on the command line, or the file that has it.
    pub admin_token: Option<String>,
    /// File with the admin's token.
    pub admin_token_file: Option<PathBuf>,
    /// What the choices follow from.
    pub seed: u64,
    /// Where the JSON report goes.
    pub json: Option<PathBuf>,
    /// Where the HTML report goes.
    pub html: Option<PathBuf>,
    /// Whether it ends as soon as all flights are sold out.
    pub until_sold_out: bool,
    /// Whether it checks what it saw.
    pub checks: bool,
    /// Whether it says nothing before the end.
    pub quiet: bool,
}

impl LoadPlan {
    /// Understands a command line that begins with the program's name, or gives clap's answer.
    pub fn parse<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let matches = grammar().try_get_matches_from(arguments)?;
        from_matches(&matches).map_err(|message| grammar().error(ErrorKind::ValueValidation, message))
    }
}

fn from_matches(matches: &ArgMatches) -> Result<LoadPlan, String> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let scenario = scenario(&text("scenario").unwrap_or_default())?;
    let rate = matches.get_one::<f64>("rate").copied();
    let until_sold_out = matches.get_flag("until-sold-out");
    if until_sold_out && (scenario != Scenario::Rush || rate.is_some()) {
        return Err("--until-sold-out goes with --scenario rush in the closed loop, so without --rate".into());
    }
    let party = matches.get_one::<u16>("party").copied().unwrap_or(1);
    let flights = flights(matches, scenario)?;
    if let Flights::Made { seats, .. } = flights
        && seats < party
    {
        return Err(format!("--party {party} does not fit into a flight of {seats} seats (--seats)"));
    }
    let duration_default = if until_sold_out { SOLD_OUT_PATIENCE } else { Duration::from_secs(10) };
    let live_default = if scenario == Scenario::Browse { 50 } else { 0 };
    Ok(LoadPlan {
        address: Address::parse(&text("url").unwrap_or_default())?,
        scenario,
        rate,
        connections: number(matches, "connections").unwrap_or(if rate.is_some() { 512 } else { 64 }),
        duration: matches.get_one("duration").copied().unwrap_or(duration_default),
        warmup: matches.get_one("warmup").copied().unwrap_or_default(),
        flights,
        skew: matches.get_one("skew").copied().unwrap_or(0.0),
        party,
        customers: number(matches, "customers").unwrap_or(1_000_000),
        replays: matches.get_one("replays").copied().unwrap_or(0.01),
        keys: !matches.get_flag("no-keys"),
        live: number(matches, "live").unwrap_or(live_default),
        prefix: text("prefix").unwrap_or_else(|| "LOAD".to_owned()),
        admin_token: text("admin-token"),
        admin_token_file: matches.get_one("admin-token-file").cloned(),
        seed: matches.get_one("seed").copied().unwrap_or_else(|| fastrand::u64(..1 << 53)),
        json: matches.get_one("json").cloned(),
        html: matches.get_one("html").cloned(),
        until_sold_out,
        checks: !matches.get_flag("no-checks"),
        quiet: matches.get_flag("quiet"),
    })
}

fn flights(matches: &ArgMatches, scenario: Scenario) -> Result<Flights, String> {
    if let Some(named) = matches.get_many::<String>("flight") {
        let named: Vec<String> = named.cloned().collect();
        let odd = |id: &String| !id.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#%".contains(&byte));
        if let Some(id) = named.iter().find(|id| odd(id)) {
            return Err(format!("--flight {id:?}: no flight can be called so"));
        }
        return Ok(Flights::Named(named));
    }
    let seats_default = if scenario == Scenario::Rush { 1_000 } else { 9_990 };
    Ok(Flights::Made {
        count: number(matches, "flights").unwrap_or(1),
        seats: matches.get_one("seats").copied().unwrap_or(seats_default),
    })
}

fn number(matches: &ArgMatches, name: &str) -> Option<u32> {
    matches.get_one(name).copied()
}

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::ALL
        .into_iter()
        .find(|scenario| scenario.as_str() == name)
        .ok_or_else(|| format!("--scenario {name:?} must be one of rush, steady, browse, mixed"))
}

/// `500ms`, `10s`, `2m`; up to a day.
fn duration(text: &str) -> Result<Duration, String> {
    let message = || "must be a time such as 500ms, 10s or 2m, up to a day".to_owned();
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| message())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(message()),
    };
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= 86_400_000).ok_or_else(message)?;
    Ok(Duration::from_millis(ms))
}

fn counted_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|time| if time.is_zero() { Err("must be longer than nothing".into()) } else { Ok(time) })
}

fn within(min: f64, max: f64) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from {min} to {max}")),
    }
}

fn option(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn whole(min: u32, max: u32) -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(i64::from(min)..=i64::from(max))
}

/// Letters, digits, `-` and `_`, so few that an id has room for the run and the flight's number.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match text {
        _ if (1..=PREFIX_CHARS_MAX).contains(&text.len()) && text.chars().all(is_plain) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("must be 1 to {PREFIX_CHARS_MAX} letters, digits, '-' and '_'")),
    }
}

/// What can be said.
pub fn grammar() -> clap::Command {
    let not_empty = NonEmptyStringValueParser::new;
    clap::Command::new("farerush load")
        .about("Put load on a server that speaks Farerush's contract, and check what it answered")
        .after_help(
            "Exits 0 if all is well, 1 if a check fails, 2 if it could not begin. How to read the report: docs/load.md.",
        )
        .arg(
            Arg::new("url")
                .value_name("URL")
                .default_value("http://127.0.0.1:8080")
                .help("Where the server is (http:// only)"),
        )
        .args(shape())
        .args([
            option("flights", "N", "Make N new flights through the admin API [default: 1]")
                .value_parser(whole(1, FLIGHTS_MAX))
                .conflicts_with("flight"),
            option("seats", "N", "Seats of each new flight [default: 1000 for rush, else 9990]")
                .value_parser(value_parser!(u16).range(1..=10_000))
                .conflicts_with("flight"),
            option("flight", "ID", "Use this flight, which is there (may be repeated)")
                .value_parser(not_empty())
                .action(ArgAction::Append),
            option("prefix", "TEXT", "What the ids of new flights begin with [default: LOAD]")
                .value_parser(prefix)
                .conflicts_with("flight"),
            option("admin-token", "TOKEN", "Token for making flights [default: $FARERUSH_ADMIN_TOKEN]")
                .value_parser(not_empty()),
            option("admin-token-file", "FILE", "File with that token [default: ./data/admin.token]")
                .value_parser(value_parser!(PathBuf)),
            option("json", "FILE", "Write the report as JSON").value_parser(value_parser!(PathBuf)),
            option("html", "FILE", "Write the report as a page with plots").value_parser(value_parser!(PathBuf)),
            flag("no-checks", "Do not check at the end what was seen"),
            flag("quiet", "Say nothing before the end"),
        ])
}

/// The arguments that say what the load looks like.
fn shape() -> [Arg; 13] {
    [
        option("scenario", "NAME", "rush, steady, browse or mixed").default_value("rush"),
        option("rate", "N", "Open loop: N arrivals a second, latency from the intended time")
            .value_parser(within(0.1, 10_000_000.0)),
        option("connections", "N", "Connections [default: 64; with --rate at most N, 512]")
            .value_parser(whole(1, CONNECTIONS_MAX)),
        option("duration", "TIME", "How long, such as 500ms, 10s, 2m [default: 10s]")
            .value_parser(counted_duration),
        option("warmup", "TIME", "How long before that, not counted [default: 0s]").value_parser(duration),
        option("skew", "Z", "Zipf exponent over the flights; 0 is even [default: 0]")
            .value_parser(within(0.0, 10.0)),
        option("party", "N", "Seats a grab asks for [default: 1]")
            .value_parser(value_parser!(u16).range(1..=10_000)),
        option("customers", "N", "Customers there are [default: 1000000]").value_parser(whole(1, u32::MAX)),
        option("replays", "SHARE", "Share of grabs sent again under the same key [default: 0.01]")
            .value_parser(within(0.0, 1.0)),
        flag("no-keys", "Send no Idempotency-Key, but for grabs that are sent again"),
        option("live", "N", "Live readers [default: 50 for browse, else 0]").value_parser(whole(0, 10_000)),
        option("seed", "N", "What all choices follow from [default: a new one]")
            .value_parser(value_parser!(u64)),
        flag("until-sold-out", "Rush, closed loop: end once all flights are sold out"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> LoadPlan {
        LoadPlan::parse(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_defaults_follow_the_scenario() {
        let rush = plan("load");
        assert_eq!(rush.address.authority(), "127.0.0.1:8080");
        assert_eq!((rush.scenario, rush.connections), (Scenario::Rush, 64));
        assert_eq!(rush.flights, Flights::Made { count: 1, seats: 1_000 });
        assert_eq!((rush.duration, rush.warmup), (Duration::from_secs(10), Duration::ZERO));
        assert!(rush.keys && rush.checks && rush.live == 0);
        let browse = plan("load http://h:1 --scenario browse --rate 100.5");
        assert_eq!((browse.live, browse.connections, browse.rate), (50, 512, Some(100.5)));
        assert_eq!(browse.flights, Flights::Made { count: 1, seats: 9_990 });
        let named = plan("load --flight A-1 --flight B-2");
        assert_eq!(named.flights, Flights::Named(vec!["A-1".into(), "B-2".into()]));
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)));
        }
        for bad in ["", "10", "s", "1.5s", "-1s", "10 s", "1d", "25h", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (line, word) in [
            ("load ftp://x", "http://"),
            ("load https://x", "https"),
            ("load --scenario crush", "crush"),
            ("load --duration 0s", "--duration"),
            ("load --rate 0", "--rate"),
            ("load --flights 2 --flight A", "--flight"),
            ("load --until-sold-out --rate 5", "--until-sold-out"),
            ("load --until-sold-out --scenario steady", "--until-sold-out"),
            ("load --seats 3 --party 4", "--party"),
            ("load --flight a/b", "--flight"),
            ("load --connections 0", "--connections"),
            ("load --colour red", "--colour"),
        ] {
            let error = LoadPlan::parse(line.split_whitespace()).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }
}
