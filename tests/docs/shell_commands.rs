//! Do the shell commands of the pages do what they show?

use std::process::Command;

use tempfile::TempDir;
use test_support::toolchain::{self, BASH, CURL};
use token_relay::settings::Settings;

use crate::{
    page::{Page, pages},
    running_relay::{APPID, KEY, RunningRelay, SECRET},
};

/// Whether a line of a shell block can be run here: curl at the relay, or a command of the relay that ends.
fn can_run(line: &str) -> bool {
    let relay = line.starts_with("cargo run --release -- ");
    let curl = line.contains("curl ") && line.contains("http://127.0.0.1:8080") && !line.contains("demo/secrets");
    relay || curl || line.starts_with("export ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_commands_do_what_they_show() {
    if !toolchain::all_here(&[BASH, CURL]).await {
        return;
    }
    let directory = TempDir::new().unwrap();
    let pages = pages();
    // The Chinese pages have the same blocks.
    let english = pages.iter().filter(|(path, _)| !path.to_str().unwrap().ends_with(".zh-CN.md"));
    let blocks = english.flat_map(|(path, page)| page.of_language("sh").map(move |block| (path, block)));
    let mut run = 0;
    for (path, block) in blocks.filter(|(_, block)| block.lines().all(can_run)) {
        let relay = RunningRelay::start().await;
        let here = block
            .replace("cargo run --release --", env!("CARGO_BIN_EXE_token-relay"))
            .replace("http://127.0.0.1:8080", &relay.url)
            .replace("curl -s ", "curl -fsS ")
            .replace("curl -i ", "curl -fi ");
        let script = format!("set -euo pipefail\n{here}");
        let output = relay.program(&["bash", "-c", &script], directory.path()).output().await.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !printed.is_empty() && !printed.contains("errcode"),
            "{}: {block}\n{printed}\n{}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        relay.stop().await;
        run += 1;
    }
    assert_eq!(
        run, 9,
        "in the README keygen, check and a read; in docs/API.md a read, a report, a ticket, a signature, a drop-in read and a \
         gateway call"
    );
}

#[test]
fn the_commands_of_the_host_alias_make_a_certificate_that_the_relay_takes_and_that_its_ca_has_signed() {
    let page = Page::at("docs/CLIENTS.md");
    let block = page.of_language("sh").find(|block| block.contains("openssl req")).unwrap();
    let directory = TempDir::new().unwrap();
    let script = format!(
        "set -euo pipefail\n{block}\nopenssl verify -CAfile ca.pem -verify_hostname api.weixin.qq.com tls_cert.pem"
    );
    let Ok(output) = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output() else {
        return toolchain::skipped("bash is not here");
    };
    let complained = String::from_utf8_lossy(&output.stderr);
    if complained.contains("openssl: command not found") {
        return toolchain::skipped("openssl is not here");
    }
    assert!(output.status.success(), "{complained}");
    let file = |name: &str| directory.path().join(name).into_os_string();
    let env = [
        ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", APPID.into()),
        ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET.into()),
        ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY.into()),
        ("TOKEN_RELAY__SERVER__TLS__CERT_FILE", file("tls_cert.pem")),
        ("TOKEN_RELAY__SERVER__TLS__KEY_FILE", file("tls_key.pem")),
    ];
    let settings = Settings::load(None, env.map(|(name, value)| (name.into(), value))).unwrap();
    assert!(settings.server.tls.is_some());
}
