//! The relay's process as the simulation sees it: a machine, a shell that obeys it, and readers.

use token_relay::{
    credential::{Generation, Promise},
    issuer::Verdict,
    keeper::{
        machine::{Action, Event, Machine, ReportId},
        record::Identity,
    },
    status::Status,
    store::{Sealed, StoreError},
};

use super::{
    dice::SECOND,
    host::{Fate, Judgement, Kept, STORE_LIMIT, Write},
    setup::HEARTBEAT,
    sim::{Message, Sim, What},
    wechat::{TokenId, token_id},
};

/// One life of the relay's keeper.
pub(crate) struct Relay {
    pub life: u64,
    pub machine: Machine,
    pub outlook: Option<Status>,
    /// What is on offer, in the model's terms.
    pub offer: Option<Offer>,
    pub offered_since: i64,
    pub frozen_until: i64,
    pub is_stopping: bool,
    timer: u64,
    /// The kind of life the last load gave it.
    load_failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub id: TokenId,
    pub generation: Generation,
    pub promise: Promise,
}

fn identity() -> Identity {
    Identity {
        base_url: "https://api.weixin.qq.com".to_owned(),
        appid: "wxsimulated".to_owned(),
        endpoint: "token".to_owned(),
    }
}

impl Sim {
    /// A process starts, if none runs.
    pub(crate) fn start_relay(&mut self) {
        let up_at = self.host.booted_at + SECOND;
        if self.now < up_at {
            return self.push(up_at, What::Restart);
        }
        if self.relay.is_none() {
            self.begin_life(Generation::default(), None);
        }
    }

    /// A keeper begins: of a new process, or of one whose last keeper panicked and whose readers go on.
    pub(crate) fn begin_life(&mut self, floor: Generation, readers: Option<(Option<Status>, Option<Offer>)>) {
        self.lives += 1;
        let now = self.host.now(self.now);
        let seed = self.dice.seed();
        let machine = Machine::new(self.setup.policy, identity(), self.host.boot_id(), now, floor, seed);
        self.trace.line(self.now, format_args!("life {} begins, boot {}", self.lives, self.host.boot_number));
        self.oracle.life_begins();
        self.host.is_in_doubt = self.host.was_set;
        let (outlook, offer) = readers.unwrap_or_default();
        self.relay = Some(Relay {
            life: self.lives,
            machine,
            outlook,
            offer,
            offered_since: self.now,
            frozen_until: i64::MIN,
            is_stopping: false,
            timer: 0,
            load_failed: false,
        });
        if self.weather.kills_to_come > 0 && self.is_storm {
            self.weather.kills_to_come -= 1;
            self.weather.kill_in = Some(self.dice.between(0, 25));
        }
        self.step(Event::Tick);
    }

    pub(crate) fn deliver(&mut self, life: u64, message: Message) {
        let Some(relay) = self.relay.as_mut().filter(|relay| relay.life == life) else { return };
        if self.now < relay.frozen_until {
            let thaw = relay.frozen_until;
            return self.push(thaw, What::ToRelay(life, message));
        }
        match message {
            Message::Wake(timer) if timer == relay.timer => self.step(Event::Tick),
            Message::Wake(_) => {}
            Message::Event(event) => self.step(event),
            Message::Rest(actions) => self.obey(actions),
        }
    }

    pub(crate) fn step(&mut self, event: Event) {
        let (at, now) = (self.now, self.host.now(self.now));
        let judgement = self.disk.judgement(&self.host, at);
        let Some(relay) = &mut self.relay else { return };
        self.trace.line(at, format_args!("> {event:?}"));
        match &event {
            Event::Loaded(loaded) => {
                relay.load_failed = loaded.is_err();
                let is_readable = self.disk.kept.as_ref().is_some_and(|kept| !kept.is_damaged);
                match loaded {
                    Ok(_) => {
                        if !is_readable {
                            self.lost_before = self.lives;
                        }
                        let generation = self.disk.kept.as_ref().map_or(0, Kept::generation);
                        self.oracle.loaded(&mut self.wechat, is_readable, judgement, generation);
                    }
                    Err(_) => self.tally.count("failed load"),
                }
            }
            Event::Shutdown => relay.is_stopping = true,
            Event::Stored(swap) => self.oracle.stored(swap, self.disk.kept.as_ref()),
            _ => {}
        }
        let is_checked = match &event {
            Event::Probed(verdict) => *verdict == Verdict::Accepted,
            Event::Reply(Ok(issued)) => self.oracle.held != Some(token_id(issued.token.expose())),
            _ => false,
        };
        self.oracle.before_step(at, &event);
        self.tally.steps += 1;
        self.tally.mix(at.unsigned_abs());
        let is_verdict = matches!(event, Event::Probed(_));
        if is_checked {
            self.host.is_in_doubt = false;
        }
        let actions = relay.machine.step(now, event);
        self.oracle.after_step(at, &actions);
        if is_verdict {
            self.oracle.verdict_told(&mut self.wechat);
        }
        self.obey(actions);
    }

    /// Does what the machine asks for, in its order, until the process is killed or frozen in the midst of it.
    pub(crate) fn obey(&mut self, actions: Vec<Action>) {
        let mut rest = actions.into_iter();
        while let Some(action) = rest.next() {
            if self.interrupts(&mut self.weather.kill_in.clone(), true) {
                self.tally.count("kill at an action");
                return self.die();
            }
            if self.interrupts(&mut self.weather.freeze_in.clone(), false) {
                self.tally.count("freeze at an action");
                let thaw = self.freeze();
                let Some(life) = self.relay.as_ref().map(|relay| relay.life) else { return };
                let rest = std::iter::once(action).chain(rest).collect();
                return self.push(thaw, What::ToRelay(life, Message::Rest(rest)));
            }
            self.obey_one(action);
        }
    }

    fn interrupts(&mut self, countdown: &mut Option<i64>, is_kill: bool) -> bool {
        let Some(left) = countdown else { return false };
        let next = (*left > 0).then(|| *left - 1);
        if is_kill {
            self.weather.kill_in = next;
        } else {
            self.weather.freeze_in = next;
        }
        next.is_none()
    }

    fn obey_one(&mut self, action: Action) {
        let Some(relay) = &mut self.relay else { return };
        let (at, life) = (self.now, relay.life);
        if relay.load_failed && matches!(action, Action::Reserve { .. } | Action::Store { .. }) {
            // it gave up loading and goes on without the record that it never read
            relay.load_failed = false;
            self.lost_before = self.lives;
            self.oracle.loaded(&mut self.wechat, false, Judgement::Right, 0);
        }
        if !matches!(action, Action::Publish(_) | Action::WakeAt(_) | Action::Store { .. }) {
            self.trace.line(at, format_args!("  {action:?}"));
        }
        match action {
            Action::Load => self.load(life),
            Action::SetAside => self.disk.kept = None,
            Action::Store { expected, next } => self.store(life, expected, next),
            Action::Reserve { .. } => {
                let wait = self.weather.slot_takes(at, &mut self.dice);
                self.push(at + wait, What::ToRelay(life, Message::Event(Event::Reserved)));
            }
            Action::Release | Action::Note(_) => {}
            Action::Send { is_forced } => {
                self.oracle.sends(at, is_forced, &mut self.wechat);
                self.send(life, is_forced);
            }
            Action::Probe(token) => {
                self.oracle.probes(at, &self.host, relay);
                self.probe(life, &token);
            }
            Action::Publish(outlook) => self.show(outlook),
            Action::Answer(id, answer) => self.oracle.answered(at, id, &answer, relay.offer),
            Action::WakeAt(moment) => {
                let wake_at = self.host.at(moment).min(at + self.setup.heartbeat);
                relay.timer += 1;
                let timer = relay.timer;
                self.oracle.wakes(at, wake_at);
                self.push(wake_at.max(at + 1), What::ToRelay(life, Message::Wake(timer)));
            }
            Action::Stop => self.stopped(),
        }
    }

    fn load(&mut self, life: u64) {
        let takes = self.weather.store_takes(self.now, &mut self.dice);
        let loaded = if self.weather.load_fails(self.now) {
            Err(StoreError("input/output error".to_owned()))
        } else {
            Ok(self.disk.kept.as_ref().map(|kept| kept.bytes.clone()))
        };
        self.push(self.now + takes, What::ToRelay(life, Message::Event(Event::Loaded(loaded))));
    }

    fn store(&mut self, life: u64, expected: Option<Sealed>, next: Sealed) {
        let fate = self.weather.write_fate(self.now, &mut self.dice);
        if fate != Fate::Told {
            self.tally.count("failed write");
        }
        let next = Kept {
            bytes: next,
            boot_number: self.host.boot_number,
            written_at: self.now,
            written_wall_ms: self.host.wall_ms(self.now),
            is_damaged: false,
        };
        self.disk.writing = Some(Write { expected, next, fate });
        let takes = self.weather.store_takes(self.now, &mut self.dice).min(STORE_LIMIT);
        self.push(self.now + takes, What::WriteSettles(life));
    }

    pub(crate) fn write_settles(&mut self, life: u64) {
        if self.relay.as_ref().is_none_or(|relay| relay.life != life) {
            return;
        }
        let Some(swap) = self.disk.settle() else { return };
        // the answer reaches the keeper a moment later: a crash may come between
        let at = self.now + self.dice.pick(&[0, 1, 500, 100_000]);
        self.push(at, What::ToRelay(life, Message::Event(Event::Stored(swap))));
    }

    fn show(&mut self, outlook: Status) {
        let at = self.now;
        let Some(relay) = &mut self.relay else { return };
        let offer = outlook.offer.as_ref().map(|offered| Offer {
            id: token_id(offered.token.expose()),
            generation: offered.generation,
            promise: offered.promise,
        });
        let rotation_at = outlook.rotation_at.map(|moment| self.host.at(moment));
        self.oracle.published(at, offer, rotation_at);
        let left = offer.map_or(0, |offer| offer.promise.seconds_left(self.host.boot(at)));
        let budget = outlook.budget;
        self.trace.line(
            at,
            format_args!(
                "  published {:?} for {left} s, budget {}/{}/{}, failures {}",
                offer.map(|offer| offer.id),
                budget.calls,
                budget.forced,
                budget.probes,
                outlook.failures
            ),
        );
        relay.offer = offer;
        relay.offered_since = at;
        relay.outlook = Some(outlook);
    }

    /// Every reader between two events: at once after the last, just before the next, where the promise reaches furthest,
    /// and somewhere between.
    pub(crate) fn read_until(&mut self, next: i64) {
        let last = self.now;
        let Some(relay) = &self.relay else { return };
        if next <= last || relay.outlook.is_none() || last < relay.frozen_until {
            return;
        }
        let offer = relay.offer;
        let between = self.dice.between(last, next - 1);
        let furthest = offer.map_or(last, |offer| {
            let until = self.host.at(offer.promise.until);
            next - 1 - (next - 1 - until).rem_euclid(SECOND)
        });
        for at in [last, between, furthest, next - 1] {
            if last <= at {
                self.read(at, offer);
            }
        }
        let is_alive = self.oracle.held.is_some_and(|id| self.wechat.works(id, between));
        if is_alive {
            self.tally.alive += next - last;
            let is_served = offer.is_some_and(|offer| offer.promise.seconds_left(self.host.boot(between)) > 0);
            self.tally.served += if is_served { next - last } else { 0 };
        }
    }

    fn read(&mut self, at: i64, offer: Option<Offer>) {
        let Some(offer) = offer else { return };
        let seconds = offer.promise.seconds_left(self.host.boot(at));
        if seconds == 0 {
            return;
        }
        self.tally.replies += 1;
        self.tally.excused += u64::from(self.oracle.reply(at, &mut self.wechat, offer, seconds));
    }

    /// The clients look at the token; those whose token does not work report it, once a minute.
    pub(crate) fn clients_look(&mut self) {
        let wait = self.dice.between(20 * SECOND, if self.is_storm { 4 * HEARTBEAT * 360 } else { 60 * SECOND });
        self.rounds += 1;
        self.push(self.now + wait, What::Clients(self.rounds));
        let Some(offer) = self.relay.as_ref().and_then(|relay| relay.offer) else { return };
        let is_served = offer.promise.seconds_left(self.host.boot(self.now)) > 0;
        let works = self.wechat.works(offer.id, self.now);
        if is_served && !works {
            self.report(offer.generation, 1);
        }
        self.oracle.seen_by_clients(self.now, is_served && works);
    }

    pub(crate) fn report(&mut self, generation: Generation, clients: i64) {
        let Some(relay) = self.relay.as_ref().filter(|relay| !relay.is_stopping) else { return };
        let life = relay.life;
        for _ in 0..clients {
            let id = ReportId(self.oracle.next_report());
            self.push(self.now, What::ToRelay(life, Message::Event(Event::Report(id, generation))));
        }
    }
}
