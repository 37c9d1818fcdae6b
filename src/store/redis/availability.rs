//! Does Redis answer? Logged when that changes, and not too often.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{debug, info, warn};

use crate::clock::{Clock, SystemClock};

/// Between two warnings: a connection that comes and goes is warned of once.
const QUIET: Duration = Duration::from_secs(60);

/// How many reasons of one outage are warned of within [`QUIET`]: mostly the connection is lost first, and then shows why there is no
/// other one.
const MOST_REASONS: usize = 2;

/// How many reasons of one outage are warned of in all.
const MOST_REASONS_IN_ALL: usize = 16;

/// Whether one server answers, and what was logged of it.
pub(super) struct Availability {
    messages: LogMessages,
    state: Mutex<State>,
}

/// What is logged when it does not, and when it does again.
pub(super) type LogMessages = (&'static str, &'static str);

/// Of the server with the keys.
pub(super) const REDIS: LogMessages = ("Redis does not answer", "Redis answers again");

/// Of a sentinel or node that does not lead to the primary while another one does.
pub(super) const START: LogMessages = (
    "this server of state.url does not lead to the primary: passed over",
    "this server of state.url leads to the primary again",
);

#[derive(Default)]
struct State {
    /// Failures since it last answered.
    failures: u32,
    /// Those that were logged at WARN, so that their end is logged at INFO.
    reasons: Vec<String>,
    warned_at: Option<Duration>,
}

impl Availability {
    pub(super) fn of(messages: LogMessages) -> Self {
        Self { messages, state: Mutex::default() }
    }

    /// It did not answer, or cannot be reached.
    pub(super) fn failed(&self, server: &str, reason: &str) {
        let now = SystemClock.awake();
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let is_quiet = state.warned_at.is_some_and(|at| now.saturating_sub(at) < QUIET);
        let may_warn = state.reasons.len() < if is_quiet { MOST_REASONS } else { MOST_REASONS_IN_ALL };
        let is_another = may_warn && state.reasons.iter().all(|other| other != reason);
        let is_known = if state.reasons.is_empty() { is_quiet } else { !is_another };
        if is_known {
            debug!(server, reason, failures = state.failures, "{}", self.messages.0);
            return;
        }
        state.warned_at = Some(now);
        state.reasons.push(reason.to_owned());
        warn!(server, reason, "{}", self.messages.0);
    }

    /// It answered a command.
    pub(super) fn answered(&self, server: &str) {
        let mut state = self.state();
        let failures = std::mem::take(&mut state.failures);
        match (failures, std::mem::take(&mut state.reasons).is_empty()) {
            (0, _) => {}
            (_, false) => info!(server, failures, "{}", self.messages.1),
            (_, true) => debug!(server, failures, "{}", self.messages.1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters cannot be left half changed, so a panic elsewhere poisons nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
