//! Do calls to WeChat end within the grace of a stop, and within the lease on Redis?

use std::time::Duration;

use humantime::format_duration;

use super::{GRACE_MARGIN, StateUrl};
use crate::timing::LEASE;

/// Why `wechat.timeout` is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallsTooLong {
    /// A relay that stops would leave a sent call without its answer (I13).
    #[error("must be wechat.timeout and 2s more ({}) or longer, so that a sent call can end", format_duration(*least))]
    ForTheGrace {
        /// The least grace.
        least: Duration,
    },
    /// Another relay would call meanwhile.
    #[error(
        "must be less than {} where state.url is a Redis: a call has to end before its relay loses the lease",
        format_duration(LEASE)
    )]
    ForTheLease,
}

impl CallsTooLong {
    /// Section and key of what is to be changed.
    pub(crate) const fn key(self) -> (&'static str, &'static str) {
        match self {
            Self::ForTheGrace { .. } => ("server", "shutdown_grace"),
            Self::ForTheLease => ("wechat", "timeout"),
        }
    }

    /// Judges calls that take `timeout` at the most, in a relay that waits for `grace` when it stops and keeps its records at `state`.
    pub(crate) fn judge(timeout: Duration, grace: Duration, state: &StateUrl) -> Result<(), Self> {
        let least = timeout + GRACE_MARGIN;
        if grace < least {
            return Err(Self::ForTheGrace { least });
        }
        if matches!(state, StateUrl::Redis(_)) && timeout >= LEASE {
            return Err(Self::ForTheLease);
        }
        Ok(())
    }
}
