//! `farerush import`: sends files of flights to a server, shows how far it is, and names every line that is wrong.
//! Never looks into a file: the server says what is wrong with it.

mod arguments;
mod wire;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;

use self::arguments::{ImportPlan, Input};
use self::wire::{Exchange, Reply};

/// What a run ends with if it could not begin.
const COULD_NOT_BEGIN: u8 = 2;
/// How often the bar moves while the server works.
const TICK: Duration = Duration::from_millis(100);

/// What the server has done with a file.
#[derive(Debug, Deserialize)]
struct Imported {
    created: u64,
    skipped: u64,
    flights: Vec<String>,
}

/// What it has against it.
#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    errors: Vec<Mistake>,
    #[serde(default)]
    further_errors: u64,
}

#[derive(Debug, Deserialize)]
struct Mistake {
    line: Option<u64>,
    #[serde(default)]
    field: String,
    message: String,
}

/// Runs `farerush import`; `arguments` are those after the program's name, `import` first.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let plan = match ImportPlan::parse(arguments) {
        Ok(plan) => plan,
        Err(error) => {
            // Nobody may be reading that.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(COULD_NOT_BEGIN));
        }
    };
    match import(&plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "farerush import: {error}");
            ExitCode::from(COULD_NOT_BEGIN)
        }
    }
}

/// Whether all was well; the error says why it could not begin.
fn import(plan: &ImportPlan) -> Result<bool, String> {
    let exchange = Exchange::new(&plan.address, plan.token()?)?;
    let files: Result<Vec<(Input, Vec<u8>)>, String> = plan.files.iter().map(read).collect();
    let files = files?;
    // One file is all or nothing by itself. Of several, none is sent before all are known to be good.
    let checks_first = plan.dry_run || files.len() > 1;
    if checks_first {
        let mut all_good = true;
        for file in &files {
            all_good &= send(&exchange, file, "checking", &plan.query(true))?.is_some();
        }
        if plan.dry_run || !all_good {
            return Ok(all_good);
        }
    }
    for file in &files {
        match send(&exchange, file, "importing", &plan.query(false))? {
            Some(_) => {}
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn read(path: &std::path::PathBuf) -> Result<(Input, Vec<u8>), String> {
    let input = Input::of(path)?;
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok((input, bytes))
}

/// Sends a file and says what came of it; `None` if it was refused. The error says that the server did not answer.
fn send(
    exchange: &Exchange,
    (input, bytes): &(Input, Vec<u8>),
    doing: &str,
    query: &str,
) -> Result<Option<Imported>, String> {
    let bar = bar(bytes.len(), format!("{doing} {}", input.name));
    let path = format!("/v1/admin/flights/import{query}");
    let reply = exchange.post(&path, input.media_type, bytes, |sent| {
        bar.set_position(sent as u64);
        if sent == bytes.len() {
            bar.set_message(format!("{doing} {}: the server is at work", input.name));
            bar.enable_steady_tick(TICK);
        }
    });
    bar.finish_and_clear();
    let reply = reply.map_err(|error| format!("{}: {error}", input.name))?;
    // Nobody may be reading that.
    let mut out = std::io::stdout();
    let Some(imported) = understood(&reply) else {
        name_mistakes(&input.name, &reply);
        return Ok(None);
    };
    let skipped = match imported.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} were there already"),
    };
    let _ = if doing == "checking" {
        writeln!(out, "{}: good, {} flights{skipped}", input.name, imported.flights.len())
    } else {
        writeln!(out, "{}: {} flights created{skipped}", input.name, imported.created)
    };
    Ok(Some(imported))
}

fn understood(reply: &Reply) -> Option<Imported> {
    (200..300).contains(&reply.status).then(|| serde_json::from_slice(&reply.body).ok()).flatten()
}

/// Names what is wrong, a line each, as compilers do: `flights.csv:7: departs_at: must be ...`.
fn name_mistakes(name: &str, reply: &Reply) {
    let mut err = std::io::stderr();
    let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body) else {
        let _ = writeln!(
            err,
            "{name}: the server answered {}, and nothing that is understood here",
            reply.status
        );
        return;
    };
    let mut line = |text: String| {
        let _ = writeln!(err, "{text}");
    };
    for mistake in &problem.errors {
        let place = mistake.line.map(|line| format!(":{line}")).unwrap_or_default();
        let field = if mistake.field.is_empty() { String::new() } else { format!(" {}:", mistake.field) };
        line(format!("{name}{place}:{field} {}", mistake.message));
    }
    if problem.further_errors > 0 {
        line(format!("{name}: and {} more mistakes", problem.further_errors));
    }
    line(format!("{name}: {} ({})", problem.detail, problem.code));
}

fn bar(bytes: usize, message: String) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(bytes as u64), target).with_message(message);
    let style =
        ProgressStyle::with_template("{elapsed_precise} {bar:30.cyan/blue} {bytes}/{total_bytes} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
