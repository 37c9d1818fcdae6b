//! What does each subcommand do, and how does the process end?

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::lifecycle::{End, Signals};
use crate::settings::{Layers, Loaded, Settings, SettingsError, Source};
use crate::{serve, telemetry};

mod admin;
mod health;
mod keygen;
mod online;
mod revoke;
mod status;

pub use health::health;
pub use keygen::keygen;
pub use online::check_online;
pub use revoke::revoke;
pub use status::{StatusView, status};

/// The variable by which tokio knows how many threads to use.
const THREADS: &str = "TOKIO_WORKER_THREADS";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings are wrong. Exit code 78 (`EX_CONFIG` of sysexits.h).
    #[error("bad configuration: {0}")]
    Configuration(#[from] SettingsError),
    /// It failed while running, or the answer is no. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The command ran and its answer is no: printed on the standard output. Exit code 1.
    #[error("{0}")]
    No(String),
}

impl CommandError {
    /// How the process ends.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(78),
            Self::Failed(_) | Self::No(_) => ExitCode::from(1),
        }
    }
}

/// What a command prints, or why it failed.
pub type Outcome = Result<String, CommandError>;

/// From here on the system makes no core dump of this process, and lets no other process of its user read its memory: secrets and tokens
/// are in it. On Linux; other systems are for development.
pub fn refuse_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        // no reason not to serve
        let _ = writeln!(io::stderr(), "token-relay: core dumps cannot be refused: {error}");
    }
}

/// Runs the relay until it is asked to stop.
pub fn serve(config: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Outcome {
    let source = Arc::new(Source::new(config, env));
    let runtime = runtime()?;
    // before the settings are read, which takes a while where there are thousands of accounts
    let signals = runtime.block_on(async { Signals::listen() });
    let mut signals = signals.map_err(|error| CommandError::Failed(format!("cannot listen for signals: {error}")))?;
    // a disk or a pipe may say nothing for long
    let loaded = runtime.block_on(async {
        tokio::select! {
            loaded = serve::load(&source) => Some(loaded),
            _signal = signals.stop.received() => None,
        }
    });
    let Some(Loaded { settings, files }) = loaded else {
        runtime.shutdown_background();
        return Ok(String::new());
    };
    let settings = settings?;
    let (_writers, logs) = telemetry::start(&settings.log).map_err(|error| failed(&error))?;
    let ended = runtime.block_on(serve::serve(settings, source, files, logs, signals));
    // a thread on a stuck disk must not hold the process
    runtime.shutdown_background();
    match ended.map_err(|error| failed(&error))? {
        End::AsAsked => Ok(String::new()),
        End::Failed => {
            Err(CommandError::Failed("ended before it was asked to, or not in time; see the log".to_owned()))
        }
    }
}

/// tokio panics where its variable has no number that can be one.
fn runtime() -> Result<Runtime, CommandError> {
    let threads = std::env::var_os(THREADS);
    let is_bad = |threads: &OsString| !threads.to_str().is_some_and(|text| text.parse::<usize>().is_ok_and(|n| n > 0));
    if threads.as_ref().is_some_and(is_bad) {
        return Err(CommandError::Failed(format!("{THREADS} must be a number of threads, at least 1")));
    }
    Runtime::new().map_err(|error| failed(&error))
}

/// What came of asking the relay that runs here. Where the settings file could not be read, that is why there was no answer: it may
/// say where the relay listens.
fn unless_broken(asked: Outcome, broken: Option<SettingsError>) -> Outcome {
    match (asked, broken) {
        (Err(CommandError::Failed(_) | CommandError::Configuration(_)), Some(broken)) => Err(broken.into()),
        (asked, _) => asked,
    }
}

fn failed(error: &dyn std::error::Error) -> CommandError {
    CommandError::Failed(error.to_string())
}

/// Validates the settings and prints them without secrets, each key with its origin. Reads secret files; uses no network.
pub fn check(config: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Outcome {
    let layers = Layers::read(config, env)?;
    let settings = Settings::from_layers(&layers)?;
    let accounts = counted(settings.accounts.len(), "account");
    let clients = counted(settings.clients.len(), "client");
    Ok(format!("{}\n# settings are valid: {accounts}, {clients}\n", layers.redacted(&settings)))
}

/// Prints the output of a command and turns its outcome into the exit code.
pub fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(text) => print(&text).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Err(no @ CommandError::No(_)) => {
            // With a closed stdout, too, the exit code alone says it.
            let _ = print(&no.to_string());
            no.exit_code()
        }
        Err(error) => {
            // With a closed stderr the exit code alone says it.
            let _ = writeln!(io::stderr(), "token-relay: {error}");
            error.exit_code()
        }
    }
}

/// On the standard output, at once.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
