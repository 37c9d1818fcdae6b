//! One run: virtual time, one to three relays, one store, one WeChat, and what is to come.

use std::collections::BTreeMap;

use token_relay::{
    issuer::{Cause, IssueError, Issued, RotationMode, Verdict},
    keeper::{
        machine::{Decision, Event, Machine},
        record::{Identity, SecretMark},
    },
    presence::ReplicaId,
    report::Grounds,
};

use super::{
    breach::Breach,
    call_checks::CallChecks,
    calm::Calm,
    fault_plan::{Kind, Troubles},
    group::{Step, relay_id},
    oracle::Oracle,
    queue::Queue,
    replica::{Host, Replica},
    report_checks::ReportChecks,
    rng::{DAY, MINUTE, Rng, SECOND},
    setup::{Setup, Shape},
    store::Store,
    store_link::Request,
    tally::{Tally, Trace},
    wechat::{WeChat, token_id},
    wechat_link::{Call, Probe},
};

/// Something that is to come.
pub(crate) enum What {
    /// For one keeper of one relay, and lost with it.
    ToRelay(usize, u64, Message),
    /// A request reaches the store.
    Request(u64),
    LateWrite(u64),
    /// A call reaches WeChat, whatever became of who sent it.
    CallArrives(Call),
    ProbeArrives(Probe),
    /// For the process with this number.
    Group(usize, u64, Step),
    Fault(Kind),
    PlanFaults,
    Start(usize),
    /// The clients look at their token; only the latest of these counts.
    Clients(u64),
    StormEnds,
    CalmEnds,
    Trial(usize),
    Judge(usize),
}

pub(crate) enum Message {
    /// A timer; only the latest counts.
    Wake(u64),
    /// A permit; only that of the latest reservation comes.
    Permit(u64),
    Event(Event),
    /// What is left of a decision that was made before the process was frozen, and when.
    Rest(Decision, i64),
}

pub(crate) struct World {
    pub rng: Rng,
    pub now: i64,
    pub setup: Setup,
    pub breach: Breach,
    pub wechat: WeChat,
    pub store: Store,
    /// Of the primary that is cut off, if there is one. What is written there is forgotten.
    pub minority: Store,
    pub requests: BTreeMap<u64, Request>,
    pub requests_made: u64,
    pub replicas: Vec<Replica>,
    pub troubles: Troubles,
    /// How many keepers there were.
    pub lives: u64,
    /// What keepers before this one had under way is known to nobody: their record was lost.
    pub lost_before: u64,
    /// One for each relay, and what they check together.
    pub oracles: Vec<Oracle>,
    pub calls: CallChecks,
    pub reports: ReportChecks,
    pub calm: Calm,
    pub tally: Tally,
    pub trace: Trace,
    pub is_storm: bool,
    /// Nothing goes wrong before: see `lose_last_write`.
    pub quiet_until: i64,
    /// How often the clients looked.
    pub rounds: u64,
    queue: Queue<What>,
}

fn identity() -> Identity {
    Identity {
        base_url: "https://api.weixin.qq.com".to_owned(),
        appid: "wxsimulated".to_owned(),
        endpoint: "token".to_owned(),
    }
}

fn hosts(setup: &Setup, rng: &mut Rng) -> Vec<Replica> {
    let is_one_host = rng.percent(15);
    let common = rng.spread(10 * SECOND, 100 * DAY);
    let host = |who| Host {
        boot_name: format!("boot-{}", if is_one_host { 0 } else { who }),
        booted_at: -if is_one_host { common } else { rng.spread(10 * SECOND, 100 * DAY) },
        wall_error_ms: rng.between(-2000, 2000),
        ..Host::default()
    };
    (0..setup.replicas).map(host).map(|host| Replica { host, ..Replica::default() }).collect()
}

impl World {
    pub(crate) fn new(shape: Shape, test: &'static str, seed: u64, is_told: bool) -> Self {
        let mut rng = Rng::new(seed);
        let setup = Setup::of(shape, &mut rng);
        let breach = Breach { seed, test };
        let mut world = Self {
            now: 0,
            wechat: WeChat::new(setup.policy.issuer.rotation, setup.overlap(), setup.lives_s.clone(), setup.quota),
            store: Store::default(),
            minority: Store::default(),
            requests: BTreeMap::new(),
            requests_made: 0,
            replicas: hosts(&setup, &mut rng),
            troubles: Troubles::none(&setup),
            lives: 0,
            lost_before: 0,
            oracles: (0..setup.replicas).map(|_| Oracle::new(breach, &setup)).collect(),
            calls: CallChecks::new(breach, &setup),
            reports: ReportChecks::new(breach, &setup),
            calm: Calm::default(),
            tally: Tally::default(),
            trace: Trace { is_on: is_told },
            is_storm: true,
            quiet_until: 0,
            rounds: 0,
            queue: Queue::new(),
            breach,
            rng,
            setup,
        };
        world.trace.line(0, format_args!("seed {seed}: {:?}, lives {:?} s", world.setup.policy, world.setup.lives_s));
        for who in 0..world.setup.replicas {
            let at = if world.setup.is_shared { world.rng.pick(&[0, SECOND, 30 * SECOND]) } else { 0 };
            world.push(at, What::Start(who));
        }
        world.push(if world.setup.is_shared { MINUTE } else { 0 }, What::PlanFaults);
        world.push(MINUTE, What::Clients(0));
        world.push(world.setup.storm, What::StormEnds);
        world
    }

    pub(crate) fn push(&mut self, at: i64, what: What) {
        self.queue.push(at.max(self.now), what);
    }

    pub(crate) fn run(mut self) -> Tally {
        while let Some((at, what)) = self.queue.pop() {
            if at > self.setup.length {
                break;
            }
            self.now = at;
            self.happens(what);
        }
        self.now = self.setup.length;
        self.read_all();
        self.tally.simulated = self.now;
        self.tally.relay_time = self.now * i64::try_from(self.setup.replicas).expect("small");
        if self.setup.is_wire_only {
            (self.tally.wire_alive, self.tally.wire_served) = (self.tally.alive, self.tally.served);
        }
        self.tally
    }

    fn happens(&mut self, what: What) {
        match what {
            What::ToRelay(who, life, message) => self.deliver(who, life, message),
            What::Request(number) => self.request_arrives(number),
            What::LateWrite(number) => self.late_write(number),
            What::CallArrives(call) => self.call_arrives(call),
            What::ProbeArrives(probe) => self.probe_arrives(probe),
            What::Group(who, process, step) => self.group_step(who, process, step),
            What::Fault(kind) => self.fault(kind),
            What::PlanFaults => self.plan_faults(),
            What::Start(who) => self.start(who),
            What::Clients(round) if round == self.rounds => self.clients_look(),
            What::Clients(_) => {}
            What::StormEnds => self.storm_ends(),
            What::CalmEnds => self.calm_ends(),
            What::Trial(number) => self.begin_trial(number),
            What::Judge(number) => self.judge(number),
        }
    }

    /// A process starts, if none runs; or its next keeper after a panic, and then its readers go on.
    pub(crate) fn start(&mut self, who: usize) {
        let (now, is_shared) = (self.now, self.setup.is_shared);
        let replica = &mut self.replicas[who];
        let up_at = replica.host.booted_at + SECOND;
        if now < up_at {
            return self.push(up_at, What::Start(who));
        }
        if replica.machine.is_some() {
            return;
        }
        self.lives += 1;
        if !replica.is_up {
            let (host, secret, kills_to_come) = (replica.host.clone(), replica.secret, replica.kills_to_come);
            *replica = Replica { host, secret, kills_to_come, is_up: true, process: self.lives, ..Replica::default() };
            (replica.read_to, replica.started_at) = (now, now);
            self.oracles[who].process_begins();
            if is_shared {
                self.group_begins(who, ReplicaId(relay_id(who, self.lives)));
            }
        }
        let replica = &mut self.replicas[who];
        (replica.life, replica.has_rest) = (self.lives, false);
        replica.host.is_in_doubt = replica.host.was_set;
        let (boot, started) = (replica.host.boot_id(), replica.host.now(now));
        let machine =
            Machine::new(self.setup.policy, identity(), boot, started, replica.min_generation, self.rng.seed())
                .asking_with(SecretMark::of("wxsimulated", &replica.secret.to_string()));
        let id = relay_id(who, replica.process);
        replica.machine = Some(match replica.group.peers() {
            Some(peers) => machine.as_replica(peers),
            None => machine,
        });
        if replica.kills_to_come > 0 && self.is_storm {
            replica.kills_to_come -= 1;
            replica.kill_in = Some(self.rng.between(0, 12));
        }
        self.trace.line(now, format_args!("[{who}] life {} begins as {id}", self.lives));
        self.oracles[who].life_begins();
        self.step(who, Event::Tick);
    }

    fn deliver(&mut self, who: usize, life: u64, message: Message) {
        let replica = &mut self.replicas[who];
        if replica.life != life || replica.machine.is_none() {
            return;
        }
        if self.now < replica.frozen_until {
            let thaw = replica.frozen_until;
            return self.push(thaw, What::ToRelay(who, life, message));
        }
        if replica.has_rest && !matches!(message, Message::Rest(..)) {
            return self.push(self.now + 1, What::ToRelay(who, life, message));
        }
        match message {
            Message::Wake(timer) if timer == replica.timer => self.step(who, Event::Tick),
            Message::Permit(reservation) if reservation == replica.reservations => {
                replica.has_permit = true;
                self.step(who, Event::Reserved);
            }
            Message::Wake(_) | Message::Permit(_) => {}
            Message::Event(event) => self.step(who, event),
            Message::Rest(decision, stepped_at) => {
                (replica.stepped_at, replica.has_rest) = (stepped_at, false);
                self.obey(who, decision);
            }
        }
    }

    pub(crate) fn step(&mut self, who: usize, event: Event) {
        self.read(who);
        let at = self.now;
        self.trace.line(at, format_args!("[{who}] > {event:?}"));
        if let Some((peers, found)) = self.replicas[who].group.news()
            && let Some(machine) = self.replicas[who].machine.as_mut()
        {
            let is_new = found.is_some() && self.store.written_by.0 != who;
            machine.see(peers, found);
            self.replicas[who].has_news |= is_new;
        }
        self.before_step(who, &event);
        let is_verdict = matches!(event, Event::Probed(_));
        let replica = &mut self.replicas[who];
        if is_verdict || matches!(event, Event::Reply(_)) {
            replica.busy_until = at;
        }
        replica.stepped_at = at;
        let Some(machine) = replica.machine.as_mut() else { return };
        let decision = machine.step(replica.host.now(at), event);
        self.tally.steps += 1;
        self.tally.mix(at.unsigned_abs());
        self.oracles[who].after_step(at, &decision.actions);
        if is_verdict {
            self.verdict_known(who);
        }
        self.obey(who, decision);
    }

    /// What the oracle must know of an event before the machine acts on it.
    fn before_step(&mut self, who: usize, event: &Event) {
        let at = self.now;
        self.reports.look(at, who);
        let replica = &mut self.replicas[who];
        match event {
            Event::Loaded(loaded) => {
                replica.load_failed = loaded.is_err();
                if loaded.is_ok() && !self.setup.is_shared {
                    let judgement = self.store.judgement(&replica.host, at);
                    self.record_read(who, Some(judgement));
                }
            }
            Event::Stored(swap) => {
                let is_stored = self.calls.stored(swap, self.store.kept.is_some());
                self.oracles[who].stored(is_stored && !self.calls.is_calling());
            }
            Event::Reserved => self.calls.reserved(at, who),
            Event::Report(id, generation, grounds) if *grounds != Grounds::Revocation => {
                self.reports.comes(at, who, *id, generation.0, &self.calls);
            }
            Event::Reply(reply) => {
                self.orphan_ends(who);
                let replica = &mut self.replicas[who];
                let is_rotating = self.setup.policy.issuer.rotation == RotationMode::Rotating;
                let sent_at = self.calls.sent_at(who).filter(|_| is_rotating);
                let too_short =
                    |issued: &&Issued| sent_at.is_some_and(|sent_at| !replica.may_take(at, sent_at, issued));
                let untaken = reply.as_ref().ok().filter(too_short).map(|issued| issued.life);
                let reply = &untaken
                    .map_or_else(|| reply.clone(), |life| Err(IssueError::Unknown { cause: Cause::TooShort(life) }));
                if let Ok(issued) = reply {
                    replica.host.is_in_doubt &= self.oracles[who].held == Some(token_id(issued.token.expose()));
                }
                let began_at = self.calls.replied(at, who, reply);
                self.oracles[who].replied(began_at, reply);
            }
            Event::Probed(verdict) => {
                replica.host.is_in_doubt &= *verdict != Verdict::Accepted;
                if matches!(verdict, Verdict::Refused { .. }) {
                    self.calls.calls_at_refusal = self.calls.calls_made;
                    self.oracles[who].refused(replica.probed);
                    if self.setup.is_shared {
                        self.read_all();
                    }
                }
            }
            Event::Shutdown => {
                replica.is_stopping = true;
                self.reports.stop_asked(at, who);
            }
            Event::Reconfigured(..) => self.calls.secret_changed(self.now),
            Event::Tick | Event::Report(..) => {}
        }
        // what another relay wrote meanwhile is taken in when the call has ended
        let has_news = self.replicas[who].has_news;
        self.oracles[who].is_failing = matches!(event, Event::Reply(Err(_))) && !has_news;
    }
}
