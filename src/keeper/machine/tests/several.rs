//! Several relays on one store: two machines, one store that answers at once, and calls that the test answers.

use std::collections::VecDeque;

use super::{
    rig::{accepted, identity, now, policy, refused},
    *,
};

struct Relay {
    machine: Machine,
    status: Option<Status>,
    calls: usize,
    probes: Vec<String>,
    notes: Vec<String>,
    /// Nothing of the process runs.
    is_frozen: bool,
}

struct Pair {
    relays: [Relay; 2],
    boot: Timestamp,
    kept: Option<Sealed>,
    /// The relay that the store does not answer.
    cut: Option<usize>,
    /// The relay whose writes the store refuses.
    read_only: Option<usize>,
    stores: usize,
    /// The token that WeChat refuses.
    dead: Option<&'static str>,
}

fn secret(text: &str) -> SecretMark {
    SecretMark::of("wx1", text)
}

impl Pair {
    /// The first relay has the lease, and its first call is under way.
    fn new() -> Self {
        Self::of(policy(RotationMode::Rotating))
    }

    fn of(policy: Policy) -> Self {
        let boot = Timestamp::from_micros(1_000_000_000);
        let relay = |id: u64| Relay {
            machine: Machine::new(policy, identity(), BootId::from_text("a"), now(boot, 0), Generation::default(), id)
                .as_replica(ReplicaId(id))
                .asking_with(secret("one")),
            status: None,
            calls: 0,
            probes: Vec::new(),
            notes: Vec::new(),
            is_frozen: false,
        };
        let mut pair =
            Self { relays: [relay(1), relay(2)], boot, kept: None, cut: None, read_only: None, stores: 0, dead: None };
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

    /// So many seconds pass, in steps of a quarter.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.boot = self.boot.plus(Duration::from_millis(250));
            for who in 0..2 {
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

    /// WeChat refuses the call of that relay.
    fn refuse(&mut self, who: usize, errcode: i64) {
        self.step(who, Event::Reply(Err(code(errcode))));
    }

    /// The keeper of a relay panics and is started again; what it had under way is lost.
    fn panics(&mut self, who: usize) {
        let (boot, id) = (BootId::from_text("a"), u64::try_from(who).unwrap() + 1);
        let shown = self.relays[who].status.as_ref().and_then(|status| status.offer.as_ref());
        let min_generation = shown.map_or(Generation::default(), |offer| offer.generation);
        self.relays[who].machine =
            Machine::new(policy(RotationMode::Rotating), identity(), boot, now(self.boot, 0), min_generation, id)
                .as_replica(ReplicaId(id))
                .asking_with(secret("one"));
        self.step(who, Event::Tick);
    }

    fn step(&mut self, who: usize, event: Event) {
        let mut news = VecDeque::from([event]);
        while let Some(event) = news.pop_front() {
            if self.relays[who].is_frozen {
                return;
            }
            let is_cut = self.cut == Some(who);
            let away = || StoreError("no answer".to_owned());
            for action in self.relays[who].machine.step(now(self.boot, 0), event) {
                let relay = &mut self.relays[who];
                match action {
                    Action::Load if is_cut => news.push_back(Event::Loaded(Err(away()))),
                    Action::Load => news.push_back(Event::Loaded(Ok(self.kept.clone()))),
                    Action::Store { .. } if is_cut => news.push_back(Event::Stored(Swap::Unknown(away()))),
                    Action::Store { .. } if self.read_only == Some(who) => {
                        news.push_back(Event::Stored(Swap::Unknown(StoreError("read-only".to_owned()))));
                    }
                    Action::Store { expected, .. } if expected != self.kept => {
                        news.push_back(Event::Stored(Swap::Lost(self.kept.clone())));
                    }
                    Action::Store { next, .. } => {
                        self.stores += 1;
                        self.kept = Some(next);
                        news.push_back(Event::Stored(Swap::Won));
                    }
                    Action::Reserve { .. } => news.push_back(Event::Reserved),
                    Action::Send { .. } => relay.calls += 1,
                    Action::Probe(token) => {
                        let is_dead = Some(token.expose()) == self.dead;
                        news.push_back(Event::Probed(if is_dead { refused() } else { accepted() }));
                        relay.probes.push(token.expose().to_owned());
                    }
                    Action::Publish(status) => relay.status = Some(status),
                    Action::Note(note) => relay.notes.push(format!("{note:?}")),
                    Action::SetAside => panic!("what is shared is never set aside"),
                    Action::Release | Action::Answer(..) | Action::WakeAt(_) | Action::Stop => {}
                }
            }
        }
    }

    fn status(&self, who: usize) -> &Status {
        self.relays[who].status.as_ref().expect("both have looked")
    }

    fn shown(&self, who: usize) -> &str {
        let offer = self.status(who).offer.as_ref();
        offer.map_or("nothing", |offer| offer.token.expose())
    }

    fn generation(&self, who: usize) -> Generation {
        self.status(who).offer.as_ref().map(|offer| offer.generation).unwrap_or_default()
    }
}

#[test]
fn a_token_that_a_frozen_holder_brings_late_does_not_replace_the_newer_one() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.relays[0].is_frozen = true;
    // the other takes the lease, waits for every promise to end, and rotates
    pair.pass_until_call(1, 400);
    pair.reply(1, "newer");
    pair.pass(1);
    // its generation is told by a later wall clock, and is all the same not the newer one
    pair.pass(5);
    let before = pair.generation(1);
    pair.dead = Some("late");
    pair.reply(0, "late");
    pair.pass(3);
    assert_eq!([pair.shown(0), pair.shown(1)], ["newer", "newer"]);
    assert!(pair.relays[0].notes.iter().any(|note| note.contains("is_candidate: true")), "{:?}", pair.relays[0].notes);
    assert!(
        pair.generation(0) >= before && pair.generation(0) == pair.generation(1),
        "what was served never goes back"
    );
    // a probe of the late one settles it, and no call is made until then
    let calls = pair.relays[0].calls + pair.relays[1].calls;
    pair.pass(320);
    let probes = pair.relays.iter().flat_map(|relay| &relay.probes).filter(|token| *token == "late").count();
    assert_eq!(probes, 1);
    assert_eq!([pair.shown(0), pair.shown(1)], ["newer", "newer"]);
    assert_eq!(pair.relays[0].calls + pair.relays[1].calls, calls, "a third rotation would kill one of the two");
}

#[test]
fn a_late_token_is_current_where_nobody_has_rotated() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.relays[0].is_frozen = true;
    pair.pass(20); // the other has the lease, and may not call yet
    assert!(pair.status(1).holds_lease);
    pair.reply(0, "late");
    pair.pass(3);
    assert_eq!([pair.shown(0), pair.shown(1)], ["late", "late"]);
    assert_eq!(pair.relays[1].calls, 0);
}

#[test]
fn a_longer_life_told_of_the_same_token_counts_only_if_the_issuer_tells_what_is_left() {
    for (tells_remaining_life, is_counted) in [(true, true), (false, false)] {
        let mut policy = policy(RotationMode::Sticky);
        policy.issuer.tells_remaining_life = tells_remaining_life;
        let mut pair = Pair::of(policy);
        pair.reply(0, "one");
        pair.pass(2);
        let first = pair.status(0).offer.clone().unwrap();
        pair.pass_until_call(0, 7200);
        pair.reply(0, "one"); // with 7200 s, although it had 300 s left
        pair.pass(2);
        let second = pair.status(0).offer.clone().unwrap();
        assert_eq!(second.generation > first.generation, is_counted);
        assert_eq!(second.promise.until > first.promise.until, is_counted);
    }
}

#[test]
fn a_store_that_went_back_is_written_anew_and_nobody_goes_back() {
    let mut pair = Pair::serving("one");
    let old = pair.kept.clone();
    pair.pass_until_call(0, 7200);
    pair.reply(0, "two");
    pair.pass(2);
    pair.kept = old;
    for _ in 0..8 {
        pair.pass(1);
        assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
    }
    let kept = String::from_utf8(pair.kept.clone().unwrap().expose().to_vec()).unwrap();
    assert!(kept.contains("\"two\""), "{kept}");
    assert_eq!(pair.relays[0].calls + pair.relays[1].calls, 2);
}

#[test]
fn a_token_that_could_not_be_stored_is_promised_no_further_than_the_lease_proves() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.cut = Some(0);
    pair.reply(0, "two");
    pair.pass(1);
    let promised = pair.status(0).offer.as_ref().unwrap().promise.seconds_left(pair.boot);
    assert!(pair.shown(0) == "two" && promised <= 15, "{promised}");
    pair.pass(20);
    assert_eq!(pair.shown(1), "one");
}

#[test]
fn what_wechat_said_of_an_old_secret_does_not_bind_the_next_holder() {
    let mut pair = Pair::new();
    pair.step(0, Event::Reply(Err(IssueError::Refused { errcode: 40125, errmsg: String::new() })));
    pair.pass(2);
    pair.relays[1].machine.secret_mark = secret("two");
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 20);
}

#[test]
fn a_record_of_another_appid_is_told_once_and_left_alone_while_it_changes() {
    let mut pair = Pair::serving("one");
    let other = Identity { appid: "wx2".to_owned(), ..identity() };
    for beat in 0..8 {
        let record = Record { failures: beat, ..Record::default() };
        pair.kept = Some(record.encode(&other, &BootId::from_text("b"), now(pair.boot, 0)));
        let stores = pair.stores;
        pair.pass(5);
        assert_eq!(pair.stores, stores);
    }
    for who in 0..2 {
        let told = pair.relays[who].notes.iter().filter(|note| note.starts_with("NotRestored")).count();
        assert_eq!(told, 1);
        assert!(pair.status(who).store_trouble == Some(StoreTrouble::AnothersRecord));
    }
}

#[test]
fn bytes_that_are_no_record_are_never_written_over_and_nobody_calls() {
    let mut pair = Pair::serving("one");
    let foreign = Some(Sealed::new(b"{\"version\":99}".to_vec()));
    pair.kept.clone_from(&foreign);
    pair.pass(7200);
    assert_eq!(pair.kept, foreign);
    assert_eq!(pair.relays[0].calls + pair.relays[1].calls, 1);
    assert_eq!(pair.status(1).store_trouble, Some(StoreTrouble::Newer(99)));
}

#[test]
fn a_holder_whose_ip_is_refused_for_minutes_gives_the_lease_to_a_relay_that_is_not() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    for _ in 1..5 {
        pair.refuse(0, 40164);
        assert!(pair.status(0).holds_lease && !pair.status(1).holds_lease);
        pair.pass_until_call(0, 70);
    }
    pair.refuse(0, 40164);
    pair.pass_until_call(1, 70);
    assert!(!pair.status(0).holds_lease && pair.status(1).holds_lease);
    pair.reply(1, "two");
    pair.pass(2);
    assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
    let calls = pair.relays[0].calls;
    pair.pass(3000);
    assert_eq!(pair.relays[0].calls, calls);
}

#[test]
fn where_every_ip_is_refused_the_relays_take_turns_and_call_no_more_often_than_one_would() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    let began = (pair.boot, pair.relays[0].calls);
    let mut turns = [0, 0];
    while pair.boot.since(began.0) < s(3600) {
        for (who, turns) in turns.iter_mut().enumerate() {
            let before = pair.relays[who].calls;
            pair.refuse(who, 40164);
            *turns += u32::from(pair.status(who).holds_lease);
            assert_eq!(pair.relays[who].calls, before, "never at once");
        }
        pair.pass(30);
    }
    let calls = pair.relays[0].calls - began.1 + pair.relays[1].calls;
    assert!(turns[0] > 20 && turns[1] > 20, "{turns:?}");
    assert!((40..=62).contains(&calls), "{calls} calls in an hour");
}

#[test]
fn a_refused_holder_without_another_relay_takes_the_lease_back_and_calls_on() {
    let mut pair = Pair::serving("one");
    pair.relays[1].is_frozen = true;
    pair.pass_until_call(0, 7200);
    for _ in 0..12 {
        pair.refuse(0, 40164);
        pair.pass_until_call(0, 90);
    }
    pair.reply(0, "two");
    pair.pass(1);
    assert_eq!(pair.shown(0), "two");
}

#[test]
fn a_keeper_that_panicked_in_mid_call_takes_that_call_for_lost() {
    let mut pair = Pair::new();
    pair.panics(0);
    pair.pass(7);
    assert_eq!(pair.relays[0].calls, 1, "the call of the keeper before it may still be under way");
    pair.pass_until_call(0, 10);
}

#[test]
fn a_report_to_a_keeper_that_cannot_read_its_record_is_not_settled() {
    let mut pair = Pair::serving("t1");
    pair.cut = Some(1);
    let reported = pair.relays[1].status.as_ref().unwrap().offer.as_ref().unwrap().generation;
    pair.panics(1);
    let boot = pair.boot;
    let actions = pair.relays[1].machine.step(now(boot, 0), Event::Report(ReportId(1), reported));
    let answer = actions.into_iter().find_map(|action| match action {
        Action::Answer(_, answer) => Some(answer),
        _ => None,
    });
    assert!(matches!(answer, Some(ReportAnswer::Failed { .. })), "{answer:?}");
}

#[test]
fn a_late_token_that_could_not_be_stored_before_a_rotation_is_the_candidate() {
    let mut pair = Pair::serving("t1");
    pair.pass_until_call(0, 7200);
    pair.relays[0].is_frozen = true;
    pair.pass(20);
    pair.read_only = Some(0);
    pair.reply(0, "t2");
    pair.pass_until_call(1, 300);
    pair.reply(1, "t3");
    pair.pass(2);
    pair.read_only = None;
    pair.pass(10);
    let notes = &pair.relays[0].notes;
    assert!(notes.iter().any(|note| note == "HandedOver { is_candidate: true }"), "{:?}", &notes[notes.len() - 5..]);
}

#[test]
fn a_call_given_up_late_is_remembered_by_all_even_if_its_first_writes_are_lost() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 400);
    pair.reply(1, "two");
    pair.pass(1);
    // the frozen relay goes on, finds its own timer run out, and the other one writes before it, twice
    let mut event = Event::Reply(Err(unknown()));
    for _ in 0..2 {
        let actions = pair.relays[0].machine.step(now(pair.boot, 0), event);
        assert!(actions.iter().any(|action| matches!(action, Action::Store { .. })), "{actions:?}");
        pair.pass(6);
        event = Event::Stored(Swap::Lost(pair.kept.clone()));
    }
    pair.relays[0].is_frozen = false;
    pair.step(0, event);
    pair.pass(2);
    for relay in &pair.relays {
        assert_eq!(relay.machine.record.unknown_calls.len(), 1, "{:?}", relay.machine);
    }
}
