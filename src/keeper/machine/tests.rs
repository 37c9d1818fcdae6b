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

#[test]
fn a_relay_that_is_to_stop_does_not_wait_for_a_slot() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.has_no_slots = true;
    rig.at(rig.machine.call_at(rig.now()));
    rig.step(Event::Shutdown);
    assert!(rig.is_stopped);
    // the slot is granted all the same
    rig.step(Event::Reserved);
    assert_eq!(rig.calls.len(), 1);
}
