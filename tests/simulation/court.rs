//! How is a broken promise told? With its number, the moment, and the seed that replays it.

use super::record_of_run::clock;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Court {
    pub seed: u64,
}

impl Court {
    /// `promise` was kept at `at`, or the run ends here.
    #[track_caller]
    pub(crate) fn kept(self, at: i64, promise: &str, is_kept: bool, story: impl FnOnce() -> String) {
        assert!(
            is_kept,
            "{promise} broken in seed {} at {}: {}; read it with: SIM_SEED={} cargo test --test simulation -- --nocapture",
            self.seed,
            clock(at).trim(),
            story(),
            self.seed,
        );
    }
}
