//! Who calls WeChat when the relay that did so is gone, and how soon?

use std::time::Duration;

use tokio::{join, time::sleep};

use crate::{
    fleet::{Fleet, promised},
    wire::Way,
    world::eventually,
};

/// A record stands still for 15 s before it is taken over; it is looked at every second, and a machine may be busy.
const SOON: Duration = Duration::from_secs(18);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Killed,
    Stopped,
    Stalled,
    Deaf,
    Cut,
    Terminated,
}

async fn a_holder_is_lost(loss: Loss) {
    let mut fleet = Fleet::new(60, 30).await;
    // the second token, so that the time is about a beat and not about the start
    sleep(Duration::from_secs(2)).await;
    let old = fleet.holder();
    let watch = fleet.watch();
    match loss {
        Loss::Killed => fleet.kill(old).await,
        Loss::Stopped => fleet.freeze(old).await,
        Loss::Stalled => fleet.put(old, Way::Stalled),
        Loss::Deaf => fleet.put(old, Way::Deaf),
        Loss::Cut => fleet.put(old, Way::Cut),
        Loss::Terminated => fleet.stop(old).await,
    }
    let (new, took) = fleet.new_holder(old, &watch).await;
    println!("{loss:?}: relay {new} instead of {old} after {took:?}");
    let latest = if loss == Loss::Terminated { Duration::from_secs(2) } else { SOON };
    assert!(took < promised(latest), "{loss:?}: {took:?}");
    let calls = fleet.world.calls().len();
    eventually("the new holder rotates", async || fleet.world.calls().len() > calls).await;
    match loss {
        Loss::Killed | Loss::Terminated => fleet.start(old).await,
        Loss::Stopped => fleet.thaw(old),
        Loss::Stalled | Loss::Deaf | Loss::Cut => fleet.put(old, Way::Open),
    }
    eventually("all serve one token", async || fleet.agrees().await).await;
    fleet.close_served(&format!("{loss:?}")).await;
    fleet.end().await;
    assert_eq!(fleet.world.sim.most_concurrent("wxmain"), 1, "I1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_relay_calls_when_the_holder_is_gone_and_no_read_fails() {
    join!(
        a_holder_is_lost(Loss::Killed),
        a_holder_is_lost(Loss::Stopped),
        a_holder_is_lost(Loss::Stalled),
        a_holder_is_lost(Loss::Deaf),
        a_holder_is_lost(Loss::Cut),
        a_holder_is_lost(Loss::Terminated),
    );
}
