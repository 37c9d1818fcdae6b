//! What stands in a record must stay readable.

use super::*;
use crate::{
    clock::{BootId, Now, Timestamp},
    group::peers::Peers,
    issuer::{Cause, NoVerdict, ReplyDefect},
    report::{Grounds, ReportFailure},
    store::Sealed,
};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn about(earliest: i64, latest: i64) -> Bounds {
    Bounds::between(at(earliest), at(latest))
}

fn identity() -> Identity {
    Identity {
        base_url: "http://127.0.0.1:18190".to_owned(),
        appid: "wx0123456789abcdef".to_owned(),
        endpoint: "token".to_owned(),
    }
}

fn boot() -> BootId {
    BootId::from_text("d5e2f27d-4dbe-4bd9-9f14-62e8524cdd47")
}

/// What this version writes: a later one must read it as [`full`].
const LAYOUT_2: &str = r#"
{"version":2,"identity":{"base_url":"http://127.0.0.1:18190","appid":"wx0123456789abcdef","endpoint":"token"},
"written":{"boot_id":"d5e2f27d-4dbe-4bd9-9f14-62e8524cdd47","boot_us":3024000000,"wall_ms":1795536922685},
"record":{"generation":1795536000000,"holder":18446744073709551615,"revision":17,
"credential":{"token":"current","generation":1795536000000,"call":18446744073709551614,
"asked_at":[2100000000,2101000000],"asked_again_at":[2150000000,2151000000],"came_at":[2102000000,2103000000],"deadline":[9300000000,9301000000],
"rotation_at":[5700000000,5701000000],"is_refused":false,"clock_offset_ms":-1200},
"handed_out":[{"digest":"2a51d3547c23a8de50f3e23285a0df35","until":[5800000000,5801000000],"generation":8}],"calls":[{"id":1,
"sent":[2200000000,2201000000],"outcome":{"unknown":{"ended":[2208000000,2210000000]}}},{"id":2,
"sent":[2300000000,2301000000],"outcome":"void"},{"id":3,"sent":[2890000000,2900000000],
"outcome":{"late":{"token":"late","came_at":[2900000000,2901000000],"deadline":[10000000000,10001000000]}}},{"id":4,"sent":[3020000000,3020000000],
"outcome":{"open":{"is_forced":true}}}],"orphans":[{"call":5,"until":[6000000000,6002000000],"is_forced":false}],
"verified_at":[3010000000,3011000000],"probed_at":[3012000000,3013000000],
"calm":{"since":[3010000000,3011000000],"in_vain":3},"ended_by_others_at":1795535000000,"revocation":{"up_to":9,"rotations_left":1},"forwarded":{"id":7,"generation":9,"grounds":"burst",
"answer":{"failed":[[3060000000,3060000000],{"refresh_failed":{"refused":{"errcode":40164,
"errmsg":"invalid ip"}}}]}},"failures":2,"last_attempt_at":[3020000000,3020000000],
"retry_at":[3030000000,3031000000],"forced_at":[-5000000,-5000000],
"debits":[[1000000000,1,1,0],[3000000000,0,0,1]],"asked_with":"c3757783",
"last_error":{"error":{"unknown":{"cause":{"unreadable":{"status":502,"defect":{"not_json":150}}}}},
"wall_ms":1795536922685}}}"#;

/// When [`full`] was written.
const WRITTEN: Now = Now { boot: at(3024), wall: WallTime::from_millis(1_795_536_922_685) };

fn token(text: &str) -> Token {
    Token::try_from(text.to_owned()).unwrap()
}

/// A record in which nothing is missing.
fn full() -> Record {
    let late = LateToken { token: token("late"), came_at: about(2900, 2901), deadline: about(10_000, 10_001) };
    let call = |id, sent, outcome| Call { id: CallId(id), sent, outcome };
    let mut debits = Debits::default();
    debits.debit(at(1000), Debit::Call { is_forced: true });
    debits.debit(at(3000), Debit::Probe);
    let refused = IssueError::Refused { errcode: 40164, errmsg: "invalid ip".to_owned() };
    let answer = Some(ForwardedAnswer::Failed(at(3060).into(), ReportFailure::RefreshFailed(refused)));
    let cause = Cause::Unreadable { status: 502, defect: ReplyDefect::NotJson(150) };
    Record {
        generation: Generation(1_795_536_000_000),
        holder: Some(ReplicaId(u64::MAX)),
        revision: 17,
        credential: Some(Credential {
            token: token("current"),
            generation: Generation(1_795_536_000_000),
            call: Some(CallId(u64::MAX - 1)),
            asked_at: about(2100, 2101),
            asked_again_at: Some(about(2150, 2151)),
            came_at: about(2102, 2103),
            deadline: about(9300, 9301),
            rotation_at: about(5700, 5701),
            is_refused: false,
            clock_offset_ms: -1200,
            sighting: None,
        }),
        handed_out: vec![HandedOut {
            digest: token("earlier").digest(),
            until: about(5800, 5801),
            generation: Generation(8),
        }],
        unanswered_at: None,
        calls: vec![
            call(1, about(2200, 2201), Outcome::Unknown { ended: about(2208, 2210) }),
            call(2, about(2300, 2301), Outcome::Void),
            call(3, about(2890, 2900), Outcome::Late(late)),
            call(4, at(3020).into(), Outcome::Open { is_forced: true }),
        ],
        orphans: vec![Orphan { call: CallId(5), until: about(6000, 6002), is_forced: false }],
        verified_at: Some(about(3010, 3011)),
        probed_at: Some(about(3012, 3013)),
        calm: Calm { since: Some(about(3010, 3011)), in_vain: 3 },
        revocation: Revocation { up_to: Generation(9), rotations_left: 1 },
        ended_by_others_at: Some(WallTime::from_millis(1_795_535_000_000)),
        forwarded: Some(ForwardedReport { id: 7, generation: Generation(9), grounds: Grounds::Burst, answer }),
        failures: 2,
        last_attempt_at: Some(at(3020).into()),
        retry_at: Some(about(3030, 3031)),
        forced_at: Some(at(-5).into()),
        debits,
        asked_with: SecretMark("c3757783".to_owned()),
        last_error: Some(LastError { error: IssueError::Unknown { cause }, at: WRITTEN.wall }),
    }
}

fn decode(text: &str) -> Result<Stored, Unreadable> {
    Stored::decode(&Sealed::new(text.as_bytes().to_vec()), &identity())
}

fn read(text: &str) -> Record {
    decode(text).unwrap().record
}

fn encoded(record: &Record) -> Sealed {
    record.encode(&identity(), &boot(), WRITTEN)
}

#[test]
fn a_record_of_layout_2_is_read() {
    let Stored { record, written, is_ours } = decode(LAYOUT_2).unwrap();
    assert_eq!(record, full());
    assert_eq!((written.boot_id, written.boot_us, written.wall_ms), (boot(), WRITTEN.boot, WRITTEN.wall));
    assert!(is_ours);
}

#[test]
fn a_record_is_read_as_it_was_written() {
    for record in [full(), Record::default()] {
        let found = Stored::decode(&encoded(&record), &identity()).unwrap();
        assert_eq!((found.record, found.is_ours), (record, true));
    }
}

#[test]
fn a_field_that_this_version_does_not_know_is_passed_over_and_one_that_is_missing_is_empty() {
    let longer = LAYOUT_2
        .replace(r#""revision":17"#, r#""mood":{"good":[1]},"revision":17"#)
        .replace(r#""is_refused":false"#, r#""is_refused":false,"colour":"red""#)
        .replacen(r#""version":2"#, r#""version":2,"author":"me""#, 1);
    assert_ne!(longer, LAYOUT_2);
    assert_eq!(read(&longer), full());
    let shorter = LAYOUT_2.replace(r#""revision":17,"#, "").replace(r#""holder":18446744073709551615,"#, "");
    assert_eq!(read(&shorter), Record { revision: 0, holder: None, ..full() });
}

#[test]
fn a_greater_layout_is_told_by_its_number_whatever_is_in_it() {
    for newer in [LAYOUT_2.replacen(r#""version":2"#, r#""version":3"#, 1), r#"{"version":3,"all":"new"}"#.to_owned()] {
        assert_eq!(decode(&newer).err(), Some(Unreadable::Newer(3)));
    }
}

#[test]
fn what_is_torn_or_of_somebody_else_or_of_the_layout_before_the_first_release_is_foreign() {
    let layout_1 = LAYOUT_2.replacen(r#""version":2"#, r#""version":1"#, 1).replace(r#""record":"#, r#""generation":"#);
    for text in ["", "OK", "{}", "[2]", &LAYOUT_2[..LAYOUT_2.len() - 1], &layout_1, r#"{"version":"2"}"#] {
        assert_eq!(decode(text).err(), Some(Unreadable::Foreign), "{text}");
    }
}

#[test]
fn a_record_of_another_base_url_appid_or_endpoint_is_told_apart() {
    let bytes = encoded(&full());
    for other in [
        Identity { base_url: "https://api.weixin.qq.com".to_owned(), ..identity() },
        Identity { appid: "wx2".to_owned(), ..identity() },
        Identity { endpoint: "stable_token".to_owned(), ..identity() },
    ] {
        let found = Stored::decode(&bytes, &other).unwrap();
        assert!(!found.is_ours);
        assert_eq!(found.record.holder, full().holder, "who holds it is of interest all the same");
    }
}

#[test]
fn errors_and_answers_are_read_as_they_were_written() {
    let unreadable = Cause::Unreadable { status: 502, defect: ReplyDefect::NotJson(150) };
    let refused = IssueError::Refused { errcode: 40164, errmsg: "invalid ip".to_owned() };
    for (error, failure) in [
        (IssueError::Unknown { cause: unreadable.clone() }, ReportFailure::TooSoon),
        (refused.clone(), ReportFailure::RefreshFailed(refused)),
        (
            IssueError::NotSent { cause: Cause::NoConnection(s(3)) },
            ReportFailure::NoVerdict(NoVerdict::Unreadable(unreadable.clone())),
        ),
        (
            IssueError::NotSent { cause: unreadable.clone() },
            ReportFailure::NoVerdict(NoVerdict::Failed(IssueError::Unknown { cause: unreadable })),
        ),
    ] {
        for answer in [
            ForwardedAnswer::Failed(about(3, 4), failure),
            ForwardedAnswer::TooMany(about(3, 4)),
            ForwardedAnswer::Accepted,
        ] {
            let forwarded = Some(ForwardedReport {
                id: 7,
                generation: Generation(9),
                grounds: Grounds::Report,
                answer: Some(answer),
            });
            let last_error = Some(LastError { error: error.clone(), at: WRITTEN.wall });
            let record = Record { forwarded, last_error, ..Record::default() };
            assert_eq!(Stored::decode(&encoded(&record), &identity()).unwrap().record, record);
        }
    }
}

/// All moments of a record but the debits', which are one moment each.
fn moments(record: &Record) -> Vec<Bounds> {
    let credential = record.credential.as_ref().unwrap();
    let mut moments = vec![credential.asked_at, credential.came_at, credential.deadline, credential.rotation_at];
    moments.extend(credential.asked_again_at);
    moments.extend(record.handed_out.iter().map(|handed_out| handed_out.until));
    for call in &record.calls {
        moments.push(call.sent);
        moments.extend(call.ended());
        moments.extend(call.late().map(|late| late.deadline));
    }
    moments.extend(record.orphans.iter().map(|orphan| orphan.until));
    moments.extend(
        [
            record.verified_at,
            record.probed_at,
            record.calm.since,
            record.last_attempt_at,
            record.retry_at,
            record.forced_at,
        ]
        .into_iter()
        .flatten(),
    );
    if let Some(ForwardedReport { answer: Some(ForwardedAnswer::Failed(at, _)), .. }) = record.forwarded {
        moments.push(at);
    }
    moments
}

#[test]
fn every_moment_moves_by_the_offset_of_the_clocks_and_is_known_as_much_less() {
    let by = ClockOffset::between(at(0), about(500, 503));
    let moved = full().shifted(by);
    let expected: Vec<_> = moments(&full())
        .into_iter()
        .map(|moment| Bounds::between(moment.earliest.plus(s(500)), moment.latest.plus(s(503))))
        .collect();
    assert_eq!((moments(&moved), expected.len()), (expected, 21));
    // a budget is not given back early
    assert_eq!(moved.debits.relief_at(at(3600), |spent| spent.calls), at(1000 + 503 + 1800).plus(DAY));
    assert_eq!(full().shifted(ClockOffset::NONE), full());
}

#[test]
fn of_a_record_of_unknown_age_only_what_needs_no_moment_is_left() {
    let left = full().without_moments();
    let (credential, handed_out, verified_at, probed_at, calm, forwarded, forced_at) = Default::default();
    // a lost relay may still send the call that it has announced
    let calls = full().calls.into_iter().filter(Call::is_open).collect();
    assert!(!full().orphans.is_empty());
    let expected =
        Record { credential, handed_out, calls, verified_at, probed_at, calm, forwarded, forced_at, ..full() };
    assert_eq!(left, expected);
    assert_eq!((left.generation, left.failures, left.last_error), (full().generation, 2, full().last_error));
    assert_eq!(left.debits.spent(at(3024)), full().debits.spent(at(3024)));
}

fn stamp() -> codec::Stamp {
    decode(LAYOUT_2).unwrap().written
}

/// So long after the record was written by the wall clock, on the clock of another boot.
fn later(boot: Timestamp, seconds: i64) -> Now {
    Now { boot, wall: WallTime::from_millis(WRITTEN.wall.as_millis() + seconds * 1000) }
}

#[test]
fn the_age_of_a_record_of_this_machine_is_told_by_its_boot_and_after_a_reboot_by_the_wall_clock() {
    let (same, other) = (boot(), BootId::from_text("another"));
    let basis = |boot_id: &BootId, now| stamp().basis(boot_id, now);
    assert_eq!(basis(&same, later(at(3025), 7200)), ClockBasis::Boot(ClockOffset::NONE));
    assert_eq!(basis(&same, later(at(3023), 1)), ClockBasis::Unknown, "from its own future");
    // 60 s old, give or take 5 s: the machine started 10 s ago
    let by_wall = ClockBasis::Wall(ClockOffset::between(WRITTEN.boot, about(10 - 65, 10 - 55)));
    assert_eq!(basis(&other, later(at(10), 60)), by_wall);
    assert_eq!(basis(&other, later(at(61), 60)), ClockBasis::Unknown, "younger than this boot");
    assert_eq!(basis(&other, later(at(10), -1)), ClockBasis::Unknown);
    assert_eq!(basis(&BootId::default(), later(at(3025), 1)), ClockBasis::Unknown);
}

#[test]
fn the_age_of_another_relay_s_record_lies_between_the_last_look_without_it_and_this_one() {
    let stranger = Peers::new(ReplicaId(1), BootId::from_text("another"));
    let basis = |now, absent_at: Option<i64>| stamp().shared_basis(&stranger, now, absent_at.map(at));
    let written_in = |earliest, latest| ClockBasis::Wall(ClockOffset::between(WRITTEN.boot, about(earliest, latest)));
    // by the wall clocks 100 s old, give or take 5 s
    assert_eq!(basis(later(at(900), 100), None), written_in(795, 805));
    // a wall clock that is a little slow
    assert_eq!(basis(later(at(900), -3), None), written_in(895, 900));
    assert_eq!(basis(later(at(900), 100), Some(803)), written_in(803, 805));
    // the wall clocks contradict what was seen
    assert_eq!(basis(later(at(900), 100), Some(898)), written_in(898, 900));
    assert_eq!(basis(later(at(900), -60), Some(898)), written_in(898, 900));
    assert_eq!(basis(later(at(900), -60), None), ClockBasis::Unknown);
}

#[test]
fn a_measured_clock_goes_before_the_wall_clocks() {
    let same_host = Peers::new(ReplicaId(1), boot());
    let basis = stamp().shared_basis(&same_host, later(at(3030), 7200), None);
    assert_eq!(basis, ClockBasis::Boot(ClockOffset::NONE));
}

/// Seed 194 of several relays: one that was started without the store, and called, knew of no debit when the store was back.
#[test]
fn no_debit_is_lost_where_two_histories_meet_and_none_counts_twice() {
    let at = |seconds: u64| Timestamp::default().plus(Duration::from_secs(seconds));
    let spent = |record: &Record| record.debits.spent(at(7200));
    let mut stored = Record { generation: Generation(1), revision: 9, ..Record::default() };
    for second in [0, 60, 3600] {
        stored.debits.debit(at(second), Debit::Call { is_forced: true });
    }
    // it saw the first two, and has called since
    let mut ours = Record { generation: Generation(2), ..Record::default() };
    ours.debits.debit(at(2), Debit::Call { is_forced: true });
    ours.debits.debit(at(61), Debit::Call { is_forced: true });
    ours.debits.debit(at(5000), Debit::Probe);
    for (one, other) in [(&ours, &stored), (&stored, &ours)] {
        let joined = one.clone().reconcile(other.clone(), Precedence::Neither);
        assert_eq!((spent(&joined).forced, spent(&joined).probes), (3, 1));
        assert_eq!(joined.clone().reconcile(other.clone(), Precedence::Neither).debits, joined.debits);
    }
}

#[test]
fn eight_calls_of_unknown_outcome_are_kept_apart_and_of_more_the_oldest_count_as_one() {
    let mut record = Record::default();
    let call = |id: u64| {
        let sent = at(1000 + i64::try_from(id).unwrap() * 10);
        Call { id: CallId(id), sent: sent.into(), outcome: Outcome::Unknown { ended: sent.plus(s(8)).into() } }
    };
    for id in 1..=8 {
        record.remember(call(id));
    }
    assert_eq!(record.calls.len(), 8);
    record.remember(call(9));
    assert_eq!(record.calls.len(), 8);
    assert_eq!((record.calls[0].sent, record.calls[7].id), (Bounds::between(at(1010), at(1020)), CallId(9)));
}

#[test]
fn of_one_credential_that_two_relays_tell_of_the_clearer_account_counts_and_each_refusal() {
    let of = |generation, width: i64, is_refused| {
        let credential = full().credential.unwrap();
        let deadline = about(9300, 9300 + width);
        let generation = Generation(generation);
        let credential = Credential { generation, deadline, is_refused, ..credential };
        Record { generation, credential: Some(credential), calls: Vec::new(), ..full() }
    };
    let joined = |ours: Record, theirs: Record| {
        let credential = ours.reconcile(theirs, Precedence::Theirs).credential.unwrap();
        (credential.generation.0, credential.deadline.uncertainty().as_secs(), credential.is_refused)
    };
    assert_eq!(joined(of(5, 1, false), of(5, 9, false)), (5, 1, false));
    assert_eq!(joined(of(5, 9, false), of(5, 1, false)), (5, 1, false));
    assert_eq!(joined(of(6, 9, false), of(5, 1, false)), (6, 9, false));
    assert_eq!(joined(of(5, 1, true), of(5, 1, false)), (5, 1, true));
    assert!(of(5, 1, true).is_news_to(&of(5, 1, false)), "a refusal is worth a write");
    assert!(!of(5, 1, false).is_news_to(&of(5, 2, false)), "a second of clearness is not");
}
