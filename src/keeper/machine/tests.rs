//! The promises of the design, one sentence each, on a machine whose shell answers at once. Here: what is promised of a
//! token, and when it is replaced; reports and crashes have files of their own.

use super::*;
use crate::clock::WallTime;

mod crashes;
mod reports;
mod rig;

use rig::{Rig, accepted, code, inconclusive, not_sent, policy, refused, unknown};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
