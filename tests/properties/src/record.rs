//! May any bytes be in the store? They are refused, or they are a record: encoding it again changes nothing, `Debug` shows no token of
//! it, and a keeper starts with it.

use std::{sync::Arc, time::Duration};

use token_relay::{
    clock::{BootId, ClockOffset, Now, Timestamp, WallTime},
    credential::{CredentialId, Generation, Token},
    group::{Found, poller::Poller},
    issuer::{Issued, Verdict, wechat::Endpoint},
    keeper::{
        machine::{Action, Event, Machine},
        record::{Identity, Precedence, Record, Stored, codec::Stamp},
        schedule::Policy,
    },
    presence::{Presence, ReplicaId},
    status::Status,
    store::{Changed, Cursor, Poll, Sealed, Swap},
};

/// Enough for a keeper to load, to store, to call and to probe, twice.
const STEPS: usize = 30;
/// A shorter token may be a part of something else by chance.
const LONG_ENOUGH: usize = 12;

/// Reads `bytes` from the store. Returns whether they are a record.
///
/// # Panics
/// The property does not hold.
pub fn holds(bytes: &[u8]) -> bool {
    let sealed = Sealed::new(bytes.to_vec());
    let Ok(stored) = Stored::decode(&sealed, &identity()) else { return false };
    is_written_as_it_was_read(&stored);
    shows_no_token(&stored, bytes);
    can_be_reckoned_with(&stored.record);
    for endpoint in [Endpoint::Token, Endpoint::StableToken] {
        keeper_goes_on(endpoint, &stored, &sealed);
    }
    true
}

fn is_written_as_it_was_read(stored: &Stored) {
    let written = &stored.written;
    let sealed =
        stored.record.encode(&identity(), &written.boot_id, Now { boot: written.boot_us, wall: written.wall_ms });
    let again = Stored::decode(&sealed, &identity()).expect("what a relay writes it reads");
    assert_eq!((&again.record, &again.written, again.is_ours), (&stored.record, written, true));
}

/// Checks the tokens that occur once in the bytes: another field may hold the same text.
fn shows_no_token(stored: &Stored, bytes: &[u8]) {
    let record = &stored.record;
    let late = record.candidate().map(|(_, late)| &late.token);
    let shown = format!("{stored:?}");
    for token in record.credential.iter().map(|credential| &credential.token).chain(late) {
        let text = token.expose();
        let is_once = bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count() == 1;
        assert!(text.len() < LONG_ENOUGH || !is_once || !shown.contains(text), "{shown}");
    }
}

fn can_be_reckoned_with(record: &Record) {
    let far = ClockOffset::between(Timestamp::from_micros(7), Timestamp::NEVER.into());
    for other in [record.clone(), record.clone().shifted(far), record.clone().without_moments(), Record::default()] {
        for precedence in [Precedence::Ours, Precedence::Theirs, Precedence::Neither] {
            let joined = record.clone().reconcile(other.clone(), precedence);
            let least = if precedence == Precedence::Theirs { other.generation } else { record.generation };
            assert!(!is_sound(record) || joined.generation >= least, "{:?} after {least:?}", joined.generation);
            let _ = joined.is_news_to(&other);
        }
    }
}

/// Whether a relay can have written it: the generation is that of the credential, if there is one.
fn is_sound(record: &Record) -> bool {
    record.credential.as_ref().is_none_or(|credential| credential.generation == record.generation)
}

/// Starts keepers with these bytes, on the clock of the writer and on others. WeChat answers all that they ask.
fn keeper_goes_on(endpoint: Endpoint, stored: &Stored, sealed: &Sealed) {
    let Stamp { boot_id, boot_us, wall_ms } = &stored.written;
    let later = boot_us.plus(Duration::from_secs(3600));
    let clocks = [(boot_id.clone(), *boot_us), (boot_id.clone(), later), (BootId::from_text("another"), *boot_us)];
    for (boot_id, boot) in clocks {
        let now = Now { boot, wall: *wall_ms };
        for mut keeper in [Keeper::alone(endpoint, &boot_id, now), Keeper::of_several(endpoint, &boot_id, now)] {
            (keeper.stored, keeper.is_sound) = (Some(sealed.clone()), is_sound(&stored.record));
            keeper.run(&stored.written);
        }
    }
}

struct Keeper {
    machine: Machine,
    /// How it learns of the other relays; `None`: there are none.
    poller: Option<Poller>,
    stored: Option<Sealed>,
    is_sound: bool,
    now: Now,
    served: Generation,
    calls: u64,
}

impl Keeper {
    fn alone(endpoint: Endpoint, boot_id: &BootId, now: Now) -> Self {
        let machine = Machine::new(policy(endpoint), identity(), boot_id.clone(), now, Generation::default(), 7);
        let (poller, stored, is_sound, served, calls) = Default::default();
        Self { machine, poller, stored, is_sound, now, served, calls }
    }

    fn of_several(endpoint: Endpoint, boot_id: &BootId, now: Now) -> Self {
        let alone = Self::alone(endpoint, boot_id, now);
        let mut poller = Poller::new(ReplicaId(7), boot_id.clone());
        poller.add(id());
        let machine = alone.machine.as_replica(Arc::new(poller.peers().clone()));
        Self { machine, poller: Some(poller), ..alone }
    }

    fn run(&mut self, writer: &Stamp) {
        let mut events = Vec::new();
        for _ in 0..STEPS {
            if events.is_empty() {
                self.pass();
                events.push(Event::Tick);
            }
            self.poll(writer);
            events = events.into_iter().flat_map(|event| self.step(event)).collect();
        }
    }

    /// Minutes go by, of several relays seconds.
    fn pass(&mut self) {
        let seconds = if self.poller.is_some() { 4 } else { 600 };
        self.now.boot = self.now.boot.plus(Duration::from_secs(seconds));
        self.now.wall = WallTime::from_millis(self.now.wall.as_millis().saturating_add(seconds.cast_signed() * 1000));
    }

    /// Another relay lives, on the clock that the record was written on.
    fn poll(&mut self, writer: &Stamp) {
        let (Some(poller), at) = (&mut self.poller, self.now.boot) else { return };
        let (own, _) = poller.begin(at);
        let other = Presence { boot_id: writer.boot_id.clone(), boot_at: writer.boot_us, ..own.clone() };
        let presences = vec![(ReplicaId(7), own.clone()), (ReplicaId(8), other)];
        let changed = Changed::These(vec![id()]);
        let cursor = Cursor { nonce: 1, change: own.beat };
        let reading = poller.answered(at, at, Poll { cursor, changed, presences });
        poller.read(&reading);
        let found = Found { record: self.stored.clone(), asked_at: at };
        self.machine.see(Arc::new(poller.peers().clone()), Some(found));
    }

    /// What the store and WeChat answer.
    fn step(&mut self, event: Event) -> Vec<Event> {
        let decision = self.machine.step(self.now, event);
        decision.actions.into_iter().filter_map(|action| self.answer(action)).collect()
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Load => self.poller.is_none().then(|| Event::Loaded(Ok(self.stored.clone()))),
            Action::Store { expected, next } => Some(Event::Stored(self.swap(expected.as_ref(), next))),
            Action::Reserve { .. } => Some(Event::Reserved),
            Action::Send { .. } => {
                self.calls += 1;
                let token = Token::try_from(format!("75_fuzz_{}", self.calls)).expect("printable");
                Some(Event::Reply(Ok(Issued { token, life: Duration::from_secs(7200) })))
            }
            Action::Probe(_) => Some(Event::Probed(Verdict::Accepted)),
            Action::Publish(status) => {
                self.serves(&status);
                None
            }
            Action::SetAside => {
                self.stored = None;
                None
            }
            Action::Release | Action::Answer(..) | Action::Note(_) | Action::Stop => None,
        }
    }

    fn swap(&mut self, expected: Option<&Sealed>, next: Sealed) -> Swap {
        if self.stored.as_ref() != expected {
            return Swap::Lost(self.stored.clone());
        }
        self.stored = Some(next);
        Swap::Won
    }

    /// Never an earlier generation than before (I4), after a record that a relay can have written.
    fn serves(&mut self, status: &Status) {
        let Some((offer, _)) = status.servable(self.now.boot) else { return };
        assert!(!self.is_sound || offer.generation >= self.served, "{:?} after {:?}", offer.generation, self.served);
        self.served = offer.generation;
    }
}

fn id() -> CredentialId {
    CredentialId::access_token("main".parse().expect("a name"))
}

fn identity() -> Identity {
    Identity {
        base_url: "https://api.weixin.qq.com".to_owned(),
        appid: "wx0123456789abcdef".to_owned(),
        endpoint: "token".to_owned(),
    }
}

fn policy(endpoint: Endpoint) -> Policy {
    Policy {
        issuer: endpoint.profile(Duration::from_secs(300)),
        before_expiry: Duration::from_secs(3600),
        report_cooldown: Duration::from_secs(30),
        probe_every: Duration::from_secs(600),
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(60),
        calls_per_day: 400,
        longest_call: Duration::from_secs(8),
    }
}
