//! What do all connections share?

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::call_log::CallLog;
use crate::clock::Clock;
use crate::fault::Queue;
use crate::model::Model;
use crate::port::PortSwitch;

/// Receives one line for each call, without secrets and tokens.
pub(crate) type Log = Box<dyn Fn(&str) + Send + Sync>;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) port: PortSwitch,
    state: Mutex<State>,
    pub(crate) log: Option<Log>,
}

/// WeChat, the faults that are queued, and the calls so far.
pub(crate) struct State {
    pub(crate) model: Model,
    pub(crate) faults: Queue,
    pub(crate) calls: CallLog,
    /// Of every call; half of it passes before the operation.
    pub(crate) latency: Duration,
}

impl Shared {
    pub(crate) fn new(model: Model, latency: Duration, log: Option<Log>) -> Self {
        let state = State { model, faults: Queue::default(), calls: CallLog::default(), latency };
        Self { clock: Clock::start(), port: PortSwitch::default(), state: Mutex::new(state), log }
    }

    /// Calls `look` with the state and the present moment: moments never go backwards from one look to the next.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State, Duration) -> T) -> T {
        // A panic elsewhere leaves the state as good as it was: no change is made in two steps.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        look(&mut state, now)
    }
}
