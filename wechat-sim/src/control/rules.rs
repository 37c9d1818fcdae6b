//! Which numbers change while the simulator runs?

use serde::Deserialize;

use super::member::{Lasting, Member};
use crate::server::State;

/// New rules, and the latency; `null` for a limit a minute is no limit.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Change {
    lifetime: Member<Lasting>,
    overlap: Member<Lasting>,
    latency: Member<Lasting>,
    day: Member<Lasting>,
    quota: Member<u32>,
    stable_quota: Member<u32>,
    per_minute: Member<Option<u32>>,
    stable_per_minute: Member<Option<u32>>,
    forced_per_day: Member<u32>,
}

pub(super) fn change(state: &mut State, change: Change) {
    let rules = state.model.rules_mut();
    change.lifetime.replace(&mut rules.lifetime);
    change.overlap.replace(&mut rules.overlap);
    change.day.replace(&mut rules.day);
    change.quota.replace(&mut rules.quota);
    change.stable_quota.replace(&mut rules.stable_quota);
    change.per_minute.replace(&mut rules.per_minute);
    change.stable_per_minute.replace(&mut rules.stable_per_minute);
    change.forced_per_day.replace(&mut rules.forced_per_day);
    change.latency.replace(&mut state.latency);
}
