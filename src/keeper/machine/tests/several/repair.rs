//! What do several relays do with a store that forgot, went back, or holds what is not theirs?

use super::*;

#[test]
fn a_store_that_went_back_is_written_anew_and_nobody_goes_back() {
    let mut pair = Pair::serving("one");
    let old = pair.store.clone();
    pair.pass_until_call(0, 7200);
    pair.reply(0, "two");
    pair.pass(2);
    pair.store = Shared { nonce: 2, ..old }; // the first who asks finds that it has gone back
    for _ in 0..8 {
        pair.pass(1);
        assert_eq!([pair.shown(0), pair.shown(1)], ["two", "two"]);
    }
    assert!(pair.store.text().contains("\"two\""), "{}", pair.store.text());
    pair.pass(60);
    assert!(pair.status(0).lease.is_ours() && !pair.status(1).lease.is_ours());
    assert_eq!(pair.calls(), 2);
}

#[test]
fn a_read_that_a_lost_write_has_overtaken_is_not_taken_for_a_store_that_went_back() {
    let mut pair = Pair::serving("one");
    pair.pass_until_call(0, 7200);
    pair.pass(2);
    let generation = pair.generation(1);
    let actions = pair.only_step(1, Event::Report(ReportId(1), generation, Grounds::Report));
    assert!(actions.iter().any(|action| matches!(action, Action::Store { .. })), "{actions:?}");
    let early = Found { record: pair.store.record.clone(), asked_at: pair.now(1).boot };
    pair.boot = pair.boot.plus(STEP);
    pair.reply(0, "two");
    pair.step(1, Event::Stored(Swap::Lost(pair.store.record.clone())));
    assert_eq!((pair.shown(1), pair.relays[1].answers.len()), ("two", 1));
    pair.relays[1].mail = Some(early);
    let actions = pair.only_step(1, Event::Tick);
    assert!(matches!(actions[..], [Action::Load]), "{actions:?}");
    assert_eq!(pair.relays[1].machine.known.writer.held, pair.store.record);
}

#[test]
fn a_store_that_was_emptied_is_written_anew_and_nobody_calls() {
    let mut pair = Pair::serving("one");
    pair.pass(10);
    pair.store = Shared::new(2);
    for _ in 0..60 {
        pair.pass(1);
        assert_eq!([pair.shown(0), pair.shown(1)], ["one", "one"]);
    }
    assert!(pair.store.text().contains("\"one\""), "{}", pair.store.text());
    assert_eq!(pair.relays.iter().filter(|relay| relay.status.as_ref().unwrap().lease.is_ours()).count(), 1);
    assert_eq!(pair.calls(), 1);
}

#[test]
fn a_record_that_was_deleted_is_missed_within_a_minute_though_no_change_names_it() {
    let mut pair = Pair::serving("one");
    pair.store.record = None;
    pair.pass(62);
    assert!(pair.store.text().contains("\"one\""), "{}", pair.store.text());
    assert_eq!(pair.calls(), 1);
}

/// A relay of another deployment under the same name writes, and shows itself.
fn another_lives(pair: &mut Pair, beat: u64) {
    let presence =
        Presence { beat, boot_id: BootId::from_text("c"), boot_at: pair.boot, heard: Vec::new(), clocks: Vec::new() };
    pair.store.presences.insert(ReplicaId(9), presence);
}

/// The holder's record of another appid, written now.
fn another_writes(pair: &mut Pair, holder: ReplicaId) -> Sealed {
    let other = Identity { appid: "wx2".to_owned(), ..identity() };
    let record = Record { holder: Some(holder), ..Record::default() };
    let theirs = record.encode(&other, &BootId::from_text("c"), now(pair.boot, 0));
    pair.store.write(theirs.clone());
    theirs
}

#[test]
fn a_record_of_another_appid_is_told_once_and_left_alone_while_its_holder_lives() {
    let mut pair = Pair::serving("one");
    let theirs = another_writes(&mut pair, ReplicaId(9));
    let stores = pair.stores;
    // its record stands still, and its presence does not
    for beat in 1..600 {
        another_lives(&mut pair, beat);
        pair.pass(1);
    }
    assert_eq!((pair.stores, pair.store.record.as_ref()), (stores, Some(&theirs)));
    for who in 0..2 {
        assert_eq!(pair.told(who, "NotRestored"), 1);
        assert_eq!(pair.status(who).store_trouble, Some(StoreTrouble::AnothersRecord));
        assert!(!pair.status(who).lease.is_ours());
    }
    // it is shut down, and what was known before is written again
    pair.pass(20);
    assert!(pair.store.text().contains("\"one\""), "{}", pair.store.text());
    assert_eq!((pair.status(0).store_trouble.as_ref(), pair.status(1).store_trouble.as_ref()), (None, None));
    assert_eq!(pair.calls(), 1);
}

#[test]
fn a_record_of_another_appid_that_changes_is_left_alone_even_if_its_holder_is_not_seen() {
    let mut pair = Pair::serving("one");
    let other = Identity { appid: "wx2".to_owned(), ..identity() };
    for failures in 0..8 {
        let record = Record { failures, ..Record::default() };
        pair.store.write(record.encode(&other, &BootId::from_text("c"), now(pair.boot, 0)));
        let stores = pair.stores;
        pair.pass(5);
        assert_eq!(pair.stores, stores);
    }
    for who in 0..2 {
        assert_eq!(pair.told(who, "NotRestored"), 1);
        assert_eq!(pair.status(who).store_trouble, Some(StoreTrouble::AnothersRecord));
    }
}

#[test]
fn bytes_that_are_no_record_are_never_written_over_and_nobody_calls() {
    for (bytes, trouble) in [("{\"version\":99}", StoreTrouble::Newer(99)), ("{\"version\":2", StoreTrouble::Foreign)] {
        let mut pair = Pair::serving("one");
        let foreign = Some(Sealed::new(bytes.as_bytes().to_vec()));
        pair.store.record.clone_from(&foreign); // by hand: no change names it
        pair.pass(7200);
        assert_eq!(pair.store.record, foreign);
        assert_eq!(pair.calls(), 1);
        for who in 0..2 {
            assert_eq!(pair.status(who).store_trouble.as_ref(), Some(&trouble));
        }
    }
}

/// The second relay is replaced by one on another host, whose first poll is its last one for a while.
fn starts_and_is_cut_off(pair: &mut Pair) {
    pair.store.presences.remove(&ReplicaId(2));
    pair.relays[1] = Relay::new(pair.relays[0].machine.known.charge.policy, 3, pair.boot);
    let boot = pair.boot;
    pair.relays[1].poll(boot, Some(&mut pair.store));
    pair.step(1, Event::Tick);
    pair.cut = Some(1);
}

#[test]
fn a_relay_that_was_cut_off_at_its_start_asks_the_others_for_the_writers_clock_when_it_is_back() {
    let mut pair = Pair::serving("one");
    starts_and_is_cut_off(&mut pair);
    pair.pass(30);
    pair.cut = None;
    let began_at = pair.boot;
    while !pair.relays[1].machine.known.awaits_clock() {
        pair.pass_step();
        assert!(pair.boot.since(began_at) < s(4), "it did not wait");
    }
    assert_eq!(pair.relays[1].wake_at.since(pair.now(1).boot), STEP, "it looks again soon");
    pair.pass(3);
    assert_eq!((pair.shown(1), pair.told(1, "AgedByWall")), ("one", 0), "{:?}", pair.relays[1].notes);
}

#[test]
fn a_relay_that_was_cut_off_at_its_start_calls_a_sticky_issuer_whatever_it_has_read() {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, "one");
    starts_and_is_cut_off(&mut pair);
    pair.pass(70);
    assert_eq!(pair.relays[1].calls, 1);
    pair.reply(1, "one");
    assert_eq!(pair.shown(1), "one");
    pair.cut = None;
    pair.pass(10);
    assert_eq!((pair.shown(0), pair.generation(0)), ("one", pair.generation(1)));
}

#[test]
fn a_living_record_of_another_appid_is_not_written_over_by_a_sticky_relay_that_was_cut_off_for_a_moment() {
    let mut pair = Pair::of(policy(RotationMode::Sticky));
    pair.reply(0, "one");
    let theirs = another_writes(&mut pair, ReplicaId(9));
    for beat in 1..9000 {
        another_lives(&mut pair, beat);
        pair.cut = (10..20).contains(&beat).then_some(1);
        pair.pass(1);
    }
    assert_eq!((pair.store.record.as_ref(), pair.calls()), (Some(&theirs), 1));
    // it is shut down, and what it has left is taken over
    pair.pass(20);
    assert!(pair.store.text().contains("\"one\"") && pair.calls() == 2, "{}", pair.store.text());
}

/// A reload gave the account another appid, and the keeper before could not give its lease back.
#[test]
fn a_record_of_the_appid_before_whose_holder_is_this_very_relay_is_taken_over() {
    let mut pair = Pair::serving("one");
    another_writes(&mut pair, ReplicaId(1));
    pair.pass(20);
    assert!(pair.store.text().contains("\"one\""), "{}", pair.store.text());
    assert_eq!((pair.status(0).lease.is_ours(), pair.status(0).store_trouble.as_ref()), (true, None));
    assert_eq!(pair.calls(), 1);
}

#[test]
fn a_take_over_that_the_store_did_not_answer_is_tried_again() {
    for rotation in [RotationMode::Rotating, RotationMode::Sticky] {
        let mut pair = Pair::of(policy(rotation));
        pair.reply(0, "one");
        pair.relays[1].is_frozen = true;
        another_writes(&mut pair, ReplicaId(9));
        pair.read_only = Some(0);
        pair.pass(60);
        assert!(pair.status(0).store_trouble.is_some() && !pair.store.text().contains("\"one\""));
        pair.read_only = None;
        pair.pass(20);
        assert!(pair.store.text().contains("\"one\""), "{}", pair.store.text());
        assert_eq!(pair.status(0).store_trouble, None);
    }
}
