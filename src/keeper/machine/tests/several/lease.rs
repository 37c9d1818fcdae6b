//! Which of several relays may call, and when does another one take over?

use super::*;
use crate::{
    status::Lease,
    timing::{LEASE, SUCCESSION},
};

#[test]
fn a_holder_at_rest_keeps_the_lease_without_a_write() {
    let mut pair = Pair::serving("one");
    pair.pass(10);
    let stores = pair.stores;
    pair.pass(3000);
    assert_eq!((pair.stores, pair.calls()), (stores, 1));
    assert!(pair.status(0).lease.is_ours() && !pair.status(1).lease.is_ours());
}

#[test]
fn the_lease_of_a_dead_holder_is_taken_when_its_presence_has_stood_still_and_not_before() {
    let mut pair = Pair::serving("one");
    pair.pass(100);
    pair.relays[0].is_frozen = true;
    let died_at = pair.boot;
    while !pair.status(1).lease.is_ours() {
        pair.pass(1);
        assert!(pair.boot.since(died_at) <= s(18), "15 s, a poll, and up to 1 s");
    }
    // it polled for the last time within the second before
    assert!(pair.boot.since(died_at).saturating_add(s(1)) >= LEASE + SUCCESSION, "{:?}", pair.boot.since(died_at));
    assert_eq!(pair.told(1, "LeaseTaken"), 1);
}

#[test]
fn a_holder_that_the_store_does_not_answer_calls_no_more_before_another_one_may() {
    let mut pair = Pair::serving("one");
    let rotation_at = pair.status(0).rotation_at.unwrap();
    pair.pass(rotation_at.since(pair.boot).as_secs() - 16);
    pair.cut = Some(0);
    pair.pass_until_call(1, 40);
    assert_eq!(pair.relays[0].calls, 1);
    pair.reply(1, "two");
    pair.cut = None;
    pair.pass(3);
    assert!(!pair.status(0).lease.is_ours() && pair.status(1).lease.is_ours());
    assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
}

#[test]
fn each_relay_says_whose_the_lease_is_as_far_as_it_knows() {
    let mut pair = Pair::serving("one");
    pair.pass(10);
    assert_eq!([pair.status(0).lease, pair.status(1).lease], [Lease::Ours, Lease::Another]);
    pair.relays[0].is_frozen = true;
    let mut told = vec![Lease::Another];
    while told.last() != Some(&Lease::Ours) {
        pair.step(1, Event::Tick);
        told.push(pair.status(1).lease);
        pair.pass(1);
        assert!(told.len() < 20);
    }
    told.dedup();
    assert!(
        matches!(told[..], [Lease::Another, Lease::Ours] | [Lease::Another, Lease::Nobody, Lease::Ours]),
        "{told:?}"
    );
    pair.step(1, Event::Shutdown);
    assert_eq!(pair.status(1).lease, Lease::Nobody);
}

#[test]
fn a_relay_that_leaves_gives_the_lease_back_and_the_other_one_takes_it_at_its_next_look() {
    let mut pair = Pair::serving("one");
    pair.pass(10);
    pair.step(0, Event::Shutdown);
    pair.pass(3);
    assert!(!pair.status(0).lease.is_ours() && pair.status(1).lease.is_ours());
}

#[test]
fn a_relay_that_leaves_gives_the_lease_back_though_another_relay_writes_before_it() {
    let mut pair = Pair::serving("one");
    pair.pass(10);
    let actions = pair.only_step(0, Event::Shutdown);
    assert!(actions.iter().any(|action| matches!(action, Action::Store { .. })), "{actions:?}");
    let generation = pair.generation(1);
    pair.step(1, Event::Report(ReportId(1), generation, Grounds::Report));
    pair.step(1, Event::Tick);
    pair.step(0, Event::Stored(Swap::Lost(pair.store.record.clone())));
    pair.pass(3);
    assert!(pair.status(1).lease.is_ours());
}

#[test]
fn a_report_that_reaches_a_follower_costs_one_probe_of_the_holder_s() {
    let mut pair = Pair::serving("one");
    pair.pass(60);
    let generation = pair.generation(1);
    for id in 0..20 {
        pair.step(1, Event::Report(ReportId(id), generation, Grounds::Report));
    }
    pair.pass(4);
    assert_eq!(pair.relays[1].answers, vec![ReportAnswer::Accepted; 20]);
    assert_eq!((&pair.relays[0].probes[..], pair.relays[1].probes.len()), (&["one".to_owned()][..], 0));
}

#[test]
fn a_report_of_a_follower_that_waits_for_a_rotation_is_taken_in_once() {
    let mut pair = Pair::serving("one");
    pair.pass(60);
    pair.dead = Some("one");
    pair.report(1, Grounds::Report);
    pair.pass_until_call(0, 4);
    assert_eq!(pair.relays[0].machine.reports.len(), 1, "it waits, and is not heard again at every step");
    pair.reply(0, "two");
    pair.pass(2);
    assert_eq!(pair.relays[1].answers, [ReportAnswer::Superseded]);
}

#[test]
fn a_report_at_a_follower_that_comes_too_soon_is_answered_so() {
    let mut pair = Pair::serving("one");
    pair.pass(60);
    let generation = pair.generation(1);
    for (id, seconds) in [(1, 10), (2, 4)] {
        pair.step(1, Event::Report(ReportId(id), generation, Grounds::Report));
        pair.pass(seconds);
    }
    assert!(
        matches!(pair.relays[1].answers[..], [ReportAnswer::Accepted, ReportAnswer::TooMany { .. }]),
        "{:?}",
        pair.relays[1].answers
    );
    assert_eq!(pair.relays[0].probes.len(), 1);
}

#[test]
fn reports_at_both_relays_at_once_are_answered_by_one_probe() {
    let mut pair = Pair::serving("one");
    pair.pass(60);
    let generation = pair.generation(1);
    for who in [0, 1] {
        pair.step(who, Event::Report(ReportId(1), generation, Grounds::Report));
    }
    pair.pass(4);
    assert_eq!(
        [0, 1].map(|who| pair.relays[who].answers.clone()),
        [[ReportAnswer::Accepted], [ReportAnswer::Accepted]]
    );
    assert_eq!(pair.relays[0].probes.len(), 1);
}

#[test]
fn an_early_fetch_at_a_follower_costs_one_probe_of_the_holder_s_and_all_are_calm_after_it() {
    let mut pair = Pair::serving("one");
    pair.pass(60);
    let generation = pair.generation(1);
    pair.step(1, Event::Report(ReportId(1), generation, Grounds::EarlyFetch));
    pair.pass(4);
    assert_eq!(pair.relays[1].answers, [ReportAnswer::Accepted]);
    for who in [0, 1] {
        pair.step(who, Event::Report(ReportId(2), generation, Grounds::EarlyFetch));
        assert!(matches!(pair.relays[who].answers.last(), Some(ReportAnswer::TooMany { .. })), "{who}");
        let doubt = pair.status(who).doubt;
        assert!(doubt.from == doubt.burst_from && doubt.margin == s(1600));
    }
    pair.pass(60);
    pair.step(1, Event::Report(ReportId(3), generation, Grounds::EarlyFetch));
    pair.pass(4);
    assert_eq!((pair.relays[0].probes.len(), pair.relays[1].probes.len()), (2, 0));
    assert!(pair.status(1).doubt.burst_from < pair.status(1).doubt.from, "the second calm is longer");
}

#[test]
fn a_longer_life_told_of_the_same_token_counts_only_if_the_issuer_tells_what_is_left() {
    for (tells_remaining_life, promised) in [(true, 7000..7200), (false, 30..60)] {
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
        // a new generation, for of one the end never moves later
        assert!(second.generation > first.generation && second.promise.until > first.promise.until);
        assert!((pair.shown(0), pair.shown(1)) == ("one", "one"));
        for relay in 0..2 {
            assert!(promised.contains(&pair.seconds(relay)), "{}", pair.seconds(relay));
        }
    }
}

#[test]
fn a_revoked_token_whose_life_is_told_longer_stays_revoked() {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, "one");
    pair.pass(60);
    pair.report(0, Grounds::Revocation);
    let first = pair.generation(0);
    pair.reply(0, "one"); // the forced call brings the same token, with 60 s more than was left
    pair.pass(2);
    assert!(pair.generation(0) > first, "else this shows nothing");
    assert!(pair.status(0).is_revoked && pair.status(1).is_revoked);
}

#[test]
fn a_token_that_could_not_be_stored_is_promised_no_further_than_the_lease_proves() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.cut = Some(0);
    pair.reply(0, "two");
    pair.pass(1);
    let promised = pair.seconds(0);
    assert!(pair.shown(0) == "two" && promised <= 15, "{promised}");
    pair.pass(20);
    assert_eq!(pair.shown(1), "one");
}

/// What puts its calls off is not stored, so that the next holder does not know of it.
#[test]
fn a_holder_that_is_cut_off_serves_no_verified_token_when_the_next_one_may_call() {
    let mut served_after_cut = 0;
    for steps in 0..20 {
        let mut pair = Pair::serving("one");
        pair.pass_until_call(0, 7200);
        pair.step(0, Event::Reply(Err(unknown())));
        pair.pass_until_call(0, 300);
        // every promise has run out, and while calls fail a probe says that the token lives
        while pair.seconds(0) != 1 {
            pair.refuse(0, -1);
            pair.pass_step();
        }
        for _ in 0..steps {
            pair.refuse(0, -1);
            pair.pass_step();
        }
        pair.cut = Some(0);
        while pair.relays[1].calls == 0 {
            served_after_cut += pair.seconds(0);
            pair.refuse(0, -1);
            pair.pass_step();
        }
        assert_eq!(pair.seconds(0), 0, "{steps} steps");
    }
    assert!(served_after_cut > 0);
}

#[test]
fn what_wechat_said_of_an_old_secret_does_not_bind_the_next_holder() {
    let mut pair = Pair::new();
    pair.refuse(0, 40125);
    pair.pass(2);
    pair.relays[1].machine.known.charge.secret_mark = secret("two");
    pair.relays[0].is_frozen = true;
    // 15 s until the lease is taken, and 3 s until those see it who have promised up to the old one's next call
    pair.pass_until_call(1, 21);
}

#[test]
fn where_the_secret_names_the_owner_the_next_holder_with_another_one_takes_no_token_of_the_one_before() {
    for (mark, shown) in [("one", "one"), ("two", "nothing")] {
        let mut wecom = policy(RotationMode::Sticky);
        wecom.issuer = crate::issuer::wecom::PROFILE;
        let mut pair = Pair::of(wecom);
        for (who, mark) in [(0, "one"), (1, mark)] {
            pair.relays[who].machine.known.charge.secret_mark = secret(mark);
        }
        // what the first call was made with stands in the record since it was begun
        pair.refuse(0, -1);
        pair.pass_until_call(0, 20);
        pair.reply(0, "one");
        pair.pass(2);
        assert_eq!([pair.shown(0), pair.shown(1)], ["one", "one"], "a follower goes with the holder");
        pair.step(0, Event::Shutdown);
        pair.pass(3);
        assert_eq!(pair.shown(1), shown);
        if shown == "one" {
            pair.pass_until_call(1, 60);
        }
        assert_eq!(pair.relays[1].calls, 1, "a call is under way");
        pair.reply(1, "agent");
        pair.pass(2);
        assert_eq!(pair.shown(1), "agent");
    }
}

#[test]
fn a_holder_whose_ip_is_refused_for_minutes_gives_the_lease_to_a_relay_that_is_not() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    for _ in 1..5 {
        pair.refuse(0, 40164);
        assert!(pair.status(0).lease.is_ours() && !pair.status(1).lease.is_ours());
        pair.pass_until_call(0, 70);
    }
    pair.refuse(0, 40164);
    pair.pass_until_call(1, 70);
    assert!(!pair.status(0).lease.is_ours() && pair.status(1).lease.is_ours());
    pair.reply(1, "two");
    pair.pass(2);
    assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
    let calls = pair.relays[0].calls;
    pair.pass(3000);
    assert_eq!(pair.relays[0].calls, calls);
}

#[test]
fn a_holder_whose_calls_do_not_get_out_for_minutes_gives_the_lease_to_a_relay_whose_do() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    let began = pair.boot;
    for _ in 1..10 {
        pair.cannot_send(0);
        assert!(pair.status(0).lease.is_ours() && !pair.status(1).lease.is_ours());
        pair.pass_until_call(0, 70);
    }
    pair.cannot_send(0);
    let minutes = pair.boot.since(began).as_secs() / 60;
    assert!((3..=6).contains(&minutes), "{minutes} minutes");
    pair.pass_until_call(1, 70);
    assert!(!pair.status(0).lease.is_ours() && pair.status(1).lease.is_ours());
    pair.reply(1, "two");
    pair.pass(2);
    assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
}

/// Every call of both fails so, for so long, looked at every so many seconds. How often each had the lease, and how many calls there were.
fn take_turns(pair: &mut Pair, lasting: Duration, every: u64, fail: impl Fn(&mut Pair, usize)) -> ([u32; 2], usize) {
    let began = (pair.boot, pair.relays[0].calls);
    let mut turns = [0, 0];
    while pair.boot.since(began.0) < lasting {
        for (who, turns) in turns.iter_mut().enumerate() {
            let before = pair.relays[who].calls;
            fail(pair, who);
            *turns += u32::from(pair.status(who).lease.is_ours());
            assert_eq!(pair.relays[who].calls, before, "never at once");
        }
        pair.pass(every);
    }
    (turns, pair.relays[0].calls - began.1 + pair.relays[1].calls)
}

#[test]
fn where_no_relay_s_calls_get_out_they_take_turns_and_try_no_more_often_than_one_would() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    let (turns, calls) = take_turns(&mut pair, s(3000), 5, Pair::cannot_send);
    assert!(turns[0] > 100 && turns[1] > 100, "{turns:?}");
    assert!((30..=70).contains(&calls), "{calls} calls in 50 minutes");
    let repeated = [0, 1].map(|who| pair.status(who).trouble.as_ref().map_or(0, |trouble| trouble.repeated));
    assert!(
        repeated.iter().all(|repeated| *repeated > 10),
        "it is one outage, and not told of anew each turn: {repeated:?}"
    );
}

#[test]
fn a_relay_without_company_keeps_the_lease_though_its_calls_do_not_get_out() {
    let mut pair = Pair::serving("one");
    pair.relays[1].is_frozen = true;
    pair.pass_until_call(0, 7200);
    for _ in 0..20 {
        pair.cannot_send(0);
        assert!(pair.status(0).lease.is_ours());
        pair.pass_until_call(0, 70);
    }
    pair.reply(0, "two");
    pair.pass(1);
    assert_eq!(pair.shown(0), "two");
}

#[test]
fn where_every_ip_is_refused_the_relays_take_turns_and_call_no_more_often_than_one_would() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    let (turns, calls) = take_turns(&mut pair, s(3600), 30, |pair, who| pair.refuse(who, 40164));
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
fn a_token_lost_in_a_panic_leaves_the_stored_one_which_is_not_killed_by_a_call_at_once() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.read_only = Some(0);
    pair.reply(0, "two");
    assert_eq!(pair.shown(0), "two");
    let (served, calls) = (pair.generation(0), pair.relays[0].calls);
    pair.panics(0);
    pair.read_only = None;
    pair.pass(10);
    assert_eq!([pair.shown(0), pair.shown(1)], ["one", "one"]);
    assert!(pair.generation(0) > served && pair.generation(0) == pair.generation(1), "nobody goes back");
    pair.pass(200);
    assert_eq!(pair.relays[0].calls, calls, "what was promised of it stands for up to 240 s");
    pair.pass_until_call(0, 60);
}

#[test]
fn a_report_to_a_keeper_that_cannot_read_its_record_is_not_settled() {
    let mut pair = Pair::serving("t1");
    pair.cut = Some(1);
    let reported = pair.generation(1);
    pair.panics(1);
    pair.step(1, Event::Report(ReportId(1), reported, Grounds::Report));
    pair.pass(2);
    assert!(matches!(pair.relays[1].answers[..], [ReportAnswer::Failed { .. }]), "{:?}", pair.relays[1].answers);
}

#[test]
fn a_holder_that_waits_for_a_permit_keeps_its_place_until_another_relay_has_written() {
    let mut pair = Pair::serving("one");
    let rotation_at = pair.status(0).rotation_at.unwrap();
    pair.has_no_permits = true;
    pair.pass(rotation_at.since(pair.boot).as_secs() + 1);
    let reservations = pair.reservations;
    pair.pass(80); // every poll reads the record again; after 90 s another relay may fare better
    assert_eq!((pair.reservations, pair.status(0).lease.is_ours()), (reservations, true));
    let generation = pair.generation(1);
    pair.step(1, Event::Report(ReportId(1), generation, Grounds::Report));
    pair.pass(2);
    assert_eq!((pair.reservations, pair.status(0).lease.is_ours()), (reservations + 1, true));
    pair.step(0, Event::Reserved);
    assert_eq!(pair.relays[0].calls, 2);
}

#[test]
fn at_rest_the_last_contact_is_never_old_and_a_follower_expects_the_next_call_at_the_planned_rotation() {
    let mut pair = Pair::serving("one");
    pair.pass(600);
    for who in 0..2 {
        let contact_at = pair.relays[who].machine.known.replica.as_ref().unwrap().contact_at.unwrap();
        let now = pair.now(who).boot;
        assert!(now.since(contact_at) <= s(60), "{:?}", now.since(contact_at));
    }
    let status = pair.status(1);
    assert!(status.next_attempt_at.is_some());
    assert_eq!(status.next_attempt_at, status.rotation_at);
}

#[test]
fn a_store_that_was_away_is_no_trouble_any_more_when_it_is_back() {
    let mut pair = Pair::serving("one");
    pair.cut = Some(1);
    pair.pass(30);
    assert!(pair.status(1).store_trouble.is_some());
    pair.cut = None;
    pair.pass(30);
    assert!(pair.status(1).store_trouble.is_none());
    assert!(pair.relays[1].notes.iter().any(|note| note.starts_with("StoreRecovered")), "{:?}", pair.relays[1].notes);
}

#[test]
fn only_a_token_of_another_relay_is_noted_as_followed() {
    let mut pair = Pair::serving("one");
    let followed =
        |pair: &Pair, who: usize| pair.relays[who].notes.iter().filter(|note| note.starts_with("Followed")).count();
    assert_eq!([followed(&pair, 0), followed(&pair, 1)], [0, 1]);
    for token in ["two", "three"] {
        pair.pass_until_call(0, 7200);
        pair.reply(0, token);
        pair.pass(5);
    }
    assert_eq!([followed(&pair, 0), followed(&pair, 1)], [0, 3]);
}

/// Until the intent was stored the others promised without it: what they promised counts from then.
#[test]
fn a_call_counts_at_the_latest_from_when_its_intent_was_stored() {
    let mut pair = Pair::serving("one");
    pair.has_no_permits = true;
    let before = pair.reservations;
    while pair.reservations == before {
        pair.pass(1);
    }
    let actions = pair.only_step(0, Event::Reserved);
    let Some(Action::Store { expected, next }) =
        actions.into_iter().find(|action| matches!(action, Action::Store { .. }))
    else {
        panic!("no intent")
    };
    pair.boot = pair.boot.plus(s(3));
    let swap = pair.store.swap(expected.as_ref(), next);
    pair.step(0, Event::Stored(swap));
    let uncertainty = |pair: &Pair| pair.relays[0].machine.known.record.calls.last().unwrap().sent.uncertainty();
    assert_eq!(uncertainty(&pair), s(3));
    // also where its token lives too shortly to be taken
    let token = Token::try_from("short".to_owned()).unwrap();
    pair.step(0, Event::Reply(Ok(Issued { token, life: s(5) })));
    assert_eq!((pair.shown(0), uncertainty(&pair)), ("one", s(3)));
}

#[test]
fn a_poll_that_finds_nothing_new_is_a_contact() {
    let mut pair = Pair::serving("one");
    pair.boot = pair.boot.plus(s(1));
    let (boot, relay) = (pair.boot, &mut pair.relays[1]);
    relay.poll(boot, Some(&mut pair.store));
    relay.mail = None;
    pair.only_step(1, Event::Tick);
    let relay = &pair.relays[1];
    assert_eq!(relay.machine.known.replica.as_ref().unwrap().contact_at, relay.peers.contact_at());
    assert_eq!(relay.peers.contact_at(), Some(pair.now(1).boot));
}

/// As one that lacks a right, or is behind a network that lets only small packets through: its presence shows that it lives.
#[test]
fn a_holder_that_cannot_write_loses_the_lease_before_the_promises_end_and_when_a_report_is_not_answered() {
    for is_reported in [false, true] {
        let mut pair = Pair::serving("one");
        pair.read_only = Some(0);
        if is_reported {
            pair.dead = Some("one");
            pair.report(1, Grounds::Report);
        }
        let calls = pair.relays[1].calls;
        while pair.relays[1].calls == calls {
            pair.pass(1);
            assert!(is_reported || pair.seconds(1) > 100, "{}", pair.seconds(1));
            assert!(!is_reported || pair.boot < Timestamp::from_micros(1_140_000_000));
        }
        pair.reply(1, "two");
        pair.read_only = None;
        pair.pass(10);
        assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
    }
}

#[test]
fn of_a_store_that_is_away_the_latest_reason_is_told() {
    let mut pair = Pair::serving("one");
    pair.cut = Some(1);
    pair.pass(2);
    let relay = &mut pair.relays[1];
    assert!(relay.poller.failed(None, StoreError("NOAUTH".to_owned())));
    relay.peers = Arc::new(relay.poller.peers().clone());
    pair.step(1, Event::Tick);
    assert!(pair.status(1).store_trouble.as_ref().unwrap().to_string().contains("NOAUTH"));
}

#[test]
fn a_holder_that_does_what_is_due_keeps_its_lease_after_a_report_and_after_an_outage_over_the_planned_rotation() {
    let mut pair = Pair::serving("one");
    pair.dead = Some("one");
    pair.report(1, Grounds::Report);
    pair.pass_until_call(0, 60);
    pair.reply(0, "two");
    pair.dead = None;
    pair.pass(200);
    assert!(pair.status(0).lease.is_ours());
    let rotation_at = pair.status(0).rotation_at.unwrap();
    pair.pass(rotation_at.since(pair.boot).as_secs() - 10);
    let store = pair.store.clone();
    for who in [0, 1] {
        pair.relays[who].is_frozen = true;
    }
    pair.pass(200); // nothing of either runs: the store may as well be away
    pair.store = store;
    for who in [0, 1] {
        pair.relays[who].is_frozen = false;
        pair.relays[who].poll_at = pair.boot;
    }
    pair.pass(10);
    assert!(pair.status(0).lease.is_ours());
}
