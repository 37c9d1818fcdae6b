//! Do the shell commands of the pages do what they show?

use tempfile::TempDir;
use test_support::toolchain::{self, BASH, CURL};

use crate::{page::pages, running_relay::RunningRelay};

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
