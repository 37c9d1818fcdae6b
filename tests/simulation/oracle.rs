//! Were the promises kept? What is known here of one relay, and the questions that it answers alone: I2 over every failure, I4
//! over every reply, I7, I10 and I13. What is promised is judged in `excuses`, calls in `call_checks`, reports in
//! `report_checks`, healing and succession in `calm`.

use token_relay::{
    issuer::{IssueError, Issued, Remedy},
    keeper::machine::{Action, Note},
};

use super::{
    breach::Breach,
    call_checks::Plan,
    replica::Offer,
    setup::{Setup, micros},
    store::{AGED_BY, Store},
    wechat::{TokenId, WeChat, token_id, token_text},
};

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Oracle {
    breach: Breach,
    is_shared: bool,
    /// The greatest generation that was served (I4): by this process, and by a relay alone ever.
    pub served: u64,
    /// The credential that readers see.
    pub plan: Option<Plan>,
    /// D of the tokens that the relay was given, newest last.
    deadlines: Vec<(TokenId, i64)>,
    /// The newest token that the relay knows.
    pub held: Option<TokenId>,
    /// The generation that a probe refused, its token, and whether a record that says so is durable.
    refused: Option<(u64, TokenId, bool)>,
    /// The last written record holds what was learnt last.
    is_kept_current: bool,
    /// The token before the held one, if that was never stored either.
    unstored_before: Option<TokenId>,
    /// The step that is taken is about a call that failed.
    pub is_failing: bool,
    /// R, once it was shown, and of which generation and token.
    rolled: Option<(u64, TokenId, i64)>,
    /// The record was judged by the wall clock since R was last shown: by this process, or by one before it that showed nothing.
    is_judged_by_wall: bool,
    /// R was judged by a wall clock, and is not written down by this boot's clock yet: the next process may judge it anew.
    is_guessed: bool,
    /// This process read no credential of a known age.
    pub is_blind: bool,
    /// The wait that the last failure demands.
    pub last_failure_waits: i64,
    spins: u32,
}

impl Oracle {
    pub(crate) fn new(breach: Breach, setup: &Setup) -> Self {
        Self {
            breach,
            is_shared: setup.is_shared,
            served: 0,
            plan: None,
            deadlines: Vec::new(),
            held: None,
            refused: None,
            is_kept_current: true,
            unstored_before: None,
            is_failing: false,
            rolled: None,
            is_judged_by_wall: false,
            is_guessed: false,
            is_blind: false,
            last_failure_waits: 0,
            spins: 0,
        }
    }

    /// Clients of several relays ask any of them, so each answers for itself.
    pub(crate) fn process_begins(&mut self) {
        if self.is_shared {
            (self.served, self.refused) = (0, None);
        }
        self.plan = None;
    }

    pub(crate) fn life_begins(&mut self) {
        self.is_blind = false;
        if self.is_shared {
            self.forget_unstored_refusal();
        }
    }

    pub(crate) fn serves(&mut self, at: i64, offer: Offer) {
        let (generation, served) = (offer.generation.0, self.served);
        self.breach
            .unless(served <= generation, at, "I4", || format!("generation {generation} is served after {served}"));
        self.served = generation;
        let is_refused = self.refused.is_some_and(|(refused, id, _)| (refused, id) == (generation, offer.id));
        self.breach.unless(!is_refused, at, "I3", || format!("token {} is served after WeChat refused it", offer.id));
    }

    /// The record was read: by the wall clock, which made what it tells of older by so much, or not.
    pub(crate) fn record_read(&mut self, is_judged_by_wall: bool, aged_by: i64) {
        self.is_judged_by_wall |= is_judged_by_wall;
        if std::mem::replace(&mut self.is_guessed, is_judged_by_wall) {
            self.rolled = None;
        }
        self.deadlines.iter_mut().for_each(|(_, deadline)| *deadline -= aged_by);
    }

    /// A refusal that was not written down is forgotten, and found out again.
    pub(crate) fn forget_unstored_refusal(&mut self) {
        self.refused = self.refused.filter(|&(_, _, is_durable)| is_durable);
    }

    pub(crate) fn record_is_lost(&mut self, is_readable: bool, is_deceived: bool) {
        self.refused = None;
        if is_deceived {
            self.deadlines.clear();
            (self.rolled, self.is_guessed) = (None, true);
        }
        self.is_blind = true;
        if !is_readable {
            // the generation is on the lost record only; it grows with the wall clock, if that was not set back
            self.served = 0;
        }
        self.held = None;
    }

    pub(crate) fn refused(&mut self, probed: TokenId) {
        let shown = self.plan.filter(|plan| plan.offer.id == probed || !self.is_shared);
        self.refused = shown.map(|plan| (plan.offer.generation.0, plan.offer.id, false));
    }

    pub(crate) fn has_refused(&self) -> bool {
        self.refused.is_some()
    }

    pub(crate) fn unstored_refusal(&self) -> Option<TokenId> {
        self.refused.filter(|&(_, _, is_durable)| !is_durable).map(|(_, id, _)| id)
    }

    pub(crate) fn replied(&mut self, began_at: i64, reply: &Result<Issued, IssueError>) {
        let held_unstored = self.held.filter(|_| !self.is_kept_current);
        self.is_kept_current = false;
        match reply {
            Ok(issued) => {
                let id = token_id(issued.token.expose());
                self.unstored_before = held_unstored.filter(|held| *held != id);
                let deadline = began_at + micros(issued.life);
                match self.deadlines.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, known)) => *known = deadline.min(*known),
                    None => self.deadlines.push((id, deadline)),
                }
                if self.deadlines.len() > 8 {
                    self.deadlines.remove(0);
                }
                self.held = Some(id);
                self.last_failure_waits = 0;
            }
            Err(error) => {
                self.last_failure_waits = match token_relay::issuer::wechat::ERRORS.remedy(error) {
                    Remedy::Soon => 0,
                    Remedy::Wait(wait) | Remedy::Operator(wait) => micros(wait),
                };
            }
        }
    }

    /// I10: a machine that wants to be woken at once does something then.
    pub(crate) fn after_step(&mut self, at: i64, actions: &[Action]) {
        self.spins = if actions.len() > 1 { 0 } else { self.spins + 1 };
        self.breach.unless(self.spins < 100_000, at, "I10", || "the machine spins".to_owned());
        if actions.iter().any(|action| matches!(action, Action::Note(Note::RefusedOnce))) {
            self.refused = None; // it is served on until a second probe decides
        }
    }

    pub(crate) fn wakes(&mut self, at: i64, wake_at: i64) {
        self.spins = if wake_at > at { 0 } else { self.spins + 1 };
        self.breach.unless(self.spins < 100, at, "I10", || "the machine spins".to_owned());
    }

    /// A write was answered: whether it holds all that was learnt.
    pub(crate) fn stored(&mut self, holds_all: bool) {
        if holds_all {
            self.is_kept_current = true;
            self.is_guessed = false;
            self.unstored_before = None;
            self.refused = self.refused.map(|(generation, id, _)| (generation, id, true));
        }
    }

    pub(crate) fn published(&mut self, at: i64, offer: Option<Offer>, rotation_at: Option<i64>, is_revoking: bool) {
        if let Some(plan) = self.plan.filter(|_| self.is_failing) {
            // that another relay has rotated may be learnt in the same step
            let stays = offer.is_some_and(|offer| offer.generation >= plan.offer.generation);
            self.breach.unless(stays, at, "I2", || format!("a failed call takes token {} away", plan.offer.id));
        }
        self.held = self.held.or(offer.map(|offer| offer.id));
        let shown = offer.zip(rotation_at);
        if is_revoking {
            self.rolled = None; // a revocation brings R forward
        } else if let Some((offer, rotation_at)) = shown.filter(|_| !self.is_shared) {
            self.is_rolled_once(at, offer, rotation_at);
        }
        self.plan = shown.map(|(offer, rotation_at)| {
            // what is being revoked may be replaced at any moment
            let deadline = self.deadlines.iter().rev().find(|(id, _)| *id == offer.id && !is_revoking);
            Plan { offer, rotation_at, deadline: deadline.map_or(i64::MIN, |(_, deadline)| *deadline) }
        });
    }

    /// I7: R is rolled once. A reboot moves it by what a right wall clock may tell wrong, and the tolerance for it.
    fn is_rolled_once(&mut self, at: i64, offer: Offer, rotation_at: i64) {
        let (generation, id) = (offer.generation.0, offer.id);
        let tolerance = if std::mem::take(&mut self.is_judged_by_wall) { AGED_BY } else { 0 };
        if let Some((_, _, before)) = self.rolled.filter(|(rolled, of, _)| (*rolled, *of) == (generation, id)) {
            let moved = rotation_at - before;
            self.breach.unless(moved.abs() <= tolerance, at, "I7", || format!("R of token {id} moved by {moved} µs"));
        }
        self.rolled = Some((generation, id, rotation_at));
    }

    pub(crate) fn life_ends(&mut self, wechat: &mut WeChat, is_stored: bool) {
        if let Some(held) = self.held.filter(|_| !self.is_kept_current && !is_stored) {
            wechat.tokens[held].is_orphan = true;
            if let Some(before) = self.unstored_before {
                wechat.tokens[before].is_orphan = true;
            }
            // R was not stored either: a sticky issuer gives the same token again, and then it is rolled anew
            self.rolled = None;
        }
        // what the next process knows is what it shows first
        self.held = None;
        self.is_kept_current = true;
        self.unstored_before = None;
        self.plan = None;
    }

    /// I13: a relay that was asked to stop has stored what it learnt, if the store took it.
    pub(crate) fn stops(&self, at: i64, store: &Store, is_stored: bool) {
        if let Some(held) = self.held.filter(|_| is_stored) {
            let is_kept = store.contains(&format!("{}\"", token_text(held)));
            self.breach.unless(is_kept, at, "I13", || format!("token {held} is lost in a shutdown"));
        }
    }
}
