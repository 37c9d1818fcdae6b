//! What if the disk is full, or may no longer be written to? A full disk takes a small file system of its own, so those
//! tests run as root only.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use test_support::{Relay, Setup, SmallDisk, TokenPoller, eventually};

use crate::RELAY;

async fn store_ok(relay: &Relay) -> u64 {
    relay.metric("token_relay_store_ok{account=\"main\"}").await
}

/// Without a disk a living token is replaced in its last overlap at the earliest: here that is before its rotation is due.
async fn hasty() -> Setup {
    let mut setup = Setup::new(RELAY, 6, 4).await;
    setup.set("refresh.before_expiry", "2s");
    setup.set("server.first_token_wait", "3s");
    setup
}

async fn it_serves_and_refreshes_on(setup: Setup, lose: impl Fn(), regain: impl Fn()) {
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], Duration::from_millis(20));
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    poller.read_from(&relay);
    assert_eq!(store_ok(&relay).await, 1);
    lose();
    let calls = setup.calls().len();
    eventually("two rotations without a disk", async || setup.calls().len() >= calls + 2).await;
    eventually("it is degraded", async || relay.get("/readyz").await.json()["status"] == "degraded").await;
    assert_eq!((relay.get("/healthz").await.status, store_ok(&relay).await), (200, 0));
    assert!(relay.look("/status").await.body.contains("store_trouble\":\"cannot"));
    eventually("a token is promised for O − r at most", async || {
        let token = relay.get("/token").await;
        assert!(token.status != 200 || token.seconds() <= 3, "{token:?}");
        token.status == 200
    })
    .await;
    regain();
    eventually("it is stored again", async || store_ok(&relay).await == 1).await;
    eventually("it is ready", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    eventually("the log tells it", async || !relay.events("the store answers again").is_empty()).await;
    let seen = poller.close().await;
    assert_eq!(seen.unavailable.len(), 0, "readers noticed nothing: {:?}", seen.unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_it_serves_and_refreshes_from_memory_and_recovers() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut setup = hasty().await;
    setup.set("state.url", &format!("file:{}", disk.path().join("state").display()));
    it_serves_and_refreshes_on(setup, || disk.fill(), || disk.free()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_to_write_it_serves_and_refreshes_from_memory_and_recovers() {
    let mut setup = hasty().await;
    setup.be_unprivileged();
    let state = setup.state();
    let permit = move |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    it_serves_and_refreshes_on(setup, || permit(0o500), || permit(0o700)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_a_rotation_that_could_not_be_stored_serves_no_dead_token() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut setup = hasty().await;
    setup.set("state.url", &format!("file:{}", disk.path().join("state").display()));
    let mut relay = setup.start().await;
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    disk.fill();
    let mut calls = 0;
    for life in 0..4 {
        // a poller for each process: what could not be stored is forgotten, its generation too
        let poller = TokenPoller::start(&setup.sim, &["main"], Duration::from_millis(20));
        poller.read_from(&relay);
        if life == 0 {
            eventually("a rotation that cannot be stored", async || setup.calls().len() == 2).await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        poller.drain().await;
        relay.kill();
        poller.close().await;
        if life == 0 {
            calls = setup.calls().len();
        }
        relay = setup.start().await;
    }
    println!("{calls} calls");
    // one may have been under way when its relay was killed
    assert!(setup.calls().len() <= calls + 1, "a relay that never could write does not call in a crash loop (I6)");
    disk.free();
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_size_of_files_costs_durability_and_not_the_process() {
    let setup = hasty().await;
    let relay = setup.start().await;
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    let pid = i32::try_from(relay.pid()).ok().and_then(Pid::from_raw);
    let limit = |current| prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    limit(Some(16));
    eventually("nothing is stored", async || store_ok(&relay).await == 0).await;
    eventually("it serves on", async || relay.get("/token").await.status == 200).await;
    limit(None);
    eventually("it is stored again", async || store_ok(&relay).await == 1).await;
}
