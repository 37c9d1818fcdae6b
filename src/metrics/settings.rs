//! What is counted of the settings: whether they are read again, and are those of the file?

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

use super::{counters_by, labels::ReloadOutcome};
use crate::clock::WallTime;

/// What is counted of the settings.
#[derive(Debug)]
pub struct SettingsMetrics {
    reloads: Vec<Counter>,
    last_is_good: Gauge,
    taken_at: Gauge,
    /// Of the relay's own certificate, if there is one.
    certificate_end: CertificateEnd,
}

impl SettingsMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "Times that changed settings were read, by result";
        let reloads = counters_by::<ReloadOutcome>(registry, "settings_reloads", help, "result");
        let last_is_good = Gauge::default();
        let help = "1 if the relay runs with the settings of the file, 0 if their last change was refused";
        registry.register("settings_last_reload_successful", help, last_is_good.clone());
        let taken_at = Gauge::default();
        let help = "When the settings that the relay runs with were read, in seconds since 1970";
        registry.register("settings_last_reload_timestamp_seconds", help, taken_at.clone());
        let certificate_end = CertificateEnd::default();
        registry.register_collector(Box::new(certificate_end.clone()));
        last_is_good.set(1);
        Self { reloads, last_is_good, taken_at, certificate_end }
    }

    /// The relay was started, at `now`, with settings that were read then.
    pub fn started(&self, now: WallTime) {
        self.taken_at.set(now.as_millis() / 1000);
    }

    /// The public listener has a certificate that ends at `not_after`, or speaks no TLS.
    pub fn certificate(&self, not_after: Option<WallTime>) {
        *self.certificate_end.lock() = not_after;
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

/// A gauge that is there only while the public listener speaks TLS: one at 0 would be a certificate that has ended.
#[derive(Debug, Default, Clone)]
struct CertificateEnd(Arc<Mutex<Option<WallTime>>>);

impl CertificateEnd {
    fn lock(&self) -> MutexGuard<'_, Option<WallTime>> {
        self.0.lock().expect("nothing panics while it is locked")
    }
}

impl Collector for CertificateEnd {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(end) = *self.lock() else { return Ok(()) };
        let gauge = ConstGauge::new(end.as_millis() / 1000);
        let help = "When the certificate of the public listener ends, in seconds since 1970; only with TLS";
        let name = "tls_certificate_not_after_timestamp_seconds";
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}
