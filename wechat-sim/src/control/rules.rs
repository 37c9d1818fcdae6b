//! Which numbers change while the simulator runs?

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::Trouble;
use crate::server::State;

/// Numbers left out stay as they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    lifetime: Option<String>,
    overlap: Option<String>,
    latency: Option<String>,
    day: Option<String>,
    quota: Option<u32>,
    stable_quota: Option<u32>,
    /// null: no limit.
    #[serde(default, deserialize_with = "told")]
    per_minute: Option<Option<u32>>,
    #[serde(default, deserialize_with = "told")]
    stable_per_minute: Option<Option<u32>>,
    forced_per_day: Option<u32>,
}

pub(super) fn change(state: &mut State, change: Change) -> Result<Value, Trouble> {
    let mut rules = state.model.rules().clone();
    let mut latency = state.latency;
    replace(&mut rules.lifetime, written(change.lifetime.as_deref())?);
    replace(&mut rules.overlap, written(change.overlap.as_deref())?);
    replace(&mut rules.day, written(change.day.as_deref())?);
    replace(&mut latency, written(change.latency.as_deref())?);
    replace(&mut rules.quota, change.quota);
    replace(&mut rules.stable_quota, change.stable_quota);
    replace(&mut rules.per_minute, change.per_minute);
    replace(&mut rules.stable_per_minute, change.stable_per_minute);
    replace(&mut rules.forced_per_day, change.forced_per_day);
    // Only now: a change that can't be read changes nothing.
    *state.model.rules_mut() = rules;
    state.latency = latency;
    Ok(json!({}))
}

/// `"1m 30s"`.
pub(super) fn duration(text: &str) -> Result<Duration, Trouble> {
    humantime::parse_duration(text).map_err(|error| Trouble::Unreadable(format!("`{text}`: {error}")))
}

/// Tells null (`Some(None)`) from a member left out (`None`, by `default`).
pub(super) fn told<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn written(text: Option<&str>) -> Result<Option<Duration>, Trouble> {
    text.map(duration).transpose()
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
