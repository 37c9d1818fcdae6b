//! Do the Dockerfile and the compose files speak of settings that the relay knows? `tests/container.sh` runs them; this needs
//! no engine.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::Duration;

const DOCKERFILE: &str = include_str!("../Dockerfile");
const COMPOSE: &str = include_str!("../compose.yaml");
const SIM: &str = include_str!("../compose.sim.yaml");

/// The relay's variables with their values: `NAME=value` of a Dockerfile, `NAME: value` of a compose file.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("ENV ").trim_end_matches('\\').trim_end());
    let settings = lines.filter(|line| line.starts_with("TOKEN_RELAY__"));
    let split = |line: &str| {
        let (name, value) =
            line.split_once('=').filter(|(name, _)| !name.contains(':')).or(line.split_once(": ")).unwrap();
        (name.to_owned(), default(value.trim_matches('"')).to_owned())
    };
    settings.map(split).collect()
}

/// The value of `${NAME:-value}` where nobody sets `NAME`.
fn default(value: &str) -> &str {
    value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')?.split_once(":-")).map_or(value, |(_, value)| value)
}

/// What `token-relay check` says where the secrets are those of the demo.
fn check(files: &[&str], more: &[(&str, &str)]) -> Output {
    let mut env: BTreeMap<_, _> = files.iter().flat_map(|text| variables(text)).collect();
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    for value in env.values_mut() {
        *value = value.replace("/run/secrets/", concat!(env!("CARGO_MANIFEST_DIR"), "/demo/secrets/"));
    }
    Command::new(env!("CARGO_BIN_EXE_token-relay")).env_clear().envs(env).arg("check").output().unwrap()
}

fn settings(output: &Output) -> toml::Table {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().parse().unwrap()
}

/// The value of the first `name: value` line.
fn value_of<'t>(text: &'t str, name: &str) -> &'t str {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    lines.next().unwrap()
}

#[test]
fn the_relay_accepts_what_the_image_and_compose_tell_it() {
    let settings = settings(&check(&[DOCKERFILE, COMPOSE], &[("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1")]));
    assert_eq!(settings["accounts"].as_table().unwrap().len(), 1);
    assert_eq!(settings["clients"].as_table().unwrap().len(), 1);
}

#[test]
fn an_appid_that_nobody_told_is_asked_for() {
    let output = check(&[DOCKERFILE, COMPOSE], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8(output.stderr).unwrap().contains("accounts.main.appid"));
}

#[test]
fn the_demo_calls_the_simulator_and_nobody_else() {
    let settings = settings(&check(&[DOCKERFILE, COMPOSE, SIM], &[]));
    assert_eq!(settings["wechat"]["base_url"].as_str(), Some("http://wechat-sim:8090"));
    assert_eq!(settings["wechat"]["fallback_base_url"].as_str(), Some(""));
    let overlap = settings["refresh"]["overlap"].as_str().unwrap();
    assert!(SIM.contains(&format!("--overlap=${{SIM_OVERLAP:-{overlap}}}")));
}

#[test]
fn the_demo_secret_is_the_one_that_the_simulator_knows() {
    let app = format!(
        "{}:{}",
        variables(SIM)["TOKEN_RELAY__ACCOUNTS__MAIN__APPID"],
        include_str!("../demo/secrets/main_appsecret").trim_end()
    );
    assert!(include_str!("../wechat-sim/src/main.rs").contains(&format!("default_value = \"{app}\"")));
}

#[test]
fn compose_waits_longer_for_the_end_than_the_relay_does() {
    let settings = settings(&check(&[DOCKERFILE, COMPOSE, SIM], &[]));
    let duration = |text| humantime::parse_duration(text).unwrap();
    let grace = duration(settings["server"]["shutdown_grace"].as_str().unwrap());
    assert!(duration(value_of(COMPOSE, "stop_grace_period")) >= grace + Duration::from_secs(5));
}

#[test]
fn the_image_listens_where_compose_publishes_and_keeps_its_state_on_the_volume() {
    let image = variables(DOCKERFILE);
    let state = image["TOKEN_RELAY__STATE__URL"].strip_prefix("file:").unwrap();
    assert!(COMPOSE.contains(&format!("- state:{state}\n")));
    assert!(SIM.contains(&format!("- sim-state:{state}\n")));
    for (key, variable) in [("LISTEN", "RELAY_PORT"), ("ADMIN_LISTEN", "RELAY_ADMIN_PORT")] {
        let port = image[&format!("TOKEN_RELAY__SERVER__{key}")].strip_prefix("0.0.0.0:").unwrap();
        assert!(COMPOSE.contains(&format!("- \"127.0.0.1:${{{variable}:-{port}}}:{port}\"\n")));
    }
}

#[test]
fn every_secret_that_compose_mounts_is_told_of() {
    let page = include_str!("../secrets/README.md");
    let named = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("file: ./secrets/"));
    let told = named.filter(|name| page.contains(&format!("| `{name}` |"))).count();
    assert_eq!(told, COMPOSE.matches("file: ./secrets/").count());
    assert_eq!(told, SIM.matches("file: ./demo/secrets/").count());
}
