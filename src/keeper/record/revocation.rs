//! What has an operator revoked, and what is left to do about it?

use serde::{Deserialize, Serialize};

use super::{Credential, Record};
use crate::credential::Generation;

/// So many rotations kill a token: WeChat keeps the two newest.
const ROTATIONS: u8 = 2;

/// The last revocation. By default there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revocation {
    /// Every token up to this generation is revoked: it authenticates nobody.
    pub up_to: Generation,
    /// How many rotations are still to come.
    pub rotations_left: u8,
}

impl Revocation {
    /// The revocation of all tokens up to this generation.
    pub fn of(up_to: Generation) -> Self {
        Self { up_to, rotations_left: ROTATIONS }
    }

    /// Whether rotations are still to come.
    pub const fn is_pending(self) -> bool {
        self.rotations_left > 0
    }

    /// Whether a token of this generation is revoked.
    pub fn covers(self, generation: Generation) -> bool {
        generation <= self.up_to
    }

    /// Another token than the one before is current.
    pub fn rotated(&mut self) {
        self.rotations_left = self.rotations_left.saturating_sub(1);
    }

    /// Which of two is known to be further: the later one, and of one the one with fewer rotations left.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        if (self.up_to, other.rotations_left) >= (other.up_to, self.rotations_left) { self } else { other }
    }
}

impl Credential {
    /// Whether an operator has revoked it.
    pub fn is_revoked(&self, revocation: Revocation) -> bool {
        revocation.covers(self.generation)
    }
}

impl Record {
    /// The current token under a later generation. What was revoked of it stays revoked: it is no other token.
    pub fn renumber(&mut self, generation: Generation) {
        let revocation = self.revocation;
        if let Some(current) = &mut self.credential {
            if current.is_revoked(revocation) {
                self.revocation.up_to = generation;
            }
            current.generation = generation;
        }
        self.generation = generation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_revocation_counts_and_of_one_what_is_further() {
        let revocation = |up_to, rotations_left| Revocation { up_to: Generation(up_to), rotations_left };
        for (one, other, joined) in [
            (revocation(7, 2), revocation(7, 1), revocation(7, 1)),
            (revocation(7, 0), revocation(7, 1), revocation(7, 0)),
            (revocation(7, 0), revocation(9, 2), revocation(9, 2)),
            (revocation(0, 0), revocation(7, 2), revocation(7, 2)),
            (revocation(7, 1), revocation(7, 1), revocation(7, 1)),
        ] {
            assert_eq!((one.join(other), other.join(one)), (joined, joined));
        }
    }
}
