//! What are many accounts called, and how do they stand in the settings?

use std::fmt::Write as _;

/// The name of an account, as long for each.
pub(crate) fn name(number: usize) -> String {
    format!("a{number:05}")
}

pub(crate) fn appid(number: usize) -> String {
    format!("wx{number:016}")
}

/// Settings with the first `accounts` of them, and one client that may read all.
pub(crate) fn settings(accounts: usize, secret: &str, key: &str) -> String {
    let mut text = format!("[clients.bench]\nkey = \"{key}\"\n");
    for number in 0..accounts {
        let (name, appid) = (name(number), appid(number));
        writeln!(text, "\n[accounts.{name}]\nappid = \"{appid}\"\nsecret = \"{secret}\"").expect("a text grows");
    }
    text
}
