//! What do readers and clients see, and what do they say?

use token_relay::{
    credential::Generation,
    keeper::machine::{Event, ReportId},
    report::Grounds,
};

use super::{
    replica::Offer,
    rng::SECOND,
    world::{What, World},
};

impl World {
    pub(crate) fn read_all(&mut self) {
        for who in 0..self.setup.replicas {
            self.read(who);
        }
    }

    /// Every reader of a relay since it was last looked at: at once, where the promise reaches furthest, somewhere between
    /// and just now.
    pub(crate) fn read(&mut self, who: usize) {
        let replica = &mut self.replicas[who];
        let from = replica.read_to.max(replica.frozen_until);
        let to = self.now;
        if to <= from || !replica.is_up {
            return;
        }
        replica.read_to = to;
        let between = self.rng.between(from, to - 1);
        let works = match () {
            () if self.setup.is_shared => self.wechat.newest_works(to),
            () => self.oracles[who].held.is_some_and(|id| self.wechat.works(id, between)),
        };
        self.tally.alive += if works { to - from } else { 0 };
        let Some(offer) = self.replicas[who].offer else { return self.unserved(who, from, works) };
        let until = self.replicas[who].host.at(offer.promise.until);
        let furthest = to - 1 - (to - 1).saturating_sub(until).rem_euclid(SECOND);
        for at in [from, between, furthest, to - 1] {
            if from <= at {
                self.reply(who, at, offer);
            }
        }
        let is_served = self.replicas[who].seconds(if self.setup.is_shared { to - 1 } else { between }) > 0;
        self.tally.served += if is_served && works { to - from } else { 0 };
        if is_served {
            self.replicas[who].unserved_since = None;
        } else {
            self.unserved(who, from, works);
        }
    }

    fn reply(&mut self, who: usize, at: i64, offer: Offer) {
        let seconds = self.replicas[who].seconds(at);
        if seconds > 0 {
            self.tally.replies += 1;
            self.promised(who, at, offer, seconds);
        }
    }

    /// The clients look at the token; those whose token does not work report it.
    pub(crate) fn clients_look(&mut self) {
        let (storm, calm) = self.setup.clients;
        let wait = self.rng.between(calm.min(20 * SECOND) / 4, if self.is_storm { storm } else { calm });
        self.rounds += 1;
        self.push(self.now + wait, What::Clients(self.rounds));
        for who in 0..self.setup.replicas {
            let replica = &self.replicas[who];
            let Some(offer) = replica.offer.filter(|_| replica.frozen_until <= self.now) else { continue };
            let is_served = replica.seconds(self.now) > 0;
            let works = self.wechat.works(offer.id, self.now);
            if is_served && !works {
                self.report(who, offer.generation);
            }
            self.calm.seen_by_clients(self.now, is_served && works);
        }
    }

    pub(crate) fn report(&mut self, who: usize, generation: Generation) {
        let replica = &self.replicas[who];
        if replica.machine.is_some() && !replica.is_stopping {
            let id = ReportId(self.reports.next());
            let grounds = match self.rng.between(0, 9) {
                0 | 1 => Grounds::EarlyFetch,
                2 => Grounds::Burst,
                _ => Grounds::Report,
            };
            self.send_event(who, self.now, Event::Report(id, generation, grounds));
        }
    }
}
