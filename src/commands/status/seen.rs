//! What does `GET /status` say, as far as the table shows it?

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::status::{Lease, Readiness, State};

/// The whole relay.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    pub(super) version: String,
    pub(super) uptime_s: u64,
    pub(super) status: Readiness,
    pub(super) settings: SeenSettings,
    pub(super) silent_keepers_s: BTreeMap<String, u64>,
    /// By their ids: the access token of an account, and its tickets.
    pub(super) accounts: BTreeMap<String, Credential>,
}

/// Whether changed settings are in use.
#[derive(Debug, Deserialize)]
pub(super) struct SeenSettings {
    pub(super) trouble: Option<String>,
    pub(super) needs_restart: Vec<String>,
}

/// One credential.
#[derive(Debug, Deserialize)]
pub(super) struct Credential {
    pub(super) state: State,
    pub(super) seconds_left: u64,
    /// 0: it is due.
    pub(super) rotation_in_s: Option<u64>,
    /// `None`: a call is under way.
    pub(super) next_call_in_s: Option<u64>,
    pub(super) calls_per_day: u64,
    pub(super) budget_left: Budget,
    /// `None`: not known yet.
    pub(super) rotations_to_revoke: Option<u64>,
    pub(super) another_caller: bool,
    pub(super) lease: Lease,
    pub(super) trouble: Option<Trouble>,
    pub(super) store_trouble: Option<String>,
}

/// What is left of the rolling day's calls.
#[derive(Debug, Deserialize)]
pub(super) struct Budget {
    pub(super) calls: u64,
}

/// The last failure, and what to do about it.
#[derive(Debug, Deserialize)]
pub(super) struct Trouble {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Credential {
    /// Whether no call is left of the day's.
    pub(super) const fn has_spent_calls(&self) -> bool {
        self.calls_per_day > 0 && self.budget_left.calls == 0
    }

    /// The calls of the last 24 hours.
    pub(super) fn calls_made(&self) -> u64 {
        self.calls_per_day.saturating_sub(self.budget_left.calls)
    }
}
