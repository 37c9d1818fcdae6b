//! When is a token probed that no report speaks of: because a client fetches it early, or because its time has come?

use super::*;
use crate::keeper::record::DAY;

fn fetched() -> Rig {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.pass(s(60));
    rig
}

fn probing_every(every: Duration) -> Rig {
    let mut rig = Rig::new(Policy { probe_every: every, ..policy(RotationMode::Rotating) });
    rig.fetch("one", 7200);
    rig
}

fn too_many(answer: Option<&(u64, ReportAnswer)>) -> bool {
    matches!(answer, Some((_, ReportAnswer::TooMany { .. })))
}

#[test]
fn an_early_fetch_waits_for_the_verdict_and_a_refused_token_is_replaced_first() {
    let mut rig = fetched();
    rig.fetch_early(1, Grounds::EarlyFetch);
    assert_eq!((rig.probes, rig.answers.len()), (1, 0));
    rig.fetch_early(2, Grounds::EarlyFetch);
    rig.probed(refused());
    rig.reply_token("two", 7200);
    assert_eq!((rig.probes, rig.calls.len(), rig.shown()), (1, 2, "two"));
    assert_eq!(rig.answers, [(1, ReportAnswer::Superseded), (2, ReportAnswer::Superseded)]);
}

#[test]
fn right_after_a_rotation_an_early_fetch_is_a_reason_to_probe_where_a_report_is_not() {
    let mut rig = fetched();
    rig.fetch_early(1, Grounds::EarlyFetch);
    rig.probed(refused());
    rig.reply_token("two", 7200);
    rig.pass(s(2));
    rig.report(2);
    assert!(too_many(rig.answers.last()));
    rig.fetch_early(3, Grounds::EarlyFetch);
    rig.probed(refused());
    rig.reply_token("three", 7200);
    assert_eq!((rig.probes, rig.shown()), (2, "three"));
}

#[test]
fn after_each_good_verdict_nobody_is_suspected_for_twice_as_long_up_to_ten_minutes() {
    let mut rig = fetched();
    for (id, calm) in [60, 120, 240, 480, 600, 600].into_iter().enumerate() {
        let id = 2 * u64::try_from(id).unwrap();
        rig.fetch_early(id, Grounds::EarlyFetch);
        rig.probed(accepted());
        assert_eq!(rig.answers.last(), Some(&(id, ReportAnswer::Accepted)));
        let probes = rig.probes;
        rig.pass(s(calm - 1));
        rig.fetch_early(id + 1, Grounds::EarlyFetch);
        assert!(too_many(rig.answers.last()) && rig.probes == probes, "{calm}");
        rig.pass(s(1));
    }
    assert_eq!((rig.calls.len(), rig.shown()), (1, "one"));
}

#[test]
fn a_report_is_heard_in_a_calm_and_a_burst_after_its_first_minute() {
    let mut rig = fetched();
    for id in 0..3 {
        rig.fetch_early(id, Grounds::EarlyFetch);
        rig.probed(accepted());
        rig.pass(s(200));
    }
    rig.fetch_early(3, Grounds::EarlyFetch);
    assert!(too_many(rig.answers.last()));
    rig.fetch_early(4, Grounds::Burst);
    rig.probed(accepted());
    assert_eq!(rig.answers.last(), Some(&(4, ReportAnswer::Accepted)));
    rig.pass(s(59));
    rig.fetch_early(5, Grounds::Burst);
    assert!(too_many(rig.answers.last()));
    rig.report(6);
    assert_eq!(rig.probes, 5, "30 s after a probe a report is heard");
}

#[test]
fn a_refused_token_and_a_new_one_end_the_calm() {
    let mut rig = fetched();
    for id in 0..4 {
        rig.fetch_early(id, Grounds::EarlyFetch);
        rig.probed(accepted());
        rig.pass(s(600));
    }
    rig.fetch_early(9, Grounds::EarlyFetch);
    rig.probed(refused());
    rig.reply_token("two", 7200);
    rig.pass(s(5));
    rig.fetch_early(10, Grounds::EarlyFetch);
    rig.probed(accepted());
    rig.pass(s(60));
    rig.fetch_early(11, Grounds::EarlyFetch);
    assert_eq!(rig.probes, 7, "its calm was a short one again");
}

#[test]
fn early_fetches_and_regular_probes_leave_the_reports_a_hundred_probes_a_day() {
    let mut rig = probing_every(s(7));
    for _ in 0..200 {
        rig.run_to_probe();
        rig.probed(accepted());
    }
    rig.pass(s(601));
    rig.fetch_early(1, Grounds::EarlyFetch);
    rig.fetch_early(2, Grounds::Burst);
    assert!(rig.answers.len() == 2 && rig.answers.iter().all(|answer| too_many(Some(answer))));
    rig.report(3);
    assert_eq!((rig.probes, rig.calls.len(), rig.answers.len()), (201, 1, 2));
}

#[test]
fn a_regular_probe_comes_in_its_time_and_any_accepted_one_puts_it_off() {
    let mut rig = probing_every(s(600));
    let fetched_at = rig.boot;
    rig.run_to_probe();
    let waited = rig.boot.since(fetched_at);
    assert!((s(540)..=s(600)).contains(&waited), "{waited:?}");
    rig.probed(accepted());
    rig.pass(s(300));
    rig.report(1);
    rig.probed(accepted());
    let reported_at = rig.boot;
    rig.run_to_probe();
    assert!(rig.boot.since(reported_at) >= s(540));
    assert_eq!((rig.probes, rig.calls.len()), (3, 1));
}

#[test]
fn a_token_that_somebody_else_has_ended_is_replaced_after_two_refusals() {
    let mut rig = probing_every(s(600));
    rig.run_to_probe();
    rig.probed(refused());
    assert_eq!(rig.shown(), "one", "WeChat refuses a good token at times");
    let refused_at = rig.boot;
    rig.run_to_probe();
    assert_eq!(rig.boot.since(refused_at), s(3));
    rig.probed(refused());
    assert_eq!((rig.shown(), rig.calls.len()), ("nothing", 2));
    rig.reply_token("two", 7200);
    assert!(rig.status.as_ref().unwrap().ended_by_others_at.is_some());
    rig.pass(DAY.saturating_sub(s(5)));
    assert!(rig.status.as_ref().unwrap().ended_by_others_at.is_some());
    rig.pass(s(10));
    assert!(rig.status.as_ref().unwrap().ended_by_others_at.is_none(), "for a day");
    // found while the wall clock was far ahead
    let in_40_days =
        rig.machine.known.record.ended_by_others_at.map(|at| WallTime::from_millis(at.as_millis() + 42 * 86_400_000));
    rig.machine.known.record.ended_by_others_at = in_40_days;
    rig.pass(s(60));
    assert!(in_40_days.is_some() && rig.status.as_ref().unwrap().ended_by_others_at.is_none());
}

#[test]
fn a_false_refusal_costs_one_more_probe_and_no_call() {
    let mut rig = probing_every(s(600));
    rig.run_to_probe();
    rig.probed(refused());
    rig.run_to_probe();
    rig.probed(accepted());
    let at = rig.boot;
    rig.run_to_probe();
    assert!(rig.boot.since(at) >= s(540));
    rig.probed(refused());
    assert_eq!((rig.probes, rig.calls.len(), rig.shown()), (3, 1, "one"));
}

#[test]
fn without_a_setting_no_regular_probe_is_made() {
    let mut rig = probing_every(Duration::ZERO);
    rig.run_to_call();
    assert_eq!(rig.probes, 0);
}

#[test]
fn an_early_fetch_of_an_earlier_token_is_superseded_though_the_current_one_is_not_suspected() {
    let mut rig = fetched();
    rig.fetch_early(1, Grounds::EarlyFetch);
    rig.probed(accepted());
    rig.step(Event::Report(ReportId(2), Generation(7), Grounds::EarlyFetch));
    assert_eq!(rig.answers.last(), Some(&(2, ReportAnswer::Superseded)));
}

#[test]
fn a_client_that_never_keeps_its_token_is_doubted_every_ten_minutes_all_day() {
    let mut rig = probing_every(s(600));
    for day in 0..3 {
        let (mut before, mut at, mut longest) = (rig.probes, rig.boot, Duration::ZERO);
        let (first, end) = (before, rig.boot.plus(DAY));
        while rig.boot < end {
            rig.pass(s(5));
            if rig.is_calling() {
                rig.reply_token(["one", "two"][rig.calls.len() % 2], 7200);
            }
            rig.fetch_early(1, Grounds::Burst);
            if rig.is_probing() {
                rig.probed(accepted());
            }
            if rig.probes > before {
                longest = longest.max(rig.boot.since(at));
                (before, at) = (rig.probes, rig.boot);
            }
        }
        let probes = rig.probes - first;
        assert!(probes < 200 && longest <= s(610), "day {day}: {probes}, at most {longest:?} apart");
    }
}
