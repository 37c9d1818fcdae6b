//! Which requests are logged, and how many lines of the logs were lost?
//!
//! Lines are handed to threads that write them (`telemetry`). Their queues are bounded: while the reader of the logs is slow, lines
//! are dropped and counted, and no request waits.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tracing_appender::non_blocking::ErrorCounter;

mod queue;

pub(crate) use queue::{LineQueue, QueueGuard};

/// `log.access`: which requests to the public listener are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLevel {
    /// None.
    #[default]
    Off,
    /// Those that were refused or failed: a status from 400 on, or an errcode of the relay.
    Errors,
    /// Every one.
    All,
}

impl AccessLevel {
    const ALL: [Self; 3] = [Self::Off, Self::Errors, Self::All];
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineForm {
    /// For people.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

/// The access log, and what both logs have lost.
#[derive(Debug, Default)]
pub struct Logs {
    level: AtomicU8,
    form: LineForm,
    access: LineQueue,
    log: Option<ErrorCounter>,
}

/// Lines that were not written since the start, because their reader was slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Of the log.
    pub lines: usize,
    /// Of the access log.
    pub access: usize,
}

impl Logs {
    /// An access log of this form in the queue `access`. `log` counts what the log could not write.
    pub(crate) fn new(form: LineForm, access: LineQueue, log: ErrorCounter) -> Self {
        Self { form, access, log: Some(log), ..Self::default() }
    }

    /// From now on such requests are logged.
    pub fn set_access(&self, level: AccessLevel) {
        self.level.store(level as u8, Relaxed);
    }

    /// Which requests are logged. One relaxed load.
    pub fn access(&self) -> AccessLevel {
        AccessLevel::ALL[usize::from(self.level.load(Relaxed))]
    }

    /// Lets `line` append a line of this form to the access log.
    pub fn write_access(&self, line: impl FnOnce(LineForm, &mut Vec<u8>)) {
        self.access.add(|lines| line(self.form, lines));
    }

    /// What was lost so far.
    pub fn dropped(&self) -> Dropped {
        let lines = self.log.as_ref().map(ErrorCounter::dropped_lines).unwrap_or_default();
        Dropped { lines, access: self.access.lost() }
    }
}
