//! How does a test get a Prometheus of its own that scrapes a relay?

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use test_support::{PATIENCE, client, eventually, free_port};

use crate::path_of;

/// A Prometheus that looks at one relay every second; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes the admin listener at `relay` and has loaded the alerts.
    pub(crate) async fn scraping(relay: SocketAddr) -> Self {
        let dir = TempDir::new().unwrap();
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n  \
             - {{job_name: token-relay, static_configs: [{{targets: ['{relay}']}}]}}\n",
            path_of("prometheus/alerts.yaml").display()
        );
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, settings).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=warn"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, dir };
        eventually("Prometheus has scraped the relay", async || prometheus.number("up == 1").await.is_some()).await;
        prometheus
    }

    /// The first sample of a query at this moment.
    pub(crate) async fn number(&self, query: &str) -> Option<f64> {
        let answer = self.ask("query", &[("query", query)]).await?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// How many finite samples a query has between `start`, in seconds of Unix time, and now.
    pub(crate) async fn samples(&self, query: &str, start: f64) -> usize {
        let now = self.number("time() + 0 * vector(1)").await.unwrap();
        let (start, end) = (start.to_string(), now.to_string());
        let answer =
            self.ask("query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "1")]).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer; {}", self.log()));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap().iter();
        let values = series.flat_map(|series| series["values"].as_array().unwrap());
        values.filter(|value| value[1].as_str().unwrap().parse::<f64>().is_ok_and(f64::is_finite)).count()
    }

    /// The alerts as they are loaded.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("rules", &[]).await.unwrap();
        answer["data"]["groups"][0]["rules"].as_array().unwrap().clone()
    }

    /// `None` while it does not listen.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let parameters = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let target = format!("/api/v1/{path}?{}", parameters.collect::<Vec<_>>().join("&"));
        // 1.0: no chunks
        let answer = client::send(self.address, format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    fn log(&self) -> String {
        format!("within {PATIENCE:?}: {}", fs::read_to_string(self.dir.path().join("log")).unwrap())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}
