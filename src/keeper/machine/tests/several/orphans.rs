//! How is a call reckoned with that a lost relay had announced, and may still send?

use super::{late::frozen_in_a_call, *};
use crate::{
    clock::ClockOffset,
    keeper::{
        machine::learning::on_our_clock,
        record::{ClockBasis, Debit, FORCED_PER_DAY, Orphan},
    },
};

#[test]
fn a_call_that_minted_nothing_is_taken_back_where_the_others_took_it_for_unknown() {
    let mut pair = frozen_in_a_call("one");
    pair.pass(20);
    assert!(matches!(pair.relays[1].machine.known.record.calls[0].outcome, Outcome::Unknown { .. }));
    let promised = pair.seconds(1);
    pair.relays[0].is_frozen = false;
    pair.refuse(0, -1);
    pair.pass(2);
    for relay in &pair.relays {
        assert_eq!(relay.machine.known.record.calls[0].outcome, Outcome::Void, "{:?}", relay.machine);
        assert_eq!(relay.machine.known.record.orphans, []);
    }
    assert!(pair.seconds(1) > promised, "{} after {promised}", pair.seconds(1));
    assert_eq!(pair.relays[1].calls, 0, "the other one sees first that the call comes sooner");
    pair.pass_until_call(1, 4);
}

#[test]
fn a_call_that_a_lost_relay_may_still_send_is_reckoned_with_for_an_hour() {
    let mut pair = frozen_in_a_call("one");
    let lost_at = pair.boot;
    pair.pass_until_call(1, 400);
    pair.reply(1, "two");
    pair.pass(2);
    // it may be sent at any moment, so no more than the window is ever promised
    while pair.boot.since(lost_at) < s(3600) {
        assert_eq!(pair.seconds(1), 240);
        pair.pass(60);
    }
    pair.pass(60);
    assert!(pair.seconds(1) > 240, "{}", pair.seconds(1));
}

/// A sticky issuer has given `token` again, which it refuses: the next call forces it.
fn insisting_on(token: &'static str) -> Pair {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, token);
    pair.pass(60);
    pair.dead = Some(token);
    pair.report(0, Grounds::Report);
    pair.reply(0, token);
    pair
}

/// A relay that is frozen before it would end another one's token, and nobody would know of the call.
#[test]
fn a_forced_call_is_not_made_where_it_cannot_be_recorded() {
    let mut pair = insisting_on("one");
    let calls = pair.relays[0].calls;
    pair.read_only = Some(0);
    pair.pass(70);
    assert_eq!(pair.relays[0].calls, calls);
    pair.read_only = None;
    pair.pass_until_call(0, 60);
}

/// A normal one brings the same token again, and ends none.
#[test]
fn a_normal_call_that_a_lost_relay_may_still_send_takes_nothing_from_a_sticky_token() {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 60);
    pair.reply(1, "one");
    pair.pass(2);
    assert!(matches!(pair.relays[1].machine.known.record.orphans[..], [Orphan { is_forced: false, .. }]));
    assert!(pair.seconds(1) > 7000, "{}", pair.seconds(1));
}

/// It ends the token of another relay an overlap later, though nobody else's call of a sticky issuer does.
#[test]
fn a_forced_call_that_a_lost_relay_may_still_send_is_reckoned_with_too() {
    let mut pair = insisting_on("one");
    pair.pass_until_call(0, 60);
    assert!(pair.store.text().contains(r#""is_forced":true"#), "{}", pair.store.text());
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 60);
    pair.reply(1, "two");
    pair.pass(2);
    assert_eq!((pair.shown(1), pair.seconds(1)), ("two", 240));
}

/// The other relay's call was answered with the token that WeChat had before the forced one.
#[test]
fn of_a_token_that_was_forced_and_comes_late_a_normal_call_tells_that_it_is_the_newest() {
    let mut pair = insisting_on("one");
    pair.pass_until_call(0, 60);
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 60);
    pair.reply(1, "two");
    pair.pass(2);
    pair.reply(0, "three");
    one_normal_call_tells(pair, "three", 4);
}

/// One relay is frozen in a forced call, and the other forces "two" meanwhile.
fn forced_by_both() -> Pair {
    let mut pair = insisting_on("one");
    pair.pass_until_call(0, 60);
    pair.relays[0].is_frozen = true;
    for token in ["one", "two"] {
        pair.pass_until_call(1, 8000);
        pair.reply(1, token);
    }
    pair.pass(2);
    pair
}

/// Whether "two" or the other relay's token is the newest, the answer to one normal call tells, which is made at once.
fn one_normal_call_tells(mut pair: Pair, newest: &str, within_s: u64) {
    let asked = pair.relays[1].calls;
    pair.pass(within_s);
    assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
    assert!(pair.seconds(0) < 240 && pair.seconds(1) < 240, "{} and {}", pair.seconds(0), pair.seconds(1));
    assert_eq!(pair.relays[1].calls, asked + 1);
    assert!(pair.store.text().contains(r#""is_forced":false"#), "{}", pair.store.text());
    match newest {
        "two" => pair.reply_again(1),
        _ => pair.reply(1, newest),
    }
    pair.pass(4);
    assert_eq!([pair.shown(0), pair.shown(1)], [newest, newest]);
    assert!(pair.seconds(0) > 6000 && pair.seconds(1) > 6000, "{} and {}", pair.seconds(0), pair.seconds(1));
    pair.pass(600);
    assert_eq!(pair.relays[1].calls, asked + 1);
}

#[test]
fn of_two_forced_tokens_a_normal_call_tells_which_is_the_newest() {
    // soon, or when the one that waits could be probed as well
    for (newest, later) in [("two", 0), ("three", 0), ("two", 400), ("three", 400)] {
        let mut pair = forced_by_both();
        pair.pass(later);
        pair.reply(0, "three");
        one_normal_call_tells(pair, newest, 4);
    }
}

#[test]
fn where_a_forced_call_s_reply_is_lost_a_normal_call_tells_whether_it_has_minted() {
    for newest in ["two", "three"] {
        let mut pair = forced_by_both();
        pair.relays[0].is_frozen = false;
        pair.lose_reply(0);
        let asked = pair.relays[1].calls;
        pair.pass(7);
        assert_eq!(pair.relays[1].calls, asked, "WeChat may still be at the forced one");
        one_normal_call_tells(pair, newest, 8);
    }
}

#[test]
fn where_another_relay_hands_a_token_over_nothing_is_forced() {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, "one");
    pair.pass_until_call(0, 8000);
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 200);
    pair.reply_again(1);
    pair.dead = Some("one");
    pair.report(1, Grounds::Report);
    pair.pass_until_call(1, 60);
    pair.reply_again(1);
    assert!(pair.relays[1].machine.known.must_force);
    pair.has_no_permits = true;
    pair.reply(0, "two");
    pair.pass(4);
    assert_eq!(pair.shown(1), "two");
    assert!(!pair.relays[1].machine.known.must_force);
}

/// That call ends nothing, so it needs no record.
#[test]
fn the_call_that_tells_is_made_without_redis_too() {
    let mut pair = forced_by_both();
    pair.relays[0].is_frozen = false;
    pair.lose_reply(0);
    pair.pass(2);
    pair.cut = Some(1);
    pair.pass_until_call(1, 30);
    pair.reply_again(1);
    assert!(pair.seconds(1) > 6000, "{}", pair.seconds(1));
}

/// An operator revokes `token` of a sticky issuer: the first forced call is under way.
fn revoking(token: &str) -> Pair {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, token);
    pair.pass(60);
    pair.report(0, Grounds::Revocation);
    pair
}

/// The second call of a revocation is forced: beside a late token it would end the current one at once.
#[test]
fn a_revocation_does_not_force_while_nobody_knows_which_token_is_the_newest() {
    let mut pair = revoking("one");
    pair.relays[0].is_frozen = true;
    pair.pass_until_call(1, 200);
    pair.reply(1, "two");
    pair.pass(5);
    pair.reply(0, "three");
    pair.pass(5);
    let asked = pair.relays[1].calls;
    while pair.seconds(1) > 0 {
        assert_eq!((pair.relays[1].calls, pair.shown(1)), (asked, "two"), "{} s are promised", pair.seconds(1));
        pair.pass(1);
    }
}

/// It may be sent at any moment: an answer before tells nothing, and would be asked for every 15 s.
#[test]
fn a_relay_that_is_cut_off_asks_nothing_about_a_forced_call_that_may_still_be_sent() {
    let mut pair = revoking("one");
    pair.pass(2);
    assert!(pair.relays[1].machine.known.record.open_call().is_some_and(Call::is_forced));
    for _ in 0..FORCED_PER_DAY {
        let at = pair.now(1).boot;
        pair.relays[1].machine.known.record.debits.debit(at, Debit::Call { is_forced: true });
    }
    pair.relays[0].is_frozen = true;
    pair.cut = Some(1);
    pair.pass(1800);
    assert_eq!(pair.relays[1].calls, 0);
}

#[test]
fn a_wall_clock_does_not_tell_for_how_long_a_lost_relay_s_call_is_reckoned_with() {
    let [written, now] = [Timestamp::from_micros(7_000_000), Timestamp::from_micros(1_000_000_000)];
    let orphan = Orphan { call: CallId(1), until: written.plus(s(3000)).into(), is_forced: false };
    let record = Record { orphans: vec![orphan], ..Record::default() };
    let until = |basis| {
        let record = on_our_clock(record.clone(), written, basis, clocks(now, s(0)));
        record.orphans.first().map(|orphan| orphan.until.latest)
    };
    let [just_now, a_day_ago, years_ago] =
        [0, 86_400, 100_000_000].map(|ago| ClockOffset::between(written, now.minus(s(ago)).into()));
    assert_eq!(until(ClockBasis::Boot(years_ago)), Some(now.plus(s(3000)).minus(s(100_000_000))));
    let [a_day_old, years_old] = [a_day_ago, years_ago].map(ClockBasis::Wall);
    for basis in [ClockBasis::Boot(just_now), a_day_old, years_old, ClockBasis::Unknown] {
        assert_eq!(until(basis), Some(now.plus(s(3000))), "{basis:?}");
    }
}

/// While it was frozen the others counted its call from the intent on, and promised no further.
#[test]
fn a_frozen_relay_whose_call_brought_nothing_does_not_keep_the_others_waiting_for_the_next() {
    for frozen_for in [20, 60, 200] {
        let mut pair = frozen_in_a_call("one");
        let called_at = pair.boot;
        pair.pass(frozen_for);
        pair.relays[0].is_frozen = false;
        pair.lose_reply(0);
        let calls = pair.calls();
        while pair.calls() == calls {
            pair.pass(1);
            assert!(pair.boot.since(called_at) < s(250), "frozen for {frozen_for} s");
        }
        assert!(pair.boot.since(called_at) >= s(239), "it was promised for so long");
    }
}
