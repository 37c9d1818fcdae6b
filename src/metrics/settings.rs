//! What is counted of the settings: whether they are read again, and are those of the file?

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{
    counters,
    labels::{Label, ReloadOutcome},
    text_of,
};
use crate::clock::WallTime;

/// What is counted of the settings.
#[derive(Debug)]
pub struct SettingsMetrics {
    reloads: Vec<Counter>,
    last_is_good: Gauge,
    taken_at: Gauge,
}

impl SettingsMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let reloads = counters(registry, "settings_reloads", "Times that changed settings were read, by result");
        let last_is_good = Gauge::default();
        let help = "1 if the relay runs with the settings of the file, 0 if their last change was refused";
        registry.register("settings_last_reload_successful", help, last_is_good.clone());
        let taken_at = Gauge::default();
        let help = "When the settings that the relay runs with were read, in seconds since 1970";
        registry.register("settings_last_reload_timestamp_seconds", help, taken_at.clone());
        let result = |outcome: &ReloadOutcome| vec![("result", text_of(*outcome))];
        last_is_good.set(1);
        Self {
            reloads: ReloadOutcome::ALL.iter().map(|outcome| reloads.get_or_create_owned(&result(outcome))).collect(),
            last_is_good,
            taken_at,
        }
    }

    /// The relay was started, at `now`, with settings that were read then.
    pub fn started(&self, now: WallTime) {
        self.taken_at.set(now.as_millis() / 1000);
    }

    /// Changed settings were read.
    pub fn reloaded(&self, outcome: ReloadOutcome, now: WallTime) {
        self.reloads[outcome as usize].inc();
        self.last_is_good.set(i64::from(outcome == ReloadOutcome::Ok));
        if outcome == ReloadOutcome::Ok {
            self.started(now);
        }
    }
}
