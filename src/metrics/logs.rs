//! What is counted of the logs: the lines that they lost.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::{metrics::counter::Counter, registry::Registry};

use crate::logs::Dropped;

/// What is counted of the logs. The logs count it themselves.
#[derive(Debug)]
pub struct LogMetrics {
    lines: Counter,
    access: Counter,
}

impl LogMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (lines, access) = (Counter::default(), Counter::default());
        registry.register("log_lines_dropped", "Log lines that were lost because their reader was slow", lines.clone());
        let help = "Lines of the access log that were lost because their reader was slow";
        registry.register("access_log_dropped", help, access.clone());
        Self { lines, access }
    }

    /// So many were lost since the start.
    pub fn set(&self, dropped: Dropped) {
        for (counter, count) in [(&self.lines, dropped.lines), (&self.access, dropped.access)] {
            counter.inner().store(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
        }
    }
}
