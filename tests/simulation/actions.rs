//! What does a relay do that its machine decides, and where is it killed or frozen in the midst of it? The only interpreter
//! of the machine's actions.

use token_relay::{
    clock::Timestamp,
    keeper::machine::{Action, Decision, Note},
    status::Status,
};

use super::{
    faults::REVOCATION,
    replica::Offer,
    rng::{HOUR, SECOND},
    setup::micros,
    store::Kept,
    store_link::Ask,
    wechat::token_id,
    wechat_link::{CALL_LIMIT, PROBE_LIMIT},
    world::{Message, What, World},
};

impl World {
    /// Does what the machine asks for, in its order, until the process is killed or frozen in the midst of it.
    pub(crate) fn obey(&mut self, who: usize, decision: Decision) {
        let mut actions = decision.actions.into_iter();
        while let Some(action) = actions.next() {
            let is_quiet = self.now < self.quiet_until;
            let replica = &mut self.replicas[who];
            let is_send = matches!(action, Action::Send { .. });
            if is_send && !is_quiet && std::mem::take(&mut replica.freeze_before_send) {
                replica.freeze_in = Some(0);
            }
            let counts = !is_quiet && !matches!(action, Action::Load | Action::Note(_));
            if counts && due(&mut replica.kill_in) {
                self.tally.count("kill at an action");
                self.trace.line(self.now, format_args!("[{who}] killed before {action:?}"));
                return self.kill(who);
            }
            if counts && due(&mut replica.freeze_in) {
                self.tally.count("freeze at an action");
                let (life, stepped_at) = (replica.life, replica.stepped_at);
                let pause = self.absence();
                let thaw = self.freeze(who, pause);
                self.trace.line(self.now, format_args!("[{who}] frozen {pause} µs before {action:?}"));
                self.replicas[who].has_rest = true;
                let rest = Decision { actions: std::iter::once(action).chain(actions).collect(), ..decision };
                return self.push(thaw, What::ToRelay(who, life, Message::Rest(rest, stepped_at)));
            }
            self.perform(who, action);
        }
        self.sleep(who, decision.wake_at);
    }

    fn sleep(&mut self, who: usize, moment: Timestamp) {
        let (at, replica) = (self.now, &mut self.replicas[who]);
        let wake_at = replica.host.at(moment).min(at + self.setup.heartbeat);
        replica.timer += 1;
        let (life, timer) = (replica.life, replica.timer);
        self.oracles[who].wakes(at, wake_at);
        self.push(wake_at.max(at + 1), What::ToRelay(who, life, Message::Wake(timer)));
    }

    fn perform(&mut self, who: usize, action: Action) {
        let (at, is_shared) = (self.now, self.setup.is_shared);
        let is_going_on = matches!(action, Action::Reserve { .. } | Action::Store { .. }) && !is_shared;
        if is_going_on && std::mem::take(&mut self.replicas[who].load_failed) {
            // it gave up loading and goes on without the record that it never read
            self.record_read(who, None);
        }
        let replica = &mut self.replicas[who];
        match action {
            Action::Load if is_shared => self.want_record(who),
            Action::Load => self.ask_store(who, Ask::Load),
            Action::SetAside => {
                self.breach.unless(!is_shared, at, "I2", || "a shared record is set aside".to_owned());
                self.store.kept = None;
            }
            Action::Store { expected, next } => {
                // it says when it was decided: a freeze may lie between
                replica.wrote_at = replica.stepped_at;
                let next = Kept::by(&replica.host, replica.wrote_at, next);
                if self.trace.is_on {
                    self.trace.line(at, format_args!("[{who}]   writes {}", next.text()));
                }
                self.ask_store(who, Ask::Swap { expected, next });
            }
            Action::Reserve { .. } => {
                let wait = self.troubles.slot_takes(at, &mut self.rng);
                replica.drop_reservation();
                let (life, permit) = (replica.life, Message::Permit(replica.reservations));
                self.push(at + wait, What::ToRelay(who, life, permit));
            }
            Action::Release => replica.drop_reservation(),
            Action::Send { is_forced } => {
                let has_permit = std::mem::take(&mut replica.has_permit);
                self.breach.unless(has_permit, at, "I1", || "a call without a permit".to_owned());
                replica.busy_until = at + CALL_LIMIT;
                self.send(who, is_forced);
            }
            Action::Probe(token) => {
                replica.busy_until = at + PROBE_LIMIT;
                let is_promised = replica.offer.is_some_and(|offer| {
                    offer.promise.verified_until.is_none() && offer.promise.seconds_left(replica.host.boot(at)) > 0
                });
                let is_wanted = self.reports.is_anybody_waiting()
                    || replica.host.is_in_doubt
                    || !is_promised
                    || self.calls.is_regular_probe_due(at, micros(self.setup.policy.probe_every));
                self.calls.probes(at, replica.wrote_at, is_wanted || is_shared);
                self.send_probe(who, &token);
            }
            Action::Publish(status) => self.show(who, status),
            Action::Answer(REVOCATION, _) => {}
            Action::Answer(id, answer) => self.reports.answered(at, id, &answer, replica.offer, &self.calls),
            Action::Note(Note::Revoking(_)) => self.operator_revokes(),
            Action::Note(Note::RefusedOnce) => self.calls.refused_once(),
            Action::Note(Note::LeaseYielded) => self.tally.count("lease given back to one whose calls may get out"),
            Action::Note(Note::AgedByWall) => self.aged_by_wall(who),
            Action::Note(Note::Probed(verdict)) => {
                self.calls.probed(&verdict, micros(self.setup.policy.probe_pace()));
                self.trace.line(at, format_args!("[{who}]   {:?}", Note::Probed(verdict)));
            }
            Action::Note(note) => self.trace.line(at, format_args!("[{who}]   {note:?}")),
            Action::Stop => self.stopped(who),
        }
    }

    fn send(&mut self, who: usize, is_forced: bool) {
        let at = self.now;
        let frozen = at - self.replicas[who].stepped_at;
        let is_late = frozen > SECOND;
        if self.setup.is_shared && frozen > HOUR {
            self.orphan_of_one_taken_for_dead();
        }
        if !self.setup.is_shared {
            self.unstored_call(who);
        }
        self.replicas[who].has_news = false;
        let is_orphan = self.setup.is_shared && self.is_orphan_call(who, is_late, is_forced);
        let ends_at = self.send_call(who, is_forced, is_orphan);
        self.tally.calls += 1;
        let plan = self.oracles[who].plan;
        self.calls.sends(at, who, plan, is_forced, (self.setup.is_shared && is_late, ends_at));
    }

    fn show(&mut self, who: usize, status: Status) {
        let at = self.now;
        let replica = &mut self.replicas[who];
        let offer = status.offer.as_ref().map(|offered| Offer {
            id: token_id(offered.token.expose()),
            generation: offered.generation,
            promise: offered.promise,
        });
        let rotation_at = status.rotation_at.map(|moment| replica.host.at(moment));
        replica.offer = offer;
        replica.min_generation =
            offer.map_or(replica.min_generation, |offer| offer.generation.max(replica.min_generation));
        replica.status = Some(status);
        self.trace.line(
            at,
            format_args!(
                "[{who}]   publishes {:?} for {} s, {:?} {:?}",
                offer.map(|offer| (offer.id, offer.generation.0 % 1_000_000_000)),
                replica.seconds(at),
                offer.map(|offer| offer.promise),
                replica.status.as_ref().map(|status| (status.budget, status.failures)),
            ),
        );
        let is_revoking = self.replicas[who].is_revoking();
        if is_revoking && !self.is_revocation_stored() {
            self.operator_revokes(); // what others have fetched meanwhile, who have not heard of it
        }
        self.oracles[who].published(at, offer, rotation_at, is_revoking);
        self.followed(who);
    }
}

fn due(count: &mut Option<i64>) -> bool {
    let is_due = count.is_some_and(|left| left <= 0);
    *count = if is_due { None } else { count.map(|left| left - 1) };
    is_due
}
