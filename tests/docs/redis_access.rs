//! Does Redis let the relays in when it is set up as the pages show?

use std::fs;

use tempfile::TempDir;
use test_support::toolchain::{self, BASH};
use tokio::process::Command;

use crate::page::{Page, text_of};

/// Redis's ACL line is documented where it is followed from; what is shown or shipped elsewhere is the same.
#[test]
fn the_acl_line_is_the_same_everywhere() {
    let line = |path: &str| {
        let text = text_of(path);
        let found = text.lines().find_map(|line| Some(line.split_once("user relay on ")?.1.to_owned()));
        let found = found.unwrap_or_else(|| panic!("no ACL line in {path}"));
        found.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap()
    };
    let documented = line("src/store/redis.rs");
    assert!(documented.contains("~{token-relay}:v2:*"));
    for path in [
        "docs/CLUSTER.md",
        "docs/CLUSTER.zh-CN.md",
        "secrets/README.md",
        "secrets/README.zh-CN.md",
        "demo/secrets/redis_acl",
    ] {
        assert_eq!(line(path), documented, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_for_redis_are_made_as_shown() {
    if !toolchain::all_here(&[BASH]).await {
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    let page = Page::at("secrets/README.md");
    let block = page.of_language("sh").find(|block| block.contains("redis_acl")).unwrap().to_owned();
    let script = format!("set -euo pipefail\n{block}");
    let status = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).status().await.unwrap();
    assert!(status.success());
    let made = |name: &str| fs::read_to_string(directory.path().join("secrets").join(name)).unwrap();
    let (acl, url) = (made("redis_acl"), made("redis_url"));
    let password = url.split_once("relay:").unwrap().1.split_once('@').unwrap().0;
    assert_eq!(password.len(), 64);
    let shipped = text_of("demo/secrets/redis_acl");
    assert_eq!(acl, shipped.replace("demo-password-known-to-everyone-0123456789abcdef", password));
}
