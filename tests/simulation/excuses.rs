//! Up to when must each promise hold, and what is excused? Every excuse of the simulation stands here, with the reason why no
//! relay could have kept the promise.
//!
//! 1. **An outsider's doing.** Promises are held against the death that our own calls bring (`dies_by_us_at`); that somebody
//!    else rotates or revokes is what I3 itself excepts. With a sticky issuer the model marks the tokens before one that an
//!    outsider minted, or that he made WeChat forget: without him, our next call would have minted nothing.
//! 2. **A refused token.** A probe was refused, rightly or not. I3 excepts what was promised of that token, and I8 lets the
//!    relay rotate at once, which may cut short what is left of the one before it. A refusal that is
//!    not stored is forgotten with its keeper, and found out again.
//! 3. **An orphan.** A token, and perhaps the one before it, that could not be stored ("promised for O − r at most") and whose process then crashed. The next
//!    process cannot know of it. Its first call leaves the token its overlap; a second one, which I8 allows at once where no
//!    token lives, does not. Nor can it know the token's R (I7), should a sticky issuer give the same one again.
//! 4. **A brief successor.** A token whose successor lives for less than O − r. When the successor has expired no token lives,
//!    I8 calls at once (R = min(D, …)), and what was promised of the one before the successor may not have run out.
//! 5. **A lost record.** With a record that is gone, unreadable, or of unknown age, the design has the relay call at once,
//!    whatever an earlier process promised. A wall clock that was set between two boots to something possible cannot be noticed.
//! 6. **A process that can neither read nor write** for a minute calls all the same, and betrays a record that can be read
//!    again later. The same where a refusal and the call that follows it could not be stored: where the process is lost with
//!    that call under way, the next one knows nothing of it.
//! 7. **A double stroke.** An orphan call (of a relay frozen between its last look at the lease and the first byte, which I1 allows
//!    as the one call more) within an overlap after another relay's own rotation, or before it, where that relay had not heard of it
//!    yet when it called. WeChat keeps the two newest tokens only, so the one before both dies at once, and no promise but none at
//!    all could have known. Whoever has heard of it calls no sooner than what was promised until then allows.
//! 8. **A lost orphan.** An orphan call of which the store tells never, or later than r after it, because its relay was frozen, killed
//!    or cut off once more: nobody can know of it, and O − r from more than r after it reaches past the token's end. What is promised
//!    3 s after the store tells of it counts again.
//! 9. **One taken for dead.** An orphan call of a relay that was frozen for more than an hour: the others have stopped to reckon
//!    with it, or every lost relay would shorten `expires_in` for ever.
//! 10. **Nobody who knows.** A relay that takes the record by wall clocks that are wrong, because its writer is gone and no relay
//!     that can be reached knows that one's clock. What was spent of the budgets may seem to be of another day.
//! 11. **A revocation.** An operator kills what was promised: every token that there is when it is stored, for until then only
//!     one relay has heard of it, and what a relay fetches later that has not heard of it yet. What is fetched by one that has
//!     must live as promised.
//! 12. **One that cannot hear.** A relay that was cut off from the store, or frozen, when the store began to tell of an orphan call,
//!     and had not polled it for 3 s more, or was frozen before it could take that in: while an orphan is awaited it promises O − r from
//!     any moment, until it has heard of it (and 3 s more, until that is stored). To promise nothing so long after its last contact
//!     would answer 503 where a relay crashes in mid-call and the store is lost for a while, which is likelier.

use token_relay::{clock::BootId, issuer::RotationMode};

use super::{
    replica::{Offer, Replica},
    rng::SECOND,
    store::{AGED_BY, Judgement, RIGHT_WITHIN_MS},
    tally::clock,
    wechat::WeChat,
    world::World,
};

/// So many of the newest tokens count: more than are minted while the oldest of them lives, though outsiders mint 17 in a storm.
const LATELY: usize = 64;

impl World {
    /// I3 and I4 of one reply.
    pub(crate) fn promised(&mut self, who: usize, at: i64, offer: Offer, seconds: u64) {
        let until = at + i64::try_from(seconds).expect("a life") * SECOND;
        let is_unheard_orphan = self.knows_of_no_orphan(who, offer.id, at, seconds);
        let token = &mut self.wechat.tokens[offer.id];
        let is_excused = token.is_beyond_proof || is_unheard_orphan;
        self.breach.unless(is_excused || until <= token.dies_by_us_at, at, "I3", || {
            let too_soon = until - token.dies_by_us_at;
            format!("relay {who} promises token {} for {seconds} s, and it dies {too_soon} µs too soon", offer.id)
        });
        if token.promised_until < until && !is_unheard_orphan {
            (token.promised_until, token.promised_at, token.promised_by) = (until, at, who);
        }
        self.tally.excused += u64::from(token.dies_at < until);
        self.oracles[who].serves(at, offer);
        self.follows(who, at, offer.generation.0);
    }

    /// A call of ours, sent at `sent_at`, reached WeChat and may have minted: every promise still open must hold.
    pub(crate) fn minted(&mut self, who: usize, sent_at: i64) {
        let newest: Vec<_> = self.wechat.lately_ours().collect();
        let orphan = |age: usize| newest.get(age).and_then(|id| self.wechat.tokens[*id].orphan);
        let is_double = orphan(0).is_some() || orphan(1).is_some_and(|orphan| orphan.is_news_to_caller(who, sent_at));
        let is_brief = !self.setup.is_shared && self.is_succeeded_by_a_brief_one();
        for (age, id) in newest.into_iter().enumerate() {
            if age == 2 && is_double {
                self.wechat.tokens[id].is_beyond_proof = true;
                self.tally.count("orphan call within an overlap of a rotation");
            }
            let token = &self.wechat.tokens[id];
            let is_excused = token.is_beyond_proof || (age == 2 && (token.is_orphan || is_brief));
            self.breach.unless(is_excused || token.promised_until <= token.dies_by_us_at, self.now, "I3", || {
                format!(
                    "a call kills token {id} {} µs before what relay {} promised of it at {}",
                    token.promised_until - token.dies_by_us_at,
                    token.promised_by,
                    clock(token.promised_at)
                )
            });
        }
    }

    fn is_succeeded_by_a_brief_one(&self) -> bool {
        let successor = self.wechat.lately_ours().nth(1).map(|id| &self.wechat.tokens[id]);
        successor.is_some_and(|token| token.expires_at - token.born_at < self.setup.window())
    }

    /// A probe was answered.
    pub(crate) fn verdict_known(&mut self, who: usize) {
        if !self.oracles[who].has_refused() {
            return;
        }
        if self.setup.is_shared {
            // the others go on with it until they learn of it
            self.wechat.is_refused(self.replicas[who].probed);
        } else {
            self.wechat.waive();
        }
    }

    /// The record of a relay alone was read, and its age can be judged so; or it was given up.
    pub(crate) fn record_read(&mut self, who: usize, judgement: Option<Judgement>) {
        let is_readable = judgement.is_some() && self.store.is_readable();
        let generation = judgement.and_then(|_| self.store.number("generation")).unwrap_or(0);
        let judgement = judgement.unwrap_or(Judgement::Right);
        if !is_readable {
            self.lost_before = self.lives;
        }
        let oracle = &mut self.oracles[who];
        let is_aged = is_readable && judgement == Judgement::RightByWall;
        oracle.record_read(judgement == Judgement::RightByWall, if is_aged { AGED_BY } else { 0 });
        if !self.calls.is_stored {
            // what its writer served last could not be stored: the record may be of an earlier generation
            oracle.served = oracle.served.min(generation);
        }
        if is_readable && matches!(judgement, Judgement::Right | Judgement::RightByWall) {
            return oracle.forget_unstored_refusal();
        }
        self.wechat.waive();
        self.calls.record_is_lost();
        oracle.record_is_lost(is_readable, judgement == Judgement::Deceived);
        if judgement == Judgement::Deceived {
            self.wechat.tokens.iter_mut().for_each(|token| token.is_beyond_proof = true);
        }
    }

    /// A relay takes a shared record by the wall clocks, and those are wrong. Where a relay that can be reached knows the clock of
    /// the record's writer, that is no excuse.
    pub(crate) fn aged_by_wall(&mut self, who: usize) {
        let at = self.now;
        let Some(kept) = &self.store.kept else { return };
        let told_ms = self.replicas[who].host.wall_ms(at) - kept.written_wall_ms;
        let is_right = (told_ms - (at - kept.written_at) / 1000).abs() <= RIGHT_WITHIN_MS;
        let writer = BootId::from_text(&kept.boot_name);
        let is_reached = |replica: &Replica| {
            let since = replica.cut_until().max(replica.started_at).max(replica.frozen_until);
            let answered = replica.group.peers().and_then(|peers| peers.contact_at());
            let is_answered = answered.is_some_and(|contact| at < replica.host.at(contact) + 2 * SECOND);
            replica.machine.is_some() && since + 10 * SECOND < at && is_answered
        };
        let knows = |replica: &Replica| {
            let peers = replica.group.peers().filter(|_| is_reached(replica));
            peers.is_some_and(|peers| peers.offset(&writer, replica.host.boot(at)).is_some())
        };
        let is_known = (0..self.setup.replicas).any(|other| other != who && knows(&self.replicas[other]));
        let was_quiet = self.troubles.store(at).is_none() && self.replicas[who].cut_until() + 10 * SECOND < at;
        self.trace.line(at, format_args!("[{who}]   aged by the wall clock, right: {is_right}, known: {is_known}"));
        let is_owed = is_right || (is_known && was_quiet);
        if !is_owed {
            self.tally.count("record aged by a wrong wall clock");
            self.wechat.tokens.iter_mut().for_each(|token| token.is_beyond_proof = true);
            self.calls.day_is_misjudged();
        }
    }

    /// A relay calls that was frozen for so long that the others have stopped to reckon with it.
    pub(crate) fn orphan_of_one_taken_for_dead(&mut self) {
        self.tally.count("orphan call after an hour");
        self.wechat.tokens.iter_mut().rev().take(3).for_each(|token| token.is_beyond_proof = true);
    }

    /// An operator has revoked all tokens that there are.
    pub(crate) fn operator_revokes(&mut self) {
        self.wechat.tokens.iter_mut().rev().take(LATELY).for_each(|token| token.is_beyond_proof = true);
    }

    /// A call has minted of a relay that does not know, or not yet, what the store says: that an operator has revoked all.
    pub(crate) fn minted_by(&mut self, who: usize) {
        if self.is_revocation_stored() && !self.replicas[who].is_revoking() {
            self.operator_revokes();
        }
    }

    pub(crate) fn is_revocation_stored(&self) -> bool {
        ["1", "2"].iter().any(|left| self.store.contains(&format!("\"rotations_left\":{left}")))
    }

    /// A call mints that its process could not record, and that nobody knows of.
    pub(crate) fn forgotten_call(&mut self) {
        self.tally.count("unrecorded call of a lost process");
        for id in self.wechat.lately_ours().take(2).collect::<Vec<_>>() {
            self.wechat.tokens[id].is_beyond_proof = true;
        }
    }

    /// A relay alone calls.
    pub(crate) fn unstored_call(&mut self, who: usize) {
        let oracle = &self.oracles[who];
        if self.calls.is_stored {
            return;
        }
        if oracle.is_blind {
            self.wechat.tokens.iter_mut().rev().take(LATELY).for_each(|token| token.is_beyond_proof = true);
        }
        if let Some(id) = oracle.unstored_refusal() {
            self.wechat.tokens[id].is_beyond_proof = true;
        }
    }
}

impl WeChat {
    /// What was promised until now does not count.
    fn waive(&mut self) {
        self.tokens.iter_mut().rev().take(LATELY).for_each(|token| token.promised_until = i64::MIN);
    }

    fn is_refused(&mut self, refused: usize) {
        let newest = self.tokens.len().saturating_sub(2);
        for (id, token) in self.tokens.iter_mut().enumerate() {
            token.is_beyond_proof |= id == refused || newest <= id;
        }
        // the outsider's token stands between two of ours
        for id in self.ours.iter().rev().take(2) {
            self.tokens[*id].is_beyond_proof = true;
        }
    }

    /// WeChat drops its newest token. A sticky issuer may go on handing it out all the same.
    pub(crate) fn revoke(&mut self, at: i64, is_forgotten: bool) {
        if let Some(newest) = self.tokens.last_mut() {
            newest.dies_at = newest.dies_at.min(at);
            if is_forgotten {
                newest.expires_at = newest.expires_at.min(at);
            }
        }
        if self.rotation == RotationMode::Sticky && is_forgotten {
            // without it, the next call would not have minted
            self.outsider_was_first();
        }
    }

    pub(crate) fn outsider_was_first(&mut self) {
        for id in self.ours.iter().rev().take(3) {
            self.tokens[*id].is_beyond_proof = true;
        }
    }
}
