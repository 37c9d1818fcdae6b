//! What stands above the accounts: what is wrong, with whom, and what to do about it now?

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{super::SettingsStatus, account::Account, notice::Notice, severity::Severity, words};
use crate::{clock::WallTime, language::Language};

/// So many accounts are named in one line.
const NAMED: usize = 8;

/// A line, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) severity: Severity,
    pub(super) title: String,
    pub(super) advice: String,
    /// The credentials concerned; empty: the whole relay.
    pub(super) names: String,
}

/// All lines, the worst first; at equal severity those about the whole relay come first. Notices with the same text share one line
/// that lists their credentials.
pub(super) fn lines(accounts: &[Account], settings: &SettingsStatus, now: WallTime, language: Language) -> Vec<Line> {
    let mut concerned: BTreeMap<_, Vec<(_, String)>> = BTreeMap::new();
    for credential in accounts.iter().flat_map(|account| &account.0) {
        for (severity, notice) in Notice::of(credential) {
            let of = concerned.entry(words::notice(language, notice)).or_default();
            of.push((Reverse(severity), credential.handle.id.to_string()));
        }
    }
    let line = |((title, advice), mut of): (_, Vec<(Reverse<Severity>, String)>)| {
        of.sort_by_key(|(severity, _)| *severity);
        let severity = of.first().map_or(Severity::Fine, |(Reverse(worst), _)| *worst);
        let named: Vec<_> = of.iter().map(|(_, name)| name.as_str()).take(NAMED).collect();
        Line { severity, title, advice, names: words::names(language, &named, of.len() - named.len()) }
    };
    let certificate = words::certificate(language, settings.certificate_ends_at, now);
    let of_relay = words::settings(language, settings).into_iter().chain(certificate).map(|(title, advice)| Line {
        severity: Severity::Act,
        title,
        advice,
        names: String::new(),
    });
    let mut lines: Vec<_> = of_relay.chain(concerned.into_iter().map(line)).collect();
    lines.sort_by_key(|line| Reverse(line.severity));
    lines
}
