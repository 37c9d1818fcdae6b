//! What becomes of a token, and of a call, that comes when another relay has the lease?

use super::*;

/// Both serve `token`, and the first relay is frozen in its next call.
pub(super) fn frozen_in_a_call(token: &str) -> Pair {
    let mut pair = Pair::serving(token);
    pair.pass_until_call(0, 7200);
    pair.relays[0].is_frozen = true;
    pair
}

/// The same, and the other one takes the lease, waits for every promise to end, and rotates to `newer`.
pub(super) fn overtaken_by(newer: &str) -> Pair {
    let mut pair = frozen_in_a_call("one");
    pair.pass_until_call(1, 400);
    pair.reply(1, newer);
    pair
}

/// The first relay is frozen in a call, the second has rotated to "newer", and then the first one's call brings "late".
fn newer_and_late() -> Pair {
    let mut pair = overtaken_by("newer");
    // its generation is told by a later wall clock, and is all the same not the newer one
    pair.pass(6);
    let before = pair.generation(1);
    pair.reply(0, "late");
    pair.pass(3);
    assert_eq!([pair.shown(0), pair.shown(1)], ["newer", "newer"]);
    assert_eq!(pair.told(0, "HandedOver { is_candidate: true }"), 1, "{:?}", pair.relays[0].notes);
    assert!(
        pair.generation(0) >= before && pair.generation(0) == pair.generation(1),
        "what was served never goes back"
    );
    pair
}

fn probes_of(pair: &Pair, token: &str) -> usize {
    pair.relays.iter().flat_map(|relay| &relay.probes).filter(|probed| *probed == token).count()
}

#[test]
fn a_late_token_that_is_refused_does_not_replace_the_newer_one_and_a_rotation_settles_it() {
    let mut pair = newer_and_late();
    pair.dead = Some("late");
    let calls = pair.calls();
    while probes_of(&pair, "late") == 0 {
        assert_eq!(pair.calls(), calls, "a third rotation would kill one of the two");
        assert_eq!([pair.shown(0), pair.shown(1)], ["newer", "newer"]);
        pair.pass(1);
    }
    // WeChat refuses at times what it accepts a moment later: then it is the newer one that is dead, unknown to all
    pair.pass_until_call(1, 4);
    assert_eq!(pair.calls(), calls + 1);
    pair.reply(1, "last");
    pair.pass(400);
    assert_eq!([pair.shown(0), pair.shown(1)], ["last", "last"]);
    assert_eq!((probes_of(&pair, "late"), pair.calls()), (1, calls + 1));
}

#[test]
fn a_late_token_that_is_accepted_is_the_newer_one() {
    let mut pair = newer_and_late();
    let (before, calls) = (pair.generation(1), pair.calls());
    pair.pass(320);
    assert_eq!([pair.shown(0), pair.shown(1)], ["late", "late"]);
    assert!(pair.generation(0) > before && pair.generation(0) == pair.generation(1));
    assert_eq!((probes_of(&pair, "late"), pair.calls()), (1, calls));
}

/// Within an overlap of its mint both are accepted. Seed 9 of one or two relays.
#[test]
fn a_late_token_is_not_probed_within_an_overlap_of_a_rotation_that_was_under_way_when_it_was_handed_over() {
    let mut pair = overtaken_by("two");
    pair.pass(120);
    pair.step(1, Event::Report(ReportId(1), Generation::default(), Grounds::Revocation));
    assert_eq!(pair.relays[1].calls, 2, "a call is under way");
    pair.a_day_behind = Some(0); // else its generation is the later one
    pair.reply(0, "late");
    pair.pass(1);
    assert!(pair.store.text().contains("late"), "{}", pair.store.text());
    pair.has_no_permits = true; // the second rotation of the revocation does not come
    pair.reply(1, "three");
    let rotated_at = pair.boot;
    pair.pass(2);
    assert_eq!([pair.shown(0), pair.shown(1)], ["three", "three"]);
    while probes_of(&pair, "late") == 0 {
        pair.pass_step();
        assert!(pair.boot.since(rotated_at) < s(400), "never");
    }
    assert!(pair.boot.since(rotated_at) >= s(300), "{:?}", pair.boot.since(rotated_at));
}

#[test]
fn a_late_token_is_current_where_nobody_has_rotated() {
    let mut pair = frozen_in_a_call("one");
    pair.pass(20); // the other has the lease, and may not call yet
    assert!(pair.status(1).lease.is_ours());
    pair.reply(0, "late");
    pair.pass(3);
    assert_eq!([pair.shown(0), pair.shown(1)], ["late", "late"]);
    assert_eq!(pair.relays[1].calls, 0);
}

/// The second relay has the lease, and the first one has the late token "t2", and cannot write.
fn with_a_late_token_that_is_not_stored() -> Pair {
    let mut pair = frozen_in_a_call("t1");
    pair.pass(20);
    pair.read_only = Some(0);
    pair.reply(0, "t2");
    pair
}

/// The same, and the second one has rotated to "t3" since.
fn with_a_late_token_that_is_not_stored_before_a_rotation() -> Pair {
    let mut pair = with_a_late_token_that_is_not_stored();
    pair.pass_until_call(1, 300);
    pair.reply(1, "t3");
    pair.pass(2);
    pair
}

#[test]
fn a_late_token_that_could_not_be_stored_before_a_rotation_is_the_candidate() {
    let mut pair = with_a_late_token_that_is_not_stored_before_a_rotation();
    pair.read_only = None;
    pair.pass(10);
    assert!(pair.told(0, "HandedOver { is_candidate: true }") > 0, "{:?}", pair.relays[0].notes);
}

/// Seed 931 of several relays.
#[test]
fn a_late_token_is_not_served_where_the_one_that_came_between_is_dead() {
    let mut pair = with_a_late_token_that_is_not_stored_before_a_rotation();
    let refused = &mut pair.relays[1].machine.known;
    refused.record.credential.as_mut().unwrap().is_refused = true;
    refused.writer.is_dirty = true;
    refused.put_off(Timestamp::NEVER);
    pair.step(1, Event::Tick);
    pair.read_only = None;
    pair.pass(10);
    assert_eq!([pair.shown(0), pair.shown(1)], ["nothing", "nothing"]);
}

/// A rotation settles it at once: a candidate would wait for a probe.
#[test]
fn a_late_token_is_no_candidate_where_the_one_that_came_between_is_dead() {
    let mut pair = overtaken_by("newer");
    pair.pass(60);
    pair.has_no_permits = true;
    pair.dead = Some("newer");
    pair.report(1, Grounds::Report);
    pair.reply(0, "late");
    pair.pass(10);
    assert_eq!([pair.shown(0), pair.shown(1)], ["nothing", "nothing"]);
    assert_eq!(pair.told(0, "HandedOver"), 0, "{:?}", pair.relays[0].notes);
    pair.step(1, Event::Reserved);
    pair.reply(1, "last");
    pair.pass(400);
    assert_eq!(([pair.shown(0), pair.shown(1)], probes_of(&pair, "late")), (["last", "last"], 0));
}

/// A later number for the same token would wake everybody who waits for the next one.
#[test]
fn a_late_token_that_nobody_overtook_is_stored_under_the_generation_that_it_was_served_as() {
    let mut pair = with_a_late_token_that_is_not_stored();
    pair.pass(2);
    let served_as = pair.generation(0);
    assert_eq!(pair.shown(0), "t2");
    pair.report(1, Grounds::Report); // the other one writes meanwhile
    pair.pass(2);
    pair.read_only = None;
    pair.pass(10);
    assert_eq!([pair.shown(0), pair.shown(1)], ["t2", "t2"]);
    assert_eq!([pair.generation(0), pair.generation(1)], [served_as; 2]);
}

/// It was given a generation after the late one's, and with it authenticated again.
#[test]
fn a_revoked_token_stays_revoked_where_another_relay_hands_a_later_one_over() {
    let mut pair = overtaken_by("newer");
    pair.pass(60);
    pair.has_no_permits = true;
    pair.step(1, Event::Report(ReportId(1), Generation::default(), Grounds::Revocation));
    let revoked_as = pair.generation(1);
    pair.reply(0, "late");
    pair.pass(3);
    assert_eq!([pair.shown(0), pair.shown(1)], ["newer", "newer"]);
    assert!(pair.generation(1) > revoked_as, "else this shows nothing");
    assert!(pair.status(0).is_revoked && pair.status(1).is_revoked);
}

/// Seed 2031 of several relays.
#[test]
fn a_late_token_that_two_calls_may_have_ended_is_not_served() {
    let mut pair = with_a_late_token_that_is_not_stored();
    let refused = &mut pair.relays[1].machine.known;
    refused.record.credential.as_mut().unwrap().is_refused = true;
    refused.writer.is_dirty = true;
    pair.step(1, Event::Tick);
    for _ in 0..2 {
        pair.pass_until_call(1, 60);
        pair.step(1, Event::Reply(Err(unknown())));
    }
    pair.read_only = None;
    pair.pass(10);
    assert_eq!([pair.shown(0), pair.shown(1)], ["nothing", "nothing"]);
}

#[test]
fn a_call_given_up_late_is_remembered_by_all_even_if_its_first_writes_are_lost() {
    let mut pair = overtaken_by("two");
    pair.pass(1);
    // the frozen relay goes on, finds its own timer run out, and the other one writes before it, twice
    let mut event = Event::Reply(Err(unknown()));
    for beat in 0..2 {
        let actions = pair.only_step(0, event);
        assert!(actions.iter().any(|action| matches!(action, Action::Store { .. })), "{actions:?}");
        pair.pass(3);
        pair.relays[1].machine.known.record.failures = beat + 1;
        pair.relays[1].machine.known.writer.is_dirty = true;
        pair.step(1, Event::Tick);
        event = Event::Stored(Swap::Lost(pair.store.record.clone()));
    }
    pair.relays[0].is_frozen = false;
    pair.step(0, event);
    pair.pass(2);
    for relay in &pair.relays {
        assert_eq!(relay.machine.known.record.calls.len(), 1, "{:?}", relay.machine);
        assert!(matches!(relay.machine.known.record.calls[0].outcome, Outcome::Unknown { .. }), "{:?}", relay.machine);
    }
}

/// Until the others hear of it, they go on to promise for O − r from any moment: a call O − r after its end came too soon.
#[test]
fn nobody_calls_before_what_was_promised_until_a_late_call_was_heard_of_has_run_out() {
    let mut pair = overtaken_by("two");
    pair.pass(2);
    // the other one has just looked
    while pair.relays[1].poll_at != pair.boot.plus(POLL) {
        pair.pass_step();
    }
    pair.relays[0].is_frozen = false;
    pair.step(0, Event::Reply(Err(unknown())));
    await_call_after_promises(&mut pair, "two");
}

/// Until another call begins, which has to wait until nothing is promised any more of `token`.
pub(super) fn await_call_after_promises(pair: &mut Pair, token: &str) {
    let mut promised = pair.boot;
    let calls = pair.calls();
    while pair.calls() == calls {
        assert!(pair.boot < promised.plus(s(400)), "no call: {:?}", pair.relays[1].machine);
        for who in [0, 1].into_iter().filter(|who| pair.shown(*who) == token) {
            promised = promised.max(pair.boot.plus(s(pair.seconds(who))));
        }
        pair.pass_step();
    }
    assert!(promised <= pair.boot, "{:?} too soon", promised.since(pair.boot));
}

/// The first relay is frozen in a call, and the second has rotated to "two": so long after, the first one brings "late", which by its
/// reckoning ends `ends_in` later. Its life counts from before the freeze.
fn with_a_late_token_that_ends_soon(after_s: u64, ends_in: Duration) -> Pair {
    let mut pair = frozen_in_a_call("one");
    let sent_at = pair.boot;
    pair.pass_until_call(1, 400);
    pair.reply(1, "two");
    pair.pass(after_s);
    let token = Token::try_from("late".to_owned()).unwrap();
    let life = pair.boot.since(sent_at) + ends_in;
    pair.relays[0].is_frozen = false;
    pair.step(0, Event::Reply(Ok(Issued { token, life })));
    pair
}

/// To take it would have a call made when it ends. Seed 491 of several relays.
#[test]
fn a_late_token_that_ends_before_the_promises_of_the_one_before_is_not_taken() {
    let mut pair = with_a_late_token_that_ends_soon(300, s(60));
    await_call_after_promises(&mut pair, "two");
    assert_eq!((probes_of(&pair, "late"), pair.shown(0), pair.shown(1)), (1, "two", "two"));
}

/// The one before was probed, and is promised for a second at a time. Seed 1400 of several relays.
#[test]
fn the_call_after_a_late_token_that_has_ended_waits_until_all_have_heard_of_it() {
    let mut pair = with_a_late_token_that_ends_soon(40, s(200));
    await_call_after_promises(&mut pair, "two");
    assert_eq!(probes_of(&pair, "late"), 1);
    assert!(probes_of(&pair, "two") > 0);
}

/// With the one before, which the first rotation of a revocation brought, it is one of the two that WeChat keeps. Seed 3871 of
/// several relays.
#[test]
fn a_late_token_that_is_accepted_is_the_second_rotation_of_a_revocation() {
    let mut pair = overtaken_by("two");
    pair.pass(2);
    pair.step(1, Event::Report(ReportId(1), Generation::default(), Grounds::Revocation));
    pair.reply(1, "three");
    // the second rotation, 30 s later, does not come
    pair.has_no_permits = true;
    pair.pass(130);
    pair.reply(0, "late");
    pair.pass(3);
    pair.has_no_permits = false;
    pair.pass(300);
    assert_eq!([pair.shown(0), pair.shown(1)], ["late", "late"]);
    assert_eq!((pair.relays[1].calls, pair.status(1).rotations_to_revoke), (2, 0));
}

/// What readers are shown by this, one after the other.
fn published(actions: &[Action]) -> Vec<Option<&str>> {
    let shown = actions.iter().filter_map(|action| match action {
        Action::Publish(status) => Some(status.offer.as_ref().map(|offer| offer.token.expose())),
        _ => None,
    });
    shown.collect()
}

/// The relay that learns of a later token in the same step as of the verdict served the refused one until the later one was stored.
#[test]
fn a_token_that_was_refused_is_not_served_while_the_one_after_it_is_being_stored() {
    let mut pair = frozen_in_a_call("one");
    pair.pass(20);
    let mut event = Some(Event::Report(ReportId(1), pair.generation(1), Grounds::Report));
    while let Some(next) = event {
        let actions = pair.only_step(1, next);
        let is_probing = actions.iter().any(|action| matches!(action, Action::Probe(_)));
        event = actions.into_iter().filter(|_| !is_probing).find_map(|action| pair.obey(1, action));
    }
    pair.reply(0, "two");
    pair.pass(2);
    assert_eq!([pair.shown(0), pair.shown(1)], ["two", "one"]);
    let actions = pair.only_step(1, Event::Probed(refused()));
    assert_eq!(published(&actions), [None]);
}

/// The same where another relay has had it probed.
#[test]
fn a_token_that_another_relay_saw_refused_is_not_served_while_the_one_after_it_is_being_stored() {
    let mut pair = frozen_in_a_call("one");
    pair.pass(20);
    pair.dead = Some("one");
    pair.report(1, Grounds::Report);
    assert!(pair.store.text().contains(r#""is_refused":true"#), "{}", pair.store.text());
    assert_eq!(pair.shown(0), "one");
    let (boot, relay) = (pair.boot, &mut pair.relays[0]);
    relay.is_frozen = false;
    relay.poll(boot, Some(&mut pair.store));
    let reply = Issued { token: Token::try_from("two".to_owned()).unwrap(), life: s(7200) };
    let actions = pair.only_step(0, Event::Reply(Ok(reply)));
    assert!(!published(&actions).contains(&Some("one")));
}
