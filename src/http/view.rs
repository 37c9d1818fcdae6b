//! How does an account stand, in words and numbers that may be shown to anybody who runs the relay?

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    accounts::{Standing, Trouble},
    clock::Timestamp,
};

/// The situation of an account's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Served, and its planned rotation is ahead.
    Fresh,
    /// Served, and its rotation is due: a call is under way, or calls fail.
    Due,
    /// There is one, but nothing can be promised of it any more.
    Expired,
    /// There is none, or it is known to be dead.
    None,
}

impl State {
    fn of(standing: &Standing, now: Timestamp) -> Self {
        match (&standing.offer, standing.servable(now)) {
            (None, _) => Self::None,
            (Some(_), None) => Self::Expired,
            (Some(_), Some(_)) if standing.rotation_at.is_some_and(|at| at <= now) => Self::Due,
            (Some(_), Some(_)) => Self::Fresh,
        }
    }

    /// Whether clients get a token.
    pub(super) fn is_served(self) -> bool {
        match self {
            Self::Fresh | Self::Due => true,
            Self::Expired | Self::None => false,
        }
    }

    /// The word on the wire.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Due => "due",
            Self::Expired => "expired",
            Self::None => "none",
        }
    }
}

/// One account as operators see it. Never token material.
#[derive(Debug, Clone, Serialize)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) seconds_left: u64,
    pub(super) generation: Option<u64>,
    /// 0 when it is due.
    pub(super) rotation_in_s: Option<u64>,
    /// `None` while a call is under way.
    pub(super) next_call_in_s: Option<u64>,
    pub(super) failures: u32,
    pub(super) budget_left: BudgetView,
    pub(super) trouble: Option<TroubleView>,
    pub(super) store_trouble: Option<String>,
    pub(super) holds_lease: bool,
}

/// What is left of the rolling day.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct BudgetView {
    pub(super) calls: u32,
    pub(super) forced: u32,
    pub(super) probes: u32,
}

/// The last failure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TroubleView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errcode: Option<i64>,
    pub(super) message: String,
    pub(super) hint: String,
    /// RFC 3339.
    pub(super) at: String,
}

impl View {
    pub(super) fn of(standing: &Standing, now: Timestamp) -> Self {
        let left = |at: Option<Timestamp>| at.map(|at| at.since(now).as_secs());
        Self {
            state: State::of(standing, now),
            seconds_left: standing.servable(now).map_or(0, |(_, seconds)| seconds),
            generation: standing.offer.as_ref().map(|offer| offer.generation.0),
            rotation_in_s: left(standing.rotation_at),
            next_call_in_s: left(standing.next_attempt_at),
            failures: standing.failures,
            budget_left: BudgetView {
                calls: standing.budget.calls,
                forced: standing.budget.forced,
                probes: standing.budget.probes,
            },
            trouble: standing.trouble.as_deref().map(TroubleView::of),
            store_trouble: standing.store_trouble.as_deref().map(str::to_owned),
            holds_lease: standing.holds_lease,
        }
    }
}

impl TroubleView {
    fn of(trouble: &Trouble) -> Self {
        Self {
            errcode: trouble.errcode,
            message: trouble.message.clone(),
            hint: trouble.hint.clone(),
            at: trouble.at.to_string(),
        }
    }
}

/// How the relay stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Readiness {
    /// Every account is served and stored.
    Ready,
    /// At least one is served, and at least one is not or cannot be stored.
    Degraded,
    /// None is served.
    Unready,
}

impl Readiness {
    pub(super) fn of(views: &BTreeMap<&str, View>) -> Self {
        if !views.values().any(|view| view.state.is_served()) {
            Self::Unready
        } else if views.values().all(|view| view.state.is_served() && view.store_trouble.is_none()) {
            Self::Ready
        } else {
            Self::Degraded
        }
    }

    /// The word on the wire.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unready => "unready",
        }
    }
}
