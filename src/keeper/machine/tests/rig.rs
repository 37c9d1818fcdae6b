//! A machine and a shell that obeys it at once: stores win, permits are free; calls and probes wait for the test.

use std::collections::VecDeque;

use super::*;
use crate::{
    credential::TokenDigest,
    issuer::{Cause, wechat::Endpoint},
};

#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) policy: Policy,
    pub(super) boot: Timestamp,
    /// How far the wall clock is ahead of where it began.
    pub(super) wall_ms: i64,
    pub(super) boot_id: BootId,
    /// What the store holds, and whether it answers.
    pub(super) kept: Option<Sealed>,
    pub(super) stores_by_hand: bool,
    pub(super) has_no_permits: bool,
    /// A permit is waited for.
    pub(super) is_reserving: bool,
    pub(super) status: Option<Status>,
    /// Calls (true: forced) and probes that were begun.
    pub(super) calls: Vec<bool>,
    pub(super) probes: usize,
    pub(super) answers: Vec<(u64, ReportAnswer)>,
    pub(super) is_stopped: bool,
    /// Publications and answers, in order.
    pub(super) log: Vec<String>,
    /// As they are logged.
    pub(super) notes: Vec<String>,
    pub(super) wake_at: Timestamp,
    writing: Option<Sealed>,
    /// What the shell has to tell.
    news: VecDeque<Event>,
}

pub(super) fn unknown() -> IssueError {
    IssueError::Unknown { cause: Cause::NoReply(Duration::from_secs(8)) }
}

pub(super) fn not_sent() -> IssueError {
    IssueError::NotSent { cause: Cause::NoConnection(Duration::from_secs(3)) }
}

pub(super) fn code(errcode: i64) -> IssueError {
    IssueError::Refused { errcode, errmsg: String::new() }
}

pub(super) fn accepted() -> Verdict {
    Verdict::Accepted
}

pub(super) fn refused() -> Verdict {
    Verdict::Refused { errcode: 40001 }
}

pub(super) fn inconclusive() -> Verdict {
    Verdict::Inconclusive { cause: NoVerdict::Errcode(-1) }
}

pub(super) fn policy(rotation: RotationMode) -> Policy {
    let endpoint = match rotation {
        RotationMode::Rotating => Endpoint::Token,
        RotationMode::Sticky => Endpoint::StableToken,
    };
    Policy {
        issuer: endpoint.profile(s(300)),
        before_expiry: s(3600),
        report_cooldown: s(30),
        probe_every: Duration::ZERO,
        retry_min: s(1),
        retry_max: s(60),
        calls_per_day: 400,
        longest_call: Duration::from_secs(8),
    }
}

pub(super) fn identity() -> Identity {
    Identity { base_url: "https://a".to_owned(), appid: "wx1".to_owned(), endpoint: "token".to_owned() }
}

impl Rig {
    pub(super) fn rotating() -> Self {
        Self::new(policy(RotationMode::Rotating))
    }

    pub(super) fn sticky() -> Self {
        Self::new(policy(RotationMode::Sticky))
    }

    pub(super) fn new(policy: Policy) -> Self {
        Self::with(policy, false)
    }

    pub(super) fn with(policy: Policy, stores_by_hand: bool) -> Self {
        let boot = Timestamp::from_micros(1_000_000_000);
        let mut rig = Self {
            machine: machine(policy, &BootId::from_text("a"), boot, 0),
            policy,
            boot,
            wall_ms: 0,
            boot_id: BootId::from_text("a"),
            kept: None,
            stores_by_hand,
            has_no_permits: false,
            is_reserving: false,
            status: None,
            calls: Vec::new(),
            probes: 0,
            answers: Vec::new(),
            is_stopped: false,
            log: Vec::new(),
            notes: Vec::new(),
            wake_at: Timestamp::NEVER,
            writing: None,
            news: VecDeque::new(),
        };
        rig.step(Event::Tick);
        rig
    }

    pub(super) fn now(&self) -> Now {
        now(self.boot, self.wall_ms)
    }

    /// The machine is started again `away` later: another boot, by a wall clock that is right.
    pub(super) fn reboot(&mut self, away: Duration) {
        let wall_ms = self.now().wall.as_millis() + i64::try_from(away.as_millis()).unwrap();
        self.boot_id = BootId::from_text("b");
        self.boot = Timestamp::from_micros(1_000_000);
        self.wall_ms += wall_ms - self.now().wall.as_millis();
        self.restart();
    }

    /// Another process takes over what the store holds.
    pub(super) fn restart(&mut self) {
        self.restart_with(SecretMark::default());
    }

    /// The same, with another secret.
    pub(super) fn restart_with(&mut self, secret: SecretMark) {
        self.machine = machine(self.policy, &self.boot_id, self.boot, self.wall_ms).asking_with(secret);
        self.status = None;
        self.writing = None;
        self.is_stopped = false;
        self.step(Event::Tick);
    }

    /// The keeper panics, and is started again in the same process.
    pub(super) fn panics(&mut self) {
        let served = self.status.as_ref().and_then(|status| status.offer.as_ref()).map(|offer| offer.generation);
        let (now, boot_id) = (self.now(), self.boot_id.clone());
        self.machine = Machine::new(self.policy, identity(), boot_id, now, served.unwrap_or_default(), 7);
        self.writing = None;
        self.step(Event::Tick);
    }

    pub(super) fn step(&mut self, event: Event) {
        self.news.push_back(event);
        while let Some(event) = self.news.pop_front() {
            let decision = self.machine.step(self.now(), event);
            self.wake_at = decision.wake_at;
            for action in decision.actions {
                self.obey(action);
            }
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Load => self.news.push_back(Event::Loaded(Ok(self.kept.clone()))),
            Action::SetAside => self.kept = None,
            Action::Store { next, .. } => {
                self.writing = Some(next);
                if !self.stores_by_hand {
                    self.kept.clone_from(&self.writing);
                    self.news.push_back(Event::Stored(Swap::Won));
                }
            }
            Action::Reserve { .. } if self.has_no_permits => self.is_reserving = true,
            Action::Reserve { .. } => self.news.push_back(Event::Reserved),
            Action::Send { is_forced } => self.calls.push(is_forced),
            Action::Probe(_) => self.probes += 1,
            Action::Publish(status) => {
                let shown = status.offer.as_ref().map_or("nothing", |offer| offer.token.expose());
                self.log.push(format!("publish {shown}"));
                self.status = Some(status);
            }
            Action::Answer(id, answer) => {
                self.log.push(format!("answer {} {answer:?}", id.0));
                self.answers.push((id.0, answer));
            }
            Action::Stop => self.is_stopped = true,
            Action::Release => self.is_reserving = false,
            Action::Note(note) => self.notes.push(format!("{note:?}")),
        }
    }

    pub(super) fn stored(&mut self, swap: Swap) {
        let written = self.writing.take();
        if swap == Swap::Won {
            self.kept = written;
        }
        self.step(Event::Stored(swap));
    }

    pub(super) fn fails_to_store(&mut self) {
        self.stored(Swap::Unknown(StoreError("no space left on device".to_owned())));
    }

    /// Time passes, with a heartbeat at its end.
    pub(super) fn pass(&mut self, by: Duration) {
        self.at(self.boot.plus(by));
    }

    pub(super) fn at(&mut self, moment: Timestamp) {
        self.boot = moment;
        self.step(Event::Tick);
    }

    /// Until the next call is under way.
    pub(super) fn run_to_call(&mut self) {
        let before = self.calls.len();
        self.run(|rig| rig.calls.len() > before);
    }

    /// The same, and each probe until then is accepted.
    pub(super) fn accept_to_call(&mut self) {
        let before = self.calls.len();
        for _ in 0..100 {
            let probes = self.probes;
            self.run(|rig| rig.calls.len() > before || rig.probes > probes);
            if self.calls.len() > before {
                return;
            }
            self.probed(accepted());
        }
        panic!("only probes come: {:?}", self.machine);
    }

    /// Until the next probe is under way.
    pub(super) fn run_to_probe(&mut self) {
        let before = self.probes;
        self.run(|rig| rig.probes > before);
    }

    /// Until something is being written.
    pub(super) fn run_to_write(&mut self) {
        self.run(|rig| rig.writing.is_some());
    }

    /// Until something is being written, or so many calls were begun.
    pub(super) fn run_to_write_or_call(&mut self, calls: usize) {
        self.run(|rig| rig.writing.is_some() || rig.calls.len() == calls);
    }

    fn run(&mut self, is_there: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if is_there(self) {
                return;
            }
            assert!(self.wake_at < Timestamp::NEVER, "nothing will ever happen: {:?}", self.machine);
            self.at(self.wake_at.max(self.boot));
        }
        panic!("it does not come: {:?}", self.machine);
    }

    /// The call that is under way brings a token; the first one is under way from the start.
    pub(super) fn fetch(&mut self, token: &str, life: u64) {
        if self.calls.is_empty() {
            self.run_to_call();
        }
        self.reply_token(token, life);
    }

    pub(super) fn reply_token(&mut self, token: &str, life: u64) {
        let token = Token::try_from(token.to_owned()).unwrap();
        self.reply(Ok(Issued { token, life: s(life) }));
    }

    pub(super) fn reply(&mut self, reply: Result<Issued, IssueError>) {
        self.step(Event::Reply(reply));
    }

    pub(super) fn probed(&mut self, verdict: Verdict) {
        self.step(Event::Probed(verdict));
    }

    /// A client reports the token that is shown.
    pub(super) fn report(&mut self, id: u64) {
        let generation = self.machine.known.record.generation;
        self.step(Event::Report(ReportId(id), generation, Grounds::Report));
    }

    /// An operator revokes the token that is shown.
    pub(super) fn revoke(&mut self, id: u64) {
        self.step(Event::Report(ReportId(id), Generation::default(), Grounds::Revocation));
    }

    /// The digests of the tokens that authenticate, the current one among them.
    pub(super) fn authenticates(&self, token: &str) -> bool {
        let status = self.status.as_ref().unwrap();
        let is_current = status.offer.as_ref().is_some_and(|offer| offer.token.is(token) && !status.is_revoked);
        is_current || status.handed_out.iter().any(|known| known.digest == TokenDigest::of(token))
    }

    /// A drop-in client fetches the token that is shown again, long before what it was given has run out.
    pub(super) fn fetch_early(&mut self, id: u64, grounds: Grounds) {
        let generation = self.machine.known.record.generation;
        self.step(Event::Report(ReportId(id), generation, grounds));
    }

    pub(super) fn is_calling(&self) -> bool {
        matches!(self.machine.phase, Phase::Calling(_))
    }

    pub(super) fn is_probing(&self) -> bool {
        matches!(self.machine.phase, Phase::Probing(_))
    }

    /// When the next call is due.
    pub(super) fn call_at(&self) -> Timestamp {
        self.machine.known.call_at(self.now())
    }

    /// What readers are promised now.
    pub(super) fn seconds(&self) -> u64 {
        let offer = self.status.as_ref().and_then(|status| status.offer.as_ref());
        offer.map_or(0, |offer| offer.promise.seconds_left(self.boot))
    }

    pub(super) fn shown(&self) -> &str {
        let offer = self.status.as_ref().and_then(|status| status.offer.as_ref());
        offer.map_or("nothing", |offer| offer.token.expose())
    }
}

pub(super) fn machine(policy: Policy, boot_id: &BootId, boot: Timestamp, wall_ms: i64) -> Machine {
    Machine::new(policy, identity(), boot_id.clone(), now(boot, wall_ms), Generation::default(), 7)
}

pub(super) fn now(boot: Timestamp, wall_ms: i64) -> Now {
    Now { boot, wall: WallTime::from_millis(1_795_348_923_000 + boot.as_micros() / 1000 + wall_ms) }
}
