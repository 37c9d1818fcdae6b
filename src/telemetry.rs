//! Where do the logs go, and in which form?
//!
//! To standard error, one line an event: standard output belongs to the commands that print a result. A thread of its own
//! writes them, so that the relay goes on when the reader of the logs stops or goes away; what does not fit the queue is lost.

use std::io::{IsTerminal, stderr};

use tracing::error;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::fmt;

use crate::settings::{LogFormat, LogSettings};

/// Starts logging for the whole process; the first call counts. What is left is written when the guard is dropped.
pub(crate) fn start(settings: &LogSettings) -> WorkerGuard {
    let filter = settings.filter.to_env_filter();
    let is_json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let (writer, guard) = NonBlocking::new(stderr());
    // a log line that cannot be written must not become another one
    let lines = fmt().with_env_filter(filter).with_writer(writer).with_target(false).log_internal_errors(false);
    let started = if is_json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        lines.with_ansi(stderr().is_terminal()).try_init()
    };
    if started.is_ok() {
        log_panics();
    }
    guard
}

/// A panic becomes a log line that says where, not what: its message may quote a secret (I9).
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        error!(place, %backtrace, "a task panicked: please report this");
    }));
}
