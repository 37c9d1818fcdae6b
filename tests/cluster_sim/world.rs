//! One run: three relays, one store, one WeChat, and virtual time.

use std::{collections::BTreeMap, time::Duration};

use token_relay::{
    credential::Generation,
    issuer::{Verdict, wechat::Endpoint},
    keeper::{
        machine::{Action, Event, Machine, ReportAnswer, ReportId},
        record::{Identity, ReplicaId},
        schedule::Policy,
    },
};

use super::{
    dice::{DAY, Dice, HOUR, MINUTE, SECOND},
    queue::Queue,
    replica::{Offer, Replica},
    store::{Ask, Errand, Store},
    tally::Tally,
    wechat::{TokenId, WeChat, token_id},
    wire::{Call, CallFault, Flight, ProbeFault},
};

pub(crate) const REPLICAS: usize = 3;

pub(crate) enum What {
    ToReplica(usize, u64, Message),
    StoreArrives(Errand),
    LateWrite(Errand),
    CallArrives(Call),
    ProbeArrives { who: usize, life: u64, id: TokenId, fault: Option<ProbeFault>, replies_at: i64 },
    Start(usize),
    Disturb,
    Clients,
    StormEnds,
    Trial(usize),
    Judge(usize),
}

pub(crate) enum Message {
    Wake(u64),
    Event(Event),
    /// Actions that were decided before the process was frozen, and when.
    Rest(Vec<Action>, i64),
}

pub(crate) struct World {
    pub seed: u64,
    pub dice: Dice,
    pub now: i64,
    pub policy: Policy,
    pub wechat: WeChat,
    pub store: Store,
    pub replicas: Vec<Replica>,
    pub flights: Vec<Flight>,
    pub call_fault: (Option<CallFault>, i64),
    pub probe_fault: (Option<ProbeFault>, i64),
    pub tally: Tally,
    pub is_told: bool,
    pub is_storm: bool,
    pub lives: u64,
    pub ends_at: i64,
    pub unrest: i64,
    /// Nothing else goes wrong before: see [`World::lose_writes`].
    pub calm_until: i64,
    pub reports: BTreeMap<u64, (usize, u64)>,
    pub reports_made: u64,
    pub calls_made: Vec<i64>,
    pub probes_made: u64,
    pub trial: super::trials::Trial,
    queue: Queue<What>,
}

fn identity() -> Identity {
    Identity {
        base_url: "https://api.weixin.qq.com".to_owned(),
        appid: "wxsimulated".to_owned(),
        endpoint: "token".to_owned(),
    }
}

impl World {
    pub(crate) fn new(seed: u64, is_told: bool) -> Self {
        let mut dice = Dice::new(seed);
        let endpoint = if dice.percent(75) { Endpoint::Token } else { Endpoint::StableToken };
        let life_s = dice.pick(&[7200, 7200, 1800, 1200, 900]);
        let policy = Policy {
            issuer: endpoint.profile(Duration::from_secs(300)),
            before_expiry: Duration::from_secs(3600),
            report_cooldown: Duration::from_secs(30),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            calls_per_day: endpoint.default_calls_per_day(),
            longest_call: Duration::from_secs(8),
        };
        let is_one_host = dice.percent(15);
        let common = dice.spread(10 * SECOND, 100 * DAY);
        let replicas = (0..REPLICAS).map(|who| Replica {
            boot_name: format!("boot-{}", if is_one_host { 0 } else { who }),
            booted_at: -if is_one_host { common } else { dice.spread(10 * SECOND, 100 * DAY) },
            wall_error_ms: dice.between(-2000, 2000),
            life: 0,
            machine: None,
            outlook: None,
            offer: None,
            read_to: 0,
            served: 0,
            started_at: 0,
            unserved_since: None,
            frozen_until: i64::MIN,
            timer: 0,
            kill_in: None,
            freeze_in: None,
            freeze_before_send: false,
            cut_out_until: i64::MIN,
            cut_in_until: i64::MIN,
            stepped_at: 0,
            is_stopping: false,
            probed: 0,
        });
        let replicas: Vec<Replica> = replicas.collect();
        let ends_at = 2 * HOUR;
        let mut world = Self {
            seed,
            now: 0,
            wechat: WeChat::new(policy.issuer.rotation, 300 * SECOND, vec![life_s], 20_000),
            policy,
            store: Store::default(),
            replicas,
            flights: Vec::new(),
            call_fault: (None, 0),
            probe_fault: (None, 0),
            tally: Tally::default(),
            is_told,
            is_storm: true,
            lives: 0,
            ends_at,
            calm_until: 0,
            unrest: dice.spread(8 * SECOND, 10 * MINUTE),
            reports: BTreeMap::new(),
            reports_made: 0,
            calls_made: Vec::new(),
            probes_made: 0,
            trial: super::trials::Trial::default(),
            queue: Queue::new(),
            dice,
        };
        world.tell(format_args!("seed {seed}: {:?}, life {life_s}", world.policy.issuer.rotation));
        for who in 0..REPLICAS {
            let at = world.dice.pick(&[0, SECOND, 30 * SECOND]);
            world.push(at, What::Start(who));
        }
        world.push(MINUTE, What::Disturb);
        world.push(MINUTE, What::Clients);
        world.push(80 * MINUTE, What::StormEnds);
        world
    }

    pub(crate) fn push(&mut self, at: i64, what: What) {
        self.queue.push(at.max(self.now), what);
    }

    pub(crate) fn tell(&self, text: std::fmt::Arguments<'_>) {
        if self.is_told {
            println!("{:>12.6} {text}", micros_as_seconds(self.now));
        }
    }

    #[track_caller]
    pub(crate) fn kept(&self, promise: &str, is_kept: bool, story: impl FnOnce() -> String) {
        assert!(is_kept, "{promise} broken in seed {} at {:.3} s: {}", self.seed, micros_as_seconds(self.now), story());
    }

    pub(crate) fn run(mut self) -> Tally {
        while let Some((at, what)) = self.queue.pop() {
            if at > self.ends_at {
                break;
            }
            self.now = at;
            self.happens(what);
        }
        self.now = self.ends_at;
        self.read_all();
        self.tally.simulated = self.ends_at;
        self.tally
    }

    fn happens(&mut self, what: What) {
        match what {
            What::ToReplica(who, life, message) => self.deliver(who, life, message),
            What::StoreArrives(errand) => self.store_arrives(errand),
            What::LateWrite(errand) => self.late_write(errand),
            What::CallArrives(call) => self.call_arrives(call),
            What::ProbeArrives { who, life, id, fault, replies_at } => {
                self.probe_arrives(who, life, id, fault, replies_at);
            }
            What::Start(who) => self.start(who),
            What::Disturb => self.disturb(),
            What::Clients => self.clients_look(),
            What::StormEnds => self.storm_ends(),
            What::Trial(number) => self.begin_trial(number),
            What::Judge(number) => self.judge(number),
        }
    }

    pub(crate) fn start(&mut self, who: usize) {
        if self.replicas[who].machine.is_some() {
            return;
        }
        self.lives += 1;
        let (seed, id) = (self.dice.seed(), 1_000_000 * (who as u64 + 1) + self.lives);
        let now = self.now;
        let replica = &mut self.replicas[who];
        let machine =
            Machine::new(self.policy, identity(), replica.boot_id(), replica.now(now), Generation::default(), seed)
                .sharing_as(ReplicaId(id));
        replica.life = self.lives;
        replica.machine = Some(machine);
        (replica.outlook, replica.offer, replica.served) = (None, None, 0);
        (replica.read_to, replica.started_at, replica.frozen_until) = (now, now, i64::MIN);
        replica.unserved_since = None;
        (replica.kill_in, replica.freeze_in, replica.is_stopping) = (None, None, false);
        replica.freeze_before_send = false;
        self.tell(format_args!("[{who}] starts as {id}"));
        self.step(who, Event::Tick);
    }

    fn deliver(&mut self, who: usize, life: u64, message: Message) {
        let replica = &mut self.replicas[who];
        if replica.life != life || replica.machine.is_none() {
            if let Message::Event(Event::Report(id, _)) = message {
                self.reports.remove(&id.0); // the process ended before it heard of it
            }
            return;
        }
        if self.now < replica.frozen_until {
            let thaw = replica.frozen_until;
            return self.push(thaw, What::ToReplica(who, life, message));
        }
        match message {
            Message::Wake(timer) if timer == replica.timer => self.step(who, Event::Tick),
            Message::Wake(_) => {}
            Message::Event(event) => self.step(who, event),
            Message::Rest(actions, stepped_at) => {
                replica.stepped_at = stepped_at;
                self.obey(who, actions);
            }
        }
    }

    pub(crate) fn send_event(&mut self, who: usize, at: i64, event: Event) {
        let life = self.replicas[who].life;
        self.push(at, What::ToReplica(who, life, Message::Event(event)));
    }

    fn step(&mut self, who: usize, event: Event) {
        if self.is_told && !matches!(event, Event::Tick) {
            let text = format!("{event:?}");
            if !text.starts_with("Loaded(Ok") {
                self.tell(format_args!("[{who}] > {text}"));
            }
        }
        if let Event::Probed(Verdict::Refused { .. }) = event {
            self.read_all();
            self.wechat.waive(self.replicas[who].probed);
        }
        if matches!(event, Event::Shutdown) {
            self.replicas[who].is_stopping = true;
        }
        let now = self.now;
        let replica = &mut self.replicas[who];
        replica.stepped_at = now;
        let at = replica.now(now);
        let Some(machine) = replica.machine.as_mut() else { return };
        let actions = machine.step(at, event);
        self.tally.steps += 1;
        self.obey(who, actions);
    }

    fn obey(&mut self, who: usize, actions: Vec<Action>) {
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            let is_send = matches!(action, Action::Send { .. });
            let is_calm = self.now < self.calm_until;
            if is_send && !is_calm && std::mem::take(&mut self.replicas[who].freeze_before_send) {
                self.replicas[who].freeze_in = Some(0);
            }
            let counts = !is_calm && !matches!(action, Action::Load | Action::WakeAt(_) | Action::Note(_));
            if counts && due(&mut self.replicas[who].kill_in) {
                self.tally.count("kill at an action");
                self.tell(format_args!("[{who}] killed before {action:?}"));
                return self.kill(who);
            }
            if counts && due(&mut self.replicas[who].freeze_in) {
                self.tally.count("freeze at an action");
                let thaw = self.freeze(who);
                self.tell(format_args!("[{who}] frozen before {action:?} until {:.3}", micros_as_seconds(thaw)));
                let rest = std::iter::once(action).chain(actions).collect();
                let (life, stepped_at) = (self.replicas[who].life, self.replicas[who].stepped_at);
                return self.push(thaw, What::ToReplica(who, life, Message::Rest(rest, stepped_at)));
            }
            self.perform(who, action);
            if self.replicas[who].machine.is_none() {
                return;
            }
        }
    }

    fn perform(&mut self, who: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Load => self.ask_store(who, Ask::Load),
            Action::Store { expected, next } => self.ask_store(who, Ask::Swap { expected, next }),
            Action::Reserve { .. } => {
                let takes = if self.dice.percent(2) { self.dice.between(0, 20 * SECOND) } else { 300 };
                self.send_event(who, now + takes, Event::Reserved);
            }
            Action::SetAside | Action::Release => {}
            Action::Send { is_forced } => self.send_call(who, is_forced),
            Action::Probe(token) => self.probe(who, &token),
            Action::Publish(outlook) => {
                self.read(who);
                let offer = outlook.offer.as_ref().map(|offered| Offer {
                    id: token_id(offered.token.expose()),
                    generation: offered.generation,
                    promise: offered.promise,
                });
                self.replicas[who].outlook = Some(outlook);
                self.replicas[who].offer = offer;
                self.tell(format_args!(
                    "[{who}]   serves {:?} for {} s",
                    offer.map(|offer| (offer.id, offer.generation.0 % 1_000_000_000)),
                    self.replicas[who].seconds(now)
                ));
                self.published(who);
            }
            Action::Answer(id, answer) => self.answered(who, id, &answer),
            Action::Note(note) => self.tell(format_args!("[{who}]   {note:?}")),
            Action::WakeAt(at) => {
                let replica = &mut self.replicas[who];
                replica.timer += 1;
                let (life, timer) = (replica.life, replica.timer);
                let at = replica.at(at).max(now + 1).min(now + 5 * SECOND);
                self.push(at, What::ToReplica(who, life, Message::Wake(timer)));
            }
            Action::Stop => {
                self.tell(format_args!("[{who}] stops"));
                self.read(who);
                self.replicas[who].machine = None;
                let at = now + self.dice.spread(SECOND, 5 * MINUTE);
                self.push(at, What::Start(who));
            }
        }
    }

    pub(crate) fn kill(&mut self, who: usize) {
        self.read(who);
        self.replicas[who].machine = None;
        self.reports.retain(|_, (whose, _)| *whose != who);
        let away = if self.is_storm { self.dice.spread(100_000, 10 * MINUTE) } else { 40 * SECOND };
        let at = self.now + away;
        self.push(at, What::Start(who));
    }

    /// Nothing of the process runs until the moment that is returned.
    pub(crate) fn freeze(&mut self, who: usize) -> i64 {
        self.read(who);
        let pause = match self.dice.between(0, 5) {
            0..=1 => self.dice.spread(SECOND, 20 * SECOND),
            2..=4 => self.dice.spread(15 * SECOND, 12 * MINUTE),
            _ => self.dice.spread(10 * MINUTE, 2 * HOUR),
        };
        self.freeze_for(who, pause)
    }

    pub(crate) fn freeze_for(&mut self, who: usize, pause: i64) -> i64 {
        self.read(who);
        let thaw = (self.now + pause).min(if self.is_storm { 80 * MINUTE } else { i64::MAX }).max(self.now + 1);
        let replica = &mut self.replicas[who];
        replica.frozen_until = replica.frozen_until.max(thaw);
        replica.frozen_until
    }

    /// Those whose token does not work report it.
    fn clients_look(&mut self) {
        let wait = self.dice.between(5 * SECOND, if self.is_storm { 5 * MINUTE } else { 20 * SECOND });
        self.push(self.now + wait, What::Clients);
        for who in 0..REPLICAS {
            let replica = &self.replicas[who];
            let Some(offer) = replica.offer.filter(|_| replica.is_up(self.now)) else { continue };
            if replica.seconds(self.now) > 0 && !self.wechat.works(offer.id, self.now) {
                self.report(who, offer.generation);
            }
        }
    }

    pub(crate) fn report(&mut self, who: usize, generation: Generation) {
        let replica = &self.replicas[who];
        if replica.machine.is_none() || replica.is_stopping {
            return;
        }
        self.reports_made += 1;
        let id = self.reports_made;
        self.reports.insert(id, (who, generation.0));
        self.send_event(who, self.now, Event::Report(ReportId(id), generation));
    }

    fn answered(&mut self, who: usize, id: ReportId, answer: &ReportAnswer) {
        self.tell(format_args!("[{who}]   answers {id:?}: {answer:?}"));
        let known = self.reports.remove(&id.0);
        self.kept("I5", known.is_some(), || format!("report {id:?} is answered twice: {answer:?}"));
    }
}

fn due(count: &mut Option<i64>) -> bool {
    let is_due = count.is_some_and(|left| left <= 0);
    *count = if is_due { None } else { count.map(|left| left - 1) };
    is_due
}

#[allow(clippy::cast_precision_loss)] // for people
pub(crate) fn micros_as_seconds(at: i64) -> f64 {
    at as f64 / 1e6
}
