//! Does a relay answer as its OpenAPI document says, whatever it is asked?
//!
//! schemathesis makes requests from the document, lawful ones and others, and judges every answer by it. It is installed at a fixed
//! version from PyPI, below `target/openapi`, with `TOKEN_RELAY_SCHEMATHESIS=1` only; without it, or where Python or a package
//! cannot be had, the tests pass and say that they were skipped, and why.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::{fs, path::Path, process::Stdio, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use test_support::{
    CLIENT_KEY, Setup,
    installation::{self, PIP_INSTALL, Package},
    toolchain::{self, PYTHON},
};
use tokio::{process::Command, time::timeout};
use wechat_sim::{Fault, Op, Sim, Times};

const SCHEMATHESIS: Package = Package {
    folder: "openapi/schemathesis",
    named: "schemathesis 4.32.5",
    consent: "TOKEN_RELAY_SCHEMATHESIS",
    manifests: &["requirements.txt"],
    install: PIP_INSTALL,
    build: &[],
};

/// What its packages need.
const NEEDS_PYTHON: &str = "3.11";

/// All runs at once take less than a minute.
const LONGEST_RUN: Duration = Duration::from_secs(240);

/// In the dictionaries too. This account is the one of a request that names none.
const ACCOUNT: &str = "default";
const CORPID: &str = "wwcorp";
const AGENT_SECRET: &str = "sentinel-agent-secret-0123456789abcdefghijk";

/// What a relay is asked about.
struct Run {
    label: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// Whether WeChat and WeCom grant tokens.
    serves: bool,
    /// The answers that the run is worth nothing without: routes as the metrics call them, and statuses.
    reaches: &'static [(&'static str, &'static str)],
}

const RUNS: [Run; 3] = [
    Run { label: "a relay that serves", settings: &[], serves: true, reaches: SERVED },
    Run {
        label: "a relay that serves, with the gateway on",
        settings: &[("gateway.enabled", "true"), ("clients.orders.gateway", "true")],
        serves: true,
        reaches: SERVED,
    },
    Run {
        label: "a relay without a token",
        settings: &[],
        serves: false,
        reaches: &[
            ("token", "503"),
            ("report", "503"),
            ("ticket", "503"),
            ("jssdk_config", "503"),
            ("readyz", "503"),
            ("healthz", "200"),
            ("drop_in_token", "200"),
        ],
    },
];

const SERVED: &[(&str, &str)] = &[
    ("token", "200"),
    ("token", "304"),
    ("token", "400"),
    ("token", "401"),
    ("token", "404"),
    ("token", "405"),
    ("report", "200"),
    ("report", "400"),
    ("report", "401"),
    ("report", "404"),
    ("ticket", "200"),
    ("ticket", "304"),
    ("ticket", "400"),
    ("ticket", "401"),
    ("ticket", "404"),
    ("jssdk_config", "200"),
    ("jssdk_config", "400"),
    ("drop_in_token", "200"),
    ("drop_in_stable_token", "200"),
    ("drop_in_ticket", "200"),
    ("drop_in_gettoken", "200"),
    ("healthz", "200"),
    ("readyz", "200"),
    ("openapi", "200"),
];

/// A relay with an account of WeChat, of whose tickets it keeps one, and one of WeCom.
async fn setup(run: &Run) -> Setup {
    let mut setup = Setup::around(env!("CARGO_BIN_EXE_token-relay"), Sim::builder().start().await.unwrap());
    setup.account(ACCOUNT, "token");
    setup.sim.register_agent(CORPID, "corp", AGENT_SECRET);
    let base_url = setup.sim.base_url();
    for (key, value) in [
        ("wecom.base_url", base_url.as_str()),
        ("accounts.corp.platform", "wecom"),
        ("accounts.corp.corpid", CORPID),
        ("accounts.corp.secret", AGENT_SECRET),
        ("accounts.default.tickets", "jsapi"),
        ("accounts.default.jssdk_domains", "shop.example.com"),
        // reports are heard, until the day's budget of probes is spent
        ("refresh.report_cooldown", "0s"),
    ] {
        setup.set(key, value);
    }
    for (key, value) in run.settings {
        setup.set(key, value);
    }
    if !run.serves {
        setup.set("server.first_token_wait", "0s");
        for op in [Op::Token, Op::WecomToken] {
            setup.sim.fault(op, Fault::errcode(40164), Times::Always);
        }
    }
    setup
}

/// Lets schemathesis judge a relay.
async fn judge(run: &Run, directory: &Path) {
    let setup = setup(run).await;
    let relay = setup.start().await;
    let token = if run.serves { relay.get("/token").await.token() } else { "none".to_owned() };
    let (report, granted) = (setup.path().join("report.json"), setup.path().join("granted"));
    fs::create_dir(&granted).unwrap();
    let schemathesis = Command::new("python3")
        .args(["-m", "schemathesis.cli", "run", "--report", "json", "--report-json-path"])
        .arg(&report)
        .args(["--url", &format!("http://{}", relay.public)])
        // It leaves out the route from which it reads the document: so from the file, which is the same.
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json"))
        .current_dir(directory)
        .env("PYTHONPATH", "lib")
        .env("RELAY_KEY", CLIENT_KEY)
        .env("TOKEN", token)
        .env("GRANTED", &granted)
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = timeout(LONGEST_RUN, schemathesis).await.expect("schemathesis ends in time").unwrap();
    let printed = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(report.exists(), "{}: no report:\n{printed}", run.label);
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(format!("schemathesis {}", report["schemathesis_version"].as_str().unwrap()), SCHEMATHESIS.named);
    let (operations, cases) = (&report["operations"], &report["test_cases"]);
    toolchain::report(&format!(
        "{}, {}: {} of {} operations, {} cases, {} failures",
        SCHEMATHESIS.named,
        run.label,
        operations["tested"],
        operations["total"],
        cases["generated"],
        cases["unique_failures"],
    ));
    assert!(ended.status.success() && cases["unique_failures"] == 0, "{}:\n{printed}", run.label);
    for (route, status) in run.reaches {
        let answered =
            relay.metric(&format!("token_relay_requests_total{{route=\"{route}\",status=\"{status}\"}}")).await;
        assert_ne!(answered, 0, "{}: no request reached {route} {status}", run.label);
    }
    assert_eq!(relay.metric("token_relay_handler_panics_total").await, 0);
    let mut granted: Vec<_> = fs::read_dir(granted).unwrap().map(|file| file.unwrap().file_name()).collect();
    granted.sort();
    let routes: &[&str] =
        if run.serves { &["dropInGettoken", "dropInStableToken", "dropInTicket", "dropInToken"] } else { &[] };
    assert_eq!(granted, routes, "{}: the drop-in routes that granted something", run.label);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_answers_as_its_document_says() {
    if !toolchain::all_here(&[PYTHON.at_least(NEEDS_PYTHON)]).await {
        return;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    match installation::installed(&SCHEMATHESIS, target).await {
        Ok(directory) => {
            join_all(RUNS.iter().map(|run| judge(run, &directory))).await;
        }
        Err(reason) => toolchain::skipped(&reason),
    }
}
