//! Do several relays agree through a real Redis, and what if it is away, slow, full, foreign or locked?
//!
//! Every test starts a `redis-server` of its own (Debian: the package `redis-server`) and ends it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but clippy does not see that these helpers are theirs"
)]

mod access;
mod fake_redis;
mod hints;
mod missing_server;
mod nodes;
mod outages;
mod polls;
mod presences;
mod records;
mod sentinels;
mod stores;
mod tls;
