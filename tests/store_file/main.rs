//! Does a record survive kills, full disks, second relays and operators with a text editor?

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but clippy does not see that these helpers are theirs"
)]

mod directory;
mod disk;
mod processes;
mod records;
mod stores;
