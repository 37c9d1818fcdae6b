//! What is promised where the store loses what a relay wrote, and that relay is frozen before it finds out? An exhaustive model of the
//! design found each of these.

use super::{
    late::{await_call_after_promises, frozen_in_a_call, overtaken_by},
    *,
};

/// The store goes back to `before`; the first who asks finds out.
fn goes_back(pair: &mut Pair, before: &Shared) {
    pair.store = Shared { nonce: pair.store.nonce + 1, ..before.clone() };
}

#[test]
fn a_relay_that_hands_a_token_over_does_not_forget_a_call_that_the_store_has_lost() {
    let mut pair = frozen_in_a_call("one");
    // the first one's token has come, and is not stored
    let token = Token::try_from("late".to_owned()).unwrap();
    pair.only_step(0, Event::Reply(Ok(Issued { token, life: s(7200) })));
    pair.pass(20);
    let before = pair.store.clone();
    pair.pass_until_call(1, 300);
    let called_at = pair.boot;
    pair.relays[1].is_frozen = true;
    // it goes on, learns of the other one's call, and the store loses that before its own write
    let told = Event::Stored(Swap::Lost(pair.store.record.clone()));
    let actions = pair.only_step(0, told);
    assert!(actions.iter().any(|action| matches!(action, Action::Store { .. })), "{actions:?}");
    goes_back(&mut pair, &before);
    pair.relays[0].is_frozen = false;
    let lost = Event::Stored(Swap::Lost(pair.store.record.clone()));
    pair.step(0, lost);
    assert_eq!(pair.shown(0), "late");
    // that call may have ended it an overlap later
    pair.pass(120);
    let promised = s(pair.seconds(0));
    assert!(pair.boot.plus(promised) <= called_at.plus(s(240)), "{promised:?}");
}

#[test]
fn a_late_call_that_the_store_has_lost_counts_from_when_all_have_heard_of_it_again() {
    let mut pair = overtaken_by("two");
    pair.pass(2);
    let before = pair.store.clone();
    pair.relays[0].is_frozen = false;
    pair.step(0, Event::Reply(Err(unknown())));
    pair.relays[0].is_frozen = true;
    goes_back(&mut pair, &before);
    pair.pass(100);
    pair.relays[0].is_frozen = false;
    await_call_after_promises(&mut pair, "two");
}

#[test]
fn a_holder_whose_lease_the_store_has_lost_promises_nothing_into_the_second_call_of_the_next_one() {
    let mut pair = Pair::serving("one");
    let rotation_at = pair.status(0).rotation_at.unwrap();
    pair.pass(rotation_at.since(pair.boot).as_secs() - 4);
    pair.step(0, Event::Shutdown);
    let before = pair.store.clone();
    pair.relays[0].is_frozen = true;
    while !pair.status(1).lease.is_ours() {
        pair.pass_step();
    }
    // just before its first call, the second one stands still, and the store loses that it has the lease
    while pair.boot < rotation_at.minus(STEP) {
        pair.pass_step();
    }
    assert_eq!(pair.relays[1].calls, 0);
    pair.relays[1].is_frozen = true;
    goes_back(&mut pair, &before);
    pair.relays[0].is_frozen = false;
    pair.panics(0); // it is started again, and takes the lease at once
    for _ in 0..2 {
        pair.pass_until_call(0, 300);
        pair.step(0, Event::Reply(Err(unknown())));
    }
    assert_eq!(pair.seconds(1), 0, "the second call of two ends the token at once");
}

/// It was taken in anew from what the relay itself had kept to store it later, as if no probe had been made.
#[test]
fn a_token_that_was_refused_before_it_could_be_stored_stays_refused() {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, "one");
    pair.pass_until_call(0, 8000);
    pair.read_only = Some(0);
    pair.reply(0, "two");
    // in its last overlap calls and probes go unrecorded
    pair.pass_until_call(0, 8000);
    pair.reply_again(0);
    assert_eq!(pair.shown(0), "two");
    pair.dead = Some("two");
    pair.report(0, Grounds::Report);
    assert_eq!(pair.shown(0), "nothing");
    // another relay has written meanwhile
    let text = pair.store.text().replacen(r#""revision":"#, r#""revision":1"#, 1);
    pair.store.write(Sealed::new(text.into_bytes()));
    pair.read_only = None;
    pair.lose_reply(0);
    pair.pass(3);
    assert_eq!(pair.shown(0), "nothing");
}

/// The token of the frozen relay, which has the later generation, would hide the one that the others have meanwhile.
#[test]
fn a_late_token_that_a_store_that_went_back_does_not_know_is_the_candidate_too() {
    let mut pair = Pair::serving("one");
    pair.pass(60);
    let before = pair.store.clone();
    for _ in 0..4 {
        pair.pass(40);
        pair.report(0, Grounds::Report); // writes, each with a later revision
    }
    pair.pass_until_call(0, 7200);
    pair.relays[0].is_frozen = true;
    goes_back(&mut pair, &before);
    pair.a_day_behind = Some(1);
    pair.panics(1);
    pair.pass_until_call(1, 800);
    pair.reply(1, "newer");
    pair.pass(2);
    pair.reply(0, "late");
    pair.pass(3);
    assert_eq!([pair.shown(0), pair.shown(1)], ["newer", "newer"]);
    assert_eq!(pair.told(0, "HandedOver { is_candidate: true }"), 1, "{:?}", pair.relays[0].notes);
}

/// WeCom gives the same token to all until it ends, and does not say when.
#[test]
fn a_call_that_went_unrecorded_counts_for_the_life_of_the_token_that_it_may_have_minted() {
    let mut pair = Pair::of(Policy { issuer: crate::issuer::wecom::PROFILE, ..policy(RotationMode::Sticky) });
    pair.reply(0, "one");
    pair.pass_until_call(0, 60);
    pair.reply(0, "two");
    assert!(pair.shown(0) == "two" && pair.seconds(0) > 7160, "its life began since the call before");
    pair.relays[1].is_frozen = true;
    pair.pass(7100);
    pair.cut = Some(0);
    pair.pass_until_call(0, 200);
    let minted_at = pair.boot;
    pair.reply(0, "three");
    pair.pass(2400);
    // it ends before it could store that
    pair.store.presences.clear();
    pair.relays[0] = Relay::new(pair.relays[0].machine.known.charge.policy, 3, pair.boot);
    pair.cut = None;
    pair.pass_until_call(0, 60);
    pair.reply(0, "three");
    let left = s(7200).saturating_sub(pair.boot.since(minted_at));
    assert!(pair.seconds(0) <= left.as_secs(), "{} of {left:?}", pair.seconds(0));
}

#[test]
fn what_comes_after_a_token_of_unknown_age_may_have_been_minted_by_a_relay_that_is_cut_off() {
    for failures in 0..6 {
        let mut pair = Pair::of(Policy { issuer: crate::issuer::wecom::PROFILE, ..policy(RotationMode::Sticky) });
        pair.reply(0, "one");
        pair.pass(2);
        pair.cut = Some(1);
        // each of the two asks at its own pace whether the token has ended: it ends after some failures of the one
        let (mut minted_at, mut asked, mut failed) = (None, [1, 0], 0);
        while pair.shown(0) == "one" {
            pair.pass(1);
            if pair.relays[1].calls > asked[1] {
                asked[1] = pair.relays[1].calls;
                let has_ended = failed == failures;
                pair.reply(1, if has_ended { "two" } else { "one" });
                minted_at = minted_at.or(has_ended.then_some(pair.boot));
            }
            if pair.relays[0].calls > asked[0] {
                asked[0] = pair.relays[0].calls;
                if failed < failures {
                    failed += 1;
                    pair.refuse(0, -1);
                } else {
                    pair.reply(0, if minted_at.is_some() { "two" } else { "one" });
                }
            }
        }
        let age = pair.boot.since(minted_at.unwrap());
        assert!(pair.seconds(0) + age.as_secs() <= 7200, "{} s after {age:?}", pair.seconds(0));
    }
}
