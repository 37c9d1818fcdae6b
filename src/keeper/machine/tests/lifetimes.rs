//! A ticket: its issuer names two hours with every reply, whatever is left of them.

use super::*;
use crate::{
    credential::TicketKind,
    issuer::{Platform, ticket},
};

/// Two hours.
const LIFE: u64 = 7200;

const CALLS_PER_DAY: u32 = ticket::calls_per_day(Platform::WeChat);

fn rig() -> Rig {
    rig_of(Platform::WeChat)
}

fn rig_of(platform: Platform) -> Rig {
    let issuer = ticket::profile(platform, TicketKind::Jsapi, s(300));
    Rig::new(Policy { issuer, calls_per_day: ticket::calls_per_day(platform), ..policy(RotationMode::Sticky) })
}

/// A relay that saw `one` become `two`, and so knows how long `two` lives: at most 30 s less than it does.
fn knowing() -> Rig {
    let mut rig = rig();
    rig.fetch("one", LIFE);
    rig.run_to_call();
    rig.reply_token("two", LIFE);
    rig
}

fn end_of(rig: &Rig) -> Timestamp {
    rig.machine.known.record.credential.as_ref().unwrap().deadline.earliest
}

#[test]
fn after_a_lost_record_little_is_promised_and_the_ticket_is_asked_for_every_half_minute() {
    let mut rig = rig();
    rig.fetch("one", LIFE);
    assert_eq!((rig.shown(), rig.seconds()), ("one", 60));
    for _ in 0..10 {
        let (before, generation) = (rig.boot, rig.machine.known.record.generation);
        rig.run_to_call();
        assert_eq!(rig.boot.since(before), s(30));
        assert_eq!(rig.seconds(), 30, "served on while it is asked for");
        rig.reply_token("one", LIFE);
        assert_eq!((rig.shown(), rig.seconds()), ("one", 60));
        assert!(generation < rig.machine.known.record.generation, "what is promised anew is a generation of its own");
    }
}

#[test]
fn once_the_text_has_changed_its_life_is_known_from_the_earliest_moment_at_which_it_can_have_begun() {
    let mut rig = knowing();
    assert_eq!((rig.shown(), rig.seconds()), ("two", LIFE - 30));
    let (known_at, end) = (rig.boot, end_of(&rig));
    rig.run_to_call();
    assert_eq!(rig.boot, end.minus(s(300)), "not asked for again before its last five minutes");
    assert!(rig.boot.since(known_at) > s(6800));
}

#[test]
fn a_whole_life_is_promised_from_change_to_change_and_costs_few_calls() {
    let mut rig = knowing();
    for (current, next) in [("two", "three"), ("three", "four"), ("four", "five")] {
        let end = end_of(&rig);
        let before = rig.calls.len();
        loop {
            rig.run_to_call();
            if rig.boot >= end {
                break;
            }
            rig.reply_token(current, LIFE);
            assert_eq!(end_of(&rig), end, "the end of a known life stays");
        }
        assert_eq!((rig.boot, rig.seconds()), (end, 0));
        // WeChat's clock is a little behind
        rig.reply_token(current, LIFE);
        assert_eq!(rig.seconds(), 0, "nothing is promised past the end");
        rig.run_to_call();
        assert_eq!(rig.boot, end.plus(s(1)));
        rig.reply_token(next, LIFE);
        assert_eq!((rig.shown(), rig.seconds()), (next, LIFE - 1));
        assert!(rig.calls.len() - before <= 25, "{} calls", rig.calls.len() - before);
    }
}

#[test]
fn a_failed_call_takes_nothing_from_the_little_that_was_promised_and_adds_nothing() {
    let mut rig = rig();
    rig.fetch("one", LIFE);
    let end = end_of(&rig);
    while rig.boot < end {
        rig.run_to_call();
        rig.reply(Err(if rig.calls.len().is_multiple_of(2) { unknown() } else { code(-1) }));
        assert_eq!(rig.seconds(), end.since(rig.boot).as_secs());
    }
    rig.run_to_call();
    rig.reply_token("one", LIFE);
    assert_eq!((rig.shown(), rig.seconds()), ("one", 60));
}

#[test]
fn a_restart_costs_no_call_and_remembers_what_is_known() {
    let mut rig = knowing();
    rig.pass(s(3600));
    let seconds = rig.seconds();
    rig.restart();
    assert_eq!((rig.shown(), rig.seconds(), rig.calls.len()), ("two", seconds, 2));
    rig.kept = None;
    rig.restart();
    rig.fetch("two", LIFE);
    assert_eq!((rig.shown(), rig.seconds()), ("two", 60), "nobody knows any more what is left");
}

#[test]
fn a_ticket_that_changed_while_nobody_looked_is_promised_as_if_it_had_changed_at_once() {
    let mut rig = knowing();
    let seen_at = rig.boot;
    // a relay that was off, for longer than the life that it knew of was to last
    rig.boot = seen_at.plus(s(LIFE - 60));
    rig.restart();
    rig.reply_token("three", LIFE);
    assert_eq!((rig.shown(), rig.seconds()), ("three", 60), "it may have begun just after the last look");
    rig.pass(s(60));
    // it did not; but it may end at any moment
    rig.reply_token("three", LIFE);
    assert_eq!((rig.shown(), rig.seconds()), ("three", 60));
}

#[test]
fn a_life_that_lasts_longer_than_was_said_is_not_cut_off() {
    let mut rig = knowing();
    let end = end_of(&rig);
    while rig.seconds() == 0 || rig.boot < end {
        rig.run_to_call();
        rig.reply_token("two", LIFE);
        assert!(rig.boot < end.plus(s(40)), "a ticket that WeChat still gives is not served");
    }
    assert_eq!((rig.shown(), rig.seconds()), ("two", 60));
}

#[test]
fn a_life_that_may_end_within_minutes_is_served_a_minute_at_a_time_but_never_past_its_latest_end() {
    let mut rig = knowing();
    rig.run_to_call();
    rig.reply_token("two", LIFE);
    let seen_at = rig.boot;
    // a relay that was off when the ticket changed
    rig.boot = seen_at.plus(s(400));
    rig.restart();
    rig.reply_token("three", LIFE);
    let (earliest, latest) = (seen_at.plus(s(LIFE)), rig.boot.plus(s(LIFE)));
    assert_eq!(rig.boot.plus(s(rig.seconds())), earliest);
    rig.run_to_call();
    let mut before_the_end = 0;
    while rig.boot < latest {
        rig.reply_token("three", LIFE);
        let (left, seconds) = (latest.since(rig.boot), rig.seconds());
        assert!(s(seconds) <= left, "{seconds} s are promised, {left:?} before the latest end");
        assert!(seconds > 0 || left <= s(60), "it is given, and not served");
        before_the_end += u32::from(rig.boot > earliest && seconds > 0);
        rig.run_to_call();
    }
    assert!(before_the_end > 10, "{before_the_end}");
    rig.reply_token("four", LIFE);
    assert!(rig.seconds() > LIFE - 10, "the end was watched: {} s", rig.seconds());
}

#[test]
fn a_ticket_that_never_changes_is_served_all_day_within_the_budget() {
    let mut rig = rig();
    rig.fetch("one", LIFE);
    let begun = rig.boot;
    while rig.boot.since(begun) < s(24 * 3600) {
        rig.run_to_call();
        assert!(rig.seconds() > 0, "a gap after {} calls", rig.calls.len());
        rig.reply_token("one", LIFE);
    }
    let calls = u32::try_from(rig.calls.len()).unwrap();
    assert!((800..CALLS_PER_DAY).contains(&calls), "{calls} calls");
}

#[test]
fn a_probe_that_was_answered_with_another_ticket_has_it_fetched() {
    let mut rig = knowing();
    rig.pass(s(600));
    // somebody sets the clock: what was promised is verified
    rig.wall_ms += 60_000;
    rig.pass(s(5));
    rig.probed(accepted());
    let seen_at = rig.boot;
    rig.pass(s(600));
    rig.wall_ms += 60_000;
    rig.pass(s(5));
    rig.probed(Verdict::Replaced);
    assert_eq!(rig.probes, 2);
    assert_eq!((rig.shown(), rig.calls.len()), ("nothing", 3), "the old one is served no more, the new one asked for");
    rig.reply_token("three", LIFE);
    assert_eq!(rig.shown(), "three");
    assert_eq!(end_of(&rig), seen_at.plus(s(LIFE)), "it began after the last probe that was answered with the old one");
}

#[test]
fn a_call_that_was_not_sent_for_lack_of_a_token_is_given_back_and_made_again_soon() {
    let mut rig = rig();
    rig.reply(Err(IssueError::NotSent { cause: Cause::NoAccessToken }));
    assert_eq!(rig.status.as_ref().unwrap().budget.calls, CALLS_PER_DAY);
    let failed_at = rig.boot;
    rig.run_to_call();
    assert!(rig.boot.since(failed_at) < s(2));
    rig.reply_token("one", LIFE);
    assert_eq!(rig.shown(), "one");
}

/// WeCom allows an agent so many calls for a ticket within an hour.
const WECOM_PER_HOUR: usize = 100;

/// Runs for so long, answers each call, and says how many were made within an hour at most.
fn busiest_hour(rig: &mut Rig, span: Duration, mut reply: impl FnMut(&mut Rig)) -> usize {
    let (begun, mut calls) = (rig.boot, vec![rig.boot]);
    reply(rig);
    while rig.boot.since(begun) < span {
        rig.run_to_call();
        calls.push(rig.boot);
        reply(rig);
    }
    let from = |at: &Timestamp| calls.iter().filter(|call| (*at..at.plus(s(3600))).contains(*call)).count();
    calls.iter().map(from).max().unwrap()
}

#[test]
fn wecom_is_asked_for_a_ticket_of_unknown_age_once_a_minute() {
    let mut rig = rig_of(Platform::WeCom);
    let calls = busiest_hour(&mut rig, s(LIFE), |rig| {
        rig.reply_token("one", LIFE);
        assert_eq!((rig.shown(), rig.seconds()), ("one", 120));
    });
    assert!((55..=61).contains(&calls), "{calls} calls");
}

#[test]
fn how_old_wecoms_tickets_are_is_known_from_the_second_on_and_costs_no_more_calls_than_it_allows() {
    let mut rig = rig_of(Platform::WeCom);
    let born = rig.boot.minus(s(3000));
    let mut of_known_age = 0;
    let calls = busiest_hour(&mut rig, s(10 * LIFE), |rig| {
        let before = rig.boot;
        rig.reply_token(&format!("ticket-{}", before.since(born).as_secs() / LIFE), LIFE);
        of_known_age += u32::from(rig.seconds() > 120);
    });
    assert!(of_known_age >= 9, "{of_known_age}");
    assert!(calls <= WECOM_PER_HOUR, "{calls} calls within an hour");
    assert!(rig.calls.len() < 180, "{} calls in 20 hours", rig.calls.len());
}

#[test]
fn a_wecom_that_fails_for_hours_is_asked_no_more_often_than_it_allows() {
    for error in [unknown(), code(-1), code(45009), code(42001)] {
        let mut rig = rig_of(Platform::WeCom);
        let calls = busiest_hour(&mut rig, s(2 * LIFE), |rig| rig.reply(Err(error.clone())));
        assert!(calls <= WECOM_PER_HOUR, "{calls} calls for {error}");
    }
}
