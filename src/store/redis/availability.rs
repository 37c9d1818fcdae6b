//! Does Redis answer? Logged when that changes, and not too often.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{debug, info, warn};

use super::address::Address;
use crate::clock::{Clock, SystemClock};

/// Between two warnings: a connection that comes and goes is warned of once.
const QUIET: Duration = Duration::from_secs(60);

/// Whether one server answers, and what was logged of it.
#[derive(Default)]
pub(super) struct Availability(Mutex<State>);

#[derive(Default)]
struct State {
    /// Failures since it last answered.
    failures: u32,
    /// Whether they were logged at WARN, so that their end is logged at INFO.
    is_warned: bool,
    warned_at: Option<Duration>,
}

impl Availability {
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
        (state.is_warned, state.warned_at) = (true, Some(now));
        warn!(server = address.shown(), reason, "Redis does not answer");
    }

    /// It answered a command.
    pub(super) fn answered(&self, address: &Address) {
        let mut state = self.state();
        let failures = std::mem::take(&mut state.failures);
        match (failures, std::mem::take(&mut state.is_warned)) {
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
