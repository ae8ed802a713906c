//! What the binary does: reads the settings, starts what is asked for, and passes signals on. Stands in the library, because
//! what an `async fn` does is compiled where it is waited for, and the program would have much of it a second time.
//! Never thinks: everything it does stands elsewhere.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use crate::base::errors::in_full;
use crate::parts::auth::{self, TokenCommand};
use crate::parts::receipts;
use crate::start::allocator;
use crate::start::backups;
use crate::start::cli::{self, Command};
use crate::start::config::{JournalTarget, Settings, Sources};
use crate::start::id_secrets;
use crate::start::logging;
use crate::start::owning::Owning;
use crate::start::serve;
use crate::start::storage::{
    OpenedJournal, StartError, existing_data_dir, look_into_journal, look_into_store, open_store, wait_for,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Does what the command line asks for, and says how that went.
pub fn run() -> ExitCode {
    allocator::keep_for_the_next_round();
    // It is a client: no setting of a server means anything to it.
    if let Some(arguments) = cli::load_arguments(std::env::args_os()) {
        return crate::clients::load::run(arguments);
    }
    if let Some(arguments) = cli::import_arguments(std::env::args_os()) {
        return crate::clients::import_command::run(arguments);
    }
    let (command, flags) = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let settings = match Settings::load(&Sources::of_process(flags)) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("farerush: {}", in_full(&error));
            return ExitCode::from(2);
        }
    };
    logging::start(&settings);
    let log_format = settings.log_format;
    if matches!(command, Command::Backup { .. }) {
        backups::stand_back();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            logging::give_up(log_format, &format!("cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match command {
            Command::Serve => run_server(settings).await,
            Command::Migrate => migrate(&settings).await,
            Command::Verify { receipts } => verify(&settings, receipts.as_deref()).await,
            Command::Backup { target } => backups::make(&settings, &target).await.map(|done| show(&done)),
            Command::Restore { from, until } => {
                backups::restore(&settings, &from, until).await.map(|done| show(&done))
            }
            Command::OpenApi => Ok(print_document()),
            Command::Token(command) => token(command, &settings),
        }
    });
    // Nothing is left to wait for.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| {
        logging::give_up(log_format, &in_full(&error));
        ExitCode::FAILURE
    })
}

async fn run_server(settings: Settings) -> Result<ExitCode, StartError> {
    let mut stop_signals = StopSignals::listen().map_err(StartError::Thread)?;
    let deadline = settings.stop_timeout;
    let running = tokio::select! {
        running = serve::start(settings) => running?,
        // Not selling yet, so there is nothing to finish.
        () = stop_signals.next() => return Ok(ExitCode::SUCCESS),
    };
    // Nobody may be reading that, which is no reason not to sell.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", running.address);
    tracing::info!(address = %running.address, "selling");
    stop_signals.next().await;
    tracing::info!("stopping; a second signal ends at once");
    tokio::select! {
        _ = running.stop(deadline) => Ok(ExitCode::SUCCESS),
        () = stop_signals.next() => {
            tracing::warn!("ended at once; the next start recovers the rest");
            Ok(ExitCode::FAILURE)
        }
    }
}

struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn show(done: &backups::Done) -> ExitCode {
    print!("{done}");
    ExitCode::SUCCESS
}

fn print_document() -> ExitCode {
    match std::io::stdout().write_all(crate::api::openapi::document_text().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // whoever reads it has gone
    }
}

fn token(command: TokenCommand, settings: &Settings) -> Result<ExitCode, StartError> {
    existing_data_dir(&settings.data_dir)?;
    Ok(run_token(command, settings))
}

fn run_token(command: TokenCommand, settings: &Settings) -> ExitCode {
    match auth::run(command, &settings.data_dir, SystemTime::now(), &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farerush: {}", in_full(&error));
            ExitCode::FAILURE
        }
    }
}

fn until(settings: &Settings) -> Instant {
    Instant::now() + settings.start_timeout
}

async fn migrate(settings: &Settings) -> Result<ExitCode, StartError> {
    let store = wait_for(settings, until(settings), async || open_store(settings, None, true).await).await?;
    let before = store.migration_status().await?;
    store.migrate().await?;
    println!("{}", store.describe());
    for migration in store.migration_status().await? {
        let had_it = before.iter().any(|old| old.version == migration.version && old.applied);
        let word = if had_it { "was applied before" } else { "applied now" };
        println!("{:04} {}: {word}", migration.version, migration.name);
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn verify(settings: &Settings, receipts: Option<&Path>) -> Result<ExitCode, StartError> {
    let receipts = receipts.map(receipts::read).transpose()?;
    let secrets = id_secrets::obtain(settings, false)?;
    let until = until(settings);
    let OpenedJournal { journal, identity, .. } = look_into_journal(settings, until).await?;
    let store = wait_for(settings, until, async || look_into_store(settings, secrets.as_ref()).await).await?;
    if let Some(identity) = identity.filter(|_| settings.journal != JournalTarget::Memory) {
        Owning::check(&identity, &store).await?;
    }
    let report = farerush_persistence::verify::verify(&journal, &store).await?;
    let checked = match receipts {
        Some(receipts) => Some(receipts.check(&journal, &store).await?),
        None => None,
    };
    store.close().await;
    print!("{report}");
    if secrets.is_none() {
        println!("ids were not checked: there is no id secret at hand (`id_secret`, `id_secret_file`)");
    }
    let all_kept = checked.as_ref().is_none_or(receipts::Checked::all_kept);
    if let Some(checked) = checked {
        print!("{checked}");
    }
    Ok(if report.is_ok() && all_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
