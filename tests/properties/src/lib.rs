//! Which properties hold for any input? One function for each kind of input; it panics where the property does not hold.
//! The fuzzers in `fuzz/targets` try to break it, and `tests/fuzz_seeds.rs` calls it with every file in `fuzz/seeds`.

pub mod drop_in;
pub mod gateway;
pub mod head;
mod query;
pub mod record;
mod relay;
pub mod reply;
pub mod settings;
