//! What can happen, and what follows? Time, the store, `WeChat`, and all relays with their faults.

use crate::{
    learning::Context,
    record::{Call, CallId, Generation, Outcome, Record, RelayId},
    relay::{Due, Phase, Relay, Status, Unstored},
    setup::{Faults, Rule, Setup},
    store::Store,
    timing::{LEASE, NOW, SUCCESSION, TAKE_OVER},
    wechat::WeChat,
};

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A relay shows its presence, sees the others', and reads what was written.
    Poll(RelayId),
    /// It does what is due.
    Act(RelayId, Due),
    /// It looks at the lease for the last time before a call.
    Clear(RelayId),
    /// The first byte leaves.
    Send(RelayId),
    /// `WeChat` mints.
    Mint(RelayId),
    /// The reply has come.
    Reply(RelayId),
    /// The call is given up.
    GiveUp(RelayId),
    /// Nothing of its process runs.
    Freeze(RelayId),
    /// It goes on.
    Thaw(RelayId),
    /// It ends.
    Crash(RelayId),
    /// It ends, and another one starts at once.
    Restart(RelayId),
    /// It cannot reach the store.
    Cut(RelayId),
    /// It can again.
    Mend(RelayId),
    /// The store loses the last write.
    Lose,
}

/// What was seen at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// Another relay took the lease over.
    TakeOver,
    /// A late token became current.
    HandedOver,
    /// A probe has decided for the candidate.
    Settled,
    /// A probe has decided against it.
    Dismissed,
    /// A lost write was written again.
    Repaired,
    /// Two calls were under way.
    TwoCalls,
}

/// The state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct World {
    /// The store.
    pub store: Store,
    /// `WeChat`.
    pub wechat: WeChat,
    /// Those that run at first, and those that start after a crash.
    pub relays: Vec<Relay>,
    /// What may still go wrong.
    pub faults: Faults,
    /// How many calls were announced.
    pub calls: CallId,
    /// The generation after all that there are.
    pub next: Generation,
    /// Some relay has served an earlier generation after a later one.
    pub went_back: bool,
    /// See [`Witness`].
    pub witnessed: u8,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let record = Record::first(0);
        let mut relays = vec![Relay::new(Status::Active); setup.relays];
        relays.extend((0..setup.faults.crashes).map(|_| Relay::new(Status::Unborn)));
        let (store, wechat) = (Store::new(record), WeChat::new());
        let faults = setup.faults;
        let mut world = Self { store, wechat, relays, faults, calls: 0, next: 2, went_back: false, witnessed: 0 };
        for me in 0..RelayId::try_from(setup.relays).expect("a few") {
            world.poll(setup, me);
        }
        world.serve(setup);
        world
    }

    pub(crate) const fn has_seen(&self, witness: Witness) -> bool {
        self.witnessed & (1 << witness as u8) != 0
    }

    const fn see(&mut self, witness: Witness) {
        self.witnessed |= 1 << witness as u8;
    }

    /// What follows.
    pub(crate) fn step(&mut self, setup: &Setup, action: Action) {
        (self.witnessed, self.wechat.excused) = Default::default();
        match action {
            Action::Tick => self.age(),
            Action::Poll(me) => self.poll(setup, me),
            Action::Act(me, due) => self.act(setup, me, due),
            Action::Clear(me) | Action::Send(me) | Action::Mint(me) | Action::Reply(me) | Action::GiveUp(me) => {
                self.go_on(setup, me, action);
            }
            Action::Freeze(me) => self.freeze(me),
            Action::Restart(me) => {
                self.crash(me);
                let next = self.relays.iter_mut().find(|relay| relay.status == Status::Unborn);
                next.expect("one for each crash").status = Status::Active;
            }
            Action::Thaw(me) | Action::Mend(me) => {
                self.relays[usize::from(me)].status = Status::Active;
            }
            Action::Crash(me) => self.crash(me),
            Action::Cut(me) => {
                self.faults.cuts -= 1;
                self.relays[usize::from(me)].status = Status::Cut;
                self.is_lost(me);
            }
            Action::Lose => self.lose_last_write(),
        }
        self.serve(setup);
    }

    fn age(&mut self) {
        self.store.age();
        self.wechat.age();
        self.relays.iter_mut().for_each(Relay::age);
    }

    pub(crate) fn poll(&mut self, setup: &Setup, me: RelayId) {
        let polled: Vec<_> = self.relays.iter().map(|relay| relay.polled_at).collect();
        let relay = &mut self.relays[usize::from(me)];
        self.store.enter(relay.latest, setup.has(Rule::NoticeLoss));
        let cursor = self.store.cursor;
        let is_named = cursor.nonce != relay.cursor.nonce || relay.cursor.change < cursor.change;
        if relay.polled_at + LEASE < NOW {
            relay.connected_at = NOW;
        }
        let is_back = relay.connected_at + SUCCESSION <= NOW;
        relay.gone =
            (0..).zip(polled).filter(|(_, at)| is_back && at + TAKE_OVER <= NOW).map(|(other, _)| 1 << other).sum();
        (relay.polled_at, relay.cursor, relay.latest) = (NOW, cursor, cursor);
        relay.is_behind |= is_named;
        if !relay.is_behind {
            relay.contact_at = NOW;
        }
        if relay.is_behind && relay.phase == Phase::Idle {
            let mut cx = Context { setup, me, next: &mut self.next };
            relay.learn(&mut cx, &self.store.record, self.store.version);
        }
    }

    fn lose_last_write(&mut self) {
        self.faults.losses -= 1;
        let Some(writer) = self.store.lose_last() else { return };
        let relay = &mut self.relays[usize::from(writer)];
        match &mut relay.phase {
            Phase::Recorded(sent) | Phase::Cleared(sent) | Phase::Out(sent, _) | Phase::Answered(sent, ..) => {
                sent.is_unannounced = true;
            }
            Phase::Idle => {}
        }
    }

    fn act(&mut self, setup: &Setup, me: RelayId, due: Due) {
        let relay = &mut self.relays[usize::from(me)];
        let before = relay.record.clone().expect("what is due follows from a record");
        let mut next = before.clone();
        let sent = relay.about_to_send(me, self.calls + 1);
        match due {
            Due::Write | Due::Probe => {}
            Due::Lease => next.take_lease(setup, me, relay.learned_at),
            Due::Call => {
                self.calls += 1;
                next.remember(Call { id: sent.id, earliest: NOW, latest: NOW, outcome: Outcome::Open });
            }
        }
        next.revision = next.revision.max(relay.seen_revision) + 1;
        if relay.status == Status::Cut {
            relay.untaken = next.generation;
            return;
        }
        if due == Due::Call && !setup.has(Rule::StoreIntent) {
            relay.record = Some(next);
        } else if !self.swap(setup, me, &next) {
            let relay = &mut self.relays[usize::from(me)];
            if due == Due::Call {
                (relay.record, relay.ended) = (Some(before), Some((sent.id, true)));
            }
            let mut cx = Context { setup, me, next: &mut self.next };
            return relay.learn(&mut cx, &self.store.record, self.store.version);
        }
        match due {
            Due::Write => {}
            Due::Lease => self.see(Witness::TakeOver),
            Due::Call => self.relays[usize::from(me)].phase = Phase::Recorded(sent),
            Due::Probe => self.probe(setup, me),
        }
    }

    /// Whether the store holds `next` from now on.
    fn swap(&mut self, setup: &Setup, me: RelayId, next: &Record) -> bool {
        let (relay, store) = (&mut self.relays[usize::from(me)], &mut self.store);
        store.enter(relay.latest, setup.has(Rule::NoticeLoss));
        relay.record = Some(next.clone());
        if store.version != relay.held && setup.has(Rule::CompareAndSet) {
            relay.latest = store.cursor;
            return false;
        }
        let was_lost = store.lost.is_some();
        let is_ours = |unstored| matches!(unstored, Unstored::Token(ours, _) if ours.token == next.credential.token);
        let is_late = relay.unstored.is_some_and(is_ours) && next.holder != Some(me);
        self.wechat.stored(next, self.calls);
        store.write(me, relay.seen_revision, next.clone());
        relay.seen_revision = next.revision;
        (relay.held, relay.latest, relay.learned_at) = (store.version, store.cursor, NOW);
        (relay.is_confirmed, relay.is_dirty, relay.unstored, relay.durable) = (true, false, None, next.generation);
        if was_lost && store.lost.is_none() {
            self.see(Witness::Repaired);
        }
        if is_late {
            self.see(Witness::HandedOver);
        }
        true
    }

    fn probe(&mut self, setup: &Setup, me: RelayId) {
        let relay = &mut self.relays[usize::from(me)];
        let record = relay.record.as_mut().expect("what is probed is in the record");
        let Some((_, token, _)) = record.candidate() else { return };
        let is_accepted = self.wechat.accepts(token);
        record.decided(&mut Context { setup, me, next: &mut self.next }, is_accepted);
        relay.is_dirty = true;
        self.see(if is_accepted { Witness::Settled } else { Witness::Dismissed });
    }

    /// A call goes on.
    fn go_on(&mut self, setup: &Setup, me: RelayId, action: Action) {
        let relay = &mut self.relays[usize::from(me)];
        let mut cx = Context { setup, me, next: &mut self.next };
        relay.phase = match (action, relay.phase) {
            (Action::Clear(_), Phase::Recorded(sent)) if relay.may_call(me) && NOW < sent.until => Phase::Cleared(sent),
            (Action::Clear(_), Phase::Recorded(sent)) => {
                let record = relay.record.as_mut().expect("a relay that calls has a record");
                record.calls.retain(|call| call.id != sent.id);
                record.retry_at = record.retry_at.max(NOW + 1);
                (relay.ended, relay.is_dirty) = (Some((sent.id, true)), true);
                Phase::Idle
            }
            (Action::Send(_), Phase::Cleared(sent)) => Phase::Out(sent, NOW),
            (Action::Mint(_), Phase::Out(sent, out_at)) => {
                let token = self.wechat.mint(me, sent.id, sent.is_orphan);
                if relay.status != Status::Active {
                    self.wechat.lost(me);
                }
                Phase::Answered(sent, out_at, token)
            }
            (Action::Reply(_), Phase::Answered(sent, _, token)) => {
                relay.issued(&mut cx, sent, token);
                Phase::Idle
            }
            (Action::GiveUp(_), Phase::Out(sent, _) | Phase::Answered(sent, ..)) => {
                self.faults.unknowns -= u8::from(!sent.was_frozen);
                relay.given_up(&mut cx, sent);
                Phase::Idle
            }
            (_, phase) => phase,
        };
        let under_way =
            |relay: &&Relay| relay.status != Status::Dead && matches!(relay.phase, Phase::Cleared(_) | Phase::Out(..));
        if self.relays.iter().filter(under_way).count() > 1 {
            self.see(Witness::TwoCalls);
        }
    }

    fn freeze(&mut self, me: RelayId) {
        self.faults.freezes -= 1;
        let relay = &mut self.relays[usize::from(me)];
        relay.status = Status::Frozen;
        match &mut relay.phase {
            Phase::Recorded(sent) | Phase::Cleared(sent) => (sent.is_orphan, sent.was_frozen) = (true, true),
            Phase::Out(sent, _) | Phase::Answered(sent, ..) => sent.was_frozen = true,
            Phase::Idle => {}
        }
        self.is_lost(me);
    }

    fn crash(&mut self, me: RelayId) {
        self.faults.crashes -= 1;
        let Relay { phase, polled_at, .. } = self.relays[usize::from(me)];
        self.relays[usize::from(me)] = Relay { polled_at, ..Relay::new(Status::Dead) };
        // what has left reaches `WeChat`
        if matches!(phase, Phase::Out(..)) {
            self.relays[usize::from(me)].phase = phase;
        }
        self.is_lost(me);
    }

    /// What this relay knows reaches the others later, or never.
    fn is_lost(&mut self, me: RelayId) {
        self.wechat.lost(me);
        if self.store.lost.is_some_and(|(writer, _)| writer == me) {
            self.store.is_beyond_repair = true;
        }
    }

    /// Clients ask every relay that runs.
    fn serve(&mut self, setup: &Setup) {
        for (me, relay) in (0..).zip(&mut self.relays) {
            let Some(record) = relay.record.as_ref().filter(|_| relay.runs() && relay.is_settled()) else {
                continue;
            };
            let Some(until) = relay.promised_until(setup, me) else { continue };
            let credential = record.credential;
            self.wechat.promised(credential.token, until);
            let is_back = relay.served.is_some_and(|(generation, token)| {
                credential.generation < generation || (credential.generation == generation && credential.token != token)
            });
            self.went_back |= is_back;
            relay.served = Some((credential.generation, credential.token));
        }
    }
}
