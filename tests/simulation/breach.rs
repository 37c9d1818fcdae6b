//! How is a broken promise reported? With its number, the moment, and the seed that replays it.

use super::tally::clock;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Breach {
    pub seed: u64,
    /// The test that runs this seed.
    pub test: &'static str,
}

impl Breach {
    /// `promise` was kept at `at`, or the run ends here.
    #[track_caller]
    pub(crate) fn unless(self, is_kept: bool, at: i64, promise: &str, story: impl FnOnce() -> String) {
        assert!(
            is_kept,
            "{promise} broken in seed {} at {}: {}; read it with: SIM_SEED={} cargo test --test simulation {} -- --nocapture",
            self.seed,
            clock(at).trim(),
            story(),
            self.seed,
            self.test,
        );
    }
}
