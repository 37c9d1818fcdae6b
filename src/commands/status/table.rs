//! How is the relay shown on a terminal?

use std::time::Duration;

use comfy_table::{Table, presets};
use humantime::format_duration;

use super::{
    remarks::{Remark, of_relay, remarks},
    seen::{Credential, Seen},
};
use crate::status::{State, advice::caller};

const HEADER: [&str; 7] = ["CREDENTIAL", "STATE", "LEFT", "RENEWAL IN", "NEXT CALL IN", "CALLS TODAY", "CALLER"];
/// So many names stand before a remark.
const NAMED: usize = 8;

/// The relay in one line, each credential in one, and what to do.
pub(super) fn page(seen: &Seen) -> String {
    let (status, version, uptime) = (seen.status.as_str(), &seen.version, duration(seen.uptime_s));
    let mut page = format!("{status}: token-relay {version}, up {uptime}\n\n{}\n", table(seen));
    let of_credentials = remarks(seen);
    let of_credentials = of_credentials.iter().map(|(remark, names)| (named(names), remark));
    let of_relay = of_relay(&seen.settings);
    for (whose, remark) in of_relay.iter().map(|remark| ("the relay".to_owned(), remark)).chain(of_credentials) {
        page.push_str(&said(&whose, remark));
    }
    page
}

fn table(seen: &Seen) -> String {
    let mut rows: Vec<_> = seen.accounts.iter().collect();
    rows.sort_by_key(|(id, credential)| rank(credential, seen.silent_keepers_s.contains_key(*id)));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADER);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.add_rows(rows.into_iter().map(|(id, credential)| row(id, credential)));
    table.trim_fmt()
}

/// First what clients do not get, then what is not well, then the rest; each by name.
fn rank(credential: &Credential, is_silent: bool) -> u8 {
    let is_amiss = credential.trouble.is_some() || credential.store_trouble.is_some() || credential.another_caller;
    match credential.state.is_served() {
        false => 0,
        true if is_silent || is_amiss => 1,
        true => 2,
    }
}

fn row(id: &str, credential: &Credential) -> [String; 7] {
    let left = if credential.state.is_served() { duration(credential.seconds_left) } else { "-".to_owned() };
    let renewal = match (credential.rotation_in_s, credential.state) {
        (Some(0), State::Fresh | State::Due) => "due".to_owned(),
        (Some(seconds), State::Fresh | State::Due) => duration(seconds),
        _ => "-".to_owned(),
    };
    let next_call = credential.next_call_in_s.map_or("under way".to_owned(), duration);
    let calls = format!("{} of {}", credential.calls_made(), credential.calls_per_day);
    let caller = caller(credential.lease).english.to_owned();
    [id.to_owned(), credential.state.as_str().to_owned(), left, renewal, next_call, calls, caller]
}

/// As in the settings: `1h 58m 20s`.
fn duration(seconds: u64) -> String {
    format_duration(Duration::from_secs(seconds)).to_string()
}

fn said(whose: &str, Remark { what, advice }: &Remark) -> String {
    if advice.is_empty() { format!("\n{whose}: {what}\n") } else { format!("\n{whose}: {what}\n    {advice}\n") }
}

fn named(names: &[&str]) -> String {
    let first = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn credential(changes: &Value) -> Value {
        let mut credential = json!({
            "state": "fresh", "seconds_left": 7100, "rotation_in_s": 3500, "next_call_in_s": 3500, "failures": 0,
            "calls_per_day": 400, "budget_left": {"calls": 397}, "rotations_to_revoke": 0, "another_caller": false,
            "lease": "alone", "trouble": null, "store_trouble": null,
        });
        credential.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        credential
    }

    fn shown(accounts: &Value) -> String {
        let seen = json!({
            "version": "9.9.9", "uptime_s": 3723, "status": "degraded", "silent_keepers_s": {"slow": 40},
            "settings": {"trouble": "server.listen: x", "needs_restart": ["state.url"]}, "accounts": accounts,
        });
        page(&serde_json::from_value(seen).unwrap())
    }

    #[test]
    fn what_is_not_served_comes_first_and_each_column_is_aligned() {
        let page = shown(&json!({
            "amiss": credential(&json!({"state": "due", "rotation_in_s": 0, "next_call_in_s": 50, "store_trouble": "disk"})),
            "fine": credential(&json!({})),
            "slow": credential(&json!({"lease": "another"})),
            "spent": credential(&json!({"budget_left": {"calls": 0}})),
            "worst.jsapi": credential(&json!({"state": "none", "rotation_in_s": null, "next_call_in_s": null})),
        }));
        let table = "\
degraded: token-relay 9.9.9, up 1h 2m 3s

CREDENTIAL   STATE  LEFT        RENEWAL IN  NEXT CALL IN  CALLS TODAY  CALLER
worst.jsapi  none   -           -           under way     3 of 400     this relay
amiss        due    1h 58m 20s  due         50s           3 of 400     this relay
slow         fresh  1h 58m 20s  58m 20s     58m 20s       3 of 400     another relay
fine         fresh  1h 58m 20s  58m 20s     58m 20s       3 of 400     this relay
spent        fresh  1h 58m 20s  58m 20s     58m 20s       400 of 400   this relay
";
        assert!(page.starts_with(table), "{page}");
        for said in ["\nthe relay: the changed settings cannot be used: server.listen: x\n", "restart: state.url\n"] {
            assert!(page.contains(said), "{page}");
        }
        assert!(page.contains("\namiss: disk\n    the relay works from memory"), "{page}");
        assert!(page.contains("\nspent: the day's calls are spent\n    none is made until"), "{page}");
        assert!(page.contains("\nslow: the keeper gives no sign of life\n    /healthz fails"), "{page}");
    }

    #[test]
    fn what_calls_for_the_same_is_said_once_with_the_names_of_all_that_it_concerns() {
        let accounts = (10..20).map(|number| {
            let trouble = json!({"message": format!("errcode 40164 rid: {number}"), "hint": "put it on the list"});
            (format!("a{number}"), credential(&json!({"state": "none", "trouble": trouble})))
        });
        let page = shown(&Value::Object(accounts.collect()));
        let said =
            "\na10, a11, a12, a13, a14, a15, a16, a17, and 2 more: errcode 40164 rid: 10\n    put it on the list\n";
        assert!(page.ends_with(said), "{page}");
    }
}
