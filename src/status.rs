//! What is known of a credential? The one type that its keeper publishes, and that clients, operators and metrics read.
//!
//! A number or flag that operators are to see is one field of [`Status`] and one line of [`FACTS`]: from there it comes into
//! `GET /status`, onto the page and into the metrics.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Timestamp, WallTime},
    credential::{CredentialKind, Generation, Promise, Token, TokenDigest},
    issuer::{ErrorTable, IssueError, Remedy},
    store::StoreError,
};

pub mod advice;
mod facts;

pub use facts::{FACTS, Fact, Gauge, Value};

/// What is known of a credential. Published whole, so that a reader never sees half of a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// What may be served; `None` when there is no credential or it is known to be dead.
    pub offer: Option<Offer>,
    /// Tokens that live and are not offered any more, or not yet: who has one may have been handed it here.
    pub handed_out: Vec<HandedOut>,
    /// The planned rotation: when the current credential is replaced if all goes well.
    pub rotation_at: Option<Timestamp>,
    /// The earliest moment of the next call to WeChat; `None` while one is under way.
    pub next_attempt_at: Option<Timestamp>,
    /// Calls that failed since the last success.
    pub failures: u32,
    /// The last failure, until a success.
    pub trouble: Option<Arc<Failure>>,
    /// Why the record could not be stored, until it could.
    pub store_trouble: Option<StoreTrouble>,
    /// The record was read, or there is none: until then it is not known what was handed out before.
    pub is_loaded: bool,
    /// Which relay calls WeChat for it.
    pub lease: Lease,
    /// When an early fetch is a reason to doubt the token.
    pub doubt: Doubt,
    /// The offered token is revoked: it is served until another one has come, and authenticates nobody.
    pub is_revoked: bool,
    /// Rotations until what an operator has revoked is dead.
    pub rotations_to_revoke: u8,
    /// When, of the last day, a token was found dead that no call of this group had ended: somebody else fetches tokens for
    /// this app, or WeChat ended it.
    pub ended_by_others_at: Option<WallTime>,
    /// L: the whole life of the offered credential; zero where none is offered.
    pub life: Duration,
    /// What is left of the rolling day's budgets.
    pub budget: Budget,
    /// The budgets before anything is spent.
    pub whole_budget: Budget,
}

/// Which relay calls the platform for a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lease {
    /// This one, the only one on its store.
    Alone,
    /// This one, of several.
    Ours,
    /// Another one of the group, which lives as far as this one knows.
    Another,
    /// None that lives, as far as this one knows.
    #[default]
    Nobody,
}

impl Lease {
    /// Whether it is this relay that calls.
    pub const fn is_ours(self) -> bool {
        match self {
            Self::Alone | Self::Ours => true,
            Self::Another | Self::Nobody => false,
        }
    }
}

/// When an early fetch is a reason to doubt the token; by default never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// A client fetches early that has more than this left of what it was given.
    pub margin: Duration,
    /// Not before this moment.
    pub from: Timestamp,
    /// Where a client does so again and again within seconds, not before this one.
    pub burst_from: Timestamp,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { margin: Duration::ZERO, from: Timestamp::NEVER, burst_from: Timestamp::NEVER }
    }
}

/// A credential that may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its rotation.
    pub generation: Generation,
    /// Its value.
    pub token: Token,
    /// How long it may be promised.
    pub promise: Promise,
}

/// A token that a relay has handed out, and may not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedOut {
    /// Which one.
    pub digest: TokenDigest,
    /// D.
    pub until: Timestamp,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: IssueError,
    /// What that means at this issuer.
    pub errors: &'static ErrorTable,
    /// When.
    pub at: WallTime,
    /// How many of this very kind came in a row, this one included: logs are damped by it.
    pub repeated: u32,
}

impl Failure {
    /// Whether only an operator can mend it.
    pub fn needs_operator(&self) -> bool {
        match self.errors.remedy(&self.error) {
            Remedy::Operator(_) => true,
            Remedy::Soon | Remedy::Wait(_) => false,
        }
    }
}

/// Why a credential's record is not stored, or not by this relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreTrouble {
    /// The store did not take it, or did not answer.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Somebody else has changed it in a store of one relay.
    #[error("the stored record was changed by somebody else")]
    Changed,
    /// On a store of several relays: it is of another base URL, appid or endpoint under the same name. Two deployments on
    /// one Redis need two databases or prefixes.
    #[error("the stored record is of another base URL, appid or endpoint: taken over when nobody writes it")]
    AnothersRecord,
    /// On a store of several relays: what is stored is no record.
    #[error("not a record of token-relay: nothing is written over it and nobody calls until it is removed")]
    Foreign,
    /// The same, and a newer relay wrote it.
    #[error(
        "written by a newer token-relay (layout {0}): nothing is written over it and nobody calls until it is removed"
    )]
    Newer(u32),
}

/// How many of each kind: that 24 hours allow, that were spent in them, or that are left (I6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Calls to the token API, forced ones included.
    pub calls: u32,
    /// Forced calls.
    pub forced: u32,
    /// Probes.
    pub probes: u32,
}

impl Budget {
    /// Of each kind what `by` makes of both numbers.
    #[must_use]
    pub fn zip(self, other: Self, by: fn(u32, u32) -> u32) -> Self {
        Self {
            calls: by(self.calls, other.calls),
            forced: by(self.forced, other.forced),
            probes: by(self.probes, other.probes),
        }
    }
}

/// The situation of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
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
    /// Whether clients get a credential.
    pub const fn is_served(self) -> bool {
        match self {
            Self::Fresh | Self::Due => true,
            Self::Expired | Self::None => false,
        }
    }

    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Due => "due",
            Self::Expired => "expired",
            Self::None => "none",
        }
    }
}

impl Status {
    /// The offer and its seconds, if at least one second can be promised at `now`.
    pub fn servable(&self, now: Timestamp) -> Option<(&Offer, u64)> {
        let offer = self.offer.as_ref()?;
        match offer.promise.seconds_left(now) {
            0 => None,
            seconds => Some((offer, seconds)),
        }
    }

    /// The seconds that are promised at `now`; 0 when nothing is served.
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.servable(now).map_or(0, |(_, seconds)| seconds)
    }

    /// The situation at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        match (&self.offer, self.servable(now)) {
            (None, _) => State::None,
            (Some(_), None) => State::Expired,
            (Some(_), Some(_)) if self.rotation_at.is_some_and(|at| at <= now) => State::Due,
            (Some(_), Some(_)) => State::Fresh,
        }
    }

    /// How long until the next call to WeChat may have changed something; at least one second, for `Retry-After`.
    pub fn retry_in(&self, now: Timestamp) -> Duration {
        self.next_attempt_at.map_or(Duration::ZERO, |at| at.since(now)).max(Duration::from_secs(1))
    }

    /// How long until nothing can be promised any more, unless another credential comes; zero where nothing is offered.
    pub fn ends_in(&self, now: Timestamp) -> Duration {
        self.offer.as_ref().map_or(Duration::ZERO, |offer| offer.promise.until.since(now))
    }

    /// Whether only an operator can mend why calls fail, or are not made.
    pub fn needs_operator(&self) -> bool {
        self.has_spent_calls() || self.trouble.as_deref().is_some_and(Failure::needs_operator)
    }

    /// Whether no call is left of the rolling day's.
    pub const fn has_spent_calls(&self) -> bool {
        self.whole_budget.calls > 0 && self.budget.calls == 0
    }

    /// Whether a call is under way or begins within `wait`: only then is it worth waiting for a credential.
    pub fn is_worth_waiting(&self, now: Timestamp, wait: Duration) -> bool {
        self.next_attempt_at.is_none_or(|at| at.since(now) < wait)
    }
}

/// How the relay stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Every credential is served and stored.
    Ready,
    /// At least one access token is served, and at least one credential is not or cannot be stored.
    Degraded,
    /// No access token is served. Tickets do not count: who comes for a token is not helped by one, and a relay that lacks a
    /// ticket must not be taken out of service for it.
    Unready,
}

/// What one credential adds to how the relay stands.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    is_token_served: bool,
    is_amiss: bool,
}

impl Status {
    /// What a credential of this kind adds to the readiness at `now`.
    pub fn share(&self, kind: CredentialKind, now: Timestamp) -> Share {
        let is_served = self.state(now).is_served();
        Share {
            is_token_served: is_served && kind == CredentialKind::AccessToken,
            is_amiss: !is_served || self.store_trouble.is_some(),
        }
    }
}

impl Readiness {
    /// What all of these add up to; without any the relay is unready.
    pub fn of(shares: impl IntoIterator<Item = Share>) -> Self {
        let (mut is_any_served, mut is_any_amiss) = (false, false);
        for share in shares {
            is_any_served |= share.is_token_served;
            is_any_amiss |= share.is_amiss;
        }
        match (is_any_served, is_any_amiss) {
            (false, _) => Self::Unready,
            (true, true) => Self::Degraded,
            (true, false) => Self::Ready,
        }
    }

    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unready => "unready",
        }
    }
}
