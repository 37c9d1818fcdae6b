//! Were the promises kept, over all relays?

use super::{
    dice::{DAY, SECOND},
    wire::Flight,
    world::{REPLICAS, World, micros_as_seconds},
};

impl World {
    pub(crate) fn read_all(&mut self) {
        for who in 0..REPLICAS {
            self.read(who);
        }
    }

    /// Every reader of a relay since it was last looked at: at once, where the promise reaches furthest, somewhere between
    /// and just now.
    pub(crate) fn read(&mut self, who: usize) {
        let replica = &mut self.replicas[who];
        let from = replica.read_to.max(replica.frozen_until);
        let to = self.now;
        if to <= from || replica.machine.is_none() {
            return;
        }
        replica.read_to = to;
        let Some(offer) = replica.offer else { return self.unserved(who, from, to) };
        let until = replica.at(offer.promise.until);
        let furthest = to - 1 - (to - 1 - until).rem_euclid(SECOND);
        let between = self.dice.between(from, to - 1);
        for at in [from, between, furthest, to - 1] {
            let seconds = if from <= at { self.replicas[who].seconds(at) } else { 0 };
            if seconds > 0 {
                self.reply(who, at, seconds);
            }
        }
        if self.replicas[who].seconds(to - 1) == 0 {
            self.unserved(who, from, to);
        } else {
            self.replicas[who].unserved_since = None;
            self.tally.served += to - from;
            self.tally.alive += to - from;
        }
    }

    fn unserved(&mut self, who: usize, from: i64, to: i64) {
        let works = self.wechat.tokens.len().checked_sub(1).is_some_and(|id| self.wechat.works(id, to));
        self.tally.alive += if works { to - from } else { 0 };
        let replica = &mut self.replicas[who];
        let since = *replica.unserved_since.get_or_insert(from);
        let settled = replica.started_at.max(replica.frozen_until).max(replica.cut_in_until).max(replica.cut_out_until)
            + 8 * SECOND;
        // N may run out before the call that is due (I8), and by what relays know of each other's moments sooner at one than
        // at another; several unknown calls make every probe meaningless for longer
        if self.store.has_unknown_calls() {
            self.trial.unknown_at = to;
        }
        let gap = if to < self.trial.unknown_at + 10 * SECOND { 180 * SECOND } else { 60 * SECOND };
        let is_owed = self.trial.is_healed && !self.trial.is_revoked && settled.max(since) + gap < to && works;
        self.kept("I11", !is_owed, || format!("relay {who} serves nothing"));
    }

    /// I3 and I4.
    fn reply(&mut self, who: usize, at: i64, seconds: u64) {
        let offer = self.replicas[who].offer.expect("only what is offered is read");
        let until = at + i64::try_from(seconds).expect("a life") * SECOND;
        self.tally.replies += 1;
        let token = &mut self.wechat.tokens[offer.id];
        let (dies_at, is_beyond_proof) = (token.dies_by_us_at, token.is_beyond_proof);
        if token.promised_until < until {
            (token.promised_until, token.promised_at) = (until, at);
            token.mark.promised_by = who;
        }
        // A stray call (see `minted`) whose token is not handed over within r, because its relay was frozen, killed or cut off
        // once more: nobody alive can know of it, and O - r from more than r after it reaches past the token's end.
        let stray = self.wechat.next_of_ours(offer.id).filter(|next| next.mark.is_stray).map(|next| next.born_at);
        let is_beyond_proof =
            is_beyond_proof || stray.is_some_and(|born_at| born_at + 55 * SECOND < at && seconds <= 240);
        if is_beyond_proof {
            self.tally.excused += u64::from(dies_at < until);
        }
        self.kept("I3", is_beyond_proof || until <= dies_at, || {
            let late = micros_as_seconds(until - dies_at);
            format!(
                "relay {who} promises token {} for {seconds} s at {:.3}, and it dies {late:.3} s too soon",
                offer.id,
                micros_as_seconds(at)
            )
        });
        let served = self.replicas[who].served;
        self.kept("I4", served <= offer.generation.0, || {
            format!("relay {who} serves {} after {served}", offer.generation.0)
        });
        self.replicas[who].served = offer.generation.0;
        if let Some((newest, since)) = self.trial.newest {
            let replica = &self.replicas[who];
            let reachable =
                replica.cut_in_until.max(replica.cut_out_until).max(replica.frozen_until).max(replica.started_at);
            let is_late = self.trial.is_healed && offer.generation.0 < newest && since.max(reachable) + 2 * SECOND < at;
            self.kept("I4", !is_late, || format!("relay {who} does not follow within 2 s"));
        }
    }

    pub(crate) fn published(&mut self, who: usize) {
        let replica = &self.replicas[who];
        // nobody can follow a relay that is cut off
        let is_reachable = replica.cut_in_until.max(replica.cut_out_until) <= self.now;
        let Some(offer) = replica.offer.filter(|_| is_reachable) else { return };
        if self.trial.newest.is_none_or(|(newest, _)| newest < offer.generation.0) {
            self.trial.newest = Some((offer.generation.0, self.now));
        }
    }

    /// A call reached WeChat and may have minted: every promise still open must hold.
    ///
    /// Excepted is one double stroke: a stray call (of a relay frozen between its last look at the lease and the first byte,
    /// which I1 allows as the one call more) within an overlap of another relay's own rotation. WeChat keeps the two newest
    /// tokens only, so the one before both dies at once, and no promise but none at all could have known.
    pub(crate) fn minted(&mut self) {
        let newest: Vec<_> = self.wechat.lately_ours().collect();
        let is_double = newest.iter().take(2).any(|id| self.wechat.tokens[*id].mark.is_stray);
        for (age, id) in newest.into_iter().enumerate() {
            if age == 2 && is_double {
                self.wechat.tokens[id].is_beyond_proof = true;
                self.tally.count("stray call within an overlap of a rotation");
            }
            let token = &self.wechat.tokens[id];
            self.kept("I3", token.is_beyond_proof || token.promised_until <= token.dies_by_us_at, || {
                format!(
                    "a call kills token {id} {:.3} s before what relay {} promised of it at {:.3}",
                    micros_as_seconds(token.promised_until - token.dies_by_us_at),
                    token.mark.promised_by,
                    micros_as_seconds(token.promised_at)
                )
            });
        }
    }

    /// I1 and I6: the first byte of a call leaves.
    pub(crate) fn call_begins(&mut self, flight: Flight, is_refunded: bool) {
        let now = self.now;
        self.tally.calls += 1;
        self.flights.retain(|flight| now < flight.ends_at);
        let on_time = self.flights.iter().filter(|other| !other.was_late).count() + usize::from(!flight.was_late);
        let may_be_two = self.policy.issuer.rotation == token_relay::issuer::RotationMode::Sticky || super::loses_all();
        self.kept("I1", on_time <= 1 || may_be_two, || {
            format!("relay {} calls while another call is under way", flight.who)
        });
        self.flights.push(flight);
        if is_refunded {
            return;
        }
        self.calls_made.retain(|at| now - at < DAY);
        self.calls_made.push(now);
        let most = self.policy.calls_per_day as usize;
        let made = self.calls_made.len();
        self.kept("I6", made <= most, || format!("{made} calls"));
    }
}
