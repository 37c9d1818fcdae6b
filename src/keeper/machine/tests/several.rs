//! Several relays on one store: two machines on two hosts, each behind a real poller, one store that answers at once, and calls
//! that the test answers.

use std::collections::{BTreeMap, VecDeque};

use super::{
    rig::{accepted, identity, now, policy, refused},
    *,
};
use crate::{
    clock::WallTime,
    credential::CredentialId,
    group::poller::{POLL, Poller},
    presence::{Presence, ReplicaId},
    store::{Changed, Cursor, Poll},
};

mod late;
mod lease;
mod losses;
mod orphans;
mod repair;

/// How long a step of the test's time takes.
const STEP: Duration = Duration::from_millis(250);

struct Relay {
    machine: Machine,
    poller: Poller,
    /// For the keeper: the last view that was published, and what was read since it looked.
    peers: Arc<Peers>,
    mail: Option<Found>,
    /// What its host's boot clock counts from, and how far it is ahead of the test's.
    boot_id: BootId,
    ahead: Duration,
    /// By the test's clock.
    poll_at: Timestamp,
    /// By its own.
    wake_at: Timestamp,
    status: Option<Status>,
    calls: usize,
    probes: Vec<String>,
    notes: Vec<String>,
    answers: Vec<ReportAnswer>,
    /// Nothing of the process runs.
    is_frozen: bool,
}

/// What the store holds: the record, and what it knows of its own history and of the relays.
#[derive(Clone)]
struct Shared {
    record: Option<Sealed>,
    nonce: u64,
    change: u64,
    /// The number of the record's last write.
    written: u64,
    presences: BTreeMap<ReplicaId, Presence>,
}

struct Pair {
    relays: [Relay; 2],
    boot: Timestamp,
    store: Shared,
    /// The relay that the store does not answer.
    cut: Option<usize>,
    /// The relay whose writes of the record the store refuses.
    read_only: Option<usize>,
    stores: usize,
    /// No permit comes.
    has_no_permits: bool,
    /// How often one was asked for.
    reservations: usize,
    /// The token that WeChat refuses.
    dead: Option<&'static str>,
    /// The relay whose wall clock is a day behind.
    a_day_behind: Option<usize>,
}

fn secret(text: &str) -> SecretMark {
    SecretMark::of("wx1", text)
}

fn main() -> CredentialId {
    CredentialId::access_token("main".parse().unwrap())
}

fn away() -> StoreError {
    StoreError("no answer".to_owned())
}

impl Shared {
    fn new(nonce: u64) -> Self {
        Self { record: None, nonce, change: 0, written: 0, presences: BTreeMap::new() }
    }

    fn swap(&mut self, expected: Option<&Sealed>, next: Sealed) -> Swap {
        if expected != self.record.as_ref() {
            return Swap::Lost(self.record.clone());
        }
        self.write(next);
        Swap::Won
    }

    fn write(&mut self, next: Sealed) {
        self.change += 1;
        self.written = self.change;
        self.record = Some(next);
    }

    fn poll(&mut self, who: ReplicaId, presence: Presence, cursor: Option<Cursor>) -> Poll {
        self.presences.insert(who, presence);
        let changed = match cursor {
            Some(cursor) if cursor.nonce == self.nonce && self.written <= cursor.change => Changed::These(Vec::new()),
            Some(cursor) if cursor.nonce == self.nonce => Changed::These(vec![main()]),
            _ => Changed::All,
        };
        let presences = self.presences.iter().map(|(who, presence)| (*who, presence.clone())).collect();
        Poll { cursor: Cursor { nonce: self.nonce, change: self.change }, changed, presences }
    }

    fn text(&self) -> String {
        String::from_utf8(self.record.clone().unwrap().expose().to_vec()).unwrap()
    }
}

impl Relay {
    fn new(policy: Policy, id: u64, boot: Timestamp) -> Self {
        let ahead = s(5000 * (id - 1));
        let boot_id = BootId::from_text(["a", "b"][usize::from(id > 1)]);
        let mut poller = Poller::new(ReplicaId(id), boot_id.clone());
        poller.add(main());
        let peers = Arc::new(poller.peers().clone());
        let started = clocks(boot, ahead);
        Self {
            machine: machine(policy, &boot_id, started, Generation::default(), &peers),
            poller,
            peers,
            mail: None,
            boot_id,
            ahead,
            poll_at: boot,
            wake_at: started.boot,
            status: None,
            calls: 0,
            probes: Vec::new(),
            notes: Vec::new(),
            answers: Vec::new(),
            is_frozen: false,
        }
    }

    /// One poll, whose answer comes at once; whether the keeper is to look.
    fn poll(&mut self, boot: Timestamp, store: Option<&mut Shared>) -> bool {
        let at = clocks(boot, self.ahead).boot;
        let (presence, cursor) = self.poller.begin(at);
        let is_news = match store {
            None => self.poller.failed(None, away()),
            Some(store) => {
                let poll = store.poll(self.poller.peers().me(), presence, cursor);
                let reading = self.poller.answered(at, at, poll);
                if !reading.ids.is_empty() {
                    self.mail = Some(Found { record: store.record.clone(), asked_at: at });
                }
                self.poller.read(&reading)
            }
        };
        self.peers = Arc::new(self.poller.peers().clone());
        self.poll_at = boot.plus(self.poller.pace(at));
        is_news || self.mail.is_some()
    }
}

/// The clocks of a host whose boot clock is so far ahead of the test's; all wall clocks agree.
fn clocks(boot: Timestamp, ahead: Duration) -> Now {
    now(boot.plus(ahead), -i64::try_from(ahead.as_millis()).unwrap())
}

fn machine(policy: Policy, boot_id: &BootId, now: Now, min_generation: Generation, peers: &Arc<Peers>) -> Machine {
    Machine::new(policy, identity(), boot_id.clone(), now, min_generation, peers.me().0)
        .as_replica(peers.clone())
        .asking_with(secret("one"))
}

impl Pair {
    /// The first relay has the lease, and its first call is under way.
    fn new() -> Self {
        Self::of(policy(RotationMode::Rotating))
    }

    fn of(policy: Policy) -> Self {
        let boot = Timestamp::from_micros(1_000_000_000);
        let relays = [1, 2].map(|id| Relay::new(policy, id, boot));
        let (cut, read_only, stores, has_no_permits, reservations, dead, a_day_behind) = Default::default();
        let store = Shared::new(1);
        let mut pair =
            Self { relays, boot, store, cut, read_only, stores, has_no_permits, reservations, dead, a_day_behind };
        pair.pass(2);
        assert_eq!((pair.relays[0].calls, pair.relays[1].calls), (1, 0));
        pair
    }

    /// The first relay's first call has brought a token, and both serve it.
    fn serving(token: &str) -> Self {
        let mut pair = Self::new();
        pair.reply(0, token);
        pair.pass(2);
        assert_eq!([pair.shown(0), pair.shown(1)], [token, token]);
        pair
    }

    fn now(&self, who: usize) -> Now {
        let Now { boot, wall } = clocks(self.boot, self.relays[who].ahead);
        let behind_ms = if self.a_day_behind == Some(who) { 86_400_000 } else { 0 };
        Now { boot, wall: WallTime::from_millis(wall.as_millis() - behind_ms) }
    }

    /// So many seconds pass. Each relay polls at its pace, and its keeper looks when there is news or when it wanted to.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.pass_step();
        }
    }

    fn pass_step(&mut self) {
        self.boot = self.boot.plus(STEP);
        for who in 0..2 {
            let (boot, at, relay) = (self.boot, self.now(who).boot, &mut self.relays[who]);
            if relay.is_frozen {
                continue;
            }
            let store = (self.cut != Some(who)).then_some(&mut self.store);
            let is_news = relay.poll_at <= boot && relay.poll(boot, store);
            if is_news || relay.wake_at <= at {
                self.step(who, Event::Tick);
            }
        }
    }

    /// Until that relay has begun another call.
    fn pass_until_call(&mut self, who: usize, within_s: u64) {
        let before = self.relays[who].calls;
        for _ in 0..within_s {
            if self.relays[who].calls > before {
                return;
            }
            self.pass(1);
        }
        panic!("no call within {within_s} s: {:?}", self.relays[who].machine);
    }

    fn reply(&mut self, who: usize, token: &str) {
        let token = Token::try_from(token.to_owned()).unwrap();
        self.relays[who].is_frozen = false;
        self.step(who, Event::Reply(Ok(Issued { token, life: s(7200) })));
    }

    /// The token that this relay has, with what is left of its life.
    fn reply_again(&mut self, who: usize) {
        let current = self.relays[who].machine.known.record.credential.clone().unwrap();
        let life = current.deadline.earliest.since(self.now(who).boot);
        self.step(who, Event::Reply(Ok(Issued { token: current.token, life })));
    }

    /// A client or an operator says that what this relay serves is bad.
    fn report(&mut self, who: usize, grounds: Grounds) {
        let generation = self.generation(who);
        self.step(who, Event::Report(ReportId(1), generation, grounds));
    }

    /// WeChat refuses the call of that relay.
    fn refuse(&mut self, who: usize, errcode: i64) {
        self.step(who, Event::Reply(Err(code(errcode))));
    }

    /// The call of that relay does not get out.
    fn cannot_send(&mut self, who: usize) {
        self.step(who, Event::Reply(Err(not_sent())));
    }

    /// The call of that relay gets no reply.
    fn lose_reply(&mut self, who: usize) {
        self.step(who, Event::Reply(Err(unknown())));
    }

    /// The keeper of a relay panics and is started again; what it had under way is lost. Its relay polls on.
    fn panics(&mut self, who: usize) {
        let (now, min_generation, relay) = (self.now(who), self.generation(who), &mut self.relays[who]);
        relay.machine = machine(policy(RotationMode::Rotating), &relay.boot_id, now, min_generation, &relay.peers);
        self.step(who, Event::Tick);
    }

    /// What the machine does first, and nothing of it is done.
    fn only_step(&mut self, who: usize, event: Event) -> Vec<Action> {
        let (now, relay) = (self.now(who), &mut self.relays[who]);
        relay.machine.see(relay.peers.clone(), relay.mail.take());
        let decision = relay.machine.step(now, event);
        relay.wake_at = decision.wake_at;
        decision.actions
    }

    fn step(&mut self, who: usize, event: Event) {
        let mut news = VecDeque::from([event]);
        while let Some(event) = news.pop_front().filter(|_| !self.relays[who].is_frozen) {
            for action in self.only_step(who, event) {
                news.extend(self.obey(who, action));
            }
        }
    }

    fn obey(&mut self, who: usize, action: Action) -> Option<Event> {
        let boot = self.boot;
        let relay = &mut self.relays[who];
        match action {
            Action::Load => {
                relay.poller.want(main());
                relay.poll_at = boot;
            }
            Action::Store { .. } if self.cut == Some(who) => return Some(Event::Stored(Swap::Unknown(away()))),
            Action::Store { .. } if self.read_only == Some(who) => {
                return Some(Event::Stored(Swap::Unknown(StoreError("read-only".to_owned()))));
            }
            Action::Store { expected, next } => {
                let swap = self.store.swap(expected.as_ref(), next);
                self.stores += usize::from(swap == Swap::Won);
                return Some(Event::Stored(swap));
            }
            Action::Reserve { .. } => {
                self.reservations += 1;
                return Some(Event::Reserved).filter(|_| !self.has_no_permits);
            }
            Action::Send { .. } => relay.calls += 1,
            Action::Probe(token) => {
                relay.probes.push(token.expose().to_owned());
                let is_dead = Some(token.expose()) == self.dead;
                return Some(Event::Probed(if is_dead { refused() } else { accepted() }));
            }
            Action::Publish(status) => relay.status = Some(status),
            Action::Note(note) => relay.notes.push(format!("{note:?}")),
            Action::Answer(_, answer) => relay.answers.push(answer),
            Action::SetAside => panic!("what is shared is never set aside"),
            Action::Release | Action::Stop => {}
        }
        None
    }

    fn status(&self, who: usize) -> &Status {
        self.relays[who].status.as_ref().expect("both have looked")
    }

    fn shown(&self, who: usize) -> &str {
        let offer = self.status(who).offer.as_ref();
        offer.map_or("nothing", |offer| offer.token.expose())
    }

    /// What readers of that relay are promised now.
    fn seconds(&self, who: usize) -> u64 {
        let offer = self.status(who).offer.as_ref();
        offer.map_or(0, |offer| offer.promise.seconds_left(self.now(who).boot))
    }

    fn generation(&self, who: usize) -> Generation {
        let offer = self.relays[who].status.as_ref().and_then(|status| status.offer.as_ref());
        offer.map(|offer| offer.generation).unwrap_or_default()
    }

    fn calls(&self) -> usize {
        self.relays.iter().map(|relay| relay.calls).sum()
    }

    /// How many lines that relay has logged which begin so.
    fn told(&self, who: usize, what: &str) -> usize {
        self.relays[who].notes.iter().filter(|note| note.starts_with(what)).count()
    }
}
