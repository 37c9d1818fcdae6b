//! One run: virtual time, what is to come, and who it is for.

use token_relay::keeper::machine::{Action, Event};

use super::{
    dice::{DAY, Dice, HOUR, MINUTE, SECOND},
    disturb::Disturbance,
    host::{Disk, Host},
    oracle::Oracle,
    queue::Queue,
    record_of_run::{Tally, Trace},
    relay::Relay,
    setup::Setup,
    weather::Weather,
    wechat::WeChat,
    wire::{Call, Probe},
};

/// Something that is to come.
pub(crate) enum What {
    /// For one life of the relay's process, and lost with it.
    ToRelay(u64, Message),
    /// A call reaches WeChat, whatever became of who sent it.
    CallArrives(Call),
    ProbeArrives(Probe),
    /// A write takes effect: of this life, if it is still the one.
    WriteSettles(u64),
    Disturb(Disturbance),
    NextDisturbance,
    Restart,
    /// The clients look at their token; only the latest of these counts.
    Clients(u64),
    StormEnds,
    CalmEnds,
}

pub(crate) enum Message {
    /// A timer; only the latest counts.
    Wake(u64),
    Event(Event),
    /// Actions that were decided before the process was frozen.
    Rest(Vec<Action>),
}

pub(crate) struct Sim {
    pub dice: Dice,
    pub now: i64,
    pub setup: Setup,
    pub host: Host,
    pub wechat: WeChat,
    pub weather: Weather,
    pub disk: Disk,
    pub relay: Option<Relay>,
    /// How many processes and keepers there were.
    pub lives: u64,
    /// What processes before this one had under way is known to nobody: their record was lost.
    pub lost_before: u64,
    pub oracle: Oracle,
    pub tally: Tally,
    pub trace: Trace,
    pub is_storm: bool,
    /// How often the clients looked.
    pub rounds: u64,
    queue: Queue<What>,
    ends_at: i64,
}

impl Sim {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut dice = Dice::new(seed);
        let setup = Setup::of(&mut dice);
        let booted_at = -dice.spread(10 * SECOND, 100 * DAY);
        let mut sim = Self {
            now: 0,
            host: Host {
                boot_number: 1,
                booted_at,
                wall_error_ms: dice.between(-2000, 2000),
                was_set: false,
                is_in_doubt: false,
            },
            wechat: WeChat::new(setup.policy.issuer.rotation, setup.overlap(), setup.lives_s.clone(), setup.quota),
            weather: Weather::default(),
            disk: Disk::default(),
            relay: None,
            lives: 0,
            lost_before: 0,
            oracle: Oracle::new(seed, &setup),
            tally: Tally::default(),
            trace,
            is_storm: true,
            rounds: 0,
            queue: Queue::new(),
            ends_at: setup.length,
            dice,
            setup,
        };
        sim.trace.line(0, format_args!("seed {seed}: {:?}, lives {:?} s", sim.setup.policy, sim.setup.lives_s));
        sim.push(0, What::Restart);
        sim.push(MINUTE, What::Clients(0));
        sim.push(sim.setup.storm, What::StormEnds);
        sim.push(0, What::NextDisturbance);
        sim
    }

    pub(crate) fn push(&mut self, at: i64, what: What) {
        self.queue.push(at.max(self.now), what);
    }

    pub(crate) fn run(mut self) -> Tally {
        while let Some((at, what)) = self.queue.pop() {
            if at > self.ends_at {
                break;
            }
            self.read_until(at);
            self.now = at;
            self.happens(what);
        }
        self.tally.simulated = self.ends_at;
        if self.setup.is_wire_only {
            (self.tally.wire_alive, self.tally.wire_served) = (self.tally.alive, self.tally.served);
        }
        self.tally
    }

    fn happens(&mut self, what: What) {
        match what {
            What::ToRelay(life, message) => self.deliver(life, message),
            What::CallArrives(call) => self.call_arrives(call),
            What::ProbeArrives(probe) => self.probe_arrives(probe),
            What::WriteSettles(life) => self.write_settles(life),
            What::Disturb(disturbance) => self.disturb(disturbance),
            What::NextDisturbance => self.plan_disturbance(),
            What::Restart => self.start_relay(),
            What::Clients(round) if round == self.rounds => self.clients_look(),
            What::Clients(_) => {}
            What::StormEnds => self.calm_begins(),
            What::CalmEnds => self.calm_ends(),
        }
    }

    fn calm_begins(&mut self) {
        if let Some(thaw) = self.relay.as_ref().map(|relay| relay.frozen_until).filter(|thaw| self.now < *thaw) {
            return self.push(thaw, What::StormEnds);
        }
        self.trace.line(self.now, format_args!("--- the storm ends"));
        self.is_storm = false;
        self.weather.clear();
        self.wechat.calls_today = 0;
        self.push(self.now + SECOND, What::Restart);
        self.oracle.calm_begins(self.now, self.relay.as_ref());
        self.clients_look();
        let bound = self.oracle.calm_bound;
        self.push(self.now + bound + HOUR, What::CalmEnds);
    }

    fn calm_ends(&mut self) {
        self.oracle.calm_ends(self.now, self.setup.is_starved);
        self.trace.line(self.now, format_args!("--- a storm begins"));
        self.is_storm = true;
        self.push(self.now + self.setup.storm, What::StormEnds);
        self.push(self.now, What::NextDisturbance);
    }
}
