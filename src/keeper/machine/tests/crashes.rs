//! What a process finds that takes over the record of another one (I7, I8), and what a broken store leaves.

use super::*;

#[test]
fn a_reboot_does_not_bring_the_call_after_an_unknown_one_forward() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.run_to_call();
    rig.reply(Err(unknown()));
    rig.reboot(s(60));
    let rebooted_at = rig.boot;
    // by the wall clock the record is 55 to 65 s old
    assert_eq!((rig.shown(), rig.seconds()), ("one", 175));
    rig.run_to_probe();
    rig.probed(inconclusive());
    rig.run_to_call();
    assert!(rig.boot.since(rebooted_at) >= s(180), "{:?}", rig.boot.since(rebooted_at));
}

#[test]
fn a_reboot_promises_only_the_window_until_its_own_clock_is_written_down() {
    let mut rig = Rig::rotating();
    rig.fetch("one", 7200);
    rig.stores_by_hand = true;
    rig.reboot(s(60));
    assert_eq!((rig.shown(), rig.seconds()), ("one", 240));
    rig.stored(Swap::Won);
    assert!(rig.seconds() > 3000);
}
