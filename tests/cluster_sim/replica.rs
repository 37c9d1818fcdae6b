//! One relay of several: its host's clocks, its machine, and what its readers see.

use token_relay::{
    clock::{BootId, Now, Timestamp, WallTime},
    credential::{Generation, Promise},
    keeper::machine::Machine,
    status::Status,
};

use super::wechat::TokenId;

/// 2025-01-01, in Unix milliseconds: where a run begins.
const BEGIN_MS: i64 = 1_735_689_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub id: TokenId,
    pub generation: Generation,
    pub promise: Promise,
}

pub(crate) struct Replica {
    pub boot_name: String,
    pub booted_at: i64,
    pub wall_error_ms: i64,
    pub life: u64,
    pub machine: Option<Machine>,
    pub outlook: Option<Status>,
    pub offer: Option<Offer>,
    /// Up to here its readers were judged.
    pub read_to: i64,
    /// The greatest generation that this process has served (I4).
    pub served: u64,
    pub started_at: i64,
    /// Since when its readers get nothing.
    pub unserved_since: Option<i64>,
    pub frozen_until: i64,
    pub timer: u64,
    /// It is killed or frozen so many actions from now; frozen right before a call's first byte.
    pub kill_in: Option<i64>,
    pub freeze_in: Option<i64>,
    pub freeze_before_send: bool,
    /// Its requests do not reach the store, its answers do not reach it.
    pub cut_out_until: i64,
    pub cut_in_until: i64,
    /// The step that decided what is being done was then.
    pub stepped_at: i64,
    pub is_stopping: bool,
    /// Which token it probed last.
    pub probed: TokenId,
}

impl Replica {
    pub(crate) fn now(&self, at: i64) -> Now {
        Now { boot: self.boot(at), wall: WallTime::from_millis(BEGIN_MS + at.div_euclid(1000) + self.wall_error_ms) }
    }

    pub(crate) fn boot(&self, at: i64) -> Timestamp {
        Timestamp::from_micros(at - self.booted_at)
    }

    /// When, in the time of the run, the boot clock shows `moment`.
    pub(crate) fn at(&self, moment: Timestamp) -> i64 {
        moment.as_micros().saturating_add(self.booted_at)
    }

    pub(crate) fn boot_id(&self) -> BootId {
        BootId::from_text(&self.boot_name)
    }

    pub(crate) fn is_up(&self, at: i64) -> bool {
        self.machine.is_some() && self.frozen_until <= at
    }

    /// What a reader is told at `at`.
    pub(crate) fn seconds(&self, at: i64) -> u64 {
        self.offer.map_or(0, |offer| offer.promise.seconds_left(self.boot(at)))
    }
}
