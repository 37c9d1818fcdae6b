//! What does nobody look at any more? It is forgotten, so that states which differ only in it are one. That nothing which can
//! happen depends on it, the tests below show: with and without it the same states are reached, but for what is forgotten.

use crate::{
    record::{Record, RelayId},
    relay::{Relay, Status},
    store::Version,
    timing::{LONG_AGO, NOW, RESERVE, SUCCESSION, TAKE_OVER, WINDOW},
    wechat::{Token, WeChat},
    world::World,
};

#[cfg(test)]
mod tests;

impl World {
    pub(crate) fn forget(&mut self) {
        if self.store.lost.is_none() && self.faults.losses == 0 {
            self.store.last = None;
        }
        self.forget_who_is_gone();
        let versions = self.versions();
        self.relays.iter_mut().for_each(|relay| relay.forget(&versions));
        self.forget_when_orphans_were_born();
        self.wechat.forget();
    }

    /// What the store holds, and what it may go back to.
    pub(crate) fn versions(&self) -> Vec<Version> {
        let before = self.store.last.as_ref().map(|last| last.before.0);
        [self.store.version].into_iter().chain(before).collect()
    }

    /// Which relays were gone at the last poll is asked of a holder only: the one in the relay's own record, or one that it may find
    /// in the store before its next poll.
    fn forget_who_is_gone(&mut self) {
        let holders = self.possible_holders();
        let all_may_hold = !self.keeps_its_holder();
        let is_dead: Vec<_> = self.relays.iter().map(|relay| relay.status == Status::Dead).collect();
        for (me, relay) in (0..).zip(&mut self.relays) {
            let ours = relay.record.as_ref().and_then(|record| record.holder);
            let polls_before = relay.status == Status::Active && !all_may_hold;
            for (other, is_dead) in (0..).zip(&is_dead) {
                let is_named = ours == Some(other) || holders.contains(&other);
                let may_be_named = is_named || !(*is_dead || polls_before);
                if other == me || relay.status == Status::Dead || !may_be_named {
                    relay.gone &= !(1 << other);
                }
            }
        }
    }

    /// Whoever the store names, or may name again after a loss.
    fn possible_holders(&self) -> Vec<RelayId> {
        let before = self.store.last.as_ref().and_then(|last| last.before.2.holder);
        self.store.record.holder.into_iter().chain(before).collect()
    }

    /// Whether the holder stays the same until all that run have polled: it has polled in this tick or the one before, so that nobody
    /// takes over sooner, and no relay can freeze or be cut off any more.
    fn keeps_its_holder(&self) -> bool {
        let may_be_lost = self.faults.losses > 0 && self.store.last.is_some();
        let may_stand_still = self.faults.freezes > 0 || self.faults.cuts > 0;
        let is_safe = |holder: RelayId| {
            let relay = &self.relays[usize::from(holder)];
            let is_present = relay.status == Status::Active && NOW - 1 <= relay.polled_at;
            is_present && self.relays.iter().all(|relay| relay.gone & (1 << holder) == 0)
        };
        !may_be_lost && !may_stand_still && self.store.record.holder.is_some_and(is_safe)
    }

    /// When an orphan was born counts if it is lost: it is, or its relay can be, and nobody has heard of it.
    fn forget_when_orphans_were_born(&mut self) {
        let Self { wechat, relays, faults, .. } = self;
        let may_be_lost = faults.freezes > 0 || faults.crashes > 0 || faults.cuts > 0;
        for token in &mut wechat.tokens {
            let runs = relays[usize::from(token.of)].status == Status::Active;
            let can_be_lost = token.known_after.is_none() && (may_be_lost || !runs);
            if !token.is_lost && !can_be_lost {
                token.born_at = LONG_AGO;
            }
        }
    }
}

impl Relay {
    fn forget(&mut self, versions: &[Version]) {
        if self.connected_at + SUCCESSION <= NOW {
            self.connected_at = LONG_AGO;
        }
        // up to when it is present, and up to when its contact is worth a promise
        self.polled_at = self.polled_at.max(NOW - if self.status == Status::Dead { TAKE_OVER } else { WINDOW });
        self.contact_at = self.contact_at.max(NOW - WINDOW);
        let Some(record) = &self.record else { return };
        // a take-over of what the store holds asks it, and only of an intent that was seen after it was written
        let is_late = |record: &Record| record.open_call().is_some_and(|open| open.latest < self.learned_at);
        if !versions.contains(&self.held) || !is_late(record) {
            self.learned_at = LONG_AGO;
        }
        if self.untaken != record.generation {
            self.untaken = 0;
        }
    }
}

impl WeChat {
    fn forget(&mut self) {
        self.tokens.iter_mut().for_each(Token::forget);
    }
}

impl Token {
    fn forget(&mut self) {
        if self.promised_until <= NOW {
            self.promised_until = LONG_AGO;
        }
        if self.born_at + RESERVE < NOW {
            self.born_at = LONG_AGO;
        }
        if self.known_at.saturating_add(SUCCESSION) < NOW {
            self.known_at = LONG_AGO;
        }
    }
}
