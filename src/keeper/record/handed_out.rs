//! Which tokens were handed out before the current one, and may still be in the hands of clients?

use serde::{Deserialize, Serialize};

use super::{Credential, Record};
use crate::{
    clock::{Bounds, ClockOffset, Timestamp},
    credential::{Generation, TokenDigest},
};

/// How many are remembered: with the current one 16. Planned rotations leave one or two; the rest is for tokens that clients
/// have reported one after the other.
const MOST: usize = 15;

/// A token that was current once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOut {
    /// Which one.
    pub digest: TokenDigest,
    /// D: nobody may use it for longer.
    pub until: Bounds,
    /// Its rotation; 0 where an earlier version did not tell it.
    #[serde(default)]
    pub generation: Generation,
}

impl HandedOut {
    pub(super) fn shifted(self, by: ClockOffset) -> Self {
        Self { until: self.until.shifted(by), ..self }
    }
}

impl From<&Credential> for HandedOut {
    fn from(credential: &Credential) -> Self {
        Self { digest: credential.token.digest(), until: credential.deadline, generation: credential.generation }
    }
}

impl Record {
    /// `credential` is current from `now` on, and what was current before was handed out.
    pub fn replace_credential(&mut self, now: Timestamp, credential: Credential) {
        let before = self.credential.replace(credential);
        if let Some(before) = &before {
            self.remember_handed_out(before.into());
        }
        self.handed_out.retain(|known| now < known.until.latest);
    }

    /// Remembers a token that is not current, unless it is known.
    pub(super) fn remember_handed_out(&mut self, handed_out: HandedOut) {
        let current = self.credential.as_ref().map(|credential| credential.token.digest());
        if current != Some(handed_out.digest) && self.handed_out.iter().all(|known| known.digest != handed_out.digest) {
            self.handed_out.push(handed_out);
        }
        self.handed_out.retain(|known| Some(known.digest) != current);
        if self.handed_out.len() > MOST {
            let first = (0..self.handed_out.len()).min_by_key(|at| self.handed_out[*at].until.latest);
            first.map(|at| self.handed_out.remove(at));
        }
    }
}
