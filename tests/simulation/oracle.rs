//! Were the promises kept? Judges what the relay says by what the model of WeChat knows: I3 and I4 over every reply, I2
//! over every failure, I10 over every calm. Calls are judged in `ledger`, reports in `desk`.

use token_relay::{
    issuer::{IssueError, Issued, Verdict},
    keeper::{
        machine::{Action, Event, ReportAnswer, ReportId},
        schedule::Policy,
    },
    store::Swap,
};

use super::{
    court::Court,
    desk::Desk,
    dice::{HOUR, MINUTE, SECOND},
    host::{AGED_BY, Disk, Host, Judgement, Kept},
    ledger::{Ledger, Plan},
    relay::{Offer, Relay},
    setup::{Setup, micros},
    wechat::{TokenId, WeChat, token_id, token_text},
};

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Oracle {
    court: Court,
    policy: Policy,
    window: i64,
    ledger: Ledger,
    desk: Desk,
    /// The greatest generation that was served (I4).
    served: u64,
    /// The credential that readers see.
    plan: Option<Plan>,
    /// D of the tokens that the relay was given, newest last.
    deadlines: Vec<(TokenId, i64)>,
    /// The newest token that the relay knows.
    pub held: Option<TokenId>,
    /// The generation that a probe refused, and whether a record that says so is durable.
    refused: Option<(u64, bool)>,
    refused_id: Option<TokenId>,
    /// The last written record holds what was learnt last.
    is_kept_current: bool,
    /// The step that is taken is about a call that failed.
    is_failing: bool,
    /// R, once it was shown, and of which generation and token.
    rolled: Option<(u64, TokenId, i64)>,
    /// This process judged its record by the wall clock.
    is_judged_by_wall: bool,
    /// This process read no credential of a known age.
    is_blind: bool,
    last_failure_waits: i64,
    spins: u32,
    calm_since: Option<i64>,
    pub calm_bound: i64,
    healed_at: Option<i64>,
}

impl Oracle {
    pub(crate) fn new(seed: u64, setup: &Setup) -> Self {
        let court = Court { seed };
        Self {
            court,
            policy: setup.policy,
            window: setup.window(),
            ledger: Ledger::new(court, setup),
            desk: Desk::new(court, setup),
            served: 0,
            plan: None,
            deadlines: Vec::new(),
            held: None,
            refused: None,
            refused_id: None,
            is_kept_current: true,
            is_failing: false,
            rolled: None,
            is_judged_by_wall: false,
            is_blind: false,
            last_failure_waits: 0,
            spins: 0,
            calm_since: None,
            calm_bound: 0,
            healed_at: None,
        }
    }

    /// I3 and I4. True if somebody outside made the reply wrong, which I3 excepts: then, and only then, the token would
    /// have worked had nobody but us called.
    pub(crate) fn reply(&mut self, at: i64, wechat: &mut WeChat, offer: Offer, seconds: u64) -> bool {
        let court = self.court;
        let until = at + i64::try_from(seconds).expect("a life") * SECOND;
        let token = &mut wechat.tokens[offer.id];
        if !token.is_beyond_proof {
            let dies_at = token.dies_by_us_at;
            court.kept(at, "I3", until <= dies_at, || {
                format!("token {} is promised for {seconds} s and dies {} µs too soon", offer.id, until - dies_at)
            });
        }
        if token.promised_until < until {
            (token.promised_until, token.promised_at) = (until, at);
        }
        let generation = offer.generation.0;
        let served = self.served;
        court.kept(at, "I4", served <= generation, || format!("generation {generation} is served after {served}"));
        self.served = generation;
        let is_refused = self.refused.is_some_and(|(refused, _)| refused == generation);
        court.kept(at, "I3", !is_refused, || format!("token {} is served after WeChat refused it", offer.id));
        until > token.dies_at && !token.is_beyond_proof
    }

    /// A call of ours reached WeChat and may have minted: every promise still open must hold.
    ///
    /// One kind is excepted: a token that could not be stored ("promised for O − r at most", §7) and whose process then
    /// crashed. The next process cannot know of it. Its first call leaves the token its overlap; a second one, which I8
    /// allows at once where no token lives, does not.
    ///
    /// Another: a token whose successor lives for less than O − r. When the successor has expired no token lives, I8 calls at
    /// once (R = min(D, …)), and what was promised of the one before the successor may not have run out.
    pub(crate) fn minted(&self, at: i64, wechat: &WeChat) {
        for (age, id) in wechat.lately_ours().enumerate() {
            let token = &wechat.tokens[id];
            if age == 2 && (token.mark.is_orphan || is_succeeded_by_a_brief_one(wechat, self.window)) {
                continue;
            }
            self.court.kept(at, "I3", token.is_beyond_proof || token.promised_until <= token.dies_by_us_at, || {
                format!(
                    "a call kills token {id} {} µs before what was promised of it at {}",
                    token.promised_until - token.dies_by_us_at,
                    super::record_of_run::clock(token.promised_at)
                )
            });
        }
    }

    /// A report or the relay's own probe showed that the current token is refused. I3 excepts what was promised of it, and
    /// I8 lets the relay rotate at once, which may cut short what is left of the token before it.
    pub(crate) fn verdict_told(&mut self, wechat: &mut WeChat) {
        if self.refused.is_some() {
            waive(wechat);
        }
    }

    pub(crate) fn life_begins(&mut self) {
        self.is_blind = false;
        self.plan = None;
    }

    /// The record was read, or could not be. With a lost or unreadable record, or one of unknown age, the design has the
    /// relay call at once ("due at once", §6), whatever an earlier process promised: I3 cannot hold over it. A wall clock
    /// that was set to something possible between two boots cannot be noticed at all: out of scope.
    pub(crate) fn loaded(
        &mut self,
        wechat: &mut WeChat,
        is_readable: bool,
        judgement: Judgement,
        kept_generation: u64,
    ) {
        self.is_judged_by_wall = judgement == Judgement::RightByWall;
        if is_readable && self.is_judged_by_wall {
            self.deadlines.iter_mut().for_each(|(_, deadline)| *deadline -= AGED_BY);
        }
        if !self.ledger.is_stored {
            // what its writer served last could not be stored: the record may be of an earlier generation
            self.served = self.served.min(kept_generation);
        }
        if is_readable && matches!(judgement, Judgement::Right | Judgement::RightByWall) {
            if let Some((_, is_durable)) = self.refused {
                // a refusal that was not written down is forgotten, and found out again
                self.refused = self.refused.filter(|_| is_durable);
            }
            return;
        }
        waive(wechat);
        self.ledger.record_is_lost();
        self.refused = None;
        if judgement == Judgement::Deceived {
            wechat.tokens.iter_mut().for_each(|token| token.is_beyond_proof = true);
            self.deadlines.clear();
            self.rolled = None;
        }
        self.is_blind = true;
        if !is_readable {
            // the generation is on the lost record only; it grows with the wall clock, if that was not set back
            self.served = 0;
        }
        self.held = None;
    }

    pub(crate) fn before_step(&mut self, at: i64, event: &Event) {
        self.desk.look(at);
        self.is_failing = matches!(event, Event::Reply(Err(_)));
        match event {
            Event::Reserved => self.ledger.reserved_at = at,
            Event::Report(id, generation) => self.desk.comes(at, *id, generation.0, &self.ledger),
            Event::Reply(reply) => self.replied(at, reply),
            Event::Probed(Verdict::Refused { .. }) => {
                self.refused = self.plan.map(|plan| (plan.offer.generation.0, false));
                self.refused_id = self.plan.map(|plan| plan.offer.id);
                self.ledger.calls_at_refusal = self.ledger.calls_made;
            }
            Event::Shutdown => self.desk.stop_asked(at),
            Event::Tick | Event::Hint | Event::Loaded(_) | Event::Stored(_) | Event::Probed(_) => {}
        }
    }

    fn replied(&mut self, at: i64, reply: &Result<Issued, IssueError>) {
        let began_at = self.ledger.began_at();
        self.ledger.replied(at, reply);
        self.is_kept_current = false;
        match reply {
            Ok(issued) => {
                let id = token_id(issued.token.expose());
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
                    token_relay::issuer::Remedy::Soon => 0,
                    token_relay::issuer::Remedy::Wait(wait) | token_relay::issuer::Remedy::Operator(wait) => {
                        micros(wait)
                    }
                };
            }
        }
    }

    /// I10: a machine that wants to be woken at once does something then.
    pub(crate) fn after_step(&mut self, at: i64, actions: &[Action]) {
        self.spins = if actions.len() > 1 { 0 } else { self.spins + 1 };
        self.court.kept(at, "I10", self.spins < 100_000, || "the machine spins".to_owned());
    }

    pub(crate) fn wakes(&mut self, at: i64, wake_at: i64) {
        self.spins = if wake_at > at { 0 } else { self.spins + 1 };
        self.court.kept(at, "I10", self.spins < 100, || "the machine spins".to_owned());
    }

    pub(crate) fn stored(&mut self, swap: &Swap, kept: Option<&Kept>) {
        self.ledger.is_stored = *swap == Swap::Won && kept.is_some();
        if *swap == Swap::Won && !self.ledger.is_calling() {
            self.is_kept_current = true;
            self.refused = self.refused.map(|(generation, _)| (generation, true));
        }
    }

    pub(crate) fn sends(&mut self, at: i64, is_forced: bool, wechat: &mut WeChat) {
        let is_refused = self.plan.is_none();
        if self.is_blind && !self.ledger.is_stored {
            // a process that could neither read nor write for a minute calls all the same (§7), and betrays a record that
            // can be read again later: what that record says of its tokens is beyond proof
            wechat.tokens.iter_mut().rev().take(16).for_each(|token| token.is_beyond_proof = true);
        }
        if let Some(id) =
            self.refused_id.filter(|_| !self.ledger.is_stored && self.refused.is_some_and(|(_, kept)| !kept))
        {
            // neither the refusal nor the call that follows it could be stored (§7: "refreshes on from memory"): if the
            // process crashes, its record is of a token that it had given up
            wechat.tokens[id].is_beyond_proof = true;
        }
        self.ledger.sends(at, is_forced, self.plan, is_refused);
    }

    /// A probe costs a debit, and has a reason: a report, a promise that has run out, or a clock that was set.
    pub(crate) fn probes(&mut self, at: i64, host: &Host, relay: &Relay) {
        self.ledger.probes(at);
        let is_promised = relay.offer.is_some_and(|offer| {
            offer.promise.verified_until.is_none() && offer.promise.seconds_left(host.boot(at)) > 0
        });
        let is_wanted = self.desk.is_anybody_waiting() || host.is_in_doubt || !is_promised;
        self.court.kept(at, "I5", is_wanted, || "a probe that nobody asked for".to_owned());
    }

    pub(crate) fn answered(&mut self, at: i64, id: ReportId, answer: &ReportAnswer, offer: Option<Offer>) {
        self.desk.answered(at, id, answer, offer, &self.ledger);
    }

    pub(crate) fn next_report(&mut self) -> u64 {
        self.desk.next_report()
    }

    pub(crate) fn published(&mut self, at: i64, offer: Option<Offer>, rotation_at: Option<i64>) {
        if let Some(plan) = self.plan.filter(|_| self.is_failing) {
            let stays = offer.is_some_and(|offer| offer.generation == plan.offer.generation);
            self.court.kept(at, "I2", stays, || format!("a failed call takes token {} away", plan.offer.id));
        }
        self.held = self.held.or(offer.map(|offer| offer.id));
        let shown = offer.zip(rotation_at);
        if let Some((offer, rotation_at)) = shown {
            self.is_rolled_once(at, offer, rotation_at);
        }
        self.plan = shown.map(|(offer, rotation_at)| {
            let deadline = self.deadlines.iter().rev().find(|(id, _)| *id == offer.id);
            Plan { offer, rotation_at, deadline: deadline.map_or(i64::MIN, |(_, deadline)| *deadline) }
        });
    }

    /// I7: R is rolled once. A reboot moves it by what a right wall clock may tell wrong, and the tolerance for it.
    fn is_rolled_once(&mut self, at: i64, offer: Offer, rotation_at: i64) {
        let (generation, id) = (offer.generation.0, offer.id);
        if let Some((_, _, before)) = self.rolled.filter(|(rolled, of, _)| (*rolled, *of) == (generation, id)) {
            let tolerance = if self.is_judged_by_wall { AGED_BY } else { 0 };
            let moved = rotation_at - before;
            self.court.kept(at, "I7", moved.abs() <= tolerance, || format!("R of token {id} moved by {moved} µs"));
        }
        self.rolled = Some((generation, id, rotation_at));
    }

    pub(crate) fn frozen(&mut self, at: i64, thaw: i64) {
        self.desk.frozen(at, thaw);
    }

    pub(crate) fn life_ends(&mut self, wechat: &mut WeChat) {
        if let Some(held) = self.held.filter(|_| !self.is_kept_current && !self.ledger.is_stored) {
            wechat.tokens[held].mark.is_orphan = true;
        }
        // what the next process knows is what it shows first
        self.held = None;
        self.is_kept_current = true;
        self.ledger.life_ends();
        self.desk.life_ends();
        self.plan = None;
    }

    /// I13: a relay that was asked to stop has stored what it learnt, if the store took it.
    pub(crate) fn stops(&mut self, at: i64, disk: &Disk) {
        self.desk.stops(at);
        if let Some(held) = self.held.filter(|_| self.ledger.is_stored) {
            let text = format!("{}\"", token_text(held));
            let kept = disk.kept.as_ref().map(|kept| String::from_utf8_lossy(kept.bytes.expose()).contains(&text));
            self.court.kept(at, "I13", kept == Some(true), || format!("token {held} is lost in a shutdown"));
        }
    }

    pub(crate) fn calm_begins(&mut self, at: i64, relay: Option<&Relay>) {
        let budget = relay.and_then(|relay| relay.outlook.as_ref()).map(|outlook| outlook.budget);
        let is_spent = budget.is_none_or(|left| left.calls == 0 || left.forced == 0 || left.probes == 0);
        let thrift = if self.ledger.is_half_spent() { micros(self.policy.thrift()) } else { 0 };
        self.calm_bound = 15 * MINUTE + self.last_failure_waits + thrift + if is_spent { 25 * HOUR } else { 0 };
        self.calm_since = Some(at);
        self.healed_at = None;
    }

    pub(crate) fn seen_by_clients(&mut self, at: i64, is_good: bool) {
        if is_good && self.calm_since.is_some() {
            self.healed_at.get_or_insert(at);
        }
    }

    pub(crate) fn calm_ends(&mut self, at: i64, is_starved: bool) {
        let Some(since) = self.calm_since.take() else { return };
        let bound = self.calm_bound;
        let is_healed = self.healed_at.is_some_and(|healed| healed - since <= bound);
        self.court.kept(at, "I10", is_healed || is_starved, || {
            format!("{} minutes after the last fault no living token is served", bound / MINUTE)
        });
    }
}

fn is_succeeded_by_a_brief_one(wechat: &WeChat, window: i64) -> bool {
    let successor = wechat.lately_ours().nth(1).map(|id| &wechat.tokens[id]);
    successor.is_some_and(|token| token.expires_at - token.born_at < window)
}

fn waive(wechat: &mut WeChat) {
    wechat.tokens.iter_mut().rev().take(16).for_each(|token| token.promised_until = i64::MIN);
}
