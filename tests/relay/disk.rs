//! What if the disk is full, or may no longer be written to? A full disk takes a small file system of its own, so those
//! tests run as root only.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    ledger::Ledger,
    process::Relay,
    world::{World, eventually},
};

/// A tmpfs of 64 KiB, unmounted on drop.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self { dir: TempDir::new().unwrap() };
        let mounted = mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"], disk.dir.path());
        if !mounted {
            println!("skipped: this user may not mount a file system");
        }
        mounted.then_some(disk)
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Leaves no byte.
    fn fill(&self) {
        let full = fs::write(self.ballast(), vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn relieve(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}

fn mount(arguments: &[&str], place: &Path) -> bool {
    Command::new("mount").args(arguments).arg(place).output().is_ok_and(|output| output.status.success())
}

async fn store_ok(relay: &Relay) -> u64 {
    relay.metric("token_relay_store_ok{account=\"main\"}").await
}

/// Without a disk a living token is replaced in its last overlap at the earliest: here that is before its rotation is due.
async fn hasty() -> World {
    let mut world = World::new(6, 4).await;
    world.set("refresh.before_expiry", "2s");
    world.set("server.first_token_wait", "3s");
    world
}

async fn it_serves_and_refreshes_on(world: World, lose: impl Fn(), regain: impl Fn()) {
    let relay = world.start().await;
    let ledger = Ledger::keep(&world.sim, &["main"], Duration::from_millis(20));
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    ledger.read_from(&relay);
    assert_eq!(store_ok(&relay).await, 1);
    lose();
    let calls = world.calls().len();
    eventually("two rotations without a disk", async || world.calls().len() >= calls + 2).await;
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
    let seen = ledger.close().await;
    assert_eq!(seen.unavailable.len(), 0, "readers noticed nothing: {:?}", seen.unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_it_serves_and_refreshes_from_memory_and_recovers() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut world = hasty().await;
    world.set("state.url", &format!("file:{}", disk.dir.path().join("state").display()));
    it_serves_and_refreshes_on(world, || disk.fill(), || disk.relieve()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_to_write_it_serves_and_refreshes_from_memory_and_recovers() {
    let mut world = hasty().await;
    world.be_unprivileged();
    let state = world.state();
    let permit = move |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    it_serves_and_refreshes_on(world, || permit(0o500), || permit(0o700)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_a_rotation_that_could_not_be_stored_serves_no_dead_token() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut world = hasty().await;
    world.set("state.url", &format!("file:{}", disk.dir.path().join("state").display()));
    let mut relay = world.start().await;
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    disk.fill();
    let mut calls = 0;
    for life in 0..4 {
        // a ledger for each process: what could not be stored is forgotten, its generation too
        let ledger = Ledger::keep(&world.sim, &["main"], Duration::from_millis(20));
        ledger.read_from(&relay);
        if life == 0 {
            eventually("a rotation that cannot be stored", async || world.calls().len() == 2).await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        ledger.rest().await;
        relay.kill();
        ledger.close().await;
        if life == 0 {
            calls = world.calls().len();
        }
        relay = world.start().await;
    }
    println!("{calls} calls");
    // one may have been under way when its relay was killed
    assert!(world.calls().len() <= calls + 1, "a relay that never could write does not call in a crash loop (I6)");
    disk.relieve();
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
}
