//! Which tokens of one app and one kind are alive? The two newest, the older of them for the overlap.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::usage::{Usage, Window};
use super::{Rules, token_format};

/// A token handed out, and the time it has left.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The token itself.
    pub access_token: String,
    /// The life left at the moment of the reply; the wire has its whole seconds.
    pub left: Duration,
}

/// Shows no token.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The state of a token of this lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenStatus {
    /// Works for this long, if nothing happens.
    Alive(Duration),
    /// Has lived out its life.
    Expired,
    /// Was rotated away or revoked.
    Dead,
}

/// The tokens of one app and one kind, newest first.
#[derive(Default)]
pub(super) struct Lineage {
    current: Option<MintedToken>,
    previous: Option<MintedToken>,
    /// The last tokens that lived to their natural end: WeChat answers 42001 for them, 40001 for all others.
    expired: VecDeque<String>,
    pub(super) mints: u64,
    pub(super) usage: Usage,
    forced: Window,
    last_forced: Option<Duration>,
}

struct MintedToken {
    text: String,
    expires: Duration,
    /// When a rotation or a revocation ends it before its time.
    invalid_at: Option<Duration>,
}

const EXPIRED_REMEMBERED: usize = 64;

impl Lineage {
    /// Hands out a new token. The current one lives on for the overlap, the one before it dies now.
    pub(super) fn mint(&mut self, now: Duration, rules: &Rules, rng: &mut Rng) -> Grant {
        let minted = MintedToken { text: token_format::token(rng), expires: now + rules.life(), invalid_at: None };
        let grant = minted.grant(now);
        let outgoing = self.current.replace(minted).map(|current| current.invalidate(now + rules.overlap));
        let dropped = std::mem::replace(&mut self.previous, outgoing);
        self.remember_if_expired(now, dropped);
        self.mints += 1;
        grant
    }

    /// The sticky answer: the current token while it has more than the overlap to live, else a new one.
    ///
    /// A revoked token is handed out all the same: only `force` replaces it, which is what clients of a leaked token must do.
    pub(super) fn hold(&mut self, now: Duration, rules: &Rules, force: bool, rng: &mut Rng) -> Grant {
        let kept = self.current.as_ref().map(|current| current.grant(now)).filter(|grant| grant.left >= rules.overlap);
        match kept {
            Some(grant) if !(force && self.may_force(now, rules)) => grant,
            _ => self.mint(now, rules, rng),
        }
    }

    /// Counts a forced refresh, or refuses it in silence: too soon after the last one, or too many today.
    fn may_force(&mut self, now: Duration, rules: &Rules) -> bool {
        let soon = self.last_forced.is_some_and(|last| now.saturating_sub(last) < rules.forced_spacing());
        if soon || self.forced.spent(now, rules.day) >= rules.forced_per_day {
            return false;
        }
        self.forced.add(now, rules.day);
        self.last_forced = Some(now);
        true
    }

    /// Kills the token at once. `false`: it is not one of the two newest.
    pub(super) fn revoke(&mut self, now: Duration, token: &str) -> bool {
        let found = self.current.iter_mut().chain(&mut self.previous).find(|minted| minted.text == token);
        found.is_some_and(|minted| {
            minted.invalid_at = Some(now);
            true
        })
    }

    /// `None`: this lineage never minted it, or has forgotten it.
    pub(super) fn status(&self, now: Duration, token: &str) -> Option<TokenStatus> {
        let minted = self.newest().find(|minted| minted.text == token);
        let expired = || self.expired.iter().any(|old| old == token).then_some(TokenStatus::Expired);
        minted.map(|minted| minted.status(now)).or_else(expired)
    }

    /// The tokens that work, newest first.
    pub(super) fn alive(&self, now: Duration) -> impl Iterator<Item = Grant> {
        self.newest().filter_map(move |minted| match minted.status(now) {
            TokenStatus::Alive(left) => Some(Grant { access_token: minted.text.clone(), left }),
            TokenStatus::Expired | TokenStatus::Dead => None,
        })
    }

    fn newest(&self) -> impl Iterator<Item = &MintedToken> {
        self.current.iter().chain(&self.previous)
    }

    fn remember_if_expired(&mut self, now: Duration, dropped: Option<MintedToken>) {
        if let Some(minted) = dropped.filter(|minted| minted.status(now) == TokenStatus::Expired) {
            self.expired.truncate(EXPIRED_REMEMBERED - 1);
            self.expired.push_front(minted.text);
        }
    }
}

/// Shows no token.
impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineage").field("mints", &self.mints).finish_non_exhaustive()
    }
}

impl MintedToken {
    fn grant(&self, now: Duration) -> Grant {
        Grant { access_token: self.text.clone(), left: self.expires.saturating_sub(now) }
    }

    fn invalidate(mut self, at: Duration) -> Self {
        self.invalid_at = Some(self.invalid_at.map_or(at, |invalid_at| invalid_at.min(at)));
        self
    }

    fn status(&self, now: Duration) -> TokenStatus {
        let invalid_at = self.invalid_at.unwrap_or(Duration::MAX);
        match self.expires.min(invalid_at).checked_sub(now).filter(|left| !left.is_zero()) {
            Some(left) => TokenStatus::Alive(left),
            None if invalid_at < self.expires => TokenStatus::Dead,
            None => TokenStatus::Expired,
        }
    }
}
