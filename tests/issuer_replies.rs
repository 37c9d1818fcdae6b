//! Does any reply at all make the reader panic, believe what it should not, or repeat a secret?

use std::panic::catch_unwind;

use properties::reply;
use token_relay::issuer::IssueError;

/// About a quarter of a minute in a debug build.
const REPLIES: u32 = 1_000_000;
const SEED: u64 = 0x7e1e_0a11;

const SAMPLES: &[&str] = &[
    r#"{"access_token":"75_Ab-cD_0123456789","expires_in":7200}"#,
    r#"{"errcode":0,"errmsg":"ok","access_token":"75_Ab-cD","expires_in":"345"}"#,
    r#"{"errcode":-1000,"errmsg":"system error","access_token":null,"expires_in":0}"#,
    r#"{"errcode":40013,"errmsg":"invalid appid wx0123456789abcdef rid: 6aac005a-01bfdbee-79769285"}"#,
    r#"{"errcode":40001,"errmsg":"bad 5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0 无效","access_token":"75_a","expires_in":7200}"#,
    "\u{feff}{ \"access_token\" : \"\\u0037\\u0035_x\" , \"expires_in\" : 7.2e3 }\r\n",
    "<html><head><title>502 Bad Gateway</title></head></html>",
    r#"{"ip_list":["101.226.103.1","2001:db8::1"]}"#,
    "",
];

const SHORT_VALUES: &[&str] = &[
    "0", "-0", "0.0", "1", "-1", "7200", "7200.0", "7199.5", "1e2", "1e400", "-1e400", "1e300", "NaN", "null", "true",
    "[]", "{}", "\"\"", "\"0\"", "\"7200\"", "\"-1\"", "\"1e3\"", "\"٣\"", "\"75_a\"", "\"7 5\"", "\"é\"", "40001",
    "[[[[[[[[",
];
const LONG_VALUES: &[&str] = &[
    "\" 7200 \"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775808",
    "\"5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0\"",
    "\"5EC2E7C0FFEE5EC2E7C0FFEE5EC2E7C0\\n\\u202e\"",
];

fn value(rng: &mut fastrand::Rng) -> &'static str {
    let index = rng.usize(..SHORT_VALUES.len() + LONG_VALUES.len());
    SHORT_VALUES.get(index).unwrap_or_else(|| &LONG_VALUES[index - SHORT_VALUES.len()])
}

const KEYS: &[&str] = &["access_token", "expires_in", "errcode", "errmsg", "ip_list", "padding"];

#[test]
fn no_mutated_reply_panics_deceives_or_leaks() {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut issued, mut refused, mut unknown) = (0_u32, 0_u32, 0_u32);
    for round in 0..REPLIES {
        let body = if rng.bool() { composed(&mut rng) } else { mutated(&mut rng) };
        let outcome = catch_unwind(|| reply::holds(&body));
        match outcome.unwrap_or_else(|_| panic!("reply {round} of seed {SEED:#x}: {body:?}")) {
            Ok(_) => issued += 1,
            Err(IssueError::Refused { .. }) => refused += 1,
            Err(IssueError::Unknown { .. }) => unknown += 1,
            Err(IssueError::NotSent { .. }) => unreachable!("the property has no such case"),
        }
    }
    println!("{REPLIES} replies, seed {SEED:#x}: {issued} issued, {refused} refused, {unknown} unknown");
    assert!(issued > REPLIES / 100 && refused > REPLIES / 100, "the mutations miss a branch");
}

/// An object of the known keys with values of every kind, some twice.
fn composed(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut members = Vec::new();
    for (key, usual) in [("access_token", "\"75_a\""), ("expires_in", "7200"), ("errcode", "0"), ("errmsg", "\"ok\"")] {
        if rng.u8(..8) > 0 {
            let value = if rng.u8(..3) > 0 { usual } else { value(rng) };
            members.push(format!("\"{key}\":{value}"));
        }
    }
    if rng.u8(..8) == 0 {
        members.push(format!("\"{}\":{}", KEYS[rng.usize(..KEYS.len())], value(rng)));
    }
    rng.shuffle(&mut members);
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// A sample after one to four accidents.
fn mutated(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut body = SAMPLES[rng.usize(..SAMPLES.len())].as_bytes().to_vec();
    for _ in 0..rng.u8(1..=4) {
        let at = rng.usize(..=body.len());
        match rng.u8(..7) {
            0 if at < body.len() => body[at] ^= 1 << rng.u8(..8),
            1 if at < body.len() => body[at] = rng.u8(..),
            2 => body.truncate(at),
            3 => drop(body.drain(at..(at + rng.usize(..8)).min(body.len()))),
            4 => insert(&mut body, at, value(rng).as_bytes()),
            5 => {
                let sample = SAMPLES[rng.usize(..SAMPLES.len())].as_bytes();
                insert(&mut body, at, &sample[..rng.usize(..=sample.len())]);
            }
            _ => insert(&mut body, at, &[rng.u8(..)]),
        }
    }
    body
}

fn insert(body: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    body.splice(at..at, bytes.iter().copied());
}
