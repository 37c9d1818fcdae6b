//! Where do the logs go, and in which form?
//!
//! To standard error, one line an event: standard output belongs to the commands that print a result. A thread of its own
//! writes them, so that the relay goes on when the reader of the logs stops or goes away; what does not fit the queue is lost.

use std::io::{IsTerminal, stderr};

use tracing::error;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt, reload::Handle};

use crate::settings::{LogFilter, LogFormat, LogSettings};

/// Changes what is logged while the process runs.
pub(crate) struct LogControl(Option<Box<dyn Fn(EnvFilter) + Send + Sync>>);

impl LogControl {
    /// From now on what `filter` lets through is logged.
    pub(crate) fn filter_by(&self, filter: &LogFilter) {
        if let Some(change) = &self.0 {
            change(filter.to_env_filter());
        }
    }
}

/// Starts logging for the whole process; the first call counts. What is left is written when the guard is dropped.
pub(crate) fn start(settings: &LogSettings) -> (WorkerGuard, LogControl) {
    let filter = settings.filter.to_env_filter();
    let is_json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let (writer, guard) = NonBlocking::new(stderr());
    // a log line that cannot be written must not become another one
    let lines = fmt().with_env_filter(filter).with_writer(writer).with_target(false).log_internal_errors(false);
    let (started, control) = if is_json {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        let lines = lines.with_filter_reloading();
        let control = control(lines.reload_handle());
        (lines.try_init(), control)
    } else {
        let lines = lines.with_ansi(stderr().is_terminal()).with_filter_reloading();
        let control = control(lines.reload_handle());
        (lines.try_init(), control)
    };
    if started.is_err() {
        return (guard, LogControl(None));
    }
    log_panics();
    (guard, control)
}

fn control<S: 'static>(handle: Handle<EnvFilter, S>) -> LogControl {
    // it fails only when the subscriber is gone, and then nothing is logged
    LogControl(Some(Box::new(move |filter| drop(handle.reload(filter)))))
}

/// A panic becomes a log line that says where, not what: its message may quote a secret (I9).
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        error!(place, %backtrace, "a task panicked: please report this");
    }));
}
