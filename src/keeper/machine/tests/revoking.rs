//! What does an operator get who revokes a leaked token?

use super::*;
use crate::keeper::record::Revocation;

fn left(rig: &Rig) -> u8 {
    rig.status.as_ref().unwrap().rotations_to_revoke
}

#[test]
fn a_revoked_token_is_replaced_twice_thirty_seconds_apart_and_authenticates_nobody_from_the_start() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.reply_token("two", 7200);
    rig.pass(s(600));
    assert!(rig.authenticates("one") && rig.authenticates("two"));
    rig.revoke(1);
    assert_eq!(rig.answers, [(1, ReportAnswer::Accepted)]);
    assert_eq!((rig.calls.len(), left(&rig), rig.shown()), (3, 2, "two"), "it is served until another one has come");
    assert!(!rig.authenticates("one") && !rig.authenticates("two"));
    rig.reply_token("three", 7200);
    assert_eq!((rig.shown(), left(&rig)), ("three", 1));
    assert!(rig.authenticates("three") && !rig.authenticates("two"));
    assert!(rig.seconds() <= 270, "it lives 30 s and the overlap: {}", rig.seconds());
    let came_at = rig.boot;
    rig.run_to_call();
    assert_eq!(rig.boot.since(came_at), s(30));
    rig.reply_token("four", 7200);
    assert_eq!((rig.shown(), left(&rig), rig.calls.len()), ("four", 0, 4));
    assert!(rig.authenticates("three") && rig.authenticates("four"));
    assert!(!rig.authenticates("one") && !rig.authenticates("two"));
    assert!(rig.seconds() > 3000);
    rig.run_to_call();
    assert!(rig.boot.since(came_at) > s(3000), "then all goes on as planned");
}

#[test]
fn it_is_stored_before_its_first_call_and_goes_on_in_the_next_process() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.stores_by_hand = true;
    rig.revoke(1);
    assert_eq!((rig.calls.len(), rig.answers.len()), (1, 0));
    rig.stored(Swap::Won);
    assert_eq!(rig.answers, [(1, ReportAnswer::Accepted)]);
    rig.stores_by_hand = false;
    rig.restart();
    assert!(!rig.authenticates("one"));
    assert_eq!(rig.calls.len(), 2);
    rig.reply_token("two", 7200);
    rig.pass(s(10));
    rig.restart();
    assert_eq!(left(&rig), 1);
    let began_at = rig.boot;
    rig.run_to_call();
    assert!((s(19)..=s(20)).contains(&rig.boot.since(began_at)), "{:?}", rig.boot.since(began_at));
    rig.reply_token("three", 7200);
    rig.restart();
    assert!(left(&rig) == 0 && !rig.authenticates("one") && rig.authenticates("two"));
}

#[test]
fn a_store_that_takes_nothing_is_said_and_the_revocation_is_not_forgotten() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.stores_by_hand = true;
    rig.revoke(1);
    rig.fails_to_store();
    let failed =
        matches!(rig.answers[..], [(1, ReportAnswer::Failed { failure: ReportFailure::RevocationNotStored, .. })]);
    assert!(failed && !rig.authenticates("one"), "{:?}", rig.answers);
    rig.run_to_write();
    rig.stored(Swap::Won);
    rig.stores_by_hand = false;
    if rig.calls.len() == 1 {
        rig.run_to_call();
    }
    rig.reply_token("two", 7200);
    assert_eq!(left(&rig), 1);
}

#[test]
fn a_sticky_issuer_is_forced_until_the_text_has_changed_twice() {
    let mut rig = Rig::sticky();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.revoke(1);
    assert_eq!(rig.calls, [false, true]);
    rig.reply_token("one", 6600);
    assert_eq!((left(&rig), rig.shown()), (2, "one"), "it was asked too soon after another forced call");
    rig.run_to_call();
    rig.reply_token("two", 7200);
    assert!(rig.seconds() <= 270, "the next forced call ends it: {}", rig.seconds());
    rig.run_to_call();
    assert!(rig.seconds() <= 240, "{}", rig.seconds());
    rig.reply_token("three", 7200);
    assert_eq!((left(&rig), rig.shown(), &rig.calls[..]), (0, "three", &[false, true, true, true][..]));
    assert!(!rig.authenticates("one") && rig.seconds() > 7000);
}

#[test]
fn where_all_forced_calls_got_no_reply_a_normal_one_tells_whether_the_token_lives() {
    let mut rig = Rig::sticky();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.revoke(1);
    for number in 1..=6 {
        assert_eq!((rig.calls.len(), rig.calls.last()), (1 + number, Some(&true)));
        rig.reply(Err(unknown()));
        rig.accept_to_call();
    }
    let asked_at = rig.boot;
    assert_eq!((rig.calls.len(), rig.calls.last(), left(&rig)), (8, Some(&false), 2));
    rig.reply_token("one", 6000);
    assert_eq!((rig.shown(), rig.seconds()), ("one", 240), "a forced call may come whenever one is left again");
    rig.run_to_call();
    assert!(rig.boot.since(asked_at) > s(3000), "{:?}", rig.boot.since(asked_at));
}

/// That call ends nothing, so it needs no record; but a crash loop must not become a loop of calls.
#[test]
fn a_process_that_could_not_store_yet_asks_after_a_minute_which_token_is_the_newest() {
    let mut rig = Rig::sticky();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.revoke(1);
    for number in 1..=6 {
        rig.reply(Err(unknown()));
        if number < 6 {
            rig.accept_to_call();
        }
    }
    rig.stores_by_hand = true;
    rig.restart();
    let restarted_at = rig.boot;
    while rig.calls.len() == 7 {
        rig.run_to_write_or_call(8);
        if rig.calls.len() == 7 {
            rig.fails_to_store();
        }
    }
    let after = rig.boot.since(restarted_at);
    assert!((s(60)..s(80)).contains(&after) && rig.calls.last() == Some(&false), "{after:?} {:?}", rig.calls);
}

#[test]
fn without_a_forced_call_left_a_living_token_is_revoked_when_there_is_one_again() {
    let mut rig = Rig::sticky();
    rig.fetch("one", 7200);
    for id in 1..=3 {
        rig.pass(s(600));
        rig.revoke(id);
        rig.reply_token(["a", "c", "e"][usize::try_from(id).unwrap() - 1], 7200);
        rig.run_to_call();
        rig.reply_token(["b", "d", "f"][usize::try_from(id).unwrap() - 1], 7200);
    }
    assert_eq!((rig.calls.len(), left(&rig)), (7, 0));
    rig.revoke(4);
    let revoked_at = rig.boot;
    assert_eq!((rig.calls.len(), left(&rig)), (7, 2));
    rig.run_to_call();
    assert!(rig.boot.since(revoked_at) > s(5000), "{:?}", rig.boot.since(revoked_at));
}

#[test]
fn where_no_call_brings_another_token_nothing_is_revoked() {
    let mut policy = policy(RotationMode::Sticky);
    policy.issuer.can_be_forced = false;
    let mut rig = Rig::new(policy);
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.revoke(1);
    let refused = matches!(rig.answers[..], [(1, ReportAnswer::Failed { failure: ReportFailure::CannotRevoke, .. })]);
    assert!(refused && rig.calls.len() == 1 && rig.authenticates("one"), "{:?}", rig.answers);
}

#[test]
fn a_revocation_waits_for_a_probe_that_is_under_way_and_is_not_answered_by_it() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.report(1);
    rig.revoke(2);
    assert_eq!((rig.calls.len(), rig.answers.len()), (1, 0));
    rig.probed(accepted());
    assert_eq!(rig.answers, [(1, ReportAnswer::Accepted), (2, ReportAnswer::Accepted)]);
    assert_eq!((rig.calls.len(), left(&rig)), (2, 2));
}

#[test]
fn a_failed_call_is_made_again_and_the_revocation_stays() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(600));
    rig.revoke(1);
    rig.reply(Err(not_sent()));
    assert_eq!((left(&rig), rig.shown()), (2, "one"));
    let failed_at = rig.boot;
    rig.run_to_call();
    assert!(rig.boot.since(failed_at) < s(5));
    rig.reply(Err(unknown()));
    rig.run_to_call();
    assert!(rig.boot.since(failed_at) < s(20), "what the unknown call may have invalidated does not matter");
    rig.reply_token("two", 7200);
    assert_eq!((left(&rig), rig.shown()), (1, "two"));
}

/// A token that came late from another relay, after the revocation (seed 406 of several relays).
#[test]
fn a_token_that_is_not_revoked_is_promised_only_up_to_the_second_rotation_that_is_to_come() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.machine.known.record.revocation = Revocation::of(Generation(1));
    rig.step(Event::Tick);
    assert_eq!((rig.shown(), left(&rig), rig.seconds()), ("one", 2, 60), "30 s to the first, and 30 more");
    rig.run_to_call();
    rig.reply_token("two", 7200);
    rig.run_to_call();
    assert_eq!(left(&rig), 1);
    assert!(rig.seconds() >= 240, "it lives on after that rotation");
}

#[test]
fn a_rotation_without_a_revocation_tells_of_none() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.reply_token("two", 7200);
    assert!(!rig.notes.iter().any(|note| note.starts_with("Revok")), "{:?}", rig.notes);
}
