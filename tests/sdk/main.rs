//! Do real SDKs get along with the relay when only their host, or one setting of theirs, is changed, or when WeChat's host is an alias
//! of the relay?
//!
//! Each is installed at a fixed version from its own registry, below `target/sdk`, and is driven by a small program in the
//! folder of its name. What is not installed is downloaded only with `TOKEN_RELAY_SDKS=1`; without it, or where a toolchain or
//! a package cannot be had, the test passes and says that it was skipped, and why.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod alias;
mod program;
mod scenario;

use std::{fs, path::Path};

use futures_util::future::join_all;
use test_support::{
    installation::{self, PIP_INSTALL, Package},
    toolchain::{self, GO, JAVA, NODE, PYTHON, Toolchain},
};

/// The binary under test.
const RELAY: &str = env!("CARGO_BIN_EXE_token-relay");

/// Lets the tests download SDKs, by the value 1.
const CONSENT: &str = "TOKEN_RELAY_SDKS";

/// An SDK and the program that uses it.
struct Sdk {
    /// Its name and version are as the program says them.
    package: Package,
    toolchain: Toolchain,
    run: &'static [&'static str],
    ways: &'static [Way],
}

/// One of the ways in which an SDK fetches its token.
struct Way {
    /// The program's arguments.
    arguments: &'static [&'static str],
    /// How it is led to the relay.
    by: By,
}

/// How an SDK is led to the relay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// By a setting of its host.
    Setting,
    /// By the name of WeChat's host: nothing of the SDK is changed, nor set.
    Alias,
}

impl Way {
    const fn of(arguments: &'static [&'static str]) -> Self {
        Self { arguments, by: By::Setting }
    }

    /// What it is called in reports and names of files.
    fn name(&self) -> String {
        let alias = (self.by == By::Alias).then_some("alias");
        self.arguments.iter().copied().chain(alias).collect::<Vec<_>>().join("-")
    }
}

const PLAIN: Way = Way::of(&["plain"]);
const STABLE: Way = Way::of(&["stable"]);
const PLAIN_BY_ALIAS: Way = Way { by: By::Alias, ..PLAIN };

const WECHATPY: Sdk = Sdk {
    package: Package {
        folder: "sdk/wechatpy",
        named: "wechatpy 1.8.18",
        consent: CONSENT,
        manifests: &["requirements.txt"],
        install: PIP_INSTALL,
        build: &[],
    },
    // That of the packages that it needs.
    toolchain: PYTHON.at_least("3.10"),
    run: &["env", "PYTHONPATH=lib", "python3", "main.py"],
    ways: &[PLAIN, PLAIN_BY_ALIAS],
};

const CO_WECHAT_API: Sdk = Sdk {
    package: Package {
        folder: "sdk/co-wechat-api",
        named: "co-wechat-api 3.11.0",
        consent: CONSENT,
        manifests: &["package.json", "package-lock.json"],
        install: NPM_CI,
        build: &[],
    },
    toolchain: NODE,
    run: &["node", "main.js"],
    ways: &[PLAIN],
};

/// Runs no script of a package.
const NPM_CI: &[&str] = &["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"];

const NODE_EASYWECHAT: Sdk = Sdk {
    package: Package {
        folder: "sdk/node-easywechat",
        named: "node-easywechat 3.6.2",
        consent: CONSENT,
        manifests: &["package.json", "package-lock.json"],
        install: NPM_CI,
        build: &[],
    },
    toolchain: NODE,
    run: &["node", "main.js"],
    ways: &[PLAIN, STABLE, PLAIN_BY_ALIAS],
};

const SILENCEPER: Sdk = Sdk {
    package: Package {
        folder: "sdk/silenceper",
        named: "silenceper/wechat 2.1.10",
        consent: CONSENT,
        manifests: &["go.mod", "go.sum"],
        install: &["go", "mod", "vendor"],
        build: &["go", "build", "-o", "program", "."],
    },
    toolchain: GO,
    run: &["./program"],
    ways: &[PLAIN, STABLE, PLAIN_BY_ALIAS, Way { by: By::Alias, ..STABLE }],
};

const WXJAVA: Sdk = Sdk {
    package: Package {
        folder: "sdk/wxjava",
        named: "WxJava 4.7.0",
        consent: CONSENT,
        manifests: &["pom.xml"],
        install: &[
            "mvn",
            "-q",
            "-B",
            "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
            "-DoutputDirectory=lib",
            "-DincludeScope=runtime",
        ],
        build: &[],
    },
    toolchain: JAVA,
    run: &["java", "-cp", "lib/*", "Main.java"],
    ways: &[
        Way::of(&["mp", "plain"]),
        Way::of(&["mp", "stable"]),
        Way::of(&["ma", "plain"]),
        Way::of(&["ma", "stable"]),
    ],
};

impl Sdk {
    /// Runs the scenario in all ways of the SDK at once, each with a relay of its own.
    async fn gets_along(&self) {
        if !toolchain::all_here(&[self.toolchain]).await {
            return;
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        match installation::installed(&self.package, target).await {
            Ok(directory) => {
                let directory = &directory;
                join_all(self.ways.iter().map(|way| scenario::run(self, way, directory))).await;
            }
            Err(reason) => toolchain::skipped(&reason),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wechatpy_gets_along() {
    WECHATPY.gets_along().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn co_wechat_api_gets_along() {
    CO_WECHAT_API.gets_along().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_easywechat_gets_along() {
    NODE_EASYWECHAT.gets_along().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silenceper_gets_along() {
    SILENCEPER.gets_along().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wxjava_gets_along() {
    WXJAVA.gets_along().await;
}

#[test]
fn the_pages_name_every_version_that_is_run() {
    for page in ["docs/CLIENTS.md", "docs/CLIENTS.zh-CN.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        for sdk in [WECHATPY, CO_WECHAT_API, NODE_EASYWECHAT, SILENCEPER, WXJAVA] {
            assert!(text.contains(sdk.package.named), "{page} does not name {}", sdk.package.named);
        }
    }
}
