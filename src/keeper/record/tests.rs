//! What stands in a record must stay readable.

use super::*;
use crate::{
    clock::{BootId, Now},
    issuer::{Cause, NoVerdict, ReplyDefect},
    report::ReportFailure,
    store::Sealed,
};

/// Written by the relay before causes were stored as facts: its last call was answered with 502 by a gateway.
const UNKNOWN: &str = r#"{"version":1,"identity":{"base_url":"http://127.0.0.1:18190","appid":"wx0123456789abcdef","endpoint":"token"},"written":{"boot_id":"d5e2f27d-4dbe-4bd9-9f14-62e8524cdd47","boot_us":3022801332,"wall_ms":1795536921209},"generation":0,"credential":null,"intent":null,"unknown_calls":[[3022784648,-16684,-16684,0]],"failures":2,"last_attempt_us":0,"retry_us":2261816,"forced_us":null,"debits":[[-1140946,2,0,0]],"asked_with":"c3757783","last_error":{"error":{"unknown":{"reason":"HTTP 502: the reply is not a JSON object (150 bytes)"}},"wall_ms":1795536921209},"strays":0,"revision":0}"#;
/// By the same relay, to which nobody listened.
const NOT_SENT: &str = r#"{"version":1,"identity":{"base_url":"http://127.0.0.1:18190","appid":"wx0123456789abcdef","endpoint":"token"},"written":{"boot_id":"d5e2f27d-4dbe-4bd9-9f14-62e8524cdd47","boot_us":3024277249,"wall_ms":1795536922685},"generation":0,"credential":null,"intent":null,"unknown_calls":[],"failures":2,"last_attempt_us":0,"retry_us":2075857,"forced_us":null,"debits":[[-1095859,0,0,0]],"asked_with":"c3757783","last_error":{"error":{"not_sent":{"reason":"127.0.0.1: client error (Connect): tcp connect error: Connection refused (os error 111)"}},"wall_ms":1795536922685},"strays":0,"revision":0}"#;

fn identity() -> Identity {
    Identity {
        base_url: "http://127.0.0.1:18190".to_owned(),
        appid: "wx0123456789abcdef".to_owned(),
        endpoint: "token".to_owned(),
    }
}

/// A second after the record was written.
fn read(bytes: &[u8]) -> Record {
    let now = Now { boot: Timestamp::from_micros(3_025_277_249), wall: WallTime::from_millis(1_795_536_923_685) };
    let boot = BootId::from_text("d5e2f27d-4dbe-4bd9-9f14-62e8524cdd47");
    match Record::decode(&Sealed::new(bytes.to_vec()), &identity(), &boot, now, ClockBasis::Alone) {
        Ok(Decoded::Ours { record, .. }) => *record,
        other => panic!("not read: {other:?}"),
    }
}

#[test]
fn a_last_error_that_an_earlier_version_stored_as_a_sentence_is_read() {
    for (stored, expected) in [
        (UNKNOWN, "outcome unknown: HTTP 502: the reply is not a JSON object (150 bytes)"),
        (NOT_SENT, "not sent: 127.0.0.1: client error (Connect): tcp connect error: Connection refused (os error 111)"),
    ] {
        let (error, _) = read(stored.as_bytes()).last_error.expect("it stands in the record");
        assert_eq!(error.to_string(), expected);
    }
    let refused = r#"{"refused":{"errcode":40125,"errmsg":"invalid appsecret rid: 6aac005a"}}"#;
    let at = UNKNOWN.find(r#"{"unknown""#).unwrap();
    let end = UNKNOWN.find(r#","wall_ms":1795536921209},"strays""#).unwrap();
    let stored = format!("{}{refused}{}", &UNKNOWN[..at], &UNKNOWN[end..]);
    let errmsg = "invalid appsecret rid: 6aac005a".to_owned();
    assert_eq!(read(stored.as_bytes()).last_error.unwrap().0, IssueError::Refused { errcode: 40125, errmsg });
}

#[test]
fn the_answer_to_a_forwarded_report_that_an_earlier_version_stored_as_a_sentence_is_read() {
    let forwarded =
        r#""wish":{"id":7,"generation":9,"answer":{"failed":[30000000,"the probe told nothing: errcode -1"]}},"#;
    let stored = UNKNOWN.replace(r#""strays""#, &format!(r#"{forwarded}"strays""#));
    let Some(ForwardedReport { answer: Some(ForwardedAnswer::Failed(_, failure)), .. }) =
        read(stored.as_bytes()).shared.forwarded
    else {
        panic!("not read");
    };
    assert_eq!(failure, ReportFailure::Worded("the probe told nothing: errcode -1".to_owned()));
}

#[test]
fn errors_and_answers_are_read_as_they_were_written() {
    let unreadable = Cause::Unreadable { status: 502, defect: ReplyDefect::NotJson(150) };
    let refused = IssueError::Refused { errcode: 40164, errmsg: "invalid ip".to_owned() };
    let now = Now { boot: Timestamp::from_micros(3_024_277_249), wall: WallTime::from_millis(1_795_536_922_685) };
    let boot = BootId::from_text("d5e2f27d-4dbe-4bd9-9f14-62e8524cdd47");
    for (error, failure) in [
        (IssueError::Unknown { cause: unreadable.clone() }, ReportFailure::TooSoon),
        (refused.clone(), ReportFailure::RefreshFailed(refused)),
        (
            IssueError::NotSent { cause: Cause::NoConnection(Duration::from_secs(3)) },
            ReportFailure::NoVerdict(NoVerdict::Unreadable(unreadable.clone())),
        ),
        (
            IssueError::NotSent { cause: unreadable.clone() },
            ReportFailure::NoVerdict(NoVerdict::Failed(IssueError::Unknown { cause: unreadable })),
        ),
    ] {
        let answer = Some(ForwardedAnswer::Failed(now.boot, failure));
        let forwarded = Some(ForwardedReport { id: 7, generation: Generation(9), answer });
        let shared = Shared { forwarded: forwarded.clone(), ..Shared::default() };
        let record = Record { last_error: Some((error.clone(), now.wall)), shared, ..Record::default() };
        let found = read(record.encode(&identity(), &boot, now).expose());
        assert_eq!((found.last_error, found.shared.forwarded), (Some((error, now.wall)), forwarded));
    }
}
