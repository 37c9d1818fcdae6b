//! Do three relays on one real Redis stay one relay to WeChat, and what if one of them, the way to Redis or Redis itself
//! fails? The real binary, a `redis-server` of each test's own (Debian: the package `redis-server`), a simulated WeChat.
//!
//! Between each relay and Redis lies a link that can be stalled or cut. The lease is counted in whole seconds (12 and 15), so
//! these tests wait for it; where one test has several cases, they run side by side. More of the same by environment:
//! `CLUSTER_SECONDS` of rotations, `CLUSTER_FREEZES` in mid-call, `CLUSTER_CHAOS` faults at random, `CLUSTER_SIDE_BY_SIDE`
//! clusters, `STORM_SECONDS` of everything at once, and `CLUSTER_STRICT=1` to hold every time to what is promised: on a machine
//! of one's own.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]
#![expect(clippy::print_stdout, reason = "figures for `--nocapture`; cargo shows the rest when a test fails")]

mod chaos;
mod cluster;
mod failovers;
mod freezes;
mod holder;
mod operator;
mod redis_outages;
mod relay_faults;
mod reports;
mod rotations;
mod storm;
mod tickets;

/// The binary under test.
const RELAY: &str = env!("CARGO_BIN_EXE_token-relay");
