//! Is every keeper still alive?
//!
//! A task that hangs looks like one that has nothing to do. So each keeper beats, at least every few seconds, and who has
//! not beaten for [`STALE_AFTER`] is taken for dead. Judged by the clock that stands still in a suspend: a laptop's lid
//! kills nobody.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{account::AccountName, clock};

/// Six heartbeats of a keeper (5 s each): so many are not missed by a busy machine.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// One keeper's heartbeat; clones share it.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// A pulse that has just beaten, so that a keeper is not dead before it starts.
    fn starting() -> Self {
        let pulse = Self(Arc::default());
        pulse.beat();
        pulse
    }

    /// Says that the keeper is alive now.
    pub fn beat(&self) {
        self.0.store(millis(clock::awake()), Relaxed);
    }

    /// How long before `awake` (see [`clock::awake`]) it last beat.
    pub fn age(&self, awake: Duration) -> Duration {
        Duration::from_millis(millis(awake).saturating_sub(self.0.load(Relaxed)))
    }
}

/// The heartbeats of all keepers.
#[derive(Debug)]
pub struct Heartbeats(BTreeMap<AccountName, Pulse>);

impl Heartbeats {
    /// One pulse per account, each beating now.
    pub fn new<'a>(accounts: impl IntoIterator<Item = &'a AccountName>) -> Self {
        Self(accounts.into_iter().map(|name| (name.clone(), Pulse::starting())).collect())
    }

    /// The pulse of `account`, one of those given to [`Heartbeats::new`]: for its keeper.
    pub fn of(&self, account: &AccountName) -> Pulse {
        self.0.get(account).expect("a pulse is made for every account of the relay").clone()
    }

    /// Whose keeper has not beaten for [`STALE_AFTER`] at `awake`, with how long.
    pub fn stale(&self, awake: Duration) -> impl Iterator<Item = (&AccountName, Duration)> {
        let ages = self.0.iter().map(move |(name, pulse)| (name, pulse.age(awake)));
        ages.filter(|(_, age)| *age > STALE_AFTER)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_that_stops_beating_is_named_and_one_that_beats_again_is_not() {
        let names: Vec<AccountName> = vec!["main".parse().unwrap(), "shop".parse().unwrap()];
        let heartbeats = Heartbeats::new(&names);
        assert_eq!(heartbeats.stale(clock::awake()).count(), 0);
        let later = clock::awake() + STALE_AFTER + Duration::from_secs(1);
        heartbeats.of(&names[0]).0.store(millis(later), Relaxed);
        let stale: Vec<_> = heartbeats.stale(later).map(|(name, _)| name.as_str()).collect();
        assert_eq!(stale, ["shop"]);
    }
}
