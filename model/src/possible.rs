//! What can happen next?

use crate::{
    record::RelayId,
    relay::{Due, Phase, Relay, Status},
    setup::{Faults, Setup},
    timing::{CALL, NOW},
    world::{Action, World},
};

impl World {
    /// All that can happen next. A run ends where a promise is broken, or cannot be judged.
    pub(crate) fn actions(&self, setup: &Setup, actions: &mut Vec<Action>) {
        if self.went_back || self.wechat.is_broken || self.store.is_beyond_repair {
            return;
        }
        if self.may_time_pass(setup) {
            actions.push(Action::Tick);
        }
        if self.faults.losses > 0 && self.store.last.as_ref().is_some_and(|last| self.is_active(last.writer)) {
            actions.push(Action::Lose);
        }
        // What one relay does by itself commutes with all that the others do: it goes first.
        let is_busy = |relay: &Relay| relay.runs() && matches!(relay.phase, Phase::Recorded(_) | Phase::Cleared(_));
        let busy = self.relays.iter().position(is_busy);
        let is_quiet = self.is_quiet(setup);
        let mut has_polled = false;
        for (me, relay) in (0..).zip(&self.relays).filter(|(me, _)| busy.is_none_or(|busy| busy == usize::from(*me))) {
            let may_poll = busy.is_none() && !(is_quiet && has_polled);
            has_polled |= self.steps_of(setup, me, relay, may_poll, actions);
            self.faults_of(me, relay, actions);
        }
    }

    fn is_active(&self, relay: RelayId) -> bool {
        self.relays[usize::from(relay)].status == Status::Active
    }

    /// Whoever runs does at once what is due, and polls in each tick.
    fn may_time_pass(&self, setup: &Setup) -> bool {
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

    /// Whether all that can happen are polls that find nothing: their order does not matter.
    fn is_quiet(&self, setup: &Setup) -> bool {
        let is_present = |relay: &Relay| relay.status == Status::Active && NOW - 1 <= relay.polled_at;
        let holder = self.store.record.holder.map(|holder| &self.relays[usize::from(holder)]);
        let is_quiet = |(me, relay): (RelayId, &Relay)| match relay.status {
            Status::Active => {
                let has_read = relay.latest == self.store.cursor && relay.cursor == self.store.cursor;
                is_present(relay) && has_read && relay.phase == Phase::Idle && relay.due(setup, me).is_none()
            }
            Status::Cut => relay.phase == Phase::Idle && relay.due(setup, me).is_none(),
            Status::Frozen | Status::Dead => !matches!(relay.phase, Phase::Out(..)),
            Status::Unborn => true,
        };
        holder.is_some_and(is_present) && (0..).zip(&self.relays).all(is_quiet)
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
