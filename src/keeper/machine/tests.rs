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
fn a_verified_token_is_not_promised_into_the_next_call() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.reply(Err(unknown()));
    // the promise runs out and the next call fails as well, so the token is probed
    rig.run_to_probe();
    rig.probed(inconclusive());
    rig.run_to_call();
    rig.reply(Err(code(89503)));
    // one before the moment at which the unknown call would show, and one after it
    for _ in 0..2 {
        rig.run_to_probe();
        rig.probed(accepted());
    }
    assert_eq!(rig.seconds(), 1);
    let call_at = rig.machine.call_at(rig.now());
    let offer = rig.outlook.clone().and_then(|outlook| outlook.offer).unwrap();
    assert_eq!(offer.promise.seconds_left(call_at.minus(s(1))), 0);
}

#[test]
fn attempts_are_a_second_apart_where_they_end_and_not_where_they_were_decided() {
    let mut rig = Rig::with(policy(Manner::Rotating), true);
    // stopped between the decision and the call for longer than the token lives
    rig.pass(s(9000));
    rig.stored(Swap::Won);
    rig.reply_token("one", 7200);
    let ended_at = rig.boot;
    rig.stored(Swap::Won);
    rig.run_to_write();
    assert!(rig.boot.since(ended_at) >= s(1));
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
