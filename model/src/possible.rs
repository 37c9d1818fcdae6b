//! What can happen next?

use crate::{
    record::{Call, Outcome, Record, RelayId},
    relay::{Due, Phase, Relay, Status, Unstored},
    setup::{Faults, Setup},
    timing::{CALL, NOW},
    world::{Action, World},
};

impl World {
    /// All that can happen next, but for other orders of what comes to the same. A run ends where a promise is broken, or cannot
    /// be judged, or where none can be broken any more.
    pub(crate) fn actions(&self, setup: &Setup, actions: &mut Vec<Action>) {
        if !self.is_safe(setup) {
            self.possible(setup, self.is_quiet(setup), actions);
        }
    }

    /// While it is quiet, one relay polls after the other.
    pub(crate) fn possible(&self, setup: &Setup, is_quiet: bool, actions: &mut Vec<Action>) {
        if self.went_back || self.wechat.is_broken || self.store.is_beyond_repair {
            return;
        }
        if self.may_time_pass(setup) {
            actions.push(Action::Tick);
        }
        if self.may_lose() {
            actions.push(Action::Lose);
        }
        // What one relay does by itself commutes with all that the others do: it goes first.
        let is_busy = |relay: &Relay| relay.runs() && matches!(relay.phase, Phase::Recorded(_) | Phase::Cleared(_));
        let busy = self.relays.iter().position(is_busy);
        let mut has_polled = false;
        for (me, relay) in (0..).zip(&self.relays).filter(|(me, _)| busy.is_none_or(|busy| busy == usize::from(*me))) {
            let may_poll = busy.is_none() && !(is_quiet && has_polled);
            has_polled |= self.steps_of(setup, me, relay, may_poll, actions);
            self.faults_of(me, relay, actions);
        }
    }

    fn may_lose(&self) -> bool {
        self.faults.losses > 0 && self.store.last.as_ref().is_some_and(|last| self.is_active(last.writer))
    }

    /// Whether nobody calls any more, and all know the newest token and no other.
    fn is_safe(&self, setup: &Setup) -> bool {
        let Record { generation, credential, .. } = self.store.record;
        let is_newest = usize::from(credential.token) + 1 == self.wechat.tokens.len();
        let is_late = |call: &Call| matches!(call.outcome, Outcome::Late { .. });
        let knows_it = |record: &Record| {
            let is_same = (record.generation, record.credential) == (generation, credential);
            is_same && !record.calls.iter().any(is_late)
        };
        let is_done = |relay: &Relay| {
            let has_another = matches!(relay.unstored, Some(Unstored::Token(ours, _)) if ours != credential);
            let has_served_later = relay.served.is_some_and(|(served, _)| generation < served);
            let knows_it = relay.record.as_ref().is_none_or(knows_it);
            relay.phase == Phase::Idle && knows_it && !has_another && !has_served_later
        };
        let before = self.store.last.as_ref().map(|last| &last.before.2);
        let is_stored = is_newest && credential.generation == generation && knows_it(&self.store.record);
        self.calls == setup.calls && is_stored && before.is_none_or(knows_it) && self.relays.iter().all(is_done)
    }

    fn is_active(&self, relay: RelayId) -> bool {
        self.relays[usize::from(relay)].status == Status::Active
    }

    /// Whoever runs does at once what is due, and polls in each tick.
    pub(crate) fn may_time_pass(&self, setup: &Setup) -> bool {
        let is_done = |(me, relay): (RelayId, &Relay)| {
            let is_waiting = match relay.phase {
                Phase::Idle => true,
                Phase::Recorded(_) | Phase::Cleared(_) => !relay.runs(),
                Phase::Out(_, out_at) => relay.status == Status::Dead || NOW < out_at + CALL,
                Phase::Answered(_, out_at, _) => !relay.runs() || NOW < out_at + CALL,
            };
            let has_polled = relay.status != Status::Active || relay.polled_at == NOW;
            is_waiting && has_polled && relay.due(setup, me).is_none()
        };
        (0..).zip(&self.relays).all(is_done)
    }

    /// Whether all that can happen but for faults are polls after which nothing is due: their order does not matter.
    pub(crate) fn is_quiet(&self, setup: &Setup) -> bool {
        let is_quiet = |(me, relay): (RelayId, &Relay)| match relay.status {
            Status::Active => {
                let is_present = NOW - 1 <= relay.polled_at;
                let is_idle = relay.phase == Phase::Idle && relay.due(setup, me).is_none();
                is_present && is_idle && (relay.polled_at == NOW || self.polls_in_vain(setup, me))
            }
            Status::Cut => relay.phase == Phase::Idle && relay.due(setup, me).is_none(),
            Status::Frozen | Status::Dead => !matches!(relay.phase, Phase::Out(..)),
            Status::Unborn => true,
        };
        // a poll before a loss reads something else than one after it
        !self.may_lose() && (0..).zip(&self.relays).all(is_quiet)
    }

    fn polls_in_vain(&self, setup: &Setup, me: RelayId) -> bool {
        let mut next = self.clone();
        next.poll(setup, me);
        next.store == self.store && next.relays[usize::from(me)].due(setup, me).is_none()
    }

    /// What this relay does if nothing goes wrong; whether it may poll.
    fn steps_of(&self, setup: &Setup, me: RelayId, relay: &Relay, may_poll: bool, actions: &mut Vec<Action>) -> bool {
        let polls = relay.status == Status::Active && relay.polled_at < NOW && may_poll;
        if polls {
            actions.push(Action::Poll(me));
        }
        let due = relay.due(setup, me).filter(|due| *due != Due::Call || self.calls < setup.calls);
        if let Some(due) = due {
            actions.push(Action::Act(me, due));
        }
        match relay.phase {
            Phase::Recorded(_) if relay.runs() => actions.push(Action::Clear(me)),
            Phase::Cleared(_) if relay.runs() => actions.push(Action::Send(me)),
            Phase::Out(_, out_at) if NOW <= out_at + CALL => actions.push(Action::Mint(me)),
            Phase::Answered(..) if relay.runs() => actions.push(Action::Reply(me)),
            _ => {}
        }
        if let Phase::Out(sent, out_at) | Phase::Answered(sent, out_at, _) = relay.phase {
            let is_late = out_at + CALL <= NOW && (sent.was_frozen || self.faults.unknowns > 0);
            if relay.runs() && is_late {
                actions.push(Action::GiveUp(me));
            }
        }
        polls
    }

    fn faults_of(&self, me: RelayId, relay: &Relay, actions: &mut Vec<Action>) {
        let Faults { freezes, crashes, cuts, .. } = self.faults;
        let is_active = relay.status == Status::Active;
        let may_crash = crashes > 0 && (relay.runs() || relay.status == Status::Frozen);
        let possible = [
            (relay.status == Status::Frozen, Action::Thaw(me)),
            (relay.status == Status::Cut, Action::Mend(me)),
            (freezes > 0 && relay.runs(), Action::Freeze(me)),
            (cuts > 0 && is_active, Action::Cut(me)),
            (may_crash, Action::Crash(me)),
            (may_crash, Action::Restart(me)),
        ];
        actions.extend(possible.into_iter().filter_map(|(is_possible, action)| is_possible.then_some(action)));
    }
}
