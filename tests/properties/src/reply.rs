//! Which replies bring a token? Only a success does, and no error holds a secret.

use serde_json::Value;
use token_relay::issuer::{
    IssueError, Issued, Verdict,
    reply::{LONGEST_ERRMSG, parse_reply},
    wechat::{ERRORS, parse_probe},
};

/// The AppSecret and the appid of the call: no error may hold them.
pub const HIDDEN: [&str; 2] = ["5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0", "wx0123456789abcdef"];

/// Reads `body` as the reply of a fetch and of a probe, and returns what came of the fetch.
///
/// # Panics
/// The property does not hold.
pub fn holds(body: &[u8]) -> Result<Issued, IssueError> {
    let outcome = parse_reply(200, body, "access_token", &HIDDEN);
    match &outcome {
        Ok(issued) => is_a_success(&members(body).expect("only an object issues"), issued),
        Err(error) => is_a_failure(body, error),
    }
    is_a_verdict(body, &parse_probe(200, body));
    outcome
}

#[expect(clippy::float_cmp, reason = "whole numbers of seconds and errcodes are exact")]
fn is_a_success(reply: &Value, issued: &Issued) {
    let token = reply["access_token"].as_str().expect("only a text is a token");
    assert!(issued.token.is(token) && !token.is_empty() && token.len() <= 2048);
    assert!(token.chars().all(|c| ('!'..='~').contains(&c)), "{token:?}");
    let life = number(&reply["expires_in"]).expect("only a number is a life");
    assert!(life >= 1.0 && life.fract() == 0.0, "{reply}");
    assert_eq!(issued.life.as_secs_f64(), life.min(7200.0), "{reply}");
    assert!(says_nothing_of_an_error(reply), "{reply}");
}

fn is_a_failure(body: &[u8], error: &IssueError) {
    let shown = format!("{error} {error:?} {}", ERRORS.hint(error)).to_lowercase();
    assert!(!HIDDEN.iter().any(|hidden| shown.contains(hidden)), "{shown}");
    match error {
        IssueError::Refused { errcode, errmsg } => {
            assert!(*errcode != 0 && errmsg.chars().count() <= LONGEST_ERRMSG && !errmsg.contains(char::is_control));
            assert!(members(body).is_some_and(|reply| number(&reply["errcode"]).is_some_and(|n| n != 0.0)));
        }
        IssueError::Unknown { .. } => {}
        IssueError::NotSent { .. } => panic!("a reply came, so something was sent"),
    }
}

fn is_a_verdict(body: &[u8], verdict: &Verdict) {
    match verdict {
        Verdict::Accepted => {
            let reply = members(body).expect("only an object accepts");
            assert!(says_nothing_of_an_error(&reply), "{reply}");
            assert!(reply["ip_list"].is_array() || !reply["errcode"].is_null(), "{reply}");
        }
        Verdict::Replaced => panic!("a token is not probed by asking for another one"),
        Verdict::Refused { errcode } => assert!([40001, 40014, 42001].contains(errcode)),
        Verdict::Inconclusive { cause } => {
            let shown = cause.to_string().to_lowercase();
            assert!(!HIDDEN.iter().any(|hidden| shown.contains(hidden)), "{shown}");
        }
    }
}

fn says_nothing_of_an_error(reply: &Value) -> bool {
    reply["errcode"].is_null() || number(&reply["errcode"]) == Some(0.0)
}

fn members(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).ok().filter(Value::is_object)
}

/// What a person reads as a number, by other means than the reader's.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}
