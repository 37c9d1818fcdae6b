//! Which times constrain one another across rooms?

use std::time::Duration;

/// With several relays: what the holder of the lease counts on, from the start of its last answered poll, if it has read what
/// that named. A call has to end within it, so the settings bound `wechat.timeout` by it.
pub(crate) const LEASE: Duration = Duration::from_secs(12);

/// From the end of a lease to the first call of the next holder, by the slowest of clocks.
pub(crate) const SUCCESSION: Duration = Duration::from_secs(3);
