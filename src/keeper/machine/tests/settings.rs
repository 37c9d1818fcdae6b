//! The settings are changed while the machine lives.

use super::{rig::*, *};

impl Rig {
    /// The account's AppSecret was changed to this one.
    fn change_secret(&mut self, secret: &str) {
        self.step(Event::Reconfigured(self.policy, SecretMark::of("wx1", secret)));
    }
}

/// A relay that asks with the secret "old".
fn asking_with_old(mut rig: Rig) -> Rig {
    rig.restart_with(SecretMark::of("wx1", "old"));
    rig.run_to_call();
    rig
}

#[test]
fn a_changed_secret_is_tried_at_once_where_the_old_one_was_refused() {
    for mut rig in [Rig::rotating(), Rig::sticky()].map(asking_with_old) {
        rig.reply(Err(code(40125)));
        assert!(rig.call_at().since(rig.boot) >= s(60));
        let (refused_at, before) = (rig.boot, rig.calls.len());
        rig.change_secret("new");
        rig.run_to_call();
        assert_eq!(rig.boot.since(refused_at), ATTEMPT_GAP);
        rig.reply_token("one", 7200);
        assert_eq!((rig.shown(), rig.calls.len()), ("one", before + 1));
    }
}

#[test]
fn a_changed_secret_is_not_asked_with_before_the_pause_between_two_calls_is_over() {
    let mut rig = asking_with_old(Rig::rotating());
    rig.reply_token("one", 7200);
    rig.run_to_call();
    rig.reply(Err(code(40125)));
    let changed_at = rig.boot.plus(s(30));
    rig.at(changed_at);
    rig.change_secret("new");
    rig.run_to_call();
    assert!(rig.boot.since(changed_at) >= ATTEMPT_GAP, "{:?}", rig.boot.since(changed_at));
}

#[test]
fn a_refusal_of_the_old_secret_that_comes_after_the_change_does_not_bind_the_new_one() {
    let mut rig = asking_with_old(Rig::rotating());
    rig.change_secret("new");
    rig.reply(Err(code(40125)));
    let refused_at = rig.boot;
    rig.run_to_call();
    assert_eq!(rig.boot.since(refused_at), ATTEMPT_GAP);
    rig.reply(Err(code(40125)));
    assert!(rig.call_at().since(rig.boot) >= s(60), "the new one is refused: now it is the operator's turn");
}

/// A call would end the token under the promises that were made of it (I3).
#[test]
fn a_changed_secret_ends_no_living_token_of_a_rotating_issuer() {
    let mut rig = asking_with_old(Rig::rotating());
    rig.reply_token("one", 7200);
    let (calls, seconds, due_at) = (rig.calls.len(), rig.seconds(), rig.call_at());
    rig.change_secret("new");
    assert_eq!((rig.calls.len(), rig.seconds(), rig.call_at()), (calls, seconds, due_at));
    rig.run_to_call();
    assert_eq!(rig.boot, due_at);
}

#[test]
fn a_sticky_issuer_is_asked_once_with_the_changed_secret() {
    let mut rig = asking_with_old(Rig::sticky());
    rig.reply_token("one", 7200);
    rig.pass(s(600));
    let before = rig.calls.len();
    rig.change_secret("new");
    assert_eq!(rig.calls.len(), before + 1);
    rig.reply_token("one", 6600);
    assert_eq!((rig.shown(), rig.seconds()), ("one", 6600));
    rig.pass(s(600));
    assert_eq!(rig.calls.len(), before + 1);
}

#[test]
fn a_wrong_secret_takes_no_living_token_away() {
    let mut rig = asking_with_old(Rig::sticky());
    rig.reply_token("one", 7200);
    rig.pass(s(600));
    rig.change_secret("wrong");
    rig.reply(Err(code(40125)));
    assert_eq!((rig.shown(), rig.seconds()), ("one", 6600));
}

#[test]
fn a_changed_policy_counts_from_the_next_step_on() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(accepted());
    rig.pass(s(5));
    rig.report(2);
    assert!(matches!(rig.answers.last(), Some((2, ReportAnswer::TooMany { .. }))), "{:?}", rig.answers);
    let policy = Policy { report_cooldown: s(2), ..rig.policy };
    rig.step(Event::Reconfigured(policy, SecretMark::default()));
    rig.report(3);
    assert!(rig.is_probing());
}
