//! Is the service locked down, and does the unit fit what the relay does?

use std::fs;

use tempfile::TempDir;
use test_support::{
    run,
    toolchain::{self, SYSTEMD_ANALYZE},
};

use crate::{RELAY, run_in, text_of};

const UNIT: &str = "systemd/token-relay.service";

/// systemd's own scale: 0.0 is the best, 10.0 a service without any restriction. An open `IPAddressDeny=` is 0.2 of it.
const MOST_EXPOSED: f64 = 1.2;

/// The values of the lines `key=value`.
fn values<'t>(unit: &'t str, key: &str) -> Vec<&'t str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[tokio::test]
async fn systemd_finds_the_service_hardly_exposed() {
    if !toolchain::all_here(&[SYSTEMD_ANALYZE]).await {
        return;
    }
    let printed =
        run_in("systemd", &["systemd-analyze", "security", "--no-pager", "--offline=true", "token-relay.service"]);
    let (_, verdict) = printed.split_once("Overall exposure level for token-relay.service: ").unwrap();
    let level: f64 = verdict.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= MOST_EXPOSED, "{printed}");
}

/// systemd reads a unit that it does not understand in part, and warns; the binary and the user are not on this machine.
#[tokio::test]
async fn systemd_knows_every_line_of_the_unit() {
    if !toolchain::all_here(&[SYSTEMD_ANALYZE]).await {
        return;
    }
    let directory = TempDir::new().unwrap();
    let verify = |unit: &str| {
        let file = directory.path().join("token-relay.service");
        fs::write(&file, unit.replace("/usr/bin/token-relay", "/bin/true")).unwrap();
        let output = std::process::Command::new("systemd-analyze").arg("verify").arg(file).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let unit = text_of(UNIT);
    let warnings = verify(&unit);
    assert!(!warnings.contains("token-relay.service"), "{warnings}");
    assert!(verify(&unit.replace("ProtectClock=", "ProtectClocks=")).contains("ProtectClocks"));
}

#[test]
fn the_unit_waits_longer_for_the_end_than_the_relay_does_and_longer_for_a_beat_than_a_keeper_may_be_silent() {
    let unit = text_of(UNIT);
    let seconds = |key: &str| humantime::parse_duration(values(&unit, key)[0]).unwrap();
    let shipped: toml::Table = text_of("../config/token-relay.toml").parse().unwrap();
    let grace = humantime::parse_duration(shipped["server"]["shutdown_grace"].as_str().unwrap()).unwrap();
    assert!(seconds("TimeoutStopSec") > grace);
    assert!(seconds("WatchdogSec") >= token_relay::heartbeat::STALE_AFTER);
    assert_eq!(values(&unit, "Type"), ["notify"]);
    // exit codes that a restart does not change: docs/OPERATIONS.md#exit-codes
    assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2 78"]);
}

/// A variable overrides the file: a `state.url` with a Redis in it would be ignored without a word.
#[test]
fn the_unit_overrides_no_setting_of_the_file() {
    let unit = text_of(UNIT);
    assert!(!values(&unit, "Environment").into_iter().any(|pair| pair.starts_with("TOKEN_RELAY__")), "{unit}");
}

/// With what the unit sets, and secrets where `LoadCredential=` puts them.
#[test]
fn the_settings_of_the_unit_and_of_the_page_are_accepted() {
    let directory = TempDir::new().unwrap();
    for (name, value) in [
        ("secrets_main_appsecret", "0123456789abcdef0123456789abcdef"),
        ("secrets_orders_key", "trk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    ] {
        fs::write(directory.path().join(name), value).unwrap();
    }
    let page = text_of("../docs/OPERATIONS.md");
    let credentials = "/run/credentials/token-relay.service";
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let block = blocks.into_iter().find(|block| block.contains(credentials)).unwrap();
    let file = directory.path().join("token-relay.toml");
    fs::write(&file, block.replace(credentials, directory.path().to_str().unwrap())).unwrap();
    let unit = text_of(UNIT);
    let variables = values(&unit, "Environment").into_iter().map(|pair| pair.split_once('=').unwrap());
    let environment = variables.map(|(name, value)| {
        let value = if name == "TOKEN_RELAY_CONFIG" { file.to_str().unwrap() } else { value };
        (name.to_owned(), value.to_owned())
    });
    let shown: toml::Table = run(RELAY, &["check"], environment).succeeded().parse().unwrap();
    assert_eq!(shown["state"]["url"].as_str(), Some("file:state"));
    assert_eq!(values(&unit, "WorkingDirectory"), ["/var/lib/token-relay"]);
    assert_eq!(values(&unit, "StateDirectory"), ["token-relay"]);
    assert!(unit.contains("LoadCredential=secrets:/etc/token-relay/secrets\n"));
}
