//! When the storm is over: does everything heal, and with several relays, how long does a succession take?

use token_relay::{issuer::RotationMode, keeper::machine::Event};

use super::{
    fault_plan::Troubles,
    oracle::Oracle,
    replica::Replica,
    rng::{HOUR, MINUTE, SECOND},
    setup::micros,
    wechat_link::CALL_LIMIT,
    world::{What, World},
};

#[derive(Default)]
pub(crate) struct Calm {
    /// With a relay alone: since when nothing goes wrong, by when that must have healed, and when it had.
    since: Option<i64>,
    bound: i64,
    healed_at: Option<i64>,
    /// With several: the storm is over, and its bound has passed.
    is_healed: bool,
    is_revoked: bool,
    /// The newest generation that anybody serves, and since when.
    newest: Option<(u64, i64)>,
    /// When the store's record was last seen with unknown calls.
    unknown_at: i64,
    /// The trial that is on, what it does to the holder, who that was, and since when.
    trial: &'static str,
    holder: Option<usize>,
    begun_at: i64,
    probes: u64,
    calls: u64,
}

/// After an unknown call or a late token, all is settled after an overlap and a call (I8).
const HEAL_LIMIT: i64 = 11 * MINUTE;

impl Calm {
    pub(crate) fn seen_by_clients(&mut self, at: i64, is_good: bool) {
        if is_good && self.since.is_some() {
            self.healed_at.get_or_insert(at);
        }
    }
}

impl World {
    pub(crate) fn storm_ends(&mut self) {
        self.wechat.has_odd_lives = false;
        if !self.setup.is_shared {
            return self.calm_begins();
        }
        self.trace.line(self.now, format_args!("--- the storm ends"));
        self.read_all();
        self.is_storm = false;
        self.troubles = Troubles::none(&self.setup);
        if !self.store.is_readable() {
            self.store.place(None); // an operator clears what no relay may touch
        }
        for who in 0..self.setup.replicas {
            let replica = &mut self.replicas[who];
            replica.frozen_until = replica.frozen_until.min(self.now);
            (replica.cut_in_until, replica.cut_out_until, replica.minority_until) = (0, 0, 0);
            (replica.kill_in, replica.freeze_in, replica.freeze_before_send) = (None, None, false);
            (replica.kills_to_come, replica.no_egress_until) = (0, 0);
            self.push(self.now + SECOND, What::Start(who));
        }
        self.push(self.now + HEAL_LIMIT, What::Judge(0));
        // one relay has no successor
        for number in if self.setup.replicas > 1 { 1..=5 } else { 5..=5 } {
            let minutes = 4 * i64::try_from(number).expect("small");
            self.push(self.now + HEAL_LIMIT + minutes * MINUTE, What::Trial(number));
        }
    }

    fn calm_begins(&mut self) {
        let thaw = self.replicas[0].frozen_until;
        if self.now < thaw && self.replicas[0].is_up {
            return self.push(thaw, What::StormEnds);
        }
        if self.calls.is_calling() {
            // it may still be refused, and earn an hour's wait
            return self.push(self.now + CALL_LIMIT, What::StormEnds);
        }
        self.trace.line(self.now, format_args!("--- the storm ends"));
        self.is_storm = false;
        self.troubles = Troubles::none(&self.setup);
        let replica = &mut self.replicas[0];
        (replica.kill_in, replica.freeze_in, replica.freeze_before_send) = (None, None, false);
        replica.kills_to_come = 0;
        self.wechat.calls_today = 0;
        self.push(self.now + SECOND, What::Start(0));
        let budget = self.replicas[0].status.as_ref().map(|status| status.budget);
        let is_spent = budget.is_none_or(|left| left.calls == 0 || left.forced == 0 || left.probes == 0);
        // where a record's age was misjudged, the relay counts more than `calls` dares to
        let half = self.setup.policy.calls_per_day / 2;
        let is_half_spent = self.calls.is_half_spent() || budget.is_none_or(|left| left.calls <= half);
        // a pause that was earned while they were is waited out, though fewer are spent by now
        let replica = &self.replicas[0];
        let next = replica.status.as_ref().and_then(|status| status.next_attempt_at);
        let is_pausing = next.is_some_and(|at| replica.host.at(at) > self.now + 15 * MINUTE);
        let thrift = if is_half_spent || is_pausing { micros(self.setup.policy.thrift()) } else { 0 };
        let waits: i64 = self.oracles.iter().map(|oracle: &Oracle| oracle.last_failure_waits).sum();
        self.calm.bound = 15 * MINUTE + waits + thrift + if is_spent { 25 * HOUR } else { 0 };
        (self.calm.since, self.calm.healed_at) = (Some(self.now), None);
        self.clients_look();
        self.push(self.now + self.calm.bound + HOUR, What::CalmEnds);
    }

    /// I10, and the next storm.
    pub(crate) fn calm_ends(&mut self) {
        let Some(since) = self.calm.since.take() else { return };
        let bound = self.calm.bound;
        let is_healed = self.calm.healed_at.is_some_and(|healed| healed - since <= bound);
        self.breach.unless(is_healed || self.setup.is_starved, self.now, "I10", || {
            format!("{} minutes after the last fault no living token is served", bound / MINUTE)
        });
        self.trace.line(self.now, format_args!("--- a storm begins"));
        self.is_storm = true;
        self.push(self.now + self.setup.storm, What::StormEnds);
        self.push(self.now, What::PlanFaults);
    }

    /// A relay has shown something: which generation must the others serve by now (I4)?
    pub(crate) fn followed(&mut self, who: usize) {
        let replica = &self.replicas[who];
        // nobody can follow a relay that is cut off
        let Some(offer) = replica.offer.filter(|_| replica.cut_until() <= self.now) else { return };
        if self.calm.newest.is_none_or(|(newest, _)| newest < offer.generation.0) {
            self.calm.newest = Some((offer.generation.0, self.now));
        }
    }

    pub(crate) fn follows(&self, who: usize, at: i64, generation: u64) {
        let Some((newest, since)) = self.calm.newest.filter(|_| self.calm.is_healed) else { return };
        let replica = &self.replicas[who];
        // a poll that was under way when a cut ends is waited for
        let cut_until = if replica.cut_until() > 0 { replica.cut_until() + SECOND / 2 } else { 0 };
        let reachable = cut_until.max(replica.frozen_until).max(replica.started_at);
        let is_late = generation < newest && since.max(reachable).max(replica.busy_until) + 2 * SECOND < at;
        self.breach.unless(!is_late, at, "I4", || format!("relay {who} does not follow within 2 s"));
    }

    /// I11: the readers of a relay get nothing since `from`, and the newest token works.
    pub(crate) fn unserved(&mut self, who: usize, from: i64, works: bool) {
        let to = self.now;
        let replica = &mut self.replicas[who];
        let since = *replica.unserved_since.get_or_insert(from);
        if !self.calm.is_healed {
            return;
        }
        let settled = replica.started_at.max(replica.frozen_until).max(replica.cut_until()) + 8 * SECOND;
        // N may run out before the call that is due (I8), and by what relays know of each other's moments sooner at one than
        // at another; several unknown calls make every probe meaningless for longer
        if self.store.contains("{\"unknown\":{\"ended\"") || self.store.contains("{\"late\":{") {
            self.calm.unknown_at = to;
        }
        let gap = if to < self.calm.unknown_at + 10 * SECOND { 180 * SECOND } else { 60 * SECOND };
        let is_owed = !self.calm.is_revoked && settled.max(since) + gap < to && works;
        self.breach.unless(!is_owed, to, "I11", || format!("relay {who} serves nothing"));
    }

    pub(crate) fn begin_trial(&mut self, number: usize) {
        self.read_all();
        let rotated_at = self.calm.newest.map_or(0, |(_, since)| since);
        if number >= 5 && self.now < rotated_at + 35 * SECOND {
            // the cool-down of reports
            return self.push(rotated_at + 36 * SECOND, What::Trial(number));
        }
        let plan = |replica: &super::replica::Replica| Some(replica.host.at(replica.status.as_ref()?.rotation_at?));
        let planned_at = self.replicas.iter().filter_map(plan).min().unwrap_or(0);
        if number >= 5 && planned_at < self.now + 45 * SECOND {
            // a planned rotation would come in between
            return self.push(self.now + 10 * SECOND, What::Trial(number));
        }
        if number >= 5 && self.replicas.iter().any(Replica::is_revoking) {
            return self.push(self.now + 10 * SECOND, What::Trial(number));
        }
        if number >= 5 && self.calls.was_probed_within(self.now, micros(self.setup.policy.report_cooldown)) {
            // a regular probe has just found it good
            return self.push(self.now + 10 * SECOND, What::Trial(number));
        }
        let holder = self.holder();
        self.breach.unless(holder.is_some(), self.now, "I10", || "nobody holds the lease".to_owned());
        let Some(holder) = holder else { return };
        (self.calm.holder, self.calm.begun_at) = (Some(holder), self.now);
        (self.calm.probes, self.calm.calls) = (self.calls.probes_made, self.calls.calls_made);
        self.trace.line(self.now, format_args!("--- trial {number}, the holder is {holder}"));
        self.calm.trial = ["", "killed", "frozen", "cut off", "stopped", "reports of a good token", "revoked"][number];
        match number {
            1 => self.kill(holder),
            2 => {
                self.freeze(holder, 40 * SECOND);
            }
            3 => {
                let replica = &mut self.replicas[holder];
                (replica.cut_in_until, replica.cut_out_until) = (self.now + 90 * SECOND, self.now + 90 * SECOND);
            }
            4 => self.send_event(holder, self.now, Event::Shutdown),
            // a sticky issuer is asked again and again near the end of its token's life
            5 => self.report_everywhere(200),
            _ => {
                self.calm.is_revoked = true;
                self.wechat.revoke(self.now, true);
                self.report_everywhere(200);
            }
        }
        let step = if number <= 4 { SECOND / 10 } else { 40 * SECOND };
        self.push(self.now + step, What::Judge(number));
    }

    fn report_everywhere(&mut self, reports: usize) {
        for report in 0..reports {
            let who = report % self.setup.replicas;
            if let Some(offer) = self.replicas[who].offer {
                self.report(who, offer.generation);
            }
        }
    }

    pub(crate) fn judge(&mut self, number: usize) {
        self.read_all();
        match number {
            0 => self.judge_healing(),
            1..=4 => self.judge_succession(number),
            _ => {
                let probes = self.calls.probes_made - self.calm.probes;
                let calls = self.calls.calls_made - self.calm.calls;
                // a sticky issuer that insists on the refused token is asked once more, in forced mode
                let refreshes = if self.setup.policy.issuer.rotation == RotationMode::Sticky { 2 } else { 1 };
                let most = if number == 6 { refreshes } else { 0 };
                self.breach.unless(probes <= 1 && calls <= most, self.now, "I5", || {
                    format!("200 reports cost {probes} probes, {calls} calls")
                });
                self.reports.all_answered(self.now);
                self.judge_healing();
                if number == 5 {
                    self.push(self.now + MINUTE, What::Trial(6));
                }
            }
        }
    }

    fn judge_healing(&mut self) {
        let newest = self.calm.newest;
        let settled = self.replicas.iter().filter(|replica| {
            replica.machine.is_some()
                && newest.is_none_or(|(_, since)| since + 2 * SECOND < self.now)
                && replica.started_at + 8 * SECOND < self.now
        });
        let offers: Vec<_> =
            settled.map(|replica| (replica.offer.map(|offer| offer.id), replica.seconds(self.now) > 0)).collect();
        let Some(first) = offers.first().copied() else { return self.push(self.now + 3 * SECOND, What::Judge(0)) };
        // an issuer that insists on a refused token can only be forced, so many times a day
        let is_spent = |status: &token_relay::status::Status| status.budget.forced == 0;
        if self.replicas.iter().filter_map(|replica| replica.status.as_ref()).any(is_spent) {
            self.tally.count("healing not judged: no forced call left");
            return;
        }
        let is_one = offers.iter().all(|offer| *offer == first) && first.1;
        self.breach.unless(is_one, self.now, "I10", || format!("not healed: {offers:?}"));
        let works = first.0.is_some_and(|id| self.wechat.works(id, self.now));
        self.breach.unless(works, self.now, "I10", || format!("a dead token is served: {offers:?}"));
        self.calm.newest.take_if(|_| !self.calm.is_healed);
        self.calm.is_healed = true;
        self.calm.is_revoked = false;
    }

    fn judge_succession(&mut self, number: usize) {
        let took = self.now - self.calm.begun_at;
        let (before, trial) = (self.calm.holder, self.calm.trial);
        let is_another = |holder: usize| {
            Some(holder) != before || (number == 4 && self.replicas[holder].started_at > self.calm.begun_at)
        };
        if self.holder().is_some_and(is_another) {
            return self.tally.succession(trial, 1, took / 1000);
        }
        // a call that is out is waited for (I13), and its outcome stored
        let limit = if number == 4 { 3 * SECOND + CALL_LIMIT } else { 18 * SECOND };
        self.breach.unless(took <= limit, self.now, "succession", || {
            format!("no new holder {took} µs after the last was {trial}")
        });
        self.push(self.now + SECOND / 10, What::Judge(number));
    }
}
