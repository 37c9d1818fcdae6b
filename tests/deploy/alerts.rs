//! Does every alert fire when it should, and speak of metrics that there are?

use std::{collections::BTreeSet, time::Duration};

use test_support::toolchain::{self, AMTOOL, PROMTOOL};
use token_relay::{credential::CredentialId, metrics::Metrics};

use crate::{COMING, path_of, run_in, text_of};

const ALERTS: &str = "prometheus/alerts.yaml";
const TESTS: &str = "prometheus/alerts_test.yaml";
const DASHBOARD: &str = "grafana/dashboard.json";

/// The names of all metrics of one account, as Prometheus stores them.
fn exposed() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.credential(&CredentialId::access_token("main".parse().unwrap()));
    let page = metrics.render(Duration::ZERO);
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("token_relay_")).collect()
}

/// The values of the lines `key: value` or `- key: value`.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_the_relay_has() {
    let exposed = exposed();
    for file in [ALERTS, TESTS, DASHBOARD] {
        let text = text_of(file);
        let named = named(&text);
        assert!(named.len() >= 12, "{file}: only {named:?} were found");
        for name in named {
            assert!(exposed.contains(name) || COMING.contains(&name), "{file}: the relay has no {name}");
        }
    }
    for name in COMING {
        assert!(!exposed.contains(name), "the relay has {name} now: take it out of COMING");
    }
}

#[test]
fn every_alert_has_a_severity_a_text_in_both_languages_and_a_row_on_both_pages() {
    let text = text_of(ALERTS);
    let alerts = values(&text, "alert");
    assert!(alerts.len() >= 10, "{alerts:?}");
    for key in ["labels", "summary", "summary_zh"] {
        assert_eq!(values(&text, key).len(), alerts.len(), "{key}");
    }
    for page in ["../docs/OPERATIONS.md", "../docs/OPERATIONS.zh-CN.md"] {
        let page_text = text_of(page);
        let rows = page_text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let told: Vec<_> = rows.map(|(name, _)| name).filter(|name| alerts.contains(name)).collect();
        assert_eq!(told, alerts, "{page} has a row for each alert, in their order");
    }
}

#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let (alerts, tests) = (text_of(ALERTS), text_of(TESTS));
    let alerts: BTreeSet<_> = values(&alerts, "alert").into_iter().collect();
    let firing = tests.split("- eval_time: ").filter(|part| part.contains("exp_labels: "));
    let fired: BTreeSet<_> = firing.filter_map(|part| values(part, "alertname").first().copied()).collect();
    assert_eq!(fired, alerts);
}

#[tokio::test]
async fn promtool_takes_the_alerts_and_sees_each_fire() {
    if toolchain::all_here(&[PROMTOOL]).await {
        run_in("prometheus", &["promtool", "check", "rules", "alerts.yaml"]);
        run_in("prometheus", &["promtool", "test", "rules", "alerts_test.yaml"]);
    }
}

#[tokio::test]
async fn promtool_takes_the_scrape_settings_of_the_page() {
    if !toolchain::all_here(&[PROMTOOL]).await {
        return;
    }
    let page = text_of("../docs/OPERATIONS.md");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let block = blocks.into_iter().find(|block| block.contains("scrape_configs")).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("prometheus.yml");
    let alerts = path_of(ALERTS);
    std::fs::write(&file, block.replace("/etc/prometheus/token-relay/alerts.yaml", alerts.to_str().unwrap())).unwrap();
    let printed = run_in("prometheus", &["promtool", "check", "config", file.to_str().unwrap()]);
    assert!(printed.contains("15 rules found"), "{printed}");
}

/// Alertmanager's own tool prints the receiver of each alert.
#[tokio::test]
async fn amtool_takes_the_example_and_sends_each_severity_where_it_belongs() {
    if !toolchain::all_here(&[AMTOOL]).await {
        return;
    }
    run_in("alertmanager", &["amtool", "check-config", "alertmanager.yaml"]);
    let receiver = |labels: &[&str]| {
        let words = [&["amtool", "config", "routes", "test", "--config.file=alertmanager.yaml"], labels].concat();
        run_in("alertmanager", &words).trim().to_owned()
    };
    assert_eq!(receiver(&["alertname=TokenRelayServesNoToken", "severity=critical"]), "wecom-app");
    assert_eq!(receiver(&["alertname=TokenRelayCannotRenew", "severity=warning"]), "wecom-robot");
}
