//! Which numbers and flags do operators see, and under which names?

use super::Status;
use crate::{clock::Timestamp, language::Bilingual};

/// The value of a [`Fact`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Whole seconds.
    Seconds(u64),
    /// A count or a number.
    Number(u64),
    /// Yes or no: in the metrics 1 or 0.
    Flag(bool),
    /// There is none now: `null` in `GET /status`, 0 in the metrics, this on the page.
    Absent(Bilingual),
}

/// The gauge that a [`Fact`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// Its name, without the prefix `token_relay_`.
    pub name: &'static str,
    /// A label beside those that say whose it is.
    pub label: Option<(&'static str, &'static str)>,
    /// What Prometheus shows as its help.
    pub help: &'static str,
}

/// A number or a flag that operators see. Every one is in [`FACTS`] and nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Its member in `GET /status`, with a dot for a member of a member.
    pub member: Option<&'static str>,
    /// Its name on the page.
    pub label: Option<Bilingual>,
    /// Its gauge.
    pub gauge: Option<Gauge>,
    /// Its value at a moment.
    pub read: fn(&Status, Timestamp) -> Value,
}

const fn gauge(name: &'static str, help: &'static str) -> Gauge {
    Gauge { name, label: None, help }
}

const fn budget(label: &'static str) -> Gauge {
    Gauge {
        name: "budget_left",
        label: Some(("budget", label)),
        help: "Calls that may still be made in the rolling 24 hours",
    }
}

const fn whole_budget(label: &'static str) -> Gauge {
    Gauge { name: "budget_limit", label: Some(("budget", label)), help: "Calls that may be made in any 24 hours" }
}

const fn only_gauge(gauge: Gauge, read: fn(&Status, Timestamp) -> Value) -> Fact {
    Fact { member: None, label: None, gauge: Some(gauge), read }
}

/// Seconds from `now` to `at`, 0 once it has passed.
fn until(at: Option<Timestamp>, now: Timestamp, absent: Bilingual) -> Value {
    at.map_or(Value::Absent(absent), |at| Value::Seconds(at.since(now).as_secs()))
}

/// All facts, in the order of the page.
pub const FACTS: &[Fact] = &[
    Fact {
        member: Some("seconds_left"),
        label: Some(Bilingual::new("promised for", "承诺剩余")),
        gauge: Some(gauge("token_remaining_seconds", "Seconds promised of the served token, 0 when none is served")),
        read: |status, now| Value::Seconds(status.seconds_left(now)),
    },
    Fact {
        member: Some("rotation_in_s"),
        label: Some(Bilingual::new("renewal in", "距计划刷新")),
        gauge: Some(gauge("rotation_in_seconds", "Seconds until the planned rotation, 0 when it is due")),
        read: |status, now| until(status.rotation_at, now, Bilingual::new("not planned", "未计划")),
    },
    Fact {
        member: Some("next_call_in_s"),
        label: Some(Bilingual::new("next call in", "距下次调用")),
        gauge: None,
        read: |status, now| until(status.next_attempt_at, now, Bilingual::new("under way", "进行中")),
    },
    Fact {
        member: Some("failures"),
        label: Some(Bilingual::new("failures in a row", "连续失败")),
        gauge: Some(gauge("consecutive_failures", "Calls that failed since the last success")),
        read: |status, _| Value::Number(status.failures.into()),
    },
    Fact { member: Some("life_s"), label: None, gauge: None, read: |status, _| Value::Seconds(status.life.as_secs()) },
    Fact {
        member: Some("calls_per_day"),
        label: None,
        gauge: None,
        read: |status, _| Value::Number(status.whole_budget.calls.into()),
    },
    Fact {
        member: Some("budget_left.calls"),
        label: Some(Bilingual::new("calls left today", "剩余调用")),
        gauge: Some(budget("calls")),
        read: |status, _| Value::Number(status.budget.calls.into()),
    },
    Fact {
        member: Some("budget_left.forced"),
        label: Some(Bilingual::new("forced calls left today", "剩余强制刷新")),
        gauge: Some(budget("forced")),
        read: |status, _| Value::Number(status.budget.forced.into()),
    },
    Fact {
        member: Some("budget_left.probes"),
        label: Some(Bilingual::new("probes left today", "剩余探测")),
        gauge: Some(budget("probes")),
        read: |status, _| Value::Number(status.budget.probes.into()),
    },
    Fact {
        member: Some("generation"),
        label: Some(Bilingual::new("generation", "generation")),
        gauge: Some(gauge("token_generation", "Generation of the token, about the Unix milliseconds of its birth")),
        read: |status, _| {
            status
                .offer
                .as_ref()
                .map_or(Value::Absent(Bilingual::new("none", "无")), |offer| Value::Number(offer.generation.0))
        },
    },
    Fact {
        member: Some("rotations_to_revoke"),
        label: None,
        gauge: Some(gauge(
            "rotations_to_revoke",
            "Rotations until what an operator has revoked is dead; 0 when nothing is",
        )),
        // until the record is read nobody knows, and 0 would say that all is done
        read: |status, _| {
            let unknown = Value::Absent(Bilingual::new("not known yet", "还不知道"));
            if status.is_loaded { Value::Number(status.rotations_to_revoke.into()) } else { unknown }
        },
    },
    Fact {
        member: Some("another_caller"),
        label: None,
        gauge: Some(gauge(
            "another_caller",
            "1 for a day after a token was found dead that no call of the relay had ended",
        )),
        read: |status, _| Value::Flag(status.ended_by_others_at.is_some()),
    },
    only_gauge(
        gauge("token_ends_in_seconds", "Seconds until nothing can be promised any more, unless another token comes"),
        |status, now| Value::Seconds(status.ends_in(now).as_secs()),
    ),
    only_gauge(
        gauge("operator_needed", "1 while only an operator can mend why calls fail, or none is left of the day"),
        |status, _| Value::Flag(status.needs_operator()),
    ),
    only_gauge(whole_budget("calls"), |status, _| Value::Number(status.whole_budget.calls.into())),
    only_gauge(whole_budget("forced"), |status, _| Value::Number(status.whole_budget.forced.into())),
    only_gauge(whole_budget("probes"), |status, _| Value::Number(status.whole_budget.probes.into())),
    only_gauge(
        gauge("store_ok", "1 when the record is stored, 0 when the relay lives on memory alone"),
        |status, _| Value::Flag(status.store_trouble.is_none()),
    ),
    Fact {
        member: Some("holds_lease"),
        label: None,
        gauge: Some(gauge("lease_held", "1 when this relay calls WeChat for the account: one of those on a Redis")),
        read: |status, _| Value::Flag(status.lease.is_ours()),
    },
];
