//! Weeks of a ticket's keeper in seconds: a credential that needs another one, and whose issuer names a whole life each time. Or of a
//! WeCom agent's token: its issuer does so too, but nobody else asks for it, and there is no overlap.
//!
//! One relay with a store of its own; several are in tests/cluster. The account's access token comes and goes, and is refused at
//! times; calls, writes and the process fail; the record is lost; somebody ends the ticket from outside. An oracle of its own
//! knows what the relay could know: of a ticket that it saw take another one's place, no wrong second is allowed.

use std::{collections::VecDeque, time::Duration};

use token_relay::{
    clock::Timestamp,
    credential::{Generation, Promise, TicketKind, Token},
    issuer::{Platform, ticket, wecom},
    keeper::{
        machine::{Action, Event, Machine},
        record::{Identity, SecretMark},
        schedule::Policy,
    },
    store::Sealed,
};

use super::{
    breach::Breach,
    queue::Queue,
    replica::Host,
    rng::{DAY, HOUR, MINUTE, Rng, SECOND},
    tally::{Tally, Trace},
};

mod oracle;
mod seen;
mod upstream;

use seen::Seen;

const LIFE: i64 = 2 * HOUR;

/// What is to come. What is for a relay is lost with its process.
enum What {
    Start,
    Wake(u64),
    Permit(u64),
    ToRelay(u64, Event),
    CallArrives { life: u64, sent_at: i64, probed: Option<u64> },
    TokenComes,
    TokenGoes,
    Fault,
    Secret,
}

/// The account's, as its own keeper has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AccessToken {
    Missing,
    Good,
    /// WeChat refuses it, and its keeper does not know yet.
    Refused,
}

/// What is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Ticket(Platform),
    AgentToken,
}

/// When WeChat makes the next ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Minting {
    /// When somebody asks, after the end of the last one.
    OnDemand,
    /// So long before the end of the last one, which works to its own end.
    Before(i64),
}

#[derive(Clone, Copy)]
struct Ticket {
    began_at: i64,
    ends_at: i64,
    is_revoked: bool,
}

/// What readers see, on the run's clock where it is compared.
#[derive(Clone, Copy)]
struct Offer {
    id: u64,
    generation: Generation,
    promise: Promise,
}

pub(crate) struct TicketWorld {
    rng: Rng,
    now: i64,
    breach: Breach,
    trace: Trace,
    queue: Queue<What>,
    kept: Kept,
    policy: Policy,
    minting: Minting,
    tickets: Vec<Ticket>,
    access_token: AccessToken,
    /// When the account will be without one next.
    token_until: i64,
    host: Host,
    machine: Option<Machine>,
    started_at: i64,
    /// The numbers of the process, its timer and its reservation: what is for an earlier one does not come.
    life: u64,
    timer: u64,
    reservation: u64,
    is_waiting: bool,
    stored: Option<Sealed>,
    /// When the last write began. What is known of a call or probe counts from there: it is dated before its intent is written.
    recorded_at: i64,
    offer: Option<Offer>,
    read_to: i64,
    seen: Seen,
    durable: Seen,
    is_calling: bool,
    /// Loads, writes, calls and probes whose answers are to come.
    under_way: u32,
    /// How many times the AppSecret was changed; and before the last write, for a call's counts from its intent.
    secret: u32,
    recorded_with: u32,
    changes_in_next_write: bool,
    calls: VecDeque<i64>,
    last_call_at: i64,
    until: i64,
    pub(crate) tally: Tally,
}

impl Kept {
    /// How it is kept, and whether there is an access token for it at first.
    fn policy(self) -> (Policy, AccessToken) {
        let (issuer, calls_per_day, access_token) = match self {
            Self::Ticket(platform) => {
                let profile = ticket::profile(platform, TicketKind::Jsapi, Duration::from_secs(300));
                (profile, ticket::calls_per_day(platform), AccessToken::Missing)
            }
            // it needs none
            Self::AgentToken => (wecom::PROFILE, wecom::DEFAULT_CALLS_PER_DAY, AccessToken::Good),
        };
        let policy = Policy {
            probe_every: Duration::from_secs(600),
            issuer,
            before_expiry: Duration::from_secs(3600),
            report_cooldown: Duration::from_secs(30),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            calls_per_day,
            longest_call: Duration::from_secs(8),
        };
        (policy, access_token)
    }
}

impl TicketWorld {
    pub(crate) fn new(kept: Kept, test: &'static str, seed: u64, is_told: bool) -> Self {
        let mut rng = Rng::new(seed);
        let is_on_demand = kept == Kept::AgentToken || rng.coin();
        let minting = if is_on_demand { Minting::OnDemand } else { Minting::Before(rng.between(0, 5 * MINUTE)) };
        let (policy, access_token) = kept.policy();
        let host = Host { boot_name: "boot-0".to_owned(), booted_at: -rng.spread(SECOND, DAY), ..Host::default() };
        let mut world = Self {
            now: 0,
            breach: Breach { seed, test },
            trace: Trace { is_on: is_told },
            queue: Queue::new(),
            kept,
            policy,
            minting,
            tickets: Vec::new(),
            access_token,
            token_until: 0,
            host,
            machine: None,
            started_at: 0,
            life: 0,
            timer: 0,
            reservation: 0,
            is_waiting: false,
            stored: None,
            recorded_at: 0,
            offer: None,
            read_to: 0,
            seen: Seen::default(),
            durable: Seen::default(),
            is_calling: false,
            under_way: 0,
            secret: 0,
            recorded_with: 0,
            changes_in_next_write: false,
            calls: VecDeque::new(),
            last_call_at: -DAY,
            until: 20 * DAY,
            tally: Tally::default(),
            rng,
        };
        world.queue.push(0, What::Start);
        if kept != Kept::AgentToken {
            world.queue.push(world.rng.between(0, 10 * SECOND), What::TokenComes);
        }
        world.queue.push(world.rng.spread(MINUTE, 12 * HOUR), What::Fault);
        world
    }

    pub(crate) fn run(mut self) -> Tally {
        while let Some((at, what)) = self.queue.pop() {
            if at > self.until {
                break;
            }
            self.now = at;
            self.read();
            self.happens(what);
        }
        (self.tally.simulated, self.tally.relay_time) = (self.now, self.now);
        self.tally
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Start => self.start(),
            What::Wake(timer) if timer == self.timer => self.step(Event::Tick),
            What::Permit(reservation) if reservation == self.reservation => {
                self.is_waiting = false;
                self.step(Event::Reserved);
            }
            What::ToRelay(life, event) if life == self.life => {
                let is_reply = matches!(event, Event::Reply(_));
                self.is_calling &= !is_reply;
                self.under_way -= 1;
                if is_reply && self.recorded_with != self.secret {
                    (self.seen, self.durable) = Default::default();
                }
                self.step(event);
            }
            What::Wake(_) | What::Permit(_) | What::ToRelay(..) => {}
            What::CallArrives { life, sent_at, probed } => self.call_arrives(life, sent_at, probed),
            What::TokenComes => {
                self.access_token = AccessToken::Good;
                if self.is_waiting {
                    self.queue.push(self.now, What::Permit(self.reservation));
                }
                if self.token_until <= self.now {
                    let lasts = if self.rng.percent(70) { 2 * HOUR } else { self.rng.spread(SECOND, DAY) };
                    self.token_until = self.now + lasts;
                    self.queue.push(self.token_until, What::TokenGoes);
                }
            }
            What::TokenGoes => {
                self.access_token = AccessToken::Missing;
                let away = if self.rng.percent(80) { 0 } else { self.rng.spread(SECOND, 6 * HOUR) };
                self.queue.push(self.now + away, What::TokenComes);
            }
            What::Fault => self.fault(),
            What::Secret => self.change_secret(),
        }
    }

    fn fault(&mut self) {
        self.queue.push(self.now + self.rng.spread(MINUTE, DAY), What::Fault);
        let fault = self.rng.between(0, 5);
        self.trace.line(self.now, format_args!("fault {fault}"));
        match fault {
            0 => {
                self.tally.count("the record is lost with the process");
                self.stored = None;
                self.durable = Seen::default();
                self.calls.clear();
                self.end_process();
            }
            1 => {
                self.tally.count("a reboot");
                self.host.booted_at = self.now;
                self.host.boot_name = format!("boot-{}", self.now);
                self.end_process();
            }
            2 | 3 => {
                self.tally.count("a killed process");
                self.end_process();
            }
            4 => {
                self.tally.count("an outsider ends the ticket");
                if let Some(ticket) = self.tickets.last_mut().filter(|ticket| self.now < ticket.ends_at) {
                    (ticket.ends_at, ticket.is_revoked) = (self.now, true);
                }
            }
            _ if self.kept == Kept::AgentToken && self.rng.coin() => self.change_secret(),
            _ if self.kept == Kept::AgentToken => self.changes_in_next_write = true,
            _ => {
                self.tally.count("the access token is refused");
                if self.access_token == AccessToken::Good {
                    self.access_token = AccessToken::Refused;
                }
            }
        }
    }

    /// What is known of a token that the secret before has brought goes with it.
    fn change_secret(&mut self) {
        self.tally.count("another secret");
        self.trace.line(self.now, format_args!("another secret"));
        self.secret += 1;
        (self.seen, self.durable) = Default::default();
        if self.machine.is_some() {
            self.step(Event::Reconfigured(self.policy, self.mark()));
        }
    }

    fn mark(&self) -> SecretMark {
        SecretMark::of("wx1", &self.secret.to_string())
    }

    fn end_process(&mut self) {
        (self.machine, self.offer) = (None, None);
        self.life += 1;
        self.timer += 1;
        self.drop_reservation();
        (self.is_calling, self.under_way) = (false, 0);
        self.seen = self.durable.clone();
        let away = if self.rng.coin() { self.rng.spread(SECOND, 4 * HOUR) } else { SECOND };
        self.queue.push(self.now + away, What::Start);
    }

    fn start(&mut self) {
        if self.machine.is_some() {
            return;
        }
        let identity =
            Identity { base_url: "https://a".to_owned(), appid: "wx1".to_owned(), endpoint: "jsapi".to_owned() };
        let (boot, now, seed) = (self.host.boot_id(), self.host.now(self.now), self.rng.seed());
        let machine = Machine::new(self.policy, identity, boot, now, Generation::default(), seed);
        self.machine = Some(machine.asking_with(self.mark()));
        (self.last_call_at, self.started_at) = (-DAY, self.now);
        self.seen.is_read_on(&self.host.boot_name);
        self.step(Event::Tick);
    }

    fn step(&mut self, event: Event) {
        let now = self.host.now(self.now);
        let Some(machine) = &mut self.machine else { return };
        self.tally.steps += 1;
        let decision = machine.step(now, event);
        for action in decision.actions {
            self.obey(action);
        }
        let goes_on = decision.wake_at < Timestamp::NEVER || self.under_way > 0 || self.is_waiting;
        self.breach.unless(goes_on, self.now, "I10", || "nothing will ever happen".to_owned());
        self.timer += 1;
        let wake_at = self.host.at(decision.wake_at).min(self.now + HOUR).max(self.now);
        self.queue.push(wake_at, What::Wake(self.timer));
    }

    fn tell(&mut self, after: i64, event: Event) {
        self.queue.push(self.now + after, What::ToRelay(self.life, event));
    }

    fn obey(&mut self, action: Action) {
        let has_answer = matches!(action, Action::Load | Action::Store { .. } | Action::Send { .. } | Action::Probe(_));
        self.under_way += u32::from(has_answer);
        match action {
            Action::Load => self.tell(1, Event::Loaded(Ok(self.stored.clone()))),
            Action::Store { expected, next } => self.store(expected.as_ref(), next),
            Action::Reserve { .. } => {
                self.reservation += 1;
                self.is_waiting = true;
                if self.access_token != AccessToken::Missing {
                    self.queue.push(self.now + self.rng.between(0, SECOND / 10), What::Permit(self.reservation));
                }
            }
            Action::Release => self.drop_reservation(),
            Action::Send { is_forced } => self.send(is_forced),
            Action::Probe(token) => self.ask(Some(id_of(&token))),
            Action::Publish(status) => {
                let offer = status.offer;
                self.shows(offer.map(|offer| Offer {
                    id: id_of(&offer.token),
                    generation: offer.generation,
                    promise: offer.promise,
                }));
            }
            Action::SetAside | Action::Answer(..) | Action::Stop => unreachable!("nothing of the kind is asked for"),
            Action::Note(_) => {}
        }
    }
}

fn token_of(id: u64) -> Token {
    Token::try_from(format!("ticket-{id}")).expect("a ticket")
}

fn id_of(token: &Token) -> u64 {
    token.expose()["ticket-".len()..].parse().expect("one of ours")
}
