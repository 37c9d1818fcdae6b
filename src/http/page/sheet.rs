//! What is on the page, in words? The page and its updates are both written from this.

use serde::Serialize;

use super::{
    super::{AppState, SettingsStatus},
    View,
    account::{Account, Credential},
    lines::{Line, lines},
    severity::Severity,
    words,
};
use crate::{
    clock::Now,
    language::Language,
    recent::{Entry, Happening},
    status::{FACTS, Lease, Readiness, Value, advice::caller},
};

/// From this share of the day's calls on, their number stands out.
const MANY_CALLS: f64 = 0.8;

/// All that is shown at a moment.
pub(super) struct Sheet {
    pub(super) head: Head,
    /// In the order in which they are shown.
    pub(super) accounts: Vec<Account>,
}

impl Sheet {
    pub(super) fn of(state: &AppState, view: &View) -> Self {
        let all = Account::all(state);
        let (accounts, unseen) = Account::shown(&all, view);
        let (settings, now) = (state.settings.load(), state.clock.now());
        Self { head: Head::of(&all, unseen, &settings, now, view.language), accounts }
    }
}

/// What is said of the relay as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Head {
    pub(super) version: &'static str,
    pub(super) title: String,
    pub(super) readiness: &'static str,
    pub(super) status: &'static str,
    /// How many accounts are how bad, by [`Severity::ALL`].
    pub(super) counts: [usize; 4],
    pub(super) notices: Vec<Line>,
    /// That there are more accounts than are shown.
    pub(super) unseen: String,
    /// Whether there are several relays.
    pub(super) several: bool,
}

impl Head {
    fn of(accounts: &[Account], unseen: usize, settings: &SettingsStatus, now: Now, language: Language) -> Self {
        let all = || accounts.iter().flat_map(|account| &account.0);
        let readiness = Readiness::of(all().map(|credential| credential.status().share(credential.kind(), now.boot)));
        let severities: Vec<_> = accounts.iter().map(Account::severity).collect();
        let counts = Severity::ALL.map(|one| severities.iter().filter(|severity| **severity == one).count());
        let in_need = counts[0] + counts[1];
        let status = words::readiness(readiness).to(language);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            title: if in_need > 0 {
                format!("({in_need}) {status} · token-relay")
            } else {
                format!("{status} · token-relay")
            },
            readiness: readiness.as_str(),
            status,
            counts,
            notices: lines(accounts, settings, now.wall, language),
            unseen: if unseen > 0 { words::unseen(language, unseen) } else { String::new() },
            several: all().any(|credential| credential.status().lease != Lease::Alone),
        }
    }
}

/// A text, or a duration that runs down.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Shown {
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ms: Option<u64>,
}

impl Shown {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ms: None }
    }

    fn milliseconds(ms: u64, language: Language) -> Self {
        Self { text: words::duration(language, ms / 1000), ms: Some(ms) }
    }
}

/// The line of an account.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) severity: Severity,
    /// Why it is so bad.
    pub(super) brief: String,
    /// Calls of the day, spent and allowed.
    pub(super) calls: String,
    pub(super) many_calls: bool,
    pub(super) lease: &'static str,
    /// Its credentials, the token first.
    pub(super) cells: Vec<Cell>,
}

impl Row {
    pub(super) fn of(account: &Account, language: Language) -> Self {
        let status = account.first().status();
        let spent = status.whole_budget.calls.saturating_sub(status.budget.calls);
        Self {
            name: account.name().to_owned(),
            severity: account.severity(),
            brief: words::brief(language, account.worst()),
            calls: format!("{spent} / {}", status.whole_budget.calls),
            many_calls: f64::from(spent) >= MANY_CALLS * f64::from(status.whole_budget.calls) && spent > 0,
            lease: caller(status.lease).to(language),
            cells: account.0.iter().map(|credential| Cell::of(credential, language)).collect(),
        }
    }
}

/// A credential.
#[derive(Debug, Default, Serialize)]
pub(super) struct Cell {
    pub(super) kind: &'static str,
    pub(super) severity: Severity,
    pub(super) state: &'static str,
    pub(super) left: Shown,
    pub(super) bar: Bar,
    pub(super) renewal: Shown,
    pub(super) ticks: Vec<Tick>,
    pub(super) message: String,
    pub(super) advice: String,
    pub(super) facts: Vec<(&'static str, Shown)>,
}

/// What is left of a life, in milliseconds, of what, and at which rest of it a renewal is planned.
#[derive(Debug, Default, Serialize)]
pub(super) struct Bar {
    pub(super) left: u64,
    pub(super) life: u64,
    pub(super) mark: u64,
}

impl Bar {
    fn of(credential: &Credential) -> Self {
        let (status, now) = (credential.status(), credential.now);
        let left = status.ends_in(now);
        let renewal_in = status.rotation_at.map_or(left, |at| at.since(now));
        Self { left: millis(left), life: millis(status.life), mark: millis(left.saturating_sub(renewal_in)) }
    }

    /// A part of the bar, of 1000.
    pub(super) fn share(&self, part: u64) -> u64 {
        part.saturating_mul(1000).checked_div(self.life).unwrap_or_default().min(1000)
    }
}

impl Cell {
    fn of(credential: &Credential, language: Language) -> Self {
        let (status, now) = (credential.status(), credential.now);
        let bar = Bar::of(credential);
        let is_offered = status.offer.is_some();
        let facts = FACTS.iter().filter_map(|fact| Some((fact.label?, (fact.read)(status, now))));
        let trouble = status.trouble.as_deref();
        Self {
            kind: credential.kind().label(),
            severity: credential.severity(),
            state: words::state(credential.state()).to(language),
            left: if is_offered { Shown::milliseconds(bar.left, language) } else { Shown::text("–") },
            bar,
            renewal: match status.rotation_at.filter(|_| is_offered).map(|at| millis(at.since(now))) {
                None => Shown::text("–"),
                Some(0) => Shown::text(words::DUE.to(language)),
                Some(ms) => Shown::milliseconds(ms, language),
            },
            ticks: credential.handle.history.entries().iter().map(|entry| Tick::of(entry, language)).collect(),
            message: trouble.map(|failure| words::failure(language, failure)).unwrap_or_default(),
            advice: trouble
                .map(|failure| failure.errors.hint_in(language, &failure.error).into_owned())
                .unwrap_or_default(),
            facts: facts.map(|(label, value)| (label.to(language), shown(value, language))).collect(),
        }
    }
}

fn shown(value: Value, language: Language) -> Shown {
    match value {
        Value::Seconds(seconds) => Shown::milliseconds(seconds.saturating_mul(1000), language),
        Value::Number(number) => Shown::text(number.to_string()),
        Value::Flag(is_so) => Shown::text(if is_so { words::YES } else { words::NO }.to(language)),
        Value::Absent(word) => Shown::text(word.to(language)),
    }
}

/// A rotation or a failure.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tick {
    /// Its class in the style sheet.
    pub(super) kind: &'static str,
    /// Unix milliseconds.
    pub(super) at: i64,
    pub(super) text: String,
}

impl Tick {
    fn of(entry: &Entry, language: Language) -> Self {
        let kind = match entry.what {
            Happening::Rotated => "rotated",
            Happening::Followed => "followed",
            Happening::EndedByOthers => "ended",
            Happening::NotSent | Happening::Unknown | Happening::Refused(_) => "failed",
        };
        Self { kind, at: entry.at.as_millis(), text: words::happening(language, entry) }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
