//! What a report costs, and what it is answered (I5).

use super::*;

#[test]
fn readers_see_the_new_token_before_a_report_is_answered() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    rig.reply_token("two", 7200);
    let published = rig.log.iter().rposition(|line| line == "publish two").unwrap();
    let answered = rig.log.iter().rposition(|line| line == "answer 1 Superseded").unwrap();
    assert!(published < answered, "{:?}", rig.log);
}

#[test]
fn two_hundred_reports_cost_one_probe_and_one_refresh() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    let generation = rig.machine.known.record.generation;
    for id in 0..200 {
        rig.step(Event::Report(ReportId(id), generation, Grounds::Report));
    }
    rig.probed(refused());
    assert_eq!(rig.shown(), "nothing");
    rig.reply_token("two", 7200);
    assert_eq!((rig.probes, rig.calls.len(), rig.answers.len()), (1, 2, 200));
    assert!(rig.answers.iter().all(|(_, answer)| *answer == ReportAnswer::Superseded));
}

#[test]
fn a_report_of_another_token_than_the_current_one_costs_nothing() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.step(Event::Report(ReportId(1), Generation(7), Grounds::Report));
    assert_eq!((rig.probes, rig.calls.len()), (0, 1));
    assert_eq!(rig.answers, [(1, ReportAnswer::Superseded)]);
}

#[test]
fn an_accepted_token_stays_and_is_not_probed_again_within_the_cooldown() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(accepted());
    rig.pass(s(10));
    rig.report(2);
    assert_eq!(rig.shown(), "one");
    assert_eq!((rig.probes, rig.calls.len()), (1, 1));
    assert_eq!(rig.answers[0], (1, ReportAnswer::Accepted));
    assert!(matches!(rig.answers[1], (2, ReportAnswer::TooMany { .. })));
}

#[test]
fn without_a_verdict_the_token_stays() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(inconclusive());
    assert_eq!(rig.shown(), "one");
    assert!(matches!(rig.answers[0], (1, ReportAnswer::Failed { .. })));
}

#[test]
fn a_refused_token_is_served_no_more_even_when_its_refresh_fails() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    rig.reply(Err(unknown()));
    assert_eq!(rig.shown(), "nothing");
    assert!(matches!(rig.answers[0], (1, ReportAnswer::Failed { .. })));
    rig.restart();
    assert_eq!(rig.shown(), "nothing");
}

#[test]
fn a_refused_sticky_token_is_asked_for_normally_and_then_forced() {
    let mut rig = Rig::sticky();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    rig.reply_token("one", 7100);
    rig.run_to_call();
    assert_eq!(rig.calls, [false, false, true]);
    rig.reply_token("two", 7200);
    assert_eq!((rig.shown(), &rig.answers[..]), ("two", &[(1, ReportAnswer::Superseded)][..]));
}

#[test]
fn an_issuer_that_cannot_be_forced_is_asked_again_at_the_pace_of_reports_until_it_gives_another_token() {
    let mut policy = policy(RotationMode::Sticky);
    policy.issuer.can_be_forced = false;
    let mut rig = Rig::new(policy);
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    for _ in 0..3 {
        rig.reply_token("one", 7100);
        let answered_at = rig.boot;
        rig.run_to_call();
        let pause = rig.boot.since(answered_at);
        assert!((s(30)..s(31)).contains(&pause), "{pause:?}");
        assert_eq!(rig.shown(), "nothing");
    }
    assert!(rig.calls.iter().all(|is_forced| !is_forced), "{:?}", rig.calls);
    rig.reply_token("two", 7200);
    assert_eq!(rig.shown(), "two");
}

#[test]
fn forced_calls_are_a_pace_apart_and_six_in_a_day_and_normal_ones_go_on() {
    let mut rig = Rig::sticky();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    rig.reply_token("one", 7100);
    let began_at = rig.boot;
    for _ in 0..6 {
        rig.run_to_call();
        rig.reply_token("one", 7000);
    }
    assert!(rig.boot.since(began_at) >= s(5 * 60));
    assert!(rig.calls.split_off(2).iter().all(|is_forced| *is_forced));
    for _ in 0..3 {
        let answered_at = rig.boot;
        rig.run_to_call();
        assert!((s(30)..s(31)).contains(&rig.boot.since(answered_at)));
        rig.reply_token("one", 6000);
    }
    rig.run_to_call();
    assert_eq!(rig.calls[2..], [false; 4]);
    rig.reply_token("two", 7200);
    assert_eq!(rig.shown(), "two");
}

#[test]
fn a_report_that_comes_while_a_call_is_under_way_shares_its_outcome() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.report(1);
    rig.reply_token("two", 7200);
    assert_eq!((rig.probes, rig.calls.len()), (0, 2));
    assert_eq!(rig.answers, [(1, ReportAnswer::Superseded)]);
}

#[test]
fn a_relay_that_stops_answers_every_report() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig.report(1);
    rig.report(2);
    rig.step(Event::Shutdown);
    rig.probed(inconclusive());
    assert!(rig.is_stopped);
    assert_eq!(rig.answers.len(), 2);
}

#[test]
fn a_refused_token_ends_no_wait_that_wechat_demands() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.reply(Err(code(45009))); // an hour
    let failed_at = rig.boot;
    rig.pass(s(60));
    rig.report(1);
    rig.probed(refused());
    rig.run_to_call();
    assert!(rig.boot.since(failed_at) >= s(3600), "{:?}", rig.boot.since(failed_at));
}
