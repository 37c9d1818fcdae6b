//! Are the Kubernetes manifests what their schemas allow, and do the relays in them get settings that they accept?

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use test_support::{
    installation::{self, PIP_INSTALL, Package},
    run,
    toolchain::{self, PYTHON, skipped},
};

use crate::{RELAY, path_of, text_of};

/// Its packages hold the schemas of every version of Kubernetes.
const VALIDATOR: Package = Package {
    folder: "deploy/kubernetes-validate",
    named: "kubernetes-validate 1.37.0",
    consent: "TOKEN_RELAY_KUBERNETES",
    manifests: &["requirements.txt"],
    install: PIP_INSTALL,
    build: &[],
};

/// The oldest with `preStop.sleep`, and the newest that the validator knows.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// The values of a list in a kustomization.
fn resources(folder: &str) -> Vec<String> {
    let text = text_of(&format!("{folder}/kustomization.yaml"));
    let list = text.lines().skip_while(|line| *line != "resources:").skip(1);
    list.map_while(|line| Some(format!("{folder}/{}", line.strip_prefix("  - ")?))).collect()
}

#[test]
fn every_manifest_is_in_a_kustomization() {
    for (folder, beside) in [("kubernetes", 1), ("kubernetes/monitoring", 1)] {
        let listed = resources(folder);
        assert!(listed.len() >= 2 && listed.iter().all(|file| path_of(file).exists()), "{listed:?}");
        let files = fs::read_dir(path_of(folder)).unwrap().map(|entry| entry.unwrap().path());
        let yaml = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).count();
        assert_eq!(yaml, listed.len() + beside, "{folder}: all but kustomization.yaml");
    }
}

#[tokio::test]
async fn every_manifest_is_what_its_schema_allows_with_no_field_more() {
    if !toolchain::all_here(&[PYTHON.at_least("3.10")]).await {
        return;
    }
    let library =
        match installation::installed(&VALIDATOR, Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()).await {
            Ok(directory) => directory.join("lib"),
            Err(why) => return skipped(&why),
        };
    let files: Vec<_> = resources("kubernetes").iter().map(|file| path_of(file)).collect();
    for version in VERSIONS {
        let printed = validate(&library, version, &files).unwrap();
        assert!(printed.matches(" passed ").count() >= files.len(), "{printed}");
    }
    let directory = TempDir::new().unwrap();
    let broken = directory.path().join("deployment.yaml");
    fs::write(&broken, text_of("kubernetes/deployment.yaml").replace("readOnlyRootFilesystem", "readOnly")).unwrap();
    assert!(validate(&library, VERSIONS[0], &[broken]).is_err(), "the validator sees a wrong field");
}

fn validate(library: &Path, version: &str, files: &[PathBuf]) -> Result<String, String> {
    let output = Command::new("python3")
        .args(["-m", "kubernetes_validate", "--strict", "-k", version])
        .args(files)
        .env("PYTHONPATH", library)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// kubectl has kustomize built in.
#[test]
fn kustomize_builds_both_folders() {
    for (folder, parts) in [
        ("kubernetes", &["kind: Deployment", "registry.example.com/token-relay:0.1.0"][..]),
        ("kubernetes/monitoring", &["kind: PrometheusRule"]),
    ] {
        let Ok(output) = Command::new("kubectl").args(["kustomize", "."]).current_dir(path_of(folder)).output() else {
            return skipped("it needs kubectl, and there is none here");
        };
        let built = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(parts.iter().all(|part| built.contains(part)), "{built}");
    }
}

#[test]
fn the_prometheus_rule_has_the_alerts_letter_by_letter() {
    let alerts = text_of("prometheus/alerts.yaml");
    let (_, groups) = alerts.split_once("\ngroups:\n").unwrap();
    let indented = groups.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    let rule = text_of("kubernetes/monitoring/prometheusrule.yaml");
    let (head, _) = rule.split_once("\n  groups:\n").unwrap();
    let right = format!("{head}\n  groups:\n{}", indented.collect::<String>());
    if env::var_os("TOKEN_RELAY_RENEW").is_some() {
        fs::write(path_of("kubernetes/monitoring/prometheusrule.yaml"), &right).unwrap();
    }
    assert_eq!(rule, right, "TOKEN_RELAY_RENEW=1 cargo test --test deploy writes it anew");
}

/// The variables of the image, then those of the deployment.
fn environment() -> BTreeMap<String, String> {
    let image = include_str!("../../Dockerfile").split_whitespace().filter(|word| word.starts_with("TOKEN_RELAY__"));
    let mut variables: BTreeMap<_, _> = image
        .map(|word| word.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let deployment = text_of("kubernetes/deployment.yaml");
    for entry in deployment.split("- name: TOKEN_RELAY").skip(1) {
        let (name, rest) = entry.split_once('\n').unwrap();
        let value = rest.lines().next().unwrap().trim().strip_prefix("value: ").unwrap();
        variables.insert(format!("TOKEN_RELAY{name}"), value.trim_matches('"').to_owned());
    }
    variables
}

#[test]
fn the_relays_of_the_deployment_accept_their_settings_and_secrets() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let secret = text_of("kubernetes/secret.yaml");
    let (_, entries) = secret.split_once("\nstringData:\n").unwrap();
    for (name, value) in
        entries.lines().filter(|line| !line.contains('#')).map(|line| line.trim().split_once(": ").unwrap())
    {
        fs::write(path(name), value).unwrap();
    }
    let settings = text_of("kubernetes/token-relay.toml").replace("/run/secrets", directory.path().to_str().unwrap());
    fs::write(path("token-relay.toml"), settings).unwrap();
    let mut environment = environment();
    let file = environment.insert("TOKEN_RELAY_CONFIG".to_owned(), path("token-relay.toml"));
    assert_eq!(file.as_deref(), Some("/etc/token-relay/token-relay.toml"));
    let shown: toml::Table = run(RELAY, &["check"], environment).succeeded().parse().unwrap();
    assert!(shown["state"]["url_file"].as_str().unwrap().ends_with("/redis_url"));
    assert_eq!(shown["server"]["listen"].as_str(), Some("0.0.0.0:8080"));
    let grace = humantime::parse_duration(shown["server"]["shutdown_grace"].as_str().unwrap()).unwrap().as_secs();
    let deployment = text_of("kubernetes/deployment.yaml");
    let number = |key: &str| {
        let (_, rest) = deployment.split_once(key).unwrap();
        rest.split(['\n', '}']).next().unwrap().trim().parse::<u64>().unwrap()
    };
    assert!(number("terminationGracePeriodSeconds:") > number("sleep: {seconds:") + grace);
    for port in ["{name: http, containerPort: 8080}", "{name: admin, containerPort: 9090}"] {
        assert!(deployment.contains(port));
    }
}

#[test]
fn the_pods_are_locked_down() {
    let deployment = text_of("kubernetes/deployment.yaml");
    for rule in [
        "automountServiceAccountToken: false",
        "runAsNonRoot: true",
        "seccompProfile: {type: RuntimeDefault}",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: {drop: [ALL]}",
    ] {
        assert_eq!(deployment.matches(rule).count(), 1, "{rule}");
    }
    assert!(!deployment.contains("subPath:"), "a folder mounted by subPath is not updated");
}
