//! Do three relays on one real Redis stay one relay to WeChat, and what if one of them, the way to Redis or Redis itself
//! fails? The real binary, a `redis-server` of each test's own (Debian: the package `redis-server`), a simulated WeChat.
//!
//! Between each relay and Redis lies a wire that can be stalled or cut. The lease is counted in whole seconds (12 and 15), so
//! these tests wait for it; where one test has several cases, they run side by side. More of the same by environment:
//! `CLUSTER_SECONDS` of rotations, `CLUSTER_FREEZES` in mid-call, `CLUSTER_BLOWS` at random, `CLUSTER_SIDE_BY_SIDE` fleets,
//! and `CLUSTER_STRICT=1` to hold every time to what is promised: on a machine of one's own.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]
#![expect(clippy::print_stdout, reason = "figures for `--nocapture`; cargo shows the rest when a test fails")]

mod away;
mod blows;
#[allow(dead_code, reason = "shared with the tests of one relay")]
#[path = "../relay/client.rs"]
mod client;
mod fleet;
mod freezes;
mod holder;
#[allow(dead_code, reason = "shared with the tests of the store")]
#[path = "../store_redis/house.rs"]
mod house;
#[allow(dead_code, reason = "shared with the tests of one relay")]
#[path = "../relay/ledger.rs"]
mod ledger;
mod operator;
#[allow(dead_code, reason = "shared with the tests of one relay")]
#[path = "../relay/process.rs"]
mod process;
mod reports;
mod rotations;
mod wire;
#[allow(dead_code, reason = "shared with the tests of one relay")]
#[path = "../relay/world.rs"]
mod world;
