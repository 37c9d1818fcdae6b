//! Do the Dockerfile and the compose files speak of settings that the relay knows? `tests/container.sh` runs them; this needs
//! no engine.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::collections::BTreeMap;
use std::time::Duration;

use test_support::{Finished, run};

const DOCKERFILE: &str = include_str!("../Dockerfile");
const COMPOSE: &str = include_str!("../compose.yaml");
const SIM: &str = include_str!("../compose.sim.yaml");
const CLUSTER: &str = include_str!("../compose.cluster.yaml");
const CLUSTER_SIM: &str = include_str!("../compose.cluster.sim.yaml");

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
fn check(files: &[&str], more: &[(&str, &str)]) -> Finished {
    let mut env: BTreeMap<_, _> = files.iter().flat_map(|text| variables(text)).collect();
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    for value in env.values_mut() {
        *value = value.replace("/run/secrets/", concat!(env!("CARGO_MANIFEST_DIR"), "/demo/secrets/"));
    }
    run(env!("CARGO_BIN_EXE_token-relay"), &["check"], env)
}

fn settings(output: Finished) -> toml::Table {
    output.succeeded().parse().unwrap()
}

/// The value of the first `name: value` line.
fn value_of<'t>(text: &'t str, name: &str) -> &'t str {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    lines.next().unwrap()
}

#[test]
fn the_relay_accepts_what_the_image_and_compose_tell_it() {
    let settings = settings(check(&[DOCKERFILE, COMPOSE], &[("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1")]));
    assert_eq!(settings["accounts"].as_table().unwrap().len(), 1);
    assert_eq!(settings["clients"].as_table().unwrap().len(), 1);
}

#[test]
fn the_relays_of_a_cluster_accept_what_compose_tells_them_and_share_one_redis() {
    let appid = ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1");
    let settings = settings(check(&[DOCKERFILE, CLUSTER], &[appid]));
    assert!(settings["state"]["url_file"].as_str().unwrap().ends_with("/redis_url"));
    assert_eq!(settings["accounts"].as_table().unwrap().len(), 1);
    assert_eq!(CLUSTER.matches("<<: *relay\n").count(), 3);
    // a call as long as the lease is refused where the state is shared
    let too_long = check(&[DOCKERFILE, CLUSTER], &[appid, ("TOKEN_RELAY__WECHAT__TIMEOUT", "12s")]);
    assert!(too_long.stderr.contains("where state.url is a Redis"));
}

/// `NAME` and `image` of each `ARG NAME_IMAGE=image` of a Dockerfile, or `${NAME_IMAGE:-image}` of a compose file.
fn base_images(text: &str) -> BTreeMap<&str, &str> {
    let arguments = text.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
    let variables = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')?.0.split_once(":-"));
    arguments.chain(variables).filter(|(name, _)| name.ends_with("_IMAGE")).collect()
}

#[test]
fn every_base_image_can_be_replaced_and_compose_has_the_defaults_of_the_dockerfiles() {
    let mut defaults = base_images(DOCKERFILE);
    defaults.extend(base_images(include_str!("../cluster/Dockerfile")));
    assert_eq!(defaults.keys().copied().collect::<Vec<_>>(), ["DEBIAN_IMAGE", "RUNTIME_IMAGE", "RUST_IMAGE"]);
    for file in [DOCKERFILE, include_str!("../cluster/Dockerfile")] {
        let stages: Vec<_> = file.lines().filter(|line| line.starts_with("FROM ")).collect();
        assert!(!stages.is_empty() && stages.iter().all(|stage| stage.starts_with("FROM ${")), "{stages:?}");
    }
    for (file, names) in [(COMPOSE, 2), (CLUSTER, 3)] {
        let named = base_images(file);
        let same = named.iter().filter(|(name, image)| defaults.get(*name) == Some(image)).count();
        assert_eq!(same, names, "{named:?}");
    }
}

/// A reader that leaves early, as `grep -q` and `head` do, ends the writer by SIGPIPE; under `pipefail` the pipe then fails.
#[test]
fn no_script_pipes_into_a_reader_that_leaves_early() {
    for script in ["tests/container.sh", "tests/soak.sh", "test.sh", ".ci/run", "justfile", "deploy/release.sh"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let text = std::fs::read_to_string(path).unwrap();
        let pipes = text.lines().filter(|line| line.split('|').skip(1).any(|part| leaves_early(part.trim_start())));
        assert_eq!(pipes.collect::<Vec<_>>(), Vec::<&str>::new(), "{script}");
    }
    assert!(leaves_early("grep -qF x") && leaves_early("grep -iq x") && leaves_early("grep --quiet x"));
    assert!(leaves_early("head -n 1"));
    assert!(!leaves_early("grep -cv x") && !leaves_early("cut -d: -f1"));
}

fn leaves_early(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut options = words.take_while(|word| word.starts_with('-'));
    let is_quiet = options.any(|option| option == "--quiet" || (!option.starts_with("--") && option.contains('q')));
    program == "head" || (program.ends_with("grep") && is_quiet)
}

#[test]
fn an_appid_that_nobody_told_is_asked_for() {
    for file in [COMPOSE, CLUSTER] {
        let output = check(&[DOCKERFILE, file], &[]);
        assert_eq!(output.code, Some(78));
        assert!(output.stderr.contains("accounts.main.appid"));
    }
}

#[test]
fn the_demos_call_the_simulator_and_nobody_else() {
    for (file, sim) in [(COMPOSE, SIM), (CLUSTER, CLUSTER_SIM)] {
        let settings = settings(check(&[DOCKERFILE, file, sim], &[]));
        assert_eq!(settings["wechat"]["base_url"].as_str(), Some("http://wechat-sim:8090"));
        assert_eq!(settings["wechat"]["fallback_base_url"].as_str(), Some(""));
        let overlap = settings["refresh"]["overlap"].as_str().unwrap();
        assert!(sim.contains(&format!("--overlap=${{SIM_OVERLAP:-{overlap}}}")));
    }
}

#[test]
fn the_demo_secret_is_the_one_that_the_simulator_knows() {
    for sim in [SIM, CLUSTER_SIM] {
        let app = format!(
            "{}:{}",
            variables(sim)["TOKEN_RELAY__ACCOUNTS__MAIN__APPID"],
            include_str!("../demo/secrets/main_appsecret").trim_end()
        );
        assert!(include_str!("../wechat-sim/src/main.rs").contains(&format!("default_value = \"{app}\"")));
    }
}

#[test]
fn compose_waits_longer_for_the_end_than_the_relay_does() {
    for (file, sim) in [(COMPOSE, SIM), (CLUSTER, CLUSTER_SIM)] {
        let settings = settings(check(&[DOCKERFILE, file, sim], &[]));
        let duration = |text| humantime::parse_duration(text).unwrap();
        let grace = duration(settings["server"]["shutdown_grace"].as_str().unwrap());
        assert!(duration(value_of(file, "stop_grace_period")) >= grace + Duration::from_secs(5));
    }
}

/// What keeps a container in its place stands in every service, and a relay is run alike alone and in company.
#[test]
fn every_service_is_locked_down_and_published_on_the_loopback_only() {
    for (name, file) in [("compose", COMPOSE), ("sim", SIM), ("cluster", CLUSTER), ("cluster.sim", CLUSTER_SIM)] {
        let services = file.matches("    image: ").count() + file.matches("\n  image: ").count();
        for rule in ["read_only: true\n", "cap_drop: [ALL]\n", "security_opt: [\"no-new-privileges:true\"]\n"] {
            assert_eq!(file.matches(rule).count(), services, "{name}: {rule}");
        }
        let listed = file.lines().filter_map(|line| line.trim().strip_prefix("- \""));
        for port in listed.filter(|item| item.contains("_PORT")) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
    let alone = COMPOSE.lines().map(str::trim).skip_while(|line| *line != "read_only: true");
    for rule in alone.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with('#')) {
        assert!(CLUSTER.lines().any(|line| line.trim() == rule), "the relays of a cluster lack {rule}");
    }
}

#[test]
fn redis_lets_in_the_relays_only_and_evicts_nothing() {
    assert!(
        CLUSTER.contains(r#""--maxmemory-policy", "noeviction""#) && CLUSTER.contains(r#""/run/secrets/redis_acl""#)
    );
    let (acl, url) = (include_str!("../demo/secrets/redis_acl"), include_str!("../demo/secrets/redis_url"));
    assert!(acl.starts_with("user default off\n"));
    let (login, host) = url.trim_end().strip_prefix("redis://").unwrap().split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    assert!(acl.contains(&format!("user {user} on >{password} ")), "the demo's relays cannot log in");
    assert!(CLUSTER.contains(&format!("\n  {}:\n", host.split(':').next().unwrap())), "{host} is no service");
}

#[test]
fn the_balancer_asks_the_relays_where_they_listen_and_is_more_patient_than_each_of_their_answers() {
    let nginx = include_str!("../cluster/nginx.conf");
    let port = variables(DOCKERFILE)["TOKEN_RELAY__SERVER__LISTEN"].strip_prefix("0.0.0.0:").unwrap().to_owned();
    assert!(CLUSTER.contains("aliases: [relays]\n") && nginx.contains("set $relays relays;"));
    assert_eq!(nginx.matches(&format!("proxy_pass http://$relays:{port};")).count(), 4);
    let waits = nginx.split("proxy_read_timeout ").skip(1).map(|rest| rest.split_once(';').unwrap().0);
    let waits: Vec<_> = waits.map(|wait| humantime::parse_duration(wait).unwrap().as_secs()).collect();
    let [gateway, report, read, poll] = waits[..] else { panic!("{waits:?}") };
    assert!(gateway > 70 && report > 10 && read > 3 && poll > 60, "{waits:?}");
    assert!(nginx.contains("client_max_body_size 0;"), "the gateway takes bodies of any size");
    assert!(nginx.contains("location ~ ^/(token|ticket)$ {"), "both can be polled, and both are read in no time");
}

#[test]
fn the_image_listens_where_compose_publishes_and_keeps_its_state_on_the_volume() {
    let image = variables(DOCKERFILE);
    // a variable would win over the state.url of a mounted file
    assert!(image.keys().all(|variable| !variable.contains("STATE")), "{image:?}");
    let state = DOCKERFILE.lines().rev().find_map(|line| line.strip_prefix("WORKDIR ")).unwrap();
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
    for (file, sim) in [(COMPOSE, SIM), (CLUSTER, CLUSTER_SIM)] {
        let named = file.lines().filter_map(|line| line.trim().strip_prefix("file: ./secrets/"));
        let told = named.filter(|name| page.contains(&format!("| `{name}` |"))).count();
        assert_eq!(told, file.matches("file: ./secrets/").count());
        assert_eq!(told, sim.matches("file: ./demo/secrets/").count());
    }
}
