//! Does Redis answer? Told to the log when that changes, and not too often.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{debug, info, warn};

use super::address::Address;
use crate::clock::{Clock, SystemClock};

/// Between two warnings: a connection that comes and goes is told of once.
const QUIET: Duration = Duration::from_secs(60);

/// What was told of one server.
#[derive(Default)]
pub(super) struct Journal(Mutex<State>);

#[derive(Default)]
struct State {
    /// Failures since it last answered.
    failures: u32,
    /// Whether they were told at WARN, and so their end is told at INFO.
    is_told: bool,
    warned_at: Option<Duration>,
}

impl Journal {
    /// It did not answer, or cannot be reached.
    pub(super) fn failed(&self, address: &Address, reason: &str) {
        let now = SystemClock.awake();
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let is_quiet = state.warned_at.is_some_and(|at| now.saturating_sub(at) < QUIET);
        if state.failures > 1 || is_quiet {
            debug!(server = address.shown(), reason, failures = state.failures, "Redis does not answer");
            return;
        }
        (state.is_told, state.warned_at) = (true, Some(now));
        warn!(server = address.shown(), reason, "Redis does not answer");
    }

    /// It answered a command.
    pub(super) fn answered(&self, address: &Address) {
        let mut state = self.state();
        let failures = std::mem::take(&mut state.failures);
        match (failures, std::mem::take(&mut state.is_told)) {
            (0, _) => {}
            (_, true) => info!(server = address.shown(), failures, "Redis answers again"),
            (_, false) => debug!(server = address.shown(), failures, "Redis answers again"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters cannot be left half changed, so a panic elsewhere poisons nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
