//! What does a reply say? Pure functions from bytes to a credential, a refusal or "nobody knows". The shape is that of
//! all of WeChat's platforms; the member that holds the credential, and what a code means, the issuer knows.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Cause, IssueError, Issued, ReplyDefect};
use crate::credential::Token;
use crate::printable::printable;

/// The longest life that is believed, in seconds: WeChat documents "a value within 7200 seconds".
pub const LONGEST_LIFE_S: u64 = 7200;

/// The longest `errmsg` that is kept, in characters. Those seen are under 200.
pub const LONGEST_ERRMSG: usize = 256;

/// Reads the reply of a call that asks for a credential, whatever its status and Content-Type say. Success is a non-empty
/// printable text in `member`, a positive `expires_in` and an `errcode` that is absent or 0: a failed reply was seen with
/// `"access_token":null`. Texts in `hidden` never appear in an error.
pub fn parse_reply(status: u16, body: &[u8], member: &str, hidden: &[&str]) -> Result<Issued, IssueError> {
    let unknown = |defect| IssueError::Unknown { cause: Cause::Unreadable { status, defect } };
    let reply = object(body).map_err(unknown)?;
    let token = reply.get(member).and_then(Value::as_str).unwrap_or_default();
    match errcode(&reply).map_err(unknown)? {
        0 => {}
        errcode => {
            let errmsg = reply.get("errmsg").and_then(Value::as_str).unwrap_or_default();
            let hidden: Vec<&str> = hidden.iter().copied().chain([token]).collect();
            return Err(IssueError::Refused { errcode, errmsg: printable(errmsg, &hidden, LONGEST_ERRMSG) });
        }
    }
    let token = Token::try_from(token.to_owned()).map_err(|_| unknown(ReplyDefect::NoCredential))?;
    let life = reply.get("expires_in").and_then(seconds).ok_or_else(|| unknown(ReplyDefect::Life))?;
    Ok(Issued { token, life })
}

/// The reply as an object. The parser's own message is not kept: it quotes the body.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, ReplyDefect> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(text).map_err(|_| ReplyDefect::NotJson(body.len()))
}

/// The errcode, 0 where it is absent or null.
pub(super) fn errcode(reply: &Map<String, Value>) -> Result<i64, ReplyDefect> {
    let errcode = match reply.get("errcode") {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64()?)?.parse().ok()),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    errcode.ok_or(ReplyDefect::Errcode)
}

/// A positive number of seconds as a number or a text of digits, at most [`LONGEST_LIFE_S`].
fn seconds(value: &Value) -> Option<Duration> {
    let digits = match value {
        Value::Number(number) => whole(number.as_f64()?)?,
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Digits that do not fit are a very long time.
    let seconds = digits.parse::<u64>().unwrap_or(u64::MAX).min(LONGEST_LIFE_S);
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// The digits of a floating-point number without a fraction, with its sign.
fn whole(number: f64) -> Option<String> {
    (number.fract() == 0.0).then(|| format!("{:.0}", number + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn parse(body: &[u8], hidden: &[&str]) -> Result<Issued, IssueError> {
        parse_reply(200, body, "access_token", hidden)
    }

    fn life_s(body: &str) -> Option<u64> {
        parse(body.as_bytes(), &[SECRET]).ok().map(|issued| issued.life.as_secs())
    }

    fn refused(body: &str) -> Option<(i64, String)> {
        match parse(body.as_bytes(), &[SECRET]) {
            Err(IssueError::Refused { errcode, errmsg }) => Some((errcode, errmsg)),
            _ => None,
        }
    }

    fn is_unknown(body: &str) -> bool {
        matches!(parse(body.as_bytes(), &[SECRET]), Err(IssueError::Unknown { .. }))
    }

    #[test]
    fn a_token_with_a_life_and_no_errcode_is_issued_and_its_life_is_at_most_two_hours() {
        for (expires_in, expected) in [
            ("7200", 7200),
            ("345", 345),
            ("1", 1),
            ("7200.0", 7200),
            ("7.2e3", 7200),
            ("\"300\"", 300),
            ("\" 300 \"", 300),
            ("86400", 7200),
            ("18446744073709551616", 7200),
            ("1e300", 7200),
            ("\"99999999999999999999999999\"", 7200),
        ] {
            assert_eq!(life_s(&format!(r#"{{"access_token":"75_a","expires_in":{expires_in}}}"#)), Some(expected));
        }
        for prefix in ["", "\u{feff}", " \r\n\t"] {
            for errcode in ["0", "0.0", "-0.0", "-0", "\"0\"", "null"] {
                let body = format!("{prefix}{{\"errcode\":{errcode},\"access_token\":\"75_a\",\"expires_in\":7200}}\n");
                assert_eq!(life_s(&body), Some(7200), "{body}");
            }
        }
    }

    #[test]
    fn an_errcode_other_than_0_is_a_refusal_whatever_else_is_there() {
        let seen = r#"{"errcode":-1000,"errmsg":"system error","access_token":null,"expires_in":0}"#;
        assert_eq!(refused(seen), Some((-1000, "system error".to_owned())));
        for (errcode, expected) in [("40013", 40013), ("\"40013\"", 40013), ("40013.0", 40013), ("-1", -1)] {
            let body = format!(r#"{{"access_token":"75_a","expires_in":7200,"errcode":{errcode}}}"#);
            assert_eq!(refused(&body), Some((expected, String::new())));
        }
    }

    #[test]
    fn everything_else_is_unknown() {
        let deep = format!("{{\"access_token\":{}", "[".repeat(60_000));
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "\"75_a\"",
            "<html>502 Bad Gateway</html>",
            "{\"access_token\":\"75_a\"",
            &deep,
            r#"["75_a",7200]"#,
            r#"{"access_token":"","expires_in":7200}"#,
            r#"{"access_token":"a b","expires_in":7200}"#,
            r#"{"access_token":"a\u0000","expires_in":7200}"#,
            r#"{"access_token":"\u4ee4","expires_in":7200}"#,
            r#"{"access_token":75,"expires_in":7200}"#,
            r#"{"access_token":["75_a"],"expires_in":7200}"#,
            r#"{"access_token":"75_a"}"#,
            r#"{"access_token":"75_a","expires_in":null}"#,
            r#"{"access_token":"75_a","expires_in":0}"#,
            r#"{"access_token":"75_a","expires_in":"0"}"#,
            r#"{"access_token":"75_a","expires_in":-7200}"#,
            r#"{"access_token":"75_a","expires_in":"-7200"}"#,
            r#"{"access_token":"75_a","expires_in":"+7200"}"#,
            r#"{"access_token":"75_a","expires_in":0.5}"#,
            r#"{"access_token":"75_a","expires_in":7199.5}"#,
            r#"{"access_token":"75_a","expires_in":1e400}"#,
            r#"{"access_token":"75_a","expires_in":NaN}"#,
            r#"{"access_token":"75_a","expires_in":"NaN"}"#,
            r#"{"access_token":"75_a","expires_in":"7200s"}"#,
            r#"{"access_token":"75_a","expires_in":""}"#,
            r#"{"access_token":"75_a","expires_in":true}"#,
            r#"{"errcode":0,"errmsg":"ok"}"#,
            r#"{"errcode":0.5,"access_token":"75_a","expires_in":7200}"#,
            r#"{"errcode":"zero","access_token":"75_a","expires_in":7200}"#,
            r#"{"errcode":[0],"access_token":"75_a","expires_in":7200}"#,
            r#"{"errcode":99999999999999999999,"errmsg":"x"}"#,
            r#"{"errcode":1e308}"#,
            r#"{"access_token":"75_a","expires_in":7200}{"#,
        ] {
            assert!(is_unknown(body), "{body}");
        }
        let long = format!(r#"{{"access_token":"{}","expires_in":7200}}"#, "x".repeat(2049));
        assert!(is_unknown(&long));
        assert_eq!(life_s(&long.replacen('x', "", 1)), Some(7200), "2 KiB is the longest");
    }

    #[test]
    fn no_error_text_holds_a_secret_an_unprintable_character_or_more_than_256_of_them() {
        let (loud, told) = (SECRET.to_uppercase(), "75_token");
        for errmsg in [
            format!("bad secret {SECRET}"),
            format!("bad secret {loud} and {SECRET}{SECRET}"),
            format!("split {}\u{200b}{}", &SECRET[..9], &SECRET[9..]),
            format!("cut {}{SECRET}", "x".repeat(240)),
            format!("token {told}"),
        ] {
            let body = serde_json::json!({ "errcode": 40001, "errmsg": errmsg, "access_token": told }).to_string();
            let (_, errmsg) = refused(&body).unwrap();
            let lower = errmsg.to_lowercase();
            assert!(!lower.contains(&SECRET[..9]) && !errmsg.contains(told), "{errmsg}");
            assert!(errmsg.chars().count() <= LONGEST_ERRMSG);
        }
        let body =
            serde_json::json!({ "errcode": 1, "errmsg": "a\nb\u{1b}[31m\u{202e}\u{0}无效\"\u{e000}" }).to_string();
        assert_eq!(refused(&body), Some((1, "a b[31m无效\"".to_owned())));
        assert!(!format!("{:?}", parse(b"\"75_secret\"", &[])).contains("75_secret"));
    }
}
