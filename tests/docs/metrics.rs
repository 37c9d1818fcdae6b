//! Are the metrics that the pages name those of the relay, and all of them?

use std::{collections::BTreeSet, time::Duration};

use token_relay::{clock::WallTime, credential::CredentialId, metrics::Metrics};

use crate::page::{Page, pages, text_of};

const METRICS_PAGES: [&str; 2] = ["docs/OPERATIONS.md", "docs/OPERATIONS.zh-CN.md"];

/// Every series of one account and TLS, as Prometheus reads them.
fn scraped() -> String {
    let metrics = Metrics::new();
    metrics.credential(&CredentialId::access_token("main".parse().unwrap()));
    metrics.settings.certificate(Some(WallTime::from_millis(0)));
    metrics.render(Duration::ZERO)
}

/// The names of all metrics, as Prometheus stores them.
fn metrics() -> BTreeSet<String> {
    let page = scraped();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names of metrics in a text: `token_relay_…` in lower case.
fn named_metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("token_relay_")).collect()
}

#[test]
fn every_metric_that_a_page_names_exists() {
    let metrics = metrics();
    for file in pages().keys() {
        for name in named_metrics(&text_of(file)) {
            assert!(metrics.contains(name), "{}: {name}", file.display());
        }
    }
}

#[test]
fn the_table_of_metrics_names_them_all() {
    for path in METRICS_PAGES {
        let page = Page::at(path);
        let table = page.rows().iter().map(|row| row[0]).collect::<Vec<_>>().join("\n");
        let named = named_metrics(&table);
        let missing: Vec<_> = metrics().into_iter().filter(|name| !named.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{path} lacks {missing:?}");
    }
}

/// The words of the label enums stand in the table of metrics.
#[test]
fn the_table_of_metrics_names_every_outcome_and_budget() {
    let scraped = scraped();
    let samples = scraped.lines().filter_map(|line| line.split_once("account=\"main\","));
    let mut checked = 0;
    for (name, rest) in samples {
        let name = name.trim_end_matches('{');
        let word = rest.split('"').nth(1).unwrap();
        for path in METRICS_PAGES {
            let text = text_of(path);
            let row =
                text.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap_or_else(|| panic!("{name}"));
            assert!(row.contains(&format!("`{word}`")), "{word} in {row}");
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} words were found");
}
