//! What does a relay make of what it finds in its state directory, and beside it?

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use test_support::{Relay, Setup, eventually};

use crate::RELAY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_relay_on_the_directory_refuses_to_start_and_harms_nothing() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let record = fs::read(setup.record()).unwrap();
    let mut second = setup.spawn();
    assert_eq!(second.ended().await, Some(1));
    let said = second.text();
    assert!(said.contains("in use by another relay"), "{said}");
    assert!(said.contains(&relay.pid().to_string()) && said.contains(setup.state().to_str().unwrap()), "{said}");
    assert_eq!(relay.get("/token").await.token(), token);
    assert_eq!(fs::read(setup.record()).unwrap(), record);
    assert_eq!(setup.calls().len(), 1);
    relay.kill();
    let next = setup.start().await;
    assert_eq!(next.get("/token").await.token(), token, "the lock ended with its holder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_told_by_its_key_and_costs_no_call() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    let relay = setup.start().await;
    relay.get("/token").await.token();
    let (public, admin) = (relay.public.to_string(), relay.admin.to_string());
    setup.set("state.url", "memory:");
    for (key, address) in [("server.listen", public), ("server.admin_listen", admin)] {
        setup.set(key, &address);
        let mut second = setup.spawn();
        assert_eq!(second.ended().await, Some(1));
        assert!(second.text().contains(&format!("{key}: cannot listen on {address}")), "{}", second.text());
        setup.set(key, "127.0.0.1:0");
    }
    assert_eq!(setup.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_for_their_owner_alone() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let relay = setup.start().await;
    relay.get("/token").await.token();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&setup.state()), mode(&setup.record())), (0o700, 0o600));
}

/// Puts something in the place of a good record.
type Damage = fn(&Path, &[u8]);

/// What becomes of a record, in words and in deeds.
const DAMAGES: &[(&str, Damage)] = &[
    ("empty", |path, _| fs::write(path, "").unwrap()),
    ("one byte", |path, good| fs::write(path, &good[..1]).unwrap()),
    ("half", |path, good| fs::write(path, &good[..good.len() / 2]).unwrap()),
    ("all but the last byte", |path, good| fs::write(path, &good[..good.len() - 1]).unwrap()),
    ("zeroes", |path, good| fs::write(path, vec![0; good.len()]).unwrap()),
    ("garbage", |path, _| fs::write(path, b"\xff\xfe{]garbage").unwrap()),
    ("other JSON", |path, _| fs::write(path, "[1,2,3]").unwrap()),
    ("two records", |path, good| fs::write(path, [good, good].concat()).unwrap()),
    ("a newer layout", |path, good| {
        let text = String::from_utf8(good.to_vec()).unwrap();
        assert!(text.contains("\"version\":2"));
        fs::write(path, text.replace("\"version\":2", "\"version\":999")).unwrap();
    }),
    ("far too large", |path, good| fs::write(path, [good, &vec![b'x'; 2 << 20]].concat()).unwrap()),
    ("a directory", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "somebody's").unwrap();
    }),
    ("a FIFO", |path, _| {
        fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_record_is_set_aside_and_costs_one_call_over_any_number_of_restarts() {
    for (what, damage) in DAMAGES {
        let setup = Setup::new(RELAY, 600, 60).await;
        let relay = setup.start().await;
        let old = relay.get("/token").await;
        relay.kill();
        let good = fs::read(setup.record()).unwrap();
        damage(&setup.record(), &good);
        let relay = setup.start().await;
        eventually(what, async || relay.get("/token").await.status == 200).await;
        let new = relay.get("/token").await;
        assert!(new.token() != old.token() && new.generation() > old.generation(), "{what}");
        let warnings = || relay.events("the unreadable record was kept");
        eventually(what, async || !warnings().is_empty()).await;
        let warned = warnings();
        assert_eq!(warned.len(), 1, "{what}: {}", relay.text());
        assert!(Path::new(warned[0]["place"].as_str().unwrap()).exists(), "{what}");
        assert_eq!(relay.get("/readyz").await.json()["status"], "ready", "{what}");
        relay.kill();
        for _ in 0..3 {
            let relay = setup.start().await;
            assert_eq!(relay.get("/token").await.etag(), new.etag(), "{what}");
            relay.kill();
        }
        assert_eq!(setup.calls().len(), 2, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_another_account_is_not_taken() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.account("shop", "token");
    let relay = setup.start().await;
    let shop = relay.get("/token?account=shop").await.token();
    relay.get("/token?account=main").await.token();
    relay.kill();
    fs::copy(setup.state().join("shop.json"), setup.record()).unwrap();
    for _ in 0..3 {
        let relay = setup.start().await;
        let main = relay.get("/token?account=main").await.token();
        assert_ne!(main, shop);
        assert!(setup.sim.token_alive("wxmain", &main));
        relay.kill();
    }
    assert_eq!(setup.calls().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dangling_link_in_the_records_place_is_replaced() {
    let setup = Setup::new(RELAY, 600, 60).await;
    fs::create_dir(setup.state()).unwrap();
    symlink("nowhere", setup.record()).unwrap();
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    relay.kill();
    let relay = setup.start().await;
    assert_eq!(relay.get("/token").await.token(), token);
    assert_eq!(setup.calls().len(), 1);
}

async fn is_stored(relay: &Relay) -> bool {
    relay.metric("token_relay_store_ok{account=\"main\"}").await == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_removed_while_the_relay_runs_is_written_again() {
    // A long life, so that the report's rotation is the only one and nothing is under way when the relay is killed.
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("refresh.report_cooldown", "1s");
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    fs::remove_file(setup.record()).unwrap();
    setup.sim.revoke(&first);
    // The report that finds the record gone is answered with 503, once.
    eventually("the token was replaced", async || relay.report(&first).await.status == 200).await;
    let second = relay.get("/token").await.token();
    assert_ne!(first, second);
    eventually("the record is there again", async || setup.record().exists() && is_stored(&relay).await).await;
    relay.kill();
    let relay = setup.start().await;
    assert_eq!(relay.get("/token").await.token(), second);
    assert_eq!(setup.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_that_cannot_be_used_shows_in_metrics_and_status_from_the_start() {
    let (setup, file) = setup_without_directory().await;
    let relay = setup.start().await;
    eventually("the status tells why", async || {
        relay.look("/status").await.body.contains(&format!("{} cannot be used", file.join("state").display()))
    })
    .await;
    assert!(!is_stored(&relay).await);
}

/// Its state directory would lie below a file.
async fn setup_without_directory() -> (Setup, PathBuf) {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    let file = setup.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    setup.set("state.url", &format!("file:{}", file.join("state").display()));
    (setup, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_never_could_write_starts_says_so_and_does_not_call_in_a_crash_loop() {
    let (mut setup, file) = setup_without_directory().await;
    setup.set("server.first_token_wait", "0s");
    for _ in 0..5 {
        let relay = setup.start().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(relay.get("/healthz").await.status, 200);
        let refused = relay.get("/token").await;
        assert!(refused.status == 503 && refused.retry_after().is_some(), "{refused:?}");
        eventually("the log says so", async || relay.text().contains("serving from memory")).await;
        relay.kill();
    }
    assert_eq!(setup.calls().len(), 0, "a crash loop on a broken disk is no loop of calls (I6)");
    let relay = setup.start().await;
    fs::remove_file(&file).unwrap();
    eventually("the directory came late", async || relay.get("/token").await.status == 200).await;
    eventually("the record is stored", async || is_stored(&relay).await).await;
    assert_eq!(setup.calls().len(), 1);
}
