//! Are files that cannot be used, that vanish or that everybody can read named, and do the old settings stay?

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use rustix::process::Signal;
use test_support::{SETTINGS_TAKEN, eventually};

use super::{Files, REFUSED, counted, reload, status_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_files_are_named_in_one_line_and_the_old_settings_stay() {
    let files = Files::new().await;
    let relay = files.setup.start().await;
    let token = relay.get("/token?account=main").await.token();
    let good = files.text();
    let half = &good[..good.len() / 2];
    for (count, text) in
        [half, "[accounts.main]\nappid = \"wx1\"\n", "nonsense = 1", "[server]\nlisten = 5"].iter().enumerate()
    {
        fs::write(files.config(), text).unwrap();
        relay.signal(Signal::HUP);
        counted(&relay, REFUSED, count + 1).await;
        assert_eq!(relay.get("/token?account=main").await.token(), token);
    }
    fs::remove_file(files.config()).unwrap();
    fs::create_dir(files.config()).unwrap();
    relay.signal(Signal::HUP);
    counted(&relay, REFUSED, 5).await;
    let status = relay.look("/status").await.json();
    assert!(status["settings"]["trouble"].as_str().unwrap().contains("relay.toml"), "{status}");
    let metrics = relay.look("/metrics").await.body;
    assert!(metrics.contains("token_relay_settings_last_reload_successful 0\n"), "{metrics}");
    assert!(metrics.contains("token_relay_settings_reloads_total{result=\"failed\"} 5\n"));
    fs::remove_dir(files.config()).unwrap();
    files.write();
    eventually("it heals without a signal", async || {
        relay.look("/status").await.json()["settings"]["trouble"].is_null()
    })
    .await;
    assert!(relay.look("/metrics").await.body.contains("token_relay_settings_last_reload_successful 1\n"));
    assert_eq!((relay.get("/token?account=main").await.token(), files.setup.calls().len()), (token, 1));
}

/// As Kubernetes does: `secret -> ..data/secret`, `..data -> ..2026_1`, and the new directory is put in place by a rename.
fn project(directory: &Path, version: &str, name: &str, text: &str) {
    let data = directory.join(version);
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join(name), text).unwrap();
    let next = directory.join("..data_tmp");
    symlink(version, &next).unwrap();
    fs::rename(&next, directory.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_kubernetes_swaps_or_that_is_gone_for_a_moment_is_followed() {
    let mut files = Files::new().await;
    let directory = files.setup.path().join("projected");
    let key = |number: u8| format!("sentinel-projected-key-number-{number}-0123456789");
    project(&directory, "..2026_1", "billing_key", &key(1));
    let link = directory.join("billing_key");
    symlink("..data/billing_key", &link).unwrap();
    files.clients = format!("[clients.billing]\nkey_file = {link:?}\n");
    files.write();
    let relay = files.setup.start().await;
    let opens = async |number: u8| status_with(&relay, &key(number), "main").await == 200;
    eventually("the first key opens", async || opens(1).await).await;
    project(&directory, "..2026_2", "billing_key", &key(2));
    eventually("the second key opens", async || opens(2).await).await;
    assert!(!opens(1).await);
    fs::remove_file(&link).unwrap();
    counted(&relay, REFUSED, 1).await;
    assert!(relay.events(REFUSED)[0]["error"].as_str().unwrap().contains("clients.billing.key_file"));
    assert!(opens(2).await, "the old key stays");
    symlink("..data/billing_key", &link).unwrap();
    counted(&relay, SETTINGS_TAKEN, 2).await;
    assert!(opens(2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_file_that_everybody_can_read_is_named_at_the_start_or_at_the_reload_that_finds_it() {
    const READABLE: &str = "every user of this machine can read this secret: chmod o-r";
    let files = Files::new().await;
    fs::set_permissions(files.setup.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let chmod = |mode| fs::set_permissions(files.secret_file("main"), fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o600);
    let relay = files.setup.start().await;
    reload(&files, &relay).await;
    assert!(relay.events(READABLE).is_empty());
    chmod(0o644);
    let file = files.secret_file("main").display().to_string();
    for _ in 0..3 {
        reload(&files, &relay).await;
        let named = relay.events(READABLE);
        if named.is_empty() {
            println!("skipped: {file} is in memory, or below a folder that others cannot enter");
            return;
        }
        assert_eq!((named.len(), named[0]["file"].as_str()), (1, Some(file.as_str())));
    }
    drop(relay);
    let relay = files.setup.start().await;
    assert_eq!(relay.events(READABLE).len(), 1);
}
