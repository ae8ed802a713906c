//! `farerush load`: puts load on any server that speaks the contract, and checks what it answered.
//! Never looks behind the HTTP interface, and shares no code with the server that it checks but the name of a seat.

pub mod address;
pub mod arguments;
pub mod check;
pub mod client;
pub mod connection;
pub mod deliveries;
pub mod flights;
pub mod html;
pub mod ledger;
pub mod live;
pub mod plot;
pub mod progress;
pub mod record;
pub mod report;
pub mod schedule;
pub mod skew;
pub mod wire;
pub mod worker;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farerush_engine::flight::Timestamp;
use parking_lot::Mutex;

use self::arguments::LoadPlan;
use self::connection::{Connection, NoAnswer};
use self::ledger::Ledger;
use self::progress::Progress;
use self::record::Recorder;
use self::report::Report;
use self::wire::Target;
use self::worker::Run;

/// What a run ends with if it could not begin.
const COULD_NOT_BEGIN: u8 = 2;
/// How long the first request may take.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// Runs `farerush load`; `arguments` are those after the program's name, `load` first.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let plan = match LoadPlan::parse(arguments) {
        Ok(plan) => plan,
        Err(error) => {
            // Nobody may be reading that.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(COULD_NOT_BEGIN));
        }
    };
    match put_load_on(plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "farerush load: {error}");
            ExitCode::from(COULD_NOT_BEGIN)
        }
    }
}

/// Whether all was well; the error says why it could not begin.
fn put_load_on(plan: LoadPlan) -> Result<bool, String> {
    let address = plan.address.resolve().map_err(|error| format!("cannot find {}: {error}", plan.address))?;
    for path in [&plan.json, &plan.html].into_iter().flatten() {
        // Better now than after the run.
        std::fs::File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(greet(&plan, address))?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = in_base_36(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX));
    let started_at = i64::try_from(since_epoch.as_millis()).unwrap_or(0);
    let started_at = farerush_wire::base::time::text(Timestamp::from_millis(started_at));
    let flights = runtime.block_on(flights::prepare(&plan, address, &name))?;
    check_party(&plan, &flights)?;
    let cpu_before = processor_time();
    let run = Arc::new(Run::new(plan, address, name, flights));
    let (recorder, ledger) = on_all_threads(&run)?;
    let cpu = processor_time().saturating_sub(cpu_before);
    let checks = if run.plan.checks {
        if !run.plan.quiet {
            eprintln!("checking what was acknowledged ...");
        }
        runtime.block_on(check::all(&run, ledger, &recorder))
    } else {
        Vec::new()
    };
    if let Err(error) = runtime.block_on(flights::close(&run.plan, address, &run.flights)) {
        eprintln!("farerush load: the flights of this run are still on sale: {error}");
    }
    let report = Report::new(&run, &recorder, checks, started_at, cpu);
    publish(&report, &run.plan)?;
    Ok(report.is_ok())
}

/// Asks for something that every server has, so that a wrong address is said at once.
async fn greet(plan: &LoadPlan, address: SocketAddr) -> Result<(), String> {
    let mut request = Vec::new();
    Target::new(&plan.address).write(&mut request, "GET", &["/v1/flights?limit=1"], &[], None);
    match Connection::new(address, FIRST_PATIENCE).exchange(&request).await {
        Ok(answer) if answer.status == 404 => {
            Err(format!("{} answers, but has no /v1/flights: is it a Farerush server?", plan.address))
        }
        Ok(_) => Ok(()),
        Err(NoAnswer::NotConnected(error)) => Err(format!(
            "nobody answers at {} ({error}); start a server there, or name another address",
            plan.address
        )),
        Err(NoAnswer::Lost(error)) => {
            Err(format!("{} takes connections, but gives no HTTP answer ({error})", plan.address))
        }
    }
}

fn check_party(plan: &LoadPlan, flights: &[flights::Flight]) -> Result<(), String> {
    match flights.iter().find(|flight| flight.capacity < u32::from(plan.party)) {
        Some(flight) => Err(format!(
            "--party {} does not fit into flight {}, which has {} seats",
            plan.party, flight.id, flight.capacity
        )),
        None => Ok(()),
    }
}

/// Lets all threads work until the run is over; gives what they measured and were promised.
fn on_all_threads(run: &Arc<Run>) -> Result<(Recorder, Ledger), String> {
    let workers = worker::workers_for(&run.plan);
    let recorders: Vec<_> =
        (0..workers).map(|_| Arc::new(Mutex::new(Recorder::new(run.counted_from)))).collect();
    let cannot = |error: std::io::Error| format!("a thread of the load failed: {error}");
    let mut threads = Vec::with_capacity(recorders.len());
    for (number, recorder) in (0..).zip(&recorders) {
        let (run, recorder) = (run.clone(), recorder.clone());
        let work = move || worker::work(&run, recorder, number, workers);
        threads.push(std::thread::Builder::new().name(format!("load-{number}")).spawn(work).map_err(cannot)?);
    }
    Progress::new(run, run.plan.quiet).watch(run, &recorders, &threads);
    let mut ledger = Ledger::default();
    for thread in threads {
        let promised = thread.join().map_err(|_| "a thread of the load panicked".to_owned())?;
        ledger.merge(promised.map_err(cannot)?);
    }
    let mut recorder = Recorder::new(run.counted_from);
    recorders.iter().for_each(|other| recorder.merge(&other.lock()));
    Ok((recorder, ledger))
}

fn publish(report: &Report, plan: &LoadPlan) -> Result<(), String> {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    // Nobody may be reading that.
    let _ = write!(std::io::stdout(), "{}", report.table());
    if let Some(path) = &plan.json {
        write(path, &report.json().map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &plan.html {
        write(path, &html::page(report))?;
    }
    Ok(())
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn in_base_36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(number % 36).unwrap_or(0)];
        digits.push(char::from(digit));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}
