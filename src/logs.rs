//! Which requests are logged, and how many lines of the logs were lost?
//!
//! Lines are handed to a thread that writes them (`telemetry`). Its queue is bounded: while the reader of the logs is slow, lines
//! are dropped and counted, and no request waits.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tracing::{Dispatch, dispatcher};
use tracing_appender::non_blocking::ErrorCounter;

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

/// The access log, and what both logs have lost.
#[derive(Debug)]
pub struct Logs {
    level: AtomicU8,
    access: Dispatch,
    lost: Option<[ErrorCounter; 2]>,
}

/// Lines that were not written since the start, because their reader was slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Of the log.
    pub lines: usize,
    /// Of the access log.
    pub access: usize,
}

impl Default for Logs {
    /// No access log.
    fn default() -> Self {
        Self { level: AtomicU8::new(0), access: Dispatch::none(), lost: None }
    }
}

impl Logs {
    /// An access log that `access` writes. `lost` counts what the log, and what this one, could not write.
    pub(crate) fn new(access: Dispatch, lost: [ErrorCounter; 2]) -> Self {
        Self { access, lost: Some(lost), ..Self::default() }
    }

    /// From now on such requests are logged.
    pub fn set_access(&self, level: AccessLevel) {
        self.level.store(level as u8, Relaxed);
    }

    /// Which requests are logged. One relaxed load.
    pub fn access(&self) -> AccessLevel {
        AccessLevel::ALL[usize::from(self.level.load(Relaxed))]
    }

    /// What `write` logs goes to the access log.
    pub fn write_access(&self, write: impl FnOnce()) {
        dispatcher::with_default(&self.access, write);
    }

    /// What was lost so far.
    pub fn dropped(&self) -> Dropped {
        let count = |[lines, access]: &[ErrorCounter; 2]| Dropped {
            lines: lines.dropped_lines(),
            access: access.dropped_lines(),
        };
        self.lost.as_ref().map(count).unwrap_or_default()
    }
}
