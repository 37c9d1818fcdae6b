//! Who calls WeChat when the relay that did so is gone, and how soon?

use std::time::Duration;

use futures_util::future::join_all;
use test_support::eventually;
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, promised},
    relay_faults::RelayFault,
};

/// A record stands still for 15 s before it is taken over; it is looked at every second, and a machine may be busy.
const SOON: Duration = Duration::from_secs(18);

async fn a_holder_is_lost(fault: RelayFault) {
    let mut cluster = Cluster::new(60, 30).await;
    // the second token, so that the time is about a heartbeat and not about the start
    sleep(Duration::from_secs(2)).await;
    let old = cluster.holder();
    let watch = cluster.watch();
    fault.inject(&mut cluster, old).await;
    let (new, took) = cluster.new_holder(old, &watch).await;
    println!("{fault:?}: relay {new} instead of {old} after {took:?}");
    let latest = if fault == RelayFault::Stop { Duration::from_secs(2) } else { SOON };
    assert!(took < promised(latest), "{fault:?}: {took:?}");
    let calls = cluster.setup.calls().len();
    eventually("the new holder rotates", async || cluster.setup.calls().len() > calls).await;
    fault.repair(&mut cluster, old).await;
    cluster.close_served(&format!("{fault:?}")).await;
    cluster.end().await;
    assert_eq!(cluster.setup.sim.most_concurrent("wxmain"), 1, "I1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_relay_calls_when_the_holder_is_gone_and_no_read_fails() {
    join_all(RelayFault::ALL.map(a_holder_is_lost)).await;
}
