//! For how long is nobody suspected, after WeChat has accepted a token that a client seemed to doubt?

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Bounds, ClockOffset};

/// After any accepted probe nobody is suspected for this long.
pub const SHORT_CALM: Duration = Duration::from_secs(60);
/// The longest calm. Each early fetch for nothing doubles the next one up to it: many processes that share a key look like
/// one that asks again and again.
const LONG_CALM: Duration = Duration::from_secs(600);

/// So many early fetches for nothing show a client that never keeps its token: its bursts are a doubt no more often than others are.
const HABIT: u32 = 10;

/// What the early fetches of late have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calm {
    /// When the last early fetch was answered by an accepted probe.
    pub since: Option<Bounds>,
    /// How many were, since a token was last refused.
    pub in_vain: u32,
}

impl Calm {
    /// An early fetch has led to a probe, and the token is good.
    pub fn found_in_vain(&mut self, at: Bounds) {
        *self = Self { since: Some(at), in_vain: self.in_vain.saturating_add(1) };
    }

    /// Whether it holds for bursts as well.
    pub const fn is_long(self) -> bool {
        self.in_vain >= HABIT
    }

    /// How long it lasts from `since` on.
    pub fn length(self) -> Duration {
        let doublings = self.in_vain.saturating_sub(1).min(16);
        SHORT_CALM.saturating_mul(1 << doublings).min(LONG_CALM)
    }

    pub(super) fn shifted(self, by: ClockOffset) -> Self {
        Self { since: self.since.map(|since| since.shifted(by)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_calm_doubles_up_to_ten_minutes() {
        let mut calm = Calm::default();
        let lengths = [60, 120, 240, 480, 600, 600].map(|_| {
            calm.found_in_vain(Timestamp::default().into());
            calm.length().as_secs()
        });
        assert_eq!(lengths, [60, 120, 240, 480, 600, 600]);
    }
}
