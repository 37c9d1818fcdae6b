//! An issuer as WeCom is: it gives the same token up to its end, does not tell how long that is, promises no overlap, cannot be
//! forced, and punishes wrong secrets.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use wechat_sim::model::{Grant, Model, Rules};

use super::{
    rig::{Rig, accepted, code, not_sent, refused, unknown},
    *,
};
use crate::issuer::wecom::{DEFAULT_CALLS_PER_DAY, PROFILE};

const HOUR: Duration = s(3600);

fn policy() -> Policy {
    Policy { issuer: PROFILE, calls_per_day: DEFAULT_CALLS_PER_DAY, ..rig::policy(RotationMode::Sticky) }
}

/// A relay that has seen the first token, `one`, end: how old `two` is it knows.
fn with_a_token_of_known_age() -> Rig {
    let mut rig = Rig::new(policy());
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.reply_token("two", 7200);
    assert_eq!((rig.shown(), rig.seconds()), ("two", 7200));
    rig
}

#[test]
fn a_wrong_secret_is_tried_once_an_hour_however_often_the_relay_is_restarted() {
    let mut rig = Rig::new(policy());
    let began_at = rig.boot;
    rig.reply(Err(code(40001)));
    while rig.boot.since(began_at) < s(3593) {
        rig.pass(s(7));
        rig.restart();
        assert_eq!(rig.calls.len(), 1, "after {:?}", rig.boot.since(began_at));
    }
    rig.run_to_call();
    assert_eq!(rig.boot.since(began_at), HOUR);
    rig.reply(Err(code(40001)));
    rig.reboot(s(60));
    rig.run_to_call();
    assert!(rig.boot.since(Timestamp::from_micros(1_000_000)) >= s(3530), "over a reboot too");
}

#[test]
fn a_refused_secret_leaves_the_living_token_served_to_its_end() {
    let mut rig = with_a_token_of_known_age();
    rig.report(1);
    rig.pass(s(60));
    rig.restart();
    assert_eq!((rig.shown(), rig.seconds(), rig.calls.len()), ("two", 7140, 2), "a restart is free");
    rig.run_to_call();
    assert!(rig.seconds() == 0, "its life is over");
    rig.reply(Err(code(40001)));
    let failed_at = rig.boot;
    rig.run_to_call();
    assert_eq!(rig.boot.since(failed_at), HOUR);
}

/// The token goes with the old secret, and then there was nothing to probe: the keeper stood still for ever.
#[test]
fn a_secret_that_is_changed_while_a_probe_is_being_recorded_is_tried_at_once() {
    let mut rig = with_a_token_of_known_age();
    rig.pass(s(60));
    rig.stores_by_hand = true;
    rig.report(1);
    rig.run_to_write();
    rig.step(Event::Reconfigured(policy(), SecretMark::of("ww1", "another")));
    rig.stores_by_hand = false;
    rig.stored(Swap::Won);
    assert!(rig.probes == 0 && rig.is_calling(), "{:?}", rig.machine);
    rig.reply_token("three", 7200);
    assert_eq!(rig.shown(), "three");
    assert!(matches!(rig.answers[..], [(1, ReportAnswer::Superseded)]), "{:?}", rig.answers);
    rig.step(Event::Shutdown);
    assert!(rig.is_stopped);
}

#[test]
fn a_secret_that_is_changed_while_a_call_is_being_recorded_is_tried_once() {
    let mut rig = Rig::with(policy(), true);
    rig.run_to_write();
    rig.step(Event::Reconfigured(policy(), SecretMark::of("ww1", "another")));
    assert!(!rig.is_calling());
    rig.stores_by_hand = false;
    rig.stored(Swap::Won);
    assert!(rig.is_calling(), "it is made with the new one");
    rig.reply(Err(code(40001)));
    let failed_at = rig.boot;
    rig.run_to_call();
    assert_eq!(rig.boot.since(failed_at), HOUR);
}

#[test]
fn a_healthy_token_is_renewed_in_time_though_half_of_a_small_day_is_spent() {
    let mut rig = Rig::new(Policy { calls_per_day: 20, ..policy() });
    rig.fetch("one", 7200);
    rig.run_to_call();
    for number in 0..30 {
        rig.reply_token(["two", "three"][number % 2], 7200);
        let before = rig.boot;
        rig.run_to_call();
        assert!(rig.boot.since(before) <= s(7201), "{:?}", rig.boot.since(before));
    }
}

#[test]
fn another_secret_is_tried_at_once_and_takes_no_token_of_the_one_before() {
    let mut rig = with_a_token_of_known_age();
    for (secret, is_kept) in [("first", false), ("first", true), ("second", false)] {
        let before = rig.calls.len();
        rig.restart_with(SecretMark::of("ww1", secret));
        assert_eq!(rig.shown() == "nothing", !is_kept, "{secret}");
        if !is_kept {
            assert_eq!(rig.status.as_ref().unwrap().handed_out, []);
            rig.run_to_call();
            assert_eq!(rig.calls.len(), before + 1);
            rig.reply_token(secret, 7200);
        }
        assert_eq!((rig.shown(), rig.calls.len()), (secret, before + usize::from(!is_kept)));
    }
    rig.pass(s(7300));
    rig.reply(Err(code(40001)));
    rig.pass(s(1));
    let before = rig.calls.len();
    rig.restart_with(SecretMark::of("ww1", "third"));
    rig.pass(s(1));
    assert_eq!(rig.calls.len(), before + 1);
}

#[test]
fn a_token_is_asked_for_when_it_has_ended_and_each_second_until_another_comes() {
    let mut rig = with_a_token_of_known_age();
    let asked_at = rig.boot;
    rig.run_to_call();
    assert_eq!(rig.boot.since(asked_at), s(7200));
    for _ in 0..3 {
        rig.reply_token("two", 7200);
        let answered_at = rig.boot;
        assert_eq!(rig.seconds(), 0, "what is told of a life that is over counts for nothing");
        rig.run_to_call();
        assert_eq!(rig.boot.since(answered_at), s(1));
    }
    rig.reply_token("three", 7200);
    assert_eq!((rig.shown(), rig.seconds()), ("three", 7200));
}

#[test]
fn a_token_of_unknown_age_is_promised_for_a_minute_and_asked_for_until_another_comes() {
    let mut rig = Rig::new(policy());
    rig.fetch("one", 7200);
    for _ in 0..30 {
        assert_eq!(rig.seconds(), 60);
        let asked_at = rig.boot;
        rig.run_to_call();
        assert_eq!((rig.boot.since(asked_at), rig.seconds()), (s(30), 30));
        rig.reply_token("one", 7200);
    }
    rig.restart();
    assert_eq!((rig.shown(), rig.seconds()), ("one", 60), "over restarts too");
    rig.run_to_call();
    rig.reply_token("two", 7200);
    assert_eq!((rig.shown(), rig.seconds()), ("two", 7200), "this call has minted it: nobody else asks");
    let before = rig.calls.len();
    rig.pass(s(7000));
    assert_eq!(rig.calls.len(), before);
}

#[test]
fn should_wecom_renew_a_token_instead_of_replacing_it_it_is_served_on_a_minute_at_a_time() {
    let mut rig = with_a_token_of_known_age();
    rig.run_to_call();
    let ended_at = rig.boot;
    while rig.boot.since(ended_at) < s(3) {
        rig.reply_token("two", 7200);
        assert_eq!(rig.seconds(), 0);
        rig.run_to_call();
    }
    rig.reply_token("two", 7200);
    assert_eq!((rig.shown(), rig.seconds()), ("two", 60));
}

#[test]
fn what_comes_after_a_call_without_an_answer_lives_no_longer_than_if_that_call_had_minted_it() {
    for crashes in [false, true] {
        let mut rig = with_a_token_of_known_age();
        rig.run_to_call();
        let asked_at = rig.boot;
        rig.boot = asked_at.plus(s(8));
        if crashes {
            rig.restart();
        } else {
            rig.reply(Err(unknown()));
        }
        rig.run_to_call();
        rig.reply(Err(code(-1)));
        rig.run_to_call();
        rig.reply_token("three", 7200);
        let left = s(7200).saturating_sub(rig.boot.since(asked_at)).as_secs();
        assert_eq!((rig.shown(), rig.seconds()), ("three", left));
    }
}

#[test]
fn a_record_that_is_read_after_its_token_was_due_does_not_know_when_the_next_one_was_minted() {
    let mut rig = with_a_token_of_known_age();
    rig.pass(s(7000));
    rig.reboot(s(3600));
    rig.reply_token("three", 7200);
    // it may have been fetched when it was due, by a relay that could not store it and has crashed
    assert!(rig.shown() == "three" && (3790..=3800).contains(&rig.seconds()), "{}", rig.seconds());
}

#[test]
fn a_token_that_was_revoked_costs_one_probe_and_one_call() {
    let mut rig = with_a_token_of_known_age();
    rig.pass(s(600));
    for id in 0..20 {
        rig.report(id);
    }
    assert_eq!((rig.probes, rig.calls.len()), (1, 2));
    rig.probed(refused());
    assert_eq!((rig.shown(), rig.calls.len()), ("nothing", 3));
    rig.reply_token("three", 7200);
    assert_eq!((rig.shown(), rig.seconds()), ("three", 7200));
    assert!(rig.answers.len() == 20 && rig.answers.iter().all(|(_, answer)| *answer == ReportAnswer::Superseded));
}

#[test]
fn a_clock_that_was_set_and_a_store_that_fails_leave_the_token_served_without_a_stream_of_probes() {
    let mut rig = with_a_token_of_known_age();
    rig.wall_ms = 3_600_000;
    rig.pass(s(5));
    rig.probed(accepted());
    for _ in 0..100 {
        rig.pass(s(60));
        assert!((1..=240).contains(&rig.seconds()), "{}", rig.seconds());
    }
    assert_eq!(rig.probes, 1);
    let mut rig = Rig::with(policy(), true);
    rig.stored(Swap::Won);
    rig.reply_token("one", 7200);
    rig.fails_to_store();
    assert_eq!((rig.shown(), rig.seconds()), ("one", 60));
}

/// WeCom on the time of a rig, with calls that take their time and fail at times.
struct Agent {
    model: Model,
    rng: fastrand::Rng,
    was_revoked: bool,
}

const CORP: &str = "ww1";
const SECRET: &str = "a secret";
const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Agent {
    fn new(seed: u64) -> Self {
        let mut model = Model::new(Rules::default(), seed);
        model.register_agent(CORP, "1", SECRET);
        Self { model, rng: fastrand::Rng::with_seed(seed), was_revoked: false }
    }

    fn call(&mut self, at: Timestamp) -> Grant {
        self.model.agent_token(at.since(Timestamp::default()), IP, Some(CORP), Some(SECRET)).unwrap()
    }

    /// How long what is shown works, if nothing happens to it.
    fn left(&self, rig: &Rig) -> Duration {
        self.model.alive_for(rig.boot.since(Timestamp::default()), rig.shown()).unwrap_or_default()
    }

    /// The call that is under way: its answer, and how long it takes.
    fn answer(&mut self, rig: &mut Rig, fails: u8) {
        let up = Duration::from_millis(self.rng.u64(1..1500));
        let fate = self.rng.u8(0..100);
        if fate < fails / 2 {
            rig.boot = rig.boot.plus(s(3));
            return rig.reply(Err(not_sent()));
        }
        rig.boot = rig.boot.plus(up);
        let grant = self.call(rig.boot);
        self.was_revoked = false;
        rig.boot = rig.boot.plus(Duration::from_millis(self.rng.u64(1..1500)));
        if fate < fails {
            return rig.reply(Err(unknown()));
        }
        rig.reply_token(&grant.access_token, grant.left.as_secs());
    }

    /// No second is promised that WeCom does not keep, but of a token that it has revoked.
    fn judge(&self, rig: &Rig, tolerance: Duration) {
        let (promised, left) = (s(rig.seconds()), self.left(rig));
        assert!(self.was_revoked || promised <= left + tolerance, "{promised:?} promised, {left:?} left");
    }
}

/// Nobody knows when it ends, or only that it does so between two moments, the first of which is before its deadline.
fn may_end_before_its_deadline(rig: &Rig) -> bool {
    let held = rig.machine.known.record.credential.as_ref();
    held.is_some_and(|held| {
        let ends = held.sighting.map(|sighting| sighting.ends);
        ends.is_some_and(|ends| ends.is_none_or(|end| end.earliest < held.deadline.earliest))
    })
}

proptest! {
    #[test]
    fn over_days_no_dead_token_is_promised_and_few_calls_are_made(
        seed: u64,
        fails in prop_oneof![Just(0_u8), Just(20)],
        is_old: bool,
        revocations in 0..3_u32,
    ) {
        let mut agent = Agent::new(seed);
        let mut rig = Rig::new(policy());
        let began_at = rig.boot;
        if is_old {
            // somebody has asked for it before
            let age = s(agent.rng.u64(1..900));
            agent.call(began_at.minus(age));
        }
        let (mut longest_gap, mut without_since) = (Duration::ZERO, None);
        while rig.boot.since(began_at) < s(3 * 24 * 3600) {
            if rig.is_calling() {
                agent.answer(&mut rig, fails);
            } else {
                let due = rig.wake_at.min(rig.boot.plus(s(agent.rng.u64(1..600)))).max(rig.boot);
                rig.at(due);
            }
            if revocations > 0 && !agent.was_revoked && rig.seconds() > 0 && agent.rng.u32(0..2000) < revocations {
                let now = rig.boot.since(Timestamp::default());
                agent.was_revoked = agent.model.revoke_agent(now, "ww1/1");
                rig.pass(s(40));
                rig.report(7);
                if rig.is_probing() {
                    rig.probed(if agent.left(&rig).is_zero() { refused() } else { accepted() });
                }
            }
            // while its age is not known it may end within the minute that is promised at a time
            agent.judge(&rig, if may_end_before_its_deadline(&rig) { s(60) } else { Duration::ZERO });
            match (rig.seconds() == 0, without_since) {
                (true, None) => without_since = Some(rig.boot),
                (false, Some(since)) => {
                    longest_gap = longest_gap.max(rig.boot.since(since));
                    without_since = None;
                }
                _ => {}
            }
        }
        let calls = u32::try_from(rig.calls.len()).unwrap();
        // twelve tokens a day, asked for twice or three times; 240 for the age of the first
        let most = 3 * 3 * 13 + 250 + revocations * 100 + if fails > 0 { 400 } else { 0 };
        prop_assert!(calls <= most, "{calls} calls");
        if fails == 0 && revocations == 0 && !is_old {
            prop_assert!(longest_gap < s(8), "{longest_gap:?} without a token");
        }
    }
}
