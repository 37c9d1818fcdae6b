//! How does each account stand, and which are shown?

use std::{cmp::Reverse, sync::Arc, time::Duration};

use super::{super::AppState, View, severity::Severity};
use crate::{
    clock::Timestamp,
    credential::CredentialKind,
    recent::Entry,
    registry::{Handle, Published},
    status::{State, Status},
};

/// So many accounts are shown at once. The others are found by their names.
const SHOWN: usize = 1000;

/// An account: its access token first, then its tickets.
#[derive(Debug, Clone)]
pub(super) struct Account(pub(super) Vec<Credential>);

/// A credential at a moment.
#[derive(Debug, Clone)]
pub(super) struct Credential {
    pub(super) handle: Arc<Handle>,
    pub(super) published: Arc<Published>,
    /// What happened to it last.
    last: Option<Entry>,
    /// Its keeper gives no sign of life.
    pub(super) is_silent: bool,
    pub(super) now: Timestamp,
}

impl Credential {
    fn of(handle: &Arc<Handle>, now: Timestamp, awake: Duration) -> Self {
        let is_silent = handle.heartbeat.silence(awake).is_some();
        Self { handle: handle.clone(), published: handle.published(), last: handle.history.last(), is_silent, now }
    }

    pub(super) fn kind(&self) -> CredentialKind {
        self.handle.id.kind()
    }

    pub(super) fn status(&self) -> &Status {
        &self.published.status
    }

    pub(super) fn state(&self) -> State {
        self.status().state(self.now)
    }

    /// Everything shown depends on these alone, except durations, which the script counts down.
    fn looks(&self) -> (*const Published, State, bool, Option<Entry>) {
        (Arc::as_ptr(&self.published), self.state(), self.is_silent, self.last)
    }
}

impl Account {
    /// All of them, the worst first, then by name.
    pub(super) fn all(state: &AppState) -> Vec<Self> {
        let (now, awake) = (state.clock.boot_now(), state.clock.awake());
        let handles = state.registry.handles();
        let handles: Vec<_> = handles.iter().collect();
        let of_accounts = handles.chunk_by(|one, other| one.id.account() == other.id.account());
        let credential = |handle: &&Arc<Handle>| Credential::of(handle, now, awake);
        let mut accounts: Vec<_> = of_accounts.map(|handles| Self(handles.iter().map(credential).collect())).collect();
        accounts.sort_by_cached_key(|account| Reverse(account.severity()));
        accounts
    }

    /// Of all of them those that are to be shown, and how many more there are.
    pub(super) fn shown(accounts: &[Self], view: &View) -> (Vec<Self>, usize) {
        let mut wanted = accounts.iter().filter(|account| account.name().contains(&view.wanted));
        let shown = wanted.by_ref().take(SHOWN).cloned().collect();
        (shown, wanted.count())
    }

    /// An account is there with at least one credential.
    pub(super) fn first(&self) -> &Credential {
        &self.0[0]
    }

    pub(super) fn name(&self) -> &str {
        self.first().handle.id.account().as_str()
    }

    /// That of its worst credential.
    pub(super) fn severity(&self) -> Severity {
        self.0.iter().map(Credential::severity).max().unwrap_or_default()
    }

    /// The worst of its credentials; of equal ones the first.
    pub(super) fn worst(&self) -> &Credential {
        self.0.iter().rev().max_by_key(|credential| credential.severity()).unwrap_or(self.first())
    }

    /// Whether it looks as `before`. Comparing addresses is safe: `before` keeps its `Published` alive, so no address is reused.
    pub(super) fn looks_like(&self, before: &Self) -> bool {
        self.0.iter().map(Credential::looks).eq(before.0.iter().map(Credential::looks))
    }
}
