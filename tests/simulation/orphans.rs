//! Who has heard of a token that an orphan call minted? By what the store holds and by who has polled it since, not by what relays
//! make of it.

use super::{
    rng::SECOND,
    setup::micros,
    wechat::{Minted, TokenId},
    world::World,
};

/// From when the store tells of it, all that are not cut off have heard of it within this: the next call waits so long.
const HEARD_WITHIN: i64 = 3 * SECOND;
/// The call of a relay that has heard for less was decided before.
const DECIDED_WITHIN: i64 = SECOND;

/// The call that minted a token was an orphan: its relay was frozen between its last look at the lease and the first byte, and
/// another one had the lease by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orphan {
    /// Which relay's, and which keeper's.
    who: usize,
    life: u64,
    /// That keeper knows how its call ended.
    has_ended: bool,
    /// Since when the store's record tells of it.
    told_at: i64,
    /// Since when each relay knows every write up to that one.
    heard_at: [i64; 3],
}

impl Orphan {
    pub(crate) fn of(who: usize, life: u64) -> Self {
        Self { who, life, has_ended: false, told_at: i64::MAX, heard_at: [i64::MAX; 3] }
    }

    /// Whether the relay `who` may have begun a call at `at` without knowing of it.
    pub(crate) fn is_news_to_caller(&self, who: usize, at: i64) -> bool {
        self.told_at == i64::MAX || at < self.heard_at[who].saturating_add(DECIDED_WITHIN)
    }

    /// Whether the relay `who` was cut off when the store began to tell of it, and at `at` still, or a moment ago.
    fn is_kept_from(&self, who: usize, at: i64) -> bool {
        let (told_at, heard_at) = (self.told_at, self.heard_at[who]);
        told_at <= at && told_at + HEARD_WITHIN < heard_at && at < heard_at.saturating_add(HEARD_WITHIN)
    }

    /// Whether the store does not tell of it at `at`, or not for long enough that all have heard of it.
    fn is_untold(&self, at: i64) -> bool {
        at < self.told_at.saturating_add(HEARD_WITHIN)
    }
}

impl World {
    /// A relay calls: whether that is an orphan call.
    pub(crate) fn is_orphan_call(&self, who: usize, is_late: bool, is_forced: bool) -> bool {
        // where it has the lease still, all know its intent
        self.setup.policy.issuer.ends_the_living(is_forced) && is_late && self.holder() != Some(who)
    }

    fn latest_orphans(&mut self) -> impl Iterator<Item = &mut Orphan> {
        self.wechat.tokens.iter_mut().rev().take(8).filter_map(|token| token.orphan.as_mut())
    }

    /// A call of this relay ended.
    pub(crate) fn orphan_ends(&mut self, who: usize) {
        let life = self.replicas[who].life;
        self.latest_orphans().filter(|orphan| (orphan.who, orphan.life) == (who, life)).for_each(|orphan| {
            orphan.has_ended = true;
        });
    }

    /// The store holds what this keeper wrote.
    pub(crate) fn orphan_is_told(&mut self, who: usize, life: u64) {
        let now = self.now;
        let ended = self.latest_orphans().filter(|orphan| orphan.has_ended && (orphan.who, orphan.life) == (who, life));
        ended.for_each(|orphan| orphan.told_at = orphan.told_at.min(now));
    }

    /// What this relay knows of the store has changed.
    pub(crate) fn orphan_is_heard_of(&mut self, who: usize) {
        let (now, replica) = (self.now, &self.replicas[who]);
        let contact_at = replica.group.peers().and_then(|peers| peers.contact_at()).map(|at| replica.host.at(at));
        let Some(contact_at) = contact_at else { return };
        self.latest_orphans().filter(|orphan| orphan.told_at <= contact_at).for_each(|orphan| {
            orphan.heard_at[who] = orphan.heard_at[who].min(now);
        });
    }

    /// This relay is frozen until `thaw`. What it has just heard it takes in then.
    pub(crate) fn orphan_is_taken_in_late(&mut self, who: usize, thaw: i64) {
        let now = self.now;
        let is_new = |orphan: &&mut Orphan| (now - HEARD_WITHIN..=now).contains(&orphan.heard_at[who]);
        self.latest_orphans().filter(is_new).for_each(|orphan| orphan.heard_at[who] = thaw);
    }

    /// Whether a relay that promises a token cannot know that an orphan call has ended it.
    pub(crate) fn knows_of_no_orphan(&self, who: usize, id: TokenId, at: i64, seconds: u64) -> bool {
        let after = self.wechat.next_of_ours(id);
        let Some((Minted { born_at, .. }, orphan)) = after.and_then(|token| Some((token, token.orphan?))) else {
            return false;
        };
        let window = self.setup.policy.window().as_secs();
        // counted from s, which may be some seconds before
        let late_from = born_at + micros(self.setup.policy.reserve()) - 5 * SECOND;
        let is_lost = orphan.is_untold(at) && late_from < orphan.told_at.min(at);
        seconds <= window && (is_lost || orphan.is_kept_from(who, at))
    }
}
