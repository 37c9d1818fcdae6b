//! Where do the logs go, and in which form?
//!
//! To standard error, one line an event: standard output belongs to the commands that print a result. Threads of their own
//! write them, so that the relay goes on when the reader of the logs stops or goes away; what does not fit the queue is lost.
//! The access log has a thread and a queue of its own: many requests must not push a failure out of the log.

use std::{
    io::{self, IsTerminal, stderr},
    sync::Arc,
};

use tracing::error;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{
        self, SubscriberBuilder,
        format::{DefaultFields, Format, Json, JsonFields},
    },
    reload::Handle,
};

use crate::{
    logs::{LineForm, LineQueue, Logs, QueueGuard},
    settings::{LogFormat, LogSettings},
};

/// Lines of the log that may wait to be written, about 10 MiB.
const LINES: usize = 32 * 1024;

/// Changes what is logged while the process runs.
pub(crate) struct LogControl {
    filter: Option<Box<dyn Fn(EnvFilter) + Send + Sync>>,
    logs: Arc<Logs>,
}

impl LogControl {
    /// From now on what `settings` say is logged, in the form that it has.
    pub(crate) fn follow(&self, settings: &LogSettings) {
        self.logs.set_access(settings.access);
        if let Some(change) = &self.filter {
            change(settings.filter.to_env_filter());
        }
    }

    /// The access log, and what was lost.
    pub(crate) fn logs(&self) -> Arc<Logs> {
        self.logs.clone()
    }
}

/// What writes the log, and the access log. What is left is written when they are dropped.
pub(crate) type Writers = (WorkerGuard, QueueGuard);

/// Starts logging for the whole process; the first call counts.
///
/// # Errors
/// No thread can be started.
pub(crate) fn start(settings: &LogSettings) -> io::Result<(Writers, LogControl)> {
    let filter = settings.filter.to_env_filter();
    let form = match settings.format {
        LogFormat::Text => LineForm::Text,
        LogFormat::Auto if stderr().is_terminal() => LineForm::Text,
        LogFormat::Json | LogFormat::Auto => LineForm::Json,
    };
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(stderr());
    let (access, access_guard) = LineQueue::start("access-log", stderr())?;
    let (writers, lost) = ((guard, access_guard), writer.error_counter());
    let lines = lines(writer).with_env_filter(filter);
    let (started, filter) = if form == LineForm::Json {
        let lines = as_json(lines).with_filter_reloading();
        let filter = filter_of(lines.reload_handle());
        (lines.try_init(), filter)
    } else {
        let lines = lines.with_ansi(stderr().is_terminal()).with_filter_reloading();
        let filter = filter_of(lines.reload_handle());
        (lines.try_init(), filter)
    };
    if started.is_err() {
        return Ok((writers, LogControl { filter: None, logs: Arc::default() }));
    }
    log_panics();
    let logs = Logs::new(form, access, lost);
    logs.set_access(settings.access);
    Ok((writers, LogControl { filter: Some(filter), logs: Arc::new(logs) }))
}

/// Lines of the log. One that cannot be written must not become another one.
fn lines(writer: NonBlocking) -> SubscriberBuilder<DefaultFields, Format, LevelFilter, NonBlocking> {
    fmt::fmt().with_writer(writer).with_target(false).log_internal_errors(false)
}

/// The same, each of them a JSON object.
fn as_json<F>(
    lines: SubscriberBuilder<DefaultFields, Format, F, NonBlocking>,
) -> SubscriberBuilder<JsonFields, Format<Json>, F, NonBlocking> {
    lines.json().flatten_event(true).with_current_span(false).with_span_list(false)
}

fn filter_of<S: 'static>(handle: Handle<EnvFilter, S>) -> Box<dyn Fn(EnvFilter) + Send + Sync> {
    // it fails only when the subscriber is gone, and then nothing is logged
    Box::new(move |filter| drop(handle.reload(filter)))
}

/// A panic becomes a log line that says where, not what: its message may quote a secret (I9).
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        error!(place, %backtrace, "a task panicked: please report this");
    }));
}
