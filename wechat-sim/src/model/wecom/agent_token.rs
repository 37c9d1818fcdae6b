//! Which token of an agent is alive? One: there is no overlap.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::model::lineage::TokenStatus;
use crate::model::{Grant, token_format};

/// The tokens of one agent.
#[derive(Default)]
pub(super) struct AgentToken {
    current: Option<Minted>,
    /// The last tokens that lived to their natural end: 42001. All others are 40014.
    expired: VecDeque<String>,
    pub(super) mints: u64,
}

struct Minted {
    text: String,
    expires: Duration,
    is_revoked: bool,
}

const EXPIRED_REMEMBERED: usize = 64;

impl AgentToken {
    /// The current token, or a new one where it has ended or was revoked. `left` is the whole life on repeats as well.
    pub(super) fn hold(&mut self, now: Duration, life: Duration, rng: &mut Rng) -> Grant {
        if self.living(now).is_none() {
            let text = token_format::wecom_token(rng);
            let gone = self.current.replace(Minted { text, expires: now + life, is_revoked: false });
            if let Some(expired) = gone.filter(|gone| !gone.is_revoked) {
                self.expired.truncate(EXPIRED_REMEMBERED - 1);
                self.expired.push_front(expired.text);
            }
            self.mints += 1;
        }
        let access_token = self.current.iter().map(|minted| minted.text.as_str()).collect();
        Grant { access_token, left: life }
    }

    /// The token that works, with what is left of its life.
    pub(super) fn living(&self, now: Duration) -> Option<Grant> {
        let minted = self.current.as_ref()?;
        match minted.status(now) {
            TokenStatus::Alive(left) => Some(Grant { access_token: minted.text.clone(), left }),
            TokenStatus::Expired | TokenStatus::Dead => None,
        }
    }

    /// `None`: never minted here, or forgotten.
    pub(super) fn status(&self, now: Duration, token: &str) -> Option<TokenStatus> {
        let current = self.current.as_ref().filter(|minted| minted.text == token).map(|minted| minted.status(now));
        current.or_else(|| self.expired.iter().any(|old| old == token).then_some(TokenStatus::Expired))
    }

    /// `false`: it is not the current one.
    pub(super) fn revoke(&mut self, token: &str) -> bool {
        let current = self.current.as_mut().filter(|minted| minted.text == token);
        current.is_some_and(|minted| {
            minted.is_revoked = true;
            true
        })
    }
}

impl Minted {
    fn status(&self, now: Duration) -> TokenStatus {
        match self.expires.checked_sub(now).filter(|left| !left.is_zero()) {
            _ if self.is_revoked => TokenStatus::Dead,
            Some(left) => TokenStatus::Alive(left),
            None => TokenStatus::Expired,
        }
    }
}

/// Shows no token.
impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentToken").field("mints", &self.mints).finish_non_exhaustive()
    }
}
